#!/usr/bin/env python3
"""Runs tapedeck beside other programs on the same captures and writes docs/performance.md.

    run.py --tapedeck PATH [--size full|small] [--rounds N] [--seed N] [--no-live] [--dry]

Programs take turns (A, B, C, A, B, C ...), so that whatever else the machine does meets all of them
alike. Counted are whole processes: CPU seconds of user and system, and peak resident memory.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import programs
import report
import traffic

# Captures that all programs read; the first one is the picture's.
SHOWN = [("http", "http"), ("all", "all")]


def compare(folder, facts, every, rounds):
    captures = []
    for name, kind in SHOWN:
        lines = [{"name": program.name, "does": program.does, "version": program.version_text() if program.is_there() else "",
                  "prints": program.name.startswith(("tapedeck", "tshark")), "runs": []} for program in every]
        for turn in range(rounds):
            for program, line in zip(every, lines):
                if program.is_there():
                    print(f"{name}, round {turn + 1} of {rounds}: {program.name}", file=sys.stderr)
                    line["runs"].append(programs.run_program(program, folder / f"{name}.pcap", kind))
        captures.append({"name": name, "facts": facts[name], "programs": lines})
    return captures


def alone(folder, facts, name, kind, program, rounds, streams=0):
    """The best of some runs of tapedeck with one worker."""
    print(f"{name}: {program.name}", file=sys.stderr)
    runs = [programs.run_program(program, folder / f"{name}.pcap", kind) for _ in range(rounds)]
    best = min(runs, key=lambda run: run["cpu"])
    return best | {"peak_kib": min(run["peak_kib"] for run in runs)} | facts[name] | {"streams": streams}


def measure_live(tapedeck, seconds, rounds):
    print(f"live on loopback, {rounds} rounds of {seconds} s each", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=traffic.cache()) as folder:
        script = [str(traffic.HERE / "live.py"), folder, str(tapedeck), str(seconds), str(rounds)]
        return json.loads(traffic.inside(script, stdout=subprocess.PIPE).stdout)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--tapedeck", required=True, type=pathlib.Path)
    arguments.add_argument("--size", choices=traffic.SIZES, default="full")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seed", type=int, default=7)
    arguments.add_argument("--live-seconds", type=int, default=15)
    arguments.add_argument("--no-live", action="store_true", help="leave the live part out")
    arguments.add_argument("--dry", action="store_true", help="print the tables and leave the pages as they are")
    given = arguments.parse_args()
    load = os.getloadavg()[0]
    tapedeck = given.tapedeck.resolve()
    folder = traffic.captures(given.size, given.seed)
    facts = json.loads((folder / "facts.json").read_text())
    every = programs.all_of(tapedeck)
    one = every[0]
    cost = lambda name, kind="all", streams=0: alone(folder, facts, name, kind, one, given.rounds, streams)
    results = {
        "cores": os.cpu_count(),
        "load": load,
        "size": given.size,
        "seed": given.seed,
        "captures": compare(folder, facts, every, given.rounds),
        "memory": {name: cost(name) for name in ("base", "ten")},
        "costs": {name: cost(name) for name in traffic.PORTS}
        | {"acks": cost("acks", streams=1), "opens": cost("opens", streams=200_000)}
        | {"streams-few": cost("streams-few", streams=20_000), "streams-many": cost("streams-many", streams=120_000)},
        "live": None if given.no_live else measure_live(tapedeck, given.live_seconds, given.rounds),
    }
    if given.dry:
        for name, text in report.sections(results).items():
            print(f"\n{name}\n\n{text}")
    else:
        report.write(results)
        print(f"the results are in {report.PAGES[0]}", file=sys.stderr)


if __name__ == "__main__":
    main()
