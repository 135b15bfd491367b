"""The loop: rates, parts of a batch, what a run leaves, what a kill cannot hurt, and the three commands."""

import json
import math
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from finetune_material import SIZES, strong_params, tokenizer, write_data, write_lines, write_model

from minconvbert import checkpoint
from minconvbert.__main__ import main
from minconvbert.checkpoint.safetensors import read_safetensors
from minconvbert.config import ConvBertConfig, param_shapes
from minconvbert.training import finetune, tasks
from minconvbert.training.finetune import fresh_state, layer_scales, start, train
from minconvbert.training.progress import json_line, read_json_lines
from minconvbert.training.recipes import FinetuningRecipe, default_recipe

QUICK = ["--learning-rate", "0.003", "--layer-decay", "1", "--batch-size", "8", "--length", "24", "--log-every", "1",
         "--save-every", "3", "--dropout", "0"]
pytestmark = pytest.mark.usefixtures("no_curves")


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    folder = tmp_path_factory.mktemp("material")
    write_model(folder / "model")
    write_model(folder / "words", "masked_lm")
    write_data(folder)
    return folder


def paths(material):
    return {name: str(path) for name, path in write_data(material).items()}


def arguments(material, task, out, *more, epochs=2):
    data = paths(material)[task]
    model = material / ("words" if task == "masked-lm" else "model")
    return ["finetune", task, "--data", data, "--dev", data, "--model", str(model), "--out", str(out),
            "--epochs", str(epochs), *QUICK, *more]


def model_bytes(out):
    return (out / "model.safetensors").read_bytes()


def test_the_rate_of_each_layer():
    names = list(param_shapes(ConvBertConfig(**SIZES | dict(num_hidden_layers=12)), "sequence_classification"))
    scales, right = (layer_scales(names, 12, 0.8, off) for off in (True, False))
    for name, factor, correct in [
            ("classifier.dense.weight", 1, 1), ("convbert.encoder.layer.11.output.dense.bias", 0.8 ** 2, 0.8),
            ("convbert.encoder.layer.1.output.dense.bias", 0.8 ** 12, 0.8 ** 11),
            ("convbert.embeddings.LayerNorm.weight", 0.8 ** 14, 0.8 ** 13)]:
        assert scales[name] == pytest.approx(factor) and right[name] == pytest.approx(correct), name
    assert layer_scales(["convbert.embeddings_project.weight"], 12, 0.8)["convbert.embeddings_project.weight"] == (
        pytest.approx(0.8 ** 14))
    assert set(layer_scales(names, 12, 1.0).values()) == {1.0}


@pytest.mark.parametrize("name", tasks.TASKS)
def test_a_batch_in_parts_has_the_gradient_of_the_whole(material, name):
    """Rows have one length, because a convolution sees padding; their numbers of labels differ."""
    task = tasks.get(name)
    examples = task.read(paths(material)[name])
    cfg, _, words = start(task, material / ("words" if name == "masked-lm" else "model"), examples)
    features = task.encode(examples, words, cfg, 24)
    alike = [f for f in features if len(f["input_ids"][0]) == len(features[0]["input_ids"][0])][:6]
    if name == "token-classification":
        alike[0] = dict(alike[0], labels=[-100] * (len(alike[0]["labels"]) - 1) + [1])
    params = strong_params(cfg, task.HEAD)
    after = []
    for accumulate in (1, 4):
        state = fresh_state({n: x.copy() for n, x in params.items()})
        state["step"] = 5
        recipe = FinetuningRecipe(accumulate=accumulate, learning_rate=1e-2, layer_decay=1)
        quiet = cfg.replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        figures = finetune.train_step(task, state, alike, quiet, recipe, 10, None)
        after.append((figures, state["params"]))
    exact = 1e-5 if name == "masked-lm" else 1e-9       # its mean adds 1e-6 to the count of each part
    assert after[0][0] == pytest.approx(after[1][0], rel=exact)
    assert any(np.abs(after[0][1][n] - params[n]).max() > 1e-4 for n in params)
    for n, x in after[0][1].items():
        if not n.endswith("key.bias"):                  # its gradient is rounding alone, which Adam makes large
            assert np.abs(after[1][1][n] - x).max() < exact, n


