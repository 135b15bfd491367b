"""Still pictures, by matplotlib: the same drawings as the page, for print, notebooks and READMEs.

Every function takes `out`, what a model returned, and `tokens`, a label for each position, and returns a figure that a
notebook shows and `save` writes. All but the overview also take `ax`, one of the axes that `plt.subplots` made: they
draw in its place and return the axes that they drew. `row` picks a sentence of a batch. Layers and heads count from 0,
as in the names of parameters. A token is a position or a label. Without `layer`, `head` or `token`, `selection.chosen`
picks those with the most to see.
"""

import functools
import io
import unicodedata
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..files import atomic_path
from .locality import mass_by_offset
from .palette import LIGHT
from .selection import chosen, compared, seen

INCH = 0.078                                           # width of a letter, in inches
BAR = 1                                                # height of the highest bar, in inches
LINE = 118                                             # letters that a line of the sentence has room for, at least
WORDS = ("DejaVu Serif", "DejaVu Sans", "Noto Serif CJK SC", "Noto Sans CJK SC", "Noto Sans CJK JP", "Hiragino Sans",
         "PingFang SC", "Microsoft YaHei", "WenQuanYi Zen Hei", "Noto Naskh Arabic", "Noto Sans Arabic", "Geeza Pro",
         "Noto Emoji", "Segoe UI Emoji", "Symbola", "Arial Unicode MS")


def one_token(out, tokens, layer=None, head=None, token=None, row=0, ax=None):
    """The sentence, and what one token takes from it: attention above the words, the kernel below them."""
    shown = _seen(out, tokens, row)
    layer, head, token = chosen(shown, layer, head, token)
    lines = _lines(shown)
    figure = drawing(_width_of(lines), 0.35 + _height_of(lines, shown, layer, head, token), ax)
    _title(figure, f"What “{_plain(shown.tokens[token])}” takes from its sentence", layer, head)
    _draw_one_token(figure, lines, shown, layer, head, token)
    return _shown(figure, ax)


def kernel_over_words(out, tokens, layer=None, head=None, token=None, row=0, ax=None):
    """The K weights of one token's kernel, each over the word (or the zero) that it multiplies."""
    shown = _seen(out, tokens, row)
    layer, head, token = chosen(shown, layer, head, token)
    figure = drawing(max(4.6, 0.72 * shown.kernels.shape[-1]), 2.8, ax)
    _title(figure, f"The kernel of “{_plain(shown.tokens[token])}”", layer, head)
    _draw_kernel(figure.subplots(), shown, layer, head, token, title="")
    return _shown(figure, ax)


def side_by_side(out, tokens, layer=None, head=None, token=None, row=0, ax=None):
    """Attention map and convolution kernels of one layer and head: the same axes, scale and colours.

    Both have K // 2 more columns on either side of the sentence, for the weights of kernels that fall on zeros. The
    slanted lines mark how far a kernel can reach.
    """
    shown = _seen(out, tokens, row)
    layer, head, token = chosen(shown, layer, head, token)
    width, height = _pair_size(shown)
    figure = drawing(width, height + 0.5, ax)
    _title(figure, "Every word at once", layer, head)
    _draw_pair(figure, shown, layer, head, token)
    return _shown(figure, ax)


def all_heads(out, tokens, row=0, ax=None):
    """Thumbnails of every layer and head: attention on the left, kernels on the right, one scale for all."""
    shown = _seen(out, tokens, row)
    figure = drawing(*_thumbnails_size(shown, 10), ax)
    _draw_thumbnails(figure, shown)
    return _shown(figure, ax)


def profile(out, tokens, layer=None, head=None, row=0, ax=None):
    """The mean weight at each distance for both kinds of heads, with mean distance and entropy."""
    shown = _seen(out, tokens, row)
    layer, head, _ = chosen(shown, layer, head, 0)
    figure = drawing(8, 3.2, ax)
    _title(figure, "How far they look", layer, head)
    _draw_profile(figure.subplots(), shown, layer, head)
    return _shown(figure, ax)


def distances(out, tokens, row=0, ax=None):
    """Mean distance and entropy of every head in every layer: attention and convolution."""
    shown = _seen(out, tokens, row)
    figure = drawing(8, 3, ax)
    _draw_distances(figure.subplots(1, 2), shown)
    return _shown(figure, ax)


