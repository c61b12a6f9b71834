"""Undo: after every operation it restores what was, later appends stay, and it refuses rather than lose anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from manager_kit import kinds, say, texts

from bough.changes import change, put_again
from bough.errors import BranchMovedError, InvalidRequestError, InvalidTurnsError, NothingToUndoError
from bough.imports import IncomingBranch, entry
from bough.manager import ConversationBranchManager as Manager
from bough.model import Append, BranchChange, Drop, Operation, Put, Tip, replace
from bough.testing.contract import StoreFactory, said
from bough.undo import Found, invert

OPERATIONS: dict[str, Callable[[Manager], object]] = {
    "create": lambda manager: manager.create_branch("new", "New", "side", 1),
    "fork": lambda manager: manager.fork_from_message("New", 1),
    "merge": lambda manager: manager.merge("side"),
    "merge replace": lambda manager: manager.merge("side", "replace"),
    "set": lambda manager: manager.set_messages(say("x", "b", "y")),
    "set nothing": lambda manager: manager.set_messages([]),
    "delete": lambda manager: manager.delete_branch("side"),
    "rename": lambda manager: manager.rename_branch("side", "Renamed"),
    "checkout": lambda manager: manager.checkout("side"),
    "import": lambda manager: manager.import_branches(
        [
            IncomingBranch(id="side", name="Side", entries=[entry(*say("a")), entry({})]),
            IncomingBranch(id="new", name="New", entries=[entry({"n": 3})], parent_id="side", shared=1),
        ]
    ),
}


FOREIGN: dict[str, Any] = {"history": (), "name": "Theirs", "metadata": {"x": 1}}


@pytest.fixture
def talk(manager: Manager) -> Manager:
    """main: a b c; side: a s, from main at 1; on main."""
    manager.add_messages(say("a", "b"))
    manager.fork_from_message("Side", 1)
    manager.add_messages(say("s"))
    manager.checkout("main")
    manager.add_messages(say("c"))
    return manager


def state_of(manager: Manager) -> object:
    """All that an undo has to restore: not the numbers, nor how far the tips went."""
    state = manager.store.load("talk")
    branches = {
        name: replace(record, operation=0, tip=Tip(record.tip.segment, 0)) for name, record in state.branches.items()
    }
    return state.head, branches, manager.get_current_branch_id(), state.findings


@pytest.mark.parametrize("name", OPERATIONS)
def test_undo_restores_every_branch(talk: Manager, name: str) -> None:
    before = state_of(talk)
    number = talk.store.load("talk").last_operation + 1
    OPERATIONS[name](talk)
    assert state_of(talk) != before
    undone = talk.undo()
    assert state_of(talk) == before
    assert (undone.operation, undone.kind) == (number, name.split()[0])
    assert kinds(talk)[-1] == "undo"


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"delete"}))
def test_undo_keeps_what_was_appended_since(talk: Manager, name: str) -> None:
    main, side = texts(talk, "main"), texts(talk, "side")
    OPERATIONS[name](talk)
    for branch_id in ("main", "side"):
        talk.store.commit("talk", Append(branch_id=branch_id, messages=said("later")))
    talk.undo()
    assert texts(talk, "main") == [*main, "later"]
    assert texts(talk, "side") == [*side, "later"]


def test_undo_of_a_delete_brings_all_of_the_branch_back(talk: Manager) -> None:
    talk.delete_branch("side")
    assert talk.undo().branch_ids == ("side",)
    talk.checkout("side")
    talk.add_messages(say("more"))
    assert texts(talk) == ["a", "s", "more"]


def test_undo_goes_back_step_by_step_to_the_beginning(talk: Manager) -> None:
    names = ["create", "rename", "merge", "set", "checkout", "delete"]
    states = []
    for name in names:
        states.append(state_of(talk))
        OPERATIONS[name](talk)
        if name == "checkout":
            talk.checkout("main")
            talk.undo()
    for name, state in reversed(list(zip(names, states, strict=True))):
        assert talk.undo().kind == name
        assert state_of(talk) == state
    assert [talk.undo().kind for _ in range(2)] == ["checkout", "fork"]
    with pytest.raises(NothingToUndoError):
        talk.undo()
    assert {branch.id: texts(talk, branch.id) for branch in talk.get_all_branches()} == {"main": ["a", "b", "c"]}


def test_what_is_done_after_an_undo_is_undone_first(talk: Manager) -> None:
    talk.rename_branch("main", "One")
    talk.rename_branch("main", "Two")
    talk.undo()
    talk.rename_branch("main", "Three")
    names = []
    for _ in range(2):
        talk.undo()
        names.append(talk.get_current_branch().name)
    assert names == ["One", "Main conversation"]


def test_a_place_that_was_given_out_is_not_given_out_again(talk: Manager) -> None:
    talk.set_messages(say("x", "y"))
    tip = talk.store.load("talk").branches["main"].tip
    talk.undo()
    assert talk.store.load("talk").branches["main"].tip == tip
    talk.add_messages(say("d"))
    record = talk.store.load("talk").branches["main"]
    assert (record.history[-1].segment, record.history[-1].start) == tip
    assert texts(talk) == ["a", "b", "c", "d"]


def test_a_branch_that_was_back_for_a_while_and_grew_gives_no_place_out_again(talk: Manager) -> None:
    side = "side"
    talk.delete_branch(side)
    deleted = next(talk.operations()).number
    talk.restore_branch(side)
    talk.checkout(side)
    talk.add_messages(say("t"))
    talk.checkout("main")
    talk.merge(side)
    talk.undo(deleted + 1)
    talk.undo(deleted)
    assert texts(talk, side) == ["a", "s"]
    talk.checkout(side)
    talk.add_messages(say("u"))
    assert texts(talk, side) == ["a", "s", "u"]
    assert texts(talk, "main") == ["a", "b", "c", "s", "t"]


def test_undo_by_another_process_moves_head_but_not_this_manager(talk: Manager, store_factory: StoreFactory) -> None:
    talk.checkout("side")
    other = Manager("talk", store=store_factory())
    other.undo()
    assert other.get_current_branch_id() == other.store.load("talk").head == "main"
    assert talk.get_current_branch_id() == "side"


def test_the_manager_stays_where_it_is_when_head_was_not_moved(talk: Manager, store_factory: StoreFactory) -> None:
    other = Manager("talk", store=store_factory())
    other.checkout("side")
    talk.rename_branch("side", "Renamed")
    talk.undo()
    assert talk.get_current_branch_id() == "main"
    assert talk.store.load("talk").head == "side"


def test_a_manager_whose_branch_an_undo_takes_away_goes_to_head(talk: Manager, store_factory: StoreFactory) -> None:
    talk.create_branch("new", "New")
    talk.checkout("new")
    other = Manager("talk", store=store_factory())
    other.undo()
    assert (talk.get_current_branch_id(), talk.store.load("talk").head) == ("new", "main")
    assert talk.undo().kind == "create"
    assert talk.get_current_branch_id() == "main"


def test_nothing_to_undo(manager: Manager) -> None:
    manager.add_messages(say("an append is no operation"))
    with pytest.raises(NothingToUndoError):
        manager.undo()
    assert texts(manager) == ["an append is no operation"]
    assert kinds(manager) == ["init"]


@pytest.mark.parametrize("how", ["history", "metadata"])
def test_undo_keeps_what_another_program_changed_beside_it(talk: Manager, how: str) -> None:
    """As if by another program: an operation that cannot be undone itself."""
    talk.rename_branch("side", "Renamed")
    record = talk.store.load("talk").branches["side"]
    talk.store.commit("talk", change("external-edit", put_again(record, **{how: FOREIGN[how]})))
    assert talk.undo().kind == "rename"
    record = talk.store.load("talk").branches["side"]
    assert (record.name, getattr(record, how)) == ("Side", FOREIGN[how])


@pytest.mark.parametrize("how", ["name", "gone"])
def test_undo_refuses_where_another_program_changed_the_branch(talk: Manager, how: str) -> None:
    talk.merge("side")
    talk.rename_branch("side", "Renamed")
    record = talk.store.load("talk").branches["side"]
    if how == "gone":
        foreign = change("external-edit", drops=(Drop(branch_id="side", expected=record.version),))
    else:
        foreign = change("external-edit", put_again(record, **{how: FOREIGN[how]}))
    talk.store.commit("talk", foreign)
    before = talk.store.load("talk")
    with pytest.raises(BranchMovedError) as caught:
        talk.undo()
    assert caught.value.branch_id == "side"
    assert "(rename)" in str(caught.value)
    assert talk.store.load("talk") == before


def test_undo_of_a_delete_refuses_where_the_branch_was_made_anew(talk: Manager) -> None:
    side = talk.store.load("talk").branches["side"]
    talk.delete_branch("side")
    talk.store.commit("talk", change("external-edit", Put(record=side, expected=None)))
    with pytest.raises(BranchMovedError, match="made anew") as caught:
        talk.undo()
    assert caught.value.hint == "undo what came later first"  # there is nothing to revert


def test_a_head_that_leads_to_what_an_undo_drops_goes_to_main(talk: Manager) -> None:
    """HEAD may be set by hand: then no operation of ours says how it came there."""
    state = talk.store.load("talk")
    side = state.branches["side"]
    created = Operation(
        number=state.last_operation,
        id="x",
        kind="create",
        at=side.created_at,
        pid=1,
        hostname="here",
        head_before="main",
        head_after="main",
        branches=(BranchChange(id="side", before=None, after=side),),
    )
    undo = invert(Found(created, created, (), (), {}), replace(state, head="side"))
    assert undo.head == "main"
    assert undo.drops == (Drop(branch_id="side", expected=side.version),)


def test_undo_says_how_many_messages_no_branch_holds_any_more(talk: Manager) -> None:
    assert talk.undo().left == 0
    talk.checkout("main")
    talk.fork("idea")
    forked = next(talk.operations()).number
    talk.add_messages(say("d", "e"))
    undone = talk.undo()
    assert (undone.operation, undone.dropped, undone.left) == (forked, ("idea",), 2)
    assert (talk.redo().left, texts(talk, "idea")) == (0, ["a", "b", "c", "d", "e"])
    talk.checkout("main")
    talk.merge("idea")
    undone = talk.undo(forked)
    assert (undone.dropped, undone.left) == (("idea",), 0)  # main holds them


def test_what_another_program_did_is_told_where_it_is_passed_over(manager: Manager) -> None:
    manager.add_messages(say("a"))
    manager.rename_branch("main", "One")
    record = manager.store.load("talk").branches["main"]
    manager.store.commit("talk", change("external-edit", put_again(record, history=())))
    number = next(manager.operations()).number
    with pytest.raises(InvalidRequestError, match="cannot be undone: another program did it") as caught:
        manager.undo(number)
    assert caught.value.hint == f"`bough revert {number}` takes out what it changed"
    assert manager.undo().passed_over == (number,)
    with pytest.raises(NothingToUndoError) as nothing:
        manager.undo()
    assert nothing.value.hint == f"`bough revert {number}` takes out what it changed"


def test_what_only_made_a_branch_has_nothing_to_revert(talk: Manager) -> None:
    record = talk.store.load("talk").branches["side"]
    talk.store.commit(
        "talk", change("external-edit", Put(record=replace(record, id="new", tip=Tip("t", 0)), expected=None))
    )
    with pytest.raises(InvalidRequestError) as caught:
        talk.undo(next(talk.operations()).number)
    assert caught.value.hint == ""


@pytest.mark.parametrize(("first", "hint"), [("assistant", "no repair mends it"), ("tool", "`--repair` mends it")])
def test_turns_that_are_refused_are_said_to_be_mended_where_they_can(manager: Manager, first: str, hint: str) -> None:
    manager.add_message({"role": first, "content": "x", "tool_call_id": "c1"})
    with pytest.raises(InvalidTurnsError) as caught:
        manager.get_messages(for_provider="anthropic" if first == "assistant" else "openai")
    assert caught.value.hint.endswith(hint)
