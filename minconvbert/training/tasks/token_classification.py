"""Token classification: a tag for each word.

Files: CoNLL (.conll, .txt: a word and its tag on each line, columns between them; blank lines between sentences),
CoNLL-U (.conllu: the column UPOS, or another), JSON lines ({"words": [...], "tags": [...]}). Where no tags are asked
for, they may be missing, and a .txt is plain: a sentence on each line.

A word is read as its pieces. Its tag is asked of the first piece, the others are ignored.
"""

import re
from pathlib import Path

from ...losses import IGNORED
from .. import metrics
from . import batches, reading

HEAD = "token_classification"
LENGTH = 128                                           # pieces of a row, as the original
FIELDS = ("text",)
OPTIONS = dict(read=("column",), configure=("labels",))
CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")


def read(path, labelled=True, column="upos"):
    """Sentences of a file.   column: where CoNLL-U has the tags

    Raises ValueError, with the number of the line, for a line that does not fit.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".conllu":
        return reading.not_empty(path, list(_conllu(path, column, labelled)))
    if suffix == ".txt" and not labelled:
        return reading.not_empty(path, list(_plain(path)))
    if suffix in (".conll", ".txt"):
        return reading.not_empty(path, list(_conll(path, labelled)))
    if suffix == ".jsonl":
        return reading.examples(path, example, labelled)
    raise ValueError(f"{path} must be .conllu, .conll, .txt or .jsonl, but its name ends in {suffix or 'nothing'!r}")


def example(entry, where, labelled=True):
    """From words, with tags if labelled; or from a text, split at white space and around punctuation."""
    words = reading.texts(entry, "words", where) if "words" in entry else split(reading.text(entry, "text", where))
    made = dict(where=where, words=words)
    if labelled:
        made["tags"] = reading.texts(entry, "tags", where)
        if len(made["tags"]) != len(words):
            raise ValueError(f"{where}: there must be a tag for each of the {len(words)} words, but there are"
                             f" {len(made['tags'])}")
    return made


def split(text):
    """Words and punctuation marks of a text."""
    return re.findall(r"\w+(?:[-'’]\w+)*|[^\w\s]", text)


def _plain(path):
    for number, line in reading.lines(path):
        if line.strip():
            yield example(dict(text=line), f"{path}, line {number}", labelled=False)


def _sentences(path, pairs, labelled):
    """Gather (number of the line, word, tag), or None at the end of a sentence."""
    gathered = []
    for pair in (*pairs, None):
        if pair:
            gathered.append(pair)
        elif gathered:
            numbers, words, tags = map(list, zip(*gathered))
            places = [f"{path}, line {number}" for number in numbers]
            yield dict(where=places[0], places=places, words=words) | (dict(tags=tags) if labelled else {})
            gathered = []


def _conll(path, labelled):
    fewest = 2 if labelled else 1

    def pairs():
        columns = None
        for number, line in reading.lines(path):
            cells = re.findall(r"[^ \t]+", line)       # other white space may stand inside a word
            if not cells or cells[0] == "-DOCSTART-":
                yield None
                continue
            columns = columns or len(cells)
            if len(cells) != columns or columns < fewest:
                raise ValueError(f"{path}, line {number}: there must be {max(fewest, columns)} columns, a word first"
                                 f" and its tag last, but there are {len(cells)}: {reading.shown(line)}")
            yield number, cells[0], cells[-1]
    return _sentences(path, pairs(), labelled)


def _conllu(path, column, labelled):
    if column not in CONLLU:
        raise ValueError(f"a column of CoNLL-U must be one of {', '.join(CONLLU)}, but is {column!r}")

    def pairs():
        for number, line in reading.lines(path):
            if not line.strip():
                yield None
            elif not line.startswith("#"):
                cells = line.split("\t")
                if len(cells) != len(CONLLU):
                    raise ValueError(f"{path}, line {number}: there must be {len(CONLLU)} columns with tabs between"
                                     f" them, but there are {len(cells)}: {reading.shown(line)}")
                if re.fullmatch(r"\d+[-.]\d+", cells[0]):  # two words written as one, or a word that is not written
                    continue
                word, tag = cells[1], cells[CONLLU.index(column)]
                if not word or labelled and not tag:
                    raise ValueError(f"{path}, line {number}: the columns FORM and {column.upper()} must not be empty:"
                                     f" {reading.shown(line)}")
                yield number, word, tag
    return _sentences(path, pairs(), labelled)


def configure(cfg, examples, labels=None):
    names = labels or reading.in_order({tag for one in examples for tag in one["tags"]})
    if len(names) < 2:
        raise ValueError(f"there must be at least two tags to tell apart, but there are only {names}")
    return reading.named_labels(cfg, names)


def encode(examples, tokenizer, cfg, length):
    """A row for each sentence; a longer one is read in parts, which begin and end with a word.

    `firsts` are the places of the first pieces of the words. A word that the tokenizer drops is read as [UNK].
    """
    ids, features = reading.label_ids(cfg), []
    for number, one in enumerate(examples):
        pieces = [tokenizer.encode_ids(word)[: length - 2] or [tokenizer.unk_token_id] for word in one["words"]]
        tags = None
        if "tags" in one:
            places = one.get("places", [one["where"]] * len(pieces))
            tags = [reading.label_id(tag, ids, where) for tag, where in zip(one["tags"], places)]
        for start, end in _parts([len(word) for word in pieces], length - 2):
            row, firsts = [tokenizer.cls_token_id], []
            for word in pieces[start:end]:
                firsts.append(len(row))
                row += word
            row.append(tokenizer.sep_token_id)
            feature = dict(example=number, input_ids=[row], token_type_ids=[[0] * len(row)], firsts=firsts)
            if tags is not None:
                feature["labels"] = [IGNORED] * len(row)
                for place, tag in zip(firsts, tags[start:end]):
                    feature["labels"][place] = tag
            features.append(feature)
    return features


def _parts(sizes, room):
    """(start, end) of runs of words that fill `room` as far as whole words do."""
    start, filled = 0, 0
    for i, size in enumerate(sizes):
        if filled + size > room:
            yield start, i
            start, filled = i, 0
        filled += size
    yield start, len(sizes)


def decode(examples, features, logits, cfg):
    """words and tags; and the entities, if tags are those of chunks"""
    names = reading.label_names(cfg)
    answers = [dict(words=one["words"], tags=[]) for one in examples]
    for feature, z in zip(features, logits):
        answers[feature["example"]]["tags"] += [names[i] for i in z[feature["firsts"]].argmax(-1).tolist()]
    if metrics.marks_entities(names.values()):
        for answer in answers:
            answer["entities"] = [dict(kind=kind, text=" ".join(answer["words"][start:end]), start=start, end=end)
                                  for kind, start, end in metrics.entities(answer["tags"])]
    return answers


def measure(examples, answers, cfg):
    """entity F1, precision and recall, if tags are those of chunks; accuracy, over words"""
    wanted, found = [one["tags"] for one in examples], [answer["tags"] for answer in answers]
    figures = metrics.entity_scores(wanted, found) if metrics.marks_entities(reading.label_ids(cfg)) else {}
    every = [tag for tags in wanted for tag in tags], [tag for tags in found for tag in tags]
    return figures | dict(accuracy=metrics.accuracy(*every))

stack, loss, loss_backward, evaluate, predict = batches.functions(HEAD, encode, decode, measure)
decode_options, check_alike = batches.no_options, batches.any_examples
