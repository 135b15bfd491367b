# %% [markdown]
# # 05. The mixed block, and grouped linear maps
#
# **Claim.** Half of the heads attend, half convolve. Both halves ask with the *same* query. Their outputs are put
# side by side, and a linear map mixes them. With a feed-forward layer after it, and a sum and a norm after each, this
# is a whole layer of ConvBERT. A grouped linear map is a feed-forward layer with most of its weights left out.
#
# After this notebook you can
# * say which heads attend and which convolve, and how wide each is
# * follow a number through the block and the whole layer
# * count the weights of a layer, with groups and without
# * write `mixed_attention`
#
# **Time**: about 60 minutes, exercises included. **Builds on**: 02, 03, 04.
#
# **Papers**: [ConvBERT](https://arxiv.org/abs/2008.02496) (Jiang and others, 2020), [Attention Is All You
# Need](https://arxiv.org/abs/1706.03762) (Vaswani and others, 2017).
# Letters: `B` sentences, `L` tokens, `D` numbers for a token, `H` attention heads *and as many* convolution heads,
# `Dh` numbers in a head, `F` numbers inside the feed-forward layer, `G` groups.

# %%
import numpy as np

from minconvbert import attention, default_model, view
from minconvbert.attention import self_attention
from minconvbert.config import ConvBertConfig, param_shapes
from minconvbert.conv import span_dynamic_conv
from minconvbert.course import check
from minconvbert.faces import ConvBertModel
from minconvbert.initialize import init_params
from minconvbert.model import dense_linear, feed_forward, layer, project_add_norm
from minconvbert.ops import grouped_linear, linear
from minconvbert.shapes import sub
from minconvbert.tokenizer import ConvBertTokenizerFast
from minconvbert.view.notebook import BLUE, ORANGE, block_diagram, picture, show

# %% [markdown]
# ## The block in one picture
#
# Read it from the bottom. The names are those in `acts`, the dict that the block returns.

# %%
# alt: The mixed block. x goes to key, value and query, which make attention's half; x and the same query make the span
#      key, match, kernel and value of the convolution's half; both are joined.
block_diagram()

# %% [markdown]
# ## Which heads are whose
#
# A configuration says `num_attention_heads` and `head_ratio`. The base model says 12 and 2. This means: of 12
# heads, 12 // 2 = 6 attend and 6 convolve. In this project `H` is the number of **one** kind, 6. Readers get this wrong
# more often than anything else.
#
# All heads together are as wide as a token: 2·H·Dh = D. So the query, key and value of the attention half are only `D
# / 2` wide. This narrowing is what the paper calls the bottleneck.

# %%
base = ConvBertConfig()
D, H, Dh = base.hidden_size, base.heads, base.head_size
print(f"D = {D}, H = {H} of each kind, Dh = {Dh}, H·Dh = {H * Dh}")
assert 2 * H * Dh == D

# %% [markdown]
# ## Where a number ends up
#
# Take `D = 8`: one attention head and one convolution head of 4 numbers each. We follow one token through the block, with
# the functions of 03 and 04.
#
# 1. Its hidden state has 8 numbers. Three linear maps make a query, a key and a value of 4 numbers each.
# 2. Attention takes query, keys, values: 4 numbers come out.
# 3. The convolution takes the same query, and makes its own span key and value from the hidden states: 4 numbers come out.
# 4. Side by side: places 0 to 3 are from attention, places 4 to 7 from the convolution.
#
# The convolution has a value map of its own, `conv_out_layer`. It does not share attention's, although the paper
# writes V for both. (Below we see that this matters.)

# %%
cfg = ConvBertConfig(vocab_size=11, hidden_size=8, embedding_size=8, num_hidden_layers=1, num_attention_heads=2,
                     intermediate_size=12, conv_kernel_size=3, initializer_range=0.5)
rng = np.random.default_rng(0)
params = init_params(cfg, rng=rng, dtype=np.float64)
for name in params:                                     # biases start at zero and norms at one: move them
    params[name] = params[name] + 0.1 * rng.normal(size=params[name].shape)
p = sub(params, "encoder.layer.0.attention.self")
x = rng.normal(size=(1, 5, 8))                          # (B, L, D)
nobody_hidden = np.zeros((1, 1, 1, 5))

