"""The exercises of the course: numbers to draw for each function, its stub and its answer cut from the source, hints.

Every forward of `ops`, `activations`, `conv`, `attention`, `losses`, `model` and `heads` that learns something is an
exercise, and so is its backward, FORWARD_backward.
"""

import ast
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

    From the second draw on there are padded tokens, dropout and ignored labels, where the function knows them.
    """
    names = inspect.signature(reference(exercise)).parameters
    digest = hashlib.sha256(f"{exercise} {seed} {number}".encode()).digest()
    rng = np.random.default_rng(np.frombuffer(digest, np.uint32))
    values = _CASES[exercise.removesuffix("_backward")](rng, number > 0)
    for array in arrays(values).values():
        array.flags.writeable = False
    return [values[name] for name in names if name in values]


def solution(exercise):
    """The source of the function, as it stands in the package."""
    return inspect.getsource(reference(exercise)).rstrip()


def stub(exercise, skeleton=False):
    """Its signature and docstring, to be filled in; with `skeleton` also the left side of every line."""
    source = solution(exercise)
    docstring, *body = ast.parse(source).body[0].body
    kept = source.splitlines()[: docstring.end_lineno]
    rest = _hollow(body, source) if skeleton else ['    raise NotImplementedError("your turn")']
    return "\n".join([*kept, *rest])


def _hollow(statements, source):
    """The lines with `...` where there is something to find out."""
    def text(node):
        return ast.get_source_segment(source, node)

    for statement in statements:
        indent = " " * statement.col_offset
        if isinstance(statement, ast.For):
            yield f"{indent}for {text(statement.target)} in {text(statement.iter)}:"
            yield from _hollow(statement.body, source)
        elif isinstance(statement, ast.Return):
            results = getattr(statement.value, "elts", [statement.value])
            yield f"{indent}return {', '.join(text(x) if isinstance(x, ast.Name) else '...' for x in results)}"
        elif isinstance(statement, ast.AugAssign):
            yield f"{indent}{text(statement).split('=')[0]}= ..."
        elif isinstance(statement, ast.Assign) and not _is_given(statement.value):
            yield f"{indent}{text(statement.targets[0])} = ..."
        else:
            yield indent + text(statement)


def _is_given(value):
    """Lines that name sizes, take something out of a dict, or make an empty array tell nothing."""
    if isinstance(value, ast.Tuple):
        return all(_is_given(x) for x in value.elts)
    if isinstance(value, ast.Call):
        return ast.unparse(value.func).split(".")[-1] in ("dims", "pad", "zeros_like", "get", "dict")
    return isinstance(value, (ast.Subscript, ast.Attribute, ast.Dict))


def imports(exercise):
    """The lines that import what the package's own function uses, for the head of a file of stubs."""
    function, homes = reference(exercise), {}
    known = function.__globals__
    used = {node.id for node in ast.walk(ast.parse(solution(exercise))) if isinstance(node, ast.Name)} & set(known)
    for name in used:
        if not inspect.ismodule(known[name]):
            homes.setdefault(getattr(known[name], "__module__", function.__module__), []).append(name)
    return [*(["import math"] if "math" in used else []), "import numpy as np",
            *(f"from {home} import {', '.join(sorted(names))}" for home, names in sorted(homes.items()))]


# A draw: a dict with the arguments of a function, and of its backward, under their names in the signatures.

def _draw(rng, shapes):
    """Normal numbers with a size for each letter.   "x[B L D], weight[D 1 K]" or "x[B G*I]"  ->  dict of arrays"""
    letters = ("B", "L", "D", "I", "O", "G", "H", "Dh", "E", "N", "V")
    sizes = dict(zip(letters, rng.permutation(range(2, 2 + len(letters))).tolist()))
    sizes |= dict(B=2, G=3, K=int(rng.choice([3, 5])))
    drawn = {}
    for entry in shapes.removesuffix("]").split("], "):
        name, axes = entry.split("[")
        drawn[name] = rng.normal(size=[math.prod(int(x) if x.isdigit() else sizes[x] for x in axis.split("*"))
                                       for axis in axes.split()])
    return drawn


def _simple(shapes, **more):
    return lambda rng, hard: _draw(rng, shapes) | more


def _embedding(rng, hard):
    values = _draw(rng, "table[V E], dy[B L E]")
    ids = rng.integers(0, len(values["table"]), values["dy"].shape[:2])
    return values | dict(ids=ids) | (dict(padding_idx=int(ids[0, 0])) if hard else {})


def _softmax(rng, hard):
    values = _draw(rng, "x[B L N], dy[B L N]")
    return values | dict(y=ops.softmax(values["x"]))


def _activate(rng, hard):
    values = _draw(rng, "x[B L D], dy[B L D]")
    return values | dict(name="gelu", y=activations.activate(values["x"], "gelu"))


