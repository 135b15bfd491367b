import importlib
import inspect
import io
import json
import math
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minconvbert import activations, course
from minconvbert.__main__ import main
from minconvbert.course import EXERCISES, check, confine, exercises, grade, reference, solution, stub
from minconvbert.course.attempt import Seen, attempt
from minconvbert.course.catalog import catalog
from minconvbert.course.check import _how, judge
from minconvbert.course.grade import _read_attempts
from minconvbert.course.mistakes import MISTAKES, planted
from minconvbert.ops import standardize
from minconvbert.step.trace import arrays


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_package_passes_its_own_check(exercise):
    verdict = check(reference(exercise), seed="Ada")
    assert verdict, verdict
    assert (verdict.message, verdict.credit) == (f"right, on {exercises.rounds(exercise)} draws", 1.0)


@pytest.mark.parametrize("exercise", EXERCISES)
@pytest.mark.parametrize("skeleton", [False, True])
def test_a_stub_is_python_with_the_same_signature_and_is_judged_not_written(exercise, skeleton):
    if skeleton:
        compile(stub(exercise, True), exercise, "exec")
        return
    scope = {}
    exec("\n".join([*course.imports(exercise), stub(exercise)]), scope)
    mine = scope[exercise]
    assert str(inspect.signature(mine)) == str(inspect.signature(reference(exercise)))
    verdict = check(mine, seed=1)
    assert not verdict and "not written yet" in verdict.message


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_answer_under_the_imports_passes(exercise):
    scope = {}
    exec("\n".join(course.imports(exercise)), scope)
    exec(solution(exercise), scope)
    assert check(scope[exercise], seed=3)


@pytest.mark.parametrize("exercise", [e for e in EXERCISES if e.endswith("_backward")])
def test_a_fault_in_any_result_is_found_on_every_seed(exercise):
    right = reference(exercise)

    def corrupted(spoil, args):
        result = right.__wrapped__(*args) if hasattr(right, "__wrapped__") else copy_of_right(*args)
        parts = list(result) if isinstance(result, tuple) else [result]
        if isinstance(parts[spoil], dict):
            key = sorted(parts[spoil])[0]
            parts[spoil] = parts[spoil] | {key: parts[spoil][key] + 1e-6}
        else:
            parts[spoil] = parts[spoil] + 1e-6
        return tuple(parts) if isinstance(result, tuple) else parts[0]

    scope = {}
    exec("\n".join(course.imports(exercise)) + "\n" + solution(exercise), scope)
    copy_of_right = scope[exercise]
    parts = copy_of_right(*exercises.case(exercise, 0))
    for seed in range(3):
        for spoil in range(len(parts) if isinstance(parts, tuple) else 1):
            wrapped = inspect.signature(right)
            mine = lambda *args, spoil=spoil: corrupted(spoil, args)  # noqa: E731
            mine.__signature__ = wrapped
            assert not check(mine, seed, name=exercise)


def test_numbers_follow_the_seed_and_nothing_else():
    def bits(seed, number=0):
        args = exercises.case("layer_norm", seed, number)
        return [a.tobytes() for a in arrays(dict(enumerate(args))).values()]

    assert bits("Ada") == bits("Ada")
    assert bits(7) == bits("7")
    assert len({tuple(bits(seed, number)) for seed in ("Ada", "Alan", 7) for number in range(3)}) == 9


def test_no_hint_is_for_nothing():
    names = set()
    for exercise in EXERCISES:
        for number in range(2):
            ran = course.attempt(reference(exercise), exercise, 0, number)
            for name in [*ran.results, *(s.name for s in ran.seen)]:
                bare = name.split('["')[-1].removesuffix('"]')
                kind = bare.rsplit(".", 1)[-1]
                names |= {bare, kind, f"{exercise} {bare}", f"{exercise} {kind}"}
    assert set(course.HINTS) - names == set()


SPAN = """
    from minconvbert.conv import dynamic_conv_backward, hide, separable_conv_backward
    from minconvbert.ops import linear_backward, softmax_backward

    def span_dynamic_conv_backward(dout, acts, p, cfg):
        x, query, span_key, mask = acts["x"], acts["query"], acts["span_key"], acts.get("mask")
        match, kernel, value = acts["match"], acts["kernel"], acts["value"]
        B, L, H, Dh = value.shape
        grads = {}
        dvalue, dkernel = dynamic_conv_backward(dout, value, kernel)
        dvalue = hide(dvalue.reshape(B, L, H * Dh), mask)
        dx_value, grads["conv_out_layer.weight"], grads["conv_out_layer.bias"] = linear_backward(
            dvalue, x, p["conv_out_layer.weight"])
        dscores = softmax_backward(dkernel, kernel)
        dmatch, grads["conv_kernel_layer.weight"], grads["conv_kernel_layer.bias"] = linear_backward(
            dscores.reshape(B, L, -1), match, p["conv_kernel_layer.weight"])
        dquery = dmatch * span_key
        dspan_key = dmatch * query
        dx_span, *of_span = separable_conv_backward(
            dspan_key, hide(x, mask), acts["span_mixed"], p["key_conv_attn_layer.depthwise.weight"],
            p["key_conv_attn_layer.pointwise.weight"])
        for name, gradient in zip(("depthwise.weight", "pointwise.weight", "bias"), of_span):
            grads["key_conv_attn_layer." + name] = gradient
        return dx_value + hide(dx_span, mask), dquery, grads
"""


