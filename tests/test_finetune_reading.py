"""The files of the five tasks: what is read, and what is said of those that are wrong."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minconvbert.config import ConvBertConfig
from minconvbert.training import tasks
from minconvbert.training.tasks import reading

text, tokens, questions, choice, words = (tasks.get(name) for name in tasks.TASKS)


@pytest.fixture
def file(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path
    return write


def lines(*entries):
    return "".join(json.dumps(entry) + "\n" for entry in entries)


def without_where(examples):
    return [{name: value for name, value in one.items() if name not in ("where", "places")} for one in examples]


def test_texts_in_lines_and_tables(file):
    wanted = [dict(text='say "hi", he said', text_pair="b\tc", label="x"), dict(text="d\ne", text_pair="f", label="y")]
    assert without_where(text.read(file("a.jsonl", lines(*wanted) + "\n\n"))) == wanted
    table = 'label,text,text_pair\r\nx,"say ""hi"", he said","b\tc"\r\n\r\ny,"d\ne",f\r\n'
    found = text.read(file("a.csv", b"\xef\xbb\xbf" + table.encode()))
    assert without_where(found) == wanted
    assert [one["where"].rpartition(", ")[2] for one in found] == ["line 2", "line 4"]
    assert without_where(text.read(file("a.tsv", 'text\tlabel\n"half a quote\tx\n'))) == [
        dict(text='"half a quote', label="x")]
    assert without_where(text.read(file("b.jsonl", lines(dict(text="a"))), labelled=False)) == [dict(text="a")]


@settings(deadline=None)
@given(st.lists(st.fixed_dictionaries(dict(text=st.text(min_size=1).filter(str.strip), label=st.text(min_size=1))),
                min_size=1, max_size=4))
def test_any_text_comes_back(tmp_path_factory, entries):
    path = tmp_path_factory.mktemp("texts") / "a.jsonl"
    for escaped in (True, False):
        path.write_bytes("".join(json.dumps(entry, ensure_ascii=escaped) + "\n" for entry in entries).encode(
            "utf-8", "surrogatepass"))
        if escaped or not any(0xD800 <= ord(c) <= 0xDFFF for entry in entries for v in entry.values() for c in v):
            assert without_where(text.read(path)) == entries


def test_conll(file):
    found = tokens.read(file("a.conll", "-DOCSTART- -X- O\n\nAnn NNP B-PER\nruns VBZ O\n \n\nBob NNP B-PER\n"))
    assert without_where(found) == [dict(words=["Ann", "runs"], tags=["B-PER", "O"]), dict(words=["Bob"], tags=["B-PER"])]
    assert [place.rpartition(" ")[2] for one in found for place in one["places"]] == ["3", "4", "7"]
    assert tokens.read(file("b.conll", "10\u00a0000\tO\n"))[0]["words"] == ["10\u00a0000"]
    for end in ("\r", "\r\n"):
        assert without_where(tokens.read(file("c.conll", f"Ann B-PER{end}{end}Bob O{end}"))) == [
            dict(words=["Ann"], tags=["B-PER"]), dict(words=["Bob"], tags=["O"])]


def test_words_without_tags(file):
    unlabelled = [dict(words=["Ann", "runs"]), dict(words=["Bob"])]
    for content in ("Ann\nruns\n\nBob\n", "Ann NNP B-PER\nruns VBZ O\n\nBob NNP B-PER\n"):
        assert without_where(tokens.read(file("a.conll", content), labelled=False)) == unlabelled
    row = "1\t{}" + "\t_" * 8 + "\n"
    content = row.format("Ann") + row.format("runs") + "\n" + row.format("Bob")
    assert without_where(tokens.read(file("a.conllu", content), labelled=False)) == unlabelled


def test_conllu(file):
    def row(i, form, upos, xpos):
        return "\t".join([i, form, "_", upos, xpos, "_", "_", "_", "_", "_"])

    content = "\n".join([
        "# text = don't go", row("1-2", "don't", "_", "_"), row("1", "do", "AUX", "VB"), row("2", "n't", "PART", "RB"),
        row("2.1", "you", "PRON", "PRP"), row("3", "go", "VERB", "VB"), "", "# text = a b", row("1", "a b", "NOUN", "NN"), ""])
    path = file("a.conllu", content)
    assert without_where(tokens.read(path)) == [
        dict(words=["do", "n't", "go"], tags=["AUX", "PART", "VERB"]), dict(words=["a b"], tags=["NOUN"])]
    assert tokens.read(path, column="xpos")[0]["tags"] == ["VB", "RB", "VB"]
    with pytest.raises(ValueError, match="column of CoNLL-U must be one of id, form.*but is 'pos'"):
        tokens.read(path, column="pos")


def test_words_of_a_text(file):
    assert tokens.split_sentence("Ann's well-known (old) friend, 42.5?") == [
        "Ann's", "well-known", "(", "old", ")", "friend", ",", "42", ".", "5", "?"]
    assert without_where(tokens.read(file("a.txt", "Ann runs.\n\nBob\n"), labelled=False)) == [
        dict(words=["Ann", "runs", "."]), dict(words=["Bob"])]


SQUAD = {"version": "2.0", "data": [{"title": "t", "paragraphs": [{"context": "Ann sang. Bob ran.", "qas": [
    {"id": "1", "question": "Who sang?", "is_impossible": False, "answers": [
        {"text": "Ann", "answer_start": 0}, {"text": "Ann sang", "answer_start": 0}]},
    {"id": "2", "question": "Who sat?", "is_impossible": True, "answers": [],
     "plausible_answers": [{"text": "Bob", "answer_start": 10}]}]}]}]}


def test_squad_and_lines_of_it(file):
    wanted = [dict(id="1", question="Who sang?", context="Ann sang. Bob ran.", answers=[("Ann", 0), ("Ann sang", 0)]),
              dict(id="2", question="Who sat?", context="Ann sang. Bob ran.", answers=[])]
    assert without_where(questions.read(file("a.json", json.dumps(SQUAD, indent=1)))) == wanted
    first = dict(wanted[0], answers=dict(text=["Ann", "Ann sang"], answer_start=[0, 0]))
    assert without_where(questions.read(file("a.jsonl", lines(first, wanted[1])))) == wanted
    assert "answers" not in questions.read(file("a.json", json.dumps(SQUAD)), labelled=False)[0]
    places = [one["id"] for one in questions.read(file("b.jsonl", lines(dict(first, id=None), dict(first, id=None))))]
    assert [place.rpartition(", ")[2] for place in places] == ["line 1", "line 2"]


def test_choices(file):
    wanted = [dict(context="a", choices=["b", "c", "d"], label=2), dict(context="e", choices=["f", "g", "h"], label=0)]
    assert without_where(choice.read(file("a.jsonl", lines(*wanted)))) == wanted
    table = "context,choice_1,choice_2,choice_3,label\na,b,c,d,2\ne,f,g,h,0\n"
    assert without_where(choice.read(file("a.csv", table))) == wanted
    names = [f"choice_{i}" for i in (10, 9, 2, 1, 3, 4, 8, 7, 6, 5)]
    table = f"context,label,{','.join(names)}\na,9,{','.join(names)}\n"
    found, = choice.read(file("b.csv", table))
    assert found["choices"] == sorted(names, key=lambda name: int(name[7:]))


def test_documents(file):
    found = words.read(file("a.txt", "one\ntwo\n\n\nthree\n"))
    assert [one["text"] for one in found] == ["one\ntwo", "three"]


def with_answer(**answer):
    return lines(dict(id="1", question="Who?", context="Ann sang.", answers=[dict(dict(text="Ann", answer_start=0), **answer)]))


GOOD = dict(text="a", label="x")
BAD = [
    # files of the wrong kind
    (text, "a.conll", "Ann B-PER\n", r"must be \.jsonl, \.csv, \.tsv, but its name ends in '\.conll'"),
    (text, "a", "x", "name ends in 'nothing'"),
    (text, "a.jsonl", "Ann B-PER\n", r"line 1: there must be one JSON object on each line.* character 1 of 'Ann B-PER'"),
    (text, "a.jsonl", "\n[1]\n", r"line 2: there must be a JSON object, but there is \[1\]"),
    (text, "a.jsonl", lines(dict(question="q", context="c")), "line 1: there must be 'text', but there is only 'question'"),
    (text, "a.jsonl", lines(GOOD).encode() + b"\xff\xfe\n", "line 2: the file must be UTF-8 text"),
    (text, "a.jsonl", "", "must hold at least one example"),
    (text, "a.csv", "text,label\n", "must hold at least one example"),
    (text, "a.csv", 'text,label\na,x\n"b,x\n', "line 3: there must be a row of a table, but unexpected end of data"),
    (text, "a.csv", "text,label\na,x\nb\n", r"line 3: a row must have 2 cells, as the header \(text, label\) has, but has 1"),
    (text, "a.jsonl", lines(GOOD) + '{"text": "a", "text": "b"}\n', "line 2: .* but 'text' is there twice"),
    (text, "a.jsonl", lines(GOOD) + '{"text": ' + "[" * 100_000, "line 2: .* but its brackets are nested too deeply"),
    (text, "a.jsonl", lines(GOOD, dict(text="a\ud800")), "line 2: .* but there is half a character"),
    (text, "a.csv", "text,text,label\na,b,x\n", "line 1: each column must have a name of its own.* text, text, label"),
    (tokens, "a.pdf", "x", r"must be \.conllu, \.conll, \.txt or \.jsonl"),
    (tokens, "a.conllu", "Ann B-PER\n", "line 1: there must be 10 columns with tabs"),
    (tokens, "a.conll", "Ann B-PER\nruns\n", "line 2: there must be 2 columns.* but there are 1: 'runs'"),
    (tokens, "a.conll", "{\"text\":1}\n", "line 1: there must be 2 columns"),
    (tokens, "a.conllu", "1\ta" + "\t_" * 8 + "\n2\t" + "\t_" * 8, "line 2: the columns FORM and UPOS must not be empty"),
    (tokens, "a.conll", "New York B-LOC\nAnn B-PER\nran O\n", "line 1: there must be 2 columns.* there are 3: 'New York"),
    (tokens, "a.conll", "Ann B-PER\n# comment in between\nran O\n", "line 2: there must be 2 columns.* there are 4"),
    (tokens, "a.conll", "New York\tB-LOC\n", "columns must be separated by tabs or spaces, but every line has both"),
    (tokens, "a.conll", "7 EU X O\n9 runs X O\n", r"first column must hold words, or count them.*numbers, as \['7', '9'\]"),
    (tokens, "a.conll", "\n".join(f"{i}\tw\tl\tN\t_\t_\t0\troot\t_\tM{i}" for i in (1, 2)), "must be named .conllu"),
    (tokens, "a.conll", "bc/1 EU O\nbc/1 runs O\n\nbc/2 I O\nbc/2 go O\n", "says the same on all lines.* 'bc/1'; take it"),
    (tokens, "a.conll", "B-PER Ann\nO ran\n", "the first holds tags, as 'B-PER'"),
    (tokens, "a.jsonl", lines(dict(tokens=["a", "b"], ner_tags=[0])), "a tag for each of the 2 words, but there are 1"),
    (tokens, "a.jsonl", lines(dict(tokens=["a"], ner_tags=[True])), "a tag must be a name or a whole number, but is True"),
    (questions, "a.jsonl", lines(dict(id=1, question="q", context="c", is_impossible="False", answers=[])),
     "is_impossible must be true or false, but is 'False'"),
    (tokens, "a.conll", "\n\n", "must hold at least one example"),
    (questions, "a.json", "{\n\"data\": [}", "line 2: the file must be JSON.*JSON lines are named .jsonl"),
    (questions, "a.json", '{"data": ' + "[" * 100_000, "a.json: the file must be JSON, but its brackets are nested too deeply"),
    (questions, "a.json", lines(GOOD), "a.json: there must be 'data', but there is only 'text', 'label'"),
    (questions, "a.json", "[]", r"a.json: there must be a JSON object, but there is \[\]"),
    (questions, "a.json", json.dumps(dict(data=[dict(paragraphs=3)])), r"data\[0\].paragraphs must be a list, but is 3"),
    # empty texts and labels
    (text, "a.jsonl", lines(GOOD, dict(text=" \t", label="x")), r"line 2: text must not be empty, but is ' \\t'"),
    (text, "a.csv", "text,text_pair,label\na,b,x\na,,x\n", "line 3: text_pair must not be empty, but is ''"),
    (text, "a.jsonl", lines(dict(text=3, label="x")), "line 1: text must be a text, but is 3"),
    (text, "a.jsonl", lines(GOOD, dict(text="b", label=None)), "line 2: there must be 'label', but there is only 'text'$"),
    (tokens, "a.jsonl", lines(dict(words=["a", "b"], tags=["O"])), "line 1: there must be a tag for each of the 2 words"),
    (tokens, "a.jsonl", lines(dict(words=[], tags=[])), r"line 1: words must be a list of texts, but is \[\]"),
    # spans
    (questions, "a.jsonl", with_answer(answer_start=1),
     r"line 1: the context must have the answer 'Ann' at character 1, but has 'nn ' there; the answer is at 0"),
    (questions, "a.jsonl", with_answer(text="Bob"), "has 'Ann' there; the answer is not in the context"),
    (questions, "a.jsonl", with_answer(answer_start=-3), "answer_start must be the number of a character, but is -3"),
    (questions, "a.jsonl", with_answer(answer_start="0"), "answer_start must be the number of a character, but is '0'"),
    (questions, "a.jsonl", with_answer(text=""), "line 1: text must not be empty"),
    (questions, "a.jsonl", lines(dict(question="q", context="c", answers=dict(text="c", answer_start=0))),
     "line 1: answers must be a list of objects, or an object of two lists of one length, but are {'text': 'c'"),
    (questions, "a.jsonl", lines(dict(question="q", context="c", answers=dict(text=["c", "c"], answer_start=[0]))),
     "line 1: answers must be a list of objects, or an object of two lists of one length"),
    (questions, "a.jsonl", lines(dict(question="q", context="c", answers="c")), "answers must be a list.* but is 'c'"),
    (questions, "a.jsonl", with_answer() * 2, r"line 2: an id must occur once, but '1' is also the id of .*line 1"),
    (questions, "a.jsonl", with_answer().replace('"id"', '"is_impossible": true, "id"'),
     "a question that is_impossible must have no answers"),
    # choices
    (choice, "a.jsonl", lines(dict(context="a", choices=["b", "c"], label=0), dict(context="a", choices=["b"] * 3, label=0)),
     "line 2: there must be 2 choices, as in the first example, but there are 3"),
    (choice, "a.jsonl", lines(dict(context="a", choices=["b", "c"], label=0), dict(context="a", choices=["b"], label=0)),
     r"line 2: there must be at least two choices, but there is only \['b'\]"),
    (choice, "a.jsonl", lines(dict(context="a", choices=["b", "c"], label=2)),
     "line 1: the label must be the number of the right choice, from 0 to 1, but is 2"),
    (choice, "a.jsonl", lines(dict(context="a", choices=["b", "c"], label="b")), "from 0 to 1, but is 'b'"),
    (choice, "a.jsonl", lines(dict(context="a", choices=["b", ""], label=0)), "choices must not be empty"),
    (choice, "a.jsonl", lines(dict(context="a", choices=["b", None], label=0)), "choices must be a text, but is None"),
    (choice, "a.jsonl", lines(dict(context="a", choices="bc", label=0)), "choices must be a list of texts, but is 'bc'"),
    # plain text
    (words, "a.txt", "\n \n", "must hold at least one example"),
    (words, "a.txt", b"ok\n\xff\n", "must be UTF-8, but line 2 is not"),
    (words, "a.txt.xz", b"ok\n", "must be a whole .xz file, but is damaged"),
    (words, "a.jsonl", lines(GOOD), "must be plain text, with blank lines between documents, but its name ends in '.jsonl'"),
]


@pytest.mark.parametrize("task, name, content, message", BAD, ids=[f"{i}-{row[1]}" for i, row in enumerate(BAD)])
def test_what_is_wrong_is_told_with_its_line(file, task, name, content, message):
    path = file(name, content)
    with pytest.raises(ValueError, match=message) as raised:
        task.read(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("labels, message", [
    (["x", "y", ["x"]], r"line 3: a label must be a name or a whole number, but is \['x'\]"),
    ([1, 2, 3.5], "line 3: a label must be a name or a whole number, but is 3.5.*or say --problem"),
    ([["x"], ["y"], "x"], "line 3: the label must be a list of names, but is 'x'"),
    ([1.5, 2, "high"], "line 3: the label must be a number of at most 1e.18, but is 'high'"),
    ([1.5, float("nan"), 2], "line 2: the label must be a number of at most 1e.18, but is nan"),
    (["0.25", "1e-05", "3"], "but '0.25' and all others could be either: say --problem"),
    (["0.25", "nan", "3", "4"], "but '0.25' and all others could be either: say --problem"),
    (["1,5", "2", "3", "?"], "but '1,5' and most others could be either: say --problem"),
    (["[0, 1]", "[1, 0]"], r"one name or number, but '\[0, 1\]' is a list: use .jsonl"),
    ([["a", "b"], ["a", "a"]], "line 2: a list of labels must have each once"),
    ([[0, 1, 1], [0, 1]], "line 1: a list of labels must have each once.*must be of one length"),
    (["x", "x", "x"], r"at least two labels to tell apart, but there are only \['x'\]"),
    ([[], [], []], "at least one label, but all examples have none"),
    (["x", "", "y"], "line 2: a label must be a name"),
    ([0, 1, True], "line 3: a label must be a name or a whole number, but is True"),
    ([0.5, True, 1], "line 2: the label must be a number of at most 1e.18, but is True"),
    ([0.5, 10**400, 1], "line 2: the label must be a number of at most 1e.18, but is 1000"),
    ([0.5, 1e300, 1], "line 2: the label must be a number of at most 1e.18, but is 1e.300"),
    (["4", "1.5", "2"], "labels must be names or numbers, but '4' and all others could be either: say --problem"),
])
def test_labels_of_another_kind_half_way(labels, message):
    examples = [dict(where=f"a.jsonl, line {i}", text="t", label=label) for i, label in enumerate(labels, 1)]
    with pytest.raises(ValueError, match=message):
        text.configure(ConvBertConfig(), examples)


def test_the_three_problems():
    def configured(*labels, **options):
        return text.configure(ConvBertConfig(), [dict(where="", text="t", label=label) for label in labels], **options)

    cfg = configured("b", "a", "b")
    assert (cfg.problem_type, cfg.id2label) == ("single_label_classification", {0: "a", 1: "b"})
    assert configured(10, 9, -1).id2label == {0: "-1", 1: "9", 2: "10"}
    for labels in (["1", "01", "001"], ["001", "1", "01"]):
        assert list(reading.in_order(labels)) == ["001", "01", "1"]
    assert configured("1.5", "2", problem="single-label").id2label == {0: "1.5", 1: "2"}
    with pytest.raises(ValueError, match="each label must be named once, but the labels are a, b, a"):
        configured("a", "b", labels=["a", "b", "a"])
    with pytest.raises(ValueError, match="leave out --labels"):
        configured(1.5, labels=["a", "b"])
    cfg = configured(["b"], [], ["b", "a"])
    assert (cfg.problem_type, cfg.id2label) == ("multi_label_classification", {0: "a", 1: "b"})
    cfg = configured(0.5, 1)
    assert (cfg.problem_type, cfg.num_labels) == ("regression", 1)
    for labels in ([[0, 1, 1], [0, 0, 1]], [[0.0, 1.0, 1.0], [0, 0, 1]], [[False, True, True]]):
        cfg = configured(*labels)
        assert (cfg.problem_type, cfg.num_labels, cfg.id2label) == ("multi_label_classification", 3, None)
        assert configured(*labels, labels=["a", "b", "c"]).id2label == {0: "a", 1: "b", 2: "c"}
    assert configured([0, 1], [1], []).id2label == {0: "0", 1: "1"}
    assert configured([0], [1]).id2label == {0: "0", 1: "1"}
    assert configured("pos", "pos ", " neg").id2label == {0: "neg", 1: "pos"}
    assert configured("1", "2.5", problem="regression").problem_type == "regression"
    assert configured("a", "b", labels=["b", "a", "c"]).id2label == {0: "b", 1: "a", 2: "c"}


def test_labels_that_training_had_not():
    with pytest.raises(ValueError, match=r"b.jsonl, line 7: a label must be one of 'a', 'b', but is 'c'"):
        reading.label_id("c", {"a": 0, "b": 1}, "b.jsonl, line 7")
    with pytest.raises(ValueError, match=r"'11', ... \(30 in all\), but is 'c'"):
        reading.label_id("c", {str(i): i for i in range(30)}, "")


def test_tasks_have_names():
    with pytest.raises(ValueError, match="a task must be one of text-classification.*but is 'translation'"):
        tasks.get("translation")


def test_switched_labels_are_learned_and_measured():
    """[0, 1, 1] switches on the second and the third label, whatever they are called."""
    entries = [dict(where="a.jsonl, line 1", text="t", label=[0, 1.0, 1]), dict(where="", text="u", label=[0, 0, 0])]
    cfg = text.configure(ConvBertConfig(), entries, labels=["a", "b", "c"])
    features = text.encode(entries, lambda *_: dict(input_ids=[2, 3], token_type_ids=[0, 0]), cfg, 9)
    assert [feature["labels"].tolist() for feature in features] == [[0, 1, 1], [0, 0, 0]]
    answers = [dict(labels=["b", "c"]), dict(labels=["a"])]
    assert text.measure(entries, answers, cfg) == dict(micro_f1=4 / 5, macro_f1=2 / 3, exact=0.5)
    with pytest.raises(ValueError, match="line 1: the label must have a 0 or 1 for each of 2 labels"):
        text.encode(entries[:1], lambda *_: dict(input_ids=[2, 3], token_type_ids=[0, 0]), cfg.replace(num_labels=2), 9)


def test_a_model_with_one_label_and_no_problem_answers_a_number():
    cfg = ConvBertConfig(num_labels=1)
    entries = [dict(where="", text="t", label="2.5"), dict(where="", text="u", label=-1)]
    features = text.encode(entries, lambda *_: dict(input_ids=[2, 3], token_type_ids=[0, 0]), cfg, 9)
    assert [feature["labels"] for feature in features] == [2.5, -1.0]
    answers = text.decode(entries, features, np.array([[2.0], [0.5]]), cfg)
    assert answers == [dict(value=2.0), dict(value=0.5)]
    assert text.measure(entries, answers, cfg)["mean_squared_error"] == (0.5**2 + 1.5**2) / 2


def test_labels_of_a_model_that_are_numbers():
    cfg = ConvBertConfig(num_labels=3, id2label={0: 0, 1: 1, 2: " x"})
    assert reading.label_ids(cfg) == {"0": 0, "1": 1, "x": 2}
    entries = [dict(where="", text="t", label=1), dict(where="", text="u", label="x ")]
    answers = text.decode(entries, [], np.eye(3)[[1, 0]] * 9, cfg)
    assert [answer["label"] for answer in answers] == ["1", "0"]
    assert text.measure(entries, answers, cfg)["accuracy"] == 0.5
    with pytest.raises(ValueError, match="each label of a model must have a name of its own, but the names are 1, 1"):
        reading.label_ids(ConvBertConfig(id2label={0: 1, 1: "1"}))


@pytest.mark.parametrize("labels, message", [
    (["-", "a", "b"] * 9, "9 examples have the label '-', which often means that there is none"),
    ([-1, 0, 1] * 9, "9 examples have the label '-1', which often means"),
    (["a", "NaN", "b"] * 9, "the label 'NaN', which often means"),
    (["Pos", "pos", "neg"] * 9, "the labels 'Pos', 'pos' differ only in the way they are written; they are learned as 2"),
    (["\u00e9", "e\u0301"] * 9, "differ only in the way they are written"),
    ([str(i % 20) for i in range(39)], "there are 20 labels for 39 examples")])
def test_odd_labels_are_told(labels, message, caplog):
    text.configure(ConvBertConfig(), [dict(where="", text="t", label=label) for label in labels])
    assert message in caplog.text


@pytest.mark.parametrize("labels", [["+", "-"] * 9, [-1, 1] * 9, ["a", "b"] * 9, list(range(5)) * 9, list(range(20)) * 2])
def test_usual_labels_are_not_told(labels, caplog):
    text.configure(ConvBertConfig(), [dict(where="", text="t", label=label) for label in labels])
    assert not caplog.text


def read_table(file, content):
    return [(one["text"], one["label"]) for one in text.read(file("a.tsv", content))]


def test_tables_with_tabs_and_quotes(file, caplog):
    """As pandas 2 writes `to_csv(sep="\\t")`, and as GLUE has them."""
    header = "text\tlabel\n"
    assert read_table(file, header + '"he said ""hi"" to me"\ta\nplain\tb\n') == [
        ('he said "hi" to me', "a"), ("plain", "b")]
    assert read_table(file, header + '"a\nb\tc"\ta\nplain\tb\n') == [("a\nb\tc", "a"), ("plain", "b")]
    assert read_table(file, '"text"\t"label"\n"x"\t"a"\n') == [("x", "a")]
    for cell in ('"half a quote', 'ends in one"', '"all of it"', 'in "the" middle', '""twice""', '"begins" and on'):
        assert read_table(file, header + f"{cell}\tx\nplain\ty\n") == [(cell, "x"), ("plain", "y")]
    assert not caplog.text
    assert read_table(file, header + '"begins\ta\nends"\tb\n') == [('"begins', "a"), ('ends"', "b")]
    assert "are read with their quotes; if quotes enclose tabs or line ends" in caplog.text
    assert read_table(file, header + '"he said ""hi"""\ta\n"half\tb\n')[0] == ('"he said ""hi"""', "a")
    assert "are read with their quotes, because other cells have single ones" in caplog.text


def test_a_long_cell(file):
    long = "word " * 40_000
    assert without_where(text.read(file("a.csv", f'text, label\n"{long}",x\n'))) == [dict(text=long, label="x")]


def conll(file, content, labelled=True):
    return [(one["words"], one.get("tags")) for one in tokens.read(file("a.conll", content), labelled)]


ANN = (["Ann", "ran"], ["B-PER", "O"])


@pytest.mark.parametrize("comment, word, tag", [
    ("# id 5 domain=en", "Ann _ _ B-PER", "ran _ _ O"), ("# sent_id = 1", "Ann B-PER", "ran O"),
    ("# a", "Ann B-PER", "ran O"), ("#id 7", "Ann B-PER", "ran O"),
    ("#begin document (x); part 000", "Ann B-PER", "ran O"),
    ("# id 5", "Ann\tB-PER", "ran\tO"), ("# one\n# two three", "Ann B-PER", "ran O"), ("#", "Ann B-PER", "ran O"),
    ("# text = Ann ran\n\n# again", "Ann B-PER", "ran O")])
def test_comments_of_conll(file, caplog, comment, word, tag):
    for content in (f"{comment}\n{word}\n{tag}\n\n{comment}\n{word}\n{tag}\n", f"{comment}\n{word}\n{tag}\n"):
        caplog.clear()
        assert conll(file, content) == [ANN] * content.count(word)
        left_out = [line for line in comment.split("\n") if line]
        assert (f"{len(left_out) * content.count(word)} lines that begin with # before a sentence are left out as comments;"
                f" the first is {left_out[0]!r}") in caplog.text
        assert conll(file, content, labelled=False) == [(ANN[0], None)] * content.count(word)


def test_words_that_begin_with_a_hash(file, caplog):
    assert conll(file, "#Ann B-PER\nran O\n\n# O\n# O\n\n#a O\n") == [
        (["#Ann", "ran"], ["B-PER", "O"]), (["#", "#"], ["O", "O"]), (["#a"], ["O"])]
    assert conll(file, "#topic HT\n#other HT\ngo VB\n") == [(["#topic", "#other", "go"], ["HT", "HT", "VB"])]
    assert conll(file, "# B-PER\nran O\nAnn I-LOC\n")[0][1] == ["B-PER", "O", "I-LOC"]
    assert conll(file, "Ann\n#\n", labelled=False) == [(["Ann", "#"], None)] and not caplog.text
    assert conll(file, "ran O\ngo O\n\n# B-PER\nx O\n")[1] == (["#", "x"], ["B-PER", "O"])
    assert conll(file, "# id O\n#a b B-PER\n\n# id x\n# c O\n\n#a b O\nd e O\n") == [
        (["#", "#a"], ["O", "B-PER"]), (["#"], ["O"]), (["#a", "d"], ["O", "O"])]


def test_counted_words(file):
    assert conll(file, "1 EU NNP I-ORG\n2 rejects VBZ O\n\n1 Bob NNP I-PER\n") == [
        (["EU", "rejects"], ["I-ORG", "O"]), (["Bob"], ["I-PER"])]
    for content in ("0 EU I-ORG\n1 rejects O\n\n0 Bob I-PER\n", "1 EU I-ORG\n2 rejects O\n\n3 Bob I-PER\n"):
        assert conll(file, content)[0][0] == ["EU", "rejects"] and conll(file, content)[1][0] == ["Bob"]
    assert conll(file, "1\tEU\n2\trejects\n", labelled=False) == [(["EU", "rejects"], None)]
    assert conll(file, "1 O\n2 O\n") == [(["1", "2"], ["O", "O"])]      # there is no other column
    assert conll(file, "1 CD B-X\ngo VB O\n")[0][0] == ["1", "go"]


def test_words_with_spaces_between_tabs(file):
    assert conll(file, "New York\tB-LOC\nis\tO\n\nSan Juan de Dios\tB-LOC\n") == [
        (["New York", "is"], ["B-LOC", "O"]), (["San Juan de Dios"], ["B-LOC"])]
    assert conll(file, "EU \t NNP\t\tI-ORG\nruns\tVB\t\tO\n") == [(["EU", "runs"], ["I-ORG", "O"])]


def test_tags_by_number(file, caplog):
    path = file("a.jsonl", lines(dict(id="0", tokens=["Ann", "ran"], pos_tags=[9, 9], ner_tags=[1, 0])))
    found = tokens.read(path)
    assert without_where(found) == [dict(words=["Ann", "ran"], tags=[1, 0])]
    assert tokens.configure(ConvBertConfig(), [dict(found[0], tags=[3, 0])]).id2label == {i: str(i) for i in range(4)}
    cfg = tokens.configure(ConvBertConfig(), found, labels=["O", "B-PER", "I-PER"])
    assert tokens.measure(found, [dict(tags=["B-PER", "B-PER"])], cfg) == dict(
        f1=2 / 3, precision=0.5, recall=1.0, accuracy=0.5)
    assert "0 is O, 1 is B-PER" in caplog.text
    with pytest.raises(ValueError, match="a label must be one of 'O', 'B-PER', 'I-PER', but is '-100'"):
        tokens.measure([dict(found[0], tags=[1, -100])], [dict(tags=["O", "O"])], cfg)


@pytest.mark.parametrize("tags, counted", [
    (["U-PER", "O", "B-LOC", "L-LOC"], 2), (["S-PER", "O", "B-LOC", "E-LOC"], 2), (["PER-B", "O", "LOC-B", "LOC-I"], 2),
    (["B_PER", "O", "B_LOC", "I_LOC"], 2), (["S", "S", "B", "E"], 3), (["PER", "O", "LOC", "LOC"], None)])
def test_entities_of_every_scheme(tags, counted, caplog):
    tokens._chunks.cache_clear()
    examples = [dict(where="", words=["a", "b", "c", "d"], tags=tags)]
    cfg = tokens.configure(ConvBertConfig(), examples)
    logits = np.eye(cfg.num_labels)[[reading.label_ids(cfg)[tag] for tag in tags]]
    answer, = tokens.decode(examples, [dict(example=0, firsts=[0, 1, 2, 3])], [logits], cfg)
    assert answer["tags"] == tags and len(answer.get("entities", ())) == (counted or 0)
    assert tokens.measure(examples, [answer], cfg).get("f1") == (1.0 if counted else None)
    assert ("no F1 of entities, because the tags are not all chunk tags" in caplog.text) == (counted is None)


def test_before_training_it_is_said_that_entities_will_not_be_counted(caplog):
    tasks.get("token-classification").configure(ConvBertConfig(), [dict(tags=["O", "neither"])])
    assert "there is no F1 of entities, because the tags are not all chunk tags" in caplog.text


def test_questions_of_annotation_tools(file, caplog):
    entry = dict(question="Who?", context="Ann sang. Bob ran.")
    impossible = [dict(entry, id=str(i), is_impossible=True, **more) for i, more in enumerate((
        {}, dict(answers=None), dict(answers=[]), dict(answers=[dict(text="", answer_start=0)]),
        dict(answers=dict(text=[], answer_start=[]))))]
    assert [one["answers"] for one in questions.read(file("a.jsonl", lines(*impossible)))] == [[]] * 5
    assert not caplog.text
    good, bad = dict(text="Ann", answer_start=0), dict(text="Bob", answer_start=9)
    found = questions.read(file("b.jsonl", lines(
        dict(entry, id="1", answers=[good]), dict(entry, id="2", answers=[bad]),
        dict(entry, id="3", answers=[bad, bad, good]))))
    assert [(one["id"], one["answers"]) for one in found] == [("1", [("Ann", 0)]), ("3", [("Ann", 0)])]
    assert not any("misplaced" in one for one in found)
    assert "3 answers and 1 of 3 questions are left out; the first:" in caplog.text
    assert "b.jsonl, line 2: the context must have the answer 'Bob' at character 9" in caplog.text


def test_answers_without_spaces():
    """Of 3 characters of the answer and 4 accepted ones, 3 are the same; by white space nothing is."""
    examples = [dict(answers=[("\u5317\u4eac\u5927\u5b66", 0)])]
    figures = questions.measure(examples, [dict(answer="\u5317\u4eac\u5927\u3002", margin=0.0)], None)
    assert figures == dict(f1=0.0, exact_match=0.0, unspaced_f1=pytest.approx(6 / 7), unspaced_exact_match=0.0)
    figures = questions.measure(examples, [dict(answer="\u300c\u5317\u4eac\u5927\u5b66\u300d", margin=0.0)], None)
    assert figures["unspaced_exact_match"] == 1.0 and figures["exact_match"] == 0.0
    assert set(questions.measure([dict(answers=[("Ann", 0)])], [dict(answer="Ann", margin=0.0)], None)) == {
        "f1", "exact_match"}
