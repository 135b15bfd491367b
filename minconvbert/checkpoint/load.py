"""Load a configuration and a flat dict of parameters from a folder, a file or a name on the hub.

Nothing is ever made up: an error names any tensor that is missing, of the wrong shape, or not finite.
"""

import logging
import os
import re
from dataclasses import fields
from os import PathLike
from pathlib import Path

import numpy as np

from ..config import ConvBertConfig
from ..files import SHIPPED, is_file, model_path, read_json, refuse_pointer
from ..output import Arrays
from .fit import cast, fit
from .names import keras_table, original_table, plain_keras, to_ours
from .safetensors import read_safetensors, read_with_metadata
from .tensorfile import CheckpointError, let_go, listed
from .tf_table import MAGIC

log = logging.getLogger(__name__)

# What a folder may hold, in the order of preference.
FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
         "tf_model.h5", "tf_model.h5.index.json")
DISCRIMINATOR_HEAD = "discriminator_head.safetensors"
TOKENIZER_FILES = ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def load(source, task=None, dtype=np.float32, allow_nonfinite=False, config=None, new_head=None, net="electra",
         mmap=False, **changes):
    """Read a checkpoint: "convbert-tiny", a folder, a file, or the name of a model on the hub  ->  cfg, params

    params is a flat dict with the names of `param_shapes(cfg, task)`. Without `task`, the head of a checkpoint is
    skipped, and the skipped tensors are logged. If the checkpoint lacks the head of `task`, `new_head` provides it: a
    dict of its arrays, a function that returns one, or a `numpy.random.Generator` to draw it from. The head of the
    discriminator may lie in a file of its own, as pretraining writes it.

    dtype: the parameters'; None keeps that of the file. config: used instead of the `config.json` beside the file.
    net: one of the two networks in a checkpoint of the original, "electra" (the discriminator) or "generator".
    mmap: parameters that need no conversion stay in the mapped file and take memory only when they are read. Nobody may
    write into the file while they are in use, because they would change with it. By default every parameter is a copy.
    changes: fields of the configuration, such as num_labels=3.

    Raises CheckpointError, which names the tensor and the reason, or says what else the file lacks.
    """
    file = find(source)
    tensors, kind = read_tensors(file)
    cfg = config or read_config(file, tensors, kind, net)
    unknown = changes.keys() - {f.name for f in fields(cfg)}
    if unknown:
        raise TypeError(f"options must be those of load or fields of the configuration, but {listed(sorted(unknown))}"
                        " is neither")
    cfg = cfg.replace(**changes) if changes else cfg
    aside = []
    if kind == "keras":
        tensors = to_ours(tensors, keras_table(cfg), file)
    elif kind == "original":
        tensors, aside = _one_net(tensors, cfg, net, task, file)
    beside = file.parent / DISCRIMINATOR_HEAD
    if task == "discriminator" and kind == "ours" and beside.is_file():
        tensors = read_safetensors(beside) | tensors
    params, skipped = fit(tensors, cfg, task, file, new_head)
    if aside or skipped:
        log.warning("%s: not used: %s", file, listed(aside + skipped, 12))
    loaded = Arrays()
    for name, array in params.items():
        loaded[name] = cast(array, dtype, f"{name} in {file}", allow_nonfinite, copy=not mmap)
        if not mmap:
            let_go(array)
    return cfg, loaded


def find(source):
    """The file that `load` reads: the one with the tensors, or the index of the files that have them."""
    if not isinstance(source, (str, PathLike)):
        raise TypeError(f"a checkpoint must be a path or the name of a model on the hub, but is {source!r}")
    path = model_path(source)
    bundle = Path(f"{path}.index")
    if is_file(bundle):
        return bundle
    if os.path.isdir(path):
        bundles = sorted(path.glob("*.index"))
        found = [path / name for name in FILES if (path / name).exists()]
        checkpoints = bundles or _tables(path)
        if not found and len(checkpoints) != 1:
            raise CheckpointError(f"{path} must hold one of {', '.join(FILES)} or one TensorFlow checkpoint (*.index),"
                                  f" but holds {listed(checkpoints) or 'none'}")
        found = found or checkpoints
        return found[0]
    if os.path.exists(path):
        return path
    from . import hub

    if not hub.is_name(source):
        raise CheckpointError(f"{str(source)!r:.200} must be a folder, a file, or the name of a model on the hub (such"
                              f" as YituTech/conv-bert-base) or of the one that ships ({SHIPPED}), but is none of them")
    file = hub.fetch(str(source), FILES, also=("config.json", *TOKENIZER_FILES))
    if file.name.endswith(".index.json"):
        for shard in sorted(set(_read_index(file).values())):
            hub.fetch(str(source), [shard])
    return file


