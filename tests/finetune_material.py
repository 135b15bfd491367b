"""A small model with a vocabulary of letters and a few words, and data that it can learn: for the tests of fine-tuning."""

import json
import string

import numpy as np
from helpers import random_params

from minconvbert import checkpoint
from minconvbert.config import ConvBertConfig
from minconvbert.initialize import init_params
from minconvbert.tokenizer import ConvBertTokenizerFast

WORDS = "the red blue green cat dog bird sits runs sings in on house garden who where what ann bob sees".split()
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase, *(f"##{c}" for c in string.ascii_lowercase),
              *string.digits, *".,!?'-", *WORDS]
SIZES = dict(vocab_size=len(VOCABULARY), hidden_size=16, embedding_size=16, num_hidden_layers=2, num_attention_heads=4,
             intermediate_size=32, max_position_embeddings=48, conv_kernel_size=3, pad_token_id=0)


def tokenizer():
    return ConvBertTokenizerFast(VOCABULARY)


def strong_params(cfg, task):
    """Parameters far from the scale of fresh ones. None is frozen, because they are trained."""
    return {name: x.copy() for name, x in random_params(cfg, task, scale=0.25).items()}


def write_model(folder, task=None, **changes):
    """A pretrained folder, as the weights that ship."""
    cfg = ConvBertConfig(**SIZES | changes)
    checkpoint.save(folder, cfg, init_params(cfg, task, np.random.default_rng(0), "original"), task)
    tokenizer().save_pretrained(folder)
    return folder


def write_lines(path, entries):
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def sentence(rng):
    colour, animal, verb, place = (rng.choice(words) for words in (
        ["red", "blue", "green"], ["cat", "dog", "bird"], ["sits", "runs", "sings"], ["house", "garden"]))
    return f"the {colour} {animal} {verb} in the {place}".split()


def write_data(folder, count=60, seed=0):
    """A file for each task -> name of the task: path. One word decides every answer."""
    rng = np.random.default_rng(seed)
    sentences = [sentence(rng) for _ in range(count)]
    texts = [" ".join(words) for words in sentences]
    tags = {"the": "O", "in": "O", "cat": "B-who", "dog": "B-who", "bird": "B-who", "red": "O", "blue": "O", "green": "O",
            "sits": "O", "runs": "O", "sings": "O", "house": "B-where", "garden": "B-where"}
    paths = {name: folder / file for name, file in {
        "text-classification": "texts.jsonl", "token-classification": "words.conll", "question-answering": "questions.jsonl",
        "multiple-choice": "choices.jsonl", "masked-lm": "plain.txt"}.items()}
    write_lines(paths["text-classification"], [dict(text=text, label=words[2]) for text, words in zip(texts, sentences)])
    paths["token-classification"].write_text("\n".join(
        "".join(f"{word} {tags[word]}\n" for word in words) for words in sentences))
    write_lines(paths["question-answering"], [
        dict(id=f"q{i}", question="who", context=text, answers=[dict(text=words[2], answer_start=text.index(words[2]))])
        for i, (text, words) in enumerate(zip(texts, sentences))])
    choices = [[f"{animal} runs" for animal in ("cat", "dog", "bird")] for _ in texts]
    write_lines(paths["multiple-choice"], [
        dict(context=text, choices=options, label=["cat", "dog", "bird"].index(words[2]))
        for text, options, words in zip(texts, choices, sentences)])
    paths["masked-lm"].write_text("\n\n".join(texts) + "\n")
    return paths
