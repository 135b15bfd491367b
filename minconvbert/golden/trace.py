"""Everything that a run of the reference computes, by name and in order of computation.

Blocks return most of their intermediates. What they keep to themselves, and the gradients of intermediates, is read
where it passes: at the calls of the functions listed here.
"""

import contextlib
import re
from functools import cache

import numpy as np

from .. import activations, attention, conv, heads, losses, model, ops, optim
from ..tokenizer import wordpiece

MODULES = (activations, attention, conv, heads, losses, model, ops, optim, wordpiece)

# (module, function, {argument or "->" and place of the result: its names in the successive calls of one layer})
FORWARD = [
    (attention, "softmax", {0: ["attention.self.attn.scores"]}),
    (conv, "softmax", {0: ["attention.self.conv.scores"]}),
    (model, "dense_linear", {"->": ["attention.output.dense", "intermediate.dense", "output.dense"]}),
]
BACKWARD = [
    (model, "layer_backward", {0: ["out"], "->0": ["x"]}),
    (model, "project_add_norm_backward", {"->0": ["output.x", "attention.output.x"]}),
    (model, "layer_norm_backward", {"->0": ["output.total", "attention.output.total"]}),
    (model, "activate_backward", {"->": ["intermediate.dense"]}),
    (model, "feed_forward_backward", {"->0": ["intermediate.x"]}),
    (model, "mixed_attention_backward", {"->0": ["attention.self.x"]}),
    (attention, "span_dynamic_conv_backward",
     {0: ["attention.self.conv.out"], "->0": ["attention.self.conv.x"], "->1": ["attention.self.conv.query"]}),
    (attention, "self_attention_backward",
     {0: ["attention.self.attn.out"], "->0": ["attention.self.attn.query"], "->1": ["attention.self.attn.key"],
      "->2": ["attention.self.attn.value"]}),
    (attention, "softmax_backward", {"->": ["attention.self.attn.scores"]}),
    (attention, "linear_backward", {0: ["attention.self.query", "attention.self.key", "attention.self.value"]}),
    (conv, "dynamic_conv_backward", {"->0": ["attention.self.conv.value"], "->1": ["attention.self.conv.kernel"]}),
    (conv, "softmax_backward", {"->": ["attention.self.conv.scores"]}),
    (conv, "linear_backward", {"->0": ["attention.self.conv.value_x", "attention.self.conv.match"]}),
    (conv, "separable_conv_backward", {0: ["attention.self.conv.span_key"], "->0": ["attention.self.conv.span_x"]}),
]

# The places of a layer's tensors in the order of computation; a parameter stands with what its module gives.
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
HEADS = """
hidden first picked generator_predictions.dense discriminator_predictions.dense classifier.dense
sequence_summary dense projected active summary dropped generator_predictions.LayerNorm normed generator_lm_head
discriminator_predictions.dense_prediction classifier qa_outputs logits probs loss
""".split()


@cache
def place(name):
    """A sortable place of a tensor of a block, model or head in the order of the forward computation."""
    name = re.sub(r"^convbert\.", "", name)
    if found := re.match(r"encoder\.layer\.(\d+)\.(.*)", name):
        return 2, int(found[1]), _position(found[2], LAYER)
    if name.startswith("embeddings."):
        return 0, 0, _position(name.removeprefix("embeddings."), EMBEDDINGS)
    if name.startswith("embeddings_project"):
        return 1, 0, 0
    if name.startswith("head."):
        return 3, 0, _position(name.removeprefix("head."), HEADS)
    in_head = _position(name, HEADS)
    return (3, 0, in_head) if in_head < len(HEADS) else (2, 0, _position(name, LAYER))


def _position(name, names):
    fits = [i for i, known in enumerate(names) if name == known or name.startswith(known + ".")]
    return max(fits, key=lambda i: len(names[i])) if fits else len(names)


@contextlib.contextmanager
def recorded(table, layers=1, backward=False):
    """Inside, what passes the calls of `table` is kept.   -> {(layer, name): array}"""
    found, originals = {}, []

    def watch(function, names):
        calls, cycle = [0], max(map(len, names.values()))

        def watched(*arguments, **named):
            call = calls[0]
            calls[0] += 1
            layer = layers - 1 - call // cycle if backward else call // cycle
            def keep(key, array):
                if key in names and 0 <= layer < layers:
                    # Places that a mask of the smallest number drowns are 0 here, for no tolerance could hold them.
                    found[layer, names[key][call % cycle]] = np.where(array < -1e30, array.dtype.type(0), array)
            for i, array in enumerate(arguments):
                keep(i, array)
            result = function(*arguments, **named)
            keep("->", result)
            for i, array in enumerate(result if isinstance(result, tuple) else ()):
                keep(f"->{i}", array)
            return result
        return watched

    try:
        for module, name, names in table:
            originals.append((module, name, getattr(module, name)))
            setattr(module, name, watch(getattr(module, name), names))
        yield found
    finally:
        for module, name, function in originals:
            setattr(module, name, function)
