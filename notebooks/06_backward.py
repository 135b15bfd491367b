# %% [markdown]
# # 06. Backward by hand, and how to check a gradient
#
# **Claim.** A backward pass is bookkeeping. Each line of the forward pass has one line that undoes its question: not
# *what comes out?* but *how much would the loss change, if I moved this number a little?* Four rules are enough for
# the whole model. And whether a gradient is right can be measured, with a few lines that know nothing of the rules.
#
# At the end you write the backward pass of the span-based convolution yourself.

# %%
import numpy as np

from minconvbert.attention import (
    mixed_attention,
    mixed_attention_backward,
    self_attention,
    self_attention_backward,
)
from minconvbert.conv import (
    depthwise_conv_backward,
    dynamic_conv,
    dynamic_conv_backward,
    hide,
    separable_conv_backward,
    span_dynamic_conv,
)
from minconvbert.course import check, stub
from minconvbert.course.exercises import case
from minconvbert.ops import (
    layer_norm,
    layer_norm_backward,
    linear,
    linear_backward,
    softmax,
    softmax_backward,
    standardize,
)
from minconvbert.step import steps
from minconvbert.view.notebook import BLUE, ORANGE, picture, show

# %% [markdown]
# ## What a gradient is
#
# There is one number at the end, the loss. Let `y` be any array on the way to it. `dy` is an array **of the same
# shape**: entry by entry, how much the loss grows for each unit that this entry of `y` grows. In this project `d`
# before a name always means that.
#
# A function `y = f(x)` stands somewhere in the middle. Someone further on hands us `dy`. We hand back `dx`. We need
# not know what comes after us, nor what came before.
#
# ## Rule 1: a linear map gives back by its own weights
#
# By hand. Two inputs, two outputs, `y = x Wᵀ + b` with x = (1, 2) and
#
# * y₀ = 3·x₀ + 4·x₁ = 3·1 + 4·2 = 11
# * y₁ = 5·x₀ + 6·x₁ = 5·1 + 6·2 = 17
#
# Suppose `dy` = (10, 100): the loss grows by 10 for each unit of y₀, by 100 for each unit of y₁.
#
# * **dx₀**: a unit more of x₀ gives 3 more of y₀ and 5 more of y₁: 3·10 + 5·100 = **530**. Likewise dx₁ = 4·10 +
#   6·100 = **640**.
# * **dW**: a unit more of the weight 4, that takes x₁ to y₀, gives x₁ = 2 more of y₀: 2·10 = **20**. Each weight gets
#   its input times its output's gradient.
# * **db**: a unit more of b₀ is a unit more of y₀: **10**.
#
# With several rows, all of which go through the same W and b, the rows' gradients of W and b are added.

# %%
x, weight, dy = np.array([[1.0, 2]]), np.array([[3.0, 4], [5, 6]]), np.array([[10.0, 100]])
dx, dweight, dbias = linear_backward(dy, x, weight)
assert (dx == [[530, 640]]).all()
assert (dweight == [[10, 20], [100, 200]]).all()
assert (dbias == [10, 100]).all()
show(linear, linear_backward)

# %% [markdown]
# Here are both passes, to step through. The arrow keys → and ← walk from line to line, and `D` goes from a line to its
# line in the other pass. Click a number, and its products and sums are written out. (Where no script runs, you see a
# still picture of one line.)

# %%
steps(linear, x, weight, np.zeros(2), dout=dy).page(at="dx")

