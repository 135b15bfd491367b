"""The documentation site names every public module once, and builds without a warning where its extra is installed."""

import re
import subprocess
import sys
from pathlib import Path

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
