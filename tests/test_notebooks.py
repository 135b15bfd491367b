"""The notebooks run, what they say is true, and the committed files are built from the scripts."""

import ast
import copy
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import minconvbert
from minconvbert.config import ConvBertConfig
from minconvbert.course import EXERCISES, grade, imports, solution, stub
from minconvbert.course.catalog import catalog
from minconvbert.initialize import init_params
from minconvbert.inputs import model_inputs
from minconvbert.model import convbert

pytest.importorskip("jupytext")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")
FOLDER = Path(__file__).parents[1] / "notebooks"
sys.path.insert(0, str(FOLDER))
import build  # noqa: E402
import slides  # noqa: E402
from browser import MISSING, browser  # noqa: E402

SOURCES = build.sources()
NAMES = [path.stem for path in SOURCES]
by_notebook = pytest.mark.parametrize("source", SOURCES, ids=NAMES)


def committed(source):
    return nbformat.read(source.with_suffix(".ipynb"), 4)


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


@pytest.mark.parametrize("source", [pytest.param(path, marks=() if path.name.startswith(("05", "10")) else pytest.mark.long)
                                    for path in SOURCES], ids=NAMES)
def test_it_runs_and_its_claims_hold(source):
    ran = build.execute(build.read_source(source))
    assert not build.differences(ran, committed(source)), "python notebooks/build.py"


def test_a_falsified_number_in_a_committed_notebook_is_found():
    path = SOURCES[3]
    falsified = copy.deepcopy(committed(path))
    printed = [output for cell in falsified.cells for output in cell.get("outputs", ()) if "text" in output]
    assert not build.differences(committed(path), falsified)
    for output in printed:
        kept = output.text
        for number in re.findall(r"\d+\.\d+|\d{3,}", kept)[:3]:
            output.text = kept.replace(number, f"{1.1 * float(number) + 0.3:.{len(number.partition('.')[2])}f}")
            assert build.differences(committed(path), falsified), (number, output.text)
        output.text = kept
    assert len(printed) > 2


@pytest.mark.parametrize(("a", "b", "same"), [
    ("loss 0.4081", "loss 0.4082", True), ("loss 0.408", "loss 0.418", False), ("12 tokens", "13 tokens", False),
    ("618,294 numbers", "618,394 numbers", False), ("error 3e-13", "error 8e-16", True),
    ("error 3e-05", "error 9e-05", False), ("by 1e-01", "by 1e-02", False), ("by 1e-01", "by 2e-01", True),
    ("took 1.2 s", "took 3.4 s", True), ("the cat", "the dog", False),
    ("44%", "45%", False), ("[0.1 0.2]", "[0.1 0.2 0.3]", False), ("1.5   2.5", "1.5 2.5", True)])
def test_numbers_that_differ_by_rounding_are_the_same(a, b, same):
    assert build.same_text(a, b, 1e-3) is same


def test_a_wrong_claim_and_a_warning_fail():
    for line, error in (("assert 1 + 1 == 3", "AssertionError"), ("import warnings; warnings.warn('oh')", "stderr")):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(line)])
        with pytest.raises(Exception, match=error):
            build.execute(notebook)


@by_notebook
def test_what_is_committed_can_be_read_where_nothing_runs(source):
    notebook, path = committed(source), source.with_suffix(".ipynb")
    nbformat.validate(notebook)
    assert path.stat().st_size < 400_000
    assert notebook.cells[0].source.startswith(f"# {source.stem[:2]}. ")
    assert "**Claim.**" in notebook.cells[0].source
    assert any("xercise" in cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert any("image/png" in output.get("data", {}) for output in outputs(notebook)), "no figure"
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in outputs(notebook))
    for cell in notebook.cells:
        assert cell.metadata in ({}, {"slideshow": {"slide_type": "slide"}})
        assert cell.cell_type == "markdown" or cell.execution_count
    told = re.sub(r'"image/png": "[^"]*"', "", path.read_text(encoding="utf-8"))
    assert not re.search(r"/(home|root|tmp|work|Users)/", told), "a path of the machine that built it"


