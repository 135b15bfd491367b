"""From plain text to pretraining examples, which are encoded once and then read through memory maps."""

import hashlib
import json
import os
from itertools import chain
from pathlib import Path

import numpy as np
import regex

from ..files import atomic_path, is_file, read_json, refuse_device, refuse_pointer, write_atomic
from ..tokenizer.vocab import UNKNOWN

HELD_OUT_EVERY = 100
EXAMPLES, PARTS = "examples.json", ("train", "held_out")
FORMAT = 2                                             # of the examples; format 1 lost text where a row was full
FULL = 0.8                                             # the share of the text below which `report` warns

# White space must follow a full stop, because 3.14 holds one; 。and the others end a sentence wherever they are.
CLOSING = "\"'”’»)」』】）》"
SENTENCE_END = regex.compile(
    rf"(?V1)(?<=[.!?][{CLOSING}]*)\s+|(?<=[[\p{{STerm}}…]--[.!?]][{CLOSING}]*)(?![{CLOSING}\p{{STerm}}…])\s*")


def read_documents(paths):
    """Yields documents, which blank lines separate, each as a list of lines. `.xz` files are unpacked while reading.

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
    refuse_device(path)
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
    """Every hundredth document, if `held_out`; if not, all the others."""
    for number, document in enumerate(documents, 1):
        if (number % HELD_OUT_EVERY == 0) == held_out:
            yield document


def make_examples(documents, encode, length, cls_id, sep_id, pad_id, rng):
    """Yields rows of `length` ids, [CLS] first segment [SEP] second segment [SEP] padding, which hold all of the text.

    Sentences are gathered until they fill a row; what does not fit begins the next one. A document's end closes a row.
    One in ten rows is a single segment, the rest are split near the middle; one in twenty aims at a random shorter
    length. A sentence that is longer than a row is cut into pieces that each fill one.

    Source: ExampleBuilder of build_pretraining_dataset.py. It keeps only the first row of a long line, and drops what
    does not fit; and it tests `first_segment or ...` where ELECTRA tests `len(first_segment) == 0 or ...`, so that a
    second segment is very rare. Neither mistake is repeated here.
    """
    target = length
    for document in documents:
        waiting = []                                   # sentences that are not in a row yet
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
    """Encode the training and the held-out part  ->  two memory maps (examples, length) of ids

    `folder` gets train.ids, held_out.ids and examples.json. If they are there already, made from the same files,
    vocabulary, length and seed, they are only opened.

    Raises ValueError if they were made from something else, or if there is no text.
    """
    folder = Path(folder)
    check_files(paths)
    kind = np.dtype(np.uint16 if len(tokenizer.vocab) <= 1 << 16 else np.int32)
    made_from = dict(format=FORMAT, files=[[str(path), os.path.getsize(path)] for path in paths], length=length,
                     seed=seed, dtype=kind.str,
                     vocabulary=hashlib.sha256("\n".join(tokenizer.vocab).encode()).hexdigest(),
                     sha256=[sha256_of(path) for path in paths])
    description = folder / EXAMPLES
    if not description.exists():
        counts = {part: _write_part(paths, tokenizer, length, folder / f"{part}.ids", kind, seed, part, progress)
                  for part in PARTS}
        if not counts["train"]["examples"]:
            raise ValueError(f"the corpus must have text, but there is none in {', '.join(map(str, paths))}")
        write_atomic(description, json.dumps(made_from | dict(counts=counts), indent=2) + "\n")
    found = _described(folder)
    found.pop("counts")
    if "sha256" not in found:                          # written by a version that compared only sizes
        del made_from["sha256"]
    if found != made_from:
        wrong = ", ".join(name for name in made_from if found.get(name) != made_from[name])
        raise ValueError(f"{folder} holds examples made from something else ({wrong} differ); use another folder")
    return open_examples(folder)


def open_examples(folder):
    """Open what `encode_corpus` left in a folder  ->  two memory maps (examples, length) of ids

    Raises ValueError if a file is missing or damaged.
    """
    found, parts = _described(folder), []
    kind, length = np.dtype(found["dtype"]), found["length"]
    for part in PARTS:
        path, count = Path(folder, f"{part}.ids"), found["counts"][part]["examples"]
        if not is_file(path) or path.stat().st_size != count * length * kind.itemsize:
            raise ValueError(f"{path} must hold {count} examples of {length} ids, but does not: it is damaged; use"
                             " another folder")
        parts.append(np.memmap(path, kind, "r", shape=(count, length)) if count else np.zeros((0, length), kind))
    return tuple(parts)


def _described(folder):
    """The contents of examples.json.   Raises ValueError if it is of another version or damaged."""
    path = Path(folder, EXAMPLES)
    found = read_json(path)
    version = found.get("format", 1) if isinstance(found, dict) else None
    if isinstance(version, int) and version != FORMAT:
        raise ValueError(f"{folder} must hold examples of format {FORMAT}, which keep all of the text, but holds those"
                         f" of format {version}, made by another version; use another folder")
    try:
        counts = [found["counts"][part][name] for part in PARTS for name in ("examples", "pieces", "kept", "unknown")]
        if all(type(n) is int and n >= 0 for n in [*counts, found["length"]]) and found["dtype"] in ("<u2", "<i4"):
            return found
    except (KeyError, TypeError):
        pass
    raise ValueError(f"{path} must be as the encoding of a corpus wrote it, but is not: it is damaged; use another"
                     " folder")


def check_files(paths):
    """Raises ValueError for a pipe, folder or device, because training reads its data several times."""
    for path in paths:
        if os.path.exists(path) and not is_file(path):
            raise ValueError(f"{path} must be an ordinary file, because training reads it several times, but is a pipe,"
                             " a folder or a device; write the text into a file first")


def sha256_of(path):
    """The SHA-256 of a file's bytes, as text."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _write_part(paths, tokenizer, length, path, kind, seed, part, progress):
    """Write the rows of one part  ->  dict of counts: examples; pieces of the text; kept and unknown pieces"""
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
    """Lines that say how much of the training text the examples hold, and warn if much is missing or unknown."""
    counts = _described(folder)["counts"]["train"]
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
    """The inputs of a model for rows of ids: input_ids, attention_mask, token_type_ids (B, L)"""
    ids = np.asarray(rows, np.int64)
    real = (ids != pad_id).astype(np.int64)
    ended = np.cumsum(ids == sep_id, axis=1) - (ids == sep_id)
    return dict(input_ids=ids, attention_mask=real, token_type_ids=np.minimum(ended, 1) * real)


def batch_rows(step, batch_size, examples, seed):
    """The indices of a step's examples. Every epoch takes all examples in a random order of its own."""
    numbers = np.arange(step * batch_size, (step + 1) * batch_size)
    rows = np.empty(batch_size, np.int64)
    for epoch in np.unique(numbers // examples):
        order = np.random.default_rng([seed, int(epoch)]).permutation(examples)
        inside = numbers // examples == epoch
        rows[inside] = order[numbers[inside] % examples]
    return rows
