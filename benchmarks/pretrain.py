"""Time of a pretraining step of `tiny`: ours against torch eager with transformers' modules, in turn, same threads.

    OMP_NUM_THREADS=2 python benchmarks/pretrain.py [--repeats 15] [--batch-size 32]        (needs the extra `parity`)
"""

import argparse
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "parity"))

import torch
from torch_pretraining import TorchPretraining, torch_adam_step

from minconvbert.config import ConvBertConfig
from minconvbert.electra import RowRandom, generator_config
from minconvbert.pretrain import PRESETS, fresh_state, masked_batch, train_step

SPECIAL = dict(mask=4, cls=2, sep=3, pad=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=32)
    args = parser.parse_args()
    recipe = replace(PRESETS["tiny"], batch_size=args.batch_size)
    cfg = ConvBertConfig(**recipe.model)
    generator = generator_config(cfg, recipe.generator_width, recipe.generator_layers)
    state = fresh_state(cfg, generator, recipe)
    rows = np.random.default_rng(0).integers(5, cfg.vocab_size, (4 * args.batch_size, 128))
    rows[:, 0], rows[:, 60], rows[:, -1] = 2, 3, 3
    reference, moments = TorchPretraining(cfg, generator, state["params"]), {}

    def ours():
        train_step(state, rows, SPECIAL, cfg, generator, recipe)

    def theirs():
        batch, places = masked_batch(rows[: args.batch_size], RowRandom(0, 0, range(args.batch_size)), SPECIAL)
        named = reference.named()
        for x in named.values():
            x.grad = None
        reference(batch, places)["loss"].backward()
        torch_adam_step(named, moments, 1e-4)

    times = {ours: [], theirs: []}
    for _ in range(args.repeats + 2):
        for step, seen in times.items():
            began = time.perf_counter()
            step()
            seen.append(time.perf_counter() - began)
    medians = [statistics.median(seen[2:]) for seen in times.values()]
    tokens = args.batch_size * 128
    print(f"threads {torch.get_num_threads()}, {tokens} tokens a step")
    print(f"minconvbert {medians[0]:.3f} s, torch eager {medians[1]:.3f} s, ratio {medians[0] / medians[1]:.3f}")


if __name__ == "__main__":
    main()
