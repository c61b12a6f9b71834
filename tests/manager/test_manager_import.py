"""Bringing branches in: what they share is stored once, again adds nothing, and what is there is never lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import pytest
from manager_kit import kinds, say

from bough.errors import InvalidIdError, InvalidMessageError, InvalidRequestError
from bough.history import length, union
from bough.imports import BLOCK_BYTES, ImportResult, IncomingBranch, IncomingEntry, entry
from bough.manager import ConversationBranchManager
from bough.model import Message
from bough.testing.contract import StoreFactory


class Talk(NamedTuple):
    """A branch whose messages say their key in lower case, so ``a`` and ``A`` are two messages of one content."""

    id: str
    keys: str
    name: str = "Name"


def brought(*talks: Talk) -> list[IncomingBranch]:
    """The talks as branches, each with the longest beginning that it shares with one before it."""
    branches: list[IncomingBranch] = []
    for at, talk in enumerate(talks):
        shares = [(_common(talk.keys, other.keys), -number) for number, other in enumerate(talks[:at])]
        shared, number = max(shares, default=(0, 0))
        branches.append(
            IncomingBranch(
                id=talk.id,
                name=talk.name,
                entries=[entry({"text": key.lower()}) for key in talk.keys[shared:]],
                parent_id=talks[-number].id if shared else None,
                shared=shared,
            )
        )
    return branches


def _common(left: str, right: str) -> int:
    return next((at for at, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


def path(branch_id: str, keys: str, name: str = "Name") -> Talk:
    return Talk(branch_id, keys, name)


def shown(manager: ConversationBranchManager) -> dict[str, str]:
    return {branch.id: "".join(message["text"] for message in branch.messages) for branch in manager.get_all_branches()}


def stored(manager: ConversationBranchManager) -> int:
    """How many messages the branches hold, each counted once."""
    return length(union(*(record.history for record in manager.store.load("talk").branches.values())))


TREE = [path("main", "abcd"), path("one", "abx"), path("two", "abxy"), path("root", "r"), path("part", "ab")]


def test_what_branches_share_is_stored_once(manager: ConversationBranchManager) -> None:
    assert manager.import_branches(brought(*TREE)) == ImportResult(branches=4, came=7, messages=7, operation=2)
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
    manager.import_branches(brought(path("main", "ab"), path("twin", "aB")))
    assert stored(manager) == 3
    assert manager.merge("twin").added == 1
    assert manager.import_branches(brought(path("twin", "aB"))).operation is None


def test_again_adds_nothing(manager: ConversationBranchManager, store_factory: StoreFactory) -> None:
    manager.import_branches(brought(*TREE))
    before = manager.store.load("talk")
    again = ConversationBranchManager("talk", store=store_factory()).import_branches(brought(*TREE))
    assert again == ImportResult(branches=0, came=7, messages=0, operation=None)
    assert manager.store.load("talk") == before


def test_a_grown_tree_adds_what_is_new(manager: ConversationBranchManager) -> None:
    manager.import_branches(brought(*TREE))
    grown = [path("main", "abcdef"), *TREE[1:], path("three", "abxyz")]
    result = manager.import_branches(brought(*grown))
    assert (result.branches, result.messages) == (1, 3)
    assert shown(manager) == {branch.id: branch.keys for branch in grown}
    assert manager.get_branch_history("three")[-2].id == "two"
    assert manager.import_branches(brought(*grown)).operation is None


def test_what_was_added_here_meanwhile_stays(manager: ConversationBranchManager) -> None:
    manager.import_branches(brought(path("main", "ab")))
    manager.add_message({"text": "!"})
    assert manager.import_branches(brought(path("main", "abc"), path("side", "abcd"))).messages == 2
    assert shown(manager) == {"main": "ab!c", "side": "abcd"}
    assert manager.import_branches(brought(path("main", "abc"), path("side", "abcd"))).operation is None


def test_without_ids_a_message_is_known_as_often_as_it_is_held(manager: ConversationBranchManager) -> None:
    manager.import_branches(brought(path("main", "bxa")))
    again = [path("main", "abb")]
    assert manager.import_branches(brought(*again)).messages == 1
    assert shown(manager) == {"main": "bxab"}
    assert manager.import_branches(brought(*again)).operation is None
    changed = [path("main", "byab")]  # what stands behind it is not taken for new the next time
    assert manager.import_branches(brought(*changed)).messages == 1
    assert manager.import_branches(brought(*changed)).operation is None


def test_labels_go_to_what_is_new_or_empty(manager: ConversationBranchManager) -> None:
    born = datetime(2020, 1, 2, tzinfo=UTC)
    incoming = [
        IncomingBranch(id=each, name="Title", entries=[entry({"text": "a"})], metadata={"lang": "en"}, created_at=born)
        for each in ("main", "side")
    ]
    manager.import_branches(incoming)
    for branch in manager.get_all_branches():
        assert (branch.name, branch.metadata, branch.created_at) == ("Title", {"lang": "en"}, born)
        assert branch.updated_at > born
    manager.rename_branch("main", "Mine")
    manager.import_branches(brought(path("main", "ab", name="Other")))
    assert manager.get_current_branch().name == "Mine"
    assert manager.get_current_branch().metadata == {"lang": "en"}


def test_undo_takes_the_whole_import_back(manager: ConversationBranchManager) -> None:
    before = manager.get_current_branch()
    manager.import_branches(brought(*TREE))
    assert manager.undo().kind == "import"
    [after] = manager.get_all_branches()
    assert (after.name, list(after.messages), after.metadata) == (before.name, [], None)
    assert manager.import_branches(brought(*TREE)).branches == 4


def test_a_lone_surrogate_of_another_program_is_kept(manager: ConversationBranchManager) -> None:
    incoming = [IncomingBranch(id="main", name="Name", entries=[entry({"text": "cut emoji \ud83d"})])]
    manager.import_branches(incoming)
    assert manager.get_messages() == [{"text": "cut emoji \ud83d"}]
    assert manager.import_branches(incoming).operation is None
    manager.set_messages([*manager.get_messages(), {"text": "more"}])
    assert len(manager.get_messages()) == 2


def test_refusals_leave_everything_as_it_was(manager: ConversationBranchManager) -> None:
    manager.add_messages(say("something else"))
    before = manager.store.load("talk")
    with pytest.raises(InvalidRequestError, match="another conversation"):
        manager.import_branches(brought(path("new", "a"), path("main", "ab")))
    with pytest.raises(InvalidRequestError, match="same id"):
        manager.import_branches(brought(path("new", "a"), path("new", "b")))
    with pytest.raises(InvalidRequestError, match="shares more"):
        manager.import_branches([IncomingBranch(id="new", name="N", entries=[], parent_id="main", shared=1)])
    with pytest.raises(InvalidRequestError, match="name"):
        manager.import_branches(brought(path("new", "a", name="")))
    with pytest.raises(InvalidIdError):
        manager.import_branches(brought(path("", "a")))
    with pytest.raises(InvalidMessageError):
        manager.import_branches([IncomingBranch(id="new", name="N", entries=[entry({"n": b""})])])
    assert manager.import_branches([]).operation is None
    assert manager.store.load("talk") == before


def test_a_message_is_known_by_the_id_that_its_program_gave_it(manager: ConversationBranchManager) -> None:
    def said(id_: str, likes: int) -> IncomingBranch:
        message = {"role": "user", "content": "hi", "metadata": {"source": "x", "id": id_, "likes": likes}}
        return IncomingBranch(id="main", name="N", entries=[entry(message)])

    manager.import_branches([said("1", 0)])
    assert manager.import_branches([said("1", 7)]).messages == 0
    assert manager.import_branches([_both(said("1", 0), said("2", 0))]).messages == 1


def _both(first: IncomingBranch, second: IncomingBranch) -> IncomingBranch:
    return IncomingBranch(id="main", name="N", entries=[*first.entries, *second.entries])


def test_what_is_too_much_to_hold_goes_ahead(manager: ConversationBranchManager, store_factory: StoreFactory) -> None:
    """Guarantee 4: each entry is asked for once, and what was asked for is let go of."""
    asked: list[int] = []

    def big(number: int) -> Callable[[], list[Message]]:
        def messages() -> list[Message]:
            asked.append(number)
            return [{"n": number, "text": "x" * (BLOCK_BYTES // 3)}]

        return messages

    first = IncomingBranch(id="main", name="N", entries=[IncomingEntry(big(number)) for number in range(10)])
    second = IncomingBranch(id="b", name="B", entries=[IncomingEntry(big(99))], parent_id="main", shared=4)
    result = manager.import_branches([first, second])
    assert (result.branches, result.messages, result.operation) == (1, 11, 2)
    assert asked == [*range(10), 99]
    assert kinds(manager) == ["init", "import"]
    with ConversationBranchManager("talk", store=store_factory()) as again:
        assert [message["n"] for message in again.get_messages()] == list(range(10))
        assert [message["n"] for message in again.get_messages("b")] == [0, 1, 2, 3, 99]
        assert again.import_branches([first, second]).operation is None
        assert list(again.store.verify("talk")) == []
        again.add_message({"n": "more"})
        assert again.get_messages(start=-1) == [{"n": "more"}]
        assert again.undo().kind == "import"
        assert again.get_messages() == [{"n": "more"}]


def test_a_message_that_comes_twice_in_one_branch_stays_two(manager: ConversationBranchManager) -> None:
    incoming = [
        IncomingBranch(id="main", name="N", entries=[entry({"t": "ok"}), entry({"t": "b"}), entry({"t": "ok"})])
    ]
    assert manager.import_branches(incoming).messages == 3
    assert manager.import_branches(incoming).operation is None
    assert [message["t"] for message in manager.get_messages()] == ["ok", "b", "ok"]


def test_an_import_that_fails_leaves_nothing_behind(manager: ConversationBranchManager) -> None:
    def failing() -> list[Message]:
        raise KeyboardInterrupt

    entries = [entry({"n": number, "text": "x" * (BLOCK_BYTES // 2)}) for number in range(5)]
    with pytest.raises(KeyboardInterrupt):
        manager.import_branches([IncomingBranch(id="main", name="N", entries=[*entries, IncomingEntry(failing)])])
    assert list(manager.store.verify("talk")) == []
    assert manager.get_messages() == []
    assert manager.import_branches([IncomingBranch(id="main", name="N", entries=entries)]).messages == 5
    assert list(manager.store.verify("talk")) == []
