"""One session of one store, as a manager works with it: finding branches, writing with another go, telling of it.

1. ``write`` asks for the change again whenever a branch moved under it; it ends when the change goes in, when the plan
   raises, or when the plan finds nothing to do. Only the progress of others makes it go round.
2. ``seen`` remembers the messages that this manager's caller knows of, branch by branch. A commit on top of something
   else than that leaves it as it is, so that the caller's next whole-list write is refused.
3. No lock is held while the store works.

What it deliberately does not do: know the verbs (:mod:`bough.manager`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from typing import TypeAlias

from bough.branch import ConversationBranch, branch_of
from bough.errors import (
    BoughError,
    BranchMovedError,
    BranchNotFoundError,
    CorruptBranchError,
    StoreUnavailableError,
)
from bough.events import Event, Events
from bough.model import Append, BranchRecord, Change, Commit, History, SessionState, Version
from bough.stores.base import Store, check_id

Plan: TypeAlias = Callable[[SessionState], Change | None]
"""What to commit, given the state; None for nothing. Raises where it must not be done."""


class Session:
    """See the module's docstring. May be used from several threads."""

    def __init__(self, store: Store, session_id: str) -> None:
        self.id = session_id
        self.events = Events()
        self._store = store
        self._closed = False
        self._seen: dict[str, History] = {}
        self._seen_lock = threading.Lock()

    @property
    def store(self) -> Store:
        """``StoreUnavailableError`` once the manager is closed."""
        if self._closed:
            raise StoreUnavailableError("the manager is closed")
        return self._store

    def close(self) -> None:
        self._closed = True

    def load(self, *, only: Collection[str] | None = None) -> SessionState:
        return self.store.load(self.id, only=only)

    def record(self, branch_id: str) -> BranchRecord:
        """The branch as it is now. ``InvalidIdError``, ``BranchNotFoundError``, ``CorruptBranchError``."""
        return self.find(self.load(only=[check_id(branch_id)]), branch_id)

    def find(self, state: SessionState, branch_id: str) -> BranchRecord:
        """The branch of a state. ``BranchNotFoundError``, ``CorruptBranchError``."""
        if branch_id in state.branches:
            return state.branches[branch_id]
        raise self._missing(state, branch_id)

    def branch(self, record: BranchRecord) -> ConversationBranch:
        return branch_of(self.store, self.id, record)

    def branches(self, records: Iterable[BranchRecord]) -> list[ConversationBranch]:
        store = self.store
        return [branch_of(store, self.id, record) for record in records]

    def append(self, branch_id: str, lines: list[bytes]) -> Version:
        commit = self.store.commit(self.id, Append(branch_id=branch_id, messages=lines))
        self.wrote(commit)
        return commit.branches[branch_id].version

    def write(
        self, plan: Plan, *, only: Collection[str] | None, seen: SessionState | None = None
    ) -> tuple[SessionState, Commit | None]:
        """Commits what ``plan`` makes of the branches ``only``; also gives the state that the plan was made for.

        ``seen`` is a state that was loaded just now, for the first go."""
        refused: tuple[SessionState, BranchMovedError | CorruptBranchError] | None = None
        while True:
            state, seen = self.load(only=only) if seen is None else seen, None
            if refused and refused[0] == state:
                raise refused[1]  # nobody moved it: a store that contradicts itself would keep us here for ever
            change = plan(state)
            if change is None:
                return state, None
            try:
                commit = self.store.commit(self.id, change)
            except (BranchMovedError, CorruptBranchError) as error:  # a gc may have taken what the plan refers to
                refused = state, error
                continue
            self.wrote(commit)
            return state, commit

    def saw(self, record: BranchRecord) -> BranchRecord:
        """The caller has been shown this state of the branch."""
        with self._seen_lock:
            self._seen[record.id] = record.history
        return record

    def wrote(self, commit: Commit) -> None:
        """The caller knows what it wrote, if it knew what that was written on."""
        with self._seen_lock:
            for branch_id, after in commit.branches.items():
                before = commit.before.get(branch_id)
                if before is None or self._seen.get(branch_id) == before.history:
                    self._seen[branch_id] = after.history

    def check_seen(self, record: BranchRecord, expected: Version | None) -> None:
        """``BranchMovedError`` if the branch is not at ``expected``; without it, if its messages were not seen yet."""
        if expected is None:
            with self._seen_lock:
                unmoved = self._seen.get(record.id) == record.history
        else:
            unmoved = record.version == expected
        if not unmoved:
            raise BranchMovedError(self.id, record.id)

    def announce(self, commit: Commit | None, *more: Event) -> None:
        """Sends the events of the branches that a commit made, dropped and renamed, then ``more``."""
        events: list[Event] = []
        for entry in commit.operation.branches if commit and commit.operation else ():
            if entry.before is None and entry.after is not None:
                payload = {"id": entry.id, "name": entry.after.name, "parent_id": entry.after.parent_id}
                events.append(Event("branch:created", payload))
            elif entry.after is None:
                events.append(Event("branch:deleted", {"id": entry.id}))
            elif entry.before is not None and entry.before.name != entry.after.name:
                events.append(Event("branch:renamed", {"id": entry.id, "name": entry.after.name}))
        self.events.send([*events, *more])

    def _missing(self, state: SessionState, branch_id: str) -> BoughError:
        for finding in state.findings:
            if finding.branch_id == branch_id:
                return CorruptBranchError(finding.place, finding.problem, session_id=self.id, branch_id=branch_id)
        return BranchNotFoundError(self.id, branch_id)
