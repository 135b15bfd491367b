"""What tests/ports/convbert_torch.py leaves out: single ops, other activations, heads with their losses."""

import sys
from pathlib import Path

import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent.parent / "ports"))
import convbert_torch
from convbert_torch import ACTIVATIONS, attend, convbert, depthwise, dynamic_conv, linear, norm, sub

MORE = {
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu, "mish": F.mish,
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x), "gelu_10": lambda x: F.gelu(x).clamp(-10, 10)}
OPS = {
    "linear": lambda x, weight, bias: F.linear(x, weight, bias),
    "grouped_linear": lambda x, weight, bias: linear(x, {"a.weight": weight, "a.bias": bias}, "a"),
    "embedding": lambda ids, table: F.embedding(ids, table, padding_idx=0),
    "layer_norm": lambda x, weight, bias: norm(x, {"LayerNorm.weight": weight, "LayerNorm.bias": bias}, 1e-12),
    "softmax": lambda x: x.softmax(-1),
    "dropout": lambda x, mask: x * mask,
    "depthwise_conv": lambda x, weight: depthwise(x, weight),
    "dynamic_conv": lambda value, kernel: dynamic_conv(value, kernel),
    "separable_conv": lambda x, depthwise, pointwise, bias: F.linear(
        convbert_torch.depthwise(x, depthwise), pointwise[..., 0], bias[:, 0]),
    "self_attention": lambda query, key, value, bias: attend(query, key, value, bias),
    "cross_entropy": lambda logits, labels: F.cross_entropy(logits.mT, labels),
    "mean_squared_error": lambda logits, wanted: F.mse_loss(logits, wanted),
    "binary_cross_entropy": lambda logits, wanted: F.binary_cross_entropy_with_logits(logits, wanted),
}


def head_and_loss(name, hidden, labels, p, cfg, keep):
    act = ACTIVATIONS[cfg["hidden_act"]]
    if name.startswith("masked_lm"):
        active = keep("head.active", F.gelu(keep("head.dense", linear(hidden, p, "generator_predictions.dense"))))
        normed = keep("head.normed", norm(active, sub(p, "generator_predictions."), cfg["layer_norm_eps"]))
        tied = "convbert.embeddings.word_embeddings.weight"
        table = p[tied] if cfg["tie_word_embeddings"] else p["generator_lm_head.weight"]
        logits = keep("logits", F.linear(normed, table, p["generator_lm_head.bias"]))
    elif name == "discriminator":
        active = keep("head.active", act(keep("head.dense", linear(hidden, p, "discriminator_predictions.dense"))))
        logits = keep("logits", linear(active, p, "discriminator_predictions.dense_prediction")[..., 0])
        real = labels != -100
        return F.binary_cross_entropy_with_logits(logits[real], labels[real].to(logits.dtype))
    elif name == "question_answering":
        logits = keep("logits", linear(hidden, p, "qa_outputs"))
        labels = labels.clamp(0, logits.shape[1])
        return sum(F.cross_entropy(logits[..., i], labels[:, i], ignore_index=logits.shape[1]) for i in (0, 1)) / 2
    elif name == "multiple_choice":
        projected = keep("head.projected", linear(keep("head.picked", hidden[:, -1]), p, "sequence_summary.summary"))
        logits = keep("logits", linear(keep("head.active", projected.tanh()), p, "classifier")[:, 0])
        return F.cross_entropy(logits[None], labels)
    elif name == "token_classification":
        logits = keep("logits", linear(hidden, p, "classifier"))
    else:
        dense = keep("head.dense", linear(keep("head.first", hidden[:, 0]), p, "classifier.dense"))
        logits = keep("logits", linear(keep("head.active", act(dense)), p, "classifier.out_proj"))
        if name != "single_label":
            loss = F.mse_loss if name == "regression" else F.binary_cross_entropy_with_logits
            return loss(logits.reshape(labels.shape), labels)
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten())


def forward(golden, given, p, keep):
    """As convbert_torch.forward, for all levels."""
    level, name = golden.id.split(".", 1)
    if level == "op":
        kind, _, activation = name.partition(".")
        dout = given.pop("dout", None)
        y = (ACTIVATIONS | MORE)[activation](given["x"]) if kind == "activation" else OPS[kind](**given)
        return (y, torch.full((), 1.75, dtype=y.dtype)) if dout is None else (keep("out", y), dout)
    if level == "heads":
        hidden = convbert(given, sub(p, "convbert."), golden.config, lambda n, x: keep(f"convbert.{n}", x))
        return head_and_loss(name, hidden, given["labels"], p, golden.config, keep), None
    return convbert_torch.forward(golden, given, p, keep)


def port(golden, dtype=torch.float32):
    """{name: array} for a case of the pack: everything that the case expects."""
    return convbert_torch.port(golden, dtype, forward)
