"""Blocks, the whole model, its heads and faces: gradients, options, what comes out."""

import numpy as np
import pytest
from helpers import assert_close, assert_gradients, frozen, random_inputs, random_params, small_config

import minconvbert
from minconvbert import attention, conv, model
from minconvbert.config import TASKS, param_shapes
from minconvbert.faces import (
    ConvBertForMaskedLM,
    ConvBertForMultipleChoice,
    ConvBertForQuestionAnswering,
    ConvBertForSequenceClassification,
    ConvBertForTokenClassification,
    ConvBertModel,
)
from minconvbert.heads import HEADS, task_model, task_model_backward
from minconvbert.inputs import model_inputs
from minconvbert.model import convbert, convbert_backward
from minconvbert.shapes import sub

FACES = {"masked_lm": ConvBertForMaskedLM, "sequence_classification": ConvBertForSequenceClassification,
         "multiple_choice": ConvBertForMultipleChoice, "token_classification": ConvBertForTokenClassification,
         "question_answering": ConvBertForQuestionAnswering}
SHAPES = [{}, dict(num_groups=2, embedding_size=8), dict(head_ratio=1, conv_kernel_size=1),
          dict(head_ratio=9, conv_kernel_size=15), dict(head_ratio=4, head_ratio_semantics="original"),
          dict(num_attention_heads=1, head_ratio_semantics="original"), dict(mask_convolution=True),
          dict(mask_value=-10000.0, hidden_act="gelu_new")]
PAD_ROW = {"embeddings.word_embeddings.weight": 0, "convbert.embeddings.word_embeddings.weight": 0}


class Replayed:
    """A generator whose every use draws the same: dropout with one and the same masks in every forward."""

    def random(self, shape, dtype=np.float64):
        return np.random.default_rng(int(np.prod(shape))).random(shape, dtype=dtype)


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("changes", SHAPES, ids=str)
def test_gradients_of_the_model(changes, dropout):
    cfg = small_config(hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.3, **changes)
    params, rng = random_params(cfg), Replayed() if dropout else None
    inputs = model_inputs(cfg, **random_inputs(cfg))
    hidden, acts = convbert(inputs, params, cfg, rng)
    dhidden = frozen(np.random.default_rng(5).normal(size=hidden.shape))
    _, grads = convbert_backward(dhidden, acts, params, cfg)
    assert grads.keys() == param_shapes(cfg).keys()
    assert_gradients(lambda p: float((convbert(inputs, p, cfg, rng)[0] * dhidden).sum()), params, grads, skip=PAD_ROW)
    _, again = convbert_backward(dhidden, acts, params, cfg)
    assert all((again[name] == grads[name]).all() for name in grads)


def test_gradient_of_inputs_embeds():
    cfg = small_config(embedding_size=8)
    params, embeds = random_params(cfg), frozen(np.random.default_rng(0).normal(size=(2, 7, 8)))
    run = lambda e: convbert(model_inputs(cfg, inputs_embeds=e), params, cfg)
    hidden, acts = run(embeds)
    dhidden = np.random.default_rng(1).normal(size=hidden.shape)
    dembeds, _ = convbert_backward(dhidden, acts, params, cfg)
    assert_gradients(lambda a: float((run(a["embeds"])[0] * dhidden).sum()), {"embeds": embeds}, {"embeds": dembeds})


BLOCKS = {
    "span_dynamic_conv": lambda x, p, cfg, masks: conv.span_dynamic_conv(x, x[..., :12], masks[1], p, cfg),
    "mixed_attention": lambda x, p, cfg, masks: attention.mixed_attention(x, masks, p, cfg),
    "layer": lambda x, p, cfg, masks: model.layer(x, masks, p, cfg),
}


