"""Pretraining, from plain text to learned weights. A run that is killed goes on from its last saved state."""

import contextlib
from functools import partial
from pathlib import Path

import numpy as np

from .. import checkpoint
from ..checkpoint.safetensors import write_safetensors
from ..electra import (
    RowRandom,
    generator_config,
    init_pretraining,
    mask_tokens,
    masked_word_loss,
    masked_word_loss_backward,
    part_grads,
    part_params,
    pretraining_loss,
    pretraining_loss_backward,
)
from ..initialize import init_params
from ..losses import negative_log_likelihood
from ..optim import adam_state, adam_step, clip_by_global_norm, learning_rate
from ..shapes import accumulate, sub, under
from ..threads import side_by_side, slices
from ..tokenizer import vocab
from . import corpus
from .metrics import area_under_curve
from .progress import append_json_line, read_json_lines, say
from .ranks import Ranks
from .recipes import OBJECTIVES
from .runs import CURVES, LOG, STATE, Every, due, load_state, loop, resume_log, run_folder, save_state

# What a run writes into its folder.
FILES = (corpus.EXAMPLES, *(f"{part}.ids" for part in corpus.PARTS), "vocab.txt", STATE, LOG, CURVES, *(
    f"model/{name}" for name in ("discriminator_head.safetensors", *(
        f"{inner}{name}" for inner in ("", "generator/")
        for name in ("config.json", "model.safetensors", *checkpoint.TOKENIZER_FILES)))))
SHORTEST = 8                                           # tokens of an example, so that one of them may be hidden


def fresh_state(cfg, generator_cfg, recipe, dtype=np.float32):
    """The state at step 0: fresh parameters, and Adam's moments, all zero."""
    rng = np.random.default_rng([recipe.seed, 1])
    if recipe.objective == "masked-lm":
        params = init_params(cfg, "masked_lm", rng, "original", dtype)
    else:
        params = init_pretraining(cfg, generator_cfg, rng, "original", dtype)
    return dict(step=0, params=params, moments=adam_state(params))


def train_step(state, examples, special, cfg, generator_cfg, recipe, ranks=Ranks()):
    """Take one step, in place   ->  dict: the losses, norm (of the gradients, before clipping), rate, tokens

    Every rank computes its share of the batch, in as many parts as it has threads. The gradients are added up over all
    ranks, and every rank makes the same update.

    Raises FloatingPointError, and changes nothing, if a gradient is not finite.
    """
    params, step, B = state["params"], state["step"], recipe.batch_size
    mine = np.array_split(np.arange(B), ranks.size)[ranks.rank]
    rows = corpus.batch_rows(step, B, len(examples), recipe.seed)[mine]
    parts = [(RowRandom(recipe.seed, step, mine[some]), examples[rows[some]])
             for some in slices(len(mine), recipe.threads)]
    parts = [(rng, *masked_batch(part, rng, special)) for rng, part in parts]
    counts = np.array([sum(len(places["labels"]) for _, _, places in parts),
                       sum(batch["attention_mask"].sum() for _, batch, _ in parts)], np.float64)
    ranks.add_up(counts)

    def gradient(part):
        rng, batch, places = part
        if recipe.objective == "masked-lm":
            loss, acts = masked_word_loss(batch, places, params, cfg, rng if recipe.dropout else None, counts[0])
            return dict(loss=loss), masked_word_loss_backward(1.0, acts, params, cfg)
        losses, acts = pretraining_loss(batch, places, params, cfg, generator_cfg, rng, recipe.dropout, counts)
        return losses, pretraining_loss_backward(acts, params, cfg, generator_cfg)

    losses, grads = {}, {}
    for part_losses, g in side_by_side(gradient, parts, recipe.threads):
        accumulate(losses, part_losses)
        accumulate(grads, g)
    if ranks.size > 1:
        grads = _add_up_all(grads, ranks)
        summed = np.array(list(losses.values()))
        ranks.add_up(summed)
        losses = dict(zip(losses, summed.tolist()))
    norm = clip_by_global_norm(grads, recipe.clip)
    rate = learning_rate(step, recipe.learning_rate, recipe.steps, recipe.warmup, recipe.decay_share)
    adam_step(params, grads, state["moments"], rate, recipe.decay, scale=rate_scale(params, recipe))
    state["step"] += 1
    return losses | dict(norm=norm, rate=rate, tokens=int(counts[1]))


