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
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import cache

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
from ..threads import one_blas_thread
from . import corpus
from .pretrain import evaluate, fresh_state, train_step
from .progress import Progress, say
from .runs import run_folder

RESULTS = "results.json"
MEASURED = 4                                           # times that a model is measured, the last at its end
HELD_OUT = 256                                         # examples that it is measured on
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
    """Train one model.

    -> its held-out figures at the end; along: the same after each quarter; training_loss, of the last steps;
    parameters of the discriminator's encoder; seconds of processor time for the training alone
    """
    cfg = variant_config(cfg, variant)
    generator_cfg = generator_config(cfg, recipe.generator_width, recipe.generator_layers)
    generator_cfg = variant_config(generator_cfg, variant)
    measured_at = {recipe.steps * i // MEASURED for i in range(1, MEASURED + 1)} - {0}
    with swapped_block(variant):
        state, curve, along, seconds = variant_state(cfg, generator_cfg, variant, recipe), [], [], 0.0
        while state["step"] < recipe.steps:
            began = time.process_time()
            figures = train_step(state, examples, special, cfg, generator_cfg, recipe)
            seconds += time.process_time() - began
            curve.append(figures["loss"])
            if progress is not None:
                progress(state["step"], loss=figures["loss"], tokens=figures["tokens"])
            if state["step"] in measured_at:
                figures = evaluate(state["params"], held_out, special, cfg, generator_cfg, recipe)
                along.append(dict(step=state["step"], **figures))
    size = sum(x.size for name, x in state["params"].items() if name.startswith("discriminator.encoder"))
    tail = float(np.mean(curve[-max(1, recipe.steps // 20):]))
    return figures | dict(along=along, parameters=size, training_loss=tail, seconds=seconds)


def settings(kernels, groups):
    """name -> (variant, changes to the configuration): the variants, then kernel sizes and groups of `span`."""
    out = {variant: (variant, {}) for variant in VARIANTS}
    out |= {f"span, K={K}": ("span", dict(conv_kernel_size=K)) for K in kernels}
    return out | {f"span, {G} groups": ("span", dict(num_groups=G)) for G in groups}


def run(files, tokenizer, out, base, recipe, seeds, kinds, processes=1):
    """Train every setting with every seed, going on from what `out` holds  ->  results, as results.json has them

    base: the configuration that the settings change; recipe: of every run, but for its seed; kinds: what `settings`
    returns; processes: how many models are trained at once, each on one core.

    Raises ValueError if `out` holds a study of another size or another study runs there, or no text is held out.
    """
    with run_folder(out, (RESULTS, corpus.EXAMPLES, *(f"{part}.ids" for part in corpus.PARTS))):
        return _run(files, tokenizer, out, base, recipe, seeds, kinds, processes)


def _run(files, tokenizer, out, base, recipe, seeds, kinds, processes):
    examples, held_out = corpus.encode_corpus(files, tokenizer, recipe.length, out)
    if not len(held_out):
        raise ValueError(f"{', '.join(files)} must have enough documents to hold some out, but has too few")
    stored, special = out / RESULTS, corpus.special_ids(tokenizer)
    fixed = dict(steps=recipe.steps, batch_size=recipe.batch_size, hidden_size=base.hidden_size,
                 layers=base.num_hidden_layers, learning_rate=recipe.learning_rate)
    results = read_results(stored, fixed) if stored.exists() else []
    done = [(r["setting"], r["seed"]) for r in results]
    models = {(name, seed): (variant, base.replace(**changes), replace(recipe, seed=seed)) for seed in range(seeds)
              for name, (variant, changes) in kinds.items()}
    place = {model: i for i, model in enumerate([*done, *models])}
    waiting = {model: how for model, how in models.items() if model not in done}
    trained = (_one_by_one(waiting, examples, held_out[:HELD_OUT], special) if processes == 1 else
               _side_by_side(waiting, out, special, processes))
    for (name, seed), figures in trained:
        results.append(dict(setting=name, seed=seed, **figures))
        results.sort(key=lambda r: place[r["setting"], r["seed"]])
        write_atomic(stored, json.dumps(dict(fixed=fixed, results=results), indent=1) + "\n")
    return results


def _one_by_one(models, examples, held_out, special):
    """Yields (name, seed) of each model, its figures.   models: (name, seed) -> variant, configuration, recipe"""
    for (name, seed), (variant, cfg, recipe) in models.items():
        say(f"{name}, seed {seed}")
        yield (name, seed), train_variant(variant, cfg, recipe, examples, held_out, special, Progress(recipe.steps))


def _side_by_side(models, out, special, processes):
    """The same, each model in one of several processes, as they are ready. No process outlives this one."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, initializer=_end_with_parent) as pool:
        models = {pool.submit(_train_alone, *how, out, special): model for model, how in models.items()}
        try:
            for future in as_completed(models):
                figures = future.result()
                say("{}, seed {}: held-out loss {masked_loss:.3f}".format(*models[future], **figures))
                yield models[future], figures
        except BrokenProcessPool:
            raise OSError("a process that trained a model was killed, perhaps because memory ran out; the same command"
                          " goes on, with fewer --processes if need be") from None
        except BaseException:
            for process in multiprocessing.active_children():                      # or leaving would wait for them
                process.terminate()
            raise


def _train_alone(variant, cfg, recipe, out, special):
    examples, held_out = corpus.open_examples(out)
    with one_blas_thread():
        return train_variant(variant, cfg, recipe, examples, held_out[:HELD_OUT], special)


def _end_with_parent():
    """In a process of the pool: leave signals to the parent, and end when it ends, however it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def read_results(path, fixed):
    """The results that a study has so far.   Raises ValueError if they are of a study of another size, or damaged."""
    there = read_json(path)
    try:
        found, results = there["fixed"], there["results"]
        if all({"setting", "seed", "seconds"} <= result.keys() for result in results) and isinstance(found, dict):
            if found == fixed:
                return results
            raise ValueError(f"{path} must be of a study of {fixed}, to go on with it, but is of {found!r:.300}; choose"
                             " another --out")
    except (KeyError, TypeError, AttributeError):
        pass
    raise ValueError(f"{path} must be as this version of study writes it, but is older or damaged; choose another"
                     " --out")


def print_table(results):
    """Mean and standard deviation over the seeds, for each setting; of the seconds the least: other work only adds."""
    columns = dict(masked_loss="masked loss", masked_accuracy="masked accuracy", auc="AUC")
    titles = [f"{title:>18}" for title in columns.values()]
    print(f"{'setting':<16} {'parameters':>10} {'seconds':>8}", *titles, "  seeds")
    for name in dict.fromkeys(r["setting"] for r in results):
        rows = [r for r in results if r["setting"] == name]
        cells = [f"{name:<16} {rows[0]['parameters']:>10,} {min(r['seconds'] for r in rows):>8.0f}"]
        for figure in columns:
            values = [r[figure] for r in rows]
            cells.append(f"{np.mean(values):>9.4f} ± {np.std(values, ddof=min(1, len(values) - 1)):.4f}")
        print(*cells, f"  {len(rows)}")


def figure_of(result, figure, step=None):
    """A figure of one model, at its end or at one of the steps at which it was measured."""
    return (result if step is None else next(found for found in result["along"] if found["step"] == step))[figure]


def paired(results, figure, one, other, step=None):
    """By how much `figure` of setting `one` is above that of `other`, for each seed that both have.   ->  (N,)

    step: as for `figure_of`. The same seed means the same examples in the same order, with the same places hidden.
    """
    of = {(r["setting"], r["seed"]): figure_of(r, figure, step) for r in results if r["setting"] in (one, other)}
    return np.array([of[one, seed] - of[other, seed] for setting, seed in of if setting == one and (other, seed) in of])


def interval(values):
    """The mean, and how far the 95% interval of the true mean reaches to both sides of it: t s / sqrt(N).

    values (N,), at least two of them, taken as draws from a normal distribution
    """
    return float(np.mean(values)), student_t(len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))


@cache
def student_t(freedom, share=0.95):
    """The t with which `share` of Student's distribution with that many degrees of freedom lies in [-t, t]."""
    t = np.linspace(0, 100, 200_001)
    log_top = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(freedom * math.pi) / 2
    density = np.exp(log_top - (freedom + 1) / 2 * np.log1p(t * t / freedom))
    inside = np.concatenate([[0], np.cumsum(density[1:] + density[:-1]) * t[1]])
    return float(np.interp(share, inside, t))


def seeds_needed(values):
    """How many seeds would decide the sign, if all had the mean and spread of these; inf if none do."""
    mean, spread = abs(float(np.mean(values))), float(np.std(values, ddof=1))
    if mean == 0:
        return math.inf
    n = max(2, math.ceil((1.96 * spread / mean) ** 2))                   # t is above 1.96, so fewer cannot be enough
    while student_t(n - 1) * spread / math.sqrt(n) >= mean:
        n += 1
    return n


def print_differences(results, figures=("masked_loss", "auc"), one="span"):
    """`one` less each other setting, seed by seed: mean, 95% interval, and how many seeds would decide the sign."""
    for figure in figures:
        for other in dict.fromkeys(r["setting"] for r in results):
            values = paired(results, figure, one, other)
            if other != one and len(values) > 1:
                mean, reach = interval(values)
                decided = "decided" if abs(mean) > reach else f"{seeds_needed(values):,} such seeds would decide it"
                print(f"{figure:<12} {one} - {other:<14} {mean:+.4f} ± {reach:.4f}   {len(values)} seeds: {decided}")
