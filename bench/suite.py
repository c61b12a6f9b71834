"""What ``bench/run`` does; see there."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import report
from measure import Row, measure_fan, measure_point
from speed import Check, speed_table
from systems import SYSTEMS

BUSY = 0.7
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run", description="Bough beside its peers, and its speed table.")
    parser.add_argument("--quick", action="store_true", help="some minutes: up to 10,000 messages, 20 s a system")
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, metavar="SYSTEM", help=f"of {', '.join(SYSTEMS)}")
    parser.add_argument("--points", nargs="+", type=int, metavar="MESSAGES", help="sizes of the growth curves")
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="a system and size may take (60)")
    parser.add_argument("--rounds", type=int, help="turns of each measurement (7)")
    parser.add_argument("--branches", type=int, help="forks of the table of many branches (1,000)")
    parser.add_argument(
        "--large", type=int, metavar="MESSAGES", help="the large session of the speed table (1,000,000)"
    )
    parser.add_argument("--no-speed", action="store_true", help="leave the speed table out")
    parser.add_argument("--no-growth", action="store_true", help="leave the peers out: only the speed table")
    parser.add_argument("--folder", type=Path, help="on the file system to measure (default: the temporary one)")
    parser.add_argument("--output", type=Path, default=PAGE, metavar="PAGE", help="default: docs/benchmarks.md")
    parser.add_argument("--print", action="store_true", dest="print_only", help="print the blocks, leave the page")
    options = parser.parse_args(words)
    quick = options.quick
    options.only = options.only or list(SYSTEMS)
    options.points = options.points or ([10, 1_000, 10_000] if quick else [10**power for power in range(1, 7)])
    options.budget = options.budget or (20 if quick else 60)
    options.rounds = options.rounds or (3 if quick else 7)
    options.branches = options.branches or (200 if quick else 1_000)
    options.large = options.large or (100_000 if quick else 1_000_000)
    return options


def main(words: Sequence[str] | None = None) -> int:
    options = arguments(words)
    begin = time.monotonic()
    busy = ""
    if os.getloadavg()[0] > BUSY:
        busy = f", **on a busy machine: a load of {os.getloadavg()[0]:.1f} before it began**"
        print(f"Not a quiet machine{busy}. Any sync may wait for a tick of the scheduler, 4 ms: FULL means little now.")
    checks: list[Check] = []
    points: dict[int, list[Row]] = {}
    fan: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="bough-bench-", dir=options.folder) as name:
        root = Path(name)
        if not options.no_growth:
            limits = {"budget": options.budget, "rounds": options.rounds}
            for messages in options.points:
                points[messages] = measure_point(options.only, messages, root, **limits)
            fan = measure_fan(options.only, options.branches, root, **limits)
        if not options.no_speed:
            checks = speed_table(root, large=options.large, rounds=2 * options.rounds)
        minutes = (time.monotonic() - begin) / 60
        settings = (
            f"`{' '.join(['bench/run', *(sys.argv[1:] if words is None else words)])}`, took {minutes:.0f} min{busy}"
        )
        blocks = {"machine": report.machine(root, settings)}
    if points:
        blocks |= {
            "systems": report.systems(points),
            "growth": report.growth(points),
            "sizes": report.sizes(points),
            "branches": report.fans(options.branches, fan),
            "slower": report.slower(points, fan),
        }
    if checks:
        blocks["speed"] = report.speed(checks)
    publish(options, points, blocks)
    return 0 if all(check.good for check in checks) else 1


def publish(options: argparse.Namespace, points: report.Points, blocks: dict[str, str]) -> None:
    if options.print_only:
        for name, block in blocks.items():
            print(f"\n## {name}\n\n{block}")
        return
    report.replace_blocks(options.output, blocks)
    print(f"written: {os.path.relpath(options.output)}")
    if len(points) > 1:
        try:
            report.plot(points, options.output.with_suffix(".svg"))
        except ImportError as error:
            print(f"no plot: {error}")
