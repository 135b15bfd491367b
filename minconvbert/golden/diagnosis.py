"""Which known mistake reproduces a port's numbers? The reference is run with each, case by case.

A mistake is *named* if it alone reproduces every number of a case, and if no more cases speak against it than for it:
cases in which it would show, but which are right, or wrong in another way.
"""

from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from .mistakes import IN_SINGLE, RANGES, is_forward, possible, rerun
from .pack import as_float, is_gradient
from .trace import BY_HAND, BY_TAPE
from .wholes import CASES

# How much wider the tolerance is, or narrower, for what was computed in another precision than float32.
PRECISIONS = {"float64": 2.0**-26, "float32": 1.0, "float16": 2.0**13, "bfloat16": 2.0**16}
# A mistake that so many more cases speak against than for is not tried any more.
HOPELESS = 3
# A mistake that departs by this many tolerances where the port is right can be excluded without a run.
CLEARLY = 8
# A value is known if the next smaller one gives numbers that differ by so many tolerances.
FIXED = 20
DEEPEST = 3
_IN_RANGES = {mistake for _, values in RANGES for mistake in values}       # all are tried, so that a range is whole


@dataclass
class Diagnosis:
    """Which mistakes reproduce the port's numbers.

    If exactly one reproduces every departing number, it is *named*. If several do, the numbers cannot distinguish
    them. A mistake that explains only a part is listed, not named.
    """

    mistakes: list
    explained: int             # departing tensors that they reproduce
    departing: int
    complete: bool = False     # does this, with what is found beyond it, give every number that the port handed in?
    then: "Diagnosis | None" = None   # what else is wrong once these are taken for granted
    gradients: str | None = None      # BY_TAPE if the port's gradients follow from its mistaken forward pass
    sharp: bool = True                # do the numbers fix their value, if they have one?
    ruled_out: dict = field(default_factory=dict)   # {mistake that fits, too: why it is not the one}
    against: set = field(default_factory=set)       # mistakes that would show here, and do not

    @property
    def named(self):
        if not self.complete or not self.mistakes:
            return None
        return self.range or (self.mistakes[0] if len(self.mistakes) == 1 else None)

    @property
    def range(self):
        """What is said of mistakes that differ in a value only, if the numbers do not fix it; None if they do."""
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
            text += ", the gradients as they follow from it"
        for mistake, why in self.ruled_out.items():
            text += f"; “{mistake}” gives these numbers, too, but {why}"
        if self.then:
            return f"{text}; beyond that, {self.then}"
        return text if self.complete or not self.mistakes else f"{text}, and no mistake of the catalogue the rest"

    def chain(self):
        """This diagnosis, what is wrong beyond it, and so on."""
        return [self, *(self.then.chain() if self.then else [])]

    def to_dict(self):
        plain = {name: value for name, value in vars(self).items() if name != "against"}
        return plain | dict(named=self.named, then=self.then and self.then.to_dict())


class Evidence:
    """What a port handed in for one case, in the shapes of the pack."""

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
        """The error of what was handed in, or of `array`, in tolerances, measured against another run."""
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
        """Does a run give this tensor? None if that says nothing. `distances`: of what is explained so far."""
        # A run's scores are what its softmax reads. A port's may be what the map before it gives, and be right.
        if name not in run or _are_scores(name) and self.distances[name] <= 1:
            return None
        # Noise may grow in a mistaken model: some more is allowed where a mistake explains nearly all of a departure.
        left = self.distance(name, run[name])
        return left <= 1 or left <= CLEARLY and left <= 0.05 * distances[name]

    def agrees(self, run):
        """Does a run give all that was handed in?"""
        return all(self.reproduced(name, run, self.distances) is not False for name in self.order)

    def is_sharp(self, mistake, way):
        """Do the numbers fix a mistake's value to some percent? The next smaller value gives clearly others then."""
        for _, values in RANGES:
            if mistake in values:
                ordered = sorted(values, key=lambda name: float(values[name]))
                at = ordered.index(mistake)
                one, other = (way.run(self.golden, name) for name in (mistake, ordered[at - 1]))
                return at > 0 and any(self.distance(name, other[name], one[name]) > FIXED for name in self.order)
        return True

    def shows(self, run, names):
        """Would this run be seen to be wrong at one of these tensors?"""
        truth = self.golden.truth
        return any(self.distance(name, run[name], truth[name]) > 1 for name in names if name in run)


