"""The whole way of a sentence: embeddings, one layer, head and loss, and back."""

from ..attention import mixed_attention, mixed_attention_backward, self_attention, self_attention_backward
from ..conv import span_dynamic_conv, span_dynamic_conv_backward
from ..heads import HEADS, task_model, task_model_backward
from ..model import (
    embeddings, embeddings_backward, feed_forward, feed_forward_backward, layer, layer_backward, project_add_norm,
    project_add_norm_backward)
from .record import record
from .relate import name_arrays, relate
from .stepping import functions_beside

MOST_TOKENS = 48
STATIONS = {
    "embeddings": "Embeddings", "mixed_attention": "Mixed attention", "self_attention": "Attention",
    "span_dynamic_conv": "Convolution", "project_add_norm": "Add and norm", "feed_forward": "Feed-forward",
    "masked_lm": "Head", "discriminator": "Head", "classes_loss": "Loss", "tokens_loss": "Loss"}
BLOCKS = (embeddings, embeddings_backward, mixed_attention, mixed_attention_backward, self_attention,
          self_attention_backward, span_dynamic_conv, span_dynamic_conv_backward, project_add_norm,
          project_add_norm_backward, feed_forward, feed_forward_backward, layer, layer_backward)


def there_and_back(task, inputs, labels, p, cfg):
    """A model with its head, its loss, and all gradients.   ->  loss (), acts, grads"""
    loss, acts, loss_acts = there(task, inputs, labels, p, cfg)
    *_, loss_backward = HEADS[task]
    dlogits = loss_backward(1.0, loss_acts)
    _, grads = task_model_backward(task, dlogits, acts, p, cfg)
    return loss, acts, grads


def there(task, inputs, labels, p, cfg):
    """A model with its head and its loss.   ->  loss (), acts, acts of the loss"""
    _, _, loss_of, _ = HEADS[task]
    logits, acts = task_model(task, inputs, p, cfg)
    loss, loss_acts = loss_of(logits, labels, cfg)
    return loss, acts, loss_acts


def walk(task, inputs, labels, p, cfg, number=0, backward=False):
    """Record a sentence's way through a model: of its layers only `number`, and all that comes before and after.

    task: "masked_lm" or "discriminator"; inputs: what `model_inputs` returns, of one sentence; labels (1, L)
    ->  a `Recording`, whose results are loss, acts and, with `backward`, grads

    Raises ValueError if there is no such layer, or the sentence has more than 48 tokens.
    """
    if not 0 <= number < cfg.num_hidden_layers:
        raise ValueError(f"the layer must be from 0 to {cfg.num_hidden_layers - 1}, but is {number}")
    L = inputs["attention_mask"].shape[1]
    if L > MOST_TOKENS:
        raise ValueError(f"the sentence must have at most {MOST_TOKENS} pieces, special tokens counted, to fit on one"
                         f" page, but has {L}; shorten it")
    results = []

    def another_layer(frame):
        turn = frame.f_back.f_locals.get("i")
        return frame.f_code in (layer.__code__, layer_backward.__code__) and turn != number

    def run():
        results.extend((there_and_back if backward else there)(task, inputs, labels, p, cfg))

    ops = [f for f in functions_beside(layer) if f.__module__.rsplit(".", 1)[-1] in ("ops", "conv")]
    head_and_loss = [f for f in HEADS[task] if backward or not f.__name__.endswith("_backward")]
    recording, originals = record(run, [there, there_and_back, *BLOCKS, *head_and_loss, *ops], another_layer)
    relate(recording, 0)
    name_arrays(recording, originals, [results[1]], [results[2]] if backward else (), [p])
    recording.results = tuple(results)
    return recording
