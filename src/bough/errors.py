"""Every error that Bough raises on purpose.

    BoughError
    ├── NotFoundError
    │   ├── SessionNotFoundError
    │   ├── BranchNotFoundError
    │   └── RevisionNotFoundError
    ├── BranchExistsError
    ├── InvalidIdError
    ├── InvalidMessageError
    ├── InvalidRequestError        (an index out of range, an unknown strategy …)
    │   ├── ProtectedBranchError
    │   ├── AmbiguousRevisionError
    │   ├── NothingToUndoError
    │   └── InvalidTurnsError      (messages that a provider would refuse)
    ├── MergeConflictError
    ├── BranchMovedError
    ├── SessionLockedError
    ├── CorruptBranchError
    ├── UnsupportedFormatError
    └── StoreUnavailableError

    RepairWarning                  (a UserWarning: something torn was mended)

Each carries the ids it speaks of as attributes, and a ``hint``: one line that says what to do next,
empty where there is nothing useful to say. ``InvalidRequestError`` and ``InvalidIdError`` are also ``ValueError``,
``NotFoundError`` is also ``LookupError``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bough.merge import Conflict
    from bough.model import LockInfo
    from bough.turns import TurnProblem


class BoughError(Exception):
    """Root of the tree. ``str(error)`` is the sentence for people, ``error.hint`` the advice."""

    hint: str = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        if hint:
            self.hint = hint


class NotFoundError(BoughError, LookupError):
    """Something that was named does not exist."""


class SessionNotFoundError(NotFoundError):
    """No such session in the store."""

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"no session {session_id!r}", hint="`bough sessions` lists what there is; the first `bough add` makes one"
        )
        self.session_id = session_id


class BranchNotFoundError(NotFoundError):
    """No such branch in the session."""

    def __init__(self, session_id: str, branch_id: str) -> None:
        super().__init__(
            f"no branch {branch_id!r} in session {session_id!r}", hint="`bough branch list` shows the branches"
        )
        self.session_id = session_id
        self.branch_id = branch_id


class RevisionNotFoundError(NotFoundError):
    """A revision (``main~3``, a tag, a message's id) that means nothing here."""

    def __init__(self, revision: str, reason: str) -> None:
        super().__init__(f"{revision!r}: {reason}", hint="`bough help revisions` says how a revision is written")
        self.revision = revision
        self.reason = reason


class BranchExistsError(BoughError):
    """A branch of that id is there already."""

    def __init__(self, session_id: str, branch_id: str) -> None:
        super().__init__(
            f"branch {branch_id!r} exists already in session {session_id!r}",
            hint="choose another id, or switch to it",
        )
        self.session_id = session_id
        self.branch_id = branch_id


class InvalidIdError(BoughError, ValueError):
    """A session or branch id that cannot be one (empty, over 512 UTF-8 bytes, U+0000, a lone surrogate)."""

    def __init__(self, value: object, reason: str) -> None:
        shown = repr(value)
        super().__init__(f"{shown if len(shown) <= 60 else shown[:57] + '…'} cannot be an id: {reason}")
        self.value = value
        self.reason = reason


class InvalidMessageError(BoughError, ValueError):
    """A message that JSON cannot say exactly. ``path`` leads to the place, e.g. ``.content[0].score``."""

    def __init__(self, path: str, reason: str, *, index: int | None = None) -> None:
        where = "message" if index is None else f"message {index}"
        super().__init__(f"{where}{path}: {reason}", hint="nothing was written")
        self.path = path
        self.reason = reason
        self.index = index


class InvalidRequestError(BoughError, ValueError):
    """An argument that cannot be: an index outside the branch, an unknown strategy, a merge into itself."""


class ProtectedBranchError(InvalidRequestError):
    """``main`` cannot be deleted."""

    def __init__(self, branch_id: str) -> None:
        super().__init__(f"branch {branch_id!r} cannot be deleted", hint="every session keeps its main branch")
        self.branch_id = branch_id


class AmbiguousRevisionError(InvalidRequestError):
    """A revision that could be several things; ``candidates`` are revisions that are not."""

    def __init__(self, revision: str, candidates: Sequence[str]) -> None:
        shown = ", ".join(candidates[:5]) + (", …" if len(candidates) > 5 else "")
        super().__init__(f"{revision!r} could be several things", hint=f"say which: {shown}")
        self.revision = revision
        self.candidates = tuple(candidates)


class NothingToUndoError(InvalidRequestError):
    """No operation is left to take back, or to do again."""


class InvalidTurnsError(InvalidRequestError):
    """Messages that a provider would refuse. ``problems`` are :class:`bough.turns.TurnProblem`."""

    def __init__(self, problems: Sequence[TurnProblem], *, hint: str = "`bough check` lists what is wrong") -> None:
        first, more = problems[0], len(problems) - 1
        rest = f" (and {more} more)" if more else ""
        super().__init__(f"message {first.index + 1}: {first.text}{rest}", hint=hint)
        self.problems = tuple(problems)


class MergeConflictError(BoughError):
    """Both sides changed the same messages; nothing was written.

    ``conflicts`` are :class:`bough.merge.Conflict`, those that nobody settled; ``numbers`` are theirs among all,
    counted from 1.
    """

    def __init__(
        self, source: str, target: str, conflicts: Sequence[Conflict], numbers: Sequence[int] | None = None
    ) -> None:
        count = len(conflicts)
        super().__init__(
            f"{count} conflict{'s' * (count != 1)} between branch {source!r} and branch {target!r}",
            hint="`--resolve ours`, `theirs` or `both` settles all, `--resolve 1=ours,2=theirs` each by its number",
        )
        self.source = source
        self.target = target
        self.conflicts = tuple(conflicts)
        self.numbers = tuple(numbers or range(1, count + 1))


class BranchMovedError(BoughError):
    """A branch is no longer where the caller last saw it; nothing was written."""

    def __init__(self, session_id: str, branch_id: str, detail: str = "changed since it was last read") -> None:
        super().__init__(
            f"branch {branch_id!r} of session {session_id!r} {detail}", hint="read it again, then decide anew"
        )
        self.session_id = session_id
        self.branch_id = branch_id


class SessionLockedError(BoughError):
    """Another process, thread or task holds the lock. ``holder`` says who, where that could be read."""

    def __init__(self, path: str, holder: LockInfo | None, *, detail: str = "") -> None:
        who = f"process {holder.pid} on {holder.hostname}" if holder else "another process"
        super().__init__(detail or f"{path} is locked by {who}", hint="wait for it to finish, or give a longer timeout")
        self.path = path
        self.holder = holder


class CorruptBranchError(BoughError):
    """A stored document cannot be read. It is left exactly as it is."""

    def __init__(self, place: str, reason: str, *, session_id: str = "", branch_id: str = "") -> None:
        super().__init__(f"{place}: {reason}", hint="the file was left as it is; the other branches are not affected")
        self.place = place
        self.reason = reason
        self.session_id = session_id
        self.branch_id = branch_id


class UnsupportedFormatError(BoughError):
    """A file, URL or layout that this version does not understand."""


class StoreUnavailableError(BoughError):
    """The store cannot be reached or written: not a folder, no permission, a full disk, a closed store."""


class RepairWarning(UserWarning):
    """The torn end of a document was closed again. Nothing that a writer acknowledged was in it."""
