"""The most frequent mistakes, as changes of the package's own lines: a function that gives the same numbers made one.

`MISTAKES[exercise]` is a list of (old text, new text, advice). The texts are parts of the package's source.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .attempt import named_results
from .exercises import fresh, reference
from .handout import solution

_SHARED_KERNEL = "A tap's weight met every token of every sentence: its gradient is a sum over tokens and sentences."
_OVERFLOW = ("exp overflows where z is large, and log of a sigmoid that has become 0 is -infinity. Write the loss as "
             "max(z, 0) - z wanted + log1p(exp(-|z|)).")
_ANY_ACTIVATION = "This is gelu, whatever `name` says. ACTIVATIONS[name] holds each activation and its slope."
_LOOK = "Tap j looks at token t + j - K // 2: mind the side."

MISTAKES = {
    "linear": [
        ("weight.T", "weight.reshape(I, O)", "weight is (O, I): transpose it, do not reshape it."),
        ("    y += bias\n", "", "The bias is missing."),
    ],
    "linear_backward": [
        ("dy_rows.sum(0)", "dy_rows.mean(0)", "The bias was added to every row: its gradient is a sum, not a mean."),
        ("dy_rows.T @ x_rows", "dy_rows.T @ x_rows / len(x_rows)",
         "The rows' gradients of the weight are added. Only the loss may take a mean, not this function."),
        ("dy_rows.T @ x_rows", "x_rows.T @ dy_rows",
         "weight is (O, I), and so is its gradient: dy first, then x."),
    ],
    "grouped_linear": [
        ("weight, out=", "np.ascontiguousarray(weight.swapaxes(1, 2)).reshape(weight.shape), out=",
         "A group's weight is (inputs, outputs): it is not transposed, unlike that of `linear`."),
        ("    y += bias\n", "", "The bias is missing."),
    ],
    "embedding_backward": [
        ("np.add.reduceat(dy_rows[order], starts, axis=0)", "dy_rows[order][starts]",
         "A word that occurs twice gets both gradients: add them. An assignment `dtable[ids] = dy` keeps one only, "
         "and so does `dtable[ids] += dy`."),
        ("np.add.reduceat(dy_rows[order], starts, axis=0)", "dy_rows[order][np.append(starts[1:], len(order)) - 1]",
         "A word that occurs twice gets both gradients: add them. An assignment `dtable[ids] = dy` keeps one only, "
         "and so does `dtable[ids] += dy`."),
        ("dtable[padding_idx] = 0", "pass", "The row of padding_idx gets no gradient: set it to zero at the end."),
    ],
    "layer_norm": [
        ("standardize(x, eps)", "standardize(x, 0.0)", "eps is missing: it is added to the variance, under the root."),
        ("y, _ = standardize(x, eps)",
         "y = (x - x.mean(-1, keepdims=True)) / (x.std(-1, keepdims=True) + eps)",
         "eps belongs inside the root: sqrt(variance + eps), not sqrt(variance) + eps."),
        ("y, _ = standardize(x, eps)",
         "y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, ddof=1, keepdims=True) + eps)",
         "The variance is the mean of the squares: divide by D, not by D - 1."),
        ("y, _ = standardize(x, eps)",
         "y = (x - x.mean(-1, keepdims=True)) / (x.var(-1, keepdims=True) + eps)",
         "Divide by the root of variance + eps."),
        ("y, _ = standardize(x, eps)", "y = x - x.mean(-1, keepdims=True)",
         "The rows are centred, but not divided by sqrt(variance + eps)."),
        ("y, _ = standardize(x, eps)", "y = x / np.sqrt((x * x).mean(-1, keepdims=True) + eps)",
         "The mean is not subtracted."),
        ("y, _ = standardize(x, eps)", "y = (x - x.mean()) / np.sqrt(x.var() + eps)",
         "Each row has its own mean and variance: take them over the last axis, with keepdims=True."),
        ("    y *= weight\n    y += bias\n", "    y += bias\n    y *= weight\n", "First the weight, then the bias."),
        ("    y += bias\n", "", "The bias is missing."),
        ("    y *= weight\n", "", "The weight is missing."),
    ],
    "layer_norm_backward": [
        ("standardize(x, eps)", "standardize(x, 0.0)", "eps is missing: it is added to the variance, under the root."),
        ("normed, rstd = standardize(x, eps)",
         "rstd = 1 / (x.std(-1, keepdims=True) + eps); normed = (x - x.mean(-1, keepdims=True)) * rstd",
         "eps belongs inside the root: sqrt(variance + eps), not sqrt(variance) + eps."),
        ("    dx *= rstd\n", "",
         "The forward pass multiplied the centred row by rstd: so must the backward pass."),
        ("    dx *= rstd\n", "    dx /= rstd\n", "Multiply by rstd: the forward pass did, too."),
        ("dnormed - along_ones", "dnormed.copy()",
         "The part along (1, ..., 1) is still in dx: subtract the mean of the row."),
        ("    dx -= normed * along_normed\n", "", "The part along normed is still in dx: subtract it, too."),
        ("dnormed = dy * weight", "dnormed = dy.copy()", "First go back through the weight: dy * weight."),
        ("along_ones = row_sum(dnormed) / D", "along_ones = row_sum(dnormed)",
         "A mean over the row, not a sum: divide by D."),
        ("along_normed = row_sum(dnormed * normed) / D", "along_normed = row_sum(dnormed * normed)",
         "A mean over the row, not a sum: divide by D."),
        ("dweight, dbias = (dy * normed)", "dweight, dbias = (dy * x)",
         "The weight multiplied the normed x, not x itself."),
    ],
    "softmax": [
        ("y = x - x.max(-1, keepdims=True)", "y = x.copy()",
         "exp overflows where x is large, and is 0 everywhere where x is very negative. First subtract the largest "
         "number of each row; that changes nothing else."),
        ("y = x - x.max(-1, keepdims=True)", "y = x - x.max()",
         "Subtract the maximum of each row, not that of the whole array: a row far below it would be all zeros."),
        ("y /= row_sum(y)", "y /= y.sum()", "Each row sums to 1, not the whole array: sum over the last axis."),
        ("y /= row_sum(y)", "y /= y.sum(0)", "Sum over the last axis, not the first."),
        ("y /= row_sum(y)", "y /= y.sum(1, keepdims=True)", "Sum over the last axis, not the second."),
        ("    y /= row_sum(y)\n", "", "The exponentials are not divided by their sum."),
    ],
    "softmax_backward": [
        ("    dx -= y * row_sum(dx)\n", "",
         "dy * y is only the diagonal: raising one x lowers all other y. The y-weighted mean of dy is missing."),
        ("dx -= y * row_sum(dx)", "dx = y * (dy - dy.mean(-1, keepdims=True))",
         "The mean of dy must be weighted by y: sum(y * dy), not dy.mean()."),
        ("dx -= y * row_sum(dx)", "dx = dy - row_sum(dx)",
         "The mean is subtracted. What is left must still be multiplied by y."),
        ("dx -= y * row_sum(dx)", "dx = y * (1 - y) * dy",
         "y (1 - y) is the slope of each y by its own x. Every x moves the other y, too."),
        ("dx -= y * row_sum(dx)", "dx = y * (dy - row_sum(dy))",
         "The sum of dy must be weighted by y: sum(y * dy), not dy.sum()."),
        ("dx -= y * row_sum(dx)", "dx = y * (dy - (dy * y).sum())",
         "Each row has a sum of its own: over the last axis, with keepdims=True."),
        ("dx -= y * row_sum(dx)", "dx += y * row_sum(dx)", "Subtract the weighted mean, do not add it."),
    ],
    "activate": [
        ("_by_blocks(ACTIVATIONS[name][0], x)", "ACTIVATIONS['gelu_new'][0](x)",
         "This is the tanh approximation. `gelu` is the exact one: x (1 + erf(x / sqrt(2))) / 2."),
        ("_by_blocks(ACTIVATIONS[name][0], x)", "ACTIVATIONS['quick_gelu'][0](x)",
         "This is x sigmoid(1.702 x), an approximation. `gelu` is the exact one: x (1 + erf(x / sqrt(2))) / 2."),
        ("_by_blocks(ACTIVATIONS[name][0], x)", "x * normal_cdf(x * math.sqrt(2))",
         "Divide by sqrt(2) before erf: Phi(x) = (1 + erf(x / sqrt(2))) / 2."),
        ("ACTIVATIONS[name]", "ACTIVATIONS['gelu']", _ANY_ACTIVATION),
    ],
    "activate_backward": [
        ("dy * slope(x, y)", "dy * normal_cdf(x)",
         "x Phi(x) is a product: its slope has two terms. That of Phi(x) is missing: x times the normal density."),
        ("dy * slope(x, y)", "dy * (slope(x, y) - normal_cdf(x))",
         "x Phi(x) is a product: its slope has two terms. The first, Phi(x) itself, is missing."),
        ("dy * slope(x, y)", "slope(x, y)", "This is the slope. Multiply it by dy."),
        ("dy * slope(x, y)", "dy * ACTIVATIONS['gelu_new'][1](x, x * normal_cdf(x))",
         "This is the slope of the tanh approximation. `gelu` is the exact one."),
        ("dy * slope(x, y)", "dy * gelu_slope(x, gelu(x))", _ANY_ACTIVATION),
        ("ACTIVATIONS[name]", "ACTIVATIONS['gelu']", _ANY_ACTIVATION),
    ],
    "depthwise_conv": [
        ("weight[:, 0, j]", "weight[:, 0, K - 1 - j]",
         "The taps are read in reverse. As in all deep learning, a convolution here does not turn its kernel round."),
        ("padded[:, j : j + L]", "np.roll(padded, -j, 1)[:, K // 2 : K // 2 + L]", _LOOK),
        ("pad(x, K)", "np.pad(x, ((0, 0), (K - 1, 0), (0, 0)))",
         "All taps look to the left. K // 2 zeros go before the sentence and K // 2 after it."),
    ],
    "depthwise_conv_backward": [
        ("dpadded[:, j : j + L] +=", "dpadded[:, j : j + L] =", "The windows of the taps overlap: add, with +=."),
        ("weight[:, 0, j] * dout", "weight[:, 0, K - 1 - j] * dout", "Tap j gives back to where it took from."),
        ("unpad(dpadded, K)", "dpadded[:, :L]", "The zeros at both ends are cut off: K // 2 on each side."),
        ('np.einsum("bld,bld->d", dout, padded[:, j : j + L])', "(dout * padded[:, j : j + L]).mean((0, 1))",
         _SHARED_KERNEL),
        ('np.einsum("bld,bld->d", dout, padded[:, j : j + L])', "(dout * padded[:, j : j + L])[0].sum(0)",
         _SHARED_KERNEL),
    ],
    "dynamic_conv": [
        ("kernel[..., j, None]", "kernel[..., K - 1 - j, None]",
         "The taps are read in reverse. As in all deep learning, a convolution here does not turn its kernel round."),
        ("pad(value, K)", "np.pad(value, ((0, 0), (K - 1, 0), (0, 0), (0, 0)))",
         "All taps look to the left. K // 2 zeros go before the sentence and K // 2 after it."),
        ("kernel[..., j, None] * padded[:, j : j + L]", "(pad(kernel[..., j, None] * value, K))[:, j : j + L]",
         "The kernel belongs to the token that receives, t, not to the token that it looks at."),
    ],
    "dynamic_conv_backward": [
        ("dpadded[:, j : j + L] +=", "dpadded[:, j : j + L] =", "The windows of the taps overlap: add, with +=."),
        ("kernel[..., j, None] * dout", "kernel[..., K - 1 - j, None] * dout",
         "Tap j gives back to where it took from."),
        ("unpad(dpadded, K)", "dpadded[:, :L]", "The zeros at both ends are cut off: K // 2 on each side."),
        ('np.einsum("blhd,blhd->blh", dout, padded[:, j : j + L])', "(dout * padded[:, j : j + L]).mean(-1)",
         "kernel[b, t, h, j] met all Dh numbers of a head: a sum over them, not a mean."),
        ('np.einsum("blhd,blhd->blh", dout, padded[:, j : j + L])', "(dout * value).sum(-1)",
         "Tap j met padded[:, j : j + L], not the token's own value."),
    ],
    "span_dynamic_conv": [
        ("query * span_key", "query + span_key", "The match is a product, number by number."),
        ("scores.reshape(B, L, H, K)", "scores.reshape(B, L, K, H).swapaxes(2, 3)",
         "A head's K taps are neighbours in the scores: reshape to (H, K), not to (K, H)."),
        ("softmax(scores.reshape(B, L, H, K))", "scores.reshape(B, L, H, K)", "The softmax over the taps is missing."),
        ('hide(linear(x, p["conv_out_layer.weight"], p["conv_out_layer.bias"]), mask)',
         'linear(x, p["conv_out_layer.weight"], p["conv_out_layer.bias"])',
         "With a mask, the values of padded tokens are hidden, too."),
        ('hide(x, mask), p["key_conv', 'x, p["key_conv', "With a mask, the separable convolution reads the hidden x."),
    ],
    "span_dynamic_conv_backward": [
        ("dmatch * span_key, dmatch * query", "dmatch * query, dmatch * span_key",
         "match = query * span_key: each factor's gradient is dmatch times the *other* factor."),
        ("softmax_backward(dkernel, kernel)", "softmax_backward(dkernel, dkernel)",
         "softmax_backward takes the output of the softmax: the kernel."),
        ("dx_value + hide(dx_span, mask)", "dx_value",
         "x was read twice, by the values and by the span key: add both gradients."),
        ("dx_value + hide(dx_span, mask)", "hide(dx_span, mask)",
         "x was read twice, by the values and by the span key: add both gradients."),
        ("dx_value + hide(dx_span, mask)", "dx_value + dx_span",
         "The gradient that comes back from the hidden x must be hidden, too."),
        ("hide(dvalue.reshape(B, L, H * Dh), mask)", "dvalue.reshape(B, L, H * Dh)",
         "The mask zeroed values on the way forward: it must zero their gradients on the way back."),
        ('dspan_key, hide(x, mask), acts', 'dspan_key, x, acts',
         "The separable convolution read the *hidden* x: give that to its backward."),
    ],
    "self_attention": [
        ("    scores *= 1 / math.sqrt(Dh)\n", "", "The scores are not divided by sqrt(Dh)."),
        ("1 / math.sqrt(Dh)", "1 / Dh", "Divide by the square root of Dh, not by Dh."),
        ("    scores += bias\n", "", "The bias, which hides padded tokens, is not added to the scores."),
        ("    scores *= 1 / math.sqrt(Dh)\n    scores += bias\n",
         "    scores += bias\n    scores *= 1 / math.sqrt(Dh)\n",
         "First divide, then add the bias: the bias is not divided."),
        ("dropout(weights, drop)", "weights", "The weights go through dropout before they meet the values."),
        ("weights=weights", "weights=dropout(weights, drop)",
         "Keep the weights as they were before dropout: softmax_backward needs the output of the softmax."),
        ("weights = softmax(scores)", "weights = softmax(scores.swapaxes(2, 3)).swapaxes(2, 3)",
         "The softmax is over the keys, the last axis: the weights of one query sum to 1."),
    ],
    "self_attention_backward": [
        ("    dscores *= 1 / math.sqrt(Dh)\n", "", "The scores were divided by sqrt(Dh): so must their gradient be."),
        ("dropout(dout @ v.swapaxes(2, 3), drop)", "dout @ v.swapaxes(2, 3)",
         "The weights went through dropout: their gradient goes through the same mask."),
        ("dropout(weights, drop).swapaxes(2, 3) @ dout", "weights.swapaxes(2, 3) @ dout",
         "The values met the weights *after* dropout."),
        ("dscores @ k, dscores.swapaxes(2, 3) @ q", "dscores @ q, dscores.swapaxes(2, 3) @ k",
         "scores = q k^T: each factor's gradient is made with the *other* factor."),
        ("dscores.swapaxes(2, 3) @ q", "dscores @ q", "A key was met by every query: transpose dscores for dk."),
    ],
    "mixed_attention_backward": [
        ("dquery = dquery + dquery_conv", "pass", "Both halves read the same query: add the two gradients."),
        ("dx += dx_part", "pass", "x was read by query, key and value as well: add all their gradients."),
    ],
    "project_add_norm_backward": [
        ('dropout(dtotal, acts.get("drop"))', "dtotal", "The dense map's output went through dropout."),
    ],
    "layer_backward": [
        ("dattended = dattended + dattended_wide", "pass",
         "`attended` was read by the feed-forward and added to its output: two gradients."),
        ("dattended = dattended + dattended_wide", "dattended = dattended_wide",
         "`attended` was read by the feed-forward and added to its output: two gradients."),
        ("dx + dx_mixed", "dx_mixed", "x went into the mixed attention and was added to its output: two gradients."),
        ("dx + dx_mixed", "dx", "x went into the mixed attention and was added to its output: two gradients."),
    ],
    "cross_entropy": [
        ("mean(nll, counted)", "np.where(counted, nll, 0).sum() / max(1, counted.sum())",
         "Where no label counts there is no mean. It is nan, not 0: a 0 would look like a perfect answer."),
        ("mean(nll, counted)", "mean(nll, counted) * counted.sum()",
         "Take the mean over the labels that count, not the sum."),
        ("mean(nll, counted)", "np.where(counted, nll, 0).mean()",
         "Divide by the number of labels that count, not by that of all labels."),
        ("ignored)\n", "-100)\n", "Not only -100 may be ignored: the argument `ignored` says which label is."),
    ],
    "cross_entropy_backward": [
        ("max(1, counted.sum()))\n    dlogits = np.zeros_like(probs)\n    dlogits[counted] = "
         "negative_log_likelihood_backward(dnll, probs[counted], labels[counted])",
         "counted.sum())\n    dlogits = negative_log_likelihood_backward(dnll, probs, np.where(counted, labels, 0))\n"
         "    dlogits *= counted[..., None]",
         "Where no label counts, their number is 0, and 0 / 0 is nan. Divide by max(1, number): all gradients are 0."),
        ("max(1, counted.sum())", "counted.size",
         "Divide by the number of labels that count, not by that of all labels."),
        ("dloss / max(1, counted.sum())", "dloss", "The loss is a mean: divide by the number of labels that count."),
        ("dloss / max(1, counted.sum())", "1 / max(1, counted.sum())", "dloss is missing: multiply by it."),
        ("negative_log_likelihood_backward(dnll, probs[counted], labels[counted])", "probs[counted] * dnll",
         "The 1 at the label is missing: probs - one_hot."),
        ("negative_log_likelihood_backward(dnll, probs[counted], labels[counted])",
         "-negative_log_likelihood_backward(dnll, probs[counted], labels[counted])",
         "The sign is wrong: probs - one_hot, not one_hot - probs."),
        ("dlogits[counted] = negative_log_likelihood_backward(dnll, probs[counted], labels[counted])",
         "dlogits = negative_log_likelihood_backward(dnll, probs, np.where(counted, labels, 0))",
         "A row whose label is ignored gets no gradient at all."),
        ("!= ignored", "!= -100", "Not only -100 may be ignored: the argument `ignored` says which label is."),
    ],
    "binary_cross_entropy": [
        (".mean()", ".sum()", "Take the mean, not the sum."),
        ("binary_nll(logits, wanted).mean()",
         "-np.log(np.where(wanted == 1, 1 / (1 + np.exp(-logits)), 1 - 1 / (1 + np.exp(-logits)))).mean()",
         _OVERFLOW),
        ("binary_nll(logits, wanted).mean()", "(np.log(1 + np.exp(logits)) - logits * wanted).mean()",
         _OVERFLOW),
    ],
    "binary_cross_entropy_backward": [
        ("dloss / max(1, logits.size)", "dloss", "The loss is a mean: divide by how many logits there are."),
        ("dloss / max(1, logits.size)", "1 / max(1, logits.size)", "dloss is missing: multiply by it."),
    ],
}


class Known(NamedTuple):
    advice: str
    function: Callable                                 # the package's, with the mistake


def known_mistake(exercise, args, results, close):
    """The mistake that gives exactly these results; None if no known one does."""
    for old, new, advice in MISTAKES.get(exercise, ()):
        with np.errstate(all="ignore"):
            try:
                function = planted(exercise, old, new)
                wrong = named_results(function(*fresh(args)), reference(exercise))
            except Exception:                          # on this draw the mistake is impossible
                continue
        if _same(wrong, results, close):
            return Known(advice, function)
    return None


def planted(exercise, old, new):
    """The package's function with one of its lines changed."""
    scope = dict(reference(exercise).__globals__)
    exec(solution(exercise).replace(old, new), scope)
    return scope[exercise]


def _same(wrong, mine, close):
    if wrong.keys() != mine.keys():
        return False
    scale = max((np.abs(a[np.isfinite(a)]).max(initial=0) for a in wrong.values()), default=0)
    return all(np.array_equal(np.isfinite(a), np.isfinite(mine[name]))
               and close(*(np.where(np.isfinite(a), x, 0) for x in (mine[name], a)), scale)
               for name, a in wrong.items())
