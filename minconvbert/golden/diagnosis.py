"""Find the known mistake that reproduces a port's numbers, by running the reference with each mistake, case by case.

A mistake is *named* if it alone reproduces every number of a case, and if more cases speak for it than against it. A
case speaks against a mistake that would show in it, if the case is right, or wrong in another way.
"""

from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from .mistakes import IN_SINGLE, RANGES, is_forward, possible, rerun
from .pack import as_float, is_gradient
from .trace import BY_HAND, BY_TAPE
from .wholes import CASES

# The factor on the tolerance for a port of another precision than float32.
PRECISIONS = {"float64": 2.0**-26, "float32": 1.0, "float16": 2.0**13, "bfloat16": 2.0**16}
# A mistake is no longer tried if this many more cases speak against it than for it.
HOPELESS = 3
# A mistake is excluded without a run if it departs by this many tolerances where the port is right.
CLEARLY = 8
# A value is known if the next smaller value gives numbers that differ by this many tolerances.
FIXED = 20
DEEPEST = 3
_IN_RANGES = {mistake for _, values in RANGES for mistake in values}       # all are tried, for a complete range


@dataclass
class Diagnosis:
    """Which mistakes reproduce the port's numbers.

    If exactly one reproduces every departing number, it is *named*. If several do, the numbers cannot distinguish
    them. A mistake that explains only a part is listed, not named.
    """

    mistakes: list
    explained: int             # how many departing tensors they reproduce
    departing: int
    complete: bool = False     # whether this, with what is found beyond it, gives every number of the port
    then: "Diagnosis | None" = None   # the diagnosis of what these mistakes do not explain
    gradients: str | None = None      # BY_TAPE if the port's gradients follow from its mistaken forward pass
    sharp: bool = True                # whether the numbers determine their value, if they have one
    ruled_out: dict = field(default_factory=dict)   # {mistake that also fits: the reason why it was ruled out}
    against: set = field(default_factory=set)       # mistakes that would show here, but do not

    @property
    def named(self):
        if not self.complete or not self.mistakes:
            return None
        return self.range or (self.mistakes[0] if len(self.mistakes) == 1 else None)

    @property
    def range(self):
        """A text for mistakes that differ only in a value that the numbers do not determine; None for others."""
        for text, values in RANGES:
            fits = {value for mistake, value in values.items() if mistake in self.mistakes}
            if fits and len(fits) == len(self.mistakes) and (len(fits) > 1 or not self.sharp):
                ordered = ["", *sorted(values.values(), key=float), ""]
                at = [i for i, value in enumerate(ordered) if value in fits]
                low, high = ordered[at[0] - 1], ordered[at[-1] + 1]
                return text.format(f"from {low} to {high}" if low and high else
                                   f"at least {low}" if low else f"at most {high}")
        return None

    def __str__(self):
        if not self.mistakes:
            text = "no mistake of the catalogue explains these numbers"
        elif self.range:
            text = f"“{self.range}” reproduces {self.explained} of {self.departing} departing tensors"
        else:
            text = " or ".join(f"“{mistake}”" for mistake in self.mistakes[:4])
            if len(self.mistakes) > 4:
                text += f" or {len(self.mistakes) - 4} others"
            text += f" reproduces {self.explained} of {self.departing} departing tensors"
        if self.gradients == BY_TAPE:
            text += ", with the gradients that follow from it"
        for mistake, why in self.ruled_out.items():
            text += f"; “{mistake}” also gives these numbers, but {why}"
        if self.then:
            return f"{text}; beyond that, {self.then}"
        if self.complete or not self.mistakes:
            return text
        return f"{text}, and no mistake of the catalogue explains the rest"

    def chain(self):
        """This diagnosis, the diagnosis of what it does not explain, and so on."""
        return [self, *(self.then.chain() if self.then else [])]

    def to_dict(self):
        plain = {name: value for name, value in vars(self).items() if name != "against"}
        return plain | dict(named=self.named, then=self.then and self.then.to_dict())


