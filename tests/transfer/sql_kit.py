"""Databases of other programs from the SQL that lies in the golden folder, and what can happen to one on its way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import apsw
from golden_kit import GOLDEN, tree_of
from hypothesis import strategies as st
from mangle_kit import JUNK

from bough.transfer import Conversation, Defect, paths, read_conversations

CELL = st.one_of(
    JUNK.filter(lambda value: isinstance(value, str | int | float | None) and value != 10**20),
    st.sampled_from([b"", b"\xff\xfe", b"\xc1" * 5, b"{}", "{}", "[]", '{"a": NaN}', '"text"', "not json", 1e308]),
).filter(lambda value: not isinstance(value, int) or abs(value) < 2**63)
CHANGES = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), CELL | st.just(...)), max_size=8
)
"""(Table, column, row, what stands there then: ``...`` is what stands in the column of another row)."""


def built(path: Path, golden: str) -> Path:
    """A new database of the SQL in ``golden``."""
    path.unlink(missing_ok=True)
    connection = apsw.Connection(str(path))
    connection.pragma("synchronous", "off")
    list(connection.execute((GOLDEN / golden).read_text(encoding="utf-8")))
    connection.close()
    return path


def golden_tree(folder: Path, golden: str) -> dict[str, Any]:
    return tree_of(built(folder / "golden.db", golden))


def change(path: Path, changes: list[Any], tables: tuple[str, ...]) -> None:
    """Puts junk into cells, deletes rows and points rows at others. What the tables do not allow is left."""
    connection = apsw.Connection(str(path))
    connection.pragma("synchronous", "off")
    for table_at, column_at, row_at, value in changes:
        table = tables[table_at % len(tables)]
        columns = [name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))]
        rows = [number for (number,) in connection.execute(f'SELECT rowid FROM "{table}"')]  # noqa: S608
        if not rows:
            continue
        row, column = rows[row_at % len(rows)], columns[column_at % len(columns)]
        try:
            if value is ...:
                [(value,)] = connection.execute(
                    f'SELECT "{column}" FROM "{table}" WHERE rowid = ?',  # noqa: S608
                    (rows[column_at % len(rows)],),
                )
            if column_at % 7 == 0:
                connection.execute(f'DELETE FROM "{table}" WHERE rowid = ?', (row,))  # noqa: S608
            else:
                connection.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = ?', (value, row))  # noqa: S608
        except (apsw.ConstraintError, apsw.MismatchError, UnicodeEncodeError):
            continue
    connection.close()


def all_of(path: Path, **options: Any) -> tuple[str, str]:
    """Everything that was said, and every reason."""
    found = list(read_conversations(path, **options))
    talks = [one for one in found if isinstance(one, Conversation)]
    said = json.dumps([node.messages() for talk in talks for line in paths(talk) for node in line.nodes])
    return said, "\n".join(one.reason for one in found if isinstance(one, Defect))