# %% [markdown]
# The shapes alone almost say it. `dx` must be `(rows, I)`, made of `dy (rows, O)` and `weight (O, I)`: there is one
# product that fits. `dweight` must be `(O, I)`, made of `dy (rows, O)` and `x (rows, I)`: one product again.
#
# ## Rule 2: a product gives each factor the other
#
# `match = query * span_key`, number by number. A unit more of the query gives `span_key` more of the match. So
# `dquery = dmatch * span_key` and `dspan_key = dmatch * query`.
#
# By hand: query 3, span key 5, `dmatch` = 10. Then `dquery` = 50 and `dspan_key` = 30.
#
# ## Rule 3: what is used twice gets both gradients, added
#
# If `x` is read by two functions, a unit more of it moves the loss by both ways at once. So the two gradients are
# added. This is the rule that people forget. The model is full of it: a residual connection reads its input twice,
# the query is read by attention and by the convolution, and a bias is read by every row.
#
# ## Rule 4: back through a softmax
#
# Softmax has outputs y with sum 1. By hand: y = (0.5, 0.3, 0.2), `dy` = (1, 2, 4).
#
# 1. What they have in common cannot count: if all y could grow by the same amount, the loss would grow, but they
#    cannot, for they sum to 1. Their mean, weighted by y: 0.5·1 + 0.3·2 + 0.2·4 = **1.9**.
# 2. Take it off: (−0.9, 0.1, 2.1).
# 3. Multiply by y: `dx` = **(−0.45, 0.03, 0.42)**.
#
# The three sum to 0: adding the same to all inputs changes nothing.
#
# Why multiply by y? A small step up of input 0 raises y₀ by y₀(1 − y₀), and lowers every other y by y₀ times that y:
# what one gains, the others lose. Put the loss's slopes to it: y₀·dy₀ − y₀·(y₀·dy₀ + y₁·dy₁ + y₂·dy₂). That is y₀
# times dy₀ less the mean of step 1.

# %%
dx = softmax_backward(np.array([1.0, 2, 4]), np.array([0.5, 0.3, 0.2]))
assert np.allclose(dx, [-0.45, 0.03, 0.42]) and abs(dx.sum()) < 1e-12
show(softmax_backward)

# %% [markdown]
# (Written so that no further array is made: `dy * y` first, then `y` times the sum off. It is the same thing: y (dy −
# Σ y dy).)
#
# Note what it takes: the *output* of the softmax, not its input. A backward takes `dy` and, of what the forward was
# given or returned, what it needs. Its signature tells you what must be remembered.
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
# Tap by tap it is a product, so rule 2: what `padded[:, j : j + L]` gets is `kernel * dout`; what the kernel gets is
# `padded * dout`, summed over whatever shared that kernel weight. The same part of `padded` is read by several taps,
# so rule 3: `+=`. At last the zeros at both ends are cut off (`unpad`); nobody learns from them.
#
# By hand: one channel, tokens (1, 2, 4), one kernel for all of (10, 20, 30), and `dout` = (1, 0, 0). Only out₀ = 20·1
# + 30·2 matters. Token 0 gets **20**, token 1 gets **30**, token 2 nothing. The kernel gets what its taps saw at
# token 0: **(0, 1, 2)**.

# %%
value = np.array([1.0, 2, 4]).reshape(1, 3, 1, 1)
kernel = np.tile([10.0, 20, 30], (1, 3, 1, 1))
dout = np.array([1.0, 0, 0]).reshape(1, 3, 1, 1)
dvalue, dkernel = dynamic_conv_backward(dout, value, kernel)
assert (dvalue.ravel() == [20, 30, 0]).all()
assert (dkernel[0, 0, 0] == [0, 1, 2]).all()
show(dynamic_conv_backward)

# %%
steps(dynamic_conv, value, kernel, dout=dout).page(at="dkernel", tokens=["token 0", "token 1", "token 2"])

# %% [markdown]
# All `Dh` channels of a head share a kernel, so `dkernel` is a sum over them: `einsum("blhd,blhd->blh")` multiplies
# and sums over `d`. In the depthwise convolution all sentences and tokens share one: there the sum is over `b` and
# `l`. The separable convolution is a depthwise one and then a linear map; backward is the linear map first and then
# the depthwise one.

# %%
show(depthwise_conv_backward, separable_conv_backward)

