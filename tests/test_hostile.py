"""Files and sizes that would hang a reader or take all memory: refused, or read in time that grows with their size."""

import json
import os
import random
import struct
import time
import tracemalloc

import numpy as np
import pytest
from finetune_material import write_model
from helpers import random_params, small_config

from minconvbert import (
    ConvBertConfig,
    ConvBertForTokenClassification,
    ConvBertModel,
    ConvBertTokenizer,
    ConvBertTokenizerFast,
    checkpoint,
    initialize,
)
from minconvbert.__main__ import main
from minconvbert.checkpoint import CheckpointError
from minconvbert.checkpoint.safetensors import read_safetensors
from minconvbert.checkpoint.tensorfile import count_of
from minconvbert.files import read_json
from minconvbert.tokenizer.wordpiece import PREFIX, longest_pieces, match
from minconvbert.training import finetune, tasks

KINDS = [ConvBertTokenizerFast, ConvBertTokenizer]


# Sizes

@pytest.mark.parametrize("changes, message", [
    (dict(num_hidden_layers=10**5), "num_hidden_layers must be at most 10,000, but is 100000"),
    (dict(num_hidden_layers=10**9), "num_hidden_layers must be at most 10,000"),
    (dict(num_labels=10**9), "num_labels must be at most 1,000,000"),
    (dict(vocab_size=10**400), "vocab_size must be a number of at most 63 bits, but is a number of 1329 bits"),
    (dict(initializer_range=10**400), "initializer_range must be a number of at most 63 bits"),
    (dict(mask_value=-(10**400)), "mask_value must be a number of at most 63 bits"),
    (dict(id2label={0: "a" * 10**6, 2: "b"}), "id2label must be a label for each number below num_labels = 2"),
])
def test_sizes_that_no_list_could_hold(changes, message):
    with pytest.raises(ValueError, match=message) as raised:
        ConvBertConfig(**changes)
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize("text, message", [
    ('{"num_labels": 1000000000}', "num_labels must be at most 1,000,000"),
    ('{"vocab_size": %s}' % ("9" * 5000), "must be JSON"), ('{"mask_value": -1e999}', "mask_value must be None or a fin"),
    ('{"initializer_range": %s}' % ("9" * 400), "initializer_range must be a number of at most 63 bits"),
    ('{"id2label": {"0": "a", "%s": "b"}}' % ("9" * 5000), "id2label must map the numbers of labels"),
])
def test_numbers_of_many_digits(tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        ConvBertConfig.from_json(tmp_path)


@pytest.mark.parametrize("field", [
    "vocab_size", "hidden_size", "intermediate_size", "max_position_embeddings", "embedding_size", "conv_kernel_size",
    "type_vocab_size"])
def test_a_fresh_model_must_fit_into_memory(field, monkeypatch):
    monkeypatch.setattr(initialize, "_draw", None)     # nothing may be drawn
    size = 12 * 10**9 + (field == "conv_kernel_size")
    with pytest.raises(ValueError, match=r"must fit into the available memory, [\d,.]+ GiB, but needs [\d,.]+ GiB, .* of"):
        ConvBertModel(ConvBertConfig(**{field: size}))


def test_what_a_fresh_model_needs_is_what_it_takes(monkeypatch):
    cfg = small_config(num_labels=1000)
    size = sum(x.nbytes for x in ConvBertForTokenClassification(cfg).params.values())
    for there, dtype in ((size, np.float32), (2 * size, np.float64)):
        monkeypatch.setattr(initialize, "available_memory", lambda there=there: there)
        ConvBertForTokenClassification(cfg, dtype=dtype)
        monkeypatch.setattr(initialize, "available_memory", lambda there=there: there - 1)
        with pytest.raises(ValueError, match="must fit into the available memory"):
            ConvBertForTokenClassification(cfg, dtype=dtype)


def test_the_memory_there_is():
    there = initialize.available_memory()
    assert 2**26 < there < 2**50
    held = np.ones(2**25)                              # 256 MiB
    assert initialize.available_memory() < there + 2**27 and held[0] == 1


def test_a_head_is_judged_before_it_is_drawn(tmp_path, monkeypatch):
    cfg = small_config()
    checkpoint.save(tmp_path, cfg, random_params(cfg, dtype=np.float32))
    monkeypatch.setattr(initialize, "available_memory", lambda: 1000)
    with pytest.raises(ValueError, match="must fit into the available memory"):
        checkpoint.load(tmp_path, "sequence_classification", new_head=np.random.default_rng(0))


def test_fine_tuning_looks_at_the_file_before_it_draws(tmp_path, monkeypatch):
    write_model(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.write_text(config.read_text().replace('"hidden_size": 16', '"hidden_size": 1600000'))
    monkeypatch.setattr(initialize, "_draw", None)
    with pytest.raises(CheckpointError, match="must be those of the configuration, but"):
        finetune.start(tasks.get("text-classification"), tmp_path / "model", [dict(label=label, where=label) for label in "ab"])


@pytest.mark.parametrize("command", [
    ["pretrain", "--generator-width", "inf"], ["pretrain", "--generator-layers", "1e9"],
    ["pretrain", "--generator-layers", "inf"], ["pretrain", "--learning-rate", "inf"],
    ["vocab", "train", "--min-count", "0"], ["vocab", "train", "--min-count", "-3"], ["vocab", "train", "--size", "0"]])
def test_options_without_an_end(command, tmp_path, capsys):
    (tmp_path / "text.txt").write_text("a text\n\n" * 200)
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nt\n##e\n##x\n##t\n")
    more = [str(tmp_path / "text.txt")] if command[0] == "vocab" else [
        "--corpus", str(tmp_path / "text.txt"), "--out", str(tmp_path / "out"), "--vocab", str(tmp_path / "vocab.txt")]
    assert main([*command, *more]) == 2
    assert "must be at " in capsys.readouterr().err


# Files that are none

@pytest.fixture(params=["pipe", "device", "folder"])
def put(request):
    """Put something in place of a file."""
    def put(path):
        path.unlink(missing_ok=True)
        if request.param == "pipe":
            os.mkfifo(path)
        elif request.param == "device":
            path.symlink_to("/dev/zero")
        else:
            path.mkdir()
        return path
    return put


def test_no_configuration_and_no_file_of_tensors(tmp_path, put):
    put(tmp_path / "config.json")
    with pytest.raises(ValueError, match="config.json must be an ordinary file"):
        ConvBertConfig.from_json(tmp_path)
    for name in (*checkpoint.FILES, "x.index"):
        path = put(tmp_path / name)
        with pytest.raises(CheckpointError, match=f"{name} must be a file of tensors|must be an ordinary file"):
            checkpoint.load(tmp_path)
        with pytest.raises(CheckpointError, match="must"):
            checkpoint.load(path)
        path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["vocab.txt", "tokenizer.json", "tokenizer_config.json"])
def test_no_file_of_a_tokenizer(tmp_path, put, kind, name):
    ConvBertTokenizerFast.from_pretrained("convbert-tiny").save_pretrained(tmp_path)
    put(tmp_path / name)
    with pytest.raises(ValueError, match=f"{name} must be an ordinary file"):
        kind.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["special_tokens_map.json", "added_tokens.json"])
