"""Branch records and operations as rows of the tables, and back. Times are milliseconds since the epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from bough.codec import decode_value, dumps, encode_found
from bough.model import EMPTY, BranchChange, BranchRecord, Edit, History, Operation, Piece, Tip

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_FAR = 1 << 42
"""The year 2109: up to there a float says the microseconds of a time."""
_pieces = msgspec.json.Decoder(tuple[Piece, ...]).decode
_edits = msgspec.json.Decoder(tuple[Edit, ...]).decode

BRANCH = (
    "CAST(b.id AS BLOB), CAST(b.name AS BLOB), b.operation, CAST(b.history AS BLOB), b.tip, b.tip_start, b.created_at,"
    " CAST(b.parent_id AS BLOB), b.parent_message_index, CAST(b.metadata AS BLOB), CAST(b.extra AS BLOB), g.id, g.next,"
    " g.updated_at, CAST(b.edits AS BLOB)"
)
"""The columns that :func:`to_record` takes, of ``branch b`` and its tip's ``segment g``, behind three others.

Text comes as bytes: where a bit has flipped it may be no UTF-8, which shall be found out row by row."""

OPERATION = (
    "o.number, CAST(o.id AS BLOB), CAST(o.kind AS BLOB), o.at, o.pid, CAST(o.hostname AS BLOB),"
    " CAST(o.head_before AS BLOB), CAST(o.head_after AS BLOB), CAST(o.branches AS BLOB), CAST(o.detail AS BLOB),"
    " CAST(o.user AS BLOB), CAST(o.attributes AS BLOB), CAST(o.freed AS BLOB), o.erased"
)
"""The columns that :func:`to_operation` takes, of ``operation o``."""

DAMAGED = (ValueError, TypeError, KeyError, OverflowError, AttributeError)
"""What :func:`to_record` and :func:`to_operation` raise where a row is damaged."""


class Stored(NamedTuple):
    """What the columns of ``branch`` hold of a history: all of it but the piece that grows at the tip."""

    history: str
    tip_start: int


def row_digest(values: Sequence[int | str | bytes | None]) -> bytes:
    """The digest of a row's columns. Text counts as its UTF-8; each value has its length before it, NULL has none."""
    parts: list[bytes] = []
    for value in values:
        if value is None:
            parts.append(b"-")
            continue
        if isinstance(value, str):
            value = value.encode()
        elif isinstance(value, int):
            value = b"%d" % value
        parts.append(b"%d:%b" % (len(value), value))
    return blake2b(b"".join(parts), digest_size=16).digest()


def fits_digest(values: Sequence[Any], digest: Any) -> bool:
    """Whether a row's columns, read as bytes, are as they were written. True where nothing is known."""
    try:
        return digest is None or row_digest(values) == digest
    except TypeError:
        return False  # a flipped bit gave a value another type


def branch_fits(row: Sequence[Any], digest: Any) -> bool:
    """The same of a row of :data:`BRANCH`: what is the segment's is left out, for appends change that."""
    return fits_digest((*row[3:14], row[17]), digest)


def milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND


def moment(milliseconds_: int) -> datetime:
    if 0 <= milliseconds_ < _FAR:
        return datetime.fromtimestamp(milliseconds_ / 1000, UTC)  # exact so far, and quicker
    return _EPOCH + timedelta(0, 0, 0, milliseconds_)


def to_record(row: Sequence[Any]) -> BranchRecord:
    """The record of a row of :data:`BRANCH`. One of ``DAMAGED`` where the row is damaged."""
    # fmt: off
    (_, _, _, id_, name, operation, history, _, start, created, parent, index, metadata, extra,
     segment, end, updated, edits) = row
    # fmt: on
    pieces = _pieces(history)
    if end > start:
        pieces += (Piece(segment, start, end),)
    return BranchRecord(
        id=id_.decode(),
        name=name.decode(),
        history=pieces,
        tip=Tip(segment, end),
        created_at=(at := moment(created)),
        updated_at=at if updated == created else moment(updated),
        operation=operation,
        parent_id=None if parent is None else parent.decode(),
        parent_message_index=index,
        metadata=None if metadata is None else decode_value(metadata),
        extra=EMPTY if extra is None else decode_value(extra),
        edits=() if edits is None else _edits(edits),
    )


