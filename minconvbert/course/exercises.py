"""The exercises of the course, and the numbers that each is checked on.

Every forward of `ops`, `activations`, `conv`, `attention`, `losses`, `model` and `heads` that learns something is an
exercise, and so is its backward, FORWARD_backward.
"""

import copy
import hashlib
import inspect
import math

import numpy as np

from .. import activations, attention, conv, heads, losses, model, ops
from ..config import ConvBertConfig, param_shapes
from ..inputs import model_inputs
from ..shapes import sub
from ..step.trace import arrays


def reference(exercise):
    """The function of the package.   Raises ValueError if there is no such exercise."""
    if exercise not in EXERCISES:
        raise ValueError(f"there is no exercise {exercise!r}; there are {', '.join(EXERCISES)}")
    return _FUNCTIONS[exercise]


def case(exercise, seed, number=0):
    """The arguments of draw `number`: the same exercise, seed and number give the same bits. All arrays are read-only.

    The seed decides the numbers, never the shapes: the work is the same for every learner. From the second draw on
    there are padded tokens, dropout, ignored labels, given positions, scores so large that exp overflows, and settings
    other than the usual ones, where the function reads them.
    """
    names, values = inspect.signature(reference(exercise)).parameters, _drawn(exercise, seed, number)
    for array in arrays(values).values():
        array.flags.writeable = False
    return [values[name] for name in names if name in values]


def what_is_special(exercise, seed, number):
    """In words, what sets a draw apart from the first one."""
    return _drawn(exercise, seed, number).get("special", "there are padding, dropout, large numbers or other settings")


def rounds(exercise):
    """How many draws a solution must be right on."""
    return _ROUNDS.get(exercise.removesuffix("_backward"), 3)


def _drawn(exercise, seed, number):
    forward = exercise.removesuffix("_backward")
    return _CASES[forward](_generator(f"{exercise} {seed} {number}"), _generator(f"{forward} {number}"), number)


def _generator(text):
    return np.random.default_rng(np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint32))


# A draw: a dict with the arguments of a function, and of its backward, under their names in the signatures. `rng` draws
# the numbers, `sizes` the shapes; `hard` is the number of the draw, 0 for the plain one.

_EPS = 0.02, 0.05, 0.01                                # large enough to show when it is forgotten
_DLOSS = 1.7, -0.6, 2.3, 1.3


def _draw(rng, sizes, shapes):
    """Normal numbers with a size for each letter.   "x[B L D], weight[D 1 K]" or "x[B G*I]"  ->  dict of arrays"""
    letters = ("L", "D", "I", "O", "H", "Dh", "E", "N", "V")
    size = dict(zip(letters, sizes.permutation(range(4, 4 + len(letters))).tolist()))
    size |= dict(B=2, G=3, K=int(sizes.choice([3, 5])))
    drawn = {}
    for entry in shapes.removesuffix("]").split("], "):
        name, axes = entry.split("[")
        drawn[name] = rng.normal(size=[math.prod(int(x) if x.isdigit() else size[x] for x in axis.split("*"))
                                       for axis in axes.split()])
    return drawn


def _simple(shapes):
    return lambda rng, sizes, hard: _draw(rng, sizes, shapes)


def _embedding(rng, sizes, hard):
    values = _draw(rng, sizes, "table[V E], dy[B L E]")
    ids = rng.integers(0, len(values["table"]), values["dy"].shape[:2])
    ids[0, 0], ids[1, 0] = rng.integers(1, len(values["table"])), 0
    ids[0, 1] = ids[1, 2] = (ids[0, 0] + 1) % len(values["table"])              # a word that occurs twice
    return values | dict(ids=ids) | (dict(padding_idx=0 if hard == 2 else int(ids[0, 0])) if hard else {})


def _layer_norm(rng, sizes, hard):
    return _draw(rng, sizes, "x[B L D], weight[D], bias[D], dy[B L D]") | dict(eps=_EPS[hard])


def _softmax(rng, sizes, hard):
    values = _draw(rng, sizes, "x[B L N], dy[B L N]")
    y = ops.softmax(values["x"])
    if hard:
        values["x"] += np.array([[1000.0], [-1000.0]])[:, None]                 # exp overflows, or is 0 everywhere
        values["x"][0, 0, :2] += 9000                                           # far above the mean of their row, too
    return values | dict(y=y)


def _activate(rng, sizes, hard):
    values, name = _draw(rng, sizes, "x[B L D], dy[B L D]"), list(activations.ACTIVATIONS)[hard]
    values["x"][0, 1, :2] = 12.5, -12.5                                         # where some activations are clipped
    if name not in ("relu", "relu6", "leaky_relu"):                             # those have two slopes at 0
        values["x"][0, 0, 0] = 0
    return values | dict(name=name, y=activations.activate(values["x"], name), special=f"the activation is {name!r}")


