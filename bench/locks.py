"""What a hold costs: SessionLock beside the two things it is made of, interleaved in one run.

    python bench/locks.py [--rounds N] [--holds N] [--folder DIR]

Uncontended: p50 of acquire + release in microseconds, each figure the median of the rounds' p50, the ratio to
raw O_EXCL (create, write, unlink: the simple protocol) taken round by round. Contended: processes that take the same
lock in turns for a given time: holds a second, longest wait, and the smallest share of one process in the holds.
Woken: from a holder's release, or its SIGKILL, to the return of another process's acquire.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bough.lock import SessionLock

RECORD = b'{"pid":12345,"timestamp":1763694419123,"hostname":"localhost"}'


def candidates(folder: Path) -> dict[str, Callable[[], None]]:
    """One uncontended hold of each kind."""
    reused = SessionLock(folder / "reused")
    exclusive = str(folder / "exclusive.lock")
    flocked = os.open(folder / "flocked", os.O_RDWR | os.O_CREAT, 0o600)

    def raw_exclusive() -> None:
        fd = os.open(exclusive, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        os.write(fd, RECORD)
        os.close(fd)
        os.unlink(exclusive)

    def raw_flock() -> None:
        fcntl.flock(flocked, fcntl.LOCK_EX)
        fcntl.flock(flocked, fcntl.LOCK_UN)

    def session_lock() -> None:
        reused.acquire()
        reused.release()

    def new_session_lock() -> None:
        lock = SessionLock(folder / "new")
        lock.acquire()
        lock.release()

    return {
        "raw O_EXCL": raw_exclusive,
        "raw flock": raw_flock,
        "SessionLock, reused": session_lock,
        "SessionLock, new object": new_session_lock,
    }


def p50(hold: Callable[[], None], holds: int) -> float:
    """Microseconds."""
    times = []
    for _ in range(holds):
        began = time.perf_counter_ns()
        hold()
        times.append(time.perf_counter_ns() - began)
    return statistics.median(times) / 1000


def uncontended(folder: Path, rounds: int, holds: int) -> None:
    kinds = candidates(folder)
    for hold in kinds.values():
        p50(hold, 50)
    table: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, hold in kinds.items():
            table[name].append(p50(hold, holds))
    base = table["raw O_EXCL"]
    print(f"uncontended, {rounds} rounds of {holds} holds      p50 µs   × raw O_EXCL")
    for name, row in table.items():
        ratio = statistics.median(one / other for one, other in zip(row, base, strict=True))
        print(f"  {name:<36} {statistics.median(row):7.1f} {ratio:10.2f}")


def contended(folder: Path, processes: int, seconds: float) -> None:
    path = folder / f"contended-{processes}"
    reports = []
    for _ in range(processes):
        read, write = os.pipe()
        if os.fork() == 0:
            lock = SessionLock(path)
            end = time.monotonic() + seconds
            holds, longest = 0, 0.0
            while (began := time.monotonic()) < end:
                lock.acquire(None)
                longest = max(longest, time.monotonic() - began)
                holds += 1
                lock.release()
            os.write(write, f"{holds} {longest}".encode())
            os._exit(0)
        os.close(write)
        reports.append(read)
    results = []
    for read in reports:
        words = os.read(read, 100).split()
        results.append((int(words[0]), float(words[1]) * 1000))
        os.close(read)
        os.wait()
    counts = [holds for holds, _ in results]
    print(
        f"  {processes} processes: {sum(counts) / seconds:8.0f} holds/s,"
        f" longest wait {max(wait for _, wait in results):6.1f} ms,"
        f" smallest share {min(counts) * processes / sum(counts):.2f} of a fair one"
    )


def woken(folder: Path, rounds: int, *, kill: bool) -> float:
    """Milliseconds from the end of the holder to the return of the waiter's acquire, the median of ``rounds``."""
    path = folder / "woken"
    times = []
    for _ in range(rounds):
        from_holder, to_me = os.pipe()
        from_me, to_holder = os.pipe()
        pid = os.fork()
        if pid == 0:
            lock = SessionLock(path)
            lock.acquire()
            os.write(to_me, b".")
            os.read(from_me, 1)
            # The clock is one for all processes: the holder says when it let go, or was about to be killed.
            os.write(to_me, b"%d" % time.monotonic_ns())
            if kill:
                os.kill(os.getpid(), signal.SIGKILL)
            lock.release()
            os._exit(0)
        os.read(from_holder, 1)
        waiter = SessionLock(path)
        waiter.acquire(0.01)  # now its helper waits in the kernel
        os.write(to_holder, b".")
        waiter.acquire(10)
        now = time.monotonic_ns()
        times.append((now - int(os.read(from_holder, 40))) / 1e6)
        waiter.release()
        os.waitpid(pid, 0)
        for fd in (from_holder, to_me, from_me, to_holder):
            os.close(fd)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--holds", type=int, default=400)
    parser.add_argument("--folder", help="a folder on the file system to measure (default: the temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        uncontended(folder, options.rounds, options.holds)
        print("contended, 2 s each")
        sys.stdout.flush()
        for processes in (2, 4, 8):
            contended(folder, processes, 2.0)
        print(
            f"woken (median of 30): after a release {woken(folder, 30, kill=False):.2f} ms,"
            f" after SIGKILL {woken(folder, 30, kill=True):.2f} ms"
        )


if __name__ == "__main__":
    main()
