"""What all verbs share: the open session, the current branch, how revisions are read and one branch is changed.

Opening is here too: which branch a manager begins with.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from bough import changes, codec, edits, history, turns
from bough.attributes import tags_of
from bough.branch import MAIN, MAIN_NAME, Messages
from bough.errors import (
    BranchExistsError,
    BranchMovedError,
    CorruptBranchError,
    InvalidIdError,
    InvalidRequestError,
    SessionNotFoundError,
)
from bough.events import Event, EventName, Handler
from bough.model import BranchRecord, Change, Commit, History, Message, Operation, Put, SessionState
from bough.revisions import HEAD, Names, Revision, split_range, splits
from bough.session import Session
from bough.stores import open_store
from bough.stores.base import Store, check_id

DEFAULT_SESSION = "default"

Align: TypeAlias = Literal["back", "forward"]
"""To which side a cut inside a group of messages that belong together (a tool call and its results) is moved."""


class Base:
    """See :class:`bough.manager.ConversationBranchManager`."""

    def __init__(
        self, session_id: str | None = None, *, store: Store | str | os.PathLike[str] | None = None, create: bool = True
    ) -> None:
        self.session_id = check_id(DEFAULT_SESSION if session_id is None else session_id)
        self._own_store: Store | None = None
        if store is None or isinstance(store, str | os.PathLike):
            store = self._own_store = open_store(store)
        self._session = Session(store, self.session_id)
        try:
            self._current = self._open(create=create)
        except BaseException:
            self.close()
            raise

    def _open(self, *, create: bool) -> str:
        record = self._find_head()
        return self._session.saw(record).id if record else self._open_by_all(create=create)

    def _find_head(self) -> BranchRecord | None:
        """HEAD's branch, or main where there is no HEAD; None where either cannot be read, or main is not there."""
        try:
            state = self._session.load(only=[MAIN])
            if state.head is None or MAIN not in state.branches:
                return state.branches.get(MAIN)
            return self._session.load(only=[state.head]).branches.get(state.head)
        except CorruptBranchError:
            return None

    def _open_by_all(self, *, create: bool) -> str:
        """As :meth:`_find_head` cannot: makes the session or its main, or looks for the next best branch."""
        while True:
            state = self._session.load()
            unread = {finding.branch_id for finding in state.findings}
            is_new = not state.branches and not state.findings
            if is_new and state.last_operation:
                self._check_dropped()
            if is_new and not create:
                raise SessionNotFoundError(self.session_id)
            if not create or MAIN in state.branches or MAIN in unread:
                break
            init = changes.change("init", changes.put_new(MAIN, MAIN_NAME), head=MAIN if is_new else None)
            try:
                self.store.commit(self.session_id, init)
            except (BranchExistsError, BranchMovedError):
                continue  # another process made it first
        current = _starting_branch(state, unread)
        if current in state.branches:
            self._session.saw(state.branches[current])
        return current

    def _check_dropped(self) -> None:
        """``CorruptBranchError`` where the log of a session without branches says that there are some."""
        dropped: set[str] = set()
        for operation in self.store.operations(self.session_id):
            for entry in operation.branches:
                if entry.after is not None and entry.id not in dropped:
                    place, reason = f"session {self.session_id!r}", "the documents of this session are gone"
                    error = CorruptBranchError(place, reason, session_id=self.session_id)
                    error.hint = (
                        "`bough fsck --repair` puts what can still be read into new branches; where that is nothing, "
                        f"`bough sessions delete {self.session_id}` sets the session aside"
                    )
                    raise error
                dropped.add(entry.id)

    def close(self) -> None:
        """Ends the work; closes the store if the manager opened it. Twice is harmless."""
        self._session.close()
        if self._own_store is not None:
            self._own_store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def store(self) -> Store:
        """Where the session lives. ``StoreUnavailableError`` once the manager is closed."""
        return self._session.store

    def lock(self) -> AbstractContextManager[object]:
        """Holds the session: other writers wait until the context ends, readers never do; this thread's commits go
        through."""
        return self.store.lock(self.session_id)

    # -- events ----------------------------------------------------------------------------------------------------

    def on(self, event: EventName, handler: Handler) -> None:
        """Calls ``handler`` with a dict after each such event. ``InvalidRequestError`` for an unknown event."""
        self._session.events.add(event, handler, once=False)

    def once(self, event: EventName, handler: Handler) -> None:
        """Like :meth:`on`, for the next such event only."""
        self._session.events.add(event, handler, once=True)

    def off(self, event: EventName, handler: Handler) -> None:
        """Takes the handler back. Harmless where it was not registered."""
        self._session.events.remove(event, handler)

    # -- for the verbs ---------------------------------------------------------------------------------------------

    def resolve(self, revision: str) -> Revision:
        """What a revision names (:mod:`bough.revisions`). ``RevisionNotFoundError``, ``AmbiguousRevisionError``,
        ``CorruptBranchError``."""
        return self._resolver(self._session.load(only=self._ids(revision)))(revision)

    def resolve_range(self, revision: str) -> tuple[Revision, Revision]:
        """The two sides of ``A..B``; of a revision that is no range, what comes before its last message and itself.

        What is exactly the id of a branch or a tag is no range, though it hold dots."""
        return self._resolve_range(revision, few=self._few(revision))

    def _few(self, revision: str, *more: str) -> SessionState:
        """The branches that a revision or a range names if its parts are ids, and some more."""
        ids = self._ids(revision, *(side for sides in splits(revision) for side in sides))
        return self._session.load(only=ids | set(more))

    def _resolve_range(self, revision: str, *, few: SessionState) -> tuple[Revision, Revision]:
        resolve = self._resolver(few)
        if ".." in revision and revision not in few.branches and revision not in tags_of(few.attributes):
            return split_range(revision, resolve)
        found = resolve(revision)
        kept = history.cut(found.history, 0, max(0, history.length(found.history) - 1))
        return Revision(text=revision, history=kept, edits=edits.kept(kept, found.edits)), found

    def _resolver(self, few: SessionState) -> Callable[[str], Revision]:
        """Resolves revisions. All branches are loaded only where one is not exactly the id of a branch of ``few``."""
        everything: list[Names] = []

        def resolve(revision: str) -> Revision:
            found = few.branches.get(revision)
            if found is None and revision in (HEAD, "@"):
                found = few.branches.get(self._current)
            if found is not None:
                return Revision(text=revision, history=found.history, edits=found.edits, branch_id=found.id)
            if not everything:
                everything.append(self._names(self._session.load()))
            return everything[0].resolve(revision)

        return resolve

    def _ids(self, *revisions: str) -> set[str]:
        """The branches that revisions name if they are ids."""
        ids = {self._current} if {HEAD, "@"} & set(revisions) else set()
        for revision in revisions:
            with suppress(InvalidIdError):
                ids.add(check_id(revision))
        return ids

    def _names(self, state: SessionState) -> Names:
        def operations() -> Iterator[Operation]:
            return self.store.operations(self.session_id)

        return Names(state=state, current=self._current, operations=operations)

    def _change_branch(
        self,
        kind: str,
        branch_id: str | None,
        plan: Callable[[BranchRecord], Put | None],
        detail: Callable[[BranchRecord], dict[str, Any]] = lambda _: {},
        seen: SessionState | None = None,
    ) -> tuple[BranchRecord, Commit | None]:
        """Commits what ``plan`` makes of one branch, the current one if None. The branch afterwards."""
        wanted = self._current if branch_id is None else check_id(branch_id)

        def change(state: SessionState) -> Change | None:
            record = self._session.find(state, wanted)
            put = plan(record)
            return None if put is None else changes.change(kind, put, detail=detail(record))

        state, commit = self._session.write(change, only=[wanted], seen=seen)
        return (commit or state).branches[wanted], commit

    def read_messages(self, pieces: History) -> list[Message]:
        """Fresh copies of the messages of a history, such as a revision's or a diff's. ``CorruptBranchError``."""
        return self.store.read(self.session_id, pieces)

    def _aligned(self, pieces: History, index: int, align: Align | None) -> int:
        """``index``, moved to where no group of messages is cut in two if that is asked for."""
        if align is None or not 0 < index < history.length(pieces):
            return index
        if align not in ("back", "forward"):
            raise InvalidRequestError(f"{align!r} is no side to align to", hint="back or forward")
        return turns.align(Messages(self.store, self.session_id, pieces), index, align)

    def _read_lines(self, record: BranchRecord, start: int = 0, stop: int | None = None) -> list[bytes]:
        """The messages of a branch, or some of them, encoded."""
        pieces = record.history if stop is None else history.cut(record.history, start, stop)
        return [codec.encode_found(message) for message in self.store.read(self.session_id, pieces)]

    def _move_to(self, branch_id: str) -> list[Event]:
        previous, self._current = self._current, branch_id
        return [] if previous == branch_id else [Event("branch:checkout", {"from": previous, "to": branch_id})]


def _starting_branch(state: SessionState, unread: Collection[str | None]) -> str:
    """HEAD, else main, else the branch changed last. What is there and cannot be read counts: messages that were meant
    for it must not go to another branch instead."""
    for candidate in (state.head, MAIN):
        if candidate is not None and (candidate in state.branches or candidate in unread):
            return candidate
    newest = max(state.branches.values(), key=lambda record: (record.updated_at, record.operation), default=None)
    return newest.id if newest else MAIN


def number_of(commit: Commit | None) -> int | None:
    return commit.operation.number if commit and commit.operation else None
