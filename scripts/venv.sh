#!/usr/bin/env bash
# scripts/venv.sh PYTHON LOCK: makes .venv hold exactly what LOCK pins, and this project (editable). Safe to repeat.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3} lock=${2:-requirements/run.lock} venv=.venv

missing=()
need() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }
need "$python" python3
need make make
need git git
need curl curl
"$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || missing+=(python3-venv)
if [ ${#missing[@]} -gt 0 ]; then
  echo "cannot set up $venv: ${missing[*]} missing. Run:  apt-get update && apt-get install -y ${missing[*]}" >&2
  exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "cannot set up $venv: $("$python" --version) is too old, 3.11 or newer is needed. Run:  make PY=/path/to/python3.11" >&2
  exit 1
fi

# A folder that was moved, or whose Python is gone, does not start any more: made anew.
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear "$venv"

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1
pip() { "$venv/bin/python" -m pip -qq "$@"; }
echo "installing $lock into $venv" >&2
pip install --require-hashes --no-deps -r "$lock"

# The build backend is not in run.lock; its versions are those of the development lock, wherever it comes from.
pins=$(mktemp)
trap 'rm -f "$pins"' EXIT
grep -o '^[a-z0-9-]*==[^ ;]*' requirements/dev.lock >"$pins"
PIP_CONSTRAINT=$pins pip install --no-deps --editable .
