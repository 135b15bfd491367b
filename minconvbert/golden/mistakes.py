"""The catalogue of mistakes that ports make. Each is a change of one or two lines of the reference itself.

A line of the table has the name of the mistake, the function, a piece of its text, and the text that the mistaken port
has in its place. The numbers of a port are compared with those of the reference with this change.
"""

import contextlib
import inspect
import linecache
import sys
import textwrap
from functools import cache

import numpy as np

from .. import activations, attention, conv, heads, losses, model, ops, optim
from ..tokenizer import hugging_face, rows, wordpiece
from . import wholes
from .trace import BY_HAND
from .wholes import CASES

PLANTED_IN = (activations, attention, conv, heads, losses, model, ops, optim, hugging_face, rows, wordpiece, wholes)

# name: edits, each (module.function, old text, new text); the function has the old text exactly once.
MISTAKES = {}
# Mistakes that differ in a value: (the text to print if several fit, {mistake: its value}).
RANGES = []
# These show in the rounding of float32, so a run in float64 does not reproduce them.
IN_SINGLE = {"attention: mask value -10000, or another that does not drown the scores"}


def _mistake(name, *edits):
    assert name not in MISTAKES, name
    flat = edits if isinstance(edits[0], tuple) else [edits]
    MISTAKES[name] = [tuple(edit) for edit in flat]


def _values(several, name, values, where, old, new):
    for value in values:
        _mistake(name.format(value), where, old, new.format(value))
    RANGES.append((several, {name.format(value): value for value in values}))


# Linear maps
_mistake("linear: weight transposed", "ops.linear", "@ weight.T", "@ weight.reshape(I, O)")
_mistake("linear: bias missing", "ops.linear", "y += bias", "pass")
for _module, _where in (("query", "attention.mixed_attention"), ("key", "attention.mixed_attention"),
                        ("value", "attention.mixed_attention"), ("conv_kernel_layer", "conv.span_dynamic_conv"),
                        ("conv_out_layer", "conv.span_dynamic_conv")):
    _mistake(f"{_module}: bias missing", _where, f'p["{_module}.bias"]', f'0 * p["{_module}.bias"]')
_mistake("dense of the feed-forward: bias missing", "model.feed_forward", "dense_linear(x, p)",
         'dense_linear(x, p | {"dense.bias": 0 * p["dense.bias"]})')
_mistake("dense before a residual: bias missing", "model.project_add_norm", "dense_linear(x, p)",
         'dense_linear(x, p | {"dense.bias": 0 * p["dense.bias"]})')
_mistake("dense before a residual: weight transposed, where it is square", "model.project_add_norm",
         "dense_linear(x, p)",
         'dense_linear(x, p | {"dense.weight": p["dense.weight"].swapaxes(-1, -2).reshape(p["dense.weight"].shape)}'
         ' if p["dense.weight"].shape[-1] == p["dense.weight"].shape[-2] else p)')
_mistake("linear backward: gradient of x through the transposed weight", "ops.linear_backward", "(dy_rows @ weight)",
         "(dy_rows @ weight.reshape(x.shape[-1], O).T)")
_mistake("linear backward: gradient of the weight transposed", "ops.linear_backward", "dy_rows.T @ x_rows",
         "(x_rows.T @ dy_rows).reshape(weight.shape)")
_mistake("linear backward: gradient of the bias averaged, not summed", "ops.linear_backward",
         "dy_rows.sum(0)", "dy_rows.mean(0)")
_mistake("linear backward: gradient of the weight averaged, not summed", "ops.linear_backward", "dy_rows.T @ x_rows",
         "dy_rows.T @ x_rows / len(x_rows)")
_mistake("grouped linear: groups of inputs interleaved", "ops.grouped_linear", "x.reshape(-1, G, I).swapaxes(0, 1)",
         "x.reshape(-1, I, G).transpose(2, 0, 1)")
_mistake("grouped linear: groups of outputs interleaved", "ops.grouped_linear", "y.reshape(-1, G, O).swapaxes(0, 1)",
         "y.reshape(-1, O, G).transpose(2, 0, 1)")
_mistake("grouped linear: weight transposed", "ops.grouped_linear", ", weight, out",
         ", weight.reshape(G, O, I).swapaxes(1, 2), out")
_mistake("grouped linear: bias missing", "ops.grouped_linear", "y += bias", "pass")
_mistake("grouped linear: every group uses the first one's weight", "ops.grouped_linear", ", weight, out",
         ", weight[:1], out")
_mistake("grouped linear backward: gradient of x through the transposed weight", "ops.grouped_linear_backward",
         "weight.swapaxes(1, 2)", "weight.reshape(G, O, I)")
_mistake("grouped linear backward: gradient of the weight transposed", "ops.grouped_linear_backward",
         "np.matmul(x_groups.swapaxes(1, 2), dy_groups)",
         "np.matmul(dy_groups.swapaxes(1, 2), x_groups).reshape(weight.shape)")
_mistake("grouped linear backward: gradient of the bias averaged, not summed", "ops.grouped_linear_backward",
         ".sum(0)", ".mean(0)")

# Embeddings
_mistake("embedding backward: the last occurrence of an id overwrites the others", "ops.embedding_backward",
         "dtable[rows] = np.add.reduceat(dy_rows[order], starts, axis=0)", "dtable[ids[order]] = dy_rows[order]")
_mistake("embedding backward: the row of padding has a gradient", "ops.embedding_backward",
         "if padding_idx is not None:", "if False:")
