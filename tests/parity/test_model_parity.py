"""Every head against transformers: outputs, losses, gradients; float64 to rounding, float32 to torch's own error."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from helpers import assert_close, random_inputs, random_params, small_config
from test_model import FACES, labels_for

from minconvbert.config import ACTIVATION_NAMES
from minconvbert.faces import ConvBertModel

OURS = ("model_type", "head_ratio_semantics", "mask_value", "mask_convolution")
CONFIGS = [
    {}, dict(num_groups=2), dict(num_groups=3), dict(embedding_size=8), dict(embedding_size=8, num_groups=2),
    dict(head_ratio=1), dict(head_ratio=4), dict(head_ratio=9), dict(num_attention_heads=12, head_ratio=3),
    *(dict(conv_kernel_size=K) for K in (1, 3, 9, 15)), dict(layer_norm_eps=1e-3), dict(type_vocab_size=3)]


def pair(cfg, task, dtype=np.float64, seed=0):
    """Our model and transformers', with the same parameters."""
    face = FACES.get(task, ConvBertModel)
    params = random_params(cfg, task, seed, dtype=dtype)
    options = {name: value for name, value in cfg.to_dict().items() if name not in OURS}
    theirs = getattr(transformers, face.__name__)(
        transformers.ConvBertConfig(**options, attn_implementation="eager")).eval()
    theirs = theirs.to(torch.tensor(np.zeros(1, dtype)).dtype)
    missing, unexpected = theirs.load_state_dict({n: torch.tensor(x) for n, x in params.items()}, strict=False)
    assert not unexpected and set(missing) <= {"generator_lm_head.weight"}
    return face(cfg, params), theirs


def tensors(arrays):
    return {name: torch.tensor(a) for name, a in arrays.items()}


def compare(ours, theirs, inputs, labels, outputs=1e-12, gradients=1e-11):
    """Hidden states, maps, logits, loss and every gradient."""
    found = ours(**inputs, **labels)
    expected = theirs(**tensors(inputs), **tensors(labels), output_hidden_states=True, output_attentions=True)
    for name in ("loss", "logits", "start_logits", "end_logits", "last_hidden_state"):
        if getattr(expected, name, None) is not None:
            assert_close(getattr(found, name), getattr(expected, name).detach().numpy(), outputs, name)
    for name in ("hidden_states", "attentions"):
        assert len(getattr(found, name)) == len(getattr(expected, name))
        for a, b in zip(getattr(found, name), getattr(expected, name)):
            assert_close(a, b.detach().numpy(), outputs, name)
    if labels:
        expected.loss.backward()
        grads = ours.backward()
    else:
        hidden = found.last_hidden_state
        dhidden = np.random.default_rng(3).normal(size=hidden.shape).astype(hidden.dtype)
        expected.last_hidden_state.backward(torch.tensor(dhidden))
        grads = ours.backward(dhidden)
    named = {name: x.grad for name, x in theirs.named_parameters()}
    assert named.keys() == grads.keys()
    largest = max(g.abs().max().item() for g in named.values() if g is not None)
    for name, g in grads.items():
        expected_grad = np.zeros_like(g) if named[name] is None else named[name].numpy()
        assert np.abs(g - expected_grad).max() <= gradients * largest, name
    return found, expected


def arguments(task, cfg, B=3, L=9, seed=0, blank_row=True):
    inputs, labels = random_inputs(cfg, B, L, seed, blank_row), {}
    if task is not None:
        labels = dict(labels=labels_for(task, cfg, B, L, seed))
    if task == "multiple_choice":
        inputs = {name: x[None] for name, x in inputs.items()}
    if task == "question_answering":
        labels = dict(start_positions=labels["labels"][:, 0], end_positions=labels["labels"][:, 1])
    return inputs, labels


@pytest.mark.parametrize("task", [None, *FACES])
@pytest.mark.parametrize("changes", CONFIGS, ids=str)
def test_float64(changes, task):
    cfg = small_config(**changes)
    compare(*pair(cfg, task), *arguments(task, cfg))


@pytest.mark.parametrize("task", [None, *FACES])
def test_float32_within_torchs_own_error(task):
    cfg = small_config(embedding_size=8, num_groups=2)
    exact, _ = pair(cfg, task, np.float64)
    ours, theirs = pair(cfg, task, np.float32)
    inputs, labels = arguments(task, cfg)
    truth = exact(**inputs, **labels)
    found, expected = ours(**inputs, **labels), theirs(**tensors(inputs), **tensors(labels))
    for name in ("logits", "start_logits", "last_hidden_state"):
        if getattr(truth, name) is not None and getattr(expected, name, None) is not None:
            wanted = getattr(truth, name)
            our_error = np.abs(getattr(found, name) - wanted).max()
            their_error = np.abs(getattr(expected, name).detach().numpy() - wanted).max()
            assert our_error < 3 * their_error + 1e-7 * np.abs(wanted).max(), name


