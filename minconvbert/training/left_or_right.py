"""The smallest task that only a span-based kernel solves: a word takes its left or its right neighbour.

    left  a  *  b  .        the star must answer a
    right a  *  b  .        the star must answer b
    .     a  *  b  left     the star must answer a
    .     a  *  b  right    the star must answer b

A sentence has two different letters, and a word near by says which of them is wanted: there are 4 * 8 * 7 sentences.
The model is one layer that only mixes its neighbours: the value of a letter is that letter, the value of any other word
is zero, and the mixture at the star, scaled, is the logits. So only the mixing can be learned.

    attention           a head that sees words and positions
    attention, blind    a head that sees words alone, so not their order
    attention, 2 heads  two heads that see words and positions, added up
    plain               one learned kernel for each channel
    dynamic             a kernel predicted from the star alone
    span                a kernel predicted from the star and the span around it
"""

import itertools

import numpy as np

from ..attention import self_attention, self_attention_backward
from ..config import ConvBertConfig
from ..conv import (
    depthwise_conv,
    depthwise_conv_backward,
    dynamic_conv,
    dynamic_conv_backward,
    span_dynamic_conv,
    span_dynamic_conv_backward,
)
from ..losses import cross_entropy, cross_entropy_backward
from ..ops import linear, linear_backward, softmax, softmax_backward
from ..optim import adam_state, adam_step
from ..shapes import under

WORDS = [*"abcdefgh", "left", "right", "*", "."]
LETTERS = 8
LEFT, RIGHT, STAR, DOT = range(LETTERS, len(WORDS))
MIDDLE, L, K = 2, 5, 5
SHARPNESS = 10.0                                       # times a mixture, whose shares are at most 1, to make logits
ATTENTION_HEADS = {"attention": 1, "attention, blind": 1, "attention, 2 heads": 2}
VARIANTS = (*ATTENTION_HEADS, "plain", "dynamic", "span")
CONFIG = ConvBertConfig(hidden_size=2 * LETTERS, num_attention_heads=2, conv_kernel_size=K)      # a head of LETTERS


def sentences():
    """Every sentence and its answer: ids (N, L), answers (N,)"""
    rows, answers = [], []
    for a, b in itertools.permutations(range(LETTERS), 2):
        for direction in (LEFT, RIGHT):
            rows += [[direction, a, STAR, b, DOT], [DOT, a, STAR, b, direction]]
            answers += 2 * [a if direction == LEFT else b]
    return np.array(rows), np.array(answers)


def best_accuracy(seen, answers):
    """The highest accuracy for a model that sees only `seen` (N, ...): the commonest answer for rows that are equal."""
    groups = {}
    for row, answer in zip(seen, answers):
        groups.setdefault(tuple(np.ravel(row)), []).append(answer)
    return sum(max(map(group.count, group)) for group in groups.values()) / len(answers)


def vectors(ids, variant):
    """One-hot words, and one-hot positions for the heads that see them.   ids (B, L)  ->  (B, L, D)"""
    words = np.eye(len(WORDS))[ids]
    if variant not in ATTENTION_HEADS or variant == "attention, blind":
        return words
    return np.concatenate([words, np.broadcast_to(np.eye(L), (len(ids), L, L))], axis=2)


def fresh_params(variant, rng):
    """Parameters; `conv_out_layer`, the map to values, stays as it is unless `train` learns it, too."""
    D, H = vectors(np.zeros((1, L), int), variant).shape[2], ATTENTION_HEADS.get(variant, 1)
    draw = lambda *shape: rng.normal(0, 0.3, shape)
    value = {"conv_out_layer.weight": np.eye(LETTERS, D), "conv_out_layer.bias": np.zeros(LETTERS)}
    if variant == "plain":
        return value | {"depthwise.weight": draw(LETTERS, 1, K)}
    query = {"query.weight": draw(H * LETTERS, D), "query.bias": draw(H * LETTERS)}
    if variant in ATTENTION_HEADS:
        return value | query | {"key.weight": draw(H * LETTERS, D), "key.bias": draw(H * LETTERS)}
    kernel = {"conv_kernel_layer.weight": draw(K, LETTERS), "conv_kernel_layer.bias": draw(K)}
    if variant == "dynamic":
        return value | query | kernel
    return value | query | kernel | under("key_conv_attn_layer", {
        "depthwise.weight": draw(D, 1, K), "pointwise.weight": draw(LETTERS, D, 1), "bias": draw(LETTERS, 1)})


