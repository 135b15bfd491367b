"""TensorFlow checkpoints without TensorFlow: bundles (V2: `x.index`, `x.data-00000-of-00001`) and the older V1 files.

Both are tables of sorted keys and values, in blocks that each have a checksum, as in LevelDB. The values are protocol
buffers: in a bundle they say where in the data files a tensor lies, in a V1 file they hold the tensor itself.
"""

import struct
from pathlib import Path

import numpy as np

from ..files import atomic_path, write_atomic
from .crc32c import masked_crc32c
from .tensorfile import BFLOAT16, CheckpointError, array_at, count_of, map_file, width_of

MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)                   # the last bytes of a table
DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "|u1", 5: "<i2", 6: "|i1", 9: "<i8", 10: "|b1", 14: BFLOAT16, 19: "<f2"}
CODES = {dtype: code for code, dtype in DTYPES.items()}
# In a V1 file: the field of a TensorProto that holds numbers of a dtype, as they are or as varints.
V1_FIELDS = {1: 5, 2: 6}
V1_VARINTS = {3: 7, 9: 10}


def read_tensorflow(path):
    """The variables of a checkpoint, by name: of a bundle, named by its `.index`, or of a V1 file.

    Raises CheckpointError, naming the variable, for wrong checksums and whatever else does not fit.
    """
    path = Path(path)
    table = _read_table(map_file(path), path)
    if b"" not in table:
        raise CheckpointError(f"{path} must be a checkpoint of TensorFlow, but it has no header")
    try:
        return _read_bundle(table, path) if path.suffix == ".index" else _read_v1(table, path)
    except UnicodeDecodeError:
        raise CheckpointError(f"the names in {path} must be UTF-8") from None


def _read_bundle(table, path):
    header = _Message(table.pop(b""), path)
    num_shards = header.number(1)
    if header.number(2):
        raise CheckpointError(f"{path} must be little-endian, but says that it is not")
    shards, tensors, taken = {}, {}, 0
    for key, value in table.items():
        name, entry = key.decode(), _Message(value, path)
        where = f"{name} in {path}"
        if name.endswith("/.ATTRIBUTES/VARIABLE_VALUE"):
            raise CheckpointError(f"{path} must name its variables, as tf.compat.v1.train.Saver does, but it is a"
                                  f" checkpoint of objects: {name}")
        if 7 in entry.fields:
            raise CheckpointError(f"{where} must be in one piece, but it is partitioned")
        dtype = DTYPES.get(entry.number(1))
        if dtype is None:
            raise CheckpointError(f"the dtype of {where} must be a number, but is TensorFlow's {entry.number(1)}")
        shape = _shape(entry.message(2))
        shard, offset, nbytes = entry.number(3), entry.number(4), entry.number(5)
        if shard >= num_shards:
            raise CheckpointError(f"{where} must be in one of {num_shards} data files, but is in number {shard}")
        if shard not in shards:
            shards[shard] = map_file(path.with_name(f"{path.stem}.data-{shard:05}-of-{num_shards:05}"))
        needed = count_of(shape, where) * width_of(dtype)
        if nbytes != needed:
            raise CheckpointError(f"{where} must take {needed} bytes for its shape {shape}, but takes {nbytes}")
        taken += nbytes
        if taken > sum(map(len, shards.values())):
            raise CheckpointError(f"the variables of {path} must lie apart, but they take more bytes than there are")
        array = array_at(shards[shard], offset, dtype, shape, where)
        stored = entry.fields.get(6, [None])[-1]
        if masked_crc32c(memoryview(shards[shard])[offset:offset + nbytes]) != stored:
            raise CheckpointError(f"the checksum of {where} must be that of its bytes, but is not: the file is damaged")
        tensors[name] = array
    return tensors


