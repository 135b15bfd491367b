"""The six TFConvBert classes: the same model, with the answers that Hugging Face's TensorFlow classes give.

They differ from the PyTorch classes only in these points (measured with transformers 4.57.6):

    padded positions      -10000 is added to their scores, not the smallest number of the dtype
    loss                  one number for each row, or for masked words and tokens an array of one; its mean is PyTorch's
    labels below zero     ignored for tokens, whatever they are; refused for sentences and choices
    answers outside       start_positions and end_positions outside the sequence are refused
    problem types         no multi-label problems, no regression of several numbers
    summary_type          ignored, and taken to be "last", unless there is a summary_use_proj
    masked words          the output table is always that of the embeddings
    hidden_act            no gelu_pytorch_tanh
"""

import numpy as np

from .. import checkpoint
from ..losses import IGNORED, negative_log_likelihood
from . import hugging_face as faces


class _TF:
    """What the TensorFlow classes do differently."""

    def __init__(self, config, params=None, **options):
        config = faces.checked_config(config)
        if "gelu_pytorch_tanh" in (config.hidden_act, config.summary_activation):
            raise ValueError("the TensorFlow classes have no gelu_pytorch_tanh; use gelu_new, which is the same")
        changes = dict(tie_word_embeddings=True)
        if config.mask_value is None:
            changes["mask_value"] = -10000.0
        if not config.summary_use_proj:
            changes["summary_type"] = "last"
        if params is not None and not config.tie_word_embeddings:
            checkpoint.check_kinds(params)
            params = {name: x for name, x in params.items() if name != checkpoint.OUTPUT_TABLE}
        super().__init__(config.replace(**changes), params, **options)
        self._given = config.replace(tie_word_embeddings=True)

    def save_pretrained(self, folder, **options):
        """As in the other classes. TensorFlow's differences belong to the class, and are not saved."""
        checkpoint.save(folder, self._given, self.params, task=self.task, **options)

    def _loss(self, scores, labels):
        loss, acts = super()._loss(scores, labels)
        return self._losses(loss, scores, labels), acts

    def _losses(self, loss, logits, labels):
        return np.array([loss])


def _require_labels(labels, size, name="labels"):
    if labels.dtype.kind in "iu" and labels.size and not (0 <= labels.min() and labels.max() < size):
        raise ValueError(f"{name} must be from 0 to {size - 1} (the TensorFlow classes ignore none), but they are"
                         f" {labels}")
    return labels


class TFConvBertModel(_TF, faces.ConvBertModel):
    """Hidden states of tokens."""


class TFConvBertForMaskedLM(_TF, faces.ConvBertForMaskedLM):
    """Words for masked places; the loss is an array of one."""


class TFConvBertForTokenClassification(_TF, faces.ConvBertForTokenClassification):
    """A label for each token; labels below zero are ignored; the loss is an array of one."""

    def _labels(self, labels, scores):
        labels = super()._labels(labels, scores)
        return np.where(labels < 0, IGNORED, labels) if labels.dtype.kind == "i" else labels


class TFConvBertForSequenceClassification(_TF, faces.ConvBertForSequenceClassification):
    """A label or a number for a sentence; one loss for each."""

    def _labels(self, labels, scores):
        labels = super()._labels(labels, scores)
        several, problem = self.config.num_labels > 1, self.config.problem_type
        allowed = (None, "single_label_classification" if several else "regression")
        if problem not in allowed or (several and labels.dtype.kind not in "iu"):
            raise ValueError("the TensorFlow classes take one label for each sentence, or one number if num_labels = 1;"
                             f" use ConvBertForSequenceClassification for labels of shape {labels.shape} and kind"
                             f" {labels.dtype}")
        return _require_labels(labels, self.config.num_labels) if several else labels

    def _losses(self, loss, logits, labels):
        if self.config.num_labels == 1:
            return np.square(logits[:, 0] - labels.reshape(-1).astype(logits.dtype))
        return negative_log_likelihood(logits, labels.reshape(-1))[0]


class TFConvBertForMultipleChoice(_TF, faces.ConvBertForMultipleChoice):
    """The choice that fits best; one loss for each question."""

    def _labels(self, labels, scores):
        return _require_labels(super()._labels(labels, scores), scores.shape[1])

    def _losses(self, loss, logits, labels):
        return negative_log_likelihood(logits, labels)[0]


class TFConvBertForQuestionAnswering(_TF, faces.ConvBertForQuestionAnswering):
    """Where an answer begins and ends; one loss for each window."""

    def _labels(self, labels, scores):
        return _require_labels(super()._labels(labels, scores), scores.shape[1], "start_positions and end_positions")

    def _losses(self, loss, logits, labels):
        start, end = (negative_log_likelihood(np.ascontiguousarray(logits[..., i]), labels[:, i])[0] for i in range(2))
        return (start + end) / 2
