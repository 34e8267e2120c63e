#!/bin/sh
# Installs what a build needs and is missing: a C compiler, make, libpcap's headers.
set -eu
missing=""
command -v cc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
[ -e /usr/include/pcap/pcap.h ] || missing="$missing libpcap-dev"
command -v cargo >/dev/null 2>&1 || [ -x "$HOME/.cargo/bin/cargo" ] || {
  echo "cargo is missing: install Rust 1.95 or later (https://rustup.rs), then run this again" >&2
  exit 1
}
[ -z "$missing" ] && exit 0
if ! command -v apt-get >/dev/null 2>&1; then
  echo "please install with your system's package manager:$missing, then run this again" >&2
  exit 1
fi
as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo"
$as_root apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing
