"""Write tests/data/tokenizer/: what both tokenizers of transformers 4.57.6 make of 1,000 texts and 600 calls.

    python tests/scripts/make_tokenizer_vectors.py
    python tests/scripts/make_tokenizer_vectors.py --compare 2000 --seed 1

The second writes nothing: it compares both tokenizers of this package with the reference on other texts.
Runs in an environment of its own, with transformers==4.57.6 and without torch.
"""

import argparse
import json
import lzma
import random
import sys
import tempfile
import unicodedata
from pathlib import Path

import tokenizers
import transformers

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS)]
from tokenizer_texts import PACKAGE_VOCABULARY, SETTINGS, english_words, texts, vocabulary  # noqa: E402

FOLDER = TESTS / "data" / "tokenizer"


def text_vectors(some_texts, vocab_file):
    vectors = []
    for setting in SETTINGS:
        fast = transformers.ConvBertTokenizerFast(vocab_file, **setting)
        slow = transformers.ConvBertTokenizer(vocab_file, **setting)
        rows = []
        for text in some_texts:
            encoded = fast(text, add_special_tokens=False, return_offsets_mapping=True)
            rows.append({
                "fast": encoded["input_ids"], "slow": slow.encode(text, add_special_tokens=False),
                "offsets": [edge for span in encoded["offset_mapping"] for edge in span], "words": encoded.word_ids()})
            if setting == SETTINGS[0]:
                rows[-1] |= {"fast_text": fast.decode(encoded["input_ids"]),
                             "slow_text": slow.decode(rows[-1]["slow"], clean_up_tokenization_spaces=False)}
        vectors.append({"setting": setting, "rows": rows})
    return vectors


def calls(number, kind, seed):
    """Calls with options at random, and what came of them; null where nothing that fits can come of them."""
    rng, words = random.Random(seed), english_words()
    tokenizer = kind(str(PACKAGE_VOCABULARY))
    made = []

    def text(least):
        return " ".join(rng.choice(words) + rng.choice(["", "", "ly", ".", " [MASK]"])
                        for _ in range(rng.randint(least, 12)))

    while len(made) < number:
        split, batch, pair, special = (rng.random() < share for share in (0.2, 0.5, 0.5, 0.85))

        # The slow tokenizer does not pad a row of nothing.
        some = [text(0 if special and not split else 1) for _ in range(6)]
        some = [one.split() for one in some] if split else some
        options = {"text": some[:3] if batch else some[0], "is_split_into_words": split, "add_special_tokens": special}
        if pair:
            options["text_pair"] = some[3:] if batch else some[3]
        options["padding"] = rng.choice([False, True, "max_length"])
        options["truncation"] = rng.choice([False, True, True, "only_first", "only_second"])
        if rng.random() < 0.8:
            options["max_length"] = rng.choice([1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16])
        options["stride"] = rng.choice([0, 0, 0, 1, 2, 3])
        options["pad_to_multiple_of"] = rng.choice([None, None, 4])
        for flag in ("overflowing_tokens", "special_tokens_mask", "length", "offsets_mapping"):
            if rng.random() < 0.4 and not (flag == "offsets_mapping" and not tokenizer.is_fast):
                options[f"return_{flag}"] = True
        sides = {"padding_side": rng.choice(["right", "left"]), "truncation_side": rng.choice(["right", "left"])}
        for name, side in sides.items():
            setattr(tokenizer, name, side)
        try:
            result = dict(tokenizer(**options).items())
        except BaseException as error:  # a panic of the fast tokenizer is no Exception
            if isinstance(error, KeyboardInterrupt):
                raise
            result = None
        if result is not None and not fits(result, options, batch, pair):
            result = None
        if not tokenizer.is_fast and not pair and options.get("max_length") == 2 * special:
            continue  # the slow tokenizer leaves such a row as it is, this package makes it [CLS] [SEP]
        made.append({"sides": sides, "options": options, "result": result})
    return made


def fits(result, options, batch, pair):
    """Is this what was asked for? The reference gives rows that are too long, and windows that are empty."""
    if not options["truncation"] or options.get("max_length") is None:
        return True
    specials = (2 + bool(pair and options.get("text_pair") != "")) * options["add_special_tokens"]
    windows = options.get("return_overflowing_tokens", False)
    many = batch or "overflow_to_sample_mapping" in result
    longest = max(map(len, result["input_ids"] if many else [result["input_ids"]]))
    limit = options["max_length"] + (-options["max_length"] % (options["pad_to_multiple_of"] or 1))
    room = options["max_length"] - specials
    only = options["truncation"] == "only_second" or (pair and options["truncation"] == "only_first")
    no_room = room < 0 or (room == 0 and (windows or only)) or (room < 2 and pair and windows)
    return longest <= max(limit, specials) and not no_room


def compare(number, seed):
    """-> how many texts the two packages differ in, over all settings, of both kinds"""
    from minconvbert import tokenizer as ours

    some_texts, differ = texts(number, seed), 0
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("".join(f"{token}\n" for token in vocabulary(some_texts)))
        file.flush()
        for setting in SETTINGS:
            for kind in ("ConvBertTokenizer", "ConvBertTokenizerFast"):
                pair = [getattr(package, kind)(file.name, **setting) for package in (transformers, ours)]
                for text in some_texts:
                    ids = [tokenizer.encode(text) for tokenizer in pair]
                    decoded = [[tokenizer.decode(ids[0], skip_special_tokens=skip, clean_up_tokenization_spaces=clean)
                                for skip in (True, False) for clean in (True, False)] for tokenizer in pair]
                    if ids[0] != ids[1] or decoded[0] != decoded[1]:
                        differ += 1
                        print(kind, setting, ascii(text))
            print(f"{setting}: {differ} differences so far")
    return differ


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--compare", type=int, metavar="N", help="compare N texts, and write nothing")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    if options.compare:
        return bool(compare(options.compare, options.seed))
    FOLDER.mkdir(parents=True, exist_ok=True)
    some_texts = texts(1000, seed=20)
    vocab_file = FOLDER / "vocab.txt"
    vocab_file.write_text("".join(f"{token}\n" for token in vocabulary(some_texts)), encoding="utf-8")
    vectors = {
        "transformers": transformers.__version__, "tokenizers": tokenizers.__version__,
        "unicode": unicodedata.unidata_version, "texts": some_texts,
        "vectors": text_vectors(some_texts, str(vocab_file)),
        "fast_calls": calls(300, transformers.ConvBertTokenizerFast, 1),
        "slow_calls": calls(300, transformers.ConvBertTokenizer, 2)}
    packed = json.dumps(vectors, ensure_ascii=False, separators=(",", ":")).encode()
    (FOLDER / "vectors.json.xz").write_bytes(lzma.compress(packed, preset=9 | lzma.PRESET_EXTREME))
    return 0


if __name__ == "__main__":
    sys.exit(main())
