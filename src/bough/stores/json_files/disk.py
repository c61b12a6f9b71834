"""The file-system calls that change something, in one place: what a crash test interrupts, and where fsync is decided.

1. Nothing is followed: a symbolic link, a device or a folder where a file should be is refused.
2. Files are made 0600, folders 0700.
3. With ``durability="lazy"`` no sync reaches the disk; the order of the calls stays the same.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable

from bough.errors import StoreUnavailableError

_SAFE = 0
for _flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):  # NONBLOCK: a FIFO must not make us wait
    _SAFE |= getattr(os, _flag, 0)
READ = os.O_RDONLY | _SAFE
WRITE = os.O_RDWR | _SAFE
_NEW = WRITE | os.O_CREAT | os.O_EXCL

_SAID = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOTDIR: "a file is where a folder should be",
    errno.ELOOP: "a symbolic link is not followed",
    errno.ENAMETOOLONG: "the path is too long",
}


class refusing:  # noqa: N801 - a context manager that reads as a verb; a class, because it is on the append path
    """Turns what the operating system refuses into ``StoreUnavailableError`` naming the place."""

    __slots__ = ("_place",)

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise unavailable(self._place, error) from error


def unavailable(place: str, error: OSError) -> StoreUnavailableError:
    reason = _SAID.get(error.errno or 0) or (error.strerror or str(error)).lower()
    return StoreUnavailableError(
        f"{error.filename or place}: {reason}", hint="nothing was changed; check the folder and try again"
    )


def open_file(path: str, flags: int = READ) -> int:
    """Opens a regular file without following links; OSError (ELOOP, EISDIR…) otherwise."""
    descriptor = os.open(path, flags, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return descriptor


def read_range(descriptor: int, start: int, stop: int) -> bytes:
    """The bytes from ``start`` to ``stop``, fewer where the file ends before."""
    data = _pread(descriptor, stop - start, start)
    while len(data) < stop - start:
        more = _pread(descriptor, stop - start - len(data), start + len(data))
        if not more:
            break
        data += more
    return data


def _seek_read(descriptor: int, size: int, offset: int, /) -> bytes:
    os.lseek(descriptor, offset, os.SEEK_SET)
    return os.read(descriptor, size)


def _seek_write(descriptor: int, data: bytes, offset: int, /) -> int:
    os.lseek(descriptor, offset, os.SEEK_SET)
    return os.write(descriptor, data)


# Windows has neither call; every descriptor here is used by one thread at a time.
_pread = getattr(os, "pread", _seek_read)
_pwrite = getattr(os, "pwrite", _seek_write)


class Disk:
    """The changing calls. A test gives the store one that stops half-way."""

    def __init__(self, *, durable: bool) -> None:
        self.durable = durable

    def open_to_write(self, path: str) -> int:
        return open_file(path, WRITE)

    def create(self, path: str) -> int:
        """A new, empty file. A leftover of that name is unlinked, not emptied: it may be a link to a live document."""
        try:
            return open_file(path, _NEW)
        except FileExistsError:
            self.unlink(path)
            return open_file(path, _NEW)

    def make_folder(self, path: str) -> bool:
        """Makes one folder; whether it was new."""
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if os.path.islink(path):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
            return False
        return True

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        done = _pwrite(descriptor, data, offset)
        while done < len(data):
            done += _pwrite(descriptor, data[done:], offset + done)

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        if self.durable:
            os.fdatasync(descriptor) if hasattr(os, "fdatasync") else os.fsync(descriptor)

    def sync_folder(self, path: str) -> None:
        if not self.durable or os.name == "nt":  # Windows has no descriptor for a folder
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def write_file(self, path: str, chunks: Iterable[bytes], *, sync: bool = True) -> None:
        """A whole new file."""
        descriptor = self.create(path)
        try:
            offset = 0
            for chunk in chunks:
                self.write(descriptor, chunk, offset)
                offset += len(chunk)
            if sync:
                self.sync(descriptor)
        finally:
            os.close(descriptor)

    def link(self, source: str, target: str) -> None:
        """A second name for a file; a copy where the file system has no hard links."""
        if os.path.lexists(target):
            self.unlink(target)
        try:
            os.link(source, target, follow_symlinks=False)
        except (OSError, NotImplementedError):
            descriptor = open_file(source)
            try:
                self.write_file(f"{target}.new", [read_range(descriptor, 0, os.fstat(descriptor).st_size)])
            finally:
                os.close(descriptor)
            self.rename(f"{target}.new", target)

    def rename(self, source: str, target: str) -> None:
        os.replace(source, target)

    def unlink(self, path: str) -> None:
        os.unlink(path)
