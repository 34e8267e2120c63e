#!/bin/bash
# Fuzzes one target, or each in turn, until it has used so many seconds of CPU time.
#   tools/fuzz.sh                            what there is to fuzz, and for how long it was
#   tools/fuzz.sh TARGET [SECONDS]           one target, 600 seconds unless said otherwise
#   tools/fuzz.sh all [SECONDS] [TARGET...]  each in turn, or these, at idle priority
#   tools/fuzz.sh build                      builds them and ends
# A target is a program of fuzz/fuzz_targets, or dissect:PROTOCOL for one protocol of the list. Needs
# the stable toolchain and a C++ compiler. What came of it goes into the table of fuzz/LOG.md, after
# each slice of time: "all" leaves out what has its seconds there since its source last changed, and
# goes on where it ended when it is started again. SIGSTOP to its process group makes it wait.
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
# CPU seconds that one input may take.
slowest=10
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

# The source that a target is about, besides its own.
rooms() {
  case $1 in
    archive) echo src/investigate src/capture ;;
    capture) echo src/capture src/packet/savefile ;;
    dissect:http2 | hpack) echo src/dissect/http/h2 ;;
    dissect:quic) echo src/dissect/tls/quic ;;
    dissect:tcp-* | dissect:udp-*) echo src/dissect/flows ;;
    dissect:*) echo "src/dissect/${1#*:}" ;;
    headers) echo src/packet ;;
    key_log | tls) echo src/dissect/tls ;;
    kfl | kfl_parse) echo src/kfl ;;
    link) echo src/hub/{frame,message,ask,state,targeted,difference,following}.rs ;;
    manifest) echo src/record/manifest.rs src/record/states.rs ;;
    names) echo src/resolve ;;
    reassembly) echo src/flow ;;
    savefile) echo src/packet/savefile ;;
    state) echo src/dissect ;;
    stream) echo src/packet src/flow ;;
    wire) echo src/script/wire ;;
    *) echo src ;;
  esac
}

# A short hash of that source without tests and comments.
source_of() {
  local -a files
  mapfile -t files < <(
    # shellcheck disable=SC2046
    find $(rooms "$1") "fuzz/fuzz_targets/${1%%:*}.rs" -name '*.rs' \
      ! -name tests.rs ! -name captures.rs ! -path '*/tests/*' | LC_ALL=C sort
  )
  cat "${files[@]}" | sed '/^ *\/\//d' | sha256sum | cut -c 1-8
}

# The columns of a target's line in the table when it is of the present source, else zeros.
noted() {
  local runs=0 used=0 cov=0 ft=0 corp=0 findings=0 source=""
  if [ -e "$log" ]; then
    read -r runs used cov ft corp findings source < <(
      grep -F "| \`$1\` |" "$log" | tr -d '|' | cut -d '`' -f 3
    ) || true
  fi
  if [ "$source" = "${sources[$1]}" ]; then
    echo "$runs $used $cov $ft $corp $findings"
  else
    echo 0 0 0 0 0 0
  fi
}

# Replaces the line of a target in the table.
note() {
  (
    flock 9
    [ -e "$log" ] || cp fuzz/LOG.md "$log"
    {
      sed '/^|---/q' "$log"
      { sed '1,/^|---/d' "$log" | grep -vF "| \`$1\` |" || true; echo "$2"; } | LC_ALL=C sort
    } > "$log.new"
    mv "$log.new" "$log"
  ) 9> "$home/lock"
}

