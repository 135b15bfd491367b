"""Every number that is reported, found another way: one row at a time, one place at a time, by hand."""

import io
import json
import math
import re
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from finetune_material import SIZES, VOCABULARY, strong_params, tokenizer
from test_electra import SPECIAL

from minconvbert.__main__ import main
from minconvbert.checkpoint.safetensors import read_safetensors
from minconvbert.commands import tour
from minconvbert.config import ConvBertConfig, multiplications, param_shapes
from minconvbert.electra import RowRandom, generator_config, part_params, pretraining_loss
from minconvbert.faces import ConvBertForMaskedLM, ConvBertModel
from minconvbert.files import default_model
from minconvbert.heads import task_model
from minconvbert.inputs import model_inputs
from minconvbert.tokenizer import ConvBertTokenizerFast
from minconvbert.training import finetune, pretrain, study, tasks
from minconvbert.training.pretrain import masked_batch
from minconvbert.training.recipes import PRESETS, FinetuningRecipe

MODEL = ConvBertConfig(vocab_size=40, hidden_size=16, embedding_size=8, num_hidden_layers=1, num_attention_heads=4,
                       intermediate_size=24, max_position_embeddings=24, conv_kernel_size=3, pad_token_id=0)
RECIPE = replace(PRESETS["tiny"], batch_size=6, steps=40, warmup=4, learning_rate=0.02, generator_layers=1.0)


def rows_of_many_lengths(count=11, L=24, seed=0, words=35):
    """Rows of ids, some with much padding and some with little, so that a mean over rows is not a mean over places."""
    rng = np.random.default_rng(seed)
    rows = np.zeros((count, L), np.uint16)
    for row in rows:
        length = int(rng.choice([6, 9, L]))
        row[:length] = rng.integers(5, 5 + words, length)
        row[0], row[length - 1] = SPECIAL["cls"], SPECIAL["sep"]
    return rows


def strong_state(recipe, cfg=MODEL, seed=0):
    generator = generator_config(cfg, recipe.generator_width, recipe.generator_layers)
    state, rng = pretrain.fresh_state(cfg, generator, recipe, np.float64), np.random.default_rng(seed)
    for x in state["params"].values():
        x += rng.normal(0, 0.3, x.shape)
    return state, generator


def log_softmax(z):
    z = z.astype(float) - z.max()
    return z - math.log(sum(math.exp(value) for value in z))


# Pretraining

@pytest.mark.parametrize("objective", ("replaced-token-detection", "masked-lm"))
def test_held_out_figures_count_places_and_tokens_one_by_one(objective):
    recipe = replace(RECIPE, objective=objective)
    state, generator = strong_state(recipe)
    params, rows = state["params"], rows_of_many_lengths(words=4)
    params["generator_lm_head.bias"][5:9] += 4          # so that some guesses are right
    found = pretrain.evaluate(params, rows, SPECIAL, MODEL, generator, recipe, batch_size=4)
    losses, right, hidden, scores, labels = [], [], [], [], []
    for i, row in enumerate(rows):
        batch, places = masked_batch(row[None], RowRandom(0, 0, [i]), SPECIAL)
        own, cfg = (params, MODEL) if objective == "masked-lm" else (part_params(params, "generator"), generator)
        inputs = model_inputs(cfg, batch["masked_ids"], batch["attention_mask"], batch["token_type_ids"])
        words, _ = task_model("masked_lm", inputs, own, cfg)
        for at in places["positions"]:
            logs = log_softmax(words[0, at])
            losses.append(-logs[row[at]])
            right.append(logs.argmax() == row[at])
            hidden.append(batch["masked_ids"][0, at] == SPECIAL["mask"])
        if objective != "masked-lm":
            rng = RowRandom(0, 0, [i])
            masked_batch(row[None], rng, SPECIAL)       # takes what masking takes of the random numbers
            _, acts = pretraining_loss(batch, places, params, MODEL, generator, rng)
            inputs = inputs | dict(input_ids=acts["corrupted"])
            logits, _ = task_model("discriminator", inputs, part_params(params, "discriminator"), MODEL)
            for at in range(int(batch["attention_mask"].sum())):
                scores.append(logits[0, at])
                labels.append(acts["corrupted"][0, at] != row[at])
    assert len(losses) > len(rows) and not all(hidden)
    assert found["masked_loss"] == pytest.approx(sum(losses) / len(losses))
    assert found["masked_accuracy"] == pytest.approx(sum(right) / len(right)) and 0 < sum(right) < len(right)
    if "hidden_loss" in found:
        apart = [loss for loss, is_hidden in zip(losses, hidden) if is_hidden]
        assert found["hidden_loss"] == pytest.approx(sum(apart) / len(apart))
        assert found["hidden_accuracy"] == pytest.approx(
            sum(r for r, is_hidden in zip(right, hidden) if is_hidden) / len(apart))
    if objective == "masked-lm":
        assert "auc" not in found
        return
    pairs = [(a > b) + (a == b) / 2 for a, x in zip(scores, labels) if x for b, y in zip(scores, labels) if not y]
    assert found["auc"] == pytest.approx(sum(pairs) / len(pairs))
    assert found["accuracy"] == pytest.approx(np.mean([(z > 0) == label for z, label in zip(scores, labels)]))
    assert found["accuracy"] != pytest.approx(1 - found["accuracy"], abs=0.02)
    assert found["replaced"] == pytest.approx(sum(labels) / len(labels))


