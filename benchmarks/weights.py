"""What pretrained weights have learned: the figures of their model card, on documents that were held out.

    python benchmarks/weights.py --corpus FILE ... --work DIR [--model FOLDER]

The generator: loss in nats and accuracy at the hidden places alone and at all drawn places, 15% of which can be copied.
The discriminator: the area under the ROC curve, where the same places are filled with words that its own generator
draws, that are drawn by their frequency, and that are drawn evenly. Then the same with one half of every mixed block
switched off, in the model whose figure it is; the words still come from the whole generator. --work keeps the examples.
"""

import argparse
from pathlib import Path

import numpy as np

from minconvbert.config import ConvBertConfig
from minconvbert.electra import (
    RowRandom,
    masked_word_loss,
    part_params,
    pretraining_loss,
    replace_tokens,
    replaced_word_loss,
)
from minconvbert.files import default_model
from minconvbert.losses import negative_log_likelihood
from minconvbert.tokenizer.hugging_face import ConvBertTokenizerFast
from minconvbert.training import corpus
from minconvbert.training.metrics import area_under_curve
from minconvbert.training.pretrain import (
    exported_params,
    masked_batch,
    place_figures,
    unigram_baseline,
    word_frequencies,
)

WORDS = ("own", "frequency", "even")
VARIANTS = ("whole", "attention off", "convolution off")


def switched_off(params, variant):
    """The parameters with what one half of each block gives multiplied by 0, where a dense layer reads it."""
    params = dict(params)
    for name in [n for n in params if n.endswith("attention.output.dense.weight")] if variant != "whole" else ():
        half = params[name].shape[1] // 2              # of the columns, the first read attention
        params[name] = params[name].copy()
        params[name][:, slice(half) if variant == "attention off" else slice(half, None)] = 0
    return params


def fillings(sampled, frequencies, special, rng):
    """name -> a word for each place.   sampled (N,): what the generator drew"""
    even = np.ones(len(frequencies))
    even[list(special.values())] = 0
    draw = lambda shares: rng.choice(len(shares), len(sampled), p=shares / shares.sum())
    return dict(zip(WORDS, (sampled, draw(frequencies), draw(even))))


def figures(params, cfg, generator_cfg, held_out, frequencies, special, batch_size=64):
    """variant -> the figures of `pretrain.evaluate` for places, and auc_own, auc_frequency, auc_even"""
    variants = {variant: switched_off(params, variant) for variant in VARIANTS}
    places_of, logits, replaced_by = {v: [] for v in VARIANTS}, {}, {}
    for start in range(0, len(held_out), batch_size):
        rows = held_out[start : start + batch_size]
        rng = RowRandom(0, 0, range(start, start + len(rows)))
        batch, places = masked_batch(rows, rng, special)
        hidden = batch["masked_ids"][places["rows"], places["positions"]] == special["mask"]
        _, acts = pretraining_loss(batch, places, params, cfg, generator_cfg, rng)
        words = fillings(acts["sampled"], frequencies, special, np.random.default_rng([1, start]))
        real = batch["attention_mask"] != 0
        for variant, own in variants.items():
            _, acts = masked_word_loss(batch, places, part_params(own, "generator"), generator_cfg)
            places_of[variant].append((negative_log_likelihood(acts["words"], places["labels"])[0],
                                       acts["words"].argmax(-1) == places["labels"], hidden))
            for name, sampled in words.items():
                corrupted, replaced = replace_tokens(batch["input_ids"], places, sampled)
                _, acts = replaced_word_loss(batch, corrupted, replaced, part_params(own, "discriminator"), cfg)
                logits.setdefault((variant, name), []).append(acts["logits"][real])
                replaced_by.setdefault((variant, name), []).append(replaced[real])
    return {variant: place_figures(*map(np.concatenate, zip(*places_of[variant]))) | {
        f"auc_{name}": area_under_curve(*(np.concatenate(x[variant, name]) for x in (logits, replaced_by)))
        for name in WORDS} for variant in VARIANTS}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", nargs="+", required=True, metavar="FILE", help="what the weights were trained on")
    parser.add_argument("--work", required=True, metavar="DIR", type=Path)
    parser.add_argument("--model", metavar="FOLDER", type=Path, help="as pretrain leaves it (those that ship)")
    parser.add_argument("--length", type=int, default=128)
    args = parser.parse_args()
    folder = args.model or default_model()
    tokenizer = ConvBertTokenizerFast.from_pretrained(folder)
    special = dict(mask=tokenizer.mask_token_id, cls=tokenizer.cls_token_id, sep=tokenizer.sep_token_id,
                   pad=tokenizer.pad_token_id)
    args.work.mkdir(parents=True, exist_ok=True)
    train, held_out = corpus.encode_corpus(args.corpus, tokenizer, args.length, args.work)
    cfg, generator_cfg = ConvBertConfig.from_json(folder), ConvBertConfig.from_json(folder / "generator")
    frequencies = word_frequencies(train, special, cfg.vocab_size)
    table = figures(exported_params(folder), cfg, generator_cfg, held_out, frequencies, special)
    table["word frequencies"] = unigram_baseline(frequencies, held_out, special)
    names = list(table["whole"])
    print("", *names, sep=" | ")
    for variant, row in table.items():
        print(variant, *(f"{row[name]:.4f}" if name in row else "-" for name in names), sep=" | ")


if __name__ == "__main__":
    main()
