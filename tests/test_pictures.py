"""Every picture says what the numbers say: they are read back from its artists, and worked out by loops."""

import json
import math

import numpy as np
import pytest
from test_view import answer, words

from minconvbert import view
from minconvbert.training.runs import draw_curves
from minconvbert.view import figures
from minconvbert.view.curves import by_setting
from minconvbert.view.palette import LIGHT

pytest.importorskip("matplotlib")
from matplotlib.colors import to_hex

L, K, HALF, LAYER, HEAD, TOKEN = 7, 5, 2, 2, 1, 3
OUT, WORDS = answer(L, layers=3, H=2, K=K, seed=5), words(L)
OTHER, OTHER_WORDS = answer(6, layers=3, H=2, K=K, seed=6), ["[CLS]", "a", "b", "c", "word3", "[SEP]"]
MAP, KERNEL = OUT.attentions[LAYER][0, HEAD], OUT.kernels[LAYER][0, :, HEAD]      # (L, L), (L, K)


def bars(axis, colour=None):
    """{x of its middle, to the nearest whole number: height} of the bars of a colour, drawn or hatched."""
    found = [bar for bar in axis.patches if hasattr(bar, "get_height") and bar.get_width() < 3]
    return {round(bar.get_x() + bar.get_width() / 2, 3): bar.get_height() for bar in found
            if colour is None or colour in (to_hex(bar.get_facecolor()), to_hex(bar.get_edgecolor()))}


def near(values):
    """Drawing keeps single precision."""
    return pytest.approx(values, rel=1e-5, abs=1e-6)


def band(kernel):
    """(L, K) -> (L, L + K - 1): tap j of token t over the word t + j - K // 2, the first of which is column K // 2."""
    found = np.zeros((len(kernel), len(kernel) + K - 1))
    for t, row in enumerate(kernel):
        for j, weight in enumerate(row):
            found[t, t + j] = weight
    return found


def distance(maps):
    """The mean over tokens of sum_s w |t - s| / sum_s w, by loops."""
    means = [sum(w * abs(t - s) for s, w in enumerate(row)) / sum(row) for t, row in enumerate(maps)]
    return sum(means) / len(means)


def bits(rows):
    return sum(-w * math.log2(w) for row in rows for w in row if w > 0) / len(rows)


def inside(kernel):
    return band(kernel)[:, HALF : HALF + len(kernel)]


def by_offset(maps):
    found = dict.fromkeys(range(-len(maps) + 1, len(maps)), 0.0)
    for t, row in enumerate(maps):
        for s, w in enumerate(row):
            found[s - t] += w / len(maps)
    return found


# What one sentence shows

@pytest.mark.parametrize("draw", (
    view.one_token, view.kernel_over_words, view.side_by_side, view.overview, view.profile))
def test_the_title_names_the_layer_and_head_that_are_drawn(draw):
    given = dict(layer=LAYER, head=HEAD) | (dict(token=TOKEN) if draw is not view.profile else {})
    title = draw(OUT, WORDS, **given)._suptitle.get_text()
    assert title.endswith(f"layer {LAYER}, head {HEAD}") and (draw is view.profile or draw is view.side_by_side
                                                               or f"“{WORDS[TOKEN]}”" in title)


def numbers(axis):
    """{(x, height, up to a millionth): the number written there}"""
    return {tuple(round(float(value), 6) for value in text.xy): text.get_text() for text in axis.texts
            if hasattr(text, "xy")}


def written(places, least):
    """What `numbers` finds if each weight above `least` has its number: {(x, height): weight}"""
    return {tuple(round(float(value), 6) for value in place): f"{weight:.2f}".lstrip("0")
            for place, weight in places.items() if weight >= least}


