# %% [markdown]
# # 07. The whole model, and its five heads
#
# **Claim.** The model is embeddings and a stack of layers, no more. It turns `(B, L)` token ids into `(B, L, D)`
# hidden states. A head turns hidden states into logits, one number for each answer that it may give. A loss turns
# logits and the right answer into one number. Everything that was computed on the way lies in one dict, and so do all
# gradients.
#
# Letters: `B` sentences, `L` tokens, `D` numbers for a token, `V` words in the vocabulary, `N` labels or choices.

# %%
import numpy as np

from minconvbert import default_model, view
from minconvbert.config import TASKS, ConvBertConfig, param_shapes
from minconvbert.course import check
from minconvbert.faces import ConvBertForMaskedLM, ConvBertModel
from minconvbert.heads import HEADS, masked_lm, sequence_classification, task_model, task_model_backward
from minconvbert.initialize import init_params
from minconvbert.inputs import model_inputs
from minconvbert.losses import cross_entropy, cross_entropy_backward
from minconvbert.model import convbert, encoder
from minconvbert.ops import softmax
from minconvbert.pretrained import fill_mask
from minconvbert.tokenizer import ConvBertTokenizerFast
from minconvbert.view.notebook import BLUE, picture, show

# %% [markdown]
# ## The model

# %%
show(convbert, encoder)

# %%
folder = default_model()
model, tokenizer = ConvBertModel.from_pretrained(folder), ConvBertTokenizerFast.from_pretrained(folder)
cfg = model.config
batch = tokenizer(["The bank of the river was steep.", "It rained."], padding=True, return_tensors="np")
out = model(batch["input_ids"], attention_mask=batch["attention_mask"], token_type_ids=batch["token_type_ids"])
print("ids", batch["input_ids"].shape, " hidden states", out.last_hidden_state.shape)
print(len(out.hidden_states), "hidden states,", len(out.attentions), "attention maps", out.attentions[0].shape,
      "and", len(out.kernels), "kernels", out.kernels[0].shape)

# %% [markdown]
# `ConvBertModel` is a thin face over the function `convbert`. The function gives the same numbers.