def test_no_old_file_of_a_tokenizer(tmp_path, put, name):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    put(tmp_path / name)
    with pytest.raises(ValueError, match=f"{name} must be an ordinary file"):
        ConvBertTokenizerFast.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["a" * 5000, "a" * 300 + "/" + "b" * 5000, "a\0b"])
def test_names_that_no_system_has(name, capsys):
    with pytest.raises(CheckpointError, match="must be"):
        checkpoint.load(name)
    for call in (ConvBertTokenizerFast.from_pretrained, ConvBertConfig.from_json):
        with pytest.raises((ValueError, OSError)):
            call(name)
    assert main(["info", name]) == 2 and "Traceback" not in capsys.readouterr().err


def test_a_text_file_of_gigabytes(tmp_path):
    (tmp_path / "config.json").touch()
    os.truncate(tmp_path / "config.json", 1 << 40)     # of which the disk holds nothing
    with pytest.raises(ValueError, match="must have at most 100,000,000 bytes, but has 1,099,511,627,776"):
        ConvBertConfig.from_json(tmp_path)


@pytest.mark.parametrize("shape", [[0, 2**63], [2**62, 0, 2**62], [0, 2**61], [2**40, 2**40, 0]])
def test_shapes_that_are_empty_and_too_large(tmp_path, shape):
    header = json.dumps({"a": dict(dtype="F32", shape=shape, data_offsets=[0, 0])}).encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(CheckpointError, match="the shape of a in .* must be one that an array can have"):
        read_safetensors(tmp_path / "x.safetensors")
    assert count_of([0, 2**40], "a") == 0 and np.zeros([0, 2**40]).size == 0


def test_a_tensor_twice_in_an_index(tmp_path):
    checkpoint.save(tmp_path, small_config(), random_params(small_config(), dtype=np.float32), max_shard_bytes=9000)
    index = tmp_path / "model.safetensors.index.json"
    first, shard = next(iter(read_json(index)["weight_map"].items()))
    index.write_text(index.read_text().replace('"weight_map": {', f'"weight_map": {{"{first}": "{shard}",'))
    with pytest.raises(CheckpointError, match=f"'{first}' is there twice"):
        checkpoint.load(tmp_path)


# Time that grows with the size

def seconds(call):
    began = time.process_time()
    call()
    return time.process_time() - began


