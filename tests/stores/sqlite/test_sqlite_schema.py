"""Older schemas are brought forward, whole or not at all; newer ones and other programs' files are left alone.

The golden files are databases of each schema that was released (``golden/README.md``).
"""

from __future__ import annotations

import os
import signal
import stat
import threading
from hashlib import sha256
from pathlib import Path

import apsw
import pytest
from sqlite_store_kit import WAIT, Gate, ask, check_file, in_child, lines, manager_of, raw, say, start, status_of, texts

from bough.errors import CorruptBranchError, StoreUnavailableError, UnsupportedFormatError
from bough.model import Graft, Piece, Put, replace
from bough.search import parse
from bough.stores.sqlite import SqliteStore, schema

GOLDEN = Path(__file__).parent / "golden"


def old_file(path: Path, number: int = 1) -> Path:
    """A database of that schema."""
    with raw(path) as connection:
        connection.execute((GOLDEN / f"schema-{number}.sql").read_text(encoding="utf-8"))
        connection.pragma("journal_mode", "wal")
    return path


def tables(path: Path) -> dict[str, list[object]]:
    """All rows of the tables of schema 1, with the columns that they had."""
    names = {
        "session": "key, id, operation_floor",
        "branch": "session, id, name, operation, history, tip, tip_start, created_at, parent_id, parent_message_index,"
        " metadata, extra",
        "operation": "session, number, id, kind, at, pid, hostname, head_before, head_after, branches, detail",
        **dict.fromkeys(("segment", "message"), "*"),
    }
    return {name: ask(path, f"SELECT {columns} FROM {name} ORDER BY 1, 2, 3") for name, columns in names.items()}  # noqa: S608


def version(path: Path) -> int:
    [(number,)] = ask(path, "PRAGMA user_version")
    return int(number)


def contents(path: Path) -> str:
    """A digest of the bytes; taken by another process, for a close of the file here would drop SQLite's locks."""
    reader, writer = os.pipe()
    assert in_child(lambda: os.write(writer, sha256(path.read_bytes()).digest())) == 0
    os.close(writer)
    found = os.read(reader, 32)
    os.close(reader)
    return found.hex()


def check_brought_forward(path: Path, before: dict[str, list[object]], number: int = 1) -> None:
    assert version(path) == schema.VERSION
    assert tables(path) == before
    copy = Path(f"{path}.schema-{number}")
    assert version(copy) == number
    assert tables(copy) == before
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert sorted(each.name for each in path.parent.iterdir() if "schema" in each.name) == [copy.name]
    check_file(path)


def test_a_file_of_schema_1_is_brought_forward_and_keeps_everything(tmp_path: Path) -> None:
    path = old_file(tmp_path / "store.db")
    before = tables(path)
    with manager_of(path) as manager:
        check_brought_forward(path, before)
        assert manager.store.sessions() == ["a/b", "talk"]
        messages = manager.get_messages()
        assert [message.get("content") for message in messages] == ["one", "two é\0", "three", None]
        assert messages[3] == {"n": [2**70, 1.5, None]}
        assert {branch.id: branch.name for branch in manager.get_all_branches()} == {
            "main": "Main conversation",
            "side": "Renamed",
        }
        operations = list(manager.store.operations("talk"))
        assert [(each.number, each.kind) for each in operations] == [
            *((7, "delete"), (6, "create"), (5, "rename"), (4, "merge")),
            *((3, "checkout"), (2, "fork"), (1, "init")),
        ]
        assert manager.get_current_branch_id() == "main"
        for kind in ("delete", "create", "rename", "merge"):
            assert manager.undo().kind == kind
        assert [message["content"] for message in manager.get_messages()] == ["one", "two é\0", "three"]
        manager.add_messages(say("four"))
        assert len(list(manager.store.search(parse("one OR four"), session_id="talk"))) == 2
        kept = manager.store.move("a/b", None)
        assert manager.store.sessions(deleted=True) == [kept]
    with manager_of(path, "a/b") as other:
        assert texts(other) == []
    check_file(path)


