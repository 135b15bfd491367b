"""Time of a fine-tuning step of each head: ours against transformers eager with the same optimizer, in turn, same threads.

    OMP_NUM_THREADS=2 python benchmarks/finetune.py [--size tiny] [--batch-size 32] [--length 64] [--repeats 15]

A step is forward, backward, clipping and Adam, with dropout. Ours makes its arrays from lists in every step, theirs gets
tensors. Needs the extra `parity`. Nothing else should run on the machine.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "parity"))
from model import median_times
from torch_finetuning import torch_model, torch_step

from minconvbert import tasks
from minconvbert.config import ConvBertConfig
from minconvbert.finetune import Recipe, fresh_state, layer_scales, train_step
from minconvbert.initialize import init_params
from minconvbert.pretrain import PRESETS
from minconvbert.tasks import batches

CHOICES, LABELS = 4, 17


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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=PRESETS, default="tiny")
    parser.add_argument("--batch-size", type=int, default=32, help="rows; of choices, four make an example")
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--tasks", nargs="+", choices=tasks.TASKS, default=tasks.TASKS)
    args = parser.parse_args()
    recipe, steps = Recipe(), 1000
    for name in args.tasks:
        task = tasks.get(name)
        cfg = ConvBertConfig(**PRESETS[args.size].model, summary_type="first")
        if name in ("text-classification", "token-classification"):
            cfg = cfg.replace(num_labels=LABELS, problem_type="single_label_classification")
        params = init_params(cfg, task.HEAD, np.random.default_rng(0))
        features = features_of(name, cfg, args.batch_size, args.length)
        state, scale = fresh_state(params), layer_scales(params, cfg.num_hidden_layers)
        theirs, moments = torch_model(cfg, task.HEAD, params).train(), {}
        batch = getattr(task, "stack", batches.stack)(features, cfg, (0, 0, range(len(features))))

        def our_step():
            train_step(task, state, features, cfg, recipe, steps, scale)

        def their_step():
            torch_step(theirs, name, batch, moments, 10, steps, cfg, recipe)

        ours, others = median_times((our_step, their_step), args.repeats)
        print(f"{args.size} {name:<22} minconvbert {1000 * ours:7.1f} ms   transformers {1000 * others:7.1f} ms   ratio"
              f" {ours / others:.2f}   ({torch.get_num_threads()} threads)", flush=True)


if __name__ == "__main__":
    main()
