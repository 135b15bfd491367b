"""What the notebooks show besides the figures of `minconvbert.view`: live sources, simple plots, diagrams."""

import inspect
from pathlib import Path

import matplotlib.pyplot as plt
from IPython.display import Markdown, display

import minconvbert

from .diagrams import block_diagram, model_diagram
from .palette import LIGHT

__all__ = ["BLUE", "FAINT", "INK", "ORANGE", "PAPER", "block_diagram", "model_diagram", "needs", "picture", "show"]

ROOT = Path(minconvbert.__file__).parents[1]
BLUE, INK, FAINT, PAPER = (LIGHT[name] for name in ("attention", "ink", "faint", "paper"))
ORANGE = "#e08e3b"                                     # lighter than BLUE, so that a print in grey keeps them apart


def show(*functions, fold=""):
    """Show the live source of functions, each with its file and line. With `fold`, it is folded under this title."""
    parts = []
    for function in map(inspect.unwrap, functions):
        file = Path(inspect.getsourcefile(function)).relative_to(ROOT).as_posix()
        source, line = inspect.getsourcelines(function)
        parts.append(f"`{file}`, line {line}\n```python\n{''.join(source).rstrip()}\n```")
    text = "\n\n".join(parts)
    display(Markdown(f"<details><summary>{fold}</summary>\n\n{text}\n\n</details>" if fold else text))


def needs(*functions):
    """Print what an exercise may call: signatures, with the shapes that the docstrings state."""
    for function in functions:
        told = [line.strip() for line in inspect.getdoc(function).splitlines()]
        shapes = next((line for line in told if "->" in line), told[0])
        print(f"{function.__name__}{inspect.signature(function)}\n    {shapes}")


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
