"""What :mod:`.verify` finds in the lines of documents: are they messages, are they the ones they are taken for, do two
documents say the same of one message. Reads only.

1. A document is read in pieces; of each message a number is kept, so that a long conversation needs little memory.
2. Equal is what is equal to JavaScript: a program that wrote a document anew may have spelled a number otherwise.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from bough.codec import decode, decode_block, encode_found, same_in_javascript
from bough.history import identity, normalise, offsets, subtract, union
from bough.model import History, Piece
from bough.stores.json_files.digest import Digest, plain
from bough.stores.json_files.document import Document
from bough.stores.json_files.folder import Folder
from bough.stores.json_files.lines import whole_lines


@dataclass(slots=True)
class LinesLook:
    """The lines of one document. ``broken`` are the indexes of those that are no messages."""

    document: Document
    hashes: array[int] = field(default_factory=lambda: array("q"))
    broken: list[int] = field(default_factory=list)
    fits: bool = True

    @property
    def whole(self) -> bool:
        return self.fits and not self.broken and len(self.hashes) == self.document.length


def look_at_lines(folder: Folder, document: Document) -> LinesLook:
    """Reads all lines. ``StaleError`` where the file was replaced meanwhile."""
    look = LinesLook(document)
    digest = Digest()
    with folder.reading(document) as read:
        for chunk in whole_lines(read, 0, document.size):
            digest.update(plain(chunk))
            lines = [line.rstrip(b", ") for line in chunk.removesuffix(b"\n").split(b"\n")]
            if not _all_messages(chunk, len(lines)):
                at = len(look.hashes)
                look.broken += [at + index for index, line in enumerate(lines) if message_of(line) is None]
            look.hashes.extend(map(hash, lines))
    look.fits = not document.digest or digest.text(document.record.id) == document.digest
    return look


def _all_messages(chunk: bytes, count: int) -> bool:
    try:
        return len(decode_block(chunk.rstrip(b", \n"))) == count
    except ValueError:
        return False


def message_of(line: bytes) -> bytes | None:
    """A line as a message; None where it is none."""
    try:
        return encode_found(decode(line))
    except ValueError:
        return None


def rescue(data: bytes) -> list[bytes]:
    """Every line of a file that is a message, whatever surrounds it."""
    lines = (line.rstrip(b", \r") for line in data.split(b"\n") if line.startswith(b"{"))
    found = (message_of(line) for line in lines)
    return [message for message in found if message is not None]


class Held(NamedTuple):
    """A run of messages that a document holds: from ``start`` of the segment on, in its lines from ``line`` on."""

    start: int
    hashes: array[int]
    document: Document
    line: int


class Contents:
    """What each message is, as far as whole documents have been looked at."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._runs: dict[str, list[Held]] = {}
        self.held: History = ()

    def add(self, look: LinesLook) -> Iterator[tuple[Document, int, int]]:
        """Takes a document's messages in; for each that another document holds otherwise: that one, its line, and the
        line here."""
        at = 0
        for segment, start, stop in look.document.record.history:
            for run in self._runs.get(segment, ()):
                first, last = max(start, run.start), min(stop, run.start + len(run.hashes))
                mine = look.hashes[at + first - start : at + last - start]
                theirs = run.hashes[first - run.start : last - run.start]
                if first < last and mine != theirs:
                    for index in range(last - first):
                        here, there = at + first - start + index, run.line + first - run.start + index
                        if mine[index] != theirs[index] and self._differ(look.document, here, run.document, there):
                            yield run.document, there, here
            new = subtract((Piece(segment, start, stop),), self.held)
            for _, first, last in new:
                line = at + first - start
                run = Held(first, look.hashes[line : line + last - first], look.document, line)
                self._runs.setdefault(segment, []).append(run)
            at += stop - start
        self.held = union(self.held, look.document.record.history)

    def differing(self, look: LinesLook, history: History) -> tuple[list[int], dict[int, Document], bool]:
        """The lines of a damaged document that are not the messages they are taken for; which document says so; and
        whether that could be told of every line."""
        differing: list[int] = []
        sources: dict[int, Document] = {}
        told = True
        starts = offsets(history)
        for (segment, start, stop), at in zip(history, starts, strict=False):
            for index in range(at, min(at + stop - start, len(look.hashes))):
                place = self._find(segment, start + index - at)
                if place is None:
                    told = False
                    continue
                run, line = place
                if run.hashes[line - run.line] == look.hashes[index]:
                    continue
                if index in look.broken or self._differ(look.document, index, run.document, line):
                    differing.append(index)
                    sources[index] = run.document
        return differing, sources, told

    def _find(self, segment: str, position: int) -> tuple[Held, int] | None:
        for run in self._runs.get(segment, ()):
            if run.start <= position < run.start + len(run.hashes):
                return run, run.line + position - run.start
        return None

    def _differ(self, one: Document, line: int, other: Document, other_line: int) -> bool:
        mine = decode_block(self._folder.lines(one, line, line + 1))
        return not same_in_javascript(mine, decode_block(self._folder.lines(other, other_line, other_line + 1)))

    def messages(self, history: History) -> list[bytes]:
        """Those messages of a history that are held, in order."""
        found: list[bytes] = []
        for segment, start, stop in history:
            for position in range(start, stop):
                place = self._find(segment, position)
                if place is not None:
                    run, line = place
                    found.append(self._folder.lines(run.document, line, line + 1))
        return found


def rescued_of(folder: Folder, look: LinesLook) -> list[bytes]:
    """The messages of a document some of whose lines are none."""
    with folder.reading(look.document) as read:
        data = read(0, look.document.size)
    return rescue(data)


def at_lines(history: History, indexes: list[int]) -> History:
    """The messages at those indexes."""
    return normalise(
        Piece(segment, position, position + 1) for segment, position in (identity(history, index) for index in indexes)
    )
