"""A still picture of one step: the source with its line lit, the arrays that it made, and one number by hand."""

import io
import re
import textwrap

import numpy as np

from ..view.palette import LIGHT

# Inches: the picture, its margin, the columns of source and arrays, a line of source, a row of an array and its title
WIDTH, MARGIN, LEFT, RIGHT, LINE, ROW, TITLE = 11, 0.15, 5.6, 4.6, 0.165, 0.2, 0.3
MOST_LINES, MOST_ARRAYS, TALLEST, WRITTEN = 26, 4, 1.7, 90
ROOM, WRAP = 88, 150                                   # characters of a line of source, and of the formula


def still(recording, number, tokens=()):
    """A PNG of step `number`, as bytes.   Raises ModuleNotFoundError without matplotlib"""
    from matplotlib.figure import Figure
    step, call = recording[number], recording.calls[recording[number].call]
    first, lines = _window(call, step)
    shown = [(title, _flat(array, letters), letters, array.shape) for title, array, letters in _shown(recording, step)]
    heights = [min(TALLEST, ROW * len(flat)) for _, flat, _, _ in shown]
    formula = by_hand_text(step)
    below = (formula.count("\n") + 1) * LINE + MARGIN
    height = max(len(lines) * LINE, sum(heights) + TITLE * (len(shown) - 1)) + TITLE + below + MARGIN
    figure = Figure(figsize=(WIDTH, height), facecolor=LIGHT["paper"], dpi=110)

    def place(left, top, wide, tall):
        return figure.add_axes((left / WIDTH, 1 - (top + tall) / height, wide / WIDTH, tall / height))

    _draw_source(place(MARGIN, TITLE, LEFT, len(lines) * LINE), call, step, first, lines)
    top = TITLE
    for (title, flat, letters, shape), tall in zip(shown, heights):
        names = tokens if letters.count("L") and len(flat) == len(tokens) else ()
        _draw_array(place(WIDTH - MARGIN - RIGHT, top, RIGHT, tall), title, flat, letters, shape, names)
        top += tall + TITLE
    figure.text(MARGIN / WIDTH, MARGIN / height, formula, family="monospace", fontsize=7.5, color=LIGHT["ink"])
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
        return textwrap.fill(f"{name}{index} = {entry.told(numbers=True)} = {float(part[at]):.4g}", WRAP,
                             subsequent_indent="    ")
    return ""


def _window(call, step):
    """The number of the first line, and the lines around a step: all of a short function."""
    start = min(step.line - call.first - MOST_LINES // 2, len(call.source) - MOST_LINES)
    start = max(0, start)
    return call.first + start, call.source[start : start + MOST_LINES]


def _shown(recording, step):
    """(title, array, letters) of what the line made, each with its gradient if there is one."""
    partner, found = recording.calls[step.call].partner, []
    for name, array in step.writes.items():
        letters = step.letters.get(name, ())
        found.append((name, array, letters))
        slopes = [recording[number].writes[f"d{name}"] for number in (
            recording.calls[partner].steps if partner is not None else ()) if f"d{name}" in recording[number].writes]
        found += [(f"d{name}", slope, letters) for slope in slopes[-1:] if slope.shape == array.shape]
    return [entry for entry in found if entry[1].size][:MOST_ARRAYS]


def _flat(array, letters):
    """Rows are the words if the letters say so, and columns all other axes; a large array is sampled."""
    row = letters.index("L") if "L" in letters else 0
    flat = np.atleast_2d(array.astype(float))
    if array.ndim > 1:
        flat = np.moveaxis(array.astype(float), row, 0).reshape(array.shape[row], -1)
    return flat[:: -(-len(flat) // 512), :: -(-flat.shape[1] // 1024)]


def _draw_source(axis, call, step, first, lines):
    axis.set(xlim=(0, 1), ylim=(len(lines) - 0.5, -0.5))
    axis.axis("off")
    axis.set_title(f"{call.function}, line {step.line}", loc="left", fontsize=9, color=LIGHT["ink"])
    for i, text in enumerate(lines):
        if step.line <= first + i <= step.end:
            axis.axhspan(i - 0.5, i + 0.5, color=LIGHT["convolution"], alpha=0.18, linewidth=0)
        text = re.sub(r" {2,}#.*", "", text) if len(text) > ROOM else text
        text = text if len(text) <= ROOM else text[: ROOM - 2] + " …"
        style = dict(family="monospace", fontsize=6.6, va="center")
        axis.text(0.045, i, text, color=LIGHT["ink"], parse_math=False, **style)
        axis.text(0.033, i, first + i, color=LIGHT["faint"], ha="right", **style)


def _draw_array(axis, title, flat, letters, shape, names):
    from matplotlib.colors import LinearSegmentedColormap
    low, top = flat.min(), np.abs(flat).max() or 1
    colours = LIGHT["ramp"] if low >= 0 else [LIGHT[name] for name in ("attention", "paper", "convolution")]
    axis.imshow(flat, aspect="auto", cmap=LinearSegmentedColormap.from_list("map", colours), interpolation="nearest",
                vmin=min(0, -top if low < 0 else 0), vmax=top)
    axis.set_xticks([])
    axis.set_yticks(range(len(names)), names, fontsize=6.5, color=LIGHT["faint"])
    axis.tick_params(length=0)
    told = f"({', '.join(letters)}) = " if any(not letter.isdigit() for letter in letters) else ""
    axis.set_title(f"{title}  {told}{shape}, up to {top:.4g}", loc="left", fontsize=7.5, color=LIGHT["ink"], pad=3)
    for spine in axis.spines.values():
        spine.set_color(LIGHT["rule"])
    if flat.size <= WRITTEN and flat.shape[1] <= 12:
        for (r, c), x in np.ndenumerate(flat):
            dark = abs(x) > 0.55 * top
            axis.text(c, r, f"{x:.4g}", ha="center", va="center", fontsize=6.5, color=LIGHT["paper" if dark else "ink"])
