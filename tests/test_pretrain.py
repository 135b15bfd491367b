import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from finetune_material import tokenizer
from test_corpus import write_corpus

from minconvbert.checkpoint.safetensors import read_metadata, read_safetensors
from minconvbert.commands import pretrain as command
from minconvbert.config import ConvBertConfig
from minconvbert.electra import RowRandom, generator_config
from minconvbert.training import pretrain
from minconvbert.training.metrics import area_under_curve
from minconvbert.training.progress import read_json_lines
from minconvbert.training.ranks import Ranks
from minconvbert.training.recipes import OBJECTIVES, PRESETS
from minconvbert.training.runs import draw_curves, save_state

MODEL = dict(vocab_size=120, hidden_size=16, embedding_size=8, num_hidden_layers=1, num_attention_heads=4,
             intermediate_size=32, max_position_embeddings=32, conv_kernel_size=3)
OPTIONS = ["--length", "32", "--batch-size", "8", "--warmup", "4", "--save-every", "3", "--eval-every", "8",
           "--log-every", "1", "--learning-rate", "0.01"]
SPECIAL = dict(mask=4, cls=2, sep=3, pad=0)
pytestmark = pytest.mark.usefixtures("no_curves")


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """A corpus, a config and a vocabulary that pretraining made of it."""
    folder = tmp_path_factory.mktemp("material")
    write_corpus(folder / "text.txt")
    (folder / "config.json").write_text(json.dumps(MODEL))
    assert run_here(folder, folder / "first", steps=1) == 0
    return folder


def arguments(material, out, steps, *more):
    vocab = material / "first" / "vocab.txt"
    return ["--corpus", str(material / "text.txt"), "--config", str(material / "config.json"), "--out", str(out),
            "--steps", str(steps), *OPTIONS, *(["--vocab", str(vocab)] if vocab.exists() else []), *more]


def run_here(material, out, steps, *more):
    return command.main(arguments(material, out, steps, *more))


