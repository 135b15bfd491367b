"""Measures and checksums against the libraries that everybody trusts with them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minconvbert.checkpoint.crc32c import crc32c
from minconvbert.training import metrics

sklearn = pytest.importorskip("sklearn.metrics")
stats = pytest.importorskip("scipy.stats")

LABELS = st.lists(st.integers(0, 1), min_size=2, max_size=60)


@settings(deadline=None)
@given(LABELS, st.integers(0, 2**32 - 1), st.booleans())
def test_the_area_under_the_curve_is_scikit_learns(labels, seed, ties):
    labels = np.array(labels)
    scores = np.random.default_rng(seed).normal(size=labels.shape)
    scores = scores.round(0) if ties else scores
    if 0 < labels.sum() < len(labels):
        assert metrics.area_under_curve(scores, labels) == pytest.approx(sklearn.roc_auc_score(labels, scores), abs=1e-12)


@settings(deadline=None)
@given(st.binary(max_size=3000))
def test_crc32c_is_its_librarys(data):
    library = pytest.importorskip("google_crc32c")
    assert crc32c(data) == library.value(data)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_shares_of_single_labels_are_scikit_learns(pairs):
    wanted, found = map(np.array, zip(*pairs))
    labels = np.arange(4)
    assert metrics.accuracy(wanted, found) == pytest.approx(sklearn.accuracy_score(wanted, found), abs=1e-12)
    expected = sklearn.f1_score(wanted, found, labels=labels, average="macro", zero_division=0)
    sets = [[{label} for label in some.tolist()] for some in (wanted, found)]
    assert metrics.macro_f1(*sets, labels.tolist()) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_shares_of_several_labels_are_scikit_learns(rows, labels, seed):
    wanted, found = np.random.default_rng(seed).integers(0, 2, (2, rows, labels))
    expected = sklearn.f1_score(wanted, found, average="micro", zero_division=0)
    sets = [[{*np.flatnonzero(row).tolist()} for row in some] for some in (wanted, found)]
    assert metrics.micro_f1(*sets) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(st.integers(3, 40), st.integers(0, 2**32 - 1), st.booleans())
def test_correlations_are_scipys(n, seed, ties):
    x, y = np.random.default_rng(seed).normal(size=(2, n))
    if ties:
        x, y = x.round(0), y.round(0)
    if x.std() > 1e-9 and y.std() > 1e-9:
        assert metrics.pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)
        assert metrics.spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)
