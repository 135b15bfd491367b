"""The faults of a source text: each is one change, such as a tired programmer makes.

A fault is another operator, a constant or the end of a slice off by one, two arguments swapped, a call or an argument
dropped, or a condition turned round. Messages, formatted strings, annotations and options of looks are left alone.
"""

import ast
import re

OPERATORS = {ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "/", ast.Mod: "//", ast.Pow: "*",
             ast.BitAnd: "|", ast.BitOr: "&", ast.LShift: ">>", ast.RShift: "<<",
             ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==", ast.In: "not in",
             ast.NotIn: "in", ast.Is: "is not", ast.IsNot: "is", ast.And: "or", ast.Or: "and"}
OPERATOR = re.compile(rb"[^\w\s()#]+|\b(?:not\s+in|is\s+not|in|is|and|or)\b")
COMMUTE = {"array_equal", "max", "maximum", "min", "minimum"}               # their arguments may be swapped
TEXT = ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom
LOOKS = {"alpha", "color", "colour", "fontsize", "help", "labelsize", "linewidth", "markersize", "metavar", "pad"}


def faults(source):
    """Every fault of a file: (line, begin, end, new text), places counted in bytes."""
    lines, source = [0], source.encode()
    for line in source.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))

    def span(node):
        return lines[node.lineno - 1] + node.col_offset, lines[node.end_lineno - 1] + node.end_col_offset

    for node in _walk(ast.parse(source)):
        for begin, end, new in _changes(node, span, lambda node: source[slice(*span(node))].decode(), source):
            if new != source[begin:end].decode():
                yield node.lineno, begin, end, new


def _walk(node):
    """All nodes but those of messages, formatted strings and annotations."""
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, TEXT) and getattr(child, "arg", "") not in LOOKS and (
                    name not in ("annotation", "returns", "decorator_list")):
                yield child
                yield from _walk(child)


def _changes(node, span, text, source):
    """(begin, end, new text) of each fault of one node."""
    def between(left, right, operator):
        found = OPERATOR.search(source, span(left)[1], span(right)[0])
        return [(*found.span(), operator)] if found else []

    match node:
        case ast.BinOp(left, op, right) | ast.Compare(left, [op], [right]) | ast.BoolOp(op, [left, right, *_]) if (
                type(op) in OPERATORS and not isinstance(left, ast.JoinedStr)):
            yield from between(left, right, OPERATORS[type(op)])
        case ast.AugAssign(target, op, value) if type(op) in OPERATORS:
            yield from between(target, value, OPERATORS[type(op)] + "=")
        case ast.UnaryOp(ast.Not() | ast.USub(), operand):
            yield *span(node), f"({text(operand)})"
        case ast.Constant(bool(value)):
            yield *span(node), str(not value)
        case ast.Constant(int(value)):
            yield *span(node), str(value + 1)
        case ast.Constant(float()):
            yield *span(node), f"({text(node)} * 1.5)"
        case ast.Slice(lower, upper):
            for bound in (lower, upper):
                if bound is not None and not isinstance(bound, ast.Constant):
                    yield *span(bound), f"({text(bound)}) + 1"
        case ast.Expr(ast.Call()):
            yield *span(node), "pass"
        case ast.Call(function, [argument], []) if not isinstance(argument, ast.Starred):
            yield *span(node), f"({text(argument)})"
        case ast.Call(function, arguments, keywords):
            match arguments:
                case [first, second, *_] if text(function).split(".")[-1] not in COMMUTE and not any(
                        isinstance(x, ast.Starred) for x in (first, second)):
                    between_them = source[span(first)[1]:span(second)[0]].decode()
                    yield span(first)[0], span(second)[1], text(second) + between_them + text(first)
            for keyword in keywords:
                comma = source.rfind(b",", span(function)[1], span(keyword)[0])
                if keyword.arg and keyword.arg not in LOOKS and comma > 0 and source[comma + 1 : span(keyword)[0]].isspace():
                    yield comma, span(keyword)[1], ""
        case ast.If(test) | ast.IfExp(test) | ast.While(test) if isinstance(test, (ast.Name, ast.Attribute, ast.Call)):
            yield *span(test), f"(not {text(test)})"


def in_a_body(source, line):
    """Whether a line is in the body of a function, and so runs when that is called, not at import."""
    return any(isinstance(node, ast.FunctionDef) and node.body[0].lineno <= line <= node.end_lineno
               for node in ast.walk(ast.parse(source)))


def changed(source, fault):
    """-> the source with the fault; the line before and after it, as `equivalent_mutants.txt` has them"""
    source, (_, begin, end, new) = source.encode(), fault
    left, right = source.rfind(b"\n", 0, begin) + 1, (source + b"\n").find(b"\n", end)
    mutant = source[:begin] + new.encode() + source[end:]
    squeeze = lambda text: " ".join(text.decode().split())
    return mutant.decode(), squeeze(source[left:right]), squeeze(mutant[left : right + len(mutant) - len(source)])
