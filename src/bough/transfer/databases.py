"""Other programs' SQLite databases: opened so that nothing can be written to them, and read row by row.

1. Neither the database nor its folder changes. A database in WAL mode that nobody has open is read as immutable,
   because SQLite would leave ``-wal`` and ``-shm`` files beside it; that nobody began to write meanwhile is looked at.
2. While its program writes, one snapshot is read, its write-ahead log along with it.
3. A table or a column that a version of the program does not have reads as empty, as None.
4. Text comes as it stands: bytes that are no UTF-8 become lone surrogates (``surrogateescape``), which no JSON decoder
   takes for anything else.
5. Where the file is damaged in the middle, what stands before comes out, and the rest is one defect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from os import stat_result
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bough.codec import decode
from bough.errors import StoreUnavailableError, UnsupportedFormatError
from bough.transfer import normal
from bough.transfer.records import Reading
from bough.transfer.tree import Conversation, Defect

if TYPE_CHECKING:
    import apsw  # where it is needed it is imported late: most imports read no database

Columns = Mapping[str, tuple[str, ...]]
"""The columns of each table, by the tables' names."""

Row = dict[str, Any]

_HINT = "end the program that uses it, or copy the file"


@contextmanager
def opened(path: Path) -> Iterator[apsw.Connection]:
    """The database, read-only, one snapshot of it.

    ``UnsupportedFormatError`` where it is damaged, ``StoreUnavailableError`` where its program keeps it locked, or
    began to write to what nobody had open.
    """
    import apsw

    before = path.stat() if _is_resting(path) else None
    try:
        connection = apsw.Connection(
            path.absolute().as_uri() + ("?mode=ro" if before is None else "?mode=ro&immutable=1"),
            apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI,
        )
        try:
            connection.set_busy_timeout(5000)
            connection.execute("BEGIN")
            yield connection
        finally:
            connection.close()
    except (apsw.BusyError, apsw.CantOpenError, apsw.IOError) as error:
        raise StoreUnavailableError(f"{path}: {error}", hint=_HINT) from None
    except (apsw.Error, UnicodeDecodeError) as error:  # a damaged schema has names that are no text
        raise UnsupportedFormatError(f"{path}: {error}") from None
    if before is not None and not _is_same(before, path):
        raise StoreUnavailableError(f"{path}: it was written to while it was read", hint="read it again")


def _is_resting(path: Path) -> bool:
    """Whether it is in WAL mode (bytes 18 and 19 of its header say so) and nobody has it open."""
    with path.open("rb") as file:
        header = file.read(20)
    return header[18:20] == b"\x02\x02" and not path.with_name(path.name + "-wal").exists()


def _is_same(before: stat_result, path: Path) -> bool:
    now = path.stat()
    return (before.st_ino, before.st_size, before.st_mtime_ns) == (now.st_ino, now.st_size, now.st_mtime_ns)


def columns(path: Path) -> dict[str, tuple[str, ...]]:
    """The names of the columns of each table."""
    with opened(path) as connection:
        return _columns(connection)


