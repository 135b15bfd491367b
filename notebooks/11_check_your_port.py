# %% [markdown]
# # 11. Check your own port
#
# **Claim.** To know that a port is right, compare *everything it computes*, in the order in which it is computed,
# with numbers that are known to be right. The first tensor that departs says **where** the mistake is. The known mistake
# that reproduces the wrong numbers says **what** it is. Both need only a file of arrays, so the port may be in any language.
#
# After this notebook you can
# * check a port in any language against the golden pack
# * read where it departs, and why
# * judge an error by a tolerance
#
# **Time**: about 50 minutes, exercises included. **Builds on**: 04; 06 for the gradients.
#
# **Papers**: [ConvBERT](https://arxiv.org/abs/2008.02496) (Jiang and others, 2020).
# Letters: `B` sentences, `L` tokens, `D` numbers for a token, `H` heads of one kind, `Dh` numbers in a head, `K`
# taps.

# %%
import numpy as np

from minconvbert.config import ConvBertConfig
from minconvbert.golden import check, read_pack
from minconvbert.golden.diagnosis import diagnose_case
from minconvbert.golden.mistakes import MISTAKES
from minconvbert.golden.pack import scales_of
from minconvbert.golden.scoring import mistaken_port
from minconvbert.view.notebook import BLUE, ORANGE, picture, show

# %% [markdown]
# ## The pack
#
# A pack has a case for each thing that a port must do. A case holds the inputs, the parameters, and the truth: every
# intermediate result, the output and all gradients, computed in float64. Cases have levels. Climb them one by one.

# %%
pack = read_pack()
levels = {}
for golden in pack.values():
    levels.setdefault(golden.level, []).append(golden.id.partition(".")[2])
for level, names in levels.items():
    print(f"{level:<10}", ", ".join(names))

# %% [markdown]
# This is the case of the span-based convolution (04): what is given, and what must come out.

# %%
golden = pack["block.span_dynamic_conv"]
print("given")
for name, array in golden.given.items():
    print(f"    {name:<50} {array.shape}")
print("wanted")
for name, array in golden.truth.items():
    print(f"    {name:<50} {str(array.shape):<15} {golden.tensors[name]['formula']}")

# %% [markdown]
# ## How wrong is wrong? By hand
#
# The truth is (1, −2, 4), and a port says (1.00001, −2, 4). The largest difference is 0.00001. Divided by the largest number
# of the truth, 4, that is **2.5e-6**. Is this much? It depends on how large the rounding errors of float32 are, and the
# pack states them for each tensor, as they were measured. Let the tolerance be 2e-6. The error is then 2.5 / 2 = **1.25
# tolerances**. More than 1 is wrong.
#
# Dividing by the largest number, not by each number's own size, keeps small entries from being judged too hard.
# Tensors that are zero by symmetry (`key.bias`, 06) are measured by the largest of their kind.

# %%
truth, port = np.array([1.0, -2, 4]), np.array([1.00001, -2, 4])
by_hand = np.abs(port - truth).max() / np.abs(truth).max() / 2e-6
assert abs(by_hand - 1.25) < 1e-6
assert scales_of({"acts.y": truth})["acts.y"] == 4
show(scales_of, check)

# %% [markdown]
# ## A port
#
# Let us write one that has nothing in common with the package: loops over single numbers, in float32, with sums from right
# to left. (`acts.span_mixed` is the result of the depthwise convolution, `acts.value` that of `conv_out_layer`.)