def _separable_conv(rng, sizes, hard):
    values = _draw(rng, sizes, "x[B L D], depthwise[D 1 K], pointwise[O D 1], bias[O 1], dout[B L O]")
    return values | dict(mixed=conv.depthwise_conv(values["x"], values["depthwise"]))


def _self_attention(rng, sizes, hard):
    values = _draw(rng, sizes, "query[B L H Dh], key[B L H Dh], value[B L H Dh], dout[B L H Dh]")
    B, L, H, _ = values["query"].shape
    padded = np.zeros((B, 1, 1, L), bool)
    padded[1, ..., -1] = hard > 0
    values["bias"] = np.where(padded, -1e4, rng.normal(size=padded.shape))
    if hard == 2:
        values |= dict(bias=rng.normal(size=(1, H, L, L)), special="each head and each query has a bias of its own")
    if hard:
        values["drop"] = ops.dropout_mask((B, H, L, L), 0.3, rng, np.float64)
    _, values["acts"] = attention.self_attention(
        values["query"], values["key"], values["value"], values["bias"], values.get("drop"))
    return values


def _cross_entropy(rng, sizes, hard):
    values = _draw(rng, sizes, "logits[B L V]")
    labels = rng.integers(0, values["logits"].shape[-1], values["logits"].shape[:2])
    probs = losses.cross_entropy(values["logits"], labels)[1]
    values |= dict(labels=labels, probs=probs, dloss=_DLOSS[hard])
    if hard == 1:
        labels[0, 0] = labels[1, 1] = losses.IGNORED
        values["logits"] += np.array([[1000.0], [-1000.0]])[:, None]
        values["logits"][0, 1, labels[0, 1]] -= 2000                            # its probability is 0 in floats
    if hard == 2:
        labels[:] = losses.IGNORED
        values["special"] = "all labels are -100: nothing counts, so the loss is nan and every gradient is 0"
    if hard == 3:
        labels[0, :2] = labels[1, 1] = 1
        values |= dict(ignored=1, special="the label that is ignored is 1, not -100")
    return values


def _binary_cross_entropy(rng, sizes, hard):
    values = _draw(rng, sizes, "logits[B L]")
    if hard:
        values["logits"][:, :2] = 1000, -1000
    return values | dict(wanted=rng.integers(0, 2, values["logits"].shape).astype(float), dloss=_DLOSS[hard])


# Each setting that a function may read changes from draw to draw, and no two probabilities of a draw are the same.
_SETTINGS = (
    dict(H=2, Dh=3, hidden_act="gelu_new", conv_kernel_size=3, pad_token_id=0, hidden_dropout_prob=0.2,
         attention_probs_dropout_prob=0.3, summary_first_dropout=0.1, summary_last_dropout=0.5,
         classifier_dropout=0.4),
    dict(H=3, Dh=5, hidden_act="silu", conv_kernel_size=5, pad_token_id=5, hidden_dropout_prob=0.25,
         attention_probs_dropout_prob=0.35, summary_first_dropout=0.45, summary_last_dropout=0.2,
         num_groups=2),
    dict(H=2, Dh=4, hidden_act="tanh", conv_kernel_size=3, pad_token_id=None, hidden_dropout_prob=0.3,
         attention_probs_dropout_prob=0.2, summary_first_dropout=0.15, summary_last_dropout=0.4,
         classifier_dropout=0.1, head_ratio=4, head_ratio_semantics="original"))


def _small(rng, sizes, hard, prefix="", task=None, **more):
    """-> a configuration of small sizes; parameters far from where they start: no bias is 0, no norm is 1"""
    settings = dict(_SETTINGS[hard % 3])
    H, Dh, ratio = settings.pop("H"), settings.pop("Dh"), settings.get("head_ratio", 2)
    cfg = ConvBertConfig(**dict(
        vocab_size=int(sizes.integers(13, 19)), hidden_size=ratio * H * Dh, embedding_size=int(sizes.integers(5, 9)),
        num_hidden_layers=1, num_attention_heads=ratio * H, intermediate_size=2 * int(sizes.integers(5, 8)),
        max_position_embeddings=9, num_labels=2 if task == "question_answering" else 3, layer_norm_eps=_EPS[hard % 3],
        mask_convolution=True, mask_value=-1e4) | settings | more)
    p = {name: rng.normal(1 if name.endswith("LayerNorm.weight") else 0, 0.5, shape)
         for name, shape in param_shapes(cfg, task).items()}
    return cfg, sub(p, prefix) if prefix else p


def _ran(forward, rng, hard, values):
    """`values` with the acts that the forward gives for them, and an upstream gradient."""
    names, values = inspect.signature(forward).parameters, dict(values)
    if hard and "rng" in names:
        values["rng"] = np.random.default_rng(rng.integers(2**32))
    out, acts = forward(*fresh([values[name] for name in names if name in values]))
    dout = rng.normal(size=out.shape)
    return values | dict(acts=acts, dout=dout, dlogits=dout)


