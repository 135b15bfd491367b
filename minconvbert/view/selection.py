"""Select what to draw of a model's output: one sentence with its labels, and one layer, head and token."""

import unicodedata
from typing import NamedTuple

import numpy as np

from .locality import entropy, local_mass, mean_distance, padded_band

SPECIAL = ("[CLS]", "[SEP]", "[PAD]", "[MASK]")


class Seen(NamedTuple):
    """One sentence as a model saw it, N layers: maps (N, H, L, L), kernels (N, H, L, K), bands (N, H, L, L + K - 1)."""

    tokens: list
    maps: np.ndarray
    kernels: np.ndarray
    bands: np.ndarray

    @property
    def half(self):
        return self.kernels.shape[-1] // 2

    @property
    def lost(self):
        """(N, H, L): the weight that falls on the zeros beyond the sentence."""
        L = len(self.tokens)
        return self.bands[..., : self.half].sum(-1) + self.bands[..., self.half + L :].sum(-1)

    def measures(self):
        """Name -> (N, H, L): how far each token looks and how narrowly, for both kinds of heads."""
        inside = self.bands[..., self.half : self.half + len(self.tokens)]
        return {
            "distance of attention": mean_distance(self.maps), "distance of convolution": mean_distance(inside),
            "entropy of attention": entropy(self.maps), "entropy of convolution": entropy(self.kernels),
            "attention within reach": local_mass(self.maps, self.half),
            "convolution within reach": local_mass(inside, self.half), "lost": self.lost}


def seen(out, tokens, row=0):
    """Maps and kernels of sentence `row` of the batch, with one label for each of its L positions.

    Raises ValueError if `out` has no maps, the batch has no such row, or there are not L labels.
    """
    if not getattr(out, "attentions", ()) or not getattr(out, "kernels", ()):
        raise ValueError("out must be what a model returned, with attentions and kernels, but it has none")
    B, _, L, _ = out.attentions[0].shape
    if not 0 <= row < B:
        raise ValueError(f"row must be from 0 to {B - 1}, because the batch has {B} sentences, but is {row}")
    if len(tokens) != L:
        raise ValueError(f"tokens must name each of the {L} positions, but there are {len(tokens)}; pass one label a"
                         " position, special tokens included")
    kernels = np.stack([kernel[row].swapaxes(0, 1) for kernel in out.kernels])
    bands = np.stack([padded_band(kernel[row : row + 1])[0] for kernel in out.kernels])
    return Seen([label(token) for token in tokens], np.stack([a[row] for a in out.attentions]), kernels, bands)


def chosen(shown, layer=None, head=None, token=None, telling=None):
    """-> layer, head, token: the given ones, checked, or those with the most to see

    `telling` (N, H) says how much there is to see in a head; by default, this is how much its kernels differ from token
    to token. The word whose kernel differs most from the mean is chosen.

    A token is a position or a label. Raises ValueError if the sentence does not have it.
    """
    layers, heads, L, _ = shown.kernels.shape
    telling = shown.kernels.std(2).sum(-1) if telling is None else telling
    head = head if head is None else _below("head", head, heads)
    if layer is None:
        layer = (telling.max(1) if head is None else telling[:, head]).argmax()
    layer = _below("layer", layer, layers)
    head = int(telling[layer].argmax()) if head is None else head
    if token is None:
        kernel = shown.kernels[layer, head]
        unlike = np.abs(kernel - kernel.mean(0)).sum(-1)
        words = [not is_special(label) and any(c.isalnum() for c in label) for label in shown.tokens]
        token = int(np.where(words, unlike, unlike - 10).argmax())
    elif isinstance(token, str):
        if token not in shown.tokens:
            raise ValueError(f"token must be one of the sentence, {' '.join(shown.tokens)}, but is {token!r}")
        token = shown.tokens.index(token)
    return layer, head, _below("token", token, L)


class Compared(NamedTuple):
    """Words that two sentences share, the places of the first of these words, and the layer and head to draw."""

    words: list
    places: tuple
    layer: int
    head: int


def compared(first, second, word=None, layer=None, head=None):
    """-> the words to compare, the places of the first of them, the layer and head to draw

    The words are `word` alone, or all that the two sentences share, the longest first. Without `layer` or `head`, the
    ones where the two kernels of the first word differ most are drawn.

    Raises ValueError if there is no such word, layer or head.
    """
    if word is None:
        both = {t for t in first.tokens if t in second.tokens and not is_special(t) and any(c.isalnum() for c in t)}
        if not both:
            raise ValueError("the two sentences must have a word in common, but they share none")
        words = sorted(both, key=lambda t: (-len(t), first.tokens.index(t)))
    else:
        words = [word]
    places = tuple(chosen(shown, 0, 0, words[0])[2] for shown in (first, second))
    change = np.abs(first.kernels[:, :, places[0]] - second.kernels[:, :, places[1]]).sum(-1)        # (N, H)
    layer, head, _ = chosen(first, layer, head, 0, telling=change)
    return Compared(words, places, layer, head)


def label(token):
    """A token that can be shown: characters that are invisible, or reverse the text, are replaced by their numbers."""
    return "".join(f"\\u{ord(c):04x}" if unicodedata.category(c)[0] in "CZ" and c != " " else c for c in str(token))


def is_special(token):
    return token in SPECIAL


def _below(name, index, size):
    if not 0 <= index < size:
        raise ValueError(f"{name} must be from 0 to {size - 1}, but is {index}")
    return int(index)
