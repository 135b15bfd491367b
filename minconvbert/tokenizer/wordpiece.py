"""Cut a text into word pieces. The whole pipeline is functions without state:

    lower     write every character in lower case
    clean     remove control characters; write white space of any kind as a space
    spread    put a space on both sides of every Chinese character
    compose   write a letter and its accents as one character, if there is one       (only the slow tokenizer)
    strip     write them as several characters, and remove the accents
    split     split at spaces, and on both sides of every punctuation mark
    match     take the longest piece of the vocabulary that the rest of the word begins with, again and again

Hugging Face has two tokenizers, a slow and a fast one. Both use this pipeline; `Rules` lists all their differences.

Source: tokenization.py of the original repository, tokenization_convbert.py and tokenization_utils.py of transformers
4.57.6 (slow), the `tokenizers` package (fast).
"""

import re
import unicodedata
from bisect import bisect_right
from functools import lru_cache
from typing import NamedTuple

from . import unicode8

PREFIX = "##"  # begins a piece that continues a word

# Stretches of a text that do not affect each other, so that each can be cut into pieces, and cached, alone. They are
# separated by white space and by common punctuation marks, which no accent and no control character follows. Words of
# plain letters are stretches; everything else stays together up to the next white space. Each stretch is a group, so
# that `re.split` also returns what lies between them.
_SPACED = r"[^\t\n\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+"
SPACED = re.compile(f"({_SPACED})")
_TYPESET = "\u2013\u2014\u2018\u2019\u201c\u201d\u2026"  # dashes, quotes and the ellipsis of printed texts
_MARK = rf"[!-/:-@\[-`{{-~{_TYPESET}](?=[\t\n\r -~{_TYPESET}]|\Z)"
CHUNK = re.compile(rf"({_MARK}|[A-Za-z0-9]+(?=[\t\n\r ]|{_MARK}|\Z)|{_SPACED})")


class Rules(NamedTuple):
    """The differences between the slow and the fast tokenizer."""

    # Each of these functions takes one character.
    lower: callable             # its lower case
    is_dropped: callable        # is it a control character?
    is_ideograph: callable      # is it Chinese?
    decompose: callable         # its canonical decomposition
    combining_class: callable   # the place of a mark among marks; 0 for any other character
    is_mark: callable           # is it an accent?
    is_punctuation: callable
    blocks_single_word: callable  # True: a `single_word` token is not found next to it
    # The slow one composes characters before it strips accents, so that é of one character and of two are alike.
    composes: bool
    # The slow one lowercases the text before it searches added tokens, so it finds <ENT> if <ent> was added.
    lowers_first: bool
    # If an odd number of tokens is left for two sequences, the slow one gives the odd token to the first sequence; the
    # fast one gives it to the longer one, or to the second if they are equally long.
    first_keeps_more: bool
    # The slow one gives both sequences of a pair type 0 if there are no special tokens.
    types_need_specials: bool
    # The slow one takes an empty second sequence for a second sequence; the fast one ignores it.
    empty_pair_counts: bool
    # The slow one returns what was cut off as one list of ids; the fast one returns it as further rows.
    flat_overflow: bool
    # For the lengths of many texts, the slow one counts before it pads; the fast one counts padding, too.
    lengths_before_padding: bool
    # The slow one has no offsets, because composed characters do not say which characters they came from.
    has_offsets: bool


def _inside(bounds):
    return lru_cache(1 << 14)(lambda char: bisect_right(bounds, ord(char)) % 2 == 1)


def _slow_is_dropped(char):
    return (unicodedata.category(char)[0] == "C" and char not in "\t\n\r") or char == "\ufffd"


def _slow_is_punctuation(char):
    return (char.isascii() and char.isprintable() and not char.isalnum() and char != " ") or (
        unicodedata.category(char)[0] == "P")


# This is the table of `tokenizers`, whatever the version of Python.
_LOWER = {chr(c): chr(c + shift) for first, last, step, shift in unicode8.LOWER_RUNS
          for c in range(first, last + 1, step)} | {"İ": "i̇"}
_decomposes, _combines = _inside(unicode8.DECOMPOSED), _inside(unicode8.COMBINING)
_is_space = _inside(unicode8.SPACES)


@lru_cache(1 << 14)
def _is_of_a_word(char):
    import regex  # not at the top, because only added tokens with single_word need it
    return regex.match(r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]", char) is not None


FAST = Rules(
    lower=lambda char: _LOWER.get(char, char),
    is_dropped=_inside(unicode8.DROPPED),      # unassigned characters stay
    is_ideograph=_inside(unicode8.CJK),        # extension E from U+2B920, a slip for U+2B820
    decompose=lambda char: unicodedata.normalize("NFD", char) if _decomposes(char) else char,
    combining_class=lambda char: unicodedata.combining(char) if _combines(char) else 0,
    is_mark=_inside(unicode8.MARKS),           # marks that Unicode added since 2015 stay
    is_punctuation=_inside(unicode8.PUNCTUATION),
    blocks_single_word=_is_of_a_word,
    composes=False, lowers_first=False, first_keeps_more=False, types_need_specials=False, empty_pair_counts=False,
    flat_overflow=False, lengths_before_padding=False, has_offsets=True)

