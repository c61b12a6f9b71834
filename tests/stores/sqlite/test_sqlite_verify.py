"""``verify`` finds each kind of damage, names what is damaged, and finds nothing where nothing is.

Damage is done from outside: by SQL to a file that nobody has open, or to its bytes.
"""
# ruff: noqa: S608  (no stranger's words come into these statements)

from __future__ import annotations

import os
import random
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import apsw
import pytest
from sqlite_store_kit import (
    SESSION,
    Gate,
    ask,
    check_file,
    digest,
    lines,
    manager_of,
    raw,
    say,
    start,
    status_of,
    texts,
)

from bough import changes, history
from bough.copying import copy_session
from bough.errors import (
    BranchMovedError,
    CorruptBranchError,
    InvalidRequestError,
    StoreUnavailableError,
    UnsupportedFormatError,
)
from bough.manager import ConversationBranchManager
from bough.model import Append, Finding, Graft, Piece
from bough.stores.sqlite import SqliteStore, verify_segment


def talk(path: Path, count: int = 30) -> None:
    """``main`` of so many messages; ``side`` is a fork of its first 20, with ten more."""
    with manager_of(path) as manager:
        manager.add_messages(say(*(f"main {n}" for n in range(count))))
        manager.fork_from_message("Side", 20)
        manager.add_messages(say(*(f"side {n}" for n in range(10))))
        manager.checkout("main")


def found(path: Path, session: str = SESSION) -> list[Finding]:
    store = SqliteStore(path)
    try:
        return list(store.verify(session))
    finally:
        store.close()


def damage(path: Path, *statements: str) -> None:
    with raw(path) as connection:
        for statement in statements:
            connection.execute(statement)


def segment_of(path: Path, branch: str = "main") -> str:
    store = SqliteStore(path)
    try:
        return store.load(SESSION).branches[branch].tip.segment
    finally:
        store.close()


AT = "WHERE session = 1 AND segment = 1 AND position"


# -- messages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        ("payload = replace(payload, 'main 11', 'main !!')", "does not fit its digest: it was changed"),
        ("payload = substr(payload, 2)", "does not fit its digest and is no JSON object any more"),
        ("payload = '[]'", "does not fit its digest and is no JSON object any more"),
        ("payload = NULL", "has lost its text"),
        ("salt = NULL", "does not fit its digest: it was changed"),
        ("salt = zeroblob(16)", "does not fit its digest: it was changed"),
        ("salt = zeroblob(100)", "does not fit its digest: it was changed"),
    ],
)
def test_a_changed_message_is_named(tmp_path: Path, what: str, problem: str) -> None:
    path = tmp_path / "store.db"
    talk(path)
    damage(path, f"UPDATE message SET {what} {AT} = 11")
    [finding] = found(path)
    segment = segment_of(path)
    assert finding.problem == problem
    assert finding.place == f"{path}: segment {segment}, message 11 (main:12)"
    assert (finding.branch_id, finding.severity) == ("main", "error")
    assert finding.history == (Piece(segment, 11, 12),)
    assert finding.advice


