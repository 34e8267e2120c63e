#!/bin/sh
# Names the image of a release in the chart. Programs hold the chart, so this comes before they are built.
#
#   tools/chart-image.sh IMAGE [DIGEST]              writes it into files/image.yaml of the chart
#   tools/chart-image.sh --in FILE IMAGE [DIGEST]    fails when the chart in a program or a .tgz has another one
#
# CHART is the folder of the chart, deploy/helm/tapedeck unless set.
set -eu
die() {
  echo "chart-image.sh: $1" >&2
  exit "${2:-1}"
}
chart="${CHART:-deploy/helm/tapedeck}"
file=""
if [ "${1:-}" = --in ]; then
  file="${2:-}"
  [ -f "$file" ] || die "no such file: '$file'" 2
  shift 2
fi
image="${1:-}"
digest="${2:-}"
case "$image" in
  "" | -* | *[!a-z0-9./:_-]*) die "not the name of an image: '$image'" 2 ;;
esac
case "$digest" in
  "") ;;
  sha256:*[!0-9a-f]*) die "not a digest: '$digest'" 2 ;;
  sha256:*) [ "${#digest}" -eq 71 ] || die "not a digest: '$digest'" 2 ;;
  *) die "not a digest: '$digest'" 2 ;;
esac

lines() {
  echo "# The image where the values name none; tools/chart-image.sh writes that of a release."
  echo "repository: $image"
  echo "digest: \"$digest\""
}
if [ -z "$file" ]; then
  lines >"$chart/files/image.yaml"
  exit 0
fi
# A program holds the files of the chart as they are, so each line of them is a line of the program.
case "$file" in
  *.tgz) text() { tar -xzOf "$file" tapedeck/files/image.yaml; } ;;
  *) text() { cat "$file"; } ;;
esac
for line in "repository: $image" "digest: \"$digest\""; do
  # All is read, so that no end of a pipe is gone early.
  text | LC_ALL=C grep -axF -- "$line" >/dev/null || die "the chart in $file does not say $line"
done
