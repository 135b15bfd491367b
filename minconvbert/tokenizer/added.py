"""Tokens that were added to a vocabulary: found in a text, and taken out of it whole, before it is taken apart."""

import re
from dataclasses import dataclass

_WHITE = re.compile(r"[^\S\x1c-\x1f]")


@dataclass(frozen=True)
class AddedToken:
    """`content`, and how it is to be found.

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


class Finder:
    """Finds added tokens, given by what stands for each in the text: the longest of those that begin first.

    `alone`: only between white space. What stands for a token may be "", as for an accent where accents are stripped:
    it is found everywhere, so that the text is cut into its characters, as the `tokenizers` package does.
    """

    def __init__(self, tokens, alone=False):
        self.tokens = tokens
        longest_first = "|".join(sorted(map(re.escape, tokens), key=len, reverse=True)) if tokens else "(?!)"
        self.pattern = re.compile(rf"(?<!\S)({longest_first})(?!\S)" if alone else f"({longest_first})")

    def cut(self, text, blocks_single_word, left_out=()):
        """-> (AddedToken, or None between them; start; end) of stretch after stretch of a text"""
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
