# %% [markdown]
# # 06. Backward by hand, and how to check a gradient
#
# **Claim.** A backward pass is bookkeeping. The forward pass asks in each line: *what comes out?* The backward pass has one
# line for each of these, which asks: *how much would the loss change if I moved this number a little?* Six rules, and the
# two of 02 (layer norm and look-up), are enough for the whole model. And whether a gradient is right can be measured, by
# a few lines that know nothing of the rules.
#
# At the end you write the backward pass of the span-based convolution yourself.
#
# After this notebook you can
# * derive the backward pass of a linear map, a product, a softmax, GELU and a convolution
# * check any gradient by measurement, and say which checks prove nothing
# * write the backward pass of the heart of the model
#
# **Time**: about 120 minutes, exercises included. **Builds on**: 02 (the layer norm's backward pass), 03, 04, 05.
#
# **Papers**: [ConvBERT](https://arxiv.org/abs/2008.02496) (Jiang and others, 2020), [Gaussian Error Linear
# Units](https://arxiv.org/abs/1606.08415) (Hendrycks and Gimpel, 2016), [Layer
# Normalization](https://arxiv.org/abs/1607.06450) (Ba and others, 2016).
# Letters: `B` sentences, `L` tokens, `D` numbers for a token, `H` heads, `Dh` numbers in a head, `K` taps, `I` inputs and
# `O` outputs of a linear map.

# %%
import numpy as np
from IPython.display import Markdown, display

from minconvbert import activations, conv, ops
from minconvbert.attention import (
    mixed_attention,
    mixed_attention_backward,
    self_attention,
    self_attention_backward,
)
from minconvbert.conv import dynamic_conv, dynamic_conv_backward, hide, separable_conv_backward, span_dynamic_conv
from minconvbert.course import check, stub
from minconvbert.course.exercises import case
from minconvbert.ops import layer_norm, layer_norm_backward, linear, softmax, standardize
from minconvbert.step import steps
from minconvbert.view.notebook import BLUE, ORANGE, picture, show

# %% [markdown]
# ## What a gradient is
#
# There is one number at the end, the loss. Let `y` be any array on the way to it. `dy` is an array **of the same
# shape**: entry by entry, how much the loss grows for each unit that this entry of `y` grows. In this project `d`
# before a name always means that.
#
# A function `y = f(x)` is somewhere in the middle. The functions after it hand us `dy`; we return `dx`. We need not know
# what comes after us, or what came before.
#
# ## Rule 1: a linear map returns gradients by its own weights
#
# An example by hand: two inputs, two outputs, `y = x Wᵀ + b` with x = (1, 2) and
#
# * y₀ = 3·x₀ + 4·x₁ = 3·1 + 4·2 = 11
# * y₁ = 5·x₀ + 6·x₁ = 5·1 + 6·2 = 17
#
# Suppose `dy` = (10, 100): the loss grows by 10 for each unit of y₀, by 100 for each unit of y₁.
#
# * **dx₀**: one unit more of x₀ makes y₀ larger by 3 and y₁ by 5, and the loss by 3·10 + 5·100 = **530**. Likewise
#   dx₁ = 4·10 + 6·100 = **640**.
# * **dW**: the weight 4 takes x₁ to y₀. One unit more of it makes y₀ larger by x₁ = 2, and the loss by 2·10 = **20**. The
#   gradient of a weight is its input times the gradient of its output.
# * **db**: one unit more of b₀ is one unit more of y₀: **10**.
#
# With several rows, all of which go through the same W and b, the rows' gradients of W and b are added.

# %%
x, weight, dy = np.array([[1.0, 2]]), np.array([[3.0, 4], [5, 6]]), np.array([[10.0, 100]])
dx, dweight, dbias = ops.linear_backward(dy, x, weight)
assert (dx == [[530, 640]]).all()
assert (dweight == [[10, 20], [100, 200]]).all()
assert (dbias == [10, 100]).all()
show(linear)
show(ops.linear_backward, fold="The source of `linear_backward`: write it yourself first, in the exercises below")

