"""What a user can do wrong, and the messages that say so."""

import re

import numpy as np
import pytest
from helpers import random_inputs, random_params, small_config
from test_model import FACES

from minconvbert import (
    ConvBertConfig,
    ConvBertForMultipleChoice,
    ConvBertForPreTraining,
    ConvBertModel,
    TFConvBertModel,
)
from minconvbert.activations import activate
from minconvbert.conv import dynamic_conv, separable_conv
from minconvbert.electra import RowRandom, generator_config
from minconvbert.ops import linear
from minconvbert.shapes import dims


@pytest.mark.parametrize("changes, message", [
    (dict(conv_kernel_size=8), "conv_kernel_size must be odd, because a kernel needs a middle, but is 8"),
    (dict(hidden_size=25), "hidden_size must be a multiple of num_attention_heads = 4, but is 25"),
    (dict(hidden_size=21, num_attention_heads=7),
     "hidden_size must be a multiple of 2 x 3, because 3 attention heads and as many convolution heads fill it, but is 21"),
    (dict(num_groups=5), "hidden_size must be a multiple of num_groups = 5, but is 24"),
    (dict(intermediate_size=37, num_groups=2), "intermediate_size must be a multiple of num_groups = 2, but is 37"),
    (dict(hidden_act="Gelu"), "hidden_act must be one of gelu, gelu_python, gelu_new"),
    (dict(head_ratio=0), "head_ratio must be at least 1, but is 0"),
    (dict(vocab_size=-1), "vocab_size must be at least 1, but is -1"),
    (dict(layer_norm_eps=float("nan")), "layer_norm_eps must be a number, but is nan"),
    (dict(layer_norm_eps=0.0), "layer_norm_eps must be between 0 and 1, but is 0.0"),
    (dict(hidden_dropout_prob=1.0), "hidden_dropout_prob must be a probability in [0, 1), but is 1.0"),
    (dict(pad_token_id=40), "pad_token_id must be None or an id below vocab_size = 40, but is 40"),
    (dict(mask_value=10.0), "mask_value must be None or a finite negative number, but is 10.0"),
    (dict(head_ratio_semantics="hf"), "head_ratio_semantics must be 'huggingface' or 'original', but is 'hf'"),
    (dict(problem_type="ranking"), "problem_type must be None or one of regression"),
    (dict(summary_type="attn"), "summary_type must be one of last, first, mean, cls_index, but is 'attn'"),
    (dict(id2label={0: "a"}), "id2label must be a label for each number below num_labels = 2"),
    (dict(id2label={0: ["a"], 1: ["b"]}), "id2label must be a dict of numbers to strings, but is {0: ['a'], 1: ['b']}"),
    (dict(id2label={0: "a", "1": "b"}), "id2label must be a label for each number below num_labels = 2"),
    (dict(initializer_range=float("inf")), "initializer_range must be finite and not negative, but is inf"),
])
def test_configurations_that_cannot_work(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        small_config(**changes)


@pytest.mark.parametrize("changes, message", [
    (dict(hidden_size="24"), "hidden_size must be int, but is '24' (str)"),
    (dict(hidden_size=24.0), "hidden_size must be int, but is 24.0 (float)"),
    (dict(num_groups=True), "num_groups must be int, but is True (bool)"),
    (dict(tie_word_embeddings=1), "tie_word_embeddings must be bool, but is 1 (int)"),
])
def test_kinds_of_fields(changes, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        small_config(**changes)


@pytest.mark.parametrize("content, message", [
    (b'{"model_type": "bert"}', "model_type must be 'convbert', but is 'bert'"),
    (b"[1, 2]", "config.json must hold one JSON object, but it holds list"),
    (b"{\xff", "config.json must be JSON, but it cannot be read"),
    (b"[" * 100_000, "config.json must be JSON, but it cannot be read"),
    (b'{"hidden_size": 24, "hidden_size": 36}', "cannot be read: 'hidden_size' is there twice"),
    (b'{"layer_norm_eps": NaN}', "layer_norm_eps must be a number, but is nan"),
    (b'{"id2label": {"a": "b"}}', "id2label must map the numbers of labels to their names, but is {'a': 'b'}"),
    ('{"id2label": {"²": "b"}}'.encode(), "id2label must map the numbers of labels to their names"),
    (b'{"id2label": {"0": "a", "2": "b"}}', "id2label must be a label for each number below num_labels = 2"),
    (b'{"num_labels": 3, "id2label": {"0": "a"}}',
     "num_labels must be 1, because id2label has that many labels, but is 3"),
])
def test_files_that_are_no_configuration(content, message, tmp_path):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(message)):
        ConvBertConfig.from_json(tmp_path)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere must be a folder for config.json to be written into"):
        small_config().to_json(tmp_path / "nowhere" / "config.json")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        ConvBertConfig.from_json(tmp_path / "nowhere")


def test_a_configuration_comes_back_from_its_file(tmp_path):
    cfg = small_config(num_labels=3, id2label={0: "a", 1: "b", 2: "é"}, mask_convolution=True, summary_type="mean",
                       unknown={"transformers_version": "5.23.0"})
    cfg.to_json(tmp_path)
    assert ConvBertConfig.from_json(tmp_path) == cfg
    assert '"é"' in (tmp_path / "config.json").read_text(encoding="utf-8")              # as one reads it
    assert "mask_value" not in cfg.to_dict() and "num_labels" not in cfg.to_dict()


IDS = np.arange(1, 7).reshape(2, 3)


@pytest.mark.parametrize("kind, given, message", [
    (ValueError, {}, "pass either input_ids or inputs_embeds, but neither is there"),
    (ValueError, dict(input_ids=IDS, inputs_embeds=np.ones((2, 3, 24))), "but both are there"),
    (TypeError, dict(input_ids=IDS / 2), "input_ids must be integers, but they are float64"),
    (ValueError, dict(input_ids=IDS[0]), "input_ids must be (B, L), but their shape is (3,); write input_ids[None]"),
    (ValueError, dict(input_ids=IDS + 36), "input_ids must be from 0 to vocab_size - 1 = 39, but 42 is among them"),
    (ValueError, dict(input_ids=IDS - 9), "input_ids must be from 0 to vocab_size - 1 = 39, but -8 is among them"),
    (ValueError, dict(input_ids=IDS, token_type_ids=IDS),
     "token_type_ids must be from 0 to type_vocab_size - 1 = 1, but 6"),
    (ValueError, dict(input_ids=IDS, position_ids=[1, 2]), "position_ids must be (B, L) = (2, 3) or (1, L)"),
    (ValueError, dict(input_ids=IDS, position_ids=IDS + 13),
     "position_ids must be from 0 to max_position_embeddings - 1"),
    (ValueError, dict(input_ids=np.ones((1, 17), int)), "at most max_position_embeddings = 16 tokens, but L = 17"),
    (ValueError, dict(input_ids=np.ones((0, 3), int)),
     "at least one sequence of at least one token, but (B, L) = (0, 3)"),
    (ValueError, dict(input_ids=IDS, attention_mask=np.ones((3, 2))), "attention_mask must be (B, L) = (2, 3), but"),
    (ValueError, dict(input_ids=IDS, attention_mask=IDS),
     "attention_mask must be 1 at real tokens and 0 at padded ones"),
    (ValueError, dict(input_ids=IDS, attention_mask=IDS / 6), "attention_mask must be 1 at real tokens"),
    (TypeError, dict(input_ids=IDS, attention_mask=np.ones((2, 1, 1, 3), int)),
     "is added to the scores and must be floats"),
    (ValueError, dict(input_ids=IDS, attention_mask=np.zeros((2, 3, 3, 3))),
     "(B or 1, H or 1, L or 1, L) with B, H, L"),
    (ValueError, dict(input_ids=[[1, 2], [3]]), "input_ids must have rows of one length, but they are ragged; pad the"),
    (ValueError, dict(input_ids=IDS, attention_mask=np.full((1, 1, 1, 3), -np.inf)),
     "an attention_mask of four axes must be finite, but it has nan or infinity; write np.finfo(dtype).min"),
    (TypeError, dict(input_ids=IDS, rng=0),
     "rng must be a numpy.random.Generator, but is 0; write np.random.default_rng(seed)"),
    (TypeError, dict(input_ids=IDS, rng=np.random.RandomState(0)), "write np.random.default_rng(seed)"),
    (TypeError, dict(input_ids=IDS, rng=np.random), "rng must be a numpy.random.Generator, but is <module"),
    (ValueError, dict(input_ids=IDS, rng=RowRandom(0, 0, range(3))), "rng must be a RowRandom of 2 rows, but has 3"),
    (TypeError, dict(inputs_embeds=np.ones((2, 3, 24), int)), "inputs_embeds must be floats, but they are int64"),
    (ValueError, dict(inputs_embeds=np.ones((2, 3, 8))), "(B, L, E) with E = embedding_size = 24"),
    (ValueError, dict(inputs_embeds=[[[1.0], [1.0, 2]]]), "inputs_embeds must have rows of one length"),
    (ValueError, dict(input_ids=IDS, attention_mask=[[1, 1, 1], [1, 1]]), "attention_mask must have rows of one length"),
    (TypeError, dict(input_ids=dict(input_ids=IDS)), "input_ids must be an array, but is a dict; write model(**batch)"),
    (TypeError, dict(input_ids="Nice try."), "input_ids must be integers, but they are <U9; a tokenizer makes them from"),
])
def test_inputs(kind, given, message):
    net = ConvBertModel(small_config(), random_params(small_config()))
    with pytest.raises(kind, match=re.escape(message)):
        net(**given)


def test_inputs_of_another_width_than_the_parameters():
    net = ConvBertModel(small_config(), random_params(small_config()))
    with pytest.raises(TypeError, match="floats of two widths: .*float32.*; use astype on one of them"):
        net(inputs_embeds=np.ones((2, 3, 24), np.float32))


@pytest.mark.parametrize("task, changes, labels, kind, message", [
    ("masked_lm", {}, np.full((3, 9), 40), ValueError, "labels must be from 0 to 39, or -100 to be ignored, but 40 is"),
    ("masked_lm", {}, np.full((3, 8), 1), ValueError,
     "labels must be (...) with ... = (3, 9) as in logits, but its shape is (3, 8)"),
    ("token_classification", {}, np.full((3, 9), -1), ValueError, "but -1 is among them"),
    ("token_classification", {}, np.ones((3, 9)), TypeError, "labels must be integers, but they are float64"),
    ("sequence_classification", {}, [0, 1, 2], ValueError, "labels must be from 0 to 1, or -100 to be ignored, but 2"),
    ("sequence_classification", {}, [[0, 1, 1]], ValueError, "labels must be (...) with ... = (3,) as in logits"),
    ("sequence_classification", {}, ["a", "b", "c"], TypeError,
     "labels of a multi_label_classification must be numbers, but they are <U1"),
    ("sequence_classification", {}, [0.5, 1.0, 0.0], ValueError,
     "labels of a multi_label_classification must be (3, 2), but their shape is (3,)"),
    ("sequence_classification", {}, np.full((3, 2), 1.5), ValueError,
     "labels of a multi_label_classification must be from 0 to 1, but they are from 1.5 to 1.5"),
    ("sequence_classification", dict(num_labels=1), [np.nan] * 3, ValueError,
     "labels of a regression must be finite, but nan or infinity is among them"),
    ("sequence_classification", dict(num_labels=1), [0.5, 1.0], ValueError,
     "labels of a regression must be (3, 1), but their shape is (2,)"),
    ("sequence_classification", dict(num_labels=1, problem_type="single_label_classification"), [0, 0, 0], ValueError,
     "num_labels must be at least 2 for a single_label_classification, but is 1"),
    ("masked_lm", {}, [[1, 2], [3]], ValueError, "labels must have rows of one length, but they are ragged"),
    ("question_answering", {}, [1, 2, [3]], ValueError, "start_positions must have rows of one length"),
    ("question_answering", {}, [1.5] * 3, TypeError, "start_positions and end_positions must be integers"),
    ("question_answering", {}, [1, 2], ValueError,
     "start_positions and end_positions must be (B,) = (3,), but their shapes are (2,) and (2,)"),
])
def test_labels(task, changes, labels, kind, message):
    cfg = small_config(**changes)
    net = FACES[task](cfg, random_params(cfg, task))
    given = dict(labels=labels) if task != "question_answering" else dict(start_positions=labels, end_positions=labels)
    with pytest.raises(kind, match=re.escape(message)):
        net(**random_inputs(cfg), **given)


def test_a_start_without_an_end():
    cfg = small_config()
    with pytest.raises(ValueError, match="pass start_positions and end_positions together, but one of them was left out"):
        FACES["question_answering"](cfg, random_params(cfg, "question_answering"))(IDS, start_positions=[1, 2])


def test_backward_without_a_loss():
    cfg = small_config()
    net = FACES["masked_lm"](cfg, random_params(cfg, "masked_lm"))
    with pytest.raises(ValueError, match="backward needs a forward before it"):
        net.backward()
    net(**random_inputs(cfg))
    with pytest.raises(ValueError, match="backward needs a loss: pass labels"):
        net.backward()


@pytest.mark.parametrize("dloss", ["1", np.ones(3), None, np.array(None), 1j])
def test_the_gradient_of_a_loss_is_one_number(dloss):
    cfg = small_config()
    net = FACES["masked_lm"](cfg, random_params(cfg, "masked_lm"))
    net(IDS, labels=IDS)
    with pytest.raises(TypeError, match="dloss must be one number, as the loss is, but is"):
        net.backward(dloss)


@pytest.mark.parametrize(
    "dhidden", [np.ones((2, 3, 23)), np.ones((2, 3, 24), np.float32), np.ones((2, 3, 24), int), 1.0])
def test_the_gradient_of_hidden_states_is_like_them(dhidden):
    net = ConvBertModel(small_config(), random_params(small_config()))
    net(IDS)
    with pytest.raises(ValueError, match=re.escape("dlast_hidden_state must be float64 of (2, 3, 24) as last_hidden")):
        net.backward(dhidden)


@pytest.mark.parametrize("given, message", [
    (dict(input_ids=IDS), "input_ids must have 3 axes, (B, N, L) for N choices, but its shape is (2, 3)"),
    (dict(input_ids=IDS[None], attention_mask=np.ones((2, 1, 3))),
     "attention_mask must be (B, N, L) = (1, 2, 3), but its shape is (2, 1, 3)"),
    (dict(input_ids=IDS[None], token_type_ids=np.ones((1, 3, 2), int)),
     "token_type_ids must be (B, N, L) = (1, 2, 3), but its shape is (1, 3, 2)"),
])
def test_choices_have_an_axis_of_their_own(given, message):
    cfg = small_config()
    net = ConvBertForMultipleChoice(cfg, random_params(cfg, "multiple_choice"))
    with pytest.raises(ValueError, match=re.escape(message)):
        net(**given)


@pytest.mark.parametrize("kind, cls_index, message", [
    (ValueError, [[3, 0]], "cls_index must be from 0 to L - 1 = 2, but 3 is among them"),
    (ValueError, [[1]], "cls_index must be (B, N) = (1, 2), but its shape is (1, 1)"),
    (TypeError, [[1.0, 0.0]], "cls_index must be integers, but they are float64"),
])
def test_the_token_that_stands_for_a_choice(kind, cls_index, message):
    cfg = small_config(summary_type="cls_index")
    with pytest.raises(kind, match=re.escape(message)):
        ConvBertForMultipleChoice(cfg, random_params(cfg, "multiple_choice"))(IDS[None], cls_index=cls_index)


def test_parameters_are_checked_by_kind():
    cfg, params = small_config(), random_params(small_config())
    with pytest.raises(TypeError, match="config must be a ConvBertConfig, but is dict"):
        ConvBertModel(cfg.to_dict(), params)
    with pytest.raises(TypeError, match="params must be a dict of names to NumPy arrays, but is a list of"):
        ConvBertModel(cfg, list(params))
    with pytest.raises(TypeError, match="params must all be floats of one width, but they are float32, float64"):
        ConvBertModel(cfg, params | {"embeddings.LayerNorm.bias": np.zeros(24, np.float32)})
    with pytest.raises(TypeError, match="params must be float32 or float64 to compute with, but they are float16; use"):
        ConvBertModel(cfg, {name: x.astype(np.float16) for name, x in params.items()})
    with pytest.raises(TypeError, match="dtype must be a kind of float, but is int64"):
        ConvBertModel(cfg, dtype=np.int64)
    with pytest.raises(TypeError, match="rng must be a numpy.random.Generator, but is 0; write np.random.default_rng"):
        ConvBertModel(cfg, rng=0)
    with pytest.raises(TypeError, match="config must be a ConvBertConfig, but is str"):
        TFConvBertModel("config.json")


def test_a_mask_for_wider_floats_hides_as_well():
    cfg = small_config()
    net = ConvBertModel(cfg, {name: x.astype(np.float32) for name, x in random_params(cfg).items()})
    hidden = np.where([1, 1, 0], 0, np.finfo(np.float64).min)[None, None, None]
    by_sum, by_tokens = net(IDS, attention_mask=hidden), net(IDS, attention_mask=[[1, 1, 0]] * 2)
    assert (by_sum.last_hidden_state == by_tokens.last_hidden_state).all()
    assert np.isfinite(net(IDS, attention_mask=np.full((1, 1, 1, 3), 1e300)).last_hidden_state).all()


@pytest.mark.parametrize("given, kind, message", [
    (dict(rng=np.random.default_rng(0)), ValueError, "rng must be a RowRandom of 2 rows; write RowRandom(seed, step,"),
    (dict(rng=RowRandom(0, 0, range(3))), ValueError, "rng must be a RowRandom of 2 rows"),
    (dict(special=None), TypeError, "special must be a dict of names to ids, but is None"),
    (dict(special=dict(mask="[MASK]", cls=2, sep=3, pad=0)), TypeError, "special must be a dict of names to ids"),
    (dict(special=dict(cls=2, sep=3, pad=0)), ValueError,
     "special must have the ids of mask, cls, sep and pad, but lacks ['mask']"),
])
def test_pretraining(given, kind, message):
    cfg = small_config()
    net = ConvBertForPreTraining(cfg, generator_config(cfg))
    right = dict(rng=RowRandom(0, 0, range(2)), special=dict(mask=1, cls=2, sep=3, pad=0))
    assert np.isfinite(net(IDS, **right).loss)
    with pytest.raises(kind, match=re.escape(message)):
        net(IDS, **right | given)
    with pytest.raises(ValueError, match="backward needs a forward before it"):
        net.backward()
    with pytest.raises(TypeError, match="config must be a ConvBertConfig, but is NoneType"):
        ConvBertForPreTraining(cfg, None)
    with pytest.raises(ValueError, match="generator_config must have vocab_size = 40, because both parts share the"):
        ConvBertForPreTraining(cfg, generator_config(cfg).replace(vocab_size=50))
    with pytest.raises(TypeError, match="params must be a dict of names to NumPy arrays, but is a list"):
        ConvBertForPreTraining(cfg, generator_config(cfg), params=[1])
    with pytest.raises(TypeError, match="params must all be floats of one width, but they are int64"):
        ConvBertForPreTraining(
            cfg, generator_config(cfg), params={name: x.astype(np.int64) for name, x in net.params.items()})


@pytest.mark.parametrize("call, message", [
    (lambda: linear([[1.0]], np.ones((1, 1)), np.ones(1)), "x must be a NumPy array, but is list; use np.array"),
    (lambda: activate(np.arange(3), "gelu"), "an activation needs floats, but they are int64; use astype(float)"),
    (lambda: ConvBertConfig.from_dict([1, 2]), "entries must be a dict, but are list"),
    (lambda: ConvBertModel.from_pretrained(None),
     "a checkpoint must be a path or the name of a model on the hub, but is None"),
])
def test_kinds_of_arguments(call, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        call()


def test_a_file_where_a_folder_should_be(tmp_path):
    file = tmp_path / "model"
    file.write_text("mine")
    with pytest.raises(ValueError, match="model must be a folder, because more than one file is written, but is a file"):
        ConvBertModel(small_config()).save_pretrained(file)
    assert file.read_text() == "mine"


def test_parameters_are_checked_by_name_and_shape():
    cfg, params = small_config(), random_params(small_config())
    del params["embeddings.LayerNorm.bias"]
    with pytest.raises(ValueError, match="embeddings.LayerNorm.bias"):
        ConvBertModel(cfg, params)
    params = random_params(cfg)
    params["encoder.layer.1.output.dense.weight"] = params["encoder.layer.1.output.dense.weight"].T
    with pytest.raises(ValueError, match="encoder.layer.1.output.dense.weight"):
        ConvBertModel(cfg, params)


@pytest.mark.parametrize("call, message", [
    (lambda: dynamic_conv(np.ones((2, 7, 2, 4)), np.ones((2, 8, 2, 5))),
     "kernel must be (B, L, H, K) with L = 7 as in value, but its shape is (2, 8, 2, 5)"),
    (lambda: dynamic_conv(np.ones((2, 7, 2, 4)), np.ones((2, 7, 2, 4))),
     "a kernel needs a middle: K must be odd, but K = 4"),
    (lambda: separable_conv(np.ones((2, 7, 3)), np.ones((3, 1, 5)), np.ones((4, 3, 2)), np.ones((4, 1))),
     "pointwise must be (A, D, 1), but its shape is (4, 3, 2)"),
    (lambda: separable_conv(np.ones((2, 7, 3)), np.ones((3, 1, 5)), np.ones((4, 3, 1)), np.ones((4, 2))),
     "bias must be (A, 1)"),
    (lambda: linear(np.ones((3, 16)), np.ones((6, 17)), np.ones(6)),
     "weight must be (O, I) with I = 16 as in x, but its shape is (6, 17)"),
    (lambda: dims("x[B L D]", np.ones(3)), "x must be (B, L, D), but its shape is (3,)"),
])
def test_shapes(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
