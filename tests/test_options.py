"""Every field of a recipe and every option of a command does what it says: each is changed, and its effect is seen."""

import copy
import hashlib
import json
import re
import threading
from dataclasses import asdict, fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
from finetune_material import SIZES, VOCABULARY, strong_params, tokenizer, write_data, write_lines, write_model
from test_corpus import write_corpus
from test_electra import SPECIAL
from test_numbers import MODEL, rows_of_many_lengths

from minconvbert.__main__ import main
from minconvbert.commands import finetune as finetune_command
from minconvbert.commands import pretrain as pretrain_command
from minconvbert.commands import study as study_command
from minconvbert.config import ConvBertConfig
from minconvbert.electra import generator_config
from minconvbert.training import finetune, pretrain, study, tasks
from minconvbert.training.progress import read_json_lines
from minconvbert.training.recipes import PRESETS, FinetuningRecipe, PretrainingRecipe, default_recipe

NO_CLIP = 1e9
FREE = re.compile("LayerNorm|bias")                    # what is not decayed
EXAMPLES = rows_of_many_lengths(40)


def close(a, b, tolerance=1e-9):
    """Within `tolerance` of the largest number of all."""
    assert a.keys() == b.keys()
    largest = max(np.abs(x).max() for x in b.values())
    return all(np.abs(a[name] - b[name]).max() <= tolerance * largest for name in a)


class Run:
    """Some steps: the figures of each; parameters before the first, what it changed, and its gradient, from m."""

    def __init__(self, state, step_once, steps):
        self.before = {name: x.copy() for name, x in state["params"].items()}
        self.figures, self.step = [], state["step"]
        for n in range(steps):
            self.figures.append(step_once())
            if n == 0:
                self.change = {name: x - self.before[name] for name, x in state["params"].items()}
                self.gradient = {name[2:]: m / 0.1 for name, m in state["moments"].items() if name.startswith("m.")}
        self.rates = [one["rate"] for one in self.figures]
        self.losses = [one["loss"] for one in self.figures]
        self.tokens = [one["tokens"] for one in self.figures]


# Pretraining

BASE = PretrainingRecipe(MODEL.to_dict(), learning_rate=0.01, batch_size=6, steps=10, warmup=0, generator_width=0.5,
                         decay=0.0, clip=NO_CLIP, dropout=False)


def pretrained(count=3, **changes):
    recipe = replace(BASE, **changes)
    generator = generator_config(MODEL, recipe.generator_width, recipe.generator_layers)
    state = pretrain.fresh_state(MODEL, generator, recipe, np.float64)
    return Run(state, lambda: pretrain.train_step(state, EXAMPLES, SPECIAL, MODEL, generator, recipe), count)


@pytest.fixture(scope="module")
def base():
    return pretrained()


def of_generator(names):
    return {name for name in names if name.startswith("generator")}


def rate_is_higher(run, base):
    assert run.rates == pytest.approx([2 * rate for rate in base.rates])
    assert close(run.change, {name: 2 * x for name, x in base.change.items()})


def rate_falls_to_zero_at_the_last_step(run, base):
    assert base.rates == pytest.approx([0.01, 0.009, 0.008]) and run.rates == pytest.approx([0.01, 0.0075, 0.005])


def rate_rises_first(run, base):
    assert run.rates == pytest.approx([0, 0.009 / 2, 0.008])


def rate_falls_at_the_end_alone(run, base):
    assert run.rates == pytest.approx([0.01, 0.01, 0.01])
    assert pretrained(9, decay_share=0.5).rates[-3:] == pytest.approx([0.01 * 4 / 5, 0.01 * 3 / 5, 0.01 * 2 / 5])


def generator_learns_at_its_own_rate(run, base):
    own = of_generator(base.change)
    assert own and close(run.change, {name: x * (3 if name in own else 1) for name, x in base.change.items()})


def weights_decay(run, base):
    wanted = {name: x - (0 if FREE.search(name) else 0.01 * 0.1 * base.before[name])
              for name, x in base.change.items()}
    assert close(run.change, wanted, 1e-7) and not close(run.change, base.change, 1e-3)


def gradients_are_clipped(run, base):
    norm = np.sqrt(sum((g ** 2).sum() for g in base.gradient.values()))
    assert base.figures[0]["norm"] == pytest.approx(norm) == run.figures[0]["norm"] and norm > 0.25
    assert close(run.gradient, {name: g * 0.25 / norm for name, g in base.gradient.items()})


