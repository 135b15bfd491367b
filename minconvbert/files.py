"""Files that are either whole or absent, JSON without repeated keys, and where the weights that ship are."""

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
    """A temporary path beside `path` to write to; renamed onto it when the block ends well, removed when it does not.

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
    """Remove what a writer of these files left behind when it was killed half-way; other files stay.

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
    """Lock a file for as long as the block runs. A process that ends, in whatever way, releases it.

    Raises ValueError, saying who holds it, if another process does.
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
    """The open file, locked; opened again if its last holder has removed it meanwhile."""
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
    """Whether this process got the lock. Without locks, as on some network file systems, everyone does."""
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
    """Raises ValueError for a folder, for a pipe or device (it may never end) and for more than `most` bytes."""
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
    """What a JSON file says.   Raises ValueError, naming it, if it is not JSON, or has a key twice."""
    check_ordinary(path)
    data = Path(path).read_bytes()
    refuse_pointer(path, data)
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=no_key_twice)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be JSON, but it cannot be read as that: {error}") from None


def write_atomic(path, data):
    """Write `data` (str or bytes) to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def refuse_pointer(path, first):
    """Raises ValueError if the first bytes of a file say that Git LFS left its place-holder there."""
    if bytes(first[:len(LFS_POINTER)]) == LFS_POINTER:
        raise ValueError(f"{path} must be the file itself, but is a Git LFS pointer to it: run `git lfs pull` in its"
                         " folder, or download it again")


def no_key_twice(pairs):
    """The `object_pairs_hook` of careful readers of JSON.   Raises ValueError, naming it, if a key is repeated."""
    entries = dict(pairs)
    if len(entries) != len(pairs):
        seen = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))
        raise ValueError(f"{twice!r:.200} is there twice")
    return entries


SHIPPED = "convbert-tiny"                              # the name of the weights that ship


def default_model():
    """The folder of the weights that ship: in a clone `weights/convbert-tiny`, in a wheel inside the package."""
    for folder in (Path(__file__).parent / "weights", Path(__file__).parent.parent / "weights"):
        if (folder / SHIPPED / "config.json").exists():
            return folder / SHIPPED
    raise ValueError(f"the weights of {SHIPPED} must stand in weights/ beside the package or in it, but they do not;"
                     " pass the path of another model")


def model_path(source):
    """The path of a model or of a file in it: "convbert-tiny" and what is below it are the weights that ship.

    A folder of that name in the current folder takes precedence.
    """
    path = Path(source)
    if path.parts[:1] == (SHIPPED,) and not Path(SHIPPED).exists():
        return default_model().joinpath(*path.parts[1:])
    return path
