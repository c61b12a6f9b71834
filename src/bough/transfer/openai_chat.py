"""OpenAI chat JSONL, as it is used for fine-tuning: ``{"messages": [...]}`` a line, each line one linear conversation.

Messages are kept exactly as they are; the line's other keys (``tools``, ``parallel_tool_calls`` …) become the metadata
of the conversation.

The lines have no ids, so a session is named for the file and for what the line says: ``train-1f0c9a3b5d7e2468``. Not
for the line's number: with one more line at the top of the file, every conversation would be laid over its neighbour.
So the same file again, or in another order, brings nothing new; a line that was changed is a new session beside the old
one; and two lines that say the same are one session.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from pathlib import PurePath
from typing import Any

from bough.codec import encode_found
from bough.transfer.records import Reading, Record, read_each
from bough.transfer.tree import Conversation, Defect, Node

MAX_STEM = 100
"""Characters of the file's name that a session id begins with."""


def recognises(value: Mapping[str, Any]) -> bool:
    """Whether the first object of a file is such a conversation."""
    return isinstance(value.get("messages"), list)


def read(records: Iterable[Record | Defect], reading: Reading) -> Iterator[Conversation | Defect]:
    """A conversation a line."""
    return read_each(records, lambda record: [_conversation(record)])


def _conversation(record: Record) -> Conversation:
    messages = record.value.get("messages")
    if not isinstance(messages, list):
        raise ValueError("messages is not a list" if "messages" in record.value else "messages is missing")
    nodes: list[Node] = []
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise ValueError(f"messages[{index}] is not an object but {type(message).__name__}")
        nodes.append(Node(str(index), str(index - 1) if index else None, message))
    return Conversation(
        session_id=_session_id(record),
        nodes=tuple(nodes),
        file=record.file,
        line=record.line,
        metadata={key: value for key, value in record.value.items() if key != "messages"} or None,
    )


def _session_id(record: Record) -> str:
    stem = PurePath(record.file).stem[:MAX_STEM].encode(errors="replace").decode()
    return f"{stem}-{blake2b(encode_found(record.value), digest_size=8).hexdigest()}"
