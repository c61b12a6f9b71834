"""The contract of a store as a test class: give it a fixture ``store_factory`` and let pytest run it.

``store_factory()`` opens the store under test; each call opens the same place, which is empty at the start of a test.
A store that lives in one object (memory) gives that object each time. The numbers in the tests' names are those of the
promises in :mod:`bough.stores.base`.

What it deliberately does not do: crash a store, or tear its files. How that is survived depends on where it writes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeAlias

import pytest

from bough import codec, history
from bough.changes import change, put_again, put_new
from bough.errors import (
    BranchExistsError,
    BranchMovedError,
    BranchNotFoundError,
    CorruptBranchError,
    InvalidRequestError,
    SessionNotFoundError,
    StoreUnavailableError,
)
from bough.model import Append, BranchRecord, Commit, Drop, History, Message, Piece, Put, Tip, Version, replace
from bough.stores.base import Store
from bough.testing.contract_graft import GraftContract
from bough.testing.contract_search import SearchContract
from bough.testing.contract_upkeep import UpkeepContract

StoreFactory: TypeAlias = Callable[[], Store]

SESSION = "talk"
WAIT = 60.0
"""Seconds after which a thread that should have ended counts as stuck."""

AWKWARD_IDS = [
    "a/b",
    "..",
    ".",
    "-",
    "%41",
    "A",
    "a",
    "con",
    "HEAD",
    "session",
    "main.json",
    "with space",
    "new\nline",
    "ß",
    "e\u0301",
    "é",
    "会話",
    "🌳",
    "x" * 512,
    "🌳" * 128,
]

AWKWARD_MESSAGES: list[Message] = [
    {},
    {"": ""},
    {"z": 1, "a": 2},
    {"text": 'quotes " and \\ and /'},
    {"text": "\0\n\r\t\x7f\u2028\u2029\ufeff"},
    {"text": "e\u0301 é ß 会話 🌳"},
    {"n": [2**200, -(2**64), 0, -1]},
    {"n": [5.0, -0.0, 1e-320, 1.7976931348623157e308, 0.1]},
    {"v": [None, True, False, [], {}, [[]]]},
    {"],\n{": "}\n]"},
]


def said(*texts: str) -> list[bytes]:
    """Encoded messages."""
    return codec.encode_all({"role": "user", "content": text} for text in texts)


def begin(store: Store, *texts: str, branch_id: str = "main", session: str = SESSION) -> BranchRecord:
    """Makes a branch, with messages if any, and gives its record."""
    head = branch_id if store.load(session).head is None else None
    record = store.commit(session, change("init", put_new(branch_id, "A branch"), head=head)).branches[branch_id]
    return append(store, *texts, branch_id=branch_id, session=session).branches[branch_id] if texts else record


def append(store: Store, *texts: str, branch_id: str = "main", session: str = SESSION) -> Commit:
    return store.commit(session, Append(branch_id=branch_id, messages=said(*texts)))


def texts_of(store: Store, pieces: History, session: str = SESSION) -> list[str]:
    return [message["content"] for message in store.read(session, pieces)]


def with_new(record: BranchRecord, *texts: str) -> Put:
    """A put that adds messages at the tip, as one operation."""
    stop = record.tip.next + len(texts)
    pieces = history.concat(record.history, (Piece(record.tip.segment, record.tip.next, stop),))
    put = put_again(record, history=pieces, tip=Tip(record.tip.segment, stop))
    return replace(put, messages=said(*texts))


def in_thread(work: Callable[[], Any]) -> Any:
    """What ``work`` returns in a thread of its own, or raises there; an error if it does not end."""
    outcome: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001  (raised again in the test's own thread)
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(WAIT)
    assert not thread.is_alive(), "it waits, and should not"
    if errors:
        raise errors[0]
    return outcome[0]


class StoreContract(GraftContract, SearchContract, UpkeepContract):
    """Subclass it, and give it ``store_factory``."""

    @pytest.fixture
    def store(self, store_factory: StoreFactory) -> Iterator[Store]:
        store = store_factory()
        yield store
        store.close()

    # -- what is not there -----------------------------------------------------------------------------------------

    def test_a_session_that_does_not_exist_is_empty_and_is_not_made(self, store: Store) -> None:
        state = store.load("nobody")
        assert (state.session_id, state.head, dict(state.branches), state.last_operation) == ("nobody", None, {}, 0)
        assert state.findings == ()
        assert list(store.operations("nobody")) == []
        assert store.read("nobody", ()) == []
        with pytest.raises(SessionNotFoundError), store.lock("nobody"):
            pass
        assert store.sessions() == []

    def test_1_an_append_to_what_is_not_there_is_refused_and_makes_nothing(self, store: Store) -> None:
        with pytest.raises(BranchNotFoundError) as caught:
            append(store, "hi", session="nobody")
        assert (caught.value.session_id, caught.value.branch_id) == ("nobody", "main")
        assert store.sessions() == []
        begin(store)
        with pytest.raises(BranchNotFoundError):
            append(store, "hi", branch_id="other")

    def test_sessions_are_sorted_and_know_nothing_of_each_other(self, store: Store) -> None:
        for session in ("b", "a", "c"):
            begin(store, f"in {session}", session=session)
        assert store.sessions() == ["a", "b", "c"]
        for session in ("a", "b", "c"):
            state = store.load(session)
            assert texts_of(store, state.branches["main"].history, session) == [f"in {session}"]
            assert state.last_operation == 1

    # -- promise 1: commits ----------------------------------------------------------------------------------------

    def test_1_a_new_branch_is_as_it_was_put(self, store: Store) -> None:
        put = put_new("main", "Main conversation")
        rich = replace(put.record, parent_id="gone", parent_message_index=3, metadata={"b": [1.0, 2**70], "a": None})
        commit = store.commit(SESSION, change("init", replace(put, record=rich), head="main"))
        loaded = store.load(SESSION)
        assert commit.branches["main"] == loaded.branches["main"] == replace(rich, operation=1)
        assert (loaded.head, loaded.last_operation) == ("main", 1)

    def test_1_an_append_grows_the_branch_and_is_no_operation(self, store: Store) -> None:
        first = begin(store)
        commit = append(store, "one", "two")
        record = commit.branches["main"]
        assert commit.operation is None
        assert commit.before["main"] == first
        assert record.history == (Piece(first.tip.segment, 0, 2),)
        assert record.tip == Tip(first.tip.segment, 2)
        assert record.version == Version(1, 2)
        assert store.load(SESSION).branches["main"] == record
        assert store.load(SESSION).last_operation == 1
        assert texts_of(store, record.history) == ["one", "two"]

    def test_1_a_change_says_what_was_before_and_after(self, store: Store) -> None:
        before = begin(store, "one")
        commit = store.commit(SESSION, change("rename", put_again(before, name="Renamed")))
        assert commit.before == {"main": before}
        assert commit.branches["main"].name == "Renamed"
        assert commit.operation is not None
        [entry] = commit.operation.branches
        assert (entry.id, entry.before, entry.after) == ("main", before, commit.branches["main"])
        assert commit.branches["main"].version == Version(2, 1)

    def test_1_new_messages_of_a_put_take_the_next_places_of_its_tip(self, store: Store) -> None:
        record = begin(store, "one", "two")
        segment = record.tip.segment
        put = put_again(record, history=(Piece(segment, 0, 1), Piece(segment, 2, 3)), tip=Tip(segment, 3))
        after = store.commit(SESSION, change("set", replace(put, messages=said("new")))).branches["main"]
        assert texts_of(store, after.history) == ["one", "new"]
        assert texts_of(store, append(store, "last").branches["main"].history) == ["one", "new", "last"]

    @pytest.mark.parametrize("off", [-1, 1])
    def test_3_a_put_whose_new_places_are_not_the_next_ones_is_refused(self, store: Store, off: int) -> None:
        record = begin(store, "one", "two")
        put = with_new(record, "three")
        wrong = Tip(record.tip.segment, put.record.tip.next + off)
        with pytest.raises(InvalidRequestError):
            store.commit(SESSION, change("set", replace(put, record=replace(put.record, tip=wrong))))
        assert store.load(SESSION).branches["main"] == record

    def test_1_the_puts_of_one_change_may_refer_to_each_others_messages(self, store: Store) -> None:
        left = with_new(put_new("left", "Left").record, "shared", "left")
        right = with_new(put_new("right", "Right").record, "right")
        shared = (Piece(left.record.tip.segment, 0, 1),)
        right = replace(
            right, record=replace(right.record, history=history.concat(shared, right.record.history)), expected=None
        )
        commit = store.commit(SESSION, change("import", replace(left, expected=None), right, head="left"))
        assert texts_of(store, commit.branches["left"].history) == ["shared", "left"]
        assert texts_of(store, store.load(SESSION).branches["right"].history) == ["shared", "right"]

    @pytest.mark.parametrize(
        "case", ["exists", "moved", "moved by an append", "gone", "drop moved", "drop gone", "log"]
    )
    def test_1_a_refused_change_leaves_everything_as_it_was(self, store: Store, case: str) -> None:
        stale = begin(store, "one")
        append(store, "two")
        renamed = store.commit(SESSION, change("rename", put_again(store.load(SESSION).branches["main"], name="New")))
        main = renamed.branches["main"]
        begin(store, "other", branch_id="other")
        before, log = store.load(SESSION), list(store.operations(SESSION))
        other = with_new(before.branches["other"], "lost")
        unknown = Version(2, 1)
        expected: type[Exception] = BranchMovedError
        if case == "exists":
            refused, expected = change("create", other, put_new("main", "Again")), BranchExistsError
        elif case == "moved":
            refused = change("rename", other, Put(record=main, expected=stale.version), head="other")
        elif case == "moved by an append":
            refused = change("rename", other, Put(record=main, expected=Version(main.operation, 1)), head="other")
        elif case == "gone":
            refused = change("rename", other, Put(record=put_new("new", "New").record, expected=unknown))
        elif case == "drop moved":
            refused = change("delete", other, drops=(Drop(branch_id="main", expected=stale.version),), head="other")
        elif case == "drop gone":
            refused = change("delete", other, drops=(Drop(branch_id="new", expected=unknown),))
        else:
            refused = change("undo", other, after_operation=before.last_operation - 1)
        with pytest.raises(expected):
            store.commit(SESSION, refused)
        assert store.load(SESSION) == before
        assert list(store.operations(SESSION)) == log
        assert texts_of(store, append(store, "next", branch_id="other").branches["other"].history) == ["other", "next"]

    def test_1_the_right_last_operation_is_accepted(self, store: Store) -> None:
        begin(store)
        append(store, "an append does not count")
        commit = store.commit(SESSION, change("checkout", head="main", after_operation=1))
        assert commit.operation is not None
        assert commit.operation.number == 2

    def test_1_head_moves_only_when_told(self, store: Store) -> None:
        main = begin(store)
        begin(store, branch_id="other")
        assert store.load(SESSION).head == "main"
        moved = store.commit(SESSION, change("checkout", head="other"))
        assert moved.operation is not None
        assert (moved.operation.head_before, moved.operation.head_after) == ("main", "other")
        renamed = store.commit(SESSION, change("rename", put_again(main, name="Renamed")))
        assert renamed.operation is not None
        assert (renamed.operation.head_before, renamed.operation.head_after) == ("other", "other")
        assert store.load(SESSION).head == "other"

    def test_1_a_dropped_branch_is_gone(self, store: Store) -> None:
        begin(store)
        other = begin(store, "text", branch_id="other")
        commit = store.commit(SESSION, change("delete", drops=(Drop(branch_id="other", expected=other.version),)))
        assert dict(commit.branches) == {}
        assert commit.before == {"other": other}
        assert set(store.load(SESSION).branches) == {"main"}
        with pytest.raises(BranchNotFoundError):
            append(store, "hi", branch_id="other")

    def test_1_everything_is_there_when_the_store_is_opened_again(
        self, store: Store, store_factory: StoreFactory
    ) -> None:
        record = begin(store, "one")
        store.commit(SESSION, change("set", with_new(record, "two"), detail={"why": ["a", 1, None]}))
        append(store, "three")
        begin(store, "x", branch_id="other")
        again = store_factory()
        assert again.sessions() == [SESSION]
        assert again.load(SESSION) == store.load(SESSION)
        assert list(again.operations(SESSION)) == list(store.operations(SESSION))
        assert texts_of(again, again.load(SESSION).branches["main"].history) == ["one", "two", "three"]
        append(again, "four")
        assert texts_of(store, store.load(SESSION).branches["main"].history) == ["one", "two", "three", "four"]
        again.close()

    # -- load and read ---------------------------------------------------------------------------------------------

    def test_load_of_some_branches_gives_those_that_exist(self, store: Store) -> None:
        begin(store, "one")
        other = begin(store, branch_id="other")
        whole = store.load(SESSION)
        some = store.load(SESSION, only=["other", "unknown"])
        assert dict(some.branches) == {"other": other}
        assert (some.head, some.last_operation) == (whole.head, whole.last_operation)
        none = store.load(SESSION, only=[])
        assert (dict(none.branches), none.head, none.last_operation) == ({}, "main", 2)

    def test_a_loaded_state_never_changes(self, store: Store) -> None:
        record = begin(store, "one")
        state = store.load(SESSION)
        append(store, "two")
        begin(store, branch_id="other")
        assert dict(state.branches) == {"main": record}

    def test_3_an_exact_message_comes_back(self, store: Store, store_factory: StoreFactory) -> None:
        begin(store)
        lines = codec.encode_all(AWKWARD_MESSAGES)
        store.commit(SESSION, Append(branch_id="main", messages=lines))
        for line in lines:
            store.commit(SESSION, Append(branch_id="main", messages=[line]))
        again = store_factory()
        for reader in (store, again):
            pieces = reader.load(SESSION).branches["main"].history
            assert [codec.encode(message) for message in reader.read(SESSION, pieces)] == lines * 2
        again.close()

    def test_awkward_ids_are_kept_apart(self, store: Store, store_factory: StoreFactory) -> None:
        for at, name in enumerate(AWKWARD_IDS):
            begin(store, f"session {at}", session=name)
            begin(store, f"branch {at}", branch_id=name)
        again = store_factory()
        assert again.sessions() == sorted([*AWKWARD_IDS, SESSION])
        branches = again.load(SESSION).branches
        assert set(branches) == set(AWKWARD_IDS)
        for at, name in enumerate(AWKWARD_IDS):
            assert branches[name].id == name
            assert texts_of(again, branches[name].history) == [f"branch {at}"]
            assert texts_of(again, again.load(name).branches["main"].history, name) == [f"session {at}"]
        again.close()

    def test_a_read_gives_fresh_copies(self, store: Store) -> None:
        pieces = begin(store, "one").history
        store.read(SESSION, pieces)[0]["content"] = "changed"
        assert texts_of(store, pieces) == ["one"]

    def test_4_any_history_can_be_read(self, store: Store) -> None:
        main = begin(store, *"abcdef")
        other = begin(store, *"xyz", branch_id="other")
        mixed = history.concat(
            history.cut(main.history, 4, 6), history.cut(other.history, 1, 2), history.cut(main.history, 0, 1)
        )
        assert texts_of(store, mixed) == ["e", "f", "y", "a"]
        assert texts_of(store, ()) == []

    def test_4_the_histories_of_the_past_can_be_read(self, store: Store, store_factory: StoreFactory) -> None:
        first = begin(store, "one", "two")
        other = begin(store, "gone", branch_id="other")
        store.commit(SESSION, change("delete", drops=(Drop(branch_id="other", expected=other.version),)))
        store.commit(SESSION, change("set", put_again(first, history=())))
        append(store, "three")
        again = store_factory()
        for reader in (store, again):
            assert texts_of(reader, first.history) == ["one", "two"]
            assert texts_of(reader, other.history) == ["gone"]
            assert texts_of(reader, reader.load(SESSION).branches["main"].history) == ["three"]
        again.close()

    @pytest.mark.parametrize("session", [SESSION, "nobody"])
    def test_4_a_message_that_is_nowhere_is_reported(self, store: Store, session: str) -> None:
        record = begin(store, "one")
        with pytest.raises(CorruptBranchError):
            store.read(session, (Piece("no such segment", 0, 1),))
        with pytest.raises(CorruptBranchError):
            store.read(session, (Piece(record.tip.segment, 0, 2),))

    # -- promise 3: identities -------------------------------------------------------------------------------------

    def test_3_a_place_is_never_given_out_twice(self, store: Store) -> None:
        first = begin(store, "one", "two", "three")
        cut = history.cut(first.history, 0, 1)
        store.commit(SESSION, change("set", put_again(first, history=cut)))
        after = append(store, "four").branches["main"]
        assert after.history == (*cut, Piece(first.tip.segment, 3, 4))
        assert texts_of(store, after.history) == ["one", "four"]
        assert texts_of(store, first.history) == ["one", "two", "three"]

    def test_3_a_branch_that_is_put_back_goes_on_where_it_was(self, store: Store) -> None:
        begin(store)
        other = begin(store, "one", branch_id="other")
        store.commit(SESSION, change("delete", drops=(Drop(branch_id="other", expected=other.version),)))
        store.commit(SESSION, change("undo", Put(record=other, expected=None)))
        after = append(store, "two", branch_id="other").branches["other"]
        assert after.history == (Piece(other.tip.segment, 0, 2),)
        assert texts_of(store, after.history) == ["one", "two"]

    def test_3_a_branch_with_anothers_messages_appends_to_its_own_segment(self, store: Store) -> None:
        main = begin(store, "one", "two")
        put = put_new("child", "Child", main, 1)
        store.commit(SESSION, change("fork", put, head="child"))
        child = append(store, "three", branch_id="child").branches["child"]
        assert child.history == (Piece(main.tip.segment, 0, 1), Piece(put.record.tip.segment, 0, 1))
        append(store, "four")
        state = store.load(SESSION)
        assert texts_of(store, state.branches["child"].history) == ["one", "three"]
        assert texts_of(store, state.branches["main"].history) == ["one", "two", "four"]

    # -- promise 5: operations -------------------------------------------------------------------------------------

    def test_5_operations_are_numbered_from_1_and_read_newest_first(
        self, store: Store, store_factory: StoreFactory
    ) -> None:
        record = begin(store, "one")
        for name in ("B", "C"):
            with pytest.raises(BranchExistsError):
                store.commit(SESSION, change("create", put_new("main", "Again")))
            record = store.commit(
                SESSION, change("rename", put_again(record, name=name), detail={"to": name})
            ).branches["main"]
        again = store_factory()
        begin(again, branch_id="other")
        log = list(again.operations(SESSION))
        assert [operation.number for operation in log] == [4, 3, 2, 1]
        assert [operation.kind for operation in log] == ["init", "rename", "rename", "init"]
        assert dict(log[1].detail) == {"to": "C"}
        assert len({operation.id for operation in log}) == 4
        [entry] = log[1].branches
        assert entry.before is not None
        assert entry.after is not None
        assert (entry.before.name, entry.after.name, entry.after.operation) == ("B", "C", 3)
        assert entry.after.history == record.history
        assert again.load(SESSION).last_operation == 4
        assert next(again.operations(SESSION)) == log[0]
        again.close()

    # -- promises 2 and 6: readers, threads, the lock --------------------------------------------------------------

    def test_2_a_reader_does_not_wait_for_the_holder_of_the_lock(
        self, store: Store, store_factory: StoreFactory
    ) -> None:
        record = begin(store, "one")
        again = store_factory()
        with store.lock(SESSION):
            for reader in (store, again):
                assert in_thread(partial(reader.load, SESSION)).branches["main"] == record
                assert in_thread(partial(texts_of, reader, record.history)) == ["one"]
                assert next(in_thread(partial(reader.operations, SESSION))).number == 1
                assert in_thread(reader.sessions) == [SESSION]
        again.close()

    def test_2_a_reader_sees_all_of_a_change_or_nothing(self, store: Store, store_factory: StoreFactory) -> None:
        """Each change adds one message to both branches, and names the round."""
        rounds = 40
        records = [begin(store), begin(store, branch_id="other")]
        done = threading.Event()
        reader = store_factory()

        def read() -> int:
            looks = 0
            while not done.is_set() or not looks:
                state = reader.load(SESSION)
                main, other = state.branches["main"], state.branches["other"]
                if state.last_operation > 2:
                    assert main.version == other.version
                    assert main.operation == state.last_operation
                assert texts_of(reader, main.history) == texts_of(reader, other.history)
                looks += 1
            return looks

        def write() -> None:
            nonlocal records
            try:
                for number in range(rounds):
                    puts = [with_new(record, str(number)) for record in records]
                    branches = store.commit(SESSION, change("set", *puts)).branches
                    records = [branches["main"], branches["other"]]
            finally:
                done.set()

        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        assert in_thread(read) > 0
        writer.join(WAIT)
        assert records[0].length == rounds
        reader.close()

    def test_6_appends_from_threads_all_arrive_in_each_threads_order(
        self, store: Store, store_factory: StoreFactory
    ) -> None:
        begin(store)
        each, again = 25, store_factory()
        writers = [(store, "a"), (store, "b"), (again, "c"), (again, "d")]

        def write(to: Store, name: str) -> None:
            for number in range(each):
                append(to, f"{name}{number}")

        threads = [threading.Thread(target=write, args=writer, daemon=True) for writer in writers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        texts = texts_of(store, store.load(SESSION).branches["main"].history)
        assert len(texts) == each * len(writers)
        for _, name in writers:
            assert [text for text in texts if text[0] == name] == [f"{name}{number}" for number in range(each)]
        again.close()

    def test_6_of_rivals_that_expect_the_same_version_one_wins(self, store: Store, store_factory: StoreFactory) -> None:
        record = begin(store)
        again = store_factory()
        won: list[str] = []
        gate = threading.Barrier(4)

        def rival(to: Store, name: str) -> None:
            gate.wait(WAIT)
            try:
                to.commit(SESSION, change("rename", put_again(record, name=name)))
            except BranchMovedError:
                return
            won.append(name)

        threads = [
            threading.Thread(target=rival, args=(to, name), daemon=True)
            for to, name in [(store, "a"), (store, "b"), (again, "c"), (again, "d")]
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        assert len(won) == 1
        assert store.load(SESSION).branches["main"].name == won[0]
        assert store.load(SESSION).last_operation == 2
        again.close()

    def test_the_lock_lets_its_own_thread_through_and_keeps_others_waiting(self, store: Store) -> None:
        begin(store)
        started = threading.Event()

        def other() -> None:
            started.set()
            append(store, "other")

        thread = threading.Thread(target=other, daemon=True)
        with store.lock(SESSION):
            thread.start()
            assert started.wait(WAIT)
            with store.lock(SESSION):
                append(store, "one")
            append(store, "two")
        thread.join(WAIT)
        assert texts_of(store, store.load(SESSION).branches["main"].history) == ["one", "two", "other"]

    def test_the_lock_of_one_session_does_not_hold_up_another(self, store: Store) -> None:
        begin(store)
        begin(store, session="other")
        with store.lock(SESSION):
            assert in_thread(lambda: append(store, "hi", session="other").branches["main"].length) == 1

    # -- the end ---------------------------------------------------------------------------------------------------

    def test_a_closed_store_says_so(self, store: Store) -> None:
        record = begin(store, "one")
        assert store.url
        store.close()
        store.close()
        calls: list[Callable[[], object]] = [
            store.sessions,
            lambda: store.load(SESSION),
            lambda: store.read(SESSION, record.history),
            lambda: append(store, "two"),
            lambda: list(store.operations(SESSION)),
            lambda: store.lock(SESSION).__enter__(),
        ]
        for call in calls:
            with pytest.raises(StoreUnavailableError):
                call()
