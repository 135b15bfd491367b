"""Slides of a lesson, from its notebook as it is committed.

    python notebooks/slides.py 04 06        04_convolution.slides.html and 06_backward.slides.html

Needs nbconvert (pip install "minconvbert[notebooks]"). The page loads reveal.js and MathJax from the network.
"""

import ast
import base64
import io
import re
import sys

import nbformat
from build import sources
from nbconvert import SlidesExporter
from PIL import Image
from traitlets.config import Config

WIDE, HIGH = 1500, 844                                 # of a slide, in pixels; a projector shows it as 1280 by 720
DRAWN = {"image/png", "image/svg+xml"}
STYLE = f"""<style>.reveal img, .reveal svg {{ max-height: {0.85 * HIGH:.0f}px !important }}
.reveal .slides section section {{ max-height: {HIGH}px; overflow-y: auto }}</style>"""


def slides(notebook, **options):
    """A page of slides, made by nbconvert: a column for each section, and as few slides in it as hold its cells.

    Figures and sources stand alone, without the code that draws and shows them; imports are left out.
    """
    pages = nbformat.v4.new_notebook(metadata=notebook.metadata)
    room = 0
    for cell in (piece for whole in notebook.cells for piece in _pieces(whole)):
        title, height = cell.cell_type == "markdown" and re.match("#+ ", cell.source), _height(cell)
        begins = "slide" if title and len(title[0]) < 4 else "subslide" if title or height > room else "-"
        room = (0.9 * HIGH if begins != "-" else room) - height
        cell.metadata = nbformat.from_dict(dict(cell.metadata, slideshow=dict(slide_type=begins)))
        pages.cells.append(cell)
    config = Config(SlidesExporter=dict(reveal_width=str(WIDE), reveal_height=str(HIGH), reveal_transition="none",
                                        exclude_input_prompt=True, exclude_output_prompt=True, **options),
                    TagRemovePreprocessor=dict(enabled=True, remove_input_tags={"bare"}))
    page, _ = SlidesExporter(config=config).from_notebook_node(pages)
    return page.replace("</head>", STYLE + "</head>", 1)


def _pieces(cell):
    """What a cell contributes to the slides: its paragraphs, its code with what that prints, each figure and source."""
    if cell.cell_type == "markdown":
        blocks = [cell.source] if "<details>" in cell.source else re.split(r"\n\n(?![ *\d|])", cell.source)
        yield from (nbformat.v4.new_markdown_cell(block) for block in blocks)
        return
    texts = [output for output in cell.outputs if output.get("data", {}).keys().isdisjoint((*DRAWN, "text/markdown"))]
    rich = [output for output in cell.outputs if output not in texts]
    draws = any(DRAWN & output.data.keys() for output in rich)
    code = _without_imports_and_shows(cell.source)
    if code and not draws:
        plain = nbformat.v4.new_code_cell(code, outputs=texts)
        yield _bare(texts) if texts and _height(plain) > 0.9 * HIGH else plain
    elif texts:
        yield _bare(texts)
    for output in rich:
        if "text/markdown" not in output.data:
            yield _bare([output])
        else:
            text = output.data["text/markdown"]
            for source in [text] if "<details>" in text else re.split(r"\n(?=`minconvbert/)", text):
                yield from map(nbformat.v4.new_markdown_cell, _cut(source))


def _cut(source):
    """A source, cut at an empty line of its second half if it is too tall for a slide."""
    tall = _height(nbformat.v4.new_markdown_cell(source)) > 0.95 * HIGH
    middle = len(source) // 2
    gap = re.search(r"\n\n(?=    \S)", source[middle:]) if tall else None
    at = middle + gap.start() if gap else 0
    return [source[:at] + "\n```", "```python" + source[at + 1 :]] if gap else [source]


def _without_imports_and_shows(source):
    """The lines of a cell that compute something."""
    lines = source.splitlines()
    for statement in ast.parse(source).body:
        if isinstance(statement, (ast.Import, ast.ImportFrom)) or ast.unparse(statement).startswith("show("):
            lines[statement.lineno - 1 : statement.end_lineno] = [None] * (statement.end_lineno - statement.lineno + 1)
    return "\n".join(line for line in lines if line is not None).strip()


def _bare(outputs):
    return nbformat.v4.new_code_cell(outputs=outputs, metadata=dict(tags=["bare"]))


def _height(cell):
    """About how many pixels a cell takes on a slide."""
    if cell.cell_type == "markdown":
        if "<details>" in cell.source:
            return 60
        prose, *code = re.split(r"```python\n(.*?)```", cell.source, flags=re.DOTALL)
        lines = sum(1 + len(line) // 130 for line in prose.splitlines() if line)
        return 40 + 27 * lines + 60 * len(re.findall("^#|[$][$]", prose, re.MULTILINE)) + sum(_code_height(c) for c in code)
    height = 0 if "bare" in cell.metadata.get("tags", ()) else _code_height(cell.source)
    for output in cell.outputs:
        data = output.get("data", {})
        if "image/svg+xml" in data:
            height += min(0.9 * HIGH, float(re.search(r'viewBox=.0 0 \S+ ([\d.]+)', data["image/svg+xml"])[1]) + 20)
        elif "image/png" in data:
            height += Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).height + 20
        else:
            height += _code_height(output.get("text", data.get("text/plain", "")))
    return height


def _code_height(text):
    return 30 + 23 * sum(1 + len(line) // 120 for line in text.splitlines()) if text.strip() else 0


if __name__ == "__main__":
    for path in sources(sys.argv[1:] or sys.exit(__doc__)):
        target = path.with_suffix(".slides.html")
        target.write_text(slides(nbformat.read(path.with_suffix(".ipynb"), 4)), encoding="utf-8")
        print(target)
