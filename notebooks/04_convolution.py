# %% [markdown]
# # 04. From a plain to a span-based convolution
#
# **Claim.** All convolutions in this model are one and the same sum. They differ in one thing only: where the kernel
# comes from. In a *depthwise* convolution it is learned and fixed. In a *dynamic* one each token predicts its own.
# In a *span-based* dynamic one, the idea of ConvBERT, each token predicts it from the **span** of words around it.
# The same word in other company then gets another kernel.
#
# This is the heart of the model. Take your time.
#
# Letters: `B` sentences, `L` tokens, `D` channels (numbers for a token), `H` heads, `Dh` channels in a head, `K` taps
# of a kernel. `K` is odd, so that there is a middle.

# %%
import numpy as np

from minconvbert import default_model, view
from minconvbert.config import ConvBertConfig, param_shapes
from minconvbert.conv import depthwise_conv, dynamic_conv, pad, separable_conv, span_dynamic_conv
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
# By hand: five tokens with one number each, `x = (2, 4, 8, 4, 2)`, and the kernel `(1, 2, 3)`.
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
assert (depthwise_conv(x, weight)[0, :, 0] == by_hand).all()

# %% [markdown]
# ## First kind: depthwise
#
# One kernel for each channel, the same for all tokens of all sentences. It is *learned*, as a weight of shape `(D, 1,
# K)`. (The axis of length 1 is how frameworks store it.)
#
# The function does not go token by token. It goes **tap by tap**: for tap `j` it takes the whole sentence moved by `j
# − K // 2`, multiplies it by that tap's weights, and adds. Three lines.

# %%
show(depthwise_conv, pad)

# %% [markdown]
# One token again by hand, now with two channels, and the function beside it.

# %%
x = np.array([[1.0, 10], [2, 20], [3, 30], [4, 40]])[None]              # (1, L = 4, D = 2)
weight = np.array([[1.0, 0, -1], [0.5, 1, 0.5]])[:, None]               # (D = 2, 1, K = 3)
token_1 = [1 * 1 + 2 * 0 + 3 * -1, 10 * 0.5 + 20 * 1 + 30 * 0.5]        # channel 0, channel 1
assert (depthwise_conv(x, weight)[0, 1] == token_1).all()
depthwise_conv(x, weight)[0]

# %% [markdown]
# A depthwise convolution mixes tokens, but never channels. A *separable* convolution is two steps: depthwise first,
# then one linear map of each token, which mixes channels but never tokens. Together they cost far less than a full
# convolution: `D K + D²` weights instead of `D² K`.

# %%
show(separable_conv)

# %% [markdown]
# ## Second kind: dynamic
#
# Now let every token have a kernel **of its own**. The weights are no longer parameters. They are computed from the
# token:
#
# * `linear` maps the token's query, `H·Dh` numbers, to `H·K` scores.
# * `softmax` over the `K` taps makes them positive, with sum 1. So the output is a weighted mean of the neighbours,
#   as in attention.
# * All `Dh` channels of a head share one kernel.
#
# The sum stays the same. Compare the one line that matters:

# %%
show(dynamic_conv)

# %% [markdown]
# `weight[:, 0, j]` has become `kernel[..., j, None]`. *That* is the whole step from a plain to a dynamic convolution.
#
# By hand: one head, one channel, four tokens with values 1, 2, 4, 8. Token 1 has the kernel (½, ¼, ¼): it takes half
# of its left neighbour. Token 2 has (0, 0, 1): it copies its right neighbour.
#
# * token 1: ½·1 + ¼·2 + ¼·4 = **2**
# * token 2: 0·2 + 0·4 + 1·8 = **8**

# %%
value = np.array([1.0, 2, 4, 8]).reshape(1, 4, 1, 1)                    # (B, L, H, Dh)
kernel = np.array([[0, 1, 0], [0.5, 0.25, 0.25], [0, 0, 1], [0, 1, 0]]).reshape(1, 4, 1, 3)
out = dynamic_conv(value, kernel)[0, :, 0, 0]
assert out[1] == 2 and out[2] == 8
out

