"""Compare a function with the package's, and find the first of its lines that departs."""

import ast
import inspect
import textwrap
from dataclasses import dataclass, field
from functools import partial
from itertools import permutations
from typing import NamedTuple

import numpy as np

from .attempt import attempt, attempt_on
from .exercises import case, reference, rounds, what_is_special
from .hints import hint
from .mistakes import known_mistake

_BY_MEMORY = ("its answer depends on what ran before: on this draw alone it is right. A function must depend only on"
              " its arguments")
TOLERANCE = 1e-9                                       # relative to the largest number of the results


@dataclass
class Verdict:
    """What `check` found. It prints as text, and is true if all is right.

    `marks` says for each returned array whether it is right on every draw; `credit` is the share of right arrays, from
    which partial points are computed.
    """

    exercise: str
    seed: str
    passed: bool
    message: str
    right: list = field(default_factory=list)
    wrong: str | None = None
    line: int | None = None
    hint: str | None = None
    answer: str | None = None
    credit: float = 0.0
    marks: dict = field(default_factory=dict)

    def __bool__(self):
        return self.passed

    def __repr__(self):
        lines = [f"{self.exercise}, seed {self.seed}: {self.message}"]
        for word, told in (("right", ", ".join(self.right)), ("hint", self.hint), ("answer", self.answer)):
            if told:
                first, *rest = told.splitlines()
                lines += [f"    {word:<8}{first}", *textwrap.indent("\n".join(rest), " " * 12).splitlines()]
        return "\n".join(lines)


def check(function, seed=0, name=None, answer=False):
    """Compare your function with the package's on numbers drawn from the seed: a name, a number, anything.

    The exercise is `name`, or the one that the function is named after. If something is wrong, the verdict names the
    first array that departs, with your line and a hint; with `answer`, also the package's line. Only local arrays that
    have the package's names are compared, so use its names.

    Raises ValueError if there is no such exercise.
    """
    exercise = name or getattr(function, "__name__", str(function))
    reference(exercise)
    run = partial(attempt, function, exercise, seed)
    return judge(exercise, seed, [run(number, follow=False) for number in range(rounds(exercise))], run, answer)


def judge(exercise, seed, attempts, follow, answer=False):
    """The verdict on the attempts at an exercise, one for each draw.

    `follow(number)` runs the function once more and watches its lines; it is called for the first wrong draw only.
    """
    truths = [attempt(reference(exercise), exercise, seed, number) for number in range(len(attempts))]
    marks = [_marks(mine, truth) for mine, truth in zip(attempts, truths)]
    wrong = [number for number, mine in enumerate(attempts) if mine.error or not all(marks[number].values())]
    whole = {name: not any(a.error for a in attempts) and all(m.get(name, True) for m in marks)
             for name in dict.fromkeys(name for m in marks for name in m)}
    if not wrong:
        return Verdict(exercise, str(seed), True, f"right, on {len(attempts)} draws", credit=1.0, marks=whole)
    number = wrong[0]
    mine, truth = attempts[number], truths[number]
    if mine.ended:
        followed = follow(number)
        if followed.ended and not followed.error and all(_marks(followed, truth).values()):
            return Verdict(exercise, str(seed), False, _BY_MEMORY, marks=dict.fromkeys(whole, False))
        mine = followed if followed.ended else mine
    mine = mine._replace(unread={name: own for name, own in mine.unread.items() if name not in truth.unread})
    args = case(exercise, seed, number)
    known = known_mistake(exercise, args, mine.results, _close) if mine.results else None
    fault = _first_fault(mine, truth, marks[number])
    if known and mine.seen:
        fault = _where_made(mine, truth, attempt_on(known.function, exercise, args, follow=True), fault)
    message = fault.message
    if mine.unread:
        message += f"\n    (it never reads {', '.join(mine.unread.values())})"
    if number:
        message += f"\n    (the first draw was right; in this one {what_is_special(exercise, seed, number)})"
    narrow = [(name, a.dtype) for name, a in [*((s.name, s.array) for s in mine.seen), *mine.results.items()]
              if a.dtype.kind == "f" and a.dtype.itemsize < 8]
    if narrow:
        message += f"\n    ({narrow[0][0]} is computed in {narrow[0][1]}, though the numbers given are float64)"
    right = [name for name in _last(truth.seen) if name != fault.name and _is_right(name, mine, truth, marks[number])]
    thought = known.advice if known else None
    if not thought and fault.name and not fault.missing:
        thought = hint(exercise, fault.name)
    if not thought and mine.unread:
        thought = f"Where does the forward pass read {' and '.join(mine.unread.values())}? The gradients depend on it."
    shown = _alias(fault.name, mine.seen) if fault.name else None
    return Verdict(exercise, str(seed), False, message, right, shown, fault.line, thought,
                   _statement(exercise, fault.name, truth) if answer else None, sum(whole.values()) / len(whole), whole)


