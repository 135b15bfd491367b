"""From NAME.py, which people edit, to NAME.ipynb, which people read: run it and keep what it printed and drew.

    python notebooks/build.py               all notebooks
    python notebooks/build.py 04 06         those whose names begin so
    python notebooks/build.py --check       write nothing; fail if one does not run, or differs from its .ipynb

Needs jupytext, nbclient and a Python kernel (pip install "minconvbert[notebooks]").
"""

import argparse
import base64
import io
import re
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image

HERE = Path(__file__).parent
LIMIT = 120                                            # seconds for a notebook


def sources(prefixes=()):
    """The paths of the notebooks' sources whose names begin with one of `prefixes`; all of them without."""
    return sorted(path for path in HERE.glob("[0-9][0-9]_*.py") if path.name.startswith(tuple(prefixes) or ""))


def read_source(path):
    """The notebook that a percent script stands for, without outputs, cells numbered."""
    notebook = jupytext.read(path)
    notebook.metadata = nbformat.from_dict(dict(
        kernelspec=dict(display_name="Python 3", language="python", name="python3"), language_info=dict(name="python"),
        jupytext=dict(formats="ipynb,py:percent")))
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number:02}", nbformat.from_dict(_slide(cell))
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def _slide(cell):
    """Where `jupyter nbconvert --to slides` begins a slide: at each heading. (`slides.py` fits them to the screen.)"""
    begins = cell.cell_type == "markdown" and re.match("##? ", cell.source)
    return dict(slideshow=dict(slide_type="slide")) if begins else {}


def execute(notebook):
    """Run all cells, in the folder of the notebooks, and strip what changes from run to run.

    Raises CellExecutionError if a cell raises, ValueError if one writes to stderr.
    """
    where = {"metadata": {"path": str(HERE)}}
    NotebookClient(notebook, timeout=LIMIT, kernel_name="python3", resources=where).execute()
    for number, cell in enumerate(cell for cell in notebook.cells if cell.cell_type == "code"):
        cell.metadata, cell.execution_count = nbformat.from_dict({}), number + 1
        alt = re.search(r"^# alt: (.*(?:\n#      .*)*)", cell.source, re.MULTILINE)
        cell.outputs = [output for output in cell.outputs if not _names_a_drawing(output)]
        for output in cell.outputs:
            if output.get("name") == "stderr":
                raise ValueError(f"a cell wrote to stderr: {output.text}")
            if "execution_count" in output:
                output.execution_count = number + 1
            if "data" in output:
                output.metadata = nbformat.from_dict({})
                _keep_one(output.data)
                for kind in output.data.keys() & {"image/png", "image/svg+xml"} if alt else ():
                    output.metadata[kind] = dict(alt=re.sub(r"\n# +", " ", alt[1]))
    return notebook


def _names_a_drawing(output):
    """What `axis.legend()` and its like return in the last line of a cell: nothing that a reader wants."""
    data = output.get("data", {})
    return set(data) == {"text/plain"} and re.match(r"<matplotlib|\[?<?Text\(|\[<matplotlib|\[Text", data["text/plain"])


def _keep_one(data):
    """Of a picture, or of a page with a still picture, only the PNG, in a palette; of rich text only the richest form."""
    if "image/png" in data:
        for kind in ("text/plain", "text/html"):
            data.pop(kind, None)
        picture, small = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))), io.BytesIO()
        picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE).save(small, "PNG", optimize=True)
        data["image/png"] = base64.b64encode(small.getvalue()).decode()
    elif "text/markdown" in data:
        data.pop("text/plain", None)


def differences(notebook, committed):
    """Where two notebooks differ in their cells, in the code of the package that they show, or in what they print.

    Numbers may differ by rounding from machine to machine: they are the same if they differ by at most two units of
    the last digit printed (and, printed as 1e-01, by at most 60%), or by 0.1%, or if both are below 1e-6; whole numbers
    must be equal. In a cell that says `# varies by machine` (it trains, say) they may differ by 20%. Numbers of seconds
    are not compared, nor are pictures.
    """
    if [(c.cell_type, c.source) for c in notebook.cells] != [(c.cell_type, c.source) for c in committed.cells]:
        return ["its cells are not those of its .py"]
    found = []
    for number, (now, then) in enumerate(zip(notebook.cells, committed.cells)):
        if _shown(now) != _shown(then):
            found.append(f"cell {number}: the code that it shows has changed")
        loose = "# varies by machine" in now.source
        if not same_text(_printed(now), _printed(then), 0.2 if loose else 1e-3):
            found.append(f"cell {number}: it prints something else than what is committed")
    return found


def _shown(cell):
    """The code that `show` put below a cell. (Its line numbers may move.)"""
    texts = ["".join(o["data"].get("text/markdown", "")) for o in cell.get("outputs", ()) if "data" in o]
    return [text.partition("```python")[2] for text in texts]


def _printed(cell):
    """What a cell printed, and the value of its last line."""
    outputs = cell.get("outputs", ())
    texts = [o["text"] if "text" in o else o.get("data", {}).get("text/plain", "") for o in outputs]
    return "".join("".join(text) for text in texts)


NUMBER = re.compile(r"[-\u2212]?\d[\d,]*(?:\.\d*)?(?:e[-+]?\d+)?%?(?: ?m?s\b)?")


def same_text(a, b, share):
    """Whether two texts have the same words and, but for rounding, the same numbers."""
    words_a, words_b = (re.sub(r"\s+", " ", NUMBER.sub("#", text)) for text in (a, b))
    return words_a == words_b and all(map(_same_number, NUMBER.findall(a), NUMBER.findall(b), [share] * len(a)))


def _same_number(a, b, share):
    if a.endswith("s"):
        return True
    (x, unit_x), (y, unit_y) = _value(a), _value(b)
    if not unit_x and not unit_y and share < 0.01:
        return x == y
    larger, rounding = max(abs(x), abs(y)), 2.0001 * max(unit_x, unit_y)
    if "e" in a:                                       # 1e-01 and 1e-02 are not the same but for rounding
        rounding = min(rounding, 0.6 * larger)
    return abs(x - y) <= max(rounding, share * larger) or larger < 1e-6


def _value(text):
    """-> the number, and one unit of its last digit: 0 for a whole number"""
    digits, _, exponent = text.rstrip("%").replace(",", "").replace("\u2212", "-").partition("e")
    unit = 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2])) if "." in digits or exponent else 0
    return float(digits) * 10.0 ** int(exponent or 0), unit


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("prefixes", nargs="*", metavar="PREFIX")
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args(argv)
    stale = []
    for path in sources(args.prefixes):
        started = time.perf_counter()
        notebook, target = execute(read_source(path)), path.with_suffix(".ipynb")
        if not args.check:
            nbformat.validate(notebook)
            target.write_text(nbformat.writes(notebook, indent=1) + "\n", encoding="utf-8")
        else:
            found = differences(notebook, nbformat.read(target, 4)) if target.exists() else ["it is missing"]
            for line in found:
                print(f"    {line}")
            if found:
                stale.append(target.name)
        print(f"{path.stem:<32} {time.perf_counter() - started:5.1f} s", flush=True)
    if stale:
        print(f"out of date: {', '.join(stale)}; run python notebooks/build.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