def test_the_baseline_counts_words():
    train, held_out = rows_of_many_lengths(30, seed=1), rows_of_many_lengths(9, seed=2)
    train[:, 3] = 7                                     # one word that is likelier than all others
    counts = Counter(int(word) for row in train for word in row)
    weight = lambda word: 1e-9 if word in SPECIAL.values() else counts[word] + 1
    total = sum(weight(word) for word in range(40))
    losses, right = [], []
    for i, row in enumerate(held_out):
        batch, places = masked_batch(row[None], RowRandom(0, 0, [i]), SPECIAL)
        for at in places["positions"]:
            hidden = batch["masked_ids"][0, at] == SPECIAL["mask"]
            losses.append(-math.log(weight(int(row[at])) / total))
            right.append(row[at] == 7 if hidden else True)
    found = pretrain.unigram_baseline(pretrain.word_frequencies(train, SPECIAL, 40), held_out, SPECIAL, batch_size=4)
    assert found["masked_loss"] == pytest.approx(sum(losses) / len(losses))
    assert found["masked_accuracy"] == pytest.approx(sum(right) / len(right)) and 0 < sum(right) < len(right)


def test_a_step_reports_its_own_loss_norm_rate_and_tokens():
    state, generator = strong_state(RECIPE)
    state["step"], examples = 7, rows_of_many_lengths(40)
    params = {name: x.copy() for name, x in state["params"].items()}
    figures = pretrain.train_step(state, examples, SPECIAL, MODEL, generator, RECIPE)
    chosen = examples[pretrain.corpus.batch_rows(7, RECIPE.batch_size, 40, RECIPE.seed)]
    assert figures["tokens"] == (chosen != 0).sum()
    assert figures["rate"] == pytest.approx(0.02 * (1 - 7 / 40))
    batch, places = masked_batch(chosen, RowRandom(RECIPE.seed, 7, range(6)), SPECIAL)
    rng = RowRandom(RECIPE.seed, 7, range(6))
    masked_batch(chosen, rng, SPECIAL)
    losses, acts = pretraining_loss(batch, places, params, MODEL, generator, rng)
    words = acts["generator.words"]
    nll = [-log_softmax(z)[label] for z, label in zip(words, places["labels"])]
    assert figures["generator_loss"] == pytest.approx(sum(nll) / len(nll), rel=1e-5)
    z, replaced, real = acts["discriminator.logits"], acts["replaced"], batch["attention_mask"] == 1
    bce = [math.log1p(math.exp(-abs(a))) + max(a, 0) - a * b for a, b in zip(z[real], replaced[real])]
    assert figures["discriminator_loss"] == pytest.approx(sum(bce) / len(bce), rel=1e-5)
    assert figures["loss"] == pytest.approx(figures["generator_loss"] + 50 * figures["discriminator_loss"])
    # The norm, by the change that the moments keep: v = 0.001 g^2 after the clip to 1.
    squares = sum(float(v.sum()) for name, v in state["moments"].items() if name.startswith("v.")) / 0.001
    assert figures["norm"] > 1 and squares == pytest.approx(RECIPE.clip ** 2, rel=1e-5)
    assert losses["loss"] == pytest.approx(figures["loss"])