@pytest.mark.parametrize("name", tasks.TASKS)
def test_each_task_from_file_to_answers(material, tmp_path, capsys, name):
    """One word decides every answer, so a small model has to learn them all."""
    out = tmp_path / "run"
    gently = ["--learning-rate", "0.003", "--batch-size", "4", "--seed", "1"] if name == "multiple-choice" else []
    assert main(arguments(material, name, out, *gently, epochs=12)) == 0
    measured = [entry["dev"] for entry in read_json_lines(out / "log.jsonl") if "dev" in entry]
    first = next(iter(measured[0]))
    best = json.loads((out / "training.json").read_text())["best"]
    assert best["dev"][first] == max(one[first] for one in measured)
    assert len(measured) == 12 and not (out / "state.safetensors").exists()
    capsys.readouterr()

    data = paths(material)[name]
    assert main(["evaluate", name, "--model", str(out), "--data", data, "--out", str(tmp_path / "answers.jsonl")]) == 0
    printed = dict(line.rsplit(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    for metric, value in best["dev"].items():
        assert float(printed[metric.replace("_", " ")]) == pytest.approx(value, abs=1e-4)
    if name == "masked-lm":
        assert best["dev"]["log_likelihood"] > measured[0]["log_likelihood"] + 1
        assert main(["predict", name, "--model", str(out), "--text", "the red [MASK] sits"]) == 0
        assert json.loads(capsys.readouterr().out)["words"][0][0][0] in ("cat", "dog", "bird")
        return
    assert best["dev"][first] > 0.95
    assert len(read_json_lines(tmp_path / "answers.jsonl")) == 60
    given, field, wanted = {
        "text-classification": (["--text", "the blue dog runs in the house"], "label", "dog"),
        "token-classification": (["--text", "the red bird sits in the house"], "tags",
                                 ["O", "O", "B-who", "O", "O", "O", "B-where"]),
        "question-answering": (["--question", "who", "--context", "the blue dog runs in the house"], "answer", "dog"),
        "multiple-choice": (["--context", "the green bird runs in the house", "--choices", "cat runs", "dog runs",
                             "bird runs"], "label", 2)}[name]
    assert main(["predict", name, "--model", str(out), *given]) == 0
    assert json.loads(capsys.readouterr().out)[field] == wanted
    assert main(["predict", name, "--model", str(out), "--data", data, "--out", str(tmp_path / "again.jsonl")]) == 0
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "answers.jsonl").read_bytes()


def test_pairs_several_labels_and_numbers(material, tmp_path, capsys):
    rng = np.random.default_rng(0)
    words = ["cat", "dog", "bird"]
    rows = [rng.choice(words, 2).tolist() for _ in range(60)]
    kinds = {
        "pairs": [dict(text=a, text_pair=b, label="yes" if b == "cat" else "no") for a, b in rows],
        "several": [dict(text=f"{a} {b}", label=sorted({a, b} - {"bird"})) for a, b in rows],
        "numbers": [dict(text=f"{a} {b}", label=float(words.index(a) - words.index(b))) for a, b in rows]}
    for kind, entries in kinds.items():
        data = str(write_lines(tmp_path / f"{kind}.jsonl", entries))
        assert main(["finetune", "text-classification", "--data", data, "--dev", data, "--model", str(material / "model"),
                     "--out", str(tmp_path / kind), "--epochs", "14", *QUICK]) == 0
        best = json.loads((tmp_path / kind / "training.json").read_text())["best"]["dev"]
        assert next(iter(best.values())) > 0.9, (kind, best)
    assert best["mean_squared_error"] < 0.3
    cfg = ConvBertConfig.from_json(tmp_path / "several")
    assert cfg.problem_type == "multi_label_classification" and cfg.id2label == {0: "cat", 1: "dog"}


def test_figures_that_are_no_numbers_are_null_in_json(material, tmp_path):
    """Labels that are all alike have no correlation with anything; a context without pieces has no score."""
    write_lines(tmp_path / "alike.jsonl", [dict(text="the red cat", label=1.5)] * 8)
    assert main(["finetune", "text-classification", "--data", str(tmp_path / "alike.jsonl"), "--dev",
                 str(tmp_path / "alike.jsonl"), "--model", str(material / "model"), "--out", str(tmp_path / "run"),
                 "--batch-size", "4"]) == 0
    for name in ("log.jsonl", "training.json"):
        written = (tmp_path / "run" / name).read_text()
        assert '"pearson": null' in written and "NaN" not in written
    assert json_line(dict(margin=math.inf, more=[(1.0, math.nan)])) == '{"margin": null, "more": [[1.0, null]]}\n'


def test_questions_without_an_answer(material, tmp_path, capsys):
    rows = [json.loads(line) for line in open(paths(material)["question-answering"])]
    for i, row in enumerate(rows):
        if i % 3 == 0:
            row |= dict(question="bob", answers=[])
    data = str(write_lines(tmp_path / "data.jsonl", rows))
    assert main(["finetune", "question-answering", "--data", data, "--dev", data, "--model", str(material / "model"),
                 "--out", str(tmp_path / "run"), "--epochs", "12", *QUICK]) == 0
    about = json.loads((tmp_path / "run" / "training.json").read_text())
    assert about["run"]["decode"] == dict(threshold=0.0)
    assert about["best"]["dev"]["unanswerable"] > 0.9 and about["best"]["dev"]["answerable_f1"] > 0.9
    asked = ["predict", "question-answering", "--model", str(tmp_path / "run"), "--context", "the red cat sits in the house"]
    capsys.readouterr()
    main([*asked, "--question", "bob"])
    main([*asked, "--question", "bob", "--no-answer-threshold", "1e9"])
    without, forced = map(json.loads, capsys.readouterr().out.splitlines())
    assert without["answer"] == "" and without["margin"] > 0 and forced["answer"] == forced["span"] == without["span"] != ""


def test_a_run_leaves_curves_log_and_a_folder_for_others(material, tmp_path, curves):
    main(arguments(material, "text-classification", tmp_path / "run"))
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {
        "config.json", "model.safetensors", "vocab.txt", "tokenizer.json", "training.json", "log.jsonl", "curves.png"}
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")
    log = read_json_lines(tmp_path / "run" / "log.jsonl")
    assert [entry["step"] for entry in log if "loss" in entry] == list(range(1, 17))
    assert [entry["step"] for entry in log if "dev" in entry] == [8, 16]
    assert json.loads((tmp_path / "run" / "tokenizer_config.json").read_text())["model_max_length"] == 48
    cfg = ConvBertConfig.from_json(tmp_path / "run")
    assert cfg.id2label == {0: "bird", 1: "cat", 2: "dog"} and cfg.unknown["architectures"] == [
        "ConvBertForSequenceClassification"]


def test_without_matplotlib_there_are_no_curves(material, tmp_path, monkeypatch, capsys, curves):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(arguments(material, "text-classification", tmp_path / "run")) == 0
    assert "no curves.png: it needs matplotlib" in capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "training.json").read_text())["finished"]