def noise_comes_in(run, base):
    assert run.losses != base.losses and run.tokens == base.tokens
    again = pretrained(dropout=True)
    assert again.losses == run.losses


def all_is_drawn_differently(run, base):
    assert not close(run.before, base.before, 1e-3) and run.losses != base.losses and run.tokens != base.tokens
    assert pretrained(seed=5).losses == run.losses


def more_examples(run, base):
    assert run.tokens[0] == sum((EXAMPLES[i] != 0).sum() for i in pretrain.corpus.batch_rows(0, 12, 40, 0))


def a_wider_generator(run, base):
    width = lambda r: r.before["generator.encoder.layer.0.output.dense.bias"].size
    assert (width(base), width(run)) == (8, 16)


def a_deeper_generator(run, base):
    deep = lambda r: {name.split(".")[3] for name in r.before if name.startswith("generator.encoder.layer")}
    assert (deep(base), deep(run)) == ({"0"}, {"0", "1"})


def masked_words_alone(run, base):
    assert "discriminator_loss" in base.figures[0] and "discriminator_loss" not in run.figures[0]
    assert not [name for name in run.before if "discriminator" in name]
    assert pretrained(objective="masked-lm", dropout=True).losses != run.losses


def parts_are_computed_at_once(run, base):
    """Three threads get two rows each, and the step is the same but for rounding."""
    assert run.losses == pytest.approx(base.losses, rel=1e-12) and run.tokens == base.tokens
    assert close(run.change, base.change, 1e-7)
    shapes, honest = [], pretrain.pretraining_loss
    try:
        pretrain.pretraining_loss = lambda batch, *rest: (
            shapes.append((len(batch["input_ids"]), threading.current_thread())), honest(batch, *rest))[1]
        pretrained(1, threads=3)
    finally:
        pretrain.pretraining_loss = honest
    rows, threads = zip(*shapes)
    assert rows == (2, 2, 2) and threading.main_thread() not in threads


PRETRAINING = {
    "learning_rate": (0.02, rate_is_higher), "steps": (4, rate_falls_to_zero_at_the_last_step),
    "warmup": (2, rate_rises_first), "decay_share": (0.5, rate_falls_at_the_end_alone),
    "generator_rate": (0.03, generator_learns_at_its_own_rate), "decay": (0.1, weights_decay),
    "clip": (0.25, gradients_are_clipped), "dropout": (True, noise_comes_in), "seed": (5, all_is_drawn_differently),
    "batch_size": (12, more_examples), "generator_width": (1.0, a_wider_generator),
    "generator_layers": (2.0, a_deeper_generator), "objective": ("masked-lm", masked_words_alone),
    "threads": (3, parts_are_computed_at_once)}


@pytest.mark.parametrize("field", PRETRAINING)
def test_each_field_of_a_pretraining_recipe(field, base):
    value, effect = PRETRAINING[field]
    effect(pretrained(**{field: value}), base)


def test_no_field_of_a_pretraining_recipe_is_left_out():
    """The model and the length of examples are seen in what a run writes, below."""
    assert PRETRAINING.keys() | {"model", "length"} == {field.name for field in fields(PretrainingRecipe)}


def test_a_rate_of_the_generator_needs_another_to_be_compared_with():
    with pytest.raises(ValueError, match="--generator-rate needs a --learning-rate above 0, but that is 0"):
        replace(BASE, learning_rate=0, generator_rate=0.1)


# Fine-tuning

CFG = ConvBertConfig(**SIZES).replace(num_labels=2, id2label={0: "O", 1: "B"}, hidden_dropout_prob=0.0,
                                      attention_probs_dropout_prob=0.0)
TASK = tasks.get("token-classification")
TUNING = FinetuningRecipe(epochs=1, batch_size=4, learning_rate=0.01, warmup=0.0, decay=0.0, layer_decay=1.0,
                          clip=NO_CLIP)


def features():
    rng = np.random.default_rng(1)
    return TASK.encode([dict(where="", words=rng.choice(VOCABULARY[-12:], n).tolist(),
                             tags=rng.choice(["O", "B"], n).tolist()) for n in range(3, 15)], tokenizer(), CFG, 20)


