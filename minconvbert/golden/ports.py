"""Read what a port hands in: files of tensors, whose names and layouts are converted to those of the pack."""

import json
import math
import os
import re
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..checkpoint.names import keras_table, original_table, plain_keras, relayout
from ..checkpoint.safetensors import read_safetensors
from ..config import ConvBertConfig
from .wholes import TOKENS

# Modules of Hugging Face's model whose outputs, as a hook sees them, are tensors of the pack: {module: (ours, layout)}.
MODULES = {
    "attention.self.query": ("attention.self.attn.query", None),
    "attention.self.key": ("attention.self.attn.key", None),
    "attention.self.value": ("attention.self.attn.value", None),
    "attention.self.key_conv_attn_layer.depthwise": ("attention.self.conv.span_mixed", "B D L -> B L D"),
    "attention.self.key_conv_attn_layer": ("attention.self.conv.span_key", "B D L -> B L D"),
    "attention.self.conv_kernel_layer": ("attention.self.conv.scores", None),
    "attention.self.conv_out_layer": ("attention.self.conv.value", None),
    "attention.self": ("attention.self.out", None),
    "attention.output.LayerNorm": ("attention.output.out", None), "attention.output": ("attention.output.out", None),
    "attention": ("attention.output.out", None), "intermediate": ("intermediate.out", None),
    "intermediate.intermediate_act_fn": ("intermediate.out", None), "output.LayerNorm": ("output.out", None),
    "output": ("output.out", None), "": ("output.out", None)}
EMBEDDINGS = {"embeddings": "embeddings.out", "embeddings.LayerNorm": "embeddings.out",
              "embeddings.word_embeddings": "embeddings.word", "embeddings_project": "embeddings_project.out"}
LARGEST = 2**28                                        # the most bytes of all tensors in an .npz, 60 times the pack
CASE_ID = re.compile(r"(tokenizer|op|block|model|heads|optimizer|text)\.")


def read_port(port, case=None):
    """-> {case: {name: array}}, [what could not be read]

    `port` is a folder with a file (safetensors, npz) or a folder of npy files for each case, or one file for all cases,
    in which names begin with the case: `op.linear/acts.out`. `tokenizer.jsonl` has a line for each text. `port` may
    also be a dict with the same names. A tensor that two files hand in is refused.
    """
    if isinstance(port, Mapping):
        return _by_case(port, case), []
    port = Path(port)
    if not port.exists():
        raise ValueError(f"a port's tensors must be in a file or folder, but {port} does not exist")
    found, origins, notes = {}, {}, []
    for file in [port] if port.is_file() else sorted(p for p in port.rglob("*") if p.is_file()):
        inside = file.relative_to(port) if file != port else Path(file.name)
        if file.suffix not in READERS:
            continue
        try:
            read, owner = READERS[file.suffix](file, inside)
        except Exception as error:                           # a damaged file may make its reader raise anything
            notes.append(f"{inside}: cannot be read: {error}")
            continue
        owner = case if case and (file.suffix != ".npy" or not owner) else owner
        for id, arrays in _by_case(read, owner).items():
            for name, array in arrays.items():
                origins.setdefault((id, name), []).append(str(inside))
                found.setdefault(id, {})[name] = array
    twice = {}
    for (id, name), files in origins.items():
        if len(files) > 1:
            twice.setdefault((id, *files), []).append(name)
            del found[id][name]
    notes += [f"{id}: {len(names)} tensors are handed in twice, in {' and in '.join(files)}; keep one"
              for (id, *files), names in twice.items()]
    if not found and not notes:
        notes.append(f"{port}: no tensors; a port hands in files whose names end in .safetensors, .npz, .npy or .jsonl")
    return found, notes


# Each of these functions reads a file.   -> {name: array}, the case in the file's name or folder

def _safetensors(file, inside):
    return read_safetensors(file), file.name.removesuffix(".safetensors")


def _npz(file, inside):
    with zipfile.ZipFile(file) as archive:
        size = sum(info.file_size for info in archive.infolist())
    if size > LARGEST:
        raise ValueError(f"unpacked it would take {size:,} bytes, but a port needs at most {LARGEST:,}")
    with np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}, file.name.removesuffix(".npz")


def _npy(file, inside):
    """Read CASE/NAME.npy. CASE may lie deeper, and NAME may have folders in place of dots."""
    folders = inside.parts[:-1]
    at = next((i for i, folder in enumerate(folders) if CASE_ID.match(folder)), 0)
    name = ".".join([*folders[at + 1:], inside.name.removesuffix(".npy")])
    _check_npy(file)
    return {name: np.load(file, allow_pickle=False)}, folders[at] if folders else None


def _check_npy(file):
    """Raises ValueError if a header claims more numbers than the file has, because NumPy would allocate them."""
    with open(file, "rb") as opened:
        major, _ = np.lib.format.read_magic(opened)
        read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(opened)
        needed, there = math.prod(shape) * dtype.itemsize, os.path.getsize(file) - opened.tell()
    if needed > there:
        raise ValueError(f"an array of shape {shape} takes {needed:,} bytes, but the file has {there:,}")


