"""Text classification: a label, several labels or a number for a text, or for a pair of texts.

    {"text": "what a day", "label": "joy"}                              one label; a whole number is one, too
    {"text": "what a day", "label": ["joy", "surprise"]}                several labels, or none
    {"text": "what a day", "label": [0, 1, 1, 0]}                       the same, as 0 or 1 for each label there is
    {"text": "a man sings", "text_pair": "a man is singing", "label": 4.5}      a number
"""

import logging
import re
from collections import Counter
from itertools import chain

import numpy as np

from ...activations import sigmoid
from ...inputs import named_problem
from ...ops import softmax
from .. import metrics
from . import batches, reading

log = logging.getLogger(__name__)

HEAD = "sequence_classification"
LENGTH = 128                                           # pieces of a row, as the original
FIELDS = ("text", "text_pair")
OPTIONS = dict(configure=("problem", "labels"))
PROBLEMS = {"single-label": "single_label_classification", "multi-label": "multi_label_classification",
            "regression": "regression"}
LARGEST = 1e18                                         # of a number to learn: its square must fit float32


def read(path, labelled=True):
    """Examples of JSON lines, or of a table with the columns text, label and, for pairs, text_pair.

    A .tsv may have quotes around its cells or not: see `reading.is_quoted`.
    """
    return reading.examples(path, example, labelled)


def example(entry, where, labelled=True):
    made = dict(where=where, text=reading.text(entry, "text", where))
    if entry.get("text_pair") is not None:
        made["text_pair"] = reading.text(entry, "text_pair", where)
    if labelled:
        made["label"] = reading.need(entry, "label", where)
    return made


def configure(cfg, examples, problem=None, labels=None):
    """The configuration for these examples.   problem: a key of PROBLEMS, or None to decide by the first label

    Raises ValueError, with the line, for a label of another kind than the first; and if most labels are texts such as
    "4.5", because a table does not distinguish names and numbers.
    """
    problem = PROBLEMS[problem or _kind([one["label"] for one in examples])]
    cfg = cfg.replace(problem_type=problem)
    if problem == "regression":
        _values(examples, problem, ())
        if labels:
            raise ValueError("labels must be given for names only, but here they are numbers: leave out --labels")
        return cfg.replace(num_labels=1)
    columns = _columns(examples) if problem == "multi_label_classification" else 0
    if columns:
        return reading.named_labels(cfg, labels) if labels else cfg.replace(num_labels=columns, id2label=None)
    values = _values(examples, problem, ())
    counts = Counter(chain.from_iterable(values) if problem == "multi_label_classification" else values)
    reading.say_what_is_odd(counts)
    if len(counts) > 2 and 2 * len(counts) > len(examples):
        log.warning("there are %d labels for %d examples: if they are numbers to learn, say --problem regression",
                    len(counts), len(examples))
    names = labels or reading.in_order(counts)
    if problem == "single_label_classification" and len(names) < 2:
        raise ValueError(f"there must be at least two labels to tell apart, but there are only {names}")
    if not names:
        raise ValueError("there must be at least one label, but all examples have none")
    return reading.named_labels(cfg, names)


def _kind(labels):
    texts = [label.strip() for label in labels if isinstance(label, str)]
    numbers = [label for label in texts if _number(label.replace(",", ".")) is not None]
    if len(numbers) > len(labels) / 2 and not all(re.fullmatch(r"[+-]?\d+", label) for label in numbers):
        rest = "all others" if len(numbers) == len(labels) else "most others"
        raise ValueError(f"labels must be names or numbers, but {numbers[0]!r} and {rest} could be either: say"
                         " --problem regression or --problem single-label")
    if texts and all(re.fullmatch(r"\[.*\]", label) for label in texts):
        raise ValueError(f"a label in a table must be one name or number, but {texts[0]!r} is a list: use .jsonl")
    label = labels[0]
    return "multi-label" if isinstance(label, list) else "regression" if isinstance(label, float) else "single-label"


def _number(label):
    """What float makes of a text, or None."""
    try:
        return float(label)
    except ValueError:
        return None


