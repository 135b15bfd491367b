import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minconvbert.config import ConvBertConfig
from minconvbert.electra import (
    RowRandom,
    generator_config,
    init_pretraining,
    mask_tokens,
    masked_word_loss,
    masked_word_loss_backward,
    part_grads,
    part_params,
    pretraining_loss,
    pretraining_loss_backward,
    replace_tokens,
    sample_words,
)
from minconvbert.initialize import init_params
from minconvbert.training.pretrain import masked_batch
from minconvbert.training.recipes import PRESETS

SPECIAL = dict(mask=4, cls=2, sep=3, pad=0)


@pytest.fixture(scope="module")
def setup():
    """A model of two parts far from its initial scale, and a batch with padding."""
    cfg = ConvBertConfig(vocab_size=40, hidden_size=32, embedding_size=8, num_hidden_layers=2, num_attention_heads=4,
                         intermediate_size=24, max_position_embeddings=16, conv_kernel_size=5, pad_token_id=0)
    generator = generator_config(cfg, 0.5)
    rng = np.random.default_rng(1)
    params = init_pretraining(cfg, generator, rng, dtype=np.float64)
    for x in params.values():
        x += rng.normal(0, 0.2, x.shape)
    rows = rng.integers(5, 40, (5, 16))
    rows[:, 0], rows[:, 7], rows[:, 15] = 2, 3, 3
    rows[1, 10:], rows[1, 9] = 0, 3
    return cfg, generator, params, rows


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(3, 40), st.integers(0, 5))
def test_masking_hides_only_words(seed, length, padding):
    rng = np.random.default_rng(seed)
    ids = rng.integers(5, 50, (4, length))
    ids[:, 0], ids[:, length // 2], ids[:, -1] = 2, 4, 3
    mask = np.ones_like(ids)
    real = max(3, length - padding)
    ids[2, real:], mask[2, real:] = 0, 0
    masked, places = mask_tokens(ids, mask, RowRandom(seed, 0, range(4)), 4, list(SPECIAL.values()))
    drawn = ids[places["rows"], places["positions"]]
    assert not np.isin(drawn, list(SPECIAL.values())).any()
    assert (places["labels"] == drawn).all()
    changed = np.argwhere(masked != ids)
    assert (masked[masked != ids] == 4).all()
    assert set(map(tuple, changed)) <= set(zip(places["rows"], places["positions"]))
    for row in range(4):
        n = min(max(1, round(0.15 * int(mask[row].sum()))), int(0.155 * length))
        candidates = ~np.isin(ids[row], list(SPECIAL.values())) & (mask[row] == 1)
        assert (places["rows"] == row).sum() == (n if candidates.any() else 0)


def test_masking_hides_85_of_100():
    ids = np.full((400, 128), 7)
    masked, places = mask_tokens(ids, np.ones_like(ids), RowRandom(0, 0, range(400)), 4, [0, 2, 3, 4])
    assert len(places["rows"]) == 400 * 19              # 0.15 * 128 = 19.2, and 19 at most
    single = np.bincount(places["rows"] * 128 + places["positions"], minlength=400 * 128).reshape(400, 128) == 1
    assert (masked[single] == 4).mean() == pytest.approx(0.85, abs=0.02)


def test_samples_follow_the_softmax():
    logits = np.broadcast_to(np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32)), (20_000, 4))
    places = dict(rows=np.repeat(np.arange(200), 100))
    counts = np.bincount(sample_words(logits, places, RowRandom(1, 2, range(200))), minlength=4) / 20_000
    assert counts == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.015)


def test_the_first_draw_of_a_place_decides():
    ids = np.arange(12).reshape(2, 6)
    places = dict(rows=np.array([0, 0, 0, 1, 1]), positions=np.array([2, 4, 2, 1, 3]))
    corrupted, replaced = replace_tokens(ids, places, np.array([20, 4, 21, 22, 9]))
    assert corrupted.tolist() == [[0, 1, 20, 3, 4, 5], [6, 22, 8, 9, 10, 11]]
    assert replaced.tolist() == [[0, 0, 1, 0, 0, 0], [0, 1, 0, 0, 0, 0]]    # a lucky draw is no replacement


def test_rows_draw_the_same_however_they_are_spread():
    whole = RowRandom(5, 9, range(6)).random((6, 3, 2), np.float32)
    parts = [RowRandom(5, 9, rows).random((2, 3, 2), np.float32) for rows in ([0, 1], [2, 3], [4, 5])]
    assert (whole == np.concatenate(parts)).all()
    assert (whole != RowRandom(5, 10, range(6)).random((6, 3, 2), np.float32)).all()


@pytest.mark.parametrize("preset, hidden, heads, wide", [("base", 256, 4, 1024), ("medium-small", 96, 2, 384),
                                                         ("small", 64, 1, 256)])
def test_generators_are_those_of_the_original(preset, hidden, heads, wide):
    recipe = PRESETS[preset]
    cfg = generator_config(ConvBertConfig(**recipe.model), recipe.generator_width, recipe.generator_layers)
    assert (cfg.hidden_size, cfg.num_attention_heads, cfg.intermediate_size) == (hidden, heads, wide)
    assert cfg.num_hidden_layers == 12 and cfg.embedding_size == ConvBertConfig(**recipe.model).embedding_size
    assert cfg.head_size == (64 if preset != "medium-small" else 48)
    assert (recipe.learning_rate, recipe.batch_size) == {
        "base": (2e-4, 256), "medium-small": (5e-4, 128), "small": (3e-4, 128)}[preset]
    assert (recipe.steps, recipe.warmup, recipe.decay, recipe.clip, recipe.length) == (1_000_000, 10_000, 0.01, 1.0, 128)


