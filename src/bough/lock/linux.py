"""What Linux offers beyond Python's ``os``: exchanging two names, proof of a process's death, waiting for a change.

Each has a fallback for where the call is missing (an old kernel, a sandbox, a file system without it, another system):
see :mod:`bough.lock.system`.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import select
import sys
import time

from bough.lock import system
from bough.lock.files import Ident, ident

COARSE = 0.1
"""Seconds between two looks where neither inotify nor a pidfd can tell of a change."""
NETWORK = 1.0
"""Longest wait between two looks in any case: a network file system does not tell what other hosts do."""

_AT_FDCWD = -100
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2
_RENAME_SWAP, _RENAME_EXCL = 2, 4  # macOS
# A name taken from an open inode shows as a change of its link count: IN_DELETE_SELF waits for the last descriptor.
_IN_ATTRIB, _IN_MODIFY, _IN_MOVE_SELF = 0x4, 0x2, 0x800
_MISSING = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def exchange(first: str, second: str) -> bool:
    """Swap what two names lead to, in one step. False where that cannot be done here; OSError where it failed."""
    return system.has.exchange and _rename(first, second, _RENAME_EXCHANGE, _RENAME_SWAP)


def rename_exclusive(old: str, new: str) -> bool:
    """Rename, unless the new name is taken (FileExistsError). False where that cannot be done here."""
    if sys.platform == "win32":
        os.rename(old, new)  # it never replaces there
        return True
    return system.has.exclusive_rename and _rename(old, new, _RENAME_NOREPLACE, _RENAME_EXCL)


def _rename(first: str, second: str, linux_flag: int, macos_flag: int) -> bool:
    names = os.fsencode(first), os.fsencode(second)
    try:
        if sys.platform == "darwin":
            failed = _libc().renamex_np(*names, macos_flag)
        else:
            failed = _libc().renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], linux_flag)
    except AttributeError:
        return False
    if failed == 0:
        return True
    number = ctypes.get_errno()
    if number in _MISSING:
        return False
    raise OSError(number, os.strerror(number), first)


def is_gone(pid: int) -> bool:
    """Whether it is proven that no process ``pid`` runs here: none, or only its corpse (a zombie).

    A pidfd is asked first: it knows a zombie from a process whose first thread has ended and whose others run on.
    """
    if sys.platform == "win32":
        return _is_gone_on_windows(pid)
    if not system.has.pidfd:
        return _is_gone_by_signal(pid)
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    except OSError as error:
        # EINVAL, since 6.9 ENOENT: the number now names a thread of some other process.
        return error.errno in (errno.EINVAL, errno.ENOENT) or _is_gone_by_signal(pid)
    except OverflowError:
        return True
    try:
        return _is_readable(fd, 0)
    finally:
        os.close(fd)


def _is_gone_by_signal(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False  # somebody else's, and alive
    fields = _stat_fields(pid)
    return bool(fields) and fields[0] in (b"Z", b"X")


if sys.platform == "win32":

    def _is_gone_on_windows(pid: int) -> bool:
        # os.kill with 0 would send Ctrl-C there.
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        process = kernel.OpenProcess(0x00100000, False, pid)  # SYNCHRONIZE
        if not process:
            return ctypes.get_last_error() == 87  # ERROR_INVALID_PARAMETER: no such process
        try:
            return bool(kernel.WaitForSingleObject(process, 0) == 0)
        finally:
            kernel.CloseHandle(process)


def started_at(pid: int) -> float | None:
    """When the process began, in seconds since the epoch; None where that cannot be read.

    Taken from the boot clock and today's wall clock, so it moves with a wall clock that is set.
    """
    fields = _stat_fields(pid)
    if len(fields) < 20:
        return None
    since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot


def _stat_fields(pid: int) -> list[bytes]:
    """The fields of ``/proc/PID/stat`` after the command's name, which may hold blanks and parentheses itself."""
    if not system.has.proc:
        return []
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def wait_for_change(fd: int, path: str, seen: Ident, pid: int | None, seconds: float) -> None:
    """Wait until the file open as ``fd`` changes, leaves ``path``, process ``pid`` ends, or ``seconds`` are over.

    It may return early; the caller looks again.
    """
    watch = _watch(fd, path)
    process = _pidfd(pid)
    try:
        if watch is None or (pid is not None and process is None):
            seconds = min(seconds, COARSE)
        try:
            if ident(os.lstat(path)) != seen:  # it went before the watch was set
                return
        except FileNotFoundError:
            return
        _poll([one for one in (watch, process) if one is not None], max(0.0, min(seconds, NETWORK)))
    finally:
        for one in (watch, process):
            if one is not None:
                os.close(one)


def _watch(fd: int, path: str) -> int | None:
    """An inotify descriptor on the inode open as ``fd``, whatever its name is by now. Without /proc: on what is at
    ``path``; the caller looks after it whether that is still the same."""
    if not system.has.inotify:
        return None
    try:
        watch: int = _libc().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if watch < 0:
            return None
        place = os.fsencode(f"/proc/self/fd/{fd}" if system.has.proc else path)
        if _libc().inotify_add_watch(watch, place, _IN_ATTRIB | _IN_MODIFY | _IN_MOVE_SELF) < 0:
            os.close(watch)
            return None
    except AttributeError:
        return None
    return watch


def _pidfd(pid: int | None) -> int | None:
    if pid is None or not system.has.pidfd:
        return None
    try:
        return os.pidfd_open(pid)
    except (OSError, OverflowError):
        return None


def _is_readable(fd: int, seconds: float) -> bool:
    return _poll([fd], seconds)


def _poll(fds: list[int], seconds: float) -> bool:
    if not fds:
        time.sleep(seconds)
        return False
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
