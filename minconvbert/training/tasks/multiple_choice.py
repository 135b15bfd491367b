"""Multiple choice: which of N choices fits a context.

    {"context": "She opened the window.", "choices": ["The cat purrs loudly.", "Cold air came in."], "label": 1}

Or a table with the columns context, choice_1, choice_2, ... and label, the number of the right choice, from 0.

The context and a choice are read as a pair, and each pair gets one logit. Here it is computed from the first token,
because Hugging Face's default, `summary_type` "last", takes the last one, which in a padded batch is padding.
"""

from ...ops import softmax
from .. import metrics
from . import batches, reading

HEAD = "multiple_choice"
LENGTH = 128                                           # pieces of a row, as the original
FIELDS = ("context", "choices")
OPTIONS = dict(configure=("summary",))


def read(path, labelled=True):
    """Examples of JSON lines or of a table.

    Raises ValueError, with the line, if an example has another number of choices than the first.
    """
    examples = reading.examples(path, example, labelled)
    check_alike(examples)
    return examples


def check_alike(examples):
    """All examples must have as many choices as the first."""
    N = len(examples[0]["choices"])
    for one in examples:
        if len(one["choices"]) != N:
            raise ValueError(f"{one['where']}: there must be {N} choices, as in the first example, but there are"
                             f" {len(one['choices'])}")


def example(entry, where, labelled=True):
    columns = sorted((name for name in entry if name.startswith("choice_")), key=lambda name: (len(name), name))
    if "choices" not in entry and columns:
        entry = entry | dict(choices=[entry[name] for name in columns])
    made = dict(where=where, context=reading.text(entry, "context", where),
                choices=reading.texts(entry, "choices", where))
    N = len(made["choices"])
    if N < 2:
        raise ValueError(f"{where}: there must be at least two choices, but there is only {made['choices']}")
    if labelled:
        label = reading.need(entry, "label", where)
        label = int(label) if isinstance(label, str) and label.isdecimal() else label
        if type(label) is not int or not 0 <= label < N:
            raise ValueError(f"{where}: the label must be the number of the right choice, from 0 to {N - 1}, but is"
                             f" {reading.shown(label)}")
        made["label"] = label
    return made


def configure(cfg, examples, summary="first"):
    """The configuration, which is the same for any number of choices.   summary: "first", "last" or "mean" of tokens"""
    check_alike(examples)
    return cfg.replace(summary_type=summary)


def encode(examples, tokenizer, cfg, length):
    """One row for each choice; what is too long is cut, the longer part of the pair first."""
    pairs = [(one["context"], choice) for one in examples for choice in one["choices"]]
    rows, features = iter(batches.rows_of(pairs, tokenizer, length)), []
    for number, one in enumerate(examples):
        choices = [next(rows) for _ in one["choices"]]
        feature = {name: [row[name][0] for row in choices] for name in ("input_ids", "token_type_ids")}
        features.append(feature | dict(example=number) | ({"labels": one["label"]} if "label" in one else {}))
    return features


def decode(examples, features, logits, cfg):
    """-> answers: label, the number of the best choice; choice, its text; probability"""
    answers = []
    for one, z in zip(examples, logits):
        probs = softmax(z.astype(float))
        best = int(probs.argmax())
        answers.append(dict(label=best, choice=one["choices"][best], probability=float(probs[best])))
    return answers


def measure(examples, answers, cfg):
    """accuracy"""
    return dict(accuracy=metrics.accuracy([one["label"] for one in examples], [answer["label"] for answer in answers]))

stack, loss, loss_backward, evaluate, predict = batches.functions(HEAD, encode, decode, measure)
decode_options = batches.no_options
