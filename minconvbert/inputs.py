"""Check what a user passes to a model, and fill in what is missing."""

from collections.abc import Mapping

import numpy as np


def model_inputs(cfg, input_ids=None, attention_mask=None, token_type_ids=None, position_ids=None,
                 inputs_embeds=None, cls_index=None):
    """Check what a user passes and fill in what is missing  ->  a dict for `convbert`.

    input_ids (B, L) or inputs_embeds (B, L, E); attention_mask (B, L), 1 = real and 0 = padded, default all ones, or
    floats (B or 1, H or 1, L or 1, L) added to the scores; token_type_ids, position_ids (B or 1, L) or (L,); cls_index
    (B,), the token that stands for its sequence where `summary_type` is "cls_index".

    Raises ValueError or TypeError for ids out of range, sequences that are too long, masks of the wrong shape or kind.
    """
    if (input_ids is None) == (inputs_embeds is None):
        found = "neither is" if input_ids is None else "both are"
        raise ValueError(f"pass either input_ids or inputs_embeds, but {found} there")
    if inputs_embeds is not None:
        inputs_embeds = as_array("inputs_embeds", inputs_embeds)
        if inputs_embeds.dtype.kind != "f":
            raise TypeError(f"inputs_embeds must be floats, but they are {inputs_embeds.dtype}")
        if inputs_embeds.ndim != 3 or inputs_embeds.shape[2] != cfg.embedding_size:
            raise ValueError(f"inputs_embeds must be (B, L, E) with E = embedding_size = {cfg.embedding_size}, but"
                             f" their shape is {inputs_embeds.shape}")
        inputs, shape = dict(inputs_embeds=inputs_embeds), inputs_embeds.shape[:2]
    else:
        input_ids = _integers("input_ids", input_ids)
        if input_ids.ndim != 2:
            raise ValueError(f"input_ids must be (B, L), but their shape is {input_ids.shape}"
                             + ("; write input_ids[None] for one sequence" if input_ids.ndim == 1 else ""))
        inputs, shape = dict(input_ids=_below("input_ids", input_ids, cfg.vocab_size, "vocab_size")), input_ids.shape
    if 0 in shape:
        raise ValueError(f"there must be at least one sequence of at least one token, but (B, L) = {shape}")
    if shape[1] > cfg.max_position_embeddings:
        raise ValueError(f"a sequence may have at most max_position_embeddings = {cfg.max_position_embeddings} tokens,"
                         f" but L = {shape[1]}; truncate it, or split it into windows")
    defaults = dict(token_type_ids=np.zeros(shape, np.int64), position_ids=np.arange(shape[1])[None])
    rows = dict(token_type_ids="type_vocab_size", position_ids="max_position_embeddings")
    for name, ids in (("token_type_ids", token_type_ids), ("position_ids", position_ids)):
        ids = defaults[name] if ids is None else _integers(name, ids)
        ids = ids[None] if ids.ndim == 1 else ids
        if ids.shape not in (shape, (1, shape[1])):
            raise ValueError(f"{name} must be (B, L) = {shape} or (1, L), but their shape is {ids.shape}")
        inputs[name] = np.broadcast_to(_below(name, ids, getattr(cfg, rows[name]), rows[name]), shape)
    if cls_index is not None:
        cls_index = _integers("cls_index", cls_index)
        if cls_index.shape != shape[:1]:
            raise ValueError(f"cls_index must be (B,) = {shape[:1]}, but its shape is {cls_index.shape}")
        inputs["cls_index"] = _below("cls_index", cls_index, shape[1], "L")
    inputs["attention_mask"] = _attention_mask(attention_mask, shape, cfg)
    return inputs


def _attention_mask(mask, shape, cfg):
    if mask is None:
        return np.ones(shape, np.int64)
    mask = as_array("attention_mask", mask)
    if mask.ndim == 4:
        B, L = shape
        if mask.dtype.kind != "f":
            raise TypeError(f"an attention_mask of four axes is added to the scores and must be floats, but it is"
                            f" {mask.dtype}; pass (B, L) of 1 and 0 instead")
        if not all(n in (1, m) for n, m in zip(mask.shape, (B, cfg.heads, L, L))) or mask.shape[3] != L:
            raise ValueError(f"an attention_mask of four axes must be (B or 1, H or 1, L or 1, L) with B, H, L ="
                             f" {B}, {cfg.heads}, {L}, but its shape is {mask.shape}")
        if not np.isfinite(mask).all():
            raise ValueError("an attention_mask of four axes must be finite, but it has nan or infinity; write"
                             " np.finfo(dtype).min for minus infinity")
        return mask
    if mask.shape != shape:
        raise ValueError(f"attention_mask must be (B, L) = {shape}, but its shape is {mask.shape}")
    if mask.dtype.kind not in "biuf" or not ((mask == 0) | (mask == 1)).all():
        raise ValueError("attention_mask must be 1 at real tokens and 0 at padded ones, but it has other values"
                         f" (its kind is {mask.dtype})")
    return mask.astype(np.int64)