def _columns(connection: apsw.Connection) -> dict[str, tuple[str, ...]]:
    import apsw

    names = [str(name) for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        try:
            rows = list(connection.execute("SELECT name FROM pragma_table_info(?)", (name,)))
        except apsw.SQLError:  # a virtual table of a module that is not there
            rows = []
        found[name] = tuple(column for (column,) in rows)
    return found


class Tables:
    """What stands in a database's tables."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self.columns = _columns(connection)
        [(encoding,)] = connection.execute("SELECT encoding FROM pragma_encoding")
        self._encoding = str(encoding).lower()

    def rows(
        self,
        table: str,
        wanted: Sequence[str],
        *,
        where: Mapping[str, Any] | None = None,
        order: Sequence[str] = (),
        distinct: bool = False,
    ) -> Iterator[Row]:
        """The ``wanted`` columns (or ``rowid``) of the rows whose columns hold exactly what ``where`` says.

        They are read as they are asked for."""
        has = {*self.columns.get(table, ()), "rowid"}
        if table not in self.columns or (where and not where.keys() <= has):
            return
        present = [name for name in wanted if name in has]
        terms = ", ".join(f"typeof({one}), {_as_stored(one)}" for one in map(quoted, present))
        query = f"SELECT {'DISTINCT ' if distinct else ''}{terms or 'NULL'} FROM {quoted(table)}"  # noqa: S608
        values: list[Any] = []
        for name, value in (where or {}).items():
            query += f" {'AND' if values else 'WHERE'} {quoted(name)} IS "
            query += "CAST(? AS TEXT)" if isinstance(value, str) else "?"
            values.append(self._bytes(value) if isinstance(value, str) else value)
        ordered = [quoted(name) for name in order if name in has]
        query += f" ORDER BY {', '.join(ordered)}" if ordered else ""
        for found in self._connection.execute(query, values):
            row: Row = dict.fromkeys(wanted)
            for index, name in enumerate(present):
                kind, value = found[2 * index : 2 * index + 2]
                row[name] = self._text(value) if kind == "text" else value
            yield row

    def references(self, table: str) -> dict[str, str]:
        """Which table each of its columns refers to."""
        rows = self._connection.execute('SELECT "from", "table" FROM pragma_foreign_key_list(?)', (table,))
        return {str(column): str(other) for column, other in rows}

    def _bytes(self, value: str) -> bytes:
        if self._encoding == "utf-8":
            return value.encode(errors="surrogateescape")
        return value.encode(self._encoding, errors="replace")

    def _text(self, value: bytes) -> str:
        if self._encoding == "utf-8":
            return value.decode(errors="surrogateescape")
        return value.decode(self._encoding, errors="replace")


def _as_stored(term: str) -> str:
    """SQL for a value whose text comes as bytes, because text need not be what its encoding allows."""
    return f"iif(typeof({term}) = 'text', CAST({term} AS BLOB), {term})"


def quoted(name: str) -> str:
    """A name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def read_tables(
    reading: Reading,
    recognises: Callable[[Columns], bool],
    read: Callable[[Tables], Iterator[Conversation | Defect]],
) -> Iterator[Conversation | Defect]:
    """What ``read`` finds. ``UnsupportedFormatError`` where the tables are not those that it reads."""
    import apsw

    source = reading.source
    if source.path is None:
        raise UnsupportedFormatError(f"{source.name}: a database in an archive is not read", hint="unpack it")
    with opened(source.path) as connection:
        tables = Tables(connection)
        if not recognises(tables.columns):
            raise UnsupportedFormatError(f"{source.name}: the tables of this format are not in it")
        try:
            yield from read(tables)
        except (apsw.Error, UnicodeDecodeError) as error:
            yield Defect(file=source.name, line=0, reason=f"the rest of the database cannot be read: {error}")


def as_bytes(value: Any) -> bytes:
    """JSON in a column, as a decoder takes it. ``ValueError`` where the column holds something else."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode(errors="surrogateescape")
    raise ValueError(f"not text but {type(value).__name__}")


def moment(value: Any) -> datetime | None:
    """A time in a column; one without an offset is UTC, as SQLite's own are."""
    return normal.moment(value) or (normal.moment(f"{value}+00:00") if isinstance(value, str) else None)


def known(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """What a row says in these columns, where it says something that JSON can say. Columns named ``…_json`` or
    ``…_details`` are decoded."""
    found: dict[str, Any] = {}
    for name in names:
        value = row.get(name)
        if name.endswith(("_json", "_details")) and isinstance(value, str | bytes):
            try:
                value = decode(as_bytes(value))
            except ValueError:
                value = value if isinstance(value, str) else None
        if isinstance(value, bytes) or value in (None, "", [], {}) or (isinstance(value, float) and value - value != 0):
            continue
        found[name] = value
    return found
