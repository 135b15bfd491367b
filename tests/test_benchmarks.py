"""What the scripts in benchmarks/ say, found another way on little models."""

import json
import lzma
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minconvbert.config import ConvBertConfig
from minconvbert.electra import generator_config, part_params
from minconvbert.heads import task_model
from minconvbert.initialize import init_params
from minconvbert.inputs import model_inputs
from minconvbert.training import pretrain
from minconvbert.training.recipes import PRESETS

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import blimp  # noqa: E402
import in_turn  # noqa: E402

import weights  # noqa: E402

SPECIAL = dict(mask=4, cls=2, sep=3, pad=0)
RECIPE = replace(PRESETS["tiny"], generator_layers=1.0)


@pytest.fixture(scope="module")
def made():
    """-> parameters of the size of trained ones, both configurations, float64"""
    cfg = ConvBertConfig(vocab_size=50, hidden_size=16, embedding_size=8, num_hidden_layers=2, num_attention_heads=4,
                         intermediate_size=32, max_position_embeddings=32, conv_kernel_size=3, pad_token_id=0)
    generator = generator_config(cfg, 0.5, 1.0)
    params = pretrain.fresh_state(cfg, generator, RECIPE, np.float64)["params"]
    rng = np.random.default_rng(0)
    return {name: x + rng.normal(0, 0.2, x.shape) for name, x in params.items()}, cfg, generator


def logits_of(part, ids, params, cfg):
    task = "masked_lm" if part == "generator" else part
    return task_model(task, model_inputs(cfg, ids), part_params(params, part), cfg)[0]


def sentences(count=30, seed=1):
    rng = np.random.default_rng(seed)
    return [[2, *rng.integers(5, 50, rng.integers(1, 9)).tolist(), 3] for _ in range(count)]


def test_scores_of_sentences_one_by_one(made, monkeypatch):
    params, cfg, generator = made
    texts = sentences()
    monkeypatch.setattr(blimp, "CHUNK", 7)
    scores = blimp.generator_scores(texts, params, generator, SPECIAL)
    told = blimp.discriminator_scores(texts, params, cfg, SPECIAL)
    shares = np.arange(1, 51) / 1275
    counted = blimp.frequency_scores(texts, shares)
    for i, ids in enumerate(texts):
        expected = 0.0
        for t in range(1, len(ids) - 1):
            hidden = np.array([[*ids[:t], 4, *ids[t + 1 :]]])
            words = logits_of("generator", hidden, params, generator)[0, t]
            expected += words[ids[t]] - np.log(np.exp(words).sum())
        assert scores[i] == pytest.approx(expected, rel=1e-9)
        logits = logits_of("discriminator", np.array([ids]), params, cfg)
        assert told[i] == pytest.approx(-np.log1p(np.exp(logits[0, 1:-1])).sum(), rel=1e-9)
        assert counted[i] == pytest.approx(np.log(np.prod([(i + 1) / 1275 for i in ids[1:-1]])), rel=1e-9)


def test_accuracy_is_the_mean_of_paradigms():
    """Two paradigms of one phenomenon and one of another; a tie is worth half."""
    pairs = [dict(phenomenon=a, paradigm=b) for a, b in (("x", "1"), ("x", "1"), ("x", "2"), ("y", "3"), ("y", "3"))]
    scores = np.array([1.0, 1, 1, 1, 1, 0, 2, 1, 0, 0])
    assert blimp.accuracies(pairs, scores) == dict(x=0.5, y=1.0, all=pytest.approx((0.5 + 0.5 + 1) / 3))


def test_pairs_are_read(tmp_path):
    rows = [dict(good=f"good {i}", bad=f"bad {i}", paradigm="ab"[i % 2], phenomenon="p") for i in range(6)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "plain.jsonl").write_text(text)
    with lzma.open(tmp_path / "packed.jsonl.xz", "wt") as file:
        file.write(text)
    for path in tmp_path.iterdir():
        assert [pair["good"] for pair in blimp.read_pairs(path, 2)] == ["good 0", "good 1", "good 2", "good 3"]
        assert len(blimp.read_pairs(path)) == 6
    for wrong in ('{"good": "only"}', "[1]", "none"):
        (tmp_path / "wrong.jsonl").write_text(text + wrong + "\n")
        with pytest.raises(ValueError, match="wrong.jsonl, line 7 must be a JSON object with good, bad"):
            blimp.read_pairs(tmp_path / "wrong.jsonl")


def test_the_whole_command(made, tmp_path, monkeypatch, capsys):
    """On the weights that ship: right against wrong forms that even they know."""
    rows = [dict(good=f"The {noun} {right} old.", bad=f"The {noun} {wrong} old.", paradigm=noun, phenomenon="agreement")
            for noun, right, wrong in (("men", "are", "is"), ("man", "is", "are"), ("children", "were", "was"))]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "text.txt").write_text("The old man is here. They are old.\n")
    monkeypatch.setattr(sys, "argv", ["blimp.py", "--pairs", str(tmp_path / "pairs.jsonl"), "--corpus",
                                      str(tmp_path / "text.txt"), "--work", str(tmp_path / "work")])
    blimp.main()
    heads, *lines = capsys.readouterr().out.splitlines()
    assert heads.split() == ["phenomenon", "generator", "discriminator", "fresh", "generator", "fresh", "discriminator",
                             "frequencies"]
    assert [line.split()[0] for line in lines] == ["agreement", "all"] and lines[-1].split()[1] == "100.0%"