@pytest.mark.parametrize("hidden_padding", [False, True])
@pytest.mark.parametrize("block", BLOCKS)
def test_gradients_of_blocks(block, hidden_padding):
    cfg = small_config(mask_convolution=hidden_padding)
    prefix = "encoder.layer.0" + (".attention.self" if block != "layer" else "")
    params = sub(random_params(cfg), prefix)
    if block == "span_dynamic_conv":
        params = {name: x for name, x in params.items() if "conv" in name}
    mask = random_inputs(cfg)["attention_mask"]
    masks = model.attention_bias(mask, cfg, float), model.conv_mask(mask, cfg, float)
    arguments = params | dict(x=frozen(np.random.default_rng(2).normal(size=(3, 9, 24))))
    run = lambda a: BLOCKS[block](a["x"], {n: v for n, v in a.items() if n != "x"}, cfg, masks)
    out, acts = run(arguments)
    dout = frozen(np.random.default_rng(3).normal(size=out.shape))
    if block == "span_dynamic_conv":
        dx, dquery, grads = conv.span_dynamic_conv_backward(dout, acts, params, cfg)
        dx = dx + np.pad(dquery, ((0, 0), (0, 0), (0, 12)))
    else:
        module = model if block == "layer" else attention
        dx, grads = getattr(module, f"{block}_backward")(dout, acts, params, cfg)
    assert_gradients(lambda a: float((run(a)[0] * dout).sum()), arguments, grads | dict(x=dx))


def labels_for(task, cfg, B, L, seed=0):
    rng = np.random.default_rng(seed)
    return {"masked_lm": np.where(rng.random((B, L)) < 0.5, rng.integers(0, cfg.vocab_size, (B, L)), -100),
            "discriminator": np.where(rng.random((B, L)) < 0.8, rng.integers(0, 2, (B, L)), -100),
            "sequence_classification": rng.integers(0, cfg.num_labels, B), "multiple_choice": np.array([1]),
            "token_classification": np.where(rng.random((B, L)) < 0.8, rng.integers(0, cfg.num_labels, (B, L)), -100),
            "question_answering": rng.integers(0, L + 3, (B, 2))}[task]


HEAD_CASES = [(task, {}, None) for task in TASKS] + [
    ("masked_lm", dict(tie_word_embeddings=False, embedding_size=8), None),
    ("sequence_classification", dict(num_labels=1), np.array([0.3, -1.2, 2.0])),
    ("sequence_classification", dict(num_labels=3, problem_type="regression"),
     np.random.default_rng(0).normal(size=(3, 3))),
    ("sequence_classification", dict(num_labels=4), np.array([[1.0, 0, 1, 0], [0, 0, 1, 1], [0, 1, 0, 0]]))] + [
    ("multiple_choice", dict(summary_type=kind, summary_use_proj=use, summary_activation=act), None)
    for kind, use, act in (
        ("first", False, None), ("mean", True, "tanh"), ("cls_index", True, None), ("last", True, "gelu"))]


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("task, changes, labels", HEAD_CASES, ids=str)
def test_gradients_of_heads(task, changes, labels, dropout):
    cfg = small_config(num_hidden_layers=1, summary_first_dropout=0.2, summary_last_dropout=0.3, **changes)
    params, rng = random_params(cfg, task), Replayed() if dropout else None
    inputs = model_inputs(cfg, **random_inputs(cfg))
    labels = labels_for(task, cfg, 3, 9) if labels is None else labels
    _, _, loss_of, loss_backward = HEADS[task]
    if changes.get("summary_type") == "cls_index":
        inputs["cls_index"] = np.array([2, 0, 5])
    shape = (1, 3) if task == "multiple_choice" else None

    def run(p):
        logits, acts = task_model(task, inputs, p, cfg, rng)
        loss, loss_acts = loss_of(logits.reshape(shape) if shape else logits, labels, cfg)
        return float(loss), logits, acts, loss_acts

    _, logits, acts, loss_acts = run(params)
    dlogits = loss_backward(0.7, loss_acts).reshape(logits.shape)
    _, grads = task_model_backward(task, dlogits, acts, params, cfg)
    skip = {} if task == "masked_lm" and cfg.tie_word_embeddings else PAD_ROW
    if task == "masked_lm" and cfg.tie_word_embeddings:
        # The row of [PAD] is read by the output; as an embedding it is not learned.
        inputs["input_ids"] = np.maximum(inputs["input_ids"], 1)
    assert_gradients(lambda p: 0.7 * run(p)[0], params, grads, skip=skip)


