"""Listening to running Python: which lines of which calls have run, and which arrays each line bound or changed.

Both the course and `steps` see the work of a function through this module.
"""

import contextlib
import sys
from typing import Any, NamedTuple

import numpy as np


class End(NamedTuple):
    """How a call ended: with the value that it returned, or with the error that it raised."""

    value: Any
    error: BaseException | None


@contextlib.contextmanager
def tracing(enter):
    """Inside the block, `enter(frame)` hears of every Python function that is called.

    It returns None to ignore the call, or a function `ran(line, end)`. This function is called with the number of each
    line of the call that has run, and once more when the call is over: `end` is None until then, and then an `End`.

        with tracing(lambda frame: print_line if frame.f_code is function.__code__ else None):
            function(*args)

    `enter` hears of the calls that a traced function makes, too. Coroutines and generators are left out, because Python
    enters them again and again.
    """
    def at_call(frame, event, arg):
        if frame.f_code.co_flags & RESUMED:
            return None
        ran = enter(frame)
        return None if ran is None else _listener(ran)

    before = sys.gettrace()
    sys.settrace(at_call)
    try:
        yield
    finally:
        sys.settrace(before)


RESUMED = 0x20 | 0x80 | 0x200                          # code flags: generator, coroutine, asynchronous generator


def _listener(ran):
    running, error = None, None

    def at_event(frame, event, arg):
        nonlocal running, error
        if event == "exception":
            error = arg[1]
            return at_event
        if event == "line":
            error = None                               # whatever was raised has been caught
        ended = End(arg, error) if event == "return" else None
        if running is not None or ended:
            ran(running, ended)
        running = frame.f_lineno
        return at_event

    return at_event


def arrays(named):
    """Every array in a dict, a tuple or a list, however deep, under the name by which one would write it."""
    found = {}
    for name, value in named.items():
        if isinstance(value, (np.ndarray, np.floating)):
            found[name] = np.asarray(value)
        elif isinstance(value, dict):
            found |= arrays({f'{name}["{key}"]': x for key, x in value.items()})
        elif isinstance(value, (tuple, list)):
            found |= arrays({f"{name}[{i}]": x for i, x in enumerate(value)})
    return found


class Changes:
    """The arrays of a call as they were after each of its lines; arrays in `given` are left out.

        changes = Changes()
        changes.since(frame.f_locals)       # {name: copy} of every array that is new or has other numbers than before
    """

    def __init__(self, given=()):
        self.given, self.latest = {id(array): array for array in given}, {}

    def since(self, variables):
        changed = {}
        for name, array in arrays(variables).items():
            if id(array) in self.given or (name in self.latest and _identical(self.latest[name], array)):
                continue
            changed[name] = self.latest[name] = array.copy()
        return changed


def _identical(a, b):
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool(np.array_equal(a, b)) if a.dtype.kind in "biu" else a.tobytes() == b.tobytes()
