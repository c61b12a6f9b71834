"""The values that pass between the layers. All are frozen, none does I/O.

Times are aware datetimes in UTC with millisecond precision (that is what the files carry); they are shown to people,
never compared to decide anything. Order comes from operation numbers and positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

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


class Version(NamedTuple):
    """Names one state of one branch: (number of the last operation on it, messages in it). It never repeats."""

    operation: int
    length: int


EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchRecord:
    """What a store knows of one branch, without its messages.

    ``parent_id`` and ``parent_message_index`` (exclusive index into the parent) are for people and other programs;
    nothing is computed from them. ``extra`` holds keys of the document that Bough does not know, in their order.
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
    extra: Mapping[str, Any] = field(default_factory=lambda: EMPTY)

    @property
    def length(self) -> int:
        return sum(piece.stop - piece.start for piece in self.history)

    @property
    def version(self) -> Version:
        return Version(self.operation, self.length)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something in a session that is not as it should be and did not stop the rest from working."""

    place: str
    problem: str
    branch_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionState:
    """A whole, consistent state of one session. ``last_operation`` is 0 where nothing was ever numbered."""

    session_id: str
    head: str | None
    branches: Mapping[str, BranchRecord]
    last_operation: int = 0
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchChange:
    """One branch before and after an operation; None where it did not or does not exist."""

    id: str
    before: BranchRecord | None
    after: BranchRecord | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """The numbered record of one change other than an append. Numbers start at 1 and never restart in a session.

    ``kind`` is the verb (``init create fork checkout merge set rename delete undo import external-edit``),
    ``detail`` what the verb was told (JSON values only).
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
    detail: Mapping[str, Any] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """New messages for the end of one branch, wherever that end is by then. Not an operation.

    ``messages`` are encoded by :func:`bough.codec.encode`. One append is one change: all of it or nothing.
    """

    branch_id: str
    messages: Sequence[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """A branch as it shall be.

    ``expected`` is the version at which it was last seen, None for a branch that must not exist yet. ``messages`` are
    new ones; they take the positions ``expected tip .. record.tip.next`` of the record's own tip segment, and
    ``record.history`` already refers to them. The store sets ``record.operation``.
    """

    record: BranchRecord
    expected: Version | None
    messages: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """A branch that shall not be any more, with the version at which it was last seen."""

    branch_id: str
    expected: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One operation to be committed: every put and drop, and HEAD, or nothing.

    ``id`` is unique to the change. ``head`` None leaves HEAD where it is. ``after_operation``, where given, is the
    number that must still be the session's last one (undo builds on the whole log, not on one branch).
    """

    id: str
    kind: str
    puts: tuple[Put, ...] = ()
    drops: tuple[Drop, ...] = ()
    head: str | None = None
    detail: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    after_operation: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What a commit did. For an append: ``before`` and ``branches[id]``; for a change: ``operation`` too."""

    branches: Mapping[str, BranchRecord]
    before: Mapping[str, BranchRecord] = field(default_factory=dict)
    operation: Operation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LockInfo:
    """Who holds a lock, as the lock file says: process id, milliseconds since the epoch, host name."""

    pid: int
    timestamp: int
    hostname: str
