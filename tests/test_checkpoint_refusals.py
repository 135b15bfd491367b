"""Files that must not be read: each is refused by name and reason; nothing in it runs or reaches out of its folder."""

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers import random_params, small_config

from minconvbert import checkpoint
from minconvbert.checkpoint import CheckpointError, tf_table
from minconvbert.checkpoint.crc32c import masked_crc32c
from minconvbert.checkpoint.protobuf import message_of, varint
from minconvbert.checkpoint.safetensors import read_safetensors, write_safetensors
from minconvbert.checkpoint.tf_bundle import DIM, ENTRY, HEADER, SHAPE, read_tensorflow, write_bundle
from minconvbert.checkpoint.torch_pickle import read_torch

DATA = Path(__file__).parent / "data" / "checkpoints"


def refused(read, path, message):
    with pytest.raises(CheckpointError, match=message):
        read(path)


# Safetensors

def entry(begin, end, dtype="F32", shape=None):
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end]}


def safetensors(header, size):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(size)


@pytest.mark.parametrize("data, message", [
    (b"", "must hold tensors, but it is empty"),
    (b"1234", "eight bytes of length, but it has only 4"),
    (struct.pack("<Q", 1 << 40) + b"{}", "must fit into the file's 10 bytes, but it claims 1099511627776"),
    (safetensors(b" {}", 0), "must begin with {"),
    (safetensors(b"{", 0), "must be JSON"),
    (safetensors(b'{"a":' * 100_000, 0), "must be JSON"),
    (safetensors(b"[]", 0), "must begin with {"),
    (safetensors(b'{"a": NaN}', 0), "NaN is not JSON"),
    (safetensors(b'{"\xff": 1}', 0), "must be JSON"),
    (safetensors(b'{"a": %s, "a": %s}' % ((b'{"dtype":"F32","shape":[1],"data_offsets":[0,4]}',) * 2), 4),
     "'a' is there twice"),
    (safetensors({"a": entry(0, 8)}, 4), "data_offsets of a .* within its 4 bytes of tensors, .*: the file is cut off"),
    (safetensors({"a": entry(0, 8)}, 12), "must fill its 12 bytes, but they end at 8"),
    (safetensors({"a": entry(0, 8), "b": entry(4, 12)}, 12), "b in .* must begin at byte 8, .*: tensors overlap or"),
    (safetensors({"a": entry(0, 4), "b": entry(8, 12)}, 12), "b in .* must begin at byte 4, .*: tensors overlap or"),
    (safetensors({"a": entry(0, 8), "b": entry(0, 8)}, 8), "overlap"),
    (safetensors({"a": entry(8, 0, shape=[0])}, 8), "data_offsets of a"),
    (safetensors({"a": entry(-4, 4)}, 8), "data_offsets of a"),
    (safetensors({"a": entry(0, 8, shape=[3])}, 8), r"a in .* must take 12 bytes, F32 of shape \[3\], but"),
    (safetensors({"a": entry(0, 16, shape=[3])}, 16), "a in .* must take 12 bytes"),
    (safetensors({"a": entry(0, 8, shape=[1 << 40, 1 << 40])}, 8), "a in .* must take 4835703278458516698824704 bytes"),
    (safetensors({"a": entry(0, 8, shape=[-2])}, 8), "the shape of a"),
    (safetensors({"a": entry(0, 4, shape=[True])}, 4), "the shape of a"),
    (safetensors({"a": entry(0, 4, shape=[1] * 40)}, 4), "the shape of a .* at most 32"),
    (safetensors({"a": entry(0, 4, shape=4)}, 4), "the shape of a"),
    (safetensors({"a": entry(0, 8) | {"data_offsets": [0, 8, 8]}}, 8), "data_offsets of a"),
    (safetensors({"a": entry(0, 8) | {"data_offsets": [0, 8.0]}}, 8), "data_offsets of a"),
    (safetensors({"a": entry(0, 4, dtype="F8_E4M3", shape=[4])}, 4), "a .* must be one of F64, .* but is 'F8_E4M3'"),
    (safetensors({"a": entry(0, 4, dtype=["F32"])}, 4), "the dtype of a"),
    (safetensors({"a": entry(0, 4) | {"more": 1}}, 4), "a in .* must have dtype, shape and data_offsets"),
    (safetensors({"a": 3}, 0), "a in .* must have dtype, shape and data_offsets"),
    (safetensors({"__metadata__": {"a": 1}}, 0), "__metadata__ .* must map texts to texts"),
])
def test_safetensors(tmp_path, data, message):
    (tmp_path / "x.safetensors").write_bytes(data)
    refused(read_safetensors, tmp_path / "x.safetensors", message)


