"""set_messages: what keeps its identity, and when it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from manager_kit import kinds, say, texts

from bough.errors import BranchMovedError, BranchNotFoundError, InvalidMessageError
from bough.history import identity
from bough.manager import ConversationBranchManager
from bough.model import Version
from bough.testing.contract import StoreFactory


@pytest.fixture
def other(manager: ConversationBranchManager, store_factory: StoreFactory) -> ConversationBranchManager:
    """Another process's manager of the same session."""
    return ConversationBranchManager("talk", store=store_factory())


def identities(manager: ConversationBranchManager) -> list[tuple[str, int]]:
    record = manager.store.load("talk").branches[manager.get_current_branch_id()]
    return [identity(record.history, index) for index in range(record.length)]


@pytest.mark.parametrize(
    ("before", "after", "kept_front", "kept_back"),
    [
        ("abc", "abcd", 3, 0),
        ("abc", "ab", 2, 0),
        ("abc", "bc", 0, 2),
        ("abc", "aXc", 1, 1),
        ("abc", "aXYZc", 1, 1),
        ("abc", "ac", 1, 1),
        ("abc", "", 0, 0),
        ("abc", "xyz", 0, 0),
        ("", "abc", 0, 0),
        ("aa", "aaa", 2, 0),
        ("aaa", "aa", 2, 0),
        ("aba", "a", 1, 0),
    ],
)
def test_what_is_equal_at_both_ends_keeps_its_identity(
    manager: ConversationBranchManager, before: str, after: str, kept_front: int, kept_back: int
) -> None:
    manager.add_messages(say(*before))
    old = identities(manager)
    version = manager.set_messages(say(*after))
    new = identities(manager)
    assert "".join(texts(manager)) == after
    assert version == Version(2, len(after)) == manager.get_current_branch().version
    assert new[:kept_front] == old[:kept_front]
    assert new[len(new) - kept_back :] == old[len(old) - kept_back :]
    between = new[kept_front : len(new) - kept_back]
    assert not set(between) & set(old)
    assert len(set(new)) == len(new)


def test_the_same_list_again_is_no_operation(manager: ConversationBranchManager) -> None:
    manager.add_messages(say("a", "b"))
    assert manager.set_messages(manager.get_messages()) == Version(1, 2)
    assert kinds(manager) == ["init"]


@pytest.mark.parametrize(("held", "given"), [(1, True), (1, 1.0), (0.0, -0.0), (0, False), ("é", "e\u0301")])
def test_equal_means_the_same_encoding_and_not_pythons_equality(
    manager: ConversationBranchManager, held: Any, given: Any
) -> None:
    manager.add_message({"v": held})
    manager.set_messages([{"v": given}])
    assert repr(manager.get_messages()) == repr([{"v": given}])
    manager.set_messages([{"v": given, "w": 1}])
    manager.set_messages([{"w": 1, "v": given}])
    assert list(manager.get_messages()[0]) == ["w", "v"]
    assert kinds(manager) == ["init", "set", "set", "set"]


def test_an_agent_passes_its_whole_list_each_turn(manager: ConversationBranchManager) -> None:
    messages: list[dict[str, Any]] = []
    for turn in range(5):
        messages += say(f"question {turn}", f"answer {turn}")
        manager.set_messages(messages)
    segment = manager.store.load("talk").branches["main"].tip.segment
    assert identities(manager) == [(segment, position) for position in range(10)]


def test_a_message_that_was_not_seen_is_never_overwritten(
    manager: ConversationBranchManager, other: ConversationBranchManager
) -> None:
    manager.add_messages(say("a"))
    mine = manager.get_messages()
    other.add_messages(say("b"))
    with pytest.raises(BranchMovedError) as caught:
        manager.set_messages([*mine, *say("c")])
    assert (caught.value.session_id, caught.value.branch_id) == ("talk", "main")
    assert texts(manager) == ["a", "b"]
    manager.set_messages([*manager.get_messages(), *say("c")])
    assert texts(other) == ["a", "b", "c"]


