"""``verify`` of JSON files: every kind of damage is found and named, and a healthy session gives nothing."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from json_store_kit import SESSION, append, copy_tree, lazy_disk, lines, manager_of, quietly, say, store_of

from bough import codec, history
from bough.changes import change, put_again
from bough.copying import copy_session
from bough.errors import BoughError, CorruptBranchError
from bough.model import Finding, Piece
from bough.stores.json_files import JsonFilesStore
from bough.stores.json_files.disk import Disk


def verify(root: Path) -> list[Finding]:
    return list(store_of(root).verify(SESSION))


def told(findings: list[Finding]) -> str:
    return "\n".join(f"{each.severity}: {each.place}: {each.problem} ({each.branch_id})" for each in findings)


def talk(root: Path) -> None:
    """main with eight messages, a fork, a branch that was dropped, messages that were replaced."""
    with manager_of(root) as manager:
        manager.add_messages([say(f"message {n}") for n in range(6)])
        manager.fork_from_message("Side", 3)
        manager.add_messages([say("aside"), say("aside too")])
        manager.create_branch("gone", "Gone", "side")
        manager.checkout("gone")
        manager.add_message(say("only here"))
        manager.checkout("main")
        manager.delete_branch("gone")
        manager.merge("side")
        messages = manager.get_messages()
        manager.set_messages([*messages[:2], say("another"), *messages[4:]])
        manager.add_messages([say("last on main"), say("very last")])


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("verify") / "store"
    talk(root)
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    copy_tree(template, tmp_path / "store")
    return tmp_path / "store"


def folder(root: Path) -> Path:
    return root / SESSION


def attic(root: Path) -> dict[str, Path]:
    return {path.name: path for path in (folder(root) / "attic").iterdir()}


# -- healthy sessions ------------------------------------------------------------------------------------------------


def test_2_a_healthy_session_gives_nothing(root: Path) -> None:
    assert sorted(attic(root)) == ["gone.6", "main.8"]
    assert verify(root) == []


def step(manager: Any, root: Path, kind: int, a: int, b: int) -> None:
    ids = sorted(branch.id for branch in manager.get_all_branches())
    one, other = ids[a % len(ids)], ids[b % len(ids)]
    manager.checkout(one)
    held = manager.get_messages()
    verbs: list[Callable[[], object]] = [
        lambda: manager.add_messages([say(f"{a}-{n}") for n in range(b % 4)]),
        lambda: manager.fork_from_message(f"F{a}", b % (len(held) + 1)),
        lambda: manager.merge(other, "append" if a % 2 else "replace"),
        lambda: manager.set_messages([*held[: a % (len(held) + 1)], say(f"new {a} {b}"), *held[b % (len(held) + 1) :]]),
        lambda: manager.delete_branch(other),
        lambda: manager.undo(),
        lambda: manager.rename_branch(one, f"Name {a}"),
        lambda: tear(folder(root) / f"{one}.json", a, one),
        lambda: rewrite(folder(root) / f"{one}.json", a),
        lambda: manager.store.commit(SESSION, change("describe", attributes={"title": f"{a}"})),
    ]
    verbs[kind % len(verbs)]()


def tear(path: Path, cut: int, branch_id: str) -> None:
    """As a crash in the middle of an append would, and its repair."""
    if not path.exists():
        return
    data = path.read_bytes()
    closing = data.rfind(b"\n]")
    if b"\n{" in data[:closing]:
        path.write_bytes(data[:closing] + b',\n{"role":"us'[: 2 + cut % 9])
        append(store_of(path.parent.parent), branch_id, say("mended"))


def rewrite(path: Path, number: int) -> None:
    """As another program adds a message."""
    if path.exists():
        value = json.loads(path.read_bytes())
        value["messages"].append(say(f"from outside {number}"))
        path.write_text(json.dumps(value, indent=1))
        append(store_of(path.parent.parent), value["id"], say("after that"))


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_2_sessions_of_any_shape_are_healthy(steps: list[tuple[int, int, int]], tmp_path_factory: Any) -> None:
    root = tmp_path_factory.mktemp("any")
    try:
        manager = manager_of(root)

        def work() -> None:
            for kind, a, b in steps:
                with suppress(BoughError):
                    step(manager, root, kind, a, b)

        quietly(work)
        assert verify(root) == [], steps
        copy = root / "copy"
        copy_session(store_of(root), store_of(copy), SESSION)
        assert verify(copy) == [], steps
        manager.close()
    finally:
        shutil.rmtree(root)


def test_2_an_old_log_without_checks_is_healthy(root: Path) -> None:
    """As the versions before wrote it."""
    path = folder(root) / "operations.jsonl"
    old = []
    for line in path.read_bytes().splitlines():
        value = codec.decode_value(line)
        for key in ("check", "user"):
            value.pop(key)
        old.append(codec.dumps(value) + b"\n")
    path.write_bytes(b"".join(old))
    assert verify(root) == []
    manager_of(root).rename_branch("side", "Later")
    assert verify(root) == []


def test_1_it_does_not_cry_wolf_while_others_write(root: Path) -> None:
    stop = threading.Event()
    failed: list[BaseException] = []

    def write() -> None:
        manager = manager_of(root)
        number = 0
        try:
            while not stop.is_set():
                number += 1
                manager.add_message(say(f"on and on {number}"))
                messages = manager.get_messages()
                manager.set_messages([*messages[:4], say("again"), *messages[6:]])
                manager.create_branch(f"b{number}", "B")
                manager.delete_branch(f"b{number}")
        except BaseException as error:  # noqa: BLE001 - the test's own thread raises it
            failed.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        found = [finding for _ in range(25) for finding in verify(root)]
    finally:
        stop.set()
        thread.join()
    assert failed == [], repr(failed)
    assert found == [], told(found)
    assert verify(root) == []


class NoWriting(Disk):
    def __init__(self) -> None:
        super().__init__(durable=False)

    def create(self, path: str) -> int:
        raise AssertionError(path)

    rename = unlink = open_to_write = make_folder = create  # type: ignore[assignment]


def test_1_nothing_is_written(root: Path) -> None:
    (folder(root) / "side.json").write_bytes(b"nonsense")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert len(list(JsonFilesStore(root, disk=NoWriting()).verify(SESSION))) > 0
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


# -- every byte ------------------------------------------------------------------------------------------------------


def flips(path: Path, step: int) -> list[tuple[int, bytes]]:
    data = path.read_bytes()
    found = []
    for number, at in enumerate(range(0, len(data), step)):
        changed = bytearray(data)
        changed[at] ^= 1 << (number % 7)
        found.append((at, bytes(changed)))
    return found


@pytest.mark.parametrize("step", [11, pytest.param(1, id="exhaustive", marks=pytest.mark.torture)])
@pytest.mark.parametrize("name", ["main.json", "side.json", "operations.jsonl", "attic/main.8", "attic/gone.6"])
def test_a_flipped_bit_is_found_wherever_it_is(root: Path, name: str, step: int) -> None:
    path = folder(root) / name
    whole = path.read_bytes()
    for at, data in flips(path, step):
        path.write_bytes(data)
        found = verify(root)
        where = f"byte {at} of {len(data)}: {whole[max(0, at - 20) : at + 20]!r} is {data[at : at + 1]!r}"
        assert any(str(path) in each.place for each in found), f"{where}\n{told(found)}"
        assert all(each.advice or each.severity == "warning" for each in found), where
        if name.endswith(".json"):
            branch = name.removesuffix(".json")
            assert any(each.branch_id == branch for each in found), f"{where}\n{told(found)}"
    path.write_bytes(whole)
    assert verify(root) == []


@pytest.mark.parametrize("step", [23, pytest.param(1, id="exhaustive", marks=pytest.mark.torture)])
@pytest.mark.parametrize("name", ["main.json", "side.json", "operations.jsonl", "attic/main.8", "attic/gone.6", "HEAD"])
def test_a_file_that_was_cut_off_is_found(root: Path, name: str, step: int) -> None:
    path = folder(root) / name
    whole = path.read_bytes()
    for size in range(0, len(whole), step):
        path.write_bytes(whole[:size])
        found = verify(root)
        unseen = name == "operations.jsonl" and whole[:size].endswith(b"\n")
        if not unseen:
            assert any(str(path) in each.place for each in found), f"{size}: {told(found)}"


def test_a_log_that_lost_its_last_lines_is_found(root: Path) -> None:
    path = folder(root) / "operations.jsonl"
    rows = path.read_bytes().splitlines(keepends=True)
    for kept in range(len(rows)):
        path.write_bytes(b"".join(rows[:kept]))
        found = verify(root)
        assert any(each.place == str(path) and each.severity == "error" for each in found), f"{kept}: {told(found)}"
    path.unlink()
    assert any(each.place == str(path) and "missing" in each.problem for each in verify(root))


def test_lines_of_the_log_that_repeat_or_are_gone_are_found(root: Path) -> None:
    path = folder(root) / "operations.jsonl"
    rows = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*rows[:3], rows[2], *rows[3:]]))
    assert "operation 3 follows operation 3" in told(verify(root))
    path.write_bytes(b"".join([*rows[:2], rows[3], rows[2], *rows[4:]]))
    assert "operation 3 follows operation 4" in told(verify(root))
    path.write_bytes(b"".join([*rows[:2], *rows[3:]]))
    with manager_of(root) as manager:
        assert ("operation 3", "warning") in {(each.place, each.severity) for each in manager.fsck().findings}
    path.write_bytes(b"".join([*rows[:2], b"nonsense\n", *rows[3:]]))
    found = verify(root)
    assert "line 3: this operation cannot be read" in told(found)
    assert [each.severity for each in found] == ["error"], told(found)


# -- documents -------------------------------------------------------------------------------------------------------


def edit_lines(path: Path, work: Callable[[list[bytes]], object]) -> None:
    rows = path.read_bytes().split(b"\n")
    work(rows)
    path.write_bytes(b"\n".join(rows))


def test_swapped_lines_are_named(root: Path) -> None:
    path = folder(root) / "side.json"

    def swap(rows: list[bytes]) -> None:
        rows[1], rows[2] = rows[2], rows[1]

    edit_lines(path, swap)
    [finding] = verify(root)
    assert (finding.place, finding.branch_id, finding.severity) == (str(path), "side", "warning")
    assert "messages 1, 2 differ from main.json" in finding.problem
    assert history.length(finding.history) == 2


def test_a_dropped_line_is_found(root: Path) -> None:
    edit_lines(folder(root) / "side.json", lambda rows: rows.pop(2))
    [finding] = verify(root)
    assert (finding.branch_id, finding.severity) == ("side", "warning")
    assert "4 messages, 5 were known" in finding.problem


def test_a_broken_line_is_named_and_the_others_are_rescued(root: Path) -> None:
    path = folder(root) / "main.json"
    record = store_of(root).load(SESSION).branches["main"]
    messages = store_of(root).read(SESSION, record.history)

    def break_one(rows: list[bytes]) -> None:
        rows[3] = rows[3].replace(b'{"', b'["', 1)

    edit_lines(path, break_one)
    [finding] = [each for each in verify(root) if each.place == str(path)]
    assert (finding.branch_id, finding.severity, finding.problem) == ("main", "error", "message 3 cannot be read")
    assert finding.history == history.cut(record.history, 2, 3)
    assert [codec.decode(line) for line in finding.rescued] == [*messages[:2], *messages[3:]]


def test_a_document_that_cannot_be_opened_is_rescued(root: Path) -> None:
    path = folder(root) / "main.json"
    record = store_of(root).load(SESSION).branches["main"]
    messages = store_of(root).read(SESSION, record.history)
    edit_lines(path, lambda rows: rows.__setitem__(0, rows[0][:-8] + b"\xff"))
    [finding] = verify(root)
    assert (finding.place, finding.branch_id, finding.severity) == (str(path), "main", "error")
    assert [codec.decode(line) for line in finding.rescued] == messages
    assert "fsck --repair" in finding.advice


def test_a_deleted_document_is_an_error_that_says_what_is_left(root: Path) -> None:
    before = store_of(root).load(SESSION).branches
    side = store_of(root).read(SESSION, before["side"].history)
    (folder(root) / "side.json").unlink()
    [finding] = verify(root)
    assert (finding.place, finding.branch_id, finding.severity) == (f"{folder(root)}/side.json", "side", "error")
    last = len(finding.rescued)
    assert [codec.decode(line) for line in finding.rescued] == side[:last]
    assert 0 < last <= 5  # what main shares with it, at the last operation on it


def test_a_deleted_attic_file_is_found_with_what_it_held(root: Path) -> None:
    attic(root)["main.8"].unlink()
    [finding] = verify(root)
    assert (finding.severity, finding.branch_id) == ("warning", "main")
    assert history.length(finding.history) == 1  # the other one that was replaced is on side
    with pytest.raises(CorruptBranchError):
        store_of(root).read(SESSION, finding.history)


def test_an_older_copy_of_a_document_is_found(root: Path) -> None:
    path = folder(root) / "main.json"
    shutil.copy(path, root / "old")
    manager_of(root).rename_branch("main", "Another name")
    manager_of(root).checkout("side")
    os.replace(root / "old", path)
    [finding] = verify(root)
    assert (finding.branch_id, finding.severity) == ("main", "error")
    assert "older copy" in finding.problem


def test_a_document_that_came_back_after_it_was_dropped_is_found(root: Path) -> None:
    shutil.copy(folder(root) / "side.json", root / "kept")
    manager_of(root).delete_branch("side")
    manager_of(root).rename_branch("main", "M")
    os.replace(root / "kept", folder(root) / "side.json")
    [finding] = verify(root)
    assert (finding.branch_id, finding.severity) == ("side", "warning")
    assert "dropped this branch" in finding.problem


def test_two_documents_that_say_another_thing_of_one_message(root: Path) -> None:
    """Each is whole by itself: the digest was made to fit."""
    from bough.stores.json_files.digest import Digest
    from bough.stores.json_files.document import closing_line

    path = folder(root) / "side.json"
    record = store_of(root).load(SESSION).branches["side"]
    head, *rows = path.read_bytes().split(b"\n")
    bodies = [row.rstrip(b", ") for row in rows[:-1]]
    bodies[1] = bodies[1].replace(b"message 1", b"massage 1")
    digest = Digest()
    digest.add_lines(bodies)
    region = b",\n".join(bodies)
    path.write_bytes(head + b"\n" + region + b"\n" + closing_line(record, len(region), digest.text("side")))
    [finding] = verify(root)
    assert finding.severity == "error"
    assert "message 2 is another than the same message in main.json" in finding.problem
    assert finding.branch_id == "side"
    assert finding.history == history.cut(record.history, 1, 2)


def test_what_another_program_writes_is_a_note_or_a_warning(root: Path) -> None:
    path = folder(root) / "side.json"
    value = json.loads(path.read_bytes())
    path.write_text(json.dumps(value, indent=2))
    assert [each.severity for each in verify(root)] == ["note"]
    value["messages"][1]["content"] = "edited"
    path.write_text(json.dumps(value, indent=2))
    [finding] = verify(root)
    assert (finding.severity, finding.branch_id) == ("warning", "side")
    assert "message 2 differs" in finding.problem
    append(store_of(root), "side", say("taken over"))
    assert verify(root) == []  # main has all that it wrote over
    value = json.loads((folder(root) / "main.json").read_bytes())
    value["messages"][2]["content"] = "edited"
    (folder(root) / "main.json").write_text(json.dumps(value))
    [finding] = verify(root)
    assert (finding.severity, finding.branch_id) == ("warning", "main")
    assert "the first 2 are as they were" in finding.problem
    append(store_of(root), "main", say("taken over"))
    [finding] = verify(root)
    assert finding.severity == "warning"  # what it wrote over is nowhere: undo needs it
    assert "in no document" in finding.problem


def test_strays_and_second_documents(root: Path) -> None:
    shutil.copy(folder(root) / "side.json", folder(root) / "copy.json")
    (folder(root) / "notes.txt").write_text("mine")
    (folder(root) / "main.json.77.new").write_text("x")
    (folder(root) / "attic" / "main.5.new").write_text("x")
    found = {os.path.basename(each.place): each for each in verify(root)}
    assert sorted(found) == ["copy.json", "main.5.new", "main.json.77.new", "notes.txt"]
    assert [found[name].severity for name in sorted(found)] == ["warning", "note", "note", "note"]
    with store_of(root).lock(SESSION):
        assert [os.path.basename(each.place) for each in verify(root)] == ["copy.json"]


def test_messages_that_nothing_reaches(root: Path) -> None:
    from bough.model import Graft

    store_of(root).commit(SESSION, Graft(runs=((Piece("else", 0, 2), lines([say("a"), say("b")])),)))
    [finding] = verify(root)
    assert (finding.severity, finding.history) == ("note", (Piece("else", 0, 2),))


def test_head_that_says_another_thing(root: Path) -> None:
    (folder(root) / "HEAD").write_text("side 5\n")
    [finding] = verify(root)
    assert os.path.basename(finding.place) == "HEAD"


def test_attributes_that_cannot_be_found_again(root: Path) -> None:
    store = store_of(root)
    store.commit(SESSION, change("describe", attributes={"title": "x"}))
    store.commit(SESSION, change("describe"))
    path = folder(root) / "operations.jsonl"
    rows = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*rows[:-2], *rows[-1:]]))
    state = store_of(root).load(SESSION)
    assert dict(state.attributes) == {}
    assert [each.severity for each in state.findings] == ["warning"]
    assert "attributes" in told(verify(root))


# -- attributes ------------------------------------------------------------------------------------------------------


def test_attributes_are_one_look_however_long_ago_they_were_set(root: Path) -> None:
    store = store_of(root)
    store.commit(SESSION, change("describe", attributes={"title": "x" * 100_000, "n": 2**70}))
    for number in range(30):
        record = store.load(SESSION).branches["side"]
        store.commit(SESSION, change("rename", put_again(record, name=f"n{number}")))
    for each in (store, store_of(root)):
        assert each.load(SESSION).attributes["n"] == 2**70
    tail = b"".join((folder(root) / "operations.jsonl").read_bytes().splitlines(keepends=True)[-1:])
    assert b'"attributes_at":' in tail
    assert len(tail) < 2000
    assert verify(root) == []


def test_attributes_survive_a_torn_log_and_are_gone_with_a_lost_one(root: Path) -> None:
    store = store_of(root)
    store.commit(SESSION, change("describe", attributes={"title": "first"}))
    path = folder(root) / "operations.jsonl"
    size = path.stat().st_size
    store.commit(SESSION, change("describe", attributes={"title": "second"}))
    whole = path.read_bytes()
    for cut in range(size, len(whole)):
        path.write_bytes(whole[:cut])
        assert dict(store_of(root).load(SESSION).attributes) == {"title": "first"}, cut
    path.write_bytes(whole[:-1])
    store_of(root).commit(SESSION, change("rename"))
    assert dict(store_of(root).load(SESSION).attributes) == {"title": "first"}
    path.unlink()
    assert dict(store_of(root).load(SESSION).attributes) == {}


def test_a_process_sees_what_another_set(root: Path) -> None:
    one, other = store_of(root), store_of(root, lazy_disk())
    for number in range(4):
        one.commit(SESSION, change("describe", attributes={"n": number}))
        assert dict(other.load(SESSION).attributes) == {"n": number}
        other.commit(SESSION, change("rename"))
        assert dict(one.load(SESSION).attributes) == {"n": number}


def test_attributes_are_found_where_a_line_before_them_is_lost(root: Path) -> None:
    store = store_of(root)
    store.commit(SESSION, change("describe", attributes={"title": "x"}))
    store.commit(SESSION, change("describe"))
    path = folder(root) / "operations.jsonl"
    rows = path.read_bytes().splitlines(keepends=True)
    for damaged in ([*rows[:2], *rows[3:]], [*rows[:2], b"garbage\n", *rows[3:]], [*rows[:-2], b"{}\n", *rows[-2:]]):
        path.write_bytes(b"".join(damaged))
        state = store_of(root).load(SESSION)
        assert dict(state.attributes) == {"title": "x"}
        assert [each.severity for each in state.findings] == ["warning"]
        assert "attributes" in told(verify(root))
        other = store_of(root)
        other.commit(SESSION, change("describe"))
        for each in (other, store_of(root)):  # the new entry says the right place
            assert (dict(each.load(SESSION).attributes), each.load(SESSION).findings) == ({"title": "x"}, ())


def test_what_is_newer_than_a_line_that_cannot_be_read_is_told(root: Path) -> None:
    path = folder(root) / "operations.jsonl"
    rows = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*rows[:2], b"garbage\n", *rows[3:]]))
    operations = store_of(root).operations(SESSION)
    assert [next(operations).number for _ in rows[3:]] == list(range(len(rows), 3, -1))
    with pytest.raises(CorruptBranchError):
        next(operations)


def test_an_empty_document_is_called_empty(root: Path) -> None:
    (folder(root) / "side.json").write_bytes(b"")
    [finding] = verify(root)
    assert (finding.branch_id, finding.problem) == ("side", "it is empty")


def test_older_attributes_are_used_and_told_where_the_newest_are_lost(root: Path) -> None:
    store = store_of(root)
    for title in ("x", "y"):
        store.commit(SESSION, change("describe", attributes={"title": title}))
    store.commit(SESSION, change("describe"))
    path = folder(root) / "operations.jsonl"
    rows = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*rows[:-2], *rows[-1:]]))
    other = store_of(root)
    for _ in range(2):
        for each in (other, store_of(root)):
            state = each.load(SESSION)
            assert dict(state.attributes) == {"title": "x"}
            assert [finding.severity for finding in state.findings] == ["warning"]
        other.commit(SESSION, change("describe"))
    other.commit(SESSION, change("describe", attributes={"title": "z"}))
    assert (dict(other.load(SESSION).attributes), other.load(SESSION).findings) == ({"title": "z"}, ())
