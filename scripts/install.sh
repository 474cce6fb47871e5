#!/bin/sh
# Creates .venv with the requirements pinned in requirements/<set>.txt and the project, editable. The set `bench` goes
# Creates .venv with the requirements pinned in requirements/<set>.txt and the project, editable. The set `bench` goes
# to .venv-bench and `schemathesis` to .venv-schemathesis, without the project; `browser` is added to the set `dev`.
# Usage: scripts/install.sh local|dev|bench|browser|schemathesis  (called by the Makefile; PYTHON: preferred interpreter)
set -eu
cd "$(dirname "$0")/.."
set=$1
venv=.venv
alone=
case $set in bench | schemathesis) venv=.venv-$set alone=yes ;; esac
python=$venv/bin/python

fail() {
    echo "install: $*" >&2
    exit 1
}

# Prints the first interpreter that is new enough and can import the modules $1.
find_python() {
    for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3 python; do
        if "$candidate" -c "import sys, $1; sys.exit(sys.version_info < (3, 11))" >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

make_venv() {
    rm -rf "$venv"
    if command -v uv >/dev/null 2>&1; then
        uv venv --quiet --python "$(find_python sys || echo '>=3.11')" "$venv"
    elif base=$(find_python "venv, ensurepip"); then
        "$base" -m venv "$venv"
    elif base=$(find_python sys); then
        fail "$base has no venv module: install it (Debian, Ubuntu: apt install python3-venv), or install uv"
    else
        fail "no Python >= 3.11 found: install one (or uv), or name it: make install PYTHON=/path/to/python3.12"
    fi
}

# Any pip will do: --require-hashes exists since version 8.
install() {
    if command -v uv >/dev/null 2>&1; then
        uv pip install --python "$python" "$@"
    else
        "$python" -m pip install --disable-pip-version-check "$@"
    fi
}

usable() {
    "$python" -c "import sys; sys.exit(sys.version_info < (3, 11))" >/dev/null 2>&1 || return 1
    command -v uv >/dev/null 2>&1 || "$python" -m pip --version >/dev/null 2>&1  # a venv created by uv has no pip
}

usable || make_venv
remedy="check the network and retry; else run \`make clean\` and retry"
install --require-hashes -r "requirements/$set.txt" || fail "requirements/$set.txt could not be installed: $remedy"
if [ -n "$alone" ] || [ "$set" = browser ]; then
    touch "$venv/.installed-$set"
    exit
fi
install --quiet --no-deps --no-build-isolation --editable . || fail "the project could not be installed: $remedy"
touch .venv/.installed-local
[ "$set" = local ] || touch ".venv/.installed-$set"
