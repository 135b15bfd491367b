"""Make the rows that a model reads from the pieces of one text or of two: truncation, special tokens, padding.

Source: tokenization_utils_base.py of transformers 4.57.6 (slow), the `tokenizers` package (fast).
"""

from itertools import chain
from typing import NamedTuple

STRATEGIES = ("longest_first", "only_first", "only_second", "do_not_truncate")
SIDES = ("right", "left")


class Pieces(NamedTuple):
    """The pieces of a text: for each its id, its (start, end) in the text, and the number of its word."""

    ids: list
    spans: list
    words: list

    def cut(self, start, end):
        return Pieces(self.ids[start:end], self.spans[start:end], self.words[start:end])


def joined(lists):
    return list(chain.from_iterable(lists))


def special(i):
    """A special token as a sequence of one piece, which has no place in the text."""
    return Pieces([i], [(0, 0)], [None])


def row(first, second, cls_id, sep_id, rules):
    """[CLS] first [SEP], or [CLS] first [SEP] second [SEP], or without specials (None)  ->  a dict of lists"""
    parts = [(first, 0, 0)] if second is None else [(first, 0, 0), (second, 1, 1)]  # pieces, type, sequence
    if cls_id is not None:
        parts = [(special(cls_id), 0, None), *chain.from_iterable(
            (part, (special(sep_id), part[1], None)) for part in parts)]
    has_types = cls_id is not None or not rules.types_need_specials
    ids, types, specials, offsets, words, sequences = [], [], [], [], [], []
    for pieces, kind, sequence in parts:
        length = len(pieces.ids)
        ids += pieces.ids
        types += [kind * has_types] * length
        specials += [int(sequence is None)] * length
        offsets += pieces.spans
        words += pieces.words
        sequences += [sequence] * length
    return dict(input_ids=ids, token_type_ids=types, attention_mask=[1] * len(ids), special_tokens_mask=specials,
                offset_mapping=offsets, word_ids=words, sequence_ids=sequences)


def pad_rows(rows, length, pad_id, side):
    """Pad the lists of rows to `length`, in place."""
    filler = dict(input_ids=pad_id, token_type_ids=0, attention_mask=0, special_tokens_mask=1, offset_mapping=(0, 0),
                  word_ids=None, sequence_ids=None)
    for entries in rows:
        missing = length - len(entries["input_ids"])
        for name in entries.keys() & filler.keys():
            more = [filler[name]] * missing
            entries[name] = entries[name] + more if side == "right" else more + entries[name]


def truncate(first, second, room, strategy, stride, side, with_rest, rules):
    """-> [(first, second) that fit, further windows of them ...], ids that were cut off

    The fast tokenizer returns the rest as windows that overlap by `stride`; if both sequences are cut, every window of
    one comes with every window of the other. The slow one returns it as one list, which begins `stride` before the cut.

    Raises ValueError if the strategy cannot make them fit, or if `stride` leaves no room for the windows to advance.
    """
    kept = share(len(first.ids), None if second is None else len(second.ids), room, strategy, rules)
    cut_off = []
    if with_rest and rules.flat_overflow:
        part, number = (second, kept[1]) if strategy == "only_second" else (first, kept[0])
        cut_off = part.ids[max(0, number - stride):]
        cut_off = cut_off if side == "right" else part.ids[:len(cut_off)]
    if rules.flat_overflow:
        stride, with_rest = 0, False
    firsts = windows(first, kept[0], stride, side, with_rest)
    seconds = [None] if second is None else windows(second, kept[1], stride, side, with_rest)
    others = [(a, b) for a in firsts[1:] for b in seconds] + [(firsts[0], b) for b in seconds[1:]]
    return [(firsts[0], seconds[0]), *others], cut_off


def share(first, second, room, strategy, rules):
    """How many of the `first` and `second` pieces are kept, so that they are `room` in all.   second: None without one

    Raises ValueError if the strategy cannot do it.
    """
    if second is None and strategy != "only_second":
        return room, 0
    if strategy != "longest_first":
        kept = (room - second, second) if strategy == "only_first" else (first, room - first)
        if second is None or kept[strategy == "only_second"] < 1:
            raise ValueError(f"truncation {strategy!r} cannot make {room} pieces of {first} in the first sequence and"
                             f" {second or 0} in the second: use 'longest_first', or a larger max_length")
        return kept
    shorter, half, odd = min(first, second), *divmod(room, 2)
    if 2 * shorter <= room:
        return (first, room - first) if first == shorter else (room - second, second)
    return (half + odd, half) if rules.first_keeps_more or first > second else (half, half + odd)


def windows(pieces, length, stride, side, with_rest):
    """-> the `length` pieces that fit and, `with_rest`, the windows of the other pieces, which overlap by `stride`"""
    total = len(pieces.ids)
    if length >= total:
        return [pieces]
    if stride >= length and (with_rest or length):
        raise ValueError(f"a window must have room for more than stride = {stride} pieces, but has room for {length}:"
                         " use a smaller stride or a larger max_length")
    starts = range(0, total - stride, length - stride) if with_rest else [0]
    spans = [(start, min(start + length, total)) for start in starts]
    if side == "left":
        spans = [(total - end, total - start) for start, end in spans]
    return [pieces.cut(start, end) for start, end in spans]
