"""How fast texts become ids, with and without offsets, beside the Rust `tokenizers` on one thread.

    python benchmarks/tokenizer.py CORPUS [--megabytes 5] [--repeats 5] [--vocab vocab.txt]

Paragraphs of CORPUS (UTF-8 text; .xz is read as it is) until there are that many megabytes. Each figure is the best of
the repeats, each repeat with a fresh tokenizer, so with nothing remembered; "warm" is the second pass over the same
text. CPU seconds, for other work may be running. One process, one thread.
"""

import argparse
import gc
import os
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import tokenizers  # noqa: E402

from minconvbert.files import default_model  # noqa: E402
from minconvbert.tokenizer import ConvBertTokenizer, ConvBertTokenizerFast  # noqa: E402
from minconvbert.tokenizer.vocab import read_vocab  # noqa: E402
from minconvbert.training.corpus import read_documents  # noqa: E402


def paragraphs(corpus, number_of_bytes):
    found = 0
    for document in read_documents([corpus]):
        for line in document:
            if found >= number_of_bytes:
                return
            found += len(line.encode())
            yield line


def rust(vocab_file):
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(
        {token: i for i, token in enumerate(read_vocab(vocab_file))}, unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    return made


def best(repeats, make, run):
    """-> the least CPU seconds of a first run, and of a second with the same tokenizer"""
    seconds = []
    for _ in range(repeats):
        made, pair = make(), []
        for _ in range(2):
            gc.collect()
            began = time.process_time()
            kept = run(made)
            pair.append(time.process_time() - began)
            del kept
        seconds.append(pair)
    return [min(column) for column in zip(*seconds, strict=True)]


def cases(texts, vocab):
    """name -> (what makes a tokenizer, what reads the texts with it)"""
    def ours():
        return ConvBertTokenizerFast(vocab)

    def theirs():
        return rust(vocab)

    return {
        "tokenizers (Rust), ids alone: encode_batch_fast": (
            theirs, lambda made: [one.ids for one in made.encode_batch_fast(texts, add_special_tokens=False)]),
        "ours, ids alone: encode_ids": (ours, lambda made: [made.encode_ids(text) for text in texts]),
        "tokenizers (Rust), offsets and words: encode_batch": (
            theirs, lambda made: [(one.ids, one.offsets, one.word_ids) for one in made.encode_batch(texts)]),
        "ours, offsets and words: calling the tokenizer": (ours, lambda made: made(texts, return_offsets_mapping=True)),
        "ours, nothing remembered": (ours, lambda made: [made._work_out(text) for text in texts]),
        "ours, the slow tokenizer's rules": (
            lambda: ConvBertTokenizer(vocab), lambda made: [made.encode_ids(text) for text in texts]),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpus")
    parser.add_argument("--megabytes", type=float, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--vocab", default=default_model() / "vocab.txt")
    options = parser.parse_args()
    texts = list(paragraphs(options.corpus, options.megabytes * 1e6))
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    print(f"{len(texts):,} texts, {megabytes:.2f} MB, tokenizers {tokenizers.__version__}\n")
    print(f"{'MB/s':>40}{'':<18}{'first':>7}{'warm':>7}   of Rust, first")
    speed = {}
    for name, (make, run) in cases(texts, options.vocab).items():
        first, warm = best(options.repeats, make, run)
        speed[name] = megabytes / first
        rival = next(other for other in reversed(speed) if "Rust" in other)
        ratio = f"{speed[name] / speed[rival]:.2f}x" if name != rival else ""
        print(f"{name:<58}{speed[name]:>7.2f}{megabytes / warm:>7.2f}   {ratio}", flush=True)


if __name__ == "__main__":
    main()
