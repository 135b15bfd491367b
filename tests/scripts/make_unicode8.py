"""Write minconvbert/unicode8.py: how the `tokenizers` package sees every code point, asked one by one.

    python tests/scripts/make_unicode8.py > minconvbert/unicode8.py      (needs the parity extra)
"""

from importlib.metadata import version

from tokenizers import normalizers, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


HEAD = '''"""How the `tokenizers` package sees Unicode: tables of version 8.0 for categories, of 16.0 for lower case.

Written by tests/scripts/make_unicode8.py, which asked tokenizers {version} about every code point; not by hand.
A table lists the code points at which its answer changes, false before the first: odd positions are inside.
"""


def _numbers(text):
    return [int(number, 16) for number in text.split()]


def _quadruples(text):
    runs = [run.split(",") for run in text.split()]
    return [(int(first, 16), int(last, 16), int(step), int(shift)) for first, last, step, shift in runs]

'''


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


def hexes(numbers, width=112):
    lines, line = [], ""
    for number in numbers:
        if len(line) + len(number) + 1 > width:
            lines.append(line)
            line = ""
        line += (" " if line else "") + number
    return "\n".join(f"    {text}" for text in [*lines, line])


def main():
    clean, strip, lower = bert(clean_text=True), bert(strip_accents=True), bert(lowercase=True)
    chinese = bert(handle_chinese_chars=True)
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    tables = {
        "DROPPED": lambda c: clean(f"a{chr(c)}b") == "ab",
        "SPACES": lambda c: clean(f"a{chr(c)}b") == "a b",
        "CJK": lambda c: chinese(chr(c)) == f" {chr(c)} ",
        "MARKS": lambda c: strip(f"a{chr(c)}") == "a",
        "PUNCTUATION": lambda c: len(split(f"a{chr(c)}b")) == 3,
    }
    print(HEAD.format(version=version("tokenizers")))
    for name, holds in tables.items():
        print(f'{name} = _numbers("""\n{hexes(f"{bound:x}" for bound in boundaries(holds))}""")\n')
    runs = lower_runs(lower)
    print(f'LOWER_RUNS = _quadruples("""\n{hexes(f"{a:x},{b:x},{step},{shift}" for a, b, step, shift in runs)}""")')


main()
