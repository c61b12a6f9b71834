"""Looks at every byte that is kept of a session, and says what is not as it should be.

1. Nothing is written and no writer is waited for. Each read transaction ends after a few thousand rows, so that the log
   can be cut meanwhile; none outlasts a step of the caller.
2. What is compared with one another comes from one transaction: branches, segments and gaps here, messages and digests
   in :mod:`.verify_segment`. The log never changes but at its end.
3. Damage hides nothing else.
4. A message is named by its segment and position, and by a branch that holds it as revisions say it (``main:12`` is the
   twelfth of main).

What it deliberately does not look at: what the histories mean (:mod:`bough.fsck`), other sessions.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bough import codec, history
from bough.errors import CorruptBranchError
from bough.model import BranchRecord, Finding, History, Operation, Piece, Severity
from bough.stores.sqlite.connections import Connection, snapshot
from bough.stores.sqlite.gaps import Place
from bough.stores.sqlite.reading import damaged_attributes
from bough.stores.sqlite.rows import (
    BRANCH,
    DAMAGED,
    OPERATION,
    branch_fits,
    fits_digest,
    json_text,
    to_operation,
    to_record,
)
from bough.stores.sqlite.verify_segment import BEHIND, Reading, walk

_PAGE = 100
"""How many operations are fetched at a time."""
_TABLES = ("session", "branch", "segment", "gap", "operation", "search_run", "search_mark", "search_state")
"""What SQLite is asked to check: messages are read anyway."""
_INDEX = "search_index"
_OWNED = ("message", "branch", "segment", "operation", "gap")
"""Whose rows are of a session."""

_CHANGED = "does not fit its digest: it was changed"
_SALVAGE = "`bough fsck --repair` puts what can be read into a new branch"
_COPY = "`bough copy` takes what can be read to another store"
_UNREACHABLE = "a copy or an import was interrupted: a copy goes on from it; `bough gc --unreachable` gives it up"
_REBUILD = "nothing is lost: the index can be made from the messages; a `bough copy` to another file makes it anew"

_FIELDS = ("name", "operation", "created_at", "parent_id", "parent_message_index", "metadata", "extra", "edits")
"""What an append leaves alone."""

_SESSION = (
    "SELECT key, erasing, CAST(attributes AS BLOB),"
    " max(operation_floor, coalesce((SELECT max(number) FROM operation o WHERE o.session = s.key), 0))"
    " FROM session s WHERE id = ? AND deleted_at IS NULL"
)
_SEGMENTS = "SELECT number, CAST(id AS BLOB), coalesce(CAST(next AS INTEGER), 0) FROM segment WHERE session = ?"
_GAPS = "SELECT segment, start, stop FROM gap WHERE session = ?"
_BRANCHES = (
    f"SELECT NULL, NULL, NULL, {BRANCH}, b.digest FROM branch b"  # noqa: S608  (a constant)
    " LEFT JOIN segment g ON g.session = b.session AND g.number = b.tip WHERE b.session = ? ORDER BY b.id"
)
_OPERATIONS = (
    f"SELECT {OPERATION}, o.digest FROM operation o WHERE o.session = ? AND o.number <= ?"  # noqa: S608  (a constant)
    " ORDER BY o.number DESC LIMIT ?"
)
_KEYS = "SELECT (SELECT count(*) FROM session), coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'session'), -1)"
_NEXT_SEGMENT = "SELECT segment FROM message WHERE session = ? AND segment > ? ORDER BY segment LIMIT 1"
_IS_NEW = "SELECT 1 FROM segment WHERE session = ? AND number = ?"
_PAYLOADS = (
    "SELECT CAST(payload AS BLOB) FROM message WHERE session = ? AND segment = ? AND position >= ? AND position < ?"
    " AND payload IS NOT NULL ORDER BY position"
)
_OWNER = "SELECT CAST(id AS BLOB) FROM branch WHERE session = ? AND tip = ? LIMIT 1"
_RUNS = (
    "SELECT count(*) FROM search_run r LEFT JOIN segment g ON g.session = r.session AND g.number = r.segment"
    " WHERE r.session = ? AND (g.next IS NULL OR r.start < 0 OR r.start >= r.stop OR r.stop > g.next)"
)


def verify(reading: Reading, path: str, session_id: str) -> Iterator[Finding]:
    """See :meth:`bough.stores.base.Store.verify`."""
    try:
        state = reading(lambda connection: _look(connection, path, session_id), None)
    except CorruptBranchError as error:
        yield Finding(place=error.place, problem=error.reason, advice=_COPY)
        return
    yield from _strays(reading, path)
    if state is None:
        return
    looked = _Verifier(reading, path, state)
    yield from looked.tables()
    yield from looked.session()
    yield from looked.log()
    yield from looked.attributes()
    yield from looked.branches()
    yield from looked.logged()
    for number in sorted(state.segments):
        yield from looked.segment(number)
    yield from looked.strays()
    yield from looked.unreached()
    yield from looked.index()


def _strays(reading: Reading, path: str) -> Iterator[Finding]:
    """Rows of sessions that have no row: no session's verify would come to them."""
    try:
        counted = reading(_count_ownerless, dict[str, tuple[int, int]]())
    except CorruptBranchError as error:
        yield Finding(place=f"{path}: table session", problem=error.reason, advice=_COPY)
        return
    if counted:
        sessions = max(number for _, number in counted.values())
        rows = ", ".join(f"{count} of {table}" for table, (count, _) in counted.items())
        yield Finding(
            place=f"{path}: table session",
            problem=f"it has lost {sessions} session{'s' * (sessions > 1)} whose rows are still there: {rows}",
            advice="the file was changed by hand: take the rows of `session` that are gone from a copy of it",
        )


