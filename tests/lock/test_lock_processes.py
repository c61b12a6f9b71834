"""Forks, exits and kills: what ends with a process and what must not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lock_peer import HOLD, Peer, environment

from bough.lock import SessionLock

STALE = json.dumps({"pid": 2**22 + 1, "timestamp": 1, "hostname": os.uname().nodename})
AT_ONCE = 1.0
"""Seconds within which the next one has the lock, whatever happened to the last."""


def take_at_once(path: Path) -> None:
    lock = SessionLock(path)
    began = time.monotonic()
    assert lock.acquire(10)
    assert time.monotonic() - began < AT_ONCE
    assert lock.check()
    lock.release()
    assert not (path.parent / "session.lock").exists()


def test_killed_holder(path: Path) -> None:
    with Peer(HOLD, path) as peer:
        peer.hear()
        peer.kill()
        take_at_once(path)


def test_waiter_is_woken_by_the_kill_of_the_holder(path: Path) -> None:
    code = "lock = SessionLock(path)\nsay(lock.acquire(0.02))\nsay(lock.acquire(30))\nhear()"
    with Peer(HOLD, path) as holder:
        holder.hear()
        with Peer(code, path) as waiter:
            assert waiter.hear() == "False"
            began = time.monotonic()
            holder.kill()
            assert waiter.hear() == "True"
            assert time.monotonic() - began < AT_ONCE


KILLED_AT = """
wanted, seen = int(sys.argv[2]), 0
stale = sys.argv[3]
def hook(event, arguments):
    global seen
    # At each step that the audit shows: opening, locking, linking, removing, and each system call by ctypes.
    if event in ("open", "fcntl.flock", "os.link", "os.remove", "os.rename", "ctypes.dlsym"):
        seen += 1
        if seen == wanted:
            os.kill(os.getpid(), signal.SIGKILL)
lock = SessionLock(path)
import bough.lock.linux, select
if sys.argv[4] == "no exchange":
    bough.lock.linux.exchange = lambda first, second: False
with SessionLock(path + "-other"): pass
sys.addaudithook(hook)
for round in range(2):
    if stale and round == 0:
        with open(path + ".lock", "w") as file: file.write(stale)
        seen = 0
    assert lock.acquire()
    lock.release()
say("through", seen)
"""


@pytest.mark.parametrize(("stale", "way", "steps"), [("", "", 8), (STALE, "exchange", 10), (STALE, "no exchange", 10)])
def test_killed_at_each_step(tmp_path: Path, stale: str, way: str, steps: int) -> None:
    """Through a first hold, a second one, and the taking over of a dead one: the next is never held up."""
    for step in range(1, 100):
        path = tmp_path / str(step) / "session"
        path.parent.mkdir()
        with Peer(KILLED_AT, path, str(step), stale, way) as peer:
            last_words = peer.hear()
            peer.process.wait(10)
        take_at_once(path)
        names = {file.name for file in path.parent.iterdir()}
        assert names - {"session-other.lock.guard", "session-other.lock.new"} <= {
            "session.lock.guard",
            "session.lock.new",
            "session.lock.old",
        }
        if last_words:
            assert step > steps, "fewer steps than there are: the hook does not see them"
            return
        assert peer.process.returncode == -signal.SIGKILL
    pytest.fail("it never comes through")


def test_a_forked_child_holds_nothing(path: Path) -> None:
    code = """
lock = SessionLock(path)
assert lock.acquire()
pid = os.fork()
if pid == 0:
    lock.release()
    say("child", lock.check(), lock.token, lock.acquire(), SessionLock(path).acquire(0.05), lock.is_locked())
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
say("parent", lock.check(), SessionLock(path).acquire())
hear()
"""
    with Peer(code, path) as peer:
        assert peer.hear() == "child False None False False True"
        assert peer.hear() == "parent True True"
        assert SessionLock(path).acquire() is False


def test_a_child_does_not_keep_a_dead_parents_lock(path: Path) -> None:
    code = """
lock = SessionLock(path)
assert lock.acquire()
if os.fork() == 0:
    say(os.getpid())
    signal.pause()
