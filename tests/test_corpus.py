import hashlib
import json
import lzma
import os
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minconvbert.training import corpus

WORDS = "abcdefghijklmnopqrstuvwxyz"
TOKENIZER = SimpleNamespace(
    vocab={**{f"[{n}]": i for i, n in enumerate(("PAD", "UNK", "CLS", "SEP", "MASK"))},
           **{c: 5 + i for i, c in enumerate(WORDS)}},
    unk_token_id=1, cls_token_id=2, sep_token_id=3, pad_token_id=0,
    encode_ids=lambda text: [5 + WORDS.index(c) for c in text if c in WORDS])


def write_corpus(path, documents=250, seed=0):
    rng = np.random.default_rng(seed)
    sentences = lambda: " ".join("".join(rng.choice(list(WORDS), rng.integers(1, 12))) + "." for _ in range(4))
    path.write_text("\n\n".join("\n".join(sentences() for _ in range(3)) for _ in range(documents)) + "\n")
    return path


def test_documents_are_parted_by_blank_lines(tmp_path):
    plain, packed = tmp_path / "a.txt", tmp_path / "b.txt.xz"
    plain.write_text("one\ntwo\n\n\n  three  \r\n", encoding="utf-8-sig")        # the mark of byte order is no text
    with lzma.open(packed, "wt", encoding="utf-8") as file:
        file.write("é\n")
    assert list(corpus.read_documents([plain, packed])) == [["one", "two"], ["three"], ["é"]]


def test_a_corpus_must_be_utf8(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"fine\ncaf\xe9\n")
    with pytest.raises(ValueError, match="must be UTF-8, but line 2 is not"):
        list(corpus.read_documents([path]))


def test_a_packed_corpus_must_be_whole(tmp_path):
    path = tmp_path / "a.txt.xz"
    for content in (lzma.compress(b"one\n\ntwo\n" * 999)[:-20], b"plain text"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="a.txt.xz must be a whole .xz file, but is damaged"):
            list(corpus.read_documents([path]))


def test_every_hundredth_document_is_held_out():
    held_out = list(corpus.split_documents(range(350), True))
    assert held_out == [99, 199, 299]
    assert sorted([*held_out, *corpus.split_documents(range(350), False)]) == list(range(350))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=8), min_size=1, max_size=12),
       st.integers(8, 40), st.integers(0, 99))
def test_examples_are_well_formed(documents, length, seed):
    sizes = iter([n for document in documents for n in document])
    texts = [["x"] * len(document) for document in documents]
    words = iter(range(9, 9999))
    rows = list(corpus.make_examples(texts, lambda _: list(islice(words, next(sizes))), length, 2, 3, 0,
                                     np.random.default_rng(seed)))
    for row in rows:
        assert len(row) == length and row[0] == 2
        real = [i for i in row if i != 0]
        assert real[-1] == 3 and real.count(2) == 1 and 1 <= real.count(3) <= 2
        assert row == real + [0] * (length - len(real))
    assert sorted(i for row in rows for i in row if i >= 9) == [*range(9, next(words))]     # each once, none is lost
    assert all(any(i >= 9 for i in row) for row in rows)


def test_a_line_without_stops_is_cut_and_goes_on():
    rows = list(corpus.make_examples([["x"]], lambda _: [*range(9, 5009)], 32, 2, 3, 0, np.random.default_rng(0)))
    assert [i for row in rows for i in row if i >= 9] == [*range(9, 5009)]
    assert len(rows) == 167                            # 30 pieces in each


@pytest.mark.parametrize("text, sentences", [
    ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
    ("It is 3.14 of v1.2.3, e.g.this", ["It is 3.14 of v1.2.3, e.g.this"]),
    ('He said "no." She (yes.) left', ['He said "no."', "She (yes.)", "left"]),
    ("你好。「是吗？」他说！！真的……好", ["你好。", "「是吗？」", "他说！！", "真的……", "好"]),
    ("ﾃｽﾄ｡はい", ["ﾃｽﾄ｡", "はい"]), ("نعم؟ لا۔ ما", ["نعم؟", "لا۔", "ما"]), ("यह है। वह॥ तो", ["यह है।", "वह॥", "तो"]),
    ("ሰላም።እንዴት", ["ሰላም።", "እንዴት"]), ("Wait…what", ["Wait…", "what"])])
def test_where_a_sentence_ends(text, sentences):
    assert [part for part in corpus.SENTENCE_END.split(text) if part] == sentences


def test_most_examples_have_two_segments_near_halves():
    rng = np.random.default_rng(0)
    documents = [["x"] * 200 for _ in range(40)]
    rows = list(corpus.make_examples(documents, lambda _: [9] * int(rng.integers(5, 30)), 128, 2, 3, 0, rng))
    two = [row for row in rows if row.count(3) == 2]
    assert 0.8 < len(two) / len(rows) < 0.97
    assert 40 < np.mean([row.index(3) for row in two]) < 75


