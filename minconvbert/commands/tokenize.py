"""`python -m minconvbert tokenize "a text"`: its pieces, and why each was chosen."""

import argparse
import json
import sys

from ..files import SHIPPED
from ..tokenizer.hugging_face import ConvBertTokenizer, ConvBertTokenizerFast


def main(argv):
    """The command `tokenize`."""
    parser = argparse.ArgumentParser(
        prog="python -m minconvbert tokenize", description="Show the pieces of a text, and why each was chosen.")
    parser.add_argument("text", help="the text; - reads it from standard input")
    parser.add_argument("--vocab", metavar="PATH", default=SHIPPED,
                        help="a vocab.txt, or the folder of a tokenizer (%(default)s)")
    parser.add_argument("--slow", action="store_true", help="use ConvBertTokenizer, not ConvBertTokenizerFast")
    parser.add_argument("--cased", action="store_true", help="keep case and accents")
    parser.add_argument("--json", action="store_true", help="print JSON, a list of objects")
    options = parser.parse_args(argv)
    kind = ConvBertTokenizer if options.slow else ConvBertTokenizerFast
    settings = {"do_lower_case": False} if options.cased else {}
    tokenizer = kind.from_pretrained(options.vocab, **settings)
    rows = tokenizer.explain(sys.stdin.read() if options.text == "-" else options.text)
    if options.json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return 0
    width = max([len("token"), *(len(row["token"]) for row in rows)])
    print(f"{'token':<{width}}  {'id':>6}  {'from':>5} {'to':>5}  why")
    for row in rows:
        print(f"{row['token']:<{width}}  {row['id']:>6}  {row['start']:>5} {row['end']:>5}  {row['why']}")
    return 0
