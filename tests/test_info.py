import json

import pytest
from helpers import small_config

from minconvbert.commands import info


@pytest.mark.parametrize("preset, task, total", [
    ("base", None, 105_680_520), ("medium-small", None, 17_475_888), ("small", None, 13_143_768),
    ("base", "masked_lm", 106_303_170), ("medium-small", "masked_lm", 17_555_946), ("small", "masked_lm", 13_207_442)])
def test_sizes_are_those_of_the_published_models(preset, task, total, capsys):
    assert info.main([preset, "--json", *(["--task", task] if task else [])]) == 0
    assert json.loads(capsys.readouterr().out)["total"] == total


def test_a_folder(tmp_path, capsys):
    small_config(embedding_size=8).to_json(tmp_path)
    assert info.main([str(tmp_path), "--length", "16"]) == 0
    out = capsys.readouterr().out
    assert "encoder.layer.1.attention.self.conv_kernel_layer.weight" in out and "10 x 12" in out
    assert "heads of each kind 2, each 6 wide" in out and "multiply-adds per token, in a sequence of 16" in out
    with pytest.raises(ValueError, match="--length must be from 1 to max_position_embeddings = 16, but is 17"):
        info.main([str(tmp_path), "--length", "17"])


def test_cost_counts_every_weight_of_the_encoder_once():
    cfg = small_config(embedding_size=8, num_groups=2)
    weights = sum(
        shape[0] * (shape[1] * shape[2] if len(shape) == 3 else shape[1])
        for name, shape in info.param_shapes(cfg).items() if name.endswith("weight") and "LayerNorm" not in name
        and not name.startswith("embeddings."))
    products = 2 * (2 * 12 * 7 + 12 + 12 * 5)           # attention of 7 tokens, query * span key, dynamic convolution
    assert sum(info.multiplications(cfg, 7).values()) == weights + products