# The study

@pytest.mark.parametrize("variant", study.VARIANTS)
def test_all_variants_have_as_many_parameters_generators_too(variant):
    """The feed-forward layer makes up for the block, to the nearest unit of its width, in every layer of both parts."""
    cfg = ConvBertConfig(**PRESETS["tiny"].model).replace(vocab_size=50)

    def sizes(name):
        own = study.variant_config(cfg, name)
        generator = study.variant_config(generator_config(own, 0.5, 1.0), name)
        params = study.variant_state(own, generator, name, RECIPE)["params"]
        return {part: sum(x.size for n, x in params.items() if n.startswith(part))
                for part in ("generator", "discriminator")}

    mine, span = sizes(variant), sizes("span")
    for part, width in (("discriminator", 128), ("generator", 64)):
        assert abs(mine[part] - span[part]) <= cfg.num_hidden_layers * (2 * width + 1) / 2, part


def test_a_study_reports_what_its_models_are(tmp_path):
    examples, held_out = rows_of_many_lengths(40), rows_of_many_lengths(9, seed=3)
    recipe = replace(RECIPE, steps=3, batch_size=4)
    seen, losses = {}, []
    honest = study.evaluate

    def evaluate(params, *args):
        seen.update(params=params, figures=honest(params, *args), args=args)
        return seen["figures"]

    study.evaluate = evaluate
    try:
        found = study.train_variant("plain", MODEL, recipe, examples, held_out, SPECIAL,
                                    lambda step, **figures: losses.append(figures["loss"]))
    finally:
        study.evaluate = honest
    assert found["parameters"] == sum(
        x.size for name, x in seen["params"].items() if name.startswith("discriminator.encoder"))
    assert seen["args"][0] is held_out and {name: found[name] for name in seen["figures"]} == seen["figures"]
    assert found["training_loss"] == losses[-1] and len(losses) == 3


def test_the_training_loss_of_a_study_is_the_mean_of_the_last_twentieth_of_the_steps(monkeypatch):
    def train_step(state, *_):
        state["step"] += 1
        return dict(loss=float(state["step"] ** 2), tokens=5 * state["step"])

    said = []
    monkeypatch.setattr(study, "train_step", train_step)
    monkeypatch.setattr(study, "evaluate", lambda *_: {})
    found = study.train_variant("bottleneck", MODEL, replace(RECIPE, steps=60), None, None, SPECIAL,
                                lambda step, **figures: said.append((step, figures)))
    assert found["training_loss"] == pytest.approx((58 ** 2 + 59 ** 2 + 60 ** 2) / 3)
    assert said == [(n, dict(loss=n ** 2, tokens=5 * n)) for n in range(1, 61)]


@pytest.mark.parametrize("steps, measured", [(60, [15, 30, 45, 60]), (3, [1, 2, 3]), (1, [1])])
def test_a_study_measures_after_each_quarter_and_counts_the_time_of_training_alone(steps, measured, monkeypatch):
    clock = [0.0]

    def train_step(state, *_):
        state["step"] += 1
        clock[0] += 0.5
        return dict(loss=1.0, tokens=1)

    def evaluate(*_):
        clock[0] += 100
        return dict(auc=clock[0])

    monkeypatch.setattr(study, "train_step", train_step)
    monkeypatch.setattr(study, "evaluate", evaluate)
    monkeypatch.setattr(study.time, "process_time", lambda: clock[0])
    found = study.train_variant("span", MODEL, replace(RECIPE, steps=steps), None, None, SPECIAL)
    assert found["along"] == [dict(step=step, auc=100 * n + step / 2) for n, step in enumerate(measured, 1)]
    assert found["seconds"] == steps / 2 and found["auc"] == found["along"][-1]["auc"]


