# %% [markdown]
# # 08. Pretraining by replaced-token detection
#
# **Claim.** Pretraining needs text and no labels. Two models work together: a small *generator* fills masked places with
# words that fit there. The model itself, the *discriminator*, reads the result and says for **every** word whether it is
# the author's or the generator's. The better it knows the language, the better it can tell. This is ELECTRA's objective,
# and ConvBERT takes it over.
#
# After this notebook you can
# * follow a sentence through masking, drawing and replacing
# * prove that Gumbel noise draws from the softmax
# * compute both losses by hand, and say why one has the weight 50 and why the generator is small
# * do two steps of Adam by hand
#
# **Time**: about 75 minutes, exercises included. **Builds on**: 06, 07.
#
# **Papers**: [ELECTRA](https://arxiv.org/abs/2003.10555) (Clark and others, 2020),
# [ConvBERT](https://arxiv.org/abs/2008.02496) (Jiang and others, 2020), [Adam](https://arxiv.org/abs/1412.6980)
# (Kingma and Ba, 2014), [Decoupled Weight Decay](https://arxiv.org/abs/1711.05101) (Loshchilov and Hutter, 2017), [A*
# Sampling](https://arxiv.org/abs/1411.0030) (Maddison and others, 2014), which has the Gumbel trick.
# Letters: `B` sentences, `L` tokens, `V` words in the vocabulary.

# %%
import numpy as np

from minconvbert import default_model
from minconvbert.activations import activate_backward
from minconvbert.config import ConvBertConfig
from minconvbert.course import check
from minconvbert.electra import (
    RowRandom,
    generator_config,
    mask_tokens,
    masked_word_loss_backward,
    part_params,
    pretraining_loss,
    replace_tokens,
    replaced_word_loss_backward,
    sample_words,
)
from minconvbert.faces import ConvBertForMaskedLM
from minconvbert.faces.pretrained import detect
from minconvbert.heads import discriminator
from minconvbert.losses import binary_nll
from minconvbert.ops import linear_backward, softmax
from minconvbert.optim import adam_state, adam_step, learning_rate
from minconvbert.shapes import sub
from minconvbert.tokenizer import ConvBertTokenizerFast
from minconvbert.training.pretrain import evaluate, fresh_state, masked_batch, train_step
from minconvbert.training.recipes import PretrainingRecipe
from minconvbert.view.notebook import BLUE, FAINT, ORANGE, needs, picture, show

# %% [markdown]
# ## Choosing places
#
# In a sentence of `n` real tokens, round(0.15·n) places are drawn, at least 1 and at most 0.155·`L`. At 85% of them `[MASK]` hides the
# word; the other 15% keep it, so that the generator must read unmasked words, too. Special tokens and padding are never
# drawn. Places are drawn **with replacement**: a place can be drawn twice, and then it counts twice.

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
# At each place the generator gives a probability to every word of the vocabulary, and one word is drawn with these
# probabilities. The code uses the *Gumbel trick*: it adds a random number to each logit and takes the largest sum.
#
# That number is −log(−log u), with `u` uniform between 0 and 1. By hand, for logits (1, 0) and draws u = (0.3, 0.6):
# −log 0.3 = 1.204, −log 1.204 = −0.186; −log 0.6 = 0.511, −log 0.511 = 0.672. The sums are 0.814 and 0.672. The first
# word wins. In the long run the first word wins as often as its softmax says, e / (e + 1) = 73%.
#
# **The proof, in five lines.**
#
# 1. E = −log u is an exponential waiting time: P(E > t) = P(u < e⁻ᵗ) = e⁻ᵗ.
# 2. The largest of logitᵢ − log Eᵢ is the smallest of Tᵢ = Eᵢ / wᵢ, with wᵢ = exp(logitᵢ).
# 3. Tᵢ is a waiting time with rate wᵢ: P(Tᵢ > t) = exp(−wᵢ t), with density wᵢ exp(−wᵢ t).
# 4. Word i wins if all others wait longer: the integral over t of wᵢ exp(−wᵢ t) · Πⱼ exp(−wⱼ t), j ≠ i, which is
#    wᵢ ∫ exp(−W t) dt = wᵢ / W, with W the sum of all w.
# 5. wᵢ / W is exp(logitᵢ) / Σ exp(logitⱼ): the softmax.

# %%
u = np.array([0.3, 0.6])
assert (np.array([1, 0]) - np.log(-np.log(u))).argmax() == 0
show(sample_words)

