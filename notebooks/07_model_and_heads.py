# %% [markdown]
# # 07. The whole model, and its five heads
#
# **Claim.** The model is embeddings and a stack of layers, no more. It turns `(B, L)` token ids into `(B, L, D)`
# hidden states. A head turns hidden states into logits, one number for each answer that it may give. A loss turns
# logits and the right answer into one number. Everything that was computed on the way is in one dict, and all gradients
# are in another.
#
# After this notebook you can
# * say what the model returns, and from which tokens each head reads
# * compute a cross-entropy and its gradient by hand, and derive why it is that simple
# * write the backward pass of a loss, of a head and of a whole layer
#
# **Time**: about 90 minutes, exercises included. **Builds on**: 05, 06.
#
# **Papers**: [BERT](https://arxiv.org/abs/1810.04805) (Devlin and others, 2018),
# [ConvBERT](https://arxiv.org/abs/2008.02496) (Jiang and others, 2020).
# Letters: `B` sentences, `L` tokens, `D` numbers for a token, `V` words in the vocabulary, `N` labels
# or choices, `F` numbers inside the feed-forward layer.

# %%
import numpy as np

from minconvbert import activations, attention, default_model, losses, model, ops, shapes, view
from minconvbert.config import TASKS, ConvBertConfig, param_shapes
from minconvbert.course import check
from minconvbert.faces import ConvBertForMaskedLM, ConvBertModel
from minconvbert.faces.pretrained import fill_mask
from minconvbert.heads import HEADS, masked_lm, sequence_classification, task_model, task_model_backward
from minconvbert.initialize import init_params
from minconvbert.inputs import model_inputs
from minconvbert.losses import cross_entropy
from minconvbert.model import convbert, encoder
from minconvbert.ops import softmax
from minconvbert.tokenizer import ConvBertTokenizerFast
from minconvbert.view.notebook import BLUE, model_diagram, needs, picture, show

# %% [markdown]
# ## The model

# %%
# alt: The model. Three tables are added and normed; each layer is mixed attention and feed-forward, each with a sum and a
#      norm; a head turns the last hidden states into logits.
model_diagram()

# %%
show(convbert, encoder)

# %%
folder = default_model()
trained, tokenizer = ConvBertModel.from_pretrained(folder), ConvBertTokenizerFast.from_pretrained(folder)
cfg = trained.config
batch = tokenizer(["The bank of the river was steep.", "It rained."], padding=True, return_tensors="np")
out = trained(batch["input_ids"], attention_mask=batch["attention_mask"], token_type_ids=batch["token_type_ids"])
print("ids", batch["input_ids"].shape, " hidden states", out.last_hidden_state.shape)
print(len(out.hidden_states), "hidden states,", len(out.attentions), "attention maps", out.attentions[0].shape,
      "and", len(out.kernels), "kernels", out.kernels[0].shape)

# %% [markdown]
# The class `ConvBertModel` does nothing but call the function `convbert`. The function gives the same numbers.

