#!/bin/bash
# Fuzzes one target, or each in turn, until it has used so many seconds of CPU time.
#   tools/fuzz.sh                       what there is to fuzz
#   tools/fuzz.sh TARGET [SECONDS]      one target, 600 seconds unless said otherwise
#   tools/fuzz.sh all [SECONDS]         each in turn
# A target is a program of fuzz/fuzz_targets, or dissect:PROTOCOL for one protocol of the list. Needs
# the stable toolchain and a C++ compiler. What came of it goes into the table of fuzz/LOG.md.
#
#   TAPEDECK_FUZZ_DIR   corpora and findings; $HOME/.cache/tapedeck/fuzz
#   TAPEDECK_FUZZ_BIN   a folder with built targets; nothing is built then
#   TAPEDECK_FUZZ_LOG   another table
set -euo pipefail
cd "$(dirname "$0")/.."
home="${TAPEDECK_FUZZ_DIR:-$HOME/.cache/tapedeck/fuzz}"
log="${TAPEDECK_FUZZ_LOG:-fuzz/LOG.md}"
# A process has so much time by the clock, then another one goes on with its corpus.
slice=120
# Findings after which a target is left alone: what it finds now hides the rest.
most_findings=3

build() {
  local host
  host=$(rustc -vV | sed -n 's/^host: //p')
  bin="${TAPEDECK_FUZZ_BIN:-$home/target/$host/release}"
  [ -z "${TAPEDECK_FUZZ_BIN:-}" ] || return 0
  # What cargo-fuzz passes for a run without a sanitizer: the project has no unsafe code that one
  # would watch, and these flags need no nightly toolchain.
  local pass="-Cpasses=sancov-module"
  for flag in coverage-level=4 coverage-inline-8bit-counters coverage-pc-table coverage-trace-compares; do
    pass="$pass -Cllvm-args=-sanitizer-$flag"
  done
  # The versions that the project itself is built with.
  cp Cargo.lock fuzz/Cargo.lock
  # The target is named so that build scripts are built without the flags.
  CARGO_TARGET_DIR="$home/target" RUSTFLAGS="--cfg fuzzing $pass" \
    cargo build --manifest-path fuzz/Cargo.toml --release --target "$host"
}

targets() {
  local target
  for target in fuzz/fuzz_targets/*.rs; do
    target=$(basename "$target" .rs)
    case $target in
      dissect) TAPEDECK_FUZZ_PROTOCOL=list "$bin/dissect" 2>/dev/null | sed 's/^/dissect:/' ;;
      *) echo "$target" ;;
    esac
  done
}

# Replaces the line of a target in the table.
note() {
  (
    flock 9
    [ -e "$log" ] || cp fuzz/LOG.md "$log"
    {
      sed '/^|---/q' "$log"
      { sed '1,/^|---/d' "$log" | grep -vF "| \`$1\` |" || true; echo "$2"; } | sort
    } > "$log.new"
    mv "$log.new" "$log"
  ) 9> "$home/lock"
}

fuzz() {
  local target=$1 seconds=$2
  local program=${target%%:*} protocol=""
  case $target in *:*) protocol=${target#*:} ;; esac
  local name=${target/:/-}
  local corpus="$home/corpus/$name" findings="$home/findings/$name" output="$home/$name.log"
  mkdir -p "$corpus" "$findings"
  local seeds="fuzz/seeds/$program${protocol:+/$protocol}"
  local -a folders=("$corpus")
  [ -d "$seeds" ] && folders+=("$seeds")
  local before runs=0 used=0 cov=0 ft=0 corp=0
  before=$(find "$findings" -type f | wc -l)
  local found=0 spent stats slow
  while [ "${used%.*}" -lt "$seconds" ] && [ "$found" -lt "$most_findings" ]; do
    local TIMEFORMAT=%U left=$((seconds - ${used%.*}))
    spent=$( { time TAPEDECK_FUZZ_PROTOCOL="$protocol" "$bin/$program" "${folders[@]}" \
      -artifact_prefix="$findings/" -max_total_time=$((left < slice ? left : slice)) -max_len=16384 -timeout=10 \
      -rss_limit_mb=2048 -print_final_stats=1 > "$output" 2>&1 || true; } 2>&1 )
    used=$(echo "$used + $spent" | bc)
    stats=$(sed -n 's/^stat::number_of_executed_units: *//p' "$output")
    runs=$((runs + ${stats:-0}))
    read -r cov ft corp < <(grep -o 'cov: [0-9]* ft: [0-9]* corp: [0-9]*' "$output" | tail -n 1 \
      | awk '{ print $2, $4, $6 }') || true
    # Time is taken by the clock, and a process may have been paused: what ends the second time is none.
    for slow in "$findings"/timeout-*; do
      [ -e "$slow" ] || continue
      TAPEDECK_FUZZ_PROTOCOL="$protocol" "$bin/$program" -timeout=10 "$slow" > /dev/null 2>&1 && rm "$slow"
    done
    found=$(( $(find "$findings" -type f | wc -l) - before ))
    # A process that cannot run would be started for ever.
    [ -n "$stats" ] || [ "$found" -gt 0 ] || {
      echo "$target did not run; its output is in $output" >&2
      return 1
    }
  done
  note "$target" "| \`$target\` | $runs | ${used%.*} | $cov | $ft | $corp | $found |"
  echo "$target: $runs runs, ${used%.*} s of CPU time, $cov edges, $corp inputs kept, $found findings"
  if [ "$found" -gt 0 ]; then
    echo "the inputs are in $findings; $bin/$program FILE runs one again${protocol:+ (with TAPEDECK_FUZZ_PROTOCOL=$protocol)}"
    return 1
  fi
}

command -v bc > /dev/null || { echo "bc is missing: install it and run this again" >&2; exit 1; }
mkdir -p "$home"
build
case "${1:-}" in
  "") targets ;;
  all)
    status=0
    for target in $(targets); do fuzz "$target" "${2:-600}" || status=1; done
    exit $status
    ;;
  *)
    known=$(targets)
    grep -qxF "$1" <<< "$known" || [ "$1" = dissect ] || {
      echo "$1 is no target; without arguments this prints them" >&2
      exit 2
    }
    fuzz "$1" "${2:-600}"
    ;;
esac
