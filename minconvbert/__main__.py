"""`python -m minconvbert COMMAND ...`: each command is the `main(argv)` of one module."""

import importlib
import sys

COMMANDS = {
    "tour": ("tour", "the learned weights at work: what runs without a command"),
    "fill-mask": ("tour", "the likeliest words for the [MASK]s of a text"),
    "detect": ("tour", "which words of a text were replaced"),
    "view": ("view.command", "draw the convolution kernels and attention maps of a sentence: page or picture"),
    "tokenize": ("tokenizer", "show the pieces of a text, their ids, offsets and why each was chosen"),
    "info": ("info", "configuration, parameters and cost of a model"),
    "pretrain": ("pretrain", "learn weights from plain text"),
    "study": ("study", "the paper's claim in miniature: variants of one block, trained alike"),
    "finetune": ("finetune", "learn one of the five tasks"),
    "evaluate": ("finetune", "measure a fine-tuned model"),
    "predict": ("finetune", "use a fine-tuned model on new text"),
    "vocab": ("vocab", "train a WordPiece vocabulary, or audit one"),
    "convert": ("convert", "read a checkpoint of any known kind and write another"),
    "verify": ("convert", "check a model against the answers published for it"),
    "golden": ("golden", "make the golden pack, check a port against it, score the checker"),
    "course": ("course", "exercises that check themselves: list, stub, solution, grade"),
}


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in ("-h", "--help"):
        print("usage: python -m minconvbert [COMMAND ...]   (COMMAND --help tells more)\n")
        for name, (_, purpose) in COMMANDS.items():
            print(f"  {name:<12} {purpose}")
        return 0
    name, *rest = argv or ["tour"]
    if name not in COMMANDS:
        print(f"error: unknown command {name!r}; it must be one of {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    module = importlib.import_module(f"minconvbert.{COMMANDS[name][0]}")
    entry = getattr(module, f"{name.replace('-', '_')}_main", None) or module.main
    try:
        return entry(rest)
    except (ValueError, TypeError, OSError, ArithmeticError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