def test_every_cut_of_a_file(tmp_path):
    path = tmp_path / "x.safetensors"
    whole = (DATA / "small" / "small.safetensors").read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refused(read_safetensors, path, "must")


# What is in a checkpoint

@pytest.fixture
def saved(tmp_path):
    cfg = small_config()
    params = random_params(cfg, dtype=np.float32)
    checkpoint.save(tmp_path, cfg, params)

    def change(**changes):
        changed = params | changes
        write_safetensors(tmp_path / "model.safetensors", {n: a for n, a in changed.items() if a is not None})
        return tmp_path
    return change


NAME = "encoder.layer.1.attention.self.key.weight"


@pytest.mark.parametrize("array, message", [
    (None, f"{NAME} missing"),
    (np.ones((3, 24), np.float32), rf"{NAME} must be \(12, 24\) but is \(3, 24\)"),
    (np.ones((24, 12), np.float32), rf"{NAME} must be \(12, 24\) but is \(24, 12\)"),
    (np.ones((12, 24), np.int8), f"{NAME} in .* must be floats, but is int8"),
    (np.ones((12, 24), np.int32), f"{NAME} in .* must be floats, but is int32"),
    (np.ones((12, 24), bool), f"{NAME} in .* must be floats, but is bool"),
    (np.full((12, 24), np.nan, np.float32), f"{NAME} in .* must be finite as float32, but holds nan or infinity"),
    (np.where(np.eye(12, 24), np.float32(np.inf), 1), f"{NAME} in .* must be finite as float32, but holds nan"),
    (np.where(np.eye(12, 24), np.float32(-np.inf), 1), f"{NAME} in .* must be finite as float32, but holds nan"),
    (np.full((12, 24), -np.inf, np.float16), f"{NAME} in .* must be finite as float32, but holds nan or infinity"),
])
def test_a_tensor_that_does_not_fit(saved, array, message):
    refused(checkpoint.load, saved(**{NAME: array}), message)


def test_a_tensor_too_many(saved):
    refused(checkpoint.load, saved(**{"encoder.layer.2.output.dense.bias": np.ones(24, np.float32)}),
            "encoder.layer.2.output.dense.bias unknown")


def test_a_tensor_twice(saved):
    refused(checkpoint.load, saved(**{f"convbert.{NAME}": np.ones((12, 24), np.float32)}),
            f"must hold a tensor once, but {NAME} and convbert.{NAME} are the same")


def test_a_tied_table_that_differs(tmp_path):
    cfg = small_config()
    params = random_params(cfg, "masked_lm", dtype=np.float32)
    checkpoint.save(tmp_path, cfg, params, "masked_lm")
    table = params["convbert.embeddings.word_embeddings.weight"]
    write_safetensors(tmp_path / "model.safetensors", params | {"generator_lm_head.weight": table})
    assert "generator_lm_head.weight" not in checkpoint.load(tmp_path, "masked_lm")[1]
    spoilt = table.copy()
    spoilt[3] = np.nan                                 # in both, so they are equal, and kept if that is asked for
    write_safetensors(tmp_path / "model.safetensors", params | {
        "convbert.embeddings.word_embeddings.weight": spoilt, "generator_lm_head.weight": spoilt})
    assert np.isnan(checkpoint.load(tmp_path, "masked_lm", allow_nonfinite=True)[1][
        "convbert.embeddings.word_embeddings.weight"][3]).all()
    write_safetensors(tmp_path / "model.safetensors", params | {"generator_lm_head.weight": table + 1})
    refused(checkpoint.load, tmp_path, "generator_lm_head.weight in .* must equal .* set tie_word_embeddings to false")
    cfg.replace(tie_word_embeddings=False).to_json(tmp_path)
    assert (checkpoint.load(tmp_path, "masked_lm")[1]["generator_lm_head.weight"] == table + 1).all()