def test_parts_share_the_embeddings_and_nothing_else(setup):
    cfg, generator, params, _ = setup
    parts = {part: part_params(params, part) for part in ("generator", "discriminator")}
    shared = {id(x) for x in parts["generator"].values()} & {id(x) for x in parts["discriminator"].values()}
    assert shared == {id(x) for name, x in params.items() if name.startswith("embeddings.")}
    back = part_grads(parts["generator"], "generator") | part_grads(parts["discriminator"], "discriminator")
    assert back.keys() == params.keys() and all(back[name] is params[name] for name in params)


def test_gradient_of_the_whole_step(setup):
    cfg, generator, params, rows = setup
    batch, places = masked_batch(rows, RowRandom(0, 0, range(5)), SPECIAL)
    batch["sampled"] = np.random.default_rng(3).integers(5, 40, len(places["rows"]))

    def loss_of(params):
        return pretraining_loss(batch, places, params, cfg, generator, None)

    losses, acts = loss_of(params)
    assert losses["loss"] == losses["generator_loss"] + 50 * losses["discriminator_loss"]
    check_gradients(lambda p: loss_of(p)[0]["loss"], params, pretraining_loss_backward(acts, params, cfg, generator))


def test_the_two_losses_divide_as_the_original_does(setup):
    """By the number of places, or of real tokens, plus 1e-6; each term from its definition, one by one."""
    cfg, generator, params, rows = setup
    batch, places = masked_batch(rows, RowRandom(0, 0, range(5)), SPECIAL)
    losses, acts = pretraining_loss(batch, places, params, cfg, generator, RowRandom(0, 1, range(5)))
    words, logits, replaced = acts["generator.words"], acts["discriminator.logits"], acts["discriminator.replaced"]
    nll = [np.log(np.exp(row - row[label]).sum()) for row, label in zip(words, places["labels"])]
    assert losses["generator_loss"] == pytest.approx(sum(nll) / (len(nll) + 1e-6), rel=1e-12)
    nll = [np.log1p(np.exp(-z if was else z)) for z, was, real in
           zip(logits.flat, replaced.flat, (rows != SPECIAL["pad"]).flat) if real]
    assert losses["discriminator_loss"] == pytest.approx(sum(nll) / (len(nll) + 1e-6), rel=1e-12)


def test_gradient_of_masked_words_alone(setup):
    cfg, _, _, rows = setup
    params = init_params(cfg, "masked_lm", np.random.default_rng(2), dtype=np.float64)
    for x in params.values():
        x += np.random.default_rng(x.size).normal(0, 0.2, x.shape)
    batch, places = masked_batch(rows, RowRandom(0, 0, range(5)), SPECIAL)
    loss, acts = masked_word_loss(batch, places, params, cfg)
    check_gradients(lambda p: masked_word_loss(batch, places, p, cfg)[0], params,
                    masked_word_loss_backward(1.0, acts, params, cfg))


def check_gradients(loss_of, params, grads):
    """Each parameter alone, along a random direction, against central differences."""
    rng = np.random.default_rng(0)
    assert grads.keys() == params.keys()
    largest = max(np.abs(g).max() for g in grads.values())
    for name, x in params.items():
        direction = rng.normal(size=x.shape) / np.sqrt(x.size)
        if name == "embeddings.word_embeddings.weight" or name.endswith("convbert.embeddings.word_embeddings.weight"):
            direction[0] = 0                            # the row of [PAD] gets no gradient from the lookup
        h = 1e-5
        ends = [loss_of(params | {name: x + sign * h * direction}) for sign in (1, -1)]
        expected = (ends[0] - ends[1]) / (2 * h)
        assert abs((grads[name] * direction).sum() - expected) < 1e-6 * largest, name


def test_the_discriminator_teaches_the_generator_nothing(setup):
    cfg, generator, params, rows = setup
    batch, places = masked_batch(rows, RowRandom(0, 0, range(5)), SPECIAL)
    _, acts = pretraining_loss(batch, places, params, cfg, generator, RowRandom(0, 0, range(5)))
    grads = pretraining_loss_backward(acts, params, cfg, generator)
    alone = masked_word_loss_backward(
        1.0, {n.removeprefix("generator."): a for n, a in acts.items() if n.startswith("generator.")},
        part_params(params, "generator"), generator)
    for name, g in part_grads(alone, "generator").items():
        if not name.startswith("embeddings."):
            assert (g == grads[name]).all(), name


def test_narrow_ids_do_not_wrap():
    narrow, places = np.array([[7, 9]], np.uint8), dict(rows=np.array([0]), positions=np.array([1]))
    corrupted, replaced = replace_tokens(narrow, places, np.array([635]))
    assert corrupted.tolist() == [[7, 635]] and replaced.tolist() == [[0, 1]]


def test_all_that_is_kept_is_an_array(setup):
    """All acts are arrays, so that they can be written to a file and drawn."""
    cfg, generator, params, rows = setup
    batch, places = masked_batch(rows, RowRandom(0, 0, range(5)), SPECIAL)
    _, acts = pretraining_loss(batch, places, params, cfg, generator, RowRandom(0, 0, range(5)))
    assert {name for name, a in acts.items() if not isinstance(a, np.ndarray)} == set()
    real = int(batch["attention_mask"].sum())
    assert acts["generator.count"] == pytest.approx(len(places["labels"]))
    assert acts["discriminator.count"] == pytest.approx(real)
