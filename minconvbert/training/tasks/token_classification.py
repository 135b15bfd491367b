"""Token classification: a tag for each word.

Files: CoNLL (.conll, .txt: a word and its tag on each line, columns between them; blank lines between sentences),
CoNLL-U (.conllu: the column UPOS, or another), JSON lines ({"words": [...], "tags": [...]}, or as in the data sets of
Hugging Face {"tokens": [...], "ner_tags": [...]}, where a tag may be the number of its label). For prediction the tags
may be missing, and a .txt is plain text with a sentence on each line.

A word is read as its pieces. Its tag is predicted at the first piece; the others are ignored.
"""

import logging
import re
from collections import Counter
from functools import cache
from itertools import chain
from pathlib import Path

from ...losses import IGNORED
from .. import metrics
from . import batches, conll, reading

log = logging.getLogger(__name__)

HEAD = "token_classification"
LENGTH = 128                                           # pieces of a row, as the original
FIELDS = ("text",)
OPTIONS = dict(read=("column",), configure=("labels",))
WORDS, TAGS = ("words", "tokens"), ("tags", "ner_tags", "pos_tags", "labels")     # names in JSON, the first found


def read(path, labelled=True, column="upos"):
    """Sentences of a file.   column: where CoNLL-U has the tags

    Raises ValueError, with the number of the line, for a line that does not fit.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".txt" and not labelled:
        return reading.not_empty(path, list(_plain(path)))
    if suffix in (".conllu", ".conll", ".txt"):
        sentences = _conllu(path, column, labelled) if suffix == ".conllu" else conll.read_sentences(path, labelled)
        return [_sentence(path, rows, labelled) for rows in reading.not_empty(path, sentences)]
    if suffix == ".jsonl":
        return reading.examples(path, example, labelled)
    raise ValueError(f"{path} must be .conllu, .conll, .txt or .jsonl, but its name ends in {suffix or 'nothing'!r}")


def example(entry, where, labelled=True):
    """An example from words, with tags if labelled; or from a text, split at white space and around punctuation."""
    name = next((name for name in WORDS if name in entry), None)
    words = reading.texts(entry, name, where) if name else split_sentence(reading.text(entry, "text", where))
    made = dict(where=where, words=words)
    if labelled:
        name = next((name for name in TAGS if name in entry), TAGS[0])
        made["tags"] = reading.need(entry, name, where)
        if not isinstance(made["tags"], list):
            raise ValueError(f"{where}: {name} must be a list of tags, but is {reading.shown(made['tags'])}")
        if len(made["tags"]) != len(words):
            raise ValueError(f"{where}: there must be a tag for each of the {len(words)} words, but there are"
                             f" {len(made['tags'])}")
        for tag in made["tags"]:
            reading.name_of(tag, where, "tag")
    return made


def split_sentence(text):
    """Words and punctuation marks of a text."""
    return re.findall(r"\w+(?:[-'’]\w+)*|[^\w\s]", text)


def _plain(path):
    for number, line in reading.lines(path):
        if line.strip():
            yield example(dict(text=line), f"{path}, line {number}", labelled=False)


def _sentence(path, rows, labelled):
    numbers, words, tags = map(list, zip(*rows))
    places = [f"{path}, line {number}" for number in numbers]
    return dict(where=places[0], places=places, words=words) | (dict(tags=tags) if labelled else {})


def _conllu(path, column, labelled):
    if column not in conll.CONLLU:
        raise ValueError(f"a column of CoNLL-U must be one of {', '.join(conll.CONLLU)}, but is {column!r}")
    sentences = [[]]
    for number, line in reading.lines(path):
        if not line.strip():
            sentences.append([])
        elif not line.startswith("#"):
            cells = line.split("\t")
            if len(cells) != len(conll.CONLLU):
                raise ValueError(f"{path}, line {number}: there must be {len(conll.CONLLU)} columns with tabs between"
                                 f" them, but there are {len(cells)}: {reading.shown(line)}")
            if re.fullmatch(r"\d+[-.]\d+", cells[0]):  # two words written as one, or a word that is not written
                continue
            word, tag = cells[1], cells[conll.CONLLU.index(column)]
            if not word or labelled and not tag:
                raise ValueError(f"{path}, line {number}: the columns FORM and {column.upper()} must not be empty:"
                                 f" {reading.shown(line)}")
            sentences[-1].append((number, word, tag))
    return [rows for rows in sentences if rows]


def configure(cfg, examples, labels=None):
    """The configuration for the tags of the examples; if they are numbers, for all from 0 to the largest."""
    tags = list(chain.from_iterable(one["tags"] for one in examples))
    if all(isinstance(tag, int) for tag in tags):
        names = labels or [str(i) for i in range(max(tags) + 1)]
    else:
        counts = Counter(str(tag).strip() for tag in tags)
        reading.say_what_is_odd(counts)
        names = labels or reading.in_order(counts)
    if len(names) < 2:
        raise ValueError(f"there must be at least two tags to tell apart, but there are only {names}")
    _chunks(tuple(names))
    return reading.named_labels(cfg, names)


def _tags(one, ids):
    """The numbers of a sentence's tags; a tag that is a whole number is taken as such, unless it is also a name."""
    if ids and all(isinstance(tag, int) for tag in one["tags"]):
        _numbers_for_names(tuple(ids))
    numbers = []
    for tag, where in zip(one["tags"], one.get("places", [one["where"]] * len(one["tags"]))):
        if isinstance(tag, int) and str(tag) not in ids and 0 <= tag < len(ids):
            numbers.append(tag)
        else:
            numbers.append(reading.label_id(str(tag).strip(), ids, where))
    return numbers


