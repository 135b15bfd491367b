"""Compare a port with the pack, tensor by tensor, and find out what it does wrong."""

import traceback
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from .cases import LEVELS
from .diagnosis import PRECISIONS, Evidence, diagnose
from .pack import HERE, is_gradient, read_pack
from .ports import our_names, read_port
from .report import CaseReport, Report, Row, some


def check(port, level=None, case=None, pack=None, precision="float32", expect_fail=(), complete=False):
    """Compare what a port computed with the pack, and say which known mistake explains what departs.

        from minconvbert.golden import check
        report = check("my_port/")                 # a folder of CASE.safetensors, CASE.npz or CASE/NAME.npy
        report = check({"op.linear": {"acts.out": y}})
        report = check(my_port, level="op")        # my_port(golden) -> {name: array}; see golden.given, golden.manifest
        assert report.ok, report
        report["op.linear"].first, report["op.linear"].diagnosis, report.mistakes

    Any subset of cases and tensors may be handed in. The report lists what is missing; that counts as wrong only if
    `complete` is set. `level`: one of LEVELS, or several; "backward" means the gradients of all levels. `case`: an id,
    or several. `pack`: a folder; the default is the pack that comes with the package. `precision`: that of the port,
    float64, float32, float16 or bfloat16; it scales the tolerances. `expect_fail`: ids of cases that are known to be
    wrong.

    The error of a tensor is max|port - truth| / scale / tolerance, and the tensor is right if it is at most 1; scale is
    the largest |truth|. Raises ValueError for an unknown level, case or precision, and for a damaged pack; TypeError if
    a port returns anything but a dict.
    """
    goldens = read_pack(HERE if pack is None else Path(pack))
    levels, ids = _several(level), _several(case)
    _known("level", levels, LEVELS)
    _known("case", [*ids, *expect_fail], goldens)
    _known("precision", [precision], PRECISIONS)
    names = {id: [n for n in g.truth if not levels or g.level in levels or "backward" in levels and is_gradient(n)]
             for id, g in goldens.items() if not ids or id in ids}
    chosen = {id: goldens[id] for id in names if names[id]}
    if callable(port):
        found, notes = _called(port, chosen)
    else:
        found, notes = read_port(port, ids[0] if len(ids) == 1 else None)
        notes += [f"{id or 'tensors without a case'}: no such case in the pack ({', '.join(list(arrays)[:3])}); name it"
                  f" with a file's name, with CASE/ before each name, or with `case`"
                  for id, arrays in found.items() if id not in goldens]
    reports, evidences = {}, {}
    for id, golden in chosen.items():
        reports[id], usable = compare_case(golden, found.get(id, {}), names[id], precision)
        reports[id].expected_to_fail = id in expect_fail
        evidences[id] = Evidence(golden, usable, precision)
    for id, diagnosis in diagnose(evidences).items():
        reports[id].diagnosis = diagnosis
    return Report(list(reports.values()), notes, complete)


def _several(value):
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def _known(what, values, known):
    for value in values:
        if value not in known:
            near = list(known) if len(known) < 10 else get_close_matches(str(value), known, 4, 0)
            others = f" or {len(known) - len(near)} others" if len(near) < len(known) else ""
            raise ValueError(f"{what} must be one of {', '.join(near)}{others}, but is {value!r}")


def _called(port, goldens):
    found, raised = {}, {}
    for id, golden in goldens.items():
        try:
            arrays = port(golden)
        except NotImplementedError:
            continue                                        # the port does not have this case yet
        except Exception as error:
            what = f"the port raised {type(error).__name__}: {error} ({_where(error)})"
            raised.setdefault(what, []).append(id)
            continue
        if not isinstance(arrays, Mapping | None):
            raise TypeError(f"a port must return a dict of arrays by name, but for {id} it returned"
                            f" {type(arrays).__name__}; write {{'acts.out': y}}")
        found[id] = arrays or {}
    return found, [f"{some(ids, 3)}: {what}" for what, ids in raised.items()]


