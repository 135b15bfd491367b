# %% [markdown]
# # 13. Token classification
#
# **Claim.** To label each word, the model applies the same head at each place. Two things need care: words are read in
# pieces, and we count not words but *entities*, which must be right from their first word to their last.
#
# Letters: `B` sentences in a batch, `L` pieces in a row, `N` tags.

# %%
from pathlib import Path

import numpy as np

from minconvbert import default_model
from minconvbert.losses import IGNORED, cross_entropy
from minconvbert.training import metrics, tasks
from minconvbert.training.finetune import fresh_state, start, train
from minconvbert.training.recipes import FinetuningRecipe
from minconvbert.training.tasks import token_classification
from minconvbert.view.notebook import BLUE, ORANGE, picture, show

folder = default_model()
task = tasks.get("token-classification")
examples, new = (task.read(f"data/who_where_when_{part}.conll") for part in ("train", "dev"))
print(Path("data/who_where_when_train.conll").read_text()[:60])
print(len(examples), "sentences to learn from,", len(new), "to be measured on, with other names, places and days")

# %% [markdown]
# The format is that of the CoNLL shared tasks: a word and its tag on each line, a blank line between sentences. `B-WHO`
# *begins* an entity of the kind WHO, `I-WHO` goes on with it, `O` is outside of all.
#
# ## Pieces and tags
#
# The word `Tokenization` may be read as two pieces, `token` and `##ization`. It has one tag. By hand:
#
# | | `[CLS]` | `token` | `##ization` | `helps` | `[SEP]` |
# |---|---|---|---|---|---|
# | tag | -100 | tag of *Tokenization* | -100 | tag of *helps* | -100 |
#
# Only the first piece has the tag. The label of the others is -100, which the loss ignores. So a long word counts no more
# than a short one.

# %%
cfg, params, tokenizer = start(task, folder, examples)
words = ["zebras", "met", "clara", "on", "wednesday"]
feature, = task.encode([dict(where="", words=words, tags=["O", "O", "B-WHO", "O", "B-WHEN"])], tokenizer, cfg, length=32)
for piece, label in zip(tokenizer.convert_ids_to_tokens(feature["input_ids"][0]), feature["labels"]):
    print(f"{piece:<12} {'' if label == IGNORED else cfg.id2label[label]}")
assert sum(label != IGNORED for label in feature["labels"]) == len(words)

logits = np.random.default_rng(0).normal(size=(len(feature["labels"]), cfg.num_labels))
labels = np.array(feature["labels"])
loss, _ = cross_entropy(logits, labels)
asked, _ = cross_entropy(logits[labels != IGNORED], labels[labels != IGNORED])
assert np.isclose(loss, asked)                         # as if the other pieces were not there
show(token_classification.encode)

# %% [markdown]
# A sentence that is longer than the model is cut into parts, between words, and the parts are put together again afterwards.
# No tag is lost.

# %%
long = dict(where="", words=["clara"] * 100, tags=["B-WHO"] * 100)
parts = task.encode([long], tokenizer, cfg, length=32)
print(len(parts), "parts, with", [sum(label != IGNORED for label in part["labels"]) for part in parts], "tags")
assert sum(len(part["firsts"]) for part in parts) == 100

# %% [markdown]
# ## Counting entities, by hand
#
#     words    anna   berg   met   tom    in   new     york
#     wanted   B-WHO  I-WHO  O     B-WHO  O    B-WHERE I-WHERE
#     found    B-WHO  I-WHO  O     O      O    B-WHERE O
#
# Of the 7 tags, 5 are right: **71%**. Of the 3 entities, the model found 2. `anna berg` is right; `new` is wrong, because
# the entity is `new york`. So there is 1 hit, precision is 1/2, recall is 1/3, and F1 = 2 · 1 / (2 + 3) = **0.4**.

