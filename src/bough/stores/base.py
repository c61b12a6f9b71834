"""What every store promises.

1. ``commit`` is the only way to write. It is all or nothing, durable when it returns (with ``durability="full"``), and
   refused with ``BranchMovedError`` when a branch is no longer at the version that the change expects of it.
2. A reader never waits for a writer and sees a whole state: the one before a commit or the one after.
3. A message keeps its identity (segment, position) for ever; a position is never given out twice.
4. ``read`` gives the messages of any history that a branch has or had, also one of a deleted branch.
5. Operation numbers of a session begin at 1, rise by 1 and never restart.
6. A method may be called from several threads.

:mod:`bough.testing` proves these of a store. A store deliberately knows no verbs: what a merge or an undo is stands in
:mod:`bough.manager`, once for all stores.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from typing import Literal, Protocol, TypeAlias

from bough.errors import InvalidIdError
from bough.model import Append, Change, Commit, History, Message, Operation, SessionState

Durability: TypeAlias = Literal["full", "lazy"]
"""``full``: on the disk when a commit returns. ``lazy``: handed to the operating system, which may lose it in a power
failure (not in a crash of the process)."""


class Store(Protocol):
    """Where sessions live. See the numbered promises above."""

    @property
    def url(self) -> str:
        """What :func:`bough.stores.open_store` takes to open this store again."""
        ...

    def sessions(self) -> list[str]:
        """The ids of all sessions, sorted."""
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

    def commit(self, session_id: str, change: Append | Change) -> Commit:
        """Write one change (promise 1); makes the session if it is new.

        Raises ``BranchNotFoundError`` (append to what is not there), ``BranchExistsError`` (a put with ``expected``
        None of what is there), ``BranchMovedError``, ``SessionLockedError``, ``StoreUnavailableError``,
        ``CorruptBranchError``.
        """
        ...

    def operations(self, session_id: str) -> Iterator[Operation]:
        """The operations of a session, newest first, read as far as they are asked for."""
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
