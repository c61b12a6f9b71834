"""What another program left at the lock file: each row of the protocol's table, on real files and processes."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lock_peer import Peer, environment

from bough.lock import SessionLock, linux, record
from bough.lock.record import Standing

HERE = os.uname().nodename


def now() -> int:
    return time.time_ns() // 1_000_000


def leave(path: Path, content: bytes | dict[str, object], *, age: float = 0) -> Path:
    """Put a lock file there as a program that ignores kernel locks does."""
    wire = path.parent / "session.lock"
    wire.write_bytes(content if isinstance(content, bytes) else json.dumps(content, separators=(",", ":")).encode())
    if age:
        os.utime(wire, (time.time() - age, time.time() - age))
    return wire


def entry(pid: int, *, age: float = 0, host: str = HERE) -> dict[str, object]:
    return {"pid": pid, "timestamp": now() - int(age * 1000), "hostname": host}


@pytest.fixture
def living() -> Iterator[int]:
    """A process that is there, and holds nothing."""
    with Peer("say('here')\nhear()", "") as peer:
        peer.hear()
        yield peer.pid


@pytest.fixture
def dead() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def takes(path: Path, **options: float) -> bool:
    lock = SessionLock(path, **options)
    taken = lock.acquire()
    assert lock.check() is taken
    assert taken or lock.is_locked()
    lock.release()
    if taken:
        left = {file.name for file in path.parent.iterdir()}
        assert left <= {"session.lock.guard", "session.lock.new"}
    return taken


def test_a_live_process_is_honoured(path: Path, living: int) -> None:
    wire = leave(path, entry(living))
    content = wire.read_bytes()
    assert takes(path) is False
    holder = SessionLock(path).get_lock_holder()
    assert holder is not None
    assert holder.pid == living
    assert wire.read_bytes() == content


def test_a_live_process_is_honoured_no_longer_than_stale_after(path: Path, living: int) -> None:
    leave(path, entry(living, age=0.5))
    assert takes(path, stale_after=60) is False
    assert takes(path, stale_after=0.25) is True


def test_a_dead_process(path: Path, dead: int) -> None:
    leave(path, entry(dead))
    assert SessionLock(path).is_locked() is False
    assert SessionLock(path).get_lock_holder() is None
    assert takes(path)


def test_a_zombie_is_dead(path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    os.kill(process.pid, 0)  # a signal cannot tell
    leave(path, entry(process.pid))
    assert takes(path)
    process.wait()


def test_a_process_whose_first_thread_ended_is_alive(path: Path) -> None:
    """It is listed as a zombie, and its other threads may be at work on the session."""
    code = """
import ctypes
def work():
    while open(f"/proc/{os.getpid()}/stat").read().rpartition(")")[2].split()[0] != "Z": os.sched_yield()
    say("alone")
    hear()
threading.Thread(target=work, daemon=True).start()
ctypes.CDLL(None).syscall(60, 0)
"""
    if os.uname().machine != "x86_64":
        pytest.skip("the number of the exit call is that of x86_64")
    with Peer(code, "") as peer:
        assert peer.hear() == "alone"
        leave(path, entry(peer.pid))
        assert takes(path) is False


def test_a_process_number_used_again(path: Path, living: int) -> None:
    leave(path, entry(living, age=3600))
    assert takes(path, stale_after=10**6), "the process began after the record was written"


def test_a_number_that_is_now_a_thread_is_a_dead_process(path: Path) -> None:
    ready, end = threading.Event(), threading.Event()

    def wait() -> None:
        ready.set()
        end.wait(20)

    thread = threading.Thread(target=wait)
    thread.start()
    ready.wait(10)
    try:
        assert thread.native_id is not None
        os.kill(thread.native_id, 0)  # a signal takes it for a process
        leave(path, entry(thread.native_id))
        assert takes(path)
    finally:
        end.set()
        thread.join()


def test_our_own_number_that_we_do_not_hold(path: Path) -> None:
    leave(path, entry(os.getpid()))
    assert takes(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
@pytest.mark.parametrize("pidfd", [True, False])
def test_a_process_of_another_user_is_alive(pidfd: bool, living: int) -> None:
    """EPERM is no proof of death."""
    code = f"""
