"""`python -m minconvbert COMMAND ...`: each command is the `main(argv)` of a module in `commands`."""

import importlib
import sys

from .memory import keep_freed_memory

COMMANDS = {
    "tour": "the learned weights at work: what runs without a command",
    "fill-mask": "the likeliest words for the [MASK]s of a text",
    "detect": "which words of a text were replaced",
    "view": "draw the convolution kernels and attention maps of a sentence: page or picture",
    "step": "walk through the code line by line, with all numbers: a sentence, or an exercise",
    "tokenize": "show the pieces of a text, their ids, offsets and why each was chosen",
    "info": "configuration, parameters and cost of a model",
    "pretrain": "learn weights from plain text",
    "study": "the paper's claim in miniature: variants of one block, trained alike",
    "finetune": "learn one of the five tasks",
    "evaluate": "measure a fine-tuned model",
    "predict": "use a fine-tuned model on new text",
    "vocab": "train a WordPiece vocabulary, or audit one",
    "convert": "read a checkpoint of any known kind and write another",
    "verify": "check a model against the answers published for it",
    "golden": "make the golden pack, check a port against it, score the checker",
    "course": "exercises that check themselves: list, stub, solution, grade",
}


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in ("-h", "--help"):
        print("usage: python -m minconvbert [COMMAND ...]   (COMMAND --help tells more)\n")
        for name, purpose in COMMANDS.items():
            print(f"  {name:<12} {purpose}")
        return 0
    name, *rest = argv or ["tour"]
    if name not in COMMANDS:
        print(f"error: unknown command {name!r}; it must be one of {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    keep_freed_memory()
    command = importlib.import_module(f".commands.{name.replace('-', '_')}", "minconvbert")
    try:
        return command.main(rest)
    except (ValueError, TypeError, OSError, ArithmeticError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
