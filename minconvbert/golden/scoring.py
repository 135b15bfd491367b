"""Plant every mistake of the catalogue, one at a time: which cases catch it, at which tensor, and is it named?"""

from dataclasses import dataclass

import numpy as np

from .checker import Diagnosis, check_case, rule_out, run_with
from .mistakes import MISTAKES, possible, rerun
from .pack import HERE, as_float, read_pack


@dataclass
class Line:
    """How one mistake fares: {case that catches it: (first tensor to depart, what is named or None, all that fit)}."""

    mistake: str
    caught: dict

    @property
    def named(self):
        return any(named == self.mistake for _, named, _ in self.caught.values())

    @property
    def misnamed(self):
        """Cases in which another mistake is named."""
        return [case for case, (_, named, _) in self.caught.items() if named not in (None, self.mistake)]

    @property
    def verdict(self):
        if self.misnamed:
            return f"WRONGLY NAMED in {', '.join(self.misnamed)}"
        if self.named or not self.caught:
            return "named" if self.named else "MISSED"
        fits = dict.fromkeys(mistake for _, _, fits in self.caught.values() for mistake in fits)
        return "; or ".join(fits) or "not named"

    @property
    def at(self):
        """The three simplest cases that catch it, each with the first tensor to depart."""
        places = [f"{case}: {tensor}" for case, (tensor, _, _) in self.caught.items()]
        return "; ".join(places[:3] + [f"{len(places) - 3} more"] * (len(places) > 3))


@dataclass
class Score:
    """The lines of all mistakes, in each precision: {"float64": {mistake: Line}, "float32": ...}."""

    lines: dict

    @property
    def ok(self):
        """All caught, nine in ten named, none misnamed, in either precision."""
        return all(all(line.caught and not line.misnamed for line in lines.values())
                   and sum(line.named for line in lines.values()) >= 0.9 * len(lines) for lines in self.lines.values())

    def summary(self):
        return "\n".join(
            f"{precision}: {sum(bool(line.caught) for line in lines.values())} of {len(lines)} mistakes caught,"
            f" {sum(line.named for line in lines.values())} named,"
            f" {sum(bool(line.misnamed) for line in lines.values())} named wrongly"
            for precision, lines in self.lines.items())

    def rows(self):
        """(mistake, where it is caught in the first precision, verdict in each)"""
        first = next(iter(self.lines.values()))
        return [(mistake, line.at, *(lines[mistake].verdict for lines in self.lines.values()))
                for mistake, line in first.items()]

    def __str__(self):
        return "\n".join([*("   ".join(row) for row in self.rows()), self.summary()])

    def markdown(self):
        """The table for the repository."""
        head = f"""# Every mistake, planted

{"".join(f"* {line}{chr(10)}" for line in self.summary().splitlines())}
`python -m minconvbert golden score --write FILE` makes this table. It plants every mistake of the catalogue, one at a
time, in every case, and checks what the package then computes. Caught by: the three simplest cases that do, each with
the first tensor to depart, and how many more do.

| mistake | caught by, at | {" | ".join(self.lines)} |
|---|---|{"---|" * len(self.lines)}
"""
        return head + "".join(f"| {' | '.join(row)} |\n" for row in self.rows())


def score(mistakes=None, precisions=("float64", "float32"), pack=HERE):
    """Plant each mistake (default: all) in each case and check what the reference then computes.   -> Score

    The planted port runs in the precision named; tolerances are those of float32 for both.
    """
    goldens = read_pack(pack)
    reports = {precision: {mistake: {} for mistake in (MISTAKES if mistakes is None else mistakes)}
               for precision in precisions}
    for id, golden in goldens.items():                      # case by case: `run_with` keeps its runs with mistakes
        for precision, by_mistake in reports.items():
            for mistake in possible(id):
                if mistake in by_mistake and (port := mistaken_port(golden, mistake, precision)):
                    by_mistake[mistake][id] = check_case(golden, port)
    return Score({precision: {mistake: _line(mistake, by_case, goldens) for mistake, by_case in by_mistake.items()}
                  for precision, by_mistake in reports.items()})


def _line(mistake, reports, goldens):
    right = {id: list(golden.truth) for id, golden in goldens.items() if id not in reports or not reports[id].wrong}
    caught = {}
    for id, report in reports.items():
        if report.wrong:
            if report.diagnosis:
                rule_out(report.diagnosis, goldens, right)
            diagnosis = report.diagnosis or Diagnosis([], 0, 0)
            caught[id] = report.first, diagnosis.named, diagnosis.mistakes
    return Line(mistake, caught)


def mistaken_port(golden, mistake, precision="float32"):
    """What a port that makes this mistake hands in; None if the mistake cannot be made in this case."""
    if precision == "float64":
        found = run_with(golden, (mistake,))
    else:
        found = rerun(golden.id, as_float(golden.given, np.dtype(precision)), (mistake,))
    return found and {name: found[name] for name in golden.truth if name in found}
