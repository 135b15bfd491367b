"""Tests of the tests: a fault planted in each backward must make the gradient check of the model fail.

The faults are those that ports make, in a backward pass, and some that no port has been seen to make.
"""

import re

import numpy as np
import pytest
from helpers import assert_gradients, random_inputs, random_params, small_config
from test_model import labels_for

from minconvbert import attention, conv, heads, losses, model, ops
from minconvbert.golden.mistakes import MISTAKES, changed
from minconvbert.inputs import model_inputs

# where, what stands there, what is put in its place
FAULTS = [
    ("ops.linear_backward", "dy_rows.T @ x_rows", "dy_rows.T @ (0.9 * x_rows)"),
    ("ops.linear_backward", "(dy_rows @ weight)", "(dy_rows @ weight * 1.01)"),
    ("ops.grouped_linear_backward", "weight.swapaxes(1, 2)", "weight[::-1].swapaxes(1, 2)"),
    ("ops.grouped_linear_backward", "dy.reshape(-1, G * O).sum(0)", "dy.reshape(-1, G * O)[1:].sum(0)"),
    ("ops.embedding_backward", "dtable[padding_idx] = 0", "dtable[:2] = 0"),
    ("ops.layer_norm_backward", "dx *= rstd", "dx *= rstd * rstd"),
    ("ops.softmax_backward", "row_sum(dx)", "row_sum(dx) / 2"),
    ("conv.separable_conv_backward", "dbias[:, None]", "0 * dbias[:, None]"),
    ("attention.self_attention_backward", "dropout(weights, drop).swapaxes(2, 3)", "dropout(weights, drop)"),
    ("model.convbert_backward", 'dx, grads["embeddings_project.weight"]', '_, grads["embeddings_project.weight"]'),
    ("model.embeddings_backward", 'acts[f"{name}_ids"]', 'acts["position_ids"] * 0'),
    ("model.layer_backward", "dattended = dattended + dattended_wide", "dattended = dattended"),
    ("model.project_add_norm_backward", "return dx, dtotal,", "return dx, 0 * dtotal,"),
    ("model.feed_forward_backward", 'activate_backward(dout, acts["dense"], acts["out"], cfg.hidden_act)', "dout"),
    ("activations.activate_backward", "dy * slope(x, y)", "dy * 1"),
    ("heads.masked_lm_backward", 'activate_backward(dactive, acts["dense"], acts["active"], "gelu")', "dactive"),
    ("heads.masked_lm_backward", 'layer_norm_backward(dnormed, acts["active"]',
     'layer_norm_backward(dnormed, acts["dense"]'),
    ("heads.task_model_backward", "accumulate(grads, g_head)", "grads |= g_head"),
    ("heads.task_model_backward", "accumulate(grads, g_head)", "grads = g_head | grads"),
    ("losses.negative_log_likelihood_backward", "- 1) * dnll", "- 0.9) * dnll"),
    ("losses.cross_entropy_backward", "counted.sum()", "counted.size"),
]
# What a model of masked words with gelu does not run; and the row of padding, of which finite differences know better.
ELSEWHERE = re.compile("padding has a gradient|SiLU|mean squared|binary")
CORE = {"activations", "attention", "conv", "heads", "losses", "model", "ops"}
FAULTS += [edits[0] for name, edits in MISTAKES.items()
           if len(edits) == 1 and re.search("_backward$|_slope$", edits[0][0]) and edits[0][0].split(".")[0] in CORE
           and not ELSEWHERE.search(name) and edits[0] not in FAULTS]


def check_masked_lm():
    """The gradients of a model of two layers with everything in it, dropout too."""
    cfg = small_config(embedding_size=8, num_groups=2, num_hidden_layers=2, hidden_dropout_prob=0.2,
                       attention_probs_dropout_prob=0.2)
    params = random_params(cfg, "masked_lm")
    given = random_inputs(cfg)
    given["input_ids"] = np.maximum(1, given["input_ids"] % 5)
    inputs, labels = model_inputs(cfg, **given), labels_for("masked_lm", cfg, 3, 9)
    _, _, loss_of, loss_backward = heads.HEADS["masked_lm"]

    def run(p):
        logits, acts = heads.task_model("masked_lm", inputs, p, cfg, np.random.default_rng(5))
        return *loss_of(logits, labels, cfg), acts

    _, loss_acts, acts = run(params)
    _, grads = heads.task_model_backward("masked_lm", loss_backward(1.7, loss_acts), acts, params, cfg)
    assert_gradients(lambda p: 1.7 * float(run(p)[0]), params, grads)


def test_without_a_fault_the_check_passes():
    check_masked_lm()


@pytest.mark.parametrize("fault", FAULTS, ids=[f"{where}: {new}" for where, _, new in FAULTS])
def test_a_fault_is_noticed(fault):
    with changed(fault), pytest.raises((AssertionError, ValueError)):
        check_masked_lm()


def test_every_backward_of_the_core_has_a_fault_planted():
    planted = {where.split(".")[-1] for where, _, _ in FAULTS}
    elsewhere = re.compile(
        "encoder|dense_linear|binary|mean_squared|classification|question|choice|discriminator|_loss_")
    for module in (attention, conv, heads, losses, model, ops):
        for name, f in vars(module).items():
            if name.endswith("_backward") and f.__module__ == module.__name__ and not elsewhere.search(name):
                assert name in planted, name