def span(change=None, to=""):
    source = textwrap.dedent(SPAN)
    assert change is None or change in source
    return source if change is None else source.replace(change, to)


@pytest.mark.parametrize(("change", "to", "wrong", "says"), [
    ("softmax_backward(dkernel, kernel)", "dkernel * kernel", "dscores", "off by"),
    ("softmax_backward(dkernel, kernel)", "-softmax_backward(dkernel, kernel)", "dscores", "-1 times"),
    ("dmatch * span_key", "dmatch * query", "dquery", "off by"),
    ("dmatch * query", "2 * dmatch * query", "dspan_key", "2 times"),
    ("return dx_value + hide(dx_span, mask)", "return dx_value", "dx", "which it returns, is wrong"),
    ("hide(dvalue.reshape(B, L, H * Dh), mask)", "dvalue.reshape(B, L, H * Dh)", "dvalue",
     "first draw was right"),
    ("hide(x, mask), acts[", "x, acts[", 'grads["key_conv_attn_layer.depthwise.weight"]', "first draw was right"),
    ('gradient\n', 'gradient[..., 0]\n', 'grads["key_conv_attn_layer.depthwise.weight"]', "its shape is"),
    ("dquery, grads", "dquery", 'grads["conv_out_layer.weight"]', "missing"),
])
def test_the_first_line_that_departs_is_named(tmp_path, change, to, wrong, says):
    file = tmp_path / "mine.py"
    file.write_text(span(change, to))
    report = grade(file, seed="Ada")
    (entry,) = report["exercises"]
    assert report["passed"] == 0 and entry["wrong"] == wrong
    assert says in entry["message"]
    assert (entry["hint"] is None) == (says == "missing")
    if entry["line"]:
        assert file.read_text().splitlines()[entry["line"] - 1].strip() in entry["message"]


def test_a_name_that_the_package_writes_to_twice_is_not_held_against_you():
    """In the package `dx` is overwritten; whoever writes it in one line is right."""
    def layer_norm_backward(dy, x, weight, eps):
        normed, rstd = standardize(x, eps)
        dnormed = dy * weight
        along_ones = dnormed.mean(-1, keepdims=True)
        along_normed = (dnormed * normed).mean(-1, keepdims=True)
        dx = dnormed - along_ones - along_normed * normed
        return dx, (dy * normed).sum((0, 1)), dy.sum((0, 1))

    verdict = check(layer_norm_backward)
    assert {"normed", "along_ones", "along_normed"} <= set(verdict.right)
    assert verdict.wrong == "dx"


def test_the_hint_comes_first_and_the_answer_when_asked():
    def softmax_backward(dy, y):
        return dy * y

    assert check(softmax_backward).answer is None
    assert check(softmax_backward).hint
    assert check(softmax_backward, answer=True).answer.splitlines()[0] in solution("softmax_backward")

    def layer_norm(x, weight, bias, eps):
        y = x - x.mean(-1, keepdims=True)
        return y * weight + bias

    shown = check(layer_norm, answer=True)
    assert shown.answer == "y, _ = standardize(x, eps)\ny *= weight\ny += bias"
    assert all(line in repr(shown) for line in shown.answer.splitlines())


@pytest.mark.parametrize(("body", "says"), [
    ("return dy", "departs|is wrong"),
    ("return dy[0]", "its shape is"),
    ("return dy.T", "its transpose|its shape is"),
    ("return np.zeros_like(dy)", "all zero"),
    ("return dy * np.nan", "nan"),
    ("return 'a string'", "missing"),
    ("return", "returns nothing"),
    ("dy += 1", "must not write"),
    ("return 1 / 0", "ZeroDivisionError.*at line"),
    ("return minconvbert.ops.softmax_backward(dy, y)", "package's own"),
    ("raise NotImplementedError", "not written"),
    ("return right(dy.astype(np.float32), y.astype(np.float32))", "float32"),
    ("return right(dy, y), 1.0 * dy", "it returns result 2 too many"),
    ("return right(dy, y)[::-1]", "axis 0"),
    ("return right(dy, y) + y.sum(-1, keepdims=True)", "off by a constant"),
    ("while True: pass", "longer than 1 seconds"),
    ("import os; os._exit(0)", "its process ended"),
    ("import os; os.kill(os.getppid(), 0)", "may not do this: os.kill"),
    ("return np.zeros(10 ** 11)", "MemoryError"),
])
def test_what_goes_wrong_is_said(tmp_path, body, says):
    file = tmp_path / "mine.py"
    file.write_text(textwrap.dedent(f"""
        import numpy as np
        import minconvbert.ops

        def right(dy, y):
            return y * (dy - (dy * y).sum(-1, keepdims=True))

        def softmax_backward(dy, y):
            {body}
    """))
    (entry,) = grade(file, limit=1 if "while" in body else 10)["exercises"]
    assert not entry["passed"]
    assert re.search(says, entry["message"], re.DOTALL), entry["message"]


