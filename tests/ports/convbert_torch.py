"""ConvBERT in PyTorch, written from the golden pack alone: an example of a port whose gradients come from autograd.

    python tests/ports/convbert_torch.py

`keep` gives an intermediate the name that it has in the pack. Afterwards its value is `acts.NAME`, its gradient
`dacts.NAME`. Where the pack wants the part of a gradient that comes from one use of x, a copy of x is kept.
"""

import sys

import torch
from torch.nn import functional as F

ACTIVATIONS = {"gelu": F.gelu, "relu": F.relu}


def sub(tensors, prefix):
    return {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}


def linear(x, p, name):
    weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
    if weight.ndim == 2:
        return F.linear(x, weight, bias)
    return torch.einsum("...gi,gio->...go", x.unflatten(-1, weight.shape[:2]), weight).flatten(-2) + bias


def norm(x, p, eps):
    return F.layer_norm(x, x.shape[-1:], p["LayerNorm.weight"], p["LayerNorm.bias"], eps)


def depthwise(x, weight):
    return F.conv1d(x.mT, weight, padding=weight.shape[-1] // 2, groups=len(weight)).mT


def dynamic_conv(value, kernel):
    reach = kernel.shape[-1] // 2
    windows = F.pad(value, (0, 0, 0, 0, reach, reach)).unfold(1, kernel.shape[-1], 1)          # (B, L, H, Dh, K)
    return torch.einsum("blhk,blhdk->blhd", kernel, windows)


def attend(query, key, value, bias, keep=lambda name, x: x, drop=1.0):
    scores = torch.einsum("bqhd,bkhd->bhqk", query, key) / query.shape[-1] ** 0.5
    weights = keep("weights", (keep("scores", scores) + bias).softmax(-1))
    return keep("out", torch.einsum("bhqk,bkhd->bqhd", weights * drop, value))


def span_dynamic_conv(x, query, p, heads, keep):
    x, query = keep("x", x.clone()), keep("query", query.clone())
    span_mixed = keep("span_mixed", depthwise(keep("span_x", x.clone()), p["key_conv_attn_layer.depthwise.weight"]))
    span_key = keep("span_key", F.linear(span_mixed, p["key_conv_attn_layer.pointwise.weight"][..., 0],
                                         p["key_conv_attn_layer.bias"][:, 0]))
    match = keep("match", query * span_key)
    scores = keep("scores", linear(match, p, "conv_kernel_layer").unflatten(-1, (heads, -1)))
    kernel = keep("kernel", scores.softmax(-1))
    value = keep("value", linear(keep("value_x", x.clone()), p, "conv_out_layer").unflatten(-1, (heads, -1)))
    return keep("out", dynamic_conv(value, kernel))


def mixed_attention(x, bias, p, heads, keep, drop=1.0):
    x = keep("x", x.clone())
    query, key, value = (keep(name, linear(x, p, name)) for name in ("query", "key", "value"))
    split = [keep(f"attn.{name}", y.unflatten(-1, (heads, -1)).clone())
             for name, y in (("query", query), ("key", key), ("value", value))]
    everywhere = attend(*split, bias, lambda name, y: keep(f"attn.{name}", y), drop)
    nearby = span_dynamic_conv(x, query, p, heads, lambda name, y: keep(f"conv.{name}", y))
    return keep("out", torch.cat([everywhere, nearby], 2).flatten(2))


def add_norm(x, residual, p, eps, keep, drop=1.0):
    dense = keep("dense", linear(keep("x", x.clone()), p, "dense"))
    return keep("out", norm(keep("total", dense * drop + residual), p, eps))


def layer(x, bias, p, cfg, keep, drops=(1.0, 1.0, 1.0)):
    under = lambda prefix: lambda name, y: keep(f"{prefix}.{name}", y)
    x, eps = keep("x", x), cfg["layer_norm_eps"]
    mixed = mixed_attention(x, bias, sub(p, "attention.self."), heads_of(cfg), under("attention.self"), drops[0])
    attended = add_norm(mixed, x, sub(p, "attention.output."), eps, under("attention.output"), drops[1])
    dense = keep("intermediate.dense", linear(keep("intermediate.x", attended.clone()), p, "intermediate.dense"))
    wide = keep("intermediate.out", ACTIVATIONS[cfg["hidden_act"]](dense))
    return keep("out", add_norm(wide, attended, sub(p, "output."), eps, under("output"), drops[2]))


def heads_of(cfg):
    return max(1, cfg["num_attention_heads"] // cfg["head_ratio"])


def mask_bias(mask, dtype):
    return (mask[:, None, None] == 0).to(dtype) * torch.finfo(dtype).min


def convbert(given, p, cfg, keep):
    ids, embedded = given.get("input_ids"), sub(p, "embeddings.")
    word = given["inputs_embeds"] if ids is None else F.embedding(ids, embedded["word_embeddings.weight"],
                                                                  padding_idx=cfg["pad_token_id"])
    positions = given.get("position_ids", torch.arange(word.shape[1]))
    types = given.get("token_type_ids", torch.zeros(word.shape[:2], dtype=torch.int64))
    total = keep("embeddings.word", word) + embedded["position_embeddings.weight"][positions]
    total = keep("embeddings.total", total + embedded["token_type_embeddings.weight"][types])
    x = keep("embeddings.out", norm(total, embedded, cfg["layer_norm_eps"]))
    if "embeddings_project.weight" in p:
        x = keep("embeddings_project.out", linear(x, p, "embeddings_project"))
    bias = mask_bias(given.get("attention_mask", torch.ones(x.shape[:2])), x.dtype)
    for i in range(cfg["num_hidden_layers"]):
        prefix = f"encoder.layer.{i}."
        x = layer(x, bias, sub(p, prefix), cfg, lambda name, y, prefix=prefix: keep(prefix + name, y))
    return x


def forward(golden, given, p, keep):
    """-> what the gradient flows from, and the gradient that it has"""
    level, name = golden.id.split(".", 1)
    cfg, dout = golden.config, given.get("dout")
    if level == "model":
        return convbert(given, p, cfg, keep), dout
    if level != "block":
        raise NotImplementedError
    x, heads = given["x"], heads_of(cfg)
    if name == "span_dynamic_conv":
        return span_dynamic_conv(x, given["query"], p, heads, keep), dout
    bias = mask_bias(given["attention_mask"], x.dtype)
    if name == "mixed_attention":
        return mixed_attention(x, bias, p, heads, keep), dout
    drops = [given.get(f"drop.{n}", 1.0) for n in ("attention", "attention_output", "output")]
    return layer(x, bias, p, cfg, keep, drops), dout


def port(golden, dtype=torch.float32, forward=forward):
    """{name: array} for a case of the pack: everything that it asks for."""
    given = {n: torch.tensor(a) for n, a in golden.given.items()}
    given = {n: x.to(dtype).requires_grad_() if x.is_floating_point() else x for n, x in given.items()}
    acts = {}

    def keep(name, x):
        acts[name] = x
        if x.requires_grad:
            x.retain_grad()
        return x

    y, dout = forward(golden, sub(given, "in."), sub(given, "params."), keep)
    y.backward(dout)
    found = {"loss": y} if y.ndim == 0 else {}
    for name, x in acts.items():
        found |= {f"acts.{name}": x, f"dacts.{name}": x.grad}
    for kind, group in (("in", "din"), ("params", "grads")):
        found |= {f"{group}.{name}": x.grad for name, x in sub(given, f"{kind}.").items() if x.is_floating_point()}
    total = next((x for name, x in acts.items() if name.endswith("embeddings.total")), None)
    if total is not None:
        found["din.inputs_embeds"] = total.grad
    wanted = golden.truth.keys() | golden.manifest["same_as"].keys()
    return {name: x.detach().numpy() for name, x in found.items() if name in wanted and x is not None}


if __name__ == "__main__":
    from minconvbert.golden import check

    report = check(port)
    print(report)
    sys.exit(not report.ok)