import errno, os, sys
sys.path[:0] = {sys.path!r}
from bough.lock import linux
os.setuid(65534)
try: os.kill({living}, 0)
except PermissionError: pass
else: raise SystemExit("no EPERM here")
if not {pidfd}:
    def missing(pid, flags=0): raise OSError(errno.ENOSYS, "missing")
    os.pidfd_open = missing
print(linux.is_gone({living}))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment())
    assert run.stdout.strip() == "False", run.stderr


def test_without_pidfd_the_verdicts_are_the_same(monkeypatch: pytest.MonkeyPatch, living: int, dead: int) -> None:
    def missing(pid: int, flags: int = 0) -> int:
        raise OSError(errno.ENOSYS, "missing")

    monkeypatch.setattr(os, "pidfd_open", missing)
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    assert [linux.is_gone(pid) for pid in (living, dead, zombie.pid, 2**40)] == [False, True, True, True]
    zombie.wait()


def test_another_host_is_judged_by_age_alone(path: Path, dead: int) -> None:
    leave(path, entry(dead, age=30, host="elsewhere"))
    assert takes(path) is False
    assert takes(path, stale_after=20) is True


def test_a_clock_far_ahead_does_not_lock_for_ever(path: Path) -> None:
    leave(path, entry(1, age=-(10**8), host="elsewhere"), age=30)
    assert takes(path) is False
    assert takes(path, stale_after=20) is True


GARBAGE = [
    b"",
    b"\0" * 80,
    b"{",
    b"[1]",
    b'{"pid":"1","timestamp":1,"hostname":"h"}',
    b'{"pid":true,"timestamp":1,"hostname":"h"}',
    b'{"pid":1,"timestamp":1e999,"hostname":"h"}',
    b'{"pid":1,"timestamp":null,"hostname":"h"}',
    b'{"pid":-1,"timestamp":1,"hostname":"h"}',
    b'{"pid":1,"timestamp":1}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("content", GARBAGE)
def test_old_garbage_is_stale_at_once(path: Path, content: bytes) -> None:
    leave(path, content, age=1)
    assert takes(path)


@pytest.mark.parametrize("content", GARBAGE[:3])
@pytest.mark.parametrize("age", [0, -3600])
def test_young_garbage_gets_time_to_be_finished(path: Path, content: bytes, age: float) -> None:
    leave(path, content, age=age)
    began = time.monotonic()
    assert takes(path)
    assert record.SETTLE * 0.9 <= time.monotonic() - began < 1


def test_a_record_that_is_finished_in_time_is_honoured(path: Path, living: int) -> None:
    wire = leave(path, b"")
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(SessionLock(path).acquire()))
    thread.start()
    with wire.open("r+b") as file:
        file.write(json.dumps(entry(living)).encode())
    thread.join(10)
    assert results == [False]


def test_a_kernel_locked_record_is_live_whatever_it_says(path: Path, dead: int) -> None:
    for content in (b"", entry(dead), entry(1, age=10**6, host="elsewhere")):
        wire = leave(path, content, age=1)
        with wire.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert takes(path) is False
        assert takes(path) is True


def test_our_layout_unlocked_is_dead_even_of_another_host(path: Path, living: int) -> None:
    """A container that was killed while it held the lock comes back with another name."""
    data, _ = record.compose(now())
    for old, new in ((str(os.getpid()), str(living)), (HERE, "elsewhere")):
        data = data.replace(old.encode(), new.encode())
    leave(path, data)
    assert record.parse(data) is not None
    assert takes(path)


