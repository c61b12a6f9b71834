"""What every store promises.

1. ``commit`` is the only way to write. It is all or nothing, durable when it returns (with ``durability="full"``), and
   refused with ``BranchMovedError`` when a branch is no longer at the version that the change expects of it.
2. A reader never waits for a writer and sees a whole state: the one before a commit or the one after.
3. A message keeps its identity (segment, position) for ever; a position is never given out twice.
4. ``read`` gives the messages of any history that a branch has or had, also one of a deleted branch.
5. Operation numbers of a session begin at 1, rise by 1 and never restart. (A copy of a session has the numbers that
   the other store's log had, which may skip where that was damaged.)
6. A method may be called from several threads.
7. ``search`` finds the same in every store, in an order that follows from the branches.
8. What a change frees is what no branch holds; it cannot be read any more, nor can a branch come to hold it again.

:mod:`bough.testing` proves these of a store. A store deliberately knows no verbs: what a merge or an undo is stands in
:mod:`bough.manager`, once for all stores.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Literal, Protocol, TypeAlias

from bough.codec import now, time_text
from bough.errors import InvalidIdError, InvalidRequestError
from bough.history import subtract
from bough.model import (
    Append,
    BranchChange,
    BranchRecord,
    Change,
    Commit,
    Finding,
    Graft,
    History,
    Message,
    Operation,
    SessionState,
)
from bough.search import Found, Query

Durability: TypeAlias = Literal["full", "lazy"]
"""``full``: on the disk when a commit returns. ``lazy``: handed to the operating system, which may lose it in a power
failure (not in a crash of the process)."""


class Store(Protocol):
    """Where sessions live. See the numbered promises above."""

    @property
    def url(self) -> str:
        """What :func:`bough.stores.open_store` takes to open this store again."""
        ...

    def sessions(self, *, deleted: bool = False) -> list[str]:
        """The ids of all sessions, sorted; with ``deleted`` the ids under which :meth:`move` keeps what was deleted."""
        ...

    def move(self, session_id: str, new_id: str | None) -> str:
        """Gives a session another id, and returns that; branches, histories and operations are untouched.

        None sets it aside: it is no session any more, and kept under the id that is returned, ``<id>@<time>``, which is
        among ``sessions(deleted=True)`` until ``move`` of that id brings it back. Raises ``SessionNotFoundError`` where
        ``session_id`` is neither a session nor the id of one set aside, ``InvalidRequestError`` where ``new_id`` is a
        session already, ``InvalidIdError``, ``SessionLockedError``, ``StoreUnavailableError``.

        A writer that waited meanwhile finds the session gone; it never writes to what was moved.
        """
        ...

    def load(self, session_id: str, *, only: Collection[str] | None = None) -> SessionState:
        """The branches (all, or those of ``only`` that exist), HEAD and what was found wrong; no messages are read.

        A session that does not exist is a state without HEAD and branches, and nothing is made for it. A branch of
        ``only`` whose document cannot be read raises ``CorruptBranchError``; without ``only`` it is a finding.
        """
        ...

    def read(self, session_id: str, history: History) -> list[Message]:
        """Fresh copies of the messages of a history. ``CorruptBranchError`` where one is nowhere to be found."""
        ...

    def commit(self, session_id: str, change: Append | Change | Graft) -> Commit:
        """Write one change (promise 1); makes the session if it is new.

        Raises ``BranchNotFoundError`` (append to what is not there), ``BranchExistsError`` (a put with ``expected``
        None of what is there), ``BranchMovedError``, ``SessionLockedError``, ``StoreUnavailableError``,
        ``CorruptBranchError``.
        """
        ...

    def operations(self, session_id: str) -> Iterator[Operation]:
        """The operations of a session, newest first, read as far as they are asked for."""
        ...

    def search(
        self, query: Query, *, session_id: str | None = None, branch_id: str | None = None
    ) -> Iterator[Found | Finding]:
        """The messages that match and that some branch holds, each once, found as far as they are asked for.

        In all sessions: the one with the newest ``updated_at`` of a branch first, then by id. In one session: in the
        order of :func:`bough.stores.scan.newest_first`. In one branch of a session: from its end. What does not exist
        holds nothing. A message matches if ``query.matches(terms(text_of(message)))`` of :mod:`bough.search`.

        What cannot be read hides nothing else: it comes as a finding, once the search gets there. A search sees each
        session as it is when it gets there; what is committed meanwhile may be missing. It may keep an index of its
        own up to date, and waits for no writer to do so.
        """
        ...

    def verify(self, session_id: str) -> Iterator[Finding]:
        """Looks at every byte the store keeps of a session, and tells what is not as it should be, as it is found.

        Damaged, missing, moved or swapped messages (by digests where there are any), torn or unreadable files and rows,
        messages that nothing reaches, what is left over of unfinished work. Writes nothing, waits for no writer. What
        the histories mean is not looked at (:mod:`bough.fsck` does that for all stores). ``StoreUnavailableError``.
        """
        ...

    def lock(self, session_id: str) -> AbstractContextManager[object]:
        """Keeps other writers out until the context ends; commits of the same thread go through. Re-entrant.

        ``SessionNotFoundError`` where there is no session yet.
        """
        ...

    def close(self) -> None:
        """Releases files and connections. Twice is harmless; any other call afterwards raises
        ``StoreUnavailableError``."""
        ...


MAX_ID_BYTES = 512


def check_id(value: object) -> str:
    """``value`` if it can name a session or a branch, else ``InvalidIdError``."""
    if not isinstance(value, str):
        raise InvalidIdError(value, "not a string")
    if not value:
        raise InvalidIdError(value, "empty")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidIdError(value, "holds a lone surrogate") from None
    if size > MAX_ID_BYTES:
        raise InvalidIdError(value, f"{size} bytes of UTF-8, at most {MAX_ID_BYTES} are allowed")
    if "\0" in value:
        raise InvalidIdError(value, "holds U+0000")
    return value


def operation_of(
    change: Change,
    number: int,
    branches: Sequence[BranchChange],
    *,
    head: str | None,
    attributes: Mapping[str, Any],
) -> Operation:
    """The record of a change that this process commits now; ``head`` and ``attributes`` are those it finds."""
    return Operation(
        number=number,
        id=change.id,
        kind=change.kind,
        at=now(),
        pid=os.getpid(),
        hostname=socket.gethostname(),
        user=_user(),
        head_before=head,
        head_after=head if change.head is None else change.head,
        branches=tuple(branches),
        detail=change.detail,
        attributes=None if change.attributes is None else (attributes, change.attributes),
        freed=change.free,
        erased=change.erase,
    )


@cache
def _user() -> str:
    """Who runs this process; empty where the system does not say."""
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError, AttributeError):
        pass  # no POSIX, or a user without a name
    try:
        return os.getlogin()
    except OSError:
        return ""


def check_free(session_id: str, free: History, branches: Mapping[str, BranchRecord]) -> None:
    """``InvalidRequestError`` where one of ``branches`` holds a message that is to be given up."""
    for record in branches.values() if free else ():
        if subtract(free, record.history) != free:
            raise InvalidRequestError(f"branch {record.id!r} of session {session_id!r} still holds what is to be freed")


def kept_id(session_id: str, taken: Collection[str]) -> tuple[str, str]:
    """The id under which a deleted session is kept, ``<id>@<mark>`` no other's, and the mark: the present moment."""
    moment = mark = time_text(now())
    number = 1
    while (kept := kept_as(session_id, mark)) in taken:
        number += 1
        mark = f"{moment}~{number}"
    return kept, mark


def kept_as(session_id: str, mark: str) -> str:
    """``<id>@<mark>``; the id is cut where that would be too long for one."""
    room = MAX_ID_BYTES - len(mark) - 1
    return f"{session_id.encode()[:room].decode(errors='ignore')}@{mark}"


def session_exists(session_id: str) -> InvalidRequestError:
    """The refusal to move a session to where one is."""
    return InvalidRequestError(
        f"session {session_id!r} exists already", hint="choose another id, or rename that one first"
    )
