"""Which variants solve `left or right`, which cannot, and that these are held back by what they see."""

import itertools
import math

import numpy as np
import pytest

from minconvbert.training import left_or_right
from minconvbert.training.left_or_right import DOT, LEFT, LETTERS, MIDDLE, RIGHT, STAR, VARIANTS

IDS, ANSWERS = left_or_right.sentences()
DIRECTION = np.where((IDS == LEFT).any(1), LEFT, RIGHT)
SOLVE = ("attention, 2 heads", "span")


def answers_of(variant, p, ids=IDS):
    out, _ = left_or_right.mix(left_or_right.vectors(ids, variant), p, variant)
    return out[:, MIDDLE]


def untrained(variant, seed, values="fixed"):
    rng = np.random.default_rng(seed)
    p = left_or_right.fresh_params(variant, rng)
    spread = lambda name: values == "learned" or "conv_out_layer" not in name
    return {name: x + rng.normal(0, 2, x.shape) * spread(name) for name, x in p.items()}


def test_the_answer_is_the_neighbour_that_the_word_near_by_says():
    assert len({tuple(row) for row in IDS}) == len(IDS) == 4 * LETTERS * (LETTERS - 1)
    for row, answer in zip(IDS.tolist(), ANSWERS):
        assert row[MIDDLE] == STAR and row[1] != row[3] and {row[0], row[4]} in ({LEFT, DOT}, {RIGHT, DOT})
        assert answer == (row[1] if LEFT in row else row[3])


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients(variant):
    p, ids = untrained(variant, 1, "learned"), IDS[::9]
    x, dout = left_or_right.vectors(ids, variant), np.random.default_rng(2).normal(size=(len(ids), 5, LETTERS))
    grads = left_or_right.mix_backward(dout, left_or_right.mix(x, p, variant)[1], p, variant)
    assert grads.keys() == p.keys()
    rng = np.random.default_rng(3)
    for name in p:
        step = rng.normal(size=p[name].shape)
        plus, minus = (float((left_or_right.mix(x, p | {name: p[name] + e * step}, variant)[0] * dout).sum())
                       for e in (1e-5, -1e-5))
        assert float((grads[name] * step).sum()) == pytest.approx((plus - minus) / 2e-5, rel=1e-5, abs=1e-6), name


def test_ceilings_by_enumeration():
    letters = IDS[:, [1, 3]]
    assert left_or_right.best_accuracy(letters, ANSWERS) == 0.5
    assert left_or_right.best_accuracy(np.sort(IDS, axis=1), ANSWERS) == 0.5
    assert left_or_right.best_accuracy(np.column_stack([DIRECTION, letters]), ANSWERS) == 1
    assert left_or_right.best_accuracy(IDS, ANSWERS) == 1
    assert left_or_right.best_accuracy(np.array([0, 0, 0, 1]), np.array([6, 5, 5, 6])) == 0.75


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("variant", ["plain", "dynamic", "attention"])
def test_the_direction_is_lost_on_them(variant, seed):
    """Whatever the parameters are, the letter with the higher logit does not depend on the word that says which."""
    out = answers_of(variant, untrained(variant, seed))
    at = np.arange(len(IDS))
    left_is_higher = out[at, IDS[:, 1]] > out[at, IDS[:, 3]]
    for pair in itertools.permutations(range(LETTERS), 2):
        for place in (0, 4):
            rows = (IDS[:, [1, 3]] == pair).all(1) & (IDS[:, place] != DOT)
            assert rows.sum() == 2 and len(set(left_is_higher[rows])) == 1


@pytest.mark.parametrize("seed", range(3))
def test_the_order_is_lost_on_a_head_without_positions(seed):
    p = untrained("attention, blind", seed, "learned")
    expected = answers_of("attention, blind", p)
    assert answers_of("attention, blind", p, IDS[:, ::-1]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_each_learns(variant):
    for seed in range(2):
        p, accuracies, losses = left_or_right.train(variant, seed)
        assert len(accuracies) == len(losses) == 150
        assert (p["conv_out_layer.weight"] == np.eye(LETTERS, p["conv_out_layer.weight"].shape[1])).all()
        if variant in SOLVE:
            assert accuracies[-1] == 1 and losses[-1] < 0.01
        else:
            assert accuracies[-1] == 0.5 and losses[-1] >= math.log(2)
        assert accuracies[-1] == (answers_of(variant, p).argmax(1) == ANSWERS).mean()


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_first_step_is_measured_and_taken_as_the_docstring_says(variant):
    """Ten times the mixture makes the logits; the loss is measured before the step, which Adam begins with 3.16 rates."""
    fresh = left_or_right.fresh_params(variant, np.random.default_rng(4))
    p, (accuracy,), (loss,) = left_or_right.train(variant, seed=4, steps=1, rate=0.002)
    logits = 10 * answers_of(variant, fresh)
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert loss == pytest.approx(-np.log(chances[np.arange(len(IDS)), ANSWERS]).mean())
    assert accuracy == (logits.argmax(1) == ANSWERS).mean()
    moved = np.concatenate([np.abs(p[name] - fresh[name]).ravel() for name in p if "conv_out_layer" not in name])
    assert moved.max() == pytest.approx(0.002 * 0.1 / math.sqrt(0.001), rel=0.01)
    drawn = np.concatenate([x.ravel() for name, x in fresh.items() if "conv_out_layer" not in name])
    assert drawn.std() == pytest.approx(0.3, rel=4 / math.sqrt(2 * drawn.size))


@pytest.mark.parametrize("variant", ["plain", "dynamic", "attention", "attention, blind"])
def test_learned_values_do_not_help(variant):
    """A sum cannot tell which of two letters is meant, because direction and order are an exclusive or: at most three
    of four, and at best a loss of log 2."""
    for seed in range(4):
        right = answers_of(variant, untrained(variant, seed, "learned")).argmax(1) == ANSWERS
        assert right.mean() <= 0.75
    p, accuracies, losses = left_or_right.train(variant, values="learned")
    assert losses[-1] == pytest.approx(math.log(2), abs=0.02) and losses.min() >= math.log(2)
    assert accuracies.max() <= 0.75 and (p["conv_out_layer.weight"] != left_or_right.fresh_params(
        variant, np.random.default_rng(0))["conv_out_layer.weight"]).any()


def test_the_kernel_points_to_the_neighbour_that_is_wanted():
    p, _, _ = left_or_right.train("span")
    kernel = left_or_right.mix(left_or_right.vectors(IDS, "span"), p, "span")[1]["kernel"][:, MIDDLE, 0]
    assert (kernel[DIRECTION == LEFT, 1] > 0.7).all() and (kernel[DIRECTION == RIGHT, 3] > 0.7).all()
    p, _, _ = left_or_right.train("dynamic")
    kernel = left_or_right.mix(left_or_right.vectors(IDS, "dynamic"), p, "dynamic")[1]["kernel"][:, MIDDLE, 0]
    assert np.ptp(kernel, axis=0).max() < 1e-12 and kernel[0, [1, 3]] == pytest.approx([0.5, 0.5], abs=0.05)
