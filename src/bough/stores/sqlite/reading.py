"""What readers see: the state of a session, and the messages of a piece. Inside the caller's read transaction, or in
one statement."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import apsw

from bough import codec
from bough.errors import CorruptBranchError
from bough.model import EMPTY, BranchRecord, Finding, Message, Piece, SessionState
from bough.stores.sqlite.connections import Connection
from bough.stores.sqlite.rows import BRANCH, DAMAGED, to_record

BLOCK = 1000
"""How many messages are read and decoded at a time."""

_LOAD = (
    "SELECT o.head_after, max(s.operation_floor, coalesce(o.number, 0)), CAST(s.attributes AS BLOB),"  # noqa: S608  (a constant)
    f" {BRANCH}"
    " FROM session s LEFT JOIN operation o ON o.session = s.key"
    " AND o.number = (SELECT max(number) FROM operation WHERE session = s.key)"
    " LEFT JOIN branch b ON b.session = s.key %s"
    " LEFT JOIN segment g ON g.session = s.key AND g.number = b.tip"
    " WHERE s.id = ? AND s.deleted_at IS NULL"
)
_READ = (  # one value for a whole block: half the time of a row each
    "SELECT count(payload), CAST(group_concat(payload, ',') AS BLOB) FROM (SELECT m.payload FROM session s"
    " CROSS JOIN segment g ON g.session = s.key AND g.id = ?"
    " CROSS JOIN message m ON m.session = s.key AND m.segment = g.number"
    " AND m.position >= ? AND m.position < min(?, g.next)"  # what stands behind the end no history can come to hold
    " WHERE s.id = ? AND s.deleted_at IS NULL ORDER BY m.position)"
)
_PURGED = (
    "SELECT count(*) FROM session s CROSS JOIN segment g ON g.session = s.key AND g.id = ?"
    " CROSS JOIN message m ON m.session = s.key AND m.segment = g.number AND m.position >= ? AND m.position < ?"
    " WHERE s.id = ? AND s.deleted_at IS NULL AND m.payload IS NULL"
)
_FEW = 8
"""So many branches are asked for by name; of more, all are loaded."""


def load(connection: Connection, path: str, session_id: str, only: Collection[str] | None) -> SessionState:
    """See :meth:`bough.stores.base.Store.load`."""
    few = () if only is None or len(only) > _FEW else tuple(only)
    clause = f"AND b.id IN ({','.join('?' * len(few))})" if only is not None and len(only) <= _FEW else ""
    rows = connection.rows(_LOAD % clause, (*few, session_id))  # all: no cursor may stay open behind an error
    head, last, text = rows[0][:3] if rows else (None, 0, None)
    branches: dict[str, BranchRecord] = {}
    findings: list[Finding] = []
    for row in rows:
        if row[3] is None:
            continue
        id_ = row[3].decode(errors="replace")
        if only is not None and id_ not in only:
            continue
        try:
            branches[id_] = to_record(row)
        except DAMAGED as error:
            place, problem = f"{path}: branch {id_!r}", f"its row is damaged: {error}"
            if only is not None:
                raise CorruptBranchError(place, problem, session_id=session_id, branch_id=id_) from None
            findings.append(Finding(place=place, problem=problem, branch_id=id_))
    return SessionState(
        session_id=session_id,
        head=head,
        branches=branches,
        last_operation=last,
        attributes=EMPTY if text is None else _attributes(text, path, findings),
        findings=tuple(findings),
    )


def _attributes(text: bytes, path: str, findings: list[Finding]) -> Mapping[str, Any]:
    try:
        return codec.decode(text)
    except ValueError as error:
        findings.append(damaged_attributes(path, error))
        return EMPTY


def damaged_attributes(path: str, error: ValueError) -> Finding:
    """That what was set for the session as a whole cannot be read."""
    return Finding(
        place=f"{path}: the session's attributes",
        problem=f"they are damaged: {error}",
        advice="set title, description and tags anew",
    )


def read(connection: Connection, path: str, session_id: str, piece: Piece) -> list[Message]:
    """The messages of a piece of at most ``BLOCK``. ``CorruptBranchError``."""
    segment, start, stop = piece
    try:
        count, block = connection.row(_READ, (segment, start, stop, session_id))
    except apsw.TooBigError:  # more than SQLite takes for one value
        if stop - start == 1:
            raise
        middle = (start + stop) // 2
        first = read(connection, path, session_id, Piece(segment, start, middle))
        return first + read(connection, path, session_id, Piece(segment, middle, stop))
    place = f"{path}: segment {segment}, messages {start}..{stop}"
    if count != stop - start:
        [purged] = connection.row(_PURGED, (segment, start, stop, session_id))
        lost = stop - start - count - purged
        problem = " and ".join(f"{n} {what}" for n, what in ((purged, "were purged"), (lost, "are missing")) if n)
        raise CorruptBranchError(place, problem, session_id=session_id)
    try:
        messages = codec.decode_block(block)
    except ValueError as error:
        raise CorruptBranchError(place, str(error), session_id=session_id) from None
    if len(messages) != count:
        raise CorruptBranchError(place, f"{len(messages)} messages in {count} rows", session_id=session_id)
    return messages
