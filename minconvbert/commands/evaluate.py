"""`python -m minconvbert evaluate TASK`: measure a fine-tuned model."""

import argparse

from ..files import write_atomic
from ..training import tasks
from ..training.finetune import evaluate, load
from ..training.progress import json_line
from . import only_for


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
    parser.add_argument("--length", type=int, help="longest row, in pieces (as in training)")
    parser.add_argument("--column", metavar="NAME", help="token classification: the column of CoNLL-U (upos)")
    parser.add_argument("--no-answer-threshold", type=float, metavar="X",
                        help="question answering: margin above which there is no answer (as in training)")
    parser.add_argument("--out", metavar="FILE", help="write the answers here, as JSON lines")
    return parser


def loaded(args):
    task = tasks.get(args.task)
    cfg, params, tokenizer, encode, decode = load(task, args.model, args.length)
    only_for(args, "column", "token-classification")
    only_for(args, "no_answer_threshold", "question-answering")
    if args.no_answer_threshold is not None:
        decode = decode | dict(threshold=args.no_answer_threshold)
    return task, cfg, params, tokenizer, encode, decode


def main(argv):
    args = reader("evaluate", "Measure a fine-tuned model.").parse_args(argv)
    task, cfg, params, tokenizer, encode, decode = loaded(args)
    reads = {} if args.column is None else dict(column=args.column)
    examples = read_files(task, args.data, **reads)
    figures, answers = evaluate(task, examples, task.encode(examples, tokenizer, cfg, **encode), params, cfg, **decode)
    print_figures(figures)
    if args.out:
        write_answers(args.out, answers)
    return 0


def write_answers(path, answers):
    write_atomic(path, "".join(map(json_line, answers)))
