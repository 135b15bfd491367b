"""Parts of a batch side by side, each in a thread: NumPy lets other threads run during every large operation."""

import contextlib
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache

import numpy as np

log = logging.getLogger(__name__)


def side_by_side(function, parts, threads):
    """Yield function(part) for every part, in order; up to `threads` of them are computed at once.

    The answers have the same bits as one after the other, because each part is computed by itself. While several
    threads compute, each matrix product stays on one core.

    Raises what a part raises, after all threads have ended.
    """
    parts = list(parts)
    if threads == 1 or len(parts) < 2:
        yield from map(function, parts)
        return
    with one_blas_thread(), ThreadPoolExecutor(min(threads, len(parts)), "minconvbert") as pool:
        # Each part gets a copy of the context, because np.errstate is kept there.
        yield from pool.map(lambda context, part: context.run(function, part), [copy_context() for _ in parts], parts)


def slices(rows, parts):
    """So many neighbouring slices of `rows` rows, of nearly one size; none is empty."""
    ends = np.linspace(0, rows, min(parts, rows) + 1).round().astype(int).tolist()
    return [slice(*pair) for pair in zip(ends, ends[1:])]


def checked_threads(threads, rows):
    """How many threads can share so many rows. A number that is too high is lowered, and that is logged once.

    Raises ValueError if it is not a whole number of at least 1.
    """
    if isinstance(threads, bool) or not isinstance(threads, (int, np.integer)) or threads < 1:
        raise ValueError(f"threads must be a whole number of at least 1, but is {threads!r}")
    if threads > rows:
        _say_once(f"threads is {threads}, but only {rows} row{'s' * (rows != 1)} can be shared: {rows} are used")
    return min(int(threads), rows)


_say_once = cache(log.warning)
_limit = dict(lock=threading.Lock(), calls=0, undo=None)


@contextlib.contextmanager
def one_blas_thread():
    """Keep each matrix product on one core while the block runs; afterwards BLAS has its threads again.

    This needs threadpoolctl (extra: threads). Without it nothing is changed, and a warning, once, says which variable
    of the environment does the same.
    """
    with _limit["lock"]:                               # of blocks that overlap, the first limits and the last undoes
        if _limit["calls"] == 0:
            _limit["undo"] = _limit_blas()
        _limit["calls"] += 1
    try:
        yield
    finally:
        with _limit["lock"]:
            _limit["calls"] -= 1
            if _limit["calls"] == 0:
                _limit["undo"]()


def _limit_blas():
    """Limit BLAS to one thread   ->  a function that undoes it"""
    controller = _controller()
    if controller is not None:
        return controller.limit(limits=1, user_api="blas").restore_original_limits
    if not {os.environ.get("OPENBLAS_NUM_THREADS"), os.environ.get("OMP_NUM_THREADS")} & {"1"}:
        _say_once("threads get in each other's way if every matrix product also uses all cores: install the extra"
                  " minconvbert[threads], or set OPENBLAS_NUM_THREADS=1 and OMP_NUM_THREADS=1")
    return lambda: None


@cache
def _controller():
    """What finds and limits NumPy's BLAS, or None if it is not installed. To search once saves a millisecond a step."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()
