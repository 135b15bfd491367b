"""Ours and theirs step in turn, each in a process of its own, so that neither has the other's threads or memory."""

import os
import statistics
import subprocess
import sys
import time

import numpy as np

SIDES = ("ours", "theirs")
WARM_UP = 2                                            # rounds that do not count
PEAK, PRODUCTS = "peak memory", "products alone"
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def in_turn(script, arguments, names, repeats):
    """Start `script` for each side, with `arguments` and `--side SIDE`, where it must call `serve`.

    -> {name of a step: (median seconds of ours, of theirs)}; of the name PEAK, the MiB that they had at most so far
    """
    workers = [subprocess.Popen([sys.executable, script, *map(str, arguments), "--side", side],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for side in SIDES]
    medians = {}
    for name in names:
        skipped, counted = (0, 1) if name == PEAK else (WARM_UP, repeats)
        rounds = [[_ask(worker, name) for worker in workers] for _ in range(skipped + counted)]
        medians[name] = tuple(map(statistics.median, zip(*rounds[skipped:])))
    for worker in workers:
        worker.communicate()
    return medians


def compared(title, name, medians, limit=None):
    """A line for a step: both sides, their ratio, and each beside its own products.   limit: their name in `medians`"""
    pair = medians[name]
    ours, theirs = (f"{x:7.0f} MiB" if name == PEAK else f"{1000 * x:7.1f} ms " for x in pair)
    line = f"{title:<22} {name:<22} minconvbert {ours}  transformers {theirs}  ratio {pair[0] / pair[1]:.2f}"
    if limit in medians:
        line += "  of own products {:.2f}, {:.2f}".format(*(x / least for x, least in zip(pair, medians[limit])))
    return line


def table_row(what, step, pair, limits):
    """The same as a row of a Markdown table.   pair, limits: (ours, theirs), of the step and of its products"""
    ours, theirs = (f"{x:,.0f} MiB" if step == PEAK else f"{1000 * x:,.0f} ms" for x in pair)
    beside = "" if limits is None else "{:.2f} ({:.2f})".format(*(x / least for x, least in zip(pair, limits)))
    return f"| {what} | {step} | {ours} | {theirs} | {pair[0] / pair[1]:.2f} | {beside} |"


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


def linear_maps(params, rows, places=0):
    """-> (weight (O, I), rows that pass it) of each linear map of a model.   NumPy or PyTorch

    places: the rows that pass the map to the vocabulary. Maps of one row a sentence are left out.
    """
    weights = {name: weight for name, weight in params.items() if name.endswith("weight")}
    for name, weight in weights.items():
        if name.endswith("pointwise.weight"):
            yield weight[:, :, 0], rows
        elif name.endswith("dense.weight") and weight.ndim == 3:
            yield from ((weight[group].T, rows) for group in range(weight.shape[0]))
        elif "word_embeddings" in name or "generator_predictions" in name:
            if places and weight.ndim == 2:
                yield weight, places
        elif weight.ndim == 2 and "embeddings." not in name and not name.startswith(("classifier", "sequence_summary")):
            yield weight, rows


def products(forward, backward=()):
    """-> a function that multiplies as linear maps do: y = x W^T forward; dx = dy W and dW = dy^T x backward

    forward, backward: what `linear_maps` gives. A step cannot be faster than this, with this library on this machine.
    """
    forward, backward = list(forward), list(backward)
    like = forward[0][0]
    ones = like.new_ones if hasattr(like, "new_ones") else lambda shape: np.ones(shape, like.dtype)
    inputs = {}                                        # made when they are needed: until then no memory is theirs

    def multiply():
        if not inputs:
            inputs.update({(rows, width): ones((rows, width))
                           for weight, rows in forward + backward for width in weight.shape})
        for weight, rows in forward:
            inputs[rows, weight.shape[1]] @ weight.T
        for weight, rows in backward:
            x, dy = (inputs[rows, width] for width in weight.shape[::-1])
            dy @ weight, dy.T @ x

    return multiply


def machine():
    """-> a line that names the CPU, and another that names what multiplies matrices on either side"""
    with open("/proc/cpuinfo") as info:
        cpu = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), "unknown CPU")
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    theirs = subprocess.run([sys.executable, "-c", "import torch; print(torch.__config__.show())"], text=True,
                            capture_output=True).stdout
    found = [line.strip(" -") for line in theirs.splitlines() if "Math Kernel Library" in line or "OpenBLAS" in line]
    return (f"{CORES} cores of {cpu}", f"NumPy {np.__version__} with {blas['name']} {blas['version']}; PyTorch with"
                                       f" {found[0] if found else 'an unknown library'}")
