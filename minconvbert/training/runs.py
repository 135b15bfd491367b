"""What every training run shares: its state file."""

import json

import numpy as np

from ..checkpoint.safetensors import read_metadata, read_safetensors, write_safetensors
from ..shapes import sub, under


def save_state(path, state, made_by):
    """The whole state of a run in one file, written whole or not at all."""
    tensors = under("params", state["params"]) | under("moments", state["moments"])
    write_safetensors(path, tensors, dict(step=str(state["step"]), made_by=json.dumps(made_by, sort_keys=True)))


def load_state(path, made_by, parts=None):
    """What `save_state` wrote.

    parts: those of `made_by` that must agree (all)   Raises ValueError if the state is of another configuration.
    """
    tensors, metadata = read_safetensors(path), read_metadata(path)
    if "made_by" not in metadata:
        raise ValueError(f"{path} must be the state of a run, but is another file; use another --out")
    found, made_by = ({name: made.get(name, {}) for name in parts or made} for made in (
        json.loads(metadata["made_by"]), made_by))
    if found != made_by:
        names = {name for part in made_by for name in {**made_by[part], **found.get(part, {})}
                 if made_by[part].get(name) != found.get(part, {}).get(name)}
        raise ValueError(f"{path} is the state of another run ({', '.join(sorted(names))} differ); "
                         "use its options again, or another --out")
    writable = {name: np.array(x) for name, x in tensors.items()}
    return dict(step=int(metadata["step"]), params=sub(writable, "params"), moments=sub(writable, "moments"))
