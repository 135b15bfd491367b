"""Both tokenizers against what transformers 4.57.6 made of the same texts and calls, and against what must hold anyway."""

import copy
import json
import lzma
import pickle
import time
import unicodedata
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_texts import EMOJI, MARKS, ODD, PACKAGE_VOCABULARY, SPECIAL, texts

from minconvbert.__main__ import main
from minconvbert.tokenizer import AddedToken, ConvBertTokenizer, ConvBertTokenizerFast, unicode8
from minconvbert.tokenizer.wordpiece import CHUNK, FAST, SLOW, explain, match, normalize, split

FOLDER = Path(__file__).parent / "data" / "tokenizer"
REFERENCE = json.loads(lzma.decompress((FOLDER / "vectors.json.xz").read_bytes()))
KINDS = [ConvBertTokenizerFast, ConvBertTokenizer]
ANY_TEXT = st.lists(st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8), st.sampled_from([*ODD, *EMOJI, *SPECIAL, " ", "é", "Σ"]),
    st.text(st.sampled_from(MARKS), max_size=4), st.text("abcdeABCÉ' .,", max_size=20))).map("".join)


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request):
    return request.param(PACKAGE_VOCABULARY)


@pytest.fixture(scope="module")
def fast():
    return ConvBertTokenizerFast(PACKAGE_VOCABULARY)


# What the reference made of it

@pytest.mark.parametrize("case", REFERENCE["vectors"], ids=lambda case: str(case["setting"]))
def test_fast_equals_the_reference(case):
    tokenizer = ConvBertTokenizerFast(FOLDER / "vocab.txt", **case["setting"])
    for text, row in zip(REFERENCE["texts"], case["rows"], strict=True):
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        offsets = list(zip(row["offsets"][::2], row["offsets"][1::2], strict=True))
        assert encoded["input_ids"] == tokenizer.encode_ids(text) == row["fast"], ascii(text)
        assert encoded["offset_mapping"] == offsets, ascii(text)
        assert encoded.word_ids() == row["words"], ascii(text)
        assert tokenizer.decode(row["fast"]) == row.get("fast_text", tokenizer.decode(row["fast"]))


@pytest.mark.parametrize("case", REFERENCE["vectors"], ids=lambda case: str(case["setting"]))
def test_slow_equals_the_reference(case):
    tokenizer = ConvBertTokenizer(FOLDER / "vocab.txt", **case["setting"])
    same_unicode = unicodedata.unidata_version == REFERENCE["unicode"]
    compared = 0
    for text, row in zip(REFERENCE["texts"], case["rows"], strict=True):
        # The slow tokenizer answers as the Unicode of its Python does; all know the characters of Unicode 3.2.
        if same_unicode or all(unicodedata.ucd_3_2_0.category(char) != "Cn" for char in text):
            assert tokenizer.encode(text, add_special_tokens=False) == tokenizer.encode_ids(text) == row["slow"], ascii(text)
            if "slow_text" in row:
                assert tokenizer.decode(row["slow"], clean_up_tokenization_spaces=False) == row["slow_text"]
            compared += 1
    assert compared > 300


@pytest.mark.parametrize("kind, name", list(zip(KINDS, ["fast_calls", "slow_calls"], strict=True)))
def test_calls_equal_the_reference(kind, name):
    tokenizer = kind(PACKAGE_VOCABULARY)
    for call in REFERENCE[name]:
        for side, value in call["sides"].items():
            setattr(tokenizer, side, value)
        if call["result"] is None:
            with pytest.raises(ValueError, match="must|cannot|needs"):
                tokenizer(**call["options"])
        else:
            assert json.loads(json.dumps(tokenizer(**call["options"]))) == call["result"], call


# Text

