"""The model in the classes that users of Hugging Face expect.

`hugging_face` has one class for each task, `tf` the same with the answers of the TensorFlow classes. `pretrained` fills
masks and finds replaced words with the weights that ship.
"""

from .hugging_face import (
    ConvBertForMaskedLM,
    ConvBertForMultipleChoice,
    ConvBertForPreTraining,
    ConvBertForQuestionAnswering,
    ConvBertForSequenceClassification,
    ConvBertForTokenClassification,
    ConvBertModel,
)
