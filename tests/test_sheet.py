"""The cheat sheet is right: its formulas, read as they are printed, give what the package computes."""

import math
import re

import numpy as np
import pytest

from minconvbert import losses, ops
from minconvbert.activations import activate, activate_backward, normal_cdf
from minconvbert.config import ConvBertConfig
from minconvbert.conv import depthwise_conv
from minconvbert.course import sheet
from minconvbert.electra import DISCRIMINATOR_WEIGHT, GENERATOR_WEIGHT
from minconvbert.optim import adam_state, adam_step

RNG = np.random.default_rng(0)
X, DY, WEIGHT, BIAS = (RNG.normal(size=shape) * 2 for shape in ((3, 5), (3, 5), 5, 5))
LAST = dict(axis=-1, keepdims=True)
VARIANCE, Y = X.var(**LAST), ops.softmax(X)
SPOKEN = dict(exp=np.exp, erf=np.vectorize(math.erf), sqrt=np.sqrt, π=np.pi, mean=lambda x: x.mean(**LAST),
              sum=lambda x: x.sum(**LAST), sigmoid=lambda x: 1 / (1 + np.exp(-x)))


def value(formula, **names):
    """What a formula gives: products may be written as a dot or a space, roots, squares and sums by their signs."""
    for sign, python in {"−x²": "-(x²)", "−": "-", "·": "*", "²": "**2", "2π": "2 π", "one-hot": "hot"}.items():
        formula = formula.replace(sign, python)
    formula = re.sub(r"√(\w+)", r"sqrt(\1)", formula).replace("√", "sqrt")
    formula = re.sub(r"Σ (\w+) (\w+)", r"sum(\1 * \2)", formula)
    return eval(re.sub(r"(?<=[\w)]) +(?=[\w(])", " * ", formula.strip()), SPOKEN | names)


def formulas(text, name):
    """The formulas of a line: {what they define: the other side}"""
    line, = [line.strip() for line in text.splitlines() if line.strip().startswith(f"{name} | ")]
    parts = re.split(r"[,;] {2,}", line.split(" | ")[1])
    return dict(re.split(" (?:=|←) ", part.strip(), maxsplit=1) for part in parts if re.search("=|←", part))


def close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-9)


def test_layer_norm():
    names = dict(x=X, variance=VARIANCE, ε=0.1, weight=WEIGHT, bias=BIAS, dy=DY,
                 n=(X - X.mean(**LAST)) / np.sqrt(VARIANCE + 0.1))
    close(value(formulas(sheet.FORWARD, "layer norm")["y"].replace("− mean)", "− mean(x))"), **names),
          ops.layer_norm(X, WEIGHT, BIAS, 0.1))
    back = formulas(sheet.BACKWARD, "layer norm")
    names["dn"] = value(back["dn"], **names)
    close(value(back["dx"], **names), ops.layer_norm_backward(DY, X, WEIGHT, 0.1)[0])


def test_gelu():
    there, back = formulas(sheet.FORWARD, "GELU"), formulas(sheet.BACKWARD, "GELU")
    Φ, φ = (lambda x, formula=formula: value(formula, x=x) for formula in (there["Φ(x)"], back["φ(x)"]))
    close(Φ(X), normal_cdf(X))
    y = value(there["y"], x=X, Φ=Φ)
    close(y, activate(X, "gelu"))
    close(value(back["dx"], x=X, dy=DY, Φ=Φ, φ=φ), activate_backward(DY, X, y, "gelu"))


def test_softmax_and_losses():
    y = formulas(sheet.FORWARD, "softmax")["y"].replace("max", "max(x)").replace("/ sum", "/ sum(exp(x − max(x)))")
    close(value(y, x=X, max=lambda x: x.max(**LAST)), Y)
    close(value(formulas(sheet.BACKWARD, "softmax")["dx"], y=Y, dy=DY), ops.softmax_backward(DY, Y))
    labels = np.array([1, 4, 0])
    close(value(formulas(sheet.BACKWARD, "cross-entropy")["dlogits"], softmax=Y, hot=np.eye(5)[labels], dloss=0.3,
                count=3), losses.cross_entropy_backward(0.3, Y, labels))
    wanted = (X > DY).astype(float)
    close(value(formulas(sheet.BACKWARD, "binary")["dz"], z=X, wanted=wanted, dloss=0.3, count=X.size),
          losses.binary_cross_entropy_backward(0.3, X, wanted))


def test_adam():
    params = dict(weight=X.copy())
    state = adam_state(params)
    adam_step(params, dict(weight=DY), state, 0.2, 0.0)
    names = dict(rate=0.3, decay=0.1, ε=1e-6, g=WEIGHT * DY, x=params["weight"].copy(),
                 **{moment: state[f"{moment}.weight"].copy() for moment in "mv"})
    adam_step(params, dict(weight=WEIGHT * DY), state, 0.3, 0.1)
    for name, formula in formulas(sheet.FORWARD, "Adam").items():      # m and v first, then x
        names[name] = value(formula, **names)
        close(names[name], state[f"{name}.weight"] if name in "mv" else params["weight"])


def test_the_width_of_heads():
    cfg = ConvBertConfig(hidden_size=48, num_attention_heads=4)
    names = dict(H=cfg.heads, Dh=cfg.head_size, D=cfg.hidden_size)
    left, right = re.search(r"Dh \| numbers in a head: (.*?) = (\w+)", sheet.LETTERS).groups()
    assert value(left, **names) == names[right] == 48


def test_linear_maps_and_convolutions():
    names = dict(dy=DY[:, :4], W=RNG.normal(size=(4, 5)), x=X)
    line, = [line for line in sheet.BACKWARD.splitlines() if line.startswith("linear | ")]
    dx, dweight, dbias = (part.split(" = ")[1] for part in line.split(" | ")[1].split("   "))
    for formula, wanted in zip((dx, dweight), ops.linear_backward(names["dy"], X, names["W"])):
        left, right = formula.split()
        close((names["dy"].T if left == "dyᵀ" else names[left]) @ names[right], wanted)
    assert dbias == "Σ dy"
    line, = [line for line in sheet.FORWARD.splitlines() if line.startswith("convolution | ")]
    place = re.search(r"out\[t\] = Σⱼ kernel\[j\] x\[(.*?)\]", line)[1].replace("−", "-")
    x, kernel, K = RNG.normal(size=(1, 6, 2)), RNG.normal(size=(2, 1, 3)), 3
    out = np.zeros_like(x)
    for t in range(6):
        for j in range(K):
            at = eval(place, dict(t=t, j=j, K=K))
            out[0, t] += kernel[:, 0, j] * x[0, at] if 0 <= at < 6 else 0
    close(out, depthwise_conv(x, kernel))


def test_line_after_line_goes_down_the_page():
    plt = pytest.importorskip("matplotlib.pyplot")
    figure = sheet.draw()
    plt.close(figure)
    places = [text.get_position()[::-1] for text in figure.texts]
    assert all(0 < x < 1 and 0 < y < 1 for y, x in places)
    assert all(a[0] > b[0] or a[0] == b[0] and a[1] < b[1] for a, b in zip(places, places[1:]))


def test_the_weights_of_pretraining():
    line, = [line for line in sheet.FORWARD.splitlines() if line.startswith("pretraining | ")]
    assert re.findall(r"(\d+) · mean", line) == [f"{weight:g}" for weight in (GENERATOR_WEIGHT, DISCRIMINATOR_WEIGHT)]