_mistake("embeddings: [PAD] is read as zeros", "model.embeddings", 'p["word_embeddings.weight"])',
         'p["word_embeddings.weight"]) * (ids["input_ids"] != cfg.pad_token_id)[..., None]')
_mistake("embeddings: token types ignored", "model.embeddings", 'ids["token_type_ids"]', '0 * ids["token_type_ids"]')
_mistake("embeddings: token types missing", "model.embeddings",
         'total += embedding(ids["token_type_ids"], p["token_type_embeddings.weight"])', "pass")
_mistake("embeddings: positions missing", "model.embeddings",
         'word + embedding(ids["position_ids"], p["position_embeddings.weight"])', "word.copy()")
_mistake("embeddings: positions counted, those given ignored", "model.embeddings", 'ids["position_ids"]',
         'np.arange(word.shape[1])[None]')
_mistake("embeddings: positions off by one", "model.embeddings", 'ids["position_ids"]', 'ids["position_ids"] + 1')
_mistake("embeddings: words scaled by sqrt(E)", "model.embeddings", "total = word +",
         "total = word * word.shape[-1] ** 0.5 +")
_mistake("embeddings: not normed", "model.embeddings",
         'layer_norm(total, p["LayerNorm.weight"], p["LayerNorm.bias"], cfg.layer_norm_eps)', "total.copy()")
_mistake("embeddings_project: bias missing", "model.convbert",
         'p["embeddings_project.bias"]', '0 * p["embeddings_project.bias"]')
_mistake("embeddings_project backward: against what it gives to the norm, not what it reads", "model.convbert_backward",
         'acts["embeddings.out"]', 'acts["embeddings.total"]')

# Layer norm
_values("LayerNorm: eps of the configuration ignored, {} in its place", "LayerNorm: eps {}",
        ("1e-3", "1e-4", "1e-5", "1e-6", "1e-7", "1e-8", "0"), "ops.standardize", "+ eps)", "+ {})")
_mistake("embeddings: eps 1e-5 in their norm", "model.embeddings", "cfg.layer_norm_eps)", "1e-5)")
_mistake("layers: eps 1e-5 in their norms", ("model.project_add_norm", "cfg.layer_norm_eps)", "1e-5)"),
         ("model.project_add_norm_backward", "cfg.layer_norm_eps)", "1e-5)"))
for _name, _norm in (("after the attention", "attention.output"), ("after the feed-forward", "output")):
    _cut = f'sub(p, "{_norm}"), cfg'
    _set = f'sub(p, "{_norm}"), cfg.replace(layer_norm_eps=1e-5)'
    _mistake(f"layers: eps 1e-5 in the norm {_name}", ("model.layer", _cut, _set),
             ("model.layer_backward", _cut, _set))
_mistake("masked words: eps 1e-5 in the norm of the head", ("heads.masked_lm", "cfg.layer_norm_eps)", "1e-5)"),
         ("heads.masked_lm_backward", "cfg.layer_norm_eps))", "1e-5))"))
_mistake("LayerNorm: eps outside of the root", "ops.standardize",
         "1 / np.sqrt(row_sum(centred * centred) / D + eps)",
         "1 / (np.sqrt(row_sum(centred * centred) / D) + eps)")
_mistake("LayerNorm: variance divided by D - 1", "ops.standardize", "(centred * centred) / D",
         "(centred * centred) / (D - 1)")
_mistake("LayerNorm: mean not subtracted", "ops.standardize", "x - row_sum(x) / D", "x.copy()")
_mistake("LayerNorm: weight missing", "ops.layer_norm", "y *= weight", "pass")
_mistake("LayerNorm: bias missing", "ops.layer_norm", "y += bias", "pass")
_mistake("LayerNorm: bias added before the weight", "ops.layer_norm",
         "y *= weight\n    y += bias", "y += bias\n    y *= weight")
_mistake("LayerNorm backward: the part along the mean kept", "ops.layer_norm_backward",
         "dnormed - along_ones", "dnormed")
_mistake("LayerNorm backward: the part along the normed row kept", "ops.layer_norm_backward",
         "dx -= normed * along_normed", "pass")
_mistake("LayerNorm backward: not divided by the deviation", "ops.layer_norm_backward", "dx *= rstd", "pass")
_mistake("LayerNorm backward: gradient of the weight against x", "ops.layer_norm_backward", "(dy * normed)", "(dy * x)")
_mistake("LayerNorm backward: weight left out", "ops.layer_norm_backward",
         "dnormed = dy * weight", "dnormed = dy.copy()")

# Softmax
_mistake("softmax: over the wrong axis", ("ops.softmax", "x.max(-1,", "x.max(-2,"),
         ("ops.softmax", "row_sum(y)", "y.sum(-2, keepdims=True)"))
_mistake("softmax: base 2", "ops.softmax", "np.exp(y, out=y)", "np.exp2(y, out=y)")
_mistake("softmax backward: sum over the row left out", "ops.softmax_backward",
         "dx -= y * row_sum(dx)", "pass")
_mistake("softmax backward: sum of dy in place of the sum of dy y", "ops.softmax_backward",
         "row_sum(dx)", "row_sum(dy)")

# Activations
_mistake("GELU: tanh in place of erf", ("activations.gelu", "x * normal_cdf(x)", "gelu_tanh(x)"),
         ("activations.gelu_slope", "density = ", "return gelu_tanh_slope(x, y)\n    "))
