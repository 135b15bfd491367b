"""`python -m minconvbert pretrain`: from plain text to learned weights, in steps that a kill cannot hurt."""

import argparse
import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from . import checkpoint, corpus
from .config import ConvBertConfig
from .electra import (
    RowRandom, generator_config, init_pretraining, mask_tokens, masked_word_loss, masked_word_loss_backward,
    part_params, pretraining_loss, pretraining_loss_backward)
from .files import remove_parts, write_atomic
from .initialize import init_params
from .optim import adam_state, adam_step, clip_by_global_norm, learning_rate
from .progress import Progress, append_json_line, json_line, read_json_lines
from .safetensors_io import read_metadata, read_safetensors, write_safetensors
from .shapes import sub, under
from .tokenizer import ConvBertTokenizerFast

OBJECTIVES = ("replaced-token-detection", "masked-lm")
SHORTEST = 8                                           # tokens of an example, so that one of them may be hidden


@dataclass(frozen=True)
class Recipe:
    """How to train: `small` to `base` are the original's (configure_pretraining.py), `tiny` is ours."""

    model: dict
    learning_rate: float
    batch_size: int
    steps: int = 1_000_000
    warmup: int = 10_000
    generator_width: float = 0.25
    generator_layers: float = 1.0
    objective: str = OBJECTIVES[0]
    decay: float = 0.01
    clip: float = 1.0
    dropout: bool = True
    seed: int = 0


_ORIGINAL = dict(vocab_size=30522, max_position_embeddings=512, num_hidden_layers=12, pad_token_id=0)
PRESETS = {
    "tiny": Recipe(
        dict(vocab_size=8192, hidden_size=128, embedding_size=128, num_hidden_layers=4, num_attention_heads=4,
             intermediate_size=512, max_position_embeddings=128, pad_token_id=0),
        learning_rate=1.5e-3, batch_size=64, steps=7_800, warmup=400, generator_width=0.5, generator_layers=0.5,
        dropout=False),
    "small": Recipe(
        _ORIGINAL | dict(hidden_size=256, embedding_size=128, num_attention_heads=4, intermediate_size=1024),
        learning_rate=3e-4, batch_size=128),
    "medium-small": Recipe(
        _ORIGINAL | dict(hidden_size=384, embedding_size=128, num_attention_heads=8, intermediate_size=1536,
                         num_groups=2),
        learning_rate=5e-4, batch_size=128),
    "base": Recipe(_ORIGINAL, learning_rate=2e-4, batch_size=256, generator_width=1 / 3),
}


@dataclass(frozen=True)
class Ranks:
    """The processes that share a batch. `add_up` sums an array over all of them, in place; alone, it does nothing.

    `stop` says what went wrong and ends all of them, for the others would wait for ever.
    """

    rank: int = 0
    size: int = 1
    add_up: callable = lambda array: None
    stop: callable = lambda error: None


def fresh_state(cfg, generator_cfg, recipe, dtype=np.float32):
    """Step 0: parameters and Adam's moments."""
    rng = np.random.default_rng([recipe.seed, 1])
    if recipe.objective == "masked-lm":
        params = init_params(cfg, "masked_lm", rng, "original", dtype)
    else:
        params = init_pretraining(cfg, generator_cfg, rng, "original", dtype)
    return dict(step=0, params=params, moments=adam_state(params))


def train_step(state, examples, special, cfg, generator_cfg, recipe, ranks=Ranks()):
    """One step, in place: every rank takes its share of the batch, gradients are added up, all ranks update alike.

    Raises FloatingPointError, and changes nothing, if a gradient is not finite.
    """
    params, step, B = state["params"], state["step"], recipe.batch_size
    mine = np.array_split(np.arange(B), ranks.size)[ranks.rank]
    rows = corpus.batch_rows(step, B, len(examples), recipe.seed)[mine]
    rng = RowRandom(recipe.seed, step, mine)
    batch, places = masked_batch(examples[rows], rng, special)
    counts = np.array([len(places["labels"]), batch["attention_mask"].sum()], np.float64)
    ranks.add_up(counts)

    if recipe.objective == "masked-lm":
        loss, acts = masked_word_loss(batch, places, params, cfg, rng if recipe.dropout else None, counts[0])
        losses, grads = dict(loss=loss), masked_word_loss_backward(1.0, acts, params, cfg)
    else:
        losses, acts = pretraining_loss(batch, places, params, cfg, generator_cfg, rng, recipe.dropout, counts)
        grads = pretraining_loss_backward(acts, params, cfg, generator_cfg)

    if ranks.size > 1:
        grads = _add_up_all(grads, ranks)
        summed = np.array(list(losses.values()))
        ranks.add_up(summed)
        losses = dict(zip(losses, summed.tolist()))
    norm = clip_by_global_norm(grads, recipe.clip)
    rate = learning_rate(step, recipe.learning_rate, recipe.steps, recipe.warmup)
    adam_step(params, grads, state["moments"], rate, recipe.decay)
    state["step"] += 1
    return losses | dict(norm=norm, rate=rate, tokens=int(counts[1]))


