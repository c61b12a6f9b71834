"""A process that dies at any changing file-system call, or in the middle of a write, of any kind of commit.

Whoever comes next sees the state before or the one after, goes on at once, and loses nothing by finishing what the dead
one began.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from json_store_kit import (
    CRASHED,
    NOTHING,
    SESSION,
    CountingDisk,
    CrashingDisk,
    ImagingDisk,
    append,
    check_files,
    copy_tree,
    go_on,
    go_on_briefly,
    in_child,
    manager_of,
    quietly,
    say,
    snapshot,
    state_of,
    store_of,
)

from bough.imports import IncomingBranch, entry
from bough.manager import ConversationBranchManager
from bough.stores.json_files.disk import Disk

Act: TypeAlias = Callable[[ConversationBranchManager], object]


def talk(manager: ConversationBranchManager) -> None:
    """main with five messages and one of its own since; a side of three and two of its own; a leaf of that."""
    manager.add_messages([say(f"message {n}") for n in range(5)])
    manager.fork_from_message("Side", 3)
    manager.add_message(say("on the side"))
    manager.add_messages([say("aside, one"), say("aside, two")])
    manager.create_branch("Leaf", "A leaf", "side")
    manager.checkout("main")
    manager.add_message(say("on main"))


def rewritten_by_another(path: Path) -> None:
    """What a program does that knows nothing of us: reads, changes, prints it nicely."""
    document = json.loads(path.read_bytes())
    document["messages"][1]["content"] = "edited elsewhere"
    document["messages"].append(say("written elsewhere"))
    path.write_text(json.dumps(document, indent=2), encoding="utf-8")


def replace_some(manager: ConversationBranchManager) -> None:
    messages = manager.get_messages()
    manager.set_messages([*messages[:2], say("another"), *messages[4:]])


def import_two(manager: ConversationBranchManager) -> None:
    manager.import_branches(
        [
            IncomingBranch(id="brought", name="Brought", entries=[entry(say("a")), entry(say("b"), say("c"))]),
            IncomingBranch(
                id="brought-2", name="Brought too", entries=[entry(say("d"))], parent_id="brought", shared=1
            ),
        ]
    )


VERBS: dict[str, Act] = {
    "create": lambda m: m.create_branch("New", "New", "side", 4),
    "create-empty": lambda m: m.create_branch("new", "New"),
    "fork": lambda m: m.fork("Fork"),
    "fork-inside": lambda m: m.fork_from_message("Fork", 2),
    "merge-in-place": lambda m: m.merge("side"),
    "merge-replace": lambda m: m.merge("side", "replace"),
    "set-grows": lambda m: m.set_messages([*m.get_messages(), say("more"), say("and more")]),
    "set-removes": replace_some,
    "rename": lambda m: m.rename_branch("side", "Another name"),
    "delete": lambda m: m.delete_branch("side"),
    "checkout": lambda m: m.checkout("side"),
    "import": import_two,
}


def crashes(
    tmp_path: Path,
    template: Path,
    act: Callable[[Path, Disk], object],
    *,
    closely: bool = False,
    warns: bool = False,
) -> None:
    """``act`` on a copy of ``template``, ended at every point."""
    whole = tmp_path / "whole"
    copy_tree(template, whole)
    before = snapshot(template) if (template / SESSION).exists() else NOTHING
    disk = ImagingDisk(whole, tmp_path / "images", closely=closely)
    quietly(lambda: void(act(whole, disk)))
    after = snapshot(whole)
    assert len(disk.images) > 1
    repairs = 0
    seen = set()
    for root, at, written in disk.images:
        where = f"{disk.calls[at]} number {at}, after {written} bytes"
        found = snapshot(root)
        assert found in (before, after), where
        seen.add(found == after)
        proof = go_on_briefly if written > 2 else go_on
        repairs += quietly(lambda: proof(root, found))  # noqa: B023
    assert seen == {False, True} or before == after
    assert bool(repairs) == warns


def void(_: object) -> None:
    return


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("crash") / "store"
    with manager_of(root) as manager:
        talk(manager)
    return root


def verb(act: Act) -> Callable[[Path, Disk], object]:
    return lambda root, disk: act(manager_of(root, disk))


def test_init(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    crashes(tmp_path, empty, lambda root, disk: manager_of(root, disk))


@pytest.mark.parametrize("branch_id", ["main", "Leaf"])
def test_append_of_one(tmp_path: Path, template: Path, branch_id: str) -> None:
    """In a document with messages, and in one that an operation has just made."""
    crashes(
        tmp_path,
        template,
        lambda root, disk: append(store_of(root, disk), branch_id, say("x" * 150)),
        closely=branch_id == "main",
        warns=True,
    )


def test_append_to_an_empty_branch(tmp_path: Path, template: Path) -> None:
    root = tmp_path / "with-empty"
    copy_tree(template, root)
    manager_of(root).create_branch("empty", "Empty")
    crashes(tmp_path, root, lambda root, disk: append(store_of(root, disk), "empty", say("first")), warns=True)


def test_append_of_a_batch(tmp_path: Path, template: Path) -> None:
    """A torn batch is gone as a whole."""
    batch = [say("one"), say("two " * 30), say("three")]
    crashes(
        tmp_path,
        template,
        lambda root, disk: append(store_of(root, disk), "side", *batch),
        closely=True,
        warns=True,
    )


@pytest.mark.parametrize("name", VERBS)
def test_operation(tmp_path: Path, template: Path, name: str) -> None:
    grows = name in ("merge-in-place", "set-grows")
    crashes(tmp_path, template, verb(VERBS[name]), warns=grows)


@pytest.mark.parametrize("name", VERBS)
def test_undo(tmp_path: Path, template: Path, name: str) -> None:
    done = tmp_path / "done"
    copy_tree(template, done)
    VERBS[name](manager_of(done))
    crashes(tmp_path, done, verb(lambda manager: manager.undo()))


@pytest.mark.parametrize("name", ["append", "rename", "delete"])
def test_adoption_of_another_programs_rewrite(tmp_path: Path, template: Path, name: str) -> None:
    edited = tmp_path / "edited"
    copy_tree(template, edited)
    rewritten_by_another(edited / SESSION / "side.json")
    acts: dict[str, Callable[[Path, Disk], object]] = {
        "append": lambda root, disk: append(store_of(root, disk), "side", say("after that")),
        "rename": verb(VERBS["rename"]),
        "delete": verb(VERBS["delete"]),
    }
    crashes(tmp_path, edited, acts[name], warns=name == "append")


def test_repair_of_a_torn_end(tmp_path: Path, template: Path) -> None:
    torn = tmp_path / "torn"
    copy_tree(template, torn)
    path = torn / SESSION / "side.json"
    path.write_bytes(path.read_bytes()[:-200])
    crashes(tmp_path, torn, lambda root, disk: append(store_of(root, disk), "side", say("mended")), warns=True)


@pytest.mark.parametrize("name", ["fork", "merge-in-place", "merge-replace", "delete", "rename", "checkout", "import"])
def test_finishing_what_a_dead_process_committed(tmp_path: Path, template: Path, name: str) -> None:
    """The one who finishes an operation dies as well, at every call of it."""
    probe = tmp_path / "probe"
    copy_tree(template, probe)
    before = snapshot(template)
    disk = ImagingDisk(probe, tmp_path / "probed")
    VERBS[name](manager_of(probe, disk))
    committed = next(image.root for image in disk.images if snapshot(image.root) != before)  # the earliest that is
    assert snapshot(committed) == snapshot(probe)
    crashes(tmp_path, committed, lambda root, disk: append(store_of(root, disk), "main", say("next")), warns=True)


@pytest.mark.parametrize("name", ["merge-in-place", "set-removes"])
def test_a_dead_process_leaves_what_its_image_shows(tmp_path: Path, template: Path, name: str) -> None:
    """The images stand for deaths: here the processes really die, and what is there is the same, but for their lock."""
    alive = tmp_path / "alive"
    copy_tree(template, alive)
    disk = ImagingDisk(alive, tmp_path / "images")
    VERBS[name](manager_of(alive, disk))
    for image in disk.images:
        if image.written > 2:  # ids and check sums are of other lengths in another process: that would be another place
            continue
        root = tmp_path / f"dead-{image.at}-{image.written}"
        copy_tree(template, root)
        dying = CrashingDisk(image.at, image.written)
        assert in_child(lambda: void(VERBS[name](manager_of(root, dying)))) == CRASHED  # noqa: B023
        assert names(root) == names(image.root)
        found = snapshot(root)
        assert found == snapshot(image.root)
        quietly(lambda: go_on_briefly(root, found))  # noqa: B023


def names(root: Path) -> dict[str, int]:
    """Every file with how many names it has."""
    paths = [path for path in root.rglob("*") if not path.name.startswith("session.lock")]
    return {str(path.relative_to(root)): path.stat().st_nlink for path in paths if path.is_file()}


def test_a_whole_run_leaves_whole_files(template: Path) -> None:
    assert state_of(store_of(template)).head == "main"
    check_files(template)


def test_what_a_branch_should_have_become_is_kept_where_its_document_cannot_be_read(tmp_path: Path) -> None:
    """The writer died behind its commit, and then the document that it was to replace was broken."""
    with manager_of(tmp_path) as manager:
        talk(manager)
    counting = CountingDisk()
    copy_tree(tmp_path, tmp_path / "counted")
    with manager_of(tmp_path / "counted", counting) as manager:
        manager.set_messages([say("the new words")])
    last = max(at for at, (name, _) in enumerate(counting.calls) if name == "rename")

    def dying() -> None:
        with manager_of(tmp_path, CrashingDisk(last)) as manager:
            manager.set_messages([say("the new words")])

    assert in_child(dying) == CRASHED
    folder = tmp_path / SESSION
    [waiting] = folder.glob("main.json.*.new")
    (folder / "main.json").write_bytes(b"{broken")
    append(store_of(tmp_path), "side", say("others go on"))
    assert not waiting.exists()
    assert (folder / "main.json").read_bytes() == b"{broken"
    kept = [path for path in (folder / "attic").iterdir() if b"the new words" in path.read_bytes()]
    assert [path.name.endswith(".after") for path in kept] == [True]
