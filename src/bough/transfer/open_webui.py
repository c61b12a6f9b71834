"""Open WebUI's chats, as "Export chats" writes them: an array of chats, of one chat too.

A chat is ``{id, title, chat: {title, models[], history: {currentId, messages: {id: message}}, messages[], …},
created_at}``, a message ``{id, parentId, childrenIds[], role, content, model, timestamp (s), files[], output[],
usage, …}``. Source: the open-webui project, ``backend/open_webui/utils/middleware.py`` and ``misc.py``.

- ``parentId`` is the tree and ``currentId`` the end of ``main``; ``childrenIds`` are not believed, nor is the list
  ``messages``, which repeats one path. A chat without ``history`` has that list alone: then it is linear.
- What a model put out is in ``output[]``, as items of OpenAI's Responses: messages, reasoning, calls and their outputs.
  Older chats have ``<details type="reasoning">``, ``"tool_calls"`` and ``"code_interpreter"`` in the content instead.
  Either becomes thinking, tool calls and results; with both, ``output`` is believed. Items of other kinds are kept in
  ``metadata.other``.
- Pictures and files are named. Those that stand in the export themselves (``data:`` URLs) are named by their digest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from html import unescape
from typing import Any

from bough.codec import decode_value, encode_found
from bough.transfer import normal
from bough.transfer.records import Reading, Record, read_each
from bough.transfer.tree import Conversation, Defect, Entry, grow

SOURCE = "open-webui"
_TEXT_PARTS = (None, "text", "output_text", "input_text", "summary_text", "reasoning_text")
_OPENING = "<details "
_CLOSING = "</details>"
_DETAILS = ("reasoning", "tool_calls", "code_interpreter")
_CODE = "open_webui:code_interpreter"
_FENCE = "```"
_ATTRIBUTE = re.compile(r'\s([a-z_]+)="([^"]*)"')
_SUMMARY = re.compile(r"\s*<summary>[^<]*</summary>\n?")


def recognises(value: Mapping[str, Any]) -> bool:
    """Whether the first object of a file is a chat."""
    chat = value.get("chat")
    return isinstance(chat, dict) and (isinstance(chat.get("history"), dict) or isinstance(chat.get("messages"), list))


def read(records: Iterable[Record | Defect], reading: Reading) -> Iterator[Conversation | Defect]:
    """A conversation a chat, named by its own id."""
    return read_each(records, lambda record: _read(record, reading))


def _read(record: Record, reading: Reading) -> Iterator[Conversation | Defect]:
    source = record.value
    chat = source.get("chat")
    if not isinstance(chat, dict):
        raise ValueError("chat is not an object" if "chat" in source else "chat is missing")
    history = normal.fields(chat.get("history"))
    messages = history.get("messages")
    odd: list[tuple[str, bool]] = []
    times: dict[str, datetime | None] = {}
    found_history = isinstance(messages, dict)
    if isinstance(messages, dict):
        found: Iterable[tuple[str, str | None, Any]] = _of_history(messages, odd)
    elif isinstance(chat.get("messages"), list):
        found = _of_list(chat["messages"])
    else:
        raise ValueError("neither chat.history.messages nor chat.messages is there")
    entries = list(_entries(found, reading, record.line, odd, times))
    leaf = normal.string(history.get("currentId"))
    if leaf is None or leaf not in times:
        if history.get("currentId") is not None:
            odd.append(("currentId names no message", True))
        leaf = normal.newest_leaf({entry.id: entry.parent_id for entry in entries}, times)
    nodes, defects = grow(entries, file=record.file, line=record.line, leaf=leaf)
    created_at = normal.moment(source.get("created_at")) or normal.moment(chat.get("timestamp"))
    about = {
        "source": SOURCE,
        "id": normal.string(source.get("id")),
        "extra": normal.rest(
            source, "chat", *normal.texts(source, "id", "title"), *(["created_at"] if created_at is not None else [])
        ),
        "chat": normal.rest(
            {
                **chat,
                "history": normal.rest(history, "currentId", "messages") if found_history else chat.get("history"),
            },
            *normal.texts(chat, "id", "title"),
            *(["messages"] if isinstance(chat.get("messages"), list) else []),
        ),
    }
    yield Conversation(
        session_id=normal.session_name(SOURCE, source.get("id"), source, record.file),
        nodes=nodes,
        file=record.file,
        line=record.line,
        title=normal.title(source.get("title")) or normal.title(chat.get("title")),
        created_at=created_at,
        metadata={key: value for key, value in about.items() if value is not None},
    )
    for reason, kept in odd:
        yield Defect(file=record.file, line=record.line, reason=reason, kept=kept)
    yield from defects


def _of_history(messages: Mapping[str, Any], odd: list[tuple[str, bool]]) -> Iterator[tuple[str, str | None, Any]]:
    for id_, one in messages.items():
        parent = normal.fields(one).get("parentId")
        if parent is not None and not isinstance(parent, str):
            odd.append((f"the parent of {id_!r} is not a string; it begins anew", True))
            parent = None
        yield id_, parent, one


def _of_list(messages: list[Any]) -> Iterator[tuple[str, str | None, Any]]:
    seen: dict[str, str | None] = {}
    for number, one in enumerate(messages):
        id_ = normal.string(normal.fields(one).get("id")) or f"message-{number}"
        yield id_, seen.setdefault(id_, next(reversed(seen), None)), one


def _entries(
    found: Iterable[tuple[str, str | None, Any]],
    reading: Reading,
    line: int,
    odd: list[tuple[str, bool]],
    times: dict[str, datetime | None],
) -> Iterator[Entry]:
    for id_, parent, one in found:
        if not isinstance(one, dict):
            odd.append((f"message {id_!r} is not an object but {type(one).__name__}", False))
            content = []
        else:
            content = _messages(id_, one, reading, odd)
            times[id_] = normal.moment(one.get("timestamp"))
        yield Entry(id_, parent, content, line)


def _messages(id_: str, one: Mapping[str, Any], reading: Reading, odd: list[tuple[str, bool]]) -> list[dict[str, Any]]:
    role = normal.string(one.get("role"))
    if role is None:
        odd.append((f"message {id_!r} has no role; taken for the user", True))
        role = "user"
    said: list[normal.Part | normal.Result] = []
    other: list[Any] = []
    for number, item in enumerate(normal.objects(one.get("output"))):
        found = _item(item, f"{id_}-{number}")
        said += found
        if not _is_known(item):
            other.append(item)
    content = one.get("content")
    whole = isinstance(content, str)
    if not said:
        said += _content(content, id_, role)
        whole = whole or (isinstance(content, list) and len(said) == len(content))
    said += [_file(each) for each in normal.objects(one.get("files"))]
    time = normal.moment(one.get("timestamp"))
    used = ["parentId", "childrenIds", *normal.texts(one, "role", "model"), *normal.lists(one, "output", "files")]
    used += ["content"] if whole else []
    used += ["id"] if one.get("id") == id_ else []
    used += ["done"] if one.get("done") is True else []
    used += ["usage"] if isinstance(one.get("usage"), dict) else []
    used += ["timestamp"] if time is not None else []
    return normal.turn(
        role,
        said,
        source=SOURCE,
        id=normal.string(one.get("id")),
        place=None if normal.string(one.get("id")) else id_,
        time=time,
        model=normal.string(one.get("model")),
        usage=one["usage"] if isinstance(one.get("usage"), dict) else None,
        more={
            "other": other or None,
            "extra": normal.rest(one, *used),
        },
        raw=one if reading.raw else None,
    )


def _item(item: Mapping[str, Any], id_: str) -> list[normal.Part | normal.Result]:
    """What one item of ``output`` says; nothing where it is of no known kind, or empty."""
    kind = item.get("type")
    own_id = normal.string(item.get("call_id")) or normal.string(item.get("id")) or id_
    if kind == "message":
        return [normal.text(said) for said in [_texts(item.get("content"))] if said]
    if kind == "reasoning":
        return [normal.thinking(said) for said in [_texts(item.get("summary")) or _texts(item.get("content"))] if said]
    if kind == "function_call":
        return [normal.call(own_id, normal.string(item.get("name")) or "tool", item.get("arguments", "{}"))]
    if kind == "function_call_output":
        parts: list[normal.Part] = [normal.text(said) for said in [_texts(item.get("output"))] if said]
        parts += [_file(each) for each in normal.objects(item.get("files"))]
        return [normal.Result(normal.string(item.get("call_id")), parts)]
    if kind == _CODE:
        return _run(own_id, item.get("lang"), item.get("code"), item.get("output"))
    return []


def _run(id_: str, language: Any, code: Any, output: Any) -> list[normal.Part | normal.Result]:
    """Code that was run, as a call."""
    said: list[normal.Part | normal.Result] = [normal.call(id_, "code_interpreter", {"lang": language, "code": code})]
    if isinstance(output, str):
        said.append(normal.Result(id_, output))
    elif isinstance(output, dict):
        said.append(normal.Result(id_, encode_found(output).decode()))
    return said


def _is_known(item: Mapping[str, Any]) -> bool:
    """Whether what :func:`_item` makes of an item is all that it says."""
    kind = item.get("type")
    if kind == "function_call":
        return len(normal.texts(item, "name")) == 1
    if kind == _CODE:
        return isinstance(item.get("code"), str) and isinstance(item.get("output"), str | dict | None)
    keys = {"message": ["content"], "reasoning": ["summary", "content"], "function_call_output": ["output"]}
    return isinstance(kind, str) and kind in keys and all(_is_text(item.get(key)) for key in keys[kind])


def _is_text(value: Any) -> bool:
    """Whether :func:`_texts` has all that this says."""
    if value is None or isinstance(value, str):
        return True
    return isinstance(value, list) and all(
        isinstance(one, dict) and isinstance(one.get("text"), str) and one.get("type") in _TEXT_PARTS for one in value
    )


def _texts(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "".join(one["text"] for one in normal.objects(value) if isinstance(one.get("text"), str))


def _content(value: Any, id_: str, role: str) -> list[normal.Part | normal.Result]:
    if isinstance(value, str):
        return _details(value, id_) if role == "assistant" else [normal.text(value)] if value else []
    said: list[normal.Part | normal.Result] = []
    for part in normal.objects(value):
        url = normal.string(normal.fields(part.get("image_url")).get("url"))
        if url is not None:
            said.append(normal.image(normal.by_reference(url)))
        elif isinstance(part.get("text"), str):
            said.append(normal.text(part["text"]))
    return said


def _details(text: str, id_: str) -> list[normal.Part | normal.Result]:
    """The content of an older answer: text, with reasoning and calls as HTML among it."""
    said: list[normal.Part | normal.Result] = []
    at = start = 0  # what is not taken yet, and what was not looked at yet: each character is looked at once
    while (opening := text.find(_OPENING, start)) >= 0 and (start := text.find(">", opening) + 1):
        attributes = dict(_ATTRIBUTE.findall(text[opening : start - 1]))
        if attributes.get("type") not in _DETAILS:
            continue
        end = text.find(_CLOSING, start)
        if end < 0:
            break
        _add_text(said, text[at:opening])
        if attributes["type"] == "reasoning":
            said.append(normal.thinking(_unquoted(text[start:end])))
        elif attributes["type"] == "code_interpreter":
            output = _said(attributes, "output") if "output" in attributes else None
            said += _run(f"{id_}-{opening}", *_fenced(text[start:end]), output)
        else:
            call_id = attributes.get("id") or f"{id_}-{opening}"
            name = unescape(attributes.get("name") or "tool")
            said.append(normal.call(call_id, name, _said(attributes, "arguments")))
            if attributes.get("done") != "false":
                said.append(normal.Result(call_id, _said(attributes, "result")))
        at = start = end + len(_CLOSING)
    _add_text(said, text[at:])
    return said


def _unsummed(body: str) -> str:
    """What stands behind the summary of what was done, or of how long it took."""
    summary = _SUMMARY.match(body)
    return body[summary.end() if summary else 0 :].strip("\n")


def _fenced(body: str) -> tuple[str | None, str]:
    """The language and the code, which stand between fences."""
    said = _unsummed(body)
    first, _, rest = said.partition("\n")
    if not first.startswith(_FENCE) or not rest.endswith(_FENCE):
        return None, said
    return first.removeprefix(_FENCE) or None, rest.removesuffix(_FENCE).removesuffix("\n")


def _unquoted(body: str) -> str:
    """Reasoning, which stands as a quotation."""
    lines = _unsummed(body).split("\n")
    return unescape("\n".join(line.removeprefix(">").removeprefix(" ") for line in lines))


def _add_text(said: list[normal.Part | normal.Result], text: str) -> None:
    if text.strip():
        said.append(normal.text(text.strip("\n")))


def _said(attributes: Mapping[str, str], key: str) -> str:
    """An attribute's text: escaped JSON of a text, or of something else."""
    said = unescape(attributes.get(key, ""))
    if not said.startswith('"'):
        return said
    try:
        value = decode_value(said.encode(errors="surrogatepass"))
    except ValueError:
        return said
    return value if isinstance(value, str) else said


def _file(one: Mapping[str, Any]) -> normal.Part:
    url = normal.string(one.get("url"))
    name = normal.string(one.get("name")) or normal.string(one.get("id"))
    if one.get("type") == "image" and url is not None:
        return normal.image(
            normal.by_reference(url), **normal.details(normal.rest(one, "type", *normal.texts(one, "url")))
        )
    about = one if url is None else {**one, "url": normal.by_reference(url)}
    used = normal.texts(about, "name")
    return normal.file(
        name or normal.string(about.get("url")) or "unnamed", **normal.details(normal.rest(about, *used))
    )
