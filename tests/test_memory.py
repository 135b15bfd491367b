"""Memory: freed arrays are kept only where that is wanted, and how much there is."""

import ctypes
import math
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from minconvbert.initialize import available_memory
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


@pytest.mark.parametrize("most", (2**31 - 1, 4 * 2**20 * 8))
def test_the_c_library_accepts_what_it_is_told(most, monkeypatch):
    """An int; before glibc 2.35 at most DEFAULT_MMAP_THRESHOLD_MAX, which is 4 MiB times the bytes of a long."""
    kept = {}
    monkeypatch.setattr(ctypes, "pythonapi", SimpleNamespace(
        mallopt=lambda name, value: value <= most and not kept.update({name: value})))
    monkeypatch.delenv("MINCONVBERT_KEEP_MEMORY", raising=False)
    keep_freed_memory()
    assert kept == {-1: most, -3: most}


def test_a_c_library_without_it_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "pythonapi", SimpleNamespace())
    keep_freed_memory()


@pytest.mark.parametrize("told, pages, wanted", (
    ("MemTotal:  9 kB\nMemAvailable:   7 kB\n", 5, 7 * 1024), ("MemTotal: 9 kB\n", 5, 5 * 4096), (None, 5, 5 * 4096),
    (None, -1, math.inf), (None, None, math.inf)))
def test_how_much_memory_there_is(told, pages, wanted, monkeypatch):
    """What Linux says is available; else what the machine has; else nobody knows."""
    def read_text(path):
        if told is None:
            raise FileNotFoundError(path)
        return told

    def sysconf(name):
        if pages is None:
            raise ValueError(name)
        return {"SC_PHYS_PAGES": pages, "SC_PAGE_SIZE": 4096}[name]

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(os, "sysconf", sysconf)
    assert available_memory() == wanted
