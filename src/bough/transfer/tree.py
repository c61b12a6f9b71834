"""What every format is read into: a conversation as a tree of messages, and how such a tree becomes branches.

Guarantees:
1. A node's parent stands before it, node ids are unique in their conversation, and each can name a branch beside
   ``main``: a tree that breaks one of these cannot be made. So a format that meets cycles, orphans or ids of another
   kind has to say what becomes of them.
2. Every leaf is the end of exactly one branch; every node is on at least one.
3. Nothing recurses: a conversation may be a million turns long.

What it deliberately does not do: compare with what a store holds (that is :mod:`bough.imports`), or repair anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from bough.branch import MAIN
from bough.errors import InvalidIdError
from bough.model import Message
from bough.stores.base import check_id


class Node(NamedTuple):
    """One message in its place. ``id`` is the source's own where it has one; ``parent_id`` is None for a root."""

    id: str
    parent_id: str | None
    message: Message


class Path(NamedTuple):
    """One branch of a tree: the nodes from a root to a leaf."""

    branch_id: str
    name: str
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A tree of messages, which becomes one session.

    Of several replies to one message the best stands first in ``nodes``: the path that always takes the first is
    ``main``. ``metadata`` is what the source says of the conversation as a whole and belongs on ``main``; ``file`` and
    ``line`` (from 1) are where it was found. ``ValueError`` where guarantee 1 would not hold.
    """

    session_id: str
    nodes: tuple[Node, ...]
    file: str
    line: int
    title: str | None = None
    created_at: datetime | None = None
    metadata: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        check_id(self.session_id)
        seen: set[str] = set()
        for node in self.nodes:
            if check_id(node.id) == MAIN:
                raise InvalidIdError(MAIN, "it is the name of the branch with the best path")
            if node.id in seen:
                raise ValueError(f"two messages have the id {node.id!r}")
            if node.parent_id is not None and node.parent_id not in seen:
                raise ValueError(f"the parent {node.parent_id!r} of message {node.id!r} does not stand before it")
            seen.add(node.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """A line (counted from 1) that could not be read; nothing of it was taken."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


def paths(conversation: Conversation) -> Iterator[Path]:
    """The branches of a conversation: ``main`` first, the others named for their leaf, in the order of the tree.

    ``main`` is there even if there is no message at all.
    """
    replies: dict[str | None, list[Node]] = {}
    for node in conversation.nodes:
        replies.setdefault(node.parent_id, []).append(node)
    if not replies:
        yield Path(MAIN, conversation.title or MAIN, ())
    is_main = True
    path: list[Node] = []
    pending = [(0, root) for root in reversed(replies.get(None, ()))]
    while pending:
        depth, node = pending.pop()
        path[depth:] = [node]
        if node.id in replies:
            pending += [(depth + 1, reply) for reply in reversed(replies[node.id])]
        elif is_main:
            yield Path(MAIN, conversation.title or MAIN, tuple(path))
            is_main = False
        else:
            yield Path(node.id, node.id, tuple(path))
