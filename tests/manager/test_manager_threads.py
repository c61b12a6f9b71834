"""Several threads and several managers at once: nothing is lost, and no verb stops another for good."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from manager_kit import kinds, say, texts

from bough.errors import BranchMovedError, BranchNotFoundError
from bough.manager import ConversationBranchManager
from bough.stores.base import Store
from bough.testing.contract import WAIT, StoreFactory

EACH = 20


def together(*works: Callable[[], object]) -> None:
    """Runs all at once, and raises what any of them raised."""
    gate = threading.Barrier(len(works))
    errors: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        gate.wait(WAIT)
        try:
            work()
        except BaseException as error:  # noqa: BLE001  (raised again in the test's own thread)
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


def test_one_manager_in_several_threads(manager: ConversationBranchManager) -> None:
    def write(name: str) -> None:
        for number in range(EACH):
            manager.add_messages(say(f"{name}{number}", f"{name}{number}+"))

    together(*(lambda name=name: write(name) for name in "abcd"))
    found = texts(manager)
    assert len(found) == 4 * 2 * EACH
    for name in "abcd":
        assert [text for text in found if text[0] == name] == [
            f"{name}{number}{end}" for number in range(EACH) for end in ("", "+")
        ]
    assert all(found[at + 1] == found[at] + "+" for at in range(0, len(found), 2))


def test_appends_while_others_merge_rename_and_undo(
    manager: ConversationBranchManager, store_factory: StoreFactory
) -> None:
    manager.add_messages(say("root"))
    manager.create_branch("side", "Side", "main")
    merger, renamer = (ConversationBranchManager("talk", store=store_factory()) for _ in range(2))

    def write() -> None:
        for number in range(EACH):
            manager.add_messages(say(f"m{number}"))

    def merge() -> None:
        for _ in range(EACH):
            merger.merge("side")

    def rename() -> None:
        for number in range(EACH):
            renamer.rename_branch("main", f"Name {number}")
            renamer.undo()

    together(write, merge, rename)
    assert texts(manager, "main") == ["root", *(f"m{number}" for number in range(EACH))]
    assert manager.get_current_branch().name == "Main conversation"
    assert kinds(manager).count("rename") == kinds(manager).count("undo") == EACH


def test_forks_of_one_name_all_get_an_id(manager: ConversationBranchManager, store_factory: StoreFactory) -> None:
    managers = [ConversationBranchManager("talk", store=store_factory()) for _ in range(4)]
    together(*(lambda each=each: [each.fork("Try") for _ in range(5)] for each in managers))
    ids = {branch.id for branch in manager.get_all_branches()}
    assert ids == {"main", "try", *(f"try-{number}" for number in range(2, 21))}


def test_undos_at_once_each_take_back_one(manager: ConversationBranchManager, store_factory: StoreFactory) -> None:
    for number in range(12):
        manager.create_branch(str(number), "Branch")
    undone: list[int] = []
    managers = [ConversationBranchManager("talk", store=store_factory()) for _ in range(3)]
    together(*(lambda each=each: undone.extend(each.undo().operation for _ in range(4)) for each in managers))
    assert sorted(undone) == list(range(2, 14))
    assert [branch.id for branch in manager.get_all_branches()] == ["main"]


def test_whole_list_writers_never_lose_each_others_messages(
    manager: ConversationBranchManager, store_factory: StoreFactory
) -> None:
    """Each adds its own by compare-and-set, and tries again where it is refused."""

    def write(each: ConversationBranchManager, name: str) -> None:
        for number in range(EACH):
            while True:
                present = each.get_messages()
                try:
                    each.set_messages([*present, *say(f"{name}{number}")])
                    break
                except BranchMovedError:
                    continue

    managers = [ConversationBranchManager("talk", store=store_factory()) for _ in range(3)]
    together(*(lambda each=each, name=name: write(each, name) for each, name in zip(managers, "abc", strict=True)))
    found = texts(manager)
    assert sorted(found) == sorted(f"{name}{number}" for name in "abc" for number in range(EACH))


def test_many_open_a_new_session_at_once(store: Store, store_factory: StoreFactory) -> None:
    opened: list[ConversationBranchManager] = []
    together(*(lambda: opened.append(ConversationBranchManager("new", store=store_factory())) for _ in range(6)))
    assert {manager.get_current_branch_id() for manager in opened} == {"main"}
    assert kinds(opened[0]) == ["init"]


def test_head_never_leads_to_a_branch_that_was_deleted_meanwhile(
    manager: ConversationBranchManager, store_factory: StoreFactory
) -> None:
    other = ConversationBranchManager("talk", store=store_factory())

    def switch() -> None:
        for _ in range(EACH):
            try:
                other.checkout("there")
            except BranchNotFoundError:
                continue
            other.checkout("main")

    def make_and_delete() -> None:
        for _ in range(EACH):
            manager.create_branch("there", "There")
            manager.delete_branch("there")
            state = manager.store.load("talk")
            assert state.head in state.branches

    together(switch, make_and_delete)


def test_a_handler_may_use_the_manager(manager: ConversationBranchManager) -> None:
    manager.on("branch:created", lambda payload: manager.add_message({"made": payload["id"]}))
    with pytest.raises(BranchNotFoundError):
        manager.checkout("new")
    manager.create_branch("new", "New")
    assert manager.get_messages() == [{"made": "new"}]
