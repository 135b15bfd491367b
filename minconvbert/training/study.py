"""The paper's claim in miniature: `python -m minconvbert study` trains small models that differ in one block alone.

    attention    all heads attend
    bottleneck   half as many heads attend, nothing else
    plain        bottleneck + a depthwise convolution: one learned kernel for each channel
    dynamic      bottleneck + a dynamic convolution: a kernel for each token, predicted from the query alone
    span         bottleneck + span-based dynamic convolution: ConvBERT

All have the same number of parameters (the feed-forward layer takes up the difference), the same data in the same
order, and are judged by held-out figures of replaced-token detection, over several seeds.
"""

import contextlib
import json
import math
from dataclasses import replace

import numpy as np

from .. import model
from ..attention import mixed_attention, mixed_attention_backward, self_attention, self_attention_backward
from ..config import param_shapes
from ..conv import depthwise_conv, depthwise_conv_backward, dynamic_conv, dynamic_conv_backward
from ..electra import generator_config
from ..files import read_json, write_atomic
from ..ops import dropout_mask, linear, linear_backward, softmax, softmax_backward
from ..optim import adam_state
from ..shapes import dims, sub, under
from . import corpus
from .pretrain import evaluate, fresh_state, train_step
from .progress import Progress, say
from .runs import run_folder

RESULTS = "results.json"
VARIANTS = ("attention", "bottleneck", "plain", "dynamic", "span")


def block(x, masks, p, cfg, rng=None, maps=True):
    """Every variant but `span`, in the place of `mixed_attention`; which one it is, its parameters tell.

    x (B, L, D)  ->  (B, L, heads * Dh of one or of both halves), acts.   maps: kept even where they are not wanted
    """
    B, L, D = dims("x[B L D]", x)
    query, key, value = (linear(x, p[f"{name}.weight"], p[f"{name}.bias"]) for name in ("query", "key", "value"))
    Dh = cfg.head_size
    H = query.shape[2] // Dh
    drop = dropout_mask((B, H, L, L), cfg.attention_probs_dropout_prob, rng, x.dtype)
    out, attn = self_attention(*(y.reshape(B, L, H, Dh) for y in (query, key, value)), masks[0], drop)
    acts = dict(x=x) | under("attn", attn)
    if "conv_out_layer.weight" in p:
        near = linear(x, p["conv_out_layer.weight"], p["conv_out_layer.bias"])
        if "depthwise.weight" in p:
            nearby = depthwise_conv(near, p["depthwise.weight"]).reshape(B, L, H, Dh)
        else:
            scores = linear(query, p["conv_kernel_layer.weight"], p["conv_kernel_layer.bias"])
            kernel = softmax(scores.reshape(B, L, H, cfg.conv_kernel_size))
            nearby = dynamic_conv(near.reshape(B, L, H, Dh), kernel)
            acts["conv.kernel"] = kernel
        acts["conv.value"] = near
        out = np.concatenate([out, nearby], axis=2)
    return out.reshape(B, L, -1), acts


def block_backward(dout, acts, p, cfg):
    """-> dx (B, L, D), grads"""
    x, query = acts["x"], acts["attn.query"]
    B, L, H, Dh = dims("query[B L H Dh]", query)
    g, dx, dquery_conv = {}, np.zeros_like(x), 0
    halves = np.split(dout.reshape(B, L, -1, Dh), [H], axis=2)
    if "conv_out_layer.weight" in p:
        near, dnearby = acts["conv.value"], halves[1]
        if "depthwise.weight" in p:
            dnear, g["depthwise.weight"] = depthwise_conv_backward(
                dnearby.reshape(B, L, H * Dh), near, p["depthwise.weight"])
        else:
            kernel = acts["conv.kernel"]
            dnear, dkernel = dynamic_conv_backward(dnearby, near.reshape(B, L, H, Dh), kernel)
            dscores = softmax_backward(dkernel, kernel).reshape(B, L, -1)
            dquery_conv, g["conv_kernel_layer.weight"], g["conv_kernel_layer.bias"] = linear_backward(
                dscores, query.reshape(B, L, H * Dh), p["conv_kernel_layer.weight"])
        dx, g["conv_out_layer.weight"], g["conv_out_layer.bias"] = linear_backward(
            dnear.reshape(B, L, H * Dh), x, p["conv_out_layer.weight"])
    dquery, dkey, dvalue = (
        d.reshape(B, L, H * Dh) for d in self_attention_backward(halves[0], sub(acts, "attn")))
    for name, dy in (("query", dquery + dquery_conv), ("key", dkey), ("value", dvalue)):
        dx_part, g[f"{name}.weight"], g[f"{name}.bias"] = linear_backward(dy, x, p[f"{name}.weight"])
        dx = dx + dx_part
    return dx, g


