"""Ours against transformers eager, in turn, same threads: forward, and forward with backward of the masked-word model.

    OMP_NUM_THREADS=2 python benchmarks/model.py [--sizes base medium-small] [--batch 8] [--length 128] [--repeats 7]

Prints medians and their ratio, and the peak memory of each. "Products alone" are the matrix products of all linear
maps, forward and backward, and nothing else: what NumPy's library and PyTorch's take for them on this machine. Needs
the extra `parity`. Nothing else should run.
"""

import argparse

import numpy as np
from in_turn import PEAK, SIDES, compared, in_turn, serve

from minconvbert.config import ConvBertConfig
from minconvbert.faces import ConvBertForMaskedLM
from minconvbert.training.recipes import PRESETS

FORWARD, TRAINING, PRODUCTS = "forward", "forward + backward", "products alone"


def inputs_of(cfg, batch, length):
    rng = np.random.default_rng(0)
    ids = rng.integers(5, cfg.vocab_size, (batch, length))
    labels = np.where(rng.random(ids.shape) < 0.15, ids, -100)
    mask = np.ones_like(ids)
    mask[::2, -length // 8 :] = 0
    return ids, mask, labels


def our_steps(cfg, batch, length):
    net = ConvBertForMaskedLM(cfg, rng=np.random.default_rng(0))
    ids, mask, labels = inputs_of(cfg, batch, length)

    def training():
        net(ids, mask, labels=labels)
        net.backward(free=True)

    return {FORWARD: lambda: net(ids, mask, keep=False), TRAINING: training,
            PRODUCTS: products(net.params, batch * length)}


def their_steps(cfg, batch, length):
    import torch
    import transformers
    options = {name: value for name, value in cfg.to_dict().items() if name != "model_type"}
    net = transformers.ConvBertForMaskedLM(transformers.ConvBertConfig(**options, attn_implementation="eager")).eval()
    ids, mask, labels = (torch.tensor(x) for x in inputs_of(cfg, batch, length))

    def forward():
        with torch.no_grad():
            net(ids, attention_mask=mask)

    def training():
        for x in net.parameters():
            x.grad = None
        net(ids, attention_mask=mask, labels=labels).loss.backward()

    params = {name: x.detach() for name, x in net.named_parameters()}
    return {FORWARD: forward, TRAINING: training, PRODUCTS: products(params, batch * length)}


def products(params, rows):
    """-> a function that multiplies as the linear maps do: y = x W^T, dx = dy W, dW = dy^T x.   NumPy or PyTorch"""
    weights = []
    for name, weight in params.items():
        if name.endswith("pointwise.weight"):
            weights.append(weight[:, :, 0])
        elif name.endswith("dense.weight") and weight.ndim == 3:
            weights += [weight[group].T for group in range(weight.shape[0])]
        elif weight.ndim == 2 and ("embeddings" not in name or "word_embeddings" in name):
            weights.append(weight)
    like = weights[0]
    ones = like.new_ones if hasattr(like, "new_ones") else lambda shape: np.ones(shape, like.dtype)
    inputs = {width: ones((rows, width)) for weight in weights for width in weight.shape}

    def multiply():
        for weight in weights:
            x, dy = (inputs[width] for width in weight.shape[::-1])
            x @ weight.T, dy @ weight, dy.T @ x

    return multiply


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=PRESETS, default=["base", "medium-small"])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    for size in args.sizes:
        if args.side:
            cfg = ConvBertConfig(**PRESETS[size].model)
            serve((our_steps if args.side == "ours" else their_steps)(cfg, args.batch, args.length))
            return
        same = ["--sizes", size, "--batch", args.batch, "--length", args.length]
        for name, pair in in_turn(same, (FORWARD, TRAINING, PEAK, PRODUCTS), args.repeats).items():
            print(compared(size, name, pair), flush=True)



if __name__ == "__main__":
    main()
