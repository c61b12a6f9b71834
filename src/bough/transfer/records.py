"""The JSON objects of a file, whatever holds them: a line each, the elements of one array, or one behind the other over
several lines.

Memory holds one object. What is no JSON object becomes a :class:`~bough.transfer.tree.Defect`; only blank lines are
passed over. Where a file cannot be read on, what was read stays, and that is told.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, BinaryIO, NamedTuple, TypeAlias

from bough.codec import decode
from bough.errors import UnsupportedFormatError
from bough.transfer.elements import Torn, elements, values
from bough.transfer.sources import Source
from bough.transfer.tree import Conversation, Defect

MAX_LINE = 256 << 20
"""Bytes of the longest line that is read, its newline included: a huge file of one line must not fill the memory."""
_BEGINNING = 1 << 16
"""Bytes of a line that are looked at to see what holds the objects."""
_BLANK = 1000
"""Blank lines that may stand before it."""
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
    try:
        begun = [file.readline(_BEGINNING)]
        while begun[-1].endswith(b"\n") and not begun[-1].removeprefix(_BOM).strip() and len(begun) < _BLANK:
            begun.append(file.readline(_BEGINNING))
        start = begun[-1].removeprefix(_BOM).lstrip()
        split = elements if start.startswith(b"[") else None
        if start.startswith(b"{") and _goes_on(start):
            begun.append(file.readline(_BEGINNING))
            split = None if _is_line(begun[-1]) else values  # a torn line of many looks like the first of an object
        if split is None:
            yield from _of_lines(begun, file, name, progress, decode)
        else:
            again = _Again(b"".join(begun).removeprefix(_BOM), file)
            yield from _of_values(split, again, name, progress, decode)
        file.read(1)  # what is packed tells of its damage only to those who read on
    except (UnsupportedFormatError, OSError) as error:
        yield Defect(file=name, line=0, reason=str(error))


def _goes_on(line: bytes) -> bool:
    """Whether a line shows that its object takes several, or that only carriage returns end lines."""
    return (line.endswith(b"\n") and line.rstrip().endswith((b"{", b"[", b","))) or b"\r" in line.strip()


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


def _of_values(
    split: Callable[[Any], Iterator[tuple[int, bytes]]], file: Any, name: str, progress: Progress, decode: Decode
) -> Iterator[Record | Defect]:
    number = 0
    try:
        for read, data in split(file):
            number += 1
            progress(read)
            yield _record(name, number, data, decode)
    except Torn as error:
        yield Defect(file=name, line=number + 1, reason=str(error))


def _of_lines(
    begun: list[bytes], file: BinaryIO, name: str, progress: Progress, decode: Decode
) -> Iterator[Record | Defect]:
    """``begun`` are the lines that were read already; of the last maybe only the beginning."""
    at = 0
    if len(begun[-1]) == _BEGINNING and not begun[-1].endswith(b"\n"):
        begun[-1] += file.readline(MAX_LINE + 1)
    for number, data in enumerate(chain(begun, iter(partial(file.readline, MAX_LINE + 1), b"")), 1):
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
