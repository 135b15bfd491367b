"""Record everything that a run of the reference computes, by name and in the order of computation.

Blocks return most of their intermediates. Other intermediates, and the gradients of intermediates, are recorded at the
calls of the functions listed here, as arguments and results. Gradients come from the backward functions or from a tape.
"""

import contextlib
import re
from dataclasses import dataclass
from functools import cache

import numpy as np

from ..shapes import under
from .tape import COMPUTING, CONSTANT, Tape, Tracked, on

# The two kinds of gradients.
BY_HAND, BY_TAPE = "by hand", "by tape"
DROWNED = -1e30            # a mask that adds less than this hides a token

# Intermediates that blocks do not return are recorded at the calls of the functions below. A call is identified by one
# of its arrays that already has a name, an intermediate or a parameter. A row has the function, the place of that
# array, its name, and {place of another array: its name}; names are those of a layer. A place is the number of an
# argument, "->" for the result, "->0" for a part of it, or (place, key) for an entry of a dict.
FORWARD = [
    ("softmax", "->", "attention.self.attn.weights", {0: "attention.self.attn.scores"}),
    ("self_attention", ("->1", "weights"), "attention.self.attn.weights", {3: "attention.self.attn.bias"}),
    ("softmax", "->", "attention.self.conv.kernel", {0: "attention.self.conv.scores"}),
    ("dense_linear", 0, "attention.output.x", {"->": "attention.output.dense"}),
    ("dense_linear", 0, "output.x", {"->": "output.dense"}),
]
BACKWARD = [
    ("layer_backward", (1, "out"), "out", {0: "out", "->0": "x"}),
    ("project_add_norm_backward", (1, "total"), "output.total", {"->0": "output.x"}),
    ("project_add_norm_backward", (1, "total"), "attention.output.total", {"->0": "attention.output.x"}),
    ("layer_norm_backward", 1, "output.total", {"->0": "output.total"}),
    ("layer_norm_backward", 1, "attention.output.total", {"->0": "attention.output.total"}),
    ("activate_backward", 1, "intermediate.dense", {"->": "intermediate.dense"}),
    ("feed_forward_backward", (1, "dense"), "intermediate.dense", {"->0": "intermediate.x"}),
    ("mixed_attention_backward", (1, "out"), "attention.self.out", {"->0": "attention.self.x"}),
    ("self_attention_backward", (1, "weights"), "attention.self.attn.weights", {
        0: "attention.self.attn.out", "->0": "attention.self.attn.query", "->1": "attention.self.attn.key",
        "->2": "attention.self.attn.value"}),
    ("softmax_backward", 1, "attention.self.attn.weights", {"->": "attention.self.attn.scores"}),
    ("linear_backward", 2, "attention.self.query.weight", {0: "attention.self.query"}),
    ("linear_backward", 2, "attention.self.key.weight", {0: "attention.self.key"}),
    ("linear_backward", 2, "attention.self.value.weight", {0: "attention.self.value"}),
    ("span_dynamic_conv_backward", (1, "kernel"), "attention.self.conv.kernel", {
        0: "attention.self.conv.out", "->0": "attention.self.conv.x", "->1": "attention.self.conv.query"}),
    ("dynamic_conv_backward", 2, "attention.self.conv.kernel", {
        "->0": "attention.self.conv.value", "->1": "attention.self.conv.kernel"}),
    ("softmax_backward", 1, "attention.self.conv.kernel", {"->": "attention.self.conv.scores"}),
    ("linear_backward", 2, "attention.self.conv_out_layer.weight", {"->0": "attention.self.conv.value_x"}),
    ("linear_backward", 2, "attention.self.conv_kernel_layer.weight", {"->0": "attention.self.conv.match"}),
    ("linear_backward", 2, "attention.self.key_conv_attn_layer.pointwise.weight", {
        "->0": "attention.self.conv.span_mixed"}),
    ("separable_conv_backward", 2, "attention.self.conv.span_mixed", {
        0: "attention.self.conv.span_key", "->0": "attention.self.conv.span_x"}),
]
# These are names of gradients only: of sums over all uses of an array, and of parts that come from one use.
GRADIENT_ONLY = [
    ("layer", ("->1", "out"), "out", {0: "x"}),
    ("self_attention", ("->1", "weights"), "attention.self.attn.weights", {
        "before 0": "attention.self.query", "before 1": "attention.self.key", "before 2": "attention.self.value"}),
    ("separable_conv", "->1", "attention.self.conv.span_mixed", {0: "attention.self.conv.span_x"}),
    ("linear", 1, "attention.self.conv_out_layer.weight", {0: "attention.self.conv.value_x"}),
]
# On a tape these arguments get new ids, so that the gradient of this one use is separate from that of other uses.
PARTS = {"mixed_attention": (0,), "self_attention": (0, 1, 2), "span_dynamic_conv": (0, 1), "separable_conv": (0,),
         "linear": (0,), "feed_forward": (0,)}

