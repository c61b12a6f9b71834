"""Processes that fight for one lock; an oracle counts overlaps. What happens to them meanwhile is the mode's.

2 s of each in the default run; ``pytest -m torture tests/lock`` 20 s of each, or ``BOUGH_TORTURE_SECONDS``.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import lock_torture
import pytest
from lock_peer import environment
from lock_torture import STALE_AFTER, Verdict

from bough.lock import record

DEAD = json.dumps({"pid": 2**22 + 1, "timestamp": 1, "hostname": os.uname().nodename}).encode()
PROCESSES = 6
NODE = shutil.which("node")
STALE_OF_NODE = 3000
"""Milliseconds; thirty times what a heartbeat of the torture's holds could be late here."""


class Arena:
    """The processes, and what is done to them. Each act takes some milliseconds."""

    def __init__(
        self, folder: Path, kind: str, lacking: str = "", *, node: bool = False, stale_of_node: int = STALE_OF_NODE
    ) -> None:
        self.path = folder / "session"
        self.wire = folder / "session.lock"
        self.log = folder / "log"
        self.log.touch()
        self.kind = kind
        self.lacking = lacking
        self.chance = random.Random(1)
        self.killed = self.acts = self.size = 0
        self.workers = [self.start() for _ in range(PROCESSES if kind != "tasks" else 3)]
        self.peer: subprocess.Popen[bytes] | None = None
        if node:
            assert NODE is not None
            script = str(Path(__file__).with_name("lock_peer.js"))
            self.peer = subprocess.Popen([NODE, script, "work", str(self.path), str(self.log), str(stale_of_node)])

    def start(self) -> subprocess.Popen[bytes]:
        arguments = [lock_torture.__file__, self.kind, str(self.path), str(self.log), self.lacking]
        return subprocess.Popen([sys.executable, *arguments], env=environment())

    def pause(self, seconds: float) -> subprocess.Popen[bytes]:
        """Let them work for that long, and return one of them. It ends at once for a worker that failed."""
        victim = self.chance.choice(self.workers)
        try:
            victim.wait(seconds)
        except subprocess.TimeoutExpired:
            assert self.peer is None or self.peer.poll() is None, "the peer failed"
            return victim
        raise AssertionError("a worker failed")

    def kill(self) -> None:
        victim = self.pause(self.chance.uniform(0.01, 0.1))
        enough = self.size + 2000  # a busy machine takes its time to start them: then there would be nothing to kill
        end = time.monotonic() + 2
        while self.log.stat().st_size < enough and time.monotonic() < end:
            victim = self.pause(0.005)
        self.size = self.log.stat().st_size
        victim.kill()
        assert victim.wait() == -signal.SIGKILL
        self.killed += 1
        self.workers[self.workers.index(victim)] = self.start()

    def plant(self) -> None:
        """Leave a lock file as a program does that was killed: created exclusively, stale, torn or empty."""
        self.pause(self.chance.uniform(0.0005, 0.005))
        try:
            fd = os.open(self.wire, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            return
        os.write(fd, self.chance.choice([DEAD, DEAD, DEAD[:20], b""]))
        old = time.time() - 1
        os.utime(fd, (old, old))
        os.close(fd)
        self.acts += 1

    def delete(self) -> None:
        """The operator who thinks that he knows better."""
        self.pause(self.chance.uniform(0.0005, 0.005))
        try:
            os.unlink(self.wire)
        except FileNotFoundError:
            return
        self.acts += 1

    def stop(self) -> None:
        """Longer than the stale time, and most often in the middle of its hold."""
        victim = self.pause(self.chance.uniform(0.01, 0.05))
        workers = {worker.pid: worker for worker in self.workers}
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            try:
                found = record.parse(self.wire.read_bytes())
            except FileNotFoundError:
                found = None
            if found is not None and found.pid in workers:
                victim = workers[found.pid]
                break
            os.sched_yield()
        victim.send_signal(signal.SIGSTOP)
        end = time.monotonic() + STALE_AFTER * 1.5
        others = [worker for worker in self.workers if worker is not victim]
        while time.monotonic() < end:
            try:
                self.chance.choice(others).wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError("a worker failed")
        victim.send_signal(signal.SIGCONT)
        self.acts += 1

    def close(self) -> None:
        for worker in [*self.workers, *filter(None, [self.peer])]:
            worker.kill()
            worker.wait()


def torture(
    arena: Arena, *acts: Callable[[Arena], None], seconds: float, enough: int | None = None
) -> tuple[Verdict, Arena]:
    """What the oracle counted. It ends early when ``enough`` overlaps are found."""
    try:
        # The time runs from when they are at work: a busy machine may take longer than it to start them.
        started = time.monotonic()
        while lock_torture.count(arena.log).holds < 5 and time.monotonic() < started + 30:
            arena.pause(0.05)
        end = time.monotonic() + seconds
        look_at = time.monotonic() + 1
        while time.monotonic() < end:
            arena.chance.choice(acts)(arena)
            if enough is not None and time.monotonic() > look_at:
                look_at = time.monotonic() + 0.5
                if lock_torture.count(arena.log).overlaps >= enough:
                    break
    finally:
        arena.close()
    return lock_torture.count(arena.log), arena


MODES: dict[str, tuple[str, tuple[Callable[[Arena], None], ...]]] = {
    "killed at random": ("processes", (Arena.kill,)),
    "stale, corrupt and empty files": ("processes", (Arena.plant,)),
    "an operator deletes the lock file": ("processes", (Arena.delete, Arena.delete, Arena.delete, Arena.kill)),
    "stopped for longer than the stale time": ("stopped", (Arena.stop, Arena.plant)),
    "threads": ("threads", (Arena.kill, Arena.plant)),
    "tasks": ("tasks", (Arena.kill, Arena.plant)),
}
SHORT = [pytest.param(2.0, id="2s"), pytest.param(20.0, id="20s", marks=pytest.mark.torture)]


def length(seconds: float) -> float:
    return float(os.environ.get("BOUGH_TORTURE_SECONDS", seconds)) if seconds > 10 else seconds


def check(verdict: Verdict, arena: Arena) -> None:
    sys.stderr.write(f"{verdict}, killed: {arena.killed}, other acts: {arena.acts}\n")
    assert verdict.overlaps == 0
    assert verdict.are_tokens_ordered, "invariant 5"
    assert verdict.holds > 10, "it showed nothing"
    assert arena.killed + arena.acts > 3


@pytest.mark.parametrize("seconds", SHORT)
@pytest.mark.parametrize("mode", MODES)
def test_no_overlap(tmp_path: Path, mode: str, seconds: float) -> None:
    kind, acts = MODES[mode]
    check(*torture(Arena(tmp_path, kind), *acts, seconds=length(seconds)))


@pytest.mark.parametrize("mode", ["threads", "an operator deletes the lock file"])
def test_the_oracle_finds_the_overlaps_of_a_simple_lock(tmp_path: Path, mode: str) -> None:
    """The same torture, else we could not believe that it finds none in ours."""
    verdict, _ = torture(Arena(tmp_path, "simple"), *MODES[mode][1], seconds=30, enough=20)
    sys.stderr.write(f"the simple lock: {verdict}\n")
    assert verdict.overlaps >= 20


@pytest.mark.skipif(NODE is None, reason="needs Node.js")
@pytest.mark.parametrize("seconds", SHORT)
def test_beside_a_peer_with_the_simple_protocol(tmp_path: Path, seconds: float) -> None:
    """It may rob us: of two who judge a dead one's lock stale at one time it is the slower. Then we know."""
    verdict, arena = torture(Arena(tmp_path, "processes", node=True), Arena.kill, Arena.plant, seconds=length(seconds))
    check(verdict, arena)
    assert verdict.foreign > 50
    assert verdict.taken == 0, "its live lock was taken"
    assert verdict.aged == 0, "it judged a live lock of ours stale"
    assert verdict.unnoticed == 0, "it came in, and check() said nothing"


@pytest.mark.skipif(NODE is None, reason="needs Node.js")
@pytest.mark.parametrize("seconds", SHORT)
def test_robbed_by_a_peer_that_goes_by_age(tmp_path: Path, seconds: float) -> None:
    """Holders are stopped for longer than it allows. Among us nobody comes in, and the robbed one knows."""
    arena = Arena(tmp_path, "processes", node=True, stale_of_node=int(STALE_AFTER * 1000))
    verdict, _ = torture(arena, Arena.stop, seconds=length(seconds))
    check(verdict, arena)
    assert verdict.aged > 0
    assert verdict.robbed > 0, "it robbed nobody: this showed nothing"
    assert verdict.taken == 0, "its live lock was taken"
    assert verdict.unnoticed == 0, "it came in, and check() said nothing"
