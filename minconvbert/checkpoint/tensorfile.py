"""What readers of tensor files share: the error, the mapping of a file, and the checked way from bytes to arrays."""

import math
from pathlib import Path

import numpy as np

from ..files import is_file

try:
    import mmap
except ImportError:                                    # some Pythons cannot map files
    mmap = None

BFLOAT16 = "bfloat16"


class CheckpointError(ValueError):
    """A file of tensors is damaged, or does not hold the tensors that are needed."""


class NoHeadError(CheckpointError):
    """A checkpoint lacks the head of the task, and nothing else."""


def map_file(path):
    """The bytes of a file, mapped copy-on-write: arrays over it can be written to, the file never changes.

    Where files cannot be mapped, as in WebAssembly and on some network drives, the file is read.

    Raises CheckpointError if there is no such file or it is empty.
    """
    path = Path(path)
    if not is_file(path):
        raise CheckpointError(f"{path} must be a file of tensors, but there is no such file")
    with open(path, "rb") as file:
        if path.stat().st_size == 0:
            raise CheckpointError(f"{path} must hold tensors, but it is empty")
        try:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except (AttributeError, OSError):
            return bytearray(file.read())


def let_go(array):
    """Give the memory of a mapped array back to the system. Reading the array again reads the file again.

    Nothing may have been written to the array.
    """
    owner, kind = array, getattr(mmap, "mmap", ())
    while owner is not None and not isinstance(owner, kind):
        owner = getattr(owner, "base", getattr(owner, "obj", None))
    if owner is not None and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


def count_of(shape, name):
    """How many numbers an array of `shape` has.   Raises CheckpointError if NumPy has no arrays of this shape."""
    if not isinstance(shape, (list, tuple)) or len(shape) > 32 or not all(
            isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in shape):
        raise CheckpointError(f"the shape of {name} must be at most 32 whole numbers, but is {shape!r:.200}")
    if 0 in shape and math.prod(size for size in shape if size) >= 1 << 59:      # in bytes, NumPy counts up to 2**63
        raise CheckpointError(f"the shape of {name} must be one that an array can have, but is {shape!r:.200}")
    return math.prod(shape)


def width_of(dtype):
    """Bytes of one number of a little-endian NumPy type or BFLOAT16."""
    return 2 if dtype == BFLOAT16 else np.dtype(dtype).itemsize


def array_at(buffer, offset, dtype, shape, name):
    """The array of `shape` at `offset` of `buffer`: a view, or a copy where it is not aligned.

    dtype: a little-endian NumPy type, or BFLOAT16, which becomes float32.

    Raises CheckpointError if the bytes would lie outside the buffer.
    """
    stored = np.dtype("<u2" if dtype == BFLOAT16 else dtype)
    nbytes = count_of(shape, name) * stored.itemsize
    if offset < 0 or offset + nbytes > len(buffer):
        raise CheckpointError(f"{name} must lie within the {len(buffer)} bytes there are, but takes bytes {offset} to"
                              f" {offset + nbytes}: the file is cut off or wrong")
    if nbytes == 0:
        return np.zeros(shape, np.float32 if dtype == BFLOAT16 else stored)
    array = np.frombuffer(buffer, stored, nbytes // stored.itemsize, offset).reshape(shape)
    if dtype == BFLOAT16:
        return widen_bfloat16(array)
    return array if array.flags.aligned else array.copy()


def widen_bfloat16(bits):
    """uint16 bit patterns of bfloat16  ->  float32: the upper half of its bits are those of a float32."""
    wide = bits.astype("<u4")
    wide <<= 16
    return wide.view("<f4")


def listed(names, most=5):
    """Names for a message: the first few, and how many more there are."""
    names = list(names)
    more = len(names) - most
    return ", ".join(map(str, names[:most])) + (f" and {more} more" if more > 0 else "")