def test_models_of_a_study_are_compared_seed_by_seed():
    figures = {("span", 0): 3.0, ("plain", 0): 3.5, ("plain", 1): 4.25, ("span", 1): 4.0, ("span", 2): 1.0, ("dynamic", 2): 2.0}
    results = [dict(setting=name, seed=seed, auc=x, along=[dict(step=7, auc=2 * x)]) for (name, seed), x in figures.items()]
    assert study.paired(results, "auc", "span", "plain").tolist() == [-0.5, -0.25]
    assert study.paired(results, "auc", "plain", "span", step=7).tolist() == [1, 0.5]
    assert study.paired(results, "auc", "dynamic", "span").tolist() == [1]
    assert study.paired(results, "auc", "dynamic", "plain").size == 0


@pytest.mark.parametrize("count, mean, spread", [(2, 1.0, 0.5), (5, -0.3, 1.0), (12, 0.02, 0.1)])
def test_the_interval_of_a_study_holds_the_true_mean_in_95_of_100_studies(count, mean, spread):
    draws = np.random.default_rng(0).normal(mean, spread, (4000, count))
    found = [study.interval(values) for values in draws]
    held = np.mean([abs(middle - mean) <= reach for middle, reach in found])
    assert held == pytest.approx(0.95, abs=0.012)
    assert [middle for middle, _ in found] == pytest.approx(draws.mean(1))


def test_students_t_is_that_of_the_tables():
    assert [study.student_t(n) for n in (1, 2, 4, 9, 30)] == pytest.approx([12.706, 4.303, 2.776, 2.262, 2.042], abs=6e-4)
    assert study.student_t(4, 0.99) == pytest.approx(4.604, abs=6e-4)


@pytest.mark.parametrize("values", [(0.1, 0.3, -0.1), (0.5, 0.4), (-0.2, 0.1, 0.05, -0.3, -0.1), (1.0, 1.01, 0.99)])
def test_the_seeds_that_a_study_needs_are_the_fewest_whose_interval_leaves_out_zero(values):
    mean, spread, needed = np.mean(values), np.std(values, ddof=1), study.seeds_needed(values)
    standard = np.random.default_rng(0).normal(size=needed)

    def decides(n):
        like = standard[:n] - standard[:n].mean()
        middle, reach = study.interval(mean + like * spread / like.std(ddof=1))
        return abs(middle) > reach

    assert decides(needed) and (needed == 2 or not decides(needed - 1))
    assert study.seeds_needed([1.0, -1.0]) == math.inf


def test_what_a_study_prints_of_the_differences(capsys):
    losses = dict(span=(1.0, 1.1, 1.2), plain=(1.5, 1.7, 1.6), dynamic=(1.0, 1.2, 1.15))
    study.print_differences([dict(setting=name, seed=seed, masked_loss=x, along=[]) for name, values in losses.items()
                             for seed, x in enumerate(values)], ("masked_loss",))
    plain, dynamic = capsys.readouterr().out.splitlines()
    assert plain.split() == "masked_loss span - plain -0.5000 ± 0.2484 3 seeds: decided".split()
    needed = study.seeds_needed([0, -0.1, 0.05])
    assert dynamic.split()[4:] == ["-0.0167", "±", "0.1897", *f"3 seeds: {needed} such seeds would decide it".split()]