def check_one_token(axes):
    """Above each word its share of the attention, below it the tap of the kernel that falls on it."""
    for axis in axes:
        places = {round(text.get_position()[0], 3): text.get_text() for text in axis.texts
                  if text.get_position()[1] == 0 and text.get_text() in (*WORDS, "0")}
        up = {x: h for x, h in bars(axis, LIGHT["attention"]).items()}
        down = {x: -h for x, h in bars(axis, LIGHT["convolution"]).items()}
        order = [x for x, _ in sorted(places.items())]
        assert [places[x] for x in order] == ["0"] * HALF + WORDS + ["0"] * HALF
        assert [up.get(x) for x in order[HALF:-HALF]] == near(MAP[TOKEN])
        assert not up.keys() & {*order[:HALF], *order[-HALF:]}
        assert [down[x] for x in order] == near(band(KERNEL)[TOKEN])
        tallest = max(*up.values(), *down.values())
        ends = {(bar.get_x() + bar.get_width() / 2, bar.get_y() + bar.get_height()): abs(bar.get_height())
                for bar in axis.patches if hasattr(bar, "get_height")}
        assert numbers(axis) == written(ends, 0.05 * tallest) and len(numbers(axis)) < len(ends)
        lowest, highest = axis.get_ylim()
        assert lowest < -max(down.values()) and highest > max(up.values())
        marked = [text.get_text() for text in axis.texts if text.get_bbox_patch() is not None]
        assert marked == [WORDS[TOKEN]]
        reach = next(line for line in axis.lines if to_hex(line.get_color()) == LIGHT["convolution"]).get_xdata()
        within = [word for word, x in zip(WORDS, order[HALF:-HALF]) if reach[0] < x < reach[1]]
        assert within == WORDS[TOKEN - HALF : TOKEN + HALF + 1]


def test_bars_stand_at_the_words_they_are_about():
    figure = view.one_token(OUT, WORDS, LAYER, HEAD, TOKEN)
    check_one_token(figure.axes)
    assert f"the {K} weights of the kernel" in figure._supxlabel.get_text()


def test_wide_letters_take_two_places_and_accents_none():
    assert [figures._letters(token) for token in ("ab", "中a", "ｗ", "e\u0301")] == [2, 3, 2, 1]


def test_a_dollar_is_a_dollar_and_no_mathematics():
    tokens = ["[CLS]", "$x^2$", *WORDS[2:]]
    for draw in (view.one_token, view.kernel_over_words, view.side_by_side):
        axis = draw(OUT, tokens, LAYER, HEAD, 1).axes[0]
        words = [text.get_text().split("\n")[0] for text in (*axis.texts, *axis.get_xticklabels())]
        assert r"\$x^2\$" in words and "$x^2$" not in words


def test_in_long_sentences_each_line_has_its_own_words():
    long = answer(60, layers=1, H=1, K=K)
    figure = view.one_token(long, words(60), 0, 0, 30)
    up = [h for axis in figure.axes for _, h in sorted(bars(axis, LIGHT["attention"]).items())]
    down = [-h for axis in figure.axes for _, h in sorted(bars(axis, LIGHT["convolution"]).items())]
    assert len(figure.axes) > 1 and up == near(long.attentions[0][0, 0, 30])
    assert down[30 : 30 + K] == near(long.kernels[0][0, 30, 0])
    figure.draw_without_rendering()
    tallest = max((bar for axis in figure.axes for bar in axis.patches if hasattr(bar, "get_height") and bar.get_width() < 3),
                  key=lambda bar: abs(bar.get_height()))
    assert tallest.get_window_extent().height / figure.dpi == pytest.approx(figures.BAR, abs=0.1)         # inches
    numbers = [float(text.get_text()) for axis in figure.axes for text in axis.texts if text.get_text()[0] == "."]
    assert numbers and all(any(abs(n - w) <= 0.00501 for w in (*up, *down)) for n in numbers)


def check_kernel(axis, out, tokens, token, layer=LAYER, head=HEAD):
    kernel = out.kernels[layer][0, token, head]
    assert [bars(axis)[o] for o in range(-HALF, HALF + 1)] == near(kernel)
    named = [label.get_text().split("\n") for label in axis.get_xticklabels()]
    around = [tokens[token + o] if 0 <= token + o < len(tokens) else "0" for o in range(-HALF, HALF + 1)]
    assert named == [[word, f"{o:+d}".replace("-", "−") if o else "0"]
                     for word, o in zip(around, range(-HALF, HALF + 1))]
    assert numbers(axis) == written({(o, kernel[o + HALF]): kernel[o + HALF] for o in range(-HALF, HALF + 1)},
                                    0.02 * max(kernel))
    assert [label.get_weight() == "bold" for label in axis.get_xticklabels()] == [o == HALF for o in range(K)]