def test_looking_does_not_disturb_who_looks_at_the_same_time(path: Path, dead: int) -> None:
    wire = leave(path, entry(dead))
    with wire.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert SessionLock(path).is_locked() is False
        assert takes(path)


def test_record_layout() -> None:
    """The last eight digits are aligned, so that a heartbeat's rewrite cannot be read half done."""
    for timestamp in (0, 1, 999_999_999_999, 1_763_694_419_123):
        data, offset = record.compose(timestamp)
        assert (offset + 5) % 8 == 0
        assert data[offset : offset + 13] == record.stamp(timestamp)
        info = record.parse(data)
        assert info is not None
        assert (info.pid, info.timestamp, info.hostname) == (os.getpid(), timestamp, HERE)


@pytest.mark.parametrize("exchange", [True, False])
def test_only_the_judged_record_is_displaced(
    path: Path, monkeypatch: pytest.MonkeyPatch, living: int, dead: int, exchange: bool
) -> None:
    """Invariant 4: between the judgement and the act another program replaces the record, or fills it in place."""
    real = linux.exchange
    changes: list[Callable[[], None]] = []

    def late(first: str, second: str) -> bool:
        if changes:
            changes.pop()()
        return real(first, second) if exchange else False

    monkeypatch.setattr(linux, "exchange", late)
    wire = path.parent / "session.lock"

    def replace() -> None:
        wire.unlink()
        leave(path, entry(living))

    def fill() -> None:
        with wire.open("r+b") as file:
            file.write(json.dumps(entry(living)).encode())

    for change, first in ((replace, entry(dead)), (fill, b"")):
        leave(path, first, age=1)
        changes.append(change)
        assert takes(path) is False
        assert not changes
        assert json.loads(wire.read_bytes())["pid"] == living
        wire.unlink()
        leave(path, entry(dead))
        changes.append(wire.unlink)
        assert takes(path) is True
        leave(path, entry(dead))
        assert takes(path) is True


@pytest.mark.parametrize("inotify", [True, False])
def test_woken_when_a_program_without_kernel_locks_goes(
    path: Path, monkeypatch: pytest.MonkeyPatch, inotify: bool
) -> None:
    monkeypatch.setattr(linux, "NETWORK", 60)
    if not inotify:
        monkeypatch.setattr(linux, "_watch", lambda fd, path: None)
    waiting = threading.Event()
    real = linux.wait_for_change

    def tell(fd: int, name: str, seen: tuple[int, int], pid: int | None, seconds: float) -> None:
        waiting.set()
        real(fd, name, seen, pid, seconds)

    monkeypatch.setattr(linux, "wait_for_change", tell)

    def wait_for(going: Callable[[], object]) -> None:
        waiting.clear()
        thread = threading.Thread(target=lambda: waiting.wait(10) and going())
        thread.start()
        began = time.monotonic()
        lock = SessionLock(path)
        assert lock.acquire(20)
        assert time.monotonic() - began < 10
        lock.release()
        thread.join(10)

    with Peer("say('here')\nhear()\nos.unlink(path + '.lock')\nsay('gone')\nhear()", path) as peer:
        peer.hear()
        leave(path, entry(peer.pid))
        wait_for(peer.say)
        assert peer.hear() == "gone"
        leave(path, entry(peer.pid))
        wait_for(peer.kill)


def test_a_wait_ends_when_the_record_becomes_too_old(path: Path, living: int) -> None:
    leave(path, entry(living))
    began = time.monotonic()
    lock = SessionLock(path, stale_after=0.3)
    assert lock.acquire(10)
    assert time.monotonic() - began < 2
    lock.release()


def test_standing_of_nothing(path: Path) -> None:
    assert record.find(str(path) + ".lock", stale_after=60) is None
    wire = leave(path, b"")
    found = record.find(str(wire), stale_after=60)
    assert found is not None
    assert found.standing is Standing.UNSETTLED
    found.close()
