"""The cases: their inputs, and how the reference computes everything that is expected.

A case is small and aims at mistakes. Its weights are far from initial scale, because at that scale a flipped kernel, a
missing bias or the wrong GELU changes the numbers by less than 1e-4. Every input is exactly a float32 number, so that
ports of any precision start from the same numbers.
"""

import re
from dataclasses import dataclass, field
from inspect import signature

import numpy as np

from .. import activations, attention, conv, losses, model, ops
from ..config import ConvBertConfig, param_shapes
from ..shapes import sub, under
from .tape import Tape, on
from .trace import BY_HAND, BY_TAPE, Passes, frozen_row, place, traced

LEVELS = ("tokenizer", "op", "block", "model", "heads", "backward", "optimizer", "text")
# With H = 2, Dh = 3, D = 12, the roots of Dh, of H Dh and of D, and Dh itself, all differ, so a wrong scale shows. Only
# 1 / sqrt(H Dh) equals 1 / sqrt(2 Dh); the cases with SIX_HEADS, H = 3 and Dh = 2, tell these apart.
TINY = dict(vocab_size=23, hidden_size=12, embedding_size=12, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=20, max_position_embeddings=13, conv_kernel_size=5, pad_token_id=0)
SIX_HEADS = TINY | dict(num_attention_heads=6)


@dataclass
class Case:
    """`given()` draws the inputs; `run(given, gradients)` is the reference: {name: array}, in the order of computation.

    `gradients`: BY_HAND from the backward functions, BY_TAPE from the forward pass alone, or None.
    """

    id: str
    purpose: str
    given: callable
    run: callable
    config: dict | None = None
    flags: dict = field(default_factory=dict)     # flag: a sentence that says what it is for
    text: dict | None = None                      # inputs that are not arrays
    degenerate: str | None = None                 # the reason why many mistakes look alike in this case

    @property
    def level(self):
        return self.id.split(".")[0]

    @property
    def has_gradients(self):
        """Whether the case has a backward pass."""
        return "gradients" in signature(self.run).parameters

    @property
    def cfg(self):
        return None if self.config is None else ConvBertConfig.from_dict(self.config)


CASES = {}


def add_case(id, purpose, given, run, config=None, text=None, degenerate=None, **flags):
    CASES[id] = Case(id, purpose, given, run, config, flags, text, degenerate)


def single(x):
    """The nearest float32 numbers, as float64."""
    return np.asarray(x).astype(np.float32).astype(np.float64)


def draw(rng, *shape, scale=1.0):
    """Normal numbers, each exactly a float32 number."""
    return single(rng.normal(0, scale, shape))


def draw_params(cfg, task, rng, scale=0.4):
    """Random parameters. Biases are not zero, norms are not one, and the row of [PAD] is not zero."""
    return {name: single(draw(rng, *shape, scale=scale) + name.endswith("LayerNorm.weight"))
            for name, shape in param_shapes(cfg, task).items()}


def nearly_flat(params, rng, flat, level, spread=0.004):
    """Parameters that make rows that norms read vary by `spread` only, so that a larger eps shows in each norm.

    Arrays whose names fit `flat` are made small. Arrays whose names fit `level` vary by `spread` around one number or,
    if they are tables, around one number for each row.
    """
    found = dict(params)
    for name, array in params.items():
        if re.search(level, name):
            found[name] = single(rng.normal(size=(*array.shape[:-1], 1) if array.ndim > 1 else ()) + spread * array)
        elif re.search(flat, name):
            found[name] = single(spread * array)
    return found


# Ops: one function each. The last input is the gradient of the output.

