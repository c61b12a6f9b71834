"""Another's change at the worst moment: after the manager has looked and before it commits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from manager_kit import kinds, say, texts

from bough.errors import BranchExistsError, BranchMovedError, BranchNotFoundError
from bough.imports import IncomingBranch, entry
from bough.manager import ConversationBranchManager as Manager
from bough.model import Append, Change, Commit, Graft
from bough.stores.memory import MemoryStore


class Crossroads(MemoryStore):
    """The memory store, at which another one passes once before the next commit."""

    other: Callable[[], object] | None = None
    stubborn = False

    def commit(self, session_id: str, change: Append | Change | Graft) -> Commit:
        other, self.other = self.other, None
        if other is not None:
            other()
        if self.stubborn:
            raise BranchMovedError(session_id, "main")
        return super().commit(session_id, change)


@pytest.fixture
def store() -> Crossroads:
    return Crossroads()


@pytest.fixture
def other(store: Crossroads, manager: Manager) -> Manager:
    """Another manager of the session that ``manager`` has made."""
    manager.add_messages(say("a"))
    manager.create_branch("side", "Side", "main")
    return Manager("talk", store=store)


def test_a_checkout_of_what_is_deleted_meanwhile(store: Crossroads, manager: Manager, other: Manager) -> None:
    store.other = lambda: other.delete_branch("side")
    with pytest.raises(BranchNotFoundError):
        manager.checkout("side")
    assert (store.load("talk").head, manager.get_current_branch_id()) == ("main", "main")


def test_a_merge_into_what_grows_meanwhile(store: Crossroads, manager: Manager, other: Manager) -> None:
    manager.checkout("side")
    manager.add_messages(say("s"))
    manager.checkout("main")
    store.other = lambda: other.add_messages(say("b"))
    result = manager.merge("side")
    assert (result.added, texts(manager)) == (1, ["a", "b", "s"])


def test_a_merge_that_another_does_meanwhile(store: Crossroads, manager: Manager, other: Manager) -> None:
    manager.checkout("side")
    manager.add_messages(say("s"))
    manager.checkout("main")
    store.other = lambda: other.merge("side")
    result = manager.merge("side")
    assert (result.added, result.operation, texts(manager)) == (0, None, ["a", "s"])


def test_a_rename_of_what_grows_meanwhile(store: Crossroads, manager: Manager, other: Manager) -> None:
    store.other = lambda: other.add_messages(say("b"))
    manager.rename_branch("main", "Renamed")
    assert (manager.get_current_branch().name, texts(manager)) == ("Renamed", ["a", "b"])


def test_a_delete_of_what_is_deleted_meanwhile(store: Crossroads, manager: Manager, other: Manager) -> None:
    store.other = lambda: other.delete_branch("side")
    with pytest.raises(BranchNotFoundError):
        manager.delete_branch("side")


def test_a_set_on_what_grows_meanwhile_is_refused(store: Crossroads, manager: Manager, other: Manager) -> None:
    store.other = lambda: other.add_messages(say("b"))
    with pytest.raises(BranchMovedError):
        manager.set_messages(say("a", "c"))
    assert texts(manager) == ["a", "b"]


def test_a_set_on_what_is_renamed_meanwhile_is_not(store: Crossroads, manager: Manager, other: Manager) -> None:
    store.other = lambda: other.rename_branch("main", "Renamed")
    manager.set_messages(say("a", "c"))
    assert (manager.get_current_branch().name, texts(manager)) == ("Renamed", ["a", "c"])


def test_but_with_an_expected_version_it_is(store: Crossroads, manager: Manager, other: Manager) -> None:
    store.other = lambda: other.rename_branch("main", "Renamed")
    with pytest.raises(BranchMovedError):
        manager.set_messages(say("a", "c"), expected=manager.get_current_branch().version)
    assert texts(manager) == ["a"]


def test_a_fork_whose_id_is_taken_meanwhile(store: Crossroads, manager: Manager, other: Manager) -> None:
    store.other = lambda: other.create_branch("try", "Theirs")
    assert manager.fork("Try").id == manager.get_current_branch_id() == "try-2"


def test_a_create_of_what_is_made_meanwhile(store: Crossroads, manager: Manager, other: Manager) -> None:
    store.other = lambda: other.create_branch("new", "Theirs")
    with pytest.raises(BranchExistsError):
        manager.create_branch("new", "Mine")


def test_an_undo_while_another_does_something(store: Crossroads, manager: Manager, other: Manager) -> None:
    store.other = lambda: other.rename_branch("main", "Theirs")
    assert manager.undo().kind == "rename"
    assert kinds(manager) == ["init", "create", "rename", "undo"]
    store.other = other.undo
    manager.rename_branch("main", "Mine")
    store.other = other.undo
    manager.fork("Fork")
    assert kinds(manager)[4:] == ["undo", "rename", "undo", "fork"]
    assert {branch.id for branch in manager.get_all_branches()} == {"main", "fork"}


def test_an_import_of_what_another_imports_meanwhile(store: Crossroads, manager: Manager, other: Manager) -> None:
    incoming = [IncomingBranch(id="new", name="New", entries=[entry({"n": 1})])]
    store.other = lambda: other.import_branches(incoming)
    assert manager.import_branches(incoming).operation is None
    assert manager.get_messages("new") == [{"n": 1}]


def test_an_opening_while_another_opens(store: Crossroads) -> None:
    store.other = lambda: Manager("new", store=store)
    manager = Manager("new", store=store)
    assert (manager.get_current_branch_id(), kinds(manager)) == ("main", ["init"])


@pytest.mark.parametrize("verb", ["rename", "checkout", "set", "undo"])
def test_a_store_that_contradicts_itself_does_not_keep_us_for_ever(
    store: Crossroads, manager: Manager, other: Manager, verb: str
) -> None:
    """It refuses what nobody has moved."""
    store.stubborn = True
    verbs: dict[str, Callable[[], object]] = {
        "rename": lambda: manager.rename_branch("main", "Name"),
        "checkout": lambda: manager.checkout("side"),
        "set": lambda: manager.set_messages([]),
        "undo": manager.undo,
    }
    with pytest.raises(BranchMovedError):
        verbs[verb]()
    assert kinds(other) == ["init", "create"]
