"""Time of a pretraining step of `tiny`: ours against torch eager with transformers' modules, same cores.

    python benchmarks/pretrain.py [--repeats 15] [--batch-size 64] [--threads 2] [--processes 2]

Ours as `pretrain --threads` trains, in turn with torch; then as `pretrain --processes` does, a share of the batch to
each process (extra: mpi). Needs the extra `parity`. Nothing else should run on the machine.
"""

import argparse
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from in_turn import CORES, PEAK, PRODUCTS, SIDES, WARM_UP, compared, in_turn, linear_maps, products, serve, timed

from minconvbert.config import ConvBertConfig
from minconvbert.electra import RowRandom, generator_config, part_params
from minconvbert.training.pretrain import fresh_state, masked_batch, train_step
from minconvbert.training.ranks import Ranks, mpi_command, mpi_ranks
from minconvbert.training.recipes import PRESETS

STEP, SPECIAL = "pretraining step", dict(mask=4, cls=2, sep=3, pad=0)


def made(batch_size, threads=1):
    """-> recipe, configurations of both parts, examples"""
    recipe = replace(PRESETS["tiny"], batch_size=batch_size, threads=threads)
    cfg = ConvBertConfig(**recipe.model)
    rows = np.random.default_rng(0).integers(5, cfg.vocab_size, (4 * batch_size, 128))
    rows[:, 0], rows[:, 60], rows[:, -1] = 2, 3, 3
    return recipe, cfg, generator_config(cfg, recipe.generator_width, recipe.generator_layers), rows


def our_step(batch_size, threads=1, ranks=Ranks()):
    recipe, cfg, generator, rows = made(batch_size, threads)
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


def product_step(batch_size, side):
    """The linear maps of both parts; 15% of the places pass the generator's head."""
    recipe, cfg, generator, rows = made(batch_size)
    params = fresh_state(cfg, generator, recipe)["params"]
    if side == "theirs":
        import torch
        params = {name: torch.tensor(x) for name, x in params.items()}
    tokens = batch_size * rows.shape[1]
    maps = [*linear_maps(part_params(params, "generator"), tokens, round(0.15 * tokens)),
            *linear_maps(part_params(params, "discriminator"), tokens)]
    return products(maps, maps)


def measured(batch_size, repeats, threads):
    """-> {STEP, PEAK, PRODUCTS: (ours, theirs)}, as `in_turn` gives them"""
    return in_turn(__file__, ["--batch-size", batch_size, "--threads", threads], (STEP, PEAK, PRODUCTS), repeats)


def median_of_processes(args):
    command, environment = mpi_command(args.processes)
    command += [__file__, "--repeats", str(args.repeats), "--batch-size", str(args.batch_size), "--side", "rank"]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=CORES, help="of ours (all cores)")
    parser.add_argument("--processes", type=int, default=CORES)
    parser.add_argument("--side", choices=(*SIDES, "rank"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side == "rank":
        ranks = mpi_ranks()
        step = our_step(args.batch_size, ranks=ranks)
        seconds = [timed(step) for _ in range(WARM_UP + args.repeats)]
        if ranks.rank == 0:
            print(statistics.median(seconds[WARM_UP:]))
        return
    if args.side:
        step = our_step(args.batch_size, args.threads) if args.side == "ours" else their_step(args.batch_size)
        serve({STEP: step, PRODUCTS: product_step(args.batch_size, args.side)})
        return
    medians = measured(args.batch_size, args.repeats, args.threads)
    processes = f"{args.processes} processes"
    medians[processes] = median_of_processes(args), medians[STEP][1]
    for name in medians:
        print(compared("tiny", name, medians, None if name in (PEAK, PRODUCTS) else PRODUCTS), flush=True)


if __name__ == "__main__":
    main()
