"""Ours against transformers eager, in turn, same threads: forward, and forward with backward of the masked-word model.

    OMP_NUM_THREADS=2 python benchmarks/model.py [--sizes base medium-small] [--batch 8] [--length 128] [--repeats 7]

Prints medians and their ratio, and the peak memory of a training step of each in a process of its own. Needs the extra
`parity`. Nothing else should run on the machine.
"""

import argparse
import statistics
import subprocess
import sys
import time

import numpy as np

from minconvbert.config import ConvBertConfig
from minconvbert.faces import ConvBertForMaskedLM
from minconvbert.pretrain import PRESETS


def inputs_of(cfg, batch, length):
    rng = np.random.default_rng(0)
    ids = rng.integers(5, cfg.vocab_size, (batch, length))
    labels = np.where(rng.random(ids.shape) < 0.15, ids, -100)
    mask = np.ones_like(ids)
    mask[::2, -length // 8 :] = 0
    return ids, mask, labels


def our_steps(cfg, batch, length):
    """-> forward, forward and backward"""
    net = ConvBertForMaskedLM(cfg, rng=np.random.default_rng(0))
    ids, mask, labels = inputs_of(cfg, batch, length)

    def training():
        net(ids, mask, labels=labels)
        net.backward(free=True)

    return lambda: net(ids, mask, keep=False), training


def their_steps(cfg, batch, length):
    """-> forward, forward and backward"""
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

    return forward, training


def median_times(steps, repeats):
    """In turn, so that whatever else the machine does falls on all of them; the first round warms up."""
    times = [[] for _ in steps]
    for _ in range(repeats + 1):
        for step, seen in zip(steps, times):
            began = time.perf_counter()
            step()
            seen.append(time.perf_counter() - began)
    return [statistics.median(seen[1:]) for seen in times]


def peak_memory():
    """MiB, of this program alone: `ru_maxrss` would start from what the process had that started it."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=PRESETS, default=["base", "medium-small"])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--peak", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    for size in args.sizes:
        cfg = ConvBertConfig(**PRESETS[size].model)
        if args.peak:
            steps = (our_steps if args.peak == "ours" else their_steps)(cfg, args.batch, args.length)
            for _ in range(2):
                steps[1]()
            print(peak_memory())
            continue
        ours, theirs = our_steps(cfg, args.batch, args.length), their_steps(cfg, args.batch, args.length)
        for what, pair in zip(("forward", "forward + backward"), zip(ours, theirs)):
            a, b = median_times(pair, args.repeats)
            print(f"{size:<14} {what:<20} minconvbert {a:.3f} s   transformers {b:.3f} s   ratio {a / b:.2f}",
                  flush=True)
        del ours, theirs
        peaks = [float(subprocess.run(
            [sys.executable, __file__, "--sizes", size, "--batch", str(args.batch), "--length", str(args.length),
             "--peak", side], capture_output=True, text=True, check=True).stdout) for side in ("ours", "theirs")]
        print(f"{size:<14} {'peak of a step':<20} minconvbert {peaks[0]:.0f} MiB   transformers {peaks[1]:.0f} MiB"
              f"   ratio {peaks[0] / peaks[1]:.2f}", flush=True)


if __name__ == "__main__":
    main()
