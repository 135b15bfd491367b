"""Pretraining written down in PyTorch, after the original's run_pretraining.py and optimization.py.

The two bodies are transformers' modules; both hold one and the same embeddings.
"""

import numpy as np
import torch
import transformers
from torch.nn import functional


class TorchPretraining(torch.nn.Module):
    def __init__(self, cfg, generator_cfg, params):
        super().__init__()
        self.generator, self.discriminator = _body(generator_cfg, params, "generator"), _body(cfg, params, "discriminator")
        self.generator.embeddings = self.discriminator.embeddings
        self.eps = cfg.layer_norm_eps
        self.heads = {name: torch.nn.Parameter(torch.tensor(x)) for name, x in params.items()
                      if not name.startswith(("embeddings.", "generator.", "discriminator."))}

    def named(self):
        """Every parameter under the name that `init_pretraining` gives it."""
        everything = dict(self.heads)
        for part in ("generator", "discriminator"):
            for name, x in getattr(self, part).named_parameters():
                everything[name if name.startswith("embeddings.") else f"{part}.{name}"] = x
        return everything

    def forward(self, batch, places, sampled=None):
        h = self.heads
        ids, masked, mask, types = (torch.as_tensor(batch[name]) for name in (
            "input_ids", "masked_ids", "attention_mask", "token_type_ids"))
        rows, positions, labels = (torch.as_tensor(places[name]) for name in ("rows", "positions", "labels"))

        hidden = self.generator(masked, attention_mask=mask, token_type_ids=types)[0][rows, positions]
        hidden = functional.gelu(functional.linear(
            hidden, h["generator_predictions.dense.weight"], h["generator_predictions.dense.bias"]))
        hidden = functional.layer_norm(hidden, hidden.shape[-1:], h["generator_predictions.LayerNorm.weight"],
                                       h["generator_predictions.LayerNorm.bias"], self.eps)
        words = functional.linear(
            hidden, self.discriminator.embeddings.word_embeddings.weight, h["generator_lm_head.bias"])
        generator_loss = functional.cross_entropy(words, labels, reduction="sum") / (len(labels) + 1e-6)

        if sampled is None:
            noise = -torch.log(-torch.log(torch.rand_like(words) + 1e-9) + 1e-9)
            sampled = (words.detach() + noise).argmax(-1)
        # Of two draws of a place the first decides.
        at, first = np.unique(places["rows"] * ids.shape[1] + places["positions"], return_index=True)
        corrupted = ids.clone()
        corrupted.view(-1)[torch.as_tensor(at)] = torch.as_tensor(sampled)[torch.as_tensor(first)]
        replaced = (corrupted != ids).to(words.dtype)

        hidden = self.discriminator(corrupted, attention_mask=mask, token_type_ids=types)[0]
        hidden = functional.gelu(functional.linear(
            hidden, h["discriminator_predictions.dense.weight"], h["discriminator_predictions.dense.bias"]))
        logits = functional.linear(hidden, h["discriminator_predictions.dense_prediction.weight"],
                                   h["discriminator_predictions.dense_prediction.bias"])[..., 0]
        nll = functional.binary_cross_entropy_with_logits(logits, replaced, reduction="none")
        discriminator_loss = (nll * mask).sum() / (mask.sum().to(nll.dtype) + 1e-6)
        return dict(loss=generator_loss + 50 * discriminator_loss, generator_loss=generator_loss,
                    discriminator_loss=discriminator_loss)


@torch.no_grad()
def torch_adam_step(named, moments, rate, decay=0.01, limit=1.0, scale=None):
    """Clipping and Adam without bias correction, in place; `moments`: name -> (m, v), made at the first step.

    scale: name -> factor on the rate.
    """
    norm = torch.sqrt(sum((x.grad ** 2).sum() for x in named.values()))
    for name, x in named.items():
        g = x.grad * min(1.0, limit / norm)
        m, v = moments.setdefault(name, (torch.zeros_like(x), torch.zeros_like(x)))
        m.mul_(0.9).add_(g, alpha=0.1)
        v.mul_(0.999).addcmul_(g, g, value=0.001)
        update = m / (v.sqrt() + 1e-6)
        if "LayerNorm" not in name and "bias" not in name:
            update += decay * x
        x.sub_(update, alpha=rate if scale is None else rate * scale[name])


def _body(cfg, params, part):
    options = {k: v for k, v in cfg.to_dict().items() if k not in ("model_type", "head_ratio_semantics")}
    model = transformers.ConvBertModel(transformers.ConvBertConfig(**options, attn_implementation="eager")).eval()
    model.to(torch.tensor(next(iter(params.values()))).dtype)
    own = {n.removeprefix(f"{part}."): x for n, x in params.items() if n.startswith((f"{part}.", "embeddings."))}
    missing, unexpected = model.load_state_dict({n: torch.tensor(x) for n, x in own.items()}, strict=False)
    assert not missing and not unexpected
    return model
