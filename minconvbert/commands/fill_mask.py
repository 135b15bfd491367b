"""`python -m minconvbert fill-mask "..."`: the likeliest words for the masks of a text."""

import argparse

from ..files import default_model
from ..pretrained import fill_mask


def show_fill_mask(text, folder, top=5):
    print(text)
    for words in fill_mask(text, folder, top):
        print("    " + "   ".join(f"{word} {probability:.0%}" for word, probability in words))


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m minconvbert fill-mask", description="Fill the masks of a text.")
    parser.add_argument("text", help="a text with one [MASK] or more")
    parser.add_argument("--model", metavar="FOLDER", help="a pretrained folder (default: the weights that ship)")
    parser.add_argument("--top", type=int, default=5, metavar="N", help="how many words to show (5)")
    args = parser.parse_args(argv)
    show_fill_mask(args.text, args.model or default_model(), args.top)
    return 0