# %%
# alt: Pairs of bars for five words: the softmax of the logits and the share of 20,000 draws, which agree.
logits = np.tile(np.array([2.0, 1.0, 0.5, 0.0, -1.0]), (20000, 1)).astype(np.float32)
drawn = sample_words(logits, dict(rows=np.zeros(20000, int)), RowRandom(seed=0, step=0, rows=[0]))
share, wanted = np.bincount(drawn, minlength=5) / 20000, softmax(logits[:1])[0]
assert np.abs(share - wanted).max() < 0.015
axis = picture(width=5)
axis.bar(np.arange(5) - 0.2, wanted, 0.38, color=BLUE, label="softmax of the logits")
axis.bar(np.arange(5) + 0.2, share, 0.38, color=ORANGE, label="share of 20,000 draws")
axis.set_xticks(range(5), [f"word {i}" for i in range(5)])
axis.set(ylabel="probability, share", title="draws with Gumbel noise follow the softmax")
axis.legend()

# %% [markdown]
# ## What is replaced, and what is not
#
# The drawn words are put in their places. A word counts as replaced if it **differs** from the author's. A lucky guess is
# real. The draw is not a function that one could differentiate, so no gradient goes from the discriminator back into the
# generator. The two do not compete, as they would in a GAN: the generator learns from its own masked-word loss. They share
# only the embeddings.

# %%
show(replace_tokens)

# %%
generator = ConvBertForMaskedLM.from_pretrained(folder / "generator")
guesses = generator(masked).logits[0, places["positions"]]              # (places, V)
sampled = sample_words(guesses, places, RowRandom(seed=8, step=0, rows=[0]))
corrupted, replaced = replace_tokens(ids, places, sampled)
assert ((corrupted != ids) == (replaced == 1)).all()
for t in sorted(set(places["positions"])):
    verdict = "replaced" if replaced[0, t] else "the author's own word: real"
    print(f"{words(ids[0, t])[0]:>12} -> {words(corrupted[0, t])[0]:<12}", verdict)

# %% [markdown]
# ## The loss, by hand
#
# The discriminator gives each token one logit `z`. A large one means *replaced*. As a probability it is 1 / (1 + e^−z). Take
# z = 2, that is 88%.
#
# * If the word was replaced: the loss is −log 0.881 = **0.127**.
# * If it was not: −log 0.119 = **2.127**.
#
# As one formula: log(1 + e^z) − z·(1 if replaced else 0). Its slope in `z` is the probability minus the truth: −0.119
# or 0.881.
#
# Over a batch, the discriminator's loss is the mean over all real tokens, and the generator's is the mean over the chosen
# places. What is minimized is 1 × generator + 50 × discriminator. The weight 50 looks large; below we measure why it is
# not.

# %%
z = np.array([2.0, 2.0])
assert np.allclose(binary_nll(z, np.array([1.0, 0.0])), [0.127, 2.127], atol=1e-3)
show(binary_nll, pretraining_loss)

# %% [markdown]
# ## The trained discriminator at work
#
# It reads a sentence with one word that does not belong. The bars show how likely it finds that each word was replaced. On
# the left we replaced *his*, on the right *pain*.

# %%
# alt: Two bar charts over the words of a sentence. Left: he and pain are suspected. Right: no word is suspected.
suspected = []
for axis, text in zip(picture(2, width=8, sharey=True), (
        "The doctor asked the patient about he pain.", "The doctor asked the patient about his moon.")):
    pieces, probs = detect(text, folder)
    axis.bar(range(len(pieces)), probs, color=ORANGE)
    axis.set_xticks(range(len(pieces)), pieces, rotation=45, ha="right")
    axis.set_ylim(0, 1)
    axis.set_title("replaced?")
    suspected.append({piece for piece, prob in zip(pieces, probs) if prob > 0.4})
axis.figure.axes[0].set_ylabel("probability of “replaced”")
assert suspected == [{"he", "pain"}, set()]

# %% [markdown]
# *he pain* is not English. One of the two words must be wrong, and the model cannot know which. *his moon* breaks no rule of
# grammar; it only makes no sense here, and the model does not see that. A model this small has learned more about grammar
# than about the world.
#
# ## A whole pretraining, in seconds
#
# Here is a language of a few words and one rule: a plural noun takes a plural verb. *the dog sees a cat*, *the dogs see a
# cat*. We make two thousand sentences of it and pretrain a model of two layers from random weights.

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
# varies by machine
print("before:", {name: round(value, 3) for name, value in before.items()})
print(f"calling every word real would have an accuracy of {1 - after['replaced']:.3f}")
print("after: ", {name: round(value, 3) for name, value in after.items()})
assert after["masked_loss"] < before["masked_loss"] - 1 and after["auc"] > 0.75

# %% [markdown]
# `accuracy` looks high, but calling every word real is nearly as good: few words are replaced. So look at `auc`, the chance
# that a replaced word gets a higher logit than a real one: 0.5 is guessing, 1 is perfect. It cannot become 1 here: *dog*
# for *cat* breaks no rule, and no reader can see it.
#
# In the picture, the thin line is each step's loss, and the thick one its mean over ten steps. At some steps the loss of
# the discriminator jumps up for a moment. The generator does not get better at that moment: look at its curve. It is a
# short instability, which a learning rate as high as 5e-3 brings with it.

