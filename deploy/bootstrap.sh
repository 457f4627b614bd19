#!/bin/sh
# Makes .venv: the operator's own tools, from requirements-dev.lock, hashes checked. ./hublab and `make` call it when the lock changes.
set -eu
cd "$(dirname "$0")/.."

# A release is built for 3.12 or 3.13; the operator's side keeps to the same, so that one lock serves both.
find_python() {
    for candidate in python3.12 python3.13 "$HOME"/.pyenv/versions/3.12*/bin/python "$HOME"/.pyenv/versions/3.13*/bin/python \
        "$HOME"/.local/share/uv/python/cpython-3.1[23]*/bin/python /usr/local/bin/python3.12 /opt/python/3.12*/bin/python python3; do
        # A version manager's shim answers to the name without having the version: ask the interpreter itself.
        if "$candidate" -c 'import sys, ensurepip, venv; sys.exit(not (3, 12) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    if command -v uv >/dev/null && uv python install 3.12 >&2; then
        uv python find --managed-python 3.12
        return
    fi
    echo "bootstrap: no Python 3.12 or 3.13 with venv was found (looked in PATH, ~/.pyenv, uv's own, /usr/local, /opt/python)." >&2
    echo "bootstrap: install one ('apt install python3.13-venv' on Debian 13, 'pyenv install 3.12', or 'uv python install 3.12') and try again." >&2
    exit 1
}

python=$(find_python)
[ -x .venv/bin/python ] || "$python" -m venv .venv
uv_version=$(sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements-dev.lock)
if [ "$(.venv/bin/uv --version 2>/dev/null | cut -d' ' -f2)" != "$uv_version" ]; then
    # pip installs the one tool that installs the rest, held to the lock's own hashes.
    awk '/^uv==/{print; on=1; next} /^[^ ]/{on=0} on' requirements-dev.lock > .venv/uv.lock
    .venv/bin/python -m pip install -q --disable-pip-version-check --only-binary :all: --require-hashes -r .venv/uv.lock
fi
# Byte code is compiled once here: without it every start of pyinfra or of a worker pays for it again.
.venv/bin/uv pip sync -q --no-build --require-hashes --compile-bytecode --python .venv/bin/python requirements-dev.lock
touch .venv/ready
