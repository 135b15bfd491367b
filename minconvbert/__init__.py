"""ConvBERT (Jiang et al. 2020, arXiv 2008.02496) in NumPy, every gradient written out by hand.

The files of this folder are the model. Each folder in it is a separate topic and can wait. This is the order to read:

    conv        the idea: depthwise, dynamic, span-based dynamic convolution
    ops         the building blocks: linear, softmax, layer norm, ..., each with its backward below it
    attention   self-attention, and the mixed block
    model       embeddings, layer, encoder
    heads       five tasks and the discriminator, with their losses
    electra     pretraining by replaced-token detection
    optim       Adam as in the original code

`shapes` explains the letters for sizes that all of them use. `config` lists the parameters. These are the folders:

    faces       wraps the model in the classes that users of Hugging Face expect
    checkpoint  reads and writes weights in the formats of safetensors, PyTorch, Keras and TensorFlow 1
    tokenizer   turns text into ids and back; trains a vocabulary
    training    pretrains, fine-tunes on five tasks, and tests the paper's claim in miniature
    view        draws kernels beside attention maps, as pictures and as pages
    step        steps through any function, line by line, and shows its numbers
    course      has exercises that check themselves, and a grader
    golden      has the numbers that ports are checked against, and the checker
    commands    is the command line
"""

from typing import TYPE_CHECKING

_EXPORTS = {
    "config": ("ConvBertConfig",),
    "files": ("default_model",),
    "tokenizer": ("ConvBertTokenizer", "ConvBertTokenizerFast"),
    "faces": ("ConvBertModel", "ConvBertForMaskedLM", "ConvBertForSequenceClassification", "ConvBertForMultipleChoice",
              "ConvBertForTokenClassification", "ConvBertForQuestionAnswering", "ConvBertForPreTraining"),
    "faces.tf": ("TFConvBertModel", "TFConvBertForMaskedLM", "TFConvBertForSequenceClassification",
                 "TFConvBertForMultipleChoice", "TFConvBertForTokenClassification", "TFConvBertForQuestionAnswering"),
    "faces.pretrained": ("detect", "fill_mask"),
}
_ROOMS = ("checkpoint", "course", "faces", "golden", "tokenizer", "training", "view")
_HOME = {name: module for module, names in _EXPORTS.items() for name in names}
__all__ = list(_HOME)
__version__ = "0.2.0"

if TYPE_CHECKING:                                      # the same names for editors, which do not run __getattr__
    from . import checkpoint, course, faces, golden, tokenizer, training, view
    from .config import ConvBertConfig
    from .faces import (
        ConvBertForMaskedLM,
        ConvBertForMultipleChoice,
        ConvBertForPreTraining,
        ConvBertForQuestionAnswering,
        ConvBertForSequenceClassification,
        ConvBertForTokenClassification,
        ConvBertModel,
    )
    from .faces.pretrained import detect, fill_mask
    from .faces.tf import (
        TFConvBertForMaskedLM,
        TFConvBertForMultipleChoice,
        TFConvBertForQuestionAnswering,
        TFConvBertForSequenceClassification,
        TFConvBertForTokenClassification,
        TFConvBertModel,
    )
    from .files import default_model
    from .tokenizer import ConvBertTokenizer, ConvBertTokenizerFast


def __getattr__(name):
    """Import a class or a folder when its name is first used, so that `import minconvbert` costs next to nothing."""
    from importlib import import_module
    if name in _ROOMS:
        return import_module(f".{name}", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_HOME[name]}", __name__), name)
    return value


def __dir__():
    return sorted({*globals(), *__all__, *_ROOMS})
