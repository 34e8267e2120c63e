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
            rows.append([program["name"], "", "not installed", "", "", ""])
            continue
        cpu = median(runs, "cpu")
        spread = f"{min(run['cpu'] for run in runs):.2f} to {max(run['cpu'] for run in runs):.2f}"
        named = f"{program['name']} {program['version']}".strip()
        rows.append([f"{named}: {program['does']}", seconds(cpu), spread, f"{cpu / per * 1e6:.2f}", mib(median(runs, "peak_kib")),
                     count(runs[0]["lines"]) if program["prints"] else ""])
    size = f"{facts['size'] / 1e6:.0f} MB, {count(facts['packets'])} packets; {len(capture['programs'][0]['runs'])} rounds, the median of each.\n\n"
    return size + table(["program", "CPU s", "lowest to highest", "µs a packet", "peak MiB", "lines"], rows)


def machine(results):
    return (f"Measured on {results['cores']} cores with a load of {results['load']:.1f} from other work when it began, captures of size "
            f"`{results['size']}`, seed {results['seed']}; `make bench` fills in the tables and the picture.")


def memory(results):
    once, ten = (results["memory"][name] for name in ("base", "ten"))
    ratio = ten["peak_kib"] / once["peak_kib"]
    rows = [[label, count(found["packets"]), count(found["lines"] - 1), mib(found["peak_kib"])]
            for label, found in [("once", once), ("ten times in a row", ten)]]
    return table(["the same traffic", "packets", "items", "peak MiB"], rows) + f"\n\nTen times longer takes {ratio:.2f} times the memory."


def live(results):
    if not results["live"]:
        return "The live part was left out of this run (`--no-live`)."
    rows = []
    for name, label in [("tcpdump", "tcpdump -w"), ("tapedeck", "tapedeck tap")]:
        for number, run in enumerate(results["live"][name], 1):
            lost = run["offered"] - run["captured"]
            rows.append([f"{label}, round {number}", count(run["requests_s"]), count(run["offered"] / run["seconds"]), count(run["captured"]),
                         count(run["dropped"]), f"{max(0, lost) / run['offered'] * 100:.2f} %", f"{run['cpu'] / run['captured'] * 1e6:.2f}"])
    ours = results["live"]["tapedeck"]
    ratio = statistics.median(run["spool_bytes"] / run["pcap_bytes"] for run in ours)
    alone = statistics.median(run["spool_packet_bytes"] / run["pcap_bytes"] for run in ours)
    head = ["recorder", "requests/s", "packets/s", "captured", "dropped", "lost", "µs a packet"]
    return (table(head, rows) + f"\n\nThe spool takes {ratio:.2f} times the bytes of the pcap that `tcpdump` would write for the same packets "
            f"({alone:.2f} without its side files).")


def costs(results):
    """What a packet, a stream and an item cost, one after the other: each is told by a capture that
    differs from the one before in it."""
    cost = results["costs"]
    cpu = lambda name: cost[name]["cpu"]
    packets = lambda name: cost[name]["packets"]
    packet = cpu("acks") / packets("acks")
    stream = (cpu("opens") - packets("opens") * packet) / cost["opens"]["streams"]
    rows = [["a packet of a stream that is known, without payload", f"{packet * 1e6:.2f} µs"],
            ["a TCP stream: three packets of handshake, opened and ended", f"{stream * 1e6:.1f} µs on top of them"]]
    for name, label in [("http", "HTTP"), ("dns", "DNS"), ("redis", "Redis"), ("grpc", "gRPC")]:
        items = cost[name]["lines"] - 1
        rest = cpu(name) - packets(name) * packet
        rows.append([f"an item of {label} with its payload ({cost[name]['bytes'] / items:.0f} bytes on the wire)", f"{rest / items * 1e6:.1f} µs on top of its packets"])
    few, many = cost["streams-few"], cost["streams-many"]
    open_stream = (many["peak_kib"] - few["peak_kib"]) * 1024 / (many["streams"] - few["streams"])
    rows.append(["an open stream of HTTP between two requests", f"{count(open_stream)} bytes of memory"])
    return table(["what", "cost"], rows)


def capacity(results):
    rows = []
    for name, label in [("http", "small JSON calls over HTTP/1.1"), ("dns", "DNS"), ("redis", "Redis"), ("grpc", "gRPC")]:
        cost = results["costs"][name]
        rows.append([label, count(cost["packets"] / cost["cpu"]), count((cost["lines"] - 1) / cost["cpu"]), count(cost["bytes"] * 8 / cost["cpu"] / 1e6)])
    return table(["traffic", "packets/s", "requests/s", "Mbit/s"], rows)


def sections(results):
    found = {
        "machine": machine(results),
        "memory": memory(results),
        "live": live(results),
        "costs": costs(results),
        "capacity": capacity(results),
    }
    return found | {capture["name"]: side_by_side(capture) for capture in results["captures"]}


def picture(results):
    capture = results["captures"][0]
    rows = []
    for program in capture["programs"]:
        if program["runs"]:
            cpu, peak = median(program["runs"], "cpu"), median(program["runs"], "peak_kib")
            rows.append((program["name"], cpu, f"{seconds(cpu)} s, {mib(peak)} MiB", program["name"].startswith("tapedeck")))
    facts = capture["facts"]
    return chart.bars(f"CPU seconds for {facts['size'] / 1e6:.0f} MB of HTTP, {count(facts['packets'])} packets", rows)


def write(results):
    """Keeps the results and fills in the pages."""
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    texts = sections(results)
    for page in PAGES:
        text = page.read_text()
        for name in re.findall(r"<!-- bench:([\w-]+) -->", text):
            between = re.compile(rf"(<!-- bench:{name} -->\n).*?(<!-- /bench -->)", re.S)
            text = between.sub(lambda found: f"{found[1]}{texts[name]}\n{found[2]}", text)
        page.write_text(text)
    PICTURE.write_text(picture(results))
