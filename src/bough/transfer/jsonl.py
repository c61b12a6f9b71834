"""Files of one JSON object a line, read one line at a time: memory holds one line, however long the file is.

A line that is no JSON object becomes a :class:`~bough.transfer.tree.Defect`; only blank lines are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

from bough.codec import decode
from bough.transfer.tree import Conversation, Defect

MAX_LINE = 256 << 20
"""Bytes of the longest line that is read, its newline included: a huge file of one line must not fill the memory."""


class Record(NamedTuple):
    """The JSON object of one line of a file. Lines are counted from 1."""

    file: str
    line: int
    value: dict[str, Any]


def read_records(file: BinaryIO, name: str, progress: Callable[[int], object]) -> Iterator[Record | Defect]:
    """The lines of a file that is open at its beginning. ``progress`` hears the bytes read so far after each line."""
    at = number = 0
    while data := file.readline(MAX_LINE + 1):
        number += 1
        at += len(data)
        rest = data
        while len(rest) > MAX_LINE and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE + 1)
            at += len(rest)
        progress(at)
        if number == 1:
            data = data.removeprefix(b"\xef\xbb\xbf")  # a byte order mark
        if data and not data.isspace():
            yield _record(name, number, data)


def _record(name: str, number: int, data: bytes) -> Record | Defect:
    if len(data) > MAX_LINE:
        return Defect(file=name, line=number, reason=f"longer than {MAX_LINE} bytes")
    try:
        return Record(name, number, decode(data))
    except ValueError as error:
        return Defect(file=name, line=number, reason=str(error))


def read_each(
    records: Iterable[Record | Defect], parse: Callable[[Record], Conversation]
) -> Iterator[Conversation | Defect]:
    """For the formats of one conversation a line: ``parse`` raises ``ValueError`` where a line is none."""
    for record in records:
        yield record if isinstance(record, Defect) else _parsed(record, parse)


def _parsed(record: Record, parse: Callable[[Record], Conversation]) -> Conversation | Defect:
    try:
        return parse(record)
    except ValueError as error:
        return Defect(file=record.file, line=record.line, reason=str(error))
