"""Folders of tokenizers as others write them: read as transformers 5.23 reads them, or refused by name."""

import json
import string

import pytest

from minconvbert.files import default_model
from minconvbert.tokenizer import AddedToken, ConvBertTokenizer, ConvBertTokenizerFast, vocab

TOKENS = [*vocab.SPECIAL_TOKENS, *string.ascii_lowercase, *(f"##{c}" for c in string.ascii_lowercase), *"<>[]',.!", "hello"]


def write_folder(folder, **files):
    """vocab.txt and tokenizer.json of TOKENS, with changes: tokenizer_json(whole), config=dict, or other files."""
    ConvBertTokenizerFast(TOKENS).save_pretrained(folder)
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).unlink()
    for name, content in files.items():
        path = folder / f"{name}.json"
        if callable(content):
            content = content(json.loads(path.read_text()))
        if content is None:
            path.unlink()
        else:
            path.write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("config, limit", [
    ({}, int(1e30)), (dict(model_max_length=512.0), 512), (dict(model_max_length=1e30), int(1e30)),
    (dict(max_len=64), 64), (dict(max_len=64, model_max_length=32), 32), (dict(model_max_length=None, max_len=9), 9)])
def test_the_longest_row(tmp_path, config, limit):
    found = ConvBertTokenizerFast.from_pretrained(write_folder(tmp_path, tokenizer_config=config))
    assert found.model_max_length == limit and type(found.model_max_length) is int
    assert len(found("a " * 99, truncation=True)["input_ids"]) == min(101, limit)


def test_truncation_without_a_limit_is_told_once(caplog):
    tokenizer = ConvBertTokenizerFast(TOKENS)
    for _ in range(2):
        assert len(tokenizer("a b c", truncation=True)["input_ids"]) == 5
    assert caplog.text.count("truncation does nothing, because there is no limit") == 1
    tokenizer("a b", truncation=True, max_length=3), tokenizer("a b")
    assert len(caplog.records) == 1
    with pytest.raises(TypeError, match="model_max_length must be a whole number, but is 1.5"):
        ConvBertTokenizerFast(TOKENS, model_max_length=1.5)


@pytest.mark.parametrize("folder", [default_model(), default_model() / "generator"], ids=["body", "generator"])
def test_the_weights_that_ship_have_a_limit(folder):
    positions = json.loads((folder / "config.json").read_text())["max_position_embeddings"]
    tokenizer = ConvBertTokenizerFast.from_pretrained(folder)
    assert len(tokenizer("word " * 400, truncation=True)["input_ids"]) == positions == tokenizer.model_max_length


@pytest.mark.parametrize("config", [
    dict(extra_special_tokens=["<e>", "[E]"]), dict(extra_special_tokens=dict(one_token="<e>", other="[E]")),
    dict(additional_special_tokens=["<e>", dict(content="[E]", lstrip=False, special=True)]),
    dict(additional_special_tokens=[dict(content="<e>"), dict(content="[E]")]),
    dict(entity_token="<e>", eos_token=dict(content="[E]"))])
@pytest.mark.parametrize("name", ["tokenizer_config", "special_tokens_map"])
def test_special_tokens_under_any_name(tmp_path, config, name):
    found = ConvBertTokenizerFast.from_pretrained(write_folder(tmp_path, **{name: config}))
    assert found.tokenize("a <e> b[E]") == ["a", "<e>", "b", "[E]"]
    assert set(found.all_special_tokens) == {*vocab.SPECIAL_TOKENS, "<e>", "[E]"} and len(found) == len(TOKENS) + 2
    assert found.decode(found.encode("a <e> b[E]"), skip_special_tokens=True) == "a b"


def test_what_is_no_token_is_refused_with_its_place(tmp_path):
    for config in (dict(additional_special_tokens=[dict(text="<e>")]), dict(extra_special_tokens=[3])):
        with pytest.raises(ValueError, match=f"a special token in the files of {tmp_path} must be a text or an object"):
            ConvBertTokenizerFast.from_pretrained(write_folder(tmp_path, tokenizer_config=config))


def test_decoding_skips_what_has_the_flag():
    tokenizer = ConvBertTokenizerFast(TOKENS)
    tokenizer.add_tokens([AddedToken("<e>", special=True), "<f>"])
    tokenizer.additional_special_tokens.clear()
    ids = tokenizer.encode_ids("a <e> b <f>")
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a b <f>"
    renamed = ConvBertTokenizerFast([*TOKENS, "<mask>"], mask_token="<mask>")
    renamed.add_tokens(AddedToken("[MASK]", special=True))
    assert renamed.decode(renamed.encode_ids("a [MASK] <mask> b"), skip_special_tokens=True) == "a b"


def changed(**parts):
    return lambda whole: whole | parts


