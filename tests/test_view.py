"""The pictures say what the numbers say, and nothing a sentence holds can harm them."""

import base64
import colorsys
import hashlib
import html
import inspect
import io
import json
import re
import subprocess
import sys
import warnings
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minconvbert import view
from minconvbert.ops import softmax
from minconvbert.view import figures, palette
from minconvbert.view.interactive import page_data, titled_page
from minconvbert.view.locality import mean_distance
from minconvbert.view.selection import chosen, compared, label, seen

HOSTILE = ["</script><script>document.title='hacked'</script>", "<img src=x onerror=alert(1)>", '"\'&amp;', "$x^2$",
           "</script x", "<!--<script ", "$", "\u202eright to left", "\x00\x1b[31m", "日本", "<!--", "]]>", "${data}", "a\nb"]


def answer(L, layers=4, H=2, K=9, seed=0, B=1, dtype=np.float32):
    """What a model of `layers` layers returns for L tokens: peaked maps and kernels."""
    rng = np.random.default_rng(seed)
    return SimpleNamespace(
        attentions=[softmax(4 * rng.normal(size=(B, H, L, L)).astype(dtype)) for _ in range(layers)],
        kernels=[softmax(4 * rng.normal(size=(B, L, H, K)).astype(dtype)) for _ in range(layers)])


def words(L):
    return ["[CLS]", *(f"word{i}" for i in range(1, L - 1)), "[SEP]"][:L]


DRAWINGS = {
    "one_token": view.one_token, "kernel_over_words": view.kernel_over_words, "side_by_side": view.side_by_side,
    "all_heads": view.all_heads, "profile": view.profile, "distances": view.distances, "overview": view.overview,
    "two_contexts": lambda out, tokens, **options: view.two_contexts((out, tokens), (out, tokens), tokens[-1], **options)}


# What is chosen

def test_of_a_batch_one_sentence_is_drawn():
    out = answer(7, B=3)
    shown = seen(out, words(7), row=2)
    np.testing.assert_array_equal(shown.maps[1], out.attentions[1][2])
    np.testing.assert_array_equal(shown.kernels[1], out.kernels[1][2].swapaxes(0, 1))
    np.testing.assert_allclose(shown.lost, 1 - shown.bands[..., 4:-4].sum(-1), atol=1e-6)


def test_the_head_that_changes_most_is_drawn_and_its_most_unlike_word():
    out = answer(6)
    for kernel in out.kernels:
        kernel[:] = 1 / 9
    out.kernels[2][0, :, 1] = np.eye(9)[4]
    out.kernels[2][0, 3, 1] = np.eye(9)[0]
    assert chosen(seen(out, words(6))) == (2, 1, 3)
    assert chosen(seen(out, words(6)), head=0)[1] == 0
    assert chosen(seen(out, words(6)), 0, 1, "word2") == (0, 1, 2)


def test_a_head_whose_kernel_is_narrow_but_always_the_same_tells_nothing_and_a_full_stop_is_no_word():
    out = answer(6)
    for kernel in out.kernels:
        kernel[:] = np.eye(9)[4]
    out.kernels[1][0, :, 1] = 1 / 9
    out.kernels[1][0, 3, 1, :2] += (-0.03, 0.03)
    out.kernels[1][0, 2, 1, :2] += (0.05, -0.05)
    assert chosen(seen(out, ["[CLS]", "a", ".", "b", "c", "[SEP]"])) == (1, 1, 3)
    assert chosen(seen(out, ["[CLS]", "a", "d", "b", "c", "[SEP]"])) == (1, 1, 2)


def test_what_is_within_reach_is_of_its_own_kind():
    shown = seen(answer(12), words(12))
    found = shown.measures()
    near = np.abs(np.arange(12)[:, None] - np.arange(12)) <= 4
    np.testing.assert_allclose(found["attention within reach"], (shown.maps * near).sum(-1), rtol=1e-6)
    np.testing.assert_allclose(found["convolution within reach"], 1 - shown.lost, atol=1e-6)


