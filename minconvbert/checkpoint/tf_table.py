"""TensorFlow's tables: files of sorted keys and values, in blocks that each have a checksum, as in LevelDB.

    data blocks | metaindex block, empty here | index block: {key: handle of a data block} | footer: two handles, MAGIC

A handle is the offset and the size of a block. Five bytes follow each block: how it is compressed, and its CRC.
"""

import struct

from .crc32c import masked_crc32c
from .protobuf import read_varint, varint
from .tensorfile import CheckpointError

MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)                   # the last bytes of a table
FOOTER, TRAILER = 48, 5                                         # bytes


def read_table(buffer, path):
    """{key: value} of a table file.   Raises CheckpointError for a wrong checksum and for blocks that do not fit."""
    if len(buffer) < FOOTER or buffer[-8:] != MAGIC:
        raise CheckpointError(f"{path} must end as TensorFlow's tables do, but does not: it is cut off or another file")
    footer = buffer[-FOOTER:-8]
    begin, size, at = _read_handle(footer, 0, path)
    _read_block(buffer, begin, size, path)                      # the metaindex block; checkpoints leave it empty
    begin, size, _ = _read_handle(footer, at, path)
    table, last, end = {}, None, 0
    for handle in _read_block(buffer, begin, size, path).values():
        begin, size, _ = _read_handle(handle, 0, path)
        if begin < end:
            raise CheckpointError(f"the blocks of {path} must not overlap, but one begins at {begin} and another ends"
                                  f" at {end}")
        end = begin + size + TRAILER
        for key, value in _read_block(buffer, begin, size, path).items():
            if last is not None and key <= last:
                raise CheckpointError(f"the keys of {path} must be in order, but {key!r:.99} comes after {last!r:.99}")
            table[key] = value
            last = key
    return table


def _read_handle(data, at, path):
    """Read a block handle  ->  offset, size without the trailer of five bytes, position after the handle"""
    begin, at = read_varint(data, at, path)
    size, at = read_varint(data, at, path)
    return begin, size, at


def _read_block(buffer, begin, size, path):
    """{key: value} of a block. A key is stored as the number of bytes shared with the key before it, and the rest."""
    end = _entries_end(buffer, begin, size, path)
    block = buffer[begin:begin + size]
    entries, key, at, spelled = {}, b"", 0, 0
    while at < end:
        shared, at = read_varint(block, at, path)
        rest, at = read_varint(block, at, path)
        length, at = read_varint(block, at, path)
        if shared > len(key) or at + rest + length > end:
            raise CheckpointError(f"an entry of a block of {path} must lie within it, but does not")
        key = key[:shared] + block[at:at + rest]
        spelled += len(key)
        if key in entries or spelled > 64 * size:
            raise CheckpointError(f"the keys of {path} must differ, and not be much longer than the file: {key!r:.200}")
        entries[key] = block[at + rest:at + rest + length]
        at += rest + length
    return entries


def _entries_end(buffer, begin, size, path):
    """Check the checksum of a block  ->  where its entries end and its restart points begin"""
    if begin + size + TRAILER > len(buffer):
        raise CheckpointError(f"a block of {path} must lie within the file, but it ends at {begin + size + TRAILER} of"
                              f" {len(buffer)} bytes: the file is cut off or wrong")
    compression, checksum = struct.unpack_from("<BI", buffer, begin + size)
    if masked_crc32c(buffer[begin:begin + size + 1]) != checksum:
        raise CheckpointError(f"the checksum of a block of {path} must be that of its bytes, but is not: the file is"
                              " damaged")
    if compression:
        raise CheckpointError(f"the blocks of {path} must not be compressed, but they are, by method {compression}")
    restarts = struct.unpack_from("<I", buffer, begin + size - 4)[0] if size >= 4 else -1
    end = size - 4 - 4 * restarts
    if restarts < 0 or end < 0:
        raise CheckpointError(f"a block of {path} must have room for its own index, but has {size} bytes")
    return end


def table_file(block):
    """A whole table file: one data block, an empty metaindex block, an index block that points at the data, the footer.

    block: as `block_of` makes it
    """
    metaindex = block_of({})
    index = block_of({b"\xff": handle(0, block)})
    handles = handle(len(block), metaindex) + handle(len(block + metaindex), index)
    return block + metaindex + index + handles.ljust(FOOTER - 8, b"\0") + MAGIC


def handle(begin, block):
    """The handle of a block that begins at `begin`."""
    return varint(begin) + varint(len(block) - TRAILER)


def block_of(entries):
    """A block with its trailer: every key spelled out, one restart point, not compressed."""
    block = b"".join(varint(0) + varint(len(key)) + varint(len(value)) + key + value for key, value in entries.items())
    block += struct.pack("<II", 0, 1) + b"\0"
    return block + struct.pack("<I", masked_crc32c(block))
