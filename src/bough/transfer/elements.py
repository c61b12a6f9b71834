"""The elements of a huge JSON array, or values one behind the other, one at a time: memory holds one, however long the
file is.

The bytes are looked through for strings and brackets alone, to see where an element ends; what it says is the decoder's
business. A broken element costs itself. Where even its end cannot be told (a string that never closes), it costs the
rest of the file, and that is told.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import BinaryIO

CHUNK = 1 << 20
MAX_ELEMENT = 1 << 30
"""Bytes of the longest element that is held."""

# A backslash that the bytes end with belongs to the string: whoever follows it may be a quote.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+["\\]?|[\[\]{}]', re.DOTALL)
_QUOTE = ord('"')
_BETWEEN = b" \t\r\n,"


class Torn(Exception):  # noqa: N818  (a place in a file)
    """The array ends where it should not: in the middle of an element, or before its bracket."""


class _Window:
    """The part of a file from the beginning of the present element on."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.bytes = file.read(CHUNK)
        self.read = len(self.bytes)
        self.start = self.at = 0

    def token(self) -> re.Match[bytes] | None:
        """The next string or bracket; None where the file ends. :class:`Torn` where it ends inside a string."""
        while True:
            token = _TOKEN.search(self.bytes, self.at)
            if token is not None and (token.end() < len(self.bytes) or self.bytes[token.start()] != _QUOTE):
                self.at = token.end()
                return token
            if not self._grow(None if token is None else token.start()):
                return None

    def _grow(self, string: int | None) -> bool:
        """Reads on; whether there was more. ``string`` is where a string begins that may not end here."""
        held = len(self.bytes) - self.start
        more = self._file.read(max(CHUNK, held))  # at least twice as much each time: an element may be long
        if not more and string is not None:
            raise Torn("the file ends inside a string")
        if held > MAX_ELEMENT:
            raise Torn(f"an element is longer than {MAX_ELEMENT} bytes")
        self.at = (len(self.bytes) if string is None else string) - self.start
        self.bytes = self.bytes[self.start :] + more
        self.start = 0
        self.read += len(more)
        return bool(more)

    def is_over(self) -> bool:
        """Whether nothing but white space is left."""
        rest = self.bytes[self.at :]
        while rest.isspace() or not rest:
            rest = self._file.read(CHUNK)
            if not rest:
                return True
        return False

    def take(self, stop: int) -> bytes:
        """The bytes up to there without what separates elements; the next element begins there."""
        taken = self.bytes[self.start : stop].strip(_BETWEEN)
        self.start = stop
        return taken


def elements(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """(Bytes read so far, the bytes of an element) for each element of the array that the file holds.

    The file is open at its beginning, and its first character is the array's bracket. :class:`Torn` at the end of what
    can be told apart, with the reason.
    """
    window = _Window(file)
    window.start = window.at = window.bytes.index(b"[") + 1
    if not (yield from _apart(window)):
        raise Torn("the file ends before its list does")
    if not window.is_over():
        raise Torn("more stands behind the end of the list")


def values(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The same for a file of values with white space, a comma or nothing between them."""
    window = _Window(file)
    if (yield from _apart(window)):
        raise Torn("a bracket closes that nothing opened")
    if window.take(len(window.bytes)):
        raise Torn("the file ends inside an object")


def _apart(window: _Window) -> Generator[tuple[int, bytes], None, bool]:
    """What stands between here and a bracket that closes what was open before, or the end of the file. Whether it was
    the bracket."""
    depth = 0
    while depth >= 0:
        token = window.token()
        if token is None:
            return False
        if token[0] in (b"[", b"{"):
            scalar = b"" if depth else window.take(token.start())
            depth += 1
        elif token[0] in (b"]", b"}"):
            scalar = b"" if depth else window.take(token.start())
            depth -= 1
            if depth == 0:
                yield window.read, window.take(token.end())
        else:
            continue
        if scalar:
            yield window.read, scalar
    return True
