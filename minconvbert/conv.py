"""Three convolutions that share one sum.

    out[t] = sum over the K taps j of   kernel[j] * x[t + j - K // 2]          (zero outside the sequence)

A depthwise convolution learns one kernel for every channel. A dynamic convolution predicts one for every token and
head. A *span-based* dynamic convolution, the idea of ConvBERT, predicts it from the span around the token, not from the
token alone.
"""

import numpy as np

from .ops import linear, linear_backward, softmax, softmax_backward
from .shapes import dims


def depthwise_conv(x, weight):
    """out[t, d] = sum_j weight[d, j] x[t + j - K // 2, d].   x (B, L, D), weight (D, 1, K)  ->  (B, L, D)"""
    B, L, D, K = dims("x[B L D], weight[D 1 K]", x, weight)
    weight = np.asfortranarray(weight)                 # a tap's numbers lie side by side: 1.7 times as fast
    padded = pad(x, K)
    out = np.zeros_like(x)
    for j in range(K):
        out += weight[:, 0, j] * padded[:, j : j + L]
    return out


def depthwise_conv_backward(dout, x, weight):
    """-> dx (B, L, D), dweight (D, 1, K)"""
    B, L, D, K = dims("x[B L D], weight[D 1 K], dout[B L D]", x, weight, dout)
    padded = pad(x, K)
    dpadded, dweight = np.zeros_like(padded), np.zeros_like(weight)
    weight = np.asfortranarray(weight)
    for j in range(K):
        dpadded[:, j : j + L] += weight[:, 0, j] * dout
        dweight[:, 0, j] = np.einsum("bld,bld->d", dout, padded[:, j : j + L])
    return unpad(dpadded, K), dweight


def separable_conv(x, depthwise, pointwise, bias):
    """A depthwise convolution, then one linear map of every position.

    x (B, L, D), depthwise (D, 1, K), pointwise (A, D, 1), bias (A, 1)  ->  (B, L, A), mixed (B, L, D), before the map
    """
    dims("pointwise[A D 1], bias[A 1]", pointwise, bias)
    mixed = depthwise_conv(x, depthwise)
    return linear(mixed, pointwise[:, :, 0], bias[:, 0]), mixed


def separable_conv_backward(dout, x, mixed, depthwise, pointwise):
    """-> dx (B, L, D), ddepthwise (D, 1, K), dpointwise (A, D, 1), dbias (A, 1)"""
    dmixed, dpointwise, dbias = linear_backward(dout, mixed, pointwise[:, :, 0])
    dx, ddepthwise = depthwise_conv_backward(dmixed, x, depthwise)
    return dx, ddepthwise, dpointwise[:, :, None], dbias[:, None]


def dynamic_conv(value, kernel):
    """out[t, h] = sum_j kernel[t, h, j] value[t + j - K // 2, h]: every token and head has a kernel of its own.

    value (B, L, H, Dh), kernel (B, L, H, K)  ->  (B, L, H, Dh)
    """
    B, L, H, Dh, K = dims("value[B L H Dh], kernel[B L H K]", value, kernel)
    padded = pad(value, K)
    out = np.zeros_like(value)
    for j in range(K):
        out += kernel[..., j, None] * padded[:, j : j + L]
    return out


def dynamic_conv_backward(dout, value, kernel):
    """-> dvalue (B, L, H, Dh), dkernel (B, L, H, K)"""
    B, L, H, Dh, K = dims("value[B L H Dh], kernel[B L H K], dout[B L H Dh]", value, kernel, dout)
    padded = pad(value, K)
    dpadded, dkernel = np.zeros_like(padded), np.zeros_like(kernel)
    for j in range(K):
        dpadded[:, j : j + L] += kernel[..., j, None] * dout
        dkernel[..., j] = np.einsum("blhd,blhd->blh", dout, padded[:, j : j + L])
    return unpad(dpadded, K), dkernel


