#!/bin/bash
# Runs all tests of the package. What fails is run once more, alone: many tests have real servers,
# browsers and clocks, which a busy machine can keep waiting. A test that passes only then is named at
# the end, as "passed the second time: NAME"; more than a few failures are not tried again.
#   tools/test.sh
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
most=4
log=$(mktemp)
trap 'rm -f "$log"' EXIT

cargo test --locked --no-fail-fast -- --show-output 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
[ "$status" -ne 0 ] || exit 0
# The names that stand alone below "failures:", before the result of their program.
mapfile -t failed < <(
  awk '/^failures:$/ { n = 0; next } /^    [^ ]+$/ { name[n++] = $1; next }
    /^test result: FAILED/ { for (i = 0; i < n; i++) print name[i] } /^test result/ { n = 0 }' "$log"
)
# Not all are tests with a name: it did not build, a program ended before its time, a doc test failed.
counted=$(awk '/^test result: FAILED/ { sum += $6 } END { print sum + 0 }' "$log")
programs=$(grep -c '^test result: FAILED' "$log")
if [ "${#failed[@]}" -eq 0 ] || [ "${#failed[@]}" -gt "$most" ] ||
  [ "${#failed[@]}" -ne "$counted" ] ||
  [ "$programs" -ne "$(grep -c '^error: .* failed, to rerun pass' "$log")" ]; then
  exit "$status"
fi
echo "once more, alone: ${failed[*]}"
cargo test --locked -- --show-output --exact --test-threads 1 "${failed[@]}" || exit 1
printf 'passed the second time: %s\n' "${failed[@]}"
