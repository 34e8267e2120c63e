"""Makes the captures: real servers and load generators on a loopback of their own.

In: a size and a seed. Out: savefiles in the cache, made once:

    all.pcap                    everything below at the same time
    http.pcap dns.pcap redis.pcap grpc.pcap
    base.pcap, ten.pcap         the first packets of http.pcap, once and ten times in a row
    empty.pcap, acks.pcap, opens.pcap, streams-few.pcap, streams-many.pcap
                                written packet by packet, to tell what the start of a program, a
                                packet, a stream and an open stream cost
    facts.json                  packets and bytes of each

The seed fixes what is asked and in which order on each connection; how connections interleave is the
machine's.
"""

import fcntl
import json
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
# Raised when captures that are in a cache already would come out otherwise.
VERSION = 2
SIZES = {
    # Requests of HTTP, queries of DNS, commands of each kind of Redis, calls of gRPC; packets of base.pcap.
    "full": {"http": 350_000, "dns": 60_000, "redis": 10_000, "grpc": 8_000, "base": 120_000},
    "small": {"http": 25_000, "dns": 4_000, "redis": 800, "grpc": 500, "base": 20_000},
}
PORTS = {"http": 80, "dns": 53, "redis": 6379, "grpc": 50051}
MTU = 1500
# Kernel buffer of tcpdump in KiB.
BUFFER_KIB = 256 * 1024
# Time that a load may take.
LOAD_SECONDS = 900
RECORDS = 300
ORDERS = 400

# Debian keeps servers out of a user's path.
os.environ["PATH"] = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/local/sbin:/usr/sbin:/sbin"


def cache():
    return pathlib.Path(os.environ.get("TAPEDECK_BENCH", pathlib.Path.home() / ".cache/tapedeck/bench"))


def captures(size, seed):
    """The folder with the captures, made when it is not there yet."""
    folder = cache() / f"captures-{VERSION}-{size}-{seed}"
    if not (folder / "facts.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        print(f"making the captures of size {size} in {folder}", file=sys.stderr)
        inside([str(HERE / "traffic.py"), str(folder), size, str(seed)])
        derive(folder, SIZES[size]["base"])
    return folder


def inside(arguments, **options):
    """Runs a Python program in a network namespace of its own; only root may make one that servers
    can be started in."""
    as_root = [] if os.geteuid() == 0 else ["sudo", "env", f"TAPEDECK_BENCH={cache()}"]
    return subprocess.run([*as_root, "unshare", "--net", sys.executable, *arguments], check=True, **options)


def hand_back(folder):
    """Gives what root wrote to the user who asked for it with sudo."""
    if "SUDO_UID" in os.environ:
        subprocess.run(["chown", "-R", os.environ["SUDO_UID"], folder], check=True)


def bring_up_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        name = b"lo".ljust(16, b"\0")
        up_and_running = 0x1 | 0x40
        fcntl.ioctl(any_socket, 0x8922, name + struct.pack("i12x", MTU))  # SIOCSIFMTU
        fcntl.ioctl(any_socket, 0x8914, name + struct.pack("H14x", up_and_running))  # SIOCSIFFLAGS


class Running:
    """Processes that end with the block."""

    def __init__(self, folder):
        self.folder = folder
        self.started = []

    def __enter__(self):
        return self

    def start(self, *command, log):
        output = open(self.folder / log, "w")
        self.started.append(subprocess.Popen([str(word) for word in command], stdout=output, stderr=output, stdin=subprocess.DEVNULL))
        return self.started[-1]

    def __exit__(self, *_):
        for process in reversed(self.started):
            stop(process, signal.SIGTERM)


def stop(process, how):
    if process.poll() is None:
        process.send_signal(how)
    try:
        process.wait(timeout=120)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(port):
    for _ in range(200):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"nothing answers on port {port}; the servers' logs are in the folder of the captures")


