"""The five tasks. Each is a module with the same functions: all the way from a file to a metric.

    read(path)                                examples: dicts, each with `where` it stood
    example(entry, where)                     one of them, from an object of JSON or a row of a table
    configure(cfg, examples)                  the configuration, with the labels of the examples
    encode(examples, tokenizer, cfg, length)  features: what the model reads of an example, with labels if it has some
    decode(examples, features, logits, cfg)   answers: what the logits say of each example
    measure(examples, answers, cfg)           metrics, from 0 to 1 or as they say; the first tells which model is best

A feature is a dict: `example`, its number; `input_ids` and `token_type_ids`, a list of rows, one or as many as there
are choices; `labels`. `batches` makes arrays of them. HEAD is the head of the model, as `heads.HEADS` calls it.

masked_lm has no labels and no answers to decode. It has a `stack`, a `loss` and an `evaluate` of its own.
"""

from importlib import import_module

TASKS = ("text-classification", "token-classification", "question-answering", "multiple-choice", "masked-lm")


def get(name):
    """The module of a task."""
    if name not in TASKS:
        raise ValueError(f"a task must be one of {', '.join(TASKS)}, but is {name!r}")
    return import_module(f".{name.replace('-', '_')}", __name__)
