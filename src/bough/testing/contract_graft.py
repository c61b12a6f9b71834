"""The part of the contract that is about sessions as a whole: steps taken over from another store, and other ids.

Mixed into :class:`bough.testing.contract.StoreContract`; the names with ``graft`` are about
:class:`bough.model.Graft`, those with ``move`` about :meth:`bough.stores.base.Store.move`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeAlias

import pytest

from bough import codec, history
from bough.changes import change, new_id, put_again, put_new
from bough.copying import copy_session
from bough.errors import (
    BoughError,
    BranchExistsError,
    BranchMovedError,
    BranchNotFoundError,
    CorruptBranchError,
    InvalidIdError,
    InvalidRequestError,
    SessionNotFoundError,
)
from bough.model import (
    Append,
    BranchChange,
    BranchRecord,
    Drop,
    Graft,
    Operation,
    Piece,
    Put,
    Tip,
    Version,
    replace,
)
from bough.stores.base import Store

StoreFactory: TypeAlias = Callable[[], Store]

SESSION = "talk"
WAIT = 60.0
MOMENT = codec.parse_time("2001-02-03T04:05:06.789Z")
THERE = "a segment of another store"
LONG = "x" * 512


def said(*texts: str) -> list[bytes]:
    return codec.encode_all({"role": "user", "content": text} for text in texts)


def texts_of(store: Store, pieces: Sequence[Piece], session: str = SESSION) -> list[str]:
    return [message["content"] for message in store.read(session, tuple(pieces))]


def elsewhere(branch_id: str, *pieces: Piece, operation: int = 1, name: str = "From elsewhere") -> BranchRecord:
    """A branch as a copy has it: messages of another store's segment, and a tip of its own."""
    return BranchRecord(
        id=branch_id,
        name=name,
        history=pieces,
        tip=Tip(new_id(), 0),
        created_at=MOMENT,
        updated_at=MOMENT,
        operation=operation,
        metadata={"from": ["elsewhere", 1.0]},
    )


def operation_of(number: int, *changes: BranchChange, kind: str = "import", head: str | None = "main") -> Operation:
    return Operation(
        number=number,
        id=f"operation {number} of another store",
        kind=kind,
        at=MOMENT,
        pid=4,
        hostname="elsewhere",
        head_before=None if number == 1 else "main",
        head_after=head,
        branches=changes,
        detail={"why": [1.5, None]},
    )


def first_step(*texts: str, branch_id: str = "main") -> Graft:
    """Operation 1: a branch with messages."""
    record = elsewhere(branch_id, *([Piece(THERE, 0, len(texts))] if texts else []))
    return Graft(
        runs=((Piece(THERE, 0, len(texts)), said(*texts)),) if texts else (),
        puts=(Put(record=record, expected=None),),
        operation=operation_of(1, BranchChange(id=branch_id, before=None, after=record)),
    )


def shown(store: Store, session: str = SESSION) -> object:
    """All of a session."""
    state = store.load(session)
    texts = {id_: store.read(session, record.history) for id_, record in state.branches.items()}
    return state, texts, list(store.operations(session))


