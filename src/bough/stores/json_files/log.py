"""The operation log of a session, ``operations.jsonl``: one line an operation, in the order of their numbers.

1. A line that ends in a newline was committed; what follows the last newline was not, nor was a last
   line with a gap of zeros, which a power failure left. The next writer cuts it off and puts it into the attic.
2. A line holds all that finishing its operation needs beside the documents: each branch before and after, HEAD, and the
   new messages of a branch whose document grows in place.
3. What can be read of it is never rewritten, but when messages are erased: then the messages of all entries before the
   last go (nobody needs them any more), by a new file in the old one's place (:mod:`.erase`).
4. What cannot be read is never written behind.
5. The session's attributes are those after the last entry that set any. Every later entry says at which byte of the log
   that one begins (``attributes_at``): finding them is one look, however long ago it was. Where it says a wrong one
   (lines were lost), the log is searched; the next entry says the right one if it is sure.
6. A line ends in ``check``, the CRC-32 of what is before it. Only ``verify`` looks: what is JSON can be used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from zlib import crc32

import msgspec

from bough.codec import decode_value, dumps, encode_found, parse_time, time_text
from bough.errors import CorruptBranchError
from bough.lock import TOKEN_LIMIT
from bough.model import BranchChange, BranchRecord, Operation
from bough.stores.json_files.disk import Disk, open_file, read_range
from bough.stores.json_files.document import from_json, pieces_from_json, pieces_to_json, to_json

NAME = "operations.jsonl"
_BLOCK = 1 << 16
_BEGINNING = b'{"operation":'
_CHECK = b',"check":'


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An operation, with the new messages of each branch that it adds in place (encoded, by branch id)."""

    operation: Operation
    messages: Mapping[str, Sequence[bytes]]
    token: int = 0
    """The fencing token of the hold in which it was written; 0 in logs that do not say."""
    attributes_at: int | None = None
    """Where the entry begins that set the session's attributes last; None if none did, or this one does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The end of the log at one moment. ``end`` is where the next entry goes; ``problem`` why none may.

    ``set_at`` is where the entry begins that set the session's ``attributes``; ``unset`` says why those cannot be read.
    """

    stamp: tuple[int, int]
    end: int = 0
    last: Entry | None = None
    problem: str = ""
    set_at: int | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    unset: str = ""


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
            return self._tail_of(descriptor)
        finally:
            os.close(descriptor)

    def _tail_of(self, descriptor: int) -> Tail:
        status = os.fstat(descriptor)
        stamp = (status.st_ino, status.st_size)
        known = self._tail
        if known.stamp != stamp:
            known = self._tail = _read_tail(descriptor, stamp, known)
        return known

    def append(self, entry: Entry, check: Callable[[Tail], None]) -> Tail:
        """Writes one entry behind the last: when this returns, the operation is committed.

        ``check`` sees the end that it will stand behind, right before the first byte is written, and raises to refuse.
        """
        tail = self.tail()
        if tail.problem:
            raise CorruptBranchError(self.path, tail.problem)
        operation = entry.operation
        if operation.attributes is None:
            entry = msgspec.structs.replace(entry, attributes_at=tail.set_at)
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
        now = Tail(stamp=(status.st_ino, status.st_size), end=tail.end + len(line), last=entry)
        if operation.attributes is None:
            now = replace(now, set_at=tail.set_at, attributes=tail.attributes)
            if tail.last is not None and tail.set_at == tail.last.attributes_at:
                now = replace(now, unset=tail.unset)  # else the search found the right place, and the entry says it
        else:
            now = replace(now, set_at=tail.end, attributes=operation.attributes[1])
        self._tail = now
        return now

    def sync(self) -> None:
        """Puts on the disk what another process has appended and perhaps did not live to sync."""
        descriptor = open_file(self.path)
        try:
            self._disk.sync(descriptor)
        finally:
            os.close(descriptor)

    def forwards(self, end: int) -> Iterator[bytes]:
        """The lines as they stand, the oldest first, up to the byte ``end``."""
        try:
            descriptor = open_file(self.path)
        except FileNotFoundError:
            return
        try:
            at, rest = 0, b""
            while at < end and (data := read_range(descriptor, at, min(at + _BLOCK * 16, end))):
                at += len(data)
                *lines, rest = (rest + data).split(b"\n")
                yield from lines
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
            tail = self._tail_of(descriptor)
            for line in _lines_backwards(descriptor, os.fstat(descriptor).st_size if tail.problem else tail.end):
                try:
                    yield decode_entry(line)
                except (ValueError, KeyError, TypeError) as error:
                    raise CorruptBranchError(self.path, f"an operation cannot be read: {error}") from None
        finally:
            os.close(descriptor)