def test_a_kernel_stands_over_the_words_it_multiplies():
    check_kernel(view.kernel_over_words(OUT, WORDS, LAYER, HEAD, TOKEN).axes[0], OUT, WORDS, TOKEN)
    first = view.kernel_over_words(OUT, WORDS, LAYER, HEAD, 0).axes[0]
    check_kernel(first, OUT, WORDS, 0)
    assert f"{KERNEL[0, :HALF].sum():.0%} falls on zeros" in first.get_title(loc="left")
    assert "zeros" not in view.kernel_over_words(OUT, WORDS, LAYER, HEAD, TOKEN).axes[0].get_title(loc="left")


@pytest.mark.parametrize("lost, said", ((0.004, ""), (0.006, "1% falls on zeros"), (0.25, "25% falls on zeros")))
def test_half_a_percent_that_falls_on_zeros_is_said(lost, said):
    out = answer(L, layers=1, H=1, K=K)
    out.kernels[0][0, 0, 0] = [lost / 2, lost / 2, 1 - lost, 0, 0]
    title = view.kernel_over_words(out, WORDS, 0, 0, 0).axes[0].get_title(loc="left")
    assert title == said


def check_pair(axes):
    attention, convolution = (axis.images[0].get_array() for axis in axes)
    np.testing.assert_allclose(attention, np.pad(MAP, ((0, 0), (HALF, HALF))))
    np.testing.assert_allclose(convolution, band(KERNEL), rtol=1e-6)
    assert [axis.get_title(loc="left").split()[0] for axis in axes] == ["attention", "convolution"]
    lost = np.mean([1 - row[HALF:-HALF].sum() for row in band(KERNEL)])
    assert f"{lost:.1%} falls on zeros" in axes[1].get_title(loc="left")
    assert [label.get_text() for label in axes[0].get_yticklabels()] == WORDS
    assert axes[0].images[0].get_clim() == axes[1].images[0].get_clim() == (
        0, pytest.approx(max(MAP.max(), KERNEL.max())))
    for axis in axes:
        assert [label.get_text() for label in axis.get_xticklabels()] == WORDS
        assert {label.get_text() for label in (*axis.get_xticklabels(), *axis.get_yticklabels())
                if label.get_weight() == "bold"} == {WORDS[TOKEN]}
        frames = [patch.get_extents().transformed(axis.transData.inverted()) for patch in axis.patches]
        assert any(abs(frame.y0 - (TOKEN - 0.5)) < 1e-6 and abs(frame.y1 - (TOKEN + 0.5)) < 1e-6
                   or abs(frame.y1 - (TOKEN - 0.5)) < 1e-6 and abs(frame.y0 - (TOKEN + 0.5)) < 1e-6 for frame in frames)
        slanted = sorted(tuple(line.get_xdata()) for line in axis.lines if line.get_linestyle() == "--"
                         and line.get_xdata()[0] != line.get_xdata()[1])
        # A kernel reaches from t - HALF to t + HALF: cells whose edges are half a cell farther out.
        assert slanted == [(-HALF - 1.5, L - HALF - 1.5), (HALF + 0.5, L + HALF + 0.5)]


def test_attention_is_on_the_left_and_the_kernels_on_the_right():
    check_pair(view.side_by_side(OUT, WORDS, LAYER, HEAD, TOKEN).axes[:2])


def check_thumbnails(axes):
    """In the grid, each head's attention and kernels, in the row of its layer."""
    shown = [axis for axis in axes if axis.images]
    assert len(shown) == 3 * 2 * 2
    highest = max(np.max(x) for x in (*OUT.attentions, *OUT.kernels))
    for i, axis in enumerate(shown):
        layer, head, kind = i // 4, i // 2 % 2, i % 2
        want = band(OUT.kernels[layer][0, :, head]) if kind else np.pad(OUT.attentions[layer][0, head],
                                                                        ((0, 0), (HALF, HALF)))
        np.testing.assert_allclose(axis.images[0].get_array(), want, rtol=1e-6)
        assert axis.images[0].get_clim() == (0, pytest.approx(highest))
        if layer == 0:
            assert axis.get_title(loc="left") == f"{('attention', 'convolution')[kind]} {head}"
        assert axis.get_ylabel() == (f"layer {layer}" if head == kind == 0 else "")
    boxes = [axis.get_position() for axis in shown]
    assert all(a.x0 < b.x0 for a, b in zip(boxes[:3], boxes[1:4])) and boxes[0].y0 > boxes[4].y0 > boxes[8].y0


