"""Training against the same thing done the slow way; the audit against files damaged on purpose."""

import json
import lzma
import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_texts import PACKAGE_VOCABULARY

from minconvbert.__main__ import main
from minconvbert.tokenizer import ConvBertTokenizerFast, vocab

ASCII = 5 + 68 + 36  # special tokens, printable ASCII in lower case, ## before its letters and digits


def slowly(words, size, score, min_count):
    """Training with nothing kept from one step to the next."""
    chars = vocab.alphabet(words, 256, True)
    base = [*vocab.SPECIAL_TOKENS, *chars, *(f"##{c}" for c in chars if c.isalnum())]
    spelled = {word: [word[0], *(f"##{c}" for c in word[1:])] for word in words}
    order = {}
    for word in sorted(words, key=lambda word: (-words[word], word)):
        for pair in zip(spelled[word], spelled[word][1:]):
            order.setdefault(pair, len(order))
    tokens = list(base)
    while True:
        singles, pairs = Counter(), Counter()
        for word, count in words.items():
            singles.update({token: count * spelled[word].count(token) for token in set(spelled[word])})
            for pair in zip(spelled[word], spelled[word][1:]):
                pairs[pair] += count
        kept = [token for token in tokens if token in base or singles[token] >= min_count]
        if len(kept) == size:
            return kept
        total = sum(singles.values())
        values = {
            "likelihood": lambda p: pairs[p] * math.log(pairs[p] * total / (singles[p[0]] * singles[p[1]])),
            "ratio": lambda p: pairs[p] / (singles[p[0]] * singles[p[1]]), "count": lambda p: pairs[p]}
        live = [pair for pair in pairs if pairs[pair] >= min_count]
        if not live:
            return None
        best = max(live, key=lambda pair: (round(values[score](pair), 9), -order[pair]))
        joined = best[0] + best[1][2:]
        tokens += [joined] if joined not in tokens else []
        for word in sorted(words, key=lambda word: (-words[word], word)):
            if best in zip(spelled[word], spelled[word][1:]):
                spelled[word] = vocab.join(spelled[word], *best, joined)
                for pair in zip(spelled[word], spelled[word][1:]):
                    order.setdefault(pair, len(order))


@given(st.dictionaries(st.text("abc", min_size=1, max_size=6), st.integers(1, 9), min_size=1, max_size=12),
       st.sampled_from(["likelihood", "count"]), st.integers(1, 4), st.integers(0, 8))
@settings(max_examples=60, deadline=None)
def test_training_is_what_it_says(words, score, min_count, more):
    expected = slowly(words, ASCII + more, score, min_count)
    if expected is None:
        with pytest.raises(ValueError, match="the text is too small"):
            vocab.train_on_counts(words, ASCII + more, score=score, min_count=min_count)
    else:
        assert vocab.train_on_counts(words, ASCII + more, score=score, min_count=min_count) == expected


def test_the_first_join_by_hand():
    # n = 3 (a b) + 2 (a c) + 4 (c): a 5, ##b 3, ##c 2, c 4, 14 in all.
    words = {"ab": 3, "ac": 2, "c": 4}
    assert 3 * math.log(3 * 14 / (5 * 3)) > 2 * math.log(2 * 14 / (5 * 2))
    assert vocab.train_on_counts(words, ASCII + 1)[-1] == "ab"
    # The ratio takes whichever pair has rarer parts.
    assert vocab.train_on_counts({"ab": 90, "xy": 2, "a": 9}, ASCII + 1, score="ratio")[-1] == "xy"
    assert vocab.train_on_counts({"ab": 90, "xy": 2, "a": 9}, ASCII + 1)[-1] == "ab"


def test_what_is_joined_up_makes_place():
    words = {"abc": 5, "de": 3}
    assert vocab.train_on_counts(words, ASCII + 1)[ASCII:] == ["ab"]
    assert vocab.train_on_counts(words, ASCII + 2)[ASCII:] == ["abc", "de"]  # nothing is left of ab
    assert vocab.train_on_counts(words | {"ab": 2}, ASCII + 3)[ASCII:] == ["ab", "de", "abc"]


