# %% [markdown]
# # 03. Attention
#
# **Claim.** Every token asks a question. Every token has a key. The better the key of a token fits my question, the
# more of its value I take. That is all attention is: a weighted mean, whose weights the sentence itself decides.
#
# After this notebook you can
# * compute attention for one token by hand
# * say what a softmax cannot see, and what follows for `key.bias` and for padding
# * write `softmax` and `self_attention`, with a mask and dropout
#
# **Time**: about 50 minutes, exercises included. **Builds on**: 02.
#
# **Papers**: [Attention Is All You Need](https://arxiv.org/abs/1706.03762) (Vaswani and others, 2017),
# [BERT](https://arxiv.org/abs/1810.04805) (Devlin and others, 2018), [ConvBERT](https://arxiv.org/abs/2008.02496)
# (Jiang and others, 2020).
# Letters: `B` sentences, `L` tokens, `T` tokens that attend (here all `L`), `H` heads, `Dh` numbers for a token in
# one head, `D` numbers for a token in all.

# %%
import math

import numpy as np

from minconvbert import attention, default_model, ops, view
from minconvbert.config import ConvBertConfig
from minconvbert.course import check
from minconvbert.faces import ConvBertModel
from minconvbert.model import attention_bias
from minconvbert.tokenizer import ConvBertTokenizerFast
from minconvbert.view.notebook import BLUE, FAINT, picture, show

# %% [markdown]
# ## One token, by hand
#
# Three tokens, one head, `Dh = 2`. Each token has three vectors of two numbers. They are three linear maps of the token's
# hidden state, each with its own learned weights: the **query** (what I ask), the **key** (what I can be found by) and
# the **value** (what I give).

# %%
query = np.array([[0.0, 1], [2, 0], [1, 1]])            # (L, Dh)
key = np.array([[1.0, 0], [0, 1], [1, 1]])
value = np.array([[1.0, 0], [0, 1], [2, 2]])

# %% [markdown]
# Let us follow token 1. Its query is (2, 0).
#
# 1. **Scores.** The dot product of the query with each key: (2, 0)·(1, 0) = 2, (2, 0)·(0, 1) = 0, (2, 0)·(1, 1) = 2.
#    Divide by √Dh = √2: **1.414, 0, 1.414**.
# 2. **Softmax.** Take the exponential: 4.113, 1, 4.113. Divide by the sum 9.226: **0.446, 0.108, 0.446**. These are
#    the weights. They are positive and sum to 1.
# 3. **The mean.** 0.446·(1, 0) + 0.108·(0, 1) + 0.446·(2, 2) = **(1.337, 1.000)**, computed with all digits.

# %%
scores = np.array([2, 0, 2]) / math.sqrt(2)
weights = np.exp(scores) / np.exp(scores).sum()
by_hand = weights[0] * value[0] + weights[1] * value[1] + weights[2] * value[2]
print(scores.round(3), weights.round(3), by_hand.round(3))

# %% [markdown]
# ## The functions
#
# A **head** is all of the above, with three maps of its own. The model has several in each layer, side by side, and
# each may look at other tokens. `self_attention` does this for all tokens, heads and sentences at once. It moves the
# axis of the heads before that of the tokens, so that `@` multiplies an `(L, Dh)` with a `(Dh, L)` matrix in each
# head.

# %%
show(ops.softmax, attention.self_attention, ops.dropout, fold="The sources: write them yourself first, in the exercises below")

# %% [markdown]
# (`dims` and `acts` are explained in 02.)
#
# `softmax` first subtracts the largest number of each row. That changes nothing, because exp(a − c) = exp(a) / exp(c) and
# the factor cancels. It keeps exp from overflowing.
#
# `drop` is for training only: a mask that zeroes some of the weights at random and makes the others larger, so that the
# mean stays. A block that gets such a mask keeps it in `acts`, because the backward pass needs it. Without dropout it is
# None.
#
# ## They agree

# %%
def one_head(x):
    """(L, Dh) -> (B, L, H, Dh) with one sentence and one head"""
    return x[None, :, None, :]

nobody_hidden = np.zeros((1, 1, 1, 3))
out, acts = attention.self_attention(one_head(query), one_head(key), one_head(value), nobody_hidden)
assert np.allclose(out[0, 1, 0], by_hand)
assert np.allclose(acts["weights"][0, 0, 1], weights)
acts["weights"][0, 0].round(3)                          # row: who looks; column: at whom

