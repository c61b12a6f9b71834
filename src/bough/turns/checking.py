"""What a provider would refuse in the turns of a conversation, found in one pass over its groups.

``faults`` is for repairing: each problem with the place where it can be mended. ``check`` is for people.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from bough.errors import InvalidRequestError
from bough.model import Message
from bough.turns import anthropic, chat, responses
from bough.turns.families import read
from bough.turns.grouping import Group, group_shapes
from bough.turns.shape import Call, Key, Provider, Result, Shape, Slot

TurnProblemKind: TypeAlias = Literal[
    "dangling-call",
    "dangling-result",
    "duplicate-result",
    "duplicate-call",
    "misplaced-result",
    "role-order",
    "empty-content",
    "dangling-reasoning",
    "unknown-shape",
]

_NAMES: dict[Provider, str] = {
    "openai": "OpenAI's chat completions",
    "openai-responses": "OpenAI's Responses",
    "anthropic": "Anthropic's messages",
}

_ROLES = {"openai": chat.ROLES, "openai-responses": responses.ROLES, "anthropic": anthropic.ROLES}

_REUSED = (chat.CALLS, chat.FUNCTION)
"""Where an id may come again: some servers of this interface count from 0 in each turn; a function is its own id."""


class TurnProblem(Struct, frozen=True, kw_only=True):
    """What is wrong with the message at ``index``, in one sentence for people.

    ``at_end``: nothing stands behind it but what the model put out together with it, so the tool may be running still.
    """

    index: int
    kind: TurnProblemKind
    text: str
    at_end: bool = False


class Fault(Struct, frozen=True, kw_only=True):
    """A problem and its place: the slot of the call or result; ``asked`` is the call itself, or the one answered."""

    problem: TurnProblem
    slot: Slot | None = None
    asked: Asked | None = None


class Asked(Struct, kw_only=True, eq=False):
    """A call in its conversation; ``result`` is where its result stands, once that is found."""

    call: Call
    index: int
    group: Group
    result: tuple[int, Result] | None = None


def check(messages: Sequence[Message], *, provider: Provider | None = None) -> list[TurnProblem]:
    """What would be refused, in the order of the messages.

    Without a provider only what every one refuses: calls and results that do not match, reasoning without its item, and
    messages without any content. With one also what that provider alone refuses: text that is empty or blank and the
    order of roles (Anthropic), and messages that are written in another family's way. ``InvalidRequestError`` for
    another provider.

    Where ids need not be unique in a whole conversation (chat completions), the same id may be called again once it
    was answered.
    """
    return [fault.problem for fault in faults(messages, provider)]


def faults(messages: Sequence[Message], provider: Provider | None) -> list[Fault]:
    if provider is not None and provider not in tuple(_NAMES):
        raise InvalidRequestError(f"no provider {provider!r}", hint=f"there are {', '.join(_NAMES)}")
    shapes = [read(message) for message in messages]
    found = [*_turn_faults(shapes), *_reasoning_faults(shapes), *_empty_faults(messages, shapes, provider)]
    if provider is not None:
        found += _shape_faults(messages, shapes, provider)
    if provider == "anthropic":
        found += _order_faults(shapes)
    return sorted(found, key=lambda fault: fault.problem.index)


def _fault(
    kind: TurnProblemKind,
    index: int,
    text: str,
    slot: Slot | None = None,
    asked: Asked | None = None,
    *,
    at_end: bool = False,
) -> Fault:
    return Fault(problem=TurnProblem(index=index, kind=kind, text=text, at_end=at_end), slot=slot, asked=asked)


def _turn_faults(shapes: Sequence[Shape]) -> list[Fault]:
    """Calls and results that do not match."""
    found: list[Fault] = []
    asked: dict[Key, list[Asked]] = {}
    strays: list[tuple[int, Result]] = []
    for group in group_shapes(shapes):
        here: dict[Key, Asked] = {}
        for index in range(group.start, group.stop):
            for call in shapes[index].calls:
                one = Asked(call=call, index=index, group=group)
                if call.key is None:
                    found.append(_dangling(one, shapes))
                elif call.key in here or (call.key in asked and call.key[0] not in _REUSED):
                    found.append(
                        _fault("duplicate-call", index, f"The call {_label(call)} was made before.", call.slot, one)
                    )
                else:
                    here[call.key] = one
                    asked.setdefault(call.key, []).append(one)
        strays += _match(shapes, group, here, found)
    found += [_stray(index, result, asked) for index, result in strays]
    found += [_dangling(one, shapes) for calls in asked.values() for one in calls if one.result is None]
    return found


def _match(
    shapes: Sequence[Shape], group: Group, here: dict[Key, Asked], found: list[Fault]
) -> list[tuple[int, Result]]:
    """Gives the calls of a group their results. Those that answer none of them are returned."""
    strays = []
    first = None  # Anthropic's results stand in one message
    for index in range(group.start, group.stop):
        for result in shapes[index].results:
            one = here.get(result.key) if result.key and result.answers else None
            if one is None or one.result is not None:
                strays.append((index, result))
                continue
            one.result = (index, result)
            if one.call.key and one.call.key[0] == anthropic.USE:
                first = index if first is None else first
                if index != first or not result.leading:
                    text = (
                        f"The result of the call {_label(one.call)} is not at the beginning of the message behind it."
                    )
                    found.append(_fault("misplaced-result", index, text, result.slot, one))
    return strays


def _stray(index: int, result: Result, asked: dict[Key, list[Asked]]) -> Fault:
    """A result outside of its group: of the nearest call before it that still waits, or else of one behind it."""
    calls = asked.get(result.key, []) if result.key else []
    waiting = [one for one in calls if one.result is None]
    if waiting:
        one = next((one for one in reversed(waiting) if one.index <= index), waiting[0])
        one.result = (index, result)
        text = f"The result of the call {_label(one.call)} does not stand directly behind it."
        return _fault("misplaced-result", index, text, result.slot, one)
    if calls:
        text = f"The call {_label(calls[-1].call)} has a result already; this is one more."
        return _fault("duplicate-result", index, text, result.slot)
    name = f"a call {result.key[1]}, which is not there" if result.key else "no call: it names none"
    return _fault("dangling-result", index, f"This is a result of {name}.", result.slot)


def _dangling(one: Asked, shapes: Sequence[Shape]) -> Fault:
    rest = range(one.group.stop, len(shapes))
    at_end = not rest or (shapes[one.index].item and all(shapes[index].item for index in rest))
    text = f"The call {_label(one.call)} has no result{' yet' if at_end else ''}."
    if one.call.key is None:
        text = f"The call {_label(one.call)} has no id, so it cannot have a result."
    return _fault("dangling-call", one.index, text, one.call.slot, one, at_end=at_end)


def _reasoning_faults(shapes: Sequence[Shape]) -> Iterator[Fault]:
    follower: Shape | None = None  # what stands behind a row of reasoning
    for index in range(len(shapes) - 1, -1, -1):
        if not shapes[index].reasoning:
            follower = shapes[index]
        elif follower is None or not follower.follows:
            text = "This reasoning is not followed by what the model put out after it."
            yield _fault("dangling-reasoning", index, text, at_end=follower is None)


def _empty_faults(messages: Sequence[Message], shapes: Sequence[Shape], provider: Provider | None) -> Iterator[Fault]:
    for index, (message, shape) in enumerate(zip(messages, shapes, strict=True)):
        if shape.role and is_empty(message, provider, last=index == len(messages) - 1):
            yield _fault("empty-content", index, f"This message of the role {shape.role} has an empty content.")


def is_empty(message: Message, provider: Provider | None, *, last: bool) -> bool:
    """Whether the provider, or every one, refuses the message for what it does not say."""
    by_openai = provider == "anthropic" or chat.is_empty(message)
    by_anthropic = provider in ("openai", "openai-responses") or anthropic.is_empty(message, last=last)
    return by_openai and by_anthropic


def _shape_faults(messages: Sequence[Message], shapes: Sequence[Shape], provider: Provider) -> Iterator[Fault]:
    for index, (message, shape) in enumerate(zip(messages, shapes, strict=True)):
        others = shape.families - {provider}
        item = provider == "openai-responses" and responses.is_item(message)
        if others:
            names = " and ".join(sorted(_NAMES[name] for name in others))
            yield _fault(
                "unknown-shape", index, f"{_NAMES[provider]} do not know the shape of this message: it is of {names}."
            )
        elif not item and shape.role not in _ROLES[provider]:
            what = f"the role {shape.role}" if shape.role else "no role"
            yield _fault("unknown-shape", index, f"{_NAMES[provider]} do not know a message with {what}.")


def _order_faults(shapes: Sequence[Shape]) -> Iterator[Fault]:
    """Anthropic: the system's text, if it stands here at all, then the user, and no other instructions later."""
    index = 0
    while index < len(shapes) and shapes[index].role == "system":
        index += 1
    if index < len(shapes) and shapes[index].role != "user":
        yield _fault("role-order", index, "The first message is not the user's.")
    for later in range(index, len(shapes)):
        if shapes[later].role in ("system", "developer"):
            yield _fault("role-order", later, f"A message of the role {shapes[later].role} stands in the conversation.")


def _label(call: Call) -> str:
    return f"{call.name} ({call.key[1]})" if call.key else call.name
