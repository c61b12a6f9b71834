"""A conversation manager on plain lists: what the verbs mean, said a second time and as simply as possible.

A message is a :class:`Token`: its encoding, and the serial number that tells it from an equal one. A branch is a list
of tokens, a session a dict of branches and a log of what each change replaced. No segments, pieces or versions.
It has the method names and raises the errors of :class:`~bough.manager.ConversationBranchManager`.

What it deliberately does not do: parents, times, threads, storing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

from bough.codec import encode
from bough.errors import (
    BranchExistsError,
    BranchMovedError,
    BranchNotFoundError,
    InvalidRequestError,
    NothingToUndoError,
    ProtectedBranchError,
)
from bough.model import Message


class Token(NamedTuple):
    """One message: equal to another only if it is the same one."""

    serial: int
    line: bytes


@dataclass
class ListBranch:
    """One branch."""

    name: str
    tokens: list[Token] = field(default_factory=list)

    def copy(self) -> ListBranch:
        return ListBranch(self.name, list(self.tokens))


@dataclass
class Entry:
    """One change: the branches it replaced, what they became, and HEAD before and after."""

    before: dict[str, ListBranch | None]
    after: dict[str, ListBranch | None]
    head_before: str
    head_after: str


@dataclass
class ListSession:
    """What all managers of one session share. ``log`` holds what an undo can take back."""

    branches: dict[str, ListBranch] = field(default_factory=lambda: {"main": ListBranch("Main conversation")})
    head: str = "main"
    log: list[Entry] = field(default_factory=list)
    operations: int = 1
    serials: Iterator[int] = field(default_factory=count)

    def change(self, branches: Mapping[str, ListBranch | None], head: str | None = None) -> Entry:
        """Puts the branches (None drops one) and HEAD; gives what an undo needs to know."""
        entry = Entry({}, {}, self.head, head or self.head)
        for branch_id, branch in branches.items():
            old = self.branches.pop(branch_id, None)
            entry.before[branch_id] = old.copy() if old else None
            entry.after[branch_id] = branch.copy() if branch else None
            if branch is not None:
                self.branches[branch_id] = branch
        self.head = entry.head_after
        self.operations += 1
        return entry


class ListManager:
    """One user of a session: the current branch, and the tokens that were seen of each branch."""

    def __init__(self, session: ListSession) -> None:
        self.session = session
        self.current = session.head
        self.seen: dict[str, list[Token]] = {}
        self.get_messages()

    def close(self) -> None:
        pass

    def get_current_branch_id(self) -> str:
        return self.current

    def get_messages(self) -> list[bytes]:
        tokens = self._branch(self.current).tokens
        self.seen[self.current] = list(tokens)
        return [token.line for token in tokens]

    def add_messages(self, messages: list[Message]) -> None:
        branch = self._branch(self.current)
        longer = branch.tokens + self._new(messages)
        self._wrote(self.current, longer)
        branch.tokens = longer

    def set_messages(self, messages: list[Message]) -> None:
        branch = self._branch(self.current)
        old, lines = branch.tokens, [encode(message) for message in messages]
        if self.seen.get(self.current) != old:
            raise BranchMovedError("", self.current)
        shorter = min(len(old), len(lines))
        head = 0
        while head < shorter and old[head].line == lines[head]:
            head += 1
        tail = 0
        while tail < shorter - head and old[-1 - tail].line == lines[-1 - tail]:
            tail += 1
        tokens = old[:head] + self._new(messages[head : len(messages) - tail]) + old[len(old) - tail :]
        if tokens != old:
            self._change({self.current: ListBranch(branch.name, tokens)})

    def create_branch(
        self, branch_id: str, name: str, parent_id: str | None = None, parent_message_index: int | None = None
    ) -> None:
        tokens = [] if parent_id is None else self._beginning(parent_id, parent_message_index)
        if branch_id in self.session.branches:
            raise BranchExistsError("", branch_id)
        self._change({branch_id: ListBranch(name, tokens)})

    def fork(self, name: str) -> None:
        self._fork(name, None)

    def fork_from_message(self, name: str, message_index: int) -> None:
        self._fork(name, message_index)

    def checkout(self, branch_id: str) -> None:
        self.seen[branch_id] = list(self._branch(branch_id).tokens)
        if self.session.head != branch_id:
            self._change({}, branch_id)
        self.current = branch_id

    def merge(self, source_branch_id: str, strategy: str) -> tuple[int, int]:
        """How many messages came, and how many went."""
        if source_branch_id == self.current:
            raise InvalidRequestError("itself")
        target, source = self._branch(self.current), self._branch(source_branch_id)
        added = [token for token in source.tokens if token not in target.tokens]
        tokens = target.tokens + added if strategy == "append" else list(source.tokens)
        removed = [token for token in target.tokens if token not in tokens]
        if tokens != target.tokens:
            self._change({self.current: ListBranch(target.name, tokens)})
        return len(added), len(removed)

    def delete_branch(self, branch_id: str) -> None:
        if branch_id == "main":
            raise ProtectedBranchError("main")
        self._branch(branch_id)
        self._change({branch_id: None}, "main" if self.session.head == branch_id else None)
        self.current = "main" if self.current == branch_id else self.current

    def rename_branch(self, branch_id: str, new_name: str) -> None:
        branch = self._branch(branch_id)
        if branch.name != new_name:
            self._change({branch_id: ListBranch(new_name, list(branch.tokens))})

    def undo(self) -> None:
        if not self.session.log:
            raise NothingToUndoError("nothing")
        entry = self.session.log.pop()
        restored: dict[str, ListBranch | None] = {}
        for branch_id, before in entry.before.items():
            restored[branch_id] = before.copy() if before else None
            after = entry.after[branch_id]
            if before and after:
                since = self.session.branches[branch_id].tokens[len(after.tokens) :]
                restored[branch_id] = ListBranch(before.name, before.tokens + since)
        gone = {branch_id for branch_id, branch in restored.items() if branch is None}
        there = (self.session.branches.keys() | restored.keys()) - gone
        moved = entry.head_before != entry.head_after
        head = entry.head_before if moved else self.session.head
        self._change(restored, head if head in there else "main")
        self.session.log.pop()
        if moved or self.current in gone:
            self.current = self.session.head

    def _fork(self, name: str, index: int | None) -> None:
        tokens = self._beginning(self.current, index)
        candidates = (name if number == 1 else f"{name}-{number}" for number in count(1))
        branch_id = next(candidate for candidate in candidates if candidate not in self.session.branches)
        self._change({branch_id: ListBranch(name, tokens)}, branch_id)
        self.current = branch_id

    def _beginning(self, branch_id: str, index: int | None) -> list[Token]:
        tokens = self._branch(branch_id).tokens
        if index is not None and not 0 <= index <= len(tokens):
            raise InvalidRequestError("outside")
        return tokens[:index]

    def _branch(self, branch_id: str) -> ListBranch:
        if branch_id not in self.session.branches:
            raise BranchNotFoundError("", branch_id)
        return self.session.branches[branch_id]

    def _new(self, messages: list[Message]) -> list[Token]:
        return [Token(next(self.session.serials), encode(message)) for message in messages]

    def _wrote(self, branch_id: str, tokens: list[Token]) -> None:
        old = self.session.branches.get(branch_id)
        if old is None or self.seen.get(branch_id) == old.tokens:
            self.seen[branch_id] = list(tokens)

    def _change(self, branches: dict[str, ListBranch | None], head: str | None = None) -> None:
        for branch_id, branch in branches.items():
            if branch is not None:
                self._wrote(branch_id, branch.tokens)
        self.session.log.append(self.session.change(branches, head))
