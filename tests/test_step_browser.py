"""The page of steps in a real browser: it is walked through, and what it then says is compared with the model."""

import re
from pathlib import Path

import numpy as np
import pytest
from browser import MISSING, browser
from test_step import exercise
from test_view import HOSTILE

import minconvbert
from minconvbert.commands.step import load_with_head, main, sentence_page
from minconvbert.golden import trace
from minconvbert.golden.wholes import task_passes
from minconvbert.heads import task_model
from minconvbert.inputs import model_inputs
from minconvbert.shapes import sub
from minconvbert.step.page import page as page_of
from minconvbert.step.sentence import STATIONS
from minconvbert.view import palette

pytestmark = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")
LEFT, UP, RIGHT, DOWN, PAGE_DOWN = "ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown", "PageDown"
SENTENCE, LAYER = "The bank of the river was steep and green.", 3
READY = """return new Promise(done => { const wait = () => "ready" in document.documentElement.dataset
    ? done(0) : setTimeout(wait, 10); wait(); })"""


@pytest.fixture(scope="module")
def chromium():
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def made():
    return sentence_page(SENTENCE, minconvbert.default_model(), LAYER, "bank", backward=True)


@pytest.fixture(scope="module")
def file(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("step")
    made.save(folder / "sentence.html")
    page = page_of(exercise("span_dynamic_conv")[0], at="kernel")
    page.save(folder / "exercise.html")
    (folder / "notebook.html").write_text(page._repr_html_(), "utf-8")
    return lambda name="sentence": folder / f"{name}.html"


@pytest.fixture(scope="module")
def truth():
    """What the model itself computes: acts, gradients of parameters, and gradients of intermediates."""
    task, cfg, p, tokenizer = load_with_head(Path(minconvbert.default_model()))
    ids = np.array([tokenizer.encode(SENTENCE)])
    inputs = model_inputs(cfg, ids)
    found = trace.traced(task_passes(task, np.zeros_like(ids), cfg), inputs, p, cfg)
    _, acts = task_model(task, inputs, p, cfg)
    return {kind: sub(found, kind) for kind in ("dacts", "grads")} | dict(
        acts=sub(found, "acts") | acts, params=p, loss=found["loss"])


def opened(chromium, file, **screen):
    chromium.screen(width=1400, **screen)
    chromium.open(file)
    chromium.run(READY)
    return chromium


@pytest.fixture
def page(chromium, file):
    return opened(chromium, file())


def slide(page, number):
    page.run("""const s = document.getElementById("slider"); s.value = arguments[0];
        s.dispatchEvent(new Event("input"))""", number)


def find(page, name):
    """Choose an array in the list of all that are made."""
    page.run("""const f = document.getElementById("find");
        f.value = [...f.options].find(o => o.textContent.startsWith(arguments[0])).value;
        f.dispatchEvent(new Event("change"))""", name)


def lit(page):
    """The source that is lit, and that of the other pass."""
    return [" ".join(code_of(page, mark)) for mark in ("lit", "mate")]


def code_of(page, mark):
    """The lines of source that are marked so, without comments."""
    return page.run("""return [...document.querySelectorAll(`.line.${arguments[0]} code`)].map(
        line => line.textContent.replace(/ +#.*/, "").trim())""", mark)


def press(page, where, text):
    """Click the first of some elements whose text begins so."""
    page.run("""[...document.querySelectorAll(arguments[0])].find(
        e => e.textContent.trim().startsWith(arguments[1])).click()""", where, text)


def number(text):
    return float(text.replace("−", "-"))


def row_of_numbers(page):
    """The numbers of the followed row of the array that the line makes, as {place in the array: number}."""
    return {int(place): number(text) for place, text in page.run("""
        for (const d of document.querySelectorAll("#numbers details")) d.open = true;
        return new Promise(done => setTimeout(() => done([...document.querySelectorAll("#numbers [data-place]")].map(
            b => [b.dataset.place, b.textContent])), 0))""")}


def numbers_of_cards(page):
    """(name, labels, numbers of the followed row) of all arrays that the line makes or reads."""
    return [(name, labels, {int(place): number(text) for place, text in row}) for name, labels, row in page.run("""
        for (const d of document.querySelectorAll("#seen figure details, #numbers details")) d.open = true;
        const row = box => [...box.querySelectorAll("[data-place]")].map(b => [b.dataset.place, b.textContent]);
        return new Promise(done => setTimeout(() => done([...document.querySelectorAll("#seen figure")].map(f => [
            f.dataset.name, [...f.querySelectorAll("small")].map(s => s.textContent).join(" "),
            row(f.querySelector("details, .row") ? f : document.getElementById("numbers"))])), 0))""")]


def cards(page):
    return page.run("""return [...document.querySelectorAll("#writes .card")].map(c => [c.dataset.name,
        [...c.querySelectorAll("small")].map(s => s.textContent).join(" ")])""")


def agrees(shown, value):
    """Whether a number is the value, rounded to four digits."""
    unit = 10.0 ** (np.floor(np.log10(abs(value))) - 3) if value else 1e-9
    return abs(shown - value) <= 0.5001 * unit


# Numbers

@pytest.mark.long
def test_the_numbers_of_all_stations_are_those_of_acts_and_gradients(page, truth, made):
    """Of every line on the way, the row of the word that is followed."""
    found, stations = {}, set()
    for step in range(page.run("return +document.getElementById('slider').max") + 1):
        slide(page, step)
        stations.add(page.run("return document.querySelector('#stations [aria-current]').firstChild.textContent"))
        for name, labels, row in numbers_of_cards(page):
            known = re.search(r'acts\["(.*)"\]|golden pack: (\w+)\.(.*)', labels)
            kind, full = (known[2] or "acts", known[1] or known[3]) if known else ("", "")
            if full in truth.get(kind, ()) and "Too large" not in labels:
                array = truth[kind][full].reshape(-1)
                assert row, (name, full)
                for place, shown in row.items():
                    assert agrees(shown, array[place]), (name, full, place, shown, array[place])
                found.setdefault(kind, set()).add(full)
    here = f"convbert.encoder.layer.{LAYER}."
    kept = {name for name in truth["acts"] if name.startswith((here, "convbert.embeddings", "head."))}
    assert not {name for name in kept - found["acts"] if not any(truth["acts"][name] is truth["acts"][other]
                                                                 for other in found["acts"])}
    assert len(found["dacts"]) >= 20 and len(found["grads"]) >= 15 and len(found["params"]) >= 15
    titles = {title for title, _ in STATIONS.values()}
    assert stations == titles | {f"d {title}" for title in titles}


def test_the_loss_is_the_models(page, truth):
    press(page, "#stations button", "Loss")
    texts = []
    for _ in range(6):
        texts.append(page.run("return document.getElementById('hand').textContent"))
        page.keys(RIGHT)
    assert any(re.search(r"= (0\.\d+)$", t.split("All")[0]) and agrees(number(re.search(
        r"= (0\.\d+)$", t.split("All")[0])[1]), float(truth["loss"])) for t in texts), texts


def test_the_rows_of_a_padded_array_are_not_said_to_be_those_of_the_value(page):
    find(page, "out · span")
    page.run("for (const d of document.querySelectorAll('#hand details')) d.open = true")
    titles = page.run("""return new Promise(done => setTimeout(() => done(
        [...document.querySelectorAll("#hand th")].map(title => title.textContent)), 0))""")
    assert "padded value" in titles and "value" not in titles and "kernel" in titles, titles


@pytest.mark.parametrize("name", (
    "kernel ·", "match ·", "scores · span", "span_key ·", "value · span", "out · span", "weights ·", "dense · feed",
    "dscores · span", "dmatch ·", "dkernel ·", "dquery · span"))
def test_by_hand_the_terms_come_to_the_number(page, name):
    find(page, name)
    page.run("for (const d of document.querySelectorAll('#hand details')) d.open = true")
    formula, rows = page.run("""return new Promise(done => setTimeout(() => done([
        [...document.querySelectorAll("#hand .formula")].map(p => p.textContent),
        [...document.querySelectorAll("#hand tbody tr")].map(tr => [...tr.cells].map(td => td.textContent))]), 0))""")
    pressed = page.run("return document.querySelector('#numbers [aria-pressed=true]')?.textContent") or next(
        iter(page.run("""for (const d of document.querySelectorAll("#numbers details")) d.open = true;
            return new Promise(done => setTimeout(() => done([...document.querySelectorAll(
                "#numbers [aria-pressed=true]")].map(b => b.textContent)), 0))""")))
    assert formula[-1].split("= ")[-1] == pressed
    if "…" not in formula[0]:
        calculated = formula[0].split("] = ")[1].replace("÷", "/").replace("·", "*").replace("−", "-")
        value = eval(calculated, dict(exp=np.exp))
        assert value == pytest.approx(number(pressed), rel=0.02, abs=1e-4 * abs(number(pressed)) + 1e-6)
    if rows:
        terms = [number(row[-2]) for row in rows]
        assert sum(terms) == pytest.approx(number(rows[-1][-1]), rel=2e-3, abs=2e-3 * max(map(abs, terms)))
        if len(rows[0]) == 6:
            for row in rows:
                assert number(row[1]) * number(row[3]) == pytest.approx(number(row[4]), rel=2e-3, abs=1e-12)


def test_the_kernel_says_why_its_row_sums_to_one(page):
    find(page, "kernel · span_dynamic_conv")
    assert lit(page) == ["kernel = softmax(scores.reshape(B, L, H, K))",
                         "dscores = softmax_backward(dkernel, kernel)"]
    assert "each row sums to 1" in page.run("return document.getElementById('says').textContent")
    assert "Why this row sums to 1: each of its 9 numbers is one of these terms divided by their sum" in page.run(
        "return document.getElementById('hand').textContent")
    assert page.run("return [...document.querySelectorAll('#numbers td.sum')].map(td => td.textContent)") == [
        "1.0000", "1.0000"]
    words = page.run("return [...document.querySelectorAll('#numbers thead small')].map(s => s.textContent)")
    assert words == ["zero", "zero", "[CLS]", "the", "bank", "of", "the", "river", "was"]


# Walking

def test_it_opens_whole_and_alone(page, made):
    assert page.complaints() == [] and page.run("return performance.getEntriesByType('resource').length") == 0
    assert len(made.html.encode()) < 2_000_000
    assert page.run("return document.getElementById('title').textContent") == SENTENCE


def test_arrow_keys_walk_forth_and_back_and_into_calls(page, made):
    page.run("document.activeElement.blur()")
    seen = [lit(page)[0]]
    for _ in range(12):
        page.keys(RIGHT)
        seen.append(lit(page)[0])
    recorded = [step.source for step in made.recording.steps if made.recording.calls[step.call].function in (
        "embeddings", "mixed_attention", "self_attention")]
    first = next(i for i, source in enumerate(recorded) if source.startswith(seen[0]))
    assert seen == [" ".join(re.sub(" +#.*", "", line).strip() for line in source.split("\n"))
                    for source in recorded[first : first + 13]]
    for expected in reversed(seen[:-1]):
        page.keys(LEFT)
        assert lit(page)[0] == expected

    find(page, "kernel · span_dynamic_conv")
    page.keys(DOWN)
    assert lit(page)[0] == "y = x - x.max(-1, keepdims=True)"
    page.keys(RIGHT, RIGHT)
    assert lit(page)[0] == "y /= row_sum(y)"
    page.keys(RIGHT, RIGHT)
    assert lit(page)[0].startswith("kernel = softmax"), "after the last line of a call comes the line that called"
    page.keys(DOWN, UP)
    assert lit(page)[0].startswith("kernel = softmax")
    page.keys(UP)
    assert lit(page)[0].startswith("nearby, conv = span_dynamic_conv")


def test_to_the_other_pass_and_back(page):
    find(page, "match · span_dynamic_conv")
    page.hover(*page.centre("#mate"), press=True)
    assert lit(page) == ["dquery, dspan_key = dmatch * span_key, dmatch * query", "match = query * span_key"]
    assert [name for name, _ in cards(page)] == ["dquery", "query", "dspan_key", "span_key"]
    page.run("document.activeElement.blur()")
    page.keys("d")
    assert lit(page)[0] == "match = query * span_key" and [name for name, _ in cards(page)] == ["match", "dmatch"]


def test_a_click_on_a_line_goes_there(page):
    find(page, "kernel · span_dynamic_conv")
    page.run("""[...document.querySelectorAll(".source.here .line")].find(
        line => line.textContent.includes("out = dynamic_conv")).setAttribute("id", "wanted")""")
    page.hover(*page.centre("#wanted .no"), press=True)
    assert lit(page)[0] == "out = dynamic_conv(value, kernel)"
    press(page, ".source.other .line.ran", "137")
    assert lit(page)[0] == "dscores = softmax_backward(dkernel, kernel)"


def test_a_click_on_a_name_shows_where_it_is_made_and_used(page):
    find(page, "kernel · span_dynamic_conv")
    press(page, ".source.here .lit .name", "kernel")
    marked = [code_of(page, mark) for mark in ("made", "used")]
    assert marked[0] == ["kernel = softmax(scores.reshape(B, L, H, K))",
                         'match, kernel, value = acts["match"], acts["kernel"], acts["value"]']
    assert marked[1][0] == "out = dynamic_conv(value, kernel)"
    assert any(line.startswith("dscores = softmax_backward(dkernel, kernel)") for line in marked[1])
    assert re.match(r"kernel made: line \d+ line \d+  used: line \d+", page.run(
        "return document.getElementById('uses').textContent"))


def test_stations_and_page_keys(page):
    titles = page.run("return [...document.querySelectorAll('#stations button')].map(b => b.firstChild.textContent)")
    assert titles[:9] == ["Embeddings", "Mixed attention", "Attention", "Convolution", "Add and norm", "Feed-forward",
                          "Add and norm", "Head", "Loss"] and titles[9] == "Kernel beside attention"
    assert titles[10:] == [f"d {title}" for title in titles[:9]]
    page.run("document.activeElement.blur()")
    page.keys(PAGE_DOWN, PAGE_DOWN)
    assert lit(page)[0].startswith("B, L, H, Dh = dims(")
    page.run("[...document.querySelectorAll('#stations button')].at(-1).click()")
    assert "cross" in lit(page)[0] or "labels" in lit(page)[0]


# Following a word

def test_a_word_is_followed_everywhere(page, truth):
    find(page, "kernel · span_dynamic_conv")
    page.run("document.querySelectorAll('#tokens input')[5].click()")
    kernel = truth["acts"][f"convbert.encoder.layer.{LAYER}.attention.self.conv.kernel"]
    row = row_of_numbers(page)
    assert list(row) == list(range(5 * 18, 6 * 18))
    assert all(agrees(shown, kernel.reshape(-1)[place]) for place, shown in row.items())
    page.run("document.activeElement.blur()")
    page.keys(LEFT)
    assert min(row_of_numbers(page)) == 5 * 18, "the scores of the same word"
    page.run("document.querySelector('#writes canvas').scrollIntoView({block: 'center'})")
    left, top, geometry = page.run("""const c = document.querySelector("#writes canvas"), b = c.getBoundingClientRect(),
        { gutter, wide, tall, head } = c.geometry; return [b.left, b.top, { gutter, wide, tall, head }]""")
    x = left + geometry["gutter"] + 7.5 * geometry["wide"]
    page.hover(x, top + geometry["head"] + 2.5 * geometry["tall"])
    tip = page.run("return document.querySelector('#writes .tip').textContent")
    assert tip.startswith("scores[bank, 7] = ")
    page.hover(x, top + geometry["head"] + 2.5 * geometry["tall"], press=True)
    assert page.run("return document.querySelector('#tokens input:checked').value") == "2"
    pressed = page.run("""const b = document.querySelector("#numbers [aria-pressed=true]");
        return [b.dataset.place, b.textContent]""")
    assert pressed == [str(2 * 18 + 7), tip.split("= ")[1]]


def test_the_picture_of_view_is_a_station(page):
    page.run("[...document.querySelectorAll('#stations button')].find(b => b.dataset.picture).click()")
    page.run("""return new Promise(done => document.querySelector("#picture iframe").addEventListener("load",
        () => done(0)))""")
    assert page.run("return document.querySelectorAll('[role=radio]').length", frame=0) == 12
    assert page.run("return document.querySelector('[role=radio][aria-checked=true]').textContent.includes('bank')",
                    frame=0)
    assert page.complaints() == []
    page.run("document.querySelector('#stations button').click()")
    assert page.run("return [document.getElementById('picture').hidden, document.getElementById('desk').hidden]") == [
        True, False]


# Everywhere else

def test_an_exercise_of_the_course_has_its_page(chromium, file, tmp_path):
    opened(chromium, file("exercise"))
    assert lit(chromium)[0] == "kernel = softmax(scores.reshape(B, L, H, K))"
    assert chromium.run("return document.getElementById('stations').hidden")
    assert main(["--exercise", "softmax_backward", "--out", str(tmp_path / "x.html")]) == 0
    opened(chromium, tmp_path / "x.html")
    assert lit(chromium)[0] == "dx = dy * y" and chromium.complaints() == []


def test_a_notebook_frame_shows_it(chromium, file):
    chromium.screen()
    chromium.open(file("notebook"))
    chromium.run(READY, frame=0)
    assert chromium.run("return document.querySelector('.line.lit code').textContent.trim()", frame=0).startswith(
        "kernel = softmax")
    assert chromium.complaints() == []


def test_no_sentence_can_run_a_script(chromium, tmp_path):
    recording, _, _ = exercise("softmax")
    recording.title = " ".join(HOSTILE)
    page_of(recording, HOSTILE, notes=HOSTILE).save(tmp_path / "hostile.html")
    opened(chromium, tmp_path / "hostile.html")
    assert chromium.complaints() == []
    assert chromium.run("return [document.title.startsWith('Step by step'), document.images.length]") == [True, 0]
    assert chromium.run("return document.getElementById('title').textContent") == " ".join(HOSTILE)


@pytest.mark.parametrize("dark", (False, True))
def test_it_follows_light_and_dark(chromium, file, dark):
    opened(chromium, file("exercise"), dark=dark)
    colour = "return [...document.querySelector('canvas').getContext('2d').getImageData(8, 8, 1, 1).data].join()"
    paper = chromium.run("return getComputedStyle(document.documentElement).backgroundColor")
    want = getattr(palette, "DARK" if dark else "LIGHT")["paper"]
    assert paper == f"rgb({', '.join(str(int(want[i : i + 2], 16)) for i in (1, 3, 5))})"
    before = chromium.run(colour)
    chromium.screen(width=1400, dark=not dark)
    chromium.run("return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))")
    assert chromium.run(colour) != before


@pytest.mark.parametrize("width", (320, 390, 768, 1280))
def test_nothing_is_wider_than_the_screen(chromium, file, width):
    for name in ("sentence", "exercise"):
        chromium.screen(width=width, height=800, touch=width < 700)
        chromium.open(file(name))
        chromium.run(READY)
        find(chromium, "kernel")
        assert chromium.run("return document.documentElement.scrollWidth") <= width


def test_every_control_has_a_name(page):
    find(page, "kernel · span_dynamic_conv")
    roles = {}
    for node in page.cdp("Accessibility.getFullAXTree")["nodes"]:
        if not node["ignored"]:
            roles.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
    for role in ("radio", "button", "combobox", "slider", "image", "heading", "navigation", "region"):
        assert roles.get(role) and all(name.strip() for name in roles[role]), (role, roles.get(role))
    assert "kernel[bank, head 0, tap 0] = " in " ".join(roles["button"])
    assert page.run("return document.getElementById('slider').getAttribute('aria-valuetext')").startswith(
        "line 115 of span_dynamic_conv: kernel = softmax(scores.reshape(B, L, H, K))")


def test_an_array_that_is_too_large_is_sampled_and_says_so(chromium, tmp_path):
    from minconvbert.step import steps

    def large(x):
        y = x * 2
        return y

    x = np.random.default_rng(0).normal(size=(300, 700))
    steps(large, x).save(tmp_path / "large.html")
    opened(chromium, tmp_path / "large.html")
    assert re.match(r"Too large for the page: one in \d+ along axis 0 and one in \d+ along axis 1 is shown\.",
                    cards(chromium)[0][1])
    assert chromium.run("return document.querySelector('#writes canvas').getAttribute('aria-label')").startswith("y, ")
    row = row_of_numbers(chromium)
    assert row and all(agrees(shown, 2 * x.reshape(-1)[place]) for place, shown in row.items())
    assert re.search(r"= (.*)$", chromium.run("return document.querySelector('#hand .formula').textContent"))
