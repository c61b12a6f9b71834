"""Lines read again, for what they say."""

from __future__ import annotations

from array import array

from bough.transfer.records import Reading, Record
from bough.transfer.spool import Spool

BLOCK = 1 << 18
"""Bytes that are read at once."""


class Again:
    """The bytes of lines, by their numbers. No file stays open: a block is read at once, and the next line mostly
    stands in it. A member of an archive cannot be read from the middle: its lines are put aside."""

    def __init__(self, reading: Reading) -> None:
        self._source = reading.source
        self._offsets = array("q")
        self._sizes = array("q")
        self._spool: Spool | None = None
        self._block = b""
        self._start = 0

    def remember(self, record: Record) -> None:
        """The next line."""
        if self._source.path is None or record.offset is None:
            self._spool = self._spool or Spool()
            self._offsets.append(self._spool.put(record.data))
            self._sizes.append(len(record.data))
        else:
            self._offsets.append(record.offset)
            self._sizes.append(record.size)

    def line(self, number: int) -> bytes:
        """``ValueError`` where it cannot be read any more."""
        start = self._offsets[number] - self._start
        stop = start + self._sizes[number]
        if start < 0 or stop > len(self._block):
            self._start += start
            start, stop = 0, stop - start
            self._block = self._read(self._start, max(BLOCK, stop))
        line = self._block[start:stop]
        if stop >= len(self._block):
            self._block = b""
        return line.removeprefix(b"\xef\xbb\xbf")

    def _read(self, start: int, size: int) -> bytes:
        if self._spool is not None:
            return self._spool.read(start, size)
        try:
            with self._source.open() as file:
                file.seek(start)
                return file.read(size)
        except OSError as error:
            raise ValueError(f"{self._source.name} cannot be read any more: {error}") from None