def tuned(cfg=CFG, **changes):
    recipe, given = replace(TUNING, **changes), features()
    state = finetune.fresh_state(strong_params(cfg, TASK.HEAD))
    training = finetune.train(TASK, state, given, cfg, recipe)
    return Run(state, lambda: next(training), finetune.steps_of(given, recipe)[1])


@pytest.fixture(scope="module")
def tuned_base():
    return tuned()


def more_epochs(run, base):
    assert (len(base.losses), len(run.losses)) == (3, 6)
    assert run.rates == pytest.approx([0.01 * (1 - n / 6) for n in range(6)])
    assert sum(base.tokens) == sum(run.tokens[:3]) == sum(run.tokens[3:]) and run.tokens[:3] != run.tokens[3:]


def larger_batches(run, base):
    assert len(run.losses) == 2 and sum(run.tokens) == sum(base.tokens)


def a_share_of_the_steps_is_warm_up(run, base):
    assert tuned(warmup=0.34).rates == pytest.approx([0, 0.01 * 2 / 3, 0.01 / 3])     # 1 of 3 steps
    assert run.rates == pytest.approx([0, 0.01 * 2 / 3 / 2, 0.01 / 3])               # 2 of 3 steps


def layers_further_down_learn_less(exponents):
    def effect(run, base):
        factor = lambda name: 0.5 ** next((n for part, n in exponents.items() if part in name), 0)
        assert close(run.change, {name: factor(name) * x for name, x in base.change.items()})
        assert {factor(name) for name in base.change} == {1, *(0.5 ** n for n in exponents.values())}
    return effect


def parts_of_a_batch_are_one_batch(run, base):
    assert run.tokens == base.tokens and run.rates == base.rates
    assert run.losses == pytest.approx(base.losses, rel=0.3)                 # other padding, which a convolution sees
    shapes = []
    honest = TASK.loss
    try:
        TASK.loss = lambda batch, *rest: (shapes.append(len(batch["labels"])), honest(batch, *rest))[1]
        tuned(accumulate=2)
    finally:
        TASK.loss = honest
    assert shapes == [2] * 6


def as_many_parts_as_threads(run, base):
    """Two at once are the same bits as two one after the other, and four are four."""
    one_by_one = tuned(accumulate=2)
    assert run.losses == one_by_one.losses != base.losses and close(run.change, one_by_one.change, 0)
    assert tuned(accumulate=2, threads=2).losses == tuned(accumulate=4).losses


def another_order(run, base):
    assert run.losses != base.losses and sum(run.tokens) == sum(base.tokens) and tuned(seed=5).losses == run.losses


FINETUNING = {
    "epochs": (2, more_epochs), "batch_size": (6, larger_batches), "learning_rate": (0.02, rate_is_higher),
    "warmup": (0.67, a_share_of_the_steps_is_warm_up), "decay": (0.1, weights_decay),
    "layer_decay": (0.5, layers_further_down_learn_less({"layer.1": 2, "layer.0": 3, "embeddings": 4})),
    "layer_decay_off_by_one": (False, layers_further_down_learn_less({"layer.1": 1, "layer.0": 2, "embeddings": 3})),
    "clip": (0.25, gradients_are_clipped), "accumulate": (2, parts_of_a_batch_are_one_batch),
    "threads": (2, as_many_parts_as_threads), "seed": (5, another_order)}


@pytest.mark.parametrize("field", FINETUNING)
def test_each_field_of_a_fine_tuning_recipe(field, tuned_base):
    value, effect = FINETUNING[field]
    effect(tuned(**{field: value} | (dict(layer_decay=0.5) if field == "layer_decay_off_by_one" else {})), tuned_base)


def test_no_field_of_a_fine_tuning_recipe_is_left_out():
    assert FINETUNING.keys() == {field.name for field in fields(FinetuningRecipe)}