# %% [markdown]
# Here are both passes, to step through. The arrow keys → and ← walk from line to line, and `D` goes from a line to its line
# in the other pass. Click a number to see its products and sums. (Where no script runs, you see a still picture of one
# line.)

# %%
# alt: The lines of linear and of its backward pass side by side, with the numbers of dx and how the first is made.
steps(linear, x, weight, np.zeros(2), dout=dy).page(at="dx")

# %% [markdown]
# The shapes almost decide it. `dx` must be `(rows, I)` and is made of `dy (rows, O)` and `weight (O, I)`: only one product
# fits. `dweight` must be `(O, I)` and is made of `dy (rows, O)` and `x (rows, I)`: again only one product fits.
#
# ## Rule 2: each factor of a product gets the gradient times the other factor
#
# `match = query * span_key`, number by number. One unit more of the query makes the match larger by `span_key`. So
# `dquery = dmatch * span_key` and `dspan_key = dmatch * query`.
#
# By hand: query 3, span key 5, `dmatch` = 10. Then `dquery` = 50 and `dspan_key` = 30.
#
# ## Rule 3: what is used twice gets both gradients, added
#
# If two functions read `x`, one unit more of it moves the loss in both ways at once. So the two gradients are
# added. This is the rule that people forget. The model is full of it: a residual connection reads its input twice,
# the query is read by attention and by the convolution, and a bias is read by every row.
#
# ## Rule 4: back through a softmax
#
# Softmax has outputs y with sum 1. By hand: y = (0.5, 0.3, 0.2), `dy` = (1, 2, 4).
#
# 1. The three y always sum to 1, so they cannot all grow. Hence adding a constant to all three `dy` cannot matter. The
#    constant to take out is their mean, weighted by y, as the Jacobian below shows: 0.5·1 + 0.3·2 + 0.2·4 = **1.9**.
# 2. Subtract it: (−0.9, 0.1, 2.1).
# 3. Multiply by y: `dx` = **(−0.45, 0.03, 0.42)**.
#
# The three sum to 0: adding the same to all inputs changes nothing.
#
# Why multiply by y? A small step of input 0 raises y₀ by y₀(1 − y₀) and lowers every other y by y₀ times that y: what one
# gains, the others lose. (This is the Jacobian of softmax: ∂yᵢ/∂xⱼ = yᵢ(1 if i = j else 0) − yᵢyⱼ.) Multiply each
# change of a y by its `dy` and add: dx₀ = y₀·dy₀ − y₀·(y₀·dy₀ + y₁·dy₁ + y₂·dy₂). That is y₀ times (dy₀ minus the mean of step 1).

# %%
dx = ops.softmax_backward(np.array([1.0, 2, 4]), np.array([0.5, 0.3, 0.2]))
assert np.allclose(dx, [-0.45, 0.03, 0.42]) and abs(dx.sum()) < 1e-12
show(ops.softmax_backward, fold="The source of `softmax_backward`: write it yourself first, in the exercises below")

# %% [markdown]
# Note what it takes: the *output* of the softmax, not its input. A backward takes `dy` and, of what the forward was given
# or returned, what it needs. Its signature says what must be remembered.
#

