"""Each of the five tasks is a module with the same functions, which lead from a file to a metric.

    read(path)                                  examples: dicts, each with `where` it was found
    example(entry, where)                       one of them, from an object of JSON or a row of a table
    configure(cfg, examples)                    the configuration, with the labels of the examples
    encode(examples, tokenizer, cfg, length)    features: what the model reads of an example, and its labels
    stack(features, cfg, draw)                  features as one batch of arrays
    loss(batch, p, cfg, rng)                    loss, acts
    loss_backward(dloss, acts, p, cfg)          grads
    evaluate(examples, features, p, cfg)        metrics, the first of which decides which model is best; answers
    predict(examples, model, encoding)          answers: what the model says about each example
    check_alike(examples)                       refuses examples that cannot be in one run
    decode_options(examples)                    options of `decode` that suit the training examples

HEAD is the head of the model, as `heads.HEADS` calls it; LENGTH the usual length of a row; FIELDS the parts of an
example without a label; OPTIONS the further options of `read`, `configure`, `encode` and `decode`. Where a task needs
nothing of its own, it takes the function of `batches`.

A feature is a dict: `example`, its number; `input_ids` and `token_type_ids`, a list of rows, one or as many as there
are choices; `labels`.
"""

from importlib import import_module

TASKS = ("text-classification", "token-classification", "question-answering", "multiple-choice", "masked-lm")


def get(name):
    """The module of a task."""
    if name not in TASKS:
        raise ValueError(f"a task must be one of {', '.join(TASKS)}, but is {name!r}")
    return import_module(f".{name.replace('-', '_')}", __name__)
