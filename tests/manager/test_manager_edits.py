"""Editing history so that nothing is lost: edit, remove, reset, cherry-pick, repair, restore; previews and origins."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from manager_kit import Log, kinds, say, texts

from bough import history, merge
from bough.errors import (
    BranchExistsError,
    BranchMovedError,
    BranchNotFoundError,
    InvalidMessageError,
    InvalidRequestError,
    InvalidTurnsError,
    MergeConflictError,
    RevisionNotFoundError,
)
from bough.manager import ConversationBranchManager as Manager
from bough.manager import base
from bough.model import Edit, Message
from bough.testing.contract import StoreFactory


def call(*ids: str) -> Message:
    """An assistant's message that asks for tools."""
    calls = [{"id": id_, "type": "function", "function": {"name": "look", "arguments": "{}"}} for id_ in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def result(id_: str) -> Message:
    return {"role": "tool", "tool_call_id": id_, "content": f"result {id_}"}


@pytest.fixture
def talk(manager: Manager) -> Manager:
    """main: a b c d; side, from main at 2: a b s t; on main."""
    manager.add_messages(say("a", "b", "c", "d"))
    manager.fork_from_message("side", 2)
    manager.add_messages(say("s", "t"))
    manager.checkout("main")
    return manager


@pytest.fixture
def tools(manager: Manager) -> Manager:
    """main: a user's question, a call of two tools, both results, the answer."""
    manager.add_messages([*say("q"), call("1", "2"), result("1"), result("2"), {"role": "assistant", "content": "so"}])
    return manager


def state_of(manager: Manager) -> Any:
    return manager.store.load(manager.session_id)


# -- edit --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [0, 2, 3, -1, -4])
def test_an_edit_puts_another_message_in_the_place(talk: Manager, index: int) -> None:
    expected = ["a", "b", "c", "d"]
    expected[index] = "new"
    before = state_of(talk).branches["main"]
    version = talk.edit_message(index, say("new")[0])
    after = state_of(talk).branches["main"]
    assert texts(talk) == expected
    assert version == after.version
    operation = next(talk.operations())
    assert (operation.kind, dict(operation.detail)) == ("edit", {"index": index % 4})
    [edit] = after.edits
    assert (edit.original_segment, edit.original_position) == history.identity(before.history, index % 4)
    assert talk.read_messages(before.history) == say("a", "b", "c", "d")


def test_an_edit_of_an_edit_is_of_the_first_wording(talk: Manager) -> None:
    first = state_of(talk).branches["main"].history[0]
    talk.edit_message(1, say("b2")[0])
    talk.edit_message(1, say("b3")[0])
    [edit] = state_of(talk).branches["main"].edits
    tip = state_of(talk).branches["main"].tip
    assert edit == Edit(tip.segment, tip.next - 1, first.segment, 1)
    assert texts(talk) == ["a", "b3", "c", "d"]


def test_an_edit_that_changes_nothing_is_none(talk: Manager) -> None:
    talk.edit_message(0, say("a")[0])
    assert kinds(talk)[-1] == "checkout"
    talk.edit_message(0, {"content": "a", "role": "user"})  # another order of keys is another message
    assert kinds(talk)[-1] == "edit"


def test_edits_of_another_branch_leave_the_current_one(talk: Manager) -> None:
    talk.edit_message(-1, say("t2")[0], branch_id="side")
    talk.remove_messages(0, branch_id="side")
    assert (texts(talk), texts(talk, "side")) == (["a", "b", "c", "d"], ["b", "s", "t2"])
    assert talk.get_current_branch_id() == "main"


def test_forks_keep_the_edits_of_what_they_hold(talk: Manager) -> None:
    talk.edit_message(0, say("A")[0])
    talk.edit_message(3, say("D")[0])
    talk.fork_from_message("less", 2)
    assert [edit.original_position for edit in state_of(talk).branches["less"].edits] == [0]
    talk.checkout("side")
    talk.merge("less")
    assert texts(talk) == ["a", "b", "s", "t"]


def test_what_is_set_knows_of_the_edits_it_keeps(talk: Manager) -> None:
    talk.edit_message(0, say("A")[0])
    talk.set_messages(say("A", "b", "x"))
    assert len(state_of(talk).branches["main"].edits) == 1
    talk.set_messages(say("other", "b", "x"))
    assert state_of(talk).branches["main"].edits == ()


@pytest.mark.parametrize("index", [4, -5, 10**9])
def test_there_is_no_such_message(talk: Manager, index: int) -> None:
    before = state_of(talk)
    with pytest.raises(InvalidRequestError, match="no message"):
        talk.edit_message(index, say("x")[0])
    with pytest.raises(InvalidRequestError, match="no message"):
        talk.remove_messages(index)
    with pytest.raises(InvalidMessageError):
        talk.edit_message(0, {"x": float("nan")})
    with pytest.raises(BranchNotFoundError):
        talk.edit_message(0, say("x")[0], branch_id="none")
    assert state_of(talk) == before


@pytest.mark.parametrize(
    "verb",
    [
        lambda talk: talk.edit_message(0, say("A")[0]),
        lambda talk: talk.remove_messages(0),
        lambda talk: talk.reset("side"),
        lambda talk: talk.cherry_pick("side"),
    ],
)
def test_who_edits_has_not_seen_what_others_added(talk: Manager, store_factory: StoreFactory, verb: Any) -> None:
    """Or the next whole list that is set would overwrite it."""
    talk.get_messages()
    Manager("talk", store=store_factory()).add_messages(say("from another"))
    verb(talk)
    with pytest.raises(BranchMovedError):
        talk.set_messages(say("all new"))
    held = talk.get_messages()
    talk.edit_message(0, say("mine")[0])
    talk.set_messages(held)


# -- remove ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "stop", "left", "detail"),
    [
        (0, None, "bcd", (0, 1)),
        (-1, None, "abc", (3, 4)),
        (1, 3, "ad", (1, 3)),
        (0, 4, "", (0, 4)),
        (1, -1, "ad", (1, 3)),
        (-3, -1, "ad", (1, 3)),
    ],
)
def test_remove(talk: Manager, start: int, stop: int | None, left: str, detail: tuple[int, int]) -> None:
    version = talk.remove_messages(start, stop)
    assert texts(talk) == list(left)
    assert version.length == len(left)
    operation = next(talk.operations())
    assert (operation.kind, operation.detail) == ("remove", dict(zip(("start", "stop"), detail, strict=True)))
    talk.add_messages(say("more"))
    talk.undo()
    assert texts(talk) == [*"abcd", "more"]


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (2, 2), (3, 1), (0, -4), (1, 0)])
def test_there_are_no_such_messages(talk: Manager, start: int, stop: int) -> None:
    with pytest.raises(InvalidRequestError):
        talk.remove_messages(start, stop)
    assert texts(talk) == list("abcd")


