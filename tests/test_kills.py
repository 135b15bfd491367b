"""A kill at every file-system event of a tiny run; `python tests/kills.py` does it with longer ones, and over MPI."""

import os
import tempfile
from pathlib import Path

import pytest
from fuzz import MEMORY
from kills import in_a_fork, kill_everywhere
from test_outlives import finetuning, make_material, pretraining

from minconvbert.__main__ import main

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills are made in forks")


@pytest.fixture
def in_memory():
    """A folder for what is written to the disk, and forced there, hundreds of times."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


@pytest.mark.parametrize("events", [range(3, 50, 6), pytest.param(None, marks=pytest.mark.long)], ids=["some", "all"])
@pytest.mark.parametrize("training", [pretraining, finetuning])
def test_a_run_that_was_killed_at_any_event_ends_in_the_same_bytes(in_memory, training, events):
    material = make_material(in_memory / "material", documents=12)
    more = (2, "--save-every", "1", "--objective", "masked-lm") if training is pretraining else (
        "--batch-size", "24", "--save-every", "1", "--dev", str(material / "texts.jsonl"))
    kills = kill_everywhere(main, lambda out: training(material, out, *more), in_memory, events)
    assert kills >= 50 if events is None else kills == len(events)


def test_a_training_that_forgets_what_it_did_is_noticed(in_memory, monkeypatch):
    """The check can fail: here a run that goes on does one step with another rate."""
    from minconvbert.training import runs
    honest = runs.load_state

    def forgetful(path, made_by, parts=None):
        state = honest(path, made_by, parts)
        name = next(iter(state["params"]))
        state["params"][name] *= 1.001
        return state

    monkeypatch.setattr("minconvbert.training.finetune.load_state", forgetful)
    material = make_material(in_memory / "material", documents=1)
    arguments = lambda out: finetuning(material, out, "--save-every", "1")
    count = in_a_fork(main, arguments(in_memory / "count"), in_memory / "count")
    with pytest.raises(AssertionError, match="model.safetensors differ|killed at event"):
        kill_everywhere(main, arguments, in_memory, range(count // 2, count))
