#!/bin/sh
# Builds and tests what the cargo feature `sql` adds, unless it passed with the same inputs before:
# its engine takes long to compile. The stamp lies in $TAPEDECK_STAMPS, beside the build's cache;
# delete it, or say `tools/test-sql.sh --always`, to test all the same.
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
# Over a few rows the engine need not be fast, and unoptimised it compiles in half the time.
unoptimised="$(sed -n 's/^name = "\(datafusion[a-z-]*\|sqlparser\|arrow\|arrow-\(cast\|csv\|ipc\|json\|row\|string\)\)"$/--config profile.dev.package.\1.opt-level=0/p' Cargo.lock | sort -u)"
# shellcheck disable=SC2086
cargo test --locked --features sql $unoptimised --lib -- sql:: --show-output
# shellcheck disable=SC2086
cargo test --locked --features sql $unoptimised --test main -- sql:: --show-output
mkdir -p "$stamps"
echo "$now" >"$stamps/sql"