class Evidence:
    """The arrays that a port handed in for one case, in the shapes of the pack."""

    def __init__(self, golden, arrays, precision="float32"):
        self.golden, self.arrays, self.precision = golden, arrays, precision
        self.order = [name for name in golden.truth if name in arrays]
        self.has_gradients = any(map(is_gradient, self.order))
        self.distances = {name: self.distance(name, golden.truth[name]) for name in self.order}
        self.departing = [name for name in self.order if self.distances[name] > 1]

    def allowed(self, name):
        entry = self.golden.tensors[name]
        return entry["scale"] * entry["tolerance"] * PRECISIONS[self.precision]

    def distance(self, name, wanted, array=None):
        """The error, in tolerances, of what the port handed in, or of `array`, against another run."""
        array = self.arrays[name] if array is None else array
        if np.size(wanted) != array.size:
            return np.inf
        wanted = np.reshape(wanted, array.shape)            # a mistake may split or join axes
        seen = np.broadcast_to(self.golden.seen_places(name), array.shape)
        array, wanted = array[seen], wanted[seen]
        if wanted.dtype.kind == "i" or "tolerance" not in self.golden.tensors[name]:
            return float((array != wanted).sum()) * 1e6
        if not np.isfinite(wanted).all():
            return np.inf
        larger = max(1.0, float(np.abs(wanted).max(initial=0)) / self.golden.tensors[name]["scale"])
        return float(np.abs(array - wanted).max(initial=0)) / (self.allowed(name) * larger)

    def reproduced(self, name, run, distances):
        """Whether a run gives this tensor; None if this says nothing.   distances: of tensors explained so far"""
        # In a run, scores are what the softmax reads. In a port they may be the output of the map before it, which is
        # right.
        if name not in run or _are_scores(name) and self.distances[name] <= 1:
            return None
        # Noise may grow in a mistaken model, so more is allowed if a mistake explains nearly all of a departure.
        left = self.distance(name, run[name])
        return left <= 1 or left <= CLEARLY and left <= 0.05 * distances[name]

    def agrees(self, run):
        """Whether a run gives everything that was handed in."""
        return all(self.reproduced(name, run, self.distances) is not False for name in self.order)

    def is_sharp(self, mistake, way):
        """Whether the numbers determine a mistake's value: the next smaller value gives clearly different numbers."""
        for _, values in RANGES:
            if mistake in values:
                ordered = sorted(values, key=lambda name: float(values[name]))
                at = ordered.index(mistake)
                one, other = (way.run(self.golden, name) for name in (mistake, ordered[at - 1]))
                return at > 0 and any(self.distance(name, other[name], one[name]) > FIXED for name in self.order)
        return True

    def shows(self, run, names):
        """Whether a run departs from the truth at one of these tensors."""
        truth = self.golden.truth
        return any(self.distance(name, run[name], truth[name]) > 1 for name in names if name in run)


@dataclass(frozen=True)
class Way:
    """How a mistaken run is made: its kind of gradients, its precision, and the other mistakes that it has."""

    gradients: str | None = BY_HAND
    dtype: str = "float64"
    before: tuple = ()

    def run(self, golden, mistake=None):
        return run_with(golden, (*self.before, *([mistake] if mistake else [])), self.gradients, self.dtype)

    def beyond(self, mistake):
        return Way(self.gradients, self.dtype, (*self.before, mistake))


@lru_cache(maxsize=512)
def run_with(golden, mistakes, gradients=BY_HAND, dtype="float64"):
    """What the reference computes for a case with these mistakes; None if they cannot be made there."""
    return rerun(golden.id, as_float(golden.given, np.dtype(dtype)), mistakes, gradients)


def _ways(evidence, mistake, way):
    """The ways in which a port that makes this mistake, after those of `way`, may have computed its numbers."""
    if way.before:
        return [way]
    plain = Way(BY_HAND if evidence.has_gradients else None)
    by_tape = evidence.has_gradients and is_forward(mistake) and CASES[evidence.golden.id].has_gradients
    return [plain, *([Way(BY_TAPE)] if by_tape else []), *([Way(dtype="float32")] if mistake in IN_SINGLE else [])]