def _op(id, purpose, make, forward, backward, results, **flags):
    """`make(rng)` -> inputs; `forward(**inputs)` -> out; `backward(dout, out, **inputs)` -> gradients of `results`."""
    def given():
        rng = np.random.default_rng(sum(id.encode()))
        arrays = make(rng)
        arrays["dout"] = draw(rng, *np.shape(forward(**arrays)))
        return under("in", arrays)

    def run(given, gradients=BY_HAND):
        arrays = sub(given, "in")
        dout = arrays.pop("dout")
        if gradients == BY_TAPE:
            return differentiated("acts.out", forward, arrays, dout, results)
        out = forward(**arrays)
        if gradients is None:
            return {"acts.out": out}
        found = backward(dout, out, **arrays)
        found = found if isinstance(found, tuple) else (found,)
        return {"acts.out": out} | {f"din.{name}": g for name, g in zip(results, found, strict=True)}

    add_case(f"op.{id}", purpose, given, run, **flags)


def differentiated(name, forward, arrays, dout, results):
    """-> {name: forward(**arrays)} and, by a tape, the gradients of `results`"""
    tape = Tape()
    arrays = {n: tape.track(a) if n in results else a for n, a in arrays.items()}
    with on(tape), frozen_row(arrays.get("table"), 0):
        out = forward(**arrays)
    gradient = tape.backward(out, dout)
    return {name: out.value} | {f"din.{n}": gradient[arrays[n].ids] for n in results}


def _make(**shapes):
    return lambda rng: {name: draw(rng, *shape) for name, shape in shapes.items()}


_op("linear", "y = x W^T + b", _make(x=(2, 3, 5), weight=(4, 5), bias=(4,)),
    lambda x, weight, bias: ops.linear(x, weight, bias),
    lambda dout, out, x, weight, bias: ops.linear_backward(dout, x, weight), ("x", "weight", "bias"),
    not_square="Inputs and outputs differ in number, so a transposed weight cannot hide.")
_op("grouped_linear", "Neighbouring inputs form groups, each with a linear map of its own",
    _make(x=(2, 3, 6), weight=(2, 3, 4), bias=(8,)),
    lambda x, weight, bias: ops.grouped_linear(x, weight, bias),
    lambda dout, out, x, weight, bias: ops.grouped_linear_backward(dout, x, weight), ("x", "weight", "bias"),
    groups="The weight is (groups, inputs, outputs), not transposed; outputs of a group are neighbours.")


def _ids(rng):
    return dict(ids=np.array([[1, 4, 4, 0], [6, 0, 2, 4]]), table=draw(rng, 7, 3))


_op("embedding", "Rows of a table; its gradient sums over occurrences, the padding row (id 0) gets none", _ids,
    lambda ids, table: ops.embedding(ids, table),
    lambda dout, out, ids, table: ops.embedding_backward(dout, ids, table, padding_idx=0), ("table",),
    repeated_id="Id 4 occurs three times: its gradients add up.",
    padding_row="Row 0 is the padding row: its gradient is zero.")


def _norm_inputs(rng, spread=1.0):
    x = draw(rng, 2, 4, 6) + 0.5
    x[0, 1] = 3 + spread * x[0, 1]
    x[1, 2] = spread * x[1, 2]
    return dict(x=single(x), weight=single(1 + draw(rng, 6, scale=0.4)), bias=draw(rng, 6))


for _id, _spread, _flag in (("", 1.0, {}), (".small_variance", 0.004, dict(
        small_variance="Two rows vary by 0.004: a larger eps shows."))):
    _op(f"layer_norm{_id}", "y = (x - mean) / sqrt(variance + 1e-12) weight + bias, over the last axis",
        lambda rng, spread=_spread: _norm_inputs(rng, spread),
        lambda x, weight, bias: ops.layer_norm(x, weight, bias, 1e-12),
        lambda dout, out, x, weight, bias: ops.layer_norm_backward(dout, x, weight, 1e-12), ("x", "weight", "bias"),
        **_flag)
_op("softmax", "y_i = exp(x_i) / sum_j exp(x_j) over the last axis", _make(x=(2, 3, 3)),
    lambda x: ops.softmax(x), lambda dout, out, x: ops.softmax_backward(dout, out), ("x",),
    square="The last two axes are of one size: the wrong axis runs, and shows in the numbers only.")


def _line(rng):
    grid = np.linspace(-6, 12, 37)
    return dict(x=single(np.concatenate([grid[grid != 10], draw(rng, 8)])))      # at 10 itself gelu_10 has a kink


