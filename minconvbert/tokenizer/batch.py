"""What a tokenizer returns, and the words that it remembers."""

import numpy as np

from ..output import described, listing

LONGEST_SHOWN = 1000                                   # characters of a batch that is shown whole


class Remembered(dict):
    """chunk -> Pieces, each worked out once, as long as it is used: words that are common stay.

    At `size` chunks all become old. The old that are asked for again are taken over; the others go at the next turn.
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


class BatchEncoding(dict):
    """What a tokenizer returns: a dict whose entries are attributes, too, and what each row knows of its tokens."""

    def __init__(self, entries, rows=(), to_tokens=None):
        super().__init__(entries)
        self._rows, self._to_tokens = rows, to_tokens

    def __getattr__(self, name):
        if name in self:
            return self[name]
        raise AttributeError(f"there is no {name!r} here, but {', '.join(self)}")

    def __repr__(self):
        whole = super().__repr__()
        if len(whole) < LONGEST_SHOWN:
            return whole
        return listing("BatchEncoding", [(name, described(values)) for name, values in self.items()])

    def tokens(self, row=0):
        """The tokens of a row, special ones and padding included.

        An added token is given as it was added; the `tokenizers` library gives the stretch of text that it took.
        """
        return self._to_tokens(self._rows[row]["input_ids"])

    def word_ids(self, row=0):
        """Of each token of a row the number of its word, from 0 in either sequence; None for special tokens."""
        return self._rows[row]["word_ids"]

    def sequence_ids(self, row=0):
        """Of each token of a row 0 or 1, the sequence it belongs to; None for special tokens."""
        return self._rows[row]["sequence_ids"]


def _array(name, values):
    try:
        return np.array(values, dtype=np.int64)
    except ValueError:
        lengths = sorted({len(row) for row in values})
        raise ValueError(f"for arrays all rows must be equally long, but those of {name} have {lengths[0]} to"
                         f" {lengths[-1]} tokens: use padding=True") from None