@dataclass(frozen=True)
class Way:
    """How a mistaken run is made: how it finds gradients, in which precision, after which other mistakes."""

    gradients: str | None = BY_HAND
    dtype: str = "float64"
    before: tuple = ()

    def run(self, golden, mistake=None):
        return run_with(golden, (*self.before, *([mistake] if mistake else [])), self.gradients, self.dtype)

    def beyond(self, mistake):
        return Way(self.gradients, self.dtype, (*self.before, mistake))


@lru_cache(maxsize=512)
def run_with(golden, mistakes, gradients=BY_HAND, dtype="float64"):
    """What the reference gives for a case with these mistakes; None where they cannot be made."""
    return rerun(golden.id, as_float(golden.given, np.dtype(dtype)), mistakes, gradients)


def _ways(evidence, mistake, way):
    """How a port that makes this mistake, after those of `way`, may have come to its numbers."""
    if way.before:
        return [way]
    plain = Way(BY_HAND if evidence.has_gradients else None)
    by_tape = evidence.has_gradients and is_forward(mistake) and CASES[evidence.golden.id].has_gradients
    return [plain, *([Way(BY_TAPE)] if by_tape else []), *([Way(dtype="float32")] if mistake in IN_SINGLE else [])]


def diagnose_case(evidence, skip=(), way=None, depth=DEEPEST):
    """Run the case with each mistake of the catalogue but those of `skip`: which reproduces the port's numbers?

    All tensors before the first that departs are right, so a run from what went in is a run from them. A mistake must
    leave those as they are and reproduce the first that departs; among several, those that reproduce the longest
    stretch after it remain. After one mistake, a second and a third are looked for in the same way.
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
                    break                                    # however gradients are found, the forward pass is the same
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

    The pack says where each shows first, and by how many tolerances of float32. One that shows clearly where the port
    is right is added to `against`. In float64, those that float32 does not see may show, too.
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
    """-> {case: Diagnosis} of the cases that are wrong, each seen in the light of all others."""
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
    """The mistakes of a complete diagnosis, as many tuples as there are alternatives at its end."""
    chain = diagnosis.chain()
    return [(*(part.mistakes[0] for part in chain[:-1]), last) for last in chain[-1].mistakes]


def _from_known(evidence, known):
    """A diagnosis by what explained an earlier case completely; None if that does not explain this one."""
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

    Of several mistakes in a case, those drop out that another case speaks against. A name is withdrawn if at least as
    many cases speak against it as for it, or if only degenerate cases speak for it; then the cases that named it are
    diagnosed again without it.
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
        part.mistakes = list(named)                          # other cases name it, and it explains this one


def _fallen(found, evidences):
    """{name that falls: (the mistakes that it stands for, why)}, once those that others speak against are left out"""
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
    """Why up to `most` cases speak against these mistakes, each of them: a sentence for each case."""
    for id, evidence in evidences.items():
        if most and all(_speaks_against(mistake, found.get(id), evidence) for mistake in mistakes):
            most -= 1
            yield f"it would show in {id}, which is {'wrong in another way' if id in found else 'right'}"


def _speaks_against(mistake, diagnosis, evidence):
    """Would a mistake show in a case that is right, or wrong and explained without it?"""
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
    """Does a mistake give all numbers of a case that is wrong? It may not have been tried, after another that does."""
    runs = [way.run(evidence.golden, mistake) for way in _ways(evidence, mistake, Way())] if evidence.departing else []
    return any(run and evidence.agrees(run) for run in runs)


def _would_show(mistake, evidence):
    tensor, _ = evidence.golden.manifest["catches"][mistake]
    if tensor in evidence.arrays and evidence.precision == "float32":
        return True
    run = run_with(evidence.golden, (mistake,), BY_HAND if evidence.has_gradients else None)
    return run is not None and evidence.shows(run, evidence.order)