def block_shapes(cfg, variant):
    """Name -> shape of the parameters of one layer's block and of the dense layer that reads it."""
    D, H, K = cfg.hidden_size, cfg.heads, cfg.conv_kernel_size
    A = D if variant == "attention" else H * cfg.head_size
    shapes = {}
    for name in ("query", "key", "value", "conv_out_layer"):
        if name != "conv_out_layer" or variant in ("plain", "dynamic"):
            shapes |= {f"self.{name}.weight": (A, D), f"self.{name}.bias": (A,)}
    if variant == "plain":
        shapes["self.depthwise.weight"] = (A, 1, K)
    if variant == "dynamic":
        shapes |= {"self.conv_kernel_layer.weight": (H * K, A), "self.conv_kernel_layer.bias": (H * K,)}
    return shapes | {"output.dense.weight": (D, 2 * A if variant in ("plain", "dynamic") else A)}


def variant_config(cfg, variant):
    """The configuration whose feed-forward layers make up for what the block lacks, to the nearest unit of width."""
    if variant == "span":
        return cfg
    attention = sub(param_shapes(cfg), "encoder.layer.0.attention")
    own = {name: shape for name, shape in attention.items()
           if name.startswith("self.") or name == "output.dense.weight"}
    count = lambda shapes: sum(map(math.prod, shapes.values()))
    units = round((count(own) - count(block_shapes(cfg, variant))) / (2 * cfg.hidden_size + 1))
    return cfg.replace(intermediate_size=cfg.intermediate_size + units)


def variant_state(cfg, generator_cfg, variant, recipe):
    """Step 0 of a run, with the parameters that the variant has."""
    state = fresh_state(cfg, generator_cfg, recipe)
    if variant == "span":
        return state
    rng, params = np.random.default_rng([recipe.seed, 2]), state["params"]
    for part, part_cfg in (("generator", generator_cfg), ("discriminator", cfg)):
        wanted = {f"{part}.encoder.layer.{i}.attention.{name}": shape for i in range(part_cfg.num_hidden_layers)
                  for name, shape in block_shapes(part_cfg, variant).items()}
        for name in [n for n in params if n.startswith(f"{part}.encoder") and ".attention.self." in n]:
            if name not in wanted:
                del params[name]
        for name, shape in wanted.items():
            if name not in params or params[name].shape != shape:
                spread = 1 / shape[2] if name.endswith("depthwise.weight") else cfg.initializer_range
                params[name] = (rng.normal(0, spread, shape) * (not name.endswith("bias"))).astype(np.float32)
    return dict(step=0, params=params, moments=adam_state(params))


@contextlib.contextmanager
def swapped_block(variant):
    """Inside, encoder layers use the block of `variant`."""
    if variant != "span":
        model.mixed_attention, model.mixed_attention_backward = block, block_backward
    try:
        yield
    finally:
        model.mixed_attention, model.mixed_attention_backward = mixed_attention, mixed_attention_backward


