"""Pretraining by replaced-token detection.

A small generator fills masked places with words that fit. The model itself, the discriminator, then decides
for every word whether it is the author's or the generator's. Both read the same embeddings.

    loss = 1 * masked-word loss of the generator + 50 * replaced-word loss of the discriminator

Source: run_pretraining.py and pretrain/pretrain_helpers.py of the original.
"""

import numpy as np

from .heads import discriminator, discriminator_backward, masked_lm, masked_lm_backward
from .initialize import init_params
from .inputs import model_inputs
from .losses import binary_nll, binary_nll_backward, negative_log_likelihood, negative_log_likelihood_backward
from .model import convbert, convbert_backward
from .shapes import accumulate, dims, sub, under

GENERATOR_WEIGHT, DISCRIMINATOR_WEIGHT = 1.0, 50.0


class RowRandom:
    """A random generator for each row of a batch, seeded with (seed, step, number of the row).

    Each row gets the same numbers however the rows are spread over processes, and a run that resumes at a step needs to
    know only the step.
    """

    def __init__(self, seed, step, rows):
        self.rows = [np.random.default_rng([seed, step, row]) for row in rows]

    def random(self, shape, dtype=np.float64):
        """Uniform on [0, 1); the first axis is that of the rows."""
        _require_rows(self, shape[0])
        return np.stack([row.random(shape[1:], dtype=dtype) for row in self.rows])


def _require_rows(rng, B):
    rows = len(rng.rows) if isinstance(rng, RowRandom) else None
    if rows != B:
        found = "" if rows is None else f", but has {rows}"
        raise ValueError(f"rng must be a RowRandom of {B} rows{found}; write RowRandom(seed, step, range({B}))")


def generator_config(cfg, width=0.25, layers=1.0):
    """The configuration of the generator: `width` times as wide, `layers` times as deep, with shared embeddings.

    Source: get_generator_config. There, a generator of one head has full width, which only
    head_ratio_semantics="original" can express.
    """
    heads = max(1, round(cfg.num_attention_heads * width))
    hidden = round(cfg.hidden_size * width)
    same = cfg.head_ratio == 2 and heads % 2 == 0
    return cfg.replace(
        hidden_size=hidden, num_attention_heads=heads, intermediate_size=4 * hidden,
        num_hidden_layers=max(1, round(cfg.num_hidden_layers * layers)), tie_word_embeddings=True,
        head_ratio_semantics=cfg.head_ratio_semantics if same else "original")


def init_pretraining(cfg, generator_cfg, rng, scheme="original", dtype=np.float32):
    """Fresh parameters of both parts: `embeddings.*` (shared), `generator.*`, `discriminator.*` and the two heads."""
    parts = init_params(cfg, "discriminator", rng, scheme, dtype)
    generator = init_params(generator_cfg, "masked_lm", rng, scheme, dtype)
    params = under("embeddings", sub(parts, "convbert.embeddings"))
    for part, own in (("discriminator", parts), ("generator", generator)):
        body = sub(own, "convbert")
        params |= under(part, {name: x for name, x in body.items() if not name.startswith("embeddings.")})
        params |= {name: x for name, x in own.items() if not name.startswith("convbert.")}
    return params


def part_params(params, part):
    """What the generator or the discriminator reads, under the names of a model with its head. No array is copied."""
    body = under("embeddings", sub(params, "embeddings")) | sub(params, part)
    heads = ("generator_predictions.", "generator_lm_head.") if part == "generator" else ("discriminator_predictions.",)
    return under("convbert", body) | {name: x for name, x in params.items() if name.startswith(heads)}


def part_grads(grads, part):
    """The gradients of one part under the names of `init_pretraining`; undoes `part_params`."""
    body = sub(grads, "convbert")
    shared = under("embeddings", sub(body, "embeddings"))
    own = {name: g for name, g in body.items() if name not in shared}
    return shared | under(part, own) | {name: g for name, g in grads.items() if not name.startswith("convbert.")}


