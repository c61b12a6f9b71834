"""A process that is killed, or stands still, between any two steps of a hold or a takeover, while another goes through;
or that is robbed there by a program that ignores kernel locks.

A step is a line of bough.lock: whatever it does is done by one line or another, so every state that a process can leave
behind is reached, those between two system calls included. The default run takes every third step, of each way others;
``pytest -m torture tests/lock`` takes every one.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from lock_peer import Peer

from bough.lock import SessionLock

HERE = os.uname().nodename
STALE = json.dumps({"pid": 2**22 + 1, "timestamp": 1, "hostname": HERE})
AT_ONCE = 1.0

# One process that has everything imported; a child for each step.
STEPS = """
import bough.lock.linux, select, json
from bough.lock import system
stale, lacking = sys.argv[2:4]
for name in filter(None, lacking.split(",")): setattr(system.has, name, False)
home = os.path.dirname(bough.lock.__file__)
def run(path, wanted, act):
    count = 0
    def tracer(frame, event, argument):
        nonlocal count
        if not frame.f_code.co_filename.startswith(home): return None
        if event == "line":
            count += 1
            if count == wanted: act()
        return tracer
    lock = SessionLock(path)
    with lock: pass                                    # a first hold; what follows finds a resting record
    if stale:
        with open(path + ".lock", "w") as file: file.write(stale)
    sys.settrace(tracer)
    assert lock.acquire(None)
    sys.settrace(None)
    say("in", lock.token)
    sys.settrace(tracer)
    lock.release()
    sys.settrace(None)
    say("through", count)
def park():
    say("parked")
    hear()
while True:
    wanted, how, path = hear().split(" ", 2)
    pid = os.fork()
    if pid == 0:
        run(path, int(wanted), park if how == "park" else lambda: os.kill(os.getpid(), signal.SIGKILL))
        os._exit(0)
    say("ended", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
# It parks at the given step of its release.
RELEASE = """
import bough.lock.linux
from bough.lock import system
for name in filter(None, sys.argv[2].split(",")): setattr(system.has, name, False)
home = os.path.dirname(bough.lock.__file__)
count = 0
def tracer(frame, event, argument):
    global count
    if not frame.f_code.co_filename.startswith(home): return None
    if event == "line":
        count += 1
        if count == wanted:
            say("parked")
            hear()
    return tracer
while True:
    wanted, path = hear().split(" ", 1)
    wanted, count, lock = int(wanted), 0, SessionLock(path)
    with lock: pass
    assert lock.acquire()
    sys.settrace(tracer)
    lock.release()
    sys.settrace(None)
    say("through", count)
    hear()
    say("kept out", not lock.acquire())
    hear()
    lock.release()
    with lock: is_in = lock.check()
    say("in", is_in)
"""
WAYS = [
    pytest.param("", "", id="hold"),
    pytest.param(STALE, "", id="takeover"),
    pytest.param(STALE, "exchange", id="takeover without exchange"),
    pytest.param(STALE, "exchange,exclusive_rename", id="takeover by links"),
    pytest.param("", "exclusive_rename", id="hold by links"),
    pytest.param("", "hard_links,exclusive_rename,exchange", id="hold without links and renames"),
]
STRIDES = [pytest.param(3, id="every third"), pytest.param(1, id="exhaustive", marks=pytest.mark.torture)]


def steps(stride: int, way: tuple[str, str]) -> range:
    """Which to stand still or die at; the first of them is another one for each of three ways in a row."""
    return range(1 + [each.values for each in WAYS].index(way) % stride, 1000, stride)


def take_at_once(path: Path) -> None:
    began = time.monotonic()
    with SessionLock(path) as lock:
        assert lock.check()
    assert time.monotonic() - began < AT_ONCE
    assert {file.name for file in path.parent.iterdir()} <= {
        "session.lock.guard",
        "session.lock.new",
        "session.lock.old",  # of a takeover without exchange; the next one puts its own over it
    }


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize(("stale", "lacking"), WAYS)
def test_killed_between_any_two_steps(tmp_path: Path, stale: str, lacking: str, stride: int) -> None:
    with Peer(STEPS, tmp_path, stale, lacking) as peer:
        for step in steps(stride, (stale, lacking)):
            path = tmp_path / str(step) / "session"
            path.parent.mkdir()
            peer.say(f"{step} kill {path}")
            said = []
            while not (line := peer.hear()).startswith("ended"):
                said.append(line)
            take_at_once(path)
            if line == "ended 0":
                assert said[-1] in [f"through {count}" for count in range(step - stride, step)]
                assert step > 60, "fewer steps than there are"
                return
            assert line == f"ended {-signal.SIGKILL}"
    pytest.fail("it never comes through")


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize(("stale", "lacking"), WAYS[:3])
def test_another_goes_through_while_one_stands_still_between_two_steps(
    tmp_path: Path, stale: str, lacking: str, stride: int
) -> None:
    """It gets in where the other has not, and then the other does not before it has gone."""
    went_through = kept_out = 0
    with Peer(STEPS, tmp_path, stale, lacking) as peer:
        for step in steps(stride, (stale, lacking)):
            path = tmp_path / str(step) / "session"
            path.parent.mkdir()
            peer.say(f"{step} park {path}")
            said = []
            while not (line := peer.hear()).startswith(("parked", "ended")):
                said.append(line)
            if line == "ended 0":
                break
            lock = SessionLock(path)
            is_in = bool(said)  # it has said that it is in, and has perhaps gone out again by now
            token = int(said[0].split()[1]) if is_in else 0
            if lock.acquire(0):
                went_through += 1
                mine = lock.token
                assert mine is not None
                assert mine > token, "invariant 5"
                assert lock.check()
                peer.say()
                os.sched_yield()
                assert lock.check(), "what stood still takes nothing away"
                lock.release()
            else:
                kept_out += 1
                mine = None
                peer.say()
            while not (line := peer.hear()).startswith("ended"):
                said.append(line)
            assert line == "ended 0"
            if mine is not None and not is_in:
                assert int(said[0].split()[1]) > mine, "invariant 5"
            take_at_once(path)
    assert went_through > 10
    assert kept_out > 10


@pytest.mark.parametrize("lacking", ["", "exclusive_rename", "hard_links,exclusive_rename,exchange"])
def test_robbed_between_any_two_steps_of_a_release(tmp_path: Path, lacking: str) -> None:
    """Invariant 4: whoever took our lock by its age, and put his record there in the meantime, keeps it."""
    with Peer(RELEASE, tmp_path, lacking) as peer:
        for step in range(1, 1000):
            path = tmp_path / str(step) / "session"
            wire = path.parent / "session.lock"
            path.parent.mkdir()
            peer.say(f"{step} {path}")
            parked = (line := peer.hear()) == "parked"
            wire.unlink(missing_ok=True)
            robber = json.dumps({"pid": os.getpid(), "timestamp": time.time_ns() // 10**6, "hostname": HERE})
            with wire.open("x") as file:
                file.write(robber)
                inode = os.fstat(file.fileno()).st_ino
            if parked:
                peer.say()
                line = peer.hear()
            assert wire.exists(), f"removed at step {step}"
            assert wire.read_text() == robber
            assert wire.stat().st_ino == inode or "exclusive_rename" in lacking  # the last resort is a copy
            assert wire.stat().st_nlink == 1
            peer.say()
            assert peer.hear() == "kept out True"
            wire.unlink()
            peer.say()
            assert peer.hear() == "in True"
            take_at_once(path)
            if not parked:
                assert line == f"through {step - 1}"
                assert step > 20, "fewer steps than there are"
                return
    pytest.fail("it never comes through")
