"""Processes that share a batch, over MPI."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from .progress import say


@dataclass(frozen=True)
class Ranks:
    """The processes that share a batch. `add_up` sums an array over all of them, in place; alone, it does nothing.

    `stop` prints an error and ends all of them, because the others would wait for ever.
    """

    rank: int = 0
    size: int = 1
    add_up: callable = lambda array: None
    stop: callable = lambda error: None


def mpi_command(processes):
    """-> the command that runs Python once for each rank; its environment, with one BLAS thread for each"""
    environment = os.environ | dict(MINCONVBERT_RANKS=str(processes), OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    beside = Path(sys.executable).with_name("mpiexec")     # where pip puts it
    return [str(beside) if beside.exists() else "mpiexec", "-n", str(processes), sys.executable], environment


def mpi_ranks():
    try:
        from mpi4py import MPI
    except ImportError:
        raise ValueError(
            "--processes needs mpi4py, but it is not installed; install the extra minconvbert[mpi]") from None
    world = MPI.COMM_WORLD

    def stop(error):
        say(f"error: {error}")
        world.Abort(2)
        return 2

    return Ranks(world.rank, world.size, lambda array: world.Allreduce(MPI.IN_PLACE, array), stop)