query, key, value = (linear(x, p[f"{name}.weight"], p[f"{name}.bias"]) for name in ("query", "key", "value"))
per_head = (1, 5, 1, 4)                                 # (B, L, H, Dh)
everywhere, _ = self_attention(query.reshape(per_head), key.reshape(per_head), value.reshape(per_head), nobody_hidden)
nearby, _ = span_dynamic_conv(x, query, None, p, cfg)
from_parts = np.concatenate([everywhere[0, 2, 0], nearby[0, 2, 0]])        # token 2
from_parts.round(3)

# %% [markdown]
# ## The function

# %%
show(attention.mixed_attention, fold="The source: write it yourself first, in the second exercise below")

# %% [markdown]
# Parameters live in one flat dict, under the names that Hugging Face gives them. `sub(p, "attention.self")` is a
# dict of those whose names begin with `attention.self`, without this beginning. `under` puts a beginning back. `acts` is such a dict too:
# the kernel of layer 1 will be `acts["encoder.layer.1.attention.self.conv.kernel"]`.
#
# ## They agree

# %%
out, acts = attention.mixed_attention(x, (nobody_hidden, None), p, cfg)
assert np.allclose(out[0, 2], from_parts)
assert np.array_equal(out[..., :4].reshape(per_head), acts["attn.out"])
assert np.array_equal(out[..., 4:].reshape(per_head), acts["conv.out"])
print(*acts, sep="   ")

shared = p | {f"conv_out_layer.{kind}": p[f"value.{kind}"] for kind in ("weight", "bias")}
other, _ = attention.mixed_attention(x, (nobody_hidden, None), shared, cfg)
assert np.array_equal(out[..., :4], other[..., :4]) and np.abs(out - other).max() > 0.01
print(f"\nwith one value map for both, the convolution's half would change by up to {np.abs(out - other).max():.2f}")

# %% [markdown]
# ## What the ratio changes
#
# Let us count the weights of query, key, value and the convolution in one layer of base, for ratios 1, 2, 3, 4 and 6,
# as Hugging Face reads the ratio. (The original reads ratios other than 2 differently; see 10.)

# %%
def count(cfg, prefix="encoder.layer.0.attention.self."):
    return sum(int(np.prod(shape)) for name, shape in param_shapes(cfg).items() if name.startswith(prefix))

for ratio in (1, 2, 3, 4, 6):
    changed = base.replace(head_ratio=ratio)
    print(f"ratio {ratio}: H = {changed.heads:>2}, Dh = {changed.head_size:>3}, weights {count(changed):>9,}")
print(f"\nBERT's query, key and value, 12 attention heads and no convolution: {3 * (768 * 768 + 768):,}")

# %% [markdown]
# Hugging Face gives each kind half of `D`, whatever the ratio is. So a higher ratio means fewer and wider heads, hence fewer
# attention maps and fewer kernels, but hardly fewer weights. In the original's reading a higher ratio makes the block
# narrower, and so it saves weights and time.
#
# ## Grouped linear
#
# A linear map from `I` to `O` numbers has `I·O` weights: every output reads every input. A grouped linear map cuts
# the inputs into `G` neighbouring groups and gives each a small map of its own. It has `I·O / G` weights. No
# output of a group sees an input of another.
#
# By hand, `G = 2`: inputs (1, 2 | 3, 4). The first group has the map [[1, 0], [1, 1]], the second [[2, 0], [0, 1]],
# written as (inputs, outputs).
#
# * group 0: 1·(1, 0) + 2·(1, 1) = **(3, 2)**
# * group 1: 3·(2, 0) + 4·(0, 1) = **(6, 4)**

# %%
x4 = np.array([1.0, 2, 3, 4])
weight = np.array([[[1.0, 0], [1, 1]], [[2, 0], [0, 1]]])               # (G, I, O)
assert (grouped_linear(x4, weight, np.zeros(4)) == [3, 2, 6, 4]).all()
show(grouped_linear)

# %% [markdown]
# It is a linear map whose matrix is zero outside the blocks on its diagonal. Mind the layout: `linear` keeps its weight
# as (outputs, inputs), `grouped_linear` as (group, inputs, outputs). Both are as in the checkpoints.