def test_training_from_lines():
    lines = ["The cat — the CAT, the café!"] * 3 + ["cats 中 and dogs"] * 2
    tokens = vocab.train(lines, ASCII + 6)
    assert tokens == vocab.train(iter(lines), ASCII + 6) and len(set(tokens)) == ASCII + 6
    assert tokens[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] and tokens[5] == "t" and "—" in tokens
    assert "##—" not in tokens and "中" in tokens and "##中" not in tokens and "the" in tokens and "É" not in tokens
    assert vocab.count_words(lines) == Counter(
        {"the": 9, "cat": 6, "—": 3, ",": 3, "cafe": 3, "!": 3, "cats": 2, "中": 2, "and": 2, "dogs": 2})
    cased = vocab.train(lines, 5 + 94 + 62 + 6, lowercase=False)
    assert "T" in cased and "é" in cased
    assert ConvBertTokenizerFast(tokens).tokenize("the cats") == ["the", "cat", "##s"]


def test_the_alphabet_has_a_limit():
    words = {"ab": 2, "中": 9, "文": 8, "é": 1}
    assert vocab.alphabet(words, 69, True)[:1] == ["中"] and "文" not in vocab.alphabet(words, 69, True)
    assert {"z", "~", "0"} <= set(vocab.alphabet(words, 69, True))
    # A word with a character that is left out is left out itself.
    assert vocab.train_on_counts({"aя": 5, "ab": 3}, ASCII + 1, max_alphabet=68)[-1] == "ab"


HAN = [chr(0x4e00 + i) for i in range(2100)]