@cache                                                 # so that the warning comes once
def _numbers_for_names(names):
    if names != tuple(map(str, range(len(names)))):
        log.warning("the tags are numbers, which are read as those of the model's labels: %s",
                    ", ".join(f"{i} is {name}" for i, name in enumerate(names[:12])))


@cache
def _chunks(names):
    """name -> chunk tag, as `metrics.entities` reads it; {} for other tags, with a warning if there is an O"""
    chunks = metrics.chunk_tags(names)
    if not chunks and "O" in names:
        log.warning("there is no F1 of entities, because the tags are not all chunk tags, such as O and B-PER, in one"
                    " form: %s", ", ".join(names[:12]))
    return chunks


def encode(examples, tokenizer, cfg, length):
    """A row for each sentence; a longer one is read in parts, which begin and end with a word.

    `firsts` are the places of the first pieces of the words. A word that the tokenizer drops is read as [UNK].
    """
    ids, features = reading.label_ids(cfg), []
    for number, one in enumerate(examples):
        pieces = [tokenizer.encode_ids(word)[: length - 2] or [tokenizer.unk_token_id] for word in one["words"]]
        tags = None
        if "tags" in one:
            tags = _tags(one, ids)
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
    """Yields (start, end) of runs of words, each as long as `room` allows."""
    start, filled = 0, 0
    for i, size in enumerate(sizes):
        if filled + size > room:
            yield start, i
            start, filled = i, 0
        filled += size
    yield start, len(sizes)


def decode(examples, features, logits, cfg):
    """-> answers: words, tags and, if the tags are chunk tags, entities"""
    names = reading.label_names(cfg)
    answers = [dict(words=one["words"], tags=[]) for one in examples]
    for feature, z in zip(features, logits):
        answers[feature["example"]]["tags"] += [names[i] for i in z[feature["firsts"]].argmax(-1).tolist()]
    chunks = _chunks(tuple(names.values()))
    if chunks:
        for answer in answers:
            answer["entities"] = [dict(kind=kind, text=" ".join(answer["words"][start:end]), start=start, end=end)
                                  for kind, start, end in metrics.entities([chunks[tag] for tag in answer["tags"]])]
    return answers


def measure(examples, answers, cfg):
    """F1, precision and recall of entities, if the tags are chunk tags; accuracy over words"""
    ids, names = reading.label_ids(cfg), reading.label_names(cfg)
    wanted = [[names[i] for i in _tags(one, ids)] for one in examples]
    found = [answer["tags"] for answer in answers]
    chunks = _chunks(tuple(ids))
    as_chunks = lambda sentences: [[chunks[tag] for tag in tags] for tags in sentences]
    figures = metrics.entity_scores(as_chunks(wanted), as_chunks(found)) if chunks else {}
    every = [tag for tags in wanted for tag in tags], [tag for tags in found for tag in tags]
    return figures | dict(accuracy=metrics.accuracy(*every))


stack, loss, loss_backward, evaluate, predict = batches.functions(HEAD, encode, decode, measure)
decode_options, check_alike = batches.no_options, batches.any_examples
