"""The results table of the README: ConvBERT-tiny pretrained, the same from random numbers, and a simple baseline.

    python benchmarks/results.py --data /work/tasks --work /tmp/results [--sets intents tags ...] [--seeds 0 1 2]

--data: the folder where the data sets were unpacked; what is read of each, and how it is split, is told below. Every
number is that of the last model of a run, on development data, so no model was chosen on the data it is measured on;
the recipe, nearly one for all, was. Prints the table and the commands of each run; a run that is finished is not run
again.
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
import zlib
from pathlib import Path

MODEL = Path(__file__).parent.parent / "weights" / "convbert-tiny"


def lines(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def split(rows, key=str, every=10):
    """(training, development): a tenth, by a hash of what must not fall on both sides"""
    parts = [], []
    for row in rows:
        parts[zlib.crc32(key(row).encode()) % every == 0].append(row)
    return parts


def intents(data, train, dev):
    """CLINC150, 150 intents; `train` and `val` of train_val.json, without those out of scope."""
    parts = json.loads((data / "intent_clinc150/train_val.json").read_text())
    for path, name in ((train, "train"), (dev, "val")):
        lines(path, [dict(text=text, label=label) for text, label in parts[name]])


def tags(data, train, dev):
    """UD English EWT, 17 parts of speech; the files as they are."""
    for path, name in ((train, "train"), (dev, "dev")):
        path.write_bytes((data / f"pos_ud_ewt/en_ewt-ud-{name}.conllu").read_bytes())


def snips(data):
    for path in sorted((data / "slots_snips").glob("train_*_full.json")):
        raw = path.read_bytes()
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
        for (intent, queries), in [json.loads(text).items()]:
            yield from ((intent, query["data"]) for query in queries)


def slots(data, train, dev):
    """SNIPS, 39 slots; a tenth of the queries is held out."""
    for path, queries in zip((train, dev), split(snips(data), lambda q: "".join(part["text"] for part in q[1]))):
        rows = []
        for _, parts in queries:
            words = [(word, f"{'I' if n else 'B'}-{part['entity']}" if "entity" in part else "O")
                     for part in parts for n, word in enumerate(part["text"].split())]
            rows.append("".join(f"{word} {tag}\n" for word, tag in words))
        path.write_text("\n".join(rows), encoding="utf-8")


def queries(data, train, dev):
    """SNIPS, 7 intents; a tenth of the queries is held out."""
    for path, some in zip((train, dev), split(snips(data), lambda q: "".join(part["text"] for part in q[1]))):
        lines(path, [dict(text="".join(part["text"] for part in parts).strip(), label=intent)
                     for intent, parts in some])


def names(data, train, dev):
    """Wikigold, persons, places, organisations and others; a tenth of the sentences is held out."""
    sentences = (data / "ner_wikigold/wikigold.conll.txt").read_text(encoding="utf-8").strip().split("\n\n")
    sentences = [one for one in sentences if not one.startswith("-DOCSTART-")]
    for path, some in zip((train, dev), split(sentences)):
        path.write_text("\n\n".join(some) + "\n", encoding="utf-8")


def short_answers(data, train, dev):
    """QAMR, contexts of one sentence; a tenth of the contexts is held out, 4,000 of the other questions are learned."""
    rows = [json.loads(line) for line in (data / "qa_qamr/train.jsonl").read_text(encoding="utf-8").splitlines()]
    for path, some, most in zip((train, dev), split(rows, lambda row: row["context"]), (4000, None)):
        lines(path, some[:most])


def answers(data, train, dev):
    """SQuAD 1.1, its development set split by article; the files as they are."""
    for path, name in ((train, "train"), (dev, "dev")):
        path.write_bytes((data / f"qa_squad_dev_split/split-{name}.json").read_bytes())


def next_sentence(data, train, dev):
    """Which of four sentences comes next in a novel; the first 3,000 questions are learned."""
    for path, name, most in ((train, "train", 3000), (dev, "dev", None)):
        text = (data / f"choice_next_sentence/fiction_{name}.jsonl").read_text(encoding="utf-8")
        path.write_text("".join(text.splitlines(keepends=True)[:most]), encoding="utf-8")


def follows(data, train, dev):
    """The same novels as pairs: does the second text follow the first? The right sentence, and one of the others."""
    for path, name, most in ((train, "train", 6000), (dev, "dev", None)):
        text = (data / f"choice_next_sentence/fiction_{name}.jsonl").read_text(encoding="utf-8")
        pairs = []
        for line in text.splitlines()[:most]:
            one = json.loads(line)
            others = [choice for n, choice in enumerate(one["choices"]) if n != one["label"]]
            for label, choice in (("yes", one["choices"][one["label"]]),
                                  ("no", others[zlib.crc32(one["context"].encode()) % len(others)])):
                pairs.append(dict(text=one["context"], text_pair=choice, label=label))
        lines(path, pairs)


def reasons(data, train, dev):
    """ComVE task B: why a statement makes no sense, three reasons; the right one's place is a hash of the statement."""
    for path, name in ((train, "train"), (dev, "dev")):
        rows = []
        with open(data / f"choice_comve/{name}.csv", encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                label = zlib.crc32(row["Incorrect Statement"].encode()) % 3
                choices = [row["Confusing Reason1"], row["Confusing Reason2"]]
                choices.insert(label, row["Right Reason1"])
                if all(choice.strip() for choice in choices):
                    rows.append(dict(context=row["Incorrect Statement"], choices=choices, label=label))
        lines(path, rows)


def words(data, train, dev):
    """The sentences of UD English EWT as plain text, each a document."""
    for path, name in ((train, "train"), (dev, "dev")):
        text = (data / f"pos_ud_ewt/en_ewt-ud-{name}.conllu").read_text(encoding="utf-8")
        path.write_text("\n\n".join(line.removeprefix("# text = ") for line in text.splitlines()
                                    if line.startswith("# text = ")) + "\n", encoding="utf-8")


# set: (how to make it, task, suffix, metric, baseline of the data's README, options)
SETS = {
    "intents": (intents, "text-classification", ".jsonl", "accuracy", "90.7 (TF-IDF)", "--epochs 6 --batch-size 64"),
    "queries": (queries, "text-classification", ".jsonl", "accuracy", "97.6 (TF-IDF)",
                "--epochs 4 --learning-rate 5e-4"),
    "follows": (follows, "text-classification", ".jsonl", "accuracy", "-", "--epochs 4 --learning-rate 5e-4"),
    "tags": (tags, "token-classification", ".conllu", "accuracy", "88.1 (most frequent tag)", "--epochs 3"),
    "slots": (slots, "token-classification", ".conll", "f1", "-", "--epochs 3"),
    "names": (names, "token-classification", ".conll", "f1", "-", "--epochs 6"),
    "short-answers": (short_answers, "question-answering", ".jsonl", "f1", "-", "--epochs 4"),
    "answers": (answers, "question-answering", ".json", "f1", "-", "--epochs 2"),
    "next-sentence": (next_sentence, "multiple-choice", ".jsonl", "accuracy", "44.9 (word overlap)",
                      "--epochs 2 --batch-size 16 --layer-decay 0.8"),
    "reasons": (reasons, "multiple-choice", ".jsonl", "accuracy", "67.6 (bag of words)", "--epochs 2"),
    "words": (words, "masked-lm", ".txt", "perplexity", "-", "--epochs 3"),
}
RECIPE = "--learning-rate 1e-3 --layer-decay 1 --dropout 0"
STARTS = ("pretrained", "random")


def run(name, start, seed, folder, extra):
    """-> metrics on development data, and the command"""
    _, task, suffix, _, _, options = SETS[name]
    out = folder / f"{name}-{start}-{seed}"
    command = ["finetune", task, "--data", f"{name}-train{suffix}", "--model", str(MODEL), "--out", out.name, "--seed",
               str(seed), *RECIPE.split(), *options.split(), *["--random-init"] * (start == "random"), *extra]
    measured = folder / f"{out.name}.json"
    if not measured.exists():
        program = [sys.executable, "-m", "minconvbert"]
        subprocess.run([*program, *command], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        printed = subprocess.run(
            [*program, "evaluate", task, "--model", out.name, "--data", f"{name}-dev{suffix}"],
            cwd=folder, check=True, capture_output=True, text=True).stdout
        measured.write_text(json.dumps({key.replace(" ", "_"): float(value) for key, value in (
            line.rsplit(maxsplit=1) for line in printed.splitlines())}))
    return json.loads(measured.read_text()), "python -m minconvbert " + " ".join(command)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=STARTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--extra", default="", help="more options for every run, as one string")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    commands = []
    for name in args.sets:
        make, task, suffix, metric, baseline, _ = SETS[name]
        paths = [args.work / f"{name}-{part}{suffix}" for part in ("train", "dev")]
        if not all(path.exists() for path in paths):
            make(args.data, *paths)
        cells = []
        for start in args.starts:
            values = []
            for seed in args.seeds:
                figures, command = run(name, start, seed, args.work, args.extra.split())
                values.append(figures[metric] * (1 if metric == "perplexity" else 100))
            commands.append(command)
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.1f}{spread}")
        print(f"| {name} | {task}, {metric} | {' | '.join(cells)} | {baseline} |", flush=True)
    print("\n" + "\n".join(commands))


if __name__ == "__main__":
    main()