def test_an_alphabet_is_as_large_as_the_text_needs():
    """99.95% of the characters, found by trying every number of them."""
    counts = {char: 1 + 20_000 // (i + 1) for i, char in enumerate(HAN)}
    total, sizes = sum(counts.values()), range(len(HAN) + 1)
    needed = next(n for n in sizes if sum(list(counts.values())[:n]) >= 0.9995 * total)
    chars = vocab.alphabet(counts)
    assert 256 < needed < len(HAN) and {*HAN[: needed - 68]} <= set(chars) and len(chars) == needed
    tokens = vocab.train_on_counts(counts | {"zebra": 9}, 2500, smaller=True)
    assert tokens[-1] == "zebra"
    assert vocab.unknown(counts, tokens).share < 0.01
    assert len(vocab.alphabet({char: 3 for char in HAN[:300]} | {"a": 10**6})) == 256  # rare ones as far as there is room
    with pytest.raises(ValueError, match=f"size must be at least .* and {needed} characters, but is 1000"):
        vocab.train_on_counts(counts, 1000)


def test_many_characters_and_a_frequent_word():
    tokens = vocab.train(["zebra " * 9] + HAN * 2, 2300, max_alphabet=2250, smaller=True)
    assert "zebra" in tokens and HAN[-1] in tokens


def test_a_small_text_gives_what_it_has():
    words = {"the": 3, "cat": 2, "中": 9}
    tokens = vocab.train_on_counts(words, 500, smaller=True)
    said = []
    vocab.train_on_counts(words, ASCII + 3, progress=said.append)
    assert said == sorted(said) and said[-1] == ASCII + 3 > said[0]
    assert tokens[-2:] == ["the", "cat"] and len(tokens) == ASCII + 3 == len(vocab.train_on_counts(words, ASCII + 3))
    with pytest.raises(ValueError, match=f"it gives {len(tokens)}; use that size"):
        vocab.train_on_counts(words, 500)


def test_what_a_vocabulary_does_not_know(tmp_path, capsys):
    tokens = [*vocab.SPECIAL_TOKENS, "the", "##s", "a"]
    words = {"the": 5, "thes": 1, "s": 2, "b": 1, "bx": 3, "a" * 101: 4, "y": 9}
    found = vocab.unknown(words, tokens)
    assert found.share == 19 / 25 and found.words == ["y", "a" * 101, "bx", "s", "b"] and found.chars == ["y", "b", "x"]
    path, text = tmp_path / "vocab.txt", tmp_path / "text.txt"
    vocab.write_vocab(path, tokens)
    assert "unknown words" not in vocab.audit(path, {"the": 99, "b": 1})
    assert vocab.audit(path, {"the": 97, "b": 3})["unknown words"].startswith("3.00% of the words")
    assert vocab.audit(path, words)["unknown words"].startswith("76.00% of the words of the text are [UNK], such as y, aaa")
    text.write_text("the the b\n\nthes")
    assert main(["vocab", "audit", str(path), "--text", str(text)]) == 1
    assert "25.00% of the words of the text are [UNK], such as b; the vocabulary lacks 1 characters, such as b" in (
        capsys.readouterr().out)
    text.write_text("the thes")
    assert main(["vocab", "audit", str(path), "--text", str(text)]) == 0
    assert "8 tokens, nothing wrong; 0.00% of the words of the text are [UNK]" in capsys.readouterr().out


def test_an_alphabet_that_is_too_small_is_told(tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text("中文 the cat the cat the cat\n")
    assert main(["vocab", "train", str(text), "--out", str(tmp_path / "v"), "--size", "110", "--max-alphabet", "68"]) == 0
    assert "25.00% of the words of the text are [UNK], such as 中, 文; the vocabulary lacks 2 characters" in (
        capsys.readouterr().err)


@pytest.mark.parametrize("options, message", [
    ({"size": 20}, "size must be at least 109, for the special tokens and 68 characters, but is 20"),
    ({"size": 500}, "the text is too small for 500 tokens that occur 2 times: it gives 11.*; use that size, a smaller"),
    ({"size": 111, "max_alphabet": 3}, "it gives 12; its alphabet leaves out 40% of the words, so make max_alphabet"
                                       " larger than 3"),
    ({"size": 111, "score": "best"}, "score must be one of likelihood, ratio, count, but is 'best'")])
def test_training_errors(options, message):
    with pytest.raises(ValueError, match=message):
        vocab.train(["the cat the cat the"], **options)


def test_accents_stay_on_the_words_of_a_text_if_that_is_asked_for():
    assert [dict(vocab.count_words(["Né né"], **options)) for options in (
        {}, dict(strip_accents=False), dict(lowercase=False, strip_accents=True))] == [
            {"ne": 2}, {"né": 2}, {"Ne": 1, "ne": 1}]


def test_the_vocabulary_of_this_project():
    tokens = vocab.read_vocab(PACKAGE_VOCABULARY)
    assert len(tokens) == len(set(tokens)) == 8192 and tokens[:5] == list(vocab.SPECIAL_TOKENS)
    assert vocab.audit(PACKAGE_VOCABULARY) == {}
    assert {chr(c) for c in range(0x21, 0x7f)} - set("ABCDEFGHIJKLMNOPQRSTUVWXYZ") <= set(tokens)


def test_read_and_write(tmp_path):
    path = tmp_path / "vocab.txt"
    vocab.write_vocab(path, ["a", "é", "\u2028"])
    assert path.read_bytes() == "a\né\n\u2028\n".encode() and vocab.read_vocab(path) == ["a", "é", "\u2028"]
    path.write_bytes(b"a\r\nb")
    assert vocab.read_vocab(path) == ["a", "b"]
    with pytest.raises(ValueError, match=r"a token must be on one line, but 'a\\nb' is not"):
        vocab.write_vocab(path, ["a\nb"])
    assert path.read_bytes() == b"a\r\nb"
    path.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="a vocabulary must be UTF-8"):
        vocab.audit(path)


def test_audit_of_a_file_read_as_gbk_and_written_again(tmp_path):
    """As the file of the original repository: CR LF, and everything beyond ASCII misread."""
    good = [*vocab.SPECIAL_TOKENS, *"abc£§é“”’中国文", "##中"]
    damaged = [token.encode().decode("gbk", "replace") for token in good]
    path = tmp_path / "vocab.txt"
    path.write_bytes("".join(f"{token}\r\n" for token in damaged[:-1]).encode() + f"{damaged[-1]}\n".encode())
    found = vocab.audit(path)
    assert list(found) == ["line ends", "duplicates", "holes", "lost characters", "misread", "what that does"]
    assert found["line ends"].startswith("17 of 18 lines end in CR LF")
    assert "so 2 ids are never used" in found["duplicates"]
    lost = ["\ufffd" in token for token in damaged]
    assert found["lost characters"].startswith(f"{sum(lost)} tokens hold U+FFFD, such as {damaged[lost.index(True)]!r}")
    assert f"gives an added token the id 16, which is that of {damaged[16]!r}" in found["holes"]
    assert found["duplicates"].startswith("18 lines have 16 different tokens") and "'鈥\ufffd' has 3 lines, and id 13" in found["duplicates"]
    assert "The first id without a token is 11; a model needs 18 rows" in found["holes"]
    assert "is that of '" in found["holes"] and "3 are UTF-8 that was read as gbk: '拢' for '£'" in found["misread"]
    fates = found["what that does"]
    assert "the text '£' is unknown: it became '拢', and a text with '拢' gets its id, 8" in fates
    assert any(fate.startswith("the text '“' is unknown: it became '鈥\ufffd'") and "3 lines. The last of them, 13" in fate
               for fate in fates)
    tokenizer = ConvBertTokenizerFast(path)
    assert tokenizer.encode_ids("£") == [1] and tokenizer.encode_ids("拢") == [8]  # what the audit says


def test_audit_of_other_faults(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes("\ufeff[PAD]\n[UNK]\n\na b\nÃ©\nÃ¼\n".encode())
    found = vocab.audit(path)
    assert found["special tokens"].startswith("[CLS], [SEP], [MASK] are missing")
    assert "gets the first token '\\ufeff[PAD]'; minconvbert removes the mark" in found["byte order mark"]
    assert found["white space"].startswith("2 tokens are empty or hold white space, such as ''")
    assert "2 are UTF-8 that was read as cp1252: 'Ã©' for 'é'" in found["misread"]


def test_chinese_is_not_taken_for_damage(tmp_path):
    path = tmp_path / "vocab.txt"
    vocab.write_vocab(path, [*vocab.SPECIAL_TOKENS, *"拢中国文字的一是在不了有和人这"])
    assert vocab.audit(path) == {}


def test_commands(tmp_path, capsys):
    corpus = tmp_path / "corpus.txt.xz"
    documents = [f"the cat number {i} sat on the mat" for i in range(300)]
    corpus.write_bytes(lzma.compress("\n\n".join(documents).encode()))
    out = tmp_path / "vocab.txt"
    train = ["vocab", "train", str(corpus), "--out", str(out), "--size"]
    assert main([*train, "120"]) == 0
    said = capsys.readouterr().err
    assert "120/120" in said and f"\n120 tokens in {out}; 0.00% of" in said and len(vocab.read_vocab(out)) == 120
    assert main([*train, "120", "--max-bytes", "3000", "--cased"]) == 2  # too small for A to Z as well
    assert vocab.read_vocab(out) == vocab.train(documents, 120)  # untouched
    assert main([*train, "115", "--hold-out", "--max-bytes", "3400", "--score", "count"]) == 0
    held = [document for i, document in enumerate(documents) if i % 100 != 99]
    assert vocab.read_vocab(out) == vocab.train(held[:106], 115, score="count")
    assert main(["vocab", "audit", str(out)]) == 0 and "115 tokens, nothing wrong" in capsys.readouterr().out
    out.write_text("a\n")
    assert main(["vocab", "audit", str(out)]) == 1 and "special tokens: [PAD]" in capsys.readouterr().out
    assert main(["vocab", "audit", str(out), "--json"]) == 1
    assert list(json.loads(capsys.readouterr().out)) == ["special tokens"]
    assert main(["vocab", "audit", str(tmp_path / "none.txt")]) == 2
