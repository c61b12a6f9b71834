"""What a person asks of a lock: who holds it, why is it judged so, and take it away.

It judges with the words of :mod:`bough.lock.record` and decides nothing anew; a reason is read off what was decided.

1. Nothing but a lock file is removed: a link, a folder, or a file that holds something else is refused, forced or not.
2. What is stale is removed by holding the lock for a moment, so under the protocol's own invariants.
3. What is live is removed only when forced, by its name, and only if that still leads to the record that was judged.
   The guard stays: it comes free when its holder lets go or ends. So two of us never hold the lock even then; the
   holder sees by ``check()`` that it was robbed.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from bough.errors import SessionLockedError, StoreUnavailableError
from bough.lock import linux, record, system
from bough.lock.files import ident, open_plain, refusal, unavailable
from bough.lock.record import SETTLE, Found, Standing
from bough.lock.session_lock import SessionLock
from bough.model import LockInfo

State = Literal["live", "stale", "corrupt", "empty", "free"]

_LONGEST = 1024
"""Bytes of a torn record, at most. What is longer and cannot be read is something else."""
_NO_RECORD = (
    "a process keeps the kernel lock on its guard without a lock file: it comes or goes just now, or was robbed of it"
)
_KEYS = (b'"pid"', b'"timestamp"', b'"hostname"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What stood at a lock's place. ``stale``, ``corrupt`` and ``empty`` are there for the taking."""

    path: str
    """Of the session; the lock file is ``file``."""
    file: str
    state: State
    reason: str
    """Why it is judged so, for people."""
    holder: LockInfo | None
    """As the record says; also of a stale one."""
    since: int | None
    """When the hold began, in ms since the epoch; where only the record is known, when that was written or renewed."""
    token: int | None
    """Of a holder that keeps the kernel lock."""
    is_lock_file: bool
    """Whether the file holds a record, whole or torn."""


def inspect_lock(path: str | os.PathLike[str], *, stale_after: float = 60.0) -> Inspection:
    """Look at the lock of the session file ``path``, as ``SessionLock(path, stale_after=stale_after)`` would see it.

    It only looks. It may take a quarter of a second where a file is empty or torn, which may be still in the making.
    Raises StoreUnavailableError: no such folder, no permission, a link or a folder where a lock file should be.
    """
    full = _full(path)
    with _found(full, stale_after) as found:
        return _inspect(full, found, stale_after)


def break_lock(path: str | os.PathLike[str], *, force: bool = False, stale_after: float = 60.0) -> Inspection:
    """Remove the lock file of the session file ``path`` if it is stale, or with ``force`` in any case.

    Returns what was removed; nothing was where its state is ``free``. Raises SessionLockedError for a live one
    without ``force``, and where somebody else came first; StoreUnavailableError as :func:`inspect_lock` does, and for
    what is no lock file.
    """
    full = _full(path)
    with _found(full, stale_after) as found:
        seen = _inspect(full, found, stale_after)
        if found is None and seen.state == "live":
            raise _locked(
                seen, seen.reason, f"it comes free when that process ends; `fuser {seen.file}.guard` names it"
            )
        if found is None:
            return seen
        if not seen.is_lock_file:
            raise not_a_lock_file(seen)
        if seen.state == "live" and not force:
            raise _locked(seen, seen.reason, "wait, or end that process; --force removes the lock file of a live one")
        if seen.state != "live":
            lock = SessionLock(full, stale_after=stale_after, heartbeat=math.inf)
            if lock.acquire():
                lock.release()
                lock.close()  # and with it the record that would rest there for the next hold
                return seen
            if not force:
                raise _locked(inspect_lock(path, stale_after=stale_after), "another process is about to take it", "")
        try:
            if not _remove(found):
                raise _locked(seen, "it changed hands just now, and was left as it is", "look again")
        except FileNotFoundError:  # released by itself
            return _free(full)
        except OSError as error:
            raise unavailable(full, error) from error
    return seen


def not_a_lock_file(seen: Inspection) -> StoreUnavailableError:
    """The error for a file that only has a lock file's name."""
    return refusal(seen.file, "something else")


def _full(path: str | os.PathLike[str]) -> str:
    return os.path.join(os.getcwd(), os.fspath(path))


@contextmanager
def _found(path: str, stale_after: float) -> Iterator[Found | None]:
    """The record, open; one that may be in the making is watched first."""
    try:
        os.stat(os.path.dirname(path))
        until = time.monotonic() + SETTLE
        while (found := record.find(path + ".lock", stale_after=stale_after)) is not None:
            left = until - time.monotonic()
            if found.standing is not Standing.UNSETTLED or left <= 0:
                break
            try:
                found.wait(left)
            finally:
                found.close()
    except OSError as error:
        raise unavailable(path, error) from error
    try:
        yield found
    finally:
        if found is not None:
            found.close()


