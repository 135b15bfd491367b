"""Masked-word modelling: continue pretraining on your own texts.

Files are plain text, with blank lines between documents. The lines of a document are joined and cut into rows. The
words to predict are drawn again for every batch.
"""

import math
from pathlib import Path

from ...electra import RowRandom, mask_tokens, masked_word_loss, masked_word_loss_backward
from ...faces.pretrained import words_of_masks
from ...threads import side_by_side
from .. import corpus
from . import batches, reading

HEAD = "masked_lm"
LENGTH = 128
FIELDS = ("text",)
OPTIONS = {}


def read(path, labelled=True):
    """The documents of a text, each an example.

    Raises ValueError for a file that is named as the data of another task.
    """
    if (suffix := Path(path).suffix.lower()) in (".json", ".jsonl", ".csv", ".tsv", ".conll", ".conllu"):
        raise ValueError(f"{path} must be plain text, with blank lines between documents, but its name ends in"
                         f" {suffix!r}")
    documents = list(corpus.read_documents([path]))
    return reading.not_empty(path, [
        dict(where=f"{path}, document {i}", text="\n".join(lines)) for i, lines in enumerate(documents, 1)])


def example(entry, where, labelled=True):
    return dict(where=where, text=reading.text(entry, "text", where))


def configure(cfg, examples):
    return cfg


def encode(examples, tokenizer, cfg, length):
    """Rows of [CLS], pieces of a document, [SEP]; the last row of a document may be shorter.

    Rows without a word that could be hidden are left out.

    Raises ValueError if none is left.
    """
    special = dict(mask=tokenizer.mask_token_id, ids=tokenizer.all_special_ids)
    features, room = [], length - 2
    for number, one in enumerate(examples):
        ids = tokenizer.encode_ids(one["text"])
        for start in range(0, len(ids), room):
            row = [tokenizer.cls_token_id, *ids[start : start + room], tokenizer.sep_token_id]
            if not set(row) <= set(special["ids"]):
                features.append(dict(example=number, input_ids=[row], token_type_ids=[[0] * len(row)], special=special))
    if not features:
        raise ValueError(f"{examples[0]['where']}: there must be a word that can be hidden, but there is none")
    return features


def stack(features, cfg, draw):
    """As `batches.stack`, with some words hidden, which `draw` seeds. `count` is the number of words to predict."""
    inputs = batches.stack(features, cfg)["inputs"]
    special, rng = features[0]["special"], RowRandom(*draw)
    masked, places = mask_tokens(inputs["input_ids"], inputs["attention_mask"], rng, special["mask"], special["ids"],
                                 most=inputs["input_ids"].shape[1])
    return dict(inputs=inputs | dict(masked_ids=masked), places=places, count=len(places["labels"]))


def loss(batch, p, cfg, rng=None):
    """The loss of pretraining's generator, which computes the head only at the places to predict."""
    return masked_word_loss(batch["inputs"], batch["places"], p, cfg, rng)


def loss_backward(dloss, acts, p, cfg):
    """-> grads"""
    return masked_word_loss_backward(dloss, acts, p, cfg)


def evaluate(examples, features, p, cfg, batch_size=16, threads=1):
    """-> metrics: log_likelihood (mean over the words to predict, in nats), perplexity, accuracy; and no answers

    The words to predict are the same every time. 15% of them stay visible, as in training.
    """
    order = sorted(range(len(features)), key=lambda i: len(features[i]["input_ids"][0]))

    def measured(chosen):
        batch = stack([features[i] for i in chosen], cfg, (0, 0, chosen))
        value, acts = loss(batch, p, cfg)
        right = int((acts["words"].argmax(-1) == batch["places"]["labels"]).sum())
        return float(value) * batch["count"], right, batch["count"]

    parts = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    total, right, count = map(sum, zip(*side_by_side(measured, parts, threads)))
    mean = total / max(1, count)
    return dict(log_likelihood=-mean, perplexity=math.exp(min(mean, 700.0)), accuracy=right / max(1, count)), []


def predict(examples, model, encoding=(), decoding=(), threads=1):
    """The likeliest words for the masks of each text.

    Raises ValueError, with the example's place, for a text without a mask.
    """
    cfg, p, tokenizer = model

    def answer(one):
        try:
            return dict(text=one["text"], words=words_of_masks(one["text"], cfg, p, tokenizer))
        except ValueError as error:
            raise ValueError(f"{one['where']}: {error}") from None

    return list(side_by_side(answer, examples, threads))


decode_options, check_alike = batches.no_options, batches.any_examples
