"""The operation log of a session, ``operations.jsonl``: one line an operation, in the order of their numbers.

1. A line that ends in a newline was committed; what follows the last newline was not, nor was a last
   line with a gap of zeros, which a power failure left. The next writer cuts it off and puts it into the attic.
2. A line holds all that finishing its operation needs beside the documents: each branch before and after, HEAD, and the
   new messages of a branch whose document grows in place.
3. What can be read of it is never rewritten; what cannot be read is never written behind.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bough.codec import decode_value, dumps, encode_found, parse_time, time_text
from bough.errors import CorruptBranchError
from bough.lock import TOKEN_LIMIT
from bough.model import BranchChange, BranchRecord, Operation
from bough.stores.json_files.disk import Disk, open_file, read_range
from bough.stores.json_files.document import from_json, to_json

NAME = "operations.jsonl"
_BLOCK = 1 << 16
_BEGINNING = b'{"operation":'


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An operation, with the new messages of each branch that it adds in place (encoded, by branch id)."""

    operation: Operation
    messages: Mapping[str, Sequence[bytes]]
    token: int = 0
    """The fencing token of the hold in which it was written; 0 in logs that do not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The end of the log at one moment. ``end`` is where the next entry goes; ``problem`` why none may."""

    stamp: tuple[int, int]
    end: int = 0
    last: Entry | None = None
    problem: str = ""


ABSENT = Tail(stamp=(0, 0))


