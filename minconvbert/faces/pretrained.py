"""Use pretrained weights: fill masks, detect replaced words, compare hidden states with published ones."""

import numpy as np

from .. import checkpoint
from ..activations import sigmoid
from ..files import SHIPPED, model_path
from ..heads import task_model
from ..inputs import model_inputs
from ..ops import softmax
from ..tokenizer.hugging_face import ConvBertTokenizerFast
from .hugging_face import ConvBertModel


def fill_mask(text, folder=SHIPPED, top=5):
    """The likeliest words for each [MASK] of a text.   ->  for each, a list of (word, probability)

    folder: a masked-word model, or a folder with one in its subfolder `generator`; by default the weights that ship.

    Raises ValueError if there is no [MASK] in the text, or the text is longer than the model allows.
    """
    return words_of_masks(text, *load_generator(folder), top)


def load_generator(folder):
    """The masked-word model in a folder, or in its subfolder `generator`  ->  cfg, params, tokenizer"""
    folder = model_path(folder)
    generator = folder / "generator" if (folder / "generator").is_dir() else folder
    return *checkpoint.load(generator, task="masked_lm"), ConvBertTokenizerFast.from_pretrained(generator)


def words_of_masks(text, cfg, params, tokenizer, top=5):
    """Like `fill_mask`, with a model that is already loaded."""
    ids = _encode(text, tokenizer, cfg)
    places = np.flatnonzero(ids[0] == tokenizer.mask_token_id)
    if not places.size:
        raise ValueError(f"the text must have a {tokenizer.mask_token} to fill, but it is {text!r}")
    logits, _ = task_model("masked_lm", model_inputs(cfg, ids), params, cfg, keep=None)
    probs = softmax(logits[0, places])
    best = np.argsort(-probs, axis=-1)[:, :top]
    return [[(tokenizer.convert_ids_to_tokens(int(i)), float(p[i])) for i in row] for p, row in zip(probs, best)]


def detect(text, folder=SHIPPED):
    """How likely it is that each piece of a text was replaced.   ->  pieces, probabilities

    folder: a discriminator with its head, as pretraining writes it; by default the weights that ship.

    Raises ValueError if the folder has no discriminator head, or the text is longer than the model allows.
    """
    return replaced_pieces(text, *load_discriminator(folder))


def replaced_pieces(text, cfg, params, tokenizer):
    """Like `detect`, with a model that is already loaded."""
    ids = _encode(text, tokenizer, cfg)
    logits, _ = task_model("discriminator", model_inputs(cfg, ids), params, cfg, keep=None)
    return tokenizer.convert_ids_to_tokens(ids[0, 1:-1].tolist()), sigmoid(logits[0, 1:-1].astype(float))


def load_discriminator(folder):
    """The model in a folder with the head that pretraining writes beside it  ->  cfg, params, tokenizer"""
    return *checkpoint.load(folder, task="discriminator"), ConvBertTokenizerFast.from_pretrained(folder)


def _encode(text, tokenizer, cfg):
    ids = np.array([tokenizer.encode(text)])
    if ids.shape[1] > cfg.max_position_embeddings:
        raise ValueError(f"the text must have at most {cfg.max_position_embeddings} pieces, special tokens counted, but"
                         f" has {ids.shape[1]}; shorten it")
    return ids


# model: (who published it, input_ids, the first three numbers of the first three tokens of last_hidden_state)
ANSWERS = {
    "YituTech/conv-bert-base": (
        ("transformers, ConvBertModelIntegrationTest, and PaddleNLP", [1, 2, 3, 4, 5, 6],
         [[-0.0864, -0.4898, -0.3677], [0.1434, -0.2952, -0.7640], [-0.0112, -0.4432, -0.5432]]),
        ("transformers for TensorFlow, TFConvBertModelIntegrationTest", [0, 1, 2, 3, 4, 5],
         [[-0.03475493, -0.4686034, -0.30638832], [0.22637248, -0.26988646, -0.7423424],
          [0.10324868, -0.45013508, -0.58280784]]),
    ),
}
TOLERANCE = 1e-4                   # that all of these tests use


def verify(model, name=None):
    """Compare hidden states with the answers published for a model  ->  [(who published them, largest difference)]

    model: a folder, a file or a name on the hub; name: the model whose answers are used, if `model` is a copy of it.
    """
    name = str(model) if name is None else name
    if name not in ANSWERS:
        raise ValueError(f"answers are published for {', '.join(ANSWERS)}, but not for {name}; if it is a copy of one"
                         " of them, say so with --answers")
    loaded = ConvBertModel.from_pretrained(model)
    return [(who, float(np.abs(loaded(np.array([ids])).last_hidden_state[0, :3, :3] - answer).max()))
            for who, ids, answer in ANSWERS[name]]
