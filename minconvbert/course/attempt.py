"""Run a learner's function on a draw, and record what it returned and, if it is followed, what its lines made."""

import contextlib
import dis
import inspect
import linecache
import re
import traceback
from functools import partial
from typing import NamedTuple

import numpy as np

from ..step.trace import Changes, arrays, tracing
from .exercises import case, reference


class Seen(NamedTuple):
    """A local array as it was after a line."""

    name: str
    array: np.ndarray
    line: int
    text: str


class Attempt(NamedTuple):
    """What one run gave.

    `results`: the arrays that it returned, by name; `seen`: its local arrays in the order of computation, with the
    first and the last state of each; `error`: what went wrong, in words; `line`: the last line that ran; `unread`: the
    arguments that it needs and never reads; `head`: the line where it begins. `seen`, `line`, `unread` and `head` are
    known only if the run was followed. `ended` is False if the function was stopped from outside.
    """

    results: dict
    seen: list = []
    error: str = ""
    line: tuple | None = None
    ended: bool = True
    unread: dict = {}
    head: tuple | None = None


class Borrowed(Exception):
    """The package's own function was called in place of the learner's."""


def attempt(function, exercise, seed, number=0, follow=True):
    """Run a function on draw `number`; with `follow`, record its local arrays whenever a line has changed them."""
    return attempt_on(function, exercise, case(exercise, seed, number), follow)


def attempt_on(function, exercise, args, follow):
    """As `attempt`, on arguments that have been drawn already."""
    answer = reference(exercise)
    problem = _signature_problem(function, answer, args)
    if problem:
        return Attempt({}, error=problem)
    code = getattr(inspect.unwrap(function), "__code__", None)
    own = code is answer.__code__                      # the package's own function runs, too, to give the truth
    work = _Work(code, args, keep_all=own)
    given = {name: array.copy() for name, array in _named(answer, args).items()}
    try:
        with contextlib.nullcontext() if own else refused(answer):
            with tracing(work.at_call) if follow else contextlib.nullcontext():
                result = function(*args)
    except Exception as error:                         # a learner's code may raise anything
        return Attempt({}, work.seen(), _told(error, code, exercise), work.line)
    if result is None:
        return Attempt({}, work.seen(), "it returns nothing yet", work.line)
    spoilt = [name for name, array in _named(answer, args).items() if array.tobytes() != given[name].tobytes()]
    if spoilt:
        told = f"it writes into {', '.join(spoilt)}, which it is given: make a copy"
        return Attempt({}, work.seen(), told, work.line)
    mine = Attempt(named_results(result, answer), work.seen(), line=work.line)
    if follow and code:
        head = code.co_firstlineno
        mine = mine._replace(unread=_unread(function, exercise, args), head=(head, _line(code, head)))
    return mine


def _named(answer, args):
    """The arrays of the arguments, by name."""
    return arrays(dict(zip(inspect.signature(answer).parameters, args)))


def results_of(exercise, number):
    """The names of what the package's function returns on a draw."""
    return list(attempt(reference(exercise), exercise, 0, number, follow=False).results)


def _signature_problem(function, answer, args):
    try:
        inspect.signature(function).bind(*args)
    except TypeError:
        wanted = ", ".join(list(inspect.signature(answer).parameters)[: len(args)])
        return f"it must take {len(args)} arguments, ({wanted})"
    return None


def _unread(function, exercise, args):
    """The arguments that a function needs and never reads  ->  {our name: the learner's}

    It needs the upstream gradient and the forward pass's arguments, but not its output, which it can compute again.
    """
    forward = inspect.signature(reference(exercise.removesuffix("_backward"))).parameters
    names, code = list(inspect.signature(reference(exercise)).parameters), inspect.unwrap(function).__code__
    needed, read = {*forward, names[0], "drop"} - {"cfg"}, _names_read(code, names[0])
    missed = {name: own for name, own, arg in zip(names, code.co_varnames[: code.co_argcount], args)
              if name in needed and arg is not None and own not in read}
    mentioned = set().union(*(_mentioned(f.__code__) for f in _beside(function, code)))
    acts = args[names.index("acts")] if "acts" in names else {}
    return missed | {f'acts["{x}"]': f'acts["{x}"]' for x in acts if x in needed and x not in mentioned}