def test_the_original_head_ratio_read_as_that_of_hugging_face(tmp_path):
    cfg = small_config(num_attention_heads=8, head_ratio=4, head_ratio_semantics="original")
    checkpoint.save(tmp_path, cfg, random_params(cfg))
    cfg.replace(head_ratio_semantics="huggingface").to_json(tmp_path)
    refused(checkpoint.load, tmp_path, r"query.weight must be \(12, 24\) but is \(6, 24\).*they fit head_ratio")


@pytest.mark.parametrize("changes, message", [
    (dict(model_type="bert"), "model_type must be 'convbert', but is 'bert'"),
    (dict(layer_norm_eps=float("nan")), "layer_norm_eps must be a number, but is nan"),
    (dict(hidden_size="24"), "hidden_size must be int, but is '24'"),
    (dict(num_hidden_layers=3), "encoder.layer.2.attention.self.query.weight, .* and 18 more missing"),
])
def test_another_configuration(saved, changes, message):
    folder = saved()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    refused(checkpoint.load, folder, message)


def test_no_configuration(saved):
    (saved() / "config.json").unlink()
    refused(checkpoint.load, saved(), "needs its configuration: there must be a .*config.json, or pass config=")


def test_tensors_laid_out_as_tensorflow_does(tmp_path):
    write_safetensors(tmp_path / "model.safetensors", {"x": np.ones(2)}, {"format": "tf"})
    refused(checkpoint.load, tmp_path, "must be laid out as PyTorch's, but says that its format is 'tf'")


@pytest.mark.parametrize("data", [b"hello, world", b"PK", b"\x89HDF", b"\x80", bytes(100), b"\x1f\x8b" + bytes(50)])
def test_a_file_of_no_known_kind(tmp_path, data):
    if data.startswith(b"\x89HDF"):
        pytest.importorskip("h5py")
    (tmp_path / "x.bin").write_bytes(data)
    refused(checkpoint.load, tmp_path / "x.bin", "must")


# Shards

def index_of(folder, weight_map):
    (folder / "model.safetensors.index.json").write_text(
        weight_map if isinstance(weight_map, str) else json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


@pytest.mark.parametrize("shard", [
    "../outside.safetensors", "/etc/passwd", "a/b.safetensors", "..", ".", "", "a\\b", "C:x", "a\0b", "\u2025/x", 3,
    None, "x" * 1000])
def test_a_shard_outside_the_folder(tmp_path, shard):
    write_safetensors(tmp_path / "outside.safetensors", {"x": np.ones(2)})
    inside = tmp_path / "inside"
    inside.mkdir()
    refused(checkpoint.read_tensors, index_of(inside, {"x": shard}) / "model.safetensors.index.json",
            "must be a file in the same folder, but is|must be JSON with a weight_map")


@pytest.mark.parametrize("weight_map, message", [
    ({"a": "a.st", "b": "a.st"}, "a.st must hold exactly the tensors that .* lists for it, but they differ in b"),
    ({"a": "b.st", "b": "b.st"}, "b.st must hold exactly the tensors that .* lists for it, but they differ in a"),
    ({"b": "b.st", "c": "b.st"}, "but they differ in c"),
    ({"a": "ab.st"}, "ab.st must hold exactly the tensors that .* lists for it, but they differ in b"),
    ({"a": "none.st"}, "none.st must be a file of tensors, but there is no such file"),
    ({}, "must name shards, but names none"),
    ({"a": ["a.st"]}, "must be JSON with a weight_map"),
    ("[]", "must be JSON with a weight_map"), ("{", "must be JSON with a weight_map"),
    ('{"weight_map": [1]}', "must be JSON with a weight_map"), ("[" * 100_000, "must be JSON with a weight_map"),
])
def test_a_shard_that_lacks_its_tensor(tmp_path, weight_map, message):
    write_safetensors(tmp_path / "a.st", {"a": np.ones(2)})
    write_safetensors(tmp_path / "b.st", {"b": np.ones(2)})
    write_safetensors(tmp_path / "ab.st", {"a": np.ones(2), "b": np.ones(2)})
    refused(checkpoint.read_tensors, index_of(tmp_path, weight_map) / "model.safetensors.index.json", message)


def test_a_shard_that_is_an_index(tmp_path):
    index_of(tmp_path, {"a": "model.safetensors.index.json"})
    refused(checkpoint.load, tmp_path, "must")


# PyTorch's pickles

def code(value):
    """A pickle of numbers, texts and tuples, without beginning and end."""
    return pickle.dumps(value, 2)[2:-1]


ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


def tensor(key="0", count=6, offset=0, shape=(2, 3), strides=(3, 1), kind=b"ctorch\nFloatStorage\n"):
    storage = b"(" + code("storage") + kind + code(key) + code("cpu") + code(count) + b"tQ"
    return (b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + code(offset) + code(shape) + code(strides) + b"\x89"
            + ORDERED_DICT + b"tR")


def torch_zip(path, state, storages=None, byteorder=b"little", **how):
    with zipfile.ZipFile(path, "w", **how) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + state + b".")
        archive.writestr("archive/byteorder", byteorder)
        for key, data in ({"0": np.arange(6, dtype="<f4").tobytes()} if storages is None else storages).items():
            archive.writestr(f"archive/data/{key}", data)
    return path


