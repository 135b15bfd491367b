"""Measure how far a head looks, by statistics of maps whose rows say how one token weighs the others.

A map is (B, H, L, L): row t, column s is the weight that token t gives token s. Attention maps have this form.
`kernel_band` gives it to kernels, so that both kinds of heads are measured by the same rule.
"""

import numpy as np

from ..conv import unpad
from ..shapes import dims


def padded_band(kernel):
    """Kernels laid over the sentence and the K // 2 zeros on either side of it.

    Row t holds the K weights of token t at columns t .. t + K - 1; column K // 2 is the first token.

    kernel (B, L, H, K)  ->  (B, H, L, L + K - 1)
    """
    B, L, H, K = dims("kernel[B L H K]", kernel)
    band = np.zeros((B, H, L, L + K - 1), kernel.dtype)
    t = np.arange(L)
    for j in range(K):
        band[:, :, t, t + j] = kernel[..., j].swapaxes(1, 2)
    return band


def kernel_band(kernel):
    """Kernels as a map, and the lost mass, which is the weight of taps that fall on the zeros beyond the sentence.

    kernel (B, L, H, K)  ->  band (B, H, L, L), lost (B, H, L);   band.sum(-1) + lost == 1

    Raises ValueError if K is even: such a kernel has no middle.
    """
    B, L, H, K = dims("kernel[B L H K]", kernel)
    if K % 2 == 0:
        raise ValueError(f"a kernel needs a middle: K must be odd, but K = {K}")
    padded = padded_band(kernel)
    lost = padded[..., : K // 2].sum(-1) + padded[..., K // 2 + L :].sum(-1)
    return unpad(padded.transpose(0, 3, 1, 2), K).transpose(0, 2, 3, 1), lost


def mean_distance(maps):
    """How many tokens away a token looks on average: sum_s w[t, s] |t - s| / sum_s w[t, s].

    (B, H, L, L)  ->  (B, H, L);   0 where a row has no weight at all
    """
    B, H, L = dims("maps[B H L L]", maps)
    mass = maps.sum(-1)
    total = (maps * np.abs(_offsets(L)).astype(maps.dtype)).sum(-1)
    return np.divide(total, mass, out=np.zeros_like(total), where=mass > 0)


def local_mass(maps, reach):
    """The weight on tokens at most `reach` away.   (B, H, L, L)  ->  (B, H, L)

    With reach = K // 2, this is the part of an attention map that a kernel of K taps could express.
    """
    B, H, L = dims("maps[B H L L]", maps)
    return (maps * (np.abs(_offsets(L)) <= reach)).sum(-1)


def entropy(weights):
    """-sum w log2 w over the last axis, in bits: 2 ** entropy tokens share the weight.   (..., K)  ->  (...)"""
    logs = np.log2(weights, out=np.zeros_like(weights), where=weights > 0)
    return -(weights * logs).sum(-1)


def mass_by_offset(maps, mask=None):
    """How much weight lies at each distance, on average over all tokens, left (negative) and right.

    (B, H, L, L), mask (B, L) of 1 and 0  ->  offsets (2 L - 1,), mass (H, 2 L - 1)

    For the band of a kernel, mass.sum(-1) is 1 minus the mean lost mass.
    """
    B, H, L = dims("maps[B H L L]", maps)
    offsets = np.arange(-(L - 1), L)
    mass = np.stack([
        np.pad(np.diagonal(maps, o, axis1=2, axis2=3), ((0, 0), (0, 0), (max(0, -o), max(0, o)))) for o in offsets])
    return offsets, np.stack([over_tokens(m, mask) for m in mass], axis=-1)


def over_tokens(values, mask=None):
    """The mean over all real tokens of all sentences.   (B, H, L), mask (B, L) of 1 and 0  ->  (H,)

    Raises ValueError if the mask leaves no token.
    """
    B, H, L = dims("values[B H L]", values)
    if mask is None:
        return values.mean((0, 2))
    mask = np.asarray(mask).astype(values.dtype)
    dims("mask[B L], values[B H L]", mask, values)
    if not mask.any():
        raise ValueError("mask must leave at least one token, but it is 0 everywhere")
    return (values * mask[:, None]).sum((0, 2)) / mask.sum()


def _offsets(L):
    """s - t for row t and column s."""
    return np.arange(L) - np.arange(L)[:, None]
