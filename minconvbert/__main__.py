"""`python -m minconvbert COMMAND ...`: each command is the `main(argv)` of a module in `commands`."""

import difflib
import importlib
import os
import sys

from . import __version__
from .memory import keep_freed_memory
from .training.progress import say

COMMANDS = {
    "tour": "see the learned weights at work; this also runs without a command",
    "fill-mask": "find the likeliest words for the [MASK]s of a text",
    "detect": "find the words of a text that were replaced",
    "view": "draw the convolution kernels and attention maps of a sentence, as a page or a picture",
    "step": "step through the code line by line, with all numbers, on a sentence or in an exercise",
    "tokenize": "show the pieces of a text, their ids, offsets and why each was chosen",
    "info": "show the configuration, parameters and cost of a model",
    "pretrain": "learn weights from plain text",
    "study": "test the paper's claim in miniature: train variants of one block alike",
    "finetune": "learn one of the five tasks",
    "evaluate": "measure a fine-tuned model",
    "predict": "use a fine-tuned model on new text",
    "vocab": "train a WordPiece vocabulary, or audit one",
    "convert": "read a checkpoint of any known kind and write one of another kind",
    "verify": "check a model against the answers published for it",
    "golden": "make the golden pack, check a port against it, score the checker",
    "course": "list, hand out, solve and grade exercises: list, stub, solution, grade, export, sheet",
}


BROKEN_PIPE = 128 + 13                                 # the exit code after writing to a pipe that nobody reads


def main(argv=None):
    """Run a command  ->  its exit code: 0 for success, 2 for an error, printed on stderr, 128 and more for a signal."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        code = _run(*argv) if argv else _run("tour")
        if sys.stdout is not None:                     # None if it was closed from the start
            sys.stdout.flush()                         # here, where a broken pipe can still be caught
        return code
    except BrokenPipeError:                            # as after `| head`; Python's own last flush must not see it
        if sys.stdout is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except MemoryError as error:
        say(f"error: memory ran out: {str(error) or 'a text or a list became too large'}; lower --batch-size or"
            " --length, or use a smaller model or smaller files")
    except (ValueError, TypeError, OSError, ArithmeticError, ImportError) as error:
        say(f"error: {error}")
    except KeyboardInterrupt as stopped:               # a run that has saved its state says how to go on
        if str(stopped):
            say(stopped)
        return getattr(stopped, "code", 130)
    return 2


def _run(name, *rest):
    if name in ("-h", "--help"):
        print("usage: python -m minconvbert [COMMAND ...]   (COMMAND --help says more; --version)\n")
        for command, purpose in COMMANDS.items():
            print(f"  {command:<12} {purpose}")
        return 0
    if name == "--version":
        print(f"minconvbert {__version__}")
        return 0
    if name not in COMMANDS:
        near = difflib.get_close_matches(name.lower().replace("_", "-"), COMMANDS, 1)
        raise ValueError(f"unknown command {name!r}; " + (f"did you mean {near[0]}?" if near
                                                          else f"it must be one of {', '.join(COMMANDS)}"))
    keep_freed_memory()
    return importlib.import_module(f".commands.{name.replace('-', '_')}", "minconvbert").main(rest)


def from_terminal():
    """`main` for a process of its own: letters that the encoding of its terminal lacks become question marks."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    return main()


if __name__ == "__main__":
    sys.exit(from_terminal())
