"""Tokens that were added to a vocabulary. They are found in a text and kept whole before it is cut into pieces."""

import re
from dataclasses import dataclass

_WHITE = re.compile(r"[^\S\x1c-\x1f]")


@dataclass(frozen=True)
class AddedToken:
    """A token with the text `content`, and how to find it.

    `single_word`: find it only where no letter touches it. `lstrip`, `rstrip`: include the white space on its left, on
    its right. `normalized`: the fast tokenizer searches the normalized text, in which upper and lower case are alike;
    None means yes, unless the token is special. `special`: decoding can skip it.
    """

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool | None = None
    special: bool = False

    def __str__(self):
        return self.content


class Finder:
    """Finds added tokens in a text, from left to right; where several begin, it takes the longest.

    tokens: {how the token is written in the text: AddedToken}. alone: find tokens only between white space. A token may
    be written as "", for example an accent where accents are stripped. It is then found everywhere, and so the text is
    cut into its characters, as by the `tokenizers` package.
    """

    def __init__(self, tokens, alone=False):
        self.tokens = tokens
        longest_first = "|".join(sorted(map(re.escape, tokens), key=len, reverse=True)) if tokens else "(?!)"
        self.pattern = re.compile(rf"(?<!\S)({longest_first})(?!\S)" if alone else f"({longest_first})")

    def cut(self, text, blocks_single_word, left_out=()):
        """-> (AddedToken, or None for text between them; start; end) of each stretch of a text, in order"""
        at = last = 0
        for found in self.pattern.finditer(text):
            token, (start, end) = self.tokens[found.group()], found.span()
            if token.content in left_out or start < at or start == end == last:
                continue
            last = end
            if token.single_word and any(map(blocks_single_word, text[max(0, start - 1):start] + text[end:end + 1])):
                continue
            while token.lstrip and start > at and _WHITE.match(text, start - 1):
                start -= 1
            while token.rstrip and _WHITE.match(text, end):
                end += 1
            if at < start:
                yield None, at, start
            if start < end:
                yield token, start, end
            at = end
        if at < len(text):
            yield None, at, len(text)
