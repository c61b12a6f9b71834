"""Without what Linux offers: each row of bough.lock.system's table, forced, in this process and in others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from lock_peer import HOLD, Peer, environment
from test_lock_torture import Arena, torture

from bough.errors import StoreUnavailableError
from bough.lock import SessionLock, linux, system

ROWS = [
    "exchange",
    "exclusive_rename",
    "exclusive_rename,exchange",  # as on NFS
    "hard_links",
    "hard_links,exclusive_rename",
    "hard_links,exclusive_rename,exchange",
    "pidfd",
    "pidfd,proc",
    "proc",
    "inotify",
    "inotify,proc,pidfd",
    "flock",
    "moves_open_files,hard_links,exclusive_rename,exchange,flock,pidfd,proc,inotify",  # as on Windows
]
LACK = "from bough.lock import system\nfor name in sys.argv[2].split(','): setattr(system.has, name, False)\n"
DEAD = json.dumps({"pid": 2**22 + 1, "timestamp": 1, "hostname": os.uname().nodename})


@pytest.fixture(params=ROWS)
def lacking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    row = str(request.param)
    for name in row.split(","):
        assert getattr(system.has, name) is True, "Linux has it all"
        monkeypatch.setattr(system.has, name, False)
    return row


def names(path: Path) -> set[str]:
    return {entry.name for entry in path.parent.iterdir()}


def test_a_hold_and_a_takeover(path: Path, lacking: str) -> None:
    wire = path.parent / "session.lock"
    lock = SessionLock(path)
    tokens = []
    for planted in (None, DEAD, None, "", "{", None):
        if planted is not None:
            wire.write_text(planted)
            os.utime(wire, (1, 1))
        with lock:
            assert json.loads(wire.read_bytes())["pid"] == os.getpid()
            assert SessionLock(path).is_locked()
            assert lock.check()
            assert lock.token is not None
            tokens.append(lock.token)
        assert not wire.exists()
        assert not lock.is_locked()
        assert names(path) <= {"session.lock.guard", "session.lock.new"}
    assert tokens == sorted(set(tokens))
    with lock:
        wire.unlink()
        assert not lock.check()
        wire.write_text(DEAD)
    assert wire.read_text() == DEAD, "invariant 4"


def test_a_live_foreign_holder_is_honoured_and_waited_for(path: Path, lacking: str) -> None:
    wire = path.parent / "session.lock"
    with Peer("say('here')\nhear()\nos.unlink(path + '.lock')\nhear()", path) as peer:
        peer.hear()
        record = {"pid": peer.pid, "timestamp": time.time_ns() // 10**6, "hostname": os.uname().nodename}
        wire.write_text(json.dumps(record))
        lock = SessionLock(path)
        assert lock.acquire() is False
        assert json.loads(wire.read_text()) == record
        teller = threading.Timer(0.05, peer.say)
        teller.start()
        assert lock.acquire(10)
        lock.release()
        teller.join()


def test_only_the_judged_record_is_displaced(path: Path, lacking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 4: another program's record comes between the judgement and the act; it is there afterwards."""
    wire = path.parent / "session.lock"
    live = json.dumps({"pid": os.getppid(), "timestamp": time.time_ns() // 10**6, "hostname": os.uname().nodename})
    changes = [1]
    lock = SessionLock(path)
    with lock:  # the place is there, and its wire
        pass
    assert lock._place is not None
    real = type(lock._place.wire)._displace

    def late(self: object, found: object) -> bool:
        if changes:
            changes.pop()
            wire.unlink()
            wire.write_text(live)
        return real(self, found)  # type: ignore[arg-type]

    monkeypatch.setattr(type(lock._place.wire), "_displace", late)
    wire.write_text(DEAD)
    assert lock.acquire() is False
    assert not changes
    assert wire.read_text() == live
    assert names(path) <= {"session.lock", "session.lock.guard", "session.lock.new"}


def test_among_processes(path: Path, lacking: str) -> None:
    lock = SessionLock(path)
    with Peer(LACK + HOLD, path, lacking) as peer:
        token = int(peer.hear().split()[1])
        assert lock.acquire() is False
        assert lock.acquire(0.02) is False
        threading.Timer(0.02, peer.say).start()
        assert lock.acquire(10)
        assert lock.token is not None
        assert lock.token > token
        assert peer.hear() == "released"
        lock.release()
    with Peer(LACK + HOLD, path, lacking) as peer:
        peer.hear()
        peer.kill()
        began = time.monotonic()
        assert lock.acquire(10)
        assert time.monotonic() - began < 1
        lock.release()


@pytest.mark.parametrize("row", ["exclusive_rename,exchange", "hard_links,exclusive_rename", "flock", ROWS[-1]])
def test_torture(tmp_path: Path, row: str) -> None:
    verdict, arena = torture(Arena(tmp_path, "processes", row), Arena.kill, Arena.plant, seconds=1.0)
    assert verdict.holds > 10, (verdict, arena.killed)
    assert verdict.overlaps == 0
    assert verdict.are_tokens_ordered


def test_without_exclusive_create_of_content_the_rename_does_not_replace(path: Path) -> None:
    old, new = path.parent / "old", path.parent / "new"
    old.write_text("old")
    new.write_text("new")
    with pytest.raises(FileExistsError):
        linux.rename_exclusive(str(old), str(new))
    assert new.read_text() == "new"
    new.unlink()
    assert linux.rename_exclusive(str(old), str(new))
    assert new.read_text() == "old"


def test_a_file_system_that_refuses_hard_links(path: Path) -> None:
    """Found out by trying."""
    code = """
from bough.lock import system
system.has.exclusive_rename = False
def hook(event, arguments):
    if event == "os.link": raise PermissionError(1, "Operation not permitted")
sys.addaudithook(hook)
lock = SessionLock(path)
for _ in range(3):
    with lock: say(lock.check())
say("released")
"""
    with Peer(code, path) as peer:
        assert [peer.hear() for _ in range(4)] == ["True"] * 3 + ["released"]
    assert names(path) <= {"session.lock.guard", "session.lock.new"}


IMPORT_ELSEWHERE = """
import os, sys
sys.modules["fcntl"] = None
for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_NOCTTY", "O_NONBLOCK", "register_at_fork", "uname", "geteuid", "pidfd_open",
             "pread", "pwrite", "link", "fork"):
    delattr(os, name)
import bough.lock, bough.aio
from bough.lock import system
print(system.has)
assert not system.has.flock and not system.has.pidfd and not system.has.hard_links
lock = bough.lock.SessionLock(sys.argv[1])
try: lock.acquire()
except bough.errors.StoreUnavailableError as error: print(error)
os.symlink("nowhere", sys.argv[1] + "-link.lock.guard")
try: bough.lock.SessionLock(sys.argv[1] + "-link").acquire()
except bough.errors.StoreUnavailableError as error: print(error)
system.has.flock = True
class Kernel:  # the positions of files are moved to read and write; the lock itself is not what is looked at here
    LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN = 2, 4, 1, 8
    def flock(self, fd, operation): pass
system.fcntl = Kernel()
with lock: print(lock.check(), lock.token > 0, open(sys.argv[1] + ".lock").read()[:8])
"""


def test_import_where_neither_fcntl_nor_the_rest_is_there(path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", IMPORT_ELSEWHERE, str(path)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert "No locks available" in run.stdout, run.stderr
    assert "symbolic link" in run.stdout, run.stderr
    assert 'True True {"pid":' in run.stdout, run.stderr


def test_without_locks_at_all_it_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int) -> bool:
        raise system._NO_LOCKS

    monkeypatch.setattr(system.has, "flock", False)
    monkeypatch.setattr(system, "_try_byte", refuse)
    with pytest.raises(StoreUnavailableError, match="No locks available"):
        SessionLock(path).acquire(1)
