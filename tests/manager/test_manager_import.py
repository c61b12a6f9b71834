"""Bringing branches in: what they share is stored once, again adds nothing, and what is there is never lost."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from manager_kit import kinds, say

from bough.errors import InvalidIdError, InvalidMessageError, InvalidRequestError
from bough.imports import ImportResult, IncomingBranch, IncomingMessage
from bough.manager import ConversationBranchManager
from bough.testing.contract import StoreFactory


def path(branch_id: str, keys: str, name: str = "Name") -> IncomingBranch:
    """A branch whose messages say their key in lower case, so ``a`` and ``A`` are two messages of one content."""
    messages = [IncomingMessage(key, {"text": key.lower()}) for key in keys]
    return IncomingBranch(id=branch_id, name=name, messages=messages)


def shown(manager: ConversationBranchManager) -> dict[str, str]:
    return {branch.id: "".join(message["text"] for message in branch.messages) for branch in manager.get_all_branches()}


def stored(manager: ConversationBranchManager) -> int:
    """How many messages were ever given a place."""
    return sum(record.tip.next for record in manager.store.load("talk").branches.values())


TREE = [path("main", "abcd"), path("one", "abx"), path("two", "abxy"), path("root", "r"), path("part", "ab")]


def test_what_branches_share_is_stored_once(manager: ConversationBranchManager) -> None:
    assert manager.import_branches(TREE) == ImportResult(branches=4, messages=7, operation=2)
    assert shown(manager) == {"main": "abcd", "one": "abx", "two": "abxy", "root": "r", "part": "ab"}
    assert stored(manager) == 7
    parents = {branch.id: (branch.parent_id, branch.parent_message_index) for branch in manager.get_all_branches()}
    assert parents == {
        "main": (None, None),
        "one": ("main", 2),
        "two": ("one", 3),
        "root": (None, None),
        "part": ("main", 2),
    }
    manager.checkout("two")
    assert manager.merge("main").added == 2
    assert kinds(manager) == ["init", "import", "checkout", "merge"]


def test_messages_of_equal_content_and_other_keys_stay_apart(manager: ConversationBranchManager) -> None:
    manager.import_branches([path("main", "ab"), path("twin", "aB")])
    assert stored(manager) == 3
    assert manager.merge("twin").added == 1
    assert manager.import_branches([path("twin", "aB")]).operation is None


def test_again_adds_nothing(manager: ConversationBranchManager, store_factory: StoreFactory) -> None:
    manager.import_branches(TREE)
    before = manager.store.load("talk")
    again = ConversationBranchManager("talk", store=store_factory()).import_branches(TREE)
    assert again == ImportResult(branches=0, messages=0, operation=None)
    assert manager.store.load("talk") == before


def test_a_grown_tree_adds_what_is_new(manager: ConversationBranchManager) -> None:
    manager.import_branches(TREE)
    grown = [path("main", "abcdef"), *TREE[1:], path("three", "abxyz")]
    result = manager.import_branches(grown)
    assert (result.branches, result.messages) == (1, 3)
    assert shown(manager) == {branch.id: "".join(str(key) for key in branch.keys) for branch in grown}
    assert manager.get_branch_history("three")[-2].id == "two"
    assert manager.import_branches(grown).operation is None


def test_what_was_added_here_meanwhile_stays(manager: ConversationBranchManager) -> None:
    manager.import_branches([path("main", "ab")])
    manager.add_message({"text": "!"})
    assert manager.import_branches([path("main", "abc"), path("side", "abcd")]).messages == 2
    assert shown(manager) == {"main": "ab!c", "side": "abcd"}
    assert manager.import_branches([path("main", "abc"), path("side", "abcd")]).operation is None


def test_held_is_what_a_branch_holds_in_that_order(manager: ConversationBranchManager) -> None:
    manager.import_branches([path("main", "bxa")])
    again = [path("main", "ab")]
    assert manager.import_branches(again).messages == 1
    assert shown(manager) == {"main": "bxab"}
    assert manager.import_branches(again).operation is None


def test_labels_go_to_what_is_new_or_empty(manager: ConversationBranchManager) -> None:
    born = datetime(2020, 1, 2, tzinfo=UTC)
    [message] = path("main", "a").messages
    incoming = [
        IncomingBranch(id=each, name="Title", messages=[message], metadata={"lang": "en"}, created_at=born)
        for each in ("main", "side")
    ]
    manager.import_branches(incoming)
    for branch in manager.get_all_branches():
        assert (branch.name, branch.metadata, branch.created_at) == ("Title", {"lang": "en"}, born)
        assert branch.updated_at > born
    manager.rename_branch("main", "Mine")
    manager.import_branches([path("main", "ab", name="Other")])
    assert manager.get_current_branch().name == "Mine"
    assert manager.get_current_branch().metadata == {"lang": "en"}


def test_undo_takes_the_whole_import_back(manager: ConversationBranchManager) -> None:
    before = manager.get_current_branch()
    manager.import_branches(TREE)
    assert manager.undo().kind == "import"
    [after] = manager.get_all_branches()
    assert (after.name, list(after.messages), after.metadata) == (before.name, [], None)
    assert manager.import_branches(TREE).branches == 4


def test_a_lone_surrogate_of_another_program_is_kept(manager: ConversationBranchManager) -> None:
    message = IncomingMessage(1, {"text": "cut emoji \ud83d"})
    incoming = [IncomingBranch(id="main", name="Name", messages=[message])]
    manager.import_branches(incoming)
    assert manager.get_messages() == [{"text": "cut emoji \ud83d"}]
    assert manager.import_branches(incoming).operation is None
    manager.set_messages([*manager.get_messages(), {"text": "more"}])
    assert len(manager.get_messages()) == 2


def test_refusals_leave_everything_as_it_was(manager: ConversationBranchManager) -> None:
    manager.add_messages(say("something else"))
    before = manager.store.load("talk")
    with pytest.raises(InvalidRequestError, match="another conversation"):
        manager.import_branches([path("new", "a"), path("main", "ab")])
    with pytest.raises(InvalidRequestError, match="same id"):
        manager.import_branches([path("new", "a"), path("new", "b")])
    with pytest.raises(InvalidRequestError, match="twice"):
        manager.import_branches([path("new", "aba")])
    with pytest.raises(InvalidRequestError, match="name"):
        manager.import_branches([path("new", "a", name="")])
    with pytest.raises(InvalidIdError):
        manager.import_branches([path("", "a")])
    with pytest.raises(InvalidMessageError):
        manager.import_branches([IncomingBranch(id="new", name="N", messages=[IncomingMessage(1, {"n": b""})])])
    assert manager.import_branches([]).operation is None
    assert manager.store.load("talk") == before
