"""What a hold costs: SessionLock beside other locks for Python and the two things it is made of, in one run.

    python bench/locks.py [--rounds N] [--holds N] [--seconds S] [--wakes N] [--folder DIR]

The others are an optional group (``uv sync --group bench``); what is missing is said and left out. All take turns: each
figure is the median over rounds in which every lock has had its go.

Uncontended: p50 of acquire + release in microseconds, of an object that is used again and of a new one.
Contended: processes that take the same lock in turns, for a given time; in each hold a little work. Holds a second, the
longest wait, and the smallest share of one process in the holds (1.0 is a fair one).
Woken: from a holder's release, or its SIGKILL, to the return of another process's acquire.

It ends with 1 where a ratio of issue 3 is missed: a new object at most half of filelock.FileLock's p50; with 8
processes the longest wait at most a quarter of FileLock's; woken in a tenth of FileLock's polling interval.
"""

from __future__ import annotations

import argparse
import fcntl
import functools
import importlib
import os
import signal
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from bough.lock import SessionLock

RECORD = b'{"pid":12345,"timestamp":1763694419123,"hostname":"localhost"}'
PROCESSES = (2, 4, 8)
FILELOCK_POLL = 0.050
"""Seconds: the default ``poll_interval`` of ``filelock``."""
LEFT_BEHIND = ("raw O_EXCL", "filelock.SoftFileLock", "flufl.lock.Lock")
"""Those whose file outlives a killed holder, and who wait for an age or for ever then."""


@dataclass(frozen=True, slots=True)
class Held:
    """One lock object, whatever its kind: wait for it, and let it go."""

    acquire: Callable[[], object]
    release: Callable[[], object]
    close: Callable[[], object] = lambda: None  # where releasing keeps something open


Kind = Callable[[Path], Held]


def raw_exclusive(path: Path) -> Held:
    """The simple protocol's least: create with O_EXCL, write, unlink. Waits by trying every millisecond."""
    name = f"{path}.lock"

    def acquire() -> None:
        while True:
            try:
                fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            except FileExistsError:
                time.sleep(0.001)
                continue
            os.write(fd, RECORD)
            os.close(fd)
            return

    return Held(acquire, lambda: os.unlink(name))


def raw_flock(path: Path) -> Held:
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    return Held(lambda: fcntl.flock(fd, fcntl.LOCK_EX), lambda: fcntl.flock(fd, fcntl.LOCK_UN), lambda: os.close(fd))


def session_lock(path: Path) -> Held:
    lock = SessionLock(path)
    return Held(lambda: lock.acquire(None), lock.release)


def kinds() -> dict[str, Kind]:
    """Those that are installed."""
    found: dict[str, Kind] = {"SessionLock": session_lock, "raw O_EXCL": raw_exclusive, "raw flock": raw_flock}
    missing = []
    others: list[tuple[str, str, Callable[[Any, Path], Held]]] = [
        ("filelock.FileLock", "filelock", lambda module, path: of(module.FileLock(path))),
        ("filelock.SoftFileLock", "filelock", lambda module, path: of(module.SoftFileLock(path))),
        ("portalocker.Lock", "portalocker", lambda module, path: of(module.Lock(path, timeout=60))),
        ("fasteners.InterProcessLock", "fasteners", lambda module, path: of(module.InterProcessLock(path))),
        ("flufl.lock.Lock", "flufl.lock", flufl),
    ]
    for name, module_name, make in others:
        try:
            module = importlib.import_module(module_name)
        except ImportError:
            missing.append(name)
        else:
            found[name] = functools.partial(make, module)
    if missing:
        print(f"not installed, and left out: {', '.join(missing)} (uv sync --group bench)")
    return found


def of(lock: Any) -> Held:
    return Held(lock.acquire, lock.release)


def flufl(module: Any, path: Path) -> Held:
    lock = module.Lock(str(path), lifetime=timedelta(seconds=60))
    return Held(lock.lock, lock.unlock)


# -- uncontended -------------------------------------------------------------------------------------------------------


def p50_reused(held: Held, holds: int) -> float:
    """Microseconds."""
    times = []
    for _ in range(holds):
        began = time.perf_counter_ns()
        held.acquire()
        held.release()
        times.append(time.perf_counter_ns() - began)
    return statistics.median(times) / 1000


def p50_new(make: Kind, path: Path, holds: int) -> float:
    times = []
    for _ in range(holds):
        began = time.perf_counter_ns()
        held = make(path)
        held.acquire()
        held.release()
        held.close()
        times.append(time.perf_counter_ns() - began)
    return statistics.median(times) / 1000


def uncontended(folder: Path, table: dict[str, Kind], rounds: int, holds: int) -> dict[str, list[float]]:
    """The p50 of new objects, by name, round by round."""
    reused = {name: make(folder / f"reused-{number}") for number, (name, make) in enumerate(table.items())}
    rows: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in table}
    for turn in range(rounds + 1):
        for number, (name, make) in enumerate(table.items()):
            again, new = p50_reused(reused[name], holds), p50_new(make, folder / f"new-{number}", holds)
            if turn:  # the first is for warming up
                rows[name][0].append(again)
                rows[name][1].append(new)
    print(f"uncontended, p50 of acquire + release in µs, {rounds} rounds of {holds} holds")
    print(f"  {'':<30}{'reused object':>16}{'new object':>16}")
    for name, (agains, news) in rows.items():
        print(f"  {name:<30}{statistics.median(agains):16.1f}{statistics.median(news):16.1f}")
    return {name: news for name, (_, news) in rows.items()}


