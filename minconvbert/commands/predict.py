"""`python -m minconvbert predict TASK`: use a fine-tuned model on new text."""

from ..training import tasks
from ..training.progress import json_line
from .evaluate import loaded, read_files, reader, write_answers


def main(argv):
    parser = reader("predict", "Use a fine-tuned model on new text: files, or one example on the command line.")
    for field, purpose in (("text", "a text"), ("text-pair", "the second text of a pair"), ("question", "a question"),
                           ("context", "the text that the question is about, or that a choice has to fit")):
        parser.add_argument(f"--{field}", help=purpose)
    parser.add_argument("--choices", nargs="+", metavar="TEXT", help="the choices")
    args = parser.parse_args(argv)
    task = tasks.get(args.task)
    given = {name: getattr(args, name) for name in ("text", "text_pair", "question", "context", "choices")
             if getattr(args, name) is not None}
    if bool(given) == bool(args.data):
        raise ValueError("pass either --data FILE or one example, which for this task is"
                         f" {' '.join('--' + name.replace('_', '-') for name in task.FIELDS)}")
    unused = [f"--{name.replace('_', '-')}" for name in given if name not in task.FIELDS]
    if unused:
        raise ValueError(f"{', '.join(unused)} cannot be used with {args.task}, which takes"
                         f" {' '.join('--' + name.replace('_', '-') for name in task.FIELDS)}")
    examples = ([task.example(given, "the command line", labelled=False)] if given
                else read_files(task, args.data, labelled=False))
    _, _, model, encode, decode = loaded(args)
    answers = task.predict(examples, model, encode, decode, args.threads)
    if args.out:
        write_answers(args.out, answers)
    else:
        for answer in answers:
            print(json_line(answer), end="")
    return 0
