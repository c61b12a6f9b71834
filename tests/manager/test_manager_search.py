"""``manager.search``: the same hits in every store, with where they stand and how they look."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from manager_kit import say

from bough.errors import (
    BoughError,
    BranchNotFoundError,
    CorruptBranchError,
    InvalidIdError,
    InvalidRequestError,
    SessionNotFoundError,
    StoreUnavailableError,
)
from bough.hits import SearchHits
from bough.manager import ConversationBranchManager
from bough.model import Finding, History, Message, SessionState
from bough.search import Found, Query, parse, terms, text_of
from bough.stores.base import Store
from bough.stores.memory import MemoryStore


def contents(hits: SearchHits) -> list[str]:
    return [hit.message["content"] for hit in hits]


def test_a_hit_says_where_it_is_and_how_it_looks(manager: ConversationBranchManager) -> None:
    manager.add_messages(say("Which hotel in Paris?", "none", "the old hotel"))
    manager.fork_from_message("Side", 1)
    manager.add_messages(say("another   Hotel, the hotel"))

    hits = manager.search("hotel")
    assert contents(hits) == ["another   Hotel, the hotel", "Which hotel in Paris?", "the old hotel"]
    assert hits.findings == ()
    first, shared, old = hits
    assert (first.session_id, first.branch_id, first.index, dict(first.branches)) == ("talk", "side", 1, {"side": 1})
    assert (first.snippet, first.matches) == ("another Hotel, the hotel", ((8, 13), (19, 24)))
    assert list(shared.branches.items()) == [("side", 0), ("main", 0)]
    assert (old.branch_id, old.index) == ("main", 2)
    for hit in hits:
        for branch_id, index in hit.branches.items():
            assert manager.get_messages(branch_id)[index] == hit.message
    assert manager.get_current_branch_id() == "side"


def test_head_comes_first_among_the_branches_and_before_it_the_one_that_was_searched(
    manager: ConversationBranchManager,
) -> None:
    manager.add_messages(say("hotel"))
    for name in ("a", "b", "c"):
        manager.fork(name)
    manager.checkout("a")
    [hit] = manager.search("hotel")
    assert next(iter(hit.branches)) == "a"
    assert set(hit.branches) == {"main", "a", "b", "c"}
    [hit] = manager.search("hotel", branch="main")
    assert list(hit.branches)[:2] == ["main", "a"]


def test_a_message_that_a_merge_brought_has_an_index_of_its_own_in_each_branch(
    manager: ConversationBranchManager,
) -> None:
    manager.add_messages(say("one"))
    manager.fork("Side")
    manager.add_messages(say("hotel"))
    manager.checkout("main")
    manager.add_messages(say("two"))
    manager.merge("side")
    [hit] = manager.search("hotel")
    assert dict(hit.branches) == {"main": 2, "side": 1}


def test_the_scope_is_this_session_or_another_or_a_branch_or_everything(store: Store) -> None:
    with ConversationBranchManager("a", store=store) as other:
        other.add_messages(say("hotel a"))
    with ConversationBranchManager("b", store=store) as manager:
        manager.add_messages(say("hotel b"))
        manager.fork_from_message("Side", 0)
        manager.add_messages(say("hotel side"))
        assert contents(manager.search("hotel")) == ["hotel side", "hotel b"]
        assert contents(manager.search("hotel", session="a")) == ["hotel a"]
        assert contents(manager.search("hotel", branch="main")) == ["hotel b"]
        assert contents(manager.search("hotel", session="b", branch="side")) == ["hotel side"]
        assert sorted(contents(manager.search("hotel", everywhere=True))) == ["hotel a", "hotel b", "hotel side"]
        assert len(manager.search("hotel", everywhere=True, limit=2)) == 2


def test_a_limit_takes_the_newest(manager: ConversationBranchManager) -> None:
    manager.add_messages(say(*(f"hotel {at}" for at in range(30))))
    assert contents(manager.search("hotel")) == [f"hotel {at}" for at in range(29, 9, -1)]
    assert len(manager.search("hotel", limit=None)) == 30
    assert contents(manager.search("hotel", limit=1)) == ["hotel 29"]
    assert manager.search("hotel", limit=0) == []
    for limit in (-1, True, 1.5, "1"):
        with pytest.raises(InvalidRequestError, match="a limit is a number"):
            manager.search("hotel", limit=limit)  # type: ignore[arg-type]


def test_what_cannot_be_searched_is_an_error(manager: ConversationBranchManager) -> None:
    for wrong in ("", '"', "a OR", "-a"):
        with pytest.raises(InvalidRequestError):
            manager.search(wrong)
    with pytest.raises(SessionNotFoundError):
        manager.search("a", session="absent")
    with pytest.raises(SessionNotFoundError):
        manager.search("a", session="absent", limit=0)
    with pytest.raises(BranchNotFoundError):
        manager.search("a", branch="absent")
    for session, branch in (("", None), (None, "\0"), ("talk", "")):
        with pytest.raises(InvalidIdError):
            manager.search("a", session=session, branch=branch)
    for session, branch in (("talk", None), (None, "main")):
        with pytest.raises(InvalidRequestError, match="everywhere"):
            manager.search("a", everywhere=True, session=session, branch=branch)
    assert manager.store.sessions() == ["talk"]
    manager.close()
    with pytest.raises(StoreUnavailableError):
        manager.search("a")


class DeletesMeanwhile(MemoryStore):
    """A store in which a branch goes just after the search has found a message of it."""

    def search(
        self, query: Query, *, session_id: str | None = None, branch_id: str | None = None
    ) -> Iterator[Found | Finding]:
        found = list(super().search(query, session_id=session_id, branch_id=branch_id))
        with ConversationBranchManager("talk", store=self) as manager:
            manager.delete_branch("side")
        yield from found


def test_a_hit_that_no_branch_holds_any_more_is_left_out() -> None:
    store = DeletesMeanwhile()
    with ConversationBranchManager("talk", store=store) as manager:
        manager.add_messages(say("hotel one"))
        manager.fork("Side")
        manager.add_messages(say("hotel two"))
        [hit] = manager.search("hotel")
        assert (hit.message["content"], dict(hit.branches)) == ("hotel one", {"main": 0})


# -- damage (of JSON files) ------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sessions a, b and c, each with main: hotel 0 … hotel 999, and side: hotel 0, other."""
    for name in "abc":
        with ConversationBranchManager(name, store=tmp_path) as manager:
            manager.add_messages(say(*(f"hotel {at}" for at in range(1000))))
            manager.fork_from_message("Side", 1)
            manager.add_messages(say("other"))
    return tmp_path


