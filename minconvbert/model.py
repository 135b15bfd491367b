"""Embeddings, feed-forward, layer, encoder: all of ConvBERT except its heads."""

import numpy as np

from .activations import activate, activate_backward
from .attention import mixed_attention, mixed_attention_backward
from .ops import (
    dropout,
    dropout_mask,
    embedding,
    embedding_backward,
    grouped_linear,
    grouped_linear_backward,
    layer_norm,
    layer_norm_backward,
    linear,
    linear_backward,
)
from .shapes import dims, sub, take, under


def convbert(inputs, p, cfg, rng=None, keep=True):
    """Token ids to hidden states.

    inputs: what `model_inputs` returns  ->  hidden states (B, L, D), acts

    Dropout happens if and only if an `rng` is passed. With `keep=False`, `acts` has only what a user looks at
    (hidden states, attention maps, kernels), and the rest is freed layer by layer. With `keep=None`, maps are left out,
    too, and memory never holds a whole one.
    """
    x, embeddings_acts = embeddings(inputs, sub(p, "embeddings"), cfg, rng)
    acts = under("embeddings", embeddings_acts)
    if "embeddings_project.weight" in p:
        x = linear(x, p["embeddings_project.weight"], p["embeddings_project.bias"])
        acts["embeddings_project.out"] = x
    masks = attention_bias(inputs["attention_mask"], cfg, x.dtype), conv_mask(inputs["attention_mask"], cfg, x.dtype)
    hidden, encoder_acts = encoder(x, masks, sub(p, "encoder"), cfg, rng, keep)
    return hidden, acts | under("encoder", encoder_acts)


def convbert_backward(dhidden, acts, p, cfg, free=False):
    """-> dinputs_embeds (B, L, E), grads.   With `free`, acts is emptied as it is read, layer by layer"""
    dx, g = encoder_backward(dhidden, (take if free else sub)(acts, "encoder"), sub(p, "encoder"), cfg, free)
    grads = under("encoder", g)
    if "embeddings_project.weight" in p:
        dx, grads["embeddings_project.weight"], grads["embeddings_project.bias"] = linear_backward(
            dx, acts["embeddings.out"], p["embeddings_project.weight"])
    dinputs_embeds, g = embeddings_backward(dx, sub(acts, "embeddings"), sub(p, "embeddings"), cfg)
    return dinputs_embeds, under("embeddings", g) | grads


def attention_bias(mask, cfg, dtype):
    """What is added to the attention scores: 0 at real tokens, `mask_value` at padded ones.

    mask (B, L), 1 = real and 0 = padded  ->  (B, 1, 1, L).   A mask of four axes is added as it is, clipped to the
    range of the dtype.
    """
    lowest, highest = np.finfo(dtype).min, np.finfo(dtype).max
    if mask.ndim == 4:
        return np.clip(mask, lowest, highest).astype(dtype)
    value = lowest if cfg.mask_value is None else max(float(lowest), cfg.mask_value)
    return np.where(mask, 0, value).astype(dtype)[:, None, None, :]


def conv_mask(mask, cfg, dtype):
    """The mask of both convolutions; None without `mask_convolution`.   mask (B, L)  ->  (B, L, 1) or None

    The reference masks attention only, so padding changes a sentence: without padding, its last tokens have zeros to
    their right; with padding, they have the hidden states of [PAD] there.
    """
    if not cfg.mask_convolution:
        return None
    if mask.ndim == 4:
        raise ValueError("mask_convolution needs an attention_mask of (B, L), but it has four axes")
    return (mask != 0).astype(dtype)[:, :, None]


def embeddings(inputs, p, cfg, rng=None):
    """layer_norm(word + position + token type).   ids (B, L) or inputs_embeds (B, L, E)  ->  (B, L, E), acts"""
    ids = {name: inputs[name] for name in ("input_ids", "position_ids", "token_type_ids") if name in inputs}
    word = embedding(ids["input_ids"], p["word_embeddings.weight"]) if "input_ids" in ids else inputs["inputs_embeds"]
    dims("inputs_embeds[B L E], position_embeddings[P E]", word, p["position_embeddings.weight"])
    total = word + embedding(ids["position_ids"], p["position_embeddings.weight"])
    total += embedding(ids["token_type_ids"], p["token_type_embeddings.weight"])
    normed = layer_norm(total, p["LayerNorm.weight"], p["LayerNorm.bias"], cfg.layer_norm_eps)
    drop = dropout_mask(normed.shape, cfg.hidden_dropout_prob, rng, normed.dtype)
    acts = ids | dict(word=word, total=total, out=dropout(normed, drop))
    return acts["out"], acts if drop is None else acts | dict(drop=drop)


def embeddings_backward(dout, acts, p, cfg):
    """-> dinputs_embeds (B, L, E), grads; the word table's gradient is all zeros if there were no ids"""
    g = {}
    dtotal, g["LayerNorm.weight"], g["LayerNorm.bias"] = layer_norm_backward(
        dropout(dout, acts.get("drop")), acts["total"], p["LayerNorm.weight"], cfg.layer_norm_eps)
    words = p["word_embeddings.weight"]
    g["word_embeddings.weight"] = (
        embedding_backward(dtotal, acts["input_ids"], words, cfg.pad_token_id) if "input_ids" in acts
        else np.zeros_like(words))
    for name in ("position", "token_type"):
        g[f"{name}_embeddings.weight"] = embedding_backward(
            dtotal, acts[f"{name}_ids"], p[f"{name}_embeddings.weight"])
    return dtotal, g