def _read_tail(descriptor: int, stamp: tuple[int, int], known: Tail) -> Tail:
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
        last = decode_entry(lines[-1])
    except (ValueError, KeyError, TypeError) as error:
        return Tail(stamp=stamp, end=end, problem=f"its last operation cannot be read: {error}")
    tail = Tail(stamp=stamp, end=end, last=last)
    if last.operation.attributes is not None:
        return replace(tail, set_at=end - len(lines[-1]) - 1, attributes=last.operation.attributes[1])
    if last.attributes_at is None:
        return tail
    if (stamp[0], last.attributes_at) == (known.stamp[0], known.set_at) and not known.unset:
        return replace(tail, set_at=known.set_at, attributes=known.attributes)
    try:
        found = _attributes_at(descriptor, last.attributes_at, end)
    except (ValueError, KeyError, TypeError) as error:
        reason = f"the session's attributes cannot be read from byte {last.attributes_at}: {error}"
        tail = replace(tail, set_at=last.attributes_at, unset=reason)
        return _with_older_attributes(tail, descriptor)
    return replace(tail, set_at=last.attributes_at, attributes=found)


def _attributes_at(descriptor: int, at: int, end: int) -> Mapping[str, Any]:
    """What the entry that begins there set. ValueError, KeyError or TypeError where none does."""
    if not 0 <= at < end or (at and read_range(descriptor, at - 1, at) != b"\n"):
        raise ValueError("no operation begins there")
    window = _BLOCK
    while b"\n" not in (data := read_range(descriptor, at, min(at + window, end))):
        if at + window >= end:
            raise ValueError("the operation there has no end")
        window *= 8
    attributes = decode_entry(data.partition(b"\n")[0]).operation.attributes
    if attributes is None:
        raise ValueError("the operation there did not set them")
    return attributes[1]


def _with_older_attributes(tail: Tail, descriptor: int) -> Tail:
    """A tail whose attributes are not where it says: with those of the last entry that sets any, if there is one.

    ``set_at`` stays the wrong one where an entry behind that is lost, which may have set others."""
    at = tail.end
    number: int | None = None
    is_sure = True
    for line in _lines_backwards(descriptor, tail.end):
        at -= len(line) + 1
        try:
            operation = decode_entry(line).operation
        except (ValueError, KeyError, TypeError):
            continue  # the gap in the numbers tells of it
        is_sure = is_sure and number in (None, operation.number + 1)
        number = operation.number
        if operation.attributes is not None:
            problem = f"{tail.unset}; those that operation {number} set are used"
            set_at = at if is_sure else tail.set_at
            return replace(tail, set_at=set_at, attributes=operation.attributes[1], unset=problem)
    return tail


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
    if operation.user:
        value["user"] = operation.user
    if operation.attributes is not None:
        value["attributes"] = [msgspec.Raw(encode_found(dict(each))) for each in operation.attributes]
    if operation.freed:
        value["freed"] = pieces_to_json(operation.freed)
    if operation.erased:
        value["erased"] = True
    if entry.attributes_at is not None:
        value["attributes_at"] = entry.attributes_at
    if entry.token:
        value["token"] = entry.token
    if entry.messages:
        value["messages"] = {branch: [msgspec.Raw(line) for line in lines] for branch, lines in entry.messages.items()}
    return checked(dumps(value))


def checked(line: bytes) -> bytes:
    """An entry with its check."""
    return b'%b,"check":%d}' % (line[:-1], crc32(line[:-1]))


def is_checked(line: bytes) -> bool | None:
    """Whether an entry's check fits; None where it has none."""
    rest, found, check = line.rpartition(_CHECK)
    if not found or not check.removesuffix(b"}").isdigit():
        return None  # a key of that name further inside has more brackets behind it
    return check == b"%d}" % crc32(rest)


def slimmed(line: bytes, moved: Mapping[int, int], *, keep_messages: bool) -> bytes:
    """An entry without the messages that it brought, and with the new place (``moved``) of the one that set the
    attributes. Whatever else it says stays as it is. ValueError where it is no JSON object."""
    try:
        fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        if not keep_messages:
            fields.pop("messages", None)
        if "attributes_at" in fields:
            at = msgspec.json.decode(fields["attributes_at"])
            fields["attributes_at"] = msgspec.Raw(dumps(moved.get(at, at)))
    except (msgspec.DecodeError, TypeError) as error:
        raise ValueError(str(error)) from None
    is_checked = fields.pop("check", None) is not None
    rest = dumps(fields)
    return checked(rest) if is_checked else rest


def _raw(record: BranchRecord | None) -> msgspec.Raw | None:
    return None if record is None else msgspec.Raw(encode_found(to_json(record)))


def decode_entry(line: bytes) -> Entry:
    """ValueError, KeyError or TypeError where it is none."""
    value = decode_value(line)
    head_before, head_after = value["head"]
    attributes = value.get("attributes")
    if attributes is not None:
        before, after = attributes
        attributes = (dict(before), dict(after))
    attributes_at = value.get("attributes_at")
    if attributes_at is not None and type(attributes_at) is not int:
        raise ValueError("where the attributes were set is not a number")
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
        user=value.get("user", ""),
        attributes=attributes,
        freed=pieces_from_json(value.get("freed", ())),
        erased=value.get("erased", False),
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
        operation=operation,
        messages=messages,
        token=token if type(token) is int and 0 < token < TOKEN_LIMIT else 0,
        attributes_at=attributes_at,
    )
