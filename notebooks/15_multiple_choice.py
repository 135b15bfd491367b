# %% [markdown]
# # 15. Multiple choice
#
# **Claim.** To choose among `N` things, score each by itself and compare the scores. The model never sees two choices at
# once. It matters *which* token the score is read from: the default of the reference reads padding.
#
# Letters: `B` questions, `N` choices, `L` pieces in a row. The model sees `B·N` rows.

# %%
import numpy as np

from minconvbert import default_model
from minconvbert.heads import multiple_choice, task_model
from minconvbert.losses import cross_entropy
from minconvbert.ops import softmax
from minconvbert.training import tasks
from minconvbert.training.finetune import fresh_state, start, train
from minconvbert.training.recipes import FinetuningRecipe
from minconvbert.training.tasks import batches
from minconvbert.training.tasks import multiple_choice as the_task
from minconvbert.view.notebook import BLUE, FAINT, ORANGE, picture, show

folder = default_model()
task = tasks.get("multiple-choice")
examples, new = (task.read(f"data/endings_{part}.jsonl") for part in ("train", "dev"))
for one in examples[:3]:
    print(one["context"], "|", *one["choices"], "|", one["label"], sep="  ")
print(len(examples), "to learn from,", len(new), "to be measured on, with other verbs")

# %% [markdown]
# ## From a question to rows
#
# Each choice is read together with the context, as a pair: `[CLS]` context `[SEP]` choice `[SEP]`. A question with three
# choices gives three rows.

# %%
cfg, params, tokenizer = start(task, folder, examples)
features = task.encode(examples, tokenizer, cfg, length=32)
for row in features[0]["input_ids"]:
    print(*tokenizer.convert_ids_to_tokens(row))
batch = batches.stack(features[:4], cfg)
assert batch["inputs"]["input_ids"].shape[0] == 4 * 3 and batch["labels"].shape == (4,)
show(the_task.encode)

# %% [markdown]
# ## From rows to a choice, by hand
#
# Three rows give three numbers, say 2.0, 1.0 and 0.1. Softmax over the *choices*: e² = 7.389, e¹ = 2.718, e⁰·¹ = 1.105, sum
# 11.212. So **0.659, 0.242, 0.099**. If the first is right, the loss is −log 0.659 = **0.417**.

# %%
scores = np.array([[2.0, 1.0, 0.1]])
assert np.allclose(softmax(scores), [[0.659, 0.242, 0.099]], atol=1e-3)
assert np.isclose(cross_entropy(scores, np.array([0]))[0], 0.417, atol=1e-3)

# %% [markdown]
# ## Which token?
#
# The head reads one token of each row. Hugging Face's default, `summary_type="last"`, takes the last one: position `L − 1`. In a
# batch of rows of different lengths that is `[PAD]` for all rows but the longest. So the score of a choice depends on how
# long the *other* rows are. Let us measure it: the same three rows, alone and beside a longer one.

# %%
def scores_of(summary, pads):
    """The scores of the three choices of the first question, with some padding after them."""
    cfg_of = cfg.replace(summary_type=summary)
    rows = batches.stack(features[:1], cfg)["inputs"]
    more = {name: np.pad(x, ((0, 0), (0, pads))) for name, x in rows.items()}
    more["position_ids"] = np.tile(np.arange(more["input_ids"].shape[1]), (3, 1))
    strong = params | {"classifier.weight": 10 * params["classifier.weight"]}
    return task_model("multiple_choice", more, strong, cfg_of)[0]

for summary in ("last", "first"):
    alone, padded = scores_of(summary, 0), scores_of(summary, 8)
    print(f"{summary:<6} alone {alone.round(2)}   with 8 [PAD] {padded.round(2)}   moved by {np.abs(padded - alone).max():.3f}")
moved = {summary: np.abs(scores_of(summary, 8) - scores_of(summary, 0)).max() for summary in ("last", "first")}
assert moved["last"] > 3 * moved["first"]

# %% [markdown]
# Even the first token changes a little, because a convolution sees the padding (notebook 10). But the last token *is*
# padding. So `start` sets `summary_type="first"`. You can choose `last`, for example for a model that was trained with it.

# %%
assert cfg.summary_type == "first"
show(multiple_choice)

# %% [markdown]
# ## Training, twice
#
# One ending of three is right English. The random model has to find out from 180 questions which form an auxiliary verb needs,
# and would have to guess the forms of verbs that it never met.

# %%
recipe = FinetuningRecipe(epochs=4, batch_size=8, learning_rate=1e-3)
figures, losses, answers = {}, {}, {}
for name, random_init in (("random", True), ("pretrained", False)):
    cfg, params, tokenizer = start(task, folder, examples, random_init)
    cfg = cfg.replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    losses[name] = [figure["loss"] for figure in train(task, fresh_state(params), features, cfg, recipe)]
    figure, answers[name] = task.evaluate(new, task.encode(new, tokenizer, cfg, length=32), params, cfg)
    figures[name] = figure["accuracy"]
    print(f"{name:<11} accuracy {figures[name]:.0%}")

assert figures["pretrained"] > 0.85 and figures["random"] < 0.6

# %%
# alt: Left: the loss from pretrained weights falls to 0 with a few peaks, that from random ones stays at 1.1. Right:
#      bars of accuracy with new verbs, nearly 1 for the pretrained model, about one third, which is guessing, for the
#      random one.
left, right = picture(2, width=8)
for name, colour in (("pretrained", ORANGE), ("random", BLUE)):
    left.plot(losses[name], color=colour, linewidth=0.9, label=name)
    right.bar(name, figures[name], 0.5, color=colour)
left.set_title("loss")
left.set_xlabel("step")
left.legend(frameon=False, fontsize=8)
right.axhline(1 / 3, color=FAINT, linestyle="--", linewidth=1)
right.set_ylim(0, 1)
right.set_title("accuracy with new verbs (guessing: one third)")

# %%
mine = [task.example(dict(context=context, choices=choices), "here", labelled=False) for context, choices in (
    ("she has never", ["drive a car", "driven a car", "driving a car"]),
    ("the boys are", ["drink the water", "drunk the water", "drinking the water"]))]
for one, answer in zip(mine, task.predict(mine, (cfg, params, tokenizer), dict(length=32))):
    print(f"{one['context']} {answer['choice']}   {answer['probability']:.0%}")

# %% [markdown]
# ## Exercises
#
# 1. Swap the choices of a question around. What must happen to the scores, and why is that so by construction?
# 2. Train with two of the three choices, one of them the right one. Then ask with all three. Does it work? Need it?
# 3. Train with `task.configure(cfg, examples, summary="last")`. Compare, once with `batch_size=8` and once with 1. Why?
# 4. Could a model that read all choices in one row do better? On which questions?
