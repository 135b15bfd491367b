import inspect
import json
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from minconvbert import course
from minconvbert.__main__ import main
from minconvbert.course import EXERCISES, check, exercises, grade, reference, solution, stub
from minconvbert.ops import standardize


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_package_passes_its_own_check(exercise):
    verdict = check(reference(exercise), seed="Ada")
    assert verdict, verdict


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
        return [a.tobytes() for a in exercises.arrays(dict(enumerate(args))).values()]

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
    ("hide(dvalue.reshape(B, L, H * Dh), mask)", "dvalue.reshape(B, L, H * Dh)", 'g["conv_out_layer.weight"]',
     "first draw was right"),
    ("hide(x, mask), acts[", "x, acts[", 'g["key_conv_attn_layer.depthwise.weight"]', "first draw was right"),
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
    """In the package `normed` and `dnormed` are overwritten; whoever keeps them is right."""
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
    ("return right(dy, y), 1.0 * dy", "too many"),
    ("return right(dy, y)[::-1]", "axis 0"),
    ("return right(dy, y) + y.sum(-1, keepdims=True)", "off by a constant"),
    ("while True: pass", "longer than 1 seconds"),
    ("import os; os._exit(0)", "its process ended"),
    ("import os; os.kill(os.getppid(), 0); return np.zeros(10 ** 11)", "MemoryError"),
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


def test_only_functions_and_imports_of_a_notebook_run(tmp_path):
    head = "def softmax_backward(dy, y):\n    return "
    cells = ["%matplotlib inline\nimport numpy as np", "raise SystemExit('a cell ran')", head + "dy",
             "this is ( no python", head + "y * (dy - (dy * y).sum(-1, keepdims=True))"]
    notebook = dict(cells=[dict(cell_type="code", source=c.splitlines(True)) for c in cells]
                    + [dict(cell_type="markdown", source=["# words"])])
    file = tmp_path / "lab.ipynb"
    file.write_text(json.dumps(notebook))
    assert grade(file, seed=5)["passed"] == 1


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
    assert capsys.readouterr().out.split() == list(EXERCISES)
    assert main(["course", "solution", "softmax"]) == 0
    assert capsys.readouterr().out.strip() == inspect.getsource(reference("softmax")).strip()
    file = tmp_path / "mine.py"
    assert main(["course", "stub", "softmax", "span_dynamic_conv_backward", "--skeleton"]) == 0
    compile(capsys.readouterr().out, "stub", "exec")
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
    assert verdict.right == ["padded", "dpadded", "dkernel"]
    assert verdict.wrong == "dkernel" and "2 times" in verdict.message