def train_variant(variant, cfg, recipe, examples, held_out, special, progress=None):
    """-> held-out figures, parameters of the discriminator's encoder and losses along the way, for one model"""
    cfg = variant_config(cfg, variant)
    generator_cfg = generator_config(cfg, recipe.generator_width, recipe.generator_layers)
    generator_cfg = variant_config(generator_cfg, variant)
    with swapped_block(variant):
        state, curve = variant_state(cfg, generator_cfg, variant, recipe), []
        while state["step"] < recipe.steps:
            figures = train_step(state, examples, special, cfg, generator_cfg, recipe)
            curve.append(figures["loss"])
            if progress is not None:
                progress(state["step"], loss=figures["loss"], tokens=figures["tokens"])
        figures = evaluate(state["params"], held_out, special, cfg, generator_cfg, recipe)
    size = sum(x.size for name, x in state["params"].items() if name.startswith("discriminator.encoder"))
    tail = float(np.mean(curve[-max(1, recipe.steps // 20):]))
    return figures | dict(parameters=size, training_loss=tail)


def settings(kernels, groups):
    """name -> (variant, changes to the configuration): the variants, then kernel sizes and groups of `span`."""
    out = {variant: (variant, {}) for variant in VARIANTS}
    out |= {f"span, K={K}": ("span", dict(conv_kernel_size=K)) for K in kernels}
    return out | {f"span, {G} groups": ("span", dict(num_groups=G)) for G in groups}


def run(files, tokenizer, out, base, recipe, seeds, kernels, groups):
    """Train every setting with every seed, going on from what `out` holds  ->  results, as results.json has them

    base: the configuration that the settings change; recipe: of every run, but for its seed.

    Raises ValueError if `out` holds a study of another size or another study runs there, or no text is held out.
    """
    with run_folder(out, (RESULTS, corpus.EXAMPLES, *(f"{part}.ids" for part in corpus.PARTS))):
        return _run(files, tokenizer, out, base, recipe, seeds, kernels, groups)


def _run(files, tokenizer, out, base, recipe, seeds, kernels, groups):
    examples, held_out = corpus.encode_corpus(files, tokenizer, recipe.length, out)
    if not len(held_out):
        raise ValueError(f"{', '.join(files)} must have enough documents to hold some out, but has too few")
    stored = out / RESULTS
    fixed = dict(steps=recipe.steps, batch_size=recipe.batch_size, hidden_size=base.hidden_size,
                 layers=base.num_hidden_layers, learning_rate=recipe.learning_rate)
    results = read_results(stored, fixed) if stored.exists() else []
    done = {(r["setting"], r["seed"]) for r in results}
    for seed in range(seeds):
        for name, (variant, changes) in settings(kernels, groups).items():
            if (name, seed) in done:
                continue
            say(f"{name}, seed {seed}")
            figures = train_variant(variant, base.replace(**changes), replace(recipe, seed=seed), examples,
                                    held_out[:256], corpus.special_ids(tokenizer), Progress(recipe.steps))
            results.append(dict(setting=name, seed=seed, **figures))
            write_atomic(stored, json.dumps(dict(fixed=fixed, results=results), indent=1) + "\n")
    return results


def read_results(path, fixed):
    """The results that a study has so far.   Raises ValueError if they are of a study of another size, or damaged."""
    there = read_json(path)
    try:
        found, results = there["fixed"], there["results"]
        if all({"setting", "seed"} <= result.keys() for result in results) and isinstance(found, dict):
            if found == fixed:
                return results
            raise ValueError(f"{path} must be of a study of {fixed}, to go on with it, but is of {found!r:.300}; choose"
                             " another --out")
    except (KeyError, TypeError, AttributeError):
        pass
    raise ValueError(f"{path} must be as a study wrote it, but is damaged; choose another --out")


def print_table(results):
    """Mean and standard deviation over the seeds, for each setting."""
    print(f"{'setting':<16} {'parameters':>10} {'masked loss':>16} {'masked accuracy':>18} {'AUC':>18}   seeds")
    for name in dict.fromkeys(r["setting"] for r in results):
        rows = [r for r in results if r["setting"] == name]
        cells = []
        for figure in ("masked_loss", "masked_accuracy", "auc"):
            values = [r[figure] for r in rows]
            cells.append(f"{np.mean(values):.4f} ± {np.std(values, ddof=min(1, len(values) - 1)):.4f}")
        print(f"{name:<16} {rows[0]['parameters']:>10,} {cells[0]:>16} {cells[1]:>18} {cells[2]:>18}   {len(rows)}")