def two_contexts(first, second, word=None, layer=None, head=None, ax=None):
    """The same word in two sentences, and its two kernels: they differ because the span around the word differs.

    `first` and `second` are (out, tokens) or, for a sentence of a batch, (out, tokens, row). `word` is a label that
    both sentences have; without it, the longest that they share is drawn. Without `layer` or `head`, the ones where the
    two kernels differ most are drawn.
    """
    first, second = _seen(*first), _seen(*second)
    both = compared(first, second, word, layer, head)
    figure = drawing(max(6, 0.8 * first.kernels.shape[-1]), 4.8, ax)
    _title(figure, f"“{_plain(both.words[0])}” twice: one word, two kernels", both.layer, both.head)
    _draw_two_contexts(figure, first, second, both)
    return _shown(figure, ax)


def overview(out, tokens, layer=None, head=None, token=None, row=0, second=None, word=None):
    """All of these drawings on one sheet.

    `second` is another sentence, (out, tokens) or (out, tokens, row). It adds `word` in two contexts; without `layer`
    or `head`, the ones where the two kernels of the word differ most are drawn.
    """
    shown = _seen(out, tokens, row)
    if second:
        other = _seen(*second)
        both = compared(shown, other, word, layer, head)
        layer, head, token = both.layer, both.head, both.places[0] if token is None else token
    layer, head, token = chosen(shown, layer, head, token)
    width, pair_height = _pair_size(shown)
    lines = _lines(shown, width)
    width = max(width, _width_of(lines))
    thumbnails_width, thumbnails_height = _thumbnails_size(shown, width)
    heights = [_height_of(lines, shown, layer, head, token), pair_height, 3, *([2.9] if second else []),
               thumbnails_height]
    figure = drawing(width, sum(heights) + 0.5)
    _title(figure, f"What “{_plain(shown.tokens[token])}” takes from its sentence", layer, head)
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part in parts:
        part.set_facecolor(LIGHT["paper"])
    _draw_one_token(parts[0], lines, shown, layer, head, token)
    _draw_pair(parts[1], shown, layer, head, token)
    profile_axis, kernel_axis = parts[2].subplots(1, 2, width_ratios=(5, 4))
    _draw_profile(profile_axis, shown, layer, head)
    _draw_kernel(kernel_axis, shown, layer, head, token)
    if second:
        parts[3].suptitle(f"“{_plain(both.words[0])}” twice: one word, two kernels", x=0.01, ha="left", fontsize=12,
                          family=_fonts(), color=LIGHT["ink"])
        _draw_two_contexts(parts[3], shown, other, both, shape=(1, 2))
    left, right = parts[-1].subfigures(1, 2, width_ratios=(thumbnails_width, width - thumbnails_width + 1e-3))
    right.set_facecolor(LIGHT["paper"])
    _draw_thumbnails(left, shown)
    return figure


def matrix(values, rows=(), columns=(), title="", highest=None, ax=None):
    """Any matrix in the colours of the maps.   values (R, C) of at least 0, labels of rows and columns"""
    values = np.asarray(values)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"values must be a matrix (R, C), but their shape is {values.shape}")
    side = min(0.3, 9 / max(values.shape))
    figure = drawing(max(2.2, side * values.shape[1]) + 1.6, max(1.4, side * values.shape[0]) + 1.1, ax)
    if ax is None:
        figure.set_layout_engine("compressed", w_pad=0.1)  # square cells leave room that the labels need
    axis = figure.subplots()
    image = _image(axis, values, highest)
    _label(axis.xaxis, columns)
    _label(axis.yaxis, rows)
    axis.set_title(title, fontsize=10, loc="left", color=LIGHT["ink"])
    _scale(figure, image, axis)
    return _shown(figure, ax)


def save(figure, path):
    """Write a figure as .png, .svg or .pdf, whole or not at all; the same figure gives the same bytes."""
    from matplotlib import rc_context
    path = Path(path)
    kind = path.suffix.lower().lstrip(".")
    dates = {"svg": "Date", "pdf": "CreationDate"}
    if kind not in ("png", *dates):
        raise ValueError(f"a picture must be written as .png, .svg or .pdf, but the path is {path}")
    with atomic_path(path) as temporary, rc_context({"svg.hashsalt": "minconvbert"}):
        figure.savefig(temporary, format=kind, metadata={dates[kind]: None} if kind in dates else None)