def rate_scale(params, recipe):
    """name -> factor on the learning rate; or None for one rate for all, as in the original.

    The embedding table, which both parts read, learns at the discriminator's rate.
    """
    if recipe.generator_rate is None or recipe.objective == "masked-lm":
        return None
    own = lambda name: name.startswith(("generator.", "generator_predictions.", "generator_lm_head."))
    return {name: recipe.generator_rate / recipe.learning_rate if own(name) else 1.0 for name in params}


def masked_batch(rows, rng, special):
    """-> the rows as a batch that the models read, the places to predict"""
    batch = corpus.example_batch(rows, special["sep"], special["pad"])
    batch["masked_ids"], places = mask_tokens(
        batch["input_ids"], batch["attention_mask"], rng, special["mask"], list(special.values()))
    return batch, places


def _add_up_all(grads, ranks):
    """Add up the gradients over all ranks in one message, not in one for each array."""
    flat = np.concatenate([g.reshape(-1) for g in grads.values()])
    ranks.add_up(flat)
    ends = np.cumsum([g.size for g in grads.values()])
    return {name: part.reshape(g.shape) for (name, g), part in zip(grads.items(), np.split(flat, ends[:-1]))}


def evaluate(params, held_out, special, cfg, generator_cfg, recipe, batch_size=64):
    """Figures on held-out examples, always with the same masks and draws.

    masked_loss (in nats) and masked_accuracy are the generator's over all drawn places, 15% of which are not hidden;
    hidden_loss and hidden_accuracy are the same over the hidden places; auc and accuracy are the discriminator's over
    real tokens; replaced is the share of these that were replaced.
    """
    def measured(start):
        """-> for each place: -log p, whether it is right, whether it is hidden; for each real token: logit, label"""
        rows = held_out[start : start + batch_size]
        rng = RowRandom(0, 0, range(start, start + len(rows)))
        batch, places = masked_batch(rows, rng, special)
        tokens = []
        if recipe.objective == "masked-lm":
            _, acts = masked_word_loss(batch, places, params, cfg)
        else:
            _, acts = pretraining_loss(batch, places, params, cfg, generator_cfg, rng)
            real = batch["attention_mask"] != 0
            tokens = [acts["discriminator.logits"][real], acts["replaced"][real]]
            acts = sub(acts, "generator")
        return (negative_log_likelihood(acts["words"], places["labels"])[0],
                acts["words"].argmax(-1) == places["labels"],
                batch["masked_ids"][places["rows"], places["positions"]] == special["mask"], *tokens)

    starts = range(0, len(held_out), batch_size)
    nll, right, hidden, *tokens = map(np.concatenate, zip(*side_by_side(measured, starts, recipe.threads)))
    figures = place_figures(nll, right, hidden)
    if tokens:
        logits, labels = tokens
        figures |= dict(auc=area_under_curve(logits, labels), accuracy=float(((logits > 0) == labels).mean()),
                        replaced=float(labels.mean()))
    return figures


def place_figures(nll, right, hidden):
    """The figures of `evaluate` over places.   nll (N,) in nats; right, hidden (N,) of bool"""
    mean = lambda x: float(x.mean()) if len(x) else 0.0
    return dict(masked_loss=mean(nll), masked_accuracy=mean(right),
                hidden_loss=mean(nll[hidden]), hidden_accuracy=mean(right[hidden]))


def word_frequencies(train, special, vocab_size):
    """The share of each word in the examples, above 0 for every word and almost 0 for special tokens.   ->  (V,)"""
    counts = np.bincount(np.asarray(train).reshape(-1), minlength=vocab_size) + 1.0
    counts[list(special.values())] = 1e-9
    return counts / counts.sum()


def unigram_baseline(frequencies, held_out, special, batch_size=64):
    """The first four figures of `evaluate` for a model that knows only the frequencies of words.

    It predicts the most frequent word at hidden places, and repeats the visible word at the others.
    """
    nll, right, hidden = [], [], []
    for start in range(0, len(held_out), batch_size):
        rows = held_out[start : start + batch_size]
        batch, places = masked_batch(rows, RowRandom(0, 0, range(start, start + len(rows))), special)
        seen = batch["masked_ids"][places["rows"], places["positions"]]
        hidden.append(seen == special["mask"])
        right.append(np.where(hidden[-1], frequencies.argmax(), seen) == places["labels"])
        nll.append(-np.log(frequencies[places["labels"]]))
    return place_figures(*map(np.concatenate, (nll, right, hidden)))


