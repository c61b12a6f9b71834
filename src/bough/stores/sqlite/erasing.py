"""Messages that are given up: dropped (a gc) or erased (a purge), and how an erased text leaves every file.

A gc deletes rows, under ``SQLITE_SECURE_DELETE``: next to nothing of them is left once the write-ahead log is carried
over, but nobody looks whether that is so. A purge takes text and salt out of the rows and leaves the digests, so that
the chain stays whole. Then its bytes still stand in pages that were left, in the write-ahead log, and as words in
the search index. So:

1. In the purge's own transaction the search index is emptied (whoever searches next makes it anew: what FTS5 deletes
   word by word stays in its pages for long), and ``session.erasing`` is set to the operation's number.
2. Afterwards (:func:`finish`) the copies that a change of schema left beside the file are deleted and ``VACUUM`` writes
   the database anew: the mark is below zero then. The log is carried over and cut to nothing: then the mark is zero.
3. A log that others still read cannot be cut. They are waited for; where they do not let go, the purge stands and the
   mark too: ``verify`` tells of it, and the next operation in the file, of any session, goes on with 2 and does not
   wait. So it is after a crash. ``SQLITE_SECURE_DELETE`` is on meanwhile: little is left where there is no room for a
   VACUUM.

What it deliberately does not do: reach backups, copies of the file that others made, or what a disk keeps of blocks
that it was told to forget.
"""

from __future__ import annotations

import os
import time

import apsw

from bough.model import Operation
from bough.stores.sqlite import gaps, schema, search
from bough.stores.sqlite.connections import Connection
from bough.stores.sqlite.gaps import Place

_SEGMENT = "SELECT number, next FROM segment WHERE session = ? AND id = ?"
_MARKED = "SELECT key, erasing FROM session WHERE erasing <> 0"


def give_up(connection: Connection, session: int, operation: Operation) -> None:
    """What an operation frees, in its transaction. What is not there anyway is passed over."""
    if operation.freed:
        connection.pragma("secure_delete", True)
    for segment_id, start, end in sorted(operation.freed):
        number, following = connection.row(_SEGMENT, (session, segment_id)) or (0, 0)
        place, stop = Place(session, number), min(end, following)
        if start >= stop:
            continue
        if operation.erased:
            gaps.blank(connection, place, start, stop)
        else:
            gaps.drop(connection, place, start, stop)
            search.forget(connection, *place, start=start, stop=stop)
    if operation.erased:
        search.wipe(connection)
        connection.execute("UPDATE session SET erasing = ? WHERE key = ?", (operation.number, session))
    elif operation.freed:
        connection.pragma("secure_delete", False)


def is_unfinished(connection: Connection) -> bool:
    """Whether :func:`finish` has something to do."""
    return connection.row(_MARKED) is not None


def finish(connection: Connection, path: str, patience: float) -> None:
    """Has what was erased leave the files (2). Others are waited for up to ``patience`` seconds."""
    try:
        for copy in schema.copies(path):
            os.unlink(copy)
        marks = connection.rows(_MARKED)
        if any(mark > 0 for _, mark in marks):
            connection.execute("VACUUM")
            marks = [(key, _marked(connection, key, mark, -abs(mark))) for key, mark in marks]
        if _cut_log(connection, patience):
            for key, mark in marks:
                _marked(connection, key, mark, 0)
    except (apsw.Error, OSError):
        return  # the purge itself is committed; the mark says what is still to be done
    finally:
        connection.pragma("secure_delete", False)


def _marked(connection: Connection, key: int, old: int, new: int) -> int:
    """Another mark in the place of ``old``, unless a later purge has set its own."""
    connection.execute("UPDATE session SET erasing = ? WHERE key = ? AND erasing = ?", (new, key, old))
    return new


def _cut_log(connection: Connection, patience: float) -> bool:
    connection.patience.deadline = time.monotonic() + patience
    tried = 0
    while True:
        try:
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            return True
        except apsw.BusyError:  # SQLite waits for readers, but not for another one that does the same
            if not connection.patience(tried):
                return False
            tried += 1
