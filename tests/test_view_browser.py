"""The page in a real browser: it is hovered, tapped and walked by keyboard, and what it then says is read."""

import html
from pathlib import Path

import numpy as np
import pytest
from browser import MISSING, browser
from test_view import HOSTILE, answer, words

from minconvbert import view
from minconvbert.view.interactive import page_data, titled_page

pytestmark = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")
LEFT, UP, RIGHT, DOWN, END, TAB = "ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown", "End", "Tab"
OUT, WORDS, SECOND = answer(12), words(12), answer(7, seed=1)


@pytest.fixture(scope="module")
def chromium():
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("view")
    view.page(OUT, WORDS, layer=1, head=0, token=5).save(folder / "view.html")
    view.page(OUT, WORDS, layer=1, head=0, token=5, second=(SECOND, ["[CLS]", *"abcd", "word3", "[SEP]"])).save(
        folder / "two.html")
    hostile = answer(len(HOSTILE)), HOSTILE
    titled_page(page_data(*hostile, second=hostile), "<script>hacked=1</script>", HOSTILE).save(folder / "hostile.html")
    (folder / "notebook.html").write_text(view.page(OUT, WORDS, layer=1, head=0, token=5)._repr_html_(), "utf-8")
    return lambda name="view": folder / f"{name}.html"


@pytest.fixture
def page(chromium, file):
    chromium.screen()
    chromium.open(file())
    return chromium


def said(page, frame=None):
    """The numbers that both kinds of heads answer: token -> (attention, convolution), zeros by their distance."""
    rows = page.run("""return [...document.querySelectorAll("#numbers tbody tr")].map(tr =>
        [...tr.cells].map(td => td.textContent))""", frame=frame)
    return [[text.replace("−", "-") for text in row] for row in rows]


def must_say(page, layer, head, token, out=OUT, L=12, frame=None):
    band = view.padded_band(out.kernels[layer])[0, head, token]
    attention, half = out.attentions[layer][0, head, token], out.kernels[0].shape[-1] // 2
    rows = {int(row[2]) + token: row for row in said(page, frame)}
    assert sorted(rows) == list(range(min(0, token - half), max(L, token + half + 1)))
    for u, (position, _, _, a, c) in rows.items():
        if 0 <= u < L:
            assert int(position) == u and float(a) == pytest.approx(attention[u], abs=6e-5)
        else:
            assert position == a == ""
        if abs(u - token) <= half:
            assert float(c) == pytest.approx(band[u + half], abs=6e-5)
        else:
            assert c == ""
    page.run("return Promise.all(document.getAnimations().map(moving => moving.finished)).then(() => 0)", frame=frame)
    heights = page.run("""return [...document.querySelectorAll("#stage .word")].map(cell => [".up i", ".down i"].map(
        bar => cell.querySelector(bar).getBoundingClientRect().height))""", frame=frame)
    up, down = np.array(heights).T
    unit = up.max() / attention.max()
    np.testing.assert_allclose(up[half:-half], attention * unit, atol=0.2)
    np.testing.assert_allclose(down, band * unit, atol=0.2)
    checked = page.run("""return [...document.querySelectorAll("[role=radio][aria-checked=true]")].map(
        e => +e.dataset.token)""", frame=frame)
    assert checked == [token]


def summary(weights, names, distances):
    best = [u for u in np.argsort(-weights, kind="stable")[:4] if weights[u] >= 0.01]
    signed = [f"{d:+d}".replace("-", "−") if d else "0" for d in distances]
    return "  ·  ".join(f"{names[u]} {signed[u]} {weights[u]:.3f}".replace(" 0.", " .") for u in best)


def test_it_opens_with_the_chosen_word_and_without_complaint(page):
    must_say(page, 1, 0, 5)
    assert page.complaints() == []
    assert page.run("return performance.getEntriesByType('resource').length") == 0
    assert page.run("return document.querySelector('#layers input:checked').value") == "1"


def test_hovering_a_word_makes_both_kinds_answer(page):
    page.hover(*page.centre('[data-token="2"] bdi'))
    must_say(page, 1, 0, 2)
    text = page.run("return ['attention', 'convolution'].map(k => document.getElementById('says-' + k).textContent)")
    assert text[0] == summary(OUT.attentions[1][0, 0, 2], WORDS, range(-2, 10))
    assert text[1] == summary(OUT.kernels[1][0, 2, 0], ["zero", "zero", *WORDS[:7]], range(-4, 5))
    page.hover(5, 5)
    must_say(page, 1, 0, 5)