def every_file(out):
    return {path.relative_to(out): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_a_run_leaves_a_model_a_log_and_curves(material, tmp_path, curves, capsys):
    assert run_here(material, tmp_path, 16) == 0
    said = capsys.readouterr().err.splitlines()[-1]
    assert " loss " in said and " norm " in said and " rate " not in said
    assert {path.name for path in (tmp_path / "model").iterdir()} >= {
        "config.json", "model.safetensors", "vocab.txt", "generator", "discriminator_head.safetensors"}
    for folder in ("model", "model/generator"):
        assert json.loads((tmp_path / folder / "tokenizer_config.json").read_text())["model_max_length"] == 32
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    log = read_json_lines(tmp_path / "log.jsonl")
    losses = [entry["loss"] for entry in log if "loss" in entry]
    held_out = [entry["held_out"] for entry in log if "held_out" in entry]
    assert len(losses) == 16 and losses[-1] < losses[0]
    assert len(held_out) == 2 and held_out[-1].keys() == {
        "masked_loss", "masked_accuracy", "hidden_loss", "hidden_accuracy", "auc", "accuracy", "replaced"}


def test_curves_of_a_log_with_nothing_in_it(tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "log.jsonl").write_text("")
    draw_curves(tmp_path / "log.jsonl", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_masked_words_alone(material, tmp_path):
    assert run_here(material, tmp_path, 6, "--objective", "masked-lm") == 0
    names = read_safetensors(tmp_path / "model" / "model.safetensors")
    assert "generator_lm_head.bias" in names and "convbert.embeddings.LayerNorm.weight" in names


def test_a_run_that_was_killed_ends_in_the_same_bytes(material, tmp_path, curves):
    steps, kills = 60, 3
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run_here(material, whole, steps)
    command = [sys.executable, "-m", "minconvbert", "pretrain", *arguments(material, broken, steps)]
    rng = np.random.default_rng(0)
    for _ in range(kills):
        seen = len(read_json_lines(broken / "log.jsonl")) if (broken / "log.jsonl").exists() else 0
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None:                   # let it get on by a few steps, then kill it anywhere
            time.sleep(0.01)
            if (broken / "log.jsonl").exists() and len(read_json_lines(broken / "log.jsonl")) > seen + 4:
                time.sleep(rng.uniform(0, 0.05))
                process.send_signal(signal.SIGKILL)
                break
        assert process.wait() in (0, -signal.SIGKILL)
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert every_file(broken) == every_file(whole)
    steps_logged = [entry["step"] for entry in read_json_lines(broken / "log.jsonl") if "loss" in entry]
    assert steps_logged == list(range(1, steps + 1))


def test_a_kill_after_the_last_step(material, tmp_path, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(pretrain, "export", stop)
    with pytest.raises(KeyboardInterrupt):
        run_here(material, tmp_path, 3)
    monkeypatch.undo()
    (tmp_path / ".state.safetensors.a1b2_c3d.part").write_text("what a writer left that was killed")
    assert run_here(material, tmp_path, 3) == 0
    assert [entry["step"] for entry in read_json_lines(tmp_path / "log.jsonl") if "unigrams" in entry] == [3]
    assert (tmp_path / "model" / "model.safetensors").exists() and not list(tmp_path.glob("*.part"))


def test_text_without_documents_has_nothing_held_out(material, tmp_path, capsys, recwarn, curves):
    (tmp_path / "one.txt").write_text((material / "text.txt").read_text().replace("\n\n", "\n"))
    assert command.main([*arguments(material, tmp_path, 3), "--corpus", str(tmp_path / "one.txt")]) == 0
    assert "no held-out figures: they need 100 documents" in capsys.readouterr().err
    assert not [warning for warning in recwarn if "legend" in str(warning.message)]


def rates_of(log):
    return [entry["rate"] for entry in read_json_lines(log) if "rate" in entry]


def test_the_rate_falls_in_the_last_share_of_the_steps(material, tmp_path):
    run_here(material, tmp_path, 10, "--decay-share", "0.4", "--warmup", "2")
    assert rates_of(tmp_path / "log.jsonl") == pytest.approx(
        [0, 0.005, 0.01, 0.01, 0.01, 0.01, 0.01, 0.0075, 0.005, 0.0025])


def test_the_generator_has_a_rate_of_its_own():
    """From zero moments, the first step of every parameter is proportional to its rate."""
    cfg = ConvBertConfig(**MODEL | dict(vocab_size=50, pad_token_id=0))
    recipe = replace(PRESETS["tiny"], batch_size=8, steps=10, warmup=0, decay=0.0, learning_rate=0.01)
    before = tiny_state(recipe, cfg)[0]["params"]
    moved = {}
    for rate in (None, 0.03):
        state, generator, examples = tiny_state(recipe, cfg)
        pretrain.train_step(state, examples, SPECIAL, cfg, generator, replace(recipe, generator_rate=rate))
        moved[rate] = {name: state["params"][name] - x for name, x in before.items()}
    own = {name for name in before if name.startswith("generator")}
    assert {name.split(".")[0] for name in own} == {"generator", "generator_predictions", "generator_lm_head"}
    assert {name.split(".")[0] for name in before.keys() - own} == {
        "embeddings", "discriminator", "discriminator_predictions"}
    for name in before:
        factor = 3 if name in own else 1
        assert moved[0.03][name] == pytest.approx(factor * moved[None][name], rel=1e-6, abs=1e-12), name
        assert (moved[None][name] != 0).any() or name.endswith("key.bias"), name


def test_the_hidden_places_are_counted_by_themselves(material, tmp_path):
    """The figures of all places are the mean of those of the hidden ones and of the others, here of a model that copies
    what it can see and knows the share of each word."""
    shares = np.arange(1.0, 51)
    shares[:5] = 1e-9
    shares /= shares.sum()
    rows = np.random.default_rng(3).integers(5, 50, (30, 16)).astype(np.uint16)
    rows[:, 0], rows[:, -1] = 2, 3
    figures = pretrain.unigram_baseline(shares, rows, SPECIAL, batch_size=30)
    batch, places = pretrain.masked_batch(rows, RowRandom(0, 0, range(30)), SPECIAL)
    hidden = np.array([batch["masked_ids"][r, t] == 4 for r, t in zip(places["rows"], places["positions"])])
    assert 0.7 < hidden.mean() < 0.95
    best = places["labels"] == 49
    assert figures["hidden_accuracy"] == pytest.approx(best[hidden].mean())
    assert figures["masked_accuracy"] == pytest.approx(best[hidden].mean() * hidden.mean() + 1 - hidden.mean())
    losses = np.log(shares.sum() / shares)[places["labels"]]
    assert figures["masked_loss"] == pytest.approx(losses.mean())
    assert figures["hidden_loss"] == pytest.approx(losses[hidden].mean())


def test_a_run_that_begins_with_another(material, tmp_path):
    """At its step, with its moments: two runs with one schedule, one after the other, are one run."""
    constant = ("--decay-share", "0.1", "--warmup", "2")
    run_here(material, tmp_path / "whole", 20, *constant)
    run_here(material, tmp_path / "first", 12, "--decay-share", "0.0001", "--warmup", "2")
    begin = ("--init-from", str(tmp_path / "first" / "state.safetensors"))
    run_here(material, tmp_path / "second", 20, *constant, *begin)
    whole, second = (every_file(tmp_path / name) for name in ("whole", "second"))
    for name in ("state.safetensors", "model/model.safetensors"):
        assert second[Path(name)] == whole[Path(name)]
    shutil.rmtree(tmp_path / "first")                   # it goes on from its own state from now on
    run_here(material, tmp_path / "second", 20, *constant, *begin)
    assert every_file(tmp_path / "second") == second


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_run_that_begins_with_a_model(material, tmp_path, objective):
    run_here(material, tmp_path / "first", 5, "--objective", objective)
    learned = read_safetensors(tmp_path / "first" / "state.safetensors")
    run_here(material, tmp_path / "second", 1, "--objective", objective, "--warmup", "9",
             "--init-from", str(tmp_path / "first" / "model"))          # step 0 of a warm-up has a rate of 0
    state = read_safetensors(tmp_path / "second" / "state.safetensors")
    assert {n for n in state if n.startswith("params.")} == {n for n in learned if n.startswith("params.")}
    for name in state:
        if name.startswith("params."):
            assert (state[name] == learned[name]).all(), name
    assert read_metadata(tmp_path / "second" / "state.safetensors")["step"] == "1"


def test_a_run_cannot_begin_with_what_does_not_fit(material, tmp_path):
    run_here(material, tmp_path / "first", 5)
    state = str(tmp_path / "first" / "state.safetensors")
    for more, message in (
            (("--steps", "5"), "--steps must be above the step of .*state.safetensors, 5, but is 5"),
            (("--generator-width", "1"), "must hold the parameters of this model and generator, but differs in"),
            (("--objective", "masked-lm"), "must hold the parameters of this model and generator, but differs in")):
        with pytest.raises(ValueError, match=message):
            run_here(material, tmp_path / "second", 9, "--init-from", state, *more)
        assert not (tmp_path / "second" / "state.safetensors").exists()
    (tmp_path / "wider.json").write_text(json.dumps(MODEL | dict(hidden_size=32)))
    with pytest.raises(ValueError, match=r"state of another run \(hidden_size"):
        run_here(material, tmp_path / "second", 9, "--init-from", state, "--config", str(tmp_path / "wider.json"))
    save_state(tmp_path / "tuned.safetensors", dict(step=1, params={}, moments={}), dict(task=dict(name="tokens")))
    with pytest.raises(ValueError, match=r"tuned.safetensors is the state of another run \("):
        run_here(material, tmp_path / "second", 9, "--init-from", str(tmp_path / "tuned.safetensors"))
    with pytest.raises(ValueError, match="nowhere must be a file of tensors, but there is no such file"):
        run_here(material, tmp_path / "second", 9, "--init-from", str(tmp_path / "nowhere"))


def test_a_plateau_is_reported(material, tmp_path, capsys):
    """The corpus is of random letters: there is nothing to learn of their context."""
    run_here(material, tmp_path, 40, "--log-every", "3")
    said = capsys.readouterr().err
    assert said.count("after a tenth of the run, and word frequencies alone give") == 1
    assert "] 40/40" in said.split("after a tenth of the run")[1]
    logged = {entry["step"]: entry.get("generator_loss") for entry in read_json_lines(tmp_path / "log.jsonl")}
    # The log has steps 3 and 6 when the tenth, 4 steps, is over.
    assert f"the loss of masked words is {logged[6]:.2f} after" in said and round(logged[6], 2) != round(logged[3], 2)
    run_here(material, tmp_path, 40, "--log-every", "3")                   # nothing is trained, nothing is said
    assert "after a tenth" not in capsys.readouterr().err


def test_what_is_a_plateau(capsys):
    """Four words of equal shares: 1.39 nats. The second half of what the log has of the first tenth counts."""
    frequencies = np.array([1e-9, 0.25, 0.25, 0.25, 0.25])
    recipe = PRESETS["tiny"]
    for losses, said in (([9, 9, 1.38, 1.40], True), ([9, 9, 1.2, 1.3], False), ([1, 1, 1.5, 1.5], True)):
        entries = [dict(generator_loss=x, loss=0.0) for x in losses] + [dict(held_out=dict(masked_loss=9.0))]
        pretrain.warn_of_plateau(entries, recipe, frequencies)
        assert ("word frequencies alone give 1.39" in capsys.readouterr().err) == said, losses
    pretrain.warn_of_plateau([dict(loss=0.5)], replace(recipe, objective="masked-lm"), frequencies)
    pretrain.warn_of_plateau([dict(loss=1.4)], replace(recipe, objective="masked-lm"), frequencies)
    assert capsys.readouterr().err.count("loss of masked words is 1.40 after") == 1


def tiny_state(recipe, cfg, seed=0):
    generator = generator_config(cfg, recipe.generator_width, recipe.generator_layers)
    state = pretrain.fresh_state(cfg, generator, recipe, np.float64)
    examples = np.random.default_rng(seed).integers(5, 50, (40, 16)).astype(np.uint16)
    examples[:, 0], examples[:, -1] = 2, 3
    return state, generator, examples


def test_two_ranks_update_as_one_with_the_whole_batch():
    """Both ranks run here, one after the other: what each adds up is replayed from a first pass."""
    cfg = ConvBertConfig(**MODEL | dict(vocab_size=50, pad_token_id=0))
    recipe = replace(PRESETS["tiny"], batch_size=8, steps=10, warmup=2, dropout=True, learning_rate=0.01)
    alone, generator, examples = tiny_state(recipe, cfg)
    alone["step"] = 3
    figures = pretrain.train_step(alone, examples, SPECIAL, cfg, generator, recipe)

    class Halt(Exception):
        pass

    totals = []                                         # one array for each call of add_up, of both ranks together
    while True:
        parts = []
        for rank in range(2):
            state, _, _ = tiny_state(recipe, cfg)
            state["step"] = 3
            calls = iter(range(99))

            def add_up(array):
                call = next(calls)
                if call == len(totals):
                    parts.append(array.copy())
                    raise Halt
                array[...] = totals[call]

            try:
                shared = pretrain.train_step(state, examples, SPECIAL, cfg, generator, recipe, Ranks(rank, 2, add_up))
            except Halt:
                continue
        if not parts:
            break
        totals.append(parts[0] + parts[1])
    assert shared["loss"] == pytest.approx(figures["loss"], rel=1e-13)
    for name, x in alone["params"].items():
        if not name.endswith("key.bias"):               # its gradient is rounding alone, which Adam makes large
            assert np.abs(state["params"][name] - x).max() < 1e-10, name


@pytest.mark.skipif(not (shutil.which("mpiexec") or Path(sys.executable).with_name("mpiexec").exists()),
                    reason="no mpiexec: install an MPI, as pip install mpich")
def test_two_processes(material, tmp_path):
    pytest.importorskip("mpi4py")
    one, two = tmp_path / "one", tmp_path / "two"
    run_here(material, one, 5)
    command = [sys.executable, "-m", "minconvbert", "pretrain", *arguments(material, two, 5), "--processes", "2"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1"})
    assert done.returncode == 0, done.stderr
    expected = read_safetensors(one / "model" / "model.safetensors")
    for name, x in read_safetensors(two / "model" / "model.safetensors").items():
        if not name.endswith("key.bias"):
            assert np.abs(x - expected[name]).max() < 1e-3, name
    (tmp_path / "empty.txt").write_text("")             # one rank finds out, the other waits for it
    done = subprocess.run([*command, "--corpus", str(tmp_path / "empty.txt"), "--out", str(tmp_path / "three")],
                          timeout=60, capture_output=True, text=True, env=os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1"})
    assert done.returncode == 2 and "error: the corpus must have text" in done.stderr
    assert [e["tokens"] for e in read_json_lines(one / "log.jsonl") if "tokens" in e] == [
        e["tokens"] for e in read_json_lines(two / "log.jsonl") if "tokens" in e]


@pytest.mark.parametrize("code, ours", ((0, 0), (3, 3), (-9, 137)))
def test_processes_are_started_once_and_end_with_the_code_of_a_shell(code, ours, monkeypatch):
    started = []

    def popen(command, env, start_new_session):
        started.append((command, env))
        return SimpleNamespace(wait=lambda: code)

    monkeypatch.delenv("MINCONVBERT_RANKS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setattr(command.subprocess, "Popen", popen)
    monkeypatch.setattr(command.signal, "signal", lambda *_: None)
    assert command.main(["--corpus", "a", "--out", "b", "--processes", "3"]) == ours
    ((arguments, environment),) = started
    assert arguments[1:3] == ["-n", "3"] and arguments[3:] == [
        sys.executable, "-m", "minconvbert", "pretrain", "--corpus", "a", "--out", "b", "--processes", "3"]
    assert [environment[f"{name}_NUM_THREADS"] for name in ("OMP", "OPENBLAS")] == ["1", "1"]
    assert environment["MINCONVBERT_RANKS"] == "3"


def test_a_gradient_that_is_not_finite_stops_the_run_and_changes_nothing(material, tmp_path, monkeypatch):
    honest = pretrain.pretraining_loss_backward

    def poisoned(acts, params, cfg, generator_cfg):
        grads = honest(acts, params, cfg, generator_cfg)
        poisoned.steps += 1
        if poisoned.steps == 5:
            grads["generator_predictions.dense.weight"][0, 0] = np.nan
        return grads

    poisoned.steps = 0
    monkeypatch.setattr(pretrain, "pretraining_loss_backward", poisoned)
    with pytest.raises(FloatingPointError, match=(
            "step 4: gradients are not finite: generator_predictions.dense.weight. "
            "The last good state stays in .*state.safetensors; try a lower")):
        run_here(material, tmp_path, 9)
    poisoned.steps = 3
    with pytest.raises(FloatingPointError, match="step 1: .* No state has been saved yet; try a lower"):
        run_here(material, tmp_path / "other", 9)
    assert read_metadata(tmp_path / "state.safetensors")["step"] == "3"


def test_another_configuration_is_refused(material, tmp_path):
    run_here(material, tmp_path, 3)
    before = (tmp_path / "state.safetensors").read_bytes()
    with pytest.raises(ValueError, match=r"state of another run \(clip|state of another run \(learning_rate differ\)"):
        run_here(material, tmp_path, 3, "--learning-rate", "0.5")
    assert (tmp_path / "state.safetensors").read_bytes() == before


def test_options_out_of_range(material, tmp_path):
    for option, wrong, message in (
            ("--length", "7", "must be from 8 to max_position_embeddings = 32, but is 7"),
            ("--length", "33", "must be from 8 to max_position_embeddings = 32, but is 33"),
            ("--warmup", "-5", "must be at least 0, but is -5"),
            ("--learning-rate", "nan", "must be at least 0, but is nan"),
            ("--steps", "0", "must be at least 1, but is 0"),
            ("--decay-share", "0", "must be above 0 and at most 1, but is 0"),
            ("--decay-share", "1.5", "must be above 0 and at most 1, but is 1.5"),
            ("--generator-rate", "-1", "must be at least 0, but is -1")):
        with pytest.raises(ValueError, match=f"{option} {message}"):
            run_here(material, tmp_path / "out", 3, option, wrong)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(material, tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 7}\n')
    with pytest.raises(ValueError, match="must be a new folder, or hold a pretraining to go on with, but .* holds log.jsonl"):
        run_here(material, tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"] and (tmp_path / "log.jsonl").stat().st_size == 12


def test_a_state_that_is_none(material, tmp_path):
    run_here(material, tmp_path, 1)
    shutil.copy(tmp_path / "model" / "model.safetensors", tmp_path / "state.safetensors")
    with pytest.raises(ValueError, match="must be the state of a run, but is another file"):
        run_here(material, tmp_path, 1)


def test_a_word_that_is_there_twice(material, tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", "a"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    for size, fits in ((len(words) - 1, False), (len(words), True)):
        (tmp_path / "config.json").write_text(json.dumps(MODEL | dict(vocab_size=size)))
        options = ("--vocab", str(tmp_path / "vocab.txt"), "--config", str(tmp_path / "config.json"))
        with contextlib.nullcontext() if fits else pytest.raises(
                ValueError, match=f"must have at most vocab_size = {size} entries, but has {len(words)}"):
            assert run_here(material, tmp_path / "out", 1, *options) == 0


def test_a_corpus_smaller_than_a_batch(material, tmp_path):
    (tmp_path / "little.txt").write_text("a few words.\n")
    with pytest.raises(ValueError, match="must fill a batch of 8, but gives 1 examples"):
        command.main([*arguments(material, tmp_path, 3), "--corpus", str(tmp_path / "little.txt")])
    assert command.main([*arguments(material, tmp_path, 1), "--corpus", str(tmp_path / "little.txt"), "--batch-size", "1"]) == 0


def test_a_small_text_without_stops(tmp_path, capsys):
    """The vocabulary is what the text gives, and all of the text is learned: 5,000 words, 30 in a row."""
    (tmp_path / "little.txt").write_text(" ".join(["cat dog tree house"] * 1250) + "\n")
    command.main(["--corpus", str(tmp_path / "little.txt"), "--out", str(tmp_path / "out"), "--steps", "1",
                  "--batch-size", "1", "--length", "32"])
    said = capsys.readouterr().err
    assert "the text gives a vocabulary of 113 tokens, fewer than the model's vocab_size of 8,192" in said
    assert "167 examples hold 100.0% of the 5,000 pieces of the text; 0.0% of them are [UNK]" in said
    assert "warning" not in said
    assert json.loads((tmp_path / "out" / "model" / "config.json").read_text())["vocab_size"] == 113


def test_what_is_held_out_makes_no_vocabulary(tmp_path):
    """Nor does what comes after so many characters."""
    (tmp_path / "text.txt").write_text("cat cat\n\n" * 99 + "中中\n\n" + "文文\n")
    learned = []
    for most in (1000, 10):
        pretrain.train_vocabulary([tmp_path / "text.txt"], 500, tmp_path / "vocab.txt", most)
        learned.append({"cat", "中", "文"} & set((tmp_path / "vocab.txt").read_text().split()))
    assert learned == [{"cat", "文"}, {"cat"}]


def test_an_export_in_half_precision_is_one_in_every_file(tmp_path):
    cfg = ConvBertConfig(**MODEL | dict(pad_token_id=0))
    state, generator, _ = tiny_state(PRESETS["tiny"], cfg)
    pretrain.export(tmp_path, state["params"], cfg, generator, PRESETS["tiny"], tokenizer(), np.float16)
    for name in ("model.safetensors", "generator/model.safetensors", "discriminator_head.safetensors"):
        assert {x.dtype for x in read_safetensors(tmp_path / name).values()} == {np.dtype(np.float16)}


def test_an_empty_corpus(tmp_path):
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(ValueError, match="must have text, but there is none"):
        command.main(["--corpus", str(tmp_path / "empty.txt"), "--out", str(tmp_path / "out")])


def test_a_full_disk_leaves_the_last_state_whole(material, tmp_path, monkeypatch):
    run_here(material, tmp_path, 3)
    before = (tmp_path / "state.safetensors").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device: .*state.safetensors"):
        save_state(
            tmp_path / "state.safetensors", dict(step=9, params={"a": np.ones(3)}, moments={}), {})
    assert (tmp_path / "state.safetensors").read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".state")]


def test_area_under_curve_counts_pairs():
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 6, 60).astype(float), rng.integers(0, 2, 60)
    positive, negative = scores[labels == 1][:, None], scores[labels == 0][None]
    expected = (positive > negative).mean() + (positive == negative).mean() / 2
    assert area_under_curve(scores, labels) == pytest.approx(expected, rel=1e-12)
    assert np.isnan(area_under_curve(scores, np.ones(60, int)))
