"""Opening the lock's own files, and saying clearly why one cannot be used.

Guarantees: a symbolic link is never followed, nothing but a regular file is used, nothing with a second name is used,
and what cannot be used raises :class:`~bough.errors.StoreUnavailableError` naming the file.
"""

from __future__ import annotations

import errno
import os
import stat
import threading

from bough.errors import StoreUnavailableError

Ident = tuple[int, int]
"""What a name leads to: device and inode."""

gate = threading.RLock()
"""Held while a descriptor is opened, recorded or closed, and by a fork while it copies the process.

Without it a child could copy a descriptor that no record names yet, and keep a dead parent's lock alive in it, or close
a number that means something else by then. Nothing that blocks is done under it. Reentrant, because a collected object
may close its descriptors in the middle of another's opening.
"""

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_SAFE = _NOFOLLOW
for _flag in ("O_CLOEXEC", "O_NOCTTY", "O_NONBLOCK", "O_BINARY"):  # NONBLOCK: a planted FIFO must not hang the open
    _SAFE |= getattr(os, _flag, 0)

_HINTS = {
    errno.ENOLCK: "this file system refuses file locks; keep the session on another one",
    errno.EPERM: "check who owns the folder and its permissions",
    errno.ENOSPC: "free some space",
    getattr(errno, "EDQUOT", errno.ENOSPC): "free some space",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "check who owns the folder and its permissions",
    errno.ENOENT: "the folder must exist",
    errno.ENOTDIR: "the folder must be a folder",
}


def ident(status: os.stat_result) -> Ident:
    return status.st_dev, status.st_ino


def unavailable(path: str, error: OSError) -> StoreUnavailableError:
    """``error``, met while locking ``path``, in words."""
    place = error.filename if isinstance(error.filename, str) else path
    reason = error.strerror or str(error)
    return StoreUnavailableError(f"cannot lock {path}: {place}: {reason}", hint=_HINTS.get(error.errno or 0, ""))


def refusal(path: str, what: str) -> StoreUnavailableError:
    """``path`` is something that a lock file never is."""
    return StoreUnavailableError(
        f"{path} is {what}, not a lock file; it was left as it is", hint="find out who put it there, then remove it"
    )


def open_plain(path: str, flags: int) -> int:
    """Open ``path`` without following a link. The caller owns the descriptor.

    Raises OSError, and StoreUnavailableError for a symbolic link or whatever is not a regular file.
    """
    if not _NOFOLLOW and os.path.islink(path):
        raise refusal(path, "a symbolic link")
    try:
        fd = os.open(path, flags | _SAFE, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise refusal(path, "a symbolic link") from error
        if error.errno in (errno.EISDIR, errno.ENXIO):  # a folder opened for writing, a socket
            raise refusal(path, "not a regular file") from error
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise refusal(path, "not a regular file")
    return fd


def check_guard(fd: int, path: str) -> Ident:
    """The identity of the open guard, which must be ours and have no second name.

    A file of the folder's owner passes as ours: that user can replace every file there anyway. Anybody else's could
    be kept locked for ever by somebody who has no right to the session.
    """
    status = os.fstat(fd)
    if status.st_nlink > 1:
        raise refusal(path, "a file with a second name (hard link)")
    if (
        hasattr(os, "geteuid")
        and status.st_uid != os.geteuid()
        and status.st_uid != os.stat(os.path.dirname(path)).st_uid
    ):
        raise refusal(path, f"a file of another user (uid {status.st_uid})")
    return ident(status)
