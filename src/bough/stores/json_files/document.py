"""One branch document: how it is laid out, and what can be told from a part of it.

    {"id":"main","name":"Main conversation","createdAt":"…","messages":[        ← head line: what identifies the branch
    {"role":"user","content":"hi"},                                             ← one message a line
    {"role":"assistant","content":"hello"}
    ],"updatedAt":"…","history":[["0199…",0,null]],"tip":["0199…",2],"extent":[2,68],"append":[29,123],"operation":7,
    "digest":"…","check":456}

The closing line says: ``history``, its last piece open (``null``: it ends with the lines); ``tip``, the branch's own
segment and its next position; ``extent``, messages and bytes from the first line's first to the last line's last byte;
``append``, the byte at which the last append began and the CRC-32 of what it put from there to the end of the lines;
the number of the last operation applied; the digest; and ``check``, the CRC-32 of the closing line before it, for the
beginning of a new closing line and the end of an old one can make a third that says something else. All of it can be
rebuilt from the lines and the operation log, because the write of an append, which begins at the newline before ``]``,
may tear it.

1. The bytes before the end of the last line never change while the file keeps its inode.
2. All lines of one batch but its last end in ``, `` (with a space): a batch that was torn is known as one.
3. No newline ends the closing line. What an append writes over therefore holds only the newline it begins with, and a
   line that ends in a newline is wholly of its own writer: a new beginning and an old end never make one message.
4. A power failure may keep the end of an append and lose its beginning: ``append`` tells. Whoever appends has synced
   what is before, so that nothing else can be missing.
5. What a graft wrote that no operation tells of (messages that were appended in the store it came from) stands in the
   head line too, as ``grafted``: history, tip and operation of the lines that the file began with. The log cannot say
   what those are, and a torn closing line does not.
6. A document that is not laid out so, or whose closing line does not fit its size, is another program's work
   (:mod:`bough.stores.json_files.reconcile`) or torn (:func:`torn_end`), never guessed at.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from zlib import crc32

from bough.codec import decode, decode_value, dumps, encode_found, parse_time, time_text
from bough.model import EMPTY, BranchRecord, History, Piece, Tip, replace
from bough.stores.base import check_id
from bough.stores.json_files.disk import read_range
from bough.stores.json_files.lines import Lines

_EDGE: Final = 4096
OURS = frozenset(
    {"id", "name", "parentId", "parentMessageIndex", "messages", "createdAt", "updatedAt", "metadata"}
    | {"history", "tip", "extent", "append", "operation", "digest", "check", "grafted"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What is known of one file at one moment. ``start`` and ``size`` bound its region within the file.

    ``region`` holds the lines where the file itself is not laid out in lines. ``torn`` is the reason where the end of
    the file has to be repaired before it is written to.
    """

    name: str
    stamp: tuple[int, int, int]
    record: BranchRecord
    start: int
    size: int
    length: int
    digest: str = ""
    lines: Lines = field(default_factory=Lines)
    region: bytes | None = None
    torn: str = ""

    @property
    def end(self) -> int:
        """Where in the file an append begins: the newline before the closing line."""
        return self.start + self.size if self.length else self.start - 1

    @property
    def native(self) -> bool:
        """Whether the file can be appended to as it stands."""
        return self.region is None and not self.torn


class NotOurLayoutError(Exception):
    """The file is not laid out as above, or its closing line does not fit."""


def stamp_of(status: os.stat_result) -> tuple[int, int, int]:
    """Changes whenever the file is replaced or written: inode, size, time of change in ns."""
    return status.st_ino, status.st_size, status.st_mtime_ns


def head_line(record: BranchRecord, *, grafted: bool = False) -> bytes:
    head: dict[str, Any] = {"id": record.id, "name": record.name}
    if record.parent_id is not None:
        head["parentId"] = record.parent_id
    if record.parent_message_index is not None:
        head["parentMessageIndex"] = record.parent_message_index
    head["createdAt"] = time_text(record.created_at)
    if record.metadata is not None:
        head["metadata"] = dict(record.metadata)
    head |= record.extra
    if grafted:
        head["grafted"] = [pieces_to_json(record.history), list(record.tip), record.operation]
    return encode_found(head)[:-1] + b',"messages":[\n'


