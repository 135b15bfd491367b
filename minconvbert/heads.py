"""The heads: hidden states to logits, and logits to a loss.

A head is a block: `logits, acts = head(hidden, p, cfg, rng)`, `dhidden, grads = head_backward(dlogits, acts, p, cfg)`.
Its loss is `loss, acts = head_loss(logits, labels, cfg)` and `dlogits = head_loss_backward(dloss, acts)`.
"""

import numpy as np

from .activations import activate, activate_backward
from .inputs import check_labels, problem_type, wanted_numbers
from .losses import (
    IGNORED,
    binary_cross_entropy,
    binary_cross_entropy_backward,
    binary_nll,
    binary_nll_backward,
    cross_entropy,
    cross_entropy_backward,
    mean,
    mean_squared_error,
    mean_squared_error_backward,
)
from .model import convbert, convbert_backward
from .ops import dropout, dropout_mask, layer_norm, layer_norm_backward, linear, linear_backward
from .shapes import accumulate, dims, sub, take, under


def masked_lm(hidden, p, cfg, rng=None):
    """Which word stands here?   logits = layer_norm(gelu(dense(hidden))) table^T + bias

    hidden (..., D)  ->  logits (..., V), acts.   The table is that of the word embeddings, if they are tied. The
    activation is always the exact gelu, whatever `hidden_act` says.
    """
    dense = linear(hidden, p["generator_predictions.dense.weight"], p["generator_predictions.dense.bias"])
    active = activate(dense, "gelu")
    normed = layer_norm(active, p["generator_predictions.LayerNorm.weight"], p["generator_predictions.LayerNorm.bias"],
                        cfg.layer_norm_eps)
    logits = linear(normed, p[_table(cfg)], p["generator_lm_head.bias"])
    return logits, dict(hidden=hidden, dense=dense, active=active, normed=normed)


def masked_lm_backward(dlogits, acts, p, cfg):
    """-> dhidden (..., D), grads; the table's gradient is that of the output side alone"""
    g, dhidden = {}, np.zeros_like(acts["hidden"])
    counted = dlogits.any(-1)                          # a token without a label adds nothing; in training, five of six
    dlogits, acts = dlogits[counted], {name: x[counted] for name, x in acts.items()}
    dnormed, g[_table(cfg)], g["generator_lm_head.bias"] = linear_backward(dlogits, acts["normed"], p[_table(cfg)])
    dactive, g["generator_predictions.LayerNorm.weight"], g["generator_predictions.LayerNorm.bias"] = (
        layer_norm_backward(dnormed, acts["active"], p["generator_predictions.LayerNorm.weight"], cfg.layer_norm_eps))
    ddense = activate_backward(dactive, acts["dense"], acts["active"], "gelu")
    dhidden[counted], g["generator_predictions.dense.weight"], g["generator_predictions.dense.bias"] = linear_backward(
        ddense, acts["hidden"], p["generator_predictions.dense.weight"])
    return dhidden, g


def _table(cfg):
    return "convbert.embeddings.word_embeddings.weight" if cfg.tie_word_embeddings else "generator_lm_head.weight"


def discriminator(hidden, p, cfg, rng=None):
    """Was this word replaced?   logit = dense_prediction(act(dense(hidden))).   hidden (..., D)  ->  (...), acts"""
    dense = linear(hidden, p["discriminator_predictions.dense.weight"], p["discriminator_predictions.dense.bias"])
    active = activate(dense, cfg.hidden_act)
    logits = linear(active, p["discriminator_predictions.dense_prediction.weight"],
                    p["discriminator_predictions.dense_prediction.bias"])
    return logits[..., 0], dict(hidden=hidden, dense=dense, active=active)


def discriminator_backward(dlogits, acts, p, cfg):
    """-> dhidden (..., D), grads"""
    g = {}
    (dactive, g["discriminator_predictions.dense_prediction.weight"],
     g["discriminator_predictions.dense_prediction.bias"]) = linear_backward(
        dlogits[..., None], acts["active"], p["discriminator_predictions.dense_prediction.weight"])
    ddense = activate_backward(dactive, acts["dense"], acts["active"], cfg.hidden_act)
    dhidden, g["discriminator_predictions.dense.weight"], g["discriminator_predictions.dense.bias"] = linear_backward(
        ddense, acts["hidden"], p["discriminator_predictions.dense.weight"])
    return dhidden, g


