"""Checkpoints: from a folder, a file or a name on the hub to a configuration and a flat dict of parameters, and back.

    cfg, params = load("weights/convbert-tiny")
    save("copy", cfg, params)

Nothing is ever made up: a tensor that is missing, misshapen or not a finite float is refused by its name.
"""

import json
import logging
import math
import re
from pathlib import Path

import numpy as np

from .config import ConvBertConfig, param_shapes
from .files import write_atomic
from .initialize import init_params
from .safetensors_io import read_metadata, read_safetensors, write_safetensors
from .tensorfile import CheckpointError, listed

log = logging.getLogger(__name__)

# What Hugging Face calls the class that reads a checkpoint; it has none for the discriminator, only for its body.
ARCHITECTURES = {
    None: "ConvBertModel", "discriminator": "ConvBertModel", "masked_lm": "ConvBertForMaskedLM",
    "sequence_classification": "ConvBertForSequenceClassification", "multiple_choice": "ConvBertForMultipleChoice",
    "token_classification": "ConvBertForTokenClassification", "question_answering": "ConvBertForQuestionAnswering"}
HEADS = ("generator_predictions", "generator_lm_head", "discriminator_predictions", "classifier", "qa_outputs",
         "sequence_summary")
# Tensors that are in files but are no parameters: numbers 0, 1, 2, ... that older versions stored.
BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")
TABLE, OUTPUT_TABLE = "embeddings.word_embeddings.weight", "generator_lm_head.weight"


def load(source, task=None, dtype=np.float32, allow_nonfinite=False, config=None, new_head=None):
    """Read a checkpoint: a folder, or a file  ->  cfg, params

    params: flat dict with the names of `param_shapes(cfg, task)`. Without `task`, the head of a checkpoint is skipped,
    and what was skipped is logged. With one that the checkpoint lacks, `new_head` must say where the head comes from, and
    it comes all from there: a dict of its arrays, or a `numpy.random.Generator` to draw it from.

    dtype: of the parameters; None keeps that of the file. config: used instead of the `config.json` beside the file.

    Raises CheckpointError, naming tensor and reason, and OSError if there is no such file.
    """
    file = find(source)
    cfg = config or read_config(file)
    tensors = read_tensors(file)
    params, skipped = fit(tensors, cfg, task, file, new_head)
    if skipped:
        log.warning("%s: not used: %s", file, listed(skipped, 12))
    dtype = None if dtype is None else np.dtype(dtype)
    if dtype is not None and dtype.kind != "f":
        raise TypeError(f"dtype must be a float type or None, but is {dtype}")
    for name, array in params.items():
        if not allow_nonfinite and not finite(array):
            raise CheckpointError(f"{name} in {file} must be finite, but holds nan or infinity; pass"
                                  " allow_nonfinite=True to read it all the same")
        params[name] = array.astype(array.dtype if dtype is None else dtype, copy=False)
    return cfg, params


def save(folder, cfg, params, task=None, dtype=None, max_shard_bytes=5_000_000_000, allow_nonfinite=False):
    """Write `config.json` and `model.safetensors` as Hugging Face does, each file whole or not at all.

    dtype: stored instead of the arrays' own, as np.float16. What is larger than `max_shard_bytes` is written as several
    files and an index of them.

    Raises ValueError if a parameter is missing, misshapen or not finite.
    """
    params = check_params(params, cfg, task)
    stored = {}
    for name, array in params.items():
        stored[name] = array.astype(array.dtype if dtype is None else dtype, copy=False)
        if not allow_nonfinite and not finite(stored[name]):
            raise ValueError(f"{name} must be finite as {stored[name].dtype}, but holds nan or infinity; pass"
                             " allow_nonfinite=True to write it all the same")
    folder = Path(folder)
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
    about = {"architectures": [ARCHITECTURES[task]], "dtype": str(next(iter(stored.values())).dtype)}
    unknown = {name: value for name, value in cfg.unknown.items() if name != "torch_dtype"}
    cfg.replace(unknown=unknown | about).to_json(folder)
    for path in stale:
        if path.name not in files:
            path.unlink(missing_ok=True)


def check_params(params, cfg, task=None):
    """The same parameters in the order of `param_shapes`, if they are all there and fit.

    Raises ValueError naming those that are missing, unknown or misshapen, TypeError for what is not all floats of one
    width.
    """
    _check_names_and_shapes(params, cfg, task, "params")
    kinds = {str(array.dtype) for array in params.values()}
    if len(kinds) > 1 or any(array.dtype.kind != "f" for array in params.values()):
        raise TypeError(f"params must all be floats of one width, but they are {listed(sorted(kinds))}")
    return {name: params[name] for name in param_shapes(cfg, task)}


def finite(array):
    """Whether there is no nan and no infinity; without a temporary array, for the largest would be a quarter more."""
    return array.size == 0 or (math.isfinite(array.min()) and math.isfinite(array.max()))


def find(source):
    """The file that holds the tensors, or lists those that do, of a folder or file."""
    path = Path(source)
    if not path.is_dir():
        return path
    known = ("model.safetensors", "model.safetensors.index.json")
    for name in known:
        if (path / name).exists():
            return path / name
    raise CheckpointError(f"{path} must hold one of {', '.join(known)}, but it holds none")