# -- contended ---------------------------------------------------------------------------------------------------------


def contended(make: Kind, path: Path, processes: int, seconds: float) -> tuple[float, float, float]:
    """Holds a second, the longest wait in ms, the smallest share of a fair one."""
    reports = []
    start = time.monotonic() + 0.05 * processes
    for _ in range(processes):
        read, write = os.pipe()
        if os.fork() == 0:
            try:
                os.write(write, fight(make(path), start, start + seconds).encode())
            finally:
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
    return sum(counts) / seconds, max(wait for _, wait in results), min(counts) * processes / max(1, sum(counts))


def fight(held: Held, start: float, end: float) -> str:
    holds, longest = 0, 0.0
    time.sleep(max(0.0, start - time.monotonic()))
    while (began := time.monotonic()) < end:
        held.acquire()
        longest = max(longest, time.monotonic() - began)
        holds += 1
        sum(range(500))  # some microseconds of work
        held.release()
    return f"{holds} {longest}"


def contention(folder: Path, table: dict[str, Kind], seconds: float) -> dict[str, float]:
    """The longest wait with the most processes, by name, in ms."""
    print(f"contended, {seconds:g} s each            holds/s   longest wait ms   smallest share")
    longest = {}
    for processes in PROCESSES:
        for number, (name, make) in enumerate(table.items()):
            rate, wait, share = contended(make, folder / f"contended-{number}-{processes}", processes, seconds)
            print(f"  {processes} processes  {name:<26}{rate:10.0f}{wait:15.1f}{share:15.2f}", flush=True)
            longest[name] = wait
    return longest


# -- woken -------------------------------------------------------------------------------------------------------------


def woken(make: Kind, path: Path, *, kill: bool, pause: float) -> float:
    """Milliseconds from the end of the holder, ``pause`` seconds into the wait, to the return of the waiter."""
    from_holder, to_me = os.pipe()
    from_me, to_holder = os.pipe()
    holder = os.fork()
    if holder == 0:
        held = make(path)
        held.acquire()
        os.write(to_me, b".")
        os.read(from_me, 1)
        time.sleep(pause)
        # The clock is one for all processes: the holder says when it let go, or was about to be killed.
        os.write(to_me, b"%d" % time.monotonic_ns())
        if kill:
            os.kill(os.getpid(), signal.SIGKILL)
        held.release()
        os._exit(0)
    os.read(from_holder, 1)
    waiter = make(path)
    os.write(to_holder, b".")
    waiter.acquire()
    now = time.monotonic_ns()
    took = (now - int(os.read(from_holder, 40))) / 1e6
    waiter.release()
    waiter.close()
    os.waitpid(holder, 0)
    for fd in (from_holder, to_me, from_me, to_holder):
        os.close(fd)
    return took


def wakes(folder: Path, table: dict[str, Kind], rounds: int) -> dict[str, tuple[float, float]]:
    """Of the wake-up after a release and after a SIGKILL, in ms, by name."""
    rows: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in table}
    for turn in range(rounds):
        for number, (name, make) in enumerate(table.items()):
            pause = 0.02 + 0.06 * turn / rounds  # wherever in a polling interval it falls
            rows[name][0].append(woken(make, folder / f"woken-{number}", kill=False, pause=pause))
            if name not in LEFT_BEHIND:
                rows[name][1].append(woken(make, folder / f"woken-{number}", kill=True, pause=pause))
    print(f"woken, ms, the median of {rounds}       after a release    after SIGKILL")
    found = {}
    for name, (releases, kills) in rows.items():
        found[name] = statistics.median(releases), statistics.median(kills) if kills else float("nan")
        print(f"  {name:<30}{found[name][0]:16.2f}{found[name][1]:16.2f}")
    return found


# -- acceptance --------------------------------------------------------------------------------------------------------


def verdict(what: str, ratio: float, limit: float) -> bool:
    print(f"  {'ok  ' if ratio <= limit else 'MISS'} {what}: {ratio:.3f}, at most {limit:g}")
    return ratio <= limit


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--holds", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--wakes", type=int, default=10)
    parser.add_argument("--folder", help="a folder on the file system to measure (default: the temporary one)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    table = kinds()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        news = uncontended(folder, table, options.rounds, options.holds)
        sys.stdout.flush()
        waits = contention(folder, table, options.seconds)
        awake = wakes(folder, table, options.wakes)
        ours, theirs = "SessionLock", "filelock.FileLock"
        if theirs not in table:
            print("without filelock nothing can be said about the ratios")
            return 1
        # One longest wait is an accident; three, by turns, tell.
        by_turn = [waits[ours] / waits[theirs]]
        for turn in range(2):
            mine, other = (
                contended(table[name], folder / f"again-{number}-{turn}", PROCESSES[-1], options.seconds)[1]
                for number, name in enumerate((ours, theirs))
            )
            by_turn.append(mine / other)
    print("acceptance, issue 3")
    by_round = [mine / other for mine, other in zip(news[ours], news[theirs], strict=True)]
    poll = FILELOCK_POLL * 1000
    good = [
        verdict("a new object, by FileLock's p50", statistics.median(by_round), 0.5),
        verdict(f"longest wait of {PROCESSES[-1]} processes, by FileLock's", statistics.median(by_turn), 0.25),
        verdict("woken after a release, by FileLock's polling interval", awake[ours][0] / poll, 0.1),
        verdict("woken after SIGKILL, by FileLock's polling interval", awake[ours][1] / poll, 0.1),
    ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
