"""Another program on the same files, in turns with us: a real one, in Node, that knows nothing of histories.

We go on from what we find. What it left alone keeps its identity, so that merges repeat nothing; what it changed is
new; the next writer notes that, once, as ``external-edit``; and it reads whatever we write.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from other_program_kit import (
    NODE,
    CodeBuddy,
    everything,
    identities,
    kinds,
    open_session,
    record,
    say,
    texts,
)

from bough.codec import same_in_javascript
from bough.errors import BranchMovedError, BranchNotFoundError, CorruptBranchError
from bough.manager import ConversationBranchManager
from bough.stores.json_files import JsonFilesStore

needs_node = pytest.mark.skipif(NODE is None, reason="Node is not installed")


@pytest.fixture
def buddy(tmp_path: Path) -> Iterator[CodeBuddy]:
    """At work on the session ``talk``."""
    with CodeBuddy(tmp_path / "talk") as buddy:
        yield buddy


def plain(branch_id: str, *messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    at = "2026-11-20T10:00:00.000Z"
    document = {"id": branch_id, "name": branch_id, "createdAt": at, "updatedAt": at, "messages": list(messages)}
    return document | more


def write(root: Path, *documents: dict[str, Any], session: str = "talk") -> None:
    """As the other program writes, where no Node is needed for it."""
    folder = root / session
    folder.mkdir(exist_ok=True)
    for document in documents:
        (folder / f"{document['id']}.json").write_text(json.dumps(document, indent=2, ensure_ascii=False))


# -- a folder of theirs ------------------------------------------------------------------------------------------------


@needs_node
def test_a_folder_that_only_the_other_program_wrote(tmp_path: Path) -> None:
    unknown = {"model": {"name": "m", "weights": [1, 2.5]}, "pinned": True, "none": None}
    child, grandchild = "branch_1732_AbC", "branch_1733_xYz"
    with CodeBuddy(tmp_path / "Work_AbC") as buddy:
        told = [{"role": "user", "content": "a", "toolCalls": [{"deep": {"odd key ☃": 1}}]}, *say("b", "c", "d")]
        meta = {"summary": "s", "tags": ["x", {"y": None}]}
        buddy("put", {"id": "main", "name": "Main conversation", "messages": told, "metadata": meta, **unknown})
        buddy("create", child, "A try", "main", 3)
        buddy("append", child, *say("its own"))
        buddy("create", grandchild, "Another", child)
        buddy("append", grandchild, *say("deeper"))
    before = everything(tmp_path)

    store = JsonFilesStore(tmp_path)
    assert store.sessions() == ["Work_AbC"]
    with ConversationBranchManager("Work_AbC", store=store, create=False) as manager:
        assert manager.get_current_branch_id() == "main"
        assert manager.get_messages() == told
        assert texts(manager, grandchild) == ["a", "b", "c", "its own", "deeper"]
        assert [branch.id for branch in manager.get_branch_history(grandchild)] == ["main", child, grandchild]
        assert record(manager, "main").extra == unknown
        assert record(manager, "main").metadata == meta
        assert identities(manager, child)[:3] == identities(manager)[:3]
        assert identities(manager, grandchild)[:4] == identities(manager, child)
        assert manager.format_branch_tree().count("\n") == 2
        assert store.load("Work_AbC").findings == ()
        assert everything(tmp_path) == before  # whoever only looks writes nothing

        assert manager.merge(grandchild).added == 2
        assert manager.merge(child).added == 0
        assert texts(manager) == ["a", "b", "c", "d", "its own", "deeper"]
        manager.add_messages(say("ours"))
        manager.checkout(child)
        manager.add_messages(say("to the child"))
        assert manager.merge("main").added == 3
        assert kinds(manager) == ["external-edit", "merge", "checkout", "merge"]
    names = sorted(path.name for path in (tmp_path / "Work_AbC").glob("*.json"))
    assert names == [f"{child}.json", f"{grandchild}.json", "main.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["Work_AbC"]

    with CodeBuddy(tmp_path / "Work_AbC") as buddy:
        seen = buddy("read")
    assert seen["main"] | unknown == seen["main"]
    assert seen["main"]["metadata"] == meta
    assert seen["main"]["messages"][0] == told[0]
    assert seen[child]["metadata"] == {"from": "code-buddy"}
    assert (seen[child]["parentId"], seen[child]["parentMessageIndex"]) == ("main", 3)


@pytest.mark.parametrize(
    ("child", "shared"),
    [
        (plain("c", *say("1", "2", "3", "4", "own"), parentId="main", parentMessageIndex=4), 4),
        (plain("c", *say("1", "2", "3", "4", "own"), parentId="main"), 4),
        (plain("c", *say("1", "2", "3", "4", "own"), parentId="main", parentMessageIndex=2), 2),
        (plain("c", *say("1", "2", "other", "4"), parentId="main", parentMessageIndex=4), 2),
        (plain("c", *say("1", "2"), parentId="main", parentMessageIndex=99), 2),
        (plain("c", *say("1", "2"), parentId="main", parentMessageIndex=-1), 0),
        (plain("c", *say("1", "2"), parentId="main", parentMessageIndex=0), 0),
        (plain("c", *say("0", "2"), parentId="main", parentMessageIndex=2), 0),
        (plain("c", *say("1", "2"), parentId="nowhere"), 0),
        (plain("c", *say("1", "2"), parentId="c"), 0),
        (plain("c", *say("1", "2"), parentId=7, parentMessageIndex="2"), 0),
        (plain("c", parentId="main"), 0),
    ],
)
@pytest.mark.parametrize("parent_is_ours", [False, True])
def test_a_child_shares_what_equals_its_parent(
    tmp_path: Path, child: dict[str, Any], shared: int, parent_is_ours: bool
) -> None:
    if parent_is_ours:
        with open_session(tmp_path) as manager:
            manager.add_messages(say("1", "2", "3", "4", "5"))
    else:
        write(tmp_path, plain("main", *say("1", "2", "3", "4", "5")))
    write(tmp_path, child)
    with open_session(tmp_path) as manager:
        common = [a == b for a, b in zip(identities(manager, "c"), identities(manager), strict=False)]
        assert common == [True] * shared + [False] * (len(common) - shared)
        assert manager.merge("c").added == len(child["messages"]) - shared
        assert manager.merge("c").added == 0
        manager.checkout("c")
        assert manager.merge("main").added == 5 - shared


def test_cousins_share_what_came_from_their_grandparent(tmp_path: Path) -> None:
    write(
        tmp_path,
        plain("zz-root", *say("1", "2", "3")),
        plain("main", *say("1", "2", "3", "m"), parentId="zz-root", parentMessageIndex=3),
        plain("a-leaf", *say("1", "2", "x"), parentId="main", parentMessageIndex=2),
        plain("b-leaf", *say("1", "2", "3", "m", "y"), parentId="main", parentMessageIndex=4),
    )
    with open_session(tmp_path) as manager:
        manager.checkout("a-leaf")
        assert manager.merge("b-leaf").added == 3
        assert manager.merge("zz-root").added == 0
        assert texts(manager) == ["1", "2", "x", "3", "m", "y"]


# -- a folder of ours --------------------------------------------------------------------------------------------------


@needs_node
def test_the_other_program_reads_what_we_wrote(tmp_path: Path, buddy: CodeBuddy) -> None:
    odd = {"role": "user", "content": "emoji 🌳, \u2028, \u0000, \ud7ff, " + '"],\n],"updatedAt":"'}
    with open_session(tmp_path) as manager:
        manager.add_messages([*say("a", "b"), odd])
        manager.create_branch("empty", "Nothing yet")
        manager.fork_from_message('Odd "name" \n 🌳', 2)
        manager.add_message({"n": 2**200, "f": 5.0, "z": -0.0})
        manager.merge("main")
        manager.create_branch("gone", "Gone", "main")
        manager.delete_branch("gone")
        manager.rename_branch("empty", "Empty")
        manager.undo()
        current = manager.get_current_branch_id()
        branches = {branch.id: branch for branch in manager.get_all_branches()}
        messages = {name: manager.get_messages(name) for name in branches}
    seen = buddy("read")
    assert seen.keys() == branches.keys() == {"main", "empty", current}
    for name, branch in branches.items():
        assert seen[name]["name"] == branch.name
        assert seen[name].get("parentId") == branch.parent_id
        assert seen[name].get("parentMessageIndex") == branch.parent_message_index
        assert seen[name]["createdAt"] == branch.created_at.isoformat("T", "milliseconds")[:-6] + "Z"
        assert seen[name]["updatedAt"] is not None  # an invalid date has no ISO text: JSON has null for it
        assert len(seen[name]["messages"]) == len(messages[name])
        assert all(map(same_in_javascript, seen[name]["messages"], messages[name]))
    other = {path.name for path in (tmp_path / "talk").rglob("*")} - {f"{name}.json" for name in seen}
    assert {"HEAD", "operations.jsonl", "attic", "session.lock.guard"} <= other
    assert [name for name in other if name.endswith(".json")] == []


# -- turns -------------------------------------------------------------------------------------------------------------


@needs_node
def test_an_append_of_theirs_keeps_every_identity_before_it(tmp_path: Path, buddy: CodeBuddy) -> None:
    with open_session(tmp_path) as manager:
        manager.add_messages(say("a", "b"))
        known = identities(manager)
        for turn in range(6):
            buddy("append", "main", *say(f"theirs {turn}"))
            assert identities(manager)[: len(known)] == known
            assert len(set(identities(manager))) == len(known) + 1
            theirs = identities(manager)
            before = everything(tmp_path)
            assert texts(manager)[-1] == f"theirs {turn}"
            assert texts(open_session(tmp_path)) == texts(manager)
            assert identities(open_session(tmp_path)) == theirs  # every reader names it alike …
            assert everything(tmp_path) == before
            manager.add_messages(say(f"ours {turn}"))
            known = identities(manager)
            assert known[:-1] == theirs  # … and so does the writer who records it
            assert kinds(manager) == ["init", *["external-edit"] * (turn + 1)]
            assert buddy("read")["main"]["messages"] == manager.get_messages()
        manager.add_messages(say("and once more"))
        assert kinds(manager).count("external-edit") == 6
    assert len(known) == 14


@needs_node
def test_merges_with_older_forks_repeat_nothing(tmp_path: Path, buddy: CodeBuddy) -> None:
    with open_session(tmp_path) as manager:
        manager.add_messages(say("1", "2", "3"))
        fork = manager.fork("Side").id
        manager.create_branch("third", "Third", "main")
        manager.add_messages(say("s"))
        manager.checkout("main")
        known = identities(manager)
        buddy("append", "main", *say("4"))
        buddy("append", fork, *say("t"))
        assert manager.merge(fork).added == 2
        assert texts(manager) == ["1", "2", "3", "4", "s", "t"]
        buddy("edit", "main", 1, *say("2, edited"))
        assert identities(manager)[0] == known[0]
        assert identities(manager)[1] not in known
        buddy("truncate", fork, 4)
        assert identities(manager, fork)[:3] == known
        manager.checkout(fork)
        buddy("touch", fork)
        assert manager.merge("main").added == len({"2, edited", "3", "4", "s", "t"})
        assert manager.merge("main").added == 0


@needs_node
def test_an_edit_is_new_and_what_is_before_it_is_not(tmp_path: Path, buddy: CodeBuddy) -> None:
    with open_session(tmp_path) as manager:
        manager.add_messages(say("1", "2", "3", "4"))
        manager.create_branch("side", "Side", "main")
        known = identities(manager)
        buddy("edit", "main", 2, *say("three"))
        after = identities(manager)
        assert after[:2] == known[:2]
        assert not set(after[2:]) & set(known)
        assert texts(manager, "side") == ["1", "2", "3", "4"]
        assert identities(manager, "side") == known
        buddy("truncate", "main", 2)
        assert identities(manager) == known[:2]
        buddy("append", "main", *say("3, anew"))
        assert identities(manager)[:2] == known[:2]
        manager.add_messages(say("ours"))
        assert identities(manager)[:2] == known[:2]
        assert len(set(identities(manager)) | set(known)) == 6
        assert kinds(manager) == ["init", "create", "external-edit"]
        assert texts(manager) == ["1", "2", "3, anew", "ours"]


@needs_node
def test_many_random_turns(tmp_path: Path, buddy: CodeBuddy) -> None:
    """We and they do whatever comes; what is there is at each turn what a plain dict of lists says."""
    chance = random.Random(20261120)
    with open_session(tmp_path) as manager:
        expected: dict[str, list[str]] = {"main": []}
        for turn in range(60):
            name = chance.choice(sorted(expected))
            here = expected[name]
            at = chance.randint(0, len(here))
            match chance.choice(["append", "edit", "truncate", "create", "touch", "add", "fork", "merge", "undo"]):
                case "append":
                    buddy("append", name, *say(f"their {turn}"))
                    here.append(f"their {turn}")
                case "edit" if at < len(here):
                    buddy("edit", name, at, *say(f"edit {turn}"))
                    here[at] = f"edit {turn}"
                case "truncate":
                    buddy("truncate", name, at)
                    del here[at:]
                case "create" if len(expected) < 6:
                    buddy("create", f"branch_{turn}_X", "Theirs", name, at)
                    expected[f"branch_{turn}_X"] = here[:at]
                case "touch":
                    buddy("touch", name)
                case "fork" if len(expected) < 6:
                    manager.checkout(name)
                    expected[manager.fork_from_message("Ours", at).id] = here[:at]
                case "merge" if len(expected) > 1:
                    manager.checkout(name)
                    source = chance.choice(sorted(expected.keys() - {name}))
                    mine, its = identities(manager, name), identities(manager, source)
                    new = [text for text, who in zip(expected[source], its, strict=True) if who not in mine]
                    assert manager.merge(source).added == len(new)
                    assert manager.merge(source).added == 0
                    here += new
                case _:
                    manager.checkout(name)
                    manager.add_messages(say(f"our {turn}"))
                    here.append(f"our {turn}")
            assert {branch.id: texts(manager, branch.id) for branch in manager.get_all_branches()} == expected
            with open_session(tmp_path) as fresh:
                assert {name: texts(fresh, name) for name in expected} == expected
        seen = buddy("read")
        assert {name: [each["content"] for each in seen[name]["messages"]] for name in seen} == expected
        numbers = [operation.number for operation in manager.store.operations("talk")]
        assert numbers == list(range(len(numbers), 0, -1))
        assert manager.store.load("talk").findings == ()


@needs_node
def test_all_that_they_changed_is_recorded_exactly_once(tmp_path: Path, buddy: CodeBuddy) -> None:
    with open_session(tmp_path) as manager:
        manager.add_messages(say("a"))
        manager.create_branch("side", "Side", "main")
        manager.create_branch("third", "Third")
        buddy("append", "main", *say("b"))
        buddy("append", "side", *say("c"))
        buddy("create", "fourth", "Fourth", "main", 1)
        manager.checkout("third")
        manager.add_messages(say("ours"))
        manager.checkout("side")
        manager.add_messages(say("ours"))
        manager.checkout("main")
        manager.add_messages(say("ours"))
        manager.checkout("fourth")
        manager.add_messages(say("ours"))
        [edit] = [each for each in manager.store.operations("talk") if each.kind == "external-edit"]
        assert sorted(change.id for change in edit.branches) == ["fourth", "main", "side"]
        before = {change.id: change.before for change in edit.branches}
        assert before["fourth"] is None
        assert before["side"] is not None
        assert edit.head_before == edit.head_after == "side"


def test_what_they_changed_is_recorded_once_while_others_look(tmp_path: Path) -> None:
    """Other threads of the process look at the very files that are being taken over."""
    write(tmp_path, *(plain(f"b{n}", *say("x", str(n)), parentId="main") for n in range(200)), plain("main", *say("x")))
    done = threading.Event()
    counts: list[int] = []

    def look() -> None:
        while not done.is_set():
            counts.append(len(manager.store.load("talk").branches))

    with open_session(tmp_path) as manager:
        threads = [threading.Thread(target=look) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            manager.add_messages(say("ours"))
        finally:
            done.set()
            for thread in threads:
                thread.join()
        manager.checkout("b7")
        manager.add_messages(say("ours"))
        assert kinds(manager) == ["external-edit", "checkout"]
    assert set(counts) == {201}
    assert list((tmp_path / "talk").glob("*.json.*.new")) == []


@needs_node
def test_a_branch_that_they_delete_and_make_anew(tmp_path: Path, buddy: CodeBuddy) -> None:
    with open_session(tmp_path) as manager:
        manager.add_messages(say("a", "b"))
        manager.create_branch("side", "Side", "main")
        manager.checkout("side")
        manager.add_messages(say("c"))
        known = identities(manager)
        buddy("remove", "side")
        assert [branch.id for branch in manager.get_all_branches()] == ["main"]
        with pytest.raises(BranchNotFoundError):
            manager.add_messages(say("lost?"))
        with pytest.raises(BranchNotFoundError):
            manager.get_messages()
        with open_session(tmp_path) as fresh:
            assert fresh.get_current_branch_id() == "main"
        assert buddy("create", "side", "Side", "main", 2) == 2
        assert identities(manager, "side") == known[:2]
        manager.add_messages(say("d"))
        assert texts(manager) == ["a", "b", "d"]
        assert identities(manager, "side")[2] not in known
        buddy("remove", "main")
        manager.checkout("side")
        assert texts(manager) == ["a", "b", "d"]
    with open_session(tmp_path) as manager:
        assert manager.get_current_branch_id() == "side"
        assert texts(manager, "main") == []


# -- what was read and not yet recorded -------------------------------------------------------------------------------


@needs_node
@pytest.mark.parametrize("ours_first", [False, True])
@pytest.mark.parametrize("index", [0, 2])
def test_an_edit_after_we_looked_is_not_written_over(
    tmp_path: Path, buddy: CodeBuddy, ours_first: bool, index: int
) -> None:
    """Their branch was read and not recorded; then they change a message of it. Its length stays."""
    if ours_first:
        with open_session(tmp_path) as manager:
            manager.add_messages(say("1", "2"))
        buddy("append", "main", *say("3"))
    else:
        buddy("put", plain("main", *say("1", "2", "3")))
    with open_session(tmp_path) as manager:
        mine = manager.get_messages()
        seen = identities(manager)
        buddy("edit", "main", index, *say("theirs"))
        assert identities(manager)[index] != seen[index]
        with pytest.raises(BranchMovedError):
            manager.set_messages([*mine, *say("4")])
        assert texts(manager)[index] == "theirs"
        manager.set_messages([*manager.get_messages(), *say("4")])
        assert texts(manager)[index:][-1] == "4"


@needs_node
def test_a_branch_that_was_read_follows_an_edit_of_its_parent(tmp_path: Path, buddy: CodeBuddy) -> None:
    """An identity never stands for two messages, whoever was read first, and however long the process lives."""
    buddy("put", plain("p", *say("1", "2", "3")))
    buddy("create", "main", "Child", "p")
    buddy("create", "z", "Grandchild", "main")
    with open_session(tmp_path) as manager:
        assert identities(manager) == identities(manager, "p") == identities(manager, "z")
        buddy("edit", "p", 1, *say("edited"))
        assert texts(manager, "z") == ["1", "2", "3"]
        held = {name: list(zip(identities(manager, name), texts(manager, name), strict=True)) for name in "pz"}
        held["main"] = list(zip(identities(manager, "main"), texts(manager, "main"), strict=True))
        pairs = {pair for each in held.values() for pair in each}
        assert len({identity for identity, _ in pairs}) == len(pairs)
        with open_session(tmp_path) as fresh:
            assert [identities(fresh, name) for name in held] == [identities(manager, name) for name in held]
        manager.add_messages(say("ours"))
        assert texts(manager, "p") == texts(open_session(tmp_path), "p") == ["1", "edited", "3"]
        assert manager.merge("z").added == 0
        assert manager.merge("p").added == 2


@needs_node
def test_what_they_take_back_is_another_branch_of_time(tmp_path: Path, buddy: CodeBuddy) -> None:
    """They write over what we appended, with what they had read before: positions are not given out twice."""
    with open_session(tmp_path) as manager:
        manager.add_messages(say("1"))
        old = (tmp_path / "talk" / "main.json").read_bytes()
        given = set(identities(manager))
        for turn in range(3):
            manager.add_messages(say(f"ours {turn}"))
            assert identities(manager)[-1] not in given
            given |= set(identities(manager))
            (tmp_path / "talk" / "main.json").write_bytes(old)
            buddy("touch", "main")
            assert texts(manager) == ["1"]
            manager.add_messages(say("again"))
            assert identities(manager)[-1] not in given
            given |= set(identities(manager))


# -- values that JavaScript changes -----------------------------------------------------------------------------------

AWKWARD: list[dict[str, Any]] = [
    {"content": 5.0},
    {"content": 2**60},
    {"content": [-0.0, 0.0, 1e21, 1e-7, 123456789012345680000, 0.1]},
    {"b": 1, "2": "two", "1": "one", "content": {"z": 1, "10": 2, "9": 3}},
    {"content": "🌳 \u2028 \u2029 \u0000 \u007f é e\u0301 \\ / </script>"},
    {"": "", "__proto__": {"constructor": 1}, "content": None},
    {"content": [[], {}, [[[]]], True, False]},
    {"content": 2**53 + 1},
]


@needs_node
@pytest.mark.parametrize("message", AWKWARD)
def test_values_that_javascript_changes_keep_their_identity(
    tmp_path: Path, buddy: CodeBuddy, message: dict[str, Any]
) -> None:
    """Where another document still holds them: it says what they were."""
    with open_session(tmp_path) as manager:
        manager.add_messages([*say("before"), message, *say("after")])
        manager.fork("Side")
        known = identities(manager)
        for turn in range(2):
            buddy("append", "main", *say(f"theirs {turn}"))
            assert identities(manager, "main")[:3] == known
        manager.checkout("main")
        manager.add_messages(say("ours"))
        assert identities(manager)[:3] == known
        assert manager.merge("side").added == 0
        manager.checkout("side")
        assert manager.get_messages()[1] == message
        assert json.dumps(manager.get_messages()[1]) == json.dumps(message)
        assert manager.merge("main").added == 3


@pytest.mark.parametrize(
    ("old", "new"), [(5.0, 6), (2**60, 2**60 + 512), ("1", 1), (True, 1), (None, 0), ("é", "e\u0301"), ([1], {"0": 1})]
)
def test_what_is_not_equal_in_javascript_is_new(tmp_path: Path, old: object, new: object) -> None:
    with open_session(tmp_path) as manager:
        manager.add_messages([*say("a"), {"content": old}])
        manager.create_branch("side", "Side", "main")
        known = identities(manager)
        document = json.loads((tmp_path / "talk" / "main.json").read_bytes())
        document["messages"][1]["content"] = new
        write(tmp_path, document)
        assert [mine == its for mine, its in zip(identities(manager), known, strict=True)] == [True, False]
        assert manager.merge("side").added == 1


@needs_node
def test_lone_surrogates_of_theirs_survive(tmp_path: Path, buddy: CodeBuddy) -> None:
    """No character of Unicode, but JavaScript has strings of them, and writes them as escapes."""
    half: dict[str, Any] = {"content": "\ud800", "\udfff": [{"deep": "a\udc00b"}]}
    buddy("put", plain("main", *say("a"), half, odd="\udbff", metadata={"m": "\udbff"}))
    with open_session(tmp_path) as manager:
        assert manager.get_messages()[1] == half
        known = identities(manager)
        manager.add_messages(say("ours"))
        manager.fork("Side")
        assert manager.get_messages()[1] == half
        buddy("append", "side", *say("theirs"))
        assert identities(manager)[:2] == known
        manager.set_messages([*manager.get_messages(), *say("and ours")])
        assert identities(manager)[:2] == known
        assert record(manager, "main").extra == {"odd": "\udbff"}
    seen = buddy("read")
    assert [each["messages"][1] for each in seen.values()] == [half, half]
    assert seen["main"]["metadata"] == {"m": "\udbff"}


# -- other layouts -----------------------------------------------------------------------------------------------------

DOCUMENT = plain("side", *say("1", "2", "3"), parentId="main", parentMessageIndex=2, metadata={"k": [1]}, odd={"a": 1})

LAYOUTS: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "minified": lambda document: json.dumps(document, separators=(",", ":")).encode(),
    "spaces": lambda document: json.dumps(document).encode(),
    "newline": lambda document: json.dumps(document, indent=2).encode() + b"\n",
    "tabs": lambda document: json.dumps(document, indent="\t").encode(),
    "crlf": lambda document: json.dumps(document, indent=4).replace("\n", "\r\n").encode(),
    "cr": lambda document: json.dumps(document, indent=4).replace("\n", "\r").encode(),
    "bom": lambda document: b"\xef\xbb\xbf" + json.dumps(document, indent=2).encode(),
    "blanks": lambda document: b" \n\t" + json.dumps(document, indent=2).encode() + b" \r\n\t \n" * 5,
    "backwards": lambda document: json.dumps(dict(reversed(document.items())), indent=2).encode(),
    "sorted": lambda document: json.dumps(document, sort_keys=True).encode(),
    "escaped": lambda document: json.dumps(document).replace("user", "\\u0075ser").encode(),
    "by message": lambda document: json.dumps(document).replace(', {"role', ',\n{"role').encode(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_opens(tmp_path: Path, layout: str) -> None:
    with open_session(tmp_path) as manager:
        manager.add_messages(say("1", "2"))
    path = tmp_path / "talk" / "side.json"
    path.write_bytes(LAYOUTS[layout](DOCUMENT))
    with open_session(tmp_path) as manager:
        branch = record(manager, "side")
        assert (branch.parent_id, branch.parent_message_index, branch.metadata) == ("main", 2, {"k": [1]})
        assert branch.extra == {"odd": {"a": 1}}
        assert identities(manager, "side")[:2] == identities(manager)
        manager.checkout("side")
        manager.add_messages(say("4"))
        assert texts(manager) == ["1", "2", "3", "4"]
    again = json.loads(path.read_bytes())
    assert again["odd"] == {"a": 1}
    path.write_bytes(LAYOUTS[layout](again))
    with open_session(tmp_path) as manager:
        known = identities(manager)
        manager.add_messages(say("5"))
        assert identities(manager)[:4] == known
        assert texts(manager) == ["1", "2", "3", "4", "5"]
        assert kinds(manager).count("external-edit") == 2
        assert manager.merge("main").added == 0


@pytest.mark.parametrize(
    "document",
    [
        {"id": "side", "messages": say("x")},
        plain("side", *say("x"), metadata=None, parentId=None, parentMessageIndex=None),
        plain("side", *say("x"), createdAt="yesterday", updatedAt=""),
        plain("side", *say("x"), createdAt="+275760-09-13T00:00:00.000Z", updatedAt="2026-11-20T10:00:00+13:00"),
        plain("side", *say("x"), createdAt=None, updatedAt=1732000000000, name=""),
        plain("side", *say("x"), history=[["a", 0, None]], tip=["a"], operation="7", digest=5, extent={}),
        plain("side", *say("x"), history=[["a", 0, 1]], tip=["a", 1], operation=1, digest="blake2b:", extent=[1, 9]),
        plain("side", *say("x"), history=[["a", 0, None]], tip=["a", 1], operation=77, digest="", extent=[1, 9]),
        plain("side", *say("x"), history=None, tip=None, operation=-3, digest=None, extent=None, append=None),
        plain("side", *say("x"), history=[["\ud800", 0, 1]], tip=['"', 1], operation=0, digest="x", extent=[1, 9]),
    ],
)
@pytest.mark.parametrize("main_is_there", [False, True])
def test_keys_that_are_missing_or_of_another_kind(
    tmp_path: Path, document: dict[str, Any], main_is_there: bool
) -> None:
    if main_is_there:
        open_session(tmp_path).close()
    (tmp_path / "talk").mkdir(exist_ok=True)
    (tmp_path / "talk" / "side.json").write_text(json.dumps(document))
    with open_session(tmp_path) as manager:
        manager.checkout("side")
        assert manager.get_current_branch().created_at.utcoffset() is not None
        manager.add_messages(say("y"))
        manager.rename_branch("side", "New name")
        manager.fork("Leaf")
        assert texts(manager) == ["x", "y"]
        manager.merge("main")
        assert manager.undo().kind == "fork"
        manager.undo()
    with open_session(tmp_path) as manager:
        assert texts(manager, "side") == ["x", "y"]
        assert json.loads((tmp_path / "talk" / "side.json").read_bytes())["messages"] == say("x", "y")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_document_without_messages(tmp_path: Path, layout: str) -> None:
    (tmp_path / "talk").mkdir()
    path = tmp_path / "talk" / "main.json"
    path.write_bytes(LAYOUTS[layout](plain("main")))
    with open_session(tmp_path) as manager:
        assert texts(manager) == []
        manager.add_messages(say("1"))
    path.write_bytes(LAYOUTS[layout](json.loads(path.read_bytes()) | {"messages": []}))
    with open_session(tmp_path) as manager:
        assert texts(manager) == []
        manager.add_messages(say("2"))
        assert texts(manager) == ["2"]


@pytest.mark.parametrize("size", [1, 3000])
def test_an_edit_in_our_own_layout(tmp_path: Path, size: int) -> None:
    """Somebody's editor: the file stays as long as it was, only its digest tells."""
    root, known = edited_in_our_layout(tmp_path, size)
    with open_session(root) as manager:
        assert texts(manager)[1] == "another 0"
        manager.add_messages(say("ours"))
        assert not set(identities(manager)) & set(known)  # no other document says which of them are known
        assert texts(manager) == ["first", "another 0", *(f"message {n}" for n in range(1, size)), "last", "ours"]
        assert kinds(manager) == ["init", "external-edit"]


