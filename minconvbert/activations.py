"""The activations that a configuration may name: each with its slope, the derivative that backward multiplies by.

A slope takes both x and y = f(x), because the forward has already computed much of it: the slope of tanh is 1 - y^2,
and the factor by which `gelu` multiplies x is y / x.
"""

import math

import numpy as np

from .shapes import dims


def activate(x, name):
    """y = f(x), element by element; `name` is a key of ACTIVATIONS.   x (...)  ->  (...)"""
    return _by_blocks(ACTIVATIONS[name][0], x)


def activate_backward(dy, x, y, name):
    """-> dx (...) = dy f'(x)"""
    dims("dy[...], x[...], y[...]", dy, x, y)
    slope = ACTIVATIONS[name][1]
    return _by_blocks(lambda dy, x, y: dy * slope(x, y), dy, x, y)


def _by_blocks(f, *arrays, block=2**16):
    if arrays[0].dtype.kind != "f":
        raise TypeError(f"an activation needs floats, but they are {arrays[0].dtype}; use astype(float)")
    # The ten or so passes of an activation run twice as fast on blocks that stay in the cache.
    out = np.empty_like(arrays[0], order="C")
    flat_out, *flat = (a.reshape(-1) for a in (out, *arrays))
    for start in range(0, out.size, block):
        part = slice(start, start + block)
        flat_out[part] = f(*(a[part] for a in flat))
    return out


def gate(x, y, at_zero=0.5):
    """y / x, the gate of an activation y = x gate(x). At x = 0 it is `at_zero`, because y / x is undefined there."""
    with np.errstate(invalid="ignore"):
        g = y / x
    g[x == 0] = at_zero
    return g


def gelu(x):
    """x Phi(x), with Phi the cumulative normal distribution."""
    return x * normal_cdf(x)


def gelu_slope(x, y):
    """Phi(x) + x phi(x), with phi the density of the normal distribution."""
    density = np.exp(-0.5 * x * x)
    density *= 1 / math.sqrt(2 * math.pi)
    density *= x
    density += gate(x, y)
    return density


def normal_cdf(x):
    """Phi(x) = (1 + erf(x / sqrt(2))) / 2"""
    y = erf(x * (1 / math.sqrt(2)))
    y += 1
    y *= 0.5
    return y


def erf(x):
    """The error function; exact to rounding in float64, to 1.4e-7 in float32.

    In float32, erf(x) = tanh(x q(x^2)) with a polynomial q fitted to atanh(erf(x)) / x. (The "tanh
    approximation" of GELU is such a polynomial of two terms.) Beyond 3.9, erf is within rounding of 1 in float32.
    """
    if x.dtype != np.float32:
        return _exact_erf(x).astype(x.dtype)
    clipped = np.clip(x, -3.9, 3.9)
    square = clipped * clipped
    q = _Q[-1] * square
    for coefficient in _Q[-2:0:-1]:
        q += coefficient
        q *= square
    q += _Q[0]
    q *= clipped
    return np.tanh(q, out=q)


_exact_erf = np.frompyfunc(math.erf, 1, 1)
_Q = (1.128379705e+00, 1.027654819e-01, -1.843848626e-04, -6.257183086e-04, 8.971198837e-05, -5.985566541e-06,
      1.589511029e-07)


def gelu_tanh(x, scale=math.sqrt(2 / math.pi)):
    """0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))"""
    return 0.5 * x * (1 + np.tanh(scale * x * (1 + 0.044715 * x * x)))


def gelu_tanh_slope(x, y, scale=math.sqrt(2 / math.pi)):
    """g + 2 y (1 - g) scale (1 + 3 * 0.044715 x^2), with the gate g = 0.5 (1 + tanh(...))."""
    g = gate(x, y)
    return g + 2 * y * (1 - g) * scale * (1 + 3 * 0.044715 * x * x)


def sigmoid(x):
    """1 / (1 + exp(-x)); where exp overflows, 1 / inf gives the right value, 0"""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def silu(x, scale=1.0):
    """x sigmoid(scale x)"""
    return x * sigmoid(scale * x)


def silu_slope(x, y, scale=1.0):
    """g + scale y (1 - g), with the gate g = sigmoid(scale x)."""
    g = gate(x, y)
    return g + scale * y * (1 - g)


def softplus(x):
    """log(1 + exp(x)), written so that exp cannot overflow"""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def mish(x):
    """x tanh(softplus(x))"""
    return x * np.tanh(softplus(x))


def mish_slope(x, y):
    """g + x (1 - g^2) sigmoid(x), with the gate g = tanh(softplus(x))."""
    g = gate(x, y, at_zero=0.6)
    return g + x * (1 - g * g) * sigmoid(x)


# name: (f(x), its slope (x, y))
ACTIVATIONS = {
    "gelu": (gelu, gelu_slope),
    "gelu_python": (gelu, gelu_slope),
    "gelu_new": (gelu_tanh, gelu_tanh_slope),
    "gelu_pytorch_tanh": (gelu_tanh, gelu_tanh_slope),
    "gelu_accurate": (gelu_tanh, gelu_tanh_slope),
    # Hugging Face writes sqrt(2 / pi) with ten digits here.
    "gelu_fast": (lambda x: gelu_tanh(x, 0.7978845608), lambda x, y: gelu_tanh_slope(x, y, 0.7978845608)),
    "gelu_10": (lambda x: np.clip(gelu(x), -10, 10), lambda x, y: gelu_slope(x, y) * (x <= 10)),
    "quick_gelu": (lambda x: silu(x, 1.702), lambda x, y: silu_slope(x, y, 1.702)),
    "relu": (lambda x: np.maximum(x, 0), lambda x, y: (x > 0).astype(x.dtype)),
    "relu2": (lambda x: np.square(np.maximum(x, 0)), lambda x, y: 2 * np.maximum(x, 0)),
    "relu6": (lambda x: np.clip(x, 0, 6), lambda x, y: ((x > 0) & (x < 6)).astype(x.dtype)),
    "leaky_relu": (lambda x: np.where(x > 0, x, 0.01 * x), lambda x, y: np.where(x > 0, 1, 0.01).astype(x.dtype)),
    "silu": (silu, silu_slope),
    "swish": (silu, silu_slope),
    "tanh": (np.tanh, lambda x, y: 1 - y * y),
    "sigmoid": (sigmoid, lambda x, y: y * (1 - y)),
    "mish": (mish, mish_slope),
    "linear": (lambda x: x, lambda x, y: np.ones_like(x)),
}
