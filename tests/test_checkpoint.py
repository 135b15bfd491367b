"""Every kind of checkpoint, made by its own framework (tests/scripts/make_*_checkpoints.py), read to the last bit."""

import json
import os
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import numpy as np
import pytest
from fuzz import MEMORY
from helpers import random_params, small_config
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from minconvbert import checkpoint
from minconvbert.__main__ import main
from minconvbert.checkpoint import CheckpointError, hub
from minconvbert.checkpoint.crc32c import crc32c
from minconvbert.checkpoint.names import KINDS, keras_table, original_table, relayout, to_ours, to_theirs
from minconvbert.checkpoint.safetensors import DTYPES, read_metadata, read_safetensors, write_safetensors
from minconvbert.checkpoint.tf_bundle import read_tensorflow
from minconvbert.config import TASKS, ConvBertConfig, param_shapes
from minconvbert.faces import pretrained

DATA = Path(__file__).parent / "data" / "checkpoints"


def assert_same(params, expected):
    assert params.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(params[name], expected[name], err_msg=name, strict=True)


@pytest.fixture(scope="module")
def in_memory():
    """A folder for files that are written many times; the disk would take most of the time."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


# Safetensors

NUMPY_TYPES = [np.dtype(dtype) for dtype in DTYPES.values() if dtype != "bfloat16"]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(
    TEXTS.filter(lambda name: name != "__metadata__"),
    st.sampled_from(NUMPY_TYPES).flatmap(lambda dtype: arrays.arrays(
        dtype, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)))),
    st.dictionaries(TEXTS, TEXTS))
def test_safetensors_come_back(in_memory, tensors, metadata):
    path = in_memory / "any.safetensors"
    write_safetensors(path, tensors, metadata)
    assert_same(read_safetensors(path), tensors)
    assert list(read_safetensors(path)) == list(tensors)
    assert read_metadata(path) == metadata
    assert all(array.flags.aligned for array in read_safetensors(path).values())
    written = path.read_bytes()
    assert int.from_bytes(written[:8], "little") % 8 == 0                     # so the file's own bytes are aligned
    write_safetensors(path, {name: array.copy(order="F") for name, array in tensors.items()}, metadata)
    assert path.read_bytes() == written


def test_big_endian_arrays_are_written_little_endian(tmp_path):
    write_safetensors(tmp_path / "x", {"a": np.arange(3, dtype=">f4")})
    assert_same(read_safetensors(tmp_path / "x"), {"a": np.arange(3, dtype="<f4")})


@pytest.mark.parametrize("tensors", [
    {"a": np.array(["x"])}, {"a": np.array([1j])}, {1: np.ones(2)}, {"__metadata__": np.ones(2)}])
def test_what_no_file_can_hold_leaves_the_old_file(tmp_path, tensors):
    write_safetensors(tmp_path / "x", {"a": np.ones(2)})
    with pytest.raises((TypeError, ValueError), match="must"):
        write_safetensors(tmp_path / "x", tensors)
    assert_same(read_safetensors(tmp_path / "x"), {"a": np.ones(2)})
    assert len(list(tmp_path.iterdir())) == 1


def test_arrays_can_be_written_to_and_the_file_does_not_change(tmp_path):
    write_safetensors(tmp_path / "x", {"a": np.ones(4)})
    read_safetensors(tmp_path / "x")["a"][:] = 7
    assert_same(read_safetensors(tmp_path / "x"), {"a": np.ones(4)})


# PyTorch

@pytest.fixture(scope="module")
def reference():
    return checkpoint.load(DATA / "torch" / "reference", "masked_lm")[1]


def rounded(array, kind):
    """Rounded to 16 bits, to the nearest, ties to even, and back."""
    if kind == "float16":
        return array.astype(np.float16).astype(np.float32)
    bits = array.view(np.uint32)
    bits = bits + 0x7FFF + (bits >> 16 & 1)
    return (bits & 0xFFFF0000).astype(np.uint32).view(np.float32)


@pytest.mark.parametrize("file", [
    "sharded", "sharded_bin", "zip.bin", "legacy.bin", "protocol4.bin", "parameters.bin", "strided.bin",
    "old_names.bin", "float64.safetensors"])
def test_everything_that_torch_writes_reads_the_same(file, reference):
    _, params = checkpoint.load(DATA / "torch" / file, "masked_lm")
    assert_same(params, reference)


@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_sixteen_bits_are_widened(kind, suffix, reference):
    _, params = checkpoint.load(DATA / "torch" / f"{kind}.{suffix}", "masked_lm")
    assert_same(params, {name: rounded(array, kind) for name, array in reference.items()})


def test_the_dtype_asked_for_is_given(reference):
    _, wide = checkpoint.load(DATA / "torch" / "reference", "masked_lm", dtype=np.float64)
    assert_same(wide, {name: array.astype(np.float64) for name, array in reference.items()})
    _, stored = checkpoint.load(DATA / "torch" / "float16.bin", "masked_lm", dtype=None)
    assert {array.dtype for array in stored.values()} == {np.dtype(np.float16)}
    with pytest.raises(TypeError, match="float type or None"):
        checkpoint.load(DATA / "torch" / "reference", dtype=np.int32)
    with pytest.raises(TypeError, match="float type or None"):
        checkpoint.save("nowhere", small_config(), random_params(small_config()), dtype=np.int8)
    assert not Path("nowhere").exists()


def test_the_body_of_a_head_is_the_bare_model(caplog):
    _, body = checkpoint.load(DATA / "torch" / "reference")
    assert "model.safetensors: not used: generator_lm_head.bias, generator_predictions.LayerNorm.bias, " in caplog.text
    _, bare = checkpoint.load(DATA / "torch" / "bare")
    assert_same(body, bare)


def test_arrays_of_a_pickle_lie_in_the_file():
    _, params = checkpoint.load(DATA / "torch" / "zip.bin", "masked_lm", mmap=True)
    assert all(array.flags.c_contiguous and array.flags.writeable and array.base is not None
               for array in params.values())


# A head that the file does not have

def test_a_head_comes_from_where_the_caller_says():
    bare, task = DATA / "torch" / "bare", "token_classification"
    with pytest.raises(CheckpointError, match="must hold the head for token_classification, but classifier.weight, "):
        checkpoint.load(bare, task)
    cfg, drawn = checkpoint.load(bare, task, new_head=np.random.default_rng(3))
    assert np.abs(drawn["classifier.weight"]).max() < 0.2 and drawn["classifier.weight"].any()
    head = {"classifier.weight": np.ones((2, 16)), "classifier.bias": np.zeros(2)}
    _, given_head = checkpoint.load(bare, task, new_head=head)
    assert given_head.keys() == param_shapes(cfg, task).keys()
    assert (given_head["classifier.weight"] == 1).all() and given_head["classifier.weight"].dtype == np.float32
    with pytest.raises(CheckpointError, match=r"classifier.bias missing"):
        checkpoint.load(bare, task, new_head={"classifier.weight": np.ones((2, 16))})
    with pytest.raises(CheckpointError, match=r"classifier.weight must be \(2, 16\) but is \(3, 16\)"):
        checkpoint.load(bare, task, new_head=head | {"classifier.weight": np.ones((3, 16))})
    with pytest.raises(TypeError, match="new_head must be a dict of arrays, a function .* or a numpy.random.Generator, but is int"):
        checkpoint.load(bare, task, new_head=7)


def test_a_new_head_replaces_that_of_the_file(caplog):
    _, params = checkpoint.load(DATA / "torch" / "reference", "masked_lm", new_head=np.random.default_rng(3))
    assert (params["generator_lm_head.bias"] == 0).all()
    assert "model.safetensors: not used: generator_lm_head.bias, generator_predictions.LayerNorm.bias, " in caplog.text


# Keras and the original

@pytest.mark.parametrize("task", [None, *(task for task in TASKS if task != "discriminator")])
def test_keras_reads_as_transformers_converts_it(task):
    pytest.importorskip("h5py")
    folder = DATA / "keras" / (task or "base")
    _, params = checkpoint.load(folder, task)
    assert_same(params, read_safetensors(folder / "expected.safetensors"))


def test_sharded_keras():
    pytest.importorskip("h5py")
    _, params = checkpoint.load(DATA / "keras" / "sharded")
    assert_same(params, read_safetensors(DATA / "keras" / "base" / "expected.safetensors"))


@pytest.mark.parametrize("source", [
    "plain", "plain/model.ckpt", "plain/model.ckpt.index", "two_shards", "v1/model.ckpt", "v1"])
def test_the_original_reads_as_transformers_converts_it(source):
    _, params = checkpoint.load(DATA / "original" / source)
    assert_same(params, read_safetensors(DATA / "original" / "plain" / "expected.safetensors"))


def test_both_networks_of_an_electra_checkpoint(caplog):
    folder = DATA / "original" / "electra"
    _, body = checkpoint.load(folder)
    assert_same(body, read_safetensors(folder / "expected.safetensors"))
    assert "generator/encoder/layer_0/attention/output/LayerNorm/beta" in caplog.text
    variables, _ = checkpoint.read_tensors(folder / "model.ckpt.index")
    cfg, discriminator = checkpoint.load(folder, "discriminator")
    assert_same({f"convbert.{name}": array for name, array in body.items()} | {
        "discriminator_predictions.dense.weight": variables["discriminator_predictions/dense/kernel"].T,
        "discriminator_predictions.dense.bias": variables["discriminator_predictions/dense/bias"],
        "discriminator_predictions.dense_prediction.weight": variables["discriminator_predictions/dense_1/kernel"].T,
        "discriminator_predictions.dense_prediction.bias": variables["discriminator_predictions/dense_1/bias"]},
        discriminator)
    with pytest.raises(CheckpointError, match="belongs to another network: pass net='generator'"):
        checkpoint.load(folder, "masked_lm")
    cfg = checkpoint.config_of_original(variables, folder, "generator")
    assert (cfg.hidden_size, cfg.heads, cfg.head_size, cfg.intermediate_size, cfg.num_groups) == (8, 1, 8, 16, 1)
    _, generator = checkpoint.load(folder, "masked_lm", config=cfg, net="generator")
    query = "encoder.layer.0.attention.self.query.weight"
    np.testing.assert_array_equal(generator[f"convbert.{query}"], variables[
        "generator/encoder/layer_0/attention/self/query/kernel"].T)
    np.testing.assert_array_equal(generator["generator_lm_head.bias"], variables["generator_predictions/output_bias"])


@pytest.mark.parametrize("folder", ["plain", "electra"])
def test_shapes_tell_the_configuration(folder):
    variables, _ = checkpoint.read_tensors(DATA / "original" / folder / "model.ckpt.index")
    cfg = checkpoint.config_of_original(variables, folder)
    assert cfg == ConvBertConfig.from_json(DATA / "original" / folder).replace(unknown={})
    tables = {f"electra/embeddings/{name}": np.zeros((rows, cfg.embedding_size)) for name, rows in (
        ("word_embeddings", 99), ("position_embeddings", 77), ("token_type_embeddings", 5))}
    assert checkpoint.config_of_original(variables | tables, folder) == cfg.replace(
        vocab_size=99, max_position_embeddings=77, type_vocab_size=5)


def test_what_no_shape_tells_is_said(tmp_path, caplog):
    variables, _ = checkpoint.read_tensors(DATA / "original" / "plain" / "model.ckpt.index")
    checkpoint.read_config(tmp_path / "model.ckpt.index", variables, "original", "electra")
    assert f"{tmp_path / 'model.ckpt.index'}: no config.json" in caplog.text
    assert "hidden_act 'gelu', layer_norm_eps 1e-12" in caplog.text


def test_a_head_in_the_file_itself_is_the_one_that_counts(tmp_path):
    cfg = small_config()
    params = random_params(cfg, "discriminator", dtype=np.float32)
    checkpoint.save(tmp_path, cfg, params, "discriminator")
    write_safetensors(tmp_path / checkpoint.DISCRIMINATOR_HEAD, {
        name: x + 1 for name, x in params.items() if not name.startswith("convbert.")})
    assert_same(checkpoint.load(tmp_path, "discriminator")[1], params)


def test_another_head_ratio_is_read_as_the_original_reads_it():
    cfg, params = checkpoint.load(DATA / "original" / "ratio4")
    assert (cfg.head_ratio_semantics, cfg.head_ratio, cfg.heads, cfg.head_size) == ("original", 4, 2, 2)
    with pytest.raises(CheckpointError, match=r'query.weight must be \(8, 16\) but is \(4, 16\).*head_ratio'):
        checkpoint.load(DATA / "original" / "ratio4", config=cfg.replace(head_ratio_semantics="huggingface"))


CONFIGS = st.builds(
    lambda heads, ratio, groups, E, layers, K, semantics: small_config(
        num_attention_heads=heads, head_ratio=ratio, num_groups=groups, embedding_size=E, num_hidden_layers=layers,
        conv_kernel_size=K, head_ratio_semantics=semantics),
    st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 3]), st.sampled_from([24, 10]),
    st.integers(1, 11), st.sampled_from([1, 3, 5]), st.sampled_from(["huggingface", "original"]))


@settings(max_examples=25, deadline=None)
@given(CONFIGS, st.sampled_from([None, *TASKS]))
def test_tables_take_names_there_and_back(cfg, task):
    params = random_params(cfg, task)
    bare = {name.removeprefix("convbert."): array for name, array in params.items()}
    tables = {"keras": keras_table(cfg), "original": original_table(cfg)}
    if task == "discriminator":
        del tables["keras"]
    elif task not in (None, "masked_lm"):
        del tables["original"]
    for table in tables.values():
        theirs = to_theirs(params, table)
        assert len(theirs) == len(params)
        assert_same(to_ours(theirs, table, "x"), bare)


def test_layouts_move_the_axes_that_their_letters_say():
    x = np.arange(24).reshape(4, 6, 1)
    assert relayout(x, "K C 1 -> C 1 K", "x").shape == (6, 1, 4)
    assert relayout(x, "K C 1 -> C 1 K", "x")[5, 0, 2] == x[2, 5, 0]
    for kind in KINDS.values():
        for _, layout in kind.values():
            before, after = (layout or "I -> I").split(" -> ")
            assert sorted(set(before.split()) - {"1"}) == sorted(set(after.split()) - {"1"})
    with pytest.raises(CheckpointError, match=r"w must have the axes \(I, O\), but its shape is \(4, 6, 1\)"):
        relayout(x, "I O -> O I", "w")


# Written

@pytest.mark.parametrize("task", [None, *TASKS])
@pytest.mark.parametrize("most", [10**9, 8000])
def test_folders_come_back(tmp_path, task, most):
    cfg = small_config(summary_use_proj=True, num_labels=2, embedding_size=10, num_groups=2)
    params = random_params(cfg, task, dtype=np.float32)
    checkpoint.save(tmp_path, cfg, params, task, max_shard_bytes=most)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert (files == ["config.json", "model.safetensors"]) == (most == 10**9)
    cfg_again, again = checkpoint.load(tmp_path, task)
    assert_same(again, params)
    assert list(again) == list(params)
    assert cfg_again.replace(unknown={}) == cfg
    assert cfg_again.unknown == {"architectures": [checkpoint.ARCHITECTURES[task]], "dtype": "float32"}
    for path in tmp_path.glob("*.safetensors"):
        assert len(read_safetensors(path)) == 1 or path.stat().st_size < most + 10000


def test_saving_over_shards_leaves_one_model(tmp_path):
    cfg = small_config()
    for seed, most in enumerate([8000, 10**9, 20000]):
        params = random_params(cfg, seed=seed)
        checkpoint.save(tmp_path, cfg, params, max_shard_bytes=most)
        assert_same(checkpoint.load(tmp_path, dtype=None)[1], params)
        assert (tmp_path / "model.safetensors").exists() != (tmp_path / "model.safetensors.index.json").exists()


def test_a_model_is_saved_over_the_files_that_its_arrays_lie_in(tmp_path):
    cfg, params = small_config(), random_params(small_config(), dtype=np.float32)
    checkpoint.save(tmp_path, cfg, params)
    _, loaded = checkpoint.load(tmp_path)
    loaded["embeddings.LayerNorm.bias"] += 1
    checkpoint.save(tmp_path, cfg, loaded)
    assert_same(loaded, params | {"embeddings.LayerNorm.bias": params["embeddings.LayerNorm.bias"] + 1})
    assert_same(checkpoint.load(tmp_path)[1], loaded)


@pytest.mark.parametrize("most", [0, -5, float("nan"), "5GB", True])
def test_shards_have_a_size(tmp_path, most):
    cfg = small_config()
    with pytest.raises(ValueError, match="max_shard_bytes must be a positive number, but is"):
        checkpoint.save(tmp_path, cfg, random_params(cfg), max_shard_bytes=most)


def test_half_precision_is_stored_and_what_it_cannot_hold_is_refused(tmp_path):
    cfg, params = small_config(), random_params(small_config(), dtype=np.float32)
    checkpoint.save(tmp_path, cfg, params, dtype=np.float16)
    assert_same(checkpoint.load(tmp_path)[1], {name: rounded(array, "float16") for name, array in params.items()})
    written = (tmp_path / "model.safetensors").read_bytes()
    name = "embeddings.LayerNorm.bias"
    with pytest.raises(ValueError, match="embeddings.LayerNorm.bias must be finite as float16, but holds nan"):
        checkpoint.save(tmp_path, cfg, params | {name: np.full(24, 1e6, np.float32)}, dtype=np.float16)
    assert (tmp_path / "model.safetensors").read_bytes() == written
    checkpoint.save(tmp_path, cfg, params | {name: np.full(24, np.nan, np.float32)}, allow_nonfinite=True)
    with pytest.raises(CheckpointError, match="embeddings.LayerNorm.bias in .* must be finite as float32, but"):
        checkpoint.load(tmp_path)
    assert np.isnan(checkpoint.load(tmp_path, allow_nonfinite=True)[1][name]).all()


def test_what_does_not_fit_the_configuration_is_not_written(tmp_path):
    cfg, params = small_config(), random_params(small_config())
    name = "encoder.layer.0.output.dense.bias"
    for changed, message in [
            ({n: a for n, a in params.items() if n != name}, f"{name} missing"),
            (params | {"more": np.ones(2)}, "more unknown"),
            (params | {name: np.ones(3)}, rf"{name} must be \(24,\) but is \(3,\)")]:
        with pytest.raises(ValueError, match=message):
            checkpoint.save(tmp_path / "new", cfg, changed)
    for array in (params[name].astype(np.float32), params[name].astype(int)):
        with pytest.raises(TypeError, match="floats of one width"):
            checkpoint.save(tmp_path / "new", cfg, params | {name: array})
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("task", [None, "masked_lm", "discriminator"])
@pytest.mark.parametrize("groups", [1, 2])
def test_original_checkpoints_come_back(tmp_path, task, groups):
    cfg = small_config(num_groups=groups, embedding_size=10)
    params = random_params(cfg, task, dtype=np.float32)
    checkpoint.save_original(tmp_path / "new" / "model.ckpt", cfg, params, task)
    cfg_again, again = checkpoint.load(tmp_path / "new", task)
    assert cfg_again.replace(unknown={}) == cfg
    assert_same(again, params)
    names = read_tensorflow(tmp_path / "new" / "model.ckpt.index")
    assert ("electra/encoder/layer_1/intermediate/g_dense/kernel" in names) == (groups == 2)
    assert names["electra/encoder/layer_0/attention/self/conv_attn_key/depthwise_kernel"].shape == (5, 24, 1)


def test_the_original_has_no_other_heads(tmp_path):
    cfg = small_config()
    with pytest.raises(ValueError, match="qa_outputs.weight has no name in that format"):
        checkpoint.save_original(tmp_path / "x", cfg, random_params(cfg, "question_answering"), "question_answering")
    spoilt = random_params(cfg) | {"embeddings.LayerNorm.bias": np.full(24, np.nan)}
    with pytest.raises(CheckpointError, match="embeddings.LayerNorm.bias must be finite"):
        checkpoint.save_original(tmp_path / "x", cfg, spoilt)
    assert not list(tmp_path.iterdir())


# Checksums

def bit_by_bit(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_crc32c_of_known_bytes():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA and crc32c(b"\xff" * 32) == 0x62A8AB43     # RFC 3720, B.4
    assert crc32c(bytes(range(32))) == 0x46DD794E and crc32c(b"") == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3000), st.integers(0, 2**32))
def test_crc32c_of_any_bytes(length, seed):
    data = np.random.default_rng(seed).bytes(length)
    assert crc32c(data) == bit_by_bit(data)


def test_crc32c_of_several_parts(monkeypatch):
    data = np.random.default_rng(0).bytes(10000)
    whole = crc32c(data)
    monkeypatch.setattr("minconvbert.checkpoint.crc32c.LARGEST", 11)
    assert crc32c(data) == whole == bit_by_bit(data)


# Memory

@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells")
@pytest.mark.parametrize("mmap", [False, True])
def test_loading_takes_little_more_than_the_file(tmp_path, mmap):
    cfg = small_config(hidden_size=192, embedding_size=192, intermediate_size=768, num_hidden_layers=20)
    checkpoint.save(tmp_path, cfg, {name: np.ones(shape, np.float32) for name, shape in param_shapes(cfg).items()})
    size = (tmp_path / "model.safetensors").stat().st_size
    # VmHWM, for ru_maxrss begins with what the process that started this one had.
    code = ("import sys; from minconvbert import checkpoint\n"
            "used = lambda kind: next(int(line.split()[1]) for line in open('/proc/self/status') if kind in line)\n"
            "kinds = 'VmHWM', 'RssAnon'; before = [*map(used, kinds)]\n"
            f"loaded = checkpoint.load(sys.argv[1], mmap={mmap})\n"
            "print(*(1024 * (used(kind) - old) for kind, old in zip(kinds, before)))")
    run = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    peak, own = map(int, run.stdout.split())
    assert size > 30_000_000 and 0.9 * size < peak < 1.3 * size           # every page was looked at, none twice
    assert own < 0.1 * size if mmap else 0.9 * size < own < 1.3 * size    # of the file's pages, or of its own


def test_what_is_written_into_a_file_changes_nothing_that_was_loaded(tmp_path):
    cfg = small_config()
    checkpoint.save(tmp_path, cfg, random_params(cfg, dtype=np.float32))
    file, whole = tmp_path / "model.safetensors", (tmp_path / "model.safetensors").read_bytes()
    for mmap in (False, True):
        _, params = checkpoint.load(tmp_path, mmap=mmap)
        before = {name: array.copy() for name, array in params.items()}
        with open(file, "rb+") as opened:
            opened.seek(len(whole) - 4000)
            opened.write(bytes(4000))
        changed = [name for name in before if not np.array_equal(params[name], before[name])]
        assert bool(changed) == mmap                       # which shows that the map was a map, and the copy a copy
        file.write_bytes(whole)
    _, params = checkpoint.load(tmp_path)
    os.truncate(file, 100)                                 # of a mapped file, reading on ends the process: SIGBUS
    assert all(np.isfinite(array).all() for array in params.values())


# Commands and the hub

def test_convert_keeps_head_and_tokenizer(tmp_path, capsys, reference):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("config.json", "zip.bin"):
        (source / name.replace("zip", "pytorch_model")).write_bytes((DATA / "torch" / name).read_bytes())
    (source / "vocab.txt").write_text("[PAD]\n")
    (source / "tokenizer_config.json").write_text("{}")
    assert main(["convert", str(source), str(tmp_path / "new")]) == 0
    assert "masked_lm, 58 tensors, 3,778 parameters" in capsys.readouterr().out
    assert_same(checkpoint.load(tmp_path / "new", "masked_lm")[1], reference)
    assert (tmp_path / "new" / "vocab.txt").read_text() == "[PAD]\n"
    assert (tmp_path / "new" / "tokenizer_config.json").read_text() == "{}"
    assert main(["convert", str(source), str(tmp_path / "new")]) == 2
    assert "must be free for a checkpoint, but has model.safetensors" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "new"), str(tmp_path / "tf"), "--names", "original", "--task", "none",
                 "--dtype", "float64"]) == 0
    assert_same(checkpoint.load(tmp_path / "tf")[1], checkpoint.load(DATA / "torch" / "bare")[1])


def test_convert_a_generator(tmp_path):
    variables, _ = checkpoint.read_tensors(DATA / "original" / "electra" / "model.ckpt.index")
    checkpoint.config_of_original(variables, "x", "generator").to_json(tmp_path / "generator.json")
    assert main(["convert", str(DATA / "original" / "electra"), str(tmp_path / "new"), "--net", "generator", "--task",
                 "masked_lm", "--config", str(tmp_path / "generator.json")]) == 0
    assert len(checkpoint.load(tmp_path / "new", "masked_lm")[1]) == 33


def test_convert_what_is_not_there(tmp_path, capsys):
    assert main(["convert", str(tmp_path / "nothing"), str(tmp_path / "new")]) == 2
    assert "must be a folder, a file, or the name of a model on the hub" in capsys.readouterr().err
    assert main(["convert", str(tmp_path), str(tmp_path / "new")]) == 2
    assert "must hold one of model.safetensors, " in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_verify_tells_right_from_wrong(monkeypatch, capsys):
    folder = DATA / "torch" / "bare"
    hidden = convert_hidden_states(folder, [1, 2, 3])
    monkeypatch.setitem(pretrained.ANSWERS, "a/b", [("someone", [1, 2, 3], hidden[:3, :3] + 5e-5)])
    assert main(["verify", str(folder), "--answers", "a/b"]) == 0
    assert capsys.readouterr().out.startswith("equal    by 5.")
    monkeypatch.setitem(pretrained.ANSWERS, "a/b", [("someone", [1, 2, 4], hidden[:3, :3])])
    assert main(["verify", str(folder), "--answers", "a/b"]) == 1
    assert capsys.readouterr().out.startswith("DIFFERS  by ")
    assert main(["verify", str(folder)]) == 2
    assert "answers are published for YituTech/conv-bert-base, " in capsys.readouterr().err


def convert_hidden_states(folder, ids):
    from minconvbert.faces import ConvBertModel
    return ConvBertModel.from_pretrained(folder)(np.array([ids])).last_hidden_state[0]


@pytest.mark.parametrize("model", pretrained.ANSWERS)
def test_published_answers_for_weights_in_the_cache(model):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    if not any(isinstance(huggingface_hub.try_to_load_from_cache(model, file), str) for file in checkpoint.FILES):
        pytest.skip(f"{model} is not in the cache of the hub")
    assert all(difference <= pretrained.TOLERANCE for _, difference in pretrained.verify(model))


@pytest.fixture
def fake_hub(tmp_path, monkeypatch):
    """A hub with the files of a folder. It lists what was requested, and keeps what was fetched in the cache."""
    class EntryNotFoundError(Exception):
        pass

    class LocalEntryNotFoundError(EntryNotFoundError, FileNotFoundError, ValueError):
        pass

    state = types.SimpleNamespace(folder=None, cache=tmp_path / "cache", asked=[], online=True)

    def hf_hub_download(name, file, local_files_only):
        state.asked.append((file, local_files_only))
        cached = state.cache / file
        if not cached.exists():
            if local_files_only or not state.online:
                raise LocalEntryNotFoundError("cannot")
            if not (state.folder / file).exists():
                raise EntryNotFoundError("404")
            cached.parent.mkdir(parents=True, exist_ok=True)
            cached.write_bytes((state.folder / file).read_bytes())
        return str(cached)

    errors = types.ModuleType("huggingface_hub.errors")
    errors.EntryNotFoundError, errors.LocalEntryNotFoundError = EntryNotFoundError, LocalEntryNotFoundError
    module = types.ModuleType("huggingface_hub")
    module.hf_hub_download, module.errors = hf_hub_download, errors
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors)
    return state


@pytest.mark.parametrize("folder", ["reference", "sharded", "sharded_bin"])
def test_a_name_is_fetched_once_and_then_taken_from_the_cache(fake_hub, folder, reference):
    fake_hub.folder = DATA / "torch" / folder
    assert_same(checkpoint.load("someone/conv-bert", "masked_lm")[1], reference)
    fake_hub.online, fake_hub.asked = False, []
    assert_same(checkpoint.load("someone/conv-bert", "masked_lm")[1], reference)
    assert all(only_cache for _, only_cache in fake_hub.asked)


def test_a_hub_that_has_nothing_or_is_silent(fake_hub, tmp_path):
    fake_hub.folder = tmp_path
    with pytest.raises(CheckpointError, match="someone/x must have one of model.safetensors, .* but has none"):
        checkpoint.load("someone/x")
    fake_hub.online = False
    with pytest.raises(CheckpointError, match="someone/x is not a file or folder here or in the cache, and"):
        checkpoint.load("someone/x")


@pytest.mark.parametrize("module, source", [
    ("h5py", DATA / "keras" / "base"), ("huggingface_hub", "someone/conv-bert")])
def test_what_an_extra_is_needed_for_says_so(module, source, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install 'minconvbert\[hf\]'"):
        checkpoint.load(source)


def test_names_on_the_hub():
    assert hub.is_name("YituTech/conv-bert-base")
    assert not any(map(hub.is_name, ("convbert", "../x", "a/b/c", "/a", "./a", "a/..", "a/", "")))


def test_index_of_shards_is_that_of_hugging_face(tmp_path):
    cfg = small_config()
    params = random_params(cfg, dtype=np.float32)
    checkpoint.save(tmp_path, cfg, params, max_shard_bytes=8000)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(array.nbytes for array in params.values())
    assert index["weight_map"].keys() == params.keys()
    sizes = {}                                         # of the tensors of each file, which takes all that fit
    for name, file in index["weight_map"].items():
        sizes.setdefault(file, []).append(params[name].nbytes)
    shards = list(sizes.values())
    assert len(shards) > 2 and all(sum(shard) <= 8000 or len(shard) == 1 for shard in shards)
    assert all(sum(shard) + after[0] > 8000 for shard, after in zip(shards, shards[1:]))


def test_what_an_older_version_said_of_the_dtype_does_not_stay(tmp_path):
    """`torch_dtype` was the name before `dtype`: a folder that keeps both would contradict itself."""
    cfg = small_config()
    (tmp_path / "old.json").write_text(json.dumps(cfg.to_dict() | dict(torch_dtype="float16", dtype="float16", spam=1)))
    old = ConvBertConfig.from_json(tmp_path / "old.json")
    checkpoint.save(tmp_path / "new", old, random_params(cfg, dtype=np.float32))
    written = json.loads((tmp_path / "new" / "config.json").read_text())
    assert "torch_dtype" not in written and (written["dtype"], written["spam"]) == ("float32", 1)
