"""What every format is read into: a conversation as a tree of messages, and how such a tree becomes branches.

Guarantees:
1. A node's parent stands before it, node ids are unique in their conversation, and each can name a branch beside
   ``main``: a tree that breaks one of these cannot be made. :func:`grow` makes one of whatever a file holds.
2. Every leaf is the end of exactly one branch; every node is on at least one.
3. Nothing recurses: a conversation may be a million turns long.
4. A good node is never lost: one whose parent is missing, or goes round in a circle, begins a conversation of its own
   beside the others, and that is told.

What it deliberately does not do: compare with what a store holds (that is :mod:`bough.imports`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from itertools import count
from typing import Any, NamedTuple

from bough.branch import MAIN
from bough.errors import InvalidIdError
from bough.model import Message
from bough.stores.base import MAX_ID_BYTES, check_id


class Node(NamedTuple):
    """One entry of a conversation in its place. ``id`` is the source's own where it has one; ``parent_id`` is None for
    a root. ``content`` is its message or messages (an entry with several results is several messages), or a function
    that reads them when they are needed."""

    id: str
    parent_id: str | None
    content: Message | Sequence[Message] | Callable[[], Sequence[Message]]

    def messages(self) -> Sequence[Message]:
        """Reads them, where they were not yet. ``ValueError`` where they cannot be read any more."""
        if callable(self.content):
            return self.content()
        return [self.content] if isinstance(self.content, dict) else self.content


class Path(NamedTuple):
    """One branch of a tree: what leads from a root to a leaf.

    Its first ``shared`` nodes are the first of the branch ``parent_id``; ``nodes`` are those behind them.
    """

    branch_id: str
    name: str
    parent_id: str | None
    shared: int
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A tree of messages, which becomes one session.

    Of several replies to one message the best stands first in ``nodes``: the path that always takes the first is
    ``main``. ``metadata`` is what the source says of the conversation as a whole and belongs on ``main``; ``file`` and
    ``line`` (from 1) are where it was found. ``ValueError`` where guarantee 1 would not hold.
    """

    session_id: str
    nodes: tuple[Node, ...]
    file: str
    line: int
    title: str | None = None
    created_at: datetime | None = None
    metadata: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        check_id(self.session_id)
        seen: set[str] = set()
        for node in self.nodes:
            if check_id(node.id) == MAIN:
                raise InvalidIdError(MAIN, "it is the name of the branch with the best path")
            if node.id in seen:
                raise ValueError(f"two messages have the id {node.id!r}")
            if node.parent_id is not None and node.parent_id not in seen:
                raise ValueError(f"the parent {node.parent_id!r} of message {node.id!r} does not stand before it")
            seen.add(node.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """Something in a file, at a line (counted from 1), that is not as it should be.

    Nothing of it was taken, unless it is ``kept``: then it came in, though not as the file says. ``bug`` is what a
    reader raised that it should not have: a mistake of ours, which costs the rest of the file.
    """

    file: str
    line: int
    reason: str
    kept: bool = False
    bug: Exception | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


class Entry(NamedTuple):
    """A node as a file has it, in any order. One without messages only joins others: its children become those of the
    nearest one above it that has some. ``line`` is where it stands."""

    id: str
    parent_id: str | None
    content: Message | Sequence[Message] | Callable[[], Sequence[Message]]
    line: int = 0


def grow(
    entries: Iterable[Entry], *, file: str, line: int = 0, leaf: str | None = None
) -> tuple[tuple[Node, ...], list[Defect]]:
    """The tree that the parents of ``entries`` make, and what was wrong with it.

    The path to ``leaf`` comes first, so it is ``main``; other replies stand in their order. An id that comes again with
    the same content is passed over; with another it stays out, and is told. Parents are believed, nothing else is.
    """
    known: dict[str, Entry] = {}
    defects: list[Defect] = []

    def tell(entry: Entry, reason: str, *, kept: bool) -> None:
        defects.append(Defect(file=file, line=entry.line or line, reason=reason, kept=kept))

    for entry in entries:
        present = known.setdefault(entry.id, entry)
        if present is not entry and (present.parent_id, present.content) != (entry.parent_id, entry.content):
            tell(entry, f"a second message has the id {entry.id!r}", kept=False)
    parents = {entry.id: entry.parent_id for entry in known.values()}
    for entry in known.values():
        if entry.parent_id is not None and entry.parent_id not in known:
            tell(entry, f"the parent {entry.parent_id!r} of {entry.id!r} is missing; it begins anew", kept=True)
            parents[entry.id] = None
    for start in _circles(parents):
        tell(known[start], f"the parents of {start!r} go round in a circle; it begins anew", kept=True)
        parents[start] = None

    children: dict[str | None, list[str]] = {}
    for id_ in known:
        children.setdefault(parents[id_], []).append(id_)
    _put_first(children, parents, leaf)
    return tuple(_in_order(known, children)), defects


def _circles(parents: Mapping[str, str | None]) -> list[str]:
    """The first entry, in the file's order, of each circle."""
    found: list[str] = []
    settled: set[str] = set()
    order = {id_: number for number, id_ in enumerate(parents)}
    for id_ in parents:
        line: dict[str, None] = {}
        at: str | None = id_
        while at is not None and at not in settled and at not in line:
            line[at] = None
            at = parents[at]
        if at is not None and at in line:
            ids = list(line)
            found.append(min(ids[ids.index(at) :], key=order.__getitem__))
        settled.update(line)
    return found


def _put_first(children: dict[str | None, list[str]], parents: Mapping[str, str | None], leaf: str | None) -> None:
    """Moves the path to ``leaf`` to the front of each list of replies."""
    at = leaf if leaf in parents else None
    while at is not None:
        siblings = children[parents[at]]
        siblings.remove(at)
        siblings.insert(0, at)
        at = parents[at]


def _in_order(known: Mapping[str, Entry], children: Mapping[str | None, list[str]]) -> Iterator[Node]:
    """The nodes, parents first; entries without messages are left out."""
    pending: list[tuple[str, str | None]] = [(id_, None) for id_ in reversed(children.get(None, ()))]
    marked: set[str] = set()
    while pending:
        id_, parent_id = pending.pop()
        entry = known[id_]
        if callable(entry.content) or entry.content:
            name = node_id(id_)
            if name != id_:  # two ids may look alike when they are marked or cut
                numbers = count()
                while name in known or name in marked:
                    name = node_id(f"{next(numbers)}?{id_}")
                marked.add(name)
            yield Node(name, parent_id, entry.content)
            parent_id = name
        pending += [(child, parent_id) for child in reversed(children.get(id_, ()))]


def node_id(text: str) -> str:
    """An id of a source as one of a node: where it could not name a branch it is marked, or cut, with a digest behind
    it, so that ids that begin alike stay apart."""
    if text in ("", MAIN):
        return f"{text}?"
    name = text.encode(errors="replace").decode().replace("\0", "�")
    if name == text and len(name.encode()) <= MAX_ID_BYTES:
        return name
    mark = f"~{blake2b(text.encode(errors='surrogatepass'), digest_size=8).hexdigest()}"
    return name.encode()[: MAX_ID_BYTES - len(mark)].decode(errors="ignore") + mark


def paths(conversation: Conversation) -> Iterator[Path]:
    """The branches of a conversation: ``main`` first, the others named for their leaf, in the order of the tree.

    ``main`` is there even if there is no message at all.
    """
    replies: dict[str | None, list[Node]] = {}
    for node in conversation.nodes:
        replies.setdefault(node.parent_id, []).append(node)
    title = conversation.title or MAIN
    if not replies:
        yield Path(MAIN, title, None, 0, ())
    owners: list[str] = []  # of each node on the way to the present one, the branch that has it for its own
    own: list[Node] = []
    pending = [(0, root) for root in reversed(replies.get(None, ()))]
    is_main = True
    while pending:
        depth, node = pending.pop()
        if depth < len(owners):
            del owners[depth:]
        own.append(node)
        if node.id in replies:
            pending += [(depth + 1, reply) for reply in reversed(replies[node.id])]
            owners.append("")
            continue
        branch_id = MAIN if is_main else node.id
        shared = depth + 1 - len(own)
        yield Path(branch_id, title if is_main else node.id, owners[shared - 1] if shared else None, shared, tuple(own))
        owners[shared:] = [branch_id] * (depth - shared)
        own.clear()
        is_main = False
