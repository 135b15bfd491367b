"""`python -m minconvbert finetune`, `evaluate`, `predict`: the five tasks, from a file to a metric and to answers.

    task = tasks.get("text-classification")
    examples = task.read("train.jsonl")
    cfg, params, tokenizer = start(task, "convbert-tiny", examples)
    features = task.encode(examples, tokenizer, cfg, length=64)
    recipe = FinetuningRecipe(epochs=3, learning_rate=1e-3)
    losses = [figures["loss"] for figures in train(task, fresh_state(params), features, cfg, recipe)]
    figures, answers = task.evaluate(examples, features, params, cfg)

`run` does the same, keeps a log and the best model, and saves a state from which a run that was killed goes on.
"""

import json
import math
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from .. import checkpoint
from ..config import ConvBertConfig
from ..files import is_part, model_path, read_json, write_atomic
from ..initialize import init_head, init_params
from ..optim import adam_state, adam_step, clip_by_global_norm, learning_rate
from ..shapes import accumulate
from ..threads import side_by_side
from ..tokenizer.hugging_face import ConvBertTokenizerFast
from . import tasks
from .progress import append_json_line, json_line, say
from .runs import CURVES, LOCK, LOG, STATE, Every, draw_curves, due, load_state, loop, resume_log, run_folder
from .tasks import batches, reading

# What a run writes into its folder.
SUMMARY = "training.json"
FILES = ("config.json", "model.safetensors", *checkpoint.TOKENIZER_FILES, SUMMARY, STATE, LOG, CURVES)
DROPOUT, ORDER, NEW_HEAD, BODY = 1, 2, 3, 4               # with the run's seed, the seeds of four generators


def start(task, model, examples=None, random_init=False, seed=0, dtype=np.float32, **labels):
    """A pretrained model, made ready for the labels of the examples  ->  cfg, params, tokenizer

    model: a folder, or "convbert-tiny". Its head is kept if it is for exactly these labels; if not, a fresh one is
    drawn as the original draws it.
    random_init: read only the configuration and the tokenizer, and draw all parameters. labels: options of the task's
    `configure`.
    """
    folder = own_folder(task, model)
    tokenizer = ConvBertTokenizerFast.from_pretrained(folder)
    stored = ConvBertConfig.from_json(folder)
    if len(tokenizer) > stored.vocab_size:
        raise ValueError(f"the tokenizer in {folder} must have at most vocab_size = {stored.vocab_size} tokens, but has"
                         f" {len(tokenizer)}; resize_token_embeddings({len(tokenizer)}) of the model makes room for"
                         " tokens that were added")
    cfg = stored.replace(pad_token_id=tokenizer.pad_token_id)
    if examples is not None:
        cfg = task.configure(cfg, examples, **labels)
    head = lambda: init_head(cfg, task.HEAD, np.random.default_rng([seed, NEW_HEAD]), "original", dtype)
    if random_init:
        body = init_params(cfg, task.HEAD, np.random.default_rng([seed, BODY]), "original", dtype)
        return cfg, body | head(), tokenizer
    has_head = checkpoint.ARCHITECTURES[task.HEAD] in stored.unknown.get("architectures", ())
    same_labels = (reading.label_names(stored), stored.problem_type) == (reading.label_names(cfg), cfg.problem_type)
    new_head = None if has_head and same_labels else head
    _, params = checkpoint.load(folder, task.HEAD, dtype, config=cfg, new_head=new_head)
    return cfg, params, tokenizer


def own_folder(task, model):
    """The model's folder; for masked words its subfolder generator/, where pretraining leaves that model, if it exists.
    """
    folder = model_path(model)
    inner = folder / "generator"
    return inner if task.HEAD == "masked_lm" and inner.is_dir() else folder


def layer_scales(names, layers, decay=0.8, off_by_one=True):
    """Parameter -> factor on its learning rate: 1 for the head, times `decay` for every layer further down.

    The original counts one layer too many between the head and the top layer: with `off_by_one` the top layer gets
    decay^2, layer i decay^(layers + 1 - i), the embeddings decay^(layers + 2).   Source: model/optimization.py,
    _get_layer_lrs; google-research/electra issue 51.
    """
    top = layers + 1 + off_by_one

    def height(name):
        if not name.startswith("convbert."):
            return top
        part, _, rest = name.removeprefix("convbert.encoder.layer.").partition(".")
        return int(part) + 1 if part.isdecimal() and rest else 0

    return {name: decay ** (top - height(name)) for name in names}


