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
from dataclasses import replace
from pathlib import Path

import numpy as np
from in_turn import SIDES, WARM_UP, compared, in_turn, serve, timed

from minconvbert.config import ConvBertConfig
from minconvbert.electra import RowRandom, generator_config
from minconvbert.training.pretrain import fresh_state, masked_batch, train_step
from minconvbert.training.ranks import Ranks, mpi_command, mpi_ranks
from minconvbert.training.recipes import PRESETS

STEP, SPECIAL = "pretraining step", dict(mask=4, cls=2, sep=3, pad=0)


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
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "parity"))
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


def median_of_processes(args):
    command, environment = mpi_command(args.processes)
    command += [__file__, "--repeats", str(args.repeats), "--batch-size", str(args.batch_size), "--side", "rank"]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--side", choices=(*SIDES, "rank"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side == "rank":
        ranks = mpi_ranks()
        step = our_step(args.batch_size, ranks)
        seconds = [timed(step) for _ in range(WARM_UP + args.repeats)]
        if ranks.rank == 0:
            print(statistics.median(seconds[WARM_UP:]))
        return
    if args.side:
        serve({STEP: (our_step if args.side == "ours" else their_step)(args.batch_size)})
        return
    ((ours, theirs),) = in_turn(["--batch-size", args.batch_size], [STEP], args.repeats).values()
    print(compared("tiny", STEP, (ours, theirs)))
    print(compared("tiny", f"{args.processes} processes", (median_of_processes(args), theirs)))


if __name__ == "__main__":
    main()
