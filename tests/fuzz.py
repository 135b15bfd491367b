"""Damage files at random and read them: every reader must succeed, or refuse in words of its own, and soon.

    pip install -e '.[fuzz]'                     # atheris: fuzzing that is led by what the readers have executed
    python tests/fuzz.py --seconds 600           # every reader, one after the other
    python tests/fuzz.py --seconds 600 zip index
    python tests/fuzz.py --plain --seconds 60    # without atheris: blind damage, as the tests do it for a second

A reader fails if an error is not raised by a `raise` of the package with the type ValueError, TypeError or
CheckpointError, or if one file takes longer than `LONGEST` seconds. The file that did it is kept.
"""

import argparse
import contextlib
import io
import json
import linecache
import logging
import lzma
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

try:
    import atheris
    instrumented = atheris.instrument_imports if "--child" in sys.argv else None
except ImportError:
    atheris = instrumented = None
with instrumented(include=["minconvbert"]) if instrumented else contextlib.nullcontext():
    from minconvbert import checkpoint, golden
    from minconvbert.checkpoint import CheckpointError, tf_bundle, tf_table, torch_pickle
    from minconvbert.config import ConvBertConfig, param_shapes
    from minconvbert.golden import pack
    from minconvbert.tokenizer import ConvBertTokenizer, ConvBertTokenizerFast
    from minconvbert.training import corpus, finetune, pretrain, runs, study, tasks
    from minconvbert.training.recipes import FinetuningRecipe

PACKAGE = str(Path(checkpoint.__file__).parents[1])
DATA = Path(__file__).parent / "data" / "checkpoints" / "small"
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None       # the disk would take most of the time
LONGEST = 10
NUMBERS = [0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 1 << 31, (1 << 31) - 1, (1 << 32) - 1, 1 << 40, 1 << 62,
           (1 << 63) - 1, 1 << 63, (1 << 64) - 1]


# What is read

def make_material(folder):
    """A good file for every reader."""
    from finetune_material import SIZES, write_data, write_model
    for path in DATA.iterdir():
        shutil.copy(path, folder)
    write_model(folder / "model", num_labels=3)
    write_data(folder, 6)
    (folder / "texts.tsv").write_text('text\tlabel\nthe red cat\tred\n"a ""b""\tc"\tblue\n')
    (folder / "texts.csv").write_text('text,label\nthe red cat,yes\n"a, ""b""",no\n')
    (folder / "words.conllu").write_text("# text = cats\n1\tcats\tcat\tNOUN\t_\tA=b\t0\troot\t_\t_\n1-2\tcan't" + "\t_" * 8
                                         + "\n2\tsit\tsit\tVERB" + "\t_" * 6 + "\n\n")
    answers = dict(text=["red"], answer_start=[4])
    (folder / "squad.json").write_text(json.dumps(dict(version="2.0", data=[dict(title="t", paragraphs=[dict(
        context="the red cat", qas=[dict(id="1", question="who", answers=[dict(text="red", answer_start=4)]), dict(
            id="2", question="what", answers=[], is_impossible=True)])])])))
    (folder / "flat.jsonl").write_text(json.dumps(dict(id="1", question="who", context="the red cat", answers=answers)))
    (folder / "corpus.txt").write_text("the red cat. It sits.\n\nwho? the dog!\n")
    (folder / "corpus.txt.xz").write_bytes(lzma.compress((folder / "corpus.txt").read_bytes()))
    with contextlib.redirect_stderr(io.StringIO()):
        corpus.encode_corpus([folder / "corpus.txt"], ConvBertTokenizerFast(folder / "model" / "vocab.txt"), 8, folder)
    params = {"x": np.ones((2, 3), np.float32), "y": np.ones(2, np.float32)}
    state = dict(step=3, params=params, moments=pretrain.adam_state(params))
    runs.save_state(folder / runs.STATE, state, dict(config=SIZES))
    (folder / runs.LOG).write_text('{"step": 1, "loss": 2.0, "rate": 0.1}\n{"step": 2, "held_out": {"auc": 0.5}}\n')
    finetune.write_summary(folder / finetune.SUMMARY, dict(task="masked-lm"), FinetuningRecipe(),
                           finished=True, best=dict(step=3, dev=dict(accuracy=0.5)))
    (folder / "results.json").write_text(json.dumps(dict(fixed=dict(steps=2), results=[dict(setting="a", seed=0, seconds=1)])))
    pack.make(folder / "pack", ["op.linear"])
    truth = pack.read_pack(folder / "pack")["op.linear"].truth
    (folder / "npz").mkdir()
    np.savez(folder / "npz" / "op.linear.npz", **truth)
    (folder / "npy" / "op.linear").mkdir(parents=True)
    np.save(folder / "npy" / "op.linear" / "acts.out.npy", truth["acts.out"])
    (folder / "lines").mkdir()
    (folder / "lines" / "tokenizer.jsonl").write_text('{"line": 0, "input_ids": [2, 5, 3], "offset_mapping": [[0, 1]]}\n')


