"""Compare a port with the pack, tensor by tensor, and say what it did wrong."""

import json
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from .cases import LEVELS
from .mistakes import possible, rerun
from .pack import HERE, is_gradient, read_pack
from .ports import our_names, read_port
from .wholes import CASES

# How much wider the tolerance is, or narrower, for what was computed in another precision than float32.
PRECISIONS = {"float64": 2.0**-26, "float32": 1.0, "float16": 2.0**13, "bfloat16": 2.0**16}
WRONG = ("departs", "wrong shape", "not finite", "wrong dtype")


@dataclass
class Row:
    """One tensor: its status, its error in units of the tolerance, and a word on it."""

    name: str
    status: str                # "ok", "missing", "extra", or one of WRONG
    error: float | None = None
    note: str = ""


@dataclass
class Diagnosis:
    """Which mistakes reproduce the port's numbers. One: it is named. Several: the numbers cannot tell them apart.

    What leaves numbers unexplained is not named: it is near the mistake, perhaps, but not it.
    """

    mistakes: list
    explained: int             # departing tensors that they reproduce
    departing: int
    complete: bool = False     # does this, with what is found beyond it, give every number that the port handed in?
    then: "Diagnosis | None" = None   # what else is wrong once these are taken for granted
    ruled_out: dict = field(default_factory=dict)   # {mistake that fits, too: a right case in which it would show}

    @property
    def named(self):
        return self.mistakes[0] if len(self.mistakes) == 1 and self.complete else None

    def __str__(self):
        if not self.mistakes:
            return "no mistake of the catalogue reproduces these numbers"
        text = " or ".join(f"“{mistake}”" for mistake in self.mistakes[:4])
        if len(self.mistakes) > 4:
            text += f" or {len(self.mistakes) - 4} others"
        text += f" reproduces {self.explained} of {self.departing} departing tensors"
        for mistake, case in self.ruled_out.items():
            text += f"; so does “{mistake}”, but it would show in {case}, which is right"
        if self.then:
            return f"{text}; beyond that, {self.then}"
        return text if self.complete else f"{text}, and no mistake of the catalogue the rest"

    def chain(self):
        """This diagnosis, what is wrong beyond it, and so on."""
        return [self, *(self.then.chain() if self.then else [])]


@dataclass
class CaseReport:
    """One case: its rows in order of computation, the first that departs, and the diagnosis."""

    id: str
    level: str
    purpose: str
    rows: list
    diagnosis: Diagnosis | None = None
    expected_to_fail: bool = False

    @property
    def wrong(self):
        return [row for row in self.rows if row.status in WRONG]

    @property
    def first(self):
        """The first tensor, in order of computation, that is not right; None if all are."""
        return self.wrong[0].name if self.wrong else None

    @property
    def compared(self):
        return [row for row in self.rows if row.status in ("ok", *WRONG)]