def fresh_state(params):
    """The state at step 0: the parameters, which training changes in place, and Adam's moments, all zero."""
    return dict(step=0, params=params, moments=adam_state(params))


def steps_of(features, recipe):
    """-> steps in an epoch, steps in all"""
    per_epoch = math.ceil(len(features) / recipe.batch_size)
    return per_epoch, per_epoch * recipe.epochs


def train(task, state, features, cfg, recipe):
    """Train from the step of `state` to the last, and yield the figures of each step, as `train_step` returns them."""
    per_epoch, steps = steps_of(features, recipe)
    scale = layer_scales(state["params"], cfg.num_hidden_layers, recipe.layer_decay, recipe.layer_decay_off_by_one)
    epoch, order = None, None
    while state["step"] < steps:
        now, within = divmod(state["step"], per_epoch)
        if epoch != now:
            epoch = now
            order = batches.by_length(features, recipe.batch_size, np.random.default_rng([recipe.seed, ORDER, epoch]))
        yield train_step(task, state, [features[i] for i in order[within]], cfg, recipe, steps, scale)


def train_step(task, state, features, cfg, recipe, steps, scale):
    """Take one step, in place   ->  dict: loss, norm (of the gradients, before clipping), rate (of the head), tokens

    A batch is computed in `accumulate` x `threads` parts, and each is weighted by its share of the labels. Each part is
    padded to its own longest row, and a convolution sees the padding. So the gradient is exactly that of the whole
    batch only if all rows are equally long, or with `mask_convolution`.

    Raises FloatingPointError, and changes nothing, if a gradient is not finite.
    """
    params, step = state["params"], state["step"]
    number = min(recipe.accumulate * recipe.threads, len(features))
    rows, every = range(len(features)), [slice(i, None, number) for i in range(number)]
    parts = [task.stack(features[some], cfg, (recipe.seed, step, rows[some])) for some in every]
    count = max(1, sum(part["count"] for part in parts))

    def gradient(i):
        share, rng = parts[i]["count"] / count, np.random.default_rng([recipe.seed, DROPOUT, step, i])
        loss, acts = task.loss(parts[i], params, cfg, rng)
        loss = share * float(loss) if share else 0.0   # a mean over no labels is nan
        return loss, task.loss_backward(share, acts, params, cfg)

    loss, grads = 0.0, {}
    for part_loss, g in side_by_side(gradient, range(number), recipe.threads):
        loss += part_loss
        accumulate(grads, g)
    norm = clip_by_global_norm(grads, recipe.clip)
    rate = learning_rate(step, recipe.learning_rate, steps, int(recipe.warmup * steps))
    adam_step(params, grads, state["moments"], rate, recipe.decay, scale=scale)
    state["step"] += 1
    tokens = sum(int(part["inputs"]["attention_mask"].sum()) for part in parts)
    return dict(loss=loss, norm=norm, rate=rate, tokens=tokens)


def run(out, task, model, features, recipe, dev=None, about=None, every=Every(10, 200, None)):
    """Train to the last step, from the state in the folder `out` if there is one  ->  figures of the model that is kept

    model: (cfg, params, tokenizer), as `start` returns them. dev: (examples, features) to measure on, by default after
    each epoch; the best model is kept, or the last one without dev. about: a dict of what else made this run; its entry
    `decode` holds the options of the answers.

    `out` gets the model as Hugging Face has it, with the tokenizer; training.json, log.jsonl, curves.png and, while the
    run lasts, state.safetensors. A finished run is not repeated.

    Raises ValueError if `out` holds something else, or if another run works there; Stopped after a signal.
    """
    out, about = Path(out), about or {}
    every = every._replace(measure=every.measure or steps_of(features, recipe)[0])
    check_out(out)
    with run_folder(out, FILES):
        finished = finished_run(out, about, recipe)
        return finished or _run(out, task, model, features, recipe, dev, about, every)