def _config(path):
    cfg = ConvBertConfig.from_json(path)
    cfg.to_dict()
    param_shapes(cfg, None)


def _tokenizer(path):
    for kind in (ConvBertTokenizerFast, ConvBertTokenizer):
        kind.from_pretrained(path if path.name == "vocab.txt" else path.parent)("The cafe\u0301s [MASK] dog.", "cat")


def _task(name):
    def read(path):
        task = tasks.get(name)
        examples = task.read(path)
        task.check_alike(examples)
        if "label" in examples[0] or name == "token-classification":
            task.configure(ConvBertConfig.from_json(path.parent / "model"), examples)
    return read


def _pack(path):
    pack.read_pack.__wrapped__(path.parent)


def _without_checksums_of_the_pack(path):
    index = json.loads((path.parent / "pack.json").read_text())
    index["sha256"][path.name] = pack._checksum(path)
    (path.parent / "pack.json").write_text(json.dumps(index))
    _pack(path)


def _port(path):
    golden.check(path.parents[1] if path.suffix == ".npy" else path.parent, pack=path.parents[
        2 if path.suffix == ".npy" else 1] / "pack")


# reader: the file to damage, and what reads it
READERS = {
    **{name: (file, checkpoint.read_tensors) for name, file in dict(
        safetensors="small.safetensors", zip="zip.bin", legacy="legacy.bin", keras="tf_model.h5", bundle="bundle.index",
        v1="v1.ckpt", index="pytorch_model.bin.index.json").items()},
    "bundle_data": ("bundle.data-00000-of-00001",
                    lambda path: checkpoint.read_tensors(path.with_name("bundle.index"))),
    "config": ("model/config.json", _config),
    **{name: (f"model/{name}", _tokenizer) for name in checkpoint.TOKENIZER_FILES},
    "text jsonl": ("texts.jsonl", _task("text-classification")),
    "text tsv": ("texts.tsv", _task("text-classification")),
    "text csv": ("texts.csv", _task("text-classification")),
    "conll": ("words.conll", _task("token-classification")),
    "conllu": ("words.conllu", _task("token-classification")),
    "questions": ("questions.jsonl", _task("question-answering")),
    "squad": ("squad.json", _task("question-answering")),
    "flat squad": ("flat.jsonl", _task("question-answering")),
    "choices": ("choices.jsonl", _task("multiple-choice")),
    "masked words": ("plain.txt", _task("masked-lm")),
    "corpus": ("corpus.txt", lambda path: list(corpus.read_documents([path]))),
    "corpus xz": ("corpus.txt.xz", lambda path: list(corpus.read_documents([path]))),
    "examples": (corpus.EXAMPLES, lambda path: corpus.open_examples(path.parent)),
    "state": (runs.STATE, lambda path: runs.load_state(path, {}, ("recipe",))),
    "log": (runs.LOG, lambda path: runs.resume_log(path.parent, 1)),
    "summary": (finetune.SUMMARY, finetune._read_summary),
    "results": ("results.json", lambda path: study.read_results(path, dict(steps=2))),
    "pack": ("pack/pack.json", _pack),
    "case": ("pack/op.linear.json", _without_checksums_of_the_pack),
    "port npz": ("npz/op.linear.npz", _port),
    "port npy": ("npy/op.linear/acts.out.npy", _port),
    "port lines": ("lines/tokenizer.jsonl", _port),
}


# How it is damaged