# The places of a layer's tensors in the order of computation; a parameter has the place of its module's output.
LAYER = """
x attention.self.x attention.self.query attention.self.key attention.self.value attention.self.attn.query
attention.self.attn.key attention.self.attn.value attention.self.attn.scores attention.self.attn.weights
attention.self.attn.drop attention.self.attn.out attention.self.conv.x attention.self.conv.query
attention.self.conv.span_x attention.self.key_conv_attn_layer.depthwise attention.self.conv.span_mixed
attention.self.key_conv_attn_layer.pointwise attention.self.key_conv_attn_layer.bias attention.self.conv.span_key
attention.self.conv.match attention.self.conv_kernel_layer attention.self.conv.scores attention.self.conv.kernel
attention.self.conv.value_x attention.self.conv_out_layer attention.self.conv.value attention.self.conv.out
attention.self.out attention.output.x attention.output.dense attention.output.drop attention.output.total
attention.output.LayerNorm attention.output.out intermediate.x intermediate.dense intermediate.out output.x output.dense
output.drop output.total output.LayerNorm output.out out
""".split()
EMBEDDINGS = "word_embeddings token_type_embeddings position_embeddings word total LayerNorm drop out".split()
IN_HEADS = """
hidden first picked generator_predictions.dense discriminator_predictions.dense classifier.dense
sequence_summary dense projected active summary dropped generator_predictions.LayerNorm normed generator_lm_head
discriminator_predictions.dense_prediction classifier qa_outputs logits probs loss
""".split()


@cache
def place(name):
    """A sort key: the place of a tensor of a block, model or head in the order of the forward computation."""
    name = re.sub(r"^convbert\.", "", name)
    if found := re.match(r"encoder\.layer\.(\d+)\.(.*)", name):
        return 2, int(found[1]), _position(found[2], LAYER)
    if name.startswith("embeddings."):
        return 0, 0, _position(name.removeprefix("embeddings."), EMBEDDINGS)
    if name.startswith("embeddings_project"):
        return 1, 0, 0
    if name.startswith("head."):
        return 3, 0, _position(name.removeprefix("head."), IN_HEADS)
    in_head = _position(name, IN_HEADS)
    return (3, 0, in_head) if in_head < len(IN_HEADS) else (2, 0, _position(name, LAYER))


def _position(name, names):
    fits = [i for i, known in enumerate(names) if name == known or name.startswith(known + ".")]
    return max(fits, key=lambda i: len(names[i])) if fits else len(names)