def test_a_file_of_schema_2_is_brought_forward_and_keeps_everything(tmp_path: Path) -> None:
    """Its gaps come to stand in their table; what the index knew it knows."""
    path = old_file(tmp_path / "store.db", 2)
    before = tables(path)
    with manager_of(path) as manager:
        check_brought_forward(path, before, 2)
        said = [message.get("content") for message in manager.get_messages()]
        assert said == ["one", "two é\0", "three", None, "not indexed yet"]
        assert len(list(manager.store.search(parse("two OR indexed"), session_id="talk"))) == 2
        [kept] = manager.store.sessions(deleted=True)
        assert manager.store.move(kept, "a/b") == "a/b"
        assert manager.undo().kind == "delete"
        assert [list(manager.store.verify(name)) for name in ("talk", "a/b")] == [[], []]
        [unreached] = manager.store.verify("laid")
        assert (unreached.severity, unreached.history) == ("note", (Piece("theirs", 7, 8),))
    assert ask(path, "SELECT session, segment, start, stop, chain_before FROM gap") == [
        (3, 2, 0, 2, None),
        (3, 2, 4, 7, None),
    ]
    with manager_of(path, "laid") as laid:
        assert texts(laid) == ["laid 0", "laid 1", "laid 3", "laid 4"]
        record = laid.store.load("laid").branches["main"]
        put = Put(record=replace(record, history=(Piece("theirs", 2, 5),)), expected=record.version)
        with pytest.raises(CorruptBranchError):
            laid.store.commit("laid", Graft(puts=(put,)))
        laid.store.commit("laid", Graft(runs=((Piece("theirs", 4, 5), lines("filled")),), puts=(put,)))
        assert texts(laid) == ["laid 0", "laid 1", "filled"]
    check_file(path)


@pytest.mark.parametrize("number", range(1, schema.VERSION))
def test_a_new_file_and_one_that_was_brought_forward_are_the_same(tmp_path: Path, number: int) -> None:
    new, old = tmp_path / "new.db", old_file(tmp_path / "old.db", number)
    for path in (new, old):
        manager_of(path).close()

    def shape(path: Path) -> object:
        names = sorted(ask(path, "SELECT type, name, tbl_name FROM sqlite_schema"))
        columns = {
            name: ask(path, f"SELECT name, type, \"notnull\", pk FROM pragma_table_xinfo('{name}')")  # noqa: S608
            for kind, name, _ in names
            if kind == "table"
        }
        return names, columns

    assert shape(new) == shape(old)


@pytest.mark.parametrize("number", range(1, schema.VERSION))
def test_the_golden_file_is_of_the_schema_that_the_steps_make(tmp_path: Path, number: int) -> None:
    """So nobody edited what was released."""
    path, made = old_file(tmp_path / "golden.db", number), tmp_path / "made.db"
    with raw(made) as connection:
        for step in schema._STEPS[:number]:
            connection.execute(step)
    shape = "SELECT type, name, tbl_name, replace(replace(sql, ' ', ''), char(10), '') FROM sqlite_schema ORDER BY 1, 2"
    assert ask(path, shape) == ask(made, shape)


