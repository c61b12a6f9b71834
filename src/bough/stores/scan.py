"""Searching a store by reading its messages: for stores that keep no index.

1. A message is read once, however many branches hold it, and only a block of messages is held at a time.
2. Nothing is read before it is asked for, so a limit saves what lies behind it.
3. What cannot be read is a finding; the messages beside it are searched all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from bough import history
from bough.errors import CorruptBranchError, StoreUnavailableError
from bough.model import BranchRecord, Finding, History, Message, Piece
from bough.search import Found, Query, terms, text_of

if TYPE_CHECKING:
    from bough.stores.base import Store

BLOCK = 256
"""How many messages are held at a time."""


def newest_first(branches: Iterable[BranchRecord]) -> Iterator[Piece]:
    """The order of a search in one session, each message once; a piece is to be looked through from its end.

    The branch that was changed last from its end to its beginning, then what only the next one holds, and so on;
    branches in the order of ``get_all_branches``: ``updated_at`` and ``operation`` descending, then id.
    """
    records = sorted(branches, key=lambda record: record.id)
    records.sort(key=lambda record: (record.updated_at, record.operation), reverse=True)
    seen: dict[str, History] = {}  # by segment: what was given, ascending
    for record in records:
        for piece in reversed(record.history):
            given = seen.get(piece.segment, ())
            rest = history.subtract((piece,), given)
            yield from reversed(rest)
            seen[piece.segment] = history.normalise(sorted((*given, *rest)))


def scan(store: Store, query: Query, session_id: str | None, branch_id: str | None) -> Iterator[Found | Finding]:
    """What :meth:`bough.stores.base.Store.search` promises."""
    if session_id is not None:
        yield from _scan_session(store, query, session_id, branch_id)
        return
    for name in _sessions(store):
        try:
            yield from _scan_session(store, query, name, branch_id)
        except StoreUnavailableError as error:
            yield Finding(place=f"session {name}", problem=str(error))


def _sessions(store: Store) -> list[str]:
    """The sessions, the newest change first, then those of which that cannot be said."""
    dated: list[tuple[float, str]] = []
    undated: list[str] = []
    for name in store.sessions():
        try:
            times = [record.updated_at for record in store.load(name).branches.values()]
        except (CorruptBranchError, StoreUnavailableError):
            times = []  # it is met again when its turn comes, and told of then
        if times:
            dated.append((-max(times).timestamp(), name))
        else:
            undated.append(name)
    return [name for _, name in sorted(dated)] + undated


def _scan_session(store: Store, query: Query, session_id: str, branch_id: str | None) -> Iterator[Found | Finding]:
    try:
        state = store.load(session_id, only=None if branch_id is None else [branch_id])
    except CorruptBranchError as error:
        yield _finding(error)
        return
    yield from state.findings
    for piece in newest_first(state.branches.values()):
        yield from scan_piece(store, query, session_id, piece)


def scan_piece(store: Store, query: Query, session_id: str, piece: Piece) -> Iterator[Found | Finding]:
    """The messages of a piece that match, from its end."""
    segment, start, stop = piece
    for end in range(stop, start, -BLOCK):
        for entry in _read(store, session_id, Piece(segment, max(start, end - BLOCK), end)):
            if isinstance(entry, Finding):
                yield entry
            elif query.matches(terms(text_of(entry[1]))):
                yield Found(session_id, segment, entry[0])


def _read(store: Store, session_id: str, block: Piece) -> Iterator[tuple[int, Message] | Finding]:
    """The positions and messages of a block from its end, without those that cannot be read, of which it tells once."""
    segment, start, stop = block
    try:
        messages = store.read(session_id, (block,))
    except CorruptBranchError as error:
        yield _finding(error)
        for position in range(stop - 1, start - 1, -1):
            try:
                [message] = store.read(session_id, (Piece(segment, position, position + 1),))
            except CorruptBranchError:
                continue
            yield position, message
        return
    yield from zip(range(stop - 1, start - 1, -1), reversed(messages), strict=True)


def _finding(error: CorruptBranchError) -> Finding:
    return Finding(place=error.place, problem=error.reason, branch_id=error.branch_id or None)
