"""Random verbs on a store, on the memory store and on plain lists, compared step by step.

``manager_machine(place)`` makes the state machine for a store. ``place()`` is a context manager that gives a store
factory (see :mod:`bough.testing.contract`) for a place of its own, empty at first:

    TestMyStore = manager_machine(my_place).TestCase

Two users work on one session, so that one meets what the other did. After each step:
1. A verb ended in the same way everywhere: with the same result, or with an error of the same type.
2. The store and the memory store hold the same branches, versions, histories (but for the names of segments), HEAD and
   operations.
3. Each branch holds the messages that plain lists have, and two messages are one identity just where lists say so.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing
from typing import Any, TypeAlias

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bough.branch import MergeResult
from bough.codec import encode
from bough.errors import BoughError
from bough.manager import ConversationBranchManager
from bough.model import Message
from bough.stores.base import Store
from bough.stores.memory import MemoryStore
from bough.testing.contract import StoreFactory
from bough.testing.lists import ListManager, ListSession

Place: TypeAlias = Callable[[], AbstractContextManager[StoreFactory]]

SESSION = "talk"
IDS = ["main", "a", "a-2", "b", "x/y"]
USERS = st.integers(0, 1)
NAMES = st.sampled_from(["a", "b", "main"])
BRANCHES = st.sampled_from(IDS)
INDEXES = st.integers(-1, 8)

# Few and partly equal to Python, so that the same content comes again under another identity.
MESSAGES = st.lists(st.sampled_from([{"n": 1}, {"n": 1.0}, {"n": True}, {"text": "é\0"}]), min_size=1, max_size=3)


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

    @rule(user=USERS, source=BRANCHES, strategy=st.sampled_from(["append", "replace"]))
    def merge(self, user: int, source: str, strategy: str) -> None:
        self._all(user, lambda manager: manager.merge(source, strategy))

    @rule(user=USERS, branch=BRANCHES)
    def delete(self, user: int, branch: str) -> None:
        self._all(user, lambda manager: manager.delete_branch(branch))

    @rule(user=USERS, branch=BRANCHES, name=NAMES)
    def rename(self, user: int, branch: str, name: str) -> None:
        self._all(user, lambda manager: manager.rename_branch(branch, name))

    @rule(user=USERS)
    def undo(self, user: int) -> None:
        self._all(user, lambda manager: manager.undo())

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
        for store in (self.stores[0], self.memory):
            state = store.load(SESSION)
            assert state.head == self.session.head
            assert state.last_operation == self.session.operations
            assert {name: record.name for name, record in state.branches.items()} == {
                name: branch.name for name, branch in self.session.branches.items()
            }
            serials: dict[tuple[str, int], int] = {}
            for name, branch in self.session.branches.items():
                pieces = state.branches[name].history
                lines = [encode(message) for message in store.read(SESSION, pieces)]
                assert lines == [token.line for token in branch.tokens]
                identities = [(piece.segment, at) for piece in pieces for at in range(piece.start, piece.stop)]
                for identity, token in zip(identities, branch.tokens, strict=True):
                    assert serials.setdefault(identity, token.serial) == token.serial
            assert len(set(serials.values())) == len(serials)

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
        branches.append((name, labels, record.version, pieces, tip))
    operations = [
        (each.number, each.kind, each.head_before, each.head_after, sorted(entry.id for entry in each.branches))
        for each in store.operations(SESSION)
    ]
    return state.head, state.last_operation, state.findings, branches, operations