# %% [markdown]
# Its weakness: a token predicts its kernel from itself alone. Put the same vector at two places, and it gets the
# same kernel at both, whatever stands around it. A word with two meanings has to make do with one kernel.

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
# Let the kernel depend on the words around the token. ConvBERT does it with a second vector beside the query:
#
# 1. The **query** is a linear map of the token itself. (It is the same query that attention asks with; 05.)
# 2. The **span key** is a separable convolution of the sentence, with `K` taps: a summary of the span around the
#    token.
# 3. The **match** is their product, number by number. Where query and span key agree, it is large.
# 4. One linear map takes the match to `H·K` **scores**, and a softmax over the taps makes the **kernel**.
# 5. The **value** is another linear map of the sentence, and it is convolved with the kernel.
#
# As one line, with ⊙ for the product number by number:
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
# (`hide` is for a repair of padding that is off by default. Without a mask it does nothing; see 10.)
#
# ### They agree

# %%
cfg = ConvBertConfig(hidden_size=4, num_attention_heads=2, conv_kernel_size=3)
assert (cfg.heads, cfg.head_size) == (1, 2)             # of its two heads one convolves, on half of the width (05)
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
walk = steps(span_dynamic_conv, x, x, None, p, cfg, into=True)
(step,) = walk.made("kernel")
assert np.allclose(step.writes["kernel"][0, 1, 0], kernel) and step.letters["kernel"] == ("B", "L", "H", "K")
walk.page(at="kernel", tokens=["left", "middle", "right"], token=1)

# %% [markdown]
# ### The point of it
#
# The same word at two places, once more. The query is the same at both. The span key is not, and so neither is the
# kernel.

# %%
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
axes[0].legend()

# %% [markdown]
# ## Learned kernels
#
# The trained model has kernels of nine taps. No other implementation hands them out; this one returns them beside the
# attention maps, as `out.kernels`: one array `(B, L, H, K)` for each layer.

# %%
folder = default_model()
model, tokenizer = ConvBertModel.from_pretrained(folder), ConvBertTokenizerFast.from_pretrained(folder)

out, tokens = view.look(model, tokenizer, "They sat on the bank of the river and looked at the water.")
kernels = np.stack(out.kernels)
assert kernels.shape[-1] == model.config.conv_kernel_size and np.allclose(kernels.sum(-1), 1, atol=1e-5)
view.one_token(out, tokens, token="bank")

# %% [markdown]
# Above the line: what the word takes from the sentence by attention, from anywhere. Below: what it takes by its
# kernel, from nine places around it. Both are weights that sum to 1. Hatched taps would fall on zeros outside the
# sentence.
#
# And the same word in another sentence, with its two kernels in the head where they differ most:

# %%
second, second_tokens = view.look(model, tokenizer, "She took the money to the bank and paid what she owed.")
view.two_contexts(out, tokens, second, second_tokens, word="bank")

# %% [markdown]
# ## What it costs
#
# For a layer of the published base model (`D` 768, 6 attention heads and 6 convolution heads of width 64, `K` 9), the
# block of both has these parameters. Those with `conv` in their names are the convolution's. For a sentence it computes
# `9 L` kernel weights a head where attention computes `L²`.

# %%
base = ConvBertConfig()
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
def depthwise_conv(x, weight):
    """out[t, d] = sum_j weight[d, j] x[t + j - K // 2, d].   x (B, L, D), weight (D, 1, K)  ->  (B, L, D)"""
    raise NotImplementedError("your turn")

check(depthwise_conv, seed="your name")

# %%
def dynamic_conv(value, kernel):
    """out[t, h] = sum_j kernel[t, h, j] value[t + j - K // 2, h]: every token and head with a kernel of its own.

    value (B, L, H, Dh), kernel (B, L, H, K)  ->  (B, L, H, Dh)
    """
    raise NotImplementedError("your turn")

check(dynamic_conv, seed="your name")

# %% [markdown]
# 1. Which kernel of three taps makes every token take its left neighbour? Which makes a convolution do nothing?
# 2. What is left of the span-based convolution with `K = 1`? What is its kernel then, whatever the match?
# 3. Attention could imitate a dynamic convolution. What would its map look like? (View both: 09.)
# 4. A kernel sums to 1. At the first token of a sentence, how much of it may fall on zeros? Is the output still a
#    mean then?
# 5. In the code the separable convolution reads `x`, and the values read `x`. How many gradients will `x` get in the
#    backward pass? (You will write it at the end of 06.)
