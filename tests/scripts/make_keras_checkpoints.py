"""Make tests/data/checkpoints/keras: tiny models of every class as transformers 4 wrote them from TensorFlow.

In an environment of its own, because transformers 5 has no TensorFlow classes:

    pip install tensorflow-cpu tf-keras h5py torch transformers==4.57.6
    python tests/scripts/make_keras_checkpoints.py

`expected.safetensors` is what transformers' own converter makes of each `tf_model.h5`.
"""

import os
import shutil
from pathlib import Path

os.environ |= {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}

import numpy as np
import tf_keras
import torch
import transformers
from safetensors.torch import save_file
from transformers import ConvBertConfig
from transformers.modeling_tf_pytorch_utils import load_tf2_checkpoint_in_pytorch_model

HERE = Path(__file__).parent.parent / "data" / "checkpoints" / "keras"
CLASSES = {
    "base": "ConvBertModel", "masked_lm": "ConvBertForMaskedLM",
    "sequence_classification": "ConvBertForSequenceClassification", "multiple_choice": "ConvBertForMultipleChoice",
    "token_classification": "ConvBertForTokenClassification", "question_answering": "ConvBertForQuestionAnswering"}


def main():
    shutil.rmtree(HERE, ignore_errors=True)
    rng = np.random.default_rng(4)
    for task, name in CLASSES.items():
        config = ConvBertConfig(
            vocab_size=30, embedding_size=8, hidden_size=16, num_hidden_layers=2 if task == "base" else 1,
            num_attention_heads=4, intermediate_size=24, num_groups=2 if task in ("base", "masked_lm") else 1,
            conv_kernel_size=3, max_position_embeddings=12, pad_token_id=0,
            num_labels=3 if "classification" in task else 2,
            summary_use_proj=task == "multiple_choice", summary_type="first")
        made = getattr(transformers, f"TF{name}")(config)
        ids = np.arange(5)[None, None] if task == "multiple_choice" else np.arange(5)[None]
        made(ids)
        made.set_weights([rng.normal(size=weight.shape) for weight in made.get_weights()])
        made.save_pretrained(HERE / task)
        if task == "base":
            made.save_pretrained(HERE / "sharded", max_shard_size="8KB")
        twin = load_tf2_checkpoint_in_pytorch_model(
            getattr(transformers, name)(config), str(HERE / task / "tf_model.h5"), tf_inputs=ids,
            allow_missing_keys=False).eval()
        theirs, ours = made(ids)[0].numpy(), twin(torch.from_numpy(ids))[0].detach().numpy()
        assert np.abs(theirs - ours).max() < 1e-4, task
        save_file({k: v.contiguous().clone() for k, v in twin.state_dict().items() if k != "generator_lm_head.weight"},
                  HERE / task / "expected.safetensors", {"format": "pt"})
    small = HERE.parent / "small"                              # a few numbers only, to be damaged thousands of times
    small.mkdir(exist_ok=True)
    inputs = tf_keras.Input([2])
    tf_keras.Model(inputs, tf_keras.layers.Dense(3, name="dense")(inputs)).save_weights(small / "tf_model.h5")


if __name__ == "__main__":
    main()
