"""What a change does to the tables. Everything here runs inside the caller's write transaction.

1. An append writes to one row of ``segment`` and its messages; neither the branch's row nor its history is touched.
2. ``Connection.known`` holds a branch's record after an append, so that the next one of the same writer reads nothing.
3. A position is given out once: it comes from ``segment.next``, which only grows.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

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
from bough.model import Append, BranchChange, BranchRecord, Change, Commit, Graft, Operation, Piece, Version, replace
from bough.stores.base import kept_id, session_exists
from bough.stores.sqlite import search
from bough.stores.sqlite.connections import Connection
from bough.stores.sqlite.rows import BRANCH, DAMAGED, changes_text, json_text, milliseconds, stored, to_record

_KNOWN = 1000
"""How many branches a connection remembers."""
_DIGEST = 16
_SALT = 16

_FIND = (
    f"SELECT s.key, g.chain, {BRANCH} FROM session s"  # noqa: S608  (a constant)
    " CROSS JOIN branch b ON b.session = s.key AND b.id = ?"
    " LEFT JOIN segment g ON g.session = s.key AND g.number = b.tip"  # a damaged branch is no less there
    " WHERE s.id = ? AND s.deleted_at IS NULL"
)
_INSERT = "INSERT INTO message (session, segment, position, salt, digest, payload) VALUES (?, ?, ?, ?, ?, ?)"
_ENSURE = (
    "INSERT INTO segment (session, number, id, next, chain, updated_at) VALUES"
    " (?1, (SELECT coalesce(max(number), 0) + 1 FROM segment WHERE session = ?1), ?2, 0, x'', coalesce(?3, 0))"
    " ON CONFLICT (session, id) DO UPDATE SET updated_at = coalesce(?3, updated_at) RETURNING number, next, chain"
)
_GROW = "UPDATE segment SET next = ?, chain = ?, updated_at = ? WHERE session = ? AND number = ?"
_PUT = (
    "INSERT INTO branch (session, id, name, operation, history, tip, tip_start, created_at, parent_id,"
    " parent_message_index, metadata, extra) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (session, id) DO UPDATE SET name = excluded.name, operation = excluded.operation,"
    " history = excluded.history, tip = excluded.tip, tip_start = excluded.tip_start, created_at = excluded.created_at,"
    " parent_id = excluded.parent_id,"
    " parent_message_index = excluded.parent_message_index, metadata = excluded.metadata, extra = excluded.extra"
)
_OF_SEGMENT = (
    "SELECT count(*) FROM message WHERE session = ?1"
    " AND segment = (SELECT number FROM segment WHERE session = ?1 AND id = ?2)"
)
_HAS = f"{_OF_SEGMENT} AND position IN (?3, ?4)"
_COUNT = f"{_OF_SEGMENT} AND position >= ?3 AND position < ?4"
_DROP = "DELETE FROM branch WHERE session = ? AND id = ?"
_RECORD = (
    "INSERT INTO operation (session, number, id, kind, at, pid, hostname, head_before, head_after, branches, detail)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


@dataclass(slots=True)
class _Segment:
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
    key, head_before, last = _session(connection, session_id)
    if request.after_operation is not None and request.after_operation != last:
        raise BranchMovedError(session_id, request.head or head_before or "", "had another operation meanwhile")
    number = last + 1
    at = codec.now()
    changes: list[BranchChange] = []
    for put in request.puts:
        before = _expected(connection, session_id, put.record.id, put.expected)
        after = replace(put.record, operation=number)
        updated_at = milliseconds(after.updated_at)
        segment = _segment(connection, key, after.tip.segment, updated_at)
        if segment.next + len(put.messages) != after.tip.next:
            raise InvalidRequestError(
                f"segment {after.tip.segment} of branch {after.id!r} does not go on at {after.tip.next}"
            )
        if put.messages:
            _write(connection, segment, put.messages, updated_at)
        _put(connection, segment, after)
        changes.append(BranchChange(id=after.id, before=before, after=after))
    for drop in request.drops:
        before = _expected(connection, session_id, drop.branch_id, drop.expected)
        connection.execute(_DROP, (key, drop.branch_id))
        changes.append(BranchChange(id=drop.branch_id, before=before, after=None))
    for entry in changes:
        if entry.after:
            _check_pieces(connection, key, session_id, entry.before, entry.after)
    operation = Operation(
        number=number,
        id=request.id,
        kind=request.kind,
        at=at,
        pid=os.getpid(),
        hostname=socket.gethostname(),
        head_before=head_before,
        head_after=head_before if request.head is None else request.head,
        branches=tuple(changes),
        detail=request.detail,
    )
    _record(connection, key, operation)
    connection.known.clear()
    return Commit(
        branches={entry.id: entry.after for entry in changes if entry.after},
        before={entry.id: entry.before for entry in changes if entry.before},
        operation=operation,
    )


def graft(connection: Connection, session_id: str, request: Graft) -> Commit:
    """``BranchExistsError``, ``BranchMovedError``, ``CorruptBranchError``."""
    if not (request.runs or request.puts or request.drops or request.operation):
        return Commit(branches={})
    key, head, last = _session(connection, session_id)
    operation = request.operation
    if operation is not None and operation.number <= last:
        raise BranchMovedError(session_id, operation.head_after or head or "", f"had operation {last} already")
    for piece, lines in request.runs:
        _lay(connection, _segment(connection, key, piece.segment), session_id, piece, lines)
    before = {}
    for put in request.puts:
        before[put.record.id] = _expected(connection, session_id, put.record.id, put.expected)
        tip = _segment(connection, key, put.record.tip.segment, milliseconds(put.record.updated_at))
        _put(connection, tip, put.record)
        _check_there(connection, key, session_id, put.record)
    for drop in request.drops:
        before[drop.branch_id] = _expected(connection, session_id, drop.branch_id, drop.expected)
        connection.execute(_DROP, (key, drop.branch_id))
    if operation is not None:
        _record(connection, key, operation)
    floor = max([0, *(put.record.operation for put in request.puts)])
    if floor > (operation.number if operation else last):
        connection.execute("UPDATE session SET operation_floor = ? WHERE key = ?", (floor, key))
    connection.known.clear()
    return Commit(
        branches={put.record.id: put.record for put in request.puts},
        before={name: record for name, record in before.items() if record is not None},
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


def _session(connection: Connection, session_id: str) -> tuple[int, str | None, int]:
    """The key of a session, made if it is new, with its HEAD and the number of its last operation."""
    row = connection.row(
        "SELECT s.key, o.head_after, max(s.operation_floor, coalesce(o.number, 0))"
        " FROM session s LEFT JOIN operation o ON o.session = s.key"
        " WHERE s.id = ? AND s.deleted_at IS NULL ORDER BY o.number DESC LIMIT 1",
        (session_id,),
    )
    if row is None:
        connection.execute("INSERT INTO session (id, operation_floor) VALUES (?, 0)", (session_id,))
        return connection.last_insert_rowid(), None, 0
    key, head, last = row
    return key, head, last


def _find(connection: Connection, session_id: str, branch_id: str) -> tuple[BranchRecord, _Segment] | None:
    row = connection.row(_FIND, (branch_id, session_id))
    if row is None:
        return None
    key, chain, number = row[0], row[1], row[6]
    try:
        record = to_record(row)
    except DAMAGED as error:
        place = f"branch {branch_id!r}"
        raise CorruptBranchError(
            place, f"its row is damaged: {error}", session_id=session_id, branch_id=branch_id
        ) from None
    return record, _Segment(key=key, number=number, next=record.tip.next, chain=chain)


def _expected(connection: Connection, session_id: str, branch_id: str, expected: Version | None) -> BranchRecord | None:
    """The branch as it is. ``BranchExistsError``, ``BranchMovedError`` where that is not what was expected."""
    found = _find(connection, session_id, branch_id)
    present = found[0] if found else None
    if present is not None and expected is None:
        raise BranchExistsError(session_id, branch_id)
    if (present.version if present else None) != expected:
        raise BranchMovedError(session_id, branch_id, "changed meanwhile" if present else "is gone")
    return present


def _put(connection: Connection, tip: _Segment, record: BranchRecord) -> None:
    history, tip_start = stored(record)
    connection.execute(
        _PUT,
        (
            tip.key,
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
        ),
    )


def _segment(connection: Connection, key: int, segment_id: str, updated_at: int | None = None) -> _Segment:
    """The segment, made if it is new. ``updated_at`` is of the branch of which it is the tip."""
    return _Segment(key, *connection.row(_ENSURE, (key, segment_id, updated_at)))


def _write(connection: Connection, segment: _Segment, lines: Sequence[bytes], at: int) -> None:
    """Puts messages behind the last of a segment, which is a branch's tip."""
    _insert(connection, segment, range(segment.next, segment.next + len(lines)), lines)
    connection.execute(_GROW, (segment.next, segment.chain, at, segment.key, segment.number))


