#!/bin/sh
# Compiles the hot path with mypyc: 1.5 to 1.7 times as fast. Needs a C compiler.
# Usage: scripts/compile.sh [DIR] [PYTHON]
#   DIR     for a copy of the package with the compiled modules beside their sources; default build/compiled.
#           Run it with PYTHONPATH=DIR. In the checkout, compiled modules would hide later edits.
#   PYTHON  the interpreter with the package's requirements; default: that of .venv.
set -eu
cd "$(dirname "$0")/.."
into=${1:-build/compiled}
python=python
[ ! -x .venv/bin/python ] || python=$PWD/.venv/bin/python
packages=${2:-$python}
# Not codec and avro_reader: they create Micros for msgspec; compiled code creates a plain int instead.
# avro_reader also relies on RecursionError for deeply nested values, which compiled code does not raise.
modules="core/deadlines core/decision core/interning core/lazy_rooms core/merge core/partition core/playback core/room
    model/avro model/decoders model/framing model/signal_ids model/times model/wire kafka/record_batch
    worker/engine worker/intake worker/output_encoder worker/statistics worker/task worker/unit"

command -v "${CC:-cc}" >/dev/null 2>&1 || { echo "compile: no C compiler: install one (Debian, Ubuntu: apt install gcc)" >&2; exit 1; }
rm -rf "$into"
mkdir -p "$into"
cp -R pipeline "$into/pipeline"
find "$into" -name __pycache__ -type d -prune -exec rm -rf {} +
# mypyc needs mypy's settings, but setuptools must not read pyproject.toml.
sed -n '/^\[tool\.mypy\]/,/^\[tool\.pytest/p' pyproject.toml | sed '$d' > "$into/mypy.toml"
files=$(for module in $modules; do echo "pipeline/$module.py"; done)
(
    cd "$into"
    # shellcheck disable=SC2086
    "$python" -c '
import sys
from mypyc.build import mypycify
from setuptools import setup
setup(
    name="compiled",
    packages=[],
    ext_modules=mypycify(["--config-file=mypy.toml", "--python-executable", *sys.argv[1:]], opt_level="3", debug_level="0"),
    script_args=["--quiet", "build_ext", "--inplace"],
)' "$packages" $files
    rm -rf build mypy.toml .mypy_cache
)
echo "compiled into $into: run with PYTHONPATH=$into"