class GraftContract:
    """See the module's docstring."""

    # -- grafts ----------------------------------------------------------------------------------------------------

    def test_a_graft_takes_an_operation_over_as_it_is(self, store: Store, store_factory: StoreFactory) -> None:
        step = first_step("one", "two")
        commit = store.commit(SESSION, step)
        record = step.puts[0].record
        assert dict(commit.branches) == {"main": record}
        assert commit.operation == step.operation
        again = store_factory()
        for reader in (store, again):
            state = reader.load(SESSION)
            assert (dict(state.branches), state.head, state.last_operation) == ({"main": record}, "main", 1)
            assert list(reader.operations(SESSION)) == [step.operation]
            assert texts_of(reader, record.history) == ["one", "two"]
            assert reader.sessions() == [SESSION]
        again.close()

    def test_a_graft_without_operation_grows_a_branch_and_numbers_nothing(
        self, store: Store, store_factory: StoreFactory
    ) -> None:
        record = store.commit(SESSION, first_step("one")).branches["main"]
        later = codec.parse_time("2002-01-01T00:00:00.001Z")
        grown = replace(record, history=(Piece(THERE, 0, 3),), updated_at=later)
        run = (Piece(THERE, 1, 3), said("two", "three"))
        commit = store.commit(SESSION, Graft(runs=(run,), puts=(Put(record=grown, expected=record.version),)))
        assert (dict(commit.branches), dict(commit.before)) == ({"main": grown}, {"main": record})
        assert commit.operation is None
        again = store_factory()
        for reader in (store, again):
            state = reader.load(SESSION)
            assert (dict(state.branches), state.head, state.last_operation) == ({"main": grown}, "main", 1)
            assert len(list(reader.operations(SESSION))) == 1
            assert texts_of(reader, grown.history) == ["one", "two", "three"]
        again.close()

    def test_a_graft_with_a_branch_that_no_operation_tells_of(self, store: Store) -> None:
        record = elsewhere("main", Piece(THERE, 5, 6), operation=7)
        store.commit(
            SESSION, Graft(runs=((Piece(THERE, 5, 6), said("six")),), puts=(Put(record=record, expected=None),))
        )
        state = store.load(SESSION)
        assert (dict(state.branches), state.last_operation) == ({"main": record}, 7)
        assert list(store.operations(SESSION)) == []
        with pytest.raises(BranchMovedError):
            store.commit(SESSION, Graft(operation=operation_of(7)))
        commit = store.commit(SESSION, change("rename", put_again(record, name="New")))
        assert commit.operation is not None
        assert commit.operation.number == 8

    def test_a_grafted_branch_goes_on_in_a_segment_of_its_own(self, store: Store, store_factory: StoreFactory) -> None:
        record = store.commit(SESSION, first_step("one")).branches["main"]
        store.commit(SESSION, Append(branch_id="main", messages=said("ours")))
        again = store_factory()
        after = again.commit(SESSION, Append(branch_id="main", messages=said("ours too"))).branches["main"]
        assert after.history == (Piece(THERE, 0, 1), Piece(record.tip.segment, 0, 2))
        assert after.tip == Tip(record.tip.segment, 2)
        commit = store.commit(SESSION, change("fork", put_new("side", "Side", after, 2), head="side"))
        assert commit.operation is not None
        assert commit.operation.number == 2
        assert texts_of(again, commit.branches["side"].history) == ["one", "ours"]
        again.close()

    def test_graft_runs_come_in_any_order_with_gaps_and_are_kept_before_anything_refers_to_them(
        self, store: Store, store_factory: StoreFactory
    ) -> None:
        store.commit(SESSION, first_step("one"))
        store.commit(SESSION, Graft(runs=((Piece(THERE, 7, 9), said("eight", "nine")),)))
        store.commit(
            SESSION,
            Graft(runs=((Piece("another", 2, 3), said("third")), (Piece(THERE, 4, 6), said("five", "six")))),
        )
        again = store_factory()
        for reader in (store, again):
            pieces = [Piece(THERE, 8, 9), Piece("another", 2, 3), Piece(THERE, 4, 6), Piece(THERE, 0, 1)]
            assert texts_of(reader, pieces) == ["nine", "third", "five", "six", "one"]
            for gap in (Piece(THERE, 6, 7), Piece(THERE, 0, 2), Piece("another", 1, 3), Piece(THERE, 8, 10)):
                with pytest.raises(CorruptBranchError):
                    reader.read(SESSION, (gap,))
            assert texts_of(reader, reader.load(SESSION).branches["main"].history) == ["one"]
        again.commit(SESSION, Graft(runs=((Piece(THERE, 4, 8), said("five", "six", "seven", "eight")),)))
        assert texts_of(store, [Piece(THERE, 4, 9)]) == ["five", "six", "seven", "eight", "nine"]
        main = store.load(SESSION).branches["main"]
        grown = replace(main, history=(Piece(THERE, 0, 1), Piece(THERE, 4, 9), Piece("another", 2, 3)))
        store.commit(SESSION, Graft(puts=(Put(record=grown, expected=main.version),)))
        assert texts_of(again, grown.history) == ["one", "five", "six", "seven", "eight", "nine", "third"]
        again.close()

    def test_a_graft_for_a_session_that_is_new_may_send_messages_ahead(self, store: Store) -> None:
        run = (Piece(THERE, 0, 1), said("one"))
        store.commit(SESSION, Graft(runs=(run,)))
        assert store.sessions() == []
        assert dict(store.load(SESSION).branches) == {}
        store.commit(SESSION, replace(first_step("one"), runs=()))
        assert texts_of(store, store.load(SESSION).branches["main"].history) == ["one"]

    def test_a_graft_of_what_is_there_already_is_harmless(self, store: Store) -> None:
        store.commit(SESSION, first_step("one", "two"))
        before = shown(store)
        store.commit(SESSION, Graft(runs=((Piece(THERE, 1, 2), said("two")), (Piece(THERE, 0, 1), said("one")))))
        assert shown(store) == before

    @pytest.mark.parametrize(
        "case", ["exists", "moved", "gone", "drop moved", "number", "message", "missing", "missing after"]
    )
    def test_a_refused_graft_leaves_everything_as_it_was(self, store: Store, case: str) -> None:
        main = store.commit(SESSION, first_step("one", "two")).branches["main"]
        run = (Piece(THERE, 2, 3), said("three"))
        renamed = replace(main, name="Renamed", operation=2)
        moved = Version(1, 1)
        told = operation_of(2, BranchChange(id="main", before=main, after=renamed))
        grafts: dict[str, tuple[Graft, type[BoughError]]] = {
            "exists": (
                Graft(runs=(run,), puts=(Put(record=renamed, expected=None),), operation=told),
                BranchExistsError,
            ),
            "moved": (
                Graft(runs=(run,), puts=(Put(record=renamed, expected=moved),), operation=told),
                BranchMovedError,
            ),
            "gone": (Graft(runs=(run,), puts=(Put(record=elsewhere("x"), expected=moved),)), BranchMovedError),
            "drop moved": (Graft(runs=(run,), drops=(Drop(branch_id="main", expected=moved),)), BranchMovedError),
            "number": (Graft(runs=(run,), operation=operation_of(1)), BranchMovedError),
            "message": (Graft(runs=(run, (Piece(THERE, 1, 2), said("2")))), CorruptBranchError),
            "missing": (
                Graft(
                    runs=(run,),
                    puts=(Put(record=replace(renamed, history=(Piece(THERE, 0, 4),)), expected=main.version),),
                    operation=told,
                ),
                CorruptBranchError,
            ),
            "missing after": (
                Graft(puts=(Put(record=replace(main, history=(Piece(THERE, 0, 3),)), expected=main.version),)),
                CorruptBranchError,
            ),
        }
        before = shown(store)
        graft, expected = grafts[case]
        with pytest.raises(expected):
            store.commit(SESSION, graft)
        assert shown(store) == before
        with pytest.raises(CorruptBranchError):
            store.read(SESSION, (Piece(THERE, 2, 3),))
        store.commit(SESSION, Append(branch_id="main", messages=said("next")))
        assert texts_of(store, store.load(SESSION).branches["main"].history) == ["one", "two", "next"]

    def test_what_a_graft_displaces_or_drops_can_be_read_on(self, store: Store, store_factory: StoreFactory) -> None:
        main = store.commit(SESSION, first_step("one", "two")).branches["main"]
        side = elsewhere("side", Piece("another", 0, 2), operation=2)
        shorter = replace(main, history=(Piece(THERE, 1, 2),), operation=2)
        store.commit(
            SESSION,
            Graft(
                runs=((Piece("another", 0, 3), said("x", "y", "displaced at once")),),
                puts=(Put(record=shorter, expected=main.version), Put(record=side, expected=None)),
                operation=operation_of(
                    2,
                    BranchChange(id="main", before=main, after=shorter),
                    BranchChange(id="side", before=None, after=side),
                    head="side",
                ),
            ),
        )
        assert store.load(SESSION).head == "side"
        dropped = operation_of(4, BranchChange(id="side", before=side, after=None), kind="delete")
        drops = (Drop(branch_id="side", expected=side.version),)
        store.commit(SESSION, Graft(drops=drops, operation=dropped))
        state = store.load(SESSION)
        assert (set(state.branches), state.head, state.last_operation) == ({"main"}, "main", 4)
        empty = replace(shorter, history=())
        store.commit(SESSION, Graft(puts=(Put(record=empty, expected=shorter.version),)))
        again = store_factory()
        for reader in (store, again):
            assert texts_of(reader, main.history) == ["one", "two"]
            assert texts_of(reader, [Piece("another", 0, 3)]) == ["x", "y", "displaced at once"]
            assert [each.number for each in reader.operations(SESSION)] == [4, 2, 1]
            assert dict(reader.load(SESSION).branches) == {"main": empty}
        again.commit(SESSION, Graft(drops=(Drop(branch_id="main", expected=empty.version),)))
        assert dict(store.load(SESSION).branches) == {}
        assert texts_of(store, main.history) == ["one", "two"]
        again.close()

    def test_a_graft_of_an_operation_on_no_branch(self, store: Store) -> None:
        store.commit(SESSION, first_step("one"))
        told = operation_of(2, kind="checkout", head="nowhere")
        store.commit(SESSION, Graft(operation=told))
        assert store.load(SESSION).head == "nowhere"
        assert next(store.operations(SESSION)) == told

    def test_a_session_that_was_copied_twice_goes_on_apart(self, store: Store) -> None:
        """By the same store: what each session has of its own is its own, under identities of its own."""
        main = store.commit(SESSION, change("init", put_new("main", "Main"), head="main")).branches["main"]
        store.commit(SESSION, Append(branch_id="main", messages=said("one", "two")))
        for name in ("copy", "other"):
            result = copy_session(store, store, SESSION, new_id=name)
            assert (result.operations, result.branches, result.messages) == (1, 1, 2)
        tips = {main.tip.segment}
        for name in (SESSION, "copy", "other"):
            after = store.commit(name, Append(branch_id="main", messages=said(name))).branches["main"]
            assert texts_of(store, after.history, name) == ["one", "two", name]
            tips.add(after.tip.segment)
        assert len(tips) == 3
        store.commit(SESSION, Append(branch_id="main", messages=said("four")))
        for name in ("copy", "other"):
            with pytest.raises(BranchMovedError) as caught:
                copy_session(store, store, SESSION, new_id=name)
            assert (caught.value.session_id, caught.value.branch_id) == (name, "main")
        assert copy_session(store, store, "copy", new_id="of the copy").messages == 3

    # -- moves -----------------------------------------------------------------------------------------------------

    def _begin(self, store: Store, session: str = SESSION) -> object:
        store.commit(session, change("init", put_new("main", "Main"), head="main"))
        store.commit(session, Append(branch_id="main", messages=said("one", "two")))
        record = store.load(session).branches["main"]
        store.commit(session, change("set", put_again(record, history=history.cut(record.history, 1, 2))))
        store.commit(session, Append(branch_id="main", messages=said("three")))
        return self._whole(store, session)

    def _whole(self, store: Store, session: str) -> object:
        state = store.load(session)
        operations = list(store.operations(session))
        past = [each.history for operation in operations for entry in operation.branches if (each := entry.before)]
        messages = [store.read(session, pieces) for pieces in past]
        now = {name: store.read(session, record.history) for name, record in state.branches.items()}
        return dict(state.branches), state.head, state.last_operation, operations, messages, now

    @pytest.mark.parametrize(
        "names", [(SESSION, "other"), (SESSION, LONG), (LONG, "y" * 512), (LONG, "a/b"), ("A", "a")]
    )
    def test_a_moved_session_is_the_same_under_another_id(
        self, store: Store, store_factory: StoreFactory, names: tuple[str, str]
    ) -> None:
        old, new = names
        before = self._begin(store, old)
        again = store_factory()
        again.load(old)
        assert store.move(old, new) == new
        for each in (store, again):
            assert each.sessions() == [new]
            assert each.sessions(deleted=True) == []
            assert self._whole(each, new) == before
            assert dict(each.load(old).branches) == {}
            assert list(each.operations(old)) == []
        again.commit(new, Append(branch_id="main", messages=said("four")))
        with pytest.raises(BranchNotFoundError):
            again.commit(old, Append(branch_id="main", messages=said("lost")))
        assert self._begin(again, old) is not None
        assert store.sessions() == sorted(names)
        assert texts_of(store, store.load(new).branches["main"].history, new) == ["two", "three", "four"]
        again.close()

    @pytest.mark.parametrize("name", [SESSION, LONG, "a/b", "talk@2026-11-21T05:45:00.123Z"])
    def test_a_deleted_session_moves_aside_until_it_is_brought_back(
        self, store: Store, store_factory: StoreFactory, name: str
    ) -> None:
        before = self._begin(store, name)
        again = store_factory()
        kept = store.move(name, None)
        assert kept.rpartition("@")[0] == (name if len(name) < 400 else kept.rpartition("@")[0])
        assert codec.parse_time(kept.rpartition("@")[2])
        for each in (store, again):
            assert each.sessions() == []
            assert each.sessions(deleted=True) == [kept]
            assert dict(each.load(name).branches) == dict(each.load(kept).branches) == {}
            with pytest.raises(SessionNotFoundError):
                each.move(name, None)
            with pytest.raises(SessionNotFoundError):
                each.move(kept, None)
        assert again.move(kept, name) == name
        for each in (store, again):
            assert (each.sessions(), each.sessions(deleted=True)) == ([name], [])
            assert self._whole(each, name) == before
        store.commit(name, Append(branch_id="main", messages=said("four")))
        again.close()

    def test_deleted_sessions_of_one_name_are_kept_apart_when_moved(self, store: Store) -> None:
        kept = []
        for text in ("first", "second", "third"):
            store.commit(SESSION, change("init", put_new("main", text), head="main"))
            kept.append(store.move(SESSION, None))
        assert store.sessions(deleted=True) == sorted(kept)
        assert len(set(kept)) == 3
        assert store.move(kept[1], "back") == "back"
        assert store.load("back").branches["main"].name == "second"
        assert store.sessions(deleted=True) == sorted([kept[0], kept[2]])

    def test_a_move_that_cannot_be_is_refused(self, store: Store) -> None:
        self._begin(store)
        self._begin(store, "other")
        before = self._whole(store, SESSION), self._whole(store, "other")
        for origin, target, expected in [
            ("nobody", "new", SessionNotFoundError),
            ("nobody", None, SessionNotFoundError),
            (SESSION, "other", InvalidRequestError),
            (SESSION, SESSION, InvalidRequestError),
            (SESSION, "", InvalidIdError),
            (SESSION, "\0", InvalidIdError),
        ]:
            with pytest.raises(expected):
                store.move(origin, target)
        kept = store.move("other", None)
        with pytest.raises(InvalidRequestError):
            store.move(kept, SESSION)
        assert store.move(kept, "other") == "other"
        assert (self._whole(store, SESSION), self._whole(store, "other")) == before
        assert store.sessions() == ["other", SESSION]

    def test_a_writer_that_waits_for_a_move_writes_nothing(self, store: Store, store_factory: StoreFactory) -> None:
        """It waited for the lock of a session that is another's by the time that it comes."""
        before = self._begin(store)
        record = store.load(SESSION).branches["main"]
        writers = [store, store_factory()]
        changes = [
            Append(branch_id="main", messages=said("lost")),
            change("fork", put_new("side", "Side", record), head="side"),
            change("rename", put_again(record, name="Lost")),
        ]
        outcomes: list[object] = []

        def write(to: Store, what: Append) -> None:
            try:
                outcomes.append(to.commit(SESSION, what))
            except BoughError as error:
                outcomes.append(type(error))

        threads = [threading.Thread(target=write, args=(to, what), daemon=True) for to in writers for what in changes]
        with store.lock(SESSION):
            for thread in threads:
                thread.start()
            store.move(SESSION, "moved")
        for thread in threads:
            thread.join(WAIT)
        assert len(outcomes) == len(threads)
        gone = {SessionNotFoundError, BranchNotFoundError, BranchMovedError, CorruptBranchError}
        assert not [each for each in outcomes if each not in gone]
        assert self._whole(store, "moved") == before
        assert store.sessions() == ["moved"]
        self._begin(store)  # the id is free
        assert store.move("moved", "again") == "again"
        writers[1].close()