def first_state(source, cfg, generator_cfg, recipe, made_by, dtype=np.float32):
    """The state of a new run that begins with what another one learned.

    source: the state.safetensors of a run, for its parameters, moments and step; or a folder that `export` wrote, for
    its parameters alone.   Raises ValueError if their shapes are not this model's, or if the run is beyond
    `recipe.steps`.
    """
    state = fresh_state(cfg, generator_cfg, recipe, dtype)
    if Path(source).is_dir():
        found = state | dict(params=exported_params(source, recipe.objective, dtype))
    else:
        found = load_state(source, made_by, ("config",))
        if found["step"] >= recipe.steps:
            raise ValueError(f"--steps must be above the step of {source}, {found['step']}, but is {recipe.steps}")
    shapes = lambda params: {name: (x.shape, x.dtype) for name, x in params.items()}
    wrong = shapes(state["params"]).items() ^ shapes(found["params"]).items()
    if wrong:
        raise ValueError(f"{source} must hold the parameters of this model and generator, but differs in"
                         f" {min(name for name, _ in wrong)}; use its configuration and its generator options")
    return found


def exported_params(folder, objective=OBJECTIVES[0], dtype=np.float32):
    """The parameters that `export` wrote, under their names in training."""
    folder = Path(folder)
    writable = lambda params: {name: np.array(x, dtype) for name, x in params.items()}
    if objective == "masked-lm":
        return writable(checkpoint.load(folder, "masked_lm", dtype)[1])
    discriminator = checkpoint.load(folder, "discriminator", dtype)[1]
    generator = checkpoint.load(folder / "generator", "masked_lm", dtype)[1]
    return writable(part_grads(discriminator, "discriminator") | part_grads(generator, "generator"))


