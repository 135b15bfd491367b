"""Exercises that check themselves: write a function of this package, and hear which of your lines departs first.

    from minconvbert.course import check, stub
    print(stub("softmax_backward"))                   # what to write
    check(softmax_backward, seed="Ada")               # yours, on fresh numbers drawn from the seed

Stubs, answers and intermediates come from the package's own source.
"""

import argparse
import ast
import inspect
import io
import json
import linecache
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import traceback
import zipfile
from dataclasses import asdict, dataclass, field
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .exercises import EXERCISES, arrays, case, hint, imports, reference, solution, stub

ROUNDS = 3
TOLERANCE = 1e-9                                       # relative to the largest number of the results
LARGEST_ANSWER = 1 << 26                               # bytes that a graded function may hand back


class Seen(NamedTuple):
    """A local array as it stood after a line."""

    name: str
    array: np.ndarray
    line: int
    text: str


class Attempt(NamedTuple):
    """What one run gave: `results` by name, `seen` in the order of computation, or an error in words."""

    results: dict
    seen: list
    error: str = ""


@dataclass
class Verdict:
    """What `check` found. It prints as text, and is true if all is right."""

    exercise: str
    seed: str
    passed: bool
    message: str
    right: list = field(default_factory=list)
    wrong: str | None = None
    line: int | None = None
    hint: str | None = None
    answer: str | None = None

    def __bool__(self):
        return self.passed

    def __repr__(self):
        lines = [f"{self.exercise}, seed {self.seed}: {self.message}"]
        for word, told in (("right", ", ".join(self.right)), ("hint", self.hint), ("answer", self.answer)):
            if told:
                first, *rest = told.splitlines()
                lines += [f"    {word:<8}{first}", *textwrap.indent("\n".join(rest), " " * 12).splitlines()]
        return "\n".join(lines)


def check(function, seed=0, name=None, answer=False):
    """Compare your function with the package's on numbers drawn from the seed: a name, a number, anything.

    The exercise is the one that the function is called after, or `name`. If it is wrong, the first array that departs
    is told, with your line and a hint; with `answer`, also the package's line. It can tell of the locals that have the
    names the package gives them, so use its names.

    Raises ValueError if there is no such exercise.
    """
    exercise = name or getattr(function, "__name__", str(function))
    reference(exercise)
    return judge(exercise, seed, [attempt(function, exercise, seed, number) for number in range(ROUNDS)], answer)


def attempt(function, exercise, seed, number=0):
    """Run a function on draw `number`, and write down each of its local arrays whenever a line has changed it."""
    answer, args = reference(exercise), case(exercise, seed, number)
    given = {id(a) for a in arrays(dict(enumerate(args))).values()}
    try:
        inspect.signature(function).bind(*args)
    except TypeError:
        wanted = ", ".join(list(inspect.signature(answer).parameters)[: len(args)])
        return Attempt({}, [], f"it must take {len(args)} arguments, ({wanted})")
    code = getattr(inspect.unwrap(function), "__code__", None)
    seen, latest, running = [], {}, 0

    def after_line(frame, event, arg):
        nonlocal running
        for name, array in arrays(frame.f_locals).items():
            if id(array) in given or (name in latest and _identical(latest[name], array)):
                continue
            latest[name] = array.copy()
            if array.dtype.kind == "f":
                seen.append(Seen(name, latest[name], running, _line(code, running)))
        running = frame.f_lineno
        return after_line

    def at_call(frame, event, arg):
        if frame.f_code is answer.__code__ and code is not answer.__code__:
            raise NotImplementedError(f"it calls the package's own {exercise}: write it yourself")
        return after_line(frame, event, arg) if frame.f_code is code else None

    tracer = sys.gettrace()
    sys.settrace(at_call)
    try:
        result = function(*args)
    except NotImplementedError as error:
        return Attempt({}, seen, str(error) if "package" in str(error) else "it is not written yet")
    except Exception as error:                         # whatever a learner's code may raise is told
        return Attempt({}, seen, _told(error, code))
    finally:
        sys.settrace(tracer)
    if result is None:
        return Attempt({}, seen, "it returns nothing yet")
    return Attempt(_named(result, answer), seen)


def _identical(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def _told(error, code):
    told = f"it raises {type(error).__name__}: {error}"
    if "read-only" in told:
        told += " (a function must not write into what it is given; make a copy)"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if code and f.filename == code.co_filename]
    return told + (f"\n    at line {lines[-1]}: {_line(code, lines[-1])}" if lines else "")


