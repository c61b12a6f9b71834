"""The same random program of verbs on memory, JSON and SQLite gives the same answers, errors, log and hits.

Names of segments and operations, and times, are each store's own; everything else is compared after each step.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bough.branch import ConversationBranch, Undone
from bough.codec import encode
from bough.errors import BoughError
from bough.imports import ImportResult, IncomingBranch, entry
from bough.manager import ConversationBranchManager
from bough.merge.result import MergeResult
from bough.model import BranchRecord, History, Piece, Version
from bough.search import Found, parse
from bough.stores import open_store
from bough.stores.base import Store

SESSIONS = st.sampled_from(["talk", "a/b"])
BRANCHES = st.sampled_from(["main", "a", "a-2", "b", "x/y", "", "nul\0"])
NAMES = st.sampled_from(["a", "b", "Ü 🌳", "main", ""])
INDEXES = st.none() | st.integers(-1, 7)
WORDS = ["hotel", "paris", "hotel paris", "é\0", "hôtel"]
MESSAGES = st.lists(
    st.sampled_from(
        [{"role": "user", "content": word} for word in WORDS]
        + [{"n": 1}, {"n": 1.0}, {"n": True}, {"n": 2**70, "": None}, {"n": float("nan")}]  # the last is refused
    ),
    max_size=3,
)
QUERIES = st.sampled_from(["hotel", "paris OR hotel", "hotel -paris", "hot*", '"hotel paris"', "absent", "(", ""])

STEPS = st.one_of(
    st.tuples(st.just("add_messages"), MESSAGES),
    st.tuples(st.just("add_messages"), MESSAGES),
    st.tuples(st.just("splice"), st.integers(0, 7), st.integers(0, 7), MESSAGES),
    st.tuples(st.just("set_messages"), MESSAGES),
    st.tuples(st.just("get_messages"), st.none() | BRANCHES),
    st.tuples(st.just("create_branch"), BRANCHES, NAMES, st.none() | BRANCHES, INDEXES),
    st.tuples(st.just("fork"), NAMES),
    st.tuples(st.just("fork_from_message"), NAMES, st.integers(-1, 7)),
    st.tuples(st.just("checkout"), BRANCHES),
    st.tuples(st.just("merge"), BRANCHES, st.sampled_from(["append", "replace", "unknown"])),
    st.tuples(st.just("delete_branch"), BRANCHES),
    st.tuples(st.just("rename_branch"), BRANCHES, NAMES),
    st.tuples(st.just("undo")),
    st.tuples(st.just("import"), BRANCHES, NAMES, MESSAGES),
    st.tuples(st.just("search"), QUERIES, st.none() | BRANCHES, st.booleans()),
    st.tuples(st.just("move"), SESSIONS, SESSIONS),
    st.tuples(st.just("set aside")),
    st.tuples(st.just("bring back"), SESSIONS),
    st.tuples(st.just("reopen")),
)
PROGRAMS = st.lists(st.tuples(SESSIONS, STEPS), min_size=1, max_size=30)


@dataclass
class World:
    """One store, two sessions' managers, and the names that segments are given here, in the order of appearance."""

    open: Callable[[], Store]
    store: Store = field(init=False)
    managers: dict[str, ConversationBranchManager] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = self.open()

    def manager(self, session: str) -> ConversationBranchManager:
        if session not in self.managers:
            self.managers[session] = ConversationBranchManager(session, store=self.store)
        return self.managers[session]

    def history(self, pieces: History) -> list[tuple[int, int, int]]:
        return [
            (self.numbers.setdefault(piece.segment, len(self.numbers)), piece.start, piece.stop) for piece in pieces
        ]

    def told(self, key: str, value: Any) -> object:
        if key == "segment":
            return self.numbers.setdefault(value, len(self.numbers))
        return self.history(tuple(Piece(*piece) for piece in value)) if key == "source_history" else value

    def record(self, record: BranchRecord | None) -> object:
        if record is None:
            return None
        labels = record.id, record.name, record.parent_id, record.parent_message_index, record.metadata
        tip = self.numbers.setdefault(record.tip.segment, len(self.numbers)), record.tip.next
        return labels, dict(record.extra), record.version, self.history(record.history), tip

    def shown(self) -> object:
        """All that can be seen."""
        out: list[object] = [self.store.sessions(), len(self.store.sessions(deleted=True))]
        for session in ("talk", "a/b"):
            state = self.store.load(session)
            out.append((session, state.head, state.last_operation, state.findings))
            for name in sorted(state.branches):
                record = state.branches[name]
                lines = [encode(message) for message in self.store.read(session, record.history)]
                out.append((self.record(record), lines))
            for each in self.store.operations(session):
                changes = sorted(
                    ((entry.id, self.record(entry.before), self.record(entry.after)) for entry in each.branches),
                    key=lambda change: change[0],
                )
                detail = {key: self.told(key, value) for key, value in each.detail.items()}
                heads = each.head_before, each.head_after
                out.append((each.number, each.kind, heads, changes, detail, each.pid == os.getpid(), each.hostname))
        return out

    def answer(self, result: object) -> object:
        if isinstance(result, ConversationBranch):
            return result.id, result.name, result.parent_id, result.parent_message_index
        if isinstance(result, MergeResult):
            return result.strategy, result.added, result.removed, result.operation, result.diff.stat
        if isinstance(result, Undone):
            return result.operation, result.kind, sorted(result.branch_ids)
        if isinstance(result, Version | ImportResult):
            return result
        if isinstance(result, list):
            return [encode(message) for message in result]
        return result if isinstance(result, tuple) else None

    def take(self, session: str, step: tuple[Any, ...]) -> object:
        verb, *arguments = step
        if verb == "reopen":
            for manager in self.managers.values():
                manager.close()
            self.managers.clear()
            if self.store.url != "memory:":
                self.store.close()
                self.store = self.open()
            return None
        if verb == "move":
            return (self.store.move(*arguments),)
        if verb == "set aside":
            return self.store.move(session, None) in self.store.sessions(deleted=True)
        if verb == "bring back":
            kept = [name for name in self.store.sessions(deleted=True) if name.startswith(f"{session}@")]
            return len(kept) == 1 and (self.store.move(kept[0], arguments[0]),)
        manager = self.manager(session)
        if verb in ("import", "create_branch") and not self.store.load(session).branches:
            # A manager whose session was moved would begin another without main, and an undo leave it without any
            # branch: that is a session to the JSON store, and none to the others.
            return None
        if verb == "splice":
            start, stop, messages = arguments
            present = manager.get_messages()
            return manager.set_messages([*present[:start], *messages, *present[stop:]])
        if verb == "import":
            branch, name, messages = arguments
            incoming = [entry(message) for message in messages]
            return manager.import_branches([IncomingBranch(id=branch, name=name, entries=incoming)])
        if verb == "search":
            query, branch, everywhere = arguments
            hits = manager.search(query, branch=branch, everywhere=everywhere, limit=None)
            shown = [(hit.session_id, str(sorted(hit.branches.items())), hit.snippet, hit.matches) for hit in hits]
            return sorted(shown), hits.findings
        return getattr(manager, verb)(*arguments)

    def outcome(self, session: str, step: tuple[Any, ...]) -> object:
        try:
            return self.answer(self.take(session, step))
        except BoughError as error:
            attributes = {key: value for key, value in vars(error).items() if key not in ("path", "place")}
            return type(error), attributes, error.hint

    def found(self) -> list[list[tuple[str, int, int]]]:
        """What a search of each session and branch finds, by identity."""
        out: list[list[tuple[str, int, int]]] = []
        for session in (None, "talk", "a/b"):
            for query in ("hotel", "paris OR hotel", "hotel -paris", "é"):
                hits = list(self.store.search(parse(query), session_id=session))
                assert all(isinstance(hit, Found) for hit in hits)
                out.append(
                    sorted(
                        (hit.session_id, self.numbers[hit.segment], hit.position)
                        for hit in hits
                        if isinstance(hit, Found)
                    )
                )
        return out


