"""Exercises as a notebook to hand out: one that checks itself, or the source of an nbgrader or Otter assignment."""

import json

import numpy as np

from ..files import write_atomic
from .attempt import results_of
from .catalog import catalog
from .exercises import rounds
from .handout import imports, solution, stub

KINDS = ("plain", "nbgrader", "otter")
PREAMBLE = """# Exercises

Replace the body of each function, and run the cell: it compares your arrays with the package's on numbers drawn from a
seed. If one departs, it names the line and gives a hint. Give your arrays the names that the docstring uses."""


def notebook(exercises, kind="plain", seed="your name", points=10, skeleton=False):
    """The notebook as a dict, ready for JSON.

    `kind`: "plain" for learners, who check themselves; "nbgrader" for the source, with solutions, that
    `nbgrader generate_assignment` reads; "otter" for the one that `otter assign` reads. The last two give partial
    credit for the share of the arrays that are right: in nbgrader it is the value of the test cell, in Otter each array
    has a hidden test with its own points.   Raises ValueError for another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, but is {kind!r}")
    known = {entry.exercise: entry for entry in catalog()}
    lines = dict.fromkeys(line for name in exercises for line in imports(name))
    cells = [_markdown(PREAMBLE), _code("\n".join([*lines, "from minconvbert.course import check"]))]
    if kind == "otter":
        cells.insert(0, _raw("# ASSIGNMENT CONFIG\nname: minconvbert\nsolutions_pdf: false\nexport_cell: false\n"
                             "generate: false\nfiles: []"))
    for name in exercises:
        entry = known[name]
        told = (f"## {name}\n\nNotebook {entry.notebook}, difficulty {entry.difficulty} of 5, about {entry.minutes} "
                "minutes." + (f" You may call `{'`, `'.join(entry.needs)}`." if entry.needs else ""))
        write = stub(name, skeleton)
        if kind == "plain":
            cells += [_markdown(told), _code(f'{write}\n\ncheck({name}, seed="{seed}")')]
        elif kind == "nbgrader":
            cells += [_markdown(told), *_nbgrader(name, points)]
        else:
            cells += _otter(name, points, _markdown(told))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number:02}"
    return dict(cells=cells, nbformat=4, nbformat_minor=5, metadata=dict(
        kernelspec=dict(display_name="Python 3", language="python", name="python3"),
        language_info=dict(name="python")))


def write_notebook(path, exercises, **options):
    """Write the notebook whole, or not at all."""
    write_atomic(path, json.dumps(notebook(exercises, **options), indent=1, ensure_ascii=False) + "\n")


def _nbgrader(name, points):
    """A cell to fill in, and one that grades it: its value is the partial credit."""
    head, body = _split(name)
    answer = f"{head}\n    ### BEGIN SOLUTION\n{body}\n    ### END SOLUTION"
    test = (f'verdict = check({name}, seed="0")\nprint(verdict)\n'
            f'### BEGIN HIDDEN TESTS\nverdict = min((check({name}, seed=seed) for seed in range(1, 4)), '
            f'key=lambda v: v.credit)\n### END HIDDEN TESTS\n{points} * verdict.credit')
    return [_code(answer, nbgrader=dict(grade=False, grade_id=name, locked=False, schema_version=3, solution=True,
                                        task=False, cell_type="code")),
            _code(test, nbgrader=dict(grade=True, grade_id=f"check_{name}", locked=True, points=points,
                                      schema_version=3, solution=False, task=False, cell_type="code"))]


def _otter(name, points, told):
    """A question: what to write, a test that learners see and that gives no points, and a hidden one for each array."""
    head, body = _split(name)
    answer = f"{head}\n    # BEGIN SOLUTION\n{body}\n    # END SOLUTION"
    names = list(dict.fromkeys(x for number in range(rounds(name)) for x in results_of(name, number)))
    shares = np.diff(np.linspace(0, points, len(names) + 1).round(4)).round(4).tolist()
    hidden = [_code(f"# HIDDEN\nassert all(check({name}, seed=seed).marks.get({array!r}) for seed in range(1, 4))")
              for array in names]
    return [_raw(f"# BEGIN QUESTION\nname: {name}\npoints: {[0, *shares]}"), told, _raw("# BEGIN SOLUTION"),
            _code(answer), _raw("# END SOLUTION"), _raw("# BEGIN TESTS"),
            _code(f"verdict = check({name}, seed=0)\nassert verdict, verdict"), *hidden, _raw("# END TESTS"),
            _raw("# END QUESTION")]


def _split(name):
    """-> the stub's signature and docstring, the body of the solution"""
    head = stub(name).splitlines()[:-1]                # without `raise NotImplementedError`
    count = len([line for line in head if not line.startswith("    # ")])
    return "\n".join(head), "\n".join(solution(name).splitlines()[count:])


def _markdown(text):
    return dict(cell_type="markdown", metadata={}, source=text.splitlines(True))


def _raw(text):
    return dict(cell_type="raw", metadata={}, source=text.splitlines(True))


def _code(text, **metadata):
    return dict(cell_type="code", metadata=metadata, execution_count=None, outputs=[], source=text.splitlines(True))