def test_a_wrong_signature_and_an_unknown_exercise():
    def softmax_backward(dy):
        return dy

    assert "must take 2 arguments, (dy, y)" in check(softmax_backward).message
    with pytest.raises(ValueError, match="there is no exercise 'softmaks'"):
        check(softmax_backward, name="softmaks")
    with pytest.raises(ValueError, match="there is no exercise"):
        grade("whatever.py", exercises=["softmaks"])


def test_the_trace_of_a_debugger_is_given_back():
    def tracer(frame, event, arg):
        return None

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        check(reference("softmax"))
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)


RIGHT = "y * (dy - (dy * y).sum(-1, keepdims=True))"


def notebook_of(*cells):
    return json.dumps(dict(cells=[dict(cell_type="code", source=c.splitlines(True)) for c in cells]
                           + [dict(cell_type="markdown", source=["# words"])]))


def test_of_a_notebook_only_what_the_functions_need_runs(tmp_path):
    head = "def softmax_backward(dy, y):\n    return "
    file = tmp_path / "lab.ipynb"
    file.write_text(notebook_of(
        "%matplotlib inline\n!ls\nnp?\nimport numpy as np\nimport no_such_module", "raise SystemExit('a cell ran')",
        head + "dy", "this is ( no python", "%%bash\nexit 1", "TWO = 2.0\nHALF = 1 / TWO; UNUSED = 1 / 0",
        "from __future__ import annotations\n%time TWO", head + "HALF * TWO * " + RIGHT))
    report = grade(file, seed=5)
    assert report["passed"] == report["of"] == 1
    told = "\n".join(report["notes"])
    assert all(x in told for x in ("`!ls` was left out", "`np?`", "code cell 4 is not Python", "code cell 5", "`%time"))

    file.write_text(notebook_of("HALF = 1 / 0", "import numpy as np\n\n" + head + "HALF * dy"))
    message = grade(file)["exercises"][0]["message"]
    assert "HALF" in message and "ZeroDivisionError" in message and "code cell 1, line 1: HALF = 1 / 0" in message
    assert "code cell 2, line 4: return HALF" in message


def test_each_known_mistake_is_wrong_on_every_seed_and_has_its_own_hint():
    count = 0
    for exercise, changes in MISTAKES.items():
        for old, new, advice in changes:
            assert old in solution(exercise), (exercise, old)
            for seed in (0, "Ada"):
                with np.errstate(all="ignore"):
                    verdict = check(planted(exercise, old, new), seed)
                assert not verdict, (exercise, new)
                assert verdict.hint == advice, (exercise, new, verdict)
                assert verdict.wrong not in verdict.right and 0 <= verdict.credit < 1
                count += 1
    assert count > 200


def loops_self_attention(query, key, value, bias, drop=None):
    B, L, H, Dh = query.shape
    weights, out = np.zeros((B, H, L, L)), np.zeros((B, L, H, Dh))
    bias = np.broadcast_to(bias, weights.shape)
    for b in range(B):
        for h in range(H):
            for t in range(L):
                scores = np.zeros(L)
                for s in range(L):
                    for d in range(Dh):
                        scores[s] += query[b, t, h, d] * key[b, s, h, d] / Dh**0.5
                    scores[s] += bias[b, h, t, s]
                weights[b, h, t] = np.exp(scores - scores.max())
                weights[b, h, t] /= weights[b, h, t].sum()
                for s in range(L):
                    for d in range(Dh):
                        kept = 1.0 if drop is None else drop[b, h, t, s]
                        out[b, t, h, d] += weights[b, h, t, s] * kept * value[b, s, h, d]
    acts = dict(query=query, key=key, value=value, weights=weights, out=out)
    return out, acts if drop is None else acts | dict(drop=drop)


def einsum_self_attention(query, key, value, bias, drop=None):
    scores = np.einsum("blhd,bmhd->bhlm", query, key) / query.shape[-1] ** 0.5 + bias
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights = weights / weights.sum(-1, keepdims=True)
    out = np.einsum("bhlm,bmhd->blhd", weights if drop is None else weights * drop, value)
    kept = {} if drop is None else {"drop": drop}
    return out, dict(query=query, key=key, value=value, weights=weights, out=out, **kept)


@pytest.mark.parametrize("style", [loops_self_attention, einsum_self_attention])
def test_other_styles_are_right_whatever_the_seed(style):
    shapes = set()
    for seed in ("Ada", "Bob", "Cyd", "Dan"):
        assert check(style, seed, name="self_attention")
        shapes.add(str([a.shape for a in arrays(dict(enumerate(exercises.case("self_attention", seed, 1)))).values()]))
    assert len(shapes) == 1, "the work must be the same for every learner"


def test_loops_are_graded_without_being_followed(tmp_path):
    """Following every line of five nested loops takes longer than grading may, so only what is wrong is followed."""
    file = tmp_path / "loops.py"
    source = inspect.getsource(loops_self_attention).replace("loops_self_attention", "self_attention")
    file.write_text("import numpy as np\n\n" + source)
    assert grade(file, seed="Ada")["passed"] == 1
    file.write_text("import numpy as np\n\n" + source.replace(" / Dh**0.5", ""))
    (entry,) = grade(file, seed="Ada", limit=30)["exercises"]
    assert entry["hint"] == "The scores are not divided by sqrt(Dh)."


