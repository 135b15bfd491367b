"""Files of the Hugging Face hub, fetched by `huggingface_hub`, which shows progress and keeps them in its cache."""

import re
from pathlib import Path

from .tensorfile import CheckpointError


def is_name(source):
    """Whether this could be the name of a model on the hub, as `YituTech/conv-bert-base`."""
    return re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", str(source)) is not None


def fetch(name, files, also=()):
    """Fetch the first of `files` that a model has, and those of `also` that it has  ->  the path of the first

    Raises CheckpointError if it has none of them or cannot be reached, ImportError without huggingface_hub.
    """
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
    except ImportError:
        raise ImportError(f"{name} is no file or folder here; to fetch it from the hub, huggingface_hub is needed:"
                          " pip install 'minconvbert[hf]'") from None
    unreachable = None

    def get(file):
        nonlocal unreachable
        try:
            return Path(hf_hub_download(name, file))
        except LocalEntryNotFoundError as error:              # not in the cache, and the hub did not answer
            unreachable = error
        except EntryNotFoundError:                            # the hub says that there is no such file
            pass
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{name} is no file or folder here, and the hub says: {_first_line(error)}") from None
        return None

    path = next((path for path in map(get, files) if path), None)
    if path is None and unreachable:
        raise CheckpointError(f"{name} is no file or folder here and not in the cache, and the hub cannot be reached:"
                              f" {_first_line(unreachable)} Fetch it where there is a network, or pass a folder")
    if path is None:
        raise CheckpointError(f"{name} must have one of {', '.join(files)} on the hub, but has none")
    for file in also:
        get(file)
    return path


def _first_line(error):
    return str(error).strip().split("\n")[0]
