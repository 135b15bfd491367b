"""Make tests/data/checkpoints/original: checkpoints that TensorFlow's own Saver wrote, with the original's variables.

In an environment of its own:

    pip install tensorflow-cpu tf-keras torch transformers==4.57.6
    python tests/scripts/make_original_checkpoints.py

The variables are made by the same calls, in the same scopes, as the original's model/modeling.py and run_pretraining.py
make them, so that TensorFlow gives them their names and shapes. `expected.safetensors` is what transformers' own
converter (the one that the hub's weights went through) makes of them.
"""

import os
import shutil
from pathlib import Path

os.environ |= {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}

import numpy as np
import tensorflow.compat.v1 as tf
from safetensors.torch import save_file
from transformers import ConvBertConfig, ConvBertModel
from transformers.models.convbert.modeling_convbert import load_tf_weights_in_convbert

HERE = Path(__file__).parent.parent / "data" / "checkpoints" / "original"
tf.disable_eager_execution()


def layer_norm(x):
    with tf.variable_scope("LayerNorm"):
        return tf.get_variable("beta", [x.shape[-1]]) + tf.get_variable("gamma", [x.shape[-1]]) * x


def group_dense(x, width, groups):
    with tf.variable_scope("g_dense"):
        tf.get_variable("kernel", [groups, x.shape[-1] // groups, width // groups])
        return tf.zeros([1, 5, width]) + tf.get_variable("bias", [width])


def network(scope, D, heads, F, E, layers, groups, ratio=2, vocab=30):
    dense = tf.layers.dense
    with tf.variable_scope("electra/embeddings", reuse=tf.AUTO_REUSE):
        words = tf.get_variable("word_embeddings", [vocab, E])
        types = tf.get_variable("token_type_embeddings", [2, E])
        x = layer_norm(words[None, :5] + types[0] + tf.get_variable("position_embeddings", [12, E])[:5])
    with tf.variable_scope(scope):
        if E != D:
            x = dense(x, D, name="embeddings_project")
        for i in range(layers):
            with tf.variable_scope(f"encoder/layer_{i}"):
                with tf.variable_scope("attention"):
                    with tf.variable_scope("self"):
                        new_heads = max(1, heads // ratio)
                        A = new_heads * (D // heads)
                        query, _, value = (dense(x, A, name=name) for name in ("query", "key", "value"))
                        key = tf.layers.separable_conv1d(x, A, 3, padding="same", name="conv_attn_key")
                        dense(key * query, new_heads * 3, name="conv_attn_kernel")
                        point = dense(x, A, name="conv_attn_point")
                    with tf.variable_scope("output"):
                        x = layer_norm(dense(tf.concat([value, point], -1), D) + x)
                with tf.variable_scope("intermediate"):
                    y = dense(x, F) if groups == 1 else group_dense(x, F, groups)
                with tf.variable_scope("output"):
                    x = layer_norm((dense(y, D) if groups == 1 else group_dense(y, D, groups)) + x)
    return x


def electra(generator, discriminator, E):
    """Both networks and heads, Adam's two moments of every variable, and the step."""
    hidden = network("generator", E=E, **generator)
    with tf.variable_scope("generator_predictions"):
        layer_norm(tf.layers.dense(hidden, E))
        tf.get_variable("output_bias", [30])
    hidden = network("electra", E=E, **discriminator)
    with tf.variable_scope("discriminator_predictions"):
        tf.layers.dense(tf.layers.dense(hidden, discriminator["D"]), 1)
    for variable in tf.trainable_variables():
        for slot in ("adam_m", "adam_v"):
            tf.get_variable(f"{variable.op.name}/{slot}", variable.shape, trainable=False)
    tf.train.get_or_create_global_step()


def write(folder, build, name="model.ckpt", **saver):
    """Build a graph, give its variables numbers, and save them."""
    folder = HERE / folder
    folder.mkdir(parents=True, exist_ok=True)
    with tf.Graph().as_default(), tf.Session(config=tf.ConfigProto(device_count={"CPU": 2})) as session:
        build()
        rng = np.random.default_rng(9)
        for variable in tf.global_variables():
            variable.load(rng.normal(size=variable.shape).astype(variable.dtype.as_numpy_dtype) if
                          variable.dtype.base_dtype.is_floating else 1000, session)
        tf.train.Saver(**saver).save(session, str(folder / name), write_meta_graph=False, write_state=False)
    print(folder.name, [(path.name, path.stat().st_size) for path in folder.iterdir()])


def expect(folder, **config):
    """What transformers makes of a checkpoint."""
    model = ConvBertModel(ConvBertConfig(vocab_size=30, conv_kernel_size=3, max_position_embeddings=12, pad_token_id=0,
                                         **config))
    load_tf_weights_in_convbert(model, model.config, str(HERE / folder / "model.ckpt"))
    model.config.save_pretrained(HERE / folder)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()},
              HERE / folder / "expected.safetensors", {"format": "pt"})


def main():
    shutil.rmtree(HERE, ignore_errors=True)
    small = dict(D=8, heads=1, F=16, layers=1, groups=1)

    def pretrained():
        electra(small, dict(D=16, heads=4, F=24, layers=1, groups=2), E=8)

    write("electra", pretrained)
    expect("electra", hidden_size=16, num_attention_heads=4, intermediate_size=24, embedding_size=8, num_groups=2,
           num_hidden_layers=1)
    config = dict(hidden_size=16, num_attention_heads=4, intermediate_size=24, embedding_size=16, num_hidden_layers=2)

    def plain():
        network("electra", D=16, heads=4, F=24, E=16, layers=2, groups=1)
        tf.train.get_or_create_global_step()

    write("plain", plain)
    expect("plain", **config)
    write("v1", plain, write_version=tf.train.SaverDef.V1)

    def two_devices():
        # The sharded Saver writes one file for each device that has variables.
        with tf.device(lambda op: f"/cpu:{len(tf.global_variables()) % 2}"):
            plain()

    write("two_shards", two_devices, sharded=True)
    # head_ratio 4 as the original reads it; transformers assigns such shapes unchecked, so there is no `expected`.
    write("ratio4", lambda: network("electra", D=16, heads=8, F=24, E=16, layers=1, groups=1, ratio=4))

    def few():                                                 # numbers only, to be damaged thousands of times
        tf.get_variable("a", [2, 3])
        tf.get_variable("b", [4])
        tf.train.get_or_create_global_step()

    write("../small", few, "bundle")
    write("../small", few, "v1.ckpt", write_version=tf.train.SaverDef.V1)


if __name__ == "__main__":
    main()