def test_two_swapped_arrays_do_not_absolve_each_other():
    scope = {}
    swapped = span("dquery = dmatch * span_key", "dquery = dmatch * query").replace(
        "dspan_key = dmatch * query", "dspan_key = dmatch * span_key")
    exec(swapped, scope)
    verdict = check(scope["span_dynamic_conv_backward"])
    assert verdict.wrong == "dquery" and "dquery" not in verdict.right and "dspan_key" not in verdict.right
    assert "*other* factor" in verdict.hint


UNREAD = {
    "cross_entropy_backward": ("dloss", """
        def cross_entropy_backward(dloss, probs, labels, ignored=-100):
            counted = labels != ignored
            one_hot = np.eye(probs.shape[-1])[np.where(counted, labels, 0)]
            scaled = (probs - one_hot) / max(1, counted.sum())
            dlogits = np.where(counted[..., None], scaled, 0)
            return dlogits
        """),
    "binary_cross_entropy_backward": ("upstream", """
        def binary_cross_entropy_backward(upstream, logits, wanted):
            dlogits = 1 / (1 + np.exp(-logits)) - wanted
            dlogits /= logits.size
            return dlogits
        """),
    "linear_backward": ("dy", """
        def linear_backward(dy, x, weight):
            rows = x.reshape(-1, x.shape[-1])
            dweight = np.ones(dy.shape[-1])[:, None] * rows.sum(0)
            return np.ones(dy.shape) @ weight, dweight, np.full(dy.shape[-1], float(len(rows)))
        """),
    "layer_norm_backward": ("eps", """
        def layer_norm_backward(dy, x, weight, eps):
            sigma = x.std(-1, keepdims=True)
            z = (x - x.mean(-1, keepdims=True)) / sigma
            dz = dy * weight
            dx = (dz - dz.mean(-1, keepdims=True) - z * (dz * z).mean(-1, keepdims=True)) / sigma
            return dx, (dy * z).sum((0, 1)), dy.sum((0, 1))
        """),
    "self_attention_backward": ('acts["drop"]', """
        def self_attention_backward(dout, acts):
            query, key, value, w = (acts[name] for name in ("query", "key", "value", "weights"))
            dw = np.einsum("blhd,bmhd->bhlm", dout, value)
            s = w * (dw - (w * dw).sum(-1, keepdims=True)) / np.sqrt(query.shape[-1])
            return (np.einsum("bhlm,bmhd->blhd", s, key), np.einsum("bhlm,blhd->bmhd", s, query),
                    np.einsum("bhlm,blhd->bmhd", w, dout))
        """),
    "token_classification_backward": ('acts["drop"]', """
        def token_classification_backward(dlogits, acts, p, cfg):
            rows = dlogits.reshape(-1, dlogits.shape[-1])
            dweight = rows.T @ acts["dropped"].reshape(len(rows), -1)
            dhidden = dlogits @ p["classifier.weight"]
            return dhidden, {"classifier.weight": dweight, "classifier.bias": rows.sum(0)}
        """),
}


@pytest.mark.parametrize("exercise", UNREAD)
def test_what_is_never_read_is_said_where_it_is_given(tmp_path, exercise):
    """A factor that is missing everywhere was left out in no particular line, so the verdict names the line of the def."""
    unread, source = UNREAD[exercise]
    file = tmp_path / "mine.py"
    file.write_text("import numpy as np\n" + textwrap.dedent(source))
    (entry,) = grade(file)["exercises"]
    assert entry["line"] == 3 and f"it never reads {unread})" in entry["message"], entry["message"]
    assert f"at line 3: def {exercise}(" in entry["message"] and entry["hint"]


def test_what_can_be_computed_once_more_need_not_be_read():
    def softmax_backward(dy, y):
        return dy * y

    def activate_backward(dy, x, y, name):
        return 2 * dy * activations.ACTIVATIONS[name][1](x, activations.activate(x, name))

    for wrong in (softmax_backward, activate_backward):
        assert not check(wrong) and "never reads" not in check(wrong).message


def test_a_factor_that_is_missing_is_missed_where_it_belongs():
    """`dscores` is right as far as it goes, and what is made of it is wrong: it stops too early."""
    def self_attention_backward(dout, acts):
        query, key, value, weights = acts["query"], acts["key"], acts["value"], acts["weights"]
        kept = acts.get("drop", 1)
        dweights = np.einsum("blhd,bmhd->bhlm", dout, value) * kept
        dscores = weights * (dweights - (weights * dweights).sum(-1, keepdims=True))
        dq = np.einsum("bhlm,bmhd->blhd", dscores, key)
        dk = np.einsum("bhlm,blhd->bmhd", dscores, query)
        return dq, dk, np.einsum("bhlm,blhd->bmhd", weights * kept, dout)

    verdict = check(self_attention_backward)
    assert verdict.wrong == "dscores" and "dscores = weights *" in verdict.message and "2 times" in verdict.message
    assert "dscores" not in verdict.right and "must their gradient be" in verdict.hint


