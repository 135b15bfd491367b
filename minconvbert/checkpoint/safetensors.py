"""Safetensors files: eight bytes of length, a JSON header of that length, and the tensors' bytes.

    header  {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ..., "__metadata__": {"format": "pt"}}

Offsets count from the end of the header. The tensors fill the rest of the file without gap or overlap.
"""

import json
import struct

import numpy as np

from ..files import atomic_path, no_key_twice
from .tensorfile import BFLOAT16, CheckpointError, array_at, count_of, map_file, width_of

DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": BFLOAT16, "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1"}
CODES = {dtype: code for code, dtype in DTYPES.items()}
LONGEST_HEADER = 100_000_000


def read_safetensors(path):
    """The tensors of a file, by name, in the order of its header: {name: array}.

    Arrays lie in the mapped file, copy-on-write, and take memory when they are read. Another file may replace it in the
    meantime, which is what all writers of this package do, but nobody may write into it. bfloat16 becomes float32.

    Raises CheckpointError, naming the tensor, if the file is not exactly a safetensors file.
    """
    tensors, _ = read_with_metadata(path)
    return tensors


def read_with_metadata(path):
    """-> what `read_safetensors` returns, what `read_metadata` returns; the file is opened once"""
    buffer = map_file(path)
    header, data = _header(buffer, path)
    metadata = header.pop("__metadata__", None) or {}
    return {name: array_at(buffer, data + begin, DTYPES[code], shape, f"{name} in {path}")
            for name, (code, shape, begin, end) in _entries(header, len(buffer) - data, path).items()}, metadata


def read_metadata(path):
    """The texts that the writer of a safetensors file stored beside the tensors: {key: text}."""
    header, _ = _header(map_file(path), path)
    return header.get("__metadata__") or {}


def write_safetensors(path, tensors, metadata=None):
    """Write {name: array} to `path`, whole or not at all; the same tensors always give the same bytes.

    Arrays are stored as they are, float16 and integers too. `metadata` maps texts to texts.
    """
    arrays = {}
    for name, array in tensors.items():
        array = np.asarray(array)
        little = array.dtype.newbyteorder("<")
        if not isinstance(name, str) or name == "__metadata__":
            raise ValueError(f"the name of a tensor must be a text other than '__metadata__', but is {name!r}")
        if little.str not in CODES:
            raise TypeError(f"{name} must hold floats, integers or booleans, but is {array.dtype}")
        arrays[name] = array.astype(little, copy=False)
    # Wide types come first, so that every tensor is aligned, whatever the mixture.
    offsets, end = {}, 0
    in_file = sorted(arrays, key=lambda name: -arrays[name].itemsize)
    for name in in_file:
        offsets[name], end = [end, end + arrays[name].nbytes], end + arrays[name].nbytes
    header = {} if metadata is None else {"__metadata__": dict(metadata)}
    for name, a in arrays.items():
        header[name] = {"dtype": CODES[a.dtype.str], "shape": list(a.shape), "data_offsets": offsets[name]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in in_file:
            file.write(np.ascontiguousarray(arrays[name]).data)


def _header(buffer, path):
    """-> the header as a dict; the position at which the tensors' bytes begin"""
    if len(buffer) < 8:
        raise CheckpointError(f"{path} must begin with eight bytes of length, but it has only {len(buffer)} bytes")
    (length,) = struct.unpack_from("<Q", buffer)
    if length > min(len(buffer) - 8, LONGEST_HEADER):
        raise CheckpointError(f"the header of {path} must fit into the file's {len(buffer)} bytes, but it claims"
                              f" {length}: the file is cut off, or is not a safetensors file")
    text = buffer[8:8 + length]
    try:
        if text[:1] != b"{":
            raise ValueError("it must begin with {")
        header = json.loads(text.decode("utf-8"), object_pairs_hook=no_key_twice, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"the header of {path} must be JSON: {error}") from None
    metadata = header.get("__metadata__")
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise CheckpointError(f"__metadata__ of {path} must map texts to texts, but is {metadata!r:.200}")
    return header, 8 + length


def _entries(header, size, path):
    """{name: (code, shape, begin, end)}, checked to fill `size` bytes without gap or overlap."""
    entries = {}
    for name, entry in header.items():
        where = f"{name} in {path}"
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise CheckpointError(f"{where} must have dtype, shape and data_offsets, but has {entry!r:.200}")
        code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(code, str) or code not in DTYPES:
            raise CheckpointError(f"the dtype of {where} must be one of {', '.join(DTYPES)}, but is {code!r:.200}")
        nbytes = count_of(shape, where) * width_of(DTYPES[code])
        if (not isinstance(offsets, list) or [type(o) for o in offsets] != [int, int]
                or not 0 <= offsets[0] <= offsets[1] <= size):
            raise CheckpointError(f"data_offsets of {where} must be two numbers within its {size} bytes of tensors, but"
                                  f" are {offsets!r:.200}: the file is cut off or wrong")
        if offsets[1] - offsets[0] != nbytes:
            raise CheckpointError(f"{where} must take {nbytes} bytes, {code} of shape {shape}, but data_offsets give it"
                                  f" {offsets[1] - offsets[0]}")
        entries[name] = (code, shape, *offsets)
    at = 0
    for name, (_, _, begin, end) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if begin != at:
            raise CheckpointError(f"{name} in {path} must begin at byte {at}, where the tensor before it ends, but"
                                  f" begins at {begin}: tensors overlap or leave a gap")
        at = end
    if at != size:
        raise CheckpointError(f"the tensors of {path} must fill its {size} bytes, but they end at {at}")
    return entries


def _no_constant(text):
    raise ValueError(f"{text} is not JSON")
