"""Plant every mistake of the catalogue, one at a time: which cases catch it, at which tensor, and is it named?"""

from dataclasses import dataclass

import numpy as np

from .checker import check_case, run_with
from .mistakes import MISTAKES, possible, rerun
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
        return "\n".join([*map(_as_text, next(iter(self.lines.values()))), self.summary()])

    def markdown(self):
        """The table for the repository."""
        head = ["# Every mistake, planted", "", *(f"* {line}" for line in self.summary().splitlines()), "",
                "`python -m minconvbert golden score --write FILE` makes this table. Caught by: the simplest cases that do, at"
                " most three, each with the first tensor to depart, in float64. Where the numbers of all of them fit several"
                " mistakes alike, the diagnosis says so and names none.", "",
                "| mistake | caught by, at | diagnosis |", "|---|---|---|"]
        for line in self.lines["float64"]:
            at = "; ".join(f"{case}: {tensor}" for case, (tensor, _) in line.caught.items())
            head.append(f"| {line.mistake} | {at or 'MISSED'} | {_verdict(line)} |")
        return "\n".join(head) + "\n"


def _verdict(line):
    if line.named:
        return "named"
    found = next(iter(line.caught.values()), ("", []))[1]
    return "one of: " + "; ".join(found) if found else "not named"


def _as_text(line):
    """A line of the printed table."""
    case = next(iter([c for c, (_, found) in line.caught.items() if found == [line.mistake]] or line.caught), "")
    at = f"{case}: {line.caught[case][0]}" if case else ""
    mark = "WRONG" if line.misnamed else "named" if line.named else "caught" if line.caught else "MISSED"
    return f"{mark:<7} {line.mistake:<90} {at}"


def score(mistakes=None, precisions=("float64", "float32"), at_most=3, pack=None, progress=None):
    """Plant each mistake (default: all) and check what the reference then computes.   -> Score

    Cases go from the simplest to the whole; a mistake is done with once `at_most` of them have caught it, None for all.
    The planted port runs in the precision named; tolerances are those of float32 for both.
    `progress` is called with each Line.
    """
    goldens = read_pack() if pack is None else read_pack(pack)
    score = Score({precision: [] for precision in precisions})
    for precision in precisions:
        for mistake in MISTAKES if mistakes is None else mistakes:
            caught = {}
            for id, golden in goldens.items():
                port = mistaken_port(golden, mistake, precision) if mistake in possible(id) else None
                report = port and check_case(golden, port)
                if report and report.wrong:
                    caught[id] = report.first, report.diagnosis.mistakes if report.diagnosis else []
                if len(caught) == at_most:
                    break
            score.lines[precision].append(Line(mistake, caught))
            if progress is not None:
                progress(score.lines[precision][-1])
    return score


def mistaken_port(golden, mistake, precision="float32"):
    """What a port that makes this mistake hands in; None if the mistake cannot be made in this case."""
    if precision == "float64":
        found = run_with(golden, (mistake,))
    else:
        found = rerun(golden.id, as_float(golden.given, np.dtype(precision)), (mistake,))
    return found and {name: found[name] for name in golden.truth if name in found}
