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

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bough import codec, history
from bough.errors import CorruptBranchError
from bough.model import BranchRecord, Finding, History, Operation, Piece, Severity
from bough.stores.sqlite.connections import Connection, snapshot
from bough.stores.sqlite.gaps import Place
from bough.stores.sqlite.reading import damaged_attributes
from bough.stores.sqlite.rows import BRANCH, DAMAGED, OPERATION, to_operation, to_record
from bough.stores.sqlite.verify_segment import Reading, walk

_PAGE = 100
"""How many operations are fetched at a time."""
_TABLES = ("session", "branch", "segment", "gap", "operation", "search_run", "search_mark", "search_state")
"""What SQLite is asked to check: messages are read anyway."""
_INDEX = "search_index"

_SALVAGE = "`bough fsck --repair` puts what can be read into a new branch"
_COPY = "`bough copy` takes what can be read to another store"
_LOOK = "operations are lost: look at what the branch holds before you undo any"
_REBUILD = "nothing is lost: the index can be made from the messages; a `bough copy` to another file makes it anew"

_SESSION = (
    "SELECT key, erasing, CAST(attributes AS BLOB),"
    " max(operation_floor, coalesce((SELECT max(number) FROM operation o WHERE o.session = s.key), 0))"
    " FROM session s WHERE id = ? AND deleted_at IS NULL"
)
_SEGMENTS = "SELECT number, CAST(id AS BLOB), coalesce(CAST(next AS INTEGER), 0) FROM segment WHERE session = ?"
_GAPS = "SELECT segment, start, stop FROM gap WHERE session = ?"
_BRANCHES = (
    f"SELECT NULL, NULL, NULL, {BRANCH} FROM branch b"  # noqa: S608  (a constant)
    " LEFT JOIN segment g ON g.session = b.session AND g.number = b.tip WHERE b.session = ? ORDER BY b.id"
)
_OPERATIONS = (
    f"SELECT {OPERATION} FROM operation o WHERE o.session = ? AND o.number <= ?"  # noqa: S608  (a constant)
    " ORDER BY o.number DESC LIMIT ?"
)
_NEXT_SEGMENT = "SELECT segment FROM message WHERE session = ? AND segment > ? ORDER BY segment LIMIT 1"
_IS_NEW = "SELECT 1 FROM segment WHERE session = ? AND number = ?"
_PAYLOADS = (
    "SELECT CAST(payload AS BLOB) FROM message WHERE session = ? AND segment = ? AND payload IS NOT NULL"
    " ORDER BY position"
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
    if state is None:
        return
    looked = _Verifier(reading, path, state)
    yield from looked.tables()
    yield from looked.session()
    yield from looked.log()
    yield from looked.branches()
    yield from looked.logged()
    for number in sorted(state.segments):
        yield from looked.segment(number)
    yield from looked.strays()
    yield from looked.unreached()
    yield from looked.index()


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
        for row in connection.rows(_BRANCHES, place):
            name = (row[3] or b"?").decode(errors="replace")
            try:
                state.records[name] = to_record(row)
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
                yield self._finding(f"operations up to {upto}", error.reason, advice="they cannot be undone")
                return
            records: list[BranchRecord] = []
            for row in page:
                try:
                    operation = to_operation(row)
                except DAMAGED as error:
                    self._is_log_whole = False
                    problem = f"its row is damaged: {error}"
                    yield self._finding(f"operation {row[0]}", problem, advice="it cannot be undone, nor what is older")
                    continue
                records += self._note(operation)
            self._logged = history.union(self._logged, *(record.history for record in records))
            upto = page[-1][0] - 1 if page else 0

    def _note(self, operation: Operation) -> Iterator[BranchRecord]:
        self._freed = history.union(self._freed, operation.freed)
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
            yield self._finding("messages", problem, "note", advice="a gc may take them", history=rest)

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
        lines = [bytes(line) for (line,) in self._ask(_PAYLOADS, self._state.key, number) if _is_message(line)]
        owner = self._ask(_OWNER, self._state.key, number)
        return self._finding(
            f"segment number {number}",
            f"its row is missing: {len(lines)} messages are there that no history can name",
            branch_id=owner[0][0].decode(errors="replace") if owner else None,
            advice=_SALVAGE,
            rescued=lines,
        )

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