@pytest.mark.parametrize("variant", ("attention", "bottleneck", "plain", "dynamic"))
def test_what_a_variant_has_of_its_own_is_drawn_as_all_else_is(variant):
    """Weights of the configuration's spread, biases of 0, each kernel of about 1 / K; and another seed, other numbers."""
    cfg = ConvBertConfig(**PRESETS["tiny"].model).replace(vocab_size=50, initializer_range=0.03)
    draw = lambda seed: study.variant_state(cfg, generator_config(cfg, 0.5), variant, replace(RECIPE, seed=seed))["params"]
    params, other = draw(0), draw(1)
    own = [f"discriminator.encoder.layer.3.attention.{name}" for name in study.block_shapes(cfg, variant)]
    assert own and {name for name in params if name.startswith("discriminator.encoder.layer.3.attention.self")} == {
        name for name in own if ".self." in name}
    for name in own:
        x = params[name]
        if name.endswith("bias"):
            assert not x.any()
        else:
            spread = 1 / cfg.conv_kernel_size if "depthwise" in name else 0.03
            assert x.std() == pytest.approx(spread, rel=0.15) and abs(x.mean()) < 4 * spread / math.sqrt(x.size)
            assert not np.array_equal(x, other[name])


def test_the_table_of_a_study_has_means_and_sample_deviations(capsys):
    values = {"masked_loss": [3.0, 4.0, 8.0], "masked_accuracy": [0.5, 0.25, 0.3], "auc": [0.75, 0.875, 0.9]}
    results = [dict(setting="span", parameters=1234, seconds=[7, 1, 2][i], **{name: v[i] for name, v in values.items()}) for i in range(3)]
    results += [dict(setting="plain", parameters=1230, seconds=9.6, masked_loss=2.5, masked_accuracy=0.5, auc=0.5)]
    study.print_table(results)
    _, span, plain = capsys.readouterr().out.splitlines()
    expected = []
    for v in values.values():
        mean = sum(v) / 3
        expected += [mean, math.sqrt(sum((x - mean) ** 2 for x in v) / 2)]
    name, size, seconds, *cells = span.replace("±", " ").split()
    assert (name, size, seconds, cells[-1]) == ("span", "1,234", "1", "3")
    assert [float(cell) for cell in cells[:-1]] == pytest.approx(expected, abs=5.1e-5)
    _, size, seconds, *cells = plain.replace("±", " ").split()
    assert (size, seconds) == ("1,230", "10") and [float(cell) for cell in cells] == [2.5, 0, 0.5, 0, 0.5, 0, 1]


# The tasks

def test_regression_reports_pearson_and_spearman_and_not_one_of_them_twice():
    task, wanted, found = tasks.get("text-classification"), [1.0, 2.0, 3.0, 4.0], [1.0, 10.0, 9.0, 100.0]
    cfg = ConvBertConfig(**SIZES).replace(num_labels=1, problem_type="regression")
    figures = task.measure([dict(where="", label=x) for x in wanted], [dict(value=y) for y in found], cfg)
    mean = sum(found) / 4
    covariance = sum((x - 2.5) * (y - mean) for x, y in zip(wanted, found))
    assert figures == dict(
        pearson=pytest.approx(covariance / math.sqrt(5.0 * sum((y - mean) ** 2 for y in found))),
        spearman=pytest.approx(1 - 6 * (0 + 1 + 1 + 0) / (4 * 15)),       # 1 - 6 sum d^2 / (n (n^2 - 1))
        mean_squared_error=pytest.approx((0 + 64 + 36 + 96 ** 2) / 4))


def test_several_labels_report_micro_and_macro_f1_and_all_right():
    task = tasks.get("text-classification")
    cfg = ConvBertConfig(**SIZES).replace(num_labels=3, id2label={0: "a", 1: "b", 2: "c"},
                                          problem_type="multi_label_classification")
    wanted, found = [["a", "b"], ["a"], ["c"], []], [["a"], ["a", "b"], ["c"], []]
    figures = task.measure([dict(where="", label=x) for x in wanted], [dict(labels=y) for y in found], cfg)
    # a: 2 of 2 and 2; b: 0 hits of 1 and 1; c: 1 of 1 and 1.
    assert figures == dict(micro_f1=pytest.approx(2 * 3 / (4 + 4)), macro_f1=pytest.approx((1 + 0 + 1) / 3), exact=0.5)


def test_single_labels_report_accuracy_and_macro_f1():
    task = tasks.get("text-classification")
    cfg = ConvBertConfig(**SIZES).replace(num_labels=3, id2label={0: "a", 1: "b", 2: "c"})
    wanted, found = "aaab", "aabb"
    figures = task.measure([dict(where="", label=x) for x in wanted], [dict(label=y) for y in found], cfg)
    assert figures == dict(accuracy=0.75, macro_f1=pytest.approx((2 * 2 / (2 + 3) + 2 * 1 / (2 + 1) + 0) / 3))


