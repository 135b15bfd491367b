"""A second of damaged files for each reader; `python tests/fuzz.py` reads for ten minutes each, led by atheris."""

import logging
import tempfile
from pathlib import Path

import numpy as np
import pytest
from fuzz import MEMORY, READERS, fuzz, is_refusal, make_material

from minconvbert import checkpoint

DATA = Path(__file__).parent / "data" / "checkpoints" / "small"


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        make_material(Path(folder))
        yield Path(folder)


@pytest.mark.filterwarnings("ignore")                  # of csv, pickletools and others, about what is damaged
@pytest.mark.parametrize("reader", READERS)
def test_damaged_files_are_read_or_refused(reader, folder, caplog):
    if reader == "keras":
        pytest.importorskip("h5py")
    caplog.set_level(logging.CRITICAL)
    whole = (folder / READERS[reader][0]).read_bytes()
    try:
        read, refused = fuzz(reader, folder, seconds=1)
    finally:
        (folder / READERS[reader][0]).write_bytes(whole)
    assert read + refused > 10


@pytest.mark.parametrize("file", [
    "small.safetensors", "zip.bin", "legacy.bin", "tf_model.h5", "bundle.index", "v1.ckpt",
    "pytorch_model.bin.index.json"])
def test_the_files_to_be_damaged_are_whole(file):
    if file == "tf_model.h5":
        pytest.importorskip("h5py")
    tensors, _ = checkpoint.read_tensors(DATA / file)
    assert sum(array.size for array in tensors.values()) >= 8


@pytest.mark.parametrize("raw", [
    lambda: checkpoint.ARCHITECTURES["?"], lambda: checkpoint.finite(np.array(["x"])), lambda: checkpoint.find("a\0b"),
    lambda: checkpoint.load("/nowhere", dtype="?")])
def test_an_error_from_the_depths_is_no_refusal(raw):
    with pytest.raises(Exception) as raised:
        raw()
    assert is_refusal(raised.value) == (raised.type is checkpoint.CheckpointError)
