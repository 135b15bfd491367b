"""Time of a fine-tuning step of each head: ours against transformers eager, same optimizer, in turn, same cores.

    python benchmarks/finetune.py [--size tiny] [--batch-size 32] [--length 64] [--repeats 15] [--threads 2]

A step is forward, backward, clipping and Adam, with dropout. Ours makes its arrays from lists in every step, theirs
gets tensors. Needs the extra `parity`. Nothing else should run on the machine.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from in_turn import CORES, PEAK, SIDES, compared, in_turn, linear_maps, products, serve

from minconvbert.config import ConvBertConfig
from minconvbert.initialize import init_params
from minconvbert.training import tasks
from minconvbert.training.finetune import fresh_state, layer_scales, train_step
from minconvbert.training.recipes import PRESETS, FinetuningRecipe

CHOICES, LABELS = 4, 17
LIMIT = "products: "                                   # of a task, by its name
RECIPE, STEPS = FinetuningRecipe(), 1000


def features_of(name, cfg, batch_size, length):
    """A batch as it comes from sorted data: of nearly one length."""
    rng = np.random.default_rng(0)
    special = dict(mask=4, ids=[0, 1, 2, 3, 4])
    features = []
    for i in range(batch_size // CHOICES if name == "multiple-choice" else batch_size):
        n = length - i % 4
        rows = [[2, *rng.integers(5, cfg.vocab_size, n - 2).tolist(), 3]
                for _ in range(CHOICES if name == "multiple-choice" else 1)]
        labels = {"text-classification": int(rng.integers(LABELS)), "multiple-choice": int(rng.integers(CHOICES)),
                  "token-classification": rng.integers(0, LABELS, n).tolist(), "masked-lm": None,
                  "question-answering": tuple(np.sort(rng.integers(1, n, 2)).tolist())}[name]
        feature = dict(example=i, input_ids=rows, token_type_ids=[[0] * n] * len(rows), special=special)
        features.append(feature if labels is None else feature | dict(labels=labels))
    return features


def made(name, args):
    """-> task, configuration, parameters, features of one batch"""
    task = tasks.get(name)
    cfg = ConvBertConfig(**PRESETS[args.size].model, summary_type="first")
    if name in ("text-classification", "token-classification"):
        cfg = cfg.replace(num_labels=LABELS, problem_type="single_label_classification")
    params = init_params(cfg, task.HEAD, np.random.default_rng(0))
    return task, cfg, params, features_of(name, cfg, args.batch_size, args.length)


def our_step(name, args):
    task, cfg, params, features = made(name, args)
    state, scale = fresh_state(params), layer_scales(params, cfg.num_hidden_layers)
    recipe = replace(RECIPE, threads=args.threads)
    return lambda: train_step(task, state, features, cfg, recipe, STEPS, scale)


def product_step(name, args):
    _, _, params, _ = made(name, args)
    rows = args.batch_size * args.length
    if args.side == "theirs":
        import torch
        params = {key: torch.tensor(x) for key, x in params.items()}
    maps = list(linear_maps(params, rows, round(0.15 * rows) if name == "masked-lm" else 0))
    return products(maps, maps)


def measured(names, size, batch_size, length, repeats, threads):
    """-> {name of a task or of its products: (ours, theirs)}, as `in_turn` gives them"""
    same = ["--size", size, "--batch-size", batch_size, "--length", length, "--threads", threads, "--tasks", *names]
    return in_turn(__file__, same, (*names, PEAK, *(LIMIT + name for name in names)), repeats)


def lines(title, medians):
    """What `measured` found, to be printed."""
    for name in medians:
        if not name.startswith(LIMIT):
            yield compared(title, name, medians, LIMIT + name)


def their_step(name, args):
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "parity"))
    from torch_finetuning import torch_model, torch_step
    task, cfg, params, features = made(name, args)
    batch = task.stack(features, cfg, (0, 0, range(len(features))))
    theirs, moments = torch_model(cfg, task.HEAD, params).train(), {}
    return lambda: torch_step(theirs, name, batch, moments, 10, STEPS, cfg, RECIPE)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=PRESETS, default="tiny")
    parser.add_argument("--batch-size", type=int, default=32, help="rows; of choices, four make an example")
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--tasks", nargs="+", choices=tasks.TASKS, default=tasks.TASKS)
    parser.add_argument("--threads", type=int, default=CORES, help="of ours (all cores)")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        step = our_step if args.side == "ours" else their_step
        serve({name: step(name, args) for name in args.tasks}
              | {LIMIT + name: product_step(name, args) for name in args.tasks})
        return
    found = measured(args.tasks, args.size, args.batch_size, args.length, args.repeats, args.threads)
    for line in lines(args.size, found):
        print(line, flush=True)


if __name__ == "__main__":
    main()
