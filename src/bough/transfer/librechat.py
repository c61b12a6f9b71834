"""LibreChat's export of one conversation as JSON: ``{conversationId, endpoint, title, exportAt, branches, recursive,
options?, messages[] | messagesTree[]}``.

A message is ``{messageId, parentMessageId, isCreatedByUser, sender, text, content[], model, createdAt, files[],
attachments[], children[]}``, with ``content`` of ``{type: text | think | tool_call | image_file | error}``. Source: the
LibreChat project, ``client/src/hooks/Conversations/useExportConversation.ts`` and its data provider's types.

- ``parentMessageId`` is the tree, in both shapes; a root names ``00000000-0000-0000-0000-000000000000``. Only a message
  that has none belongs where it stands: under the message whose ``children`` it is among.
- There is no pointer to the current message: ``main`` ends at the youngest leaf.
- ``content`` is believed before ``text``. A call stands there together with its output; here that is a message of its
  own, and so is what comes behind it.
- A list of messages that was exported without branches is one path: what LibreChat left out cannot be told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from bough.transfer import normal
from bough.transfer.records import Reading, Record, read_each
from bough.transfer.tree import Conversation, Defect, Entry, grow

SOURCE = "librechat"
ROOT = "00000000-0000-0000-0000-000000000000"


def recognises(value: Mapping[str, Any]) -> bool:
    """Whether a file's object is such a conversation."""
    return "conversationId" in value and any(isinstance(value.get(key), list) for key in ("messages", "messagesTree"))


def read(records: Iterable[Record | Defect], reading: Reading) -> Iterator[Conversation | Defect]:
    """A conversation an object, named by its own id."""
    return read_each(records, lambda record: _read(record, reading))


