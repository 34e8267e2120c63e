#!/bin/sh
# A whole Kubernetes node on this machine, for tests: etcd, the control plane, containerd, kubelet and
# kube-proxy in a network namespace of their own, with images that need no registry. As root.
#
#   tools/node.sh install          what it takes from Debian; tools/kube.sh builds the rest
#   tools/node.sh up FOLDER        starts it; FOLDER is new, and on a disk (no overlay, no tmpfs)
#   tools/node.sh image FOLDER NAME ROOT COMMAND...   the folder ROOT becomes the image localhost/NAME:1
#   tools/node.sh down FOLDER      ends it and takes all of it away
#
# The node is called node-a and has the address 10.200.0.1, pods are in 10.244.0.0/24, services in
# 10.96.0.0/16, whose names a small server answers; pods reach this machine at 10.200.0.254. FOLDER/kubeconfig
# is that of an administrator. There is one node at a time. The images pause and box (busybox with httpd) are
# there; pods use them with imagePullPolicy: Never.
set -eu
kube="${TAPEDECK_KUBE:-$HOME/.cache/tapedeck/kube}"
space=kube

die() { echo "$*" >&2; exit 1; }

install() {
  missing=""
  for pair in containerd:containerd runc:runc etcd:etcd-server iptables:iptables conntrack:conntrack \
    busybox:busybox-static gcc:gcc ip:iproute2 curl:curl; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
  done
  [ -x /usr/lib/cni/bridge ] || missing="$missing containernetworking-plugins"
  [ -z "$missing" ] && return
  command -v apt-get >/dev/null 2>&1 || die "please install:$missing, then run this again"
  apt-get update -qq
  # Debian starts services on installation; the node starts what it needs itself.
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing
}

# A folder as a docker-archive: docker_archive ROOT NAME OUT COMMAND...
docker_archive() {
  python3 - "$@" <<'P'
import hashlib, io, json, sys, tarfile
root, name, out, *command = sys.argv[1:]
layer = io.BytesIO()
with tarfile.open(fileobj=layer, mode="w") as tar:
    tar.add(root, arcname=".")
layer = layer.getvalue()
digest = hashlib.sha256(layer).hexdigest()
config = json.dumps({
    "architecture": "amd64", "os": "linux", "config": {"Entrypoint": command, "Env": ["PATH=/bin", "HOME=/var/lib/tapedeck"]},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest]},
}).encode()
config_name = hashlib.sha256(config).hexdigest() + ".json"
manifest = [{"Config": config_name, "RepoTags": [name], "Layers": [digest + "/layer.tar"]}]
with tarfile.open(out, "w") as tar:
    for path, data in [(digest + "/layer.tar", layer), (config_name, config), ("manifest.json", json.dumps(manifest).encode())]:
        info = tarfile.TarInfo(path)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
P
}

image() {
  name="$1"; root="$2"; shift 2
  docker_archive "$root" "localhost/$name:1" "$dir/$name.tar" "$@"
  ctr -a "$dir/ctr.sock" -n k8s.io images import "$dir/$name.tar" >/dev/null
}

run() {
  part="$1"; shift
  # Not `ip netns exec`, which hides the control groups from kubelet.
  nohup nsenter --net="/run/netns/$space" "$@" >"$dir/log/$part.log" 2>&1 &
  echo $! >"$dir/log/$part.pid"
}

wait_for() {
  what="$1"; shift
  left=240
  until "$@" >/dev/null 2>&1; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || die "$what is not there after two minutes; see $dir/log"
    sleep 0.5
  done
}

ask() { curl -sk --max-time 5 -H "Authorization: Bearer admin-token" "https://10.200.0.1:6443$1"; }

is_up() { [ "$(ask /readyz)" = ok ]; }

is_ready() {
  ask /api/v1/nodes/node-a | python3 -c '
import json, sys
conditions = json.load(sys.stdin).get("status", {}).get("conditions", [])
sys.exit(not any(one["type"] == "Ready" and one["status"] == "True" for one in conditions))'
}

