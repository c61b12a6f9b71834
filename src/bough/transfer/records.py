"""The JSON objects of a file, whatever holds them: a line each, the elements of one array, or the file as a whole.

Memory holds one object. What is no JSON object becomes a :class:`~bough.transfer.tree.Defect`; only blank lines are
passed over.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple, TypeAlias

from bough.codec import decode
from bough.transfer.elements import Torn, elements
from bough.transfer.sources import Source
from bough.transfer.tree import Conversation, Defect

MAX_LINE = 256 << 20
"""Bytes of the longest line that is read, its newline included: a huge file of one line must not fill the memory."""
_MAX_WHOLE = 1 << 30
_BOM = b"\xef\xbb\xbf"

Decode: TypeAlias = Callable[[bytes], dict[str, Any]]
"""Bytes to an object, or ``ValueError``."""

Progress: TypeAlias = Callable[[int], object]
"""Hears the bytes read so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a format is told beside the records: where they lie, and whether each message shall keep its original."""

    source: Source
    raw: bool = False


class Record(NamedTuple):
    """One JSON object of a file: all of it, or the keys that the format looks at; and its bytes.

    ``line`` is its line, or its number in the array, counted from 1; ``offset`` and ``size`` are where its line lies in
    the file, None where it does not have a line of its own."""

    file: str
    line: int
    value: dict[str, Any]
    data: bytes
    offset: int | None = None
    size: int = 0


def read_records(file: BinaryIO, name: str, progress: Progress, decode: Decode = decode) -> Iterator[Record | Defect]:
    """The objects of a file that is open at its beginning."""
    first = file.readline(1 << 16)
    start = first.removeprefix(_BOM).lstrip()
    if start.startswith(b"["):
        yield from _of_array(_Again(first, file), name, progress, decode)
    elif start.startswith(b"{") and not _is_line(start) and first.endswith(b"\n") and start.rstrip() in (b"{", b""):
        yield from _of_whole(first, file, name, progress, decode)
    else:
        yield from _of_lines(first, file, name, progress, decode)


def _is_line(data: bytes) -> bool:
    try:
        decode(data)
    except ValueError:
        return False
    return True


class _Again(io.RawIOBase):
    """A file whose beginning was read already, read from there."""

    def __init__(self, first: bytes, rest: BinaryIO) -> None:
        self._first = first
        self._rest = rest

    def read(self, size: int = -1) -> bytes:
        first, self._first = self._first, b""
        return first + self._rest.read(size)


def _of_array(file: Any, name: str, progress: Progress, decode: Decode) -> Iterator[Record | Defect]:
    number = 0
    try:
        for read, data in elements(file):
            number += 1
            progress(read)
            yield _record(name, number, data, decode)
    except Torn as error:
        yield Defect(file=name, line=number + 1, reason=str(error))


def _of_whole(first: bytes, file: BinaryIO, name: str, progress: Progress, decode: Decode) -> Iterator[Record | Defect]:
    data = first + file.read(_MAX_WHOLE)
    progress(len(data))
    if len(data) >= _MAX_WHOLE:
        yield Defect(file=name, line=1, reason=f"longer than {_MAX_WHOLE} bytes")
        return
    yield _record(name, 1, data.removeprefix(_BOM), decode)


def _of_lines(first: bytes, file: BinaryIO, name: str, progress: Progress, decode: Decode) -> Iterator[Record | Defect]:
    at = number = 0
    data = first if first.endswith(b"\n") or not first else first + file.readline(MAX_LINE + 1)
    while data:
        number += 1
        begin = at
        at += len(data)
        rest = data
        while len(rest) > MAX_LINE and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE + 1)
            at += len(rest)
        progress(at)
        if number == 1:
            data = data.removeprefix(_BOM)
        if data and not data.isspace():
            yield _record(name, number, data, decode, begin, at - begin)
        data = file.readline(MAX_LINE + 1)


def _record(
    name: str, number: int, data: bytes, decode: Decode, offset: int | None = None, size: int = 0
) -> Record | Defect:
    if len(data) > MAX_LINE and offset is not None:
        return Defect(file=name, line=number, reason=f"longer than {MAX_LINE} bytes")
    try:
        return Record(name, number, decode(data), data, offset, size)
    except ValueError as error:
        return Defect(file=name, line=number, reason=str(error))


def read_each(
    records: Iterable[Record | Defect], parse: Callable[[Record], Iterable[Conversation | Defect]]
) -> Iterator[Conversation | Defect]:
    """For the formats of one conversation an object: ``parse`` raises ``ValueError`` where an object is none."""
    for record in records:
        if isinstance(record, Defect):
            yield record
            continue
        try:
            yield from parse(record)
        except ValueError as error:
            yield Defect(file=record.file, line=record.line, reason=str(error))
