"""`python -m minconvbert step "a sentence" --out step.html`: every line of its way through the model, and back."""

import argparse
import contextlib
from pathlib import Path

import numpy as np

from .. import checkpoint
from ..course.exercises import case, fresh, reference
from ..faces import ConvBertModel
from ..faces.pretrained import load_discriminator, load_generator
from ..files import SHIPPED, model_path
from ..inputs import model_inputs
from ..losses import IGNORED
from ..shapes import sub
from ..step import steps
from ..step.page import Head, page
from ..step.sentence import STATIONS, walk
from ..view.interactive import page as picture
from ..view.look import look, piece, unknown_words
from ..view.selection import chosen, seen

WAY = {
    False: "A sentence goes through the model, station by station.",
    True: "A sentence goes through the model, station by station, and the gradients of the loss come back."}
LOSS = {
    "discriminator": "The loss asks of every word whether it was replaced; here none was.",
    "masked_lm": "The loss asks which word is at each place."}


def main(argv):
    args = _parser().parse_args(argv)
    path = Path(args.out)
    if path.suffix.lower() != ".html":
        raise ValueError(f"--out must end in .html, but is {args.out!r}")
    if not path.parent.is_dir():
        raise ValueError(f"--out must be in a folder that exists, but {path.parent} is none; make it first")
    if (args.sentence is None) == (args.exercise is None):
        raise ValueError("pass either a sentence or --exercise NAME")
    made = exercise_page(args.exercise, args.seed) if args.exercise else sentence_page(
        args.sentence, model_path(args.model), args.layer, args.token, args.backward)
    made.save(path)
    print(f"wrote {path} ({len(made.html.encode()) / 1e6:.1f} MB)")
    return 0


def exercise_page(name, seed=0):
    """The page of an exercise of the course, with the numbers that the seed draws; a forward has its backward, too."""
    function, args = reference(name), case(name, seed)
    dout = None
    if not name.endswith("_backward"):
        out = function(*fresh(args))
        out = out[0] if isinstance(out, tuple) else out
        dout = np.random.default_rng(0).normal(size=np.shape(out)).astype(out.dtype)
    recording = steps(function, *fresh(args), dout=dout, into=True, title=f"{name}, seed {seed}")
    return page(recording)


def sentence_page(sentence, folder, layer=0, token=None, backward=False):
    """The page of a sentence's way through the model in a folder.

    Raises ValueError if the model has no head whose loss the sentence alone decides, or the sentence is too long.
    """
    task, cfg, params, tokenizer = load_with_head(folder)
    out, tokens = look(ConvBertModel(cfg, sub(params, "convbert")), tokenizer, sentence)
    shown = seen(out, tokens)
    layer, _, followed = chosen(shown, layer, None, piece(tokenizer, tokens, token))
    ids = np.array([tokenizer.encode(sentence)])
    labels = np.zeros_like(ids) if task == "discriminator" else np.where(
        np.isin(ids, tokenizer.all_special_ids), IGNORED, ids)
    recording = walk(task, model_inputs(cfg, ids), labels, params, cfg, layer, backward)
    recording.title = sentence
    unknown = unknown_words(tokenizer, sentence)
    notes = [f"Not in the vocabulary, and seen as {tokenizer.unk_token}: {', '.join(unknown)}."] if unknown else []
    if token is None:
        notes.append(f"The page follows “{tokens[followed]}”, because its kernel differs most from the mean of all.")
    head = Head(f"{folder.name}, {_which(layer, cfg.num_hidden_layers)}. {WAY[backward]} {LOSS[task]}", notes=notes)
    kernels = picture(out, tokens, layer=layer, token=followed)
    return page(recording, shown.tokens, token=followed, stations=STATIONS, head=head,
                pictures={"mixed_attention": ("Kernel beside attention", kernels)})


def _which(layer, count):
    return f"layer {layer} of the {count} layers, which are numbered from 0" if count > 1 else "its only layer"


def load_with_head(folder):
    """-> task, cfg, params, tokenizer; the discriminator where there is one, else the masked-word model"""
    with contextlib.suppress(checkpoint.NoHeadError):
        return "discriminator", *load_discriminator(folder)
    try:
        return "masked_lm", *load_generator(folder)
    except checkpoint.CheckpointError as error:
        raise ValueError(f"the model must have the head of a discriminator or of a masked-word model, because for those"
                         f" the sentence says what is right, but {folder} has neither ({error})") from None


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m minconvbert step", description="Walk through the code line by line, with the numbers of every"
        " line: a sentence's whole way through the model, or an exercise of the course. The page needs nothing else.")
    parser.add_argument("sentence", nargs="?", help="a sentence, in quotes")
    parser.add_argument("--layer", type=int, default=0, metavar="N", help="the layer to walk through, from 0 (0)")
    parser.add_argument("--token", metavar="WORD", help="the word to follow, or its position from 0 (the one whose"
                        " kernel is least like the others)")
    parser.add_argument("--backward", action="store_true", help="also show the way back: the gradients of everything")
    parser.add_argument("--exercise", metavar="NAME", help="an exercise of the course instead of a sentence")
    parser.add_argument("--seed", default="0", help="the seed of the exercise's numbers (0)")
    parser.add_argument("--model", metavar="FOLDER", default=SHIPPED, help="a pretrained folder (%(default)s)")
    parser.add_argument("--out", metavar="FILE", default="step.html", help="the page to write (step.html)")
    return parser
