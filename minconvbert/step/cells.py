"""Arrays that remember how each of their entries is worked out.

`Cells` stand in for NumPy arrays in an expression, and the result is a formula for every entry:

    x, y = Cells.of("x", np.ones((2, 3))), Cells.of("y", np.ones((2, 3)))
    (x * y).sum(-1)[0].told()       # "x[0, 0] * y[0, 0] + x[0, 1] * y[0, 1] + x[0, 2] * y[0, 2]"

A leaf holds, for each of its entries, the place in its array that it reads. NumPy slices, transposes and reshapes these
places, so that no entry is computed twice.
"""

import math
import operator
from functools import lru_cache

import numpy as np

BINARY = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "**": np.power, "max": np.maximum,
          "min": np.minimum}
UNARY = {"neg": np.negative, "exp": np.exp, "log": np.log, "log1p": np.log1p, "sqrt": np.sqrt, "abs": np.abs,
         "square": np.square, "tanh": np.tanh}
SYMBOLS = {f: symbol for symbol, f in (BINARY | UNARY).items()}
OVER_AN_AXIS = {"sum": np.sum, "largest": np.max}


class Unclear(Exception):
    """An expression that has no formula here."""


class Cells(np.lib.mixins.NDArrayOperatorsMixin):
    """Entries of one kind: "leaf", "number", one of BINARY or UNARY, or one of OVER_AN_AXIS.

    The parts of an operation have its shape, or are single numbers; the part of a sum has one more axis, at the end.
    """

    def __init__(self, kind, shape, parts=(), name="", array=None, places=None):
        self.kind, self.shape, self.parts = kind, tuple(shape), tuple(parts)
        self.name, self.array, self.places = name, array, places

    @classmethod
    def of(cls, name, array):
        """The entries of an array themselves."""
        array = np.asarray(array)
        return cls("leaf", array.shape, name=name, array=array, places=_counted(array.size).reshape(array.shape))

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def size(self):
        return math.prod(self.shape)

    @property
    def dtype(self):
        return np.dtype(float)

    def __len__(self):
        return self.shape[0]

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    # Moving entries about

    def _moved(self, move, summed=0):
        """The same entries in other places: `move` takes places, and how many of their last axes are summed."""
        if self.kind == "number":
            return self
        if self.kind == "leaf":
            places = move(self.places, summed)
            return Cells("leaf", places.shape, name=self.name, array=self.array, places=places)
        over = self.kind in OVER_AN_AXIS
        parts = [part._moved(move, summed + over) for part in self.parts]
        shape = next(part.shape for part in parts if part.kind != "number")
        return Cells(self.kind, shape[:-1] if over else shape, parts)

    def __getitem__(self, key):
        key = key if isinstance(key, tuple) else (key,)
        if not all(isinstance(k, (int, np.integer, slice, type(None), type(Ellipsis))) for k in key):
            raise Unclear("an index that is an array")

        def move(places, summed):
            used = sum(k is not None and k is not Ellipsis for k in key)
            rest = (slice(None),) * (places.ndim - summed - used)
            at = next((i for i, k in enumerate(key) if k is Ellipsis), len(key))
            return places[(*key[:at], *rest, *key[at + 1 :], ...)]

        return self._moved(move)

    def transpose(self, *axes):
        axes = axes[0] if axes and isinstance(axes[0], tuple) else axes or range(self.ndim)[::-1]
        axes = [axis % self.ndim for axis in axes]
        return self._moved(lambda places, summed: places.transpose(*axes, *range(places.ndim - summed, places.ndim)))

    @property
    def T(self):
        return self.transpose()

    def swapaxes(self, first, second):
        axes = list(range(self.ndim))
        axes[first], axes[second] = axes[second], axes[first]
        return self.transpose(*axes)

    def reshape(self, *shape):
        shape = list(shape[0] if shape and isinstance(shape[0], (tuple, list)) else shape)
        if -1 in shape:
            shape[shape.index(-1)] = self.size // max(1, -math.prod(shape))
        return self._moved(lambda places, summed: places.reshape(*shape, *places.shape[places.ndim - summed :]))

    def copy(self):
        return self

    def astype(self, dtype):
        if np.dtype(dtype).kind != "f":
            raise Unclear("a cast that may change numbers")
        return self

    def windows(self, K):
        """(B, L + K - 1, ...)  ->  (B, L, ..., K): what each of K taps sees."""
        def move(places, summed):
            windows = np.lib.stride_tricks.sliding_window_view(places, K, axis=1)
            return np.moveaxis(windows, -1, places.ndim - summed)
        return self._moved(move)

    def diagonal(self):
        """(..., K, K)  ->  (..., K)"""
        n = self.ndim
        return self._moved(lambda places, summed: np.moveaxis(
            np.diagonal(places, axis1=n - 2, axis2=n - 1), -1, n - 2))

    def _broadcast(self, shape):
        def move(places, summed):
            lead = places.ndim - summed
            grown = places.reshape((1,) * (len(shape) - lead) + places.shape)
            return np.broadcast_to(grown, (*shape, *places.shape[lead:]))
        return self if self.kind == "number" or self.shape == tuple(shape) else self._moved(move)

    # Computing

    def sum(self, axis=None, keepdims=False):
        return self._over("sum", axis, keepdims)

    def max(self, axis=None, keepdims=False):
        return self._over("largest", axis, keepdims)

    def mean(self, axis=None, keepdims=False):
        count = self.size if axis is None else self.shape[axis]
        return self.sum(axis, keepdims) / count

    def _over(self, kind, axis, keepdims):
        if axis is None:
            flat = self.reshape(-1)
            return flat._over(kind, 0, False)
        if not isinstance(axis, (int, np.integer)):
            raise Unclear("a sum over several axes")
        axis %= self.ndim
        last = self.transpose(*(i for i in range(self.ndim) if i != axis), axis)
        out = last[..., 0] if last.shape[-1] == 1 else Cells(kind, last.shape[:-1], [last])
        return out[(slice(None),) * axis + (None, ...)] if keepdims else out

    def __matmul__(self, other):
        return (self[..., :, None, :] * other.swapaxes(-1, -2)[..., None, :, :]).sum(-1)

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **more):
        if method != "__call__" or more or ufunc not in SYMBOLS and ufunc is not np.matmul:
            raise Unclear(f"np.{ufunc.__name__}")
        parts = [x if isinstance(x, Cells) else _constant(x) for x in inputs]
        if ufunc is np.matmul:
            return parts[0].__matmul__(parts[1])
        shape = np.broadcast_shapes(*(part.shape for part in parts))
        return Cells(SYMBOLS[ufunc], shape, [part._broadcast(shape) for part in parts])

    def __array_function__(self, function, types, args, kwargs):
        if function is np.einsum:
            return _einsum(*args)
        if function is np.split and isinstance(args[1], int):
            return _split(*args, **kwargs)
        if function is np.where and np.ndim(args[2]) == 0 and args[2] == 0:
            return args[0] * args[1]
        raise Unclear(f"np.{function.__name__}")

    # Reading

    def value(self):
        """The numbers, as a NumPy array of float64."""
        if self.kind == "number":
            return self.array
        if self.kind == "leaf":
            return self.array.reshape(-1)[self.places].astype(float)
        parts = [part.value() for part in self.parts]
        with np.errstate(all="ignore"):
            return OVER_AN_AXIS[self.kind](parts[0], -1) if self.kind in OVER_AN_AXIS else (
                (BINARY | UNARY)[self.kind](*parts))

    def bulk(self):
        """The sum of all terms without their signs, which bounds what may cancel."""
        if self.kind in ("+", "-"):
            return self.parts[0].bulk() + self.parts[1].bulk()
        return self.parts[0].bulk().sum(-1) if self.kind == "sum" else np.abs(self.value())

    def leaves(self):
        """Every leaf, from left to right."""
        return [self] if self.kind == "leaf" else [leaf for part in self.parts for leaf in part.leaves()]

    def told(self, numbers=False, most=9):
        """The formula of a single entry as text, with names or with numbers; a long sum shows only some terms."""
        if self.kind == "number" or numbers and self.kind == "leaf":
            return f"{float(self.value()):.4g}"
        if self.kind == "leaf":
            at = np.unravel_index(self.places, self.array.shape)
            return f"{self.name}[{', '.join(map(str, at))}]" if self.array.ndim else self.name
        if self.kind in OVER_AN_AXIS:
            n = self.parts[0].shape[-1]
            few = range(n) if n <= most else (0, 1, 2, n - 1)
            terms = [self.parts[0][k].told(numbers, most) for k in few]
            terms[3:] = [*(["..."] if n > most else ()), *terms[3:]]
            return " + ".join(terms) if self.kind == "sum" else f"max({', '.join(terms)})"
        told = [f"({text})" if self._binds(part) or i and text.startswith("-") else text for i, part, text in (
            (i, part, part.told(numbers, most)) for i, part in enumerate(self.parts))]
        return f" {self.kind} ".join(told) if self.kind in BINARY else f"{self.kind}({', '.join(told)})"

    def _binds(self, part):
        """Whether a part of this operation needs brackets."""
        loose = part.kind in ("+", "-", "sum")
        return part.parts and self.kind in BINARY and (
            loose if self.kind == "*" else loose and part is not self.parts[0] if self.kind in "+-" else
            part.kind in BINARY or part.kind == "sum")

    def rule(self, number_of):
        """The formula of every entry as nested lists, for the page.

        A leaf is ["at", *number_of(its array, its name), place of the first entry, step along every axis]: first along
        the axes of the whole, then along those of the sums around it. Raises Unclear if its places are unevenly spaced.
        """
        if self.kind == "number":
            return float(self.array)
        if self.kind == "leaf":
            return ["at", *number_of(self.array, self.name), *even_steps(self.places)]
        size = [self.parts[0].shape[-1]] if self.kind in OVER_AN_AXIS else []
        return [self.kind, *size, *(part.rule(number_of) for part in self.parts)]


