"""Workers of `pytest -n auto` have a core each, so each of them calculates with one thread."""

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")


@pytest.fixture
def no_curves(request, monkeypatch):
    """Trainings leave an empty curves.png, because drawing takes longer than they do; those of a test with `curves` draw."""
    if "curves" not in request.fixturenames:
        from minconvbert.commands import pretrain
        from minconvbert.training import finetune
        for module in (pretrain, finetune):
            monkeypatch.setattr(module, "draw_curves", lambda log, path: path.write_bytes(b""))


@pytest.fixture
def curves():
    """The curves of a training are drawn, although the other tests of the file do without."""
    return pytest.importorskip("matplotlib")
