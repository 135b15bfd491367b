"""Gradients by a tape, which differentiates the forward pass of the reference, including planted mistakes.

A `Tracked` array holds numbers and an id for each number. Functions that only move numbers (slices, transposes,
lookups) move the ids in the same way. Functions that compute give new ids, and write to the tape on which numbers the
results depend, and with which slopes. Writing into a view of an array also writes its ids. Backward is one line for
each entry:

    gradient[used] += slope * gradient[made]
"""

import contextlib
import math
from types import SimpleNamespace

import numpy as np

from .. import activations, attention, conv, heads, losses, model, ops

COMPUTING = (activations, attention, conv, heads, losses, model, ops)
CONSTANT = 0               # the id of all numbers that no gradient flows to
_ERF = activations._exact_erf

# ufunc: the slopes of y = f(x, ...) with respect to each x
SLOPES = {
    np.add: lambda a, b, y: (1.0, 1.0),
    np.subtract: lambda a, b, y: (1.0, -1.0),
    np.multiply: lambda a, b, y: (b, a),
    np.divide: lambda a, b, y: (1 / b, -y / b),
    np.power: lambda a, b, y: (b * a ** (b - 1), 0.0),
    np.maximum: lambda a, b, y: (a > b, a <= b),
    np.minimum: lambda a, b, y: (a < b, a >= b),
    np.negative: lambda x, y: (-1.0,),
    np.absolute: lambda x, y: (np.sign(x),),
    np.square: lambda x, y: (2 * x,),
    np.sqrt: lambda x, y: (0.5 / y,),
    np.exp: lambda x, y: (y,),
    np.exp2: lambda x, y: (y * math.log(2),),
    np.log: lambda x, y: (1 / x,),
    np.log1p: lambda x, y: (1 / (1 + x),),
    np.tanh: lambda x, y: (1 - y * y,),
    _ERF: lambda x, y: (2 / math.sqrt(math.pi) * np.exp(-x * x),),
}
MOVING = (np.concatenate, np.stack, np.split, np.roll, np.flip, np.pad, np.repeat, np.take_along_axis,
          np.broadcast_to, np.swapaxes, np.transpose, np.reshape, np.expand_dims)


class Tape:
    """The entries, in order: (ids made, ids used, slopes), three arrays of one shape."""

    def __init__(self):
        self.entries, self.size = [], CONSTANT + 1

    def track(self, x):
        """A Tracked array of floats with fresh ids, or a dict of them; other arrays stay as they are."""
        if isinstance(x, dict):
            return {name: self.track(a) for name, a in x.items()}
        return self.new(np.array(x)) if x.dtype.kind == "f" else x

    def new(self, value):
        value = np.asarray(value, np.float64)
        ids = np.empty_like(value, np.intp)                  # laid out like the numbers, so that views of both agree
        ids[...] = np.arange(self.size, self.size + value.size).reshape(value.shape)
        self.size += value.size
        return Tracked(self, value, ids)

    def constant(self, value):
        return Tracked(self, value, np.full_like(value, CONSTANT, np.intp))

    def write(self, made, used, slopes):
        """Write that `made` depends on `used` with `slopes`, as copies of one shape."""
        slopes = np.asarray(slopes, np.float64)
        shape = made.shape if made.shape == used.shape == slopes.shape else np.broadcast_shapes(
            made.shape, used.shape, slopes.shape)
        self.entries.append([(a if a.shape == shape else np.broadcast_to(a, shape)).flatten()
                             for a in (made, used, slopes)])

    def fresh(self, x):
        """The same numbers with new ids, whose gradient is that of this one use of x."""
        y = self.new(x.value.copy())
        self.write(y.ids, x.ids, 1.0)
        return y

    def backward(self, y, dy):
        """The gradient of sum(y dy) with respect to every id."""
        gradient = np.zeros(self.size)
        np.add.at(gradient, y.ids.ravel(), np.broadcast_to(dy, y.shape).ravel())
        for made, used, slopes in reversed(self.entries):
            np.add.at(gradient, used, slopes * gradient[made])
        gradient[CONSTANT] = 0
        return gradient