@pytest.mark.parametrize("task", [None, *FACES])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_faces(task, dtype):
    cfg = small_config(embedding_size=8)
    face = FACES.get(task, ConvBertModel)
    net = face(cfg, random_params(cfg, task, dtype=dtype))
    inputs = random_inputs(cfg)
    if task == "multiple_choice":
        inputs = {name: x[None] for name, x in inputs.items()}
    labels = {} if task is None else dict(labels=labels_for(task, cfg, 3, 9))
    if task == "question_answering":
        labels = dict(start_positions=labels["labels"][:, 0], end_positions=labels["labels"][:, 1])
    out = net(**inputs, **labels)
    assert len(out.hidden_states) == 3 and all(h.shape == (3, 9, 24) for h in out.hidden_states)
    assert [a.shape for a in out.attentions] == [(3, 2, 9, 9)] * 2
    assert [k.shape for k in out.kernels] == [(3, 9, 2, 5)] * 2
    for maps in (*out.attentions, *out.kernels):
        assert np.abs(maps.sum(-1) - 1).max() < 1e-5
    floats = {name: a.dtype for name, a in out.acts.items() if a.dtype.kind == "f"}
    assert floats and set(floats.values()) == {np.dtype(dtype)}, floats
    grads = net.backward(np.ones((3, 9, 24), dtype) * out.last_hidden_state) if task is None else net.backward()
    assert grads.keys() == net.params.keys() == param_shapes(cfg, task).keys()
    for name, g in grads.items():
        assert g.dtype == dtype and g.shape == net.params[name].shape, name
    if task is not None:
        assert out.loss.dtype == dtype


def test_the_first_column_is_where_an_answer_begins_and_the_second_where_it_ends():
    cfg = small_config()
    net = ConvBertForQuestionAnswering(cfg, random_params(cfg, "question_answering"))
    inputs, starts, ends = random_inputs(cfg), np.array([1, 2, 0]), np.array([4, 3, 5])
    out = net(**inputs, start_positions=starts, end_positions=ends)
    nll = lambda z, places: np.mean([np.log(np.exp(row).sum()) - row[t] for row, t in zip(z, places)])
    assert out.loss == pytest.approx((nll(out.start_logits, starts) + nll(out.end_logits, ends)) / 2)
    net.params["qa_outputs.bias"] = net.params["qa_outputs.bias"] + [5, 7]
    moved = net(**inputs)
    assert_close(moved.start_logits, out.start_logits + 5, 1e-12)
    assert_close(moved.end_logits, out.end_logits + 7, 1e-12)


def test_key_bias_has_no_gradient():
    cfg = small_config()
    net = ConvBertForMaskedLM(cfg, random_params(cfg, "masked_lm"))
    inputs = random_inputs(cfg)
    net(**inputs, labels=inputs["input_ids"])
    grads = net.backward()
    largest = max(np.abs(g).max() for g in grads.values())
    assert max(np.abs(g).max() for name, g in grads.items() if name.endswith("key.bias")) < 1e-14 * largest


def test_two_forwards_do_not_disturb_each_other():
    cfg = small_config()
    params = random_params(cfg)
    first, second = (model_inputs(cfg, **random_inputs(cfg, seed=seed)) for seed in range(2))
    hidden, acts = convbert(first, params, cfg)
    _, expected = convbert_backward(np.cos(hidden), acts, params, cfg)
    hidden, acts = convbert(first, params, cfg)
    convbert(second, params, cfg)
    _, found = convbert_backward(np.cos(hidden), acts, params, cfg)
    assert all((found[name] == expected[name]).all() for name in expected)