for _name in ("gelu", "gelu_new", "quick_gelu", "relu", "silu", "mish", "gelu_10"):
    _op(f"activation.{_name}", f"The activation that configurations call {_name}", _line,
        lambda x, name=_name: activations.activate(x, name),
        lambda dout, out, x, name=_name: activations.activate_backward(dout, x, out, name), ("x",))

_op("dropout", "y = x mask, with the mask given: 0, or 1 / (1 - p) = 1.25",
    lambda rng: dict(x=draw(rng, 3, 5), mask=(rng.random((3, 5)) >= 0.2) * 1.25),
    lambda x, mask: ops.dropout(x, mask), lambda dout, out, x, mask: ops.dropout(dout, mask), ("x",))
for _id, _L, _K, _flag in (("", 7, 5, {}), (".one_tap", 4, 1, {}),
                           (".wide", 3, 7, dict(kernel_wider_than_sequence="Seven taps over three tokens."))):
    _op(f"depthwise_conv{_id}", "out[t, d] = sum_j weight[d, 0, j] x[t + j - K // 2, d], zero outside the sequence",
        _make(x=(2, _L, 4), weight=(4, 1, _K)),
        lambda x, weight: conv.depthwise_conv(x, weight),
        lambda dout, out, x, weight: conv.depthwise_conv_backward(dout, x, weight), ("x", "weight"), **_flag)
    _op(f"dynamic_conv{_id}", "out[t, h] = sum_j kernel[t, h, j] value[t + j - K // 2, h], zero outside the sequence",
        _make(value=(2, _L, 3, 4), kernel=(2, _L, 3, _K)),
        lambda value, kernel: conv.dynamic_conv(value, kernel),
        lambda dout, out, value, kernel: conv.dynamic_conv_backward(dout, value, kernel), ("value", "kernel"), **_flag)
_op("separable_conv", "A depthwise convolution, then a linear map of every position, then one bias",
    _make(x=(2, 7, 4), depthwise=(4, 1, 5), pointwise=(6, 4, 1), bias=(6, 1)),
    lambda x, depthwise, pointwise, bias: conv.separable_conv(x, depthwise, pointwise, bias)[0],
    lambda dout, out, x, depthwise, pointwise, bias: conv.separable_conv_backward(
        dout, x, conv.depthwise_conv(x, depthwise), depthwise, pointwise),
    ("x", "depthwise", "pointwise", "bias"), bias="The bias comes once, after the pointwise map, and is not zero.")


def _attention_inputs(rng):
    # H = 3, Dh = 5: here a scale of 1 is not that of squared weights, as it would be with Dh = 4.
    bias = np.zeros((2, 1, 1, 6))
    bias[1, :, :, 4:] = -1e4
    return dict(query=draw(rng, 2, 6, 3, 5), key=draw(rng, 2, 6, 3, 5), value=draw(rng, 2, 6, 3, 5), bias=bias)


def _attention_backward(dout, out, **arrays):
    return attention.self_attention_backward(dout, attention.self_attention(**arrays)[1])


_op("self_attention", "softmax(q k^T / sqrt(Dh) + bias) v, for each head", _attention_inputs,
    lambda **arrays: attention.self_attention(**arrays)[0], _attention_backward, ("query", "key", "value"),
    padding="Two tokens of the second sequence are padded.")


# Losses: the upstream gradient is that of the loss, 1.75.

def _loss(id, purpose, make, forward, backward, **flags):
    def run(given, gradients=BY_HAND):
        arrays = sub(given, "in")
        if gradients == BY_TAPE:
            return differentiated("loss", lambda **a: forward(**a)[0], arrays, 1.75, ["logits"])
        loss, acts = forward(**arrays)
        found = {"loss": np.asarray(loss)}
        if gradients is None:
            return found
        return found | {"din.logits": backward(arrays["logits"].dtype.type(1.75), acts, **arrays)}
    add_case(f"op.{id}", purpose + "; the loss's own gradient is 1.75",
          lambda: under("in", make(np.random.default_rng(sum(id.encode())))), run, **flags)