def test_a_click_stays(page):
    page.hover(*page.centre('[data-token="8"] bdi'), press=True)
    page.hover(5, 5)
    must_say(page, 1, 0, 8)
    assert page.run("return document.getElementById('live').textContent").startswith("word8. Attention: ")


def test_a_finger_taps(chromium, file):
    chromium.screen(width=390, height=844, touch=True)
    chromium.open(file())
    chromium.tap(*chromium.centre('[data-token="9"] bdi'))
    must_say(chromium, 1, 0, 9)


def test_the_keyboard_reaches_everything(page):
    page.run("document.querySelector('[role=radio][aria-checked=true]').focus()")
    page.keys(RIGHT)
    must_say(page, 1, 0, 6)
    page.keys(LEFT, LEFT, LEFT)
    must_say(page, 1, 0, 3)
    page.keys(END, DOWN)
    must_say(page, 2, 0, 11)
    page.keys(RIGHT, UP, UP, UP, UP)
    must_say(page, 0, 0, 11)
    assert page.run("return document.activeElement.dataset.token") == "11"

    page.open(page.run("return location.pathname"))
    reached = []
    for _ in range(20):
        page.keys(TAB)
        reached.append(page.run("""const e = document.activeElement;
            return e.name || e.dataset.token || e.ariaLabel || e.tagName"""))
    assert reached[:3] == ["layers", "heads", "5"]
    assert reached[3:11] == [f"layer {n}, head {h}" for n in range(4) for h in range(2)] and reached[11] == "SUMMARY"
    page.open(page.run("return location.pathname"))
    page.keys(TAB, RIGHT, TAB, RIGHT)
    must_say(page, 2, 1, 5)


def test_a_thumbnail_chooses_layer_and_head(page):
    page.hover(*page.centre('[aria-label="layer 3, head 1"]'), press=True)
    page.hover(5, 5)
    must_say(page, 3, 1, 5)
    assert page.run("return document.activeElement.getAttribute('aria-label')") == "layer 3, head 1"


@pytest.mark.parametrize("kind", ("attention", "convolution"))
@pytest.mark.parametrize("token, column", ((3, 5), (10, 10), (0, -2), (11, 13)))
def test_pointing_at_a_map_reads_the_cell_from_both(page, kind, token, column):
    page.centre(f"#map-{kind}")
    left, top, gutter, size = page.run("""const b = document.getElementById(arguments[0]).getBoundingClientRect();
        return [b.left, b.top, geometry.gutter, geometry.size]""", f"map-{kind}")
    page.hover(left + gutter + (column + 4 + 0.5) * size, top + (token + 0.5) * size)
    must_say(page, 1, 0, token)
    inside = 0 <= column < 12
    attention = OUT.attentions[1][0, 0, token, column] if inside else 0
    convolution = view.padded_band(OUT.kernels[1])[0, 0, token, column + 4]
    offset = f"{column - token:+d}".replace("-", "−") if column != token else "0"
    want = (f"{WORDS[token]} → {WORDS[column] if inside else 'zero'} ({offset}) attention {attention:.3f}"
            f" convolution {convolution:.3f}").replace(" 0.", " .")
    assert " ".join(page.run("return document.getElementById('cell').textContent").split()) == want


def test_the_maps_are_painted_in_one_scale(page):
    """The colour of a cell is that of its weight, in both maps."""
    top = max(OUT.attentions[1][0, 0].max(), OUT.kernels[1][0, :, 0].max())
    for kind, weights in (("attention", np.pad(OUT.attentions[1][0, 0], ((0, 0), (4, 4)))),
                          ("convolution", view.padded_band(OUT.kernels[1])[0, 0])):
        colours, ramp = page.run("""
            const canvas = document.getElementById("map-" + arguments[0]), { gutter, size } = geometry;
            const context = canvas.getContext("2d"), cell = (t, u) => [...context.getImageData(
                Math.round(gutter + (u + 0.3) * size), Math.round((t + 0.7) * size), 1, 1).data].slice(0, 3);
            const upTo12 = f => Array.from({ length: 12 }, (_, i) => f(i));
            return [upTo12(t => upTo12(u => cell(t, u + 4))), ramp]""", kind)
        want = np.array(ramp)[np.rint(255 * weights[:, 4:-4] / top).astype(int)]
        differ = np.abs(np.array(colours) - want).max(-1) > 4
        assert differ.sum() <= 8, "only the slanted lines may hide a colour"


