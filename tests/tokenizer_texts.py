"""Texts that tokenizers stumble over, the same for the same seed, and a vocabulary that knows most of them."""

import random
import unicodedata

from minconvbert.files import default_model

PACKAGE_VOCABULARY = default_model() / "vocab.txt"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SETTINGS = [{"do_lower_case": lower, "strip_accents": accents} for lower in (True, False)
            for accents in (None, True, False)]

# Where stretches of 128 code points begin that hold something of interest.
SCRIPTS = [int(first, 16) for first in """
    20 80 100 180 200 250 300 370 400 480 500 590 600 680 700 780 7c0 840 8a0 900 980 a00 a80 b00 b80 c00 c80 d00 d80
    e00 e80 f00 f80 1000 1080 10c0 1100 1180 1200 1380 13a0 1680 1700 1780 1800 1880 1950 1a00 1a80 1b00 1b80 1c00 1c80
    1cd0 1d00 1dc0 1e00 1e80 1f00 1f80 2000 2080 2100 2160 2200 2480 2600 2b00 2c00 2c80 2d80 2e00 2e80 3000 3080 3100
    3380 33c0 4da0 9fc0 a000 a480 a640 a700 a780 a800 a8e0 a900 aa60 aae0 ab30 abc0 ac00 d780 e000 f880 f900 fa80 fb00
    fd80 fe00 fe80 ff00 ff80 10000 10100 101c0 10280 10370 10400 104b0 10570 10a00 10ae0 10c80 10d00 10d50 10ea0 10f30
    11000 11080 11100 11300 11380 11400 115b0 11830 118a0 11930 11a00 11c00 11d00 12400 16a60 16af0 16e40 16fe0 1bc00
    1d100 1d180 1d400 1da00 1e000 1e100 1e2c0 1e800 1e900 1f100 1f1e0 1f300 1f3f0 1f440 1f600 1f900 1fa70 20000 2a6c0
    2b700 2b7f0 2b8f0 2ceb0 2f800 30000 e0000 e0100 effc0 f0000 10ff80""".split()]
ODD = [chr(int(code, 16)) for code in """
    0 9 a b c d 1c 1f 7f 85 a0 ad 345 378 61c f73 f75 f81 344 180e 2000 2028 2029 200b 200d 202e 2060 212a 212b 2126
    3000 feff fffd fffe ffff 1d15e e0041 10ffff 130 131 df 1e9e 17f 3a3 3c3 3c2 1c5 149 fb01 338f c5 e9 f1 2460 24b6
    2177 2bc 2019 201c 201d 2014 2026""".split()]
MARKS = [chr(c) for c in range(0x110000) if unicodedata.combining(chr(c))] + list("\u093e\u09be\u09d7\u0b3e\U0001d165")
EMOJI = ["👨‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇫🇷🇩🇪", "1️⃣", "❤️", "☺", "🫠", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "👩🏿‍🚀"]
PUNCTUATION = "!'\"#$%^`~|+<=>-_.,()/\\[]{}«»¿§¶。、・‘·٪"


def english_words():
    return [word for word in PACKAGE_VOCABULARY.read_text(encoding="utf-8").split("\n") if word.isalpha()]


def texts(number, seed=0):
    """`number` texts of a dozen kinds, mixed."""
    rng, words = random.Random(seed), english_words()

    def some(least, most, make):
        return "".join(make() for _ in range(rng.randint(least, most)))

    def script():
        first = rng.choice(SCRIPTS)
        return some(1, 12, lambda: chr(first + rng.randrange(128)))

    def anything():
        return some(6, 6, lambda: chr(rng.choice([rng.randrange(0xd800), rng.randrange(0xe000, 0x110000)])))

    def odd():
        return some(1, 8, lambda: rng.choice(ODD) + rng.choice(["", "a", "B", "é"]))

    def marked():
        return some(1, 4, lambda: rng.choice("aEoΑי가क") + some(0, 5, lambda: rng.choice(MARKS)))

    def accented():
        return unicodedata.normalize(rng.choice(["NFC", "NFD"]), some(5, 5, lambda: rng.choice("ÀéîÕüçñšǖṩệΐάЙ각ガ")))

    def word():
        case = rng.choice([str.lower, str.upper, str.title])
        return case(rng.choice(words)) + rng.choice(["", "", "s", "ing", "xq"])

    def sentence():
        return " ".join(word() for _ in range(rng.randint(2, 12))) + rng.choice(".!?,;:…")

    def long():
        return rng.choice(["a", "Ab", "é", "e\u0301", "中", "ﬁ"]) * rng.choice([33, 34, 49, 50, 51, 99, 100, 101, 102])

    def special():
        return rng.choice([*SPECIAL, "[mask]", "[ MASK ]", "[MASK", "[UNK][SEP]"])

    def punctuated():
        return some(1, 6, lambda: rng.choice("aB1") + rng.choice(PUNCTUATION))

    def emoji():
        return rng.choice(EMOJI)

    kinds = [script, script, script, anything, odd, marked, accented, sentence, sentence, long, special, punctuated,
             emoji]
    return [rng.choice(["", " ", " ", "  ", "\t", "\u3000"]).join(rng.choice(kinds)() for _ in range(rng.randint(1, 4)))
            for _ in range(number)]


def vocabulary(some_texts):
    """Special tokens, pieces of English, and most characters of the texts, alone and continuing a word."""
    chars = set()
    for text in some_texts:
        for form in (text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)):
            chars.update(form, form.lower(), *(char.lower() for char in form))
    chars = sorted(char for char in chars if not char.isspace() and ord(char) % 13 != 5)
    pieces = PACKAGE_VOCABULARY.read_text(encoding="utf-8").split("\n")[5:2000]
    return list(dict.fromkeys([*SPECIAL, *pieces, *chars, *(f"##{char}" for char in chars)]))
