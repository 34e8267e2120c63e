#!/usr/bin/env python3
"""Runs tapedeck beside other programs on the same captures and writes docs/performance.md and docs/scaling.md.

    run.py --tapedeck PATH [--size full|small] [--rounds N] [--seed N] [--parts live,http] [--dry]

Programs take turns (A, B, C, A, B, C ...), so that whatever else the machine does meets all of them
alike. Counted are whole processes: CPU seconds of user and system, and peak resident memory.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import programs
import report
import traffic

# Programs whose run takes less seconds than QUICK run this often in each round: a second or less of
# work is measured well by many runs alone.
QUICK = 10
OFTEN = 5


def compare(folder, facts, every, rounds, name, kind):
    lines = [{"name": program.name, "does": program.does, "version": program.version_text() if program.is_there() else "",
              "prints": program.name.startswith(("tapedeck", "tshark")), "runs": []} for program in every]
    there = [(program, line) for program, line in zip(every, lines) if program.is_there()]
    for turn in range(rounds):
        for again in range(OFTEN):
            for program, line in there:
                if again == 0 or line["runs"][-1]["clock"] < QUICK:
                    print(f"{name}, round {turn + 1} of {rounds}: {program.name}", file=sys.stderr)
                    line["runs"].append(programs.run_program(program, folder / f"{name}.pcap", kind))
    return {"facts": facts[name], "programs": lines}


def alone(folder, facts, name, kind, program, rounds, streams):
    """The best of some runs of tapedeck with one worker."""
    print(f"{name}: {program.name}", file=sys.stderr)
    runs = [programs.run_program(program, folder / f"{name}.pcap", kind) for _ in range(rounds)]
    best = min(runs, key=lambda run: run["cpu"])
    return best | {"peak_kib": min(run["peak_kib"] for run in runs)} | facts[name] | {"streams": streams}


def compare_workers(folder, facts, one, two, rounds):
    """One worker, two workers, and two processes of one worker at once, in turn on the HTTP capture."""
    file = folder / "http.pcap"
    runs = {"one": [], "two": [], "pair": []}
    # Each is a second long, so there are more of them.
    for turn in range(5 * rounds):
        print(f"workers, round {turn + 1} of {5 * rounds}", file=sys.stderr)
        runs["one"].append(programs.run_program(one, file, "http"))
        runs["two"].append(programs.run_program(two, file, "http"))
        with concurrent.futures.ThreadPoolExecutor() as both:
            pair = list(both.map(lambda _: programs.run_program(one, file, "http"), range(2)))
        runs["pair"].append({"clock": max(run["clock"] for run in pair)})
    return {"packets": facts["http"]["packets"], "runs": runs}


def measure_live(tapedeck, seconds, rounds):
    print(f"live on loopback, {rounds} rounds of {seconds} s each", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=traffic.cache()) as folder:
        script = [str(traffic.HERE / "live.py"), folder, str(tapedeck), str(seconds), str(rounds)]
        return json.loads(traffic.inside(script, stdout=subprocess.PIPE).stdout)


def parts(given, folder, facts):
    """What is measured, each with its function, the quick ones first."""
    tapedeck = given.tapedeck.resolve()
    every = programs.all_of(tapedeck)
    cost = lambda name, streams=0: alone(folder, facts, name, "all", every[0], given.rounds, streams)
    made = {"empty": 0, "acks": 1, "opens": 200_000, "streams-few": 20_000, "streams-many": 120_000}
    side_by_side = lambda name: lambda: compare(folder, facts, every, given.rounds, name, name)
    return {
        "memory": lambda: {name: cost(name) for name in ("base", "ten")},
        "costs": lambda: {name: cost(name) for name in traffic.PORTS} | {name: cost(name, streams) for name, streams in made.items()},
        "workers": lambda: compare_workers(folder, facts, every[0], every[1], given.rounds),
        "live": lambda: measure_live(tapedeck, given.live_seconds, given.rounds),
        "http": side_by_side("http"),
        "all": side_by_side("all"),
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--tapedeck", required=True, type=pathlib.Path, help="the program")
    arguments.add_argument("--size", choices=traffic.SIZES, default="full")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seed", type=int, default=7)
    arguments.add_argument("--live-seconds", type=int, default=15)
    arguments.add_argument("--parts", default="memory,costs,workers,live,http,all", help="what to measure; the others stay as they are in the pages")
    arguments.add_argument("--dry", action="store_true", help="print the tables and leave the pages as they are")
    given = arguments.parse_args()
    about = {"cores": os.cpu_count(), "load": os.getloadavg()[0], "size": given.size, "seed": given.seed}
    folder = traffic.captures(given.size, given.seed)
    facts = json.loads((folder / "facts.json").read_text())
    every = parts(given, folder, facts)
    if unknown := set(given.parts.split(",")) - set(every):
        arguments.error(f"--parts: {', '.join(unknown)} is none of {', '.join(every)}")
    for name, measure in every.items():
        if name not in given.parts.split(","):
            continue
        # Each part is kept when it is done: the whole takes a while.
        measured = measure()
        if given.dry:
            print(f"\n{name}\n\n{report.PARTS[name](measured)}", flush=True)
        else:
            report.keep(about, name, measured)
    if not given.dry:
        print(f"the results are in {report.PAGES[0]}", file=sys.stderr)


if __name__ == "__main__":
    main()
