import math
import re
import string
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minconvbert.training import metrics

TAGS = ["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in ("PER", "LOC", "a-b"))]


def conlleval_chunks(tags):
    """The two tables of conlleval.pl, startOfChunk and endOfChunk, extended by S as usual."""
    def ends(before, tag, kind_before, kind):
        return (before in ("E", "S") or before in ("B", "I") and tag in ("B", "S", "O")
                or before != "O" and kind_before != kind)

    def starts(before, tag, kind_before, kind):
        return (tag in ("B", "S") or before in ("E", "S", "O") and tag in ("E", "I")
                or tag != "O" and kind_before != kind)

    chunks, begun, before, kind_before = [], None, "O", ""
    for i, tag in enumerate([*tags, "O"]):
        tag, _, kind = tag.partition("-")
        if before != "O" and ends(before, tag, kind_before, kind):
            chunks.append((kind_before, begun, i))
        if tag != "O" and starts(before, tag, kind_before, kind):
            begun = i
        before, kind_before = tag, kind
    return chunks


@settings(deadline=None)
@given(st.lists(st.sampled_from(TAGS), max_size=12))
def test_entities_are_those_of_conlleval(tags):
    assert metrics.entities(tags) == conlleval_chunks(tags)


def test_entities_of_an_io_file():
    assert metrics.entities("I-PER I-PER I-LOC O I-LOC".split()) == [("PER", 0, 2), ("LOC", 2, 3), ("LOC", 4, 5)]


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), max_size=8), min_size=1, max_size=5))
def test_entity_scores_count_whole_chunks(pairs):
    wanted, found = ([[pair[i] for pair in sentence] for sentence in pairs] for i in range(2))
    numbered = [{(n, *chunk) for n, tags in enumerate(sentences) for chunk in conlleval_chunks(tags)}
                for sentences in (wanted, found)]
    hits = len(numbered[0] & numbered[1])
    scores = metrics.entity_scores(wanted, found)
    precision = hits / len(numbered[1]) if numbered[1] else 0
    recall = hits / len(numbered[0]) if numbered[0] else 0
    assert scores["precision"] == precision and scores["recall"] == recall
    assert scores["f1"] == pytest.approx(2 * precision * recall / (precision + recall) if hits else 0)


FORMS = {"B-PER": "{0}-{1}", "B_PER": "{0}_{1}", "PER-B": "{1}-{0}", "PER_B": "{1}_{0}"}
SCHEMES = {"IOBES": "BIES", "BILOU": "BILU", "BMES": "BMES", "BMEW": "BMEW", "IOB": "BI"}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_chunk_tags_of_every_scheme_and_form(form, scheme):
    """Words that begin, continue, end or are a whole chunk, whatever the letters are and wherever they stand."""
    letters = dict(zip("BIES" if len(SCHEMES[scheme]) == 4 else "BI", SCHEMES[scheme]))
    tags = [f"{letter}-{kind}" for letter in letters for kind in ("PER", "a-b")]
    written = ["O", *(FORMS[form].format(letters[tag[0]], tag[2:]) for tag in tags)]
    assert metrics.chunk_tags(written) == dict(zip(written, ["O", *tags]))


def test_which_labels_are_chunk_tags():
    assert metrics.chunk_tags(["B", "I", "O"]) == {"B": "B-_", "I": "I-_", "O": "O"}
    assert metrics.chunk_tags(list("BMES"))["M"] == "I-_"
    for labels in (["NOUN", "VERB"], ["O", "NOUN"], ["O"], ["O", "B-PER", "domain=en"], ["O", "B-PER", "PER-I"], [],
                   ["I", "O"], ["b-per", "O"]):
        assert metrics.chunk_tags(labels) == {}


# evaluate-v2.0.py of SQuAD, restated from what it says it does.
def official_words(text):
    text = text.lower()
    text = "".join(c for c in text if c not in set(string.punctuation))
    return re.sub(re.compile(r"\b(a|an|the)\b", re.UNICODE), " ", text).split()


def official_f1(gold, answer):
    gold, answer = official_words(gold), official_words(answer)
    same = sum((Counter(gold) & Counter(answer)).values())
    if not gold or not answer:
        return float(gold == answer)
    if same == 0:
        return 0.0
    precision, recall = same / len(answer), same / len(gold)
    return 2 * precision * recall / (precision + recall)


