"""Sessions of the JSON store under another id: one rename of a folder, whatever happens around it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from json_store_kit import (
    CRASHED,
    CountingDisk,
    CrashingDisk,
    append,
    copy_tree,
    crash_points,
    in_child,
    say,
    start,
    status_of,
    store_of,
)

from bough.errors import BoughError, InvalidRequestError, SessionLockedError, StoreUnavailableError
from bough.lock import SessionLock
from bough.manager import ConversationBranchManager
from bough.stores.json_files import JsonFilesStore
from bough.stores.json_files.names import to_name
from bough.testing.contract import in_thread

LONG, LONGER = "L" * 300, "M" * 512


def begin(root: Path, name: str) -> None:
    with ConversationBranchManager(name, store=store_of(root)) as manager:
        manager.add_messages([say("one"), say("two")])
        manager.fork("Side")
        manager.add_message(say("aside"))


def shown(store: JsonFilesStore, name: str) -> object:
    state = store.load(name)
    messages = {id_: store.read(name, record.history) for id_, record in state.branches.items()}
    return dict(state.branches), state.head, list(store.operations(name)), messages


def everything(root: Path) -> tuple[list[str], list[str]]:
    store = store_of(root)
    return store.sessions(), store.sessions(deleted=True)


@pytest.mark.parametrize("old", ["talk", LONG, "Ünï/x"])
@pytest.mark.parametrize("new", ["other", LONGER, None])
def test_a_crash_at_any_call_leaves_it_under_one_id_or_the_other(tmp_path: Path, old: str, new: str | None) -> None:
    template = tmp_path / "template"
    begin(template, old)
    before = shown(store_of(template), old)
    counting = CountingDisk()
    copy_tree(template, tmp_path / "whole")
    store_of(tmp_path / "whole", counting).move(old, new)
    moved = set()
    for number, (at, written) in enumerate(crash_points(counting.calls, closely=False)):
        root = tmp_path / f"crash-{number}"
        copy_tree(template, root)
        assert in_child(lambda: void(store_of(root, CrashingDisk(at, written)).move(old, new))) == CRASHED  # noqa: B023
        live, deleted = everything(root)
        [name] = live or deleted
        if deleted:
            assert new is None
            store_of(root).move(name, old)
            name = old
        assert name in (old, new)
        moved.add(bool(deleted) or name == new)
        assert shown(store_of(root), name) == before
        append(store_of(root), "main", say("x")) if name == "talk" else None
        back = "back" if name != "back" else old
        assert store_of(root).move(name, back) == back
        assert everything(root) == ([back], [])
    assert moved == {False, True}


@pytest.mark.parametrize("target", ["live", "kept"])
def test_a_crash_while_it_is_brought_back(tmp_path: Path, target: str) -> None:
    template = tmp_path / "template"
    begin(template, LONG)
    before = shown(store_of(template), LONG)
    kept = store_of(template).move(LONG, None)
    new = LONG if target == "kept" else LONGER
    counting = CountingDisk()
    copy_tree(template, tmp_path / "whole")
    store_of(tmp_path / "whole", counting).move(kept, new)
    for number, (at, written) in enumerate(crash_points(counting.calls, closely=False)):
        root = tmp_path / f"crash-{number}"
        copy_tree(template, root)
        assert in_child(lambda: void(store_of(root, CrashingDisk(at, written)).move(kept, new))) == CRASHED  # noqa: B023
        if everything(root)[1]:
            assert everything(root) == ([], [kept])
            store_of(root).move(kept, new)
        assert everything(root) == ([new], [])
        assert shown(store_of(root), new) == before


def void(_: object) -> None:
    return


def test_the_folder_of_another_program_comes_back_under_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "My Session"
    folder.mkdir()
    text = json.dumps({"id": "main", "name": "Main", "messages": [say("hi")]}, indent=1)
    (folder / "main.json").write_text(text)
    store = store_of(tmp_path)
    kept = store.move("My Session", None)
    assert store.sessions() == []
    assert not folder.exists()
    assert store.move(kept, "My Session") == "My Session"
    assert (folder / "main.json").read_text() == text
    assert store.sessions() == ["My Session"]
    store.move("My Session", "Another")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([".deleted", to_name("Another")])


def test_no_lock_stays_behind(tmp_path: Path) -> None:
    """Neither for programs that know the lock file alone, nor for ours."""
    begin(tmp_path, "talk")
    store = store_of(tmp_path)
    store.move("talk", "other")
    assert not (tmp_path / "other" / "session.lock").exists()
    assert SessionLock(tmp_path / "other" / "session").get_lock_holder() is None
    append_to = store_of(tmp_path)
    with append_to.lock("other"):
        pass
    with store.lock("other"):
        assert (tmp_path / "other" / "session.lock").exists()


def test_a_session_that_is_locked_is_not_moved(tmp_path: Path) -> None:
    begin(tmp_path, "talk")
    store = JsonFilesStore(tmp_path, lock_timeout=0.05)
    with SessionLock(tmp_path / "talk" / "session"):
        for target in ("other", None):
            with pytest.raises(SessionLockedError):
                in_thread(lambda: store.move("talk", target))  # noqa: B023
    assert everything(tmp_path) == (["talk"], [])


def test_what_is_in_the_way(tmp_path: Path) -> None:
    begin(tmp_path, "talk")
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "talk")
    for name in ("file", "link"):
        with pytest.raises(InvalidRequestError):
            store_of(tmp_path).move("talk", name)
    (tmp_path / "empty").mkdir()
    (tmp_path / "attic-only" / "attic").mkdir(parents=True)
    (tmp_path / "attic-only" / "session.lock.guard").write_text("")
    before = shown(store_of(tmp_path), "talk")
    assert store_of(tmp_path).move("talk", "empty") == "empty"
    assert store_of(tmp_path).move("empty", "attic-only") == "attic-only"
    assert shown(store_of(tmp_path), "attic-only") == before
    assert everything(tmp_path) == (["attic-only"], [])


def test_a_root_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    begin(tmp_path / "root", "talk")
    (tmp_path / "root" / ".deleted").write_text("a file")
    with pytest.raises(StoreUnavailableError):
        store_of(tmp_path / "root").move("talk", None)
    assert store_of(tmp_path / "root").sessions() == ["talk"]


def test_processes_that_write_while_it_is_moved_about(tmp_path: Path) -> None:
    """Every message that was acknowledged is there, under whatever id, and the session is never made anew."""
    begin(tmp_path, "talk")
    ways = [os.pipe() for _ in range(3)]

    def write(process: int) -> None:
        manager = ConversationBranchManager("talk", store=store_of(tmp_path), create=False)
        os.write(ways[process][1], b".")
        for n in range(60):
            while True:
                try:
                    manager.checkout("main") if n % 5 == 0 else manager.add_message(say(f"{process}:{n}"))
                    break
                except BoughError:
                    continue

    children = [start(lambda at=at: write(at)) for at in range(3)]  # type: ignore[misc]
    for reading, _ in ways:
        os.read(reading, 1)
    store = store_of(tmp_path)
    moves = 0
    while any(os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None for child in children):
        if moves % 2:
            store.move("elsewhere", "talk")
        else:
            kept = store.move("talk", None)
            assert "talk" not in store.sessions()
            store.move(kept, "elsewhere")
        moves += 1
    if moves % 2:
        store.move("elsewhere", "talk")
    assert [status_of(child) for child in children] == [0, 0, 0]
    assert store.sessions() == ["talk"]
    assert moves > 4
    texts = [each["content"] for each in store.read("talk", store.load("talk").branches["main"].history)]
    for process in range(3):
        written = [text for text in texts if text.startswith(f"{process}:")]
        assert written == [f"{process}:{n}" for n in range(60) if n % 5]
    shutil.rmtree(tmp_path / ".deleted")
