"""Compare a function with the package's, and find the first of its lines that departs."""

import ast
import inspect
import linecache
import re
import textwrap
import traceback
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np

from ..step.trace import Changes, arrays, tracing
from .exercises import case, reference
from .hints import hint

ROUNDS = 3
TOLERANCE = 1e-9                                       # relative to the largest number of the results


class Seen(NamedTuple):
    """A local array as it stood after a line."""

    name: str
    array: np.ndarray
    line: int
    text: str


class Attempt(NamedTuple):
    """What one run gave: `results` by name, `seen` in the order of computation, or an error in words."""

    results: dict
    seen: list
    error: str = ""


@dataclass
class Verdict:
    """What `check` found. It prints as text, and is true if all is right."""

    exercise: str
    seed: str
    passed: bool
    message: str
    right: list = field(default_factory=list)
    wrong: str | None = None
    line: int | None = None
    hint: str | None = None
    answer: str | None = None

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

    The exercise is the one that the function is called after, or `name`. If it is wrong, the first array that departs
    is told, with your line and a hint; with `answer`, also the package's line. It can tell of the locals that have the
    names the package gives them, so use its names.

    Raises ValueError if there is no such exercise.
    """
    exercise = name or getattr(function, "__name__", str(function))
    reference(exercise)
    return judge(exercise, seed, [attempt(function, exercise, seed, number) for number in range(ROUNDS)], answer)


def attempt(function, exercise, seed, number=0):
    """Run a function on draw `number`, and write down each of its local arrays whenever a line has changed it."""
    answer, args = reference(exercise), case(exercise, seed, number)
    try:
        inspect.signature(function).bind(*args)
    except TypeError:
        wanted = ", ".join(list(inspect.signature(answer).parameters)[: len(args)])
        return Attempt({}, [], f"it must take {len(args)} arguments, ({wanted})")
    code = getattr(inspect.unwrap(function), "__code__", None)
    seen, changes = [], Changes(arrays(dict(enumerate(args))).values())

    def at_call(frame):
        if frame.f_code is answer.__code__ and code is not answer.__code__:
            raise NotImplementedError(f"it calls the package's own {exercise}: write it yourself")
        return partial(after_line, frame) if frame.f_code is code else None

    def after_line(frame, line, end):
        seen.extend(Seen(name, array, line, _line(code, line))
                    for name, array in changes.since(frame.f_locals).items() if array.dtype.kind == "f")

    try:
        with tracing(at_call):
            result = function(*args)
    except NotImplementedError as error:
        return Attempt({}, seen, str(error) if "package" in str(error) else "it is not written yet")
    except Exception as error:                         # whatever a learner's code may raise is told
        return Attempt({}, seen, _told(error, code))
    if result is None:
        return Attempt({}, seen, "it returns nothing yet")
    return Attempt(_named(result, answer), seen)


def _told(error, code):
    told = f"it raises {type(error).__name__}: {error}"
    if "read-only" in told:
        told += " (a function must not write into what it is given; make a copy)"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if code and f.filename == code.co_filename]
    return told + (f"\n    at line {lines[-1]}: {_line(code, lines[-1])}" if lines else "")


def _line(code, number):
    return linecache.getline(code.co_filename, number).strip()


def _named(result, function):
    """The arrays that came back, under the names that the docstring gives them; without a name it is `out`."""
    told = inspect.getdoc(function).split("->")[-1].split("\n")[0].split(":")[0]
    parts = re.sub(r"\(.*?\)", "()", told).replace(";", ",").split(",")
    words = [part.strip().split(" ")[0] for part in parts]
    known = [word for word in words if re.match(r"d\w+$|acts$|grads$|out$|logits$|loss$|probs$|same$|\(", word)]
    names = ["out" if word in ("same", "()") else word for word in known]
    results = result if isinstance(result, tuple) else (result,)
    return arrays({(names[i] if i < len(names) else f"result {i + 1}"): x for i, x in enumerate(results)})


def judge(exercise, seed, attempts, answer=False):
    """The verdict on the attempts at an exercise, one for each draw."""
    for number, mine in enumerate(attempts):
        truth = attempt(reference(exercise), exercise, seed, number)
        fault = _first_fault(mine, truth)
        if fault is None:
            continue
        name, message, line = fault
        if number:
            message += "\n    (the first draw was right; this one has other sizes, padding, dropout, ignored labels)"
        right = [n for n in _last(truth.seen) if _is_right(n, mine, truth)]
        told = name and (line or name in mine.results)
        return Verdict(exercise, str(seed), False, message, right, name, line, hint(exercise, name) if told else None,
                       _statement(exercise, name, truth) if answer else None)
    return Verdict(exercise, str(seed), True, f"right, on {len(attempts)} draws")


def _first_fault(mine, truth):
    """-> (name, message, line) of the first array that departs, in the order of the package's lines, or None"""
    scale = max(np.abs(a).max(initial=0) for a in truth.results.values())
    asked = [name for name in truth.results if name in mine.results or not name.startswith("acts")]
    wrong = [name for name in asked
             if name not in mine.results or not _close(mine.results[name], truth.results[name], scale)]
    extra = [name for name in mine.results if name not in truth.results and not name.startswith("acts")]
    if not (wrong or extra or mine.error):
        return None
    for name, right in _last(truth.seen).items():
        yours = _last(mine.seen).get(_alias(name, mine.seen))
        if yours and not _is_right(name, mine, truth):
            how = _how(yours.array, right.array)
            return name, f"{name} departs: {how}\n    at line {yours.line}: {yours.text}", yours.line
    if mine.error:
        return None, mine.error, None
    if not wrong:
        return extra[0], f"it returns {', '.join(extra)} too many", None
    name = wrong[0]
    if name not in mine.results:
        return name, f"{name} is missing from what it returns ({', '.join(mine.results) or 'no array'})", None
    return name, f"{name}, which it returns, is wrong: {_how(mine.results[name], truth.results[name])}", None


