"""What a graft does to the tables: a step of another store's session, with messages at any positions. Everything here
runs inside the caller's write transaction.

1. Messages that are laid beyond a segment's end leave a gap before them (:mod:`.gaps`); those that are laid before it
   fill one, and the segment's chain is made anew, and what the search index holds of it is forgotten.
2. Whether all of a grafted history is there costs by its pieces, however many messages they have.
3. What was given up does not come back.
"""

from __future__ import annotations

from collections.abc import Sequence

from bough.errors import BranchMovedError, CorruptBranchError
from bough.model import BranchRecord, Commit, Graft, Piece
from bough.stores.sqlite import erasing, gaps, search
from bough.stores.sqlite.connections import Connection
from bough.stores.sqlite.gaps import Place
from bough.stores.sqlite.rows import milliseconds
from bough.stores.sqlite.writing import (
    DROP,
    Segment,
    expect,
    insert,
    put_branch,
    record_operation,
    segment_of,
    session_of,
    set_attributes,
)


def graft(connection: Connection, session_id: str, request: Graft) -> Commit:
    """``BranchExistsError``, ``BranchMovedError``, ``CorruptBranchError``."""
    if not (request.runs or request.puts or request.drops or request.operation):
        return Commit(branches={})
    key, head, last, _ = session_of(connection, session_id)
    operation = request.operation
    if operation is not None and operation.number <= last:
        raise BranchMovedError(session_id, operation.head_after or head or "", f"had operation {last} already")
    for piece, lines in request.runs:
        _lay(connection, segment_of(connection, key, piece.segment), session_id, piece, lines)
    before = {}
    for put in request.puts:
        before[put.record.id] = expect(connection, session_id, put.record.id, put.expected)
        tip = segment_of(connection, key, put.record.tip.segment, milliseconds(put.record.updated_at))
        put_branch(connection, tip, put.record)
        _check_there(connection, key, session_id, put.record)
    for drop in request.drops:
        before[drop.branch_id] = expect(connection, session_id, drop.branch_id, drop.expected)
        connection.execute(DROP, (key, drop.branch_id))
    if operation is not None:
        if operation.attributes is not None:
            set_attributes(connection, key, operation.attributes[1])
        erasing.give_up(connection, key, operation)
        record_operation(connection, key, operation)
    floor = max([0, *(put.record.operation for put in request.puts)])
    if floor > (operation.number if operation else last):
        connection.execute("UPDATE session SET operation_floor = ? WHERE key = ?", (floor, key))
    connection.known.clear()
    return Commit(
        branches={put.record.id: put.record for put in request.puts},
        before={name: record for name, record in before.items() if record is not None},
        operation=operation,
    )


def _lay(connection: Connection, segment: Segment, session_id: str, piece: Piece, lines: Sequence[bytes]) -> None:
    """Puts another store's messages where they stood there; what is there already must be the same."""
    place = Place(segment.key, segment.number)
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
            is_gone = there[position] is None
            problem = f"the message at {position} was purged" if is_gone else f"another message at {position}"
            raise CorruptBranchError(f"segment {piece.segment}", problem, session_id=session_id)
    if not new:
        return
    for gap in gaps.touching(connection, place, piece.start, piece.stop):
        if gap.chain_before is not None and gap.start < piece.stop and piece.start < gap.stop:
            problem = f"the message at {max(gap.start, piece.start)} was given up"
            raise CorruptBranchError(f"segment {piece.segment}", problem, session_id=session_id)
    end = segment.next
    insert(connection, segment, [position for position, _ in new], [line for _, line in new])
    segment.next = max(end, segment.next)
    gaps.leave(connection, place, end, piece.start)
    gaps.fill(connection, place, piece.start, piece.stop)
    if new[0][0] < end:
        segment.chain = gaps.chain_again(connection, place)
        search.forget(connection, *place)
    connection.execute(
        "UPDATE segment SET next = ?, chain = ? WHERE session = ? AND number = ?",
        (segment.next, segment.chain, *place),
    )


def _check_there(connection: Connection, key: int, session_id: str, record: BranchRecord) -> None:
    """Every message of a grafted history must be there."""
    for piece in record.history:
        if not gaps.is_there(connection, key, piece):
            raise CorruptBranchError(
                f"segment {piece.segment}", "messages are missing", session_id=session_id, branch_id=record.id
            )
