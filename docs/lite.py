"""Build a folder in which the notebooks run in a browser, with nothing installed: JupyterLite.

    python -m pip install '.[lite]'
    python docs/lite.py OUT
    python -m http.server --directory OUT

Our wheel, with the weights, lies in the folder. Python, NumPy, regex and matplotlib come from Pyodide's public index
when a reader opens a notebook, or from `--pyodide DIR`, a full Pyodide release that was unpacked, for rooms without a
network.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
FIRST = "%pip install -q minconvbert matplotlib"       # the wheel beside the notebooks, and what figures need


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to write, which must not be there yet")
    parser.add_argument("--pyodide", type=Path, metavar="DIR",
                        help="a full Pyodide release, instead of the public index")
    args = parser.parse_args(argv)
    if args.out.exists():
        raise SystemExit(f"error: {args.out} must be new, but it is there")
    if args.pyodide and not (args.pyodide / "pyodide.mjs").exists():
        raise SystemExit(f"error: --pyodide must be a folder with pyodide.mjs, but {args.pyodide} has none")
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder), args.out.resolve(), args.pyodide)


def build(work, out, pyodide=None):
    """Gather wheel, notebooks and runtime in `work`, and let JupyterLite make the site `out` of them."""
    contents, wheels = work / "contents", work / "pypi"
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", wheels], cwd=ROOT, check=True)
    prepare_notebooks(ROOT / "notebooks", contents)
    if pyodide:
        shutil.copytree(pyodide, work / "static" / "pyodide")
    subprocess.run([sys.executable, "-m", "jupyterlite_core", "build", "--lite-dir", work, "--contents", contents,
                    "--output-dir", out, "--apps", "lab", "--no-sourcemaps", "--no-unused-shared-packages"],
                   cwd=work, check=True)               # where its notes on what is done go, too


def prepare_notebooks(source, target):
    """Copy the notebooks with what they read, and put before each the line that fetches what it needs.

    Readers elsewhere never see that line, because it is not in the notebooks of the repository.
    """
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("[0-9]*.py", "build.py", "make.py", "__pycache__"))
    for path in target.glob("*.ipynb"):
        notebook = nbformat.read(path, 4)
        notebook.cells.insert(1, nbformat.v4.new_code_cell(FIRST, id="needs"))
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