@pytest.mark.parametrize("name", sorted(set(ACTIVATION_NAMES) - {"gelu"}))
def test_activations(name):
    for task in ("sequence_classification", "masked_lm"):
        cfg = small_config(hidden_act=name)
        compare(*pair(cfg, task), *arguments(task, cfg))


@pytest.mark.parametrize("changes", [
    dict(summary_type="first"), dict(summary_type="mean"), dict(summary_type="cls_index"),
    dict(summary_type="first", summary_use_proj=True), dict(summary_use_proj=True, summary_activation="tanh"),
    dict(summary_type="mean", summary_use_proj=True, summary_proj_to_labels=True, num_labels=24,
         summary_activation="gelu")],
    ids=str)
def test_summaries_of_multiple_choice(changes):
    cfg = small_config(**changes)
    compare(*pair(cfg, "multiple_choice"), *arguments("multiple_choice", cfg))


@pytest.mark.parametrize("changes, labels", [
    (dict(num_labels=1), np.array([0.5, -2.0, 1.0])),
    (dict(num_labels=3, problem_type="regression"), np.random.default_rng(0).normal(size=(3, 3))),
    (dict(num_labels=3), np.array([2, 0, 1])), (dict(num_labels=3), np.array([2, -100, 1])),
    (dict(num_labels=4, problem_type="multi_label_classification"),
     np.array([[1.0, 0, 1, 0], [0, 0, 1, 1], [0, 1, 0, 0]]))],
    ids=str)
def test_problem_types(changes, labels):
    cfg = small_config(**changes)
    inputs, _ = arguments("sequence_classification", cfg)
    compare(*pair(cfg, "sequence_classification"), inputs, dict(labels=labels))


@pytest.mark.parametrize("start, end", [([0, 8, 3], [2, 8, 3]), ([-4, 9, 40], [1, 2, 9]), ([9, 9, 9], [0, 1, 2])])
def test_positions_of_answers_are_cut_to_the_window(start, end):
    cfg = small_config()
    ours, theirs = pair(cfg, "question_answering")
    inputs, _ = arguments("question_answering", cfg)
    labels = dict(start_positions=np.array(start), end_positions=np.array(end))
    found, expected = ours(**inputs, **labels), theirs(**tensors(inputs), **tensors(labels))
    if np.isnan(expected.loss.item()):
        assert np.isnan(found.loss)
    else:
        compare(ours, theirs, inputs, labels)


@pytest.mark.parametrize("task", ["masked_lm", "token_classification", "sequence_classification"])
def test_nothing_counted_is_nan_with_gradients_of_zero(task):
    cfg = small_config()
    ours, theirs = pair(cfg, task)
    inputs, labels = arguments(task, cfg)
    labels = dict(labels=np.full_like(labels["labels"], -100))
    assert np.isnan(theirs(**tensors(inputs), **tensors(labels)).loss.item())
    assert np.isnan(ours(**inputs, **labels).loss)
    assert all((g == 0).all() for g in ours.backward().values())


def test_positions_types_and_embeds():
    cfg = small_config(embedding_size=8)
    ours, theirs = pair(cfg, None)
    rng = np.random.default_rng(0)
    for shape in ((9,), (1, 9), (3, 9)):
        inputs = random_inputs(cfg) | dict(position_ids=rng.integers(0, 16, shape))
        expected = theirs(**tensors(inputs))
        assert_close(ours(**inputs).last_hidden_state, expected.last_hidden_state.detach().numpy(), 1e-12)
    embeds, mask = rng.normal(size=(3, 9, 8)), inputs["attention_mask"]
    given = torch.tensor(embeds, requires_grad=True)
    expected = theirs(inputs_embeds=given, attention_mask=torch.tensor(mask)).last_hidden_state
    dhidden = rng.normal(size=(3, 9, 24))
    expected.backward(torch.tensor(dhidden))
    assert_close(ours(inputs_embeds=embeds, attention_mask=mask).last_hidden_state, expected.detach().numpy(), 1e-12)
    assert_close(ours.backward(dhidden)["inputs_embeds"], given.grad.numpy(), 1e-11)


def test_defaults_of_the_configuration():
    ours, theirs = small_config().__class__(), transformers.ConvBertConfig()
    for name, value in ours.to_dict().items():
        if name not in OURS:
            assert getattr(theirs, name) == value, name
    assert theirs.model_type == "convbert"