@pytest.mark.parametrize("size", [1, 3000])
def test_an_edit_in_our_own_layout_of_what_is_shared(tmp_path: Path, size: int) -> None:
    root, known = edited_in_our_layout(tmp_path, size, share=True)
    with open_session(root) as manager:
        assert texts(manager)[1] == "another 0"
        manager.add_messages(say("ours"))
        assert identities(manager)[0] == known[0]
        assert identities(manager)[1] not in known
        assert texts(manager, "side")[1] == "message 0"


def edited_in_our_layout(root: Path, size: int, *, share: bool = False) -> tuple[Path, list[tuple[str, int]]]:
    """A session in whose main the second message was edited in place, and the identities it had before."""
    with open_session(root) as manager:
        manager.add_messages(say("first", *(f"message {n}" for n in range(size))))
        manager.add_messages(say("last"))  # whose checksum on the closing line does not speak of the others
        if share:
            manager.create_branch("side", "Side", "main")
        known = identities(manager)
    path = root / "talk" / "main.json"
    path.write_bytes(path.read_bytes().replace(b'"message 0"', b'"another 0"'))
    return root, known


# -- names -------------------------------------------------------------------------------------------------------------


@needs_node
def test_a_second_file_for_a_branch_of_ours_with_capitals(tmp_path: Path, buddy: CodeBuddy) -> None:
    """Our name for it is another one than theirs, so that two files say they are the branch. One counts; both stay."""
    with open_session(tmp_path) as manager:
        manager.create_branch("Feature", "F")
        buddy("append", "Feature", *say("theirs"))
        state = manager.store.load("talk")
        [finding] = state.findings
        assert finding.place.endswith("Feature.json")
        assert state.branches["Feature"].length == 0
        theirs = (tmp_path / "talk" / "Feature.json").read_bytes()
        manager.checkout("Feature")
        manager.add_messages(say("ours"))
        assert (tmp_path / "talk" / "Feature.json").read_bytes() == theirs