def diagnose_case(evidence, skip=(), way=None, depth=DEEPEST):
    """Run the case with each mistake of the catalogue except those of `skip`, and compare with the port's numbers.

    All tensors before the first that departs are right, so a run from the inputs passes through them. A mistake must
    leave these as they are and reproduce the first that departs. If several do, those that reproduce the longest
    stretch after it are kept. After one mistake, a second and a third are searched in the same way.
    """
    way, golden, order = way or Way(), evidence.golden, evidence.order
    distances = evidence.distances
    if way.before:
        base = way.run(golden)
        distances = {name: evidence.distance(name, base[name]) if name in base else distances[name] for name in order}
    departing = [name for name in order if distances[name] > 1]
    if not departing:
        return None
    found, against = {}, set()
    for mistake in _candidates(evidence, departing[0], distances, against):
        if mistake in skip or mistake in way.before:
            continue
        for how in _ways(evidence, mistake, way):
            run = how.run(golden, mistake)
            if run is None:
                continue
            first = next((name for name in departing if name in run), departing[0])
            if not evidence.reproduced(first, run, distances):
                if evidence.shows(run, order[: order.index(first) + 1]):
                    against.add(mistake)
                if not is_gradient(first) and mistake not in IN_SINGLE:
                    break                                    # the forward pass of the other ways is the same
                continue
            fits = [evidence.reproduced(name, run, distances) for name in order]
            length = fits.index(False) if False in fits else len(order)
            if length > order.index(first):
                explained = sum(bool(fit) for name, fit in zip(order, fits) if name in departing)
                found[mistake] = max(found.get(mistake, (0, 0, None)), (length, explained, how), key=lambda f: f[:2])
    if not found:
        return Diagnosis([], 0, len(departing), against=against)
    length, explained, how = max(found.values(), key=lambda f: f[:2])
    mistakes = [mistake for mistake, f in found.items() if f[:2] == (length, explained)]
    complete, then = length == len(order), None
    sharp = evidence.is_sharp(mistakes[0], how)
    if not complete and len(mistakes) == 1 and depth > 1:
        then = diagnose_case(evidence, skip, how.beyond(mistakes[0]), depth - 1)
        then = then if then and then.mistakes else None
    return Diagnosis(mistakes, explained, len(departing), complete or bool(then and then.complete), then,
                     how.gradients, sharp, against=against - found.keys())


def _candidates(evidence, first, distances, against):
    """The mistakes that may explain the first tensor that departs.

    The pack says where each mistake shows first, and by how many tolerances of float32. A mistake that shows clearly
    where the port is right is added to `against`. In float64, mistakes that are too small for float32 may also show.
    """
    golden, scale, chosen = evidence.golden, PRECISIONS[evidence.precision], []
    places, catches = {name: i for i, name in enumerate(golden.truth)}, golden.manifest["catches"]
    for mistake in catches if scale >= 1 else possible(golden.id):
        tensor, error = catches.get(mistake, (None, 0))
        if tensor and places[tensor] > places[first] and (scale >= 1 or distances[first] * scale > CLEARLY):
            continue
        right = tensor not in (None, first) and distances.get(tensor, 2) <= 1 and not _are_scores(tensor)
        if right and error > CLEARLY * scale:
            against.add(mistake)
        else:
            chosen.append(mistake)
    return chosen


def _are_scores(name):
    return name.startswith("acts.") and name.endswith("scores")


def diagnose(evidences):
    """-> {case: Diagnosis} of the cases that are wrong, with the evidence of all other cases."""
    wrong = [id for id, evidence in evidences.items() if evidence.departing and id in CASES]
    wrong.sort(key=lambda id: "degenerate" in evidences[id].golden.manifest)
    found, votes, known = {}, Counter(), {}
    for id in wrong:
        hopeless = {mistake for mistake, vote in votes.items() if vote <= -HOPELESS} - _IN_RANGES
        found[id] = _from_known(evidences[id], known) or diagnose_case(evidences[id], hopeless)
        votes.update(mistake for part in found[id].chain() for mistake in part.mistakes)
        votes.subtract(found[id].against)
        if found[id].complete:
            known |= {mistakes: found[id].gradients for mistakes in _tuples(found[id])}
    settle(found, evidences, lambda id, skip: diagnose_case(evidences[id], skip))
    return found


def _tuples(diagnosis):
    """The mistakes of a complete diagnosis: a tuple for each alternative at its end."""
    chain = diagnosis.chain()
    return [(*(part.mistakes[0] for part in chain[:-1]), last) for last in chain[-1].mistakes]


def _from_known(evidence, known):
    """A diagnosis by the mistakes that explained an earlier case completely; None if they do not explain this case."""
    golden, complete = evidence.golden, []
    for mistakes, gradients in known.items():
        for way in dict.fromkeys([Way(gradients, before=mistakes), *(
                Way(how.gradients, how.dtype, mistakes) for how in _ways(evidence, mistakes[0], Way()))]):
            run = way.run(golden)
            if run and evidence.agrees(run):
                complete.append((mistakes, way))
                break
    if not complete:
        return None
    mistakes, way = min(complete, key=lambda found: len(found[0]))
    others = [alternative[-1] for alternative, _ in complete if alternative[:-1] == mistakes[:-1]]
    return _as_chain(evidence, mistakes, others, way, ())


