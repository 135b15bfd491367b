"""What the tests share: parameters far from their initial scale, and gradients checked one argument at a time."""

import json
from pathlib import Path

import numpy as np

import minconvbert
from minconvbert.config import ConvBertConfig, param_shapes

SMALL = dict(vocab_size=40, hidden_size=24, embedding_size=24, num_hidden_layers=2, num_attention_heads=4,
             intermediate_size=36, max_position_embeddings=16, conv_kernel_size=5, pad_token_id=0)


def small_config(**changes):
    return ConvBertConfig(**SMALL | changes)


def random_params(cfg, task=None, seed=0, scale=0.4, dtype=np.float64):
    """Biases are not zero, norms not one, and weights large enough for a flipped kernel to show. All are frozen."""
    rng = np.random.default_rng(seed)
    params = {}
    for name, shape in param_shapes(cfg, task).items():
        x = rng.normal(0, scale, shape) + (1 if name.endswith("LayerNorm.weight") else 0)
        params[name] = frozen(x.astype(dtype))
    return params


def frozen(x):
    """The same array, into which nobody may write."""
    x = np.asarray(x)
    x.flags.writeable = False
    return x


def random_inputs(cfg, B=3, L=9, seed=0, blank_row=False):
    """input_ids, attention_mask with padding, token_type_ids; with `blank_row`, the last row is padding alone.

    In a blank row the scores drown in the smallest number of the dtype: its output does not depend on them, and yet the
    reference sends a gradient through them. Finite differences are 0 there, so they are taken on other rows only.
    """
    rng = np.random.default_rng(seed)
    mask = np.ones((B, L), np.int64)
    mask[1, L - L // 3 :] = 0
    if blank_row:
        mask[-1] = 0
    return dict(input_ids=rng.integers(1, cfg.vocab_size, (B, L)), attention_mask=mask,
                token_type_ids=rng.integers(0, cfg.type_vocab_size, (B, L)))


def assert_gradients(f, arguments, gradients, seed=0, tolerance=1e-6, step=1e-5, skip=()):
    """Check the gradient of each argument alone, along a random direction, against central differences.

    f(arguments) is a float; errors are relative to the largest gradient of the case, because some are exactly zero.
    """
    rng = np.random.default_rng(seed)
    assert gradients.keys() == arguments.keys()
    largest = max(np.abs(g).max() for g in gradients.values())
    assert largest > 0
    for name, x in arguments.items():
        assert gradients[name].shape == x.shape, name
        direction = rng.normal(size=x.shape)
        direction /= np.linalg.norm(direction)
        if name in skip:
            direction[skip[name]] = 0
        up, down = (f(arguments | {name: frozen(x + sign * step * direction)}) for sign in (1, -1))
        error = abs((gradients[name] * direction).sum() - (up - down) / (2 * step))
        assert error <= tolerance * largest, f"the gradient of {name} departs by {error / largest:.1e} of the largest"


def assert_close(found, expected, tolerance, name=""):
    """Within `tolerance` of the largest value expected."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, f"{name}: {found.shape} is not {expected.shape}"
    error, largest = np.abs(found - expected).max(), np.abs(expected).max()
    assert error <= tolerance * largest, f"{name} departs by {error / largest:.1e} of the largest value"


def pack_names(name):
    """The names of all tensors of a case of the golden pack, also of those that only repeat another one."""
    case = json.loads((Path(minconvbert.__file__).parent / "golden" / "pack" / f"{name}.json").read_text("utf-8"))
    return {tensor["name"] for tensor in case["tensors"]} | set(case["same_as"])