def mix(x, p, variant):
    """x (B, L, D)  ->  out (B, L, LETTERS), acts, which hold `kernel` (B, L, 1, K) or `weights` (B, H, L, L)"""
    if variant == "plain":
        value = linear(x, p["conv_out_layer.weight"], p["conv_out_layer.bias"])
        return depthwise_conv(value, p["depthwise.weight"]), dict(x=x, value=value)
    query = linear(x, p["query.weight"], p["query.bias"])
    if variant == "span":
        out, acts = span_dynamic_conv(x, query, None, p, CONFIG)
        return out[:, :, 0], acts
    value = linear(x, p["conv_out_layer.weight"], p["conv_out_layer.bias"])[:, :, None]          # (B, L, 1, LETTERS)
    if variant == "dynamic":
        kernel = softmax(linear(query, p["conv_kernel_layer.weight"], p["conv_kernel_layer.bias"]))[:, :, None]
        return dynamic_conv(value, kernel)[:, :, 0], dict(x=x, query=query, value=value, kernel=kernel)
    heads = lambda y: y.reshape(*y.shape[:2], ATTENTION_HEADS[variant], LETTERS)
    out, acts = self_attention(heads(query), heads(linear(x, p["key.weight"], p["key.bias"])),
                               np.repeat(value, ATTENTION_HEADS[variant], axis=2), np.zeros((1, 1, 1, x.shape[1])))
    return out.sum(2), acts | dict(x=x)


def mix_backward(dout, acts, p, variant):
    """-> grads of all parameters"""
    x, g = acts["x"], {}
    if variant == "plain":
        dvalue, g["depthwise.weight"] = depthwise_conv_backward(dout, acts["value"], p["depthwise.weight"])
    elif variant == "span":
        _, dquery, g = span_dynamic_conv_backward(dout[:, :, None], acts, p, CONFIG)
    elif variant == "dynamic":
        dvalue, dkernel = dynamic_conv_backward(dout[:, :, None], acts["value"], acts["kernel"])
        dquery, g["conv_kernel_layer.weight"], g["conv_kernel_layer.bias"] = linear_backward(
            softmax_backward(dkernel, acts["kernel"])[:, :, 0], acts["query"], p["conv_kernel_layer.weight"])
    else:
        dheads = np.repeat(dout[:, :, None], ATTENTION_HEADS[variant], axis=2)
        dquery, dkey, dvalue = self_attention_backward(dheads, acts)
        dquery, dkey = (d.reshape(*d.shape[:2], -1) for d in (dquery, dkey))
        _, g["key.weight"], g["key.bias"] = linear_backward(dkey, x, p["key.weight"])
    if variant != "plain":
        _, g["query.weight"], g["query.bias"] = linear_backward(dquery, x, p["query.weight"])
    if variant != "span":
        dvalue = dvalue.reshape(*x.shape[:2], -1, LETTERS).sum(2)
        _, g["conv_out_layer.weight"], g["conv_out_layer.bias"] = linear_backward(dvalue, x, p["conv_out_layer.weight"])
    return g


def train(variant, seed=0, steps=150, rate=0.03, values="fixed"):
    """Learn from all sentences at once  ->  parameters; accuracies (steps,) and losses (steps,), before each step

    values: "learned" trains the map to values, too
    """
    ids, answers = sentences()
    x, p = vectors(ids, variant), fresh_params(variant, np.random.default_rng(seed))
    learned = {name: array for name, array in p.items() if values == "learned" or "conv_out_layer" not in name}
    moments, accuracies, losses = adam_state(learned), [], []
    for _ in range(steps):
        out, acts = mix(x, p, variant)
        loss, probs = cross_entropy(SHARPNESS * out[:, MIDDLE], answers)
        accuracies.append(float((probs.argmax(-1) == answers).mean()))
        losses.append(float(loss))
        dout = np.zeros_like(out)
        dout[:, MIDDLE] = SHARPNESS * cross_entropy_backward(1.0, probs, answers)
        adam_step(learned, mix_backward(dout, acts, p, variant), moments, rate, decay=0.0)
    return p, np.array(accuracies), np.array(losses)