@pytest.mark.parametrize("call, message", [
    (lambda o: seen(o, words(5)), "tokens must name each of the 6 positions, but there are 5; pass one label a"
     " position, special tokens included"),
    (lambda o: seen(o, words(6), row=1), "row must be from 0 to 0, because the batch has 1 sentences, but is 1"),
    (lambda o: seen(SimpleNamespace(logits=1), words(6)), "out must be what a model returned, with attentions and"
     " kernels, but it has none"),
    (lambda o: view.one_token(o, words(6), layer=4), "layer must be from 0 to 3, but is 4"),
    (lambda o: view.one_token(o, words(6), head=-1), "head must be from 0 to 1, but is -1"),
    (lambda o: view.one_token(o, words(6), token=6), "token must be from 0 to 5, but is 6"),
    (lambda o: view.page(o, words(6), token="bank"), "token must be one of the sentence, [CLS] word1 word2 word3 word4"
     " [SEP], but is 'bank'"),
    (lambda o: view.page(o, words(6), second=(o, list("abcdef"))), "the two sentences must have a word in common, but"
     " they share none"),
    (lambda o: view.matrix(np.ones(3)), "values must be a matrix (R, C), but their shape is (3,)"),
])
def test_what_is_refused(call, message):
    with pytest.raises(ValueError) as error:
        call(answer(6))
    assert str(error.value) == message


def test_shared_words_are_words():
    a = seen(answer(6), ["[CLS]", "the", ".", "riverbank", "bank", "[SEP]"])
    b = seen(answer(6), ["[CLS]", "bank", ".", "the", "riverbank", "[SEP]"])
    assert compared(a, b).words == ["riverbank", "bank", "the"] and compared(a, b).places == (3, 4)
    assert compared(a, b, "the").words == ["the"] and compared(a, b, "the").places == (1, 3)


def test_two_contexts_are_compared_where_their_kernels_differ_most():
    first, second = answer(6), answer(6)
    second.kernels[2][0, 4, 1] = first.kernels[2][0, 1, 1][::-1]
    for kernel, layer in zip(second.kernels, range(4)):
        for head in range(2):
            if (layer, head) != (2, 1):
                kernel[0, 4, head] = first.kernels[layer][0, 1, head]
    a, b = seen(first, ["[CLS]", "bank", *"cde", "[SEP]"]), seen(second, ["[CLS]", *"xyz", "bank", "[SEP]"])
    assert compared(a, b) == (["bank"], (1, 4), 2, 1)
    assert compared(a, b, layer=0, head=0)[2:] == (0, 0)


def test_what_cannot_be_seen_is_shown_by_its_number():
    assert label("a\x00\u202eb\u200b") == r"a\u0000\u202eb\u200b"
    assert label("żółć 日本 ##s") == "żółć 日本 ##s"


def test_sentences_of_a_batch_are_picked_by_row():
    out, tokens = answer(7, B=3), words(7)
    one = lambda row: SimpleNamespace(attentions=[a[[row]] for a in out.attentions], kernels=[k[[row]] for k in out.kernels])
    heights = lambda first, second: [bar.get_height() for axis in view.two_contexts(first, second, "word2", 1, 0).axes
                                     for bar in axis.patches]
    assert heights((out, tokens, 1), (out, tokens, 2)) == heights((one(1), tokens), (one(2), tokens))
    assert heights((out, tokens, 1), (out, tokens, 2)) != heights((out, tokens), (out, tokens, 2))
    assert page_data(out, tokens, row=1, second=(out, tokens, 2)) == page_data(one(1), tokens, second=(one(2), tokens))


# Still pictures

@pytest.mark.parametrize("name", DRAWINGS)
@pytest.mark.parametrize("L", (1, 2, 12))
def test_every_drawing_is_drawn(name, L):
    out, tokens = answer(L), words(L)
    if name == "two_contexts" and L == 1:
        tokens = ["word"]
    data = DRAWINGS[name](out, tokens)._repr_png_()
    from matplotlib.image import imread
    pixels = imread(io.BytesIO(data))[..., :3]
    assert (np.ptp(pixels, axis=2) > 0.15).mean() > 0.002, "there is no colour in it"


@pytest.mark.long
def test_long_sentences_and_hostile_words_are_drawn():
    for draw in (view.one_token, view.side_by_side):
        draw(answer(128, 1), words(128))._repr_png_()
    tokens = HOSTILE + ["word"]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "no font of this machine")
        view.overview(answer(len(tokens), 1), tokens, second=(answer(len(tokens), 1, seed=1), tokens))._repr_png_()