@contextmanager
def worlds() -> Iterator[dict[str, World]]:
    with TemporaryDirectory() as folder, ExitStack() as stack:
        made = {
            "memory": World(lambda: open_store("memory:")),
            "json": World(lambda: open_store(f"json:{folder}/json", durability="lazy")),
            "sqlite": World(lambda: open_store(f"sqlite:{folder}/store.db", durability="lazy")),
        }
        for world in made.values():
            stack.callback(lambda world=world: world.store.close())  # type: ignore[misc]
        yield made


def agree(program: list[tuple[str, tuple[Any, ...]]]) -> None:
    with worlds() as all_:
        for session, step in program:
            outcomes = {name: world.outcome(session, step) for name, world in all_.items()}
            assert outcomes["json"] == outcomes["memory"], step
            assert outcomes["sqlite"] == outcomes["memory"], step
            shown = {name: world.shown() for name, world in all_.items()}
            assert shown["json"] == shown["memory"], step
            assert shown["sqlite"] == shown["memory"], step
        found = {name: world.found() for name, world in all_.items()}
        assert found["json"] == found["memory"]
        assert found["sqlite"] == found["memory"]


@settings(max_examples=40)
@given(program=PROGRAMS)
def test_agreement(program: list[tuple[str, tuple[Any, ...]]]) -> None:
    agree(program)


@pytest.mark.torture
@settings(max_examples=2000)
@given(program=st.lists(st.tuples(SESSIONS, STEPS), min_size=10, max_size=60))
def test_agreement_of_long_programs(program: list[tuple[str, tuple[Any, ...]]]) -> None:
    agree(program)


def test_a_program_that_does_everything() -> None:
    """So that the comparison is known to compare: each verb succeeds in it, and hits are found."""
    say = [{"role": "user", "content": word} for word in WORDS]
    program: list[tuple[str, tuple[Any, ...]]] = [
        ("talk", ("add_messages", say)),
        ("talk", ("fork_from_message", "a", 2)),
        ("talk", ("add_messages", say[:1])),
        ("talk", ("checkout", "main")),
        ("talk", ("merge", "a", "append")),
        ("talk", ("splice", 1, 3, [{"n": 2**70}])),
        ("talk", ("rename_branch", "a", "b")),
        ("talk", ("import", "b", "a", say[:2])),
        ("talk", ("search", "hotel", None, False)),
        ("talk", ("undo",)),
        ("talk", ("delete_branch", "a")),
        ("talk", ("undo",)),
        ("a/b", ("add_messages", say[2:])),
        ("talk", ("search", "hotel", None, True)),
        ("talk", ("set aside",)),
        ("a/b", ("move", "a/b", "talk")),
        ("talk", ("bring back", "a/b")),
        ("talk", ("reopen",)),
        ("a/b", ("add_messages", say)),
    ]
    with worlds() as all_:
        for name, world in all_.items():
            for session, step in program:
                outcome = world.outcome(session, step)
                assert not (isinstance(outcome, tuple) and isinstance(outcome[0], type)), (name, step, outcome)
            world.shown()
            assert sum(len(hits) for hits in world.found()) > 10
    agree(program)
