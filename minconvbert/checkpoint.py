"""Checkpoints: from a folder, a file or a name on the hub to a configuration and a flat dict of parameters, and back.

    cfg, params = load("weights/convbert-tiny")
    save("copy", cfg, params)

Read are safetensors, PyTorch's pickles, Keras's `tf_model.h5` and the original's TensorFlow 1 checkpoints; written are
Hugging Face folders and, by `save_original`, the original's. Nothing is ever made up: a tensor that is missing, of the
wrong shape or not a finite float is refused by its name.
"""

import json
import logging
import math
import re
from os import PathLike
from pathlib import Path

import numpy as np

from .config import ConvBertConfig, param_shapes
from .files import write_atomic
from .initialize import init_params
from .names import keras_table, original_table, plain, plain_keras, to_ours, to_theirs
from .safetensors_io import read_metadata, read_safetensors, write_safetensors
from .tensorfile import CheckpointError, listed, map_file

log = logging.getLogger(__name__)

# What a folder may hold, the best first.
FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
         "tf_model.h5", "tf_model.h5.index.json")
TOKENIZER_FILES = ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
# What Hugging Face calls the class that reads a checkpoint; it has none for the discriminator, only for its body.
ARCHITECTURES = {
    None: "ConvBertModel", "discriminator": "ConvBertModel", "masked_lm": "ConvBertForMaskedLM",
    "sequence_classification": "ConvBertForSequenceClassification", "multiple_choice": "ConvBertForMultipleChoice",
    "token_classification": "ConvBertForTokenClassification", "question_answering": "ConvBertForQuestionAnswering"}
HEADS = ("generator_predictions", "generator_lm_head", "discriminator_predictions", "classifier", "qa_outputs",
         "sequence_summary")
TABLE, OUTPUT_TABLE = "embeddings.word_embeddings.weight", "generator_lm_head.weight"
# In files of older versions, but no parameters: the numbers 0, 1, 2, ... and zeros.
BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")


def load(source, task=None, dtype=np.float32, allow_nonfinite=False, config=None, new_head=None, net="electra"):
    """Read a checkpoint: a folder, a file, or the name of a model on the hub  ->  cfg, params

    params: flat dict with the names of `param_shapes(cfg, task)`. Without `task`, the head of a checkpoint is skipped,
    and what was skipped is logged. With one that the checkpoint lacks, `new_head` must say where all of the head comes
    from: a dict of its arrays, or a `numpy.random.Generator` to draw it from.

    dtype: of the parameters; None keeps that of the file. config: used instead of the `config.json` beside the file.
    net: which of the two networks in the original's checkpoints, "electra" (the discriminator) or "generator".

    Raises CheckpointError, naming tensor and reason, or what else the file lacks.
    """
    file = find(source)
    tensors, kind = read_tensors(file)
    cfg = config or read_config(file, tensors, kind, net)
    aside = []
    if kind == "keras":
        tensors = to_ours(tensors, keras_table(cfg), file)
    elif kind == "original":
        tensors, aside = _one_net(tensors, cfg, net, task, file)
    params, skipped = fit(tensors, cfg, task, file, new_head)
    if aside or skipped:
        log.warning("%s: not used: %s", file, listed(aside + skipped, 12))
    return cfg, {name: _cast(array, dtype, f"{name} in {file}", allow_nonfinite) for name, array in params.items()}


