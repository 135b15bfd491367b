"""Time of a pretraining step of `tiny`: ours against torch eager with transformers' modules, same cores.

    OMP_NUM_THREADS=2 python benchmarks/pretrain.py [--repeats 15] [--batch-size 64] [--processes 2]

Ours with as many threads as torch, in turn with it; then ours as `pretrain --processes` trains, one thread to a process
and a share of the batch to each (extra: mpi). Needs the extra `parity`. Nothing else should run on the machine.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "parity"))

from minconvbert.config import ConvBertConfig
from minconvbert.electra import RowRandom, generator_config
from minconvbert.pretrain import PRESETS, Ranks, fresh_state, masked_batch, mpi_command, mpi_ranks, train_step

SPECIAL = dict(mask=4, cls=2, sep=3, pad=0)


def made(batch_size):
    """-> recipe, configurations of both parts, examples"""
    recipe = replace(PRESETS["tiny"], batch_size=batch_size)
    cfg = ConvBertConfig(**recipe.model)
    rows = np.random.default_rng(0).integers(5, cfg.vocab_size, (4 * batch_size, 128))
    rows[:, 0], rows[:, 60], rows[:, -1] = 2, 3, 3
    return recipe, cfg, generator_config(cfg, recipe.generator_width, recipe.generator_layers), rows


def our_step(batch_size, ranks=Ranks()):
    recipe, cfg, generator, rows = made(batch_size)
    state = fresh_state(cfg, generator, recipe)
    return lambda: train_step(state, rows, SPECIAL, cfg, generator, recipe, ranks)


def their_step(batch_size):
    from torch_pretraining import TorchPretraining, torch_adam_step
    recipe, cfg, generator, rows = made(batch_size)
    reference, moments = TorchPretraining(cfg, generator, fresh_state(cfg, generator, recipe)["params"]), {}

    def step():
        batch, places = masked_batch(rows[:batch_size], RowRandom(0, 0, range(batch_size)), SPECIAL)
        named = reference.named()
        for x in named.values():
            x.grad = None
        reference(batch, places)["loss"].backward()
        torch_adam_step(named, moments, 1e-4)

    return step


def median_times(steps, repeats):
    """In turn; the first two rounds warm up."""
    times = [[] for _ in steps]
    for _ in range(repeats + 2):
        for step, seen in zip(steps, times):
            began = time.perf_counter()
            step()
            seen.append(time.perf_counter() - began)
    return [statistics.median(seen[2:]) for seen in times]


def time_of_processes(args):
    command, environment = mpi_command(args.processes)
    command += [__file__, "--repeats", str(args.repeats), "--batch-size", str(args.batch_size), "--as-rank"]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--as-rank", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.as_rank:
        ranks = mpi_ranks()
        (seconds,) = median_times([our_step(args.batch_size, ranks)], args.repeats)
        if ranks.rank == 0:
            print(seconds)
        return
    ours, theirs = median_times([our_step(args.batch_size), their_step(args.batch_size)], args.repeats)
    shared = time_of_processes(args)
    print(f"{args.batch_size * 128} tokens a step; torch eager {theirs:.3f} s")
    print(f"minconvbert, one process, as many threads   {ours:.3f} s   ratio {ours / theirs:.2f}")
    print(f"minconvbert, {args.processes} processes, a thread to each  {shared:.3f} s   ratio {shared / theirs:.2f}")


if __name__ == "__main__":
    main()
