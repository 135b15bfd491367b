"""Make tests/data/checkpoints/torch: the same tiny model in every way that PyTorch and transformers write it.

    pip install torch==2.13.0 transformers==5.23.0
    python tests/scripts/make_torch_checkpoints.py

`reference` is what `save_pretrained` writes; the rest must read the same, but for rounding to 16 bits. Files in `small`
have a few numbers only, to be damaged thousands of times.
"""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import ConvBertConfig, ConvBertForMaskedLM

HERE = Path(__file__).parent.parent / "data" / "checkpoints" / "torch"


def model():
    config = ConvBertConfig(
        vocab_size=30, embedding_size=8, hidden_size=16, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=24, num_groups=2, conv_kernel_size=3, max_position_embeddings=12, pad_token_id=0)
    made = ConvBertForMaskedLM(config).eval()
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return made


def strided(tensor):
    """The same numbers as a view: of a transposed copy, at an offset, or of every second."""
    if tensor.dim() == 2:
        return tensor.T.contiguous().T
    wide = torch.full((5 + 2 * tensor.numel(),), 99.0)
    view = wide[5::2].reshape(tensor.shape) if tensor.dim() == 1 else wide[5:5 + tensor.numel()].view(tensor.shape)
    return view.copy_(tensor)


def old_names(state):
    names = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    renamed = {}
    for name, tensor in state.items():
        for new, old in names.items():
            name = name.replace(new, old)
        renamed[name] = tensor
    renamed["convbert.embeddings.position_ids"] = torch.arange(12)[None]
    return renamed


def main():
    shutil.rmtree(HERE, ignore_errors=True)
    made = model()
    made.save_pretrained(HERE / "reference")
    made.save_pretrained(HERE / "sharded", max_shard_size="4KB")
    made.convbert.save_pretrained(HERE / "bare")
    for name, dtype in [("float16", torch.float16), ("bfloat16", torch.bfloat16), ("float64", torch.float64)]:
        state = {k: v.detach().to(dtype).contiguous().clone() for k, v in made.state_dict().items()
                 if k != "generator_lm_head.weight"}
        save_file(state, HERE / f"{name}.safetensors", {"format": "pt"})
        if name != "float64":
            torch.save(state, HERE / f"{name}.bin")
    state = made.state_dict()                                  # with the tied table twice, as one storage
    torch.save(state, HERE / "zip.bin")
    torch.save(state, HERE / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.save(state, HERE / "protocol4.bin", pickle_protocol=4)
    torch.save(dict(made.named_parameters()), HERE / "parameters.bin")
    torch.save({k: strided(v) for k, v in state.items() if k != "generator_lm_head.weight"}, HERE / "strided.bin")
    torch.save(old_names(state), HERE / "old_names.bin")
    names, sharded = list(state), HERE / "sharded_bin"
    sharded.mkdir()
    parts = {f"pytorch_model-{i + 1:05}-of-00003.bin": names[i::3] for i in range(3)}
    for file, part in parts.items():
        torch.save({k: state[k].clone() for k in part}, sharded / file)
    (sharded / "pytorch_model.bin.index.json").write_text(json.dumps(
        {"metadata": {}, "weight_map": {k: file for file, part in parts.items() for k in part}}, indent=1))
    shutil.copy(HERE / "reference" / "config.json", sharded)
    shutil.copy(HERE / "reference" / "config.json", HERE)
    small = HERE.parent / "small"
    small.mkdir(exist_ok=True)
    few = {"a": torch.arange(6.0).reshape(2, 3), "b.c": torch.ones(2).half()}
    save_file(few, small / "small.safetensors", {"format": "pt"})
    torch.save(few, small / "zip.bin")
    torch.save(few, small / "legacy.bin", _use_new_zipfile_serialization=False)
    (small / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": {
        "a": "legacy.bin", "b.c": "legacy.bin"}}))
    for path in small.iterdir():
        path.chmod(0o644)
    for config in HERE.glob("**/generation_config.json"):
        config.unlink()


if __name__ == "__main__":
    main()