def _run(out, task, model, features, recipe, dev, about, every):
    (cfg, params, tokenizer), (_, steps) = model, steps_of(features, recipe)
    saved, summary = out / STATE, out / SUMMARY
    made_by = dict(config=cfg.to_dict(), recipe=asdict(recipe), run=about)
    state = load_state(saved, made_by) if saved.exists() else fresh_state(params)
    write_summary(summary, about, recipe, finished=False)
    tokenizer.model_max_length = min(tokenizer.model_max_length, cfg.max_position_embeddings)
    tokenizer.save_pretrained(out)
    best = None if dev is not None else dict(step=steps)
    for entry in resume_log(out, state["step"]):
        best = better(entry, best) if "dev" in entry else best

    training = train(task, state, features, cfg, recipe)
    for step, _ in loop(out, state, partial(next, training), steps, every, made_by):
        if dev is not None and due(step, every.measure, steps):
            figures, _ = task.evaluate(*dev, state["params"], cfg, threads=recipe.threads, **about.get("decode", {}))
            entry = dict(step=step, dev=figures)
            append_json_line(out / LOG, **entry)
            best = better(entry, best)
        if best is not None and best["step"] == step:
            checkpoint.save(out, cfg, state["params"], task.HEAD)
    try:
        draw_curves(out / LOG, out / CURVES)
    except ImportError:
        say(f"no {CURVES}: it needs matplotlib (pip install 'minconvbert[plot]')")
    write_summary(summary, about, recipe, finished=True, best=best)
    saved.unlink()
    return best


def write_summary(path, about, recipe, **more):
    """Write training.json: what made the run, and whether it is finished."""
    write_atomic(path, json_line(dict(run=about, recipe=asdict(recipe), **more), indent=2))


def check_out(out):
    """Raises ValueError if `out` is neither new nor holds a fine-tuning to go on with."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out must be a folder, but {out} is a file")
    if not out.exists() or (out / STATE).exists():
        return
    if not (out / SUMMARY).exists():
        if not all(path.name == LOCK or is_part(path, FILES) for path in out.iterdir()):
            raise ValueError(f"--out must be a new folder, or hold a run to go on with, but {out} holds other files")
        return
    _read_summary(out / SUMMARY)


def finished_run(out, about, recipe):
    """The figures of the model that the finished run in `out` kept; None if no run is finished there.

    Raises ValueError if that run had other options or data.
    """
    if (out / STATE).exists() or not (out / SUMMARY).exists():
        return None
    found = _read_summary(out / SUMMARY)
    if not found["finished"]:
        return None
    if (found["run"], found["recipe"]) != tuple(json.loads(json_line(part)) for part in (about, asdict(recipe))):
        raise ValueError(f"--out must be a new folder, or hold a run to go on with, but {out} holds a finished run with"
                         " other options or data")
    return found["best"]


def _read_summary(path):
    """training.json, as `run` writes it."""
    try:
        about = read_json(path)
        found = dict(run=dict(about["run"]), finished=about["finished"], recipe=about.get("recipe"),
                     best=about.get("best"))
        if found["best"] is None or isinstance(found["best"]["step"], int):
            return found
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError(f"{path} must be as fine-tuning wrote it, but is not; remove it or move it away")


def better(entry, best):
    """The better of two logged measurements by their first metric; `best`, the earlier one, if they are equal."""
    def score(one):
        value = next(iter(one["dev"].values()))
        return -math.inf if value is None or math.isnan(value) else value   # the log writes nan as null
    return entry if best is None or score(entry) > score(best) else best


def default_length(task, cfg):
    """The task's usual length of a row, but at most what the model can read."""
    return min(task.LENGTH, cfg.max_position_embeddings)


def checked_length(length, cfg):
    """`length`; raises ValueError if a row has no room for [CLS], a piece and [SEP], or is too long for the model."""
    if not 3 <= length <= cfg.max_position_embeddings:
        raise ValueError(f"--length must be from 3 to max_position_embeddings = {cfg.max_position_embeddings}, but is"
                         f" {length}")
    return length


def load_finetuned(task, folder, length=None):
    """A fine-tuned model  ->  cfg, params, tokenizer, options of `encode`, options of `decode`

    The options are those of its training; a model that was trained elsewhere has none, and gets the usual ones.
    """
    folder = own_folder(task, folder)
    trained = folder / SUMMARY
    about = _read_summary(trained)["run"] if trained.exists() else {}
    if about and tasks.get(about.get("task")) is not task:
        raise ValueError(f"the model in {folder} must be fine-tuned for this task, but is for {about['task']}")
    cfg, params = checkpoint.load(folder, task.HEAD)
    tokenizer = ConvBertTokenizerFast.from_pretrained(folder)
    encode = about.get("encode") or dict(length=default_length(task, cfg))
    if length is not None:
        encode = encode | dict(length=checked_length(length, cfg))
    return cfg, params, tokenizer, encode, about.get("decode") or {}
