"""Writes the results into the pages: tables between markers, and the picture.

    <!-- bench:NAME --> ... <!-- /bench -->
"""

import json
import pathlib
import re
import statistics

import chart

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "performance.json"
PAGES = [ROOT / "docs" / "performance.md", ROOT / "docs" / "scaling.md"]
PICTURE = ROOT / "docs" / "performance.svg"


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def count(value):
    return f"{value:,.0f}"


def seconds(value):
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def mib(kib):
    return f"{kib / 1024:.0f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(["---"] + ["---:"] * (len(head) - 1)) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def side_by_side(capture):
    facts = capture["facts"]
    per = facts["packets"]
    rows = []
    for program in capture["programs"]:
        runs = program["runs"]
        if not runs:
            rows.append([program["name"], "", "", "not installed", "", "", ""])
            continue
        cpu = median(runs, "cpu")
        spread = f"{min(run['cpu'] for run in runs):.2f} to {max(run['cpu'] for run in runs):.2f}"
        named = f"{program['name']} ({program['version']})" if program["version"] else program["name"]
        rows.append([f"{named}: {program['does']}", str(len(runs)), seconds(cpu), spread, f"{cpu / per * 1e6:.2f}", mib(median(runs, "peak_kib")),
                     count(runs[0]["lines"]) if program["prints"] else ""])
    size = f"{facts['size'] / 1e6:.0f} MB, {count(facts['packets'])} packets; programs in turn, the median of each.\n\n"
    return size + table(["program", "runs", "CPU s", "lowest to highest", "µs a packet", "peak MiB", "lines"], rows)


def workers(measured):
    """What a second worker adds by the clock, beside two processes of one worker each, which share
    nothing but the machine."""
    clock = {name: median(runs, "clock") for name, runs in measured["runs"].items()}
    one, two, pair = clock["one"], clock["two"], clock["pair"]
    per = measured["packets"]
    rows = [["one worker", seconds(one), count(per / one), ""],
            ["two workers", seconds(two), count(per / two), f"{one / two:.2f}"],
            ["two processes at once, one worker and one file each", seconds(pair), count(2 * per / pair), f"{2 * one / pair:.2f}"]]
    return (f"{len(measured['runs']['one'])} rounds in turn, the median of each.\n\n"
            + table(["what reads", "seconds by the clock", "packets/s", "times one worker"], rows))


def machine(about):
    return (f"Measured on {about['cores']} cores with a load of {about['load']:.1f} from other work when it began, captures of size "
            f"`{about['size']}`, seed {about['seed']}.")


def memory(measured):
    once, ten = measured["base"], measured["ten"]
    ratio = ten["peak_kib"] / once["peak_kib"]
    rows = [[label, count(found["packets"]), count(found["lines"] - 1), mib(found["peak_kib"])]
            for label, found in [("once", once), ("ten times in a row", ten)]]
    return table(["the same traffic", "packets", "items", "peak MiB"], rows) + f"\n\nTen times longer takes {ratio:.2f} times the memory."


def live(measured):
    rows = []
    for name, label in [("tcpdump", "tcpdump -w"), ("tapedeck", "tapedeck tap")]:
        for number, run in enumerate(measured[name], 1):
            lost = run["offered"] - run["captured"]
            rows.append([f"{label}, round {number}", count(run["requests_s"]), count(run["offered"] / run["seconds"]), count(run["captured"]),
                         count(run["dropped"]), f"{max(0, lost) / run['offered'] * 100:.2f} %", f"{run['cpu'] / run['captured'] * 1e6:.2f}"])
    ours = measured["tapedeck"]
    ratio = statistics.median(run["spool_bytes"] / run["pcap_bytes"] for run in ours)
    alone = statistics.median(run["spool_packet_bytes"] / run["pcap_bytes"] for run in ours)
    head = ["recorder", "requests/s", "packets/s", "captured", "dropped", "lost", "µs a packet"]
    return (table(head, rows) + f"\n\nThe spool takes {ratio:.2f} times the bytes of the pcap that `tcpdump` would write for the same packets "
            f"({alone:.2f} without its side files).")


