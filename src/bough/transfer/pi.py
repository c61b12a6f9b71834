"""Sessions of pi (the coding agent of pi-mono): ``~/.pi/agent/sessions/…/<time>_<id>.jsonl``, each one conversation.

The first line is ``{type: "session", version, id, timestamp, cwd, parentSession?}``. From version 2 on each other line
has an ``id`` (8 hex digits) and a ``parentId``, which alone is believed; the current leaf is the last line. In version
1 there are no ids: a line follows the one before it and is named for its number, ``line-17``.

``message`` holds the roles ``user``, ``assistant``, ``system``, ``toolResult``, ``bashExecution`` (what the person ran:
a user's message), ``custom`` or ``hookMessage`` (an extension's, given to the model as the user's). ``compaction`` and
``branch_summary`` are messages of the system that say the summary; what they point at stands in the metadata.
``label`` and ``session_info`` speak of the session. ``model_change``, ``thinking_level_change``, ``custom`` and unknown
types only hold the tree together; the conversation's metadata counts them. A tool's ``details``, which are for the
screen, are kept in the original only.

Source: the session format in pi-mono's documentation, and a real file of version 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bough.model import Message
from bough.transfer import normal
from bough.transfer.normal import Part, Result, fields, objects, string
from bough.transfer.records import Reading, Record
from bough.transfer.spool import Spool
from bough.transfer.tree import Conversation, Defect, Entry, grow

NAME = "pi"
_ROLES = {"user": "user", "assistant": "assistant", "system": "system", "custom": "user", "hookMessage": "user"}
_SUMMARIES = ("compaction", "branch_summary", "compactionSummary", "branchSummary")
_USED = ("role", "content", "timestamp", "model", "usage", "toolCallId", "output", "summary", "details")


def recognises(value: Mapping[str, Any]) -> bool:
    """Whether the first object of a file is such a header, or, where that was lost, such a message."""
    if value.get("type") == "session":
        return "id" in value and "timestamp" in value
    return value.get("type") == "message" and "timestamp" in value and "role" in fields(value.get("message"))


def read(records: Iterable[Record | Defect], reading: Reading) -> Iterator[Conversation | Defect]:
    """The one conversation of a file, behind the defects of its lines."""
    session = _Session(reading)
    for record in records:
        yield from [record] if isinstance(record, Defect) else session.add(record)
    if session.first is None:
        return
    nodes, defects = grow(session.entries, file=reading.source.name, leaf=session.last)
    yield from defects
    yield Conversation(
        session_id=normal.session_name(
            NAME, session.header.get("id"), session.header or session.first, reading.source.name
        ),
        nodes=nodes,
        file=reading.source.name,
        line=1,
        title=normal.title(session.title),
        created_at=normal.moment(session.header.get("timestamp")),
        metadata=session.metadata(),
    )


class _Session:
    """What a file has said so far."""

    def __init__(self, reading: Reading) -> None:
        self._raw = reading.raw
        self._spool = Spool()
        self._labels: dict[str, str] = {}
        self._other: Counter[str] = Counter()
        self.first: dict[str, Any] | None = None
        self.header: dict[str, Any] = {}
        self.title: str | None = None
        self.entries: list[Entry] = []
        self.last: str | None = None

    def add(self, record: Record) -> Iterator[Defect]:
        value = record.value
        self.first = value if self.first is None else self.first
        kind = string(value.get("type"))
        if kind == "session":
            if self.header:
                yield Defect(file=record.file, line=record.line, reason="a second header of a session")
            self.header = self.header or value
            return
        id_, parent = string(value.get("id")), string(value.get("parentId"))
        if id_ is None:
            id_, parent = f"line-{record.line}", self.last
            if self.header.get("version", 1) != 1:
                reason = "a line without an id; it follows the one before it"
                yield Defect(file=record.file, line=record.line, reason=reason, kept=True)
        messages = self._messages(id_, kind, value)
        if kind == "message" and not messages:
            yield Defect(file=record.file, line=record.line, reason="a message without a role")
        self.entries.append(Entry(id_, parent, self._spool.keep(messages), record.line))
        self.last = id_

    def _messages(self, id_: str, kind: str | None, value: dict[str, Any]) -> list[Message]:
        if kind == "message":
            return _messages(id_, value, fields(value.get("message")), raw=self._raw)
        if kind in _SUMMARIES:
            return _messages(id_, value, {**value, "role": kind}, raw=self._raw)
        if kind == "custom_message":
            return _messages(id_, value, {**value, "role": "custom"}, raw=self._raw)
        if kind == "label":
            self._label(value)
        elif kind == "session_info":
            self.title = string(value.get("name")) or self.title
        else:
            self._other[kind or "none"] += 1
        return []

    def _label(self, value: Mapping[str, Any]) -> None:
        target, label = string(value.get("targetId")), string(value.get("label"))
        if target is not None and label is not None:
            self._labels[target] = label
        elif target is not None:
            self._labels.pop(target, None)

    def metadata(self) -> dict[str, Any]:
        said = normal.rest(self.header, "type", "timestamp", "id") or {}
        found = {"source": NAME, "id": self.header.get("id"), **said}
        found["labels"] = self._labels or None
        found["otherLines"] = dict(self._other) or None
        return {key: value for key, value in found.items() if value is not None}


def _messages(id_: str, entry: Mapping[str, Any], message: Mapping[str, Any], *, raw: bool) -> list[Message]:
    """What an entry says; nothing where it has no role."""
    role = string(message.get("role"))
    if role is None:
        return []
    said: list[Part | Result] = [*_parts(message.get("content"))]
    more = normal.rest(message, *_USED, "type", "id", "parentId") or {}
    if role == "toolResult":
        more.pop("isError", None) if message.get("isError") is False else None
        said = [Result(string(message.get("toolCallId")), [part for part in said if isinstance(part, dict)])]
        role = "tool"
    elif role == "bashExecution":
        said = [normal.text(f"$ {message.get('command', '')}\n{message.get('output', '')}")]
        role = "user"
    elif role in _SUMMARIES:
        said = [normal.text(string(message.get("summary")) or "")]
        more["kind"] = role
        role = "system"
    return normal.turn(
        _ROLES.get(role, role),
        said,
        source=NAME,
        id=string(entry.get("id")),
        place=None if string(entry.get("id")) else id_,
        time=normal.moment(message.get("timestamp")) or normal.moment(entry.get("timestamp")),
        model=string(message.get("model")),
        usage=fields(message.get("usage")) or None,
        more=more,
        raw=dict(entry) if raw else None,
    )


def _parts(content: Any) -> Iterator[Part]:
    """The blocks of a content; one of another kind is kept as it is."""
    if isinstance(content, str):
        yield normal.text(content)
    for block in objects(content):
        kind = block.get("type")
        if kind == "text":
            yield normal.text(string(block.get("text")) or "")
        elif kind == "thinking":
            yield normal.thinking(string(block.get("thinking")) or "")
        elif kind == "toolCall":
            name = string(block.get("name")) or ""
            yield normal.call(string(block.get("id")) or "", name, fields(block.get("arguments")))
        elif kind == "image":
            media = string(block.get("mimeType")) or "application/octet-stream"
            yield normal.image(normal.by_reference(f"data:{media};base64,{block.get('data', '')}"))
        else:
            yield block
