# %% [markdown]
# # 02. Embeddings and layer norm
#
# **Claim.** What enters the first layer is the sum of three rows of three tables, brought to mean 0 and variance 1.
# The model cannot see how large the sum was, or what its mean was. It sees only its shape.
#
# After this notebook you can
# * say what enters the first layer of the model
# * compute a layer norm and its gradient by hand, and say why the gradient has this form
# * write the backward pass of a look-up and of a layer norm
#
# **Time**: about 60 minutes, exercises included. **Builds on**: 01; a little linear algebra.
#
# **Papers**: [BERT](https://arxiv.org/abs/1810.04805) (Devlin and others, 2018), [Layer
# Normalization](https://arxiv.org/abs/1607.06450) (Ba and others, 2016).
# Letters used here: `B` sentences, `L` tokens in each, `E` numbers for a token.

# %%
import numpy as np

from minconvbert import default_model, ops, view
from minconvbert.config import ConvBertConfig
from minconvbert.course import check
from minconvbert.faces import ConvBertModel
from minconvbert.inputs import model_inputs
from minconvbert.model import embeddings
from minconvbert.ops import embedding, layer_norm, standardize
from minconvbert.shapes import sub
from minconvbert.tokenizer import ConvBertTokenizerFast
from minconvbert.view.notebook import BLUE, picture, show

# %% [markdown]
# ## Three rows, by hand
#
# A table has one row for each word of the vocabulary. To look a word up is to take its row: nothing is computed. Here
# is a vocabulary of four words, with `E = 4` numbers each.

# %%
words = ["[CLS]", "the", "cat", "sat"]
word_table = np.array([[1.0, 0, 0, 0], [0, 2, 0, 0], [1, 1, 1, 3], [0, 0, 5, 1]])
position_table = np.array([[0.0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 2, 3], [1, 1, 1, 1]])
type_table = np.array([[0.0, 0, 0, 0], [9, 9, 9, 9]])

# %% [markdown]
# The sentence is *[CLS] the cat sat*. Take its third token, *cat*, at position 2, in the first part of the input
# (token type 0). These are its three rows and their sum:
#
# | | | | | |
# |---|---|---|---|---|
# | word *cat* | 1 | 1 | 1 | 3 |
# | position 2 | 0 | 1 | 2 | 3 |
# | token type 0 | 0 | 0 | 0 | 0 |
# | **sum** | **1** | **2** | **3** | **6** |
#
# The table of positions is how the model knows the order of words. The table of types is how it knows the first
# sentence of a pair from the second. Both are learned, like the words.

# %%
ids = np.array([[0, 1, 2, 3]])                          # (B, L) = (1, 4)
total = embedding(ids, word_table) + embedding(np.array([[0, 1, 2, 3]]), position_table)
total = total + embedding(np.zeros((1, 4), int), type_table)
by_hand = np.array([1.0, 2, 3, 6])
assert (total[0, 2] == by_hand).all()
total[0]

# %% [markdown]
# ## Layer norm, by hand
#
# Take the sum of *cat*, `(1, 2, 3, 6)`.
#
# 1. Its mean is (1 + 2 + 3 + 6) / 4 = **3**. Subtract it: (−2, −1, 0, 3).
# 2. The mean of the squares, the variance, is (4 + 1 + 0 + 9) / 4 = **3.5**. Its root is 1.8708.
# 3. Divide: (−1.0690, −0.5345, 0, 1.6036). This has mean 0 and variance 1. It is called `normed` in the code.
# 4. Multiply by a learned weight and add a learned bias. Each of the `E` places has a weight and a bias of its own.
#
# A tiny number `eps` is added to the variance, so that a row of equal numbers does not divide by zero. ConvBERT takes
# 1e-12.

# %%
weight, bias = np.array([1.0, 2, 1, 1]), np.array([0.0, 0, 0.5, 0])
by_hand = (np.array([-2.0, -1, 0, 3]) / 3.5**0.5) * weight + bias
by_hand.round(4)