def test_a_loss_may_be_a_plain_python_number():
    def binary_cross_entropy(logits, wanted):
        total = 0.0
        for z, w in zip(logits.ravel().tolist(), wanted.ravel().tolist()):
            total += max(z, 0) - z * w + math.log1p(math.exp(-abs(z)))
        return total / logits.size

    assert check(binary_cross_entropy)


def test_the_special_draw_is_named():
    def cross_entropy_backward(dloss, probs, labels, ignored=-100):
        one_hot = np.eye(probs.shape[-1])[labels * (labels != ignored)]
        return (probs - one_hot) * (labels != ignored)[..., None] * (np.float64(dloss) / (labels != ignored).sum())

    with np.errstate(all="ignore"):
        verdict = check(cross_entropy_backward)
    assert "all labels are -100" in verdict.message and "max(1, number)" in verdict.hint


def test_who_calls_a_stub_is_told_so():
    def softmax_backward(dy, y):
        raise NotImplementedError("your turn")

    def self_attention_backward(dout, acts):
        return softmax_backward(dout, acts["weights"])

    def mine(dy, y):
        raise NotImplementedError

    assert "it is not written yet" in check(softmax_backward).message
    assert "it is not written yet" in check(mine, name="softmax_backward").message
    message = check(self_attention_backward).message
    assert "it calls softmax_backward, which is not written yet" in message
    assert "return softmax_backward(dout" in message


def test_what_must_be_returned_is_all_there_and_nothing_else():
    def self_attention(query, key, value, bias, drop=None):
        return einsum_self_attention(query, key, value, bias, drop)[0], {}

    verdict = check(self_attention)
    assert not verdict and "acts lacks" in verdict.message and '"weights"' in verdict.message
    assert 0 < verdict.credit < 0.5

    scope = {}
    name = "question_answering_backward"
    exec("\n".join([*course.imports(name), solution(name)]), scope)
    right = scope[name]
    question_answering_backward = lambda dlogits, acts, p, cfg: (  # noqa: E731
        right(dlogits, acts, p, cfg)[0], right(dlogits, acts, p, cfg)[1] | {"classifier.bias": acts["hidden"]})
    verdict = check(question_answering_backward, name=name)
    assert not verdict and "too many" in verdict.message and verdict.credit == 3 / 4


CHEATS = {
    "import sys\nfrom minconvbert import ops\ndef softmax_backward(dy, y):\n    sys.settrace(None)\n"
    "    return ops.softmax_backward(dy, y)": "package's own",
    "from minconvbert import ops\ndef softmax_backward(dy, y):\n    return dy\nsoftmax_backward = ops.softmax_backward":
        "not a function that this file writes",
    "from minconvbert.course import solution\nfrom minconvbert.ops import *\nfrom minconvbert.shapes import dims\n"
    "def softmax_backward(dy, y):\n    return dy\nexec(solution('softmax_backward'))": "",
    "import minconvbert.ops as ops\ndef softmax_backward(dy, y):\n    ns = {}\n"
    "    exec(open(ops.__file__).read().replace('from .', 'from minconvbert.'), ns)\n"
    "    return ns['softmax_backward'](dy, y)": "package's own",
    "from minconvbert import ops\ndef softmax_backward(dy, y):\n    return dy\n"
    "softmax_backward.__code__ = ops.softmax_backward.__code__": "not a function that this file writes",
    "import threading\nfrom minconvbert.ops import softmax_backward as f\ndef softmax_backward(dy, y):\n    out = []\n"
    "    t = threading.Thread(target=lambda: out.append(f(dy, y)))\n    t.start()\n    t.join()\n    return out[0]": "",
}


@pytest.mark.parametrize("source", CHEATS, ids=range(len(CHEATS)))
def test_the_packages_own_function_does_not_pass_as_own_work(tmp_path, source):
    file = tmp_path / "mine.py"
    file.write_text(source)
    (entry,) = grade(file)["exercises"]
    assert not entry["passed"] and CHEATS[source] in entry["message"], entry["message"]


@pytest.mark.parametrize(("action", "says"), [
    ("open({outside!r}, 'w')", "write outside"),
    ("import os; os.remove({beside!r})", "write outside"),
    ("open({beside!r}).read()", "lies beside it"),
    ("import os; os.listdir({folder!r})", "lies beside it"),
    ("import socket; socket.create_server(('127.0.0.1', 0))", "may not do this: socket"),
    ("import os; os.fork()", "may not do this"),
    ("import subprocess; subprocess.run(['true'])", "may not do this"),
    ("import os; assert 'TEACHER_TOKEN' in os.environ", "AssertionError"),
    ("import os; assert os.path.expanduser('~') != {home!r}, 'at home'; raise KeyError('elsewhere')", "elsewhere"),
])
def test_a_graded_file_keeps_to_itself(tmp_path, monkeypatch, action, says):
    monkeypatch.setenv("TEACHER_TOKEN", "hunter2")
    (tmp_path / "other.py").write_text("theirs")
    action = action.format(outside=str(tmp_path.parent / "escaped.txt"), beside=str(tmp_path / "other.py"),
                           folder=str(tmp_path), home=os.path.expanduser("~"))
    file = tmp_path / "mine.py"
    file.write_text(f"def softmax_backward(dy, y):\n    {action}\n    return {RIGHT}\n")
    (entry,) = grade(file)["exercises"]
    assert not entry["passed"] and says in entry["message"], entry["message"]
    assert not (tmp_path.parent / "escaped.txt").exists() and (tmp_path / "other.py").exists()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked for in /proc")
