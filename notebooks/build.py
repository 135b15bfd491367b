"""From NAME.py, which people edit, to NAME.ipynb, which people read: run it and keep what it printed and drew.

    python notebooks/build.py               all notebooks
    python notebooks/build.py 04 06         those whose names begin so
    python notebooks/build.py --check       write nothing; fail if one does not run, or its .ipynb is out of date

Needs jupytext, nbclient and a Python kernel (pip install "minconvbert[notebooks]").
"""

import argparse
import base64
import io
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
        cell.id, cell.metadata = f"cell-{number:02}", nbformat.from_dict({})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def execute(notebook):
    """Run all cells, in the folder of the notebooks, and strip what changes from run to run.

    Raises CellExecutionError if a cell raises, ValueError if one writes to stderr.
    """
    where = {"metadata": {"path": str(HERE)}}
    NotebookClient(notebook, timeout=LIMIT, kernel_name="python3", resources=where).execute()
    for number, cell in enumerate(cell for cell in notebook.cells if cell.cell_type == "code"):
        cell.metadata, cell.execution_count = nbformat.from_dict({}), number + 1
        for output in cell.outputs:
            if output.get("name") == "stderr":
                raise ValueError(f"a cell wrote to stderr: {output.text}")
            if "execution_count" in output:
                output.execution_count = number + 1
            if "data" in output:
                output.metadata = nbformat.from_dict({})
                _keep_one(output.data)
    return notebook


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


def same_source(notebook, committed):
    """Whether two notebooks have the same cells, and the same code of the package shown in them."""
    def told(nb):
        return [(cell.cell_type, cell.source, _shown(cell)) for cell in nb.cells]
    return told(notebook) == told(committed)


def _shown(cell):
    """The code that `show` put below a cell. (Its line numbers may move.)"""
    texts = ["".join(o["data"].get("text/markdown", "")) for o in cell.get("outputs", ()) if "data" in o]
    return [text.partition("```python")[2] for text in texts]


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
        elif not target.exists() or not same_source(notebook, nbformat.read(target, 4)):
            stale.append(target.name)
        print(f"{path.stem:<32} {time.perf_counter() - started:5.1f} s", flush=True)
    if stale:
        print(f"out of date: {', '.join(stale)}; run python notebooks/build.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
