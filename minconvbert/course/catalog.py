"""What a teacher wants to know about the exercises: notebook, difficulty, minutes and what they need."""

from typing import NamedTuple


class Entry(NamedTuple):
    """`difficulty` from 1 (one line) to 5 (an evening); `minutes` for somebody who has read the notebook."""

    exercise: str
    notebook: str
    difficulty: int
    minutes: int
    needs: tuple


_BY_NOTEBOOK = """\
02 embedding                          1   5
02 embedding_backward                 3  15   embedding
02 layer_norm                         2  10
02 layer_norm_backward                4  30   layer_norm
03 softmax                            1   5
03 self_attention                     3  20   softmax dropout
04 depthwise_conv                     2  15
04 separable_conv                     1   5   depthwise_conv linear
04 dynamic_conv                       2  10   depthwise_conv
04 span_dynamic_conv                  3  20   separable_conv linear softmax dynamic_conv hide
05 grouped_linear                     2  10   linear
05 mixed_attention                    3  20   linear self_attention span_dynamic_conv
05 project_add_norm                   2  10   dense_linear dropout layer_norm
05 feed_forward                       1   5   dense_linear activate
05 layer                              3  15   mixed_attention project_add_norm feed_forward
06 linear                             1   5
06 linear_backward                    2  10   linear
06 softmax_backward                   3  15   softmax
06 activate                           2  10   ACTIVATIONS
06 activate_backward                  3  15   activate ACTIVATIONS
06 grouped_linear_backward            3  20   linear_backward grouped_linear
06 depthwise_conv_backward            3  20   depthwise_conv pad unpad
06 separable_conv_backward            2  10   linear_backward depthwise_conv_backward
06 dynamic_conv_backward              3  20   dynamic_conv pad unpad
06 span_dynamic_conv_backward         5  45   dynamic_conv_backward linear_backward softmax_backward \
                                              separable_conv_backward hide
06 self_attention_backward            4  30   softmax_backward dropout
06 mixed_attention_backward           4  30   span_dynamic_conv_backward self_attention_backward linear_backward
07 cross_entropy                      2  15
07 cross_entropy_backward             3  15   softmax
07 embeddings                         2  15   embedding layer_norm dropout
07 embeddings_backward                3  20   embedding_backward layer_norm_backward dropout
07 feed_forward_backward              2  10   activate_backward dense_linear_backward
07 project_add_norm_backward          3  15   layer_norm_backward dense_linear_backward dropout
07 layer_backward                     4  30   mixed_attention_backward project_add_norm_backward feed_forward_backward
07 masked_lm                          2  15   linear activate layer_norm
07 masked_lm_backward                 4  30   linear_backward layer_norm_backward activate_backward
07 sequence_classification            2  15   linear activate dropout
07 sequence_classification_backward   3  20   linear_backward activate_backward dropout
07 token_classification               1   5   linear dropout
07 token_classification_backward      2  10   linear_backward dropout
07 question_answering                 1   5   linear
07 question_answering_backward        2  10   linear_backward
07 multiple_choice                    2  15   linear activate dropout
07 multiple_choice_backward           3  20   linear_backward activate_backward dropout
08 binary_cross_entropy               3  15
08 binary_cross_entropy_backward      2  10   binary_cross_entropy
08 discriminator                      1   5   linear activate
08 discriminator_backward             3  15   linear_backward activate_backward
"""


def catalog():
    """All exercises, in the order in which the notebooks teach them."""
    rows = [line.split() for line in _BY_NOTEBOOK.strip().splitlines()]
    return [Entry(name, notebook, int(difficulty), int(minutes), tuple(needs))
            for notebook, name, difficulty, minutes, *needs in rows]


def table(entries):
    """The entries as text."""
    lines = [f"{'exercise':<34} notebook  difficulty  minutes  needs"]
    for e in entries:
        stars, needs = "*" * e.difficulty, ", ".join(e.needs)
        lines.append(f"{e.exercise:<34} {e.notebook:>8}  {stars:<10}  {e.minutes:>7}  {needs}".rstrip())
    return "\n".join(lines)
