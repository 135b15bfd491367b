"""Ten thousand damaged files for each reader; `python tests/checkpoint_fuzz.py 1000000` reads a million."""

import tempfile
from pathlib import Path

import pytest
from checkpoint_fuzz import DATA, MEMORY, SEEDS, fuzz

from minconvbert import checkpoint


@pytest.mark.filterwarnings("ignore:invalid escape sequence")         # pickletools, of texts in damaged pickles
@pytest.mark.parametrize("reader", SEEDS)
def test_damaged_files_are_read_or_refused(reader):
    if reader == "keras":
        pytest.importorskip("h5py")
    count = 5000 if reader.startswith("bundle") else 10_000          # a bundle is two files
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        good = fuzz(reader, count, Path(folder))
    assert 0 < good < 0.9 * count


@pytest.mark.parametrize("reader", SEEDS)
def test_the_files_to_be_damaged_are_whole(reader):
    if reader == "keras":
        pytest.importorskip("h5py")
    name = "bundle.index" if reader == "bundle_data" else SEEDS[reader]
    tensors, _ = checkpoint.read_tensors(DATA / name)
    assert sum(array.size for array in tensors.values()) >= 8