def masked_batch(rows, rng, special):
    """Rows of ids as the models read them, and the places to predict."""
    batch = corpus.example_batch(rows, special["sep"], special["pad"])
    batch["masked_ids"], places = mask_tokens(
        batch["input_ids"], batch["attention_mask"], rng, special["mask"], list(special.values()))
    return batch, places


def _add_up_all(grads, ranks):
    """One message for all gradients instead of one for each."""
    flat = np.concatenate([g.reshape(-1) for g in grads.values()])
    ranks.add_up(flat)
    ends = np.cumsum([g.size for g in grads.values()])
    return {name: part.reshape(g.shape) for (name, g), part in zip(grads.items(), np.split(flat, ends[:-1]))}


def evaluate(params, held_out, special, cfg, generator_cfg, recipe, batch_size=64):
    """Figures on held-out examples, always with the same masks and draws.

    masked_loss, masked_accuracy: of the generator, in nats and as a share of the drawn places (15% of which are not
    hidden); auc, accuracy: of the discriminator over real tokens; replaced: the share of these that were replaced
    """
    total, logits, labels = dict(masked_loss=0.0, masked_accuracy=0.0, places=0), [], []
    for start in range(0, len(held_out), batch_size):
        rows = held_out[start : start + batch_size]
        rng = RowRandom(0, 0, range(start, start + len(rows)))
        batch, places = masked_batch(rows, rng, special)
        if recipe.objective == "masked-lm":
            loss, acts = masked_word_loss(batch, places, params, cfg)
        else:
            losses, acts = pretraining_loss(batch, places, params, cfg, generator_cfg, rng)
            real = batch["attention_mask"] != 0
            logits.append(acts["discriminator.logits"][real])
            labels.append(acts["replaced"][real])
            loss, acts = losses["generator_loss"], sub(acts, "generator")
        total["masked_loss"] += float(loss) * len(places["labels"])
        total["masked_accuracy"] += int((acts["words"].argmax(-1) == places["labels"]).sum())
        total["places"] += len(places["labels"])
    figures = {name: total[name] / max(1, total["places"]) for name in ("masked_loss", "masked_accuracy")}
    if logits:
        logits, labels = np.concatenate(logits), np.concatenate(labels)
        figures |= dict(auc=area_under_curve(logits, labels), accuracy=float(((logits > 0) == labels).mean()),
                        replaced=float(labels.mean()))
    return figures


def unigram_baseline(train, held_out, special, vocab_size, batch_size=64):
    """What the frequencies of words alone achieve at the places that `evaluate` asks for: masked_loss, masked_accuracy.

    The likeliest word everywhere, but for the places that are not hidden, where it repeats what stands there.
    """
    counts = np.bincount(np.asarray(train).reshape(-1), minlength=vocab_size) + 1.0
    counts[list(special.values())] = 1e-9
    nll, right, places_seen = -np.log(counts / counts.sum()), 0, []
    for start in range(0, len(held_out), batch_size):
        rows = held_out[start : start + batch_size]
        batch, places = masked_batch(rows, RowRandom(0, 0, range(start, start + len(rows))), special)
        seen = batch["masked_ids"][places["rows"], places["positions"]]
        guesses = np.where(seen == special["mask"], counts.argmax(), seen)
        right += int((guesses == places["labels"]).sum())
        places_seen.append(nll[places["labels"]])
    nll = np.concatenate(places_seen)
    return dict(masked_loss=float(nll.mean()), masked_accuracy=right / len(nll))


def area_under_curve(scores, labels):
    """The chance that a positive scores above a negative, ties counted as half.   scores, labels (N,)  ->  [0, 1]"""
    order, ranks = np.unique(scores, return_inverse=True)
    counts = np.bincount(ranks)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    positive = int(labels.sum())
    negative = len(labels) - positive
    if not positive or not negative:
        return float("nan")
    return float((mean_rank[ranks][labels == 1].sum() - positive * (positive + 1) / 2) / (positive * negative))


