"""The optimizer of the original, on flat dicts: Adam without bias correction, decoupled decay, schedule, clipping."""

import math
import re

import numpy as np

NOT_DECAYED = re.compile("LayerNorm|layer_norm|bias")


def learning_rate(step, peak, steps, warmup, decay_share=1.0):
    """peak x linear decay x linear warm-up, both counted from step 0; with a warm-up the first rate is 0.

    decay_share: the share of the steps, at the end, in which the rate decays. The original decays in all of them (1).
    """
    return peak * min(1.0, max(0.0, 1 - step / steps) / decay_share) * min(1.0, step / warmup if warmup else 1.0)


def global_norm(grads):
    """The length of all gradients laid end to end."""
    return math.sqrt(sum(float(np.vdot(g, g)) for g in grads.values()))


def clip_by_global_norm(grads, limit):
    """Scale all gradients, in place, so that their global norm is at most `limit`; -> the norm they had.

    Raises FloatingPointError, naming the first few tensors, if a gradient is not finite.
    """
    norm = global_norm(grads)
    if not math.isfinite(norm):
        wrong = [name for name, g in grads.items() if not np.isfinite(g).all()]
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise FloatingPointError(f"gradients are not finite: {', '.join(wrong[:3]) or 'their norm overflows'}{more}")
    if norm > limit:
        for g in grads.values():
            g *= limit / norm
    return norm


def adam_state(params):
    """First and second moments of every parameter, all zero, under `m.NAME` and `v.NAME`."""
    return {f"{moment}.{name}": np.zeros_like(x) for moment in "mv" for name, x in params.items()}


def adam_step(params, grads, state, rate, decay=0.01, betas=(0.9, 0.999), eps=1e-6, scale=None):
    """One step, in place:  m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,  x -= rate (m / (sqrt(v) + eps) + decay x)

    There is no bias correction, and eps stands outside the root. Biases and norms are not decayed. `scale` gives some
    parameters a rate of their own: name -> factor.   Source: model/optimization.py of the original.
    """
    beta1, beta2 = betas
    for name, x in params.items():
        g, m, v = grads[name], state[f"m.{name}"], state[f"v.{name}"]
        m *= beta1
        m += (1 - beta1) * g
        v *= beta2
        v += (1 - beta2) * g * g
        update = np.sqrt(v)
        update += eps
        np.divide(m, update, out=update)
        if not NOT_DECAYED.search(name):
            update += decay * x
        update *= rate if scale is None else rate * scale[name]
        x -= update