def test_each_thumbnail_is_its_own_head():
    check_thumbnails(view.all_heads(OUT, WORDS).axes)


@pytest.mark.parametrize("heads, titles", ((4, ["attention 3", "convolution 3"]), (5, ["atte. 3", "conv. 3"])))
def test_many_heads_have_short_names(heads, titles):
    shown = [axis for axis in view.all_heads(answer(4, layers=1, H=heads, K=3), words(4)).axes if axis.images]
    assert len(shown) == 2 * heads and [axis.get_title(loc="left") for axis in shown[6:8]] == titles


def check_profile(axis):
    attention, kernel = (bars(axis, LIGHT[kind]) for kind in ("attention", "convolution"))
    assert attention == near(by_offset(MAP))
    assert kernel == near({o: -np.mean(KERNEL[:, o + HALF]) for o in range(-HALF, HALF + 1)})
    close = sum(w for t, row in enumerate(MAP) for s, w in enumerate(row) if abs(t - s) <= HALF) / L
    assert axis.get_title(loc="left") == (
        f"attention: {distance(MAP):.1f} words away, {bits(MAP):.1f} bits, {close:.0%} within ±{HALF}")
    assert [text.get_text() for text in axis.texts] == [
        f"convolution: {distance(inside(KERNEL)):.1f} words away, {bits(KERNEL):.1f} bits"]
    ticks = dict(zip(axis.get_xticks(), (label.get_text().replace("−", "-") for label in axis.get_xticklabels())))
    assert {x: int(label) for x, label in ticks.items()} == {x: x for x in (-L + 1, -HALF, 0, HALF, L - 1)}


def test_the_profile_has_left_on_the_left():
    check_profile(view.profile(OUT, WORDS, LAYER, HEAD).axes[0])


def test_distance_and_entropy_are_not_exchanged_nor_the_kinds():
    figure = view.distances(OUT, WORDS)
    of = {"attention": [[m for m in maps[0]] for maps in OUT.attentions],
          "convolution": [[kernel[0, :, h] for h in range(2)] for kernel in OUT.kernels]}
    for axis, (title, measure) in zip(figure.axes, (("mean distance, words", distance), ("entropy, bits", bits))):
        assert axis.get_title(loc="left") == title
        assert axis.get_ylim()[0] == 0 and axis.spines["left"].get_visible() and axis.spines["bottom"].get_visible()
        for kind, layers in of.items():
            rows = [[measure(inside(x) if (kind, measure) == ("convolution", distance) else x) for x in heads]
                    for heads in layers]
            mean, *points = [line for line in axis.lines if to_hex(line.get_color()) == LIGHT[kind]]
            assert mean.get_ydata() == pytest.approx(np.mean(rows, axis=1)) and mean.get_xdata().tolist() == [0, 1, 2]
            assert np.array([line.get_ydata() for line in points]).T == pytest.approx(np.array(rows))
            label, = [text for text in axis.texts if text.get_text() == kind]
            assert label.xy == (2, pytest.approx(np.mean(rows[2]))) and to_hex(label.get_color()) == LIGHT[kind]


# Two sentences

def check_contexts(axes, layer, head):
    for axis, out, tokens, place in zip(axes, (OUT, OTHER), (WORDS, OTHER_WORDS), (3, 4)):
        check_kernel(axis, out, tokens, place, layer, head)
        assert axis.get_title(loc="left").startswith(" ".join(tokens))
    assert axes[0].get_ylim() == axes[1].get_ylim()
    tallest = max(OUT.kernels[layer][0, 3, head].max(), OTHER.kernels[layer][0, 4, head].max())
    assert axes[0].get_ylim() == (0, pytest.approx(1.14 * tallest, rel=1e-3))


