"""OpenAssistant message trees, one tree a line: ``{message_tree_id, tree_state, prompt}``.

A node is ``{message_id, parent_id, role (prompter|assistant), text, rank, replies[], …}``. Of the replies to one
message the one with the lowest rank is the best; those without a rank come after the ranked ones, in their order. A
message becomes ``{role, content, metadata}``, with ``prompter`` as ``user`` and all that is not its role, text or
replies in ``metadata``. The nesting is the tree: ``parent_id`` is kept, not believed.

A bad node stays out, and is told; its replies follow the message above it. Source of the format: the Open-Assistant
project's data sets of conversations, files ``*.trees.jsonl``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from bough.model import Message
from bough.transfer import normal
from bough.transfer.records import Reading, Record, read_each
from bough.transfer.tree import Conversation, Defect, Entry, grow

SOURCE = "openassistant"
ROLES = {"prompter": "user"}


def recognises(value: Mapping[str, Any]) -> bool:
    """Whether the first object of a file is a tree."""
    return "message_tree_id" in value and "prompt" in value


def read(records: Iterable[Record | Defect], reading: Reading) -> Iterator[Conversation | Defect]:
    """A conversation a line, named by its tree's id."""
    return read_each(records, lambda record: _read(record, reading))


def _read(record: Record, reading: Reading) -> Iterator[Conversation | Defect]:
    tree = record.value
    session_id = _string(tree, "message_tree_id")
    entries: list[Entry] = []
    odd: list[str] = []
    pending: list[tuple[Any, str | None]] = [(tree.get("prompt"), None)]
    while pending:
        source, above = pending.pop()
        try:
            if not isinstance(source, dict):
                raise ValueError(f"a message is an object, not {type(source).__name__}")
            entry = Entry(_string(source, "message_id"), above, _message(source, reading), record.line)
            entries.append(entry)
            above = entry.id
        except ValueError as error:
            odd.append(str(error))
        replies = normal.fields(source).get("replies") or []
        if isinstance(replies, list):
            pending += [(reply, above) for reply in sorted(replies, key=_rank)[::-1]]
        else:
            odd.append(f"the replies are a list, not {type(replies).__name__}")
    if not entries:
        raise ValueError(odd[0])
    nodes, defects = grow(entries, file=record.file, line=record.line)
    yield Conversation(
        session_id=session_id,
        nodes=nodes,
        file=record.file,
        line=record.line,
        created_at=_time(normal.fields(tree["prompt"])),
        metadata={key: value for key, value in tree.items() if key not in ("message_tree_id", "prompt")} or None,
    )
    for reason in odd:
        yield Defect(file=record.file, line=record.line, reason=reason)
    yield from defects


def _message(source: Mapping[str, Any], reading: Reading) -> Message:
    role = _string(source, "role")
    return normal.message(
        ROLES.get(role, role),
        _string(source, "text"),
        source=SOURCE,
        id=_string(source, "message_id"),
        time=_time(source),
        more={key: value for key, value in source.items() if key not in ("message_id", "role", "text", "replies")},
        raw={key: value for key, value in source.items() if key != "replies"} if reading.raw else None,
    )


def _time(source: Mapping[str, Any]) -> datetime | None:
    return normal.moment(normal.string(source.get("created_date")))


def _rank(reply: Any) -> float:
    rank = reply.get("rank") if isinstance(reply, dict) else None
    return rank if isinstance(rank, int | float) else float("inf")


def _string(source: Mapping[str, Any], key: str) -> str:
    value = source.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key} is not a string" if key in source else f"{key} is missing")
    return value
