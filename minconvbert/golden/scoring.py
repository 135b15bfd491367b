"""Plant every mistake of the catalogue, one at a time, and report which cases catch it and whether it is named."""

from dataclasses import dataclass

from .diagnosis import Evidence, diagnose_case, run_with, settle
from .mistakes import MISTAKES, is_forward, possible
from .pack import HERE, read_pack
from .trace import BY_HAND, BY_TAPE
from .wholes import CASES

# Kinds of ports: {name: (kind of gradients, precision)}
KINDS = {"float64": (BY_HAND, "float64"), "float32": (BY_HAND, "float32"), "autograd": (BY_TAPE, "float64")}


@dataclass
class Line:
    """The result of one mistake: {case that catches it: (first departing tensor, named mistake or None, all that fit)}.

    A range of values is a right name if it contains the mistake's value.
    """

    mistake: str
    caught: dict

    @property
    def named(self):
        return any(named and self.mistake in fits for _, named, fits in self.caught.values())

    @property
    def misnamed(self):
        """Cases in which another mistake is named."""
        return [case for case, (_, named, fits) in self.caught.items() if named and self.mistake not in fits]

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
        rest = [f"{len(places) - 3} more"] if len(places) > 3 else []
        return "; ".join(places[:3] + rest)


@dataclass
class Score:
    """The lines of all mistakes that each kind of port can make: {"float64": {mistake: Line}, "float32": ...}."""

    lines: dict

    @property
    def ok(self):
        """Whether all are caught, nine in ten are named, and none is misnamed, in every kind of port."""
        return all(all(line.caught and not line.misnamed for line in lines.values())
                   and sum(line.named for line in lines.values()) >= 0.9 * len(lines) for lines in self.lines.values())

    def summary(self):
        return "\n".join(
            f"{kind}: {sum(bool(line.caught) for line in lines.values())} of {len(lines)} mistakes caught,"
            f" {sum(line.named for line in lines.values())} named,"
            f" {sum(bool(line.misnamed) for line in lines.values())} named wrongly"
            for kind, lines in self.lines.items())

    def rows(self):
        """(mistake, where the first kind of port is caught, verdict in each)"""
        first = next(iter(self.lines.values()))
        return [(mistake, line.at, *(lines[mistake].verdict if mistake in lines else "" for lines in
                                     self.lines.values())) for mistake, line in first.items()]

    def __str__(self):
        return "\n".join([*("   ".join(row) for row in self.rows()), self.summary()])

    def markdown(self):
        """The table for the repository."""
        head = f"""# Every mistake, planted

{"".join(f"* {line}{chr(10)}" for line in self.summary().splitlines())}
`python -m minconvbert golden score --write FILE` makes this table. It plants every mistake of the catalogue, one at a
time, in every case, and checks what the package then computes. The second column lists the three simplest cases that
catch the mistake, each with the first tensor that departs, and the number of further cases that catch it.

`float64` and `float32` are ports with a backward pass of their own, which is right if the mistake is in the forward
pass. `autograd` is a port whose gradients follow from its forward pass, so it makes no mistakes of the backward pass.

| mistake | caught by, at | {" | ".join(self.lines)} |
|---|---|{"---|" * len(self.lines)}
"""
        return head + "".join(f"| {' | '.join(row)} |\n" for row in self.rows())


def score(mistakes=None, kinds=tuple(KINDS), pack=HERE):
    """Plant each mistake (default: all) in each case and check what the reference then computes.   -> Score

    Tolerances are those of float32 for all kinds of ports.
    """
    goldens = read_pack(pack)
    chosen = {kind: {mistake: {} for mistake in (MISTAKES if mistakes is None else mistakes)
                     if KINDS[kind][0] == BY_HAND or is_forward(mistake)} for kind in kinds}
    for id, golden in goldens.items():                      # case by case, because `run_with` keeps its last runs
        for kind, diagnoses in chosen.items():
            for mistake in possible(id):
                if mistake in diagnoses and (evidence := _evidence(golden, mistake, kind)) and evidence.departing:
                    diagnoses[mistake][id] = evidence.departing[0], diagnose_case(evidence)
    right = {id: Evidence(golden, golden.truth) for id, golden in goldens.items()}
    return Score({kind: {mistake: _line(mistake, kind, found, right) for mistake, found in diagnoses.items()}
                  for kind, diagnoses in chosen.items()})


def _evidence(golden, mistake, kind):
    port = mistaken_port(golden, mistake, *KINDS[kind])
    return port and Evidence(golden, port)


def _line(mistake, kind, found, right):
    firsts = {id: first for id, (first, _) in found.items()}
    diagnoses = {id: diagnosis for id, (_, diagnosis) in found.items()}
    settle(diagnoses, right, lambda id, skip: diagnose_case(_evidence(right[id].golden, mistake, kind), skip))
    return Line(mistake, {id: (firsts[id], diagnosis.named, [m for part in diagnosis.chain() for m in part.mistakes])
                          for id, diagnosis in diagnoses.items()})


def mistaken_port(golden, mistake, gradients=BY_HAND, dtype="float32"):
    """The tensors of a port that makes this mistake; None if the mistake cannot be made in this case."""
    gradients = gradients if CASES[golden.id].has_gradients else BY_HAND
    found = run_with(golden, (mistake,), gradients, dtype)
    return found and {name: found[name] for name in golden.truth if name in found}