def test_tags_report_entities_whole_and_words_one_by_one():
    task = tasks.get("token-classification")
    tags = ["O", "B-PER", "I-PER", "E-PER", "S-LOC"]
    cfg = ConvBertConfig(**SIZES).replace(num_labels=5, id2label=dict(enumerate(tags)))
    wanted = [["B-PER", "E-PER", "O", "S-LOC"], ["S-LOC", "O"]]
    found = [["B-PER", "I-PER", "E-PER", "S-LOC"], ["S-LOC", "S-LOC"]]
    figures = task.measure([dict(where="", tags=x) for x in wanted], [dict(tags=y) for y in found], cfg)
    # Three wanted, four found, two of them right: the person is one word too long.
    assert figures == dict(f1=pytest.approx(2 * 2 / (3 + 4)), precision=0.5, recall=pytest.approx(2 / 3),
                           accuracy=pytest.approx(3 / 6))


def test_choices_report_accuracy():
    figures = tasks.get("multiple-choice").measure(
        [dict(label=x) for x in (0, 1, 2, 2)], [dict(label=y) for y in (0, 2, 2, 1)], None)
    assert figures == dict(accuracy=0.5)


def test_masked_words_report_likelihood_perplexity_and_accuracy_over_words():
    task, cfg = tasks.get("masked-lm"), ConvBertConfig(**SIZES)
    params = strong_params(cfg, "masked_lm")
    # Sixteen rows of one length make a batch: no padding, which a convolution would see.
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(VOCABULARY[-12:], n)) for n in (8, 28) for _ in range(16)]
    features = task.encode([dict(text=text, where="") for text in texts], tokenizer(), cfg, 30)
    found, _ = task.evaluate([], features, params, cfg)
    losses, right = [], []
    for i, feature in enumerate(features):
        batch = task.stack([feature], cfg, (0, 0, [i]))
        inputs = {name: x for name, x in batch["inputs"].items() if name != "masked_ids"}
        logits, _ = task_model("masked_lm", inputs | dict(input_ids=batch["inputs"]["masked_ids"]), params, cfg)
        for at in batch["places"]["positions"]:
            logs = log_softmax(logits[0, at])
            losses.append(-logs[feature["input_ids"][0][at]])
            right.append(logs.argmax() == feature["input_ids"][0][at])
    assert len(losses) == 16 * (2 + 4)
    mean = sum(losses) / len(losses)
    assert found == dict(log_likelihood=pytest.approx(-mean, rel=1e-6), accuracy=pytest.approx(np.mean(right)),
                         perplexity=pytest.approx(math.exp(mean), rel=1e-5))