def test_an_append_on_top_of_an_unseen_message_does_not_make_it_seen(
    manager: ConversationBranchManager, other: ConversationBranchManager
) -> None:
    other.add_messages(say("unseen"))
    manager.add_messages(say("mine"))
    with pytest.raises(BranchMovedError):
        manager.set_messages(say("mine"))
    assert texts(manager) == ["unseen", "mine"]


@pytest.mark.parametrize("verb", ["merge", "undo"])
def test_nor_does_another_change_on_top_of_it(
    manager: ConversationBranchManager, other: ConversationBranchManager, verb: str
) -> None:
    manager.create_branch("source", "Source")
    manager.checkout("source")
    manager.add_messages(say("s"))
    manager.checkout("main")
    manager.set_messages(say("a"))
    other.add_messages(say("unseen"))
    _ = manager.merge("source") if verb == "merge" else manager.undo()
    with pytest.raises(BranchMovedError):
        manager.set_messages(say("a"))


def test_anothers_rename_is_no_reason_to_refuse(
    manager: ConversationBranchManager, other: ConversationBranchManager
) -> None:
    manager.add_messages(say("a"))
    other.rename_branch("main", "Renamed")
    manager.set_messages(say("a", "b"))
    assert (texts(manager), manager.get_current_branch().name) == (["a", "b"], "Renamed")


def test_anothers_set_is(manager: ConversationBranchManager, other: ConversationBranchManager) -> None:
    manager.add_messages(say("a"))
    other.get_messages()
    other.set_messages(say("b"))
    with pytest.raises(BranchMovedError):
        manager.set_messages(say("a", "c"))


@pytest.mark.parametrize("look", ["open", "get_messages", "get_current_branch", "checkout", "fork", "add", "set"])
def test_what_counts_as_seen(
    manager: ConversationBranchManager, other: ConversationBranchManager, store_factory: StoreFactory, look: str
) -> None:
    manager.create_branch("new", "New")
    other.checkout("new")
    other.add_messages(say("a"))
    if look == "open":
        manager = ConversationBranchManager("talk", store=store_factory())
    else:
        manager.checkout("new")
    if look in ("get_messages", "get_current_branch", "fork"):
        other.add_messages(say("b"))
        _ = manager.get_messages(start=-1) if look == "get_messages" else manager.get_current_branch()
    if look == "fork":
        manager.fork("Fork")
    elif look == "add":
        manager.add_messages(say("b"))
    elif look == "set":
        manager.set_messages(say("b"))
    manager.set_messages(say("c"))
    assert texts(manager) == ["c"]


def test_expected_names_one_version(manager: ConversationBranchManager, other: ConversationBranchManager) -> None:
    first = manager.add_messages(say("a"))
    other.add_messages(say("b"))
    with pytest.raises(BranchMovedError):
        manager.set_messages(say("c"), expected=first)
    seen = other.get_current_branch().version
    second = manager.set_messages(say("c"), expected=seen)
    assert texts(manager) == ["c"]
    other.rename_branch("main", "Renamed")
    with pytest.raises(BranchMovedError):
        manager.set_messages(say("d"), expected=second)
    assert texts(manager) == ["c"]


def test_refused_input_changes_nothing(manager: ConversationBranchManager, other: ConversationBranchManager) -> None:
    manager.fork("Gone")
    manager.add_messages(say("a"))
    with pytest.raises(InvalidMessageError) as caught:
        manager.set_messages([*say("a", "b"), {"n": float("inf")}])
    assert caught.value.index == 2
    with pytest.raises(InvalidMessageError) as caught:
        manager.set_messages([*say("a"), {"text": "\ud800"}])
    assert (caught.value.index, texts(manager)) == (1, ["a"])
    other.delete_branch("gone")
    with pytest.raises(BranchNotFoundError):
        manager.set_messages(say("a"))