_mistake("GELU: sigmoid(1.702 x) in place of erf", ("activations.gelu", "x * normal_cdf(x)", "silu(x, 1.702)"),
         ("activations.gelu_slope", "density = ", "return silu_slope(x, y, 1.702)\n    "))
_mistake("GELU: relu in its place", ("activations.gelu", "x * normal_cdf(x)", "np.maximum(x, 0)"),
         ("activations.gelu_slope", "density = ", "return (x > 0).astype(x.dtype)\n    "))
_mistake("GELU: 1 / sqrt(2) missing in erf", "activations.normal_cdf", "x * (1 / math.sqrt(2))", "x * 1.0")
_mistake("gelu_new: erf in place of tanh", ("activations.gelu_tanh",
         "0.5 * x * (1 + np.tanh(scale * x * (1 + 0.044715 * x * x)))", "x * normal_cdf(x)"),
         ("activations.gelu_tanh_slope", "g = gate(x, y)", "return gelu_slope(x, y)"))
_mistake("GELU backward: density left out", "activations.gelu_slope", "density *= x", "density *= 0")
_mistake("GELU backward: density without 1 / sqrt(2 pi)", "activations.gelu_slope",
         "density *= 1 / math.sqrt(2 * math.pi)", "pass")
_mistake("SiLU backward: slope of the sigmoid alone", "activations.silu_slope", "g + scale * y * (1 - g)", "g")
_mistake("gelu_10: not clipped", "activations.activate", "ACTIVATIONS[name][0]",
         'ACTIVATIONS["gelu" if name == "gelu_10" else name][0]')

# Dropout
_mistake("dropout: not scaled by 1 / (1 - p)", "ops.dropout", "else x * mask", "else x * (mask != 0)")
_mistake("dropout: left out after the dense of the block", "model.project_add_norm",
         "total = dropout(dense, drop)", "total = dense.copy()")
_mistake("dropout: left out of the attention map", "attention.self_attention",
         "(dropout(weights, drop) @ v)", "(weights @ v)")
_mistake("dropout backward: left out after the dense of the block", "model.project_add_norm_backward",
         'dropout(dtotal, acts.get("drop"))', "dtotal")
_mistake("dropout backward: left out of the gradient of the attention map", "attention.self_attention_backward",
         "dropout(dout @ v.swapaxes(2, 3), drop)", "dout @ v.swapaxes(2, 3)")
_mistake("dropout backward: left out of the gradient of the value", "attention.self_attention_backward",
         "dropout(weights, drop).swapaxes(2, 3) @ dout", "weights.swapaxes(2, 3) @ dout")

# Convolutions
for _kind, _where, _weight, _reversed in (
        ("depthwise", "depthwise_conv", "weight[:, 0, j] *", "weight[:, 0, K - 1 - j] *"),
        ("dynamic", "dynamic_conv", "kernel[..., j, None] *", "kernel[..., K - 1 - j, None] *")):
    _of = "value" if _kind == "dynamic" else "x"
    _mistake(f"{_kind} convolution: taps reversed", f"conv.{_where}", _weight, _reversed)
    _mistake(f"{_kind} convolution: padding shifted by one to the left", f"conv.{_where}",
             f"pad({_of}, K)", f"pad({_of}, K + 2)[:, 2:]")
    _mistake(f"{_kind} convolution: padding shifted by one to the right", f"conv.{_where}", f"pad({_of}, K)",
             f"pad({_of}, K + 2)[:, :-2]")
    _mistake(f"{_kind} convolution: causal padding", f"conv.{_where}",
             f"pad({_of}, K)", f"pad({_of}, 2 * K - 1)[:, : L + K - 1]")
    for _name, _mode in (("edges repeated", "edge"), ("circular padding", "wrap"), ("reflected padding", "reflect")):
        _axes = ", (0, 0)" if _kind == "dynamic" else ""
        _mistake(f"{_kind} convolution: {_name}, not zero", f"conv.{_where}", f"padded = pad({_of}, K)",
                 f'padded = np.pad({_of}, [(0, 0), (K // 2, K // 2), (0, 0){_axes}], "{_mode}")')
    _mistake(f"{_kind} convolution: dilated by 2", (f"conv.{_where}", f"pad({_of}, K)", f"pad({_of}, 2 * K - 1)"),
             (f"conv.{_where}", "padded[:, j : j + L]", "padded[:, 2 * j : 2 * j + L]"))
    _mistake(f"{_kind} convolution: neighbours leak across the batch", f"conv.{_where}", f"padded = pad({_of}, K)",
             f"flat = pad({_of}.reshape(1, B * L, *{_of}.shape[2:]), K)[0]\n"
             "    padded = np.stack([flat[b * L : b * L + L + K - 1] for b in range(B)])")
    _mistake(f"{_kind} convolution backward: gradient of the input with taps reversed", f"conv.{_where}_backward",
             _weight, _reversed)
    _mistake(f"{_kind} convolution backward: gradient of the kernel with taps reversed", f"conv.{_where}_backward",
             "dweight[:, 0, j] =" if _kind == "depthwise" else "dkernel[..., j] =",
             "dweight[:, 0, K - 1 - j] =" if _kind == "depthwise" else "dkernel[..., K - 1 - j] =")
_mistake("depthwise convolution: kernel read as (K, D)", "conv.depthwise_conv", "padded = pad(x, K)",
         "weight, padded = weight.reshape(K, D).T[:, None], pad(x, K)")
