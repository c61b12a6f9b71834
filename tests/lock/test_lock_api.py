"""The API as it is promised, inside one process. Numbers are the invariants of bough.lock.session_lock."""

from __future__ import annotations

import json
import os
import shutil
import stat
import threading
import time
from pathlib import Path

import pytest
from lock_peer import HOLD, Peer

import bough.lock
from bough.errors import SessionLockedError
from bough.lock import LockInfo, SessionLock, place, with_session_lock


def names(path: Path) -> set[str]:
    return {entry.name for entry in path.parent.iterdir()}


def test_exports() -> None:
    assert bough.lock.__all__ == ["TOKEN_LIMIT", "LockInfo", "SessionLock", "with_session_lock"]


def test_a_hold_is_on_disk_and_gone_after_it(path: Path) -> None:
    lock = SessionLock(path)
    before = time.time_ns() // 1_000_000
    assert lock.acquire() is True
    record = json.loads((path.parent / "session.lock").read_text())
    assert list(record) == ["pid", "timestamp", "hostname"]
    assert record["pid"] == os.getpid()
    assert record["hostname"] == os.uname().nodename
    assert type(record["timestamp"]) is int
    assert before <= record["timestamp"] <= time.time_ns() // 1_000_000
    lock.release()
    assert "session.lock" not in names(path)
    assert "session.lock.guard" in names(path)
    assert not path.exists()


def test_no_name_ends_in_json(path: Path) -> None:
    with SessionLock(path):
        assert not [name for name in names(path) if name.endswith(".json")]


def test_files_are_private(path: Path) -> None:
    old = os.umask(0)
    try:
        with SessionLock(path):
            modes = {name: stat.S_IMODE((path.parent / name).stat().st_mode) for name in names(path)}
    finally:
        os.umask(old)
    assert modes
    assert set(modes.values()) == {0o600}


def test_locked_and_holder(path: Path) -> None:
    lock = SessionLock(path)
    assert not lock.is_locked()
    assert lock.get_lock_holder() is None
    with lock:
        assert SessionLock(path).is_locked()
        holder = SessionLock(path).get_lock_holder()
        assert isinstance(holder, LockInfo)
        assert holder.pid == os.getpid()
    assert not lock.is_locked()
    assert lock.get_lock_holder() is None


def test_looking_creates_nothing(path: Path) -> None:
    SessionLock(path).is_locked()
    SessionLock(path).get_lock_holder()
    assert names(path) == set()
    assert not SessionLock(path.parent / "none" / "session").is_locked()


def test_holder_in_another_process(path: Path) -> None:
    with Peer(HOLD, path) as peer:
        peer.hear()
        lock = SessionLock(path)
        assert lock.is_locked()
        holder = lock.get_lock_holder()
        assert holder is not None
        assert holder.pid == peer.pid
        assert lock.acquire() is False
        with pytest.raises(SessionLockedError) as caught, lock:
            raise AssertionError("inside another's hold")
        assert caught.value.holder == holder
        assert str(peer.pid) in str(caught.value)
        with pytest.raises(SessionLockedError):
            with_session_lock(path, lambda: pytest.fail("inside another's hold"))


def test_release_is_harmless_when_not_held(path: Path) -> None:
    lock = SessionLock(path)
    lock.release()
    with SessionLock(path) as outer:
        lock.release()
        assert outer.check()
    lock.release()
    assert lock.acquire()
    lock.release()
    lock.release()


def test_nesting_by_one_object_and_by_several(path: Path) -> None:
    first, second = SessionLock(path), SessionLock(path)
    assert first.acquire()
    assert first.acquire()
    assert second.acquire()
    assert first.token == second.token
    first.release()
    first.release()
    assert second.check(), "held until the outermost release, whichever object that is"
    assert first.token is None
    first.release()
    assert second.check()
    second.release()
    assert not second.is_locked()


def test_nesting_by_another_name_of_the_folder(path: Path) -> None:
    alias = path.parent.parent / (path.parent.name + "-alias")
    alias.symlink_to(path.parent)
    with SessionLock(path) as outer, SessionLock(alias / "session") as inner:
        assert inner.token == outer.token


def test_relative_path_stays_where_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    lock = SessionLock("session")
    monkeypatch.chdir("/")
    with lock:
        assert (path.parent / "session.lock").exists()


def test_with_session_lock_returns_and_releases(path: Path) -> None:
    assert with_session_lock(path, lambda: SessionLock(path).get_lock_holder()) is not None
    assert not SessionLock(path).is_locked()

    def fail() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        with_session_lock(path, fn=fail, timeout=1)
    assert not SessionLock(path).is_locked()


def test_with_statement_releases_when_the_body_raises(path: Path) -> None:
    lock = SessionLock(path)
    with pytest.raises(KeyError), lock:
        raise KeyError
    assert lock.token is None
    assert not lock.is_locked()