def encoder(x, masks, p, cfg, rng=None, keep=True):
    """All layers, one after the other.   x (B, L, D)  ->  (B, L, D), acts"""
    acts, seen = {}, ("out", "attention.self.attn.weights", "attention.self.conv.kernel")
    for i in range(cfg.num_hidden_layers):
        x, layer_acts = layer(x, masks, sub(p, f"layer.{i}"), cfg, rng, maps=keep is not None)
        if not keep:
            layer_acts = {name: layer_acts[name] for name in seen if name in layer_acts}
        acts |= under(f"layer.{i}", layer_acts)
    return x, acts


def encoder_backward(dx, acts, p, cfg, free=False):
    """-> dx (B, L, D), grads.   With `free`, acts is emptied as it is read, layer by layer"""
    part, grads = take if free else sub, {}
    for i in reversed(range(cfg.num_hidden_layers)):
        dx, g = layer_backward(dx, part(acts, f"layer.{i}"), sub(p, f"layer.{i}"), cfg)
        grads = under(f"layer.{i}", g) | grads
    return dx, grads


def layer(x, masks, p, cfg, rng=None, maps=True):
    """Mixed attention, then feed-forward; each adds its input and norms the sum.   x (B, L, D)  ->  same, acts"""
    mixed, self_acts = mixed_attention(x, masks, sub(p, "attention.self"), cfg, rng, maps)
    attended, attention_acts = project_add_norm(mixed, x, sub(p, "attention.output"), cfg, rng)
    wide, intermediate_acts = feed_forward(attended, sub(p, "intermediate"), cfg)
    out, output_acts = project_add_norm(wide, attended, sub(p, "output"), cfg, rng)
    acts = under("attention.self", self_acts) | under("attention.output", attention_acts)
    acts |= under("intermediate", intermediate_acts) | under("output", output_acts)
    return out, acts | dict(out=out)


def layer_backward(dout, acts, p, cfg):
    """-> dx (B, L, D), grads"""
    dwide, dattended, g_output = project_add_norm_backward(dout, sub(acts, "output"), sub(p, "output"), cfg)
    dattended_wide, g_intermediate = feed_forward_backward(
        dwide, sub(acts, "intermediate"), sub(p, "intermediate"), cfg)
    dattended = dattended + dattended_wide             # the feed-forward reads it, and it is added to the result
    dmixed, dx, g_attention = project_add_norm_backward(
        dattended, sub(acts, "attention.output"), sub(p, "attention.output"), cfg)
    dx_mixed, g_self = mixed_attention_backward(dmixed, sub(acts, "attention.self"), sub(p, "attention.self"), cfg)
    grads = under("attention.self", g_self) | under("attention.output", g_attention)
    return dx + dx_mixed, grads | under("intermediate", g_intermediate) | under("output", g_output)


def project_add_norm(x, residual, p, cfg, rng=None):
    """layer_norm(dropout(dense(x)) + residual).   x (B, L, I), residual (B, L, D)  ->  (B, L, D), acts"""
    dense = dense_linear(x, p)
    drop = dropout_mask(dense.shape, cfg.hidden_dropout_prob, rng, dense.dtype)
    total = dropout(dense, drop)
    total += residual
    out = layer_norm(total, p["LayerNorm.weight"], p["LayerNorm.bias"], cfg.layer_norm_eps)
    acts = dict(x=x, total=total, out=out)
    return out, acts if drop is None else acts | dict(drop=drop)


def project_add_norm_backward(dout, acts, p, cfg):
    """-> dx (B, L, I), dresidual (B, L, D), grads"""
    dtotal, dweight, dbias = layer_norm_backward(dout, acts["total"], p["LayerNorm.weight"], cfg.layer_norm_eps)
    dx, g = dense_linear_backward(dropout(dtotal, acts.get("drop")), acts["x"], p)
    return dx, dtotal, g | {"LayerNorm.weight": dweight, "LayerNorm.bias": dbias}


def feed_forward(x, p, cfg):
    """activation(dense(x)).   x (B, L, D)  ->  (B, L, F), acts"""
    dense = dense_linear(x, p)
    out = activate(dense, cfg.hidden_act)
    return out, dict(x=x, dense=dense, out=out)


def feed_forward_backward(dout, acts, p, cfg):
    """-> dx (B, L, D), grads"""
    ddense = activate_backward(dout, acts["dense"], acts["out"], cfg.hidden_act)
    return dense_linear_backward(ddense, acts["x"], p)


def dense_linear(x, p):
    """`dense` of a checkpoint: a linear map, or a grouped one if the weight has three axes."""
    weight, bias = p["dense.weight"], p["dense.bias"]
    return linear(x, weight, bias) if weight.ndim == 2 else grouped_linear(x, weight, bias)


def dense_linear_backward(dy, x, p):
    """-> dx, grads"""
    weight = p["dense.weight"]
    backward = linear_backward if weight.ndim == 2 else grouped_linear_backward
    dx, dweight, dbias = backward(dy, x, weight)
    return dx, {"dense.weight": dweight, "dense.bias": dbias}
