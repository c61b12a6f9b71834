"""Random verbs on a store, on the memory store and on plain lists, compared step by step.

``manager_machine(place)`` makes the state machine for a store. ``place()`` is a context manager that gives a store
factory (see :mod:`bough.testing.contract`) for a place of its own, empty at first:

    TestMyStore = manager_machine(my_place).TestCase

Two users work on one session, so that one meets what the other did. After each step:
1. A verb ended in the same way everywhere: with the same result, or with an error of the same type.
2. The store and the memory store hold the same branches, versions, histories (but for the names of segments), HEAD and
   operations.
3. Each branch and tag holds the messages that plain lists have, and two messages are one identity, or two wordings of
   one, just where lists say so. What a three-way merge makes is for 2 to judge: the lists are told.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing
from typing import Any, Literal, TypeAlias

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bough.attributes import Tag, tags_of
from bough.codec import encode
from bough.edits import first_wordings
from bough.errors import BoughError
from bough.manager import ConversationBranchManager
from bough.merge.result import MergeResult
from bough.merge.three_way import three_way
from bough.model import BranchRecord, History, Message
from bough.stores.base import Store
from bough.stores.memory import MemoryStore
from bough.testing.contract import StoreFactory
from bough.testing.lists import ListManager, ListSession, Token

Place: TypeAlias = Callable[[], AbstractContextManager[StoreFactory]]

SESSION = "talk"
IDS = ["main", "a", "a-2", "b", "x/y"]
USERS = st.integers(0, 1)
NAMES = st.sampled_from(["a", "b", "main"])
BRANCHES = st.sampled_from(IDS)
INDEXES = st.integers(-1, 8)

# Few and partly equal to Python, so that the same content comes again under another identity.
MESSAGE = st.sampled_from([{"n": 1}, {"n": 1.0}, {"n": True}, {"text": "é\0"}])
MESSAGES = st.lists(MESSAGE, min_size=1, max_size=3)
TAGS = st.sampled_from(["v1", "a-2"])


class ManagerMachine(RuleBasedStateMachine):
    """See the module's docstring. Use :func:`manager_machine`."""

    place: Place

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()

    @initialize()
    def begin(self) -> None:
        self.open = self.stack.enter_context(type(self).place())
        self.memory = MemoryStore()
        self.stores = [self._open_store() for _ in range(2)]
        self.users = [self._open_manager(store) for store in self.stores]
        self.shadows = [self._open_manager(self.memory) for _ in self.users]
        self.session = ListSession()
        self.models = [ListManager(self.session) for _ in self.users]
        self.tokens: list[dict[tuple[str, int], Token]] = [{}, {}]  # of each store, by identity

    def teardown(self) -> None:
        self.stack.close()

    @rule(user=USERS, messages=MESSAGES)
    def add(self, user: int, messages: list[Message]) -> None:
        self._all(user, lambda manager: manager.add_messages(messages))

    @rule(user=USERS)
    def look(self, user: int) -> None:
        self._all(user, lambda manager: manager.get_messages())

    @rule(user=USERS, start=INDEXES, stop=INDEXES, messages=MESSAGES)
    def replace_some(self, user: int, start: int, stop: int, messages: list[Message]) -> None:
        """Sets the list that is there with a stretch of it replaced, as an agent would."""

        present = self._present(user)
        wanted = [*present[: max(start, 0)], *messages, *present[max(stop, 0) :]]
        self._all(user, lambda manager: manager.set_messages(wanted))

    @rule(user=USERS, messages=MESSAGES)
    def replace_all(self, user: int, messages: list[Message]) -> None:
        self._all(user, lambda manager: manager.set_messages(messages))

    @rule(user=USERS, branch=BRANCHES, name=NAMES, parent=st.none() | BRANCHES, index=st.none() | INDEXES)
    def create(self, user: int, branch: str, name: str, parent: str | None, index: int | None) -> None:
        at = None if parent is None else index
        self._all(user, lambda manager: manager.create_branch(branch, name, parent, at))

    @rule(user=USERS, name=NAMES)
    def fork(self, user: int, name: str) -> None:
        self._all(user, lambda manager: manager.fork(name))

    @rule(user=USERS, name=NAMES, index=INDEXES)
    def fork_from_message(self, user: int, name: str, index: int) -> None:
        self._all(user, lambda manager: manager.fork_from_message(name, index))

    @rule(user=USERS, branch=BRANCHES)
    def checkout(self, user: int, branch: str) -> None:
        self._all(user, lambda manager: manager.checkout(branch))

    @rule(user=USERS, source=BRANCHES, strategy=st.sampled_from(["append", "replace", "interleave"]))
    def merge(self, user: int, source: str, strategy: str) -> None:
        self._all(user, lambda manager: manager.merge(source, strategy))

    @rule(user=USERS, source=BRANCHES, side=st.sampled_from(["ours", "theirs"]))
    def merge_three_way(self, user: int, source: str, side: Literal["ours", "theirs"]) -> None:
        done = [_outcome(lambda m: m.merge(source, three_way(side)), each[user]) for each in (self.users, self.shadows)]
        assert done[0] == done[1]
        state = self.memory.load(SESSION)
        if state.last_operation > self.session.operations:
            model = self.models[user]
            tokens = [self.tokens[1][identity] for identity in _identities(state.branches[model.current].history)]
            assert model.become(tokens, is_recorded=True) == done[0]

    @rule(user=USERS, branch=BRANCHES, first=st.integers(0, 8))
    def cherry_pick(self, user: int, branch: str, first: int) -> None:
        self._all(user, lambda manager: manager.cherry_pick(f"{branch}:{first}"))

    @rule(user=USERS, index=INDEXES, message=MESSAGE)
    def edit(self, user: int, index: int, message: Message) -> None:
        self._all(user, lambda manager: manager.edit_message(index, message))

    @rule(user=USERS, start=INDEXES, stop=st.none() | INDEXES)
    def remove(self, user: int, start: int, stop: int | None) -> None:
        self._all(user, lambda manager: manager.remove_messages(start, stop))

    @rule(user=USERS, to=INDEXES | BRANCHES)
    def reset(self, user: int, to: int | str) -> None:
        self._all(user, lambda manager: manager.reset(to))

    @rule(user=USERS, branch=BRANCHES)
    def restore(self, user: int, branch: str) -> None:
        self._all(user, lambda manager: manager.restore_branch(branch))

    @rule(user=USERS, branch=BRANCHES, values=st.sampled_from([{"title": "One"}, {"title": "Two"}]))
    def describe(self, user: int, branch: str, values: dict[str, Any]) -> None:
        self._all(user, lambda manager: manager.set_branch_metadata(values, branch_id=branch))

    @rule(user=USERS, name=TAGS)
    def tag(self, user: int, name: str) -> None:
        self._all(user, lambda manager: manager.tag(name))

    @rule(user=USERS, name=TAGS)
    def untag(self, user: int, name: str) -> None:
        self._all(user, lambda manager: manager.untag(name))

    @rule(user=USERS, branch=BRANCHES)
    def delete(self, user: int, branch: str) -> None:
        self._all(user, lambda manager: manager.delete_branch(branch))

    @rule(user=USERS, branch=BRANCHES, name=NAMES)
    def rename(self, user: int, branch: str, name: str) -> None:
        self._all(user, lambda manager: manager.rename_branch(branch, name))

    @rule(user=USERS)
    def undo(self, user: int) -> None:
        self._all(user, lambda manager: manager.undo())

    @rule(user=USERS, number=st.integers(1, 30))
    def undo_that(self, user: int, number: int) -> None:
        self._all(user, lambda manager: manager.undo(number))

    @rule(user=USERS)
    def redo(self, user: int) -> None:
        self._all(user, lambda manager: manager.redo())

    @rule(user=USERS)
    def reopen(self, user: int) -> None:
        self.users[user].close()
        if self.stores[user] is not self.stores[1 - user]:
            self.stores[user].close()
            self.stores[user] = self._open_store()
        self.users[user] = self._open_manager(self.stores[user])
        self.shadows[user] = self._open_manager(self.memory)
        self.models[user] = ListManager(self.session)

    @invariant()
    def the_stores_hold_the_same(self) -> None:
        for store in self.stores:
            assert _shown(store) == _shown(self.memory)

    @invariant()
    def the_lists_hold_the_same(self) -> None:
        for user, model in enumerate(self.models):
            assert self.users[user].get_current_branch_id() == model.current
        for store, tokens in zip((self.stores[0], self.memory), self.tokens, strict=True):
            state = store.load(SESSION)
            assert state.head == self.session.head
            assert state.last_operation == self.session.operations
            assert {name: (record.name, record.metadata or {}) for name, record in state.branches.items()} == {
                name: (branch.name, branch.metadata) for name, branch in self.session.branches.items()
            }
            for name, branch in self.session.branches.items():
                self._compare(store, state.branches[name], branch.tokens, tokens)
            tags = tags_of(state.attributes)
            assert {f"tag:{name}" for name in tags} == self.session.attributes.keys()
            for name, tag in tags.items():
                self._compare(store, tag, self.session.tagged(name), tokens)
            assert len({token.serial for token in tokens.values()}) == len(tokens)

    def _compare(
        self, store: Store, found: BranchRecord | Tag, expected: list[Token], tokens: dict[tuple[str, int], Token]
    ) -> None:
        lines = [encode(message) for message in store.read(SESSION, found.history)]
        assert lines == [token.line for token in expected]
        for identity, token in zip(_identities(found.history), expected, strict=True):
            assert tokens.setdefault(identity, token) == token
        firsts = _identities(first_wordings(found.history, found.edits))
        assert [tokens[first].serial for first in firsts if first in tokens] == [
            token.first for first, token in zip(firsts, expected, strict=True) if first in tokens
        ]

    def _open_manager(self, store: Store) -> ConversationBranchManager:
        return self.stack.enter_context(ConversationBranchManager(SESSION, store=store))

    def _open_store(self) -> Store:
        return self.stack.enter_context(closing(self.open()))

    def _present(self, user: int) -> list[Message]:
        """The messages of the user's current branch, without the user's seeing them."""
        records = self.memory.load(SESSION).branches
        current = self.models[user].current
        return self.memory.read(SESSION, records[current].history) if current in records else []

    def _all(self, user: int, verb: Callable[[Any], object]) -> None:
        outcomes = [_outcome(verb, each[user]) for each in (self.users, self.shadows, self.models)]
        assert outcomes[0] == outcomes[1] == outcomes[2]