def _separable_conv(rng, hard):
    values = _draw(rng, "x[B L D], depthwise[D 1 K], pointwise[O D 1], bias[O 1], dout[B L O]")
    return values | dict(mixed=conv.depthwise_conv(values["x"], values["depthwise"]))


def _self_attention(rng, hard):
    values = _draw(rng, "query[B L H Dh], key[B L H Dh], value[B L H Dh], dout[B L H Dh]")
    B, L, H, _ = values["query"].shape
    padded = np.zeros((B, 1, 1, L), bool)
    padded[1, ..., -1] = hard
    values["bias"] = np.where(padded, -1e4, 0.0)
    if hard:
        values["drop"] = ops.dropout_mask((B, H, L, L), 0.3, rng, np.float64)
    _, values["acts"] = attention.self_attention(
        values["query"], values["key"], values["value"], values["bias"], values.get("drop"))
    return values


def _cross_entropy(rng, hard):
    values = _draw(rng, "logits[B L V]")
    labels = rng.integers(0, values["logits"].shape[-1], values["logits"].shape[:2])
    if hard:
        labels[0, 0] = losses.IGNORED
    return values | dict(labels=labels, probs=losses.cross_entropy(values["logits"], labels)[1], dloss=1.7)


def _binary_cross_entropy(rng, hard):
    values = _draw(rng, "logits[B L]")
    return values | dict(wanted=rng.integers(0, 2, values["logits"].shape).astype(float), dloss=1.7)


def _small(rng, prefix="", task=None):
    """-> a configuration of small random sizes; parameters far from where they start: no bias is 0, no norm is 1"""
    H, Dh = int(rng.integers(2, 4)), int(rng.integers(3, 6))
    cfg = ConvBertConfig(
        vocab_size=int(rng.integers(13, 19)), hidden_size=2 * H * Dh, embedding_size=int(rng.integers(5, 9)),
        num_hidden_layers=1, num_attention_heads=2 * H, intermediate_size=int(rng.integers(9, 14)), pad_token_id=0,
        conv_kernel_size=int(rng.choice([3, 5])), max_position_embeddings=9, hidden_dropout_prob=0.2,
        attention_probs_dropout_prob=0.2, layer_norm_eps=1e-5, mask_convolution=True, mask_value=-1e4)
    p = {name: rng.normal(1 if name.endswith("LayerNorm.weight") else 0, 0.5, shape)
         for name, shape in param_shapes(cfg, task).items()}
    return cfg, sub(p, prefix) if prefix else p


def _ran(forward, rng, hard, values):
    """`values` with the acts that the forward gives for them, and an upstream gradient."""
    names = inspect.signature(forward).parameters
    dropout = dict(rng=np.random.default_rng(rng.integers(2**32))) if hard and "rng" in names else {}
    out, acts = forward(*(values[name] for name in names if name in values), **dropout)
    dout = rng.normal(size=out.shape)
    return values | dict(acts=acts, dout=dout, dlogits=dout)


def _block(forward, place):
    def draw(rng, hard):
        cfg, p = _small(rng, f"encoder.layer.0{place}")
        B, L, D, A = 2, int(rng.integers(5, 8)), cfg.hidden_size, cfg.heads * cfg.head_size
        mask = np.ones((B, L), np.int64)
        mask[1, -2:] = not hard
        hide = model.conv_mask(mask, cfg, np.float64) if hard else None
        inputs = p["dense.weight"].shape[1] if forward is model.project_add_norm else D
        return _ran(forward, rng, hard, dict(
            x=rng.normal(size=(B, L, inputs)), query=rng.normal(size=(B, L, A)), residual=rng.normal(size=(B, L, D)),
            mask=hide, masks=(model.attention_bias(mask, cfg, np.float64), hide), p=p, cfg=cfg))
    return draw


def _embeddings(rng, hard):
    cfg, p = _small(rng, "embeddings")
    shape = 2, int(rng.integers(5, 8))
    inputs = model_inputs(cfg, rng.integers(0, cfg.vocab_size, shape), None, rng.integers(0, 2, shape))
    return _ran(model.embeddings, rng, hard, dict(inputs=inputs, p=p, cfg=cfg))


def _head(task):
    def draw(rng, hard):
        cfg, p = _small(rng, task=task)
        hidden = rng.normal(size=(2, int(rng.integers(5, 8)), cfg.hidden_size))
        return _ran(heads.HEADS[task][0], rng, hard, dict(hidden=hidden, p=p, cfg=cfg))
    return draw


_CASES = {
    "linear": _simple("x[B L I], weight[O I], bias[O], dy[B L O]"),
    "grouped_linear": _simple("x[B L G*I], weight[G I O], bias[G*O], dy[B L G*O]"),
    "embedding": _embedding,
    "layer_norm": _simple("x[B L D], weight[D], bias[D], dy[B L D]", eps=1e-5),
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
