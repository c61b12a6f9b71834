"""Every event: what it carries, when it comes, and that a failing handler stops nothing."""

from __future__ import annotations

from typing import Any

import pytest
from manager_kit import Log, say, texts

from bough.errors import BoughError, InvalidRequestError
from bough.imports import IncomingBranch, entry
from bough.manager import ConversationBranchManager


@pytest.fixture
def events(manager: ConversationBranchManager) -> Log:
    return Log(manager)


def test_create(manager: ConversationBranchManager, events: Log) -> None:
    manager.create_branch("new", "New", "main", 0)
    manager.create_branch("root", "Root")
    assert events == [
        ("created", {"id": "new", "name": "New", "parent_id": "main"}),
        ("created", {"id": "root", "name": "Root", "parent_id": None}),
    ]


def test_fork_sends_created_checkout_forked(manager: ConversationBranchManager, events: Log) -> None:
    manager.add_messages(say("a", "b"))
    manager.fork("All")
    manager.fork_from_message("Some", 1)
    assert events == [
        ("created", {"id": "all", "name": "All", "parent_id": "main"}),
        ("checkout", {"from": "main", "to": "all"}),
        ("forked", {"from": "main", "to": "all", "name": "All", "message_index": 2}),
        ("created", {"id": "some", "name": "Some", "parent_id": "all"}),
        ("checkout", {"from": "all", "to": "some"}),
        ("forked", {"from": "all", "to": "some", "name": "Some", "message_index": 1}),
    ]


def test_checkout(manager: ConversationBranchManager, events: Log) -> None:
    manager.checkout("main")
    manager.create_branch("new", "New")
    events.take()
    manager.checkout("new")
    manager.checkout("new")
    assert events == [("checkout", {"from": "main", "to": "new"})]


def test_merge(manager: ConversationBranchManager, events: Log) -> None:
    manager.create_branch("new", "New")
    manager.merge("new")
    manager.add_messages(say("a"))
    events.take()
    manager.merge("new", "replace")
    manager.merge("new", "replace")
    assert events == [("merged", {"source": "new", "target": "main", "strategy": "replace"})]


def test_delete_sends_deleted_then_checkout(manager: ConversationBranchManager, events: Log) -> None:
    manager.create_branch("a", "A")
    manager.fork("B")
    events.take()
    manager.delete_branch("a")
    manager.delete_branch("b")
    assert events == [
        ("deleted", {"id": "a"}),
        ("deleted", {"id": "b"}),
        ("checkout", {"from": "b", "to": "main"}),
    ]


def test_rename(manager: ConversationBranchManager, events: Log) -> None:
    manager.rename_branch("main", "Name")
    manager.rename_branch("main", "Name")
    assert events == [("renamed", {"id": "main", "name": "Name"})]


def test_import(manager: ConversationBranchManager, events: Log) -> None:
    branches = [
        IncomingBranch(id="main", name="Title", entries=[entry({"n": 1})]),
        IncomingBranch(id="leaf", name="Leaf", entries=[entry({"n": 2})], parent_id="main", shared=1),
    ]
    manager.import_branches(branches)
    manager.import_branches(branches)
    assert events == [
        ("renamed", {"id": "main", "name": "Title"}),
        ("created", {"id": "leaf", "name": "Leaf", "parent_id": "main"}),
    ]


def test_undo_sends_what_it_brings_about(manager: ConversationBranchManager, events: Log) -> None:
    manager.fork("New")
    manager.rename_branch("new", "Newer")
    manager.delete_branch("new")
    events.take()
    manager.undo()
    assert events.take() == [
        ("created", {"id": "new", "name": "Newer", "parent_id": "main"}),
        ("checkout", {"from": "main", "to": "new"}),
    ]
    manager.undo()
    assert events.take() == [("renamed", {"id": "new", "name": "New"})]
    manager.undo()
    assert events.take() == [("deleted", {"id": "new"}), ("checkout", {"from": "new", "to": "main"})]


def test_messages_send_none(manager: ConversationBranchManager, events: Log) -> None:
    manager.add_messages(say("a"))
    manager.set_messages(say("b"))
    manager.undo()
    assert events == []


def test_what_is_refused_sends_none(manager: ConversationBranchManager, events: Log) -> None:
    for verb in (
        lambda: manager.create_branch("main", "Again"),
        lambda: manager.fork_from_message("Outside", 1),
        lambda: manager.checkout("unknown"),
        lambda: manager.merge("main"),
        lambda: manager.delete_branch("main"),
        lambda: manager.rename_branch("unknown", "Name"),
        manager.undo,
    ):
        with pytest.raises(BoughError):
            verb()
    assert events == []


def test_a_handler_is_called_after_the_change_is_there(manager: ConversationBranchManager) -> None:
    seen: list[bool] = []
    manager.on("branch:created", lambda payload: seen.append(payload["id"] in manager.store.load("talk").branches))
    manager.create_branch("new", "New")
    assert seen == [True]


def test_each_handler_gets_a_dict_of_its_own(manager: ConversationBranchManager) -> None:
    seen: list[dict[str, Any]] = []

    def spoil(payload: dict[str, Any]) -> None:
        payload.clear()

    manager.on("branch:deleted", spoil)
    manager.on("branch:deleted", seen.append)
    manager.create_branch("new", "New")
    manager.delete_branch("new")
    assert seen == [{"id": "new"}]


def test_once_and_off(manager: ConversationBranchManager) -> None:
    calls: list[str] = []

    def always(payload: dict[str, Any]) -> None:
        calls.append("always " + payload["name"])

    manager.on("branch:renamed", always)
    manager.once("branch:renamed", lambda payload: calls.append("once " + payload["name"]))
    manager.rename_branch("main", "B")
    manager.rename_branch("main", "C")
    manager.off("branch:renamed", always)
    manager.off("branch:renamed", always)
    manager.rename_branch("main", "D")
    assert calls == ["always B", "once B", "always C"]


def test_a_handler_for_once_is_not_called_again_by_what_it_does(manager: ConversationBranchManager) -> None:
    calls: list[str] = []

    def again(payload: dict[str, Any]) -> None:
        calls.append(payload["name"])
        manager.rename_branch("main", payload["name"] + "!")

    manager.once("branch:renamed", again)
    manager.rename_branch("main", "B")
    assert (calls, manager.get_current_branch().name) == (["B"], "B!")


def test_an_unknown_event_is_refused(manager: ConversationBranchManager) -> None:
    for verb in (manager.on, manager.once, manager.off):
        with pytest.raises(InvalidRequestError):
            verb("branch:create", print)  # type: ignore[arg-type]


def test_failing_handlers_stop_nothing_and_are_reported_together(
    manager: ConversationBranchManager, events: Log
) -> None:
    first, second = RuntimeError("first"), RuntimeError("second")

    def fail(error: Exception) -> None:
        raise error

    calls: list[str] = []
    manager.on("branch:created", lambda _: fail(first))
    manager.on("branch:created", lambda _: calls.append("after the failing one"))
    manager.on("branch:forked", lambda _: fail(second))
    manager.add_messages(say("a"))
    with pytest.raises(ExceptionGroup) as caught:
        manager.fork("New")
    assert caught.value.exceptions == (first, second)
    assert calls == ["after the failing one"]
    assert [name for name, _ in events] == ["created", "checkout", "forked"]
    assert manager.get_current_branch_id() == "new"
    assert texts(manager) == ["a"]
