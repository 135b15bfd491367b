"""Grade files of exercises: each function runs in a process of its own, which hands back arrays; they are judged here.
"""

import __future__

import ast
import inspect
import io
import json
import linecache
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np

from . import cells, confine
from .attempt import Attempt, Borrowed, Seen, attempt_on, refused
from .check import Verdict, judge
from .exercises import EXERCISES, case, reference, rounds


def grade(file, seed=0, exercises=None, limit=10.0, points=1.0):
    """Judge the functions in a learner's file: a dict that is ready for JSON.

    `exercises`: those that count, by default all that the file defines; `limit`: seconds for each; `points`: for each
    that is right. One that is partly right gets the share of its arrays that are right. In a notebook, only the
    functions and what they use are run. Nothing of the file runs in this process.

    Raises ValueError if an exercise is unknown or none is found, OSError if the file cannot be read.
    """
    path = Path(file)
    for name in exercises or ():
        reference(name)
    source, defined, error = _read(path)
    wanted = list(dict.fromkeys(exercises or [name for name in defined if name in EXERCISES]))
    if not wanted:
        raise ValueError(f"{file} must define at least one exercise, but {error or 'it defines none'};"
                         " `course list` shows their names")

    # Read before the threads begin: Python 3.11 confuses syntax trees that two threads build at once.
    sources = {name: _read(path, name)[0] for name in wanted if name in defined}

    def verdict(name):
        return (_verdict(sources[name], path, name, seed, limit) if name in sources
                else Verdict(name, str(seed), False, error or "it is not in the file"))

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as side_by_side:
        verdicts = list(side_by_side.map(verdict, wanted))
    entries = [asdict(v) | dict(points=round(points * v.credit, 4)) for v in verdicts]
    return dict(file=str(file), seed=str(seed), passed=sum(v.passed for v in verdicts), of=len(verdicts),
                points=round(sum(entry["points"] for entry in entries), 4), points_of=points * len(verdicts),
                exercises=entries, notes=source.notes)


def _read(path, exercise=None):
    """-> Source, the names of the functions that it defines, why it cannot be read or ''"""
    data = path.read_bytes()
    try:
        if path.suffix == ".ipynb":
            source = cells.needed(json.loads(data), [exercise] if exercise else EXERCISES)
            tree = ast.parse(source.text)
        else:
            source, tree = cells.Source(data, None, []), ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        return cells.Source("", None, []), [], f"it cannot be read as Python: {problem}"
    return source, [name for statement in tree.body for name in _functions(statement)], ""


def _functions(statement):
    if isinstance(statement, ast.FunctionDef):
        return [statement.name]
    if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Lambda):
        return [target.id for target in statement.targets if isinstance(target, ast.Name)]
    return []


def _verdict(source, path, exercise, seed, limit):
    elsewhere = partial(_attempts_elsewhere, source.text, path, exercise, str(seed), limit)
    attempts = elsewhere(range(rounds(exercise)), False)
    verdict = judge(exercise, seed, attempts, lambda number: elsewhere([number], True)[0])
    if source.places:
        verdict.message = re.sub(r"at line (\d+)", lambda m: _place(source.places, int(m[1])), verdict.message)
    return verdict


def _place(places, line):
    cell, line = places[min(line, len(places)) - 1]
    return f"code cell {cell}, line {line}"


_CHILD = ("import sys; sys.path.insert(0, sys.argv[1]);"
          " from minconvbert.course.grade import hand_in; hand_in(**__import__('json').loads(sys.argv[2]))")


def _attempts_elsewhere(source, path, exercise, seed, limit, numbers, follow):
    numbers = list(numbers)
    with tempfile.TemporaryDirectory() as folder:
        file, answers = Path(folder, path.name).with_suffix(".py"), Path(folder, "answers.npz")
        file.write_bytes(source if isinstance(source, bytes) else source.encode())
        task = dict(file=str(file), exercise=exercise, seed=seed, numbers=numbers, follow=follow, limit=limit,
                    answers=str(answers), private=str(path.parent.absolute()))
        process = subprocess.Popen(
            [*confine.isolation(), sys.executable, "-I", "-c", _CHILD, str(Path(__file__).parents[2]),
             json.dumps(task)], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True, env=confine.environment(folder))
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            return [Attempt({}, error=f"it runs longer than {limit:g} seconds", ended=False)] * len(numbers)
        finally:
            confine.end(process, folder)
        try:
            return _read_attempts(answers.read_bytes(), len(numbers))
        except (OSError, ValueError, KeyError, TypeError, IndexError, zipfile.BadZipFile):
            return [Attempt({}, error="its process ended, or used too much memory, before it gave an answer",
                            ended=False)] * len(numbers)


