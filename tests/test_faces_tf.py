"""The TFConvBert faces against arrays that TensorFlow itself gave (tests/scripts/make_tf_reference.py)."""

from pathlib import Path

import numpy as np
import pytest
from helpers import assert_close, random_inputs, random_params, small_config
from tf_cases import cases

from minconvbert import faces
from minconvbert.faces import tf as faces_tf

REFERENCE = np.load(Path(__file__).parent / "data" / "tf" / "reference.npz")
CASES = dict(cases())


def build(kind, cfg, module=faces_tf, prefix="TF"):
    face = getattr(module, f"{prefix}ConvBert{kind}")
    return face(cfg, random_params(cfg, face.task, dtype=np.float32))


@pytest.mark.parametrize("name", CASES)
def test_answers_are_tensorflows(name):
    kind, cfg, inputs, labels = CASES[name]
    out = build(kind, cfg)(**inputs, **labels)
    expected = {key.split("/")[1]: REFERENCE[key] for key in REFERENCE.files if key.startswith(f"{name}/")}
    assert expected
    for key, x in expected.items():
        assert_close(getattr(out, key), x, 2e-5, f"{name} {key}")


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case[3]])
def test_the_mean_of_the_losses_is_pytorchs_and_so_are_the_gradients(name):
    kind, cfg, inputs, labels = CASES[name]
    theirs = build(kind, cfg)
    same = build(kind, theirs.config, faces, "")
    if kind == "ForTokenClassification":
        labels = dict(labels=np.where(labels["labels"] < 0, -100, labels["labels"]))
    loss, expected = theirs(**inputs, **labels).loss, same(**inputs, **labels).loss
    assert loss.mean() == pytest.approx(float(expected), rel=1e-6)
    grads, wanted = theirs.backward(), same.backward()
    assert all((grads[key] == wanted[key]).all() for key in wanted)


def test_what_tensorflow_refuses():
    cfg = small_config(num_labels=3)
    net, inputs = build("ForSequenceClassification", cfg), random_inputs(cfg)
    with pytest.raises(ValueError, match="one label for each sentence"):
        net(**inputs, labels=np.ones((3, 3)))
    with pytest.raises(ValueError, match="labels must be from 0 to 2"):
        net(**inputs, labels=np.array([0, -100, 1]))
    with pytest.raises(ValueError, match="start_positions and end_positions must be from 0 to 8"):
        build("ForQuestionAnswering", small_config())(
            **inputs, start_positions=np.array([0, 9, 1]), end_positions=np.array([1, 1, 1]))
    with pytest.raises(ValueError, match="use gelu_new"):
        build("Model", small_config(hidden_act="gelu_pytorch_tanh"))


def test_what_tensorflow_does_otherwise_is_not_saved(tmp_path):
    cfg = small_config(summary_type="first", summary_use_proj=False)
    params = random_params(cfg, "multiple_choice")
    faces_tf.TFConvBertForMultipleChoice(cfg, params).save_pretrained(tmp_path)
    read = faces.ConvBertForMultipleChoice.from_pretrained(tmp_path).config
    assert (read.summary_type, read.mask_value) == ("first", None)


def test_the_output_table_of_an_untied_model_is_not_read():
    cfg = small_config(tie_word_embeddings=False)
    params = random_params(cfg, "masked_lm")
    untied = faces_tf.TFConvBertForMaskedLM(cfg, params)
    assert "generator_lm_head.weight" in params and "generator_lm_head.weight" not in untied.params
    tied = faces.ConvBertForMaskedLM(untied.config, untied.params)
    assert (untied([[1, 2]]).logits == tied([[1, 2]]).logits).all()


@pytest.mark.parametrize("kind, changes, labels, error, message", [
    ("ForSequenceClassification", dict(num_labels=1, problem_type="multi_label_classification"), [0.0, 1.0], ValueError,
     "the TensorFlow classes take one label for each sentence"),
    ("ForTokenClassification", {}, [["a", "b"]] * 2, TypeError, "labels must be integers, but they are <U1"),
])
def test_labels_that_tensorflow_does_not_take(kind, changes, labels, error, message):
    with pytest.raises(error, match=message):
        build(kind, small_config(**changes))([[1, 2], [3, 4]], labels=labels)
