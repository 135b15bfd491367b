"""Ours against transformers eager, in turn, on the same cores: the masked-word model forward, and forward and backward.

    python benchmarks/model.py [--sizes base medium-small] [--batch 8] [--length 128] [--repeats 7] [--threads 2]

Prints medians and their ratio, the peak memory of each, and each beside the matrix products of all its linear maps
alone: no step can take less with that library on that machine. Needs the extra `parity`. Nothing else should run.
"""

import argparse

import numpy as np
from in_turn import CORES, PEAK, PRODUCTS, SIDES, compared, in_turn, linear_maps, products, serve

from minconvbert.config import ConvBertConfig
from minconvbert.faces import ConvBertForMaskedLM
from minconvbert.training.recipes import PRESETS

FORWARD, TRAINING, FORWARD_PRODUCTS = "forward", "forward + backward", "products of a forward"


def config(size, length):
    model = PRESETS[size].model
    return ConvBertConfig(**model | dict(max_position_embeddings=max(length, model["max_position_embeddings"])))


def inputs_of(cfg, batch, length):
    rng = np.random.default_rng(0)
    ids = rng.integers(5, cfg.vocab_size, (batch, length))
    labels = np.where(rng.random(ids.shape) < 0.15, ids, -100)
    mask = np.ones_like(ids)
    mask[::2, -length // 8 :] = 0
    return ids, mask, labels


def product_steps(params, rows, places):
    """places: how many rows go back through the map to the vocabulary"""
    return {FORWARD_PRODUCTS: products(linear_maps(params, rows, rows)),
            PRODUCTS: products(linear_maps(params, rows, rows), linear_maps(params, rows, places))}


def our_steps(cfg, batch, length, threads):
    net = ConvBertForMaskedLM(cfg, rng=np.random.default_rng(0))
    ids, mask, labels = inputs_of(cfg, batch, length)
    threads = min(threads, batch)

    def training():
        net(ids, mask, labels=labels, threads=threads)
        net.backward(free=True)

    return {FORWARD: lambda: net(ids, mask, keep=False, output_attentions=False, threads=threads),
            TRAINING: training} | product_steps(net.params, batch * length, int((labels >= 0).sum()))


def their_steps(cfg, batch, length, threads):
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

    return {FORWARD: forward, TRAINING: training} | product_steps(
        {name: x.detach() for name, x in net.named_parameters()}, batch * length, batch * length)


def measured(size, batch, length, repeats, threads, steps=(FORWARD, TRAINING)):
    """-> {name of a step: (ours, theirs)}, as `in_turn` gives them"""
    limits = [{FORWARD: FORWARD_PRODUCTS, TRAINING: PRODUCTS}[step] for step in steps]
    return in_turn(__file__, ["--sizes", size, "--batch", batch, "--length", length, "--threads", threads],
                   (*steps, PEAK, *limits), repeats)


def lines(title, medians):
    """What `measured` found, to be printed."""
    limits = {FORWARD: FORWARD_PRODUCTS, TRAINING: PRODUCTS}
    for name in medians:
        yield compared(title, name, medians, limits.get(name))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=PRESETS, default=["base", "medium-small"])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=CORES, help="of ours (all cores)")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    for size in args.sizes:
        if args.side:
            steps = our_steps if args.side == "ours" else their_steps
            serve(steps(config(size, args.length), args.batch, args.length, args.threads))
            return
        for line in lines(size, measured(size, args.batch, args.length, args.repeats, args.threads)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
