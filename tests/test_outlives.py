"""Trainings that are stopped, seen by nobody, started twice, or in a folder of other things; commands out of memory."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from finetune_material import write_data, write_model
from test_corpus import write_corpus
from test_pretrain import MODEL, OPTIONS, every_file

from minconvbert import __main__ as program
from minconvbert.commands import finetune as finetune_command
from minconvbert.commands import pretrain as pretrain_command
from minconvbert.files import locked, no_key_twice, remove_parts
from minconvbert.training import corpus, finetune, pretrain, runs
from minconvbert.training.progress import Progress, say
from minconvbert.training.ranks import Ranks

ROOT = Path(__file__).parent.parent
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
WORDS += [f"##{letter}" for letter in WORDS[5:]]
ENVIRONMENT = os.environ | dict(PYTHONPATH=str(ROOT), MPLBACKEND="Agg")
pytestmark = pytest.mark.usefixtures("no_curves")


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    return make_material(tmp_path_factory.mktemp("trainings") / "material")


def make_material(folder, documents=250):
    """What both trainings need: a corpus with its vocabulary and configuration; a model and data of a task."""
    folder.mkdir()
    write_corpus(folder / "text.txt", documents)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    (folder / "config.json").write_text(json.dumps(MODEL))
    write_model(folder / "model")
    write_data(folder, 24)
    return folder


def pretraining(material, out, steps=6, *more):
    return ["pretrain", "--corpus", str(material / "text.txt"), "--vocab", str(material / "vocab.txt"), "--config",
            str(material / "config.json"), "--out", str(out), "--steps", str(steps), *OPTIONS, *more]


def finetuning(material, out, *more):
    return ["finetune", "text-classification", "--data", str(material / "texts.jsonl"), "--model",
            str(material / "model"), "--out", str(out), "--epochs", "2", "--batch-size", "8", "--log-every", "1", *more]


COMMANDS = pytest.mark.parametrize("training", [pretraining, finetuning])


def in_process(arguments):
    return {"pretrain": pretrain_command, "finetune": finetune_command}[arguments[0]].main(arguments[1:])


def without_log_times(out):
    return {name: data for name, data in every_file(out).items() if name.suffix != ".png"}


@COMMANDS
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_saves_the_state_and_the_same_command_goes_on(material, tmp_path, training, number, code, monkeypatch,
                                                               capsys):
    assert program.main(training(material, tmp_path / "whole")) == 0
    module = pretrain if training is pretraining else finetune
    honest = module.train_step

    def interrupted(state, *args):
        figures = honest(state, *args)
        if (state if isinstance(state, dict) else args[0])["step"] == 2:
            os.kill(os.getpid(), number)
        return figures

    monkeypatch.setattr(module, "train_step", interrupted)
    ignored = signal.signal(number, signal.default_int_handler)      # under nohup, SIGHUP is ignored
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert program.main(training(material, tmp_path / "out")) == code
    said = capsys.readouterr().err
    assert "stopped after step 2 of 6; the same command goes on from" in said and "Traceback" not in said
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == handlers
    signal.signal(number, ignored)
    assert runs.read_with_metadata(tmp_path / "out" / runs.STATE)[1]["step"] == "2"
    monkeypatch.undo()
    assert program.main(training(material, tmp_path / "out")) == 0
    assert without_log_times(tmp_path / "out") == without_log_times(tmp_path / "whole")


def test_a_signal_to_one_rank_stops_all_of_them_after_the_same_step():
    asked = []

    def add_up(array):
        asked.append(array.copy())
        array += np.eye(65)[15]                        # what the other rank was sent

    assert runs._stop_asked([], Ranks(1, 2, add_up)) == 15 and not asked[0].any()
    assert runs._stop_asked([2], Ranks()) == 2 and runs._stop_asked([], Ranks()) == 0


def test_a_signal_that_is_ignored_stays_ignored(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with runs.signals() as came:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
            assert came == []
    finally:
        signal.signal(signal.SIGHUP, before)


def run_process(arguments, **options):
    return subprocess.run([sys.executable, "-m", "minconvbert", *arguments], env=ENVIRONMENT, timeout=120, **options)


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", ">&- 2>&-"])
def test_a_training_outlives_its_terminal(material, tmp_path, redirection):
    training = " ".join(finetuning(material, tmp_path / "out"))
    done = subprocess.run(f"{sys.executable} -m minconvbert {training} {redirection}", shell=True, env=ENVIRONMENT,
                          capture_output=True, timeout=120)
    assert done.returncode == 0, done
    assert (tmp_path / "out" / "model.safetensors").exists() and not (tmp_path / "out" / runs.STATE).exists()


def test_progress_into_a_pipe_that_nobody_reads(monkeypatch):
    read, write = os.pipe()
    os.close(read)
    broken = open(write, "w", buffering=1)
    try:
        Progress(1, file=broken)(1, loss=2.0)
        monkeypatch.setattr(sys, "stderr", broken)
        say("anything")
        assert sys.stderr is None
        say("anything")
        Progress(1)(1)
        with pytest.raises(OSError):
            print("anything", file=broken, flush=True)
    finally:
        with contextlib.suppress(BrokenPipeError):
            broken.close()


def test_a_pipe_that_nobody_reads_is_quiet():
    done = subprocess.run(f"{sys.executable} -m minconvbert info tiny | true; exit ${{PIPESTATUS[0]}}", shell=True,
                          env=ENVIRONMENT, capture_output=True, text=True, executable="/bin/bash", timeout=60)
    assert done.returncode == 141 and done.stderr == ""


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_what_an_encoding_lacks_is_printed_as_a_question_mark(encoding):
    done = subprocess.run(
        [sys.executable, "-m", "minconvbert", "tokenize", "日本 naïve → ok"], capture_output=True, timeout=60,
        env=ENVIRONMENT | dict(PYTHONIOENCODING=encoding))
    assert done.returncode == 0 and done.stderr == b""
    assert b"?" in done.stdout and b"ok" in done.stdout


@COMMANDS
def test_a_finished_run_again_is_no_error_and_changes_nothing(material, tmp_path, training, capsys):
    assert in_process(training(material, tmp_path)) == 0
    before, said = every_file(tmp_path), capsys.readouterr().out
    assert in_process(training(material, tmp_path)) == 0
    assert capsys.readouterr().out == said
    assert {**every_file(tmp_path), Path("curves.png"): 0} == {**before, Path("curves.png"): 0}


def test_a_finished_fine_tuning_with_other_options_is_refused(material, tmp_path):
    assert in_process(finetuning(material, tmp_path)) == 0
    with pytest.raises(ValueError, match="holds a finished run with other options or data"):
        in_process(finetuning(material, tmp_path, "--seed", "3"))


@COMMANDS
def test_only_what_the_run_itself_left_half_written_is_removed(material, tmp_path, training):
    others = ["notes/.thesis.tex.a1b2c3d4.part", ".thesis.tex.a1b2c3d4.part", ".state.safetensors.part",
              ".log.jsonl.a1b2c3d4.part.bak", "model/.mine.a1b2c3d4.part"]
    if training is finetuning:                         # which refuses a folder with anything else in it
        assert in_process(training(material, tmp_path)) == 0
        (tmp_path / "training.json").unlink()
        (tmp_path / runs.STATE).touch()
    for name in [*others, ".log.jsonl.a1b2c3d4.part"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("written for hours")
    with runs.run_folder(tmp_path, pretrain.FILES if training is pretraining else finetune.FILES):
        assert (tmp_path / runs.LOCK).exists()
    assert all((tmp_path / name).read_text() == "written for hours" for name in others)
    assert not (tmp_path / ".log.jsonl.a1b2c3d4.part").exists() and not (tmp_path / runs.LOCK).exists()


@COMMANDS
def test_every_file_of_a_run_is_on_its_list(material, tmp_path, training):
    assert in_process(training(material, tmp_path)) == 0
    files = pretrain.FILES if training is pretraining else finetune.FILES
    assert {str(name) for name in every_file(tmp_path)} <= set(files)


def test_remove_parts_follows_the_names_to_the_letter(tmp_path):
    (tmp_path / ".a[1].json.a1b2c3d4.part").touch()
    (tmp_path / ".a1.json.a1b2c3d4.part").touch()
    remove_parts(tmp_path, ["a[1].json", "nowhere/x"])
    assert [path.name for path in tmp_path.iterdir()] == [".a1.json.a1b2c3d4.part"]


HOLD = """import sys, time
from minconvbert.files import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@COMMANDS
def test_one_run_to_a_folder_and_a_dead_one_holds_nothing(material, tmp_path, training):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / runs.LOCK)], env=ENVIRONMENT,
                              stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(ValueError, match=f"used by one run at a time, but process {holder.pid} on .* works there"):
        in_process(training(material, tmp_path))
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert (tmp_path / runs.LOCK).exists()
    assert in_process(training(material, tmp_path)) == 0
    assert not (tmp_path / runs.LOCK).exists()


