# %% [markdown]
# # 17. The paper's claim in miniature
#
# **Claim.** Trained alike, with the same number of parameters, a small model that convolves beats one that only
# attends, by far. That is half of what the paper says. The other half, that the kernel had better be *span-based*, is
# **not** decided here: at this size and budget, five seeds cannot tell it from a plain convolution. What a span can do
# that a token alone cannot is shown at the end, on a task that is made for it.
#
# Letters: `D` hidden size, `A` numbers in all heads of one kind together, `K` taps of a kernel.

# %%
import json
from itertools import product
from math import prod
from pathlib import Path

import numpy as np

from minconvbert.config import ConvBertConfig
from minconvbert.training import left_or_right, study
from minconvbert.training.recipes import PRESETS
from minconvbert.view.curves import by_setting
from minconvbert.view.notebook import BLUE, FAINT, ORANGE, picture, show

# %% [markdown]
# ## Five blocks that differ in one thing
#
# | | heads that attend | beside them |
# |---|---|---|
# | attention | all | nothing |
# | bottleneck | half | nothing |
# | plain | half | a depthwise convolution: one learned kernel for each channel, the same for every token |
# | dynamic | half | a dynamic convolution: a kernel for each token, predicted from its query alone |
# | span | half | span-based dynamic convolution: predicted from the query and the span around it |
#
# The last is `mixed_attention`, which notebook 05 takes apart. All others are this function; its parameters decide
# which one it is.

# %%
show(study.block)

# %% [markdown]
# ## The same number of parameters, by hand
#
# Half the heads need half of the query, key and value maps. What that saves goes to the feed-forward layer: one more
# unit inside costs `2·D + 1` parameters. For `D = 64`, four heads of 16, `K = 9`:
#
# * *attention*: query, key, value `3·(64·64 + 64)`, and the dense map after them `64·64` (its bias is the same in all).
# * *bottleneck*: `3·(32·64 + 32)`, and `64·32`.
#
# The difference of 8,288 buys 64 units.

# %%
D, A, K = 64, 32, 9
attention, bottleneck = 3 * (D * D + D) + D * D, 3 * (A * D + A) + D * A
saved = attention - bottleneck
print(attention, "-", bottleneck, "=", saved, "->", round(saved / (2 * D + 1)), "units")

# %%
show(study.variant_config)

# %%
base = ConvBertConfig(**PRESETS["tiny"].model).replace(hidden_size=D, embedding_size=D, intermediate_size=4 * D)
count = lambda variant: sum(map(prod, study.block_shapes(base, variant).values()))
assert (count("attention"), count("bottleneck")) == (attention, bottleneck)
units = {variant: study.variant_config(base, variant).intermediate_size for variant in study.VARIANTS}
assert units["bottleneck"] - units["attention"] == 64
print("units inside the feed-forward layer:", units)

# %% [markdown]
# ## What was run
#
# Replaced-token detection, as in notebook 08. Generator and discriminator have the same block. One corpus for all, in the
# same order for the same seed, and no dropout. Beside the five blocks, the span-based one with a kernel of one tap,
# which has slightly *fewer* parameters. The corpus is that of the weights that ship; their model card says what is in it.
#
#     python -m minconvbert study --corpus permissive_train.txt.xz --vocab weights/convbert-tiny/vocab.txt \
#         --out study --steps 800 --seeds 5 --kernels --groups --processes 2
#
# That is 800 steps of 32 examples of 128 tokens: 3 million tokens, five minutes of one core for each model. The same
# command with `--seeds 3 --kernels 1` went on from there. `data/study.json` is the `results.json` that they wrote.

# %%
stored = json.loads(Path("data/study.json").read_text())
results = stored["results"]
print(stored["fixed"], "\n")
study.print_table(results)

# %%
# alt: Held-out loss of the generator and AUC of the discriminator for six settings, a dot for each seed, their mean
#      with its standard deviation. Plain, dynamic and span lie close together; attention alone, the bottleneck and a
#      span of one token have the highest losses.
by_setting(results)