@dataclass
class Passes:
    """Both passes of a block, a model or a head, as functions of its inputs and parameters.

    `forward(inputs, p)` -> out, acts; `backward(dout, acts, p)` -> {input: gradient}, grads. The gradient of out is
    `dout`, or comes from `loss`, a pair of functions: out -> loss, acts and dloss, acts -> dout. `read(inputs, acts)`
    -> {input: the array that its gradient belongs to}. Names of a block are those of a layer without `prefix`.
    """

    forward: callable
    backward: callable
    read: callable
    dout: np.ndarray | None = None
    loss: tuple | None = None
    prefix: str = ""


def traced(passes, inputs, p, cfg, gradients=BY_HAND):
    """Run both passes.   -> {name: array}, in no order

    `gradients`: BY_HAND from the backward functions, BY_TAPE from the forward pass alone, or None.
    """
    run, prefix = _by_tape if gradients == BY_TAPE else _by_hand, passes.prefix
    found, dfound, more = run(passes, inputs, p, cfg, gradients)
    for name in [name for name in found if name.endswith("attn.bias")]:
        _without_mask(found, name.replace("bias", "scores"), found.pop(name), inputs["attention_mask"])
    cut = len(f"{prefix}.") if prefix else 0
    named = lambda group, arrays: under(group, {n[cut:]: a for n, a in arrays.items() if n.startswith(prefix)})
    return named("acts", found) | named("dacts", dfound) | more


def _without_mask(found, name, bias, attention_mask):
    """Attention scores before a mask is added, and 0 at places that it hides."""
    if name in found:
        seen, scores = visible(attention_mask), found.pop(name)
        plain = np.where(seen, scores - np.where(seen, bias, 0), 0).astype(scores.dtype)
        if not (np.where(seen, bias, 0) < DROWNED).any() and not (plain < DROWNED).any():
            found[name] = plain                              # otherwise a mistaken mask would hide other places


def visible(attention_mask):
    """True for attention scores of tokens that the mask does not hide.   (B, L)  ->  (B, 1, 1, L)"""
    return (attention_mask != 0)[:, None, None, :]


def _by_hand(passes, inputs, p, cfg, gradients):
    dout, more = passes.dout, {}
    with _watched(FORWARD) as calls:
        out, acts = passes.forward(inputs, p)
    found = _floats(acts, passes.prefix)
    known = _known(found, p, passes.prefix)
    found = found | _named(calls, FORWARD, known)
    if passes.loss:
        loss_of, loss_backward = passes.loss
        value, loss_acts = loss_of(out)
        more = {"loss": np.asarray(value)}
    if gradients is None:
        return found, {}, more
    if passes.loss:
        dout = more["dacts.logits"] = loss_backward(out.dtype.type(1), loss_acts).reshape(out.shape)
    with _watched(BACKWARD) as calls:
        dinputs, grads = passes.backward(dout, acts, p)
    return found, _named(calls, BACKWARD, known), more | under("grads", grads) | under("din", dinputs)


def _by_tape(passes, inputs, p, cfg, gradients):
    tape, more, loss = Tape(), {}, passes.loss
    masks = {name: a for name, a in inputs.items() if name.startswith("drop.")}
    inputs, p = tape.track(inputs) | masks, tape.track(p)
    table = next((a for name, a in p.items() if name.endswith("word_embeddings.weight")), None)
    with on(tape), _watched(FORWARD + GRADIENT_ONLY, tape) as calls, frozen_row(table, cfg.pad_token_id):
        out, acts = passes.forward(inputs, p)
        value = loss[0](out)[0] if loss else out
    gradient = tape.backward(value, 1.0 if loss else passes.dout)
    if loss:
        more = {"loss": value.value, "dacts.logits": gradient[out.ids]}
    of = {name: a for name, a in _floats(acts, passes.prefix).items() if isinstance(a, Tracked)}
    of |= _named(calls, FORWARD + GRADIENT_ONLY, _known(of, p, passes.prefix))
    biases = {name: of.pop(name) for name in list(of) if name.endswith("attn.bias")}
    # The backward function of a map of several heads returns the gradient with the heads side by side.
    dfound = {name: gradient[a.ids] for name, a in of.items()}
    for name in dfound:
        if name.endswith(("attention.self.query", "attention.self.key", "attention.self.value")):
            dfound[name] = dfound[name].reshape(*dfound[name].shape[:2], -1)
    more |= under("grads", {name: gradient[a.ids] for name, a in p.items()})
    more |= under("din", {name: gradient[a.ids] for name, a in passes.read(inputs, acts).items()})
    return {name: a.value for name, a in of.items()} | biases, dfound, more