def test_an_undo_brings_back_once_what_a_merge_has_brought_back(talk: Manager) -> None:
    talk.create_branch("twin", "Twin", "main")
    talk.edit_message(1, say("B")[0], branch_id="twin")
    talk.remove_messages(1, 3)
    number = next(talk.operations()).number
    talk.merge("twin")
    assert texts(talk) == ["a", "d", "B", "c"]
    talk.add_messages(say("e"))
    talk.undo(number)
    assert texts(talk) == ["a", "b", "c", "d", "e"]


# -- reset -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "expected"),
    [(2, "ab"), (0, ""), ("main~1", "abc"), ("side", "abst"), ("side:3", "abs"), ("@{1}", "")],
)
def test_reset(talk: Manager, to: int | str, expected: str) -> None:
    if to == "@{1}":
        talk.set_messages(say("x"))
        talk.reset("@{1}")
        assert texts(talk) == list("abcd")
        talk.set_messages([])
        talk.set_messages(say("y"))
    version = talk.reset(to)
    assert texts(talk) == list(expected)
    assert version == state_of(talk).branches["main"].version
    assert next(talk.operations()).detail == {"to": to}
    talk.add_messages(say("on"))
    assert texts(talk, "side") == list("abst")


def test_a_reset_to_where_it_is_is_none(talk: Manager) -> None:
    number = next(talk.operations()).number
    talk.reset(4)
    talk.reset("HEAD")
    assert next(talk.operations()).number == number


