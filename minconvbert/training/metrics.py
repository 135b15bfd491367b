"""The metrics of fine-tuned models. Each is a share in [0, 1] unless its docstring says something else."""

import math
import re
import string
from collections import Counter

import numpy as np
import regex

# Letters of other schemes -> those of IOBES: L ends a chunk, U and W are a chunk of one word, M is inside one.
LIKE = {"L": "E", "U": "S", "W": "S", "M": "I"}
CHUNK_FORMS = (r"(?P<letter>[BIESLUWM])[-_](?P<kind>.+)", r"(?P<kind>.+)[-_](?P<letter>[BIESLUWM])",
               r"(?P<letter>[BIESLUWM])")


def accuracy(wanted, found):
    """The share of equal pairs.   wanted, found: sequences of the same length"""
    return float(np.mean([a == b for a, b in zip(wanted, found, strict=True)]))


def f1(hits, found, wanted):
    """2 P R / (P + R) from counts: precision P = hits / found, recall R = hits / wanted; 0 where nothing was hit."""
    return 2 * hits / (found + wanted) if hits else 0.0


def macro_f1(wanted, found, labels):
    """The mean over labels of their F1.   wanted, found: a set of labels for each example"""
    scores = []
    for label in labels:
        in_wanted, in_found = ([label in one for one in sets] for sets in (wanted, found))
        scores.append(f1(sum(a and b for a, b in zip(in_wanted, in_found)), sum(in_found), sum(in_wanted)))
    return float(np.mean(scores))


def micro_f1(wanted, found):
    """The F1 of all pairs of example and label together.   wanted, found: a set for each example"""
    hits = sum(len(a & b) for a, b in zip(wanted, found, strict=True))
    return f1(hits, sum(map(len, found)), sum(map(len, wanted)))


def pearson(x, y):
    """How near x and y are to a straight line, from -1 to 1; nan if either is constant."""
    x, y = (np.asarray(v, float) - np.mean(v) for v in (x, y))
    length = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / length if length else math.nan


def spearman(x, y):
    """The Pearson correlation of the ranks, ties sharing their mean rank."""
    return pearson(_ranks(x), _ranks(y))


def _ranks(values):
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def entities(tags):
    """The chunks of a sentence: [(kind, start, end), ...], `end` one past the last word.

    Tags are `O`, or B-, I-, E- or S- and a kind. A chunk goes on from one word to the next if both have the same kind,
    the first has B or I, and the second I or E. So a stray I begins a chunk, as in conlleval.
    """
    found, before, kind_before = [], "O", ""
    for i, tag in enumerate(tags):
        prefix, _, kind = tag.partition("-")
        if prefix != "O":
            if prefix in ("I", "E") and before in ("B", "I") and kind == kind_before:
                found[-1] = (kind, found[-1][1], i + 1)
            else:
                found.append((kind, i, i + 1))
        before, kind_before = prefix, kind
    return found


def chunk_tags(labels):
    """-> {label: its tag as `entities` reads it}; {} if the labels are not chunk tags, so that there are no entities

    Chunk tags are `O` and others in one of the forms B-PER, B_PER, PER-B, PER_B and B, the same for all. Their letters
    are those of IOB, IOBES, BILOU and BMES.
    """
    inside = [label for label in labels if label != "O"]
    for form in CHUNK_FORMS:
        found = [re.fullmatch(form, label) for label in inside]
        if inside and all(found) and ("kind" in form or "B" in inside):
            parts = [match.groupdict() for match in found]
            return {"O": "O"} | {label: f"{LIKE.get(part['letter'], part['letter'])}-{part.get('kind', '_')}"
                                 for label, part in zip(inside, parts)}
    return {}


