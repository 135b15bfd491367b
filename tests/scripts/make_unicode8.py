"""Write minconvbert/tokenizer/unicode8.py: how the `tokenizers` package classifies every code point.

    python tests/scripts/make_unicode8.py > minconvbert/tokenizer/unicode8.py   (needs the parity extra)
"""

from importlib.metadata import version

from tokenizers import normalizers, pre_tokenizers

LOWEST, HIGHEST = "\u0334", "\u0345"  # marks of combining class 1 and 240: any other mark is sorted between them
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


HEAD = '''"""How the `tokenizers` package sees Unicode, as tables.

Categories are those of Unicode 8.0, decompositions of 9.0, lower case of 16.0, and no `unicodedata` has all three.
tests/scripts/make_unicode8.py writes these tables from the answers of tokenizers {version} for every code point. A table
lists the code points (hexadecimal) at which the answer changes. It is no before the first.
"""


def _bounds(text):
    return [int(number, 16) for number in text.split()]


def _runs(text):
    runs = [run.split(",") for run in text.split()]
    return [(int(first, 16), int(last, 16), int(step), int(shift)) for first, last, step, shift in runs]

'''

MEANINGS = {
    "DROPPED": "control, format and private characters, NUL and U+FFFD: cleaning leaves them out",
    "SPACES": "white space that cleaning keeps, as a plain space",
    "CJK": "Chinese characters: a space is put on both sides of each",
    "MARKS": "nonspacing marks: stripping accents leaves them out",
    "PUNCTUATION": "punctuation: a word of its own",
    "DECOMPOSED": "characters that decompose, each as `unicodedata` has it",
    "COMBINING": "marks that are sorted by combining class, each of the class that `unicodedata` has",
    "LOWER_RUNS": "first, last, step, distance to the lower case (one more has a lower case of two characters: U+0130)",
}


def bert(**switched_on):
    off = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**(off | switched_on)).normalize_str


def boundaries(holds):
    """The code points at which the answer of `holds` changes, false before the first."""
    bounds, last = [], False
    for c in range(0x110001):
        now = c < 0x110000 and not 0xD800 <= c < 0xE000 and holds(c)
        if now != last:
            bounds.append(c)
            last = now
    return bounds


def lower_runs(lower):
    """(first, last, step, shift): runs of code points, 1 or 2 apart, whose lower case is the same distance away."""
    runs = []
    for c in CODE_POINTS:
        small = lower(chr(c))
        if small == chr(c) or len(small) > 1:
            continue
        shift = ord(small) - c
        if runs:
            first, last, step, known = runs[-1]
            if shift == known and c - last in ((1, 2) if first == last else (step,)):
                runs[-1] = (first, c, c - last, known)
                continue
        runs.append((c, c, 1, shift))
    return runs


def wrap(words, width=112):
    lines, line = [], ""
    for word in words:
        if len(line) + len(word) + 1 > width:
            lines.append(line)
            line = ""
        line += (" " if line else "") + word
    return "\n".join(f"    {text}" for text in [*lines, line])


def main():
    clean, strip, lower = bert(clean_text=True), bert(strip_accents=True), bert(lowercase=True)
    chinese = bert(handle_chinese_chars=True)
    nfd = normalizers.NFD().normalize_str
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    tables = {
        "DROPPED": lambda c: clean(f"a{chr(c)}b") == "ab",
        "SPACES": lambda c: clean(f"a{chr(c)}b") == "a b",
        "CJK": lambda c: chinese(chr(c)) == f" {chr(c)} ",
        "MARKS": lambda c: strip(f"a{chr(c)}") == "a",
        "PUNCTUATION": lambda c: len(split(f"a{chr(c)}b")) == 3,
        "DECOMPOSED": lambda c: nfd(chr(c)) != chr(c),
        "COMBINING": lambda c: nfd(chr(c)) == chr(c) and (
            nfd(f"{chr(c)}{LOWEST}")[0] == LOWEST or nfd(f"{HIGHEST}{chr(c)}")[-1] == HIGHEST),
    }
    print(HEAD.format(version=version("tokenizers")))
    for name, holds in tables.items():
        print(f'# {MEANINGS[name]}\n{name} = _bounds("""\n{wrap(f"{bound:x}" for bound in boundaries(holds))}""")\n')
    runs = wrap(f"{first:x},{last:x},{step},{shift}" for first, last, step, shift in lower_runs(lower))
    print(f'# {MEANINGS["LOWER_RUNS"]}\nLOWER_RUNS = _runs("""\n{runs}""")')


main()
