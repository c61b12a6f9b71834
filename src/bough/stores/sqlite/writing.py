"""What an append, an operation and a move do to the tables (grafts: :mod:`.grafts`). Everything here runs inside the
caller's write transaction.

1. An append writes to one row of ``segment`` and its messages; neither the branch's row nor its history is touched.
2. ``Connection.known`` holds a branch's record after an append, so that the next one of the same writer reads nothing.
3. A position is given out once: it comes from ``segment.next``, which only grows.
4. What a change looks at costs by the number of pieces, never by that of messages; what it frees costs by those.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

from bough import codec
from bough.errors import (
    BranchExistsError,
    BranchMovedError,
    BranchNotFoundError,
    CorruptBranchError,
    InvalidRequestError,
    SessionNotFoundError,
)
from bough.history import subtract
from bough.model import EMPTY, Append, BranchChange, BranchRecord, Change, Commit, Operation, Version, replace
from bough.stores.base import check_free, kept_id, operation_of, session_exists
from bough.stores.sqlite import erasing, gaps
from bough.stores.sqlite.connections import Connection
from bough.stores.sqlite.rows import (
    BRANCH,
    DAMAGED,
    attributes_text,
    changes_text,
    edits_text,
    json_text,
    milliseconds,
    pieces_text,
    row_digest,
    stored,
    to_record,
)

_KNOWN = 1000
"""How many branches a connection remembers."""
_SALT = 16

_FIND = (
    f"SELECT s.key, g.chain, NULL, {BRANCH} FROM session s"  # noqa: S608  (a constant)
    " CROSS JOIN branch b ON b.session = s.key AND b.id = ?"
    " LEFT JOIN segment g ON g.session = s.key AND g.number = b.tip"  # a damaged branch is no less there
    " WHERE s.id = ? AND s.deleted_at IS NULL"
)
_INSERT = "INSERT INTO message (session, segment, position, salt, digest, payload) VALUES (?, ?, ?, ?, ?, ?)"
_ENSURE = (  # the next number is behind the messages' too: a row of segment may be lost, and is not to be mistaken
    "INSERT INTO segment (session, number, id, next, chain, updated_at) VALUES (?1, 1 + max("
    "coalesce((SELECT max(number) FROM segment WHERE session = ?1), 0),"
    " coalesce((SELECT max(segment) FROM message WHERE session = ?1), 0)), ?2, 0, x'', coalesce(?3, 0))"
    " ON CONFLICT (session, id) DO UPDATE SET updated_at = coalesce(?3, updated_at) RETURNING number, next, chain"
)
_GROW = "UPDATE segment SET next = ?, chain = ?, updated_at = ? WHERE session = ? AND number = ?"
_PUT = (
    "INSERT INTO branch (session, id, name, operation, history, tip, tip_start, created_at, parent_id,"
    " parent_message_index, metadata, extra, edits, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (session, id) DO UPDATE SET name = excluded.name, operation = excluded.operation,"
    " history = excluded.history, tip = excluded.tip, tip_start = excluded.tip_start, created_at = excluded.created_at,"
    " parent_id = excluded.parent_id,"
    " parent_message_index = excluded.parent_message_index, metadata = excluded.metadata, extra = excluded.extra,"
    " edits = excluded.edits, digest = excluded.digest"
)
DROP = "DELETE FROM branch WHERE session = ? AND id = ?"
_RECORD = (
    "INSERT INTO operation (session, number, id, kind, at, pid, hostname, head_before, head_after, branches, detail,"
    " user, attributes, freed, erased, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_SESSION = (
    "SELECT s.key, o.head_after, max(s.operation_floor, coalesce(o.number, 0)), CAST(s.attributes AS BLOB)"
    " FROM session s LEFT JOIN operation o ON o.session = s.key"
    " WHERE s.id = ? AND s.deleted_at IS NULL ORDER BY o.number DESC LIMIT 1"
)
_ALL = (
    f"SELECT NULL, NULL, NULL, {BRANCH} FROM branch b"  # noqa: S608  (a constant)
    " LEFT JOIN segment g ON g.session = b.session AND g.number = b.tip WHERE b.session = ?"
)


class Session(NamedTuple):
    """One session as a change finds it."""

    key: int
    head: str | None
    last: int
    attributes: bytes | None


@dataclass(slots=True)
class Segment:
    """The end of one segment of one session (``key``)."""

    key: int
    number: int
    next: int
    chain: bytes


def append(connection: Connection, session_id: str, request: Append) -> Commit:
    """``BranchNotFoundError``."""
    place = session_id, request.branch_id
    known = connection.known.get(place) or _find(connection, session_id, request.branch_id)
    if known is None:
        raise BranchNotFoundError(*place)
    before, segment = known
    at = codec.now()
    _write(connection, segment, request.messages, milliseconds(at))
    after = before.appended(len(request.messages), at)
    if len(connection.known) >= _KNOWN:
        connection.known.clear()
    connection.known[place] = after, segment
    return Commit(branches={after.id: after}, before={before.id: before})


def change(connection: Connection, session_id: str, request: Change) -> Commit:
    """``BranchExistsError``, ``BranchMovedError``, ``InvalidRequestError``, ``CorruptBranchError``."""
    session = session_of(connection, session_id)
    key, head_before, last, _ = session
    if request.after_operation is not None and request.after_operation != last:
        raise BranchMovedError(session_id, request.head or head_before or "", "had another operation meanwhile")
    number = last + 1
    changes: list[BranchChange] = []
    for put in request.puts:
        before = expect(connection, session_id, put.record.id, put.expected)
        after = replace(put.record, operation=number)
        updated_at = milliseconds(after.updated_at)
        segment = segment_of(connection, key, after.tip.segment, updated_at)
        if segment.next + len(put.messages) != after.tip.next:
            raise InvalidRequestError(
                f"segment {after.tip.segment} of branch {after.id!r} does not go on at {after.tip.next}"
            )
        if put.messages:
            _write(connection, segment, put.messages, updated_at)
        put_branch(connection, segment, after)
        changes.append(BranchChange(id=after.id, before=before, after=after))
    for drop in request.drops:
        before = expect(connection, session_id, drop.branch_id, drop.expected)
        connection.execute(DROP, (key, drop.branch_id))
        changes.append(BranchChange(id=drop.branch_id, before=before, after=None))
    for entry in changes:
        if entry.after:
            _check_pieces(connection, key, session_id, entry.before, entry.after)
    if request.free:
        check_free(session_id, request.free, _branches(connection, key, session_id))
    attributes = EMPTY if request.attributes is None else _attributes(session)
    operation = operation_of(request, number, changes, head=head_before, attributes=attributes)
    if request.attributes is not None:
        set_attributes(connection, key, request.attributes)
    erasing.give_up(connection, key, operation)
    record_operation(connection, key, operation)
    connection.known.clear()
    return Commit(
        branches={entry.id: entry.after for entry in changes if entry.after},
        before={entry.id: entry.before for entry in changes if entry.before},
        operation=operation,
    )


def move(connection: Connection, session_id: str, new_id: str | None) -> str:
    """See :meth:`bough.stores.base.Store.move`."""
    found = connection.row(
        "SELECT key, deleted_at FROM session s WHERE id = ? AND EXISTS (SELECT 1 FROM branch WHERE session = s.key)"
        " ORDER BY deleted_at IS NOT NULL",
        (session_id,),
    )
    if found is None or (new_id is None and found[1] is not None):
        raise SessionNotFoundError(session_id)
    if new_id is None:
        return _set_aside(connection, found[0], session_id)
    other = connection.row(
        "SELECT key, EXISTS (SELECT 1 FROM branch WHERE session = s.key) FROM session s"
        " WHERE id = ? AND deleted_at IS NULL",
        (new_id,),
    )
    if other is not None:
        if other[1]:
            raise session_exists(new_id)
        _set_aside(connection, other[0], new_id)  # it has no branch, but it had some
    connection.execute("UPDATE session SET id = ?, deleted_at = NULL WHERE key = ?", (new_id, found[0]))
    connection.known.clear()
    return new_id


def _set_aside(connection: Connection, key: int, session_id: str) -> str:
    kept, _ = kept_id(session_id, {id_ for (id_,) in connection.execute("SELECT id FROM session")})
    at = milliseconds(codec.now())
    connection.execute("UPDATE session SET id = ?, deleted_at = ? WHERE key = ?", (kept, at, key))
    connection.known.clear()
    return kept


def session_of(connection: Connection, session_id: str) -> Session:
    """A session, made if it is new."""
    row = connection.row(_SESSION, (session_id,))
    if row is None:
        connection.execute("INSERT INTO session (id, operation_floor) VALUES (?, 0)", (session_id,))
        return Session(connection.last_insert_rowid(), None, 0, None)
    return Session(*row)


def set_attributes(connection: Connection, key: int, attributes: Mapping[str, Any]) -> None:
    connection.execute(
        "UPDATE session SET attributes = ? WHERE key = ?", (json_text(attributes) if attributes else None, key)
    )


def _find(connection: Connection, session_id: str, branch_id: str) -> tuple[BranchRecord, Segment] | None:
    row = connection.row(_FIND, (branch_id, session_id))
    if row is None:
        return None
    key, chain, number = row[0], row[1], row[7]
    record = _readable(row, session_id)
    return record, Segment(key=key, number=number, next=record.tip.next, chain=chain)


def _readable(row: Sequence[Any], session_id: str) -> BranchRecord:
    try:
        return to_record(row)
    except DAMAGED as error:
        branch_id = row[3].decode(errors="replace")
        place, problem = f"branch {branch_id!r}", f"its row is damaged: {error}"
        raise CorruptBranchError(place, problem, session_id=session_id, branch_id=branch_id) from None


def expect(connection: Connection, session_id: str, branch_id: str, expected: Version | None) -> BranchRecord | None:
    """The branch as it is. ``BranchExistsError``, ``BranchMovedError`` where that is not what was expected."""
    found = _find(connection, session_id, branch_id)
    present = found[0] if found else None
    if present is not None and expected is None:
        raise BranchExistsError(session_id, branch_id)
    if (present.version if present else None) != expected:
        raise BranchMovedError(session_id, branch_id, "changed meanwhile" if present else "is gone")
    return present


def put_branch(connection: Connection, tip: Segment, record: BranchRecord) -> None:
    history, tip_start = stored(record)
    values = (
        record.id,
        record.name,
        record.operation,
        history,
        tip.number,
        tip_start,
        milliseconds(record.created_at),
        record.parent_id,
        record.parent_message_index,
        json_text(record.metadata),
        json_text(record.extra) if record.extra else None,
        edits_text(record.edits),
    )
    connection.execute(_PUT, (tip.key, *values, row_digest(values)))


def segment_of(connection: Connection, key: int, segment_id: str, updated_at: int | None = None) -> Segment:
    """The segment, made if it is new. ``updated_at`` is of the branch of which it is the tip."""
    return Segment(key, *connection.row(_ENSURE, (key, segment_id, updated_at)))


def _write(connection: Connection, segment: Segment, lines: Sequence[bytes], at: int) -> None:
    """Puts messages behind the last of a segment, which is a branch's tip."""
    insert(connection, segment, range(segment.next, segment.next + len(lines)), lines)
    connection.execute(_GROW, (segment.next, segment.chain, at, segment.key, segment.number))


