"""Still pictures, by matplotlib: the same drawings as the page, for print, notebooks and READMEs.

Every function takes `out`, what a model returned, and `tokens`, a label for each position, and returns a figure that a
notebook shows and `figure.savefig` writes. `row` picks a sentence of a batch. Layers and heads count from 0, as in the
names of parameters. Without `layer`, `head` or `token` the most telling are drawn: see `selection.chosen`.
"""

import io

import numpy as np

from ..locality import entropy, local_mass, mass_by_offset, mean_distance
from .palette import LIGHT
from .selection import chosen, seen, shared_token

FONT = 9


def one_token(out, tokens, layer=None, head=None, token=None, row=0):
    """The sentence, and what one token takes of it: attention rises above the words, its kernel hangs below them."""
    shown = seen(out, tokens, row)
    layer, head, token = chosen(shown, layer, head, token)
    figure = _figure(max(4.5, 1.2 + 0.36 * (len(tokens) + 2 * shown.half)), 3.2)
    _draw_one_token(figure.subplots(), shown, layer, head, token)
    figure.suptitle(f"What “{shown.tokens[token]}” takes from its sentence   ·   layer {layer}, head {head}")
    return figure


def kernel_over_words(out, tokens, layer=None, head=None, token=None, row=0):
    """The K weights of one token's kernel, each over the word (or the zero) that it multiplies."""
    shown = seen(out, tokens, row)
    layer, head, token = chosen(shown, layer, head, token)
    figure = _figure(max(4.2, 0.62 * shown.kernels.shape[-1]), 2.6)
    _draw_kernel(figure.subplots(), shown, layer, head, token)
    figure.suptitle(f"The kernel of “{shown.tokens[token]}”   ·   layer {layer}, head {head}")
    return figure


def side_by_side(out, tokens, layer=None, head=None, token=None, row=0):
    """Attention map and convolution kernels of one layer and head: the same axes, scale and colours.

    Both reach K // 2 columns beyond the sentence: what the kernels put there falls on zeros.
    """
    shown = seen(out, tokens, row)
    layer, head, token = chosen(shown, layer, head, token)
    side = min(9, max(2.6, 0.19 * (len(tokens) + 2 * shown.half)))
    figure = _figure(2 * side + 1.6, side + 1.3)
    _draw_pair(figure, figure.subplots(1, 2), shown, layer, head, token)
    figure.suptitle(f"Layer {layer}, head {head}")
    return figure


def all_heads(out, tokens, row=0):
    """Thumbnails of every layer and head: attention on the left, kernels on the right, one scale for all."""
    shown = seen(out, tokens, row)
    layers, heads = shown.maps.shape[:2]
    size = min(1.5, 16 / (2 * heads))
    figure = _figure(2 * heads * size + 0.8, layers * size + 0.9)
    _draw_thumbnails(figure, shown)
    return figure


def profile(out, tokens, layer=None, head=None, row=0):
    """The mean weight at each distance of both kinds of heads, with mean distance and entropy."""
    shown = seen(out, tokens, row)
    layer, head, _ = chosen(shown, layer, head, 0)
    figure = _figure(6.4, 3)
    _draw_profile(figure.subplots(), shown, layer, head)
    figure.suptitle(f"Where the weight lies   ·   layer {layer}, head {head}")
    return figure


def distances(out, tokens, row=0):
    """Mean distance and entropy of every head in every layer: attention and convolution."""
    shown = seen(out, tokens, row)
    figure = _figure(7.2, 3)
    _draw_distances(figure.subplots(1, 2), shown)
    return figure


def two_contexts(out, tokens, second_out, second_tokens, word=None, layer=None, head=None, row=0, second_row=0):
    """The same word in two sentences, and its two kernels: they differ, for the span around the word does.

    `word` is a label that both sentences have; without it, the longest that they share.
    """
    first, second = seen(out, tokens, row), seen(second_out, second_tokens, second_row)
    places = shared_token(first, second, word)
    layer, head = _most_changed(first, second, places, layer, head)
    figure = _figure(max(5, 0.8 * first.kernels.shape[-1]), 4.4)
    _draw_two_contexts(figure.subplots(2, 1, sharey=True), first, second, places, layer, head)
    figure.suptitle(f"“{first.tokens[places[0]]}” twice: one word, two kernels   ·   layer {layer}, head {head}")
    return figure


