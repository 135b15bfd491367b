# %% [markdown]
# # 04. From a plain to a span-based convolution
#
# **Claim.** All convolutions in this model are one and the same sum. They differ in one thing only: where the kernel
# comes from. In a *depthwise* convolution it is learned and fixed. In a *dynamic* one each token predicts its own.
# In a *span-based* dynamic one, the idea of ConvBERT, each token predicts it from the **span** of words around it.
# The same word among other words then gets another kernel.
#
# This is the heart of the model. Take your time.
#
# After this notebook you can
# * work out each of the three convolutions by hand for one token
# * say what "span-based" means, and prove it with one figure
# * count what a convolution costs, and when it is cheaper than attention
# * write `depthwise_conv` and `dynamic_conv`
#
# **Time**: about 75 minutes, exercises included. **Builds on**: 02, 03.
#
# **Papers**: [ConvBERT](https://arxiv.org/abs/2008.02496) (Jiang and others, 2020), [Lightweight and Dynamic
# Convolutions](https://arxiv.org/abs/1901.10430) (Wu and others, 2019), [Xception](https://arxiv.org/abs/1610.02357)
# (Chollet, 2016), which has separable convolutions.
# Letters: `B` sentences, `L` tokens, `D` channels (numbers for a token), `H` heads, `Dh` channels in a head, `K` taps
# of a kernel. `K` is odd, so that there is a middle.

# %%
import time

import numpy as np

from minconvbert import conv, default_model, view
from minconvbert.attention import self_attention
from minconvbert.config import ConvBertConfig, param_shapes
from minconvbert.conv import pad, separable_conv, span_dynamic_conv
from minconvbert.course import check
from minconvbert.faces import ConvBertModel
from minconvbert.ops import linear, softmax
from minconvbert.step import steps
from minconvbert.tokenizer import ConvBertTokenizerFast
from minconvbert.view.notebook import BLUE, ORANGE, picture, show

# %% [markdown]
# ## The one sum
#
# $$\text{out}[t] = \sum_{j=0}^{K-1} \text{kernel}[j] \cdot x[\,t + j - K // 2\,]$$
#
# Tap `j` looks at the token `j − K // 2` places to the right of `t`. With `K = 3` the three taps look at the left
# neighbour, the token itself, and the right neighbour. Beyond the ends of the sentence there are zeros.
#
# Here is an example by hand: five tokens with one number each, `x = (2, 4, 8, 4, 2)`, and the kernel `(1, 2, 3)`.
#
# | token | left × 1 | self × 2 | right × 3 | out |
# |---|---|---|---|---|
# | 0 | 0 × 1 | 2 × 2 | 4 × 3 | **16** |
# | 1 | 2 × 1 | 4 × 2 | 8 × 3 | **34** |
# | 2 | 4 × 1 | 8 × 2 | 4 × 3 | **32** |
# | 3 | 8 × 1 | 4 × 2 | 2 × 3 | **22** |
# | 4 | 4 × 1 | 2 × 2 | 0 × 3 | **8** |

# %%
x = np.array([2.0, 4, 8, 4, 2]).reshape(1, 5, 1)        # (B, L, D)
weight = np.array([1.0, 2, 3]).reshape(1, 1, 3)         # (D, 1, K)
by_hand = np.array([16, 34, 32, 22, 8])
assert (conv.depthwise_conv(x, weight)[0, :, 0] == by_hand).all()

# %% [markdown]
# ## First kind: depthwise
#
# Each channel has one kernel, the same for all tokens of all sentences. It is *learned*, as a weight of shape `(D, 1,
# K)`. (The axis of length 1 is how frameworks store it.)
#
# The function does not go token by token. It goes **tap by tap**: for tap `j` it takes the whole sentence shifted by
# `j − K // 2`, multiplies it by that tap's weights, and adds the result up. That is three lines.

# %%
show(pad)
show(conv.depthwise_conv, fold="The source of `depthwise_conv`: write it yourself first, in the exercise below")

# %% [markdown]
# Here is one token by hand again, now with two channels, beside the function.

# %%
x = np.array([[1.0, 10], [2, 20], [3, 30], [4, 40]])[None]              # (1, L = 4, D = 2)
weight = np.array([[1.0, 0, -1], [0.5, 1, 0.5]])[:, None]               # (D = 2, 1, K = 3)
token_1 = [1 * 1 + 2 * 0 + 3 * -1, 10 * 0.5 + 20 * 1 + 30 * 0.5]        # channel 0, channel 1
assert (conv.depthwise_conv(x, weight)[0, 1] == token_1).all()
conv.depthwise_conv(x, weight)[0]