def test_a_message_of_another_branch_is_named_by_that(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    talk(path)
    damage(path, "UPDATE message SET payload = '{}' WHERE segment = 2 AND position IN (3, 4, 8)")
    first, second = found(path)
    assert first.place.endswith("messages 3..5 (side:24)")
    assert second.place.endswith("message 8 (side:29)")
    assert first.branch_id == "side"


def test_a_text_that_fits_its_digest_and_is_no_object_is_found(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    talk(path)
    with raw(path) as connection:
        [(salt,)] = connection.execute(f"SELECT salt FROM message {AT} = 29").fetchall()
        assert isinstance(salt, bytes)
        for payload in ("[1]", '{"a":', ""):
            connection.execute(
                f"UPDATE message SET payload = ?, digest = ? {AT} = 29", (payload, digest(payload.encode(), salt))
            )
            problems = [finding.problem for finding in found(path)]
            assert problems[0] == "is no JSON object"
            assert "chain" in problems[1]


@pytest.mark.parametrize("positions", [(0,), (7,), (29,), (3, 4, 5), (2, 9)])
def test_lost_messages_are_named(tmp_path: Path, positions: tuple[int, ...]) -> None:
    path = tmp_path / "store.db"
    talk(path)
    damage(path, f"DELETE FROM message {AT} IN ({','.join(map(str, positions))})")
    findings = found(path)
    segment = segment_of(path)
    assert history.union(*(finding.history for finding in findings)) == history.union(
        tuple(Piece(segment, at, at + 1) for at in positions)
    )
    assert {finding.problem for finding in findings} == {"is missing"}
    assert f"(main:{positions[0] + 1})" in findings[0].place


def test_swapped_texts_are_both_named(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    talk(path)
    [(five,), (nine,)] = ask(path, f"SELECT payload FROM message {AT} IN (5, 9)")
    damage(
        path, f"UPDATE message SET payload = CASE payload WHEN '{five}' THEN '{nine}' ELSE '{five}' END {AT} IN (5, 9)"
    )
    assert [finding.history[0].start for finding in found(path)] == [5, 9]


@pytest.mark.parametrize("into", [9, 29])
def test_swapped_rows_are_found_by_the_chain(tmp_path: Path, into: int) -> None:
    path = tmp_path / "store.db"
    talk(path)
    damage(
        path,
        f"UPDATE message SET position = -1 {AT} = 5",
        f"UPDATE message SET position = 5 {AT} = {into}",
        f"UPDATE message SET position = {into} {AT} = -1",
    )
    [finding] = found(path)
    assert "chain" in finding.problem
    assert finding.place.endswith("messages 0..30 (main:1)")


def test_a_chain_is_found_wrong_between_the_values_that_are_known(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    talk(path)
    with manager_of(path) as manager:
        store = manager.store
        record = store.load(SESSION).branches["main"]
        segment = record.tip.segment
        rest = history.subtract(record.history, (free := (Piece(segment, 22, 25),)))
        store.commit(SESSION, changes.change("reset", changes.put_again(record, history=rest)))
        store.commit(SESSION, changes.change("gc", free=free))
    assert found(path) == []
    swap = [
        f"UPDATE message SET position = -1 {AT} = 26",
        f"UPDATE message SET position = 26 {AT} = 27",
        f"UPDATE message SET position = 27 {AT} = -1",
    ]
    damage(path, *swap)
    [finding] = found(path)
    assert finding.place.endswith("messages 25..30 (main:23)")
    damage(path, *swap)
    assert found(path) == []
    damage(path, *(each.replace("26", "10").replace("27", "11") for each in swap))
    [finding] = found(path)
    assert finding.place.endswith("messages 0..22 (main:1)")
    damage(path, f"DELETE FROM message {AT} = 3")  # a lost one explains the chain
    assert [finding.problem for finding in found(path)] == ["is missing"]


def test_a_row_where_none_should_be_is_found(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    talk(path)
    damage(path, f"INSERT INTO message SELECT session, segment, 40, salt, digest, payload FROM message {AT} = 1")
    [finding] = found(path)
    assert finding.problem == "stand behind the end of their segment"
    damage(path, f"DELETE FROM message {AT} = 40", "INSERT INTO gap VALUES (1, 1, 29, 30, NULL, NULL)")
    problems = [finding.problem for finding in found(path)]
    assert any("said to be erased" in problem for problem in problems)
    assert any("not there: 29..30" in problem for problem in problems)  # by the table; no branch may come to hold it


def test_a_bit_flipped_in_the_file_is_found(tmp_path: Path) -> None:
    """Wherever in a message's row: the one that is damaged is named, or the page."""
    path = tmp_path / "store.db"
    talk(path, 100)
    damage(path, "PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA journal_mode = delete")
    whole = path.read_bytes()
    needles = [whole.index(b'"main 57"') + at for at in (-25, 0, 3, 7)] + [whole.index(b'"main 57"') - 60]
    for at in needles:
        for bit in (0, 3, 6):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
            findings = found(path)
            assert findings, (at, bit)
            assert any("(main:" in finding.place for finding in findings), (at - needles[1], bit, findings)
            if at >= needles[1]:
                assert findings[0].place.endswith("message 57 (main:58)")
            for leftover in path.parent.glob("store.db-*"):
                leftover.unlink()
    path.write_bytes(whole)
    assert found(path) == []


def test_whatever_bit_flips_a_verify_ends_and_says_something_that_helps(tmp_path: Path) -> None:
    """Anywhere in the file. Bits of unused space change nothing."""
    path = tmp_path / "store.db"
    talk(path, 120)
    with manager_of(path) as manager:
        manager.search("main")
        for erase in (False, True):
            give_up(manager, random.Random(1), erase=erase)
        manager.add_messages(say("x"))
        manager.store.close()
    damage(path, "PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA journal_mode = delete")
    whole = path.read_bytes()
    used = [at for at, byte in enumerate(whole) if byte]
    chance = random.Random(5)
    told = 0
    for _ in range(200):
        at = chance.choice(used)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << chance.randrange(8)]) + whole[at + 1 :])
        try:
            findings = found(path)
        except (CorruptBranchError, UnsupportedFormatError, StoreUnavailableError):
            told += 1  # the header of the file, or the page with its tables
        else:
            told += bool(findings)
            assert all(finding.place and finding.problem and finding.advice for finding in findings)
        for leftover in tmp_path.glob("store.db-*"):
            leftover.unlink()
    assert told > 80


def test_a_damaged_page_hides_no_other_message(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    talk(path, 3000)
    damage(
        path,
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA journal_mode = delete",
        f"UPDATE message SET payload = '{{}}' {AT} = 2990",
    )
    content = bytearray(path.read_bytes())
    page = content.index(b'"main 1500"') // 4096 * 4096
    content[page : page + 100] = bytes(100)
    path.write_bytes(content)
    findings = found(path)
    segment = segment_of(path)
    lost = [finding for finding in findings if "cannot be read" in finding.problem]
    [piece] = history.union(*(finding.history for finding in lost))
    assert piece.start <= 1500 < piece.stop
    assert piece.stop - piece.start < 100
    assert any(finding.history == (Piece(segment, 2990, 2991),) for finding in findings)


# -- segments, branches and the log ----------------------------------------------------------------------------------


def test_a_lost_segment_row_is_found_with_all_branches_that_need_it(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    talk(path)
    segment = segment_of(path)
    damage(path, "DELETE FROM segment WHERE number = 1")
    findings = {(finding.branch_id, finding.problem) for finding in found(path)}
    assert ("main", "the segment that it appends to is missing") in findings
    assert ("side", f"20 of its messages are of segment {segment}, which is missing") in findings
    assert any(branch == "main" and "its row is missing" in problem for branch, problem in findings)


def test_a_branch_that_cannot_be_read_comes_with_what_the_log_has_of_it(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    talk(path)
    damage(path, "UPDATE branch SET history = '[' WHERE id = 'side'")
    [finding] = found(path)
    assert (finding.branch_id, finding.severity) == ("side", "error")
    assert finding.problem.startswith("its row is damaged")
    assert history.length(finding.history) == 30
    assert finding.advice


def test_a_branch_whose_row_is_lost_comes_with_what_the_log_has_of_it(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    talk(path)
    with manager_of(path) as manager:
        wanted = [message["content"] for message in manager.get_messages("side")]
        manager.create_branch("gone", "Gone", "main")
        manager.delete_branch("gone")
    damage(path, "DELETE FROM branch WHERE id = 'side'")
    [finding] = found(path)
    assert (finding.branch_id, finding.problem) == ("side", "it is gone, and no operation deleted it")
    with manager_of(path) as manager:
        assert [message["content"] for message in manager.store.read(SESSION, finding.history)] == wanted
    damage(path, "UPDATE operation SET branches = '' WHERE number = 1")
    severities = {finding.branch_id: finding.severity for finding in found(path) if finding.branch_id}
    assert severities == {"side": "warning"}


def test_a_history_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    talk(path)
    segment = segment_of(path)
    damage(path, f"""UPDATE branch SET history = '[["{segment}",0,2],["{segment}",28,35]]' WHERE id = 'side'""")
    changed, finding = found(path)
    assert "(history)" in changed.problem
    assert finding.problem == f"it holds 5 messages that are not there: 30..35 of segment {segment}"
    assert finding.place.endswith("branch 'side' (side:5)")
    assert finding.history == (Piece(segment, 30, 35),)


def test_operations_that_cannot_be_read_are_named_and_the_others_still_count(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    talk(path)
    with manager_of(path) as manager:
        for n in range(250):
            manager.rename_branch("side", f"{n}")
    damage(
        path,
        "UPDATE operation SET branches = '[' WHERE number IN (20, 130)",
        "UPDATE operation SET freed = '7' WHERE number = 140",
    )
    findings = found(path)
    assert [finding.place.rpartition(" ")[2] for finding in findings] == ["140", "130", "20"]
    assert {finding.severity for finding in findings} == {"error"}


def test_a_log_that_lost_its_end_is_found(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    talk(path)
    with manager_of(path) as manager:
        manager.rename_branch("side", "Later")
    damage(path, "DELETE FROM operation WHERE number = (SELECT max(number) FROM operation)")
    [finding] = found(path)
    assert finding.branch_id == "side"
    assert "the log ends at" in finding.problem


def test_messages_that_only_the_log_had_are_a_warning_where_nobody_gave_them_up(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    talk(path)
    with manager_of(path) as manager:
        manager.delete_branch("side")
    segment = 2
    damage(
        path,
        f"DELETE FROM message WHERE segment = {segment} AND position < 4",
        f"INSERT INTO gap VALUES (1, {segment}, 0, 4, NULL, NULL)",
    )
    warning = next(finding for finding in found(path) if finding.severity == "warning")
    assert warning.problem == "4 messages that branches once had are gone, and were not given up"
    assert history.length(warning.history) == 4


def test_what_nothing_reaches_is_a_note(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    talk(path)
    store = SqliteStore(path)
    store.commit(SESSION, Graft(runs=((Piece("elsewhere", 3, 5), lines("a", "b")),)))
    store.close()
    [finding] = found(path)
    assert (finding.severity, finding.history) == ("note", (Piece("elsewhere", 3, 5),))


def test_damaged_attributes_are_found_and_can_be_set_anew(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    talk(path)
    store = SqliteStore(path)
    store.commit(SESSION, changes.change("describe", attributes={"title": "t"}))
    damage(path, "UPDATE session SET attributes = '{'")
    [finding] = found(path)
    assert "attributes" in finding.place
    state = store.load(SESSION)
    assert (dict(state.attributes), [each.place for each in state.findings]) == ({}, [finding.place])
    store.commit(SESSION, changes.change("describe", attributes={"title": "u"}))
    assert dict(store.load(SESSION).attributes) == {"title": "u"}
    store.close()
    assert found(path) == []


def test_sqlites_own_damage_is_told(tmp_path: Path) -> None:
    """An index that does not fit its table, which reading alone would not notice."""
    path = tmp_path / "store.db"
    talk(path)
    with raw(path) as connection:
        [index] = connection.execute("SELECT * FROM sqlite_schema WHERE name = 'segment_id'").fetchall()
        connection.pragma("writable_schema", True)
        connection.execute("DELETE FROM sqlite_schema WHERE name = 'segment_id'")
        connection.execute("PRAGMA writable_schema = RESET")
        connection.execute("UPDATE segment SET number = 9 WHERE number = 3")
        connection.execute("INSERT INTO segment VALUES (1, 4, 'unknown to the index', 0, x'', 0)")
        connection.pragma("writable_schema", True)
        connection.execute("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", index)
        connection.execute("PRAGMA writable_schema = RESET")
    findings = found(path)
    assert any(finding.place.endswith("table segment") for finding in findings)


def test_a_damaged_search_index_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    talk(path)
    with manager_of(path) as manager:
        manager.search("main")
    damage(path, "UPDATE search_index_data SET block = zeroblob(length(block)) WHERE id > 10")
    [finding] = found(path)
    assert finding.place.endswith("the search index")
    assert (finding.severity, bool(finding.advice)) == ("warning", True)


def test_a_run_of_the_index_that_cannot_be_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    talk(path)
    with manager_of(path) as manager:
        manager.search("main")
    damage(path, "UPDATE search_run SET stop = stop + 100")
    assert {finding.severity for finding in found(path)} == {"warning"}


# -- healthy sessions ------------------------------------------------------------------------------------------------


def live(manager: ConversationBranchManager, chance: random.Random) -> None:
    """One step in the life of a session."""
    names = [branch.id for branch in manager.get_all_branches()]
    manager.checkout(chance.choice(names))
    held = manager.get_messages()
    verb = chance.randrange(10)
    if verb < 3 or len(held) < 3:
        manager.add_messages(say(*(f"{chance.random()}" for _ in range(chance.randrange(1, 6)))))
    elif verb == 3:
        manager.fork_from_message(f"b{len(names)}", chance.randrange(len(held)))
    elif verb == 4 and len(names) > 1:
        manager.merge(chance.choice([name for name in names if name != manager.get_current_branch_id()]))
    elif verb == 5:
        at = chance.randrange(len(held))
        manager.set_messages([*held[:at], *say("new"), *held[at + 1 :]])
    elif verb == 6 and len(names) > 3:
        manager.checkout("main")
        manager.delete_branch(chance.choice([name for name in names if name != "main"]))
    elif verb == 7:
        with suppress(InvalidRequestError, BranchMovedError, CorruptBranchError):  # what it needs was given up
            manager.undo()
    else:
        give_up(manager, chance, erase=verb == 8)


def give_up(manager: ConversationBranchManager, chance: random.Random, *, erase: bool) -> None:
    """Takes a few messages from all branches, and frees them, with what nothing holds any more."""
    store = manager.store
    state = store.load(SESSION)
    record = chance.choice(list(state.branches.values()))
    at = chance.randrange(record.length + 1)
    free = history.cut(record.history, at, min(record.length, at + 3))
    puts = [
        changes.put_again(each, history=history.subtract(each.history, free))
        for each in state.branches.values()
        if history.subtract(free, each.history) != free
    ]
    store.commit(SESSION, changes.change("purge", *puts, free=history.union(free), erase=erase))
    if not erase:
        manager.gc(keep=timedelta())


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(n, id=f"exhaustive-{n}", marks=pytest.mark.torture) for n in range(4, 24))]
)
def test_nothing_is_found_in_a_session_that_had_a_long_life(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(verify_segment, "_BLOCK", chance.choice([1, 2, 3, 7, 2000]))
    path = tmp_path / "store.db"
    with manager_of(path) as manager:
        for _ in range(60):
            live(manager, chance)
            assert list(manager.store.verify(SESSION)) == []
            if chance.random() < 0.1:
                manager.search("new")
    check_file(path)


def test_blocks_of_any_size_and_a_change_between_any_two_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others append, drop, erase and lay messages while a verify is under way: it finds nothing."""
    monkeypatch.setattr(verify_segment, "_BLOCK", 2)
    for seed in range(8):
        chance = random.Random(seed)
        name = tmp_path / f"{seed}.db"
        with manager_of(name) as manager:
            store = manager.store
            manager.add_messages(say(*(f"{n}" for n in range(40))))
            store.commit(
                SESSION, Graft(runs=((Piece("laid", 5, 9), lines(*"abcd")), (Piece("laid", 20, 24), lines(*"efgh"))))
            )
            real = verify_segment._block
            laid = {*range(5, 9), *range(20, 24)}

            def block(connection: apsw.Connection, place: object, at: int, **how: object) -> object:
                step = chance.randrange(4)  # noqa: B023
                if step == 0:
                    store.commit(SESSION, Append(branch_id="main", messages=lines("more")))  # noqa: B023
                elif step == 1:
                    position = chance.randrange(20)  # noqa: B023
                    if position not in laid:  # noqa: B023
                        laid.add(position)  # noqa: B023
                        store.commit(SESSION, Graft(runs=((Piece("laid", position, position + 1), lines("x")),)))  # noqa: B023
                elif manager.store.load(SESSION).branches["main"].length > 5:
                    give_up(manager, chance, erase=step == 2)  # noqa: B023
                return real(connection, place, at)  # type: ignore[arg-type]  # noqa: B023

            monkeypatch.setattr(verify_segment, "_block", block)
            findings = list(store.verify(SESSION))
            monkeypatch.setattr(verify_segment, "_block", real)
            assert [finding for finding in findings if finding.severity != "note"] == []
        check_file(name)


def test_a_verify_keeps_no_snapshot_between_its_steps(tmp_path: Path) -> None:
    """The log can be cut in between."""
    path = tmp_path / "store.db"
    talk(path, 5000)
    store = SqliteStore(path)
    damage(path, f"DELETE FROM message {AT} IN (10, 4000)")
    findings = store.verify(SESSION)
    next(findings)
    store.commit(SESSION, Append(branch_id="main", messages=lines("more")))
    with raw(path) as connection:
        connection.set_busy_timeout(0)
        connection.pragma("user_version")  # else it has no log yet
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    assert os.stat(f"{path}-wal").st_size == 0
    assert [finding.problem for finding in findings] == ["is missing"]
    store.close()


def test_processes_write_while_others_verify(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    talk(path, 200)
    gate = Gate()

    def write(seed: int) -> None:
        chance = random.Random(seed)
        gate.wait()
        with manager_of(path) as manager:
            for _ in range(15):
                manager.add_messages(say("more", "and more"))
                with suppress(BranchMovedError, CorruptBranchError, InvalidRequestError):  # another one came first
                    manager.fork(f"b {seed}")
                    give_up(manager, chance, erase=chance.random() < 0.2)

    def look() -> None:
        gate.wait()
        store = SqliteStore(path, lock_timeout=60.0)
        for _ in range(10):
            findings = [finding for finding in store.verify(SESSION) if finding.severity != "note"]
            assert [each for each in findings if "what was erased" not in each.place] == []  # it may be under way

    children = [start(lambda: write(seed)) for seed in range(2)] + [start(look)]  # noqa: B023
    gate.open()
    assert [status_of(child) for child in children] == [0, 0, 0]
    check_file(path)


def test_verify_costs_nothing_where_there_is_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    assert list(store.verify(SESSION)) == []
    assert list(tmp_path.iterdir()) == []


def test_the_messages_of_a_segment_that_lost_its_row_are_rescued(tmp_path: Path) -> None:
    path = tmp_path / "talks.db"
    with manager_of(path) as manager:
        manager.add_messages(say("one", "two"))
    damage(path, "DELETE FROM segment")
    [stray] = [finding for finding in found(path) if finding.rescued]
    assert stray.branch_id == "main"
    assert list(stray.rescued) == lines("one", "two")
    with ConversationBranchManager(SESSION, store=f"sqlite:{path}", create=False) as manager:
        assert manager.fsck(repair=True).salvaged == ("salvaged-main",)
        assert manager.get_messages("salvaged-main") == say("one", "two")


def test_a_lost_operation_is_found(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    talk(path)
    damage(path, "DELETE FROM operation WHERE number = 2")
    with manager_of(path) as manager:
        assert ("operation 2", "warning") in {(each.place, each.severity) for each in manager.fsck().findings}


# -- rows that were changed by hand ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "where"),
    [
        ("name = 'zzz'", "name"),
        ("metadata = NULL", "metadata"),
        ("""extra = '{"a":1}'""", "extra"),
        ("parent_id = 'side'", "parent_id"),
        ("parent_message_index = 3", "parent_message_index"),
        ("created_at = created_at + 1", "created_at"),
        ("operation = 2", "operation"),
        ("tip_start = 2", "history"),
        ("history = (SELECT history FROM branch WHERE id = 'side')", "history"),
        ("digest = x'00'", ""),
    ],
)
def test_a_branch_whose_row_was_changed_is_named(tmp_path: Path, what: str, where: str) -> None:
    path = tmp_path / "store.db"
    talk(path)
    with manager_of(path) as manager:
        manager.set_branch_metadata({"a": 1})
        manager.add_messages(say("more"))
        wanted = manager.store.load(SESSION).branches["main"].history
    assert found(path) == []
    damage(path, f"UPDATE branch SET {what} WHERE id = 'main'")
    [finding] = found(path)
    problem = "its row does not fit its digest: it was changed"
    assert finding.problem == (f"{problem} ({where})" if where else problem)
    assert (finding.branch_id, finding.severity, bool(finding.advice)) == ("main", "error", True)
    assert finding.history == (wanted if where == "history" else ())
    with manager_of(path) as manager:
        manager.rename_branch("main", "Anew")  # which writes the row
    assert not any("digest" in finding.problem for finding in found(path))


def test_what_a_branch_held_before_its_row_was_changed_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    talk(path)
    with manager_of(path) as manager:
        wanted = manager.get_messages("side")
    damage(path, "UPDATE branch SET history = '[]' WHERE id = 'side'")
    with manager_of(path) as manager:
        assert manager.fsck(repair=True).salvaged == ("salvaged-side",)
        assert manager.get_messages("salvaged-side") == wanted
        assert manager.fsck(repair=True).salvaged == ()


def test_what_a_copy_brought_without_an_operation_is_no_other_history(tmp_path: Path) -> None:
    first, second = tmp_path / "first.db", tmp_path / "second.db"
    talk(first)
    for text in ("later", "and later"):
        with manager_of(first) as manager:
            manager.add_messages(say(text))
            manager.checkout("side")
            manager.add_messages(say(text))
            copy_session(manager.store, f"sqlite:{second}", SESSION)
            assert found(second) == []
    damage(second, "UPDATE branch SET name = 'zzz'")
    assert [finding.problem.partition(" (")[2] for finding in found(second)] == ["name)", "name)"]


@pytest.mark.parametrize(
    "what",
    [
        "kind = 'merge'",
        """detail = '{"a":1}'""",
        "branches = (SELECT branches FROM operation WHERE number = 1)",
        "at = at - 1",
        "user = 'nobody'",
        "erased = 1",
        "head_after = NULL",
    ],
)
def test_an_operation_whose_row_was_changed_is_named(tmp_path: Path, what: str) -> None:
    path = tmp_path / "store.db"
    talk(path)
    damage(path, f"UPDATE operation SET {what} WHERE number = 2")
    [finding] = found(path)
    assert finding.place.endswith("operation 2")
    assert finding.problem == "its row does not fit its digest: it was changed"
    assert (finding.severity, bool(finding.advice)) == ("error", True)


@pytest.mark.parametrize("what", ["NULL", """'{"title":"u"}'"""])
def test_attributes_that_are_not_those_of_the_log_are_found(tmp_path: Path, what: str) -> None:
    path = tmp_path / "store.db"
    talk(path)
    with manager_of(path) as manager:
        manager.tag("v1")
        manager.rename_branch("side", "Later")
    damage(path, f"UPDATE session SET attributes = {what}")
    [finding] = found(path)
    assert finding.place.endswith("the session's attributes")
    assert (finding.severity, "bough ops" in finding.advice) == ("error", True)


@pytest.mark.parametrize("what", ["DELETE FROM", "UPDATE"])
def test_attributes_of_which_the_log_lost_the_operation_are_not_blamed(tmp_path: Path, what: str) -> None:
    path = tmp_path / "store.db"
    talk(path)
    with manager_of(path) as manager:
        manager.tag("v1")
        manager.rename_branch("side", "Later")
    damage(path, f"{what} operation {'SET branches = 7' if what == 'UPDATE' else ''} WHERE kind = 'tag'")
    assert [each for each in found(path) if each.place.endswith("attributes")] == []


def test_attributes_that_no_operation_set_are_found(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    talk(path)
    damage(path, """UPDATE session SET attributes = '{"title":"t"}'""")
    assert len(found(path)) == 1


@pytest.mark.parametrize("what", ["next = next - 1", "next = next - 3", "next = 0", "next = next + 2"])
def test_a_wrong_end_of_a_segment_is_found_and_what_stands_there_is_saved(tmp_path: Path, what: str) -> None:
    path = tmp_path / "store.db"
    talk(path)
    with manager_of(path) as manager:
        wanted = set(texts(manager, "main")) | set(texts(manager, "side"))
    damage(path, f"UPDATE segment SET {what}")
    assert any(finding.severity == "error" for finding in found(path))
    with manager_of(path) as manager:
        report = manager.fsck(repair=True)
        assert report.salvaged
        kept = {branch.id for branch in manager.get_all_branches()} - {"main", "side"}
        readable = {text for id_ in kept for text in texts(manager, id_)}
        for id_ in ("main", "side"):
            with suppress(CorruptBranchError):
                readable |= set(texts(manager, id_))
        assert wanted <= readable
        assert manager.fsck(repair=True).salvaged == ()
        if "-" in what or "0" in what:
            manager.checkout("main")
            with pytest.raises(CorruptBranchError) as caught:
                manager.add_messages(say("more"))
            assert "fsck" in (caught.value.hint or "")


def test_rows_of_sessions_that_have_no_row_are_told_of_once(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    talk(path)
    for name in ("lost", "gone", "last"):
        with manager_of(path, name) as manager:
            manager.add_messages(say("a", "b"))
    assert [found(path, name) for name in (SESSION, "last", "unknown")] == [[], [], []]
    damage(path, "DELETE FROM session WHERE id IN ('lost', 'gone')")
    for name in (SESSION, "last", "lost", "unknown"):
        [finding] = found(path, name)
        assert finding.place.endswith("table session")
        assert "2 sessions" in finding.problem
        assert "4 of message" in finding.problem
        assert (finding.severity, bool(finding.advice)) == ("error", True)


def test_a_row_of_a_session_that_never_was_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    talk(path)
    damage(path, "INSERT INTO gap VALUES (7, 1, 0, 1, NULL, NULL)")
    [finding] = found(path)
    assert "1 session whose rows are still there: 1 of gap" in finding.problem