def test_a_part_without_labels_counts_as_nothing():
    """Its mean loss is nan, and its share of the batch 0. Where no part has labels, nothing is learned."""
    given, recipe = features()[:2], replace(TUNING, batch_size=2)
    given[1] = given[1] | dict(labels=[-100] * len(given[1]["labels"]))
    results = []
    for some, parts in ((given, 2), (given[:1], 1), (given[1:], 1)):
        state = finetune.fresh_state(strong_params(CFG, TASK.HEAD))
        before = {name: x.copy() for name, x in state["params"].items()}
        figures = finetune.train_step(TASK, state, some, CFG, replace(recipe, accumulate=parts), 10, None)
        results.append((figures["loss"], {name: x - before[name] for name, x in state["params"].items()}))
    (loss, change), (alone, wanted), (nothing, none) = results
    assert loss == alone > 0 and close(change, wanted, 1e-12)
    assert nothing == 0 and not any(x.any() for x in none.values())


def test_dropout_of_fine_tuning_follows_the_seed(tuned_base):
    noisy = CFG.replace(hidden_dropout_prob=0.2)
    assert tuned(noisy).losses == tuned(noisy).losses != tuned_base.losses
    assert tuned(CFG.replace(attention_probs_dropout_prob=0.2)).losses != tuned_base.losses


def test_each_part_of_each_step_draws_its_own(monkeypatch):
    """Its dropout, and what the seed, the step and the places of its rows in the batch decide."""
    drawn, given = [], []
    loss, stack = TASK.loss, TASK.stack
    monkeypatch.setattr(TASK, "loss", lambda *args: (drawn.append(copy.deepcopy(args[-1]).random()), loss(*args))[1])
    monkeypatch.setattr(TASK, "stack", lambda features, cfg, draw: (
        given.append((*draw[:2], list(draw[2]))), stack(features, cfg))[1])
    for seed in (7, 8):
        given.clear()
        tuned(accumulate=2, seed=seed)
        assert given == [(seed, step, rows) for step in range(3) for rows in ([0, 2], [1, 3])]
    assert len(set(drawn)) == 2 * 6


def test_the_default_length_is_that_of_the_task_or_what_the_model_reads():
    lengths = [finetune.default_length(tasks.get("question-answering"), CFG.replace(max_position_embeddings=most))
               for most in (48, 512, 1024)]
    assert lengths == [48, 512, 512]


@pytest.mark.parametrize("width, rate", ((768, 1e-4), (1024, 1e-4), (767, 3e-4), (256, 3e-4), (255, 1e-3)))
def test_the_default_rate_follows_the_width(width, rate):
    assert default_recipe(TASK, SimpleNamespace(hidden_size=width)).learning_rate == rate


# The commands: what reaches the library

def options_of(command, capsys):
    """All options that a command has, as its help says."""
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    return set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out.split("options:")[1])) - {"--help", "--no-dropout"}


@pytest.fixture(scope="module")
def corpus_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder / "text.txt", documents=105)
    write_corpus(folder / "more.txt", documents=3, seed=1)
    (folder / "config.json").write_text(json.dumps(MODEL.to_dict() | dict(vocab_size=99)))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklm"]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return folder


PRETRAIN_OPTIONS = {
    "--objective": (["masked-lm"], ("recipe", "objective"), "masked-lm"), "--steps": (["7"], ("recipe", "steps"), 7),
    "--batch-size": (["3"], ("recipe", "batch_size"), 3), "--seed": (["8"], ("recipe", "seed"), 8),
    "--learning-rate": (["0.25"], ("recipe", "learning_rate"), 0.25), "--warmup": (["9"], ("recipe", "warmup"), 9),
    "--generator-rate": (["0.5"], ("recipe", "generator_rate"), 0.5),
    "--decay-share": (["0.5"], ("recipe", "decay_share"), 0.5), "--dropout": ([], ("recipe", "dropout"), True),
    "--generator-width": (["0.75"], ("recipe", "generator_width"), 0.75),
    "--generator-layers": (["0.25"], ("recipe", "generator_layers"), 0.25),
    "--length": (["16"], ("recipe", "length"), 16), "--threads": (["2"], ("recipe", "threads"), 2),
    "--log-every": (["4"], ("every", "log"), 4),
    "--save-every": (["5"], ("every", "save"), 5), "--eval-every": (["6"], ("every", "measure"), 6),
    "--preset": (["small"], ("recipe", "model"), PRESETS["small"].model)}