# %% [markdown]
# A depthwise convolution mixes tokens, but never channels. A *separable* convolution is two steps: depthwise first,
# then one linear map of each token, which mixes channels but never tokens. Together they cost far less than a full
# convolution: `D K + D²` weights instead of `D² K`.

# %%
show(separable_conv)

# %% [markdown]
# ## Second kind: dynamic
#
# Now every token gets a kernel **of its own**. The kernel's weights are no longer parameters. They are computed from the
# token:
#
# * `linear` maps the token's query, `H·Dh` numbers, to `H·K` scores. (`linear` is y = x Wᵀ + b; 06 shows it.)
# * `softmax` over the `K` taps makes them positive, with sum 1. So the output is a weighted mean of the neighbours,
#   as in attention.
# * All `Dh` channels of a head share one kernel.
#
# The sum stays the same.

# %%
show(conv.dynamic_conv, fold="The source of `dynamic_conv`: write it yourself first, in the exercise below")

# %% [markdown]
# One line differs from `depthwise_conv`: `weight[:, 0, j]` has become `kernel[..., j, None]`. *That* is the whole step from
# a plain to a dynamic convolution.
#
# By hand: one head, one channel, four tokens with values 1, 2, 4, 8. Token 1 has the kernel (½, ¼, ¼): it takes half
# of its left neighbour. Token 2 has (0, 0, 1): it copies its right neighbour.
#
# * token 1: ½·1 + ¼·2 + ¼·4 = **2**
# * token 2: 0·2 + 0·4 + 1·8 = **8**

# %%
value = np.array([1.0, 2, 4, 8]).reshape(1, 4, 1, 1)                    # (B, L, H, Dh)
kernel = np.array([[0, 1, 0], [0.5, 0.25, 0.25], [0, 0, 1], [0, 1, 0]]).reshape(1, 4, 1, 3)
out = conv.dynamic_conv(value, kernel)[0, :, 0, 0]
assert out[1] == 2 and out[2] == 8
out

# %% [markdown]
# A dynamic convolution has a weakness: each token predicts its kernel from itself alone. The same vector at two places gets
# the same kernel at both, whatever its neighbours are. A word with two meanings has to make do with one kernel.

# %%
rng = np.random.default_rng(1)
H, Dh, K, L, D = 1, 4, 3, 7, 4
x = rng.normal(size=(1, L, D))
x[0, 5] = x[0, 1]                                       # the same word at places 1 and 5, among others
to_query, to_scores = rng.normal(size=(H * Dh, D)), rng.normal(size=(H * K, H * Dh))
query = linear(x, to_query, np.zeros(H * Dh))
dynamic_kernel = softmax(linear(query, to_scores, np.zeros(H * K)).reshape(1, L, H, K))
assert np.allclose(dynamic_kernel[0, 1], dynamic_kernel[0, 5])
print("dynamic, place 1:", dynamic_kernel[0, 1, 0].round(3), "  place 5:", dynamic_kernel[0, 5, 0].round(3))

# %% [markdown]
# ## Third kind: span-based
#
# Now the kernel depends on the words around the token, too. ConvBERT does this with a second vector beside the query:
#
# 1. The **query** is a linear map of the token itself. (Attention uses the same query; 05 returns to this.)
# 2. The **span key** is a separable convolution of the sentence, with `K` taps: a summary of the span around the
#    token.
# 3. The **match** is their product, number by number. Where query and span key agree, it is large.
# 4. One linear map takes the match to `H·K` **scores**, and a softmax over the taps makes the **kernel**.
# 5. The **value** is another linear map of the sentence, and it is convolved with the kernel.
#
# In one line, with ⊙ for the product number by number:
#
# $$\text{out} = \text{conv}\big(\text{value},\ \text{softmax}(W\,(\text{query} \odot \text{span key}) + b)\big)$$
#
# ### One token, by hand
#
# One head, `D = Dh = 2`, `K = 3`. The sentence has three tokens: (1, 0), (1, 2), (0, 1). We follow the middle one. To
# keep the numbers small, query and value are the token itself: their weights are the identity, and all biases are 0.

