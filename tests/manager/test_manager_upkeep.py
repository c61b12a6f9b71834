"""gc and purge by a manager: what is reported, what can still be undone, and what is said where it cannot."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from manager_kit import kinds, say, texts

from bough import errors
from bough.codec import encode
from bough.manager import ConversationBranchManager as Manager
from bough.model import Append, Change, Commit, Graft, Piece
from bough.testing.contract import StoreFactory

NONE = timedelta()


@pytest.fixture
def talk(manager: Manager) -> Manager:
    """main: a b c; side: a b s, from main at 2; on main."""
    manager.add_messages(say("a", "b", "c"))
    manager.fork_from_message("Side", 2)
    manager.add_messages(say("s"))
    manager.checkout("main")
    return manager


# -- gc ----------------------------------------------------------------------------------------------------------------


def test_gc_frees_what_only_old_operations_need_and_says_why_it_keeps_the_rest(talk: Manager) -> None:
    talk.delete_branch("side")
    assert talk.gc().messages == 0
    report = talk.gc(keep=NONE)
    assert (report.messages, report.in_branches, report.for_tags, report.for_undo) == (1, 3, 0, 0)
    assert report.operation == talk.store.load("talk").last_operation
    assert kinds(talk)[-1] == "gc"
    assert texts(talk) == ["a", "b", "c"]


def test_an_undo_past_a_gc_is_refused_with_words(talk: Manager) -> None:
    talk.delete_branch("side")
    number = talk.store.load("talk").last_operation
    talk.gc(keep=NONE)
    with pytest.raises(
        errors.InvalidRequestError, match=rf"operation {number} \(delete\) .* gc has given up"
    ) as caught:
        talk.undo()
    assert "'side'" in str(caught.value)
    with pytest.raises(errors.InvalidRequestError, match="1 messages of branch 'side' were given up by gc or purge"):
        talk.restore_branch("side")
    assert "side" not in {branch.id for branch in talk.get_all_branches()}


def test_what_needs_nothing_that_gc_gave_up_can_still_be_undone(talk: Manager) -> None:
    talk.remove_messages(2)
    talk.rename_branch("side", "Other")
    assert talk.gc(keep=NONE).messages == 1
    assert talk.undo().kind == "rename"
    assert {branch.id: branch.name for branch in talk.get_all_branches()}["side"] == "Side"


def test_gc_keeps_what_the_last_operations_need(talk: Manager) -> None:
    talk.reset(2)
    talk.reset(1)
    report = talk.gc(keep_operations=1)
    assert (report.messages, report.undo_to) == (1, report.operation and report.operation - 1)
    talk.undo()
    assert texts(talk) == ["a", "b"]
    with pytest.raises(errors.InvalidRequestError, match="gc has given up"):
        talk.undo()


def test_gc_after_another_reads_the_log_of_both(talk: Manager) -> None:
    talk.reset(2)
    assert talk.gc(keep=NONE).messages == 1
    talk.reset(1)
    talk.delete_branch("side")
    report = talk.gc(keep=NONE)
    assert (report.messages, report.in_branches) == (2, 1)
    assert talk.gc(keep=NONE).operation is None


def test_gc_frees_no_message_that_comes_to_be_needed_meanwhile(talk: Manager) -> None:
    """Another program undoes just before the gc is written: it is planned again."""

    class Busy:
        def __init__(self) -> None:
            self.is_first = True

        def commit(self, session_id: str, change: Append | Change | Graft) -> Commit:
            if self.is_first and isinstance(change, Change) and change.kind == "gc":
                self.is_first = False
                with Manager("talk", store=store) as other:
                    other.undo()
            return store.commit(session_id, change)

        def __getattr__(self, name: str) -> object:
            return getattr(store, name)

    store = talk.store
    talk.reset(1)
    with Manager("talk", store=Busy()) as busy:  # type: ignore[arg-type]
        report = busy.gc(keep=NONE)
    assert (report.messages, report.operation) == (0, None)
    assert texts(talk) == ["a", "b", "c"]


def test_gc_refuses_less_than_nothing(talk: Manager) -> None:
    for asked in ({"keep": timedelta(days=-1)}, {"keep_operations": -1}):
        with pytest.raises(errors.InvalidRequestError, match="less than nothing"):
            talk.gc(**asked)


def test_a_tip_goes_on_behind_what_gc_gave_up(talk: Manager) -> None:
    talk.reset(1)
    talk.gc(keep=NONE)
    talk.add_messages(say("d"))
    assert texts(talk) == ["a", "d"]
    assert texts(talk, "side") == ["a", "b", "s"]


def test_a_three_way_merge_works_when_gc_has_the_ancestors_wording(talk: Manager) -> None:
    talk.edit_message(1, say("b of main")[0])
    talk.edit_message(1, say("b of side")[0], branch_id="side")
    assert talk.gc(keep=NONE).messages == 1
    preview = talk.merge("side", "three-way", preview=True)
    assert len(preview.conflicts) == 1
    with pytest.raises(errors.MergeConflictError):
        talk.merge("side", "three-way")


# -- purge -------------------------------------------------------------------------------------------------------------


def test_purge_takes_a_message_from_everything_that_holds_it_and_says_what_did(
    talk: Manager, store_factory: StoreFactory
) -> None:
    talk.tag("v1", "side")
    talk.tag("v2", "main:1")
    report = talk.purge("main:2")
    assert (report.messages, report.branches, report.tags) == (1, {"main": 1, "side": 1}, ("v1",))
    assert report.operation == talk.store.load("talk").last_operation
    with Manager("talk", store=store_factory()) as again:
        assert texts(again, "main") == ["a", "c"]
        assert texts(again, "side") == ["a", "s"]
        assert again.read_messages(again.tags()["v1"].history) == say("a", "s")
        assert again.read_messages(again.tags()["v2"].history) == say("a")
        assert again.fsck().findings == ()
        with pytest.raises(errors.CorruptBranchError):
            again.read_messages(report.history)


def test_purge_of_a_range_and_of_several_revisions(talk: Manager) -> None:
    assert talk.purge("main..side", "main:1").messages == 2
    assert (texts(talk), texts(talk, "side")) == (["b", "c"], ["b"])
    assert talk.purge("main:0..main").branches == {"main": 0, "side": 0}
    assert (texts(talk), texts(talk, "side")) == ([], [])


def test_an_undo_past_a_purge_leaves_the_message_out(talk: Manager) -> None:
    talk.remove_messages(0)
    talk.delete_branch("side")
    talk.purge("main:1")
    assert texts(talk) == ["c"]
    talk.undo()
    assert texts(talk, "side") == ["a", "s"]
    talk.undo()
    assert texts(talk) == ["a", "c"]
    talk.redo()
    assert texts(talk) == ["c"]


def test_a_message_that_no_branch_has_any_more_can_be_purged(talk: Manager) -> None:
    talk.delete_branch("side")
    report = talk.purge("side@{1}")
    assert (report.messages, report.branches) == (1, {})
    with pytest.raises(errors.CorruptBranchError):
        talk.read_messages(report.history)
    with pytest.raises(errors.InvalidRequestError, match="given up by gc or purge"):
        talk.restore_branch("side")


def test_a_dry_run_says_the_same_and_does_nothing(talk: Manager) -> None:
    state, messages = talk.store.load("talk"), texts(talk)
    tried = talk.purge("main:2", dry_run=True)
    assert (talk.store.load("talk"), texts(talk), tried.operation) == (state, messages, None)
    done = talk.purge("main:2")
    assert done.operation is not None
    for name in ("messages", "history", "branches", "tags", "other_wordings"):
        assert getattr(done, name) == getattr(tried, name)


def test_what_a_dry_run_named_is_purged_whatever_the_branch_has_become(talk: Manager) -> None:
    tried = talk.purge("main", dry_run=True)
    talk.add_messages(say("d"))
    talk.remove_messages(0)
    assert talk.purge(*tried.history).branches == {"main": 1}
    assert texts(talk) == ["b", "d"]


def test_other_wordings_are_counted_and_left(talk: Manager) -> None:
    talk.edit_message(1, say("B")[0])
    talk.edit_message(1, say("Bee")[0])
    report = talk.purge("main:2")
    assert (report.messages, report.branches, report.other_wordings) == (1, {"main": 1}, 1)
    assert texts(talk) == ["a", "c"]
    assert texts(talk, "side") == ["a", "b", "s"]


@pytest.mark.parametrize("first", ["purge", "gc"])
def test_what_is_gone_already_can_be_purged_again(talk: Manager, first: str) -> None:
    """The bytes of what gc gave up may still be there."""
    places = talk.purge("main", dry_run=True).history
    if first == "gc":
        talk.remove_messages(2)
        assert talk.gc(keep=NONE).messages == 1
    else:
        talk.purge(*places)
    assert talk.purge(*places).branches == {}
    assert texts(talk) == ["a", "b"]
    talk.add_messages(say("d"))
    assert texts(talk) == ["a", "b", "d"]
    assert talk.fsck().findings == ()


def test_purging_nothing_is_no_operation(talk: Manager) -> None:
    kinds_before = kinds(talk)
    report = talk.purge("main..main")
    assert (report.messages, report.operation) == (0, None)
    assert kinds(talk) == kinds_before
    with pytest.raises(errors.RevisionNotFoundError):
        talk.purge("main:1", "nowhere")
    assert texts(talk) == ["a", "b", "c"]


def test_a_place_where_no_message_was_ever_is_not_purged(talk: Manager) -> None:
    """Else one that comes there later could not be read."""
    for piece in (Piece("nowhere", 0, 1), talk.store.load("talk").branches["main"].history[0]._replace(stop=4)):
        with pytest.raises(errors.InvalidRequestError, match="no message at"):
            talk.purge(piece)
    talk.add_messages(say("d"))
    assert texts(talk) == ["a", "b", "c", "d"]


def test_neither_is_done_while_a_branch_cannot_be_read(tmp_path: Path) -> None:
    with Manager("talk", store=tmp_path) as manager:
        manager.add_messages(say("a"))
        manager.fork("Side")
        (tmp_path / "talk" / "side.json").write_text("no JSON")
        verbs: list[Callable[[], object]] = [
            lambda: manager.gc(dry_run=True),
            lambda: manager.purge("main:1", dry_run=True),
            manager.gc,
            lambda: manager.purge("main:1"),
        ]
        for verb in verbs:
            with pytest.raises(errors.CorruptBranchError) as caught:
                verb()
            assert caught.value.branch_id == "side"
        assert texts(manager, "main") == ["a"]


# -- appends while it runs ---------------------------------------------------------------------------------------------


def test_what_is_appended_while_gc_plans_is_kept(talk: Manager) -> None:
    store = talk.store

    class Busy:
        def commit(self, session_id: str, change: Append | Change | Graft) -> Commit:
            if isinstance(change, Change) and change.free:
                store.commit("talk", Append(branch_id="main", messages=[encode(say("later")[0])]))
            return store.commit(session_id, change)

        def __getattr__(self, name: str) -> object:
            return getattr(store, name)

    talk.reset(2)
    with Manager("talk", store=Busy()) as busy:  # type: ignore[arg-type]
        assert busy.gc(keep=NONE).messages == 1
    assert texts(talk) == ["a", "b", "later"]