def entity_scores(wanted, found):
    """Precision, recall and F1 over all chunks; a chunk is right only if its kind, start and end are.

    wanted, found: the tags of each sentence
    """
    pairs = [(set(entities(a)), set(entities(b))) for a, b in zip(wanted, found, strict=True)]
    hits, n_wanted, n_found = (sum(len(one) for one in sets) for sets in zip(*((a & b, a, b) for a, b in pairs)))
    return dict(f1=f1(hits, n_found, n_wanted), precision=hits / n_found if n_found else 0.0,
                recall=hits / n_wanted if n_wanted else 0.0)


def normalize_answer(text):
    """The text in lower case, without punctuation, articles and extra spaces.   Source: SQuAD's evaluate-v2.0.py."""
    text = "".join(char for char in text.lower() if char not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


# Characters of scripts that put no spaces between words: Chinese, Japanese, Thai, Lao, Khmer, Burmese.
UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*")


def spread(text):
    """The text without punctuation, and with spaces around each character of a script that writes none."""
    return UNSPACED.sub(r" \g<0> ", regex.sub(r"\p{P}", "", text))


def exact_match(answer, accepted):
    """1.0 if the normalized answer is an accepted one, else 0.0.   accepted: texts; empty if there is no answer"""
    return max(float(normalize_answer(answer) == normalize_answer(text)) for text in _accepted(accepted))


def answer_f1(answer, accepted):
    """The highest F1 of the normalized answer's words over the accepted texts."""
    return max(_words_f1(answer, text) for text in _accepted(accepted))


def _accepted(texts):
    return [text for text in texts if normalize_answer(text)] or [""]


def _words_f1(answer, text):
    a, b = normalize_answer(answer).split(), normalize_answer(text).split()
    return f1((Counter(a) & Counter(b)).total(), len(a), len(b)) if a and b else float(a == b)


def answer_scores(answers, accepted):
    """Exact match and F1; if only some questions have an answer, also for those with and those without one.

    answers: texts, "" for no answer; accepted: a list of texts for each question, empty where it has no answer
    """
    exact = np.array([exact_match(*pair) for pair in zip(answers, accepted, strict=True)])
    scores = np.array([answer_f1(*pair) for pair in zip(answers, accepted)])
    answerable = np.array([bool(texts) for texts in accepted])
    figures = dict(f1=float(scores.mean()), exact_match=float(exact.mean()))
    if not answerable.all() and answerable.any():
        figures |= dict(answerable_f1=float(scores[answerable].mean()),
                        answerable_exact_match=float(exact[answerable].mean()),
                        unanswerable=float(exact[~answerable].mean()))
    return figures


def best_threshold(answers, margins, accepted):
    """The threshold at which F1 is highest if every answer whose margin is above it becomes ""  ->  threshold, F1

    margins: the score of "no answer" minus that of the answer; inf if the context has no piece.   Source:
    evaluate-v2.0.py, find_best_thresh.
    """
    kept = np.array([answer_f1(*pair) for pair in zip(answers, accepted, strict=True)])
    dropped = np.array([answer_f1("", texts) for texts in accepted])
    order = np.argsort(margins, kind="stable")
    totals = np.concatenate([[0], np.cumsum((kept - dropped)[order])]) + dropped.sum()
    margins = np.asarray(margins, float)[order]
    thresholds = np.concatenate([[math.nextafter(margins[0], -math.inf)], margins])
    # A threshold keeps all answers with equal margins, so among equal margins only the last is a candidate.
    last = np.append(thresholds[1:] != thresholds[:-1], True)
    best = np.flatnonzero(last)[np.argmax(totals[last])]
    return float(thresholds[best]), float(totals[best] / len(answers))


def area_under_curve(scores, labels):
    """The chance that a positive scores above a negative, ties counted as half.   scores, labels (N,)  ->  [0, 1]"""
    order, ranks = np.unique(scores, return_inverse=True)
    counts = np.bincount(ranks)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    positive = int(labels.sum())
    negative = len(labels) - positive
    if not positive or not negative:
        return float("nan")
    return float((mean_rank[ranks][labels == 1].sum() - positive * (positive + 1) / 2) / (positive * negative))