# Frameworks with `unfold`: the row of a head's values in K windows is split in the wrong order.
for _name, _rows, _back in (
        ("taps read (Dh, K) for (K, Dh)", "axis=3).reshape(B, L, H, Dh, K)", "windows[..., j]"),
        ("taps read (K, Dh) for (Dh, K)", "axis=4).reshape(B, L, H, K, Dh)", "windows[..., j, :]"),
        ("taps read (H Dh, K) for (K, H Dh)", "axis=2).reshape(B, L, H, Dh, K)", "windows[..., j]"),
        ("taps read (K, H Dh) for (H Dh, K)", "axis=4).reshape(B, L, K, H, Dh)", "windows[:, :, j]")):
    _mistake(f"dynamic convolution: {_name}",
             ("conv.dynamic_conv", "* padded[:, j : j + L]", f"* {_back}"),
             ("conv.dynamic_conv", "padded = pad(value, K)", "padded = pad(value, K)\n"
              f"    windows = np.stack([padded[:, i : i + L] for i in range(K)], {_rows}"))
_mistake("separable convolution: bias missing", "conv.separable_conv", "bias[:, 0])", "0 * bias[:, 0])")
_mistake("separable convolution: pointwise weight transposed", "conv.separable_conv", "pointwise[:, :, 0]",
         "pointwise.reshape(pointwise.shape[1], -1).T")
_mistake("separable convolution: depthwise part left out", "conv.separable_conv", "depthwise_conv(x, depthwise)", "x")
_mistake("separable convolution backward: gradient of the pointwise weight against x", "conv.separable_conv_backward",
         "linear_backward(dout, mixed,", "linear_backward(dout, x,")
_mistake("conv_kernel_layer: head and tap axes swapped", "conv.span_dynamic_conv", "scores.reshape(B, L, H, K)",
         "scores.reshape(B, L, K, H).swapaxes(2, 3)")
_mistake("convolution kernel: softmax over the heads, not the taps", "conv.span_dynamic_conv",
         "softmax(scores.reshape(B, L, H, K))", "softmax(scores.reshape(B, L, H, K).swapaxes(2, 3)).swapaxes(2, 3)")
_mistake("convolution kernel: softmax over heads and taps together", "conv.span_dynamic_conv",
         "softmax(scores.reshape(B, L, H, K))", "softmax(scores).reshape(B, L, H, K)")
_mistake("convolution kernel: softmax twice", "conv.span_dynamic_conv",
         "softmax(scores.reshape(B, L, H, K))", "1 * softmax(softmax(scores.reshape(B, L, H, K)))")
_mistake("convolution kernel: softmax over the tokens, not the taps", "conv.span_dynamic_conv",
         "softmax(scores.reshape(B, L, H, K))", "softmax(scores.reshape(B, L, H, K).swapaxes(1, 3)).swapaxes(1, 3)")
_mistake("convolution kernel: from attention's key times the query", "conv.span_dynamic_conv",
         "match = query * span_key", 'match = query * linear(x, p["key.weight"], p["key.bias"])')
_mistake("convolution kernel: no softmax", "conv.span_dynamic_conv",
         "softmax(scores.reshape(B, L, H, K))", "scores.reshape(B, L, H, K)")
_mistake("convolution kernel: from the span key alone, not times the query", "conv.span_dynamic_conv",
         "match = query * span_key", "match = span_key.copy()")
_mistake("convolution kernel: from the query alone, not times the span key", "conv.span_dynamic_conv",
         "match = query * span_key", "match = query.copy()")
_mistake("convolution kernel: query plus span key, not times", "conv.span_dynamic_conv", "match = query * span_key",
         "match = query + span_key")
_mistake("convolution kernel: match scaled by 1 / sqrt(Dh)", "conv.span_dynamic_conv", "match = query * span_key",
         "match = query * span_key / Dh**0.5")
_mistake("V shared between branches", "conv.span_dynamic_conv",
         'linear(x, p["conv_out_layer.weight"], p["conv_out_layer.bias"])',
         'linear(x, p["value.weight"], p["value.bias"])')
_mistake("convolution: value's heads split the wrong way", "conv.span_dynamic_conv",
         "value = value.reshape(B, L, H, Dh)", "value = value.reshape(B, L, Dh, H).swapaxes(2, 3)")
_mistake("convolution: padding hidden from it, as in no published model", "model.conv_mask",
         "if not cfg.mask_convolution:", "if False:")
_mistake("convolution backward: softmax of the kernel left out", "conv.span_dynamic_conv_backward",
         "softmax_backward(dkernel, kernel)", "dkernel.copy()")
_mistake("convolution backward: gradient through the kernel left out", "conv.span_dynamic_conv_backward",
         "softmax_backward(dkernel, kernel)", "0 * dkernel")
_mistake("convolution backward: gradients of query and span key swapped", "conv.span_dynamic_conv_backward",
         "dmatch * span_key, dmatch * query", "dmatch * query, dmatch * span_key")
_mistake("convolution backward: gradient of x through the span key left out", "conv.span_dynamic_conv_backward",
         "return dx_value + hide(dx_span, mask)", "return dx_value")
_mistake("convolution backward: gradient of x through the value left out", "conv.span_dynamic_conv_backward",
         "return dx_value + hide(dx_span, mask)", "return hide(dx_span, mask)")

# Attention
for _scale, _text in (("1.0", "scores not scaled"), ("Dh", "1/Dh instead of 1/sqrt(Dh)"),
                      ("math.sqrt(2 * H * Dh)", "1/sqrt(D) instead of 1/sqrt(Dh)"),
                      ("math.sqrt(H * Dh)", "1/sqrt(H Dh) instead of 1/sqrt(Dh)"),
                      ("math.sqrt(2 * Dh)", "1/sqrt(2 Dh) instead of 1/sqrt(Dh)")):
    _mistake(f"attention: {_text}", "attention.self_attention", "1 / math.sqrt(Dh)", f"1 / {_scale}")