def overview(out, tokens, layer=None, head=None, token=None, row=0, second=None, word=None):
    """All of it on one sheet. `second` = (out, tokens) of another sentence adds the same word in two contexts."""
    shown = seen(out, tokens, row)
    layer, head, token = chosen(shown, layer, head, token)
    layers, heads = shown.maps.shape[:2]
    side = min(9, max(3.4, 0.19 * (len(tokens) + 2 * shown.half)))
    width = 2 * side + 1.8
    heights = [2.7, side + 0.9, 2.7] + ([4.2] if second else []) + [layers * min(1.5, width / (2 * heads)) + 0.6]
    figure = _figure(width, sum(heights) + 0.5)
    parts = figure.subfigures(len(heights), 1, height_ratios=heights)
    for part in parts:
        part.set_facecolor(LIGHT["paper"])
    _draw_one_token(parts[0].subplots(), shown, layer, head, token)
    parts[0].suptitle(f"What “{shown.tokens[token]}” takes from its sentence", x=0.01, ha="left")
    _draw_pair(parts[1], parts[1].subplots(1, 2), shown, layer, head, token)
    axes = parts[2].subplots(1, 2)
    _draw_profile(axes[0], shown, layer, head)
    _draw_kernel(axes[1], shown, layer, head, token)
    if second:
        other = seen(*second)
        places = shared_token(shown, other, word)
        _draw_two_contexts(parts[3].subplots(2, 1, sharey=True), shown, other, places, layer, head)
        parts[3].suptitle(f"“{shown.tokens[places[0]]}” twice: one word, two kernels", x=0.01, ha="left")
    _draw_thumbnails(parts[-1], shown)
    figure.suptitle(f"Layer {layer}, head {head}", x=0.01, ha="left", weight="bold")
    return figure


def matrix(values, rows=(), columns=(), title="", highest=None):
    """Any matrix in the colours of the maps.   values (R, C), labels of rows and columns"""
    values = np.asarray(values)
    figure = _figure(max(2.4, 0.24 * values.shape[1]) + 1.4, max(1.8, 0.24 * values.shape[0]) + 0.9)
    axis = figure.subplots()
    image = _image(axis, values, highest)
    _label(axis.xaxis, columns)
    _label(axis.yaxis, rows)
    axis.set_title(title)
    figure.colorbar(image, ax=axis, shrink=0.8).outline.set_visible(False)
    return figure


def _draw_one_token(axis, shown, layer, head, token):
    L, half = len(shown.tokens), shown.half
    attention, kernel = shown.maps[layer, head, token], shown.kernels[layer, head, token]
    taps = np.arange(token - half, token + half + 1)
    inside = (0 <= taps) & (taps < L)
    highest = max(attention.max(), kernel.max(), 1e-12)
    gap = 0.16 * highest
    axis.bar(np.arange(L), attention, 0.72, bottom=gap, color=LIGHT["attention"])
    axis.bar(taps[inside], -kernel[inside], 0.72, bottom=-gap, color=LIGHT["convolution"])
    axis.bar(taps[~inside], -kernel[~inside], 0.72, bottom=-gap, color=LIGHT["outside"],
             edgecolor=LIGHT["convolution"], hatch="////", linewidth=0.8)
    first, last = min(0, taps[0]), max(L - 1, taps[-1])
    for t in range(first, last + 1):
        here = t == token
        axis.text(t, 0, _plain(shown.tokens[t]) if 0 <= t < L else "0", ha="center", va="center",
                  rotation=0 if L < 10 else 30, rotation_mode="anchor" if L < 10 else "default",
                  fontsize=FONT if L < 40 else 6, color=LIGHT["ink"] if 0 <= t < L else LIGHT["faint"],
                  weight="bold" if here else "normal")
    axis.set_xlim(first - 0.6, last + 0.6)
    axis.set_ylim(-1.12 * (highest + gap), 1.12 * (highest + gap))
    axis.text(0, 1, "attention: looks everywhere", transform=axis.transAxes, color=LIGHT["attention"], va="top")
    axis.text(0, 0, f"convolution: {2 * half + 1} taps around the word", transform=axis.transAxes,
              color=LIGHT["convolution"], va="bottom")
    _number(axis, np.arange(L), attention, gap, 1, highest)
    _number(axis, taps, kernel, gap, -1, highest)
    axis.axis("off")