def changed_model(**parts):
    return lambda whole: whole | dict(model=whole["model"] | parts)


REFUSED = {
    "its normalizer must be 'BertNormalizer', but is None": changed(normalizer=None),
    "its normalizer must be 'BertNormalizer', but is 'Sequence'": changed(normalizer=dict(
        type="Sequence", normalizers=[dict(type="NFC"), dict(type="Lowercase")])),
    "its normalizer's clean_text must be True, but is False": changed(
        normalizer=dict(type="BertNormalizer", clean_text=False)),
    "its pre_tokenizer must be 'BertPreTokenizer', but is 'Whitespace'": changed(pre_tokenizer=dict(type="Whitespace")),
    "its model must be 'WordPiece', but is 'BPE'": changed_model(type="BPE", merges=[]),
    "its model must be 'WordPiece', but is 'Unigram'": changed_model(type="Unigram", vocab=[["a", 0.0]]),
    "its model's continuing_subword_prefix must be '##', but is '@@'": changed_model(continuing_subword_prefix="@@"),
    "its post_processor must be 'CLS:0 .*, but is None": changed(post_processor=None),
    "its post_processor must be .*, but is 'RobertaProcessing'": changed(post_processor=dict(type="RobertaProcessing")),
    "its post_processor must be .*, but is 'A:0 CLS:0 ": lambda whole: whole | dict(post_processor=dict(
        whole["post_processor"], single=whole["post_processor"]["single"][1:])),
    "must have a vocabulary under model": changed(model={})}


@pytest.mark.parametrize("message", REFUSED)
def test_another_pipeline_is_refused_by_name(tmp_path, message):
    with pytest.raises(ValueError, match=message):
        ConvBertTokenizerFast.from_pretrained(write_folder(tmp_path, tokenizer=REFUSED[message]))


def test_what_a_tokenizer_json_says_counts(tmp_path, caplog):
    found = ConvBertTokenizerFast.from_pretrained(write_folder(tmp_path, tokenizer=changed_model(
        max_input_chars_per_word=3)))
    assert found.tokenize("hello abc") == ["[UNK]", "a", "##b", "##c"] and not caplog.text
    wrapped = changed(normalizer=dict(type="Sequence", normalizers=[dict(type="BertNormalizer", lowercase=False)]),
                      post_processor=dict(type="BertProcessing", sep=["[SEP]", 3], cls=["[CLS]", 2]))
    found = ConvBertTokenizerFast.from_pretrained(write_folder(
        tmp_path, tokenizer=wrapped, tokenizer_config=dict(do_lower_case=True)))
    assert found.tokenize("Hello") == ["[UNK]"] and "differ in do_lower_case; the first counts" in caplog.text
    found = ConvBertTokenizerFast.from_pretrained(tmp_path, do_lower_case=True)
    assert found.tokenize("Hello") == ["hello"]                      # whoever calls counts most


def test_vocabularies_that_differ(tmp_path, caplog):
    write_folder(tmp_path)
    (tmp_path / "vocab.txt").write_text("".join(f"{token}\n" for token in TOKENS[:-1]))
    assert ConvBertTokenizerFast.from_pretrained(tmp_path).tokenize("hello") == ["hello"]
    assert f"they have {len(TOKENS) - 1} and {len(TOKENS)} tokens; the vocabulary is that of tokenizer.json" in caplog.text
    assert ConvBertTokenizer.from_pretrained(tmp_path).tokenize("hello") == ["h", "##e", "##l", "##l", "##o"]
    caplog.clear()
    write_folder(tmp_path)
    (tmp_path / "vocab.txt").write_text("".join(f"{token}\n" for token in [*TOKENS[:-1], "a", "hello"]))
    write_folder(tmp_path / "b")
    assert len(ConvBertTokenizerFast.from_pretrained(tmp_path / "b")) == len(TOKENS) and not caplog.text


def test_a_tokenizer_json_alone_decodes_as_transformers(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "vocab.txt").unlink()
    found = ConvBertTokenizerFast.from_pretrained(tmp_path)
    assert found.decode(found.encode_ids("don't a, b!")) == "don ' t a, b!"