def read_config(file):
    """The `config.json` beside a file of tensors."""
    path = Path(file).parent / "config.json"
    if not path.exists():
        raise CheckpointError(f"{file} needs its configuration: there must be a {path}, or pass config=")
    try:
        return ConvBertConfig.from_json(path)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: {error}") from None


def read_tensors(file):
    """{name: array}, as they are called and laid out in Hugging Face's files."""
    if file.name.endswith(".index.json"):
        return _read_shards(file)
    if read_metadata(file).get("format", "pt") != "pt":
        raise CheckpointError(f"{file} must be laid out as PyTorch's, but says that it is of format"
                              f" {read_metadata(file)['format']!r}")
    return read_safetensors(file)


def _read_shards(index):
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = sorted(set(weight_map.values()))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index} must be JSON with a weight_map of tensors and files: {error}") from None
    tensors = {}
    for shard in shards:
        if not isinstance(shard, str) or not re.fullmatch(r"[\w-][\w.-]*", shard):
            raise CheckpointError(f"a shard in {index} must be a file in the same folder, but is {shard!r:.200}")
        in_shard = read_tensors(index.parent / shard)
        listed_there = {name for name, file in weight_map.items() if file == shard}
        if in_shard.keys() != listed_there:
            raise CheckpointError(f"{shard} must hold the tensors that {index} says, but they differ in"
                                  f" {listed(sorted(in_shard.keys() ^ listed_there))}")
        tensors |= in_shard
    return tensors


def fit(tensors, cfg, task, file, new_head=None):
    """Match the tensors of a file to the parameters of a model  ->  params, names of the tensors that were not used

    `convbert.` before a name is put or taken away as needed, and older names are understood.
    """
    shapes = param_shapes(cfg, task)
    known = {}
    for name, array in tensors.items():
        plain = _plain(name)
        if plain in known:
            raise CheckpointError(f"{file} must hold a tensor once, but {known[plain][0]} and {name} are the same")
        known[plain] = (name, array)
    skipped = [known.pop(buffer)[0] for buffer in BUFFERS if buffer in known]
    if cfg.tie_word_embeddings and OUTPUT_TABLE in known and TABLE in known:
        if not np.array_equal(known[OUTPUT_TABLE][1], known[TABLE][1], equal_nan=True):
            raise CheckpointError(f"{OUTPUT_TABLE} in {file} must equal {TABLE}, for tie_word_embeddings is set, but it"
                                  " differs; set tie_word_embeddings to false in the configuration")
        del known[OUTPUT_TABLE]
    def of_head(name):
        return _plain(name).split(".")[0] in HEADS

    wanted = [name for name in shapes if new_head is None or not of_head(name)]
    params = {name: known.pop(_plain(name))[1] for name in wanted if _plain(name) in known}
    skipped += [name for name, _ in known.values() if of_head(name)]
    extra = {name: array for name, array in known.values() if not of_head(name)}
    lacking = [name for name in wanted if name not in params and of_head(name)]
    if lacking:
        raise CheckpointError(
            f"{file} must hold the head for {task}, but {listed(lacking)} are missing; pass new_head=, a dict of its"
            " arrays or a numpy.random.Generator to draw it from")
    if isinstance(new_head, np.random.Generator):
        new_head = {name: array for name, array in init_params(cfg, task, new_head).items() if of_head(name)}
    params |= {name: np.asarray(array) for name, array in (new_head or {}).items()}
    _check_names_and_shapes(params | extra, cfg, task, file)
    for name, array in params.items():
        if array.dtype.kind != "f":
            raise CheckpointError(f"{name} in {file} must be floats, but is {array.dtype}")
    return {name: params[name] for name in shapes}, skipped


def _plain(name):
    """A tensor's name without `convbert.`, and with the words of today for those of old checkpoints."""
    name = name.removeprefix("convbert.")
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _check_names_and_shapes(params, cfg, task, where):
    shapes = param_shapes(cfg, task)
    missing = [name for name in shapes if name not in params]
    extra = [name for name in params if name not in shapes]
    wrong = [f"{name} must be {shapes[name]} but is {params[name].shape}"
             for name in shapes if name in params and params[name].shape != shapes[name]]
    if missing or extra or wrong:
        found = [f"{listed(missing)} missing"] * bool(missing) + [f"{listed(extra)} unknown"] * bool(extra)
        raise CheckpointError(f"the tensors of {where} must be those of the configuration, but "
                              + "; ".join(found + [listed(wrong)] * bool(wrong)) + _remedy(params, cfg, task))


def _remedy(params, cfg, task):
    """What to say of shapes that are those of the original's reading of `head_ratio`."""
    try:
        shapes = param_shapes(cfg.replace(head_ratio_semantics="original"), task)
    except ValueError:
        return ""
    fits = params.keys() == shapes.keys() and all(params[name].shape == shapes[name] for name in shapes)
    return '; they fit head_ratio_semantics="original" in the configuration' * fits


def _shards(tensors, most):
    """Cut {name: array} into dicts of at most `most` bytes each, in order; a larger tensor has one for itself."""
    shards, filled = [{}], 0
    for name, array in tensors.items():
        if shards[-1] and filled + array.nbytes > most:
            shards.append({})
            filled = 0
        shards[-1][name] = array
        filled += array.nbytes
    return shards
