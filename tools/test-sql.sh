#!/bin/sh
# Builds and tests what the cargo feature `sql` adds, unless it passed with the same inputs before:
# its engine takes long to compile. The stamps lie in $TAPEDECK_STAMPS, beside the build's cache;
# `tools/test-sql.sh --always` tests all the same, `--if-built` only where the engine was compiled
# before, so that a cold cache costs no half an hour.
set -eu
cd "$(dirname "$0")/.."
stamps="${TAPEDECK_STAMPS:-$HOME/.cache/tapedeck/stamps}"
target="${CARGO_TARGET_DIR:-target}"
# What its answers depend on: itself, what it reads with, and the versions of everything.
inputs="Cargo.toml Cargo.lock tools/test-sql.sh tests/main.rs tests/lake.rs tests/sql.rs \
  src/sql src/index src/investigate src/record src/kfl src/item src/cli/query src/cli/source.rs"
hash() { sha256sum | cut -d ' ' -f 1; }
# shellcheck disable=SC2086
now="$( (rustc -V; find $inputs -type f | LC_ALL=C sort | xargs sha256sum) | hash)"
if [ "${1:-}" != --always ] && [ "$(cat "$stamps/sql" 2>/dev/null)" = "$now" ]; then
  echo "SQL passed its tests with these inputs before ($stamps/sql)"
  exit 0
fi
# The engine alone: what it takes to compile it anew.
engine="$( (rustc -V; echo "$target"; grep -A 2 '^name = "\(datafusion\|arrow\|parquet\|sqlparser\)' Cargo.lock) | hash)"
if [ "${1:-}" = --if-built ] && { [ "$(cat "$stamps/sql-engine" 2>/dev/null)" != "$engine" ] || [ ! -d "$target" ]; }; then
  echo "skipped: the engine of SQL is not compiled yet; make test-sql does that once (half an hour)"
  exit 0
fi
# Over a few rows the engine need not be fast, and unoptimised it compiles in half the time.
unoptimised="$(sed -n 's/^name = "\(datafusion[a-z-]*\|sqlparser\|arrow\|arrow-\(cast\|csv\|ipc\|json\|row\|string\)\)"$/--config profile.dev.package.\1.opt-level=0/p' Cargo.lock | sort -u)"
# shellcheck disable=SC2086
cargo test --locked --features sql $unoptimised --lib -- sql:: --show-output
mkdir -p "$stamps"
echo "$engine" >"$stamps/sql-engine"
# shellcheck disable=SC2086
cargo test --locked --features sql $unoptimised --test main -- sql:: --show-output
echo "$now" >"$stamps/sql"
