"""Fetch files of the Hugging Face hub by `huggingface_hub`, which shows progress and caches them."""

import re
from pathlib import Path

from .tensorfile import CheckpointError


def is_name(source):
    """Whether this could be the name of a model on the hub, such as `YituTech/conv-bert-base`."""
    return len(str(source)) <= 96 and re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", str(source)) is not None


def fetch(name, files, also=()):
    """Fetch the first of `files` that a model has, and those of `also` that it has  ->  the path of the first

    Files in the cache are taken from there, without a request to the hub.

    Raises CheckpointError if the model has none of `files` or the hub cannot be reached, ImportError without
    huggingface_hub.
    """
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
    except ImportError:
        raise ImportError(f"{name} is not a file or folder here; to fetch it from the hub, huggingface_hub is needed:"
                          " pip install 'minconvbert[hf]'") from None

    def get(file, only_cache):
        try:
            return Path(hf_hub_download(name, file, local_files_only=only_cache))
        except LocalEntryNotFoundError:                       # not in the cache; the hub is offline or was not tried
            if not only_cache:
                raise CheckpointError(f"{name} is not a file or folder here or in the cache, and the hub cannot be"
                                      " reached; fetch it where there is a network, or pass a folder") from None
        except EntryNotFoundError:                            # the hub says that there is no such file
            pass
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{name} is not a file or folder here, and the hub says: {_first_line(error)}"
                                  ) from None
        return None

    for only_cache in (True, False):
        path = next((path for file in files if (path := get(file, only_cache))), None)
        if path:
            for file in also:
                get(file, only_cache)
            return path
    raise CheckpointError(f"{name} must have one of {', '.join(files)} on the hub, but has none")


def _first_line(error):
    return str(error).strip().split("\n")[0]
