"""Extractive question answering: the span of a context that answers a question, or none.

Files: SQuAD 1.1 and 2.0 (.json), or JSON lines (.jsonl) of

    {"id": "q1", "question": "Who sang?", "context": "Ann sang.", "answers": [{"text": "Ann", "answer_start": 0}]}

A context longer than the model is read in windows that overlap. The best span of all windows is the answer.
"""

import json
import logging
import math
from pathlib import Path

import numpy as np

from .. import metrics
from . import batches, reading

log = logging.getLogger(__name__)

HEAD = "question_answering"
LENGTH = 512                                           # pieces of a row, as the original
FIELDS = ("question", "context")
OPTIONS = dict(encode=("stride",), decode=("threshold",))
LONGEST_QUESTION, LONGEST_ANSWER = 64, 30              # pieces; Source: configure_finetuning.py of the original


def read(path, labelled=True):
    """Questions of a file of SQuAD, or of JSON lines.

    An answer that is not in the context at its place is left out, and its question, too, if it has no other answer; a
    warning says how many.   Raises ValueError, with the place, if no question is left.
    """
    path = Path(path)
    examples = _squad(path, labelled) if path.suffix.lower() == ".json" else reading.examples(path, example, labelled)
    seen = {}
    for one in examples:
        if one["id"] in seen:
            raise ValueError(f"{one['where']}: an id must occur once, but {one['id']!r} is also the id of"
                             f" {seen[one['id']]}")
        seen[one["id"]] = one["where"]
    return _without_misplaced(path, examples)


def _without_misplaced(path, examples):
    """The examples that still have an answer, or never had one."""
    wrong = [why for one in examples for why in one.get("misplaced", ())]
    kept = [one for one in examples if one.get("answers") or not one.get("misplaced")]
    if not kept:
        raise ValueError(wrong[0])
    if wrong:
        log.warning("%s: %d answers and %d of %d questions are left out; the first: %s", path, len(wrong),
                    len(examples) - len(kept), len(examples), wrong[0])
    return [{name: value for name, value in one.items() if name != "misplaced"} for one in kept]


def _squad(path, labelled):
    text = "\n".join(line for _, line in reading.lines(path))
    try:
        data = reading.parsed(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: the file must be JSON, but {error.msg}; JSON lines are named"
                         " .jsonl") from None
    except ValueError as error:
        raise ValueError(f"{path}: the file must be JSON, but {error}") from None
    examples = []
    for a, article in _items(data, "data", f"{path}: "):
        for b, paragraph in _items(article, "paragraphs", f"{a}."):
            for where, question in _items(paragraph, "qas", f"{b}."):
                entry = question | dict(context=reading.need(paragraph, "context", b))
                examples.append(example(entry, where, labelled))
    return reading.not_empty(path, examples)


def _items(entry, name, where):
    """(place, object) of each object in a list of SQuAD"""
    entry = reading.json_object(entry, where.rstrip(".: "))
    found = reading.need(entry, name, where.rstrip(".: "))
    if not isinstance(found, list):
        raise ValueError(f"{where}{name} must be a list, but is {reading.shown(found)}")
    return [(f"{where}{name}[{i}]", reading.json_object(one, f"{where}{name}[{i}]")) for i, one in enumerate(found)]


def example(entry, where, labelled=True):
    made = dict(where=where, id=str(where if entry.get("id") is None else entry["id"]),
                question=reading.text(entry, "question", where), context=reading.text(entry, "context", where))
    if not labelled:
        return made
    impossible = entry.get("is_impossible") or False
    if not isinstance(impossible, bool):
        raise ValueError(f"{where}: is_impossible must be true or false, but is {reading.shown(impossible)}")
    answers = [] if impossible and not entry.get("answers") else _listed(entry, where)
    empty = [answer for answer in answers if isinstance(answer, dict) and answer.get("text") == ""]
    if impossible and len(empty) < len(answers):
        raise ValueError(f"{where}: a question that is_impossible must have no answers, but has"
                         f" {reading.shown(answers)}")
    if impossible:
        answers = []
    made |= dict(answers=[], misplaced=[])
    for answer in answers:
        text, start, found = _answer(answer, made["context"], where)
        if found == text:
            made["answers"].append((text, start))
        else:
            real = made["context"].find(text)
            hint = f"the answer is at {real}" if real >= 0 else "the answer is not in the context"
            made["misplaced"].append(f"{where}: the context must have the answer {reading.shown(text)} at character"
                                     f" {start}, but has {reading.shown(found)} there; {hint}")
    if not made["misplaced"]:
        del made["misplaced"]
    return made