def _line(code, number):
    return linecache.getline(code.co_filename, number).strip()


def _named(result, function):
    """The arrays that came back, under the names that the docstring gives them; without a name it is `out`."""
    told = inspect.getdoc(function).split("->")[-1].split("\n")[0].split(":")[0]
    parts = re.sub(r"\(.*?\)", "()", told).replace(";", ",").split(",")
    words = [part.strip().split(" ")[0] for part in parts]
    known = [word for word in words if re.match(r"d\w+$|acts$|grads$|out$|logits$|loss$|probs$|same$|\(", word)]
    names = ["out" if word in ("same", "()") else word for word in known]
    results = result if isinstance(result, tuple) else (result,)
    return arrays({(names[i] if i < len(names) else f"result {i + 1}"): x for i, x in enumerate(results)})


def judge(exercise, seed, attempts, answer=False):
    """The verdict on the attempts at an exercise, one for each draw."""
    for number, mine in enumerate(attempts):
        truth = attempt(reference(exercise), exercise, seed, number)
        fault = _first_fault(mine, truth)
        if fault is None:
            continue
        name, message, line = fault
        if number:
            message += "\n    (the first draw was right; this one has other sizes, padding, dropout, ignored labels)"
        right = [n for n in _last(truth.seen) if _is_right(n, mine, truth)]
        told = name and (line or name in mine.results)
        return Verdict(exercise, str(seed), False, message, right, name, line, hint(exercise, name) if told else None,
                       _statement(exercise, name, truth) if answer else None)
    return Verdict(exercise, str(seed), True, f"right, on {len(attempts)} draws")


def _first_fault(mine, truth):
    """-> (name, message, line) of the first array that departs, in the order of the package's lines, or None"""
    scale = max(np.abs(a).max(initial=0) for a in truth.results.values())
    asked = [name for name in truth.results if name in mine.results or not name.startswith("acts")]
    wrong = [name for name in asked
             if name not in mine.results or not _close(mine.results[name], truth.results[name], scale)]
    extra = [name for name in mine.results if name not in truth.results and not name.startswith("acts")]
    if not (wrong or extra or mine.error):
        return None
    for name, right in _last(truth.seen).items():
        yours = _last(mine.seen).get(_alias(name, mine.seen))
        if yours and not _is_right(name, mine, truth):
            how = _how(yours.array, right.array)
            return name, f"{name} departs: {how}\n    at line {yours.line}: {yours.text}", yours.line
    if mine.error:
        return None, mine.error, None
    if not wrong:
        return extra[0], f"it returns {', '.join(extra)} too many", None
    name = wrong[0]
    if name not in mine.results:
        return name, f"{name} is missing from what it returns ({', '.join(mine.results) or 'no array'})", None
    return name, f"{name}, which it returns, is wrong: {_how(mine.results[name], truth.results[name])}", None


def _last(seen):
    """The final state of each name, in the order in which they became final."""
    final = {s.name: i for i, s in enumerate(seen)}
    return {seen[i].name: seen[i] for i in sorted(final.values())}


def _alias(name, seen):
    """The name itself, or that of the same key in another dict: your `grads["bias"]` is the package's `g["bias"]`."""
    if "[" not in name or any(s.name == name for s in seen):
        return name
    key = name[name.index("["):]
    return next((s.name for s in seen if s.name.endswith(key)), name)


def _is_right(name, mine, truth):
    """Whether you have these numbers, under any name and in any shape.

    A name of the package may be written to again. Then it is enough to end with one of its states.
    """
    states = [s.array for s in truth.seen if s.name == name and s.array.any()] or [_last(truth.seen)[name].array]
    ends = [s.array for s in _last(mine.seen).values()]
    return (any(_same_numbers(a, states[-1]) for a in (s.array for s in mine.seen))
            or any(_same_numbers(a, state) for a in ends for state in states))


def _same_numbers(a, b):
    return a.size == b.size and _close(a.ravel(), b.ravel(), np.abs(b).max(initial=0))


def _close(a, b, scale):
    return a.shape == b.shape and bool((np.abs(a - b) <= TOLERANCE * max(scale, 1e-300)).all())


