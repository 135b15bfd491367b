"""`python -m minconvbert fill-mask "..."`: the likeliest words for the masks of a text."""

import argparse

from ..faces.pretrained import fill_mask
from ..files import SHIPPED


def show_filled(text, filled):
    """Print a text and the words for each of its masks, as `fill_mask` returns them."""
    print(text)
    for words in filled:
        print("    " + "   ".join(f"{word} {probability:.0%}" for word, probability in words))


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m minconvbert fill-mask", description="Fill the masks of a text.")
    parser.add_argument("text", help="a text with one [MASK] or more")
    parser.add_argument("--model", metavar="FOLDER", default=SHIPPED, help="a pretrained folder (%(default)s)")
    parser.add_argument("--top", type=int, default=5, metavar="N", help="how many words to show (5)")
    args = parser.parse_args(argv)
    show_filled(args.text, fill_mask(args.text, args.model, args.top))
    return 0
