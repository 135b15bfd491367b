"""Files that are either whole or absent, JSON that says everything once, and where the weights that ship are."""

import contextlib
import os
import tempfile
from pathlib import Path

PART = ".part"                                         # ends the name of a file that is being written


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
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    except OSError as error:
        error.filename = error.filename or str(path)   # a full disk is reported without it
        raise
    finally:
        temporary.unlink(missing_ok=True)


def remove_parts(folder):
    """Remove what writers that were killed half-way left in a folder and in those below it."""
    for path in Path(folder).rglob(f".*{PART}"):
        path.unlink()


def write_atomic(path, data):
    """Write `data` (str or bytes) to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def no_key_twice(pairs):
    """The `object_pairs_hook` of careful readers of JSON.   Raises ValueError naming a key that comes again."""
    entries = dict(pairs)
    if len(entries) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r:.200} is there twice")
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

    A folder of that name in the current one comes first.
    """
    path = Path(source)
    if path.parts[:1] == (SHIPPED,) and not Path(SHIPPED).exists():
        return default_model().joinpath(*path.parts[1:])
    return path
