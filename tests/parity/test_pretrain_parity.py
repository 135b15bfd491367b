"""One step of pretraining against the same step written down in PyTorch, with transformers' modules as the two bodies."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from minconvbert.config import ConvBertConfig
from minconvbert.electra import (
    RowRandom, generator_config, init_pretraining, pretraining_loss, pretraining_loss_backward)
from minconvbert.optim import adam_state, adam_step, clip_by_global_norm, learning_rate
from minconvbert.pretrain import masked_batch

SPECIAL = dict(mask=4, cls=2, sep=3, pad=0)


def small_setup():
    cfg = ConvBertConfig(vocab_size=60, hidden_size=32, embedding_size=16, num_hidden_layers=2, num_attention_heads=8,
                         intermediate_size=48, max_position_embeddings=24, conv_kernel_size=5, pad_token_id=0)
    generator = generator_config(cfg, 0.5)
    rng = np.random.default_rng(5)
    params = init_pretraining(cfg, generator, rng, dtype=np.float64)
    for name, x in params.items():
        x += rng.normal(0, 0.15, x.shape)
    rows = rng.integers(5, 60, (6, 24))
    rows[:, 0], rows[:, 11], rows[:, -1] = 2, 3, 3
    rows[1, 18:], rows[1, 17] = 0, 3
    return cfg, generator, params, rows


def body(cfg, params, part):
    options = {k: v for k, v in cfg.to_dict().items() if k not in ("model_type", "head_ratio_semantics")}
    model = transformers.ConvBertModel(transformers.ConvBertConfig(**options, attn_implementation="eager")).double().eval()
    own = {n.removeprefix(f"{part}."): x for n, x in params.items() if n.startswith((f"{part}.", "embeddings."))}
    missing, unexpected = model.load_state_dict({n: torch.tensor(x) for n, x in own.items()}, strict=False)
    assert not missing and not unexpected
    return model


def torch_step(cfg, generator, params, batch, places, sampled, rate):
    """Losses, gradients and updated parameters by autograd, every line from the original's run_pretraining.py."""
    models = {"generator": body(generator, params, "generator"), "discriminator": body(cfg, params, "discriminator")}
    # Both parts hold one and the same embeddings.
    models["generator"].embeddings = models["discriminator"].embeddings
    free = {name: torch.tensor(x, requires_grad=True) for name, x in params.items()
            if not name.startswith(("embeddings.", "generator.", "discriminator."))}
    mask, types = torch.tensor(batch["attention_mask"]), torch.tensor(batch["token_type_ids"])
    rows, positions = torch.tensor(places["rows"]), torch.tensor(places["positions"])

    hidden = models["generator"](torch.tensor(batch["masked_ids"]), attention_mask=mask, token_type_ids=types)[0]
    picked = hidden[rows, positions] @ free["generator_predictions.dense.weight"].T + free["generator_predictions.dense.bias"]
    picked = torch.nn.functional.layer_norm(
        torch.nn.functional.gelu(picked), picked.shape[-1:], free["generator_predictions.LayerNorm.weight"],
        free["generator_predictions.LayerNorm.bias"], cfg.layer_norm_eps)
    table = models["discriminator"].embeddings.word_embeddings.weight
    words = picked @ table.T + free["generator_lm_head.bias"]
    nll = -torch.log_softmax(words, -1)[torch.arange(len(words)), torch.tensor(places["labels"])]
    generator_loss = nll.sum() / (len(nll) + 1e-6)

    corrupted = torch.tensor(batch["input_ids"])
    for row, position, word in reversed(list(zip(places["rows"], places["positions"], sampled))):
        corrupted[row, position] = int(word)
    replaced = (corrupted != torch.tensor(batch["input_ids"])).double()
    hidden = models["discriminator"](corrupted, attention_mask=mask, token_type_ids=types)[0]
    active = torch.nn.functional.gelu(
        hidden @ free["discriminator_predictions.dense.weight"].T + free["discriminator_predictions.dense.bias"])
    logits = (active @ free["discriminator_predictions.dense_prediction.weight"].T
              + free["discriminator_predictions.dense_prediction.bias"])[..., 0]
    bce = torch.nn.functional.binary_cross_entropy_with_logits(logits, replaced, reduction="none")
    discriminator_loss = (bce * mask).sum() / (mask.sum().double() + 1e-6)
    loss = generator_loss + 50 * discriminator_loss
    loss.backward()

    everything = dict(free)
    for part, model in models.items():
        for name, x in model.named_parameters():
            everything[name if name.startswith("embeddings.") else f"{part}.{name}"] = x
    grads = {name: x.grad.clone() for name, x in everything.items()}
    norm = torch.sqrt(sum((g ** 2).sum() for g in grads.values()))
    updated = {}
    for name, x in everything.items():
        g = grads[name] * min(1.0, 1.0 / norm)
        m, v = 0.1 * g, 0.001 * g * g
        update = m / (torch.sqrt(v) + 1e-6)
        if "LayerNorm" not in name and "bias" not in name:
            update = update + 0.01 * x
        updated[name] = (x - rate * update).detach()
    losses = dict(loss=loss.item(), generator_loss=generator_loss.item(), discriminator_loss=discriminator_loss.item())
    return losses, grads, updated


def test_one_step_equals_pytorch():
    cfg, generator, params, rows = small_setup()
    rng = RowRandom(3, 7, range(len(rows)))
    batch, places = masked_batch(rows, rng, SPECIAL)
    losses, acts = pretraining_loss(batch, places, params, cfg, generator, rng)
    grads = pretraining_loss_backward(acts, params, cfg, generator)
    rate = learning_rate(30, 1e-2, 100, 50)
    expected_losses, expected_grads, expected_params = torch_step(
        cfg, generator, params, batch, places, acts["sampled"], rate)

    assert acts["replaced"].sum() > 10
    for name, value in expected_losses.items():
        assert losses[name] == pytest.approx(value, rel=1e-13)
    assert set(grads) == set(params) == set(expected_grads)
    largest = max(g.abs().max().item() for g in expected_grads.values())
    for name, g in grads.items():
        assert np.abs(g - expected_grads[name].numpy()).max() < 1e-12 * largest, name

    clip_by_global_norm(grads, 1.0)
    adam_step(params, grads, adam_state(params), rate)
    # key.bias has a gradient of zero but for rounding, and Adam makes a step of full size out of it.
    for name in params:
        if not name.endswith("key.bias"):
            assert np.abs(params[name] - expected_params[name].numpy()).max() < 1e-9, name
