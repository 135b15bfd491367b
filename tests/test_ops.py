import math

import numpy as np
import pytest
from helpers import assert_close, assert_gradients, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from minconvbert import activations, attention, conv, losses, ops
from minconvbert.config import ACTIVATION_NAMES
from minconvbert.shapes import dims, sub, take, under

RNG = np.random.default_rng


def draw(seed, **shapes):
    rng = RNG(seed)
    return {name: frozen(rng.normal(size=shape)) for name, shape in shapes.items()}


def check(op, backward, arrays, upstream, gradients_of, seed=0):
    """op(arrays) against backward(dy, arrays), with a random upstream gradient."""
    y = op(arrays)
    dy = frozen(RNG([seed, 9]).normal(size=y.shape))
    assert upstream is None or dy.shape == upstream
    grads = dict(zip(gradients_of, backward(dy, arrays)))
    rest = {name: x for name, x in arrays.items() if name not in grads}
    assert_gradients(lambda a: float((op(rest | a) * dy).sum()), {n: arrays[n] for n in grads}, grads, seed)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_linear(lead, I, O, seed):
    arrays = draw(seed, x=(*lead, I), weight=(O, I), bias=(O,))
    assert_close(ops.linear(**arrays), arrays["x"] @ arrays["weight"].T + arrays["bias"], 1e-14)
    check(lambda a: ops.linear(a["x"], a["weight"], a["bias"]),
          lambda dy, a: ops.linear_backward(dy, a["x"], a["weight"]), arrays, (*lead, O), ("x", "weight", "bias"), seed)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
def test_grouped_linear(G, B, I, O, seed):
    arrays = draw(seed, x=(B, 3, G * I), weight=(G, I, O), bias=(G * O,))
    blocks = [arrays["x"][..., g * I : (g + 1) * I] @ arrays["weight"][g] for g in range(G)]
    assert_close(ops.grouped_linear(**arrays), np.concatenate(blocks, -1) + arrays["bias"], 1e-14)
    check(lambda a: ops.grouped_linear(a["x"], a["weight"], a["bias"]),
          lambda dy, a: ops.grouped_linear_backward(dy, a["x"], a["weight"]), arrays, None,
          ("x", "weight", "bias"), seed)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3), st.integers(1, 12), st.integers(0, 99))
def test_embedding(B, V, seed):
    ids = RNG(seed).integers(0, V, (B, 7))
    table = draw(seed, table=(V, 3))
    check(lambda a: ops.embedding(ids, a["table"]), lambda dy, a: (ops.embedding_backward(dy, ids, a["table"]),),
          table, (B, 7, 3), ("table",), seed)
    dy = RNG(seed).normal(size=(B, 7, 3))
    one_by_one = np.zeros((V, 3))
    np.add.at(one_by_one, ids, dy)
    one_by_one[0] = 0
    assert_close(ops.embedding_backward(dy, ids, table["table"], padding_idx=0) + 1, one_by_one + 1, 1e-14)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3), st.integers(2, 8), st.sampled_from([1e-12, 1e-5, 0.1]), st.integers(0, 99))
def test_layer_norm(B, D, eps, seed):
    arrays = draw(seed, x=(B, 4, D), weight=(D,), bias=(D,))
    normed, rstd = ops.standardize(arrays["x"], eps)
    assert np.abs(normed.mean(-1)).max() < 1e-12
    assert_close(rstd[..., 0], 1 / np.sqrt(arrays["x"].var(-1) + eps), 1e-13)
    check(lambda a: ops.layer_norm(a["x"], a["weight"], a["bias"], eps),
          lambda dy, a: ops.layer_norm_backward(dy, a["x"], a["weight"], eps), arrays, None,
          ("x", "weight", "bias"), seed)


def test_softmax():
    arrays = draw(3, x=(2, 3, 7))
    assert np.abs(ops.softmax(arrays["x"]).sum(-1) - 1).max() < 1e-14
    assert np.isfinite(ops.softmax(np.array([[1e4, -1e4, 0.0]]))).all()
    check(lambda a: ops.softmax(a["x"]), lambda dy, a: (ops.softmax_backward(dy, ops.softmax(a["x"])),), arrays, None,
          ("x",))


