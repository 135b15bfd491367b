"""Convert a checkpoint of any known kind into another kind."""

import shutil
from pathlib import Path

from .. import checkpoint
from ..config import TASKS, ConvBertConfig
from ..files import atomic_path


def convert(source, target, task=None, names="huggingface", dtype=None, **options):
    """Read a checkpoint and write it as a Hugging Face folder, or under the original's names as `target/model.ckpt`.

    The files of a tokenizer beside the checkpoint are copied. Options are those of `checkpoint.load`.   ->  cfg, params

    Raises ValueError if `target` already has a checkpoint, and whatever `checkpoint.load` and `checkpoint.save` raise.
    """
    target = Path(target)
    there = [name for name in (*checkpoint.FILES, "model.ckpt.index") if (target / name).exists()]
    if there:
        raise ValueError(f"{target} must be free for a checkpoint, but has {', '.join(there)}")
    cfg, params = checkpoint.load(source, task, dtype=None, mmap=True, **options)
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


def task_of(source):
    """The task of the class that the `config.json` beside a checkpoint names; None without one, or for the bare model.

    The bare model and the discriminator have the same class. A discriminator's head, in the file or beside it, decides.
    """
    file = checkpoint.find(source)
    path = file.parent / "config.json"
    named = ConvBertConfig.from_json(path).unknown.get("architectures") if path.exists() else None
    task = next((task for task in TASKS if named == [checkpoint.ARCHITECTURES[task]]), None)
    if task != "discriminator" or (file.parent / checkpoint.DISCRIMINATOR_HEAD).is_file():
        return task
    return task if any(task in name for name in checkpoint.read_tensors(file)[0]) else None
