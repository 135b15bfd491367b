"""What a tokenizer returns, and the words that it remembers."""

import numpy as np

from ..output import described, listing

LONGEST_SHOWN = 1000                                   # the most characters of a batch that is shown in full


class Remembered(dict):
    """A cache, chunk -> Pieces, that keeps common words and forgets words that are no longer used.

    When it has `size` chunks, all of them become old. An old chunk that is used again becomes new; the others are
    forgotten the next time that the cache is full.
    """

    def __init__(self, work_out, size=1 << 16, longest=100):
        self.work_out, self.size, self.longest, self.old = work_out, size, longest, {}

    def __missing__(self, chunk):
        pieces = self.old.get(chunk) or self.work_out(chunk)
        if len(chunk) <= self.longest:
            if len(self) >= self.size:
                self.old = dict(self)
                self.clear()
            self[chunk] = pieces
        return pieces


class Encoding:
    """One row of a tokenizer's answer: its lists, and methods that say which piece, word and character belong together.

    Source: `Encoding` of the `tokenizers` package.
    """

    def __init__(self, row, to_tokens):
        self.ids, self.type_ids, self.attention_mask = row["input_ids"], row["token_type_ids"], row["attention_mask"]
        self.special_tokens_mask, self.offsets = row["special_tokens_mask"], row["offset_mapping"]
        self.word_ids, self.sequence_ids = row["word_ids"], row["sequence_ids"]
        self.tokens = to_tokens(self.ids)

    def __len__(self):
        return len(self.ids)

    def _pieces(self, sequence, fits):
        """The numbers of the pieces of a sequence for which `fits` holds."""
        return [i for i, kind in enumerate(self.sequence_ids) if kind == sequence and fits(i)]

    def char_to_token(self, char_pos, sequence_index=0):
        """The number of the piece that a character of the text belongs to; None for white space."""
        spans = self.offsets
        found = self._pieces(sequence_index, lambda i: spans[i][0] <= char_pos < spans[i][1])
        return found[0] if found else None

    def token_to_chars(self, token_index):
        """(start, end) of a piece in its text; None for a special token."""
        return None if self.sequence_ids[token_index] is None else self.offsets[token_index]

    def word_to_tokens(self, word_index, sequence_index=0):
        """(first, one past the last) of the pieces of a word; None if there is no such word."""
        found = self._pieces(sequence_index, lambda i: self.word_ids[i] == word_index)
        return (found[0], found[-1] + 1) if found else None

    def token_to_word(self, token_index):
        """The number of the word of a piece; None for a special token."""
        return self.word_ids[token_index]

    def token_to_sequence(self, token_index):
        """0 or 1, the sequence of a piece; None for a special token."""
        return self.sequence_ids[token_index]

    def word_to_chars(self, word_index, sequence_index=0):
        """(start, end) of a word in its text; None if there is no such word."""
        pieces = self.word_to_tokens(word_index, sequence_index)
        return pieces and (self.offsets[pieces[0]][0], self.offsets[pieces[1] - 1][1])

    def char_to_word(self, char_pos, sequence_index=0):
        """The number of the word that a character of the text belongs to; None for white space."""
        piece = self.char_to_token(char_pos, sequence_index)
        return None if piece is None else self.word_ids[piece]


class BatchEncoding(dict):
    """What a tokenizer returns: a dict whose entries are also attributes, and the methods of `Encoding` for each row.

    `enc[0]` is the first row as an `Encoding`. The methods of `Encoding` take the number of the row as their first
    argument; for a single text it may be left out: `enc.char_to_token(0, 7)` or `enc.char_to_token(7)`.
    """

    def __init__(self, entries, rows=(), to_tokens=None):
        super().__init__(entries)
        self._rows, self._to_tokens = rows, to_tokens

    def __getattr__(self, name):
        if name in self:
            return self[name]
        raise AttributeError(f"this batch has no {name!r}, but has {', '.join(self)}")

    def __getitem__(self, key):
        if isinstance(key, (int, np.integer)):
            return self._encoding(key)
        if isinstance(key, slice):
            return {name: values[key] for name, values in self.items()}
        return super().__getitem__(key)

    @property
    def encodings(self):
        return [self._encoding(row) for row in range(len(self._rows))]

    def _encoding(self, row):
        rows = len(self._rows)
        if not -rows <= row < rows or "word_ids" not in self._rows[row]:
            raise IndexError(f"row {row} must be one that the tokenizer made, but it made {rows}")
        return Encoding(self._rows[row], self._to_tokens)

    def to_dict(self):
        """The entries as a plain dict."""
        return dict(self)

    def __repr__(self):
        whole = super().__repr__()
        if len(whole) < LONGEST_SHOWN:
            return whole
        return listing("BatchEncoding", [(name, described(values)) for name, values in self.items()])

    def tokens(self, row=0):
        """The tokens of a row, special ones and padding included.

        An added token is given as it was added; the `tokenizers` library gives the text that it was found as.
        """
        return self._to_tokens(self._rows[row]["input_ids"])

    def word_ids(self, row=0):
        """The number of the word of each token of a row, from 0 in either sequence; None for special tokens."""
        return self._rows[row]["word_ids"]

    def sequence_ids(self, row=0):
        """The sequence of each token of a row, 0 or 1; None for special tokens."""
        return self._rows[row]["sequence_ids"]

    def char_to_token(self, batch_or_char_index, char_index=None, sequence_index=0):
        return self._of_row("char_to_token", batch_or_char_index, char_index, sequence_index)

    def char_to_word(self, batch_or_char_index, char_index=None, sequence_index=0):
        return self._of_row("char_to_word", batch_or_char_index, char_index, sequence_index)

    def token_to_chars(self, batch_or_token_index, token_index=None):
        return self._of_row("token_to_chars", batch_or_token_index, token_index)

    def token_to_word(self, batch_or_token_index, token_index=None):
        return self._of_row("token_to_word", batch_or_token_index, token_index)

    def token_to_sequence(self, batch_or_token_index, token_index=None):
        return self._of_row("token_to_sequence", batch_or_token_index, token_index)

    def word_to_tokens(self, batch_or_word_index, word_index=None, sequence_index=0):
        return self._of_row("word_to_tokens", batch_or_word_index, word_index, sequence_index)

    def word_to_chars(self, batch_or_word_index, word_index=None, sequence_index=0):
        return self._of_row("word_to_chars", batch_or_word_index, word_index, sequence_index)

    def _of_row(self, name, row, number, *more):
        row, number = (0, row) if number is None else (row, number)
        return getattr(self._encoding(row), name)(number, *more)


def _array(name, values):
    try:
        return np.array(values, dtype=np.int64)
    except ValueError:
        lengths = sorted({len(row) for row in values})
        raise ValueError(f"for arrays all rows must be equally long, but those of {name} have {lengths[0]} to"
                         f" {lengths[-1]} tokens: use padding=True") from None
