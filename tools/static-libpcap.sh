#!/bin/sh
# Builds a libpcap to link statically with musl, from Debian's source package, for static release binaries.
# Usage: tools/static-libpcap.sh FOLDER; then LIBPCAP_LIBDIR=FOLDER cargo build --target x86_64-unknown-linux-musl
# Runs as root on Debian, for the architecture of the machine.
set -eu
[ $# = 1 ] || { echo "usage: tools/static-libpcap.sh FOLDER" >&2; exit 2; }
command -v apt-get >/dev/null 2>&1 || { echo "this needs Debian's apt-get and sources" >&2; exit 1; }
mkdir -p "$1"
out="$(cd "$1" && pwd)"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
  musl-tools gcc make flex bison dpkg-dev linux-libc-dev >/dev/null

# Sources come from a list of their own; the lists of the machine stay as they are.
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial"
# shellcheck source=/dev/null
codename="$(. /etc/os-release && echo "$VERSION_CODENAME")"
echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $codename main" >"$work/sources.list"
apt() {
  apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$work/lists" -o Dir::Cache::srcpkgcache= -o Dir::Cache::pkgcache= \
    -o APT::Sandbox::User=root "$@"
}
apt update
(cd "$work" && apt source --download-only libpcap && dpkg-source --no-check -x libpcap_*.dsc source >/dev/null)

cd "$work/source"
# musl has no headers of the kernel; those of Debian come after its own.
machine="$(uname -m)"
./configure --quiet CC=musl-gcc CFLAGS="-O2 -fPIC -idirafter /usr/include -idirafter /usr/include/$machine-linux-gnu" \
  --disable-shared --disable-dbus --disable-bluetooth --disable-usb --disable-netmap --disable-rdma \
  --without-libnl --without-dag --without-septel --without-snf --without-turbocap >/dev/null
make -s -j"$(nproc)" libpcap.a >/dev/null
cp libpcap.a "$out/"
ls -l "$out/libpcap.a"