@given(ANY_TEXT, st.booleans(), st.sampled_from([None, True, False]))
@settings(max_examples=150, deadline=None)
def test_what_is_remembered_is_what_is_worked_out(text, lower, accents):
    tokenizer = ConvBertTokenizerFast(SHORT_VOCABULARY, do_lower_case=lower, strip_accents=accents)
    without_special = "".join(" " if part in SPECIAL else part for part in tokenizer._early.pattern.split(text))
    plain = tokenizer._work_out(without_special)
    for _ in range(2):
        assert tokenizer._pieces(without_special) == plain


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"strip_accents": False}, {"do_lower_case": False}])
def test_chunks_have_nothing_to_do_with_each_other(kind, options):
    """Every text of four of these: a mark may compose with the < before it, and a control character vanishes."""
    tokenizer = kind(SHORT_VOCABULARY, **options)
    for text in map("".join, product("aB<.é\u0338\u0301\x01\x7f \xa0", repeat=4)):
        assert tokenizer.encode_ids(text) == tokenizer._work_out(text).ids, ascii(text)


SHORT_VOCABULARY = [*SPECIAL, *"abcdeé'.,Σσ中", *(f"##{char}" for char in "abcdeéσ"), "abc", "##cde", "e\u0301"]


@given(ANY_TEXT)
@settings(max_examples=150, deadline=None)
def test_offsets_point_at_the_text(text):
    tokenizer = ConvBertTokenizerFast(SHORT_VOCABULARY)
    encoded = tokenizer(text, return_offsets_mapping=True)
    spans, words, tokens = encoded["offset_mapping"][1:-1], encoded.word_ids()[1:-1], encoded.tokens()[1:-1]
    for (start, end), token in zip(spans, tokens, strict=True):
        assert 0 <= start < end <= len(text)
        if token not in SPECIAL:
            assert normalize(text[start:end])[0].strip() == token.removeprefix("##")
    assert words == sorted(words) and set(words) == set(range(len(set(words))))


@pytest.mark.parametrize("kind", KINDS)
def test_forgetting_changes_nothing(kind):
    some = texts(60, seed=3)
    tokenizer, forgetful = kind(PACKAGE_VOCABULARY), kind(PACKAGE_VOCABULARY)
    forgetful._remembered.size = 3
    assert [forgetful.encode_ids(text) for text in some] == [tokenizer.encode_ids(text) for text in some]
    assert len(forgetful._remembered) <= 3 and len(forgetful._remembered.old) <= 3


def test_a_common_word_is_not_forgotten(fast):
    tokenizer = copy.deepcopy(fast)
    worked_out = []
    remembered = tokenizer._remembered
    remembered.work_out, remembered.size = lambda chunk: worked_out.append(chunk) or fast._work_out(chunk), 10
    for i in range(100):
        tokenizer.encode_ids(f"the {i}")
    assert worked_out.count("the") == 1 and len(remembered) <= 10
    tokenizer.encode_ids("x" * 101)
    assert "x" * 101 not in remembered


@pytest.mark.parametrize("text, pieces", [
    ("a\0b a\ufffdb a\x0bb a\u200bb", "abc"), ("a\u2028b", "a b"), ("a\u0378b", "a\u0378b"), ("中a文", "中 a 文"),
    ("ÀÉ", "ae"), ("e\u0301", "e"), ("İ", "i"), ("ΑΣ", "ασ"), ("x\u3000y", "x y")])
def test_normalize_fast(text, pieces):
    normal = normalize(text)[0]
    assert normal.split() == (["ab"] * 4 if pieces == "abc" else pieces.split())


def test_the_slow_and_the_fast_differ_as_the_table_says():
    assert normalize("a\u0378b", FAST)[0] == "a\u0378b" and normalize("a\u0378b", SLOW)[0] == "ab"
    assert normalize("e\u0301", FAST, strip_accents=False)[0] == "e\u0301" != normalize("e\u0301", SLOW, strip_accents=False)[0]
    assert normalize("\U0002b820", FAST)[0] == "\U0002b820" and normalize("\U0002b820", SLOW)[0] == " \U0002b820 "
    assert split("a\u2e4fb", FAST) == [(0, 3)] and split("a\u2e4fb", SLOW) == [(0, 1), (1, 2), (2, 3)]  # of 2019
    assert "\u1dfa" in normalize("a\u1dfa", FAST)[0]  # a mark of 2021
    slow, fast = (kind(SHORT_VOCABULARY) for kind in (ConvBertTokenizer, ConvBertTokenizerFast))
    for tokenizer, found in ((slow, True), (fast, False)):
        tokenizer.add_tokens(AddedToken("<ent>", special=True))
        assert ("<ent>" in tokenizer.tokenize("a <ENT>")) is found
    pair = {"truncation": True, "add_special_tokens": False, "max_length": 3}
    assert slow("a a a", "b b b", **pair)["input_ids"] == [5, 5, 6]
    assert fast("a a a", "b b b", **pair)["input_ids"] == [5, 6, 6]
    assert slow("a", "")["input_ids"] == [2, 5, 3, 3] and fast("a", "")["input_ids"] == [2, 5, 3]
    assert slow.convert_ids_to_tokens(999) == "[UNK]" and fast.convert_ids_to_tokens(999) is None