def test_no_process_stays_behind(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("import ctypes, os, time\nlibc = ctypes.CDLL(None)\nif libc.fork() == 0:\n    os.setsid()\n"
                    "    if libc.fork() == 0:\n        time.sleep(60)\n    os._exit(0)\n"
                    f"def softmax_backward(dy, y):\n    return {RIGHT}\n")
    assert grade(file)["passed"] == 1
    left = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            left += [entry] if str(tmp_path).encode() in entry.read_bytes() else []
        except OSError:
            pass
    assert not left


def test_the_file_cannot_touch_the_grader(tmp_path):
    """It runs elsewhere: what it prints, patches or imports from its own folder changes no verdict."""
    (tmp_path / "neighbour.py").write_text("raise SystemExit")
    file = tmp_path / "mine.py"
    file.write_text(textwrap.dedent("""
        import minconvbert.course as course
        course.judge = course._close = lambda *a, **k: True
        print('{"passed": 1}')
        def softmax(x):
            return x
        def softmax_backward(dy, y):
            import neighbour
            return dy
    """))
    report = grade(file)
    assert report["passed"] == 0 and report["of"] == 2
    assert "ModuleNotFoundError" in report["exercises"][1]["message"]
    assert course.judge.__module__ == "minconvbert.course.check"


@pytest.mark.parametrize(("content", "says"), [
    (b"def f(:", "cannot be read as Python"), (b"\xff\xfe\x00", "cannot be read as Python"), (b"", "defines none"),
    (b"x = 1\x00", "cannot be read as Python"),
])
def test_files_without_an_exercise(tmp_path, content, says):
    file = tmp_path / "mine.py"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=says):
        grade(file)
    report = grade(file, exercises=["softmax"])
    assert report["passed"] == 0 and report["exercises"][0]["message"]


def command(*args, **options):
    full = [sys.executable, "-m", "minconvbert", "course", *map(str, args)]
    return subprocess.run(full, capture_output=True, text=True, **options)


def test_commands(tmp_path, capsys):
    assert main(["course", "list"]) == 0
    table = capsys.readouterr().out
    assert all(re.search(rf"^{name} +\d\d  \*+ +\d+", table, re.MULTILINE) for name in EXERCISES)
    assert main(["course", "list", "--names"]) == 0
    assert sorted(capsys.readouterr().out.split()) == sorted(EXERCISES)
    assert main(["course", "list", "--names", "--notebook", "08"]) == 0
    names = capsys.readouterr().out.split()
    assert "discriminator" in names and "softmax" not in names
    file = tmp_path / "mine.py"
    handed_out = "softmax", "span_dynamic_conv", "masked_lm_backward"
    assert main(["course", "solution", *handed_out]) == 0
    printed = capsys.readouterr().out
    assert all(inspect.getsource(reference(name)).strip() in printed for name in handed_out)
    file.write_text(printed)
    assert main(["course", "grade", str(file)]) == 0
    assert "3 of 3 right" in capsys.readouterr().out
    assert main(["course", "stub", "softmax", "span_dynamic_conv_backward"]) == 0
    assert main(["course", "stub", "softmax", "span_dynamic_conv_backward", "--skeleton"]) == 0
    printed = capsys.readouterr().out
    compile(printed, "stub", "exec")
    assert printed.count("raise NotImplementedError") == 2 and printed.count("    return ...") == 1
    file.write_text(span())
    graded = command("grade", file, "--seed", "Grace", "--json")
    assert graded.returncode == 0
    report = json.loads(graded.stdout)
    assert (report["passed"], report["of"], report["seed"]) == (1, 1, "Grace")
    file.write_text(span("dmatch * query", "dmatch"))
    graded = command("grade", file, "--exercises", "span_dynamic_conv_backward", "softmax")
    assert graded.returncode == 1
    assert all(x in graded.stdout for x in ("0 of 2 right", "dspan_key departs", "not in the file"))
    refused = command("grade", tmp_path / "none.py")
    assert refused.returncode == 2 and "none.py" in refused.stderr and "Traceback" not in refused.stderr
    assert command("grade", file, "--limit", "0").returncode == 2


def test_an_error_is_told_with_the_innermost_line_that_is_ones_own():
    def helper(x):
        return x.nothing

    def softmax(x):
        return helper(x)

    verdict = check(softmax)
    assert f"at line {helper.__code__.co_firstlineno + 1}: return x.nothing" in verdict.message


