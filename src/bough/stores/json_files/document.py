"""One branch document: how it is laid out, and what can be told from a part of it.

    {"id":"main","name":"Main conversation","createdAt":"…","messages":[        ← head line: what identifies the branch
    {"role":"user","content":"hi"},                                             ← one message a line
    {"role":"assistant","content":"hello"}
    ],"updatedAt":"…","history":[["0199…",0,null]],"tip":["0199…",2],"extent":[2,68],"append":[29,123],"operation":7,
    "digest":"…","check":456}

The closing line says: ``history``, its last piece open (``null``: it ends with the lines); ``tip``, the branch's own
segment and its next position; ``edits``, where there are any, ``[segment, position, segment, position]`` of a message
and of the first wording whose place it took; ``extent``, messages and bytes from the first line's first to the last
line's last byte; ``append``, the byte at which the last append began and the CRC-32 of what it put from there to the
end of the lines; the number of the last operation applied; the digest; and ``check``, the CRC-32 of the closing line
before it, for the beginning of a new closing line and the end of an old one can make a third that says something else.
All of it can be rebuilt from the lines and the operation log, because the write of an append, which begins at the
newline before ``]``, may tear it.

1. The bytes before the end of the last line never change while the file keeps its inode.
2. All lines of one batch but its last end in ``, `` (with a space): a batch that was torn is known as one.
3. No newline ends the closing line. What an append writes over therefore holds only the newline it begins with, and a
   line that ends in a newline is wholly of its own writer: a new beginning and an old end never make one message.
4. A power failure may keep the end of an append and lose its beginning: ``append`` tells. Whoever appends has synced
   what is before, so that nothing else can be missing.
5. What a graft wrote that no operation tells of (messages that were appended in the store it came from) stands in the
   head line too, as ``grafted``: history, tip, operation and edits of the lines that the file began with. The log
   cannot say what those are, and a torn closing line does not.
6. A document that is not laid out so, or whose closing line does not fit its size, is another program's work
   (:mod:`bough.stores.json_files.reconcile`) or torn (:mod:`bough.stores.json_files.torn`), never guessed at.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from zlib import crc32

from bough.codec import decode_value, dumps, encode_found, parse_time, time_text
from bough.model import EMPTY, BranchRecord, Edit, History, Piece, Tip, replace
from bough.stores.base import check_id
from bough.stores.json_files.disk import read_range
from bough.stores.json_files.lines import Lines

_EDGE: Final = 4096
OURS = frozenset(
    {"id", "name", "parentId", "parentMessageIndex", "messages", "createdAt", "updatedAt", "metadata"}
    | {"history", "tip", "edits", "extent", "append", "operation", "digest", "check", "grafted"}
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
        base: list[Any] = [pieces_to_json(record.history), list(record.tip), record.operation]
        head["grafted"] = [*base, _edits_to_json(record)] if record.edits else base
    return encode_found(head)[:-1] + b',"messages":[\n'


def closing_line(record: BranchRecord, size: int, digest: str, append: tuple[int, int] | None = None) -> bytes:
    """``append`` is where in the region the write began that this line ends, and its CRC-32; None: it is all synced."""
    begun, check = append or (size, 0)
    pieces = dumps(pieces_to_json(record.history, open_ended=True))
    edits = b',"edits":' + dumps(_edits_to_json(record)) if record.edits else b""
    closing = (
        b'],"updatedAt":"%b","history":%b,"tip":["%b",%d]%b,"extent":[%d,%d],"append":[%d,%d],"operation":%d,'
        b'"digest":"%b"'
        % (
            time_text(record.updated_at).encode(),
            pieces,
            record.tip.segment.encode(),
            record.tip.next,
            edits,
            record.length,
            size,
            begun,
            check,
            record.operation,
            digest.encode(),
        )
    )
    return b'%b,"check":%d}' % (closing, crc32(closing))


def is_checked(closing: bytes) -> bool:
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


def _edits_to_json(record: BranchRecord) -> list[list[Any]]:
    return [list(edit) for edit in record.edits]


def edits_from_json(value: Any) -> tuple[Edit, ...]:
    """The edits as they stand in a document or in the log. ValueError or TypeError if malformed."""
    edits = []
    for segment, position, original, first in value:
        if not (isinstance(segment, str) and isinstance(original, str) and type(position) is type(first) is int):
            raise ValueError("an edit is not two messages")
        edits.append(Edit(segment, position, original, first))
    return tuple(edits)


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
        if not is_checked(last[at + 1 :]):
            raise NotOurLayoutError("its closing line is not whole")
        closing = decode_value(b'{"":[' + last[at + 1 :])
        length, bytes_said = closing["extent"]
        if bytes_said != size:
            raise NotOurLayoutError("its closing line speaks of another size")
        begun, check = closing["append"]
        if not 0 <= begun <= size or crc32(read_range(descriptor, start + begun, start + size)) != check:
            raise NotOurLayoutError("its last append is not whole")
        segment, following = closing["tip"]
        record = record_from(
            fields | closing,
            history=pieces_from_json(closing["history"], length),
            tip=Tip(segment, following),
            edits=edits_from_json(closing.get("edits", ())),
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


def record_from(
    fields: Mapping[str, Any],
    *,
    history: History,
    tip: Tip,
    operation: int,
    fallback: float,
    edits: tuple[Edit, ...] = (),
) -> BranchRecord:
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
        edits=edits,
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
    edits: tuple[Edit, ...] = ()
    tip = Tip("", 0)
    try:
        length = int(fields["extent"][0])
        history = pieces_from_json(fields["history"], length)
        tip = Tip(str(fields["tip"][0]), int(fields["tip"][1]))
        edits = edits_from_json(fields.get("edits", ()))
    except (KeyError, IndexError, TypeError, ValueError):
        digest = ""
    record = record_from(
        fields,
        history=history,
        tip=tip,
        edits=edits,
        operation=operation if isinstance(operation, int) else 0,
        fallback=status.st_mtime,
    )
    stale = digest if isinstance(digest, str) else ""
    return Found(record=record, messages=messages, stale=stale, stale_length=length)


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
    if record.edits:
        value["edits"] = _edits_to_json(record)
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
        record_from(
            {key: value[key] for key in value if key != "extra"},
            history=pieces_from_json(value["history"]),
            tip=Tip(segment, following),
            edits=edits_from_json(value.get("edits", ())),
            operation=value["operation"],
            fallback=0,
        ),
        extra=value.get("extra") or EMPTY,
    )
