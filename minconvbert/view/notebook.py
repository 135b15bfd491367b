"""What the notebooks show beside the figures of `minconvbert.view`: live sources, and plain curves and bars."""

import inspect
from pathlib import Path

import matplotlib.pyplot as plt
from IPython.display import Markdown, display

import minconvbert
from minconvbert.view.palette import LIGHT

ROOT = Path(minconvbert.__file__).parents[1]
BLUE, ORANGE, INK, FAINT, PAPER = (LIGHT[name] for name in ("attention", "convolution", "ink", "faint", "paper"))


def show(*functions):
    """The source of functions as it stands in the package, each with its file and line."""
    parts = []
    for function in map(inspect.unwrap, functions):
        file = Path(inspect.getsourcefile(function)).relative_to(ROOT).as_posix()
        source, line = inspect.getsourcelines(function)
        parts.append(f"`{file}`, line {line}\n```python\n{''.join(source).rstrip()}\n```")
    display(Markdown("\n\n".join(parts)))


plt.rcParams |= {
    "figure.dpi": 110, "figure.facecolor": PAPER, "axes.facecolor": PAPER, "axes.titlelocation": "left",
    "axes.titlesize": 9, "axes.labelsize": 8, "xtick.labelsize": 8, "ytick.labelsize": 8, "legend.fontsize": 8,
    "legend.frameon": False, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.edgecolor": FAINT, "axes.titlecolor": INK}


def picture(columns=1, width=6.4, height=2.7, **options):
    """An empty figure in the colours of the others  ->  its axes, one or an array"""
    figure, axes = plt.subplots(1, columns, figsize=(width, height), layout="constrained", **options)
    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
    return axes
