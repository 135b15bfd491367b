"""`python -m minconvbert study`: the paper's claim in miniature."""

import argparse
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

from ..config import ConvBertConfig
from ..files import write_atomic
from ..tokenizer.hugging_face import ConvBertTokenizerFast
from ..training import corpus, study
from ..training.progress import Progress
from ..training.recipes import PRESETS
from ..training.study import settings, table, train_variant
from ..view.curves import by_setting
from . import check_ranges


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m minconvbert study", description=study.__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", nargs="+", required=True, metavar="FILE")
    parser.add_argument("--vocab", required=True, metavar="FILE")
    parser.add_argument("--out", required=True, metavar="DIR", help="goes on from what is there already")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--hidden-size", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kernels", type=int, nargs="*", default=[1, 3, 5, 15])
    parser.add_argument("--groups", type=int, nargs="*", default=[2])
    args = parser.parse_args(argv)
    check_ranges(args, 1, math.inf, "steps", "batch_size", "seeds")
    check_ranges(args, 0, math.inf, "learning_rate")

    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = ConvBertTokenizerFast(args.vocab)
    special = corpus.special_ids(tokenizer)
    examples, held_out = corpus.encode_corpus(args.corpus, tokenizer, 128, out)
    if not len(held_out):
        raise ValueError(f"{', '.join(args.corpus)} must have enough documents to hold some out, but has too few")
    base = ConvBertConfig(**PRESETS["tiny"].model).replace(
        vocab_size=len(tokenizer.vocab), hidden_size=args.hidden_size, embedding_size=args.hidden_size,
        intermediate_size=4 * args.hidden_size, num_hidden_layers=args.layers)
    stored = out / "results.json"
    fixed = {name: getattr(args, name) for name in ("steps", "batch_size", "hidden_size", "layers", "learning_rate")}
    there = json.loads(stored.read_text()) if stored.exists() else dict(fixed=fixed, results=[])
    if there["fixed"] != fixed:
        raise ValueError(f"{stored} must be of a study of {fixed}, to go on with it, but is of {there['fixed']};"
                         " choose another --out")
    results = there["results"]
    done = {(r["setting"], r["seed"]) for r in results}
    for seed in range(args.seeds):
        for name, (variant, changes) in settings(args.kernels, args.groups).items():
            if (name, seed) in done:
                continue
            recipe = replace(PRESETS["tiny"], steps=args.steps, batch_size=args.batch_size, seed=seed,
                             learning_rate=args.learning_rate, warmup=args.steps // 20, generator_layers=1.0)
            print(f"{name}, seed {seed}", file=sys.stderr)
            figures = train_variant(variant, base.replace(**changes), recipe, examples, held_out[:256], special,
                                    Progress(args.steps))
            results.append(dict(setting=name, seed=seed, **figures))
            write_atomic(stored, json.dumps(dict(fixed=fixed, results=results), indent=1) + "\n")
    table(results)
    try:
        by_setting(results).savefig(out / "study.png", dpi=120)
    except ImportError:
        print("no study.png: it needs matplotlib (pip install matplotlib)", file=sys.stderr)
    return 0