# %% [markdown]
# ## Three small facts about softmax
#
# **It cannot see what all scores of a row have in common.** Add 5 to each score: the weights do not change. So a bias
# that is added to all *keys* changes nothing: query · (key + b) = query · key + query · b, and the last term is the same
# for all keys. The model has such a bias, `key.bias`, and its true gradient is 0. In the trained model it is not quite 0,
# because Adam amplifies even the rounding noise of a gradient, but it is thousands of times smaller than `query.bias`.
# (06 returns to this.)

# %%
assert np.allclose(ops.softmax(scores[None] + 5), ops.softmax(scores[None]))
shifted, _ = attention.self_attention(one_head(query), one_head(key + np.array([0.7, -3])), one_head(value), nobody_hidden)
assert np.allclose(shifted, out)
trained = ConvBertModel.from_pretrained(default_model()).params
for name in ("query", "key"):
    print(f"largest {name}.bias of the trained model: "
          f"{max(np.abs(a).max() for n, a in trained.items() if n.endswith(f'{name}.bias')):.1e}")

# %% [markdown]
# **It sharpens as scores grow.** A dot product of `Dh` pairs of numbers of size 1 is of size √Dh. Without the
# division the weights of wide heads would lie on one token from the start. And a softmax whose outputs are all 0 and 1
# passes no gradient back: its gradient is y · (dy − Σ y dy), and where one y is 1 and the others are 0, this is 0.

# %%
rng = np.random.default_rng(0)
for Dh in (4, 64, 1024):
    dots = (rng.normal(size=(20000, Dh)) * rng.normal(size=(20000, Dh))).sum(1)
    assert abs(dots.std() / math.sqrt(Dh) - 1) < 0.03
    one = np.array([0.0, 1, 0])
    assert (ops.softmax_backward(rng.normal(size=3), one) == 0).all()
    print(f"Dh = {Dh:>4}: q·k has deviation {dots.std():5.1f}, after the division {dots.std() / math.sqrt(Dh):.2f}")

# %% [markdown]
# **It can leave tokens out.** The sentences of a batch are filled up to one length with `[PAD]`. The score of a padded
# token gets a huge negative number added to it, and exp makes it 0. This number is the `bias` argument of
# `self_attention`; it has nothing to do with learned biases. `attention_bias` makes it from the mask of ones and zeros
# that users pass.

# %%
show(attention_bias)

# %%
hidden_last = attention_bias(np.array([[1, 1, 0]]), ConvBertConfig(), np.float64)
padded, acts = attention.self_attention(one_head(query), one_head(key), one_head(value), hidden_last)
alone, _ = attention.self_attention(*(one_head(x[:2]) for x in (query, key, value)), np.zeros((1, 1, 1, 2)))
assert (acts["weights"][..., 2] == 0).all()
assert np.allclose(padded[:, :2], alone)                # as if the third token were not there
acts["weights"][0, 0].round(3)

# %% [markdown]
# So padding is harmless for attention. For the convolution of the next notebook it is not (10 measures how much).
#
# ## What it looks like
#
# The trained model, on a sentence. Each row is a token that looks, each column a token that is looked at. A row sums
# to 1. A dark column is a token that nearly all others look at. Here is the head that looks farthest, on
# average over the sentence, and below it the head that stays nearest.

# %%
# alt: An attention map: rows are tokens that look, columns tokens that are looked at. Dark entries are spread far
#      from the diagonal.
folder = default_model()
model, tokenizer = ConvBertModel.from_pretrained(folder), ConvBertTokenizerFast.from_pretrained(folder)
out, tokens = view.look(model, tokenizer, "The old man who lived by the river sold his boat to the two brothers.")
maps = np.stack(out.attentions)[:, 0]                   # (layers, H, L, L)
assert np.allclose(maps.sum(-1), 1, atol=1e-5)

steps = np.abs(np.arange(len(tokens)) - np.arange(len(tokens))[:, None])
distance = (maps * steps).sum(-1).mean(-1)              # (layers, H)
layer, head = np.unravel_index(distance.argmax(), distance.shape)
view.matrix(maps[layer, head], tokens, tokens, f"layer {layer}, head {head}: mean distance {distance.max():.1f} tokens")

