"""head_ratio_semantics="original": the graph of the original's modeling.py, written down once more, for any ratio.

Heads are hidden_size / num_attention_heads wide; there are max(1, num_attention_heads // head_ratio) of each kind; the
output dense reads what both kinds give side by side, 2 * heads * head_size numbers. Padded positions get -10000.
"""

import numpy as np
import pytest
from helpers import assert_close, random_inputs, random_params, small_config

from minconvbert.faces import ConvBertModel


def original_layer(x, mask, p, heads, size, K):
    B, L, D = x.shape
    dense = lambda name, y: y @ p[f"{name}.weight"].T + p[f"{name}.bias"]
    norm = lambda name, y: ((y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-12)
                            * p[f"{name}.weight"] + p[f"{name}.bias"])
    own = "attention.self"
    q, k, v, point = (dense(f"{own}.{name}", x) for name in ("query", "key", "value", "conv_out_layer"))
    out = np.zeros((B, L, 2 * heads * size))
    wide = np.pad(x, ((0, 0), (K // 2, K // 2), (0, 0)))
    depthwise = p[f"{own}.key_conv_attn_layer.depthwise.weight"]
    span = sum(wide[:, i : i + L] * depthwise[:, 0, i] for i in range(K))
    span = span @ p[f"{own}.key_conv_attn_layer.pointwise.weight"][:, :, 0].T
    span = span + p[f"{own}.key_conv_attn_layer.bias"][:, 0]
    logits = dense(f"{own}.conv_kernel_layer", q * span)
    for b in range(B):
        for h in range(heads):
            cols = slice(h * size, (h + 1) * size)
            scores = q[b, :, cols] @ k[b, :, cols].T / size**0.5 + (1 - mask[b]) * -10000.0
            probs = np.exp(scores - scores.max(-1, keepdims=True))
            out[b, :, cols] = probs / probs.sum(-1, keepdims=True) @ v[b, :, cols]
            for t in range(L):
                kernel = np.exp(logits[b, t, h * K : (h + 1) * K])
                kernel /= kernel.sum()
                for i in range(K):
                    if 0 <= t + i - K // 2 < L:
                        at = slice((heads + h) * size, (heads + h + 1) * size)
                        out[b, t, at] += kernel[i] * point[b, t + i - K // 2, cols]
    attended = norm("attention.output.LayerNorm", dense("attention.output.dense", out) + x)
    wide = np.maximum(dense("intermediate.dense", attended), 0)
    return norm("output.LayerNorm", dense("output.dense", wide) + attended)


@pytest.mark.parametrize("heads, ratio", [(4, 1), (4, 2), (4, 3), (4, 4), (4, 9), (1, 2), (6, 2), (6, 3)])
def test_the_graph_of_the_original(heads, ratio):
    cfg = small_config(num_attention_heads=heads, head_ratio=ratio, hidden_act="relu", mask_value=-10000.0,
                       head_ratio_semantics="original", num_hidden_layers=1)
    params, inputs = random_params(cfg), random_inputs(cfg, blank_row=True)
    out = ConvBertModel(cfg, params)(**inputs)
    layer = {name.removeprefix("encoder.layer.0."): x for name, x in params.items()}
    expected = original_layer(
        out.hidden_states[0], inputs["attention_mask"], layer, max(1, heads // ratio), 24 // heads, 5)
    assert_close(out.last_hidden_state, expected, 1e-13)


def test_both_readings_agree_at_ratio_two():
    changes = dict(num_attention_heads=4, head_ratio=2)
    one, other = (small_config(head_ratio_semantics=s, **changes) for s in ("huggingface", "original"))
    params, inputs = random_params(one), random_inputs(one)
    assert (ConvBertModel(one, params)(**inputs).last_hidden_state
            == ConvBertModel(other, params)(**inputs).last_hidden_state).all()