def test_a_fine_tuning_step_reports_the_mean_over_all_labels():
    """Parts of a batch have different numbers of labels: the loss is over labels, not over parts."""
    task, cfg = tasks.get("token-classification"), ConvBertConfig(**SIZES).replace(
        num_labels=2, id2label={0: "O", 1: "B"}, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    rng, sentences = np.random.default_rng(0), [["cat"] * 7, ["dog"] * 7, ["red"] * 7, ["bird"] * 7]
    examples = [dict(where="", words=words, tags=rng.choice(["O", "B"], 7).tolist()) for words in sentences]
    features = task.encode(examples, tokenizer(), cfg, 20)
    for i, feature in enumerate(features):
        feature["labels"] = [-100 if at > 1 + 2 * i else label for at, label in enumerate(feature["labels"])]
    params = strong_params(cfg, task.HEAD)
    losses = []
    for feature in features:
        logits, _ = task_model(task.HEAD, model_inputs(cfg, np.array(feature["input_ids"])), params, cfg)
        losses += [-log_softmax(z)[label] for z, label in zip(logits[0], feature["labels"]) if label != -100]
    assert len(losses) == 1 + 3 + 5 + 7
    figures = finetune.train_step(task, finetune.fresh_state(params), features, cfg, FinetuningRecipe(accumulate=2), 9,
                                  None)
    assert figures["loss"] == pytest.approx(sum(losses) / len(losses))
    assert figures["tokens"] == 4 * 9


# What a model is made of

def test_the_cost_is_that_of_the_products_that_are_computed():
    """By hand for one layer: widths of all matrices, and the sums of attention and convolution."""
    cfg = ConvBertConfig(vocab_size=11, hidden_size=12, embedding_size=10, num_hidden_layers=3, num_attention_heads=6,
                         intermediate_size=20, max_position_embeddings=9, conv_kernel_size=5, pad_token_id=0)
    assert (cfg.heads, cfg.head_size) == (3, 2)
    assert multiplications(cfg, 7) == {
        "query, key, value": 3 * 3 * 12 * 6, "attention": 3 * (7 * 6 + 7 * 6), "span key": 3 * (12 * 5 + 12 * 6),
        "kernel": 3 * (6 + 6 * 15), "convolution": 3 * (12 * 6 + 5 * 6), "output of both halves": 3 * 12 * 12,
        "feed-forward": 3 * (12 * 20 + 20 * 12), "embeddings_project": 10 * 12}


def test_info_says_the_same_in_words_and_to_machines(tmp_path, capsys):
    cfg = ConvBertConfig(**SIZES | dict(embedding_size=10))
    cfg.to_json(tmp_path)
    assert main(["info", str(tmp_path), "--json", "--length", "9", "--task", "masked_lm"]) == 0
    told = json.loads(capsys.readouterr().out)
    shapes = param_shapes(cfg, "masked_lm")
    assert {name: tuple(shape) for name, shape in told["parameters"].items()} == shapes
    assert told["total"] == sum(int(np.prod(shape)) for shape in shapes.values())
    assert told["multiplications_per_token"] == multiplications(cfg, 9) and told["config"] == cfg.to_dict()
    assert main(["info", str(tmp_path), "--length", "9", "--task", "masked_lm"]) == 0
    said = dict(line.rsplit(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line)
    number = lambda start: next(int(n.replace(",", "")) for line, n in said.items() if line.startswith(start))
    assert number("parameters") == told["total"] and number("feed-forward") == multiplications(cfg, 9)["feed-forward"]
    assert number("multiply-adds per token, in a sequence of 9") == sum(multiplications(cfg, 9).values())
    assert number("convbert.embeddings.word_embeddings.weight") == cfg.vocab_size * 10


# The tour

def test_the_tour_shows_what_the_models_answer(capsys):
    """Each percentage, against the faces: a mask's words in the order of their probability, a replaced word's.

    The last example of each kind is one that the models get wrong, as the tour says.
    """
    assert main([]) == 0
    out = capsys.readouterr().out
    folder = default_model()
    words = ConvBertTokenizerFast.from_pretrained(folder)
    model = ConvBertForMaskedLM.from_pretrained(folder / "generator")
    for text, answer in zip(tour.MASKED, ("been", "out", "century", "cord", "paris"), strict=True):
        ids = words(text)["input_ids"]
        logs = log_softmax(model(np.array([ids])).logits[0, ids.index(words.mask_token_id)])
        best = sorted(range(len(logs)), key=lambda i: -logs[i])[:5]
        line = out.split(text + "\n")[1].splitlines()[0]
        assert line.strip() == "   ".join(f"{words.decode([i])} {math.exp(logs[i]):.0%}" for i in best)
        assert (words.decode(best[0]) == answer) == (text != tour.MASKED[-1])
    for pair in tour.PAIRS:
        chances = []
        for text, other in (pair, pair[::-1]):
            (at, piece), = set(enumerate(words.tokenize(text))) - set(enumerate(words.tokenize(other)))
            chances.append(replaced_by_hand(text, folder, words)[at])
            assert out.split(text)[1].splitlines()[0].split() == [piece, f"{chances[-1]:.0%}"]
        assert (chances[0] < chances[1]) == (pair != tour.PAIRS[-1])


def replaced_by_hand(text, folder, words):
    """sigmoid(w2 gelu(w1 h + b1) + b2) of each piece, from the hidden states that the face gives."""
    head = read_safetensors(folder / "discriminator_head.safetensors")
    w1, b1, w2, b2 = (head[f"discriminator_predictions.{name}"].astype(float) for name in (
        "dense.weight", "dense.bias", "dense_prediction.weight", "dense_prediction.bias"))
    hidden = ConvBertModel.from_pretrained(folder)(np.array([words(text)["input_ids"]])).last_hidden_state[0, 1:-1]
    chances = []
    for h in hidden.astype(float):
        active = [x * (1 + math.erf(x / math.sqrt(2))) / 2 for x in w1 @ h + b1]
        chances.append(1 / (1 + math.exp(-(w2[0] @ active + b2[0]))))
    return chances


def test_the_commands_for_words_take_a_model_and_a_number(capsys):
    """As the tour, but for one text: so many words for every mask, and a model from another folder."""
    generator = default_model() / "generator"
    assert main(["fill-mask", "The [MASK] sat on the [MASK].", "--top", "3", "--model", str(generator)]) == 0
    text, *lines = capsys.readouterr().out.splitlines()
    assert text == "The [MASK] sat on the [MASK]." and len(lines) == 2
    for line in lines:
        chances = [int(n) for n in re.findall(r"(\d+)%", line)]
        assert len(chances) == 3 and chances == sorted(chances, reverse=True)
    words = ConvBertTokenizerFast.from_pretrained(default_model())
    assert main(["detect", "They was very tired.", "--model", str(default_model())]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "They was very tired." and [line.split()[0] for line in said[1:]] == [
        "they", "was", "very", "tired", "."]
    for line, chance in zip(said[1:], replaced_by_hand(said[0], default_model(), words), strict=True):
        assert line.split()[1:] == ["#" * round(30 * chance)] * (chance >= 1 / 60) + [f"{chance:.0%}"]
    assert main(["detect", "a", "--model", str(generator)]) == 2 and "discriminator" in capsys.readouterr().err


# Progress

def test_progress_says_how_far_how_fast_and_how_long_still(monkeypatch):
    """From step 2 to 8: three steps of 40 tokens take 6 seconds, so three more take as long."""
    from minconvbert.training import progress
    clock = iter([100.0, 102.0, 104.0, 106.0, 112.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    file = io.StringIO()
    show = progress.Progress(8, start=2, every=3, file=file)
    for done in (3, 4, 5):
        show(done, tokens=40, loss=0.51234, norm=2.0)
    show(8, loss=0.25)
    first, second, third = file.getvalue().splitlines()
    said = lambda line: " ".join(line.split())
    assert said(first) == "[#########...............] 3/8 loss 0.5123 norm 2 20 tokens/s 0:00:10 left"
    assert said(second) == "[###############.........] 5/8 loss 0.5123 norm 2 20 tokens/s 0:00:06 left"
    assert said(third) == "[########################] 8/8 loss 0.25 10 tokens/s 0:00:00 left"


def test_progress_without_tokens_says_no_speed():
    """An evaluation or a text that is encoded counts other things."""
    from minconvbert.training import progress
    for terminal, seconds in ((True, 0.5), (False, 10)):
        assert progress.Progress(2, file=SimpleNamespace(isatty=lambda terminal=terminal: terminal)).every == seconds
    file = io.StringIO()
    progress.Progress(2, every=0, file=file)(1, loss=0.5)
    assert file.getvalue().startswith("[############............] 1/2  loss 0.5  0:00:0")


@pytest.mark.parametrize("seconds, said", ((0.4, "0:00:00"), (59.6, "0:01:00"), (3725.2, "1:02:05"), (90061, "25:01:01")))
def test_how_long_still_is_said_in_hours_minutes_and_seconds(seconds, said, monkeypatch):
    from minconvbert.training import progress
    clock = iter([0.0, seconds])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    file = io.StringIO()
    progress.Progress(2, every=0, file=file)(1)
    assert file.getvalue().endswith(f"  {said} left \n")