def test_pickles_made_here_are_read(tmp_path):
    state = b"}(" + code("a") + tensor() + code("b") + tensor(shape=(2,), strides=(4,), offset=1) + b"u"
    path = torch_zip(tmp_path / "x.bin", state)
    tensors = read_torch(path)
    np.testing.assert_array_equal(tensors["a"], np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(tensors["b"], [1, 5])


def one(**how):
    return b"}" + code("a") + tensor(**how) + b"s"


@pytest.mark.parametrize("state, message", [
    (b"cos\nsystem\n" + code(("touch hacked",)) + b"R", "'os system' is neither a dict nor a tensor; loading it could"),
    (b"cbuiltins\neval\n" + code(("1",)) + b"R", "'builtins eval' is neither"),
    (b"ctorch._utils\n_rebuild_parameter_with_state\n", "'torch._utils _rebuild_parameter_with_state' is neither"),
    (b"ctorch\nload\n", "'torch load' is neither"),
    (code("os") + code("system") + b"\x93", "'os system' is neither"),
    (b"}" + code("a") + code(1) + b"s", "'a' in .* must be a tensor, but is int"),
    (code("text"), "must hold a dict of tensors, but holds str"),
    (b"}" + code(1) + tensor() + b"s", "a str is needed, but a int is there"),
    (one() + code("a") + tensor() + b"s", "'a' is there twice"),
    (b"(iposix\nsystem\n", "it has the instruction INST, which no such dict needs"),
    (b"\x82\x01", "it has the instruction EXT1, which no such dict needs"),
    (b"}" + code("a") + b"ctorch\nFloatStorage\n)R" + b"s", "torch FloatStorage is not a function"),
    (b"R", "must be a dict of tensors"), (b"}u", "must be a dict of tensors"), (b"", "must be a dict of tensors"),
    (b"h\x07", "must be a dict of tensors"), (b"Q", "must be a dict of tensors"), (b"t", "must be a dict of tensors"),
    (b"}" + code("a") + b"}" + code("b") + b"sb", "needed, but"),
    (b"(" * 200_001, "more than 200000 instructions"),
    (one(count=1 << 40), "storage '0' .* must have 1099511627776 numbers, but has 24 bytes"),
    (one(count=5), "storage '0' .* must have 5 numbers, but has 24 bytes"),
    (one(count=-1), "by kind, key and number"), (one(count=1 << 70), "by kind, key and number"),
    (one(key="7"), "the numbers of a in .* must be in the file, but storage '7' is not"),
    (one(key=7), "by kind, key and number"),
    (one(kind=b"ctorch._utils\n_rebuild_tensor\n"), "by kind, key and number"),
    (one(kind=b"ctorch\nComplexFloatStorage\n"), "'torch ComplexFloatStorage' is neither"),
    (one(offset=1), "a in .* must lie within its storage of 6 numbers, but does not"),
    (one(offset=-1), "an offset, a shape and as many strides"),
    (one(strides=(3, -1)), "an offset, a shape and as many strides"),
    (one(strides=(3,)), "an offset, a shape and as many strides"),
    (one(shape=(1 << 20, 1 << 20), strides=(0, 0)), "a in .* must lie within its storage of 6 numbers, but does not"),
    (one(shape=(6, 6), strides=(0, 1)), "a in .* must lie within its storage"),
    (one(shape=(1 << 62, 1 << 62), strides=(1, 1)), "a in .* must lie within its storage"),
    (one(shape=(1,) * 40, strides=(1,) * 40), "at most 32 whole numbers"),
    (one(shape=("2", 3)), "an offset, a shape and as many strides"),
])
def test_pickles(tmp_path, state, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(read_torch, torch_zip(tmp_path / "x.bin", state), message)
    assert [path.name for path in tmp_path.iterdir()] == ["x.bin"]


def test_tensors_that_share_a_storage(tmp_path):
    whole = tensor(count=100_000, shape=(100_000,), strides=(1,))
    state = b"}(" + b"".join(code(str(i)) + whole for i in range(5)) + b"u"
    refused(read_torch, torch_zip(tmp_path / "x.bin", state, {"0": bytes(400_000)}), "must not be many times as large")


def test_a_pickle_that_would_be_immense_if_it_were_shown(tmp_path):
    pairs = [b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(60)]
    state = b"}(]q\x00" + b"".join(pairs) + b"t" + code("v") + b"s"
    refused(read_torch, torch_zip(tmp_path / "x.bin", state), "a str is needed, but a tuple is there")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_bombs(tmp_path, method):
    path = torch_zip(tmp_path / "x.bin", one(count=2_500_000), {"0": bytes(10_000_000)}, compression=method)
    assert path.stat().st_size < 20_000
    refused(read_torch, path, "must be stored as it is, as torch.save does, but is compressed")


def test_zip_files(tmp_path):
    path = tmp_path / "x.bin"
    data = torch_zip(path, one(), {str(i): bytes(1000) for i in range(9)}).read_bytes()
    places = [data.rindex(f"archive/data/{i}".encode()) - 4 for i in range(9)]      # of each entry, where it begins
    for place in places[1:]:
        data = data[:place] + data[places[0]:places[0] + 4] + data[place + 4:]
    path.write_bytes(data.replace(struct.pack("<II", 1000, 1000), struct.pack("<II", 5000, 5000)))
    refused(read_torch, path, "must not overlap, but they take more bytes than there are")
    refused(read_torch, torch_zip(path, one(), byteorder=b"big"), "must be little-endian, but says that it is b'big'")
    torch_zip(path, one())
    data = bytearray(path.read_bytes())
    data[data.index(np.arange(6, dtype="<f4").tobytes()) + 5] ^= 1
    path.write_bytes(data)
    refused(read_torch, path, "the checksum of 'archive/data/0' in .* must be that of its bytes")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/readme", "hello")
    refused(read_torch, path, "must hold data.pkl")
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning):
        archive.writestr("x/data.pkl", b"\x80\x02}.")
        archive.writestr("x/data.pkl", b"\x80\x02}.")
    refused(read_torch, path, "must hold 'data.pkl' once, but holds it twice")


def legacy(path, keys=("0",), numbers=((6, np.arange(6, dtype="<f4").tobytes()),), little=True, state=None, magic=None):
    out = io.BytesIO()
    for value in (0x1950A86A20F9469CFC6C if magic is None else magic, 1001, {"little_endian": little}):
        pickle.dump(value, out, 2)
    out.write(b"\x80\x02" + (one() if state is None else state) + b".")
    pickle.dump(list(keys), out, 2)
    for count, data in numbers:
        out.write(struct.pack("<q", count) + data)
    path.write_bytes(out.getvalue())
    return path


def test_legacy_files(tmp_path):
    path = tmp_path / "x.bin"
    np.testing.assert_array_equal(read_torch(legacy(path))["a"], np.arange(6).reshape(2, 3))
    for key in ("0", "00", "000", "0000"):                    # wherever the numbers begin
        assert read_torch(legacy(path, keys=(key,), state=one(key=key)))["a"].flags.aligned
    whole = legacy(path).read_bytes()
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        refused(read_torch, path, "must")
    path.write_bytes(whole + b"x")
    refused(read_torch, path, "must end with its last storage")
    refused(read_torch, legacy(path, magic=1), "must begin as torch.save's files do")
    refused(read_torch, legacy(path, little=False), "must be little-endian")
    refused(read_torch, legacy(path, keys=("1",)), "must list the storages that its pickle names")
    refused(read_torch, legacy(path, keys=()), "must end with its last storage")
    refused(read_torch, legacy(path, keys=(), numbers=()), "the numbers of a in .* must be in the file, but")
    refused(read_torch, legacy(path, keys=("0", "0")), "storage '0' of .* must have 6 numbers, once")
    refused(read_torch, legacy(path, numbers=[(1 << 40, bytes(24))]), "must have 6 numbers, once, but has 10995")
    refused(read_torch, legacy(path, numbers=[(6, bytes(20))]), "storage '0' .* must lie within the .* bytes there are")


# TensorFlow

def bundle(folder, tensors=None):
    write_bundle(folder / "x", {"a": np.arange(6.0), "b": np.ones(2)} if tensors is None else tensors)
    return folder / "x.index"


def changed_entry(folder, **fields):
    """A bundle of one variable, in whose entry fields have other values."""
    bundle(folder, {"a": np.arange(6.0)})
    header = fields.pop("header", message_of(HEADER, num_shards=1))
    checksum = np.uint32(masked_crc32c((folder / "x.data-00000-of-00001").read_bytes()))
    right = dict(dtype=2, shape=shape(6), shard=0, offset=0, size=48, crc32c=checksum)
    return with_entries(folder, {b"": header, b"a": message_of(ENTRY, **right | fields)})


def shape(*sizes):
    return message_of(SHAPE, dim=[message_of(DIM, size=size) for size in sizes])


def with_entries(folder, entries, compression=0):
    block = tf_table.block_of(entries)
    if compression:
        block = block[:-5] + bytes([compression])
        block += struct.pack("<I", masked_crc32c(block))
    (folder / "x.index").write_bytes(tf_table.table_file(block))
    return folder / "x.index"


@pytest.mark.parametrize("fields, message", [
    (dict(dtype=7), "the dtype of a in .* must be a number, but is TensorFlow's 7"),
    (dict(size=40), r"a in .* must take 48 bytes for its shape \[6\], but takes 40"),
    (dict(offset=8), "a in .* must lie within the 48 bytes there are, but takes bytes 8 to 56"),
    (dict(shape=shape(1 << 60), size=1 << 63), "than there are"),
    (dict(shape=shape((1 << 64) - 1)), "must take"),
    (dict(shard=1), "a in .* must be in one of 1 data files, but is in number 1"),
    (dict(header=message_of(HEADER, num_shards=2)), "-00000-of-00002 must be a file of tensors, but there is no"),
    (dict(header=message_of(HEADER, num_shards=1, big_endian=1)), "must be little-endian"),
    (dict(header=b"\x0b"), "a field in .* must be of a known kind, but is of kind 3"),
    (dict(slices=b""), "a in .* must be in one piece, but it is partitioned"),
    (dict(dtype=b"x"), "the field dtype of a message in .* must be int, but is bytes"),
])
def test_bundles(tmp_path, fields, message):
    assert (read_tensorflow(changed_entry(tmp_path))["a"] == np.arange(6)).all()
    refused(read_tensorflow, changed_entry(tmp_path, **fields), message)


def test_damaged_bundles(tmp_path):
    path = bundle(tmp_path)
    for file in (path, tmp_path / "x.data-00000-of-00001"):
        whole = file.read_bytes()
        ends_at = len(whole) - (48 if file == path else 0)           # the footer has no checksum
        for at in range(ends_at):
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1:])
            refused(read_tensorflow, path, "the checksum of .* must be that of its bytes, but is not")
        for length in range(len(whole)):
            file.write_bytes(whole[:length])
            refused(read_tensorflow, path, "must")
        file.write_bytes(whole)
    (tmp_path / "x.data-00000-of-00001").unlink()
    refused(read_tensorflow, path, "there is no such file")


