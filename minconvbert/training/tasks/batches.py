"""Features to arrays, and arrays through the model: what the tasks share."""

import logging
from collections import defaultdict
from functools import partial

import numpy as np

from ...heads import HEADS, task_model, task_model_backward
from ...inputs import model_inputs
from ...losses import IGNORED
from ...shapes import sub, under
from ...threads import side_by_side

log = logging.getLogger(__name__)

WINDOW = 16                                            # batches that are sorted by length together
TOKENS = 2048                                          # most tokens in a batch that is read without training


def rows_of(pairs, tokenizer, length):
    """A dict of one row for each (text, pair or None), cut to `length` pieces where it is longer."""
    rows, cut = [], 0
    for text, pair in pairs:
        row = tokenizer(text, pair)
        if len(row["input_ids"]) > length:
            cut += 1
            row = tokenizer(text, pair, truncation=True, max_length=length)
        rows.append({name: [row[name]] for name in ("input_ids", "token_type_ids")})
    if cut:
        log.warning("%d of %d texts are longer than %d pieces and were cut", cut, len(rows), length)
    return rows


def by_length(features, batch_size, rng):
    """The indices of the features in random batches, where the features of a batch have nearly the same length.

    So there is little padding, which costs time and, in a convolution, changes the result. Windows of WINDOW batches
    are cut from a random order and sorted by length; then the batches of all windows are shuffled.
    """
    lengths = [max(map(len, feature["input_ids"])) for feature in features]
    order, batches = rng.permutation(len(features)).tolist(), []
    for start in range(0, len(order), WINDOW * batch_size):
        window = sorted(order[start : start + WINDOW * batch_size], key=lengths.__getitem__)
        batches += [window[i : i + batch_size] for i in range(0, len(window), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def stack(features, cfg, draw=None):
    """Features as arrays, padded to the longest.   ->  dict: inputs; if there are labels, also labels and their count

    draw: (seed, step, index of each row in its batch), which seeds random draws; only masked_lm makes any.
    """
    rows = [row for feature in features for row in feature["input_ids"]]
    types = [row for feature in features for row in feature["token_type_ids"]]
    L = max(map(len, rows))
    ids = np.full((len(rows), L), cfg.pad_token_id)
    mask, type_ids = np.zeros_like(ids), np.zeros_like(ids)
    for i, (row, kinds) in enumerate(zip(rows, types)):
        ids[i, : len(row)], mask[i, : len(row)], type_ids[i, : len(row)] = row, 1, kinds
    batch = dict(inputs=model_inputs(cfg, ids, mask, type_ids))
    if "labels" in features[0]:
        batch["labels"] = labels = _labels([feature["labels"] for feature in features], L)
        batch["count"] = int((labels != IGNORED).sum()) if labels.dtype.kind == "i" else labels.size
    return batch


def _labels(labels, L):
    """The labels as one array; lists, which are labels of tokens, are padded with IGNORED to length L."""
    if isinstance(labels[0], list):
        labels = [row + [IGNORED] * (L - len(row)) for row in labels]
    return np.array(labels)


def loss(head, batch, p, cfg, rng=None):
    """The loss of the model on a batch.   batch: what `stack` returns  ->  loss, acts"""
    _, _, loss_of, _ = HEADS[head]
    logits, acts = task_model(head, batch["inputs"], p, cfg, rng)
    value, loss_acts = loss_of(logits, batch["labels"], cfg)
    return value, acts | under("loss", loss_acts)


def loss_backward(head, dloss, acts, p, cfg):
    """-> grads"""
    *_, backward = HEADS[head]
    dlogits = backward(dloss, sub(acts, "loss"))
    _, grads = task_model_backward(head, dlogits, acts, p, cfg)
    return grads


def rows_by_length(rows):
    """Yields the indices of rows of equal length, in batches of at most TOKENS tokens, or of one row."""
    alike = defaultdict(list)
    for number, (ids, _) in enumerate(rows):
        alike[len(ids)].append(number)
    for length, numbers in sorted(alike.items()):
        some = max(1, TOKENS // length)
        yield from (numbers[start : start + some] for start in range(0, len(numbers), some))


def read_all(head, features, p, cfg, threads=1):
    """The logits of each feature; in multiple choice, an array with the logit of each of its rows.

    Rows of one length go through the model together, so there is no padding, and an answer does not depend on what else
    is read. Up to `threads` of these batches are read at once.
    """
    rows = [pair for feature in features for pair in zip(feature["input_ids"], feature["token_type_ids"])]
    logits, batches = [None] * len(rows), list(rows_by_length(rows))

    def logits_of(chosen):
        ids, types = (np.array(part) for part in zip(*(rows[number] for number in chosen)))
        found, _ = task_model(head, model_inputs(cfg, ids, token_type_ids=types), p, cfg, keep=None)
        return found

    for chosen, found in zip(batches, side_by_side(logits_of, batches, threads)):
        for number, z in zip(chosen, found):
            logits[number] = z
    if head != "multiple_choice":
        return logits
    logits = iter(logits)
    return [np.array([next(logits) for _ in feature["input_ids"]]) for feature in features]


def evaluate(head, decode, measure, examples, features, p, cfg, threads=1, **options):
    """-> metrics, answers.   decode, measure: the task's functions; options: those of `decode`"""
    answers = decode(examples, features, read_all(head, features, p, cfg, threads), cfg, **options)
    return measure(examples, answers, cfg), answers


def predict(head, encode, decode, examples, model, encoding, decoding=(), threads=1):
    """The answers to examples without labels.

    model: (cfg, params, tokenizer); encode, decode: the task's functions; encoding, decoding: their options
    """
    cfg, p, tokenizer = model
    features = encode(examples, tokenizer, cfg, **encoding)
    return decode(examples, features, read_all(head, features, p, cfg, threads), cfg, **dict(decoding))


def functions(head, encode, decode, measure):
    """The functions above for one task   ->  stack, loss, loss_backward, evaluate, predict"""
    return (stack, partial(loss, head), partial(loss_backward, head), partial(evaluate, head, decode, measure),
            partial(predict, head, encode, decode))


def any_examples(examples):
    """Any examples can be in one run."""


def no_options(examples):
    """Training examples suggest no options for the answers."""
    return {}
