"""WordPiece."""

import unicodedata
from bisect import bisect_right
from functools import lru_cache
from typing import NamedTuple

import regex

from . import unicode8


def _inside(bounds):
    return lru_cache(1 << 16)(lambda char: bisect_right(bounds, ord(char)) % 2 == 1)


_LOWER = {chr(c): chr(c + shift) for first, last, step, shift in unicode8.LOWER_RUNS
          for c in range(first, last + 1, step)} | {"İ": "i̇"}
is_dropped, is_space, is_cjk = _inside(unicode8.DROPPED), _inside(unicode8.SPACES), _inside(unicode8.CJK)
is_mark, is_punctuation = _inside(unicode8.MARKS), _inside(unicode8.PUNCTUATION)
CHUNK = regex.compile(r"[^\t\n\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")


def normalize(text, lowercase=True, strip_accents=None):
    """-> the normalised text, and for each of its characters the index of the one it came from"""
    if text.isascii() and text.isprintable():
        return (text.lower() if lowercase else text), range(len(text))
    chars = [(char, i) for i, char in enumerate(text) if not is_dropped(char)]
    chars = [(out, i) for char, i in chars
             for out in ((" ", char, " ") if is_cjk(char) else (" ",) if is_space(char) else (char,))]
    if lowercase if strip_accents is None else strip_accents:
        chars = [(out, i) for char, i in chars for out in unicodedata.normalize("NFD", char) if not is_mark(out)]
    if lowercase:
        chars = [(out, i) for char, i in chars for out in _LOWER.get(char, char)]
    return "".join(char for char, _ in chars), [i for _, i in chars]


def split(normal):
    """-> (start, end) of every word: spaces part words, a punctuation mark stands alone"""
    spans, start = [], 0
    for i, char in enumerate(normal):
        space, mark = is_space(char), is_punctuation(char)
        if space or mark:
            if start < i:
                spans.append((start, i))
            if mark:
                spans.append((i, i + 1))
            start = i + 1
    if start < len(normal):
        spans.append((start, len(normal)))
    return spans


def wordpiece(word, vocab, unk, max_chars=100):
    """-> (id, start, end) of the longest pieces of `word` in `vocab`, from the left; one unknown if they do not fit"""
    if len(word) > max_chars:
        return [(unk, 0, len(word))]
    pieces, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        for end in range(len(word), start, -1):
            piece = vocab.get(prefix + word[start:end])
            if piece is not None:
                break
        else:
            return [(unk, 0, len(word))]
        pieces.append((piece, start, end))
        start = end
    return pieces


class Encoded(NamedTuple):
    ids: list
    spans: list
    words: list


class _Chunks(dict):
    """Remembers what became of each stretch between white space."""

    def __init__(self, encode, size=1 << 16, longest=100):
        self.encode, self.size, self.longest = encode, size, longest

    def __missing__(self, chunk):
        encoded = self.encode(chunk)
        if len(chunk) <= self.longest:
            if len(self) >= self.size:
                self.clear()
            self[chunk] = encoded
        return encoded


class ConvBertTokenizerFast:
    def __init__(self, vocab, do_lower_case=True, strip_accents=None):
        self.vocab = dict(vocab)
        self.do_lower_case, self.strip_accents = do_lower_case, strip_accents
        self.unk_token_id = self.vocab["[UNK]"]
        self._chunks = _Chunks(self._encode_plain)

    def _encode_plain(self, text):
        normal, source = normalize(text, self.do_lower_case, self.strip_accents)
        ids, spans, words = [], [], []
        for number, (start, end) in enumerate(split(normal)):
            for piece, a, b in wordpiece(normal[start:end], self.vocab, self.unk_token_id):
                ids.append(piece)
                spans.append((source[start + a], source[start + b - 1] + 1))
                words.append(number)
        return Encoded(ids, spans, words)

    def encode_ids(self, text):
        """The ids of the pieces of `text`, without special tokens."""
        ids = []
        for chunk in CHUNK.findall(text):
            ids += self._chunks[chunk].ids
        return ids
