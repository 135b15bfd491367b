"""The activations that a configuration may name: each with its slope, the derivative that backward multiplies by."""

import math

import numpy as np

from .shapes import dims


def activate(x, name):
    """y = f(x), element by element; `name` is a key of ACTIVATIONS.   x (...)  ->  (...)"""
    return _by_blocks(ACTIVATIONS[name][0], x)


def activate_backward(dy, x, name):
    """-> dx (...) = dy f'(x)"""
    dims("dy[...], x[...]", dy, x)
    dx = _by_blocks(ACTIVATIONS[name][1], x)
    dx *= dy
    return dx


def _by_blocks(f, x, block=2**15):
    # The ten or so passes of an activation run twice as fast on blocks that stay in the cache.
    y = np.empty(x.size, x.dtype)
    flat = x.reshape(-1)
    for start in range(0, x.size, block):
        y[start : start + block] = f(flat[start : start + block])
    return y.reshape(x.shape)


def gelu(x):
    """x Phi(x), with Phi the cumulative normal distribution."""
    return x * normal_cdf(x)


def gelu_slope(x):
    return normal_cdf(x) + x * np.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))


def normal_cdf(x):
    """Phi(x) = (1 + erf(x / sqrt(2))) / 2"""
    y = erf(x * (1 / math.sqrt(2)))
    y += 1
    y *= 0.5
    return y


def erf(x):
    """The error function; exact to rounding in float64, to 1.4e-7 in float32.

    In float32, erf(x) = tanh(x q(x^2)) with a polynomial q fitted to atanh(erf(x)) / x. (Its first two terms alone are
    the "tanh approximation" of GELU.) Beyond 3.9, erf is within rounding of 1 in float32.
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


def gelu_tanh_slope(x, scale=math.sqrt(2 / math.pi)):
    tanh = np.tanh(scale * x * (1 + 0.044715 * x * x))
    return 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh * tanh) * scale * (1 + 3 * 0.044715 * x * x)


def sigmoid(x):
    """1 / (1 + exp(-x)), written so that exp cannot overflow"""
    return 0.5 * (1 + np.tanh(0.5 * x))


def sigmoid_slope(x):
    y = sigmoid(x)
    return y * (1 - y)


def silu(x):
    """x sigmoid(x)"""
    return x * sigmoid(x)


def silu_slope(x):
    return sigmoid(x) + x * sigmoid_slope(x)


def softplus(x):
    """log(1 + exp(x)), written so that exp cannot overflow"""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def mish(x):
    """x tanh(softplus(x))"""
    return x * np.tanh(softplus(x))


def mish_slope(x):
    tanh = np.tanh(softplus(x))
    return tanh + x * (1 - tanh * tanh) * sigmoid(x)


# name: (f, its slope)
ACTIVATIONS = {
    "gelu": (gelu, gelu_slope),
    "gelu_new": (gelu_tanh, gelu_tanh_slope),
    "gelu_pytorch_tanh": (gelu_tanh, gelu_tanh_slope),
    "gelu_accurate": (gelu_tanh, gelu_tanh_slope),
    # Hugging Face writes sqrt(2 / pi) with ten digits here.
    "gelu_fast": (lambda x: gelu_tanh(x, 0.7978845608), lambda x: gelu_tanh_slope(x, 0.7978845608)),
    "gelu_10": (lambda x: np.clip(gelu(x), -10, 10), lambda x: gelu_slope(x) * (np.abs(gelu(x)) <= 10)),
    "quick_gelu": (
        lambda x: x * sigmoid(1.702 * x), lambda x: sigmoid(1.702 * x) + 1.702 * x * sigmoid_slope(1.702 * x)),
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(x.dtype)),
    "relu2": (lambda x: np.square(np.maximum(x, 0)), lambda x: 2 * np.maximum(x, 0)),
    "leaky_relu": (lambda x: np.where(x > 0, x, 0.01 * x), lambda x: np.where(x > 0, 1, 0.01).astype(x.dtype)),
    "silu": (silu, silu_slope),
    "swish": (silu, silu_slope),
    "tanh": (np.tanh, lambda x: 1 - np.square(np.tanh(x))),
    "sigmoid": (sigmoid, sigmoid_slope),
    "mish": (mish, mish_slope),
    "linear": (lambda x: x, np.ones_like),
}
