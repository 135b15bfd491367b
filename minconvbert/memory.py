"""Keep freed memory in the process, so that the system need not provide the next large array page by page."""

import os

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3            # of mallopt(3)
HIGHEST, HIGHEST_BEFORE_2022 = 2**31 - 1, 2**25        # what glibc accepts for M_MMAP_THRESHOLD


def keep_freed_memory():
    """Tell the C library of Linux to keep freed arrays for the next ones: a forward of base takes 20% less time.

    This changes the whole process, so importing the mathematics does not do it; the faces and the commands do. With
    MINCONVBERT_KEEP_MEMORY=0 in the environment, and on other systems, nothing happens.
    """
    if os.environ.get("MINCONVBERT_KEEP_MEMORY", "1") == "0":
        return
    try:
        from ctypes import pythonapi
        mallopt = pythonapi.mallopt
    except (ImportError, AttributeError):
        return
    for threshold in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
        if not mallopt(threshold, HIGHEST):
            mallopt(threshold, HIGHEST_BEFORE_2022)
