"""The two tokenizers of Hugging Face: they turn texts into rows of ids, and ids into texts.

wordpiece.py cuts a text into pieces. This file adds what is around it: tokens that stay whole, a cache of words,
truncation, special tokens, padding, decoding, and the files.

Source: tokenization_utils_base.py, tokenization_utils.py and tokenization_utils_fast.py of transformers 4.57.6.
"""

import logging
import re
from dataclasses import replace
from functools import partial
from itertools import accumulate, chain

import numpy as np

from . import files as tokenizer_files
from . import rows as rows_of
from .added import AddedToken, Finder
from .batch import BatchEncoding, Remembered, _array
from .files import SPECIAL_NAMES
from .rows import SIDES, STRATEGIES, Pieces, joined
from .wordpiece import CHUNK, FAST, PREFIX, SLOW, SPACED, explain, longest_pieces, match, normalize, split

log = logging.getLogger(__name__)

SWITCHES = ("do_lower_case", "tokenize_chinese_chars", "strip_accents", "clean_up_tokenization_spaces",
            "split_special_tokens")
LONGEST_PADDED = 1_000_000              # the most tokens of a row that is padded
NO_LIMIT, LARGE = int(1e30), int(1e20)  # `model_max_length` without a limit, as Hugging Face writes it and reads it
PADDINGS = ("longest", "max_length", "do_not_pad")
CLEAN_UP = ((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
            (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"))
DECODER_CLEAN_UP = (*CLEAN_UP[:7], (" do not", " don't"), *CLEAN_UP[7:])  # of the fast tokenizer, token by token


class _Tokenizer:
    """What the two tokenizers have in common."""

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
        self._lines, self.vocab = tokenizer_files.read_vocabulary(vocab_file)
        self.do_lower_case, self.strip_accents = do_lower_case, strip_accents
        self.tokenize_chinese_chars = tokenize_chinese_chars
        self.clean_up_tokenization_spaces = clean_up_tokenization_spaces
        self.split_special_tokens = split_special_tokens
        self.model_max_length = _limit(model_max_length)
        self._said = False                             # that truncation has no limit
        self.padding_side = _one_of("padding_side", padding_side, SIDES)
        self.truncation_side = _one_of("truncation_side", truncation_side, SIDES)
        self.max_input_chars_per_word = _whole("max_input_chars_per_word", max_input_chars_per_word, 0)
        for name in SWITCHES:
            _one_of(name, getattr(self, name), (True, False, None) if name == "strip_accents" else (True, False))

        self.added_tokens_decoder = dict(added_tokens_decoder or {})
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
        """token -> id, including added tokens."""
        return dict(self._ids)

    @property
    def added_tokens_encoder(self):
        """token -> id of the added tokens, including special ones."""
        return {token.content: i for i, token in sorted(self.added_tokens_decoder.items())}

    @property
    def special_tokens_map(self):
        """name -> special token, for example `mask_token` -> `[MASK]`."""
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

        A new token gets the id after the largest. Hugging Face takes the number of tokens instead, which is the id of
        another token if the vocabulary has duplicates.
        """
        before, largest = len(self), max(chain(self._tokens, [-1]))
        all_special = set(self.all_special_tokens)
        for token in [new_tokens] if isinstance(new_tokens, (str, AddedToken)) else new_tokens:
            if not isinstance(token, (str, AddedToken)):
                raise TypeError(f"a token must be a str or an AddedToken, but is {_shown(token)}")
            i = self._ids.get(str(token))
            special = special_tokens or str(token) in all_special
            if isinstance(token, str):
                if i in self.added_tokens_decoder and self.added_tokens_decoder[i].special >= special:
                    continue  # it keeps the settings that it was added with
                token = AddedToken(token)
            special |= token.special
            normalized = not special if token.normalized is None else token.normalized
            if self.rules.lowers_first and self.do_lower_case and normalized and not special:
                token = replace(token, content=token.content.lower())
                i = self._ids.get(token.content)
            if not token.content:
                continue
            if i is None:
                i = largest = largest + 1
            self._ids[token.content] = i
            self.added_tokens_decoder[i] = replace(token, special=special, normalized=normalized)
            if special and token.content not in all_special:
                all_special.add(token.content)
                self.additional_special_tokens.append(token.content)
        self._get_ready()
        return len(self) - before

    def add_special_tokens(self, special_tokens):
        """Set special tokens, such as `{"pad_token": "<pad>"}`, and add those that are new; -> how many were new."""
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
        """Update everything that depends on the added tokens."""
        added = self.added_tokens_encoder
        self._ids = self.vocab | added
        self._longest = longest_pieces(self.vocab)
        self._tokens = {i: token for token, i in chain(self.vocab.items(), added.items())}
        is_late = lambda token: token.normalized and not self.rules.lowers_first
        late = [token for token in self.added_tokens_decoder.values() if is_late(token)]
        early = [token for token in self.added_tokens_decoder.values() if not is_late(token)]
        self._early = Finder({token.content: token for token in early})
        # If several are alike in the normalized text, the `tokenizers` package picks any of them; here it is the first.
        self._late = Finder({self._normalize(token.content)[0]: token for token in reversed(late)})
        self._marked = {token.content for token in self.added_tokens_decoder.values() if token.special}
        self._remembered = self._remembered_split = Remembered(self._work_out)
        if any(token.special for token in late):
            self._remembered_split = Remembered(partial(self._work_out, split_special_tokens=True))
        # A token that is searched in the normalized text may contain white space, so nothing can be cut at it before.
        self._chunk = re.compile(r"((?s:.+))") if self._late.tokens else CHUNK

    # From a text to its pieces

    def _normalize(self, text):
        return normalize(text, self.rules, self.do_lower_case, self.strip_accents, self.tokenize_chinese_chars)

    def _words(self, text, split_special_tokens=False):
        """-> (the id of an added token, or None; the word; the index in `text` of each of its characters)"""
        normal, source = self._normalize(text)
        if normal.isascii() and normal.isalnum() and not self._late.tokens:    # most chunks, in half the time
            yield None, normal, source
            return
        left_out = self._marked if split_special_tokens else ()
        for token, start, end in self._late.cut(normal, self.rules.blocks_single_word, left_out):
            if token:
                yield self._ids[token.content], normal[start:end], source[start:end]
                continue
            for a, b in split(normal[start:end], self.rules):
                yield None, normal[start + a:start + b], source[start + a:start + b]

    def _work_out(self, text, split_special_tokens=False):
        """-> the Pieces of a text without special tokens, computed without the cache"""
        ids, spans, words = [], [], []
        for number, (i, word, source) in enumerate(self._words(text, split_special_tokens)):
            pieces = match(word, self.vocab, self.max_input_chars_per_word, self._longest) if i is None else []
            for start, end in pieces:
                ids.append(self.vocab[PREFIX * (start > 0) + word[start:end]])
                spans.append((source[start], source[end - 1] + 1))
            if not pieces:
                ids.append(self.unk_token_id if i is None else i)
                spans.append((source[0], source[-1] + 1))
            words += [number] * (len(ids) - len(words))
        return Pieces(ids, spans, words)

    def _prepared(self, text):
        """The text after the steps that come before the search for added tokens."""
        return text

    def _stretches(self, text, split_special_tokens):
        """-> (AddedToken, or None for text between them; start; end), found in the text before it is normalized"""
        left_out = self._marked if split_special_tokens else ()
        return self._early.cut(text, self.rules.blocks_single_word, left_out)

    def _pieces(self, text, split_special_tokens=False):
        """-> the Pieces of any text, with the cache"""
        text = self._prepared(_checked(text))
        remembered = self._remembered_split if split_special_tokens else self._remembered
        ids, spans, words, number = [], [], [], 0
        for token, start, end in self._stretches(text, split_special_tokens):
            if token:
                ids.append(self._ids[token.content])
                spans.append((start, end))
                words.append(number)
                number += 1
                continue
            parts = self._chunk.split(text[start:end])         # chunks, with white space or nothing before and after
            starts = accumulate(map(len, parts), initial=start)
            for chunk, at in zip(parts[1::2], [*starts][1::2]):
                found = remembered[chunk]
                ids += found.ids
                for a, b in found.spans:
                    spans.append((a + at, b + at))
                for word in found.words:
                    words.append(word + number)
                if found.words:
                    number = words[-1] + 1
        return Pieces(ids, spans, words)

    def _sequence(self, text, is_split_into_words, split_special_tokens):
        """-> the Pieces of a text or, with offsets from the start of each word, of a list of words"""
        if not is_split_into_words:
            return self._pieces(text, split_special_tokens)
        if not isinstance(text, (list, tuple)):
            raise TypeError(f"with is_split_into_words a text must be a list of words, but is {_shown(text)}")
        parts = [self._pieces(word, split_special_tokens) for word in text]
        return Pieces(joined(part.ids for part in parts), joined(part.spans for part in parts),
                      joined([number] * len(part.ids) for number, part in enumerate(parts)))

    def encode_ids(self, text):
        """The ids of the pieces of a text, without special tokens around them."""
        text = self._prepared(_checked(text))
        remembered, ids = self._remembered_split if self.split_special_tokens else self._remembered, []
        for token, start, end in self._stretches(text, self.split_special_tokens):
            ids += [self._ids[token.content]] if token else [
                i for chunk in self._chunk.findall(text, start, end) for i in remembered[chunk].ids]
        return ids

    def tokenize(self, text, pair=None, add_special_tokens=False, **options):
        """The tokens of a text, as strings."""
        return self(text, pair, add_special_tokens=add_special_tokens, **options).tokens()

    def explain(self, text):
        """A dict for each piece: token, id, start, end, text, word (normalized), why (the reason why it was chosen)."""
        text, rows = self._prepared(_checked(text)), []
        for token, start, end in self._stretches(text, self.split_special_tokens):
            words = self._words(text[start:end], self.split_special_tokens) if token is None else [
                (self._ids[token.content], text[start:end], range(end - start))]
            for i, word, source in words:
                pieces = match(word, self.vocab, self.max_input_chars_per_word, self._longest) if i is None else []
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
        "only_second", False. `return_tensors="np"`: int64 arrays, not lists. `return_overflowing_tokens`: return what
        did not fit, too, and with it the last `stride` pieces before; the fast tokenizer returns it as further rows,
        and `overflow_to_sample_mapping` says to which text each row belongs.

        Raises ValueError or TypeError for what is not a text, and for a truncation that is impossible.
        """
        padding, truncation, max_length = self._limits(padding, truncation, max_length, pad_to_multiple_of, stride)
        _one_of("return_tensors", return_tensors, (None, "np"))
        if return_offsets_mapping and not self.rules.has_offsets:
            raise ValueError("the slow tokenizer composes characters and has no offsets: use ConvBertTokenizerFast")
        if split_special_tokens is None:
            split_special_tokens = self.split_special_tokens

        is_single, pairs = self._pairs(text, text_pair, is_split_into_words)
        rows, samples, rests = [], [], []
        for sample, pair in enumerate(pairs):
            first, second = (None if part is None and is_second else
                             self._sequence(part, is_split_into_words, split_special_tokens)
                             for is_second, part in enumerate(pair))
            windows, *rest = self._truncate(first, second, add_special_tokens, truncation, max_length, stride,
                                            return_overflowing_tokens)
            rows += [self._row(a, b, add_special_tokens) for a, b in windows]
            samples += [sample] * len(windows)
            rests.append(rest)
        lengths = [len(row["input_ids"]) for row in rows]
        self._pad(rows, padding, max_length, pad_to_multiple_of, padding_side)
        if is_single or not self.rules.lengths_before_padding:
            lengths = [len(row["input_ids"]) for row in rows]

        wanted = dict(input_ids=True, token_type_ids=return_token_type_ids, attention_mask=return_attention_mask,
                      special_tokens_mask=return_special_tokens_mask, offset_mapping=return_offsets_mapping)
        entries = {name: [row[name] for row in rows] for name, wish in wanted.items() if wish in (None, True)}
        if return_length:
            entries["length"] = lengths
        if return_overflowing_tokens:
            entries |= self._overflow(samples, rests)
        as_rows = return_tensors or not is_single or return_overflowing_tokens and not self.rules.flat_overflow
        return BatchEncoding(self._shaped(entries, as_rows, return_tensors), rows, self.convert_ids_to_tokens)

    def _overflow(self, samples, rests):
        """The entries for `return_overflowing_tokens`.   samples: the text of each row; rests: what was cut off"""
        if self.rules.flat_overflow:
            return dict(overflowing_tokens=[cut_off for cut_off, _ in rests],
                        num_truncated_tokens=[number for _, number in rests])
        return dict(overflow_to_sample_mapping=samples)

    def _shaped(self, entries, as_rows, return_tensors):
        """The entries of rows as they are returned: arrays, lists of rows, or the lists of the only row."""
        if return_tensors:
            return {name: _array(name, values) for name, values in entries.items()}
        if as_rows:
            return entries
        whole = () if self.rules.flat_overflow else ("length",)
        return {name: values if name in whole else values[0] for name, values in entries.items()}

    def encode(self, text, text_pair=None, **options):
        """The `input_ids` alone of one text or one pair."""
        if isinstance(text, (list, tuple)) and not options.get("is_split_into_words"):
            raise TypeError(f"encode takes one text, but this is {_shown(text)}: call the tokenizer itself for many")
        return self(text, text_pair, **options)["input_ids"]

    def _pairs(self, text, text_pair, is_split_into_words):
        """-> whether it is one text, not a list; [(first, second or None)]"""
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
        """-> padding, truncation, max_length, each with its full meaning and without contradictions"""
        if truncation is None and max_length is not None and padding is False:
            truncation = True
        if padding in (True, False):
            padding = "longest" if padding else "do_not_pad"
        if truncation in (True, False, None):
            truncation = "longest_first" if truncation else "do_not_truncate"
        _one_of("padding", padding, PADDINGS)
        _one_of("truncation", truncation, STRATEGIES)
        for name, number, least in (("max_length", max_length, 1), ("stride", stride, 0),
                                    ("pad_to_multiple_of", pad_to_multiple_of, 1)):
            if number is not None:
                _whole(name, number, least)
        if max_length is None and self.model_max_length < LARGE:
            max_length = self.model_max_length
        if max_length is None:
            if truncation != "do_not_truncate" and not self._said:
                log.warning("truncation does nothing, because there is no limit: pass max_length, or set"
                            " model_max_length of the tokenizer to the max_position_embeddings of the model")
                self._said = True
            padding = "do_not_pad" if padding == "max_length" else padding
            truncation = "do_not_truncate"
        if truncation != "do_not_truncate" and not self.rules.flat_overflow and stride > max(0, max_length - 2):
            raise ValueError(f"stride must be at most max_length - 2 = {max_length - 2}, to leave room for special"
                             f" tokens, but is {stride}")
        if "do_not" not in padding + truncation and pad_to_multiple_of and max_length % pad_to_multiple_of:
            raise ValueError(f"to truncate and to pad, max_length must be a multiple of pad_to_multiple_of ="
                             f" {pad_to_multiple_of}, but is {max_length}")
        return padding, truncation, max_length

    def num_special_tokens_to_add(self, pair=False):
        return 3 if pair else 2

    def _truncate(self, first, second, add_special_tokens, strategy, max_length, stride, with_rest):
        """-> [(first, second) that fit, further windows ...], ids that were cut off, how many were too many"""
        specials = self.num_special_tokens_to_add(second is not None) if add_special_tokens else 0
        if with_rest and self.rules.flat_overflow:
            if max_length is None:
                raise ValueError("return_overflowing_tokens needs a max_length, because without one no token overflows")
            if strategy == "longest_first" and second is not None:
                raise ValueError("the slow tokenizer cannot return_overflowing_tokens of a pair cut 'longest_first':"
                                 " use 'only_first', 'only_second' or ConvBertTokenizerFast")
        too_many = len(first.ids) + (0 if second is None else len(second.ids)) + specials - (max_length or 0)
        if strategy == "do_not_truncate" or too_many <= 0:
            return [(first, second)], [], too_many
        if max_length < specials:
            raise ValueError(f"max_length must be at least {specials}, for the special tokens, but is {max_length}")
        pairs, cut_off = rows_of.truncate(first, second, max_length - specials, strategy, stride, self.truncation_side,
                                          with_rest, self.rules)
        return pairs, cut_off, too_many

    def _row(self, first, second, add_special_tokens=True):
        ends = (self.cls_token_id, self.sep_token_id) if add_special_tokens else (None, None)
        return rows_of.row(first, second, *ends, self.rules)

    def build_inputs_with_special_tokens(self, token_ids_0, token_ids_1=None):
        """[CLS] first [SEP], or [CLS] first [SEP] second [SEP]."""
        return self._special_row(token_ids_0, token_ids_1)["input_ids"]

    def create_token_type_ids_from_sequences(self, token_ids_0, token_ids_1=None):
        """0 for [CLS], the first sequence and its [SEP]; 1 for the second and its [SEP]."""
        return self._special_row(token_ids_0, token_ids_1)["token_type_ids"]

    def get_special_tokens_mask(self, token_ids_0, token_ids_1=None, already_has_special_tokens=False):
        """1 for special tokens, 0 for others, in the row that these ids would become or already are."""
        if not already_has_special_tokens:
            return self._special_row(token_ids_0, token_ids_1)["special_tokens_mask"]
        if token_ids_1 is not None:
            raise ValueError("token_ids_1 must be None if token_ids_0 already_has_special_tokens: it is the whole row")
        special = set(self.all_special_ids)
        return [int(i in special) for i in token_ids_0]

    def _special_row(self, *sequences):
        first, second = (None if ids is None else Pieces(list(ids), [(0, 0)] * len(ids), [None] * len(ids))
                         for ids in sequences)
        return self._row(first, second)

    # Padding

    def _pad(self, rows, padding, max_length, pad_to_multiple_of, padding_side):
        """Make the lists of all rows equally long, in place."""
        side = _one_of("padding_side", padding_side or self.padding_side, SIDES)
        if padding == "do_not_pad" or not rows:
            return
        longest = max(len(row["input_ids"]) for row in rows)
        length = max_length if padding == "max_length" else longest
        length += -length % (pad_to_multiple_of or 1)
        if length > max(longest, LONGEST_PADDED):
            raise ValueError(f"rows must be padded to at most {LONGEST_PADDED:,} tokens, but max_length and"
                             f" pad_to_multiple_of ask for {length:,}")
        rows_of.pad_rows(rows, length, self.pad_token_id, side)

    def pad(self, encoded_inputs, padding=True, max_length=None, pad_to_multiple_of=None, padding_side=None,
            return_attention_mask=None, return_tensors=None):
        """Pad what the tokenizer returned, a dict or a list of dicts. Other entries in them stay as they are."""
        padding, _, max_length = self._limits(padding, False, max_length, pad_to_multiple_of, 0)
        if isinstance(encoded_inputs, (list, tuple)):
            encoded_inputs = {name: [row[name] for row in encoded_inputs] for row in encoded_inputs[:1] for name in row}
        if "input_ids" not in encoded_inputs:
            raise ValueError("the rows to pad must have input_ids, but have"
                             f" {', '.join(encoded_inputs) or 'nothing'}")
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
        """The id of a token, or of each in a list; a token that is not in the vocabulary gets the id of [UNK]."""
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
        """The text of ids, as far as it can be restored, because ids do not keep case, accents and spaces.

        `clean_up_tokenization_spaces` removes the spaces before English punctuation (None: as the tokenizer was made).
        """
        ids = np.atleast_1d(np.asarray(token_ids, dtype=np.int64))
        if ids.ndim > 1:
            raise ValueError(f"decode takes the ids of one text, but these are of shape {ids.shape}: use batch_decode")
        text = self._join(self._readable(ids, skip_special_tokens))
        if clean_up_tokenization_spaces is None:
            clean_up_tokenization_spaces = self.clean_up_tokenization_spaces
        return self.clean_up_tokenization(text) if clean_up_tokenization_spaces else text

    def _readable(self, ids, skip_special_tokens):
        """The tokens of ids, as decoding writes them."""
        return self.convert_ids_to_tokens(ids, skip_special_tokens)

    def _join(self, tokens):
        return self.convert_tokens_to_string(tokens)

    def _checked_id(self, i):
        return int(i)

    @staticmethod
    def clean_up_tokenization(text):
        """Remove the spaces that splitting put before English punctuation and contractions."""
        for spaced, closed in CLEAN_UP:
            text = text.replace(spaced, closed)
        return text

    # Files

    def save_vocabulary(self, save_directory, filename_prefix=None):
        """Write `vocab.txt` into a folder; -> its path, in a tuple."""
        return (tokenizer_files.save_vocabulary(self._lines, save_directory, filename_prefix),)

    def save_pretrained(self, save_directory):
        """Write the files that `from_pretrained`, here or in transformers, reads; -> their paths."""
        return tokenizer_files.write(self, save_directory)

    @classmethod
    def from_pretrained(cls, folder, **changes):
        """Read a tokenizer from a folder with `vocab.txt` or `tokenizer.json`, and the other files of its settings.

        `changes` replace saved settings. Raises ValueError for files that cannot be read.
        """
        vocab_file, settings = tokenizer_files.read_folder(folder, cls.rules is FAST)
        known = {*cls.settings, "added_tokens_decoder"}
        return cls(vocab_file, **{name: value for name, value in settings.items() if name in known} | changes)


class ConvBertTokenizerFast(_Tokenizer):
    """The fast tokenizer. It returns the ids, offsets and word ids of the `tokenizers` package, in pure Python.

    Source: tokenization_convbert_fast.py of transformers 4.57.6.
    """

    rules = FAST
    _no_token = None

    def _readable(self, ids, skip_special_tokens):
        """The tokens of ids. Added tokens are normalized; tokens that then look like a special one are skipped."""
        def written(i):
            token = self.added_tokens_decoder.get(i)
            if token and token.normalized:
                return self._normalize(token.content)[0]
            return self._tokens.get(i, self._no_token)

        left_out = self._marked if skip_special_tokens else ()
        return [token for token in map(written, map(self._checked_id, ids)) if token not in left_out]

    def convert_tokens_to_string(self, tokens):
        """Join tokens, without spaces before tokens that are . ? ! , or contractions."""
        parts = []
        for n, token in enumerate(token for token in tokens if token is not None):
            if n:
                token = token[len(PREFIX):] if token.startswith(PREFIX) else f" {token}"
            for spaced, closed in DECODER_CLEAN_UP:
                token = token.replace(spaced, closed)
            parts.append(token)
        return "".join(parts)

    def _checked_id(self, i):
        if i < 0:
            raise ValueError(f"an id must not be negative, but is {i}")
        return int(i)


class ConvBertTokenizer(_Tokenizer):
    """The slow tokenizer. Besides the options of the fast one, it has `never_split` and `do_basic_tokenize`.

    `never_split`: words that stay whole, in lower case if `do_lower_case`. `do_basic_tokenize=False`: words are
    separated by white space only, and not normalized.

    It is stricter than Hugging Face's, which returns rows that are too long if a truncation is impossible, and drops
    lone surrogates; both are errors here.

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

    def _get_ready(self):
        super()._get_ready()
        special = (token for token in self.added_tokens_decoder.values() if token.special)
        self._special = Finder({token.content: token for token in special})
        if self.never_split or not self.do_basic_tokenize:
            self._chunk = SPACED                       # a punctuation mark may be inside a word

    def _prepared(self, text):
        """The text in lower case, except special tokens. Characters are lowered one by one, so Σ never becomes ς."""
        if not (self.do_basic_tokenize and self.do_lower_case):
            return text
        parts = self._special.pattern.split(text)
        return "".join(part if n % 2 else part.replace("Σ", "σ").lower() for n, part in enumerate(parts))

    def _stretches(self, text, split_special_tokens):
        if not split_special_tokens:
            return super()._stretches(text, False)
        # A special token between spaces still stays whole, but other added tokens are not searched.
        return Finder(self._special.tokens, alone=True).cut(text, self.rules.blocks_single_word)

    def _words(self, text, split_special_tokens=False):
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
        """Join tokens: a token that continues a word is appended to it, others follow a space."""
        return " ".join(tokens).replace(f" {PREFIX}", "").strip()

    def _join(self, tokens):
        """Join tokens. Nothing is appended to an added token, not even a token that begins with ##."""
        alone = set(self.added_tokens_encoder) - set(self.all_special_tokens) | {
            token for token in self.additional_special_tokens if self._ids[token] >= self.vocab_size}
        parts = [[]]
        for token in tokens:
            parts += [token, []] if token in alone else []
            parts[-1] += [token] if token not in alone else []
        texts = [part if isinstance(part, str) else self.convert_tokens_to_string(part) for part in parts]
        return " ".join(text for text in texts if text)


def _checked(text):
    if not isinstance(text, str):
        raise TypeError(f"a text must be a str, but is {_shown(text)}")
    try:
        text.isascii() or text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"a text must be Unicode, but its character {error.start} is the lone surrogate"
                         f" U+{ord(text[error.start]):04X}: read its file as UTF-8") from None
    return text


def _limit(number):
    """A length in pieces, which files also write as 512.0 or 1e30; None means NO_LIMIT."""
    if number is None or isinstance(number, float) and number >= LARGE:
        return NO_LIMIT
    return _whole("model_max_length", int(number) if isinstance(number, float) and number.is_integer() else number, 0)


def _whole(name, number, least):
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
        raise TypeError(f"{name} must be a whole number, but is {_shown(number)}")
    if number < least:
        raise ValueError(f"{name} must be at least {least}, but is {number}")
    return number


def _one_of(name, value, choices):
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, but is {_shown(value)}")
    return value


def _shown(value):
    return f"{repr(value)[:60]} ({type(value).__name__})"
