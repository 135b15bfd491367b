"""The two tokenizers, as Hugging Face has them: texts in, rows of ids out, and back.

What happens to a text is in wordpiece.py. Here: tokens that are not to be taken apart, memory of the words seen,
truncation, special tokens, padding, decoding, and the files.

Source: tokenization_utils_base.py, tokenization_utils.py and tokenization_utils_fast.py of transformers 4.57.6.
"""

import argparse
import inspect
import json
import re
import sys
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .files import write_atomic
from .vocab import read_vocab, write_vocab
from .wordpiece import CHUNK, FAST, PREFIX, SLOW, explain, match, normalize, split

SPECIAL_NAMES = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
VOCABULARY = Path(__file__).with_name("vocab.txt")  # of this project: 8,192 tokens of English, lower case
NO_LIMIT, LARGE = int(1e30), int(1e20)  # `model_max_length` where there is none, as Hugging Face writes it and reads it
STRATEGIES = ("longest_first", "only_first", "only_second", "do_not_truncate")
PADDINGS = ("longest", "max_length", "do_not_pad")
SIDES = ("right", "left")
NORMALIZER_NAMES = {"do_lower_case": "lowercase", "strip_accents": "strip_accents",
                    "tokenize_chinese_chars": "handle_chinese_chars"}  # ours, and those of a tokenizer.json
