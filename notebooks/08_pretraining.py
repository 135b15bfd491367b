# %% [markdown]
# # 08. Pretraining by replaced-token detection
#
# **Claim.** Nobody labels anything. Two models play: a small *generator* fills masked places with words that might
# stand there. The model itself, the *discriminator*, reads the result and says for **every** word whether it is the
# author's. It can only know by understanding the sentence. This is ELECTRA's objective, and ConvBERT takes it over.
#
# Letters: `B` sentences, `L` tokens, `V` words in the vocabulary, `N` places that were chosen.

# %%
import numpy as np

from minconvbert import default_model
from minconvbert.config import ConvBertConfig
from minconvbert.course import check
from minconvbert.electra import RowRandom, generator_config, mask_tokens, pretraining_loss, replace_tokens, sample_words
from minconvbert.faces import ConvBertForMaskedLM
from minconvbert.losses import binary_nll
from minconvbert.ops import softmax
from minconvbert.optim import adam_step, learning_rate
from minconvbert.pretrained import detect
from minconvbert.tokenizer import ConvBertTokenizerFast
from minconvbert.training.pretrain import evaluate, fresh_state, train_step
from minconvbert.training.recipes import PretrainingRecipe
from minconvbert.view.notebook import BLUE, ORANGE, picture, show

# %% [markdown]
# ## Choosing places
#
# Of a sentence of `n` real tokens, round(0.15·n) places are drawn, and at most 0.155·`L`. At 85% of them the word is
# hidden behind `[MASK]`; the rest keep it, so that the generator must look there too. Special tokens and padding are
# never drawn. They are drawn **with replacement**: a place can come up twice, and then counts twice.

# %%
show(mask_tokens)

# %%
folder = default_model()
tokenizer = ConvBertTokenizerFast.from_pretrained(folder)
text = "The old man who lived by the river sold his boat to the two brothers who came from the town every summer."
ids = tokenizer(text, return_tensors="np")["input_ids"]
real = np.ones_like(ids)
special = {name: getattr(tokenizer, f"{name}_token_id") for name in ("mask", "cls", "sep", "pad")}

def words(ids):
    return tokenizer.convert_ids_to_tokens([int(i) for i in np.ravel(ids)])

masked, places = mask_tokens(ids, real, RowRandom(seed=3, step=0, rows=[0]), special["mask"], list(special.values()))

n = int(real.sum())
assert len(places["labels"]) == min(round(0.15 * n), int(0.155 * n))
assert (ids[places["rows"], places["positions"]] == places["labels"]).all()
print(*words(masked))
print("to predict:", dict(zip(places["positions"].tolist(), words(places["labels"]))))

# %% [markdown]
# ## Drawing a word
#
# The generator gives a probability to every word of the vocabulary at each place. One word is drawn with these
# probabilities. The code does it by a trick: add to each logit a random number of a certain kind, and take the
# largest.
#
# That number is −log(−log u), with `u` uniform between 0 and 1. By hand, for logits (1, 0) and draws u = (0.3, 0.6):
# −log 0.3 = 1.204, −log 1.204 = −0.186; −log 0.6 = 0.511, −log 0.511 = 0.672. The sums are 0.814 and 0.672. The first
# word wins. In the long run the first word wins as often as its softmax says, e / (e + 1) = 73%.

# %%
u = np.array([0.3, 0.6])
assert (np.array([1, 0]) - np.log(-np.log(u))).argmax() == 0
show(sample_words)

# %%
logits = np.tile(np.array([2.0, 1.0, 0.5, 0.0, -1.0]), (20000, 1)).astype(np.float32)
drawn = sample_words(logits, dict(rows=np.zeros(20000, int)), RowRandom(seed=0, step=0, rows=[0]))
share, wanted = np.bincount(drawn, minlength=5) / 20000, softmax(logits[:1])[0]
assert np.abs(share - wanted).max() < 0.015
axis = picture(width=5)
axis.bar(np.arange(5) - 0.2, wanted, 0.38, color=BLUE, label="softmax of the logits")
axis.bar(np.arange(5) + 0.2, share, 0.38, color=ORANGE, label="share of 20,000 draws")
axis.set_xticks(range(5), [f"word {i}" for i in range(5)])
axis.legend()

