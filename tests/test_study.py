import json
import multiprocessing
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from test_corpus import TOKENIZER, write_corpus
from test_electra import SPECIAL, check_gradients

from minconvbert import model
from minconvbert.attention import mixed_attention
from minconvbert.commands import study as command
from minconvbert.config import ConvBertConfig
from minconvbert.electra import RowRandom, generator_config, pretraining_loss, pretraining_loss_backward
from minconvbert.files import default_model
from minconvbert.training import corpus, study
from minconvbert.training.pretrain import masked_batch
from minconvbert.training.recipes import PRESETS

CONFIG = ConvBertConfig(
    vocab_size=40, hidden_size=32, embedding_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
    max_position_embeddings=16, conv_kernel_size=5, pad_token_id=0)


@pytest.mark.parametrize("variant", study.VARIANTS)
def test_gradients_and_size_of_every_variant(variant):
    cfg = study.variant_config(CONFIG, variant)
    generator = study.variant_config(generator_config(cfg, 0.5), variant)
    rng = np.random.default_rng(0)
    rows = rng.integers(5, 40, (4, 16))
    rows[:, 0], rows[:, 7], rows[:, 15] = 2, 3, 3
    batch, places = masked_batch(rows, RowRandom(0, 0, range(4)), SPECIAL)
    batch["sampled"] = rng.integers(5, 40, len(places["rows"]))
    with study.swapped_block(variant):
        state = study.variant_state(cfg, generator, variant, PRESETS["tiny"])
        params = {name: x + rng.normal(0, 0.2, x.shape) for name, x in state["params"].items()}
        loss_of = lambda p: pretraining_loss(batch, places, p, cfg, generator, None)
        _, acts = loss_of(params)
        check_gradients(lambda p: loss_of(p)[0]["loss"], params,
                        pretraining_loss_backward(acts, params, cfg, generator))
    size = sum(x.size for name, x in params.items() if name.startswith("discriminator."))
    span = study.variant_state(CONFIG, generator_config(CONFIG, 0.5), "span", PRESETS["tiny"])["params"]
    assert size == pytest.approx(sum(x.size for n, x in span.items() if n.startswith("discriminator.")), rel=0.01)


def test_the_block_is_put_back_after_an_error():
    with pytest.raises(ZeroDivisionError), study.swapped_block("plain"):
        assert model.mixed_attention is study.block
        1 / 0
    assert model.mixed_attention is mixed_attention


def test_training_a_variant_gives_figures_that_repeat(tmp_path):
    examples, held_out = corpus.encode_corpus([write_corpus(tmp_path / "text.txt")], TOKENIZER, 16, tmp_path)
    recipe = replace(PRESETS["tiny"], steps=6, batch_size=8, warmup=2)
    first, second = (study.train_variant("dynamic", CONFIG, recipe, examples, held_out, SPECIAL) for _ in range(2))
    assert first | dict(seconds=0) == second | dict(seconds=0)
    assert 0 < first["auc"] < 1 and first["masked_loss"] > 0


def test_the_command_goes_on_from_what_is_there(tmp_path, capsys):
    text, vocab = write_corpus(tmp_path / "text.txt"), default_model() / "vocab.txt"
    options = ["--corpus", str(text), "--vocab", str(vocab), "--out", str(tmp_path / "out"), "--steps", "2", "--batch-size",
               "4", "--hidden-size", "16", "--layers", "1", "--kernels", "1", "--groups", "2"]
    command.main([*options, "--seeds", "1"])
    first = json.loads((tmp_path / "out" / "results.json").read_text())["results"]
    assert [r["setting"] for r in first] == [*study.VARIANTS, "span, K=1", "span, 2 groups"]
    command.main([*options, "--seeds", "2"])
    both = json.loads((tmp_path / "out" / "results.json").read_text())["results"]
    assert both[:len(first)] == first and [r["seed"] for r in both] == [0] * 7 + [1] * 7
    assert (tmp_path / "out" / "study.png").stat().st_size > 5000
    table, differences = capsys.readouterr().out.split("setting ")[-1].split("masked_loss ", 1)
    assert f"{both[4]['parameters']:,}" in table.splitlines()[5] and table.split()[-1] == "2"
    assert len(differences.splitlines()) == 2 * 6
    with pytest.raises(ValueError, match="must be of a study of .*'steps': 3.*but is of .*'steps': 2"):
        command.main([*options, "--steps", "3"])
    for option, lowest, wrong in (("--seeds", 1, "0"), ("--steps", 1, "-1"), ("--learning-rate", 0, "nan")):
        with pytest.raises(ValueError, match=f"{option} must be at least {lowest}, but is {wrong}"):
            command.main([*options, option, wrong])