# %% [markdown]
# ## How to check a gradient
#
# Forget the rules. Take a random direction `v` in the space of one argument, go a little way `h` along it, forward
# and back, and see how the loss changes. Divide by 2h. If the gradient is right, the result is the dot product of the
# gradient with `v`.
#
# As loss take `(out * dout).sum()` with a **random** `dout`. Its gradient with respect to `out` is `dout` itself.

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
# Each argument alone: then the guilty one is named when something is wrong. A planted fault is seen at once:

# %%
wrong = gradients[1] * 1.001
error = gradient_error(dynamic_conv, (value, kernel), 1, wrong, dout, rng.normal(size=wrong.shape))
assert error > 1e-5
print(f"0.1% too large: relative error {error:.1e}")

# %% [markdown]
# ### How far to go
#
# Too large a step, and the loss is no longer straight. Too small, and the two losses differ by less than the rounding
# of the machine. In between is a valley. In float64 it is wide and deep: with a step of 1e-6 the error is about
# 1e-10. In float32 one must hit a step near 1e-3 to get 1e-4, and with 1e-6 the measured gradient is off by some
# percent. **Check gradients in float64.**

# %%
def layer_norm_error(h, dtype):
    rng = np.random.default_rng(1)
    x, weight, bias, dout, v = (rng.normal(size=s).astype(dtype) for s in ((4, 16), (16,), (16,), (4, 16), (4, 16)))
    dx, _, _ = layer_norm_backward(dout, x, weight, 1e-12)
    return gradient_error(lambda x: layer_norm(x, weight, bias, 1e-12), (x,), 0, dx, dout, v, dtype(h))

lengths = np.logspace(-12, 0, 49)
errors = {dtype: np.array([layer_norm_error(h, dtype) for h in lengths]) for dtype in (np.float64, np.float32)}
at = np.abs(lengths - 1e-6).argmin()
assert errors[np.float64][at] < 1e-8 and errors[np.float32][at] > 1e-3 and errors[np.float32].min() > 1e-6
axis = picture(width=6.5, height=3)
for (dtype, error), colour in zip(errors.items(), (BLUE, ORANGE)):
    axis.loglog(lengths, np.maximum(error, 1e-13), color=colour, label=dtype.__name__)
axis.set(xlabel="step h", title="relative error of the measured gradient of layer norm")
axis.legend()

# %% [markdown]
# ### Why `dout = ones` proves nothing
#
# It is tempting to take `loss = out.sum()`, that is, `dout` all ones. For a softmax the sum of the outputs is always
# 1. For a layer norm (without its weight) it is always 0. The loss is a constant. Its true gradient is 0, and a
# backward that returns nothing but zeros passes.

# %%
x = rng.normal(size=(4, 16))
y = softmax(x)
ones = np.ones_like(x)
assert np.abs(softmax_backward(ones, y)).max() < 1e-15                  # the right gradient is zero
def forgets_everything(dy, y):
    return np.zeros_like(y)

assert np.allclose(forgets_everything(ones, y), softmax_backward(ones, y))

dout = rng.normal(size=x.shape)
assert not np.allclose(forgets_everything(dout, y), softmax_backward(dout, y))

dx, *_ = layer_norm_backward(ones, x, np.ones(16), 1e-12)
assert np.abs(dx).max() < 1e-12
print("with dout = ones: softmax", np.abs(softmax_backward(ones, y)).max(), "  layer norm", np.abs(dx).max())

# %% [markdown]
# ### A gradient that is nothing
#
# `key.bias` adds the same vector to all keys. So it adds the same number to all scores of a row, and the softmax
# cannot see it (03). Its gradient is exactly 0. What the machine computes is rounding noise.
#
# This breaks a common test. Compare two right implementations, each with its own noise, by *relative* error: it may be
# a tenth, or more than 1, and the right code fails. So compare a gradient with the size of the **largest gradient of
# the case**, not with its own.

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
# Attention, as an example of how the rules go together. Both passes are side by side: a line of the one lights its
# line in the other, and beside each array is its gradient. What was computed last is undone first.

