"""The whole way of a sentence: embeddings, one layer, head, loss, and back."""

from ..attention import mixed_attention, mixed_attention_backward, self_attention, self_attention_backward
from ..conv import (
    depthwise_conv,
    depthwise_conv_backward,
    dynamic_conv,
    dynamic_conv_backward,
    separable_conv,
    separable_conv_backward,
    span_dynamic_conv,
    span_dynamic_conv_backward,
)
from ..heads import HEADS, task_model, task_model_backward
from ..model import (
    embeddings,
    embeddings_backward,
    feed_forward,
    feed_forward_backward,
    layer,
    layer_backward,
    project_add_norm,
    project_add_norm_backward,
)
from ..ops import layer_norm, linear, linear_backward, softmax, softmax_backward
from .page import Station
from .record import record
from .relate import name_arrays, relate

MOST_TOKENS = 48
STATIONS = {                                           # by function, in the order of the way
    "embeddings": Station("Embeddings", "words to vectors", "normed", "dtotal"),
    "mixed_attention": Station("Mixed attention", "both halves", "out", "deverywhere"),
    "self_attention": Station("Attention", "over all words", "weights", "dweights"),
    "span_dynamic_conv": Station("Convolution", "over words nearby", "kernel", "dkernel"),
    "project_add_norm": Station("Add and norm", "after each part", "out", "dx"),
    "feed_forward": Station("Feed-forward", "word by word", "out", "ddense"),
    "masked_lm": Station("Head", "which word is it?", "logits", "dhidden"),
    "discriminator": Station("Head", "was it replaced?", "logits", "dhidden"),
    "classes_loss": Station("Loss", "how wrong?", "loss", "dlogits"),
    "tokens_loss": Station("Loss", "how wrong?", "result", "dlogits")}
BLOCKS = (embeddings, embeddings_backward, mixed_attention, mixed_attention_backward, self_attention,
          self_attention_backward, span_dynamic_conv, span_dynamic_conv_backward, project_add_norm,
          project_add_norm_backward, feed_forward, feed_forward_backward, layer, layer_backward)
BRICKS = (linear, linear_backward, softmax, softmax_backward, layer_norm, separable_conv, separable_conv_backward,
          depthwise_conv, depthwise_conv_backward, dynamic_conv, dynamic_conv_backward)


def forward_and_backward(task, inputs, labels, p, cfg, back=True):
    """A model with its head and its loss, and with `back` all gradients.   ->  loss (), acts, grads"""
    _, _, loss_of, loss_of_backward = HEADS[task]
    logits, acts = task_model(task, inputs, p, cfg)
    loss, loss_acts = loss_of(logits, labels, cfg)
    if not back:
        return loss, acts, {}
    dlogits = loss_of_backward(1.0, loss_acts)
    _, grads = task_model_backward(task, dlogits, acts, p, cfg)
    return loss, acts, grads


def walk(task, inputs, labels, p, cfg, number=0, backward=False):
    """Record a sentence's way through a model: only layer `number`, and all that comes before and after the layers.

    task: "masked_lm" or "discriminator"; inputs: what `model_inputs` returns, of one sentence; labels (1, L)
    ->  a `Recording`, whose results are loss, acts and grads, which are none without `backward`

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
        results.extend(forward_and_backward(task, inputs, labels, p, cfg, backward))

    head_and_loss = [f for f in HEADS[task] if backward or not f.__name__.endswith("_backward")]
    recording, originals = record(
        run, [forward_and_backward, *BLOCKS, *BRICKS, *head_and_loss], another_layer, sizes=dict(B=1, L=L))
    relate(recording, 0)
    name_arrays(recording, originals, [results[1]], [results[2]], [p])
    recording.results = tuple(results)
    return recording