def _where(error):
    """The last line of the port's own code that an error passed through, not of a library that it calls."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    own = [frame for frame in frames if "site-packages" not in frame.filename and "<" not in frame.filename[:1]]
    frame = (own or frames or traceback.extract_tb(error.__traceback__))[-1]
    return f"{frame.filename}, line {frame.lineno}: {frame.line or frame.name}"


def compare_case(golden, arrays, names=None, precision="float32"):
    """-> CaseReport of the tensors of one case, without a diagnosis; {name: array} of those that can be compared

    `names`: compare only these tensors
    """
    names = list(golden.truth) if names is None else names
    found, extra = our_names(golden, arrays)
    rows, usable = [], {}
    for name in names:
        if name not in found:
            rows.append(Row(name, "missing"))
            continue
        array, theirs = found[name]
        row, usable_array = _compare(golden, name, array, precision)
        if theirs != name:
            row.note += f"{'; ' if row.note else ''}handed in as {theirs}"
        rows.append(row)
        if usable_array is not None:
            usable[name] = usable_array
    others = golden.truth.keys() - set(names)
    rows += [Row(name, "extra", note="no tensor of this case has this name") for name in extra if name not in others]
    return CaseReport(golden.id, golden.level, golden.manifest["purpose"], rows), usable


def _compare(golden, name, array, precision):
    """-> the row of a tensor; the array in the shape of the truth, or None if it cannot be compared"""
    truth = golden.truth[name]
    kinds, wanted = ("iub", "integers") if truth.dtype.kind == "i" else ("f", "floats")
    if array.dtype.kind not in kinds:
        how = f"; {array[()]}" if array.dtype == object and array.ndim == 0 else ""
        return Row(name, "wrong dtype", note=f"must be {wanted}, but is {array.dtype}{how}"), None
    if array.shape != truth.shape:
        shapes = f"must be {truth.shape}, but is {array.shape}"
        if wanted == "integers" and array.ndim == truth.ndim:
            return Row(name, "departs", note=shapes), array        # other tokens; a mistake may explain them
        # Whether heads are split and axes of size one are kept, the numbers have the same order.
        if array.size != truth.size or array.ndim == truth.ndim or not _regrouped(array.shape, truth.shape):
            return Row(name, "wrong shape", note=shapes), None
        array = array.reshape(truth.shape)
    if wanted == "integers":
        wrong = int((array != truth).sum())
        note = f"{wrong} of {truth.size} differ" if wrong else ""
        return Row(name, "departs" if wrong else "ok", float(wrong), note), array
    narrow = array.dtype.itemsize == 2 and precision in ("float32", "float64")
    seen = np.broadcast_to(golden.seen_places(name), truth.shape)
    array = np.where(seen, array.astype(np.float64), 0)
    if not np.isfinite(array).all():
        note = f"nan or infinity in {int((~np.isfinite(array)).sum())} of {array.size} places"
        return Row(name, "not finite", note=note), None
    entry = golden.tensors[name]
    allowed = entry["scale"] * entry["tolerance"] * PRECISIONS[precision]
    error = min(float(np.abs(array - np.where(seen, truth, 0)).max(initial=0)) / allowed, 1e99)
    note = "it is float16: did you mean --precision float16?" if narrow and error > 1 else ""
    return Row(name, "ok" if error <= 1 else "departs", error, note), array


def _regrouped(shape, wanted):
    """Whether two shapes differ only by joining neighbouring axes, or by axes of size one."""
    longer, shorter = (list(s) for s in sorted((shape, wanted), key=len, reverse=True))
    product = 1
    for size in longer:
        product *= size
        while shorter and shorter[0] == 1 and product != 1:
            shorter.pop(0)
        if shorter and product == shorter[0]:
            shorter.pop(0)
            product = 1
        elif shorter and product > shorter[0]:
            return False
    return all(size == 1 for size in shorter) and product == 1
