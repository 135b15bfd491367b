"""Ours and theirs step in turn, each in a process of its own, so that neither has the other's threads or memory."""

import statistics
import subprocess
import sys
import time

SIDES = ("ours", "theirs")
WARM_UP = 2                                            # rounds that do not count
PEAK = "peak memory"


def in_turn(arguments, names, repeats):
    """Start this script again for each side, with `arguments` and `--side SIDE`, where it must call `serve`.

    -> {name of a step: (median seconds of ours, of theirs)}; of the name PEAK, the MiB that they had at most so far
    """
    workers = [subprocess.Popen([sys.executable, sys.argv[0], *map(str, arguments), "--side", side],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for side in SIDES]
    medians = {}
    for name in names:
        rounds = [[_ask(worker, name) for worker in workers] for _ in range(WARM_UP + repeats)]
        medians[name] = tuple(map(statistics.median, zip(*rounds[WARM_UP:])))
    for worker in workers:
        worker.communicate()
    return medians


def compared(title, name, pair):
    """A line that tells a pair of `in_turn`."""
    ours, theirs = (f"{x:6.0f} MiB" if name == PEAK else f"{1000 * x:6.0f} ms " for x in pair)
    return f"{title:<12} {name:<22} minconvbert {ours}  transformers {theirs}  ratio {pair[0] / pair[1]:.2f}"


def _ask(worker, what):
    time.sleep(0.05)                                   # the threads of the other side wait a while before they sleep
    print(what, file=worker.stdin, flush=True)
    answer = worker.stdout.readline()
    if not answer:
        sys.exit(f"{' '.join(worker.args)} ended early")
    return float(answer)


def serve(steps):
    """Answer `in_turn`: do the step of each name that comes, and say how long it took.   steps: name -> function"""
    for line in sys.stdin:
        name = line.strip()
        if name == PEAK:
            print(_peak_memory(), flush=True)
            continue
        print(timed(steps[name]), flush=True)


def timed(step):
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def _peak_memory():
    """MiB, of this program alone: `ru_maxrss` would start from what the process had that started it."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