@pytest.mark.parametrize("option", PRETRAIN_OPTIONS)
def test_each_option_of_pretrain_reaches_the_run(option, corpus_files, tmp_path, monkeypatch):
    seen = []

    def run(files, out, recipe, cfg, tokenizer, every, ranks, init_from):
        seen.append(dict(files=files, recipe=recipe, cfg=cfg, every=every, init_from=init_from))

    monkeypatch.setattr(pretrain_command, "run", run)
    monkeypatch.setattr(pretrain_command, "draw_curves", lambda *_: None)
    given = ["pretrain", "--corpus", str(corpus_files / "text.txt"), "--vocab", str(corpus_files / "vocab.txt")]
    values, (part, name), wanted = PRETRAIN_OPTIONS[option]
    assert main([*given, "--out", str(tmp_path / "a")]) == 0
    assert main([*given, "--out", str(tmp_path / "b"), option, *values]) == 0
    plain, changed = (getattr(one[part], name) for one in seen)
    assert changed == wanted != plain
    if option not in ("--preset", "--length"):
        assert [{k: v for k, v in asdict(one["recipe"]).items() if k != name} for one in seen[:1]] == [
            {k: v for k, v in asdict(one["recipe"]).items() if k != name} for one in seen[1:]]


def test_the_other_options_of_pretrain_show_in_what_a_run_writes(corpus_files, tmp_path, monkeypatch, capsys):
    """--corpus, --vocab, --config, --length, --init-from and the three intervals, by two runs."""
    monkeypatch.setattr(pretrain_command, "draw_curves", lambda *_: None)
    text, more, vocab = (str(corpus_files / name) for name in ("text.txt", "more.txt", "vocab.txt"))
    given = ["pretrain", "--corpus", text, more, "--config", str(corpus_files / "config.json"), "--length", "16",
             "--batch-size", "4", "--warmup", "2", "--generator-width", "0.5"]
    first, second = tmp_path / "first", tmp_path / "second"
    assert main([*given, "--out", str(first), "--vocab", vocab, "--steps", "5", "--log-every", "2", "--save-every", "3",
                 "--eval-every", "4"]) == 0
    assert "warning: the vocabulary does not know " in capsys.readouterr().err             # words with n to z
    log = read_json_lines(first / "log.jsonl")
    assert [e["step"] for e in log if "loss" in e] == [2, 4, 5]
    assert [e["step"] for e in log if "held_out" in e] == [4, 5]
    about = json.loads((first / "examples.json").read_text())
    assert [path for path, *_ in about["files"]] == [text, more] and about["length"] == 16
    cfg = json.loads((first / "model" / "config.json").read_text())
    assert (cfg["hidden_size"], cfg["vocab_size"]) == (16, 18)
    assert (first / "model" / "vocab.txt").read_text().split() == (corpus_files / "vocab.txt").read_text().split()
    assert main([*given, "--out", str(second), "--vocab", vocab, "--steps", "6", "--log-every", "1",
                 "--init-from", str(first / "state.safetensors")]) == 0
    assert [e["step"] for e in read_json_lines(second / "log.jsonl") if "loss" in e] == [6]


def test_no_option_of_pretrain_is_left_out(capsys):
    assert options_of(["pretrain"], capsys) == {
        *PRETRAIN_OPTIONS, "--corpus", "--vocab", "--config", "--out", "--init-from", "--processes"}


@pytest.fixture(scope="module")
def tuning_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuning")
    write_model(folder / "model")
    write_model(folder / "words", "masked_lm")
    return folder, write_data(folder, 12)


def tuning(monkeypatch, tuning_files, tmp_path, task, *options, data=None):
    """What the command hands to `finetune.run`."""
    seen = {}

    def run(out, task, model, features, recipe, dev=None, about=None, every=None):
        seen.update(cfg=model[0], params=model[1], features=features, recipe=recipe, dev=dev, about=about, every=every)
        return dict(step=1)

    monkeypatch.setattr(finetune_command, "run", run)
    folder, paths = tuning_files
    assert main(["finetune", task, "--data", str(data or paths[task]), "--model", str(folder / "model"),
                 "--out", str(tmp_path / "out"), *options]) == 0
    return seen


TUNE_OPTIONS = {
    "--epochs": ("2", 2), "--batch-size": ("7", 7), "--learning-rate": ("0.5", 0.5), "--warmup": ("0.5", 0.5),
    "--decay": ("0.25", 0.25), "--layer-decay": ("0.75", 0.75), "--clip": ("2", 2.0), "--accumulate": ("2", 2),
    "--threads": ("3", 3), "--seed": ("9", 9), "--layer-decay-correct": (None, False)}