def _read(record: Record, reading: Reading) -> Iterator[Conversation | Defect]:
    source = record.value
    messages = source.get("messagesTree", source.get("messages"))
    if not isinstance(messages, list):
        raise ValueError("there is no list of messages")
    odd: list[tuple[str, bool]] = []
    times: dict[str, datetime | None] = {}
    entries = list(_entries(messages, reading, record.line, odd, times))
    leaf = normal.newest_leaf({entry.id: entry.parent_id for entry in entries}, times)
    nodes, defects = grow(entries, file=record.file, line=record.line, leaf=leaf)
    options = normal.fields(source.get("options"))
    about = {
        "source": SOURCE,
        "id": normal.string(source.get("conversationId")),
        "model": normal.string(options.get("model")),
        "extra": normal.rest(source, "messages", "messagesTree", *normal.texts(source, "conversationId", "title")),
    }
    yield Conversation(
        session_id=normal.session_name(SOURCE, source.get("conversationId"), source, record.file),
        nodes=nodes,
        file=record.file,
        line=record.line,
        title=normal.title(source.get("title")),
        created_at=min((time for time in times.values() if time is not None), default=None),
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
    pending: list[tuple[Any, str | None]] = [(one, None) for one in reversed(messages)]
    number = 0
    while pending:
        one, above = pending.pop()
        number += 1
        if not isinstance(one, dict):
            odd.append((f"message {number} is not an object but {type(one).__name__}", False))
            continue
        id_ = normal.string(one.get("messageId"))
        if id_ is None:
            id_ = f"message-{number}"
            odd.append((f"message {number} has no messageId; it is called {id_!r}", True))
        times[id_] = normal.moment(one.get("createdAt"))
        yield Entry(id_, _parent(one, id_, above, odd), _messages(id_, one, reading), line)
        children = one.get("children")
        if isinstance(children, list):
            pending += [(child, id_) for child in reversed(children)]
        elif children is not None:
            odd.append((f"the children of {id_!r} are no list", False))


def _parent(one: Mapping[str, Any], id_: str, above: str | None, odd: list[tuple[str, bool]]) -> str | None:
    parent = one.get("parentMessageId")
    if isinstance(parent, str):
        return None if parent in ("", ROOT) else parent
    if parent is not None:
        odd.append((f"the parent of {id_!r} is not a string; it stays where it stands", True))
    return above


def _messages(id_: str, one: Mapping[str, Any], reading: Reading) -> list[dict[str, Any]]:
    by_user = one.get("isCreatedByUser")
    if not isinstance(by_user, bool):
        by_user = (normal.string(one.get("sender")) or "").lower() == "user"
    said: list[normal.Part | normal.Result] = []
    other: list[Any] = []
    content = one.get("content")
    for number, part in enumerate(content if isinstance(content, list) else []):
        found = _part(part, f"{id_}-{number}")
        said += found
        if part is not None and not _is_known(part):
            other.append(part)
    shown = not said and normal.string(one.get("text")) is not None
    if shown:
        said.append(normal.text(one["text"]))
    said += [_file(each) for key in ("files", "attachments") for each in normal.objects(one.get(key))]
    time = normal.moment(one.get("createdAt"))
    used = ["parentMessageId", "children", *normal.texts(one, "messageId", "model")]
    used += [*normal.lists(one, "files", "attachments"), *(["content"] if isinstance(content, list) else [])]
    used += ["isCreatedByUser"] if isinstance(one.get("isCreatedByUser"), bool) else []
    used += ["text"] if shown else []
    used += ["createdAt"] if time is not None else []
    used += ["updatedAt"] if one.get("updatedAt") == one.get("createdAt") else []
    used += [key for key in ("error", "unfinished") if one.get(key) is False]
    return normal.turn(
        "user" if by_user else "assistant",
        said,
        source=SOURCE,
        id=normal.string(one.get("messageId")),
        place=None if normal.string(one.get("messageId")) else id_,
        time=time,
        model=normal.string(one.get("model")),
        more={
            "other": other or None,
            "extra": normal.rest(one, *used),
        },
        raw={key: value for key, value in one.items() if key != "children"} if reading.raw else None,
    )


def _is_known(part: Any) -> bool:
    """Whether what :func:`_part` makes of a part is all that it says."""
    source = normal.fields(part)
    kind = source.get("type")
    if kind in ("text", "think", "error"):
        said = source.get(kind, source.get("text"))
        return isinstance(normal.fields(said).get("value") if isinstance(said, dict) else said, str)
    if kind == "tool_call":
        call = normal.fields(source.get("tool_call"))
        return bool(_call(call, "")) and all(isinstance(call.get(key, ""), str) for key in ("id", "name"))
    return bool(_part(part, ""))


def _part(part: Any, id_: str) -> list[normal.Part | normal.Result]:
    """What one part of a message says; nothing where it is of no known kind, or empty."""
    source = normal.fields(part)
    kind = source.get("type")
    if kind in ("text", "error"):
        said = _text(source.get("text")) or (_text(source.get("error")) if kind == "error" else "")
        return [normal.text(said)] if said else []
    if kind == "think":
        said = _text(source.get("think"))
        return [normal.thinking(said)] if said else []
    if kind == "tool_call":
        return _call(normal.fields(source.get("tool_call")), id_)
    if kind == "image_file" and isinstance(source.get("image_file"), dict):
        return [_file({**source["image_file"], "type": "image"})]
    url = normal.string(normal.fields(source.get("image_url")).get("url"))
    return [] if url is None else [normal.image(normal.by_reference(url))]


def _text(value: Any) -> str:
    """A text, which the assistants' interface wraps once more."""
    return value if isinstance(value, str) else normal.string(normal.fields(value).get("value")) or ""


def _call(source: Mapping[str, Any], id_: str) -> list[normal.Part | normal.Result]:
    """A call with its output, if it has one yet. The assistants' interface has both one level deeper."""
    if not any(key in source for key in ("name", "function", "type")):
        return []
    inner = normal.fields(source.get("function"))
    name = normal.string(source.get("name")) or normal.string(inner.get("name"))
    asked, output = source.get("args", inner.get("arguments")), source.get("output", inner.get("output"))
    kind = normal.string(source.get("type"))
    if name is None and kind is not None and isinstance(source.get(kind), dict):  # code_interpreter, file_search
        name = kind
        asked = source[kind].get("input", source[kind])
        output = source[kind].get("outputs")
    own_id = normal.string(source.get("id")) or id_
    said: list[normal.Part | normal.Result] = [normal.call(own_id, name or "tool", "{}" if asked is None else asked)]
    if isinstance(output, str):
        said.append(normal.Result(own_id, output))
    elif output is not None:
        said.append(normal.Result(own_id, "", {"output": output}))
    return said


def _file(one: Mapping[str, Any]) -> normal.Part:
    """A picture or a file, by where LibreChat keeps it."""
    kind = normal.string(one.get("type")) or ""
    place = normal.string(one.get("filepath")) or normal.string(one.get("file_id"))
    name = normal.string(one.get("filename"))
    if kind.startswith("image") and place is not None:
        return normal.image(
            normal.by_reference(place), **normal.details(normal.rest(one, *normal.texts(one, "filepath")))
        )
    return normal.file(name or place or "unnamed", **normal.details(normal.rest(one, *normal.texts(one, "filename"))))
