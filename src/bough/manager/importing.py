"""The verb that brings conversations of other programs in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from bough import attributes, changes, history, imports
from bough.errors import BoughError, BranchExistsError, BranchMovedError, CorruptBranchError
from bough.imports.known import Log
from bough.manager.base import Base, number_of
from bough.model import BranchChange, Commit, Graft, History, Message, Piece, Put, SessionState, Version, replace
from bough.stores.base import check_id, operation_of

BLOCK = 1000
"""How many messages are read at a time."""


class ImportVerbs(Base):
    """The verb of importing."""

    def import_branches(
        self, branches: Iterable[imports.IncomingBranch], *, metadata: Mapping[str, Any] | None = None
    ) -> imports.ImportResult:
        """Brings branches in as one operation, sharing what they share; what is there already is not stored again.

        See :mod:`bough.imports`: messages are read as they are needed, and not held. The session is locked meanwhile.
        ``metadata`` becomes the session's where it has none of the same key, if anything comes in.
        ``InvalidRequestError`` where a branch of one of the ids holds another conversation.
        """
        incoming = list(branches)
        imports.check_incoming(incoming)
        wanted = [check_id(branch.id) for branch in incoming]
        refused: SessionState | None = None
        with self.lock():
            while True:
                self._session.load(only=wanted)  # none of them is damaged
                state = self._session.load()
                sent: list[Piece] = []
                plan = imports.Plan(
                    state.branches,
                    wanted,
                    read=self._in_blocks,
                    send=partial(self._send, sent),
                    read_log=self._log_of_imports,
                )
                try:
                    for branch in incoming:
                        plan.add(branch)
                    puts = plan.puts()
                    commit = self._take_over(plan, puts, state, metadata or {}) if puts else None
                    if not puts:
                        self._give_up(sent)
                    break
                except BaseException as error:  # what went ahead is of no use any more
                    self._give_up(sent)
                    is_race = isinstance(error, BranchMovedError | BranchExistsError)  # with one that knows no lock
                    if not is_race or refused == state:
                        raise
                    refused = state
        self._session.announce(commit)
        return imports.ImportResult(
            branches=len(commit.branches.keys() - state.branches.keys()) if commit else 0,
            came=plan.came,
            messages=plan.messages,
            operation=number_of(commit),
        )

    def _take_over(
        self, plan: imports.Plan, wanted: Sequence[Put], state: SessionState, metadata: Mapping[str, Any]
    ) -> Commit:
        new = {key: value for key, value in metadata.items() if key not in state.attributes}
        updated = attributes.updated(state.attributes, new) if new else None
        change = changes.change("import", detail={"segment": plan.segment}, attributes=updated)
        number = state.last_operation + 1
        puts = tuple(replace(put, record=replace(put.record, operation=number)) for put in wanted)
        entries = [
            BranchChange(id=put.record.id, before=state.branches.get(put.record.id), after=put.record) for put in puts
        ]
        operation = operation_of(change, number, entries, head=state.head, attributes=state.attributes)
        commit = self.store.commit(self.session_id, Graft(runs=plan.rest(), puts=puts, operation=operation))
        commit = replace(commit, operation=operation)
        self._session.wrote(commit)
        return commit

    def _log_of_imports(self) -> Log:
        """What cannot be read of the log is taken for the user's doing."""
        segments: set[str] = set()
        ends: dict[str, Version] = {}
        with suppress(CorruptBranchError):
            for operation in self.store.operations(self.session_id):
                if operation.kind == "import":
                    segments.add(str(operation.detail.get("segment")))
                    for entry in operation.branches:
                        if entry.after is not None:
                            ends.setdefault(entry.id, entry.after.version)
        return Log(segments, ends)

    def _send(self, sent: list[Piece], piece: Piece, lines: Sequence[bytes]) -> None:
        sent.append(piece)
        self.store.commit(self.session_id, Graft(runs=((piece, lines),)))

    def _give_up(self, sent: Sequence[Piece]) -> None:
        with suppress(BoughError):  # what failed before is what the caller has to hear of
            if sent:
                self.store.commit(self.session_id, changes.change("gc", free=history.normalise(sent)))

    def _in_blocks(self, pieces: History) -> Iterator[Message]:
        for segment, start, stop in pieces:
            for at in range(start, stop, BLOCK):
                yield from self.store.read(self.session_id, (Piece(segment, at, min(at + BLOCK, stop)),))
