# %% [markdown]
# # 03. Attention
#
# **Claim.** Every token asks a question. Every token has a key. The better the key of a token fits my question, the
# more of its value I take. That is all attention is: a weighted mean, whose weights the sentence itself decides.
#
# Letters: `B` sentences, `L` tokens, `H` heads, `Dh` numbers for a token in one head, `D` numbers for a token in all.

# %%
import math

import numpy as np

from minconvbert import default_model, view
from minconvbert.attention import self_attention
from minconvbert.config import ConvBertConfig
from minconvbert.course import check
from minconvbert.faces import ConvBertModel
from minconvbert.model import attention_bias
from minconvbert.ops import dropout, softmax
from minconvbert.tokenizer import ConvBertTokenizerFast
from minconvbert.view.notebook import BLUE, FAINT, ORANGE, picture, show

# %% [markdown]
# ## One token, by hand
#
# Three tokens, one head, `Dh = 2`. Each token has three vectors of two numbers. They are three linear maps of the
# token's hidden state, learned each on its own: the **query** (what I ask), the **key** (what I can be found by) and
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
# 3. **The mean.** 0.446·(1, 0) + 0.108·(0, 1) + 0.446·(2, 2) = **(1.337, 1.000)**, all digits kept.

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
show(softmax, self_attention, dropout)

# %% [markdown]
# Two habits of this code, for all that follows. `dims` at the head of a function is a statement about shapes that
# runs: it checks that the arrays have the axes which the string says, and hands back their sizes. And besides its
# result, `out`, a block returns `acts`, a dict of what it computed on the way. The backward pass will need it, and so
# will the pictures.
#
# `softmax` takes off the largest number of each row first. That changes nothing, for exp(a − c) = exp(a) / exp(c) and
# the factor cancels. It keeps exp from overflowing.
#
# `drop` is for training only: a mask that zeroes some of the weights at random, and makes the others larger by as
# much. A block that was given one keeps it in `acts`, for the way back. Elsewhere it is None.
#
# ## They agree

# %%
def one_head(x):
    """(L, Dh) -> (B, L, H, Dh) with one sentence and one head"""
    return x[None, :, None, :]

nobody_hidden = np.zeros((1, 1, 1, 3))
out, acts = self_attention(one_head(query), one_head(key), one_head(value), nobody_hidden)
assert np.allclose(out[0, 1, 0], by_hand)
assert np.allclose(acts["weights"][0, 0, 1], weights)
acts["weights"][0, 0].round(3)                          # row: who looks; column: at whom

# %% [markdown]
# ## Three small facts about softmax, to be kept for later
#
# **It cannot see what all scores of a row have in common.** Add 5 to each: the weights stay. So a bias that is added
# to all *keys* changes nothing. Look: query · (key + b) = query · key + query · b, and the last term is the same for
# all keys. The model has such a bias, `key.bias`. It has never learned anything, and never can. (06 returns to this.)

# %%
assert np.allclose(softmax(scores[None] + 5), softmax(scores[None]))
shifted, _ = self_attention(one_head(query), one_head(key + np.array([0.7, -3])), one_head(value), nobody_hidden)
assert np.allclose(shifted, out)

# %% [markdown]
# **It sharpens as scores grow.** A dot product of `Dh` pairs of numbers of size 1 is of size √Dh. Without the
# division the weights of wide heads would sit on one token from the start, and a softmax that is all 0 and 1 passes
# no gradient back.

# %%
rng = np.random.default_rng(0)
for Dh in (4, 64, 1024):
    dots = (rng.normal(size=(20000, Dh)) * rng.normal(size=(20000, Dh))).sum(1)
    assert abs(dots.std() / math.sqrt(Dh) - 1) < 0.03
    print(f"Dh = {Dh:>4}: q·k has deviation {dots.std():5.1f}, after the division {dots.std() / math.sqrt(Dh):.2f}")

# %% [markdown]
# **It can be told to leave someone out.** Sentences of a batch are filled up to one length with `[PAD]`. To the score
# of a padded token a huge negative number is added, and exp makes it 0. This is the `bias` that `self_attention`
# takes; it has nothing to do with learned biases. `attention_bias` makes it from the mask of ones and zeros that
# users pass.

# %%
show(attention_bias)

