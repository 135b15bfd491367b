import json
import lzma
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
    cls_token_id=2, sep_token_id=3, pad_token_id=0, encode_ids=lambda text: [5 + WORDS.index(c) for c in text if c in WORDS])


def write_corpus(path, documents=250, seed=0):
    rng = np.random.default_rng(seed)
    sentences = lambda: " ".join("".join(rng.choice(list(WORDS), rng.integers(1, 12))) + "." for _ in range(4))
    path.write_text("\n\n".join("\n".join(sentences() for _ in range(3)) for _ in range(documents)) + "\n")
    return path


def test_documents_are_parted_by_blank_lines(tmp_path):
    plain, packed = tmp_path / "a.txt", tmp_path / "b.txt.xz"
    plain.write_text("one\ntwo\n\n\n  three  \r\n", encoding="utf-8")
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
@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=8), min_size=1, max_size=12),
       st.integers(8, 40), st.integers(0, 99))
def test_examples_are_well_formed(documents, length, seed):
    sizes = iter([n for document in documents for n in document])
    texts = [["x"] * len(document) for document in documents]
    rows = list(corpus.make_examples(texts, lambda _: [9] * next(sizes), length, 2, 3, 0, np.random.default_rng(seed)))
    for row in rows:
        assert len(row) == length and row[0] == 2
        words = [i for i in row if i != 0]
        assert words[-1] == 3 and words.count(2) == 1 and 1 <= words.count(3) <= 2
        assert row == words + [0] * (length - len(words))
    assert sum(row.count(9) for row in rows) <= sum(n for document in documents for n in document)


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
    assert json.loads((tmp_path / "examples.json").read_text())["examples"]["train"] == len(train)


def test_a_corpus_must_have_text(tmp_path):
    path = tmp_path / "empty.txt"
    path.write_text("\n\n")
    with pytest.raises(ValueError, match="must have text, but there is none"):
        corpus.encode_corpus([path], TOKENIZER, 32, tmp_path)
    assert not (tmp_path / "examples.json").exists()
