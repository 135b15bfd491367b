"""Tests of the tests: a fault planted in each backward must make the gradient check of the model fail."""

import inspect
import re

import numpy as np
import pytest
from helpers import assert_gradients, random_inputs, random_params, small_config
from test_model import labels_for

from minconvbert import activations, attention, conv, heads, losses, model, ops
from minconvbert.heads import HEADS, task_model, task_model_backward
from minconvbert.inputs import model_inputs

# module, function, what stands there, what is put in its place
FAULTS = [
    (ops, "linear_backward", "dy_rows.sum(0)", "dy_rows.mean(0)"),
    (ops, "linear_backward", "dy_rows.T @ x_rows", "dy_rows.T @ (0.9 * x_rows)"),
    (ops, "linear_backward", "(dy_rows @ weight)", "(dy_rows @ weight * 1.01)"),
    (ops, "grouped_linear_backward", "weight.swapaxes(1, 2)", "weight[::-1].swapaxes(1, 2)"),
    (ops, "grouped_linear_backward", "dy.reshape(-1, G * O).sum(0)", "dy.reshape(-1, G * O)[1:].sum(0)"),
    (ops, "embedding_backward", "dtable[rows] = np.add.reduceat(dy_rows[order], starts, axis=0)",
     "dtable[rows] = dy_rows[order][starts]"),
    (ops, "embedding_backward", "dtable[padding_idx] = 0", "dtable[:2] = 0"),
    (ops, "layer_norm_backward", "dnormed -= along_ones", "pass"),
    (ops, "layer_norm_backward", "dnormed -= normed", "pass"),
    (ops, "layer_norm_backward", "dnormed *= rstd", "dnormed *= rstd * rstd"),
    (ops, "layer_norm_backward", "dnormed = dy * weight", "dnormed = dy.copy()"),
    (ops, "layer_norm_backward", "(dy * normed)", "(dy * x)"),
    (ops, "softmax_backward", "dx -= y * row_sum(dx)", "pass"),
    (ops, "softmax_backward", "row_sum(dx)", "row_sum(dx) / 2"),
    (conv, "depthwise_conv_backward", "dpadded[:, j : j + L] += weight[:, 0, j]",
     "dpadded[:, j : j + L] += weight[:, 0, K - 1 - j]"),
    (conv, "depthwise_conv_backward", "dweight[:, 0, j]", "dweight[:, 0, K - 1 - j]"),
    (conv, "separable_conv_backward", "linear_backward(dout, mixed,", "linear_backward(dout, x,"),
    (conv, "separable_conv_backward", "dbias[:, None]", "0 * dbias[:, None]"),
    (conv, "dynamic_conv_backward", "kernel[..., j, None]", "kernel[..., K - 1 - j, None]"),
    (conv, "dynamic_conv_backward", "dkernel[..., j]", "dkernel[..., K - 1 - j]"),
    (conv, "span_dynamic_conv_backward", "dmatch * span_key, dmatch * query", "dmatch * query, dmatch * span_key"),
    (conv, "span_dynamic_conv_backward", "dx_value + hide(dx_span, mask)", "dx_value"),
    (conv, "span_dynamic_conv_backward", "dx_value + hide(dx_span, mask)", "hide(dx_span, mask)"),
    (conv, "span_dynamic_conv_backward", "softmax_backward(dkernel, kernel)", "dkernel"),
    (attention, "self_attention_backward", "dscores *= 1 / math.sqrt(Dh)", "pass"),
    (attention, "self_attention_backward", "dscores @ k, dscores.swapaxes(2, 3) @ q", "dscores @ k, dscores @ q"),
    (attention, "self_attention_backward", "dropout(weights, drop).swapaxes(2, 3)", "dropout(weights, drop)"),
    (attention, "mixed_attention_backward", "dquery = dquery + dquery_conv", "dquery = dquery"),
    (attention, "mixed_attention_backward", "deverywhere, dnearby = np.split", "dnearby, deverywhere = np.split"),
    (attention, "mixed_attention_backward", "dx += dx_part", "dx = dx_part"),
    (model, "convbert_backward", "dx, grads[\"embeddings_project.weight\"]", "_, grads[\"embeddings_project.weight\"]"),
    (model, "embeddings_backward", "acts[f\"{name}_ids\"]", "acts[\"position_ids\"] * 0"),
    (model, "layer_backward", "dattended = dattended + dattended_wide", "dattended = dattended"),
    (model, "layer_backward", "dx + dx_mixed", "dx_mixed"),
    (model, "project_add_norm_backward", "return dx, dtotal,", "return dx, 0 * dtotal,"),
    (model, "feed_forward_backward", "activate_backward(dout, acts[\"dense\"], acts[\"out\"], cfg.hidden_act)", "dout"),
    (activations, "gelu_slope", "density *= x", "density *= 0"),
    (activations, "activate_backward", "dy * slope(x, y)", "dy * 1"),
    (heads, "masked_lm_backward", "activate_backward(dactive, acts[\"dense\"], acts[\"active\"], \"gelu\")", "dactive"),
    (heads, "masked_lm_backward", "layer_norm_backward(dnormed, acts[\"active\"]",
     "layer_norm_backward(dnormed, acts[\"dense\"]"),
    (heads, "task_model_backward", "accumulate(grads, g_head)", "grads |= g_head"),
    (heads, "task_model_backward", "accumulate(grads, g_head)", "grads = g_head | grads"),
    (losses, "negative_log_likelihood_backward", "- 1) * dnll", "- 0.9) * dnll"),
    (losses, "cross_entropy_backward", "counted.sum()", "counted.size"),
]