# %%
# alt: Two curves of the loss over 200 steps, in nats. The generator falls from 3 to about 1.6; the discriminator
#      from 0.7 to about 0.15, with a short jump.
axes = picture(2, width=8)

for axis, name, guessing in zip(axes, ("generator_loss", "discriminator_loss"), (np.log(len(vocab)), np.log(2))):
    values = np.array([entry[name] for entry in log])
    axis.plot(values, color=FAINT, linewidth=0.6, label="each step")
    axis.plot(np.arange(len(values) - 9) + 4.5, np.convolve(values, np.ones(10) / 10, "valid"), color=BLUE,
              label="mean of ten steps")
    axis.axhline(guessing, color=FAINT, linewidth=0.8, linestyle=":", label="guessing")
    axis.set(title=name.replace("_", " "), xlabel="step", ylabel="nats", ylim=(0, None))
axes[0].legend()

# %% [markdown]
# ## Why the weight is 50
#
# Let us measure how large both losses are, and how large the gradients are that each sends into what both share, the
# embeddings; first with fresh weights, then with trained ones.

# %%
# varies by machine
def sizes(params):
    batch, places = masked_batch(held_out[:64], RowRandom(seed=0, step=0, rows=range(64)), special)
    losses, acts = pretraining_loss(batch, places, params, cfg, generator_cfg, RowRandom(1, 0, range(64)))
    found = []
    for part, backward, part_cfg in (("generator", masked_word_loss_backward, generator_cfg),
                                     ("discriminator", replaced_word_loss_backward, cfg)):
        grads = backward(1.0, sub(acts, part), part_params(params, part), part_cfg)
        shared = [g for name, g in grads.items() if ".embeddings." in name]
        found += [losses[f"{part}_loss"], float(np.sqrt(sum((g**2).sum() for g in shared)))]
    return found

print("              generator: loss, gradient      discriminator: loss, gradient")
for name, params in (("fresh", fresh_state(cfg, generator_cfg, recipe)["params"]), ("trained", state["params"])):
    a, da, b, db = sizes(params)
    print(f"{name:<12} {a:>18.2f} {da:>9.3f} {b:>24.2f} {db:>9.4f}")
    assert b < a / 3

# %% [markdown]
# The discriminator's loss is a mean over *all* tokens, most of which are real and easy, so it is small and its
# gradients are small: once trained, some 25 times smaller than the generator's. The generator's loss is a mean over a
# few hard places, each a choice among all words. With equal weights the shared embeddings would learn for the
# generator almost alone; with 50 both are of one size once the model is trained; at the start the discriminator's is 20 times larger. (The authors of ELECTRA tried 1, 10, 20, 50 and 100. Adam divides
# each gradient by its size, so the weight hardly matters for parameters that only one part has. It matters where both
# meet.)
#
# ## Why the generator is small
#
# The generator runs in every step, so its cost is added to each step. A generator that is too good replaces words by
# words that fit as well: then nobody can tell, and the discriminator learns little. One that is too weak makes
# replacements that anybody can see. ELECTRA found a quarter to a half of the size best. The little language cannot
# show a best size, and one run of each width is an anecdote (try other seeds). But look at the last column: the wider
# the generator, the harder its replacements are to see.

