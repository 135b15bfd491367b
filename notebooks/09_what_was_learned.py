# %% [markdown]
# # 09. What was learned: kernels against attention maps
#
# **Claim.** A convolution with kernels of its own for every token *is* an attention map, one that is zero away from
# the diagonal. So kernels and maps can be drawn on the same axes, and measured by the same rule. The one thing that
# differs is where the weight may lie.
#
# Letters: `B` sentences, `L` tokens, `H` heads of one kind, `K` taps of a kernel.

# %%
import numpy as np

from minconvbert import default_model, view
from minconvbert.conv import dynamic_conv
from minconvbert.faces import ConvBertModel
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
# ## One sentence, one word

# %%
folder = default_model()
model, tokenizer = ConvBertModel.from_pretrained(folder), ConvBertTokenizerFast.from_pretrained(folder)
K = model.config.conv_kernel_size
out, tokens = view.look(model, tokenizer, "The old man who lived by the river sold his boat to the two brothers.")
view.one_token(out, tokens, token="sold")

# %% [markdown]
# One head of each kind, on the same axes, in the same colours. Left, a token may look anywhere. Right, it may look `K
# // 2` tokens to each side. Hatched is what lies outside the sentence.

# %%
view.side_by_side(out, tokens)

# %% [markdown]
# All layers and heads at a glance. Look for kernels that are the same for all tokens (straight stripes: such a head
# could be a plain convolution) and for kernels that change from word to word (broken stripes: here the dynamic part
# earns its keep).

# %%
view.all_heads(out, tokens)

# %% [markdown]
# ## In numbers
#
# Four measures, the same for maps and kernels:
#
# * **mean distance**: how many tokens away the weight lies, on average;
# * **entropy**, in bits: 0 if all weight is on one token, 1 if evenly on two, 2 on four;
# * **local mass**: the share within `K // 2` tokens;
# * **mass by offset**: the mean weight at each distance, left and right.

# %%
show(mean_distance, entropy, local_mass, mass_by_offset)

# %% [markdown]
# One sentence is an anecdote. So here are some more, of different kinds, and each figure below is a mean over all
# their tokens. (They are few, and the model is small. Read the numbers as a description of these heads on these
# sentences, not as a law.)

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

# %%
view.distances(out, tokens)

# %% [markdown]
# Where the weight lies, for the head whose kernels change most. Bars upward are attention, bars downward the kernels.

# %%
view.profile(out, tokens)

# %% [markdown]
# ## One word, two kernels
#
# This is what *span-based* is for. The word is the same, the words around it are not.

# %%
first, second = (view.look(model, tokenizer, sentences[i]) for i in (11, 9))
view.two_contexts(*first, *second, word="light")

# %% [markdown]
# How much does the company matter, in all? Take all tokens of the sentences above. Kernels vary from token to token.
# Part of this variation is due to the word: *the* has other kernels than *river*. The rest is variation among tokens
# of the **same** word, and comes from place and company. The share of that rest, in words that occur at least five
# times:

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

# %% [markdown]
# A dynamic convolution that is not span-based would show 0% in the first layer, but for the place of the word: its
# kernel depends on the token alone.
#
# ## To play with
#
# The same pictures as a page, in one file, that answers when a word is touched. In a notebook the last line of a cell
# shows it inline. (Here we only look at its size, for pages that show notebooks do not run scripts.)

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
# 3. Write two sentences with a word of your own that has two meanings, and view its two kernels. Are they further
#    apart than for a word that has one?
# 4. Kernels at the ends of a sentence put weight on zeros. Do they put less there than they would if the sentence
#    went on? How would you find out?
# 5. An attention map of rank `r` ... what is the rank of a band map? Try `np.linalg.matrix_rank`.
