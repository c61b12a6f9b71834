"""Operations in words and as JSON: what ``ops`` shows, and what the verbs that make one say of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bough import history
from bough.cli.text import count, plain
from bough.codec import time_text
from bough.model import BranchChange, BranchRecord, History, Operation, Version

if TYPE_CHECKING:
    from bough.branch import ConversationBranch, Undone
    from bough.cli.app import App
    from bough.manager import ConversationBranchManager

MAX_NAMES = 3
"""Branches that a line names; of more it says how many."""


def operation_of(manager: ConversationBranchManager, number: int) -> Operation:
    """The operation of a number. ``InvalidRequestError``."""
    from bough.errors import InvalidRequestError

    for operation in manager.operations():
        if operation.number == number:
            return operation
    raise InvalidRequestError(f"there is no operation {number}", hint="`bough ops` lists them")


class Made(NamedTuple):
    """What a verb did to a branch: the operation, None where it did nothing; how many messages came and left."""

    operation: int | None
    came: int
    left: int


def made(manager: ConversationBranchManager, before: ConversationBranch, version: Version) -> Made:
    """What led from ``before`` to that version of the branch."""
    if version.operation == before.version.operation:
        return Made(None, 0, 0)
    operation = operation_of(manager, version.operation)
    [entry] = [entry for entry in operation.branches if entry.id == before.id]
    return Made(operation.number, *difference(entry))


def difference(entry: BranchChange) -> tuple[int, int]:
    """How many messages came to a branch, and how many left it."""
    before, after = history_of(entry.before), history_of(entry.after)
    return history.length(history.subtract(after, before)), history.length(history.subtract(before, after))


def history_of(record: BranchRecord | None) -> History:
    return () if record is None else record.history


def words(operation: Operation) -> str:
    """What was done, in one line that is not safe for a terminal yet: ids may hold anything."""
    kind, detail = operation.kind, operation.detail
    names = _names(entry.id for entry in operation.branches)
    say = _WORDS.get(kind)
    said = say(operation, detail, names) if say else f"{kind.replace('-', ' ')}{' of ' if names else ''}{names}"
    return said + (_difference(operation.branches) if kind in _COUNTED else "")


def _create(operation: Operation, detail: Mapping[str, Any], names: str) -> str:
    made = operation.branches[0].after if operation.branches else None
    if made is None or made.parent_id is None:
        origin = f" from {detail['revision']}" if "revision" in detail else ", empty"
    else:
        origin = f" from {made.parent_id} at {made.parent_message_index}"
    return f"{operation.kind} {names}{origin}"


def _rename(operation: Operation, detail: Mapping[str, Any], names: str) -> str:
    after = operation.branches[0].after if operation.branches else None
    return f"rename {names}" + (f" to {after.name!r}" if after else "")


def _give_up(operation: Operation, detail: Mapping[str, Any], names: str) -> str:
    of = count(history.length(operation.freed), "message")
    return f"{operation.kind} of {of}{' in ' if names else ''}{names}"


def _reset(operation: Operation, detail: Mapping[str, Any], names: str) -> str:
    to = detail.get("to")
    return f"reset {names} to {count(to, 'message') if isinstance(to, int) else to}"


_WORDS: Mapping[str, Callable[[Operation, Mapping[str, Any], str], str]] = {
    "checkout": lambda each, _, __: f"switch from {each.head_before} to {each.head_after}",
    "create": _create,
    "fork": _create,
    "rename": _rename,
    "gc": _give_up,
    "purge": _give_up,
    "reset": _reset,
    "merge": lambda _, told, __: f"merge {told.get('source')} into {told.get('target')} ({told.get('strategy')})",
    "set": lambda _, __, names: f"set the messages of {names}",
    "edit": lambda _, told, names: f"edit {names}{_place(told.get('index'))}",
    "remove": lambda _, told, names: f"remove {names}{_place(told.get('start'), told.get('stop'))}",
    "cherry-pick": lambda _, __, names: f"cherry-pick into {names}",
    "revert": lambda _, told, names: f"revert {told.get('reverts')} ({_verb(told.get('kind'))}) in {names}",
    "repair": lambda _, told, names: f"repair {names} ({told.get('how')})",
    "describe": lambda _, told, names: (
        f"describe {names or 'the session'}: {', '.join(map(str, told.get('keys', ())))}"
    ),
    "tag": lambda _, told, __: f"tag {told.get('tag')}",
    "untag": lambda _, told, __: f"untag {told.get('tag')}",
    "delete": lambda _, __, names: f"delete {names}",
    "restore": lambda _, told, names: f"restore {told.get('branch')}{_as(names, told.get('branch'))}",
    "salvage": lambda _, told, names: f"salvage {told.get('of')}{_as(names, told.get('of'))}",
    "import": lambda _, __, names: f"import {names}",
    "undo": lambda _, told, __: f"undo {told.get('undoes')} ({_verb(told.get('kind'))})",
    "redo": lambda _, told, __: f"redo {told.get('redoes')} ({_verb(told.get('kind'))})",
}
"""Every kind of :class:`bough.model.Operation` that is not said best by its own name."""

_COUNTED = {"merge", "set", "reset", "cherry-pick", "revert", "repair", "import", "salvage", "external-edit"}


def _names(ids: Iterable[str]) -> str:
    listed = list(ids)
    return ", ".join(listed) if len(listed) <= MAX_NAMES else count(len(listed), "branch")


def _verb(kind: object) -> object:
    return "switch" if kind == "checkout" else kind


def _as(names: str, old: object) -> str:
    return "" if names == old else f" as {names}"


def _place(start: int | None, stop: int | None = None) -> str:
    """Indexes as people count."""
    if start is None:
        return ""
    return f":{start + 1}" if stop is None or stop == start + 1 else f":{start + 1}..{stop}"


def _difference(entries: Sequence[BranchChange]) -> str:
    """Of several branches each message once."""
    before = history.union(*(history_of(entry.before) for entry in entries))
    after = history.union(*(history_of(entry.after) for entry in entries))
    came, went = history.length(history.subtract(after, before)), history.length(history.subtract(before, after))
    shown = [*([f"+{came:,}"] if came else []), *([f"-{went:,}"] if went else [])]
    return f": {' '.join(shown)}" if shown else ""


def as_json(operation: Operation, *, undone: bool) -> dict[str, Any]:
    return {
        "number": operation.number,
        "kind": operation.kind,
        "text": words(operation),
        "at": time_text(operation.at),
        "user": operation.user,
        "hostname": operation.hostname,
        "pid": operation.pid,
        "head_before": operation.head_before,
        "head_after": operation.head_after,
        "undone": undone,
        "branches": [entry.id for entry in operation.branches],
    }


def who(operation: Operation, *, verbose: bool = False) -> str:
    named = f"{operation.user}@{operation.hostname}" if operation.user else operation.hostname
    return f"{named} ({operation.pid})" if verbose else named


def numbers_only_in(pieces: History, other: History) -> list[list[int]]:
    """The numbers (from 1, both included) of the messages of a history that another does not hold, in runs."""
    runs: list[list[int]] = []
    before = 0
    for piece in pieces:
        for _, start, stop in history.subtract((piece,), other):
            first, last = before + start - piece.start + 1, before + stop - piece.start
            if runs and runs[-1][1] + 1 == first:
                first = runs.pop()[0]
            runs.append([first, last])
        before += piece.stop - piece.start
    return runs


def ranges(runs: Iterable[list[int]]) -> Iterator[str]:
    for first, last in runs:
        yield str(first) if first == last else f"{first}..{last}"


def taken_back(app: App, manager: ConversationBranchManager, undone: Undone, verb: str) -> None:
    """The answer of ``undo`` and ``redo``."""
    head = manager.get_current_branch_id()
    result = {
        "operation": undone.operation,
        "kind": undone.kind,
        "at": time_text(undone.at),
        "branches": list(undone.branch_ids),
        "head": head,
        "dropped": list(undone.dropped),
        "left": undone.left,
        "passed_over": list(undone.passed_over),
    }
    done = plain(words(operation_of(manager, undone.operation)))
    lines = [f"{verb} operation {undone.operation}: {done}. On {plain(head)} now."]
    if undone.left:
        back = "`bough redo`" if verb == "Undid" else "`bough undo`"
        if len(undone.dropped) == 1:
            back += f" or `bough branch restore {plain(undone.dropped[0])}`"
        them = "it" if undone.left == 1 else "them"
        lines.append(f"{count(undone.left, 'message')} went with it: {back} brings {them} back.")
    if undone.passed_over:
        passed = ", ".join(map(str, undone.passed_over[:MAX_NAMES])) + (", …" if undone.passed_over[MAX_NAMES:] else "")
        of = "operation" if len(undone.passed_over) == 1 else "operations"
        lines.append(f"Passed over {of} {passed}, which another program did: see `bough ops`.")
    app.answer(result, *lines)
