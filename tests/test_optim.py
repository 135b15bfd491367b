import re

import numpy as np
import pytest
from helpers import small_config

from minconvbert.config import param_shapes
from minconvbert.initialize import init_params
from minconvbert.optim import adam_state, adam_step, clip_by_global_norm, global_norm, learning_rate


def test_warm_up_and_decay_work_at_once():
    rates = [learning_rate(step, 2.0, 100, 10) for step in (0, 5, 10, 50, 100, 120)]
    assert rates == pytest.approx([0, 2 * 0.95 * 0.5, 2 * 0.9, 1.0, 0, 0])
    assert learning_rate(0, 2.0, 100, 0) == 2.0


def test_only_the_last_share_decays():
    rates = [learning_rate(step, 2.0, 100, 10, 0.2) for step in (5, 10, 50, 80, 90, 95, 100, 120)]
    assert rates == pytest.approx([1.0, 2.0, 2.0, 2.0, 1.0, 0.5, 0, 0])
    assert learning_rate(77, 2.0, 100, 10, 1.0) == learning_rate(77, 2.0, 100, 10)


def test_adam_by_hand():
    params = {"dense.weight": np.array([1.0, -2.0]), "LayerNorm.weight": np.array([1.0]), "dense.bias": np.array([0.5])}
    grads = [{name: np.full_like(x, g) for name, x in params.items()} for g in (0.3, -0.1)]
    expected = {name: x.copy() for name, x in params.items()}
    m = v = 0.0
    for g in (0.3, -0.1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        for name in expected:
            decay = 0.01 * expected[name] if name == "dense.weight" else 0
            expected[name] = expected[name] - 0.05 * (m / (v**0.5 + 1e-6) + decay)
    state = adam_state(params)
    for g in grads:
        adam_step(params, g, state, 0.05)
    for name in params:
        assert params[name] == pytest.approx(expected[name], rel=1e-14)


def test_layers_can_have_rates_of_their_own():
    params = {"a.bias": np.zeros(2), "b.bias": np.zeros(2)}
    grads, scale = {name: np.ones(2) for name in params}, {"a.bias": 1.0, "b.bias": 0.25}
    adam_step(params, grads, adam_state(params), 0.1, scale=scale)
    assert params["b.bias"] == pytest.approx(params["a.bias"] / 4)


def test_clipping():
    grads = {"a": np.array([3.0, 0.0]), "b": np.array([[4.0]])}
    assert global_norm(grads) == 5
    assert clip_by_global_norm(grads, 1.0) == 5 and global_norm(grads) == pytest.approx(1)
    before = {name: g.copy() for name, g in grads.items()}
    clip_by_global_norm(grads, 2.0)
    assert all((grads[name] == before[name]).all() for name in grads)
    with pytest.raises(FloatingPointError, match=re.escape("gradients are not finite: b")):
        clip_by_global_norm({"a": np.ones(2), "b": np.array([np.nan])}, 1.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_optimizer_keeps_the_width(dtype):
    params = {"x.weight": np.ones((3, 2), dtype)}
    state, grads = adam_state(params), {"x.weight": np.full((3, 2), 5, dtype)}
    clip_by_global_norm(grads, 1.0)
    adam_step(params, grads, state, 0.1)
    assert {a.dtype for d in (params, state, grads) for a in d.values()} == {np.dtype(dtype)}


@pytest.mark.parametrize("scheme", ["hf", "original"])
def test_initialisation(scheme):
    cfg = small_config(hidden_size=96, embedding_size=48, vocab_size=300, num_groups=2, intermediate_size=96)
    params = init_params(cfg, "masked_lm", np.random.default_rng(3), scheme)
    again = init_params(cfg, "masked_lm", np.random.default_rng(3), scheme)
    assert {name: x.shape for name, x in params.items()} == param_shapes(cfg, "masked_lm")
    assert all((params[name] == again[name]).all() and x.dtype == np.float32 for name, x in params.items())
    layer = "convbert.encoder.layer.0"
    assert (params[f"{layer}.output.LayerNorm.weight"] == 1).all() and (params[f"{layer}.output.dense.bias"] == 0).all()
    std = {name: params[f"convbert.{name}.weight"].std() for name in (
        "embeddings.word_embeddings", "embeddings_project", "encoder.layer.0.intermediate.dense",
        "encoder.layer.0.attention.self.key_conv_attn_layer.depthwise")}
    pad_row = params["convbert.embeddings.word_embeddings.weight"][0]
    if scheme == "hf":
        assert list(std.values()) == pytest.approx([0.02] * 4, rel=0.12) and (pad_row == 0).all()
    else:
        # A normal that is cut off at two deviations has 0.88 of the deviation.
        assert list(std.values()) == pytest.approx(
            [0.0176, (6 / (96 + 48)) ** 0.5 / 3**0.5, 0.0176, 0.88 / 5], rel=0.12) and (pad_row != 0).any()
        assert np.abs(params[f"{layer}.intermediate.dense.weight"]).max() <= 0.04


def test_an_unknown_scheme():
    with pytest.raises(ValueError, match="scheme must be 'hf' or 'original', but is 'xavier'"):
        init_params(small_config(), scheme="xavier")
