"""`tf_model.h5`, as Hugging Face's TensorFlow classes wrote it: an HDF5 file with one dataset for each variable.

`h5py` finds the datasets. Their numbers are read from the mapped file, so HDF5 filters, links and custom types cannot
affect them.
"""

from pathlib import Path

import numpy as np

from .names import plain_keras
from .tensorfile import CheckpointError, array_at, map_file

DEEPEST, MOST_OBJECTS = 64, 100_000                    # levels of groups inside groups; groups and datasets in all


def read_keras(path):
    """The variables of a `tf_model.h5`: {name without the model's: array}.

    Raises CheckpointError, naming the variable, if one does not fit; ImportError if h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise ImportError(f"to read {path}, h5py is needed: pip install 'minconvbert[hf]'") from None
    path = Path(path)
    buffer, tensors, taken = map_file(path), {}, 0
    try:
        with h5py.File(path, "r") as file:
            for name, dataset in _datasets(file, path):
                plain, array = plain_keras(name), _array(dataset, buffer, f"{name} in {path}")
                taken += array.nbytes
                if taken > len(buffer):
                    raise CheckpointError(f"the variables of {path} must not overlap, but they take more bytes than"
                                          " there are")
                # Layers that share an array have a dataset of it each.
                if not np.array_equal(tensors.setdefault(plain, array), array, equal_nan=True):
                    raise CheckpointError(f"{plain} must be in {path} once, but is there twice and differs")
    except CheckpointError:
        raise
    except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} must be an HDF5 file, but is damaged: {error}") from None
    return tensors


def _datasets(file, path):
    """Yields (name, dataset) once for every dataset that hard links lead to.

    h5py's own visititems takes seconds for a few thousand nested groups.
    """
    import h5py

    waiting, seen = [((), file)], set()
    while waiting:
        names, group = waiting.pop()
        if len(names) == DEEPEST:
            raise CheckpointError(f"the groups of {path} must be at most {DEEPEST} deep, but {'/'.join(names):.200} is"
                                  " deeper")
        for name in reversed(list(group)):
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if len(seen) > MOST_OBJECTS:
                raise CheckpointError(f"{path} must have at most {MOST_OBJECTS:,} groups and variables, but has more")
            if isinstance(item, h5py.Group):
                waiting.append(((*names, name), item))
            elif isinstance(item, h5py.Dataset):
                yield "/".join((*names, name)), item


def _array(item, buffer, where):
    """The numbers of a dataset, read from the mapped file."""
    import h5py

    kinds = {h5py.h5t.IEEE_F16LE: "<f2", h5py.h5t.IEEE_F32LE: "<f4", h5py.h5t.IEEE_F64LE: "<f8"}
    dataset = item.id
    dtype = next((dtype for kind, dtype in kinds.items() if kind == dataset.get_type()), None)
    if dtype is None:
        raise CheckpointError(f"{where} must hold little-endian floats, but holds {item.dtype}")
    if dataset.get_offset() is None:                         # chunked, compressed, virtual, elsewhere, or without data
        raise CheckpointError(f"{where} must lie in the file in one piece and uncompressed, but does not")
    return array_at(buffer, dataset.get_offset(), dtype, list(item.shape), where)
