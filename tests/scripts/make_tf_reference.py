"""Run Hugging Face's TensorFlow classes on the cases of tests/tf_cases.py: -> tests/data/tf/reference.npz

    python -m venv tf && tf/bin/pip install tensorflow-cpu tf-keras transformers==4.57.6
    TF_USE_LEGACY_KERAS=1 tf/bin/python tests/scripts/make_tf_reference.py
"""

import os
import sys
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
TESTS = Path(__file__).parent.parent
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

import numpy as np
import tensorflow as tf
import transformers
from helpers import random_params
from tf_cases import cases

from minconvbert.checkpoint.names import keras_table, plain_keras, to_theirs

TASKS = {"Model": None, "ForMaskedLM": "masked_lm", "ForSequenceClassification": "sequence_classification",
         "ForMultipleChoice": "multiple_choice", "ForTokenClassification": "token_classification",
         "ForQuestionAnswering": "question_answering"}
OURS = ("model_type", "head_ratio_semantics", "mask_value", "mask_convolution")


def run(kind, cfg, inputs, labels):
    options = {name: value for name, value in cfg.to_dict().items() if name not in OURS}
    net = getattr(transformers, f"TFConvBert{kind}")(transformers.ConvBertConfig(**options))
    inputs = {name: tf.constant(x) for name, x in inputs.items()}
    labels = {name: tf.constant(x) for name, x in labels.items()}
    net(**inputs)                                       # builds the variables
    params = random_params(cfg, TASKS[kind], dtype=np.float32)
    if TASKS[kind] is None:
        params = {f"convbert.{name}": x for name, x in params.items()}
    theirs = to_theirs(params, keras_table(cfg))
    for variable in net.variables:
        variable.assign(theirs[plain_keras(variable.name)].reshape(variable.shape))
    out = net(**inputs, **labels)
    names = ("loss", "logits", "start_logits", "end_logits", "last_hidden_state")
    return {name: np.asarray(out[name]) for name in names if name in out and out[name] is not None}


if __name__ == "__main__":
    arrays = {f"{name}/{key}": x for name, case in cases() for key, x in run(*case).items()}
    np.savez_compressed(TESTS / "data" / "tf" / "reference.npz", **arrays)
    print({name: x.shape for name, x in arrays.items()})