# %% [markdown]
# ## Rule 5: a function of each number alone multiplies by its slope
#
# If y = f(x) for each number by itself, one unit more of x makes y larger by the slope f′(x), and nothing else
# changes. So **dx = dy · f′(x)**.
#
# The activation of ConvBERT is GELU: f(x) = x · Φ(x). Φ(x) is the chance that a random number of the normal
# distribution is below x, Φ(x) = (1 + erf(x / √2)) / 2. A large x passes as it is, because Φ is nearly 1; a very
# negative x becomes nearly 0; in between GELU is smooth. (The smooth step is what tells it from ReLU, which cuts at 0
# and has a slope of 0 or 1.)
#
# Its slope: x Φ(x) is a product, so by rule 2 there are two terms. The factor x has slope 1, which leaves Φ(x). The
# factor Φ has as slope the density of the normal distribution, φ(x) = exp(−x²/2) / √(2π), which meets the other
# factor, x. So
#
# **f′(x) = Φ(x) + x · φ(x).**
#
# By hand at x = 1: Φ(1) = 0.8413 and φ(1) = 0.2420, so gelu(1) = **0.8413** and its slope is 0.8413 + 0.2420 =
# **1.0833**, more than 1. At x = 0 the slope is ½. At x = −1 it is 0.1587 − 0.2420 = **−0.0833**: a little to the
# left of its lowest point, GELU falls.

# %%
# alt: GELU and its slope from -4 to 4. GELU is near 0 on the left, has a shallow valley near -0.75, and is near x on the
#      right. Its slope rises from 0 through a half at 0 to a little above 1, and falls back to 1.
x = np.linspace(-4, 4, 161)
y = activations.activate(x, "gelu")
slope = activations.activate_backward(np.ones_like(x), x, y, "gelu")
assert np.allclose(np.interp([1.0], x, y), 0.8413, atol=1e-4)
assert np.allclose(np.interp([-1.0, 0, 1], x, slope), [-0.0833, 0.5, 1.0833], atol=1e-4)
measured = (activations.activate(x + 1e-6, "gelu") - activations.activate(x - 1e-6, "gelu")) / 2e-6
assert np.abs(measured - slope).max() < 1e-8
axis = picture(width=5)
axis.plot(x, y, color=BLUE, label="gelu(x) = x Φ(x)")
axis.plot(x, slope, "--", color=ORANGE, label="its slope Φ(x) + x φ(x)")
axis.set(xlabel="x", ylabel="value", title="the activation and its slope")
axis.legend()
show(activations.gelu, activations.normal_cdf)
show(activations.gelu_slope, activations.activate_backward,
     fold="The sources of the slope: try the exercise `activate_backward` below first")

# %% [markdown]
# (The package's slope uses `gate(x, y)` = y / x for Φ(x), because the forward pass has computed y = x Φ(x) already:
# dividing is cheaper than a second erf.)
#
# ## Rule 6: what is put side by side comes apart again
#
# `out = concatenate(a, b)` moves numbers and changes none. So `dout` is cut at the same place: the first part is
# `da`, the second `db`. A reshape or a transpose only moves numbers, too: its backward is the reshape or transpose
# that undoes it. By hand: a = (1, 2), b = (3); `dout` = (10, 20, 30); then `da` = (10, 20), `db` = (30).
#
# ## What is missing from this list, and where it is
#
# The layer norm's rule is worked out in 02: subtract the two parts that cannot matter, multiply by `rstd`. The
# look-up's rule is there, too. The logarithm occurs only in the losses, together with a softmax or a sigmoid, and
# there the two slopes cancel to something simple: probabilities minus truth (07, 08).
#
# ## A convolution, backward
#
# The forward pass was three lines. For each tap: take the padded sentence moved to that tap, times the tap's weight,
# and add.
#
# ```python
# for j in range(K):
#     out += kernel[..., j, None] * padded[:, j : j + L]
# ```
#
# Each tap is a product, so rule 2 applies: `padded[:, j : j + L]` gets `kernel * dout`, and the kernel gets
# `padded * dout`, summed over everything that shared this kernel weight. Several taps read the same part of `padded`, so
# rule 3 applies: `+=`. In the end the zeros at both ends are cut off (`unpad`), because nothing learns from them.
#
# By hand: one channel, tokens (1, 2, 4), the kernel (10, 20, 30) for all tokens, and `dout` = (1, 0, 0). Only
# out₀ = 20·1 + 30·2 matters. Token 0 gets **20**, token 1 gets **30**, token 2 nothing. The kernel gets what its taps
# saw at token 0: **(0, 1, 2)**.