class Tracked(np.lib.mixins.NDArrayOperatorsMixin):
    """An array, and the id of each of its numbers."""

    def __init__(self, tape, value, ids):
        self.tape, self.value, self.ids = tape, value, ids

    shape, ndim, size, dtype = (property(lambda self, name=name: getattr(self.value, name))
                                for name in ("shape", "ndim", "size", "dtype"))

    def __len__(self):
        return len(self.value)

    def _moved(self, move):
        return Tracked(self.tape, move(self.value), move(self.ids))

    def __getitem__(self, at):
        return self._moved(lambda a: a[at])

    def __setitem__(self, at, x):
        self.value[at] = x.value if isinstance(x, Tracked) else x
        self.ids[at] = x.ids if isinstance(x, Tracked) else CONSTANT

    def reshape(self, *shape):
        return self._moved(lambda a: a.reshape(*shape))

    def transpose(self, *axes):
        return self._moved(lambda a: a.transpose(*axes))

    def swapaxes(self, *axes):
        return self._moved(lambda a: a.swapaxes(*axes))

    @property
    def T(self):
        return self.transpose()

    def copy(self):
        return self._moved(np.copy)

    def astype(self, dtype, copy=True):
        return self.copy() if np.dtype(dtype).kind == "f" else self.value.astype(dtype)

    def max(self, axis, keepdims=False):
        at = np.expand_dims(self.value.argmax(axis), axis)
        found = self._moved(lambda a: np.take_along_axis(a, at, axis))
        return found if keepdims else found._moved(lambda a: a.squeeze(axis))

    def sum(self, axis=None, keepdims=False):
        y = self.tape.new(self.value.sum(axis, keepdims=True))
        self.tape.write(y.ids, self.ids, 1.0)
        axes = axis if axis is not None else tuple(range(self.ndim))
        return y if keepdims else y._moved(lambda a: a.squeeze(axes))

    def mean(self, axis=None, keepdims=False):
        total = self.sum(axis, keepdims)
        return total * (total.size / self.size)

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **named):
        if method != "__call__":
            return NotImplemented
        values = [x.value if isinstance(x, Tracked) else x for x in inputs]
        if ufunc is np.matmul:
            y = self._product(*inputs)
        elif ufunc not in SLOPES:                            # comparisons and the like
            return ufunc(*values)
        else:
            y = self.tape.new(ufunc(*values))
            for x, slopes in zip(inputs, SLOPES[ufunc](*values, y.value)):
                if isinstance(x, Tracked):
                    self.tape.write(y.ids, x.ids, slopes)
        if out is None:
            return y
        out[0][...] = y
        return out[0]

    def _product(self, a, b):
        """c[m, n] = sum over k of a[m, k] b[k, n]: an entry for each pair (m, k, n)"""
        value = lambda x: x.value if isinstance(x, Tracked) else x
        y = self.tape.new(value(a) @ value(b))
        rows, columns = lambda x: x[..., :, :, None], lambda x: x[..., None, :, :]
        if isinstance(a, Tracked):
            self.tape.write(y.ids[..., :, None, :], rows(a.ids), columns(value(b)))
        if isinstance(b, Tracked):
            self.tape.write(y.ids[..., :, None, :], columns(b.ids), rows(value(a)))
        return y

    def __array_function__(self, function, types, arguments, named):
        if function in MOVING:
            moved = [function(*_parts(arguments, part), **named) for part in ("value", "ids")]
            if isinstance(moved[0], list):
                return [Tracked(self.tape, *both) for both in zip(*moved)]
            return Tracked(self.tape, *moved)
        handlers = {np.einsum: self._row_sum, np.where: self._where, np.clip: self._clip, np.copy: Tracked.copy,
                    np.sum: Tracked.sum, np.mean: Tracked.mean,
                    np.zeros_like: self._filled(0), np.empty_like: self._filled(0), np.ones_like: self._filled(1)}
        return handlers[function](*arguments, **named) if function in handlers else NotImplemented

    def _row_sum(self, spec, x):
        if spec != "...n->...":
            raise NotImplementedError(spec)
        return x.sum(-1)

    def _where(self, condition, a, b):
        ids = [x.ids if isinstance(x, Tracked) else CONSTANT for x in (a, b)]
        value = [x.value if isinstance(x, Tracked) else x for x in (a, b)]
        return Tracked(self.tape, np.where(condition, *value), np.where(condition, *ids))

    def _clip(self, x, low, high):
        return self._where(x.value < low, low, self._where(x.value > high, high, x))

    def _filled(self, number):
        return lambda x, dtype=None, order=None: self.tape.constant(np.full(x.shape, float(number)))


def _parts(arguments, part):
    """The arguments of a function that moves numbers, with only the numbers, or with only their ids."""
    def one(x):
        if isinstance(x, (list, tuple)):
            return type(x)(one(y) for y in x)
        if isinstance(x, Tracked):
            return getattr(x, part)
        constant = part == "ids" and isinstance(x, np.ndarray) and x.dtype.kind == "f"
        return np.full_like(x, CONSTANT, np.intp) if constant else x
    return [one(x) for x in arguments]


class _Numpy(SimpleNamespace):
    """The NumPy of the reference's modules during a run on a tape: it also tracks new arrays of floats."""

    def __getattr__(self, name):
        return getattr(np, name)


@contextlib.contextmanager
def on(tape):
    """Let the reference's modules take Tracked arrays inside the block."""
    def filled(make):
        def made(shape, dtype=float, order="C"):
            value = make(shape, dtype)
            return tape.constant(value) if value.dtype.kind == "f" else value
        return made
    same = lambda x: x
    listed = lambda x: np.stack(x).mean() if isinstance(x, list) else np.mean(x)
    numpy = _Numpy(zeros=filled(np.zeros), empty=filled(np.zeros), mean=listed,
                   asfortranarray=same, ascontiguousarray=same, asarray=same)
    try:
        for module in COMPUTING:
            if hasattr(module, "np"):
                module.np = numpy
        yield tape
    finally:
        for module in COMPUTING:
            if hasattr(module, "np"):
                module.np = np
