"""What is freed cannot be read again, and of what is erased no byte is left, whatever happened to it before; also where
the process dies at any call, or the power fails. Nothing else is lost.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from json_store_kit import (
    SESSION,
    CountingDisk,
    ImagingDisk,
    State,
    append,
    check_files,
    check_whole,
    copy_tree,
    go_on_briefly,
    lines,
    manager_of,
    quietly,
    say,
    snapshot,
    store_of,
)
from test_power_loss import Files, Notes, RecordingDisk, after_power_loss

from bough import history
from bough.changes import change, put_again
from bough.errors import BranchMovedError, CorruptBranchError, InvalidRequestError, StoreUnavailableError
from bough.model import Change, Drop, Graft, History, Message, Piece
from bough.stores.json_files import JsonFilesStore, log
from bough.stores.json_files.disk import Disk, open_file

SECRET = "open sesame"  # noqa: S105 - said in a message


def secret_files(root: Path) -> list[str]:
    """The files of the store in which the secret stands."""
    return sorted(
        str(path.relative_to(root / SESSION))
        for path in root.rglob("*")
        if path.is_file() and SECRET.encode() in path.read_bytes()
    )


def every_history(store: JsonFilesStore) -> History:
    """All messages that a branch has or had."""
    state = store.load(SESSION)
    records = [*state.branches.values()]
    for operation in store.operations(SESSION):
        records += [each for entry in operation.branches for each in (entry.before, entry.after) if each is not None]
    return history.union(*(record.history for record in records))


def places_of(store: JsonFilesStore, text: str) -> History:
    """The messages that say ``text``."""
    found = []
    for segment, start, stop in every_history(store):
        for at in range(start, stop):
            [message] = store.read(SESSION, (Piece(segment, at, at + 1),))
            if text in message["content"]:
                found.append(Piece(segment, at, at + 1))
    return history.normalise(found)


def places_of_branches(store: JsonFilesStore, text: str) -> History:
    """Those that a branch holds now: of the others some may be nowhere."""
    found: list[Piece] = []
    for record in store.load(SESSION).branches.values():
        for index, message in enumerate(store.read(SESSION, record.history)):
            if text in message["content"]:
                found += history.cut(record.history, index, index + 1)
    return history.union(tuple(found))


def purge_of(store: JsonFilesStore, free: History, *, drops: tuple[Drop, ...] = ()) -> Change:
    state = store.load(SESSION)
    dropped = {drop.branch_id for drop in drops}
    puts = [
        put_again(record, history=history.subtract(record.history, free))
        for record in state.branches.values()
        if history.subtract(record.history, free) != record.history and record.id not in dropped
    ]
    return change("purge", *puts, drops=drops, free=free, erase=True, after_operation=state.last_operation)


def gc_of(store: JsonFilesStore) -> Change:
    """Frees all that no branch holds."""
    state = store.load(SESSION)
    held = history.union(*(record.history for record in state.branches.values()))
    free = history.subtract(every_history(store), held)
    assert free
    return change("gc", free=free, after_operation=state.last_operation)


# -- where a secret can have got to ----------------------------------------------------------------------------------


def begin(root: Path) -> None:
    with manager_of(root) as manager:
        manager.add_messages([say(f"message {n}") for n in range(5)])
        manager.fork_from_message("Side", 3)
        manager.add_messages([say("aside")])
        manager.checkout("main")


def appended(root: Path) -> list[str]:
    append(store_of(root), "main", say(SECRET), say("more"))
    return ["main.json"]


def set_in_place(root: Path) -> list[str]:
    with manager_of(root) as manager:
        manager.set_messages([*manager.get_messages(), say(SECRET), say("more")])
    return ["main.json", "operations.jsonl"]


def set_and_undone(root: Path) -> list[str]:
    with manager_of(root) as manager:
        held = manager.get_messages()
        manager.set_messages([*held[:2], say(SECRET), *held[3:]])
        manager.set_messages([*held[:2], say("another"), *held[3:]])
        manager.undo()
        manager.undo()
    return ["attic/main.6"]


def on_a_deleted_branch(root: Path) -> list[str]:
    append(store_of(root), "side", say(SECRET))
    manager_of(root).delete_branch("side")
    return ["attic/side.5"]


def in_a_fork_and_merged(root: Path) -> list[str]:
    append(store_of(root), "side", say(SECRET))
    with manager_of(root) as manager:
        manager.merge("side")
        manager.create_branch("Leaf", "Leaf", "side")
    return ["%4ceaf.json", "main.json", "side.json"]


def torn(root: Path) -> list[str]:
    append(store_of(root), "main", say(SECRET))
    path = root / SESSION / "main.json"
    data = path.read_bytes()
    path.write_bytes(data[: data.rfind(b"\n]")] + b',\n{"role":"user","content":"' + SECRET.encode())
    quietly(lambda: append(store_of(root), "main", say("mended")))
    [remains] = [each.name for each in (root / SESSION / "attic").iterdir()]
    return [f"attic/{remains}", "main.json"]


def in_leftovers(root: Path) -> list[str]:
    append(store_of(root), "main", say(SECRET))
    (root / SESSION / "attic").mkdir(exist_ok=True)
    for name in ("main.json.9.new", "operations.jsonl.new", "attic/main.9.new"):
        (root / SESSION / name).write_text(SECRET)
    return ["attic/main.9.new", "main.json", "main.json.9.new", "operations.jsonl.new"]


def under_way(root: Path) -> list[str]:
    piece = Piece("elsewhere", 0, 3)
    store_of(root).commit(SESSION, Graft(runs=((piece, lines([say("a"), say(SECRET), say("b")])),)))
    record = store_of(root).load(SESSION).branches["side"]
    store_of(root).commit(SESSION, change("pick", put_again(record, history=(*record.history, Piece(*piece[:2], 2)))))
    return sorted(["side.json", *(f"attic/{each.name}" for each in (root / SESSION / "attic").iterdir())])


WAYS: dict[str, Callable[[Path], list[str]]] = {
    way.__name__: way
    for way in (
        appended,
        set_in_place,
        set_and_undone,
        on_a_deleted_branch,
        in_a_fork_and_merged,
        torn,
        in_leftovers,
        under_way,
    )
}


def others(state: State) -> dict[str, tuple[str, ...]]:
    """The messages of each branch, without the secret."""
    return {
        id_: tuple(text for text in branch.messages if SECRET not in text) for id_, branch in state.branches.items()
    }


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("is_new", [False, True])
def test_no_byte_of_a_purged_message_is_left(tmp_path: Path, name: str, is_new: bool) -> None:
    begin(tmp_path)
    long_lived = store_of(tmp_path)
    long_lived.commit(SESSION, change("describe", attributes={"title": "kept"}))
    expected = WAYS[name](tmp_path)
    assert secret_files(tmp_path) == expected
    store = store_of(tmp_path) if is_new else long_lived
    store.commit(SESSION, change("rename"))
    free = places_of(store, SECRET)
    assert history.length(free) >= 1
    before = snapshot(tmp_path)
    rest = history.subtract(every_history(store), free)
    kept = store.read(SESSION, rest)
    logged = [operation.number for operation in store.operations(SESSION)]
    commit = store.commit(SESSION, purge_of(store, free))
    assert commit.operation is not None
    assert secret_files(tmp_path) == []
    for each in (store, store_of(tmp_path)):
        for piece in free:
            with pytest.raises(CorruptBranchError):
                each.read(SESSION, (piece,))
        assert each.read(SESSION, rest) == kept
        assert dict(each.load(SESSION).attributes) == {"title": "kept"}
        assert [operation.number for operation in each.operations(SESSION)] == [commit.operation.number, *logged]
    assert others(snapshot(tmp_path)) == others(before)
    check_whole(tmp_path)
    go_on_briefly(tmp_path, snapshot(tmp_path))
    check_files(tmp_path)


def test_the_log_is_the_same_but_for_what_was_erased(tmp_path: Path) -> None:
    begin(tmp_path)
    store = store_of(tmp_path)
    store.commit(SESSION, change("describe", attributes={"title": "before"}))
    set_in_place(tmp_path)
    append(store, "main", say("x"))
    store.commit(SESSION, change("describe", attributes={"title": "kept"}))
    manager_of(tmp_path).rename_branch("side", "S")
    path = tmp_path / SESSION / "operations.jsonl"
    before = path.read_bytes().splitlines()
    store.commit(SESSION, purge_of(store, places_of(store, SECRET)))
    after = path.read_bytes().splitlines()
    assert len(after) == len(before) + 1
    for old, new in zip(before, after, strict=False):
        was, is_ = json.loads(old), json.loads(new)
        assert was.pop("messages", None) is None or "messages" not in is_
        for key in ("attributes_at", "check"):
            assert (was.pop(key, None) is None) == (is_.pop(key, None) is None)
        assert json.dumps(was) == json.dumps(is_)
    assert list(store.verify(SESSION)) == []
    for each in (store, store_of(tmp_path)):
        assert dict(each.load(SESSION).attributes) == {"title": "kept"}


def test_operations_that_are_being_read_while_the_log_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(tmp_path)
    with manager_of(tmp_path) as manager:  # so much that the log gets shorter
        manager.set_messages([*manager.get_messages(), say(SECRET * 1000)])
    store = store_of(tmp_path)
    purge = purge_of(store, places_of(store, SECRET))

    def open_then_purge(path: str) -> int:
        monkeypatch.setattr(log, "open_file", open_file)
        descriptor = open_file(path)
        store.commit(SESSION, purge)
        return descriptor

    reader = store_of(tmp_path)
    before = [operation.number for operation in reader.operations(SESSION)]
    reader = store_of(tmp_path)
    monkeypatch.setattr(log, "open_file", open_then_purge)
    assert [operation.number for operation in reader.operations(SESSION)] in (before, [before[0] + 1, *before])


def test_an_old_log_stays_one(tmp_path: Path) -> None:
    begin(tmp_path)
    set_in_place(tmp_path)
    path = tmp_path / SESSION / "operations.jsonl"
    path.write_bytes(b"".join(line[: line.rfind(b',"check":')] + b"}\n" for line in path.read_bytes().splitlines()))
    store = store_of(tmp_path)
    store.commit(SESSION, purge_of(store, places_of(store, SECRET)))
    assert secret_files(tmp_path) == []
    assert [b'"check":' in line for line in path.read_bytes().splitlines()][-2:] == [False, True]


class Discreet(CountingDisk):
    """Sees to it that the secret is written nowhere, nor gets another name."""

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        assert SECRET.encode() not in data
        super().write(descriptor, data, offset)

    def link(self, source: str, target: str) -> None:
        assert SECRET.encode() not in Path(source).read_bytes()
        super().link(source, target)


def test_2_a_branch_can_go_together_with_its_messages(tmp_path: Path) -> None:
    """What is displaced goes into the attic without what is freed."""
    begin(tmp_path)
    append(store_of(tmp_path), "side", say(SECRET), say("kept"))
    append(store_of(tmp_path), "main", say(SECRET))
    store = store_of(tmp_path, Discreet())
    free = places_of_branches(store, SECRET)
    side = store.load(SESSION).branches["side"]
    store.commit(SESSION, purge_of(store, free, drops=(Drop(branch_id="side", expected=side.version),)))
    assert secret_files(tmp_path) == []
    rest = history.subtract(side.history, free)
    assert [message["content"] for message in store.read(SESSION, rest)][-2:] == ["aside", "kept"]
    assert list(store.verify(SESSION)) == []


# -- gc --------------------------------------------------------------------------------------------------------------


def messy(root: Path) -> None:
    """Everything in the attic: whole branches, stretches of them."""
    begin(root)
    set_and_undone(root)
    on_a_deleted_branch(root)
    with manager_of(root) as manager:
        manager.set_messages([*manager.get_messages()[:4], say("end")])
        manager.create_branch("Other", "O", "main", 1)
        manager.checkout("Other")
        manager.add_messages([say("far"), say("away")])
        manager.checkout("main")
        manager.delete_branch("Other")


def test_gc_empties_the_attic_of_what_nothing_holds(tmp_path: Path) -> None:
    messy(tmp_path)
    store = store_of(tmp_path)
    before = snapshot(tmp_path)
    gc = gc_of(store)
    reader = store_of(tmp_path)
    reader.read(SESSION, gc.free)
    store.commit(SESSION, gc)
    assert snapshot(tmp_path) == before
    left = [path.name for path in (tmp_path / SESSION / "attic").iterdir()]
    assert left == ["main.4"]  # which holds only what came back by undo
    for each in (store, reader, store_of(tmp_path)):
        for segment, start, stop in gc.free:
            for at in range(start, stop):
                with pytest.raises(CorruptBranchError):
                    each.read(SESSION, (Piece(segment, at, at + 1),))
    assert list(store.verify(SESSION)) == []


def test_a_document_of_the_attic_that_is_freed_in_part_keeps_the_rest(tmp_path: Path) -> None:
    """Also for a reader that knew the document before, and again and again."""
    begin(tmp_path)
    store, reader = store_of(tmp_path), store_of(tmp_path)
    append(store, "side", *[say(f"far {n}") for n in range(6)])
    side = store.load(SESSION).branches["side"]
    manager_of(tmp_path).delete_branch("side")
    [alone] = [piece for piece in side.history if piece.segment == side.tip.segment]
    for at in (2, 4, 0, 3):
        reader.read(SESSION, (Piece(alone.segment, 1, 2),))
        free = (Piece(alone.segment, alone.start + at, alone.start + at + 1),)
        store.commit(SESSION, change("gc", free=free, after_operation=store.load(SESSION).last_operation))
        with pytest.raises(CorruptBranchError):
            reader.read(SESSION, free)
    for each in (store, reader):
        left = history.subtract((alone,), tuple(Piece(alone.segment, at, at + 1) for at in (2, 4, 0, 3)))
        assert [message["content"] for message in each.read(SESSION, left)] == ["far 0", "far 4", "far 5"]
    assert list(store.verify(SESSION)) == []


# -- crashes ---------------------------------------------------------------------------------------------------------


def secretive(root: Path) -> None:
    """The secret in documents, the log, the attic (twice), cut-off ends."""
    begin(root)
    store_of(root).commit(SESSION, change("describe", attributes={"title": "kept"}))
    torn(root)
    set_in_place(root)
    manager_of(root).create_branch("Leaf", "Leaf", "main")
    manager_of(root).delete_branch("Leaf")
    with manager_of(root) as manager:
        manager.set_messages([*manager.get_messages()[:3], say("another")])
        manager.undo()


def both_ways(tmp_path: Path, template: Path, act: Callable[[JsonFilesStore], Change], *, erases: bool) -> None:
    change = act(store_of(template))
    before = snapshot(template)
    rest = history.subtract(every_history(store_of(template)), change.free)
    kept = store_of(template).read(SESSION, rest)
    lost = store_of(template).read(SESSION, change.free)
    whole = tmp_path / "whole"
    copy_tree(template, whole)
    disk = ImagingDisk(whole, tmp_path / "images")
    store_of(whole, disk).commit(SESSION, change)
    after = snapshot(whole)
    seen = set()
    assert len(disk.images) > 5
    for root, at, written in disk.images:
        where = f"{disk.calls[at]} number {at}, after {written} bytes"
        done = store_of(root).load(SESSION).last_operation > store_of(template).load(SESSION).last_operation
        found = snapshot(root)
        assert found == (after if done else before), where
        seen.add(done)
        quietly(lambda: go_on_briefly(root, found))  # noqa: B023
        check_gone(root, change, kept, lost, rest, where, done=done, erases=erases)
    assert seen == {False, True}


def check_gone(
    root: Path,
    change: Change,
    kept: list[Message],
    lost: list[Message],
    rest: History,
    where: str,
    *,
    done: bool,
    erases: bool,
) -> None:
    store = store_of(root)
    assert store.read(SESSION, rest) == kept, where
    if done:
        for segment, start, stop in change.free:
            for place in range(start, stop):
                with pytest.raises(CorruptBranchError):
                    store.read(SESSION, (Piece(segment, place, place + 1),))
        if erases:
            assert secret_files(root) == [], where
    else:
        assert store.read(SESSION, change.free) == lost, where
    check_whole(root)
    assert dict(store.load(SESSION).attributes) in ({}, {"title": "kept"})


def test_a_crash_in_a_gc(tmp_path: Path) -> None:
    template = tmp_path / "template"
    messy(template)
    both_ways(tmp_path, template, gc_of, erases=False)


def test_a_crash_while_attributes_are_set(tmp_path: Path) -> None:
    template = tmp_path / "template"
    begin(template)
    store_of(template).commit(SESSION, change("describe", attributes={"n": 1}))
    whole = tmp_path / "whole"
    copy_tree(template, whole)
    disk = ImagingDisk(whole, tmp_path / "images", closely=True)
    store_of(whole, disk).commit(SESSION, change("describe", attributes={"n": 2}))
    seen = set()
    for root, _, _ in disk.images:
        found = dict(store_of(root).load(SESSION).attributes)
        seen.add(found["n"])
        manager_of(root).rename_branch("side", "Another")
        assert dict(store_of(root).load(SESSION).attributes) == found
        check_whole(root)
    assert seen == {1, 2}


def test_a_crash_in_a_purge(tmp_path: Path) -> None:
    template = tmp_path / "template"
    secretive(template)
    both_ways(tmp_path, template, lambda store: purge_of(store, places_of(store, SECRET)), erases=True)


@pytest.mark.parametrize("erases", [False, True])
def test_a_power_failure(tmp_path: Path, erases: bool) -> None:
    """What was freed when the commit returned does not come back."""
    chance = random.Random(7)
    live = tmp_path / "live"
    live.mkdir()
    notes = Notes(live)
    begin_recorded(live, notes)
    store = store_of(live)
    change = purge_of(store, places_of(store, SECRET)) if erases else gc_of(store)
    number = store.load(SESSION).last_operation
    before = snapshot(live)
    begun = len(notes.calls)
    store_of(live, RecordingDisk(notes)).commit(SESSION, change)
    after = snapshot(live)
    ended = len(notes.calls)
    append(store_of(live, RecordingDisk(notes)), "side", say("afterwards"))
    files = Files()
    for count in range(len(notes.calls) + 1):
        if count:
            files.do(notes.calls[count - 1])
        if count < begun:
            continue
        for attempt in range(6):
            root = tmp_path / f"after-{count}-{attempt}"
            after_power_loss(files, root, chance, gentle=attempt == 0)
            where = f"after call {count} of {ended}, {notes.calls[max(0, count - 3) : count]}"
            found = store_of(root).load(SESSION)
            done = found.last_operation > number
            if count >= ended:
                assert done, where
                if erases:
                    assert secret_files(root) == [], where
            else:
                assert snapshot(root) == (after if done else before), where
            quietly(lambda: append(store_of(root), "side", say("on")))  # noqa: B023
            if erases and done:
                assert secret_files(root) == [], where
            if done:
                for piece in change.free:
                    with pytest.raises(CorruptBranchError):
                        store_of(root).read(SESSION, (piece,))
            check_whole(root)


def begin_recorded(root: Path, notes: Notes) -> None:
    with manager_of(root, RecordingDisk(notes)) as manager:
        manager.add_messages([say(f"message {n}") for n in range(5)])
        manager.fork_from_message("Side", 3)
        manager.checkout("main")
        manager.set_messages([*manager.get_messages(), say(SECRET), say("more")])
        manager.create_branch("Leaf", "Leaf", "main")
        manager.delete_branch("Leaf")
        manager.set_messages([*manager.get_messages()[:3], say("another")])


class Failing(Disk):
    """A disk on which nothing can be removed."""

    def unlink(self, path: str) -> None:
        raise OSError(5, "Input/output error", path)


def test_what_could_not_be_finished_is_said_and_finished_later(tmp_path: Path) -> None:
    secretive(tmp_path)
    store = store_of(tmp_path, Failing(durable=False))
    with pytest.raises(StoreUnavailableError, match="the change is made"):
        store.commit(SESSION, purge_of(store, places_of(store, SECRET)))
    assert secret_files(tmp_path) != []
    append(store_of(tmp_path), "side", say("on"))
    assert secret_files(tmp_path) == []


# -- refusals --------------------------------------------------------------------------------------------------------


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.name.startswith("session.")
    }


def flip(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a branch": lambda folder: (folder / "side.json").write_bytes(b"nonsense"),
    "the attic": lambda folder: flip(next((folder / "attic").glob("leaf*")), b'"content"', b'"c\xffntent"'),
    "no document": lambda folder: (folder / "attic" / "x.1").write_bytes(SECRET.encode()),
    "the log": lambda folder: flip(folder / "operations.jsonl", b'{"operation":2,', b'{"operation":2,,'),
    "a stray": lambda folder: (folder / "notes.json").write_text(SECRET),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_1_a_purge_is_refused_where_something_cannot_be_read(tmp_path: Path, damage: str) -> None:
    secretive(tmp_path)
    store = store_of(tmp_path)
    for path in (tmp_path / SESSION / "attic").iterdir():
        path.rename(path.with_name(path.name.replace("%4ceaf", "leaf")))
    purge = purge_of(store, places_of(store, SECRET))
    DAMAGE[damage](tmp_path / SESSION)
    before = contents(tmp_path)
    with pytest.raises(CorruptBranchError, match="nothing was changed"):
        store_of(tmp_path).commit(SESSION, purge)
    assert contents(tmp_path) == before


def test_1_lines_that_changed_places_do_not_hide_from_a_purge(tmp_path: Path) -> None:
    """The document is first taken over as it is; the purge that was planned before that is refused."""
    begin(tmp_path)
    store = store_of(tmp_path)
    append(store, "main", say(SECRET))
    append(store, "main", say("b" * len(SECRET)))
    append(store, "main", say("the last append has a check of its own"))
    purge = purge_of(store, places_of(store, SECRET))
    path = tmp_path / SESSION / "main.json"
    rows = path.read_bytes().split(b"\n")
    rows[-3], rows[-4] = rows[-4], rows[-3]
    path.write_bytes(b"\n".join(rows))
    with pytest.raises(BranchMovedError):
        store_of(tmp_path).commit(SESSION, purge)
    store = store_of(tmp_path)
    store.commit(SESSION, purge_of(store, places_of_branches(store, SECRET)))
    assert secret_files(tmp_path) == []


def test_1_gc_is_refused_where_a_branch_cannot_be_read(tmp_path: Path) -> None:
    messy(tmp_path)
    store = store_of(tmp_path)
    gc = gc_of(store)
    append(store, "main", say("x"))
    (tmp_path / SESSION / "main.json").write_bytes(b"nonsense")
    before = contents(tmp_path)
    with pytest.raises(CorruptBranchError):
        store_of(tmp_path).commit(SESSION, gc)
    assert contents(tmp_path) == before


def test_2_a_branch_that_holds_it_refuses_it_also_where_it_is_not_changed(tmp_path: Path) -> None:
    begin(tmp_path)
    store = store_of(tmp_path)
    state = store.load(SESSION)
    main = state.branches["main"]
    put = put_again(main, history=history.cut(main.history, 1, main.length))
    free = history.cut(main.history, 0, 1)  # which side holds too
    before = contents(tmp_path)
    with pytest.raises(InvalidRequestError, match="side"):
        store.commit(SESSION, change("purge", put, free=free, erase=True, after_operation=state.last_operation))
    assert contents(tmp_path) == before


# -- the attic holds whole documents only ----------------------------------------------------------------------------


def test_a_beginning_of_a_document_in_the_attic_is_never_taken_for_messages(tmp_path: Path) -> None:
    """It was: its lines passed for the first of the branch's own, and what they stood for was not kept."""
    begin(tmp_path)
    for number in range(3):
        append(store_of(tmp_path), "main", say(f"one of its own {number}"))
    record = store_of(tmp_path).load(SESSION).branches["main"]
    with manager_of(tmp_path) as manager:
        manager.set_messages(manager.get_messages()[:1])
    [whole] = (tmp_path / SESSION / "attic").iterdir()
    rows = whole.read_bytes().split(b"\n")
    whole.write_bytes(b"\n".join(rows[:7]) + b"\n")
    for at in (4, record.tip.next):
        with pytest.raises(CorruptBranchError):
            store_of(tmp_path).read(SESSION, (Piece(record.tip.segment, at, at + 1),))


def test_a_crash_leaves_no_beginning_in_the_attic(tmp_path: Path) -> None:
    template = tmp_path / "template"
    begin(template)
    probe = tmp_path / "probe"
    copy_tree(template, probe)

    def shorten(root: Path, disk: Disk) -> None:
        with manager_of(root, disk) as manager:
            manager.set_messages(manager.get_messages()[:1])

    disk = ImagingDisk(probe, tmp_path / "images")
    shorten(probe, disk)
    record = store_of(template).load(SESSION).branches["main"]
    messages = store_of(template).read(SESSION, record.history)
    for root, _, _ in disk.images:
        manager_of(root).rename_branch("side", "Another operation of that number")
        shorten(root, Disk(durable=False))
        assert store_of(root).read(SESSION, record.history) == messages
        check_whole(root)
