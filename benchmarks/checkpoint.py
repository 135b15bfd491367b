"""Time and peak memory of loading base, from every kind of file, each in a process of its own.

    python benchmarks/checkpoint.py [--size base]

Memory is what the process grew by, over the size of the file, and counts the pages of the mapped file. The kinds that
PyTorch writes need the extra `parity`, and Linux tells the memory.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from minconvbert import checkpoint
from minconvbert.config import ConvBertConfig
from minconvbert.initialize import init_params
from minconvbert.training.recipes import PRESETS

# VmHWM, for ru_maxrss begins with what the process that started this one had.
LOAD = """
import json, pathlib, re, sys, time
from minconvbert import checkpoint
used = lambda: 1024 * int(re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
before, began = used(), time.perf_counter()
loaded = checkpoint.load(sys.argv[1])
print(json.dumps(dict(seconds=time.perf_counter() - began, bytes=used() - before)))
"""


def write_all(cfg, params, folder):
    """-> {kind: (what to load, the files that count)}"""
    kinds = {}
    ways = {"safetensors": {}, "sharded": dict(max_shard_bytes=10**8), "float16": dict(dtype=np.float16)}
    for name, options in ways.items():
        checkpoint.save(folder / name, cfg, params, **options)
        kinds[name] = folder / name, list((folder / name).glob("*.safetensors"))
    checkpoint.save_original(folder / "original" / "model.ckpt", cfg, params)
    kinds["original"] = folder / "original", list((folder / "original").glob("model.ckpt*"))
    try:
        import torch
    except ImportError:
        return kinds
    state = {name: torch.from_numpy(array) for name, array in params.items()}
    for name, zipped in {"zip": True, "legacy": False}.items():
        (folder / name).mkdir()
        cfg.to_json(folder / name)
        torch.save(state, folder / name / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
        kinds[name] = folder / name, [folder / name / "pytorch_model.bin"]
    return kinds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=PRESETS, default="base")
    options = parser.parse_args()
    cfg = ConvBertConfig(**PRESETS[options.size].model)
    with tempfile.TemporaryDirectory() as folder:
        params = init_params(cfg, rng=np.random.default_rng(0))
        for kind, (source, files) in write_all(cfg, params, Path(folder)).items():
            said = json.loads(subprocess.run([sys.executable, "-c", LOAD, source], capture_output=True, text=True,
                                             check=True).stdout)
            size = sum(file.stat().st_size for file in files)
            print(f"{kind:<12} file {size / 1e6:6.1f} MB   loaded in {said['seconds']:5.2f} s   memory"
                  f" {said['bytes'] / 1e6:6.1f} MB, {said['bytes'] / size:4.2f} of the file")


if __name__ == "__main__":
    main()
