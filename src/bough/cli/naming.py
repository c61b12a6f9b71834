"""Messages and states of a conversation as people name them on the command line.

What :mod:`bough.revisions` says, and a number alone: message 4 of the current branch is ``4``, as ``log`` shows it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from bough import history
from bough.cli.app import branch_id
from bough.errors import BranchNotFoundError, InvalidIdError, InvalidRequestError, RevisionNotFoundError
from bough.revisions import HEAD, Revision

if TYPE_CHECKING:
    from bough.manager import ConversationBranchManager

_NUMBER = re.compile(r"-?\d+")
_MESSAGE = re.compile(r"[^~:@]+\.\d+")


class Named(NamedTuple):
    """A revision, and the number (from 1) of its message that was named; None where the whole of it was."""

    revision: Revision
    number: int | None


def named(manager: ConversationBranchManager, text: str) -> Named:
    """What ``text`` names: with ``main:4``, ``4`` and the id of a message that message, else the conversation.

    ``BranchNotFoundError`` for a word that is nothing, ``RevisionNotFoundError``, ``AmbiguousRevisionError``,
    ``InvalidRequestError`` for a number that is none of its messages.
    """
    whole = _state(manager, text)
    if whole is not None:
        return Named(whole[0], None)
    base, colon, number = (HEAD, ":", text) if _NUMBER.fullmatch(text) else text.rpartition(":")
    if colon and _NUMBER.fullmatch(number):
        revision, called = _state(manager, base or HEAD) or (manager.resolve(base), repr(base))
        return Named(revision, _position(called, history.length(revision.history), int(number)))
    try:
        revision = manager.resolve(text)
    except RevisionNotFoundError:
        if re.search("[~:@.]", text):
            raise
        raise BranchNotFoundError(manager.session_id, text) from None
    return Named(revision, history.length(revision.history) if _MESSAGE.fullmatch(text) else None)


def count_named(manager: ConversationBranchManager, text: str) -> int | None:
    """The number that ``text`` is, None where it is something else; a branch or a tag may be called ``4``."""
    return int(text) if _NUMBER.fullmatch(text) and _state(manager, text) is None else None


def _state(manager: ConversationBranchManager, text: str) -> tuple[Revision, str] | None:
    """The branch or the tag that is called so, and how to speak of it."""
    try:
        found = branch_id(manager, text)
    except (BranchNotFoundError, InvalidIdError):
        return (manager.resolve(text), f"tag {text!r}") if text in manager.tags() else None
    return manager.resolve(found), f"branch {found!r}"


def _position(called: str, length: int, number: int) -> int:
    position = number if number >= 0 else length + 1 + number
    if not 1 <= position <= length:
        raise InvalidRequestError(f"{called} has no message {number}", hint=f"it has {length}")
    return position
