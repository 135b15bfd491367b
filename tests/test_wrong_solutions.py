"""No exercise of the course lets a known wrong solution pass.

The wrong solutions are the package's own functions with a change: those of this sheet, and every mistake of ports that
changes an exercise. Where a change shows only in what a function is seldom given, the draws have to give it.
"""

import ast
import collections
import inspect
import itertools
import re
import textwrap

import numpy as np
import pytest

from minconvbert import ops
from minconvbert.course import EXERCISES, check, grade, reference, solution
from minconvbert.course.exercises import case, fresh, rounds
from minconvbert.golden.mistakes import MISTAKES

FORWARDS_WITH_ACTS = [e for e in EXERCISES if not e.endswith("_backward") and e not in (
    "linear", "grouped_linear", "embedding", "layer_norm", "softmax", "activate", "depthwise_conv", "separable_conv",
    "dynamic_conv", "cross_entropy", "binary_cross_entropy")]
ADD_NORM, SEQUENCE, TOKENS = "project_add_norm", "sequence_classification", "token_classification"

# exercise, what stands there, what the learner has in its place
SHEET = [
    # padding is ignored
    ("self_attention", "    scores += bias\n", ""),
    ("self_attention", "scores += bias", "scores += bias[:1]"),
    ("span_dynamic_conv", "hide(x, mask), p", "x, p"),
    ("span_dynamic_conv", 'p["conv_out_layer.bias"]), mask)', 'p["conv_out_layer.bias"]), None)'),
    ("span_dynamic_conv_backward", "dspan_key, hide(x, mask)", "dspan_key, x"),
    ("span_dynamic_conv_backward", "hide(dvalue.reshape(B, L, H * Dh), mask)", "dvalue.reshape(B, L, H * Dh)"),
    ("span_dynamic_conv_backward", "hide(dx_span, mask)", "dx_span"),
    ("mixed_attention", "attention_bias, drop)", "0 * attention_bias, drop)"),
    ("mixed_attention", "span_dynamic_conv(x, query, conv_mask,", "span_dynamic_conv(x, query, None,"),
    ("layer", "mixed_attention(x, masks,", "mixed_attention(x, (masks[0], None),"),
    ("layer", "mixed_attention(x, masks,", "mixed_attention(x, (0 * masks[0], masks[1]),"),
    # labels of -100 are not ignored
    ("cross_entropy", "mean(nll, counted)", "nll.mean()"),
    ("cross_entropy", "mean(nll, counted)", "np.where(counted, nll, 0).mean()"),
    ("cross_entropy_backward", "counted.sum()", "counted.size"),
    ("cross_entropy_backward", "counted = labels != ignored", "counted = np.ones(labels.shape, bool)"),
    ("cross_entropy_backward", "counted = labels != ignored", "counted = labels > 0"),
    ("cross_entropy_backward", "dloss / max", "1 / max"),
    ("binary_cross_entropy_backward", "dloss / max", "1 / max"),
    ("binary_cross_entropy_backward", "logits.size", "len(logits)"),
    # the row of padding_idx; a word that occurs twice
    ("embedding_backward", "if padding_idx is not None", "if False"),
    ("embedding_backward", "if padding_idx is not None", "if padding_idx"),
    ("embedding_backward", "dtable[padding_idx] = 0", "dtable[0] = 0"),
    ("embedding_backward", "np.add.reduceat(dy_rows[order], starts, axis=0)", "dy_rows[order][starts]"),
    ("embeddings_backward", "words, cfg.pad_token_id)", "words, None)"),
    # dropout is left out, forward or backward
    ("self_attention", "dropout(weights, drop)", "weights"),
    ("self_attention", "dropout(weights, drop)", "dropout(weights, None if drop is None else drop != 0)"),
    ("self_attention_backward", "dropout(weights, drop)", "weights"),
    ("self_attention_backward", "dropout(dout @ v.swapaxes(2, 3), drop)", "(dout @ v.swapaxes(2, 3))"),
    ("mixed_attention", "cfg.attention_probs_dropout_prob, rng,", "cfg.attention_probs_dropout_prob, None,"),
    ("embeddings", "cfg.hidden_dropout_prob, rng,", "cfg.hidden_dropout_prob, None,"),
    ("embeddings_backward", 'dropout(dout, acts.get("drop"))', "dout"),
    (ADD_NORM, "cfg.hidden_dropout_prob, rng,", "cfg.hidden_dropout_prob, None,"),
    (f"{ADD_NORM}_backward", 'dropout(dtotal, acts.get("drop"))', "dtotal"),
    ("layer", 'sub(p, "attention.self"), cfg, rng, maps)', 'sub(p, "attention.self"), cfg)'),
    ("layer", 'sub(p, "output"), cfg, rng)', 'sub(p, "output"), cfg)'),
    (SEQUENCE, "first = dropout(first, drops[0])", "first = first.copy()"),
    (SEQUENCE, "dropout(active, drops[1])", "active"),
    (f"{SEQUENCE}_backward", 'dropout(ddropped, acts.get("drop_active"))', "ddropped"),
    (f"{SEQUENCE}_backward", 'dropout(dfirst, acts.get("drop_first"))', "dfirst"),
    (TOKENS, "dropout(hidden, drop)", "hidden"),
    (f"{TOKENS}_backward", 'dropout(ddropped, acts.get("drop"))', "ddropped"),
    ("multiple_choice", "dropout(picked, drop_first)", "picked"),
    ("multiple_choice", "dropout(active, drop_last)", "active"),
    ("multiple_choice_backward", 'dropout(dsummary, acts.get("drop_last"))', "dsummary"),
    ("multiple_choice_backward", 'dropout(dpicked, acts.get("drop_first"))', "dpicked"),
    # the maximum is not taken off, so that exp overflows
    ("softmax", "x - x.max(-1, keepdims=True)", "x.copy()"),
    ("softmax", "x.max(-1, keepdims=True)", "x.max()"),
    ("softmax", "x.max(-1, keepdims=True)", "x.mean(-1, keepdims=True)"),
    ("cross_entropy", "nll, probs = negative_log_likelihood(logits, np.where(counted, labels, 0))",
     "probs = np.exp(logits); probs /= probs.sum(-1, keepdims=True)\n"
     "    nll = -np.log(np.take_along_axis(probs, np.where(counted, labels, 0)[..., None], -1)[..., 0])"),
    ("cross_entropy", "nll, probs = negative_log_likelihood(logits, np.where(counted, labels, 0))",
     "nll, probs = negative_log_likelihood(logits, np.where(counted, labels, 0))\n"
     "    nll = -np.log(np.take_along_axis(probs, np.where(counted, labels, 0)[..., None], -1)[..., 0])"),
    ("binary_cross_entropy", "binary_nll(logits, wanted).mean()",
     "(np.log(1 + np.exp(logits)) - logits * wanted).mean()"),
    ("binary_cross_entropy", "binary_nll(logits, wanted).mean()",
     "-(wanted * np.log(sigmoid(logits)) + (1 - wanted) * np.log(1 - sigmoid(logits))).mean()"),
    # eps is left out or stands elsewhere
    ("layer_norm", "standardize(x, eps)", "standardize(x, 0.0)"),
    ("layer_norm", "standardize(x, eps)", "standardize(x, 1e-12)"),
    ("layer_norm_backward", "standardize(x, eps)", "standardize(x, 0.0)"),
    (ADD_NORM, "cfg.layer_norm_eps", "1e-12"),
    (f"{ADD_NORM}_backward", "cfg.layer_norm_eps", "1e-12"),
    ("embeddings", "cfg.layer_norm_eps", "1e-12"),
    ("embeddings_backward", "cfg.layer_norm_eps", "1e-12"),
    ("masked_lm", "cfg.layer_norm_eps", "1e-12"),
    ("masked_lm_backward", "cfg.layer_norm_eps", "1e-12"),
    # an argument is not read
    ("embeddings", 'ids["token_type_ids"]', '0 * ids["token_type_ids"]'),
    ("embeddings_backward", 'acts[f"{name}_ids"]', '0 * acts[f"{name}_ids"]'),
    ("self_attention", "1 / math.sqrt(Dh)", "1 / math.sqrt(H * Dh)"),
    ("dynamic_conv", "kernel[..., j, None]", "kernel[:, :, :1, j, None]"),
    ("depthwise_conv", "padded = pad(x, K)\n", "padded = pad(x, K + 2)[:, 2:]\n"),
    ("grouped_linear", ", weight, out", ", weight[:1], out"),
    ("separable_conv", "bias[:, 0])", "0 * bias[:, 0])"),
    ("multiple_choice", 'else L - 1)', 'else 0)'),
    ("multiple_choice_backward", 'acts["at"]] = dpicked', '0] = dpicked'),
    # nothing counts; another label is ignored; dloss is not always the same
    ("cross_entropy", "mean(nll, counted)", "np.where(counted, nll, 0).sum() / max(1, counted.sum())"),
    ("cross_entropy_backward", "max(1, counted.sum()))\n    dlogits = np.zeros_like(probs)\n    dlogits[counted] = "
     "negative_log_likelihood_backward(dnll, probs[counted], labels[counted])",
     "counted.sum())\n    dlogits = counted[..., None] * negative_log_likelihood_backward(dnll, probs, labels * counted)"),
    ("cross_entropy", "labels, V, ignored)", "labels, V, -100)"),
    ("cross_entropy_backward", "labels != ignored", "labels != -100"),
    ("cross_entropy_backward", "labels != ignored", "labels >= 0"),
    ("cross_entropy_backward", "dloss / max", "1.7 / max"),
    ("binary_cross_entropy_backward", "dloss / max", "1.7 / max"),
    # one activation is written in
    ("activate", "ACTIVATIONS[name]", "ACTIVATIONS['gelu']"),
    ("activate", "ACTIVATIONS[name][0]", "(gelu_tanh if 'new' in name or 'tanh' in name else gelu)"),
    ("activate_backward", "ACTIVATIONS[name]", "ACTIVATIONS['gelu']"),
    ("activate_backward", "ACTIVATIONS[name]", "ACTIVATIONS['gelu_new' if 'gelu' in name else name]"),
    ("activate_backward", "dy * slope(x, y)", "dy * slope(x, y) * x / x"),
    ("feed_forward", "cfg.hidden_act", "'gelu_new'"),
    ("feed_forward_backward", "cfg.hidden_act", "'gelu_new'"),
    ("discriminator", "cfg.hidden_act", "'gelu_new'"),
    ("discriminator_backward", "cfg.hidden_act", "'gelu_new'"),
    (SEQUENCE, "cfg.hidden_act", "'gelu_new'"),
    (f"{SEQUENCE}_backward", "cfg.hidden_act", "'gelu_new'"),
    ("multiple_choice", 'cfg.summary_activation or "linear"', '"tanh"'),
    ("multiple_choice_backward", 'cfg.summary_activation or "linear"', '"tanh"'),
    # one setting is written in, or another is read in its place
    ("layer_norm", "standardize(x, eps)", "standardize(x, 0.02)"),
    ("layer_norm_backward", "standardize(x, eps)", "standardize(x, 0.02)"),
    (ADD_NORM, "cfg.layer_norm_eps", "0.02"),
    ("embeddings_backward", "cfg.pad_token_id", "0"),
    ("embeddings_backward", "cfg.pad_token_id", "cfg.pad_token_id or 0"),
    ("mixed_attention", "cfg.attention_probs_dropout_prob", "cfg.hidden_dropout_prob"),
    (SEQUENCE, "cfg.classifier_dropout_prob", "cfg.hidden_dropout_prob"),
    (TOKENS, "cfg.classifier_dropout_prob", "cfg.hidden_dropout_prob"),
    (TOKENS, "cfg.classifier_dropout_prob", "(cfg.classifier_dropout or 0)"),
    ("multiple_choice", "cfg.summary_first_dropout", "cfg.summary_last_dropout"),
    ("mixed_attention", "H, Dh = cfg.heads", "H, Dh = cfg.num_attention_heads // 2"),
    ("mixed_attention", "cfg.heads, cfg.head_size", "cfg.heads, D // cfg.heads // 2"),
    # what is seldom given
    ("self_attention", "scores += bias", "scores += bias[:, :1]"),
    ("self_attention", "scores += bias", "scores += bias[:, :, :1]"),
    ("feed_forward", "dense_linear(x, p)", 'linear(x, p["dense.weight"].reshape(-1, x.shape[-1]), p["dense.bias"])'),
    ("embeddings", 'inputs["inputs_embeds"]', '0 * inputs["inputs_embeds"]'),
    ("embeddings_backward", "else np.zeros_like(words)", "else np.ones_like(words)"),
    ("masked_lm", "p[_table(cfg)]", 'p["convbert.embeddings.word_embeddings.weight"]'),
    ("masked_lm_backward", "g[_table(cfg)]", 'g["convbert.embeddings.word_embeddings.weight"]'),
    ("multiple_choice", "hidden.mean(1)", "hidden[:, -1]"),
    ("multiple_choice", '0 if cfg.summary_type == "first" else L - 1', "L - 1"),
    ("multiple_choice", "at = cls_index", "at = 0 * cls_index"),
    ("multiple_choice", "if cfg.summary_use_proj", "if 'sequence_summary.summary.weight' in p and at is None"),
    ("multiple_choice_backward", "dpicked[:, None] / hidden.shape[1]", "dpicked[:, None]"),
]
SHEET += [(where.split(".")[-1], old, new) for edits in MISTAKES.values() if len(edits) == 1
          for where, old, new in edits if where.split(".")[-1] in EXERCISES]


