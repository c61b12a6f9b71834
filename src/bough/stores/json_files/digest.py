"""The digest on a document's closing line: it finds a changed line without saying which.

It covers the document's messages as they stand, joined by ``,\\n``: the mark of the lines of one batch (a space) does
not count, so the same value follows from the messages alone, also when another program laid them out anew.
The stream is hashed in blocks of 64 KiB, each over the value before it, so that appending needs the last value and at
most one block, and a copy of a prefix needs no second look at the blocks it shares. The branch's id goes in last: a
copied document does not pass for its original.

Text form: ``blake2b:<bytes hashed>:<value of the whole blocks>:<value of all, with the id>``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Self

BLOCK = 1 << 16
_ZERO = bytes(16)


def plain(region: bytes) -> bytes:
    """Lines of a document without their batch marks. (No message holds a raw newline, so nothing else matches.)"""
    return region.replace(b"}, \n", b"},\n")


class Digest:
    """A running digest; ``size`` is the bytes hashed so far."""

    __slots__ = ("_chain", "_open", "size")

    def __init__(self, chain: bytes = _ZERO, size: int = 0, partial: bytes = b"") -> None:
        self._chain = chain
        self._open = hashlib.blake2b(chain, digest_size=16)
        self._open.update(partial)
        self.size = size

    def update(self, data: bytes) -> None:
        room = BLOCK - self.size % BLOCK
        if len(data) >= room:
            view = memoryview(data)
            at = 0
            while len(data) - at >= room:
                self._open.update(view[at : at + room])
                self._chain = self._open.digest()
                self._open = hashlib.blake2b(self._chain, digest_size=16)
                at += room
                room = BLOCK
            self._open.update(view[at:])
        else:
            self._open.update(data)
        self.size += len(data)

    def add_lines(self, lines: Sequence[bytes]) -> None:
        data = b",\n".join(lines)
        self.update(b",\n" + data if self.size else data)

    def copy(self) -> Self:
        twin = object.__new__(type(self))
        twin._chain = self._chain
        twin._open = self._open.copy()
        twin.size = self.size
        return twin

    def text(self, branch_id: str) -> str:
        last = self._open.copy()
        last.update(branch_id.encode())
        return f"blake2b:{self.size}:{self._chain.hex()}:{last.hexdigest()}"


def partial_size(text: str) -> int | None:
    """How many bytes of the last, unfinished block :func:`resume` needs; None where ``text`` is no digest of ours."""
    parsed = _parse(text)
    return None if parsed is None else parsed[0] % BLOCK


def resume(text: str, partial: bytes, branch_id: str) -> Digest | None:
    """The running digest that wrote ``text``, given the bytes of its last block; None where they do not fit."""
    parsed = _parse(text)
    if parsed is None or len(partial) != parsed[0] % BLOCK:
        return None
    digest = Digest(parsed[1], parsed[0], partial)
    return digest if digest.text(branch_id) == text else None


def _parse(text: str) -> tuple[int, bytes] | None:
    parts = text.split(":")
    if len(parts) != 4 or parts[0] != "blake2b" or not parts[1].isdecimal():
        return None
    try:
        return int(parts[1]), bytes.fromhex(parts[2])
    except ValueError:
        return None
