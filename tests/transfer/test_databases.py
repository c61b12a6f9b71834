"""Reading other programs' SQLite databases: nothing changes, not even beside them, and damage is told."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sql_kit import built

from bough.errors import StoreUnavailableError, UnsupportedFormatError
from bough.transfer import Conversation, Defect, read_conversations
from bough.transfer.databases import Tables, columns, known, moment, opened
from bough.transfer.records import Reading
from bough.transfer.sources import sources

GOLDEN = "openai-agents/sessions.sql"


def conversations(path: Path) -> list[Conversation]:
    return [one for one in read_conversations(path) if isinstance(one, Conversation)]


def wal(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    connection.execute("CREATE TABLE IF NOT EXISTS t (x)")
    return connection


def test_nothing_is_left_beside_a_database_that_nobody_has_open(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    wal(path).close()
    before = path.read_bytes()
    assert os.listdir(tmp_path) == ["a.db"]
    with opened(path) as connection:
        assert list(connection.execute("SELECT * FROM t")) == []
    assert os.listdir(tmp_path) == ["a.db"]
    assert path.read_bytes() == before


def test_what_a_program_is_writing_is_read_along_as_one_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    writer = wal(path)
    writer.execute("INSERT INTO t VALUES (1)")
    with opened(path) as connection:
        assert list(connection.execute("SELECT x FROM t")) == [(1,)]
        writer.execute("INSERT INTO t VALUES (2)")
        assert list(connection.execute("SELECT x FROM t")) == [(1,)]
    with opened(path) as connection:
        assert list(connection.execute("SELECT x FROM t")) == [(1,), (2,)]
    writer.close()


def test_a_write_to_what_was_taken_for_resting_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    wal(path).close()
    reading = opened(path)
    reading.__enter__()
    writer = wal(path)
    writer.execute("INSERT INTO t VALUES (1)")
    writer.close()
    with pytest.raises(StoreUnavailableError, match="written to"):
        reading.__exit__(None, None, None)


def test_nothing_can_be_written(tmp_path: Path) -> None:
    path = built(tmp_path / "a.db", GOLDEN)
    with opened(path) as connection, pytest.raises(apsw.ReadOnlyError):
        connection.execute("DELETE FROM agent_messages")


def test_a_damaged_database_is_no_format(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"SQLite format 3\0" + b"junk" * 500)
    with pytest.raises(UnsupportedFormatError):
        columns(path)


def test_a_damaged_name_is_no_format(tmp_path: Path) -> None:
    path = built(tmp_path / "a.db", GOLDEN)
    path.write_bytes(path.read_bytes().replace(b"agent_messages", b"agent_\x80essages"))
    with pytest.raises(UnsupportedFormatError):
        list(read_conversations(path))


def test_columns_that_a_version_does_not_have_read_as_none(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    wal(path).close()
    with opened(path) as connection:
        tables = Tables(connection)
        assert list(tables.rows("t", ["x", "y"])) == []
        assert list(tables.rows("nowhere", ["x"])) == []
        assert list(tables.rows("t", ["x"], where={"y": 1})) == []


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
def test_texts_are_found_again_by_what_they_are(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.db"
    connection = apsw.Connection(str(path))
    connection.pragma("encoding", encoding)
    connection.execute('CREATE TABLE "a ""b" (x TEXT, n)')
    connection.executemany('INSERT INTO "a ""b" VALUES (?, ?)', [("é\0👋", 1), (None, 2), ("", 3)])
    connection.close()
    with opened(path) as reader:
        tables = Tables(reader)
        found = list(tables.rows('a "b', ["x", "n", "gone"], order=["n", "gone"]))
        assert [row["gone"] for row in found] == [None] * 3
        for row in found:
            assert list(tables.rows('a "b', ["n"], where={"x": row["x"]})) == [{"n": row["n"]}]
        assert found[0]["x"] == "é\0👋"


def test_text_that_is_none_keeps_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    writer = wal(path)
    writer.execute("INSERT INTO t VALUES (CAST(x'61ff' AS TEXT)), (x'61ff')")
    writer.close()
    with opened(path) as reader:
        text, blob = Tables(reader).rows("t", ["x"])
        assert text["x"].encode(errors="surrogateescape") == blob["x"] == b"a\xff"
        assert len(list(Tables(reader).rows("t", ["x"], where=text))) == 1


def test_times_without_an_offset_are_utc() -> None:
    assert str(moment("2026-11-21 10:08:45")) == "2026-11-21 10:08:45+00:00"
    assert str(moment("2026-11-21T10:08:45.5+02:00")) == "2026-11-21 08:08:45.500000+00:00"
    assert moment("soon") is moment(None) is moment(b"") is None


def test_known_leaves_out_what_says_nothing() -> None:
    row = {"a": None, "b": 0, "c_json": '{"x": 1}', "d_json": "{", "e": b"x", "f": float("inf"), "g_details": "{}"}
    assert known(row, *row) == {"b": 0, "c_json": {"x": 1}, "d_json": "{"}


def test_a_format_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    wal(path).close()
    with pytest.raises(UnsupportedFormatError, match="not recognised"):
        list(read_conversations(path))
    for name in ("openai-agents", "langgraph", "llm"):
        with pytest.raises(UnsupportedFormatError, match="tables"):
            list(read_conversations(path, format=name))
    assert [source.path for source in sources(path)] == [path]
    assert Reading(source=next(sources(path))).raw is False


def test_what_stands_before_the_damage_comes_out_and_the_rest_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    connection = apsw.Connection(str(path))
    connection.execute(
        "CREATE TABLE agent_messages (id INTEGER PRIMARY KEY, session_id TEXT, message_data TEXT, created_at TEXT)"
    )
    connection.execute("CREATE INDEX of_session ON agent_messages (session_id, id)")
    item = '{"role":"user","content":"' + "x" * 9000 + '"}'
    connection.executemany(
        "INSERT INTO agent_messages (session_id, message_data) VALUES (?, ?)", [(f"s{n:03}", item) for n in range(300)]
    )
    [(page,)] = connection.execute(
        "SELECT pageno FROM dbstat WHERE name = 'agent_messages' AND pagetype = 'leaf' ORDER BY path DESC LIMIT 1"
    )
    connection.close()
    data = bytearray(path.read_bytes())
    data[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    path.write_bytes(data)
    found = list(read_conversations(path))
    talks = [one for one in found if isinstance(one, Conversation)]
    assert len(talks) > 200
    assert [type(one) for one in found[len(talks) :]] == [Defect]
    assert isinstance(found[-1], Defect)
    assert "the rest of the database cannot be read" in found[-1].reason


@settings(max_examples=30)
@given(cut=st.floats(0, 1), at=st.floats(0, 1), junk=st.binary(min_size=1, max_size=200))
def test_a_damaged_file_never_fails_otherwise(
    tmp_path_factory: pytest.TempPathFactory, cut: float, at: float, junk: bytes
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    for golden in (GOLDEN, "langgraph/checkpoints.sql", "llm/logs.sql"):
        path = built(folder / "a.db", golden)
        whole = path.read_bytes()
        for data in (
            whole[: 100 + int((len(whole) - 100) * cut)],
            whole[: (begin := 100 + int((len(whole) - 100) * at))] + junk + whole[begin + len(junk) :],
        ):
            path.write_bytes(data)
            with suppress(UnsupportedFormatError, StoreUnavailableError):
                assert all(isinstance(one, Conversation | Defect) for one in read_conversations(path))
