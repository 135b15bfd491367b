"""The pack on disk: a folder with `pack.json`, and for each case `CASE.json` and `CASE.safetensors`.

`pack.json` has the checksum (SHA-256) of every other file. `CASE.json` says what a case is and lists its tensors in the
order of computation; `CASE.safetensors` has them as float64 and int64.
"""

import hashlib
import json
import re
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..checkpoint.safetensors import read_safetensors, write_safetensors
from ..files import read_json, write_atomic
from .formulas import formula
from .mistakes import possible, rerun
from .trace import visible
from .wholes import CASES, TOKENS

FORMAT = 2
HERE = Path(__file__).parent / "pack"
# The tolerance is this many times the float32 error of the reference itself ...
HEADROOM = 16
# ... and at least this many roundings, because the reference happens to be exact in some tensors.
LEAST = 16 * 2.0**-24
GIVEN = ("in.", "params.")


def is_gradient(name):
    """Whether the tensor belongs to the backward pass."""
    return name.startswith(("dacts.", "grads.", "din."))


def as_float(arrays, dtype):
    """The same arrays, with floats as `dtype`."""
    return {name: a.astype(dtype) if a.dtype.kind == "f" else a for name, a in arrays.items()}


def make_case(case):
    """-> manifest and arrays of one case: inputs, expected outputs, tolerances"""
    given = case.given()
    truth, twins = _without_twins(case.run(given), given)
    scales, noise = scales_of(truth), _noise(case, given, truth)
    manifest = dict(
        format=FORMAT, id=case.id, level=case.level, purpose=case.purpose, flags=case.flags,
        config=case.cfg and case.cfg.to_dict(), dtype="float64", layout="row-major, last axis fastest",
        file=f"{case.id}.safetensors")
    if case.degenerate:
        manifest["degenerate"] = case.degenerate
    if case.text:
        manifest["text"] = case.text
    entries = []
    for place, (name, array) in enumerate([*given.items(), *truth.items()]):
        entry = dict(name=name, place=place, role="given" if name in given else "expected", shape=list(array.shape),
                     dtype=str(array.dtype), formula=formula(name, case))
        if name in truth and array.dtype.kind == "f":
            largest = float(np.abs(array).max(initial=0))
            entry |= dict(scale=scales[name], noise=noise[name], tolerance=max(LEAST, HEADROOM * noise[name]))
            if largest < scales[name] * 1e-9:
                entry["zero_by_symmetry"] = True
        entries.append(entry)
    allowed = {entry["name"]: entry["scale"] * entry["tolerance"] for entry in entries if "tolerance" in entry}
    found = {mistake: _shows(rerun(case.id, given, (mistake,)), truth, allowed, given) for mistake in possible(case.id)}
    catches = {mistake: shows for mistake, shows in found.items() if shows}
    return manifest | dict(catches=catches, same_as=twins, tensors=entries), given | truth


def _shows(found, truth, allowed, given):
    """The first tensor at which a mistake shows: [tensor, its error in tolerances], or None if it does not show."""
    for name, wanted in truth.items() if found else ():
        if name not in found:
            continue
        if found[name].size != wanted.size or name not in allowed and (found[name] != wanted).any():
            return [name, 1e6]
        seen = np.broadcast_to(seen_places(name, given), wanted.shape)
        with np.errstate(over="ignore"):
            error = np.abs(found[name].reshape(wanted.shape) - wanted)[seen].max(initial=0) / allowed.get(name, 1)
        if not error <= 1:
            return [name, float(f"{error:.2g}") if np.isfinite(error) else 1e6]
    return None


def seen_places(name, given):
    """Which places of a tensor are compared: all, but for attention scores those that the mask does not hide."""
    masked = name.startswith("acts.") and name.endswith("attn.scores") and "in.attention_mask" in given
    return visible(given["in.attention_mask"]) if masked else np.True_


