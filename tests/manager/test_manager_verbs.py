"""Every row of the API table: what it does, what it gives back, and how it refuses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
from manager_kit import kinds, say, texts

from bough import get_branch_manager, reset_branch_manager
from bough.changes import change, put_new
from bough.errors import (
    BranchExistsError,
    BranchNotFoundError,
    InvalidIdError,
    InvalidMessageError,
    InvalidRequestError,
    ProtectedBranchError,
    SessionNotFoundError,
    StoreUnavailableError,
    UnsupportedFormatError,
)
from bough.manager import ConversationBranchManager
from bough.model import Version
from bough.stores import open_store
from bough.stores.base import Store
from bough.stores.memory import MemoryStore
from bough.testing.contract import AWKWARD_MESSAGES, StoreFactory

# -- opening and closing -----------------------------------------------------------------------------------------------


def test_a_new_session_gets_a_main_branch(store: Store) -> None:
    manager = ConversationBranchManager(store=store)
    assert manager.session_id == "default"
    branch = manager.get_current_branch()
    assert (branch.id, branch.name, branch.parent_id, branch.parent_message_index) == (
        "main",
        "Main conversation",
        None,
        None,
    )
    assert (len(branch.messages), branch.version, branch.metadata) == (0, Version(1, 0), None)
    assert store.load("default").head == "main"
    assert kinds(manager) == ["init"]


def test_opening_again_changes_nothing(manager: ConversationBranchManager, store: Store) -> None:
    before = store.load("talk")
    ConversationBranchManager("talk", store=store)
    assert store.load("talk") == before


def test_who_only_looks_makes_no_session(store: Store) -> None:
    with pytest.raises(SessionNotFoundError) as caught:
        ConversationBranchManager("nobody", store=store, create=False)
    assert caught.value.session_id == "nobody"
    assert store.sessions() == []


def test_who_only_looks_sees_what_is_there(manager: ConversationBranchManager, store: Store) -> None:
    manager.add_messages(say("hi"))
    assert texts(ConversationBranchManager("talk", store=store, create=False)) == ["hi"]


@pytest.mark.parametrize("session_id", ["", "a\0b", "x" * 513, "\ud800", 7])
def test_a_session_needs_a_possible_id(store: Store, session_id: Any) -> None:
    with pytest.raises(InvalidIdError):
        ConversationBranchManager(session_id, store=store)


def test_the_current_branch_lasts(store_factory: StoreFactory) -> None:
    with ConversationBranchManager("talk", store=store_factory()) as manager:
        manager.fork("Other")
    assert ConversationBranchManager("talk", store=store_factory()).get_current_branch_id() == "other"


def test_a_session_without_main_gets_one_and_stays_where_it_was(store: Store) -> None:
    store.commit("talk", change("create", put_new("side", "Side"), head="side"))
    manager = ConversationBranchManager("talk", store=store)
    assert manager.get_current_branch_id() == "side"
    assert {branch.id for branch in manager.get_all_branches()} == {"main", "side"}


def test_without_a_head_main_is_current_or_else_the_newest(store: Store) -> None:
    store.commit("talk", change("create", put_new("old", "Old")))
    store.commit("talk", change("create", put_new("new", "New")))
    assert ConversationBranchManager("talk", store=store, create=False).get_current_branch_id() == "new"
    assert ConversationBranchManager("talk", store=store).get_current_branch_id() == "main"


def test_a_store_is_opened_by_path_and_closed_by_the_manager(tmp_path: Path) -> None:
    for url in (tmp_path / "a", str(tmp_path / "b"), f"json:{tmp_path / 'c'}"):
        with ConversationBranchManager("talk", store=url) as manager:
            manager.add_messages(say("hi"))
            store = manager.store
        with pytest.raises(StoreUnavailableError):
            store.sessions()
        assert texts(ConversationBranchManager("talk", store=url)) == ["hi"]
    with pytest.raises(UnsupportedFormatError):
        ConversationBranchManager("talk", store="ftp:somewhere")


def test_a_store_that_was_given_stays_open(store: Store) -> None:
    manager = ConversationBranchManager("talk", store=store)
    manager.close()
    manager.close()
    assert store.sessions() == ["talk"]
    verbs: list[Callable[[], object]] = [
        manager.get_current_branch,
        manager.get_all_branches,
        manager.undo,
        lambda: manager.add_message({}),
    ]
    for verb in verbs:
        with pytest.raises(StoreUnavailableError):
            verb()


# -- messages ----------------------------------------------------------------------------------------------------------


def test_messages_come_back_exactly_and_as_copies(manager: ConversationBranchManager) -> None:
    for message in AWKWARD_MESSAGES:
        manager.add_message(message)
    given = manager.get_messages()
    assert given == AWKWARD_MESSAGES
    assert [list(message) for message in given] == [list(message) for message in AWKWARD_MESSAGES]
    given[2]["z"] = "changed"
    assert manager.get_messages() == AWKWARD_MESSAGES


def test_a_part_of_the_messages_as_python_slices(manager: ConversationBranchManager) -> None:
    manager.add_messages(say(*"abcdef"))
    all_of_them = manager.get_messages()
    for start in (-20, -3, 0, 2, 6, 20):
        for stop in (None, -20, -1, 0, 4, 20):
            assert manager.get_messages(start=start, stop=stop) == all_of_them[start:stop]


def test_adding_gives_the_version_and_is_no_operation(manager: ConversationBranchManager) -> None:
    assert manager.add_message({"n": 1}) == Version(1, 1)
    assert manager.add_messages([{"n": 2}, {"n": 3}]) == Version(1, 3)
    assert manager.add_messages([]) == Version(1, 3)
    assert kinds(manager) == ["init"]


def test_one_bad_message_and_none_is_written(manager: ConversationBranchManager) -> None:
    with pytest.raises(InvalidMessageError) as caught:
        manager.add_messages([{"n": 1}, {"n": [float("nan")]}])
    assert (caught.value.index, caught.value.path) == (1, ".n[0]")
    with pytest.raises(InvalidMessageError):
        manager.add_message({"n": {1: 2}})
    assert manager.get_messages() == []


def test_a_manager_sees_what_another_wrote(manager: ConversationBranchManager, store_factory: StoreFactory) -> None:
    other = ConversationBranchManager("talk", store=store_factory())
    other.add_messages(say("from the other"))
    manager.add_messages(say("from this"))
    assert texts(manager) == texts(other) == ["from the other", "from this"]
    other.create_branch("new", "New")
    assert {branch.id for branch in manager.get_all_branches()} == {"main", "new"}


@pytest.mark.parametrize("branch_id", ["unknown", "x/../y"])
def test_reading_an_unknown_branch(manager: ConversationBranchManager, branch_id: str) -> None:
    for verb in (manager.get_messages, manager.checkout, manager.get_branch_history, manager.merge):
        with pytest.raises(BranchNotFoundError) as caught:
            verb(branch_id)
        assert (caught.value.session_id, caught.value.branch_id) == ("talk", branch_id)


def test_an_impossible_branch_id_is_named(manager: ConversationBranchManager) -> None:
    verbs = (manager.get_messages, manager.checkout, manager.merge, manager.delete_branch, manager.get_branch_history)
    for verb in verbs:
        with pytest.raises(InvalidIdError):
            verb("a\0b")
    with pytest.raises(InvalidIdError):
        manager.rename_branch("", "Name")
    with pytest.raises(InvalidIdError):
        manager.create_branch("x" * 513, "Name")
    with pytest.raises(InvalidIdError):
        manager.create_branch("fine", "Name", "\ud800")


# -- branches ----------------------------------------------------------------------------------------------------------


def test_create_branch_holds_the_parents_beginning_and_does_not_switch(manager: ConversationBranchManager) -> None:
    manager.add_messages(say(*"abc"))
    whole = manager.create_branch("whole", "Whole", "main")
    part = manager.create_branch("part", "Part", "main", 2)
    none = manager.create_branch("none", "None of it", "main", 0)
    alone = manager.create_branch("alone", "Alone")
    assert [texts(manager, each.id) for each in (whole, part, none, alone)] == [["a", "b", "c"], ["a", "b"], [], []]
    assert [each.parent_message_index for each in (whole, part, none, alone)] == [3, 2, 0, None]
    assert [each.parent_id for each in (whole, part, none, alone)] == ["main", "main", "main", None]
    assert manager.get_current_branch_id() == "main"
    assert kinds(manager) == ["init", *["create"] * 4]


def test_create_branch_refuses(manager: ConversationBranchManager) -> None:
    manager.add_messages(say("a"))
    with pytest.raises(BranchExistsError):
        manager.create_branch("main", "Again")
    with pytest.raises(BranchNotFoundError):
        manager.create_branch("new", "New", "unknown")
    for index in (-1, 2, True, 1.0):
        with pytest.raises(InvalidRequestError):
            manager.create_branch("new", "New", "main", index)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError):
        manager.create_branch("new", "New", parent_message_index=0)
    assert kinds(manager) == ["init"]


def test_fork_takes_all_and_switches(manager: ConversationBranchManager) -> None:
    manager.add_messages(say("a", "b"))
    branch = manager.fork("Try it!")
    assert (branch.id, branch.name, branch.parent_id, branch.parent_message_index) == ("try-it", "Try it!", "main", 2)
    assert manager.get_current_branch_id() == manager.store.load("talk").head == "try-it"
    manager.add_messages(say("c"))
    assert (texts(manager), texts(manager, "main")) == (["a", "b", "c"], ["a", "b"])
    assert kinds(manager) == ["init", "fork"]


def test_fork_from_message(manager: ConversationBranchManager) -> None:
    manager.add_messages(say("a", "b"))
    assert list(manager.fork_from_message("Begin", 0).messages) == []
    manager.checkout("main")
    assert manager.fork_from_message("Middle", 1).messages == say("a")
    for index in (-1, 2):
        with pytest.raises(InvalidRequestError):
            manager.fork_from_message("Outside", index)
    assert manager.get_current_branch_id() == "middle"


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("Try it", ["try-it", "try-it-2", "try-it-3"]),
        ("main", ["main-2", "main-3"]),
        ("会話", ["会話", "会話-2"]),
        ("Café déjà vu", ["café-déjà-vu"]),
        ("Ｆｕｌｌ １", ["full-1"]),
        ("हिन्दी?", ["हिन्दी"]),
        ("¨ ❤️ 1️⃣", ["1"]),
        ("❤️", ["branch", "branch-2"]),
        ("漢" * 60, ["漢" * 40]),
        ("../../etc", ["etc", "etc-2"]),
        ("x" * 39 + " y", ["x" * 39]),
        ("x" * 60, ["x" * 40, "x" * 40 + "-2"]),
    ],
)
def test_the_id_of_a_fork_is_made_from_its_name(manager: ConversationBranchManager, name: str, ids: list[str]) -> None:
    assert [manager.fork(name).id for _ in ids] == ids


@pytest.mark.parametrize("name", ["", "x" * 513, "a\0b", "\ud800", None])
def test_a_branch_needs_a_possible_name(manager: ConversationBranchManager, name: Any) -> None:
    verbs: list[Callable[[], object]] = [
        lambda: manager.fork(name),
        lambda: manager.fork_from_message(name, 0),
        lambda: manager.create_branch("new", name),
        lambda: manager.rename_branch("main", name),
    ]
    for verb in verbs:
        with pytest.raises(InvalidRequestError, match="cannot be a name"):
            verb()
    assert kinds(manager) == ["init"]


def test_checkout_switches_for_good(manager: ConversationBranchManager, store_factory: StoreFactory) -> None:
    manager.create_branch("other", "Other")
    assert manager.checkout("other").id == "other"
    manager.add_messages(say("there"))
    assert (texts(manager, "other"), texts(manager, "main")) == (["there"], [])
    assert ConversationBranchManager("talk", store=store_factory()).get_current_branch_id() == "other"
    manager.checkout("other")
    assert kinds(manager) == ["init", "create", "checkout"]


def test_anothers_checkout_moves_head_but_not_this_manager(
    manager: ConversationBranchManager, store_factory: StoreFactory
) -> None:
    other = ConversationBranchManager("talk", store=store_factory())
    other.fork("Elsewhere")
    manager.add_messages(say("still here"))
    assert texts(manager, "main") == ["still here"]
    manager.checkout("main")
    assert manager.store.load("talk").head == "main"
    assert other.get_current_branch_id() == "elsewhere"


def test_delete_leaves_the_children_whole(manager: ConversationBranchManager) -> None:
    manager.add_messages(say("a"))
    manager.fork("Parent")
    manager.add_messages(say("b"))
    manager.fork("Child")
    manager.add_messages(say("c"))
    manager.delete_branch("parent")
    assert manager.get_current_branch_id() == "child"
    assert texts(manager) == ["a", "b", "c"]
    assert [branch.id for branch in manager.get_branch_history("child")] == ["child"]


def test_deleting_the_current_branch_leads_to_main(manager: ConversationBranchManager) -> None:
    manager.fork("Gone")
    manager.delete_branch("gone")
    assert manager.get_current_branch_id() == manager.store.load("talk").head == "main"
    assert kinds(manager) == ["init", "fork", "delete"]
    with pytest.raises(BranchNotFoundError):
        manager.delete_branch("gone")
    with pytest.raises(ProtectedBranchError):
        manager.delete_branch("main")


def test_a_current_branch_that_another_deleted_is_missed(
    manager: ConversationBranchManager, store_factory: StoreFactory
) -> None:
    manager.fork("Gone")
    ConversationBranchManager("talk", store=store_factory()).delete_branch("gone")
    with pytest.raises(BranchNotFoundError):
        manager.add_messages(say("lost?"))
    manager.checkout("main")
    manager.add_messages(say("no"))
    assert texts(manager) == ["no"]


def test_rename(manager: ConversationBranchManager) -> None:
    assert manager.rename_branch("main", "Other name").name == "Other name"
    assert manager.get_current_branch().name == "Other name"
    assert manager.rename_branch("main", "Other name").name == "Other name"
    assert kinds(manager) == ["init", "rename"]
    with pytest.raises(BranchNotFoundError):
        manager.rename_branch("unknown", "Name")


def test_get_all_branches_has_the_newest_change_first(manager: ConversationBranchManager) -> None:
    manager.create_branch("a", "A")
    manager.create_branch("b", "B")
    manager.rename_branch("a", "A again")
    branches = manager.get_all_branches()
    assert {branch.id for branch in branches} == {"main", "a", "b"}
    keys = [(branch.updated_at, branch.version.operation) for branch in branches]
    assert keys == sorted(keys, reverse=True)
    assert keys[0][1] == 4


def test_get_branch_history_goes_from_the_root(manager: ConversationBranchManager) -> None:
    manager.fork("One")
    manager.fork("Two")
    assert [branch.id for branch in manager.get_branch_history("two")] == ["main", "one", "two"]
    assert [branch.id for branch in manager.get_branch_history("main")] == ["main"]


def test_the_tree_and_its_text(manager: ConversationBranchManager) -> None:
    manager.add_messages(say("a", "b"))
    manager.fork_from_message("One", 1)
    manager.fork("Under one")
    manager.checkout("main")
    manager.fork("Two")
    [root] = manager.get_branch_tree()
    assert root.branch.id == "main"
    assert [(child.branch.id, [each.branch.id for each in child.children]) for child in root.children] == [
        ("one", ["under-one"]),
        ("two", []),
    ]
    assert manager.format_branch_tree() == (
        "main “Main conversation”, 2 messages\n"
        "├── one “One”, 1 message, from main at 1\n"
        "│   └── under-one “Under one”, 1 message, from one at 1\n"
        "└── two “Two”, 2 messages, from main at 2 *"
    )
    lines = manager.format_branches().split("\n")
    assert "* two “Two”, 2 messages, from main at 2" in lines
    assert "  main “Main conversation”, 2 messages" in lines
    assert len(lines) == 4


# -- values ------------------------------------------------------------------------------------------------------------


def test_a_branch_is_a_value_that_never_changes(manager: ConversationBranchManager) -> None:
    manager.add_messages(say("a"))
    before = manager.get_current_branch()
    assert before.created_at.tzinfo is UTC
    assert timedelta() <= before.updated_at - before.created_at < timedelta(minutes=1)
    manager.add_messages(say("b"))
    manager.rename_branch("main", "Renamed")
    assert (before.name, list(before.messages)) == ("Main conversation", say("a"))
    with pytest.raises(AttributeError):
        before.name = "other"  # type: ignore[misc]


class ReadCounter(MemoryStore):
    """Counts the messages it was asked for."""

    asked = 0

    def read(self, session_id: str, history: Any) -> list[dict[str, Any]]:
        messages = super().read(session_id, history)
        self.asked += len(messages)
        return messages


def test_messages_are_read_when_asked_for_and_no_others() -> None:
    store = ReadCounter()
    manager = ConversationBranchManager("talk", store=store)
    manager.add_messages([{"n": number} for number in range(2500)])
    messages = manager.get_current_branch().messages
    assert (len(messages), repr(messages), bool(messages), store.asked) == (2500, "<2500 messages>", True, 0)
    assert (messages[7], messages[-1], store.asked) == ({"n": 7}, {"n": 2499}, 2)
    assert (messages[10:12], store.asked) == ([{"n": 10}, {"n": 11}], 4)
    assert (messages[5:0:-2], store.asked) == ([{"n": 5}, {"n": 3}, {"n": 1}], 7)
    assert (messages[9:3], messages[5000:], store.asked) == ([], [], 7)
    assert (next(iter(messages)), store.asked) == ({"n": 0}, 1007)
    assert manager.get_messages(start=-20)[0] == {"n": 2480}
    assert store.asked == 1027
    assert [message["n"] for message in messages] == list(range(2500))
    assert messages == manager.get_current_branch().messages == list(messages)
    assert messages != list(messages)[:-1]
    for outside in (2500, -2501):
        with pytest.raises(IndexError):
            messages[outside]


def test_the_lock_lets_this_managers_own_commits_through(manager: ConversationBranchManager) -> None:
    with manager.lock(), manager.lock():
        manager.add_messages(say("a"))
        manager.fork("Inside")
    assert texts(manager) == ["a"]


def test_the_shared_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    try:
        first = get_branch_manager()
        assert first.session_id == "default"
        assert get_branch_manager() is get_branch_manager("default") is first
        second = get_branch_manager("other")
        assert (second.session_id, get_branch_manager()) == ("other", second)
        with pytest.raises(StoreUnavailableError):
            first.get_current_branch()
        reset_branch_manager()
        with pytest.raises(StoreUnavailableError):
            second.get_current_branch()
        assert get_branch_manager().session_id == "default"
        assert open_store().sessions() == ["default", "other"]
    finally:
        reset_branch_manager()
