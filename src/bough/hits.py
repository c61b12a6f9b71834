"""What a search found, as a manager hands it out.

1. A message is one hit, however many branches hold it.
2. A hit was in its session when the search got there; one that no branch holds any more when it is looked at is left
   out.
3. What could not be searched is told beside the hits, and hides none.

What it deliberately does not do: decide what matches and in which order (:mod:`bough.search`, the stores).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bough import history
from bough.errors import BranchNotFoundError, CorruptBranchError, InvalidRequestError, SessionNotFoundError
from bough.model import BranchRecord, Finding, Message, Piece, SessionState
from bough.search import Found, Query, parse, snippet, text_of
from bough.stores.base import Store, check_id


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """A message that matches.

    ``branches`` says at which index (from 0) each branch holds it: first the branch that was searched, then HEAD, then
    the newest change. ``snippet`` is one line of the message's text around the first match, ``matches`` are the matches
    in it, as (start, stop). ``segment`` and ``position`` are the message's identity in its session.
    """

    session_id: str
    branches: Mapping[str, int]
    message: Message
    snippet: str
    matches: tuple[tuple[int, int], ...]
    segment: str
    position: int

    @property
    def branch_id(self) -> str:
        """The first of ``branches``."""
        return next(iter(self.branches))

    @property
    def index(self) -> int:
        """Where that branch holds the message."""
        return self.branches[self.branch_id]


class SearchHits(list[SearchHit]):
    """The hits; ``findings`` is what could not be searched, as far as the search went."""

    def __init__(self, hits: Iterable[SearchHit] = (), findings: Iterable[Finding] = ()) -> None:
        super().__init__(hits)
        self.findings = tuple(findings)


def find(
    store: Store,
    query: str,
    *,
    session_id: str | None = None,
    branch_id: str | None = None,
    limit: int | None = None,
) -> SearchHits:
    """The newest ``limit`` hits in a branch of a session, in a session, or in all of a store.

    ``InvalidRequestError`` for a query that cannot be understood and for a branch without a session;
    ``SessionNotFoundError``, ``BranchNotFoundError``, ``CorruptBranchError`` where what is named cannot be searched.
    """
    wanted = parse(query)
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
        raise InvalidRequestError(f"a limit is a number of hits, not {limit!r}", hint="None is no limit")
    _check_there(store, session_id, branch_id)
    hits: list[SearchHit] = []
    findings: dict[Finding, None] = {}
    session, records = "", list[BranchRecord]()
    entries = store.search(wanted, session_id=session_id, branch_id=branch_id) if limit != 0 else iter(())
    for entry in entries:
        if isinstance(entry, Finding):
            findings[entry] = None
            continue
        try:
            if session != entry.session_id:  # loaded after the search has come to it: not older than the hits
                session, records = entry.session_id, _preferred(store.load(entry.session_id), branch_id)
            hit = _hit(store, records, wanted, entry, branch_id)
        except CorruptBranchError as error:
            findings[Finding(place=error.place, problem=error.reason, branch_id=error.branch_id or None)] = None
            continue
        if hit is not None:
            hits.append(hit)
        if len(hits) == limit:
            break
    return SearchHits(hits, findings)


def _check_there(store: Store, session_id: str | None, branch_id: str | None) -> None:
    if session_id is None:
        if branch_id is not None:
            raise InvalidRequestError("a branch is searched in one session", hint="name the session, or no branch")
        return
    check_id(session_id)
    state = store.load(session_id, only=None if branch_id is None else [check_id(branch_id)])
    if branch_id is not None and branch_id not in state.branches:
        raise BranchNotFoundError(session_id, branch_id)
    if not state.branches and not state.findings:
        raise SessionNotFoundError(session_id)


def _preferred(state: SessionState, branch_id: str | None) -> list[BranchRecord]:
    """The branches in the order of :class:`SearchHit`."""
    records = sorted(state.branches.values(), key=lambda record: record.id)
    records.sort(key=lambda record: (record.updated_at, record.operation), reverse=True)
    records.sort(key=lambda record: (record.id != branch_id, record.id != state.head))
    return records


def _hit(
    store: Store, records: Iterable[BranchRecord], query: Query, found: Found, branch_id: str | None
) -> SearchHit | None:
    places = {record.id: history.index_of(record.history, found.segment, found.position) for record in records}
    branches = {name: index for name, index in places.items() if index is not None}
    if not branches or (branch_id is not None and branch_id not in branches):
        return None
    identity = Piece(found.segment, found.position, found.position + 1)
    [message] = store.read(found.session_id, (identity,))
    shown = snippet(text_of(message), query)
    return SearchHit(
        session_id=found.session_id,
        branches=MappingProxyType(branches),
        message=message,
        snippet=shown.text,
        matches=shown.matches,
        segment=found.segment,
        position=found.position,
    )
