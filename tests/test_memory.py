"""Freed memory is kept only where it is wanted: the C library is not told otherwise."""

import ctypes
from types import SimpleNamespace

import pytest

from minconvbert.memory import HIGHEST, HIGHEST_BEFORE_2022, keep_freed_memory


@pytest.mark.parametrize("wish, accepted, told", (
    (None, True, [(-1, HIGHEST), (-3, HIGHEST)]), ("1", True, [(-1, HIGHEST), (-3, HIGHEST)]), ("0", True, []),
    (None, False, [(-1, HIGHEST), (-1, HIGHEST_BEFORE_2022), (-3, HIGHEST), (-3, HIGHEST_BEFORE_2022)])))
def test_what_the_c_library_is_told(wish, accepted, told, monkeypatch):
    calls = []
    monkeypatch.setattr(ctypes, "pythonapi", SimpleNamespace(mallopt=lambda *given: calls.append(given) or accepted))
    monkeypatch.delenv("MINCONVBERT_KEEP_MEMORY", raising=False)
    if wish is not None:
        monkeypatch.setenv("MINCONVBERT_KEEP_MEMORY", wish)
    keep_freed_memory()
    assert calls == told


def test_a_c_library_without_it_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "pythonapi", SimpleNamespace())
    keep_freed_memory()
