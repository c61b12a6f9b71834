"""Runs: which lines of which document hold which messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from bough.history import index_of, offsets, piece_at, subtract
from bough.model import BranchRecord, History, Piece, replace
from bough.stores.json_files.document import Document
from bough.stores.json_files.log import NAME, Entry

Run: TypeAlias = tuple[Document, int, int]
"""A document and a range of its lines."""


def beginning_in(documents: Iterable[Document], piece: Piece) -> Run | None:
    """The first of the documents that holds the beginning of a piece, with the lines where it does."""
    for each in documents:
        at = index_of(each.record.history, piece.segment, piece.start)
        if at is not None:
            starts = offsets(each.record.history)
            return each, at, min(at + piece.stop - piece.start, starts[piece_at(starts, at) + 1])
    return None


def gather(history: History, documents: Sequence[Document]) -> list[Run]:
    """The lines of the documents that hold the messages of a history, in its order. Every one is in some document."""
    found: list[Run] = []
    for piece in history:
        at = piece.start
        while at < piece.stop and (run := beginning_in(documents, Piece(piece.segment, at, piece.stop))) is not None:
            found.append(run)
            at += run[2] - run[1]
    return found


def missing(history: History, documents: Iterable[Document]) -> History:
    """What of a history none of the documents holds."""
    for each in documents:
        if not history:
            break
        history = subtract(history, each.record.history)
    return history


def in_entry(entry: Entry) -> Iterator[Document]:
    """The messages that an entry carries, as documents."""
    for change in entry.operation.branches:
        lines = entry.messages.get(change.id)
        if lines and change.after is not None:
            tip = change.after.tip
            yield in_memory(change.after, Piece(tip.segment, tip.next - len(lines), tip.next), lines)


def in_memory(record: BranchRecord, piece: Piece, lines: Sequence[bytes]) -> Document:
    """Messages that no file holds yet, as a document."""
    region = b",\n".join(lines)
    return Document(
        name=NAME,
        stamp=(0, 0, 0),
        record=replace(record, history=(piece,)),
        start=0,
        size=len(region),
        length=len(lines),
        region=region,
    )