_mistake("attention: mask not applied", "attention.self_attention", "scores += bias", "pass")
_mistake("attention: mask upside down, tokens hidden and padding seen", "model.attention_bias",
         "np.where(mask, 0, value)", "np.where(mask, value, 0)")
_mistake("attention: 1 and 0 of the mask added to the scores", "model.attention_bias",
         "np.where(mask, 0, value)", "np.where(mask, 1, 0)")
_mistake("attention: mask value -10000, or another that does not drown the scores", "model.attention_bias",
         "lowest if cfg.mask_value is None else max(float(lowest), cfg.mask_value)", "-10000.0")
_mistake("attention: mask applied after the softmax, weights not normed again", "attention.self_attention",
         "scores += bias\n    weights = softmax(scores)", "weights = softmax(scores) * (bias == 0)")
_mistake("attention: softmax over the queries, not the keys", "attention.self_attention", "softmax(scores)",
         "softmax(scores.swapaxes(2, 3)).swapaxes(2, 3)")
_mistake("attention: query and key swapped", "attention.self_attention", "q @ k.swapaxes(2, 3)", "k @ q.swapaxes(2, 3)")
_mistake("attention: value made by the map of the key", "attention.mixed_attention",
         'value = linear(x, p["value.weight"], p["value.bias"])', 'value = linear(x, p["key.weight"], p["key.bias"])')
_mistake("attention: heads split the wrong way", "attention.mixed_attention", "y.reshape(B, L, H, Dh)",
         "y.reshape(B, L, Dh, H).swapaxes(2, 3)")
_mistake("conv and attention halves swapped", "attention.mixed_attention",
         "np.concatenate([everywhere, nearby], axis=2)", "np.concatenate([nearby, everywhere], axis=2)")
_mistake("conv and attention heads alternate", "attention.mixed_attention",
         "np.concatenate([everywhere, nearby], axis=2)", "np.stack([everywhere, nearby], axis=3)")
_mistake("conv and attention halves joined with axes turned", "attention.mixed_attention",
         "np.concatenate([everywhere, nearby], axis=2)", "np.concatenate([everywhere, nearby], axis=2).swapaxes(2, 3)")
_mistake("attention: heads not turned back before they are joined", "attention.self_attention",
         "out = (dropout(weights, drop) @ v).transpose(0, 2, 1, 3)",
         "out = (dropout(weights, drop) @ v).reshape(B, L, H, Dh)")
_mistake("convolution half left out, attention twice", "attention.mixed_attention",
         "np.concatenate([everywhere, nearby], axis=2)", "np.concatenate([everywhere, everywhere], axis=2)")
_mistake("attention backward: scale left out", "attention.self_attention_backward",
         "dscores *= 1 / math.sqrt(Dh)", "pass")
_mistake("attention backward: gradient through the weights left out", "attention.self_attention_backward",
         "softmax_backward(dweights, weights)", "0 * dweights")
_mistake("attention backward: gradient of the key not transposed", "attention.self_attention_backward",
         "dscores.swapaxes(2, 3) @ q", "dscores @ q")
_mistake("attention backward: gradient of the value not transposed", "attention.self_attention_backward",
         "dropout(weights, drop).swapaxes(2, 3) @ dout", "dropout(weights, drop) @ dout")
_mistake("attention backward: softmax left out", "attention.self_attention_backward",
         "softmax_backward(dweights, weights)", "dweights.copy()")
_mistake("gradient of the shared query: only attention's", "attention.mixed_attention_backward",
         "dquery = dquery + dquery_conv", "pass")
_mistake("gradient of the shared query: only the convolution's", "attention.mixed_attention_backward",
         "dquery = dquery + dquery_conv", "dquery = dquery_conv")
_mistake("mixed block backward: gradient of x overwritten, not summed", "attention.mixed_attention_backward",
         "dx += dx_part", "dx = dx_part")
_mistake("mixed block backward: halves swapped", "attention.mixed_attention_backward",
         "deverywhere, dnearby = np.split", "dnearby, deverywhere = np.split")

# Layer
_mistake("residual missing", "model.project_add_norm", "total += residual", "total = total.copy()")
_mistake("norm before the residual, not after", ("model.project_add_norm", "total += residual", "total = total.copy()"),
         ("model.project_add_norm", 'p["LayerNorm.bias"], cfg.layer_norm_eps)',
          'p["LayerNorm.bias"], cfg.layer_norm_eps) + residual'))
_mistake("feed-forward: residual from the layer's input, not from the attended", "model.layer",
         "project_add_norm(wide, attended,", "project_add_norm(wide, x,")
_mistake("feed-forward: gelu whatever hidden_act says", ("model.feed_forward", "cfg.hidden_act", '"gelu"'),
         ("model.feed_forward_backward", "cfg.hidden_act", '"gelu"'))
_mistake("feed-forward: no activation", "model.feed_forward", "activate(dense, cfg.hidden_act)", "dense.copy()")
_mistake("encoder: every layer has the first one's weights", "model.encoder",
         'sub(p, f"layer.{i}")', 'sub(p, "layer.0")')
_mistake("residual backward: gradient past the block left out", "model.layer_backward",
         "return dx + dx_mixed", "return dx_mixed")
