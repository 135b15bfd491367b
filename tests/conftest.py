"""Workers of `pytest -n auto` have a core each, so each of them calculates with one thread."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