@pytest.mark.parametrize("option", TUNE_OPTIONS)
def test_each_number_of_finetune_reaches_its_recipe(option, tuning_files, tmp_path, monkeypatch):
    text, wanted = TUNE_OPTIONS[option]
    name = "layer_decay_off_by_one" if option == "--layer-decay-correct" else option[2:].replace("-", "_")
    plain, changed = (asdict(tuning(monkeypatch, tuning_files, tmp_path, "text-classification", *given)["recipe"])
                      for given in ([], [option] if text is None else [option, text]))
    assert {key for key in plain if plain[key] != changed[key]} == {name} and changed[name] == wanted


def test_the_options_of_tasks_change_what_is_read_and_answered(tuning_files, tmp_path, monkeypatch):
    def of(task, *options, **data):
        return tuning(monkeypatch, tuning_files, tmp_path, task, *options, **data)

    plain = of("text-classification")
    cut = of("text-classification", "--length", "5")
    longest = lambda one: max(len(row) for feature in one["features"] for row in feature["input_ids"])
    assert longest(plain) == 9 and longest(cut) == 5 and cut["about"]["encode"] == dict(length=5)
    dropout = of("text-classification", "--dropout", "0.3")["cfg"]
    assert (dropout.hidden_dropout_prob, dropout.attention_probs_dropout_prob) == (0.3, 0.3)
    assert plain["cfg"].hidden_dropout_prob == 0.1
    every = of("text-classification", "--log-every", "2", "--save-every", "3", "--eval-every", "4")["every"]
    assert tuple(every) == (2, 3, 4) and tuple(plain["every"]) == (10, 200, None)
    named = of("text-classification", "--labels", "dog", "cat", "bird")
    assert named["cfg"].id2label == {0: "dog", 1: "cat", 2: "bird"}
    assert plain["cfg"].id2label == {0: "bird", 1: "cat", 2: "dog"}
    numbers = write_lines(tmp_path / "numbers.jsonl", [dict(text="the cat", label=n) for n in (1, 2, 3)])
    kinds = [of("text-classification", *given, data=numbers)["cfg"].problem_type for given in (
        [], ["--problem", "regression"])]
    assert kinds == ["single_label_classification", "regression"]
    body = "convbert.encoder.layer.0.output.dense.weight"
    fresh = of("text-classification", "--random-init")["params"]
    again = of("text-classification", "--random-init", "--seed", "3")["params"]
    assert not np.array_equal(fresh[body], plain["params"][body]) and not np.array_equal(fresh[body], again[body])
    assert plain["dev"] is None
    dev = of("text-classification", "--dev", str(tuning_files[1]["text-classification"]))["dev"]
    assert len(dev[0]) == len(dev[1]) == 12
    kinds = [of("multiple-choice", *given)["cfg"].summary_type for given in ([], ["--summary", "mean"])]
    assert kinds == ["first", "mean"]
    answer = lambda one: one["about"]["decode"]
    assert answer(of("question-answering")) == dict(threshold=None)
    assert answer(of("question-answering", "--no-answer-threshold", "2.5")) == dict(threshold=2.5)
    row = "1\tann\tlemma\tNOUN\tNNP\t_\t0\troot\t_\t_\n2\truns\tlemma\tVERB\tVBZ\t_\t1\tdep\t_\t_\n\n"
    (tmp_path / "a.conllu").write_text(row)
    tags = [of("token-classification", *given, data=tmp_path / "a.conllu")["cfg"].id2label for given in (
        [], ["--column", "xpos"])]
    assert tags == [{0: "NOUN", 1: "VERB"}, {0: "NNP", 1: "VBZ"}]