def scales_of(truth):
    """The scale of each tensor: its largest value or, where symmetry makes it zero, the largest of its kind."""
    largest = {name: float(np.abs(a).max(initial=0)) for name, a in truth.items() if a.dtype.kind == "f"}
    scales = {}
    for name, value in largest.items():
        kin = max(v for other, v in largest.items() if is_gradient(other) == is_gradient(name))
        scales[name] = value if value > 1e-9 * kin else kin or 1.0
    return scales


def _noise(case, given, truth):
    """The float32 error of each tensor: the largest of a plain run and of four runs on inputs off by one rounding."""
    scales, rng = scales_of(truth), np.random.default_rng(0)
    noise = dict.fromkeys(scales, 0.0)
    single = as_float(given, np.float32)
    for trial in range(5):
        found = case.run({name: _shaken(a, rng) if trial else a for name, a in single.items()})
        for name, scale in scales.items():
            noise[name] = max(noise[name], float(np.abs(found[name] - truth[name]).max(initial=0)) / scale)
    return noise


def _shaken(array, rng):
    """Each float32 number, changed by half a unit in the last place up or down, or not at all; integers unchanged."""
    if array.dtype.kind != "f":
        return array
    return (array * (1 + rng.choice([-1, 0, 1], array.shape) * 2.0**-24)).astype(array.dtype)


def _without_twins(found, given):
    """Drop tensors that equal an input or an earlier tensor.   -> the kept ones, {dropped: the equal one}"""
    kept, twins = {}, {}
    for name, array in found.items():
        twin = name.startswith(("acts", "dacts")) and array.size > 1 and array.dtype.kind == "f" and next(
            (n for n, other in [*given.items(), *kept.items()] if np.array_equal(other, array)), None)
        if twin:
            twins[name] = twin
        else:
            kept[name] = array
    return kept, twins