def test_a_reset_takes_the_edits_of_what_it_takes(talk: Manager) -> None:
    talk.checkout("side")
    talk.edit_message(0, say("A")[0])
    talk.checkout("main")
    talk.reset("side")
    assert state_of(talk).branches["main"].edits == state_of(talk).branches["side"].edits != ()
    talk.reset("@{1}")
    assert (texts(talk), state_of(talk).branches["main"].edits) == (["a", "b", "c", "d"], ())


@pytest.mark.parametrize("to", [5, -1])
def test_a_reset_outside(talk: Manager, to: int) -> None:
    with pytest.raises(InvalidRequestError, match=r"0\.\.4"):
        talk.reset(to)


# -- tool calls --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "back", "forward"), [(0, 0, 0), (1, 1, 1), (2, 1, 4), (3, 1, 4), (4, 4, 4), (5, 5, 5)]
)
def test_align(tools: Manager, index: int, back: int, forward: int) -> None:
    whole = tools.get_messages()
    sides: tuple[tuple[base.Align, int], ...] = (("back", back), ("forward", forward))
    for side, stop in sides:
        tools.checkout("main")
        made = tools.fork_from_message("cut", index, align=side)
        assert (list(made.messages), made.parent_message_index) == (whole[:stop], stop)
        tools.checkout("main")
        made = tools.fork_from("cut", f":{index}", align=side)
        assert list(made.messages) == whole[:stop]
        tools.checkout("main")
        tools.reset(index, align=side)
        assert tools.get_messages() == whole[:stop]
        if stop < 5:
            tools.undo()
        tools.reset(f"main:{index}", align=side)
        assert tools.get_messages() == whole[:stop]
        if stop < 5:
            tools.undo()


def test_align_is_asked_for(tools: Manager) -> None:
    assert len(tools.fork_from_message("cut", 2).messages) == 2
    tools.checkout("main")
    with pytest.raises(InvalidRequestError, match="side"):
        tools.fork_from_message("cut", 2, align="middle")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match="append"):
        tools.merge("cut", "replace", align="back")
    with pytest.raises(InvalidRequestError, match="begin with 9"):
        tools.fork_from_message("cut", 9, align="back")


def test_a_pick_of_half_a_tool_call(tools: Manager) -> None:
    whole = tools.get_messages()
    tools.create_branch("none", "None")
    tools.checkout("none")
    tools.cherry_pick("main:3")
    assert tools.get_messages() == whole[2:3]
    tools.undo()
    tools.cherry_pick("main:3", align="back")
    assert tools.get_messages() == []
    tools.cherry_pick("main:3", align="forward")
    assert tools.get_messages() == whole[1:4]
    tools.undo()
    tools.cherry_pick("main:2..main:5", align="back")
    assert tools.get_messages() == whole[4:]


def test_a_merge_of_half_a_tool_call(tools: Manager) -> None:
    whole = tools.get_messages()
    tools.fork_from_message("cut", 2)
    tools.merge("main", align="back")
    assert tools.get_messages() == [*whole[:2], whole[4]]
    tools.undo()
    tools.merge("main", align="forward")
    assert tools.get_messages() == whole