def _marks(mine, truth):
    """-> {name: whether it is right} for all that must be returned, and for what is returned besides"""
    scale = _scale(truth)
    marks = {name: name in mine.results and _close(mine.results[name], array, scale)
             for name, array in truth.results.items()}
    return marks | {name: False for name in mine.results if name not in truth.results and not _of_acts(name)}


def _of_acts(name):
    return name.startswith("acts[")


def _scale(truth):
    return max(_size(a) for a in truth.results.values())


def _size(array):
    """The largest number of an array, whatever its sign; nan does not count."""
    return np.abs(array[~np.isnan(array)]).max(initial=0)


class _Fault(NamedTuple):
    name: str | None                                   # the package's
    message: str
    line: int | None = None
    missing: bool = False


def _first_fault(mine, truth, marks):
    """The first array that departs, in the order of the package's lines."""
    for name, right in _last(truth.seen).items():
        yours = _last(mine.seen).get(_alias(name, mine.seen))
        if yours and not _is_right(name, mine, truth, marks):
            if mine.unread and _mark(name, marks) is False:
                break                                  # no line is wrong, but one is missing
            return _departs(name, yours, right)
    if mine.error:
        return _Fault(None, mine.error)
    wrong = [name for name, right in marks.items() if not right and name in truth.results]
    missing = [name for name in wrong if name not in mine.results]
    if not wrong:
        extra = [name for name in marks if name not in truth.results]
        return _Fault(extra[0], f"it returns {', '.join(extra)} too many", _returned(mine))
    name = wrong[0]
    if name not in missing:
        line, text = mine.head if mine.unread else _maker(name, mine, truth, marks)
        return _Fault(name, f"{name}, which it returns, is wrong: {_how(mine.results[name], truth.results[name])}"
                      + _at(line, text), line)
    if all(map(_of_acts, missing)):
        lacking = ", ".join(name[len("acts["):-1] for name in missing)
        return _Fault(name, f"acts lacks {lacking}: the backward pass will need it" + _at(*(mine.line or (None, ""))),
                      _returned(mine), missing=True)
    return _Fault(name, f"{name} is missing from what it returns ({', '.join(mine.results) or 'no array'})"
                  + _at(*(mine.line or (None, ""))), _returned(mine), missing=True)


def _where_made(mine, truth, mistaken, fault):
    """The fault of a known mistake: the first array that departs from the package's as the mistake makes it depart.

    It may come before `fault`: scores that are not yet divided, for example, count as right until they are used.
    """
    own, right, wrong = _last(mine.seen), _last(truth.seen), _last(mistaken.seen)
    for name in right:
        if name == fault.name:
            break
        yours = own.get(_alias(name, mine.seen))
        if (yours and name in wrong and not _same_numbers(wrong[name].array, right[name].array)
                and _same_numbers(yours.array, wrong[name].array)):
            return _departs(name, yours, right[name])
    return fault


def _departs(name, yours, right):
    how = _how(yours.array, right.array)
    return _Fault(name, f"{yours.name} departs: {how}" + _at(yours.line, yours.text), yours.line)


def _at(line, text):
    return f"\n    at line {line}: {text}" if line else ""


def _returned(mine):
    return mine.line[0] if mine.line else None


def _maker(name, mine, truth, marks):
    """-> (line, its text) at fault for what was returned under this name: the line that made it, or the last one.

    If a right intermediate array was returned in its place, the line that returns it is at fault.
    """
    last, known = _last(mine.seen), _last(truth.seen)
    own = [last[_alias(name, mine.seen)]] if _alias(name, mine.seen) in last else []
    for seen in [*own, *reversed(last.values())]:
        if np.array_equal(seen.array, mine.results[name], equal_nan=True):
            right = seen.name in known and _is_right(seen.name, mine, truth, marks)
            return mine.line if right and mine.line else (seen.line, seen.text)
    return mine.line or (None, "")


