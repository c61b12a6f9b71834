"""The wire record ``<path>.lock``, and the judging of one that somebody left.

We write ``{"pid":N,"timestamp":   MS,"hostname":"H"}`` and a newline: JSON with exactly these keys for everybody, and
a layout that shows us our own. The blanks put the last eight digits of the timestamp on an eight-byte boundary, where
a heartbeat's rewrite cannot be read half done.

Judged as stale is only what is proven dead, unreadable for long enough not to be still in the making, or too old where
nothing but age can be known. This module reads; it never removes or writes a file.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from dataclasses import dataclass
from enum import Enum

from bough.lock import linux, system
from bough.lock.files import Ident, ident, open_plain
from bough.lock.system import hostname, pread
from bough.model import LockInfo

SETTLE = 0.25
"""Seconds that an empty or unreadable record gets: another program may be between its create and its write."""
_CLOCK = 2.0
"""Seconds by which a process may seem younger than its own record: clocks and ticks are coarse."""
_LIMIT = 4096
_FOREVER = 1e18
_OURS = re.compile(rb'\{"pid":\d+,"timestamp": +\d{1,13},"hostname":"[^\n]*"\}\n')


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def compose(timestamp: int) -> tuple[bytes, int]:
    """This process's record, and the offset of the timestamp's field in it (see :func:`stamp`)."""
    head = b'{"pid":%d,"timestamp": ' % os.getpid()
    offset = len(head) + (3 - len(head)) % 8  # five digits, then eight from a multiple of eight on
    tail = b',"hostname":%s}\n' % json.dumps(hostname()).encode()
    return head.ljust(offset) + stamp(timestamp) + tail, offset


def stamp(timestamp: int) -> bytes:
    """The timestamp's field, always of the same width; blanks lead, for JSON knows no leading zero."""
    return b"%13d" % timestamp


def parse(data: bytes) -> LockInfo | None:
    """What a record says; None where it is not one."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    pid, timestamp, host = value.get("pid"), value.get("timestamp"), value.get("hostname")
    if type(pid) is not int or not isinstance(timestamp, (int, float)) or not isinstance(host, str):
        return None
    if pid <= 0 or isinstance(timestamp, bool) or not abs(timestamp) < _FOREVER:
        return None
    return LockInfo(pid=pid, timestamp=int(timestamp), hostname=host)


class Standing(Enum):
    LIVE = "live"
    STALE = "stale"
    UNSETTLED = "unsettled"
    """Empty or unreadable, and so young that it may be still in the making."""


@dataclass(slots=True, kw_only=True)
class Found:
    """A record that was there. ``fd`` stays open until :meth:`close`: it pins the inode, whose number is not reused."""

    path: str
    fd: int
    ident: Ident
    links: int
    data: bytes
    info: LockInfo | None
    standing: Standing
    expires: float = math.inf
    """Seconds since the epoch from which age alone makes it stale."""

    def is_unchanged(self, path: str) -> bool:
        """Whether it, which is at ``path`` now, still reads as it was judged: a program may have filled or renewed it
        in place since."""
        if self.fd < 0:  # closed, that it could be renamed
            self.fd = open_plain(path, os.O_RDONLY)
        return bytes(pread(self.fd, _LIMIT, 0)) == self.data

    def wait(self, seconds: float) -> None:
        """Wait until it may have another standing, at most ``seconds``."""
        info = self.info
        pid = info.pid if info is not None and info.hostname == hostname() else None
        until_old = max(0.0, self.expires - time.time())
        linux.wait_for_change(self.fd, self.path, self.ident, pid, min(seconds, until_old + 0.001))

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


def find(path: str, *, stale_after: float) -> Found | None:
    """The record at ``path`` and its standing; None when there is none. ``stale_after`` is in seconds.

    Raises OSError, and StoreUnavailableError for a link or what is no regular file.
    """
    try:
        fd = open_plain(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(fd)
        data = pread(fd, _LIMIT, 0)
        info = parse(data)
        standing, expires = _judge(fd, status, data, info, stale_after)
        return Found(
            path=path,
            fd=fd,
            ident=ident(status),
            links=status.st_nlink,
            data=data,
            info=info,
            standing=standing,
            expires=expires,
        )
    except BaseException:
        os.close(fd)
        raise


def _judge(
    fd: int, status: os.stat_result, data: bytes, info: LockInfo | None, stale_after: float
) -> tuple[Standing, float]:
    """The rows of the protocol's table, first match wins."""
    if system.is_kernel_locked(fd):
        return Standing.LIVE, math.inf
    if info is None:
        age = time.time() - status.st_mtime
        # A time in the future is no proof of youth or age; then it is watched for the whole while.
        return (Standing.STALE if age > SETTLE else Standing.UNSETTLED), math.inf
    if _OURS.fullmatch(data):
        return Standing.STALE, math.inf  # we keep ours locked, so the kernel says that its process is gone
    if info.hostname == hostname() and _is_dead(info):
        return Standing.STALE, math.inf
    since = info.timestamp / 1000
    if since > time.time() + stale_after:
        since = status.st_mtime  # no clock is that far ahead; without this it would be live for ever
    expires = since + stale_after
    return (Standing.STALE if time.time() > expires else Standing.LIVE), expires


def _is_dead(info: LockInfo) -> bool:
    # Our own number on a record that we do not hold: a process before us, or this one before an exec.
    if info.pid == os.getpid() or linux.is_gone(info.pid):
        return True
    began = linux.started_at(info.pid)
    return began is not None and began > info.timestamp / 1000 + _CLOCK
