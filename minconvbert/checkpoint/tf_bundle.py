"""TensorFlow checkpoints without TensorFlow: bundles (V2: `x.index`, `x.data-00000-of-00001`) and the older V1 files.

Both are tables whose values are protocol buffers. In a bundle, a value says where in the data files a tensor lies; in a
V1 file, it holds the tensor itself.
"""

from pathlib import Path

import numpy as np

from ..files import atomic_path, write_atomic
from .crc32c import masked_crc32c
from .protobuf import Message, message_of, read_varint
from .tensorfile import BFLOAT16, CheckpointError, array_at, count_of, map_file, width_of
from .tf_table import block_of, read_table, table_file

DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "|u1", 5: "<i2", 6: "|i1", 9: "<i8", 10: "|b1", 14: BFLOAT16, 19: "<f2"}
CODES = {dtype: code for code, dtype in DTYPES.items()}
# TensorFlow's messages, and the numbers of the fields that are read or written here.
SHAPE, DIM = dict(dim=2), dict(size=1)
# Of a bundle: tensor_bundle.proto, versions.proto
HEADER = dict(num_shards=1, big_endian=2, version=3)
VERSION = dict(producer=1)
ENTRY = dict(dtype=1, shape=2, shard=3, offset=4, size=5, crc32c=6, slices=7)
# Of a V1 file: saved_tensor_slice.proto, tensor_slice.proto, tensor.proto
SLICES = dict(meta=1, data=2)
META, META_TENSOR = dict(tensor=1), dict(name=1, shape=2, dtype=3)
DATA, SLICE = dict(name=1, slice=2, numbers=3), dict(extent=1)
NUMBERS = dict(floats=5, doubles=6, ints=7, longs=10)
# code of a dtype: the field that holds its numbers, in full or as varints
V1_FIELDS = {1: "floats", 2: "doubles"}
V1_VARINTS = {3: "ints", 9: "longs"}


def read_tensorflow(path):
    """The variables of a checkpoint, by name: of a bundle, named by its `.index`, or of a V1 file.

    Raises CheckpointError, naming the variable, for a wrong checksum and for anything else that does not fit.
    """
    path = Path(path)
    entries = read_table(map_file(path), path)
    if b"" not in entries:
        raise CheckpointError(f"{path} must be a checkpoint of TensorFlow, but it has no header")
    try:
        return _read_bundle(entries, path) if path.suffix == ".index" else _read_v1(entries, path)
    except UnicodeDecodeError:
        raise CheckpointError(f"the names in {path} must be UTF-8") from None


def _read_bundle(entries, path):
    header = Message(entries.pop(b""), HEADER, path)
    num_shards = header.number("num_shards")
    if header.number("big_endian"):
        raise CheckpointError(f"{path} must be little-endian, but says that it is not")
    shards, tensors, taken = {}, {}, 0
    for key, value in entries.items():
        name, entry = key.decode(), Message(value, ENTRY, path)
        where, shard = f"{name} in {path}", entry.number("shard")
        if name.endswith("/.ATTRIBUTES/VARIABLE_VALUE"):
            raise CheckpointError(f"{path} must name its variables, as tf.compat.v1.train.Saver does, but it is a"
                                  f" checkpoint of objects: {name}")
        if shard >= num_shards:
            raise CheckpointError(f"{where} must be in one of {num_shards} data files, but is in number {shard}")
        if shard not in shards:
            shards[shard] = map_file(path.with_name(f"{path.stem}.data-{shard:05}-of-{num_shards:05}"))
        taken += entry.number("size")
        if taken > sum(map(len, shards.values())):
            raise CheckpointError(f"the variables of {path} must not overlap, but they take more bytes than there are")
        tensors[name] = _variable(entry, shards[shard], where)
    return tensors


def _variable(entry, data, where):
    """The array that the entry of a bundle describes, checked against its checksum."""
    if entry.has("slices"):
        raise CheckpointError(f"{where} must be in one piece, but it is partitioned")
    dtype = DTYPES.get(entry.number("dtype"))
    if dtype is None:
        raise CheckpointError(f"the dtype of {where} must be a number, but is TensorFlow's {entry.number('dtype')}")
    shape = _shape(entry.message("shape", SHAPE))
    offset, nbytes = entry.number("offset"), entry.number("size")
    needed = count_of(shape, where) * width_of(dtype)
    if nbytes != needed:
        raise CheckpointError(f"{where} must take {needed} bytes for its shape {shape}, but takes {nbytes}")
    array = array_at(data, offset, dtype, shape, where)
    if not entry.has("crc32c") or masked_crc32c(memoryview(data)[offset:offset + nbytes]) != entry.number("crc32c"):
        raise CheckpointError(f"the checksum of {where} must be that of its bytes, but is not: the file is damaged")
    return array


def _read_v1(entries, path):
    described = {}
    for meta in Message(entries.pop(b""), SLICES, path).messages("meta", META):
        for tensor in meta.messages("tensor", META_TENSOR):
            described[tensor.text("name")] = _shape(tensor.message("shape", SHAPE)), tensor.number("dtype")
    tensors = {}
    for value in entries.values():
        part = Message(value, SLICES, path).message("data", DATA)
        name = part.text("name")
        where = f"{name} in {path}"
        if name not in described or name in tensors:
            raise CheckpointError(f"{where} must be listed in the header and stored exactly once")
        if any(extent.fields for extent in part.message("slice", SLICE).messages("extent", {})):
            raise CheckpointError(f"{where} must be in one piece, but it is partitioned")
        shape, code = described[name]
        data = _v1_bytes(part.message("numbers", NUMBERS), code, where)
        tensors[name] = array_at(data, 0, DTYPES[code], shape, where)
    return tensors


def _v1_bytes(numbers, code, where):
    """The numbers of a TensorProto as little-endian bytes."""
    if code in V1_FIELDS:
        return numbers.bytes(V1_FIELDS[code])
    if code not in V1_VARINTS:
        raise CheckpointError(f"the dtype of {where} must be a float or integer, but is TensorFlow's {code}")
    packed, at, data = numbers.bytes(V1_VARINTS[code]), 0, bytearray()
    while at < len(packed):
        number, at = read_varint(packed, at, where)
        data += (number & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little")[:width_of(DTYPES[code])]
    return data


def _shape(message):
    return [dim.number("size") for dim in message.messages("dim", DIM)]


def write_bundle(prefix, tensors):
    """Write {name: array} as a bundle that TensorFlow reads: `prefix.index` and `prefix.data-00000-of-00001`."""
    entries = {b"": message_of(HEADER, num_shards=1, version=message_of(VERSION, producer=1))}
    offset = 0
    with atomic_path(f"{prefix}.data-00000-of-00001") as temporary, open(temporary, "wb") as file:
        for name in sorted(tensors):
            array = np.asarray(tensors[name])
            array = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
            if array.dtype.str not in CODES:
                raise TypeError(f"{name} must hold floats, integers or booleans, but is {array.dtype}")
            data = array.reshape(-1).view(np.uint8).data
            shape = message_of(SHAPE, dim=[message_of(DIM, size=size) for size in array.shape])
            entries[name.encode()] = message_of(ENTRY, dtype=CODES[array.dtype.str], shape=shape, offset=offset,
                                             size=len(data), crc32c=np.uint32(masked_crc32c(data)))
            file.write(data)
            offset += len(data)
    write_atomic(f"{prefix}.index", table_file(block_of(entries)))
