"""The losses, each with its backward. All are means, and a mean over nothing is nan with gradients of exactly zero."""

import numpy as np

from .activations import sigmoid
from .inputs import check_labels
from .shapes import dims

IGNORED = -100


def negative_log_likelihood(logits, labels):
    """nll = -log softmax(logits)[label], row by row.

    logits (..., V), labels (...) in [0, V)  ->  (...), probs (..., V)
    """
    dims("logits[... V], labels[...]", logits, labels)
    shifted = logits - logits.max(-1, keepdims=True)
    at_label = np.take_along_axis(shifted, labels[..., None], -1)[..., 0]
    probs = np.exp(shifted, out=shifted)
    total = probs.sum(-1)
    probs /= total[..., None]
    return np.log(total) - at_label, probs


def negative_log_likelihood_backward(dnll, probs, labels):
    """-> dlogits (..., V): probs, less 1 at the label, times dnll, which is one number for all rows"""
    dims("probs[... V], labels[...]", probs, labels)
    dlogits, at_label = probs * dnll, labels[..., None]
    np.put_along_axis(dlogits, at_label, (np.take_along_axis(probs, at_label, -1) - 1) * dnll, -1)
    return dlogits


def cross_entropy(logits, labels, ignored=IGNORED):
    """The mean of -log softmax(logits)[label] over the labels that are not `ignored`.

    logits (..., V), labels (...) in [0, V) or `ignored`  ->  loss (), probs (..., V)

    Raises TypeError if labels are not integers, ValueError if one is out of range.
    """
    (V,) = dims("logits[... V], labels[...]", logits, labels)
    counted = check_labels(labels, V, ignored)
    nll, probs = negative_log_likelihood(logits, np.where(counted, labels, 0))
    return mean(nll, counted), probs


def cross_entropy_backward(dloss, probs, labels, ignored=IGNORED):
    """-> dlogits (..., V): each row sums to zero, and a row whose label is `ignored` is all zeros"""
    dims("probs[... V], labels[...]", probs, labels)
    counted = labels != ignored
    dnll = probs.dtype.type(dloss / max(1, counted.sum()))
    dlogits = np.zeros_like(probs)
    dlogits[counted] = negative_log_likelihood_backward(dnll, probs[counted], labels[counted])
    return dlogits


def mean_squared_error(predicted, wanted):
    """mean((predicted - wanted)^2).   predicted, wanted (...)  ->  ()"""
    dims("predicted[...], wanted[...]", predicted, wanted)
    return np.square(predicted - wanted).mean()


def mean_squared_error_backward(dloss, predicted, wanted):
    """-> dpredicted (...)"""
    dims("predicted[...], wanted[...]", predicted, wanted)
    return (predicted - wanted) * predicted.dtype.type(2 * dloss / max(1, predicted.size))


def binary_cross_entropy(logits, wanted):
    """mean(log(1 + exp(z)) - z wanted): -log sigmoid(z) where 1 is wanted.   logits z, wanted (...)  ->  ()"""
    return binary_nll(logits, wanted).mean()


def binary_cross_entropy_backward(dloss, logits, wanted):
    """-> dlogits (...) = dloss (sigmoid(logits) - wanted) / (number of logits)"""
    return binary_nll_backward(logits.dtype.type(dloss / max(1, logits.size)), logits, wanted)


def binary_nll(logits, wanted):
    """log(1 + exp(z)) - z wanted, element by element, written so that exp cannot overflow.   (...)  ->  (...)"""
    dims("logits[...], wanted[...]", logits, wanted)
    # Add the two large terms first: where they cancel, the small third one survives.
    return np.maximum(logits, 0) - logits * wanted + np.log1p(np.exp(-np.abs(logits)))


def binary_nll_backward(dnll, logits, wanted):
    """-> dlogits (...)"""
    dims("dnll[...], logits[...], wanted[...]", np.broadcast_to(dnll, logits.shape), logits, wanted)
    return dnll * (sigmoid(logits) - wanted)


def mean(values, counted):
    """The mean of the values that are counted; nan if none is.   values, counted (...)  ->  ()"""
    total = np.where(counted, values, 0).sum()
    return total / counted.sum(dtype=total.dtype) if counted.any() else total.dtype.type(np.nan)