# %%
def port_of_the_block(given, K, H):
    """The span-based convolution of one case, as a C programmer would write it"""
    x, query = given["in.x"], given["in.query"]
    depthwise = given["params.key_conv_attn_layer.depthwise.weight"]
    pointwise = given["params.key_conv_attn_layer.pointwise.weight"]
    B, L, D = x.shape
    A = query.shape[2]                                  # H Dh
    mixed, span_key, value, out = (np.zeros((B, L, n), np.float32) for n in (D, A, A, A))
    scores, kernel = np.zeros((B, L, H, K), np.float32), np.zeros((B, L, H, K), np.float32)

    for b in range(B):
        for t in range(L):
            for d in range(D):
                for j in reversed(range(K)):
                    s = t + j - K // 2
                    if 0 <= s < L:
                        mixed[b, t, d] += depthwise[d, 0, j] * x[b, s, d]
            for a in range(A):
                span_key[b, t, a] = given["params.key_conv_attn_layer.bias"][a, 0]
                value[b, t, a] = given["params.conv_out_layer.bias"][a]
                for d in reversed(range(D)):
                    span_key[b, t, a] += pointwise[a, d, 0] * mixed[b, t, d]
                    value[b, t, a] += given["params.conv_out_layer.weight"][a, d] * x[b, t, d]
            for h in range(H):
                for j in range(K):
                    row = h * K + j                     # a head's K taps are neighbours
                    scores[b, t, h, j] = given["params.conv_kernel_layer.bias"][row]
                    for a in reversed(range(A)):
                        weight = given["params.conv_kernel_layer.weight"][row, a]
                        scores[b, t, h, j] += weight * query[b, t, a] * span_key[b, t, a]
                kernel[b, t, h] = np.exp(scores[b, t, h] - scores[b, t, h].max())
                kernel[b, t, h] /= kernel[b, t, h].sum()
        for t in range(L):
            for a in range(A):
                for j in range(K):
                    s = t + j - K // 2
                    if 0 <= s < L:
                        out[b, t, a] += kernel[b, t, a // (A // H), j] * value[b, s, a]
    return {"acts.span_mixed": mixed, "acts.span_key": span_key, "acts.match": query * span_key, "acts.scores": scores,
            "acts.kernel": kernel, "acts.value": value, "acts.out": out}

def single(arrays):
    return {name: array.astype(np.float32) for name, array in arrays.items()}

cfg = ConvBertConfig.from_dict(golden.config)
K, H = cfg.conv_kernel_size, cfg.heads
mine = port_of_the_block(single(golden.given), K, H)
report = check({golden.id: mine}, case=golden.id)
assert report.ok
print(report.table(verbose=True))

# %% [markdown]
# It is right to within the rounding of float32. The report says that the gradients are missing. That is no mistake: a port
# may hand in what it has.
#
# ## A mistake
#
# The map to the scores has `H·K` outputs. A head's taps are neighbours: output `h·K + j`. It is easy to read it the
# other way round, `j·H + h`. All shapes are right, the kernels sum to 1, and nothing complains.

# %%
def swapped(given):
    """The same parameters with the rows of conv_kernel_layer in the other order"""
    turned = dict(given)
    for name in ("params.conv_kernel_layer.weight", "params.conv_kernel_layer.bias"):
        a = given[name]
        turned[name] = a.reshape(K, H, *a.shape[1:]).swapaxes(0, 1).reshape(a.shape)
    return turned

wrong = port_of_the_block(swapped(single(golden.given)), K, H)
report = check({golden.id: wrong}, case=golden.id)
print(report)
assert not report.ok
assert report[golden.id].first == "acts.scores"         # everything before is right
assert len(report.mistakes) == 1 and "tap" in next(iter(report.mistakes))

# %% [markdown]
# The report says where: `acts.scores` is the first tensor that departs. And it says what: the checker took the port's last
# right tensors, computed on from there with each mistake of a catalogue, and found the one that gives these numbers.
#
# The picture shows the errors of both ports in tolerances, in the order of computation. Everything below the line is right.
# (Errors below 0.001 are drawn as 0.001.)

# %%
# alt: Bars on a logarithmic axis for seven tensors. The right port stays below the line at 1; with rows swapped,
#      scores, kernel and out rise far above it.
axis = picture(width=6.8, height=3)
names = [name for name in golden.truth if name in mine]
right_report = check({golden.id: mine}, case=golden.id)
for found, shift, colour, label in ((right_report, -0.2, BLUE, "right port"), (report, 0.2, ORANGE, "rows swapped")):
    errors = {row.name: row.error for row in found[golden.id].rows if row.error is not None}
    heights = [max(errors[name], 1e-3) for name in names]
    axis.bar(np.arange(len(names)) + shift, heights, 0.38, color=colour, label=label)
axis.axhline(1, color="black", linewidth=0.8)
axis.set_yscale("log")
axis.set_xticks(range(len(names)), [name.removeprefix("acts.") for name in names])
axis.set(title="error of each tensor, in order of computation", ylabel="tolerances")
axis.legend(loc="upper left")

# %% [markdown]
# ## The catalogue
#
# The catalogue has the mistakes that ports make. Each is one or two changed lines of the package itself, planted for one run
# only. The diagnosis runs the case with each of them and keeps those that give the port's numbers. A mistake that alone
# gives all of them is named. One that gives only the first few is near the true mistake, but is not it.
#
# A name can be wrong all the same: in a small case, two mistakes may look alike. The other cases decide. If a mistake
# would also change a case that your port has right, your port does not make it, and the diagnosis drops it.

# %%
show(diagnose_case)

# %%
print(len(MISTAKES), "mistakes, for example")
for name in list(MISTAKES)[:: max(1, len(MISTAKES) // 14)]:
    print("   ", name)

# %% [markdown]
# A mistake in the backward pass is found in the same way. Here the port is the package itself with a planted mistake.
# (In a port with autograd, gradients follow from the forward pass. There each mistake of the forward pass is tried with
# its own gradients, too.)

# %%
planted_name = "linear backward: gradient of the bias averaged, not summed"
report = check({"op.linear": mistaken_port(pack["op.linear"], planted_name)}, case="op.linear")
print(report)
assert planted_name in report.mistakes

# %% [markdown]
# ## From any language
#
# The pack is a folder: for each case a JSON file that says what each tensor is, and a `safetensors` file, which is
# eight bytes for the length of a header, the header as JSON, and the raw numbers. Thirty lines in any language read
# it. Write what your port computes as safetensors, npz or npy, under our names or Hugging Face's or the original's,
# and run
#
# ```
# python -m minconvbert golden check my_port/ --level op
# ```
#
# The exit code is 0 if all that was handed in is right; `--json` and `--junit` write reports for your CI.
#
# ## Exercises
#
# 1. Hand in `op.softmax` from a function of your own. What must its name be? (`pack["op.softmax"].truth`)
# 2. In the port above, change `K // 2` to `K // 2 - 1` in one place. Which tensor departs first? What does the
#    diagnosis say?
# 3. Forget the bias of `conv_out_layer`. Then reverse the taps of the depthwise kernel, too. What is named?
# 4. Compute in float16 instead. Is the port right by the tolerances of float32? And with `precision="float16"`?
# 5. Add the gradients: extend the port until `golden check --case block.span_dynamic_conv --complete` is content.

# %% [markdown]
# <details><summary>Answers to the numbered questions</summary>
#
# 1. The names are the keys of `pack["op.softmax"].truth`; print them to see which is the output.
# 2. In the first loop `acts.span_mixed` departs first, in the last one `acts.out`: each is the first tensor that this
#    line makes.
# 3. The tensor that is computed first departs first: with both mistakes that is `acts.span_mixed`, by the reversed
#    taps.
# 4. No: float16 has about three digits, and the tolerances of float32 ask for six. By those of float16 it should be.
# 5. The backward pass of 06, written with the loops of the port.
#
# </details>
