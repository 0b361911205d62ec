#!/usr/bin/env bash
# Makes this machine able to run the tests: a Docker Engine that answers, local images, a load generator, a browser.
# An engine that already answers (DOCKER_HOST, or the default socket) is used as it is. Safe to repeat.
set -euo pipefail
cd "$(dirname "$0")/.."
home=$PWD/.run/test-host

say() { echo "test host: $*" >&2; }
fail() { say "$*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
engine() { has docker && timeout 10 docker version --format '{{.Server.Version}}' 2>/dev/null; }

install() { # packages, in one go; only on Debian (or a child of it), only as root
  [ $# -gt 0 ] || return 0
  has apt-get || fail "cannot install $*: not a Debian machine. Install them by hand (an engine may also be named by DOCKER_HOST)"
  [ "$(id -u)" = 0 ] || fail "cannot install $*: not root. Run:  sudo apt-get install -y --no-install-recommends $*"
  say "installing $*"
  local log=$home/apt.log
  export DEBIAN_FRONTEND=noninteractive
  { apt-get install -y --no-install-recommends "$@" || { apt-get update && apt-get install -y --no-install-recommends "$@"; }; } \
    >"$log" 2>&1 </dev/null || { tail -n 20 "$log" >&2; fail "cannot install $*: see above"; }
}

start_engine() { # in a session of its own: it outlives this script and the terminal
  [ "$(id -u)" = 0 ] || fail "cannot start dockerd: not root, and no engine answers on ${DOCKER_HOST:-the default socket}"
  [ -z "${DOCKER_HOST:-}" ] || fail "cannot reach the engine at DOCKER_HOST=$DOCKER_HOST: start it, or unset DOCKER_HOST"
  say "starting dockerd (log: .run/test-host/dockerd.log)"
  setsid --fork dockerd >>"$home/dockerd.log" 2>&1 </dev/null
  local deadline=$((SECONDS + 60))
  until engine >/dev/null; do
    [ $SECONDS -lt $deadline ] || { tail -n 20 "$home/dockerd.log" >&2; fail "cannot start dockerd: no answer within 60 s, see above"; }
    sleep 0.3
  done
}

mkdir -p "$home"
exec 9>"$home/lock"
flock 9 # two runs at once: the second waits, and finds everything in place

packages=()
has wrk || packages+=(wrk)
has chromium || packages+=(chromium) # the page is tested in it
has openssl || packages+=(openssl) # makes the certificates of the tests
has systemd-analyze || packages+=(systemd) # judges the units; nothing is run by it
scripts/images.sh --present || {
  has busybox || packages+=(busybox-static)
  has debootstrap || packages+=(debootstrap)
}
if ! engine >/dev/null; then
  has dockerd || packages+=(docker.io iptables)
fi
install "${packages[@]}"
has docker || install docker-cli # a package of its own from Debian 13 on
engine >/dev/null || start_engine 9>&-
scripts/images.sh
say "ready: Docker Engine $(engine)"
