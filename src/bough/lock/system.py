"""What this system has of what the lock is built on: a table, and the calls that differ.

``has`` is filled from what Python offers here; a test (or a program on a system that lies) sets an entry to False, and
the way without it is taken from then on. What is used instead:

| missing | instead |
|---|---|
| ``flock`` (Windows) | a byte far behind the end of the file, locked without waiting and tried again every few ms |
| ``exchange`` | rename aside, compare, put back |
| ``exclusive_rename`` | a hard link to come; to go as where ``exchange`` is missing |
| ``hard_links`` too | exclusive create and one write |
| ``pidfd`` | signal 0, and the state in ``/proc`` |
| ``proc`` | nothing: a zombie counts as alive, and a process number used again as the process, until they are too old |
| ``inotify`` | a look every 0.1 s at a lock of a program that keeps no kernel lock |
| ``moves_open_files`` (Windows) | files are closed before they are removed or renamed |

Among programs that use Bough all promises hold in each row, provided that all of them take the same row of ``flock``;
two rows cost something: without ``flock`` a waiter looks every few ms and the line among processes is not fair; by
exclusive create (no links and no such rename) another program can see an empty record for some microseconds.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
import time
from dataclasses import dataclass

try:
    import fcntl
except ImportError:  # Windows
    _has_flock = False
else:
    _has_flock = hasattr(fcntl, "flock")


@dataclass(slots=True)
class Has:
    flock: bool = _has_flock
    exchange: bool = sys.platform in ("linux", "darwin")
    hard_links: bool = hasattr(os, "link") and os.name != "nt"  # there the open record could not be removed again
    exclusive_rename: bool = sys.platform in ("linux", "darwin")
    pidfd: bool = hasattr(os, "pidfd_open")
    proc: bool = sys.platform == "linux"
    inotify: bool = sys.platform == "linux"
    moves_open_files: bool = os.name != "nt"


has = Has()

POLL = 0.004
"""Seconds between two tries for a kernel lock that cannot be waited for."""
_BYTE = 1 << 30
"""The byte that is locked where whole files cannot be: on Windows a locked byte cannot be read, so it is none of the
record's."""
_NO_LOCKS = OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def lock(fd: int) -> None:
    """Waits for the exclusive kernel lock on an open file."""
    if has.flock:
        fcntl.flock(fd, fcntl.LOCK_EX)
        return
    while not _try_byte(fd):
        time.sleep(POLL)


def try_lock(fd: int) -> bool:
    """The exclusive kernel lock on an open file, if nobody has it."""
    if not has.flock:
        return _try_byte(fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(fd: int) -> None:
    if has.flock:
        fcntl.flock(fd, fcntl.LOCK_UN)
    else:
        _unlock_byte(fd)


def is_kernel_locked(fd: int) -> bool:
    """Whether somebody has the lock. Where locks can be shared, two who ask at one time do not see each other."""
    if not has.flock:
        if not _try_byte(fd):
            return True
        _unlock_byte(fd)
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(fd, fcntl.LOCK_UN)
    return False


if sys.platform == "win32":
    import msvcrt

    def _try_byte(fd: int) -> bool:
        os.lseek(fd, _BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def _unlock_byte(fd: int) -> None:
        os.lseek(fd, _BYTE, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

elif sys.platform == "linux":
    # Not used but when forced: an "open file description" lock behaves as the one of Windows does, which belongs to
    # the handle and not, as POSIX record locks do, to the process.
    import struct

    _GET, _SET = 36, 37  # F_OFD_GETLK and F_OFD_SETLK, the same on every architecture

    def _byte(kind: int, byte: int = _BYTE) -> bytes:
        return struct.pack("hhqqi4x", kind, os.SEEK_SET, byte, 1, 0)

    _MARK = _BYTE + 1

    def mark(fd: int) -> None:
        """Say that somebody waits for the kernel lock by this open file. It ends with the process."""
        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, _SET, _byte(fcntl.F_RDLCK, _MARK))

    def unmark(fd: int) -> None:
        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, _SET, _byte(fcntl.F_UNLCK, _MARK))

    def is_waited_for(fd: int) -> bool:
        """Whether another open file of the same inode carries the mark."""
        try:
            answer = fcntl.fcntl(fd, _GET, _byte(fcntl.F_WRLCK, _MARK))
        except OSError:
            return False
        return bool(struct.unpack_from("h", answer)[0] != fcntl.F_UNLCK)

    def _try_byte(fd: int) -> bool:
        if not _has_flock:
            raise _NO_LOCKS
        try:
            fcntl.fcntl(fd, _SET, _byte(fcntl.F_WRLCK))
        except (BlockingIOError, PermissionError):
            return False
        except OSError as error:
            if error.errno != errno.EBADF:  # open for reading: then a shared lock tells as much
                raise
            try:
                fcntl.fcntl(fd, _SET, _byte(fcntl.F_RDLCK))
            except (BlockingIOError, PermissionError):
                return False
        return True

    def _unlock_byte(fd: int) -> None:
        fcntl.fcntl(fd, _SET, _byte(fcntl.F_UNLCK))

else:

    def _try_byte(fd: int) -> bool:
        raise _NO_LOCKS

    def _unlock_byte(fd: int) -> None:
        raise _NO_LOCKS


if sys.platform != "linux" or not _has_flock:

    def mark(fd: int) -> None:
        pass

    def unmark(fd: int) -> None:
        pass

    def is_waited_for(fd: int) -> bool:
        return False


_file_position = threading.RLock()


def _read_at(fd: int, size: int, offset: int, /) -> bytes:
    with _file_position:
        os.lseek(fd, offset, os.SEEK_SET)
        return os.read(fd, size)


def _write_at(fd: int, data: bytes, offset: int, /) -> int:
    with _file_position:
        os.lseek(fd, offset, os.SEEK_SET)
        return os.write(fd, data)


pread = getattr(os, "pread", _read_at)
pwrite = getattr(os, "pwrite", _write_at)


def hostname() -> str:
    """As ``os.hostname()`` of Node.js says it."""
    if hasattr(os, "uname"):
        return os.uname().nodename
    import socket

    return socket.gethostname()