def _insert(connection: Connection, segment: _Segment, positions: Iterable[int], lines: Sequence[bytes]) -> None:
    """Puts messages at free positions of a segment, which are beyond its end and ascend."""
    rows = []
    for position, line in zip(positions, lines, strict=True):
        salt = os.urandom(_SALT)
        digest = blake2b(line, digest_size=_DIGEST, salt=salt).digest()
        segment.chain = _link(segment.chain, digest)
        segment.next = position + 1
        rows.append((segment.key, segment.number, position, salt, digest, line.decode()))
    if len(rows) == 1:
        connection.execute(_INSERT, rows[0])
    else:
        connection.executemany(_INSERT, rows)


def _link(chain: bytes, digest: bytes) -> bytes:
    return blake2b(chain + digest, digest_size=_DIGEST).digest()


def _lay(connection: Connection, segment: _Segment, session_id: str, piece: Piece, lines: Sequence[bytes]) -> None:
    """Puts another store's messages where they stood there; what is there already must be the same."""
    place = segment.key, segment.number
    there = dict(
        connection.execute(
            "SELECT position, CAST(payload AS BLOB) FROM message"
            " WHERE session = ? AND segment = ? AND position >= ? AND position < ?",
            (*place, piece.start, piece.stop),
        )
    )
    new = []
    for position, line in zip(range(piece.start, piece.stop), lines, strict=True):
        if position not in there:
            new.append((position, line))
        elif there[position] != line:
            raise CorruptBranchError(
                f"segment {piece.segment}", f"another message at {position}", session_id=session_id
            )
    if not new:
        return
    end = segment.next
    _insert(connection, segment, [position for position, _ in new], [line for _, line in new])
    if new[0][0] < end:
        segment.next = max(end, segment.next)
        segment.chain = b""
        for (digest,) in connection.execute(
            "SELECT digest FROM message WHERE session = ? AND segment = ? ORDER BY position", place
        ):
            segment.chain = _link(segment.chain, digest)
        search.forget(connection, *place)
    connection.execute(
        "UPDATE segment SET next = ?, chain = ? WHERE session = ? AND number = ?",
        (segment.next, segment.chain, *place),
    )


def _check_pieces(
    connection: Connection, key: int, session_id: str, before: BranchRecord | None, after: BranchRecord
) -> None:
    """What a history newly refers to must be there; a gc may have taken it since it was looked at."""
    for segment_id, start, stop in subtract(after.history, before.history if before else ()):
        # The ends are enough: what is taken or missing between them is never part of one piece.
        if connection.row(_HAS, (key, segment_id, start, stop - 1))[0] < min(2, stop - start):
            raise CorruptBranchError(
                f"segment {segment_id}", "no such messages", session_id=session_id, branch_id=after.id
            )


def _check_there(connection: Connection, key: int, session_id: str, record: BranchRecord) -> None:
    """Every message of a grafted history must be there."""
    for segment_id, start, stop in record.history:
        if connection.row(_COUNT, (key, segment_id, start, stop))[0] != stop - start:
            raise CorruptBranchError(
                f"segment {segment_id}", "messages are missing", session_id=session_id, branch_id=record.id
            )


def _record(connection: Connection, key: int, operation: Operation) -> None:
    connection.execute(
        _RECORD,
        (
            key,
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
        ),
    )