def test_bundles_of_another_kind(tmp_path):
    refused(read_tensorflow, bundle(tmp_path, {"a/.ATTRIBUTES/VARIABLE_VALUE": np.ones(2)}),
            "must name its variables, as tf.compat.v1.train.Saver does, but it is a checkpoint of objects")
    refused(read_tensorflow, with_entries(tmp_path, {b"a": b""}), "has no header")
    refused(read_tensorflow, with_entries(tmp_path, {b"": b"", b"\xff": b""}), "must be")
    refused(read_tensorflow, with_entries(tmp_path, {b"": b"", b"b": b"", b"a": b""}), "the keys .* must be in order")
    refused(read_tensorflow, with_entries(tmp_path, {b"": b""}, compression=1), "must not be compressed, but they are")


def test_blocks_that_overlap(tmp_path):
    block = tf_table.block_of({b"": message_of(HEADER, num_shards=1)})
    place = tf_table.handle(0, block)
    table = tf_table.table_file(block)
    index = tf_table.block_of({b"a": place, b"b": place})
    other = tf_table.block_of({})
    footer = tf_table.handle(len(block), other) + tf_table.handle(len(block + other), index)
    (tmp_path / "x.index").write_bytes(block + other + index + footer.ljust(40, b"\0") + table[-8:])
    refused(read_tensorflow, tmp_path / "x.index", "the blocks of .* must not overlap, but one begins at 0 and")


