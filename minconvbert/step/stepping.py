"""`steps`: run a function, and its backward, and record every line."""

import inspect
import sys

import numpy as np

from .record import CORE, record, require_source
from .relate import name_arrays, relate
from .source import read


def steps(function, *args, dout=None, backward=None, into=(), title="", **kwargs):
    """Run any function and record, line by line, what it read, bound and changed.   ->  a `Recording`

    function: an op, a block, or a function of your own, called with args and kwargs
    dout: the gradient of what it returns; with it, the backward runs, too, and both are shown side by side
    backward: the backward function, by default the one called FUNCTION_backward in the same file
    into: functions whose lines are recorded, too, when they are called; True for all of the model and all that are
        in the same file as `function`

    If the function raises, the recording ends at that line and says so.

    Raises TypeError or ValueError for what has no lines to show (built-in functions, lambdas, generators, functions
    that were typed in at a prompt), and for a run of more than 20,000 steps.
    """
    called, function = function, require_source(function)
    into = [function, *(functions_beside(function) if into is True else map(require_source, into))]
    results, slopes = [], []
    if dout is not None:
        backward = require_source(backward or _backward_of(function))
        into.append(backward)

    def run():
        results.append(called(*args, **kwargs))
        if dout is not None:
            slopes.append(backward(*_backward_arguments(function, backward, args, kwargs, results[0], dout)))

    recording, originals = record(run, into, title=title or function.__name__)
    tops = [call.number for call in recording.calls if call.caller is None]
    relate(recording, *tops)
    given = inspect.signature(called).bind(*args, **kwargs).arguments
    is_backward = function.__name__.endswith("_backward")
    forward_dicts, backward_dicts = _dicts(results), _dicts(slopes)
    name_arrays(recording, originals,
                acts=[*_dicts([given.get("acts")]), *(() if is_backward else forward_dicts)],
                grads=[*backward_dicts, *(forward_dicts if is_backward else ())],
                params=_dicts([given.get("p"), given.get("params")]))
    recording.results = (*results, *slopes) if dout is not None else results[0] if results else None
    return recording


def functions_beside(function):
    """All functions of the model, and all of the module in which `function` is written."""
    modules = {module.__name__: module for module in (*CORE, sys.modules.get(function.__module__)) if module}
    return [f for name, module in modules.items() for f in vars(module).values()
            if inspect.isfunction(f) and f.__module__ == name and f.__name__ != "<lambda>"]


def _dicts(values):
    """The dicts among some values and among what tuples of them hold."""
    flat = [x for value in values for x in (value if isinstance(value, tuple) else (value,))]
    return [x for x in flat if isinstance(x, dict)]


def _backward_of(function):
    name = f"{function.__name__}_backward"
    if name not in function.__globals__:
        raise ValueError(f"a gradient was passed as dout, so there must be a function {name} beside"
                         f" {function.__name__}, but there is none; pass it as backward=...")
    return function.__globals__[name]


def _backward_arguments(function, backward, args, kwargs, results, dout):
    """dout, and the arguments that the backward's parameters name, from what the forward was given or returned."""
    results = results if isinstance(results, tuple) else (results,)
    if isinstance(results[0], (np.ndarray, np.floating)) and np.shape(results[0]) != np.shape(dout):
        raise ValueError(f"dout must be {np.shape(results[0])} as what {function.__name__} returns, but its shape is"
                         f" {np.shape(dout)}")
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    first, *names = inspect.signature(backward).parameters
    known = _named_by_return(function, results) | {first.removeprefix("d"): results[0]} | bound.arguments
    missing = [name for name in names if name not in known
               and inspect.signature(backward).parameters[name].default is inspect.Parameter.empty]
    if missing:
        raise ValueError(f"{backward.__name__} needs {', '.join(missing)}, which {function.__name__} neither was given"
                         " nor returned under that name; step it on its own")
    return [dout, *(known[name] for name in names if name in known)]


def _named_by_return(function, results):
    returns = [s for s in read(function.__code__).statements.values() if s.returns]
    named = returns[-1].named_results("", results) if returns else {}
    acts = {"acts": results[1]} if len(results) > 1 and isinstance(results[1], dict) else {}
    return named | acts
