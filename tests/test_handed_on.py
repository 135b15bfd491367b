"""What the commands hand on to the library, option by option, and what they print of what comes back.

`pretrain`, `finetune` and `study` are in test_options.py.
"""

import importlib
import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from finetune_material import tokenizer, write_lines
from test_options import options_of

from minconvbert.__main__ import main
from minconvbert.commands import evaluate as evaluate_command
from minconvbert.config import ConvBertConfig
from minconvbert.files import SHIPPED
from minconvbert.tokenizer import ConvBertTokenizer
from minconvbert.training import tasks


class Handed(BaseException):
    """Ends a command where it calls the library, with what it hands on."""


def handed(monkeypatch, target, argv):
    """-> the arguments of the function `target` of a module, by position and by name"""
    module, name = target.rsplit(".", 1)

    def stop(*args, **named):
        raise Handed(args, named)

    with monkeypatch.context() as patch, pytest.raises(Handed) as found:
        patch.setattr(importlib.import_module(f"minconvbert.{module}"), name, stop)
        main(argv)
    return found.value.args


def differing(one, other):
    """The places, or names, of the arguments that differ."""
    (args, named), (others, others_named) = one, other
    for options in (named, others_named):
        options.pop("progress", None)                   # an object of each run's own
    return {i for i, pair in enumerate(zip(args, others, strict=True)) if pair[0] != pair[1]} | {
        name for name in named.keys() | others_named.keys() if named.get(name, ...) != others_named.get(name, ...)}


# command, the function it calls: {option: (what is written, where the function gets it, and what)}
COMMANDS = {
    ("detect a", "commands.detect.detect"): {"--model": ("other", 1, "other")},
    ("fill-mask a", "commands.fill_mask.fill_mask"): {"--model": ("other", 1, "other"), "--top": ("7", 2, 7)},
    ("verify a", "commands.verify.verify"): {"--answers": ("YituTech/conv-bert-base", 1, "YituTech/conv-bert-base")},
    ("convert a b --task none", "commands.convert.convert"): {
        "--task": ("masked_lm", 2, "masked_lm"), "--names": ("original", 3, "original"),
        "--dtype": ("float16", 4, "float16"), "--net": ("generator", "net", "generator"),
        "--allow-nonfinite": ("", "allow_nonfinite", True)},
    ("golden check port", "golden.checker.check"): {
        "--level": ("op --level model", 1, ["op", "model"]), "--case": ("x --case y", 2, ["x", "y"]),
        "--pack": ("other", 3, "other"), "--precision": ("bfloat16", 4, "bfloat16"), "--complete": ("", 6, True)},
    ("course grade a.py", "commands.course.grade"): {
        "--seed": ("Ada", 1, "Ada"), "--seed-by-file": ("", 1, "a"),
        "--exercises": ("softmax linear", 2, ["softmax", "linear"]), "--limit": ("2.5", 3, 2.5),
        "--points": ("4", 4, 4.0)},
    ("course stub softmax --notebook n.ipynb", "commands.course.write_notebook"): {
        "--seed": ("Ada", "seed", "Ada"), "--skeleton": ("", "skeleton", True), "--notebook": ("m.ipynb", 0, "m.ipynb")},
    ("course export otter softmax --output n.ipynb", "commands.course.write_notebook"): {
        "--points": ("4", "points", 4.0), "--output": ("m.ipynb", 0, "m.ipynb")},
    ("step --exercise softmax", "commands.step.exercise_page"): {"--seed": ("Ada", 1, "Ada")},
    ("step sentence", "commands.step.sentence_page"): {
        "--layer": ("2", 2, 2), "--token": ("word", 3, "word"), "--backward": ("", 4, True)},
    ("vocab train TEXT", "commands.vocab.train_on_counts"): {
        "--size": ("99", 1, 99), "--score": ("count", "score", "count"),
        "--max-alphabet": ("70", "max_alphabet", 70), "--min-count": ("3", "min_count", 3)},
}


def written(text, tmp_path):
    (tmp_path / "text.txt").write_text("The the\n")
    return [str(tmp_path / "text.txt") if word == "TEXT" else word for word in text.split()]


@pytest.mark.parametrize("command, target, option", [
    (*key, option) for key, options in COMMANDS.items() for option in options])