def hand_in(file, exercise, seed, numbers, follow, limit, answers, private):
    """In the child process: run the file, then its function on every draw, and write the attempts to `answers`."""
    answer = reference(exercise)
    cases = [case(exercise, seed, number) for number in numbers]
    code, own = answer.__code__, set()
    with refused(answer):                              # to the end, because this process does nothing else
        confine.limit_resources(limit)
        confine.guard(Path(file).parent, private, code, own, Borrowed)
        module, problem = _run(file, own)
        function = getattr(module, exercise, None)
        wrong = _not_own(function, exercise, own) or (problem if function is None else "")
        attempts = ([Attempt({}, error=wrong)] * len(cases) if wrong
                    else [attempt_on(function, exercise, args, follow) for args in cases])
        if problem:
            attempts = [a._replace(error=f"{a.error}\n    ({problem})") if a.error else a for a in attempts]
        _write_attempts(answers, attempts)


def _run(file, own):
    """Run the statements of a file one by one  ->  its module, and what the first that failed raised, in words"""
    source = Path(file).read_bytes()
    tree, problem = ast.parse(source), ""
    module = ModuleType("handed_in")
    module.__file__ = file
    sys.modules["handed_in"] = module                  # dataclasses look for it
    linecache.checkcache(file)
    flags = 0
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            flags |= sum(getattr(__future__, alias.name).compiler_flag for alias in statement.names)
        code = compile(ast.Module([statement], []), file, "exec", flags, dont_inherit=True)
        own.update(confine.nested(code))
        try:
            exec(code, vars(module))
        except (Exception, SystemExit) as error:
            line = linecache.getline(file, statement.lineno).strip()
            problem = problem or (f"the file itself raises {type(error).__name__}: {error}"
                                  f"\n    at line {statement.lineno}: {line}")
    return module, problem


def _not_own(function, exercise, own):
    """Why the function that bears the name is not one that the file writes; '' if it is one, or if there is none."""
    if function is None:
        return ""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return f"{exercise} must be a plain function, but is {type(function).__name__}"
    return "" if code in own else f"{exercise} is not a function that this file writes: write it yourself"


def _write_attempts(answers, attempts):
    told, held = [], {}
    for i, mine in enumerate(attempts):
        told.append(dict(results=list(mine.results), seen=[(s.name, s.line, s.text) for s in mine.seen],
                         error=mine.error, line=mine.line, unread=mine.unread, head=mine.head))
        held |= {f"{i}.{kind}.{j}": a for kind, found in (
            ("results", mine.results.values()), ("seen", (s.array for s in mine.seen))) for j, a in enumerate(found)}
    np.savez(answers, told=np.array(json.dumps(told)), **held)


def _read_attempts(data, number):
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        if sum(entry.file_size for entry in packed.infolist()) > confine.LARGEST_FILE:
            raise ValueError("too large")
    held, attempts = np.load(io.BytesIO(data), allow_pickle=False), []
    for i, told in enumerate(json.loads(str(held["told"]))):
        results = {name: _numbers(held[f"{i}.results.{j}"]) for j, name in enumerate(told["results"])}
        seen = [Seen(name, _numbers(held[f"{i}.seen.{j}"]), line, text)
                for j, (name, line, text) in enumerate(told["seen"])]
        attempts.append(Attempt(results, seen, told["error"], told["line"] and tuple(told["line"]),
                                unread=dict(told["unread"]), head=told["head"] and tuple(told["head"])))
    if len(attempts) != number:
        raise ValueError("an answer is missing")
    return attempts


def _numbers(array):
    if array.dtype.kind not in "fiub":
        raise ValueError("no numbers")
    return array