def save_state(path, state, made_by):
    """The whole state of a run in one file, written whole or not at all."""
    tensors = under("params", state["params"]) | under("moments", state["moments"])
    write_safetensors(path, tensors, dict(step=str(state["step"]), made_by=json.dumps(made_by, sort_keys=True)))


def load_state(path, made_by):
    """What `save_state` wrote.

    Raises ValueError if it is of another configuration.
    """
    tensors, metadata = read_safetensors(path), read_metadata(path)
    if "made_by" not in metadata:
        raise ValueError(f"{path} must be the state of a run, but is another file; use another --out")
    found = json.loads(metadata["made_by"])
    if found != made_by:
        names = {name for part in made_by for name in {**made_by[part], **found.get(part, {})}
                 if made_by[part].get(name) != found.get(part, {}).get(name)}
        raise ValueError(f"{path} is the state of another run ({', '.join(sorted(names))} differ); "
                         "use its options again, or another --out")
    writable = {name: np.array(x) for name, x in tensors.items()}
    return dict(step=int(metadata["step"]), params=sub(writable, "params"), moments=sub(writable, "moments"))


def run(files, out, recipe, cfg, tokenizer, ranks=Ranks(), dtype=np.float32, log_every=20, save_every=200,
        eval_every=1000, length=128):
    """Train to the last step, going on from what `out` holds.

    `out` gets the examples, state.safetensors, log.jsonl and, at the end, the model as `export` writes it.
    """
    out = Path(out)
    generator_cfg = generator_config(cfg, recipe.generator_width, recipe.generator_layers)
    special = dict(mask=tokenizer.mask_token_id, cls=tokenizer.cls_token_id, sep=tokenizer.sep_token_id,
                   pad=tokenizer.pad_token_id)
    chief = ranks.rank == 0
    if chief:
        remove_parts(out)
        corpus.encode_corpus(files, tokenizer, length, out, recipe.seed, _say_examples)
    ranks.add_up(np.zeros(1))                          # nobody goes on before the examples are there
    train, held_out = corpus.encode_corpus(files, tokenizer, length, out, recipe.seed)
    if len(train) < recipe.batch_size:
        raise ValueError(f"the corpus must fill a batch of {recipe.batch_size}, but gives {len(train)} examples; use a"
                         " smaller --batch-size or more text")
    made_by = dict(config=cfg.to_dict(), recipe={k: v for k, v in vars(recipe).items() if k != "model"},
                   run=dict(dtype=np.dtype(dtype).name, length=length))
    saved, log = out / "state.safetensors", out / "log.jsonl"
    state = load_state(saved, made_by) if saved.exists() else fresh_state(cfg, generator_cfg, recipe, dtype)
    if chief and log.exists():                         # steps after the last save are run again
        kept = [e for e in read_json_lines(log) if e["step"] <= state["step"] and "unigrams" not in e]
        write_atomic(log, "".join(map(json_line, kept)))
    if chief and not len(held_out):
        print(f"no held-out figures: that needs {corpus.HELD_OUT_EVERY} documents, with blank lines between them",
              file=sys.stderr)

    progress = Progress(recipe.steps, state["step"])
    while state["step"] < recipe.steps:
        try:
            figures = train_step(state, train, special, cfg, generator_cfg, recipe, ranks)
        except FloatingPointError as error:
            kept = f"The last good state stays in {saved}" if saved.exists() else "No state has been saved yet"
            raise FloatingPointError(f"step {state['step']}: {error}. {kept}; try a lower --learning-rate, in another"
                                     " --out") from None
        step = state["step"]
        last = step == recipe.steps
        if chief:
            progress(step, **{name: figures[name] for name in figures if name != "rate"})
            if step % log_every == 0 or last:
                append_json_line(log, step=step, **figures)
            if len(held_out) and (step % eval_every == 0 or last):
                append_json_line(log, step=step, held_out=evaluate(
                    state["params"], held_out, special, cfg, generator_cfg, recipe))
            if step % save_every == 0 or last:
                save_state(saved, state, made_by)
    if chief:
        if len(held_out):
            baseline = unigram_baseline(train, held_out, special, cfg.vocab_size)
            append_json_line(log, step=state["step"], unigrams=baseline)
        export(out / "model", state["params"], cfg, generator_cfg, recipe, tokenizer)
    return state


