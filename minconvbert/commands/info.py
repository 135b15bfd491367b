"""`python -m minconvbert info FOLDER`: the parameters of a model, and the cost of a token."""

import argparse
import json
import math
from pathlib import Path

from ..config import TASKS, ConvBertConfig, multiplications, param_shapes
from ..files import SHIPPED
from ..training.recipes import PRESETS


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m minconvbert info", description=__doc__)
    parser.add_argument("model", nargs="?", default=SHIPPED, help="a folder with config.json, that file, or a preset:"
                        f" {', '.join(PRESETS)} (default: {SHIPPED})")
    parser.add_argument("--task", choices=TASKS, help="include the head of this task")
    parser.add_argument("--length", type=int, default=128, help="tokens in a sequence, for the cost (128)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    if args.model in PRESETS and not Path(args.model).exists():
        cfg = ConvBertConfig(**PRESETS[args.model].model)
    else:
        cfg = ConvBertConfig.from_json(args.model)
    if not 1 <= args.length <= cfg.max_position_embeddings:
        raise ValueError(f"--length must be from 1 to max_position_embeddings = {cfg.max_position_embeddings}, but is"
                         f" {args.length}")
    shapes, cost = param_shapes(cfg, args.task), multiplications(cfg, args.length)
    counts = {name: math.prod(shape) for name, shape in shapes.items()}
    if args.json:
        print(json.dumps(dict(config=cfg.to_dict(), parameters={n: list(s) for n, s in shapes.items()},
                              total=sum(counts.values()), multiplications_per_token=cost)))
        return 0
    for name, value in cfg.to_dict().items():
        print(f"{name:<32} {value}")
    print(f"\nheads of each kind {cfg.heads}, each {cfg.head_size} wide\n")
    for name, shape in shapes.items():
        print(f"{name:<64} {' x '.join(map(str, shape)):>16} {counts[name]:>12,}")
    print(f"{'parameters':<64} {'':>16} {sum(counts.values()):>12,}\n")
    for part, n in cost.items():
        print(f"{part:<64} {'':>16} {n:>12,}")
    print(f"{f'multiply-adds per token, in a sequence of {args.length}':<64} {'':>16} {sum(cost.values()):>12,}")
    return 0
