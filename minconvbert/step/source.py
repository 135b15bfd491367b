"""The statements of a function: which lines they take, what they read and bind, and what they return."""

import ast
import inspect
import re
from functools import lru_cache
from typing import NamedTuple

from .letters import said_in_docstring


class Statement(NamedTuple):
    """A simple statement, or the head of a compound one: `for j in range(K):`"""

    node: ast.stmt
    first: int                                         # lines, counted in the file
    last: int
    reads: list                                        # names, or subscripts by a fixed key: acts["x"]
    targets: list                                      # nodes that are assigned to

    @property
    def returns(self):
        return isinstance(self.node, ast.Return)

    def is_over(self, following, end):
        """Whether this is the head of a loop after its last turn, so that it bound nothing."""
        inside = isinstance(self.node, ast.For) and self.node.body[0].lineno <= following <= self.node.end_lineno
        return isinstance(self.node, ast.For) and (bool(end) or not inside)

    def says(self, variables):
        """The functions that it calls by name, each with the first line of its docstring."""
        calls = [x.func.id for head in _heads(self.node) for x in ast.walk(head)
                 if isinstance(x, ast.Call) and isinstance(x.func, ast.Name)]
        found = {name: inspect.getdoc(variables[name]) for name in calls if inspect.isfunction(variables.get(name))}
        return {name: doc.split("\n")[0] for name, doc in found.items() if doc and name not in ("dims", "sub", "under")}

    def named_results(self, doc, value):
        """{name: value} of all that is returned, with the names in the docstring, or else in the return."""
        values = value if isinstance(value, tuple) else (value,)
        nodes = self.node.value.elts if isinstance(self.node.value, ast.Tuple) else [self.node.value]
        nodes = nodes if len(nodes) == len(values) else [None] * len(values)
        told, named = names_of_results(doc), {}
        for i, (node, x) in enumerate(zip(nodes, values)):
            name = (told[i] if i < len(told) else "") or base_of(node) or "result"
            named[name if name not in named else f"{name} ({i})"] = x
        return named


class Function(NamedTuple):
    first: int                                         # the line of the file that `source` begins with
    source: list
    doc: str
    statements: dict                                   # line: Statement
    letters: dict                                      # what the docstring calls the axes of an array

    def text(self, statement):
        """Its source, as far to the left as its first line goes."""
        first, *rest = self._lines(statement)
        indent = len(first) - len(first.lstrip())
        return "\n".join([first.lstrip(), *(line[indent:] if line[:indent].isspace() else line for line in rest)])

    def comment(self, statement):
        """The comment at the end of the first line of a statement that has one."""
        return next((line[line.index("#"):] for line in self._lines(statement) if "#" in line), "")

    def _lines(self, statement):
        return self.source[statement.first - self.first : statement.last - self.first + 1]


@lru_cache(maxsize=1000)
def read(code):
    """The source of a function's code, taken apart.   Raises OSError if there is none."""
    lines, first = inspect.getsourcelines(code)
    inside = lines[0][:1].isspace()                    # of a class or function: not dedented, because of long strings
    tree = ast.parse("if True:\n" * inside + "".join(lines))
    definition = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    ast.increment_lineno(tree, first - 1 - inside)
    doc = ast.get_docstring(definition) or ""
    statements = {}
    for node in _statements(definition.body):
        last = node.body[0].lineno - 1 if getattr(node, "body", None) else node.end_lineno
        heads = _heads(node)
        statement = Statement(node, node.lineno, max(node.lineno, last), _reads(heads), _targets(node))
        statements |= dict.fromkeys(range(statement.first, statement.last + 1), statement)
    return Function(first, [line.rstrip("\n") for line in lines], doc, statements, said_in_docstring(doc))


def names_of_results(doc):
    """The words behind the last arrow of a docstring: "-> dx (B, L, D), grads" says dx and grads."""
    told = re.sub(r"\(.*?\)", "()", doc.rpartition("->")[2].split("\n")[0]).split(":")[0]
    words = [part.strip().split(" ")[0] for part in told.replace(";", ",").split(",")]
    return [word if word.isidentifier() and word != "same" else "" for word in words] if "->" in doc else []


def _statements(body):
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody"):
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                yield from _statements(getattr(node, part, ()))
        for branch in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
            yield from _statements(branch.body)


def _heads(node):
    """The expressions that a statement itself evaluates, without those of its body."""
    if isinstance(node, ast.For):
        return [node.iter]
    if isinstance(node, (ast.If, ast.While)):
        return [node.test]
    if isinstance(node, ast.With):
        return [item.context_expr for item in node.items]
    return [] if getattr(node, "body", None) else [node]


def _reads(heads):
    """Names and fixed subscripts that are read, in the order of the text."""
    found = []
    for head in heads:
        bound = {x.id for c in ast.walk(head) if isinstance(c, ast.comprehension) for x in ast.walk(c.target)
                 if isinstance(x, ast.Name)}
        nodes = [x for x in ast.walk(head) if isinstance(x, (ast.Name, ast.Subscript))]
        for node in sorted(nodes, key=lambda x: (x.lineno, x.col_offset)):
            if isinstance(node, ast.Name):
                changed = isinstance(head, ast.AugAssign) and node is head.target
                if node.id not in bound and (isinstance(node.ctx, ast.Load) or changed):
                    found.append(node.id)
            elif isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str) and isinstance(
                    node.value, ast.Name) and isinstance(node.ctx, ast.Load):
                found.append(f'{node.value.id}["{node.slice.value}"]')
            elif isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name):
                found.append(node.value.id)            # a part of an array is written, the rest is kept
    return list(dict.fromkeys(found))


def _targets(node):
    """The names and subscripts that a statement assigns to, one by one."""
    if isinstance(node, ast.Assign):
        targets = list(node.targets)
    elif isinstance(node, (ast.AugAssign, ast.AnnAssign, ast.For)):
        targets = [node.target]
    elif isinstance(node, ast.With):
        targets = [item.optional_vars for item in node.items if item.optional_vars]
    else:
        targets = []
    flat = []
    while targets:
        target = targets.pop(0)
        targets = [*getattr(target, "elts", ()), *targets]
        flat += [] if hasattr(target, "elts") else [target]
    return flat


def base_of(node):
    """The name that an expression is a view of: `y` of y.reshape(...). "" if it is none."""
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.IfExp):
            node = node.body
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            node = node.func.value
        elif isinstance(node, ast.Attribute):
            node = node.value
        elif isinstance(node, ast.Subscript):
            parts = getattr(node.slice, "elts", [node.slice])
            if [type(part) for part in parts] == [ast.Constant] and isinstance(parts[0].value, str):
                return f'{ast.unparse(node.value)}["{parts[0].value}"]'
            if not all(isinstance(part, (ast.Slice, ast.Constant)) for part in parts):
                return ""                              # picked by an array of places, so it is another array
            node = node.value
        else:
            return ""
    return node.id if node.id not in ("np", "math") else ""