# %%
value = np.array([1.0, 2, 4]).reshape(1, 3, 1, 1)
kernel = np.tile([10.0, 20, 30], (1, 3, 1, 1))
dout = np.array([1.0, 0, 0]).reshape(1, 3, 1, 1)
dvalue, dkernel = dynamic_conv_backward(dout, value, kernel)
assert (dvalue.ravel() == [20, 30, 0]).all()
assert (dkernel[0, 0, 0] == [0, 1, 2]).all()
show(dynamic_conv_backward)

# %%
# alt: The lines of dynamic_conv and of its backward pass side by side, with the numbers of dkernel.
steps(dynamic_conv, value, kernel, dout=dout).page(at="dkernel", tokens=["token 0", "token 1", "token 2"])

# %% [markdown]
# All `Dh` channels of a head share a kernel, so `dkernel` is a sum over them: `einsum("blhd,blhd->blh")` multiplies
# and sums over `d`. In the depthwise convolution all sentences and tokens share one kernel: there the sum is over
# `b` and `l`. The separable convolution is a depthwise one and then a linear map; its backward pass goes through the
# linear map first and then through the depthwise convolution.

# %%
show(separable_conv_backward)
show(conv.depthwise_conv_backward, fold="The source of `depthwise_conv_backward`: write it yourself first, below")

# %% [markdown]
# ## How to check a gradient
#
# Forget the rules. Take a random direction `v` in the space of one argument. Go a small step `h` along it in both
# directions, and see how much the loss differs between the two ends. Divide by 2h. If the gradient is right, the result
# is the dot product of the gradient with `v`.
#
# **Why two-sided?** Expand the loss along the line: f(h) = f(0) + h f′ + h² f″/2 + h³ f‴/6 + ... One-sided, (f(h) − f(0)) / h
# leaves an error of h f″/2. In the difference f(h) − f(−h) all even terms cancel, and (f(h) − f(−h)) / 2h leaves only
# h² f‴/6. With h = 1e-6 that is about a millionth of the one-sided error, and rounding is what is left, for the price of one more forward pass.
#
# As the loss we take `(out * dout).sum()` with a **random** `dout`. Its gradient with respect to `out` is `dout` itself.

# %%
def gradient_error(f, args, i, da, dout, v, h=1e-6):
    """The relative error of da, the gradient for argument i of f, measured along v"""
    def loss(step):
        moved = list(args)
        moved[i] = args[i] + step * v
        return (f(*moved) * dout).sum()
    measured, predicted = (loss(h) - loss(-h)) / (2 * h), (da * v).sum()
    return abs(measured - predicted) / max(abs(measured), abs(predicted))

rng = np.random.default_rng(0)
value, kernel = rng.normal(size=(2, 6, 3, 4)), softmax(rng.normal(size=(2, 6, 3, 5)))
dout = rng.normal(size=value.shape)
gradients = dynamic_conv_backward(dout, value, kernel)
for i, name in enumerate(("value", "kernel")):
    error = gradient_error(dynamic_conv, (value, kernel), i, gradients[i], dout, rng.normal(size=gradients[i].shape))
    assert error < 1e-7
    print(f"d{name}: relative error {error:.1e}")

# %% [markdown]
# We check each argument by itself, so that we know which gradient is wrong. A planted fault is seen at once:

# %%
wrong = gradients[1] * 1.001
error = gradient_error(dynamic_conv, (value, kernel), 1, wrong, dout, rng.normal(size=wrong.shape))
assert error > 1e-5
print(f"0.1% too large: relative error {error:.1e}")

# %% [markdown]
# ### How far to go
#
# If the step is too large, the loss curves along it. If it is too small, the two losses differ by less than the
# rounding of the machine. In between is a valley. In float64 it is wide and deep: with a step between 1e-7 and 1e-5 the
# error is below 1e-8. In float32 only steps near 1e-3 are good to 1e-4, and with 1e-6 the measured gradient is off by
# percents. One-sided differences (dotted) have a valley that is narrower and much less deep. **Check gradients two-sided,
# in float64.**

