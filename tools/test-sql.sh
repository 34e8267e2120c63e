#!/bin/sh
# Builds and tests what the cargo feature `sql` adds, unless it passed with the same inputs before:
# its engine takes half an hour of one core to compile. The stamp lies in $TAPEDECK_STAMPS, beside
# the build's cache; delete it, or say `tools/test-sql.sh --always`, to test all the same.
set -eu
cd "$(dirname "$0")/.."
stamps="${TAPEDECK_STAMPS:-$HOME/.cache/tapedeck/stamps}"
# What its answers depend on: itself, what it reads with, and the versions of everything.
inputs="Cargo.toml Cargo.lock tools/test-sql.sh tests/main.rs tests/lake.rs tests/sql.rs \
  src/sql src/index src/investigate src/record src/kfl src/item src/cli/query src/cli/source.rs"
# shellcheck disable=SC2086
now="$( (rustc -V; find $inputs -type f | LC_ALL=C sort | xargs sha256sum) | sha256sum | cut -d ' ' -f 1)"
if [ "${1:-}" != --always ] && [ "$(cat "$stamps/sql" 2>/dev/null)" = "$now" ]; then
  echo "SQL passed its tests with these inputs before ($stamps/sql)"
  exit 0
fi
cargo clippy --locked --features sql --lib --bins --test main -- -D warnings
cargo test --locked --features sql --lib -- sql:: --show-output
cargo test --locked --features sql --test main -- sql:: --show-output
mkdir -p "$stamps"
echo "$now" >"$stamps/sql"
