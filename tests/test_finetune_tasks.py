"""What the model reads of an example, and what its logits say: features, windows, spans, batches."""

import logging

import numpy as np
import pytest
from finetune_material import SIZES, strong_params, tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from minconvbert.config import ConvBertConfig
from minconvbert.heads import task_model
from minconvbert.inputs import model_inputs
from minconvbert.training import tasks
from minconvbert.training.tasks import batches
from minconvbert.training.tasks.question_answering import best_span

text, tokens, questions, choice, words = (tasks.get(name) for name in tasks.TASKS)
TOKENIZER = tokenizer()
CFG = ConvBertConfig(**SIZES)
SPECIAL = dict(cls=2, sep=3, unk=1, mask=4)


def tagged(cfg=CFG, names=("O", "B-who")):
    return cfg.replace(num_labels=len(names), id2label=dict(enumerate(names)))


def test_pairs_of_texts_and_long_ones(caplog):
    examples = [dict(where="", text="the cat", text_pair="sits"), dict(where="", text="cat " * 60)]
    cfg = CFG.replace(num_labels=2)
    with caplog.at_level(logging.WARNING):
        features = text.encode(examples, TOKENIZER, cfg, 20)
    assert features[0]["input_ids"] == [TOKENIZER.encode("the cat", "sits")]
    assert features[0]["token_type_ids"] == [[0, 0, 0, 0, 1, 1]]
    assert len(features[1]["input_ids"][0]) == 20 and "labels" not in features[0]
    assert "1 of 2 texts are longer than 20 pieces and were cut" in caplog.text


def test_labels_of_texts():
    def encoded(labels, problem):
        examples = [dict(where="", text="cat", label=label) for label in labels]
        cfg = text.configure(CFG, examples, problem)
        return [feature["labels"] for feature in text.encode(examples, TOKENIZER, cfg, 9)]

    assert encoded(["b", "a"], None) == [1, 0]
    assert encoded([2, 2.5], "regression") == [2.0, 2.5]
    assert np.array_equal(encoded([["b"], ["a", "b"], []], None), [[0, 1], [1, 1], [0, 0]])


def test_answers_of_texts():
    z = [np.array([0.0, 2.0]), np.array([1.0, -3.0])]
    single = text.decode([], [], z, CFG.replace(num_labels=2, id2label={0: "a", 1: "b"}))
    assert [answer["label"] for answer in single] == ["b", "a"]
    assert single[0]["probability"] == pytest.approx(1 / (1 + np.exp(-2)))
    cfg = CFG.replace(num_labels=2, id2label={0: "a", 1: "b"}, problem_type="multi_label_classification")
    several = text.decode([], [], z, cfg)
    assert [answer["labels"] for answer in several] == [["b"], ["a"]]
    assert several[1]["probabilities"]["b"] == pytest.approx(1 / (1 + np.exp(3)))
    assert text.decode([], [], [np.array([2.5])], CFG.replace(num_labels=1, problem_type="regression")) == [dict(value=2.5)]


def test_only_first_pieces_have_tags():
    example = dict(where="", words=["the", "catsits", "", "ann"], tags=["O", "B-who", "O", "B-who"])
    feature, = tokens.encode([example], TOKENIZER, tagged(), 30)
    expected = TOKENIZER(example["words"], is_split_into_words=True)["input_ids"]
    unk = feature["firsts"][2]                          # the tokenizer drops an empty word; here it is [UNK]
    assert feature["input_ids"][0] == [*expected[:unk], SPECIAL["unk"], *expected[unk:]]
    seen = [(i, label) for i, label in enumerate(feature["labels"]) if label != -100]
    assert seen == list(zip(feature["firsts"], [0, 1, 0, 1]))
    assert TOKENIZER.convert_ids_to_tokens([feature["input_ids"][0][i] for i in feature["firsts"]]) == [
        "the", "cat", "[UNK]", "ann"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(["cat", "catsits", "zzzz", "", "z" * 30]), min_size=1, max_size=30), st.integers(8, 20))
def test_long_sentences_are_read_in_parts(sentence, length):
    tags = [("O", "B-who")[i % 2] for i in range(len(sentence))]
    features = tokens.encode([dict(where="", words=sentence, tags=tags)], TOKENIZER, tagged(), length)
    assert all(len(feature["input_ids"][0]) <= length for feature in features)
    labels = [label for feature in features for label in feature["labels"] if label != -100]
    assert labels == [i % 2 for i in range(len(sentence))]
    logits = [np.eye(2)[np.maximum(feature["labels"], 0)] for feature in features]
    answer, = tokens.decode([dict(words=sentence)], features, logits, tagged())
    assert answer["tags"] == tags


