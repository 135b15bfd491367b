"""Plain text to examples for pretraining: read, split into segments, encoded once, mapped from disk ever after."""

import hashlib
import json
import os
from itertools import chain
from pathlib import Path

import numpy as np
import regex

from ..files import atomic_path, refuse_pointer, write_atomic
from ..tokenizer.vocab import UNKNOWN

HELD_OUT_EVERY = 100
FORMAT = 2                                             # of the examples: in 1, text was lost where a row was full
FULL = 0.8                                             # the share of the text below which `report` warns

# A full stop may be inside 3.14, so white space must follow it; 。and the others end a sentence wherever they are.
CLOSING = "\"'”’»)」』】）》"
SENTENCE_END = regex.compile(
    rf"(?V1)(?<=[.!?][{CLOSING}]*)\s+|(?<=[[\p{{STerm}}…]--[.!?]][{CLOSING}]*)(?![{CLOSING}\p{{STerm}}…])\s*")


def read_documents(paths):
    """Documents, each a list of lines, one after the other: blank lines part them. `.xz` files are read as they are.

    Raises ValueError, with the number of the line, if a file is not UTF-8, or an .xz file is damaged.
    """
    for path in paths:
        document = []
        for number, raw in enumerate(_raw_lines(Path(path)), 1):
            if number == 1:
                refuse_pointer(path, raw)
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
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
    if path.suffix != ".xz":
        with open(path, "rb") as file:
            yield from file
        return
    try:
        import lzma  # here, because not every Python has it
    except ImportError:
        raise ValueError(f"{path} must be unpacked first, because this Python has no lzma: run xz -dk on it") from None
    try:
        with lzma.open(path, "rb") as file:
            yield from file
    except (EOFError, lzma.LZMAError) as error:
        raise ValueError(f"{path} must be a whole .xz file, but is damaged: {error}") from None


def split_documents(documents, held_out):
    """Every hundredth document is held out; -> those, or all the others."""
    for number, document in enumerate(documents, 1):
        if (number % HELD_OUT_EVERY == 0) == held_out:
            yield document


def make_examples(documents, encode, length, cls_id, sep_id, pad_id, rng):
    """[CLS] first segment [SEP] second segment [SEP], padded: rows of `length` ids, which hold all of the text.

    Sentences are gathered until they fill a row; what does not fit begins the next one. A document's end closes a row.
    One in ten rows is a single segment, the rest are split near the middle; one in twenty aims at a random shorter
    length. A sentence that is longer than a row is cut into pieces of a row.

    Source: ExampleBuilder of build_pretraining_dataset.py. It keeps only the first row of a long line, and drops what
    does not fit; and it tests `first_segment or ...` where ELECTRA tests `len(first_segment) == 0 or ...`, so that a
    second segment hardly ever comes about. Neither slip is repeated here.
    """
    target = length
    for document in documents:
        waiting = []                                   # sentences that are in no row yet
        for ids in chain(_sentences(document, encode, length - 2), [None]):
            if ids:
                waiting.append(ids)
            while waiting and (ids is None or sum(map(len, waiting)) >= target):
                row, waiting = _example(waiting, target, length, cls_id, sep_id, rng)
                yield row + [pad_id] * (length - len(row))
                target = int(rng.integers(5, length + 1)) if rng.random() < 0.05 else length


def _sentences(document, encode, longest):
    """The ids of each sentence of a list of lines, in pieces of at most `longest`."""
    for line in document:
        for sentence in SENTENCE_END.split(line):
            ids = encode(sentence)
            for start in range(0, len(ids), longest):
                yield ids[start : start + longest]


def _example(sentences, target, length, cls_id, sep_id, rng):
    """-> a row; the sentences that did not fit into it"""
    first, second = [], []
    middle = 100_000 if rng.random() < 0.1 else (target - 3) // 2
    for ids in sentences:
        if not first or len(first) + len(ids) < middle or (
                not second and len(first) < middle and rng.random() < 0.5):
            first = first + ids
        else:
            second = second + ids
    end = length - 2
    rest, first = first[end:], first[:end]
    end = max(0, length - len(first) - 3)
    rest, second = [rest, second[end:]], second[:end]
    return [cls_id, *first, sep_id, *second, *([sep_id] if second else [])], [ids for ids in rest if ids]


