# %% [markdown]
# # 09. What was learned: kernels against attention maps
#
# **Claim.** A convolution with kernels of its own for every token *is* an attention map, one that is zero away from
# the diagonal. So kernels and maps can be drawn on the same axes and measured by the same rule. They differ in one thing
# only: where the weight may be.
#
# After this notebook you can
# * read a kernel as a row of an attention map, and say when such a map is a Toeplitz matrix
# * measure how local a head is, against the right baseline
# * find heads that do something simple
#
# **Time**: about 60 minutes, exercises included. **Builds on**: 03, 04, 05.
#
# **Papers**: [ConvBERT](https://arxiv.org/abs/2008.02496) (Jiang and others, 2020), [Lightweight and Dynamic
# Convolutions](https://arxiv.org/abs/1901.10430) (Wu and others, 2019).
# Letters: `B` sentences, `L` tokens, `H` heads of one kind, `K` taps of a kernel.

# %%
import numpy as np

from minconvbert import default_model, view
from minconvbert.conv import dynamic_conv
from minconvbert.faces import ConvBertModel
from minconvbert.ops import linear, softmax
from minconvbert.tokenizer import ConvBertTokenizerFast
from minconvbert.view.locality import (
    entropy,
    kernel_band,
    local_mass,
    mass_by_offset,
    mean_distance,
    over_tokens,
    padded_band,
)
from minconvbert.view.notebook import show

# %% [markdown]
# ## A kernel as a row of a map, by hand
#
# Four tokens, three taps. Lay each token's kernel over the sentence: the middle tap on the token itself.
#
# | token | kernel | on token 0 | 1 | 2 | 3 | on zeros |
# |---|---|---|---|---|---|---|
# | 0 | (½, ¼, ¼) | ¼ | ¼ | 0 | 0 | **½** |
# | 1 | (0, 1, 0) | 0 | 1 | 0 | 0 | 0 |
# | 2 | (⅓, ⅓, ⅓) | 0 | ⅓ | ⅓ | ⅓ | 0 |
# | 3 | (¼, ½, ¼) | 0 | 0 | ¼ | ½ | **¼** |
#
# The rows of an attention map always sum to 1. A row of this map sums to 1 **less what falls on the zeros** beyond
# the sentence.

# %%
kernel = np.array([[1 / 2, 1 / 4, 1 / 4], [0, 1, 0], [1 / 3, 1 / 3, 1 / 3], [1 / 4, 1 / 2, 1 / 4]]).reshape(1, 4, 1, 3)
by_hand = np.array([[1 / 4, 1 / 4, 0, 0], [0, 1, 0, 0], [0, 1 / 3, 1 / 3, 1 / 3], [0, 0, 1 / 4, 1 / 2]])

# %% [markdown]
# ## The functions

# %%
show(padded_band, kernel_band)

# %% [markdown]
# ## They agree, and the map does what the convolution does

# %%
band, lost = kernel_band(kernel)                        # (B, H, L, L), (B, H, L)
assert np.allclose(band[0, 0], by_hand)
assert np.allclose(lost[0, 0], [1 / 2, 0, 0, 1 / 4])
assert np.allclose(band.sum(-1) + lost, 1)

value = np.random.default_rng(0).normal(size=(1, 4, 1, 5))              # (B, L, H, Dh)
assert np.allclose(dynamic_conv(value, kernel)[0, :, 0], band[0, 0] @ value[0, :, 0])

# %% [markdown]
# **When is the map a Toeplitz matrix**, with the same number along each diagonal? Entry (t, s) is tap s − t + K // 2 of the
# kernel *of token t*. If all tokens have the same kernel, it depends on s − t only, and that is Toeplitz: a depthwise
# convolution is one Toeplitz matrix for each channel. A dynamic convolution has another kernel in each row, and so its
# map is a band, but not Toeplitz.

