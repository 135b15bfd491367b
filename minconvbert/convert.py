"""The commands `convert`, from any known kind of checkpoint to another, and `verify`, against published answers."""

import argparse
import shutil
from pathlib import Path

import numpy as np

from . import checkpoint
from .config import TASKS, ConvBertConfig
from .files import atomic_path

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
TOLERANCE = 1e-4                   # of all of these tests


def convert(source, target, task=None, names="huggingface", dtype=None, **options):
    """Read a checkpoint and write it as a Hugging Face folder, or under the original's names as `target/model.ckpt`.

    Files of a tokenizer beside it are copied. Options are those of `checkpoint.load`.   ->  cfg, params

    Raises ValueError if there is a checkpoint in `target` already, and as `checkpoint.load` and `checkpoint.save` do.
    """
    target = Path(target)
    there = [name for name in (*checkpoint.FILES, "model.ckpt.index") if (target / name).exists()]
    if there:
        raise ValueError(f"{target} must be free for a checkpoint, but has {', '.join(there)}")
    cfg, params = checkpoint.load(source, task, dtype=None, **options)
    allow_nonfinite = options.get("allow_nonfinite", False)
    if names == "original":
        checkpoint.save_original(target / "model.ckpt", cfg, params, task, dtype, allow_nonfinite)
    else:
        checkpoint.save(target, cfg, params, task, dtype, allow_nonfinite=allow_nonfinite)
    for name in checkpoint.TOKENIZER_FILES:
        file = checkpoint.find(source).parent / name
        if file.is_file():
            with atomic_path(target / name) as temporary:
                shutil.copyfile(file, temporary)
    return cfg, params


def task_in_config(source):
    """The task of the class that `config.json` beside a checkpoint names; None without one, or for the bare model."""
    path = checkpoint.find(source).parent / "config.json"
    named = ConvBertConfig.from_json(path).unknown.get("architectures") if path.exists() else None
    return next((task for task in TASKS if named == [checkpoint.ARCHITECTURES[task]]), None)


def convert_main(argv):
    parser = argparse.ArgumentParser(
        prog="python -m minconvbert convert", description=__doc__.split(":")[0],
        epilog="SRC may be safetensors, a pytorch_model.bin, a tf_model.h5, the .index of a TensorFlow checkpoint, a"
        " folder with one of them, or the name of a model on the hub.")
    parser.add_argument("source", metavar="SRC", help="folder, file or name on the hub")
    parser.add_argument("target", metavar="DST", help="folder to write; it must not hold a checkpoint yet")
    parser.add_argument("--task", choices=(*TASKS, "none"),
                        help="the head to read; none for the body alone (default: what config.json says)")
    parser.add_argument("--names", choices=("huggingface", "original"), default="huggingface",
                        help="write a Hugging Face folder, or the original's TensorFlow checkpoint")
    parser.add_argument("--dtype", choices=("float16", "float32", "float64"), help="store as this (default: as it is)")
    parser.add_argument("--config", metavar="FILE", help="use this config.json instead of the one beside SRC")
    parser.add_argument("--net", choices=("electra", "generator"), default="electra",
                        help="which network of an original checkpoint: electra, the discriminator, or generator")
    parser.add_argument("--allow-nonfinite", action="store_true", help="pass on nan and infinity")
    options = parser.parse_args(argv)
    config = ConvBertConfig.from_json(options.config) if options.config else None
    task = task_in_config(options.source) if options.task is None else options.task
    task = None if task == "none" else task
    _, params = convert(options.source, options.target, task, options.names, options.dtype, config=config,
                        net=options.net, allow_nonfinite=options.allow_nonfinite)
    count = sum(array.size for array in params.values())
    print(f"{options.target}: {task or 'the bare model'}, {len(params)} tensors, {count:,} parameters")
    return 0


def verify(model, name=None):
    """Compare hidden states with the answers published for a model  ->  [(who published them, largest difference)]

    model: folder, file or name on the hub; name: whose answers, if `model` is a copy.
    """
    from .faces import ConvBertModel

    name = str(model) if name is None else name
    if name not in ANSWERS:
        raise ValueError(f"answers are published for {', '.join(ANSWERS)}, but not for {name}; if it is a copy of one"
                         " of them, say so with --answers")
    loaded = ConvBertModel.from_pretrained(model)
    return [(who, float(np.abs(loaded(np.array([ids])).last_hidden_state[0, :3, :3] - answer).max()))
            for who, ids, answer in ANSWERS[name]]


def verify_main(argv):
    parser = argparse.ArgumentParser(prog="python -m minconvbert verify",
                                     description="Check a model against the answers published for it.")
    parser.add_argument("model", metavar="MODEL", help="folder, file, or name on the hub as YituTech/conv-bert-base")
    parser.add_argument("--answers", metavar="NAME", choices=ANSWERS, help="the model that MODEL is a copy of")
    options = parser.parse_args(argv)
    differences = verify(options.model, options.answers)
    for who, difference in differences:
        print(f"{'equal  ' if difference <= TOLERANCE else 'DIFFERS'}  by {difference:.1e}  {who}")
    return int(any(difference > TOLERANCE for _, difference in differences))