def _tables(folder):
    """The TensorFlow V1 checkpoints in a folder. They may have any name, so their last bytes are read."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.stat().st_size >= len(MAGIC):
            with open(path, "rb") as file:
                file.seek(-len(MAGIC), 2)
                found += [path] if file.read() == MAGIC else []
    return found


def read_config(file, tensors, kind, net):
    """The `config.json` beside a file; without one, the configuration that an original checkpoint's shapes imply."""
    path = Path(file).parent / "config.json"
    if path.exists():
        try:
            return ConvBertConfig.from_json(path)
        except (ValueError, TypeError) as error:
            raise CheckpointError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    if kind == "original":
        cfg = config_of_original(tensors, file, net)
        log.warning("%s: no config.json, so the sizes are those of its variables, and the rest is assumed to be as in"
                    " all of the original's models: hidden_act %r, layer_norm_eps %r", file, cfg.hidden_act,
                    cfg.layer_norm_eps)
        return cfg
    raise CheckpointError(f"{file} needs its configuration: there must be a {path}, or pass config=")


def config_of_original(tensors, file, net="electra"):
    """The configuration that an original checkpoint's shapes imply; the rest is as in all of the original's models."""
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
    """-> {name: array}, as the file has them; "ours", "keras" or "original", the kind of their names"""
    file = Path(file)
    if file.name.endswith(".index.json"):
        return _read_shards(file)
    head, tail = _ends(file)
    try:
        refuse_pointer(file, head)
    except ValueError as error:
        raise CheckpointError(str(error)) from None
    if head[8:9] == b"{" or file.suffix == ".safetensors":
        tensors, metadata = read_with_metadata(file)
        if (layout := metadata.get("format", "pt")) not in ("pt", "np"):
            raise CheckpointError(f"{file} must be laid out as PyTorch's, but says that its format is {layout!r:.200}")
        return tensors, "ours"
    if head[:4] == b"\x89HDF":
        from .keras_h5 import read_keras
        return read_keras(file), "keras"
    if head[:2] == b"PK" or head[:1] == b"\x80":
        from .torch_pickle import read_torch
        return read_torch(file), "ours"
    if tail == MAGIC:
        from .tf_bundle import read_tensorflow
        return read_tensorflow(file), "original"
    raise CheckpointError(f"{file} must be safetensors, a file of torch.save, a tf_model.h5 or the .index of a"
                          " TensorFlow checkpoint, but it is none of them")


def _ends(file):
    """The first 64 and the last eight bytes of a file, which tell its kind."""
    if not is_file(file):
        raise CheckpointError(f"{file!s:.200} must be a file of tensors, but there is no such file")
    with open(file, "rb") as opened:
        head = opened.read(64)
        size = opened.seek(0, os.SEEK_END)
        opened.seek(max(0, size - len(MAGIC)))
        return head, opened.read()


def _read_shards(index):
    weight_map = _read_index(index)
    tensors = {}
    for shard in sorted(set(weight_map.values())):
        in_shard, kind = read_tensors(index.parent / shard)
        said = {name for name, file in weight_map.items() if file == shard}
        if kind == "keras":
            said = set(map(plain_keras, said))
        if in_shard.keys() != said or in_shard.keys() & tensors.keys():
            raise CheckpointError(f"{shard} must hold exactly the tensors that {index} lists for it, but they differ in"
                                  f" {listed(sorted(in_shard.keys() ^ said))}")
        tensors |= in_shard
    return tensors, kind


def _read_index(index):
    """{tensor: shard}, where shards are files in the folder of the index."""
    try:
        weight_map = read_json(index)["weight_map"]
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
    """-> the tensors of one of the two networks in an original checkpoint, under our names; the names of the rest"""
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