_loss("cross_entropy", "mean of -log softmax(logits)[label] over labels that are not -100",
      lambda rng: dict(logits=draw(rng, 2, 4, 5, scale=2), labels=np.array([[0, -100, 4, 2], [3, 3, -100, 1]])),
      lambda logits, labels: losses.cross_entropy(logits, labels),
      lambda dloss, probs, logits, labels: losses.cross_entropy_backward(dloss, probs, labels),
      ignored="Labels of -100 count neither in the sum nor in the mean.")
_loss("mean_squared_error", "mean((logits - wanted)^2)",
      lambda rng: dict(logits=draw(rng, 3, 2), wanted=draw(rng, 3, 2)),
      lambda logits, wanted: (losses.mean_squared_error(logits, wanted), None),
      lambda dloss, acts, logits, wanted: losses.mean_squared_error_backward(dloss, logits, wanted))
_loss("binary_cross_entropy", "mean(log(1 + exp(z)) - z wanted)",
      lambda rng: dict(logits=draw(rng, 3, 4, scale=3), wanted=(rng.random((3, 4)) > 0.5) * 1.0),
      lambda logits, wanted: (losses.binary_cross_entropy(logits, wanted), None),
      lambda dloss, acts, logits, wanted: losses.binary_cross_entropy_backward(dloss, logits, wanted))


# Blocks.

class Replay:
    """Replaces a random generator: it returns the dropout masks of the case, in the order of their use."""

    def __init__(self, masks):
        self.masks = iter(masks)

    def random(self, shape, dtype):
        mask = next(self.masks)
        assert mask.shape == tuple(shape)
        return (mask > 0).astype(dtype)


def ordered(found, acts_prefix=""):
    """Sort tensors: those of the forward pass by place, the loss, then gradients by place in reverse order."""
    backwards = lambda name: tuple(-i for i in place(name))
    forward = sorted((n for n in found if n.startswith("acts.")), key=lambda n: place(acts_prefix + n[5:]))
    gradients = sorted((n for n in found if n.startswith(("dacts.", "grads."))),
                       key=lambda n: backwards(acts_prefix + n.split(".", 1)[1]))
    others = [n for n in found if n.startswith("din.")]
    return {name: found[name] for name in [*forward, *(["loss"] if "loss" in found else []), *gradients, *others]}


def _block(id, purpose, config, prefix, make, forward, backward, **flags):
    """A block of one layer: `make(cfg, rng)` -> in, params; names are those of a layer without `prefix`."""
    cfg = ConvBertConfig.from_dict(config)

    def given():
        rng = np.random.default_rng(sum(id.encode()))
        arrays, p = make(cfg, rng)
        given = under("in", arrays) | under("params", p)
        out, _ = forward(arrays, p, cfg, given)
        return given | {"in.dout": draw(rng, *out.shape)}

    def run(given, gradients=BY_HAND):
        arrays, p = sub(given, "in"), sub(given, "params")
        passes = Passes(lambda arrays, p: forward(arrays, p, cfg, given), lambda *back: backward(*back, cfg),
                        lambda arrays, acts: {n: arrays[n] for n in ("x", "query") if n in arrays},
                        dout=arrays.pop("dout"), prefix=prefix.rstrip("."))
        return ordered(traced(passes, arrays, p, cfg, gradients), prefix)

    add_case(f"block.{id}", purpose, given, run, config, **flags)


def _layer_params(cfg, rng, prefix):
    return sub(draw_params(cfg, None, rng), ("encoder.layer.0." + prefix).rstrip("."))


def _masks(cfg, mask, dtype):
    return model.attention_bias(mask, cfg, dtype), model.conv_mask(mask, cfg, dtype)


MASK = np.array([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0]])


def _span(cfg, rng):
    A = cfg.heads * cfg.head_size
    p = {name: x for name, x in _layer_params(cfg, rng, "attention.self.").items() if "conv" in name}
    return dict(x=draw(rng, 2, 7, cfg.hidden_size), query=draw(rng, 2, 7, A)), p