def _as_chain(evidence, mistakes, others, way, before):
    here = Way(way.gradients, way.dtype, before)
    run, base = here.run(evidence.golden, mistakes[0]), here.run(evidence.golden) if before else evidence.golden.truth
    distances = {name: evidence.distance(name, base[name]) if name in base else 0.0 for name in evidence.order}
    departing = [name for name in evidence.order if distances[name] > 1]
    explained = sum(bool(evidence.reproduced(name, run, distances)) for name in departing)
    then = _as_chain(evidence, mistakes[1:], others, way, (*before, mistakes[0])) if len(mistakes) > 1 else None
    return Diagnosis([mistakes[0]] if then else others, explained, len(departing), True, then, way.gradients,
                     evidence.is_sharp(mistakes[0], here))


def settle(found, evidences, again):
    """Weigh the diagnoses of all cases against each other, in place; `again(id, skip)` diagnoses a case once more.

    If several mistakes explain a case, those that another case speaks against are ruled out. A name is withdrawn if at
    least as many cases speak against it as for it, or if only degenerate cases speak for it. The cases that named it
    are then diagnosed again without it.
    """
    withdrawn = set()
    while fallen := _fallen(found, evidences):
        withdrawn |= {mistake for mistakes, _ in fallen.values() for mistake in mistakes}
        for id, diagnosis in list(found.items()):
            if named := fallen.keys() & {part.named for part in diagnosis.chain()}:
                found[id] = again(id, withdrawn)
                found[id].ruled_out |= {name: fallen[name][1] for name in named}


def _rule_out(part, found, evidences):
    if len(part.mistakes) < 2 or part.range:
        return
    speaks = {mistake: next(_against([mistake], found, evidences), None) for mistake in part.mistakes}
    if None in speaks.values():
        part.ruled_out |= {mistake: why for mistake, why in speaks.items() if why}
        part.mistakes = [mistake for mistake, why in speaks.items() if not why]
    named = {other.named for diagnosis in found.values() for other in diagnosis.chain()} & set(part.mistakes)
    if len(named) == 1 < len(part.mistakes):
        part.mistakes = list(named)                          # other cases name it, and it explains this case


def _fallen(found, evidences):
    """{name to withdraw: (its mistakes, the reason)}, after ruling out the mistakes that other cases speak against"""
    for diagnosis in found.values():
        for part in diagnosis.chain():
            _rule_out(part, found, evidences)
    support = {}
    for id, diagnosis in found.items():
        for part in diagnosis.chain():
            if part.named:
                support.setdefault((part.named, tuple(part.mistakes)), []).append(id)
    degenerate = {id for id, evidence in evidences.items() if "degenerate" in evidence.golden.manifest}
    fallen = {}
    for (name, mistakes), ids in support.items():
        elsewhere = any(mistake in evidences[id].golden.manifest["catches"] for id in evidences.keys() - degenerate
                        for mistake in mistakes)
        against = list(_against(mistakes, found, evidences, len(ids)))
        if len(against) >= len(ids):
            fallen[name] = mistakes, against[0]
        elif degenerate.issuperset(ids) and elsewhere:
            reason = evidences[ids[0]].golden.manifest["degenerate"]
            fallen[name] = mistakes, f"{ids[0]} alone cannot name it: {reason}"
    return fallen


def _against(mistakes, found, evidences, most=1):
    """A sentence for each of up to `most` cases that speak against every one of these mistakes."""
    for id, evidence in evidences.items():
        if most and all(_speaks_against(mistake, found.get(id), evidence) for mistake in mistakes):
            most -= 1
            yield f"it would show in {id}, which is {'wrong in another way' if id in found else 'right'}"


def _speaks_against(mistake, diagnosis, evidence):
    """Whether a mistake would show in a case that is right, or that is wrong and explained without it."""
    if mistake not in evidence.golden.manifest["catches"]:
        return False
    if diagnosis is None:
        return bool(evidence.order) and _would_show(mistake, evidence)
    if any(mistake in part.mistakes for part in diagnosis.chain()):
        return False
    if mistake in diagnosis.against:
        return True
    return diagnosis.complete and _would_show(mistake, evidence) and not _explains(mistake, evidence)


def _explains(mistake, evidence):
    """Whether a mistake gives all numbers of a wrong case. It may be untried, because another was found first."""
    runs = [way.run(evidence.golden, mistake) for way in _ways(evidence, mistake, Way())] if evidence.departing else []
    return any(run and evidence.agrees(run) for run in runs)


def _would_show(mistake, evidence):
    tensor, _ = evidence.golden.manifest["catches"][mistake]
    if tensor in evidence.arrays and evidence.precision == "float32":
        return True
    run = run_with(evidence.golden, (mistake,), BY_HAND if evidence.has_gradients else None)
    return run is not None and evidence.shows(run, evidence.order)
