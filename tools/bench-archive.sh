#!/bin/sh
# Measures what the first look into a large archive takes: an archive of a week with 10,000 reels of
# 20 nodes in a local S3 server, straight and through a proxy with 80 ms and 20 Mbit/s.
# Usage: tools/bench-archive.sh [REELS]; needs what tools/test-deps.sh installs. PROFILE=dev measures
# the unoptimised build.
set -eu
reels="${1:-10000}"
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-$HOME/.cache/tapedeck/target}"
export CARGO_TARGET_DIR="$target"
tools="${TAPEDECK_TOOLS:-$HOME/.cache/tapedeck/tools}"
work="$(mktemp -d)"
weed="" proxy=""
end() { [ -z "$weed" ] || kill "$weed"; [ -z "$proxy" ] || kill "$proxy"; wait; rm -rf "$work"; }
trap end EXIT
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

profile="${PROFILE:-release}"
built="$target/$profile"
[ "$profile" != dev ] || built="$target/debug"
cargo build --profile "$profile" --locked --bin tapedeck --bench archive
# shellcheck disable=SC2010
make="$(ls -t "$built"/deps/archive-* | grep -v '\.d$' | head -1)"
tapedeck="$built/tapedeck"

port="$(free)"
mkdir "$work/data"
cat >"$work/s3.json" <<'END'
{"identities":[{"name":"admin","credentials":[{"accessKey":"benchaccess","secretKey":"benchsecret"}],"actions":["Admin","Read","Write","List","Tagging"]}]}
END
export S3_ENDPOINT="http://127.0.0.1:$port" AWS_REGION=us-east-1
export AWS_ACCESS_KEY_ID=benchaccess AWS_SECRET_ACCESS_KEY=benchsecret XDG_CACHE_HOME="$work/cache"
(cd "$work" && exec "$tools/venv/bin/weed" mini -ip=127.0.0.1 -ip.bind=127.0.0.1 -dir="$work/data" \
  -s3.config="$work/s3.json" -webdav=false -admin.ui=false -master.telemetry=false \
  -s3.port.iceberg=0 -s3.port.lance=0 -s3.port="$port" -master.port="$(free)" -volume.port="$(free)" \
  -filer.port="$(free)" -admin.port="$(free)" >"$work/weed.log" 2>&1) &
weed=$!
tries=0
until curl -sf -o /dev/null -X PUT --aws-sigv4 "aws:amz:$AWS_REGION:s3" \
    --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" "$S3_ENDPOINT/bench"; do
  tries=$((tries + 1)); [ "$tries" -lt 240 ] || { tail "$work/weed.log" >&2; exit 1; }
  sleep 0.5
done

"$make" make s3://bench/ --reels "$reels"

query() { # ENDPOINT WHAT ARGS...
  endpoint="$1"; what="$2"; shift 2
  rm -rf "$XDG_CACHE_HOME"
  echo "== $what"
  /usr/bin/time -f '%e s, %M KiB peak' "$tapedeck" query s3://bench/ --s3-endpoint "$endpoint" --s3-path-style \
    --stats "$@" >"$work/out" || true
  lines="$(wc -l <"$work/out")"
  echo "$lines lines"
  # What finds nothing measures pruning alone.
  [ "$lines" -gt 0 ] || { echo "the query matched nothing" >&2; exit 1; }
}
hour="--from 2026-11-22T10:00:00Z --to 2026-11-22T11:00:00Z"
pod='response.status == 500 and src.name == "web-07-03"'
for round in straight slow; do
  endpoint="$S3_ENDPOINT"
  if [ "$round" = slow ]; then
    through="$(free)"
    python3 tools/slow-proxy.py "$through" "$port" 80 20 2>"$work/proxy.log" &
    proxy=$!
    endpoint="http://127.0.0.1:$through"
    sleep 1
  fi
  query "$endpoint" "$round: first page of the newest items" --newest --limit 50
  query "$endpoint" "$round: 500s of one pod in one hour" $hour --kfl "$pod"
  query "$endpoint" "$round: statuses of one hour" $hour --count-by response.status
done
kill "$proxy"; wait "$proxy" || true; proxy=""
cat "$work/proxy.log"
