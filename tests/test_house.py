"""The rules of the house, as far as a machine can read them."""

import ast
import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minconvbert
from minconvbert import conv, losses, ops
from minconvbert.activations import ACTIVATIONS, activate, activate_backward
from minconvbert.memory import keep_freed_memory

PACKAGE = Path(minconvbert.__file__).parent
ROOT = PACKAGE.parent
CORE = ("ops", "activations", "conv", "attention", "model", "heads", "losses", "electra")
# Forwards that have no backward of their own, and why.
NO_BACKWARD = {
    "dropout", "hide",                                            # their own backward
    "pad",                                                        # undone by unpad
    "attention_in_blocks",                                        # keeps nothing to go back through
    "unpad", "dropout_mask", "attention_bias", "conv_mask", "model_inputs",  # read no parameters
    "as_array",                                                   # checks what a user passes
    "standardize", "row_sum", "erf", "normal_cdf", "gate",        # inside others
    "gelu", "gelu_tanh", "sigmoid", "silu", "softplus", "mish",   # inside activate
    "mean",                                                       # inside the losses
    "generator_config", "init_pretraining", "part_params", "part_grads", "mask_tokens", "sample_words",
    "replace_tokens",
}


def functions_of(module):
    return {name: f for name, f in vars(module).items()
            if inspect.isfunction(f) and f.__module__ == module.__name__ and not name.startswith("_")}


@pytest.mark.parametrize("name", CORE)
def test_every_forward_has_its_backward_below_it(name):
    functions = functions_of(importlib.import_module(f"minconvbert.{name}"))
    names = list(functions)
    for f in names:
        if not f.endswith(("_backward", "_slope")) and f not in NO_BACKWARD:
            assert f"{f}_backward" in functions, f"{f} has no backward"
            assert names.index(f"{f}_backward") == names.index(f) + 1, f"{f}_backward does not stand below {f}"


@pytest.mark.parametrize("name", CORE)
def test_every_public_function_says_what_it_does(name):
    for f in functions_of(importlib.import_module(f"minconvbert.{name}")).values():
        assert f.__doc__ or f.__name__.endswith("_slope"), f.__name__


def imported_in(code):
    out = subprocess.run([sys.executable, "-c", f"import sys, json; {code}; print(json.dumps(sorted(sys.modules)))"],
                         capture_output=True, text=True, check=True).stdout
    return {name.split(".")[0] for name in json.loads(out)}


def test_the_package_imports_numpy_regex_and_nothing_else():
    bare = imported_in("pass")
    everything = imported_in("import minconvbert; [getattr(minconvbert, name) for name in minconvbert.__all__]")
    new = everything - bare - set(sys.stdlib_module_names) - {"cython_runtime"}      # which NumPy 1 brings
    assert {name for name in new if not name.startswith("_")} == {"minconvbert", "numpy"}     # regex is for training
    assert imported_in("import minconvbert") - bare - set(sys.stdlib_module_names) == {"minconvbert"}


