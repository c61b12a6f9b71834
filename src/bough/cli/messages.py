"""Messages as people read them: who speaks, and what is said.

Knows the shapes of the OpenAI chat, OpenAI Responses and Anthropic interfaces, and shows any other object as JSON, so
that nothing is ever blank. It deliberately judges nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bough.codec import encode_found
from bough.model import Message

ROLE_COLOURS = {"system": "magenta", "developer": "magenta", "user": "cyan", "assistant": "yellow", "tool": "blue"}


def role_of(message: Message) -> str:
    """The role; a message without one is called by its type."""
    for key in ("role", "type"):
        if isinstance(message.get(key), str) and message[key]:
            return str(message[key])
    return "message"


def text_of(message: Message) -> str:
    """All that is said, with calls of tools and other things in square brackets."""
    parts = _texts(message.get("content"))
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        parts.append(_call(function) if isinstance(function, dict) else _bracketed(call))
    if not parts and "content" not in message:
        parts = [_part(message)]
    return "\n".join(parts)


def _texts(content: object) -> list[str]:
    if content is None or content == []:
        return []
    return [_part(part) for part in content] if isinstance(content, list) else [_part(content)]


def _part(part: object) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return _bracketed(part)
    if isinstance(part.get("text"), str):
        return str(part["text"])
    if part.get("type") in ("tool_use", "function_call"):
        return _call(part)
    if part.get("type") in ("tool_result", "function_call_output"):
        return "\n".join(_texts(part.get("content", part.get("output"))))
    return _bracketed(part)


def _call(call: Mapping[str, Any]) -> str:
    arguments = call.get("arguments", call.get("input", ""))
    return f"[{call.get('name', 'call')}({arguments if isinstance(arguments, str) else _json(arguments)})]"


def _bracketed(value: object) -> str:
    return f"[{_json(value)}]"


def _json(value: object) -> str:
    return encode_found({"": value}).decode()[len('{"":') : -1]