# %%
# alt: An attention map of the head that stays nearest: its dark entries lie nearer to the diagonal.
layer, head = np.unravel_index(distance.argmin(), distance.shape)
view.matrix(maps[layer, head], tokens, tokens, f"layer {layer}, head {head}: mean distance {distance.min():.1f} tokens")

# %% [markdown]
# In BERT all heads are of this kind. Many of them look at near neighbours only, and for that a full attention map is
# wasteful: *we observe some heads only need to learn local dependencies*, says the abstract of ConvBERT, which replaces
# such heads by a convolution. In our model half of the heads are convolutions. Does its attention look farther away?
#
# How much of each head's weight falls on tokens at most four places away, the reach of a kernel of nine taps? The
# dashed line shows what a head would have that looks at all tokens evenly. A head above the line prefers its
# neighbourhood; a head below it looks beyond.

# %%
# alt: Bars for two heads in each layer: the share of attention within four tokens, between about 30% and 60%, and
#      a dashed line for even attention.
near = (maps * (steps <= 4)).sum(-1).mean(-1)
even = (steps <= 4).mean()
axis = picture(width=6)
for h in range(near.shape[1]):
    axis.bar(np.arange(len(near)) + 0.25 * h, near[:, h], 0.22, color=BLUE, alpha=1 - 0.6 * (h % 2), label=f"head {h}")
axis.axhline(even, color=FAINT, linestyle="--", linewidth=1, label="even attention")
axis.set_xticks(np.arange(len(near)) + 0.12, [f"layer {i}" for i in range(len(near))])
axis.set(ylim=(0, 1), title="attention within four tokens", ylabel="share of the weight")
axis.legend(ncols=2)
assert np.abs(near - even).max() < 0.2

# %% [markdown]
# No head is a pure head for neighbours. The largest difference from the line is some 15 points. But this picture cannot
# tell *why*: for that one would need the same model without its convolutions. Notebook 17 trains both, and compares them.
#
# ## Exercises
#
# Replace the body of a function, put your name in, and run the cell: `check` compares it with the package's on numbers
# drawn from your name. (06 shows what it says when something is wrong.)

# %%
# Difficulty 1 of 5, about 5 minutes.
def softmax(x):
    """y_i = exp(x_i) / sum_j exp(x_j) over the last axis.   x (..., N)  ->  (..., N), each row sums to 1"""
    raise NotImplementedError("your turn")

check(softmax, seed="your name")

# %%
# Difficulty 3 of 5, about 20 minutes. You may call: softmax, dropout.
def self_attention(query, key, value, bias, drop=None):
    """softmax(q k^T / sqrt(Dh) + bias) v, for each head.

    query (B, T, H, Dh), key, value (B, L, H, Dh), bias (B or 1, H or 1, T or 1, L)  ->  out (B, T, H, Dh), acts

    T = L, because all tokens attend; `attention_in_blocks` passes the queries of T tokens at a time.
    """
    # acts must hold query, key, value, weights, out; and drop, if there is one
    raise NotImplementedError("your turn")

check(self_attention, seed="your name")

# %% [markdown]
# 1. Swap two tokens of a sentence, together with their queries, keys and values. What happens to the outputs? So how
#    can attention know the order of words at all?
# 2. Make a query and keys such that token 1 takes the value of token 0 and almost nothing else.
# 3. A query of all zeros: what are the weights, and what is the output?
# 4. A head has `L²` weights for a sentence of `L` tokens; kernels of nine taps have `9 L`. At what length is that a tenth?
#    Why does this not mean that a convolution is ten times cheaper? (04 counts.)

# %% [markdown]
# <details><summary>Answers to the numbered questions</summary>
#
# 1. The outputs are swapped in the same way, and are else the same. Attention is blind to order. It knows of order
#    only because the position rows were added to the words (02).
# 2. For example query 1 = (20, 0), key 0 = (1, 0) and all other keys (−1, 0): after the division by √2 the scores
#    differ by 28, and the weight of token 0 is 1 to twelve digits.
# 3. All scores are 0, so all weights are 1/L and the output is the plain mean of the values.
# 4. 9 L = L² / 10 at L = 90. But the weights are a small part of the work: the convolution needs linear maps of its
#    own (span key, kernel, value), and they cost as much for each token as attention's.
#
# </details>
