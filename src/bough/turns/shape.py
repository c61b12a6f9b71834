"""What one message means for turns: the calls it makes, the results it brings, and where they stand in it.

The values that the three families give and that grouping, checking and repairing work on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from bough.model import Message

Provider: TypeAlias = Literal["openai", "openai-responses", "anthropic"]
"""``openai`` is the chat completions interface."""

Key: TypeAlias = tuple[str, str]
"""What joins a call and its result: where ids of this sort come from, and the id."""

Slot: TypeAlias = tuple[str, int]
"""A place in a message: the key and the index in the list that stands there."""

WHOLE: Slot = ("", 0)
"""The slot of a message that is nothing but this call or result."""


class Call(Struct, frozen=True, kw_only=True):
    """A call that needs a result. ``key`` is None where it has no id: then no result can name it."""

    key: Key | None
    name: str
    slot: Slot


class Result(Struct, frozen=True, kw_only=True):
    """``answers``: it stands in a message that may bring results; ``leading``: nothing but results before it there."""

    key: Key | None
    slot: Slot
    answers: bool = True
    leading: bool = True


class Shape(Struct, frozen=True, kw_only=True):
    """``families`` are the providers whose own way of writing is seen; none for a plain message.

    ``item`` is a Responses item that the model put out; ``reasoning`` one that belongs to the item behind it;
    ``follows`` says that the message may be that item, if it is no reasoning itself.
    """

    role: str | None = None
    calls: tuple[Call, ...] = ()
    results: tuple[Result, ...] = ()
    families: frozenset[Provider] = frozenset()
    item: bool = False
    reasoning: bool = False
    follows: bool = False


def key_of(sort: str, identity: object) -> Key | None:
    return (sort, identity) if isinstance(identity, str) and identity else None


def name_of(found: object, otherwise: str) -> str:
    return found if isinstance(found, str) and found else otherwise


def dicts(value: object) -> Iterable[tuple[int, dict[str, Any]]]:
    """The objects of a list with their indexes; nothing where it is no list."""
    return [(at, item) for at, item in enumerate(value) if isinstance(item, dict)] if isinstance(value, list) else []


def is_blank(value: object) -> bool:
    return value is None or value == [] or (isinstance(value, str) and not value.strip())


def is_blank_text(block: object) -> bool:
    return isinstance(block, dict) and block.get("type") == "text" and is_blank(block.get("text"))


def says_something(message: Message) -> bool:
    """Whether anything is left in a message that calls or results were taken out of."""
    content = message.get("content")
    blank = all(map(is_blank_text, content)) if isinstance(content, list) else is_blank(content)
    return not blank or any(message.get(key) for key in ("tool_calls", "function_call", "refusal", "audio"))
