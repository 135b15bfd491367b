"""A progress bar on stderr or in a notebook, and logs of one JSON object a line."""

import json
import math
import sys
import time
from pathlib import Path

from ..files import check_ordinary


def say(*lines, end="\n"):
    """Print to stderr; if that is closed, full or broken, print nothing."""
    write_to(sys.stderr, *lines, end=end)


def write_to(stream, *lines, end="\n"):
    """Print lines to a stream, if it still works. A stderr that does not is not used again."""
    if stream is not None:                             # Python's value for a stream that was closed from the start
        try:
            print(*lines, sep="\n", end=end, file=stream, flush=True)
        except (OSError, ValueError):
            if stream is sys.stderr:
                sys.stderr = None                      # Python would fail to flush it at the end, and exit with 120


class Progress:
    """Shows how far work is, its speed and the time left, on a line that is rewritten.

    Without a terminal there is a new line every 10 seconds; in a notebook a bar of tqdm, if tqdm is installed.

        progress = Progress(steps, start=step)
        progress(step, loss=2.1, tokens=4096)      # `tokens` are added up and shown per second
    """

    def __init__(self, total, start=0, every=None, file=None):
        self.total, self.start = total, start
        self.bar = _notebook_bar(total, start) if file is None else None
        self.file = sys.stderr if file is None else file
        self.every = every if every is not None else 0.5 if self.bar or _is_terminal(self.file) else 10
        self.began = time.perf_counter()
        self.shown, self.tokens = -math.inf, 0

    def __call__(self, done, tokens=0, **figures):
        self.tokens += tokens
        passed = time.perf_counter() - self.began
        if passed - self.shown < self.every and done < self.total:
            return
        self.shown = passed
        if self.bar is not None:
            self.bar.n = done
            self.bar.set_postfix({name: f"{value:.4g}" for name, value in figures.items()})      # which draws it
            if done >= self.total:
                self.bar.close()
            return
        share = done / self.total
        left = passed / max(1, done - self.start) * (self.total - done)
        text = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        speed = f"  {self.tokens / max(passed, 1e-9):,.0f} tokens/s" if self.tokens else ""
        bar = "#" * round(24 * share) + "." * (24 - round(24 * share))
        rewritten = done < self.total and _is_terminal(self.file)
        write_to(self.file, f"[{bar}] {done}/{self.total}  {text}{speed}  {_clock(left)} left ",
                 end="\r" if rewritten else "\n")


def _notebook_bar(total, start):
    """A bar of tqdm, or None outside a notebook or without tqdm."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if not hasattr(shell, "kernel"):
        return None
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm(total=total, initial=start)


def _is_terminal(stream):
    try:
        return stream is not None and stream.isatty()
    except (OSError, ValueError):
        return False


def _clock(seconds):
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"


def append_json_line(path, **entries):
    """Add one line to a log."""
    with open(path, "a", encoding="utf-8") as log:
        log.write(json_line(entries))


def json_line(entries, indent=None):
    """JSON and a line end. Numbers that are not finite become null, because JSON cannot write them."""
    def finite(x):
        if isinstance(x, dict):
            return {name: finite(part) for name, part in x.items()}
        if isinstance(x, (list, tuple)):
            return [finite(part) for part in x]
        return None if isinstance(x, float) and not math.isfinite(x) else x
    return json.dumps(finite(entries), ensure_ascii=False, allow_nan=False, indent=indent) + "\n"


def read_json_lines(path):
    """The entries of a log; a last line that a kill cut short is left out.

    Raises ValueError, with the number of the line, for a line that is not JSON.
    """
    check_ordinary(path, math.inf)
    entries = []
    for number, line in enumerate(Path(path).read_bytes().split(b"\n")[:-1], 1):
        try:
            entry = json.loads(line) if line else None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"line {number} of {path} must be JSON, but is not: {error}; remove the line") from None
        entries += [] if entry is None else [entry]
    return entries