def _listed(entry, where):
    """The answers as a list; in the data sets of Hugging Face they are {"text": [...], "answer_start": [...]}."""
    answers = reading.need(entry, "answers", where)
    if isinstance(answers, dict):
        columns = [reading.need(answers, name, where) for name in ("text", "answer_start")]
        if not all(isinstance(column, list) for column in columns) or len(columns[0]) != len(columns[1]):
            raise ValueError(f"{where}: answers must be a list of objects, or an object of two lists of one length, but"
                             f" are {reading.shown(answers)}")
        answers = [dict(text=text, answer_start=start) for text, start in zip(*columns)]
    if not isinstance(answers, list):
        raise ValueError(f"{where}: answers must be a list, empty where there is no answer, but is"
                         f" {reading.shown(answers)}")
    return answers


def _answer(answer, context, where):
    """text, start, what the context has at start"""
    answer = reading.json_object(answer, where)
    text, start = reading.text(answer, "text", where), reading.need(answer, "answer_start", where)
    if type(start) is not int or start < 0:
        raise ValueError(f"{where}: answer_start must be the number of a character, but is {reading.shown(start)}")
    return text, start, context[start : start + len(text)]


def configure(cfg, examples):
    return cfg.replace(num_labels=2)


def encode(examples, tokenizer, cfg, length, stride=None):
    """Rows of [CLS] question [SEP] a window of the context [SEP].   stride: pieces that neighbouring windows share

    labels: the pieces where the first answer begins and ends; (0, 0), the [CLS], in a window that does not hold it.
    spans: the characters (start, end) of each piece of the context, None for other pieces. The default stride is a
    third of the length, but at most half of the room beside the question.
    """
    features = []
    for number, one in enumerate(examples):
        question = _cut(one["question"], tokenizer)
        room = length - len(tokenizer.encode_ids(question)) - 3
        if room < 1:
            raise ValueError(f"{one['where']}: beside the question there must be room for the context, but with a"
                             f" length of {length} there is none")
        overlap = min(length // 3, room // 2) if stride is None else stride
        if overlap >= room:
            raise ValueError(f"{one['where']}: the stride must be less than the {room} pieces of a window beside the"
                             f" question, but is {overlap}")
        windows = tokenizer(question, one["context"], truncation="only_second", max_length=length, stride=overlap,
                            return_overflowing_tokens=True, return_offsets_mapping=True)
        parts = [windows.sequence_ids(w) for w in range(len(windows["input_ids"]))]
        spans = [[tuple(span) if part == 1 else None for span, part in zip(*pair)]
                 for pair in zip(windows["offset_mapping"], parts)]
        labels = _places(one["answers"], spans) if "answers" in one else ()
        for w, (ids, types) in enumerate(zip(windows["input_ids"], windows["token_type_ids"])):
            feature = dict(example=number, input_ids=[ids], token_type_ids=[types], spans=spans[w])
            features.append(feature | dict(labels=labels[w]) if labels else feature)
    return features


def _cut(question, tokenizer):
    """The question, cut to its first LONGEST_QUESTION pieces."""
    spans = tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return question if len(spans) <= LONGEST_QUESTION else question[: spans[LONGEST_QUESTION - 1][1]]


def _places(answers, windows):
    """(first, last) piece of the first answer in each window, or (0, 0) if the window does not hold all of it"""
    text, start = answers[0] if answers else ("", 0)
    end = start + len(text)
    of_answer = [span for spans in windows for span in spans if span and span[0] < end and span[1] > start]
    if not of_answer:
        return [(0, 0)] * len(windows)
    first, last = min(of_answer), max(of_answer)
    return [(spans.index(first), len(spans) - 1 - spans[::-1].index(last)) if {first, last} <= set(spans) else (0, 0)
            for spans in windows]


def best_span(logits, spans, longest=LONGEST_ANSWER):
    """The span of the context with the highest sum of start and end logit  ->  score, first piece, last piece

    logits (L, 2); spans: None where a piece is not of the context; longest: most pieces of an answer. All spans are
    tried; the original tries pairs of the 20 best starts and ends.
    """
    context = np.array([span is not None for span in spans])
    start, end = (np.where(context, logits[:, i].astype(float), -math.inf) for i in range(2))
    scores = start[:, None] + end[None, :]
    i = np.arange(len(spans))
    distance = i[None, :] - i[:, None]
    scores[(distance < 0) | (distance >= longest)] = -math.inf
    first, last = np.unravel_index(scores.argmax(), scores.shape)
    return float(scores[first, last]), int(first), int(last)


def decode(examples, features, logits, cfg, threshold=None):
    """-> answers: id; answer; start, its place in the context; span; margin, the score of no answer minus its score

    The score of no answer is the lowest of all windows at [CLS]. Where the margin is above the threshold, `answer` is
    "" and `start` None; `span` is the text that was best all the same. Without a threshold there is always an answer.
    A context without pieces has no answer and an infinite margin, which JSON writes as null.
    """
    best = [(-math.inf, "", None)] * len(examples)     # score, text, start
    none = [math.inf] * len(examples)
    for feature, z in zip(features, logits):
        number, spans = feature["example"], feature["spans"]
        none[number] = min(none[number], float(z[0, 0]) + float(z[0, 1]))
        score, first, last = best_span(z, spans)
        if score > best[number][0]:
            start, end = spans[first][0], spans[last][1]
            best[number] = score, examples[number]["context"][start:end], start
    answers = []
    for one, (score, span, start), no_answer in zip(examples, best, none):
        margin = no_answer - score
        if threshold is not None and margin > threshold:
            answers.append(dict(id=one["id"], answer="", start=None, span=span, margin=margin))
        else:
            answers.append(dict(id=one["id"], answer=span, start=start, span=span, margin=margin))
    return answers


def measure(examples, answers, cfg):
    """F1 and exact match, as SQuAD's script for version 2.0 counts them.

    If there are questions without an answer, they are also counted apart, and `best_threshold` gives the highest F1,
    `best_f1`. The script for version 1.1 counts the same, except where an accepted answer is nothing but articles and
    punctuation.

    These scripts take the words between spaces. If accepted answers are in scripts without spaces, `unspaced_f1` and
    `unspaced_exact_match` take each of their characters as a word, as MLQA does for Chinese and Thai.
    """
    accepted = [[text for text, _ in one["answers"]] for one in examples]
    figures = metrics.answer_scores([answer["answer"] for answer in answers], accepted)
    if any(metrics.UNSPACED.search(text) for texts in accepted for text in texts):
        unspaced = metrics.answer_scores([metrics.spread(answer["answer"]) for answer in answers],
                                         [[metrics.spread(text) for text in texts] for texts in accepted])
        figures |= {f"unspaced_{name}": unspaced[name] for name in ("f1", "exact_match")}
    if all(accepted):
        return figures
    threshold, best = metrics.best_threshold(
        [answer["span"] for answer in answers], [answer["margin"] for answer in answers], accepted)
    return figures | dict(best_f1=best, best_threshold=threshold)


def decode_options(examples):
    """The threshold is 0 if some of the examples have no answer; if all have one, there is none."""
    return dict(threshold=None if all(one["answers"] for one in examples) else 0.0)


stack, loss, loss_backward, evaluate, predict = batches.functions(HEAD, encode, decode, measure)
check_alike = batches.any_examples