def _columns(examples):
    """How many labels there are, if each example has a 0 or 1 for each of them; or 0."""
    rows = [one["label"] for one in examples]
    sizes = {len(row) if isinstance(row, list) else 0 for row in rows}
    switches = all(type(x) in (int, float, bool) and x in (0, 1) for row in rows if isinstance(row, list) for x in row)
    return sizes.pop() if len(sizes) == 1 and switches and sizes != {1} else 0


def _values(examples, problem, names):
    """The labels of examples as their problem wants them: names, sets of names, numbers.   names: those of the model"""
    if problem == "multi_label_classification" and _columns(examples):
        return [_switched_on(one, names) for one in examples]
    return [_value(one, problem) for one in examples]


def _switched_on(one, names):
    if len(one["label"]) != len(names):
        raise ValueError(f"{one['where']}: the label must have a 0 or 1 for each of {len(names)} labels, but is"
                         f" {reading.shown(one['label'])}")
    return {name for name, on in zip(names, one["label"]) if on}


def _value(one, problem):
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
        found = [reading.name_of(name, where) for name in label]
        if len(set(found)) < len(found):
            raise ValueError(f"{where}: a list of labels must have each once, but is {reading.shown(label)}; lists of"
                             " 0 and 1 must be of one length in all of the file")
        return set(found)
    return reading.name_of(label, where)


def encode(examples, tokenizer, cfg, length):
    """One row for each example; what is too long is cut, the longer text of a pair first."""
    rows = batches.rows_of([(one["text"], one.get("text_pair")) for one in examples], tokenizer, length)
    features = [dict(row, example=i) for i, row in enumerate(rows)]
    if "label" not in examples[0]:
        return features
    ids, problem = reading.label_ids(cfg), named_problem(cfg)
    for feature, one, value in zip(features, examples, _values(examples, problem, ids)):
        if problem == "multi_label_classification":
            feature["labels"] = np.zeros(cfg.num_labels)
            feature["labels"][[reading.label_id(name, ids, one["where"]) for name in value]] = 1
        else:
            feature["labels"] = value if problem == "regression" else reading.label_id(value, ids, one["where"])
    return features


def decode(examples, features, logits, cfg):
    """-> answers: label and probability; or labels with a probability above 0.5 and all probabilities; or value"""
    names, problem, answers = reading.label_names(cfg), named_problem(cfg), []
    for z in logits:
        z = z.astype(float)
        if problem == "regression":
            answers.append(dict(value=float(z[0])))
        elif problem == "multi_label_classification":
            probs = sigmoid(z)
            answers.append(dict(labels=[names[i] for i in np.flatnonzero(probs > 0.5).tolist()],
                                probabilities={names[i]: float(p) for i, p in enumerate(probs)}))
        else:
            probs = softmax(z)
            answers.append(dict(label=names[int(probs.argmax())], probability=float(probs.max())))
    return answers


def measure(examples, answers, cfg):
    """accuracy and macro F1; or micro F1, macro F1 and the share of wholly right examples; or correlations and error"""
    problem, ids = named_problem(cfg), reading.label_ids(cfg)
    wanted = _values(examples, problem, ids)
    if problem == "regression":
        found = [answer["value"] for answer in answers]
        return dict(pearson=metrics.pearson(wanted, found), spearman=metrics.spearman(wanted, found),
                    mean_squared_error=float(np.mean(np.square(np.subtract(wanted, found)))))
    if problem == "multi_label_classification":
        found = [set(answer["labels"]) for answer in answers]
        return dict(micro_f1=metrics.micro_f1(wanted, found),
                    macro_f1=metrics.macro_f1(wanted, found, ids),
                    exact=metrics.accuracy(wanted, found))
    found = [answer["label"] for answer in answers]
    return dict(accuracy=metrics.accuracy(wanted, found), macro_f1=metrics.macro_f1(
        [{label} for label in wanted], [{label} for label in found], ids))


stack, loss, loss_backward, evaluate, predict = batches.functions(HEAD, encode, decode, measure)
decode_options, check_alike = batches.no_options, batches.any_examples