def test_variables_that_overlap(tmp_path):
    changed_entry(tmp_path)
    entries = tf_table.read_table((tmp_path / "x.index").read_bytes(), tmp_path)
    refused(read_tensorflow, with_entries(tmp_path, entries | {b"b": entries[b"a"]}), "must not overlap")


def test_keys_that_grow_out_of_all_proportion(tmp_path):
    long = b"k" * 100_000
    entries = b"\0\0\0" + varint(0) + varint(len(long)) + b"\0" + long
    entries += b"".join(varint(len(long)) + varint(2) + b"\0" + struct.pack(">H", i) for i in range(5000))
    refused(read_tensorflow, with_block(tmp_path, entries + struct.pack("<II", 0, 1)), "not be much longer than the file")


@pytest.mark.parametrize("block", [b"", b"abc", struct.pack("<I", 1), struct.pack("<II", 0, 2), b"\xff" * 8])
def test_blocks_without_room_for_their_restart_points(tmp_path, block):
    """The last four bytes say how many restart points of four bytes each stand before them."""
    refused(read_tensorflow, with_block(tmp_path, block), f"room for its own index, but has {len(block)} bytes")


def with_block(folder, block):
    """The index of a bundle whose data block has these bytes, with their right checksum."""
    block += b"\0"
    (folder / "x.index").write_bytes(tf_table.table_file(block + struct.pack("<I", masked_crc32c(block))))
    return folder / "x.index"


