"""The letter of each axis: a `dims` line, a comment or a docstring gives it, or it is guessed from the size."""

import re

from .. import shapes

MEANINGS = dict(re.findall(r"\b([A-Z]h?) {1,2}([a-z].*?)(?= *\n| +[A-Z]h? )", shapes.__doc__))
LETTERS = [letter for letter in MEANINGS if letter != "T"]  # T = L wherever a page shows it
GROUP = re.compile(r"\((\w[\w +*-]*(?:, ?[\w +*-]+)*),?\)")
NAMED = re.compile(r"((?:\w+, )*\w+) \((\w[\w +*-]*(?:, ?[\w +*-]+)*),?\)")


def said_in_comment(text, names):
    """The letters of a and b in `a, b = f(x)    # (B, L, D), (B, L, H K)`."""
    groups = GROUP.findall(text.partition("#")[2])
    return {name: split(group) for name, group in zip(names, groups)} if len(groups) == len(names) else {}


def said_in_docstring(doc):
    """The letters of all three arrays in "query, key (B, L, H, Dh)  ->  out (B, L, D)"."""
    return {name: split(group) for names, group in NAMED.findall(doc) for name in names.split(", ")}


def split(group):
    return tuple(part.strip() for part in group.split(","))


def fits(letters, shape, sizes):
    """Whether the axes can have these letters: each letter means one size, and a known letter keeps its size."""
    sizes = dict(sizes)
    if len(letters) != len(shape):
        return False
    for text, n in zip(letters, shape):
        words = re.findall(r"[A-Za-z]\w*|\d+", text)
        unknown = [word for word in words if not word.isdigit() and word not in sizes]
        if not words or any(word not in LETTERS for word in unknown) or unknown and len(words) > 1:
            return False
        if unknown:
            sizes[unknown[0]] = n
        elif _size(text, sizes) != n:
            return False
    return True


def _size(text, sizes):
    """The size that "H Dh", "2 H Dh" or "L + K - 1" comes to."""
    total, sign = 0, 1
    for part in re.split(r"([+-])", text):
        if part.strip() in "+-":
            sign = -1 if part == "-" else 1
            continue
        product = 1
        for word in re.findall(r"\w+", part):
            product *= int(word) if word.isdigit() else sizes[word]
        total += sign * product
    return total


PRODUCTS = ("H Dh", "2 H Dh", "H K", "L + K - 1")


def guessed(shape, sizes):
    """A letter for each axis whose size belongs to one letter alone; the size itself for any other axis."""
    sizes = {letter: sizes[letter] for letter in LETTERS if letter in sizes}
    axes = []
    for axis, n in enumerate(shape):
        expected = ("B", "L")[axis] if axis < 2 and len(shape) > 2 else None
        single = [letter for letter, size in sizes.items() if size == n and (letter not in axes or letter == "L")
                  and (letter != "B" or axis == 0)]
        product = [text for text in PRODUCTS if set(re.findall(r"[A-Z]\w*", text)) <= set(sizes)
                   and _size(text, sizes) == n]
        choice = single or product
        axes.append(expected if expected in single else choice[0] if len(choice) == 1 else str(n))
    return tuple(axes)
