"""Save a configuration and parameters in a folder, in the format of Hugging Face or of the original."""

import json
from pathlib import Path

from ..files import write_atomic
from .fit import ARCHITECTURES, cast, check_params
from .names import original_table, to_theirs
from .safetensors import write_safetensors


def save(folder, cfg, params, task=None, dtype=None, max_shard_bytes=5_000_000_000, allow_nonfinite=False):
    """Write `config.json` and `model.safetensors` as Hugging Face does, each file whole or not at all.

    dtype: the type to store, for example np.float16, instead of that of the arrays. A model that is larger than
    `max_shard_bytes` is written as several files and an index of them.

    Raises ValueError if a parameter is missing, of the wrong shape, or not finite.
    """
    stored = _to_store(params, cfg, task, dtype, allow_nonfinite)
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} must be a folder, because more than one file is written, but is a file")
    folder.mkdir(parents=True, exist_ok=True)
    stale = [*folder.glob("model-*-of-*.safetensors"), folder / "model.safetensors.index.json",
             folder / "model.safetensors"]
    shards = _shards(stored, max_shard_bytes)
    files = {"model.safetensors": shards[0]} if len(shards) == 1 else {
        f"model-{i:05}-of-{len(shards):05}.safetensors": shard for i, shard in enumerate(shards, 1)}
    for name, shard in files.items():
        write_safetensors(folder / name, shard, {"format": "pt"})
    if len(shards) > 1:
        index = {"metadata": {"total_size": sum(a.nbytes for a in stored.values())},
                 "weight_map": {tensor: name for name, shard in files.items() for tensor in shard}}
        write_atomic(folder / "model.safetensors.index.json", json.dumps(index, indent=2) + "\n")
        files["model.safetensors.index.json"] = index
    _write_config(folder, cfg, task, stored)
    for path in stale:
        if path.name not in files:
            path.unlink(missing_ok=True)


def save_original(prefix, cfg, params, task=None, dtype=None, allow_nonfinite=False):
    """Write a TensorFlow checkpoint with the original's names and layouts, and `config.json` beside it.

    prefix: for example "folder/model.ckpt", which becomes `model.ckpt.index` and `model.ckpt.data-00000-of-00001`. The
    tasks of the original are "masked_lm" and "discriminator".
    """
    from .tf_bundle import write_bundle

    stored = _to_store(params, cfg, task, dtype, allow_nonfinite)
    tensors = to_theirs(stored, original_table(cfg))
    prefix = Path(prefix)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    write_bundle(prefix, tensors)
    _write_config(prefix.parent, cfg, task, stored)


def _to_store(params, cfg, task, dtype, allow_nonfinite):
    return {name: cast(array, dtype, name, allow_nonfinite) for name, array in check_params(params, cfg, task).items()}


def _write_config(folder, cfg, task, stored):
    about = {"architectures": [ARCHITECTURES[task]], "dtype": str(next(iter(stored.values())).dtype)}
    unknown = {name: value for name, value in cfg.unknown.items() if name != "torch_dtype"}
    cfg.replace(unknown=unknown | about).to_json(folder)


def _shards(tensors, most):
    """Cut {name: array} into dicts of at most `most` bytes each, in order; a larger tensor gets a dict of its own."""
    if isinstance(most, bool) or not isinstance(most, (int, float)) or not most > 0:
        raise ValueError(f"max_shard_bytes must be a positive number, but is {most!r}")
    shards, filled = [{}], 0
    for name, array in tensors.items():
        if shards[-1] and filled + array.nbytes > most:
            shards.append({})
            filled = 0
        shards[-1][name] = array
        filled += array.nbytes
    return shards