def fresh(args):
    """The same arguments for one more call: a random generator is used up by each."""
    return [copy.deepcopy(a) if isinstance(a, np.random.Generator) else a for a in args]


def _block(forward, place):
    def draw(rng, sizes, hard):
        cfg, p = _small(rng, sizes, hard, f"encoder.layer.0{place}")
        B, L, D, A = 2, int(sizes.integers(5, 8)), cfg.hidden_size, cfg.heads * cfg.head_size
        mask = np.ones((B, L), np.int64)
        mask[1, -2:] = not hard
        hide = model.conv_mask(mask, cfg, np.float64) if hard else None
        inputs = p["dense.weight"].shape[1] if forward is model.project_add_norm else D
        return _ran(forward, rng, hard, dict(
            x=rng.normal(size=(B, L, inputs)), query=rng.normal(size=(B, L, A)), residual=rng.normal(size=(B, L, D)),
            mask=hide, masks=(model.attention_bias(mask, cfg, np.float64), hide), p=p, cfg=cfg))
    return draw


def _embeddings(rng, sizes, hard):
    cfg, p = _small(rng, sizes, hard, "embeddings")
    shape = 2, int(sizes.integers(5, 8))
    ids = rng.integers(0, cfg.vocab_size, shape)
    ids[0, 0], ids[0, 1], ids[1, 1] = cfg.pad_token_id or 0, 3, 3
    special, words = {}, dict(input_ids=ids)
    if hard == 3:
        special = dict(special="there are inputs_embeds in place of input_ids")
        words = dict(inputs_embeds=rng.normal(size=(*shape, cfg.embedding_size)))
    inputs = model_inputs(cfg, token_type_ids=rng.integers(0, 2, shape),
                          position_ids=np.arange(shape[1])[::-1] if hard else None, **words)
    return _ran(model.embeddings, rng, hard, dict(inputs=inputs, p=p, cfg=cfg) | special)


def _head(task):
    def draw(rng, sizes, hard):
        settings, special = _HEAD_SETTINGS.get(task, {}).get(hard, ({}, None))
        cfg, p = _small(rng, sizes, hard, task=task, **settings)
        hidden = rng.normal(size=(2, int(sizes.integers(5, 8)), cfg.hidden_size))
        values = dict(hidden=hidden, p=p, cfg=cfg) | (dict(special=special) if special else {})
        if settings.get("summary_type") == "cls_index" and hard == 3:
            values["cls_index"] = np.array([3, 1])
        return _ran(heads.HEADS[task][0], rng, hard, values)
    return draw


# task: {draw: (settings, what is special about them)}
_HEAD_SETTINGS = {
    "masked_lm": {2: (dict(tie_word_embeddings=False), "the output has a table of its own, generator_lm_head.weight")},
    "multiple_choice": {
        0: (dict(summary_use_proj=True, summary_activation="tanh"), None),
        1: (dict(summary_use_proj=True, summary_activation="silu", summary_type="first"), "summary_type is 'first'"),
        2: (dict(summary_type="mean"), "summary_type is 'mean', without projection and activation"),
        3: (dict(summary_type="cls_index", summary_activation="tanh"), "cls_index says which token is the summary"),
        4: (dict(summary_type="cls_index"), "summary_type is 'cls_index', but no cls_index is given: the last token")},
}
_ROUNDS = {"activate": len(activations.ACTIVATIONS), "cross_entropy": 4, "embeddings": 4, "multiple_choice": 5}
_CASES = {
    "linear": _simple("x[B L I], weight[O I], bias[O], dy[B L O]"),
    "grouped_linear": _simple("x[B L G*I], weight[G I O], bias[G*O], dy[B L G*O]"),
    "embedding": _embedding,
    "layer_norm": _layer_norm,
    "softmax": _softmax,
    "activate": _activate,
    "depthwise_conv": _simple("x[B L D], weight[D 1 K], dout[B L D]"),
    "separable_conv": _separable_conv,
    "dynamic_conv": _simple("value[B L H Dh], kernel[B L H K], dout[B L H Dh]"),
    "span_dynamic_conv": _block(conv.span_dynamic_conv, ".attention.self"),
    "self_attention": _self_attention,
    "mixed_attention": _block(attention.mixed_attention, ".attention.self"),
    "project_add_norm": _block(model.project_add_norm, ".attention.output"),
    "feed_forward": _block(model.feed_forward, ".intermediate"),
    "layer": _block(model.layer, ""),
    "embeddings": _embeddings,
    "cross_entropy": _cross_entropy,
    "binary_cross_entropy": _binary_cross_entropy,
} | {task: _head(task) for task in heads.HEADS}
EXERCISES = tuple(name for forward in _CASES for name in (forward, f"{forward}_backward"))
_FUNCTIONS = {name: f for module in (ops, activations, conv, losses, attention, model, heads)
              for name, f in vars(module).items() if inspect.isfunction(f) and f.__module__ == module.__name__}
