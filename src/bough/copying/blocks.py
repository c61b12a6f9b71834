"""Reading the source in blocks, and telling how far the copy is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from bough.codec import encode_found
from bough.errors import CorruptBranchError
from bough.history import subtract, union
from bough.model import History, Piece
from bough.stores.base import Store

Progress: TypeAlias = Callable[[int, int], object]
"""Hears how much is done, and how much there is to do: each message counts once for each time that it is read."""

BLOCK_BYTES = 4 << 20
BLOCK = 1000
"""The most messages that are read at a time; fewer where they are long, so that they come to about BLOCK_BYTES."""


class Meter:
    """How many messages were read, of how many."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._done = self._total = 0

    def begin(self, total: int) -> None:
        self._done, self._total = 0, total
        self.count(0)

    def count(self, more: int) -> None:
        self._done += more
        if self._progress is not None:
            self._progress(self._done, self._total)


class Blocks:
    """The messages of one session. ``lost`` are those that could not be read, and that neither a branch nor a tag
    needs."""

    def __init__(self, store: Store, session_id: str, live: History, meter: Meter) -> None:
        self._store = store
        self._session_id = session_id
        self._live = live
        self._meter = meter
        self.lost: History = ()

    def read(self, history: History) -> Iterator[tuple[Piece, list[bytes] | None]]:
        """The messages in blocks of one segment each; None for what is lost."""
        size = 64
        for piece in history:
            at = piece.start
            while at < piece.stop:
                block = Piece(piece.segment, at, min(at + size, piece.stop))
                for part, lines in self._readable(block):
                    self._meter.count(part.stop - part.start)
                    yield part, lines
                    if lines:
                        average = sum(map(len, lines)) // len(lines) + 1
                        size = max(1, min(BLOCK, size * 2, BLOCK_BYTES // average))
                at = block.stop

    def _readable(self, piece: Piece) -> Iterator[tuple[Piece, list[bytes] | None]]:
        try:
            yield piece, lines_of(self._store, self._session_id, (piece,))
        except CorruptBranchError:
            if subtract((piece,), self._live) != (piece,) and piece.stop - piece.start == 1:
                raise
            if piece.stop - piece.start == 1:
                self.lost = union(self.lost, (piece,))
                yield piece, None
                return
            middle = (piece.start + piece.stop) // 2
            for half in (piece._replace(stop=middle), piece._replace(start=middle)):
                yield from self._readable(half)


def lines_of(store: Store, session_id: str, history: History) -> list[bytes]:
    """The messages of a history, encoded."""
    return [encode_found(message) for message in store.read(session_id, history)]
