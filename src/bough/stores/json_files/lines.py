"""Where the lines of one document are, learnt only as far as somebody asks.

The messages of a document, from the first byte of the first line to the last byte of the last, are its *region*. While
a file keeps its inode, its region only grows, so what was learnt stays true. Every 64 KiB or so the index keeps a mark:
a line's first byte, its number and the digest of everything before it. Offsets here count from the region's start.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from bough.stores.json_files.digest import Digest, plain

STEP = 1 << 16
CHUNK = 1 << 20
Reader: TypeAlias = Callable[[int, int], bytes]
"""``read(start, stop)``: those bytes of the region."""


class _Mark(NamedTuple):
    offset: int
    line: int
    digest: Digest


class Lines:
    """The index of one region. Safe for several threads."""

    __slots__ = ("_lock", "_marks", "verified")

    def __init__(self) -> None:
        self._marks = [_Mark(0, 0, Digest())]
        self._lock = threading.Lock()
        self.verified = 0  # the region's size when its digest was last found right

    def block(self, read: Reader, size: int, length: int, start: int, stop: int) -> bytes:
        """Lines ``start`` to ``stop`` (exclusive) of ``length``, joined as they stand, with no separator at the end."""
        return read(*self.span(read, size, length, start, stop))

    def span(self, read: Reader, size: int, length: int, start: int, stop: int) -> tuple[int, int]:
        """The first byte of line ``start`` and the end of line ``stop - 1``, its separator left out."""
        if start >= stop:
            return 0, 0
        first = self._begin(read, size, length, start) if start else 0
        return first, self._end(read, size, length, stop)

    def _end(self, read: Reader, size: int, length: int, stop: int) -> int:
        if stop == length:
            return size
        begin = self._begin(read, size, length, stop)
        separator = read(max(0, begin - 3), begin)
        return begin - len(separator) + len(separator.rstrip(b", \n"))

    def digest(self, read: Reader, size: int, length: int, stop: int) -> Digest:
        """The digest of the first ``stop`` lines."""
        if not stop:
            return Digest()
        self._scan(read, size, stop)
        end = self._end(read, size, length, stop)
        mark = self._marks[bisect_right(self._marks, end, key=lambda mark: mark.offset) - 1]
        digest = mark.digest.copy()
        digest.update(plain(read(mark.offset, end)))
        return digest

    def _begin(self, read: Reader, size: int, length: int, line: int) -> int:
        """The offset at which a line begins."""
        if line > self._marks[-1].line and length - line < line:
            found = self._from_end(read, size, length - line)
            if found is not None:
                return found
        self._scan(read, size, line)
        mark = self._marks[bisect_right(self._marks, line, key=lambda mark: mark.line) - 1]
        at = mark.offset
        missing = line - mark.line
        while missing:
            data = read(at, min(at + STEP, size))
            here = -1
            while missing:
                found = data.find(b"\n", here + 1)
                if found < 0:
                    break
                here = found
                missing -= 1
            if not data:
                raise ValueError(f"there is no line {line}")
            at += len(data) if missing else here + 1
        return at

    def _from_end(self, read: Reader, size: int, lines: int) -> int | None:
        """Where the last ``lines`` lines begin, if that is near the end."""
        window = STEP // 4
        while window < size:
            data = read(size - window, size)
            if data.count(b"\n") >= lines:
                at = len(data)
                for _ in range(lines):
                    at = data.rfind(b"\n", 0, at)
                return size - window + at + 1
            if window > STEP * 16:
                return None
            window *= 4
        return None

    def _scan(self, read: Reader, size: int, line: int) -> None:
        """Sets marks until one is at or behind ``line``, or the region ends."""
        with self._lock:
            step = STEP
            while self._marks[-1].line <= line and self._marks[-1].offset < size:
                last = self._marks[-1]
                data = read(last.offset, min(last.offset + step, size))
                if last.offset + len(data) >= size:
                    return
                cut = data.rfind(b"\n") + 1
                if not cut:
                    step *= 4
                    continue
                step = STEP
                data = data[:cut]
                digest = last.digest.copy()
                digest.update(plain(data))
                self._marks.append(_Mark(last.offset + cut, last.line + data.count(b"\n"), digest))


def whole_lines(read: Reader, first: int, last: int) -> Iterator[bytes]:
    """The bytes from ``first`` to ``last`` in chunks that end with a line."""
    step = CHUNK
    while first < last:
        data = read(first, min(first + step, last))
        if first + len(data) < last:
            cut_at = data.rfind(b"\n") + 1
            if not cut_at:
                step *= 4
                continue
            data = data[:cut_at]
        first += len(data)
        step = CHUNK
        yield data