_mistake("residual backward: gradient past the feed-forward left out", "model.layer_backward",
         "dattended = dattended + dattended_wide", "dattended = dattended_wide")
_mistake("feed-forward backward: its own gradient left out of the sum", "model.layer_backward",
         "dattended = dattended + dattended_wide", "pass")
_mistake("feed-forward backward: slope at the activation's output", "model.feed_forward_backward",
         'acts["dense"]', 'acts["out"]')

# Heads
_mistake("masked words: hidden_act in place of gelu", ("heads.masked_lm", '"gelu"', "cfg.hidden_act"),
         ("heads.masked_lm_backward", '"gelu"', "cfg.hidden_act"))
_mistake("masked words: norm left out", "heads.masked_lm", "logits = linear(normed,", "logits = linear(active,")
_mistake("masked words: bias of the output missing", "heads.masked_lm",
         'p["generator_lm_head.bias"])', '0 * p["generator_lm_head.bias"])')
_mistake("tied table: gradient of the lookup left out", "heads.task_model_backward", "accumulate(grads, g_head)",
         "grads |= g_head")
_mistake("tied table: gradient of the output left out", "heads.task_model_backward", "accumulate(grads, g_head)",
         "grads = g_head | grads")
_mistake("tied table: no gradient for [PAD] from the output", "heads.task_model_backward", "accumulate(grads, g_head)",
         "accumulate(grads, {n: d * (np.arange(len(d)) != cfg.pad_token_id)[:, None] if n in grads else d"
         " for n, d in g_head.items()})")
_mistake("sequence head: mean of the tokens, not the first", "heads.sequence_classification",
         "first = hidden[:, 0]", "first = hidden.mean(1)")
_mistake("sequence head: last token, not the first", "heads.sequence_classification",
         "first = hidden[:, 0]", "first = hidden[:, -1]")
_mistake("sequence head: last token that is not padding, not the first", "heads.task_model", "head(hidden,",
         'head(np.stack([np.roll(row, 1 - n, 0) for row, n in zip(hidden, inputs["attention_mask"].sum(1))]),')
_mistake("sequence head: tanh, not hidden_act", "heads.sequence_classification",
         "activate(dense, cfg.hidden_act)", "np.tanh(dense)")
_mistake("sequence head: dense and activation left out", "heads.sequence_classification",
         "activate(dense, cfg.hidden_act)", "first.copy()")
_mistake("answer: start and end swapped", "heads.question_answering",
         'p["qa_outputs.bias"]),', 'p["qa_outputs.bias"])[..., ::-1],')
_mistake("answer: loss summed, not averaged, over start and end", "heads.span_loss",
         "np.mean([start, end])", "start + end")
_mistake("answer: a position outside is cut to the last token, not ignored", "heads.span_loss", "np.clip(labels, 0, L)",
         "np.clip(labels, 0, L - 1)")
_mistake("choice: first token, not the last", "heads.multiple_choice", "else L - 1)", "else 0)")
_mistake("choice: summary activation left out", "heads.multiple_choice",
         'cfg.summary_activation or "linear"', '"linear"')
_mistake("replaced words: padding counts in the loss", "heads.tokens_loss",
         "mean(binary_nll(logits, wanted), counted)", "binary_nll(logits, wanted).mean()")
_mistake("replaced words: hidden_act left out", "heads.discriminator",
         "activate(dense, cfg.hidden_act)", "dense.copy()")

# Losses
_mistake("cross-entropy: ignored labels count in the mean", "losses.cross_entropy",
         "mean(nll, counted)", "(nll * counted).mean()")
_mistake("cross-entropy: summed, not averaged", "losses.cross_entropy", "mean(nll, counted)", "(nll * counted).sum()")
_mistake("cross-entropy: labels smoothed by 0.1", "losses.cross_entropy", "mean(nll, counted)",
         "mean(0.9 * nll - 0.1 * np.log(probs).mean(-1), counted)")
_mistake("cross-entropy: labels of -100 taken as class 0", "losses.cross_entropy", "mean(nll, counted)", "nll.mean()")
_mistake("cross-entropy backward: divided by all labels, ignored ones too", "losses.cross_entropy_backward",
         "max(1, counted.sum())", "labels.size")
_mistake("cross-entropy backward: not divided by the number of labels", "losses.cross_entropy_backward",
         "max(1, counted.sum())", "1")
_mistake("cross-entropy backward: upstream gradient left out", "losses.cross_entropy_backward",
         "(dloss / max", "(1 / max")
_mistake("cross-entropy backward: label not subtracted", "losses.negative_log_likelihood_backward",
         "- 1) * dnll", "- 0) * dnll")
_mistake("cross-entropy backward: gradient for ignored labels",
         ("losses.cross_entropy_backward", "counted = labels != ignored",
          "real, labels = (labels != ignored).sum(), np.maximum(labels, 0)\n    counted = labels >= 0"),
         ("losses.cross_entropy_backward", "max(1, counted.sum())", "max(1, real)"))
_mistake("mean squared error: half of it", "losses.mean_squared_error", ".mean()", ".mean() / 2")
_mistake("mean squared error: summed, not averaged", "losses.mean_squared_error", ".mean()", ".sum()")
_mistake("mean squared error backward: factor 2 missing", "losses.mean_squared_error_backward", "2 * dloss", "dloss")
_mistake("binary cross-entropy: summed over the labels", "losses.binary_cross_entropy", ".mean()", ".sum(-1).mean()")
_mistake("binary cross-entropy backward: not divided by the number of labels", "losses.binary_cross_entropy_backward",
         "dloss / max(1, logits.size)", "dloss")

