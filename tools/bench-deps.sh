#!/bin/sh
# Installs what `make bench` needs and is missing: the servers and load generators that make the
# traffic, the programs that tapedeck is run beside, and grpcio from PyPI in a folder of its own.
set -eu
cache="${TAPEDECK_BENCH:-$HOME/.cache/tapedeck/bench}"
mkdir -p "$cache"
missing=""
want() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"; }
want nginx nginx-light
want wrk wrk
want unbound unbound
want dnsperf dnsperf
want redis-server redis-server
want redis-benchmark redis-tools
want tcpdump tcpdump
want tshark tshark
want editcap wireshark-common
want ndpiReader libndpi-bin
want tcpflow tcpflow
want unshare util-linux
want python3 python3-venv
[ -x /usr/bin/time ] || missing="$missing time"
as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo"
if [ -n "$missing" ]; then
  command -v apt-get >/dev/null 2>&1 || { echo "please install:$missing, then run this again" >&2; exit 1; }
  $as_root apt-get update -qq
  # Debian starts services on installation; the traffic comes from servers of its own.
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 $as_root apt-get install -y -qq --no-install-recommends $missing
fi
# Debian 12 has Suricata among its backports only. The source is named for these two commands alone;
# where there is none, the table says that it was not run.
if ! command -v suricata >/dev/null 2>&1 && grep -q '^VERSION_CODENAME=bookworm' /etc/os-release; then
  sources=$(mktemp)
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm-backports main" > "$sources"
  chmod 644 "$sources"
  $as_root apt-get -o Dir::Etc::sourcelist="$sources" update -qq &&
    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 $as_root apt-get -o Dir::Etc::sourcelist="$sources" \
      install -y -qq --no-install-recommends -t bookworm-backports suricata ||
    echo "Suricata cannot be installed here and is left out" >&2
  rm -f "$sources"
fi
"$cache/venv/bin/python" -c 'import grpc' 2>/dev/null || {
  python3 -m venv "$cache/venv"
  "$cache/venv/bin/pip" install -q grpcio==1.85.3
}