@by_notebook
def test_sources_shown_are_those_of_the_package(source):
    root = Path(minconvbert.__file__).parents[1]
    one = re.compile(r"`(minconvbert/[\w/]+\.py)`, line \d+\n```python\n(.*?)\n```", re.DOTALL)
    shown = [found for output in outputs(committed(source))
             for found in one.findall(output.get("data", {}).get("text/markdown", ""))]
    assert shown, "no function is shown"
    for file, code in shown:
        assert code in (root / file).read_text(encoding="utf-8"), f"{file} has changed: python notebooks/build.py"


def stubs(source):
    """The exercises of a notebook: cell number -> its ast.FunctionDef"""
    cells = [cell for cell in build.read_source(source).cells if cell.cell_type == "code"]
    return {(number, f.name): (cell.source, f) for number, cell in enumerate(cells)
            for f in ast.parse(cell.source).body if isinstance(f, ast.FunctionDef) and f.name in EXERCISES}


@by_notebook
def test_every_stub_is_the_packages_and_says_how_hard_it_is(source):
    known = {entry.exercise: entry for entry in catalog()}
    for (_, name), (code, function) in stubs(source).items():
        written = ast.get_source_segment(code, function)
        assert written.replace("-100", "IGNORED") == stub(name)
        assert f"check({name}, seed=" in code
        told, entry = re.sub(r"\n# ", " ", code.partition("\ndef ")[0]), known[name]
        assert f"Difficulty {entry.difficulty} of 5, about {entry.minutes} minutes." in told
        assert all(need in told for need in entry.needs)
        assert entry.notebook == source.stem[:2] or name == "grouped_linear_backward"


@by_notebook
def test_a_stub_shadows_nothing(source):
    """A stub below must not break a cell above when that runs again: no other cell reads the stub's name."""
    exercises = stubs(source)
    cells = [cell for cell in build.read_source(source).cells if cell.cell_type == "code"]
    for number, name in exercises:
        for other, cell in enumerate(cells):
            read = {node.id for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Name)}
            imported = {alias.asname or alias.name for node in ast.walk(ast.parse(cell.source))
                        if isinstance(node, ast.ImportFrom) for alias in node.names}
            assert name not in imported, f"{name} is imported by name and shadowed below"
            assert other == number or name not in read, f"code cell {other} reads {name}"


@pytest.mark.parametrize("source", [pytest.param(source, marks=() if name.startswith("02") else pytest.mark.long)
                                    for source, name in zip(SOURCES, NAMES)], ids=NAMES)
def test_a_notebook_filled_with_solutions_is_graded_right(source, tmp_path):
    exercises = {name: function for (_, name), (_, function) in stubs(source).items()}
    if not exercises:
        pytest.skip("no exercise that the grader knows")
    notebook = build.read_source(source)
    for cell in notebook.cells:
        for name in exercises if cell.cell_type == "code" else ():
            if f"\ndef {name}(" in cell.source:
                head, _, rest = cell.source.partition(f"\ndef {name}(")
                check_line = rest[rest.index(f"check({name}"):]
                cell.source = "\n".join([head, *imports(name), "IGNORED = -100", solution(name), "", check_line])
    path = tmp_path / source.with_suffix(".ipynb").name
    nbformat.write(notebook, path)
    report = grade(path, seed="Ada Lovelace", limit=60)
    assert {entry["exercise"] for entry in report["exercises"]} == {*exercises}
    assert report["passed"] == report["of"], report


@by_notebook
def test_a_lesson_says_what_it_is_for(source):
    """Lessons, but not labs, say their goals, the time, what they build on, papers with links, and answers."""
    if int(source.stem[:2]) > 11:
        pytest.skip("a lab")
    cells = build.read_source(source).cells
    head = cells[0].source
    assert all(word in head for word in ("**Claim.**", "you can\n", "**Time**: about", "**Builds on**:", "**Papers**:",
                                         "](https://arxiv.org/abs/"))
    assert "<details><summary>Answers" in cells[-1].source
    questions = [int(n) for cell in cells[-3:-1] for n in re.findall(r"^(\d+)\. ", cell.source, re.MULTILINE)]
    answers = [int(n) for n in re.findall(r"^(\d+)\. ", cells[-1].source, re.MULTILINE)]
    assert questions == answers == list(range(1, len(answers) + 1)) and len(answers) > 3