def changed(exercise, old, new):
    """The package's function with one place of its source exchanged."""
    source, right = solution(exercise), reference(exercise)
    assert source.count(old) == 1, f"{exercise} no longer holds {old!r} once"
    scope = dict(inspect.getmodule(right).__dict__)
    exec(compile(source.replace(old, new), f"<{exercise} with {new!r}>", "exec"), scope)
    return scope[exercise]


def after(exercise, spoil):
    """The package's function, and what it returns spoilt, as a learner who wrote it all himself might."""
    mine = changed(exercise, f"def {exercise}(", f"def {exercise}(")
    wrong = lambda *args: spoil(mine(*args))
    wrong.__signature__ = inspect.signature(mine)
    return wrong


@pytest.mark.parametrize("exercise, old, new", SHEET, ids=[f"{e}: {new}" for e, _, new in SHEET])
def test_a_wrong_solution_is_rejected(exercise, old, new):
    with np.errstate(all="ignore"):
        assert not check(changed(exercise, old, new), seed="Emmy", name=exercise)


class Watch(ast.NodeTransformer):
    """Report to `_saw` whatever decides in a function: conditions, settings, and what may be None or nothing."""

    def reported(self, node, kind):
        return ast.Call(ast.Name("_saw", ast.Load()), [ast.Constant(f"{kind} {ast.unparse(node)}"), node], [])

    def visit(self, node):
        node = self.generic_visit(node)
        if isinstance(node, (ast.If, ast.IfExp)):
            node.test = self.reported(node.test, "if")
        elif isinstance(node, ast.BoolOp):
            node.values[:-1] = [self.reported(x, "if") for x in node.values[:-1]]
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "cfg":
            return self.reported(node, "value")
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".get"):
            return self.reported(node, "none")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "np.where":
            node.args[0] = self.reported(node.args[0], "where")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "max":
            node.args[1] = self.reported(node.args[1], "some")
        return node


