"""`python -m minconvbert COMMAND ...`: each command is the `main(argv)` of one module."""

import importlib
import sys

COMMANDS = {
    "tokenize": ("tokenizer", "show the pieces of a text, their ids, offsets and why each was chosen"),
    "vocab": ("vocab", "train a WordPiece vocabulary, or audit one"),
    "view": ("view", "draw the convolution kernels and attention maps of a sentence: page or picture"),
    "convert": ("convert", "read a checkpoint of any known kind and write another"),
    "course": ("course", "exercises that check themselves: list, stub, solution, grade"),
    "verify": ("convert", "check a model against the answers published for it"),
}


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: python -m minconvbert COMMAND ...   (COMMAND --help tells more)\n")
        for name, (_, purpose) in COMMANDS.items():
            print(f"  {name:<12} {purpose}")
        return 0
    name, *rest = argv
    if name not in COMMANDS:
        print(f"error: unknown command {name!r}; it must be one of {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    module = importlib.import_module(f"minconvbert.{COMMANDS[name][0]}")
    entry = getattr(module, f"{name}_main", None) or module.main
    try:
        return entry(rest)
    except (ValueError, TypeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
