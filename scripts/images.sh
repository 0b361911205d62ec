#!/usr/bin/env bash
# scripts/images.sh [--present]: the images that the tests use, built from Debian packages, only where they are missing.
# With --present: exit 0 if all are there, and build nothing.
#   orchestrator/busybox:test   2 MB: sh, httpd, nc; no bash
#   orchestrator/python:test    119 MB: Debian with python3 (also as `python`) and bash
#   orchestrator/user:test      the busybox one with a user of its own: uid 1000
#   orchestrator/noshell:test   only /httpd: no shell, no passwd, no command
set -euo pipefail
images=(busybox user noshell python)

there() { docker image inspect "orchestrator/$1:test" >/dev/null 2>&1; }
if [ "${1:-}" = --present ]; then
  command -v docker >/dev/null 2>&1 || exit 1
  for image in "${images[@]}"; do there "$image" || exit 1; done
  exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

import() { # image folder [change…]: the folder's content becomes the image
  local image=$1 folder=$2 changes=()
  shift 2
  for change in "$@"; do changes+=(--change "$change"); done
  tar -C "$folder" --numeric-owner -c . | docker import "${changes[@]}" - "orchestrator/$image:test" >/dev/null
  echo "built orchestrator/$image:test" >&2
}

static_busybox() {
  local path
  path=$(command -v busybox) || { echo "cannot build images: install busybox-static" >&2; exit 1; }
  if ldd "$path" >/dev/null 2>&1; then echo "cannot build images: $path is not static; install busybox-static" >&2; exit 1; fi
  echo "$path"
}

busybox_root() { # folder [passwd line]
  mkdir -p "$1"/{bin,etc,root,home,var}
  install -d -m 1777 "$1/tmp"
  cp "$(static_busybox)" "$1/bin/busybox"
  local applet
  for applet in $("$1/bin/busybox" --list); do
    [ "$applet" = busybox ] || ln -s busybox "$1/bin/$applet"
  done
  printf 'root:x:0:0:root:/root:/bin/sh\n%s' "${2:-}" >"$1/etc/passwd"
  printf 'root:x:0:\n%s' "${3:-}" >"$1/etc/group"
}

build_busybox() {
  busybox_root "$work/busybox"
  import busybox "$work/busybox" 'CMD ["/bin/sh"]'
}

build_user() {
  busybox_root "$work/user" $'model:x:1000:1001:model:/home/model:/bin/sh\n' $'model:x:1001:\n'
  import user "$work/user" 'USER model' 'CMD ["/bin/sh"]'
}

build_noshell() {
  mkdir -p "$work/noshell"
  cp "$(static_busybox)" "$work/noshell/httpd"
  import noshell "$work/noshell" 'ENTRYPOINT ["/httpd"]' 'CMD ["-f", "-p", "8000"]'
}

build_python() {
  local codename mirror
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  mirror=$(apt-get indextargets --format '$(RELEASE) $(SITE)' | awk -v c="$codename" '$1 == c {print $2; exit}')
  echo "building orchestrator/python:test from Debian packages (about a minute)" >&2
  debootstrap --variant=minbase --include=python3 "$codename" "$work/python" "$mirror" >"$work/debootstrap.log" 2>&1 \
    || { tail -n 20 "$work/debootstrap.log" >&2; exit 1; }
  ln -s python3 "$work/python/usr/bin/python"
  rm -rf "$work"/python/var/cache/apt/archives/*.deb "$work"/python/var/lib/apt/lists/* "$work"/python/usr/share/{doc,locale,man}
  import python "$work/python" 'CMD ["/bin/bash"]'
}

for image in "${images[@]}"; do there "$image" || "build_$image"; done
