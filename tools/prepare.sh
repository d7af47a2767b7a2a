#!/usr/bin/env bash
# Everything a bare Debian or Ubuntu machine lacks to build, run and test Muster. Safe to run again; quick when nothing is missing.
#   tools/prepare.sh run    what the quickstart and the lab need
#   tools/prepare.sh test   that, and what the tests need
set -euo pipefail
cd "$(dirname "$0")/.."
goal=${1:-run}

say() { printf '%s\n' "$*" >&2; }

[ "$(uname -s)" = Linux ] || { say "Muster runs containers with Linux kernel features; this is $(uname -s)."; exit 1; }
[ "$(id -u)" = 0 ] || { say "Run as root: namespaces, mounts and networks need it (sudo npm run ...)."; exit 1; }
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
  { say "Node $(node -v) is too old: Muster needs 20.19 or newer."; exit 1; }

packages=()
need() { command -v "$1" > /dev/null 2>&1 || packages+=("$2"); }
need make make
need cc gcc
need ip iproute2
need nsenter util-linux
need mount mount
need nft nftables
[ -x /bin/busybox ] || [ -x /usr/bin/busybox ] || packages+=(busybox-static)
if ! command -v musl-gcc > /dev/null 2>&1 && ! [ -e /usr/include/stdio.h ]; then packages+=(libc6-dev); fi
if [ "$goal" = test ]; then
  need musl-gcc musl-tools
  need jq jq
  need docker-registry docker-registry
  need docker docker.io
fi
if [ ${#packages[@]} -gt 0 ]; then
  say "Installing Debian packages: ${packages[*]}"
  command -v apt-get > /dev/null 2>&1 || { say "This is not Debian or Ubuntu: install them by hand."; exit 1; }
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y -qq --no-install-recommends "${packages[@]}" > /dev/null 2>&1 < /dev/null || {
    apt-get update -qq < /dev/null
    apt-get install -y -qq --no-install-recommends "${packages[@]}" > /dev/null < /dev/null
  }
fi

# npm leaves a stamp of the lock file it installed; a newer lock file means: install again.
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  say 'Installing npm packages'
  timeout 900 npm ci --no-audit --no-fund --ignore-scripts --loglevel=error < /dev/null
fi
if [ "$goal" = test ] && [ ! -x tools/node_modules/.bin/biome ]; then
  say 'Installing linters'
  timeout 900 npm run -s tools < /dev/null
fi