folders() {
  mkdir -p "$dir/log" "$dir/cni" "$dir/kubelet" "$dir/img/pause" "$dir/img/box/bin" "$dir/img/box/www" "$dir/img/box/tmp"
  cat >"$dir/pause.c" <<'C'
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int signal) { (void)signal; exit(0); }
static void reap(int signal) { (void)signal; while (waitpid(-1, 0, WNOHANG) > 0); }
int main(void) {
  signal(SIGINT, end); signal(SIGTERM, end); signal(SIGCHLD, reap);
  for (;;) pause();
}
C
  gcc -static -Os -o "$dir/img/pause/pause" "$dir/pause.c"
  cp "$(command -v busybox)" "$dir/img/box/bin/busybox"
  for name in sh sleep wget httpd nc cat ls ip ping nslookup kill; do ln -sf busybox "$dir/img/box/bin/$name"; done
  echo hello >"$dir/img/box/www/index.html"
}

network() {
  ip netns add "$space"
  ip link add kh type veth peer name kn netns "$space"
  ip addr add 10.200.0.254/24 dev kh
  ip link set kh up
  ip -n "$space" addr add 10.200.0.1/24 dev kn
  ip -n "$space" link set kn up
  ip -n "$space" link set lo up
  ip route add 10.244.0.0/24 via 10.200.0.1 dev kh
  # Before kube-proxy may give it another destination, a packet to a service needs a way out.
  ip -n "$space" route add 10.96.0.0/16 dev kn src 10.200.0.1
  nsenter --net="/run/netns/$space" sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.route_localnet=1
}

