"""What may lie where the lock's files should be, and places where nothing can be locked."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lock_peer import PRELUDE, Peer, environment

from bough.errors import StoreUnavailableError
from bough.lock import SessionLock


def as_symlink(name: Path, target: Path) -> None:
    name.symlink_to(target)


def as_dangling_symlink(name: Path, target: Path) -> None:
    name.symlink_to(target.with_name("nowhere"))


def as_hard_link(name: Path, target: Path) -> None:
    os.link(target, name)


def as_folder(name: Path, target: Path) -> None:
    name.mkdir()


def as_fifo(name: Path, target: Path) -> None:
    os.mkfifo(name)


def as_socket(name: Path, target: Path) -> None:
    here = os.getcwd()
    os.chdir(name.parent)  # the address of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as plug:
            plug.bind(name.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize("plant", [as_symlink, as_dangling_symlink, as_hard_link, as_folder, as_fifo, as_socket])
@pytest.mark.parametrize("name", ["session.lock", "session.lock.guard"])
def test_what_is_no_lock_file_is_refused_and_left(
    path: Path, tmp_path_factory: pytest.TempPathFactory, name: str, plant: Callable[[Path, Path], None]
) -> None:
    target = tmp_path_factory.mktemp("elsewhere") / "precious"
    target.write_bytes(b"precious")
    planted = path.parent / name
    plant(planted, target)
    before = os.lstat(planted)
    lock = SessionLock(path)
    for timeout in (0, 0.05, 1):
        with pytest.raises(StoreUnavailableError, match=f"{name} is (a symbolic link|a file with a second|not a reg)"):
            lock.acquire(timeout)
    if name == "session.lock" and plant is not as_hard_link:  # a second name is normal while one of us holds it
        with pytest.raises(StoreUnavailableError, match=name):
            lock.is_locked()
    after = os.lstat(planted)
    assert (before.st_ino, before.st_mode, before.st_nlink) == (after.st_ino, after.st_mode, after.st_nlink)
    assert target.read_bytes() == b"precious"
    assert os.listdir(target.parent) == ["precious"]
    shutil.rmtree(planted) if planted.is_dir() and not planted.is_symlink() else planted.unlink()
    with lock:
        assert lock.check()


@pytest.mark.parametrize("plant", [as_symlink, as_hard_link])
def test_a_guard_that_is_replaced_between_holds_is_refused(
    path: Path, tmp_path_factory: pytest.TempPathFactory, plant: Callable[[Path, Path], None]
) -> None:
    target = tmp_path_factory.mktemp("elsewhere") / "precious"
    target.write_bytes(b"precious")
    lock = SessionLock(path)
    with lock:
        pass
    guard = path.parent / "session.lock.guard"
    guard.unlink()
    plant(guard, target)
    with pytest.raises(StoreUnavailableError, match=r"guard is a (symbolic link|file with a second name)"):
        lock.acquire()
    assert target.read_bytes() == b"precious"


@pytest.mark.parametrize("plant", [as_symlink, as_hard_link, as_fifo])
def test_a_planted_spare_is_replaced_and_never_written_through(
    path: Path, tmp_path_factory: pytest.TempPathFactory, plant: Callable[[Path, Path], None]
) -> None:
    target = tmp_path_factory.mktemp("elsewhere") / "precious"
    target.write_bytes(b"precious")
    spare = path.parent / "session.lock.new"
    lock = SessionLock(path)
    for _ in range(2):
        spare.unlink(missing_ok=True)
        plant(spare, target)
        with SessionLock(path.parent / "other"):
            pass
        (path.parent / "session.lock.guard").unlink(missing_ok=True)
        with lock:
            assert lock.check()
    assert target.read_bytes() == b"precious"


@pytest.mark.parametrize("renames", [True, False])
def test_a_spare_that_is_replaced_at_the_last_moment_is_not_taken_for_ours(path: Path, renames: bool) -> None:
    """As may happen where the guard was removed by hand, and so two processes have one."""
    code = """
from bough.lock import linux, system
system.has.exclusive_rename = sys.argv[2] == "True"
old = time.time() - 1
real = linux.rename_exclusive
def late(first, second):
    global planted
    if not planted:
        planted = True
        os.unlink(path + ".lock.new")
        open(path + ".lock.new", "w").close()
        os.utime(path + ".lock.new", (old, old))
    return real(first, second)
planted = False
linux.rename_exclusive = late
lock = SessionLock(path)
say(lock.acquire(), lock.check(), planted)
lock.release()
say(os.path.exists(path + ".lock"))
"""
    with Peer(code, path, str(renames)) as peer:
        assert peer.hear() == "True True True"
        assert peer.hear() == "False"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_a_guard_of_somebody_else_is_refused(path: Path) -> None:
    guard = path.parent / "session.lock.guard"
    guard.touch()
    os.chown(guard, 12345, -1)
    with pytest.raises(StoreUnavailableError, match="another user"):
        SessionLock(path).acquire()
    os.chown(path.parent, 12345, -1)
    with SessionLock(path) as lock:
        assert lock.check(), "the folder's owner may replace every file there anyway"


def test_no_folder_and_a_file_for_a_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="none"):
        SessionLock(tmp_path / "none" / "session").acquire()
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailableError, match="file"):
        SessionLock(tmp_path / "file" / "session").acquire(1)
    assert SessionLock(tmp_path / "file" / "session").is_locked() is False


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError):
        SessionLock(tmp_path / ("n" * 250)).acquire()


def test_folder_removed_between_holds(path: Path) -> None:
    lock = SessionLock(path)
    with lock:
        pass
    shutil.rmtree(path.parent)
    with pytest.raises(StoreUnavailableError):
        lock.acquire()
    path.parent.mkdir()
    with lock:
        assert lock.check()


def test_read_only_folder_without_rights() -> None:
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    code = (
        PRELUDE
        + f"""
from bough.errors import StoreUnavailableError
if os.geteuid() == 0: os.setuid(65534)
lock = SessionLock({str(folder / "session")!r})
try: lock.acquire(1)
except StoreUnavailableError as error: print("refused", error, error.hint)
print(lock.is_locked())
"""
    )
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n" + code, "-"],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        cwd="/",
    )
    folder.rmdir()
    assert run.stdout.startswith("refused"), run.stderr
    assert "guard" in run.stdout
    assert "permissions\nFalse" in run.stdout


def test_a_record_that_cannot_be_removed_is_known_as_dead() -> None:
    folder = Path(tempfile.mkdtemp())
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
    code = """
if os.geteuid() == 0: os.setuid(65534)
lock = SessionLock(path)
assert lock.acquire()
os.chmod(os.path.dirname(path), 0o555)
lock.release()
os.chmod(os.path.dirname(path), 0o700)
say(os.path.exists(path + ".lock"), lock.is_locked())
hear()
"""
    try:
        with Peer(code, folder / "session") as peer:
            assert peer.hear() == "True False"
            with SessionLock(folder / "session") as lock:
                assert lock.check()
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one page, so that the guard fits and the record does not."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k", "none", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_full_disk(small_disk: Path) -> None:
    lock = SessionLock(small_disk / "session")
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match="No space left"):
            lock.acquire(1)
        assert os.listdir(small_disk) == ["session.lock.guard"]
    subprocess.run(["mount", "-o", "remount,size=64k", str(small_disk)], check=True)
    with lock:
        assert lock.check()


def test_file_system_without_locks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    lock = SessionLock(path)
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", refuse)
        with pytest.raises(StoreUnavailableError, match="No locks available") as caught:
            lock.acquire()
    assert "refuses file locks" in caught.value.hint
    with lock:
        assert lock.check()