def _how(yours, right):
    """In what way an array is wrong, in words."""
    if yours.shape != right.shape:
        turned = yours.shape == right.shape[::-1] and _close(yours.T, right, np.abs(right).max(initial=0))
        return f"its shape is {yours.shape}, but must be {right.shape}" + (", its transpose" if turned else "")
    scale = np.abs(right).max(initial=0)
    if not np.isfinite(yours).all():
        return "it holds nan or infinity"
    if not yours.any():
        return "it is all zero"
    factor = float((yours * right).sum() / (right * right).sum()) if right.any() else 0
    if _close(yours, factor * right, scale):
        return f"it is {factor:.6g} times what it must be"
    for axis in range(right.ndim):
        if _close(np.flip(yours, axis), right, scale):
            return f"it is reversed along axis {axis}"
        at = np.unique(np.nonzero(np.abs(yours - right) > TOLERANCE * scale)[axis])
        if len(at) < right.shape[axis]:
            return f"it is wrong only at {', '.join(map(str, at))} of axis {axis} (which has {right.shape[axis]})"
    if right.ndim and np.ptp(yours - right, axis=-1).max() <= TOLERANCE * scale:
        return "each of its rows is off by a constant"
    narrow = " (it was computed in float32)" if np.abs(yours - right).max() < 1e-5 * scale else ""
    return f"it is off by up to {np.abs(yours - right).max():.2g}, of numbers up to {scale:.2g}{narrow}"


def _statement(exercise, name, truth):
    """The package's lines that make `name`; if it is only returned, the line that returns it."""
    source, first = inspect.getsourcelines(reference(exercise))
    body = ast.parse("".join(source)).body[0].body
    inner = [x for statement in body for x in ast.walk(statement) if isinstance(x, ast.stmt)]
    lines = dict.fromkeys(s.line - first + 1 for s in truth.seen if s.name == name)
    found = [max((x for x in inner if x.lineno <= line <= x.end_lineno), key=lambda x: x.lineno) for line in lines]
    found = found or [x for x in inner if isinstance(x, ast.Return)][-1:]
    return "\n".join(textwrap.dedent("".join(source[x.lineno - 1 : x.end_lineno])).rstrip() for x in found)


# Grading: the file runs in a process of its own, which hands back arrays; they are judged here.

def grade(file, seed=0, exercises=None, limit=10.0):
    """Judge the functions in a learner's file: a dict that is ready for JSON.

    `exercises`: those that count, by default all that the file defines; `limit`: seconds for each. Of a notebook only
    imports and functions are taken. Nothing of the file runs in this process.

    Raises ValueError if an exercise is unknown or none is found, OSError if the file cannot be read.
    """
    path = Path(file)
    for name in exercises or ():
        reference(name)
    source, error = path.read_bytes(), ""
    try:
        if path.suffix == ".ipynb":
            source = _functions_of(json.loads(source)).encode()
        defined = [f.name for f in ast.parse(source).body if isinstance(f, ast.FunctionDef)]
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        defined, error = [], f"it cannot be read as Python: {problem}"
    wanted = list(dict.fromkeys(exercises or [name for name in defined if name in EXERCISES]))
    if not wanted:
        raise ValueError(f"{file} must define at least one exercise, but {error or 'it defines none'};"
                         " `course list` shows their names")
    verdicts = []
    for name in wanted:
        if name in defined:
            verdicts.append(judge(name, seed, _attempts_elsewhere(source, path.name, name, seed, limit)))
        else:
            verdicts.append(Verdict(name, str(seed), False, error or "it is not in the file"))
    passed = sum(v.passed for v in verdicts)
    return dict(file=str(file), seed=str(seed), passed=passed, of=len(verdicts),
                exercises=[asdict(v) for v in verdicts])


def _functions_of(notebook):
    """Imports and functions of the code cells of a notebook, as a file."""
    kept = []
    try:
        cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    except (TypeError, KeyError) as error:
        raise ValueError(f"this is no notebook ({error!r} is missing)") from None
    for cell in cells:
        plain = "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in cell.splitlines())
        try:
            statements = ast.parse(plain).body
        except SyntaxError:
            continue
        kept += [ast.get_source_segment(plain, s) for s in statements
                 if isinstance(s, (ast.Import, ast.ImportFrom, ast.FunctionDef))]
    return "\n\n\n".join(kept)


_CHILD = "import sys; sys.path.insert(0, sys.argv[1]); from minconvbert.course import _hand_in; _hand_in(*sys.argv[2:])"