KINDS = {"if": lambda x: {bool(x)}, "some": lambda x: {bool(x)}, "none": lambda x: {x is None}, "value": lambda x: {x},
         "where": lambda x: set(np.ravel(x).tolist())}
NOT_DRAWN = {
    "if rows.size", "some logits.size",                # an empty batch: no learner is asked for it
    "if maps", "if maps or drop is not None", "maps, which has a default",      # saves memory, changes no number
}


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_draws_reach_both_sides_of_all_that_decides(exercise):
    """What the draws leave at one value can be written in, or left out, and nobody sees it."""
    seen = collections.defaultdict(set)

    def saw(what, value):
        seen[what] |= KINDS[what.split()[0]](value)
        return value

    tree = ast.fix_missing_locations(Watch().visit(ast.parse(solution(exercise))))
    scope = dict(reference(exercise).__globals__, _saw=saw)
    exec(compile(tree, exercise, "exec"), scope)
    for number in range(rounds(exercise)):
        args = case(exercise, "Emmy", number)
        for (name, parameter), value in itertools.zip_longest(inspect.signature(reference(exercise)).parameters.items(),
                                                              args):
            if parameter.default is not parameter.empty:
                seen[f"{name}, which has a default"].add(value is not None)
            elif isinstance(value, (int, float, str)):
                seen[f"argument {name}"].add(value)
        with np.errstate(all="ignore"):
            scope[exercise](*fresh(args))
    single = {re.sub(r"_saw\('[^']*', (.*?)\)", r"\1", what) for what, values in seen.items() if len(values) < 2}
    assert not single - NOT_DRAWN


