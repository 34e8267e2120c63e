#!/bin/sh
# Measures what looking into large archives takes, and prints all of it:
#   - a week with 10,000 reels of 20 nodes in a local S3 server, straight and through a proxy with 80 ms
#     and 20 Mbit/s: requests, bytes, time, memory, and the bytes of the whole bucket;
#   - the same hour downloaded and read by tshark;
#   - a year of a million reels (manifests alone) before the week, with and without roll-ups;
#   - the index beside the packets, of the week and of the captures of `make bench` where they are.
# Usage: tools/bench-archive.sh [REELS [REELS OF THE YEAR]]; needs what tools/test-deps.sh installs.
# PROFILE=dev measures the unoptimised build.
set -eu
reels="${1:-10000}"
of_year="${2:-1000000}"
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-$HOME/.cache/tapedeck/target}"
export CARGO_TARGET_DIR="$target"
tools="${TAPEDECK_TOOLS:-$HOME/.cache/tapedeck/tools}"
captures="${TAPEDECK_BENCH:-$HOME/.cache/tapedeck/bench}"
work="$(mktemp -d)"
weed="" proxy=""
end() { [ -z "$weed" ] || kill "$weed"; [ -z "$proxy" ] || kill "$proxy"; wait; rm -rf "$work"; }
trap end EXIT
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
timed() { /usr/bin/time -f '%e s, %M KiB peak' "$@"; }
# Bytes of the files below a folder with an ending.
bytes() { find "$1" -name "*$2" -printf '%s\n' | awk '{n += $1} END {printf "%.0f", n}'; }
beside() { # FOLDER WHAT
  index="$(bytes "$1" .items.parquet)" packets="$(bytes "$1" .pcapng.zst)"
  echo "$2: index $index bytes, packets $packets bytes, $(awk "BEGIN {printf \"%.1f\", 100 * $index / $packets}") %"
}

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

query() { # SOURCE ENDPOINT WHAT ARGS...
  source="$1" endpoint="$2" what="$3"; shift 3
  rm -rf "$XDG_CACHE_HOME"
  echo "== $what"
  timed "$tapedeck" query "$source" --s3-endpoint "$endpoint" --s3-path-style --stats "$@" >"$work/out" || true
  [ -z "$proxy" ] || { kill -USR1 "$proxy"; sleep 0.2; tail -n 1 "$work/proxy.log"; }
  lines="$(wc -l <"$work/out")"
  echo "$lines lines"
  # What finds nothing measures pruning alone.
  [ "$lines" -gt 0 ] || { echo "the query matched nothing" >&2; exit 1; }
}
fetch() { # ENDPOINT PREFIX FOLDER: downloads the objects below a prefix, eight at a time
  "$tools/venv/bin/python" - "$@" <<'END'
import concurrent.futures, os, sys
import pyarrow.fs
endpoint, prefix, folder = sys.argv[1:4]
system = pyarrow.fs.S3FileSystem(
    access_key=os.environ["AWS_ACCESS_KEY_ID"], secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    endpoint_override=endpoint.split("://")[1], scheme="http", region=os.environ["AWS_REGION"])
found = system.get_file_info(pyarrow.fs.FileSelector(prefix, recursive=True))
ending = ".pcapng.zst" if folder else ""
files = [one for one in found if one.is_file and one.path.endswith(ending)]
def get(one):
    with open(os.path.join(folder, one.base_name), "wb") as out:
        out.write(system.open_input_stream(one.path).read())
if folder:
    list(concurrent.futures.ThreadPoolExecutor(8).map(get, files))
print(f"{len(files)} objects, {sum(one.size for one in files)} bytes")
END
}
hour="--from 2026-11-22T10:00:00Z --to 2026-11-22T11:00:00Z"
pod='response.status == 500 and src.name == "web-07-03"'
echo "== the bucket"
fetch "$S3_ENDPOINT" bench/reels ""
for round in straight slow; do
  endpoint="$S3_ENDPOINT"
  if [ "$round" = slow ]; then
    through="$(free)"
    python3 tools/slow-proxy.py "$through" "$port" 80 20 2>"$work/proxy.log" &
    proxy=$!
    endpoint="http://127.0.0.1:$through"
    sleep 1
  fi
  query s3://bench/ "$endpoint" "$round: first page of the newest items" --newest --limit 50
  # shellcheck disable=SC2086
  query s3://bench/ "$endpoint" "$round: 500s of one pod in one hour" $hour --kfl "$pod"
  # shellcheck disable=SC2086
  query s3://bench/ "$endpoint" "$round: statuses of one hour" $hour --count-by response.status
  echo "== $round: the same hour downloaded, then 500s by tshark"
  rm -rf "$work/hour"; mkdir "$work/hour"
  began="$(date +%s.%N)"
  fetch "$endpoint" bench/reels/cluster=bench/date=2026-11-22/hour=10 "$work/hour"
  echo "$(date +%s.%N) $began" | awk '{printf "%.2f s to download\n", $1 - $2}'
  mergecap -w "$work/hour.pcapng" "$work"/hour/*
  timed tshark -n -r "$work/hour.pcapng" -d tcp.port==8080,http \
    -Y 'http.response.code == 500 && ip.dst == 10.1.7.3' >"$work/out"
  echo "$(wc -l <"$work/out") lines"
done
kill "$proxy"; wait "$proxy" || true; proxy=""

echo "== a year of $of_year reels before a week"
mkdir "$work/year"
"$make" make "$work/year" --reels 1400
"$make" year "$work/year" --reels "$of_year"
query "$work/year" "$S3_ENDPOINT" "year: first page of the newest items" --newest --limit 50
# shellcheck disable=SC2086
query "$work/year" "$S3_ENDPOINT" "year: 500s of one pod in one hour" $hour --kfl "$pod"
echo "== year: rolled up by days and hours"
timed "$tapedeck" store rollup "$work/year" --older-than 1h --hourly >/dev/null
query "$work/year" "$S3_ENDPOINT" "year, rolled up: first page of the newest items" --newest --limit 50
# shellcheck disable=SC2086
query "$work/year" "$S3_ENDPOINT" "year, rolled up: 500s of one pod in one hour" $hour --kfl "$pod"

echo "== index beside packets"
beside "$work/year" "reels of 100 items each"
for capture in "$captures"/captures-*-full-*/http.pcap "$captures"/captures-*-full-*/all.pcap; do
  [ -f "$capture" ] || continue
  rm -rf "$work/one"; mkdir "$work/one"
  "$make" record "$work/one" "$capture"
  beside "$work/one" "$(basename "$capture") as one reel"
done