# %%
inputs = model_inputs(cfg, batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
hidden, acts = convbert(inputs, model.params, cfg)
assert np.array_equal(hidden, out.last_hidden_state)
print(len(acts), "arrays were computed; those of the first layer:")
print(*(name.removeprefix("encoder.layer.0.") for name in acts if name.startswith("encoder.layer.0.")), sep="   ")

# %% [markdown]
# Parameters, by name and shape, for one layer. All names are those of Hugging Face.

# %%
for name, shape in param_shapes(cfg).items():
    if ".layer." not in name or ".layer.0." in name:
        print(f"{name:<70} {str(shape):<16}")
total = sum(a.size for a in model.params.values())
assert total == sum(int(np.prod(shape)) for shape in param_shapes(cfg).values())
print(f"\n{total:,} numbers in all")

# %% [markdown]
# ## How far a token travels
#
# Each layer adds to the hidden state and norms it. The picture shows how much of its first direction (the embedding)
# each token still has after each layer: 1 is all, 0 is none.

# %%
text = "The bank of the river was steep, and the bank in the town was closed."
ids = tokenizer(text, return_tensors="np")["input_ids"]
states = np.stack(model(ids).hidden_states)[:, 0]       # (layers + 1, L, D)
unit = states / np.linalg.norm(states, axis=-1, keepdims=True)
kept = (unit * unit[0]).sum(-1)
assert np.allclose(kept[0], 1, atol=1e-5)
view.matrix(np.maximum(kept, 0), ["embedding", *(f"layer {i}" for i in range(cfg.num_hidden_layers))],
            tokenizer.convert_ids_to_tokens(ids[0]), "cosine with the embedding", highest=1)

# %% [markdown]
# ## Logits and a loss, by hand
#
# A head says three numbers, one for each of three labels: the logits (2, 1, 0). The right label is the first.
#
# 1. softmax: exp gives 7.389, 2.718, 1; the sum is 11.107; so **(0.665, 0.245, 0.090)**. Read it as probabilities.
# 2. The loss is −log of the right one: −log 0.665 = **0.408**. If the model were sure and right, it would be 0.
# 3. The gradient of the logits: probabilities, less 1 at the right label: **(−0.335, 0.245, 0.090)**. Push the right
#    one up, the others down, each by how wrong it is. The three sum to 0.
#
# Over several places the loss is the mean, so each gradient is divided by their number. A place with the label −100
# does not count.

# %%
logits, labels = np.array([[2.0, 1, 0]]), np.array([0])
loss, probs = cross_entropy(logits, labels)
assert np.allclose(probs[0], [0.665, 0.245, 0.090], atol=1e-3) and abs(loss - 0.408) < 1e-3
dlogits = cross_entropy_backward(1.0, probs, labels)
assert np.allclose(dlogits, probs - [[1, 0, 0]])
show(cross_entropy, cross_entropy_backward)

# %% [markdown]
# ## The five heads, and a sixth
#
# Each is a few lines on top of the hidden states. The sixth, `discriminator`, is that of pretraining (08). Hugging
# Face does not have it.
#
# | head | question | reads | logits |
# |---|---|---|---|
# | masked_lm | which word stands here? | every token | (B, L, V) |
# | sequence_classification | what kind of sentence? | the first token | (B, N) |
# | token_classification | what kind of word? | every token | (B, L, N) |
# | question_answering | where does the answer begin, and end? | every token | (B, L, 2) |
# | multiple_choice | how well does this choice fit? | the *last* token (10) | (B·N,) |
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
# A loss, its backward, the head's backward, the model's backward: gradients of all parameters, in a dict with the
# names of the parameters. Every parameter has one, and it has its parameter's shape.

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
_, grads = task_model_backward("token_classification", cross_entropy_backward(1.0, probs, labels), acts, p, small)
assert {n: g.shape for n, g in grads.items()} == {n: a.shape for n, a in p.items()}

direction, h = {name: rng.normal(size=a.shape) for name, a in p.items()}, 1e-5
ahead, behind = (loss_of({name: a + s * h * direction[name] for name, a in p.items()})[0] for s in (1, -1))
measured, predicted = (ahead - behind) / (2 * h), sum((grads[name] * direction[name]).sum() for name in p)
assert abs(measured - predicted) < 1e-6 * abs(measured)
print(f"all {len(p)} parameters moved at once: the loss changes by {measured:.9f} a step, predicted {predicted:.9f}")

# %% [markdown]
# ## A table that is read twice
#
# The masked-word head asks: which row of the *word table* is most like what I have here? Its last matrix **is** the
# table of the embeddings. So that table is used twice, and by the third rule of 06 its two gradients are added. The
# row of `[PAD]` gets nothing from the look-up, but something from the output.

# %%
show(masked_lm)

# %%
p = init_params(small, "masked_lm", np.random.default_rng(0), dtype=np.float64)
assert not any("lm_head.weight" in name for name in p)  # there is no second table
ids = np.array([[2, 7, 9, 0, 0]])                       # two tokens of padding
logits, acts = task_model("masked_lm", model_inputs(small, ids, (ids > 0).astype(int)), p, small)
_, probs = cross_entropy(logits, np.array([[-100, 8, -100, -100, -100]]))
dlogits = cross_entropy_backward(1.0, probs, np.array([[-100, 8, -100, -100, -100]]))
_, grads = task_model_backward("masked_lm", dlogits, acts, p, small)
dtable = grads["convbert.embeddings.word_embeddings.weight"]
assert np.abs(dtable[0]).max() > 0
print("[PAD]'s row gets", np.abs(dtable[0]).max().round(6), "from the output side")

# %% [markdown]
# ## Which word stands here?
#
# The generator of the pretraining is a small masked-word model. It was kept.

# %%
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
axis.set_title(text)

# %% [markdown]
# ## Exercises

# %%
def cross_entropy_backward(dloss, probs, labels, ignored=-100):
    """-> dlogits (..., V): probs less 1 at the label, so each row sums to zero"""
    raise NotImplementedError("your turn")

check(cross_entropy_backward, seed="your name")

# %%
def sequence_classification_backward(dlogits, acts, p, cfg):
    """-> dhidden (B, L, D), zero but for the first token; grads"""
    raise NotImplementedError("your turn")

check(sequence_classification_backward, seed="your name")

# %%
def layer_backward(dout, acts, p, cfg):
    """-> dx (B, L, D), grads"""
    raise NotImplementedError("your turn")

check(layer_backward, seed="your name")

# %% [markdown]
# 1. Three heads classify tokens or sentences with a linear map. How many weights has each, for `N` labels?
# 2. A fresh masked-word model knows nothing. What is its loss, nearly, for a vocabulary of 8192? (Take a logarithm.)
# 3. What is the gradient of the logits when the model is sure and right? And when it is sure and wrong?
# 4. Why may the classifier read the first token only, though the sentence has many?