# Optimizer
_mistake("Adam: with bias correction",
         ("optim.adam_step", "m *= beta1",
          't = state[f"t.{name}"] = state.get(f"t.{name}", np.zeros(())) + 1\n        m *= beta1'),
         ("optim.adam_step", "np.sqrt(v)", "np.sqrt(v / (1 - beta2**t))"),
         ("optim.adam_step", "np.divide(m, update, out=update)", "np.divide(m / (1 - beta1**t), update, out=update)"))
_mistake("Adam: eps inside the root", "optim.adam_step", "np.sqrt(v)\n        update += eps", "np.sqrt(v + eps)")
_values("Adam: eps {}", "Adam: eps {}", ("1e-5", "1e-7", "1e-8", "0"), "optim.adam_step",
        "update += eps", "update += {}")
_mistake("Adam: decay added to the gradient",
         ("optim.adam_step", "g, m, v = grads[name],", "g, m, v = grads[name] + decay * x,"),
         ("optim.adam_step", "update += decay * x", "pass"))
_mistake("Adam: biases and norms decayed too", "optim.adam_step", "if not NOT_DECAYED.search(name):", "if True:")
_mistake("Adam: norms decayed too", "optim.adam_step",
         "if not NOT_DECAYED.search(name):", 'if not name.endswith("bias"):')
_mistake("Adam: no decay", "optim.adam_step", "update += decay * x", "pass")
_mistake("Adam: decay not multiplied by the rate", "optim.adam_step",
         "update += decay * x", "update += decay / (rate or 1) * x")
_mistake("Adam: second moment of g, not of its square", "optim.adam_step",
         "v += (1 - beta2) * g * g", "v += (1 - beta2) * abs(g)")
_mistake("Adam: AMSGrad, the largest second moment so far", "optim.adam_step", "update = np.sqrt(v)",
         'v = state[f"top.{name}"] = np.maximum(v, state.get(f"top.{name}", 0))\n        update = np.sqrt(v)')
_mistake("training: gradients not set to zero, those of all steps add up", "golden.wholes.forget",
         "return grads", "return {name: g + before.get(name, 0) for name, g in grads.items()}")
_mistake("clipping: by value, not by norm", ("optim.clip_by_global_norm", "if norm > limit:", "if True:"),
         ("optim.clip_by_global_norm", "g *= limit / norm", "np.clip(g, -limit, limit, out=g)"))
_mistake("clipping: each gradient by its own norm", "optim.clip_by_global_norm",
         "g *= limit / norm", "g *= min(1, limit / global_norm({0: g}))")
_mistake("clipping: norms of the gradients added, not their squares", "optim.global_norm",
         "math.sqrt(sum(float(np.vdot(g, g)) for g in grads.values()))",
         "sum(math.sqrt(float(np.vdot(g, g))) for g in grads.values())")
_mistake("clipping: left out", "optim.clip_by_global_norm", "if norm > limit:", "if False:")
_mistake("schedule: decay begins after the warm-up", "optim.learning_rate",
         "min(1.0, max(0.0, 1 - step / steps) / decay_share) * min(1.0, step / warmup if warmup else 1.0)",
         "(step / warmup if step < warmup else max(0.0, (steps - step) / (steps - warmup)))")
_mistake("schedule: one step late", "optim.learning_rate", "return peak", "step = max(0, step - 1)\n    return peak")
_mistake("schedule: one step early", "optim.learning_rate", "return peak", "step = step + 1\n    return peak")
_mistake("schedule: no warm-up", "optim.learning_rate", "min(1.0, step / warmup if warmup else 1.0)", "1.0")
_mistake("schedule: no decay", "optim.learning_rate", "max(0.0, 1 - step / steps)", "1.0")

# Tokenizer
_mistake("tokenizer: not lowercased", ("tokenizer.wordpiece.normalize", "text.lower() if lowercase else text", "text"),
         ("tokenizer.wordpiece.normalize", "for low in rules.lower(char)", "for low in char"))
_mistake("tokenizer: accents kept", "tokenizer.wordpiece.normalize",
         "if lowercase if strip_accents is None else strip_accents:", "if False:")
_mistake("tokenizer: ideographs not spread", "tokenizer.wordpiece.normalize", "if spread_chinese:", "if False:")
_mistake("tokenizer: control characters kept", "tokenizer.wordpiece.normalize", "if not rules.is_dropped(char)",
         "if True")
_mistake("tokenizer: punctuation stays with its word",
         ("tokenizer.wordpiece.split", 'char == " " or rules.is_punctuation(char)', 'char == " "'),
         ("tokenizer.hugging_face._Tokenizer._get_ready", "else CHUNK", "else SPACED"))
_mistake("tokenizer: punctuation as Unicode says, without $ + < = > ^ ~ and the like",
         ("tokenizer.wordpiece.split", "rules.is_punctuation(char)", 'unicodedata.category(char)[0] == "P"'),
         ("tokenizer.hugging_face._Tokenizer._get_ready", "else CHUNK", "else SPACED"))
_mistake("tokenizer: a sigma that ends a word is lowered as ς", "tokenizer.wordpiece.normalize", "rules.lower(char)",
         "(text.lower()[i] if len(text.lower()) == len(text) else rules.lower(char))")
_mistake("tokenizer: pieces that continue a word lack ##", "tokenizer.wordpiece.match", 'PREFIX if start else ""', '""')
_mistake("tokenizer: shortest piece, not the longest", "tokenizer.wordpiece.match",
         "range(last, start, -1)",
         "range(start + 1, len(word) + 1)")