def make(folder, cases=None):
    """Write the pack to `folder`: every case, or those named.   -> the files written

    Raises OSError if the folder cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for id in cases or CASES:
        manifest, arrays = make_case(CASES[id])
        write_safetensors(folder / f"{id}.safetensors", arrays)
        write_atomic(folder / f"{id}.json", _as_text(manifest))
        if id == "tokenizer.lines":
            write_atomic(folder / "tokenizer.jsonl", _as_lines(manifest, arrays))
            files["tokenizer.jsonl"] = _checksum(folder / "tokenizer.jsonl")
        files |= {name: _checksum(folder / name) for name in (f"{id}.safetensors", f"{id}.json")}
    listed = [dict(id=id, level=CASES[id].level, purpose=CASES[id].purpose) for id in cases or CASES]
    index = dict(format=FORMAT, what="Golden values of ConvBERT: what goes in, what must come out", cases=listed,
                 sha256=files)
    write_atomic(folder / "pack.json", _as_text(index))
    return [folder / name for name in ["pack.json", *files]]


def _as_text(entries):
    """JSON with a tensor or a mistake on each line, so that people can read and compare it."""
    as_json = lambda value, **how: json.dumps(value, ensure_ascii=False, **how)
    lines = []
    for name, value in entries.items():
        if name == "tensors":
            text = "[\n" + ",\n".join(f"  {as_json(row)}" for row in value) + "\n ]"
        elif name in ("catches", "same_as") and value:
            text = "{\n" + ",\n".join(f"  {as_json(key)}: {as_json(row)}" for key, row in value.items()) + "\n }"
        else:
            text = as_json(value, indent=1).replace("\n", "\n ")
        lines.append(f" {as_json(name)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _as_lines(manifest, arrays):
    lines = []
    for i, line in enumerate(manifest["text"]["lines"]):
        found = {field: arrays[f"line{i:02}.{field}"].tolist() for field in TOKENS}
        lines.append(json.dumps(dict(line=i) | line | found, ensure_ascii=True))
    return "\n".join(lines) + "\n"


def _checksum(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Golden:
    """One case of a pack: its manifest, the inputs (`given`), and the expected tensors (`truth`)."""

    def __init__(self, folder, id):
        self.id = id
        arrays = read_safetensors(folder / f"{id}.safetensors")
        self.manifest = _manifest(folder / f"{id}.json", id, arrays)
        self.tensors = {row["name"]: row for row in self.manifest["tensors"] if row["role"] == "expected"}
        self.given = {row["name"]: arrays[row["name"]] for row in self.manifest["tensors"] if row["role"] == "given"}
        self.truth = {name: arrays[name] for name in self.tensors}
        self.level, self.config = self.manifest["level"], self.manifest["config"]
        for array in arrays.values():
            array.flags.writeable = False                    # because a port that changes them would spoil later checks

    def seen_places(self, name):
        """Which places of a tensor are compared: all, or those that the mask does not hide."""
        return seen_places(name, self.given)


# The entries of a manifest and of each of its tensors, with their types; `config` is null if a case needs none.
FIELDS = dict(id=str, level=str, purpose=str, config=(dict, type(None)), catches=dict, same_as=dict, tensors=list)
OF_TENSOR = dict(name=str, role=str, shape=list, dtype=str, formula=str)
OF_FLOATS = dict.fromkeys(("scale", "noise", "tolerance"), (int, float))


def _manifest(path, id, arrays):
    """The content of CASE.json.   Raises ValueError if it lacks an entry, or does not fit the arrays."""
    manifest = read_json(path)
    _has(manifest, FIELDS, path)
    for row in manifest["tensors"]:
        _has(row, OF_TENSOR, path)
        array = arrays.get(row["name"])
        if array is None or row["role"] not in ("given", "expected"):
            raise ValueError(f"{path} must list tensors of {id}.safetensors as given or expected, but lists"
                             f" {row['name']!r:.80} as {row['role']!r:.80}")
        if row["role"] == "expected" and array.dtype.kind == "f":
            _has(row, OF_FLOATS, path)
    return manifest


def _has(entries, fields, path):
    for name, kind in fields.items():
        if not isinstance(entries, dict) or not isinstance(entries.get(name, ...), kind):
            found = entries.get(name, "nothing") if isinstance(entries, dict) else entries
            raise ValueError(f"{path} must have {name} where a case and its tensors have it, but has {found!r:.80}: it"
                             " is damaged; make the pack again with `golden make`")


@lru_cache(maxsize=4)
def read_pack(folder=HERE):
    """{case: Golden} of a pack, in order, checked against its checksums.

    Raises ValueError if a file is missing or damaged, or the pack is of another format.
    """
    folder = Path(folder)
    if not (folder / "pack.json").is_file():
        raise ValueError(f"a pack must have a pack.json, but {folder} has none; `python -m minconvbert golden make"
                         f" {folder}` makes one")
    for name, wanted in _listed(folder).items():
        path = folder / name
        if not path.is_file() or _checksum(path) != wanted:
            what = "differs from its checksum" if path.is_file() else "is missing"
            raise ValueError(f"the pack {folder} is damaged: {name} {what}; make it again with `golden make`")
    return {case["id"]: Golden(folder, case["id"]) for case in read_json(folder / "pack.json")["cases"]}


def _listed(folder):
    """The {file: checksum} of pack.json.   Raises ValueError if a case has none, or a name leads out of the folder."""
    try:
        index = read_json(folder / "pack.json")
        found, files, ids = index["format"], dict(index["sha256"]), [case["id"] for case in index["cases"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / 'pack.json'} is damaged: {error}; make it again with `golden make`") from None
    if found != FORMAT:
        raise ValueError(f"the pack {folder} must be of format {FORMAT}, but is of {found!r:.80}: make it again with"
                         " `golden make`")
    named = [*files, *(f"{id}{suffix}" for id in ids for suffix in (".json", ".safetensors"))]
    for name in named:
        if not re.fullmatch(r"\w[\w.-]{0,200}", str(name)):
            raise ValueError(f"a file of the pack {folder} must be in that folder, but one is {name!r:.80}")
        if not isinstance(files.get(name), str):
            raise ValueError(f"{folder / 'pack.json'} must have a checksum of every file, but has none of {name}")
    if not ids:
        raise ValueError(f"{folder / 'pack.json'} must list cases, but lists none")
    return files
