"""What :mod:`.verify` finds in the operation log, and what it needs to know from there. Reads only.

1. Every line is read, also behind one that cannot be.
2. Where the log is not ``whole``, nothing is concluded from what it does not say; where numbers are missing, nothing
   of what they may have told. (A copy of a damaged session has such gaps too, and is right.)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TypeAlias

from bough.history import length, subtract, union
from bough.model import BranchRecord, Finding, History, Operation, Piece, Severity
from bough.stores.json_files.folder import Folder
from bough.stores.json_files.log import Entry, Tail, decode_entry, is_checked

_Tell: TypeAlias = Callable[..., None]
_ADVICE = "operations before it can perhaps not be undone; the branches themselves do not depend on it"


@dataclass(slots=True)
class LogLook:
    """What the log says. ``displaced`` are branches before the operations that were asked for, by number and id;
    ``anew`` are those that one operation left and a later one made, though none had removed them, by id."""

    findings: list[Finding] = field(default_factory=list)
    whole: bool = True
    number: int = 0
    told: set[int] = field(default_factory=set)
    gaps: bool = False
    last: dict[str, BranchRecord | None] = field(default_factory=dict)
    changed_by: dict[str, int] = field(default_factory=dict)
    anew: dict[str, tuple[int, int]] = field(default_factory=dict)
    displaced: dict[tuple[int, str], BranchRecord] = field(default_factory=dict)
    head: tuple[str | None, int] | None = None
    pieces: set[Piece] = field(default_factory=set)
    freed: History = ()


def look_at_log(folder: Folder, tail: Tail, wanted: Collection[int]) -> LogLook:
    """Reads all of it. ``wanted`` are the operations whose branches are to be remembered as they were before."""
    look = LogLook()
    path = folder.log.path
    line_number = unread = 0
    has_checks = False
    set_at: int | None = None
    at = 0

    def tell(problem: str, severity: Severity = "error", advice: str = _ADVICE) -> None:
        look.findings.append(Finding(place=path, problem=problem, severity=severity, advice=advice))

    for line in folder.log.forwards(tail.end):
        line_number += 1
        begin, at = at, at + len(line) + 1
        try:
            entry = decode_entry(line)
        except (ValueError, KeyError, TypeError) as error:
            if at != tail.end or not tail.problem:  # which tells of it
                tell(f"line {line_number}: this operation cannot be read: {error}")
            look.whole = False
            unread += 1
            continue
        operation = entry.operation
        fits = is_checked(line)
        if fits is False or (fits is None and (has_checks or operation.user)):
            tell(f"line {line_number}: operation {operation.number} is not as it was written: its check does not fit")
            look.whole = False
        has_checks = has_checks or fits is not None
        _number(look, operation.number, line_number, unread, tell)
        unread = 0
        set_at = begin if operation.attributes is not None else set_at
        if at == tail.end and look.whole and tail.set_at != set_at and not tail.unset:
            tell(
                f"line {line_number}: it names a wrong place for the session's attributes", "warning", "set them again"
            )
        _remember(look, entry, wanted)
    _ending(folder, tail, tell)
    return look


def _number(look: LogLook, number: int, line_number: int, unread: int, tell: _Tell) -> None:
    if look.number and number <= look.number:
        tell(f"line {line_number}: operation {number} follows operation {look.number}")
        look.whole = False
    elif number > look.number + 1 + unread:
        look.gaps = True  # :mod:`bough.fsck` tells
    look.number = max(look.number, number)
    look.told.add(number)


def _remember(look: LogLook, entry: Entry, wanted: Collection[int]) -> None:
    operation = entry.operation
    for change in operation.branches:
        if change.before is None and look.last.get(change.id) is not None:
            look.anew[change.id] = (look.changed_by[change.id], operation.number)
        look.last[change.id] = change.after
        look.changed_by[change.id] = operation.number
        if change.before is not None and operation.number in wanted:
            look.displaced[operation.number, change.id] = change.before
        for record in (change.before, change.after):
            if record is not None:
                look.pieces.update(record.history)
    if operation.head_after is not None and operation.head_after != operation.head_before:
        look.head = operation.head_after, operation.number
    if operation.freed:
        look.freed = union(look.freed, operation.freed)


def _ending(folder: Folder, tail: Tail, tell: _Tell) -> None:
    if tail.problem:
        return  # the state tells of it
    try:
        size = os.lstat(folder.log.path).st_size
    except FileNotFoundError:
        return
    if size > tail.end and folder.log.tail().end == tail.end:  # else an operation came meanwhile
        advice = "it was never acknowledged; the next change cuts it off"
        tell(f"its end is torn: {size - tail.end} bytes of an operation that was not finished", "note", advice)


def lost_histories(folder: Folder, tail: Tail, lost: History) -> list[Finding]:
    """A finding for each branch that had messages of ``lost`` before or after some operation."""
    found: dict[str, tuple[list[int], History]] = {}
    for line in folder.log.forwards(tail.end):
        try:
            operation: Operation = decode_entry(line).operation
        except (ValueError, KeyError, TypeError):
            continue
        for change in operation.branches:
            for record in (change.before, change.after):
                rest = subtract(record.history, subtract(record.history, lost)) if record is not None else ()
                if rest:
                    numbers, known = found.setdefault(change.id, ([], ()))
                    found[change.id] = ([*numbers[:1], operation.number], union(known, rest))
    return [
        Finding(
            place=folder.log.path,
            problem=f"{counted(length(rest))} that branch {id_!r} had at {_operations(numbers)} "
            f"{'is' if length(rest) == 1 else 'are'} in no document",
            branch_id=id_,
            severity="warning",
            advice="the branches are whole without them, but what needs them cannot be undone",
            history=rest,
        )
        for id_, (numbers, rest) in sorted(found.items())
    ]


def counted(number: int) -> str:
    """``1 message``, ``2 messages``."""
    return f"{number} message{'' if number == 1 else 's'}"


def _operations(numbers: list[int]) -> str:
    first, last = numbers[0], numbers[-1]
    return f"operation {first}" if first == last else f"operations {first} to {last}"