@by_notebook
def test_each_figure_has_a_text_for_those_who_do_not_see_it(source):
    figures = 0
    for cell, ran in zip(build.read_source(source).cells, committed(source).cells):
        drawn = any({"image/png", "image/svg+xml"} & set(output.get("data", {})) for output in ran.get("outputs", ()))
        calls = cell.cell_type == "code" and re.search(
            r"picture\(|view\.(?!look|page)\w+\(|_diagram\(|by_setting\(", cell.source)
        if drawn or calls:
            figures += 1
            told = re.search(r"^# alt: (.*(?:\n#      .*)*)", cell.source, re.MULTILINE)
            assert told and len(told[1]) > 40, f"a figure without a text: {cell.source[:60]}"
    assert figures


@pytest.mark.long
@pytest.mark.skipif(bool(MISSING), reason=str(MISSING))
def test_slides_hold_what_the_notebook_says_and_none_overflows(tmp_path):
    offline = dict(reveal_url_prefix="", require_js_url="", jquery_url="", mathjax_url="")
    with browser() as page:
        page.screen(slides.WIDE, slides.HIGH)
        for source in (path for path in SOURCES if path.stem[:2] in ("04", "06")):
            notebook = committed(source)
            file = tmp_path / "slides.html"
            file.write_text(slides.slides(notebook, **offline), encoding="utf-8")
            page.open(file)
            shown = page.run("""return [...document.querySelectorAll(".slides section")].map(slide =>
                slide.querySelector("section") ? null : (slide.style.width = arguments[0] + "px",
                    [slide.scrollHeight, slide.scrollWidth, slide.innerText, slide.querySelectorAll("img, svg").length]))
                .filter(slide => slide)""", slides.WIDE)
            assert len(shown) > 15
            for height, width, text, _ in shown:
                assert height <= slides.HIGH and width <= slides.WIDE, (source.stem, height, width, text[:80])
            words = " ".join(text for _, _, text, _ in shown)
            headings = re.findall(r"^#+ (.*)", "\n".join(
                cell.source for cell in notebook.cells if cell.cell_type == "markdown"), re.MULTILINE)
            assert all(re.sub("[`*]", "", heading) in words for heading in headings)
            drawn = [kind for output in outputs(notebook) for kind in output.get("data", {}) if kind.startswith("image/")]
            assert sum(figures for *_, figures in shown) >= len(drawn) > 3


@by_notebook
def test_no_sum_becomes_a_bullet(source):
    """In Markdown a line that begins with a plus is an item of a list, also in the middle of a sum."""
    assert not [line for cell in build.read_source(source).cells if cell.cell_type == "markdown"
                for line in cell.source.splitlines() if re.match(r"\s*[+] ", line)]


def test_index_and_glossary_name_what_exists():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\((\w+)\.ipynb\)", page) == NAMES
    cfg = ConvBertConfig(vocab_size=9, hidden_size=8, embedding_size=8, num_attention_heads=2, num_hidden_layers=1)
    _, acts = convbert(model_inputs(cfg, np.array([[1, 2, 3]])), init_params(cfg), cfg)
    names, functions = glossary()
    assert len(names) >= 11 and len(functions) >= 12
    for name in names:
        assert f"encoder.layer.0.attention.self.{name}" in acts
    modules = [getattr(minconvbert, m) if hasattr(minconvbert, m) else __import__(f"minconvbert.{m}", fromlist=["x"])
               for m in ("ops", "conv", "attention", "model", "heads")]
    for name in functions:
        assert any(hasattr(module, name) for module in modules), name


def glossary(column=None):
    """-> the names in acts and the functions of the two tables; or the texts of one column of the first"""
    rows = [[cell.strip() for cell in line.strip("|").split("|")]
            for line in (FOLDER / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    first, second = ([row for row in rows if len(row) == n] for n in (6, 5))
    if column is not None:
        return [row[column] for row in first[1:]], [row[3] for row in second[1:]]
    ticked = re.compile(r"`([^`]+)`")
    return ([name for row in first[1:] for name in ticked.findall(row[3])],
            [name for row in first[1:] for name in ticked.findall(row[2])]
            + [name for row in second[1:] for name in ticked.findall(row[1])])