def test_two_contexts_are_two_kernels_of_one_word_on_one_scale():
    figure = view.two_contexts((OUT, WORDS), (OTHER, OTHER_WORDS), layer=LAYER, head=HEAD)
    check_contexts(figure.axes, LAYER, HEAD)
    assert figure._suptitle.get_text() == "“word3” twice: one word, two kernels   ·   layer 2, head 1"
    apart = {(n, h): np.abs(OUT.kernels[n][0, 3, h] - OTHER.kernels[n][0, 4, h]).sum()
             for n in range(3) for h in range(2)}
    figure = view.two_contexts((OUT, WORDS), (OTHER, OTHER_WORDS))
    check_contexts(figure.axes, *max(apart, key=apart.get))
    assert to_hex(figure.get_facecolor()) == LIGHT["paper"]
    for taps, width in ((3, 6), (15, 12)):
        one = answer(8, layers=1, H=2, K=taps, seed=1), words(8)
        assert view.two_contexts(one, one, "word3").get_size_inches() == pytest.approx((width, 4.8))


@pytest.mark.parametrize("place, said", (
    (6, "[CLS] word1 word2 word3 word4 word5 word6 word7 word8 word9 word10 word11 word12 …"),
    (7, "… word1 word2 word3 word4 word5 word6 word7 word8 word9 word10 word11 word12 word13 …"),
    (13, "… word7 word8 word9 word10 word11 word12 word13 word14 word15 word16 word17 word18 [SEP]")))
def test_of_a_long_sentence_six_words_on_either_side_are_said(place, said):
    long = answer(20, layers=1, H=1, K=K)
    figure = view.two_contexts((long, words(20)), (long, words(20)), f"word{place}")
    assert [axis.get_title(loc="left").split("   ")[0] for axis in figure.axes] == [said] * 2


def test_the_overview_is_all_of_them():
    figure = view.overview(OUT, WORDS, LAYER, HEAD, TOKEN, second=(OTHER, OTHER_WORDS))
    figure.draw_without_rendering()
    sentence, pair, middle, contexts, heads = figure.subfigs
    check_one_token(sentence.axes)
    check_pair(pair.axes[:2])
    check_profile(middle.axes[0])
    check_kernel(middle.axes[1], OUT, WORDS, TOKEN)
    check_contexts(contexts.axes, LAYER, HEAD)
    check_thumbnails(heads.subfigs[0].axes)


def test_the_overview_of_two_sentences_shows_the_token_that_is_said_or_the_shared_word():
    for token, said in ((1, "word1"), (None, "word3")):
        figure = view.overview(OUT, WORDS, LAYER, HEAD, token, second=(OTHER, OTHER_WORDS))
        assert figure._suptitle.get_text().startswith(f"What “{said}” takes")


def test_a_matrix_is_drawn_as_it_is():
    values = np.arange(6.0).reshape(2, 3) + 1
    axis = view.matrix(values, ["a", "b"], ["c", "d", "e"], "title", highest=9).axes[0]
    assert (axis.images[0].get_array() == values).all() and axis.images[0].get_clim() == (0, 9)
    assert [[label.get_text() for label in labels] for labels in (axis.get_yticklabels(), axis.get_xticklabels())] == [
        ["a", "b"], ["c", "d", "e"]]
    assert view.matrix(values).axes[0].images[0].get_clim() == (0, 6)


@pytest.mark.parametrize("size, step", ((64, 1), (65, 2), (128, 2), (129, 4)))
def test_of_many_labels_each_that_is_left_names_its_own_row(size, step):
    names = [f"name{i}" for i in range(size)]
    axis = view.matrix(np.ones((size, size)), names, names).axes[0]
    for ticks in (axis.xaxis, axis.yaxis):
        assert ticks.get_ticklocs().tolist() == list(range(0, size, step))
        assert [label.get_text() for label in ticks.get_ticklabels()] == names[::step]


