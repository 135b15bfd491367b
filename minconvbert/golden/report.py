"""The report of `check`: rows of tensors, cases, and all of it as a table, as JSON and as JUnit XML."""

import json
import re
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

from ..output import clipped, folded
from .diagnosis import Diagnosis

WRONG = ("departs", "wrong shape", "not finite", "wrong dtype")
# These limits make a table that is not verbose fit a screen.
MOST_ROWS, MOST_CASES, MOST_DIAGNOSES = 12, 12, 8


@dataclass
class Row:
    """One tensor: its status, its error in units of the tolerance, and a note."""

    name: str
    status: str                # "ok", "missing", "extra", or one of WRONG
    error: float | None = None
    note: str = ""

    def __str__(self):
        error = "" if self.error is None else f"{self.error:.4g}"
        return f"{self.name:<66} {error:>12}  {self.status}" + (f": {self.note}" if self.note else "")


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

    @property
    def missing(self):
        return [row for row in self.rows if row.status == "missing"]

    @property
    def worst(self):
        """The row of a right case that is nearest to its tolerance."""
        return max(self.compared, key=lambda row: row.error)

    @property
    def verdict(self):
        compared, wrong = self.compared, self.wrong
        text = "not handed in" if not compared else "wrong" if wrong else "right"
        if self.expected_to_fail:
            text += ", as expected" if wrong else ", but expected to be wrong; remove it from the expected failures"
        if compared:
            text += f": {f'{len(wrong)} of {len(compared)}' if wrong else len(compared)} tensors"
        if compared and self.missing:
            text += f", {len(self.missing)} missing"
        if compared and not wrong:
            text += f", worst {self.worst.error:.3g} tolerances at {self.worst.name}"
        return text

    def lines(self, rows=None):
        """The case as text.   rows: how many to show, from two before the first that departs; None means all"""
        lines = [f"{self.id:<28} {self.verdict}"]
        shown = [row for row in self.rows if row.status not in ("missing", "extra")]
        extra = [row.name for row in self.rows if row.status == "extra"]
        if rows is None:
            lines += [f"    {row}" for row in self.rows if row.status != "extra"]
        elif rows and self.wrong:
            start = max(0, shown.index(self.wrong[0]) - 2)
            odd = [row for row in self.wrong if row.status != "departs"][:rows]
            near = [row for row in shown[start:start + rows] if row not in odd] + odd
            lines += [f"    {row}" for row in near]
            left = len([row for row in self.wrong if row not in near])
            lines += [f"    ... and {left} more that are wrong"] if left else []
        if extra and rows != 0:
            names = ", ".join(extra[:3]) + (", ..." if len(extra) > 3 else "")
            lines.append(f"    {len(extra)} names that the case does not have: {names}")
        if self.first:
            lines.append(f"    first to depart: {self.first}")
        if self.diagnosis:
            lines.append(f"    diagnosis: {self.diagnosis}")
        return lines


