#!/usr/bin/env bash
# Installs the browser and the accessibility checks that the tests of pages use, on Debian and its relatives.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

packages=()
command -v chromium >/dev/null || packages+=(chromium)
command -v chromedriver >/dev/null || packages+=(chromium-driver)
command -v npm >/dev/null || packages+=(npm)

if ((${#packages[@]})); then
  command -v apt-get >/dev/null || { echo "install by hand: ${packages[*]}" >&2; exit 1; }
  [[ $(id -u) == 0 ]] && as_root=() || as_root=(sudo)
  export DEBIAN_FRONTEND=noninteractive
  "${as_root[@]}" apt-get -qq update
  "${as_root[@]}" apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null
fi

npm ci --ignore-scripts --no-audit --no-fund --silent
