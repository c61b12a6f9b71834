"""What to change in a conversation so that a provider takes it.

Each pass mends what was found and looks again, because taking one thing out may leave another alone (reasoning behind
which its call is gone). Turns come first; contents are looked at when they match. It ends because a pass only adds
results to calls that had none, and takes away everything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias, get_args

from msgspec import Struct

from bough.errors import InvalidRequestError
from bough.model import Message
from bough.turns import anthropic, chat, responses
from bough.turns.checking import Asked, Fault, TurnProblem, faults, is_empty
from bough.turns.families import read
from bough.turns.grouping import Group
from bough.turns.shape import WHOLE, Provider, Slot, says_something

How: TypeAlias = Literal["complete", "remove"]

MISSING = "There is no result: it was not recorded, or the call was interrupted."
NOTHING = "(no content)"

UNMENDED = ("role-order", "unknown-shape")
"""Kinds of problems that no repair can mend."""
_TURNS = ("dangling-call", "dangling-result", "duplicate-result", "duplicate-call", "misplaced-result")

_Entry: TypeAlias = tuple[int | None, Message]
"""A message and the index where it stood; None for one that was changed or made."""


class Repaired(Struct, frozen=True, kw_only=True):
    """The messages of the repaired conversation.

    ``parts``: an int is the index of a message that stays exactly as it is (a misplaced one may stand elsewhere now), a
    dict is a new or changed message. ``problems`` are those of the conversation as it was, ``left`` those that it has
    now: their index counts the parts.
    """

    parts: list[int | Message]
    problems: list[TurnProblem]
    left: list[TurnProblem]


def repair(
    messages: Sequence[Message], *, provider: Provider | None = None, how: Literal["complete", "remove"] = "complete"
) -> Repaired:
    """The smallest change that leaves nothing of what :func:`check` finds but ``role-order`` and ``unknown-shape``.

    ``complete`` gives a dangling call a result that says it is missing (an error for Anthropic, a refusal for an
    approval that was asked for); ``remove`` takes the call out of its message, and the message out if nothing is left.
    A call that no result can be made for (it has no id, or wants a screenshot) is taken out either way. So are results
    of no call, all but the first of calls and results that are there twice, and reasoning without its item. Misplaced
    results go behind their call. Text blocks without text are taken out; a message that then has no content says so if
    it is a user's or a result, and is taken out otherwise. ``InvalidRequestError`` for another
    provider or another ``how``.
    """
    if how not in get_args(How):
        raise InvalidRequestError(f"no way to repair {how!r}", hint=f"there are {', '.join(get_args(How))}")
    entries: list[_Entry] = list(enumerate(messages))
    found = faults(messages, provider)
    problems = [fault.problem for fault in found]
    while any(fault.problem.kind not in UNMENDED for fault in found):
        of_turns = [fault for fault in found if fault.problem.kind in (*_TURNS, "dangling-reasoning")]
        entries = _Turns(entries, how).mended(of_turns) if of_turns else _said(entries, found, provider)
        found = faults([message for _, message in entries], provider)
    parts = [message if index is None else index for index, message in entries]
    return Repaired(parts=parts, problems=problems, left=[fault.problem for fault in found])


class _Turns:
    """One pass over calls and results: what goes out of each message, and what comes in behind each group."""

    def __init__(self, entries: Sequence[_Entry], how: How) -> None:
        self._entries = entries
        self._shapes = [read(message) for _, message in entries]
        self._how = how
        self._out: dict[int, set[Slot]] = {}
        self._groups: dict[int, Group] = {}
        self._added: dict[int, list[tuple[Asked, _Entry]]] = {}

    def mended(self, found: Sequence[Fault]) -> list[_Entry]:
        for fault in found:
            self._plan(fault)
        for group in self._groups.values():
            self._take_reasoning_out(group)
        messages: dict[int, list[_Entry]] = {}  # what comes before each index
        blocks: dict[int, list[Message]] = {}  # what comes into the message at each index
        for start, added in self._added.items():
            added.sort(key=lambda one: (one[0].index, one[0].call.slot))
            group = self._groups[start]
            whole = [entry for asked, entry in added if not _is_block(asked)]
            inner = [entry[1] for asked, entry in added if _is_block(asked)]
            user = self._answering_user(group)
            if inner and user is None:
                whole.append((None, {"role": "user", "content": inner}))
            elif inner and user is not None:
                blocks[user] = inner
            messages[group.stop] = whole
        mended: list[_Entry] = []
        for index, entry in enumerate(self._entries):
            mended += messages.get(index, ())
            mended += self._changed(entry, self._out.get(index, set()), blocks.get(index, []))
        return mended + messages.get(len(self._entries), [])

    def _plan(self, fault: Fault) -> None:
        index, asked, slot = fault.problem.index, fault.asked, fault.slot or WHOLE
        if asked is not None:
            self._groups[asked.group.start] = asked.group
        if asked is not None and fault.problem.kind == "misplaced-result":
            origin, message = self._entries[index]
            self._add(asked, (origin, message) if slot == WHOLE else (None, message["content"][slot[1]]))
        elif asked is not None and fault.problem.kind == "dangling-call" and self._how == "complete":
            result = _missing(asked, self._entries[index][1])
            if result is not None:
                self._add(asked, (None, result))
                return
        self._out.setdefault(index, set()).add(slot)

    def _add(self, asked: Asked, entry: _Entry) -> None:
        self._added.setdefault(asked.group.start, []).append((asked, entry))

    def _take_reasoning_out(self, group: Group) -> None:
        """Reasoning goes with the calls that it led to; it cannot lead to what follows them."""
        members = range(group.start, group.stop)
        if all(WHOLE in self._out.get(index, ()) for index in members if self._shapes[index].calls):
            for index in members:
                if self._shapes[index].reasoning:
                    self._out.setdefault(index, set()).add(WHOLE)

    def _answering_user(self, group: Group) -> int | None:
        for index in range(group.start + 1, group.stop):
            results = self._shapes[index].results
            if any(one.answers and one.key and one.key[0] == anthropic.USE for one in results):
                return index
        return None

    def _changed(self, entry: _Entry, out: set[Slot], blocks: list[Message]) -> list[_Entry]:
        if not out and not blocks:
            return [entry]
        message = _without(entry[1], out)
        if blocks:
            rest = message["content"] if message else []
            message = {**entry[1], "content": anthropic.with_results(rest, blocks)}
        return [] if message is None else [(None, message)]


def _is_block(asked: Asked) -> bool:
    return asked.call.key is not None and asked.call.key[0] == anthropic.USE


def _missing(asked: Asked, message: Message) -> Message | None:
    key = asked.call.key
    if key is None:
        return None
    if key[0] == anthropic.USE:
        return anthropic.missing(key, MISSING)
    if key[0] in (chat.CALLS, chat.FUNCTION):
        return chat.missing(key, MISSING)
    return responses.missing(message, key, MISSING)


def _without(message: Message, slots: set[Slot]) -> Message | None:
    """The message without what stands in the slots; None if it says nothing then."""
    if WHOLE in slots:
        return None
    changed = dict(message)
    for name in {name for name, _ in slots}:
        value = message[name]
        kept = [item for at, item in enumerate(value) if (name, at) not in slots] if isinstance(value, list) else []
        if name == "content" and message.get("role") == "assistant":
            kept = anthropic.without_last_thinking(kept)
        if kept or name == "content":
            changed[name] = kept
        else:
            del changed[name]
    return changed if says_something(changed) else None


def _said(entries: Sequence[_Entry], found: Iterable[Fault], provider: Provider | None) -> list[_Entry]:
    """The pass over contents."""
    empty = {fault.problem.index for fault in found if fault.problem.kind == "empty-content"}
    mended: list[_Entry] = []
    for index, entry in enumerate(entries):
        message = _with_content(entry[1], provider, last=index == len(entries) - 1) if index in empty else entry[1]
        if message is not None:
            mended.append((None, message) if index in empty else entry)
    return mended


def _with_content(message: Message, provider: Provider | None, *, last: bool) -> Message | None:
    changed = {key: value for key, value in message.items() if key != chat.CALLS or value != []}
    content = changed.get("content")
    if isinstance(content, list):
        content = anthropic.without_blank_text(content)
        changed["content"] = anthropic.without_last_thinking(content) if message["role"] == "assistant" else content
    if not is_empty(changed, provider, last=last):
        return changed
    return {**changed, "content": NOTHING} if message["role"] in ("user", "tool", "function") else None