# %%
# alt: Relative error against the step h, both logarithmic. Float64: a deep valley between 1e-7 and 1e-5. Float64
#      one-sided: a shallower one. Float32: a valley near 1e-3 that is not below 1e-5.
def layer_norm_error(h, dtype, one_sided=False):
    rng = np.random.default_rng(1)
    x, weight, bias, dout, v = (rng.normal(size=s).astype(dtype) for s in ((4, 16), (16,), (16,), (4, 16), (4, 16)))
    dx, _, _ = layer_norm_backward(dout, x, weight, 1e-12)
    if one_sided:
        ahead, here = ((layer_norm(x + step * v, weight, bias, 1e-12) * dout).sum() for step in (h, 0))
        return abs((ahead - here) / h - (dx * v).sum()) / abs((dx * v).sum())
    return gradient_error(lambda x: layer_norm(x, weight, bias, 1e-12), (x,), 0, dx, dout, v, dtype(h))

lengths = np.logspace(-12, 0, 49)
errors = {dtype: np.array([layer_norm_error(h, dtype) for h in lengths]) for dtype in (np.float64, np.float32)}
one_sided = np.array([layer_norm_error(h, np.float64, one_sided=True) for h in lengths])
at = np.abs(lengths - 1e-6).argmin()
assert one_sided.min() > 10 * errors[np.float64].min()
assert errors[np.float64][at] < 1e-8 and errors[np.float32][at] > 1e-3 and errors[np.float32].min() > 1e-6
axis = picture(width=6.5, height=3)
for (dtype, error), colour in zip(errors.items(), (BLUE, ORANGE)):
    axis.loglog(lengths, error, color=colour, label=dtype.__name__)
axis.loglog(lengths, one_sided, ":", color=BLUE, label="float64, one-sided")
axis.set(xlabel="step h", ylabel="relative error", title="error of the measured gradient of layer norm")
axis.legend()

# %% [markdown]
# ### Why `dout = ones` proves nothing
#
# It is tempting to take `loss = out.sum()`, that is, `dout` all ones. But the outputs of a softmax always sum to 1, and
# those of a layer norm (without its weight) to 0. So this loss is a constant, its true gradient is 0, and a backward that
# returns only zeros passes.

# %%
x = rng.normal(size=(4, 16))
y = softmax(x)
ones = np.ones_like(x)
assert np.abs(ops.softmax_backward(ones, y)).max() < 1e-15                  # the right gradient is zero
def forgets_everything(dy, y):
    return np.zeros_like(y)

assert np.allclose(forgets_everything(ones, y), ops.softmax_backward(ones, y))

dout = rng.normal(size=x.shape)
assert not np.allclose(forgets_everything(dout, y), ops.softmax_backward(dout, y))

dx, *_ = layer_norm_backward(ones, x, np.ones(16), 1e-12)
assert np.abs(dx).max() < 1e-12
print("with dout = ones: softmax", np.abs(ops.softmax_backward(ones, y)).max(), "  layer norm", np.abs(dx).max())

# %% [markdown]
# ### A gradient that is nothing
#
# `key.bias` adds the same vector to all keys. So it adds the same number to all scores of a row, and the softmax
# cannot see it (03). Its gradient is exactly 0. What the machine computes is rounding noise.
#
# This breaks a common test. Two right implementations have different noise, so that their *relative* difference may be a
# tenth, or more than 1, and right code fails. So compare the difference with the **largest gradient of the case**, not
# with the gradient itself.
#
# (And `query.bias`? It adds query.bias · key to the scores, a number that differs from key to key. So its gradient is not
# 0, as the list below shows.)

# %%
x, masks, p, cfg = case("mixed_attention", seed="key bias")             # the arguments that an exercise is checked on
out, acts = mixed_attention(x, masks, p, cfg)
dout = rng.normal(size=out.shape)
_, grads = mixed_attention_backward(dout, acts, p, cfg)
for name, g in sorted(grads.items(), key=lambda item: np.abs(item[1]).max()):
    print(f"{name:<40} largest entry {np.abs(g).max():.1e}")