# %%
wanted = "B-WHO I-WHO O B-WHO O B-WHERE I-WHERE".split()
found = "B-WHO I-WHO O O O B-WHERE O".split()
assert metrics.entities(wanted) == [("WHO", 0, 2), ("WHO", 3, 4), ("WHERE", 5, 7)]
assert metrics.entity_scores([wanted], [found]) == dict(f1=0.4, precision=1 / 2, recall=1 / 3)
assert np.isclose(metrics.accuracy(wanted, found), 5 / 7)
show(metrics.entities)

# %% [markdown]
# This is conlleval's rule, which published numbers use; a test compares it with `seqeval`. A stray `I-` begins an
# entity, because models and even files contain such tags.
#
# ## Training, twice

# %%
recipe = FinetuningRecipe(epochs=8, batch_size=16, learning_rate=1e-3, layer_decay=1)
features, figures, losses, answers = task.encode(examples, tokenizer, cfg, length=48), {}, {}, {}
for name, random_init in (("random", True), ("pretrained", False)):
    cfg, params, tokenizer = start(task, folder, examples, random_init)
    losses[name] = [figure["loss"] for figure in train(task, fresh_state(params), features, cfg, recipe)]
    figures[name], answers[name] = task.evaluate(new, task.encode(new, tokenizer, cfg, length=48), params, cfg)
    print(f"{name:<11} entity F1 {figures[name]['f1']:.2f}, accuracy {figures[name]['accuracy']:.2f}")

assert figures["pretrained"]["f1"] > figures["random"]["f1"] + 0.3

# %%
# alt: Bars of entity F1 for WHO, WHERE and WHEN. In each, the pretrained model is far above the random one; both are
#      worst at WHEN.
def f1_of(kind, answers):
    """The F1 of one kind of entity."""
    only = [[[tag if tag.endswith(kind) else "O" for tag in tags] for tags in some]
            for some in ([one["tags"] for one in new], [answer["tags"] for answer in answers])]
    return metrics.entity_scores(*only)["f1"]

axis = picture(width=6)
kinds = ("WHO", "WHERE", "WHEN")
for i, (name, colour) in enumerate((("pretrained", ORANGE), ("random", BLUE))):
    axis.bar(np.arange(3) + 0.4 * i - 0.2, [f1_of(kind, answers[name]) for kind in kinds], 0.36, color=colour, label=name)
axis.set_xticks(range(3), kinds)
axis.set_ylim(0, 1)
axis.set_title("entity F1 on names, places and days that training never saw")
axis.legend(frameon=False, fontsize=8)

# %% [markdown]
# Both learned the 120 sentences. The pretrained model knew beforehand that *boston* is used like *london*.
#
# ## Sentences of your own

# %%
mine = [task.example(dict(text=text), "here", labelled=False) for text in (
    "We met Peter in the dark forest.", "Tuesday, Emily left Berlin for ever.")]
for answer in task.predict(mine, (cfg, params, tokenizer), dict(length=48)):
    print(" ".join(answer["words"]), "->", [(entity["kind"], entity["text"]) for entity in answer["entities"]])

# %% [markdown]
# Not all of it is right: *Tuesday* is nobody's name, and *Berlin* is missed. Perhaps the pieces are to blame. A tag is
# read at the first piece, and the first pieces of `t ##ues ##day` and `be ##r ##lin` say little.
#
# From the command line, for CoNLL and CoNLL-U files:
#
#     python -m minconvbert finetune token-classification --data data/who_where_when_train.conll \
#         --dev data/who_where_when_dev.conll --model ../weights/convbert-tiny --out entities
#
# ## Exercises
#
# 1. Which tags make `metrics.entities` find *one* entity in three words, and which make it find three?
# 2. Ask the *last* piece of each word instead of the first. Is that better or worse, and for which words?
# 3. An accuracy of 90% can go with an entity F1 of 0. Write down such a sentence.
# 4. The model reads all words in lower case. What does that cost a task like this one?