def closing_line(record: BranchRecord, size: int, digest: str, append: tuple[int, int] | None = None) -> bytes:
    """``append`` is where in the region the write began that this line ends, and its CRC-32; None: it is all synced."""
    begun, check = append or (size, 0)
    pieces = dumps(pieces_to_json(record.history, open_ended=True))
    closing = (
        b'],"updatedAt":"%b","history":%b,"tip":["%b",%d],"extent":[%d,%d],"append":[%d,%d],"operation":%d,"digest":"%b"'
        % (
            time_text(record.updated_at).encode(),
            pieces,
            record.tip.segment.encode(),
            record.tip.next,
            record.length,
            size,
            begun,
            check,
            record.operation,
            digest.encode(),
        )
    )
    return b'%b,"check":%d}' % (closing, crc32(closing))


def has_torn_closing(data: bytes) -> bool:
    """Whether the last line is one of ours that was written in part."""
    at = data.rfind(b'\n],"updatedAt":"')
    return at >= 0 and not _is_checked(data[at + 1 :])


def _is_checked(closing: bytes) -> bool:
    line, _, check = closing.rstrip(b" ").rpartition(b',"check":')
    return check == b"%d}" % crc32(line)


def pieces_to_json(history: History, *, open_ended: bool = False) -> list[list[Any]]:
    pieces: list[list[Any]] = [list(piece) for piece in history]
    if open_ended and pieces:
        pieces[-1][2] = None
    return pieces


def pieces_from_json(value: Any, length: int | None = None) -> History:
    """The history that :func:`pieces_to_json` wrote; ``length`` closes an open last piece. ValueError if malformed."""
    history: list[Piece] = []
    known = 0
    for segment, start, stop in value:
        if stop is None:
            if length is None or len(history) != len(value) - 1:
                raise ValueError("a piece is open and is not the last")
            stop = start + length - known
        if not (isinstance(segment, str) and isinstance(start, int) and isinstance(stop, int) and 0 <= start < stop):
            raise ValueError("a piece is not a segment with a start before its stop")
        history.append(Piece(segment, start, stop))
        known += stop - start
    if length is not None and known != length:
        raise ValueError(f"the history has {known} messages, the document {length}")
    return tuple(history)


def read_native(name: str, descriptor: int, status: os.stat_result) -> Document:
    """The document of an open file from its first and last line alone; ``NotOurLayoutError`` if it is not ours."""
    total = status.st_size
    first = read_range(descriptor, 0, min(total, _EDGE))
    head, start = _find_head(descriptor, first, total)
    window = _EDGE
    while True:
        base = max(0, total - window)
        last = first[base:] if total <= len(first) else read_range(descriptor, base, total)
        at = last.rfind(b"\n]")
        if at >= 0 or base == 0:
            break
        window *= 8
    if at < 0 or base + at < start - 1:
        raise NotOurLayoutError("it has no closing line")
    size = max(0, base + at - start)
    try:
        fields = decode_value(head + b"]}")
        if not _is_checked(last[at + 1 :]):
            raise NotOurLayoutError("its closing line is not whole")
        closing = decode_value(b'{"":[' + last[at + 1 :])
        length, bytes_said = closing["extent"]
        if bytes_said != size:
            raise NotOurLayoutError("its closing line speaks of another size")
        begun, check = closing["append"]
        if not 0 <= begun <= size or crc32(read_range(descriptor, start + begun, start + size)) != check:
            raise NotOurLayoutError("its last append is not whole")
        segment, following = closing["tip"]
        record = _record(
            fields | closing,
            history=pieces_from_json(closing["history"], length),
            tip=Tip(segment, following),
            operation=closing["operation"],
            fallback=status.st_mtime,
        )
        digest = closing["digest"]
    except (ValueError, KeyError, TypeError) as error:
        raise NotOurLayoutError(str(error)) from None
    if not (isinstance(digest, str) and isinstance(segment, str) and isinstance(following, int)):
        raise NotOurLayoutError("its closing line is malformed")
    return Document(
        name=name,
        stamp=stamp_of(status),
        record=record,
        start=start,
        size=size,
        length=length,
        digest=digest,
    )