def test_what_finetune_says_and_keeps_of_a_run(tuning_files, tmp_path, monkeypatch, capsys):
    """How much there is of either part, what was best, and the digests of all files."""
    folder, paths = tuning_files
    seen = {}

    def run(out, task, model, features, recipe, dev, about, every):
        seen.update(about=about)
        return dict(step=7, dev=dict(exact_match=0.25, f1=1 / 3))

    monkeypatch.setattr(finetune_command, "run", run)
    context = " ".join(["cat", "dog", "bird", "house"] * 12)
    entry = dict(question="who", context=context, answers=[dict(text="cat", answer_start=0)])
    data, more, dev = (write_lines(tmp_path / f"{name}.jsonl", [entry | dict(id=f"{name}{i}") for i in range(count)])
                       for name, count in (("data", 2), ("more", 1), ("dev", 5)))
    out = tmp_path / "out"
    given = ["finetune", "question-answering", "--data", str(data), str(more), "--dev", str(dev), "--model",
             str(folder / "model"), "--out", str(out), "--length", "22", "--stride", "2", "--random-init"]
    assert main(given) == 0
    said, told = capsys.readouterr()
    # 48 pieces in windows of 18, each 16 after the one before.
    assert told.splitlines()[-1] == "3 examples in 9 rows, 5 for development"
    assert [line.split() for line in said.splitlines()[1:]] == [["exact", "match", "0.2500"], ["f1", "0.3333"]]
    assert said.splitlines()[0] == f"the model in {out} is that of step 7"
    digest = lambda path: {str(path): hashlib.sha256(path.read_bytes()).hexdigest()}
    assert seen["about"] == dict(
        task="question-answering", encode=dict(length=22, stride=2), decode=dict(threshold=None), random_init=True,
        model=str(folder / "model"), data=digest(data) | digest(more), dev=digest(dev))
    assert main([*given[:5], *given[7:]]) == 0           # no --dev
    assert capsys.readouterr().err.splitlines()[-1] == "3 examples in 9 rows; no --dev, so the last model is kept"


@pytest.mark.parametrize("option, value, limits", (
    ("--epochs", "0", "at least 1"), ("--batch-size", "0", "at least 1"), ("--accumulate", "0", "at least 1"),
    ("--log-every", "0", "at least 1"), ("--save-every", "0", "at least 1"), ("--eval-every", "0", "at least 1"),
    ("--learning-rate", "-1", "at least 0"), ("--learning-rate", "inf", "at least 0, and finite"),
    ("--learning-rate", "nan", "at least 0"), ("--decay", "-1", "at least 0"), ("--layer-decay", "-1", "at least 0"),
    ("--seed", "-1", "at least 0"), ("--stride", "-1", "at least 0"), ("--warmup", "-0.1", "from 0 to 1"),
    ("--warmup", "1.1", "from 0 to 1"), ("--clip", "0", "at least 1e-09")))
def test_the_limits_of_the_numbers_of_finetune(option, value, limits, capsys):
    assert main(["finetune", "question-answering", "--data", "none", "--out", "none", f"{option}={value}"]) == 2
    assert f"{option} must be {limits}, but is " in capsys.readouterr().err


@pytest.mark.parametrize("option, value, limits", (
    *((f"--{name}", "0", "at least 1") for name in (
        "steps", "batch-size", "log-every", "save-every", "eval-every", "processes")),
    *((f"--{name}", "-1", "at least 0") for name in (
        "learning-rate", "generator-rate", "warmup", "generator-width", "generator-layers", "seed"))))
def test_the_limits_of_the_numbers_of_pretrain(option, value, limits, capsys):
    assert main(["pretrain", "--corpus", "none", "--out", "none", f"{option}={value}"]) == 2
    assert f"{option} must be {limits}, but is {value}" in capsys.readouterr().err