def _number(axis, places, weights, gap, sign, highest):
    """Write the value at the end of every bar that is long enough to matter."""
    for t, weight in zip(places, weights):
        if weight >= 0.12 * highest:
            axis.text(t, sign * (gap + weight + 0.03 * highest), f"{weight:.2f}".lstrip("0"), ha="center",
                      va="bottom" if sign > 0 else "top", fontsize=7, color=LIGHT["faint"])


def _draw_kernel(axis, shown, layer, head, token):
    half, L = shown.half, len(shown.tokens)
    kernel = shown.kernels[layer, head, token]
    words = [_plain(shown.tokens[t]) if 0 <= t < L else "0" for t in range(token - half, token + half + 1)]
    bars = axis.bar(range(-half, half + 1), kernel, 0.8, color=LIGHT["convolution"])
    for bar, t in zip(bars, range(token - half, token + half + 1)):
        if not 0 <= t < L:
            bar.set(facecolor=LIGHT["outside"], edgecolor=LIGHT["convolution"], hatch="////")
    axis.set_xticks(range(-half, half + 1), [f"{word}\n{o:+d}" if o else f"{word}\n0" for o, word in
                                             zip(range(-half, half + 1), words)])
    axis.get_xticklabels()[half].set_weight("bold")
    lost = shown.lost[layer, head, token]
    axis.set_title("kernel over its words" + (f"; {lost:.0%} falls on zeros" if lost > 0 else ""))
    _bare(axis)


