"""What is exported: some branches of a session, with what they need to be understood, and a way to read them.

Guarantees:
1. Messages are read when they are asked for, a block at a time: a branch may be a million messages long.
2. A merge never brings along messages that were not asked for: one whose source is not among them is left out, unless
   everything was asked for. Nor is one that gc or purge gave up looked for.
3. A merge belongs to a beginning of a history, not to a branch: who forked behind it has it too. Where the messages it
   brought are gone (it was undone, the branch was reset) so is the merge. Picking messages is no merge, as everywhere.

What it deliberately does not do: write. It holds no message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from msgspec import Struct

from bough import attributes, history
from bough.branch import MAIN
from bough.diff import blocks
from bough.model import BranchRecord, History, Message, Operation, Piece, SessionState, replace
from bough.stores.base import Store

Read: TypeAlias = Callable[[History], Iterator[Message]]
"""Gives the messages of a history, in order. Each is fresh."""


class Merge(Struct, frozen=True, kw_only=True):
    """What the branch ``source`` held, ``brought``, came to the branch ``target``.

    ``before`` and ``after`` are beginnings of what is exported: without what the merge brought, and with it.
    """

    number: int
    at: datetime
    strategy: str
    source: str
    target: str
    brought: History
    before: History
    after: History


class Exported(Struct, frozen=True, kw_only=True):
    """The branches of a session that are exported, main first, then the oldest first.

    ``head`` is the branch to be shown first. ``metadata`` is the session's own, without its tags.
    """

    session_id: str
    head: str
    branches: tuple[BranchRecord, ...]
    read: Read
    title: str | None = None
    metadata: Mapping[str, Any] = {}
    tags: tuple[attributes.Tag, ...] = ()
    merges: tuple[Merge, ...] = ()

    @property
    def shown(self) -> BranchRecord:
        """The branch to be shown first."""
        return next((record for record in self.branches if record.id == self.head), self.branches[0])


def collect(
    store: Store, state: SessionState, *, head: str | None = None, chosen: Sequence[BranchRecord] | None = None
) -> Exported:
    """Branches of a session: all with all tags, or those ``chosen`` with the tags that stand on them."""
    records = state.branches.values() if chosen is None else chosen
    branches = tuple(sorted(records, key=lambda record: (record.id != MAIN, record.created_at, record.id)))
    histories = [record.history for record in branches]
    tags = [
        tag
        for tag in attributes.tags_of(state.attributes).values()
        if chosen is None or any(history.starts_with(each, tag.history) for each in histories)
    ]
    histories += [tag.history for tag in tags]
    metadata = attributes.plain(state.attributes)
    title = metadata.get("title")

    def read(pieces: History) -> Iterator[Message]:
        for block in blocks(pieces):
            yield from store.read(state.session_id, block)

    return Exported(
        session_id=state.session_id,
        head=head or state.head or MAIN,
        branches=branches,
        read=read,
        title=title if isinstance(title, str) and title else None,
        metadata=metadata,
        tags=tuple(tags),
        merges=tuple(_merges(store.operations(state.session_id), branches, histories, everything=chosen is None)),
    )


def _merges(
    operations: Iterable[Operation], branches: Sequence[BranchRecord], histories: list[History], *, everything: bool
) -> list[Merge]:
    """The merges that led to the histories, oldest first. To those the sources of merges are added."""
    present = {record.id: record.history for record in branches}
    found: list[Merge] = []
    freed: History = ()
    for operation in operations:
        freed = history.union(freed, operation.freed)
        source = _source_of(operation)
        for entry in operation.branches if source else ():
            if entry.before is None or entry.after is None or history.subtract(source, freed) != source:
                continue
            before, after = entry.before.history, entry.after.history
            ends = {after, _end_now(present.get(entry.id, ()), history.subtract(after, before))}
            for end in sorted(ends):
                held = any(history.starts_with(each, end) for each in histories)
                known = everything or any(history.starts_with(each, source) for each in histories)
                if end and held and known and not history.starts_with(end, source):
                    found.append(_merge(operation, entry.id, source, history.common_prefix(before, end), end))
                    histories.append(source)
    return found[::-1]


def _merge(operation: Operation, target: str, brought: History, before: History, after: History) -> Merge:
    return Merge(
        number=operation.number,
        at=operation.at,
        strategy=str(operation.detail.get("strategy", "append")),
        source=str(operation.detail.get("source", "")),
        target=target,
        brought=brought,
        before=before,
        after=after,
    )


def _source_of(operation: Operation) -> History:
    """What the source of a merge held; nothing where the operation is none."""
    if operation.kind != "merge" or operation.detail.get("strategy") == "pick":
        return ()
    return tuple(Piece(*piece) for piece in operation.detail.get("source_history", ()))


def _end_now(present: History, came: History) -> History:
    """The beginning of a history up to the last message that a merge brought."""
    left = history.subtract(present, history.subtract(present, came))
    if not left:
        return ()
    at = history.index_of(present, left[-1].segment, left[-1].stop - 1)
    return () if at is None else history.cut(present, 0, at + 1)


def without_metadata(talk: Exported) -> Exported:
    """The same without the key ``metadata`` of each message, which is where imports keep what is no message."""

    def read(pieces: History) -> Iterator[Message]:
        for message in talk.read(pieces):
            message.pop("metadata", None)
            yield message

    return replace(talk, read=read)


def heard(talk: Exported, hear: Callable[[int], object]) -> Exported:
    """The same, which tells now and then how many more messages were read."""

    def read(pieces: History) -> Iterator[Message]:
        for block in blocks(pieces):
            yield from talk.read(block)
            hear(history.length(block))

    return replace(talk, read=read)