def test_unknown_tags_are_told_with_their_line():
    example = dict(where="a.conll, line 4", places=["a.conll, line 4", "a.conll, line 5"], words=["the", "cat"], tags=["O", "B-what"])
    with pytest.raises(ValueError, match="a.conll, line 5: a label must be one of 'O', 'B-who', but is 'B-what'"):
        tokens.encode([example], TOKENIZER, tagged(), 9)


def test_entities_of_an_answer():
    feature = dict(example=0, firsts=[1, 2, 3])
    answer, = tokens.decode([dict(words=["the", "cat", "sits"])], [feature], [np.eye(2)[[0, 0, 1, 0, 0]]], tagged())
    assert answer["entities"] == [dict(kind="who", text="cat", start=1, end=2)]


@settings(deadline=None)
@given(st.data())
def test_windows_cover_the_context_and_labels_point_at_the_answer(data):
    context = " ".join(data.draw(st.lists(st.sampled_from(
        ["Cat", "dög", "zz", "the,", "red.", "\u00a0house", "日本", "\u0301x"]), min_size=1, max_size=40)))
    start = data.draw(st.integers(0, len(context) - 1))
    answer = context[start : start + data.draw(st.integers(1, 12))]
    if not answer.strip():
        return
    length, stride = data.draw(st.integers(10, 24)), data.draw(st.sampled_from([None, 0, 2]))
    example = dict(where="", id="1", question="who", context=context, answers=[(answer, start), (context[-1], len(context) - 1)])
    features = questions.encode([example], TOKENIZER, CFG, length, stride)
    covered = sorted({span for feature in features for span in feature["spans"] if span})
    whole = TOKENIZER(context, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    assert covered == sorted(set(map(tuple, whole)))
    pieces = [span for span in whole if span[0] < start + len(answer) and span[1] > start]
    for feature in features:
        row, spans = feature["input_ids"][0], feature["spans"]
        assert len(row) <= length and len(spans) == len(row)
        first, last = feature["labels"]
        if (first, last) != (0, 0):
            assert spans[first] == tuple(pieces[0]) and spans[last] == tuple(pieces[-1])
    if 0 < len(pieces) <= (stride or 0) + 1:            # no longer than the overlap, so some window has all of it
        assert any(feature["labels"] != (0, 0) for feature in features)


def test_long_questions_and_no_room():
    example = dict(where="q.jsonl, line 3", id="1", question="who " * 90, context="the cat " * 30, answers=[])
    feature, *_ = questions.encode([example], TOKENIZER, CFG, 80)
    assert feature["input_ids"][0].index(SPECIAL["sep"]) == 1 + 64
    with pytest.raises(ValueError, match="line 3: beside the question there must be room for the context, but with a length"):
        questions.encode([example], TOKENIZER, CFG, 40)
    with pytest.raises(ValueError, match="line 3: the stride must be less than the 13 pieces.* but is 13"):
        questions.encode([example], TOKENIZER, CFG, 80, 13)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_the_best_span_is_the_best_of_all(seed, longest):
    rng = np.random.default_rng(seed)
    spans = [None, None, *[(i, i + 1) for i in range(8)], None]
    logits = rng.normal(size=(len(spans), 2))
    pairs = [(i, j) for i in range(2, 10) for j in range(i, min(i + longest, 10))]
    best = max(pairs, key=lambda pair: logits[pair[0], 0] + logits[pair[1], 1])
    score, *found = best_span(logits, spans, longest)
    assert tuple(found) == best and score == pytest.approx(logits[best[0], 0] + logits[best[1], 1])


def test_the_best_window_answers_and_the_lowest_score_of_none_counts():
    example = dict(where="", id="7", question="who", context="Cat dog", answers=[("dog", 4)])
    features = [dict(example=0, spans=[None, (0, 3), (4, 7)]), dict(example=0, spans=[None, (4, 7)])]
    logits = [np.array([[0.5, 1.5], [2, 0], [0, 3]]), np.array([[2.0, 1], [4, 4]])]
    wanted = dict(id="7", answer="dog", start=4, span="dog", margin=2.0 - 8.0)
    assert questions.decode([example], features, logits, CFG) == [wanted]
    assert questions.decode([example], features, logits, CFG, threshold=-6.0) == [wanted]
    assert questions.decode([example], features, logits, CFG, threshold=-6.5) == [wanted | dict(answer="", start=None)]
    figures = questions.measure([example, dict(answers=[])], [wanted, wanted | dict(margin=-1.0)], CFG)
    assert figures == dict(f1=0.5, exact_match=0.5, answerable_f1=1.0, answerable_exact_match=1.0, unanswerable=0.0,
                           best_f1=1.0, best_threshold=-6.0)
    silent = [one | dict(answer="", start=None) for one in (wanted, wanted | dict(margin=-1.0))]
    figures = questions.measure([example, dict(answers=[])], silent, CFG)      # a threshold is best for all spans
    assert (figures["f1"], figures["best_f1"], figures["best_threshold"]) == (0.5, 1.0, -6.0)


def test_choices_are_rows():
    example = dict(where="", context="the cat", choices=["sits", "runs in"], label=1)
    feature, = choice.encode([example], TOKENIZER, CFG, 20)
    assert feature["input_ids"] == [TOKENIZER.encode("the cat", other) for other in example["choices"]]
    assert feature["labels"] == 1
    assert choice.decode([example], [feature], [np.array([1.0, 3.0])], CFG)[0]["choice"] == "runs in"
    assert choice.configure(CFG, [example]).summary_type == "first"
    assert choice.configure(CFG, [example], summary="last").summary_type == "last"


def test_documents_are_cut_into_rows_and_words_hidden():
    features = words.encode([dict(text="the cat sits in the house"), dict(text="a")], TOKENIZER, CFG, 6)
    assert [len(feature["input_ids"][0]) for feature in features] == [6, 4, 3]
    batch, again, other = (words.stack(features * 9, CFG, draw) for draw in ((1, 2, range(27)), (1, 2, range(27)), (1, 3, range(27))))
    assert np.array_equal(batch["inputs"]["masked_ids"], again["inputs"]["masked_ids"])
    assert not np.array_equal(batch["inputs"]["masked_ids"], other["inputs"]["masked_ids"])
    changed = batch["inputs"]["masked_ids"] != batch["inputs"]["input_ids"]
    assert changed.any() and (batch["inputs"]["masked_ids"][changed] == SPECIAL["mask"]).all()
    assert batch["count"] == len(batch["places"]["labels"]) == 27


def test_batches_hold_everything_once_and_are_of_one_length():
    features = [dict(input_ids=[[0] * n]) for n in np.random.default_rng(0).integers(3, 100, 1000)]
    found = batches.by_length(features, 8, np.random.default_rng(1))
    assert sorted(i for batch in found for i in batch) == list(range(1000))
    assert found == batches.by_length(features, 8, np.random.default_rng(1))
    assert found != batches.by_length(features, 8, np.random.default_rng(2))
    lengths = [[len(features[i]["input_ids"][0]) for i in batch] for batch in found]
    padding = sum(max(batch) * len(batch) - sum(batch) for batch in lengths) / sum(map(sum, lengths))
    assert padding < 0.1                                # a random order would pad 0.8
    assert np.corrcoef([np.mean(batch) for batch in lengths], np.arange(len(found)))[0, 1] < 0.3


def test_padding():
    features = [dict(input_ids=[[2, 5, 3]], token_type_ids=[[0, 0, 1]], labels=[-100, 1, -100]),
                dict(input_ids=[[2, 5, 6, 3]], token_type_ids=[[0, 0, 1, 1]], labels=[-100, 0, 1, -100])]
    batch = batches.stack(features, CFG)
    assert batch["inputs"]["input_ids"].tolist() == [[2, 5, 3, 0], [2, 5, 6, 3]]
    assert batch["inputs"]["attention_mask"].tolist() == [[1, 1, 1, 0], [1] * 4]
    assert batch["inputs"]["token_type_ids"].tolist() == [[0, 0, 1, 0], [0, 0, 1, 1]]
    assert batch["labels"].tolist() == [[-100, 1, -100, -100], [-100, 0, 1, -100]]
    assert batch["count"] == 3


@pytest.mark.parametrize("head", ["token_classification", "multiple_choice"])
def test_reading_many_gives_what_each_gives_alone(head, monkeypatch):
    monkeypatch.setattr(batches, "TOKENS", 20)
    rng, n = np.random.default_rng(0), 3 if head == "multiple_choice" else 1
    cfg = CFG.replace(num_labels=4)
    params = strong_params(cfg, head)
    rows = [[rng.integers(5, 60, rng.integers(3, 9)).tolist() for _ in range(n)] for _ in range(9)]
    features = [dict(input_ids=some, token_type_ids=[[0] * len(row) for row in some]) for some in rows]
    for some, z in zip(rows, batches.read_all(head, features, params, cfg)):
        alone = [task_model(head, model_inputs(cfg, np.array([row])), params, cfg)[0][0] for row in some]
        np.testing.assert_allclose(z, alone if n > 1 else alone[0], rtol=1e-12)


def test_tags_may_be_numbers_or_names_or_both():
    def named(*tags):
        return list(tokens.configure(CFG, [dict(where="", tags=list(tags))]).id2label.values())

    assert named(2, 0) == ["0", "1", "2"] and named("O", 7, " B ") == ["7", "B", "O"]
