# %% [markdown]
# # 14. Question answering
#
# **Claim.** The answer is a span of the context, and a span is two places. So the head gives each piece two numbers, and the
# rest is bookkeeping: windows over a long context, the best pair of places, and a fair way to count what is right.
#
# Letters: `B` windows in a batch, `L` pieces in a window.

# %%
import numpy as np

from minconvbert import default_model
from minconvbert.training import metrics, tasks
from minconvbert.training.finetune import fresh_state, start, train
from minconvbert.training.recipes import FinetuningRecipe
from minconvbert.training.tasks import batches, question_answering
from minconvbert.training.tasks.question_answering import best_span
from minconvbert.view.notebook import BLUE, ORANGE, picture, show

folder = default_model()
task = tasks.get("question-answering")
examples, new = (task.read(f"data/questions_{part}.jsonl") for part in ("train", "dev"))
for one in examples[:3]:
    print(one["context"], "|", one["question"], "|", one["answers"])
print(len(examples), "to learn from,", len(new), "to be measured on, with other people, places and times")

# %% [markdown]
# Files are SQuAD's own (1.1 and 2.0), or JSON lines like these. An answer is its text and the character where it begins. If
# it is not there, reading stops and says so:

# %%
try:
    task.example(dict(question="Who sang?", context="Ann sang.", answers=[dict(text="Ann", answer_start=1)]), "my.jsonl, line 7")
except ValueError as error:
    print("error:", error)

# %% [markdown]
# ## Windows, by hand
#
# The model reads `[CLS]` question `[SEP]` context `[SEP]`, at most 128 pieces. A longer context is read in windows. Take
# room for 5 pieces of context, and let two windows share 2 (the *stride*). A context of 9 pieces, a to i:
#
#     a b c d e
#           d e f g h
#                 g h i
#
# Each window begins 5 - 2 = 3 pieces after the one before. An answer `e f` is whole in the second window only. There its
# places are the labels. In the other two the label is (0, 0), the `[CLS]`: *not here*.

# %%
cfg, params, tokenizer = start(task, folder, examples)
context = "one two three four five six seven eight nine"
example = dict(where="", id="1", question="who", context=context, answers=[("five six", context.index("five"))])
for window in task.encode([example], tokenizer, cfg, length=4 + 5, stride=2)[:3]:
    pieces = tokenizer.convert_ids_to_tokens(window["input_ids"][0])
    print(f"{' '.join(pieces):<50} labels {window['labels']}")
    if window["labels"] != (0, 0):
        first, last = window["labels"]
        assert pieces[first : last + 1] == ["five", "six"]
show(question_answering.encode)

# %% [markdown]
# ## The best span, by hand
#
# The head gives each piece a number for *begins here* and one for *ends here*:
#
# | | the | old | man | ran |
# |---|---|---|---|---|
# | begins | 1 | 4 | 3 | 0 |
# | ends | 5 | 0 | 3 | 1 |
#
# The best beginning is *old* (4), the best end *the* (5). Together they are no span: it would end before it begins. All
# pairs with the end not before the beginning: the-the 1 + 5 = 6, old-man 4 + 3 = **7**, man-man 3 + 3 = 6, and so on. The
# answer is *old man*.

# %%
logits = np.array([[1, 5], [4, 0], [3, 3], [0, 1]], float)
assert best_span(logits, spans=[(0, 3), (4, 7), (8, 11), (12, 15)]) == (7.0, 1, 2)
show(best_span)

# %% [markdown]
# ## Counting, by hand
#
# Answers are compared in lower case, without punctuation, articles and surplus space. *Exact match* asks for the same text.
# *F1* counts shared words. Wanted `the old man`, found `old man's son`: `old man` against `old mans son`. One word is
# shared, of 2 wanted and 3 found: F1 = 2 · 1 / (2 + 3) = **0.4**. Where several answers are accepted, the best counts.

# %%
assert metrics.normalize_answer("The old  man!") == "old man"
assert np.isclose(metrics.answer_f1("old man's son", ["the old man"]), 0.4)
assert metrics.exact_match("Old man.", ["a man", "the old man"]) == 1
show(metrics.answer_f1, metrics.normalize_answer)

# %% [markdown]
# ## Training, twice

