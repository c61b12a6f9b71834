"""One system in a process of its own, told what to do over a pipe: ``python worker.py SYSTEM``.

A line of JSON in, a line of JSON out. The process keeps what it prepared, so that the systems can take turns, and can
be killed when it takes too long. Whatever it reads is compared with what it wrote: a driver that reads something else
fails.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from systems import Driver, Durability, Message, Runner, load, message

MERGED = 10
MOST_SECONDS = 0.3
"""One turn of one measurement ends after these, at the first call that is over."""


class Worker:
    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.run = Runner(driver)
        self.path = Path()
        self.count = 0
        self.middle = 0
        self.durability: Durability = "lazy"

    # -- commands: each gives what the answer says -----------------------------------------------------------------

    def hello(self) -> object:
        driver = self.driver
        versions = {name: _version(name) for name in driver.packages}
        return {
            "durability": driver.durability,
            "missing": dict(driver.missing),
            "versions": versions,
        }

    def fill(self, path: str, messages: int) -> object:
        """Seconds. Lazy, so that a system without a batch call is not judged by its syncs here."""
        self.path = Path(path)
        self.path.mkdir(parents=True)
        begin = time.perf_counter()
        self.run("open", self.path, "lazy")
        self.middle = messages // 4 * 2  # even, for the systems that can only fork before a user's message
        for first, last in ((0, self.middle), (self.middle, messages)):
            for batch in _batches(first, last, self.driver.batch):
                self.run("append", batch)
        self.run("close")
        self.count = messages
        self.run("open", self.path, "full")
        return time.perf_counter() - begin

    def reopen(self, durability: Durability) -> object:
        self.run("close")
        self.durability = durability
        return self.run("open", self.path, durability)[1]

    def size(self) -> object:
        """Bytes on disk, after the last connection was closed (which ends SQLite's write-ahead log)."""
        self.run("close")
        size = sum(each.stat().st_size for each in self.path.rglob("*") if each.is_file())
        self.run("open", self.path, self.durability)
        return size

    def measure(self, what: str, times: int, most_seconds: float = MOST_SECONDS) -> object:
        """Seconds, one for each call."""
        samples: list[float] = []
        end = time.perf_counter() + most_seconds
        while len(samples) < times and (not samples or time.perf_counter() < end):
            samples.append(getattr(self, f"_{what}")())
        return samples

    # -- measurements ----------------------------------------------------------------------------------------------

    def _append(self) -> float:
        seconds = self.run("append", [message(self.count)])[1]
        self.count += 1
        return seconds

    def _tail(self) -> float:
        return self._check("tail", min(20, self.count), 20)

    def _history(self) -> float:
        return self._check("history", self.count)

    def _check(self, verb: str, expected: int, *arguments: int) -> float:
        items, seconds = self.run(verb, *arguments)
        last = message(self.count - 1)["content"]
        if len(items) != expected or self.driver.text(items[-1]) != last:
            raise AssertionError(f"{verb} gave {len(items)} messages instead of {expected}, or others")
        return seconds

    def _fork(self) -> float:
        seconds = self.run("fork", self.middle)[1]
        self.run("home")
        return seconds

    def _branches(self) -> float:
        return self.run("branches")[1]

    def _merge(self) -> float:
        more = [message(self.count + each) for each in range(MERGED)]
        branch = self.run("branch_with", more)[0]
        seconds = self.run("merge", branch)[1]
        self.count += MERGED
        return seconds

    def _open(self) -> float:
        """Opening and reading the last 20, in a process that has done it before."""
        self.run("close")
        seconds = self.run("open", self.path, self.durability)[1]
        return seconds + self.run("tail", 20)[1]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:  # Bough, run from its sources
        return str(importlib.import_module(name).__version__)


def _batches(first: int, last: int, size: int | None) -> Iterator[list[Message]]:
    for begin in range(first, last, size or max(1, last - first)):
        yield [message(number) for number in range(begin, min(last, begin + (size or last)))]


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a system prints must not be an answer
    try:
        worker = Worker(load(sys.argv[1]))
    except ImportError as error:
        answers.write(json.dumps({"missing": str(error)}) + "\n")
        return
    for line in sys.stdin:
        command: dict[str, Any] = json.loads(line)
        try:
            answer: object = {"result": getattr(worker, command.pop("do"))(**command)}
        except Exception as error:  # noqa: BLE001 - shown in the table: a system that fails at a size is a result
            answer = {"error": f"{type(error).__name__}: {error}"[:200]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
