"""The programs that are run side by side, and what one run of each came to."""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

# The same fields as `tapedeck query --format csv` prints.
TSHARK_FIELDS = {
    "http": ["http.request.method", "http.response_for.uri", "http.response.code", "http.time"],
    "all": ["http.request.method", "http.response_for.uri", "http.response.code", "http.time", "dns.qry.name", "dns.flags.rcode",
            "dns.time", "resp.bulk_string.value", "resp.string", "http2.headers.path", "http2.headers.status"],
}
TSHARK_COMMON = ["frame.time_epoch", "_ws.col.Protocol", "ip.src", "ip.dst", "tcp.srcport", "tcp.dstport", "tcp.stream"]
TSHARK_FILTER = {"http": "http.response", "all": "http.response || dns.flags.response == 1 || resp || grpc"}
KFL = {"http": "http", "all": "http or dns or redis or grpc"}


@dataclasses.dataclass
class Program:
    """One line of the table."""

    name: str
    # What it does with the capture, in a few words.
    does: str
    # Arguments for a capture, its name and a folder that is removed after the run.
    command: object
    # How it says its version.
    version: list = dataclasses.field(default_factory=list)

    def is_there(self):
        return shutil.which(self.version[0]) is not None

    def version_text(self):
        done = subprocess.run(self.version, capture_output=True, text=True)
        found = re.search(r"\d+\.\d+[\w.]*", done.stdout + done.stderr)
        return found[0] if found else ""


def fields(name):
    return [word for field in TSHARK_COMMON + TSHARK_FIELDS[name] for word in ("-e", field)]


def all_of(tapedeck):
    """The programs, in the order in which they take turns."""

    def query(workers):
        return lambda file, name, folder: [tapedeck, "query", file, "--kfl", KFL[name], "--format", "csv", "--set", f"tap.workers={workers}"]

    return [
        Program("tapedeck, 1 worker", "all items to CSV", query(1), [tapedeck, "--version"]),
        Program("tapedeck, 2 workers", "all items to CSV", query(2), [tapedeck, "--version"]),
        Program("tshark", "the same fields", lambda file, name, folder: ["tshark", "-n", "-r", file, "-Y", TSHARK_FILTER[name], "-T", "fields", *fields(name)],
                ["tshark", "--version"]),
        Program("Suricata", "its JSON log, no rules", lambda file, name, folder: ["suricata", "-r", file, "-l", folder, "-k", "none", "-S", "/dev/null"],
                ["suricata", "-V"]),
        Program("tcpflow", "streams to files", lambda file, name, folder: ["tcpflow", "-q", "-r", file, "-o", folder], ["tcpflow", "-V"]),
        Program("ndpiReader", "names of flows' protocols", lambda file, name, folder: ["ndpiReader", "-q", "-i", file], ["ndpiReader", "-h"]),
        Program("tcpdump", "reads and writes packets", lambda file, name, folder: ["tcpdump", "-r", file, "-w", "/dev/null"], ["tcpdump", "--version"]),
    ]


def run(command, home):
    """CPU seconds (user and system), peak resident KiB, seconds by the clock and lines on stdout of one
    whole process."""
    with tempfile.NamedTemporaryFile("r") as times, tempfile.NamedTemporaryFile() as output, tempfile.NamedTemporaryFile() as said:
        # GNU time forks and executes the program itself: measured from here, the peak would be at
        # least this interpreter's.
        timed = ["/usr/bin/time", "-o", times.name, "-f", "%M %e", *map(str, command)]
        started = subprocess.Popen(timed, stdout=output, stderr=said, env={"PATH": os.environ["PATH"], "HOME": str(home)})
        # Its own times have a grain of 10 ms, those of the kernel none that matters.
        _, status, used = os.wait4(started.pid, 0)
        started.returncode = os.waitstatus_to_exitcode(status)
        if started.returncode != 0:
            said.seek(0)
            raise SystemExit(f"{' '.join(map(str, command))} failed:\n{said.read().decode(errors='replace')[-2000:]}")
        peak, clock = times.read().split()[-2:]
        output.seek(0)
        lines = sum(piece.count(b"\n") for piece in iter(lambda: output.read(1 << 20), b""))
    return {"cpu": round(used.ru_utime + used.ru_stime, 4), "peak_kib": int(peak), "clock": float(clock), "lines": lines}


def run_program(program, file, name):
    with tempfile.TemporaryDirectory() as folder:
        home = pathlib.Path(folder) / "home"
        output = pathlib.Path(folder) / "output"
        home.mkdir()
        output.mkdir()
        return run(program.command(file, name, output), home)
