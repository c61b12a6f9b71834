"""The JSON store against the bare system calls it stands on. Run: ``python bench/json_store.py [--quick]``.

Every row is a ratio of medians from rounds that take turns in one run, so that a noisy machine disturbs both sides;
messages are 500 bytes. A row that misses its limit makes the exit code 1.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from bough import ConversationBranchManager, open_store
from bough.stores.base import Durability

MESSAGE = {"role": "user", "content": "x" * 468}
LINE = orjson.dumps(MESSAGE)
QUICK = "--quick" in sys.argv
ROUNDS = 15 if QUICK else 40

failed = False


def measure(*actions: Callable[[], object], rounds: int = ROUNDS, times: int = 20) -> list[float]:
    """Median seconds of each action; they take turns, ``times`` calls at a turn."""
    os.sync()  # what was prepared must not be written back while we measure
    samples: list[list[float]] = [[] for _ in actions]
    for _ in range(rounds):
        for action, sample in zip(actions, samples, strict=True):
            for _ in range(times):
                begin = time.perf_counter()
                action()
                sample.append(time.perf_counter() - begin)
    return [statistics.median(sample) for sample in samples]


def row(what: str, value: float, limit: float, unit: str = "x", note: str = "") -> None:
    global failed
    good = value <= limit
    failed |= not good
    print(f"{'ok  ' if good else 'MISS'}  {what:<58} {value:8.2f} {unit:<2} (at most {limit:g}){note}")


def manager(root: Path, name: str, count: int, durability: Durability = "full") -> ConversationBranchManager:
    made = ConversationBranchManager(name, store=open_store(root, durability=durability))
    if count:
        made.set_messages([MESSAGE] * count)
    return made


def bare_append(root: Path) -> Callable[[], None]:
    descriptor = os.open(root / "bare", os.O_CREAT | os.O_WRONLY, 0o600)
    offset = 0

    def append() -> None:
        nonlocal offset
        os.pwrite(descriptor, LINE, offset)
        offset += len(LINE)
        os.fdatasync(descriptor)

    return append


def appends(root: Path) -> None:
    small, large = manager(root, "small", 10), manager(root, "large", 100_000)
    lazy, lazy_large = manager(root, "lazy", 10, "lazy"), manager(root, "lazy-large", 100_000, "lazy")
    bare, full, at_large, quick, quick_large = measure(
        bare_append(root),
        lambda: small.add_message(MESSAGE),
        lambda: large.add_message(MESSAGE),
        lambda: lazy.add_message(MESSAGE),
        lambda: lazy_large.add_message(MESSAGE),
    )
    times = f"   {full * 1e6:.0f} : {bare * 1e6:.0f} us"
    row("append, full : one bare pwrite + fdatasync", full / bare, 1.7, note=times)
    row("append, lazy : append, full", quick / full, 0.4, note=f"   {quick * 1e6:.0f} us")
    row("append, full at 100,000 messages : at 10", at_large / full, 1.3)
    row("append, lazy at 100,000 messages : at 10", quick_large / quick, 1.3)


def reads(root: Path) -> None:
    large, middle = manager(root, "large", 0), manager(root, "middle", 10_000)
    path = root / "middle" / "main.json"
    [tail] = measure(lambda: large.get_messages(start=-20), times=10)
    row("last 20 messages of 100,000", tail * 1e3, 1.0, "ms")
    whole, decode = measure(middle.get_messages, lambda: orjson.loads(path.read_bytes()), rounds=ROUNDS // 2, times=1)
    row("all of 10,000 : orjson.loads of the document", whole / decode, 1.5)


def listing(root: Path) -> None:
    session = manager(root, "many", 50)
    for number in range(999):
        session.create_branch(f"b{number}", f"Branch {number}", "main")

    def cold() -> None:
        with ConversationBranchManager("many", store=root) as fresh:
            assert len([(each.name, len(each.messages)) for each in fresh.get_all_branches()]) == 1000

    [seconds] = measure(cold, rounds=ROUNDS // 2, times=1)
    row("list 1,000 branches of 50 messages, cold", seconds * 1e3, 40, "ms")


def forks(root: Path) -> None:
    session = manager(root, "middle", 0)
    source = root / "middle" / "main.json"
    half = len(LINE) * 5_000 + 2 * 5_000
    number = 0

    def fork() -> None:
        nonlocal number
        number += 1
        session.create_branch(f"f{number}", "Fork", "main", 5_000)

    def copy() -> None:
        reading, writing = os.open(source, os.O_RDONLY), os.open(root / f"copy{number}", os.O_CREAT | os.O_WRONLY)
        left = half
        while left:
            left -= os.copy_file_range(reading, writing, left)
        os.fsync(writing)
        os.close(reading)
        os.close(writing)

    forked, copied = measure(copy, fork, times=1)[::-1]
    times = f"   {forked * 1e3:.1f} ms"
    row("fork in the middle of 10,000 : copy_file_range + fsync", forked / copied, 2.5, note=times)


def merges(root: Path) -> None:
    session = manager(root, "merging", 10_000)
    plain = manager(root, "plain", 10_000)
    number = 0

    def prepare() -> None:
        nonlocal number
        number += 1
        session.create_branch(f"m{number}", "Source")
        session.checkout(f"m{number}")
        session.add_messages([MESSAGE] * 10)
        session.checkout("main")

    merged, appended = [], []
    for _ in range(ROUNDS):
        prepare()
        [seconds] = measure(lambda: session.merge(f"m{number}"), rounds=1, times=1)
        merged.append(seconds)
        appended += measure(lambda: plain.add_message(MESSAGE), rounds=1, times=3)
    row("merge of 10 into 10,000 : append", statistics.median(merged) / statistics.median(appended), 4)


def start_up() -> None:
    def run(*arguments: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    bough = "import sys; from bough.cli import run; sys.argv = ['bough', '--version']; run()"
    version, click = measure(run("-c", bough), run("-c", "import click"), rounds=ROUNDS // 2, times=1)
    row("bough --version : python -c 'import click'", version / click, 1.5)


def main() -> int:
    root = Path(tempfile.mkdtemp(prefix="bough-bench-", dir=os.environ.get("BOUGH_BENCH_DIR")))
    try:
        appends(root)
        reads(root)
        listing(root)
        forks(root)
        merges(root)
        start_up()
    finally:
        shutil.rmtree(root)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
