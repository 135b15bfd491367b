"""The part of protocol buffers that TensorFlow's checkpoints need. A message is a sequence of numbered fields.

A kind of message is described by a dict from the names of its fields to their numbers, which are those of its .proto
file.
"""

import struct

import numpy as np

from .tensorfile import CheckpointError


class Message:
    """A message that was read. Every field is a list of values; where one value is wanted, the last one counts.

        entry = Message(data, dict(dtype=1, shape=2), path)
        entry.number("dtype"), entry.message("shape", dict(dim=2)).messages("dim", dict(size=1))

    Raises CheckpointError, naming `path`, if the bytes are not a message or a field is of another type.
    """

    def __init__(self, data, kind, path):
        self.kind, self.path, self.fields = kind, path, _fields(data, path)

    def has(self, name):
        return self.kind[name] in self.fields

    def number(self, name):
        """The number in a field; 0 if the field is absent, as protocol buffers define it."""
        return (self._values(name, int) or [0])[-1]

    def bytes(self, name):
        return (self._values(name, bytes) or [b""])[-1]

    def text(self, name):
        return self.bytes(name).decode()

    def message(self, name, kind):
        return Message(self.bytes(name), kind, self.path)

    def messages(self, name, kind):
        return [Message(data, kind, self.path) for data in self._values(name, bytes)]

    def _values(self, name, type_):
        values = self.fields.get(self.kind[name], [])
        for value in values:
            if not isinstance(value, type_):
                raise CheckpointError(f"the field {name} of a message in {self.path} must be {type_.__name__}, but is"
                                      f" {type(value).__name__}")
        return values


def _fields(data, path):
    """{number of a field: its values}. The low three bits of a tag say how the value is stored."""
    fields, at = {}, 0
    while at < len(data):
        tag, at = read_varint(data, at, path)
        number, stored = tag >> 3, tag & 7
        if stored == 0:
            value, at = read_varint(data, at, path)
        elif stored in (1, 2, 5):
            size, at = read_varint(data, at, path) if stored == 2 else ({1: 8, 5: 4}[stored], at)
            value, at = data[at:at + size], at + size
            if at > len(data):
                raise CheckpointError(f"a field in {path} must lie within its message, but it is cut off")
            if stored == 5:
                value = int.from_bytes(value, "little")
        else:
            raise CheckpointError(f"a field in {path} must be of a known kind, but is of kind {stored}")
        fields.setdefault(number, []).append(value)
    return fields


def read_varint(data, at, path):
    """Read a number written in groups of seven bits, the low ones first  ->  number, position after it"""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        number |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return number, at
    raise CheckpointError(f"a number in {path} must end, but it is cut off")


def message_of(kind, **values):
    """The bytes of a message. An int is written as a varint, a np.uint32 in four bytes, a list as several fields."""
    data = b""
    for name, given in values.items():
        for value in given if isinstance(given, list) else [given]:
            number = kind[name]
            if isinstance(value, np.uint32):
                data += varint(number << 3 | 5) + struct.pack("<I", value)
            elif isinstance(value, int):
                data += varint(number << 3) + varint(value)
            else:
                data += varint(number << 3 | 2) + varint(len(value)) + value
    return data


def varint(number):
    """The bytes of a number, as `read_varint` reads it."""
    data = b""
    while number >= 128:
        data += bytes([number & 127 | 128])
        number >>= 7
    return data + bytes([number])
