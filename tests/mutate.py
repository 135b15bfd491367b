"""Tests of the tests, by chance: plant faults all over the package, run the tests that cover the line, print survivors.

    python tests/mutate.py core rest --sample 100          # 100 faults of either, drawn by --seed
    python tests/mutate.py minconvbert/conv.py             # all faults of a file

The core is `minconvbert/*.py`, the rest are its folders. Everything happens in a copy of the tracked files, --work DIR,
which also keeps what a first run of the suite under `coverage` found out: which test runs which line, and how long it
takes; one of more than SLOWEST seconds is left out. Faults are those of `mutants.py`; one that hangs is noticed.

Not every fault can be noticed: `equivalent_mutants.txt` lists those that change no answer, each with the reason. Tests
that read the package's source do not count, because they notice every change; nor do those of LEFT_OUT that are slow,
or run nothing of it in their own process.
"""

import argparse
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from importlib.util import cache_from_source
from pathlib import Path

import pytest
from mutants import changed, faults, in_a_body

ROOT = Path(__file__).parents[1]
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.txt")
LEFT_OUT = {f"test_{name}.py" for name in (
    "docs", "faults", "house", "mutants", "notebooks", "package", "readme", "view_browser", "step_browser")}
OPTIONS = ("-q", "-p", "no:cacheprovider")
SLOWEST, FAILED = 5, set()                              # seconds of a test under coverage, and tests that failed there

DRAWN = {"minconvbert/view/diagrams.py"}                # numbers that are places on paper are looked at, not tested


def equivalents():
    """{(file, line before, line after or "*"): why}"""
    entries = re.findall(r"^(\S+): (.*)\n +-> (.*)\n((?: {4}.*\n?)+)", EQUIVALENT.read_text(encoding="utf-8"), re.M)
    return {(file, before, after): " ".join(why.split()) for file, before, after, why in entries}


# Plugins of pytest: this module tells coverage which test runs, and notes how long it takes; `InOrder` chooses tests.
# Time is that of the processor, which does not depend on what else it has to do.

class InOrder:
    def __init__(self, tests):
        self.places = {test: i for i, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items):
        items[:] = sorted((item for item in items if item.nodeid in self.places),
                          key=lambda item: self.places[item.nodeid])


class TooSlow(BaseException):
    """Ends a test that takes too much time; one of hypothesis, too."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Of each test: its name, how long it calculates, and whether it failed, in a line of $MUTATE_TIMES."""
    if "MUTATE_TIMES" not in os.environ:
        return (yield)
    import coverage
    coverage.Coverage.current().switch_context(item.nodeid)
    begun = _calculated()
    signal.signal(signal.SIGPROF, _too_slow)
    signal.setitimer(signal.ITIMER_PROF, SLOWEST)
    done = yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    with open(os.environ["MUTATE_TIMES"], "a") as file:
        print(json.dumps([item.nodeid, _calculated() - begun, item.nodeid in FAILED]), file=file)
    return done


def pytest_runtest_logreport(report):
    if report.failed:
        FAILED.add(report.nodeid)


def _too_slow(number, frame):
    raise TooSlow


def _calculated():
    """Seconds of the processor, for this process and those that it began."""
    return sum(os.times()[:4])


# The run

def learn(work):
    """Copy the tracked files, run each file of tests under coverage.   ->  {file: {line: tests}}, {test: seconds}"""
    import coverage
    fresh = not (work / "minconvbert").exists()
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    for name in tracked.stdout.splitlines():
        if fresh or name.startswith("tests/"):         # the package stays, because lines are known by their numbers
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, work / name)
    seconds, failures, covered = Counter(), set(), {}
    for file in (path for path in sorted(work.glob("tests/test_*.py")) if path.name not in LEFT_OUT):
        found, times = work / f"{file.stem}.coverage", work / f"{file.stem}.times"
        if not found.exists() or found.stat().st_mtime < file.stat().st_mtime:
            times.write_text("")
            subprocess.run(
                [sys.executable, "-m", "coverage", "run", f"--data-file={found}", "--source=minconvbert", "-m", "pytest",
                 *OPTIONS, "-p", "mutate", f"tests/{file.name}"], cwd=work, env=os.environ | surroundings(work) | dict(
                     MUTATE_TIMES=str(times)))
        for test, duration, failed in map(json.loads, times.read_text().splitlines()):
            seconds[test] += duration
            failures |= {test} if failed else set()
        data = coverage.CoverageData(str(found))
        data.read()
        for path in data.measured_files():
            lines = covered.setdefault(Path(path).relative_to(work.resolve()).as_posix(), {})
            for line, tests in data.contexts_by_lineno(path).items():
                lines.setdefault(line, set()).update(set(tests) & seconds.keys() - failures)
    return covered, seconds