def _names_read(code, gradient):
    """The local variables that a code object reads. Reading only the shape of the upstream gradient does not count."""
    read, steps = set(), list(dis.get_instructions(code))
    for step, following in zip(steps, steps[1:]):
        if "LOAD" in step.opname:
            names = step.argval if isinstance(step.argval, tuple) else (step.argval,)
            sizes_only = following.argval in ("shape", "size", "ndim", "dtype") and names[-1] == gradient
            read.update(names[:-1] if sizes_only else names)
    return read


def _beside(function, code):
    """The function, and the other functions of its file."""
    beside = [f for f in inspect.unwrap(function).__globals__.values() if inspect.isfunction(f)
              and f.__code__.co_filename == code.co_filename]
    return [inspect.unwrap(function), *beside]


def _mentioned(code):
    """All names and texts in a code object and in those that are defined in it."""
    inner = [_mentioned(constant) for constant in code.co_consts if inspect.iscode(constant)]
    return {*code.co_names, *code.co_varnames, *(x for x in code.co_consts if isinstance(x, str))}.union(*inner)


class _Work:
    """Follows one call of the code, and records which lines ran and which arrays they made."""

    def __init__(self, code, args, keep_all):
        self.code, self.keep_all, self.line, self.states = code, keep_all, None, {}
        self.changes = Changes(arrays(dict(enumerate(args))).values())

    def at_call(self, frame):
        return partial(self.after_line, frame) if frame.f_code is self.code else None

    def after_line(self, frame, line, end):
        self.line = (line, _line(self.code, line))
        for name, array in self.changes.since(frame.f_locals).items():
            if array.dtype.kind == "f":
                states = self.states.pop(name, [])     # moves to the end, because arrays are kept as they become final
                self.states[name] = (states if self.keep_all else states[:1]) + [Seen(name, array, *self.line)]

    def seen(self):
        """All states, each name's before those of the names that became final after it."""
        return [state for states in self.states.values() for state in states]


def _line(code, number):
    return linecache.getline(code.co_filename, number).strip()


@contextlib.contextmanager
def refused(answer):
    """Inside the block the package's function raises `Borrowed`, whoever calls it and under whatever name."""
    code, had = answer.__code__, "__signature__" in vars(answer)
    if not had:
        answer.__signature__ = inspect.signature(answer)
    answer.__code__ = _refuse.__code__
    try:
        yield
    finally:
        answer.__code__ = code
        if not had:
            del answer.__signature__


def _refuse(*args, **kwargs):
    # It runs with the globals of the function that it replaces, so it imports what it needs.
    from minconvbert.course.attempt import Borrowed
    raise Borrowed


def _told(error, code, exercise):
    """What was raised, in words, with the learner's line."""
    frames = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    lines = [line for frame, line in frames if code and frame.f_code.co_filename == code.co_filename]
    inner = frames[-1][0].f_code
    if isinstance(error, Borrowed):
        told = f"it calls the package's own {exercise}: write it yourself"
    elif isinstance(error, NotImplementedError):
        if inner is code or inner.co_name == exercise:
            return "it is not written yet"
        told = f"it calls {inner.co_name}, which is not written yet"
        lines = [line for frame, line in frames if frame.f_code is code]
    else:
        told = f"it raises {type(error).__name__}: {error}"
    if "read-only" in told:
        told += " (a function must not write into what it is given; make a copy)"
    return told + (f"\n    at line {lines[-1]}: {_line(code, lines[-1])}" if lines else "")


def named_results(result, function):
    """The arrays that a function returned, under the names in its docstring; an array without a name is `out`."""
    told = inspect.getdoc(function).split("->")[-1].split("\n")[0].split(":")[0]
    parts = re.sub(r"\(.*?\)", "()", told).replace(";", ",").split(",")
    words = [part.strip().split(" ")[0] for part in parts]
    known = [word for word in words if re.match(r"d\w+$|acts$|grads$|out$|logits$|loss$|probs$|same$|\(", word)]
    names = ["out" if word in ("same", "()") else word for word in known]
    results = [np.float64(x) if type(x) is float else x for x in (
        result if isinstance(result, (tuple, list)) else (result,))]
    found = arrays({(names[i] if i < len(names) else f"result {i + 1}"): x for i, x in enumerate(results)})
    return {name: array for name, array in found.items() if array.dtype.kind in "fiub" and array.dtype.itemsize <= 8}