# Fuzzes a target until its line in the table has so many seconds.
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
  local runs used cov ft corp earlier before found=0 spent stats slow
  read -r runs used cov ft corp earlier < <(noted "$target")
  before=$(find "$findings" -type f | wc -l)
  while [ "${used%.*}" -lt "$seconds" ] && [ "$found" -lt "$most_findings" ]; do
    local TIMEFORMAT=%U left=$((seconds - ${used%.*}))
    # A process that waits for a processor, or for SIGCONT, makes an input look slow, hence the
    # generous limit by the clock and the strict one of CPU time below.
    spent=$( { time TAPEDECK_FUZZ_PROTOCOL="$protocol" "$bin/$program" "${folders[@]}" \
      -artifact_prefix="$findings/" -max_total_time=$((left < slice ? left : slice)) -max_len=16384 -timeout=60 \
      -rss_limit_mb=2048 -print_final_stats=1 > "$output" 2>&1 || true; } 2>&1 )
    used=$(echo "$used + $spent" | bc | sed "s/^\./0./")
    stats=$(sed -n 's/^stat::number_of_executed_units: *//p' "$output")
    runs=$((runs + ${stats:-0}))
    read -r cov ft corp < <(grep -o 'cov: [0-9]* ft: [0-9]* corp: [0-9]*' "$output" | tail -n 1 \
      | awk '{ print $2, $4, $6 }') || true
    for slow in "$findings"/timeout-* "$findings"/slow-unit-*; do
      [ -e "$slow" ] || continue
      ( ulimit -t "$slowest"; TAPEDECK_FUZZ_PROTOCOL="$protocol" exec "$bin/$program" -timeout=86400 "$slow" ) \
        > /dev/null 2>&1 && rm "$slow"
    done
    found=$(( $(find "$findings" -type f | wc -l) - before ))
    # A process that cannot run would be started for ever.
    [ -n "$stats" ] || [ "$found" -gt 0 ] || {
      echo "$target did not run; its output is in $output" >&2
      return 1
    }
    note "$target" "| \`$target\` | $runs | ${used%.*} | $cov | $ft | $corp | $((earlier + found)) | ${sources[$target]} |"
  done
  echo "$target: $runs runs, ${used%.*} s of CPU time, $cov edges, $corp inputs kept, $((earlier + found)) findings"
  if [ "$found" -gt 0 ]; then
    echo "the inputs are in $findings; $bin/$program FILE runs one again${protocol:+ (with TAPEDECK_FUZZ_PROTOCOL=$protocol)}"
    return 1
  fi
}

# Each target in turn; one that another process is at is left to it.
all() {
  local seconds=$1 status=0 target
  shift
  chrt --idle --pid 0 $$ > /dev/null 2>&1 || renice -n 19 -p $$ > /dev/null
  ionice -c 3 -p $$ 2> /dev/null || true
  # Idle is idle among the processes of its own session alone, where the kernel groups them so.
  echo 19 2> /dev/null > /proc/$$/autogroup || true
  for target in "$@"; do
    exec {taken}> "$home/${target/:/-}.lock"
    if flock -n "$taken"; then fuzz "$target" "$seconds" || status=1; fi
    exec {taken}>&-
  done
  return $status
}

command -v bc > /dev/null || { echo "bc is missing: install it and run this again" >&2; exit 1; }
mkdir -p "$home"
build
[ "${1:-}" != build ] || exit 0
# What is in the programs, whatever becomes of the files meanwhile.
declare -A sources
for target in $(targets); do sources[$target]=$(source_of "$target"); done
known=$(printf '%s\n' "${!sources[@]}" | LC_ALL=C sort)

check() {
  [ -n "${sources[$1]:-}" ] || {
    echo "$1 is no target; without arguments this prints them" >&2
    exit 2
  }
}

case "${1:-}" in
  "")
    for target in $known; do
      read -r _ used _ < <(noted "$target")
      echo "$target $used"
    done
    ;;
  all)
    seconds="${2:-600}"
    shift $(($# < 2 ? $# : 2))
    for target in "$@"; do check "$target"; done
    # shellcheck disable=SC2048,SC2086
    all "$seconds" ${*:-$known}
    ;;
  *)
    check "$1"
    read -r _ used _ < <(noted "$1")
    fuzz "$1" $((used + ${2:-600}))
    ;;
esac