# %% [markdown]
# ## The functions

# %%
show(embedding, layer_norm, standardize, embeddings)

# %% [markdown]
# Two habits of this code. `dims` in the first line of a function states shapes, and the statement runs: it checks that
# the arrays have the axes that the string names, and returns the sizes. And a block returns, beside its result, `acts`:
# a dict of what it computed on the way. The backward pass reads it, and so do all our pictures. (`row_sum` is a fast sum
# over the last axis. `rng` and `dropout` are for training only: with a random generator, some numbers are zeroed.)
#
# ## They agree

# %%
assert np.allclose(layer_norm(total, weight, bias, eps=1e-12)[0, 2], by_hand, atol=1e-12)

# the whole block, on the same numbers
cfg = ConvBertConfig(
    vocab_size=4, hidden_size=4, embedding_size=4, num_attention_heads=2, max_position_embeddings=4, type_vocab_size=2)
p = {"word_embeddings.weight": word_table, "position_embeddings.weight": position_table,
     "token_type_embeddings.weight": type_table, "LayerNorm.weight": weight, "LayerNorm.bias": bias}
out, acts = embeddings(model_inputs(cfg, ids), p, cfg)
assert np.allclose(out[0, 2], by_hand, atol=1e-12)
print({name: a.shape for name, a in acts.items()})

# %% [markdown]
# ## What a norm cannot see
#
# Add 100 to a row, or make it ten times as large. `normed` does not change.

# %%
row = np.array([[1.0, 2, 3, 6]])
normed, _ = standardize(row, 1e-12)
assert np.allclose(standardize(row + 100, 1e-12)[0], normed)
assert np.allclose(standardize(row * 10, 1e-12)[0], normed)

# %% [markdown]
# From this the backward pass follows. Let `dy` be the gradient of the loss with respect to the output: how much the
# loss grows for each unit that a number of the output grows. We want `dx`, the same for the input.
#
# 1. The weight multiplied `normed`. So `dnormed = dy * weight`.
# 2. Moving `x` along (1, 1, 1, 1) changes nothing, so `dx` has no part along (1, 1, 1, 1). The part of `dnormed`
#    along it is the vector with mean(`dnormed`) in every place. Subtract it.
# 3. Moving `x` along `normed` only stretches the row and changes nothing, so `dx` has no part along `normed`. The
#    part of `dnormed` along it is `mean(dnormed * normed) * normed`. Subtract it.
# 4. Everything else passes unchanged, but for one factor. Why? Take a small step `v` that is orthogonal to both
#    directions. Then `x + v` has the same mean as `x`. It has the same variance, too: the variance changes by 2
#    mean(centred · v) = 0 and by mean(v²), which is of second order. So the norm subtracts the same mean and
#    multiplies by the same `rstd` = 1 / sqrt(variance + eps): `normed` moves by exactly `rstd * v`. Multiply by
#    `rstd`.
#
# In one line: **dx = rstd · (dnormed − mean(dnormed) − normed · mean(dnormed · normed))**. The Jacobian of the norm
# is a projection, times `rstd`. Going back multiplies by the transposed Jacobian. This one is symmetric, so
# the same matrix does. (With `eps`, stretching a row does move `normed` a little: by a share eps / (variance + eps) of
# the stretch, because `rstd` shrinks by only variance / (variance + eps) of it. The formula leaves exactly that share,
# because mean(normed²) = variance / (variance + eps): of `normed` itself, normed · (1 − mean(normed²)) remains. So it is
# exact with `eps`, too, although the Jacobian is then no longer quite a projection.)
#
# By hand: the row (1, 2, 3, 6) again, weight 1, `dy` = (1, 0, 0, 0). The mean is ¼, so (¾, −¼, −¼, −¼) remains.
# `normed` is (−1.0690, −0.5345, 0, 1.6036), and mean(dy · normed) = −0.2673. Minus −0.2673 · normed: (0.4643,
# −0.3929, −0.25, 0.1786). Times rstd = 1 / 1.8708: **(0.2482, −0.2100, −0.1336, 0.0955)**. The four sum to 0.

