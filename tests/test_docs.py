"""The documentation site names every public module once, and builds without a warning where its extra is installed."""

import functools
import http.server
import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import browser
import pytest

import minconvbert

ROOT = Path(__file__).parents[1]
PACKAGE = Path(minconvbert.__file__).parent
# What has a page of its own (--help), is a table that nobody reads, or only says where the rest is.
ELSEWHERE = {"commands", "unicode8", "__main__", "__init__"}


def test_every_public_module_has_its_place():
    modules = {path.relative_to(PACKAGE.parent).with_suffix("") for path in PACKAGE.rglob("*.py")}
    wanted = {".".join(path.parts) for path in modules
              if not {*path.parts} & ELSEWHERE and not path.name.startswith("_")}
    packages = {".".join(path.parts[:-1]) for path in modules if path.name == "__init__" and "commands" not in path.parts}
    named = [name for page in (ROOT / "docs" / "api").glob("*.md")
             for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)]
    assert sorted(named) == sorted(wanted | packages - {"minconvbert"})


def test_it_builds_without_a_warning_and_asks_no_network(tmp_path):
    pytest.importorskip("sphinx")
    pytest.importorskip("furo")
    pytest.importorskip("latex2mathml")
    done = subprocess.run([sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs", "-d",
                           tmp_path / "doctrees", ".", tmp_path / "site"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    pages = {path.relative_to(tmp_path / "site").as_posix(): path.read_text(encoding="utf-8")
             for path in (tmp_path / "site").rglob("*.html")}
    assert pages["index.html"] == pages["README.html"]
    for page in pages.values():
        assert not re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"https?:", page)
    model = pages["docs/api/model.html"]
    at = [model.index(f'id="minconvbert.{name}"') for name in ("conv.dynamic_conv", "conv.dynamic_conv_backward")]
    assert at == sorted(at) and "_modules/minconvbert/conv.html#dynamic_conv" in model
    for name in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"notebooks/{name.stem}.html" in pages
    formulas = pages["notebooks/04_convolution.html"]
    assert formulas.count('<math') == 2 and "<mo>&#x02211;</mo>" in formulas and r"\text{out}" not in formulas


def test_the_notebooks_open_in_a_browser_where_nothing_is_installed(tmp_path):
    """The page, our wheel and the notebooks come from the folder alone. (The kernel itself comes from Pyodide's index.)"""
    pytest.importorskip("jupyterlite_core")
    pytest.importorskip("jupyterlite_pyodide_kernel")
    if browser.MISSING:
        pytest.skip(browser.MISSING)
    site = tmp_path / "site"
    subprocess.run([sys.executable, ROOT / "docs" / "lite.py", site], check=True, capture_output=True)
    assert sum(path.stat().st_size for path in site.rglob("*")) < 80e6
    (wheel,) = json.loads((site / "pypi" / "all.json").read_text())["minconvbert"]["releases"].values()
    assert (site / "pypi" / wheel[0]["filename"]).exists()
    missing = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, form, *values):
            if len(values) > 1 and str(values[1]).startswith(("4", "5")) and "favicon" not in values[0]:
                missing.append(values)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with browser.browser() as page:
        page.cdp("Page.navigate", url=f"http://127.0.0.1:{server.server_port}/lab/index.html?path=04_convolution.ipynb")
        cells, until = [], time.monotonic() + 120
        while len(cells) < 30 and time.monotonic() < until:
            time.sleep(1)
            cells = page.run("return [...document.querySelectorAll('.jp-Cell')].map(cell => cell.innerText)") or []
    server.shutdown()
    assert len(cells) >= 30 and any("%pip install -q minconvbert matplotlib" in cell for cell in cells[:3])
    assert not missing
