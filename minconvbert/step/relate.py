"""What belongs together in a recording: a forward line and its backward, an array, its origin and its names."""

import json
import re
from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np

from .trace import arrays


@cache
def names_in_the_pack():
    """The names of all tensors of the golden pack; every layer of a model is called 0."""
    folder = resources.files("minconvbert").joinpath("golden", "pack")
    cases = [json.loads(file.read_text("utf-8")) for file in folder.iterdir()
             if file.name.endswith(".json") and file.name != "pack.json"]
    names = {name for case in cases for name in (*(t["name"] for t in case["tensors"]), *case.get("same_as", ()))}
    return {re.sub(r"layer\.\d+", "layer.0", name) for name in names}


def relate(recording, forward, backward=None):
    """Pair call number `forward` with call `backward`, pair what they call and their lines, and find all origins."""
    calls = recording.calls
    if backward is not None:
        _pair(recording, calls[forward], calls[backward])
    for call in calls:
        if call.partner is None:
            _pair_within(recording, call)
    _find_origins(recording)


class Origin(NamedTuple):
    """Where an array that a line reads comes from."""

    how: str                                           # "made" in this call, "taken" from acts, or "handed" in
    step: int | None = None                            # the step that made it, if its line was recorded
    name: str = ""                                     # what that line calls it


def _find_origins(recording):
    """Note where each array that a line reads comes from, and which arrays it only takes from acts or returns."""
    makers, known = {}, {}                             # by array: the steps that made it; by call and name: an origin
    for step in recording.steps:
        step.origins = {name: known.get((step.call, name, _key(array))) or _from_outside(recording, makers, step, name)
                        for name, array in step.reads.items()}
        read, returns = {_key(array): name for name, array in step.reads.items()}, step.source.startswith("return")
        for name, array in step.writes.items():
            source = read.get(_key(array))
            if source and (returns or step.origins[source].how == "taken"):
                step.moves[name], known[step.call, name, _key(array)] = source, step.origins[source]
            else:
                makers.setdefault(_key(array), []).append(step)
                known[step.call, name, _key(array)] = Origin("made", step.number, name)


def _key(array):
    return id(array) if array.ndim else array.tobytes()


def _from_outside(recording, makers, step, name):
    """The origin of an array that this call has not bound to this name: it is in `acts`, or a caller handed it in."""
    call, key = recording.calls[step.call], _key(step.reads[name])
    made = makers.get(key, [])
    here = any(maker.call == call.number for maker in made)
    how = "made" if here else "taken" if name.startswith('acts["') else "handed"
    above = call.number if here else call.partner if how == "taken" else call.caller
    while above is not None and not any(maker.call == above for maker in made):
        above = recording.calls[above].caller
    maker = next((maker for maker in reversed(made) if above in (None, maker.call)), None)
    if maker is None:
        return Origin(how)
    return Origin(how, maker.number, next(other for other, array in maker.writes.items() if _key(array) == key))


def _pair_within(recording, call):
    """Partners among the calls that one call makes: the last forward with the first backward, and so on."""
    calls = recording.calls
    inner = [other for other in calls if other.caller == call.number and other.partner is None]
    for name in dict.fromkeys(other.function for other in inner):
        ahead = [other for other in inner if other.function == name]
        back = [other for other in inner if other.function == f"{name}_backward"]
        if len(ahead) == len(back):
            for one, other in zip(ahead, reversed(back)):
                _pair(recording, one, other)
    if call.partner is None:                           # a function that goes there and back has both kinds of lines
        steps = [recording.steps[number] for number in call.steps]
        _note(_by_calls(steps, steps))


def _pair(recording, ahead, back):
    ahead.partner, back.partner = back.number, ahead.number
    steps, calls = recording.steps, recording.calls
    ones, others = ([steps[number] for number in call.steps] for call in (ahead, back))
    pairs = []
    for rule in (_by_parameters, _by_slopes, _by_calls):
        paired = {step.number for step, _ in pairs}    # the next rule leaves out what this one found
        pairs += [(step, other) for step, other in rule(ones, others) if step.number not in paired]
    for step, other in _note(pairs):
        _pair_called(recording, step, other)
    for one in calls:
        if one.caller == ahead.number and one.partner is None:
            _pair_by_order(recording, one, ahead, back)


def _note(pairs):
    for step, other in pairs:
        step.mates.append(other.number)
        other.mates.append(step.number)
    return pairs


def _by_parameters(ones, others):
    """(forward step, backward step): one reads a parameter p["x"], the other makes its gradient g["x"]."""
    return [(step, other) for step in ones if step.writes for other in others
            if any(name.startswith('p["') and f"g{name[1:]}" in other.writes for name in step.reads)]


def _by_slopes(ones, others):
    """One makes x, the other reads dx; if x is reshaped on the way, dx must have its shape."""
    pairs, made = {}, [step for step in ones if not step.source.startswith("return")]
    for step in made:
        for name, x in step.writes.items():
            found = [other for other in others if other.writes and f"d{name}" in other.reads]
            in_shape = [other for other in found if other.reads[f"d{name}"].shape == x.shape]
            reshaped = any(name in one.writes and one.writes[name].shape != x.shape for one in made)
            pairs |= {(step.number, other.number): (step, other) for other in (reshaped and in_shape or found)}
    return list(pairs.values())