def test_processes_train_the_same_models_and_keep_their_order(tmp_path):
    text, vocab = write_corpus(tmp_path / "text.txt"), default_model() / "vocab.txt"
    options = ["--corpus", str(text), "--vocab", str(vocab), "--steps", "4", "--batch-size", "4", "--hidden-size", "16",
               "--layers", "1", "--seeds", "1", "--kernels", "--groups"]
    found = []
    for processes in "12":
        command.main([*options, "--out", str(tmp_path / processes), "--processes", processes])
        found.append(json.loads((tmp_path / processes / "results.json").read_text())["results"])
    for results in found:
        assert [r["setting"] for r in results] == list(study.VARIANTS)
        assert all(r.pop("seconds") > 0 for r in results)
    assert found[0] == found[1]


def test_an_error_in_a_process_ends_all_of_them_and_is_told(tmp_path, monkeypatch):
    """A model that cannot be trained ends the study; no process stays, and the next start goes on."""
    corpus.encode_corpus([write_corpus(tmp_path / "text.txt")], TOKENIZER, 16, tmp_path)
    recipe = replace(PRESETS["tiny"], steps=10_000, batch_size=8)
    models = {("span", 0): ("span", CONFIG, recipe), ("no such", 0): ("plain", CONFIG.replace(vocab_size=6), recipe)}
    with pytest.raises((ValueError, IndexError)):
        list(study._side_by_side(models, tmp_path, SPECIAL, 2))
    assert not multiprocessing.active_children()


def test_a_process_that_is_killed_is_told(tmp_path):
    corpus.encode_corpus([write_corpus(tmp_path / "text.txt")], TOKENIZER, 16, tmp_path)
    models = {("span", seed): ("span", CONFIG, replace(PRESETS["tiny"], steps=10_000, batch_size=8)) for seed in (0, 1)}

    def kill_one():
        while not (children := multiprocessing.active_children()):
            time.sleep(0.02)
        time.sleep(0.5)
        children[0].kill()

    threading.Thread(target=kill_one).start()
    with pytest.raises(OSError, match="a process that trained a model was killed.*goes on, with fewer --processes"):
        list(study._side_by_side(models, tmp_path, SPECIAL, 2))
    assert not multiprocessing.active_children()


def test_a_study_goes_on_only_with_what_it_began_with(tmp_path, monkeypatch):
    """Every setting that its results depend on is kept beside them; so is what each model is measured on."""
    measured = []

    def train_variant(variant, cfg, recipe, examples, held_out, special, progress):
        measured.append(held_out)
        return dict(parameters=1, seconds=1, masked_loss=1.0, masked_accuracy=0.5, auc=0.5)

    rows = np.arange(300 * 16).reshape(300, 16)
    monkeypatch.setattr(study, "train_variant", train_variant)
    monkeypatch.setattr(corpus, "encode_corpus", lambda *_: (rows, rows))
    tokenizer = SimpleNamespace(**vars(TOKENIZER), mask_token_id=4)
    recipe = PRESETS["tiny"]
    run = lambda cfg=CONFIG, recipe=recipe: study.run(["text"], tokenizer, tmp_path, cfg, recipe, 1, study.settings([3], [2]))
    found = run()
    assert len(found) == len(measured) == 7 and all((part == rows[:256]).all() for part in measured)
    assert run() == found and len(measured) == 7
    for name, value in dict(hidden_size=64, num_hidden_layers=1).items():
        with pytest.raises(ValueError, match="must be of a study of"):
            run(cfg=CONFIG.replace(**{name: value}))
    for name, value in dict(steps=9, batch_size=9, learning_rate=0.5).items():
        with pytest.raises(ValueError, match="must be of a study of"):
            run(recipe=replace(recipe, **{name: value}))
