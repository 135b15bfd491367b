"""Names and layouts of tensors in the files of others: one table for each source, read in both directions.

A line of a table has our module, theirs, and its kind; `KINDS` has the arrays of each kind. `#` stands for a layer: for
`encoder.layer.0` and so on in our column, and for their names of the layers in theirs.
"""

import re

from .tensorfile import CheckpointError

# kind: {our array: (their array, the axes of theirs -> of ours)}, in letters:
# I inputs, O outputs, G groups, C channels, K taps.
KINDS = {
    "array": {"": ("", None)},
    "table": {".weight": ("", None)},
    "keras_table": {".weight": ("/embeddings", None)},
    "norm": {".weight": ("/gamma", None), ".bias": ("/beta", None)},
    "dense": {".weight": ("/kernel", "I O -> O I"), ".bias": ("/bias", None)},
    "grouped": {".weight": ("/kernel", "G I O -> G I O"), ".bias": ("/bias", None)},
    "keras_grouped": {".weight": ("/kernel", "O I G -> G I O"), ".bias": ("/bias", None)},
    "separable": {".depthwise.weight": ("/depthwise_kernel", "K C 1 -> C 1 K"),
                  ".pointwise.weight": ("/pointwise_kernel", "1 I O -> O I 1"), ".bias": ("/bias", "O -> O 1")},
}

# The original, in TensorFlow 1 (its model/modeling.py and run_pretraining.py). {net} is `generator` or, for the
# discriminator, `electra`; both look words up in the same embeddings.
ORIGINAL = """
embeddings.word_embeddings                  electra/embeddings/word_embeddings        table
embeddings.position_embeddings              electra/embeddings/position_embeddings    table
embeddings.token_type_embeddings            electra/embeddings/token_type_embeddings  table
embeddings.LayerNorm                        electra/embeddings/LayerNorm              norm
embeddings_project                          {net}/embeddings_project                  dense
#.attention.self.query                      #/attention/self/query                    dense
#.attention.self.key                        #/attention/self/key                      dense
#.attention.self.value                      #/attention/self/value                    dense
#.attention.self.key_conv_attn_layer        #/attention/self/conv_attn_key            separable
#.attention.self.conv_kernel_layer          #/attention/self/conv_attn_kernel         dense
#.attention.self.conv_out_layer             #/attention/self/conv_attn_point          dense
#.attention.output.dense                    #/attention/output/dense                  dense
#.attention.output.LayerNorm                #/attention/output/LayerNorm              norm
#.intermediate.dense                        #/intermediate/{dense}                    {feed_forward}
#.output.dense                              #/output/{dense}                          {feed_forward}
#.output.LayerNorm                          #/output/LayerNorm                        norm
generator_predictions.dense                 generator_predictions/dense               dense
generator_predictions.LayerNorm             generator_predictions/LayerNorm           norm
generator_lm_head.bias                      generator_predictions/output_bias         array
discriminator_predictions.dense             discriminator_predictions/dense           dense
discriminator_predictions.dense_prediction  discriminator_predictions/dense_1         dense
"""

# Hugging Face's TensorFlow classes (transformers 4, tf_model.h5), without the name of the model that comes first.
KERAS = """
embeddings.word_embeddings.weight     convbert/embeddings/word_embeddings/weight  array
embeddings.position_embeddings        convbert/embeddings/position_embeddings     keras_table
embeddings.token_type_embeddings      convbert/embeddings/token_type_embeddings   keras_table
embeddings.LayerNorm                  convbert/embeddings/LayerNorm               norm
embeddings_project                    convbert/embeddings_project                 dense
#.attention.self.query                #/attention/self/query                      dense
#.attention.self.key                  #/attention/self/key                        dense
#.attention.self.value                #/attention/self/value                      dense
#.attention.self.key_conv_attn_layer  #/attention/self/key_conv_attn_layer        separable
#.attention.self.conv_kernel_layer    #/attention/self/conv_kernel_layer          dense
#.attention.self.conv_out_layer       #/attention/self/conv_out_layer             dense
#.attention.output.dense              #/attention/output/dense                    dense
#.attention.output.LayerNorm          #/attention/output/LayerNorm                norm
#.intermediate.dense                  #/intermediate/dense                        {feed_forward}
#.output.dense                        #/output/dense                              {feed_forward}
#.output.LayerNorm                    #/output/LayerNorm                          norm
generator_predictions.dense           generator_predictions/dense                 dense
generator_predictions.LayerNorm       generator_predictions/LayerNorm             norm
generator_lm_head.bias                generator_lm_head/bias                      array
classifier                            classifier                                  dense
classifier.dense                      classifier/dense                            dense
classifier.out_proj                   classifier/out_proj                         dense
sequence_summary.summary              sequence_summary/summary                    dense
qa_outputs                            qa_outputs                                  dense
"""