def test_tables_hold_what_was_measured():
    def size(bounds):
        return sum(end - start for start, end in zip(bounds[::2], bounds[1::2], strict=True))

    tables = {name: getattr(unicode8, name) for name in ("DROPPED", "SPACES", "CJK", "MARKS", "PUNCTUATION")}
    assert all(bounds == sorted(set(bounds)) for bounds in tables.values())
    assert size(tables["PUNCTUATION"]) == 726 and size(tables["SPACES"]) == 22
    # The rest of Unicode 8's 1,567 marks decompose before they are looked at.
    assert 1557 <= size(tables["MARKS"]) <= 1567
    assert FAST.lower("\U00010d50") == "\U00010d70" and FAST.lower("A") == "a" and FAST.lower("İ") == "i̇"


@pytest.mark.parametrize("length, known", [(99, True), (100, True), (101, False)])
def test_the_longest_word(length, known):
    assert bool(match("a" * length, {"a", "##a"})) is known
    assert match("ab", {"a"}) == [] and match("", {"a"}) == []


def test_explain_says_why():
    vocab = {"un", "##aff", "##able", "a", "##b"}
    assert explain("unaffable", vocab) == [
        "the longest that fits, because the vocabulary lacks unaffable ... una",
        "the longest that fits, because the vocabulary lacks ##affable ... ##affa", "the rest of the word"]
    assert explain("a", vocab) == ["the whole word"]
    assert explain("abz", vocab) == ["unknown: after 'ab' the vocabulary has no piece that '##z' begins with"]
    assert explain("z", vocab) == ["unknown: the vocabulary has no piece that 'z' begins with"]
    assert explain("a" * 101, vocab) == ["unknown: it has 101 characters, and a word may have 100"]


@pytest.mark.parametrize("kind", KINDS)
def test_explain_agrees_with_encoding(kind):
    tokenizer = kind(FOLDER / "vocab.txt")
    for text in REFERENCE["texts"][:300]:
        assert [row["id"] for row in tokenizer.explain(text)] == tokenizer.encode_ids(text)
    if tokenizer.is_fast:
        for text in REFERENCE["texts"][:300]:
            spans = [(row["start"], row["end"]) for row in tokenizer.explain(text)]
            assert spans == tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", [
    "a" * 10**5, "\0" * 10**5 + "a", "a" + "\u0301" * 10**5, "a" + "\u0301\u0323" * 50_000, "\u0f73" * 50_000,
    "é" * 50_000, "中" * 50_000, "a.\u0301" * 25_000], ids=lambda text: ascii(text[:4]))
def test_long_texts_take_no_longer_than_they_are(kind, text):
    began = time.process_time()
    tokenizer = kind(PACKAGE_VOCABULARY)
    ids = tokenizer.encode_ids(text)
    assert time.process_time() - began < 10  # most take half a second; sorting marks one by one took many minutes
    assert ids == tokenizer._work_out(text).ids


def test_sorting_marks_is_linear():
    def seconds(number):
        began = time.process_time()
        normalize("a" + "\u0301\u0323" * number, FAST, False, True)
        return time.process_time() - began

    assert min(seconds(40_000) for _ in range(3)) < 6 * min(seconds(20_000) for _ in range(3))


# Rows