def _count_ownerless(connection: Connection) -> dict[str, tuple[int, int]]:
    """By table, how many rows have no session, and of how many they are.

    Sessions are numbered one by one and their rows stay for good; so one count tells where there can be none.
    """
    found: dict[str, tuple[int, int]] = {}
    with snapshot(connection):
        count, last = connection.row(_KEYS)
        for table in _OWNED:
            column = f"(SELECT %s(session) FROM {table})"  # noqa: S608  (a constant)
            first, highest = connection.row(f"SELECT {column % 'min'}, {column % 'max'}")
            if first is None or (count == last and first > 0 and highest <= last):
                continue
            keys = [key for (key,) in connection.rows(_ownerless(table))]
            rows = [connection.row(f"SELECT count(*) FROM {table} WHERE session = ?", (key,))[0] for key in keys]  # noqa: S608
            if keys:
                found[table] = sum(rows), len(keys)
    return found


def _ownerless(table: str) -> str:
    """The sessions without a row, found by steps from one to the next: their rows are not gone through."""
    return (
        f"WITH RECURSIVE known(key) AS (SELECT min(session) FROM {table} UNION ALL"  # noqa: S608  (a constant)
        f" SELECT (SELECT min(session) FROM {table} WHERE session > key) FROM known WHERE key IS NOT NULL)"
        " SELECT key FROM known WHERE key IS NOT NULL AND key NOT IN (SELECT key FROM session)"
    )


@dataclass(slots=True)
class _State:
    """One session at one moment."""

    key: int
    erasing: int
    attributes: bytes | None
    last: int
    segments: dict[int, str] = field(default_factory=dict)
    there: dict[str, History] = field(default_factory=dict)
    """What can be read, by segment."""
    records: dict[str, BranchRecord] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    """Why a branch cannot be read."""
    changed: set[str] = field(default_factory=set)
    """The branches whose rows do not fit their digests."""

    def missing(self, pieces: History) -> History:
        """Those of the messages that cannot be read."""
        lost = (history.subtract((piece,), self.there.get(piece.segment, ())) for piece in pieces)
        return history.concat(*lost)

    def name(self, segment_id: str, position: int) -> tuple[str, str | None]:
        """`` (main:12)`` and ``main``: a branch that holds the message, main if that does."""
        for id_ in sorted(self.records, key=lambda id_: (id_ != "main", id_)):
            index = history.index_of(self.records[id_].history, segment_id, position)
            if index is not None:
                return f" ({id_}:{index + 1})", id_
        return "", None


