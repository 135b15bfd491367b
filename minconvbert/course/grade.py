"""Grade a file of exercises: it runs in a process of its own, which hands back arrays; they are judged here."""

import ast
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import asdict
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np

from .check import ROUNDS, Attempt, Seen, Verdict, attempt, judge
from .exercises import EXERCISES, reference

LARGEST_ANSWER = 1 << 26                               # bytes that a graded function may hand back

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


_CHILD = ("import sys; sys.path.insert(0, sys.argv[1]);"
          " from minconvbert.course.grade import hand_in; hand_in(*sys.argv[2:])")


def _attempts_elsewhere(source, filename, exercise, seed, limit):
    with tempfile.TemporaryDirectory() as folder:
        file, answers = Path(folder, filename).with_suffix(".py"), Path(folder, "answers.npz")
        file.write_bytes(source)
        command = [sys.executable, "-I", "-c", _CHILD, Path(__file__).parents[2], file, exercise, seed, answers]
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


def hand_in(file, exercise, seed, answers):
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
