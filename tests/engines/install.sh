#!/usr/bin/env bash
# Installs what Python packages of engines do not bring, on Debian and its relatives.
set -euo pipefail

packages=()
[[ -n $(shopt -s nullglob; echo /usr/lib/postgresql/*/bin/initdb) ]] || packages+=(postgresql)
command -v java >/dev/null || packages+=(openjdk-17-jre-headless)

if ((${#packages[@]})); then
  command -v apt-get >/dev/null || { echo "install by hand: ${packages[*]}" >&2; exit 1; }
  [[ $(id -u) == 0 ]] && as_root=() || as_root=(sudo)
  export DEBIAN_FRONTEND=noninteractive
  "${as_root[@]}" apt-get -qq update
  "${as_root[@]}" apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null
fi