def test_the_same_seed_gives_the_same_bits():
    cfg = small_config()
    net = ConvBertModel(cfg, random_params(cfg, dtype=np.float32))
    runs = [net(**random_inputs(cfg), rng=np.random.default_rng(7)).last_hidden_state for _ in range(2)]
    assert (runs[0] == runs[1]).all()
    assert (runs[0] != net(**random_inputs(cfg)).last_hidden_state).any()


def test_less_is_kept_on_request_and_backward_then_says_so():
    cfg = small_config()
    net = ConvBertModel(cfg, random_params(cfg))
    full, lean = net(**random_inputs(cfg)), net(**random_inputs(cfg), keep=False)
    assert (full.last_hidden_state == lean.last_hidden_state).all()
    assert sum(a.nbytes for a in lean.acts.values()) < 0.5 * sum(a.nbytes for a in full.acts.values())
    assert all((a == b).all() for a, b in zip(full.kernels, lean.kernels))
    with pytest.raises(ValueError, match="call the model with keep=True"):
        net.backward(full.last_hidden_state)


@pytest.mark.parametrize("task", [None, "masked_lm"])
def test_backward_lets_go_of_what_it_has_read_on_request(task):
    cfg = small_config()
    net, inputs = FACES.get(task, ConvBertModel)(cfg, random_params(cfg, task)), random_inputs(cfg)
    out = net(**inputs, **({} if task is None else dict(labels=inputs["input_ids"])))
    given = [] if task else [np.cos(out.last_hidden_state)]
    expected = net.backward(*given)
    grads = net.backward(*given, free=True)
    assert all((grads[name] == expected[name]).all() for name in expected)
    assert not [name for name in out.acts if ".layer." in name or name.startswith("head.")]
    with pytest.raises(ValueError, match="backward needs a forward before it"):
        net.backward(*given)


def test_padding_leaks_through_the_convolution_unless_it_is_masked():
    ids = np.random.default_rng(0).integers(1, 40, (1, 7))
    padded, mask = np.pad(ids, ((0, 0), (0, 9))), np.pad(np.ones((1, 7), int), ((0, 0), (0, 9)))
    leaks = {}
    for masked in (False, True):
        cfg = small_config(mask_convolution=masked, conv_kernel_size=9)
        net = ConvBertModel(cfg, random_params(cfg))
        alone = net(ids).last_hidden_state
        leaks[masked] = np.abs(net(padded, mask).last_hidden_state[:, :7] - alone).max() / np.abs(alone).max()
    assert leaks[False] > 0.05 and leaks[True] < 1e-13


def test_a_row_of_padding_alone_attends_evenly_or_as_it_likes():
    ids, mask = np.arange(1, 8)[None], np.zeros((1, 7), int)
    for value, evenly in ((None, True), (-10000.0, False)):
        cfg = small_config(mask_value=value)
        weights = ConvBertModel(cfg, random_params(cfg))(ids, mask).attentions[0]
        assert (np.abs(weights - 1 / 7).max() < 1e-12) == evenly


def test_masks_of_four_axes_are_added():
    cfg = small_config()
    net = ConvBertModel(cfg, random_params(cfg))
    inputs = random_inputs(cfg)
    expected = net(**inputs).last_hidden_state
    bias = np.where(inputs["attention_mask"], 0, np.finfo(float).min)[:, None, None]
    inputs["attention_mask"] = bias
    assert_close(net(**inputs).last_hidden_state, expected, 1e-15)