def save(folder, cfg, params, task=None, dtype=None, max_shard_bytes=5_000_000_000, allow_nonfinite=False):
    """Write `config.json` and `model.safetensors` as Hugging Face does, each file whole or not at all.

    dtype: stored instead of the arrays' own, as np.float16. What is larger than `max_shard_bytes` is written as several
    files and an index of them.

    Raises ValueError if a parameter is missing, misshapen or not finite.
    """
    stored = _to_store(params, cfg, task, dtype, allow_nonfinite)
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} must be a folder, for more than one file is written, but is a file")
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

    prefix: as "folder/model.ckpt", which becomes `model.ckpt.index` and `model.ckpt.data-00000-of-00001`. The original
    has the tasks "masked_lm" and "discriminator".
    """
    from .tf_bundle import write_bundle

    stored = _to_store(params, cfg, task, dtype, allow_nonfinite)
    tensors = to_theirs(stored, original_table(cfg))
    prefix = Path(prefix)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    write_bundle(prefix, tensors)
    _write_config(prefix.parent, cfg, task, stored)


def check_params(params, cfg, task=None):
    """The same parameters in the order of `param_shapes`, if they are all there and fit.

    Raises ValueError naming those that are missing, unknown or misshapen, TypeError for what is not all floats of one
    width.
    """
    check_kinds(params)
    _check_names_and_shapes(params, cfg, task, "params")
    return {name: params[name] for name in param_shapes(cfg, task)}


def check_kinds(params):
    """Raises TypeError if params are no dict of arrays that are all floats of one width."""
    if not isinstance(params, dict) or not all(isinstance(array, np.ndarray) for array in params.values()):
        raise TypeError("params must be a dict of names to NumPy arrays, but is a"
                        f" {type(params).__name__} of other things")
    kinds = {str(array.dtype) for array in params.values()}
    if len(kinds) > 1 or any(array.dtype.kind != "f" for array in params.values()):
        raise TypeError(f"params must all be floats of one width, but they are {listed(sorted(kinds))}")


def finite(array):
    """Whether there is no nan and no infinity; without a temporary array, for the largest would be a quarter more."""
    return array.size == 0 or (math.isfinite(array.min()) and math.isfinite(array.max()))


def find(source):
    """The file that holds the tensors, or lists those that do, of a folder, a file, or a model on the hub."""
    if not isinstance(source, (str, PathLike)):
        raise TypeError(f"a checkpoint must be a path or the name of a model on the hub, but is {source!r}")
    path = Path(source)
    bundle = Path(f"{path}.index")
    if bundle.is_file():
        return bundle
    if path.is_dir():
        bundles = sorted(path.glob("*.index"))
        found = [path / name for name in FILES if (path / name).exists()] or bundles
        if not found or (found is bundles and len(bundles) > 1):
            raise CheckpointError(f"{path} must hold one of {', '.join(FILES)} or one TensorFlow checkpoint (*.index),"
                                  f" but holds {listed(bundles) or 'none'}")
        return found[0]
    if path.exists():
        return path
    from . import hub

    if not hub.is_name(source):
        raise CheckpointError(f"{source} must be a folder, a file, or the name of a model on the hub (as"
                              " YituTech/conv-bert-base), but is none of them")
    file = hub.fetch(str(source), FILES, also=("config.json", *TOKENIZER_FILES))
    if file.name.endswith(".index.json"):
        for shard in sorted(set(_read_index(file).values())):
            hub.fetch(str(source), [shard])
    return file


def read_config(file, tensors, kind, net):
    """The `config.json` beside a file; without one, what the shapes of an original checkpoint tell."""
    path = Path(file).parent / "config.json"
    if path.exists():
        try:
            return ConvBertConfig.from_json(path)
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"{path}: {error}") from None
    if kind == "original":
        cfg = config_of_original(tensors, file, net)
        log.warning("%s: no config.json; the sizes are those of its variables, the rest is taken to be as in all of the"
                    " original's: hidden_act %r, layer_norm_eps %r", file, cfg.hidden_act, cfg.layer_norm_eps)
        return cfg
    raise CheckpointError(f"{file} needs its configuration: there must be a {path}, or pass config=")


def config_of_original(tensors, file, net="electra"):
    """The configuration that the shapes of an original checkpoint tell; the rest is as in all of the original's."""
    layer = f"{net}/encoder/layer_0"
    try:
        shapes = {name: array.shape for name, array in tensors.items()}
        vocab_size, embedding_size = shapes["electra/embeddings/word_embeddings"]
        positions, _ = shapes["electra/embeddings/position_embeddings"]
        types, _ = shapes["electra/embeddings/token_type_embeddings"]
        D, A = shapes[f"{layer}/attention/self/query/kernel"]
        K, _, _ = shapes[f"{layer}/attention/self/conv_attn_key/depthwise_kernel"]
        H = shapes[f"{layer}/attention/self/conv_attn_kernel/bias"][0] // K
        num_groups = shapes.get(f"{layer}/intermediate/g_dense/kernel", [1])[0]
        (F,) = shapes[f"{layer}/intermediate/{'g_dense' if num_groups > 1 else 'dense'}/bias"]
        layers = 1 + max(int(name.split("/")[2][6:]) for name in shapes if name.startswith(f"{net}/encoder/layer_"))
        heads = D * H // A
        return ConvBertConfig(
            vocab_size=vocab_size, hidden_size=D, num_hidden_layers=layers, num_attention_heads=heads,
            intermediate_size=F, max_position_embeddings=positions, type_vocab_size=types, pad_token_id=0,
            embedding_size=embedding_size, head_ratio=max(1, heads // H) if heads > 1 else 2, conv_kernel_size=K,
            num_groups=num_groups, head_ratio_semantics="huggingface" if 2 * A == D else "original")
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        raise CheckpointError(f"{file} must hold the original's ConvBERT, but its variables do not fit ({error});"
                              " pass config=") from None


def read_tensors(file):
    """-> {name: array} of a file of any kind, as they are there; "ours", "keras" or "original", whose names they are"""
    file = Path(file)
    if file.name.endswith(".index.json"):
        return _read_shards(file)
    buffer = map_file(file)
    if buffer[8:9] == b"{" or file.suffix == ".safetensors":
        if read_metadata(file).get("format", "pt") != "pt":
            raise CheckpointError(f"{file} must be laid out as PyTorch's, but says that it is of format"
                                  f" {read_metadata(file)['format']!r:.200}")
        return read_safetensors(file), "ours"
    if buffer[:4] == b"\x89HDF":
        from .keras_h5 import read_keras
        return read_keras(file), "keras"
    if buffer[:2] == b"PK" or buffer[:1] == b"\x80":
        from .torch_pickle import read_torch
        return read_torch(file), "ours"
    from .tf_bundle import MAGIC, read_tensorflow
    if buffer[-8:] == MAGIC:
        return read_tensorflow(file), "original"
    raise CheckpointError(f"{file} must be safetensors, a file of torch.save, a tf_model.h5 or the .index of a"
                          " TensorFlow checkpoint, but it is none of them")


def _read_shards(index):
    weight_map = _read_index(index)
    tensors = {}
    for shard in sorted(set(weight_map.values())):
        in_shard, kind = read_tensors(index.parent / shard)
        said = {name for name, file in weight_map.items() if file == shard}
        if kind == "keras":
            said = set(map(plain_keras, said))
        if in_shard.keys() != said or in_shard.keys() & tensors.keys():
            raise CheckpointError(f"{shard} must hold the tensors that {index} says, once, but they differ in"
                                  f" {listed(sorted(in_shard.keys() ^ said))}")
        tensors |= in_shard
    return tensors, kind


def _read_index(index):
    """{tensor: shard}, the shards being files in the folder of the index."""
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = set(weight_map.values())
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index} must be JSON with a weight_map of tensors and files: {error}") from None
    for shard in shards:
        if not isinstance(shard, str) or not re.fullmatch(r"[\w-][\w.-]{0,200}", shard):
            raise CheckpointError(f"a shard in {index} must be a file in the same folder, but is {shard!r:.200}")
    if not shards:
        raise CheckpointError(f"{index} must name shards, but names none")
    return weight_map