def original_table(cfg, net="electra"):
    """{our name: (the original's name, layout)} for a model of this configuration."""
    grouped = cfg.num_groups > 1
    text = ORIGINAL.format(net=net, dense="g_dense" if grouped else "dense",
                           feed_forward="grouped" if grouped else "dense")
    return _expand(text, f"{net}/encoder/layer_", cfg)


def keras_table(cfg):
    """{our name: (Keras's name, layout)} for a model of this configuration."""
    text = KERAS.format(feed_forward="keras_grouped" if cfg.num_groups > 1 else "dense")
    return _expand(text, "convbert/encoder/layer_._", cfg)


def _expand(text, their_layer, cfg):
    table = {}
    for line in text.split("\n")[1:-1]:
        ours, theirs, kind = line.split()
        for i in range(cfg.num_hidden_layers if "#" in line else 1):
            table |= {(ours + leaf).replace("#", f"encoder.layer.{i}"):
                      ((theirs + their_leaf).replace("#", f"{their_layer}{i}"), layout)
                      for leaf, (their_leaf, layout) in KINDS[kind].items()}
    return table


def to_ours(tensors, table, file):
    """Give tensors our names and layouts; those that the table does not have stay as they are."""
    known = {theirs: (ours, layout) for ours, (theirs, layout) in table.items()}
    renamed = {}
    for theirs, array in tensors.items():
        ours, layout = known.get(theirs, (theirs, None))
        if ours in renamed:
            raise CheckpointError(f"{file} must hold a tensor once, but {theirs} and another are {ours}")
        renamed[ours] = relayout(array, layout, f"{theirs} in {file}")
    return renamed


def to_theirs(params, table):
    """Give our parameters their names and layouts.   Raises ValueError for a parameter that their models lack."""
    renamed = {}
    for name, array in params.items():
        ours = plain(name)
        if ours not in table:
            raise ValueError(f"{name} has no name in that format, because its models have no head of this kind")
        theirs, layout = table[ours]
        renamed[theirs] = relayout(array, layout and " -> ".join(reversed(layout.split(" -> "))), name)
    return renamed


def relayout(array, layout, name):
    """Move the axes of an array: `relayout(x, "K C 1 -> C 1 K", ...)`. A `1` is an axis of size one."""
    if layout is None:
        return array
    before, after = (side.split() for side in layout.split(" -> "))
    if array.ndim != len(before) or any(
            letter == "1" and size != 1 for letter, size in zip(before, array.shape)):
        raise CheckpointError(f"{name} must have the axes ({', '.join(before)}), but its shape is {array.shape}")
    sizes = dict(zip(before, array.shape)) | {"1": 1}
    letters = [letter for letter in before if letter != "1"]
    array = array.reshape([sizes[letter] for letter in letters])
    array = array.transpose([letters.index(letter) for letter in after if letter != "1"])
    return array.reshape([sizes[letter] for letter in after])


def plain(name):
    """Our name without `convbert.`; LayerNorm.gamma and .beta of early PyTorch BERTs become .weight and .bias."""
    name = name.removeprefix("convbert.")
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def plain_keras(name):
    """Keras's name without the model's and without `:0`: x/tf_conv_bert_.../classifier/bias:0 -> classifier/bias."""
    return re.sub(r"^([^/]+/)?tf_conv_bert[^/]*/", "", name).removesuffix(":0")