# %%
show(self_attention_backward)

# %%
args = case("self_attention", seed="walk")
out, acts = self_attention(*args)
walk = steps(self_attention, *args, dout=rng.normal(size=out.shape))
(forward,) = walk.made("weights", "self_attention")
assert any(walk[number].source.startswith("dscores = softmax_backward") for number in forward.mates)
walk.page(at="weights")

# %% [markdown]
# ## How an exercise is checked
#
# `check` runs your function and the package's on the same fresh numbers, drawn from a seed, and compares every local
# array on the way, by name. Here is a layer norm backward with a mistake in its fourth line. So use the names of the
# package for what you compute, and you will be told which line departs first.

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
# Here is the forward pass once more. Write its backward. All you need is above:
#
# * `dynamic_conv_backward(dout, value, kernel)` → dvalue, dkernel
# * `linear_backward(dy, x, weight)` → dx, dweight, dbias
# * `softmax_backward(dy, y)` → dx, with `y` the **output** of the softmax
# * `separable_conv_backward(dout, x, mixed, depthwise, pointwise)` → dx, ddepthwise, dpointwise, dbias; `mixed` is what
#   stood between its two steps
# * `hide(x, mask)` is its own backward: what was zeroed on the way forward is zeroed on the way back. With
#   `mask=None` it does nothing.
#
# `acts` holds what the forward kept: `x, query, span_mixed, span_key, match, kernel, value`, and `mask` if there was
# one. `p` holds the parameters. Return three things: `dx`; `dquery` (the query was made elsewhere, and its gradient
# goes back there); and `grads`, a dict with the names of `p`.
#
# Shapes: `linear` made scores of `(B, L, H·K)` and they were reshaped to `(B, L, H, K)` for the softmax. Reshape back
# before you go through the linear map. The same with the values, `(B, L, H, Dh)` and `(B, L, H·Dh)`. The mask is `(B,
# L, 1)`: hide what has three axes. And look closely at what each function of the forward pass was given, `x` or the
# hidden `x`.

# %%
show(span_dynamic_conv, hide)

# %%
def span_dynamic_conv_backward(dout, acts, p, cfg):
    """-> dx (B, L, D), dquery (B, L, H Dh), grads"""
    raise NotImplementedError("your turn")

check(span_dynamic_conv_backward, seed="your name")

# %% [markdown]
# Stuck? Print `stub("span_dynamic_conv_backward", skeleton=True)`: it has the left side of every line. Use its names,
# and `check` can tell you which line departs first. Its first draw has no mask; the two after that have one.

# %%
print(stub("span_dynamic_conv_backward", skeleton=True))

# %% [markdown]
# ## More exercises

# %%
def linear_backward(dy, x, weight):
    """-> dx (..., I), dweight (O, I), dbias (O,)"""
    raise NotImplementedError("your turn")

check(linear_backward, seed="your name")

# %%
def softmax_backward(dy, y):
    """-> dx (..., N).   The rows of y always sum to 1, so only how dy differs from its y-weighted mean can count."""
    raise NotImplementedError("your turn")

check(softmax_backward, seed="your name")

# %%
def depthwise_conv_backward(dout, x, weight):
    """-> dx (B, L, D), dweight (D, 1, K)"""
    raise NotImplementedError("your turn")

check(depthwise_conv_backward, seed="your name")

# %% [markdown]
# 1. `dy = ones` fails for softmax and layer norm. For which ops would it do?
# 2. Why do we go `h` forward *and* back, and not just forward? How does the valley look if we go only forward?
# 3. The kernel of the first token has taps that fall on zeros. Do they get a gradient in `dkernel`? And in `dscores`?
# 4. Which other parameters of the block have a gradient of exactly 0, if any? Would `query.bias`?