def test_the_methods_of_the_documentation(tokenizer):
    assert tokenizer.build_inputs_with_special_tokens([7, 8]) == [2, 7, 8, 3]
    assert tokenizer.build_inputs_with_special_tokens([7, 8], [9]) == [2, 7, 8, 3, 9, 3]
    assert tokenizer.create_token_type_ids_from_sequences([7, 8]) == [0, 0, 0, 0]
    assert tokenizer.create_token_type_ids_from_sequences([7, 8], [9]) == [0, 0, 0, 0, 1, 1]
    assert tokenizer.get_special_tokens_mask([7, 8], [9]) == [1, 0, 0, 1, 0, 1]
    assert tokenizer.get_special_tokens_mask([2, 7, 3], already_has_special_tokens=True) == [1, 0, 1]
    assert (tokenizer.num_special_tokens_to_add(), tokenizer.num_special_tokens_to_add(pair=True)) == (2, 3)
    assert tokenizer.vocab_size == len(tokenizer) == 8192 and len(tokenizer.get_vocab()) == 8192
    assert [tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id,
            tokenizer.mask_token_id] == sorted(tokenizer.all_special_ids) == [0, 1, 2, 3, 4]


def test_batches_are_their_rows(tokenizer):
    some, others = texts(20, seed=5), texts(20, seed=6)
    for batch, one in ((tokenizer(some), tokenizer), (tokenizer(some, others), None)):
        for row, text in enumerate(some):
            single = one(text) if one else tokenizer(text, others[row])
            assert {name: values[row] for name, values in batch.items()} == single
            assert batch.word_ids(row) == single.word_ids() and batch.sequence_ids(row) == single.sequence_ids()
            assert batch.tokens(row) == single.tokens() == tokenizer.convert_ids_to_tokens(single["input_ids"])
    assert tokenizer(list(zip(some, others, strict=True))) == tokenizer(some, others)
    assert tokenizer([])["input_ids"] == []


def test_arrays(tokenizer):
    batch = tokenizer(["one two", "three"], padding=True, return_tensors="np", return_special_tokens_mask=True)
    assert all(values.dtype == np.int64 and values.shape == (2, 4) for values in batch.values())
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]] and "input_ids" in batch
    assert tokenizer("one", return_tensors="np")["input_ids"].shape == (1, 3)
    with pytest.raises(ValueError, match="equally long, but those of input_ids have 3 to 4 tokens: use padding=True"):
        tokenizer(["one two", "three"], return_tensors="np")
    with pytest.raises(AttributeError, match="this batch has no 'labels', but has input_ids"):
        batch.labels  # noqa: B018


def test_offsets_of_words_and_of_arrays(fast):
    encoded = fast(["Un-\u200bdo", "it"], is_split_into_words=True, return_offsets_mapping=True, return_tensors="np")
    assert encoded.word_ids() == [None, 0, 0, 0, 1, None]
    assert encoded["offset_mapping"].tolist() == [[[0, 0], [0, 2], [2, 3], [4, 6], [0, 2], [0, 0]]]


@pytest.mark.parametrize("side", ["right", "left"])
def test_pad(tokenizer, side):
    rows = [tokenizer(text, return_special_tokens_mask=True) for text in ("one", "one two three")]
    whole = tokenizer(["one", "one two three"], padding=True, padding_side=side, return_special_tokens_mask=True)
    assert tokenizer.pad(rows, padding_side=side) == whole
    assert tokenizer.pad(tokenizer(["one", "one two three"], return_special_tokens_mask=True), padding_side=side) == whole
    padded = tokenizer.pad([{"input_ids": np.array(row["input_ids"]), "label": 3} for row in rows], padding_side=side,
                           pad_to_multiple_of=4)
    assert padded["input_ids"].shape == padded["attention_mask"].shape == (2, 8) and padded["label"].tolist() == [3, 3]
    one = tokenizer.pad({"input_ids": [2, 3]}, padding="max_length", max_length=4, padding_side=side)
    assert one["input_ids"] == ([2, 3, 0, 0] if side == "right" else [0, 0, 2, 3])
    assert tokenizer.pad({"input_ids": [2, 3]}, return_attention_mask=False) == {"input_ids": [2, 3]}
    with pytest.raises(ValueError, match="must have input_ids, but have label"):
        tokenizer.pad({"label": [1]})
    with pytest.raises(ValueError, match="must have input_ids, but have nothing"):
        tokenizer.pad([])