def test_both_maps_have_the_same_axes_scale_and_colours():
    out, tokens = answer(9), words(9)
    figure = view.side_by_side(out, tokens, 1, 0)
    attention, convolution = (axis.images[0] for axis in figure.axes[:2])
    assert attention.get_extent() == convolution.get_extent() == [-4.5, 12.5, 8.5, -0.5]
    assert attention.get_clim() == convolution.get_clim()
    assert attention.get_clim()[1] == max(out.attentions[1][0, 0].max(), out.kernels[1][0, :, 0].max())
    assert attention.get_cmap() == convolution.get_cmap()
    np.testing.assert_array_equal(attention.get_array()[:, 4:-4], out.attentions[1][0, 0])
    assert not attention.get_array()[:, :4].any() and not attention.get_array()[:, -4:].any()
    np.testing.assert_array_equal(convolution.get_array(), view.padded_band(out.kernels[1])[0, 0])
    labels = [[t.get_text() for t in axis.get_xticklabels()] for axis in figure.axes[:2]]
    assert labels == [tokens, tokens]


def test_bars_are_as_high_as_the_weights():
    out, tokens = answer(9), words(9)
    figure = view.kernel_over_words(out, tokens, 2, 1, 1)
    bars = figure.axes[0].patches
    np.testing.assert_allclose([bar.get_height() for bar in bars], out.kernels[2][0, 1, 1])
    assert [bool(bar.get_hatch()) for bar in bars] == [True] * 3 + [False] * 6
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == [
        "0\n−4", "0\n−3", "0\n−2", "[CLS]\n−1", "word1\n0", "word2\n+1", "word3\n+2", "word4\n+3", "word5\n+4"]
    lost = out.kernels[2][0, 1, 1, :3].sum()
    assert f"{lost:.0%} falls on zeros" in figure.axes[0].get_title(loc="left")

    figure = view.one_token(out, tokens, 2, 1, 1)
    heights = [bar.get_height() for axis in figure.axes for bar in axis.patches]
    up, down = [h for h in heights if h > 0], [-h for h in heights if h < 0]
    np.testing.assert_allclose(sorted(up), sorted(out.attentions[2][0, 1, 1]), atol=1e-6)
    np.testing.assert_allclose(sorted(down), sorted(out.kernels[2][0, 1, 1]), atol=1e-6)


@pytest.mark.parametrize("kind", ("svg", "png", "pdf"))
def test_the_same_picture_is_the_same_file(tmp_path, kind):
    out, tokens = answer(5), words(5)
    files = [tmp_path / f"{i}.{kind}" for i in range(2)]
    for file in files:
        view.save(view.side_by_side(out, tokens), file)
    first, second = (file.read_bytes() for file in files)
    assert first == second and len(first) > 5000


def test_another_kind_of_file_is_refused_and_none_is_left(tmp_path):
    figure = view.matrix(np.eye(3))
    for name in ("view.bmp", "view"):
        with pytest.raises(ValueError, match="a picture must be written as .png, .svg or .pdf, but the path is .*view"):
            view.save(figure, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_drawings_take_the_place_of_axes():
    plt = pytest.importorskip("matplotlib.pyplot")
    out, tokens = answer(4), words(4)
    drawn = {
        view.one_token: 1, view.kernel_over_words: 1, view.side_by_side: 2, view.all_heads: None, view.profile: 1,
        view.distances: 2, lambda *given, ax: view.two_contexts(given, given, word=tokens[1], ax=ax): 2,
        lambda out, tokens, ax: view.matrix(np.eye(3), ax=ax): 1}
    for draw, count in drawn.items():
        figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
        axes = draw(out, tokens, ax=left)
        figure.draw_without_rendering()
        assert count in (None, len(axes)) and left not in figure.axes and right in figure.axes
        assert {*axes} <= {*figure.axes}
        for axis in axes:
            assert 0 <= axis.get_window_extent().x0 < axis.get_window_extent().x1 < figure.bbox.width / 2
        plt.close(figure)
    with pytest.raises(ValueError, match="ax must be axes that plt.subplots made, but is <"):
        view.profile(out, tokens, ax=plt.figure().add_axes((0, 0, 1, 1)))
    plt.close("all")


def test_matplotlib_is_asked_for_only_when_drawing():
    code = ("import sys; sys.modules['matplotlib'] = None; import minconvbert.view as v; import tests.test_view as t\n"
            "v.page(t.answer(4), t.words(4))\n"
            "try: v.matrix([[1]])\nexcept ModuleNotFoundError as error: print(error)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == ('pictures need matplotlib: pip install "minconvbert[plot]"; the page,'
                                   " view.page, needs nothing"), done.stderr


def test_no_figure_is_kept_alive_by_pyplot():
    code = ("import sys; import tests.test_view as t\nt.view.matrix([[1]])._repr_png_()\n"
            "print('matplotlib.pyplot' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


# Colours

def _linear(colour):
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _luminance(linear):
    return linear @ [0.2126, 0.7152, 0.0722]


# How red-, green- and blue-blind eyes see: Machado, Oliveira and Fernandes 2009, severity 1.
BLIND = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]}


