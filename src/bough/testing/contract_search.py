"""The part of the contract that says what a search finds (promise 7), mixed into :class:`bough.testing.StoreContract`.

It holds a store against the plainest search there is: every branch's messages read one by one, and
:meth:`bough.search.Query.matches`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bough.errors import StoreUnavailableError
from bough.manager import ConversationBranchManager
from bough.model import BranchRecord, Finding, Message, Piece
from bough.search import Found, Query, parse, terms, text_of
from bough.stores.base import Store

TALK = "talk"

QUERIES = [
    *("hotel", "HOTEL", "hot*", "paris hotel", "paris OR rome", '"hotel in paris"', '"in par"*', "hotel -paris"),
    *("hotel -(paris OR rome)", "(paris OR rome) hotel NOT cheap", "train_ticket", "strasse", "Straße", "cafe", "会話"),
    *(
        "会*",
        "한국",
        "が",
        "か",
        "🌳",
        "👍",
        "20",
        "absent",
        "hotel absent",
        "absent OR rome",
        "x" * 130,
        "user",
        "booking",
    ),
]

SAYINGS = [
    *("A cheap hotel in Paris?", "No hotel in Rome.", "paris, then a hotel", "train_ticket", "Die STRASSE am Café"),
    *("新しい会話です", "かき", "か\u3099", "한국어", "a 🌳 👍🏽", "x" * 140, "nul\0 hotel", ""),
]

MESSAGES: list[Message] = [
    *({"role": "user", "content": text} for text in SAYINGS),
    {"role": "assistant", "tool_calls": [{"id": "hotel", "function": {"name": "booking", "arguments": '{"n":20}'}}]},
    {"content": [{"type": "tool_use", "id": "paris", "name": "booking", "input": {"city": "Paris"}}]},
    {"role": "tool", "tool_call_id": "rome", "content": "data:image/png;base64,hotel"},
]


def newest_first(branches: Iterator[BranchRecord]) -> list[tuple[str, int]]:
    """The identities that branches hold in the order of a search, spelled out message by message."""
    identities: dict[tuple[str, int], None] = {}
    for record in sorted(branches, key=lambda record: (-record.updated_at.timestamp(), -record.operation, record.id)):
        held = [(piece.segment, at) for piece in record.history for at in range(piece.start, piece.stop)]
        identities.update(dict.fromkeys(reversed(held)))
    return list(identities)


def expected(store: Store, query: Query, session_id: str | None, branch_id: str | None = None) -> list[Found]:
    """What a search must find."""
    if session_id is None:
        states = {name: store.load(name) for name in store.sessions()}
        newest = {name: max(each.updated_at for each in state.branches.values()) for name, state in states.items()}
        names = sorted(states, key=lambda name: (-newest[name].timestamp(), name))
        return [found for name in names for found in expected(store, query, name)]
    records = store.load(session_id).branches.values()
    identities = newest_first(record for record in records if branch_id is None or record.id == branch_id)
    messages = [store.read(session_id, (Piece(*identity, identity[1] + 1),))[0] for identity in identities]
    return [
        Found(session_id, *identity)
        for identity, message in zip(identities, messages, strict=True)
        if query.matches(terms(text_of(message)))
    ]


def check(store: Store) -> int:
    """Asks every query of every session and branch; returns how many hits there were."""
    hits = 0
    sessions = store.sessions()
    scopes: list[tuple[str | None, str | None]] = [(None, None), *((name, None) for name in sessions)]
    scopes += [(name, branch_id) for name in sessions for branch_id in store.load(name).branches]
    for query in map(parse, QUERIES):
        for session_id, branch_id in scopes:
            found = list(store.search(query, session_id=session_id, branch_id=branch_id))
            assert found == expected(store, query, session_id, branch_id)
            hits += len(found)
    return hits


def said(store: Store, query: str, session_id: str | None = TALK, branch_id: str | None = None) -> list[str]:
    """The contents of what is found."""
    contents = []
    for found in store.search(parse(query), session_id=session_id, branch_id=branch_id):
        assert not isinstance(found, Finding), found
        [message] = store.read(found.session_id, (Piece(found.segment, found.position, found.position + 1),))
        contents.append(message["content"])
    return contents


def say(*texts: str) -> list[Message]:
    return [{"role": "user", "content": text} for text in texts]


class SearchContract:
    """A class that mixes it in has a fixture ``store``: an empty one."""

    def test_7_a_search_finds_what_matches(self, store: Store) -> None:
        with ConversationBranchManager(TALK, store=store) as manager:
            manager.add_messages(MESSAGES)
            assert check(store) > 100

    def test_7_a_message_of_many_branches_is_found_once(self, store: Store) -> None:
        with ConversationBranchManager(TALK, store=store) as manager:
            manager.add_messages(say("hotel one", "hotel two"))
            for at in range(10):
                manager.checkout("main")
                manager.fork_from_message(f"b{at}", 1 + at % 2)
            manager.add_messages(say("hotel three"))
        assert sorted(said(store, "hotel")) == ["hotel one", "hotel three", "hotel two"]
        check(store)

    def test_7_what_is_found_follows_every_verb(self, store: Store) -> None:
        with ConversationBranchManager(TALK, store=store) as manager:
            assert said(store, "hotel") == []
            manager.add_messages(MESSAGES[:6])
            check(store)
            manager.fork_from_message("Idea", 3)
            manager.add_messages([*MESSAGES[6:9], {"role": "user", "content": "only here: hotel"}])
            check(store)
            manager.checkout("main")
            manager.merge("idea")
            manager.add_messages(MESSAGES[9:])
            check(store)
            manager.set_messages([*manager.get_messages()[:4], *say("a hotel in between"), *manager.get_messages()[6:]])
            assert check(store) > 100

    def test_7_what_no_branch_holds_is_not_found_until_it_is_back(self, store: Store) -> None:
        with ConversationBranchManager(TALK, store=store) as manager:
            manager.add_messages(say("hotel one", "hotel two"))
            assert said(store, "hotel") == ["hotel two", "hotel one"]
            manager.set_messages(say("hotel one"))
            assert said(store, "hotel") == ["hotel one"]
            manager.undo()
            assert said(store, "hotel") == ["hotel two", "hotel one"]
            manager.fork("Side")
            manager.add_messages(say("hotel three"))
            assert said(store, "hotel") == ["hotel three", "hotel two", "hotel one"]
            manager.delete_branch("side")
            assert said(store, "hotel") == ["hotel two", "hotel one"]
            manager.undo()
            assert said(store, "hotel") == ["hotel three", "hotel two", "hotel one"]

    def test_7_a_branch_is_searched_from_its_end(self, store: Store) -> None:
        with ConversationBranchManager(TALK, store=store) as manager:
            manager.add_messages(say("hotel 1", "hotel 2", "hotel 3"))
            manager.fork_from_message("Side", 1)
            manager.add_messages(say("hotel 4"))
        assert said(store, "hotel", branch_id="main") == ["hotel 3", "hotel 2", "hotel 1"]
        assert said(store, "hotel", branch_id="side") == ["hotel 4", "hotel 1"]
        assert said(store, "hotel", branch_id="absent") == []

    def test_7_a_newer_branch_that_holds_the_middle_leaves_the_order_of_the_rest(self, store: Store) -> None:
        texts = [f"hotel {at}" for at in range(8)]
        with ConversationBranchManager(TALK, store=store) as manager:
            manager.add_messages(say(*texts))
            manager.fork_from_message("Side", 5)
            manager.set_messages(say(*texts[3:5]))
        assert said(store, "hotel") == [texts[at] for at in (4, 3, 7, 6, 5, 2, 1, 0)]
        check(store)

    def test_7_sessions_are_searched_apart_or_together(self, store: Store) -> None:
        for name in ("b", "a", "c"):
            with ConversationBranchManager(name, store=store) as manager:
                manager.add_messages(say(f"hotel 1 {name}", f"hotel 2 {name}"))
        assert said(store, "hotel", session_id="a") == ["hotel 2 a", "hotel 1 a"]
        assert len(said(store, "hotel", session_id=None)) == 6
        assert check(store) == 5 * 6 * 3  # of QUERIES five find them, in three scopes

    def test_7_a_session_that_is_not_there_has_no_hits_and_is_not_made(self, store: Store) -> None:
        assert said(store, "hotel", session_id="absent") == []
        assert said(store, "hotel", session_id=None) == []
        assert store.sessions() == []

    def test_7_a_search_goes_on_while_others_write(self, store: Store) -> None:
        with ConversationBranchManager(TALK, store=store) as manager:
            manager.add_messages(say(*(f"hotel {at}" for at in range(1000))))
            hits = store.search(parse("hotel"), session_id=TALK)
            first = next(hits)
            manager.add_messages(say("hotel at last"))
            manager.fork("Side")
            found = [first, *hits]
        assert len({*found}) == len(found)
        assert len(found) in (1000, 1001)
        assert said(store, "hotel")[0] == "hotel at last"

    def test_7_a_closed_store_is_not_searched(self, store: Store) -> None:
        store.close()
        for session_id in (None, TALK):
            with pytest.raises(StoreUnavailableError):
                list(store.search(parse("hotel"), session_id=session_id))
