"""The cases in which the TensorFlow classes are compared: shared by the script that ran them and by the test."""

import numpy as np
from helpers import random_inputs, small_config

RNG = np.random.default_rng(0)
LABELS = {
    "MaskedLM": dict(labels=np.where(RNG.random((3, 9)) < 0.5, RNG.integers(0, 40, (3, 9)), -100)),
    "SequenceClassification": dict(labels=np.array([1, 0, 1])),
    "MultipleChoice": dict(labels=np.array([2])),
    "TokenClassification": dict(labels=np.where(RNG.random((3, 9)) < 0.3, -1, RNG.integers(0, 2, (3, 9)))),
    "QuestionAnswering": dict(start_positions=np.array([0, 3, 8]), end_positions=np.array([2, 5, 8])),
}


def cases():
    """name -> (class suffix, configuration, inputs, labels)"""
    out = {"Model": ("Model", {}, {}), "Model-groups": ("Model", dict(num_groups=2, embedding_size=8), {})}
    out |= {f"For{kind}": (f"For{kind}", {}, labels) for kind, labels in LABELS.items()}
    out["ForSequenceClassification-regression"] = (
        "ForSequenceClassification", dict(num_labels=1), dict(labels=np.array([0.5, -1.0, 2.0], np.float32)))
    out["ForMultipleChoice-first-ignored"] = (
        "ForMultipleChoice", dict(summary_type="first"), LABELS["MultipleChoice"])
    out["ForMultipleChoice-first-projected"] = (
        "ForMultipleChoice", dict(summary_type="first", summary_use_proj=True, summary_activation="tanh"),
        LABELS["MultipleChoice"])
    for name, (kind, changes, labels) in out.items():
        cfg = small_config(**changes)
        inputs = random_inputs(cfg, blank_row=True)
        if "MultipleChoice" in kind:
            inputs = {key: x[None] for key, x in inputs.items()}
        yield name, (kind, cfg, inputs, labels)