def damage(data, rng):
    """A copy of `data` with one to three faults: bits, bytes, numbers, pieces lost, moved, doubled or put in."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at, kind = rng.randrange(len(data) + 1), rng.randrange(8)
        span = rng.choice((1, 2, 4, 8, 30))
        if kind == 0:
            data[at:at + 1] = bytes([data[at] ^ 1 << rng.randrange(8)]) if at < len(data) else b""
        elif kind == 1:
            data[at:at + 1] = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80", rng.randbytes(1)))
        elif kind == 2:
            width = rng.choice((2, 4, 8))
            data[at:at + width] = (rng.choice(NUMBERS) % (1 << 8 * width)).to_bytes(width, "little")
        elif kind == 3:
            del data[at:at + span]
        elif kind == 4:
            data[at:at] = data[at:at + span]
        elif kind == 5:
            data[at:at] = rng.randbytes(span)
        elif kind == 6:
            other = rng.randrange(len(data) + 1)
            data[at:at + span] = data[other:other + span]
        elif rng.random() < 0.2:
            del data[at:]
        else:
            data[at:at + 1] = rng.choice(b"0123456789-.,:[]{}\"'e ").to_bytes(1, "little")
    return bytes(data)


class _Anything:
    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False


@contextlib.contextmanager
def without_checksums():
    """Let damage behind the checksums through, to the code that they protect."""
    masked, torch_zlib = tf_bundle.masked_crc32c, torch_pickle.zlib
    tf_bundle.masked_crc32c = tf_table.masked_crc32c = lambda data: _Anything()
    torch_pickle.zlib = type("zlib", (), {"crc32": lambda data: _Anything()})
    try:
        yield
    finally:
        tf_bundle.masked_crc32c = tf_table.masked_crc32c = masked
        torch_pickle.zlib = torch_zlib


# How it is judged

def is_refusal(error):
    """Whether the package itself raised this, in a documented type."""
    trace = error.__traceback__
    while trace.tb_next:
        trace = trace.tb_next
    file = trace.tb_frame.f_code.co_filename
    return (type(error) in (ValueError, TypeError, CheckpointError) and file.startswith(PACKAGE)
            and "raise" in linecache.getline(file, trace.tb_lineno))


class Material:
    """A folder with a good file for every reader, one of which is damaged and read.   folder: as `make_material` made it"""

    def __init__(self, folder, reader):
        file, self.read = READERS[reader]
        self.file, self.reader, self.whole = folder / file, reader, (folder / file).read_bytes()
        self.index = folder / "pack" / "pack.json"
        self.whole_index = self.index.read_bytes()

    def try_out(self, data):
        """Read this in place of the good file   ->  whether it could be read.   Raises whatever is no refusal."""
        if self.file.parent == self.index.parent:
            self.index.write_bytes(self.whole_index)
        self.file.write_bytes(data)
        signal.setitimer(signal.ITIMER_REAL, LONGEST)
        try:
            self.read(self.file)
            return True
        except Exception as error:
            if not is_refusal(error):
                kept = Path(tempfile.gettempdir()) / f"fuzz-{self.reader.replace(' ', '-')}"
                kept.write_bytes(data)
                print(f"{self.reader}: kept as {kept}")
                raise
            return False
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


def _too_long(number, frame):
    raise TimeoutError(f"a file took longer than {LONGEST} seconds")


def fuzz(reader, folder, seconds, seed=0):
    """Read damaged files for so long   ->  how many were read, how many refused"""
    rng, material, counts = random.Random(f"{reader} {seed}"), Material(folder, reader), [0, 0]
    before = signal.signal(signal.SIGALRM, _too_long)
    began = time.perf_counter()
    try:
        assert material.try_out(material.whole), "the file to be damaged is not good"
        while time.perf_counter() - began < seconds:
            with contextlib.nullcontext() if sum(counts) % 2 else without_checksums():
                counts[material.try_out(damage(material.whole, rng))] += 1
    finally:
        signal.signal(signal.SIGALRM, before)
    refused, read = counts
    return read, refused


def _with_atheris(reader, folder, seconds):
    """Let atheris lead; it ends the process."""
    make_material(folder)
    material, seeds = Material(folder, reader), folder / "seeds"
    seeds.mkdir()
    (seeds / "whole").write_bytes(material.whole)
    signal.signal(signal.SIGALRM, _too_long)
    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", "-timeout=60", "-rss_limit_mb=4096", "-print_final_stats=1",
                   f"-max_len={4 * len(material.whole) + 1000}", f"-artifact_prefix={tempfile.gettempdir()}/", str(seeds)],
                  material.try_out)
    with without_checksums():
        atheris.Fuzz()


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("readers", nargs="*", metavar="READER", help=", ".join(READERS))
    parser.add_argument("--seconds", type=int, default=600, help="for each reader (600)")
    parser.add_argument("--plain", action="store_true", help="without atheris")
    parser.add_argument("--child", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    logging.disable()
    if options.child:
        return _with_atheris(options.readers[0], Path(options.child), options.seconds)
    failed = 0
    for reader in options.readers or READERS:
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
            if options.plain:
                make_material(Path(folder))
                read, refused = fuzz(reader, Path(folder), options.seconds)
                print(json.dumps(dict(reader=reader, damaged=read + refused, read=read)), flush=True)
                continue
            done = subprocess.run([sys.executable, __file__, reader, "--seconds", str(options.seconds), "--child", folder],
                                  capture_output=True, text=True, errors="replace")
        executions = re.search(r"stat::number_of_executed_units: +(\d+)", done.stderr)
        print(json.dumps(dict(reader=reader, executions=int(executions[1]) if executions else None,
                              failed=done.returncode != 0)), flush=True)
        if done.returncode:
            failed = 1
            print(done.stdout[-1000:], done.stderr[-4000:], sep="\n", flush=True)
    return failed


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(__file__))
    sys.exit(main(sys.argv[1:]))