@pytest.mark.parametrize("theme", ("LIGHT", "DARK"))
@pytest.mark.parametrize("eyes", (None, *BLIND))
def test_maps_grow_steadily_darker_or_lighter_for_all_eyes(theme, eyes):
    colours = getattr(palette, theme)
    see = np.eye(3) if eyes is None else np.array(BLIND[eyes])
    lightness = np.array([_luminance(np.clip(see @ _linear(c), 0, 1)) for c in colours["ramp"]]) ** (1 / 3)
    steps = np.diff(lightness) * (-1 if theme == "LIGHT" else 1)
    assert (steps > 0.02).all(), steps
    assert colours["ramp"][0] == colours["paper"]


@pytest.mark.parametrize("theme", ("LIGHT", "DARK"))
def test_the_two_kinds_are_told_apart_by_all_eyes(theme):
    colours = getattr(palette, theme)
    for see in map(np.array, BLIND.values()):
        two = [np.clip(see @ _linear(colours[kind]), 0, 1) ** (1 / 2.2) for kind in ("attention", "convolution")]
        hues = [colorsys.rgb_to_hsv(*colour)[0] for colour in two]
        apart = abs(hues[0] - hues[1])
        assert min(apart, 1 - apart) > 0.2 or np.abs(two[0] - two[1]).max() > 0.3


