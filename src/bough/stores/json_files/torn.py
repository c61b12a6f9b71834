"""Where the torn end of a document begins: what a crash in the middle of an append left.

Reading goes forward and stops at the first line that is not a whole message; what follows must be explained by the one
append that was torn, else it is damage, and nothing is said. An unfinished batch is dropped: its lines but the last end
in a space (:mod:`.document`, 2). What the messages are called is for :mod:`.foreign` to say.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bough.codec import decode, decode_value
from bough.model import BranchRecord, Tip, replace
from bough.stores.json_files.document import edits_from_json, is_checked, pieces_from_json, record_from


def has_torn_closing(data: bytes) -> bool:
    """Whether the last line is one of ours that was written in part."""
    at = data.rfind(b'\n],"updatedAt":"')
    return at >= 0 and not is_checked(data[at + 1 :])


@dataclass(frozen=True, slots=True, kw_only=True)
class Torn:
    """What the repair rule keeps of a document whose end is torn: its lines from ``start``, ``size`` bytes of them.

    ``grafted`` is the branch as it was when a graft wrote the file, if that is in its head line.
    """

    record: BranchRecord
    grafted: BranchRecord | None
    start: int
    size: int
    length: int
    reason: str


def torn_end(data: bytes, status: os.stat_result) -> Torn:
    """Reads a document forward, stops at the first line that is not a whole message, drops an unfinished batch.

    ``ValueError`` where that is no torn end but damage: the head cannot be read, or whole messages follow what stopped
    it that are not of the same torn append.
    """
    newline = data.find(b"\n")
    head = data[:newline]
    if newline < 0 or not head.endswith(b'"messages":['):
        raise ValueError("its first line is not whole")
    fields = decode_value(head + b"]}")
    start = at = newline + 1
    kept_end, kept = start, 0
    lines = 0
    while (stop := data.find(b"\n", at)) >= 0:
        line = data[at:stop]
        body = line.rstrip(b", ") if line.endswith((b"},", b"}, ", b"}")) else b""
        if not body or not is_message(body):
            break
        lines += 1
        if not line.endswith(b" "):
            kept_end, kept = at + len(body), lines
        at = stop + 1
    whole = _before_old_closing(data[at:] if stop < 0 else data[at:stop])
    if whole is not None:
        kept_end, kept = at + len(whole), lines + 1
    elif stop >= 0 and not data.startswith(b"]", at) and not _is_torn_append(data, start, at, stop):
        raise ValueError(f"line {lines + 2} is broken, and whole messages follow it")
    record = record_from(fields, history=(), tip=Tip("", 0), operation=0, fallback=status.st_mtime)
    return Torn(
        record=replace(record, updated_at=datetime.fromtimestamp(int(status.st_mtime), UTC)),
        grafted=grafted_base(fields.get("grafted"), record),
        start=start,
        size=max(0, kept_end - start),
        length=kept,
        reason=f"its end is torn after message {kept} ({len(data) - kept_end} bytes)",
    )


def grafted_base(value: Any, record: BranchRecord) -> BranchRecord | None:
    """What ``grafted`` of a head line says of the branch; None where there is none."""
    try:
        history, (segment, following), operation, *more = value
        return replace(
            record,
            history=pieces_from_json(history),
            tip=Tip(segment, following),
            operation=operation,
            edits=edits_from_json(*more) if more else (),
        )
    except (TypeError, ValueError):
        return None


def _is_torn_append(data: bytes, start: int, at: int, stop: int) -> bool:
    """Whether the broken line from ``at`` to ``stop`` and all that follows can be of one append that a power failure
    kept in part: it has a gap of zeros there, and what follows is of the same batch."""
    following = [
        line for line in data[stop + 1 :].split(b"\n") if line.startswith(b"{") and is_message(line.rstrip(b", "))
    ]
    if not following:
        return True
    if b"\0" not in data[at:stop]:
        return False
    closing = data.rfind(b"\n]")
    try:
        fields = decode_value(b'{"":[' + data[closing + 1 :])
        if fields["extent"][1] == closing - start:
            return bool(start + fields["append"][0] <= at)
    except (ValueError, KeyError, TypeError, IndexError):
        pass
    return all(line.endswith(b" ") for line in following[:-1])


def is_message(line: bytes) -> bool:
    try:
        decode(line)
    except ValueError:
        return False
    return True


def _before_old_closing(line: bytes) -> bytes | None:
    """The last whole message of a line where an append got no further than its first byte, the comma."""
    at = line.find(b'},],"updatedAt":')  # in no JSON: a string would have its quotes escaped
    return line[: at + 1] if at >= 0 and is_message(line[: at + 1]) else None