def _look(connection: Connection, path: str, session_id: str) -> _State | None:
    with snapshot(connection):
        row = connection.row(_SESSION, (session_id,))
        if row is None:
            return None
        state = _State(*row)
        place = (state.key,)
        holes: dict[int, list[tuple[int, int]]] = {}
        for number, start, stop in connection.rows(_GAPS, place):
            holes.setdefault(number, []).append((start, stop))
        for number, text, following in connection.rows(_SEGMENTS, place):
            id_ = state.segments[number] = text.decode(errors="replace")
            gaps = tuple(Piece(id_, start, stop) for start, stop in holes.get(number, ()))
            state.there[id_] = history.subtract((Piece(id_, 0, following),), gaps)
        for *row, sealed in connection.rows(_BRANCHES, place):
            name = (row[3] or b"?").decode(errors="replace")
            try:
                state.records[name] = to_record(row)
                if not branch_fits(row, sealed):
                    state.changed.add(name)
            except DAMAGED as error:
                is_tip_lost = row[7] not in state.segments
                state.unreadable[name] = (
                    "the segment that it appends to is missing" if is_tip_lost else f"its row is damaged: {error}"
                )
        return state


class _Verifier:
    def __init__(self, reading: Reading, path: str, state: _State) -> None:
        self._reading = reading
        self._path = path
        self._state = state
        self._last: dict[str, BranchRecord | None] = {}  # each branch as the log has it
        self._logged: History = ()
        self._freed: History = ()
        self._is_log_whole = True
        self._attributes: Mapping[str, Any] | None = None  # those that the log has of the session
        self._are_attributes_told = True  # no operation is missing that may have set others

    def _finding(self, what: str, problem: str, severity: Severity = "error", **more: Any) -> Finding:
        return Finding(place=f"{self._path}: {what}", problem=problem, severity=severity, **more)

    def _ask(self, sql: str, *bindings: int) -> list[Any]:
        return self._reading(lambda connection: connection.rows(sql, bindings), list[Any]())

    # -- what SQLite and the session say -------------------------------------------------------------------------------

    def tables(self) -> Iterator[Finding]:
        for name in _TABLES:
            try:
                found = [str(text) for (text,) in self._ask(f"PRAGMA integrity_check({name})")]
            except CorruptBranchError as error:
                found = [error.reason]
            if found not in ([], ["ok"]):
                is_derived = name.startswith("search")
                problem = "; ".join(found[:3]) + ("; …" if len(found) > 3 else "")
                severity: Severity = "warning" if is_derived else "error"
                yield self._finding(f"table {name}", problem, severity, advice=_REBUILD if is_derived else _COPY)

    def session(self) -> Iterator[Finding]:
        if self._state.attributes is not None:
            try:
                codec.decode(self._state.attributes)
            except ValueError as error:
                yield damaged_attributes(self._path, error)
        if self._state.erasing:
            where = "in free space or in the log of the file" if self._state.erasing > 0 else "in the log of the file"
            yield self._finding(
                "what was erased",
                f"texts that operation {abs(self._state.erasing)} erased may still stand {where}",
                "warning",
                advice="close other programs that use the file: the next change of a branch finishes it",
            )

    # -- the log -------------------------------------------------------------------------------------------------------

    def log(self) -> Iterator[Finding]:
        upto = self._state.last
        while upto > 0:
            try:
                page = self._ask(_OPERATIONS, self._state.key, upto, _PAGE)
            except CorruptBranchError as error:
                self._is_log_whole = False
                self._miss_attributes()
                yield self._finding(f"operations up to {upto}", error.reason, advice="they cannot be undone")
                return
            records: list[BranchRecord] = []
            for *row, sealed in page:
                if row[0] != upto:
                    self._miss_attributes()
                upto = row[0] - 1
                try:
                    operation = to_operation(row)
                except DAMAGED as error:
                    self._is_log_whole = False
                    self._miss_attributes()
                    problem = f"its row is damaged: {error}"
                    yield self._finding(f"operation {row[0]}", problem, advice="it cannot be undone, nor what is older")
                    continue
                if not fits_digest(row, sealed):
                    self._is_log_whole = False
                    advice = "look at what the branches hold before and after you undo it"
                    yield self._finding(f"operation {row[0]}", f"its row {_CHANGED}", advice=advice)
                records += self._note(operation)
            self._logged = history.union(self._logged, *(record.history for record in records))
            if not page:
                self._miss_attributes()
                return

    def _miss_attributes(self) -> None:
        """An operation cannot be read."""
        self._are_attributes_told &= self._attributes is not None

    def _note(self, operation: Operation) -> Iterator[BranchRecord]:
        self._freed = history.union(self._freed, operation.freed)
        if self._attributes is None and operation.attributes is not None:
            self._attributes = operation.attributes[1]
        for change in operation.branches:
            self._last.setdefault(change.id, change.after)
            for side in (change.before, change.after):
                if side is not None:
                    yield side

    # -- branches ------------------------------------------------------------------------------------------------------

    def branches(self) -> Iterator[Finding]:
        state = self._state
        for id_, problem in state.unreadable.items():
            rest = self._as_logged(id_)
            yield self._finding(f"branch {id_!r}", problem, branch_id=id_, advice=_SALVAGE, history=rest)
        for id_, record in state.records.items():
            if id_ in state.changed:
                yield self._row_changed(record)
            yield from self._reaches(record)
            if record.operation > state.last:
                problem = f"operation {record.operation} changed it last; the log ends at {state.last}"
                yield self._finding(
                    f"branch {id_!r}", problem, branch_id=id_, advice="see what it holds before an undo"
                )
        for id_, last in self._last.items():
            if last is None or id_ in state.records or id_ in state.unreadable:
                continue
            problem = f"it is gone, and no operation {'' if self._is_log_whole else 'that can be read '}deleted it"
            yield self._finding(
                f"branch {id_!r}",
                problem,
                "error" if self._is_log_whole else "warning",
                branch_id=id_,
                advice=_SALVAGE,
                history=self._as_logged(id_),
            )

    def _row_changed(self, record: BranchRecord) -> Finding:
        """That a branch's row is not as its last operation left it, with what it should hold, if that is another."""
        last, whole = self._last.get(record.id), self._as_logged(record.id)
        differing = [name for name in _FIELDS if last is not None and getattr(record, name) != getattr(last, name)]
        is_other = last is not None and not self._goes_on(record, last.history, history.subtract(whole, last.history))
        where = ", ".join([*differing, *["history"] * is_other])
        return self._finding(
            f"branch {record.id!r}",
            f"its row {_CHANGED}{' (' if where else ''}{where}{')' if where else ''}",
            branch_id=record.id,
            advice=_SALVAGE if is_other else "the last operation on it tells what it was: `bough ops`",
            history=whole if is_other else (),
            rescued=self._lines_of(whole) if is_other else (),  # the branch itself is there: it would not be saved
        )

    def _goes_on(self, record: BranchRecord, logged: History, own: History) -> bool:
        """Whether a branch holds what the log has of it, its own later messages, and at most such others as a copy
        brings without an operation: no other branch of the session appends to their segments."""
        if not history.starts_with(record.history, logged):
            return False
        rest = history.cut(record.history, history.length(logged), record.length)
        tips = {other.tip.segment for other in self._state.records.values() if other is not record}
        tip = record.tip.segment
        return tips.isdisjoint(piece.segment for piece in rest) and own == history.concat(
            *((piece,) for piece in rest if piece.segment == tip)
        )

    def attributes(self) -> Iterator[Finding]:
        """Whether those of the session are as the last operation left them that set any."""
        try:
            present = {} if self._state.attributes is None else codec.decode(self._state.attributes)
        except ValueError:
            return  # told of already
        if self._are_attributes_told and json_text(present) != json_text(dict(self._attributes or {})):
            yield self._finding(
                "the session's attributes",
                "they are not as the last operation left them: title, description or tags were changed or lost",
                "error" if self._is_log_whole else "warning",
                advice="the operation that set them last still has them: see `bough ops`, and set them anew",
            )

    def _as_logged(self, id_: str) -> History:
        """The last history that the log has of a branch, with what was appended since."""
        last = self._last.get(id_)
        if last is None:
            return ()
        behind = history.subtract(
            self._state.there.get(last.tip.segment, ()), (Piece(last.tip.segment, 0, last.tip.next),)
        )
        return history.concat(last.history, behind)

    def _reaches(self, record: BranchRecord) -> Iterator[Finding]:
        lost = self._state.missing(record.history)
        for segment_id, start, stop in lost:
            if segment_id not in self._state.there:
                problem = f"{stop - start} of its messages are of segment {segment_id}, which is missing"
            else:
                problem = (
                    f"it holds {stop - start} messages that are not there: {start}..{stop} of segment {segment_id}"
                )
            index = history.index_of(record.history, segment_id, start)
            place = f"branch {record.id!r} ({record.id}:{(index or 0) + 1})"
            yield self._finding(place, problem, branch_id=record.id, advice=_SALVAGE, history=lost)

    def logged(self) -> Iterator[Finding]:
        """Histories of the log whose messages are gone, though nobody gave them up."""
        held = history.union(*(record.history for record in self._state.records.values()))
        gone = history.subtract(history.subtract(self._state.missing(self._logged), self._freed), held)
        if gone:
            problem = f"{history.length(gone)} messages that branches once had are gone, and were not given up"
            yield self._finding("the log", problem, "warning", advice="what had them cannot be undone", history=gone)

    def unreached(self) -> Iterator[Finding]:
        lost = map(self._as_logged, self._last.keys() - self._state.records.keys())
        reached = history.union(self._logged, *lost, *(record.history for record in self._state.records.values()))
        there = history.union(*self._state.there.values())
        rest = history.subtract(there, reached)
        if rest and self._is_log_whole:
            problem = f"no branch has or had {history.length(rest)} of the messages"
            yield self._finding("messages", problem, "note", advice=_UNREACHABLE, history=rest, unreachable=True)

    # -- messages ------------------------------------------------------------------------------------------------------

    def segment(self, number: int) -> Iterator[Finding]:
        """Everything that is wrong with the messages of a segment."""
        id_ = self._state.segments[number]
        try:
            for start, stop, problem in walk(self._reading, Place(self._state.key, number)):
                name, branch_id = self._state.name(id_, start)
                lost = history.union((Piece(id_, start, stop),))
                place = f"segment {id_}, message{'s' * (stop - start > 1)} {start}{name}"
                if stop - start > 1:
                    place = f"segment {id_}, messages {start}..{stop}{name}"
                if problem == BEHIND:  # no history can name them
                    rescued, owner = self._lines(number, start), self._owner(number)
                    yield self._finding(place, problem, branch_id=owner, advice=_SALVAGE, rescued=rescued)
                    continue
                yield self._finding(place, problem, branch_id=branch_id, advice=_SALVAGE, history=lost)
        except CorruptBranchError as error:
            yield self._finding(f"segment {id_}", error.reason, advice=_COPY)

    def strays(self) -> Iterator[Finding]:
        """Messages of segments that have no row."""
        number = -1
        while True:
            try:
                rows = self._ask(_NEXT_SEGMENT, self._state.key, number)
            except CorruptBranchError as error:
                yield self._finding("messages", error.reason, advice=_COPY)
                return
            if not rows:
                return
            number = rows[0][0]
            if number not in self._state.segments and not self._ask(_IS_NEW, self._state.key, number):
                yield self._stray(number)

    def _stray(self, number: int) -> Finding:
        """What is left of a segment without a row: messages whose places are known, but not their names."""
        lines = self._lines(number, 0)
        return self._finding(
            f"segment number {number}",
            f"its row is missing: {len(lines)} messages are there that no history can name",
            branch_id=self._owner(number),
            advice=_SALVAGE,
            rescued=lines,
        )

    def _lines(self, number: int, start: int, stop: int = sys.maxsize) -> list[bytes]:
        """The messages that can be read of a segment's rows, whatever its row says."""
        try:
            rows = self._ask(_PAYLOADS, self._state.key, number, start, stop)
        except CorruptBranchError:
            return []  # the page is told of where the messages are looked at
        return [bytes(line) for (line,) in rows if _is_message(line)]

    def _lines_of(self, pieces: History) -> list[bytes]:
        numbers = {id_: number for number, id_ in self._state.segments.items()}
        known = [piece for piece in pieces if piece.segment in numbers]
        return [line for segment, start, stop in known for line in self._lines(numbers[segment], start, stop)]

    def _owner(self, number: int) -> str | None:
        """The branch that appends to a segment."""
        owner = self._ask(_OWNER, self._state.key, number)
        return owner[0][0].decode(errors="replace") if owner else None

    # -- the search index ----------------------------------------------------------------------------------------------

    def index(self) -> Iterator[Finding]:
        """Derived: what is wrong there is no loss."""
        try:
            found = [str(text) for (text,) in self._ask(f"PRAGMA integrity_check({_INDEX})")]
            if self._ask(_RUNS, self._state.key)[0][0]:
                found.append("it has runs of messages that are not there")
        except CorruptBranchError as error:
            found = [error.reason]
        problem = "; ".join(text for text in found if text != "ok")
        if problem:
            yield self._finding("the search index", problem, "warning", advice=_REBUILD)


def _is_message(line: bytes) -> bool:
    try:
        codec.decode(line)
    except ValueError:
        return False
    return True