def _attempts_elsewhere(source, filename, exercise, seed, limit):
    with tempfile.TemporaryDirectory() as folder:
        file, answers = Path(folder, filename).with_suffix(".py"), Path(folder, "answers.npz")
        file.write_bytes(source)
        command = [sys.executable, "-I", "-c", _CHILD, Path(__file__).parents[1], file, exercise, seed, answers]
        process = subprocess.Popen(
            [str(x) for x in command], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            return [Attempt({}, [], f"it runs longer than {limit:g} seconds")]
        finally:
            _kill(process)
        try:
            return _read_attempts(answers.read_bytes())
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
            return [Attempt({}, [], "its process ended, or used too much memory, before it gave an answer")]


def _kill(process):
    """End the process and all that it started."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.kill()
    process.wait()


def _hand_in(file, exercise, seed, answers):
    """In the process of its own: run the file, then its function, and write down what came."""
    try:
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (1 << 32, 1 << 32))
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_ANSWER, LARGEST_ANSWER))
    except (ImportError, ValueError, OSError):         # not every system has such limits
        pass
    spec = spec_from_file_location("handed_in", file)
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        function = getattr(module, exercise)
        attempts = [attempt(function, exercise, seed, number) for number in range(ROUNDS)]
    except Exception as error:
        attempts = [Attempt({}, [], f"the file itself raises {type(error).__name__}: {error}")]
    told, held = [], {}
    for i, mine in enumerate(attempts):
        seen = [(s.name, s.line, s.text) for s in mine.seen]
        told.append(dict(results=list(mine.results), seen=seen, error=mine.error))
        held |= {f"{i}.{kind}.{j}": np.asarray(a, float) for kind, found in (
            ("results", mine.results.values()), ("seen", (s.array for s in mine.seen))) for j, a in enumerate(found)}
    np.savez(answers, told=np.array(json.dumps(told)), **held)


def _read_attempts(data):
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        if sum(entry.file_size for entry in packed.infolist()) > LARGEST_ANSWER:
            raise ValueError("too large")
    held = np.load(io.BytesIO(data), allow_pickle=False)
    attempts = []
    for i, told in enumerate(json.loads(str(held["told"]))):
        results = {name: held[f"{i}.results.{j}"] for j, name in enumerate(told["results"])}
        seen = [Seen(name, held[f"{i}.seen.{j}"], line, text) for j, (name, line, text) in enumerate(told["seen"])]
        attempts.append(Attempt(results, seen, told["error"]))
    return attempts


def course_main(argv):
    parser = argparse.ArgumentParser(prog="python -m minconvbert course", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the names of all exercises")
    for name, purpose in (("stub", "what to write, as the beginning of a file"), ("solution", "the package's source")):
        command = commands.add_parser(name, help=purpose)
        command.add_argument("exercises", nargs="+", metavar="EXERCISE")
        if name == "stub":
            command.add_argument("--skeleton", action="store_true", help="with the left side of every line")
    command = commands.add_parser("grade", help="judge the functions of a file, each in a process of its own")
    command.add_argument("file", help="a .py file or a notebook")
    command.add_argument("--seed", default="0", help="what the numbers are drawn from: the learner's name, say")
    command.add_argument("--exercises", nargs="+", metavar="EXERCISE",
                         help="those that count (default: all in the file)")
    command.add_argument("--limit", type=float, default=10.0, metavar="SECONDS", help="for each exercise (default: 10)")
    command.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)

    if args.command == "list":
        print("\n".join(EXERCISES))
    elif args.command == "solution":
        print("\n\n\n".join(solution(name) for name in args.exercises))
    elif args.command == "stub":
        lines = dict.fromkeys(line for name in args.exercises for line in imports(name))
        print("\n".join(lines), *(stub(name, args.skeleton) for name in args.exercises), sep="\n\n\n")
    else:
        if not args.limit > 0:
            raise ValueError(f"--limit must be a positive number of seconds, but is {args.limit:g}")
        report = grade(args.file, args.seed, args.exercises, args.limit)
        if args.json:
            print(json.dumps(report, indent=1))
        else:
            for entry in report["exercises"]:
                print(Verdict(**entry))
            print(f"{report['passed']} of {report['of']} right")
        return 0 if report["passed"] == report["of"] else 1
    return 0
