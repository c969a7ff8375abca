#!/usr/bin/env python3
"""Builds the programs of this folder, runs their workloads by turns, and prints one table.

Rates are medians of all rounds, per second of CPU time. A ratio is the median of the rounds'
ratios, since what runs in one round runs beside each other. The exit status is 0 if every target
holds, 1 if one does not, and 2 if something could not be run.
"""

import argparse
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

FOLDER = Path(__file__).resolve().parent

PEERS = {"madsim": "madsim", "turmoil": "turmoil", "moonpool": "moonpool-sim"}
SIDES = ["bare", *PEERS, "ours"]

# Name, what one element is, how many times as fast as the best peer we mean to be (0: ahead of
# it), and how many elements each side does: as many as take some hundred milliseconds.
# See README.md for what is alike and what is not.
WORKLOADS = [
    ("timers", "timers", 3, dict(bare=4_000_000, madsim=1_000_000, turmoil=1_000_000, moonpool=400_000, ours=2_000_000)),
    ("datagrams-1", "datagram round trips, 1 in flight", 10, dict(bare=3_000_000, madsim=100_000, turmoil=20_000, ours=1_000_000)),
    ("datagrams-32", "datagram round trips, 32 in flight", 5, dict(bare=2_000_000, madsim=100_000, turmoil=200_000, ours=1_000_000)),
    ("streams-1", "stream round trips, 1 in flight", 3, dict(bare=3_000_000, madsim=150_000, turmoil=20_000, moonpool=100_000, ours=500_000)),
    ("streams-32", "stream round trips, 32 in flight", 3, dict(bare=2_000_000, madsim=150_000, turmoil=150_000, moonpool=80_000, ours=500_000)),
    ("disk", "4 KiB write + fsync, with latency", 0, dict(bare=1_000_000, turmoil=50_000, moonpool=150_000, ours=300_000)),
    ("disk-at-once", "4 KiB write + fsync, without latency", 0, dict(bare=1_000_000, madsim=800_000, turmoil=300_000, ours=500_000)),
    ("worlds-datagrams", "8-node worlds, a datagram round trip each", 0, dict(bare=600_000, madsim=5_000, turmoil=1_500, ours=12_000)),
    ("worlds-streams", "8-node worlds, a stream round trip each", 0, dict(bare=600_000, madsim=5_000, turmoil=1_500, moonpool=10_000, ours=10_000)),
    ("idle-8", "virtual seconds of 8 idle nodes", 0, dict(bare=2_000_000, madsim=100_000, turmoil=20, moonpool=60_000, ours=400_000)),
    ("idle-100", "virtual seconds of 100 idle nodes", 0, dict(bare=60_000, madsim=8_000, turmoil=1, moonpool=5_000, ours=40_000)),
]


# Shown in brackets and not compared: madsim's sync does nothing.
UNLIKE = {("disk-at-once", "madsim")}


def fail(message):
    """Ends with one line that tells what, where, and what would be right."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


class Parser(argparse.ArgumentParser):
    def error(self, message):
        fail(f"{message}; see --help")


def rounds(text):
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000")
    return int(text)


def arguments():
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=rounds, default=5, metavar="N", help="default: 5")
    names = [name for name, *_ in WORKLOADS]
    parser.add_argument(
        "--only", action="append", choices=names, metavar="WORKLOAD",
        help="this workload, may be given again: " + ", ".join(names),
    )
    return parser.parse_args()


def build():
    """Each by itself, so that no peer gets the features that another one asks for."""
    for side in SIDES:
        # Where madsim's settings for cargo are.
        folder = FOLDER / side
        try:
            done = subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"], cwd=folder)
        except OSError as error:
            fail(f"cargo: {error.strerror}; a Rust toolchain is needed")
        if done.returncode != 0:
            fail(f"{folder}: cargo build failed, see above")


def run(side, workload, elements):
    """The rate of one run, per second of CPU time."""
    command = [str(FOLDER / "target/release" / f"peer-{side}"), workload, str(elements)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        said = done.stderr.strip() or "it said nothing"
        fail(f"peer-{side} {workload} {elements}: exit status {done.returncode}: {said}")
    elements_done, cpu_ns = map(int, done.stdout.split())
    if not elements <= elements_done <= elements + 1000 or cpu_ns == 0:
        fail(f"peer-{side} {workload} {elements}: said {done.stdout.strip()!r}, not so many elements and a time")
    return elements_done / cpu_ns * 1e9


def measure(workloads, count):
    """Rates by workload and side, one a round."""
    rates = {name: {side: [] for side in sizes} for name, _, _, sizes in workloads}
    for number in range(count):
        print(f"round {number + 1} of {count}", file=sys.stderr)
        for name, _, _, sizes in workloads:
            for side, elements in sizes.items():
                rates[name][side].append(run(side, name, elements))
    return rates


def rate(value):
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}" if value < 999.5 * size else f"{value / size:.0f} {unit}"
    return f"{value:.3g}"


def row(workload, rates):
    """The table's row of a workload, and whether its target holds."""
    name, what, target, _ = workload
    medians = {side: statistics.median(values) for side, values in rates.items()}
    alike = [side for side in PEERS if side in medians and (name, side) not in UNLIKE]
    best = max(alike, key=medians.get)
    ratio = statistics.median(ours / peer for ours, peer in zip(rates["ours"], rates[best]))
    holds = ratio >= target if target else ratio > 1
    cells = [rate(medians[side]) if side in medians else "–" for side in SIDES]
    cells = [f"({cell})" if (name, side) in UNLIKE else cell for side, cell in zip(SIDES, cells)]
    wanted = f"≥ {target} ×" if target else "> 1 ×"
    verdict = "holds" if holds else "**missed**"
    return [what, *cells, f"{ratio:.2f} × {best}", wanted, verdict], holds


def versions():
    with open(FOLDER / "Cargo.lock", "rb") as file:
        locked = {package["name"]: package["version"] for package in tomllib.load(file)["package"]}
    return {side: f"{side} {locked[package]}" for side, package in PEERS.items()}


def main():
    options = arguments()
    workloads = [each for each in WORKLOADS if not options.only or each[0] in options.only]
    build()
    rates = measure(workloads, options.rounds)
    named = versions()
    table = [["per second of CPU time", *(named.get(side, side) for side in SIDES), "ours / best peer", "target", ""]]
    table.append(["---", *["--:"] * (len(SIDES) + 1), "---", "---"])
    rows = [row(workload, rates[workload[0]]) for workload in workloads]
    for cells in table + [cells for cells, _ in rows]:
        print("|", " | ".join(cells), "|")
    sys.exit(0 if all(holds for _, holds in rows) else 1)


if __name__ == "__main__":
    main()
