"""OpenAI Agents SDK: the databases of ``SQLiteSession`` and ``AdvancedSQLiteSession``.

``agent_sessions(session_id, created_at, updated_at)``, ``agent_messages(id, session_id, message_data JSON,
created_at)``. The tables may have other names: the one with ``message_data`` is taken, and its foreign key says which
are the sessions. The advanced session has also ``message_structure(session_id, message_id, branch_id, message_type,
sequence_number, user_turn_number, branch_turn_number, tool_name)``, which says of each branch which messages it has, in
the order of ``sequence_number``, and ``turn_usage(session_id, branch_id, user_turn_number, input_tokens, …)``. A branch
that was made from a turn lists the same message ids up to there. (Read in the source of openai-agents 0.24.0, and tried
on databases that it wrote; ``SQLAlchemySession`` has the two plain tables as well.)

An item (of the Responses interface, or a chat message) is kept as it is: :mod:`bough.turns` understands both. Only
``metadata`` is added: ``source``, ``id`` (the row's), ``time``, and on the last item of a turn its ``usage``.

Each branch becomes a branch of its name. A message that no branch lists was deleted with its branch; the SDK does not
show it, and it is told. Which branch was current is not in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bough.branch import MAIN
from bough.codec import decode, time_text
from bough.model import Message
from bough.transfer import normal
from bough.transfer.databases import Columns, Row, Tables, as_bytes, known, moment, read_tables
from bough.transfer.prefixes import Prefixes
from bough.transfer.records import Progress, Reading
from bough.transfer.tree import Conversation, Defect, grow

SOURCE = "openai-agents"
_USAGE = ("requests", "input_tokens", "output_tokens", "total_tokens", "input_tokens_details", "output_tokens_details")


def recognises(columns: Columns) -> bool:
    """Whether the tables are of such a database."""
    return any(map(_has_messages, columns.values()))


def read(reading: Reading, progress: Progress) -> Iterator[Conversation | Defect]:
    """A conversation a session."""
    yield from read_tables(reading, recognises, lambda tables: _read(tables, reading))
    progress(reading.source.size)


def _has_messages(names: tuple[str, ...]) -> bool:
    return {"id", "session_id", "message_data"} <= set(names)


def _read(tables: Tables, reading: Reading) -> Iterator[Conversation | Defect]:
    for table in [name for name, names in tables.columns.items() if _has_messages(names)]:
        sessions = tables.references(table).get("session_id", "agent_sessions")
        structured = tables.references("message_structure").get("message_id", table) == table
        for row in tables.rows(table, ["session_id"], order=["session_id"], distinct=True):
            session = _Session(tables, row["session_id"], reading.source.name)
            session.read_items(table)
            yield from session.grown(sessions, session.branches() if structured else {})


class _Session:
    """One session of the database."""

    def __init__(self, tables: Tables, id_: Any, file: str) -> None:
        self._tables = tables
        self._id = id_
        self._here = {"session_id": id_}
        self._file = file
        self._items: dict[Any, Message] = {}
        self._defects: list[Defect] = []

    def read_items(self, table: str) -> None:
        for row in self._tables.rows(table, ["id", "message_data", "created_at"], where=self._here, order=["id"]):
            try:
                item = _item(row)
            except ValueError as error:
                self._tell(f"message {row['id']!r}: {error}")
                continue
            if row["id"] in self._items:
                self._tell(f"a second message has the id {row['id']!r}")
            else:
                self._items[row["id"]] = item

    def branches(self) -> dict[str, list[Any]]:
        """Of each branch its messages, in order; their turns' usage is put on them."""
        wanted = ("branch_id", "message_id", "user_turn_number")
        branches: dict[str, list[Any]] = {}
        ends: dict[tuple[str, Any], Any] = {}
        for row in self._tables.rows("message_structure", wanted, where=self._here, order=["sequence_number", "id"]):
            name = _name(row["branch_id"])
            branches.setdefault(name, []).append(row["message_id"])
            ends[name, row["user_turn_number"]] = row["message_id"]
            if row["message_id"] not in self._items:
                self._tell(f"branch {name!r} lists message {row['message_id']!r}, which is missing or broken")
        for row in self._tables.rows("turn_usage", ("branch_id", "user_turn_number", *_USAGE), where=self._here):
            item = self._items.get(ends.get((_name(row["branch_id"]), row["user_turn_number"])))
            if item is None:
                self._tell(f"the usage of turn {row['user_turn_number']!r} of {row['branch_id']!r} has no message")
            else:
                item["metadata"].setdefault("usage", known(row, *_USAGE))
        return branches

    def grown(self, sessions: str, branches: dict[str, list[Any]]) -> Iterator[Conversation | Defect]:
        nodes = Prefixes()
        ends: dict[str, str | None] = {}
        for name, keys in (branches or {MAIN: list(self._items)}).items():
            at: str | None = None
            for key in keys:
                if key in self._items:
                    at = nodes.step(at, key) or nodes.add(at, key, str(key), self._items[key])
            ends[name] = at
        if branches:
            for key in self._items.keys() - {key for keys in branches.values() for key in keys}:
                self._tell(f"message {key!r} is on no branch")
        entries, leaf = nodes.entries(ends)
        made, defects = grow(entries, file=self._file, leaf=leaf)
        about = next(self._tables.rows(sessions, ["created_at", "updated_at"], where=self._here), {})
        yield Conversation(
            session_id=normal.session_name(SOURCE, self._id, {"": repr(self._id)}, self._file),
            nodes=made,
            file=self._file,
            line=0,
            created_at=moment(about.get("created_at")),
            metadata={
                "source": SOURCE,
                "id": _name(self._id),
                **known(about, "updated_at"),
            },
        )
        yield from self._defects
        yield from defects

    def _tell(self, reason: str) -> None:
        self._defects.append(Defect(file=self._file, line=0, reason=reason))


def _item(row: Row) -> Message:
    """The item of a row. ``ValueError`` where it is none."""
    item = decode(as_bytes(row["message_data"]))
    if item.get("__enc__") == 1:
        raise ValueError("it is encrypted (EncryptedSession)")
    own = item.get("metadata", {})
    time = moment(row["created_at"])
    item["metadata"] = {
        **(own if isinstance(own, dict) else {"metadata": own}),
        "source": SOURCE,
        "id": str(row["id"]),
        **({} if time is None else {"time": time_text(time)}),
    }
    return item


def _name(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)