# %% [markdown]
# ## What is replaced, and what is not
#
# The drawn words are put in their places. A word counts as replaced if it is **another** than the author's. A lucky
# guess is real. The draw is no function that one could differentiate, so no gradient goes from the discriminator back
# into the generator. The two do not play against each other; they only share the table of words.

# %%
show(replace_tokens)

# %%
generator = ConvBertForMaskedLM.from_pretrained(folder / "generator")
guesses = generator(masked).logits[0, places["positions"]]              # (N, V)
sampled = sample_words(guesses, places, RowRandom(seed=8, step=0, rows=[0]))
corrupted, replaced = replace_tokens(ids, places, sampled)
assert ((corrupted != ids) == (replaced == 1)).all()
for t in sorted(set(places["positions"])):
    verdict = "replaced" if replaced[0, t] else "the author's own word: real"
    print(f"{words(ids[0, t])[0]:>12} -> {words(corrupted[0, t])[0]:<12}", verdict)

# %% [markdown]
# ## The loss, by hand
#
# The discriminator gives each token one logit `z`. Large means *replaced*. As a probability it is 1 / (1 + e^−z).
# Take z = 2, that is 88%.
#
# * If the word was replaced: the loss is −log 0.881 = **0.127**.
# * If it was not: −log 0.119 = **2.127**.
#
# As one formula: log(1 + e^z) − z·(1 if replaced else 0). Its slope in `z` is the probability less the truth: −0.119
# or 0.881.
#
# Over a batch: the mean over all real tokens. To it comes the masked-word loss of the generator, over the chosen
# places. The sum is 1 × generator + 50 × discriminator; the discriminator's loss is small, for most words are real
# and easy.

# %%
z = np.array([2.0, 2.0])
assert np.allclose(binary_nll(z, np.array([1.0, 0.0])), [0.127, 2.127], atol=1e-3)
show(binary_nll, pretraining_loss)

# %% [markdown]
# ## The trained discriminator at work
#
# It reads a sentence with one word that does not belong. The bars say how likely it finds each word to be replaced.
# Left, *his* was replaced, right *pain*.

# %%
suspected = []
for axis, text in zip(picture(2, width=8, sharey=True), (
        "The doctor asked the patient about he pain.", "The doctor asked the patient about his moon.")):
    pieces, probs = detect(text, folder)
    axis.bar(range(len(pieces)), probs, color=ORANGE)
    axis.set_xticks(range(len(pieces)), pieces, rotation=45, ha="right")
    axis.set_ylim(0, 1)
    axis.set_title("probability that the word was replaced")
    suspected.append({piece for piece, prob in zip(pieces, probs) if prob > 0.4})
assert suspected == [{"he", "pain"}, set()]

# %% [markdown]
# *he pain* is no English. One of the two must be wrong, and it cannot know which. *his moon* breaks no law, it only
# makes no sense here, and that it does not see. A model this small has learned more of grammar than of the world.
#
# ## A whole pretraining, in seconds
#
# A language of a few words and one law: a noun in the plural takes a verb in the plural. *the dog sees a cat*, *the
# dogs see a cat*. We make two thousand sentences of it and pretrain a model of two layers from nothing.

# %%
rng = np.random.default_rng(0)
vocab = "[PAD] [UNK] [CLS] [SEP] [MASK] the a dog dogs cat cats bird birds sees see hears hear old small .".split()
number = {word: i for i, word in enumerate(vocab)}

