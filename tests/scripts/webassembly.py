"""What runs inside WebAssembly: the tour, the golden pack made there and compared with ours, the tests of the core.

Called by webassembly.sh, with the repository at /repo and pytest at /guest.
"""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path[:0] = ["/repo", "/repo/tests", "/guest"]

import numpy  # noqa: E402
import pytest  # noqa: E402

from minconvbert.__main__ import main  # noqa: E402

print(sys.version, numpy.__version__)
assert sys.platform == "wasi"
for command in ([], ["view", "a word", "--out", "/view.html"], ["golden", "make", "/made"], ["golden", "check", "/made"]):
    print("$ minconvbert", *command)
    if command[1:] == ["check", "/made"]:
        Path("/made/tokenizer.jsonl").unlink()         # its ids are in tokenizer.lines.safetensors, too
    if main(command):
        sys.exit(1)
# Tests without hypothesis, which is no pure Python, and without tmp_path, because there are no users; int is int32 here.
sys.exit(pytest.main([
    "-s", "-p", "no:cacheprovider", "-p", "no:logging", "-p", "no:faulthandler", "-c", "/repo/pyproject.toml",
    "-k", "not int64 and not file and not folder and not saved",
    *(f"/repo/tests/test_{name}.py" for name in ("model", "optim", "errors", "faces_tf"))]))