# %%
# alt: A matrix with four blocks on its diagonal; all else is zero.
rng = np.random.default_rng(0)
G, I, O = 4, 5, 3
weight, bias, x = rng.normal(size=(G, I, O)), rng.normal(size=G * O), rng.normal(size=(2, 6, G * I))
whole = np.zeros((G * O, G * I))
for g in range(G):
    whole[g * O : (g + 1) * O, g * I : (g + 1) * I] = weight[g].T
assert np.allclose(grouped_linear(x, weight, bias), linear(x, whole, bias))
view.matrix(np.abs(whole), title=f"G = {G}: the same map as one matrix (O, I)")

# %% [markdown]
# ## The whole layer
#
# After the mixed block come a linear map, dropout, the sum with the block's input, and a norm. Then comes the feed-forward
# layer: a linear map to `F` numbers, an activation (GELU, see 06), a linear map back, dropout, the sum with its input, and
# a norm. `dense_linear` is an ordinary map if the weight has two axes, and a grouped one if it has three.

# %%
show(dense_linear, project_add_norm, feed_forward, layer)

# %%
rng = np.random.default_rng(0)
x = rng.normal(size=(1, 5, 8))
out, acts = layer(x, (nobody_hidden, None), sub(params, "encoder.layer.0"), cfg)
p = sub(params, "encoder.layer.0")

# from the pieces, the linear maps and norms written out
mixed, _ = attention.mixed_attention(x, (nobody_hidden, None), sub(p, "attention.self"), cfg)

def mapped(y, name):
    return y @ p[f"{name}.weight"].T + p[f"{name}.bias"]

def normed(total, name):
    centred = total - total.mean(-1, keepdims=True)
    row = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + cfg.layer_norm_eps)
    return row * p[f"{name}.weight"] + p[f"{name}.bias"]

attended = normed(mapped(mixed, "attention.output.dense") + x, "attention.output.LayerNorm")
wide, _ = feed_forward(attended, sub(p, "intermediate"), cfg)
from_parts = normed(mapped(wide, "output.dense") + attended, "output.LayerNorm")
assert np.allclose(out, from_parts)

# %% [markdown]
# ## How much does each half add, and how much does it matter?
#
# Each half gives `D / 2` numbers, and the matrix `attention.output.dense` mixes them into the sum. The left picture shows
# how large the part of each half is in the trained model, for one sentence: the root of its mean square, layer by layer.
# But a large part need not be an important one. So on the right we switch off one half of one layer at a time (its part
# becomes 0) and measure how far the last hidden states move: 1 minus their cosine with the true ones, averaged over the
# tokens.

# %%
# alt: Two bar charts for the four layers. Left: the convolution adds more than attention in all layers but the
#      last. Right: how far the answer moves when one half of a layer is switched off.
folder = default_model()
model, tokenizer = ConvBertModel.from_pretrained(folder), ConvBertTokenizerFast.from_pretrained(folder)
cfg, params = model.config, model.params
batch = tokenizer("The old man who lived by the river sold his boat to the two brothers.", return_tensors="np")
acts = model(batch["input_ids"]).acts
half = cfg.heads * cfg.head_size

parts = []
for i in range(cfg.num_hidden_layers):
    out = acts[f"encoder.layer.{i}.attention.self.out"]
    weight = params[f"encoder.layer.{i}.attention.output.dense.weight"]
    from_attention, from_convolution = out[..., :half] @ weight[:, :half].T, out[..., half:] @ weight[:, half:].T
    total = from_attention + from_convolution + params[f"encoder.layer.{i}.attention.output.dense.bias"]
    assert np.allclose(total + acts[f"encoder.layer.{i}.attention.self.x"],
                       acts[f"encoder.layer.{i}.attention.output.total"], atol=1e-4)
    parts.append([np.sqrt((part**2).mean()) for part in (from_attention, from_convolution)])

def without(i, kind):
    """How far the last hidden states move if this half of layer i adds nothing"""
    name = f"encoder.layer.{i}.attention.output.dense.weight"
    weight = params[name].copy()
    weight[:, slice(None, half) if kind == "attention" else slice(half, None)] = 0
    a, b = (ConvBertModel(cfg, p)(batch["input_ids"]).last_hidden_state[0] for p in (params, params | {name: weight}))
    return 1 - ((a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)).mean()

