"""Read checkpoints of every kind, check them against a configuration, and write them.

    cfg, params = load("convbert-tiny")
    save("copy", cfg, params)

`load` finds a file and reads it, `fit` matches its tensors to the parameters of a model, `save` writes. Each format has
its own module: safetensors, torch_pickle, keras_h5, tf_bundle.
"""

from .convert import convert, task_of
from .fit import ARCHITECTURES, OUTPUT_TABLE, check_kinds, check_params, finite, fit
from .load import DISCRIMINATOR_HEAD, FILES, TOKENIZER_FILES, config_of_original, find, load, read_config, read_tensors
from .save import save, save_original
from .tensorfile import CheckpointError, NoHeadError
