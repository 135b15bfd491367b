"""Which of two sentences is English? Pretrained weights on BLiMP, the benchmark of linguistic minimal pairs.

    python benchmarks/blimp.py --pairs blimp.jsonl.xz [--model FOLDER] [--corpus FILE ... --work DIR] [--most 100]

--pairs: one JSON object a line with `good`, `bad`, `paradigm` and `phenomenon`, as in the files of BLiMP (Warstadt et
al. 2020, CC BY 4.0); .xz files are read as they are. --corpus: what the word frequencies are counted on; without it
they are left out. --most: so many pairs of each paradigm, the first ones.

The score of a sentence, of which the better sentence of a pair must have the higher, is a sum over its pieces:

    generator      log p(piece | all the others), each piece masked in turn (pseudo-log-likelihood, Salazar et al. 2020)
    discriminator  log p(original)
    frequencies    log of the share of the piece in the corpus
    fresh ...      the first two, by a model of the same shape that has learned nothing

An accuracy is the share of pairs that are in the right order; a tie counts half.
"""

import argparse
import json
import lzma
from pathlib import Path

import numpy as np

from minconvbert.config import ConvBertConfig
from minconvbert.electra import init_pretraining, masked_word_loss, part_params, replaced_word_loss
from minconvbert.files import default_model
from minconvbert.losses import binary_nll, negative_log_likelihood
from minconvbert.tokenizer.hugging_face import ConvBertTokenizerFast
from minconvbert.training import corpus
from minconvbert.training.pretrain import exported_params, word_frequencies

CHUNK = 512                                            # rows that are read at once


def generator_scores(sentences, params, cfg, special):
    """sentences: lists of ids with their special tokens  ->  (number of sentences,)"""
    owner = np.repeat(np.arange(len(sentences)), [len(ids) - 2 for ids in sentences])
    position = np.concatenate([np.arange(1, len(ids) - 1) for ids in sentences])
    scores = np.zeros(len(sentences))
    for rows in chunks([len(sentences[i]) for i in owner]):
        batch = corpus.example_batch([sentences[i] for i in owner[rows]], special["sep"], special["pad"])
        at = np.arange(len(rows)), position[rows]
        labels = batch["input_ids"][at]
        masked = batch["input_ids"].copy()
        masked[at] = special["mask"]
        places = dict(rows=at[0], positions=at[1], labels=labels)
        _, acts = masked_word_loss(batch | dict(masked_ids=masked), places, part_params(params, "generator"), cfg)
        np.subtract.at(scores, owner[rows], negative_log_likelihood(acts["words"], labels)[0])
    return scores


def discriminator_scores(sentences, params, cfg, special):
    scores = np.zeros(len(sentences))
    for rows in chunks([len(ids) for ids in sentences]):
        batch = corpus.example_batch([sentences[i] for i in rows], special["sep"], special["pad"])
        ids = batch["input_ids"]
        _, acts = replaced_word_loss(batch, ids, np.zeros_like(ids), part_params(params, "discriminator"), cfg)
        logits = acts["logits"][:, 1:-1]
        scores[rows] = -binary_nll(logits, np.zeros_like(logits)).sum(1)
    return scores


def frequency_scores(sentences, frequencies):
    return np.array([np.log(frequencies[ids[1:-1]]).sum() for ids in sentences])


def chunks(lengths):
    """Numbers of rows to read at once: all of one length, because ConvBERT's convolutions see padding."""
    lengths = np.asarray(lengths)
    same = [np.flatnonzero(lengths == length) for length in np.unique(lengths)]
    return [rows[start : start + CHUNK] for rows in same for start in range(0, len(rows), CHUNK)]


def read_pairs(path, most=None):
    """Raises ValueError naming the line that is no pair."""
    pairs, seen = [], {}
    with (lzma.open if str(path).endswith(".xz") else open)(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                pair = {name: json.loads(line)[name] for name in ("good", "bad", "paradigm", "phenomenon")}
            except (ValueError, KeyError, TypeError):
                raise ValueError(f"{path}, line {number} must be a JSON object with good, bad, paradigm and phenomenon,"
                                 f" but is {line.strip()!r:.100}") from None
            seen[pair["paradigm"]] = seen.get(pair["paradigm"], 0) + 1
            if most is None or seen[pair["paradigm"]] <= most:
                pairs.append(pair)
    return pairs


def accuracies(pairs, scores):
    """(phenomenon or "all") -> the mean over its paradigms of the share of pairs in the right order

    scores (2 pairs,): of all good sentences, then of all bad ones
    """
    good, bad = np.split(scores, 2)
    right = (good > bad) + (good == bad) / 2
    of_paradigm = {}
    for pair, x in zip(pairs, right):
        of_paradigm.setdefault((pair["phenomenon"], pair["paradigm"]), []).append(x)
    means = {name: float(np.mean(x)) for name, x in of_paradigm.items()}
    groups = {phenomenon: [x for (of, _), x in means.items() if of == phenomenon] for phenomenon, _ in sorted(means)}
    return {name: float(np.mean(x)) for name, x in (groups | dict(all=list(means.values()))).items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", required=True, metavar="FILE")
    parser.add_argument("--model", metavar="FOLDER", type=Path, help="as pretrain leaves it (those that ship)")
    parser.add_argument("--corpus", nargs="+", metavar="FILE")
    parser.add_argument("--work", metavar="DIR", type=Path, help="keeps the examples of --corpus")
    parser.add_argument("--most", type=int, metavar="N")
    args = parser.parse_args()
    if (args.corpus is None) != (args.work is None):
        parser.error("--corpus needs --work, and --work needs --corpus")
    folder = args.model or default_model()
    tokenizer = ConvBertTokenizerFast.from_pretrained(folder)
    special = dict(mask=tokenizer.mask_token_id, cls=tokenizer.cls_token_id, sep=tokenizer.sep_token_id,
                   pad=tokenizer.pad_token_id)
    cfg, generator_cfg = ConvBertConfig.from_json(folder), ConvBertConfig.from_json(folder / "generator")
    pairs = read_pairs(args.pairs, args.most)
    sentences = [tokenizer.encode(pair[side]) for side in ("good", "bad") for pair in pairs]
    table = {}
    for name, params in (("", exported_params(folder)),
                         ("fresh ", init_pretraining(cfg, generator_cfg, np.random.default_rng(0)))):
        table[f"{name}generator"] = generator_scores(sentences, params, generator_cfg, special)
        table[f"{name}discriminator"] = discriminator_scores(sentences, params, cfg, special)
    if args.corpus:
        args.work.mkdir(parents=True, exist_ok=True)
        train, _ = corpus.encode_corpus(args.corpus, tokenizer, 128, args.work)
        table["frequencies"] = frequency_scores(sentences, word_frequencies(train, special, cfg.vocab_size))
    table = {name: accuracies(pairs, scores) for name, scores in table.items()}
    print(f"{'phenomenon':<28}", *(f"{name:>20}" for name in table))
    for phenomenon in next(iter(table.values())):
        print(f"{phenomenon:<28}", *(f"{column[phenomenon]:>20.1%}" for column in table.values()))


if __name__ == "__main__":
    main()
