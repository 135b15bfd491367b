# %% [markdown]
# # 16. Masked words: a model for texts of your own
#
# **Claim.** A model can go on learning from plain text. After fifteen paragraphs about bees, with other words hidden each
# time, a model that put a *client* and a *link* into a hive puts *workers* and a *comb* there. No labels are needed.
#
# Letters: `B` rows, `L` pieces in a row, `V` words in the vocabulary, `N` drawn places.

# %%
import math
from pathlib import Path

import numpy as np

from minconvbert import default_model
from minconvbert.heads import task_model
from minconvbert.inputs import model_inputs
from minconvbert.ops import softmax
from minconvbert.training import tasks
from minconvbert.training.finetune import fresh_state, start, train
from minconvbert.training.recipes import FinetuningRecipe
from minconvbert.training.tasks import masked_lm
from minconvbert.view.notebook import BLUE, ORANGE, picture, show

folder = default_model()
task = tasks.get("masked-lm")
examples, new = (task.read(f"data/bees_{part}.txt") for part in ("train", "dev"))
print(Path("data/bees_train.txt").read_text()[:205])
print(len(examples), "paragraphs to learn from,", len(new), "to be measured on")

# %% [markdown]
# ## Hiding other words each time
#
# 15% of the pieces of a row are drawn; 85% of these are hidden behind `[MASK]`, and the rest stay visible (notebook 08).
# The draw is new for every batch and follows from the seed, the number of the step and the number of the row. So a run can be
# repeated, and one that was killed goes on as if nothing had happened.

# %%
cfg, params, tokenizer = start(task, folder, examples)
features = task.encode(examples, tokenizer, cfg, length=64)
for step in range(3):
    batch = masked_lm.stack(features[:1], cfg, (0, step, [0]))
    print(*tokenizer.convert_ids_to_tokens(batch["inputs"]["masked_ids"][0].tolist()))
show(masked_lm.stack)

# %% [markdown]
# ## Perplexity, by hand
#
# The model gives the right words of three places the probabilities 1/2, 1/4 and 1/8. Their logarithms are −0.693, −1.386 and
# −2.079, the mean is −1.386. The perplexity is e to minus that: **4**. It is as if the model had to guess among four words
# each time. A model that knows nothing has a perplexity of `V`.

# %%
assert math.isclose(math.exp(-np.log([1 / 2, 1 / 4, 1 / 8]).mean()), 4)
show(masked_lm.evaluate)

# %% [markdown]
# ## Going on with training

# %%
def fill(text, top=5):
    """The likeliest words for the mask of a text -> words, probabilities"""
    ids = np.array([tokenizer.encode(text)])
    logits, _ = task_model("masked_lm", model_inputs(cfg, ids), params, cfg, keep=False)
    probs = softmax(logits[ids == tokenizer.mask_token_id])[0]
    best = np.argsort(-probs)[:top]
    return tokenizer.convert_ids_to_tokens(best.tolist()), probs[best]

asked = "The workers carry the [MASK] into the hive."
measured = task.encode(new, tokenizer, cfg, length=64)
before, _ = task.evaluate(new, measured, params, cfg)
guesses = [fill(asked)]

recipe = FinetuningRecipe(epochs=20, batch_size=8, learning_rate=1e-3)
losses = [figure["loss"] for figure in train(task, fresh_state(params), features, cfg, recipe)]
after, _ = task.evaluate(new, measured, params, cfg)
guesses.append(fill(asked))
print(f"perplexity on new sentences about bees: before {before['perplexity']:.1f}, after {after['perplexity']:.1f}")
assert after["perplexity"] < before["perplexity"] / 2

# %%
# alt: Left: the loss falls over 40 steps. Middle and right: bars of the five likeliest words before and after. Before,
#      all are unlikely; after, words of the new texts lead.
left, middle, right = picture(3, width=9)
left.plot(losses, color=ORANGE, linewidth=0.9)
left.set_title("loss")
left.set_xlabel("step")
for axis, (words, probs), colour, when in zip((middle, right), guesses, (BLUE, ORANGE), ("before", "after")):
    axis.barh(words[::-1], probs[::-1], color=colour)
    axis.set_title(when)
    axis.set_xlim(0, 1)
print(asked)

# %% [markdown]
# What if we start from random numbers instead? Fifteen paragraphs are too little for a model that knows no word:

# %%
cfg, params, _ = start(task, folder, examples, random_init=True)
for _ in train(task, fresh_state(params), features, cfg, recipe):
    pass
nothing, _ = task.evaluate(new, measured, params, cfg)
print(f"perplexity from random numbers: {nothing['perplexity']:.1f}")
assert nothing["perplexity"] > 5 * after["perplexity"]

# %% [markdown]
# As a command, for any plain text with blank lines between documents:
#
#     python -m minconvbert finetune masked-lm --data data/bees_train.txt --dev data/bees_dev.txt \
#         --model ../weights/convbert-tiny --epochs 20 --batch-size 8 --out bees
#     python -m minconvbert predict masked-lm --model bees --text "The workers carry the [MASK] into the hive."
#
# ## Exercises
#
# 1. What has the model forgotten? Ask `fill_mask` and your new model to fill the masks of a sentence from a novel.
# 2. Hide the same words in every epoch (draw with step 0). What happens to the loss, and to the perplexity?
# 3. The perplexity here counts the visible places, too. Count the hidden ones only: by how much is it higher?
