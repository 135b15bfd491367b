# %% [markdown]
# # 01. Tokens
#
# **Claim.** A model reads numbers. A text becomes numbers by a list of pieces, the vocabulary, and by one rule: *take
# the longest piece that the rest of the word begins with*. Cutting a word needs no grammar and no statistics. (Statistics
# made the vocabulary, once; see below.)
#
# After this notebook you can
# * cut a word into pieces by hand, and say why a word becomes `[UNK]`
# * read what a tokenizer returns: ids, mask, token types, offsets
# * write the rule yourself
#
# **Time**: about 40 minutes, exercises included. **Builds on**: nothing.
#
# **Papers**: [Google's Neural Machine Translation System](https://arxiv.org/abs/1609.08144) (Wu and others, 2016),
# which has WordPiece, [BERT](https://arxiv.org/abs/1810.04805) (Devlin and others, 2018).
# Letters: `B` sentences in a batch, `L` tokens in each, `V` pieces in the vocabulary.

# %%
import numpy as np

from minconvbert import default_model
from minconvbert.tokenizer import ConvBertTokenizerFast
from minconvbert.tokenizer.wordpiece import explain, match, normalize, split
from minconvbert.view.notebook import BLUE, ORANGE, picture, show

# %% [markdown]
# ## One word, by hand
#
# A piece that continues a word is written with `##` before it. Here is a vocabulary of six pieces. The word is
# *unlocked*.

# %%
vocab = {"un": 0, "lock": 1, "##lock": 2, "##ed": 3, "##e": 4, "##d": 5}

# %% [markdown]
# 1. Is *unlocked* in the vocabulary? No. *unlocke*? No. *unlock*, *unloc*, *unlo*, *unl*? No. *un*? **Yes.** Take it.
#    What remains is *locked*.
# 2. We are inside a word now, so pieces must begin with `##`. *##locked*? No. *##locke*? No. *##lock*? **Yes.** What
#    remains is *ed*.
# 3. *##ed*? **Yes.** Nothing remains. (*##e* and *##d* would have done too, but the longest wins.)
#
# The result is `un ##lock ##ed`, or in numbers 0, 2, 3.

# %%
by_hand = ["un", "##lock", "##ed"]

# %% [markdown]
# ## The function
#
# It returns the (start, end) of each piece in the word.

# %%
show(match, fold="The source of `match`: write it yourself first, in the exercise below")

# %%
word = "unlocked"
spans = match(word, vocab)
pieces = [("##" if start else "") + word[start:end] for start, end in spans]
assert pieces == by_hand
for piece, why in zip(pieces, explain(word, vocab)):
    print(f"{piece:<8} {vocab[piece]}   {why}")

# %% [markdown]
# If no piece fits at some place, the **whole word** is unknown and becomes `[UNK]`. The rule never goes back to try a
# shorter piece. With the vocabulary `ab, a, ##bc` the word *abc* is unknown, though `a ##bc` would do. The
# rule takes *ab*, because it is longer, and then finds no `##c`.

# %%
assert match("abc", {"ab": 0, "a": 1, "##bc": 2}) == []
print(*explain("abc", {"ab": 0, "a": 1, "##bc": 2}))

# %% [markdown]
# ## Before the rule: what is a word?
#
# `normalize` makes everything lower case, removes accents, and drops control characters. `split` cuts at white space
# and makes every punctuation mark a word of its own. A model cannot know what is lost here: *resume* and *résumé* become
# one word.

# %%
show(split)

# %%
text = "He's read Zoë's résumé -- twice!"
normal, origin = normalize(text)
words = [normal[start:end] for start, end in split(normal)]
print(words)
assert words == ["he", "'", "s", "read", "zoe", "'", "s", "resume", "-", "-", "twice", "!"]

# %% [markdown]
# For each character of the normalized text, `origin` says which character of the original it came from. With it, an
# answer that was found in tokens can be underlined in the text.
#
# ## A sentence, with the vocabulary of the trained model

# %%
folder = default_model()
tokenizer = ConvBertTokenizerFast.from_pretrained(folder)
encoded = tokenizer(text, return_offsets_mapping=True)
for token, number, (start, end) in zip(tokenizer.convert_ids_to_tokens(encoded["input_ids"]), encoded["input_ids"],
                                       encoded["offset_mapping"]):
    print(f"{token:<10} {number:>5}   {text[start:end]!r}")

# %% [markdown]
# The tokenizer put `[CLS]` and `[SEP]` around the sentence. `[CLS]` is a place where the model can gather what concerns
# the whole sentence; heads that classify read it. `[SEP]` ends a sentence.
#
# Here are the same ids, made by the functions above: normalize, split, match, look up.