def _find_head(descriptor: int, first: bytes, total: int) -> tuple[bytes, int]:
    at = first.find(b"\n")
    while at < 0 and len(first) < total:
        first += read_range(descriptor, len(first), min(total, len(first) * 8))
        at = first.find(b"\n")
    head = first[:at]
    if at < 0 or not head.startswith(b"{") or not head.endswith(b'"messages":['):
        raise NotOurLayoutError("it is not laid out in lines")
    return head, at + 1


def _record(fields: Mapping[str, Any], *, history: History, tip: Tip, operation: int, fallback: float) -> BranchRecord:
    """The record that a document's keys describe. ValueError where a key is of the wrong shape."""
    id_, name = fields.get("id"), fields.get("name")
    parent, index, said = fields.get("parentId"), fields.get("parentMessageIndex"), fields.get("metadata")
    if not isinstance(id_, str) or not id_:
        raise ValueError("it has no id")
    check_id(id_)
    if not isinstance(operation, int):
        raise ValueError("its operation is not a number")
    parent_id = parent if isinstance(parent, str) else None
    parent_message_index = index if isinstance(index, int) else None
    metadata = said if isinstance(said, dict) else None
    extra = {key: value for key, value in fields.items() if key and key not in OURS}
    for key, value in (("parentId", parent_id), ("parentMessageIndex", parent_message_index), ("metadata", metadata)):
        if value is None and fields.get(key) is not None:
            extra[key] = fields[key]  # of a shape that means nothing to us: kept like a key that we do not know
    return BranchRecord(
        id=id_,
        name=name if isinstance(name, str) and name else id_,
        history=history,
        tip=tip,
        created_at=_time(fields.get("createdAt"), fallback),
        updated_at=_time(fields.get("updatedAt"), fallback),
        operation=operation,
        parent_id=parent_id,
        parent_message_index=parent_message_index,
        metadata=metadata,
        extra=extra or EMPTY,
    )


