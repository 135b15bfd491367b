"""Fine-tuning steps in PyTorch: transformers' models and losses, the original's rates by layer."""

import torch
import transformers
from torch_pretraining import torch_adam_step

from minconvbert import checkpoint


def torch_model(cfg, head, params):
    """transformers' model with our parameters, of their dtype, without dropout."""
    options = {name: value for name, value in cfg.to_dict().items() if name != "model_type"}
    theirs = getattr(transformers, checkpoint.ARCHITECTURES[head])(
        transformers.ConvBertConfig(**options, attn_implementation="eager")).to(
            torch.tensor(next(iter(params.values()))).dtype).eval()
    missing, unexpected = theirs.load_state_dict({n: torch.tensor(x) for n, x in params.items()}, strict=False)
    assert not unexpected and set(missing) <= {"generator_lm_head.weight"}  # the tied table
    return theirs


def torch_loss(theirs, name, batch):
    inputs, labels = batch["inputs"], batch.get("labels")
    arrays = {k: torch.tensor(inputs[k]) for k in ("input_ids", "attention_mask", "token_type_ids")}
    if name == "masked-lm":                             # the original's mean over the places drawn
        arrays["input_ids"] = torch.tensor(inputs["masked_ids"])
        places = {k: torch.tensor(v) for k, v in batch["places"].items()}
        logits = theirs(**arrays).logits[places["rows"], places["positions"]]
        return torch.nn.functional.cross_entropy(logits, places["labels"], reduction="sum") / (len(logits) + 1e-6)
    if name == "multiple-choice":
        N = len(arrays["input_ids"]) // len(labels)
        arrays = {k: x.reshape(-1, N, x.shape[1]) for k, x in arrays.items()}
    if name == "question-answering":
        arrays |= dict(start_positions=torch.tensor(labels[:, 0]), end_positions=torch.tensor(labels[:, 1]))
    else:
        arrays["labels"] = torch.tensor(labels)
    return theirs(**arrays).loss


def depth_of(name, layers):
    """key_to_depths of _get_layer_lrs in the original's model/optimization.py; the task's own variables are at layers + 2."""
    if "convbert.embeddings" in name:
        return 0
    if "encoder.layer." in name:
        return int(name.split("encoder.layer.")[1].split(".")[0]) + 1
    return layers + 2


def torch_step(theirs, name, batch, moments, step, steps, cfg, recipe):
    """Autograd, then the original's AdamWeightDecayOptimizer with its schedule, clipping and rates -> loss"""
    named = dict(theirs.named_parameters())
    scale = {n: recipe.layer_decay ** (cfg.num_hidden_layers + 2 - depth_of(n, cfg.num_hidden_layers)) for n in named}
    for x in named.values():
        x.grad = None
    loss = torch_loss(theirs, name, batch)
    loss.backward()
    rate = recipe.learning_rate * (1 - step / steps) * min(1.0, step / int(steps * recipe.warmup))
    torch_adam_step(named, moments, rate, recipe.decay, recipe.clip, scale)
    return loss.item()