def surroundings(work):
    """The environment of tests in the copy, with a folder of their own for what they write."""
    (work / "tmp").mkdir(exist_ok=True)
    return dict(PYTHONPATH=f"{work}:{work / 'tests'}", TMPDIR=str(work / "tmp"))


def run(work, tests, limit):
    """-> the exit code of pytest in the copy, which ends at the first failure; negative if it was ended at the limit

    The process is a fork of this one, so that it need not load pytest, NumPy and matplotlib again.
    """
    import resource  # which Windows lacks

    def child():
        os.setsid()
        os.chdir(work)
        os.environ.update(surroundings(work))
        sys.path[:] = [str(work), str(work / "tests"), *(path for path in sys.path if ROOT not in (
            Path(path), Path(path).parent))]
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        os._exit(pytest.main([*OPTIONS, "-x", *sorted({test.split("::")[0] for test in tests})], [InOrder(tests)]))

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(20 * limit)                           # of the clock, for one that waits for ever
    if process.exitcode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
    return process.exitcode


def outcome(work, file, mutant, tests, seconds, budget):
    """noticed, hangs, survives or no test.   budget: seconds of tests, the fastest first"""
    kept, spent = [], 0.0
    for test in sorted(tests, key=seconds.get):
        spent += seconds[test]
        kept += [test] if spent <= budget or not kept else []
    if not kept:
        return "no test"
    original = (work / file).read_text(encoding="utf-8")
    replace(work / file, mutant)
    try:
        code = run(work, kept, int(60 + 4 * budget))
    finally:
        replace(work / file, original)
    return "hangs" if code < 0 else "survives" if code in (0, pytest.ExitCode.NO_TESTS_COLLECTED) else "noticed"


def replace(path, source):
    """Write a source file; what Python made of an earlier one, perhaps of the same second and size, is removed."""
    path.write_text(source, encoding="utf-8")
    Path(cache_from_source(path)).unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", help="core, rest, or a file")
    parser.add_argument("--sample", type=int, help="so many faults of each, in place of all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=float, default=15, help="seconds of tests for a fault, the fastest first (15)")
    parser.add_argument("--work", type=Path, default=Path("/tmp/minconvbert-mutants"), metavar="DIR")
    args = parser.parse_args()
    (covered, seconds), known = learn(args.work), equivalents()
    import hypothesis  # noqa: F401, for all forks
    import matplotlib.pyplot  # noqa: F401
    import numpy  # noqa: F401
    groups = dict(core="minconvbert/*.py", rest="minconvbert/*/**/*.py")
    read = lambda file: (args.work / file).read_text(encoding="utf-8")
    for what in args.what:
        files = sorted(path.relative_to(args.work).as_posix() for path in args.work.glob(groups.get(what, what)))
        drawn = [(file, fault) for file in files if file not in DRAWN for fault in faults(read(file))]
        if args.sample and args.sample < len(drawn):
            drawn = sorted(random.Random(args.seed).sample(drawn, args.sample))
        counts = Counter()
        for file, fault in drawn:
            mutant, before, after = changed(read(file), fault)
            line, of_file = fault[0], covered.get(file, {})
            # A line that runs at import belongs to no test, and one that runs while another tracer listens to few:
            # whatever runs anything of the file may notice, or of its folder, if the file runs in other processes.
            in_folder = [tests for other in covered if Path(other).parent == Path(file).parent
                         for tests in covered[other].values()]
            tests = of_file.get(line) if in_a_body(read(file), line) else None
            tests = tests or set().union(*of_file.values()) or set().union(*in_folder)
            if file.startswith("minconvbert/step/"):   # has a tracer of its own, and tests
                tests = tests | {test for test in set().union(*in_folder) if test.startswith("tests/test_step.py")}
            found = "equivalent" if {(file, before, after), (file, before, "*")} & known.keys() else outcome(
                args.work, file, mutant, tests, seconds, args.budget)
            counts[found] += 1
            if found in ("survives", "no test"):
                print(f"{file}:{line}: {before}\n    -> {after}\n    {found}; {len(tests)} cover the line", flush=True)
        noticed, counted = counts["noticed"] + counts["hangs"], len(drawn) - counts["equivalent"]
        print(f"{what}: {noticed} of {counted} noticed, {noticed / max(1, counted):.1%}; {dict(counts)}", flush=True)


if __name__ == "__main__":
    main()