def test_the_first_and_the_last_state_of_an_array_are_kept():
    def softmax(x):
        y = x + 1.0
        y = 2.0 * y
        y = y - 3.0
        return y

    (x,), first = exercises.case("softmax", 0), softmax.__code__.co_firstlineno
    states = [state for state in attempt(softmax, "softmax", 0).seen if state.name == "y"]
    assert [state.line - first for state in states] == [1, 3]
    assert all((state.array == y).all() for state, y in zip(states, (x + 1, 2 * (x + 1) - 3)))


def test_an_array_counts_if_it_is_right_on_every_draw_and_the_first_wrong_draw_is_told():
    given = [attempt(reference("linear_backward"), "linear_backward", 0, number) for number in range(3)]
    for number, name in ((1, "dweight"), (2, "dbias")):
        wrong = given[number].results | {name: given[number].results[name] + 1}
        given[number] = given[number]._replace(results=wrong, seen=[
            Seen("a", np.zeros(2, np.float32), 3, "a"), Seen("b", np.zeros(2, np.float16), 4, "b")])
    verdict = judge("linear_backward", 0, given, given.__getitem__)
    assert verdict.marks == dict(dx=True, dweight=False, dbias=False) and verdict.credit == 1 / 3
    assert verdict.wrong == "dweight" and "the first draw was right" in verdict.message
    assert "(a is computed in float32," in verdict.message


RIGHT_NUMBERS = np.arange(1.0, 7).reshape(2, 3)


@pytest.mark.parametrize("yours, said", (
    (RIGHT_NUMBERS + [[0.5, 0.25, 0.125], [0.25, 0.375, 0.0625]], "it is off by up to 0.5, of numbers up to 6"),
    (RIGHT_NUMBERS + [0, 0, 1], "it is wrong only at 2 of axis 1 (which has 3)"),
    (RIGHT_NUMBERS[::-1], "it is reversed along axis 0"), (RIGHT_NUMBERS[:, ::-1], "it is reversed along axis 1"),
    (RIGHT_NUMBERS * 4, "it is 4 times what it must be"), (RIGHT_NUMBERS.T, "its shape is (3, 2), but must be (2, 3), its transpose"),
    (RIGHT_NUMBERS + [[1], [2]], "each of its rows is off by a constant")))
def test_how_an_array_is_wrong(yours, said):
    assert _how(yours, RIGHT_NUMBERS) == said


def test_of_a_file_that_fails_twice_the_first_line_is_said(tmp_path, monkeypatch):
    """All that can run does."""
    monkeypatch.setitem(sys.modules, "handed_in", None)
    (tmp_path / "mine.py").write_text("x = 1\ny = 1 / 0\nz = nowhere\nw = x + 1\n")
    module, problem = importlib.import_module("minconvbert.course.grade")._run(str(tmp_path / "mine.py"), set())
    assert problem == "the file itself raises ZeroDivisionError: division by zero\n    at line 2: y = 1 / 0"
    assert module.w == 2


def test_many_files_are_graded_to_csv_json_and_points(tmp_path, capsys):
    (tmp_path / "ada.py").write_text(f"def softmax_backward(dy, y):\n    return {RIGHT}\n")
    (tmp_path / "bob.py").write_text(
        "from minconvbert.ops import *\ndef linear_backward(dy, x, weight):\n"
        "    dx, dweight, dbias = dy @ weight, None, dy.sum((0, 1))\n    return dx, dx, dbias\n")
    (tmp_path / "cyd.py").write_text("nothing = 1\n")
    files = [str(tmp_path / name) for name in ("ada.py", "bob.py", "cyd.py")]
    table = tmp_path / "marks.csv"
    assert main(["course", "grade", *files, "--json", "--csv", str(table), "--points", "6", "--seed-by-file"]) == 1
    ada, bob, cyd = json.loads(capsys.readouterr().out)
    assert (ada["points"], ada["points_of"], ada["seed"], ada["exercises"][0]["seed"]) == (6, 6, "ada", "ada")
    assert bob["points"] == 4, "two of three arrays are right"
    assert cyd["exercises"] == [] and "at least one exercise" in cyd["notes"][0]
    rows = table.read_text().splitlines()
    wrong, line = (bob["exercises"][0][name] for name in ("wrong", "line"))
    assert (wrong, line) == ("dweight", 2)             # no line reads x, so the whole function lacks one
    assert [row.split(",")[2:7] for row in rows[1:]] == [
        ["softmax_backward", "1", "6", "", ""], ["linear_backward", "0", "4", wrong, str(line)], ["", "0", "0", "", ""]]
    with pytest.raises(ValueError, match="exercise"):
        grade(tmp_path / "cyd.py")
    report = grade(tmp_path / "cyd.py", exercises=["softmax", "linear", "softmax"], points=3.0)
    assert (report["of"], report["points_of"], report["points"]) == (2, 6.0, 0)


def passes(test, scope):
    try:
        exec(test, dict(scope))
        return True
    except AssertionError:
        return False


