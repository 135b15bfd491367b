"""A still picture of one step: the source with its line lit, the arrays that it made, and one number by hand."""

import io
import textwrap

import numpy as np

from ..view.palette import LIGHT

WIDTH, LINE = 11, 0.165                                # inches: of the picture, and of a line of source
WRAP = 92                                              # characters of a line of the formula


def still(recording, number):
    """A PNG of step `number`, as bytes.   Raises ModuleNotFoundError without matplotlib"""
    from matplotlib.figure import Figure
    step, call = recording[number], recording.calls[recording[number].call]
    first, lines = _window(call, step)
    shown = list(_shown(recording, step))
    formula = by_hand_text(step)
    height = max(len(lines) * LINE + 0.5, 1.75 * len(shown) + 0.3) + 0.2 * (formula.count("\n") + 2)
    figure = Figure(figsize=(WIDTH, height), facecolor=LIGHT["paper"], dpi=110)
    grid = figure.add_gridspec(max(1, len(shown)), 2, width_ratios=(1.15, 1), left=0.012, right=0.985, wspace=0.04,
                               top=1 - 0.32 / height, bottom=0.25 * (formula.count("\n") + 2) / height, hspace=0.75)
    _draw_source(figure.add_subplot(grid[:, 0]), call, step, first, lines)
    for place, (title, array, letters) in enumerate(shown):
        _draw_array(figure.add_subplot(grid[place, 1]), title, array, letters)
    figure.text(0.012, 0.08 / height, formula, family="monospace", fontsize=7.5, color=LIGHT["ink"], va="bottom")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def by_hand_text(step):
    """The largest number of the array that the line made, with the multiplications and sums behind it."""
    for name, (cells, places) in step.by_hand.items():
        array = step.writes[name]
        part = array if places is None else array.reshape(-1)[places]
        at = np.unravel_index(np.abs(part).argmax(), part.shape)
        entry = cells[tuple(int(i) for i in at)] if cells.ndim else cells
        whole = at if places is None else np.unravel_index(places[at], array.shape)
        index = f"[{', '.join(map(str, whole))}]" if array.ndim else ""
        return textwrap.fill(f"{name}{index} = {entry.told(numbers=True)} = {float(part[at]):.4g}", WRAP * 2,
                             subsequent_indent="    ")
    return ""


def _window(call, step, most=26):
    """The lines around a step: all of a short function."""
    doc = len(call.doc.split("\n")) if call.doc else 0
    start = max(0, min(step.line - call.first - most // 2, len(call.source) - most))
    start = 0 if len(call.source) <= most or step.line - call.first < most - doc else start
    return call.first + start, call.source[start : start + most]


def _shown(recording, step):
    """(title, array, letters) of what the line made, each with its gradient where there is one; at most four."""
    partner = recording.calls[recording[step.number].call].partner
    pairs = []
    for name, array in step.writes.items():
        pairs.append((name, array, step.letters.get(name, ())))
        for number in recording.calls[partner].steps if partner is not None else ():
            other = recording[number].writes.get(f"d{name}")
            if other is not None and other.shape == array.shape:
                pairs.append((f"d{name}", other, step.letters.get(name, ())))
                break
    return pairs[:4]


def _draw_source(axis, call, step, first, lines):
    axis.set(xlim=(0, 1), ylim=(len(lines) - 0.5, -0.5))
    axis.axis("off")
    axis.set_title(f"{call.function}, line {step.line}", loc="left", fontsize=9, color=LIGHT["ink"])
    for i, text in enumerate(lines):
        lit = step.line <= first + i <= step.end
        if lit:
            axis.axhspan(i - 0.5, i + 0.5, color=LIGHT["convolution"], alpha=0.18, linewidth=0)
        room = 84
        axis.text(0.045, i, text if len(text) <= room else text[: room - 2] + " …", family="monospace", fontsize=6.6,
                  color=LIGHT["ink"], va="center", parse_math=False)
        axis.text(0.03, i, first + i, family="monospace", fontsize=6.6, color=LIGHT["faint"], va="center", ha="right")


def _draw_array(axis, title, array, letters):
    """Rows are the words where the letters say so, columns all other axes."""
    from matplotlib.colors import LinearSegmentedColormap
    row = letters.index("L") if "L" in letters else 0
    flat = np.moveaxis(array.astype(float), row, 0).reshape(array.shape[row], -1) if array.ndim > 1 else (
        np.atleast_2d(array.astype(float)))
    flat = flat[:: -(-len(flat) // 512), :: -(-flat.shape[1] // 1024)]
    top = np.abs(flat).max(initial=0) or 1
    colours = LIGHT["ramp"] if flat.min(initial=0) >= 0 else [LIGHT[c] for c in ("attention", "paper", "convolution")]
    axis.imshow(flat, aspect="auto", cmap=LinearSegmentedColormap.from_list("map", colours), interpolation="nearest",
                vmin=0 if flat.min(initial=0) >= 0 else -top, vmax=top)
    axis.set(xticks=[], yticks=[])
    axis.set_title(f"{title}  ({', '.join(letters)}) = {array.shape}, up to {top:.4g}", loc="left", fontsize=7.5,
                   color=LIGHT["ink"], parse_math=False)
    for spine in axis.spines.values():
        spine.set_color(LIGHT["rule"])
