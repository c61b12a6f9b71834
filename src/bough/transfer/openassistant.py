"""OpenAssistant message trees, one tree a line: ``{message_tree_id, tree_state, prompt}``.

A node is ``{message_id, parent_id, role (prompter|assistant), text, rank, replies[], …}``. Of the replies to one
message the one with the lowest rank is the best; those without a rank come after the ranked ones, in their order. A
message becomes ``{role, content, metadata}``, with ``prompter`` as ``user`` and all that is not its role, text or
replies in ``metadata``. The nesting is the tree: ``parent_id`` is kept, not believed.

One bad node makes the whole line a defect, because half a conversation would look like a whole one. Source of the
format: the Open-Assistant project's data sets of conversations, files ``*.trees.jsonl``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from bough.codec import parse_time
from bough.transfer.records import Reading, Record, read_each
from bough.transfer.tree import Conversation, Defect, Node

ROLES = {"prompter": "user"}


def recognises(value: Mapping[str, Any]) -> bool:
    """Whether the first object of a file is a tree."""
    return "message_tree_id" in value and "prompt" in value


def read(records: Iterable[Record | Defect], reading: Reading) -> Iterator[Conversation | Defect]:
    """A conversation a line, named by its tree's id."""
    return read_each(records, lambda record: [_conversation(record)])


def _conversation(record: Record) -> Conversation:
    tree = record.value
    session_id = _string(tree, "message_tree_id")
    nodes: list[Node] = []
    pending: list[tuple[Any, str | None]] = [(tree.get("prompt"), None)]
    while pending:
        source, parent_id = pending.pop()
        if not isinstance(source, dict):
            raise ValueError(f"a message is an object, not {type(source).__name__}")
        node = Node(_string(source, "message_id"), parent_id, _message(source))
        nodes.append(node)
        pending += [(reply, node.id) for reply in reversed(_replies(source))]
    return Conversation(
        session_id=session_id,
        nodes=tuple(nodes),
        file=record.file,
        line=record.line,
        created_at=_created_at(tree["prompt"]),
        metadata={key: value for key, value in tree.items() if key not in ("message_tree_id", "prompt")} or None,
    )


def _message(source: Mapping[str, Any]) -> dict[str, Any]:
    role = _string(source, "role")
    return {
        "role": ROLES.get(role, role),
        "content": _string(source, "text"),
        "metadata": {key: value for key, value in source.items() if key not in ("role", "text", "replies")},
    }


def _replies(source: Mapping[str, Any]) -> list[Any]:
    """The best first."""
    replies = source.get("replies") or []
    if not isinstance(replies, list):
        raise ValueError(f"the replies are a list, not {type(replies).__name__}")
    return sorted(replies, key=_rank)


def _rank(reply: Any) -> float:
    rank = reply.get("rank") if isinstance(reply, dict) else None
    return rank if isinstance(rank, int | float) else float("inf")


def _created_at(prompt: Mapping[str, Any]) -> datetime | None:
    try:
        return parse_time(prompt["created_date"])
    except (KeyError, ValueError):
        return None  # it stands in the metadata all the same


def _string(source: Mapping[str, Any], key: str) -> str:
    value = source.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key} is not a string" if key in source else f"{key} is missing")
    return value