def encode_corpus(paths, tokenizer, length, folder, seed=0, progress=None):
    """Encode the training and the held-out part, once: -> two memory maps (examples, length) of ids.

    `folder` gets train.ids, held_out.ids and examples.json; if they are there already, from the same files, vocabulary
    and length, they are only opened.

    Raises ValueError if they are of something else, or if there is no text.
    """
    folder = Path(folder)
    kind = np.dtype(np.uint16 if len(tokenizer.vocab) <= 1 << 16 else np.int32)
    made_from = dict(format=FORMAT, files=[[str(path), os.path.getsize(path)] for path in paths], length=length,
                     seed=seed, dtype=kind.str,
                     vocabulary=hashlib.sha256("\n".join(tokenizer.vocab).encode()).hexdigest())
    description = folder / "examples.json"
    if not description.exists():
        counts = {part: _write_part(paths, tokenizer, length, folder / f"{part}.ids", kind, seed, part, progress)
                  for part in ("train", "held_out")}
        if not counts["train"]["examples"]:
            raise ValueError(f"the corpus must have text, but there is none in {', '.join(map(str, paths))}")
        write_atomic(description, json.dumps(made_from | dict(counts=counts), indent=2) + "\n")
    found = json.loads(description.read_text())
    if found.get("format", 1) != FORMAT:
        raise ValueError(f"{folder} must hold examples of format {FORMAT}, which keep all of the text, but holds those"
                         f" of format {found.get('format', 1)}, made by another version; use another folder")
    counts = found.pop("counts")
    if found != made_from:
        wrong = ", ".join(name for name in made_from if found.get(name) != made_from[name])
        raise ValueError(f"{folder} holds examples made from something else ({wrong} differ); use another folder")
    return tuple(
        np.memmap(folder / f"{part}.ids", kind, "r", shape=(n, length)) if (n := counts[part]["examples"])
        else np.zeros((0, length), kind) for part in ("train", "held_out"))


def _write_part(paths, tokenizer, length, path, kind, seed, part, progress):
    """Write the rows of one part -> dict: examples; pieces of the text, and how many are kept and unknown"""
    special = [tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id]
    counts = dict(examples=0, pieces=0, kept=0, unknown=0)
    count = lambda ids: len(ids) - sum(map(ids.count, special))

    def encode(text):
        ids = tokenizer.encode_ids(text)
        counts["pieces"] += count(ids)
        return ids

    rng = np.random.default_rng([seed, part == "held_out"])
    documents = split_documents(read_documents(paths), part == "held_out")
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        for row in make_examples(documents, encode, length, *special, rng):
            counts["examples"] += 1
            counts["kept"] += count(row)
            counts["unknown"] += row.count(tokenizer.unk_token_id)
            file.write(np.array(row, kind).tobytes())
            if progress is not None and counts["examples"] % 1000 == 0:
                progress(counts["examples"], part)
    return counts


def report(folder):
    """What became of the text of the training part, in words: a line, and one for each thing that went wrong."""
    counts = json.loads((Path(folder) / "examples.json").read_text())["counts"]["train"]
    kept, unknown = counts["kept"] / max(1, counts["pieces"]), counts["unknown"] / max(1, counts["kept"])
    said = [f"{counts['examples']:,} examples hold {kept:.1%} of the {counts['pieces']:,} pieces of the text;"
            f" {unknown:.1%} of them are [UNK]"]
    if kept < FULL:
        said.append(f"warning: {1 - kept:.0%} of the text is in no example")
    if unknown > UNKNOWN:
        said.append(f"warning: the vocabulary does not know {unknown:.0%} of the text; `minconvbert vocab audit VOCAB"
                    " --text FILE` says which characters it lacks, and `minconvbert vocab train` makes one that fits")
    return said


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
