"""What two histories have in common and what not: pure, on identities. Messages are read for :func:`twins` alone.

A message in another wording (:mod:`bough.edits`) is the same message: it stands opposite its other wording.

1. The hunks are a whole edit script: their ``before`` one after another are the first side, their ``after`` the second.
2. As many messages as possible stay in place. What both sides hold and cannot stay is marked as moved.
3. The cost grows with the pieces and edits (n log n), never with the number of messages.

What it deliberately does not do: guess. Messages of equal content and different identity are different ones to
:func:`compare`; :func:`twins` finds them, and what that means is up to the caller.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from hashlib import blake2b
from itertools import groupby, pairwise
from operator import attrgetter
from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct

from bough import codec, edits, history
from bough.model import Edit, History, Message, Piece

Read: TypeAlias = Callable[[History], list[Message]]
"""Reads the messages of a history, in order."""

BLOCK = 1000
"""How many messages are held at a time."""


class Side(Struct, frozen=True):
    """A history with those of its messages that took another's place."""

    history: History = ()
    edits: tuple[Edit, ...] = ()


class Hunk(Struct, frozen=True, kw_only=True):
    """One step from the first side to the second: a run of ``before``, a run of ``after``, where each begins.

    ``same``: the same messages. ``edited``: as many, each in another wording. ``removed`` and ``added``: on one side
    only, or ``moved``: the other side holds them too, somewhere else, in this or another wording.
    """

    kind: Literal["same", "removed", "added", "edited"]
    before: History
    after: History
    index_before: int
    index_after: int
    moved: bool = False


class Stat(NamedTuple):
    """How many messages. The first side has same + removed + edited + moved, the second same + added + edited + moved.

    A message that was moved and edited counts as moved.
    """

    same: int = 0
    added: int = 0
    removed: int = 0
    edited: int = 0
    moved: int = 0


class Diff(Struct, frozen=True, kw_only=True):
    """How one side became the other. ``ancestor`` is the beginning that they share, by identity.

    ``only_before`` and ``only_after`` are what just one of them holds, in any wording.
    """

    ancestor: History
    hunks: tuple[Hunk, ...]
    only_before: History
    only_after: History

    @property
    def before(self) -> History:
        """The first side."""
        return history.concat(*(hunk.before for hunk in self.hunks))

    @property
    def after(self) -> History:
        """The second side."""
        return history.concat(*(hunk.after for hunk in self.hunks))

    @property
    def moved(self) -> History:
        """What both hold at different places, in the first side's wording and order."""
        return history.concat(*(hunk.before for hunk in self.hunks if hunk.moved))

    @property
    def stat(self) -> Stat:
        counts: Counter[str] = Counter()
        for hunk in self.hunks:
            kind = "moved" if hunk.moved else hunk.kind
            if not (hunk.moved and hunk.kind == "added"):
                counts[kind] += history.length(hunk.before or hunk.after)
        return Stat(**counts)


class Atom(NamedTuple):
    """A run of messages that is compared as one, and the run of their first wordings: as long, the same but for
    edits. One that is not the same has one message."""

    piece: Piece
    first: Piece


class Twin(NamedTuple):
    """Two messages of equal content and different identity, by index."""

    index_before: int
    index_after: int


def compare(before: Side, after: Side) -> Diff:
    """The edit script that leads from one side to the other."""
    mine, other = atoms(before, after)
    pairs = pair(mine, other)
    stay = _longest_rise(pairs, [_size(atom.piece) for atom in mine], len(other))
    return Diff(
        ancestor=history.common_prefix(before.history, after.history),
        hunks=tuple(_hunks(_script(mine, other, pairs, stay))),
        only_before=edits.subtract(before.history, before.edits, after.history, after.edits),
        only_after=edits.subtract(after.history, after.edits, before.history, before.edits),
    )