def test_sources_are_plain():
    for path in PACKAGE.rglob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))
    for path in (*PACKAGE.rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")):
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
            assert len(line) <= 120 or path.name == "unicode8.py", f"{path}:{number} is {len(line)} characters long"


def test_no_notebook_defines_what_the_package_has():
    public = {name for module in CORE for name in functions_of(importlib.import_module(f"minconvbert.{module}"))}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                code = "".join(line for line in cell["source"] if not line.startswith(("%", "!")))
                defined = {node.name for node in ast.walk(ast.parse(code)) if isinstance(node, ast.FunctionDef)
                           and not isinstance(node.body[-1], ast.Raise)}       # stubs of exercises only raise
                assert not defined & public, f"{path.name} defines {defined & public}"


def ops_and_arguments(dtype):
    """Every op and loss, forward and backward, with arguments of one kind of float."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.normal(size=shape).astype(dtype)
    x, other, rows, table = draw(2, 5, 6), draw(2, 5, 6), draw(2, 5, 4), draw(9, 6)
    weight, bias, grouped, scale = draw(4, 6), draw(4), draw(2, 3, 2), draw(6)
    depthwise, pointwise, column = draw(6, 1, 3), draw(4, 6, 1), draw(4, 1)
    value, kernel = draw(2, 5, 2, 3), draw(2, 5, 2, 3)
    ids, labels = np.arange(10).reshape(2, 5) % 9, np.arange(10).reshape(2, 5) % 6
    yield from [
        (ops.linear, x, weight, bias), (ops.linear_backward, rows, x, weight),
        (ops.grouped_linear, x, grouped, bias), (ops.grouped_linear_backward, rows, x, grouped),
        (ops.embedding, ids, table), (ops.embedding_backward, x, ids, table),
        (ops.layer_norm, x, scale, scale, 1e-12), (ops.layer_norm_backward, other, x, scale, 1e-12),
        (ops.standardize, x, 1e-12), (ops.row_sum, x), (ops.softmax, x), (ops.softmax_backward, other, x),
        (ops.dropout, x, ops.dropout_mask(x.shape, 0.3, rng, dtype)),
        (conv.depthwise_conv, x, depthwise), (conv.depthwise_conv_backward, other, x, depthwise),
        (conv.separable_conv, x, depthwise, pointwise, column),
        (conv.separable_conv_backward, rows, x, other, depthwise, pointwise),
        (conv.dynamic_conv, value, kernel), (conv.dynamic_conv_backward, value, value, kernel),
        (losses.negative_log_likelihood, x, labels), (losses.cross_entropy, x, labels),
        (losses.mean_squared_error, x, other), (losses.binary_cross_entropy, x, other),
        (losses.binary_nll, x, other), (losses.binary_nll_backward, x, x, other)]
    for dloss in (0.5, dtype(0.5)):
        yield losses.cross_entropy_backward, dloss, ops.softmax(x), labels
        yield losses.mean_squared_error_backward, dloss, x, other
        yield losses.binary_cross_entropy_backward, dloss, x, other
    for name in ACTIVATIONS:
        yield activate, x, name
        yield activate_backward, other, x, activate(x, name), name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_op_returns_the_kind_of_float_it_was_given(dtype):
    for op, *arguments in ops_and_arguments(dtype):
        out = op(*arguments)
        for y in out if isinstance(out, tuple) else (out,):
            assert y.dtype == dtype, (op.__name__, y.dtype)


def definitions():
    """-> (module below the package, names of the functions and classes around it, node) of every function"""
    def inside(node, around):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef):
                yield around, child
            named = isinstance(child, (ast.FunctionDef, ast.ClassDef))
            yield from inside(child, (*around, child.name) if named else around)

    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for around, node in inside(ast.parse(path.read_text(encoding="utf-8")), ()):
            yield module, around, node


# Functions of more than eight arguments, and why.
LONG_SIGNATURES = {
    "checkpoint.load.load": "eight, and fields of the configuration as Hugging Face's from_pretrained takes them",
    "faces.hugging_face.ConvBertModel.__call__": "Hugging Face's",
    "faces.hugging_face._WithHead.__call__": "Hugging Face's",
    "faces.hugging_face.ConvBertForMultipleChoice.__call__": "Hugging Face's",
    "faces.hugging_face.ConvBertForQuestionAnswering.__call__": "Hugging Face's",
    "tokenizer.hugging_face._Tokenizer.__init__": "Hugging Face's",
    "tokenizer.hugging_face._Tokenizer.__call__": "Hugging Face's",
    "training.tasks.batches.evaluate": "three of the task, bound by `partial`, and those of a task's own `evaluate`",
}


def test_functions_fit_a_screen_and_take_at_most_eight_arguments():
    long = set()
    for module, around, node in definitions():
        name = ".".join((module, *around, node.name))
        assert node.end_lineno - node.lineno < 60, f"{name} has {node.end_lineno - node.lineno + 1} lines"
        a = node.args
        every = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
        if len([one for one in every if one.arg not in ("self", "cls")]) > 8:
            long.add(name)
    assert long == {*LONG_SIGNATURES}, long ^ {*LONG_SIGNATURES}


def test_the_core_is_read_in_one_sitting():
    core = [PACKAGE / f"{name}.py" for name in ("conv", "ops", "attention", "model", "losses", "heads")]
    assert sum(path.read_text(encoding="utf-8").count("\n") for path in core) <= 1000


# Public functions that two modules define under one name, and why. Besides these, every command has its `main`, every task
# has the functions that `training.tasks` lists, and `step.by_hand` has the functions of the core as formulas.
HOMONYMS = {
    **dict.fromkeys(("run", "train_step", "fresh_state", "check_out"),
                    "parts of each kind of training; read as pretrain.run, finetune.run, study.run"),
    "evaluate": "pretraining has its own measures; the others are functions of a task",
    "train": "a vocabulary, a task, the smallest task: always read with its module",
    "check": "minconvbert.course.check and minconvbert.golden.check, which users call so",
    "save": "a checkpoint, a figure, a work sheet: minconvbert.checkpoint.save and view.save, which users call so",
    "page": "minconvbert.view.page, which users call so, and the page of a recording",
    "planted": "a mistake in the reference, and one in an exercise",
    "draw": "random arrays of a case, and a work sheet",
    "split": "a text into words, as the notebooks show, and letters of a shape",
    "read": "a task's examples, and the source of a function",
    "side_by_side": "minconvbert.view.side_by_side, which users call so, and parts of a batch at the same time",
}


def test_one_name_means_one_thing():
    homes = {}
    for module, around, node in definitions():
        room = module.split(".")[0]
        if not around and not node.name.startswith("_") and room != "commands" and module != "step.by_hand":
            homes.setdefault(node.name, set()).add("training.tasks" if module.startswith("training.tasks.") else module)
    twice = {name: modules for name, modules in homes.items() if len(modules) > 1}
    assert twice.keys() == HOMONYMS.keys(), {name: twice.get(name) for name in twice.keys() ^ HOMONYMS.keys()}


# A room may import itself and what stands here. "model" is the files at the top of the package.
ROOMS = {
    "model": set(),
    "tokenizer": {"model"},
    "checkpoint": {"model"},
    "view": {"model"},
    "step": {"model", "view"},
    "course": {"model", "step", "view"},
    "golden": {"model", "tokenizer", "checkpoint"},
    "faces": {"model", "tokenizer", "checkpoint"},
    "training": {"model", "tokenizer", "checkpoint", "faces", "golden", "course"},
}
ROOMS["commands"] = {*ROOMS}


def room_of(parts):
    """The room of a module below the package, given as the parts of its name."""
    return parts[0] if parts[0] in ROOMS else "model"


def arrows():
    """-> (file, room, room that it imports, whether the import is at the top) for every import within the package"""
    for path in set(PACKAGE.rglob("*.py")) - {PACKAGE / "__init__.py"}:        # which shows what all rooms have
        here = path.relative_to(PACKAGE).with_suffix("").parts
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = here[: len(here) - node.level]
                modules = [(*base, *node.module.split("."))] if node.module else [(*base, a.name) for a in node.names]
                for module in modules:
                    yield path, room_of(here), room_of(module), node in tree.body


def test_no_arrow_between_rooms_that_the_plan_does_not_have():
    found = list(arrows())
    assert len(found) > 200 and {room for _, room, _, _ in found} == {*ROOMS}
    for path, room, other, _ in found:
        assert other == room or other in ROOMS[room] or path == PACKAGE / "__main__.py", f"{path}: {room} -> {other}"


def test_no_import_dodges_a_circle():
    """An import inside a function is for what is large or optional: a format that few files have, a picture."""
    inside = {(path.relative_to(PACKAGE).as_posix(), other) for path, _, other, at_top in arrows() if not at_top}
    assert inside <= {("checkpoint/load.py", "checkpoint"), ("checkpoint/save.py", "checkpoint"),
                      ("commands/golden.py", "golden"), ("commands/study.py", "view")}, inside


def test_only_faces_and_commands_change_how_the_process_keeps_memory(monkeypatch):
    code = "import minconvbert.electra, minconvbert.optim, minconvbert.checkpoint, minconvbert.tokenizer"
    loaded = subprocess.run([sys.executable, "-c", f"import sys; {code}; print('minconvbert.memory' in sys.modules)"],
                            capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "False"

    calls = []
    library = type("Library", (), dict(mallopt=staticmethod(lambda what, size: calls.append((what, size)) or size < 2**31 - 1)))
    monkeypatch.setattr("ctypes.pythonapi", library)
    monkeypatch.setenv("MINCONVBERT_KEEP_MEMORY", "0")
    keep_freed_memory()
    assert calls == []
    monkeypatch.delenv("MINCONVBERT_KEEP_MEMORY")
    keep_freed_memory()                                # a C library that refuses the highest gets what older ones took
    assert calls == [(-1, 2**31 - 1), (-1, 2**25), (-3, 2**31 - 1), (-3, 2**25)]
    monkeypatch.setattr("ctypes.pythonapi", object())
    keep_freed_memory()                                # there is no mallopt on other systems
