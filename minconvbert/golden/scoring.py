"""Plant every mistake of the catalogue, one at a time: which cases catch it, at which tensor, and is it named?"""

from dataclasses import dataclass

import numpy as np

from .checker import _check_case, called, run_with
from .mistakes import MISTAKES, planted, touched
from .pack import as_float, read_pack


@dataclass
class Line:
    """How one mistake fares: {case: (first tensor to depart, the mistakes that the diagnosis leaves)}."""

    mistake: str
    caught: dict

    @property
    def named(self):
        return any(found == [self.mistake] for _, found in self.caught.values())

    @property
    def misnamed(self):
        """Cases in which another mistake alone was held responsible."""
        return [case for case, (_, found) in self.caught.items() if len(found) == 1 and found != [self.mistake]]


@dataclass
class Score:
    """The lines of all mistakes, in float64 and float32."""

    lines: dict                # {"float64": [Line ...], "float32": [...]}

    @property
    def ok(self):
        """All caught, nine in ten named, none misnamed, in either precision."""
        return all(all(line.caught for line in lines) and not any(line.misnamed for line in lines)
                   and sum(line.named for line in lines) >= 0.9 * len(lines) for lines in self.lines.values())

    def summary(self):
        return "\n".join(
            f"{precision}: {sum(bool(line.caught) for line in lines)} of {len(lines)} mistakes caught,"
            f" {sum(line.named for line in lines)} named, {sum(bool(line.misnamed) for line in lines)} named wrongly"
            for precision, lines in self.lines.items())

    def __str__(self):
        rows = [f"{'named' if line.named else 'caught' if line.caught else 'MISSED':<7} {line.mistake:<90} {len(line.caught):>2} cases  {_first(line)}"
                for line in next(iter(self.lines.values()))]
        return "\n".join([*rows, self.summary()])

    def markdown(self):
        """The table for the repository."""
        head = ["# Every mistake, planted", "", *(f"* {line}" for line in self.summary().splitlines()), "",
                "`python -m minconvbert golden score --write FILE` makes this table. Tensor: the first to depart, in the"
                " simplest case that names the mistake or, if none does, that catches it; columns in float64.", "",
                "| mistake | cases that catch it | case | first tensor to depart | diagnosis |", "|---|---|---|---|---|"]
        for line in self.lines["float64"]:
            case = _telling(line)
            tensor, found = line.caught.get(case, ("", []))
            verdict = "named" if line.named else ("one of: " + "; ".join(found) if found else "not named") if line.caught else "MISSED"
            head.append(f"| {line.mistake} | {len(line.caught)} | {case} | {tensor} | {verdict} |")
        return "\n".join(head) + "\n"


def _telling(line):
    named = [case for case, (_, found) in line.caught.items() if found == [line.mistake]]
    return next(iter(named or line.caught), "")


def _first(line):
    case = _telling(line)
    return f"{case}: {line.caught[case][0]}" if case else ""


def score(mistakes=None, precisions=("float64", "float32"), pack=None):
    """Plant each mistake (default: all) and check what the reference then computes.   -> Score

    The planted port runs in the precision named; tolerances are those of float32 for both.
    """
    goldens = read_pack() if pack is None else read_pack(pack)
    return Score({precision: [_line(mistake, goldens, precision) for mistake in mistakes or MISTAKES] for precision in precisions})


def _line(mistake, goldens, precision):
    caught = {}
    for id, golden in goldens.items():
        if not touched(mistake) & called(id):
            continue
        port = mistaken_port(golden, mistake, precision)
        if port is None:
            continue
        report = _check_case(golden, list(golden.truth), port, "float32", True)
        if report.wrong:
            caught[id] = report.first, report.diagnosis.mistakes if report.diagnosis else []
    return Line(mistake, caught)


def mistaken_port(golden, mistake, precision="float32"):
    """What a port that makes this mistake hands in; None if the mistake cannot be made in this case."""
    if precision == "float64":
        found = run_with(golden, (mistake,))
    else:
        try:
            with planted(mistake), np.errstate(all="ignore"):
                found = CASES[golden.id].run(as_float(golden.given, np.dtype(precision)))
        except (ArithmeticError, LookupError, TypeError, ValueError):
            return None
    return found and {name: found[name] for name in golden.truth if name in found}