def atoms(*sides: Side) -> list[list[Atom]]:
    """Each side in runs such that any two first wordings, of whatever sides, are one run or have nothing in common.

    What one side knows of edits holds for all: that a message took another's place is a fact about the message.
    """
    known = {edit for side in sides for edit in side.edits}
    runs = [[Atom(*both) for both in edits.split(side.history, known)] for side in sides]
    places: defaultdict[str, set[int]] = defaultdict(set)
    for _, (segment, start, stop) in (run for side in runs for run in side):
        places[segment] |= {start, stop}
    borders = {segment: sorted(found) for segment, found in places.items()}
    return [[atom for run in side for atom in _cut(run, borders[run.first.segment])] for side in runs]


def _cut(run: Atom, borders: Sequence[int]) -> Iterator[Atom]:
    (name, begin, _), (segment, start, stop) = run
    inner = borders[bisect_left(borders, start) : bisect_right(borders, stop)]
    for low, high in pairwise(inner):
        yield Atom(Piece(name, begin + low - start, begin + high - start), Piece(segment, low, high))


def pair(mine: Sequence[Atom], other: Sequence[Atom]) -> dict[int, int]:
    """Which atom is which of the other side, by index: the same wording if it is there, else another one.

    Where a side holds a message twice, the first goes with the first.
    """
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for key in (attrgetter("piece"), attrgetter("first")):
        waiting: defaultdict[Piece, deque[int]] = defaultdict(deque)
        for number, atom in enumerate(other):
            if number not in taken:
                waiting[key(atom)].append(number)
        for number, atom in enumerate(mine):
            if number not in pairs and (queue := waiting.get(key(atom))):
                pairs[number] = queue.popleft()
                taken.add(pairs[number])
    return pairs


def _longest_rise(pairs: Mapping[int, int], weights: Sequence[int], size: int) -> dict[int, int]:
    """The heaviest choice of ``pairs`` that rises on both sides: what can stay in place.

    ``best`` is a Fenwick tree over the other side's indexes: the heaviest rise up to each, and its last pair.
    """
    best: list[tuple[int, int]] = [(0, -1)] * (size + 1)
    link: dict[int, int] = {}
    for mine in sorted(pairs):
        at, found = pairs[mine], (0, -1)
        while at > 0:
            found, at = max(found, best[at]), at & (at - 1)
        link[mine] = found[1]
        at, found = pairs[mine] + 1, (found[0] + weights[mine], mine)
        while at <= size:
            best[at], at = max(best[at], found), at + (at & -at)
    stay: dict[int, int] = {}
    last = max(best)[1]
    while last >= 0:
        stay[last], last = pairs[last], link[last]
    return stay


class _Step(NamedTuple):
    kind: Literal["same", "removed", "added", "edited"]
    moved: bool
    before: Piece | None
    after: Piece | None


def _script(
    mine: Sequence[Atom], other: Sequence[Atom], pairs: Mapping[int, int], stay: Mapping[int, int]
) -> Iterator[_Step]:
    paired = set(pairs.values())
    at = 0

    def added(until: int) -> Iterator[_Step]:
        for number in range(at, until):
            yield _Step("added", number in paired, None, other[number].piece)

    for number, (piece, _) in enumerate(mine):
        if number not in stay:
            yield _Step("removed", number in pairs, piece, None)
            continue
        yield from added(stay[number])
        opposite = other[stay[number]].piece
        yield _Step("same" if piece == opposite else "edited", False, piece, opposite)
        at = stay[number] + 1
    yield from added(len(other))


def _hunks(steps: Iterable[_Step]) -> Iterator[Hunk]:
    index_before = index_after = 0
    for (kind, moved), group in groupby(steps, key=attrgetter("kind", "moved")):
        run = list(group)
        before = history.normalise(step.before for step in run if step.before)
        after = history.normalise(step.after for step in run if step.after)
        yield Hunk(
            kind=kind, before=before, after=after, index_before=index_before, index_after=index_after, moved=moved
        )
        index_before += history.length(before)
        index_after += history.length(after)


def _size(piece: Piece) -> int:
    return piece.stop - piece.start