# These rules use `unicodedata` of the running Python, because the slow tokenizer of Hugging Face does, too.
SLOW = Rules(
    lower=str.lower,
    is_dropped=lru_cache(1 << 14)(_slow_is_dropped),
    is_ideograph=_inside(sorted(set(unicode8.CJK) - {0x2b820, 0x2b920})),
    decompose=lambda char: unicodedata.normalize("NFD", char),
    combining_class=unicodedata.combining,
    is_mark=lambda char: unicodedata.category(char) == "Mn",
    is_punctuation=lru_cache(1 << 14)(_slow_is_punctuation),
    blocks_single_word=lambda char: char != " ",
    composes=True, lowers_first=True, first_keeps_more=True, types_need_specials=True, empty_pair_counts=True,
    flat_overflow=True, lengths_before_padding=True, has_offsets=False)


def normalize(text, rules=FAST, lowercase=True, strip_accents=None, spread_chinese=True):
    """-> the normalized text; for each of its characters the index in `text` of the character that it came from

    Accents are stripped if `strip_accents`; None means the value of `lowercase`. The indices mean nothing if the rules
    compose characters.
    """
    if text.isascii() and text.isprintable():
        return text.lower() if lowercase else text, range(len(text))
    chars = [(char, i) for i, char in enumerate(text)]
    if lowercase:
        chars = [(low, i) for char, i in chars for low in rules.lower(char)]
    chars = [(" " if _is_space(char) else char, i) for char, i in chars if not rules.is_dropped(char)]
    if spread_chinese:
        chars = [(out, i) for char, i in chars for out in (f" {char} " if rules.is_ideograph(char) else char)]
    if rules.composes:
        ordered = "".join(char for char, _ in decompose(chars, rules))
        chars = [(char, i) for i, char in enumerate(unicodedata.normalize("NFC", ordered))]
    if lowercase if strip_accents is None else strip_accents:
        chars = [(char, i) for char, i in decompose(chars, rules) if not rules.is_mark(char)]
    return "".join(char for char, _ in chars), [i for _, i in chars]


def decompose(chars, rules):
    """Write letters and accents as separate characters, with the accents of each letter sorted by combining class.

    `unicodedata` takes time that grows with the square of the number of accents; a text of nothing else would hang it.
    """
    parts, marks = [], []
    for char, _ in chars:
        for k, part in enumerate(rules.decompose(char)):
            place = rules.combining_class(part)
            if place:
                marks.append((place, part, k > 0))
            else:
                parts += [(part, more) for _, part, more in sorted(marks, key=lambda mark: mark[0])]
                parts.append((part, k > 0))
                marks = []
    parts += [(part, more) for _, part, more in sorted(marks, key=lambda mark: mark[0])]

    # After sorting, such a part counts as coming from the character now before it, as in `tokenizers`.
    out, at = [], -1
    for part, more in parts:
        at += not more
        out.append((part, chars[at][1]))
    return out


def split(normal, rules=FAST):
    """-> (start, end) of each word. White space separates words; a punctuation mark is a word of its own."""
    spans, start = [], 0
    for i, char in enumerate(normal):
        if char == " " or rules.is_punctuation(char):
            if start < i:
                spans.append((start, i))
            if char != " ":
                spans.append((i, i + 1))
            start = i + 1
    if start < len(normal):
        spans.append((start, len(normal)))
    return spans


def longest_pieces(vocab):
    """{the first two characters of tokens, without `##`: the number of characters of the longest such token}"""
    longest = {}
    for token in vocab:
        prefixes = ("", PREFIX) if token.startswith(PREFIX) else ("",)
        for prefix in prefixes:
            begin, length = token[:len(prefix) + 2], len(token) - len(prefix)
            longest[begin] = max(length, longest.get(begin, 1))
    return longest


def match(word, vocab, max_chars=100, longest=None):
    """-> (start, end) of each piece. From left to right, a piece is the longest in `vocab` that the rest begins with.

    The list is empty, and the whole word unknown, if no piece fits somewhere or the word has more than `max_chars`
    characters.

    longest: `longest_pieces` of the vocabulary; it saves the search for pieces that are longer than any token.
    """
    if len(word) > max_chars:
        return []
    spans, start = [], 0
    while start < len(word):
        prefix = PREFIX if start else ""
        last = len(word)
        if longest is not None:
            last = min(last, start + longest.get(prefix + word[start:start + 2], 1))
        for end in range(last, start, -1):
            if prefix + word[start:end] in vocab:
                break
        else:
            return []
        spans.append((start, end))
        start = end
    return spans


def explain(word, vocab, max_chars=100):
    """The reasons why `match` chose its pieces: one sentence for each piece, or one for an unknown word."""
    spans = match(word, vocab, max_chars)
    if len(word) > max_chars:
        return [f"unknown: it has {len(word)} characters, and a word may have {max_chars}"]
    if not spans:
        fits = [0]
        while fits:
            start = fits[0]
            fits = [end for end in range(len(word), start, -1) if PREFIX * (start > 0) + word[start:end] in vocab][:1]
        at = f"after {word[:start]!r} " if start else ""
        return [f"unknown: {at}the vocabulary has no piece that {PREFIX * (start > 0) + word[start:]!r} begins with"]
    reasons = []
    for start, end in spans:
        prefix = PREFIX if start else ""
        longer = [prefix + word[start:e] for e in range(len(word), end, -1)]
        if not longer:
            reasons.append("the rest of the word" if start else "the whole word")
        elif len(longer) <= 3:
            reasons.append(f"the longest that fits, because the vocabulary lacks {', '.join(longer)}")
        else:
            reasons.append(f"the longest that fits, because the vocabulary lacks {longer[0]} ... {longer[-1]}")
    return reasons