@dataclass
class Report:
    """What `check` found. `ok` says whether all that was handed in is right; `str` is the table."""

    cases: list
    notes: list = field(default_factory=list)
    complete: bool = False

    @property
    def ok(self):
        return not self.failures and not self.notes and any(case.compared for case in self.cases)

    @property
    def failures(self):
        """Cases that are wrong and not expected to be, or right against expectation, or lack what must be there."""
        return [case for case in self.cases if bool(case.wrong) != case.expected_to_fail
                or self.complete and any(row.status == "missing" for row in case.rows)]

    @property
    def mistakes(self):
        """The mistakes that were named: {mistake: cases that name it}."""
        named = {}
        for case in self.cases:
            for diagnosis in case.diagnosis.chain() if case.diagnosis else []:
                if diagnosis.named:
                    named.setdefault(diagnosis.named, []).append(case.id)
        return named

    def __getitem__(self, id):
        return next(case for case in self.cases if case.id == id)

    def table(self, verbose=False):
        """The report as text; with `verbose`, every tensor of every case."""
        lines = []
        for case in self.cases:
            lines.append(f"{case.id:<28} {self._verdict(case)}")
            lines += self._rows(case, verbose)
            if case.first:
                lines.append(f"    first to depart: {case.first}")
            if case.diagnosis:
                lines.append(f"    diagnosis: {case.diagnosis}")
        lines += [f"note: {note}" for note in self.notes]
        for mistake, ids in sorted(self.mistakes.items(), key=lambda item: -len(item[1])):
            some = ", ".join(ids[:4]) + ", ..." * (len(ids) > 4)
            lines.append(f"named: {mistake}   ({len(ids)} case{'s' * (len(ids) > 1)}: {some})")
        tried = [case for case in self.cases if case.compared]
        right = [case for case in tried if not case.wrong]
        lines.append(f"{len(right)} of {len(tried)} cases right, {len(self.cases) - len(tried)} not handed in")
        return "\n".join(lines)

    def _verdict(self, case):
        compared = case.compared
        text = "not handed in" if not compared else "wrong" if case.wrong else "right"
        if case.expected_to_fail:
            text += ", as expected" if case.wrong else ", but expected to be wrong: no longer expect it"
        if compared:
            text += f": {f'{len(case.wrong)} of ' if case.wrong else ''}{len(compared)} tensors"
        missing = sum(row.status == "missing" for row in case.rows)
        if compared and missing:
            text += f", {missing} missing"
        if compared and not case.wrong:
            worst = max(compared, key=lambda row: row.error)
            text += f", worst {worst.error:.3g} tolerances at {worst.name}"
        return text

    def _rows(self, case, verbose):
        at = [i for i, row in enumerate(case.rows) if row.status in WRONG]
        lines, left = [], 0
        for i, row in enumerate(case.rows):
            near = at and at[0] - 2 <= i < at[0] + 8 or row.status in ("extra", *WRONG[1:])
            if verbose or near and row.status != "missing":
                error = "" if row.error is None else f"{row.error:12.4g}"
                lines.append(f"    {row.name:<66} {error:>12}  {row.status}{': ' * bool(row.note)}{row.note}")
            else:
                left += row.status in WRONG
        return lines + ([f"    ... and {left} more that depart"] if left else [])

    __str__ = table

    def to_json(self):
        """The report as JSON text."""
        def diagnosis(d):
            return d and vars(d) | dict(named=d.named, then=diagnosis(d.then))
        return json.dumps(dict(ok=self.ok, notes=self.notes, named=self.mistakes, cases=[dict(
            id=c.id, level=c.level, first=c.first, expected_to_fail=c.expected_to_fail,
            diagnosis=diagnosis(c.diagnosis), tensors=[vars(row) for row in c.rows])
            for c in self.cases]), indent=1, ensure_ascii=False) + "\n"

    def to_junit(self):
        """The report as JUnit XML: a test for each case, skipped if nothing was handed in; a failure for each note."""
        tests = []
        for case in self.cases:
            inner = ""
            if not case.compared:
                inner = "<skipped/>"
            elif case in self.failures:
                text = f"first to depart: {case.first}. {case.diagnosis or ''}"
                inner = f"<failure message={quoteattr(text)}>{escape(Report([case]).table())}</failure>"
            tests.append(f'  <testcase classname="golden.{case.level}" name={quoteattr(case.id)}>{inner}</testcase>')
        tests += [f'  <testcase classname="golden" name="handed in"><failure message={quoteattr(note)}/></testcase>'
                  for note in self.notes]
        failures, skipped = len(self.failures) + len(self.notes), sum(not case.compared for case in self.cases)
        counts = f'tests="{len(tests)}" failures="{failures}" skipped="{skipped}"'
        return "\n".join(['<?xml version="1.0" encoding="utf-8"?>', f'<testsuite name="golden" {counts}>', *tests,
                          "</testsuite>\n"])