def test_a_document_that_cannot_be_read_hides_nothing_else(folder: Path) -> None:
    (folder / "b" / "main.json").write_bytes(b"garbage\n")
    with ConversationBranchManager("b", store=folder) as manager:
        hits = manager.search("hotel OR other", limit=None)
        assert contents(hits) == ["other", "hotel 0"]
        [finding] = hits.findings
        assert finding.branch_id == "main"
        with pytest.raises(CorruptBranchError):
            manager.search("hotel", branch="main")
        everything = manager.search("hotel", everywhere=True, limit=None)
        assert len(everything) == 2001
        assert everything.findings == hits.findings


def test_a_session_that_cannot_be_read_hides_no_other(folder: Path) -> None:
    for name in ("main", "side"):
        (folder / "c" / f"{name}.json").write_bytes(b"garbage\n")
    (folder / "b").rename(folder / "moved")
    (folder / "b").symlink_to(folder / "moved")  # a link is not followed
    with ConversationBranchManager("a", store=folder) as manager:
        hits = manager.search("hotel", everywhere=True, limit=None)
        assert {hit.session_id for hit in hits} >= {"a"}
        assert {finding.branch_id for finding in hits.findings} == {"main", "side"}
        with pytest.raises(CorruptBranchError):
            manager.search("hotel", session="b")


class LostOne(MemoryStore):
    """A store that cannot read one of its messages, and nothing that stands in one session."""

    lost = 500
    broken = ""
    error: BoughError = CorruptBranchError("the whole session", "cannot be read")

    def load(self, session_id: str, *, only: Collection[str] | None = None) -> SessionState:
        if session_id == self.broken:
            raise self.error
        return super().load(session_id, only=only)

    def read(self, session_id: str, history: History) -> list[Message]:
        for piece in history:
            if piece.start <= self.lost < piece.stop:
                raise CorruptBranchError(f"message {self.lost}", "cannot be read", session_id=session_id)
        return super().read(session_id, history)


