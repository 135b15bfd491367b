"""`python -m minconvbert convert SRC DST`: convert a checkpoint of any known kind."""

import argparse

from ..checkpoint import NoHeadError
from ..checkpoint.convert import convert, task_of
from ..config import TASKS, ConvBertConfig
from ..files import SHIPPED


def main(argv):
    parser = argparse.ArgumentParser(
        prog="python -m minconvbert convert", usage="%(prog)s [SRC] DST [options]",
        description="Read a checkpoint of any known kind and write another.",
        epilog="SRC may be safetensors, a pytorch_model.bin, a tf_model.h5, the .index of a TensorFlow checkpoint, a"
        " folder with one of them, or the name of a model on the hub.")
    parser.add_argument("source", metavar="SRC", nargs="?", default=SHIPPED,
                        help="folder, file or name on the hub (%(default)s)")
    parser.add_argument("target", metavar="DST", help="folder to write; it must not hold a checkpoint yet")
    parser.add_argument("--task", choices=(*TASKS, "none"),
                        help="the head to read; none for the body alone (default: what config.json says)")
    parser.add_argument("--names", choices=("huggingface", "original"), default="huggingface",
                        help="write a Hugging Face folder, or the original's TensorFlow checkpoint")
    parser.add_argument("--dtype", choices=("float16", "float32", "float64"), help="type to store (default: SRC's)")
    parser.add_argument("--config", metavar="FILE", help="use this config.json instead of the one beside SRC")
    parser.add_argument("--net", choices=("electra", "generator"), default="electra",
                        help="which network of an original checkpoint: electra, the discriminator, or generator")
    parser.add_argument("--allow-nonfinite", action="store_true", help="copy nan and infinity, too")
    options = parser.parse_args(argv)
    config = ConvBertConfig.from_json(options.config) if options.config else None
    task = task_of(options.source) if options.task is None else options.task
    task = None if task == "none" else task
    try:
        _, params = convert(options.source, options.target, task, options.names, options.dtype, config=config,
                            net=options.net, allow_nonfinite=options.allow_nonfinite)
    except NoHeadError:
        raise ValueError(f"{options.source} must hold the head for {task}, but does not; pass --task with the head that"
                         " it has, or --task none for the body alone") from None
    count = sum(array.size for array in params.values())
    print(f"{options.target}: {task or 'the bare model'}, {len(params)} tensors, {count:,} parameters")
    return 0