def test_a_session_folder_that_appears_while_we_look(tmp_path: Path) -> None:
    store = JsonFilesStore(tmp_path)
    assert store.load("Work").branches == {}
    write(tmp_path, plain("main", *say("theirs")), session="Work")
    with ConversationBranchManager("Work", store=store, create=False) as manager:
        assert texts(manager) == ["theirs"]
        manager.add_messages(say("ours"))
    assert [path.name for path in tmp_path.iterdir()] == ["Work"]


@pytest.mark.parametrize("session", ["My Work", "a~b", "ünï", "100%", "con"])
def test_a_session_folder_of_any_name(tmp_path: Path, session: str) -> None:
    write(tmp_path, plain("main", *say("theirs")), session=session)
    assert JsonFilesStore(tmp_path).sessions() == [session]
    with open_session(tmp_path, session) as manager:
        manager.add_messages(say("ours"))
        assert texts(manager) == ["theirs", "ours"]
    assert JsonFilesStore(tmp_path).sessions() == [session]


def test_nothing_that_is_not_a_branch_gets_in_the_way(tmp_path: Path) -> None:
    write(tmp_path, plain("main", *say("a")))
    (tmp_path / "talk" / "index.json").write_text('{"version": 1, "sessions": []}')
    (tmp_path / "talk" / "list.json").write_text("[]")
    (tmp_path / "talk" / "notes.txt").write_text("mine")
    (tmp_path / "talk" / "main.json.bak").write_text("mine")
    with open_session(tmp_path) as manager:
        manager.add_messages(say("b"))
        manager.fork("Side")
        assert len(manager.store.load("talk").findings) == 2
        with pytest.raises(CorruptBranchError):
            manager.get_messages("index")
    assert (tmp_path / "talk" / "index.json").read_text() == '{"version": 1, "sessions": []}'
    assert (tmp_path / "talk" / "notes.txt").read_text() == "mine"


def test_known_keys_of_an_unknown_shape_survive_a_rewrite(tmp_path: Path) -> None:
    folder = tmp_path / "talk"
    folder.mkdir()
    strange = {"parentId": 7, "parentMessageIndex": "three", "metadata": ["a", "list"]}
    theirs = {"id": "main", "name": "Main", "messages": [], "createdAt": "2026-01-01T00:00:00.000Z", **strange}
    (folder / "main.json").write_text(json.dumps(theirs))
    with ConversationBranchManager("talk", store=tmp_path) as manager:
        manager.add_message({"role": "user", "content": "hello"})
        manager.rename_branch("main", "Renamed")
    written = json.loads((folder / "main.json").read_text())
    assert {key: written[key] for key in strange} == strange
    assert len(written["messages"]) == 1
