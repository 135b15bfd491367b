"""What is built, installed and used where there is no clone: the wheel, the sdist, the command."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import minconvbert
from minconvbert.__main__ import main

pytest.importorskip("hatchling")
pytest.importorskip("hatch_fancy_pypi_readme")
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """-> the paths of the sdist, and of the wheel that is made from it"""
    out, unpacked = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("sdist")
    build(ROOT, "sdist", out)
    (sdist,) = out.glob("*.tar.gz")
    shutil.unpack_archive(sdist, unpacked)
    (source,) = unpacked.iterdir()
    build(source, "wheel", out)
    (wheel,) = out.glob("*.whl")
    return source, wheel


def build(source, kind, out):
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", out], cwd=source, check=True,
                   capture_output=True)


@pytest.fixture(scope="module")
def elsewhere(built, tmp_path_factory):
    """Runs Python in a folder that is not a clone, with the wheel installed and this checkout out of sight."""
    _, wheel = built
    site, folder = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("elsewhere")
    with zipfile.ZipFile(wheel) as files:
        files.extractall(site)

    def run(*args):
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run([sys.executable, *args], cwd=folder, capture_output=True, text=True,
                              env=environment | dict(PYTHONPATH=str(site)))
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert Path(run("-c", "import minconvbert; print(minconvbert.__file__)").strip()).is_relative_to(site)
    return run


def test_the_example_of_the_readme_runs_from_a_wheel(elsewhere):
    (example,) = (block for block in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"),
                                                re.DOTALL) if "import" in block)
    told = re.search(r"out\.kernels\[0\]\.shape\s+# (\(.*?\))", example).group(1)
    assert elsewhere("-c", f"{example}\nprint(out.kernels[0].shape, len(grads) == len(model.params))") == f"{told} True\n"


@pytest.mark.parametrize("command, said", [
    ([], "The generator fills masks"), (["info"], "multiply-adds per token, in a sequence of 128"), (["convert", "copy"], "copy: dis"),
    (["fill-mask", "A [MASK]."], "%"), (["tokenize", "a word"], "word"), (["view", "a word"], "wrote view.html"),
    (["step", "a word"], "wrote step.html"), (["vocab", "audit", "convbert-tiny"], "8,192 tokens, nothing wrong"),
    (["info", "convbert-tiny/generator"], "parameters"),
])
def test_commands_know_what_ships(elsewhere, command, said):
    assert said in elsewhere("-m", "minconvbert", *command)


def test_a_task_is_learned_from_what_ships(elsewhere):
    data = ROOT / "notebooks" / "data" / "tenses_dev.jsonl"
    learned = elsewhere("-m", "minconvbert", "finetune", "text-classification", "--data", str(data), "--out", "learned",
                        "--epochs", "1", "--length", "16")
    assert "the model in learned is that of step 3" in learned


def test_what_a_package_index_shows_has_no_link_that_leads_nowhere(built):
    _, wheel = built
    with zipfile.ZipFile(wheel) as files:
        names = files.namelist()
        (metadata,) = (name for name in names if name.endswith("METADATA"))
        about = Parser().parsestr(files.read(metadata).decode())
        (scripts,) = (files.read(name).decode() for name in names if name.endswith("entry_points.txt"))
    shown = about.get_payload()
    targets = re.findall(r"\]\(([^)]*)\)", shown)
    assert targets and all(target.startswith("https://") for target in targets)
    assert "`minconvbert/conv.py` are the whole idea" in shown and "kernels.png" not in shown
    assert about["Version"] == minconvbert.__version__ and about["License-Expression"] == "MIT"
    assert {Path(name).name for name in names if "/licenses/" in name} == {"LICENSE", "NOTICE"}
    assert "minconvbert = minconvbert.__main__:from_terminal" in scripts
    required = {re.split(r"\W", need)[0] for need in about.get_all("Requires-Dist") if "extra ==" not in need}
    assert required == {"numpy", "regex"}


def test_the_sdist_passes_its_own_tests(built):
    source, _ = built
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_ops.py",
                           "tests/test_readme.py", "tests/test_metrics.py"], cwd=source, capture_output=True, text=True,
                          env=os.environ | dict(PYTHONPATH=str(source)))
    assert done.returncode == 0 and "[100%]" in done.stdout, done.stdout
    for name in ("NOTICE", "CITATION.cff", "notebooks/04_convolution.ipynb", "benchmarks", "tests/data", "docs/conf.py"):
        assert (source / name).exists(), name


def test_the_notice_names_every_source_of_the_texts():
    card = (ROOT / "weights" / "convbert-tiny" / "README.md").read_text(encoding="utf-8")
    table = card.split("| part | MB | licence and credit |\n|---|---|---|\n")[1].split("\n\n")[0]
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    sources = [re.split(r"[,(|]", row.strip("| "))[0].strip() for row in table.splitlines()]
    assert len(sources) >= 3
    for source in sources:
        assert source in notice, source


def test_the_citation_names_this_version_and_the_paper():
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == minconvbert.__version__ and citation["cff-version"] == "1.2.0"
    paper = citation["preferred-citation"]
    assert paper["authors"][0]["family-names"] == "Jiang" and "2008.02496" in paper["identifiers"][0]["value"]
    assert "2008.02496" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_version_and_near_misses(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"minconvbert {minconvbert.__version__}\n"
    for wrong, right in (("fillmask", "fill-mask"), ("fill_mask", "fill-mask"), ("tokenise", "tokenize"), ("Info", "info")):
        assert main([wrong]) == 2
        assert capsys.readouterr().err == f"error: unknown command {wrong!r}; did you mean {right}?\n"
    assert main(["xyzzy"]) == 2
    assert "it must be one of tour, fill-mask" in capsys.readouterr().err


def test_a_reader_that_stops_early_is_no_error():
    code = "import sys; from minconvbert.__main__ import main; sys.exit(main(['info', 'base']))"
    done = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    done.stdout.close()
    assert done.wait() == 141 and done.stderr.read() == b""
    done.stderr.close()