@lru_cache(maxsize=64)
def _counted(size):
    return np.arange(size)


def even_steps(places):
    """-> the first place, the steps along the axes.   Raises Unclear if the steps are uneven"""
    if not places.size:
        raise Unclear("there is no entry")
    origin, owner = places[(0,) * places.ndim], places
    while getattr(owner, "base", None) is not None:
        owner = owner.base
    if owner is _counted(owner.size):                  # a view of 0, 1, 2, ...: its strides are its steps
        steps = [stride // places.itemsize for stride in places.strides]
    else:
        steps = [int(places[tuple(int(i == axis) for i in range(places.ndim))] - origin) if n > 1 else 0
                 for axis, n in enumerate(places.shape)]
        grid = sum((np.arange(n).reshape([-1 if i == axis else 1 for i in range(places.ndim)]) * step
                    for axis, (n, step) in enumerate(zip(places.shape, steps))), np.array(origin))
        if not (grid == places).all():
            raise Unclear("places that do not go in even steps")
    return int(origin), [step if n > 1 else 0 for n, step in zip(places.shape, steps)]


def _constant(x):
    if isinstance(x, np.ndarray) and x.ndim:
        return Cells.of("", x)
    if not isinstance(x, (int, float, np.number, np.ndarray)):
        raise Unclear(f"a {type(x).__name__} among numbers")
    return Cells("number", (), array=np.float64(x))


def _split(x, n, axis=0):
    size = x.shape[axis] // n
    return [x[(slice(None),) * (axis % x.ndim) + (slice(i * size, (i + 1) * size), ...)] for i in range(n)]


def _einsum(spec, *operands):
    """A product of the operands, summed over the letters that are not in the result."""
    left, out = spec.replace(" ", "").split("->")
    if "..." in spec:
        if len(operands) != 1:
            raise Unclear("an einsum with ... of several arrays")
        free = "ABCDEFGH"[: operands[0].ndim - len(left.replace("...", ""))]
        left, out = left.replace("...", free), out.replace("...", free)
    letters = list(dict.fromkeys(out + "".join(left.split(","))))
    spread = []
    for names, x in zip(left.split(","), operands):
        if len(set(names)) != len(names):
            raise Unclear("an einsum along a diagonal")
        x = x.transpose(*sorted(range(x.ndim), key=lambda axis: letters.index(names[axis])))
        spread.append(x[tuple(slice(None) if letter in names else None for letter in letters)])
    product = spread[0]
    for x in spread[1:]:
        product = operator.mul(product, x)
    for _ in range(len(letters) - len(out)):
        product = product.sum(-1)
    return product
