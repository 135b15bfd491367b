"""Steps of pretraining against the same steps in PyTorch."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from torch_pretraining import TorchPretraining, torch_adam_step

from minconvbert.config import ConvBertConfig
from minconvbert.electra import (
    RowRandom,
    generator_config,
    init_pretraining,
    pretraining_loss,
    pretraining_loss_backward,
)
from minconvbert.optim import adam_state, adam_step, clip_by_global_norm, learning_rate
from minconvbert.training.pretrain import masked_batch

SPECIAL = dict(mask=4, cls=2, sep=3, pad=0)


def test_steps_equal_pytorch():
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
    reference, reference_moments, moments = TorchPretraining(cfg, generator, params), {}, adam_state(params)

    for step in range(3):
        rng = RowRandom(3, step, range(len(rows)))
        batch, places = masked_batch(rows, rng, SPECIAL)
        losses, acts = pretraining_loss(batch, places, params, cfg, generator, rng)
        grads = pretraining_loss_backward(acts, params, cfg, generator)
        expected = reference(batch, places, acts["sampled"])
        named = reference.named()
        for x in named.values():
            x.grad = None
        expected["loss"].backward()

        assert acts["replaced"].sum() > 10
        for name, value in expected.items():
            assert losses[name] == pytest.approx(value.item(), rel=1e-11)
        assert set(grads) == set(params) == set(named)
        largest = max(x.grad.abs().max().item() for x in named.values())
        for name, g in grads.items():
            assert np.abs(g - named[name].grad.numpy()).max() < 1e-11 * largest, name

        # key.bias has a gradient of zero but for rounding, and Adam would make a step of full size out of it.
        for name in named:
            if name.endswith("key.bias"):
                grads[name][...], named[name].grad[...] = 0, 0
        rate = learning_rate(30 + step, 1e-2, 100, 50)
        clip_by_global_norm(grads, 1.0)
        adam_step(params, grads, moments, rate)
        torch_adam_step(named, reference_moments, rate)
        for name, x in params.items():
            assert np.abs(x - named[name].detach().numpy()).max() < 1e-11, name