def insert(connection: Connection, segment: Segment, positions: Iterable[int], lines: Sequence[bytes]) -> None:
    """Puts messages at free positions of a segment, which are beyond its end and ascend."""
    rows = []
    key, number, chain = segment.key, segment.number, segment.chain
    link = gaps.link
    salts = os.urandom(_SALT * len(lines))
    at = 0
    for position, line in zip(positions, lines, strict=True):
        salt = salts[at : at + _SALT]
        at += _SALT
        digest = blake2b(line, digest_size=gaps.DIGEST, salt=salt).digest()
        chain = link(chain, digest)
        segment.next = position + 1
        rows.append((key, number, position, salt, digest, line.decode()))
    segment.chain = chain
    if len(rows) == 1:
        connection.execute(_INSERT, rows[0])
    else:
        connection.executemany(_INSERT, rows)


def _check_pieces(
    connection: Connection, key: int, session_id: str, before: BranchRecord | None, after: BranchRecord
) -> None:
    """What a history newly refers to must be there; a gc may have taken it since it was looked at."""
    for piece in subtract(after.history, before.history if before else ()):
        if not gaps.is_there(connection, key, piece):
            raise CorruptBranchError(
                f"segment {piece.segment}", "no such messages", session_id=session_id, branch_id=after.id
            )


def _branches(connection: Connection, key: int, session_id: str) -> dict[str, BranchRecord]:
    """All branches; ``CorruptBranchError`` where one cannot be read: who knows what it holds."""
    records = (_readable(row, session_id) for row in connection.rows(_ALL, (key,)))
    return {record.id: record for record in records}


def _attributes(session: Session) -> Mapping[str, Any]:
    """What a change replaces; nothing where it is damaged, so that it can be set anew."""
    try:
        return EMPTY if session.attributes is None else dict(codec.decode(session.attributes))
    except ValueError:
        return EMPTY


def record_operation(connection: Connection, key: int, operation: Operation) -> None:
    values = (
        operation.number,
        operation.id,
        operation.kind,
        milliseconds(operation.at),
        operation.pid,
        operation.hostname,
        operation.head_before,
        operation.head_after,
        changes_text(operation.branches),
        json_text(operation.detail),
        operation.user,
        attributes_text(operation.attributes),
        pieces_text(operation.freed) if operation.freed else None,
        int(operation.erased),
    )
    connection.execute(_RECORD, (key, *values, row_digest(values)))