def sequence_classification(hidden, p, cfg, rng=None):
    """What kind of sentence is this?   logits = out_proj(dropout(act(dense(dropout(hidden[:, 0])))))

    hidden (B, L, D)  ->  logits (B, N), acts
    """
    first = hidden[:, 0]
    drops = [dropout_mask(first.shape, cfg.classifier_dropout_prob, rng, first.dtype) for _ in range(2)]
    first = dropout(first, drops[0])
    dense = linear(first, p["classifier.dense.weight"], p["classifier.dense.bias"])
    active = activate(dense, cfg.hidden_act)
    dropped = dropout(active, drops[1])
    logits = linear(dropped, p["classifier.out_proj.weight"], p["classifier.out_proj.bias"])
    acts = dict(hidden=hidden, first=first, dense=dense, active=active, dropped=dropped)
    return logits, acts if drops[0] is None else acts | dict(drop_first=drops[0], drop_active=drops[1])


def sequence_classification_backward(dlogits, acts, p, cfg):
    """-> dhidden (B, L, D), zero but for the first token; grads"""
    g = {}
    ddropped, g["classifier.out_proj.weight"], g["classifier.out_proj.bias"] = linear_backward(
        dlogits, acts["dropped"], p["classifier.out_proj.weight"])
    dactive = dropout(ddropped, acts.get("drop_active"))
    ddense = activate_backward(dactive, acts["dense"], acts["active"], cfg.hidden_act)
    dfirst, g["classifier.dense.weight"], g["classifier.dense.bias"] = linear_backward(
        ddense, acts["first"], p["classifier.dense.weight"])
    dhidden = np.zeros_like(acts["hidden"])
    dhidden[:, 0] = dropout(dfirst, acts.get("drop_first"))
    return dhidden, g


def token_classification(hidden, p, cfg, rng=None):
    """What kind of word is this?   logits = classifier(dropout(hidden)).   hidden (B, L, D)  ->  (B, L, N), acts"""
    drop = dropout_mask(hidden.shape, cfg.classifier_dropout_prob, rng, hidden.dtype)
    dropped = dropout(hidden, drop)
    acts = dict(dropped=dropped)
    logits = linear(dropped, p["classifier.weight"], p["classifier.bias"])
    return logits, acts if drop is None else acts | dict(drop=drop)


def token_classification_backward(dlogits, acts, p, cfg):
    """-> dhidden (B, L, D), grads"""
    g = {}
    ddropped, g["classifier.weight"], g["classifier.bias"] = linear_backward(
        dlogits, acts["dropped"], p["classifier.weight"])
    return dropout(ddropped, acts.get("drop")), g


def question_answering(hidden, p, cfg, rng=None):
    """Where does the answer begin and end?   logits = qa_outputs(hidden).   hidden (B, L, D)  ->  (B, L, 2), acts"""
    return linear(hidden, p["qa_outputs.weight"], p["qa_outputs.bias"]), dict(hidden=hidden)


def question_answering_backward(dlogits, acts, p, cfg):
    """-> dhidden (B, L, D), grads"""
    g = {}
    dhidden, g["qa_outputs.weight"], g["qa_outputs.bias"] = linear_backward(
        dlogits, acts["hidden"], p["qa_outputs.weight"])
    return dhidden, g


