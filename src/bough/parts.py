"""What a message says, part by part, for people and for formats that know only text. Pure.

Knows the shapes of OpenAI's chat completions and Responses, Anthropic's blocks, and what imports make of others. What
it does not know is ``data``, whole, as JSON: nothing that a message holds beside ``metadata`` is left out. No shape of
a message makes it raise. It deliberately judges nothing (:mod:`bough.turns` does).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from bough.codec import encode_found
from bough.model import Message

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


def spoken(message: Message) -> Iterator[Part]:
    """What is said and called, in its order; of a message that has no place for that, all of it."""
    if "content" not in message and "tool_calls" not in message:
        yield from _part(message)
        return
    is_result = role_of(message) in ("tool", "function")
    for part in _content(message.get("content")):
        yield Part("result", part.text) if is_result and part.kind == "text" else part
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        yield _call(function) if isinstance(function, dict) else Part("data", as_json(call))


def parts_of(message: Message) -> Iterator[Part]:
    """All that a message holds beside its metadata: what is spoken, then its other keys."""
    yield from spoken(message)
    if "content" not in message and "tool_calls" not in message:
        return
    rest = {key: value for key, value in message.items() if key not in _SAID and value not in (None, "", [], {})}
    rest.pop("timestamp", None)
    calls = message.get("tool_calls")
    if isinstance(calls, dict | str) and calls:
        rest["tool_calls"] = calls
    if rest:
        yield Part("data", as_json(rest))


def text_of(parts: Iterable[Part]) -> str:
    """As one text, with what is no prose in square brackets."""
    return "\n".join(map(_shown, parts))


def gist(message: Message) -> str:
    """What a line has room for: what is said or done first; a thought only where that is all."""
    shown = [(part.kind == "thinking", _shown(part)) for part in spoken(message)]
    return next((text for _, text in sorted(shown, key=itemgetter(0)) if text.strip()), "")


def _shown(part: Part) -> str:
    if part.kind in ("text", "result"):
        return part.text
    if part.kind == "call":
        return f"[{part.name}({part.text})]"
    return f"[{part.text}]" if part.kind == "data" else f"[{part.kind}: {part.text}]"


def as_json(value: Any) -> str:
    """Any JSON value as one line."""
    return encode_found({"": value}).decode()[len('{"":') : -1]


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
