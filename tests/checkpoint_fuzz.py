"""Damage files at random, and read them: every reader must end in success or CheckpointError.

    python tests/checkpoint_fuzz.py 1000000          # that many damaged files for each reader; slow
    python tests/checkpoint_fuzz.py 1000000 legacy   # for one of them
"""

import json
import random
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from minconvbert import checkpoint
from minconvbert.checkpoint import CheckpointError, tf_bundle, tf_table, torch_pickle

DATA = Path(__file__).parent / "data" / "checkpoints" / "small"
# reader: the file to damage; its neighbours, if any, are copied as they are
SEEDS = {
    "safetensors": "small.safetensors", "zip": "zip.bin", "legacy": "legacy.bin", "keras": "tf_model.h5",
    "bundle": "bundle.index", "bundle_data": "bundle.data-00000-of-00001", "v1": "v1.ckpt",
    "index": "pytorch_model.bin.index.json"}
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None       # the disk would take most of the time
NUMBERS = [0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 1 << 31, (1 << 31) - 1, (1 << 32) - 1, 1 << 40, 1 << 62,
           (1 << 63) - 1, 1 << 63, (1 << 64) - 1]


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


@contextmanager
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


def fuzz(reader, count, folder, seed=0):
    """Read `count` damaged files; -> how many of them were read without complaint."""
    rng, good, seed_file = random.Random(f"{reader} {seed}"), 0, DATA / SEEDS[reader]
    for path in DATA.iterdir():
        shutil.copy(path, folder)
    whole, target = seed_file.read_bytes(), folder / seed_file.name
    file = folder / "bundle.index" if reader == "bundle_data" else target
    for i in range(count):
        damaged = damage(whole, rng)
        target.write_bytes(damaged)
        try:
            if i % 2:
                checkpoint.read_tensors(file)
            else:
                with without_checksums():
                    checkpoint.read_tensors(file)
            good += 1
        except CheckpointError:
            pass
        except BaseException:
            kept = Path(tempfile.gettempdir()) / f"fuzz-{target.name}"
            kept.write_bytes(damaged)
            print(f"{reader}: number {i} is kept as {kept}")
            raise
    return good


def main(count, readers):
    for reader in readers or SEEDS:
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
            good = fuzz(reader, count, Path(folder))
        print(json.dumps({"reader": reader, "damaged": count, "read": good, "refused": count - good}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