hear()
"""
    with Peer(code, path) as peer:
        child = int(peer.hear())
        try:
            peer.kill()
            os.kill(child, 0)
            take_at_once(path)
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_child_may_lock_for_itself_and_the_parent_goes_on_beating(path: Path) -> None:
    code = """
lock = SessionLock(path, heartbeat=0.01)
other = SessionLock(path + "-other")
with other: pass
assert lock.acquire()
pid = os.fork()
if pid == 0:
    with other: say("child", other.check())
    os._exit(0)
os.waitpid(pid, 0)
first = open(path + ".lock").read()
while open(path + ".lock").read() == first: os.sched_yield()
with other: say("parent", other.check())
"""
    with Peer(code, path) as peer:
        assert peer.hear() == "child True"
        assert peer.hear() == "parent True"


def test_the_heartbeat_stands_still_during_a_fork(path: Path) -> None:
    """A fork beside other threads is deprecated since Python 3.12, and with reason."""
    code = """
import os, sys, threading
seen = []
os.register_at_fork(before=lambda: seen.append(threading.active_count()))  # hooks registered first are called last
from bough.lock import SessionLock
with SessionLock(sys.argv[1]):
    before = threading.active_count()
    if os.fork() == 0: os._exit(0)
    os.wait()
    print(before, *seen, threading.active_count())
"""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert run.stdout.strip() == "2 1 2", run.stderr


def test_a_child_started_by_subprocess_keeps_nothing(path: Path) -> None:
    code = """
import subprocess
lock = SessionLock(path)
assert lock.acquire()
child = subprocess.Popen(["sleep", "60"], close_fds=False)
say(child.pid)
hear()
"""
    with Peer(code, path) as peer:
        child = int(peer.hear())
        try:
            peer.kill()
            take_at_once(path)
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("end", ["sys.exit(0)", "raise SystemExit(5)", "raise KeyError", "pass"])
def test_released_at_normal_exit(path: Path, end: str) -> None:
    with Peer(f"sys.stderr = open(os.devnull, 'w')\nlock = SessionLock(path)\nlock.acquire()\n{end}", path) as peer:
        peer.process.wait(10)
    assert {file.name for file in path.parent.iterdir()} == {"session.lock.guard"}


def test_a_thread_at_work_until_the_very_end_is_released_by_the_kernel_only(path: Path) -> None:
    """Its record stays, for nobody can know when such a thread ends; it is known as dead."""
    code = """
held = threading.Event()
def work():
    with SessionLock(path): held.set(); hear()
threading.Thread(target=work, daemon=True).start()
held.wait()
"""
    with Peer(code, path) as peer:
        peer.process.wait(10)
    assert (path.parent / "session.lock").exists()
    take_at_once(path)


def test_a_holder_that_is_stopped_is_not_robbed(path: Path) -> None:
    with Peer(HOLD.replace("SessionLock(path)", "SessionLock(path, stale_after=0.1, heartbeat=0.02)"), path) as peer:
        peer.hear()
        os.kill(peer.pid, signal.SIGSTOP)
        assert SessionLock(path, stale_after=0.1).acquire(0.5) is False
        os.kill(peer.pid, signal.SIGCONT)
        peer.say()
        assert peer.hear() == "released"
        take_at_once(path)


def test_a_removed_guard_lets_nobody_in(path: Path) -> None:
    """The published record is kernel-locked as well (invariant 3)."""
    with Peer(HOLD, path) as peer:
        peer.hear()
        (path.parent / "session.lock.guard").unlink()
        lock = SessionLock(path)
        assert lock.acquire() is False
        assert lock.acquire(0.1) is False
        peer.say()
        assert lock.acquire(10)
        assert lock.check()
        lock.release()


def test_nothing_heavy_is_imported() -> None:
    """An uncontended hold needs neither asyncio nor the network's modules."""
    with Peer("say(sorted({'asyncio', 'socket', 'multiprocessing', 'logging'} & set(sys.modules)))", "") as peer:
        assert peer.hear() == "[]", sys.version
