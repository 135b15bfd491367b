"""The multiplications and sums behind a number: a formula for every entry that a line of code makes.

The line's own expression is evaluated a second time, with `Cells` in place of arrays. The formulas below replace the
functions of the package, so that `linear(x, weight, bias)` gives x . w + b. A line that calls any other function has no
formula, because that function might have an effect, and so must not run twice.
"""

import ast
import builtins
import math

import numpy as np

from .. import activations, attention, conv, losses, model, ops
from .cells import SYMBOLS, Cells, Unclear
from .source import base_of

METHODS = {"reshape", "transpose", "swapaxes", "sum", "mean", "max", "get", "copy", "astype", "items"}
BUILTINS = {getattr(builtins, name) for name in ("range", "len", "tuple", "list", "zip", "enumerate", "int", "float")}


def formulas(statement, before, after):
    """-> {name: (Cells, places)}, one for each array that a statement makes by arithmetic alone.

    before, after: the variables of the call before and after the statement; places: those to which the statement wrote
    in the array, or None for all of them. A formula that does not give the numbers of the array is left out.
    """
    found = {}
    for name, cells, places, array in _tried(lambda: list(_made(statement, before, after))) or ():
        whole = array.shape if places is None else places.shape
        if isinstance(cells, Cells) and cells.shape == whole and _agrees(cells, places, array):
            found[name] = cells, places
    return found


def _made(statement, before, after):
    """Yield (name, cells, places, array afterwards) for each array that the statement makes."""
    if isinstance(statement, ast.AugAssign):
        old = ast.copy_location(ast.BinOp(_as_read(statement.target), statement.op, statement.value), statement)
        targets, value = [statement.target], old
    elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        targets, value = statement.targets, statement.value
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        targets, value = [k.value for k in statement.value.keywords if k.arg == "out"], statement.value
    else:
        return
    for target in targets:
        yield from _assigned(target, _evaluated(value, before, _results(target, value, after)), before, after)


def returned(statement, before, results):
    """As `formulas`, for a `return`; results: {name: value} of what it hands back."""
    nodes = statement.value.elts if isinstance(statement.value, ast.Tuple) else [statement.value]
    if len(nodes) == len(results):
        return {name: found for node, (name, x) in zip(nodes, results.items())
                if (found := _formula(lambda node=node: _evaluated(node, before, None), x))}
    values = _tried(lambda: _evaluated(statement.value, before, None))
    return {name: found for value, (name, x) in zip(values or (), results.items())
            if (found := _formula(lambda value=value: value, x))}


def _formula(evaluate, result):
    cells = _tried(evaluate) if isinstance(result, (np.ndarray, np.floating)) else None
    fits = isinstance(cells, Cells) and cells.shape == result.shape and _agrees(cells, None, np.asarray(result))
    return (cells, None) if fits else None


def _tried(evaluate):
    try:
        return evaluate()
    except Exception:                                  # an expression may fail in any way on cells
        return None


def _as_read(target):
    return ast.parse(ast.unparse(target), mode="eval").body


