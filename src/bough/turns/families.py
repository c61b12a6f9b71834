"""Any message read by the family that it belongs to."""

from __future__ import annotations

from bough.model import Message
from bough.turns import anthropic, chat, responses
from bough.turns.shape import Provider, Shape, dicts

_BLOCKS: dict[str, Provider] = {
    "image_url": "openai",
    "input_audio": "openai",
    "input_text": "openai-responses",
    "output_text": "openai-responses",
    "input_image": "openai-responses",
    "input_file": "openai-responses",
}


def read(message: Message) -> Shape:
    """The shape of one message. A message that no family knows is a plain one."""
    if responses.is_item(message):
        return responses.read(message)
    families: set[Provider] = {"openai"} if chat.is_own(message) else set()
    for _, block in dicts(message.get("content")):
        kind = block.get("type")
        if anthropic.is_own_block(kind):
            families.add("anthropic")
        elif isinstance(kind, str) and kind in _BLOCKS:
            families.add(_BLOCKS[kind])
    role = message.get("role")
    calls = (*chat.calls_of(message), *anthropic.calls_of(message))
    results = (*chat.results_of(message), *anthropic.results_of(message))
    says = role == "assistant" and not calls and not results
    return Shape(
        role=role if isinstance(role, str) else None,
        calls=calls,
        results=results,
        families=frozenset(families),
        item=says and message.get("type") == "message",
        follows=says,
    )
