"""Write files whole or not at all, read JSON without repeated keys, and find the weights that ship."""

import contextlib
import glob
import json
import os
import platform
import re
import stat
import tempfile
from pathlib import Path

LFS_POINTER = b"version https://git-lfs"             # the first bytes of what git leaves in place of a large file
PART = ".part"                                         # the end of the name of a file that is being written
LARGEST_TEXT = 100_000_000                             # bytes of a text file that is read whole


@contextlib.contextmanager
def atomic_path(path):
    """A temporary path beside `path` to write to. It is renamed to `path` when the block ends, or removed if it raises.

        with atomic_path("model.safetensors") as temporary:
            temporary.write_bytes(data)
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent} must be a folder for {path.name} to be written into, but there is none")
    handle, name = tempfile.mkstemp(suffix=PART, prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        if hasattr(os, "umask"):                       # WebAssembly has none
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    except OSError as error:
        error.filename = error.filename or str(path)   # the error of a full disk names no file
        raise
    finally:
        temporary.unlink(missing_ok=True)


def remove_parts(folder, names):
    """Remove the temporary files that a killed writer of these files left behind; other files stay.

    names: paths, relative to the folder, of the files that a run writes
    """
    for name in names:
        target = Path(folder, name)
        for path in target.parent.glob(f".{glob.escape(target.name)}.*{PART}"):
            if is_part(path, [target.name]):
                path.unlink(missing_ok=True)


def is_part(path, names):
    """Whether `atomic_path` gave a file this name while it wrote one of `names`."""
    return any(re.fullmatch(rf"\.{re.escape(name)}\.\w{{8}}{re.escape(PART)}", path.name) for name in names)


@contextlib.contextmanager
def locked(path):
    """Lock a file for as long as the block runs. A process that ends, in whatever way, releases its lock.

    Raises ValueError, naming the process, if another one holds the lock.
    """
    with _held(Path(path)) as lock:
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {platform.node()}")
        lock.flush()
        try:
            yield
        finally:
            Path(path).unlink(missing_ok=True)


def _held(path):
    """The open file, locked. It is opened again if the last process that held it has removed it in the meantime."""
    while True:
        lock = open(path, "a+", encoding="utf-8")
        if not _lock(lock):
            lock.seek(0)
            holder = lock.read(200) or "another process"
            lock.close()
            raise ValueError(f"{path.parent} must be used by one run at a time, but {holder} works there; wait for its"
                             " end, or use another folder")
        try:
            if os.path.samestat(os.stat(path), os.fstat(lock.fileno())):
                return lock
        except FileNotFoundError:
            pass
        lock.close()


def _lock(file):
    """Whether this process got the lock. Every process gets it where there are no locks, as on some network drives."""
    try:
        import fcntl
    except ImportError:                                # Windows
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def is_file(path):
    """Whether a path is an ordinary file, not a folder, pipe or device; False for a path that the system forbids."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def check_ordinary(path, most=LARGEST_TEXT):
    """Raises ValueError for a folder, for a pipe or device, which may never end, and for more than `most` bytes."""
    path = Path(path)
    if not is_file(path) and os.path.lexists(path):
        raise ValueError(f"{path} must be an ordinary file, but is a folder, a pipe, a device or a broken link")
    if (size := path.stat().st_size) > most:
        raise ValueError(f"{path} must have at most {most:,} bytes, but has {size:,}")


def refuse_device(path):
    """Raises ValueError for a device such as /dev/zero, which may have no end. A pipe is allowed."""
    mode = os.stat(path).st_mode
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise ValueError(f"{path} must be a file, but is a device")


def read_json(path):
    """The content of a JSON file.   Raises ValueError, naming the file, if it is not JSON, or has a key twice."""
    check_ordinary(path)
    data = Path(path).read_bytes()
    refuse_pointer(path, data)
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=no_key_twice)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be JSON, but it cannot be read: {error}") from None


def write_atomic(path, data):
    """Write `data` (str or bytes) to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def refuse_pointer(path, first):
    """Raises ValueError if the first bytes of a file are those of a Git LFS pointer, a placeholder for a large file."""
    if bytes(first[:len(LFS_POINTER)]) == LFS_POINTER:
        raise ValueError(f"{path} must be the file itself, but is a Git LFS pointer to it: run `git lfs pull` in its"
                         " folder, or download it again")


def no_key_twice(pairs):
    """An `object_pairs_hook` for json.loads.   Raises ValueError, naming the key, if one is repeated."""
    entries = dict(pairs)
    if len(entries) != len(pairs):
        seen = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))
        raise ValueError(f"{twice!r:.200} is there twice")
    return entries


SHIPPED = "convbert-tiny"                              # the name of the weights that ship


def default_model():
    """The folder of the weights that ship: `weights/convbert-tiny` of a clone, or a folder in the installed package."""
    for folder in (Path(__file__).parent / "weights", Path(__file__).parent.parent / "weights"):
        if (folder / SHIPPED / "config.json").exists():
            return folder / SHIPPED
    raise ValueError(f"the weights of {SHIPPED} must be in weights/ beside the package or in it, but they are not;"
                     " pass the path of another model")


def model_path(source):
    """The path of a model or of a file in it. "convbert-tiny" and paths below it mean the weights that ship.

    A folder `convbert-tiny` in the current folder takes precedence.
    """
    path = Path(source)
    if path.parts[:1] == (SHIPPED,) and not Path(SHIPPED).exists():
        return default_model().joinpath(*path.parts[1:])
    return path
