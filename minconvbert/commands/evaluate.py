"""`python -m minconvbert evaluate TASK`: measure a fine-tuned model."""

import argparse
import math

from ..checkpoint import NoHeadError
from ..files import write_atomic
from ..training import tasks
from ..training.finetune import load_finetuned
from ..training.progress import json_line
from . import check_ranges, task_options


def read_files(task, files, labelled=True, **options):
    return [one for path in files for one in task.read(path, labelled, **options)]


def print_figures(figures):
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):<24} {value:.4f}")


def reader(name, description):
    """The arguments that `evaluate` and `predict` share."""
    parser = argparse.ArgumentParser(prog=f"python -m minconvbert {name}", description=description)
    parser.add_argument("task", choices=tasks.TASKS, metavar="TASK", help=", ".join(tasks.TASKS))
    parser.add_argument("--model", required=True, metavar="FOLDER", help="a fine-tuned model")
    parser.add_argument("--data", nargs="+", metavar="FILE", required=name == "evaluate")
    parser.add_argument("--length", type=int, help="longest row, in pieces (default: as in training)")
    parser.add_argument("--column", metavar="NAME", help="token classification: the column of CoNLL-U (upos)")
    parser.add_argument("--no-answer-threshold", dest="threshold", type=float, metavar="X",
                        help="question answering: margin above which there is no answer (default: as in training)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="read N batches at once")
    parser.add_argument("--out", metavar="FILE", help="write the answers here, as JSON lines")
    return parser


def loaded(args):
    """-> task, options by function, (cfg, params, tokenizer), options of `encode`, options of the answers"""
    check_ranges(args, 1, math.inf, "threads")
    task, options = tasks.get(args.task), task_options(args, tasks)
    try:
        cfg, params, tokenizer, encode, decode = load_finetuned(task, args.model, args.length)
    except NoHeadError:
        raise ValueError(f"--model must be fine-tuned for {args.task}, but {args.model} has no head for it; finetune"
                         " makes one") from None
    return task, options, (cfg, params, tokenizer), encode, decode | options["decode"]


def main(argv):
    args = reader("evaluate", "Measure a fine-tuned model.").parse_args(argv)
    task, options, (cfg, params, tokenizer), encode, decode = loaded(args)
    examples = read_files(task, args.data, **options["read"])
    features = task.encode(examples, tokenizer, cfg, **encode)
    figures, answers = task.evaluate(examples, features, params, cfg, threads=args.threads, **decode)
    print_figures(figures)
    if args.out:
        write_answers(args.out, answers)
    return 0


def write_answers(path, answers):
    write_atomic(path, "".join(map(json_line, answers)))