def _results(target, value, after):
    """What a call returned, if the statement names each part: the formula of one part may need another."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Call):
        return [_cells_of(ast.unparse(t), _read(t, after)) for t in target.elts]
    return None


def _assigned(target, value, before, after):
    if isinstance(target, ast.Tuple):
        for part, x in zip(target.elts, value, strict=True):
            yield from _assigned(part, x, before, after)
        return
    array, base = _read(target, after), base_of(target.value if isinstance(target, ast.Subscript) else target)
    if base and not isinstance(target, ast.Name) and isinstance(after.get(base), np.ndarray):
        whole = after[base]
        places = _read(target, after | {base: np.arange(whole.size).reshape(whole.shape)})
        yield base, value._broadcast(places.shape) if isinstance(value, Cells) else value, places, whole
    elif isinstance(array, (np.ndarray, np.floating, float)):
        yield name_of(target, after), value, None, np.asarray(array)


def name_of(target, variables):
    """The name of a target, with its key worked out: g[f"{name}.weight"] becomes g["query.weight"]."""
    if isinstance(target, ast.Subscript) and not isinstance(target.slice, ast.Constant):
        key = _tried(lambda: _read(target.slice, variables))
        if isinstance(key, str):
            return f'{ast.unparse(target.value)}["{key}"]'
    return ast.unparse(target).replace("'", '"')


def _read(node, variables):
    """The value of a name, a subscript or a slice."""
    if isinstance(node, ast.Slice):
        parts = (None if part is None else _read(part, variables) for part in (node.lower, node.upper, node.step))
        return slice(*parts)
    if isinstance(node, ast.Tuple):
        return tuple(_read(part, variables) for part in node.elts)
    _require_harmless(node, variables)
    return eval(compile(ast.Expression(_as_read(node)), "", "eval"), dict(variables))


def _agrees(cells, places, array):
    """Whether the formula gives the numbers of the array, at both ends and at two places between."""
    whole = array.reshape(-1) if places is None else array.reshape(-1)[places].reshape(-1)
    if not whole.size:
        return False
    scale, narrow = np.abs(whole).max(), array.dtype == np.float32
    for i in np.unique(np.linspace(0, whole.size - 1, 4).astype(int)):
        entry = cells[np.unravel_index(i, cells.shape)] if cells.ndim else cells
        # Where large terms cancel, as in the gradient of key.bias, only their rounding is left.
        room = (2e-4 if narrow else 1e-8) * scale + (1e-5 if narrow else 1e-12) * entry.bulk()
        if not abs(float(entry.value()) - whole[i]) <= room:
            return False
    return True


# Evaluating with cells

def _evaluated(value, before, results):
    _require_harmless(value, before)
    names = {node.id for node in ast.walk(value) if isinstance(node, ast.Name)}
    scope = {name: _cells_of(name, x) for name, x in before.items() if name in names}
    scope = {"max": max} | scope
    scope |= {name: _replaced(x, results) for name, x in scope.items() if callable(x) and not isinstance(x, type)}
    result = eval(compile(ast.fix_missing_locations(ast.Expression(value)), "", "eval"), scope)
    return tuple(result) if hasattr(result, "__next__") else result


def _cells_of(name, x):
    if isinstance(x, np.ndarray) and x.dtype.kind in "fiub":
        return Cells.of(name, x)
    if isinstance(x, dict):
        return {key: _cells_of(f'{name}["{key}"]', y) for key, y in x.items()}
    if isinstance(x, (tuple, list)):
        return type(x)(_cells_of(f"{name}[{i}]", y) for i, y in enumerate(x)) if type(x) in (tuple, list) else x
    return x


def _replaced(function, results):
    if function in WITH_RESULTS:
        return lambda *arguments: WITH_RESULTS[function](results, *arguments)
    return FORMULAS.get(function, function)


def _require_harmless(node, variables):
    """Raise Unclear if the expression calls something that has no formula here, because that might have an effect."""
    for call in (x for x in ast.walk(node) if isinstance(x, ast.Call)):
        f = call.func
        if isinstance(f, ast.Name):
            value = variables.get(f.id, getattr(builtins, f.id, None))
            known = _hashable(value) and (value in FORMULAS or value in WITH_RESULTS or value in BUILTINS)
        else:
            known = isinstance(f, ast.Attribute) and _is_method_of_numbers(f, variables)
        if not known:
            raise Unclear(ast.unparse(f))


def _is_method_of_numbers(f, variables):
    """Whether `a.f` is one of the functions in NUMPY, or one of METHODS of an array, a dict or an expression."""
    base = f.value
    if isinstance(base, ast.Attribute):
        return base.attr == "T" and f.attr in METHODS
    if not isinstance(base, ast.Name):
        return f.attr in METHODS
    value = variables.get(base.id)
    if value is np or value is math:
        return getattr(value, f.attr, None) in NUMPY
    of_a_loop = base.id not in variables
    return f.attr in METHODS and (of_a_loop or isinstance(value, (np.ndarray, np.generic, dict)))


def _hashable(x):
    return getattr(type(x), "__hash__", None) is not None


NUMPY = {*SYMBOLS, np.einsum, np.split, np.where, np.matmul, np.abs, math.sqrt, math.exp, math.log}


# The formulas of the package's functions

def linear(x, weight, bias):
    return (x[..., None, :] * weight).sum(-1) + bias


def linear_backward(dy, x, weight):
    rows, x_rows = dy.reshape(-1, dy.shape[-1]), x.reshape(-1, x.shape[-1])
    return (dy[..., None, :] * weight.T).sum(-1), (rows.T[:, None, :] * x_rows.T[None]).sum(-1), rows.sum(0)


def grouped_linear(x, weight, bias):
    G, I, O = weight.shape
    y = (x.reshape(*x.shape[:-1], G, 1, I) * weight.swapaxes(1, 2)).sum(-1)
    return y.reshape(*x.shape[:-1], G * O) + bias


def grouped_linear_backward(dy, x, weight):
    G, I, O = weight.shape
    dy_groups, x_groups = dy.reshape(-1, G, O), x.reshape(-1, G, I)
    dx = (dy.reshape(*dy.shape[:-1], G, 1, O) * weight).sum(-1).reshape(x.shape)
    dweight = (x_groups.transpose(1, 2, 0)[:, :, None] * dy_groups.transpose(1, 2, 0)[:, None]).sum(-1)
    return dx, dweight, dy.reshape(-1, G * O).sum(0)


def dense_linear(x, p):
    weight, bias = p["dense.weight"], p["dense.bias"]
    return linear(x, weight, bias) if weight.ndim == 2 else grouped_linear(x, weight, bias)


def dense_linear_backward(dy, x, p):
    weight = p["dense.weight"]
    dx, dweight, dbias = (linear_backward if weight.ndim == 2 else grouped_linear_backward)(dy, x, weight)
    return dx, {"dense.weight": dweight, "dense.bias": dbias}


def softmax(x):
    e = np.exp(x)
    return e / e.sum(-1, keepdims=True)


def softmax_backward(dy, y):
    return y * (dy - (dy * y).sum(-1, keepdims=True))


def row_sum(x):
    return x.sum(-1, keepdims=True)


def standardize(x, eps):
    normed, rstd = ops.standardize(x.value(), eps)
    return (x - Cells.of("mean", x.value().mean(-1, keepdims=True))) * Cells.of("1/std", rstd), Cells.of("1/std", rstd)


def layer_norm(x, weight, bias, eps):
    return standardize(x, eps)[0] * weight + bias


def layer_norm_backward(dy, x, weight, eps):
    normed, rstd = ops.standardize(x.value(), eps)
    dnormed = dy.value() * weight.value()
    normed, rstd, along_ones, along_normed = (Cells.of(name, array) for name, array in (
        ("normed", normed), ("1/std", rstd), ("mean of dnormed", dnormed.mean(-1, keepdims=True)),
        ("mean of dnormed · normed", (dnormed * normed).mean(-1, keepdims=True))))
    D = x.shape[-1]
    dweight = (dy.reshape(-1, D).T * normed.reshape(-1, D).T).sum(-1)
    return (dy * weight - along_ones - normed * along_normed) * rstd, dweight, dy.reshape(-1, D).sum(0)


def pad(x, K):
    return Cells.of(f"padded {x.name}".strip(), conv.pad(x.value(), K))


def depthwise_conv(x, weight):
    return (pad(x, weight.shape[-1]).windows(weight.shape[-1]) * weight[:, 0]).sum(-1)


def depthwise_conv_backward(dout, x, weight):
    K = weight.shape[-1]
    dx = (pad(dout, K).windows(K)[..., ::-1] * weight[:, 0]).sum(-1)
    seen = pad(x, K).windows(K).transpose(2, 3, 0, 1)                                # (D, K, B, L)
    return dx, (dout.transpose(2, 0, 1)[:, None] * seen).sum(-1).sum(-1)[:, None]


def dynamic_conv(value, kernel):
    K = kernel.shape[-1]
    return (kernel[..., None, :] * pad(value, K).windows(K)).sum(-1)


def dynamic_conv_backward(dout, value, kernel):
    K = kernel.shape[-1]
    # Token t was read by tap j of token t - j + K // 2.
    taps = pad(kernel, K).windows(K)[..., ::-1].diagonal()                           # (B, L, H, K)
    dvalue = (taps[..., None, :] * pad(dout, K).windows(K)[..., ::-1]).sum(-1)
    return dvalue, (dout[..., None, :] * pad(value, K).windows(K).swapaxes(-1, -2)).sum(-1)


def separable_conv(results, x, depthwise, pointwise, bias):
    if results is None:
        raise Unclear("its middle is not known")
    _, mixed = results
    return linear(mixed, pointwise[:, :, 0], bias[:, 0]), depthwise_conv(x, depthwise)


def separable_conv_backward(results, dout, x, mixed, depthwise, pointwise):
    dmixed, dpointwise, dbias = linear_backward(dout, mixed, pointwise[:, :, 0])
    dmixed = Cells.of("dmixed", dmixed.value())
    return *depthwise_conv_backward(dmixed, x, depthwise), dpointwise[:, :, None], dbias[:, None]


def self_attention(results, query, key, value, bias, drop=None):
    if results is None:
        raise Unclear("its weights are not known")
    weights = ops.dropout(results[1]["weights"], drop)                               # (B, H, L, L)
    return (weights.swapaxes(1, 2)[..., None, :] * value.transpose(0, 2, 3, 1)[:, None]).sum(-1), results[1]


def span_dynamic_conv(results, x, query, mask, p, cfg):
    if results is None:
        raise Unclear("its kernel is not known")
    return dynamic_conv(results[1]["value"], results[1]["kernel"]), results[1]


def embedding(ids, table):
    """Rows of the table, unchanged."""
    return Cells.of(table.name, ops.embedding(ids.array, table.array))


def activate(x, name):
    """Most activations pass on a share of x; that of gelu is Phi(x), of the normal distribution."""
    plain = {"relu": lambda: np.maximum(x, 0), "tanh": lambda: np.tanh(x), "sigmoid": lambda: sigmoid(x),
             "linear": lambda: 1 * x}
    if name in plain:
        return plain[name]()
    values = x.value()
    share = activations.gate(values, activations.activate(values, name))
    return x * Cells.of("Phi(x)" if name == "gelu" else "share", share)


def activate_backward(dy, x, y, name):
    values = x.value(), y.value()
    return dy * Cells.of("slope", activations.activate_backward(np.ones(x.shape), *values, name))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def largest(*numbers):
    return max(x.value() if isinstance(x, Cells) else x for x in numbers)


def binary_nll(logits, wanted):
    return np.maximum(logits, 0) - logits * wanted + np.log1p(np.exp(-np.abs(logits)))


def binary_nll_backward(dnll, logits, wanted):
    return dnll * (sigmoid(logits) - wanted)


def mean(values, counted):
    return (values * counted).sum() / int(counted.array.sum())


def negative_log_likelihood(logits, labels):
    at_label = np.take_along_axis(logits.array, labels.array[..., None], -1)[..., 0]
    return np.log(np.exp(logits).sum(-1)) - Cells.of(f"{logits.name}[label]", at_label), softmax(logits)


def negative_log_likelihood_backward(dnll, probs, labels):
    wanted = (np.arange(probs.shape[-1]) == labels.array[..., None]).astype(float)
    return (probs - Cells.of("wanted", wanted)) * dnll


def mean_squared_error(predicted, wanted):
    return np.square(predicted - wanted).mean()


def mean_squared_error_backward(dloss, predicted, wanted):
    return (predicted - wanted) * (2 * dloss / predicted.size)


FORMULAS = {getattr(module, f.__name__): f for module, functions in (
    (ops, (linear, linear_backward, grouped_linear, grouped_linear_backward, softmax, softmax_backward, row_sum,
           standardize, layer_norm, layer_norm_backward, embedding)),
    (conv, (pad, depthwise_conv, depthwise_conv_backward, dynamic_conv, dynamic_conv_backward)),
    (activations, (activate, activate_backward, sigmoid)),
    (model, (dense_linear, dense_linear_backward)),
    (losses, (binary_nll, binary_nll_backward, mean, negative_log_likelihood, negative_log_likelihood_backward,
              mean_squared_error, mean_squared_error_backward)),
) for f in functions} | {f: f for f in (ops.dropout, conv.hide, conv.unpad)} | {max: largest}
WITH_RESULTS = {conv.separable_conv: separable_conv, conv.separable_conv_backward: separable_conv_backward,
                conv.span_dynamic_conv: span_dynamic_conv, attention.self_attention: self_attention}
