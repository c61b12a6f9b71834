"""The torture's workers and its oracle, and a deliberately simple lock that they must catch.

Each hold writes records to one file under O_APPEND: one when it begins, some inside, one when it asks ``check()``, one
before it ends. A record of one hold after the beginning of another is an overlap. So a killed holder, which writes no
more, is never held against those that come after it.

    python lock_torture.py KIND PATH LOG [what the system shall lack, with commas]

KIND: simple, processes, threads, tasks, stopped (of processes with a small ``stale_after``).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bough import aio
from bough.lock import SessionLock, system

STALE_AFTER = 0.2
"""Of the kind "stopped", seconds."""


class Lock(Protocol):
    @property
    def token(self) -> int | None: ...
    def acquire(self, timeout: float) -> bool: ...
    def check(self) -> bool: ...
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

    def check(self) -> bool:
        return True

    def release(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.lock)


class Log:
    """The records of one line of holds."""

    def __init__(self, log: str, name: str) -> None:
        self.fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.name = name
        self.number = 0

    def begin(self, token: int | None) -> None:
        self.number += 1
        self.write("begin", token or 0)

    def write(self, word: str, *more: object) -> None:
        os.write(self.fd, " ".join(map(str, (word, f"{self.name}.{self.number}", *more))).encode() + b"\n")


def work(make: type[SimpleLock | SessionLock], path: str, log: Log, **options: float) -> None:
    lock: Lock = make(path, **options)
    chance = random.Random(log.name)
    while True:
        if chance.random() < 0.3:
            lock = make(path, **options)
        if not lock.acquire(chance.choice([0, 0.001, 1])):
            continue
        log.begin(lock.token)
        for _ in range(chance.randrange(4)):
            os.sched_yield()
            log.write("inside")
        log.write("check")
        log.write("end", int(lock.check()))
        lock.release()


async def work_as_task(path: str, log: Log) -> None:
    lock = aio.SessionLock(path)
    chance = random.Random(log.name)
    for step in itertools.count():
        try:
            async with asyncio.timeout(chance.choice([0.0005, 0.01, 5])):  # a cancellation, wherever it hits
                if not await lock.acquire(chance.choice([0, 0.001, 1])):
                    continue
                await hold_as_task(lock, path, log, chance, nested=step % 5 == 0)
        except TimeoutError:
            pass


async def hold_as_task(lock: aio.SessionLock, path: str, log: Log, chance: random.Random, *, nested: bool) -> None:
    try:
        log.begin(lock.token)
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
            log.write("inside")
        if nested:

            async def child() -> None:
                async with aio.SessionLock(path):
                    log.write("inside")

            # A child section that was cancelled may end after its parent's; it is the same hold all the while.
            await child()
            await asyncio.to_thread(write_nested, path, log, lock.token)
        log.write("end", 1)
    finally:
        await lock.release()


def write_nested(path: str, log: Log, token: int | None) -> None:
    """In a thread, which goes on when the task that awaits it is cancelled: then it keeps that hold, or comes too late
    for it and gets one of its own."""
    lock = SessionLock(path)
    if not lock.acquire(1):
        return
    if lock.token == token:
        log.write("inside")
    lock.release()


def main(kind: str, path: str, log: str, lacking: str = "") -> None:
    for name in filter(None, lacking.split(",")):
        setattr(system.has, name, False)
    me = str(os.getpid())
    if kind == "simple":
        work(SimpleLock, path, Log(log, me))
    if kind == "stopped":
        work(SessionLock, path, Log(log, me), stale_after=STALE_AFTER, heartbeat=STALE_AFTER / 4)
    if kind in ("threads", "tasks"):
        for number in range(1 if kind == "tasks" else 3):
            name = f"{me}.{number}"
            threading.Thread(target=work, args=(SessionLock, path, Log(log, name)), daemon=True).start()
    if kind == "tasks":

        async def tasks() -> None:
            await asyncio.gather(*(work_as_task(path, Log(log, f"{me}.task{number}")) for number in range(4)))

        asyncio.run(tasks())
    work(SessionLock, path, Log(log, me))


# -- the oracle --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Verdict:
    holds: int = 0
    overlaps: int = 0
    are_tokens_ordered: bool = True
    robbed: int = 0
    """Holds whose ``check()`` said at the end that they had lost the lock."""
    foreign: int = 0
    """Holds of the Node.js peer."""
    taken: int = 0
    """Holds of ours that began inside one of the peer's, and whose ``check()`` said that they had the lock. (One that
    was stopped between getting it and saying so may begin too late: then it was robbed.)"""
    unnoticed: int = 0
    """Holds of ours into which the peer came, and whose ``check()`` after that did not say so."""
    aged: int = 0
    """Times that the peer judged a lock of ours stale by its age."""


def records(log: Path) -> Iterator[list[str]]:
    data = log.read_bytes()
    for line in data[: data.rfind(b"\n") + 1].decode().splitlines():
        yield line.split()


def count(log: Path) -> Verdict:
    verdict = Verdict()
    current = ""
    last = 0
    peer_is_in = came_in = must_notice = began_inside = False
    for word, hold, *rest in records(log):
        if word == "peer-begin":
            verdict.foreign += 1
            peer_is_in = came_in = True
        elif word == "peer-end":
            peer_is_in = False
        elif word == "peer-age":
            verdict.aged += 1
        elif word.startswith("peer"):
            pass
        elif word == "begin":
            verdict.holds += 1
            began_inside = peer_is_in
            current = hold
            came_in = must_notice = False
            verdict.are_tokens_ordered = verdict.are_tokens_ordered and int(rest[0]) > last
            last = int(rest[0])
        elif hold != current:
            verdict.overlaps += 1
            current = hold
        elif word == "check":
            must_notice = came_in
        elif word == "end":
            verdict.robbed += rest[0] == "0"
            verdict.taken += began_inside and rest[0] == "1"
            verdict.unnoticed += must_notice and rest[0] == "1"
    return verdict


if __name__ == "__main__":
    main(*sys.argv[1:])