# %%
# varies by machine
print("width   parameters of the generator   masked-word accuracy   share of words replaced   auc of the discriminator")
for width in (0.25, 0.5, 1.0):
    one_cfg = generator_config(cfg, width)
    one = fresh_state(cfg, one_cfg, recipe)
    for _ in range(recipe.steps // 2):
        train_step(one, examples, special, cfg, one_cfg, recipe)
    found = evaluate(one["params"], held_out, special, cfg, one_cfg, recipe)
    own = sum(a.size for name, a in one["params"].items() if name.startswith("generator"))
    print(f"{width:<8}{own:>25,} {found['masked_accuracy']:>22.2f} {found['replaced']:>25.3f} {found['auc']:>26.2f}")

# %% [markdown]
# ## Adam, step by step
#
# Plain gradient descent subtracts `rate · g`. Then a parameter with large gradients moves far, and one with small
# gradients hardly at all. Adam makes steps of about the same size for all. For each parameter it keeps two running
# means:
#
# * m ← 0.9 m + 0.1 g, the mean of the gradient;
# * v ← 0.999 v + 0.001 g², the mean of its square;
# * x ← x − rate · (m / (√v + ε) + decay · x).
#
# m / √v is near ±1 if the gradient always has the same sign, and near 0 if its sign changes all the time. The decay
# pulls weights (not biases, not norms) towards 0. It stands beside the gradient, not in it, so that it is not divided
# by √v (this is what makes it AdamW).
#
# By hand, for x = 1, rate 0.01, no decay, and the gradients 0.5 and then 0.4:
#
# 1. m = 0.1·0.5 = 0.05, v = 0.001·0.25 = 0.00025, √v = 0.01581. x = 1 − 0.01 · 0.05 / 0.01581 = **0.96838**.
# 2. m = 0.9·0.05 + 0.1·0.4 = 0.085, v = 0.999·0.00025 + 0.001·0.16 = 0.00040975, √v = 0.020242. x = 0.96838 − 0.01 ·
#    0.085 / 0.020242 = **0.92639**.
#
# The first step was 3.16 times the rate, not 1 times. m begins at 0 and needs some ten steps to grow; v begins at 0,
# too, and needs a thousand. So both start too small, √v more so, and m / √v is too large. The usual Adam divides m by 1 − 0.9ᵗ
# and v by 1 − 0.999ᵗ to correct this. The original of ConvBERT does not. Its warm-up makes up for it: the rate begins
# at 0 and rises while v settles. After the warm-up it falls in a straight line to 0. (The rate is a rising factor
# times a falling one, and both start at step 0: it already falls a little during the warm-up.)
#
# With a `decay_share` below 1 the rate does not fall until the last steps. Such a run can be finished at any time:
# `pretrain --init-from` goes on from its state, with as many steps of decay as there is time for.

# %%
# alt: Left: the size of a step in units of the rate for a gradient that never changes. Without correction it starts at 3,
#      rises above 6 near step 10 and falls towards 1; with correction it is always 1. Right: the rate of the recipe,
#      rising for 20 steps and then falling to 0.
x, moments = {"x": np.array([1.0])}, adam_state({"x": np.array([1.0])})
for g, expected in ((0.5, 0.96838), (0.4, 0.92639)):
    adam_step(x, {"x": np.array([g])}, moments, rate=0.01, decay=0.0)
    assert abs(x["x"][0] - expected) < 1e-5

t, axes = np.arange(1, 2001), picture(2, width=8)
axes[0].semilogx(t, (1 - 0.9**t) / np.sqrt(1 - 0.999**t), color=BLUE, label="as here, without correction")
axes[0].axhline(1, color=ORANGE, linestyle="--", label="with correction")
axes[0].set(title="size of a step, constant gradient", xlabel="step", ylabel="times the rate", ylim=(0, None))
axes[0].legend()
axes[1].plot([learning_rate(s, recipe.learning_rate, recipe.steps, recipe.warmup) for s in range(recipe.steps)],
             color=BLUE)
axes[1].set(title="the rate of the run above", xlabel="step", ylabel="learning rate")
show(adam_step, learning_rate)

# %% [markdown]
# ## Exercises
#
# The second exercise is the backward pass of the head `discriminator`: here is its forward, and what it calls.

# %%
show(discriminator)
needs(activate_backward, linear_backward)

# %%
# Difficulty 2 of 5, about 10 minutes. You may call: binary_cross_entropy.
def binary_cross_entropy_backward(dloss, logits, wanted):
    """-> dlogits (...) = dloss (sigmoid(logits) - wanted) / (number of logits)"""
    raise NotImplementedError("your turn")

check(binary_cross_entropy_backward, seed="your name")

# %%
# Difficulty 3 of 5, about 15 minutes. You may call: linear_backward, activate_backward.
def discriminator_backward(dlogits, acts, p, cfg):
    """-> dhidden (..., D), grads"""
    raise NotImplementedError("your turn")

check(discriminator_backward, seed="your name")

# %% [markdown]
# 1. A masked-word model learns from 15% of the words, the discriminator from all. Why could that matter?
# 2. What would happen with a perfect generator? And with one that draws words at random?
# 3. In the little language above, which replacements can a discriminator see, and which can it not? If a share s of all
#    replacements can be seen and the rest cannot, what is the best possible `auc`?
# 4. The learning rate of step 0 is 0. So what does the first step change?

# %% [markdown]
# <details><summary>Answers to the numbered questions</summary>
#
# 1. It gets a signal from every token: at equal cost between six and seven times as many places to learn from.
# 2. A perfect generator draws from the true distribution of words, so that no discriminator can beat guessing (`auc`
#    ½), and the replaced text teaches nothing. With random words nearly every replacement is obvious, and the
#    discriminator learns only which words are common where.
# 3. It can see a wrong number (*the dog see*), a word of a wrong kind (*the sees dog*) and a wrong place. It cannot
#    see *dog* for *cat* or *old* for *small*. What can be seen gets logits above all others, what cannot is level
#    with the real words: auc = s · 1 + (1 − s) · ½.
# 4. The parameters do not change, but m and v do: they take in the first gradient.
#
# </details>
