#!/bin/sh
# Installs a released tapedeck, when its checksum is right.
# Usage: install.sh [--version VERSION] [--to FOLDER]
#   --version  without it the newest
#   --to       without it /usr/local/bin for root, else ~/.local/bin
# TAPEDECK_RELEASES names the address of the releases; the released copy of this script has it.
set -eu

main() {
  releases="${TAPEDECK_RELEASES:-@RELEASES@}"
  version=""
  to=""
  while [ $# -gt 0 ]; do
    case "$1" in
      --version) [ $# -ge 2 ] || fail "--version needs a version, as 1.2.3"; version="${2#v}"; shift 2 ;;
      --to) [ $# -ge 2 ] || fail "--to needs a folder"; to="$2"; shift 2 ;;
      *) fail "unknown argument $1; usage: install.sh [--version VERSION] [--to FOLDER]" ;;
    esac
  done
  case "$releases" in
    @*) fail "set TAPEDECK_RELEASES to the address of the releases, or take install.sh from a release" ;;
  esac
  command -v curl >/dev/null 2>&1 || fail "curl is missing; install it, then run this again"
  platform="${TAPEDECK_PLATFORM:-$(platform)}"
  if [ -z "$version" ]; then
    newest="$(curl -fsSLI -o /dev/null -w '%{url_effective}' "$releases/latest")" ||
      fail "the newest version cannot be found at $releases/latest; name one with --version"
    version="${newest##*/v}"
  fi
  case "$version" in
    "" | *[!0-9A-Za-z.+-]*) fail "$version is no version; name one with --version, as 1.2.3" ;;
  esac
  if [ -z "$to" ]; then
    if [ "$(id -u)" = 0 ]; then to=/usr/local/bin; else to="$HOME/.local/bin"; fi
  fi

  name="tapedeck-$version-$platform"
  from="$releases/download/v$version"
  case "$releases" in file:*) from="$releases/v$version" ;; esac
  work="$(mktemp -d)"
  trap 'rm -rf "$work"' EXIT
  for file in SHA256SUMS "$name.tar.gz"; do
    curl -fsSL --retry 3 -o "$work/$file" "$from/$file" ||
      fail "$from/$file cannot be fetched; is there a release $version for $platform?"
  done
  wanted="$(awk -v name="$name.tar.gz" '$2 == name || $2 == "*" name { print $1 }' "$work/SHA256SUMS")"
  [ -n "$wanted" ] || fail "SHA256SUMS does not name $name.tar.gz; nothing is installed"
  [ "$(checksum "$work/$name.tar.gz")" = "$wanted" ] ||
    fail "$name.tar.gz does not have the checksum that SHA256SUMS names; nothing is installed"
  tar -xzf "$work/$name.tar.gz" -C "$work" "$name/tapedeck"
  mkdir -p "$to"
  # Renamed into place, so that a running tapedeck keeps its file.
  cp "$work/$name/tapedeck" "$to/.tapedeck.new"
  chmod 0755 "$to/.tapedeck.new"
  mv "$to/.tapedeck.new" "$to/tapedeck"
  echo "tapedeck $version is installed as $to/tapedeck"
  case ":$PATH:" in
    *":$to:"*) ;;
    *) echo "$to is not in PATH; add it there" ;;
  esac
}

platform() {
  case "$(uname -s)" in
    Linux) system=linux ;;
    Darwin) system=macos ;;
    MINGW* | MSYS* | CYGWIN*)
      fail "for Windows, take tapedeck-VERSION-windows-amd64.zip from ${releases%/download*}, and put tapedeck.exe into a folder of PATH" ;;
    *) fail "there is no release for $(uname -s)" ;;
  esac
  case "$(uname -m)" in
    x86_64 | amd64) echo "$system-amd64" ;;
    aarch64 | arm64) echo "$system-arm64" ;;
    *) fail "there is no release for $(uname -m)" ;;
  esac
}

checksum() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum "$1"; else shasum -a 256 "$1"; fi | awk '{ print $1 }'
}

fail() {
  echo "install.sh: $1" >&2
  exit 1
}

# Whole or not at all: a script that was cut off on the way does nothing.
main "$@"