def _span_backward(dout, acts, p, cfg):
    dx, dquery, grads = conv.span_dynamic_conv_backward(dout, acts, p, cfg)
    return dict(x=dx, query=dquery), grads


_block("span_dynamic_conv", "softmax(W (query * span_key) + b) convolved with the values: ConvBERT's own block", TINY,
       "attention.self.conv.", _span,
       lambda a, p, cfg, given: conv.span_dynamic_conv(a["x"], a["query"], None, p, cfg), _span_backward)


def _mixed(cfg, rng):
    return (dict(x=draw(rng, 2, 7, cfg.hidden_size), attention_mask=MASK),
            _layer_params(cfg, rng, "attention.self."))


def _dx(backward):
    def both(dout, acts, p, cfg):
        dx, grads = backward(dout, acts, p, cfg)
        return dict(x=dx), grads
    return both


_block("mixed_attention", "Half of the heads attend, half convolve; both ask with the same query", SIX_HEADS,
       "attention.self.", _mixed,
       lambda a, p, cfg, given: attention.mixed_attention(
           a["x"], _masks(cfg, a["attention_mask"], a["x"].dtype), p, cfg),
       _dx(lambda *args: attention.mixed_attention_backward(*args)),
       padding="Two tokens are padded: the mask hides them from attention, not from the convolution.")


def _whole_layer(cfg, rng):
    return dict(x=draw(rng, 2, 7, cfg.hidden_size), attention_mask=MASK), _layer_params(cfg, rng, "")


def _run_layer(a, p, cfg, given, rng=None):
    return model.layer(a["x"], _masks(cfg, a["attention_mask"], a["x"].dtype), p, cfg, rng)


_block("layer", "Mixed attention, feed-forward; each added to what went in, and normed", SIX_HEADS, "", _whole_layer,
       _run_layer, _dx(lambda *args: model.layer_backward(*args)), padding="Two tokens are padded.")


def _flat_layer(cfg, rng):
    arrays, p = _whole_layer(cfg, rng)
    rows = single(draw(rng, *MASK.shape, 1) + 0.004 * arrays["x"])
    return arrays | dict(x=rows), nearly_flat(
        p, rng, r"output\.dense\.weight|attention\.output\.LayerNorm\.weight",
        r"output\.dense\.bias|attention\.output\.LayerNorm\.bias")


_block("layer_small_variance", "A layer whose norms read rows that vary by 0.004 only", TINY, "", _flat_layer,
       _run_layer, _dx(lambda *args: model.layer_backward(*args)),
       small_variance="An eps of 1e-5 shows, in either norm alone.")
_block("layer_groups", "A layer whose feed-forward maps are grouped", TINY | dict(num_groups=2), "", _whole_layer,
       _run_layer, _dx(lambda *args: model.layer_backward(*args)),
       groups="Two groups: neighbouring inputs belong together.")


def _dropped_layer(cfg, rng):
    arrays, p = _whole_layer(cfg, rng)
    H, L, D = cfg.heads, 7, cfg.hidden_size
    for name, shape, rate in (("attention", (2, H, L, L), cfg.attention_probs_dropout_prob),
                              ("attention_output", (2, L, D), cfg.hidden_dropout_prob),
                              ("output", (2, L, D), cfg.hidden_dropout_prob)):
        arrays[f"drop.{name}"] = (rng.random(shape) >= rate) * (1 / (1 - rate))
    return arrays, p


_block("layer_dropout", "A layer in training: the masks of dropout are given", TINY | dict(
           hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.5), "", _dropped_layer,
       lambda a, p, cfg, given: _run_layer(a, p, cfg, given, Replay(
           [a["drop.attention"], a["drop.attention_output"], a["drop.output"]])),
       _dx(lambda *args: model.layer_backward(*args)),
       dropout_replayed="Attention maps, the projection of the mixed block and that of the feed-forward are dropped; "
                        "a mask is multiplied as it is.")