def test_windows_cover_the_text(fast):
    text = " ".join(texts(1, seed=9) * 3)
    whole = fast.encode_ids(text)
    for stride in (0, 3):
        encoded = fast([text, "short"], truncation=True, max_length=12, stride=stride, return_overflowing_tokens=True)
        windows = [ids[1:-1] for ids, sample in zip(encoded["input_ids"], encoded["overflow_to_sample_mapping"], strict=True)
                   if sample == 0]
        assert windows[0] + [i for window in windows[1:] for i in window[stride:]] == whole
        assert encoded["overflow_to_sample_mapping"][-1] == 1


def test_model_max_length_is_the_limit_where_none_is_given(tokenizer):
    tokenizer = type(tokenizer)(PACKAGE_VOCABULARY, model_max_length=6)
    assert len(tokenizer("one two three four five six seven", truncation=True)["input_ids"]) == 6
    assert len(tokenizer("one", padding="max_length")["input_ids"]) == 6
    assert len(tokenizer("one two three four five six seven")["input_ids"]) == 9


# And back

def test_decode(tokenizer):
    ids = tokenizer.encode("It's not the Colours, don't you see?")
    assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "") == "it'snotthecolours,don'tyousee?"
    assert tokenizer.decode(ids).startswith("[CLS] it's not the") and tokenizer.decode(ids).endswith("see? [SEP]")
    assert tokenizer.decode(np.array(ids)) == tokenizer.decode(ids)
    assert tokenizer.batch_decode(np.array([ids, ids])) == [tokenizer.decode(ids)] * 2
    assert tokenizer.decode(ids[1]) == "it" and tokenizer.decode([]) == ""
    assert tokenizer.convert_tokens_to_ids(["it", "nosuchtoken"]) == [ids[1], 1]
    assert tokenizer.convert_ids_to_tokens([2, ids[1]], skip_special_tokens=True) == ["it"]
    with pytest.raises(ValueError, match=r"shape \(1, 2\): use batch_decode"):
        tokenizer.decode([[1, 2]])


def test_clean_up_is_what_differs(fast):
    ids = fast.encode_ids("it's so .")
    assert fast.decode(ids, clean_up_tokenization_spaces=False) == "it ' s so."
    assert ConvBertTokenizer(PACKAGE_VOCABULARY).decode(ids, clean_up_tokenization_spaces=False) == "it ' s so ."
    with pytest.raises(ValueError, match="must not be negative, but is -1"):
        fast.decode([-1])


# Added tokens

def test_added_tokens_stay_whole(tokenizer):
    tokenizer = copy.deepcopy(tokenizer)
    assert tokenizer.add_tokens(["<Ent>", "newtok", "the"]) == 2  # "the" is known already
    assert tokenizer.tokenize("cats <ENT>, NewTok") == [
        "cat", "##s", "<ent>" if not tokenizer.is_fast else "<Ent>", ",", "newtok"]
    assert tokenizer.tokenize("anewtokb")[1] == "newtok"
    assert (len(tokenizer), tokenizer.vocab_size) == (8194, 8192)
    assert tokenizer.add_special_tokens({"additional_special_tokens": ["<S>"], "mask_token": "<mask>"}) == 2
    assert tokenizer.tokenize("a<S><mask>[MASK]") == ["a", "<S>", "<mask>", "[MASK]"]
    assert tokenizer.mask_token_id == 8195 and tokenizer.special_tokens_map["mask_token"] == "<mask>"
    assert tokenizer.decode([8194, 100], skip_special_tokens=True) == tokenizer.decode([100])
    assert tokenizer.tokenize("[CLS]", split_special_tokens=True) == (["[", "cl", "##s", "]"] if tokenizer.is_fast else ["[CLS]"])
    with pytest.raises(TypeError, match="must be a str or an AddedToken, but is 3"):
        tokenizer.add_tokens([3])
    with pytest.raises(ValueError, match="name of a special token must be one of"):
        tokenizer.add_special_tokens({"eos_token": "x"})


def test_how_added_tokens_are_found(fast):
    tokenizer = copy.deepcopy(fast)
    tokenizer.add_tokens([AddedToken("<l>", lstrip=True, normalized=False), AddedToken("<r>", rstrip=True, normalized=False),
                          AddedToken("zqx", single_word=True), AddedToken("new york")])
    encoded = tokenizer("a \t<l> b <r>  c", add_special_tokens=False, return_offsets_mapping=True)
    assert encoded["offset_mapping"] == [(0, 1), (1, 6), (7, 8), (9, 14), (14, 15)]
    assert "zqx" in tokenizer.tokenize("a ZQX.") and "zqx" not in tokenizer.tokenize("zqxs") + tokenizer.tokenize("_zqx")
    assert tokenizer.tokenize("in New\nYork") == ["in", "new york"]


