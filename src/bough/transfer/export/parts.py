"""What a message says, part by part, for people and for formats that know only text.

Knows the shapes of OpenAI's chat completions and Responses, Anthropic's blocks, and what imports make of others. What
it does not know is ``data``, whole, as JSON: nothing that a message holds beside ``metadata`` is left out. No shape of
a message makes it raise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

from bough.codec import decode_value, encode_found
from bough.model import Message
from bough.transfer import normal

Kind = Literal["text", "thinking", "call", "result", "image", "file", "data"]

_TEXTS = frozenset({"text", "input_text", "output_text", "refusal", "summary_text"})
_CALLS = frozenset({"tool_use", "function_call", "custom_tool_call", "server_tool_use"})
_RESULTS = frozenset({"tool_result", "function_call_output", "custom_tool_call_output"})
_IMAGES = frozenset({"image_url", "input_image", "image"})
_FILES = frozenset({"file", "input_file", "document"})
_SAID = frozenset({"role", "content", "tool_calls", "metadata", "tool_call_id", "name", "type", "id", "status"})
MAX_URL = 300
"""Characters of a reference that are shown; an image may stand in its URL, with all its bytes."""


class Part(NamedTuple):
    """``name`` is the tool that a call calls; ``text`` what is said: arguments, an output, a reference."""

    kind: Kind
    text: str
    name: str = ""


def role_of(message: Message) -> str:
    """The role; a message without one is called by its type."""
    for key in ("role", "type"):
        if isinstance(message.get(key), str) and message[key]:
            return str(message[key])
    return "message"


def time_of(message: Message) -> datetime | None:
    """When it was said, as its metadata or the message itself knows."""
    metadata = normal.fields(message.get("metadata"))
    return normal.moment(metadata.get("time")) or normal.moment(message.get("timestamp"))


def parts_of(message: Message) -> Iterator[Part]:
    """The parts in their order."""
    if "content" not in message and "tool_calls" not in message:
        yield from _part(message)
        return
    found = list(_content(message.get("content")))
    if role_of(message) in ("tool", "function"):
        found = [Part("result", part.text) if part.kind == "text" else part for part in found]
    yield from found
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = normal.fields(call).get("function")
        yield _call(function) if isinstance(function, dict) else Part("data", as_json(call))
    rest = {key: value for key, value in message.items() if key not in _SAID and value not in (None, "", [], {})}
    rest.pop("timestamp", None)
    if isinstance(calls, dict | str) and calls:
        rest["tool_calls"] = calls
    if rest:
        yield Part("data", as_json(rest))


def text_of(message: Message) -> str:
    """All that is said as one text, with what is no prose in square brackets."""
    return "\n".join(
        part.text
        if part.kind in ("text", "result")
        else f"[{part.name}({part.text})]"
        if part.kind == "call"
        else f"[{part.kind}: {part.text}]"
        for part in parts_of(message)
    )


def first_line(message: Message, size: int) -> str:
    """The first line that is not blank, of at most ``size`` characters, with white space and controls as one space."""
    said = (f"{part.name} {part.text}" for part in parts_of(message))
    text = next((each for each in said if each.strip()), "").lstrip()[: 20 * size]
    line = text.splitlines()[0] if text else ""
    line = " ".join("".join(char if char.isprintable() else " " for char in line).split())
    return line if len(line) <= size else line[: size - 1].rstrip() + "…"


def indented(text: str) -> str:
    """JSON as people read it; what is no JSON stays as it is."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        value = decode_value(text.encode(errors="surrogatepass"))
        return json.dumps(value, indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def as_json(value: Any) -> str:
    """Any JSON value as one line."""
    return encode_found({"": value}).decode()[len('{"":') : -1]


def utf8(text: str) -> bytes:
    """The text encoded; a lone surrogate, which no encoding has, as the replacement character."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text).encode()


def _content(content: object) -> Iterator[Part]:
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            yield Part("text", part)
        elif isinstance(part, dict):
            yield from _part(part)
        elif part is not None:
            yield Part("data", as_json(part))


def _part(part: Mapping[str, Any]) -> Iterator[Part]:
    kind = part.get("type")
    said = kind if isinstance(kind, str) else ""
    text = part.get("text", part.get("refusal"))
    if (said in _TEXTS or not said) and isinstance(text, str):
        yield Part("text", text)
    elif said in ("thinking", "reasoning") and _thought(part):
        yield Part("thinking", _thought(part))
    elif said in _CALLS:
        yield _call(part)
    elif said in _RESULTS:
        for inner in _content(part.get("content", part.get("output"))):
            yield Part("result", inner.text) if inner.kind == "text" else inner
    elif said in _IMAGES or said in _FILES:
        yield Part("image" if said in _IMAGES else "file", _reference(part))
    else:
        yield Part("data", as_json(part))


def _thought(part: Mapping[str, Any]) -> str:
    for key in ("thinking", "text"):
        if isinstance(part.get(key), str):
            return str(part[key])
    texts = [one.text for key in ("summary", "content") for one in _content(part.get(key)) if one.kind == "text"]
    return "\n\n".join(texts)


def _call(call: Mapping[str, Any]) -> Part:
    arguments = call.get("arguments", call.get("input", ""))
    return Part("call", arguments if isinstance(arguments, str) else as_json(arguments), str(call.get("name", "call")))


def _reference(part: Mapping[str, Any]) -> str:
    """The URL, the name or the id; else the whole, cut."""
    pending: list[Any] = [part.get(key) for key in ("image_url", "file", "source")] + [part]
    for value in pending:
        if isinstance(value, str):
            return _cut(value)
        for key in ("url", "filename", "file_id", "file_url", "title", "id"):
            if isinstance(value, dict) and isinstance(value.get(key), str):
                return _cut(value[key])
    return _cut(as_json(part))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_URL else text[: MAX_URL - 1] + "…"
