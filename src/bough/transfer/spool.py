"""What was read and is needed later, put aside: memory holds where it lies.

For files that cannot be read again from the middle, or of which a message is made of several lines. It goes to an
anonymous file in the system's folder for such (``TMPDIR``) once there is much of it, and is gone with the last who
knows of it, however the process ends.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from tempfile import SpooledTemporaryFile

from bough.codec import decode_block, encode_found
from bough.model import Message

IN_MEMORY = 4 << 20
"""Bytes that are held without a file."""


class Spool:
    """Bytes, found again by where they were put."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  (closed when nobody knows of it any more)
        self._size = 0
        weakref.finalize(self, self._file.close)

    def put(self, data: bytes) -> int:
        """Where it lies."""
        begin = self._size
        self._file.seek(begin)
        self._file.write(data)
        self._size += len(data)
        return begin

    def read(self, begin: int, size: int) -> bytes:
        self._file.seek(begin)
        return self._file.read(size)

    def keep(self, messages: Sequence[Message]) -> Kept | tuple[()]:
        """Messages, put aside; none are none."""
        if not messages:
            return ()
        data = b",".join(map(encode_found, messages))
        return Kept(self, self.put(data), len(data))


class Kept:
    """Messages in a spool, read each time they are asked for. Equal to others that say the same."""

    __slots__ = ("_begin", "_size", "_spool")

    def __init__(self, spool: Spool, begin: int, size: int) -> None:
        self._spool = spool
        self._begin = begin
        self._size = size

    def __call__(self) -> list[Message]:
        return decode_block(self._data())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Kept) and self._data() == other._data()

    def _data(self) -> bytes:
        return self._spool.read(self._begin, self._size)