# The sentence as text in lines

def _lines(shown, width=0):
    """Lines of words: each word is (position, left, right), in letters. The zeros on either side are words, too."""
    room = max(LINE, (width - 0.3) / INCH)
    lines, at = [[]], 0
    for t in range(-shown.half, len(shown.tokens) + shown.half):
        wide = 2 + max(3, _letters(shown.tokens[t])) if 0 <= t < len(shown.tokens) else 3
        if at + wide > room and lines[-1] and t < len(shown.tokens):     # a line must not have zeros alone
            lines.append([])
            at = 0
        lines[-1].append((t, at, at + wide))
        at += wide
    return lines


def _letters(token):
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in token)


def _width_of(lines):
    return max(5.5, INCH * max(line[-1][2] for line in lines) + 0.3)


def _room(lines, shown, layer, head, token):
    """-> the weights of the longest bars of each line, up and down; the gap for the words; the highest weight"""
    half = shown.half
    attention, band = shown.maps[layer, head, token], shown.bands[layer, head, token]
    highest = max(attention.max(), band.max())
    room = [[max(0.16 * highest, *(weights.get(t, 0) for t, _, _ in line)) for weights in (
        dict(enumerate(attention)), dict(enumerate(band, -half)))] for line in lines]
    return np.array(room), 0.14 * highest, highest


def _height_of(lines, shown, layer, head, token):
    room, gap, highest = _room(lines, shown, layer, head, token)
    return 0.35 + BAR * ((room.sum() + 2 * gap * len(lines)) / highest) + 0.3 * len(lines)


def _draw_one_token(figure, lines, shown, layer, head, token):
    L, half = len(shown.tokens), shown.half
    attention, band = shown.maps[layer, head, token], shown.bands[layer, head, token]
    room, gap, highest = _room(lines, shown, layer, head, token)
    digits = 0.15 / BAR * highest
    axes = figure.subplots(len(lines), 1, squeeze=False, height_ratios=room.sum(1) + 2 * (gap + digits))[:, 0]
    end = max(line[-1][2] for line in lines)
    for axis, line, (up, down) in zip(axes, lines, room):
        span = [(left, right) for t, left, right in line if abs(t - token) <= half]
        if span:
            axis.plot([span[0][0], span[-1][1]], [-gap] * 2, color=LIGHT["convolution"], linewidth=1, alpha=0.6)
        for t, left, right in line:
            x, inside = (left + right) / 2, 0 <= t < L
            axis.text(x, 0, _plain(shown.tokens[t]) if inside else "0", ha="center", va="center", family=_fonts(),
                      fontsize=9.5 if inside else 8, color=_ink(t == token, inside),
                      bbox=dict(boxstyle="round,pad=0.25", facecolor=LIGHT["ink"], linewidth=0) if t == token else None)
            if inside:
                _bar(axis, x, gap, attention[t], highest, LIGHT["attention"])
            _bar(axis, x, -gap, -band[t + half], highest, LIGHT["convolution"], hatched=not inside)
        axis.set_xlim(0, end)
        axis.set_ylim(-down - gap - digits, up + gap + digits)
        axis.axis("off")
    figure.supxlabel(f"above the words: attention; below them: the {2 * half + 1} weights of the kernel; 0: a zero"
                     " beyond the sentence", x=0.01, ha="left", fontsize=8, color=LIGHT["faint"])


def _ink(here, inside):
    return LIGHT["paper"] if here else LIGHT["ink"] if inside else LIGHT["faint"]


def _bar(axis, x, bottom, height, highest, colour, hatched=False):
    style = dict(facecolor="none", edgecolor=colour, hatch="//////", linewidth=0) if hatched else dict(color=colour)
    axis.bar(x, height, 2.6, bottom=bottom, **style)
    if abs(height) >= 0.05 * highest:
        axis.annotate(f"{abs(height):.2f}".lstrip("0"), (x, bottom + height), (0, 2 if height > 0 else -2),
                      textcoords="offset points", ha="center", va="bottom" if height > 0 else "top", fontsize=6.5,
                      color=LIGHT["faint"])


# One kernel and two kernels