def manager_machine(place: Place) -> type[ManagerMachine]:
    """The state machine for the store of a place."""
    return type("ManagerMachineOfPlace", (ManagerMachine,), {"place": staticmethod(place)})


def _outcome(verb: Callable[[Any], object], manager: object) -> object:
    try:
        result = verb(manager)
    except BoughError as error:
        return type(error)
    if isinstance(result, MergeResult):
        return result.added, result.removed
    if isinstance(result, list):
        return [line if isinstance(line, bytes) else encode(line) for line in result]
    return result if type(result) is tuple else None


def _identities(pieces: History) -> list[tuple[str, int]]:
    return [(piece.segment, at) for piece in pieces for at in range(piece.start, piece.stop)]


def _shown(store: Store) -> object:
    """All that can be seen of the session but for times, and with segments numbered in the order of appearance."""
    state = store.load(SESSION)
    numbers: dict[str, int] = {}
    branches = []
    for name in sorted(state.branches):
        record = state.branches[name]
        pieces = [(numbers.setdefault(piece.segment, len(numbers)), *piece[1:]) for piece in record.history]
        tip = numbers.setdefault(record.tip.segment, len(numbers)), record.tip.next
        labels = record.name, record.parent_id, record.parent_message_index, record.metadata, dict(record.extra)
        edits = [(numbers.setdefault(edit.segment, len(numbers)), edit.position) for edit in record.edits]
        firsts = [(numbers.setdefault(edit[2], len(numbers)), edit[3]) for edit in record.edits]
        branches.append((name, labels, record.version, pieces, tip, dict(zip(edits, firsts, strict=True))))
    operations = [
        (each.number, each.kind, each.head_before, each.head_after, sorted(entry.id for entry in each.branches))
        for each in store.operations(SESSION)
    ]
    tags = [
        (tag.name, tag.branch_id, [(numbers.get(piece.segment), *piece[1:]) for piece in tag.history], len(tag.edits))
        for tag in tags_of(state.attributes).values()
    ]
    return state.head, state.last_operation, state.findings, branches, tags, operations