def test_dropout():
    mask = ops.dropout_mask((400, 50), 0.2, RNG(0), np.float32)
    assert mask.dtype == np.float32 and set(np.unique(mask)) == {0, np.float32(1.25)}
    assert (mask == 0).mean() == pytest.approx(0.2, abs=0.01)
    assert ops.dropout_mask((3,), 0.2, None, np.float32) is None
    assert ops.dropout_mask((3,), 0.0, RNG(0), np.float32) is None
    x = draw(0, x=(3,))["x"]
    assert ops.dropout(x, None) is x


@pytest.mark.parametrize("K", [1, 3, 5, 9, 15])
@pytest.mark.parametrize("L", [1, 7])
def test_convolutions(K, L):
    arrays = draw(K, x=(2, L, 6), depthwise=(6, 1, K), pointwise=(4, 6, 1), bias=(4, 1))
    padded = np.pad(arrays["x"], ((0, 0), (K // 2, K // 2), (0, 0)))
    by_hand = sum(padded[:, j : j + L] * arrays["depthwise"][:, 0, j] for j in range(K))
    assert_close(conv.depthwise_conv(arrays["x"], arrays["depthwise"]), by_hand, 1e-14)
    check(lambda a: conv.separable_conv(a["x"], a["depthwise"], a["pointwise"], a["bias"])[0],
          lambda dy, a: conv.separable_conv_backward(
              dy, a["x"], conv.depthwise_conv(a["x"], a["depthwise"]), a["depthwise"], a["pointwise"]), arrays, None,
          ("x", "depthwise", "pointwise", "bias"))
    check(lambda a: conv.depthwise_conv(a["x"], a["depthwise"]),
          lambda dy, a: conv.depthwise_conv_backward(dy, a["x"], a["depthwise"]),
          {n: arrays[n] for n in ("x", "depthwise")}, None, ("x", "depthwise"))
    arrays = draw(K, value=(2, L, 3, 4), kernel=(2, L, 3, K))
    check(lambda a: conv.dynamic_conv(a["value"], a["kernel"]),
          lambda dy, a: conv.dynamic_conv_backward(dy, a["value"], a["kernel"]), arrays, None, ("value", "kernel"))


def test_the_first_tap_is_the_leftmost_neighbour():
    x = np.arange(1.0, 6.0)[None, :, None]
    first_tap = np.array([[[1.0, 0, 0]]])
    assert conv.depthwise_conv(x, first_tap)[0, :, 0].tolist() == [0, 1, 2, 3, 4]
    kernel = np.broadcast_to(first_tap, (1, 5, 1, 3))
    assert conv.dynamic_conv(x[..., None], kernel)[0, :, 0, 0].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("dropped", [False, True])
def test_self_attention(dropped):
    arrays = draw(1, query=(2, 5, 3, 4), key=(2, 5, 3, 4), value=(2, 5, 3, 4))
    bias = np.where(RNG(0).random((2, 1, 1, 5)) < 0.3, np.finfo(float).min, 0)
    drop = ops.dropout_mask((2, 3, 5, 5), 0.3, RNG(4), float) if dropped else None

    def run(a):
        return attention.self_attention(a["query"], a["key"], a["value"], bias, drop)

    check(lambda a: run(a)[0], lambda dy, a: attention.self_attention_backward(dy, run(a)[1]), arrays, None,
          ("query", "key", "value"))


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_activations(name):
    x = np.concatenate([RNG(0).normal(0, 2, 200), [9.9, 10.4, -12.0, 30.0, -30.0]])
    x[np.abs(x) < 1e-3] = 0.5                           # relu has no slope at 0
    y = activations.activate(x, name)
    check(lambda a: activations.activate(a["x"], name),
          lambda dy, a: (activations.activate_backward(dy, a["x"], y, name),), {"x": frozen(x)}, None, ("x",))
    assert set(ACTIVATION_NAMES) == set(activations.ACTIVATIONS)
    f, slope = activations.ACTIVATIONS[name]
    x32, y32 = x.astype(np.float32), f(x.astype(np.float32))
    for exact, single in ((y, y32), (slope(x, y), slope(x32, y32))):
        assert single.dtype == np.float32
        assert np.abs(single - exact).max() < 4e-6 * max(1, np.abs(exact).max())


@pytest.mark.parametrize("name", sorted(set(ACTIVATION_NAMES) - {"relu", "relu6", "leaky_relu"}))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_slopes_at_zero_and_far_out(name, dtype):
    f, slope = activations.ACTIVATIONS[name]
    near = np.float64(1e-6)
    at = np.array([0, -0.0, 1e-30, -1e-30], dtype)
    by_difference = (f(np.array([near])) - f(np.array([-near]))) / (2 * near)
    assert slope(at, f(at)) == pytest.approx(np.repeat(by_difference, 4), abs=1e-6)
    far = np.array([-300, -60, 60, 300], dtype)
    assert np.isfinite(slope(far, f(far))).all()


@pytest.mark.parametrize("dtype, error", [(np.float32, 4e-7), (np.float64, 1e-15)])
def test_sigmoid_keeps_its_digits_far_out(dtype, error):
    x = np.array([-80, -20, -17, -1, 0, 1, 30], dtype)
    assert activations.sigmoid(x) == pytest.approx([1 / (1 + math.exp(-v)) for v in x], rel=error)
    assert (activations.sigmoid(np.array([-2000, 2000], dtype)) == [0, 1]).all()


def test_losses_of_nothing_and_of_what_is_ignored():
    empty = np.zeros((0, 3))
    for loss in ("mean_squared_error", "binary_cross_entropy"):
        assert getattr(losses, f"{loss}_backward")(1.0, empty, empty).shape == (0, 3)
    logits = np.array([[1.0, 2, 3], [np.nan, 0, 1]])
    assert losses.cross_entropy(logits, np.array([0, -100]))[0] == pytest.approx(math.log(1 + math.e + math.e**2))
    with pytest.raises(ValueError, match="wanted must be"):
        losses.mean_squared_error_backward(1.0, np.ones((3, 1)), np.ones(3))


def test_erf_in_float32():
    x = np.linspace(-6, 6, 300_001).astype(np.float32)
    assert np.abs(activations.erf(x) - np.array([math.erf(v) for v in x])).max() < 1.4e-7
    assert activations.erf(np.array([np.inf, -np.inf], np.float32)) == pytest.approx([1, -1], abs=1e-7)
    assert np.isnan(activations.erf(np.array([np.nan], np.float32))).all()


def test_large_arrays_go_through_activations_whole():
    x = RNG(0).normal(size=(3, 2**16 // 2 + 5)).astype(np.float32)
    assert (activations.activate(x, "gelu") == activations.gelu(x)).all()


def test_cross_entropy():
    labels = np.array([[2, -100, 0], [4, 1, -100]])
    arrays = draw(0, logits=(2, 3, 5))
    loss, probs = losses.cross_entropy(arrays["logits"], labels)
    by_hand = [-np.log(probs[i, j, labels[i, j]]) for i in range(2) for j in range(3) if labels[i, j] >= 0]
    assert loss == pytest.approx(np.mean(by_hand), rel=1e-14)
    check(lambda a: losses.cross_entropy(a["logits"], labels)[0],
          lambda dy, a: (losses.cross_entropy_backward(dy, losses.cross_entropy(a["logits"], labels)[1], labels),),
          arrays, (), ("logits",))
    ignored = np.full((2, 3), -100)
    loss, probs = losses.cross_entropy(arrays["logits"], ignored)
    assert np.isnan(loss) and (losses.cross_entropy_backward(1.0, probs, ignored) == 0).all()


WEIGHT, GROUPED = draw(1, weight=(4, 6))["weight"], draw(2, weight=(2, 3, 2))["weight"]
SCALE, BIAS = (draw(3, scale=6, bias=4)[name] for name in ("scale", "bias"))
ROW_BY_ROW = {                                         # of x (..., 6), dy (..., 6) or its first 4, and labels (...)
    "linear": lambda x, dy, labels: ops.linear(x, WEIGHT, BIAS),
    "linear_backward": lambda x, dy, labels: ops.linear_backward(dy[..., :4], x, WEIGHT)[0],
    "grouped_linear": lambda x, dy, labels: ops.grouped_linear(x, GROUPED, BIAS),
    "grouped_linear_backward": lambda x, dy, labels: ops.grouped_linear_backward(dy[..., :4], x, GROUPED)[0],
    "embedding": lambda x, dy, labels: ops.embedding(np.maximum(labels, 0), WEIGHT.T),
    "layer_norm": lambda x, dy, labels: ops.layer_norm(x, SCALE, SCALE, 0.1),
    "layer_norm_backward": lambda x, dy, labels: ops.layer_norm_backward(dy, x, SCALE, 0.1)[0],
    "softmax": lambda x, dy, labels: ops.softmax(x),
    "softmax_backward": lambda x, dy, labels: ops.softmax_backward(dy, ops.softmax(x)),
    "nll": lambda x, dy, labels: losses.negative_log_likelihood(x, np.maximum(labels, 0))[0],
    "nll_backward": lambda x, dy, labels: losses.negative_log_likelihood_backward(
        0.3, ops.softmax(x), np.maximum(labels, 0)),
    "cross_entropy_backward": lambda x, dy, labels: losses.cross_entropy_backward(0.3, ops.softmax(x), labels),
    "binary_nll": lambda x, dy, labels: losses.binary_nll(x, dy),
    "binary_nll_backward": lambda x, dy, labels: losses.binary_nll_backward(0.3, x, dy),
    "gelu": lambda x, dy, labels: activations.activate(x, "gelu")}


@pytest.mark.parametrize("shape", ((1,), (2, 6), (6, 2), (2, 1, 6)))
@pytest.mark.parametrize("name", ROW_BY_ROW)
def test_whatever_axes_come_first_each_row_is_a_row(name, shape):
    rng, count = RNG(4), math.prod(shape)
    x, dy, labels = rng.normal(size=(count, 6)), rng.normal(size=(count, 6)), rng.integers(-1, 6, count)
    labels[labels < 0] = -100
    flat = ROW_BY_ROW[name](x, dy, labels)
    found = ROW_BY_ROW[name](x.reshape(*shape, 6), dy.reshape(*shape, 6), labels.reshape(shape))
    assert found.shape == (*shape, *flat.shape[1:])
    np.testing.assert_allclose(found.reshape(flat.shape), flat, rtol=1e-12, atol=1e-14)


def test_the_other_losses():
    arrays = draw(0, predicted=(4, 3), wanted=(4, 3))
    wanted = arrays["wanted"]
    check(lambda a: losses.mean_squared_error(a["predicted"], wanted),
          lambda dy, a: (losses.mean_squared_error_backward(dy, a["predicted"], wanted),),
          {"predicted": arrays["predicted"]}, (), ("predicted",))
    wanted = (wanted > 0).astype(float)
    check(lambda a: losses.binary_cross_entropy(a["predicted"], wanted),
          lambda dy, a: (losses.binary_cross_entropy_backward(dy, a["predicted"], wanted),),
          {"predicted": arrays["predicted"]}, (), ("predicted",))
    assert np.isfinite(losses.binary_nll(np.array([1e4, -1e4]), np.array([0.0, 1.0]))).all()


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text("ab.", min_size=1, max_size=6), st.integers(), max_size=5),
       st.sampled_from(["a", "a.b", "layer.1"]))
def test_sub_undoes_under(entries, prefix):
    assert sub(under(prefix, entries), prefix) == entries
    assert sub(under("layer.10", entries), "layer.1") == {}


def test_take_is_sub_and_takes_away():
    entries = {"a.b": 1, "a.c": 2, "ab": 3}
    expected = sub(entries, "a")
    assert take(entries, "a") == expected == {"b": 1, "c": 2} and entries == {"ab": 3}


def test_dims_returns_sizes_in_order():
    x, w = np.zeros((2, 3, 5)), np.zeros((7, 5))
    assert dims("x[B L D], w[O D]", x, w) == (2, 3, 5, 7)
    assert dims("x[... D], w[O D]", x, w) == (5, 7)
    assert dims("w[7 D]", w) == (5,)
