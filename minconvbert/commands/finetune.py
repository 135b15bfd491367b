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
    ("epochs", int, "passes through the data"), ("batch_size", int, "examples in a batch"),
    ("learning_rate", float, "peak learning rate of the head"),
    ("warmup", float, "warm-up, as a share of the steps"), ("decay", float, "weight decay"),
    ("layer_decay", float, "learning rate of a layer divided by that of the layer above"),
    ("clip", float, "largest norm of the gradients"),
    ("accumulate", int, "compute a batch in this many parts, one after the other, to save memory"),
    ("threads", int, "compute this many parts at once, each on its own core"),
    ("seed", int, "seed of everything that is random"))


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
    print(f"the model in {args.out} is that of step {best['step']}")
    print_figures(best.get("dev", {}))
    return 0


def parse(argv):
    parser = argparse.ArgumentParser(prog="python -m minconvbert finetune", description="Learn one of the five tasks.")
    parser.add_argument("task", choices=tasks.TASKS, metavar="TASK", help=", ".join(tasks.TASKS))
    parser.add_argument("--data", nargs="+", required=True, metavar="FILE",
                        help="training data (.jsonl, .csv, .tsv, .conll, .json ...: see the module of the task; quotes"
                             " in a .tsv enclose cells only if pandas would have written all of them)")
    parser.add_argument("--dev", nargs="+", metavar="FILE", help="development data; the best model on it is kept")
    parser.add_argument("--model", default=SHIPPED, metavar="FOLDER", help="the model to start from (%(default)s)")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write; an interrupted run there goes on")
    parser.add_argument("--random-init", action="store_true", help="start from random numbers, not from the weights")
    for field, kind, purpose in NUMBERS:
        parser.add_argument(f"--{field.replace('_', '-')}", type=kind, help=purpose)
    parser.add_argument("--layer-decay-correct", dest="layer_decay_off_by_one", action="store_false", default=None,
                        help="count the layers without the original's error of one")
    parser.add_argument("--dropout", type=float, metavar="P", help="dropout probability (default: as in config.json)")
    parser.add_argument("--length", type=int, help="longest row, in pieces (128; for questions 512)")
    parser.add_argument("--labels", nargs="+", metavar="NAME",
                        help="all labels, in this order (default: those of --data)")
    parser.add_argument("--problem", choices=("single-label", "multi-label", "regression"),
                        help="text classification: kind of labels (default: decided by the first label)")
    parser.add_argument("--column", metavar="NAME", help="token classification: the column of CoNLL-U (upos)")
    parser.add_argument("--stride", type=int, help="question answering: pieces that two windows share")
    parser.add_argument("--no-answer-threshold", dest="threshold", type=float, metavar="X",
                        help="question answering: margin above which there is no answer (default: 0 if --data has"
                             " questions without an answer)")
    parser.add_argument("--summary", choices=SUMMARY_TYPES[:3],
                        help="multiple choice: which token is read, or the mean of all (default: first; last, Hugging"
                             " Face's default, reads padding)")
    parser.add_argument("--log-every", type=int, default=10, metavar="STEPS")
    parser.add_argument("--save-every", type=int, default=200, metavar="STEPS")
    parser.add_argument("--eval-every", type=int, metavar="STEPS", help="(default: each epoch)")
    args = parser.parse_args(argv)
    check_ranges(args, 1, math.inf, "epochs", "batch_size", "accumulate", "threads", "log_every", "save_every",
                 "eval_every")
    check_ranges(args, 0, math.inf, "learning_rate", "decay", "layer_decay", "seed", "stride")
    check_ranges(args, 0, 1, "warmup")
    check_ranges(args, 1e-9, math.inf, "clip")
    return args


def _digests(files):
    return {str(path): sha256_of(path) for path in files}
