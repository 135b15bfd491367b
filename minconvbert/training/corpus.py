"""Plain text to examples for pretraining: read, split into segments, encoded once, mapped from disk ever after."""

import hashlib
import json
import lzma
import os
from pathlib import Path

import numpy as np
import regex

from ..files import atomic_path, write_atomic

HELD_OUT_EVERY = 100
SENTENCE_END = regex.compile(r"(?<=[.!?][\"'”’)]*)\s+")


def read_documents(paths):
    """Documents, each a list of lines, one after the other: blank lines part them. `.xz` files are read as they are.

    Raises ValueError, with the number of the line, if a file is not UTF-8, or an .xz file is damaged.
    """
    for path in paths:
        document = []
        for number, raw in enumerate(_raw_lines(Path(path)), 1):
            try:
                line = raw.decode("utf-8").strip()
            except UnicodeDecodeError as error:
                raise ValueError(f"{path} must be UTF-8, but line {number} is not: {error}") from None
            if line:
                document.append(line)
            elif document:
                yield document
                document = []
        if document:
            yield document


def _raw_lines(path):
    try:
        with lzma.open(path, "rb") if path.suffix == ".xz" else open(path, "rb") as file:
            yield from file
    except (EOFError, lzma.LZMAError) as error:
        raise ValueError(f"{path} must be a whole .xz file, but is damaged: {error}") from None


def split_documents(documents, held_out):
    """Every hundredth document is held out; -> those, or all the others."""
    for number, document in enumerate(documents, 1):
        if (number % HELD_OUT_EVERY == 0) == held_out:
            yield document


def make_examples(documents, encode, length, cls_id, sep_id, pad_id, rng):
    """[CLS] first segment [SEP] second segment [SEP], padded: rows of `length` ids.

    Sentences are gathered until they fill an example; a document's end closes it. One in ten examples is a single
    segment, the rest are split near the middle; one in twenty aims at a random shorter length.

    Source: ExampleBuilder of build_pretraining_dataset.py, but for its slip: it tests `first_segment or ...` where
    ELECTRA tests `len(first_segment) == 0 or ...`, so that a second segment hardly ever comes about. Lines are split
    into sentences here, so that a long paragraph is not cut off at the first example.
    """
    target = length
    for document in documents:
        sentences, gathered = [], 0
        for line in document:
            for sentence in SENTENCE_END.split(line):
                ids = encode(sentence)
                sentences.append(ids)
                gathered += len(ids)
                if gathered >= target:
                    yield _example(sentences, target, length, cls_id, sep_id, pad_id, rng)
                    sentences, gathered = [], 0
                    target = int(rng.integers(5, length + 1)) if rng.random() < 0.05 else length
        if gathered:
            yield _example(sentences, target, length, cls_id, sep_id, pad_id, rng)
            target = int(rng.integers(5, length + 1)) if rng.random() < 0.05 else length


def _example(sentences, target, length, cls_id, sep_id, pad_id, rng):
    first, second = [], []
    middle = 100_000 if rng.random() < 0.1 else (target - 3) // 2
    for ids in sentences:
        if not first or len(first) + len(ids) < middle or (
                not second and len(first) < middle and rng.random() < 0.5):
            first += ids
        else:
            second += ids
    first = first[: length - 2]
    second = second[: max(0, length - len(first) - 3)]
    row = [cls_id, *first, sep_id, *second, *([sep_id] if second else [])]
    return row + [pad_id] * (length - len(row))


def encode_corpus(paths, tokenizer, length, folder, seed=0, progress=None):
    """Encode the training and the held-out part, once: -> two memory maps (examples, length) of ids.

    `folder` gets train.ids, held_out.ids and examples.json; if they are there already, from the same files, vocabulary
    and length, they are only opened.

    Raises ValueError if they are of something else, or if there is no text.
    """
    folder = Path(folder)
    kind = np.dtype(np.uint16 if len(tokenizer.vocab) <= 1 << 16 else np.int32)
    made_from = dict(files=[[str(path), os.path.getsize(path)] for path in paths], length=length, seed=seed,
                     dtype=kind.str, vocabulary=hashlib.sha256("\n".join(tokenizer.vocab).encode()).hexdigest())
    description = folder / "examples.json"
    if not description.exists():
        counts = {}
        for part in ("train", "held_out"):
            rng = np.random.default_rng([seed, part == "held_out"])
            documents = split_documents(read_documents(paths), part == "held_out")
            examples = make_examples(documents, tokenizer.encode_ids, length, tokenizer.cls_token_id,
                                     tokenizer.sep_token_id, tokenizer.pad_token_id, rng)
            counts[part] = 0
            with atomic_path(folder / f"{part}.ids") as temporary, open(temporary, "wb") as file:
                for row in examples:
                    file.write(np.array(row, kind).tobytes())
                    counts[part] += 1
                    if progress is not None and counts[part] % 1000 == 0:
                        progress(counts[part], part)
        if not counts["train"]:
            raise ValueError(f"the corpus must have text, but there is none in {', '.join(map(str, paths))}")
        write_atomic(description, json.dumps(made_from | dict(examples=counts), indent=2) + "\n")
    found = json.loads(description.read_text())
    counts = found.pop("examples")
    if found != made_from:
        wrong = ", ".join(name for name in made_from if found.get(name) != made_from[name])
        raise ValueError(f"{folder} holds examples made from something else ({wrong} differ); use another folder")
    return tuple(
        np.memmap(folder / f"{part}.ids", kind, "r", shape=(counts[part], length)) if counts[part]
        else np.zeros((0, length), kind) for part in ("train", "held_out"))


def special_ids(tokenizer):
    """The ids of the tokens that are never hidden."""
    return dict(mask=tokenizer.mask_token_id, cls=tokenizer.cls_token_id, sep=tokenizer.sep_token_id,
                pad=tokenizer.pad_token_id)


def example_batch(rows, sep_id, pad_id):
    """What a model reads of rows of ids: input_ids, attention_mask, token_type_ids (B, L)"""
    ids = np.asarray(rows, np.int64)
    real = (ids != pad_id).astype(np.int64)
    ended = np.cumsum(ids == sep_id, axis=1) - (ids == sep_id)
    return dict(input_ids=ids, attention_mask=real, token_type_ids=np.minimum(ended, 1) * real)


def batch_rows(step, batch_size, examples, seed):
    """The numbers of the examples of a step: epoch after epoch, each in a random order of its own."""
    numbers = np.arange(step * batch_size, (step + 1) * batch_size)
    rows = np.empty(batch_size, np.int64)
    for epoch in np.unique(numbers // examples):
        order = np.random.default_rng([seed, int(epoch)]).permutation(examples)
        inside = numbers // examples == epoch
        rows[inside] = order[numbers[inside] % examples]
    return rows