def _floats(acts, prefix):
    acts = under(prefix, acts) if prefix else acts
    return {name: a for name, a in acts.items() if a.dtype.kind == "f" and not name.endswith("drop")}


def _known(floats, p, prefix):
    """Intermediates and parameters by the names that they have in a layer."""
    return floats | (under(prefix.removesuffix(".conv"), p) if prefix else p)


@contextlib.contextmanager
def _patched(name, wrap):
    """Replace a function by `wrap` of it, inside the block, in every module of the reference that has its name."""
    originals = [(module, getattr(module, name)) for module in COMPUTING if hasattr(module, name)]
    try:
        for module, function in originals:
            setattr(module, name, wrap(function))
        yield
    finally:
        for module, function in originals:
            setattr(module, name, function)


@contextlib.contextmanager
def _watched(table, tape=None):
    """Record the calls of the functions of `table` inside the block: (function, {place: array}, {place: its copy})."""
    calls, kept_places = [], {function: set() for function in (PARTS if tape else ())}
    for function, _, _, targets in table:
        kept_places.setdefault(function, set()).update(targets)

    def watch(name, function):
        # Later steps may write into an array in place.
        copied = lambda seen: {place: seen[place].copy() for place in kept_places[name] & seen.keys()}

        def watched(*arguments, **named):
            seen = {f"before {i}": x for i, x in enumerate(arguments)} if tape else {}
            if tape:
                arguments = [tape.fresh(x) if i in PARTS.get(name, ()) else x for i, x in enumerate(arguments)]
            seen |= dict(enumerate(arguments))
            kept = copied(seen)
            result = function(*arguments, **named)
            given = {"->": result} | {f"->{i}": x for i, x in enumerate(result if isinstance(result, tuple) else ())}
            calls.append((name, seen | given, kept | copied(given)))
            return result
        return watched

    with contextlib.ExitStack() as stack:
        for name in kept_places:
            stack.enter_context(_patched(name, lambda function, name=name: watch(name, function)))
        yield calls


def _named(calls, table, known):
    """-> {name: array} of the calls of `table`, from the names of the arrays that identify them"""
    names, found = {}, {}
    for name, array in known.items():
        names.setdefault(_address(array), []).append(_of_a_layer(name))
    for function, place, name, targets in table:
        for _, seen, kept in (call for call in calls if call[0] == function):
            array = seen[place[0]].get(place[1]) if isinstance(place, tuple) else seen[place]
            for layer, own_name in names.get(_address(array), ()):
                if own_name == name:
                    found |= {layer + target: kept[at] for at, target in targets.items()}
    return found


@cache
def _of_a_layer(name):
    """-> the prefix of a layer, the name within it"""
    return re.fullmatch(r"((?:convbert\.)?encoder\.layer\.\d+\.|)(.*)", name).groups()


def _address(array):
    """The address at which an array begins; a view that begins there has the same name."""
    array = array.value if isinstance(array, Tracked) else array
    return array.__array_interface__["data"][0] if isinstance(array, np.ndarray) else None


@contextlib.contextmanager
def frozen_row(table, row):
    """Let no gradient flow from lookups to this row of a table inside the block."""
    def wrap(embedding):
        def frozen(ids, looked_up):
            found = embedding(ids, looked_up)
            if looked_up is table:
                found.ids[ids == row] = CONSTANT
            return found
        return frozen
    with _patched("embedding", wrap):
        yield
