"""Read PyTorch's files without PyTorch, by a machine for the few pickle instructions that a dict of tensors needs.

A pickle is a program, and Python's own `pickle` would run whatever it calls. Here `pickletools` only reads the
instructions. Names of functions and classes are looked up in two tables, and any other instruction or name is refused.
The numbers are not in the pickle: they are in the entries of a zip file or, before PyTorch 1.6, after the pickle.
"""

import io
import pickletools
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .tensorfile import BFLOAT16, CheckpointError, array_at, count_of, map_file, width_of

STORAGES = {
    "torch FloatStorage": "<f4", "torch DoubleStorage": "<f8", "torch HalfStorage": "<f2",
    "torch BFloat16Storage": BFLOAT16, "torch LongStorage": "<i8", "torch IntStorage": "<i4",
    "torch ShortStorage": "<i2", "torch CharStorage": "|i1", "torch ByteStorage": "|u1", "torch BoolStorage": "|b1"}
MOST_INSTRUCTIONS = 200_000               # a model of base size takes a twentieth of this
LEGACY_MAGIC, LEGACY_VERSION = 0x1950A86A20F9469CFC6C, 1001


@dataclass(frozen=True)
class _Name:
    """A function or class that a pickle refers to."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """An array of numbers outside the pickle."""

    dtype: str
    key: str
    count: int


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple
    strides: tuple


def _rebuild_tensor(storage, offset, shape, strides, *_):
    numbers = [offset, *_of_kind(shape, tuple), *_of_kind(strides, tuple)]
    if len(shape) != len(strides) or not all(map(_is_count, numbers)):
        raise TypeError("a tensor is made of a storage, an offset, a shape and as many strides")
    return _Tensor(_of_kind(storage, _Storage), offset, shape, strides)


def _rebuild_parameter(tensor, *_):
    return tensor


FUNCTIONS = {
    "collections OrderedDict": lambda: {},
    "torch._utils _rebuild_tensor": _rebuild_tensor,
    "torch._utils _rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils _rebuild_parameter": _rebuild_parameter,
}


def _is_count(number):
    return type(number) is int and 0 <= number < 1 << 63


def read_torch(path):
    """The tensors of a `pytorch_model.bin`, in the zip format or the older one: {name: array}.

    Arrays lie in the mapped file where they can. Raises CheckpointError, naming the tensor or function that is wrong.
    """
    path = Path(path)
    buffer = map_file(path)
    state, storages = (_read_zip if buffer[:2] == b"PK" else _read_legacy)(buffer, path)
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} must hold a dict of tensors, but holds {type(state).__name__}")
    tensors, taken = {}, 0
    for name, tensor in state.items():
        if not isinstance(tensor, _Tensor):
            inner = isinstance(tensor, dict) and any(isinstance(one, _Tensor) for one in tensor.values())
            remedy = f"; save its {name!r} alone, with torch.save(checkpoint[{name!r}], path)" if inner else ""
            raise CheckpointError(f"{name!r:.200} in {path} must be a tensor, but is {type(tensor).__name__}{remedy}")
        tensors[name] = _view(tensor, storages, f"{name} in {path}")
        taken += tensors[name].nbytes
        # Tied tensors occur twice, and bfloat16 takes twice as many bytes as float32.
        if taken > 4 * len(buffer):
            raise CheckpointError(f"the tensors of {path} must not be many times as large as its {len(buffer)} bytes,"
                                  " but they are, because they share bytes")
    return tensors


def _view(tensor, storages, name):
    storage, shape, strides = tensor.storage, tensor.shape, tensor.strides
    if storage not in storages:
        raise CheckpointError(f"the numbers of {name} must be in the file, but storage {storage.key!r:.200} is not")
    count = count_of(shape, name)
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(shape, strides))
    if count and (last >= storage.count or count > storage.count):
        raise CheckpointError(f"{name} must lie within its storage of {storage.count} numbers, but does not with shape"
                              f" {shape}, strides {strides} and offset {tensor.offset}")
    numbers = storages[storage]
    if not count:
        return np.zeros(shape, numbers.dtype)
    return np.lib.stride_tricks.as_strided(
        numbers[tensor.offset:], shape, [stride * numbers.itemsize for stride in strides])


def _read_zip(buffer, path):
    """-> the pickled object; {storage: array}"""
    try:
        with zipfile.ZipFile(path) as archive:
            listed = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OSError, struct.error) as error:
        raise CheckpointError(f"{path} must be a zip file, but it is damaged: {error}") from None
    if sum(info.compress_size for info in listed) > len(buffer):
        raise CheckpointError(f"the entries of {path} must not overlap, but they take more bytes than there are")
    entries = {}
    for info in listed:
        name = info.filename.partition("/")[2]
        if name in entries:
            raise CheckpointError(f"{path} must hold {name!r} once, but holds it twice")
        entries[name] = _zip_entry(buffer, info, path)
    if "data.pkl" not in entries:
        raise CheckpointError(f"{path} must hold data.pkl, as torch.save writes it, but does not")
    if bytes(entries.get("byteorder", b"little")) != b"little":
        raise CheckpointError(f"{path} must be little-endian, but says that it is {bytes(entries['byteorder'])!r:.200}")
    state, named = _unpickle(io.BytesIO(entries["data.pkl"]), path)
    storages = {}
    for storage in named:
        data = entries.get(f"data/{storage.key}")
        if data is not None:
            storages[storage] = _numbers(data, 0, storage, len(data), path)
    return state, storages


def _zip_entry(buffer, info, path):
    """The bytes of one entry, in place, checked against its checksum."""
    where = f"{info.filename!r:.200} in {path}"
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
        raise CheckpointError(f"{where} must be stored as it is, as torch.save does, but is compressed or encrypted")
    start = info.header_offset
    if buffer[start:start + 4] != b"PK\3\4" or start + 30 > len(buffer):
        raise CheckpointError(f"{where} must be where the zip file says, but is not")
    start += 30 + sum(struct.unpack_from("<HH", buffer, start + 26))
    if start + info.file_size > len(buffer):
        raise CheckpointError(f"{where} must lie within the file, but does not: it is cut off")
    data = memoryview(buffer)[start:start + info.file_size]
    if zlib.crc32(data) != info.CRC:
        raise CheckpointError(f"the checksum of {where} must be that of its bytes, but is not: the file is damaged")
    return data


def _read_legacy(buffer, path):
    """-> the pickled object; {storage: array}"""
    buffer.seek(0)
    magic, version, system = (_unpickle(buffer, path)[0] for _ in range(3))
    if magic != LEGACY_MAGIC or version != LEGACY_VERSION or not isinstance(system, dict):
        raise CheckpointError(f"{path} must begin as torch.save's files do, but does not")
    if system.get("little_endian") is not True:
        raise CheckpointError(f"{path} must be little-endian, but does not say so")
    state, named = _unpickle(buffer, path)
    keys, _ = _unpickle(buffer, path)
    by_key = {storage.key: storage for storage in named}
    if not isinstance(keys, list) or len(by_key) != len(named) or not all(
            isinstance(key, str) and key in by_key for key in keys):
        raise CheckpointError(f"{path} must list the storages that its pickle names, but lists others")
    storages, at = {}, buffer.tell()
    for key in keys:
        storage = by_key[key]
        (count,) = struct.unpack_from("<q", buffer, at) if at + 8 <= len(buffer) else (-1,)
        if count != storage.count or storage in storages:
            raise CheckpointError(f"storage {key!r:.200} of {path} must have {storage.count} numbers, once, but has"
                                  f" {count}")
        nbytes = storage.count * width_of(storage.dtype)
        storages[storage] = _numbers(buffer, at + 8, storage, nbytes, path)
        at += 8 + nbytes
    if at != len(buffer):
        raise CheckpointError(f"{path} must end with its last storage, but has {len(buffer)} bytes, not {at}")
    return state, storages


def _numbers(data, offset, storage, nbytes, path):
    if storage.count * width_of(storage.dtype) != nbytes:
        raise CheckpointError(f"storage {storage.key!r:.200} of {path} must have {storage.count} numbers, but has"
                              f" {nbytes} bytes")
    return array_at(data, offset, storage.dtype, [storage.count], f"storage {storage.key!r:.200} in {path}")


def _unpickle(file, path):
    """Read one pickle from a file  ->  the object; the storages that it names"""
    machine = _Machine()
    try:
        for steps, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if opcode.name == "STOP":
                return machine.stack.pop(), machine.storages
            if steps == MOST_INSTRUCTIONS:
                raise ValueError(f"more than {MOST_INSTRUCTIONS} instructions")
            machine.do(opcode.name, argument)
    except (ValueError, TypeError, LookupError, struct.error) as error:
        raise CheckpointError(f"the pickle in {path} must be a dict of tensors: {error!s:.300}") from None
    raise CheckpointError(f"the pickle in {path} must end, but it is cut off")


class _Machine:
    """The state of a pickle program: a stack, on which MARK begins a further stack, and values stored for later."""

    def __init__(self):
        self.stack, self.below, self.kept, self.storages = [], [], {}, {}

    def do(self, instruction, argument):
        push, pop = self.stack.append, self.stack.pop
        match instruction:
            case "PROTO" | "FRAME":
                pass
            case ("NONE" | "NEWTRUE" | "NEWFALSE" | "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINUNICODE"
                  | "SHORT_BINUNICODE" | "BINSTRING" | "SHORT_BINSTRING"):
                push({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}.get(instruction, argument))
            case "EMPTY_DICT":
                push({})
            case "EMPTY_LIST":
                push([])
            case "EMPTY_TUPLE":
                push(())
            case "MARK":
                self.below.append(self.stack)
                self.stack = []
            case "TUPLE":
                items = self._above_mark()
                self.stack.append(tuple(items))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                push(tuple([pop() for _ in range(int(instruction[-1]))][::-1]))
            case "APPEND":
                item = pop()
                _of_kind(self.stack[-1], list).append(item)
            case "APPENDS":
                items = self._above_mark()
                _of_kind(self.stack[-1], list).extend(items)
            case "SETITEM":
                item = pop()
                key = pop()
                _set_items(self.stack[-1], [key, item])
            case "SETITEMS":
                items = self._above_mark()
                _set_items(self.stack[-1], items)
            case "BINPUT" | "LONG_BINPUT":
                self.kept[argument] = self.stack[-1]
            case "MEMOIZE":
                self.kept[len(self.kept)] = self.stack[-1]
            case "BINGET" | "LONG_BINGET":
                push(self.kept[argument])
            case "GLOBAL":
                push(_known_name(argument))
            case "STACK_GLOBAL":
                name, module = _of_kind(pop(), str), _of_kind(pop(), str)
                push(_known_name(f"{module} {name}"))
            case "REDUCE":
                arguments, function = _of_kind(pop(), tuple), _of_kind(pop(), _Name)
                if function.name not in FUNCTIONS:
                    raise ValueError(f"{function.name} is not a function")
                push(FUNCTIONS[function.name](*arguments))
            case "BUILD":                      # the versions of modules, which torch attaches to the dict
                pop()
                _of_kind(self.stack[-1], dict)
            case "BINPERSID":
                push(self._storage(*_of_kind(pop(), tuple)))
            case _:
                raise ValueError(f"it has the instruction {instruction}, which no such dict needs")

    def _above_mark(self):
        items, self.stack = self.stack, self.below.pop()
        return items

    def _storage(self, word, kind, key, device, count, *_):
        dtype = STORAGES.get(_of_kind(kind, _Name).name)
        if word != "storage" or dtype is None or not isinstance(key, str) or not _is_count(count):
            raise ValueError("it must name storages by kind, key and number")
        storage = _Storage(dtype, key, count)
        self.storages[storage] = None
        return storage


def _known_name(name):
    if name not in FUNCTIONS and name not in STORAGES:
        raise ValueError(f"{name!r:.200} is neither a dict nor a tensor; loading it could run any program")
    return _Name(name)


def _set_items(target, items):
    _of_kind(target, dict)
    for key, value in zip(items[::2], items[1::2], strict=True):
        if _of_kind(key, str) in target:
            raise ValueError(f"{key!r:.200} is there twice")
        target[key] = value


def _of_kind(value, kind):
    if not isinstance(value, kind):
        raise TypeError(f"a {kind.__name__} is needed, but a {type(value).__name__} is there")
    return value
