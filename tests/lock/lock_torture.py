"""The torture's worker and its oracle, and a deliberately simple lock that they must catch.

Each hold writes records to one file under O_APPEND: one when it begins, some inside, one before it ends. A record of
one hold after the beginning of another is an overlap. So a killed holder, which writes no more, is never held against
those that come after it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from bough.lock import SessionLock


class Lock(Protocol):
    @property
    def token(self) -> int | None: ...
    def acquire(self, timeout: float) -> bool: ...
    def release(self) -> None: ...


class SimpleLock:
    """Look, judge stale, unlink, create exclusively, write; release by path. What everybody writes first."""

    def __init__(self, path: str) -> None:
        self.lock = path + ".lock"
        self.token = None

    def acquire(self, timeout: float) -> bool:
        end = time.monotonic() + timeout
        while not self._try():
            if time.monotonic() > end:
                return False
            os.sched_yield()
        return True

    def _try(self) -> bool:
        try:
            with open(self.lock) as file:
                pid = json.load(file)["pid"]
            os.kill(pid, 0)
        except FileNotFoundError:
            pass
        except (ProcessLookupError, ValueError):
            os.sched_yield()
            try:
                os.unlink(self.lock)
            except FileNotFoundError:
                return False
        else:
            return False
        try:
            fd = os.open(self.lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            return False
        os.sched_yield()
        os.write(fd, json.dumps({"pid": os.getpid()}).encode())
        os.close(fd)
        return True

    def release(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.lock)


def work(kind: str, path: str, log: str) -> None:
    lock: Lock = SimpleLock(path) if kind == "simple" else SessionLock(path)
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    chance = random.Random(os.getpid())
    for number in itertools.count():
        if kind == "new" and chance.random() < 0.3:
            lock = SessionLock(path)
        if not lock.acquire(chance.choice([0, 0.001, 1])):
            continue
        hold = f"{os.getpid()}.{number}"
        os.write(fd, f"begin {hold} {lock.token or 0}\n".encode())
        for _ in range(chance.randrange(4)):
            os.sched_yield()
            os.write(fd, f"inside {hold}\n".encode())
        os.write(fd, f"end {hold}\n".encode())
        lock.release()


def records(log: Path) -> Iterator[list[str]]:
    for line in log.read_text().splitlines():
        yield line.split()


def count(log: Path) -> tuple[int, int, bool]:
    """Holds that began, overlaps among them, and whether their tokens strictly increase."""
    holds = overlaps = last = 0
    current = ""
    ordered = True
    for word, hold, *rest in records(log):
        if word == "begin":
            holds += 1
            current = hold
            ordered = ordered and int(rest[0]) > last
            last = int(rest[0])
        elif hold != current:
            overlaps += 1
            current = hold
    return holds, overlaps, ordered


if __name__ == "__main__":
    work(*sys.argv[1:])
