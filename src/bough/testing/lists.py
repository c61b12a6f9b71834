"""A conversation manager on plain lists: what the verbs mean, said a second time and as simply as possible.

A message is a :class:`Token`: its encoding, the serial number that tells it from an equal one, and that of its first
wording. A branch is a list of tokens, a session a dict of branches and a log of what each change replaced. No segments,
pieces, versions or edits beside the messages.
It has the method names and raises the errors of :class:`~bough.manager.ConversationBranchManager`.

What it deliberately does not do: three-way merges (it is told what came of one), times, threads, storing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, NamedTuple, TypeAlias

from bough.codec import encode
from bough.errors import (
    AmbiguousRevisionError,
    BranchExistsError,
    BranchMovedError,
    BranchNotFoundError,
    InvalidRequestError,
    NothingToUndoError,
    ProtectedBranchError,
    RevisionNotFoundError,
)
from bough.model import Message


class Token(NamedTuple):
    """One message: equal to another only if it is the same one. ``first`` is the serial number of its first wording."""

    serial: int
    line: bytes
    first: int


Tagged: TypeAlias = tuple[int, list[Token]]
"""What a tag stands for, with the serial number that tells it from another of the same name and messages."""


@dataclass
class ListBranch:
    """One branch. ``parent`` is the id and the index that it was made with."""

    name: str
    tokens: list[Token] = field(default_factory=list)
    parent: tuple[str | None, int | None] = (None, None)
    metadata: dict[str, Any] = field(default_factory=dict)

    def but(self, **fields: Any) -> ListBranch:
        """A copy with other fields."""
        return replace(self, **{"tokens": list(self.tokens), **fields})


@dataclass
class Entry:
    """One change: the branches it replaced and what they became; HEAD and the attributes before and after.

    ``undoes`` and ``redoes`` are the number of the change that it takes back or does again, ``undo`` that of the undo
    which a redo takes back.
    """

    number: int
    before: dict[str, ListBranch | None]
    after: dict[str, ListBranch | None]
    head_before: str
    head_after: str
    attributes: tuple[dict[str, Tagged], dict[str, Tagged]]
    undoes: int | None = None
    redoes: int | None = None
    undo: int | None = None


@dataclass
class ListSession:
    """What all managers of one session share. A tag is an attribute: its serial number and its tokens."""

    branches: dict[str, ListBranch] = field(default_factory=lambda: {"main": ListBranch("Main conversation")})
    head: str = "main"
    attributes: dict[str, Tagged] = field(default_factory=dict)
    log: list[Entry] = field(default_factory=list)
    operations: int = 1
    serials: Iterator[int] = field(default_factory=count)

    def change(
        self,
        branches: Mapping[str, ListBranch | None],
        head: str | None = None,
        attributes: dict[str, Tagged] | None = None,
        **links: int | None,
    ) -> None:
        """Puts the branches (None drops one), HEAD and the attributes; remembers what an undo needs to know."""
        self.operations += 1
        wanted = self.attributes if attributes is None else attributes
        entry = Entry(self.operations, {}, {}, self.head, head or self.head, (self.attributes, wanted), **links)
        for branch_id, branch in branches.items():
            old = self.branches.pop(branch_id, None)
            entry.before[branch_id] = old.but() if old else None
            entry.after[branch_id] = branch.but() if branch else None
            if branch is not None:
                self.branches[branch_id] = branch
        self.head, self.attributes = entry.head_after, wanted
        self.log.append(entry)

    def tagged(self, name: str) -> list[Token]:
        return self.attributes[f"tag:{name}"][1]

    def is_done(self) -> dict[int, bool]:
        """Each change that is no undo and no redo, and whether it is done: the last word on it counts."""
        done: dict[int, bool] = {}
        for entry in self.log:
            done[entry.undoes or entry.redoes or entry.number] = entry.undoes is None
        return done


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
            self._change({self.current: branch.but(tokens=tokens)})

    def edit_message(self, index: int, message: Message) -> None:
        branch = self._branch(self.current)
        at = self._index(branch, index)
        old, line = branch.tokens[at], encode(message)
        if old.line != line:
            edited = Token(next(self.session.serials), line, old.first)
            self._change({self.current: branch.but(tokens=[*branch.tokens[:at], edited, *branch.tokens[at + 1 :]])})

    def remove_messages(self, start: int, stop: int | None) -> None:
        branch = self._branch(self.current)
        first = self._index(branch, start)
        last = first + 1 if stop is None else stop if stop >= 0 else len(branch.tokens) + stop
        if not first < last <= len(branch.tokens):
            raise InvalidRequestError("outside")
        self._change({self.current: branch.but(tokens=branch.tokens[:first] + branch.tokens[last:])})

    def reset(self, to: int | str) -> None:
        goal = self._revision(to) if isinstance(to, str) else None
        branch = self._branch(self.current)
        tokens = self._beginning(self.current, to) if isinstance(to, int) else goal
        if tokens is not None and tokens != branch.tokens:
            self._change({self.current: branch.but(tokens=tokens)})

    def cherry_pick(self, revision: str) -> None:
        """``revision`` is like ``main:3``: the third message of main."""
        base, _, first = revision.rpartition(":")
        tokens = self._revision(base)
        if int(first) > len(tokens):
            raise RevisionNotFoundError(revision, "outside")
        branch = self._branch(self.current)
        new = _without(tokens[: int(first)][-1:], branch.tokens)
        if new:
            self._change({self.current: branch.but(tokens=branch.tokens + new)})

    def create_branch(
        self, branch_id: str, name: str, parent_id: str | None = None, parent_message_index: int | None = None
    ) -> None:
        tokens = [] if parent_id is None else self._beginning(parent_id, parent_message_index)
        if branch_id in self.session.branches:
            raise BranchExistsError("", branch_id)
        parent = (parent_id, None if parent_id is None else len(tokens))
        self._change({branch_id: ListBranch(name, tokens, parent)})

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
        keeps_target = strategy in ("append", "interleave")  # no message has a time here
        tokens = target.tokens + _without(source.tokens, target.tokens) if keeps_target else list(source.tokens)
        return self.become(tokens)

    def become(self, tokens: list[Token], *, is_recorded: bool = False) -> tuple[int, int]:
        """The current branch as a merge has made it. ``is_recorded``: an operation, though nothing changed."""
        target = self._branch(self.current)
        if tokens != target.tokens:
            self._change({self.current: target.but(tokens=tokens)})
        elif is_recorded:
            self._change({})
        old = set(target.tokens)
        return len(set(tokens) - old), len(old - set(tokens))

    def delete_branch(self, branch_id: str) -> None:
        if branch_id == "main":
            raise ProtectedBranchError("main")
        self._branch(branch_id)
        self._change({branch_id: None}, "main" if self.session.head == branch_id else None)
        self.current = "main" if self.current == branch_id else self.current

    def rename_branch(self, branch_id: str, new_name: str) -> None:
        branch = self._branch(branch_id)
        if branch.name != new_name:
            self._change({branch_id: branch.but(name=new_name)})

    def restore_branch(self, branch_id: str) -> None:
        for entry in reversed(self.session.log):
            before = entry.before.get(branch_id)
            if before is not None and entry.after[branch_id] is None:
                if branch_id in self.session.branches:
                    raise BranchExistsError("", branch_id)
                self._change({branch_id: before.but()})
                return
        raise BranchNotFoundError("", branch_id)

    def set_branch_metadata(self, values: dict[str, Any], branch_id: str) -> None:
        branch = self._branch(branch_id)
        if branch.metadata != values:
            self._change({branch_id: branch.but(metadata=values)})

    def tag(self, name: str) -> None:
        if self.current not in self.session.branches:
            raise RevisionNotFoundError("HEAD", "gone")
        if f"tag:{name}" in self.session.attributes or name in self.session.branches:
            raise InvalidRequestError("taken")
        value = (next(self.session.serials), list(self._branch(self.current).tokens))
        self._change({}, attributes={**self.session.attributes, f"tag:{name}": value})

    def untag(self, name: str) -> None:
        left = {key: value for key, value in self.session.attributes.items() if key != f"tag:{name}"}
        if left == self.session.attributes:
            raise RevisionNotFoundError(name, "none")
        self._change({}, attributes=left)

    # -- undo and redo ---------------------------------------------------------------------------------------------

    def undo(self, number: int | None = None) -> None:
        done = self.session.is_done()
        if number is None and not any(done.values()):
            raise NothingToUndoError("nothing")
        wanted = max(each for each in done if done[each]) if number is None else number
        if not done.get(wanted):
            raise InvalidRequestError("none, or undone already")
        self._take_back(next(entry for entry in self.session.log if entry.number == wanted), undoes=wanted)

    def redo(self) -> None:
        taken_back: set[int | None] = set()
        for entry in reversed(self.session.log):
            taken_back.add(entry.undo)
            if entry.undoes is not None and entry.number not in taken_back:
                self._take_back(entry, redoes=entry.undoes, undo=entry.number)
                return
            if entry.undoes is None and entry.redoes is None:
                break
        raise NothingToUndoError("nothing")

    def _take_back(self, target: Entry, **links: int | None) -> None:
        restored: dict[str, ListBranch | None] = {}
        for branch_id, before in target.before.items():
            present, after = self.session.branches.get(branch_id), target.after[branch_id]
            if present is None and before is None:
                continue
            if (present is None) != (after is None):
                raise BranchMovedError("", branch_id)
            restored[branch_id] = _restored(before, after, present) if present and after else before and before.but()
        gone = {branch_id for branch_id, branch in restored.items() if branch is None}
        there = (self.session.branches.keys() | restored.keys()) - gone
        head = None
        if target.head_before != target.head_after and self.session.head == target.head_after:
            head = target.head_before if target.head_before in there else "main"
        elif self.session.head in gone:
            head = "main"
        self._change(restored, head, self._attributes(*target.attributes), **links)
        if head is not None or self.current in gone:
            self.current = self.session.head

    def _attributes(self, before: dict[str, Tagged], after: dict[str, Tagged]) -> dict[str, Tagged]:
        restored = dict(self.session.attributes)
        for key in before.keys() | after.keys():
            if before.get(key) != after.get(key):
                if restored.pop(key, None) != after.get(key):
                    raise InvalidRequestError("set again")
                if key in before:
                    restored[key] = before[key]
        return restored

    def _fork(self, name: str, index: int | None) -> None:
        tokens = self._beginning(self.current, index)
        candidates = (name if number == 1 else f"{name}-{number}" for number in count(1))
        branch_id = next(candidate for candidate in candidates if candidate not in self.session.branches)
        self._change({branch_id: ListBranch(name, tokens, (self.current, len(tokens)))}, branch_id)
        self.current = branch_id

    def _beginning(self, branch_id: str, index: int | None) -> list[Token]:
        tokens = self._branch(branch_id).tokens
        if index is not None and not 0 <= index <= len(tokens):
            raise InvalidRequestError("outside")
        return tokens[:index]

    def _revision(self, name: str) -> list[Token]:
        """The tokens of a branch by its id, else of a tag, else of a branch by its name."""
        branches = self.session.branches
        if name not in branches and f"tag:{name}" in self.session.attributes:
            return list(self.session.tagged(name))
        found = [name] if name in branches else [each for each in branches if branches[each].name == name]
        if not found:
            raise RevisionNotFoundError(name, "none")
        if len(found) > 1:
            raise AmbiguousRevisionError(name, found)
        return list(branches[found[0]].tokens)

    def _index(self, branch: ListBranch, index: int) -> int:
        at = index if index >= 0 else len(branch.tokens) + index
        if not 0 <= at < len(branch.tokens):
            raise InvalidRequestError("outside")
        return at

    def _branch(self, branch_id: str) -> ListBranch:
        if branch_id not in self.session.branches:
            raise BranchNotFoundError("", branch_id)
        return self.session.branches[branch_id]

    def _new(self, messages: list[Message]) -> list[Token]:
        serials = [next(self.session.serials) for _ in messages]
        return [Token(serial, encode(message), serial) for serial, message in zip(serials, messages, strict=True)]

    def _wrote(self, branch_id: str, tokens: list[Token]) -> None:
        old = self.session.branches.get(branch_id)
        if old is None or self.seen.get(branch_id) == old.tokens:
            self.seen[branch_id] = list(tokens)

    def _change(
        self,
        branches: Mapping[str, ListBranch | None],
        head: str | None = None,
        attributes: dict[str, Tagged] | None = None,
        **links: int | None,
    ) -> None:
        for branch_id, branch in branches.items():
            if branch is not None:
                self._wrote(branch_id, branch.tokens)
        self.session.change(branches, head, attributes, **links)


def _without(tokens: list[Token], held: list[Token]) -> list[Token]:
    """The tokens that are not held in any wording."""
    firsts = {token.first for token in held}
    return [token for token in tokens if token.first not in firsts]


def _restored(before: ListBranch | None, after: ListBranch, present: ListBranch) -> ListBranch | None:
    """The present branch with what led from ``before`` to ``after`` taken back; None where that made it."""
    is_grown = present.tokens[: len(after.tokens)] == after.tokens
    restored = present.but()
    for name in ("name", "parent", "metadata"):
        was, became = getattr(before, name, None), getattr(after, name)
        if was != became:
            if getattr(present, name) != became:
                raise BranchMovedError("", "")
            restored = restored.but(**{name: was})
    if before is None or before.tokens != after.tokens:
        if not is_grown:
            raise BranchMovedError("", "")
        if before is not None:
            since = _without(present.tokens[len(after.tokens) :], before.tokens)
            restored = restored.but(tokens=before.tokens + since)
    return None if before is None else restored
