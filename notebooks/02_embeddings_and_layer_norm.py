# %% [markdown]
# # 02. Embeddings and layer norm
#
# **Claim.** What enters the first layer is the sum of three rows of three tables, brought to mean 0 and variance 1.
# The model cannot see how large that sum was, nor where its middle lay. It sees only its shape.
#
# Letters used here: `B` sentences, `L` tokens in each, `E` numbers for a token.

# %%
import numpy as np

from minconvbert import default_model, view
from minconvbert.config import ConvBertConfig
from minconvbert.course import check
from minconvbert.faces import ConvBertModel
from minconvbert.inputs import model_inputs
from minconvbert.model import embeddings
from minconvbert.ops import embedding, embedding_backward, layer_norm, layer_norm_backward, standardize
from minconvbert.shapes import sub
from minconvbert.tokenizer import ConvBertTokenizerFast
from minconvbert.view.notebook import BLUE, ORANGE, picture, show

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
# (token type 0). Its three rows are
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
# 1. Its mean is (1 + 2 + 3 + 6) / 4 = **3**. Take it off: (−2, −1, 0, 3).
# 2. The mean of the squares, the variance, is (4 + 1 + 0 + 9) / 4 = **3.5**. Its root is 1.8708.
# 3. Divide: (−1.0690, −0.5345, 0, 1.6036). This has mean 0 and variance 1. It is called `normed` in the code.
# 4. Multiply by a learned weight and add a learned bias, one of each for each of the `E` places.
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
# `dims` at the head of a function is a statement about shapes that runs: it checks that the arrays have the axes that
# the string says, and hands back the sizes. `acts` is a dict of everything that was computed on the way. The backward
# pass will need it, and so will we: what backward needs is what one wants to look at.
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
# Add 100 to a row, or make it ten times as large. `normed` stays what it was.

# %%
row = np.array([[1.0, 2, 3, 6]])
normed, _ = standardize(row, 1e-12)
assert np.allclose(standardize(row + 100, 1e-12)[0], normed)
assert np.allclose(standardize(row * 10, 1e-12)[0], normed)

# %% [markdown]
# This tells the backward pass almost by itself. Let `dy` be the gradient of the loss with respect to the output: how
# much the loss grows for each unit that a number of the output grows. We want `dx`, the same for the input.
#
# Moving `x` along (1, 1, 1, 1) changes nothing. So `dx` can have no part along (1, 1, 1, 1). Moving `x` along
# `normed` only stretches the row, and changes nothing. So `dx` can have no part along `normed` either. Backward is:
# go back through the weight, take both parts out, and multiply by the factor that the row was multiplied with.

# %%
show(layer_norm_backward)

# %%
rng = np.random.default_rng(0)
x, dy = rng.normal(size=(2, 3, 8)), rng.normal(size=(2, 3, 8))
weight8, bias8 = rng.normal(1, 0.3, 8), rng.normal(size=8)
dx, dweight, dbias = layer_norm_backward(dy, x, weight8, 1e-12)
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
# In *the cat saw the dog* the row of *the* is read twice. If the loss asks for `dy[1]` at the first place and `dy[4]`
# at the second, the row gets **both, added**. Rows that were not read get nothing. This is the whole backward of a
# look-up.

# %%
ids = np.array([[0, 1, 2, 3, 1]])                       # the second word again at the end
dy = np.arange(20.0).reshape(1, 5, 4)
dtable = embedding_backward(dy, ids, word_table)
assert (dtable[1] == dy[0, 1] + dy[0, 4]).all()
dtable

# %% [markdown]
# ## What was learned
#
# The trained model has a row for each position. Rows that mean similar places point in similar directions. The
# picture shows the cosine of the angle between any two of the first 32: 1 where they point the same way. (Position 0 is
# like no other: `[CLS]` always stands there.)

# %%
folder = default_model()
model, tokenizer = ConvBertModel.from_pretrained(folder), ConvBertTokenizerFast.from_pretrained(folder)

def cosines(a, b):
    return (a / np.linalg.norm(a, axis=-1, keepdims=True)) @ (b / np.linalg.norm(b, axis=-1, keepdims=True)).T

positions = model.params["embeddings.position_embeddings.weight"][:32]
similar = cosines(positions, positions)
assert np.allclose(np.diag(similar), 1, atol=1e-5)
figure = view.matrix(np.maximum(similar, 0), title="positions 0 to 31: how alike are their rows?", highest=1)
figure.set_size_inches(5.6, 5)
figure

# %% [markdown]
# Words that are used alike have rows that point alike. The nearest neighbours of a few:

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
# The sums of a sentence have each its own size (the root of the mean square) and its own middle. After the norm all
# rows have the same size. The learned weight then stretches some of the places and not others; the picture shows
# `normed`, before it.

# %%
batch = tokenizer("The river rose slowly after three days of rain.", return_tensors="np")
out, acts = embeddings(model_inputs(model.config, batch["input_ids"]), sub(model.params, "embeddings"), model.config)
normed, _ = standardize(acts["total"], model.config.layer_norm_eps)
before, after = (np.sqrt((x[0] ** 2).mean(-1)) for x in (acts["total"], normed))
assert np.allclose(after, 1, atol=1e-3)
axes = picture(2, width=8)
for axis, sizes, colour, title in zip(axes, (before, after), (ORANGE, BLUE), ("word + position + type", "normed")):
    axis.bar(range(len(sizes)), sizes, color=colour)
    axis.set_xticks(range(len(sizes)), tokenizer.convert_ids_to_tokens(batch["input_ids"][0]), rotation=45, ha="right")
    axis.set_title(f"size of each token's row: {title}")

# %% [markdown]
# ## Exercises
#
# Each of these functions is checked against the package on fresh numbers drawn from your name. Replace the body, put
# your name in, and run the cell. If a line departs, `check` names it and gives a hint; `check(..., answer=True)`
# shows the package's line.

# %%
def embedding_backward(dy, ids, table, padding_idx=None):
    """-> dtable (V, E): each row is the sum of the dy of its occurrences; that of `padding_idx` stays zero."""
    raise NotImplementedError("your turn")

check(embedding_backward, seed="your name")

# %%
def layer_norm_backward(dy, x, weight, eps):
    """-> dx (..., D), dweight (D,), dbias (D,)

    Adding a constant to a row of x, or stretching the row, does not change `normed` (but for eps).
    So no gradient can flow along (1, ..., 1) or along `normed`: those two parts are taken out.
    """
    raise NotImplementedError("your turn")

check(layer_norm_backward, seed="your name")

# %% [markdown]
# 1. What does layer norm make of a row of `E = 2` numbers? Try a few. Why would a model of width 2 be no good?
# 2. Add the same vector to every row of the word table. Does the output change? And the same number to every entry of
#    one row?
# 3. The weights and biases of `LayerNorm` are shared by all positions. What is the shape of `dweight`, and over what
#    is it a sum?
# 4. The row of `[PAD]` gets no gradient from the look-up (`padding_idx`). In a masked-word model the same table is
#    also the output layer. Does its row get a gradient there? (07 has the answer.)
