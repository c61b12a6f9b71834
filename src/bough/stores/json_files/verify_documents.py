"""What :mod:`.verify` says of one document that is not as it should be: its lines, its first line, what the log says of
its branch, what another program made of it. Reads only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from bough.codec import decode_value
from bough.history import common_prefix, concat, cut, length, subtract
from bough.model import BranchRecord, Finding, Piece, Severity, Tip
from bough.stores.json_files.disk import open_file, read_range
from bough.stores.json_files.document import Document, head_line, read_found
from bough.stores.json_files.folder import ATTIC, SALVAGE, Folder, StaleError
from bough.stores.json_files.torn import grafted_base, has_torn_closing
from bough.stores.json_files.verify_lines import Contents, LinesLook, at_lines, look_at_lines, rescued_of
from bough.stores.json_files.verify_log import LogLook, counted

CHANGED = "changed by another program, or damaged"
_TAKES_OVER = "the next change takes it over as it is"


def damage(folder: Folder, contents: Contents, look: LinesLook) -> Finding:
    """A document whose lines are not those that its digest, or its own count, speaks of."""
    document = look.document
    history = document.record.history
    inside = document.name.startswith(ATTIC)
    place = folder.file(document.name)
    branch_id = document.record.id
    if len(look.hashes) != document.length:
        return Finding(
            place=place,
            problem=f"it has {counted(len(look.hashes))}, and its closing line speaks of {document.length}",
            branch_id=branch_id,
            advice=SALVAGE,
            history=subtract(history, contents.held),
            rescued=rescued_of(folder, look),
        )
    differing, sources, told = contents.differing(look, history)
    wrong = sorted({*look.broken, *differing})
    if look.broken:
        which = _numbers(look.broken)
        return Finding(
            place=place,
            problem=f"{which} cannot be read",
            branch_id=branch_id,
            advice=SALVAGE,
            history=at_lines(history, wrong),
            rescued=rescued_of(folder, look),
        )
    problem = f"its digest does not fit its lines: {CHANGED}"
    if differing:
        names = sorted({each.name for each in sources.values()})
        problem += f"; {_differ(differing)} from {', '.join(names)}"
    if not told:
        problem += "; which message changed cannot be told" if not differing else "; others may differ too"
    return Finding(
        place=place,
        problem=problem,
        branch_id=branch_id,
        severity="error" if inside else "warning",
        advice="what is undone with it may not be what it was" if inside else _TAKES_OVER,
        history=at_lines(history, wrong),
    )


def first_line(folder: Folder, document: Document) -> tuple[bool, BranchRecord | None]:
    """Whether the first line of a document is spelled as we do, and the branch as a graft left it, if it says."""
    try:
        descriptor = open_file(folder.file(document.name))
    except FileNotFoundError:
        raise StaleError from None
    try:
        head = read_range(descriptor, 0, document.start - 1)
    finally:
        os.close(descriptor)
    try:
        base = grafted_base(decode_value(head + b"]}").get("grafted"), document.record)
    except ValueError:
        raise StaleError from None
    return head_line(base or document.record, grafted=base is not None) == head + b"\n", base


def as_told(
    folder: Folder, log: LogLook, document: Document, grafted: BranchRecord | None, *, is_spelled: bool
) -> Iterator[Finding]:
    """Holds a document against the last word on its branch."""
    record = document.record
    place = folder.file(document.name)
    last = grafted if grafted is not None else log.last.get(record.id)

    def wrong(problem: str, severity: Severity = "error", advice: str = SALVAGE) -> Finding:
        return Finding(place=place, problem=problem, branch_id=record.id, severity=severity, advice=advice)

    if last is None:
        number = log.changed_by.get(record.id)
        if number is not None:
            yield wrong(f"operation {number} dropped this branch", "warning", "delete it again")
        elif record.operation in log.told:
            yield wrong("no operation tells of this branch", "warning", "it is used as it is")
        return
    if record.operation not in log.told and grafted is None:
        return  # the log lost that operation, which is told elsewhere
    if record.operation != last.operation:
        older = record.operation < last.operation
        reason = "an older copy may have been put in its place" if older else "the log does not tell of that"
        yield wrong(f"it is at operation {record.operation}, the log says {last.operation}: {reason}")
        return
    more = record.length - last.length
    tip = Tip(last.tip.segment, last.tip.next + more)
    added = (Piece(last.tip.segment, last.tip.next, tip.next),) if more > 0 else ()
    if more < 0 or record.tip != tip or record.history != concat(last.history, added) or record.edits != last.edits:
        yield wrong(f"its history is not what operation {last.operation} left and was appended since")
    if not is_spelled or head_line(record) != head_line(last):
        problem = f"its first line is not as operation {last.operation} left it: {CHANGED}"
        yield wrong(problem, "warning", "the next change of this branch writes it as it is now")


def rewritten(folder: Folder, log: LogLook, contents: Contents, document: Document) -> Finding:
    """A document that another program laid out, or whose closing line is damaged."""
    descriptor = open_file(folder.file(document.name))
    try:
        data, status = read_range(descriptor, 0, document.stamp[1]), os.fstat(descriptor)
    finally:
        os.close(descriptor)
    try:
        stale = read_found(data, status).record
    except ValueError:
        raise StaleError from None
    last = log.last.get(document.record.id)
    known = stale.history or (last.history if last is not None else ())
    kept = length(common_prefix(document.record.history, known))
    place, branch_id = folder.file(document.name), document.record.id
    look = look_at_lines(folder, document)
    if has_torn_closing(data):
        problem = f"its closing line is not as it was written: {CHANGED}"
    elif kept == length(known):
        problem = "another program has written it; the next change takes it over"
        return Finding(place=place, problem=problem, branch_id=branch_id, severity="note", advice="nothing is lost")
    else:
        were = "was" if length(known) == 1 else "were"
        problem = f"{CHANGED}: {counted(document.length)}, {length(known)} {were} known"
    differing, sources, _ = contents.differing(look, known)
    if differing:
        names = sorted({each.name for each in sources.values() if each.name != document.name})
        problem += f"; {_differ(differing)} from {', '.join(names)}"
    elif kept < length(known):
        problem += f"; the first {kept} are as they were, the others cannot be told"
    changed = at_lines(known, differing) if differing else cut(known, kept, length(known))
    return Finding(
        place=place,
        problem=problem,
        branch_id=branch_id,
        severity="warning",
        advice=_TAKES_OVER,
        history=changed,
    )


def _differ(indexes: list[int]) -> str:
    return f"{_numbers(indexes)} {'differs' if len(indexes) == 1 else 'differ'}"


def _numbers(indexes: list[int]) -> str:
    """``message 3``, ``messages 3, 4 and 9``."""
    said = [str(index + 1) for index in indexes[:10]]
    if len(said) == 1:
        return f"message {said[0]}"
    more = f" and {len(indexes) - 10} more" if len(indexes) > 10 else ""
    return f"messages {', '.join(said)}{more}"
