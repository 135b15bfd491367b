"""The fast tokenizer against the `tokenizers` package: every code point, and texts at random; and files both ways."""

import json
import random
import runpy
import sys
from pathlib import Path

import pytest

tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")

from tokenizer_texts import MARKS, PACKAGE_VOCABULARY, SETTINGS, SPECIAL, texts, vocabulary  # noqa: E402

from minconvbert.tokenizer import (
    AddedToken,  # noqa: E402
    ConvBertTokenizerFast,  # noqa: E402
    unicode8,
)
from minconvbert.tokenizer import files as tokenizer_files  # noqa: E402
from minconvbert.tokenizer.wordpiece import FAST, normalize, split  # noqa: E402

CODE_POINTS = [c for c in range(0x110000) if not 0xd800 <= c < 0xe000]
IDS = [f"lower={setting['do_lower_case']}-accents={setting['strip_accents']}" for setting in SETTINGS]


def reference(tokens, do_lower_case=True, strip_accents=None):
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(
        {token: i for i, token in enumerate(tokens)}, unk_token="[UNK]", max_input_chars_per_word=100))
    made.normalizer = tokenizers.normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=strip_accents, lowercase=do_lower_case)
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens([tokenizers.AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    return made


def assert_equal(ours, theirs, some_texts):
    for text in some_texts:
        want, got = theirs.encode(text, add_special_tokens=False), ours._pieces(text, ours.split_special_tokens)
        assert (got.ids, got.spans, got.words) == (want.ids, want.offsets, want.word_ids), ascii(text)
        assert ours.encode_ids(text) == want.ids
        assert_same_tokens(ours, ours.convert_ids_to_tokens(got.ids), want.tokens)


def assert_same_tokens(ours, got, want):
    """An added token is to us what was added, to the library the stretch of normalized text that it took."""
    assert len(got) == len(want)
    for mine, its in zip(got, want):
        assert mine == its or mine in ours.added_tokens_encoder and (
            mine == its.strip() or ours._normalize(mine)[0].strip() == its.strip())


@pytest.mark.parametrize("setting", SETTINGS, ids=IDS)
def test_every_code_point(setting):
    """Between two letters, 400 code points a text; a vocabulary for each plane that knows most of what comes of it.

    Planes 4 to 13 hold no character yet, so one setting of six reads them.
    """
    for first in range(0, 0x110000, 0x10000):
        if 0x40000 <= first < 0xe0000 and setting is not SETTINGS[0]:
            continue
        plane = [chr(c) for c in range(first, first + 0x10000) if not 0xd800 <= c < 0xe000]
        tokens = list(dict.fromkeys([*vocabulary("".join(plane)), "a", "b", "##a", "##b"]))
        assert_equal(ConvBertTokenizerFast(tokens, **setting), reference(tokens, **setting), (
            " ".join(f"a{char}b" for char in plane[i:i + 400]) for i in range(0, len(plane), 400)))


@pytest.mark.parametrize("setting", SETTINGS, ids=IDS)
def test_texts_at_random(setting):
    some = texts(4000, seed=11)
    tokens = vocabulary(some)
    assert_equal(ConvBertTokenizerFast(tokens, **setting), reference(tokens, **setting), some)


def test_marks_in_any_order():
    """Canonical ordering, of marks that Unicode 8 knows and does not: text, and where each character came from."""
    rng = random.Random(4)
    theirs = reference(SPECIAL, strip_accents=True)
    for _ in range(20_000):
        text = "".join(rng.choice(["a", "é", "\u0344", "\u0f73", *rng.sample(MARKS, 3)]) for _ in range(7))
        normal, source = normalize(text, FAST, True, True)
        assert normal == theirs.normalizer.normalize_str(text), ascii(text)
        spans = [(source[start], source[end - 1] + 1) for start, end in split(normal)]
        assert spans == theirs.encode(text, add_special_tokens=False).offsets, ascii(text)


def test_special_tokens_in_texts():
    rng = random.Random(5)
    some = ["".join(rng.choice([*SPECIAL, "[", "]", " ", "a", "é", "\t", "[mask]", "x"]) for _ in range(8))
            for _ in range(3000)]
    tokens = vocabulary(some)
    assert_equal(ConvBertTokenizerFast(tokens), reference(tokens), some)


def test_added_tokens():
    """Except for what the library leaves to chance: if several tokens are alike once normalized, it takes any of them."""
    rng = random.Random(6)
    flags = ["single_word", "lstrip", "rstrip", "normalized", "special"]
    parts = ["new", "york", "New York", "NEW", " ", "\t", "x", "_", "é", "É", "e\u0301", ".", "中", "ab", "abc", "##a", "<E>"]
    for _ in range(200):
        tokens = vocabulary(parts)
        setting = rng.choice(SETTINGS)
        ours, theirs = ConvBertTokenizerFast(tokens, **setting), reference(tokens, **setting)
        theirs.encode_special_tokens = ours.split_special_tokens = rng.random() < 0.3
        taken = set()
        for content in rng.sample(["new york", "É", "ab", "abc", "<E>", "York", "中x", "NEU", "e"], 4):
            how = {flag: rng.random() < 0.4 for flag in flags}
            normal = ours._normalize(content)[0]
            if normal in taken:
                continue
            taken.add(normal)
            ours.add_tokens(AddedToken(content, **how))
            theirs.add_tokens([tokenizers.AddedToken(content, **how)])
        assert ours.added_tokens_encoder == {token.content: i for i, token in theirs.get_added_tokens_decoder().items()}
        theirs.decoder = tokenizers.decoders.WordPiece(prefix="##")
        some = ["".join(rng.choice(parts) for _ in range(6)) for _ in range(20)]
        assert_equal(ours, theirs, some)
        for text in some:
            ids = ours.encode_ids(text)
            for skip in (False, True):
                assert ours.decode(ids, skip, clean_up_tokenization_spaces=False) == theirs.decode(
                    ids, skip_special_tokens=skip)


FOLDERS = {
    "a list": dict(extra_special_tokens=["<e1>", "[E2]"]),
    "a dict": dict(extra_special_tokens=dict(one_token="<e1>", two_token="[E2]")),
    "objects": dict(additional_special_tokens=[dict(content="<e1>", lstrip=True, rstrip=False, normalized=False,
                                                    single_word=False, special=True, __type="AddedToken"), "[E2]"]),
    "max_len": dict(max_len=16), "a float": dict(model_max_length=16.0), "the largest": dict(model_max_length=1e30),
    "eos": dict(eos_token="<e1>"), "pad left": dict(padding_side="left")}


@pytest.mark.parametrize("alone", [True, False], ids=["tokenizer.json alone", "with vocab.txt"])
@pytest.mark.parametrize("name", FOLDERS)
def test_folders_are_read_as_transformers_reads_them(tmp_path, name, alone):
    ConvBertTokenizerFast(PACKAGE_VOCABULARY).save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(dict(FOLDERS[name], tokenizer_class="ConvBertTokenizer")))
    for other in ("special_tokens_map.json", *["vocab.txt"] * alone):
        (tmp_path / other).unlink()
    ours = ConvBertTokenizerFast.from_pretrained(tmp_path)
    theirs = transformers.ConvBertTokenizer.from_pretrained(tmp_path)
    assert len(ours) == len(theirs) and ours.model_max_length == int(theirs.model_max_length)
    assert set(ours.all_special_tokens) == set(theirs.all_special_tokens)
    some = [*texts(60, seed=3), "a <e1> b[E2] don't, you . ", "word " * 40]
    how = dict(truncation=name != "a float", padding=True, return_offsets_mapping=True)      # 16.0 stops the library
    want, got = theirs(some, **how), ours(some, **how)
    assert {key: got[key] for key in want} == dict(want)
    for row, (ids, encoding) in enumerate(zip(got["input_ids"], got.encodings)):
        for skip in (False, True):
            assert ours.decode(ids, skip) == theirs.decode(ids, skip), ascii(some[row])
        for i in range(len(encoding)):
            assert got.token_to_chars(row, i) == (want.token_to_chars(row, i) and tuple(want.token_to_chars(row, i)))
        for i in range(min(9, len(some[row]))):
            assert got.char_to_token(row, i) == want.char_to_token(row, i)
            assert got.word_to_tokens(row, i) == (want.word_to_tokens(row, i) and tuple(want.word_to_tokens(row, i)))


@pytest.mark.parametrize("setting", SETTINGS, ids=IDS)
def test_an_added_accent(setting):
    """Where accents are stripped it is nothing, which is found everywhere; beside tokens that take white space with
    them the library stops."""
    tokens, rng = vocabulary(["abc", "é", "zq"]), random.Random(8)
    for flags in ({}, dict(single_word=True), dict(special=True)):
        ours, theirs = ConvBertTokenizerFast(tokens, **setting), reference(tokens, **setting)
        for content in ("\u0301", "zq"):
            ours.add_tokens(AddedToken(content, normalized=True, **flags))
            theirs.add_tokens([tokenizers.AddedToken(content, normalized=True, **flags)])
        assert_equal(ours, theirs, ["".join(rng.choice(["a", "bc", "zq", "é", "e\u0301", "\u0301", " ", "."])
                                            for _ in range(7)) for _ in range(300)])


def test_decoding_any_ids():
    tokens = [*SPECIAL, *"abc.,?!'", "##a", "##.", "do", "not", "n't", "s", "'s", "m", "##'s"]
    ours, theirs, rng = ConvBertTokenizerFast(tokens), reference(tokens), random.Random(7)
    for content in ("do not", "a .b", "'ve", "x 'm"):
        ours.add_tokens(content)
        theirs.add_tokens([content])
    theirs.decoder = tokenizers.decoders.WordPiece(prefix="##")
    for _ in range(3000):
        ids = [rng.randrange(len(ours) + 2) for _ in range(6)]
        for skip in (True, False):
            assert ours.decode(ids, skip, clean_up_tokenization_spaces=False) == theirs.decode(ids, skip_special_tokens=skip)


def test_the_tables_are_what_the_script_writes(capsys):
    script = Path(__file__).parents[1] / "scripts" / "make_unicode8.py"
    runpy.run_path(str(script), run_name="__main__")
    written = capsys.readouterr().out.split("\n")
    kept = Path(unicode8.__file__).read_text(encoding="utf-8").split("\n")
    assert [line for line in written if "asked tokenizers" not in line] == [
        line for line in kept if "asked tokenizers" not in line]


def test_transformers_reads_what_is_written(tmp_path):
    ours = ConvBertTokenizerFast(PACKAGE_VOCABULARY, model_max_length=64)
    ours.add_tokens([AddedToken("New York"), AddedToken("<e>", special=True, lstrip=True)])
    ours.save_pretrained(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert theirs.model_max_length == 64 and len(theirs) == len(ours)
    for text in [*texts(200, seed=8), "to NEW york  <e> again", "[MASK]<e>"]:
        want = theirs(text, "the second", return_offsets_mapping=True, truncation=True, max_length=20)
        got = ours(text, "the second", return_offsets_mapping=True, truncation=True, max_length=20)
        assert {name: got[name] for name in want} == dict(want), ascii(text)
        assert got.word_ids() == want.word_ids()
        assert_same_tokens(ours, got.tokens(), want.tokens())
        assert got.sequence_ids() == want.sequence_ids()


@pytest.mark.parametrize("lower", [True, False])
def test_what_transformers_writes_is_read(tmp_path, lower):
    vocab = {token: i for i, token in enumerate(tokenizer_files.read_vocab(PACKAGE_VOCABULARY))}
    theirs = transformers.ConvBertTokenizer(vocab=vocab, do_lower_case=lower)
    theirs.add_tokens(["newtok"])
    theirs.save_pretrained(tmp_path)
    ours = ConvBertTokenizerFast.from_pretrained(tmp_path)
    assert ours.do_lower_case is lower
    for text in [*texts(100, seed=9), "a NEWTOK here"]:
        assert ours.encode(text) == theirs.encode(text), ascii(text)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