# %%
x = np.array([[1.0, 0], [1, 2], [0, 1]])[None]                          # (1, L = 3, D = 2)
identity = np.eye(2)
p = {
    "key_conv_attn_layer.depthwise.weight": np.array([[1.0, 1, 1], [1, 0, -1]])[:, None],   # (D, 1, K)
    "key_conv_attn_layer.pointwise.weight": np.array([[1.0, 0], [1, 1]])[:, :, None],       # (H Dh, D, 1)
    "key_conv_attn_layer.bias": np.zeros((2, 1)),
    "conv_kernel_layer.weight": np.array([[1.0, 0], [0, 0], [0, 1]]),                       # (H K, H Dh)
    "conv_kernel_layer.bias": np.zeros(3),
    "conv_out_layer.weight": identity,                                                      # (H Dh, D)
    "conv_out_layer.bias": np.zeros(2),
}

# %% [markdown]
# * **query** = (1, 2), the token itself.
# * **span key.** Depthwise: channel 0 has the kernel (1, 1, 1) and meets 1, 1, 0: it gives 2. Channel 1 has (1, 0,
#   −1) and meets 0, 2, 1: it gives −1. Pointwise: the rows (1, 0) and (1, 1) take (2, −1) to (2, 2 − 1) = **(2, 1)**.
# * **match** = (1·2, 2·1) = **(2, 2)**.
# * **scores**: the three rows (1, 0), (0, 0), (0, 1) take (2, 2) to **(2, 0, 2)**.
# * **kernel** = softmax(2, 0, 2): exp gives 7.389, 1, 7.389, with sum 15.778. So **(0.468, 0.063, 0.468)**.
# * **out** = 0.468·(1, 0) + 0.063·(1, 2) + 0.468·(0, 1) = **(0.532, 0.595)**.
#
# This token looks at both neighbours and hardly at itself.

# %%
e = np.exp([2, 0, 2])
kernel = e / e.sum()
by_hand = kernel[0] * x[0, 0] + kernel[1] * x[0, 1] + kernel[2] * x[0, 2]
print(kernel.round(3), by_hand.round(3))

# %% [markdown]
# ### The function

# %%
show(span_dynamic_conv)

# %% [markdown]
# (`hide` repairs a fault of padding; by default it is off and does nothing; see 10.)
#
# ### They agree

# %%
cfg = ConvBertConfig(hidden_size=4, num_attention_heads=2, conv_kernel_size=3)
assert (cfg.heads, cfg.head_size) == (1, 2)             # two heads: one attends, one convolves on half the width
out, acts = span_dynamic_conv(x, query=x, mask=None, p=p, cfg=cfg)
assert np.allclose(acts["span_key"][0, 1], [2, 1])
assert np.allclose(acts["match"][0, 1], [2, 2])
assert np.allclose(acts["kernel"][0, 1, 0], kernel)
assert np.allclose(out[0, 1, 0], by_hand)
print({name: a.shape for name, a in acts.items()})

# %% [markdown]
# ### Step through it
#
# `steps` runs the function once more and writes down every line: what it read, what it made, and how each number comes
# about. Press → for the next line, ↓ to go into a call, and click a number to see its multiplications and sums. Where
# no script runs, as on GitHub, you see a still picture of the line that makes the kernel. For a whole sentence there is
# `python -m minconvbert step "The bank of the river" --backward`.

# %%
# alt: The lines of span_dynamic_conv at the one that makes the kernel, with its numbers for three tokens.
walk = steps(span_dynamic_conv, x, x, None, p, cfg, into=True)
(step,) = walk.made("kernel")
assert np.allclose(step.writes["kernel"][0, 1, 0], kernel) and step.letters["kernel"] == ("B", "L", "H", "K")
walk.page(at="kernel", tokens=["left", "middle", "right"], token=1)

# %% [markdown]
# ### The point of it
#
# Take the same word at two places once more. The query is the same at both places. The span key is not, and so the
# kernels differ.

# %%
# alt: Two bar charts of kernels with three taps at places 1 and 5. Dynamic: the two kernels are equal. Span-
#      based: they differ.
rng = np.random.default_rng(1)
x = rng.normal(size=(1, 7, 4))
x[0, 5] = x[0, 1]
cfg4 = ConvBertConfig(hidden_size=8, num_attention_heads=2, conv_kernel_size=3)         # H = 1, Dh = 4
p4 = {name: 0.6 * rng.normal(size=shape) for name, shape in {
    "key_conv_attn_layer.depthwise.weight": (4, 1, 3), "key_conv_attn_layer.pointwise.weight": (4, 4, 1),
    "key_conv_attn_layer.bias": (4, 1), "conv_kernel_layer.weight": (3, 4), "conv_kernel_layer.bias": (3,),
    "conv_out_layer.weight": (4, 4), "conv_out_layer.bias": (4,)}.items()}