def blocks(pieces: History) -> Iterator[History]:
    """The history in parts of at most ``BLOCK`` messages."""
    part: list[Piece] = []
    room = BLOCK
    for segment, start, stop in pieces:
        at = start
        while at < stop:
            end = min(stop, at + room)
            part.append(Piece(segment, at, end))
            room -= end - at
            at = end
            if not room:
                yield tuple(part)
                part, room = [], BLOCK
    if part:
        yield tuple(part)


def twins(diff: Diff, read: Read) -> tuple[Twin, ...]:
    """Removed and added messages of equal content, the first with the first. Moved ones are none: they are the same.

    Equal is what has the same encoding. Reads what was removed and added, in blocks; remembers a digest of each.
    """
    waiting: defaultdict[bytes, deque[int]] = defaultdict(deque)
    removed, added = ([hunk for hunk in diff.hunks if hunk.kind == kind and not hunk.moved] for kind in _ONE_SIDED)
    if not removed or not added:
        return ()
    for hunk in removed:
        for index, digest in enumerate(_digests(hunk.before, read), hunk.index_before):
            waiting[digest].append(index)
    return tuple(
        sorted(
            Twin(waiting[digest].popleft(), index)
            for hunk in added
            for index, digest in enumerate(_digests(hunk.after, read), hunk.index_after)
            if waiting.get(digest)
        )
    )


_ONE_SIDED = ("removed", "added")


def _digests(pieces: History, read: Read) -> Iterator[bytes]:
    for block in blocks(pieces):
        for message in read(block):
            yield blake2b(codec.encode_found(message), digest_size=32).digest()


Words: TypeAlias = list[tuple[Literal["same", "removed", "added"], str]]

MAX_WORK = 100_000
"""How many pairs of equal words :func:`words` looks at before it compares lines instead, then nothing.

Two independent texts of 2000 words have that many. The worst there is under this limit takes about a second.
"""

# A word, white space, or one sign. Scripts without spaces have a word a character, or a whole sentence would be one.
_WORDLESS = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_WORDLESS}]|[^\W{_WORDLESS}]+|\s+|[^\w\s]")


def words(before: str, after: str) -> Words:
    """How one text became the other, word by word; what is not ``added`` joins to ``before``, not ``removed`` to
    ``after``, to the character.

    What both begin and end with is the same, however long. Where the rest is too much work word by word it is compared
    by lines; where that is too much as well, it is all removed and all added.
    """
    mine, other = _WORD.findall(before), _WORD.findall(after)
    head = _equal_run(mine, other)
    tail = _equal_run(mine[head:][::-1], other[head:][::-1])
    begin, end = "".join(mine[:head]), "".join(mine[len(mine) - tail :])
    mine, other = mine[head : len(mine) - tail], other[head : len(other) - tail]
    if _work(mine, other) > MAX_WORK:
        mine, other = ("".join(side).splitlines(keepends=True) for side in (mine, other))
    if _work(mine, other) > MAX_WORK:
        mine, other = (["".join(side)] for side in (mine, other))
    found: Words = [("same", begin)]
    # White space joins words that are the same; alone it is no reason to call anything the same.
    for tag, start, stop, low, high in SequenceMatcher(str.isspace, mine, other, autojunk=False).get_opcodes():
        old, new = "".join(mine[start:stop]), "".join(other[low:high])
        found += [("same", old)] if tag == "equal" else [("removed", old), ("added", new)]
    found.append(("same", end))
    return [step for step in found if step[1]]


def _equal_run(mine: Sequence[str], other: Sequence[str]) -> int:
    run = 0
    for left, right in zip(mine, other, strict=False):
        if left != right:
            break
        run += 1
    return run


def _work(mine: Sequence[str], other: Sequence[str]) -> int:
    """What SequenceMatcher looks at in its first pass: each pair of equal items."""
    counts = Counter(item for item in other if not item.isspace())
    return sum(counts[item] for item in mine)