class OperationLog:
    """The log of one session folder. Reads are safe at any time; ``append`` is called under the session's lock."""

    def __init__(self, folder: str, disk: Disk) -> None:
        self.path = os.path.join(folder, NAME)
        self._disk = disk
        self._tail = ABSENT

    def stamp(self) -> tuple[int, int]:
        """Changes with every entry."""
        try:
            status = os.lstat(self.path)
        except FileNotFoundError:
            return ABSENT.stamp
        return status.st_ino, status.st_size

    def tail(self) -> Tail:
        """The last entry, from memory where the file has not changed."""
        known = self._tail
        if self.stamp() == known.stamp:
            return known
        try:
            descriptor = open_file(self.path)
        except FileNotFoundError:
            return ABSENT
        except OSError as error:
            return Tail(stamp=self.stamp(), problem=f"cannot be read: {error.strerror}")
        try:
            status = os.fstat(descriptor)
            tail = _read_tail(descriptor, (status.st_ino, status.st_size))
        finally:
            os.close(descriptor)
        self._tail = tail
        return tail

    def append(self, entry: Entry, check: Callable[[Tail], None]) -> Tail:
        """Writes one entry behind the last: when this returns, the operation is committed.

        ``check`` sees the end that it will stand behind, right before the first byte is written, and raises to refuse.
        """
        tail = self.tail()
        if tail.problem:
            raise CorruptBranchError(self.path, tail.problem)
        line = _encode(entry) + b"\n"
        fresh = tail.end == 0  # whoever made the file, if it is there, may have died before its name was synced
        if tail is ABSENT:
            self._disk.write_file(self.path, ())
        descriptor = self._disk.open_to_write(self.path)
        try:
            if fresh:
                self._disk.sync_folder(os.path.dirname(self.path))
            size = os.fstat(descriptor).st_size
            check(tail)
            if size > tail.end:
                attic = os.path.join(os.path.dirname(self.path), "attic")
                self._disk.make_folder(attic)
                self._disk.write_file(f"{attic}/{NAME}.torn-{size}", [read_range(descriptor, tail.end, size)])
                self._disk.truncate(descriptor, tail.end)
                self._disk.sync(descriptor)  # lest a power failure keeps the new entry and some of this behind it
            try:
                self._disk.write(descriptor, line, tail.end)
                self._disk.sync(descriptor)
            except OSError:
                self._disk.truncate(descriptor, tail.end)
                raise
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        self._tail = Tail(stamp=(status.st_ino, status.st_size), end=tail.end + len(line), last=entry)
        return self._tail

    def sync(self) -> None:
        """Puts on the disk what another process has appended and perhaps did not live to sync."""
        descriptor = open_file(self.path)
        try:
            self._disk.sync(descriptor)
        finally:
            os.close(descriptor)

    def backwards(self) -> Iterator[Entry]:
        """The entries, newest first. ``CorruptBranchError`` at one that cannot be read."""
        try:
            descriptor = open_file(self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise CorruptBranchError(self.path, f"cannot be read: {error.strerror}") from None
        try:
            tail = self.tail()
            for line in _lines_backwards(descriptor, os.fstat(descriptor).st_size if tail.problem else tail.end):
                try:
                    yield _decode(line)
                except (ValueError, KeyError, TypeError) as error:
                    raise CorruptBranchError(self.path, f"an operation cannot be read: {error}") from None
        finally:
            os.close(descriptor)


def _read_tail(descriptor: int, stamp: tuple[int, int]) -> Tail:
    end = stamp[1]
    window = _BLOCK
    while True:
        base = max(0, end - window)
        lines = read_range(descriptor, base, end).split(b"\n")
        if base == 0 or len(lines) > 3:
            break
        window *= 8
    rest = lines.pop()
    end -= len(rest)
    if lines and b"\0" in lines[-1] and _may_be_torn(lines[-1]):
        end -= len(lines.pop()) + 1
    elif not _may_be_torn(rest):
        return Tail(stamp=stamp, end=end, problem="its end is not an operation")
    if not lines:
        return Tail(stamp=stamp)
    try:
        last = _decode(lines[-1])
    except (ValueError, KeyError, TypeError) as error:
        return Tail(stamp=stamp, end=end, problem=f"its last operation cannot be read: {error}")
    return Tail(stamp=stamp, end=end, last=last)


def _may_be_torn(line: bytes) -> bool:
    """Whether it can be what is left of an entry: its beginning, or zeros where a power failure lost that."""
    known = line.partition(b"\0")[0][: len(_BEGINNING)]
    return _BEGINNING.startswith(known)


def _lines_backwards(descriptor: int, size: int) -> Iterator[bytes]:
    """The whole lines from the last to the first."""
    kept = b""
    complete = False
    while size > 0:
        base = max(0, size - _BLOCK)
        parts = (read_range(descriptor, base, size) + kept).split(b"\n")
        if not complete:
            parts.pop()  # what follows the last newline was not committed
            complete = bool(parts)
            if not complete:
                size = base
                continue
        kept = parts[0]
        yield from reversed(parts[1:])
        size = base
    if complete and kept:
        yield kept


def _encode(entry: Entry) -> bytes:
    operation = entry.operation
    value: dict[str, Any] = {
        "operation": operation.number,
        "id": operation.id,
        "kind": operation.kind,
        "at": time_text(operation.at),
        "pid": operation.pid,
        "hostname": operation.hostname,
        "head": [operation.head_before, operation.head_after],
        "branches": [[change.id, _raw(change.before), _raw(change.after)] for change in operation.branches],
        "detail": dict(operation.detail),
    }
    if entry.token:
        value["token"] = entry.token
    if entry.messages:
        value["messages"] = {branch: [msgspec.Raw(line) for line in lines] for branch, lines in entry.messages.items()}
    return dumps(value)


def _raw(record: BranchRecord | None) -> msgspec.Raw | None:
    return None if record is None else msgspec.Raw(encode_found(to_json(record)))


def _decode(line: bytes) -> Entry:
    value = decode_value(line)
    head_before, head_after = value["head"]
    operation = Operation(
        number=value["operation"],
        id=value["id"],
        kind=value["kind"],
        at=parse_time(value["at"]),
        pid=value["pid"],
        hostname=value["hostname"],
        head_before=head_before,
        head_after=head_after,
        branches=tuple(
            BranchChange(
                id=id_,
                before=None if before is None else from_json(before),
                after=None if after is None else from_json(after),
            )
            for id_, before, after in value["branches"]
        ),
        detail=value["detail"],
    )
    if not isinstance(operation.number, int) or operation.number < 1:
        raise ValueError("it has no number")
    messages = {
        branch: [encode_found(message) for message in messages]
        for branch, messages in value.get("messages", {}).items()
    }
    token = value.get("token")
    # What no clock ever says is nonsense, and must not shut everybody out.
    return Entry(
        operation=operation, messages=messages, token=token if type(token) is int and 0 < token < TOKEN_LIMIT else 0
    )