def as_array(name, values):
    """A copy of what a user passes, as a NumPy array, because backward reads it later, and the user may change theirs.

    Raises ValueError if its rows are ragged, TypeError if it is a dict.
    """
    if isinstance(values, Mapping):
        raise TypeError(f"{name} must be an array, but is a dict; write model(**batch)")
    try:
        return np.array(values)
    except ValueError:
        raise ValueError(f"{name} must have rows of one length, but they are ragged; pad the shorter ones") from None


def _integers(name, ids):
    ids = as_array(name, ids)
    if ids.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, but they are {ids.dtype}"
                        + ("; a tokenizer makes them from text" if ids.dtype.kind in "US" else ""))
    if ids.dtype == np.uint64 and ids.size and ids.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{name} must be numbers of tokens, but {ids.max()} is among them")
    return ids.astype(np.int64, copy=False)            # uint8 would wrap when the generator writes an id above 255


def _below(name, ids, size, size_name):
    if ids.size and not (0 <= ids.min() and ids.max() < size):
        wrong = ids.min() if ids.min() < 0 else ids.max()
        raise ValueError(f"{name} must be from 0 to {size_name} - 1 = {size - 1}, but {wrong} is among them")
    return ids


def named_problem(cfg, integers=True):
    """`cfg.problem_type`, or what it means if there is none.   integers: whether labels are integers"""
    return cfg.problem_type or (
        "regression" if cfg.num_labels == 1 else
        "single_label_classification" if integers else "multi_label_classification")


def problem_type(cfg, labels):
    """Whether a sentence has a number, one label or any of several   ->  a name that `cfg.problem_type` may have

    Without a `problem_type`, num_labels = 1 means regression, integer labels mean single label, others multi label.

    Raises ValueError for a single label if num_labels = 1.
    """
    problem = named_problem(cfg, labels.dtype.kind in "iu")
    if problem == "single_label_classification" and cfg.num_labels == 1:
        raise ValueError("num_labels must be at least 2 for a single_label_classification, but is 1")
    return problem


def wanted_numbers(labels, logits, problem):
    """Labels of a regression or a multi-label task, as floats like the logits.   labels (B,) or (B, N)  ->  (B, N)

    Raises TypeError or ValueError for labels of another kind or shape, or out of range.
    """
    if labels.dtype.kind not in "biuf":
        raise TypeError(f"labels of a {problem} must be numbers, but they are {labels.dtype}")
    wanted = labels.astype(logits.dtype)
    if logits.shape[1] == 1 and wanted.ndim == 1:
        wanted = wanted[:, None]
    if wanted.shape != logits.shape:
        raise ValueError(f"labels of a {problem} must be {logits.shape}, but their shape is {labels.shape}")
    if not np.isfinite(wanted).all():
        raise ValueError(f"labels of a {problem} must be finite, but nan or infinity is among them")
    if problem == "multi_label_classification" and not ((wanted >= 0) & (wanted <= 1)).all():
        raise ValueError(f"labels of a {problem} must be from 0 to 1, but they are from {wanted.min()} to"
                         f" {wanted.max()}")
    return wanted


def check_labels(labels, V, ignored):
    """Whether each label counts because it is not `ignored`.   labels (...)  ->  bools (...)

    Raises TypeError if labels are not integers, ValueError if one that counts is not from 0 to V - 1.
    """
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers, but they are {labels.dtype}")
    counted = labels != ignored
    wrong = labels[counted & ((labels < 0) | (labels >= V))]
    if wrong.size:
        raise ValueError(f"labels must be from 0 to {V - 1}, or {ignored} to be ignored, but {wrong[0]} is among them")
    return counted


def require_generator(rng):
    """Raises TypeError if `rng` is not a `numpy.random.Generator`."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator, but is {rng!r}; write np.random.default_rng(seed)")