# %%
inputs = model_inputs(cfg, batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
hidden, acts = convbert(inputs, trained.params, cfg)
assert np.array_equal(hidden, out.last_hidden_state)
print(len(acts), "arrays were computed; those of the first layer:")
print(*(name.removeprefix("encoder.layer.0.") for name in acts if name.startswith("encoder.layer.0.")), sep="   ")

# %% [markdown]
# Here are the parameters with their shapes, for the embeddings and one layer. All names are those of Hugging Face.

# %%
for name, shape in param_shapes(cfg).items():
    if ".layer." not in name or ".layer.0." in name:
        print(f"{name:<70} {str(shape):<16}")
total = sum(a.size for a in trained.params.values())
assert total == sum(int(np.prod(shape)) for shape in param_shapes(cfg).values())
print(f"\n{total:,} numbers in all")
assert sum(int(np.prod(shape)) for shape in param_shapes(ConvBertConfig()).values()) == 105_680_520
print("the base model has 105,680,520: 23,837,184 in the embeddings and 12 times 6,820,278 in its layers (05, question 5)")

# %% [markdown]
# ## How far a token travels
#
# Each layer adds to the hidden state and norms it. The picture shows how much of its first direction (that of the
# embedding) each token still has after each layer: the cosine, 1 for all and 0 for none. Negative cosines are drawn as 0.

# %%
# alt: A matrix: rows are the embeddings and the states after each layer, columns are tokens. It is dark in the
#      first row and fades downward.
text = "The bank of the river was steep, and the bank in the town was closed."
ids = tokenizer(text, return_tensors="np")["input_ids"]
states = np.stack(trained(ids).hidden_states)[:, 0]       # (layers + 1, L, D)
unit = states / np.linalg.norm(states, axis=-1, keepdims=True)
kept = (unit * unit[0]).sum(-1)
assert np.allclose(kept[0], 1, atol=1e-5)
view.matrix(np.maximum(kept, 0), ["embeddings", *(f"after layer {i}" for i in range(cfg.num_hidden_layers))],
            tokenizer.convert_ids_to_tokens(ids[0]), "cosine with the embedding (negative as 0)", highest=1)

# %% [markdown]
# ## Logits and a loss, by hand
#
# A head gives three numbers, one for each of three labels: the logits (2, 1, 0). The right label is the first.
#
# 1. Softmax: exp gives 7.389, 2.718, 1; their sum is 11.107; so the result is **(0.665, 0.245, 0.090)**. Read these as
#    probabilities.
# 2. The loss is −log of the right one: −log 0.665 = **0.408**. It would be 0 if the model were sure and right.
# 3. The gradient of the logits is the probabilities, minus 1 at the right label: **(−0.335, 0.245, 0.090)**. A step
#    against it raises the right logit and lowers each other one in proportion to its probability. The three sum to 0.
#
# Why so simple? The slope of −log p at the right label r is −1/p_r, and 0 elsewhere. Rule 4 of 06 takes that through the
# softmax: dzᵢ = pᵢ (dpᵢ − Σ p dp), and Σ p dp = p_r · (−1/p_r) = −1. So dzᵢ = pᵢ (0 + 1) = pᵢ for a wrong label, and
# p_r (−1/p_r + 1) = p_r − 1 for the right one.
#
# Over several places the loss is the mean, so each gradient is divided by their number. A place with the label −100
# does not count. If all labels are −100, the loss is a mean over nothing, so it is nan, and all gradients are exactly 0.
# (A loss of 0 would look like a perfect answer.)

# %%
logits, labels = np.array([[2.0, 1, 0]]), np.array([0])
loss, probs = cross_entropy(logits, labels)
assert np.allclose(probs[0], [0.665, 0.245, 0.090], atol=1e-3) and abs(loss - 0.408) < 1e-3
dlogits = losses.cross_entropy_backward(1.0, probs, labels)
assert np.allclose(dlogits, probs - [[1, 0, 0]])
nothing = np.array([-100])
assert np.isnan(cross_entropy(logits, nothing)[0]) and not losses.cross_entropy_backward(1.0, probs, nothing).any()
show(cross_entropy)
show(losses.cross_entropy_backward, losses.negative_log_likelihood_backward,
     fold="The source of the backward pass: write it yourself first, in the first exercise below")

# %% [markdown]
# ## The five heads, and a sixth
#
# Each head is a few lines on top of the hidden states. The sixth, `discriminator`, is for pretraining (08); Hugging Face
# does not have it.
#
# | head | question | reads | logits |
# |---|---|---|---|
# | masked_lm | which word stands here? | every token | (B, L, V) |
# | sequence_classification | what kind of sentence? | the first token | (B, N) |
# | token_classification | what kind of word? | every token | (B, L, N) |
# | question_answering | where does the answer begin, and end? | every token | (B, L, 2) |
# | multiple_choice | how well does this choice fit? | the *last* token (see 10) | (B·N,) |
# | discriminator | was this word replaced? | every token | (B, L) |

# %%
small = ConvBertConfig(vocab_size=50, hidden_size=16, embedding_size=16, num_hidden_layers=2, num_attention_heads=4,
                       intermediate_size=32, conv_kernel_size=5, pad_token_id=0, num_labels=2)
small_ids = np.random.default_rng(0).integers(5, 50, (4, 7))            # (B, L)
wanted = {"masked_lm": (4, 7, 50), "sequence_classification": (4, 2), "token_classification": (4, 7, 2),
          "question_answering": (4, 7, 2), "multiple_choice": (4,), "discriminator": (4, 7)}
assert set(wanted) == set(TASKS) == set(HEADS)
for task, shape in wanted.items():
    logits, _ = task_model(task, model_inputs(small, small_ids), init_params(small, task), small)
    assert logits.shape == shape
    print(f"{task:<26} {logits.shape}")
show(sequence_classification)

# %% [markdown]
# ## From the loss to every parameter
#
# A head goes back as it came. For `sequence_classification`, whose forward is above: the second linear map gives
# ddropped = dlogits · out_proj (rule 1 of 06), and dout_proj = dlogitsᵀ · dropped; the mask of the dropout multiplies
# once more; the activation multiplies by its slope, ddense = dactive · act′(dense); the first map gives dfirst = ddense ·
# W, and the first mask multiplies. What comes out belongs to the first token. **The other tokens were not read, so
# their gradient is 0.**
#
# The backward passes of the loss, the head and the model, one after the other, give the gradients of all parameters, in a
# dict with the parameters' names. Every parameter has a gradient, of its own shape.

# %%
show(task_model, task_model_backward)

# %%
rng = np.random.default_rng(0)
p = init_params(small, "token_classification", rng, dtype=np.float64)
labels = rng.integers(0, 2, (4, 7))

def loss_of(p):
    logits, acts = task_model("token_classification", model_inputs(small, small_ids), p, small)
    loss, probs = cross_entropy(logits, labels)
    return loss, (acts, probs)

loss, (acts, probs) = loss_of(p)
_, grads = task_model_backward("token_classification", losses.cross_entropy_backward(1.0, probs, labels), acts, p, small)
assert {n: g.shape for n, g in grads.items()} == {n: a.shape for n, a in p.items()}

direction, h = {name: rng.normal(size=a.shape) for name, a in p.items()}, 1e-5
ahead, behind = (loss_of({name: a + s * h * direction[name] for name, a in p.items()})[0] for s in (1, -1))
measured, predicted = (ahead - behind) / (2 * h), sum((grads[name] * direction[name]).sum() for name in p)
assert abs(measured - predicted) < 1e-6 * abs(measured)
print(f"all {len(p)} parameters moved at once: the loss changes by {measured:.9f} a step, predicted {predicted:.9f}")

# %% [markdown]
# ## A table that is read twice
#
# The masked-word head asks which row of the *word table* is most like the hidden state. Its last matrix **is** the table of
# the embeddings. So that table is used twice, and by the third rule of 06 its two gradients are added. The row of `[PAD]`
# gets nothing from the look-up, but something from the output.

# %%
show(masked_lm)

# %%
p = init_params(small, "masked_lm", np.random.default_rng(0), dtype=np.float64)
assert not any("lm_head.weight" in name for name in p)  # there is no second table
ids = np.array([[2, 7, 9, 0, 0]])                       # two tokens of padding
logits, acts = task_model("masked_lm", model_inputs(small, ids, (ids > 0).astype(int)), p, small)
_, probs = cross_entropy(logits, np.array([[-100, 8, -100, -100, -100]]))
dlogits = losses.cross_entropy_backward(1.0, probs, np.array([[-100, 8, -100, -100, -100]]))
_, grads = task_model_backward("masked_lm", dlogits, acts, p, small)
dtable = grads["convbert.embeddings.word_embeddings.weight"]
assert np.abs(dtable[0]).max() > 0
print("[PAD]'s row gets", np.abs(dtable[0]).max().round(6), "from the output side")

# %% [markdown]
# ## Which word stands here?
#
# The generator of the pretraining (08) is a small masked-word model, and it ships with the weights.

# %%
# alt: Horizontal bars: the ten likeliest words for the mask and their probabilities.
generator = ConvBertForMaskedLM.from_pretrained(folder / "generator")
text = "She opened the [MASK] and looked out into the garden."
ids = tokenizer(text, return_tensors="np")["input_ids"]
place = int((ids[0] == tokenizer.mask_token_id).argmax())
probs = softmax(generator(ids).logits[0, place])
best = np.argsort(-probs)[:10]
assert fill_mask(text, folder, top=1)[0][0][0] == tokenizer.convert_ids_to_tokens(int(best[0]))
axis = picture(width=5, height=2.8)
axis.barh(range(10), probs[best], color=BLUE)
axis.set_yticks(range(10), [tokenizer.convert_ids_to_tokens(int(i)) for i in best])
axis.invert_yaxis()
axis.set(title=text, xlabel="probability")

# %% [markdown]
# ## Exercises
#
# These exercises call functions of the package. Here are those that no notebook has shown, with their shapes. (In the
# last exercise, use the names of `layer` in 05.)

# %%
needs(model.project_add_norm_backward, model.feed_forward_backward, attention.mixed_attention_backward,
      activations.activate_backward, ops.dropout, ops.linear_backward, shapes.sub, shapes.under)

# %%
# Difficulty 3 of 5, about 15 minutes. You may call: softmax.
def cross_entropy_backward(dloss, probs, labels, ignored=-100):
    """-> dlogits (..., V): each row sums to zero, and a row whose label is `ignored` is all zeros"""
    raise NotImplementedError("your turn")

check(cross_entropy_backward, seed="your name")

# %%
# Difficulty 3 of 5, about 20 minutes. You may call: linear_backward, activate_backward, dropout.
def sequence_classification_backward(dlogits, acts, p, cfg):
    """-> dhidden (B, L, D), zero but for the first token; grads"""
    raise NotImplementedError("your turn")

check(sequence_classification_backward, seed="your name")

# %%
# Difficulty 4 of 5, about 30 minutes. You may call: mixed_attention_backward, project_add_norm_backward,
# feed_forward_backward.
def layer_backward(dout, acts, p, cfg):
    """-> dx (B, L, D), grads"""
    raise NotImplementedError("your turn")

check(layer_backward, seed="your name")

# %% [markdown]
# 1. How many weights have the heads `sequence_classification`, `token_classification` and `question_answering`, for `N`
#    labels?
# 2. A fresh masked-word model knows nothing. What is its loss, approximately, for a vocabulary of 8192 words?
# 3. What is the gradient of the logits when the model is sure and right? And when it is sure and wrong?
# 4. Why may the classifier read the first token only, though the sentence has many?

# %% [markdown]
# <details><summary>Answers to the numbered questions</summary>
#
# 1. sequence_classification: D·D + D + N·D + N; token_classification: N·D + N; question_answering: 2·D + 2.
# 2. All words are equally likely: log 8192 = 9.01.
# 3. Sure and right: 0 everywhere, nothing to learn. Sure and wrong: −1 at the right label, +1 at the wrong one, as
#    large as it can get.
# 4. Attention has carried what matters to the first token: it can look at all others in every layer, and training
#    makes it gather what the head needs.
#
# </details>
