"""What is on either side: a session at one moment, and sets of messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from bough.attributes import tags_of
from bough.errors import CorruptBranchError, SessionNotFoundError
from bough.history import subtract, union
from bough.model import BranchRecord, History, Operation, SessionState
from bough.stores.base import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One session at one moment: its state, and the operations that led to it, oldest first."""

    state: SessionState
    operations: Sequence[Operation]

    @property
    def id(self) -> str:
        return self.state.session_id

    @property
    def live(self) -> History:
        """All messages that a branch or a tag has."""
        tags = tags_of(self.state.attributes).values()
        return union(*(record.history for record in self.state.branches.values()), *(tag.history for tag in tags))

    @property
    def freed(self) -> History:
        """All messages that were given up, by the log."""
        return union(*(operation.freed for operation in self.operations))

    @property
    def everything(self) -> History:
        """All messages that a branch or a tag has, or had by the log, and that were not given up."""
        found = Messages(self.live)
        for operation in self.operations:
            found.add(*histories_of(operation))
        return Messages(self.freed).lacks(found.all)


class Messages:
    """A set of messages that grows, at a cost that depends on the segments that it is asked for."""

    def __init__(self, history: History) -> None:
        self._runs: dict[str, History] = {}
        self.add(history)

    @property
    def all(self) -> History:
        return tuple(piece for segment in sorted(self._runs) for piece in self._runs[segment])

    def add(self, *histories: History) -> None:
        for segment, pieces in groupby(union(*histories), key=attrgetter("segment")):
            self._runs[segment] = union(self._runs.get(segment, ()), tuple(pieces))

    def lacks(self, *histories: History) -> History:
        """What of the histories is not among them, each message once."""
        wanted = union(*histories)
        held = (piece for segment in {each.segment for each in wanted} for piece in self._runs.get(segment, ()))
        return subtract(wanted, tuple(held))


def look(store: Store, session_id: str, *, must_exist: bool = True) -> Session:
    state = store.load(session_id)
    for finding in state.findings:
        if finding.branch_id is None or finding.branch_id not in state.branches:
            raise CorruptBranchError(
                finding.place, finding.problem, session_id=session_id, branch_id=finding.branch_id or ""
            )
    operations = [each for each in store.operations(session_id) if each.number <= state.last_operation]
    if must_exist and not state.branches and not operations:
        raise SessionNotFoundError(session_id)
    return Session(state=state, operations=operations[::-1])


def records_of(operation: Operation) -> Iterator[BranchRecord]:
    for change in operation.branches:
        if change.before is not None:
            yield change.before
        if change.after is not None:
            yield change.after


def histories_of(operation: Operation) -> Iterator[History]:
    """The histories of the branches and tags that an operation speaks of."""
    for record in records_of(operation):
        yield record.history
    for attributes in operation.attributes or ():
        for tag in tags_of(attributes).values():
            yield tag.history
