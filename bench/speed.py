"""The speed table: what Bough's SQLite store promises, measured in one run. Run: ``python bench/speed.py [--quick]``.

Every limit that can be is a ratio to something measured in turns with it, so that a noisy machine disturbs both sides;
messages are 500 bytes, times are medians. The floor of a write is one prepared INSERT a commit into a plain WAL table
through Python's ``sqlite3``; what apsw takes for it stands beside. A row that misses its limit makes the exit code 1.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from systems import Durability, Runner, load, message

Action = Callable[[], float]
"""Does something once and gives the seconds of the part that counts."""

LARGE = 1_000_000
OPENED = """
import importlib, pkgutil, sys, time
import bough.stores
from bough import ConversationBranchManager
for module in pkgutil.walk_packages(bough.stores.__path__, "bough.stores."):
    importlib.import_module(module.name)
begin = time.perf_counter()
with ConversationBranchManager("talk", store=sys.argv[1], create=False) as talk:
    assert len(talk.get_messages(sys.argv[2])) == int(sys.argv[3])
    print(time.perf_counter() - begin)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One row: ``value`` must be at most ``limit``, or at least it."""

    what: str
    value: float
    limit: float
    unit: str = "×"
    note: str = ""
    at_least: bool = False

    @property
    def good(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        bound = f"{'≥' if self.at_least else '≤'} {self.limit:g}"
        mark = "ok  " if self.good else "MISS"
        return f"{mark}  {self.what:<56} {self.value:9.2f} {self.unit:<3} ({bound})   {self.note}"


def interleave(*actions: Action, rounds: int, times: int = 20) -> list[float]:
    """Median seconds of each; they take turns, ``times`` calls at a turn. A first turn is for warming up."""
    os.sync()  # what was prepared must not be written back while we measure
    samples: list[list[float]] = [[] for _ in actions]
    for turn in range(rounds + 1):
        for action, sample in zip(actions, samples, strict=True):
            taken = [action() for _ in range(times)]
            if turn:
                sample += taken
    return [statistics.median(sample) for sample in samples]


class Subject:
    """A system with messages in it, and the actions that are measured on it."""

    def __init__(self, system: str, path: Path, count: int, durability: Durability = "full") -> None:
        self.run = Runner(load(system))
        self.path = path
        self.count = count
        self.middle = count // 4 * 2
        self.run("open", path, "lazy")
        for begin in range(0, count, 10_000):
            self.run("append", [message(number) for number in range(begin, min(count, begin + 10_000))])
        self.reopen(durability)

    def reopen(self, durability: Durability) -> None:
        self.run("close")
        self.run("open", self.path, durability)

    def append(self) -> float:
        self.count += 1
        return self.run("append", [message(self.count)])[1]

    def tail(self) -> float:
        items, seconds = self.run("tail", 20)
        assert len(items) == 20
        return seconds

    def history(self) -> float:
        items, seconds = self.run("history")
        assert len(items) == self.count
        return seconds

    def fork(self) -> float:
        """Moves to the fork, as it should; an undo comes back."""
        return self.run("fork", self.middle)[1]

    def merge(self) -> float:
        self.count += 10
        branch = self.run("branch_with", [message(number) for number in range(10)])[0]
        return self.run("merge", branch)[1]

    def undo_fork(self) -> float:
        kind, seconds = self.run("undo")
        assert kind == "fork"
        return seconds

    def undo_merge(self) -> float:
        kind, seconds = self.run("undo")
        assert kind == "merge"
        self.count -= 10
        return seconds

    def branches(self) -> float:
        return self.run("branches")[1]

    def size(self) -> int:
        """Bytes on disk, after closing: a write-ahead log is gone by then."""
        self.run("close")
        size = sum(each.stat().st_size for each in self.path.rglob("*") if each.is_file())
        self.run("open", self.path, "full")
        return size


class SpeedTable:
    """Measures, and keeps the rows."""

    def __init__(self, root: Path, *, large: int, rounds: int, system: str) -> None:
        self.root = root
        self.rounds = rounds
        self.system = system
        self.checks: list[Check] = []
        self.large_count = large
        self.large = self._subject("large", large)

    def run(self) -> list[Check]:
        """All rows."""
        self._appends()
        self._forks()
        self._merges()
        self._reads()
        self._many_branches()
        return self.checks

    def _subject(self, name: str, count: int, system: str | None = None) -> Subject:
        path = self.root / name
        path.mkdir()
        return Subject(system or self.system, path, count)

    def _check(
        self, what: str, value: float, limit: float, unit: str = "×", note: str = "", *, at_least: bool = False
    ) -> None:
        self.checks.append(Check(what=what, value=value, limit=limit, unit=unit, note=note, at_least=at_least))
        print(self.checks[-1], flush=True)

    def _appends(self) -> None:
        size = f"{self.large_count:,}"
        small = self._subject("small", 10)
        floors = [self._subject(system, 10, system) for system in ("raw-sqlite3", "raw-apsw")]
        floor, quicker, at_10, at_large = interleave(
            *(floor.append for floor in floors), small.append, self.large.append, rounds=self.rounds
        )
        note = f"{_us(at_10)} : {_us(floor)} (apsw {_us(quicker)})"
        self._check("append, FULL : raw insert", at_10 / floor, 1.5, note=note)
        self._check(f"append, FULL, at {size} : raw insert", at_large / floor, 1.5, note=_us(at_large))
        self._check(f"append, FULL, at {size} : at 10", at_large / at_10, 1.3)
        try:
            peer = self._subject("openai", 10, "openai-sqlite")
        except ImportError as error:
            print(f"      OpenAI SQLiteSession is not installed ({error}), and not compared")
            peer = None
        for each in (*floors, small, self.large, *([peer] if peer else [])):
            each.reopen("lazy")
        floor, quicker, at_10, at_large, slowest = interleave(
            *(floor.append for floor in floors),
            small.append,
            self.large.append,
            (peer or small).append,
            rounds=self.rounds,
            times=50,
        )
        note = f"{_us(at_10)} : {_us(floor)} (apsw {_us(quicker)})"
        self._check("append, lazy : raw insert at NORMAL", at_10 / floor, 3, note=note)
        self._check(f"append, lazy, at {size} : at 10", at_large / at_10, 1.3, note=_us(at_large))
        if peer:
            note = f"{_us(slowest)} : {_us(at_10)}"
            self._check("OpenAI SQLiteSession at NORMAL : append, lazy", slowest / at_10, 3.5, note=note, at_least=True)
        self.large.reopen("full")

    def _forks(self) -> None:
        size = f"{self.large_count:,}"
        append, fork, undo = interleave(
            self.large.append, self.large.fork, self.large.undo_fork, rounds=self.rounds * 10, times=1
        )
        self._check(f"fork in the middle of {size} : append", fork / append, 2, note=f"{_us(fork)} : {_us(append)}")
        self._check("undo of that fork : append", undo / append, 3, note=_us(undo))
        count = 20 * self.rounds
        before = self.large.size()
        for _ in range(count):
            self.large.fork()
            self.large.run("home")
        self._check("disk for a fork", (self.large.size() - before) / count, 1024, "B")

    def _merges(self) -> None:
        size = f"{self.large_count:,}"
        append, merge, undo = interleave(
            self.large.append, self.large.merge, self.large.undo_merge, rounds=self.rounds * 3, times=1
        )
        self._check(f"merge of 10 into {size} : append", merge / append, 3, note=f"{_us(merge)} : {_us(append)}")
        self._check("undo of that merge : append", undo / append, 3, note=_us(undo))

    def _reads(self) -> None:
        [tail] = interleave(self.large.tail, rounds=self.rounds, times=10)
        self._check(f"last 20 of {self.large_count:,}", tail * 1e6, 300, "µs")
        middle = self._subject("middle", 10_000)
        floors = [self._subject(f"middle-{system}", 10_000, system) for system in ("raw-sqlite3", "raw-apsw")]
        *raw, history = interleave(
            *(floor.history for floor in floors), middle.history, rounds=self.rounds * 2, times=1
        )
        note = f"{history * 1e3:.1f} : {min(raw) * 1e3:.1f} ms"
        self._check("all of 10,000 : raw SELECT + msgspec", history / min(raw), 1.4, note=note)

    def _many_branches(self) -> None:
        many = self._subject("many", 50)
        many.middle = 50
        for _ in range(999):
            many.fork()
            many.run("home")
        [listed] = interleave(many.branches, rounds=self.rounds, times=3)
        self._check("list 1,000 branches", listed * 1e3, 5, "ms")
        many.run("close")
        url = f"{self.system.removeprefix('bough-')}:{many.path / 'store'}"
        samples = [
            float(subprocess.check_output([sys.executable, "-c", OPENED, url, "main", "50"]))
            for _ in range(self.rounds)
        ]
        self._check("new process: open 1,000 branches, read one of 50", statistics.median(samples) * 1e3, 5, "ms")


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} µs"


def speed_table(root: Path, *, large: int = LARGE, rounds: int = 15, system: str = "bough-sqlite") -> list[Check]:
    """Prints the rows as they come, and gives them. ``root`` is a folder on the file system to measure."""
    return SpeedTable(root, large=large, rounds=rounds, system=system).run()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100,000 messages instead of 1,000,000, fewer rounds")
    parser.add_argument("--large", type=int, metavar="MESSAGES", help="how many messages the large session holds")
    parser.add_argument("--store", default="sqlite", help="another store, to look at; the limits are SQLite's")
    options = parser.parse_args()
    large = options.large or (100_000 if options.quick else LARGE)
    with tempfile.TemporaryDirectory(prefix="bough-bench-") as name:
        checks = speed_table(
            Path(name), large=large, rounds=5 if options.quick else 15, system=f"bough-{options.store}"
        )
    return 0 if all(check.good for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
