"""What is handed out: stubs, skeletons, solutions and imports, all cut from the package's own source."""

import ast
import inspect
import textwrap

from .attempt import results_of
from .exercises import reference, rounds


def solution(exercise):
    """The source of the package's function."""
    return inspect.getsource(reference(exercise)).rstrip()


def stub(exercise, skeleton=False):
    """The function's signature and docstring, to fill in; with `skeleton` also the left side of every line."""
    source = solution(exercise)
    docstring, *body = ast.parse(source).body[0].body
    kept = source.splitlines()[: docstring.end_lineno]
    empty = [*_acts_wanted(exercise), '    raise NotImplementedError("your turn")']
    rest = _hollow(body, source) if skeleton else empty
    return "\n".join([*kept, *rest])


def _acts_wanted(exercise):
    """For a forward that returns acts: a comment that names what they must hold."""
    draws = [[name.split('"')[1] for name in results_of(exercise, number) if name.startswith("acts[")]
             for number in range(rounds(exercise))]
    names = list(dict.fromkeys(name for draw in draws for name in draw))
    if not names:
        return []
    always = [name for name in names if all(name in draw for draw in draws)]
    extra = [name for name in names if name not in always]
    told = f"acts must hold {', '.join(always)}" + (f"; and {', '.join(extra)}, if there is one" if extra else "")
    return textwrap.wrap(told, 110, initial_indent="    # ", subsequent_indent="    # ")


def _hollow(statements, source):
    """The lines of the statements, with `...` for what a learner must find out."""
    def text(node):
        return ast.get_source_segment(source, node)

    for statement in statements:
        indent = " " * statement.col_offset
        if isinstance(statement, ast.For):
            yield f"{indent}for {text(statement.target)} in {text(statement.iter)}:"
            yield from _hollow(statement.body, source)
        elif isinstance(statement, ast.Return):
            results = getattr(statement.value, "elts", [statement.value])
            yield f"{indent}return {', '.join(text(x) if isinstance(x, ast.Name) else '...' for x in results)}"
        elif isinstance(statement, ast.AugAssign):
            yield f"{indent}{text(statement).split('=')[0]}= ..."
        elif isinstance(statement, ast.Assign) and not _is_given(statement.value):
            yield f"{indent}{text(statement.targets[0])} = ..."
        else:
            yield indent + text(statement)


def _is_given(value):
    """Whether a value gives nothing away: it only names sizes, reads a dict or makes an empty array."""
    if isinstance(value, ast.Tuple):
        return all(_is_given(x) for x in value.elts)
    if isinstance(value, ast.Call):
        return ast.unparse(value.func).split(".")[-1] in ("dims", "pad", "zeros_like", "get", "dict")
    return isinstance(value, (ast.Subscript, ast.Attribute, ast.Dict))


def imports(exercise):
    """The lines that import what the package's own function uses, for the head of a file of stubs."""
    function, homes = reference(exercise), {}
    known = function.__globals__
    used = {node.id for node in ast.walk(ast.parse(solution(exercise))) if isinstance(node, ast.Name)} & set(known)
    for name in used:
        if not inspect.ismodule(known[name]):
            homes.setdefault(getattr(known[name], "__module__", function.__module__), []).append(name)
    return [*(["import math"] if "math" in used else []), "import numpy as np",
            *(f"from {home} import {', '.join(sorted(names))}" for home, names in sorted(homes.items()))]
