"""`python -m minconvbert finetune TASK`: learn one of the five tasks."""

import argparse
import math
from dataclasses import asdict, replace

from ..config import SUMMARY_TYPES
from ..files import SHIPPED
from ..training import tasks
from ..training.corpus import check_files, sha256_of
from ..training.finetune import checked_length, default_length, run, start
from ..training.progress import say
from ..training.recipes import default_recipe
from ..training.runs import Every
from . import check_ranges, task_options
from .evaluate import print_figures, read_files

NUMBERS = (
    ("epochs", int, "passes through the data"), ("batch_size", int, "examples of a step"),
    ("learning_rate", float, "the highest rate, of the head"), ("warmup", float, "share of the steps of warm-up"),
    ("decay", float, "weight decay"), ("layer_decay", float, "rate of a layer over that of the layer above"),
    ("clip", float, "largest norm of the gradients"),
    ("accumulate", int, "parts that a batch is computed in, to save memory"),
    ("threads", int, "parts that are computed at once, each on its own core"), ("seed", int, "of all that is random"))


def main(argv):
    args = parse(argv)
    task, options = tasks.get(args.task), task_options(args, tasks)
    check_files([*args.data, *(args.dev or ())])
    examples = read_files(task, args.data, **options["read"])
    dev_examples = read_files(task, args.dev, **options["read"]) if args.dev else None
    task.check_alike(examples + (dev_examples or []))
    seed = args.seed or 0
    cfg, params, tokenizer = start(task, args.model, examples, args.random_init, seed, **options["configure"])
    if args.dropout is not None:
        cfg = cfg.replace(hidden_dropout_prob=args.dropout, attention_probs_dropout_prob=args.dropout)
    recipe = default_recipe(task, cfg)
    recipe = replace(recipe, **{name: value for name in asdict(recipe) if (value := getattr(args, name)) is not None})
    length = default_length(task, cfg) if args.length is None else checked_length(args.length, cfg)
    encode = dict(length=length) | options["encode"]
    features = task.encode(examples, tokenizer, cfg, **encode)
    dev = None if dev_examples is None else (dev_examples, task.encode(dev_examples, tokenizer, cfg, **encode))
    about = dict(task=args.task, encode=encode, decode=task.decode_options(examples) | options["decode"],
                 model=str(args.model), random_init=args.random_init, data=_digests(args.data),
                 dev=_digests(args.dev or ()))
    say(f"{len(examples)} examples in {len(features)} rows" + (f", {len(dev_examples)} for development" if dev else
          "; no --dev, so the last model is kept"))
    best = run(args.out, task, (cfg, params, tokenizer), features, recipe, dev, about,
               Every(args.log_every, args.save_every, args.eval_every))
    print(f"the model is in {args.out}, of step {best['step']}")
    print_figures(best.get("dev", {}))
    return 0


def parse(argv):
    parser = argparse.ArgumentParser(prog="python -m minconvbert finetune", description="Learn one of the five tasks.")
    parser.add_argument("task", choices=tasks.TASKS, metavar="TASK", help=", ".join(tasks.TASKS))
    parser.add_argument("--data", nargs="+", required=True, metavar="FILE",
                        help="training data (.jsonl, .csv, .tsv, .conll, .json ...: see the module of the task; quotes"
                             " in a .tsv mean something if all cells that have one are quoted as pandas does it)")
    parser.add_argument("--dev", nargs="+", metavar="FILE", help="development data: the best model on it is kept")
    parser.add_argument("--model", default=SHIPPED, metavar="FOLDER", help="the model to start from (%(default)s)")
    parser.add_argument("--out", required=True, metavar="DIR", help="goes on from a run that was interrupted there")
    parser.add_argument("--random-init", action="store_true", help="start from random numbers, not from the weights")
    for field, kind, purpose in NUMBERS:
        parser.add_argument(f"--{field.replace('_', '-')}", type=kind, help=purpose)
    parser.add_argument("--layer-decay-correct", dest="layer_decay_off_by_one", action="store_false", default=None,
                        help="count layers without the original's slip of one")
    parser.add_argument("--dropout", type=float, metavar="P", help="instead of the probabilities in the configuration")
    parser.add_argument("--length", type=int, help="longest row, in pieces (128; for questions 512)")
    parser.add_argument("--labels", nargs="+", metavar="NAME",
                        help="all labels, in this order (default: those of --data)")
    parser.add_argument("--problem", choices=("single-label", "multi-label", "regression"),
                        help="text classification: what the labels are (default: decided by the first)")
    parser.add_argument("--column", metavar="NAME", help="token classification: the column of CoNLL-U (upos)")
    parser.add_argument("--stride", type=int, help="question answering: pieces that two windows share")
    parser.add_argument("--no-answer-threshold", dest="threshold", type=float, metavar="X",
                        help="question answering: margin above which there is no answer (0 if --data has such"
                             " questions)")
    parser.add_argument("--summary", choices=SUMMARY_TYPES[:3],
                        help="multiple choice: the token that is judged (first; Hugging Face's default, last, reads"
                             " padding)")
    parser.add_argument("--log-every", type=int, default=10, metavar="STEPS")
    parser.add_argument("--save-every", type=int, default=200, metavar="STEPS")
    parser.add_argument("--eval-every", type=int, metavar="STEPS", help="(each epoch)")
    args = parser.parse_args(argv)
    check_ranges(args, 1, math.inf, "epochs", "batch_size", "accumulate", "threads", "log_every", "save_every",
                 "eval_every")
    check_ranges(args, 0, math.inf, "learning_rate", "decay", "layer_decay", "seed", "stride")
    check_ranges(args, 0, 1, "warmup")
    check_ranges(args, 1e-9, math.inf, "clip")
    return args


def _digests(files):
    return {str(path): sha256_of(path) for path in files}