def with_fault(module, function, old, new):
    """The function with one place of its source exchanged."""
    source = inspect.getsource(getattr(module, function))
    assert source.count(old) == 1, f"{function} no longer holds {old!r} once"
    namespace = dict(vars(module))
    exec(compile(source.replace(old, new), f"<{function} with a fault>", "exec"), namespace)
    return namespace[function]


def check_masked_lm():
    """The gradients of a model of two layers with everything in it."""
    cfg = small_config(embedding_size=8, num_groups=2, num_hidden_layers=2)
    params = random_params(cfg, "masked_lm")
    given = random_inputs(cfg)
    given["input_ids"] = np.maximum(1, given["input_ids"] % 5)
    inputs, labels = model_inputs(cfg, **given), labels_for("masked_lm", cfg, 3, 9)
    _, _, loss_of, loss_backward = HEADS["masked_lm"]

    def run(p):
        logits, acts = task_model("masked_lm", inputs, p, cfg)
        return *loss_of(logits, labels, cfg), acts

    _, loss_acts, acts = run(params)
    _, grads = task_model_backward("masked_lm", loss_backward(1.0, loss_acts), acts, params, cfg)
    assert_gradients(lambda p: float(run(p)[0]), params, grads)


def replace_everywhere(monkeypatch, module, function, faulty):
    """The modules import functions by name, so each has to be told."""
    honest = getattr(module, function)
    for other in (activations, attention, conv, heads, losses, model, ops):
        for name, value in list(vars(other).items()):
            if value is honest:
                monkeypatch.setattr(other, name, faulty)
    table = {name: tuple(faulty if f is honest else f for f in pair) for name, pair in activations.ACTIVATIONS.items()}
    monkeypatch.setattr(activations, "ACTIVATIONS", table)
    monkeypatch.setattr(heads, "HEADS", {task: tuple(faulty if f is honest else f for f in row)
                                         for task, row in heads.HEADS.items()})


def test_without_a_fault_the_check_passes():
    check_masked_lm()


@pytest.mark.parametrize("module, function, old, new", FAULTS, ids=[f"{f}: {new}" for _, f, _, new in FAULTS])
def test_a_fault_is_noticed(module, function, old, new, monkeypatch):
    replace_everywhere(monkeypatch, module, function, with_fault(module, function, old, new))
    monkeypatch.setitem(globals(), "task_model_backward", heads.task_model_backward)
    monkeypatch.setitem(globals(), "HEADS", heads.HEADS)
    with pytest.raises((AssertionError, ValueError)):
        check_masked_lm()


def test_every_backward_of_the_core_has_a_fault_planted():
    planted = {function for _, function, _, _ in FAULTS}
    elsewhere = re.compile(
        "encoder|dense_linear|binary|mean_squared|classification|question|choice|discriminator|_loss_")
    for module in (attention, conv, heads, losses, model, ops):
        for name, f in vars(module).items():
            if name.endswith("_backward") and f.__module__ == module.__name__ and not elsewhere.search(name):
                assert name in planted, name