def check_out(out):
    """Raises ValueError if `out` is a file, or holds a run that is not a pretraining."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out must be a folder, but {out} is a file")
    others = [name for name in (STATE, LOG, "model", CURVES) if (out / name).exists()]
    if others and not (out / corpus.EXAMPLES).exists():
        raise ValueError(f"--out must be a new folder, or hold a pretraining to go on with, but {out} holds"
                         f" {others[0]} of something else")


def run(files, out, recipe, cfg, tokenizer, every=Every(20, 200, 1000), ranks=Ranks(), init_from=None):
    """Train to the last step, from the state in `out` or, if there is none, from `init_from`.

    `out` gets the examples, state.safetensors, log.jsonl and, at the end, the model as `export` writes it.

    Raises ValueError if another run works in `out`, or if what `out` holds does not fit; Stopped after a signal.
    """
    out = Path(out)
    with run_folder(out, FILES) if ranks.rank == 0 else contextlib.nullcontext():
        return _run(files, out, recipe, cfg, tokenizer, every, ranks, init_from)


def _run(files, out, recipe, cfg, tokenizer, every, ranks, init_from):
    chief = ranks.rank == 0
    generator_cfg = generator_config(cfg, recipe.generator_width, recipe.generator_layers)
    special = corpus.special_ids(tokenizer)
    made_by = dict(config=cfg.to_dict(), recipe={k: v for k, v in vars(recipe).items() if k != "model"})
    saved = out / STATE
    if chief:
        corpus.encode_corpus(files, tokenizer, recipe.length, out, recipe.seed, _say_examples)
        say(*corpus.report(out))
        if init_from is not None and not saved.exists():
            save_state(saved, first_state(init_from, cfg, generator_cfg, recipe, made_by), made_by)
    ranks.add_up(np.zeros(1))                          # nobody goes on before the examples and the state are there
    train, held_out = corpus.open_examples(out)
    if recipe.batch_size < ranks.size:
        raise ValueError(f"--batch-size must be at least the {ranks.size} of --processes, but is {recipe.batch_size}")
    if len(train) < recipe.batch_size:
        raise ValueError(f"the corpus must fill a batch of {recipe.batch_size}, but gives {len(train)} examples; use a"
                         " smaller --batch-size or more text")
    if chief and not len(held_out):
        say(f"no held-out figures: they need {corpus.HELD_OUT_EVERY} documents, with blank lines between them")
    state = load_state(saved, made_by) if saved.exists() else fresh_state(cfg, generator_cfg, recipe)
    if chief:
        resume_log(out, state["step"])
    frequencies = word_frequencies(train, special, cfg.vocab_size)

    step_once = partial(train_step, state, train, special, cfg, generator_cfg, recipe, ranks)
    for step, _ in loop(out, state, step_once, recipe.steps, every, made_by, ranks):
        if chief and step - every.log < recipe.steps / 10 <= step and due(step, every.log, recipe.steps):
            warn_of_plateau(read_json_lines(out / LOG), recipe, frequencies)
        if chief and len(held_out) and due(step, every.measure, recipe.steps):
            append_json_line(out / LOG, step=step, held_out=evaluate(
                state["params"], held_out, special, cfg, generator_cfg, recipe))
    if chief:
        log_unigrams(out / LOG, state["step"], frequencies, held_out, special)
        export(out / "model", state["params"], cfg, generator_cfg, recipe, tokenizer)
    return state


def log_unigrams(log, step, frequencies, held_out, special):
    """Add to the log what word frequencies alone achieve, unless it is there or nothing was held out."""
    if len(held_out) and not any("unigrams" in entry for entry in read_json_lines(log)):
        append_json_line(log, step=step, unigrams=unigram_baseline(frequencies, held_out, special))


def warn_of_plateau(entries, recipe, frequencies):
    """Warn if the loss of masked words, after a tenth of the run, is no better than word frequencies alone give.

    entries: those of the log. This is how a learning rate that is too high shows; the numbers stay finite.
    """
    name = "loss" if recipe.objective == "masked-lm" else "generator_loss"
    losses = [entry[name] for entry in entries if name in entry]
    reached = np.mean(losses[len(losses) // 2 :])
    known = float(-frequencies @ np.log(frequencies))
    if reached > 0.98 * known:
        say(f"the loss of masked words is {reached:.2f} after a tenth of the run, and word frequencies alone give"
              f" {known:.2f}: the model has learned nothing from the context yet. If that does not change, try a lower"
              " --learning-rate, a longer --warmup or a smaller --batch-size, in another --out")


def _say_examples(count, part):
    say(f"{count} examples ({part})", end="\r")


def export(folder, params, cfg, generator_cfg, recipe, tokenizer, dtype=np.float32):
    """Write the trained models as Hugging Face folders.

    `folder` gets the body of the discriminator, to fine-tune, and its head, discriminator_head.safetensors, which finds
    replaced words; `folder/generator` gets the masked-word model. With the objective masked-lm there is only a
    masked-word model, which goes to `folder` itself.
    """
    folder = Path(folder)
    tokenizer.model_max_length = cfg.max_position_embeddings
    if recipe.objective == "masked-lm":
        checkpoint.save(folder, cfg, params, task="masked_lm", dtype=dtype)
        tokenizer.save_pretrained(folder)
        return
    discriminator = part_params(params, "discriminator")
    checkpoint.save(folder, cfg, sub(discriminator, "convbert"), dtype=dtype)
    checkpoint.save(
        folder / "generator", generator_cfg, part_params(params, "generator"), task="masked_lm", dtype=dtype)
    head = under("discriminator_predictions", sub(discriminator, "discriminator_predictions"))
    write_safetensors(folder / checkpoint.DISCRIMINATOR_HEAD, {n: x.astype(dtype) for n, x in head.items()})
    for place in (folder, folder / "generator"):
        tokenizer.save_pretrained(place)


def train_vocabulary(files, size, path, characters=20_000_000):
    """Write a vocabulary of `size` tokens, or as many as the first 20 million characters of the training part give."""
    lines = []
    corpus.check_files(files)
    for document in corpus.split_documents(corpus.read_documents(files), held_out=False):
        lines += document
        characters -= sum(map(len, document))
        if characters < 0:
            break
    if not lines:
        raise ValueError(f"the corpus must have text, but there is none in {', '.join(map(str, files))}")
    tokens = vocab.train(lines, size, smaller=True)
    if len(tokens) < size:
        say(f"the text gives a vocabulary of {len(tokens):,} tokens, fewer than the model's vocab_size of {size:,}; the"
            f" model gets {len(tokens):,}, too")
    vocab.write_vocab(path, tokens)
