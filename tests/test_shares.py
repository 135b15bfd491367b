"""What is drawn at random has the shares that are promised: each is counted, with four standard errors of room."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import small_config

from minconvbert.course.exercises import case
from minconvbert.electra import RowRandom, generator_config, mask_tokens, sample_words
from minconvbert.faces import ConvBertForPreTraining, ConvBertModel
from minconvbert.initialize import init_params
from minconvbert.ops import dropout_mask
from minconvbert.training import corpus
from minconvbert.training.tasks import batches


def near(share, n):
    """The share that a count of n draws may have."""
    return pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / n))


# Examples of a corpus: sentences of one piece, so that every border can be told

LENGTH = 64


@pytest.fixture(scope="module")
def rows():
    """-> for many rows, the numbers of words in the first and in the second segment"""
    numbers = iter(range(9, 10**9))
    made = list(corpus.make_examples([["x"] * 120_000], lambda _: [next(numbers)], LENGTH, 2, 3, 0,
                                     np.random.default_rng(0)))
    segments = []
    for row in made:
        row = row[: row.index(0)] if 0 in row else row
        first = row.index(3) - 1
        segments.append((first, max(0, len(row) - first - 3)))
    return np.array(segments)


def test_one_row_in_ten_is_a_single_segment(rows):
    assert (rows[:, 1] == 0).mean() == near(0.1, len(rows))


def test_one_row_in_twenty_is_shorter_and_by_anything(rows):
    """A length drawn from 5 to 64 words shows as one if it leaves room: 3 places are for special tokens."""
    words = rows.sum(1)
    short = words[words < LENGTH - 3]
    assert len(short) / len(rows) == near(0.05 * (LENGTH - 3 - 5) / (LENGTH - 4), len(rows))
    assert short.min() >= 5 and short.min() < 12 and short.max() > 54
    assert short.mean() == pytest.approx((5 + LENGTH - 4) / 2, abs=4 * 16.2 / math.sqrt(len(short)))


def test_a_shorter_row_may_be_of_any_length_up_to_the_whole():
    asked = []
    rng = SimpleNamespace(random=lambda: 0.04, integers=lambda *ends: (asked.append(ends), ends[1] - 1)[1])
    list(corpus.make_examples([["x"] * 100], lambda _: [9], LENGTH, 2, 3, 0, rng))
    assert set(asked) == {(5, LENGTH + 1)}


def test_the_first_segment_ends_at_the_middle_or_one_before(rows):
    full = rows[(rows[:, 1] > 0) & (rows.sum(1) == LENGTH - 3)]
    middle = (LENGTH - 3) // 2
    assert set(full[:, 0]) <= {middle - 1, middle}
    assert (full[:, 0] == middle).mean() == near(0.5, len(full))


def test_an_epoch_is_a_new_order_and_the_seed_decides_it():
    one, two = (np.concatenate([corpus.batch_rows(step, 10, 100, 0) for step in range(n, n + 10)]) for n in (0, 10))
    other = np.concatenate([corpus.batch_rows(step, 10, 100, 1) for step in range(10)])
    assert sorted(one) == sorted(two) == sorted(other) == list(range(100))
    for a, b in ((one, two), (one, other), (one, np.arange(100))):
        assert (a == b).mean() < 0.08 and abs(np.corrcoef(a, b)[0, 1]) < 0.4


# Masking

B, L = 500, 128
IDS = np.full((B, L), 7)


@pytest.fixture(scope="module")
def masked():
    ids = IDS.copy()
    ids[:, 0], ids[:, 63], ids[:, 100] = 2, 3, 3        # 101 real tokens, of which three are special
    mask = (np.arange(L) <= 100) * np.ones_like(ids)
    hidden, places = mask_tokens(ids, mask, RowRandom(0, 3, range(B)), 4, [0, 2, 3, 4])
    counts = np.zeros((B, L), int)
    np.add.at(counts, (places["rows"], places["positions"]), 1)
    return hidden, counts


def test_fifteen_percent_of_the_real_tokens_are_drawn_and_no_other(masked):
    _, counts = masked
    assert (counts.sum(1) == round(0.15 * 101)).all()
    assert not counts[:, [0, 63, *range(100, L)]].any()


def test_every_word_is_as_likely_to_be_drawn(masked):
    by_position = masked[1].sum(0)[[*range(1, 63), *range(64, 100)]]
    expected = B * 15 / 98
    assert ((by_position - expected) ** 2 / expected).sum() == pytest.approx(97, abs=4 * math.sqrt(2 * 97))   # chi^2


def test_places_are_drawn_with_replacement(masked):
    """15 draws of 98 places hit 98 (1 - (1 - 1/98)^15) of them on average; without replacement it would be 15."""
    distinct = (masked[1] > 0).sum(1)
    assert distinct.mean() == pytest.approx(98 * (1 - (1 - 1 / 98) ** 15), abs=4 * distinct.std() / math.sqrt(B))
    assert distinct.mean() < 14.2 and masked[1].max() >= 2


def test_85_of_100_draws_hide_the_word(masked):
    hidden, counts = masked
    for times in (1, 2):                                # a place that is drawn twice stays if both draws leave it
        places = counts == times
        assert (hidden[places] == 4).mean() == near(1 - 0.15 ** times, places.sum())
    assert (hidden[counts == 0] != 4).all()


def test_rows_and_steps_are_masked_differently(masked):
    counts = masked[1]
    assert len({row.tobytes() for row in counts}) == B
    _, places = mask_tokens(IDS, np.ones_like(IDS), RowRandom(0, 4, range(B)), 4, [0, 2, 3, 4])
    again = np.zeros((B, L), int)
    np.add.at(again, (places["rows"], places["positions"]), 1)
    assert (again != counts).any(1).all()


def test_words_are_drawn_by_the_softmax_at_every_place():
    """A word of probability 0.6 is drawn in 60 of 100 places, whatever was drawn at the places beside it."""
    logits = np.log(np.array([0.6, 0.3, 0.1], np.float32)) + np.linspace(-5, 5, 20_000, dtype=np.float32)[:, None]
    drawn = sample_words(logits, dict(rows=np.repeat(np.arange(100), 200)), RowRandom(3, 1, range(100)))
    assert np.bincount(drawn) / 20_000 == pytest.approx([0.6, 0.3, 0.1], abs=4 * math.sqrt(0.24 / 20_000))
    pairs = np.histogram2d(drawn[:-1], drawn[1:], 3)[0] / 19_999
    assert pairs == pytest.approx(np.outer([0.6, 0.3, 0.1], [0.6, 0.3, 0.1]), abs=0.015)


# Dropout and fresh parameters

@pytest.mark.parametrize("p", (0.1, 0.5, 0.85))
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_dropout_zeroes_its_share_and_keeps_the_mean(p, dtype):
    mask = dropout_mask((400, 250), p, np.random.default_rng(1), dtype)
    assert mask.dtype == dtype and (mask == 0).mean() == near(p, mask.size)
    np.testing.assert_allclose(mask[mask != 0], 1 / (1 - p), rtol=1e-6)
    for axis in (0, 1):                                 # no row and no column is dropped as a whole
        shares = (mask == 0).mean(axis)
        assert shares.std() == pytest.approx(math.sqrt(p * (1 - p) / mask.shape[axis]), rel=0.25)


def test_dropout_of_nothing_is_none():
    assert dropout_mask((3,), 0.0, np.random.default_rng(0), float) is None
    assert dropout_mask((3,), 0.5, None, float) is None


def test_fresh_weights_have_the_spread_that_the_configuration_says():
    for spread in (0.02, 0.3):
        cfg = small_config(hidden_size=64, embedding_size=64, num_attention_heads=4, initializer_range=spread)
        weight = init_params(cfg, rng=np.random.default_rng(0))["encoder.layer.0.intermediate.dense.weight"]
        assert weight.mean() == pytest.approx(0, abs=4 * spread / math.sqrt(weight.size))
        assert weight.std() == pytest.approx(spread, rel=4 / math.sqrt(2 * weight.size))


def test_a_model_without_a_generator_is_that_of_seed_0():
    cfg = small_config()
    for make in (ConvBertModel, lambda cfg, **rng: ConvBertForPreTraining(cfg, generator_config(cfg), **rng)):
        one, two, other = (make(cfg, **given).params for given in (
            {}, dict(rng=np.random.default_rng(0)), dict(rng=np.random.default_rng(1))))
        assert all(np.array_equal(one[name], two[name]) for name in one)
        assert not all(np.array_equal(one[name], other[name]) for name in one)


def test_the_face_of_pretraining_drops_nothing_unless_it_is_asked_to():
    cfg = small_config(hidden_dropout_prob=0.3)
    generator, special = generator_config(cfg), dict(mask=4, cls=2, sep=3, pad=0)
    face = ConvBertForPreTraining(cfg, generator, rng=np.random.default_rng(0))
    ids = np.random.default_rng(1).integers(5, cfg.vocab_size, (3, 12))
    losses = [face(ids, rng=RowRandom(0, 0, range(3)), special=special, **options).loss for options in (
        {}, dict(dropout=False), dict(dropout=True))]
    assert losses[0] == losses[1] != losses[2]


# Batches of fine-tuning

def test_batches_of_fine_tuning_are_random_in_order_and_in_company():
    features = [dict(input_ids=[[0] * n]) for n in np.random.default_rng(0).integers(3, 60, 2000)]
    position, beside = np.zeros(2000), []
    for seed in range(30):
        found = batches.by_length(features, 10, np.random.default_rng(seed))
        for at, batch in enumerate(found):
            position[batch] += at
            if 0 in batch:
                beside += batch
    assert np.abs(position / 30 - 99.5).max() < 4.7 * 57.7 / math.sqrt(30)       # none is always early or late
    assert len(set(beside)) > 150                       # 30 times 9 others


# Draws of the exercises

def drawn(exercise, number=1, seeds=120):
    return [case(exercise, seed, number) for seed in range(seeds)]


def test_numbers_of_exercises_are_normal():
    x = np.concatenate([args[0].ravel() for args in drawn("linear_backward", 0)])
    assert x.mean() == pytest.approx(0, abs=4 / math.sqrt(x.size))
    assert x.std() == pytest.approx(1, abs=4 / math.sqrt(2 * x.size))


def test_dropout_of_exercises_drops_three_in_ten():
    drops = np.concatenate([args[-1].ravel() for args in drawn("self_attention", seeds=40)])
    assert (drops == 0).mean() == near(0.3, drops.size)


def test_labels_and_ids_of_exercises_are_any():
    for exercise, wanted in (("cross_entropy", lambda args: (args[1], args[0].shape[-1])),
                             ("embedding", lambda args: (args[0], len(args[1])))):
        pairs = map(wanted, drawn(exercise, 0))
        share = np.concatenate([(labels[labels >= 0] / size).ravel() for labels, size in pairs])
        assert share.min() == 0 and share.max() > 0.6 and share.mean() == pytest.approx(0.42, abs=0.05)
    binary = np.concatenate([args[1].ravel() for args in drawn("binary_cross_entropy", 0)])
    assert binary.mean() == near(0.5, binary.size) and set(binary) == {0, 1}
