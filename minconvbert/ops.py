"""The bricks: each op with its backward directly below.

An op is `y = f(x, ...)`; its backward is `dx, ... = f_backward(dy, ...)`. A backward takes dy and only what it
needs of the forward's inputs and output: `linear` both operands, `softmax` the output, `layer_norm` the input.
"""

import numpy as np

from .inputs import require_generator
from .shapes import dims


def linear(x, weight, bias):
    """y = x W^T + b.   x (..., I), weight (O, I), bias (O,)  ->  (..., O)"""
    I, O = dims("x[... I], weight[O I], bias[O]", x, weight, bias)
    y = x.reshape(-1, I) @ weight.T
    y += bias
    return y.reshape(*x.shape[:-1], O)


def linear_backward(dy, x, weight):
    """-> dx (..., I), dweight (O, I), dbias (O,)"""
    O, I = dims("dy[... O], x[... I], weight[O I]", dy, x, weight)
    dy_rows, x_rows = dy.reshape(-1, O), x.reshape(-1, I)
    return (dy_rows @ weight).reshape(x.shape), dy_rows.T @ x_rows, dy_rows.sum(0)


def grouped_linear(x, weight, bias):
    """The inputs fall into G neighbouring groups, each with a linear map of its own; y_g = x_g W_g, then + b.

    x (..., G I), weight (G, I, O), bias (G O,)  ->  (..., G O)

    The weight of a group is (inputs, outputs): not transposed, unlike `linear`'s.
    """
    _check_groups("x", x, weight, 1)
    G, I, O = weight.shape
    y = np.empty((*x.shape[:-1], G * O), x.dtype)
    dims("y[... O], bias[O]", y, bias)
    np.matmul(x.reshape(-1, G, I).swapaxes(0, 1), weight, out=y.reshape(-1, G, O).swapaxes(0, 1))
    y += bias
    return y


def grouped_linear_backward(dy, x, weight):
    """-> dx (..., G I), dweight (G, I, O), dbias (G O,)"""
    _check_groups("x", x, weight, 1)
    _check_groups("dy", dy, weight, 2)
    G, I, O = weight.shape
    dy_groups = dy.reshape(-1, G, O).swapaxes(0, 1)                                  # (G, rows, O)
    x_groups = x.reshape(-1, G, I).swapaxes(0, 1)                                    # (G, rows, I)
    dx = np.empty(x.shape, x.dtype)
    np.matmul(dy_groups, weight.swapaxes(1, 2), out=dx.reshape(-1, G, I).swapaxes(0, 1))
    return dx, np.matmul(x_groups.swapaxes(1, 2), dy_groups), dy.reshape(-1, G * O).sum(0)


def _check_groups(name, x, weight, axis):
    dims("weight[G I O]", weight)
    dims(f"{name}[... D], weight[G I O]", x, weight)
    width = weight.shape[0] * weight.shape[axis]
    if x.shape[-1] != width:
        raise ValueError(f"{name} must be (..., {width}) for weight {weight.shape}, but its shape is {x.shape}")


def embedding(ids, table):
    """The rows of the table at `ids`.   ids (...) of integers in [0, V), table (V, E)  ->  (..., E)"""
    return table[ids]


def embedding_backward(dy, ids, table, padding_idx=None):
    """-> dtable (V, E): each row sums dy over the places of its id; that of `padding_idx` stays zero."""
    V, E = dims("table[V E]", table)
    dy_rows, ids = dy.reshape(-1, E), ids.reshape(-1)
    dtable = np.zeros_like(table)
    # Sorting makes the occurrences of an id neighbours, so one sum covers each run (np.add.at takes 5 times as long).
    order = np.argsort(ids, kind="stable")
    rows, starts = np.unique(ids[order], return_index=True)
    if rows.size:
        dtable[rows] = np.add.reduceat(dy_rows[order], starts, axis=0)
    if padding_idx is not None:
        dtable[padding_idx] = 0
    return dtable


def layer_norm(x, weight, bias, eps):
    """Bring every row of x to mean 0 and variance 1, then scale and shift it by the learned weight and bias.

    y = (x - mean) / sqrt(variance + eps) * weight + bias.   x (..., D), weight (D,), bias (D,)  ->  (..., D)
    """
    dims("x[... D], weight[D], bias[D]", x, weight, bias)
    y, _ = standardize(x, eps)
    y *= weight
    y += bias
    return y


def layer_norm_backward(dy, x, weight, eps):
    """-> dx (..., D), dweight (D,), dbias (D,)

    Adding a constant to a row of x, or stretching the row, does not change `normed` (but for eps).
    So no gradient can flow along (1, ..., 1) or along `normed`: those two parts are taken out.
    """
    (D,) = dims("dy[... D], x[... D], weight[D]", dy, x, weight)
    normed, rstd = standardize(x, eps)
    dweight, dbias = (dy * normed).reshape(-1, D).sum(0), dy.reshape(-1, D).sum(0)
    dnormed = dy * weight
    along_ones = row_sum(dnormed) / D
    along_normed = row_sum(dnormed * normed) / D
    dx = dnormed - along_ones
    dx -= normed * along_normed
    dx *= rstd
    return dx, dweight, dbias


def standardize(x, eps):
    """-> normed (..., D): x with mean 0 and variance 1;  rstd (..., 1): the factor that scaled it"""
    D = x.shape[-1]
    centred = x - row_sum(x) / D
    rstd = 1 / np.sqrt(row_sum(centred * centred) / D + eps)
    normed = np.multiply(centred, rstd, out=centred)
    return normed, rstd


def softmax(x):
    """y_i = exp(x_i) / sum_j exp(x_j) over the last axis.   x (..., N)  ->  (..., N), each row sums to 1"""
    y = x - x.max(-1, keepdims=True)
    np.exp(y, out=y)
    y /= row_sum(y)
    return y


def softmax_backward(dy, y):
    """-> dx (..., N).   The rows of y always sum to 1, so dx depends only on dy less its y-weighted mean."""
    dims("dy[... N], y[... N]", dy, y)
    dx = dy * y
    dx -= y * row_sum(dx)
    return dx


def row_sum(x):
    """The sum over the last axis.   x (..., N)  ->  (..., 1)"""
    return np.einsum("...n->...", x)[..., None]        # x.sum takes three times as long


def dropout_mask(shape, p, rng, dtype):
    """0 with probability p, else 1 / (1 - p), so that the mean is unchanged; None if `rng` is None or p is 0.

    `x * mask` is dropout, and `dy * mask` its backward.
    """
    if rng is None or p == 0:
        return None
    try:
        mask = (rng.random(shape, dtype=np.float32) >= p).astype(dtype)
    except (AttributeError, TypeError):
        require_generator(rng)
        raise
    mask *= 1 / (1 - p)
    return mask


def dropout(x, mask):
    """x * mask, or x itself if there is no mask; it is its own backward."""
    return x if mask is None else x * mask