# %%
hidden_last = attention_bias(np.array([[1, 1, 0]]), ConvBertConfig(), np.float64)
padded, acts = self_attention(one_head(query), one_head(key), one_head(value), hidden_last)
alone, _ = self_attention(*(one_head(x[:2]) for x in (query, key, value)), np.zeros((1, 1, 1, 2)))
assert (acts["weights"][..., 2] == 0).all()
assert np.allclose(padded[:, :2], alone)                # as if the third token were not there
acts["weights"][0, 0].round(3)

# %% [markdown]
# For attention, then, padding is harmless. For the convolution of the next notebook it is not. (10 tells how much.)
#
# ## What it looks like
#
# The trained model, on a sentence. Each row is a token that looks, each column a token that is looked at. A row sums
# to 1. A dark column is a token that nearly all others look at. Here is the head that looks farthest, on average over
# the sentence, and below it the one that stays nearest.

# %%
folder = default_model()
model, tokenizer = ConvBertModel.from_pretrained(folder), ConvBertTokenizerFast.from_pretrained(folder)
out, tokens = view.look(model, tokenizer, "The old man who lived by the river sold his boat to the two brothers.")
maps = np.stack(out.attentions)[:, 0]                   # (layers, H, L, L)
assert np.allclose(maps.sum(-1), 1, atol=1e-5)

steps = np.abs(np.arange(len(tokens)) - np.arange(len(tokens))[:, None])
distance = (maps * steps).sum(-1).mean(-1)              # (layers, H)
layer, head = np.unravel_index(distance.argmax(), distance.shape)
view.matrix(maps[layer, head], tokens, tokens, f"layer {layer}, head {head}: {distance.max():.1f} tokens away")

# %%
layer, head = np.unravel_index(distance.argmin(), distance.shape)
view.matrix(maps[layer, head], tokens, tokens, f"layer {layer}, head {head}: {distance.min():.1f} tokens away")

# %% [markdown]
# In BERT all heads are of this kind. Many of them look at near neighbours only, and that is more than is needed for
# such a task: *we observe some heads only need to learn local dependencies*, says the abstract of ConvBERT, and
# replaces such heads by a convolution. In the model here half of the heads are convolutions. That should leave its
# attention free for what lies farther off. Is it so?
#
# How much of each head's weight falls on tokens at most four places away, the reach of a kernel of nine taps? The
# dashed line is what it would be if a head looked at all tokens alike. Above it, a head prefers its neighbourhood;
# below it, it looks beyond.

# %%
near = (maps * (steps <= 4)).sum(-1).mean(-1)
even = (steps <= 4).mean()
axis = picture(width=6)
for h in range(near.shape[1]):
    axis.bar(np.arange(len(near)) + 0.25 * h, near[:, h], 0.22, color=(BLUE, ORANGE, FAINT)[h % 3], label=f"head {h}")
axis.axhline(even, color=FAINT, linestyle="--", linewidth=1)
axis.set_xticks(np.arange(len(near)) + 0.12, [f"layer {i}" for i in range(len(near))])
axis.set_ylim(0, 1)
axis.set_title("share of attention within four tokens")
axis.legend(ncols=2)
assert np.abs(near - even).max() < 0.2

# %% [markdown]
# All heads stay near the line. On this sentence no head is one for neighbours only.
#
# ## Exercises
#
# Replace the body of a function, put your name in, and run the cell: `check` compares it with the package on fresh
# numbers. (06 shows what it says when something is wrong.)

# %%
def softmax(x):
    """y_i = exp(x_i) / sum_j exp(x_j) over the last axis.   x (..., N)  ->  (..., N), each row sums to 1"""
    raise NotImplementedError("your turn")

check(softmax, seed="your name")

# %%
def self_attention(query, key, value, bias, drop=None):
    """softmax(q k^T / sqrt(Dh) + bias) v, for each head.

    query, key, value (B, L, H, Dh), bias (B or 1, H or 1, L or 1, L)  ->  out (B, L, H, Dh), acts
    """
    raise NotImplementedError("your turn")

check(self_attention, seed="your name")

# %% [markdown]
# 1. Swap two tokens of a sentence, together with their queries, keys and values. What happens to the outputs? So how
#    can attention know the order of words at all?
# 2. Make a query and keys such that token 1 takes the value of token 0 and almost nothing else.
# 3. A query of all zeros: what are the weights, and what is the output?
# 4. A head has `L²` weights for a sentence of `L` tokens. A kernel of nine taps has `9 L`. At what length is that a
#    tenth?
