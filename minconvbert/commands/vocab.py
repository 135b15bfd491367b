"""`python -m minconvbert vocab train | audit`: learn a vocabulary, or report what is wrong with one."""

import argparse
import json
import math
from itertools import chain

from ..tokenizer.vocab import SCORES, audit, count_words, read_vocab, train_on_counts, unknown, write_vocab
from ..training.corpus import read_documents, split_documents
from ..training.progress import Progress, say
from . import check_ranges


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m minconvbert vocab")
    commands = parser.add_subparsers(dest="command", required=True)
    trained = commands.add_parser("train", help="learn a vocabulary from text")
    trained.add_argument("corpus", nargs="+", help="UTF-8 text with a blank line between documents, plain or as .xz")
    trained.add_argument("--size", type=int, default=8192, help="number of tokens (default 8192)")
    trained.add_argument("--out", default="vocab.txt", help="where to write it (default vocab.txt)")
    trained.add_argument("--cased", action="store_true", help="keep case and accents")
    trained.add_argument("--score", choices=SCORES, default="likelihood",
                         help="the score that decides which pieces to join (default likelihood)")
    trained.add_argument("--min-count", type=int, default=2, help="how often a piece must occur (default 2)")
    trained.add_argument("--max-alphabet", type=int,
                         help="largest number of characters (default: enough for 99.95%% of the text, at least 256)")
    trained.add_argument("--max-bytes", type=int, help="read whole documents until this size is reached")
    trained.add_argument("--hold-out", action="store_true", help="leave out the documents that pretraining holds out")
    audited = commands.add_parser("audit", help="report what is wrong with a vocabulary; exit code 1 if anything is")
    audited.add_argument("file")
    audited.add_argument("--text", nargs="+", metavar="FILE", help="UTF-8 text; report how much of it becomes [UNK]")
    audited.add_argument("--cased", action="store_true", help="keep case and accents of the text")
    audited.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    if options.command == "train":
        check_ranges(options, 1, math.inf, "size", "min_count", "max_alphabet", "max_bytes")
    return (_train_main if options.command == "train" else _audit_main)(options)


def _train_main(options):
    def lines():
        documents, number = read_documents(options.corpus), 0
        for document in split_documents(documents, held_out=False) if options.hold_out else documents:
            if options.max_bytes is not None and number >= options.max_bytes:
                return
            number += len("\n".join(document).encode())
            yield from document

    say("counting words")
    words = count_words(lines(), not options.cased)
    tokens = train_on_counts(
        words, options.size, lowercase=not options.cased, score=options.score, max_alphabet=options.max_alphabet,
        min_count=options.min_count, progress=Progress(options.size))
    write_vocab(options.out, tokens)
    say(f"{len(tokens):,} tokens in {options.out}; {unknown(words, tokens)}")
    return 0


def _audit_main(options):
    words = None
    if options.text:
        words = count_words(chain.from_iterable(read_documents(options.text)), not options.cased)
    found = audit(options.file, words)
    if options.json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
        return bool(found)
    if not found:
        tokens = read_vocab(options.file)
        print(f"{options.file}: {len(tokens):,} tokens, nothing wrong" + (
            f"; {unknown(words, tokens)}" if options.text else ""))
    for name, what in found.items():
        print(f"{name}: " + (what if isinstance(what, str) else "".join(f"\n  {sentence}" for sentence in what)))
    return bool(found)