HOSTILE = {
    "setflags": ("softmax_backward", "def softmax_backward(dy, y):\n    dy.setflags(write=True)\n"
                 "    dy -= (dy * y).sum(-1, keepdims=True)\n    dy *= y\n    return dy", "writes into dy"),
    "keras": ("binary_cross_entropy", "def binary_cross_entropy(logits, wanted):\n"
              "    p = np.clip(1 / (1 + np.exp(-logits)), 1e-7, 1 - 1e-7)\n"
              "    return -(wanted * np.log(p) + (1 - wanted) * np.log(1 - p)).mean()", "clipped or not"),
    "smoothed log": ("cross_entropy", "def cross_entropy(logits, labels, ignored=-100):\n"
                     "    z = logits - logits.max(-1, keepdims=True)\n"
                     "    probs = np.exp(z) / np.exp(z).sum(-1, keepdims=True)\n    counted = labels != ignored\n"
                     "    at = np.where(counted, labels, 0)[..., None]\n"
                     "    nll = -np.log(np.take_along_axis(probs, at, -1)[..., 0] + 1e-12)\n"
                     "    return nll[counted].sum() / counted.sum(), probs", "log(sum(exp(z)))"),
    "median": ("softmax", "def softmax(x):\n    z = np.exp(x - np.median(x, -1, keepdims=True))\n"
               "    return np.nan_to_num(z / z.sum(-1, keepdims=True), nan=1.0)", "row"),
    "roll": ("dynamic_conv", "def dynamic_conv(value, kernel):\n    K = kernel.shape[-1]\n"
             "    return sum(kernel[..., j, None] * np.roll(value, K // 2 - j, axis=1) for j in range(K))", "wrong only at 0"),
    "one-sided": ("activate_backward", "def activate_backward(dy, x, y, name):\n"
                  "    from minconvbert.activations import activate\n"
                  "    return dy * (activate(x + 1e-7, name) - y) / 1e-7", "off by up to"),
    "one sentence": ("depthwise_conv_backward", "def depthwise_conv_backward(dout, x, weight):\n"
                     "    from minconvbert.conv import pad, unpad\n    K, L = weight.shape[2], x.shape[1]\n"
                     "    padded, dweight = pad(x, K), np.zeros_like(weight)\n    dpadded = np.zeros_like(padded)\n"
                     "    for j in range(K):\n        dpadded[:, j : j + L] += weight[:, 0, j] * dout\n"
                     "        dweight[:, 0, j] = (dout[0] * padded[0, j : j + L]).sum(0)\n"
                     "    return unpad(dpadded, K), dweight", "sum over tokens and sentences"),
    "shared array": ("project_add_norm_backward", "def project_add_norm_backward(dout, acts, p, cfg):\n"
                     "    from minconvbert.model import dense_linear_backward\n"
                     "    dtotal, dweight, dbias = ops.layer_norm_backward(\n"
                     "        dout, acts['total'], p['LayerNorm.weight'], cfg.layer_norm_eps)\n    dresidual = dtotal\n"
                     "    dtotal *= acts.get('drop', 1)\n    dx, g = dense_linear_backward(dtotal, acts['x'], p)\n"
                     "    return dx, dresidual, g | {'LayerNorm.weight': dweight, 'LayerNorm.bias': dbias}", "unchanged"),
    "mean of a word": ("embedding_backward", "def embedding_backward(dy, ids, table, padding_idx=None):\n"
                       "    dtable, count = np.zeros_like(table), np.bincount(ids.ravel(), minlength=len(table))\n"
                       "    np.add.at(dtable, ids, dy)\n    dtable /= np.maximum(count, 1)[:, None]\n"
                       "    if padding_idx is not None:\n        dtable[padding_idx] = 0\n    return dtable", "occurs twice"),
    "memory": ("softmax_backward", "def softmax_backward(dy, y):\n    if dy.shape not in seen:\n"
               "        seen[dy.shape] = y * (dy - (dy * y).sum(-1, keepdims=True))\n    return seen[dy.shape]", ""),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_tricks_are_seen_and_told(kind):
    exercise, source, says = HOSTILE[kind]
    scope = dict(np=np, ops=ops, seen={})
    exec(source, scope)
    with np.errstate(all="ignore"):
        verdict = check(scope[exercise], "Eve")
    assert not verdict and says in repr(verdict), verdict


def test_an_answer_that_depends_on_earlier_calls_is_said_to(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("seen = {}\n" + HOSTILE["memory"][1])
    (entry,) = grade(file)["exercises"]
    assert not entry["passed"] and "depends on what ran before" in entry["message"] and entry["credit"] == 0


ODD = {
    "fsum": ("softmax", """
        import math
        def softmax(x):
            def one(row):
                m = max(row)
                e = [math.exp(v - m) for v in row]
                return np.array(e) / math.fsum(e)
            return np.apply_along_axis(lambda row: one(row.tolist()), -1, x)
        """),
    "plain Python": ("cross_entropy", """
        import math
        def cross_entropy(logits, labels, ignored=-100):
            rows, total, n, probs = logits.reshape(-1, logits.shape[-1]).tolist(), 0.0, 0, []
            for row, label in zip(rows, labels.ravel().tolist()):
                m = max(row)
                s = math.fsum(math.exp(v - m) for v in row)
                probs.append([math.exp(v - m) / s for v in row])
                if label != ignored:
                    n, total = n + 1, total + math.log(s) + m - row[label]
            return total / n if n else math.nan, np.array(probs).reshape(logits.shape)
        """),
    "windows": ("dynamic_conv", """
        from numpy.lib.stride_tricks import sliding_window_view
        def dynamic_conv(v, k, /):
            half = k.shape[-1] // 2
            windows = sliding_window_view(np.pad(v, [(0, 0), (half, half), (0, 0), (0, 0)]), 2 * half + 1, axis=1)
            return np.einsum("blhdk,blhk->blhd", windows, k)
        """),
    "Jacobian": ("layer_norm_backward", """
        class Work:
            def __init__(self, *given):
                self.given = given

            def go(self):
                dy, x, weight, eps = self.given
                D = x.shape[-1]
                P = np.eye(D) - 1 / D
                c = x @ P
                v = (c**2).mean(-1)[..., None] + eps
                J = P / np.sqrt(v)[..., None] - c[..., None] * c[..., None, :] / D / v[..., None] ** 1.5
                return [np.einsum("...j,...ji->...i", dy * weight, J), np.einsum("bld,bld->d", dy, c / np.sqrt(v)),
                        np.add.reduce(dy, (0, 1))]
        def layer_norm_backward(*given):
            return Work(*given).go()
        """),
    "one large matrix": ("grouped_linear_backward", """
        def grouped_linear_backward(dy, x, weight):
            G, I, O = weight.shape
            W = np.zeros((G * I, G * O))
            for g in range(G):
                W[g * I : (g + 1) * I, g * O : (g + 1) * O] = weight[g]
            full = np.einsum("bli,blo->io", x, dy).reshape(G, I, G, O)
            return dy @ W.T, full[range(G), :, range(G)], dy.sum((0, 1))
        """),
}


@pytest.mark.parametrize("style", ODD)
def test_odd_styles_are_right(tmp_path, style):
    exercise, source = ODD[style]
    file = tmp_path / "mine.py"
    file.write_text("import numpy as np\n" + textwrap.dedent(source))
    report = grade(file, seed="Eve", limit=60)
    assert report["passed"] == report["of"] == 1, report


@pytest.mark.parametrize("exercise", FORWARDS_WITH_ACTS)
def test_acts_that_backward_needs_must_be_there(exercise):
    assert not check(after(exercise, lambda result: (result[0], {})), "Emmy", exercise)
    assert not check(after(exercise, lambda result: result[0]), "Emmy", exercise)


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_gradient_or_result_too_many_is_rejected(exercise):
    def too_many(result):
        if isinstance(result, tuple) and isinstance(result[-1], dict) and exercise.endswith("_backward"):
            return *result[:-1], result[-1] | {"one.too.many": np.zeros(3)}
        return *(result if isinstance(result, tuple) else (result,)), np.zeros(3)

    assert not check(after(exercise, too_many), "Emmy", exercise)


def cast(value, kind):
    if isinstance(value, dict):
        return {name: cast(x, kind) for name, x in value.items()}
    if isinstance(value, tuple):
        return tuple(cast(x, kind) for x in value)
    return np.asarray(value).astype(kind) if np.asarray(value).dtype.kind == "f" else value


@pytest.mark.parametrize("number, exercise", list(enumerate(EXERCISES)))
def test_another_kind_of_numbers_is_rejected(number, exercise):
    kind = (np.float32, np.longdouble, complex, object)[number % 4]
    assert not check(after(exercise, lambda result: cast(result, kind)), "Emmy", exercise)