def test_ids_of_duplicates(fast):
    damaged = [*SPECIAL, "a", "b", "a", "c"]
    for kind in KINDS:
        tokenizer = kind(damaged)
        assert tokenizer.encode_ids("a b c") == [7, 6, 8] and tokenizer.vocab_size == 8
        tokenizer.add_tokens("new")
        assert tokenizer.convert_tokens_to_ids("new") == 9  # not 8, which is c


def test_the_slow_one_alone(tmp_path):
    tokenizer = ConvBertTokenizer(PACKAGE_VOCABULARY, never_split=["don't", "the"])
    assert tokenizer.convert_tokens_to_ids("the") == tokenizer.encode_ids("The")[0]
    assert tokenizer.encode_ids("don't") == [1] != ConvBertTokenizer(PACKAGE_VOCABULARY).encode_ids("don't")
    plain = ConvBertTokenizer(PACKAGE_VOCABULARY, do_basic_tokenize=False)
    assert plain.tokenize("the the, The") == ["the", "[UNK]", "[UNK]"]
    for one in (tokenizer, plain):
        one.save_pretrained(tmp_path)
        again = ConvBertTokenizer.from_pretrained(tmp_path)
        assert (again.never_split, again.do_basic_tokenize) == (one.never_split, one.do_basic_tokenize)


# Files

def test_what_is_saved_is_read(tokenizer, tmp_path):
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_tokens([AddedToken("New York", lstrip=True), "tok"])
    tokenizer.add_special_tokens({"additional_special_tokens": [AddedToken("<s>", rstrip=True)]})
    tokenizer.padding_side, tokenizer.model_max_length = "left", 128
    paths = tokenizer.save_pretrained(tmp_path / "new" / "folder")
    assert {Path(path).name for path in paths} == {
        "vocab.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"} | (
            {"tokenizer.json"} if tokenizer.is_fast else set())
    text = "In  New York, the <s>   toks of MASK [MASK]"
    for kind in KINDS:
        again = kind.from_pretrained(tmp_path / "new" / "folder")
        assert again.added_tokens_decoder == tokenizer.added_tokens_decoder and again.vocab == tokenizer.vocab
        assert (again.padding_side, again.model_max_length) == ("left", 128)
        if kind is type(tokenizer):
            assert again(text) == tokenizer(text) and again.special_tokens_map == tokenizer.special_tokens_map
    assert type(tokenizer).from_pretrained(tmp_path / "new" / "folder", do_lower_case=False).do_lower_case is False
    assert type(tokenizer).from_pretrained(PACKAGE_VOCABULARY).vocab == tokenizer.vocab