def check(port, level=None, case=None, pack=None, precision="float32", expect_fail=(), complete=False, diagnose=True):
    """Compare what a port computed with the pack, and say which known mistake explains what departs.

        from minconvbert.golden import check
        report = check("my_port/")                 # a folder of CASE.safetensors, CASE.npz or CASE/NAME.npy
        report = check({"op.linear": {"acts.out": y}})
        report = check(my_port, level="op")        # my_port(golden) -> {name: array}; see golden.given, golden.manifest
        assert report.ok, report
        report["op.linear"].first, report["op.linear"].diagnosis, report.mistakes

    Any subset of cases and tensors will do: what is missing is said, and is no mistake unless `complete` is set.
    `level`: one of LEVELS, or several; "backward" means the gradients of all of them. `case`: an id, or several.
    `pack`: a folder, default the pack that comes with the package. `precision`: what the port computed in, float64,
    float32, float16 or bfloat16: tolerances follow. `expect_fail`: ids of cases that are known to be wrong.

    An error is max|port - truth| / scale over the tolerance, so right is at most 1; scale is the largest truth.
    Raises ValueError for an unknown level, case or precision, and for a damaged pack.
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
    reports = [check_case(golden, found.get(id, {}), names[id], precision, diagnose) for id, golden in chosen.items()]
    right = {id: [row.name for row in report.compared] for id, report in zip(chosen, reports) if not report.wrong}
    for report in reports:
        report.expected_to_fail = report.id in expect_fail
        for diagnosis in report.diagnosis.chain() if report.diagnosis else []:
            rule_out(diagnosis, goldens, right, precision)
    return Report(reports, notes, complete)


def _several(value):
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def _known(what, values, known):
    for value in values:
        if value not in known:
            near = list(known) if len(known) < 10 else get_close_matches(str(value), known, 4, 0)
            others = f" or {len(known) - len(near)} others" if len(near) < len(known) else ""
            raise ValueError(f"{what} must be one of {', '.join(near)}{others}, but is {value!r}")


def _called(port, goldens):
    found, notes = {}, []
    for id, golden in goldens.items():
        try:
            found[id] = port(golden) or {}
        except NotImplementedError:
            continue                                        # the port has not come that far
        except Exception as error:
            notes.append(f"{id}: the port raised {type(error).__name__}: {error}")
    return found, notes


def check_case(golden, arrays, names=None, precision="float32", diagnose=True):
    """-> CaseReport of the tensors of one case; `names`: of these alone"""
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
            row.note = f"{row.note}{'; ' * bool(row.note)}handed in as {theirs}"
        rows.append(row)
        if usable_array is not None:
            usable[name] = usable_array
    others = golden.truth.keys() - set(names)
    rows += [Row(name, "extra", note="no tensor of this case has this name") for name in extra if name not in others]
    report = CaseReport(golden.id, golden.level, golden.manifest["purpose"], rows)
    if diagnose and any(row.status == "departs" for row in rows) and golden.id in CASES:
        report.diagnosis = diagnose_case(golden, usable, precision)
    return report


def _compare(golden, name, array, precision):
    """-> the row of a tensor; the array in the shape of the truth, or None if it cannot be compared"""
    truth = golden.truth[name]
    kinds, wanted = ("iub", "integers") if truth.dtype.kind == "i" else ("f", "floats")
    if array.dtype.kind not in kinds:
        return Row(name, "wrong dtype", note=f"must be {wanted}, but is {array.dtype}"), None
    if array.shape != truth.shape:
        shapes = f"must be {truth.shape}, but is {array.shape}"
        if wanted == "integers" and array.ndim == truth.ndim:
            return Row(name, "departs", note=shapes), array        # a text in other tokens: a mistake may explain it
        # Heads split or not, axes of one kept or not: the numbers lie in the same order.
        if array.size != truth.size or array.ndim == truth.ndim or not _regrouped(array.shape, truth.shape):
            return Row(name, "wrong shape", note=shapes), None
        array = array.reshape(truth.shape)
    if wanted == "integers":
        wrong = int((array != truth).sum())
        note = f"{wrong} of {truth.size} differ" if wrong else ""
        return Row(name, "departs" if wrong else "ok", float(wrong), note), array
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        return Row(name, "not finite", note=f"nan or infinity in {count} of {array.size} places"), None
    error = min(float(np.abs(array - truth).max(initial=0)) / _allowed(golden, name, precision), 1e99)
    return Row(name, "ok" if error <= 1 else "departs", error), array


def _regrouped(shape, wanted):
    """Do two shapes differ only by neighbouring axes taken together, or by axes of one?"""
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


def _allowed(golden, name, precision="float32"):
    entry = golden.tensors[name]
    return entry["scale"] * entry["tolerance"] * PRECISIONS[precision]


def diagnose_case(golden, arrays, precision="float32", given_mistakes=(), depth=3):
    """Re-run the case with each mistake of the catalogue: which reproduces what the port computed?

    All tensors before the first that departs are right, so a run from what went in is a run from them. A mistake must
    leave those as they are and reproduce the first that departs; among several, those that reproduce the longest
    stretch after it remain.
    """
    order = [name for name in golden.truth if name in arrays]
    base = golden.truth if not given_mistakes else run_with(golden, tuple(given_mistakes))
    distance = {name: _distance(golden, name, arrays[name], base.get(name), precision) for name in order}
    departing = [name for name in order if distance[name] > 1]
    if not departing:
        return None
    candidates = {}
    for mistake in possible(golden.id):
        mistaken = None if mistake in given_mistakes else run_with(golden, (*given_mistakes, mistake))
        if mistaken is None:
            continue
        fits = lambda name, mistaken=mistaken: _reproduces(
            golden, name, arrays[name], mistaken.get(name), distance[name], precision)
        if not fits(departing[0]):                          # as nearly every mistake: the rest need not be compared
            continue
        reproduced = [fits(name) for name in order]
        length = reproduced.index(False) if False in reproduced else len(order)
        if length > order.index(departing[0]):
            candidates[mistake] = length, sum(fit for name, fit in zip(order, reproduced) if name in departing)
    if not candidates:
        return Diagnosis([], 0, len(departing))
    best = max(candidates.values())
    mistakes = [mistake for mistake, found in candidates.items() if found == best]
    complete, then = best[0] == len(order), None
    if not complete and len(mistakes) == 1 and depth > 1:
        then = diagnose_case(golden, arrays, precision, (*given_mistakes, mistakes[0]), depth - 1)
        then = then if then and then.mistakes else None
    return Diagnosis(mistakes, best[1], len(departing), complete or bool(then and then.complete), then)


def rule_out(diagnosis, goldens, right, precision="float32"):
    """Of several mistakes that fit, drop those that would show in a case that is right, unless all would.

    `right`: {case: names of the tensors that were compared}
    """
    def would_show(mistake, id):
        golden, mistaken = goldens[id], run_with(goldens[id], (mistake,))
        return mistaken is not None and any(
            _distance(golden, name, golden.truth[name], mistaken.get(name), precision) > 1 for name in right[id])

    if len(diagnosis.mistakes) > 1:
        shown = {mistake: next((id for id in right if mistake in goldens[id].manifest["catches"]
                                and would_show(mistake, id)), None) for mistake in diagnosis.mistakes}
        if None in shown.values():
            diagnosis.mistakes = [mistake for mistake, id in shown.items() if id is None]
            diagnosis.ruled_out = {mistake: id for mistake, id in shown.items() if id is not None}


def _distance(golden, name, array, wanted, precision):
    """The error in units of the tolerance, measured against another run of the reference."""
    if wanted is None or np.size(wanted) != array.size:
        return np.inf
    wanted = np.reshape(wanted, array.shape)                # a mistake may split or join axes
    if wanted.dtype.kind == "i" or "tolerance" not in golden.tensors[name]:
        return float((array != wanted).sum()) * 1e6
    if not np.isfinite(wanted).all():
        return np.inf
    larger = max(1.0, float(np.abs(wanted).max(initial=0)) / golden.tensors[name]["scale"])
    return float(np.abs(array - wanted).max(initial=0)) / (_allowed(golden, name, precision) * larger)


def _reproduces(golden, name, array, wanted, distance, precision):
    # Noise may grow in a mistaken model: some more is allowed where the mistake explains nearly all of a departure.
    left = _distance(golden, name, array, wanted, precision)
    return left <= 1 or left <= 8 and left <= 0.05 * distance


@lru_cache(maxsize=512)
def run_with(golden, mistakes):
    """What the reference gives for a case with these mistakes, in float64; None where they cannot be made."""
    return rerun(golden.id, golden.given, mistakes)