def test_killed_at_any_moment_of_a_migration(tmp_path: Path) -> None:
    """It is schema 1 and intact, or the present one; the next finishes. Moments are counted in SQLite's own steps."""
    before = tables(old_file(tmp_path / "reference.db"))
    seen = set()
    step = 1
    while True:
        root = tmp_path / f"at-{step}"
        root.mkdir()
        path = old_file(root / "store.db")

        def migrate() -> None:
            steps = 0

            def kill() -> bool:
                nonlocal steps
                steps += 1
                if steps == step:  # noqa: B023
                    os.kill(os.getpid(), signal.SIGKILL)
                return False

            apsw.connection_hooks.append(lambda connection: connection.set_progress_handler(kill, 5))
            SqliteStore(path).sessions()  # noqa: B023

        status = in_child(migrate)
        assert status in (0, -signal.SIGKILL)
        seen.add((version(path), Path(f"{path}.schema-1").exists()))
        assert tables(path) == before
        assert ask(path, "PRAGMA integrity_check") == [("ok",)]
        for leftover in root.glob("store.db.schema-1.*"):
            os.rename(
                leftover,
                f"{leftover.parent}/{leftover.name.rpartition('.')[0]}.{os.getpid()}-{threading.get_native_id()}",
            )
        assert SqliteStore(path).sessions() == ["a/b", "talk"]
        check_brought_forward(path, before)
        if status == 0:
            break
        step += max(1, step // 4)
    assert seen == {(1, False), (1, True), (schema.VERSION, True)}


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = old_file(tmp_path / "store.db")
    before = tables(path)

    def fail() -> None:
        schema._STEPS = (*schema._STEPS[:-1], schema._STEPS[-1] + "; SELECT no_such_function();")
        with pytest.raises(StoreUnavailableError):
            SqliteStore(path).sessions()

    assert in_child(fail) == 0
    assert (version(path), tables(path)) == (1, before)
    assert SqliteStore(path).sessions() == ["a/b", "talk"]
    check_brought_forward(path, before)


def test_a_migration_without_room_for_the_copy_changes_nothing(tmp_path: Path) -> None:
    path = old_file(tmp_path / "store.db")
    before = tables(path)
    os.mkdir(f"{path}.schema-1")  # nothing can be put there
    with pytest.raises(StoreUnavailableError, match=r"schema-1"):
        SqliteStore(path).sessions()
    assert (version(path), tables(path)) == (1, before)
    assert sorted(each.name for each in tmp_path.iterdir() if "schema" in each.name) == ["store.db.schema-1"]
    os.rmdir(f"{path}.schema-1")
    SqliteStore(path).sessions()
    check_brought_forward(path, before)


def test_processes_and_threads_that_migrate_at_the_same_moment(tmp_path: Path) -> None:
    for round_ in range(12):
        root = tmp_path / str(round_)
        root.mkdir()
        path = old_file(root / "store.db")
        before = tables(path)
        gate = Gate()

        def migrate() -> None:
            store = SqliteStore(path)  # noqa: B023
            errors: list[BaseException] = []

            def look() -> None:
                try:
                    assert store.sessions() == ["a/b", "talk"]
                except BaseException as error:  # noqa: BLE001  (raised again below)
                    errors.append(error)

            threads = [threading.Thread(target=look) for _ in range(3)]
            gate.wait()  # noqa: B023
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(WAIT)
            if errors:
                raise errors[0]

        children = [start(migrate) for _ in range(3)]
        gate.open()
        assert [status_of(child) for child in children] == [0] * 3
        check_brought_forward(path, before)


def test_what_a_rival_has_brought_forward_does_not_take_the_place_of_the_copy(tmp_path: Path) -> None:
    """The rival was done between our look at the file and our copying it."""
    path = old_file(tmp_path / "store.db")
    before = tables(path)
    store = SqliteStore(path)
    store.sessions()
    store.close()
    with raw(path) as connection:
        schema._copy_aside(connection, f"{path}.schema-1", 1)
    check_brought_forward(path, before)


def test_a_copy_of_an_earlier_attempt_is_made_anew(tmp_path: Path) -> None:
    """The old program may have gone on after it."""
    path = old_file(tmp_path / "store.db")
    old_file(Path(f"{path}.schema-1"))
    with raw(path) as connection:
        connection.execute("UPDATE branch SET name = 'Later'")
    before = tables(path)
    SqliteStore(path).sessions()
    check_brought_forward(path, before)


@pytest.mark.parametrize("number", [schema.VERSION + 1, 2**31 - 1, 0, -1])
def test_a_schema_that_is_not_known_is_refused_and_left_as_it_is(tmp_path: Path, number: int) -> None:
    path = tmp_path / "store.db"
    manager_of(path).close()
    with raw(path) as connection:
        connection.pragma("user_version", number)
    before = contents(path)
    store = SqliteStore(path)
    for look in (store.sessions, lambda: manager_of(path), lambda: store.move("talk", None)):
        with pytest.raises(UnsupportedFormatError) as caught:
            look()
        assert str(path) in str(caught.value)
        assert str(number) in str(caught.value)
        assert caught.value.hint
    store.close()
    assert contents(path) == before
    assert [each.name for each in tmp_path.iterdir()] == ["store.db"]


def test_every_schema_has_a_golden_file() -> None:
    assert {f"schema-{number}.sql" for number in range(1, schema.VERSION)} <= {each.name for each in GOLDEN.iterdir()}
    assert len(schema._STEPS) == schema.VERSION