def test_repair_is_an_operation(tools: Manager) -> None:
    tools.reset(3)
    before = tools.get_messages()
    assert [problem.kind for problem in tools.check()] == ["dangling-call"]
    repaired = tools.repair()
    assert [problem.kind for problem in repaired.problems] == ["dangling-call"]
    assert (repaired.left, tools.check()) == ([], [])
    assert [message["role"] for message in tools.get_messages()] == ["user", "assistant", "tool", "tool"]
    assert (next(tools.operations()).kind, tools.get_messages()[:3]) == ("repair", before)
    tools.repair()
    assert kinds(tools).count("repair") == 1
    tools.undo()
    assert tools.get_messages() == before
    tools.repair(how="remove")
    assert tools.check() == []
    assert texts(tools)[0] == "q"


def test_messages_for_a_provider(tools: Manager) -> None:
    assert tools.get_messages(for_provider="openai") == tools.get_messages()
    tools.reset(3)
    held = tools.get_messages()
    with pytest.raises(InvalidTurnsError) as caught:
        tools.get_messages(for_provider="openai")
    assert [problem.kind for problem in caught.value.problems] == ["dangling-call"]
    given = tools.get_messages(for_provider="openai", repair=True)
    assert (len(given), given[:3]) == (4, held)
    assert tools.get_messages() == held  # the branch stays as it is
    with pytest.raises(ValueError, match="provider"):
        tools.get_messages(for_provider="nobody")  # type: ignore[arg-type]


# -- cherry-pick -------------------------------------------------------------------------------------------------------


def test_a_pick_brings_each_message_once(talk: Manager) -> None:
    talk.cherry_pick("side~1")
    assert texts(talk) == [*"abcd", "s"]
    version = talk.cherry_pick("side", "side~1", "main..side", "side:1")
    assert texts(talk) == [*"abcds", "t"]
    assert version == state_of(talk).branches["main"].version
    number = next(talk.operations()).number
    talk.cherry_pick("side")
    assert talk.merge("side").operation is None
    assert next(talk.operations()).number == number


def test_a_pick_knows_wordings(talk: Manager) -> None:
    talk.checkout("side")
    talk.edit_message(0, say("A")[0])
    talk.edit_message(2, say("S")[0])
    talk.checkout("main")
    talk.cherry_pick("side:1", "side:3")
    assert texts(talk) == [*"abcd", "S"]
    assert len(state_of(talk).branches["main"].edits) == 1
    with pytest.raises(RevisionNotFoundError):
        talk.cherry_pick("none")
    assert texts(talk) == [*"abcd", "S"]


def test_a_pick_of_what_only_the_log_has(talk: Manager) -> None:
    talk.delete_branch("side")
    talk.cherry_pick("side@{1}")
    assert texts(talk) == [*"abcd", "t"]


# -- restoring ---------------------------------------------------------------------------------------------------------


def test_a_deleted_branch_comes_back(talk: Manager, store_factory: StoreFactory) -> None:
    heard = Log(talk)
    talk.edit_message(2, say("S")[0], branch_id="side")
    before = state_of(talk).branches["side"]
    talk.delete_branch("side")
    [(name, operation)] = talk.deleted_branches().items()
    assert (name, operation.kind) == ("side", "delete")
    heard.take()
    restored = talk.restore_branch("side")
    assert (list(restored.messages), restored.record.edits) == (say("a", "b", "S", "t"), before.edits)
    assert heard.take() == [("created", {"id": "side", "name": "side", "parent_id": "main"})]
    assert talk.deleted_branches() == {}
    with pytest.raises(BranchExistsError):
        talk.restore_branch("side")
    again = talk.restore_branch("side", "twin")
    talk.checkout("twin")
    talk.add_messages(say("on twin"))
    talk.checkout("side")
    talk.add_messages(say("on side"))
    assert texts(talk, "twin")[-1] == "on twin"
    assert again.record.tip.segment != restored.record.tip.segment
    other = Manager("talk", store=store_factory())
    assert texts(other, "side") == ["a", "b", "S", "t", "on side"]