def _last(seen):
    """The final state of each name, in the order in which they became final."""
    return {s.name: s for s in seen}


def _alias(name, seen):
    """The name itself, or that of the same key in another dict: your `grads["bias"]` is the package's `g["bias"]`."""
    if "[" not in name or any(s.name == name for s in seen):
        return name
    key = name[name.index("["):]
    return next((s.name for s in seen if s.name.endswith(key)), name)


def _is_right(name, mine, truth, marks):
    """Whether you have these numbers, in any shape.

    If you have an array of that name, it alone is judged; if not, the numbers may have any name. If the package writes
    to a name twice, it is enough to end with one of its states, unless the array is returned.
    """
    states = [s.array for s in truth.seen if s.name == name and s.array.any()] or [_last(truth.seen)[name].array]
    own = [s for s in mine.seen if s.name == _alias(name, mine.seen)]
    if _mark(name, marks) is False:
        return bool(own) and _same_numbers(own[-1].array, states[-1])
    seen = own or mine.seen
    return (any(_same_numbers(s.array, states[-1]) for s in seen)
            or any(_same_numbers(s.array, state) for s in _last(seen).values() for state in states))


def _mark(name, marks):
    """Whether what is returned under this name is right; None if it is not returned. `g["bias"]` is `grads["bias"]`."""
    if "[" not in name or name in marks:
        return marks.get(name)
    return next((right for result, right in marks.items() if result.endswith(name[name.index("["):])), None)


def _same_numbers(a, b):
    """Whether the numbers agree, with the axes in any order and in any shape."""
    if a.size != b.size:
        return False
    scale, flat = _size(b), b.ravel()
    return any(_close(a.transpose(axes).ravel(), flat, scale) for axes in permutations(range(min(a.ndim, 4)))
               if a.ndim <= 4) or _close(a.ravel(), flat, scale)


def _close(a, b, scale):
    if a.shape != b.shape:
        return False
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(np.subtract(a, b, dtype=float)) <= TOLERANCE * max(scale, 1e-300)
    return bool((near | np.isnan(a) & np.isnan(b)).all())


def _how(yours, right):
    """In what way an array is wrong, in words."""
    if yours.shape != right.shape:
        turned = yours.shape == right.shape[::-1] and _close(yours.T, right, _size(right))
        return f"its shape is {yours.shape}, but must be {right.shape}" + (", its transpose" if turned else "")
    yours, scale = yours.astype(float), _size(right)
    if np.isnan(right).all():
        return "it must be nan, which a mean over nothing is"
    if not np.isfinite(yours).all():
        return "it holds nan or infinity"
    if not yours.any():
        return "it is all zero"
    factor = float((yours * right).sum() / (right * right).sum()) if right.any() else 0
    if _close(yours, factor * right, scale):
        return f"it is {factor:.6g} times what it must be"
    for axis in range(right.ndim):
        if _close(np.flip(yours, axis), right, scale):
            return f"it is reversed along axis {axis}"
        at = np.unique(np.nonzero(np.abs(yours - right) > TOLERANCE * scale)[axis])
        if len(at) < right.shape[axis]:
            return f"it is wrong only at {', '.join(map(str, at))} of axis {axis} (which has {right.shape[axis]})"
    if right.ndim and np.ptp(yours - right, axis=-1).max() <= TOLERANCE * scale:
        return "each of its rows is off by a constant"
    return f"it is off by up to {np.abs(yours - right).max():.2g}, of numbers up to {scale:.2g}"


def _statement(exercise, name, truth):
    """The package's lines that make `name`; if it is only returned, the line that returns it."""
    source, first = inspect.getsourcelines(reference(exercise))
    body = ast.parse("".join(source)).body[0].body
    inner = [x for statement in body for x in ast.walk(statement) if isinstance(x, ast.stmt)]
    lines = dict.fromkeys(s.line - first + 1 for s in truth.seen if s.name == name)
    found = [max((x for x in inner if x.lineno <= line <= x.end_lineno), key=lambda x: x.lineno) for line in lines]
    found = found or [x for x in inner if isinstance(x, ast.Return)][-1:]
    return "\n".join(textwrap.dedent("".join(source[x.lineno - 1 : x.end_lineno])).rstrip() for x in found)
