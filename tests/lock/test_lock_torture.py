"""Processes that fight for one lock, are killed at random, and find what dead ones left; an oracle counts overlaps."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import lock_torture
from lock_peer import environment

DEAD = json.dumps({"pid": 2**22 + 1, "timestamp": 1, "hostname": os.uname().nodename}).encode()
PROCESSES = 6


def torture(folder: Path, kind: str, *, seconds: float, enough: int | None = None) -> tuple[int, int, bool, int]:
    """What the oracle counted, and how many were killed. It ends early when ``enough`` overlaps are found."""
    path, log = folder / "session", folder / "log"
    log.touch()
    chance = random.Random(1)

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, lock_torture.__file__, kind, str(path), str(log)], env=environment())

    workers = [start() for _ in range(PROCESSES)]
    killed = 0
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            plant(path, chance)
            victim = chance.randrange(PROCESSES)
            # Ends at once for a worker that failed; else it is the pause between two kills.
            try:
                workers[victim].wait(chance.uniform(0.01, 0.1))
            except subprocess.TimeoutExpired:
                workers[victim].kill()
                assert workers[victim].wait() == -9
            else:
                raise AssertionError("a worker failed")
            killed += 1
            workers[victim] = start()
            if enough is not None and lock_torture.count(log)[1] >= enough:
                break
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    return (*lock_torture.count(log), killed)


def plant(path: Path, chance: random.Random) -> None:
    """Leave a lock file as a program does that was killed: created exclusively, stale, torn or empty."""
    wire = path.parent / "session.lock"
    try:
        fd = os.open(wire, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return
    os.write(fd, chance.choice([DEAD, DEAD, DEAD[:20], b""]))
    old = time.time() - 1
    os.utime(fd, (old, old))
    os.close(fd)


def test_the_oracle_finds_the_overlaps_of_a_simple_lock(tmp_path: Path) -> None:
    _, overlaps, _, _ = torture(tmp_path, "simple", seconds=20, enough=3)
    assert overlaps >= 3


def test_no_overlap_under_kills_and_stale_locks(tmp_path: Path) -> None:
    holds, overlaps, ordered, killed = torture(tmp_path, "new", seconds=3)
    assert overlaps == 0
    assert ordered, "invariant 5"
    assert holds > 100
    assert killed > 10