def _read_v1(table, path):
    listed = {}
    for meta in _Message(table.pop(b""), path).messages(1):
        for tensor in meta.messages(1):
            listed[tensor.text(1)] = _shape(tensor.message(2)), tensor.number(3)
    tensors = {}
    for value in table.values():
        part = _Message(value, path).message(2)
        name = part.text(1)
        shape, code = listed.get(name, (None, None))
        where = f"{name} in {path}"
        if shape is None or name in tensors:
            raise CheckpointError(f"{where} must be listed, and there, once")
        if any(extent.fields for extent in part.message(2).messages(1)):
            raise CheckpointError(f"{where} must be in one piece, but it is partitioned")
        if code in V1_FIELDS:
            data = part.message(3).bytes(V1_FIELDS[code])
        elif code in V1_VARINTS:
            packed, at, data = part.message(3).bytes(V1_VARINTS[code]), 0, bytearray()
            while at < len(packed):
                number, at = _varint(packed, at, path)
                data += (number & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little")[:width_of(DTYPES[code])]
        else:
            raise CheckpointError(f"the dtype of {where} must be a float or integer, but is TensorFlow's {code}")
        tensors[name] = array_at(data, 0, DTYPES[code], shape, where)
    return tensors


def _shape(message):
    return [size.number(1) for size in message.messages(2)]


def _read_table(buffer, path):
    """{key: value} of a table, every block checked against its checksum."""
    if len(buffer) < 48 or buffer[-8:] != MAGIC:
        raise CheckpointError(f"{path} must end as TensorFlow's tables do, but does not: it is cut off or another file")
    footer = buffer[-48:-8]
    begin, size, at = _place(footer, 0, path)
    _block(buffer, begin, size, path)                                           # of other things; there are none
    begin, size, _ = _place(footer, at, path)
    table, last, end = {}, None, 0
    for place in _block(buffer, begin, size, path).values():
        begin, size, _ = _place(place, 0, path)
        if begin < end:
            raise CheckpointError(f"the blocks of {path} must lie apart, but one begins at {begin} and another ends at"
                                  f" {end}")
        end = begin + size + 5
        for key, value in _block(buffer, begin, size, path).items():
            if last is not None and key <= last:
                raise CheckpointError(f"the keys of {path} must be in order, but {key!r:.99} comes after {last!r:.99}")
            table[key] = value
            last = key
    return table


def _place(data, at, path):
    """-> where a block begins, and its size, without five bytes at its end; where the next such place is written"""
    begin, at = _varint(data, at, path)
    size, at = _varint(data, at, path)
    return begin, size, at


def _block(buffer, begin, size, path):
    """{key: value}, each key written as the length of what it has in common with the one before, and the rest."""
    if begin + size + 5 > len(buffer):
        raise CheckpointError(f"a block of {path} must lie within the file, but it ends at {begin + size + 5} of"
                              f" {len(buffer)} bytes: the file is cut off or wrong")
    block = buffer[begin:begin + size]
    compression, checksum = struct.unpack_from("<BI", buffer, begin + size)
    if masked_crc32c(buffer[begin:begin + size + 1]) != checksum:
        raise CheckpointError(f"the checksum of a block of {path} must be that of its bytes, but is not: the file is"
                              " damaged")
    if compression:
        raise CheckpointError(f"the blocks of {path} must not be compressed, but they are, by method {compression}")
    restarts = struct.unpack_from("<I", block, size - 4)[0] if size >= 4 else -1
    end = size - 4 - 4 * restarts
    if restarts < 0 or end < 0:
        raise CheckpointError(f"a block of {path} must have room for its own index, but has {size} bytes")
    entries, key, at, spelled = {}, b"", 0, 0
    while at < end:
        common, at = _varint(block, at, path)
        rest, at = _varint(block, at, path)
        length, at = _varint(block, at, path)
        if common > len(key) or at + rest + length > end:
            raise CheckpointError(f"an entry of a block of {path} must lie within it, but does not")
        key = key[:common] + block[at:at + rest]
        spelled += len(key)
        if key in entries or spelled > 64 * size:
            raise CheckpointError(f"the keys of {path} must differ, and not be much longer than the file: {key!r:.200}")
        entries[key] = block[at + rest:at + rest + length]
        at += rest + length
    return entries


def _varint(data, at, path):
    """-> a number in groups of seven bits, low ones first; where the next begins"""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        number |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return number, at
    raise CheckpointError(f"a number in {path} must end, but it is cut off")


class _Message:
    """A protocol buffer: the values of each of its numbered fields, the last of which counts."""

    def __init__(self, data, path):
        self.fields, self.path, at = {}, path, 0
        while at < len(data):
            tag, at = _varint(data, at, path)
            size = {1: 8, 5: 4}.get(tag & 7)
            if tag & 7 == 0:
                value, at = _varint(data, at, path)
            elif tag & 7 == 2 or size:
                if not size:
                    size, at = _varint(data, at, path)
                value = data[at:at + size]
                if len(value) < size:
                    raise CheckpointError(f"a field in {path} must lie within its message, but it is cut off")
                at += size
                if tag & 7 == 5:
                    value = int.from_bytes(value, "little")
            else:
                raise CheckpointError(f"a field in {path} must be of a known kind, but is of kind {tag & 7}")
            self.fields.setdefault(tag >> 3, []).append(value)

    def _values(self, field, kind):
        values = self.fields.get(field, [])
        for value in values:
            if not isinstance(value, kind):
                raise CheckpointError(f"field {field} of a message in {self.path} must be {kind.__name__}, but is"
                                      f" {type(value).__name__}")
        return values

    def number(self, field):
        return (self._values(field, int) or [0])[-1]

    def bytes(self, field):
        return (self._values(field, bytes) or [b""])[-1]

    def text(self, field):
        return self.bytes(field).decode()

    def message(self, field):
        return _Message(self.bytes(field), self.path)

    def messages(self, field):
        return [_Message(data, self.path) for data in self._values(field, bytes)]


def write_bundle(prefix, tensors):
    """Write {name: array} as a bundle that TensorFlow reads: `prefix.index` and `prefix.data-00000-of-00001`."""
    entries = {"": _field(1, 1) + _field(3, _field(1, 1))}                      # one data file; version 1 of the format
    offset = 0
    with atomic_path(f"{prefix}.data-00000-of-00001") as temporary, open(temporary, "wb") as file:
        for name in sorted(tensors):
            array = np.asarray(tensors[name])
            array = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
            if array.dtype.str not in CODES:
                raise TypeError(f"{name} must hold floats, integers or booleans, but is {array.dtype}")
            data = array.reshape(-1).view(np.uint8).data
            shape = b"".join(_field(2, _field(1, size)) for size in array.shape)
            entries[name] = (_field(1, CODES[array.dtype.str]) + _field(2, shape) + _field(4, offset)
                             + _field(5, len(data)) + b"\x35" + struct.pack("<I", masked_crc32c(data)))
            file.write(data)
            offset += len(data)
    write_atomic(f"{prefix}.index", _written_table(_written_block({n.encode(): entry for n, entry in entries.items()})))


def _written_table(block):
    """The bytes of a table that has its entries in one block: that, none of other things, and where the one is."""
    other = _written_block({})
    index = _written_block({b"\xff": _written_place(0, block)})
    places = _written_place(len(block), other) + _written_place(len(block + other), index)
    return block + other + index + places.ljust(40, b"\0") + MAGIC


def _written_place(begin, block):
    return _written_varint(begin) + _written_varint(len(block) - 5)


def _written_block(entries):
    block = b"".join(_written_varint(0) + _written_varint(len(key)) + _written_varint(len(value)) + key + value
                     for key, value in entries.items())
    block += struct.pack("<II", 0, 1) + b"\0"                                   # one place to start at; not compressed
    return block + struct.pack("<I", masked_crc32c(block))


def _written_varint(number):
    data = b""
    while number >= 128:
        data += bytes([number & 127 | 128])
        number >>= 7
    return data + bytes([number])


def _field(number, value):
    """A field of a protocol buffer: a number, or bytes."""
    if isinstance(value, int):
        return _written_varint(number << 3) + _written_varint(value)
    return _written_varint(number << 3 | 2) + _written_varint(len(value)) + value
