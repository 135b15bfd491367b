"""The part of a notebook that a graded function needs, as one source."""

import ast
import re
from typing import NamedTuple


class Source(NamedTuple):
    """`text` is Python; `places` has (cell, line in the cell) for each of its lines; `notes` say what was left out."""

    text: str
    places: list
    notes: list


MAGIC = re.compile(r"\s*[%!?]|.*\?\s*$|\s*[\w.,\s\[\]\"']+=\s*[!%]")       # %time f(x)   !ls   f?   x = !ls
KEEPS = ("%%time", "%%timeit", "%%capture", "%%prun")  # cell magics whose cell is Python


def needed(notebook, wanted):
    """The functions `wanted` in the code cells, and what they use: imports, constants, helpers.

    Nothing else runs when the source is run: no training, no figure, no download.

    Raises ValueError if this is not a notebook.
    """
    try:
        cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    except (TypeError, KeyError) as error:
        raise ValueError(f"this is not a notebook ({error!r} is missing)") from None
    statements, notes = [], []
    for number, cell in enumerate(cells, 1):
        plain, dropped = without_magics(cell)
        try:
            body = ast.parse(plain).body
        except (SyntaxError, ValueError) as error:
            notes.append(f"code cell {number} is not Python and was left out ({error})")
            continue
        notes += [f"code cell {number}, line {line}: `{text}` was left out" for line, text in dropped]
        statements += [(number, plain, statement) for statement in body]
    kept = _used_by(wanted, statements)
    kept.sort(key=lambda entry: _rank(entry[2], wanted))
    lines, places = [], []
    for number, plain, statement in kept:
        first = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", ()))])
        text = plain.splitlines()[first - 1 : statement.end_lineno]
        if not isinstance(statement, ast.FunctionDef) and (statement.col_offset or ";" in text[-1]):
            # several statements on one line
            text = ast.get_source_segment(plain, statement).splitlines()
        lines += [*text, ""]
        places += [(number, first + i) for i in range(len(text) + 1)]
    return Source("\n".join(lines) + "\n", places, notes)


def _rank(statement, wanted):
    """`from __future__` must come first. A judged function comes last, so that no later import of its name hides it."""
    if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
        return 0
    return 2 if isinstance(statement, ast.FunctionDef) and statement.name in wanted else 1


def without_magics(cell):
    """-> the cell with IPython's own lines blanked, [(line, text)] of those"""
    try:
        ast.parse(cell)
        return cell, []
    except (SyntaxError, ValueError):
        pass
    lines, dropped = cell.splitlines(), []
    if lines and lines[0].startswith("%%") and not lines[0].startswith(KEEPS):
        return cell, []                                # a cell in another language, which the caller leaves out
    for i, line in enumerate(lines):
        if MAGIC.match(line):
            dropped.append((i + 1, line.strip()))
            lines[i] = re.match(r"\s*", line)[0] + ("pass" if line[:1].isspace() else "")
    return "\n".join(lines), dropped


def _used_by(wanted, statements):
    """The statements that bind the names, and those that bind what they use, and so on, in their order."""
    open_names, kept = set(wanted), set()
    done = set()
    while open_names - done:
        name = (open_names - done).pop()
        done.add(name)
        for i, (_, _, statement) in enumerate(statements):
            if i not in kept and (name in _bound(statement) or "*" in _bound(statement)):
                kept.add(i)
                open_names |= {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
    return [statements[i] for i in sorted(kept)]


def _bound(statement):
    """The names that a statement at the top of a module binds or changes."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {statement.name}
    if isinstance(statement, ast.Expr):
        return set()
    names = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            base = node.value
            while isinstance(base, (ast.Subscript, ast.Attribute)):
                base = base.value
            names |= {base.id} if isinstance(base, ast.Name) else set()
    return names