def test_from_one_file_and_from_older_ones(fast, tmp_path):
    tokenizer = copy.deepcopy(fast)
    tokenizer.do_lower_case = False
    tokenizer.add_tokens(["<Tok>"])
    tokenizer.save_pretrained(tmp_path)
    for name in ("vocab.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        (tmp_path / name).unlink()
    again = ConvBertTokenizerFast.from_pretrained(tmp_path)
    assert again.do_lower_case is False and again.added_tokens_decoder == tokenizer.added_tokens_decoder

    for kind in KINDS:
        old = tmp_path / kind.__name__
        old.mkdir()
        kind(PACKAGE_VOCABULARY).save_vocabulary(old)
        (old / "added_tokens.json").write_text('{"<Tok>": 8192}')
        (old / "special_tokens_map.json").write_text('{"mask_token": {"content": "[MASK]", "lstrip": true, "rstrip": false,'
                                                     ' "single_word": false, "normalized": false}, "unk_token": "[UNK]"}')
        (old / "tokenizer_config.json").write_text('{"do_lower_case": false, "model_max_length": 512, "what": [1]}')
        again = kind.from_pretrained(old)
        assert again.convert_tokens_to_ids("<Tok>") == 8192 and again.model_max_length == 512
        assert again.added_tokens_decoder[4].lstrip and not again.do_lower_case


def test_vocabularies_of_every_kind(fast, tmp_path):
    tokens = PACKAGE_VOCABULARY.read_text(encoding="utf-8").split("\n")[:-1]
    assert ConvBertTokenizerFast(tokens).vocab == ConvBertTokenizerFast(dict(fast.vocab)).vocab == fast.vocab
    assert ConvBertTokenizerFast(dict(fast.vocab)).save_vocabulary(tmp_path, "our") == (str(tmp_path / "our-vocab.txt"),)
    assert (tmp_path / "our-vocab.txt").read_bytes() == PACKAGE_VOCABULARY.read_bytes()
    (tmp_path / "crlf.txt").write_bytes(PACKAGE_VOCABULARY.read_bytes().replace(b"\n", b"\r\n"))
    assert ConvBertTokenizerFast(tmp_path / "crlf.txt").vocab == fast.vocab
    with pytest.raises(ValueError, match="a token for every id from 0"):
        ConvBertTokenizerFast({token: 2 * i for i, token in enumerate(SPECIAL)}).save_vocabulary(tmp_path)


def test_copies(tokenizer):
    for again in (copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        assert again("one two") == tokenizer("one two")
    assert "8,192 tokens" in repr(tokenizer)


# What cannot be

@pytest.mark.parametrize("call, error, message", [
    (lambda t: t(None), TypeError, r"a text must be a str, but is None \(NoneType\)"),
    (lambda t: t(3), TypeError, "a text must be a str, but is 3"),
    (lambda t: t(["a", 3]), TypeError, "a text must be a str, but is 3"),
    (lambda t: t(b"abc"), TypeError, "a text must be a str, but is b'abc'"),
    (lambda t: t("a", 3), TypeError, "a text must be a str, but is 3"),
    (lambda t: t("ab\ud800c"), ValueError, r"character 2 is the lone surrogate U\+D800"),
    (lambda t: t("word", is_split_into_words=True), TypeError, "must be a list of words, but is 'word'"),
    (lambda t: t(["a", "b"], ["c"]), ValueError, "text_pair must be a list of 2 texts"),
    (lambda t: t(["a", "b"], "c"), ValueError, "text_pair must be a list of 2 texts"),
    (lambda t: t.encode(["a"]), TypeError, "encode takes one text"),
    (lambda t: t("a", truncation=True, max_length=1), ValueError, "max_length must be at least 2, for the special"),
    (lambda t: t("a", "b", truncation=True, max_length=2), ValueError, "max_length must be at least 3"),
    (lambda t: t("a", max_length=0), ValueError, "max_length must be at least 1, but is 0"),
    (lambda t: t("a", max_length="5"), TypeError, "max_length must be a whole number, but is '5'"),
    (lambda t: t("a", max_length=True), TypeError, "max_length must be a whole number"),
    (lambda t: t("a a a", "b b b b", truncation="only_first", max_length=6), ValueError,
     "truncation 'only_first' cannot make 3 pieces of 3 in the first sequence and 4 in the second"),
    (lambda t: t("a a a", truncation="only_second", max_length=4), ValueError, "truncation 'only_second' cannot"),
    (lambda t: t("a", truncation="both"), ValueError, "truncation must be one of 'longest_first', 'only_first'"),
    (lambda t: t("a", padding="most"), ValueError, "padding must be one of 'longest', 'max_length', 'do_not_pad'"),
    (lambda t: t("a", padding=True, padding_side="up"), ValueError, "padding_side must be one of 'right', 'left'"),
    (lambda t: t("a", stride=-1), ValueError, "stride must be at least 0, but is -1"),
    (lambda t: t("a", pad_to_multiple_of=0), ValueError, "pad_to_multiple_of must be at least 1"),
    (lambda t: t("a", padding=True, truncation=True, max_length=6, pad_to_multiple_of=4), ValueError, "multiple of"),
    (lambda t: t("a", return_tensors="pt"), ValueError, "return_tensors must be one of None, 'np', but is 'pt'"),
    (lambda t: t.get_special_tokens_mask([2], [3], True), ValueError, "token_ids_1 must be None"),
    (lambda t: type(t)(["a", "[UNK]"]), ValueError, r"this one, of 2, lacks \[SEP\], \[PAD\], \[CLS\], \[MASK\]"),
    (lambda t: type(t)(7), TypeError, "must be a path, a list of tokens or a dict"),
    (lambda t: type(t)(PACKAGE_VOCABULARY, padding_side="up"), ValueError, "padding_side must be one of"),
    (lambda t: type(t)(PACKAGE_VOCABULARY, model_max_length="many"), TypeError, "model_max_length must be a whole number"),
    (lambda t: type(t)("/nowhere/vocab.txt"), FileNotFoundError, "/nowhere/vocab.txt"),
    (lambda t: type(t).from_pretrained("/nowhere"), ValueError, "needs vocab.txt or tokenizer.json, but /nowhere has neither"),
])
def test_errors_say_what_must_hold(tokenizer, call, error, message):
    with pytest.raises(error, match=message):
        call(tokenizer)


def test_a_stride_that_leaves_no_room(fast):
    with pytest.raises(ValueError, match="stride must be at most max_length - 2 = 3, to leave room .* but is 4"):
        fast("a a a a a a", truncation=True, max_length=5, stride=4)
    with pytest.raises(ValueError, match="room for more than stride = 3 pieces, but has room for 3"):
        fast("a a a a a a", truncation=True, max_length=5, stride=3, return_overflowing_tokens=True)
    with pytest.raises(ValueError, match="room for more than stride = 0 pieces, but has room for 0"):
        fast("a a", truncation=True, max_length=2, return_overflowing_tokens=True)


def test_what_the_slow_one_cannot():
    slow = ConvBertTokenizer(PACKAGE_VOCABULARY)
    with pytest.raises(ValueError, match="has no offsets: use ConvBertTokenizerFast"):
        slow("a", return_offsets_mapping=True)
    with pytest.raises(ValueError, match="cannot return_overflowing_tokens of a pair cut 'longest_first'"):
        slow("a", "b", truncation=True, max_length=4, return_overflowing_tokens=True)
    with pytest.raises(ValueError, match="needs a max_length"):
        slow("a", return_overflowing_tokens=True)


@pytest.mark.parametrize("name, content, message", [
    ("vocab.txt", b"[PAD]\n\xff\n", "a vocabulary must be UTF-8, but .*vocab.txt is not"),
    ("tokenizer.json", b"{", "must be JSON, but it cannot be read"),
    ("tokenizer.json", b"[1]", "must hold one JSON object, but holds a list"),
    ("tokenizer.json", b"{}", "must have a vocabulary under model"),
    ("tokenizer.json", b'{"model": {"vocab": {"a": 0}}}', "must have the special tokens")])
def test_files_that_are_not_what_their_name_says(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        ConvBertTokenizerFast.from_pretrained(tmp_path)


# The command

def test_command(capsys, tmp_path):
    assert main(["tokenize", "Unaffable [MASK] naïve!", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["token"] for row in rows] == ConvBertTokenizerFast(PACKAGE_VOCABULARY).tokenize("Unaffable [MASK] naïve!")
    assert rows[0] | {"why": ""} == {"token": "un", "id": rows[0]["id"], "start": 0, "end": 2, "text": "Un",
                                     "word": "unaffable", "why": ""}
    assert main(["tokenize", "Café", "--slow", "--vocab", str(PACKAGE_VOCABULARY)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["token", "id", "from", "to", "why"] and lines[1].split()[0] == "caf"
    assert main(["tokenize", "A", "--cased"]) == 0 and "[UNK]" in capsys.readouterr().out
    assert main(["tokenize", "A", "--vocab", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: a tokenizer needs vocab.txt")


def test_chunks_are_cut_at_white_space_that_cleaning_keeps():
    bounds = unicode8.SPACES
    spaces = [chr(c) for start, end in zip(bounds[::2], bounds[1::2], strict=True) for c in range(start, end)]
    assert all(CHUNK.findall(f"a{space}b") == ["a", "b"] for space in spaces)
    assert CHUNK.findall("a\x0b\x0c\x1c\x85\u200bb") == ["a\x0b\x0c\x1c\x85\u200bb"]