_, acts = span_dynamic_conv(x, linear(x, to_query, np.zeros(4)), None, p4, cfg4)
span_kernel = acts["kernel"]
assert np.allclose(acts["query"][0, 1], acts["query"][0, 5])
assert not np.allclose(span_kernel[0, 1], span_kernel[0, 5], atol=0.05)

axes = picture(2, width=7, sharey=True)
titles = "dynamic: one kernel", "span-based: two kernels"
for axis, kernels, title in zip(axes, (dynamic_kernel, span_kernel), titles):
    for place, shift, colour in ((1, -0.2, BLUE), (5, 0.2, ORANGE)):
        axis.bar(np.arange(3) + shift, kernels[0, place, 0], 0.38, color=colour, label=f"place {place}")
    axis.set_xticks(range(3), ["left", "self", "right"])
    axis.set_title(title)
axes[0].set_ylabel("weight of the tap")
axes[0].legend()

# %% [markdown]
# ## Learned kernels
#
# The trained model has kernels of nine taps. It returns them beside the attention maps, as `out.kernels`: one array
# `(B, L, H, K)` for each layer.

# %%
# alt: The sentence, with bars above each word for what bank takes from it by attention, and bars below for what
#      it takes by its kernel.
folder = default_model()
model, tokenizer = ConvBertModel.from_pretrained(folder), ConvBertTokenizerFast.from_pretrained(folder)

out, tokens = view.look(model, tokenizer, "They sat on the bank of the river and looked at the water.")
kernels = np.stack(out.kernels)
assert kernels.shape[-1] == model.config.conv_kernel_size and np.allclose(kernels.sum(-1), 1, atol=1e-5)
view.one_token(out, tokens, token="bank")

# %% [markdown]
# Above the words is what *bank* takes from the sentence by attention, from anywhere. Below is what it takes by its
# kernel, from nine places around it. Both kinds of weights sum to 1.
#
# ### The proof that it is span-based
#
# Is the kernel really made from the span, and not from the word alone? In a deep layer we could not tell: there the
# hidden state of a word knows its sentence already, so that a plain dynamic convolution would give two kernels, too.
# Layer 0 is the place to look. Its input is word + position + type, normed. So a word that is at the *same place* in
# two sentences has exactly the same query in both.
#
# The figure shows the kernels of *have* at place 2 of two sentences. Beside it is what a plain dynamic convolution
# can do. Its kernel depends on the query alone; to draw it we keep the weights and replace the span key by that of an
# average token. It gives one kernel for both sentences, whatever its weights are.

# %%
# alt: Three bar charts of nine taps. Head 0 and head 1 of layer 0: have has two different kernels in its two sentences.
#      A plain dynamic convolution: the two kernels are the same.
pair = "They have a house.", "They have gone to the house."
place, prefix = 2, "encoder.layer.0.attention.self."
acts = [model(tokenizer(text, return_tensors="np")["input_ids"]).acts for text in pair]
assert all(tokenizer.tokenize(text)[place - 1] == "have" for text in pair)
query_of_have = [a[prefix + "conv.query"][0, place] for a in acts]
cosine = query_of_have[0] @ query_of_have[1] / np.linalg.norm(query_of_have[0]) / np.linalg.norm(query_of_have[1])
assert np.array_equal(*query_of_have) and cosine > 0.9999
span_kernels = np.stack([a[prefix + "conv.kernel"][0, place] for a in acts])            # (2, H, K)
apart = np.abs(span_kernels[0] - span_kernels[1]).sum(-1)
assert apart.min() > 0.5

average_key = np.mean([a[prefix + "conv.span_key"].mean((0, 1)) for a in acts], axis=0)
w, b = (model.params[prefix + f"conv_kernel_layer.{kind}"] for kind in ("weight", "bias"))
plain = np.stack([softmax(linear(q * average_key, w, b).reshape(-1, kernels.shape[-1])) for q in query_of_have])
assert np.array_equal(plain[0], plain[1])
print(f"cosine of the two queries: {cosine:.2f}; distance of the two kernels, summed over the taps: {apart.round(2)}")

