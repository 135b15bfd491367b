"""The learned model at work: fill a mask, detect a replaced word, name the picture."""

import argparse
from pathlib import Path

import numpy as np

from . import checkpoint
from .activations import sigmoid
from .config import param_shapes
from .files import default_model
from .heads import discriminator, task_model
from .model import convbert, model_inputs
from .ops import softmax
from .safetensors_io import read_safetensors
from .tokenizer import ConvBertTokenizerFast

MASKED = ("In order [MASK] do this, you will need a computer.", "The Supreme [MASK] ruled that the law was wrong.",
          "She opened the [MASK] and looked out into the garden.")
REPLACED = ("They was very tired.", "In order of do this, you need a computer.",
            "The old man walked slowly to the molecule and sat down.")


def fill_mask(text, folder, top=5):
    """The likeliest words for each [MASK] of a text.   ->  for each, a list of (word, probability)

    Raises ValueError if there is no [MASK] in the text, or the text is longer than the model.
    """
    return words_of_masks(text, *load_generator(folder), top)


def load_generator(folder):
    """The masked-word model that stands in a folder, or in its `generator`  ->  cfg, params, tokenizer"""
    folder = Path(folder)
    generator = folder / "generator" if (folder / "generator").is_dir() else folder
    return *checkpoint.load(generator, task="masked_lm"), ConvBertTokenizerFast.from_pretrained(generator)


def words_of_masks(text, cfg, params, tokenizer, top=5):
    """As `fill_mask`, by a model that is loaded."""
    ids = _encode(text, tokenizer, cfg)
    places = np.flatnonzero(ids[0] == tokenizer.mask_token_id)
    if not places.size:
        raise ValueError(f"the text must have a {tokenizer.mask_token} to fill, but it is {text!r}")
    logits, _ = task_model("masked_lm", model_inputs(cfg, ids), params, cfg, keep=False)
    probs = softmax(logits[0, places])
    best = np.argsort(-probs, axis=-1)[:, :top]
    return [[(tokenizer.convert_ids_to_tokens(int(i)), float(p[i])) for i in row] for p, row in zip(probs, best)]


def detect(text, folder):
    """How likely each piece of a text was put there by another hand.   ->  pieces, probabilities

    Raises ValueError if the folder has no discriminator head, or the text is longer than the model.
    """
    folder = Path(folder)
    head_file = folder / "discriminator_head.safetensors"
    if not head_file.exists():
        raise ValueError(f"detecting needs {head_file}, which pretraining writes, but it is not there")
    cfg, params = checkpoint.load(folder)
    head = {name: x.astype(np.float32) for name, x in read_safetensors(head_file).items()}
    wanted = {n: s for n, s in param_shapes(cfg, "discriminator").items() if n.startswith("discriminator_predictions")}
    if {name: x.shape for name, x in head.items()} != wanted:
        raise ValueError(f"{head_file} must hold {wanted}, but holds {({n: x.shape for n, x in head.items()})}")
    tokenizer = ConvBertTokenizerFast.from_pretrained(folder)
    ids = _encode(text, tokenizer, cfg)
    hidden, _ = convbert(model_inputs(cfg, ids), params, cfg, keep=False)
    logits, _ = discriminator(hidden, head, cfg)
    return tokenizer.convert_ids_to_tokens(ids[0, 1:-1].tolist()), sigmoid(logits[0, 1:-1].astype(float))


def _encode(text, tokenizer, cfg):
    ids = np.array([tokenizer.encode(text)])
    if ids.shape[1] > cfg.max_position_embeddings:
        raise ValueError(f"the text must have at most {cfg.max_position_embeddings} pieces, special tokens counted, but"
                         f" has {ids.shape[1]}; shorten it")
    return ids


def show_fill_mask(text, folder, top=5):
    print(text)
    for words in fill_mask(text, folder, top):
        print("    " + "   ".join(f"{word} {probability:.0%}" for word, probability in words))


def show_detect(text, folder):
    print(text)
    pieces, probs = detect(text, folder)
    for piece, probability in zip(pieces, probs):
        print(f"    {piece:<16} {'#' * round(30 * probability):<30} {probability:.0%}")


def tour_main(argv):
    """What `python -m minconvbert` shows."""
    folder = default_model()
    print("ConvBERT-tiny, pretrained by this package in NumPy.\n\nThe generator fills masks:\n")
    for text in MASKED:
        show_fill_mask(text, folder)
    print("\nThe discriminator flags words that do not belong:\n")
    for text in REPLACED:
        show_detect(text, folder)
    print("\nTo see its learned kernels beside its attention maps:\n")
    print('    python -m minconvbert view "The bank of the river was steep." --out view.html\n')
    print("All commands: python -m minconvbert --help")
    return 0


def fill_mask_main(argv):
    args = _parser("fill-mask", "Fill the masks of a text.", "a text with one [MASK] or more").parse_args(argv)
    show_fill_mask(args.text, args.model or default_model(), args.top)
    return 0


def detect_main(argv):
    args = _parser("detect", "Tell which words were replaced.", "a text").parse_args(argv)
    show_detect(args.text, args.model or default_model())
    return 0


def _parser(name, description, text):
    parser = argparse.ArgumentParser(prog=f"python -m minconvbert {name}", description=description)
    parser.add_argument("text", help=text)
    parser.add_argument("--model", metavar="FOLDER", help="a pretrained folder (default: the weights that ship)")
    if name == "fill-mask":
        parser.add_argument("--top", type=int, default=5, metavar="N", help="how many words to show (5)")
    return parser
