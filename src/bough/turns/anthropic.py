"""Anthropic messages: ``tool_use`` blocks of an assistant message, answered in the next user message.

That message brings a ``tool_result`` block for each, before any other block. ``server_tool_use`` and ``mcp_tool_use``
have their results in the same assistant message and need none from the user. Text blocks must say something; only the
last message, if it is the assistant's, may have no content.
(docs.anthropic.com: "Tool use" and "Messages", and the messages of its error 400.)

The interface joins messages of one role in a row before it looks. Here a result in the second of two user messages is
misplaced: other services with the same messages do not join them.
"""

from __future__ import annotations

from typing import Any

from bough.model import Message
from bough.turns.shape import Call, Key, Result, dicts, is_blank, is_blank_text, key_of, name_of

USE = "tool_use"
ROLES = frozenset({"system", "developer", "user", "assistant"})
THINKING = ("thinking", "redacted_thinking")
OWN_BLOCKS = frozenset({USE, "tool_result", "server_tool_use", "mcp_tool_use", "image", "document", *THINKING})


def calls_of(message: Message) -> list[Call]:
    if message.get("role") != "assistant":
        return []
    return [
        Call(key=key_of(USE, block.get("id")), name=name_of(block.get("name"), "a tool"), slot=("content", at))
        for at, block in dicts(message.get("content"))
        if block.get("type") == USE
    ]


def results_of(message: Message) -> list[Result]:
    role = message.get("role")
    found: list[Result] = []
    for at, block in dicts(message.get("content")):
        if block.get("type") == "tool_result":
            # The block at n has nothing but results before it if it is the n-th of them.
            leading = at == len(found)
            key = key_of(USE, block.get("tool_use_id"))
            found.append(Result(key=key, slot=("content", at), answers=role == "user", leading=leading))
    return found


def is_own_block(kind: object) -> bool:
    return isinstance(kind, str) and (kind in OWN_BLOCKS or kind.endswith("_tool_result"))


def is_empty(message: Message, *, last: bool) -> bool:
    """No content, or a text block without text, where the interface refuses that."""
    if message.get("role") not in ROLES:
        return False
    content = message.get("content")
    if is_blank(content):
        foreign = message.get("tool_calls") or message.get("function_call")
        return not foreign and not (last and message["role"] == "assistant" and content in ("", []))
    return isinstance(content, list) and without_blank_text(content) != content


def without_blank_text(content: list[Any]) -> list[Any]:
    """The blocks without text blocks that say nothing, those inside results too."""
    kept = []
    for block in content:
        if is_blank_text(block):
            continue
        inner = block.get("content") if isinstance(block, dict) and block.get("type") == "tool_result" else None
        if isinstance(inner, list) and any(map(is_blank_text, inner)):
            said = [part for part in inner if not is_blank_text(part)]
            block = {**block, "content": said} if said else {k: v for k, v in block.items() if k != "content"}
        kept.append(block)
    return kept


def without_last_thinking(content: list[Any]) -> list[Any]:
    """What is left when calls went: an assistant message may not end in a thinking block."""
    end = len(content)
    while end and isinstance(content[end - 1], dict) and content[end - 1].get("type") in THINKING:
        end -= 1
    return content[:end]


def with_results(blocks: list[Any], results: list[Any]) -> list[Any]:
    """The content of a user message with more results, behind those at its beginning."""
    at = 0
    while at < len(blocks) and isinstance(blocks[at], dict) and blocks[at].get("type") == "tool_result":
        at += 1
    return [*blocks[:at], *results, *blocks[at:]]


def missing(key: Key, text: str) -> Message:
    """The block for a call whose result is missing."""
    return {"type": "tool_result", "tool_use_id": key[1], "content": text, "is_error": True}