def _free(path: str) -> Inspection:
    return Inspection(
        path=path,
        file=path + ".lock",
        state="free",
        reason="there is no lock file",
        holder=None,
        since=None,
        token=None,
        is_lock_file=False,
    )


def _inspect(path: str, found: Found | None, stale_after: float) -> Inspection:
    token = _token(path, found)
    if found is None and token is None:
        return _free(path)
    info = None if found is None else found.info
    return Inspection(
        path=path,
        file=path + ".lock",
        state=_state(found),
        reason=_NO_RECORD if found is None else _reason(found, stale_after),
        holder=info,
        since=None if info is None else _since(info, token),
        token=token or None,
        is_lock_file=found is not None and (info is not None or _is_torn(found.data)),
    )


def _state(found: Found | None) -> State:
    if found is None or found.standing is Standing.LIVE:
        return "live"
    if found.info is None:
        return "corrupt" if found.data else "empty"
    return "stale"


def _reason(found: Found, stale_after: float) -> str:
    info, is_live = found.info, found.standing is Standing.LIVE
    if is_live and found.expires == math.inf:
        return "its holder keeps the kernel lock on it"
    if info is None:
        if not found.data:
            return "it is empty: a program ended between creating it and writing it"
        return "it is torn: a program ended while writing it" if _is_torn(found.data) else "it holds something else"
    if found.expires != math.inf:
        age = f"written or renewed {max(0.0, time.time() + stale_after - found.expires):.0f} s ago"
        if not is_live:
            return f"it was {age}; more than {stale_after:g} s count as left behind"
        is_here = info.hostname == system.hostname()
        who = f"process {info.pid} runs" if is_here else "a process of another host cannot be looked for"
        return f"{who}, and it was {age}; it counts as left behind after {stale_after:g} s"
    if info.hostname == system.hostname():
        if linux.is_gone(info.pid):
            return f"process {info.pid} has ended"
        began = linux.started_at(info.pid)
        if began is not None and began > info.timestamp / 1000:
            return f"its process has ended; the number {info.pid} is another's by now"
    return "nobody keeps the kernel lock on it any more"


def _is_torn(data: bytes) -> bool:
    """Whether it is the beginning of a record, or nothing at all, as a kill or a power cut leaves it."""
    text = data.strip(b"\0 \t\r\n")
    rest = text.removeprefix(b"{").lstrip()
    if len(data) > _LONGEST or (text and not text.startswith(b"{")):
        return False
    return any(rest.startswith(key) or key.startswith(rest) for key in _KEYS)


def _token(path: str, found: Found | None) -> int | None:
    """The holder's token, 0 where it was not counted yet; None where nobody has the guard's kernel lock.

    To ask for that lock is to take it for a moment. It is asked only where that lets no ``acquire`` fail that would not
    fail anyway: with no lock file there it waits a little, and with a kernel-locked one the lock is not to be had.
    """
    if found is not None and not (found.standing is Standing.LIVE and found.expires == math.inf):
        return None
    try:
        fd = open_plain(path + ".lock.guard", os.O_RDONLY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unavailable(path, error) from error
    try:
        if not system.is_kernel_locked(fd):
            return None
        stored = system.pread(fd, 20, 0)
        return int(stored) if len(stored) == 20 and stored.isdigit() else 0
    finally:
        os.close(fd)


def _since(info: LockInfo, token: int | None) -> int:
    """A token is the clock in µs when the hold began, unless the clock had been set back; the timestamp is renewed."""
    return token // 1000 if token and token // 1000 <= info.timestamp + 1000 else info.timestamp


def _locked(seen: Inspection, detail: str, hint: str) -> SessionLockedError:
    who = f" is held by process {seen.holder.pid} on {seen.holder.hostname}" if seen.holder else ""
    error = SessionLockedError(seen.path, seen.holder, detail=f"{seen.file}{who}: {detail}")
    error.hint = hint
    return error


def _remove(found: Found) -> bool:
    """Remove the record that was judged, whatever its name leads to by now; another's is put back."""
    if found.links > 1 and not _leads_to(found.path + ".new", found):
        raise refusal(found.path, "a file with a second name (hard link)")
    if not system.has.moves_open_files:
        found.close()
    aside = f"{found.path}.broken-{os.urandom(8).hex()}"
    os.rename(found.path, aside)
    if _leads_to(aside, found):
        os.unlink(aside)
        return True
    with contextlib.suppress(FileExistsError):
        if linux.rename_exclusive(aside, found.path):
            return False
        os.link(aside, found.path)
    os.unlink(aside)
    return False


def _leads_to(path: str, found: Found) -> bool:
    try:
        return ident(os.lstat(path)) == found.ident
    except FileNotFoundError:
        return False
