"""What is written here, read by the real frameworks, and what safetensors itself makes of our files."""

import json
import os
import random
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
import transformers
from fuzz import DATA, damage
from helpers import random_params, small_config
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from minconvbert import checkpoint
from minconvbert.checkpoint import CheckpointError
from minconvbert.checkpoint.safetensors import read_safetensors, write_safetensors
from minconvbert.config import TASKS

CONFIGS = {
    "plain": {}, "narrow embeddings": dict(embedding_size=10), "groups": dict(num_groups=3, embedding_size=10),
    "ratio 4": dict(num_attention_heads=4, head_ratio=4), "untied": dict(tie_word_embeddings=False)}


@pytest.mark.parametrize("most", [10**9, 8000], ids=["whole", "sharded"])
@pytest.mark.parametrize("task", [None, *(task for task in TASKS if task != "discriminator")])
@pytest.mark.parametrize("changes", CONFIGS.values(), ids=CONFIGS)
def test_transformers_reads_what_we_write(tmp_path, changes, task, most):
    cfg = small_config(**changes, summary_use_proj=task == "multiple_choice", id2label=(
        {0: "no", 1: "yes", 2: "perhaps"} if task == "token_classification" else None),
        num_labels=3 if task == "token_classification" else 2)
    params = random_params(cfg, task, dtype=np.float32)
    checkpoint.save(tmp_path, cfg, params, task, max_shard_bytes=most)
    model, report = getattr(transformers, checkpoint.ARCHITECTURES[task]).from_pretrained(
        tmp_path, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    state = model.state_dict()
    if task == "masked_lm" and cfg.tie_word_embeddings:
        tied = state.pop("generator_lm_head.weight")
        assert tied.data_ptr() == state["convbert.embeddings.word_embeddings.weight"].data_ptr()
    assert state.keys() == params.keys()
    for name, array in params.items():
        np.testing.assert_array_equal(state[name].numpy(), array, err_msg=name, strict=True)
    assert model.config.num_labels == cfg.num_labels and model.config.head_ratio == cfg.head_ratio


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_transformers_reads_other_widths(tmp_path, dtype):
    cfg = small_config()
    params = random_params(cfg, dtype=np.float32)
    checkpoint.save(tmp_path, cfg, params, dtype=dtype)
    for name, tensor in transformers.ConvBertModel.from_pretrained(tmp_path).state_dict().items():
        assert tensor.dtype == getattr(torch, dtype)
        np.testing.assert_array_equal(tensor.numpy(), params[name].astype(dtype), err_msg=name)


def test_we_read_what_transformers_writes_over_ours(tmp_path):
    cfg = small_config(num_groups=2)
    params = random_params(cfg, "masked_lm", dtype=np.float32)
    checkpoint.save(tmp_path / "a", cfg, params, "masked_lm")
    transformers.ConvBertForMaskedLM.from_pretrained(tmp_path / "a").save_pretrained(tmp_path / "b")
    cfg_again, again = checkpoint.load(tmp_path / "b", "masked_lm")
    assert cfg_again.replace(unknown={}) == cfg
    for name in params:
        np.testing.assert_array_equal(again[name], params[name])


def test_the_body_for_the_task_of_a_head(tmp_path):
    cfg = small_config()
    params = random_params(cfg, "masked_lm", dtype=np.float32)
    checkpoint.save(tmp_path, cfg, params, "masked_lm")
    theirs = transformers.ConvBertModel.from_pretrained(tmp_path).state_dict()
    _, ours = checkpoint.load(tmp_path)
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name].numpy())


def test_safetensors_of_both_sides(tmp_path):
    rng = np.random.default_rng(0)
    tensors = {f"{shape}.{dtype}": rng.integers(0, 2, shape).astype(dtype) for shape in [(), (3,), (2, 0), (4, 1, 5)]
               for dtype in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?")}
    write_safetensors(tmp_path / "ours", tensors, {"é": "ü"})
    save_file(tensors, tmp_path / "theirs", {"é": "ü"})
    for read in (read_safetensors, load_file):
        for name in ("ours", "theirs"):
            again = read(tmp_path / name)
            assert again.keys() == tensors.keys()
            for key in tensors:
                np.testing.assert_array_equal(again[key], tensors[key], strict=True)


def test_whatever_safetensors_refuses_is_refused(tmp_path):
    """Damaged files: what we read, safetensors reads too, and the same numbers."""
    rng, both = random.Random(3), 0
    whole = (DATA / "small.safetensors").read_bytes()
    for _ in range(3000):
        path = tmp_path / "x.safetensors"
        path.write_bytes(damage(whole, rng))
        try:
            ours = read_safetensors(path)
        except CheckpointError:
            continue
        try:
            theirs = load_file(path)
        except SafetensorError as error:
            pytest.fail(f"read here, but safetensors says {error}: {path.read_bytes()}")
        assert ours.keys() == theirs.keys()
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name])
        both += 1
    assert both > 50


def test_original_checkpoints_read_by_tensorflow(tmp_path):
    """TensorFlow does not live with this PyTorch: set TENSORFLOW_PYTHON to a Python that has it."""
    python = os.environ.get("TENSORFLOW_PYTHON")
    if not python:
        pytest.skip("TENSORFLOW_PYTHON is not set")
    cfg = small_config(num_groups=2, embedding_size=10)
    params = random_params(cfg, "masked_lm", dtype=np.float32)
    checkpoint.save_original(tmp_path / "model.ckpt", cfg, params, "masked_lm")
    code = ("import json, sys, tensorflow as tf; reader = tf.train.load_checkpoint(sys.argv[1]);"
            "print(json.dumps({name: reader.get_tensor(name).tolist()"
            " for name in reader.get_variable_to_shape_map()}))")
    run = subprocess.run([python, "-c", code, tmp_path / "model.ckpt"], capture_output=True, text=True, check=True)
    theirs = {name: np.array(x, np.float32) for name, x in json.loads(run.stdout.splitlines()[-1]).items()}
    ours, _ = checkpoint.read_tensors(tmp_path / "model.ckpt.index")
    assert theirs.keys() == ours.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], strict=True)


def test_nothing_here_needs_torch():
    code = ("import sys; from minconvbert import checkpoint; from minconvbert.commands.convert import main as convert_main\n"
            "checkpoint.load(sys.argv[1], 'masked_lm'); print('torch' in sys.modules)")
    run = subprocess.run([sys.executable, "-c", code, DATA.parent / "torch" / "zip.bin"], capture_output=True,
                         text=True, check=True)
    assert run.stdout.strip() == "False"
