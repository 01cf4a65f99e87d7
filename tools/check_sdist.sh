#!/usr/bin/env bash
# check_sdist.sh FOLDER: build the source distribution into FOLDER; prove that it is reproducible and complete.
#
# Two builds, one of them from the unpacked first, have the same bytes; a wheel is built from it without the network and
# without git. Needs `build` and the project's build requirements in the environment.
set -euo pipefail
out=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_NO_INDEX=1 PIP_DISABLE_PIP_VERSION_CHECK=1
python -m build -q --sdist --no-isolation -o "$out" .
sdist=$(echo "$out"/quantnn-*.tar.gz)
tar -xf "$sdist" -C "$work"
cd "$work"/quantnn-*
python -m build -q --sdist --no-isolation -o "$work/again" .
cmp "$sdist" "$work"/again/*.tar.gz
python -m pip wheel -q --no-build-isolation --no-deps -w "$work/wheel" .
python tools/check_wheel.py "$work/wheel"
echo "$(basename "$sdist"): reproducible and complete"
