#!/bin/sh
# Creates the virtual environment given as the first argument, with exactly what requirements.lock names and this
# package itself in editable form: Airflow learns of the connection types only from an installed distribution.
# Needs Python alone; uses uv if it is on the PATH. Everything comes from the package index, no Python is downloaded.
# BOOTSTRAP_PIP=1 does without uv.
set -eu

venv=${1:?usage: scripts/bootstrap.sh FOLDER}
cd "$(dirname "$0")/.."

fits() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        if fits "$PYTHON"; then
            command -v "$PYTHON"
            return
        fi
        echo "PYTHON=$PYTHON does not run a Python 3.10, 3.11, 3.12 or 3.13." >&2
        return 1
    fi
    for candidate in python3 python3.13 python3.12 python3.11 python3.10 python; do
        if fits "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    echo "No Python 3.10, 3.11, 3.12 or 3.13 found on the PATH. Install one, or name it: make venv PYTHON=/path/to/python3.12" >&2
    return 1
}

python=$(find_python)
version=$("$python" -c 'import platform; print(platform.python_version())')
uv=$(command -v uv || true)

# uv takes seconds for what takes pip minutes, so without one on the PATH the one of the lock is installed first.
# Where uv fails, pip does it: it knows an index of one's own from pip's configuration.
use_uv() {
    [ -z "${BOOTSTRAP_PIP:-}" ] || return 1
    [ -z "$uv" ] || return 0
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
        "$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock)" || return 1
    uv=$venv/bin/uv
}

# Arguments as both of them understand them.
install() {
    if use_uv && "$uv" pip install --quiet --no-deps --python "$venv/bin/python" "$@"; then
        return
    fi
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "$@"
}

# Kept beside the environment: what it was made from. Another lock or another Python means starting afresh, so that
# nothing stays behind that the lock no longer names.
if [ "$(cat "$venv/.python-version" 2>/dev/null)" != "$version" ] || ! cmp -s requirements.lock "$venv/.lock"; then
    echo "Creating $venv with Python $version; downloads up to 400 MB"
    rm -f "$venv/.ready" "$venv/.lock"
    if [ -n "$uv" ]; then
        uv venv --quiet --clear --seed --no-python-downloads --python "$python" "$venv"
    elif "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        "$python" -m venv --clear "$venv"
    else
        echo "$python has no venv module. On Debian and Ubuntu: apt-get install python3-venv" >&2
        exit 1
    fi
    install --requirement requirements.lock
    echo "$version" >"$venv/.python-version"
    cp requirements.lock "$venv/.lock"
fi

if [ ! -e "$venv/.ready" ] || [ pyproject.toml -nt "$venv/.ready" ]; then
    install --no-build-isolation --editable .
    "$venv/bin/python" -m pip check --disable-pip-version-check
fi
touch "$venv/.ready"
