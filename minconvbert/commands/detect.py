"""`python -m minconvbert detect "..."`: which words of a text were replaced."""

import argparse

from ..faces.pretrained import detect
from ..files import SHIPPED


def show_detect(text, folder):
    pieces, probs = detect(text, folder)
    print(text)
    for piece, probability in zip(pieces, probs):
        print(f"    {piece:<16} {'#' * round(30 * probability):<30} {probability:.0%}")


def main(argv):
    parser = argparse.ArgumentParser(
        prog="python -m minconvbert detect", description="Find the words that were replaced.")
    parser.add_argument("text", help="a text")
    parser.add_argument("--model", metavar="FOLDER", default=SHIPPED, help="a pretrained folder (%(default)s)")
    args = parser.parse_args(argv)
    show_detect(args.text, args.model)
    return 0