def test_a_lock_that_was_removed_while_it_was_waited_for(tmp_path, monkeypatch):
    from minconvbert import files
    honest, tries = files._lock, []

    def removed_once(file):
        tries.append(file.name)
        if len(tries) == 1:
            (tmp_path / "lock").unlink()
        return honest(file)

    monkeypatch.setattr(files, "_lock", removed_once)
    with locked(tmp_path / "lock"):
        assert len(tries) == 2 and (tmp_path / "lock").exists()
        with pytest.raises(ValueError, match="one run at a time"), locked(tmp_path / "lock"):
            pass


def test_a_corpus_is_known_by_its_content(material, tmp_path):
    text = tmp_path / "text.txt"
    text.write_bytes((material / "text.txt").read_bytes())
    arguments = pretraining(material, tmp_path / "out", 1)
    arguments[2] = str(text)
    assert in_process(arguments) == 0
    changed = bytearray(text.read_bytes())
    changed[0] = ord("b") if changed[0] != ord("b") else ord("c")
    text.write_bytes(changed)
    with pytest.raises(ValueError, match=r"examples made from something else \(sha256 differ\)"):
        in_process(arguments)
    description = json.loads((tmp_path / "out" / "examples.json").read_text())
    del description["sha256"]                          # as a version before wrote it
    (tmp_path / "out" / "examples.json").write_text(json.dumps(description))
    assert in_process(arguments) == 0


