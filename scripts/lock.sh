#!/bin/sh
# Resolves requirements.lock for every Python that the package supports, with all extras, in one file.
# Arguments are handed to "uv pip compile". uv comes from the
# PATH, else from .venv, else from the package index into build/.
set -eu
cd "$(dirname "$0")/.."

# Not necessarily .venv: a lock that cannot be installed has to be repaired with this script, too.
for uv in "$(command -v uv || true)" .venv/bin/uv build/uv/bin/uv; do
    [ ! -x "$uv" ] || break
done
if [ ! -x "$uv" ]; then
    "${PYTHON:-python3}" -m venv build/uv
    build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv
fi

# The file is also used as constraints, which may not have extras; and it must not name whatever index, mirror or
# folder this machine takes its packages from.
"$uv" pip compile pyproject.toml \
    --all-extras --universal --python-version 3.10 --no-python-downloads \
    --strip-extras --no-emit-index-url --no-emit-find-links --no-sources \
    --annotation-style line --custom-compile-command "make lock" \
    --output-file requirements.lock --quiet "$@"
echo "requirements.lock: $(grep -c '^[a-zA-Z]' requirements.lock) pins"