@pytest.mark.parametrize("theme", ("LIGHT", "DARK"))
@pytest.mark.parametrize("paper", ("paper", "outside"))
@pytest.mark.parametrize("text", ("ink", "faint", "attention", "convolution"))
def test_text_has_contrast(theme, paper, text):
    light, dark = sorted((_luminance(_linear(getattr(palette, theme)[name])) for name in (paper, text)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


# The page

class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.found, self.text = [], {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data):
        tag, attributes = self.found[-1] if self.found else ("", {})
        self.text.setdefault((tag, attributes.get("id")), []).append(data)


def data_of(page):
    return json.loads("".join(Elements(page.html).text["script", "data"]))


def test_the_page_of_32_tokens_of_the_tiny_model_is_small():
    out, tokens = answer(32), words(32)
    assert len(view.page(out, tokens).html.encode()) < 100_000
    assert len(view.page(out, tokens, second=(out, tokens)).html.encode()) < 150_000


def test_the_page_holds_the_weights_to_a_part_in_65535():
    out = answer(12)
    sentence = data_of(view.page(out, words(12)))["sentences"][0]
    assert sentence["tokens"] == words(12) and sentence["special"] == [True] + [False] * 10 + [True]
    unpack = lambda name, kind: np.frombuffer(base64.b64decode(sentence[name]), kind)                    # noqa: E731
    maps = unpack("maps", "<u2").reshape(4, 2, 12, 12) / 65535
    kernels = unpack("kernels", "<u2").reshape(4, 2, 12, 9) / 65535
    measures = unpack("measures", "<f4").reshape(4, 2, 12, 7)
    profile = unpack("profile", "<f4").reshape(4, 2, 23)
    for layer in range(4):
        np.testing.assert_allclose(maps[layer], out.attentions[layer][0], atol=0.51 / 65535)
        np.testing.assert_allclose(kernels[layer], out.kernels[layer][0].swapaxes(0, 1), atol=0.51 / 65535)
        band, lost = view.kernel_band(out.kernels[layer])
        attention = out.attentions[layer]
        for k, values in enumerate((
                view.mean_distance(attention), view.mean_distance(band), view.entropy(attention),
                view.entropy(out.kernels[layer].swapaxes(1, 2)), view.local_mass(attention, 4),
                view.local_mass(band, 4), lost)):
            np.testing.assert_allclose(measures[layer, ..., k], values[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(profile[layer], view.mass_by_offset(attention)[1], rtol=1e-5)


def test_nothing_of_a_sentence_becomes_markup():
    plain = Elements(view.page(answer(len(HOSTILE)), words(len(HOSTILE))).html)
    page = titled_page(page_data(answer(len(HOSTILE)), HOSTILE), "<b>model</b>", ["</script><i>"])
    hostile = Elements(page.html)
    assert hostile.found == plain.found
    data = data_of(page)
    assert data["sentences"][0]["tokens"] == [label(token) for token in HOSTILE]
    assert data["model"] == "<b>model</b>" and data["notes"] == ["</script><i>"]


def test_the_page_needs_no_other_file_and_no_network():
    page = view.page(answer(5), words(5)).html
    attributes = {name for _, attributes in Elements(page).found for name in attributes}
    assert not attributes & {"src", "href", "action", "style"}
    assert set(re.findall(r"https?://[\w./]+", page)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\bfetch\(|XMLHttp|import\(|@import|url\(|eval\(|innerHTML|insertAdjacentHTML", page)


def test_its_policy_allows_its_own_script_and_style_alone():
    page = view.page(answer(5), words(5)).html
    policy = next(a["content"] for tag, a in Elements(page).found if a.get("http-equiv") == "Content-Security-Policy")
    blocks = [re.search(rf"<{tag}>(.*?)</{tag}>", page, re.S).group(1) for tag in ("script", "style")]
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(b.encode()).digest()).decode()}'" for b in blocks]
    assert policy == f"default-src 'none'; script-src {hashes[0]}; style-src {hashes[1]}"


def test_a_notebook_shows_it_in_a_closed_frame():
    page = view.page(answer(5), HOSTILE[:5])
    page.height = 700
    (tag, frame), = Elements(page._repr_html_()).found
    assert tag == "iframe" and frame["srcdoc"] == page.html
    assert frame["sandbox"] == "allow-scripts" and "height: 700px" in frame["style"]


def test_the_page_is_written_whole_or_not_at_all(tmp_path):
    page = view.page(answer(5), words(5))
    page.save(tmp_path / "view.html")
    assert (tmp_path / "view.html").read_text("utf-8") == page.html
    with pytest.raises(OSError):
        page.save(tmp_path / "absent" / "view.html")
    assert [p.name for p in tmp_path.iterdir()] == ["view.html"]


def test_title_is_the_sentence():
    page = view.page(answer(3), ["[CLS]", "<b>", "[SEP]"])
    title = re.search("<title>(.*?)</title>", page.html).group(1)
    assert html.unescape(title) == "What each word takes: [CLS] <b> [SEP]"


# The command

@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from minconvbert.config import ConvBertConfig
    from minconvbert.faces import ConvBertModel
    from minconvbert.initialize import init_params
    from minconvbert.tokenizer import ConvBertTokenizerFast
    folder = tmp_path_factory.mktemp("model")
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"the bank of river she went to ##s . < b > /".split()]
    cfg = ConvBertConfig(vocab_size=len(vocab), hidden_size=16, embedding_size=16, num_hidden_layers=2,
                         num_attention_heads=4, intermediate_size=8, max_position_embeddings=14, pad_token_id=0)
    params = {name: 20 * x for name, x in init_params(cfg, rng=np.random.default_rng(0)).items()}
    ConvBertModel(cfg, params).save_pretrained(folder)
    ConvBertTokenizerFast(vocab).save_pretrained(folder)
    return folder


@pytest.fixture
def command(folder, tmp_path, monkeypatch, capsys):
    from minconvbert.__main__ import main
    monkeypatch.chdir(tmp_path)

    def run(*args, model=folder):
        code = main(["view", *args, "--model", str(model)])
        return code, *capsys.readouterr()
    return run


def test_the_command_draws_what_the_model_answers(command, folder, tmp_path):
    from minconvbert.faces import ConvBertModel
    code, said, errors = command("The bank of the river.", "--layer", "1", "--token", "River", "--out", "a.html")
    assert (code, said, errors) == (0, "wrote a.html\n", "")
    page = view.Page((tmp_path / "a.html").read_text("utf-8"))
    data = data_of(page)
    sentence = data["sentences"][0]
    assert sentence["tokens"] == "[CLS] the bank of the river . [SEP]".split()
    assert (data["layer"], data["token"]) == (1, [5])
    assert data["model"] == f"{folder.name} · 2 layers, each of 2 attention and 2 convolution heads"
    out = ConvBertModel.from_pretrained(folder)(np.array([[2, 5, 6, 7, 5, 8, 13, 3]]))
    kernels = np.frombuffer(base64.b64decode(sentence["kernels"]), "<u2").reshape(2, 2, 8, 9) / 65535
    np.testing.assert_allclose(kernels[1], out.kernels[1][0].swapaxes(0, 1), atol=0.51 / 65535)


def test_a_pair_is_read_as_two_segments(command, folder, tmp_path):
    from minconvbert.faces import ConvBertModel
    command("the bank", "--pair", "the river", "--out", "a.html")
    sentence = data_of(view.Page((tmp_path / "a.html").read_text("utf-8")))["sentences"][0]
    assert sentence["tokens"] == "[CLS] the bank [SEP] the river [SEP]".split()
    out = ConvBertModel.from_pretrained(folder)(
        np.array([[2, 5, 6, 3, 5, 8, 3]]), token_type_ids=np.array([[0, 0, 0, 0, 1, 1, 1]]))
    maps = np.frombuffer(base64.b64decode(sentence["maps"]), "<u2").reshape(2, 2, 7, 7) / 65535
    np.testing.assert_allclose(maps[1], out.attentions[1][0], atol=0.51 / 65535)


def test_the_command_compares_a_word_in_two_sentences(command, tmp_path):
    second = "she went to the bank"
    assert command("the bank of the river", "--second", second, "--word", "Bank", "--out", "a.html")[0] == 0
    data = data_of(view.Page((tmp_path / "a.html").read_text("utf-8")))
    assert data["shared"] == ["bank"] and data["token"] == [2, 5] and len(data["sentences"]) == 2


@pytest.mark.parametrize("kind, begins", (("svg", b"<?xml"), ("png", b"\x89PNG"), ("PDF", b"%PDF")))
def test_the_command_writes_pictures(command, tmp_path, kind, begins):
    assert command("the bank", "--out", f"a.{kind}") == (0, f"wrote a.{kind}\n", "")
    assert (tmp_path / f"a.{kind}").read_bytes().startswith(begins)


def test_unknown_words_markup_and_control_characters_are_drawn(command, tmp_path):
    code, said, _ = command("the <b>bänk</b>\x07s \u202e of", "--out", "a.html")
    assert code == 0
    data = data_of(view.Page((tmp_path / "a.html").read_text("utf-8")))
    assert data["sentences"][0]["tokens"] == "[CLS] the < b > bank < / b > [UNK] of [SEP]".split()
    strange = page_data(answer(4), ["[CLS]", "[", "[x]", "[SEP]"])["sentences"][0]
    assert strange["special"] == [True, False, False, True]
    assert repr(view.Page("x" * 12_345)).startswith("Page of 12 kB: ")
    assert data["notes"] == [said.splitlines()[0]] == ["Not in the vocabulary, and seen as [UNK]: s."]


@pytest.mark.parametrize("args, message", [
    ([""], "the sentence must have at least one word, but there is none in ''"),
    (["\x07 \u200b"], r"the sentence must have at least one word, but there is none in '\x07 \u200b'"),
    (["the " * 13], "the sentence must have at most 14 pieces, special tokens counted, because the model has no more"
     " positions, but has 15; shorten it"),
    (["the", "--second", "the " * 13], "the sentence must have at most 14 pieces"),
    (["the", "--out", "a.gif"], "--out must end in one of .html, .svg, .png, .pdf, but is 'a.gif'"),
    (["the", "--out", "absent/a.html"], "--out must be in a folder that exists, but absent is not one; make it first"),
    (["the", "--word", "the"], "--word names the word to compare in two sentences; pass the second sentence with --second"),
    (["the bank", "--second", "she went"], "the two sentences must have a word in common, but they share none"),
    (["the", "--token", "bank"], "token must be one of the sentence, [CLS] the [SEP], but is 'bank'"),
    (["the", "--token", "banks"], "a token must be one piece of the sentence, [CLS] the [SEP], but 'banks' is 2:"
     " bank ##s"),
    (["the", "--token", "7"], "token must be from 0 to 2, but is 7"),
    (["the", "--layer", "2"], "layer must be from 0 to 1, but is 2"),
])
def test_the_command_refuses(command, tmp_path, args, message):
    code, said, errors = command(*args)
    assert code == 2 and said == "" and errors.startswith(f"error: {message}")
    assert not list(tmp_path.iterdir())


def test_the_command_asks_for_matplotlib(command, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert command("the", "--out", "a.svg")[2].startswith('error: .svg needs matplotlib: pip install "minc')
    assert command("the", "--out", "a.html")[0] == 0


def test_letters_that_no_font_has_are_named_in_one_warning():
    from fontTools.ttLib import TTFont
    from matplotlib.font_manager import fontManager
    drawn = {chr(code) for font in fontManager.ttflist if font.name in figures.WORDS
             for code in TTFont(font.fname, fontNumber=0).getBestCmap()}
    tokens = ["[CLS]", "你好", "سلام", "😀", "café", "𒀀𒀁"]
    missing = sorted({letter for token in tokens[1:] for letter in token} - drawn)
    assert "س" in drawn and "𒀀" in missing
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        data = view.overview(answer(6), tokens)._repr_png_()
    assert data.startswith(b"\x89PNG") and len(said) == 1
    assert f"no font of this machine has {' '.join(missing)}, so" in str(said[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        view.overview(answer(3), ["[CLS]", "سلام", "é"])._repr_png_()


@pytest.mark.parametrize("name", DRAWINGS)
@pytest.mark.parametrize("L", [2, 4, 12])
def test_no_text_leaves_its_picture(name, L):
    figure = DRAWINGS[name](answer(L), words(L))
    figure.canvas.draw()
    box = figure.get_tightbbox(figure.canvas.get_renderer())             # inches
    width, height = figure.get_size_inches()
    assert min(box.x0, box.y0, width - box.x1, height - box.y1) > -0.02, (box, width, height)


# Notebooks

def test_a_notebook_shows_live_sources_with_their_lines_and_what_may_be_called(capsys):
    matplotlib = pytest.importorskip("matplotlib")
    pytest.importorskip("IPython")
    with matplotlib.rc_context():                      # it has looks of its own
        from minconvbert.view import notebook
    shown = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notebook, "display", lambda what: shown.append(what.data))
        notebook.show(softmax, mean_distance)
        notebook.show(softmax, fold="All of it")
    for function in (softmax, mean_distance):
        lines, number = inspect.getsourcelines(function)
        file = Path(inspect.getsourcefile(function)).relative_to(notebook.ROOT).as_posix()
        assert f"`{file}`, line {number}\n```python\n{''.join(lines).rstrip()}\n```" in shown[0]
        assert Path(notebook.ROOT, file).read_text().splitlines()[number - 1].startswith(f"def {function.__name__}(")
    assert shown[1].startswith("<details><summary>All of it</summary>\n\n`minconvbert/ops.py`")
    notebook.needs(mean_distance, figures.side_by_side)
    assert capsys.readouterr().out.splitlines() == [
        "mean_distance(maps)", "    (B, H, L, L)  ->  (B, H, L);   0 where a row has no weight at all",
        "side_by_side(out, tokens, layer=None, head=None, token=None, row=0, ax=None)",
        "    Attention map and convolution kernels of one layer and head: the same axes, scale and colours."]
