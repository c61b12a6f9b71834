"""The verbs that make, name, find and drop branches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from bough import attributes, changes, codec, history
from bough.branch import MAIN, ConversationBranch
from bough.errors import (
    BranchExistsError,
    BranchNotFoundError,
    CorruptBranchError,
    InvalidRequestError,
    ProtectedBranchError,
)
from bough.events import Event
from bough.manager.base import Align, Base
from bough.model import BranchRecord, Change, Drop, Operation, Put, SessionState, Tip, replace
from bough.stores.base import check_id


class BranchVerbs(Base):
    """The verbs of branches."""

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
        return self._fork_current(name, None)

    def fork_from_message(self, name: str, message_index: int, *, align: Align | None = None) -> ConversationBranch:
        """Like :meth:`fork`, with the first ``message_index`` messages. ``InvalidRequestError`` outside 0..length.

        ``align`` moves an index inside a tool call and its results to before (``back``) or behind (``forward``) them.
        """
        return self._fork_current(name, message_index, align)

    def fork_from(self, name: str, revision: str, *, align: Align | None = None) -> ConversationBranch:
        """Like :meth:`fork`, with the messages of any revision (:mod:`bough.revisions`). ``RevisionNotFoundError``.

        Its parent is the branch that the revision was found by, if that begins with those messages; else it has none.
        """
        found = self.resolve(revision)

        def put(state: SessionState, new_id: str) -> Put:
            parent = state.branches.get(found.branch_id or "")
            if parent is not None and history.starts_with(parent.history, found.history):
                index = self._aligned(parent.history, history.length(found.history), align)
                return changes.put_new(new_id, name, parent, index)
            new = changes.put_new(new_id, name)
            return replace(new, record=replace(new.record, history=found.history, edits=found.edits))

        return self._fork(name, found.branch_id, put, {"revision": revision})

    def _fork_current(self, name: str, message_index: int | None, align: Align | None = None) -> ConversationBranch:
        source = self._current

        def put(state: SessionState, new_id: str) -> Put:
            record = self._session.find(state, source)
            index = message_index if align is None else self._aligned(record.history, message_index or 0, align)
            return changes.put_new(new_id, name, record, index)

        return self._fork(name, source, put, {})

    def _fork(
        self,
        name: str,
        source: str | None,
        put: Callable[[SessionState, str], Put],
        detail: Mapping[str, Any],
    ) -> ConversationBranch:
        """Commits the ``put`` of a branch whose id is made from the name, and switches to it."""
        changes.check_name(name)
        previous = self._current
        new_id = changes.free_id(name, ())

        def plan(state: SessionState) -> Change:
            return changes.change("fork", put(state, new_id), head=new_id, detail=detail)

        while True:
            try:
                state, commit = self._session.write(plan, only=[] if source is None else [source])
                break
            except (BranchExistsError, CorruptBranchError) as error:
                everything = self._session.load()
                unread = {finding.branch_id or "" for finding in everything.findings}
                is_damaged = isinstance(error, CorruptBranchError) and new_id not in unread  # the messages, not the id
                if error.branch_id != new_id or is_damaged:
                    raise
                new_id = changes.free_id(name, {new_id, *everything.branches, *unread})
        record = (commit or state).branches[new_id]
        self._current = new_id
        self._session.announce(
            commit,
            Event("branch:checkout", {"from": previous, "to": new_id}),
            Event(
                "branch:forked",
                {"from": record.parent_id, "to": new_id, "name": name, "message_index": record.parent_message_index},
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

    def delete_branch(self, branch_id: str) -> None:
        """Deletes a branch; if it was the current one, main is that now. Children keep all their messages.

        ``ProtectedBranchError`` for main.
        """
        if check_id(branch_id) == MAIN:
            raise ProtectedBranchError(MAIN)

        def plan(state: SessionState) -> Change:
            record = self._session.find(state, branch_id)
            drop = Drop(branch_id=branch_id, expected=record.version)
            head = MAIN if state.head == branch_id else None
            # A checkout does not move the branch, so it would not be noticed that HEAD leads to it by now.
            return changes.change("delete", drops=(drop,), head=head, after_operation=state.last_operation)

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

    def deleted_branches(self) -> dict[str, Operation]:
        """The branches that :meth:`restore_branch` can bring back, each with the operation that dropped it last."""
        present = self._session.load().branches
        dropped: dict[str, Operation] = {}
        with suppress(CorruptBranchError):  # what is newer than the damage was given by then; fsck tells of it
            for operation in self.store.operations(self.session_id):
                for entry in operation.branches:
                    if entry.after is None and entry.before is not None and entry.id not in present:
                        dropped.setdefault(entry.id, operation)
        return dropped

    def restore_branch(self, branch_id: str, as_id: str | None = None) -> ConversationBranch:
        """Brings a branch back as it was when it was dropped last, under another id if that is given.

        ``BranchExistsError``; ``BranchNotFoundError`` where the log knows of none; ``InvalidRequestError`` where gc or
        purge has given its messages up.
        """
        check_id(branch_id)
        new_id = branch_id if as_id is None else check_id(as_id)
        before = self._dropped(branch_id)
        if new_id != branch_id:
            before = replace(before, id=new_id, tip=Tip(changes.new_id(), 0))

        def plan(state: SessionState) -> Change:
            if new_id in state.branches:
                raise BranchExistsError(self.session_id, new_id)
            return changes.change("restore", Put(record=before, expected=None), detail={"branch": branch_id})

        state, commit = self._session.write(plan, only=[new_id])
        self._session.announce(commit)
        return self._session.branch((commit or state).branches[new_id])

    def _dropped(self, branch_id: str) -> BranchRecord:
        gone = []
        for operation in self.store.operations(self.session_id):
            gone.append(operation.freed)
            for entry in operation.branches:
                if entry.id == branch_id and entry.after is None and entry.before is not None:
                    lost = history.length(entry.before.history) - history.length(
                        history.subtract(entry.before.history, history.union(*gone))
                    )
                    if lost:
                        raise InvalidRequestError(
                            f"{lost} messages of branch {branch_id!r} were given up by gc or purge"
                        )
                    return entry.before
        raise BranchNotFoundError(self.session_id, branch_id)

    def set_branch_metadata(self, values: Mapping[str, Any], *, branch_id: str | None = None) -> ConversationBranch:
        """Sets keys of a branch's metadata, the current one's if None; a value None removes the key.

        ``title`` (a string), ``labels`` (a list of strings) and ``archived`` (a boolean) are Bough's own; any other
        key is yours. ``InvalidRequestError``, ``InvalidMessageError`` for what JSON cannot say.
        """

        def plan(record: BranchRecord) -> Put | None:
            metadata = attributes.updated(record.metadata, values)
            if codec.dumps(metadata) == codec.dumps(dict(record.metadata or {})):
                return None
            return changes.put_again(record, metadata=metadata or None)

        record, _ = self._change_branch("describe", branch_id, plan, lambda _: {"keys": sorted(values)})
        return self._session.branch(record)