moved = [[without(i, kind) for kind in ("attention", "convolution")] for i in range(cfg.num_hidden_layers)]
axes = picture(2, width=8)
for j, (kind, colour) in enumerate((("attention", BLUE), ("convolution", ORANGE))):
    for axis, values in zip(axes, (parts, moved)):
        axis.bar(np.arange(len(values)) + 0.4 * j - 0.2, [v[j] for v in values], 0.38, color=colour, label=kind)
        axis.set_xticks(range(len(values)), [f"layer {i}" for i in range(len(values))])
axes[0].set(title="size of what each half adds to the hidden state", ylabel="root of the mean square")
axes[1].set(title="change of the answer without this half", ylabel="1 − cosine")
axes[0].legend()
print("change without attention / without the convolution:", *(f"{a:.3f} / {c:.3f}" for a, c in moved))
assert all(from_convolution > 2 * from_attention for from_attention, from_convolution in parts[:-1])

# %% [markdown]
# On this sentence the convolution adds the larger part in all layers but the last, and the answer depends more on it, too:
# in layers 1 and 2 the model hardly misses its attention. In the last layer both halves matter alike. (This is one
# sentence and one small model, and what a model can do without after training says little about what it needed to learn.)
#
# ## Exercises
#
# The first is a backward pass. Come back to it after 06.

# %%
# Difficulty 3 of 5, about 20 minutes. You may call: linear_backward, grouped_linear.
def grouped_linear_backward(dy, x, weight):
    """-> dx (..., G I), dweight (G, I, O), dbias (G O,)"""
    raise NotImplementedError("your turn")

check(grouped_linear_backward, seed="your name")

# %%
# Difficulty 3 of 5, about 20 minutes. You may call: linear, self_attention, span_dynamic_conv.
def mixed_attention(x, masks, p, cfg, rng=None, maps=True):
    """Half of the heads attend to every token, half convolve the span around each; both use the same query.

    x (B, L, D), masks = (attention bias (B, 1, 1, L), None or convolution mask (B, L, 1))  ->  (B, L, 2 H Dh), acts

    Without `maps`, attention works in blocks and leaves nothing in `acts`, so there is no way back.
    """
    # acts must hold x, out, attn.query, attn.key, attn.value, attn.weights, attn.out, conv.x, conv.query,
    # conv.span_mixed, conv.span_key, conv.match, conv.kernel, conv.value, conv.out; and attn.drop, conv.mask,
    # if there is one
    raise NotImplementedError("your turn")

check(mixed_attention, seed="your name")

# %% [markdown]
# 1. How many weights has a feed-forward layer of the medium-small model (`D` 384, `F` 1536, 2 groups)? How many
#    without groups?
# 2. With groups in both maps of the feed-forward layer, which inputs can reach output 0? Which part of the layer carries
#    information from one group to the other?
# 3. Swap the two halves of `out`, and the two halves of the columns of `attention.output.dense.weight`. What changes?
# 4. Both halves read the query. What does that mean for its gradient? (06.)
# 5. How many parameters has the whole base model? Work it out by hand from the shapes; 07 prints them and checks the sum.

# %% [markdown]
# <details><summary>Answers to the numbered questions</summary>
#
# 1. Without groups 384·1536 + 1536 + 1536·384 + 384 = 1,181,568; with two groups half of the products remain:
#    591,744.
# 2. Those of its own group only: with two groups, half of the inputs. The attention block before it, whose last linear map has no
#    groups, and the sum that goes around the feed-forward layer carry the rest.
# 3. Nothing: each half still meets the same columns.
# 4. It is the sum of two gradients, one from each half.
# 5. Embeddings: (30,522 + 512 + 2)·768 + 2·768 = 23,837,184. A layer: the block 618,294 + 885,888 = 1,504,182; its
#    output map and norm 768·768 + 768 + 2·768 = 592,128; feed-forward 768·3072 + 3072 + 3072·768 + 768 + 2·768 =
#    4,723,968; in all 6,820,278. Twelve layers: 81,843,336. Sum: **105,680,520**.
#
# </details>