def test_figures_agree_with_evaluate_and_halves_count(made):
    params, cfg, generator = made
    rows = np.random.default_rng(5).integers(5, 50, (40, 20)).astype(np.uint16)
    rows[:, 0], rows[:, -1] = 2, 3
    shares = np.full(50, 1 / 45)
    shares[:5] = 1e-12
    table = weights.figures(params, cfg, generator, rows, shares, SPECIAL, batch_size=16)
    expected = pretrain.evaluate(params, rows, SPECIAL, cfg, generator, RECIPE, batch_size=16)
    whole = table["whole"]
    assert {name: whole[name] for name in expected if name in whole} == pytest.approx(
        {name: expected[name] for name in expected if name in whole})
    assert whole["auc_own"] == expected["auc"] and len(whole) == 7
    assert len({row["auc_own"] for row in table.values()}) == len({row["masked_loss"] for row in table.values()}) == 3


def test_a_half_that_is_off_is_not_read(made):
    """With attention off, nothing that only attention reads changes the output; with the convolution off likewise."""
    params, cfg, _ = made
    ids, rng = np.array([[2, 9, 8, 7, 6, 3]]), np.random.default_rng(0)
    for part, part_cfg in (("discriminator", cfg), ("generator", made[2])):
        for variant, only in (("attention off", ".self.value."), ("convolution off", ".self.conv_")):
            off = weights.switched_off(params, variant)
            for before, same in ((off, True), (params, False)):
                after = {name: x + rng.normal(size=x.shape) * (only in name) for name, x in before.items()}
                logits, expected = (logits_of(part, ids, p, part_cfg) for p in (after, before))
                assert (logits == expected).all() == same


def test_words_that_fill_the_places():
    shares = np.array([0, 0, 0, 0, 0, 0.75, 0.25, 0])
    words = weights.fillings(np.full(4000, 7), shares, SPECIAL | dict(unk=1), np.random.default_rng(0))
    assert (words["own"] == 7).all()
    assert np.bincount(words["frequency"], minlength=8) / 4000 == pytest.approx(shares, abs=0.03)
    assert np.bincount(words["even"], minlength=8) / 4000 == pytest.approx([0] * 5 + [1 / 3] * 3, abs=0.03)


# Timings

def test_the_products_that_a_step_cannot_do_without():
    """Numbers of weights times rows, by hand: D = 16, E = 8, F = 32, A = 8, K = 3, V = 50, two layers in groups of two."""
    cfg = ConvBertConfig(vocab_size=50, hidden_size=16, embedding_size=8, num_hidden_layers=2, num_attention_heads=4,
                         intermediate_size=32, max_position_embeddings=32, conv_kernel_size=3, num_groups=2)
    params = init_params(cfg, "masked_lm", np.random.default_rng(0))
    layer = 5 * 16 * 8 + 8 * 2 * 3 + 16 * 16 + (16 * 32 + 32 * 16) // 2        # q k v, span key, value; kernel; out; F
    body, head = 8 * 16 + 2 * layer, 16 * 8 + 8 * 50
    cost = lambda maps: sum(weight.size * rows for weight, rows in maps)
    assert cost(in_turn.linear_maps(params, 7, 3)) == 7 * body + 3 * head
    assert cost(in_turn.linear_maps(params, 7)) == 7 * body
    classifier = init_params(cfg, "sequence_classification", np.random.default_rng(0))
    assert cost(in_turn.linear_maps(classifier, 7)) == 7 * body


def test_a_product_forward_and_two_backward():
    shapes = []

    class Noted(np.ndarray):
        def __array_ufunc__(self, ufunc, method, *inputs, **options):
            out = getattr(ufunc, method)(*(np.asarray(x) for x in inputs), **options)
            shapes.append((ufunc.__name__, out.shape))
            return out

    weight = np.ones((4, 3)).view(Noted)
    in_turn.products([(weight, 5)])()
    assert shapes == [("matmul", (5, 4))]
    in_turn.products([(weight, 5)], [(weight, 2)])()
    assert shapes[1:] == [("matmul", (5, 4)), ("matmul", (2, 3))]             # dW = dy^T x reads no weight


def test_lines_of_timings():
    medians = {"step": (0.1, 0.2), "least": (0.05, 0.16), in_turn.PEAK: (300.0, 400.0)}
    line = in_turn.compared("tiny", "step", medians, "least")
    assert line.split("minconvbert")[1].split() == [
        "100.0", "ms", "transformers", "200.0", "ms", "ratio", "0.50", "of", "own", "products", "2.00,", "1.25"]
    assert in_turn.compared("tiny", in_turn.PEAK, medians).split()[-6:] == [
        "MiB", "transformers", "400", "MiB", "ratio", "0.75"]
    assert in_turn.table_row("tiny", "step", medians["step"], medians["least"]) == (
        "| tiny | step | 100 ms | 200 ms | 0.50 | 2.00 (1.25) |")
    assert in_turn.table_row("tiny", in_turn.PEAK, medians[in_turn.PEAK], None) == (
        "| tiny | peak memory | 300 MiB | 400 MiB | 0.75 |  |")