def test_the_best_model_is_kept_not_the_last(material, tmp_path, monkeypatch):
    """And of equals the earlier one, also where the run was interrupted after them."""
    scores, seen = iter([0.2, 0.7, 0.7, None, float("nan"), 0.5]), []

    def evaluate(*args, **options):
        score = next(scores)
        if score is None:
            raise KeyboardInterrupt
        return dict(accuracy=score), []

    monkeypatch.setattr(tasks.get("text-classification"), "evaluate", evaluate)
    honest = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda folder, *args: (seen.append(len(seen)), honest(folder, *args)))
    assert [main(arguments(material, "text-classification", tmp_path / "run", epochs=5)) for _ in range(2)] == [130, 0]
    best = json.loads((tmp_path / "run" / "training.json").read_text())["best"]
    assert best == dict(step=16, dev=dict(accuracy=0.7)) and len(seen) == 2


def test_without_development_data_the_last_model_is_kept(material, tmp_path):
    write_model(tmp_path / "model")
    words = tokenizer()
    words.model_max_length = 30                        # which stays, because the model reads 48
    words.save_pretrained(tmp_path / "model")
    full = arguments(material, "text-classification", tmp_path / "run", "--model", str(tmp_path / "model"))
    at = full.index("--dev")
    assert main(full[:at] + full[at + 2 :]) == 0
    assert json.loads((tmp_path / "run" / "tokenizer_config.json").read_text())["model_max_length"] == 30
    assert json.loads((tmp_path / "run" / "training.json").read_text())["best"] == dict(step=16)
    assert (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize("dev", [True, False])
def test_a_kill_after_the_last_step(material, tmp_path, monkeypatch, dev):
    full = arguments(material, "text-classification", tmp_path / "run")
    if not dev:
        at = full.index("--dev")
        full = full[:at] + full[at + 2 :]

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(finetune, "draw_curves", stop)
    assert main(full) == 130
    monkeypatch.undo()
    (tmp_path / "run" / ".state.safetensors.a1b2_c3d.part").write_text("what a writer left that was killed")
    assert main(full) == 0
    assert json.loads((tmp_path / "run" / "training.json").read_text())["best"]["step"] > 0
    assert not list(tmp_path.rglob("*.part")) and not (tmp_path / "run" / "state.safetensors").exists()


def test_same_seed_same_bytes(material, tmp_path):
    folders = [tmp_path / name for name in ("one", "two", "other")]
    for folder, seed in zip(folders, ("3", "3", "4")):
        main(arguments(material, "text-classification", folder, "--seed", seed, "--dropout", "0.2"))
    one, two, other = map(model_bytes, folders)
    assert one == two != other
    assert (folders[0] / "log.jsonl").read_bytes() == (folders[1] / "log.jsonl").read_bytes()


@pytest.mark.parametrize("name", ["text-classification", "masked-lm"])
def test_a_run_that_was_killed_ends_in_the_same_bytes(material, tmp_path, name):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    options = ["--dropout", "0.1", "--eval-every", "5"]
    main(arguments(material, name, whole, *options, epochs=5))
    command = [sys.executable, "-m", "minconvbert", *arguments(material, name, broken, *options, epochs=5)]
    rng = np.random.default_rng(0)
    log = broken / "log.jsonl"
    for _ in range(3):
        seen = len(read_json_lines(log)) if log.exists() else 0
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None:                   # let it get on by a few steps, then kill it anywhere
            time.sleep(0.01)
            if log.exists() and len(read_json_lines(log)) > seen + 6:
                time.sleep(rng.uniform(0, 0.05))
                process.send_signal(signal.SIGKILL)
                break
        assert process.wait() in (0, -signal.SIGKILL)
    if (broken / "state.safetensors").exists():
        assert subprocess.run(command, capture_output=True).returncode == 0
    assert model_bytes(broken) == model_bytes(whole)
    assert log.read_bytes() == (whole / "log.jsonl").read_bytes()
    assert {path.name for path in broken.iterdir()} == {path.name for path in whole.iterdir()}


def test_the_steps_of_the_notebook_are_those_of_the_command(material, tmp_path):
    main(arguments(material, "text-classification", tmp_path / "run"))
    task = tasks.get("text-classification")
    examples = task.read(paths(material)["text-classification"])
    cfg, params, words = start(task, material / "model", examples)
    cfg = cfg.replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    features = task.encode(examples, words, cfg, 24)
    recipe = FinetuningRecipe(epochs=2, batch_size=8, learning_rate=0.003, layer_decay=1)
    state = fresh_state(params)
    losses = [figures["loss"] for figures in train(task, state, features, cfg, recipe)]
    logged = [entry["loss"] for entry in read_json_lines(tmp_path / "run" / "log.jsonl") if "loss" in entry]
    assert losses == logged
    figures, answers = task.evaluate(examples, features, state["params"], cfg)
    best = json.loads((tmp_path / "run" / "training.json").read_text())["best"]
    assert figures["accuracy"] <= best["dev"]["accuracy"] and len(answers) == 60


def test_start_takes_the_weights_and_draws_the_head(material):
    task = tasks.get("text-classification")
    examples = task.read(paths(material)["text-classification"])
    body = read_safetensors(material / "model" / "model.safetensors")
    cfg, params, _ = start(task, material / "model", examples)
    assert all(np.array_equal(params[f"convbert.{name}"], x) for name, x in body.items())
    _, other, _ = start(task, material / "model", examples, seed=1)
    assert not np.array_equal(params["classifier.dense.weight"], other["classifier.dense.weight"])
    _, fresh, _ = start(task, material / "model", examples, random_init=True)
    assert not np.array_equal(fresh["convbert.encoder.layer.0.output.dense.weight"], body["encoder.layer.0.output.dense.weight"])
    assert np.array_equal(fresh["classifier.dense.weight"], params["classifier.dense.weight"])
    assert cfg.num_labels == 3 and {x.dtype for x in params.values()} == {np.dtype(np.float32)}


def test_start_keeps_a_head_that_has_just_these_labels(material, tmp_path):
    main(arguments(material, "text-classification", tmp_path / "run"))
    task = tasks.get("text-classification")
    examples = task.read(paths(material)["text-classification"])
    trained = read_safetensors(tmp_path / "run" / "model.safetensors")
    _, params, _ = start(task, tmp_path / "run", examples)
    assert np.array_equal(params["classifier.out_proj.weight"], trained["classifier.out_proj.weight"])
    _, params, _ = start(task, tmp_path / "run", [one for one in examples if one["label"] != "cat"])
    assert params["classifier.out_proj.weight"].shape == (2, 16)
    assert not np.array_equal(params["classifier.dense.weight"], trained["classifier.dense.weight"])


def refused(capsys, arguments, message, out):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("error: ") and message in error and "Traceback" not in error
    assert not out.exists()


def test_wrong_data_writes_nothing(material, tmp_path, capsys):
    out = tmp_path / "out"

    def finetune_on(task, rows, *more, dev=None):
        data = str(write_lines(tmp_path / "data.jsonl", rows))
        return ["finetune", task, "--data", data, *(["--dev", str(write_lines(tmp_path / "dev.jsonl", dev))] if dev else []),
                "--model", str(material / "model"), "--out", str(out), *more]

    good = [dict(text="cat", label="a"), dict(text="dog", label="b")]
    refused(capsys, finetune_on("text-classification", good, dev=[good[0], dict(text="dog", label="c")]),
            "dev.jsonl, line 2: a label must be one of 'a', 'b', but is 'c'", out)
    refused(capsys, finetune_on("text-classification", [*good, dict(text="dog", label="z")], "--labels", "a", "b"),
            "data.jsonl, line 3: a label must be one of 'a', 'b', but is 'z'", out)
    choices = [dict(context="a", choices=["b", "c"], label=0)]
    refused(capsys, finetune_on("multiple-choice", choices, dev=[dict(context="a", choices=["b"] * 3, label=0)]),
            "dev.jsonl, line 1: there must be 2 choices, as in the first example, but there are 3", out)
    refused(capsys, finetune_on("question-answering", good), "line 1: there must be 'question'", out)
    refused(capsys, finetune_on("text-classification", good, "--length", "999"),
            "--length must be from 3 to max_position_embeddings = 48, but is 999", out)
    refused(capsys, finetune_on("text-classification", good, "--column", "xpos"), "--column is for token-classification", out)
    (tmp_path / "plain.txt").write_text("\u200b\n")       # no word is left of it
    refused(capsys, ["finetune", "masked-lm", "--data", str(tmp_path / "plain.txt"), "--model", str(material / "words"),
                     "--out", str(out)], "document 1: there must be a word that can be hidden", out)
    for option, wrong, limits in (
            ("--length", "2", "from 3 to"), ("--learning-rate", "-1", "at least 0"), ("--learning-rate", "nan", "at least 0"),
            ("--warmup", "100", "from 0 to 1"), ("--clip", "0", "at least 1e-09"), ("--seed", "-1", "at least 0"),
            ("--layer-decay", "-2", "at least 0")):
        refused(capsys, finetune_on("text-classification", good, option, wrong), f"{option} must be {limits}", out)
    refused(capsys, finetune_on("text-classification", good, "--summary", "last"),
            "--summary is for multiple-choice only, but the task is text-classification", out)
    refused(capsys, finetune_on("text-classification", good, "--epochs", "0"), "--epochs must be at least 1, but is 0", out)
    refused(capsys, finetune_on("text-classification", good, "--dropout", "1.5"), "must be a probability in [0, 1)", out)
    refused(capsys, finetune_on("text-classification", good)[:-1] + [str(tmp_path / "out")] + ["--model", str(tmp_path)],
            "vocab.txt", out)


def told(capsys, folder, summary):
    """What `predict` says of a folder with another training.json."""
    (folder / "training.json").write_text(summary)
    assert main(["predict", "text-classification", "--model", str(folder), "--text", "cat"]) == 2
    return capsys.readouterr().err


def test_folders_that_are_in_the_way(material, tmp_path, capsys):
    full = arguments(material, "text-classification", tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("all my work")
    assert main(full) == 2
    assert "holds other files" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.txt"]
    full = arguments(material, "text-classification", tmp_path / "done")
    assert main(full) == 0 and main([*full, "--seed", "77"]) == 2
    assert "holds a finished run with other options or data" in capsys.readouterr().err
    assert "must be as fine-tuning wrote it" in told(capsys, tmp_path / "done", "{}")
    assert "must be as fine-tuning wrote it" in told(capsys, tmp_path / "done", '{"run": [1], "finished": true}')
    full = arguments(material, "text-classification", tmp_path / "run" / "thesis.txt")
    assert main(full) == 2 and "must be a folder" in capsys.readouterr().err


def test_a_state_of_other_options_is_refused(material, tmp_path, capsys, monkeypatch):
    full = arguments(material, "text-classification", tmp_path / "run")

    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(tasks.get("text-classification"), "evaluate", stop)
    assert main(full) == 130
    monkeypatch.undo()
    before = (tmp_path / "run" / "state.safetensors").read_bytes()
    assert main([*full, "--seed", "9"]) == 2
    assert "the state of another run (seed differ)" in capsys.readouterr().err
    write_lines(material / "texts.jsonl", [dict(text="cat", label="dog"), dict(text="cat", label="cat"),
                                           dict(text="cat", label="bird")])
    full[3] = full[5] = str(material / "texts.jsonl")
    assert main(full) == 2
    assert "state of another run" in capsys.readouterr().err
    assert (tmp_path / "run" / "state.safetensors").read_bytes() == before


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value", "ignore:divide by zero")
def test_a_gradient_that_is_not_finite_stops_the_run(material, tmp_path, capsys):
    assert main(arguments(material, "text-classification", tmp_path / "run", "--learning-rate", "1e38")) == 2
    assert "gradients are not finite" in capsys.readouterr().err


def test_predict_says_what_it_takes(material, tmp_path, capsys):
    main(arguments(material, "text-classification", tmp_path / "run"))
    for arguments_, message in (
            ([], "pass either --data FILE or one example, which for this task is --text --text-pair"),
            (["--text", "a", "--data", "b"], "pass either --data FILE or one example"),
            (["--text", "a", "--question", "b"], "--question cannot be used with text-classification"),
            (["--text", " "], "the command line: text must not be empty"),
            (["--text", "a", "--length", "0"], "--length must be from 3 to"),
            (["--text", "a", "--column", "xpos"], "--column is for token-classification only"),
            (["--text", "a", "--no-answer-threshold", "1"], "is for question-answering only")):
        capsys.readouterr()
        assert main(["predict", "text-classification", "--model", str(tmp_path / "run"), *arguments_]) == 2
        assert message in capsys.readouterr().err
    assert main(["evaluate", "token-classification", "--model", str(tmp_path / "run"), "--data",
                 paths(material)["token-classification"]]) == 2
    assert "must be fine-tuned for this task, but is for text-classification" in capsys.readouterr().err


def test_a_model_is_read_as_it_was_trained(tmp_path):
    """Another length changes nothing else; what was trained elsewhere gets the usual length."""
    task = tasks.get("question-answering")
    write_model(tmp_path, "question_answering", num_labels=2)
    options = lambda *length: finetune.load_finetuned(task, tmp_path, *length)[3:]
    assert options() == (dict(length=48), {}) and options(20) == (dict(length=20), {})
    finetune.write_summary(tmp_path / "training.json", dict(
        task="question-answering", encode=dict(length=30, stride=7), decode=dict(threshold=0.5)), FinetuningRecipe(),
        finished=True)
    assert options() == (dict(length=30, stride=7), dict(threshold=0.5))
    assert options(20) == (dict(length=20, stride=7), dict(threshold=0.5))


def test_masked_words_of_a_pretrained_folder(material, tmp_path, capsys):
    """Its masked-word model is in `generator`; and a text of a file that has no mask is named."""
    write_model(tmp_path / "both")
    write_model(tmp_path / "both" / "generator", "masked_lm")
    told = []
    for folder in ("both", "both/generator"):
        assert main(["evaluate", "masked-lm", "--model", str(tmp_path / folder), "--data", paths(material)["masked-lm"]]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1] and "log likelihood" in told[0]
    (tmp_path / "some.txt").write_text("the [MASK] sits\n\nthe cat\n")
    asked = ["predict", "masked-lm", "--model", str(tmp_path / "both"), "--data", str(tmp_path / "some.txt")]
    assert main(asked) == 2
    assert "some.txt, document 2: the text must have a [MASK]" in capsys.readouterr().err
    (tmp_path / "some.txt").write_text("the [MASK] sits\n\nthe [MASK] [MASK]\n")
    assert main(asked) == 0
    assert [len(json.loads(line)["words"]) for line in capsys.readouterr().out.splitlines()] == [1, 2]


def test_default_rates_are_the_originals():
    task = tasks.get("text-classification")
    for width, rate in ((768, 1e-4), (384, 3e-4), (256, 3e-4)):
        cfg = ConvBertConfig(hidden_size=width, num_attention_heads=4)
        assert default_recipe(task, cfg) == FinetuningRecipe(
            learning_rate=rate, epochs=3, batch_size=32, warmup=0.1, decay=0.01, layer_decay=0.8, clip=1.0)
    assert tokenizer().vocab_size == SIZES["vocab_size"]


def test_a_head_is_kept_for_the_same_labels_alone(tmp_path):
    """Equally many labels are not the same labels, and neither are the same numbers of another problem."""
    task, names = tasks.get("text-classification"), {0: "a", 1: "b"}
    write_model(tmp_path, "sequence_classification", num_labels=2, id2label=names,
                problem_type="single_label_classification")
    stored = read_safetensors(tmp_path / "model.safetensors")["classifier.dense.weight"]

    def head(wanted, **options):
        examples = [dict(where="", text="cat", label=label) for label in wanted]
        return start(task, tmp_path, examples, **options)[1]["classifier.dense.weight"]

    assert np.array_equal(head(["a", "b"]), stored)
    assert not np.array_equal(head(["a", "c"]), stored)
    assert not np.array_equal(head(["a", "b"], labels=["b", "a"]), stored)
    assert not np.array_equal(head([["a"], ["b"]]), stored)
    assert np.array_equal(head(["a", "c"]), head(["a", "c"])) and not np.array_equal(
        head(["a", "c"]), head(["a", "c"], seed=1))
    write_model(tmp_path, "sequence_classification", num_labels=2, id2label={0: 0, 1: 1},
                problem_type="single_label_classification")            # as transformers writes whole numbers
    stored = read_safetensors(tmp_path / "model.safetensors")["classifier.dense.weight"]
    assert np.array_equal(head(["0", "1"]), stored) and not np.array_equal(head(["0", "2"]), stored)