# %%
fixed, _ = kernel_band(np.broadcast_to(kernel[:, 3:], kernel.shape))
is_toeplitz = lambda m: all(np.ptp(np.diagonal(m, d)) < 1e-12 for d in range(-3, 4))
assert is_toeplitz(fixed[0, 0]) and not is_toeplitz(band[0, 0])

# %% [markdown]
# ## One sentence, one word

# %%
# alt: The sentence, with bars above each word for what sold takes from it by attention, and bars below for what
#      it takes by its kernel.
folder = default_model()
model, tokenizer = ConvBertModel.from_pretrained(folder), ConvBertTokenizerFast.from_pretrained(folder)
K = model.config.conv_kernel_size
out, tokens = view.look(model, tokenizer, "The old man who lived by the river sold his boat to the two brothers.")
view.one_token(out, tokens, token="sold")

# %% [markdown]
# Here is one head of each kind, on the same axes and in the same colours. On the left, a token may look anywhere. On the
# right, it may look `K // 2` tokens to each side. What lies outside the sentence is hatched.

# %%
# alt: An attention map beside the kernels of one head, on the same axes. The kernels fill a band around the
#      diagonal.
view.side_by_side(out, tokens)

# %% [markdown]
# All layers and heads at a glance. Look for kernels that are the same for all tokens: they are straight stripes, and such a
# head could be a plain convolution. Look also for kernels that change from word to word: they are broken stripes, and
# there the dynamic part is needed.

# %%
# alt: Thumbnails of all attention maps and kernels, a row for each layer. In layer 2 one head's kernels are a
#      single sharp stripe beside the diagonal.
view.all_heads(out, tokens)

# %% [markdown]
# One stripe is special. In layer 2 a head puts nearly all the weight of every token on *one* tap: it copies a neighbour.
# Nobody told it to. Which head, which tap, how much?

# %%
everywhere = np.stack(out.kernels)[:, 0].mean(1)        # (layers, H, K): the mean kernel over the sentence
layer, head, tap = np.unravel_index(everywhere.argmax(), everywhere.shape)
offset = tap - K // 2
print(f"layer {layer}, head {head}: {everywhere[layer, head, tap]:.0%} of the weight, on average, is {abs(offset)} "
      f"token(s) to the {'right' if offset > 0 else 'left'}")
assert layer == 2 and everywhere[layer, head, tap] > 0.9

# %% [markdown]
# ## In numbers
#
# Four measures, the same for maps and kernels:
#
# * **mean distance**: how many tokens away the weight lies, on average;
# * **entropy**, in bits: 0 if all weight is on one token, 1 if evenly on two, 2 on four;
# * **local mass**: the share within `K // 2` tokens;
# * **mass by offset**: the mean weight at each distance, left and right.
#
# A number alone says little. So beside each stands its **baseline**: what a head has that looks at all tokens evenly, or a
# kernel with the same weight on all its taps. A head is local if its local mass is *above* the baseline, not if it is high.

# %%
show(mean_distance, entropy, local_mass, mass_by_offset)

# %% [markdown]
# One sentence is an anecdote. So here are some more, of different kinds, and each number below is a mean over all their
# tokens. (They are few, and the model is small. Read the numbers as a description of these heads on these sentences, not
# as a law.)

# %%
sentences = """The bank of the river was steep, and nobody walked there after dark.
She went to the bank to ask for money, but the bank was closed.
When the rain had stopped, the children ran out of the house and down to the water.
I have never seen a man so tired, and yet he would not sit down.
The captain, who had said nothing, looked at the sky and gave the order to turn back.
It was not the first time that the letter had come too late.
In the middle of the room stood a table, and on the table stood a lamp.
The cell has a wall, and inside the wall there is a liquid in which many things float.
He asked her whether she had read the book, and she said that she had.
The light of the sun takes about eight minutes to reach the earth.
There are three ways to do this, and two of them are wrong.
The light box was light enough to be carried by a child.
They left the house at six and reached the town before night.
The left hand does not know what the right hand does.
You can have it if you can carry it, said the old woman, and she laughed.
The king gave his daughter the half of his land, and kept the other half.""".split("\n")
batch = tokenizer(sentences, padding=True, return_tensors="np")
seen = model(batch["input_ids"], attention_mask=batch["attention_mask"])
mask = batch["attention_mask"]
print(int(mask.sum()), "tokens")