def mask_tokens(input_ids, attention_mask, rng, mask_id, special_ids, share=0.15, most=None):
    """Choose places to predict, and hide most of them.

    input_ids, attention_mask (B, L)  ->  masked ids (B, L), places: rows, positions, labels (N,)

    A row of n real tokens gets round(share * n) draws, at least 1 and at most `most` (by default int(0.155 L), which is
    0 below seven tokens). Draws are with replacement: a place that is drawn twice counts twice. 85% of the draws hide
    their word behind [MASK], the rest leave it as it is. Special tokens and padding are never drawn.
    Source: pretrain_helpers.mask.
    """
    B, L = dims("input_ids[B L], attention_mask[B L]", input_ids, attention_mask)
    _require_rows(rng, B)
    most = int((share + 0.005) * L) if most is None else most
    candidates = (attention_mask != 0) & ~np.isin(input_ids, special_ids)
    masked, rows, positions = input_ids.copy(), [], []
    for row in range(B):
        choice = np.flatnonzero(candidates[row])
        n = min(max(1, round(share * int(attention_mask[row].sum()))), most) if choice.size else 0
        drawn = choice[rng.rows[row].integers(choice.size, size=n)] if n else choice[:0]
        masked[row, drawn[rng.rows[row].random(n) < 0.85]] = mask_id
        rows.append(np.full(n, row))
        positions.append(drawn)
    rows, positions = np.concatenate(rows), np.concatenate(positions)
    return masked, dict(rows=rows, positions=positions, labels=input_ids[rows, positions].astype(np.int64))


def sample_words(logits, places, rng):
    """Draw a word for each place, with the probabilities of softmax(logits): argmax(logits + Gumbel noise).

    logits (N, V)  ->  ids (N,).   Gumbel noise is -log(-log(u)).   Source: pretrain_helpers.sample_from_softmax.
    """
    N, V = dims("logits[N V]", logits)
    noise = np.empty((N, V), np.float32)
    for row, counted in zip(*np.unique(places["rows"], return_counts=True)):
        start = np.searchsorted(places["rows"], row)
        rng.rows[row].random(out=noise[start : start + counted], dtype=np.float32)
    for _ in range(2):
        noise += 1e-9
        np.log(noise, out=noise)
        np.negative(noise, out=noise)
    return (logits + noise).argmax(-1)


def replace_tokens(input_ids, places, sampled):
    """Put sampled words in their places; a word is replaced if it differs from the author's.

    input_ids (B, L), sampled (N,)  ->  corrupted ids (B, L), replaced (B, L) of 0 and 1

    The first draw of a place decides. (Where a place was drawn more than once, the original takes the mean of the ids,
    which is an id that nobody drew.)
    """
    at = places["rows"] * input_ids.shape[1] + places["positions"]
    at, first = np.unique(at, return_index=True)
    corrupted = input_ids.astype(np.int64)
    corrupted.reshape(-1)[at] = sampled[first]
    return corrupted, (corrupted != input_ids).astype(np.int64)


def masked_word_loss(batch, places, p, cfg, rng=None, count=None):
    """The mean of -log softmax(logits)[author's word] over the chosen places.

    batch: attention_mask, token_type_ids, and masked_ids from `mask_tokens` (B, L); count: how many places share the
    mean, if this batch is a part of a larger one  ->  loss, acts, in which `words` (N, V) are the logits
    """
    inputs = model_inputs(cfg, batch["masked_ids"], batch["attention_mask"], batch["token_type_ids"])
    hidden, acts = convbert(inputs, sub(p, "convbert"), cfg, rng)
    words, head_acts = masked_lm(hidden[places["rows"], places["positions"]], p, cfg)
    nll, probs = negative_log_likelihood(words, places["labels"])
    count = (len(nll) if count is None else count) + 1e-6
    acts = under("convbert", acts) | under("head", head_acts) | places
    return float(nll.sum()) / count, acts | dict(hidden=hidden, words=words, probs=probs, count=np.array(count))


