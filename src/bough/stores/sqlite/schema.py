"""The tables, and which files are taken for ours.

A file of ours says so in its header (``application_id``) and carries the number of its schema (``user_version``).
Another program's database, a newer schema and what is no database are refused; nothing is written to them. An older
schema is brought forward in one transaction, after a copy of the file was put beside it.

| table     | one row is                                                                                           |
|-----------|------------------------------------------------------------------------------------------------------|
| session   | a session; ``deleted_at`` where it was set aside. Operations are numbered above ``operation_floor``; |
|           | ``erasing`` is the number of one whose erasing may not have reached every file yet (:mod:`.erasing`) |
| branch    | a branch as its last operation left it; ``history`` ends before the piece that grows at the tip      |
| segment   | a log of messages: the next position, the chain over its digests; ``updated_at`` of its branch       |
| message   | a message, clustered by (session, segment, position): a history is a few range scans                 |
| gap       | positions of a segment that cannot be read, because a copy left them out or they were given up       |
| operation | an operation, with each branch before and after; HEAD is where the last one left it                   |
| search_*  | derived: the full-text index and which runs of messages are in it (:mod:`.search`)                   |

A position below a segment's ``next`` is there unless a row of ``gap`` covers it (:mod:`.gaps`). The chain goes over the
digests that are there, in the order of positions; over a gap of messages that were dropped it goes by the values that
stand with the gap.

An append writes to ``segment`` and ``message`` alone. Segments are numbered within their session, so that every key
leads with the session and is small. Times are milliseconds since the epoch. A message's digest is BLAKE2b-128 of the
payload, salted; the chain's next value is BLAKE2b-128 of its last one and the digest. Rows of ``branch`` and
``operation`` have a digest over their other columns (``rows.row_digest``); NULL where an older schema wrote them.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterator

import apsw

from bough.errors import StoreUnavailableError, UnsupportedFormatError

APPLICATION_ID = 0x626F7567
"""``boug`` in ASCII."""
VERSION = 3

_SCHEMA_1 = """
CREATE TABLE session (
  key INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL,
  operation_floor INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX session_id ON session (id);

CREATE TABLE branch (
  session INTEGER NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  operation INTEGER NOT NULL,
  history TEXT NOT NULL,
  tip INTEGER NOT NULL,
  tip_start INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  parent_id TEXT,
  parent_message_index INTEGER,
  metadata TEXT,
  extra TEXT,
  PRIMARY KEY (session, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE segment (
  session INTEGER NOT NULL,
  number INTEGER NOT NULL,
  id TEXT NOT NULL,
  next INTEGER NOT NULL,
  chain BLOB NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (session, number)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX segment_id ON segment (session, id);

CREATE TABLE message (
  session INTEGER NOT NULL,
  segment INTEGER NOT NULL,
  position INTEGER NOT NULL,
  salt BLOB,
  digest BLOB NOT NULL,
  payload TEXT,
  PRIMARY KEY (session, segment, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE operation (
  session INTEGER NOT NULL,
  number INTEGER NOT NULL,
  id TEXT NOT NULL,
  kind TEXT NOT NULL,
  at INTEGER NOT NULL,
  pid INTEGER NOT NULL,
  hostname TEXT NOT NULL,
  head_before TEXT,
  head_after TEXT,
  branches TEXT NOT NULL,
  detail TEXT NOT NULL,
  PRIMARY KEY (session, number)
) STRICT, WITHOUT ROWID;
"""

_TO_2 = """
ALTER TABLE session ADD COLUMN deleted_at INTEGER;
DROP INDEX session_id;
CREATE UNIQUE INDEX session_id ON session (id) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX session_deleted ON session (id) WHERE deleted_at IS NOT NULL;

CREATE VIRTUAL TABLE search_index USING fts5 (words, content='', contentless_delete=1, tokenize='ascii');
CREATE TABLE search_state (tokenizer TEXT NOT NULL) STRICT;
CREATE TABLE search_mark (
  session INTEGER NOT NULL,
  segment INTEGER NOT NULL,
  upto INTEGER NOT NULL,
  PRIMARY KEY (session, segment)
) STRICT, WITHOUT ROWID;
CREATE TABLE search_run (
  first INTEGER PRIMARY KEY,
  session INTEGER NOT NULL,
  segment INTEGER NOT NULL,
  start INTEGER NOT NULL,
  stop INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX search_run_place ON search_run (session, segment, start);
"""

_TO_3 = """
ALTER TABLE session ADD COLUMN attributes TEXT;
ALTER TABLE session ADD COLUMN erasing INTEGER NOT NULL DEFAULT 0;
CREATE INDEX session_erasing ON session (erasing) WHERE erasing <> 0;
ALTER TABLE branch ADD COLUMN edits TEXT;
ALTER TABLE branch ADD COLUMN digest BLOB;
ALTER TABLE operation ADD COLUMN user TEXT NOT NULL DEFAULT '';
ALTER TABLE operation ADD COLUMN attributes TEXT;
ALTER TABLE operation ADD COLUMN freed TEXT;
ALTER TABLE operation ADD COLUMN erased INTEGER NOT NULL DEFAULT 0;
ALTER TABLE operation ADD COLUMN digest BLOB;

CREATE TABLE gap (
  session INTEGER NOT NULL,
  segment INTEGER NOT NULL,
  start INTEGER NOT NULL,
  stop INTEGER NOT NULL,
  chain_before BLOB,
  chain_after BLOB,
  PRIMARY KEY (session, segment, start)
) STRICT, WITHOUT ROWID;
INSERT INTO gap (session, segment, start, stop)
  SELECT session, segment, before + 1, position FROM (
    SELECT session, segment, position,
      lag(position, 1, -1) OVER (PARTITION BY session, segment ORDER BY position) AS before FROM message
  ) WHERE position > before + 1;
"""

_STEPS = (_SCHEMA_1, _TO_2, _TO_3)
"""What leads from each schema to the next, from an empty file on. What was released is never edited."""


def is_current(connection: apsw.Connection, path: str) -> bool:
    """Whether the file has the tables of this schema; False where it is empty or has an older one's.

    ``UnsupportedFormatError`` where it belongs to somebody else.
    """
    return _version(connection, path) == VERSION


def bring_forward(connection: apsw.Connection, path: str) -> None:
    """Makes the tables in an empty file, or adds what an older schema lacks. All or nothing; safe to race."""
    found = _version(connection, path)
    if 0 < found < VERSION:
        _copy_aside(connection, f"{path}.schema-{found}", found)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for number in range(_version(connection, path), VERSION):
            connection.execute(_STEPS[number])
        connection.pragma("application_id", APPLICATION_ID)
        connection.pragma("user_version", VERSION)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _version(connection: apsw.Connection, path: str) -> int:
    size = _size(path)
    application, version, tables = next(
        connection.execute(
            "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),"
            " (SELECT count(*) FROM sqlite_schema)"
        )
    )
    if application == 0 and version == 0 and tables == 0:
        if size and connection.pragma("page_count") == 0 and _size(path):  # a few bytes of something
            raise UnsupportedFormatError(f"{path} is not a SQLite database", hint="it was left as it is")
        return 0
    if application != APPLICATION_ID:
        raise UnsupportedFormatError(f"{path} is another program's SQLite database", hint="name a file of its own")
    if not 1 <= version <= VERSION:
        raise UnsupportedFormatError(
            f"{path} has schema {version}; this version of Bough knows 1 to {VERSION}", hint="install a newer Bough"
        )
    return int(version)


def copies(path: str) -> Iterator[str]:
    """The copies that stand beside the file, also those that a killed process left unfinished."""
    name = re.compile(rf"{re.escape(os.path.basename(path))}\.schema-\d+(\.\d+-\d+(-journal)?)?")
    folder = os.path.dirname(path)
    for each in os.listdir(folder):
        if name.fullmatch(each):
            yield f"{folder}/{each}"


def _copy_aside(connection: apsw.Connection, path: str, found: int) -> None:
    """A copy at ``path``, in the place of one from an earlier attempt. Not of what a rival has brought forward by now:
    the rival made the copy then."""
    unfinished = f"{path}.{os.getpid()}-{threading.get_native_id()}"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(unfinished)  # of a process of the same number, which was killed
        descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            connection.execute("VACUUM INTO ?", (unfinished,))
            with contextlib.closing(apsw.Connection(unfinished, apsw.SQLITE_OPEN_READONLY)) as copy:
                is_old = _version(copy, unfinished) == found
            if is_old:
                os.fsync(descriptor)
                os.replace(unfinished, path)
                _sync_folder(path)
        finally:
            os.close(descriptor)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(unfinished)
    except apsw.BusyError:
        raise
    except (apsw.Error, OSError) as error:
        raise StoreUnavailableError(
            f"{path}: the copy that must come before a change of schema failed: {error}", hint="make room beside it"
        ) from None


def _sync_folder(path: str) -> None:
    descriptor = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