def sentence():
    plural = rng.random() < 0.5
    noun = rng.choice(["dog", "cat", "bird"]) + "s" * plural
    verb = rng.choice(["see", "hear"]) + "s" * (not plural)
    adjective = list(rng.choice(["old", "small"], size=rng.integers(0, 3)))
    return ["[CLS]", "the", *adjective, noun, verb, "a", rng.choice(["dog", "cat", "bird"]), ".", "[SEP]"]

L = 12
rows = np.array([[number[w] for w in s] + [0] * (L - len(s)) for s in (sentence() for _ in range(2000))])
examples, held_out = rows[:1900], rows[1900:]
print(*(vocab[i] for i in rows[0]))

# %%
recipe = PretrainingRecipe(model={}, learning_rate=5e-3, batch_size=32, steps=200, warmup=20, generator_width=0.5, dropout=False)
cfg = ConvBertConfig(
    vocab_size=len(vocab), hidden_size=32, embedding_size=32, num_hidden_layers=2, num_attention_heads=4,
    intermediate_size=64, conv_kernel_size=5, max_position_embeddings=L, pad_token_id=0)
generator_cfg = generator_config(cfg, recipe.generator_width)
special = dict(mask=4, cls=2, sep=3, pad=0)
state = fresh_state(cfg, generator_cfg, recipe)
before = evaluate(state["params"], held_out, special, cfg, generator_cfg, recipe)
log = [train_step(state, examples, special, cfg, generator_cfg, recipe) for _ in range(recipe.steps)]
after = evaluate(state["params"], held_out, special, cfg, generator_cfg, recipe)
print("before:", {name: round(value, 3) for name, value in before.items()})
print("after: ", {name: round(value, 3) for name, value in after.items()})
assert after["masked_loss"] < before["masked_loss"] - 1 and after["auc"] > 0.75

# %% [markdown]
# `auc` is the chance that a replaced word gets a higher logit than a real one: 0.5 is guessing, 1 is perfect. It
# cannot become 1 here: *dog* for *cat* breaks no law, and nobody can see it. That the loss of the discriminator goes
# *up* at times is no fault: the generator gets better, and its words are harder to tell.

# %%
axes = picture(2, width=8)

def smooth(name):
    return np.convolve([entry[name] for entry in log], np.ones(10) / 10, "valid")

axes[0].plot(smooth("generator_loss"), color=BLUE)
axes[0].axhline(np.log(len(vocab)), color=BLUE, linewidth=0.8, linestyle=":")
axes[0].set(title="generator: masked-word loss (dotted: guessing)", xlabel="step", ylim=(0, None))
axes[1].plot(smooth("discriminator_loss"), color=ORANGE)
axes[1].set(title="discriminator: replaced-word loss", xlabel="step", ylim=(0, None))

# %% [markdown]
# The step itself: Adam, without the usual correction of its first steps, with a decay of the weights that is not part
# of the gradient. The rate rises for a while and falls to 0, and both at once. With a `decay_share` below 1 it stays
# where it is until the last steps. Such a run can be finished at any time: `pretrain --init-from` goes on from its state,
# with as many steps of decay as there is time for.

# %%
show(adam_step, learning_rate)

# %% [markdown]
# ## Exercises

# %%
def binary_cross_entropy_backward(dloss, logits, wanted):
    """-> dlogits (...) = sigmoid(logits) - wanted, over their number"""
    raise NotImplementedError("your turn")

check(binary_cross_entropy_backward, seed="your name")

# %%
def discriminator_backward(dlogits, acts, p, cfg):
    """-> dhidden (..., D), grads"""
    raise NotImplementedError("your turn")

check(discriminator_backward, seed="your name")

# %% [markdown]
# 1. A masked-word model learns from 15% of the words, the discriminator from all. Why could that matter?
# 2. What would happen with a perfect generator? And with one that draws words at random?
# 3. In the little language above, which replacements can the discriminator see, and which not? Estimate the best
#    `auc` from the counts of words.
# 4. The learning rate of step 0 is 0. So what does the first step change?