def test_it_comes_back_as_it_was_when_it_was_dropped_last(talk: Manager) -> None:
    talk.delete_branch("side")
    talk.create_branch("side", "Another", "main", 1)
    talk.delete_branch("side")
    assert texts_of(talk.restore_branch("side")) == ["a"]
    with pytest.raises(BranchNotFoundError):
        talk.restore_branch("none")
    with pytest.raises(BranchNotFoundError):
        talk.restore_branch("main", "main again")


def texts_of(branch: Any) -> list[str]:
    return [message["content"] for message in branch.messages]


def test_what_was_given_up_does_not_come_back(talk: Manager) -> None:
    talk.delete_branch("side")
    assert talk.gc(keep=timedelta(0)).messages == 2
    with pytest.raises(InvalidRequestError, match="2 messages"):
        talk.restore_branch("side")
    with pytest.raises(InvalidRequestError, match="gc has given up"):
        talk.undo()


# -- previews and conflicts --------------------------------------------------------------------------------------------


@pytest.fixture
def torn(talk: Manager) -> Manager:
    """Both main and side have edited a; side has removed b, which main has edited."""
    talk.edit_message(0, say("A main")[0])
    talk.edit_message(1, say("B main")[0])
    talk.edit_message(0, say("A side")[0], branch_id="side")
    talk.remove_messages(1, branch_id="side")
    return talk


@pytest.mark.parametrize("strategy", ["append", "replace", "interleave", "three-way", merge.squash("short")])
def test_a_preview_says_what_would_happen_and_writes_nothing(talk: Manager, strategy: Any) -> None:
    before, heard = state_of(talk), Log(talk)
    preview = talk.merge("side", strategy, preview=True)
    assert state_of(talk) == before
    assert heard == []
    done = talk.merge("side", strategy)
    assert (preview.operation, done.operation) == (None, next(talk.operations()).number)
    assert (preview.added, preview.removed, preview.strategy) == (done.added, done.removed, done.strategy)
    assert [name for name, _ in heard] == ["merged"]
    if not preview.new:
        assert preview.diff == done.diff


def test_conflicts_are_told_and_settled(torn: Manager) -> None:
    before = state_of(torn)
    preview = torn.merge("side", "three-way", preview=True)
    assert [(each.kind, each.index) for each in preview.conflicts] == [("edit/edit", 0), ("edit/remove", 1)]
    first, second = preview.conflicts
    assert [each and each["content"] for each in (first.ancestor, first.ours, first.theirs)] == [
        "a",
        "A main",
        "A side",
    ]
    assert [each and each["content"] for each in (second.ancestor, second.ours, second.theirs)] == ["b", "B main", None]
    with pytest.raises(MergeConflictError) as caught:
        torn.merge("side", "three-way")
    assert caught.value.conflicts == preview.conflicts
    assert (caught.value.source, caught.value.target) == ("side", "main")
    assert state_of(torn) == before
    answers: dict[str, Any] = {"edit/edit": say("A both")[0], "edit/remove": "theirs"}
    torn.merge("side", merge.three_way(lambda conflict: answers[conflict.kind]))
    assert texts(torn) == ["A both", "c", "d", "s", "t"]
    assert torn.merge("side", "three-way").operation is None
    torn.undo()
    assert len(torn.merge("side", "three-way", preview=True).conflicts) == 2


def test_a_revert_that_is_in_conflict(torn: Manager) -> None:
    number = next(each.number for each in torn.operations("main") if each.kind == "edit")
    torn.edit_message(1, say("B again")[0])
    before = state_of(torn)
    with pytest.raises(MergeConflictError) as caught:
        torn.revert(number)
    assert [each.kind for each in caught.value.conflicts] == ["edit/edit"]
    assert state_of(torn) == before
    assert torn.revert(number, lambda _: "theirs") is not None
    assert texts(torn)[1] == "b"
    for unknown, reason in ((99, "no operation"), (1, "changed no branch")):
        with pytest.raises(InvalidRequestError, match=reason):
            torn.revert(unknown)