def test_what_is_exported():
    for name in minconvbert.__all__:
        assert getattr(minconvbert, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'ConvBertForEverything'"):
        minconvbert.ConvBertForEverything


def test_what_a_user_refills_does_not_change_the_gradients():
    cfg = small_config()
    net = FACES["masked_lm"](cfg, random_params(cfg, "masked_lm"))
    inputs = random_inputs(cfg)
    labels = inputs["input_ids"].copy()
    net(**inputs, labels=labels)
    before = net.backward()
    for array in (*inputs.values(), labels):
        array[:] = 1
    after = net.backward()
    assert all((before[name] == after[name]).all() for name in before)


def test_the_gradient_of_inputs_embeds_has_their_shape():
    cfg = small_config()
    net = FACES["multiple_choice"](cfg, random_params(cfg, "multiple_choice"))
    net(inputs_embeds=np.random.default_rng(0).normal(size=(2, 3, 4, cfg.embedding_size)), labels=[0, 2])
    assert net.backward()["inputs_embeds"].shape == (2, 3, 4, cfg.embedding_size)


def test_a_mask_value_beyond_float32_hides_a_whole_row():
    cfg = small_config(mask_value=-1e300)
    net = ConvBertModel(cfg, {name: x.astype(np.float32) for name, x in random_params(cfg).items()})
    assert np.isfinite(net([[1, 2], [3, 4]], attention_mask=[[1, 1], [0, 0]]).last_hidden_state).all()


def test_numbers_of_a_configuration_do_not_widen_arrays():
    params = {name: x.astype(np.float32) for name, x in random_params(small_config()).items()}
    eps = small_config().layer_norm_eps
    hidden = [ConvBertModel(small_config(layer_norm_eps=kind(eps)), params)([[1, 2]]).last_hidden_state
              for kind in (float, np.float64)]
    assert hidden[0].dtype == hidden[1].dtype == np.float32 and (hidden[0] == hidden[1]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_loss_of_the_discriminator_is_as_wide_as_its_logits(dtype):
    _, _, loss_of, loss_backward = HEADS["discriminator"]
    loss, acts = loss_of(np.random.default_rng(0).normal(size=(2, 3)).astype(dtype), np.array([[0, 1, -100]] * 2), None)
    assert loss.dtype == loss_backward(1.0, acts).dtype == dtype


@pytest.mark.parametrize("tied", [True, False])
def test_a_table_of_another_size(tied):
    """Old tokens are scored as before; new ones have rows of their own scale, and a bias of 0."""
    cfg = small_config(tie_word_embeddings=tied)
    face = ConvBertForMaskedLM(cfg, random_params(cfg, "masked_lm"))
    inputs = dict(input_ids=np.array([[1, 2, 3]]))
    before = face(**inputs).logits
    table = face.resize_token_embeddings(45, np.random.default_rng(1))
    assert table.shape == (45, cfg.embedding_size) and face.config.vocab_size == 45
    assert 0.5 < table[40:].std() / cfg.initializer_range < 1.5
    again = [ConvBertForMaskedLM(cfg, random_params(cfg, "masked_lm")).resize_token_embeddings(
        45, np.random.default_rng(seed)) for seed in (1, 2)]
    assert (again[0] == table).all() and (again[1][40:] != table[40:]).all()
    after = face(**inputs).logits
    assert_close(after[..., :40], before, 1e-12)
    name = "convbert.embeddings.word_embeddings.weight" if tied else "generator_lm_head.weight"
    changed = face.params[name].copy()
    changed[44] *= 2
    face.params[name] = changed
    assert_close(face(**inputs).logits[..., 44], 2 * after[..., 44], 1e-12)   # so its bias is 0
    face(np.array([[44, 40]]))
    face.resize_token_embeddings(40)
    with pytest.raises(ValueError, match="backward needs a forward before it"):
        face.backward()                                                      # the call was of other tables
    assert_close(face(**inputs).logits, before, 1e-12)
    with pytest.raises(ValueError, match="vocab_size must be at least 1, but is 0"):
        face.resize_token_embeddings(0)
