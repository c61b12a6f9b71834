"""Documents, HEAD and the log as a crash, a failing drive or a careless program may leave them.

No acknowledged message is lost where only the last append is torn. What is beyond that is damage: reported, left as it
is to the byte, and no reason for another branch to stop.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from json_store_kit import (
    SESSION,
    Message,
    State,
    added_to,
    append,
    check_files,
    copy_tree,
    go_on,
    manager_of,
    quietly,
    say,
    snapshot,
    state_of,
    store_of,
)

from bough.errors import BoughError, BranchMovedError, CorruptBranchError, RepairWarning
from bough.model import Append

BLOCK = 512


def grown(tmp_path: Path, before: list[Message], new: list[Message]) -> tuple[Path, bytes, bytes, State, State]:
    """A store, the bytes of main before and after an append, and the states then."""
    root = tmp_path / "store"
    with manager_of(root) as manager:
        if before:
            manager.add_messages(before)
        manager.fork("Side")
    path = root / SESSION / "main.json"
    old, first = path.read_bytes(), snapshot(root)
    append(store_of(root), "main", *new)
    return root, old, path.read_bytes(), first, snapshot(root)


def same_until(old: bytes, new: bytes) -> int:
    return next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))


def prefixes(old: bytes, new: bytes) -> Iterator[bytes]:
    """The write got as far as some byte; behind that is what was there."""
    start = same_until(old, new)
    for at in range(start, len(new)):
        yield new[:at] + old[at:]


def with_zeros(old: bytes, new: bytes) -> Iterator[bytes]:
    for torn in prefixes(old, new):
        yield torn + bytes(len(new) - len(torn))


def pages(old: bytes, new: bytes) -> Iterator[bytes]:
    """Any two blocks are missing, wherever the blocks begin; the file has its new size."""
    behind = old.ljust(len(new), b"\0")
    start = same_until(old, new)
    for shift in range(0, BLOCK, 37):
        edges = [at for at in range(shift - BLOCK, len(new), BLOCK) if at + BLOCK > start]
        for one in edges:
            for other in edges:
                torn = bytearray(new)
                for at in (one, other):
                    here = slice(max(0, at), min(at + BLOCK, len(new)))
                    torn[here] = behind[here]
                yield bytes(torn)


@pytest.mark.parametrize("places", [40, pytest.param(400, id="exhaustive", marks=pytest.mark.torture)])
@pytest.mark.parametrize("tear", [prefixes, with_zeros, pages])
@pytest.mark.parametrize(
    ("before", "new"),
    [
        ([say("a"), say("b")], [say("new " * 40)]),
        ([say("a"), say("b")], [say("one"), say("two"), say("three " * 20)]),
        ([], [say("first")]),
        ([], [say("first"), say("second")]),
        ([say("long " * 300)], [say(f"{n} " * 200) for n in range(4)]),
        ([say("a")], [{"a": {"b": [{}, {"c": "}"}]}, "],": '\n],"updatedAt":"x"'}]),
    ],
    ids=["one", "batch", "first", "first-batch", "long-batch", "awkward"],
)
def test_an_append_that_is_torn_anywhere(
    tmp_path: Path,
    before: list[Message],
    new: list[Message],
    tear: Callable[[bytes, bytes], Iterator[bytes]],
    places: int,
) -> None:
    root, old, whole, first, second = grown(tmp_path, before, new)
    path = root / SESSION / "main.json"
    after = say("after")
    tears = list(tear(old, whole))
    step = max(1, len(tears) // places)
    repairs = 0
    for torn in tears[:: step if step % 2 else step + 1]:
        for leftover in (root / SESSION / "attic").glob("*"):
            leftover.unlink()
        path.write_bytes(torn)
        found = snapshot(root)
        assert found in (first, second)
        warned = quietly(lambda: append(store_of(root), "main", after))
        repairs += warned
        assert snapshot(root) == added_to(found, "main", [after])
        kept = (root / SESSION / "attic").glob("*.torn-*")
        assert [torn.endswith(cut.read_bytes()) for cut in kept] == [True] * warned
        assert json.loads(path.read_bytes())["id"] == "main"
    assert repairs > 0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """main with six messages; a side with four of those and two of its own; a leaf; a deleted branch in the attic."""
    root = tmp_path / "store"
    with manager_of(root) as manager:
        for n in range(6):
            manager.add_message(say(f"message {n}"))
        manager.fork_from_message("Gone", 2)
        manager.add_message(say("gone"))
        manager.checkout("main")
        manager.delete_branch("gone")
        manager.fork_from_message("Side", 4)
        manager.add_messages([say("aside, one"), say("aside, two")])
        manager.create_branch("leaf", "Leaf", "side")
        manager.checkout("main")
        manager.merge("side")
    check_files(root)
    return root


def test_the_repair_says_so_and_keeps_what_it_cut(root: Path) -> None:
    path = root / SESSION / "side.json"
    before = snapshot(root)
    half = path.read_bytes()[:-40] + b'"garbage'
    path.write_bytes(half)
    assert snapshot(root) == before
    assert path.read_bytes() == half
    with pytest.warns(RepairWarning, match="torn"):
        append(store_of(root), "side", say("more"))
    assert snapshot(root) == added_to(before, "side", [say("more")])
    (cut,) = (root / SESSION / "attic").glob("side.torn-*")
    assert half.endswith(cut.read_bytes())


def test_a_lost_closing_line(root: Path) -> None:
    before = snapshot(root)
    path = root / SESSION / "side.json"
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"\n]") + 1])
    assert snapshot(root) == before
    assert quietly(lambda: go_on(root, before)) == 1


@pytest.mark.parametrize("what", [b"\xff\xfe garbage", b'{"x": [', bytes(20)])
@pytest.mark.parametrize("line", [5, 6, 9])  # 9: appended since the last operation
def test_garbage_with_whole_messages_after_it(root: Path, what: bytes, line: int) -> None:
    """Not torn but damaged: nobody may guess. Only that branch is affected."""
    for n in range(3):
        append(store_of(root), "main", say(f"since, {n}"))
    before = snapshot(root)
    path = root / SESSION / "main.json"
    parts = path.read_bytes().split(b"\n")
    parts[line] = parts[line][:5] + what + parts[line][5 + len(what) :]
    broken = b"\n".join(parts)
    path.write_bytes(broken)
    store = store_of(root)
    with pytest.raises(CorruptBranchError):
        store.read(SESSION, store.load(SESSION).branches["main"].history)
    state = store.load(SESSION)  # it has looked at the messages now
    assert state.branches.keys() == {"side", "leaf"}
    assert [finding.branch_id for finding in state.findings] == ["main"]
    for attempt in range(2):
        with pytest.raises(CorruptBranchError):
            append(store, "main", say("refused"))
        append(store, "side", say(f"goes on {attempt}"))
    with manager_of(root) as manager:
        assert manager.get_current_branch_id() == "main"
        with pytest.raises(CorruptBranchError):
            manager.add_message(say("refused"))
        manager.rename_branch("leaf", "Another name")
        manager.rename_branch("leaf", "Leaf")
    found = state_of(store)
    assert found.branches["leaf"] == before.branches["leaf"]
    assert found.branches["side"].messages[:6] == before.branches["side"].messages
    assert len(found.branches["side"].messages) == 8
    assert path.read_bytes() == broken


def damages(data: bytes) -> dict[str, bytes | None]:
    return {
        "garbage": b"\xff\xfe\x00 this is no JSON {",
        "other JSON": b'{"hello": "world"}',
        "a list": b"[1, 2, 3]\n",
        "cut": data[: len(data) // 4],
        "cut a little": data[:-7],
        "empty": b"",
        "zeros": bytes(len(data)),
        "gone": None,
    }


NAMES = ["main.json", "side.json", "leaf.json", "HEAD", "operations.jsonl", "attic"]


@pytest.mark.parametrize("damage", list(damages(b"")))
@pytest.mark.parametrize("name", NAMES)
def test_any_one_file(root: Path, name: str, damage: str) -> None:
    """Corrupting one file changes and hides no other branch, and nothing that could not be read is written over."""
    before = snapshot(root)
    hurt = [root / SESSION / name] if name != "attic" else sorted((root / SESSION / "attic").iterdir())
    assert hurt
    for path in hurt:
        data = damages(path.read_bytes())[damage]
        path.unlink() if data is None else path.write_bytes(data)
    left = {path: path.read_bytes() for path in hurt if path.exists()}
    own = name.removesuffix(".json") if name.endswith(".json") else None
    found = snapshot(root)
    others = before.branches.keys() - {own}
    assert {id_: found.branches[id_] for id_ in others} == {id_: before.branches[id_] for id_ in others}
    assert found.head == before.head or name == "operations.jsonl"
    if own is not None and own in found.branches:
        assert found.branches[own].messages == before.branches[own].messages[: len(found.branches[own].messages)]

    store = store_of(root)
    expected = found
    for id_ in sorted(others):
        quietly(lambda: append(store, id_, say("goes on")))  # noqa: B023
        expected = added_to(expected, id_, [say("goes on")])
    assert state_of(store) == expected == snapshot(root)
    refused = quietly_refused(lambda: manager_of(root).create_branch("new", "New", min(others)))
    assert refused == (name == "operations.jsonl" and damage in ("garbage", "other JSON", "a list"))
    if own is not None and damage not in ("cut a little", "gone"):
        assert quietly_refused(lambda: append(store_of(root), own, say("refused")))
    found = snapshot(root)
    assert {id_: found.branches[id_] for id_ in others} == {id_: expected.branches[id_] for id_ in others}
    attic = [path.read_bytes() for path in (root / SESSION / "attic").glob("*")]
    for path, data in left.items():
        untouched = path.read_bytes() == data
        repaired = any(cut and data.endswith(cut) for cut in attic)
        # A log that was cut or emptied is one whose last entry was torn; HEAD is rewritten from the log.
        assert untouched or repaired or name == "HEAD" or (name == "operations.jsonl" and damage in ("empty", "zeros"))


def quietly_refused(work: Callable[[], object]) -> bool:
    try:
        quietly(lambda: (work(), None)[1])
    except BoughError:
        return True
    return False


def test_a_corrupt_branch_of_the_last_operation_stops_no_other(tmp_path: Path) -> None:
    """The last operation is looked at by whoever comes next: it must not stand in the way."""
    root = tmp_path / "store"
    with manager_of(root) as manager:
        manager.add_message(say("hello"))
        manager.create_branch("side", "Side", "main")
    path = root / SESSION / "side.json"
    path.write_bytes(b"garbage")
    append(store_of(root), "main", say("goes on"))
    manager_of(root).create_branch("other", "Other", "main")
    assert [len(branch.messages) for branch in snapshot(root).branches.values()] == [2, 2]
    assert path.read_bytes() == b"garbage"


@pytest.mark.parametrize("name", ["side.json", "HEAD", "operations.jsonl", "attic"])
def test_links_are_not_followed(root: Path, tmp_path: Path, name: str) -> None:
    """A symbolic link where a file should be is never followed out of the store, and stops nothing else."""
    before = snapshot(root)
    outside = tmp_path / "outside"
    path = root / SESSION / name
    shutil.move(path, outside)
    data = outside.read_bytes() if outside.is_file() else b""
    path.symlink_to(outside)
    listed = sorted(outside.iterdir()) if outside.is_dir() else []
    append(store_of(root), "main", say("goes on"))
    quietly_refused(lambda: manager_of(root).rename_branch("leaf", "New name"))
    quietly_refused(lambda: manager_of(root).delete_branch("leaf"))
    found = snapshot(root)
    assert found.branches["main"] == added_to(before, "main", [say("goes on")]).branches["main"]
    assert (outside.read_bytes() if outside.is_file() else b"") == data
    assert (sorted(outside.iterdir()) if outside.is_dir() else []) == listed


def test_a_lost_log_does_not_make_the_next_operation_be_skipped(root: Path) -> None:
    """Numbers go on behind those that stand in the documents; with a used number, redo would take it for done."""
    path = root / SESSION / "operations.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    for kept in (b"".join(whole[:2]), b""):
        path.write_bytes(kept)
        for name in ("One", "Two", "Three"):
            with manager_of(root) as manager:
                manager.rename_branch("main", f"{name} {len(kept)}")
            assert snapshot(root).branches["main"].name == f"{name} {len(kept)}"


def create(root: Path) -> None:
    manager_of(root).create_branch("new", "New", "leaf")


@pytest.mark.parametrize("tear", [prefixes, with_zeros, pages])
def test_a_torn_log(root: Path, tmp_path: Path, tear: Callable[[bytes, bytes], Iterator[bytes]]) -> None:
    """An operation whose entry is not whole did not happen, and the next one goes where it would have been."""
    with manager_of(root) as manager:
        manager.set_messages([*manager.get_messages(), say("m" * 2000)])
    before = snapshot(root)
    path = root / SESSION / "operations.jsonl"
    whole = path.read_bytes()
    old = b"".join(whole.splitlines(keepends=True)[:-1])
    document = (root / SESSION / "main.json").read_bytes()
    tears = [torn for torn in tear(old, whole) if torn != whole and not torn.startswith(whole)]
    for torn in tears[:: len(tears) // 60 + 1]:
        # The document as it was before that operation; the entry carries what it grew by.
        other = tmp_path / "copy"
        shutil.rmtree(other, ignore_errors=True)
        copy_tree(root, other)
        (other / SESSION / "operations.jsonl").write_bytes(torn)
        quietly(lambda: create(other))  # noqa: B023
        found = snapshot(other)
        assert found.branches.keys() == {*before.branches, "new"}
        assert [finding.problem for finding in store_of(other).load(SESSION).findings] == []
        assert {operation.number for operation in store_of(other).operations(SESSION)} >= {1, 2, 3}
    assert (root / SESSION / "main.json").read_bytes() == document


def test_a_tail_that_was_written_by_another_program_at_the_same_moment(root: Path) -> None:
    """A program that takes no lock rewrites a file that a store has just looked at."""
    store = store_of(root)
    append(store, "side", say("ours"))
    path = root / SESSION / "side.json"
    document = json.loads(path.read_bytes())
    document["messages"].append(say("theirs"))
    path.write_text(json.dumps(document), encoding="utf-8")
    store.commit(SESSION, Append(branch_id="side", messages=[b'{"n":1}']))
    texts = [json.loads(text) for text in snapshot(root).branches["side"].messages]
    assert texts[-3:] == [say("ours"), say("theirs"), {"n": 1}]


@pytest.mark.parametrize("look_first", [True, False])
def test_another_programs_edit_where_a_known_document_was_replaced(root: Path, look_first: bool) -> None:
    """What a store remembers of a file that another process has replaced since is no reason to fail."""
    store = store_of(root)
    state_of(store)  # it has seen all documents now
    manager_of(root).rename_branch("leaf", "Renamed")
    manager_of(root).create_branch("other", "Other")
    path = root / SESSION / "side.json"
    document = json.loads(path.read_bytes())
    document["messages"][1]["content"] = "edited elsewhere"
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    if look_first:
        assert state_of(store) == snapshot(root)
    append(store, "side", say("after that"))
    assert state_of(store) == snapshot(root)
    assert json.loads(snapshot(root).branches["side"].messages[-1]) == say("after that")


def test_a_replaced_file_of_the_same_size_and_inode(tmp_path: Path) -> None:
    """File systems give a freed inode to the next file, and clocks of files are coarse."""
    root = tmp_path / "store"
    writer, reader = manager_of(root), store_of(root)
    writer.add_messages([say("a"), say("b")])
    for n in range(300):
        writer.set_messages([say("a"), say(f"{n % 10}")])
        messages = state_of(reader).branches["main"].messages
        assert json.loads(messages[-1]) == say(f"{n % 10}")


def test_versions_are_compared_with_what_is_there(root: Path) -> None:
    """Two that read the same state: the second one's change is refused, not written over the first one's."""
    one, two = manager_of(root), manager_of(root)
    one.set_messages([say("one's")])
    with pytest.raises(BranchMovedError):
        two.set_messages([say("two's")])
    assert [json.loads(text) for text in snapshot(root).branches["main"].messages] == [say("one's")]
