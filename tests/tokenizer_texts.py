"""Texts that tokenizers stumble over, the same for the same seed, and a vocabulary that does not call them all unknown."""

import random
import unicodedata
from pathlib import Path

import minconvbert

PACKAGE_VOCABULARY = Path(minconvbert.__file__).with_name("vocab.txt")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SETTINGS = [dict(do_lower_case=lower, strip_accents=accents) for lower in (True, False) for accents in (None, True, False)]

# First code points of stretches of 128 with something of interest in each.
SCRIPTS = [
    0x20, 0x80, 0x100, 0x180, 0x200, 0x250, 0x300, 0x370, 0x400, 0x480, 0x500, 0x590, 0x600, 0x680, 0x700, 0x780, 0x7c0,
    0x840, 0x8a0, 0x900, 0x980, 0xa00, 0xa80, 0xb00, 0xb80, 0xc00, 0xc80, 0xd00, 0xd80, 0xe00, 0xe80, 0xf00, 0xf80, 0x1000,
    0x1080, 0x10c0, 0x1100, 0x1180, 0x1200, 0x1380, 0x13a0, 0x1680, 0x1700, 0x1780, 0x1800, 0x1880, 0x1950, 0x1a00, 0x1a80,
    0x1b00, 0x1b80, 0x1c00, 0x1c80, 0x1cd0, 0x1d00, 0x1dc0, 0x1e00, 0x1e80, 0x1f00, 0x1f80, 0x2000, 0x2080, 0x2100, 0x2160,
    0x2200, 0x2480, 0x2600, 0x2b00, 0x2c00, 0x2c80, 0x2d80, 0x2e00, 0x2e80, 0x3000, 0x3080, 0x3100, 0x3380, 0x33c0, 0x4da0,
    0x9fc0, 0xa000, 0xa480, 0xa640, 0xa700, 0xa780, 0xa800, 0xa8e0, 0xa900, 0xaa60, 0xaae0, 0xab30, 0xabc0, 0xac00, 0xd780,
    0xe000, 0xf880, 0xf900, 0xfa80, 0xfb00, 0xfd80, 0xfe00, 0xfe80, 0xff00, 0xff80, 0x10000, 0x10100, 0x101c0, 0x10280,
    0x10370, 0x10400, 0x104b0, 0x10570, 0x10a00, 0x10ae0, 0x10c80, 0x10d00, 0x10d50, 0x10ea0, 0x10f30, 0x11000, 0x11080,
    0x11100, 0x11300, 0x11380, 0x11400, 0x115b0, 0x11830, 0x118a0, 0x11930, 0x11a00, 0x11c00, 0x11d00, 0x12400, 0x16a60,
    0x16af0, 0x16e40, 0x16fe0, 0x1bc00, 0x1d100, 0x1d180, 0x1d400, 0x1da00, 0x1e000, 0x1e100, 0x1e2c0, 0x1e800, 0x1e900,
    0x1f100, 0x1f1e0, 0x1f300, 0x1f3f0, 0x1f440, 0x1f600, 0x1f900, 0x1fa70, 0x20000, 0x2a6c0, 0x2b700, 0x2b7f0, 0x2b8f0,
    0x2ceb0, 0x2f800, 0x30000, 0xe0000, 0xe0100, 0xeffc0, 0xf0000, 0x10ff80]
ODD = ("\0\t\n\v\f\r\x1c\x1f\x7f\x85\xa0\xad\u0345\u0378\u061c\u0f73\u0f75\u0f81\u0344\u180e\u2000\u2028\u2029\u200b\u200d\u202e"
       "\u2060\u212a\u212b\u2126\u3000\ufeff\ufffd\ufffe\uffff\U0001d15e\U000e0041\U0010ffff" "İıẞßſΣσςǅŉﬁ㎏Åéñ①Ⓐⅷʼn’“”—…")
MARKS = [c for c in range(0x110000) if unicodedata.combining(chr(c))] + [0x93e, 0x9be, 0x9d7, 0xb3e, 0x1d165]
EMOJI = ["👨‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇫🇷🇩🇪", "1️⃣", "❤️", "☺", "🫠", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "👩🏿‍🚀"]


def texts(number, seed=0, vocabulary=None):
    """`number` texts of a dozen kinds, mixed."""
    rng = random.Random(seed)
    words = [w for w in (vocabulary or PACKAGE_VOCABULARY.read_text(encoding="utf-8").split("\n")) if w.isalpha()]

    def script():
        first = rng.choice(SCRIPTS)
        return "".join(chr(first + rng.randrange(128)) for _ in range(rng.randint(1, 12)))

    def anything():
        return "".join(chr(rng.choice([rng.randrange(0xd800), rng.randrange(0xe000, 0x110000)])) for _ in range(6))

    def odd():
        return "".join(rng.choice(ODD) + rng.choice(["", "a", "B", "é"]) for _ in range(rng.randint(1, 8)))

    def marked():
        return "".join(rng.choice("aEoΑי가क") + "".join(chr(rng.choice(MARKS)) for _ in range(rng.randint(0, 5)))
                       for _ in range(rng.randint(1, 4)))

    def accented():
        return unicodedata.normalize(rng.choice(["NFC", "NFD"]), "".join(rng.choice("ÀéîÕüçñšǖṩệΐάЙ각ガ") for _ in range(5)))

    def word():
        return rng.choice([str.lower, str.upper, str.title])(rng.choice(words)) + rng.choice(["", "", "s", "ing", "xq"])

    def sentence():
        return " ".join(word() for _ in range(rng.randint(2, 12))) + rng.choice(".!?,;:…")

    def long():
        return rng.choice(["a", "Ab", "é", "e\u0301", "中", "ﬁ"]) * rng.choice([33, 34, 49, 50, 51, 99, 100, 101, 102])

    def special():
        return rng.choice(SPECIAL + ["[mask]", "[ MASK ]", "[MASK", "[UNK][SEP]"])

    def punctuated():
        return "".join(rng.choice("aB1") + rng.choice("!'\"#$%^`~|+<=>-_.,()/\\[]{}«»¿§¶。、・‘·٪") for _ in range(rng.randint(1, 6)))

    kinds = [script, script, script, anything, odd, marked, accented, sentence, sentence, long, special, punctuated,
             lambda: rng.choice(EMOJI)]
    out = []
    for _ in range(number):
        parts = [rng.choice(kinds)() for _ in range(rng.randint(1, 4))]
        out.append(rng.choice(["", " ", " ", "  ", "\t", "\u3000"]).join(parts))
    return out


def vocabulary(some_texts):
    """Special tokens, pieces of English, and most characters that come of the texts, alone and continuing a word."""
    chars = set()
    for text in some_texts:
        for form in (text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)):
            chars.update(form, form.lower(), *(char.lower() for char in form))
    chars = sorted(char for char in chars if not char.isspace() and ord(char) % 13 != 5 and not 0xd800 <= ord(char) < 0xe000)
    pieces = PACKAGE_VOCABULARY.read_text(encoding="utf-8").split("\n")[5:2000]
    return list(dict.fromkeys([*SPECIAL, *pieces, *chars, *(f"##{char}" for char in chars)]))
