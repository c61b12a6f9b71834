"""Claude.ai's data export: ``conversations.json``, an array of conversations.

A conversation is ``{uuid, name, created_at, updated_at, chat_messages[]}``, a message ``{uuid, sender
(human|assistant), text, content[], attachments[], files[], created_at, parent_message_uuid?}`` with Anthropic's blocks
in ``content``: text, thinking, tool_use, tool_result. Source: exports of 2026, and what several public readers
of them expect; Anthropic publishes no description.

- ``parent_message_uuid`` is the tree; a root names ``00000000-0000-4000-8000-000000000000``. Files in which no message
  has that key are linear, in the file's order.
- ``main`` ends at ``current_leaf_message_uuid`` where there is one (the web interface has it, the export does not),
  else at the youngest leaf.
- The blocks are believed, not ``text``, which says of some that they cannot be shown; older files have the text alone.
- What else a thought, a call or a result says stands in its ``details``, but for what moves the screen alone.
- A tool's result stands in the same message as its call. Here it becomes a message of its own, and so does what comes
  behind it. Calls without an id get one from the message's.
- An attachment is a file with the text that Claude.ai took out of it; files and images are named, no more.

Beside the conversations an export has ``users.json``, ``projects.json`` and ``memories.json``. They are recognised and
have no conversations, so they are passed over without a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from bough.transfer import normal
from bough.transfer.records import Reading, Record, read_each
from bough.transfer.tree import Conversation, Defect, Entry, grow

SOURCE = "claude-ai"
ROOT = "00000000-0000-4000-8000-000000000000"
ROLES = {"human": "user"}
_PARENT = "parent_message_uuid"
_SHAPES: dict[str, dict[str, type]] = {
    "text": {"text": str},
    "thinking": {"thinking": str},
    "tool_use": {"id": str, "name": str},
    "tool_result": {"tool_use_id": str},
    "image": {},
    "document": {},
}
"""The kinds of blocks that are understood, and what must be what in them."""

_CALL = ("id", "name", "input")
_RESULT = ("tool_use_id", "name", "content", "is_error")
_SCREEN = ("type", "start_timestamp", "stop_timestamp", "message", "icon_name", "signature")
"""Keys of a block that say what it is, or how it is shown."""

_ASIDES = (("full_name", "email_address"), ("prompt_template", "docs"), ("conversations_memory",))
"""Keys by which the objects of the other files of an export are known."""


def recognises(value: Mapping[str, Any]) -> bool:
    """Whether the first object of a file is a conversation, or of another file of the same export."""
    return isinstance(value.get("chat_messages"), list) or _is_aside(value)


def read(records: Iterable[Record | Defect], reading: Reading) -> Iterator[Conversation | Defect]:
    """A conversation an object, named by its own id."""
    return read_each(records, lambda record: _read(record, reading))


def _is_aside(value: Mapping[str, Any]) -> bool:
    return "chat_messages" not in value and any(all(key in value for key in keys) for keys in _ASIDES)


def _read(record: Record, reading: Reading) -> Iterator[Conversation | Defect]:
    source = record.value
    if _is_aside(source):
        return
    messages = source.get("chat_messages")
    if not isinstance(messages, list):
        raise ValueError("chat_messages is not a list" if "chat_messages" in source else "chat_messages is missing")
    odd: list[tuple[str, bool]] = []
    times: dict[str, datetime | None] = {}
    entries = list(_entries(messages, reading, record.line, odd, times))
    parents = {entry.id: entry.parent_id for entry in entries}
    leaf = normal.string(source.get("current_leaf_message_uuid"))
    if leaf is None or leaf not in parents:
        leaf = normal.newest_leaf(parents, times)
    nodes, defects = grow(entries, file=record.file, line=record.line, leaf=leaf)
    created_at = normal.moment(source.get("created_at"))
    used = ["chat_messages", *normal.texts(source, "uuid", "name", "model")]
    used += ["created_at"] if created_at is not None else []
    about = {
        "source": SOURCE,
        "id": normal.string(source.get("uuid")),
        "model": normal.string(source.get("model")),
        "extra": normal.rest(source, *used),
    }
    yield Conversation(
        session_id=normal.session_name(SOURCE, source.get("uuid"), source, record.file),
        nodes=nodes,
        file=record.file,
        line=record.line,
        title=normal.title(source.get("name")),
        created_at=created_at,
        metadata={key: value for key, value in about.items() if value is not None},
    )
    for reason, kept in odd:
        yield Defect(file=record.file, line=record.line, reason=reason, kept=kept)
    yield from defects


def _entries(
    messages: list[Any],
    reading: Reading,
    line: int,
    odd: list[tuple[str, bool]],
    times: dict[str, datetime | None],
) -> Iterator[Entry]:
    is_tree = any(_PARENT in one for one in normal.objects(messages))
    before: str | None = None
    linear: dict[str, str | None] = {}
    for number, one in enumerate(messages):
        if not isinstance(one, dict):
            odd.append((f"message {number} is not an object but {type(one).__name__}", False))
            continue
        id_ = normal.string(one.get("uuid"))
        if id_ is None:
            id_ = f"message-{number}"
            odd.append((f"message {number} has no uuid; it is called {id_!r}", True))
        parent = linear.setdefault(id_, before)
        if is_tree:
            parent = one.get(_PARENT)
            if parent is not None and not isinstance(parent, str):
                odd.append((f"the parent of {id_!r} is not a string; it begins anew", True))
            parent = parent if isinstance(parent, str) and parent not in ("", ROOT) else None
        times[id_] = normal.moment(one.get("created_at"))
        yield Entry(id_, parent, _messages(id_, one, reading, odd), line)
        before = next(reversed(linear))  # not a message that came again


def _messages(id_: str, one: Mapping[str, Any], reading: Reading, odd: list[tuple[str, bool]]) -> list[dict[str, Any]]:
    sender = normal.string(one.get("sender"))
    if sender is None:
        odd.append((f"message {id_!r} has no sender; taken for the user", True))
        sender = "human"
    blocks = one.get("content")
    said: list[normal.Part | normal.Result] = []
    other: list[Any] = []
    for number, block in enumerate(blocks if isinstance(blocks, list) else []):
        part = _block(block, f"{id_}-{number}")
        if part is not None:
            said.append(part)
        if not _is_known(block):
            other.append(block)
    if not said and normal.string(one.get("text")) is not None:
        said.append(normal.text(one["text"]))
    said += [_attachment(each) for each in normal.objects(one.get("attachments"))]
    files = normal.objects(one.get("files"))
    files += [each for each in normal.objects(one.get("files_v2")) if each not in files]
    said += map(_file, files)
    time = normal.moment(one.get("created_at"))
    used = [
        *normal.texts(one, "uuid", "sender", "text", "model"),
        *normal.lists(one, "attachments", "files", "files_v2"),
    ]
    used += [_PARENT, *(["content"] if isinstance(blocks, list) else [])]
    used += ["created_at"] if time is not None else []
    used += ["updated_at"] if one.get("updated_at") == one.get("created_at") else []
    return normal.turn(
        ROLES.get(sender, sender),
        said,
        source=SOURCE,
        id=normal.string(one.get("uuid")),
        place=None if normal.string(one.get("uuid")) else id_,
        time=time,
        model=normal.string(one.get("model")),
        more={
            "other": other or None,
            "extra": normal.rest(one, *used),
        },
        raw=one if reading.raw else None,
    )


def _is_known(block: Any) -> bool:
    """Whether what :func:`_block` makes of a block is all that it says."""
    source = normal.fields(block)
    shape = _SHAPES.get(source["type"]) if isinstance(source.get("type"), str) else None
    return shape is not None and all(isinstance(source.get(key, kind()), kind) for key, kind in shape.items())


def _block(block: Any, id_: str) -> normal.Part | normal.Result | None:
    """One block of a message; None where it is of no known kind, or a text that says nothing."""
    source = normal.fields(block)
    kind = source.get("type")
    if kind == "text" and normal.string(source.get("text")) is not None:
        cited = normal.rest(source, "type", "text", "start_timestamp", "stop_timestamp")
        return normal.text(source["text"]) | normal.details(cited)
    if kind == "thinking" and isinstance(source.get("thinking"), str):
        return normal.thinking(source["thinking"]) | _details(source, "thinking")
    if kind == "tool_use":
        own_id, name = normal.string(source.get("id")), normal.string(source.get("name"))
        return normal.call(own_id or id_, name or "tool", source.get("input", {})) | _details(source, *_CALL)
    if kind == "tool_result":
        parts, other = _result(source.get("content"))
        more = {
            "name": normal.string(source.get("name")),
            "is_error": source.get("is_error") or None,
            "other": other or None,
            **_details(source, *_RESULT),
        }
        return normal.Result(normal.string(source.get("tool_use_id")), parts, more)
    if kind in ("image", "document"):
        return _file(source)
    return None


def _details(block: Mapping[str, Any], *used: str) -> dict[str, Any]:
    """What else a block says; a flag that is not set says nothing."""
    found = normal.rest(block, *_SCREEN, *used) or {}
    return normal.details({key: value for key, value in found.items() if value is not False})


def _result(content: Any) -> tuple[list[normal.Part], list[Any]]:
    """The parts of a tool's result, and the blocks of it that are of no known kind."""
    if isinstance(content, str):
        return [normal.text(content)], []
    parts: list[normal.Part] = []
    other: list[Any] = []
    for block in content if isinstance(content, list) else [] if content is None else [content]:
        said = normal.string(normal.fields(block).get("text"))
        if said is not None:
            parts.append(
                normal.text(said)
                | normal.details(normal.rest(block, "text", "uuid", *(["type"] if block.get("type") == "text" else [])))
            )
        else:
            other.append(block)
    return parts, other


def _attachment(one: Mapping[str, Any]) -> normal.Part:
    said = normal.string(one.get("extracted_content"))
    return normal.file(
        normal.string(one.get("file_name")) or "unnamed",
        **({} if said is None else {"text": said}),
        **normal.details(normal.rest(one, *normal.texts(one, "file_name", "extracted_content"))),
    )


def _file(one: Mapping[str, Any]) -> normal.Part:
    """A file or an image that is named, and not in the export."""
    id_ = normal.string(one.get("file_uuid")) or normal.string(one.get("uuid"))
    name = normal.string(one.get("file_name"))
    held = normal.fields(one.get("source"))  # an Anthropic image; its bytes stay where they are
    about = {**one, "source": normal.rest(held, "data")}
    more = normal.details(normal.rest(about, *normal.texts(about, "file_name", "type")))
    id_ = id_ or normal.string(held.get("url"))
    if one.get("file_kind") == "image" or one.get("type") == "image":
        return normal.image(id_ or name or "unnamed", **more)
    return normal.file(name or id_ or "unnamed", **more)
