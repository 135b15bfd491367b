"""Text classification: a label, several labels or a number for a text, or for a pair of texts.

    {"text": "what a day", "label": "joy"}                              one label; a whole number is one, too
    {"text": "what a day", "label": ["joy", "surprise"]}                several labels, or none
    {"text": "a man sings", "text_pair": "a man is singing", "label": 4.5}      a number
"""

import re

import numpy as np

from ...activations import sigmoid
from ...ops import softmax
from .. import metrics
from . import batches, reading

HEAD = "sequence_classification"
LENGTH = 128                                           # pieces of a row, as the original
FIELDS = ("text", "text_pair")
OPTIONS = dict(configure=("problem", "labels"))
PROBLEMS = {"single-label": "single_label_classification", "multi-label": "multi_label_classification",
            "regression": "regression"}
LARGEST = 1e18                                         # of a number to learn: its square must fit float32


def read(path, labelled=True):
    """Examples of JSON lines, or of a table with the columns text, label and, for pairs, text_pair."""
    return reading.examples(path, example, labelled)


def example(entry, where, labelled=True):
    made = dict(where=where, text=reading.text(entry, "text", where))
    if entry.get("text_pair") is not None:
        made["text_pair"] = reading.text(entry, "text_pair", where)
    if labelled:
        made["label"] = reading.need(entry, "label", where)
    return made


def configure(cfg, examples, problem=None, labels=None):
    """The configuration for these examples.   problem: a key of PROBLEMS, or None to tell by the first label

    Raises ValueError, with the line, for a label that is of another kind than the first; and if all are texts of
    numbers such as 4.5, for a table does not tell names from numbers.
    """
    problem = problem or _kind([one["label"] for one in examples])
    values = [_value(one, PROBLEMS[problem]) for one in examples]
    cfg = cfg.replace(problem_type=PROBLEMS[problem])
    if problem == "regression":
        if labels:
            raise ValueError("labels must be given for names only, but here they are numbers: leave out --labels")
        return cfg.replace(num_labels=1)
    names = labels or reading.in_order(set(values) if problem == "single-label" else set().union(*values))
    if problem == "single-label" and len(names) < 2:
        raise ValueError(f"there must be at least two labels to tell apart, but there are only {names}")
    if not names:
        raise ValueError("there must be at least one label, but all examples have none")
    return reading.named_labels(cfg, names)


def _kind(labels):
    numbers = [label for label in labels if isinstance(label, str) and re.fullmatch(r"[+-]?\d*\.?\d+", label)]
    if len(numbers) == len(labels) and any("." in label for label in numbers):
        raise ValueError(f"labels must be names or numbers, but {numbers[0]!r} and all others could be either: say"
                         " --problem regression or --problem single-label")
    label = labels[0]
    return "multi-label" if isinstance(label, list) else "regression" if isinstance(label, float) else "single-label"


def _value(one, problem):
    """The label of an example as its problem wants it: a name, a set of names, a number."""
    label, where = one["label"], one["where"]
    if problem == "regression":
        try:
            value = float(label) if isinstance(label, (int, float, str)) and not isinstance(label, bool) else np.nan
        except (ValueError, OverflowError):
            value = np.nan
        if not abs(value) <= LARGEST:
            raise ValueError(f"{where}: the label must be a number of at most {LARGEST:g}, but is"
                             f" {reading.shown(label)}")
        return value
    if problem == "multi_label_classification":
        if not isinstance(label, list):
            raise ValueError(f"{where}: the label must be a list of names, but is {reading.shown(label)}")
        return {_name(name, where) for name in label}
    return _name(label, where)


def _name(label, where):
    if isinstance(label, bool) or not isinstance(label, (str, int)) or not str(label).strip():
        raise ValueError(f"{where}: a label must be a name or a whole number, but is {reading.shown(label)}; a file has"
                         " labels of one kind, or say --problem")
    return str(label)


def encode(examples, tokenizer, cfg, length):
    """One row for each example; what is too long is cut, the longer text of a pair first."""
    rows = batches.rows_of([(one["text"], one.get("text_pair")) for one in examples], tokenizer, length)
    features = [dict(row, example=i) for i, row in enumerate(rows)]
    ids, problem = reading.label_ids(cfg), cfg.problem_type or PROBLEMS["single-label"]
    for feature, one in zip(features, examples):
        if "label" not in one:
            continue
        value = _value(one, problem)
        if problem == "multi_label_classification":
            feature["labels"] = np.zeros(cfg.num_labels)
            feature["labels"][[reading.label_id(name, ids, one["where"]) for name in value]] = 1
        else:
            feature["labels"] = value if problem == "regression" else reading.label_id(value, ids, one["where"])
    return features


def decode(examples, features, logits, cfg):
    """label and its probability; or labels, those of a probability above one half; or value"""
    names, answers = reading.label_names(cfg), []
    for z in logits:
        z = z.astype(float)
        if cfg.problem_type == "regression":
            answers.append(dict(value=float(z[0])))
        elif cfg.problem_type == "multi_label_classification":
            probs = sigmoid(z)
            answers.append(dict(labels=[names[i] for i in np.flatnonzero(probs > 0.5).tolist()],
                                probabilities={names[i]: float(p) for i, p in enumerate(probs)}))
        else:
            probs = softmax(z)
            answers.append(dict(label=names[int(probs.argmax())], probability=float(probs.max())))
    return answers


def measure(examples, answers, cfg):
    """accuracy and macro F1; or micro F1, macro F1 and the share of examples with all labels right; or correlations"""
    problem = cfg.problem_type or PROBLEMS["single-label"]
    wanted = [_value(one, problem) for one in examples]
    if problem == "regression":
        found = [answer["value"] for answer in answers]
        return dict(pearson=metrics.pearson(wanted, found), spearman=metrics.spearman(wanted, found),
                    mean_squared_error=float(np.mean(np.square(np.subtract(wanted, found)))))
    if problem == "multi_label_classification":
        found = [set(answer["labels"]) for answer in answers]
        return dict(micro_f1=metrics.micro_f1(wanted, found),
                    macro_f1=metrics.macro_f1(wanted, found, reading.label_ids(cfg)),
                    exact=metrics.accuracy(wanted, found))
    found = [answer["label"] for answer in answers]
    return dict(accuracy=metrics.accuracy(wanted, found), macro_f1=metrics.macro_f1(
        [{label} for label in wanted], [{label} for label in found], reading.label_ids(cfg)))

stack, loss, loss_backward, evaluate, predict = batches.functions(HEAD, encode, decode, measure)
decode_options, check_alike = batches.no_options, batches.any_examples