def bars_of(page, kind):
    """{offset: height} of the profile's bars, heights as parts of their sum."""
    found = page.run("""const svg = document.getElementById("profile");
        return [...svg.querySelectorAll("rect." + arguments[0])].map(
            bar => ["x", "width", "y", "height"].map(name => +bar.getAttribute(name)))""", kind)
    wide, axis = page.run("""const svg = document.getElementById("profile"), line = svg.querySelector(".axis");
        return [svg.viewBox.baseVal.width, +line.getAttribute("y1")]""")
    step, total = wide / 23, sum(height for _, _, _, height in found)
    assert all(y + h == pytest.approx(axis) if kind == "a" else y == pytest.approx(axis) for _, _, y, h in found)
    return {round((x + width / 2) / step - 0.5) - 11: height / total for x, width, _, height in found}


def test_the_profile_is_the_mean_by_offset_and_not_mirrored(page):
    maps, kernel = OUT.attentions[1][0, 0], OUT.kernels[1][0, :, 0]
    want = dict.fromkeys(range(-11, 12), 0.0)
    for t, row in enumerate(maps):
        for s, weight in enumerate(row):
            want[s - t] += weight / 12
    assert bars_of(page, "a") == pytest.approx(want, abs=1e-4)
    assert bars_of(page, "c") == pytest.approx({o: kernel[:, o + 4].mean() for o in range(-4, 5)}, abs=1e-4)
    page.hover(*page.centre('[aria-label="layer 2, head 1"]'), press=True)
    want = {o: OUT.kernels[2][0, :, 1][:, o + 4].mean() for o in range(-4, 5)}
    assert bars_of(page, "c") == pytest.approx(want, abs=1e-4)


def test_the_table_of_measures_has_means_and_those_of_the_word(page):
    maps, band = OUT.attentions[1][0, 0], view.padded_band(OUT.kernels[1])[0, 0]
    within = band[:, 4:-4]
    distances = np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    bits = lambda rows: -(rows * np.log2(rows, where=rows > 0, out=np.zeros_like(rows))).sum(1)
    far = lambda rows: (rows * distances).sum(1) / rows.sum(1)
    near = lambda rows: (rows * (distances <= 4)).sum(1)
    lost = band[:, :4].sum(1) + band[:, -4:].sum(1)
    shown = page.run("""return [...document.querySelectorAll("#measures tbody tr")].map(tr => [...tr.cells].map(
        cell => [cell.firstChild.textContent, (cell.querySelector("small") || {}).textContent]))""")
    want = [("mean distance", (far(maps), far(within))), ("entropy, bits", (bits(maps), bits(OUT.kernels[1][0, :, 0]))),
            ("within ±4", (near(maps), near(within))), ("on zeros", (None, lost))]
    for (title, *cells), (name, columns) in zip(shown, want, strict=True):
        assert title[0] == name
        for (mean, word), values in zip(cells, columns):
            if values is None:
                assert (mean, word) == ("none", None)
                continue
            for text, value in ((mean, values.mean()), (word.removeprefix("this word "), values[5])):
                digits, percent = text.removesuffix("%"), text.endswith("%")
                assert float(digits) == pytest.approx(100 * value if percent else value, abs=0.52 if percent else 0.052)


def test_each_thumbnail_is_painted_from_its_own_head(page):
    top = max(np.max(x) for x in (*OUT.attentions, *OUT.kernels))
    painted, ramp = page.run("""return [[...document.querySelectorAll("#all button")].map(button => [button.ariaLabel,
        ...[...button.querySelectorAll("canvas")].map(canvas => [...canvas.getContext("2d").getImageData(
            0, 0, canvas.width, canvas.height).data])]), ramp]""")
    assert [label for label, _, _ in painted] == [f"layer {n}, head {h}" for n in range(4) for h in range(2)]
    for i, (_, *pictures) in enumerate(painted):
        layer, head = divmod(i, 2)
        for pixels, weights in zip(pictures, (np.pad(OUT.attentions[layer][0, head], ((0, 0), (4, 4))),
                                              view.padded_band(OUT.kernels[layer])[0, head])):
            colours = np.array(pixels).reshape(12, 20, 4)[..., :3]
            want = np.array(ramp)[np.rint(255 * weights / top).astype(int)]
            # 16 bits of a weight may round to the next of 256 colours.
            assert np.abs(colours - want).max() <= 4 and (colours != want).any(-1).mean() < 0.05
    assert float(page.run("return document.getElementById('top').textContent")) == pytest.approx(top, abs=6e-4)