def test_tokens_increase(path: Path) -> None:
    """Invariant 5, over objects, and where the counter was lost or is nonsense."""
    tokens = []
    guard = path.parent / "session.lock.guard"
    for step in range(12):
        lock = SessionLock(path)
        with lock:
            assert lock.token is not None
            tokens.append(lock.token)
        if step == 4:
            guard.unlink()
        if step == 6:
            guard.write_bytes(b"")
        if step == 8:
            guard.write_bytes(b"\xff" * 20)
    assert tokens == sorted(set(tokens))


def test_tokens_increase_when_the_clock_is_behind(path: Path) -> None:
    ahead = 9 * 10**15
    with SessionLock(path):
        pass
    (path.parent / "session.lock.guard").write_bytes(b"%020d\n" % ahead)
    tokens = [ahead]
    for _ in range(3):
        with SessionLock(path) as lock:
            assert lock.token is not None
            tokens.append(lock.token)
    assert tokens == sorted(set(tokens))
    assert tokens[-1] < ahead + 10


def test_check_tells_a_robbery_and_release_leaves_the_robber(path: Path) -> None:
    """Invariant 4."""
    wire = path.parent / "session.lock"
    lock = SessionLock(path)
    assert lock.check() is False
    assert lock.acquire()
    assert lock.check() is True
    wire.unlink()
    assert lock.check() is False
    wire.write_text(json.dumps({"pid": os.getppid(), "timestamp": time.time_ns() // 10**6, "hostname": "elsewhere"}))
    assert lock.check() is False
    lock.release()
    assert json.loads(wire.read_text())["hostname"] == "elsewhere"
    assert SessionLock(path).acquire() is False
    wire.unlink()
    assert lock.acquire()
    assert lock.check()
    lock.release()


def test_folder_replaced_between_holds(path: Path) -> None:
    lock = SessionLock(path)
    with lock:
        pass
    path.parent.rename(path.parent.with_name("moved"))
    path.parent.mkdir()
    with lock, SessionLock(path) as inner:
        assert inner.token == lock.token
        assert (path.parent / "session.lock").exists()
    with SessionLock(path.parent.with_name("moved") / "session") as other:
        assert other.check()


def test_a_folder_that_has_the_number_of_a_removed_one(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    lock = SessionLock(first / "session")
    with lock:
        pass
    shutil.rmtree(first)
    status = second.stat()
    assert lock._place is not None
    # File systems give numbers again when they like; here it is said that they did.
    place._places[(status.st_dev, status.st_ino, "session")] = lock._place
    with SessionLock(second / "session") as other:
        assert other.check()
        assert (second / "session.lock").exists()


def test_a_record_of_ours_that_stayed_is_cleared_away(path: Path) -> None:
    lock = SessionLock(path)
    with lock:
        pass
    os.link(path.parent / "session.lock.new", path.parent / "session.lock")
    with lock:
        assert lock.check()
    assert not lock.is_locked()


def test_heartbeat_renews_the_timestamp_in_place(path: Path) -> None:
    wire = path.parent / "session.lock"
    with SessionLock(path, heartbeat=0.01) as lock:
        first = json.loads(wire.read_text())
        inode = wire.stat().st_ino
        end = time.monotonic() + 5
        while (latest := json.loads(wire.read_text())) == first and time.monotonic() < end:
            os.sched_yield()
        assert latest["timestamp"] > first["timestamp"]
        assert {**latest, "timestamp": 0} == {**first, "timestamp": 0}
        assert wire.stat().st_ino == inode
        assert lock.check()


def test_short_holds_share_one_heartbeat_thread(path: Path) -> None:
    def beating() -> list[int | None]:
        return [thread.ident for thread in threading.enumerate() if thread.name == "bough-lock-heartbeat"]

    for _ in range(3):
        with SessionLock(path):
            idents = beating()
    assert len(idents) == 1
    for _ in range(50):
        with SessionLock(path):
            pass
    assert beating() == idents


def test_infinite_heartbeat_never_beats(path: Path) -> None:
    with Peer(
        "lock = SessionLock(path, heartbeat=float('inf'))\nwith lock: say(threading.active_count())\nhear()", path
    ) as peer:
        assert peer.hear() == "1"


def test_many_locks_keep_few_descriptors(tmp_path: Path) -> None:
    with Peer(
        """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
locks = [SessionLock(f"{path}/{n}") for n in range(1000)]
for _ in range(2):
    for lock in locks:
        with lock: assert lock.check()
say(len(os.listdir("/proc/self/fd")))
hear()
""",
        tmp_path,
    ) as peer:
        assert int(peer.hear()) < 100


def test_no_spare_is_left_behind_at_exit(path: Path) -> None:
    code = """
lock = SessionLock(path)
with lock: pass
say("released")
hear()
lock.acquire()
say("held")
hear()
"""
    with Peer(code, path) as peer:
        assert peer.hear() == "released"
        assert names(path) == {"session.lock.guard", "session.lock.new"}
        peer.say()
        assert peer.hear() == "held"
        assert names(path) == {"session.lock", "session.lock.guard"}
        peer.say()
        assert peer.process.wait(10) == 0
        assert names(path) == {"session.lock.guard"}