def test_a_revert_of_what_gc_has_given_up_is_refused(talk: Manager) -> None:
    talk.reset(2)
    number = next(talk.operations()).number
    talk.edit_message(0, say("A")[0])
    edited = next(talk.operations()).number
    talk.add_messages(say("later"))
    assert talk.gc(keep=timedelta(0)).messages
    before = state_of(talk)
    expected = rf"operation {number} \(reset\) cannot be reverted: gc has given up messages that branch 'main' had"
    with pytest.raises(InvalidRequestError, match=expected):
        talk.revert(number)
    assert state_of(talk) == before
    assert talk.revert(edited) is not None  # side still holds the wording
    assert texts(talk) == ["a", "b", "later"]


def test_a_revert_leaves_out_what_was_purged(talk: Manager) -> None:
    talk.remove_messages(2, 4)
    number = next(talk.operations()).number
    talk.purge("main@{1}:4")
    assert talk.revert(number) is not None
    assert texts(talk) == ["a", "b", "c"]


def test_a_revert_hints_at_an_undo_only_where_that_goes(talk: Manager) -> None:
    talk.rename_branch("side", "Another")
    renamed = next(talk.operations()).number
    talk.undo()
    for number, hint in ((1, ""), (renamed, f"`bough undo {renamed}`"), (renamed + 1, "")):
        with pytest.raises(InvalidRequestError, match="changed no branch's messages") as caught:
            talk.revert(number)
        assert caught.value.hint == hint


# -- origins -----------------------------------------------------------------------------------------------------------


def test_where_a_message_comes_from(talk: Manager) -> None:
    merged = talk.merge("side").operation
    talk.edit_message(0, say("A")[0])
    edited = next(talk.operations()).number
    first = talk.origin("main:1")
    assert (first.written_on, first.branch_id, first.came_by and first.came_by.number) == ("main", "main", edited)
    assert first.original == history.identity(talk.resolve("side").history, 0)
    second = talk.origin("main:2")
    assert (second.written_on, second.came_by, second.original, second.stands_for) == ("main", None, None, ())
    brought = talk.origin("main:-1")
    assert (brought.written_on, brought.came_by and brought.came_by.number) == ("side", merged)
    forked = talk.origin("side:1")
    assert (forked.written_on, forked.branch_id, forked.came_by and forked.came_by.kind) == ("main", "side", "fork")
    talk.delete_branch("side")
    assert talk.origin().written_on == "side"
    with pytest.raises(RevisionNotFoundError):
        talk.origin("main:0")


def test_what_a_squash_stands_for(talk: Manager) -> None:
    missing = history.subtract(state_of(talk).branches["side"].history, state_of(talk).branches["main"].history)
    result = talk.merge("side", merge.squash("in short"))
    assert texts(talk) == [*"abcd", "in short"]
    origin = talk.origin()
    assert (origin.stands_for, origin.came_by and origin.came_by.number) == (missing, result.operation)
    talk.fork("later")
    assert talk.origin().stands_for == missing
    assert talk.read_messages(talk.origin().stands_for) == say("s", "t")


@pytest.mark.parametrize("number", [0.5, 1.0, True, None])
def test_half_a_message_is_none(manager: Manager, number: Any) -> None:
    manager.add_messages(say("a", "b", "c"))
    before = manager.store.load("talk")
    with pytest.raises(InvalidRequestError):
        manager.reset(number)
    with pytest.raises(InvalidRequestError):
        manager.remove_messages(number)
    with pytest.raises(InvalidRequestError):
        manager.remove_messages(0, 1.5)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError):
        manager.edit_message(number, {"n": 1})
    assert manager.store.load("talk") == before