# %%
recipe = FinetuningRecipe(epochs=5, batch_size=8, learning_rate=1e-3)
features, figures, losses = task.encode(examples, tokenizer, cfg, length=64), {}, {}
asked = task.encode(new, tokenizer, cfg, length=64)
for name, random_init in (("random", True), ("pretrained", False)):
    cfg, params, tokenizer = start(task, folder, examples, random_init)
    cfg = cfg.replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    losses[name] = [figure["loss"] for figure in train(task, fresh_state(params), features, cfg, recipe)]
    figures[name], answers = task.evaluate(new, asked, params, cfg)
    print(f"{name:<11} F1 {figures[name]['f1']:.2f}, exact match {figures[name]['exact_match']:.2f}")

assert figures["pretrained"]["f1"] > figures["random"]["f1"] + 0.3

# %%
# alt: Left: the loss falls to 0 from pretrained weights, and stays near 1 from random ones. Right: bars of F1 and
#      exact match on new questions, for the pretrained model more than twice as high.
left, right = picture(2, width=8)
for i, (name, colour) in enumerate((("pretrained", ORANGE), ("random", BLUE))):
    left.plot(losses[name], color=colour, linewidth=0.9, label=name)
    right.bar(np.arange(2) + 0.4 * i - 0.2, figures[name].values(), 0.36, color=colour)
left.set_title("loss")
left.set_xlabel("step")
left.legend(frameon=False, fontsize=8)
right.set_xticks([0, 1], ["F1", "exact match"])
right.set_ylim(0, 1)
right.set_title("people, places and times never seen")

# %% [markdown]
# The sums that `best_span` looks at, for one question. Above the diagonal are spans; the darkest is the answer.

# %%
# alt: A map of the scores of all spans, the first word down, the last word across; below the diagonal it is empty. The
#      darkest column ends in the place, and another dark spot is the time.
number = 1
window = asked[number]
z, = batches.read_all(task.HEAD, [window], params, cfg)
inside = [i for i, span in enumerate(window["spans"]) if span]
pieces = [new[number]["context"][slice(*window["spans"][i])] for i in inside]
sums = z[inside, 0][:, None] + z[inside, 1][None]
sums = np.where(np.triu(np.ones_like(sums)) == 1, sums, np.nan)
axis = picture(width=5.5, height=5)
axis.imshow(sums, cmap="Oranges")
axis.set_xticks(range(len(pieces)), pieces, rotation=90, fontsize=7)
axis.set_yticks(range(len(pieces)), pieces, fontsize=7)
axis.set_xlabel("ends")
axis.set_ylabel("begins")
axis.set_title(f"{new[number]['question']}  {answers[number]['answer']}")

# %% [markdown]
# ## A context longer than the model
#
# The context has forty-one sentences, and a window holds 128 pieces. The window with the best score answers. We ask the
# same question in two ways.

# %%
filler = "the sun was warm and the road was dusty . " * 20
context = f"{filler}at noon we found peter near the dark forest . {filler}"
mine = [task.example(dict(question=question, context=context), "here", labelled=False)
        for question in ("of whom do they speak ?", "who was it ?")]
print(len(task.encode(mine[:1], tokenizer, cfg, length=128)), "windows")
for one, answer in zip(mine, task.predict(mine, (cfg, params, tokenizer), dict(length=128))):
    print(f"{one['question']:<24} {answer['answer']!r}, at character {answer['start']}")

# %% [markdown]
# The second answer is wrong. The model learned from short contexts of one window, each of which held the answer. Nothing
# taught it to doubt a window that does not hold it.
#
# ## No answer
#
# SQuAD 2.0 asks questions that the context does not answer. Their label is the `[CLS]`, in all windows. So the sum at `[CLS]`
# is the score of *no answer*. `margin` is that score less the best span's. If it is above a threshold, the answer is "".
# Which threshold is best is found on development data; `evaluate` prints it as `best threshold`.

# %%
spans, margins, accepted = ["cat", "dog", "sun"], [-2.0, 0.5, 3.0], [["cat"], ["dog"], []]
assert metrics.best_threshold(spans, margins, accepted) == (0.5, 1.0)   # keep the first two answers, drop the third
show(metrics.best_threshold)

# %% [markdown]
# ## Exercises
#
# 1. A head of two numbers for each piece cannot say "if it begins here, it ends there". Find logits where that matters.
# 2. `best_span` builds a table of `L²` sums. How would you find the best span in one pass over the pieces?
# 3. Why is the score of no answer the *lowest* of all windows, and that of the answer the highest?
# 4. Take half of the examples away. Then, instead, all that ask *when*. Which hurts more, and where?