CLEAN_UP = ((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
            (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"))
DECODER_CLEAN_UP = (*CLEAN_UP[:7], (" do not", " don't"), *CLEAN_UP[7:])  # of the fast tokenizer, token by token


@dataclass(frozen=True)
class AddedToken:
    """A token that is found in a text before anything is done to the text.

    `single_word`: only where no letter touches it. `lstrip`, `rstrip`: it takes the white space on that side with it.
    `normalized`: the fast tokenizer looks for it in the normalized text, so in any case; None: unless it is special.
    `special`: decoding can skip it.
    """

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool | None = None
    special: bool = False

    def __str__(self):
        return self.content


class Pieces(NamedTuple):
    """What a text became. Of each piece: its id, its (start, end) in the text, the number of its word."""

    ids: list
    spans: list
    words: list

    def cut(self, start, end):
        return Pieces(self.ids[start:end], self.spans[start:end], self.words[start:end])


class Remembered(dict):
    """chunk -> Pieces. Each is worked out once and kept; at `size` chunks, all is forgotten."""

    def __init__(self, work_out, size=1 << 16, longest=100):
        self.work_out, self.size, self.longest = work_out, size, longest

    def __missing__(self, chunk):
        pieces = self.work_out(chunk)
        if len(chunk) <= self.longest:
            if len(self) >= self.size:
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

    def tokens(self, row=0):
        """The tokens of a row, special ones and padding included."""
        return self._to_tokens(self._rows[row]["input_ids"])

    def word_ids(self, row=0):
        """Of each token of a row the number of its word, from 0 in either sequence; None for special tokens."""
        return self._rows[row]["word_ids"]

    def sequence_ids(self, row=0):
        """Of each token of a row 0 or 1, the sequence it belongs to; None for special tokens."""
        return self._rows[row]["sequence_ids"]


class _Tokenizer:
    """All that the two tokenizers have in common."""

    rules = None
    settings = ("do_lower_case", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
                "tokenize_chinese_chars", "strip_accents", "clean_up_tokenization_spaces", "additional_special_tokens",
                "split_special_tokens", "model_max_length", "padding_side", "truncation_side",
                "max_input_chars_per_word")

    def __init__(self, vocab_file, do_lower_case=True, unk_token="[UNK]", sep_token="[SEP]", pad_token="[PAD]",
                 cls_token="[CLS]", mask_token="[MASK]", tokenize_chinese_chars=True, strip_accents=None,
                 clean_up_tokenization_spaces=True, additional_special_tokens=None, added_tokens_decoder=None,
                 split_special_tokens=False, model_max_length=None, padding_side="right", truncation_side="right",
                 max_input_chars_per_word=100):
        """`vocab_file`: the path of a vocabulary, or the vocabulary itself: a list of tokens, or a dict token -> id.

        Raises ValueError for a vocabulary that cannot be read, or lacks a special token.
        """
        self._lines, self.vocab = _vocabulary(vocab_file)
        self.do_lower_case, self.strip_accents = do_lower_case, strip_accents
        self.tokenize_chinese_chars = tokenize_chinese_chars
        self.clean_up_tokenization_spaces = clean_up_tokenization_spaces
        self.split_special_tokens = split_special_tokens
        self.model_max_length = NO_LIMIT if model_max_length is None else model_max_length
        self.padding_side = _one_of("padding_side", padding_side, SIDES)
        self.truncation_side = _one_of("truncation_side", truncation_side, SIDES)
        self.max_input_chars_per_word = max_input_chars_per_word

        self.added_tokens_decoder = {int(i): _as_token(token) for i, token in (added_tokens_decoder or {}).items()}
        self.additional_special_tokens = []
        self._get_ready()
        special = dict(zip(SPECIAL_NAMES, (unk_token, sep_token, pad_token, cls_token, mask_token)))
        missing = [str(token) for token in special.values() if str(token) not in self._ids]
        if missing:
            raise ValueError(f"a vocabulary must have the special tokens, but this one, of {len(self.vocab):,}, lacks"
                             f" {', '.join(missing)}: add them, or name its own with {', '.join(SPECIAL_NAMES)}")
        for name, token in special.items():
            setattr(self, name, str(token))
        self.add_special_tokens(special | {"additional_special_tokens": additional_special_tokens or []})

    unk_token_id = property(lambda self: self._ids[self.unk_token])
    sep_token_id = property(lambda self: self._ids[self.sep_token])
    pad_token_id = property(lambda self: self._ids[self.pad_token])
    cls_token_id = property(lambda self: self._ids[self.cls_token])
    mask_token_id = property(lambda self: self._ids[self.mask_token])
    is_fast = property(lambda self: self.rules is FAST)
    vocab_size = property(lambda self: len(self.vocab), doc="Number of tokens in the vocabulary, added ones left out.")

    def __len__(self):
        return len(self._ids)

    def __repr__(self):
        return f"{type(self).__name__}({len(self.vocab):,} tokens, {self.special_tokens_map})"

    def get_vocab(self):
        """token -> id, added tokens included."""
        return dict(self._ids)

    @property
    def added_tokens_encoder(self):
        """token -> id of the added tokens, special ones included."""
        return {token.content: i for i, token in sorted(self.added_tokens_decoder.items())}

    @property
    def special_tokens_map(self):
        """name -> special token, as `mask_token` -> `[MASK]`."""
        more = {"additional_special_tokens": self.additional_special_tokens} if self.additional_special_tokens else {}
        return {name: getattr(self, name) for name in SPECIAL_NAMES} | more

    @property
    def all_special_tokens(self):
        return list(dict.fromkeys([*(getattr(self, name) for name in SPECIAL_NAMES), *self.additional_special_tokens]))

    @property
    def all_special_ids(self):
        return self.convert_tokens_to_ids(self.all_special_tokens)

    # Added tokens

    def add_tokens(self, new_tokens, special_tokens=False):
        """Add tokens (str or AddedToken) that stay whole wherever they occur; -> how many the vocabulary did not have.

        A new one gets the id after the largest. The reference takes the number of tokens instead, which is some other
        token's id if the vocabulary has duplicates.
        """
        before = len(self)
        for token in [new_tokens] if isinstance(new_tokens, (str, AddedToken)) else new_tokens:
            if not isinstance(token, (str, AddedToken)):
                raise TypeError(f"a token must be a str or an AddedToken, but is {_shown(token)}")
            i = self._ids.get(str(token))
            special = special_tokens or str(token) in self.all_special_tokens
            if isinstance(token, str):
                if i in self.added_tokens_decoder and self.added_tokens_decoder[i].special >= special:
                    continue  # with whatever it was added with
                token = AddedToken(token)
            special |= token.special
            normalized = not special if token.normalized is None else token.normalized
            if self.rules.lowers_first and self.do_lower_case and normalized and not special:
                token = replace(token, content=token.content.lower())
                i = self._ids.get(token.content)
            if not token.content:
                continue
            i = max(chain(self._tokens, [-1])) + 1 if i is None else i
            self._ids[token.content], self._tokens[i] = i, token.content
            self.added_tokens_decoder[i] = replace(token, special=special, normalized=normalized)
            if special and token.content not in self.all_special_tokens:
                self.additional_special_tokens.append(token.content)
        self._get_ready()
        return len(self) - before

    def add_special_tokens(self, special_tokens):
        """Name special tokens, as `{"pad_token": "<pad>"}`, and add those that are new; -> how many were new."""
        new = []
        for name, token in special_tokens.items():
            if name == "additional_special_tokens":
                self.additional_special_tokens = [str(one) for one in token]
                new += token
            else:
                setattr(self, _one_of("the name of a special token", name, SPECIAL_NAMES), str(token))
                new.append(token)
        return self.add_tokens(new, special_tokens=True)

    def _get_ready(self):
        """Work out anew all that depends on the added tokens."""
        added = self.added_tokens_encoder
        self._ids = self.vocab | added
        self._tokens = {i: token for token, i in chain(self.vocab.items(), added.items())}
        late = [token for token in self.added_tokens_decoder.values()
                if token.normalized and not self.rules.lowers_first]
        early = [token for token in self.added_tokens_decoder.values() if token not in late]
        self._early = _Finder({token.content: token for token in early})
        self._late = _Finder({self._normalize(token.content)[0]: token for token in late})
        self._remembered = Remembered(self._work_out)

    def _find(self, text, finder, left_out=()):
        """Cut a text at added tokens: -> (AddedToken, or None between them; start; end) of stretch after stretch"""
        at = 0
        for found in finder.pattern.finditer(text):
            token, (start, end) = finder.tokens[found.group()], found.span()
            if token.content in left_out or start < at:
                continue
            if token.single_word and any(map(self.rules.blocks_single_word, text[start - 1:start] + text[end:end + 1])):
                continue
            while token.lstrip and start > at and text[start - 1].isspace():
                start -= 1
            while token.rstrip and end < len(text) and text[end].isspace():
                end += 1
            if at < start:
                yield None, at, start
            yield token, start, end
            at = end
        if at < len(text):
            yield None, at, len(text)

    # From a text to its pieces

    def _normalize(self, text):
        return normalize(text, self.rules, self.do_lower_case, self.strip_accents, self.tokenize_chinese_chars)

    def _words(self, text):
        """-> (its id if it is an added token, else None; the word; of each of its characters the index in `text`)"""
        normal, source = self._normalize(text)
        for token, start, end in self._find(normal, self._late):
            if token:
                yield self._ids[token.content], normal[start:end], source[start:end]
                continue
            for a, b in split(normal[start:end], self.rules):
                yield None, normal[start + a:start + b], source[start + a:start + b]

    def _work_out(self, text):
        """-> the Pieces of a text without special tokens: the plain way, with nothing remembered"""
        ids, spans, words = [], [], []
        for number, (i, word, source) in enumerate(self._words(text)):
            pieces = match(word, self.vocab, self.max_input_chars_per_word) if i is None else []
            for start, end in pieces:
                ids.append(self.vocab[PREFIX * (start > 0) + word[start:end]])
                spans.append((source[start], source[end - 1] + 1))
            if not pieces:
                ids.append(self.unk_token_id if i is None else i)
                spans.append((source[0], source[-1] + 1))
            words += [number] * (len(ids) - len(words))
        return Pieces(ids, spans, words)

    def _prepared(self, text):
        """What is done to a text as a whole, before added tokens are looked for."""
        return text

    def _stretches(self, text, split_special_tokens):
        """-> (AddedToken, or None between them; start; end): what is found in the text as it stands"""
        return self._find(text, self._early, self.all_special_tokens if split_special_tokens else ())

    def _pieces(self, text, split_special_tokens=False):
        """-> the Pieces of any text"""
        text = self._prepared(_checked(text))
        ids, spans, words, number = [], [], [], 0
        for token, start, end in self._stretches(text, split_special_tokens):
            if token:
                ids.append(self._ids[token.content])
                spans.append((start, end))
                words.append(number)
                number += 1
                continue
            # A token that is looked for in the normalized text may have white space in it: nothing can be cut before.
            chunks = [(text[start:end], start)] if self._late.tokens else (
                (chunk.group(), chunk.start()) for chunk in CHUNK.finditer(text, start, end))
            for chunk, at in chunks:
                pieces = self._remembered[chunk]
                if pieces.ids:
                    ids += pieces.ids
                    spans += [(a + at, b + at) for a, b in pieces.spans]
                    words += [n + number for n in pieces.words]
                    number = words[-1] + 1
        return Pieces(ids, spans, words)

    def _sequence(self, text, is_split_into_words, split_special_tokens):
        """-> the Pieces of a text, or of a list of words; then offsets count from the start of each word"""
        if not is_split_into_words:
            return self._pieces(text, split_special_tokens)
        if not isinstance(text, (list, tuple)):
            raise TypeError(f"with is_split_into_words a text must be a list of words, but is {_shown(text)}")
        parts = [self._pieces(word, split_special_tokens) for word in text]
        return Pieces(_joined(part.ids for part in parts), _joined(part.spans for part in parts),
                      _joined([number] * len(part.ids) for number, part in enumerate(parts)))

    def encode_ids(self, text):
        """The ids of the pieces of a text, and nothing else: no special tokens around them."""
        return self._pieces(text).ids

    def tokenize(self, text, pair=None, add_special_tokens=False, **options):
        """The tokens of a text, as strings."""
        return self(text, pair, add_special_tokens=add_special_tokens, **options).tokens()

    def explain(self, text):
        """Of each piece a dict: token, id, start, end, text, word (as normalized), why (it was chosen)."""
        text, rows = self._prepared(_checked(text)), []
        for token, start, end in self._stretches(text, self.split_special_tokens):
            words = self._words(text[start:end]) if token is None else [
                (self._ids[token.content], text[start:end], range(end - start))]
            for i, word, source in words:
                pieces = match(word, self.vocab, self.max_input_chars_per_word) if i is None else []
                whys = explain(word, self.vocab, self.max_input_chars_per_word) if i is None else [
                    f"{'a special' if self.added_tokens_decoder[i].special else 'an added'} token, taken whole"]
                for (a, b), why in zip(pieces or [(0, len(word))], whys):
                    if pieces:
                        i = self.vocab[PREFIX * (a > 0) + word[a:b]]
                    elif i is None:
                        i = self.unk_token_id
                    first, last = start + source[a], start + source[b - 1] + 1
                    rows.append(dict(token=self._tokens[i], id=i, start=first, end=last, text=text[first:last],
                                     word=word, why=why))
        return rows

    # From pieces to rows

    def __call__(self, text, text_pair=None, add_special_tokens=True, padding=False, truncation=None, max_length=None,
                 stride=0, is_split_into_words=False, pad_to_multiple_of=None, padding_side=None, return_tensors=None,
                 return_token_type_ids=None, return_attention_mask=None, return_overflowing_tokens=False,
                 return_special_tokens_mask=False, return_offsets_mapping=False, return_length=False,
                 split_special_tokens=None):
        """Encode a text, a pair of texts, or a list of either.

        `padding`: True or "longest", "max_length", False. `truncation`: True or "longest_first", "only_first",
        "only_second", False. `return_tensors="np"`: int64 arrays instead of lists. `return_overflowing_tokens`: what did
        not fit comes too, and again the last `stride` pieces before it; from the fast tokenizer as further rows, with
        `overflow_to_sample_mapping` for the text of each.

        Raises ValueError or TypeError for what is not a text, and for a truncation that cannot be.
        """
        padding, truncation, max_length = self._limits(padding, truncation, max_length, pad_to_multiple_of, stride)
        _one_of("return_tensors", return_tensors, (None, "np"))
        if return_offsets_mapping and not self.rules.has_offsets:
            raise ValueError("the slow tokenizer composes characters and cannot tell offsets: use ConvBertTokenizerFast")
        if split_special_tokens is None:
            split_special_tokens = self.split_special_tokens

        is_single, pairs = self._pairs(text, text_pair, is_split_into_words)
        rows, samples, rests = [], [], []
        for sample, pair in enumerate(pairs):
            first, second = (part if part is None else self._sequence(part, is_split_into_words, split_special_tokens)
                             for part in pair)
            windows, rest = self._truncate(first, second, add_special_tokens, truncation, max_length, stride,
                                           return_overflowing_tokens)
            rows += [self._row(a, b, add_special_tokens) for a, b in windows]
            samples += [sample] * len(windows)
            rests.append(rest)
        self._pad(rows, padding, max_length, pad_to_multiple_of, padding_side)

        asked = dict(input_ids=True, token_type_ids=return_token_type_ids, attention_mask=return_attention_mask,
                     special_tokens_mask=return_special_tokens_mask, offset_mapping=return_offsets_mapping)
        entries = {name: [row[name] for row in rows] for name, wish in asked.items() if wish in (None, True)}
        if return_length:
            entries["length"] = [len(row["input_ids"]) for row in rows]
        flat = self.rules.flat_overflow
        if return_overflowing_tokens and flat:
            entries["overflowing_tokens"] = [tokens for tokens, _ in rests]
            entries["num_truncated_tokens"] = [number for _, number in rests]
        elif return_overflowing_tokens:
            entries["overflow_to_sample_mapping"] = samples
        if return_tensors:
            entries = {name: _array(name, values) for name, values in entries.items()}
        elif is_single and (flat or not return_overflowing_tokens):
            entries = {name: values if name == "length" and not flat else values[0] for name, values in entries.items()}
        return BatchEncoding(entries, rows, self.convert_ids_to_tokens)

    def encode(self, text, text_pair=None, **options):
        """The `input_ids` alone of one text or one pair."""
        if isinstance(text, (list, tuple)) and not options.get("is_split_into_words"):
            raise TypeError(f"encode takes one text, but this is {_shown(text)}: call the tokenizer itself for many")
        return self(text, text_pair, **options)["input_ids"]

    def _pairs(self, text, text_pair, is_split_into_words):
        """-> is it one text or a list; a list of (first, second or None)"""
        many = (list, tuple)
        if not isinstance(text, many) or (is_split_into_words and not any(isinstance(part, many) for part in text)):
            is_none = isinstance(text_pair, (str, *many)) and not text_pair and not self.rules.empty_pair_counts
            return True, [(text, None if is_none else text_pair)]
        if text_pair is not None:
            if not isinstance(text_pair, many) or len(text_pair) != len(text):
                raise ValueError(f"text_pair must be a list of {len(text)} texts, as many as text, but is"
                                 f" {_shown(text_pair)}")
            return False, list(zip(text, text_pair))
        is_pair = [isinstance(part, many) and len(part) == 2 and (
            not is_split_into_words or all(isinstance(half, many) for half in part)) for part in text]
        return False, [tuple(part) if two else (part, None) for part, two in zip(text, is_pair)]

    def _limits(self, padding, truncation, max_length, pad_to_multiple_of, stride):
        """-> padding, truncation, max_length: each spelled out, and not in contradiction"""
        if truncation is None and max_length is not None and padding is False:
            truncation = True
        padding = {True: "longest", False: "do_not_pad"}.get(padding, padding)
        truncation = {True: "longest_first", False: "do_not_truncate", None: "do_not_truncate"}.get(truncation, truncation)
        _one_of("padding", padding, PADDINGS)
        _one_of("truncation", truncation, STRATEGIES)
        for name, number, least in (("max_length", max_length, 0), ("stride", stride, 0),
                                    ("pad_to_multiple_of", pad_to_multiple_of, 1)):
            if number is not None and (isinstance(number, bool) or not isinstance(number, (int, np.integer))):
                raise TypeError(f"{name} must be a whole number, but is {_shown(number)}")
            if number is not None and number < least:
                raise ValueError(f"{name} must be at least {least}, but is {number}")
        if max_length is None and self.model_max_length < LARGE:
            max_length = self.model_max_length
        if max_length is None:
            padding = "do_not_pad" if padding == "max_length" else padding
            truncation = "do_not_truncate"
        if "do_not" not in padding + truncation and pad_to_multiple_of and max_length % pad_to_multiple_of:
            raise ValueError(f"to truncate and to pad, max_length must be a multiple of pad_to_multiple_of ="
                             f" {pad_to_multiple_of}, but is {max_length}")
        return padding, truncation, max_length

    def num_special_tokens_to_add(self, pair=False):
        return 3 if pair else 2

    def _truncate(self, first, second, add_special_tokens, strategy, max_length, stride, with_rest):
        """-> [(first, second) that fits, windows of the rest ...], (the rest in one list, how many tokens too many)"""
        lengths = len(first.ids), 0 if second is None else len(second.ids)
        specials = self.num_special_tokens_to_add(second is not None) if add_special_tokens else 0
        flat = self.rules.flat_overflow
        if flat and with_rest:
            if max_length is None:
                raise ValueError("return_overflowing_tokens needs a max_length for tokens to flow over")
            if strategy == "longest_first" and second is not None:
                raise ValueError("the slow tokenizer cannot return_overflowing_tokens of a pair cut 'longest_first': use"
                                 " 'only_first', 'only_second' or ConvBertTokenizerFast")
        too_many = sum(lengths) + specials - (max_length or 0)
        if strategy == "do_not_truncate" or too_many <= 0:
            return [(first, second)], ([], too_many)
        room = max_length - specials
        if room < 0:
            raise ValueError(f"max_length must be at least {specials}, for the special tokens, but is {max_length}")
        kept = self._kept(lengths, room, strategy, second is not None)

        rest = []
        if flat and with_rest:
            cut = 0 if kept[0] < lengths[0] else 1
            whole = (first, second)[cut].ids
            rest = whole[max(0, kept[cut] - stride):]
            rest = rest if self.truncation_side == "right" else whole[:len(rest)]
        windows = [self._windows(part, number, 0 if flat else stride, with_rest and not flat)
                   for part, number in zip((first, second), kept)]
        (head, *others), (second_head, *second_others) = windows
        pairs = [(a, b) for a in others for b in windows[1]] + [(head, b) for b in second_others]
        return [(head, second_head), *pairs], (rest, too_many)

    def _kept(self, lengths, room, strategy, is_pair):
        """-> how many pieces of the first and of the second sequence stay, `room` in all"""
        shorter = min(lengths)
        half, odd = divmod(room, 2)
        if not is_pair and strategy != "only_second":
            kept = room, 0
        elif strategy != "longest_first":
            kept = (room - lengths[1], lengths[1]) if strategy == "only_first" else (lengths[0], room - lengths[0])
        elif 2 * shorter <= room:
            kept = (shorter, room - shorter) if lengths[0] == shorter else (room - shorter, shorter)
        elif self.rules.first_keeps_more or lengths[0] > lengths[1]:
            kept = half + odd, half
        else:
            kept = half, half + odd
        # The fast tokenizer can cut a single text down to nothing, and no other one.
        impossible = strategy != "longest_first" and is_pair or strategy == "only_second" or self.rules.flat_overflow
        target = kept[1] if strategy == "only_second" else kept[0]
        if impossible and target < 1 and (is_pair and strategy == "longest_first") is False:
            raise ValueError(f"truncation {strategy!r} cannot make {room} pieces of {lengths[0]} in the first sequence"
                             f" and {lengths[1]} in the second: use 'longest_first', or a larger max_length")
        return kept

    def _windows(self, pieces, length, stride, with_rest):
        """-> the `length` pieces that fit and, if asked, window after window of the rest, overlapping by `stride`"""
        if pieces is None or length >= len(pieces.ids):
            return [pieces]
        if stride >= length and (with_rest or length):
            raise ValueError(f"a window must have room for more than stride = {stride} pieces, but has room for {length}:"
                             " use a smaller stride or a larger max_length")
        total = len(pieces.ids)
        starts = range(0, total - stride, length - stride) if with_rest else [0]
        spans = [(start, min(start + length, total)) for start in starts]
        if self.truncation_side == "left":
            spans = [(total - end, total - start) for start, end in spans]
        return [pieces.cut(start, end) for start, end in spans]

    def _row(self, first, second, add_special_tokens):
        """-> one row, as a dict of lists of equal length"""
        def special(token):
            return Pieces([self._ids[token]], [(0, 0)], [None])

        parts = [(first, 0, 0)] if second is None else [(first, 0, 0), (second, 1, 1)]  # pieces, type, sequence
        if add_special_tokens:
            parts = [(special(self.cls_token), 0, None),
                     *chain.from_iterable((part, (special(self.sep_token), part[1], None)) for part in parts)]
        has_types = add_special_tokens or not self.rules.types_need_specials
        return dict(
            input_ids=_joined(pieces.ids for pieces, _, _ in parts),
            token_type_ids=_joined([kind * has_types] * len(pieces.ids) for pieces, kind, _ in parts),
            attention_mask=_joined([1] * len(pieces.ids) for pieces, _, _ in parts),
            special_tokens_mask=_joined([int(sequence is None)] * len(pieces.ids) for pieces, _, sequence in parts),
            offset_mapping=_joined(pieces.spans for pieces, _, _ in parts),
            word_ids=_joined(pieces.words for pieces, _, _ in parts),
            sequence_ids=_joined([sequence] * len(pieces.ids) for pieces, _, sequence in parts))

    def build_inputs_with_special_tokens(self, token_ids_0, token_ids_1=None):
        """[CLS] first [SEP], or [CLS] first [SEP] second [SEP]."""
        return self._special_row(token_ids_0, token_ids_1)["input_ids"]

    def create_token_type_ids_from_sequences(self, token_ids_0, token_ids_1=None):
        """0 for [CLS], the first sequence and its [SEP]; 1 for the second and its [SEP]."""
        return self._special_row(token_ids_0, token_ids_1)["token_type_ids"]

    def get_special_tokens_mask(self, token_ids_0, token_ids_1=None, already_has_special_tokens=False):
        """1 for every special token, 0 for others: of the row that would be built or, if it is already, of this one."""
        if not already_has_special_tokens:
            return self._special_row(token_ids_0, token_ids_1)["special_tokens_mask"]
        if token_ids_1 is not None:
            raise ValueError("token_ids_1 must be None if token_ids_0 already_has_special_tokens: it holds both sequences")
        special = set(self.all_special_ids)
        return [int(i in special) for i in token_ids_0]

    def _special_row(self, *sequences):
        first, second = (None if ids is None else Pieces(list(ids), [(0, 0)] * len(ids), [None] * len(ids))
                         for ids in sequences)
        return self._row(first, second, add_special_tokens=True)

    # Padding

    def _pad(self, rows, padding, max_length, pad_to_multiple_of, padding_side):
        """Make the lists of all rows equally long, in place."""
        side = _one_of("padding_side", padding_side or self.padding_side, SIDES)
        if padding == "do_not_pad" or not rows:
            return
        length = max_length if padding == "max_length" else max(len(row["input_ids"]) for row in rows)
        length += -length % (pad_to_multiple_of or 1)
        filler = dict(input_ids=self.pad_token_id, token_type_ids=0, attention_mask=0, special_tokens_mask=1,
                      offset_mapping=(0, 0), word_ids=None, sequence_ids=None)
        for row in rows:
            missing = length - len(row["input_ids"])
            for name in row.keys() & filler.keys():
                row[name] = row[name] + [filler[name]] * missing if side == "right" else (
                    [filler[name]] * missing + row[name])

    def pad(self, encoded_inputs, padding=True, max_length=None, pad_to_multiple_of=None, padding_side=None,
            return_attention_mask=None, return_tensors=None):
        """Pad what the tokenizer gave: one dict, or a list of dicts; what is not of the tokenizer stays as it is."""
        padding, _, max_length = self._limits(padding, False, max_length, pad_to_multiple_of, 0)
        if isinstance(encoded_inputs, (list, tuple)):
            encoded_inputs = {name: [row[name] for row in encoded_inputs] for row in encoded_inputs[:1] for name in row}
        if "input_ids" not in encoded_inputs:
            raise ValueError(f"what is to be padded must have input_ids, but has {', '.join(encoded_inputs)}")
        if any(isinstance(part, np.ndarray) for part in (encoded_inputs["input_ids"], *encoded_inputs["input_ids"])):
            return_tensors = return_tensors or "np"
        entries = {name: np.asarray(values).tolist() if isinstance(values, np.ndarray) else [
            value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value for value in values]
            for name, values in encoded_inputs.items()}
        ids = entries["input_ids"]
        is_single = bool(ids) and not isinstance(ids[0], list)
        if is_single:
            entries = {name: [values] for name, values in entries.items()}
        rows = [{name: values[r] for name, values in entries.items()} for r in range(len(entries["input_ids"]))]
        for row in rows:
            if return_attention_mask is not False:
                row.setdefault("attention_mask", [1] * len(row["input_ids"]))
        self._pad(rows, padding, max_length, pad_to_multiple_of, padding_side)
        entries = {name: [row[name] for row in rows] for name in (rows[0] if rows else entries)}
        if is_single:
            entries = {name: values[0] for name, values in entries.items()}
        if return_tensors:
            entries = {name: _array(name, values) for name, values in entries.items()}
        return BatchEncoding(entries, rows, self.convert_ids_to_tokens)

    # And back

    def convert_tokens_to_ids(self, tokens):
        """The id of a token, or of each in a list; one that is not in the vocabulary has the id of the unknown."""
        if isinstance(tokens, str):
            return self._ids.get(tokens, self.unk_token_id)
        return [self._ids.get(token, self.unk_token_id) for token in tokens]

    def convert_ids_to_tokens(self, ids, skip_special_tokens=False):
        """The token of an id, or of each in a list; an id without one gives `_no_token`."""
        if isinstance(ids, (int, np.integer)):
            return self._tokens.get(self._checked_id(ids), self._no_token)
        skipped = set(self.all_special_ids) if skip_special_tokens else ()
        return [self._tokens.get(self._checked_id(i), self._no_token) for i in ids if i not in skipped]

    def batch_decode(self, sequences, skip_special_tokens=False, clean_up_tokenization_spaces=None):
        """The text of each row of ids."""
        return [self.decode(ids, skip_special_tokens, clean_up_tokenization_spaces) for ids in sequences]

    def decode(self, token_ids, skip_special_tokens=False, clean_up_tokenization_spaces=None):
        """The text of ids, as near as it can be: case, accents and spaces are not in them.

        `clean_up_tokenization_spaces` (None: as the tokenizer was made) takes back the spaces of English punctuation.
        """
        ids = np.atleast_1d(np.asarray(token_ids, dtype=np.int64))
        if ids.ndim > 1:
            raise ValueError(f"decode takes the ids of one text, but these are of shape {ids.shape}: use batch_decode")
        text = self._join(self.convert_ids_to_tokens(ids, skip_special_tokens))
        if clean_up_tokenization_spaces is None:
            clean_up_tokenization_spaces = self.clean_up_tokenization_spaces
        return self.clean_up_tokenization(text) if clean_up_tokenization_spaces else text

    def _join(self, tokens):
        return self.convert_tokens_to_string(tokens)

    def _checked_id(self, i):
        return int(i)

    @staticmethod
    def clean_up_tokenization(text):
        """Take back the spaces that splitting put before English punctuation and contractions."""
        for spaced, joined in CLEAN_UP:
            text = text.replace(spaced, joined)
        return text

    # Files

    def save_vocabulary(self, save_directory, filename_prefix=None):
        """Write `vocab.txt` into a folder; -> its path, in a tuple."""
        path = Path(save_directory) / f"{filename_prefix + '-' if filename_prefix else ''}vocab.txt"
        write_vocab(path, self._lines)
        return (str(path),)

    def save_pretrained(self, save_directory):
        """Write all that `from_pretrained`, here or in transformers, makes the same tokenizer of; -> the paths."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        config = {name: getattr(self, name) for name in self.settings} | {
            "tokenizer_class": "ConvBertTokenizer",
            "added_tokens_decoder": {str(i): asdict(token) for i, token in sorted(self.added_tokens_decoder.items())}}
        texts = {"tokenizer_config.json": config, "special_tokens_map.json": self.special_tokens_map}
        new = {token: i for token, i in self.added_tokens_encoder.items() if token not in self.vocab}
        if new:
            texts["added_tokens.json"] = new
        texts |= self._more_files()
        for name, entries in texts.items():
            write_atomic(folder / name, json.dumps(entries, indent=2, ensure_ascii=False) + "\n")
        return (*self.save_vocabulary(folder), *(str(folder / name) for name in texts))

    def _more_files(self):
        return {}

    @classmethod
    def from_pretrained(cls, folder, **changes):
        """Read a tokenizer from a folder: `vocab.txt` or `tokenizer.json`, and what else there is of its settings.

        `changes` take the place of settings that were saved. Raises ValueError if there is nothing to read.
        """
        folder = Path(folder)
        if folder.is_file():
            return cls(folder, **changes)
        files = {name: _read_json(folder / name) for name in (
            "tokenizer.json", "added_tokens.json", "special_tokens_map.json", "tokenizer_config.json")}
        vocab_file = folder / "vocab.txt"
        if not vocab_file.exists():
            vocab_file = folder / "tokenizer.json"
        if not vocab_file.exists():
            raise ValueError(f"a tokenizer needs vocab.txt or tokenizer.json, but {folder} has neither; it must be a folder"
                             " on this machine, for nothing is fetched")
        whole, added, special, config = files.values()
        normalizer = whole.get("normalizer") or {}
        settings = {name: normalizer[theirs] for name, theirs in NORMALIZER_NAMES.items() if theirs in normalizer}
        settings |= config
        if "added_tokens_decoder" not in config:
            settings |= special
            saved = {token["id"]: {name: value for name, value in token.items() if name != "id"}
                     for token in whole.get("added_tokens", [])}
            settings["added_tokens_decoder"] = {i: AddedToken(token) for token, i in added.items()} | saved
        settings = {name: _as_token(value) if isinstance(value, dict) and name != "added_tokens_decoder" else value
                    for name, value in (settings | changes).items()}
        known = {*cls.settings, "added_tokens_decoder", *changes}
        return cls(vocab_file, **{name: value for name, value in settings.items() if name in known})


class ConvBertTokenizerFast(_Tokenizer):
    """The fast tokenizer: the same ids, offsets and word ids as the `tokenizers` package, in Python alone.

    Source: tokenization_convbert_fast.py of transformers 4.57.6.
    """

    rules = FAST
    _no_token = None

    def convert_tokens_to_string(self, tokens):
        """Join tokens, taking back the spaces before . ? ! , and contractions where a token is one."""
        parts = []
        for n, token in enumerate(token for token in tokens if token is not None):
            if n:
                token = token[len(PREFIX):] if token.startswith(PREFIX) else f" {token}"
            for spaced, joined in DECODER_CLEAN_UP:
                token = token.replace(spaced, joined)
            parts.append(token)
        return "".join(parts)

    def _checked_id(self, i):
        if i < 0:
            raise ValueError(f"an id must not be negative, but is {i}")
        return int(i)

    def _more_files(self):
        """The whole tokenizer once more, as the `tokenizers` package writes it."""
        def piece(kind, name, type_id):
            return {kind: {"id": name, "type_id": type_id}}

        single = [piece("SpecialToken", self.cls_token, 0), piece("Sequence", "A", 0),
                  piece("SpecialToken", self.sep_token, 0)]
        special = {token: {"id": token, "ids": [self._ids[token]], "tokens": [token]}
                   for token in (self.cls_token, self.sep_token)}
        settings = {theirs: getattr(self, name) for name, theirs in NORMALIZER_NAMES.items()}
        return {"tokenizer.json": {
            "version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [{"id": i} | asdict(token) for i, token in sorted(self.added_tokens_decoder.items())],
            "normalizer": {"type": "BertNormalizer", "clean_text": True} | settings,
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {
                "type": "TemplateProcessing", "special_tokens": special, "single": single,
                "pair": [*single, piece("Sequence", "B", 1), piece("SpecialToken", self.sep_token, 1)]},
            "decoder": {"type": "WordPiece", "prefix": PREFIX, "cleanup": True},
            "model": {"type": "WordPiece", "unk_token": self.unk_token, "continuing_subword_prefix": PREFIX,
                      "max_input_chars_per_word": self.max_input_chars_per_word, "vocab": self.vocab}}}


class ConvBertTokenizer(_Tokenizer):
    """The slow tokenizer; more than the fast one it has `never_split` and `do_basic_tokenize`.

    `never_split`: words that stay whole, in lower case if `do_lower_case`. `do_basic_tokenize`: False takes the text as
    it is, words parted by white space.

    Stricter than the reference, which gives back a row that is too long where a truncation cannot be, and drops lone
    surrogates: both are errors here.

    Source: tokenization_convbert.py of transformers 4.57.6.
    """

    rules = SLOW

    settings = (*_Tokenizer.settings, "do_basic_tokenize", "never_split")

    def __init__(self, vocab_file, do_lower_case=True, do_basic_tokenize=True, never_split=None, **options):
        self.do_basic_tokenize, self.never_split = do_basic_tokenize, never_split
        super().__init__(vocab_file, do_lower_case, **options)

    @property
    def _no_token(self):
        return self.unk_token

    def _prepared(self, text):
        """In lower case but for special tokens, character by character: only the sigma at the end of a word tells."""
        if not (self.do_basic_tokenize and self.do_lower_case):
            return text
        keep = _Finder(dict.fromkeys(self.all_special_tokens))
        parts = keep.pattern.split(text)
        return "".join(part if n % 2 else part.replace("Σ", "σ").lower() for n, part in enumerate(parts))

    def _stretches(self, text, split_special_tokens):
        if not split_special_tokens:
            return self._find(text, self._early)
        # Even so, a special token between spaces stays whole; other added tokens are not looked for.
        special = {token.content: replace(token, single_word=True) for token in self.added_tokens_decoder.values()
                   if token.content in self.all_special_tokens}
        return self._find(text, _Finder(special))

    def _words(self, text):
        if not self.do_basic_tokenize:
            yield from ((None, word, range(len(word))) for word in text.split())
        elif not self.never_split:
            yield from super()._words(text)
        else:
            for word in normalize(text, self.rules, False, False, self.tokenize_chinese_chars)[0].split():
                if word in self.never_split:
                    yield self.vocab.get(word, self.unk_token_id), word, range(len(word))
                else:
                    yield from super()._words(word)

    def convert_tokens_to_string(self, tokens):
        """Join tokens: those that continue a word to it, others with a space."""
        return " ".join(tokens).replace(f" {PREFIX}", "").strip()

    def _join(self, tokens):
        """Added tokens stand apart: what begins with ## after one is not joined to it."""
        alone = set(self.added_tokens_encoder) - set(self.all_special_tokens) | {
            token for token in self.additional_special_tokens if self._ids[token] >= self.vocab_size}
        parts = [[]]
        for token in tokens:
            parts += [token, []] if token in alone else []
            parts[-1] += [token] if token not in alone else []
        texts = [part if isinstance(part, str) else self.convert_tokens_to_string(part) for part in parts]
        return " ".join(text for text in texts if text)


class _Finder:
    """Added tokens by what is looked for, and the pattern that finds the longest of them at the first place."""

    def __init__(self, tokens):
        self.tokens = {text: token for text, token in tokens.items() if text}
        longest_first = sorted(map(re.escape, self.tokens), key=len, reverse=True)
        self.pattern = re.compile(f"({'|'.join(longest_first)})" if longest_first else "(?!)")


def _checked(text):
    if not isinstance(text, str):
        raise TypeError(f"a text must be a str, but is {_shown(text)}")
    try:
        text.isascii() or text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"a text must be Unicode, but its character {error.start} is the lone surrogate"
                         f" U+{ord(text[error.start]):04X}: read its file as UTF-8") from None
    return text


def _vocabulary(source):
    """-> the tokens in order of id (None if the ids have holes), and token -> id; the last of duplicates counts"""
    if isinstance(source, (str, Path)) and Path(source).suffix == ".json":
        source = _read_json(source).get("model", {}).get("vocab")
        if not isinstance(source, dict):
            raise ValueError("a tokenizer.json must have a vocabulary under model, but this one has none")
    if isinstance(source, (str, Path)):
        source = read_vocab(source)
    if isinstance(source, dict):
        source = dict(sorted(source.items(), key=lambda item: item[1]))
        return (list(source) if list(source.values()) == list(range(len(source))) else None), source
    if not isinstance(source, (list, tuple)):
        raise TypeError(f"a vocabulary must be a path, a list of tokens or a dict token -> id, but is {_shown(source)}")
    return list(source), {token: i for i, token in enumerate(source)}


def _as_token(value):
    """An AddedToken of what a file says of one."""
    if isinstance(value, AddedToken):
        return value
    known = AddedToken.__dataclass_fields__
    return AddedToken(**{name: part for name, part in value.items() if name in known})


def _read_json(path):
    """The object in a JSON file; {} if there is no file."""
    if not Path(path).exists():
        return {}
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} must be JSON, but cannot be read as that: {error}") from None
    if not isinstance(entries, dict):
        raise ValueError(f"{path} must hold one JSON object, but holds {_shown(entries)}")
    return entries


def _array(name, values):
    try:
        return np.array(values, dtype=np.int64)
    except ValueError:
        raise ValueError(f"for arrays all rows must be equally long, but those of {name} have"
                         f" {', '.join(map(str, sorted({len(row) for row in values})))} tokens: use padding=True") from None


def _one_of(name, value, choices):
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, but is {_shown(value)}")
    return value


def _joined(lists):
    return list(chain.from_iterable(lists))


def _shown(value):
    return f"{repr(value)[:60]} ({type(value).__name__})"


def tokenize_main(argv):
    """The command `tokenize`."""
    parser = argparse.ArgumentParser(
        prog="python -m minconvbert tokenize", description="Show the pieces of a text, and why each was chosen.")
    parser.add_argument("text", help="the text; - reads it from standard input")
    parser.add_argument("--vocab", default=VOCABULARY, metavar="PATH",
                        help="a vocab.txt, or the folder of a tokenizer (default: the vocabulary of this project)")
    parser.add_argument("--slow", action="store_true", help="as ConvBertTokenizer does it, not ConvBertTokenizerFast")
    parser.add_argument("--cased", action="store_true", help="keep case and accents")
    parser.add_argument("--json", action="store_true", help="for machines: a list of objects")
    options = parser.parse_args(argv)
    kind = ConvBertTokenizer if options.slow else ConvBertTokenizerFast
    tokenizer = kind.from_pretrained(options.vocab, **({"do_lower_case": False} if options.cased else {}))
    rows = tokenizer.explain(sys.stdin.read() if options.text == "-" else options.text)
    if options.json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return 0
    width = max([len("token"), *(len(row["token"]) for row in rows)])
    print(f"{'token':<{width}}  {'id':>6}  {'from':>5} {'to':>5}  why")
    for row in rows:
        print(f"{row['token']:<{width}}  {row['id']:>6}  {row['start']:>5} {row['end']:>5}  {row['why']}")
    return 0