axes, taps = picture(3, width=9, height=2.6, sharey=True), np.arange(kernels.shape[-1]) - kernels.shape[-1] // 2
for axis, two, title in zip(axes, (span_kernels[:, 0], span_kernels[:, 1], plain[:, 0]),
                            ("span-based, head 0", "span-based, head 1", "plain dynamic, head 0")):
    for k, (kernel, colour, words) in enumerate(zip(two, (BLUE, ORANGE), pair)):
        axis.bar(taps + 0.4 * k - 0.2, kernel, 0.38, color=colour, label=words)
    axis.set(title=f"{title}, layer 0", xlabel="tokens from “have”", xticks=taps)
axes[0].set_ylabel("weight of the tap")
axes[0].legend()

# %% [markdown]
# Does this matter for what a model learns? That is another question. Notebook 17 trains five blocks of equal size alike and
# finds that on ordinary text the span-based one is *not ahead* of the others at this small size. It also has a task
# that only a span can solve.

# %% [markdown]
# ## What it costs
#
# A linear map from I to O numbers takes I·O multiplications for each token. Let us count the multiplications of both
# halves of one block of the published base model: `D` = 768, `H·Dh` = 384 for each half, `K` = 9.
#
# | for a sentence of `L` tokens | multiplications | base |
# |---|---|---|
# | key and value of attention | 2 · D · H Dh · L | 589,824 L |
# | scores, and the mean of the values | 2 · H Dh · L² | 768 L² |
# | depthwise convolution | D · K · L | 6,912 L |
# | pointwise map | D · H Dh · L | 294,912 L |
# | scores of the kernel | H Dh · H K · L | 20,736 L |
# | value of the convolution | D · H Dh · L | 294,912 L |
# | the sum over the taps | H Dh · K · L | 3,456 L |
#
# The query is shared, so we do not count it. Products number by number and softmaxes are few; we leave them out. In
# all the convolution takes 620,928 L multiplications and attention 589,824 L + 768 L². The convolution grows with `L`
# and attention with `L²`, but the linear maps, which both need, are the larger part: the two halves cost the same near
# `L` = 40, and at 128 tokens the convolution saves a tenth. So comparing the 9 L kernel weights with the L² attention
# weights alone would mislead.
#
# The right chart below shows measured times of both halves, in float32, on the machine that built this page. The
# table also counts the numbers that each half keeps for the backward pass.

# %%
base = ConvBertConfig()
D, A, H, K = base.hidden_size, base.heads * base.head_size, base.heads, base.conv_kernel_size

def attention_cost(L):
    return 2 * D * A * L + 2 * A * L**2

def convolution_cost(L):
    return (D * K + D * A + A * H * K + D * A + A * K) * L

assert convolution_cost(1) == 620928 and attention_cost(1) == 589824 + 768
assert attention_cost(40) < convolution_cost(40) and convolution_cost(41) < attention_cost(41)

def seconds(function, *args):
    """The best of three runs"""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        function(*args)
        times.append(time.perf_counter() - start)
    return min(times)

rng = np.random.default_rng(0)
p = {name.removeprefix("encoder.layer.0.attention.self."): (0.02 * rng.normal(size=shape)).astype(np.float32)
     for name, shape in param_shapes(base).items() if name.startswith("encoder.layer.0.attention.self.")}

def attention_half(x, query):
    key, value = (linear(x, p[f"{name}.weight"], p[f"{name}.bias"]) for name in ("key", "value"))
    per_head = (1, x.shape[1], H, base.head_size)
    hidden = np.zeros((1, 1, 1, x.shape[1]), np.float32)
    return self_attention(query.reshape(per_head), key.reshape(per_head), value.reshape(per_head), hidden)

lengths, measured = (16, 32, 64, 128, 256, 512), []
print("     L  multiplications (millions)    ratio   numbers kept for the way back")
print("        convolution   attention       c / a   convolution   attention")
for L in lengths:
    x, query = rng.normal(size=(1, L, D)).astype(np.float32), rng.normal(size=(1, L, A)).astype(np.float32)
    measured.append([seconds(span_dynamic_conv, x, query, None, p, base), seconds(attention_half, x, query)])
    kept = L * (D + A + A + H * K + A + A), 2 * A * L + H * L * L + A * L     # span_mixed, span_key, match ...; key ...
    print(f"{L:>6}  {convolution_cost(L) / 1e6:>11.1f} {attention_cost(L) / 1e6:>11.1f} "
          f"{convolution_cost(L) / attention_cost(L):>11.2f} {kept[0]:>13,} {kept[1]:>11,}")