def costs(cost):
    """What a packet, a stream and an item cost, one after the other: each is told by a capture that
    differs from the one before in it."""
    cpu = lambda name: cost[name]["cpu"] - cost["empty"]["cpu"]
    packets = lambda name: cost[name]["packets"]
    packet = cpu("acks") / packets("acks")
    stream = (cpu("opens") - packets("opens") * packet) / cost["opens"]["streams"]
    rows = [["the start of the program", f"{cost['empty']['cpu'] * 1e3:.0f} ms"],
            ["a packet of a stream that is known, without payload", f"{packet * 1e6:.2f} µs"],
            ["a TCP stream: three packets of handshake, opened and ended", f"{stream * 1e6:.1f} µs on top of them"]]
    for name, label in [("http", "HTTP"), ("dns", "DNS"), ("redis", "Redis"), ("grpc", "gRPC")]:
        items = cost[name]["lines"] - 1
        rest = cpu(name) - packets(name) * packet
        rows.append([f"an item of {label} with its payload ({cost[name]['bytes'] / items:.0f} bytes on the wire)", f"{rest / items * 1e6:.1f} µs on top of its packets"])
    few, many = cost["streams-few"], cost["streams-many"]
    open_stream = (many["peak_kib"] - few["peak_kib"]) * 1024 / (many["streams"] - few["streams"])
    rows.append(["an open stream of HTTP between two requests", f"{count(open_stream)} bytes of memory"])
    return table(["what", "cost"], rows)


def capacity(costs_of):
    rows = []
    for name, label in [("http", "small JSON calls over HTTP/1.1"), ("dns", "DNS"), ("redis", "Redis"), ("grpc", "gRPC")]:
        cost = costs_of[name]
        cpu = cost["cpu"] - costs_of["empty"]["cpu"]
        rows.append([label, count(cost["packets"] / cpu), count((cost["lines"] - 1) / cpu), count(cost["bytes"] * 8 / cpu / 1e6)])
    return table(["traffic", "packets/s", "requests/s", "Mbit/s"], rows)


# How each part is shown.
PARTS = {
    "machine": machine,
    "memory": memory,
    "workers": workers,
    "live": live,
    "costs": lambda measured: f"{costs(measured)}\n\n{capacity(measured)}",
    "http": lambda measured: f"![CPU seconds of each program]({PICTURE.name})\n\n{side_by_side(measured)}",
    "all": side_by_side,
}


def picture(capture):
    rows = []
    for program in capture["programs"]:
        if program["runs"]:
            cpu, peak = median(program["runs"], "cpu"), median(program["runs"], "peak_kib")
            rows.append((program["name"], cpu, f"{seconds(cpu)} s, {mib(peak)} MiB", program["name"].startswith("tapedeck")))
    facts = capture["facts"]
    return chart.bars(f"CPU seconds for {facts['size'] / 1e6:.0f} MB of HTTP, {count(facts['packets'])} packets", rows)


def keep(about, name, measured):
    """Keeps what a part measured, and fills in the pages."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results |= {"machine": about, name: measured}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    texts = {section: show(results[section]) for section, show in PARTS.items() if section in results}
    if "costs" in results:
        texts |= {"costs": costs(results["costs"]), "capacity": capacity(results["costs"])}
    for page in PAGES:
        text = page.read_text()
        for section, shown in texts.items():
            between = re.compile(rf"(<!-- bench:{section} -->\n).*?(<!-- /bench -->)", re.S)
            text = between.sub(lambda found: f"{found[1]}{shown}\n{found[2]}", text)
        page.write_text(text)
    if "http" in results:
        PICTURE.write_text(picture(results["http"]))
