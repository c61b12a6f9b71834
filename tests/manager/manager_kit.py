"""The words of the manager's tests."""

from __future__ import annotations

from functools import partial
from typing import Any, get_args

from bough.events import EventName
from bough.manager import ConversationBranchManager
from bough.model import Message


def say(*texts: str) -> list[Message]:
    """A message for each text."""
    return [{"role": "user", "content": text} for text in texts]


def texts(manager: ConversationBranchManager, branch_id: str | None = None) -> list[str]:
    """The contents of a branch's messages."""
    return [message["content"] for message in manager.get_messages(branch_id)]


def kinds(manager: ConversationBranchManager) -> list[str]:
    """The verbs of the session's operations, oldest first."""
    return [operation.kind for operation in manager.store.operations(manager.session_id)][::-1]


class Log(list[tuple[str, dict[str, Any]]]):
    """The events that a manager sends, in order, as (name without ``branch:``, payload)."""

    def __init__(self, manager: ConversationBranchManager) -> None:
        super().__init__()
        for name in get_args(EventName):
            manager.on(name, partial(self._note, name.removeprefix("branch:")))

    def _note(self, name: str, payload: dict[str, Any]) -> None:
        self.append((name, payload))

    def take(self) -> list[tuple[str, dict[str, Any]]]:
        """What was sent since the last call."""
        taken = list(self)
        self.clear()
        return taken