largest = max(np.abs(g).max() for g in grads.values())
assert np.abs(grads["key.bias"]).max() < 1e-13 * largest

# the same gradients once more, with the sentences in another order: the sums are the same, their rounding is not
turned = {name: np.ascontiguousarray(a[::-1]) for name, a in acts.items()}
_, again = mixed_attention_backward(np.ascontiguousarray(dout[::-1]), turned, p, cfg)
print("\nrelative difference of two right computations:")
for name in ("query.bias", "value.bias", "key.bias"):
    print(f"{name:<12} {np.abs(again[name] - grads[name]).max() / np.abs(grads[name]).max():.0e}")
assert np.abs(again["key.bias"] - grads["key.bias"]).max() > 0.01 * np.abs(grads["key.bias"]).max()
assert np.abs(again["query.bias"] - grads["query.bias"]).max() < 1e-13 * np.abs(grads["query.bias"]).max()

# %% [markdown]
# ## A whole block, backward
#
# Attention shows how the rules work together. Both passes are side by side: a line of the one lights its line in the
# other, and beside each array is its gradient. What was computed last is undone first.

# %%
show(self_attention_backward)

# %%
# alt: The lines of self_attention and of its backward pass side by side, at the line that makes the weights.
args = case("self_attention", seed="walk")
out, acts = self_attention(*args)
walk = steps(self_attention, *args, dout=rng.normal(size=out.shape))
(forward,) = walk.made("weights", "self_attention")
assert any(walk[number].source.startswith("dscores = softmax_backward") for number in forward.mates)
walk.page(at="weights")

# %% [markdown]
# ## How an exercise is checked
#
# `check` runs your function and the package's on the same numbers, drawn from a seed. If your results differ, it compares
# the local arrays on the way, by name, and shows which of your lines departs first. So use the names of the package for
# what you compute. Here is a backward pass of layer norm with a mistake in its fourth line.

# %%
def mine(dy, x, weight, eps):
    normed, rstd = standardize(x, eps)
    dnormed = dy * weight
    along_ones = dnormed.sum(-1, keepdims=True)
    along_normed = (dnormed * normed).mean(-1, keepdims=True)
    dx = (dnormed - along_ones - along_normed * normed) * rstd
    return dx, (dy * normed).sum((0, 1)), dy.sum((0, 1))

verdict = check(mine, seed="Ada", name="layer_norm_backward")
assert not verdict and verdict.wrong == "along_ones"
verdict

# %% [markdown]
# ## Exercise: the heart, backward
#
# Here is the forward pass once more. Write its backward pass. This is all you need:
#
# * `dynamic_conv_backward(dout, value, kernel)` → dvalue, dkernel
# * `linear_backward(dy, x, weight)` → dx, dweight, dbias
# * `softmax_backward(dy, y)` → dx, with `y` the **output** of the softmax
# * `separable_conv_backward(dout, x, mixed, depthwise, pointwise)` → dx, ddepthwise, dpointwise, dbias; `mixed` is the
#   array between its two steps
# * `hide(x, mask)` is its own backward: what was zeroed on the way forward is zeroed on the way back. With
#   `mask=None` it does nothing.
#
# `acts` holds what the forward kept: `x, query, span_mixed, span_key, match, kernel, value`, and `mask` if there was
# one. `p` holds the parameters. Return three things: `dx`; `dquery` (the query was made elsewhere, and its gradient
# goes back there); and `grads`, a dict with the names of `p`.
#
# Shapes: `linear` made scores of `(B, L, H·K)` and they were reshaped to `(B, L, H, K)` for the softmax. Reshape back
# before you go through the linear map. The same with the values, `(B, L, H, Dh)` and `(B, L, H·Dh)`. The mask is `(B,
# L, 1)`, so mask `dvalue` when it has three axes. And look closely at what each function of the forward pass was given,
# `x` or `hide(x, mask)`.

