"""The tape's gradients, function by function, against differences; some arrays are constants without a gradient."""

import numpy as np
import pytest

from minconvbert.golden.tape import MOVING, SLOPES, Tape

RNG = np.random.default_rng(0)
X, PLAIN = (RNG.uniform(0.5, 2, (2, 3, 4)) * RNG.choice([1.0, -1.0], (2, 3, 4)) for _ in range(2))
WEIGHT, AT = RNG.normal(size=(4, 5)), RNG.integers(0, 3, (2, 2, 4))
MOVES = {                                              # name: a use of it, from x (2, 3, 4) to one array
    "concatenate": lambda x: np.concatenate([x, PLAIN, x[:1]], axis=0), "stack": lambda x: np.stack([PLAIN, x, x], 1),
    "split": lambda x: np.split(x, [1, 3], axis=-1)[1], "roll": lambda x: np.roll(x, 1, axis=1),
    "flip": lambda x: np.flip(x, 2), "pad": lambda x: np.pad(x, ((0, 0), (1, 2), (0, 0))),
    "repeat": lambda x: np.repeat(x, 3, axis=1), "take_along_axis": lambda x: np.take_along_axis(x, AT, 1),
    "broadcast_to": lambda x: np.broadcast_to(x, (5, 2, 3, 4)), "swapaxes": lambda x: np.swapaxes(x, 0, 2),
    "transpose": lambda x: np.transpose(x, (2, 0, 1)), "reshape": lambda x: np.reshape(x, (6, 4)),
    "expand_dims": lambda x: np.expand_dims(x, 1)}
SINGLE = {np.add: lambda x: x + PLAIN * (x + 1), np.subtract: lambda x: PLAIN - x, np.multiply: lambda x: x * PLAIN * x,
          np.divide: lambda x: PLAIN / x - x / PLAIN, np.power: lambda x: x ** 3,
          np.maximum: lambda x: np.maximum(x, PLAIN) + np.maximum(PLAIN, 2 * x),
          np.minimum: lambda x: np.minimum(x, PLAIN) + np.minimum(PLAIN, 2 * x)}
OTHERS = {
    "matmul": lambda x: x @ WEIGHT, "matmul of both": lambda x: x @ x.swapaxes(1, 2),
    "matmul from the left": lambda x: WEIGHT.T @ x.swapaxes(1, 2), "max": lambda x: x.max(-1), "max kept": lambda x: x.max(1, keepdims=True),
    "sum": lambda x: x.sum((0, 2)), "sum of all": lambda x: x.sum() * x, "mean": lambda x: x.mean(-1, keepdims=True),
    "mean of all": lambda x: np.mean(x) + x, "einsum": lambda x: np.einsum("...n->...", x),
    "where": lambda x: np.where(PLAIN > 0, 3 * x, PLAIN), "clip": lambda x: np.clip(x, -1, 0.8), "copy": np.copy,
    "zeros_like": lambda x: np.zeros_like(x) + x, "ones_like": lambda x: np.ones_like(x) * x, "transpose": lambda x: x.T,
    "astype": lambda x: x.astype(np.float64), "slice": lambda x: x[:, 1:, ::2] * x[:1, :2, 1::2]}
USES = MOVES | {f.__name__: SINGLE.get(f, f) for f in SLOPES} | OTHERS


@pytest.mark.parametrize("name", USES)
def test_gradients_are_differences(name):
    use = USES[name]
    x0 = np.abs(X) if name in ("sqrt", "log", "log1p") else X
    tape = Tape()
    x = tape.track(x0)
    y = use(x)
    wanted = lambda x: np.asarray(use(x), float)       # erf gives objects
    np.testing.assert_allclose(y.value, wanted(x0), rtol=1e-14)
    dy, direction = RNG.normal(size=y.shape), RNG.normal(size=x0.shape)
    gradient = tape.backward(y, dy)[x.ids]
    slope = ((wanted(x0 + 1e-6 * direction) - wanted(x0 - 1e-6 * direction)) * dy).sum() / 2e-6
    assert (gradient * direction).sum() == pytest.approx(slope, rel=1e-6, abs=1e-7)


def test_no_function_is_left_out():
    assert MOVES.keys() == {f.__name__ for f in MOVING}


def test_what_is_written_into_a_view_is_written_into_the_whole():
    tape = Tape()
    x, out = tape.track(X), tape.constant(np.zeros((2, 3, 4)))
    out[:, 1] = 2 * x[:, 0]
    out[0, :, 3] = 5.0                                  # a number that no gradient flows to
    dy = RNG.normal(size=out.shape)
    wanted = np.zeros_like(X)
    wanted[:, 0] = 2 * dy[:, 1]
    wanted[0, 0, 3] = 0
    np.testing.assert_allclose(tape.backward(out, dy)[x.ids], wanted)