# %% [markdown]
# ## Seed by seed
#
# With the same seed, all models see the same examples with the same places hidden. So look at the differences between
# two models seed by seed, not only at two means with their spread. Five differences have a mean and a spread `s`, and
# Student's distribution gives the interval in which the true mean lies with 95%: `mean ± t·s/√5`, with `t = 2.78`. (For
# three seeds, `t` is 4.30.)
# Where that interval holds zero, these seeds do not decide which of the two is better. Then the last column says how
# many seeds would, if all of them had this mean and this spread.

# %%
show(study.interval, study.seeds_needed)

# %%
study.print_differences(results)

# %%
# alt: The difference between each other block and span, in held-out loss and in AUC, over the tokens seen, with its
#      95% interval. Left, attention and bottleneck end almost one nat above span, plain and dynamic near zero.
axes = picture(2, width=8)
steps = [found["step"] for found in results[0]["along"]]
tokens = np.array(steps) * stored["fixed"]["batch_size"] * 128 / 1e6
for axis, figure_name, title in zip(axes, ("masked_loss", "auc"), ("held-out loss: other - span", "AUC: other - span")):
    for number, (other, style) in enumerate(zip(study.VARIANTS[:-1], ("o-", "s--", "^-", "D--"))):
        means, reaches = zip(*(study.interval(study.paired(results, figure_name, other, "span", step)) for step in steps))
        axis.errorbar(tokens + 0.03 * number, means, reaches, fmt=style, markersize=3, linewidth=1, capsize=2, label=other,
                      color=BLUE if other in ("attention", "bottleneck") else ORANGE)
    axis.axhline(0, color=FAINT, linewidth=0.6, zorder=0)
    axis.set(title=title, xlabel="millions of tokens")
axes[0].legend(loc="center right")

for near in ("plain", "dynamic", "span"):
    assert (study.paired(results, "masked_loss", near, "attention") < -0.4).all()
    assert (study.paired(results, "auc", near, "bottleneck") > 0).all()
assert (study.paired(results, "masked_loss", "span, K=1", "span") > 0.5).all()

# %% [markdown]
# ## Equal time
#
# The models have equal parameters, not equal time. The table has the processor time of the fastest seed of each, because
# other work on the machine can only add to it. How much could equal time change? A model that needs a tenth less time
# could take a tenth more steps. The last quarter of its steps lowered its loss by some amount, and later steps lower it
# by less. So in a tenth more steps it gains at most four tenths of that amount.

# %%
loss = lambda name, step: np.mean([study.figure_of(r, "masked_loss", step) for r in results if r["setting"] == name])
seconds = {name: min(r["seconds"] for r in results if r["setting"] == name) for name in study.VARIANTS}
*_, third, last = steps
for other in study.VARIANTS[:-1]:
    more_steps = seconds["span"] / seconds[other] - 1
    gain = max(0, more_steps) * 4 * (loss(other, third) - loss(other, last))
    ahead = loss(other, last) - loss("span", last)
    print(f"{other:<10} {seconds[other] / seconds['span']:.2f} of the time of span; loss {ahead:+.3f} above it;"
          f" with equal time at most {gain:.3f} less")
    assert other not in ("attention", "bottleneck") or ahead - gain > 0.5

# %% [markdown]
# ## What it shows, and what it does not
#
# * **At this size and budget, a model is better off with a window on its neighbours.** A plain or span-based
#   convolution takes 0.9 nats off the generator's loss, in every seed. With `K = 1` the gain is gone, so it comes from
#   the window, not from parameters or the softmax. Attention can look next door too, but it has to learn where that is.
# * **Span-based or plain: the loss does not decide.** Span is 0.017 ± 0.037 below plain, and with equal time hardly at
#   all. If mean and spread stayed as they are, 14 seeds would decide it. On average span begins above plain and ends
#   below it, perhaps because a kernel that is predicted has to learn to predict first. Then longer runs would widen the
#   difference.
# * **The AUC favours plain**, by 0.022 ± 0.017, in every seed. But it is that of a discriminator against its *own*
#   generator, and a better generator makes a harder task. And of ten intervals of 95%, one may well miss the truth.
# * **Dynamic is as good as the others in four seeds of five.** In the other one its loss ends 0.4 higher. That one run
#   makes its intervals five times as wide.
# * **The paper** compares after a million steps, with models a hundred times as large, on tasks. These have seen 3
#   million tokens. The order of *plain*, *dynamic* and *span* here neither confirms nor refutes the paper's.