# %%
normal, _ = normalize(text)
ids = []
for start, end in split(normal):
    word = normal[start:end]
    spans = match(word, tokenizer.vocab)
    ids += [tokenizer.vocab[("##" if a else "") + word[a:b]] for a, b in spans] or [tokenizer.unk_token_id]
assert [tokenizer.cls_token_id, *ids, tokenizer.sep_token_id] == encoded["input_ids"]

# %% [markdown]
# ## A batch
#
# The rows of an array have one length. So short sentences are filled up with `[PAD]`, and a **mask** of 1 and 0 says which
# tokens are real. For a pair of sentences, **token types** say which is the first (0) and which the second (1). All
# three have the shape `(B, L)`.

# %%
batch = tokenizer(["It rained.", "The river rose slowly."], ["We stayed.", "Why?"], padding=True, return_tensors="np")
for name, array in batch.items():
    print(name, array.shape, array, sep="\n", end="\n\n")
assert (batch["attention_mask"] == (batch["input_ids"] != tokenizer.pad_token_id)).all()

# %% [markdown]
# ## What is in the vocabulary?
#
# How long are the pieces, and how many of them begin a word? A vocabulary is *made* by counting in a large text: two
# pieces that stand together more often than by chance are merged into one, again and again, until there are as many
# pieces as one wants.

# %%
# alt: Bars: how many pieces of the vocabulary have 1, 2, 3 and more letters. Most pieces that begin a word have
#      four to seven letters; pieces that go on with a word are shorter.
pieces = [piece for piece in tokenizer.vocab if not piece.startswith("[")]
begin = [len(piece) for piece in pieces if not piece.startswith("##")]
go_on = [len(piece) - 2 for piece in pieces if piece.startswith("##")]
longest = max(begin + go_on)
axis = picture(width=6.4)
for lengths, shift, colour, label in ((begin, -0.2, BLUE, "begin a word"), (go_on, 0.2, ORANGE, "go on with one (##)")):
    axis.bar(np.arange(1, longest + 1) + shift, np.bincount(lengths, minlength=longest + 1)[1:], 0.4, color=colour,
             label=f"{len(lengths):,} {label}")
axis.set(xlabel="length of the piece in letters", ylabel="number of pieces", xticks=range(1, longest + 1), title=f"the {len(tokenizer.vocab):,} entries")
axis.legend()
assert len(begin) + len(go_on) == len(pieces)

# %% [markdown]
# A common word is one piece, one row of the model's word table. The model reads a rare word in smaller pieces.

# %%
for word in ("water", "waterfall", "waterproofing", "antidisestablishmentarianism", "xylophone", "鳥"):
    print(f"{word:<30}", *tokenizer.tokenize(word))

# %% [markdown]
# ## Exercises
#
# Difficulty 2 of 5, about 15 minutes. The cell below names the words that are still cut wrongly.

# %%
# Write the rule yourself. `vocab` is any container of pieces; return a list of pieces, or ["[UNK]"].
def longest_pieces(word, vocab):
    return ["[UNK]"]                                    # your turn

def right(word):
    spans = match(word, tokenizer.vocab)
    return [("##" if start else "") + word[start:end] for start, end in spans] or ["[UNK]"]

some_words = ["unlocked", "riverbank", "zebra", "thermodynamics", "q", "鳥"]
wrong = [word for word in some_words if longest_pieces(word, tokenizer.vocab) != right(word)]
print("right!" if not wrong else f"not yet: {wrong}")

# %% [markdown]
# 1. Find an English word that takes five pieces or more.
# 2. Make a vocabulary of your own in which *abab* is unknown, though it could be cut in two ways.
# 3. Type `[MASK]` into a sentence. Is it one token? Is `[mask]` one? Why might one want that?
# 4. Which two different texts become the same ids? Find a pair that a reader would call different.
# 5. A text of `n` characters: how many look-ups does the rule need for one word in the worst case? Why is there a limit of
#    100 characters?

# %% [markdown]
# <details><summary>Answers to the numbered questions</summary>
#
# 1. Try long rare words: `tokenizer.tokenize("antidisestablishmentarianism")` has more than five. Any word of rare
#    letters will do.
# 2. `aba, ab, a, ##ab, ##bab`: *abab* could be `ab ##ab` or `a ##bab`, but the rule takes *aba* first and then finds no
#    `##b`.
# 3. `[MASK]` is one token, because special tokens are found before the text is cut. `[mask]` is three or more: text
#    that a user types in lower case should not become a command to the model.
# 4. *Resume* and *résumé*, *US* and *us*, *Polish* and *polish*: case and accents are gone. A run of spaces is gone,
#    too.
# 5. At the first place it tries n beginnings, at the next at most n - 1, and so on: at most n (n + 1) / 2. A text
#    without white space could be one word of a million characters; the limit keeps the time for a word bounded.
#
# </details>