@pytest.mark.parametrize("error", [LostOne.error, StoreUnavailableError("no permission")])
def test_a_message_or_a_session_that_cannot_be_read_hides_nothing_else(error: BoughError) -> None:
    store = LostOne()
    store.error = error
    with ConversationBranchManager("a", store=store) as manager:
        manager.add_messages(say(*(f"hotel {at}" for at in range(1000))))
        with ConversationBranchManager("b", store=store):
            store.broken = "b"
        expected = [f"hotel {at}" for at in range(999, -1, -1) if at != store.lost]
        hits = manager.search("hotel", limit=None)
        assert contents(hits) == expected
        assert hits.findings == (Finding(place="message 500", problem="cannot be read"),)
        hits = manager.search("hotel", everywhere=True, limit=None)
        assert contents(hits) == expected
        assert len(hits.findings) == 2
        assert str(error).endswith(hits.findings[1].problem)


# -- every store the same --------------------------------------------------------------------------------------------

TEXTS = st.lists(st.sampled_from(["a", "b", "A", "é", "e", "会", "話", "🌳", "ab", "\0", "_"]), max_size=5).map(
    " ".join
)
QUERIES = st.sampled_from(["a", "b*", '"a b"', "a b", "a OR 会", "a -b", "e", "会話", "🌳 OR (a -ab)"])
STEPS = st.one_of(
    st.tuples(st.just("add"), st.lists(TEXTS, min_size=1, max_size=3)),
    st.tuples(st.just("fork"), st.integers(0, 5)),
    st.tuples(st.just("merge"), st.integers(0, 5)),
    st.tuples(st.just("checkout"), st.integers(0, 5)),
    st.tuples(st.just("set"), st.lists(TEXTS, max_size=3)),
    st.tuples(st.just("delete"), st.integers(0, 5)),
    st.tuples(st.just("undo"), st.none()),
)


def do(manager: ConversationBranchManager, verb: str, value: object) -> None:
    ids = sorted(branch.id for branch in manager.get_all_branches())
    chosen = ids[value % len(ids)] if isinstance(value, int) else ""
    try:
        if verb == "add" and isinstance(value, list):
            manager.add_messages(say(*value))
        elif verb == "set" and isinstance(value, list):
            manager.set_messages(say(*value))
        elif verb == "fork" and isinstance(value, int):
            manager.fork_from_message("x", min(value, len(manager.get_messages())))
        elif verb == "merge":
            manager.merge(chosen)
        elif verb == "checkout":
            manager.checkout(chosen)
        elif verb == "delete":
            manager.delete_branch(chosen)
        else:
            manager.undo()
    except InvalidRequestError:
        pass  # a merge into itself, main to be deleted, nothing to undo


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=8), QUERIES)
def test_every_store_finds_the_same(steps: list[tuple[str, object]], written: str) -> None:
    query = parse(written)
    seen = []
    with ExitStack() as stack:
        for url in ("memory:", f"json:{stack.enter_context(TemporaryDirectory())}"):
            manager = stack.enter_context(ConversationBranchManager("talk", store=url))
            for step in steps:
                do(manager, *step)
            hits = manager.search(written, limit=None)
            seen.append(sorted((sorted(hit.branches.items()), hit.message["content"], hit.matches) for hit in hits))
            plainly = {
                (branch.id, index)
                for branch in manager.get_all_branches()
                for index, message in enumerate(manager.get_messages(branch.id))
                if query.matches(terms(text_of(message)))
            }
            assert {place for hit in hits for place in hit.branches.items()} == plainly
            assert len({(hit.segment, hit.position) for hit in hits}) == len(hits)
            for branch in manager.get_all_branches():
                within = manager.search(written, branch=branch.id, limit=None)
                assert [hit.index for hit in within] == sorted(
                    (index for name, index in plainly if name == branch.id), reverse=True
                )
    assert seen[0] == seen[1]