def _last(seen):
    """The final state of each name, in the order in which they became final."""
    final = {s.name: i for i, s in enumerate(seen)}
    return {seen[i].name: seen[i] for i in sorted(final.values())}


def _alias(name, seen):
    """The name itself, or that of the same key in another dict: your `grads["bias"]` is the package's `g["bias"]`."""
    if "[" not in name or any(s.name == name for s in seen):
        return name
    key = name[name.index("["):]
    return next((s.name for s in seen if s.name.endswith(key)), name)


def _is_right(name, mine, truth):
    """Whether you have these numbers, under any name and in any shape.

    A name of the package may be written to again. Then it is enough to end with one of its states.
    """
    states = [s.array for s in truth.seen if s.name == name and s.array.any()] or [_last(truth.seen)[name].array]
    ends = [s.array for s in _last(mine.seen).values()]
    return (any(_same_numbers(a, states[-1]) for a in (s.array for s in mine.seen))
            or any(_same_numbers(a, state) for a in ends for state in states))


def _same_numbers(a, b):
    return a.size == b.size and _close(a.ravel(), b.ravel(), np.abs(b).max(initial=0))


def _close(a, b, scale):
    return a.shape == b.shape and bool((np.abs(a - b) <= TOLERANCE * max(scale, 1e-300)).all())


def _how(yours, right):
    """In what way an array is wrong, in words."""
    if yours.shape != right.shape:
        turned = yours.shape == right.shape[::-1] and _close(yours.T, right, np.abs(right).max(initial=0))
        return f"its shape is {yours.shape}, but must be {right.shape}" + (", its transpose" if turned else "")
    scale = np.abs(right).max(initial=0)
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
    narrow = " (it was computed in float32)" if np.abs(yours - right).max() < 1e-5 * scale else ""
    return f"it is off by up to {np.abs(yours - right).max():.2g}, of numbers up to {scale:.2g}{narrow}"


def _statement(exercise, name, truth):
    """The package's lines that make `name`; if it is only returned, the line that returns it."""
    source, first = inspect.getsourcelines(reference(exercise))
    body = ast.parse("".join(source)).body[0].body
    inner = [x for statement in body for x in ast.walk(statement) if isinstance(x, ast.stmt)]
    lines = dict.fromkeys(s.line - first + 1 for s in truth.seen if s.name == name)
    found = [max((x for x in inner if x.lineno <= line <= x.end_lineno), key=lambda x: x.lineno) for line in lines]
    found = found or [x for x in inner if isinstance(x, ast.Return)][-1:]
    return "\n".join(textwrap.dedent("".join(source[x.lineno - 1 : x.end_lineno])).rstrip() for x in found)