def serve_http(running, rng):
    www = running.folder / "www"
    (www / "api/orders").mkdir(parents=True, exist_ok=True)
    for number in range(ORDERS):
        lines = [{"sku": f"{rng.randrange(10**8):08}", "count": rng.randrange(1, 9), "cents": rng.randrange(10**5)}
                 for _ in range(min(24, int(rng.expovariate(0.4)) + 1))]
        order = {"id": number, "state": rng.choice(["paid", "sent", "new"]), "lines": lines}
        (www / f"api/orders/{number}").write_text(json.dumps(order))
    (www / "reports").mkdir(exist_ok=True)
    (www / "reports/month").write_bytes(rng.randbytes(40_000))
    config = running.folder / "nginx.conf"
    temporary = "\n".join(f"{kind}_temp_path {running.folder}/{kind};" for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
    config.write_text(f"""
        daemon off; worker_processes 1; user root; pid {running.folder}/nginx.pid; error_log {running.folder}/nginx.log;
        events {{ worker_connections 4096; }}
        http {{
            access_log off; default_type application/json; sendfile on; tcp_nodelay on; keepalive_requests 1000000;
            open_file_cache max=1000; {temporary}
            server {{
                listen 127.0.0.1:{PORTS["http"]}; root {www};
                location = /api/orders {{ return 201 '{{"id":"$request_id","state":"new"}}'; }}
                location /api/broken {{ return 503 '{{"error":"the store does not answer","request":"$request_id"}}'; }}
                location /api/missing {{ return 404 '{{"error":"no such order"}}'; }}
            }}
        }}""")
    running.start("nginx", "-p", running.folder, "-c", config, "-e", running.folder / "nginx.log", log="nginx.out")
    wait_for(PORTS["http"])


def serve_dns(running, rng):
    names = [f"{rng.choice(['web', 'db', 'cache', 'api'])}-{number}.shop.example." for number in range(RECORDS)]
    data = "\n".join(f'local-data: "{name} 60 IN A 10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"' for name in names)
    config = running.folder / "unbound.conf"
    config.write_text(f"""
server:
  interface: 127.0.0.1
  port: {PORTS["dns"]}
  username: ""
  chroot: ""
  directory: "{running.folder}"
  pidfile: "{running.folder}/unbound.pid"
  use-syslog: no
  do-daemonize: no
  module-config: "iterator"
  local-zone: "example." static
  {data}
remote-control:
  control-enable: no
""")
    queries = running.folder / "queries"
    with open(queries, "w") as out:
        for _ in range(4000):
            missing = rng.random() < 0.05
            out.write(f"{'gone.shop.example.' if missing else rng.choice(names)} {rng.choice(['A', 'A', 'A', 'AAAA'])}\n")
    running.start("unbound", "-d", "-c", config, log="unbound.log")
    wait_for(PORTS["dns"])
    return queries


def record(folder, size, seed):
    """Runs within the namespace: servers, tcpdump, all loads at once."""
    bring_up_loopback()
    rng = random.Random(seed)
    counts = SIZES[size]
    python = cache() / "venv/bin/python"
    with Running(folder) as running:
        serve_http(running, rng)
        queries = serve_dns(running, rng)
        running.start("redis-server", "--port", PORTS["redis"], "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder, log="redis.log")
        wait_for(PORTS["redis"])
        running.start(python, HERE / "grpc_traffic.py", "serve", PORTS["grpc"], log="grpc-server.log")
        wait_for(PORTS["grpc"])
        tcpdump = running.start("tcpdump", "-i", "lo", "-Z", "root", "-s", 0, "-B", BUFFER_KIB, "-w", folder / "all.pcap", log="tcpdump.log")
        time.sleep(1)
        local = "127.0.0.1"
        loads = [
            running.start("wrk", "-t", 1, "-c", 40, "-d", 3600, "-s", HERE / "load.lua", f"http://{local}:{PORTS['http']}/", "--", seed, counts["http"], log="wrk.log"),
            running.start("dnsperf", "-s", local, "-p", PORTS["dns"], "-d", queries, "-n", counts["dns"] // 4000, "-c", 16, "-q", 32, log="dnsperf.log"),
            running.start("redis-benchmark", "-p", PORTS["redis"], "-n", counts["redis"], "-c", 20, "-d", 64, "-r", 10_000, 
                          "-t", "set,get,incr,lpush,rpop,hset,zadd", "-q", log="redis-benchmark.log"),
            running.start(python, HERE / "grpc_traffic.py", "call", PORTS["grpc"], counts["grpc"], seed, log="grpc-client.log"),
        ]
        for load in loads:
            if load.wait(timeout=LOAD_SECONDS) != 0:
                sys.exit(f"{load.args[0]} failed; its log is in {folder}")
        time.sleep(2)
        stop(tcpdump, signal.SIGINT)
    hand_back(folder)
    said = (folder / "tcpdump.log").read_text()
    if " 0 packets dropped by kernel" not in said.replace("\n", " "):
        print(f"tcpdump lost packets of the captures: {' '.join(said.split())}", file=sys.stderr)


def derive(folder, base):
    for name, port in PORTS.items():
        subprocess.run(["tcpdump", "-r", folder / "all.pcap", "-w", folder / f"{name}.pcap", f"port {port}"], check=True, stderr=subprocess.DEVNULL)
    write_base(folder, base)
    write_made(folder)
    facts = {file.stem: facts_of(file) for file in sorted(folder.glob("*.pcap"))}
    (folder / "facts.json").write_text(json.dumps(facts, indent=1))


def records(path):
    """Header, and time in microseconds, lengths and bytes of each packet of a pcap."""
    with open(path, "rb", buffering=1 << 20) as file:
        header = file.read(24)
        yield header
        while len(head := file.read(16)) == 16:
            seconds, micros, caplen, length = struct.unpack("<IIII", head)
            yield seconds * 1_000_000 + micros, length, file.read(caplen)


def put(file, micros, length, packet):
    file.write(struct.pack("<IIII", micros // 1_000_000, micros % 1_000_000, len(packet), length) + packet)


def write_base(folder, base):
    reader = records(folder / "http.pcap")
    header = next(reader)
    packets = [packet for packet, _ in zip(reader, range(base))]
    # A minute between two rounds: the streams of one have ended before the next begins.
    round_micros = packets[-1][0] - packets[0][0] + 60_000_000
    for name, rounds in [("base", 1), ("ten", 10)]:
        with open(folder / f"{name}.pcap", "wb", buffering=1 << 20) as out:
            out.write(header)
            for turn in range(rounds):
                for micros, length, packet in packets:
                    put(out, micros + turn * round_micros, length, readdressed(packet, turn))


def readdressed(packet, turn):
    """The packet between other addresses: connections that are open at the end of a round are not those
    of the next one."""
    return packet[:28] + bytes([turn]) + packet[29:32] + bytes([turn]) + packet[33:]


def segment(client, port, to_server, seq, ack, flags, payload=b""):
    """An Ethernet packet with IPv4 and TCP; `client` numbers the address below 10.0.0.0."""
    addresses = [struct.pack(">I", (10 << 24) + client), bytes([192, 168, 0, 1])]
    ports = [port, 80]
    if not to_server:
        addresses.reverse()
        ports.reverse()
    head = struct.pack(">BBHHHBBH", 0x45, 0, 40 + len(payload), 0, 0x4000, 64, 6, 0) + addresses[0] + addresses[1]
    tcp = struct.pack(">HHIIBBHHH", *ports, seq, ack, 0x50, flags, 65535, 0, 0)
    return bytes(12) + b"\x08\0" + head + tcp + payload


def write_made(folder):
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
    syn, ack, push = 0x02, 0x10, 0x18
    ask = b"GET /api/orders/7 HTTP/1.1\r\nHost: shop.example\r\nAccept: application/json\r\n\r\n"
    answer = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 25\r\n\r\n{"id": 7, "state":"paid" }'

    def opening(client):
        return [segment(client, 40_000, True, 0, 0, syn), segment(client, 40_000, False, 0, 1, syn | ack), segment(client, 40_000, True, 1, 1, ack)]

    def exchange(client):
        return opening(client) + [segment(client, 40_000, True, 1, 1, push, ask), segment(client, 40_000, False, 1, 1 + len(ask), push, answer)]

    def acks():
        yield from exchange(1)
        packet = segment(1, 40_000, True, 1 + len(ask), 1 + len(answer), ack)
        for _ in range(1_000_000):
            yield packet

    def streams(count, packets_of):
        for client in range(1, count + 1):
            yield from packets_of(client)

    made = {
        "empty": [],
        "acks": acks(),
        "opens": streams(200_000, opening),
        "streams-few": streams(20_000, exchange),
        "streams-many": streams(120_000, exchange),
    }
    for name, packets in made.items():
        with open(folder / f"{name}.pcap", "wb", buffering=1 << 20) as out:
            out.write(header)
            for number, packet in enumerate(packets):
                put(out, 1_700_000_000_000_000 + number * 10, len(packet), packet)


def facts_of(path):
    reader = records(path)
    next(reader)
    lengths = [len(packet) for _, _, packet in reader]
    return {"packets": len(lengths), "bytes": sum(lengths), "size": path.stat().st_size}


if __name__ == "__main__":
    record(pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