def stored(record: BranchRecord) -> Stored:
    pieces, (segment, following) = record.history, record.tip
    if pieces and pieces[-1].segment == segment and pieces[-1].stop == following:
        return Stored(pieces_text(pieces[:-1]), pieces[-1].start)
    return Stored(pieces_text(pieces), following)


def edits_text(edits: Sequence[Edit]) -> str | None:
    return dumps(edits).decode() if edits else None


def json_text(value: Mapping[str, Any] | None) -> str | None:
    """Metadata and the like; None stays None."""
    return None if value is None else encode_found(dict(value)).decode()


def pieces_text(pieces: History) -> str:
    return dumps(pieces).decode()


# -- operations --------------------------------------------------------------------------------------------------------

_FREE = ("metadata", "extra")


def changes_text(changes: Sequence[BranchChange]) -> str:
    """Each branch as ``[id, before, after]``; ``after`` holds only what differs from ``before``."""
    entries = ({"id": change.id, "before": _fields(change.before), "after": _difference(change)} for change in changes)
    return f"[{','.join(encode_found(entry).decode() for entry in entries)}]"


def to_operation(row: Sequence[Any]) -> Operation:
    """The operation of a row of :data:`OPERATION`. One of ``DAMAGED`` where the row is damaged."""
    number, id_, kind, at, pid, hostname, head_before, head_after, branches, detail, user, attributes, freed, erased = (
        row
    )
    return Operation(
        number=number,
        id=id_.decode(),
        kind=kind.decode(),
        at=moment(at),
        pid=pid,
        hostname=hostname.decode(),
        head_before=None if head_before is None else head_before.decode(),
        head_after=None if head_after is None else head_after.decode(),
        branches=tuple(_change(entry) for entry in decode_value(branches)),
        detail=decode_value(detail),
        user=user.decode(),
        attributes=None if attributes is None else _pair(attributes),
        freed=() if freed is None else _pieces(freed),
        erased=bool(erased),
    )


def attributes_text(attributes: tuple[Mapping[str, Any], Mapping[str, Any]] | None) -> str | None:
    """Those of the session before and after an operation."""
    return None if attributes is None else f"[{','.join(encode_found(dict(each)).decode() for each in attributes)}]"


def _pair(text: bytes) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    before, after = decode_value(text)
    return before, after


def _fields(record: BranchRecord | None) -> dict[str, Any] | None:
    if record is None:
        return None
    fields = {
        "name": record.name,
        "history": [list(piece) for piece in record.history],
        "tip": list(record.tip),
        "created_at": milliseconds(record.created_at),
        "updated_at": milliseconds(record.updated_at),
        "operation": record.operation,
        "parent_id": record.parent_id,
        "parent_message_index": record.parent_message_index,
        "metadata": None if record.metadata is None else dict(record.metadata),
        "extra": dict(record.extra) or None,
        "edits": [list(edit) for edit in record.edits] or None,
    }
    return {key: value for key, value in fields.items() if value is not None}


def _difference(change: BranchChange) -> dict[str, Any] | None:
    before, after = _fields(change.before) or {}, _fields(change.after)
    if after is None:
        return None
    # What people put there is not compared: to Python 1 == True == 1.0.
    differing = {key: value for key, value in after.items() if key in _FREE or before.get(key) != value}
    gone = {key: None for key in before if key not in after}
    return differing | gone


def _change(entry: dict[str, Any]) -> BranchChange:
    id_, before, after = entry["id"], entry["before"], entry["after"]
    return BranchChange(
        id=id_,
        before=None if before is None else _record(id_, before),
        after=None if after is None else _record(id_, {**(before or {}), **after}),
    )


def _record(id_: str, fields: dict[str, Any]) -> BranchRecord:
    return BranchRecord(
        id=id_,
        name=fields["name"],
        history=tuple(Piece(*piece) for piece in fields["history"]),
        tip=Tip(*fields["tip"]),
        created_at=moment(fields["created_at"]),
        updated_at=moment(fields["updated_at"]),
        operation=fields["operation"],
        parent_id=fields.get("parent_id"),
        parent_message_index=fields.get("parent_message_index"),
        metadata=fields.get("metadata"),
        extra=fields.get("extra") or EMPTY,
        edits=tuple(Edit(*edit) for edit in fields.get("edits") or ()),
    )