@dataclass(repr=False)
class Report:
    """The result of `check`. `ok` says whether everything that was handed in is right; `str` is the table."""

    cases: list
    notes: list = field(default_factory=list)
    complete: bool = False

    @property
    def ok(self):
        return not self.failures and not self.notes and any(case.compared for case in self.cases)

    @property
    def failures(self):
        """Cases that are unexpectedly wrong, unexpectedly right, or incomplete although they must be complete."""
        return [case for case in self.cases if bool(case.wrong) != case.expected_to_fail
                or self.complete and case.missing]

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

    def __repr__(self):
        return clipped(str(self))

    def _repr_html_(self):
        return folded(str(self).split("\n")[-1], ((case.id, case.verdict) for case in self.cases))

    def table(self, verbose=False):
        """The report as text; with `verbose`, every tensor of every case."""
        if verbose:
            lines = [line for case in self.cases for line in case.lines()]
        else:
            lines = self._right_lines() + self._wrong_lines()
        lines += [f"note: {note}" for note in self.notes]
        for mistake, ids in sorted(self.mistakes.items(), key=lambda item: -len(item[1])):
            cases = "1 case" if len(ids) == 1 else f"{len(ids)} cases"
            lines.append(f"named: {mistake}   ({cases}: {some(ids, 4)})")
        tried = [case for case in self.cases if case.compared]
        right = [case for case in tried if not case.wrong]
        lines.append(f"{len(right)} of {len(tried)} cases right, {len(self.cases) - len(tried)} not handed in")
        return "\n".join(lines)

    def _right_lines(self):
        """A line for each case or, if there are many, for each level."""
        right = [case for case in self.cases if case.compared and not case.wrong]
        if len(right) <= MOST_CASES:
            return [line for case in right for line in case.lines(MOST_ROWS)]
        lines = []
        for level in dict.fromkeys(case.level for case in right):
            cases = [case for case in right if case.level == level]
            worst = max(cases, key=lambda case: case.worst.error)
            missing = sum(len(case.missing) for case in cases)
            lines.append(f"{level:<28} right: {len(cases)} cases, {sum(len(case.compared) for case in cases)} tensors,"
                         + (f" {missing} missing," if missing else "")
                         + f" worst {worst.worst.error:.3g} tolerances at {worst.id}: {worst.worst.name}")
            lines += [case.lines()[0] for case in cases if case.expected_to_fail]
        return lines

    def _wrong_lines(self):
        """The first case with its rows, some more with their diagnoses, the ids of the rest."""
        wrong = [case for case in self.cases if case.wrong]
        lines = [line for i, case in enumerate(wrong[:MOST_DIAGNOSES])
                 for line in case.lines(MOST_ROWS if i == 0 else len(case.wrong) if len(case.wrong) < 3 else 0)]
        rest = wrong[MOST_DIAGNOSES:]
        return lines + ([f"... and {len(rest)} more cases that are wrong: {some([c.id for c in rest], 6)}; say"
                         " --verbose, or --case"] if rest else [])

    __str__ = table

    def to_json(self):
        """The report as JSON text."""
        return json.dumps(dict(ok=self.ok, notes=self.notes, named=self.mistakes, cases=[dict(
            id=c.id, level=c.level, first=c.first, expected_to_fail=c.expected_to_fail,
            diagnosis=c.diagnosis and c.diagnosis.to_dict(), tensors=[vars(row) for row in c.rows])
            for c in self.cases]), indent=1, ensure_ascii=False) + "\n"

    def to_junit(self):
        """The report as JUnit XML: a test for each case, skipped if nothing was handed in; a failure for each note."""
        tests = []
        for case in self.cases:
            inner = "" if case.compared else "<skipped/>"
            if case in self.failures:
                text = f"first to depart: {case.first}. {case.diagnosis or ''}" if case.wrong else case.verdict
                body = "\n".join(case.lines(MOST_ROWS))
                inner = f"<failure message={_attribute(text)}>{escape(_printable(body))}</failure>"
            tests.append(f'  <testcase classname="golden.{case.level}" name={_attribute(case.id)}>{inner}</testcase>')
        tests += [f'  <testcase classname="golden" name="handed in"><failure message={_attribute(note)}/></testcase>'
                  for note in self.notes]
        counts = {"tests": len(tests), "failures": sum("<failure" in test for test in tests),
                  "skipped": sum("<skipped/>" in test for test in tests)}
        counted = " ".join(f'{name}="{count}"' for name, count in counts.items())
        return "\n".join(['<?xml version="1.0" encoding="utf-8"?>', f'<testsuite name="golden" {counted}>', *tests,
                          "</testsuite>\n"])


def some(names, most):
    """The first few of them, in one line."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _printable(text):
    """A text without control characters, of which XML allows only tab and line ends."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def _attribute(text):
    return quoteattr(_printable(text))
