"""A line for every tensor of the pack, which says what it is."""

import re

FORMULAS = {
    "in.dout": "upstream gradient: that of acts.out or, of a model, of the last hidden states", "loss": "the loss",
    "in.peak": "the highest rate, if there were no decay",
    "total": "what the layer norm reads: dense (dropped in training) + what went in; word + position + type",
    "word": "rows of the word table", "x": "what goes in", "out": "what this block gives",
    "query": "x W_q^T + b_q", "key": "x W_k^T + b_k", "value": "x W_v^T + b_v",
    "attn.query": "x W_q^T + b_q, split into heads", "attn.key": "x W_k^T + b_k, split into heads",
    "attn.value": "x W_v^T + b_v, split into heads",
    "attn.scores": "query key^T / sqrt(Dh), before the mask is added; 0 at tokens that it hides, which do not count",
    "attn.weights": "softmax(attn.scores + mask)", "attn.out": "(weights, dropped in training) value",
    "conv.query": "the query, heads not split",
    "conv.span_mixed": "depthwise convolution of x", "conv.span_key": "pointwise map of conv.span_mixed, + bias",
    "span_mixed": "depthwise convolution of x", "span_key": "pointwise map of span_mixed, + bias",
    "conv.match": "query * span_key",
    "match": "query * span_key", "conv.scores": "match W^T + b, as (B, L, H, K): a head's K taps are neighbours",
    "scores": "match W^T + b, as (B, L, H, K): a head's K taps are neighbours",
    "conv.kernel": "softmax(scores) over the K taps", "kernel": "softmax(scores) over the K taps",
    "conv.value": "x W_o^T + b_o, a map of the convolution's own (conv_out_layer), split into heads",
    "conv.out": "sum_j kernel[t, h, j] value[t + j - K // 2, h]",
    "self.out": "heads that attend, then heads that convolve, side by side",
    "dense": "a linear map of what went in", "intermediate.out": "activation(dense)",
    "active": "activation(dense), or of projected where choices are compared",
    "normed": "layer norm of active", "logits": "what the head gives", "first": "the first token",
    "picked": "the token that stands for all",
    "projected": "linear map of picked", "summary": "activation(projected), dropped in training",
    "dropped": "what came before, dropped in training", "probs": "softmax(logits)",
    "conv.x": "part of the gradient of x that comes through the convolution",
    "conv.span_x": "part of it, through the span key",
    "conv.value_x": "part of it, through the value", "intermediate.x": "the part that comes through the feed-forward",
    "self.x": "the part that comes through the mixed block", "attention_mask": "1 = token, 0 = padding",
    "input_ids": "ids of the tokens", "token_type_ids": "0 or 1: first or second sequence",
    "position_ids": "rows of the position table",
    "labels": "what is right; -100 does not count",
    "heads.question_answering: in.labels": "(start, end) of each answer; a position of L or more does not count",
    "heads.discriminator: in.labels": "1 if the word was replaced, 0 if not; -100 does not count",
    "heads.multiple_choice: in.labels": "which row is the right choice",
    "heads.multi_label: in.labels": "1 for each class that applies", "heads.regression: in.labels": "the number wanted",
    "best": "the three ids of the largest probs, largest first",
    "rate": "peak max(0, 1 - step / steps) min(1, step / warmup)",
    "norm": "sqrt of the sum of the squares of all gradients",
    "losses": "loss before each step", "norms": "global norm before clipping, each step",
    "offset_mapping": "where each token begins and ends in the text, in code points; (0, 0) for special tokens",
    "inputs_embeds": "embedded words", "project.out": "embeddings W^T + b",
}


def formula(name, case):
    """The formula or the description of a tensor, in one line."""
    if own := FORMULAS.get(f"{case.id}: {name}", FORMULAS.get(name)):
        return own
    if name == "acts.out":
        return case.purpose
    if name.startswith("params."):
        return "parameter, by Hugging Face's name" if not case.id.startswith("optimizer.adam") else "parameter"
    if name.startswith("grads."):
        return f"gradient of params.{name.removeprefix('grads.')}"
    group, _, rest = name.partition(".")
    rest = rest or name
    if found := re.match(r"step(\d+)\.(?:([mv])\.)?(.*)", rest):
        kind = {"m": "first moment of ", "v": "second moment of ", None: ""}[found[2]]
        return f"gradient of {found[3]}" if group == "in" else f"{kind}{found[3]} after step {found[1]}"
    if re.search(r"\bdrop(_|\.|$)", rest):
        return "mask of dropout: 0, or 1 / (1 - p)"
    parts = rest.split(".")
    text = next((FORMULAS[tail] for i in range(len(parts)) if (tail := ".".join(parts[i:])) in FORMULAS), "")
    if group in ("dacts", "din"):
        return f"gradient of {'acts' if group == 'dacts' else 'in'}.{rest}" + (f": {text}" if "part" in text else "")
    return text or ("what goes in" if group == "in" else case.purpose)
