"""Merges: nothing twice, whatever the way it came, and nothing lost."""

from __future__ import annotations

import pytest
from manager_kit import kinds, say, texts

from bough.errors import BranchNotFoundError, InvalidRequestError
from bough.manager import ConversationBranchManager
from bough.testing.contract import StoreFactory


def grow(manager: ConversationBranchManager, name: str, parent: str, *added: str) -> None:
    """A branch under ``parent`` with messages of its own; switches to it."""
    manager.checkout(parent)
    manager.fork(name)
    manager.add_messages(say(*added))


def test_append_brings_what_the_target_does_not_hold(manager: ConversationBranchManager) -> None:
    manager.add_messages(say("a", "b"))
    grow(manager, "side", "main", "s1", "s2")
    manager.checkout("main")
    manager.add_messages(say("c"))
    result = manager.merge("side")
    assert (result.source, result.target, result.strategy) == ("side", "main", "append")
    assert (result.added, result.removed, result.operation, result.conflicts) == (2, 0, 4, ())
    assert manager.read_messages(result.diff.only_after) == say("s1", "s2")
    assert texts(manager) == ["a", "b", "c", "s1", "s2"]
    assert texts(manager, "side") == ["a", "b", "s1", "s2"]


def test_again_at_once_adds_nothing(manager: ConversationBranchManager) -> None:
    grow(manager, "side", "main", "s")
    manager.checkout("main")
    manager.merge("side")
    again = manager.merge("side")
    assert (again.added, again.removed, again.operation) == (0, 0, None)
    assert kinds(manager).count("merge") == 1
    manager.checkout("side")
    manager.add_messages(say("later"))
    manager.checkout("main")
    assert manager.merge("side").added == 1
    assert texts(manager) == ["s", "later"]


def test_replace_takes_the_sources_messages(manager: ConversationBranchManager) -> None:
    manager.add_messages(say("a", "b"))
    manager.fork_from_message("side", 1)
    manager.add_messages(say("s1", "s2", "s3"))
    manager.checkout("main")
    result = manager.merge("side", "replace")
    assert (result.added, result.removed) == (3, 1)
    assert texts(manager) == ["a", "s1", "s2", "s3"]
    assert manager.merge("side", "replace").operation is None
    manager.add_messages(say("c"))
    assert texts(manager, "side") == ["a", "s1", "s2", "s3"]
    manager.undo()
    assert texts(manager) == ["a", "b", "c"]


def test_a_to_b_then_b_to_a(manager: ConversationBranchManager) -> None:
    manager.add_messages(say("root"))
    grow(manager, "a", "main", "a1")
    grow(manager, "b", "main", "b1")
    assert manager.merge("a").added == 1
    manager.checkout("a")
    assert manager.merge("b").added == 1
    manager.checkout("b")
    assert manager.merge("a").added == 0
    assert (texts(manager, "a"), texts(manager, "b")) == (["root", "a1", "b1"], ["root", "b1", "a1"])


def test_cousins_and_grandchildren_merge_without_repeats(manager: ConversationBranchManager) -> None:
    manager.add_messages(say("root"))
    for side in "ab":
        grow(manager, side, "main", f"{side}1")
        grow(manager, f"{side}{side}", side, f"{side}2")
        grow(manager, f"{side}{side}{side}", f"{side}{side}", f"{side}3")
    manager.checkout("aaa")
    assert manager.merge("bbb").added == 3
    assert texts(manager) == ["root", "a1", "a2", "a3", "b1", "b2", "b3"]
    for name in ("b", "bb", "bbb", "a", "aa", "main"):
        assert manager.merge(name).added == 0
    manager.checkout("main")
    assert [manager.merge(name).added for name in ("bb", "aaa", "b", "aa")] == [2, 4, 0, 0]
    assert texts(manager) == ["root", "b1", "b2", "a1", "a2", "a3", "b3"]


def test_equal_content_is_not_the_same_message(manager: ConversationBranchManager) -> None:
    grow(manager, "side", "main", "ok")
    manager.checkout("main")
    manager.add_messages(say("ok"))
    assert manager.merge("side").added == 1
    assert texts(manager) == ["ok", "ok"]


def test_after_an_undo_the_target_is_what_it_was(manager: ConversationBranchManager) -> None:
    manager.add_messages(say("a"))
    grow(manager, "side", "main", "s")
    manager.checkout("main")
    before = manager.store.load("talk").branches["main"].history
    manager.merge("side")
    manager.undo()
    assert manager.store.load("talk").branches["main"].history == before
    manager.add_messages(say("b"))
    assert manager.merge("side").added == 1
    assert texts(manager) == ["a", "b", "s"]


def test_the_operation_records_where_the_messages_came_from(manager: ConversationBranchManager) -> None:
    grow(manager, "side", "main", "s1", "s2")
    source = manager.store.load("talk").branches["side"].history
    manager.checkout("main")
    manager.merge("side")
    newest = next(manager.store.operations("talk"))
    assert newest.kind == "merge"
    assert dict(newest.detail) == {
        "source": "side",
        "target": "main",
        "strategy": "append",
        "source_history": [[piece.segment, piece.start, piece.stop] for piece in source],
    }


def test_refusals(manager: ConversationBranchManager) -> None:
    manager.create_branch("side", "Side")
    with pytest.raises(InvalidRequestError, match="itself"):
        manager.merge("main")
    with pytest.raises(InvalidRequestError, match="strategy"):
        manager.merge("side", "ours")
    with pytest.raises(BranchNotFoundError):
        manager.merge("unknown")
    assert kinds(manager) == ["init", "create"]


def test_a_merge_keeps_what_another_appended(manager: ConversationBranchManager, store_factory: StoreFactory) -> None:
    grow(manager, "side", "main", "s")
    other = ConversationBranchManager("talk", store=store_factory())
    manager.checkout("main")
    other.checkout("main")
    other.add_messages(say("from the other"))
    manager.merge("side")
    assert texts(manager) == ["from the other", "s"]