def _say_examples(count, part):
    print(f"{count} examples ({part})", end="\r", file=sys.stderr, flush=True)


def export(folder, params, cfg, generator_cfg, recipe, tokenizer, dtype=np.float32):
    """Write what was learned as Hugging Face folders.

    `folder` is the body of the discriminator, to fine-tune; `folder/generator` a masked-word model; the file
    discriminator_head.safetensors tells replaced words. A masked-word model alone is written to `folder` itself.
    """
    folder = Path(folder)
    if recipe.objective == "masked-lm":
        checkpoint.save(folder, cfg, params, task="masked_lm", dtype=dtype)
        tokenizer.save_pretrained(folder)
        return
    discriminator = part_params(params, "discriminator")
    checkpoint.save(folder, cfg, sub(discriminator, "convbert"), dtype=dtype)
    checkpoint.save(
        folder / "generator", generator_cfg, part_params(params, "generator"), task="masked_lm", dtype=dtype)
    head = under("discriminator_predictions", sub(discriminator, "discriminator_predictions"))
    write_safetensors(folder / "discriminator_head.safetensors", {n: x.astype(dtype) for n, x in head.items()})
    for place in (folder, folder / "generator"):
        tokenizer.save_pretrained(place)


def plot(log, path):
    """Losses over steps, and the held-out figures, from log.jsonl to a picture. Needs matplotlib."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    entries = read_json_lines(log)
    trained = [entry for entry in entries if "rate" in entry]
    held_out = [entry for entry in entries if "held_out" in entry]
    losses = [name for name in ("generator_loss", "discriminator_loss", "loss") if trained and name in trained[0]][:2]
    figure = plt.figure(figsize=(4 * len(losses) + 4, 3.2), layout="constrained")
    axes = figure.subplots(1, len(losses) + 1, squeeze=False)[0]
    for axis, name in zip(axes, losses):
        axis.plot([e["step"] for e in trained], [e[name] for e in trained], linewidth=0.8)
        axis.set(title=name.replace("_", " "), xlabel="step", ylabel="nats")
    for name in ("masked_accuracy", "auc"):
        values = [(e["step"], e["held_out"][name]) for e in held_out if name in e["held_out"]]
        if values:
            axes[-1].plot(*zip(*values), marker="o", markersize=3, label=name.replace("_", " "))
    axes[-1].set(title="held out", xlabel="step", ylim=(0, 1))
    if axes[-1].lines:
        axes[-1].legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def check_ranges(args, lowest, highest, *names):
    """Raises ValueError for an option that is not from `lowest` to `highest`; one that was not given is."""
    for name in names:
        value = getattr(args, name)
        if value is not None and not lowest <= value <= highest:
            limits = f"at least {lowest}" if highest == math.inf else f"from {lowest} to {highest}"
            raise ValueError(f"--{name.replace('_', '-')} must be {limits}, but is {value}")


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m minconvbert pretrain", description=__doc__)
    parser.add_argument("--corpus", nargs="+", required=True, metavar="FILE",
                        help="plain text, UTF-8, blank lines between documents; .xz files are read as they are")
    parser.add_argument("--out", required=True, metavar="DIR", help="goes on from what is there already")
    parser.add_argument("--preset", choices=PRESETS, default="tiny")
    parser.add_argument("--config", metavar="FILE", help="a config.json in place of the preset's model")
    parser.add_argument("--vocab", metavar="FILE", help="vocab.txt; without it one is trained on the corpus")
    parser.add_argument("--objective", choices=OBJECTIVES)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--warmup", type=int, help="steps of warm-up")
    parser.add_argument("--generator-width", type=float, help="width of the generator, as a share of the model's")
    parser.add_argument("--generator-layers", type=float, help="depth of the generator, as a share of the model's")
    parser.add_argument("--dropout", action=argparse.BooleanOptionalAction)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--length", type=int, default=128, help="tokens in an example (128)")
    parser.add_argument("--log-every", type=int, default=20, metavar="STEPS")
    parser.add_argument("--save-every", type=int, default=200, metavar="STEPS")
    parser.add_argument("--eval-every", type=int, default=1000, metavar="STEPS")
    parser.add_argument("--processes", type=int, default=1, metavar="N",
                        help="share each batch among N processes (extra: mpi)")
    args = parser.parse_args(argv)
    check_ranges(args, 1, math.inf, "steps", "batch_size", "log_every", "save_every", "eval_every", "processes")
    check_ranges(args, 0, math.inf, "learning_rate", "warmup", "generator_width", "generator_layers", "seed")
    if args.processes > 1 and "MINCONVBERT_RANKS" not in os.environ:
        return _launch(args.processes, sys.argv[1:] if argv is None else ["pretrain", *argv])
    ranks = mpi_ranks() if args.processes > 1 else Ranks()
    try:
        return _pretrain(args, ranks)
    except Exception as error:
        if ranks.size == 1:
            raise
        return ranks.stop(error)


def _pretrain(args, ranks):
    chosen = ("objective", "steps", "batch_size", "learning_rate", "warmup", "generator_width", "generator_layers",
              "dropout", "seed")
    recipe = replace(PRESETS[args.preset], **{
        name: getattr(args, name) for name in chosen if getattr(args, name) is not None})
    cfg = ConvBertConfig.from_json(args.config) if args.config else ConvBertConfig(**recipe.model)
    if not SHORTEST <= args.length <= cfg.max_position_embeddings:
        raise ValueError(f"--length must be from {SHORTEST} to max_position_embeddings ="
                         f" {cfg.max_position_embeddings}, but is {args.length}")
    out = Path(args.out)
    others = [name for name in ("state.safetensors", "log.jsonl", "model", "curves.png") if (out / name).exists()]
    if others and not (out / "examples.json").exists():
        raise ValueError(f"--out must be a new folder or that of a run to go on with, but {out} holds {others[0]} of"
                         " something else")
    out.mkdir(parents=True, exist_ok=True)
    vocab = Path(args.vocab) if args.vocab else out / "vocab.txt"
    if not vocab.exists() and not args.vocab and ranks.rank == 0:
        _train_vocabulary(args.corpus, cfg.vocab_size, vocab)
    ranks.add_up(np.zeros(1))
    tokenizer = ConvBertTokenizerFast(str(vocab))
    entries = 1 + max(tokenizer.vocab.values())        # a word that is there twice has two
    if entries > cfg.vocab_size:
        raise ValueError(f"{vocab} must have at most vocab_size = {cfg.vocab_size} entries, but has {entries}")
    cfg = cfg.replace(vocab_size=entries, pad_token_id=tokenizer.pad_token_id)
    run(args.corpus, out, recipe, cfg, tokenizer, ranks, log_every=args.log_every, save_every=args.save_every,
        eval_every=args.eval_every, length=args.length)
    if ranks.rank == 0:
        try:
            plot(out / "log.jsonl", out / "curves.png")
        except ImportError:
            print("no curves.png: it needs matplotlib (pip install matplotlib)", file=sys.stderr)
        print(f"the model is in {out / 'model'}")
    return 0


def _train_vocabulary(files, size, path, characters=20_000_000):
    """On the first 20 MB of the training documents."""
    from . import vocab
    lines = []
    for document in corpus.split_documents(corpus.read_documents(files), held_out=False):
        lines += document
        characters -= sum(map(len, document))
        if characters < 0:
            break
    if not lines:
        raise ValueError(f"the corpus must have text, but there is none in {', '.join(map(str, files))}")
    write_atomic(path, "\n".join(vocab.train(lines, size)) + "\n")


def _launch(processes, arguments):
    """Run the same command once for each rank."""
    command, environment = mpi_command(processes)
    try:
        return subprocess.run([*command, "-m", "minconvbert", *arguments], env=environment).returncode
    except FileNotFoundError:
        raise ValueError("--processes needs MPI, but there is no mpiexec; install the extra minconvbert[mpi] and an MPI"
                         " (pip install mpich)") from None


def mpi_command(processes):
    """-> the command that runs Python once for each rank; its environment: one BLAS thread each"""
    environment = os.environ | dict(MINCONVBERT_RANKS=str(processes), OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    beside = Path(sys.executable).with_name("mpiexec")     # where pip puts it
    return [str(beside) if beside.exists() else "mpiexec", "-n", str(processes), sys.executable], environment


def mpi_ranks():
    try:
        from mpi4py import MPI
    except ImportError:
        raise ValueError(
            "--processes needs mpi4py, but it is not installed; install the extra minconvbert[mpi]") from None
    world = MPI.COMM_WORLD

    def stop(error):
        print(f"error: {error}", file=sys.stderr, flush=True)
        world.Abort(2)
        return 2

    return Ranks(world.rank, world.size, lambda array: world.Allreduce(MPI.IN_PLACE, array), stop)