def test_windows_share_a_third_of_the_length_or_as_many_pieces_as_said(tuning_files, tmp_path, monkeypatch):
    context = " ".join(["cat", "dog", "bird", "house"] * 12)                  # 48 pieces
    data = write_lines(tmp_path / "long.jsonl", [dict(
        id="1", question="who", context=context, answers=[dict(text="cat", answer_start=0)])])
    shared = []
    for options in ([], ["--stride", "2"], ["--stride", "0"]):
        given = tuning(monkeypatch, tuning_files, tmp_path, "question-answering", "--length", "22", *options, data=data)
        spans = [[span for span in feature["spans"] if span] for feature in given["features"]]
        room = 22 - 4                                   # [CLS] who [SEP] ... [SEP]
        assert len(spans[0]) == room and spans[0][0][0] == 0 and spans[-1][-1][1] == len(context)
        shared.append(len(set(spans[0]) & set(spans[1])))
    assert shared == [22 // 3, 2, 0]


def test_no_option_of_the_tasks_is_left_out(capsys):
    tasks_own = {"--length", "--dropout", "--labels", "--problem", "--column", "--stride", "--no-answer-threshold",
                 "--summary", "--log-every", "--save-every", "--eval-every", "--random-init", "--dev"}
    assert options_of(["finetune"], capsys) == {*TUNE_OPTIONS, *tasks_own, "--data", "--model", "--out"}


# The study

STUDY_OPTIONS = {
    "--steps": ("40", lambda c, r: (r.steps, r.warmup), (40, 2)), "--batch-size": ("5", lambda c, r: r.batch_size, 5),
    "--hidden-size": ("32", lambda c, r: (c.hidden_size, c.embedding_size, c.intermediate_size), (32, 32, 128)),
    "--layers": ("3", lambda c, r: c.num_hidden_layers, 3),
    "--learning-rate": ("0.5", lambda c, r: r.learning_rate, 0.5)}


def studied(monkeypatch, corpus_files, out, *options):
    """(variant, configuration, recipe) of every model that the command trains."""
    seen = []

    def train_variant(variant, cfg, recipe, examples, held_out, special, progress):
        seen.append((variant, cfg, recipe))
        return dict(parameters=1, seconds=1, masked_loss=1.0, masked_accuracy=0.5, auc=0.5)

    monkeypatch.setattr(study, "train_variant", train_variant)
    monkeypatch.setattr(study_command, "by_setting", lambda results: SimpleNamespace(savefig=lambda *_, **__: None))
    monkeypatch.setattr(study.corpus, "encode_corpus", lambda *args, **options: (EXAMPLES, EXAMPLES[:9]))
    assert main(["study", "--corpus", str(corpus_files / "text.txt"), "--vocab", str(corpus_files / "vocab.txt"),
                 "--out", str(out), "--seeds", "1", "--kernels", "--groups", *options]) == 0
    return seen


@pytest.mark.parametrize("option", STUDY_OPTIONS)
def test_each_option_of_study_reaches_every_model(option, corpus_files, tmp_path, monkeypatch):
    text, of, wanted = STUDY_OPTIONS[option]
    plain, changed = (studied(monkeypatch, corpus_files, tmp_path / str(len(more)), *more)
                      for more in ([], [option, text]))
    assert {recipe.generator_layers for _, _, recipe in changed} == {1.0}
    assert {of(cfg, recipe) for _, cfg, recipe in changed} == {wanted} != {of(cfg, recipe) for _, cfg, recipe in plain}
    assert len(changed) == 5


def test_seeds_kernels_and_groups_are_models_of_the_study(corpus_files, tmp_path, monkeypatch):
    seen = studied(monkeypatch, corpus_files, tmp_path, "--seeds", "2", "--kernels", "3", "7", "--groups", "2", "4")
    assert len(seen) == 2 * (5 + 2 + 2) and [recipe.seed for _, _, recipe in seen] == [0] * 9 + [1] * 9
    assert [(variant, cfg.conv_kernel_size, cfg.num_groups) for variant, cfg, _ in seen[:9]] == [
        ("attention", 9, 1), ("bottleneck", 9, 1), ("plain", 9, 1), ("dynamic", 9, 1), ("span", 9, 1), ("span", 3, 1),
        ("span", 7, 1), ("span", 9, 2), ("span", 9, 4)]


def test_no_option_of_study_is_left_out(capsys):
    assert options_of(["study"], capsys) == {
        *STUDY_OPTIONS, "--seeds", "--kernels", "--groups", "--processes", "--corpus", "--vocab", "--out"}


# What must be given

@pytest.mark.parametrize("command, required", (
    (["pretrain"], ["--corpus", "--out"]), (["study"], ["--corpus", "--vocab", "--out"]),
    (["finetune"], ["TASK", "--data", "--out"]), (["evaluate"], ["TASK", "--model", "--data"]),
    (["predict"], ["TASK", "--model"]), (["fill-mask"], ["text"]), (["detect"], ["text"]), (["tokenize"], ["text"]),
    (["convert"], ["DST"]), (["verify"], ["MODEL"]), (["golden", "check"], ["PORT"])))
def test_what_must_be_given_is_asked_for(command, required, capsys):
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 2
    asked = capsys.readouterr().err.split("the following arguments are required: ")[1].strip()
    assert asked.split(", ") == required