def multiple_choice(hidden, p, cfg, rng=None, cls_index=None):
    """How well does this choice fit?   logit = classifier(summary(hidden)), one for each choice.

    hidden (B N, L, D), cls_index None or (B N,)  ->  logits (B N,), acts

    The summary is one token or the mean of all, as `summary_type` says, then dropout, projection, activation, dropout.
    The default is the *last* token, even if it is padding, so pad on the left or set summary_type="first".
    """
    rows, L, D = dims("hidden[B L D]", hidden)
    if cfg.summary_type == "mean":
        at, picked = None, hidden.mean(1)
    else:
        at = np.full(rows, 0 if cfg.summary_type == "first" else L - 1)
        if cfg.summary_type == "cls_index" and cls_index is not None:
            at = cls_index
        picked = hidden[np.arange(rows), at]
    drop_first = dropout_mask(picked.shape, cfg.summary_first_dropout, rng, picked.dtype)
    picked = dropout(picked, drop_first)
    projected = picked
    if cfg.summary_use_proj:
        projected = linear(picked, p["sequence_summary.summary.weight"], p["sequence_summary.summary.bias"])
    active = activate(projected, cfg.summary_activation or "linear")
    drop_last = dropout_mask(active.shape, cfg.summary_last_dropout, rng, active.dtype)
    summary = dropout(active, drop_last)
    logits = linear(summary, p["classifier.weight"], p["classifier.bias"])[:, 0]
    acts = dict(hidden=hidden, at=at, picked=picked, projected=projected, active=active, summary=summary,
                drop_first=drop_first, drop_last=drop_last)
    return logits, {name: a for name, a in acts.items() if a is not None}


def multiple_choice_backward(dlogits, acts, p, cfg):
    """-> dhidden (B N, L, D), grads"""
    g, hidden = {}, acts["hidden"]
    dsummary, g["classifier.weight"], g["classifier.bias"] = linear_backward(
        dlogits[:, None], acts["summary"], p["classifier.weight"])
    dactive = dropout(dsummary, acts.get("drop_last"))
    dpicked = activate_backward(dactive, acts["projected"], acts["active"], cfg.summary_activation or "linear")
    if cfg.summary_use_proj:
        dpicked, g["sequence_summary.summary.weight"], g["sequence_summary.summary.bias"] = linear_backward(
            dpicked, acts["picked"], p["sequence_summary.summary.weight"])
    dpicked = dropout(dpicked, acts.get("drop_first"))
    if "at" not in acts:
        return np.broadcast_to(dpicked[:, None] / hidden.shape[1], hidden.shape).copy(), g
    dhidden = np.zeros_like(hidden)
    dhidden[np.arange(len(hidden)), acts["at"]] = dpicked
    return dhidden, g


def classes_loss(logits, labels, cfg):
    """Cross-entropy of words or tokens; labels of -100 are ignored.   logits (..., N), labels (...)  ->  ()"""
    loss, probs = cross_entropy(logits, labels)
    return loss, dict(probs=probs, labels=labels)


def classes_loss_backward(dloss, acts):
    """-> dlogits (..., N)"""
    return cross_entropy_backward(dloss, acts["probs"], acts["labels"])


def choices_loss(logits, labels, cfg):
    """Cross-entropy over the N choices of each question.   logits (B N,) or (B, N), labels (B,)  ->  ()"""
    return classes_loss(logits.reshape(len(labels), -1) if logits.ndim == 1 else logits, labels, cfg)


def choices_loss_backward(dloss, acts):
    """-> dlogits (B N,)"""
    return classes_loss_backward(dloss, acts).reshape(-1)


def sequence_loss(logits, labels, cfg):
    """Regression, single or multi label, as `problem_type` says.   logits (B, N), labels (B,) or (B, N)  ->  ()"""
    problem = problem_type(cfg, labels)
    if problem == "single_label_classification":
        return classes_loss(logits, labels[:, 0] if labels.shape == (len(logits), 1) else labels, cfg)
    wanted = wanted_numbers(labels, logits, problem)
    f = mean_squared_error if problem == "regression" else binary_cross_entropy
    return f(logits, wanted), dict(logits=logits, wanted=wanted, regression=np.array(problem == "regression"))


def sequence_loss_backward(dloss, acts):
    """-> dlogits (B, N)"""
    if "probs" in acts:
        return classes_loss_backward(dloss, acts)
    f = mean_squared_error_backward if acts["regression"] else binary_cross_entropy_backward
    return f(dloss, acts["logits"], acts["wanted"])


