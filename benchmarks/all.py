"""All timings as one table of the README: ours beside transformers eager, and either beside its own matrix products.

    python benchmarks/all.py [--corpus TEXT] [--repeats 7] [--picture docs/cost.png]

Takes half an hour, and nothing else should run. A ratio below 1 is in favour of minconvbert. "Of own products" is the
time of ours over that of its matrix products alone, which no step can go below; in brackets, the same of the other
side. With --corpus, the tokenizer beside the Rust one on one thread; with --picture, time over length and batch.
Needs the extra `parity`.
"""

import argparse

import finetune
import model
import pretrain
import tokenizer
from in_turn import CORES, PEAK, PRODUCTS, machine, table_row

from minconvbert.files import default_model
from minconvbert.training import tasks


def table(repeats):
    """Yields (what, which step, (ours, theirs), (products of ours, of theirs) or None)"""
    def rows(what, medians, limits):
        for step, limit in limits.items():
            yield what, step, medians[step], medians[limit]
        yield what, PEAK, medians[PEAK], None

    both = {model.FORWARD: model.FORWARD_PRODUCTS, model.TRAINING: PRODUCTS}
    for size in ("base", "medium-small", "tiny"):
        yield from rows(f"{size}, 8 x 128", model.measured(size, 8, 128, repeats, CORES), both)
    for length in (512, 2048):
        for batch in (1, 4):
            found = model.measured("small", batch, length, repeats, CORES, [model.FORWARD])
            yield from rows(f"small, {batch} x {length}", found, {model.FORWARD: model.FORWARD_PRODUCTS})
    found = finetune.measured(tasks.TASKS, "tiny", 32, 64, 2 * repeats, CORES)
    yield from rows("tiny, 32 x 64, fine-tuning", found, {name: finetune.LIMIT + name for name in tasks.TASKS})
    yield from rows("tiny, 64 x 128", pretrain.measured(64, 2 * repeats, CORES), {pretrain.STEP: PRODUCTS})


def of_tokenizer(corpus, repeats, megabytes=5):
    """Yields a line of MB/s for ids alone, and one for offsets and words"""
    texts = list(tokenizer.paragraphs(corpus, megabytes * 1e6))
    size = sum(len(text.encode()) for text in texts) / 1e6
    speed = {name: size / tokenizer.best(repeats, *case)[0]
             for name, case in tokenizer.cases(texts, default_model() / "vocab.txt").items()}
    rust, ours, rust_offsets, our_offsets, *_ = speed.values()
    for what, mine, theirs in (("ids alone", ours, rust), ("offsets and words", our_offsets, rust_offsets)):
        yield f"| tokenizer, one thread | {what} | {mine:.2f} MB/s | {theirs:.2f} MB/s | {theirs / mine:.2f} |  |"


def picture(path, repeats):
    """Time of a forward and backward of `small` over the length and over the batch, for each token."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
    for axis, name, sizes in zip(axes, ("length, 4 rows", "rows of 128 tokens"), ((32, 64, 128, 256, 512, 1024),
                                                                             (1, 2, 4, 8, 16, 32))):
        times = []
        for size in sizes:
            batch, length = (4, size) if axis is axes[0] else (size, 128)
            found = model.measured("small", batch, length, repeats, CORES, [model.TRAINING])
            times.append([1e6 * x / (batch * length) for x in (*found[model.TRAINING], found[PRODUCTS][0])])
        ours, theirs, our_products = zip(*times)
        axis.plot(sizes, ours, "o-", color="#0072b2", label="minconvbert")
        axis.plot(sizes, theirs, "s--", color="#d55e00", label="transformers, eager")
        axis.plot(sizes, our_products, ":", color="0.4", label="products of minconvbert alone")
        axis.set(xscale="log", xticks=sizes, xticklabels=sizes, xlabel=name)
        axis.minorticks_off()
    axes[0].set(ylabel="microseconds a token", ylim=(0, None))       # only now, when both have drawn what they share
    axes[0].legend()
    figure.suptitle("forward and backward of small")
    figure.savefig(path, dpi=120, metadata={"Software": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", metavar="TEXT", help="plain text for the tokenizers; .xz is read as it is")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--picture", metavar="FILE")
    options = parser.parse_args()
    print(*machine(), sep="; ", end="\n\n")
    print("| model, rows x tokens | step | minconvbert | transformers | ratio | of own products |")
    print("|---|---|---|---|---|---|")
    for found in table(options.repeats):
        print(table_row(*found), flush=True)
    if options.corpus:
        print(*of_tokenizer(options.corpus, options.repeats), sep="\n", flush=True)
    if options.picture:
        picture(options.picture, options.repeats)


if __name__ == "__main__":
    main()
