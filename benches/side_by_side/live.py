"""Live capture on a loopback of its own, at the highest rate that the load reaches: tapedeck and
`tcpdump -w` in turn.

Runs within the namespace: live.py FOLDER TAPEDECK SECONDS ROUNDS, and prints JSON.
"""

import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import traffic

CONNECTIONS = 64


def on_the_interface():
    """Packets that loopback received so far."""
    line = next(line for line in pathlib.Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:"))
    return int(line.split(":")[1].split()[1])


def cpu_of(process):
    """CPU seconds of a process and its threads so far."""
    stat = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def load(running, seconds):
    wrk = running.start("wrk", "-t", 1, "-c", CONNECTIONS, "-d", seconds, "-s", traffic.HERE / "load.lua",
                        f"http://127.0.0.1:{traffic.PORTS['http']}/", "--", 7, 0, log="wrk.log")
    wrk.wait(timeout=seconds + 60)
    said = (running.folder / "wrk.log").read_text()
    return float(re.search(r"Requests/sec:\s*([\d.]+)", said)[1])


def number(pattern, text):
    found = re.search(pattern, text)
    if found is None:
        sys.exit(f"the recorder did not say what it captured:\n{text[-2000:]}")
    return int(found[1])


def measure(folder, seconds, start, counts):
    with traffic.Running(folder) as running:
        traffic.serve_http(running, random.Random(7))
        recorder, log = start(running)
        before = on_the_interface()
        requests = load(running, seconds)
        time.sleep(2)
        offered = on_the_interface() - before
        recorder.send_signal(signal.SIGINT)
        # It is asked for its time when it has ended, before it is gone.
        os.waitid(os.P_PID, recorder.pid, os.WEXITED | os.WNOWAIT)
        cpu = cpu_of(recorder)
        recorder.wait()
        captured, dropped = counts((folder / log).read_text())
    return {"requests_s": round(requests), "offered": offered, "captured": captured, "dropped": dropped, "cpu": round(cpu, 2), "seconds": seconds}


def tcpdump(folder, seconds):
    file = folder / "tcpdump.pcap"

    def start(running):
        started = running.start("tcpdump", "-i", "lo", "-Z", "root", "-s", 0, "-B", traffic.BUFFER_KIB, "-w", file, log="recorder.log")
        time.sleep(1)
        return started, "recorder.log"

    def counts(said):
        return number(r"(\d+) packets captured", said), number(r"(\d+) packets dropped by kernel", said)

    found = measure(folder, seconds, start, counts)
    file.unlink()
    return found


def tapedeck(folder, seconds, binary):
    data = folder / "data"
    shutil.rmtree(data, ignore_errors=True)

    def start(running):
        settings = [f"tap.dataDir={data}", "tap.storageLimit=40Gi"]
        flags = [word for setting in settings for word in ("--set", setting)]
        started = running.start(binary, "tap", "-i", "lo", "--headless", *flags, log="recorder.log")
        time.sleep(2)
        return started, "recorder.log"

    def counts(said):
        return number(r"(\d+) packets captured", said), number(r"(\d+) dropped by the kernel", said)

    found = measure(folder, seconds, start, counts)
    found["not_dissected"] = int((re.search(r"(\d+) packets were overwritten", (folder / "recorder.log").read_text()) or [0, 0])[1])
    found |= spool_against_pcap(data / "spool", folder)
    shutil.rmtree(data, ignore_errors=True)
    return found


def spool_against_pcap(spool, folder):
    """Bytes of the spool with its side files, and of the pcap that holds the same packets."""
    files = [file for file in spool.rglob("*") if file.is_file()]
    segments = sorted(str(file) for file in files if file.suffix in (".pcapng", ".pcap"))
    if not segments:
        sys.exit(f"the spool in {spool} holds no savefile")
    plain = folder / "spool.pcap"
    subprocess.run(["mergecap", "-a", "-F", "pcap", "-w", str(plain), *segments], check=True)
    sizes = {"spool_bytes": sum(file.stat().st_size for file in files), "pcap_bytes": plain.stat().st_size,
             "spool_packet_bytes": sum(pathlib.Path(file).stat().st_size for file in segments)}
    plain.unlink()
    return sizes


def main():
    folder, binary = pathlib.Path(sys.argv[1]), sys.argv[2]
    seconds, rounds = int(sys.argv[3]), int(sys.argv[4])
    traffic.bring_up_loopback()
    runs = {"tcpdump": [], "tapedeck": []}
    for _ in range(rounds):
        runs["tcpdump"].append(tcpdump(folder, seconds))
        runs["tapedeck"].append(tapedeck(folder, seconds, binary))
    traffic.hand_back(folder)
    json.dump(runs, sys.stdout)


if __name__ == "__main__":
    main()