_mistake("tokenizer: a word may have 200 characters", "tokenizer.wordpiece.match", "len(word) > max_chars",
         "len(word) > 200")
_mistake("tokenizer: a word may have 99 characters", "tokenizer.wordpiece.match",
         "len(word) > max_chars", "len(word) >= max_chars")
_mistake("tokenizer: pieces before the unknown rest are kept", "tokenizer.wordpiece.match",
         "else:\n            return []", "else:\n            return spans")
_mistake("tokenizer: [UNK] for the rest of a word, not for the whole",
         ("tokenizer.wordpiece.match", "else:\n            return []",
          "else:\n            return [*spans, (start, len(word))]"),
         ("tokenizer.hugging_face._Tokenizer._work_out", "self.vocab[PREFIX * (start > 0) + word[start:end]]",
          "self.vocab.get(PREFIX * (start > 0) + word[start:end], self.unk_token_id)"))
_mistake("tokenizer: longest piece from the right, not from the left", "tokenizer.wordpiece.match",
         "spans, start = [], 0", """\
spans, end = [], len(word)
    while end > 0:
        for start in range(end):
            if (PREFIX if start else "") + word[start:end] in vocab:
                break
        else:
            return []
        spans.insert(0, (start, end))
        end = start
    return spans""")
_mistake("padding on the left", "tokenizer.rows.pad_rows", 'if side == "right"', 'if side == "left"')
_mistake("padding not marked in the attention mask", "tokenizer.rows.pad_rows", "attention_mask=0", "attention_mask=1")
_mistake("tokenizer: special tokens in a text are split", "tokenizer.hugging_face._Tokenizer._stretches",
         "self._marked if split_special_tokens else ()", "self._marked")


class NoMistake(Exception):
    """A mistake cannot be planted, because the function does not have the text that it changes."""


def _original(where):
    """-> the module; the owner of the function, which is the module itself or a class; the function"""
    module_name, path = "minconvbert", where.split(".")
    while f"{module_name}.{path[0]}" in sys.modules:
        module_name = f"{module_name}.{path.pop(0)}"
    owner = module = sys.modules[module_name]
    for part in path[:-1]:
        owner = getattr(owner, part)
    return module, owner, getattr(owner, path[-1])


@cache
def _changed(where, edits):
    """-> the owner of the function `where`; the function; the function compiled from its changed text"""
    module, owner, original = _original(where)
    text = textwrap.dedent(inspect.getsource(original))
    for old, new in edits:
        if text.count(old) != 1:
            raise NoMistake(f"{where} must have {old!r} exactly once, but has it {text.count(old)} times")
        text = text.replace(old, new)
    file, space = f"<{where} with {edits[0][1]!r}>", {}
    linecache.cache[file] = len(text), None, text.splitlines(True), file
    exec(compile(text, file, "exec"), module.__dict__, space)
    return owner, original, space[original.__name__]


def touched(mistake):
    """The functions that a mistake changes."""
    return {where for where, _, _ in MISTAKES[mistake]}


def planted(*mistakes):
    """Let the reference make these mistakes inside the block; mistakes of one function are made together."""
    return changed(*(edit for mistake in mistakes for edit in MISTAKES[mistake]))


@contextlib.contextmanager
def changed(*edits):
    """Change the text of functions of the reference inside the block.   edits: (module.function, old text, new text)"""
    by_function, undo = {}, []
    for where, old, new in edits:
        by_function.setdefault(where, []).append((old, new))
    try:
        for where, changes in by_function.items():
            owner, original, mistaken = _changed(where, tuple(changes))
            for space in {id(m): m for m in (owner, *PLANTED_IN)}.values():
                for name, value in list(vars(space).items()):
                    if value is original:
                        undo.append((space, name, original))
                        setattr(space, name, mistaken)
            for table in (heads.HEADS, activations.ACTIVATIONS):
                for key, functions in table.items():
                    if original in functions:
                        undo.append((table, key, functions))
                        table[key] = tuple(mistaken if f is original else f for f in functions)
        yield
    finally:
        for space, name, value in reversed(undo):
            if isinstance(space, dict):
                space[name] = value
            else:
                setattr(space, name, value)


def rerun(id, given, mistakes, gradients=BY_HAND):
    """-> {name: array} of the reference for a case with these mistakes; None if they cannot be made there

    With BY_TAPE, gradients are those of the mistaken forward pass, as in a port with a framework's autograd.
    """
    case = CASES[id]
    try:
        with planted(*mistakes), np.errstate(all="ignore"):
            return case.run(given, gradients) if case.has_gradients else case.run(given)
    except (NoMistake, ArithmeticError, LookupError, TypeError, ValueError):
        return None


@cache
def is_forward(mistake):
    """Whether a mistake changes the forward pass, and so the gradients of a framework, too."""
    return any(not where.endswith("_backward") and "_slope" not in where for where in touched(mistake))


@cache
def possible(id):
    """The mistakes that can show in a case, because they change a function that it calls."""
    places = {_original(where)[2].__code__: where for mistake in MISTAKES for where in touched(mistake)}
    called, before = set(), sys.getprofile()
    given = CASES[id].given()
    sys.setprofile(lambda frame, event, argument: called.add(places.get(frame.f_code)))
    try:
        CASES[id].run(given)
    finally:
        sys.setprofile(before)
    return [mistake for mistake in MISTAKES if touched(mistake) & called]
