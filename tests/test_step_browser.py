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
from minconvbert.step.letters import MEANINGS
from minconvbert.step.page import Head
from minconvbert.step.page import page as page_of
from minconvbert.step.sentence import STATIONS
from minconvbert.view import palette

pytestmark = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")
LEFT, UP, RIGHT, DOWN, PAGE_UP, PAGE_DOWN = "ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown", "PageUp", "PageDown"
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


def find(page, wanted):
    """Choose an array in the list of all that are made: "kernel" or "kernel · span_dynamic_conv"."""
    page.run("""const find = document.getElementById("find"), [name, call = ""] = arguments[0].split(" · ");
        find.value = [...find.querySelectorAll("option")].find(o => o.textContent.startsWith(name + ",")
            && o.parentElement.label.startsWith(call)).value;
        find.dispatchEvent(new Event("change"))""", wanted)


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
            f.dataset.name, [...f.querySelectorAll("figcaption small")].map(s => s.textContent).join(" "),
            row(f.querySelector("details, .row") ? f : document.getElementById("numbers"))])), 0))""")]


def cards(page):
    return page.run("""return [...document.querySelectorAll("#writes .card")].map(c => [c.dataset.name,
        [...c.querySelectorAll("figcaption small")].map(s => s.textContent).join(" ")])""")


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
        stations.add(page.run("return data.stations.find(one => one.button.ariaCurrent === 'step').call"))
        for name, labels, row in numbers_of_cards(page):
            known = re.search(r'finds it in acts\["(.*?)"\]|in ports as (\w+)\.(.*)', labels)
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
    assert stations == {call.number for call in made.recording.calls
                        if call.function.removesuffix("_backward") in STATIONS}


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
    "kernel", "match", "scores · span", "span_key", "value · span", "out · span", "weights", "dense · feed",
    "dscores · span", "dmatch", "dkernel", "dquery · span"))
def test_by_hand_the_terms_come_to_the_number(page, name):
    find(page, name)
    page.run("for (const d of document.querySelectorAll('#hand details')) d.open = true")
    formula, rows = page.run("""return new Promise(done => setTimeout(() => done([
        [...document.querySelectorAll("#hand .formula")].map(p => {
            const plain = p.cloneNode(true);
            plain.querySelectorAll("rt").forEach(caption => caption.remove());
            return plain.textContent; }),
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
    words = page.run("return [...document.querySelectorAll('#numbers th small')].map(s => s.textContent)")
    assert words == ["offset", "no word", "no word", "[CLS]", "the", "bank", "of", "the", "river", "was"]


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
    marked = [code_of(page, mark) for mark in ("made", "used", "taken")]
    assert marked[0] == ["kernel = softmax(scores.reshape(B, L, H, K))"]
    assert marked[2] == ['match, kernel, value = acts["match"], acts["kernel"], acts["value"]']
    assert marked[1][0] == "out = dynamic_conv(value, kernel)"
    assert any(line.startswith("dscores = softmax_backward(dkernel, kernel)") for line in marked[1])
    assert page.run("return document.getElementById('uses').textContent") == (
        "kernelin span_dynamic_conv: ● made in line 115, ○ used in lines 118, 120"
        "in span_dynamic_conv_backward: ◐ taken from acts in line 128, ○ used in lines 129, 132, 137")


def test_stations_and_page_keys(page):
    titles = page.run("return [...document.querySelectorAll('#stations button')].map(b => b.firstChild.textContent)")
    ahead = ["Embeddings", "Attention", "Convolution", "Mixed attention", "Kernel beside attention", "Add and norm",
             "Feed-forward", "Add and norm", "Head", "Loss"]
    assert titles == ahead + [title for title in reversed(ahead) if not title.startswith("Kernel")]
    here = lambda: page.run("""const now = document.querySelectorAll("#stations [aria-current]");
        return now.length === 1 ? now[0].firstChild.textContent : now.length""")
    page.run("document.activeElement.blur()")
    page.keys(PAGE_DOWN)
    assert lit(page)[0].startswith("normed = layer_norm("), "first the array that the station of the first line is about"
    visited, numbers = [here()], [page.run("return state.step")]
    for _ in titles[1:]:
        page.keys(PAGE_DOWN)
        visited.append(here())
        numbers.append(page.run("return state.step"))
        assert page.run("return document.getElementById('picture').hidden") == (here() != "Kernel beside attention")
    assert visited == titles and numbers == sorted(numbers), "all of them, as they are run"
    page.keys(PAGE_DOWN)
    assert [here(), page.run("return state.step")] == [visited[-1], numbers[-1]]
    for title in reversed(visited[:-1]):
        page.keys(PAGE_UP)
        assert here() == title
    find(page, "match · span")
    page.keys(DOWN, PAGE_DOWN)
    assert lit(page)[0].startswith("kernel = softmax"), "from a line between two stations to the next that is run"
    assert "as they run" in page.run("return document.querySelector('.keys').textContent")


def test_the_page_says_why_it_opens_where_it_does(page, chromium, tmp_path):
    inside = "return document.getElementById('inside').checkVisibility() && document.getElementById('inside').textContent"
    assert page.run(inside) == "The page opens here, at the first line that makes an array. ← goes to the lines before it."
    assert page.run("return data.steps.filter(one => one.number < state.step && one.w.size).length") == 0
    page.run("document.activeElement.blur()")
    page.keys(RIGHT)
    assert page.run(inside) is False
    made = sentence_page("the bank", minconvbert.default_model())
    made.save(tmp_path / "short.html")
    opened(chromium, tmp_path / "short.html")
    word = chromium.run("return document.querySelector('#tokens input:checked + span').textContent")
    assert chromium.run("return document.getElementById('notes').textContent") == (
        f"The page follows “{word}”, because its kernel differs most from the mean of all.")


# Following a word

def test_the_keys_work_after_a_click_on_a_word(page):
    """With the mouse; whoever came to the words by the keyboard chooses among them with the arrows."""
    step = lambda: page.run("return document.querySelector('#count').textContent")
    x, y = page.centre("#tokens label:nth-of-type(3)")
    page.hover(x, y, press=True)
    assert page.run("return document.querySelectorAll('#tokens input')[2].checked")
    before = step()
    page.keys(RIGHT)
    assert step() != before and page.run("return document.querySelectorAll('#tokens input')[2].checked")
    page.run("""dispatchEvent(new KeyboardEvent("keydown", { key: "Tab" }));
        document.querySelectorAll("#tokens input")[2].focus()""")
    before = step()
    page.keys(RIGHT)
    assert step() == before and page.run("return document.querySelectorAll('#tokens input')[3].checked")


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
    assert tip.startswith("scores[bank, head 0, offset +3] = ")
    page.hover(x, top + geometry["head"] + 2.5 * geometry["tall"], press=True)
    assert page.run("return document.querySelector('#tokens input:checked').value") == "2"
    pressed = page.run("""const b = document.querySelector("#numbers [aria-pressed=true]");
        return [b.dataset.place, b.textContent]""")
    assert pressed == [str(2 * 18 + 7), tip.split("= ")[1]]


def test_a_click_on_the_word_of_a_row_follows_it(page):
    find(page, "kernel · span_dynamic_conv")
    for canvas in ("#writes canvas", "#reads canvas"):
        page.run("document.querySelectorAll('#tokens input')[2].click()")
        x, y = page.centre(canvas)
        left, top, tall, head = page.run("""const c = document.querySelector(arguments[0]), b = c.getBoundingClientRect();
            return [b.left, b.top, c.geometry.tall, c.geometry.head]""", canvas)
        page.hover(left + 5, top + head + 5.5 * tall)
        assert "follow “river”" in page.run("return [...document.querySelectorAll('.tip')].map(tip => tip.textContent)")
        page.hover(left + 5, top + head + 5.5 * tall, press=True)
        assert page.run("return document.querySelector('#tokens input:checked').value") == "5"
        assert page.run("return document.querySelector('#hand .hand-name').textContent").startswith("kernel[river, ")


def test_columns_say_which_offset_or_word_they_are(page, made):
    titles = """return document.querySelector("#writes canvas").geometry.titles"""
    offsets = [f"{'−' if d < 0 else '+' if d else ''}{abs(d)}" for d in range(-4, 5)]
    find(page, "kernel · span_dynamic_conv")
    assert page.run(titles) == 2 * [title if not i % 2 else "" for i, title in enumerate(offsets)], "where there is room"
    find(page, "scores · span_dynamic_conv")
    assert set(page.run(titles)) - {""} <= set(offsets) and {"−4", "0", "+4"} <= set(page.run(titles))
    find(page, "weights")
    assert page.run(titles) == 2 * made.tokens
    find(page, "word · embeddings")
    assert set(page.run(titles)) == {""}


def test_the_picture_of_view_is_a_station(page):
    press(page, "#stations button", "Kernel beside")
    page.run("""return new Promise(done => document.querySelector("#picture iframe").addEventListener("load",
        () => done(0)))""")
    assert page.run("return document.querySelectorAll('[role=radio]').length", frame=0) == 12
    assert page.run("return document.querySelector('[role=radio][aria-checked=true]').textContent.includes('bank')",
                    frame=0)
    assert page.complaints() == []
    page.run("document.querySelector('#stations button').click()")
    assert page.run("return [document.getElementById('picture').hidden, document.getElementById('desk').hidden]") == [
        True, False]


# In view, on a wide and on a narrow screen

@pytest.fixture(params=((1280, 800), (390, 800)), ids=("wide", "narrow"))
def screen(chromium, file, request):
    width, height = request.param
    chromium.screen(width=width, height=height, touch=width < 700)
    chromium.open(file())
    chromium.run(READY)
    return chromium


def out_of_view(page):
    """What of the current line, the heading of its result and the top of its picture is not on the screen."""
    return page.run("""const top = document.querySelector(".bar").getBoundingClientRect().bottom, hidden = [];
        const look = (name, box, low = box.bottom) => {
            if (box.top < top - 1 || low > innerHeight + 1) hidden.push(`${name} ${box.top} ${box.bottom}`); };
        const scroll = document.querySelector(".source.here .scroll").getBoundingClientRect();
        for (const line of document.querySelectorAll(".line.lit")) {
            const box = line.getBoundingClientRect();
            look("line", box);
            if (box.top < scroll.top - 1 || box.bottom > scroll.bottom + 1) hidden.push("line in its box"); }
        look("result", document.getElementById("made").getBoundingClientRect());
        const picture = document.querySelector("#writes canvas")?.getBoundingClientRect();
        if (picture) look("picture", picture, picture.top + 40);
        return hidden""")


@pytest.mark.long
def test_every_jump_leaves_line_and_result_in_view(screen):
    def looks_right(after):
        assert out_of_view(screen) == [], after
        assert lit(screen)[0], after

    for i in range(screen.run("return data.stations.filter(one => !one.html).length")):
        screen.run("scrollTo(0, 0); data.stations.filter(one => !one.html)[arguments[0]].button.click()", i)
        looks_right(f"station {i}")
    for name, place in (("kernel", 0), ("normed", 10**6), ("dx · mixed_attention_backward", 10**6)):
        screen.run("scrollTo(0, arguments[0])", place)
        find(screen, name)
        looks_right(name)
        screen.run("document.activeElement.blur()")
        screen.keys("d")
        looks_right(f"D at {name}")
        screen.keys("d")
        looks_right(f"D back to {name}")
    find(screen, "kernel")
    press(screen, ".source.here .lit .name", "kernel")
    for i in range(screen.run("return document.querySelectorAll('#uses .where').length")):
        screen.run("document.querySelectorAll('#uses .where')[arguments[0]].click()", i)
        looks_right(f"place {i} of kernel")
        find(screen, "kernel")
    for choice in ("#reads .where", "#mates .where", "#says .where", "#writes .where"):
        find(screen, "kernel")
        screen.run("const e = document.querySelector(arguments[0]); e.scrollIntoView(); e.click()", choice)
        looks_right(choice)


def test_a_line_that_is_clicked_has_its_result_beside_it(screen):
    find(screen, "span_key")
    screen.run("""[...document.querySelectorAll(".source.here .line.ran")].find(
        line => line.textContent.includes("match = query")).setAttribute("id", "wanted")""")
    (screen.tap if screen.run("return innerWidth") < 700 else lambda x, y: screen.hover(x, y, press=True))(
        *screen.centre("#wanted .no"))
    screen.run("return new Promise(done => setTimeout(() => done(0), 400))")
    assert lit(screen)[0] == "match = query * span_key" and out_of_view(screen) == []


def test_nothing_is_cut_at_the_side(screen):
    find(screen, "kernel")
    assert screen.run("""const cut = [];
        for (const e of document.querySelectorAll("#stations button, .moves button, .line code, .source > p, .card"))
            if (e.scrollWidth > e.clientWidth && e.clientWidth) cut.push([e.textContent, e.scrollWidth, e.clientWidth]);
        return cut""") == []
    assert screen.run("""const frame = document.querySelector("#numbers .row").getBoundingClientRect();
        const numbers = [...document.querySelectorAll("#numbers [data-place]")].map(e => e.getBoundingClientRect());
        return [numbers.length, numbers.filter(box => box.left < frame.left || box.right > frame.right + 1).length]
        """) == [18, 0]


def test_words_and_stations_stay_in_view(screen):
    find(screen, "dkernel")
    screen.run("scrollTo(0, document.body.scrollHeight)")
    boxes = screen.run("""return ["#stations", "#tokens", ".moves", "#count", "#find"].map(one => {
        const box = document.querySelector(one).getBoundingClientRect(); return [box.top, box.bottom]; })""")
    assert screen.run("return scrollY") > 200 and all(0 <= top < bottom <= 190 for top, bottom in boxes), boxes
    words = screen.run("""const nav = document.getElementById("stations"); nav.scrollLeft = 9999;
        return [...nav.querySelectorAll("p")].map(p => { const box = p.getBoundingClientRect();
            return [p.textContent, document.elementFromPoint(box.left + 5, box.top + box.height / 2) === p]; })""")
    assert words == [["forward →", True], ["← backward", True]]


def test_hints_are_short(screen):
    heights = screen.run("return [document.querySelector('.keys'), document.getElementById('uses')].map(e => e.offsetHeight)")
    assert all(0 < height < 30 for height in heights), heights
    assert screen.run("return document.getElementById('uses').textContent") == (
        "Click a name: ● made, ◐ taken from acts, ○ used.")


def test_marks_keep_their_lines_as_high(screen):
    find(screen, "kernel · span_dynamic_conv")
    heights = "return [...document.querySelectorAll('.line')].map(line => line.offsetHeight)"
    before = screen.run(heights)
    press(screen, ".source.here .lit .name", "kernel")
    assert screen.run("return document.querySelectorAll('.line.made, .line.used, .line.taken').length") >= 6
    assert screen.run(heights) == before
    shown = screen.run("""return [...document.querySelectorAll(".line.used .no")].map(no =>
        getComputedStyle(no, "::before").content)""")
    assert set(shown) == {'"○"'}


def test_no_picture_is_taller_than_a_part_of_the_screen(screen):
    for station in ("embeddings", "embeddings_backward"):
        first = screen.run("""const find = document.getElementById("find"), group = [...find.children].find(
            g => g.label === arguments[0]); find.value = group.children[0].value;
            find.dispatchEvent(new Event("change")); return +document.getElementById("slider").value""", station)
        for step in range(first, first + 8):
            slide(screen, step)
            sizes = screen.run("""return [...document.querySelectorAll("#seen canvas")].map(c => {
                const box = c.getBoundingClientRect(); return [box.width, box.height]; })""")
            assert all(wide <= 700 and 0 < tall <= 240 for wide, tall in sizes), sizes
            assert screen.run("return document.documentElement.scrollWidth <= innerWidth")


def test_the_chosen_number_is_scrolled_into_view(screen):
    find(screen, "word")
    screen.run("document.querySelector('#numbers summary').click()")
    for place in (-1, 0):
        screen.run("""return new Promise(done => setTimeout(() => done([...document.querySelectorAll(
            "#numbers [data-place]")].at(arguments[0]).click()), 0))""", place)
        box, frame = screen.run("""return [...document.querySelectorAll(
            "#numbers [aria-pressed=true], #numbers .row")].reverse().map(e => e.getBoundingClientRect()).map(
            b => [b.left, b.right])""")
        assert frame[0] - 1 <= box[0] and box[1] <= frame[1] + 1, (box, frame)


def test_a_single_number_needs_no_title(page):
    press(page, "#stations button", "Loss")
    assert page.run("return document.querySelector('#numbers').textContent") == page.run(
        "return document.querySelector('#numbers [data-place]').textContent")
    heads = page.run("return [...document.querySelectorAll('#hand th')].map(th => th.textContent)")
    assert heads[::2] == ["logits", "wanted", "counted", "term"] and heads[-1] == "sum so far", "each factor once"


def test_what_is_unfolded_stays_so(page):
    find(page, "kernel")
    shown = "return [...document.querySelectorAll('#seen details')].map(d => d.open && d.children.length > 1)"
    page.run("""for (const summary of document.querySelectorAll("#seen summary")) summary.click();
        return new Promise(done => setTimeout(() => done(0), 50))""")
    before = page.run(shown)
    assert sorted(before) == [False, True, True], "the terms were open, the rows were not"
    page.screen(width=1100)
    page.run("return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))")
    assert page.run(shown) == before
    page.run("document.querySelectorAll('#tokens input')[5].click()")
    assert page.run(shown) == before


def test_a_pointer_leaves_the_current_line_its_colour(page):
    find(page, "kernel")
    colour = "return getComputedStyle(document.querySelector(arguments[0])).backgroundColor"
    for line in (".line.lit", ".line.mate"):
        x, y = page.centre(line)
        page.hover(1, 1)
        before = page.run(colour, line)
        page.hover(x, y)
        assert page.run("return document.querySelector(arguments[0]).matches(':hover')", line)
        assert page.run(colour, line) == before != page.run(colour, ".line:not(.lit, .mate)")


# What it says

@pytest.mark.parametrize("back", (False, True))
def test_every_station_lands_on_its_array(page, made, back):
    calls = {call.number: call for call in made.recording.calls}
    for place, number, says in page.run("""return data.stations.map((one, i) => [i, one.call,
            one.button.getAttribute("aria-label") ?? one.button.textContent])"""):
        function = calls[number].function
        if function.endswith("_backward") != back:
            continue
        station = STATIONS[function.removesuffix("_backward")]
        array = station.gradient if back else station.makes
        if says.startswith("Kernel beside"):
            continue
        find(page, "dvalue · span_dynamic_conv")
        page.run("data.stations[arguments[0]].button.click()", place)
        assert cards(page)[0][0] == array, (function, cards(page))
        assert page.run("return document.querySelector('#made b').textContent") == array
        assert page.run("return document.querySelector('#hand .hand-name').textContent").startswith(array)
        assert page.run("return document.querySelector('.source.here > p span').textContent") == function
        assert ("the loss" if array == "result" else array) in says and says.startswith("backward of ") == back


@pytest.mark.parametrize("name, there, word", (
    ("kernel", "dscores = softmax_backward(dkernel, kernel)", "Backward"),
    ("dscores · span", "kernel = softmax(scores.reshape(B, L, H, K))", "Forward"),
    ("query · mixed_attention", 'dx_part, g[f"{name}.weight"], g[f"{name}.bias"] = linear_backward(', "Backward"),
    ("dense · project_add_norm", 'dx, g = dense_linear_backward(dropout(dtotal, acts.get("drop"))', "Backward"),
    ("normed · embeddings", 'dtotal, g["LayerNorm.weight"], g["LayerNorm.bias"] = layer_norm_backward(', "Backward")))
def test_the_heading_names_the_line_of_the_other_direction(page, made, name, there, word):
    find(page, name)
    (step,) = [step for step in made.recording.steps if step.number in page.run("return matesOf(stepNow())")]
    told = page.run("return document.getElementById('mates').textContent")
    function = made.recording.calls[step.call].function
    assert told.startswith(f"{word} of this line: line {step.line} of {function}: {there}"[:100]), told
    here = lit(page)[0]
    press(page, "#mates button", "line ")
    assert lit(page)[0].startswith(there[:40])
    if name.startswith("query"):
        assert 'g["query.weight"]' in [card for card, _ in cards(page)], "the turn of the loop that is the query's"
    page.run("document.activeElement.blur()")
    page.keys("d")
    assert lit(page)[0] == here or name.startswith("dense")


def test_a_turn_of_a_loop_goes_with_the_same_turn(page):
    find(page, "out · span_dynamic_conv")
    page.run("document.activeElement.blur()")
    page.keys(DOWN)
    turns = []
    for _ in range(40):
        if lit(page)[0].startswith("out += kernel"):
            here = page.run("return state.step")
            page.keys("d")
            turns.append(page.run("return within(stepNow().c).filter(n => data.steps[n].l === stepNow().l).indexOf(state.step)"))
            page.keys("d")
            assert page.run("return state.step") == here
        if lit(page)[0].startswith("return"):
            break
        page.keys(RIGHT)
    assert turns == list(range(9))


def test_a_gradient_says_what_it_is_and_which_line_makes_it(page, made):
    find(page, "kernel")
    made_at = next(step.line for step in made.recording.made("dkernel", "span_dynamic_conv_backward"))
    (labels,) = [labels for name, labels in cards(page) if name == "dkernel"]
    assert f"gradient of kernel: how the loss changes with each of its numbers made by line {made_at} of span_dynamic_conv_backward" in labels
    press(page, "#writes .where", "made by line")
    assert lit(page)[0].startswith("dvalue, dkernel = dynamic_conv_backward")


def test_the_keys_stand_at_the_top(screen):
    keys, stations = screen.run("""return [".keys", "#stations"].map(
        one => document.querySelector(one).getBoundingClientRect().bottom)""")
    assert keys < stations < 800
    text = screen.run("return document.querySelector('.keys').textContent.replace(/\\s+/g, ' ')")
    assert all(f"{key} " in text for key in ("→", "←", "↓", "↑", "D", "PgDn", "PgUp")), text


def test_plain_words(screen):
    find(screen, "kernel")
    everything = screen.run("return document.querySelector('main').textContent")
    for word in ("other pass", "there_and_back", "d Convolution", " of 0 to ", "tap ", "arrives", "golden", "elsewhere"):
        assert word not in everything, word
    header = screen.run("return document.querySelector('header').textContent")
    assert "layer 3 of the 4 layers, which are numbered from 0" in header
    assert not re.search(r"\b(left|right|above|below)\b", header), "what is beside the code on a wide screen is under it"
    assert "checked in ports as " in everything and "the backward finds it in acts[" in everything
    assert "The offset counts words from “bank”: −1 is the word before" in everything
    assert [label.split() for label in screen.run(
        "return [...document.querySelectorAll('.moves button')].map(b => b.innerText)")] == [
        ["←", "back"], ["→", "next"], ["↓", "into"], ["↑", "out"], ["⇄", "backward"]]


def test_inside_a_call_the_page_says_where_one_is(page):
    def told():
        return page.run("""return ["count", "inside"].map(id => document.getElementById(id)).map(
            e => e.checkVisibility() ? e.textContent : "")""")

    find(page, "kernel")
    line = page.run("return stepNow().l")
    assert re.match(r"step \d+ of \d+$", told()[0]) and told()[1] == ""
    page.run("document.activeElement.blur()")
    page.keys(DOWN)
    assert told() == ["step 1 of 4 in softmax", f"You are inside softmax, one call deep: ↑ out to line {line}"
                      " of span_dynamic_conv"]
    assert "1 deep" in page.run("return document.getElementById('live').textContent")
    press(page, "#inside button", "↑ out")
    assert page.run("return stepNow().l") == line and told()[1] == ""
    find(page, "span_key")
    page.keys(DOWN)
    while not lit(page)[0].startswith("mixed = depthwise_conv"):
        page.keys(RIGHT)
    page.keys(DOWN)
    assert page.run("return document.getElementById('inside').textContent").startswith(
        "You are inside depthwise_conv, 2 calls deep: ↑ out to line ")
    find(page, "out · mixed_attention")
    page.keys(UP, UP)
    assert told()[1] == "You are in forward_and_backward, which calls the stations: ↓ goes back into them."
    page.keys(DOWN)
    assert page.run("return document.querySelector('.source.here > p span').textContent") == "layer"


def test_the_terms_of_a_product_say_which_word_they_are_of(page, made):
    find(page, "out · span_dynamic_conv")
    words = ["no word", "no word", *made.tokens]
    offsets = [f"offset {sign}{abs(d)}" for d in range(-4, 5) for sign in ["−" if d < 0 else "+" if d else ""]]
    assert page.run("return [...document.querySelectorAll('#hand rt')].map(rt => rt.textContent)") == [
        f"{offset}, {word}" for offset, word in zip(offsets, words)]
    rows = page.run("return [...document.querySelectorAll('#hand tbody tr')].map(r => [...r.cells].map(c => c.textContent))")
    place = re.match(r"out\[bank, (head \d, \d+)\]", page.run(
        "return document.querySelector('#hand .hand-name').textContent"))[1]
    assert [(row[0], row[2]) for row in rows] == list(zip(offsets, words))
    assert page.run("return [...document.querySelectorAll('#hand th')].map(th => th.textContent)") == [
        "kernel", f"[bank, {place.split(', ')[0]}, …]", "padded value", f"[…, {place}]", "term", "sum so far"]
    find(page, "match · span")
    assert re.search(r"The numbers are query\[bank, (head \d, \d+)\] = .*; span_key\[bank, \1\] = ",
                     page.run("return document.getElementById('hand').textContent"))
    find(page, "word · embeddings")
    assert re.search(r'It is p\["word_embeddings.weight"\]\[bank, \d+\]\. Line \d+ computes nothing',
                     page.run("return document.getElementById('hand').textContent"))


def test_the_list_of_arrays_is_in_order_and_names_each_once(page, made):
    groups = page.run("""return [...document.querySelectorAll("#find optgroup")].map(g => [g.label,
        [...g.children].map(o => [o.textContent.split(", line")[0], +o.textContent.split(", line ")[1], parseInt(o.value)])])""")
    labels = [label for label, _ in groups]
    assert len(set(labels)) == len(labels) and labels[0] == "embeddings" and "project_add_norm, call 2" in labels
    starts = [min(made.recording.calls[made.recording[options[0][2]].call].steps) for _, options in groups]
    assert starts == sorted(starts)
    for label, options in groups:
        names, numbers = [name for name, _, _ in options], [number for _, _, number in options]
        assert len(set(names)) == len(names) and numbers == sorted(numbers), label
        for name, line, number in options:
            step = made.recording[number]
            assert name in step.writes and step.line == line
            assert made.recording.calls[step.call].function == label.split(",")[0]
        (call,) = {made.recording[number].call for number in numbers}
        assert set(names) == {name for number in made.recording.calls[call].steps
                              for name, x in made.recording[number].writes.items() if x.dtype.kind in "biuf"}


def test_every_number_of_every_table_answers_a_click(page):
    find(page, "dkernel")
    page.run("""for (const d of document.querySelectorAll("#seen details")) d.open = true;
        return new Promise(done => setTimeout(() => done(0), 50))""")
    tables = page.run("""return [...document.querySelectorAll("[data-key]")].map(e => [e.dataset.key,
        e.querySelectorAll("[data-place]").length]).filter(([, n]) => n)""")
    assert [key for key, _ in tables] == ["partner kernel", "writes dvalue", "partner value", "lead", "reads dout",
                                          "reads value", "reads kernel"]
    works = {}
    for key, n in tables:
        told = page.run("""const [key, i] = arguments, all = `[data-key="${key}"] [data-place]`;
            const number = document.querySelectorAll(all)[i]; number.click();
            return [number.textContent, [...document.querySelectorAll("#hand .formula")].map(p => p.textContent),
                document.querySelectorAll(all)[i].ariaPressed, document.activeElement.dataset.place === number.dataset.place,
                hand.previousElementSibling.dataset.key, hand.textContent]""", key, n - 2)
        assert told[1][0].split(" = ")[1:] and any(line.endswith("= " + told[0]) for line in told[1]), told
        assert told[2:5] == ["true", True, key]
        works[key] = told[5]
    assert "made by line 115 of span_dynamic_conv" in works["reads kernel"] and "÷" in works["reads kernel"]
    assert "Made by line 116 of span_dynamic_conv:" in works["reads value"] and " · " in works["reads value"]
    assert "chosen number, made" not in works["writes dvalue"] and " · " in works["writes dvalue"]
    find(page, "scores · span_dynamic_conv")
    page.run("""for (const d of document.querySelectorAll("#reads details")) d.open = true;
        return new Promise(done => setTimeout(() => done(document.querySelector(
            `[data-key^='reads p["conv_kernel_layer.weight'] [data-place]`).click()), 50))""")
    assert page.run("return hand.textContent").endswith("It is a parameter of the model: training has set it.")


def test_one_name_has_one_origin(page, made):
    def line(source, function="span_dynamic_conv"):
        return next(step.line for step in made.recording.steps if step.source.startswith(source)
                    and made.recording.calls[step.call].function == function)

    def back(source):
        return line(source, "span_dynamic_conv_backward")

    def origins():
        return {name: labels for name, labels, _ in numbers_of_cards(page)}

    find(page, "dkernel")
    told, span = origins(), f"taken from acts (made by line {line('span_key, ')} of span_dynamic_conv)"
    assert told["kernel"].startswith(f"taken from acts (made by line {line('kernel =')} of span_dynamic_conv)")
    assert told["value"].startswith(f"taken from acts (made by line {line('value = value.reshape')} of span_dynamic_conv)")
    assert told["dout"].startswith(f"handed in (made by line {line('deverywhere', 'mixed_attention_backward')} of"
                                   f" mixed_attention_backward); forward out: line {line('out =')}")
    assert f"line {line('out =')} of span_dynamic_conv" in page.run("return document.getElementById('mates').textContent")
    find(page, "dspan_key")
    assert origins()["span_key"].startswith(span)
    page.run("go(within(stepNow().c)[0])")
    assert page.run("return document.getElementById('made').textContent") == (
        f"Line {back('x, query')} takes from acts x, query and span_key")
    assert origins()["span_key"].startswith(span)
    ahead, behind = "in span_dynamic_conv: ", "in span_dynamic_conv_backward: "
    for name, uses in (
            ("span_key", f"{ahead}● made in line {line('span_key, ')}, ○ used in lines {line('match =')}, {line('acts =')}"
             f"{behind}◐ taken from acts in line {back('x, query')}, ○ used in line {back('dquery, ')}"),
            ("mask", f"{ahead}does not occur{behind}does not occur"),
            ("x", f"{ahead}handed in, ○ used in lines {line('B, L')}, {line('span_key, ')}, {line('value = hide')},"
             f" {line('acts =')}{behind}◐ taken from acts in line {back('x, query')}, ○ used in lines {back('dx_value, ')},"
             f" {back('(dx_span, ')}"),
            ("dquery", f"{ahead}does not occur{behind}● made in line {back('dquery, ')}, ○ used in line {back('return')}")):
        page.run("state.name = arguments[0]; drawSources()", name)
        assert page.run("return document.getElementById('uses').textContent") == name + uses


@pytest.mark.long
def test_every_small_number_has_a_word(page):
    found = page.run("""const found = new Map();
        for (const step of data.steps) for (const name of step.w.keys()) {
            go(step.number, name);
            for (const caption of document.querySelectorAll("#hand rt")) found.set(caption.textContent, hand.textContent); }
        return [...found]""")
    assert {"offset −4, no word", "D 0", "Dh 31", "offset +1"} <= {caption for caption, _ in found}
    for caption, told in found:
        assert not re.match(r"\d|.*padded", caption), caption
        if counted := re.match(r"(no\.|[A-Z]h?) \d", caption):
            place = "the sum, from 0" if counted[1] == "no." else f"{counted[1]}, "
            assert f"Under each term is its place along {place}" in told, (caption, told)


def test_letters_have_their_meaning(page):
    find(page, "dkernel")
    assert "Under each term is its place along Dh, width of one head." in page.run("return hand.textContent")
    legend = dict(page.run("""const list = document.getElementById("letters");
        return [...list.querySelectorAll("dt")].map(dt => [dt.textContent, dt.nextElementSibling.textContent])"""))
    assert legend["L"] == "tokens in a sequence; here 12" and legend["K"] == "taps of a convolution kernel; here 9"
    shapes = page.run("""return [...new Set(data.infos.flatMap(([, axes]) => axes.flatMap(one => one.split(" "))))]""")
    assert {letter for letter in shapes if letter[0].isalpha()} <= set(legend)
    assert page.run("return document.querySelector('#writes .shape').title") == (
        "B: sequences in a batch\nL: tokens in a sequence\nH: " + MEANINGS["H"] + "\nK: taps of a convolution kernel")


# Everywhere else

def test_an_exercise_of_the_course_has_its_page(chromium, file, tmp_path):
    opened(chromium, file("exercise"))
    assert lit(chromium)[0] == "kernel = softmax(scores.reshape(B, L, H, K))"
    assert chromium.run("return document.getElementById('stations').hidden")
    assert main(["--exercise", "softmax_backward", "--out", str(tmp_path / "x.html")]) == 0
    opened(chromium, tmp_path / "x.html")
    assert lit(chromium)[0] == "dx = dy * y" and chromium.complaints() == []


def test_an_exercise_has_its_letters_and_its_keys(chromium, file):
    opened(chromium, file("exercise"))
    letters = chromium.run("return [...document.querySelectorAll('#letters dt')].map(dt => dt.textContent)")
    assert {"B", "L", "H", "Dh", "K"} <= set(letters) and not {"T", "V", "E"} & set(letters), letters
    chromium.run("document.activeElement.blur()")
    ends = []
    for key in (PAGE_DOWN, PAGE_DOWN, PAGE_UP, PAGE_UP):
        chromium.keys(key)
        ends.append(chromium.run("return callOf(stepNow()).name"))
    assert ends == ["span_dynamic_conv_backward"] * 2 + ["span_dynamic_conv"] * 2


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
    page_of(recording, HOSTILE, head=Head(*HOSTILE[:2], HOSTILE)).save(tmp_path / "hostile.html")
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
    assert "kernel[bank, head 0, offset 0] = " in " ".join(roles["button"])
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
