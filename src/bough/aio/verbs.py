"""The verbs of :mod:`bough.manager`, awaited, with the signatures that they have there (tests hold the two in step).

Each does one thing: it hands the verb to a thread, as one that only looks or as one that may wait for a lock. Their
documentation is that of the verbs themselves.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from datetime import timedelta
from itertools import islice
from typing import Any, Literal, TypeVar, cast

from bough import imports, turns
from bough.aio.calls import Calls
from bough.attributes import Tag
from bough.branch import BranchTree, ConversationBranch, Messages, Undone
from bough.diff import Diff, Twin
from bough.hits import SearchHits
from bough.manager import Align
from bough.manager.upkeep import Checkup
from bough.merge import Strategy
from bough.merge.result import MergeResult, Origin
from bough.merge.three_way import Resolve
from bough.model import Finding, History, Message, Operation, Piece, Version
from bough.retention import GarbageReport, PurgeReport
from bough.revisions import HEAD, Revision
from bough.stats import Stats

T = TypeVar("T")

_BLOCK = 64
"""How many operations are read at a time."""


def _unheard(done: int, total: int) -> None:
    pass


def _untold(finding: Finding) -> None:
    pass


class Verbs(Calls):
    """See :class:`bough.aio.manager.AsyncConversationBranchManager`."""

    # -- looking ---------------------------------------------------------------------------------------------------

    def get_current_branch_id(self) -> str:
        return self._sync.get_current_branch_id()

    async def get_current_branch(self) -> ConversationBranch:
        return await self._look(self._sync.get_current_branch)

    async def get_messages(
        self,
        branch_id: str | None = None,
        *,
        start: int = 0,
        stop: int | None = None,
        for_provider: turns.Provider | None = None,
        repair: bool = False,
    ) -> list[Message]:
        return await self._look(
            self._sync.get_messages, branch_id, start=start, stop=stop, for_provider=for_provider, repair=repair
        )

    async def get_all_branches(
        self, *, labels: Collection[str] = (), archived: bool | None = None
    ) -> list[ConversationBranch]:
        return await self._look(self._sync.get_all_branches, labels=labels, archived=archived)

    async def get_branch_tree(self) -> list[BranchTree]:
        return await self._look(self._sync.get_branch_tree)

    async def get_branch_history(self, branch_id: str) -> list[ConversationBranch]:
        return await self._look(self._sync.get_branch_history, branch_id)

    async def format_branches(self) -> str:
        return await self._look(self._sync.format_branches)

    async def format_branch_tree(self) -> str:
        return await self._look(self._sync.format_branch_tree)

    async def search(
        self,
        query: str,
        *,
        session: str | None = None,
        branch: str | None = None,
        everywhere: bool = False,
        limit: int | None = 20,
    ) -> SearchHits:
        return await self._look(
            self._sync.search, query, session=session, branch=branch, everywhere=everywhere, limit=limit
        )

    async def resolve(self, revision: str) -> Revision:
        return await self._look(self._sync.resolve, revision)

    async def resolve_range(self, revision: str) -> tuple[Revision, Revision]:
        return await self._look(self._sync.resolve_range, revision)

    async def read_messages(self, pieces: History) -> list[Message]:
        return await self._look(self._sync.read_messages, pieces)

    async def diff(self, before: str, after: str = HEAD) -> Diff:
        return await self._look(self._sync.diff, before, after)

    async def twins(self, diff: Diff) -> tuple[Twin, ...]:
        return await self._look(self._sync.twins, diff)

    async def check(self, revision: str = HEAD, *, provider: turns.Provider | None = None) -> list[turns.TurnProblem]:
        return await self._look(self._sync.check, revision, provider=provider)

    async def stats(self, progress: Callable[[int, int], object] = _unheard) -> Stats:
        return await self._look(self._sync.stats, progress)

    async def origin(self, revision: str = HEAD) -> Origin:
        return await self._look(self._sync.origin, revision)

    # -- messages --------------------------------------------------------------------------------------------------

    async def add_message(self, message: Mapping[str, Any]) -> Version:
        return await self._write(self._sync.add_message, message)

    async def add_messages(self, messages: Iterable[Mapping[str, Any]]) -> Version:
        return await self._write(self._sync.add_messages, _gone_through(messages))

    async def set_messages(self, messages: Iterable[Mapping[str, Any]], *, expected: Version | None = None) -> Version:
        return await self._write(self._sync.set_messages, _gone_through(messages), expected=expected)

    async def edit_message(self, index: int, message: Mapping[str, Any], *, branch_id: str | None = None) -> Version:
        return await self._write(self._sync.edit_message, index, message, branch_id=branch_id)

    async def remove_messages(self, start: int, stop: int | None = None, *, branch_id: str | None = None) -> Version:
        return await self._write(self._sync.remove_messages, start, stop, branch_id=branch_id)

    async def reset(self, to: int | str, *, align: Align | None = None) -> Version:
        return await self._write(self._sync.reset, to, align=align)

    async def repair(
        self,
        branch_id: str | None = None,
        *,
        provider: turns.Provider | None = None,
        how: Literal["complete", "remove"] = "complete",
    ) -> turns.Repaired:
        return await self._write(self._sync.repair, branch_id, provider=provider, how=how)

    # -- branches --------------------------------------------------------------------------------------------------

    async def create_branch(
        self, branch_id: str, name: str, parent_id: str | None = None, parent_message_index: int | None = None
    ) -> ConversationBranch:
        return await self._write(self._sync.create_branch, branch_id, name, parent_id, parent_message_index)

    async def fork(self, name: str) -> ConversationBranch:
        return await self._write(self._sync.fork, name)

    async def fork_from_message(
        self, name: str, message_index: int, *, align: Align | None = None
    ) -> ConversationBranch:
        return await self._write(self._sync.fork_from_message, name, message_index, align=align)

    async def fork_from(self, name: str, revision: str, *, align: Align | None = None) -> ConversationBranch:
        return await self._write(self._sync.fork_from, name, revision, align=align)

    async def checkout(self, branch_id: str) -> ConversationBranch:
        return await self._write(self._sync.checkout, branch_id)

    async def delete_branch(self, branch_id: str) -> None:
        await self._write(self._sync.delete_branch, branch_id)

    async def deleted_branches(self) -> dict[str, Operation]:
        return await self._look(self._sync.deleted_branches)

    async def restore_branch(self, branch_id: str, as_id: str | None = None) -> ConversationBranch:
        return await self._write(self._sync.restore_branch, branch_id, as_id)

    async def rename_branch(self, branch_id: str, new_name: str) -> ConversationBranch:
        return await self._write(self._sync.rename_branch, branch_id, new_name)

    async def set_branch_metadata(
        self, values: Mapping[str, Any], *, branch_id: str | None = None
    ) -> ConversationBranch:
        return await self._write(self._sync.set_branch_metadata, values, branch_id=branch_id)

    async def import_branches(
        self, branches: Iterable[imports.IncomingBranch], *, metadata: Mapping[str, Any] | None = None
    ) -> imports.ImportResult:
        return await self._write(self._sync.import_branches, _gone_through(branches), metadata=metadata)

    # -- merging ---------------------------------------------------------------------------------------------------

    async def merge(
        self,
        source_branch_id: str,
        strategy: str | Strategy = "append",
        *,
        preview: bool = False,
        align: Align | None = None,
    ) -> MergeResult:
        call = self._look if preview else self._write
        return await call(self._sync.merge, source_branch_id, strategy, preview=preview, align=align)

    async def cherry_pick(self, *revisions: str, align: Align | None = None) -> Version:
        return await self._write(self._sync.cherry_pick, *revisions, align=align)

    async def revert(self, operation: int, resolve: Resolve | None = None) -> int | None:
        return await self._write(self._sync.revert, operation, resolve)

    # -- the log ---------------------------------------------------------------------------------------------------

    async def operations(self, branch_id: str | None = None) -> AsyncIterator[Operation]:
        found = self._sync.operations(branch_id)
        while block := await self._look(list, islice(found, _BLOCK)):
            for operation in block:
                yield operation

    async def undo(self, operation: int | None = None) -> Undone:
        return await self._write(self._sync.undo, operation)

    async def redo(self) -> Undone:
        return await self._write(self._sync.redo)

    # -- upkeep ----------------------------------------------------------------------------------------------------

    async def tags(self) -> dict[str, Tag]:
        return await self._look(self._sync.tags)

    async def tag(self, name: str, revision: str = HEAD) -> Tag:
        return await self._write(self._sync.tag, name, revision)

    async def untag(self, name: str) -> None:
        await self._write(self._sync.untag, name)

    async def session_metadata(self) -> dict[str, Any]:
        return await self._look(self._sync.session_metadata)

    async def set_session_metadata(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return await self._write(self._sync.set_session_metadata, values)

    async def fsck(self, *, repair: bool = False, tell: Callable[[Finding], object] = _untold) -> Checkup:
        call = self._write if repair else self._look
        return await call(self._sync.fsck, repair=repair, tell=tell)

    async def gc(
        self,
        *,
        keep: timedelta | None = None,
        keep_operations: int | None = None,
        unreachable: bool = False,
        dry_run: bool = False,
    ) -> GarbageReport:
        call = self._look if dry_run and not unreachable else self._write  # which waits for other writers
        return await call(
            self._sync.gc, keep=keep, keep_operations=keep_operations, unreachable=unreachable, dry_run=dry_run
        )

    async def purge(self, *revisions: str | Piece, dry_run: bool = False) -> PurgeReport:
        call = self._look if dry_run else self._write
        return await call(self._sync.purge, *revisions, dry_run=dry_run)


def _gone_through(given: Iterable[T]) -> Iterable[T]:
    """A list of what the program's own code yields, on the program's own thread. A branch's messages are read in the
    other thread instead."""
    return cast("Iterable[T]", given) if isinstance(given, Messages) else list(given)