print("layer head   attention: distance  entropy  local    convolution: distance  entropy   on zeros")
for i, (maps, kernels) in enumerate(zip(seen.attentions, seen.kernels)):
    band, lost = kernel_band(kernels)
    assert np.allclose(maps.sum(-1), 1, atol=1e-4) and np.allclose(band.sum(-1) + lost, 1, atol=1e-4)
    rows = [over_tokens(x, mask) for x in (
        mean_distance(maps), entropy(maps), local_mass(maps, K // 2), mean_distance(band),
        entropy(kernels).swapaxes(1, 2), lost)]
    for head, (a, b, c, d, e, f) in enumerate(zip(*rows)):
        print(f"{i:>3} {head:>5}   {a:>18.1f} {b:>8.1f} {c:>7.0%} {d:>24.1f} {e:>8.1f} {f:>9.0%}")
        assert d <= K // 2 and e <= np.log2(K) + 1e-4

# the baselines: even attention over the real tokens, even kernels
even_map = np.broadcast_to((mask / mask.sum(-1, keepdims=True))[:, None, None, :], seen.attentions[0].shape)
even_kernel = np.full(seen.kernels[0].shape, 1 / K)
even_band, even_lost = kernel_band(even_kernel)
a, b, c, d, e, f = (float(np.mean(over_tokens(x, mask))) for x in (
    mean_distance(even_map), entropy(even_map), local_mass(even_map, K // 2), mean_distance(even_band),
    entropy(even_kernel).swapaxes(1, 2), even_lost))
print(f"even        {a:>16.1f} {b:>8.1f} {c:>7.0%} {d:>24.1f} {e:>8.1f} {f:>9.0%}")
assert abs(e - np.log2(K)) < 1e-3

# %%
# alt: Mean distance and entropy of every head in every layer, attention beside convolution.
view.distances(out, tokens)

# %% [markdown]
# Where is the weight of the head whose kernels change most? Bars upward are attention, bars downward are the kernels.

# %%
# alt: Mean weight by distance to the left and right: bars upward for attention, downward for the kernels, which
#      end four tokens away.
view.profile(out, tokens)

# %% [markdown]
# ## One word, two kernels
#
# The word is the same, the words around it are not. The figure picks the layer and head in which the two kernels differ most.
# That is a deep layer, where a plain dynamic convolution would differ, too, because the query already knows the
# sentence. The proof that the *span* does it, in layer 0, is in 04.

# %%
# alt: The kernels of light in two sentences, over the words around it: they differ.
first, second = (view.look(model, tokenizer, sentences[i]) for i in (11, 9))
view.two_contexts(first, second, word="light")

# %% [markdown]
# How much do the neighbours matter, in all? Take all tokens of the sentences above. Kernels vary from token to token. One
# part of this variation is due to the word: *the* has other kernels than *river*. The rest is variation among tokens of
# the **same** word; it comes from their places and their neighbours. The numbers below are the share of this rest, for
# words that occur at least five times.
#
# In layer 0 we also measure a baseline: a dynamic convolution that is not span-based, made from the same weights with the
# mean span key in place of each token's own. Its kernels vary for the same word only because its *place* differs (the
# position is part of the query).

# %%
ids = batch["input_ids"][mask == 1]
common = [word for word, n in zip(*np.unique(ids, return_counts=True)) if n >= 5]
print(len(common), "words:", *tokenizer.convert_ids_to_tokens([int(word) for word in common]))
shares = []
for i, kernels in enumerate(seen.kernels):
    kernels = kernels[mask == 1]                        # (tokens, H, K)
    chosen = kernels[np.isin(ids, common)]
    within = sum(((kernels[ids == word] - kernels[ids == word].mean(0)) ** 2).sum((0, 2)) for word in common)
    share = within / ((chosen - chosen.mean(0)) ** 2).sum((0, 2))
    assert ((0 < share) & (share < 1)).all()
    shares.append(share)
    print(f"layer {i}:", "   ".join(f"head {h}: {s:.0%}" for h, s in enumerate(share)))

prefix = "encoder.layer.0.attention.self."
query, span_key = (seen.acts[f"{prefix}conv.{name}"][mask == 1] for name in ("query", "span_key"))
weight, bias = (model.params[f"{prefix}conv_kernel_layer.{kind}"] for kind in ("weight", "bias"))
kernels = softmax(linear(query * span_key.mean(0), weight, bias).reshape(len(query), -1, K))
chosen = kernels[np.isin(ids, common)]
within = sum(((kernels[ids == word] - kernels[ids == word].mean(0)) ** 2).sum((0, 2)) for word in common)
baseline = within / ((chosen - chosen.mean(0)) ** 2).sum((0, 2))
print("layer 0, not span-based:", "   ".join(f"head {h}: {s:.0%}" for h, s in enumerate(baseline)))
assert (baseline < shares[0]).all()

# %% [markdown]
# In layer 0 the span adds what lies above the baseline. (Deeper layers have no such baseline: there even the query knows
# the neighbours.)
#
# ## To play with
#
# `view.page` makes the same pictures as an interactive page in one file: point at a word to see its weights. If it is the
# last line of a cell, the notebook shows the page inline. (Here we look at its size only, because sites that show
# notebooks do not run scripts.)

# %%
page = view.page(*view.look(model, tokenizer, sentences[0]))
print(f"{len(page.html.encode()) / 1000:.0f} kB, nothing loaded from elsewhere")
assert "http://" not in page.html.replace("http://www.w3.org", "") and len(page.html.encode()) < 300_000

# %% [markdown]
# ## Exercises
#
# 1. Find the head with the largest mean distance of attention, and the one with the smallest. What do they look at?
#    (`view.matrix(seen.attentions[i][0, h], ...)`)
# 2. Find a head whose kernels are nearly the same for all tokens. By which plain convolution could it be replaced? Do
#    it, in a copy of the parameters: set `conv_kernel_layer.weight` to zero and its bias to the logarithm of the mean
#    kernel. How much do the hidden states change?
# 3. Write two sentences with a word of your own that has two meanings, and view its two kernels. Are they farther
#    apart than for a word that has one?
# 4. Kernels at the ends of a sentence put weight on zeros. Do they put less weight there than kernels in the middle put on
#    the same taps? How would you find out?
# 5. Attention scores of a head have rank `Dh` at most, so before the softmax an attention map cannot be an arbitrary matrix.
#    What can the rank of a band map be? Try `np.linalg.matrix_rank`.

# %% [markdown]
# <details><summary>Answers to the numbered questions</summary>
#
# 1. See the table: for the farthest head of attention, look at which columns are dark; often they are `[SEP]`,
#    `[CLS]` or the full stop.
# 2. The head of layer 2 that copies a neighbour is the best candidate. After the replacement the hidden states of
#    that layer hardly change.
# 3. It depends on the word. Compare with a word of one meaning at the same two places: its kernels differ, too,
#    because the neighbours do.
# 4. Take the mean weight on taps 0 to 3 of the first token, and the mean weight on the same taps of tokens in the
#    middle. But the first token is always `[CLS]`, so a fair comparison needs sentences that are cut off.
# 5. A band map can have full rank: the identity is one (all weight on the middle tap), and so is a shift but for its
#    ends.
#
# </details>