@pytest.mark.parametrize("kind", ["plain", "nbgrader", "otter"])
def test_notebooks_to_hand_out_and_their_solutions(tmp_path, kind):
    """The nbgrader and Otter sources hold the solutions between marks; what is left without them is the stub."""
    nbformat = pytest.importorskip("nbformat")
    names, file = ["softmax_backward", "self_attention"], tmp_path / "lab.ipynb"
    if kind == "plain":
        assert main(["course", "stub", *names, "--notebook", str(file), "--seed", "Ada"]) == 0
    else:
        assert main(["course", "export", kind, *names, "--output", str(file), "--points", "6"]) == 0
    notebook = nbformat.read(file, 4)
    nbformat.validate(notebook)
    report = grade(file)
    assert {e["exercise"] for e in report["exercises"]} == {*names}
    assert report["passed"] == (0 if kind == "plain" else 2), report
    text = "\n".join(cell.source for cell in notebook.cells)
    for entry in (entry for entry in catalog() if entry.exercise in names):
        assert f"difficulty {entry.difficulty} of 5, about {entry.minutes} minutes" in text and entry.difficulty <= 5
    if kind == "plain":
        assert all(stub(name) in text and f'check({name}, seed="Ada")' in text for name in names)
        return
    marks = r"    (?:### |# )BEGIN SOLUTION\n.*?\n    (?:### |# )END SOLUTION"
    empty = re.sub(marks, '    raise NotImplementedError("your turn")', text, flags=re.DOTALL)
    assert all(stub(name) in empty for name in names)
    wrong = {"check": check, "softmax_backward": lambda dy, y: dy,
             "self_attention": lambda *args: (einsum_self_attention(*args)[0], {})}
    for name in names:
        wrong[name].__name__ = name
    if kind == "otter":
        for name, right, of in (("softmax_backward", 0, 1), ("self_attention", 1, 7)):
            (points,) = re.findall(rf"name: {name}\npoints: (.*)", text)
            visible, *hidden = re.findall(rf"^(?:verdict = |# HIDDEN\nassert .*)check\({name}, .*", text, re.MULTILINE)
            visible, *shares = json.loads(points)
            assert visible == 0 and len(shares) == len(hidden) == of and sum(shares) == pytest.approx(6)
            got = sum(passes(test, wrong) * share for test, share in zip(hidden, shares))
            assert got == pytest.approx(6 * right / of, abs=1e-3)
            assert all(passes(test, {"check": check, name: reference(name)}) for test in hidden)
    if kind == "nbgrader":
        graded = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade")]
        assert [cell.metadata["nbgrader"]["points"] for cell in graded] == [6, 6]
        assert [cell.metadata["nbgrader"]["solution"] for cell in notebook.cells if "nbgrader" in cell.metadata] == [
            True, False, True, False]
        *lines, credit = graded[0].source.splitlines()
        by_seed = {"0": 1.0, 1: 0.75, 2: 0.25, 3: 0.5}             # the worst of the hidden draws counts
        scope = dict(check=lambda function, seed: SimpleNamespace(credit=by_seed[seed]), softmax_backward=None)
        exec("\n".join(lines), scope)
        assert eval(credit, scope) == 6 * 0.25
        for cell, least, most in zip(graded, (0, 0.5), (0, 2)):
            *lines, credit = cell.source.splitlines()
            exec("\n".join(lines), wrong)
            assert least <= eval(credit, wrong) <= most


@pytest.mark.parametrize("kind", ["svg", "pdf"])
def test_the_cheat_sheet(tmp_path, kind):
    pytest.importorskip("matplotlib")
    file = tmp_path / f"sheet.{kind}"
    assert main(["course", "sheet", str(file)]) == 0
    assert file.read_bytes()[:5] == (b"%PDF-" if kind == "pdf" else b"<?xml")
    assert main(["course", "sheet", str(tmp_path / "sheet.txt")]) == 2 and not (tmp_path / "sheet.txt").exists()


def test_same_numbers_under_other_names_and_shapes_are_seen():
    def dynamic_conv_backward(dout, value, kernel):
        K, L = kernel.shape[3], value.shape[1]
        padded = np.pad(value, ((0, 0), (K // 2, K // 2), (0, 0), (0, 0)))
        gradient = np.stack([(dout * padded[:, j : j + L]).sum(-1) for j in range(K)], axis=-1)
        back = np.zeros_like(padded)
        for j in range(K):
            back[:, j : j + L] += kernel[..., j, None] * dout
        return back[:, K // 2 : K // 2 + L], 2 * gradient

    verdict = check(dynamic_conv_backward)
    assert verdict.right == ["padded", "dpadded"]
    assert verdict.wrong == "dkernel" and "2 times" in verdict.message


def test_an_answer_that_unpacks_to_more_than_a_file_may_hold_is_refused(monkeypatch):
    """A small archive of many zeros: it is not unpacked."""
    packed = io.BytesIO()
    np.savez_compressed(packed, told=np.array(json.dumps([dict(results=["out"], seen=[], error="", line=None, unread={},
                                                             head=None)])),
                        **{"0.results.0": np.zeros(100_000)})
    assert len(_read_attempts(packed.getvalue(), 1)) == 1
    monkeypatch.setattr(confine, "LARGEST_FILE", 100_000)
    assert len(packed.getvalue()) < 10_000
    with pytest.raises(ValueError, match="too large"):
        _read_attempts(packed.getvalue(), 1)
