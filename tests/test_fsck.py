"""fsck: every finding about what records mean, and a repair that saves what can be read and touches nothing else.

What a store finds in its bytes stands in the tests of that store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bough import codec, fsck, history
from bough.changes import change, put_again, put_new
from bough.errors import CorruptBranchError, SessionNotFoundError
from bough.manager import ConversationBranchManager as Manager
from bough.manager.upkeep import check_up
from bough.model import (
    BranchRecord,
    Drop,
    Edit,
    Finding,
    Graft,
    History,
    Message,
    Operation,
    Put,
    Tip,
    replace,
)
from bough.session import Session
from bough.stores import open_store
from bough.stores.base import Store
from bough.stores.memory import MemoryStore

TALK = "talk"


def say(*texts: str) -> list[Message]:
    return [{"role": "user", "content": text} for text in texts]


def texts(manager: Manager, branch_id: str) -> list[str]:
    return [message["content"] for message in manager.get_messages(branch_id)]


def problems(store: Store) -> list[tuple[str, str, str]]:
    return [(each.severity, each.place, each.problem) for each in fsck.examine(store, TALK)]


def record_of(store: Store, branch_id: str) -> BranchRecord:
    return store.load(TALK).branches[branch_id]


def put(store: Store, *puts: Put, **fields: Any) -> None:
    store.commit(TALK, change("set", *puts, **fields))


def everything(store: Store) -> tuple[Any, ...]:
    """All branches with their messages, HEAD, the log."""
    state = store.load(TALK)
    told: dict[str, Any] = {}
    for name, record in state.branches.items():
        try:
            told[name] = record, store.read(TALK, record.history)
        except CorruptBranchError as error:
            told[name] = record, error.reason
    return state.head, told, dict(state.attributes), list(store.operations(TALK))


@pytest.fixture
def memory() -> Iterator[MemoryStore]:
    """main: a b c; side: a b s, from main at 2; in a store that takes every record as it is."""
    store = MemoryStore()
    with Manager(TALK, store=store) as manager:
        manager.add_messages(say("a", "b", "c"))
        manager.fork_from_message("Side", 2)
        manager.add_messages(say("s"))
        manager.checkout("main")
    yield store
    store.close()


# -- what records mean -------------------------------------------------------------------------------------------------


def test_a_session_that_is_whole_has_no_findings(manager: Manager) -> None:
    manager.add_messages(say("a", "b", "c"))
    manager.fork("Side")
    manager.edit_message(1, say("B")[0])
    manager.tag("v1")
    manager.checkout("main")
    manager.merge("side", "three-way")
    manager.reset(1)
    manager.undo()
    manager.delete_branch("side")
    manager.set_session_metadata({"title": "t"})
    manager.gc(keep=timedelta())
    manager.purge("main:2")
    assert manager.fsck().findings == ()
    assert manager.fsck(repair=True).salvaged == ()


def test_parents_that_go_round_in_a_circle_are_told_once(manager: Manager) -> None:
    manager.create_branch("b", "b")
    manager.create_branch("c", "c", "b")
    store = manager.store
    put(store, put_again(record_of(store, "b"), parent_id="c", parent_message_index=0))
    assert problems(store) == [
        ("warning", "branch 'b'", "its parents go round in a circle: b → c → b"),
    ]
    put(store, put_again(record_of(store, "main"), parent_id="main", parent_message_index=0))
    assert [place for _, place, _ in problems(store)] == ["branch 'b'", "branch 'main'"]


def test_a_long_line_of_forks_is_no_circle(memory: MemoryStore) -> None:
    main = record_of(memory, "main")
    puts = [put_new(f"b{n:04}", "x", replace(main, id=f"b{n + 1:04}" if n < 2999 else "main")) for n in range(3000)]
    put(memory, *puts)
    assert problems(memory) == []


def test_a_parent_that_is_not_there(manager: Manager) -> None:
    manager.fork("Side")
    manager.fork("Grandchild")
    manager.delete_branch("side")
    [finding] = manager.fsck().findings
    assert (finding.severity, finding.problem) == ("note", "its parent 'side' is not there")
    assert (finding.branch_id, finding.advice.endswith("`bough branch restore side`")) == ("grandchild", True)


def test_two_branches_that_append_to_one_segment(memory: MemoryStore) -> None:
    main = record_of(memory, "main")
    put(memory, Put(record=replace(put_new("twin", "Twin", main).record, tip=main.tip), expected=None))
    assert problems(memory) == [("error", "branch 'twin'", "it appends to the same segment as branch 'main'")]
    with Manager(TALK, store=memory) as manager:
        assert manager.fsck(repair=True).salvaged == ("salvaged-twin",)
        assert texts(manager, "salvaged-twin") == ["a", "b", "c"]
        assert record_of(memory, "salvaged-twin").tip.segment != main.tip.segment


def test_an_edit_of_a_message_that_is_not_held(memory: MemoryStore) -> None:
    main = record_of(memory, "main")
    put(memory, put_again(main, edits=(Edit("elsewhere", 0, main.tip.segment, 1),)))
    assert problems(memory) == [("warning", "branch 'main'", "it has an edit of a message that it does not hold")]


def test_a_message_that_is_held_twice(memory: MemoryStore) -> None:
    main = record_of(memory, "main")
    put(memory, put_again(main, history=(*main.history, main.history[0]._replace(stop=1))))
    assert problems(memory) == [("warning", "branch 'main'", "it holds a message twice")]


def test_messages_that_were_never_written_are_found(memory: MemoryStore) -> None:
    side = record_of(memory, "side")
    beyond = replace(side, tip=Tip(side.tip.segment, 0))
    memory._sessions[TALK].snapshot.branches["side"] = beyond  # type: ignore[index]  # no commit would take it
    [finding] = fsck.examine(memory, TALK)
    assert finding.severity == "error"
    assert finding.problem == f"it holds messages of segment {side.tip.segment} from 0 on, where none are yet"


def test_clocks_that_were_wrong(memory: MemoryStore) -> None:
    main, side = record_of(memory, "main"), record_of(memory, "side")
    early, late = codec.now() - timedelta(days=1), codec.now() + timedelta(days=1)
    put(
        memory,
        Put(record=replace(main, updated_at=early), expected=main.version),
        Put(record=replace(side, updated_at=late), expected=side.version),
    )
    assert problems(memory) == [
        ("note", "branch 'main'", "it was changed before it was made: a clock was wrong"),
        ("note", "branch 'side'", "it was changed in the future: a clock is wrong"),
    ]


def logged(number: int, at: timedelta) -> Graft:
    operation = Operation(
        number=number,
        id=f"op{number}",
        kind="checkout",
        at=codec.now() + at,
        pid=1,
        hostname="h",
        head_before="main",
        head_after="main",
    )
    return Graft(operation=operation)


def test_an_operation_that_is_dated_later_than_the_next(store: Store) -> None:
    store.commit(TALK, change("init", put_new("main", "Main"), head="main"))
    store.commit(TALK, logged(2, timedelta(days=2)))
    store.commit(TALK, logged(3, timedelta()))
    [finding] = fsck.examine(store, TALK)
    assert (finding.severity, finding.place) == ("note", "operation 2")
    assert finding.problem.endswith("later than the one after it: a clock was wrong")
    store.commit(TALK, logged(4, timedelta(minutes=4)))  # that much clocks may differ
    store.commit(TALK, logged(5, timedelta()))
    assert len(list(fsck.examine(store, TALK))) == 1


def test_operations_out_of_order(memory: MemoryStore) -> None:
    session = memory._sessions[TALK]
    first, *rest = session.snapshot.operations
    object.__setattr__(session.snapshot, "operations", (*rest, first))
    assert [(severity, place) for severity, place, _ in problems(memory)] == [("error", "operation 1")]


def test_a_head_that_leads_nowhere(memory: MemoryStore) -> None:
    put(memory, head="gone")
    assert problems(memory) == [("warning", "HEAD", "it names branch 'gone', which is not there")]


def test_a_tag_that_is_none(manager: Manager) -> None:
    manager.add_messages(say("a"))
    put(manager.store, attributes={"tag:v1": {"branch": "main"}, "tag:v2": 7, "title": "t"})
    assert problems(manager.store) == [
        ("warning", "tag 'v1'", "what was written for it is no tag"),
        ("warning", "tag 'v2'", "what was written for it is no tag"),
    ]


def test_a_tag_whose_messages_are_gone_is_salvaged(memory: MemoryStore) -> None:
    with Manager(TALK, store=memory) as manager:
        manager.tag("v1", "side")
        manager.delete_branch("side")
        lose(memory, "s")
        [finding] = [each for each in manager.fsck().findings if each.severity == "error"]
        assert (finding.place, finding.problem) == ("tag 'v1'", "1 of its messages cannot be read")
        assert manager.fsck(repair=True).salvaged == ("salvaged-v1",)
        assert texts(manager, "salvaged-v1") == ["a", "b"]
        assert manager.fsck(repair=True).salvaged == ()


# -- repair ------------------------------------------------------------------------------------------------------------


class Damaged:
    """A store of whose messages some are lost; it says so as the real ones do."""

    def __init__(self, store: Store, branch_id: str, lost: History, *rescued: bytes) -> None:
        self._store = store
        self._findings = [
            Finding(place="here", problem="gone", branch_id=branch_id, history=lost, rescued=rescued),
            Finding(place="there", problem="gone too", branch_id=branch_id, history=lost),
        ]

    def verify(self, session_id: str) -> Iterator[Finding]:
        return iter(self._findings)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def lose(store: MemoryStore, text: str) -> None:
    """Takes a message out of the store, behind its back."""
    [line] = codec.encode_all(say(text))
    for log in store._sessions[TALK].segments.values():
        log[:] = [None if each == line else each for each in log]


def piece_of(store: Store, branch_id: str, index: int) -> History:
    return history.cut(record_of(store, branch_id).history, index, index + 1)


def test_a_repair_saves_what_can_be_read_of_every_branch_that_is_hurt(memory: MemoryStore) -> None:
    lost = piece_of(memory, "main", 1)
    lose(memory, "b")
    before = everything(memory)
    damaged = Damaged(memory, "main", lost)
    with Manager(TALK, store=damaged) as manager:
        checkup = manager.fsck(repair=True)
        assert checkup.salvaged == ("salvaged-main", "salvaged-side")
        assert [each.problem for each in checkup.findings] == ["gone", "gone too"]
        assert texts(manager, "salvaged-main") == ["a", "c"]
        assert texts(manager, "salvaged-side") == ["a", "s"]
        operations = list(manager.operations())
        assert [each.kind for each in operations[:2]] == ["salvage"] * 2
        assert manager.fsck(repair=True).salvaged == ()
        manager.checkout("salvaged-main")
        manager.add_messages(say("and on"))
        assert manager.fsck(repair=True).salvaged == ()
        manager.undo()  # of the checkout
    head, told, attributes, log = everything(memory)
    left = {name: each for name, each in told.items() if not name.startswith("salvaged-")}
    assert (head, left, attributes, log[4:]) == before


def test_a_repair_takes_what_the_store_rescued(memory: MemoryStore) -> None:
    lines = codec.encode_all(say("found", "again"))
    with Manager(TALK, store=Damaged(memory, "lost", (), *lines)) as manager:
        assert manager.fsck(repair=True).salvaged == ("salvaged-lost",)
        assert texts(manager, "salvaged-lost") == ["found", "again"]
        assert manager.fsck(repair=True).salvaged == ()
    other = codec.encode_all(say("found", "once more"))
    with Manager(TALK, store=Damaged(memory, "lost", (), *other)) as manager:
        assert manager.fsck(repair=True).salvaged == ("salvaged-lost-2",)


def test_messages_that_no_branch_has_are_saved(memory: MemoryStore) -> None:
    with Manager(TALK, store=memory) as manager:
        gone = record_of(memory, "side").history
        manager.delete_branch("side")
    with Manager(TALK, store=Damaged(memory, "side", gone)) as manager:
        assert manager.fsck(repair=True).salvaged == ("salvaged-side",)
        assert texts(manager, "salvaged-side") == ["a", "b", "s"]


def test_what_can_be_read_where_it_stands_is_not_copied(memory: MemoryStore) -> None:
    with Manager(TALK, store=Damaged(memory, "main", piece_of(memory, "main", 1))) as manager:
        checkup = manager.fsck(repair=True)
    assert checkup.salvaged == ()
    assert len(checkup.findings) == 2


def test_findings_are_told_as_they_are_found(memory: MemoryStore) -> None:
    put(memory, head="gone")
    told: list[Finding] = []
    with Manager(TALK, store=memory) as manager:
        assert manager.fsck(tell=told.append).findings == tuple(told)
    assert [each.place for each in told] == ["HEAD"]


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Manager(TALK, store=tmp_path / "store") as manager:
        manager.add_messages(say("a", "b", "c"))
        manager.fork_from_message("Side", 2)
        manager.add_messages(say("s"))
    return tmp_path / "store" / TALK


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("session.")
    }


def test_a_document_that_cannot_be_opened_is_rescued_and_left_as_it_is(folder: Path) -> None:
    document = folder / "main.json"
    torn = document.read_bytes().replace(b'{"id":"main"', b'{"id":7}"main"', 1)
    document.write_bytes(torn)
    before = contents(folder)
    with Manager(TALK, store=folder.parent, create=False) as manager:
        [finding] = [each for each in manager.fsck().findings if each.severity == "error"]
        assert finding.branch_id == "main"
        assert contents(folder) == before
        assert manager.fsck(repair=True).salvaged == ("salvaged-main",)
        assert texts(manager, "salvaged-main") == ["a", "b", "c"]
        assert document.read_bytes() == torn
        assert manager.fsck(repair=True).salvaged == ()
        assert manager.fsck().findings == (finding,)


# -- what can be read of a document, and what is elsewhere -------------------------------------------------------------


@pytest.fixture
def merged(tmp_path: Path) -> Path:
    """b: 0 1 2 b0 b1; main: 0 1 2 3 b0 b1 and appended since: 4."""
    with Manager(TALK, store=tmp_path / "store") as manager:
        manager.add_messages(say("0", "1", "2", "3"))
        manager.fork_from_message("b", 3)
        manager.add_messages(say("b0", "b1"))
        manager.checkout("main")
        manager.merge("b")
        manager.add_messages(say("4"))
        manager.set_session_metadata({"title": "t"})
    return tmp_path / "store" / TALK


def salvaged(folder: Path) -> dict[str, list[str]]:
    with Manager(TALK, store=folder.parent, create=False) as manager:
        made = {name: texts(manager, name) for name in manager.fsck(repair=True).salvaged}
        assert manager.fsck(repair=True).salvaged == ()
        return made


def cut_in_two(data: bytes) -> bytes:
    return data[: data.index(b"b1") - 30]


def break_third(data: bytes) -> bytes:
    rows = data.split(b"\n")
    rows[4] = b'{"role":"user","con'
    return b"\n".join(rows)


@pytest.mark.parametrize(
    ("damage", "left"),
    [
        (lambda data: b"", ["0", "1", "2", "b0", "b1"]),
        (lambda data: bytes(len(data)), ["0", "1", "2", "b0", "b1"]),
        (cut_in_two, ["0", "1", "2", "b0", "b1", "3"]),
        (break_third, ["0", "1", "2", "b0", "b1", "4"]),
    ],
    ids=["empty", "zeros", "cut", "garbage"],
)
def test_what_other_documents_hold_of_a_damaged_one_is_salvaged_too(
    merged: Path, damage: Callable[[bytes], bytes], left: list[str]
) -> None:
    document = merged / "main.json"
    document.write_bytes(damage(document.read_bytes()))
    [(name, held)] = salvaged(merged).items()
    assert (name, held) == ("salvaged-main", left)


def test_what_was_appended_to_a_lost_branch_and_merged_is_salvaged(merged: Path) -> None:
    (merged / "b.json").unlink()
    assert salvaged(merged) == {"salvaged-b": ["0", "1", "2", "b0", "b1"]}


def test_a_session_without_documents_is_salvaged_from_what_was_set_aside(merged: Path) -> None:
    with Manager(TALK, store=merged.parent) as manager:
        manager.set_messages(say("anew"))
    for document in merged.glob("*.json"):
        document.unlink()
    store = open_store(merged.parent)
    for create in (True, False):
        with pytest.raises(CorruptBranchError, match="the documents of this session are gone") as caught:
            Manager(TALK, store=store, create=create)
        assert "bough fsck --repair" in (caught.value.hint or "")
    checkup = check_up(Session(store, TALK), repair=True)
    assert {each.branch_id for each in checkup.findings if each.severity == "error"} == {"main", "b"}
    with Manager(TALK, store=store, create=False) as manager:
        assert {name: texts(manager, name) for name in checkup.salvaged}["salvaged-b"] == ["0", "1", "2", "b0", "b1"]
    assert check_up(Session(store, TALK), repair=True).salvaged == ()
    store.close()


def test_a_session_whose_only_branch_was_dropped_is_no_damage(store: Store) -> None:
    with Manager(TALK, store=store):
        main = record_of(store, "main")
    store.commit(TALK, change("drop", drops=(Drop(branch_id="main", expected=main.version),)))
    assert store.load(TALK).branches == {}
    with pytest.raises(SessionNotFoundError):
        Manager(TALK, store=store, create=False)
    with Manager(TALK, store=store) as manager:
        manager.add_message(say("a")[0])
        assert texts(manager, "main") == ["a"]
        assert [each for each in manager.fsck().findings if each.severity != "note"] == []


def test_each_thing_is_found_once(folder: Path) -> None:
    (folder / "copy.json").write_bytes((folder / "side.json").read_bytes())
    (folder / "HEAD").write_bytes(b"garbage")
    store = open_store(folder.parent)
    found = problems(store)
    assert len(found) == len(set(found)) == 2, found
    store.close()


def test_a_branch_that_was_lost_and_made_anew_is_told(folder: Path) -> None:
    (folder / "main.json").unlink()
    with Manager(TALK, store=folder.parent) as manager:
        number = next(manager.operations()).number
        [finding] = manager.fsck().findings
    assert (finding.severity, finding.branch_id) == ("note", "main")
    assert finding.problem == f"operation {number} made it anew: its document, as operation 1 left it, was lost"