def _by_calls(ones, others):
    """One calls a function, the other its backward, equally often: the last goes with the first, and so on."""
    pairs = []
    for name in dict.fromkeys(name for step in ones for name in step.says):
        ahead = [step for step in ones if name in step.says]
        back = [step for step in others if f"{name}_backward" in step.says]
        pairs += zip(ahead, reversed(back)) if len(ahead) == len(back) else ()
    return pairs


def _pair_called(recording, step, other):
    """The calls of two lines that belong together."""
    calls = recording.calls
    for one in (calls[number] for number in step.inner):
        for two in (calls[number] for number in other.inner):
            if two.function == f"{one.function}_backward" and one.partner is two.partner is None:
                _pair(recording, one, two)


def _pair_by_order(recording, one, ahead, back):
    """Pair a call that no line's names have paired with its backward, if there is only one of each."""
    calls = recording.calls
    ones = [c for c in calls if c.caller == ahead.number and c.function == one.function]
    twos = [c for c in calls if c.caller == back.number and c.function == f"{one.function}_backward"]
    if len(ones) == len(twos) == 1 and twos[0].partner is None:
        _pair(recording, one, twos[0])


def name_arrays(recording, originals, acts=(), grads=(), params=()):
    """Note the name of every array in the acts, gradients and parameters that went in or came out at the top.

    acts, grads, params: lists of dicts with those names; originals: {id of a copy: (the array, its copy)}
    """
    kinds = {"acts": {}, "grads": {}, "params": {}}
    for kind, dicts in (("acts", acts), ("grads", grads), ("params", params)):
        for name, array in arrays({k: x for d in dicts for k, x in d.items()}).items():
            kinds[kind].setdefault(id(array), []).append(name)
    prefixes = _prefixes(recording, originals, kinds["acts"])
    meant = {call.number: _meant(recording, call, originals) for call in recording.calls}
    for step in recording.steps:
        call = recording.calls[step.call]
        for name, array in (step.reads | step.writes).items():
            original, names = _kept(originals, array), []
            if original in kinds["acts"]:
                step.acts[name] = _best(kinds["acts"][original], name, prefixes.get(step.call))
                names.append(f"acts.{step.acts[name]}")
            names += [f"{kind}.{full}" for kind in ("grads", "params") for full in kinds[kind].get(original, ())]
            if meant[step.call].get(name) is array:
                if name.startswith("d") and call.partner in prefixes:
                    names.append(f"dacts.{prefixes[call.partner]}{name[1:]}")
                elif step.call in prefixes:
                    names.append(f"acts.{prefixes[step.call]}{name}")
            known = [full for full in names if re.sub(r"layer\.\d+", "layer.0", full) in names_in_the_pack()]
            if known:
                step.golden[name] = known[0]


def _kept(originals, copy):
    """The id of the array of which this is a copy; None if the array has changed since."""
    original, _ = originals.get(id(copy), (copy, None))
    return id(original) if np.array_equal(original, copy, equal_nan=copy.dtype.kind == "f") else None


def _meant(recording, call, originals):
    """By name: the one state of an array for which the name stands in other places, too.

    That is what was handed in, or else the last array that the call made under this name. A gradient that the call
    changed in place has no such state: before and after the change, it is the gradient of different things.
    """
    states, given = {}, set()
    for step in (recording.steps[number] for number in call.steps):
        given |= {name for name in step.reads if name not in states}
        for name, array in [*step.reads.items(), *step.writes.items()]:
            states.setdefault(name, {})[id(array)] = array
    found = {}
    for name, arrays_ in states.items():
        first, last = list(arrays_.values())[0], list(arrays_.values())[-1]
        wholes = {id(originals.get(id(array), (array,))[0]) for array in arrays_.values()}
        if name in given or not name.startswith("d") or len(wholes) == len(arrays_):
            found[name] = first if name in given else last
    return found


def _prefixes(recording, originals, acts):
    """By call: what `acts` puts before the names of its variables."""
    prefixes = {}
    for call in recording.calls:
        ends = {}
        for step in (recording.steps[number] for number in call.steps):
            for name, array in step.writes.items():
                for full in acts.get(_kept(originals, array), ()):
                    if full == name or full.endswith(f".{name}"):
                        prefix = full[: len(full) - len(name)]
                        ends[prefix] = ends.get(prefix, 0) + 1
        if ends:
            prefixes[call.number] = max(ends, key=lambda prefix: (ends[prefix], -len(prefix)))
    return prefixes


def _best(names, name, prefix):
    """The one of an array's names that this call uses."""
    bare = name.split('["')[-1].removesuffix('"]')
    return next((full for full in names if prefix is not None and full == prefix + bare),
                next((full for full in names if full.rsplit(".", 1)[-1] == bare), names[0]))