# %%
by_hand = np.array([0.2482, -0.2100, -0.1336, 0.0955])
dx, _, _ = ops.layer_norm_backward(np.array([[1.0, 0, 0, 0]]), np.array([[1.0, 2, 3, 6]]), np.ones(4), 1e-12)
assert np.allclose(dx[0], by_hand, atol=1e-4)

# %%
show(ops.layer_norm_backward, fold="The source: write it yourself first, in the second exercise below")

# %%
rng = np.random.default_rng(0)
x, dy = rng.normal(size=(2, 3, 8)), rng.normal(size=(2, 3, 8))
weight8, bias8 = rng.normal(1, 0.3, 8), rng.normal(size=8)
dx, dweight, dbias = ops.layer_norm_backward(dy, x, weight8, 1e-12)
normed, _ = standardize(x, 1e-12)
assert np.abs(dx.sum(-1)).max() < 1e-12                 # nothing along (1, ..., 1)
assert np.abs((dx * normed).sum(-1)).max() < 1e-9       # nothing along normed, but for eps

# and a nudge of x in some direction moves the loss by what dx says
def loss(x):
    return (layer_norm(x, weight8, bias8, 1e-12) * dy).sum()

direction, h = rng.normal(size=x.shape), 1e-6
measured = (loss(x + h * direction) - loss(x - h * direction)) / (2 * h)
predicted = (dx * direction).sum()
assert abs(measured - predicted) < 1e-7 * abs(predicted)
print(f"measured {measured:.9f}   predicted {predicted:.9f}")

# %% [markdown]
# ## A word that occurs twice
#
# In the ids below, the second word is read twice: at places 1 and 4. Its row gets the gradients of both places, **added**.
# Rows that were not read get zero. This is the whole backward pass of a look-up. (The row of `padding_idx`, which stands
# for no word, gets zero by decree.)

# %%
ids = np.array([[0, 1, 2, 3, 1]])                       # the second word again at the end
dy = np.arange(20.0).reshape(1, 5, 4)
dtable = ops.embedding_backward(dy, ids, word_table)
assert (dtable[1] == dy[0, 1] + dy[0, 4]).all()
dtable

# %% [markdown]
# ## What was learned
#
# The trained model has a row for each position. The picture shows the cosine of the angle between the rows of any two of
# the first 32 positions. It is 1 on the diagonal. Beside the diagonal there is a faint band: neighbouring positions have
# rows that point in similar directions. Negative cosines are drawn as 0. (Position 0 is like no other, because `[CLS]`
# always stands there.)

# %%
# alt: A square of 32 by 32 cosines: dark on the diagonal, a faint band beside it, pale elsewhere.
folder = default_model()
model, tokenizer = ConvBertModel.from_pretrained(folder), ConvBertTokenizerFast.from_pretrained(folder)

def cosines(a, b):
    return (a / np.linalg.norm(a, axis=-1, keepdims=True)) @ (b / np.linalg.norm(b, axis=-1, keepdims=True)).T

positions = model.params["embeddings.position_embeddings.weight"][:32]
similar = cosines(positions, positions)
assert np.allclose(np.diag(similar), 1, atol=1e-5)
labels = [str(i) if i % 4 == 0 else "" for i in range(32)]
figure = view.matrix(np.maximum(similar, 0), labels, labels, "cosine of two positions' rows (negative as 0)", highest=1)
figure.set_size_inches(5.6, 5)
figure

# %% [markdown]
# Words that are used in similar ways have rows that point in similar directions. Here are the nearest neighbours of a few
# words:

