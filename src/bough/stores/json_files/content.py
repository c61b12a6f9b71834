"""Where the messages of a history stand, among all the documents of a session."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from bough.codec import decode_block
from bough.errors import CorruptBranchError
from bough.history import cut, index_of, length
from bough.model import History, Message, Piece
from bough.stores.json_files.document import Document
from bough.stores.json_files.folder import Folder, StaleError
from bough.stores.json_files.runs import Run, beginning_in, in_entry

_TRIES = 100


def messages(folder: Folder, history: History) -> list[Message]:
    """The messages of a history. ``CorruptBranchError`` where one is nowhere, or cannot be decoded."""
    for _ in range(_TRIES):
        out: list[Message] = []
        try:
            for run in runs(folder, history):
                out += _decoded(folder, *run)
        except StaleError:
            continue
        return out
    raise CorruptBranchError(folder.path, "it changes faster than it can be read", session_id=folder.session_id)


def _decoded(folder: Folder, held: Document, start: int, stop: int) -> list[Message]:
    try:
        return decode_block(folder.lines(held, start, stop))
    except ValueError as error:
        folder.distrust(held)
        raise CorruptBranchError(
            folder.file(held.name),
            f"among the messages from {start} to {stop} one cannot be read: {error}",
            session_id=folder.session_id,
            branch_id=held.record.id,
        ) from None


def runs(folder: Folder, history: History, fresh: Sequence[Document] = ()) -> list[Run]:
    """The documents that hold the messages of a history, with a range of lines each, in order.

    ``fresh`` are documents that no file holds yet. ``CorruptBranchError`` for messages that none holds.
    """
    whole = _in_one(folder, history)
    if whole is not None:
        return [whole]
    found: list[Run] = []
    for piece in history:
        at = piece.start
        while at < piece.stop:
            run = _beginning(folder, Piece(piece.segment, at, piece.stop), fresh)
            if found and found[-1][0] is run[0] and found[-1][2] == run[1]:
                found[-1] = (run[0], found[-1][1], run[2])
            else:
                found.append(run)
            at += run[2] - run[1]
    return found


def _in_one(folder: Folder, history: History) -> Run | None:
    """The usual case: one document, the one that was last seen to end as the history does, has all in a row."""
    home = folder.home(history[-1].segment) if history else None
    if home is None:
        return None
    first = index_of(home.record.history, history[0].segment, history[0].start)
    if first is None:
        return None
    stop = first + length(history)
    if home.record.history != history and cut(home.record.history, first, stop) != history:
        return None
    return home, first, stop


def _beginning(folder: Folder, piece: Piece, fresh: Sequence[Document]) -> Run:
    """A document that holds the beginning of a piece, with the lines where it does."""
    home = folder.home(piece.segment)
    last = folder.log.tail().last
    others = chain(in_entry(last) if last else (), folder.all_documents())
    run = beginning_in([*fresh, home] if home else fresh, piece) or beginning_in(others, piece)
    if run is None:
        place = f"segment {piece.segment}, from {piece.start}"
        raise CorruptBranchError(place, "no document holds these messages", session_id=folder.session_id)
    return run