def masked_word_loss_backward(dloss, acts, p, cfg):
    """-> grads"""
    dwords = negative_log_likelihood_backward(float(dloss / acts["count"]), acts["probs"], acts["labels"])
    dpicked, grads = masked_lm_backward(dwords, sub(acts, "head"), p, cfg)
    dhidden = np.zeros_like(acts["hidden"])
    np.add.at(dhidden, (acts["rows"], acts["positions"]), dpicked)
    _, g = convbert_backward(dhidden, sub(acts, "convbert"), sub(p, "convbert"), cfg)
    accumulate(grads, under("convbert", g))            # a tied table is read as embeddings and as the output
    return grads


def replaced_word_loss(batch, corrupted, replaced, p, cfg, rng=None, count=None):
    """The mean over real tokens of the binary cross-entropy of "this word was replaced".

    corrupted, replaced (B, L); count: how many tokens share the mean  ->  loss, acts with `logits` (B, L)
    """
    inputs = model_inputs(cfg, corrupted, batch["attention_mask"], batch["token_type_ids"])
    hidden, acts = convbert(inputs, sub(p, "convbert"), cfg, rng)
    logits, head_acts = discriminator(hidden, p, cfg)
    replaced, real = replaced.astype(logits.dtype), (batch["attention_mask"] != 0).astype(logits.dtype)
    count = (int(real.sum()) if count is None else count) + 1e-6
    loss = float((binary_nll(logits, replaced) * real).sum()) / count
    acts = under("convbert", acts) | under("head", head_acts)
    return loss, acts | dict(logits=logits, replaced=replaced, real=real, count=np.array(count))


def replaced_word_loss_backward(dloss, acts, p, cfg):
    """-> grads"""
    dnll = acts["real"] * float(dloss / acts["count"])
    dlogits = binary_nll_backward(dnll, acts["logits"], acts["replaced"])
    dhidden, grads = discriminator_backward(dlogits, sub(acts, "head"), p, cfg)
    _, g = convbert_backward(dhidden, sub(acts, "convbert"), sub(p, "convbert"), cfg)
    return under("convbert", g) | grads


def pretraining_loss(batch, places, params, cfg, generator_cfg, rng, dropout=False, counts=(None, None)):
    """One batch through both parts: the generator fills the places, the discriminator reads the result.

    batch: input_ids, attention_mask, token_type_ids, masked_ids (B, L), and optionally sampled (N,), words to use
    instead of a draw; rng: a `RowRandom`; counts: places and real tokens of the whole batch, if this is a part of it
    ->  losses: loss, generator_loss, discriminator_loss; acts
    """
    noise = rng if dropout else None
    generator_loss, generator_acts = masked_word_loss(
        batch, places, part_params(params, "generator"), generator_cfg, noise, counts[0])
    sampled = batch["sampled"] if "sampled" in batch else sample_words(generator_acts["words"], places, rng)
    corrupted, replaced = replace_tokens(batch["input_ids"], places, sampled)
    discriminator_loss, discriminator_acts = replaced_word_loss(
        batch, corrupted, replaced, part_params(params, "discriminator"), cfg, noise, counts[1])
    losses = dict(loss=GENERATOR_WEIGHT * generator_loss + DISCRIMINATOR_WEIGHT * discriminator_loss,
                  generator_loss=generator_loss, discriminator_loss=discriminator_loss)
    acts = under("generator", generator_acts) | under("discriminator", discriminator_acts)
    return losses, acts | dict(sampled=sampled, corrupted=corrupted, replaced=replaced)


def pretraining_loss_backward(acts, params, cfg, generator_cfg):
    """-> grads under the names of `params`

    The draw between the parts cannot be differentiated, so the generator learns from its own loss alone.
    """
    grads = part_grads(replaced_word_loss_backward(
        DISCRIMINATOR_WEIGHT, sub(acts, "discriminator"), part_params(params, "discriminator"), cfg), "discriminator")
    g = part_grads(masked_word_loss_backward(
        GENERATOR_WEIGHT, sub(acts, "generator"), part_params(params, "generator"), generator_cfg), "generator")
    accumulate(grads, g)                               # both parts read the same embeddings
    return grads