def test_a_corpus_from_a_pipe_is_refused(material, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for refuse in (lambda: pretrain.train_vocabulary([tmp_path / "pipe"], 100, tmp_path / "vocab.txt"),
                   lambda: corpus.encode_corpus([tmp_path / "pipe"], None, 16, tmp_path)):
        with pytest.raises(ValueError, match="pipe must be an ordinary file, because training reads it several times"):
            refuse()
    with pytest.raises(ValueError, match="must be an ordinary file"):
        corpus.check_files(["/dev/zero"])
    corpus.check_files([material / "text.txt", "/nowhere/at/all"])


@pytest.mark.parametrize("name, damage, message", [
    ("examples.json", lambda text: "{", "examples.json must be JSON"),
    ("examples.json", lambda text: "[]", "examples.json must be as the encoding"),
    ("examples.json", lambda text: text.replace('"examples":', '"exemplars":'), "examples.json must be as the encod"),
    ("examples.json", lambda text: text.replace('"dtype": "<u2"', '"dtype": "O"'), "examples.json must be as the"),
    ("train.ids", lambda text: text[:-1], "train.ids must hold .* examples of 32 ids, but does not"),
    ("log.jsonl", lambda text: "{\n" + text, "line 1 of .*log.jsonl must be JSON"),
    ("log.jsonl", lambda text: "[]\n" + text, "log.jsonl must have objects with a step"),
])
def test_damaged_files_of_a_run(material, tmp_path, name, damage, message):
    assert in_process(pretraining(material, tmp_path, 1)) == 0
    file = tmp_path / name
    file.write_bytes(damage(file.read_bytes().decode("latin-1")).encode("latin-1"))
    with pytest.raises(ValueError, match=message):
        in_process(pretraining(material, tmp_path, 1))


@pytest.mark.parametrize("metadata, drop, message", [
    (dict(made_by="{}"), None, "must be the state of a run"), (dict(step="1"), None, "must be the state of a run"),
    (dict(made_by="{", step="1"), None, "must be the state of a run"),
    (dict(made_by='{"config": 3}', step="1"), None, "must be the state of a run"),
    (dict(made_by='{}', step="one"), None, "must be the state of a run"),
    (dict(made_by='{}', step="1"), "moments.m.x", "must have two moments for every parameter")])
def test_damaged_states(tmp_path, metadata, drop, message):
    tensors = {name: np.ones(2) for name in ("params.x", "moments.m.x", "moments.v.x") if name != drop}
    runs.write_safetensors(tmp_path / "state", tensors, metadata)
    with pytest.raises(ValueError, match=message):
        runs.load_state(tmp_path / "state", {})


def test_memory_that_runs_out_is_said_with_the_array(monkeypatch, capsys):
    monkeypatch.setattr("minconvbert.commands.info.main", lambda argv: np.empty((10**7, 10**7)))
    assert program.main(["info", "tiny"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: memory ran out: Unable to allocate 728. TiB for an array with shape (10000000, 1")
    assert "lower --batch-size" in said and said.count("\n") == 1
    monkeypatch.setattr("minconvbert.commands.info.main", lambda argv: [0] * 10**15)
    assert program.main(["info", "tiny"]) == 2 and "memory ran out" in capsys.readouterr().err


def test_gradients_that_are_not_finite_take_one_screen(material, tmp_path):
    done = run_process(finetuning(material, tmp_path / "out", "--learning-rate", "1e30"), capture_output=True, text=True)
    assert done.returncode == 2 and "gradients are not finite" in done.stderr and "and " in done.stderr
    assert len(done.stderr.split("error: ")[1]) < 600 and "try a lower --learning-rate" in done.stderr


def test_a_key_that_is_there_twice_is_found_in_no_time():
    pairs = [(str(i), i) for i in range(100_000)]
    began = time.perf_counter()
    with pytest.raises(ValueError, match="'99999' is there twice"):
        no_key_twice([*pairs, pairs[-1]])
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize("command", [
    ["finetune", "masked-lm", "--data", "FILE", "--model", "convbert-tiny", "--out", "out"],
    ["finetune", "token-classification", "--dev", "FILE", "--data", "FILE", "--model", "convbert-tiny", "--out", "out"],
    ["pretrain", "--corpus", "FILE", "--out", "out"], ["vocab", "train", "FILE"], ["vocab", "audit", "FILE"],
    ["vocab", "audit", "convbert-tiny", "--text", "FILE"], ["tokenize", "a", "--vocab", "FILE"], ["info", "FILE"],
    ["convert", "FILE", "out"], ["golden", "check", ".", "--expect-fail", "FILE"], ["view", "a", "--model", "FILE"],
    ["evaluate", "masked-lm", "--model", "convbert-tiny", "--data", "FILE"],
    ["predict", "masked-lm", "--model", "convbert-tiny", "--data", "FILE"],
    ["study", "--corpus", "FILE", "--vocab", "convbert-tiny", "--out", "out"],
    ["study", "--corpus", "text", "--vocab", "FILE", "--out", "out"]])
def test_no_command_reads_what_has_no_end(command, tmp_path):
    arguments = ["/dev/zero" if part == "FILE" else part for part in command]
    done = subprocess.run(["bash", "-c", 'ulimit -v 4000000; exec "$@"', "bash", sys.executable, "-m", "minconvbert",
                           *arguments], cwd=tmp_path, env=ENVIRONMENT, timeout=60, capture_output=True, text=True)
    *_, said = done.stderr.strip().split("\n")
    assert done.returncode == 2 and said.startswith("error: ") and "memory" not in said, done.stderr[-500:]


def test_no_process_of_a_study_outlives_it(material, tmp_path):
    """They hold its stderr, so that ends only after all of them have ended."""
    study = subprocess.Popen(
        [sys.executable, "-m", "minconvbert", "study", "--corpus", str(material / "text.txt"), "--vocab",
         str(material / "vocab.txt"), "--out", str(tmp_path), "--steps", "2", "--batch-size", "2", "--hidden-size", "16",
         "--layers", "1", "--seeds", "1000", "--processes", "2"], env=ENVIRONMENT, stderr=subprocess.PIPE)
    assert b"seed 0: held-out loss" in study.stderr.readline()
    study.kill()
    study.communicate(timeout=60)
