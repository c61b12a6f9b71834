"""For programs that keep branches as lists of messages: a message that two lists have in the same place is one node.

1. A node is known by its parent and its ``key``; it is given the first id that is asked for and free.
2. A leaf where a branch ends is given the branch's name for its id, because a branch beside ``main`` is named for its
   leaf: so it keeps its name when it grows.
3. A branch that ends inside another, or has nothing at all, ends in a node of its name without messages.
4. What was added stays; nothing is compared but keys.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from hashlib import blake2b

from bough.branch import MAIN
from bough.model import Message
from bough.transfer.tree import Entry, node_id

Content = Message | Sequence[Message] | Callable[[], Sequence[Message]]


class Prefixes:
    """Nodes that lists of messages share as far as they begin alike."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str | None, Hashable], str] = {}
        self._entries: dict[str, Entry] = {}

    def step(self, parent: str | None, key: Hashable) -> str | None:
        """The node of ``key`` behind ``parent``, None where there is none yet."""
        return self._ids.get((parent, key))

    def add(self, parent: str | None, key: Hashable, wanted: str, content: Content, line: int = 0) -> str:
        """Makes a node behind ``parent``. Its id is ``wanted``, or where another has that, one that follows from its
        place."""
        id_ = node_id(wanted)
        if id_ in self._entries:
            place = blake2b(repr((parent, key)).encode(errors="replace"), digest_size=6).hexdigest()
            id_ = f"{id_[:100]}-{place}"
        while id_ in self._entries:
            id_ += "+"
        self._ids[parent, key] = id_
        self._entries[id_] = Entry(id_, parent, content, line)
        return id_

    def parent(self, id_: str) -> str | None:
        return self._entries[id_].parent_id

    def entries(self, ends: Mapping[str, str | None]) -> tuple[list[Entry], str | None]:
        """The nodes, and the one that ``main`` ends at. ``ends`` is each branch's last node, None of an empty one."""
        inner = {entry.parent_id for entry in self._entries.values()}
        names: dict[str, str] = {}
        marks: list[Entry] = []
        taken = set(self._entries)
        leaf: str | None = None
        for branch, end in sorted(ends.items(), key=lambda one: one[0] != MAIN):
            name = node_id(branch)
            while name in taken and name != end:
                name += "+"
            taken.add(name)
            if end is None or end in inner or end in names:
                marks.append(Entry(name, end, _nothing))
            elif branch != MAIN:
                names[end] = name
            else:
                names[end] = name = end
            leaf = name if branch == MAIN else leaf
        return [entry._replace(id=names.get(entry.id, entry.id)) for entry in self._entries.values()] + marks, leaf


def _nothing() -> Sequence[Message]:
    return ()
