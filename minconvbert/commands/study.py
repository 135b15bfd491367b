"""`python -m minconvbert study`: the paper's claim in miniature."""

import argparse
import math
from dataclasses import replace
from pathlib import Path

from ..config import ConvBertConfig
from ..tokenizer.hugging_face import ConvBertTokenizerFast
from ..training import study
from ..training.progress import say
from ..training.recipes import PRESETS
from ..view.curves import by_setting
from . import check_ranges


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m minconvbert study", description=study.__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", nargs="+", required=True, metavar="FILE")
    parser.add_argument("--vocab", required=True, metavar="FILE")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write; a study that is there goes on")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--hidden-size", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kernels", type=int, nargs="*", default=[1, 3, 5, 15])
    parser.add_argument("--groups", type=int, nargs="*", default=[2])
    parser.add_argument("--processes", type=int, default=1, metavar="N",
                        help="train N models at once, each on one core")
    args = parser.parse_args(argv)
    check_ranges(args, 1, math.inf, "steps", "batch_size", "seeds", "processes")
    check_ranges(args, 0, math.inf, "learning_rate")

    tokenizer = ConvBertTokenizerFast(args.vocab)
    base = ConvBertConfig(**PRESETS["tiny"].model).replace(
        vocab_size=len(tokenizer.vocab), hidden_size=args.hidden_size, embedding_size=args.hidden_size,
        intermediate_size=4 * args.hidden_size, num_hidden_layers=args.layers)
    recipe = replace(PRESETS["tiny"], steps=args.steps, batch_size=args.batch_size, learning_rate=args.learning_rate,
                     warmup=args.steps // 20, generator_layers=1.0)
    out = Path(args.out)
    results = study.run(args.corpus, tokenizer, out, base, recipe, args.seeds,
                        study.settings(args.kernels, args.groups), args.processes)
    study.print_table(results)
    study.print_differences(results)
    try:
        by_setting(results).savefig(out / "study.png", dpi=120)
    except ImportError:
        say("no study.png: it needs matplotlib (pip install 'minconvbert[plot]')")
    return 0
