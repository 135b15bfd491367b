"""What a port hands in: files of tensors, under our names or others', brought to the names and layouts of the pack."""

import json
import re
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


def read_port(port, case=None):
    """-> {case: {name: array}}, [what could not be read]

    `port`: a file (safetensors, npz) or a folder of them, one for each case; in a folder also folders, one for each
    case, of npy files. In one file for all cases a name begins with its case: `op.linear/acts.out`. `tokenizer.jsonl`
    has a line for each text. A dict of the same kind may stand for files.
    """
    if isinstance(port, dict):
        return _by_case({name: a for name, a in port.items()}, case), []
    port = Path(port)
    if not port.exists():
        raise ValueError(f"a port's tensors must be in a file or folder, but {port} does not exist")
    found, notes = {}, []
    files = [port] if port.is_file() else sorted(p for p in port.rglob("*") if p.is_file())
    for file in files:
        inside = file.relative_to(port) if file != port else Path(file.name)
        try:
            if file.suffix == ".jsonl":
                read, owner = _read_lines(file), "tokenizer.lines"
            elif file.suffix == ".safetensors":
                read, owner = read_safetensors(file), file.name.removesuffix(".safetensors")
            elif file.suffix == ".npz":
                with np.load(file, allow_pickle=False) as arrays:
                    read, owner = {name: arrays[name] for name in arrays.files}, file.name.removesuffix(".npz")
            elif file.suffix == ".npy":
                owner, *parts = inside.parts if len(inside.parts) > 1 else (None, *inside.parts)
                read = {".".join(parts).removesuffix(".npy"): np.load(file, allow_pickle=False)}
            else:
                continue
        except Exception as error:                           # whatever a damaged file makes its reader raise
            notes.append(f"{inside}: cannot be read: {error}")
            continue
        for id, arrays in _by_case(read, owner if file.suffix == ".npy" and owner else case or owner).items():
            found.setdefault(id, {}).update(arrays)
    if not found and not notes:
        notes.append(f"{port}: no tensors; a port hands in files whose names end in .safetensors, .npz, .npy or .jsonl")
    return found, notes


def _by_case(arrays, case):
    found = {}
    for name, array in arrays.items():
        if isinstance(array, dict):
            found.setdefault(name, {}).update(array)
            continue
        id, slash, rest = name.partition("/")
        # The original's and TensorFlow's own names have slashes too; a case has a dot in its name.
        own = slash and re.match(r"(tokenizer|op|block|model|heads|optimizer|text)\.", id)
        found.setdefault(id if own else case, {})[rest if own else name] = array
    return found


def _read_lines(file):
    arrays = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").split("\n")):
        if not line.strip():
            continue
        entry = json.loads(line)
        if not isinstance(entry, dict):
            raise ValueError(f"line {number + 1} must be an object with input_ids")
        i = entry.get("line", number)
        arrays |= {f"line{i:02}.{field}": entry[field] or np.zeros(0, np.int64) for field in TOKENS if field in entry}
    return arrays


def our_names(golden, arrays):
    """-> {our name: (array, their name)}, names that are not in the case"""
    known, found, extra = aliases(golden), {}, []
    for theirs, array in arrays.items():
        array, name = _as_array(array), theirs if theirs in known else plain_keras(theirs)
        if theirs in golden.truth:
            found[theirs] = array, theirs
        elif name in known:
            ours, layout = known[name]
            if layout and array.ndim == len(layout.split(" -> ")[0].split()):
                try:
                    array = relayout(array, layout, theirs)
                except ValueError:
                    pass                                     # its shape is then reported as wrong
            if ours not in arrays:
                found.setdefault(ours, (array, theirs))
        elif theirs not in golden.given and golden.manifest["same_as"].get(theirs) not in golden.given:
            extra.append(theirs)
    return found, extra


def _as_array(x):
    """An array; where none can be made of it, one of objects, which is then reported as of the wrong dtype."""
    try:
        return np.asarray(x)
    except Exception:
        return np.empty((), object)


def aliases(golden):
    """{another name: (ours, layout)} for the tensors of a case."""
    known = {}

    def also(theirs, ours, layout=None):
        for name in {theirs, theirs.removeprefix("convbert."), f"convbert.{theirs}"}:
            known.setdefault(name, (ours, layout))

    truth = golden.truth
    for theirs, twin in golden.manifest["same_as"].items():
        if twin in truth:
            known[theirs] = twin, None
    for ours in truth:
        group, _, rest = ours.partition(".")
        if group == "acts":
            also(rest, ours)
        elif group == "din":
            also(f"d{rest}", ours)
        elif group == "grads":
            for theirs in (rest, rest.removeprefix("convbert.")):
                for form in ("grads.{}", "grad.{}", "{}.grad", "d.{}", "grads.convbert.{}", "grad.convbert.{}"):
                    also(form.format(theirs), ours)
        elif group == "dacts":
            also(f"d{rest}", ours)
    layers = [f"{found[1]}encoder.layer.{found[2]}." for name in truth
              if (found := re.match(r"acts\.((?:convbert\.)?)encoder\.layer\.(\d+)\.", name))] or [""]
    for layer in dict.fromkeys(layers):
        for module, (ours, layout) in MODULES.items():
            if f"acts.{layer}{ours}" in truth:
                also(f"{layer}{module}".rstrip(".") or "layer", f"acts.{layer}{ours}", layout)
    for module, ours in (("embeddings", "embeddings.out"), ("embeddings.LayerNorm", "embeddings.out"),
                         ("embeddings.word_embeddings", "embeddings.word"),
                         ("embeddings_project", "embeddings_project.out")):
        for name in (f"acts.{ours}", f"acts.convbert.{ours}"):
            if name in truth:
                also(module, name)
    last = [f"acts.{layer}output.out" for layer in layers if f"acts.{layer}output.out" in truth]
    if last and layers[0]:
        also("last_hidden_state", last[-1])
    if golden.config is not None:
        cfg = ConvBertConfig.from_dict(golden.config)
        tables = [keras_table(cfg), original_table(cfg, "electra"), original_table(cfg, "generator")]
        for table in tables:
            for ours, (theirs, layout) in table.items():
                for name in (f"grads.{ours}", f"grads.convbert.{ours}"):
                    if name in truth:
                        for form in ("grads.{}", "grad.{}", "{}", "{}.grad"):
                            known.setdefault(form.format(theirs), (name, layout))
    return known
