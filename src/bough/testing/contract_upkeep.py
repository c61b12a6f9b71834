"""The part of the contract about what is kept beside messages, mixed into :class:`bough.testing.StoreContract`: edits,
the session's attributes, who did it; what is freed and erased (promise 8); ``verify``.

What it deliberately does not do: damage a store. How that is found depends on where it writes.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bough import codec, history
from bough.changes import change, put_again, put_new
from bough.errors import BranchMovedError, CorruptBranchError, InvalidRequestError
from bough.model import (
    Append,
    BranchChange,
    BranchRecord,
    Drop,
    Edit,
    Finding,
    Graft,
    History,
    Operation,
    Piece,
    Put,
    Tip,
    replace,
)
from bough.stores.base import Store

TALK = "talk"


def lines(*texts: str) -> list[bytes]:
    return codec.encode_all({"role": "user", "content": text} for text in texts)


def begin(store: Store, *texts: str) -> BranchRecord:
    """Makes the session and its main, with messages."""
    store.commit(TALK, change("init", put_new("main", "A branch"), head="main"))
    return store.commit(TALK, Append(branch_id="main", messages=lines(*texts))).branches["main"]


def edited(record: BranchRecord, index: int, text: str) -> Put:
    """The branch with another message at ``index``."""
    segment, at = record.tip
    pieces = history.concat(
        history.cut(record.history, 0, index),
        (Piece(segment, at, at + 1),),
        history.cut(record.history, index + 1, record.length),
    )
    edit = Edit(segment, at, *history.identity(record.history, index))
    put = put_again(record, history=pieces, tip=Tip(segment, at + 1), edits=(*record.edits, edit))
    return replace(put, messages=lines(text))


def said(store: Store, pieces: History) -> list[str]:
    return [message["content"] for message in store.read(TALK, pieces)]


def errors_of(store: Store) -> list[Finding]:
    return [finding for finding in store.verify(TALK) if finding.severity != "note"]


class UpkeepContract:
    """Subclass it, and give it ``store_factory`` and ``store``."""

    # -- edits -----------------------------------------------------------------------------------------------------

    def test_edits_are_kept_with_the_history_they_belong_to(
        self, store: Store, store_factory: Callable[[], Store]
    ) -> None:
        record = begin(store, "one", "two", "three")
        commit = store.commit(TALK, change("edit", edited(record, 1, "zwei")))
        after = commit.branches["main"]
        assert after.edits == (Edit(record.tip.segment, 3, record.tip.segment, 1),)
        assert said(store, after.history) == ["one", "zwei", "three"]
        grown = store.commit(TALK, Append(branch_id="main", messages=lines("four"))).branches["main"]
        assert grown.edits == after.edits
        assert store_factory().load(TALK).branches["main"] == grown
        [entry] = next(iter(store.operations(TALK))).branches
        assert (entry.before, entry.after) == (record, after)
        fork = put_new("b", "b", grown)
        made = store.commit(TALK, change("fork", replace(fork, record=replace(fork.record, edits=grown.edits))))
        assert made.branches["b"].edits == store.load(TALK).branches["b"].edits == grown.edits
        assert errors_of(store) == []

    def test_edits_can_be_taken_back(self, store: Store) -> None:
        record = begin(store, "one", "two")
        after = store.commit(TALK, change("edit", edited(record, 0, "eins"))).branches["main"]
        back = put_again(after, history=record.history, edits=())
        assert store.commit(TALK, change("undo", back)).branches["main"].edits == ()
        assert store.load(TALK).branches["main"].edits == ()

    # -- attributes and who ----------------------------------------------------------------------------------------

    def test_attributes_are_the_sessions_and_change_with_an_operation(
        self, store: Store, store_factory: Callable[[], Store]
    ) -> None:
        begin(store, "hi")
        assert dict(store.load(TALK).attributes) == {}
        first = {"title": "Über\0 🌳", "n": [2**70, 1.0, True, None]}
        commit = store.commit(TALK, change("describe", attributes=first))
        assert commit.operation is not None
        assert commit.operation.attributes is not None
        assert [dict(each) for each in commit.operation.attributes] == [{}, first]
        assert commit.operation.branches == ()
        store.commit(TALK, Append(branch_id="main", messages=lines("more")))
        store.commit(TALK, change("rename", put_again(store.load(TALK).branches["main"], name="x")))
        for each in (store, store_factory()):
            assert codec.dumps(dict(each.load(TALK).attributes)) == codec.dumps(first)
            assert codec.dumps(dict(each.load(TALK, only=["main"]).attributes)) == codec.dumps(first)
        logged = list(store.operations(TALK))
        assert [operation.attributes is not None for operation in logged] == [False, True, False]
        store.commit(TALK, change("describe", attributes={}))
        assert dict(store.load(TALK).attributes) == {}
        assert errors_of(store) == []

    def test_attributes_of_a_session_move_with_it(self, store: Store) -> None:
        begin(store, "hi")
        store.commit(TALK, change("describe", attributes={"title": "x"}))
        store.move(TALK, "other")
        assert dict(store.load("other").attributes) == {"title": "x"}
        assert dict(store.load(TALK).attributes) == {}

    def test_an_operation_says_who_did_it(self, store: Store, store_factory: Callable[[], Store]) -> None:
        begin(store)
        [mine] = store.operations(TALK)
        [again] = store_factory().operations(TALK)
        assert (mine.pid, mine.hostname, mine.user) == (again.pid, again.hostname, again.user)
        assert mine.user

    # -- promise 8: what is given up -------------------------------------------------------------------------------

    @pytest.mark.parametrize("erase", [False, True])
    def test_8_what_is_freed_is_gone_and_its_places_stay_taken(
        self, store: Store, store_factory: Callable[[], Store], erase: bool
    ) -> None:
        record = begin(store, "one", "two", "three")
        segment = record.tip.segment
        cut = store.commit(TALK, change("reset", put_again(record, history=(Piece(segment, 0, 1),)))).branches["main"]
        assert said(store, record.history) == ["one", "two", "three"]
        state = store.load(TALK)
        free = (Piece(segment, 1, 3),)
        commit = store.commit(TALK, change("gc", free=free, erase=erase, after_operation=state.last_operation))
        assert commit.operation is not None
        assert (commit.operation.freed, commit.operation.erased) == (free, erase)
        for each in (store, store_factory()):
            assert said(each, cut.history) == ["one"]
            for at in (1, 2):
                with pytest.raises(CorruptBranchError):
                    each.read(TALK, (Piece(segment, at, at + 1),))
            logged = next(iter(each.operations(TALK)))
            assert (logged.freed, logged.erased) == (free, erase)
            assert errors_of(each) == []
        grown = store.commit(TALK, Append(branch_id="main", messages=lines("four"))).branches["main"]
        assert grown.history == (Piece(segment, 0, 1), Piece(segment, 3, 4))
        assert said(store, grown.history) == ["one", "four"]
        assert errors_of(store) == []

    def test_8_a_branch_cannot_come_to_hold_again_what_was_freed(self, store: Store) -> None:
        record = begin(store, "one", "two")
        cut = store.commit(TALK, change("reset", put_again(record, history=history.cut(record.history, 0, 1))))
        free = history.cut(record.history, 1, 2)
        store.commit(TALK, change("gc", free=free, after_operation=store.load(TALK).last_operation))
        with pytest.raises(CorruptBranchError):
            store.commit(TALK, change("revert", put_again(cut.branches["main"], history=record.history)))
        assert said(store, store.load(TALK).branches["main"].history) == ["one"]

    def test_8_what_a_branch_holds_is_not_freed(self, store: Store) -> None:
        record = begin(store, "one", "two")
        last = store.load(TALK).last_operation
        for free in ((Piece(record.tip.segment, 1, 2),), record.history):
            with pytest.raises(InvalidRequestError):
                store.commit(TALK, change("gc", free=free, after_operation=last))
        assert said(store, record.history) == ["one", "two"]
        assert store.load(TALK).last_operation == last

    def test_8_one_change_takes_a_message_from_its_branches_and_erases_it(self, store: Store) -> None:
        record = begin(store, "one", "secret", "three")
        store.commit(TALK, change("fork", put_new("b", "b", record)))
        free = history.cut(record.history, 1, 2)
        state = store.load(TALK)
        puts = [put_again(each, history=history.subtract(each.history, free)) for each in state.branches.values()]
        after = state.last_operation
        store.commit(TALK, change("purge", *puts, free=free, erase=True, after_operation=after))
        for each in store.load(TALK).branches.values():
            assert said(store, each.history) == ["one", "three"]
        with pytest.raises(CorruptBranchError):
            store.read(TALK, free)
        assert errors_of(store) == []

    def test_8_the_messages_of_a_dropped_branch_can_be_freed(self, store: Store) -> None:
        record = begin(store, "one")
        b = store.commit(TALK, change("fork", put_new("b", "b", record))).branches["b"]
        b = store.commit(TALK, Append(branch_id="b", messages=lines("two", "three"))).branches["b"]
        store.commit(TALK, change("delete", drops=(Drop(branch_id="b", expected=b.version),)))
        assert said(store, b.history) == ["one", "two", "three"]
        free = history.subtract(b.history, record.history)
        store.commit(TALK, change("gc", free=free, after_operation=store.load(TALK).last_operation))
        assert said(store, record.history) == ["one"]
        with pytest.raises(CorruptBranchError):
            store.read(TALK, free)
        put = put_new("b", "b", record)
        with pytest.raises(CorruptBranchError):  # nor may a branch come to hold it again
            store.commit(TALK, change("restore", replace(put, record=replace(put.record, history=b.history))))
        assert "b" not in store.load(TALK).branches
        assert errors_of(store) == []

    def test_8_it_is_refused_where_another_operation_came_first(self, store: Store) -> None:
        record = begin(store, "one", "two")
        store.commit(TALK, change("reset", put_again(record, history=history.cut(record.history, 0, 1))))
        with pytest.raises(BranchMovedError):
            store.commit(TALK, change("gc", free=history.cut(record.history, 1, 2), after_operation=1))
        assert said(store, record.history) == ["one", "two"]

    # -- grafts ----------------------------------------------------------------------------------------------------

    def test_a_graft_brings_attributes_edits_and_what_was_freed(self, store: Store) -> None:
        record = begin(store, "one", "two")
        gone = Piece("elsewhere", 0, 1)
        store.commit(TALK, Graft(runs=((gone, lines("bygone")),)))
        edits = (Edit("elsewhere", 1, "elsewhere", 0),)
        after = replace(record, history=(Piece("elsewhere", 1, 2),), edits=edits, operation=5)
        last = next(iter(store.operations(TALK)))
        operation = Operation(
            number=5,
            id="five",
            kind="gc",
            at=last.at,
            pid=1,
            hostname="h",
            head_before="main",
            head_after="main",
            user="u",
            attributes=({}, {"title": "t"}),
            freed=(gone,),
            branches=(),
        )
        entry = replace(operation, branches=_one_branch(record, after))
        store.commit(
            TALK,
            Graft(
                runs=((Piece("elsewhere", 1, 2), lines("new")),),
                puts=(Put(record=after, expected=record.version),),
                operation=entry,
            ),
        )
        state = store.load(TALK)
        assert state.branches["main"] == after
        assert dict(state.attributes) == {"title": "t"}
        assert next(iter(store.operations(TALK))) == entry
        with pytest.raises(CorruptBranchError):
            store.read(TALK, (gone,))
        assert said(store, after.history) == ["new"]
        assert errors_of(store) == []

    # -- verify ----------------------------------------------------------------------------------------------------

    def test_verify_tells_of_messages_that_nothing_ever_had_until_they_are_freed(self, store: Store) -> None:
        record = begin(store, "one", "two")
        store.commit(TALK, change("reset", put_again(record, history=history.cut(record.history, 0, 1))))
        sent = Piece("elsewhere", 2, 4)
        store.commit(TALK, Graft(runs=((sent, lines("three", "four")),)))
        [note] = store.verify(TALK)
        assert (note.severity, note.unreachable, note.history) == ("note", True, (sent,))
        store.commit(TALK, change("gc", free=note.history, after_operation=store.load(TALK).last_operation))
        assert list(store.verify(TALK)) == []
        assert said(store, record.history) == ["one", "two"]

    def test_verify_finds_nothing_where_nothing_is_wrong(self, store: Store) -> None:
        assert list(store.verify("nobody")) == []
        record = begin(store, "one", "two", "three")
        b = store.commit(TALK, change("fork", put_new("b", "b", record, 1), head="b")).branches["b"]
        b = store.commit(TALK, Append(branch_id="b", messages=lines("four", "five"))).branches["b"]
        merged = put_again(record, history=history.concat(record.history, history.subtract(b.history, record.history)))
        main = store.commit(TALK, change("merge", merged)).branches["main"]
        store.commit(TALK, Append(branch_id="main", messages=lines("six")))
        store.commit(TALK, change("set", edited(store.load(TALK).branches["main"], 0, "eins")))
        store.commit(TALK, change("delete", drops=(Drop(branch_id="b", expected=b.version),), head="main"))
        assert list(store.verify(TALK)) == []
        assert store.sessions() == [TALK]
        assert main.length == 5


def _one_branch(before: BranchRecord, after: BranchRecord) -> tuple[BranchChange, ...]:
    return (BranchChange(id=after.id, before=before, after=after),)