def _time(value: Any, fallback: float) -> datetime:
    if isinstance(value, str):
        try:
            return parse_time(value)
        except ValueError:
            pass
    return datetime.fromtimestamp(int(fallback), UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A document as another program laid it out. ``record`` has the stale history, if any; ``stale`` its digest."""

    record: BranchRecord
    messages: Sequence[dict[str, Any]]
    stale: str
    stale_length: int


def read_found(data: bytes, status: os.stat_result) -> Found:
    """Any valid JSON with a branch's keys. ``ValueError`` where it is none."""
    fields = decode_value(data)
    if not isinstance(fields, dict):
        raise ValueError("it is not a JSON object")
    messages = fields.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise ValueError('its "messages" are not a list of objects')
    digest, operation = fields.get("digest"), fields.get("operation")
    length = 0
    history: History = ()
    tip = Tip("", 0)
    try:
        length = int(fields["extent"][0])
        history = pieces_from_json(fields["history"], length)
        tip = Tip(str(fields["tip"][0]), int(fields["tip"][1]))
    except (KeyError, IndexError, TypeError, ValueError):
        digest = ""
    record = _record(
        fields,
        history=history,
        tip=tip,
        operation=operation if isinstance(operation, int) else 0,
        fallback=status.st_mtime,
    )
    stale = digest if isinstance(digest, str) else ""
    return Found(record=record, messages=messages, stale=stale, stale_length=length)


@dataclass(frozen=True, slots=True, kw_only=True)
class Torn:
    """What the repair rule keeps of a document whose end is torn: its lines from ``start``, ``size`` bytes of them.

    ``grafted`` is the branch as it was when a graft wrote the file, if that is in its head line.
    """

    record: BranchRecord
    grafted: BranchRecord | None
    start: int
    size: int
    length: int
    reason: str


def torn_end(data: bytes, status: os.stat_result) -> Torn:
    """Reads a document forward, stops at the first line that is not a whole message, drops an unfinished batch.

    ``ValueError`` where that is no torn end but damage: the head cannot be read, or whole messages follow what stopped
    it that are not of the same torn append.
    """
    newline = data.find(b"\n")
    head = data[:newline]
    if newline < 0 or not head.endswith(b'"messages":['):
        raise ValueError("its first line is not whole")
    fields = decode_value(head + b"]}")
    start = at = newline + 1
    kept_end, kept = start, 0
    lines = 0
    while (stop := data.find(b"\n", at)) >= 0:
        line = data[at:stop]
        body = line.rstrip(b", ") if line.endswith((b"},", b"}, ", b"}")) else b""
        if not body or not is_message(body):
            break
        lines += 1
        if not line.endswith(b" "):
            kept_end, kept = at + len(body), lines
        at = stop + 1
    whole = _before_old_closing(data[at:] if stop < 0 else data[at:stop])
    if whole is not None:
        kept_end, kept = at + len(whole), lines + 1
    elif stop >= 0 and not data.startswith(b"]", at) and not _is_torn_append(data, start, at, stop):
        raise ValueError(f"line {lines + 2} is broken, and whole messages follow it")
    record = _record(fields, history=(), tip=Tip("", 0), operation=0, fallback=status.st_mtime)
    return Torn(
        record=replace(record, updated_at=datetime.fromtimestamp(int(status.st_mtime), UTC)),
        grafted=_grafted(fields.get("grafted"), record),
        start=start,
        size=max(0, kept_end - start),
        length=kept,
        reason=f"its end is torn after message {kept} ({len(data) - kept_end} bytes)",
    )


def _grafted(value: Any, record: BranchRecord) -> BranchRecord | None:
    try:
        history, (segment, following), operation = value
        return replace(record, history=pieces_from_json(history), tip=Tip(segment, following), operation=operation)
    except (TypeError, ValueError):
        return None


def _is_torn_append(data: bytes, start: int, at: int, stop: int) -> bool:
    """Whether the broken line from ``at`` to ``stop`` and all that follows can be of one append that a power failure
    kept in part: it has a gap of zeros there, and what follows is of the same batch."""
    following = [
        line for line in data[stop + 1 :].split(b"\n") if line.startswith(b"{") and is_message(line.rstrip(b", "))
    ]
    if not following:
        return True
    if b"\0" not in data[at:stop]:
        return False
    closing = data.rfind(b"\n]")
    try:
        fields = decode_value(b'{"":[' + data[closing + 1 :])
        if fields["extent"][1] == closing - start:
            return bool(start + fields["append"][0] <= at)
    except (ValueError, KeyError, TypeError, IndexError):
        pass
    return all(line.endswith(b" ") for line in following[:-1])


def is_message(line: bytes) -> bool:
    try:
        decode(line)
    except ValueError:
        return False
    return True


def _before_old_closing(line: bytes) -> bytes | None:
    """The last whole message of a line where an append got no further than its first byte, the comma."""
    at = line.find(b'},],"updatedAt":')  # in no JSON: a string would have its quotes escaped
    return line[: at + 1] if at >= 0 and is_message(line[: at + 1]) else None


def to_json(record: BranchRecord) -> dict[str, Any]:
    """A record as it stands in the operation log."""
    value: dict[str, Any] = {
        "id": record.id,
        "name": record.name,
        "history": pieces_to_json(record.history),
        "tip": list(record.tip),
        "createdAt": time_text(record.created_at),
        "updatedAt": time_text(record.updated_at),
        "operation": record.operation,
    }
    if record.parent_id is not None:
        value["parentId"] = record.parent_id
    if record.parent_message_index is not None:
        value["parentMessageIndex"] = record.parent_message_index
    if record.metadata is not None:
        value["metadata"] = dict(record.metadata)
    if record.extra:
        value["extra"] = dict(record.extra)
    return value


def from_json(value: Mapping[str, Any]) -> BranchRecord:
    """The record that :func:`to_json` wrote. ValueError, KeyError or TypeError where it did not."""
    segment, following = value["tip"]
    return replace(
        _record(
            {key: value[key] for key in value if key != "extra"},
            history=pieces_from_json(value["history"]),
            tip=Tip(segment, following),
            operation=value["operation"],
            fallback=0,
        ),
        extra=value.get("extra") or EMPTY,
    )