def _draw_kernel(axis, shown, layer, head, token, title=None, colour=LIGHT["convolution"]):
    half, L = shown.half, len(shown.tokens)
    kernel = shown.kernels[layer, head, token]
    highest = max(kernel.max(), 1e-6)
    words = []
    for o, weight in zip(range(-half, half + 1), kernel):
        inside = 0 <= token + o < L
        words.append(f"{_plain(shown.tokens[token + o]) if inside else '0'}\n{_signed(o)}")
        style = dict(color=LIGHT["convolution"]) if inside else dict(
            facecolor="none", edgecolor=LIGHT["convolution"], hatch="////", linewidth=0.6)
        axis.bar(o, weight, 0.72, **style)
        if weight >= 0.02 * highest:
            axis.annotate(f"{weight:.2f}".lstrip("0"), (o, weight), (0, 2), textcoords="offset points", ha="center",
                          fontsize=7, color=LIGHT["faint"])
    axis.set_xticks(range(-half, half + 1), words, fontsize=8, family=_fonts(), color=LIGHT["ink"])
    axis.get_xticklabels()[half].set_weight("bold")
    axis.tick_params(length=0)
    axis.set(yticks=[], ylim=(0, 1.14 * highest), xlim=(-half - 0.6, half + 0.6))
    lost = shown.lost[layer, head, token]
    title = f"kernel of “{_plain(shown.tokens[token])}”" if title is None else title
    if lost >= 0.005:
        title = f"{title}   {lost:.0%} falls on zeros".lstrip()
    axis.set_title(title, fontsize=9, loc="left", color=colour, family=_fonts())
    _bare(axis)


def _draw_two_contexts(figure, first, second, both, shape=(2, 1)):
    layer, head = both.layer, both.head
    highest = max(s.kernels[layer, head, place].max() for s, place in zip((first, second), both.places))
    for axis, shown, place in zip(figure.subplots(*shape), (first, second), both.places):
        begin, end = max(0, place - 6), min(len(shown.tokens), place + 7)
        snippet = [_plain(t) for t in shown.tokens[begin:end]]
        if begin > 0:
            snippet = ["…", *snippet]
        if end < len(shown.tokens):
            snippet = [*snippet, "…"]
        _draw_kernel(axis, shown, layer, head, place, " ".join(snippet), LIGHT["ink"])
        axis.set_ylim(0, 1.14 * highest)


# Maps

def _pair_size(shown):
    L, columns = len(shown.tokens), len(shown.tokens) + 2 * shown.half
    side = min(0.21, 8 / columns)
    words = 0.068 * max(_letters(t) for t in shown.tokens)
    return max(5.2, 2 * columns * side + words + 1.5), L * side + words + 0.75


def _draw_pair(figure, shown, layer, head, token):
    L, half = len(shown.tokens), shown.half
    attention = np.zeros_like(shown.bands[layer, head])
    attention[:, half : half + L] = shown.maps[layer, head]
    kernels = shown.bands[layer, head]
    highest = max(attention.max(), kernels.max())
    lost = shown.lost[layer, head].mean()
    axes = figure.subplots(1, 2)
    for axis, weights, kind, note in ((axes[0], attention, "attention", ""),
                                      (axes[1], kernels, "convolution", f"   {lost:.1%} falls on zeros")):
        image = _image(axis, weights, highest, extent=(-half - 0.5, L + half - 0.5, L - 0.5, -0.5))
        axis.set_autoscale_on(False)
        for edge in (-half - 0.5, L - 0.5):
            axis.axvspan(edge, edge + half, facecolor="none", edgecolor=LIGHT["rule"], hatch="//////", linewidth=0)
        for edge in (-0.5, L - 0.5):
            axis.axvline(edge, color=LIGHT["faint"], linewidth=0.7)
        for left in (-half - 1.5, half + 0.5):
            axis.plot((left, left + L), (-0.5, L - 0.5), color=LIGHT["faint"], linewidth=0.7, linestyle=(0, (4, 4)),
                      alpha=0.6)
        axis.axhspan(token - 0.5, token + 0.5, facecolor="none", edgecolor=LIGHT[kind], linewidth=1.3)
        axis.set_title(kind + note, color=LIGHT[kind], fontsize=10, loc="left")
        _label(axis.xaxis, shown.tokens, token)
        _label(axis.yaxis, shown.tokens, token)
    axes[1].tick_params(labelleft=False)
    _scale(figure, image, list(axes))