def span_loss(logits, labels, cfg):
    """The mean of the cross-entropies of start and end.   logits (B, L, 2), labels (B, 2)  ->  ()

    Positions are clipped to [0, L], and those at L, outside the window, are ignored.
    """
    if labels.dtype.kind not in "iu":
        raise TypeError(f"start_positions and end_positions must be integers, but they are {labels.dtype}")
    B, L = dims("logits[B L 2], labels[B 2]", logits, labels)
    by_position = np.ascontiguousarray(logits.swapaxes(1, 2))                        # (B, 2, L)
    labels = np.clip(labels, 0, L)
    (start, start_probs), (end, end_probs) = (
        cross_entropy(by_position[:, i], labels[:, i], ignored=L) for i in range(2))
    return np.mean([start, end]), dict(probs=np.stack([start_probs, end_probs], axis=2), labels=labels)


def span_loss_backward(dloss, acts):
    """-> dlogits (B, L, 2)"""
    probs, labels = acts["probs"], acts["labels"]
    L = probs.shape[1]
    return np.stack(
        [cross_entropy_backward(dloss / 2, probs[..., i], labels[:, i], ignored=L) for i in range(2)], axis=2)


def tokens_loss(logits, labels, cfg):
    """The mean over real tokens of the binary cross-entropy.   logits (B, L), labels (B, L) of 0, 1 or -100  ->  ()"""
    dims("logits[B L], labels[B L]", logits, labels)
    counted = check_labels(labels, 2, IGNORED)
    wanted = (labels * counted).astype(logits.dtype)
    return mean(binary_nll(logits, wanted), counted), dict(logits=logits, labels=labels)


def tokens_loss_backward(dloss, acts):
    """-> dlogits (B, L)"""
    logits, labels = acts["logits"], acts["labels"]
    counted = labels != IGNORED
    dnll = (counted * (dloss / max(1, counted.sum()))).astype(logits.dtype)
    return binary_nll_backward(dnll, logits, (labels * counted).astype(logits.dtype))


# task: (head, its backward, loss, its backward)
HEADS = {
    "masked_lm": (masked_lm, masked_lm_backward, classes_loss, classes_loss_backward),
    "discriminator": (discriminator, discriminator_backward, tokens_loss, tokens_loss_backward),
    "sequence_classification": (
        sequence_classification, sequence_classification_backward, sequence_loss, sequence_loss_backward),
    "multiple_choice": (multiple_choice, multiple_choice_backward, choices_loss, choices_loss_backward),
    "token_classification": (
        token_classification, token_classification_backward, classes_loss, classes_loss_backward),
    "question_answering": (question_answering, question_answering_backward, span_loss, span_loss_backward),
}


def task_model(task, inputs, p, cfg, rng=None, keep=True):
    """The model with the head of `task`.   inputs: what `model_inputs` returns  ->  logits, acts

    For `multiple_choice` the rows of the inputs are the B N choices, one after the other.
    """
    hidden, acts = convbert(inputs, sub(p, "convbert"), cfg, rng, keep)
    head, *_ = HEADS[task]
    at = {"cls_index": inputs["cls_index"]} if "cls_index" in inputs else {}
    logits, head_acts = head(hidden, p, cfg, rng, **at)
    return logits, under("convbert", acts) | (under("head", head_acts) if keep else {}) | dict(logits=logits)


def task_model_backward(task, dlogits, acts, p, cfg, free=False):
    """-> dinputs_embeds (B, L, E), grads.   With `free`, acts is emptied as it is read, for a fifth less memory"""
    part = take if free else sub
    _, head_backward, *_ = HEADS[task]
    dhidden, g_head = head_backward(dlogits, part(acts, "head"), p, cfg)
    del dlogits                                        # as wide as the vocabulary, often the largest array of all
    dinputs_embeds, g = convbert_backward(dhidden, part(acts, "convbert"), sub(p, "convbert"), cfg, free)
    grads = under("convbert", g)
    accumulate(grads, g_head)                          # a tied table is read by the embeddings and by the head
    return dinputs_embeds, grads