def test_the_scale_beside_the_maps_is_theirs():
    for figure in (view.side_by_side(OUT, WORDS, LAYER, HEAD, TOKEN), view.matrix(np.ones((2, 3)), highest=9)):
        image, bar = figure.axes[0].images[0], figure.axes[-1]
        figure.draw_without_rendering()
        assert bar.get_label() == "<colorbar>" and bar.get_ylim() == pytest.approx(image.get_clim())
        assert bar.get_window_extent().height < figure.axes[0].get_window_extent().height


# What training measured

def test_a_study_shows_means_and_sample_deviations():
    rng = np.random.default_rng(0)
    results = [dict(setting=name, seed=seed, masked_loss=rng.uniform(2, 4), auc=rng.uniform(0.5, 1))
               for seed in range(3) for name in ("attention", "span")] + [
        dict(setting="plain", seed=0, masked_loss=3.5, auc=0.75)]
    figure = by_setting(results)
    names = ["attention", "span", "plain"]
    assert figure.axes[0].yaxis_inverted() and [t.get_text() for t in figure.axes[0].get_yticklabels()] == names
    for axis, key, title in zip(figure.axes, ("masked_loss", "auc"), ("loss", "AUC")):
        assert title in axis.get_title()
        for at, name in enumerate(names):
            values = [r[key] for r in results if r["setting"] == name]
            mean = sum(values) / len(values)
            spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1)) if len(values) > 1 else 0
            dots, = [line for line in axis.lines
                     if set(line.get_ydata()) == {at} and to_hex(line.get_color()) == LIGHT["faint"]]
            assert dots.get_xdata() == pytest.approx(values)
            centre, _, (bar,) = axis.containers[at]
            assert centre.get_xdata() == pytest.approx([mean]) and centre.get_ydata() == [at]
            assert [point[0] for point in bar.get_segments()[0]] == pytest.approx([mean - spread, mean + spread])


@pytest.fixture
def saved(monkeypatch):
    """The figures that are written while a test runs."""
    from matplotlib.figure import Figure
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *args, **options: figures.append(figure))
    return figures


def drawn(axis):
    """-> its title, {label of a line: its points}"""
    return axis.get_title(), {line.get_label() if not line.get_label().startswith("_") else "":
                              [tuple(map(float, point)) for point in line.get_xydata()] for line in axis.lines}


def test_the_curves_of_pretraining_are_those_of_the_log(tmp_path, saved):
    steps = [dict(step=n, loss=9 / n, generator_loss=4 / n, discriminator_loss=0.1 / n, rate=0.5) for n in (1, 2, 3)]
    held_out = [dict(step=n, held_out=dict(masked_loss=3.0, masked_accuracy=n / 10, auc=n / 5)) for n in (2, 3)]
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(entry) + "\n" for entry in [*steps, *held_out, dict(step=3, unigrams={})]))
    draw_curves(log, tmp_path / "curves.png")
    losses, last, held_out = saved[0].axes
    assert [(axis.get_xlabel(), axis.get_ylabel()) for axis in saved[0].axes] == [("step", "nats")] * 2 + [("step", "")]
    assert drawn(losses) == ("generator loss", {"": [(n, 4 / n) for n in (1, 2, 3)]})
    assert drawn(last) == ("discriminator loss", {"": [(n, 0.1 / n) for n in (1, 2, 3)]})
    assert drawn(held_out)[1] == {"masked accuracy": [(2, 0.2), (3, 0.3)], "auc": [(2, 0.4), (3, 0.6)]}


def test_the_curves_of_fine_tuning_are_those_of_the_log(tmp_path, saved):
    log = tmp_path / "log.jsonl"
    entries = [dict(step=1, loss=2.0, rate=0.5), dict(step=2, loss=1.5, rate=0.5),
               dict(step=2, dev=dict(accuracy=0.25, macro_f1=0.125)), dict(step=3, loss=0.5, rate=0.5),
               dict(step=3, dev=dict(accuracy=0.75, macro_f1=0.5))]
    log.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    draw_curves(log, tmp_path / "curves.png")
    losses, measured = saved[0].axes
    assert drawn(losses) == ("loss", {"": [(1, 2.0), (2, 1.5), (3, 0.5)]})
    assert drawn(measured)[1] == {"accuracy": [(2, 0.25), (3, 0.75)], "macro f1": [(2, 0.125), (3, 0.5)]}
