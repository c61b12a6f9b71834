"""The values that pass between the layers. All are frozen, none does I/O.

They are msgspec's structs, not dataclasses: a frozen dataclass of eleven fields takes thirteen times as long to make
(1.6 µs), and listing or appending makes little else. ``replace`` is theirs. Of records there may be many at a time; the
garbage collector need not look at them, for no cycle can lead through one.

Times are aware datetimes in UTC with millisecond precision (that is what the files carry); they are shown to people,
never compared to decide anything. Order comes from operation numbers and positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias

from msgspec import Struct
from msgspec.structs import replace as replace

Message: TypeAlias = dict[str, Any]
"""One JSON object, kept exactly as given."""


class Piece(NamedTuple):
    """A run of messages of one segment: positions ``start`` (inclusive) to ``stop`` (exclusive)."""

    segment: str
    start: int
    stop: int


History: TypeAlias = tuple[Piece, ...]
"""The messages of a branch, in order; normalised: no empty piece, no two adjacent pieces that could be one."""


class Tip(NamedTuple):
    """The end of the one segment to which a branch appends. ``next`` never goes down and is never reused."""

    segment: str
    next: int


class Edit(NamedTuple):
    """A message that took the place of another, which is the first wording: an edit of an edit names the same one.

    To merges and comparisons both are one message (:mod:`bough.edits`).
    """

    segment: str
    position: int
    original_segment: str
    original_position: int


class Version(NamedTuple):
    """Names one state of one branch: (number of the last operation on it, messages in it). It never repeats."""

    operation: int
    length: int


EMPTY: Mapping[str, Any] = MappingProxyType({})


class BranchRecord(Struct, frozen=True, kw_only=True, gc=False):
    """What a store knows of one branch, without its messages.

    ``parent_id`` and ``parent_message_index`` (exclusive index into the parent) are for people and other programs;
    nothing is computed from them. ``extra`` holds keys of the document that Bough does not know, in their order.
    ``edits`` are those of the messages in ``history`` that took another's place, in ascending order.
    """

    id: str
    name: str
    history: History
    tip: Tip
    created_at: datetime
    updated_at: datetime
    operation: int = 0
    parent_id: str | None = None
    parent_message_index: int | None = None
    metadata: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = EMPTY
    edits: tuple[Edit, ...] = ()

    @property
    def length(self) -> int:
        total = 0
        for _, start, stop in self.history:
            total += stop - start
        return total

    @property
    def version(self) -> Version:
        return Version(self.operation, self.length)

    def appended(self, count: int, at: datetime) -> BranchRecord:
        """The record after ``count`` messages were put behind its tip."""
        history, (segment, start) = self.history, self.tip
        if history and history[-1].segment == segment and history[-1].stop == start:
            grown = (*history[:-1], Piece(segment, history[-1].start, start + count))
        else:
            grown = (*history, Piece(segment, start, start + count)) if count else history
        return replace(self, history=grown, tip=Tip(segment, start + count), updated_at=at)


Severity: TypeAlias = Literal["note", "warning", "error"]
"""``error``: something is damaged or missing. ``warning``: nothing is lost yet, or it is not sure. ``note``: worth
knowing."""


class Finding(Struct, frozen=True, kw_only=True):
    """Something in a session that is not as it should be and did not stop the rest from working.

    ``advice`` says what to do. ``history`` names messages that are damaged or that nothing reaches; with
    ``unreachable`` those that no branch and no operation has or ever had, as an import that was killed leaves them.
    ``rescued`` are the messages, encoded, that can still be read of a branch that cannot be opened.
    """

    place: str
    problem: str
    branch_id: str | None = None
    severity: Severity = "error"
    advice: str = ""
    history: History = ()
    unreachable: bool = False
    rescued: Sequence[bytes] = ()


class SessionState(Struct, frozen=True, kw_only=True):
    """A whole, consistent state of one session. ``last_operation`` is 0 where nothing was ever numbered.

    ``attributes`` is what was set for the session as a whole (:mod:`bough.attributes`): JSON values only.
    """

    session_id: str
    head: str | None
    branches: Mapping[str, BranchRecord]
    last_operation: int = 0
    attributes: Mapping[str, Any] = EMPTY
    findings: tuple[Finding, ...] = ()


class BranchChange(Struct, frozen=True, kw_only=True):
    """One branch before and after an operation; None where it did not or does not exist."""

    id: str
    before: BranchRecord | None
    after: BranchRecord | None


class Operation(Struct, frozen=True, kw_only=True):
    """The numbered record of one change other than an append. Numbers start at 1 and never restart in a session.

    ``kind`` is the verb: ``init create fork checkout merge set edit remove reset cherry-pick revert repair rename
    describe tag untag delete restore import salvage undo redo gc purge external-edit``. ``detail`` is what the verb was
    told (JSON values only). ``attributes`` are those of the session before and after, where the operation set them.
    ``freed`` are the messages that it gave up, ``erased`` whether their bytes had to go too.
    """

    number: int
    id: str
    kind: str
    at: datetime
    pid: int
    hostname: str
    head_before: str | None
    head_after: str | None
    branches: tuple[BranchChange, ...] = ()
    detail: Mapping[str, Any] = EMPTY
    user: str = ""
    attributes: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None
    freed: History = ()
    erased: bool = False


class Append(Struct, frozen=True, kw_only=True):
    """New messages for the end of one branch, wherever that end is by then. Not an operation.

    ``messages`` are encoded by :func:`bough.codec.encode`. One append is one change: all of it or nothing.
    """

    branch_id: str
    messages: Sequence[bytes]


class Put(Struct, frozen=True, kw_only=True):
    """A branch as it shall be.

    ``expected`` is the version at which it was last seen, None for a branch that must not exist yet. ``messages`` are
    new ones; they take the positions ``expected tip .. record.tip.next`` of the record's own tip segment, and
    ``record.history`` already refers to them. The store sets ``record.operation``.
    """

    record: BranchRecord
    expected: Version | None
    messages: Sequence[bytes] = ()


class Drop(Struct, frozen=True, kw_only=True):
    """A branch that shall not be any more, with the version at which it was last seen."""

    branch_id: str
    expected: Version


class Change(Struct, frozen=True, kw_only=True):
    """One operation to be committed: every put and drop, and HEAD, or nothing.

    ``id`` is unique to the change. ``head`` None leaves HEAD where it is. ``after_operation``, where given, is the
    number that must still be the session's last one (undo builds on the whole log, not on one branch).

    ``attributes``, where given, replace those of the session. ``free`` are messages that are given up for good: no
    branch holds one of them afterwards (``InvalidRequestError``), and reading one raises ``CorruptBranchError``; their
    positions are not given out again. The store may keep the bytes until it is convenient to drop them, but with
    ``erase`` no byte of them is left in any of its files when the commit returns, as far as other programs that are
    reading let go of theirs.
    """

    id: str
    kind: str
    puts: tuple[Put, ...] = ()
    drops: tuple[Drop, ...] = ()
    head: str | None = None
    detail: Mapping[str, Any] = EMPTY
    after_operation: int | None = None
    attributes: Mapping[str, Any] | None = None
    free: History = ()
    erase: bool = False


class Graft(Struct, frozen=True, kw_only=True):
    """A step in the life of a session of another store, taken over as it was (:mod:`bough.copying`): all or nothing.

    ``runs`` are messages of any segment, each a piece with its encoded lines: they stand at just those positions
    afterwards, whether or not anything refers to them, in any order and with gaps. Where one stands there already it
    must be the same (``CorruptBranchError``).

    ``puts`` (without messages of their own) and ``drops`` expect versions as in a :class:`Change`; a record goes in as
    it is, its ``operation`` and ``updated_at`` too, and every message of its history is there or among ``runs``
    (``CorruptBranchError``).

    ``operation`` goes into the log as it is, and HEAD to its ``head_after``. Its number is greater than that of the
    session's last one (``BranchMovedError``), though numbers may skip where the other log lost some. ``puts`` and
    ``drops`` are then of its branches: each ``after`` is put, and what has none is dropped where it is there. The
    session's attributes become those after it, where it set them, and what it freed (or erased) is freed here. Without
    it nothing is numbered and HEAD stays; at most one branch is put or dropped then. ``last_operation`` is never below
    the ``operation`` of a branch.
    """

    runs: tuple[tuple[Piece, Sequence[bytes]], ...] = ()
    puts: tuple[Put, ...] = ()
    drops: tuple[Drop, ...] = ()
    operation: Operation | None = None


class Commit(Struct, frozen=True, kw_only=True):
    """What a commit did. For an append: ``before`` and ``branches[id]``; for the others ``operation`` too."""

    branches: Mapping[str, BranchRecord]
    before: Mapping[str, BranchRecord] = EMPTY
    operation: Operation | None = None


class LockInfo(Struct, frozen=True, kw_only=True):
    """Who holds a lock, as the lock file says: process id, milliseconds since the epoch, host name."""

    pid: int
    timestamp: int
    hostname: str
