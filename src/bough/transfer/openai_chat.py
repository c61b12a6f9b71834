"""OpenAI chat JSONL, as it is used for fine-tuning: ``{"messages": [...]}`` a line, each line one linear conversation.

Messages are kept exactly as they are; the line's other keys (``tools``, ``parallel_tool_calls`` …) become the metadata
of the conversation.

A line's ``conversation_id``, ``session_id`` or ``id`` names the session, as :mod:`.naming` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bough.transfer.naming import Names, id_of
from bough.transfer.records import Reading, Record, read_each
from bough.transfer.tree import Conversation, Defect, Node

SOURCE = "openai-chat"
_IDS = ("conversation_id", "session_id", "id")  # where a line has several, ``id`` may be that of one request
_INSTRUCTIONS = ("system", "developer")


def recognises(value: Mapping[str, Any]) -> bool:
    """Whether the first object of a file is such a conversation."""
    return isinstance(value.get("messages"), list)


def read(records: Iterable[Record | Defect], reading: Reading) -> Iterator[Conversation | Defect]:
    """A conversation a line."""
    names = Names(SOURCE, lambda message: message.get("role") in _INSTRUCTIONS)
    return read_each(records, lambda record: [_conversation(record, names)])


def _conversation(record: Record, names: Names) -> Conversation:
    messages = record.value.get("messages")
    if not isinstance(messages, list):
        raise ValueError("messages is not a list" if "messages" in record.value else "messages is missing")
    nodes: list[Node] = []
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise ValueError(f"messages[{index}] is not an object but {type(message).__name__}")
        nodes.append(Node(str(index), str(index - 1) if index else None, message))
    own_id = next(filter(None, (id_of(record.value.get(key)) for key in _IDS)), None)
    return Conversation(
        session_id=names.name(record, own_id, messages),
        nodes=tuple(nodes),
        file=record.file,
        line=record.line,
        metadata={key: value for key, value in record.value.items() if key != "messages"} or None,
    )