def _thumbnails_size(shown, width):
    layers, heads, L, _ = shown.maps.shape
    width = min(width, 0.6 + 3.8 * heads)
    side = (width - 0.6) / (2 * heads + 0.4 * (heads - 1))
    return width, layers * (side * L / (L + 2 * shown.half) + 0.12) + 0.75


def _draw_thumbnails(figure, shown):
    layers, heads, L, _ = shown.maps.shape
    gaps = [1 if i % 3 < 2 else 0.12 for i in range(3 * heads - 1)]
    axes = figure.subplots(layers, 3 * heads - 1, squeeze=False, width_ratios=gaps)
    highest = max(shown.maps.max(), shown.bands.max())
    attention = np.zeros_like(shown.bands)
    attention[..., shown.half : shown.half + L] = shown.maps
    for layer in range(layers):
        for axis in axes[layer, 2::3]:
            axis.axis("off")
        for head in range(heads):
            for kind, weights, axis in (("attention", attention, axes[layer, 3 * head]),
                                        ("convolution", shown.bands, axes[layer, 3 * head + 1])):
                _image(axis, weights[layer, head], highest)
                axis.set(xticks=[], yticks=[])
                if layer == 0:
                    axis.set_title(f"{kind} {head}" if heads < 5 else f"{kind[:4]}. {head}", fontsize=8, loc="left",
                                   color=LIGHT[kind])
        axes[layer, 0].set_ylabel(f"layer {layer}", fontsize=8, color=LIGHT["faint"])


# Measures

def _draw_profile(axis, shown, layer, head):
    half = shown.half
    offsets, mass = mass_by_offset(shown.maps[layer, head][None, None])
    kernel = shown.kernels[layer, head].mean(0)
    axis.bar(offsets, mass[0], 0.84, color=LIGHT["attention"])
    axis.bar(np.arange(-half, half + 1), -kernel, 0.84, color=LIGHT["convolution"])
    axis.axhline(0, color=LIGHT["ink"], linewidth=0.8)
    reach = max(len(shown.tokens) - 1, half)
    axis.set(xlim=(-reach - 0.6, reach + 0.6), ylim=(-1.1 * kernel.max(), 1.1 * mass.max()), yticks=[])
    ticks = sorted({-reach, -half, 0, half, reach})
    axis.set_xticks(ticks, [_signed(o) for o in ticks])
    axis.tick_params(labelsize=8, color=LIGHT["rule"])
    axis.set_xlabel("words to the left (−) and right (+), mean weight", fontsize=8, color=LIGHT["faint"])
    means = {name: values[layer, head].mean() for name, values in shown.measures().items()}
    axis.set_title(f"attention: {means['distance of attention']:.1f} words away, {means['entropy of attention']:.1f}"
                   f" bits, {means['attention within reach']:.0%} within ±{half}", fontsize=9, loc="left",
                   color=LIGHT["attention"], pad=18)
    axis.annotate(f"convolution: {means['distance of convolution']:.1f} words away,"
                  f" {means['entropy of convolution']:.1f} bits", (0, 1), (0, 4), xycoords="axes fraction",
                  textcoords="offset points", fontsize=9, color=LIGHT["convolution"])
    _bare(axis)
    axis.spines["bottom"].set_visible(False)


def _draw_distances(axes, shown):
    layers = shown.maps.shape[0]
    means = {name: values.mean(-1) for name, values in shown.measures().items()}
    for axis, (measure, title) in zip(axes, (("distance", "mean distance, words"), ("entropy", "entropy, bits"))):
        for kind, marker in (("attention", "o"), ("convolution", "s")):
            points = means[f"{measure} of {kind}"]
            axis.plot(points.mean(1), color=LIGHT[kind], linewidth=1.4)
            axis.plot(points, marker, color=LIGHT[kind], markersize=5, alpha=0.75)
            axis.annotate(kind, (layers - 1, points.mean(1)[-1]), (9, 0), textcoords="offset points", va="center",
                          fontsize=9, color=LIGHT[kind])
        axis.set_xticks(range(layers))
        axis.tick_params(labelsize=8, color=LIGHT["rule"])
        axis.set_xlabel("layer", fontsize=9)
        axis.set_title(title, fontsize=10, loc="left", color=LIGHT["ink"])
        axis.set_ylim(0)
        _bare(axis)
        axis.spines["left"].set_visible(True)


