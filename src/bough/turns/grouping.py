"""Which messages must stay together, and the nearest place where a conversation may be cut.

The state machine reads forward from the first message of a group and never looks back. So a group is the same from
wherever one begins to read, provided that a group begins there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from msgspec import Struct

from bough.model import Message
from bough.turns.families import read
from bough.turns.shape import Key, Shape


class Group(Struct, frozen=True, kw_only=True):
    """The messages ``start`` (inclusive) to ``stop`` (exclusive). They must stay together; one message is enough."""

    start: int
    stop: int


def groups(messages: Sequence[Message]) -> list[Group]:
    """The groups of a conversation, in order; together they are all of it.

    A message with calls (in Responses: the first call, or the reasoning before it) opens a group. It closes when all
    calls are answered, or before the first message that cannot be an answer: then the calls that are still open dangle.
    In Responses the items that the model puts out before the first output belong to the group as well, where an output
    or another call follows them; reasoning goes with the item that follows it. A result that answers no call of an open
    group is a group of one, and so is any other message.

    It reads from the beginning of what it is given: of a window, begin at a :func:`safe_start`.
    """
    return list(group_shapes([read(message) for message in messages]))


def group_shapes(shapes: Sequence[Shape]) -> Iterator[Group]:
    start = 0
    while start < len(shapes):
        stop = _stop(shapes.__getitem__, start, len(shapes))
        yield Group(start=start, stop=stop)
        start = stop


def align(messages: Sequence[Message], index: int, direction: Literal["back", "forward"]) -> int:
    """The nearest boundary between groups at or before (``back``), at or after (``forward``) an index from 0 to the
    number of messages. A group whose calls dangle ends where its last message does.

    It asks for the length and for the messages around the index only, so the sequence may read each from a store.
    ``IndexError`` for an index outside of the conversation.
    """
    size = len(messages)
    if not 0 <= index <= size:
        raise IndexError(f"no place {index} in a conversation of {size} messages")
    if index == size:
        return size
    known = _Reader(messages)
    start = _safe_start(known, index)
    while (stop := _stop(known, start, size)) <= index:
        start = stop
    return start if index == start or direction == "back" else stop


def safe_start(messages: Sequence[Message], index: int) -> int:
    """The nearest index at or before ``index`` where a group surely begins, whatever stands before it.

    Such are the first message, a message of the user or the system without results, an assistant's with calls, and
    whatever is no result behind a message of a role. ``messages[safe_start(messages, index):]`` is a window that
    :func:`groups`, :func:`check` and :func:`repair` may be given. It reads backwards from the index only as far as
    needed. ``IndexError`` as in :func:`align`.
    """
    if not 0 <= index <= len(messages):
        raise IndexError(f"no place {index} in a conversation of {len(messages)} messages")
    return index if index == len(messages) else _safe_start(_Reader(messages), index)


class _Reader:
    """The shapes of messages, each read once."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages
        self._shapes: dict[int, Shape] = {}

    def __call__(self, index: int) -> Shape:
        if index not in self._shapes:
            self._shapes[index] = read(self._messages[index])
        return self._shapes[index]


def _safe_start(at: Callable[[int], Shape], index: int) -> int:
    while index > 0 and not _surely_begins(at(index), at(index - 1)):
        index -= 1
    return index


def _surely_begins(shape: Shape, before: Shape) -> bool:
    """Whether no group can hold both. Calls and results stand before a result; before anything else in a group stands
    a Responses item."""
    if before.item:
        return not (shape.results or shape.item or shape.follows)
    return not (shape.results and (before.calls or before.results))


def _stop(at: Callable[[int], Shape], start: int, size: int) -> int:
    """Where the group that begins at ``start`` ends."""
    index = start
    while index < size and at(index).reasoning:
        index += 1
    if index > start and not (index < size and at(index).follows):
        return index
    calls = {call.key for call in at(index).calls if call.key}
    stop = index + 1
    if not at(index).item:
        return _answered(at, calls, stop, size) if calls else stop
    if not at(index).calls:
        return stop
    index = stop
    while index < size and at(index).item:
        keys = {call.key for call in at(index).calls if call.key}
        index += 1
        if keys:
            calls |= keys
            stop = index
    # What the model put out behind its last call is in the group only if an answer stands behind it.
    answered = _answered(at, calls, index, size)
    return answered if answered > index else stop


def _answered(at: Callable[[int], Shape], calls: set[Key], index: int, size: int) -> int:
    """The end of the messages from ``index`` on that answer any of the calls, until none is open."""
    waiting = set(calls)
    while waiting and index < size:
        found = {result.key for result in at(index).results if result.answers and result.key in calls}
        if not found:
            break
        waiting -= found
        index += 1
    return index
