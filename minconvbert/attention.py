"""Self-attention, and the mixed block, in which half of the heads attend and half convolve."""

import math

import numpy as np

from .conv import span_dynamic_conv, span_dynamic_conv_backward
from .ops import dropout, dropout_mask, linear, linear_backward, softmax, softmax_backward
from .shapes import dims, sub, under

BLOCK = 2**20                                          # scores that are computed at a time


def self_attention(query, key, value, bias, drop=None):
    """softmax(q k^T / sqrt(Dh) + bias) v, for each head.

    query (B, T, H, Dh), key, value (B, L, H, Dh), bias (B or 1, H or 1, T or 1, L)  ->  out (B, T, H, Dh), acts

    T = L, because all tokens attend; `attention_in_blocks` passes the queries of T tokens at a time.
    """
    B, T, H, Dh, L = dims("query[B T H Dh], key[B L H Dh], value[B L H Dh]", query, key, value)
    q, k, v = (x.transpose(0, 2, 1, 3) for x in (query, key, value))                 # (B, H, T or L, Dh)
    scores = q @ k.swapaxes(2, 3)                                                    # (B, H, T, L)
    scores *= 1 / math.sqrt(Dh)
    scores += bias
    weights = softmax(scores)
    out = (dropout(weights, drop) @ v).transpose(0, 2, 1, 3)                         # (B, T, H, Dh)
    acts = dict(query=query, key=key, value=value, weights=weights, out=out)
    return out, acts if drop is None else acts | dict(drop=drop)


def self_attention_backward(dout, acts):
    """-> dquery, dkey, dvalue (B, L, H, Dh)"""
    query, key, value = acts["query"], acts["key"], acts["value"]
    B, L, H, Dh = dims("query[B L H Dh], key[B L H Dh], value[B L H Dh], dout[B L H Dh]", query, key, value, dout)
    q, k, v, dout = (x.transpose(0, 2, 1, 3) for x in (query, key, value, dout))     # (B, H, L, Dh)
    weights, drop = acts["weights"], acts.get("drop")
    dv = dropout(weights, drop).swapaxes(2, 3) @ dout
    dweights = dropout(dout @ v.swapaxes(2, 3), drop)                                # (B, H, L, L)
    dscores = softmax_backward(dweights, weights)
    dscores *= 1 / math.sqrt(Dh)
    dq, dk = dscores @ k, dscores.swapaxes(2, 3) @ q
    return tuple(dx.transpose(0, 2, 1, 3) for dx in (dq, dk, dv))


def attention_in_blocks(query, key, value, bias):
    """`self_attention` for a block of queries at a time, so that memory never holds (B, H, L, L).   ->  out"""
    B, L, H, Dh = dims("query[B L H Dh], key[B L H Dh], value[B L H Dh]", query, key, value)
    size, out = max(1, BLOCK // (B * H * L)), np.empty_like(query)
    for start in range(0, L, size):
        some = slice(start, start + size)
        out[:, some], _ = self_attention(query[:, some], key, value, bias[:, :, some] if bias.shape[2] == L else bias)
    return out


def mixed_attention(x, masks, p, cfg, rng=None, maps=True):
    """Half of the heads attend to every token, half convolve the span around each; both use the same query.

    x (B, L, D), masks = (attention bias (B, 1, 1, L), None or convolution mask (B, L, 1))  ->  (B, L, 2 H Dh), acts

    Without `maps`, attention works in blocks and leaves nothing in `acts`, so there is no way back.
    """
    B, L, D = dims("x[B L D]", x)
    H, Dh = cfg.heads, cfg.head_size
    attention_bias, conv_mask = masks

    query = linear(x, p["query.weight"], p["query.bias"])                            # (B, L, H Dh)
    key = linear(x, p["key.weight"], p["key.bias"])
    value = linear(x, p["value.weight"], p["value.bias"])

    drop = dropout_mask((B, H, L, L), cfg.attention_probs_dropout_prob, rng, x.dtype)
    heads = [y.reshape(B, L, H, Dh) for y in (query, key, value)]
    if maps or drop is not None:
        everywhere, attn = self_attention(*heads, attention_bias, drop)
    else:
        everywhere, attn = attention_in_blocks(*heads, attention_bias), {}
    nearby, conv = span_dynamic_conv(x, query, conv_mask, p, cfg)

    out = np.concatenate([everywhere, nearby], axis=2).reshape(B, L, 2 * H * Dh)     # (B, L, 2 H Dh)
    return out, dict(x=x, out=out) | under("attn", attn) | under("conv", conv)


def mixed_attention_backward(dout, acts, p, cfg):
    """-> dx (B, L, D), grads"""
    x, H, Dh = acts["x"], cfg.heads, cfg.head_size
    B, L, D = dims("x[B L D]", x)
    deverywhere, dnearby = np.split(dout.reshape(B, L, 2 * H, Dh), 2, axis=2)

    dx, dquery_conv, g = span_dynamic_conv_backward(dnearby, sub(acts, "conv"), p, cfg)
    dquery, dkey, dvalue = (
        d.reshape(B, L, H * Dh) for d in self_attention_backward(deverywhere, sub(acts, "attn")))

    dquery = dquery + dquery_conv                      # both halves use the same query
    for name, dy in (("query", dquery), ("key", dkey), ("value", dvalue)):
        dx_part, g[f"{name}.weight"], g[f"{name}.bias"] = linear_backward(dy, x, p[f"{name}.weight"])
        dx += dx_part
    return dx, g