# What all drawings share

def drawing(width, height, ax=None):
    """An empty figure of this size in inches, which a notebook shows; with `ax`, a subfigure in the place of `ax`."""
    if ax is not None:
        return _in_place_of(ax)
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        if error.name.split(".")[0] != "matplotlib":
            raise
        raise ModuleNotFoundError('pictures need matplotlib: pip install "minconvbert[plot]"; the page, view.page,'
                                  " needs nothing", name="matplotlib") from None

    class Drawing(Figure):                             # need not be closed, because pyplot does not know it
        def _repr_png_(self):
            data = io.BytesIO()
            self.savefig(data, format="png")
            return data.getvalue()

        def draw(self, renderer):
            with warnings.catch_warnings():            # `_seen` has said it once, for all letters
                warnings.filterwarnings("ignore", "Glyph .* missing from font")
                super().draw(renderer)

    figure = Drawing(figsize=(width, height), dpi=120, layout="constrained", facecolor=LIGHT["paper"])
    FigureCanvasAgg(figure)
    return figure


def _in_place_of(ax):
    place = getattr(ax, "get_subplotspec", lambda: None)()
    if place is None:
        raise ValueError(f"ax must be axes that plt.subplots made, but is {ax!r:.100}")
    figure = ax.get_figure()
    ax.remove()
    return figure.add_subfigure(place, facecolor=LIGHT["paper"])


def _shown(figure, ax):
    """What a drawing returns: its figure or, if it took the place of `ax`, its axes."""
    return figure if ax is None else [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]


def _title(figure, text, layer, head):
    figure.suptitle(f"{text}   ·   layer {layer}, head {head}", x=0.01, ha="left", fontsize=12, family=_fonts(),
                    color=LIGHT["ink"])


def _image(axis, values, highest=None, **options):
    from matplotlib.colors import LinearSegmentedColormap
    ramp = LinearSegmentedColormap.from_list("minconvbert", LIGHT["ramp"])
    for side in axis.spines.values():
        side.set_color(LIGHT["rule"])
    return axis.imshow(values, cmap=ramp, vmin=0, vmax=highest, aspect="equal", interpolation="nearest", **options)


def _scale(figure, image, axes):
    bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=24, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7, color=LIGHT["rule"], labelcolor=LIGHT["faint"])


def _label(axis, labels, bold=None):
    """A label for each row or column; if there are more than 64, only for every second, fourth, ... of them."""
    step = 1
    while len(labels) / step > 64:
        step *= 2
    axis.set_ticks(range(0, len(labels), step), [_plain(t) for t in labels[::step]], fontsize=7.5, family=_fonts())
    axis.set_tick_params(length=0, labelrotation=90 if axis.axis_name == "x" else 0, labelcolor=LIGHT["ink"])
    if bold is not None and bold % step == 0:
        axis.get_ticklabels()[bold // step].set_weight("bold")


def _bare(axis):
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.set_facecolor(LIGHT["paper"])


def _seen(out, tokens, row=0):
    """Like `seen`, with one warning that names all letters that no font of this machine can draw."""
    shown = seen(out, tokens, row)
    strange = {letter for token in shown.tokens for letter in token if letter > "~" and letter.isprintable()}
    if strange and find_spec("matplotlib") and (missing := sorted(strange - _drawable())):
        some = " ".join(missing[:20]) + (" ..." if len(missing) > 20 else "")
        warnings.warn(f"no font of this machine has {some}, so the picture shows boxes; install a font that has them,"
                      " such as Noto, or use view.page, which takes the fonts of the browser", stacklevel=3)
    return shown


@functools.cache
def _drawable():
    """The letters that the fonts for words can draw."""
    from matplotlib.font_manager import fontManager, get_font
    return {chr(code) for font in fontManager.ttflist if font.name in WORDS
            for code in get_font(font.fname).get_charmap()}


def _fonts():
    """The fonts for words that this machine has. Each letter is drawn in the first font that has it."""
    from matplotlib.font_manager import fontManager
    have = {font.name for font in fontManager.ttflist}
    return [name for name in WORDS if name in have]


def _signed(offset):
    return f"{offset:+d}".replace("-", "−") if offset else "0"


def _plain(token):
    """A token, written so that matplotlib does not take it for mathematics."""
    return token.replace("$", r"\$")
