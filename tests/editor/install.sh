#!/usr/bin/env bash
# Installs the language server that the tests of editors talk to; Node.js and npm too, on Debian and its relatives.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if ! command -v npm >/dev/null; then
  command -v apt-get >/dev/null || { echo "install by hand: nodejs npm" >&2; exit 1; }
  [[ $(id -u) == 0 ]] && as_root=() || as_root=(sudo)
  export DEBIAN_FRONTEND=noninteractive
  "${as_root[@]}" apt-get -qq update
  "${as_root[@]}" apt-get -qq install -y --no-install-recommends nodejs npm >/dev/null
fi

npm ci --silent