def _one_net(tensors, cfg, net, task, file):
    """-> the tensors of one of the two networks in an original checkpoint, under our names; names of the others"""
    if net not in ("electra", "generator"):
        raise ValueError(f"net must be 'electra' or 'generator', but is {net!r}")
    others = r".+/adam_[mv]|global_step|task_specific/.+"
    if any(name.startswith("generator/") for name in tensors):
        needed = {"masked_lm": "generator", "discriminator": "electra"}.get(task, net)
        if needed != net:
            raise CheckpointError(f"the head for {task} in {file} belongs to another network: pass net={needed!r}")
        others += {"electra": "|generator.*/.+",
                   "generator": "|electra/(encoder|embeddings_project)/.+|discriminator_predictions/.+"}[net]
    aside = sorted((name for name in tensors if re.fullmatch(others, name)), key=lambda name: "/adam_" in name)
    ours = {name: array for name, array in tensors.items() if name not in aside}
    return to_ours(ours, original_table(cfg, net), file), aside


def fit(tensors, cfg, task, file, new_head=None):
    """Match the tensors of a file to the parameters of a model  ->  params, names of the tensors that were not used

    `convbert.` before a name is put or taken away as needed, and older names are understood.
    """
    shapes = param_shapes(cfg, task)
    known = {}
    for name, array in tensors.items():
        if plain(name) in known:
            raise CheckpointError(f"{file} must hold a tensor once, but {known[plain(name)][0]} and {name} are one")
        known[plain(name)] = (name, array)
    if cfg.tie_word_embeddings and OUTPUT_TABLE in known and TABLE in known:
        if not np.array_equal(known[OUTPUT_TABLE][1], known[TABLE][1], equal_nan=True):
            raise CheckpointError(f"{OUTPUT_TABLE} in {file} must equal {TABLE}, for tie_word_embeddings is set, but it"
                                  " differs; set tie_word_embeddings to false in the configuration")
        del known[OUTPUT_TABLE]

    def of_head(name):
        return plain(name).split(".")[0] in HEADS

    wanted = [name for name in shapes if new_head is None or not of_head(name)]
    params = {name: known.pop(plain(name))[1] for name in wanted if plain(name) in known}
    skipped = [name for name, _ in known.values() if of_head(name) or plain(name) in BUFFERS]
    extra = {name: array for name, array in known.values() if name not in skipped}
    lacking = [name for name in wanted if name not in params and of_head(name)]
    if lacking and not extra:
        raise CheckpointError(
            f"{file} must hold the head for {task}, but {listed(lacking)} are missing; fine-tune the model for it, or"
            " pass new_head=, a dict of its arrays or a numpy.random.Generator to draw it from")
    if not isinstance(new_head, (dict, np.random.Generator, type(None))):
        raise TypeError("new_head must be a dict of arrays or a numpy.random.Generator, but is"
                        f" {type(new_head).__name__}")
    if isinstance(new_head, np.random.Generator):
        new_head = {name: array for name, array in init_params(cfg, task, new_head).items() if of_head(name)}
    params |= {name: np.asarray(array) for name, array in (new_head or {}).items()}
    _check_names_and_shapes(params | extra, cfg, task, file)
    for name, array in params.items():
        if array.dtype.kind != "f":
            raise CheckpointError(f"{name} in {file} must be floats, but is {array.dtype}")
    return {name: params[name] for name in shapes}, skipped


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


def _to_store(params, cfg, task, dtype, allow_nonfinite):
    return {name: _cast(array, dtype, name, allow_nonfinite) for name, array in check_params(params, cfg, task).items()}


def _cast(array, dtype, name, allow_nonfinite):
    """In one piece and as `dtype`, unless that is None; the same array if it is so already."""
    if dtype is not None and np.dtype(dtype).kind != "f":
        raise TypeError(f"dtype must be a float type or None, but is {np.dtype(dtype)}")
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, dtype)
    if not allow_nonfinite and not finite(array):
        raise CheckpointError(f"{name} must be finite as {array.dtype}, but holds nan or infinity; pass"
                              " allow_nonfinite=True to keep it all the same")
    return array


def _write_config(folder, cfg, task, stored):
    about = {"architectures": [ARCHITECTURES[task]], "dtype": str(next(iter(stored.values())).dtype)}
    unknown = {name: value for name, value in cfg.unknown.items() if name != "torch_dtype"}
    cfg.replace(unknown=unknown | about).to_json(folder)


def _shards(tensors, most):
    """Cut {name: array} into dicts of at most `most` bytes each, in order; a larger tensor has one for itself."""
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