def test_each_option_reaches_the_library_and_nothing_else_changes(command, target, option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text, where, wanted = COMMANDS[command, target][option]
    argv = written(command, tmp_path)
    plain = handed(monkeypatch, target, argv)
    args, named = changed = handed(monkeypatch, target, [*argv, option, *text.split()])
    assert differing(plain, changed) == {where} and (named if isinstance(where, str) else args)[where] == wanted


def test_the_model_of_step_and_the_other_options_of_convert_and_golden(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (args, _) = handed(monkeypatch, "commands.step.sentence_page", ["step", "a", "--model", "other"])
    assert str(args[1]) == "other" and args[2:] == (0, None, False)
    cfg = ConvBertConfig(hidden_size=24, num_attention_heads=4)
    cfg.to_json(tmp_path / "other.json")
    (_, named) = handed(monkeypatch, "commands.convert.convert", ["convert", "a", "b", "--task", "none", "--config",
                                                                  "other.json"])
    assert named["config"] == cfg
    (tmp_path / "known.txt").write_text("op.linear  # to come\n\n# none\n op.softmax\n")
    (args, _) = handed(monkeypatch, "golden.checker.check", ["golden", "check", "port", "--expect-fail", "known.txt"])
    assert list(args[5]) == ["op.linear", "op.softmax"]


def test_case_of_a_corpus_is_kept_only_where_it_is_asked_for(tmp_path, monkeypatch, capsys):
    argv = written("vocab train TEXT", tmp_path)
    for options, counts, lowercase in (([], {"the": 2}, True), (["--cased"], {"The": 1, "the": 1}, False)):
        args, named = handed(monkeypatch, "commands.vocab.train_on_counts", [*argv, *options])
        assert dict(args[0]) == counts and named["lowercase"] is lowercase
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the"]) + "\n")
    for options, share in (([], "0.00%"), (["--cased"], "50.00%")):
        main(["vocab", "audit", str(vocab), "--text", str(tmp_path / "text.txt"), *options])
        assert f"{share} of the words of the text are [UNK]" in capsys.readouterr().out


def test_documents_are_read_until_there_are_so_many_bytes(tmp_path, monkeypatch):
    """The first has 3 letters in 5 bytes."""
    (tmp_path / "text.txt").write_text("é é\n\nb b\n\nc c\n", encoding="utf-8")
    counts = [dict(handed(monkeypatch, "commands.vocab.train_on_counts", [
        "vocab", "train", str(tmp_path / "text.txt"), "--max-bytes", most])[0][0]) for most in ("5", "6")]
    assert counts == [{"e": 2}, {"e": 2, "b": 2}]


@pytest.mark.parametrize("suffix, target", ((".html", "commands.view.page_data"), (".png", "view.figures.overview")))
def test_the_options_of_view_reach_page_and_picture(suffix, target, tmp_path, monkeypatch):
    def look(model, tokenizer, *texts):
        return texts, ["[CLS]", "bank", "[SEP]"]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minconvbert.commands.view.look", look)
    args, named = handed(monkeypatch, target, [
        "view", "a bank", "--pair", "b", "--second", "c bank", "--word", "Bank", "--layer", "3", "--head", "1",
        "--token", "2", "--out", f"a{suffix}"])
    tokens = ["[CLS]", "bank", "[SEP]"]
    assert args == (("a bank", "b"), tokens) and named["second"] == (("c bank",), tokens)
    assert (named["layer"], named["head"], named["token"], named["word"]) == (3, 1, 2, "bank")
    _, named = handed(monkeypatch, target, ["view", "a bank", "--out", f"a{suffix}"])
    assert {named[name] for name in ("layer", "head", "token", "word", "second")} == {None}


def test_no_option_of_these_commands_is_left_out(capsys):
    """Those that are not in the table above have tests of their own, here or where the command is tested."""
    elsewhere = {
        "detect": "", "fill-mask": "", "verify": "", "convert": "--config", "step": "--model --out --exercise",
        "view": "--out --pair --second --word --layer --head --token --model", "info": "--task --length --json",
        "tokenize": "--vocab --slow --cased --json", "golden check": "--expect-fail --json --junit --verbose",
        "golden make": "", "golden score": "--write", "course list": "--notebook --names", "course stub": "",
        "course solution": "", "course grade": "--json --csv", "course export": "", "course sheet": "",
        "vocab train": "--out --cased --max-bytes --hold-out", "vocab audit": "--text --cased --json"}
    for command, more in elsewhere.items():
        here = {option for (text, _), options in COMMANDS.items() if text.startswith(command) for option in options}
        assert options_of(command.split(), capsys) == here | set(more.split()), command


# Answers

@pytest.fixture
def answering(monkeypatch):
    """What `evaluate` and `predict` call the task with; the model here has no weights."""
    task, seen = tasks.get("question-answering"), {}

    def encode(examples, tokenizer, cfg, **options):
        seen.update(examples=examples, encode=options)
        return ["features"]

    def evaluate(examples, features, params, cfg, **options):
        seen.update(decode=options)
        return dict(exact_match=0.123456, f1=2 / 3), [dict(answer="cat"), dict(answer="")]

    def predict(examples, model, encode, decode, threads):
        seen.update(examples=examples, encode=encode, decode=decode | dict(threads=threads))
        return [dict(answer="cat"), dict(answer="")]

    def load(task, folder, length):
        seen.update(folder=folder, length=length)
        return ConvBertConfig(), {}, tokenizer(), dict(length=9), dict(threshold=1.0)

    for name, function in dict(encode=encode, evaluate=evaluate, predict=predict).items():
        monkeypatch.setattr(task, name, function)
    monkeypatch.setattr(evaluate_command, "load_finetuned", load)
    return seen


@pytest.mark.parametrize("command", ("evaluate", "predict"))
def test_answers_are_of_all_files_with_the_options_of_training_or_those_given(command, answering, tmp_path, capsys):
    one, two = (str(write_lines(tmp_path / f"{name}.jsonl", [dict(
        id=name, question="who", context="cat", answers=[dict(text="cat", answer_start=0)])])) for name in "ab")
    argv = [command, "question-answering", "--model", "folder", "--data", one, two]
    assert main(argv) == 0
    assert answering["folder"] == "folder" and answering["length"] is None and len(answering["examples"]) == 2
    assert (answering["encode"], answering["decode"]) == (
        dict(length=9), dict(threshold=1.0, threads=1))
    said = capsys.readouterr().out.splitlines()
    if command == "evaluate":
        assert [line.split() for line in said] == [["exact", "match", "0.1235"], ["f1", "0.6667"]]
    else:
        assert [json.loads(line) for line in said] == [dict(answer="cat"), dict(answer="")]
    answers = tmp_path / "answers.jsonl"
    assert main([*argv, "--length", "7", "--no-answer-threshold", "2.5", "--threads", "3", "--out", str(answers)]) == 0
    assert answering["length"] == 7 and answering["decode"] == dict(threshold=2.5, threads=3)
    assert [json.loads(line) for line in answers.read_text().splitlines()] == [dict(answer="cat"), dict(answer="")]


UNLABELLED = {"text-classification": ("a.jsonl", '{"text": "the cat"}'), "token-classification": ("a.txt", "the cat"),
              "question-answering": ("a.jsonl", '{"question": "who", "context": "the cat"}'),
              "multiple-choice": ("a.jsonl", '{"context": "the cat", "choices": ["runs", "sits"]}'),
              "masked-lm": ("a.txt", "the [MASK]")}


@pytest.mark.parametrize("name", UNLABELLED)
def test_predict_reads_what_has_no_labels(name, tmp_path, monkeypatch):
    """predict reads files without labels; evaluate does not."""
    file, content = UNLABELLED[name]
    (tmp_path / file).write_text(content + "\n")
    monkeypatch.setattr(evaluate_command, "load_finetuned", lambda *_: (ConvBertConfig(), {}, tokenizer(), {}, {}))
    argv = [name, "--model", "folder", "--data", str(tmp_path / file)]
    task = f"training.tasks.{name.replace('-', '_')}"
    (examples, *_), _ = handed(monkeypatch, f"{task}.predict", ["predict", *argv])
    assert len(examples) == 1 and not {"label", "tags", "answers"} & examples[0].keys()
    if name != "masked-lm":
        assert main(["evaluate", *argv]) == 2


def test_the_column_of_a_file_is_the_one_that_is_said(tmp_path, monkeypatch):
    data = tmp_path / "a.conllu"
    data.write_text("1\tann\tlemma\tNOUN\tNNP\t_\t0\troot\t_\t_\n\n")
    monkeypatch.setattr(evaluate_command, "load_finetuned", lambda *_: (ConvBertConfig(), {}, None, {}, {}))
    for options, tag in (([], "NOUN"), (["--column", "xpos"], "NNP")):
        args, _ = handed(monkeypatch, "training.tasks.token_classification.encode", [
            "evaluate", "token-classification", "--model", "folder", "--data", str(data), *options])
        assert args[0][0]["tags"] == [tag]


# What is printed

def test_what_is_made_is_counted_and_measured(tmp_path, monkeypatch, capsys):
    def make(folder):
        for name, size in (("a", 1_300_000), ("b", 1_000_000)):
            (tmp_path / name).write_bytes(bytes(size))
        return [tmp_path / "a", tmp_path / "b"]

    monkeypatch.setattr("minconvbert.golden.pack.make", make)
    assert main(["golden", "make", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"2 files, 2.3 MB, in {tmp_path}\n"
    page = SimpleNamespace(html="é" * 600_000, save=lambda path: None)
    monkeypatch.setattr("minconvbert.commands.step.sentence_page", lambda *_: page)
    monkeypatch.chdir(tmp_path)
    assert main(["step", "a"]) == 0 and capsys.readouterr().out == "wrote step.html (1.2 MB)\n"
    params = dict(a=np.zeros((30, 40)), b=np.zeros(34))
    monkeypatch.setattr("minconvbert.commands.convert.convert", lambda *args, **named: (None, params))
    assert main(["convert", "a", "b", "--task", "none"]) == 0
    assert capsys.readouterr().out == "b: the bare model, 2 tensors, 1,234 parameters\n"


@pytest.mark.parametrize("ok", (True, False))
def test_a_score_is_printed_written_and_judged(ok, tmp_path, monkeypatch, capsys):
    class Scored:
        def markdown(self):
            return "# table\n"

        def __str__(self):
            return "as text"

    Scored.ok = ok
    monkeypatch.setattr("minconvbert.golden.scoring.score", Scored)
    assert main(["golden", "score", "--write", str(tmp_path / "SCORE.md")]) == (0 if ok else 1)
    assert capsys.readouterr().out == "as text\n" and (tmp_path / "SCORE.md").read_text() == "# table\n"


def test_the_tables_of_tokenize_and_verify(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("The cat"))
    assert main(["tokenize", "-", "--vocab", SHIPPED]) == 0
    rows = [line.split(maxsplit=4) for line in capsys.readouterr().out.splitlines()]
    assert [(row[0], row[2:4]) for row in rows[:3]] == [
        ("token", ["from", "to"]), ("the", ["0", "3"]), ("cat", ["4", "7"])]
    monkeypatch.setattr(ConvBertTokenizer, "explain", lambda *_: [dict(token="slow", id=1, start=0, end=1, why="")])
    for options, slow in (([], False), (["--slow"], True)):
        assert main(["tokenize", "The cat", *options]) == 0 and ("\nslow" in capsys.readouterr().out) == slow
    from minconvbert.faces.pretrained import TOLERANCE
    for differences, code in (([0.5, 1.0], 0), ([1.0, 1.5], 1)):
        monkeypatch.setattr("minconvbert.commands.verify.verify", lambda *_: [
            (f"somebody {i}", d * TOLERANCE) for i, d in enumerate(differences)])
        assert main(["verify", "model"]) == code
        said = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert [line[0] for line in said] == ["equal" if d <= 1 else "DIFFERS" for d in differences]
        assert [float(line[2]) for line in said] == pytest.approx([d * TOLERANCE for d in differences], rel=0.05)


def test_points_are_printed_where_they_are_not_one_for_each(tmp_path, monkeypatch, capsys):
    def grade(file, seed, exercises, limit, points):
        return dict(file=str(file), seed=seed, passed=3, of=5, points=3.5 * points, points_of=5 * points, exercises=[],
                    notes=["a note"])

    monkeypatch.setattr("minconvbert.commands.course.grade", grade)
    for options, said in (([], "3 of 5 right"), (["--points", "2"], "3 of 5 right, 7 of 10 points")):
        assert main(["course", "grade", "a.py", *options]) == 1
        assert capsys.readouterr().out.splitlines() == ["note: a note", said]
    assert main(["course", "grade", "a.py", "b.py"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "== a.py", "note: a note", "3 of 5 right", "== b.py", "note: a note", "3 of 5 right"]
