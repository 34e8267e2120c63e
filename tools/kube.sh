#!/bin/sh
# Builds a Kubernetes control plane and node (1.20.2: kube-apiserver, kube-controller-manager,
# kube-scheduler, kubelet, kube-proxy) from Debian's source package into $TAPEDECK_KUBE, once, and
# installs etcd. It takes about 15 minutes of CPU and 3 GB of disk while it builds, so tools/test-deps.sh
# leaves it out; the tests that need a cluster are skipped until it has run.
set -eu
version=1.20.2
kube="${TAPEDECK_KUBE:-$HOME/.cache/tapedeck/kube}"
parts="kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy"
# Raised when this script builds something else: what an earlier one built is then built again.
recipe=2
complete=yes
[ "$(cat "$kube/recipe" 2>/dev/null)" = "$recipe" ] || complete=""
for part in $parts; do [ -x "$kube/$part" ] || complete=""; done
command -v etcd >/dev/null 2>&1 || complete=""
[ -z "$complete" ] || exit 0

missing=""
command -v etcd >/dev/null 2>&1 || missing="$missing etcd-server"
command -v go >/dev/null 2>&1 || missing="$missing golang-go"
command -v dpkg-source >/dev/null 2>&1 || missing="$missing dpkg-dev"
if [ -n "$missing" ]; then
  command -v apt-get >/dev/null 2>&1 || { echo "please install:$missing, then run this again" >&2; exit 1; }
  as_root=""
  [ "$(id -u)" = 0 ] || as_root="sudo"
  $as_root apt-get update -qq
  # Debian starts services on installation; the tests start what they need themselves.
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 $as_root apt-get install -y -qq --no-install-recommends $missing
fi

mkdir -p "$kube"
exec 9>"$kube/lock"
flock 9
# What an interrupted build has compiled is kept for the next try.
work="$kube/build"
chmod -R u+w "$work/go" "$work/lists" 2>/dev/null || true
rm -rf "$work/go" "$work/lists" "$work/out"
# Sources come from a list of their own; the lists of the machine stay as they are.
mkdir -p "$work/lists/partial"
for kind in deb deb-src; do
  echo "$kind [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main"
done >"$work/sources.list"
apt() {
  apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$work/lists" -o Dir::Cache::srcpkgcache= -o Dir::Cache::pkgcache= \
    -o APT::Sandbox::User=root "$@"
}
apt update
mkdir -p "$work/go/src/k8s.io" "$work/out"
(cd "$work" && apt source --download-only kubernetes && dpkg-source --no-check -x kubernetes_*.dsc go/src/k8s.io/kubernetes >/dev/null)

# The reflect2 that it brings reads maps wrongly from Go 1.18 on; Debian's own package of it does not.
rm -rf "$work/reflect2"
(cd "$work" && apt download golang-github-modern-go-reflect2-dev && dpkg-deb -x golang-github-modern-go-reflect2-dev_*.deb reflect2)
reflect2=vendor/github.com/modern-go/reflect2
rm -rf "$work/go/src/k8s.io/kubernetes/$reflect2"
cp -rL "$work/reflect2/usr/share/gocode/src/github.com/modern-go/reflect2" "$work/go/src/k8s.io/kubernetes/$reflect2"

# Its go.mod is older than its vendor folder, so it is built as Debian does, without modules.
cd "$work/go/src/k8s.io/kubernetes"
export GOPATH="$work/go" GOCACHE="$work/cache" GO111MODULE=off GOFLAGS="" CGO_ENABLED=0
# The one file that the source package leaves to its build: the schema of all objects.
go build -o "$work/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
marked="$(grep -rl --include=doc.go --include=types.go --include='*.go' '^// +k8s:openapi-gen=true' pkg staging/src cmd |
  grep -v -e _test.go -e /testdata/ -e sample-apiserver | xargs -n 1 dirname | sort -u |
  sed -e 's,^staging/src/,k8s.io/kubernetes/vendor/,' -e '/^k8s.io/!s,^,k8s.io/kubernetes/,' | paste -sd ,)"
"$work/openapi-gen" --go-header-file hack/boilerplate/boilerplate.generatego.txt --output-base "$GOPATH/src" \
  -i "$marked" -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi -r /dev/null

# What the servers say of themselves; clients decide by it which interfaces there are.
base=k8s.io/kubernetes/vendor/k8s.io/component-base/version
flags="-s -w -X $base.gitVersion=v$version -X $base.gitMajor=1 -X $base.gitMinor=20 -X $base.gitTreeState=archive"
for part in $parts; do
  nice -n 5 go build -ldflags "$flags" -o "$work/out/$part" "./cmd/$part"
  mv "$work/out/$part" "$kube/"
done
echo "$recipe" >"$kube/recipe"
chmod -R u+w "$work"
rm -rf "$work"
