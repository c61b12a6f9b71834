"""ConversationBranchManager: the verbs of a conversation with branches. The only writer.

1. A verb is one commit to the store: all or nothing, and durable when it returns. Appends are no operations; every
   other change is one, and can be undone.
2. A read shows what everyone has committed. Nothing is cached that another process could have changed.
3. The current branch is HEAD when the manager opens; afterwards only the manager's own verbs move it, so that another
   terminal's ``switch`` never redirects a running agent.
4. A verb that finds its branch moved reads again and starts over. Only ``set_messages`` refuses, where it would
   overwrite messages that its caller has not seen.
5. Events are sent after the change is durable.
6. A manager may be used by several threads. It never holds a lock of its own while it waits for the store.

What it deliberately does not do: keep messages (stores do), compute with histories (:mod:`bough.changes`,
:mod:`bough.merge`, :mod:`bough.undo`, :mod:`bough.imports`), draw (:mod:`bough.render`).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

from bough import changes, codec, history, imports, render, undo
from bough.branch import MAIN, BranchTree, ConversationBranch, MergeResult, Undone, grow_trees, line_of_descent
from bough.errors import (
    BranchExistsError,
    BranchMovedError,
    CorruptBranchError,
    InvalidRequestError,
    ProtectedBranchError,
    SessionNotFoundError,
)
from bough.events import Event, EventName, Handler
from bough.hits import SearchHits, find
from bough.merge import STRATEGIES
from bough.model import BranchRecord, Change, Commit, Drop, Message, Operation, SessionState, Version
from bough.session import Session
from bough.stores import open_store
from bough.stores.base import Store, check_id

DEFAULT_SESSION = "default"
MAIN_NAME = "Main conversation"


class ConversationBranchManager:
    """One session and its branches.

    ``store`` is a store, a URL or path for :func:`bough.stores.open_store`, or None for the default one. A store that
    the manager opened is closed by :meth:`close`; one that was given is left open. A session that is new is made, with
    a branch ``main``; with ``create=False`` nothing is written and ``SessionNotFoundError`` is raised instead.

    Every verb that is given a branch id raises ``InvalidIdError`` where it cannot be one, ``BranchNotFoundError`` where
    there is none, and ``CorruptBranchError`` where its document cannot be read. Every change may raise
    ``SessionLockedError`` and ``StoreUnavailableError``, and an ``ExceptionGroup`` of what event handlers raised (the
    change is done then).
    """

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

    # -- looking ---------------------------------------------------------------------------------------------------

    def get_current_branch_id(self) -> str:
        """The branch that messages are added to."""
        return self._current

    def get_current_branch(self) -> ConversationBranch:
        """The branch that messages are added to, as it is now."""
        return self._session.branch(self._session.saw(self._session.record(self._current)))

    def get_messages(self, branch_id: str | None = None, *, start: int = 0, stop: int | None = None) -> list[Message]:
        """Fresh copies of ``messages[start:stop]`` of a branch, the current one if None; costs what it returns."""
        record = self._session.saw(self._session.record(self._current if branch_id is None else branch_id))
        first, last, _ = slice(start, stop).indices(record.length)
        return self.store.read(self.session_id, history.cut(record.history, first, max(first, last)))

    def get_all_branches(self) -> list[ConversationBranch]:
        """Every branch that can be read, the newest change first."""
        records = sorted(self._session.load().branches.values(), key=lambda record: record.id)
        records.sort(key=lambda record: (record.updated_at, record.operation), reverse=True)
        return self._session.branches(records)

    def get_branch_tree(self) -> list[BranchTree]:
        """The branches by parent: each exactly once, also where parents are unknown or go round in a circle."""
        return grow_trees(self.get_all_branches())

    def get_branch_history(self, branch_id: str) -> list[ConversationBranch]:
        """The branches from the root to ``branch_id``."""
        check_id(branch_id)
        state = self._session.load()
        self._session.find(state, branch_id)
        branches = {branch.id: branch for branch in self._session.branches(state.branches.values())}
        return line_of_descent(branches, branch_id)

    def format_branches(self) -> str:
        """The branches as text, one a line, ``*`` before the current one."""
        return render.format_branches(self.get_all_branches(), self._current)

    def format_branch_tree(self) -> str:
        """The tree of branches as text, ``*`` behind the current one."""
        return render.format_branch_tree(self.get_branch_tree(), self._current)

    def search(
        self,
        query: str,
        *,
        session: str | None = None,
        branch: str | None = None,
        everywhere: bool = False,
        limit: int | None = 20,
    ) -> SearchHits:
        """The messages that hold what ``query`` asks for (:func:`bough.search.parse`), the newest first.

        In this session, in another ``session``, in one ``branch`` of either, or ``everywhere``: in all sessions of the
        store. A message is one hit, however many branches hold it. ``limit`` None gives all. What is damaged hides no
        hit elsewhere: it stands in the ``findings`` of what is returned. ``InvalidRequestError`` names the place where
        the query cannot be understood; ``SessionNotFoundError``.
        """
        if everywhere and (session is not None or branch is not None):
            raise InvalidRequestError("everywhere is not in one session or branch", hint="leave one of them out")
        session_id = None if everywhere else self.session_id if session is None else session
        return find(self.store, query, session_id=session_id, branch_id=branch, limit=limit)

    # -- messages --------------------------------------------------------------------------------------------------

    def add_message(self, message: Mapping[str, Any]) -> Version:
        """Appends one message to the current branch. Returns the branch's version. ``InvalidMessageError``."""
        return self._session.append(self._current, [codec.encode(message)])

    def add_messages(self, messages: Iterable[Mapping[str, Any]]) -> Version:
        """Appends several messages as one change, all or none. Without any, nothing is written."""
        lines = codec.encode_all(messages)
        branch_id = self._current
        return self._session.append(branch_id, lines) if lines else self._session.record(branch_id).version

    def set_messages(self, messages: Iterable[Mapping[str, Any]], *, expected: Version | None = None) -> Version:
        """Makes ``messages`` the current branch's messages; what is equal at both ends keeps its identity.

        Refused with ``BranchMovedError`` if the branch is not at ``expected``; without it, if the branch's messages are
        others than this manager last read or wrote. Returns the branch's version.
        """
        wanted = list(messages)
        branch_id = self._current

        def plan(state: SessionState) -> Change | None:
            record = self._session.find(state, branch_id)
            self._session.check_seen(record, expected)
            put = changes.put_messages(record, self.store.read(self.session_id, record.history), wanted)
            return changes.change("set", put) if put else None

        state, commit = self._session.write(plan, only=[branch_id])
        return self._session.saw((commit or state).branches[branch_id]).version

    # -- branches --------------------------------------------------------------------------------------------------

    def create_branch(
        self, branch_id: str, name: str, parent_id: str | None = None, parent_message_index: int | None = None
    ) -> ConversationBranch:
        """A new branch with the parent's first ``parent_message_index`` messages, all of them if None; no switch.

        Without a parent it is empty. ``BranchExistsError``; ``InvalidRequestError`` for an index outside 0..length.
        """
        check_id(branch_id)
        changes.check_name(name)
        if parent_id is None and parent_message_index is not None:
            raise InvalidRequestError("an index into the parent needs a parent")

        def plan(state: SessionState) -> Change:
            parent = None if parent_id is None else self._session.find(state, parent_id)
            return changes.change("create", changes.put_new(branch_id, name, parent, parent_message_index))

        state, commit = self._session.write(plan, only=[] if parent_id is None else [check_id(parent_id)])
        self._session.announce(commit)
        return self._session.branch((commit or state).branches[branch_id])

    def fork(self, name: str) -> ConversationBranch:
        """A new branch with all messages of the current one, and a switch to it. The id is made from the name."""
        return self._fork(name, None)

    def fork_from_message(self, name: str, message_index: int) -> ConversationBranch:
        """Like :meth:`fork`, with the first ``message_index`` messages. ``InvalidRequestError`` outside 0..length."""
        return self._fork(name, message_index)

    def _fork(self, name: str, message_index: int | None) -> ConversationBranch:
        changes.check_name(name)
        source = self._current
        new_id = changes.free_id(name, ())

        def plan(state: SessionState) -> Change:
            put = changes.put_new(new_id, name, self._session.find(state, source), message_index)
            return changes.change("fork", put, head=new_id)

        while True:
            try:
                state, commit = self._session.write(plan, only=[source])
                break
            except (BranchExistsError, CorruptBranchError) as error:
                if error.branch_id != new_id:
                    raise
                everything = self._session.load()
                unread = {finding.branch_id or "" for finding in everything.findings}
                new_id = changes.free_id(name, {new_id, *everything.branches, *unread})
        record = (commit or state).branches[new_id]
        self._current = new_id
        self._session.announce(
            commit,
            Event("branch:checkout", {"from": source, "to": new_id}),
            Event(
                "branch:forked",
                {"from": source, "to": new_id, "name": name, "message_index": record.parent_message_index},
            ),
        )
        return self._session.branch(record)

    def checkout(self, branch_id: str) -> ConversationBranch:
        """Makes ``branch_id`` the current branch, and HEAD of the session."""
        check_id(branch_id)

        def plan(state: SessionState) -> Change | None:
            self._session.find(state, branch_id)
            if state.head == branch_id:
                return None
            # A delete is an operation, so the branch is still there when HEAD comes to name it.
            return changes.change("checkout", head=branch_id, after_operation=state.last_operation)

        state, commit = self._session.write(plan, only=[branch_id])
        record = self._session.saw(state.branches[branch_id])
        self._session.announce(commit, *self._move_to(branch_id))
        return self._session.branch(record)

    def merge(self, source_branch_id: str, strategy: str = "append") -> MergeResult:
        """Merges a branch into the current one by a strategy of :mod:`bough.merge`.

        ``InvalidRequestError`` for an unknown strategy and for a merge into itself. Where nothing changes there is no
        operation and no event.
        """
        if strategy not in STRATEGIES:
            raise InvalidRequestError(f"no strategy {strategy!r}", hint=f"the strategies are {', '.join(STRATEGIES)}")
        target = self._current
        if check_id(source_branch_id) == target:
            raise InvalidRequestError(f"branch {target!r} cannot be merged into itself")

        def plan(state: SessionState) -> Change | None:
            record = self._session.find(state, target)
            source = self._session.find(state, source_branch_id)
            merged = STRATEGIES[strategy](record.history, source.history)
            if merged == record.history:
                return None
            detail = {
                "source": source_branch_id,
                "strategy": strategy,
                "source_history": [list(piece) for piece in source.history],
            }
            return changes.change("merge", changes.put_again(record, history=merged), detail=detail)

        state, commit = self._session.write(plan, only=[target, source_branch_id])
        before = state.branches[target].history
        after = (commit or state).branches[target].history
        if commit:
            payload = {"source": source_branch_id, "target": target, "strategy": strategy}
            self._session.announce(commit, Event("branch:merged", payload))
        return MergeResult(
            source=source_branch_id,
            target=target,
            strategy=strategy,
            added=history.length(history.subtract(after, before)),
            removed=history.length(history.subtract(before, after)),
            operation=_number(commit),
        )

    def delete_branch(self, branch_id: str) -> None:
        """Deletes a branch; if it was the current one, main is that now. Children keep all their messages.

        ``ProtectedBranchError`` for main.
        """
        if check_id(branch_id) == MAIN:
            raise ProtectedBranchError(MAIN)

        def plan(state: SessionState) -> Change:
            record = self._session.find(state, branch_id)
            head = MAIN if state.head == branch_id else None
            return changes.change("delete", drops=(Drop(branch_id=branch_id, expected=record.version),), head=head)

        _, commit = self._session.write(plan, only=[branch_id])
        self._session.announce(commit, *self._move_to(MAIN if self._current == branch_id else self._current))

    def rename_branch(self, branch_id: str, new_name: str) -> ConversationBranch:
        """Gives a branch another name: any non-empty string of at most 512 bytes of UTF-8 (``InvalidRequestError``)."""
        check_id(branch_id)
        changes.check_name(new_name)

        def plan(state: SessionState) -> Change | None:
            record = self._session.find(state, branch_id)
            return (
                None if record.name == new_name else changes.change("rename", changes.put_again(record, name=new_name))
            )

        state, commit = self._session.write(plan, only=[branch_id])
        self._session.announce(commit)
        return self._session.branch((commit or state).branches[branch_id])

    def undo(self) -> Undone:
        """Takes the session's last operation back; what was appended since stays, behind what that restores.

        ``NothingToUndoError``; ``BranchMovedError`` where a branch was changed otherwise since. Sends the events of
        what it makes, drops and renames.
        """
        refused: tuple[Operation, SessionState] | None = None
        while True:
            newest, target = undo.find_target(self.store.operations(self.session_id))
            state = self._session.load(only=undo.branches_of(target))
            if refused == (newest, state):
                raise BranchMovedError(self.session_id, self._current, "does not agree with the log of operations")
            refused = newest, state
            if state.last_operation != newest.number:
                continue  # another operation came between the two looks
            change = undo.invert(target, state)
            try:
                commit = self.store.commit(self.session_id, change)
                break
            except (BranchMovedError, BranchExistsError):
                continue
        self._session.wrote(commit)
        is_gone = self._current in commit.before and self._current not in commit.branches
        head = commit.operation.head_after if commit.operation else None
        follows = target.head_before != target.head_after or is_gone
        self._session.announce(commit, *self._move_to(head or MAIN if follows else self._current))
        return Undone(
            operation=target.number,
            kind=target.kind,
            at=target.at,
            branch_ids=tuple(entry.id for entry in target.branches),
        )

    def import_branches(self, branches: Iterable[imports.IncomingBranch]) -> imports.ImportResult:
        """Brings branches in as one operation, sharing what they share; what is there already is not stored again.

        See :mod:`bough.imports`. ``InvalidRequestError`` where a branch of one of the ids holds another conversation.
        """
        incoming = list(branches)
        imports.check_incoming(incoming)
        lines = {key: codec.encode_found(message) for branch in incoming for key, message in branch.messages}

        def plan(state: SessionState) -> Change | None:
            present = {name: (record, self._read_lines(record)) for name, record in state.branches.items()}
            puts = imports.plan_import(incoming, lines, present)
            return changes.change("import", *puts) if puts else None

        while True:
            try:
                state, commit = self._session.write(plan, only=[check_id(branch.id) for branch in incoming])
                break
            except BranchExistsError:
                continue  # another process made one of them meanwhile
        self._session.announce(commit)
        after = (commit or state).branches
        return imports.ImportResult(
            branches=len(after.keys() - state.branches.keys()),
            messages=sum(record.tip.next for record in after.values())
            - sum(state.branches[name].tip.next for name in after.keys() & state.branches.keys()),
            operation=_number(commit),
        )

    def _read_lines(self, record: BranchRecord) -> list[bytes]:
        return [codec.encode_found(message) for message in self.store.read(self.session_id, record.history)]

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


def _number(commit: Commit | None) -> int | None:
    return commit.operation.number if commit and commit.operation else None