# %%
dynamic = study.paired(results, "masked_loss", "dynamic", "span")
assert (study.paired(results, "auc", "plain", "span") > 0).all()
assert np.sort(dynamic)[-1] > 0.3 and (np.abs(np.sort(dynamic)[:-1]) < 0.06).all()
begin, end = (study.interval(study.paired(results, "masked_loss", "plain", "span", step))[0] for step in (steps[0], last))
assert begin < 0 < end

needed = study.seeds_needed(study.paired(results, "masked_loss", "span", "plain"))
print(f"span or plain: {needed} seeds, {needed * tokens[-1]:.0f} million tokens for each of the two")

# %% [markdown]
# ## A task that needs a span
#
# Text has many clues, so a block that cannot use one of them uses another. Here is a task with a single clue. The star
# must answer with its left or its right neighbour, and a word near by says which:
#
# | sentence | answer |
# |---|---|
# | `left  c  *  f  .` | c |
# | `right c  *  f  .` | f |
# | `.  c  *  f  left` | c |
# | `.  c  *  f  right` | f |
#
# Two of eight letters, always different: 224 sentences, and all of them are there. One layer answers, and of it only
# the mixing is learned. The value of a letter is that letter, and every other word has the value zero. What a block
# takes of each letter is its answer.

# %%
show(left_or_right.mix)

# %% [markdown]
# ## What each can reach at best
#
# * **plain**: its kernel is the same in every sentence, and the words *left* and *right* have the value zero. So they
#   change nothing in the answer. It sees two letters and must guess.
# * **dynamic**: the kernel is predicted from the star, and the star is the same word in every sentence. So the kernel
#   is the same in every sentence, and it must guess, too.
# * **attention, one head**: the weight of a word is `e^score`, divided by the sum of all. The scores of the two letters
#   come from the star and from the letters. The words *left* and *right* only change what both are divided by, and so
#   never which of the two is larger. It must guess. Without position embeddings it does not even know the order.
# * **span**: the kernel is predicted from the star *and* the span around it. All is there to be seen.
#
# A guess is right in half of the sentences. This can be counted: among all sentences that look the same to a block, the
# best it can do is to give the commonest answer.

# %%
show(left_or_right.best_accuracy)

# %%
ids, answers = left_or_right.sentences()
sees = {"the letters, in order": ids[:, [1, 3]], "all words, without their order": np.sort(ids, axis=1), "all": ids}
for name, seen in sees.items():
    print(f"{name:<32} {left_or_right.best_accuracy(seen, answers):.0%}")

# %% [markdown]
# ## Accuracy over training
#
# Three seeds each, all sentences in every step. Two variants end at 100%, all others at exactly 50%, where their curves
# lie on each other.

# %%
# alt: Accuracy over 60 steps, three seeds each. Left: of the convolutions only the span-based one rises to 1, plain
#      and dynamic stay at one half. Right: attention rises to 1 with two heads only.
learned = {(name, seed): left_or_right.train(name, seed) for name in left_or_right.VARIANTS for seed in range(3)}
solve = ("span", "attention, 2 heads")
axes = picture(2, width=8, sharey=True)
for axis, names in zip(axes, (("plain", "dynamic", "span"), tuple(left_or_right.ATTENTION_HEADS))):
    for name, style in zip(names, (":", "--", "-")):
        for seed in range(3):
            colour = BLUE if name in left_or_right.ATTENTION_HEADS else ORANGE
            axis.plot(learned[name, seed][1], style, color=colour, linewidth=1, label=name if seed == 0 else None)
    axis.axhline(0.5, color=FAINT, linewidth=0.6, zorder=0)
    axis.set(xlabel="step", xlim=(0, 60), ylim=(0, 1.05))
    axis.legend(loc="lower right")
axes[0].set_title("three convolutions: accuracy")
axes[1].set_title("attention: accuracy")