def pad(x, K):
    """K // 2 zeros before and after every sequence.   x (B, L, ...)  ->  (B, L + K - 1, ...)

    Raises ValueError if K is even: such a kernel has no middle.
    """
    if K % 2 == 0:
        raise ValueError(f"a kernel needs a middle: K must be odd, but K = {K}")
    padded = np.zeros((x.shape[0], x.shape[1] + K - 1, *x.shape[2:]), x.dtype)
    padded[:, K // 2 : K // 2 + x.shape[1]] = x
    return padded


def unpad(padded, K):
    """The middle of every sequence; undoes `pad`, and is its backward."""
    return padded[:, K // 2 : padded.shape[1] - K // 2]


def span_dynamic_conv(x, query, mask, p, cfg):
    """softmax(W (query * span_key) + b) convolved with the values: the heart of ConvBERT.

    A separable convolution sums up the span around each token as its span key. A linear map and a softmax turn the
    product of query and span key into the kernel, which says how much of each neighbour's value to take.

    x (B, L, D), query (B, L, H Dh), mask None or (B, L, 1)  ->  out (B, L, H, Dh), acts

    With a mask (`mask_convolution`), its zeros hide padded tokens from both convolutions.
    """
    B, L, D, A = dims("x[B L D], query[B L A]", x, query)
    H, Dh, K = cfg.heads, cfg.head_size, cfg.conv_kernel_size

    span_key, span_mixed = separable_conv(                                           # (B, L, H Dh), (B, L, D)
        hide(x, mask), p["key_conv_attn_layer.depthwise.weight"], p["key_conv_attn_layer.pointwise.weight"],
        p["key_conv_attn_layer.bias"])
    match = query * span_key
    scores = linear(match, p["conv_kernel_layer.weight"], p["conv_kernel_layer.bias"])
    kernel = softmax(scores.reshape(B, L, H, K))                                     # (B, L, H, K)
    value = hide(linear(x, p["conv_out_layer.weight"], p["conv_out_layer.bias"]), mask)
    value = value.reshape(B, L, H, Dh)                                               # (B, L, H, Dh)
    out = dynamic_conv(value, kernel)

    acts = dict(x=x, query=query, span_mixed=span_mixed, span_key=span_key, match=match, kernel=kernel, value=value,
                out=out)
    return out, acts if mask is None else acts | dict(mask=mask)


def span_dynamic_conv_backward(dout, acts, p, cfg):
    """-> dx (B, L, D), dquery (B, L, H Dh), grads"""
    x, query, span_key, mask = acts["x"], acts["query"], acts["span_key"], acts.get("mask")
    match, kernel, value = acts["match"], acts["kernel"], acts["value"]
    B, L, H, Dh, K = dims("value[B L H Dh], kernel[B L H K], dout[B L H Dh]", value, kernel, dout)
    g = {}

    dvalue, dkernel = dynamic_conv_backward(dout, value, kernel)
    dvalue = hide(dvalue.reshape(B, L, H * Dh), mask)
    dx_value, g["conv_out_layer.weight"], g["conv_out_layer.bias"] = linear_backward(
        dvalue, x, p["conv_out_layer.weight"])

    dscores = softmax_backward(dkernel, kernel)
    dmatch, g["conv_kernel_layer.weight"], g["conv_kernel_layer.bias"] = linear_backward(
        dscores.reshape(B, L, H * K), match, p["conv_kernel_layer.weight"])

    dquery, dspan_key = dmatch * span_key, dmatch * query
    (dx_span, g["key_conv_attn_layer.depthwise.weight"], g["key_conv_attn_layer.pointwise.weight"],
     g["key_conv_attn_layer.bias"]) = separable_conv_backward(
        dspan_key, hide(x, mask), acts["span_mixed"], p["key_conv_attn_layer.depthwise.weight"],
        p["key_conv_attn_layer.pointwise.weight"])

    return dx_value + hide(dx_span, mask), dquery, g


def hide(x, mask):
    """x with masked tokens zeroed, or x itself if there is no mask; it is its own backward."""
    return x if mask is None else x * mask
