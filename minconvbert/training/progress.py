"""A progress bar on stderr, and logs of one JSON object a line."""

import json
import math
import sys
import time
from pathlib import Path


class Progress:
    """One line that is rewritten: how far, how fast, how long still.

        progress = Progress(steps, start=step)
        progress(step, loss=2.1, tokens=4096)      # `tokens` are counted up and shown per second
    """

    def __init__(self, total, start=0, every=0.5, file=None):
        self.total, self.start, self.every = total, start, every
        self.file = sys.stderr if file is None else file
        self.began = time.perf_counter()
        self.shown, self.tokens = -every, 0

    def __call__(self, done, tokens=0, **figures):
        self.tokens += tokens
        passed = time.perf_counter() - self.began
        if passed - self.shown < self.every and done < self.total:
            return
        self.shown = passed
        share = done / self.total
        left = passed / max(1, done - self.start) * (self.total - done)
        text = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        speed = f"  {self.tokens / max(passed, 1e-9):,.0f} tokens/s" if self.tokens else ""
        bar = "#" * round(24 * share) + "." * (24 - round(24 * share))
        end = "\n" if done >= self.total or not self.file.isatty() else "\r"
        print(f"[{bar}] {done}/{self.total}  {text}{speed}  {_clock(left)} left ", end=end, file=self.file, flush=True)


def _clock(seconds):
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"


def append_json_line(path, **entries):
    """Add one line to a log."""
    with open(path, "a", encoding="utf-8") as log:
        log.write(json_line(entries))


def json_line(entries, indent=None):
    """JSON that ends a line. Numbers that are not finite are null: JSON has no words for them."""
    def finite(x):
        if isinstance(x, dict):
            return {name: finite(part) for name, part in x.items()}
        if isinstance(x, (list, tuple)):
            return [finite(part) for part in x]
        return None if isinstance(x, float) and not math.isfinite(x) else x
    return json.dumps(finite(entries), ensure_ascii=False, allow_nan=False, indent=indent) + "\n"


def read_json_lines(path):
    """The entries of a log; a last line that a kill cut short is left out."""
    lines = Path(path).read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]