# %%
table = model.params["embeddings.word_embeddings.weight"]
names = tokenizer.convert_ids_to_tokens(range(len(table)))
for word in ("river", "three", "could", "king", "##ing"):
    here = tokenizer.convert_tokens_to_ids(word)
    nearest = np.argsort(-cosines(table[here : here + 1], table)[0])[:7]
    assert nearest[0] == here                           # nothing is nearer to a row than itself
    print(f"{word:>8}:", ", ".join(names[i] for i in nearest[1:]))

# %% [markdown]
# ## Before and after
#
# Each token's sum has a size of its own (the root of its mean square) and a mean of its own. After the norm all rows
# have size 1, by construction, and mean 0. So we draw what goes in only: the norm removes these differences.

# %%
# alt: Bars: the size of each token's sum before the norm. The sizes differ from token to token.
batch = tokenizer("The river rose slowly after three days of rain.", return_tensors="np")
out, acts = embeddings(model_inputs(model.config, batch["input_ids"]), sub(model.params, "embeddings"), model.config)
normed, _ = standardize(acts["total"], model.config.layer_norm_eps)
before, after = (np.sqrt((x[0] ** 2).mean(-1)) for x in (acts["total"], normed))
assert np.allclose(after, 1, atol=1e-3) and np.ptp(before) > 0.01
axis = picture(width=6)
axis.bar(range(len(before)), before, color=BLUE)
axis.set_xticks(range(len(before)), tokenizer.convert_ids_to_tokens(batch["input_ids"][0]), rotation=45, ha="right")
axis.set(title="size of word + position + type, before the norm", ylabel="root of the mean square")

# %% [markdown]
# ## Exercises
#
# `check` compares each of these functions with the package's, on numbers that it draws from the seed. Replace the body,
# put your name in as the seed, and run the cell. If something is wrong, `check` names the first of your lines that
# departs and gives a hint; `check(..., answer=True)` also shows the package's line.

# %%
# Difficulty 3 of 5, about 15 minutes. You may call: embedding.
def embedding_backward(dy, ids, table, padding_idx=None):
    """-> dtable (V, E): each row sums dy over the places of its id; that of `padding_idx` stays zero."""
    raise NotImplementedError("your turn")

check(embedding_backward, seed="your name")

# %%
# Difficulty 4 of 5, about 30 minutes. You may call: layer_norm.
def layer_norm_backward(dy, x, weight, eps):
    """-> dx (..., D), dweight (D,), dbias (D,)

    Adding a constant to a row of x, or stretching the row, does not change `normed` (but for eps).
    So no gradient can flow along (1, ..., 1) or along `normed`: those two parts are taken out.
    """
    raise NotImplementedError("your turn")

check(layer_norm_backward, seed="your name")

# %% [markdown]
# 1. What does layer norm make of a row of `E = 2` numbers? Try a few. Why would a model of width 2 learn nothing?
# 2. Add the same vector to every row of the word table. Does the output change? Now add the same number to
#    every entry of one row. Does it change now?
# 3. The weights and biases of `LayerNorm` are shared by all positions. What is the shape of `dweight`, and which axes
#    does it sum over?
# 4. The row of `[PAD]` gets no gradient from the look-up (`padding_idx`). In a masked-word model the same table is
#    also the output layer. Does its row get a gradient there? (07 has the answer.)

# %% [markdown]
# <details><summary>Answers to the numbered questions</summary>
#
# 1. (a, b) becomes (−1, 1) or (1, −1), whatever a and b are (unless they are equal). So a row would carry one bit.
# 2. Yes: the added vector is not the same number in all places, so it changes the shape. Adding one number to every
#    entry of one row changes nothing for that word: the mean is subtracted.
# 3. `(E,)`. It is a sum over all sentences and all tokens, because all of them read the same weight.
# 4. Yes. As output layer, its row is the weight of the logit of `[PAD]`, and softmax gives every logit a gradient. 07
#    measures it.
#
# </details>