def test_original_variables_that_no_model_has(tmp_path):
    cfg = small_config()
    checkpoint.save_original(tmp_path / "x", cfg, random_params(cfg))
    tensors = read_tensorflow(tmp_path / "x.index")
    for more in ("electra/pooler/dense/kernel", "electra/encoder/layer_2/output/dense/bias"):
        write_bundle(tmp_path / "x", tensors | {more: np.ones(24)})
        refused(checkpoint.load, tmp_path, f"{more} unknown")
    write_bundle(tmp_path / "x", tensors | {"electra/encoder/layer_0/attention/self/query/kernel": np.ones(24)})
    refused(checkpoint.load, tmp_path, r"query/kernel in .* must have the axes \(I, O\), but its shape is \(24,\)")
    (tmp_path / "config.json").unlink()
    write_bundle(tmp_path / "x", {"a": np.ones(2)})
    refused(checkpoint.load, tmp_path, "must hold the original's ConvBERT, but its variables do not fit")


# HDF5

def test_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "x.h5"
    write_safetensors(tmp_path / "outside", {"x": np.ones(100, np.float32)})
    layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
    layout[:] = h5py.VirtualSource(tmp_path / "outside", "x", shape=(4,))
    for make, message in [
            (lambda file: file.create_dataset("a", data=np.arange(3)), "a in .* must hold little-endian floats"),
            (lambda file: file.create_dataset("a", data=["text"]), "a in .* must hold little-endian floats"),
            (lambda file: file.create_dataset("a", data=np.ones(3, ">f4")), "a in .* must hold little-endian floats"),
            (lambda file: file.create_dataset("a", (1000, 1000, 1000), "f4"), "a in .* must lie in the file in one"),
            (lambda file: file.create_dataset("a", data=np.zeros(10**6, "f4"), compression="gzip"), "uncompressed"),
            (lambda file: file.create_dataset("a", data=np.ones(10, "f4"), chunks=(5,)), "one piece and uncompressed"),
            (lambda file: file.create_dataset("a", (4,), "f4", external=[(str(tmp_path / "outside"), 0, 16)]), "piece"),
            (lambda file: file.create_virtual_dataset("a", layout), "in one piece"),
            (lambda file: [file.create_dataset(f"{name}/tf_conv_bert/a", data=np.full(3, i, "f4"))
                           for i, name in enumerate("xy")], "a must be in .* once, but is there twice and differs")]:
        with h5py.File(path, "w") as file:
            make(file)
        refused(checkpoint.read_tensors, path, message)
    with h5py.File(path, "w") as file:
        file["a"] = h5py.ExternalLink(str(tmp_path / "outside"), "x")
        file["b"] = h5py.SoftLink("/nowhere")
        file["c"] = h5py.SoftLink("/")
    assert checkpoint.read_tensors(path) == ({}, "keras")
    whole = (DATA / "small" / "tf_model.h5").read_bytes()
    path.write_bytes(whole[:len(whole) // 2])
    refused(checkpoint.read_tensors, path, "must be an HDF5 file, but is damaged")


def test_a_pointer_of_git_lfs_says_what_to_do(tmp_path):
    for name in ("model.safetensors", "pytorch_model.bin"):
        (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 425\n")
        with pytest.raises(checkpoint.CheckpointError, match=f"{name} must be the file itself, but is a Git LFS pointer"):
            checkpoint.load(tmp_path / name, config=small_config())


def test_wrapped_checkpoints_say_what_to_do(tmp_path):
    params = random_params(small_config(), dtype=np.float32)
    write_safetensors(tmp_path / "model.safetensors", {f"module.{name}": x for name, x in params.items()})
    with pytest.raises(checkpoint.CheckpointError, match=r"DataParallel wrapped.*save model.module.state_dict\(\)"):
        checkpoint.load(tmp_path / "model.safetensors", config=small_config())


def test_metadata_that_says_nothing_or_numpy(tmp_path):
    params = random_params(small_config(), dtype=np.float32)
    path = tmp_path / "model.safetensors"
    for metadata in (None, dict(format="np")):
        write_safetensors(path, params, dict(format="np"))
        data = path.read_bytes()
        old = json.dumps(dict(format="np"), separators=(",", ":")).encode()
        new = json.dumps(metadata, separators=(",", ":")).encode().ljust(len(old))
        path.write_bytes(data.replace(old, new, 1))
        _, found = checkpoint.load(path, config=small_config())
        assert all((found[name] == x).all() for name, x in params.items())
