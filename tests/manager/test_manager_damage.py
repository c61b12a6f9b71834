"""A document that cannot be read: it is named, never written over, and the other branches work on."""

from __future__ import annotations

from pathlib import Path

import pytest
from manager_kit import say, texts

from bough.errors import CorruptBranchError
from bough.manager import ConversationBranchManager

GARBAGE = b"not a document\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A session with main: a; side: a b. HEAD is side."""
    with ConversationBranchManager("talk", store=tmp_path) as manager:
        manager.add_messages(say("a"))
        manager.fork("Side")
        manager.add_messages(say("b"))
    return tmp_path


@pytest.mark.parametrize("create", [True, False])
def test_a_main_that_cannot_be_read_is_left_alone(folder: Path, create: bool) -> None:
    (folder / "talk" / "main.json").write_bytes(GARBAGE)
    with ConversationBranchManager("talk", store=folder, create=create) as manager:
        assert manager.get_current_branch_id() == "side"
        manager.add_messages(say("c"))
        assert texts(manager) == ["a", "b", "c"]
        assert [branch.id for branch in manager.get_all_branches()] == ["side"]
        assert [branch.id for branch in manager.get_branch_history("side")] == ["side"]
        for verb in (manager.get_messages, manager.checkout, manager.get_branch_history, manager.merge):
            with pytest.raises(CorruptBranchError):
                verb("main")
        assert manager.fork("Main").id == "main-2"
        manager.delete_branch("side")
        assert texts(manager) == ["a", "b", "c"]
    assert (folder / "talk" / "main.json").read_bytes() == GARBAGE


def test_messages_for_a_head_that_cannot_be_read_do_not_go_elsewhere(folder: Path) -> None:
    (folder / "talk" / "side.json").write_bytes(GARBAGE)
    with ConversationBranchManager("talk", store=folder) as manager:
        assert manager.get_current_branch_id() == "side"
        for verb in (lambda: manager.add_message({}), manager.get_current_branch, lambda: manager.set_messages([])):
            with pytest.raises(CorruptBranchError):
                verb()
        manager.checkout("main")
        manager.add_messages(say("c"))
        assert texts(manager) == ["a", "c"]
    assert (folder / "talk" / "side.json").read_bytes() == GARBAGE


def test_a_session_of_nothing_but_damage_is_not_a_new_one(folder: Path) -> None:
    for document in (folder / "talk").glob("*.json"):
        document.write_bytes(GARBAGE)
    with ConversationBranchManager("talk", store=folder) as manager:
        assert manager.get_all_branches() == []
        with pytest.raises(CorruptBranchError):
            manager.get_messages()
    assert {path.read_bytes() for path in (folder / "talk").glob("*.json")} == {GARBAGE}
