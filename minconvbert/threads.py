"""Parts of a batch side by side, each in a thread: NumPy lets other threads run during every large operation."""

import contextlib
import logging
import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np

log = logging.getLogger(__name__)


def side_by_side(function, parts, threads):
    """Yield function(part) for every part, in order; up to `threads` of them are computed at once.

    Each part is computed by itself, so the answers do not depend on which others are computed at the same time. While
    several threads compute, each matrix product stays on one core; on several cores, BLAS may add up in another order.

    Raises what a part raises, after all threads have ended; ValueError if `threads` is not a whole number above 0.
    """
    _require_threads(threads)
    parts = list(parts)
    if threads == 1 or len(parts) < 2:
        for part in parts:
            yield function(part)
        return
    errors, waiting = np.geterr(), deque()             # NumPy before 2.0 keeps np.errstate for each thread

    def with_errors(part):
        with np.errstate(**errors):
            return function(part)

    with one_blas_thread(), ThreadPoolExecutor(min(threads, len(parts)), "minconvbert") as pool:
        for part in parts:                             # no more than `threads` answers wait, because they may be large
            if len(waiting) == threads:
                yield waiting.popleft().result()
            waiting.append(pool.submit(with_errors, part))
        while waiting:
            yield waiting.popleft().result()


def slices(rows, parts):
    """Split `rows` rows into `parts` neighbouring slices of nearly equal size; none is empty."""
    ends = np.linspace(0, rows, min(parts, rows) + 1).round().astype(int).tolist()
    return [slice(*pair) for pair in zip(ends, ends[1:])]


def checked_threads(threads, rows):
    """`threads`, but at most one for each row; a warning, which appears once, says that it is lowered.

    Raises ValueError if `threads` is not a whole number of at least 1.
    """
    _require_threads(threads)
    if threads > rows:
        _say_once(f"threads is {threads}, but only {rows} row{'s' * (rows != 1)} can be shared: {rows} are used")
    return min(int(threads), rows)


def _require_threads(threads):
    if isinstance(threads, bool) or not isinstance(threads, (int, np.integer)) or threads < 1:
        raise ValueError(f"threads must be a whole number of at least 1, but is {threads!r}")


_say_once = cache(log.warning)
_limit = dict(lock=threading.Lock(), calls=0, undo=None)


@contextlib.contextmanager
def one_blas_thread():
    """Keep each matrix product on one core while the block runs; afterwards BLAS has its threads again.

    This needs threadpoolctl (extra: threads). Without it nothing is changed, and a warning names the variables of the
    environment that do the same; it appears once.
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
    if os.environ.get("OPENBLAS_NUM_THREADS", os.environ.get("OMP_NUM_THREADS")) != "1":
        _say_once("threads get in each other's way if every matrix product also uses all cores: install the extra"
                  " minconvbert[threads], or set OPENBLAS_NUM_THREADS=1 and OMP_NUM_THREADS=1")
    return lambda: None


@cache
def _controller():
    """The controller of NumPy's BLAS, or None without threadpoolctl. Searching only once saves a millisecond a step."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()
