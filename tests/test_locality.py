"""Locality: every measure against the sum it stands for, written out in loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minconvbert.conv import dynamic_conv
from minconvbert.ops import softmax
from minconvbert.view.locality import (
    entropy,
    kernel_band,
    local_mass,
    mass_by_offset,
    mean_distance,
    over_tokens,
    padded_band,
)

shapes = st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 3), st.sampled_from((1, 3, 5, 9)))


def kernels(shape, seed=0, dtype=np.float64):
    return softmax(np.random.default_rng(seed).normal(size=shape).astype(dtype) * 3)


def maps(B, H, L, seed=0):
    return kernels((B, H, L, L), seed)


@given(shapes, st.integers(0, 99))
@settings(deadline=None)
def test_the_band_is_the_matrix_of_the_convolution(shape, seed):
    B, L, H, K = shape
    kernel = kernels(shape, seed)
    value = np.random.default_rng(seed + 1).normal(size=(B, L, H, 2))
    band, lost = kernel_band(kernel)
    np.testing.assert_allclose(np.einsum("bhts,bshd->bthd", band, value), dynamic_conv(value, kernel), atol=1e-14)
    np.testing.assert_allclose(band.sum(-1) + lost, 1, atol=1e-14)
    assert (lost >= 0).all() and (K > 1 or not lost.any())


@given(shapes)
@settings(deadline=None)
def test_the_padded_band_keeps_every_weight_at_its_place(shape):
    B, L, H, K = shape
    kernel = kernels(shape)
    padded = padded_band(kernel)
    assert padded.shape == (B, H, L, L + K - 1)
    for t in range(L):
        np.testing.assert_array_equal(padded[:, :, t, t : t + K], kernel[:, t])
    assert np.count_nonzero(padded) <= kernel.size


def test_what_is_lost_at_the_borders_by_hand():
    kernel = np.array([0.5, 0.3, 0.2]) * np.ones((1, 3, 1, 3))
    band, lost = kernel_band(kernel)
    np.testing.assert_array_equal(band[0, 0], [[0.3, 0.2, 0], [0.5, 0.3, 0.2], [0, 0.5, 0.3]])
    np.testing.assert_array_equal(lost[0, 0], [0.5, 0, 0.2])


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 9), st.integers(0, 9))
@settings(deadline=None)
def test_distance_and_local_mass_are_their_sums(B, H, L, reach):
    w = maps(B, H, L) * 0.7
    far, near = mean_distance(w), local_mass(w, reach)
    for b, h, t in np.ndindex(B, H, L):
        distances = [abs(s - t) for s in range(L)]
        assert far[b, h, t] == pytest.approx(sum(w[b, h, t] * distances) / 0.7, abs=1e-12)
        assert near[b, h, t] == pytest.approx(sum(x for x, d in zip(w[b, h, t], distances) if d <= reach), abs=1e-12)


def test_distance_of_a_row_without_weight_is_nothing():
    assert mean_distance(np.zeros((1, 1, 2, 2))).tolist() == [[[0, 0]]]


def test_entropy_in_bits():
    weights = np.array([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0, 0], [0, 1, 0, 0]])
    np.testing.assert_allclose(entropy(weights), [2, 1, 0], atol=1e-15)


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 9), st.integers(0, 99))
@settings(deadline=None)
def test_mass_by_offset_is_the_mean_over_real_tokens(B, H, L, seed):
    rng = np.random.default_rng(seed)
    w, mask = maps(B, H, L, seed), rng.integers(0, 2, (B, L))
    mask[0, 0] = 1
    offsets, mass = mass_by_offset(w, mask)
    assert offsets.tolist() == list(range(-(L - 1), L)) and mass.shape == (H, 2 * L - 1)
    for h in range(H):
        want = dict.fromkeys(offsets.tolist(), 0)
        for b, t, s in np.ndindex(B, L, L):
            want[s - t] += mask[b, t] * w[b, h, t, s] / mask.sum()
        np.testing.assert_allclose(mass[h], list(want.values()), atol=1e-12)
    np.testing.assert_allclose(mass.sum(-1), 1, atol=1e-12)
    np.testing.assert_allclose(mass_by_offset(w)[1], mass_by_offset(w, np.ones((B, L)))[1], atol=1e-14)


def test_padded_tokens_do_not_count():
    values, mask = np.array([[[1.0, 3.0, 100.0]]]), np.array([[1, 1, 0]])
    assert over_tokens(values, mask).tolist() == [2.0]


def test_single_precision_stays_single():
    kernel = kernels((2, 5, 2, 3), dtype=np.float32)
    band, lost = kernel_band(kernel)
    results = (band, lost, mean_distance(band), local_mass(band, 1), entropy(kernel), mass_by_offset(band)[1],
               over_tokens(lost, np.ones((2, 5), int)), padded_band(kernel))
    assert {x.dtype for x in results} == {np.dtype(np.float32)}


@pytest.mark.parametrize("call, message", [
    (lambda: kernel_band(np.ones((1, 2, 1, 4))), "a kernel needs a middle: K must be odd, but K = 4"),
    (lambda: kernel_band(np.ones((2, 1, 3))), "kernel must be (B, L, H, K), but its shape is (2, 1, 3)"),
    (lambda: mean_distance(np.ones((1, 1, 2, 3))),
     "maps must be (B, H, L, L) with L = 2 as in maps, but its shape is (1, 1, 2, 3)"),
    (lambda: over_tokens(np.ones((1, 1, 2)), np.zeros((1, 2))),
     "mask must leave at least one token, but it is 0 everywhere"),
    (lambda: over_tokens(np.ones((1, 1, 2)), np.ones((1, 3))),
     "values must be (B, H, L) with L = 3 as in mask, but its shape is (1, 1, 2)"),
])
def test_what_is_refused(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value) == message
