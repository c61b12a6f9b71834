"""Grafts in JSON files: a process that dies at any call, a power failure, a torn end behind grafted messages.

The grafts are those of a real copy: of a session in which messages were appended, replaced, merged, dropped and brought
back.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from json_store_kit import (
    SESSION,
    ImagingDisk,
    append,
    check_files,
    copy_tree,
    go_on_briefly,
    quietly,
    say,
    snapshot,
    store_of,
)
from test_crash import crashes
from test_power_loss import Files, Notes, RecordingDisk, after_power_loss

from bough.copying import copy_session
from bough.history import cut
from bough.manager import ConversationBranchManager
from bough.model import Append, Change, Commit, Drop, Graft
from bough.stores.memory import MemoryStore


class Listening(MemoryStore):
    """Notes the grafts that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.grafts: list[Graft] = []

    def commit(self, session_id: str, change: Append | Change | Graft) -> Commit:
        commit = super().commit(session_id, change)
        if isinstance(change, Graft):
            self.grafts.append(change)
        return commit


def talk() -> MemoryStore:
    source = MemoryStore()
    manager = ConversationBranchManager(SESSION, store=source)
    manager.add_messages([say(f"message {n}") for n in range(6)])
    manager.fork_from_message("Side", 3)
    manager.add_messages([say("aside"), say("aside too")])
    manager.checkout("main")
    messages = manager.get_messages()
    manager.set_messages([*messages[:2], say("another"), *messages[4:]])
    manager.merge("side")
    manager.create_branch("Leaf", "Leaf", "side", 2)
    manager.delete_branch("side")
    manager.undo()
    manager.rename_branch("side", "Renamed")
    manager.add_message(say("last on main"))
    return source


def grafts_of(source: MemoryStore) -> list[Graft]:
    listening = Listening()
    copy_session(source, listening, SESSION)
    runs = listening.grafts[-1].runs
    assert listening.grafts[-1].operation is None
    assert runs
    return [*listening.grafts[:-1], Graft(runs=runs), listening.grafts[-1]]  # as if sent ahead


@pytest.fixture(scope="module")
def grafts() -> list[Graft]:
    return grafts_of(talk())


@pytest.mark.parametrize("at", range(11))
def test_a_graft(tmp_path: Path, grafts: list[Graft], at: int) -> None:
    assert len(grafts) == 11
    template = tmp_path / "template"
    template.mkdir()
    for graft in grafts[:at]:
        store_of(template).commit(SESSION, graft)
    crashes(tmp_path, template, lambda root, disk: store_of(root, disk).commit(SESSION, grafts[at]))


def test_a_dropped_branch_without_an_operation(tmp_path: Path, grafts: list[Graft]) -> None:
    template = tmp_path / "template"
    for graft in grafts:
        store_of(template).commit(SESSION, graft)
    expected = store_of(template).load(SESSION).branches["Leaf"].version
    drop = Graft(drops=(Drop(branch_id="Leaf", expected=expected),))
    crashes(tmp_path, template, lambda root, disk: store_of(root, disk).commit(SESSION, drop))


def test_a_copy_that_died_anywhere_is_completed_by_the_next(tmp_path: Path) -> None:
    source = talk()
    whole = tmp_path / "whole"
    whole.mkdir()
    disk = ImagingDisk(whole, tmp_path / "images")
    result = copy_session(source, store_of(whole, disk), SESSION)
    after = snapshot(whole)
    earlier = 0
    for root, _, _ in disk.images[::3]:
        again = copy_session(source, store_of(root), SESSION)
        assert again.operations <= result.operations
        assert again.verified == result.verified
        earlier += result.operations - again.operations
        assert snapshot(root) == after
        check_files(root)
        assert copy_session(source, store_of(root), SESSION).messages == 0
        assert copy_session(store_of(root), MemoryStore(), SESSION).verified == result.verified
    assert earlier > 0  # what was done before the end was not done again


def test_power_failures(tmp_path: Path, grafts: list[Graft]) -> None:
    chance = random.Random(7)
    root = tmp_path / "real"
    root.mkdir()
    notes = Notes(root)
    ends, states = [], []
    for graft in grafts:
        store_of(root, RecordingDisk(notes)).commit(SESSION, graft)
        ends.append(len(notes.calls))
        states.append(snapshot(root))
    for cut_at in range(len(notes.calls) + 1):
        files = Files()
        for call in notes.calls[:cut_at]:
            files.do(call)
        done = sum(end <= cut_at for end in ends)
        possible = [states[at] for at in (done - 1, done) if 0 <= at < len(states)]
        for attempt in range(3):
            left = tmp_path / f"left-{cut_at}-{attempt}"
            after_power_loss(files, left, chance, gentle=attempt == 0)
            found = snapshot(left)
            assert found in possible or (done == 0 and not found.branches), f"{cut_at} calls, attempt {attempt}"
            store = store_of(left)
            for operation in store.operations(SESSION):
                for change in operation.branches:
                    for record in (change.before, change.after):
                        store.read(SESSION, record.history if record else ())
            if found.branches:
                quietly(lambda: go_on_briefly(left, found))  # noqa: B023


def test_a_torn_end_behind_grafted_messages(tmp_path: Path, grafts: list[Graft]) -> None:
    """The messages that no operation of the log tells of keep their identities, whatever is left behind them."""
    template = tmp_path / "template"
    for graft in grafts:
        store_of(template).commit(SESSION, graft)
    grafted = store_of(template).load(SESSION).branches["main"]
    assert grafted.length > max(each.after.length for each in grafts[0].operation.branches if each.after)  # type: ignore[union-attr]
    path = template / SESSION / "main.json"
    first = len(path.read_bytes().rpartition(b"\n")[0]) + len(",\n")
    append(store_of(template), "main", say("ours"))
    append(store_of(template), "main", say("ours, two"), say("ours, three"))
    whole = store_of(template).load(SESSION).branches["main"]
    data = path.read_bytes()
    lengths = set()
    root = tmp_path / "torn"
    copy_tree(template, root)
    for size in range(first, len(data)):
        (root / SESSION / "main.json").write_bytes(data[:size])
        record = store_of(root).load(SESSION).branches["main"]
        lengths.add(record.length)
        assert record.history == cut(whole.history, 0, record.length)
        assert store_of(root).read(SESSION, record.history) == store_of(template).read(SESSION, record.history)
        if size % 40 == 0:
            there = tmp_path / f"mended-{size}"
            copy_tree(root, there)
            assert quietly(lambda: append(store_of(there), "main", say("next"))) == 1  # noqa: B023
            mended = store_of(there).load(SESSION).branches["main"]
            assert mended.history[: len(grafted.history)] == grafted.history
            assert mended.tip.segment == grafted.tip.segment
    assert lengths == {grafted.length, grafted.length + 1, grafted.length + 3}
