"""`tf_model.h5`, as Hugging Face's TensorFlow classes wrote it: an HDF5 file with one dataset for each variable.

`h5py` finds the datasets. Their numbers are read from the mapped file, so HDF5 filters, links and custom types cannot
affect them.
"""

from pathlib import Path

import numpy as np

from .names import plain_keras
from .tensorfile import CheckpointError, array_at, map_file


def read_keras(path):
    """The variables of a `tf_model.h5`, by name; the name of the model in front of each is left out.

    Raises CheckpointError, naming the variable, and ImportError if h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise ImportError(f"to read {path}, h5py is needed: pip install 'minconvbert[hf]'") from None
    path = Path(path)
    buffer, tensors = map_file(path), {}
    kinds = {h5py.h5t.IEEE_F16LE: "<f2", h5py.h5t.IEEE_F32LE: "<f4", h5py.h5t.IEEE_F64LE: "<f8"}

    def visit(name, item):
        if not isinstance(item, h5py.Dataset):
            return
        where, dataset = f"{name} in {path}", item.id
        dtype = next((dtype for kind, dtype in kinds.items() if kind == dataset.get_type()), None)
        if dtype is None:
            raise CheckpointError(f"{where} must hold little-endian floats, but holds {item.dtype}")
        if dataset.get_offset() is None:                     # chunked, compressed, virtual, in another file, or nowhere
            raise CheckpointError(f"{where} must lie in the file in one piece and uncompressed, but does not")
        plain = plain_keras(name)
        array = array_at(buffer, dataset.get_offset(), dtype, list(item.shape), where)
        # Layers that share an array have a dataset of it each.
        if not np.array_equal(tensors.setdefault(plain, array), array, equal_nan=True):
            raise CheckpointError(f"{plain} must be in {path} once, but is there twice and differs")
        if sum(array.nbytes for array in tensors.values()) > len(buffer):
            raise CheckpointError(f"the variables of {path} must lie apart, but they take more bytes than there are")

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except CheckpointError:
        raise
    except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} must be an HDF5 file, but is damaged: {error}") from None
    return tensors
