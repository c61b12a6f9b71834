"""Copying a session to another store, or under another id: the source's operations are done once more, one by one.

1. What is kept: messages and their identities, histories, operations with their numbers, ids and times, HEAD.
2. Each step is one commit of the destination (:class:`bough.model.Graft`). So a copy that was interrupted goes on where
   it was, and one that is made again brings what is new; where nothing is, nothing is written.
3. The source is only read. What others write to it meanwhile is left for the next time.
4. Only who made a segment appends to it: in the copy each branch has another tip segment, of a new id. Which one stands
   for which of the source's is read from both logs, never derived, for two copies of a session must not share one.
5. Before anything is written, all that both sides have is compared; a destination that has something of its own, or
   another message under the same identity, is refused (``BranchMovedError``). Afterwards all that was sent is compared.
6. A bounded number of messages is held at a time, however many a branch has.

Messages that the source itself has lost, and that no branch holds any more (another program deleted the file), are left
out: the operations that had them stay in the log, and an undo of those fails here as it does there. So are those that
the source gave up (gc, purge); where an earlier copy brought them, the operation that gave them up does so here too.

:mod:`.looking` is what is on either side, :mod:`.tips` rule 4, :mod:`.blocks` reads, :mod:`.steps` does the work.

What it deliberately does not do: merge two sessions that went different ways. Copy one under another id instead.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, closing

from bough.copying.blocks import Progress
from bough.copying.looking import Session, look
from bough.copying.steps import Copy, CopyResult, Done, RacedError
from bough.errors import InvalidRequestError
from bough.stores import open_store
from bough.stores.base import Store, check_id

__all__ = ["CopyResult", "Progress", "are_one", "copy_session"]


def copy_session(
    source: Store | str | os.PathLike[str],
    destination: Store | str | os.PathLike[str],
    session_id: str,
    *,
    new_id: str | None = None,
    progress: Progress | None = None,
) -> CopyResult:
    """Copies a session from one store to another (a store, or what :func:`bough.stores.open_store` takes).

    ``new_id`` is its id there, the same if None. Made again, it brings what is new. ``SessionNotFoundError``;
    ``CorruptBranchError`` where a branch of the source cannot be read, or the copy is not what was sent;
    ``BranchMovedError``, with nothing written, where the destination's session has something that the source's has not.
    """
    target = check_id(session_id if new_id is None else new_id)
    with ExitStack() as opened:
        stores: list[Store] = []
        for each in (source, destination):
            is_place = isinstance(each, str | os.PathLike)
            stores.append(opened.enter_context(closing(open_store(each))) if is_place else each)  # type: ignore[arg-type]
        if target == session_id and are_one(*stores):
            raise InvalidRequestError("a session cannot be copied onto itself", hint="give the copy another id")
        goal = look(stores[0], check_id(session_id))
        done = Done()
        refused: tuple[Session, RacedError] | None = None
        while True:
            present = look(stores[1], target, must_exist=False)
            if refused is not None and refused[0] == present:
                raise refused[1].error  # nobody was faster: a store that contradicts itself would keep us here for ever
            try:
                return Copy(stores[0], stores[1], goal, present, done, progress).run()
            except RacedError as error:
                refused = present, error


def are_one(left: Store, right: Store) -> bool:
    """Whether two stores are the same place."""
    if left is right or "memory:" in (left.url, right.url):
        return left is right
    return _place(left.url) == _place(right.url)


def _place(url: str) -> tuple[str, str]:
    scheme, _, path = url.partition(":")
    return scheme, os.path.realpath(path)