def official_scores(answer, accepted):
    gold = [text for text in accepted if " ".join(official_words(text))] or [""]
    exact = max(int(" ".join(official_words(text)) == " ".join(official_words(answer))) for text in gold)
    return exact, max(official_f1(text, answer) for text in gold)


ANSWERS = st.lists(st.sampled_from(["the", "A", "an", "cat", "Cat,", "dog", "dog's", "-", "U.S.", "É", "two"]),
                   max_size=5).map(" ".join)


@settings(deadline=None)
@given(ANSWERS, st.lists(ANSWERS, max_size=3))
def test_answers_count_as_in_the_official_script(answer, accepted):
    exact, f1 = official_scores(answer, accepted)
    assert metrics.exact_match(answer, accepted) == exact
    assert metrics.answer_f1(answer, accepted) == pytest.approx(f1, rel=1e-12)


def test_scores_of_a_set_of_questions():
    scores = metrics.answer_scores(["the Cat!", "a red dog", "", "bird"], [["cat", "mouse"], ["dog"], [], []])
    assert scores == dict(f1=pytest.approx((1 + 2 / 3 + 1 + 0) / 4), exact_match=0.5, answerable_exact_match=0.5,
                          answerable_f1=pytest.approx((1 + 2 / 3) / 2), unanswerable=0.5)
    assert set(metrics.answer_scores(["x"], [["x"]])) == {"f1", "exact_match"}


@settings(deadline=None)
@given(st.lists(st.tuples(ANSWERS, st.integers(-3, 3), st.lists(ANSWERS, max_size=1)), min_size=1, max_size=8))
def test_the_best_threshold(rows):
    answers, margins, accepted = map(list, zip(*rows))
    threshold, best = metrics.best_threshold(answers, margins, accepted)
    assert math.isfinite(threshold)

    def f1_at(limit):
        return np.mean([metrics.answer_f1("" if margin > limit else answer, texts)
                        for answer, margin, texts in rows])

    assert best == pytest.approx(f1_at(threshold), abs=1e-12)
    assert best == pytest.approx(max(f1_at(limit) for limit in [-math.inf, *margins]), abs=1e-12)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=20))
def test_correlations_and_classes(pairs):
    x, y = np.array(pairs, float).T
    if x.std() == 0 or y.std() == 0:
        assert math.isnan(metrics.pearson(x, y))
    else:
        assert metrics.pearson(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-12)
        rank = [np.array([(v < a).sum() + (v == a).sum() / 2 for a in v]) for v in (x, y)]
        assert metrics.spearman(x, y) == pytest.approx(np.corrcoef(*rank)[0, 1], abs=1e-12)
    assert metrics.accuracy(x, y) == np.mean(x == y)
    scores = []
    for label in range(4):
        hit, found, wanted = ((x == label) & (y == label)).sum(), (y == label).sum(), (x == label).sum()
        scores.append(2 * hit / (found + wanted) if hit else 0)
    assert metrics.macro_f1([{a} for a in x], [{b} for b in y], range(4)) == pytest.approx(np.mean(scores))


def test_several_labels():
    wanted, found = [{"a", "b"}, set(), {"c"}], [{"a"}, {"c"}, {"c"}]
    assert metrics.micro_f1(wanted, found) == pytest.approx(2 * 2 / (3 + 3))
    assert metrics.micro_f1([set()], [set()]) == 0


@pytest.mark.parametrize("text, words", (
    ("北京。大学", "北 京 大 学"), ("カタかな", "カ タ か な"), ("แมวดี", "แ ม ว ดี"), ("ແມວ", "ແ ມ ວ"), ("ឆ្មា", "ឆ្ មា"),
    ("ကြောင်", "ကြော င်"), ("two cats, 3 dogs!", "two cats 3 dogs"), ("한국 кот", "한국 кот")))
def test_characters_of_scripts_without_spaces_are_words_with_their_marks(text, words):
    """Hangul, Latin and Cyrillic have spaces; a mark belongs to the character before it."""
    assert metrics.spread(text).split() == words.split()
