"""The pack against PyTorch: a port written for it, every gradient by autograd; and transformers, read by hooks."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch_golden import port

from minconvbert.golden import check, read_pack
from minconvbert.golden.pack import as_float

OURS = ("model_type", "head_ratio_semantics", "mask_value", "mask_convolution")
HEADS = {"masked_lm": "MaskedLM", "masked_lm_untied": "MaskedLM", "single_label": "SequenceClassification",
         "multi_label": "SequenceClassification", "regression": "SequenceClassification",
         "token_classification": "TokenClassification", "question_answering": "QuestionAnswering",
         "multiple_choice": "MultipleChoice"}


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_autograd_finds_every_tensor_of_the_pack(precision):
    """Nothing is missing, no gradient of an intermediate either; only a table that nobody looks up has no gradient."""
    report = check(lambda golden: port(golden, getattr(torch, precision)), ["op", "block", "model", "heads"],
                   precision=precision)
    assert report.ok and max(row.error for case in report.cases for row in case.compared) < 0.35, report
    missing = {(case.id, row.name) for case in report.cases for row in case.missing}
    assert missing == {("model.inputs_embeds", "grads.embeddings.word_embeddings.weight")}


def torch_port(spoil=lambda model: None):
    """-> a port: golden -> {module path or gradient: array}, as hooks and autograd give them"""
    def port(golden):
        level, name = golden.id.split(".", 1)
        if level != "model" and (level != "heads" or name not in HEADS):
            raise NotImplementedError
        options = {k: v for k, v in golden.config.items() if k not in OURS}
        face = "ConvBertModel" if level == "model" else f"ConvBertFor{HEADS[name]}"
        model = getattr(transformers, face)(transformers.ConvBertConfig(**options, attn_implementation="eager")).eval()
        arrays = {k: torch.tensor(a) for k, a in as_float(golden.given, np.float32).items()}
        params = {k.removeprefix("params."): a for k, a in arrays.items() if k.startswith("params.")}
        missing, unexpected = model.load_state_dict(params, strict=False)
        assert not unexpected and set(missing) <= {"generator_lm_head.weight"}
        spoil(model)
        inputs = {k.removeprefix("in."): a for k, a in arrays.items() if k.startswith("in.")}
        dout = inputs.pop("dout", None)
        if name == "multiple_choice":
            inputs = {k: a if k == "labels" else a[None] for k, a in inputs.items()}
        if name == "question_answering":
            inputs["start_positions"], inputs["end_positions"] = inputs.pop("labels").T
        seen = {}
        for path, module in model.named_modules():
            def keep(module, args, out, path=path):    # returns nothing, for what a hook returns replaces `out`
                seen.setdefault(path, out[0] if isinstance(out, tuple) else out)
            module.register_forward_hook(keep)
        out = model(**inputs)
        if level == "model":
            out.last_hidden_state.backward(dout)
        else:
            out.loss.backward()
            logits = torch.stack([out.start_logits, out.end_logits], -1) if "start_positions" in inputs else out.logits
            seen["logits"] = logits.reshape(golden.truth["acts.logits"].shape)
        found = {path: a.detach().numpy() for path, a in seen.items() if path and torch.is_tensor(a)}
        if level != "model":
            found["loss"] = out.loss.detach().numpy()
        found |= {f"{n}.grad": p.grad.numpy() for n, p in model.named_parameters() if p.grad is not None}
        return found
    return port


def test_transformers_passes():
    report = check(torch_port())
    assert not report.failures and not report.notes, report
    compared = {case.id: len(case.compared) for case in report.cases if case.compared}
    assert set(compared) == {id for id in read_pack() if id.startswith("model.")} | {f"heads.{name}" for name in HEADS}
    assert min(compared.values()) > 25, compared


def reverse_the_taps(model):
    for path, module in model.named_modules():
        if path.endswith("depthwise"):
            module.register_forward_pre_hook(lambda module, inputs: (inputs[0].flip(-1),))
            module.register_forward_hook(lambda module, inputs, out: out.flip(-1))


def drop_a_bias(model):
    for name, p in model.named_parameters():
        if "conv_kernel_layer.bias" in name:
            p.data.zero_()


def tanh_gelu(model):
    for module in model.modules():
        if hasattr(module, "intermediate_act_fn"):
            module.intermediate_act_fn = torch.nn.GELU(approximate="tanh")


def coarse_norms(model):
    for module in model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-3


@pytest.mark.parametrize("spoil, mistake", [
    (reverse_the_taps, "depthwise convolution: taps reversed"), (drop_a_bias, "conv_kernel_layer: bias missing"),
    (tanh_gelu, "GELU: tanh in place of erf"), (coarse_norms, "LayerNorm: eps 1e-3")])
def test_transformers_with_a_fault_is_caught_and_named(spoil, mistake):
    """Gradients follow from the mistaken forward pass, as the tape of the reference says."""
    report = check(torch_port(spoil), case=["model.padding", "heads.single_label"])
    assert set(report.mistakes) == {mistake}, report
