#!/bin/sh
# Pins the requirements in requirements/*.txt by hash, for all platforms and Python >= 3.11:
#   base.txt     production
#   msk.txt      web and the login to Amazon MSK by IAM, for the image
#   local.txt    base, `up` and the build backend
#   web.txt      base, the gateway and the console
#   dev.txt      local, msk, web, tests and tools
#   build.txt    build backend, for the image
#   compile.txt  mypyc, for the image
#   chart.txt    linters and schemas for `make chart`
#   go.txt       Go
#   clients.txt  tests of clients/python on its own
#   schemathesis.txt  generated requests to the gateway, `make fuzz-http`
#   browser.txt  a driver of browsers for `make test-browser`
#   bench.txt    peers for `make bench-peers`
# Usage: scripts/lock.sh [--upgrade]
set -eu
cd "$(dirname "$0")/.."
command -v uv >/dev/null 2>&1 || { echo "lock: uv is missing: pip install uv" >&2; exit 1; }

compile() {
    out=$1
    shift
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-header \
        --no-annotate --output-file "requirements/$out.txt" "$@"
}

# dev first: it constrains the smaller sets, so that all have the same versions
compile dev pyproject.toml --extra local --extra msk --extra web --extra dev requirements/build.in "$@"
compile local pyproject.toml --extra local requirements/build.in --constraints requirements/dev.txt "$@"
compile base pyproject.toml --constraints requirements/dev.txt "$@"
compile msk pyproject.toml --extra msk --extra web --constraints requirements/dev.txt "$@"
compile web pyproject.toml --extra web --constraints requirements/dev.txt "$@"
compile build requirements/build.in --constraints requirements/dev.txt "$@"
compile compile requirements/compile.in --constraints requirements/dev.txt "$@"
compile chart requirements/chart.in "$@"
compile go requirements/go.in "$@"
compile clients requirements/clients.in --constraints requirements/dev.txt "$@"
compile schemathesis requirements/schemathesis.in "$@"
compile browser requirements/browser.in --constraints requirements/dev.txt "$@"
compile bench requirements/bench.in "$@"