# %%
# alt: Two charts against the length of the sentence. Left: multiplications of both halves; the lines cross at 40
#      tokens, and attention rises faster after that. Right: measured milliseconds of both halves.
axes, L = picture(2, width=8, height=2.9), np.arange(1, 513)
axes[0].plot(L, attention_cost(L) / 1e6, color=BLUE, label="attention")
axes[0].plot(L, convolution_cost(L) / 1e6, "--", color=ORANGE, label="span-based convolution")
axes[0].set(title="multiplications of each half of a base block", xlabel="tokens in the sentence", ylabel="millions")
for j, (label, colour, style) in enumerate((("convolution", ORANGE, "s--"), ("attention", BLUE, "o-"))):
    axes[1].plot(lengths, [1000 * m[j] for m in measured], style, color=colour, label=label, markersize=3)
axes[1].set(title="time of the forward pass, measured here", xlabel="tokens in the sentence", ylabel="milliseconds")
axes[0].legend()
axes[1].legend()

# %% [markdown]
# The parameters of both, for one layer of base. Those with `conv` in their names are the convolution's.

# %%
shapes = {name.removeprefix("encoder.layer.0.attention.self."): shape for name, shape in param_shapes(base).items()
          if name.startswith("encoder.layer.0.attention.self.")}
for name, shape in shapes.items():
    print(f"{name:<40} {str(shape):<16} {np.prod(shape):>8,}")
conv_part = sum(int(np.prod(s)) for n, s in shapes.items() if "conv" in n)
assert conv_part == 768 * 9 + 384 * 768 + 384 + 54 * 384 + 54 + 384 * 768 + 384
print(f"{'convolution':<57} {conv_part:>8,}")
print(f"{'query, key, value':<57} {sum(int(np.prod(s)) for n, s in shapes.items()) - conv_part:>8,}")

# %% [markdown]
# ## Exercises

# %%
# Difficulty 2 of 5, about 15 minutes.
def depthwise_conv(x, weight):
    """out[t, d] = sum_j weight[d, j] x[t + j - K // 2, d].   x (B, L, D), weight (D, 1, K)  ->  (B, L, D)"""
    raise NotImplementedError("your turn")

check(depthwise_conv, seed="your name")

# %%
# Difficulty 2 of 5, about 10 minutes. You may call: depthwise_conv.
def dynamic_conv(value, kernel):
    """out[t, h] = sum_j kernel[t, h, j] value[t + j - K // 2, h]: every token and head has a kernel of its own.

    value (B, L, H, Dh), kernel (B, L, H, K)  ->  (B, L, H, Dh)
    """
    raise NotImplementedError("your turn")

check(dynamic_conv, seed="your name")

# %% [markdown]
# 1. Which kernel of three taps makes every token take its left neighbour? Which kernel changes nothing?
# 2. What is left of the span-based convolution with `K = 1`? What is its kernel then, whatever the match?
# 3. Attention could imitate a dynamic convolution. What would its map look like? (09 shows both.)
# 4. A kernel sums to 1. At the first token of a sentence, how much of it may fall on zeros? Is the output still a
#    mean then?
# 5. In the code the separable convolution reads `x`, and the values read `x`. How many gradients will `x` get in the
#    backward pass? (You will write it at the end of 06.)

# %% [markdown]
# <details><summary>Answers to the numbered questions</summary>
#
# 1. (1, 0, 0) takes the left neighbour; (0, 1, 0) changes nothing.
# 2. A softmax over one tap is 1, whatever the match is. So each token takes its own value: `conv_out_layer` alone is
#    left, a linear map.
# 3. A band: zero everywhere but within `K // 2` tokens of the diagonal. If the kernel were the same for all tokens,
#    the map would have the same number along each diagonal (a Toeplitz matrix).
# 4. Up to `K // 2` of the taps, and all of the weight if the kernel lies on them. Then the output is not a mean any
#    more: the weights that meet real tokens sum to less than 1.
# 5. Two from here, by the separable convolution and by the values. A third comes through the query, which the caller
#    makes from x.
#
# </details>