def _lines(file, inside):
    arrays = {}
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").split("\n")):
        if not line.strip():
            continue
        entry = json.loads(line)
        if not isinstance(entry, dict):
            raise ValueError(f"line {number + 1} must be an object with input_ids")
        i = entry.get("line", number)
        arrays |= {f"line{i:02}.{field}": entry[field] or np.zeros(0, np.int64) for field in TOKENS if field in entry}
    return arrays, "tokenizer.lines"


READERS = {".safetensors": _safetensors, ".npz": _npz, ".npy": _npy, ".jsonl": _lines}


def _by_case(arrays, case):
    found = {}
    for name, array in arrays.items():
        _check_name(name)
        if isinstance(array, Mapping):
            found.setdefault(name, {}).update(array)
            continue
        id, slash, rest = name.partition("/")
        # The original's and TensorFlow's own names have slashes too; a case has a dot in its name.
        own = slash and CASE_ID.match(id)
        found.setdefault(id if own else case, {})[rest if own else name] = array
    return found


def _check_name(name):
    if not isinstance(name, str):
        raise TypeError(f"the name of a tensor or of a case must be a text, but one is {name!r:.80}")


def our_names(golden, arrays):
    """-> {our name: (array, their name)}, names that are not in the case"""
    known, found, extra = aliases(golden), {}, []
    for theirs, array in arrays.items():
        _check_name(theirs)
        array, name = _as_array(array), theirs if theirs in known else plain_keras(theirs)
        if theirs in golden.truth:
            found[theirs] = array, theirs
        elif name in known:
            ours, layout = known[name]
            if layout and array.ndim == len(layout.split(" -> ")[0].split()):
                try:
                    array = relayout(array, layout, theirs)
                except ValueError:
                    pass                                     # the report then says that its shape is wrong
            if ours not in arrays:
                found.setdefault(ours, (array, theirs))
        elif theirs not in golden.given and golden.manifest["same_as"].get(theirs) not in golden.given:
            extra.append(theirs)
    return found, extra


def _as_array(x):
    """The value as an array; if this is impossible, an array of objects that holds a remedy."""
    try:
        array = np.asarray(x)
    except Exception:
        remedy = "hand in .detach().float().numpy()" if hasattr(x, "detach") else "its rows may be of different lengths"
        return np.array(remedy, object)
    # JAX's bfloat16 is a type of its own, which NumPy can convert.
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


# All names that a tensor of each kind may have, with and without `convbert.`; {} is its own name.
FORMS = {
    "acts": ["{}"],
    "din": ["d{}"],
    "dacts": ["d{}"],
    "grads": ["{}.grad", "grads.{}", "grad.{}", "d.{}"],
    "checkpoint": ["{}.grad", "grads.{}", "grad.{}", "{}"],
}


def aliases(golden):
    """{another name: (ours, layout)} for the tensors of a case."""
    known = {theirs: (twin, None) for theirs, twin in golden.manifest["same_as"].items() if twin in golden.truth}
    for kind, ours, theirs, layout in _other_names(golden):
        for form in FORMS[kind] if ours in golden.truth else ():
            for prefix in ("", "convbert."):
                known.setdefault(form.format(prefix + theirs.removeprefix("convbert.")), (ours, layout))
    return known


def _other_names(golden):
    """Yields (kind, our name, another name of the same tensor, layout); the case may not have the tensor."""
    for ours in golden.truth:
        kind, _, own = ours.partition(".")
        if kind in FORMS:
            yield kind, ours, own, None
    in_a_layer = [re.match(r"acts\.(convbert\.)?encoder\.layer\.\d+\.", name) for name in golden.truth]
    stems = list(dict.fromkeys(found[0] for found in in_a_layer if found))
    for stem in stems or ["acts."]:
        layer = stem.removeprefix("acts.")
        for module, (own, layout) in MODULES.items():
            yield "acts", stem + own, f"{layer}{module}".rstrip(".") or "layer", layout
    for model in ("", "convbert."):
        for module, own in EMBEDDINGS.items():
            yield "acts", f"acts.{model}{own}", module, None
    if stems:
        yield "acts", f"{stems[-1]}output.out", "last_hidden_state", None
    if golden.config is not None:
        for ours, theirs, layout in _checkpoint_names(json.dumps(golden.config)):
            for model in ("", "convbert."):
                yield "checkpoint", f"grads.{model}{ours}", theirs, layout


@lru_cache(maxsize=16)
def _checkpoint_names(config):
    """(our parameter, its name in a checkpoint of TensorFlow, layout)"""
    cfg = ConvBertConfig.from_dict(json.loads(config))
    tables = [keras_table(cfg), original_table(cfg, "electra"), original_table(cfg, "generator")]
    return [(ours, theirs, layout) for table in tables for ours, (theirs, layout) in table.items()]