configuration() {
  openssl genrsa -out "$dir/sa.key" 2048 2>/dev/null
  openssl rsa -in "$dir/sa.key" -pubout -out "$dir/sa.pub" 2>/dev/null
  printf 'admin-token,admin,1,system:masters\n' >"$dir/tokens.csv"
  cat >"$dir/kubeconfig" <<C
{"apiVersion": "v1", "kind": "Config", "current-context": "node",
 "clusters": [{"name": "node", "cluster": {"server": "https://10.200.0.1:6443", "insecure-skip-tls-verify": true}}],
 "users": [{"name": "admin", "user": {"token": "admin-token"}}],
 "contexts": [{"name": "node", "context": {"cluster": "node", "user": "admin"}}]}
C
  cat >"$dir/cni/10-bridge.conflist" <<C
{"cniVersion": "0.4.0", "name": "bridge", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$dir/ipam", "ranges": [[{"subnet": "10.244.0.0/24"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
C
  # Without CAP_SYS_RESOURCE nobody may lower an oom_score_adj, and every pod would fail.
  cat >"$dir/containerd.toml" <<C
version = 2
root = "$dir/ctr/root"
state = "$dir/ctr/state"
[grpc]
  address = "$dir/ctr.sock"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "localhost/pause:1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$dir/cni"
C
  cat >"$dir/kubelet.yaml" <<C
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
failSwapOn: false
resolvConf: ""
syncFrequency: 5s
imageGCHighThresholdPercent: 100
clusterDNS: [10.200.0.1]
clusterDomain: cluster.local
evictionHard: {nodefs.available: "1%", imagefs.available: "1%", memory.available: 50Mi}
C
}

# Names of services, as SERVICE.NAMESPACE.svc.cluster.local; everything else is not there.
dns() {
  cat >"$dir/dns.py" <<'P'
import json, socket, ssl, struct, urllib.request

TRUST = ssl.create_default_context()
TRUST.check_hostname, TRUST.verify_mode = False, ssl.CERT_NONE

def address(name):
    parts = name.split(".")
    if len(parts) != 5 or parts[2:] != ["svc", "cluster", "local"]:
        return None
    url = f"https://10.200.0.1:6443/api/v1/namespaces/{parts[1]}/services/{parts[0]}"
    ask = urllib.request.Request(url, headers={"Authorization": "Bearer admin-token"})
    try:
        with urllib.request.urlopen(ask, context=TRUST, timeout=3) as answer:
            return json.load(answer)["spec"].get("clusterIP")
    except OSError:
        return None

waiting = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
waiting.bind(("10.200.0.1", 53))
while True:
    query, client = waiting.recvfrom(512)
    try:
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
            at += 1 + query[at]
        question = query[12:at + 5]
        kind = struct.unpack("!H", query[at + 1:at + 3])[0]
        found = address(".".join(labels))
        answers = 1 if found and found != "None" and kind == 1 else 0
        code = 0 if found else 3
        reply = query[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, answers, 0, 0) + question
        if answers:
            reply += struct.pack("!HHHIH", 0xC00C, 1, 1, 5, 4) + socket.inet_aton(found)
        waiting.sendto(reply, client)
    except (IndexError, ValueError, struct.error):
        continue
P
  run dns python3 "$dir/dns.py"
}

up() {
  for part in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy; do
    [ -x "$kube/$part" ] || die "$kube/$part is missing; run tools/kube.sh once (15 minutes)"
  done
  for name in containerd runc etcd iptables conntrack busybox; do
    command -v "$name" >/dev/null 2>&1 || die "$name is missing; run tools/node.sh install"
  done
  [ ! -e "/run/netns/$space" ] || die "there is a node already; end it with tools/node.sh down FOLDER"
  folders
  network
  configuration
  run etcd etcd --data-dir "$dir/etcd" --listen-client-urls http://127.0.0.1:2379 \
    --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 --unsafe-no-fsync
  run containerd containerd -c "$dir/containerd.toml"
  run apiserver "$kube/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --bind-address=0.0.0.0 \
    --advertise-address=10.200.0.1 --secure-port=6443 --cert-dir="$dir/pki" --service-cluster-ip-range=10.96.0.0/16 \
    --service-account-issuer=https://kubernetes.default.svc --api-audiences=https://kubernetes.default.svc \
    --service-account-key-file="$dir/sa.pub" --service-account-signing-key-file="$dir/sa.key" \
    --token-auth-file="$dir/tokens.csv" --authorization-mode=RBAC --allow-privileged=true \
    --kubelet-preferred-address-types=InternalIP
  wait_for "the API server" is_up
  dns
  run controllers "$kube/kube-controller-manager" --kubeconfig="$dir/kubeconfig" \
    --service-account-private-key-file="$dir/sa.key" --root-ca-file="$dir/pki/apiserver.crt" --leader-elect=false
  run scheduler "$kube/kube-scheduler" --kubeconfig="$dir/kubeconfig" --leader-elect=false
  wait_for containerd test -S "$dir/ctr.sock"
  image pause "$dir/img/pause" /pause
  image box "$dir/img/box" httpd -f -p 8080 -h /www
  run kubelet "$kube/kubelet" --config="$dir/kubelet.yaml" --kubeconfig="$dir/kubeconfig" --container-runtime=remote \
    --container-runtime-endpoint="unix://$dir/ctr.sock" --root-dir="$dir/kubelet" --node-ip=10.200.0.1 \
    --seccomp-profile-root="$dir/kubelet/seccomp" --hostname-override=node-a --cert-dir="$dir/kubelet-pki"
  run proxy "$kube/kube-proxy" --kubeconfig="$dir/kubeconfig" --hostname-override=node-a --proxy-mode=iptables \
    --cluster-cidr=10.244.0.0/16 --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0 \
    --conntrack-tcp-timeout-close-wait=0
  wait_for "the node" is_ready
  echo "node-a is ready: $dir/kubeconfig"
}

stop() {
  for part in "$@"; do
    [ -s "$dir/log/$part.pid" ] || continue
    kill "$(cat "$dir/log/$part.pid")" 2>/dev/null || true
  done
  sleep 1
}

down() {
  stop proxy kubelet scheduler controllers
  for task in $(ctr -a "$dir/ctr.sock" -n k8s.io task ls -q 2>/dev/null); do
    ctr -a "$dir/ctr.sock" -n k8s.io task kill -s SIGKILL "$task" 2>/dev/null || true
  done
  sleep 1
  stop dns apiserver etcd containerd
  awk -v dir="$dir" 'index($2, dir "/") == 1 || index($2, "/run/netns/cni-") == 1 {print $2}' /proc/mounts | sort -r |
    while read -r mount; do umount "$mount" 2>/dev/null || true; done
  for file in /run/netns/cni-*; do
    [ ! -e "$file" ] || ip netns del "${file##*/}" 2>/dev/null || true
  done
  ip netns del "$space" 2>/dev/null || true
  ip link del kh 2>/dev/null || true
  # The other end of the pair is gone with its namespace, a moment later.
  left=50
  while ip link show kh >/dev/null 2>&1 && [ "$left" -gt 0 ]; do left=$((left - 1)); sleep 0.1; done
  rm -rf "$dir"
}

[ "$(id -u)" = 0 ] || die "a node takes root: network namespaces, mounts and control groups"
do="${1:-}"
[ "$do" = install ] || [ -n "${2:-}" ] || die "usage: tools/node.sh install | up FOLDER | image FOLDER NAME ROOT COMMAND... | down FOLDER"
[ "$do" = install ] || dir="$(mkdir -p "$2" && cd "$2" && pwd)"
case "$do" in
  install) install ;;
  up) up ;;
  down) down ;;
  image) shift 2; image "$@" ;;
  *) die "tools/node.sh does not know $do" ;;
esac