def _draw_pair(figure, axes, shown, layer, head, token):
    L, half = len(shown.tokens), shown.half
    attention = np.zeros_like(shown.bands[layer, head])
    attention[:, half : half + L] = shown.maps[layer, head]
    highest = max(attention.max(), shown.bands[layer, head].max())
    lost = shown.lost[layer, head].mean()
    for axis, weights, title, colour in (
            (axes[0], attention, "attention", LIGHT["attention"]),
            (axes[1], shown.bands[layer, head], f"convolution: {lost:.1%} falls on zeros", LIGHT["convolution"])):
        image = _image(axis, weights, highest, extent=(-half - 0.5, L + half - 0.5, L - 0.5, -0.5))
        for edge in (-half - 0.5, L - 0.5):
            axis.axvspan(edge, edge + half, facecolor="none", edgecolor=LIGHT["rule"], hatch="////", linewidth=0)
        axis.axvline(-0.5, color=LIGHT["faint"], linewidth=0.8)
        axis.axvline(L - 0.5, color=LIGHT["faint"], linewidth=0.8)
        axis.axhspan(token - 0.5, token + 0.5, facecolor="none", edgecolor=colour, linewidth=1.4)
        axis.set_title(title, color=colour)
        _label(axis.xaxis, shown.tokens, token)
        _label(axis.yaxis, shown.tokens, token)
        axis.set_xlabel("looked at")
    axes[0].set_ylabel("token that looks")
    axes[1].tick_params(labelleft=False)
    bar = figure.colorbar(image, ax=list(axes), shrink=0.7, aspect=30, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label("weight")


def _draw_profile(axis, shown, layer, head):
    L, half = len(shown.tokens), shown.half
    maps, kernels = shown.maps[layer, head][None, None], shown.kernels[layer, head]
    offsets, mass = mass_by_offset(maps)
    axis.bar(offsets, mass[0], 0.9, color=LIGHT["attention"], alpha=0.85)
    axis.bar(np.arange(-half, half + 1), -kernels.mean(0), 0.9, color=LIGHT["convolution"], alpha=0.85)
    axis.axhline(0, color=LIGHT["ink"], linewidth=0.8)
    bound = 1.15 * max(mass.max(), kernels.mean(0).max())
    axis.set_ylim(-bound, bound)
    axis.set_yticks([])
    axis.set_xlabel("tokens to the left (−) and right (+)")
    reach = np.abs(np.arange(-half, half + 1))
    for y, va, colour, name, far, bits in (
            (0.98, "top", "attention", "attention", mean_distance(maps).mean(), entropy(maps).mean()),
            (0.02, "bottom", "convolution", "convolution", (kernels * reach).sum(-1).mean(), entropy(kernels).mean())):
        axis.text(0.01, y, f"{name}\nmean distance {far:.1f}\nentropy {bits:.1f} bits", transform=axis.transAxes, va=va,
                  fontsize=8, color=LIGHT[colour])
    axis.text(0.99, 0.98, f"{local_mass(maps, half).mean():.0%} within {half} tokens", transform=axis.transAxes,
              va="top", ha="right", fontsize=8, color=LIGHT["attention"])
    _bare(axis, left=False)


def _draw_distances(axes, shown):
    layers, heads, L, K = shown.kernels.shape
    reach = np.abs(np.arange(K) - K // 2)
    values = (("mean distance, tokens", mean_distance(shown.maps).mean(-1), (shown.kernels * reach).sum(-1).mean(-1)),
              ("entropy, bits", entropy(shown.maps).mean(-1), entropy(shown.kernels).mean(-1)))
    for axis, (title, attention, convolution) in zip(axes, values):
        for kind, points, marker in (("attention", attention, "o"), ("convolution", convolution, "s")):
            axis.plot(points.mean(1), color=LIGHT[kind], linewidth=1.2)
            axis.plot(points, marker, color=LIGHT[kind], markersize=5, alpha=0.8)
            axis.text(layers - 0.9, points.mean(1)[-1], kind, color=LIGHT[kind], va="center")
        axis.set_xticks(range(layers))
        axis.set_ylim(0)
        axis.set_xlabel("layer")
        axis.set_title(title)
        _bare(axis)


def _draw_thumbnails(figure, shown):
    layers, heads, L, _ = shown.maps.shape
    axes = figure.subplots(layers, 2 * heads, squeeze=False)
    highest = max(shown.maps.max(), shown.bands.max())
    inside = slice(shown.half, shown.half + L)
    for layer in range(layers):
        for head in range(heads):
            for kind, weights, axis in (("attention", shown.maps, axes[layer, head]),
                                        ("convolution", shown.bands[..., inside], axes[layer, heads + head])):
                _image(axis, weights[layer, head], highest)
                axis.set(xticks=[], yticks=[])
                if layer == 0:
                    axis.set_title(f"{kind} {head}", fontsize=8, color=LIGHT[kind])
        axes[layer, 0].set_ylabel(f"layer {layer}", fontsize=8)


def _draw_two_contexts(axes, first, second, places, layer, head):
    for axis, shown, place in zip(axes, (first, second), places):
        _draw_kernel(axis, shown, layer, head, place)
        axis.set_title("… " * (place > 6) + " ".join(_plain(t) for t in shown.tokens[max(0, place - 6) : place + 7])
                       + " …" * (place + 7 < len(shown.tokens)), fontsize=8, loc="left", color=LIGHT["faint"])


def _most_changed(first, second, places, layer, head):
    """The layer and head given, or else those whose two kernels of the word differ most."""
    change = np.abs(first.kernels[:, :, places[0]] - second.kernels[:, :, places[1]]).sum(-1)
    if layer is None:
        layer = int((change.max(1) if head is None else change[:, head]).argmax())
    return layer, int(change[layer].argmax()) if head is None else head


def _figure(width, height):
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        if error.name.split(".")[0] != "matplotlib":
            raise
        raise ModuleNotFoundError('still pictures need matplotlib: pip install "minconvbert[notebooks]"; the page'
                                  " (view.html) needs nothing") from None

    class Drawing(Figure):
        """A figure that a notebook shows without being asked, and that is closed by being forgotten."""

        def _repr_png_(self):
            data = io.BytesIO()
            self.savefig(data, format="png")
            return data.getvalue()

    figure = Drawing(figsize=(width, height), dpi=120, layout="constrained", facecolor=LIGHT["paper"])
    FigureCanvasAgg(figure)
    return figure


def _image(axis, values, highest=None, **options):
    from matplotlib.colors import LinearSegmentedColormap
    axis.set_facecolor(LIGHT["paper"])
    ramp = LinearSegmentedColormap.from_list("minconvbert", LIGHT["ramp"])
    return axis.imshow(values, cmap=ramp, vmin=0, vmax=highest, aspect="equal", interpolation="nearest", **options)


def _label(axis, labels, bold=None):
    """One label a row or column; of more than 64, every second, fourth ... so that they stay legible."""
    step = 1
    while len(labels) / step > 64:
        step *= 2
    axis.set_ticks(range(0, len(labels), step), [_plain(t) for t in labels[::step]], fontsize=7)
    axis.set_tick_params(length=0, labelrotation=90 if axis.axis_name == "x" else 0)
    if bold is not None and bold % step == 0:
        axis.get_ticklabels()[bold // step].set_weight("bold")


def _bare(axis, left=True):
    for side in ("top", "right") if left else ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.set_facecolor(LIGHT["paper"])


def _plain(token):
    """A token that matplotlib does not take for mathematics."""
    return token.replace("$", r"\$")