def test_groups_within_groups_and_many_variables(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "deep.h5", "w") as file:
        group = file
        for _ in range(3000):
            group = group.create_group("g")
    with h5py.File(tmp_path / "loops.h5", "w") as file:
        group = file.create_group("a")
        group["self"] = group["again"] = group
        group["up"], group["x"] = file, np.ones(3, "f4")
        file["b"] = group["x"]
    with h5py.File(tmp_path / "many.h5", "w") as file:
        for i in range(4000):
            file.create_dataset(f"d{i:04}", data=np.ones(1, "f4"))

    def read_all():
        with pytest.raises(CheckpointError, match="the groups of .*deep.h5 must be at most 64 deep"):
            checkpoint.read_tensors(tmp_path / "deep.h5")
        assert len(checkpoint.read_tensors(tmp_path / "loops.h5")[0]) == 1
        assert len(checkpoint.read_tensors(tmp_path / "many.h5")[0]) == 4000

    assert seconds(read_all) < 10                      # it was minutes


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_many_added_tokens(kind, special):
    tokenizer = kind.from_pretrained("convbert-tiny")
    assert seconds(lambda: tokenizer.add_tokens([f"new{i}x" for i in range(8000)], special_tokens=special)) < 10
    assert len(tokenizer) == 8192 + 8000 and tokenizer.tokenize("new7999x") == ["new7999x"]


@pytest.mark.parametrize("kind", KINDS)
def test_long_words_that_never_come_again(kind):
    rng = random.Random(0)
    text = " ".join("".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(70)) for _ in range(10_000))
    tokenizer = kind.from_pretrained("convbert-tiny")
    assert seconds(lambda: tokenizer.encode_ids(text)) < 10        # 100,000 of them took more than 30


def test_longest_pieces_change_no_piece():
    """The vocabularies have every kind of token, also `##` itself and words with `#` in them."""
    rng = random.Random(0)
    letters = "ab#"
    word = lambda most: "".join(rng.choice(letters) for _ in range(rng.randrange(1, most)))
    for _ in range(300):
        vocab = {PREFIX * rng.randrange(2) + word(6) for _ in range(rng.randrange(1, 12))} | set("ab")
        longest = longest_pieces(vocab)
        for _ in range(20):
            w = word(9)
            assert match(w, vocab, longest=longest) == match(w, vocab), (w, vocab)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [dict(padding="max_length", max_length=10**8), dict(padding=True,
                                                                                      pad_to_multiple_of=10**8)])
def test_rows_that_are_padding_alone(kind, options):
    tokenizer = kind.from_pretrained("convbert-tiny")
    for call in (lambda: tokenizer("a", **options), lambda: tokenizer.pad(dict(input_ids=[1]), **options)):
        tracemalloc.start()
        with pytest.raises(ValueError, match="rows must be padded to at most 1,000,000 tokens, but .* 100,000,000"):
            call()
        assert tracemalloc.get_traced_memory()[1] < 10**7
        tracemalloc.stop()


# Damaged files of a tokenizer

@pytest.mark.parametrize("name, entries", [
    *(("tokenizer_config.json", entries) for entries in (
        dict(mask_token=3), dict(mask_token={}), dict(added_tokens_decoder=[]), dict(added_tokens_decoder={"5": "a"}),
        dict(added_tokens_decoder={"5": 3}), dict(added_tokens_decoder={"a": dict(content="a")}),
        dict(added_tokens_decoder={"-5": dict(content="a")}), dict(model_max_length="x"), dict(padding_side=3),
        dict(additional_special_tokens=3), dict(extra_special_tokens=[3]), dict(split_special_tokens="no"))),
    *(("tokenizer.json", entries) for entries in (
        dict(model=3), dict(model=None), dict(added_tokens=[{}]), dict(added_tokens=3), dict(normalizer=3),
        dict(post_processor=dict(type="TemplateProcessing")), dict(pre_tokenizer=[])))])
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_of_a_tokenizer(tmp_path, kind, name, entries):
    ConvBertTokenizerFast.from_pretrained("convbert-tiny").save_pretrained(tmp_path)
    file = tmp_path / name
    file.write_text(json.dumps(json.loads(file.read_text()) | entries))
    with pytest.raises((ValueError, TypeError), match="must"):
        kind.from_pretrained(tmp_path)


@pytest.mark.parametrize("vocab", [{"[PAD]": 0.5}, {"[PAD]": -1}, {"[PAD]": 10**30}, {"[PAD]": True}, {"[PAD]": "0"}])
def test_ids_that_are_none(vocab):
    with pytest.raises(ValueError, match=r"must have ids from 0 to 2\^31 - 1, but '\[PAD\]' has"):
        ConvBertTokenizerFast(vocab | {"[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4})


def test_kinds_of_arrays_that_are_called_by_their_name():
    cfg = small_config()
    net = ConvBertModel(cfg, random_params(cfg))
    with pytest.raises(ValueError, match="input_ids must be numbers of tokens, but 18446744073709551615 is among them"):
        net(np.array([[2**64 - 1]], np.uint64))
    with pytest.raises(TypeError, match="params must be a dict of names to NumPy arrays"):
        ConvBertModel(cfg, {name: np.ma.array(x) for name, x in net.params.items()})
