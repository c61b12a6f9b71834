"""Edits in JSON files: where they stand, and what keeps them through torn ends and other programs; who did it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from json_store_kit import (
    SESSION,
    append,
    check_whole,
    copy_tree,
    lines,
    manager_of,
    quietly,
    say,
    snapshot,
    store_of,
)
from test_crash import crashes

from bough import history
from bough.changes import change, put_again, put_new
from bough.model import BranchRecord, Edit, Graft, Piece, Put, Tip, replace
from bough.stores.json_files import JsonFilesStore


def edit(store: JsonFilesStore, index: int, text: str) -> BranchRecord:
    record = store.load(SESSION).branches["main"]
    segment, at = record.tip
    pieces = history.concat(
        history.cut(record.history, 0, index),
        (Piece(segment, at, at + 1),),
        history.cut(record.history, index + 1, record.length),
    )
    new = Edit(segment, at, *history.identity(record.history, index))
    put = put_again(record, history=pieces, tip=Tip(segment, at + 1), edits=(*record.edits, new))
    return store.commit(SESSION, change("edit", replace(put, messages=lines([say(text)])))).branches["main"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "store"
    with manager_of(root) as manager:
        manager.add_messages([say(f"message {n}") for n in range(5)])
    edit(store_of(root), 1, "edited")
    return root


def main_file(root: Path) -> Path:
    return root / SESSION / "main.json"


def edits(root: Path) -> tuple[Edit, ...]:
    return store_of(root).load(SESSION).branches["main"].edits


def test_only_a_branch_with_edits_says_so(root: Path) -> None:
    segment, _ = store_of(root).load(SESSION).branches["main"].tip
    assert json.loads(main_file(root).read_bytes())["edits"] == [[segment, 5, segment, 1]]
    store = store_of(root)
    record = store.load(SESSION).branches["main"]
    store.commit(SESSION, change("fork", put_new("b", "b", record, 1)))
    assert b'"edits"' not in (root / SESSION / "b.json").read_bytes()
    store.commit(SESSION, change("undo", put_again(record, history=history.cut(record.history, 0, 1), edits=())))
    assert b'"edits"' not in main_file(root).read_bytes()
    check_whole(root)


def test_a_torn_end_keeps_them(root: Path) -> None:
    append(store_of(root), "main", say("more"))
    expected = edits(root)
    assert len(expected) == 1
    data = main_file(root).read_bytes()
    for cut in range(data.rfind(b"\n]") + 2, len(data), 7):
        main_file(root).write_bytes(data[:cut])
        assert edits(root) == expected, cut
        quietly(lambda: append(store_of(root), "main", say("mended")))
        assert edits(root) == expected, cut
        check_whole(root)


def test_a_torn_end_keeps_those_that_a_graft_brought(tmp_path: Path, root: Path) -> None:
    source = store_of(root).load(SESSION).branches["main"]
    target = tmp_path / "target"
    store = store_of(target)
    runs = tuple((piece, lines(store_of(root).read(SESSION, (piece,)))) for piece in source.history)
    store.commit(SESSION, Graft(runs=runs, puts=(Put(record=source, expected=None),)))
    assert edits(target) == source.edits
    append(store, "main", say("more"))
    data = main_file(target).read_bytes()
    main_file(target).write_bytes(data[: data.rfind(b"\n]") + 5])
    assert edits(target) == source.edits
    quietly(lambda: append(store_of(target), "main", say("mended")))
    assert edits(target) == source.edits
    check_whole(target)


@pytest.mark.parametrize("lost", [(), ("edits",), ("history", "tip", "edits", "digest", "extent")])
@pytest.mark.parametrize("at", [None, 3, 0])
def test_another_programs_rewrite_keeps_those_of_messages_that_stay(
    root: Path, at: int | None, lost: tuple[str, ...]
) -> None:
    """``at`` is the message that the other program changed, ``lost`` the keys that it dropped."""
    expected = edits(root)
    store = store_of(root)
    store.commit(SESSION, change("fork", put_new("keeps", "k", store.load(SESSION).branches["main"])))
    value = json.loads(main_file(root).read_bytes())
    for key in lost:
        del value[key]
    if at is not None:
        value["messages"][at]["content"] = "changed"
    main_file(root).write_text(json.dumps(value, indent=2))
    if lost != ("edits",):  # then it says that there are none
        kept = () if at == 0 else expected
        assert edits(root) == kept
        append(store_of(root), "main", say("taken over"))
        assert edits(root) == kept
    assert [each for each in store_of(root).load(SESSION).branches["main"].extra if each == "edits"] == []


def test_a_crash_while_a_message_is_edited(tmp_path: Path, root: Path) -> None:
    template = tmp_path / "template"
    copy_tree(root, template)
    crashes(tmp_path, template, lambda where, disk: edit(store_of(where, disk), 3, "edited too"))
    assert snapshot(template) == snapshot(root)


def test_an_external_edit_says_who_recorded_it(root: Path) -> None:
    value = json.loads(main_file(root).read_bytes())
    value["messages"].append(say("theirs"))
    main_file(root).write_text(json.dumps(value))
    append(store_of(root), "main", say("ours"))
    last = next(iter(store_of(root).operations(SESSION)))
    assert last.kind == "external-edit"
    assert last.user


def test_an_old_entry_has_no_user(root: Path) -> None:
    path = root / SESSION / "operations.jsonl"
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    for row in rows:
        del row["user"], row["check"]
    path.write_bytes(b"".join(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows))
    assert {operation.user for operation in store_of(root).operations(SESSION)} == {""}
    assert edits(root)
