"""Fresh parameters, drawn from a seeded generator in the order of `param_shapes`."""

import math
import os
from pathlib import Path

import numpy as np

from .config import head_shapes, param_shapes
from .inputs import require_generator

# Dense layers that the original leaves to TensorFlow's default, Glorot's uniform distribution.
GLOROT = ("embeddings_project", "discriminator_predictions.dense_prediction", "classifier.dense", "classifier.out_proj",
          "classifier", "qa_outputs", "sequence_summary.summary")


def init_params(cfg, task=None, rng=None, scheme="hf", dtype=np.float32):
    """A flat dict of fresh parameters: biases 0, norms 1, weights random; without `rng`, from seed 0.

    "hf": normal with standard deviation `initializer_range`; the embedding of `pad_token_id` is zero.
    "original": normal cut off at two deviations; depthwise convolutions with deviation 1 / K; Glorot uniform where the
    original sets no initializer. (With K = 9, Hugging Face's depthwise kernels are five times smaller.)
    """
    return _fresh(param_shapes(cfg, task), cfg, np.random.default_rng(0) if rng is None else rng, scheme, dtype)


def init_head(cfg, task, rng, scheme="hf", dtype=np.float32):
    """Fresh parameters of the head of `task` alone, drawn as in `init_params`."""
    return _fresh(head_shapes(cfg, task), cfg, rng, scheme, dtype)


def _fresh(shapes, cfg, rng, scheme, dtype):
    if scheme not in ("hf", "original"):
        raise ValueError(f"scheme must be 'hf' or 'original', but is {scheme!r}")
    if np.dtype(dtype).kind != "f":
        raise TypeError(f"dtype must be a kind of float, but is {np.dtype(dtype)}")
    require_generator(rng)
    _check_memory(shapes, np.dtype(dtype).itemsize)
    return {name: _draw(name, shape, cfg, rng, scheme).astype(dtype) for name, shape in shapes.items()}


def _check_memory(shapes, itemsize):
    """Raises ValueError if arrays of these shapes are larger than the available memory."""
    sizes = {name: itemsize * math.prod(shape) for name, shape in shapes.items()}
    needed, there = sum(sizes.values()), available_memory()
    if needed > there:
        largest = max(sizes, key=sizes.get)
        raise ValueError(f"a fresh model must fit into the available memory, {there / 2**30:,.1f} GiB, but needs"
                         f" {needed / 2**30:,.1f} GiB, {sizes[largest] / 2**30:,.1f} of it for {largest}"
                         f" {shapes[largest]}; lower the sizes in its configuration")


def available_memory():
    """Bytes of free memory if the system reports it (Linux), or all of the machine's; infinity if neither is known."""
    try:
        lines = Path("/proc/meminfo").read_text().split("\n")
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        pages = os.sysconf("SC_PHYS_PAGES")
        return pages * os.sysconf("SC_PAGE_SIZE") if pages > 0 else math.inf         # -1: WebAssembly does not know
    except (AttributeError, OSError, ValueError):
        return math.inf


def _draw(name, shape, cfg, rng, scheme):
    module, kind = name.rsplit(".", 1)
    if kind == "bias":
        return np.zeros(shape)
    if module.endswith("LayerNorm"):
        return np.ones(shape)
    if scheme == "hf":
        weight = rng.normal(0, cfg.initializer_range, shape)
        if module.endswith("word_embeddings") and cfg.pad_token_id is not None:
            weight[cfg.pad_token_id] = 0
        return weight
    if module.removeprefix("convbert.") in GLOROT:
        bound = math.sqrt(6 / sum(shape))
        return rng.uniform(-bound, bound, shape)
    return _cut_normal(rng, shape) * (1 / shape[2] if module.endswith("depthwise") else cfg.initializer_range)


def _cut_normal(rng, shape):
    """Standard normal, drawn again wherever it falls beyond two deviations, as TensorFlow's truncated_normal."""
    x = rng.normal(size=shape)
    while (far := np.abs(x) > 2).any():
        x[far] = rng.normal(size=far.sum())
    return x


def resize_tokens(cfg, params, tokens, rng=None):
    """A model for another number of tokens: rows of embeddings and of the head are cut off or drawn  ->  cfg, params

    New rows are drawn as Hugging Face draws fresh ones, N(0, initializer_range^2); new biases are 0.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    cfg, resized = cfg.replace(vocab_size=tokens), dict(params)
    for name, x in params.items():
        if name.endswith("embeddings.word_embeddings.weight") or name.startswith("generator_lm_head."):
            new = max(0, tokens - len(x))
            scale = 0.0 if x.ndim == 1 else cfg.initializer_range
            resized[name] = np.concatenate([x[:tokens], rng.normal(0, scale, (new, *x.shape[1:])).astype(x.dtype)])
    return cfg, resized