def test_token_types_turn_after_the_first_separator():
    batch = corpus.example_batch(np.array([[2, 9, 9, 3, 8, 3, 0, 0], [2, 9, 3, 0, 0, 0, 0, 0]], np.uint16), 3, 0)
    assert batch["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1, 0, 0], [0] * 8]
    assert batch["attention_mask"].tolist() == [[1] * 6 + [0] * 2, [1] * 3 + [0] * 5]
    assert all(a.dtype == np.int64 for a in batch.values())


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 25), st.integers(0, 9))
def test_every_example_comes_once_an_epoch(examples, batch, seed):
    steps = 3 * examples // batch + 2
    numbers = np.concatenate([corpus.batch_rows(step, batch, examples, seed) for step in range(steps)])
    for epoch in range(len(numbers) // examples):
        assert sorted(numbers[epoch * examples : (epoch + 1) * examples]) == list(range(examples))


def test_a_corpus_is_encoded_once(tmp_path):
    path = write_corpus(tmp_path / "text.txt")
    train, held_out = corpus.encode_corpus([path], TOKENIZER, 32, tmp_path)
    assert isinstance(train, np.memmap) and train.dtype == np.uint16 and train.shape[1] == 32
    assert len(train) > 10 * len(held_out) > 0
    written = (tmp_path / "train.ids").stat().st_mtime_ns
    again, _ = corpus.encode_corpus([path], TOKENIZER, 32, tmp_path)
    assert (again == train).all() and (tmp_path / "train.ids").stat().st_mtime_ns == written
    with pytest.raises(ValueError, match=r"made from something else \(length differ\)"):
        corpus.encode_corpus([path], TOKENIZER, 64, tmp_path)
    description = json.loads((tmp_path / "examples.json").read_text())
    assert description["counts"]["train"]["examples"] == len(train)
    letters = sum(map(path.read_text().count, WORDS))  # a piece each
    assert sum(description["counts"][part][what] for part in ("train", "held_out") for what in ("pieces", "kept")) == (
        2 * letters)
    assert (train >= 5).sum() == description["counts"]["train"]["kept"]


def test_examples_are_made_from_just_these_files_words_and_draws(tmp_path):
    """Whatever they depend on is kept beside them, and the error names it."""
    path, other = (write_corpus(tmp_path / name, documents=120) for name in ("text.txt", "more.txt"))
    folder = tmp_path / "out"
    folder.mkdir()
    words = [*TOKENIZER.vocab]
    renamed, many = ([*words[:-1], "ä"], [*words, *map(str, range(1 << 16))])
    rows, _ = corpus.encode_corpus([path], TOKENIZER, 32, folder)
    of = lambda words: SimpleNamespace(**vars(TOKENIZER) | dict(vocab={word: i for i, word in enumerate(words)}))
    for call, wrong in ((lambda: corpus.encode_corpus([other], TOKENIZER, 32, folder), "files"),
                        (lambda: corpus.encode_corpus([path, other], TOKENIZER, 32, folder), "files, sha256"),
                        (lambda: corpus.encode_corpus([path], of(renamed), 32, folder), "vocabulary"),
                        (lambda: corpus.encode_corpus([path], of(many), 32, folder), "dtype, vocabulary"),
                        (lambda: corpus.encode_corpus([path], TOKENIZER, 32, folder, seed=1), "seed")):
        with pytest.raises(ValueError, match=rf"made from something else \({wrong} differ\)"):
            call()
    (tmp_path / "seed").mkdir()
    assert not np.array_equal(rows, corpus.encode_corpus([path], TOKENIZER, 32, tmp_path / "seed", seed=1)[0])
    text = path.read_text()
    path.write_text(text[:-2] + "x.")                   # as long as before
    with pytest.raises(ValueError, match=r"made from something else \(sha256 differ\)"):
        corpus.encode_corpus([path], TOKENIZER, 32, folder)


@pytest.mark.parametrize("size, dtype", ((1 << 16, np.uint16), ((1 << 16) + 1, np.int32)))
def test_the_last_word_of_a_large_vocabulary_is_kept(tmp_path, size, dtype):
    path = tmp_path / "text.txt"
    path.write_text("x")
    large = SimpleNamespace(**vars(TOKENIZER) | dict(vocab={str(i): i for i in range(size)},
                                                     encode_ids=lambda text: [size - 1] * 5))
    rows, _ = corpus.encode_corpus([path], large, 8, tmp_path)
    assert rows.dtype == dtype and rows.tolist() == [[2, *[size - 1] * 5, 3, 0]]


def test_every_thousandth_example_is_said(tmp_path):
    said, path = [], tmp_path / "text.txt"
    path.write_text("abcdef\n\n" * 2030)
    train, held_out = corpus.encode_corpus([path], TOKENIZER, 16, tmp_path, progress=lambda *what: said.append(what))
    assert (len(train), len(held_out)) == (2010, 20) and said == [(1000, "train"), (2000, "train")]


def test_the_digest_of_a_file_is_of_all_its_blocks(tmp_path):
    content = bytes(range(256)) * (1 << 13)             # two blocks of a million bytes
    (tmp_path / "a").write_bytes(content + b"end")
    assert corpus.sha256_of(tmp_path / "a") == hashlib.sha256(content + b"end").hexdigest()


def test_examples_of_another_format_are_refused(tmp_path):
    path = write_corpus(tmp_path / "text.txt")
    corpus.encode_corpus([path], TOKENIZER, 32, tmp_path)
    found = json.loads((tmp_path / "examples.json").read_text())
    for old in ({name: found[name] for name in found if name not in ("format", "counts")} | dict(
            examples=dict(train=9, held_out=1)), found | dict(format=3)):
        (tmp_path / "examples.json").write_text(json.dumps(old))
        with pytest.raises(ValueError, match=rf"must hold examples of format 2.* of format {old.get('format', 1)}, made by"
                                             " another version; use another folder"):
            corpus.encode_corpus([path], TOKENIZER, 32, tmp_path)


def test_what_became_of_the_text_is_reported(tmp_path, monkeypatch):
    path = tmp_path / "text.txt"
    path.write_text("abcdefghij " * 10)
    some = SimpleNamespace(**vars(TOKENIZER) | dict(encode_ids=lambda text: [
        1 if c == "j" else 4 + WORDS.index(c) for c in text if c in WORDS[1:]]))
    corpus.encode_corpus([path], some, 32, tmp_path)
    line, warning = corpus.report(tmp_path)
    assert line == "3 examples hold 100.0% of the 90 pieces of the text; 11.1% of them are [UNK]"
    assert "does not know 11% of the text" in warning
    os.remove(tmp_path / "examples.json")
    lossy = corpus._example
    monkeypatch.setattr(corpus, "_example", lambda *arguments: (lossy(*arguments)[0], []))
    corpus.encode_corpus([path], TOKENIZER, 32, tmp_path)
    line, warning = corpus.report(tmp_path)
    assert line.startswith("2 examples hold 60.0% of the 100 pieces") and warning == (
        "warning: 40% of the text is in no example")


@pytest.mark.parametrize("pieces, kept, unknown, said", (
    (1000, 800, 16, ["9 examples hold 80.0% of the 1,000 pieces of the text; 2.0% of them are [UNK]"]),
    (1000, 799, 15, ["9 examples hold 79.9% of the 1,000", "warning: 20% of the text is in no example"]),
    (1000, 1000, 21, ["9 examples hold 100.0% of the 1,000", "warning: the vocabulary does not know 2% of the text"]),
    (1000, 700, 70, ["9 examples hold 70.0% of the 1,000", "warning: 30% of", "warning: the vocabulary does not know 10%"]),
    (1, 1, 1, ["9 examples hold 100.0% of the 1 pieces", "warning: the vocabulary does not know 100% of the text"])))
def test_a_fifth_lost_and_a_fiftieth_unknown_are_warned_of(tmp_path, pieces, kept, unknown, said):
    counts = dict(examples=9, pieces=pieces, kept=kept, unknown=unknown)
    (tmp_path / "examples.json").write_text(json.dumps(dict(
        format=2, length=32, dtype="<u2", counts=dict(train=counts, held_out=dict.fromkeys(counts, 0)))))
    found = corpus.report(tmp_path)
    assert len(found) == len(said) and all(line.startswith(begins) for line, begins in zip(found, said))


def test_both_parts_have_draws_of_their_own(tmp_path, monkeypatch):
    drawn, honest = [], corpus.make_examples
    monkeypatch.setattr(corpus, "make_examples", lambda *args: (drawn.append(args[-1].random()), honest(*args))[1])
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        corpus.encode_corpus([write_corpus(tmp_path / "text.txt", 105)], TOKENIZER, 32, tmp_path / str(seed), seed)
    assert len(set(drawn)) == len(drawn) == 4


def test_a_corpus_must_have_text(tmp_path):
    path = tmp_path / "empty.txt"
    path.write_text("\n\n")
    with pytest.raises(ValueError, match="must have text, but there is none"):
        corpus.encode_corpus([path], TOKENIZER, 32, tmp_path)
    assert not (tmp_path / "examples.json").exists()


def test_the_tokens_that_are_never_hidden_are_these_four():
    tokenizer = SimpleNamespace(**vars(TOKENIZER) | dict(mask_token_id=4))
    assert corpus.special_ids(tokenizer) == dict(mask=4, cls=2, sep=3, pad=0)
