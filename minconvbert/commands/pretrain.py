"""`python -m minconvbert pretrain`: from plain text to learned weights."""

import argparse
import math
import os
import signal
import subprocess
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from ..config import ConvBertConfig
from ..tokenizer.hugging_face import ConvBertTokenizerFast
from ..training.pretrain import SHORTEST, check_out, run, train_vocabulary
from ..training.progress import say
from ..training.ranks import Ranks, mpi_command, mpi_ranks
from ..training.recipes import OBJECTIVES, PRESETS, PretrainingRecipe
from ..training.runs import CURVES, LOG, Every, draw_curves
from . import check_ranges


def main(argv):
    args = parse(argv)
    if args.processes > 1 and "MINCONVBERT_RANKS" not in os.environ:
        return _launch(args.processes, ["pretrain", *argv])
    ranks = mpi_ranks() if args.processes > 1 else Ranks()
    try:
        return _pretrain(args, ranks)
    except Exception as error:
        if ranks.size == 1:
            raise
        return ranks.stop(error)


def parse(argv):
    parser = argparse.ArgumentParser(prog="python -m minconvbert pretrain", description=__doc__)
    parser.add_argument("--corpus", nargs="+", required=True, metavar="FILE",
                        help="plain text, UTF-8, blank lines between documents; .xz files are read as they are")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write; a run that is there goes on")
    parser.add_argument("--preset", choices=PRESETS, default="tiny")
    parser.add_argument("--config", metavar="FILE", help="a config.json in place of the preset's model")
    parser.add_argument("--vocab", metavar="FILE", help="a vocab.txt (default: one is trained on the corpus)")
    parser.add_argument("--objective", choices=OBJECTIVES)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--generator-rate", type=float, help="learning rate of what only the generator has")
    parser.add_argument("--warmup", type=int, help="steps of warm-up")
    parser.add_argument("--decay-share", type=float, metavar="SHARE",
                        help="share of the steps, at the end, in which the rate falls to 0 (1: from the first step)")
    parser.add_argument("--generator-width", type=float, help="width of the generator, as a share of the model's")
    parser.add_argument("--generator-layers", type=float, help="depth of the generator, as a share of the model's")
    parser.add_argument("--dropout", action=argparse.BooleanOptionalAction)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--length", type=int, help="tokens in an example (128)")
    parser.add_argument("--init-from", metavar="PATH",
                        help="begin with another run's state.safetensors, at its step, or with the model in a folder")
    parser.add_argument("--log-every", type=int, default=20, metavar="STEPS")
    parser.add_argument("--save-every", type=int, default=200, metavar="STEPS")
    parser.add_argument("--eval-every", type=int, default=1000, metavar="STEPS")
    parser.add_argument("--threads", type=int, metavar="N",
                        help="compute each batch in N parts at once, each on its own core")
    parser.add_argument("--processes", type=int, default=1, metavar="N",
                        help="share each batch among N processes, which may have threads (extra: mpi)")
    args = parser.parse_args(argv)
    check_ranges(args, 1, math.inf, "steps", "batch_size", "log_every", "save_every", "eval_every", "threads",
                 "processes")
    check_ranges(args, 0, math.inf, "learning_rate", "generator_rate", "warmup", "generator_width", "generator_layers",
                 "seed")
    return args


def _pretrain(args, ranks):
    recipe = replace(PRESETS[args.preset], **{
        f.name: value for f in fields(PretrainingRecipe) if (value := getattr(args, f.name, None)) is not None})
    if recipe.objective == "masked-lm" and args.generator_rate is not None:
        raise ValueError("--generator-rate needs a generator, but --objective masked-lm trains none")
    cfg = ConvBertConfig.from_json(args.config) if args.config else ConvBertConfig(**recipe.model)
    if not SHORTEST <= recipe.length <= cfg.max_position_embeddings:
        raise ValueError(f"--length must be from {SHORTEST} to max_position_embeddings ="
                         f" {cfg.max_position_embeddings}, but is {recipe.length}")
    out = Path(args.out)
    check_out(out)
    out.mkdir(parents=True, exist_ok=True)
    vocab = Path(args.vocab) if args.vocab else out / "vocab.txt"
    if not vocab.exists() and not args.vocab and ranks.rank == 0:
        train_vocabulary(args.corpus, cfg.vocab_size, vocab)
    ranks.add_up(np.zeros(1))
    tokenizer = ConvBertTokenizerFast(str(vocab))
    entries = 1 + max(tokenizer.vocab.values())        # counts a word twice that is in the file twice
    if entries > cfg.vocab_size:
        raise ValueError(f"{vocab} must have at most vocab_size = {cfg.vocab_size} entries, but has {entries}")
    cfg = cfg.replace(vocab_size=entries, pad_token_id=tokenizer.pad_token_id)
    run(args.corpus, out, recipe, cfg, tokenizer, Every(args.log_every, args.save_every, args.eval_every), ranks,
        args.init_from)
    if ranks.rank == 0:
        try:
            draw_curves(out / LOG, out / CURVES)
        except ImportError:
            say(f"no {CURVES}: it needs matplotlib (pip install 'minconvbert[plot]')")
        print(f"the model is in {out / 'model'}")
    return 0


def _launch(processes, arguments):
    """Run the same command once for each rank."""
    command, environment = mpi_command(processes)
    try:
        # In a session of its own, so that a signal reaches it only once, from here.
        mpi = subprocess.Popen([*command, "-m", "minconvbert", *arguments], env=environment, start_new_session=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: mpi.send_signal(number))
        code = mpi.wait()
        return code if code >= 0 else 128 - code
    except FileNotFoundError:
        raise ValueError("--processes needs MPI, but there is no mpiexec; install the extra minconvbert[mpi] and an MPI"
                         " (pip install mpich)") from None