for (name, _), (_, accuracies, _) in learned.items():
    assert accuracies[-1] == (1 if name in solve else 0.5), name

# %% [markdown]
# ## The kernels that they learned
#
# The kernel at the star where the first word is *left*, and where it is *right*. Plain and dynamic convolution take the
# same share of both neighbours, because they can do no better. The span-based kernel turns.

# %%
# alt: The five taps of the kernel at the star, for the plain, dynamic and span-based convolution, with left and right
#      as the first word. Only the span-based kernel differs: all its weight is left of the star for left, and right of
#      it for right.
after = {"left": np.array([[left_or_right.LEFT, 2, left_or_right.STAR, 5, left_or_right.DOT]]),
         "right": np.array([[left_or_right.RIGHT, 2, left_or_right.STAR, 5, left_or_right.DOT]])}

def kernel_at_star(name, ids):
    p = learned[name, 0][0]
    if name == "plain":
        return p["depthwise.weight"][:, 0].mean(0)          # of its eight channels
    return left_or_right.mix(left_or_right.vectors(ids, name), p, name)[1]["kernel"][0, left_or_right.MIDDLE, 0]

for axis, name in zip(picture(3, width=8, sharey=True), ("plain", "dynamic", "span")):
    for shift, (word, row), colour in zip((-0.2, 0.2), after.items(), (BLUE, ORANGE)):
        axis.bar(np.arange(5) + shift, kernel_at_star(name, row), 0.38, color=colour, label=word)
    axis.set_xticks(range(5), ["left or\nright", "c", "*", "f", "."])
    axis.set_title(name)
axis.legend()

turns = [kernel_at_star("span", row)[[1, 3]] for row in after.values()]
assert turns[0][0] > 0.7 and turns[1][1] > 0.7
assert np.allclose(kernel_at_star("dynamic", after["left"]), kernel_at_star("dynamic", after["right"]))

# %% [markdown]
# ## What this does not say
#
# * **Two heads of attention solve it, too**, if they see positions. Softmax makes words compete. In one head the word
#   *right* draws all the weight, in the other *left* does, and the value of both is zero. So a word can switch a head
#   off, and the other head answers with its own neighbour. The convolution does it with one head of five taps.
# * **With learned values** the words *left* and *right* can add something to the answer. But a kernel that never
#   changes still gives a *sum*: a number for the order of the letters plus a number for the direction. Two letters have
#   four cases, two orders with two directions, and a sum gets at most three of them right, because the answer is an
#   *exclusive or*. As no letter is better than another, training ends at the loss of a coin, log 2. Divided by a number
#   above zero, as one head of attention does it, a sum is no better.
# * **Behind a block** there is a feed-forward half, and a model has many layers. They can compute an exclusive or. So
#   the task shows what a block can do alone, not what a model can.

# %%
numbers = list(product(range(-3, 4), repeat=2))
most = max(sum((of_order[order] + of_direction[direction] > 0) == (order == direction)
               for order in (0, 1) for direction in (0, 1)) for of_order in numbers for of_direction in numbers)
losses = {name: left_or_right.train(name, values="learned")[2][-1] for name in left_or_right.VARIANTS}
print("of four cases, a sum gets", most)
print({name: round(float(loss), 3) for name, loss in losses.items()}, "log 2 =", round(np.log(2), 3))
assert most == 3 and all((loss < 0.01) == (name in solve) for name, loss in losses.items())

# %% [markdown]
# ## Exercises
#
# 1. Run the study with `--steps 200 --seeds 2 --kernels --groups` on a text of your own. Is the order the same?
# 2. At which step does *attention* begin to look next door? Train it alone with `study.train_variant` and draw
#    `view.profile` of its maps every 200 steps.
# 3. Add a sixth variant: attention whose scores get a learned bias for each offset within `K // 2`. It costs `H·K`
#    parameters. Does it close the gap? What does that say about the claim?
# 4. Which weights solve `left or right` with two heads of attention? Write them down by hand, and let
#    `left_or_right.mix` check them.
# 5. `variant_config` gives all models the same number of parameters. Make one that gives them the same number of
#    multiplications instead. Which variants gain?