def test_files_with_a_byte_order_mark_and_pointers(tmp_path):
    write_folder(tmp_path, tokenizer_config=dict(model_max_length=9))
    for name in ("vocab.txt", "tokenizer_config.json"):
        path = tmp_path / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    found = ConvBertTokenizerFast.from_pretrained(tmp_path)
    assert found.pad_token_id == 0 and found.model_max_length == 9 and len(found) == len(TOKENS)
    for name in ("vocab.txt", "tokenizer.json"):
        write_folder(tmp_path)
        (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
        with pytest.raises(ValueError, match=f"{name} must be the file itself, but is a Git LFS pointer.*git lfs pull"):
            ConvBertTokenizerFast.from_pretrained(tmp_path)


# Added tokens, as `tokenizers` 0.23.3 answers.

def with_added(*tokens, **options):
    tokenizer = ConvBertTokenizerFast(TOKENS, **options)
    tokenizer.add_tokens(list(tokens))
    return tokenizer


def test_special_tokens_that_are_normalized_can_be_split():
    token = AddedToken("<S>", special=True, normalized=True)
    tokenizer = with_added(token)
    assert tokenizer.encode_ids("a <S> <s>") == [5, len(TOKENS), len(TOKENS)]
    assert tokenizer("a <s>", add_special_tokens=False, split_special_tokens=True).tokens() == ["a", "<", "s", ">"]
    assert tokenizer("a <s>", add_special_tokens=False).tokens() == ["a", "<S>"]
    split = with_added(token, split_special_tokens=True)
    assert split.convert_ids_to_tokens(split.encode_ids("a <S>")) == ["a", "<", "s", ">"]
    assert [row["token"] for row in split.explain("a <S>")] == ["a", "<", "s", ">"]


def test_added_tokens_that_are_alike_once_normalized():
    tokenizer = with_added("NEU", "neu")
    assert tokenizer.get_vocab()["NEU"] == len(TOKENS) and tokenizer.get_vocab()["neu"] == len(TOKENS) + 1
    assert tokenizer.encode_ids("neu NEU Neu") == [len(TOKENS)] * 3      # the first; the library takes any
    assert tokenizer.decode([len(TOKENS), len(TOKENS) + 1]) == "neu neu"


def test_an_added_accent_cuts_a_text_into_its_characters():
    tokenizer = with_added("\u0301", "zq")
    pieces = tokenizer._pieces("a\u0301 b zq \u0301 c")
    assert pieces.ids == [5, 6, len(TOKENS) + 1, 7] and pieces.spans == [(0, 1), (3, 4), (5, 7), (10, 11)]
    assert tokenizer.tokenize("abc") == ["a", "b", "c"]
    assert with_added(AddedToken("\u0301", single_word=True)).tokenize("abc") == ["a", "##b", "##c"]
    cased = with_added("\u0301", do_lower_case=False)
    assert cased.encode_ids("a\u0301 b") == [5, len(TOKENS), 6]


def test_added_tokens_are_decoded_as_they_are_looked_for():
    tokenizer = with_added("NEW York", "\u00c9", "\u4e2dx", AddedToken("<B>", special=True))
    first = len(TOKENS)
    assert tokenizer.decode([5, first, first + 1, 6, first + 3]) == "a new york e b <B>"
    assert tokenizer.decode([5, first + 2, 6], clean_up_tokenization_spaces=False) == "a  \u4e2d x b"


# What a row knows of its pieces.

def test_pieces_words_and_characters():
    enc = ConvBertTokenizerFast(TOKENS)(["ab  hello.", "c"], ["de", "f"], padding=True)
    first = enc[0]
    assert first.ids == enc["input_ids"][0] and first.tokens == enc.tokens(0) and len(enc.encodings) == 2
    assert first.tokens == ["[CLS]", "a", "##b", "hello", ".", "[SEP]", "d", "##e", "[SEP]"] and len(first) == 9
    assert [enc.char_to_token(0, i) for i in range(10)] == [1, 2, None, None, 3, 3, 3, 3, 3, 4]
    assert [enc.char_to_token(0, i, 1) for i in range(3)] == [6, 7, None]
    assert [enc.token_to_chars(0, i) for i in (0, 2, 3, 5, 7)] == [None, (1, 2), (4, 9), None, (1, 2)]
    assert enc.word_to_tokens(0, 0) == (1, 3) and enc.word_to_tokens(0, 0, 1) == (6, 8) and enc.word_to_tokens(0, 9) is None
    assert enc.word_to_chars(0, 0) == (0, 2) and enc.char_to_word(0, 5) == 1 and enc.char_to_word(0, 3) is None
    assert [enc.token_to_word(0, i) for i in (0, 2, 3)] == [None, 0, 1]
    assert [enc.token_to_sequence(0, i) for i in (0, 2, 7, 8)] == [None, 0, 1, None]
    assert enc.token_to_chars(1, 8) is None and enc.to_dict() == dict(enc) and type(enc.to_dict()) is dict
    assert enc[1:] == {name: values[1:] for name, values in enc.items()}
    single = ConvBertTokenizerFast(TOKENS)("ab hello")
    assert single.char_to_token(4) == 3 and single.token_to_chars(2) == (1, 2) and single.word_to_tokens(1) == (3, 4)
    with pytest.raises(IndexError, match="row 2 must be one that the tokenizer made, but it made 2"):
        enc[2]