def test_two_sentences_one_word_two_kernels(chromium, file):
    chromium.screen()
    chromium.open(file("two"))
    assert chromium.run("return getComputedStyle(document.getElementById('contexts')).display") != "none"
    assert chromium.run("return [...document.querySelectorAll('#shared option')].map(o => o.value)") == ["word3"]
    bars = np.array(chromium.run("""return [...document.querySelectorAll("#two .taps")].map(line =>
        [...line.querySelectorAll("i")].map(bar => bar.getBoundingClientRect().height))"""))
    kernels = np.stack([OUT.kernels[1][0, 3, 0], SECOND.kernels[1][0, 5, 0]])
    np.testing.assert_allclose(bars / bars.max(), kernels / kernels.max(), atol=0.02)
    common = np.minimum(*kernels).sum()
    assert f"{100 * common:.0f}% of their weight in common" in chromium.run(
        "return document.getElementById('overlap').textContent")
    chromium.hover(*chromium.centre("#sentences label:nth-of-type(2)"), press=True)
    chromium.hover(5, 5)
    token = chromium.run("return +document.querySelector('[role=radio][aria-checked=true]').dataset.token")
    must_say(chromium, 1, 0, token, SECOND, 7)


def test_no_sentence_can_run_a_script(chromium, file):
    chromium.screen()
    chromium.open(file("hostile"))
    assert chromium.complaints() == []
    assert chromium.run("return [typeof hacked, document.title.startsWith('What'), document.images.length]") == [
        "undefined", True, 0]
    shown = chromium.run("return [...document.querySelectorAll('#stage [role=radio] bdi')].map(e => e.textContent)")
    assert shown == [view.selection.label(token) for token in HOSTILE]


def test_a_notebook_frame_shows_it(chromium, file):
    chromium.screen()
    chromium.open(file("notebook"))
    must_say(chromium, 1, 0, 5, frame=0)
    chromium.run("document.querySelectorAll('#layers input')[3].click()", frame=0)
    must_say(chromium, 3, 0, 5, frame=0)
    assert chromium.complaints() == []


@pytest.mark.parametrize("dark", (False, True))
def test_it_follows_light_and_dark(chromium, file, dark):
    chromium.screen(dark=dark)
    chromium.open(file())
    paper = chromium.run("return getComputedStyle(document.documentElement).backgroundColor")
    map_corner = chromium.run("""const c = document.querySelector("#all canvas");
        return [...c.getContext("2d").getImageData(0, 0, 1, 1).data].slice(0, 3)""")
    want = getattr(view.palette, "DARK" if dark else "LIGHT")["paper"]
    want = [int(want[i : i + 2], 16) for i in (1, 3, 5)]
    assert paper == f"rgb({', '.join(map(str, want))})" and map_corner == want
    chromium.screen(dark=not dark)
    chromium.run("return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))")
    repainted = chromium.run("""const c = document.querySelector("#all canvas");
        return [...c.getContext("2d").getImageData(0, 0, 1, 1).data].slice(0, 3)""")
    assert repainted != want


@pytest.mark.parametrize("width", (320, 390, 768, 1280))
def test_nothing_is_wider_than_the_screen(chromium, file, width):
    chromium.screen(width=width, height=800, touch=width < 700)
    for name in ("two", "hostile"):
        chromium.open(file(name))
        assert chromium.run("return document.documentElement.scrollWidth") <= width


def test_every_control_has_a_name(chromium, file):
    chromium.screen()
    chromium.open(file("two"))
    nodes = chromium.cdp("Accessibility.getFullAXTree")["nodes"]
    roles = {}
    for node in nodes:
        if not node["ignored"]:
            roles.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
    for role in ("radio", "button", "combobox", "radiogroup", "image", "heading"):
        assert all(name.strip() for name in roles.get(role, [])), (role, roles[role])
    assert len(roles["radio"]) == 12 + 4 + 2 + 2 and len(roles["button"]) == 8 and roles["combobox"] == ["Word"]
    assert roles["group"][:3] == ["Sentence", "Layer", "Head"]
    assert "word5, word 6 of 12" in roles["radio"]


@pytest.mark.parametrize("L", (1, 2, 128))
def test_any_length_is_shown(chromium, tmp_path, L):
    path = Path(tmp_path / "view.html")
    view.page(answer(L), words(L)).save(path)
    chromium.screen()
    chromium.open(path)
    assert chromium.complaints() == []
    assert chromium.run("return document.querySelectorAll('#stage [role=radio]').length") == L
    assert html.escape(chromium.run("return document.title")).startswith("What each word takes: [CLS]")