# %%
show(span_dynamic_conv, hide)

# %%
# Difficulty 5 of 5, about 45 minutes. You may call: dynamic_conv_backward, linear_backward, softmax_backward,
# separable_conv_backward, hide.
def span_dynamic_conv_backward(dout, acts, p, cfg):
    """-> dx (B, L, D), dquery (B, L, H Dh), grads"""
    raise NotImplementedError("your turn")

check(span_dynamic_conv_backward, seed="your name")

# %% [markdown]
# The first draw of `check` has no mask; the other two have one. If you are stuck, open the skeleton: it has the left side of
# every line.

# %%
display(Markdown("<details><summary>The skeleton of span_dynamic_conv_backward</summary>\n\n```python\n"
                 + stub("span_dynamic_conv_backward", skeleton=True) + "\n```\n\n</details>"))

# %% [markdown]
# ## More exercises

# %%
# Difficulty 2 of 5, about 10 minutes. You may call: linear.
def linear_backward(dy, x, weight):
    """-> dx (..., I), dweight (O, I), dbias (O,)"""
    raise NotImplementedError("your turn")

check(linear_backward, seed="your name")

# %%
# Difficulty 3 of 5, about 15 minutes. You may call: softmax.
def softmax_backward(dy, y):
    """-> dx (..., N).   The rows of y always sum to 1, so dx depends only on dy less its y-weighted mean."""
    raise NotImplementedError("your turn")

check(softmax_backward, seed="your name")

# %%
# Difficulty 3 of 5, about 20 minutes. You may call: depthwise_conv, pad, unpad.
def depthwise_conv_backward(dout, x, weight):
    """-> dx (B, L, D), dweight (D, 1, K)"""
    raise NotImplementedError("your turn")

check(depthwise_conv_backward, seed="your name")

# %%
# Difficulty 3 of 5, about 15 minutes. You may call: activate, and take the slopes of all activations but gelu from
# activations.ACTIVATIONS: f, slope = ACTIVATIONS[name], and slope(x, y) is f'(x).
def activate_backward(dy, x, y, name):
    """-> dx (...) = dy f'(x)"""
    raise NotImplementedError("your turn")

check(activate_backward, seed="your name")

# %% [markdown]
# 1. `dy = ones` proves nothing for softmax and layer norm. For which ops would it be enough?
# 2. With one-sided differences, which step `h` is best in float64, and how large is the error there? Derive both: the error
#    is about h + 1e-16 / h.
# 3. The kernel of the first token has taps that fall on zeros. Do they get a gradient in `dkernel`? And in `dscores`?
# 4. Which other parameters of the block have a gradient of exactly 0, if any?
# 5. Attention in float16: −10000 is added to the scores of hidden tokens, and the smallest float16 is −65504. What if −1e9 were
#    added instead? (10 has the answer.)

# %% [markdown]
# <details><summary>Answers to the numbered questions</summary>
#
# 1. For none with certainty. For a linear map it would find a wrong `dx`, but not every wrong transposition. Random
#    numbers cost nothing.
# 2. h + 1e-16/h is smallest at h = 1e-8, where it is 2e-8. Two-sided, h² + 1e-16/h is smallest near h = 4e-6, where
#    it is about 4e-11.
# 3. Their entries of `dkernel` are 0, because the zeros they met times `dout` are 0. But `dscores` is not: softmax
#    subtracts the weighted mean from all taps, so that weight on zeros costs something.
# 4. Only `key.bias`. The bias of the kernel's scores has K numbers for a head, and adding the same number to all K
#    changes nothing: its gradient sums to 0 over the taps of a head, but is not 0.
# 5. −1e9 overflows to −infinity in float16. A row with one real token survives: exp(−inf) = 0. A fully hidden row
#    becomes −inf − (−inf) = nan.
#
# </details>
