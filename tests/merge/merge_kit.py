"""Two branches and their base, made message by message, for the tests of strategies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hypothesis import strategies as st

from bough import history
from bough.diff import Side
from bough.errors import CorruptBranchError
from bough.merge import NewMessage, Part, Sides, Strategy
from bough.model import Edit, History, Message, Piece

Identity = tuple[str, int]
Wording = tuple[Identity, Identity]
"""A message as a branch holds it, and its first wording."""


Trio = tuple[list[Wording], list[Wording], list[Wording]]
"""Target, source and base."""


def side(wordings: Iterable[Wording]) -> Side:
    """The branch that holds these."""
    plain = list(wordings)
    edits = sorted({Edit(*message, *first) for message, first in plain if message != first})
    return Side(history.normalise(Piece(name, at, at + 1) for (name, at), _ in plain), tuple(edits))


def new(*names: str) -> list[Wording]:
    """Messages in their first wording: ``m3`` is position 3 of segment m. ``t0=m3`` is another wording of that."""
    found = []
    for name in names:
        message, _, first = name.partition("=")
        found.append((identity(message), identity(first or message)))
    return found


def identity(name: str) -> Identity:
    return name[0], int(name[1:])


def held(side: Side) -> list[Identity]:
    return [(segment, position) for segment, start, stop in side.history for position in range(start, stop)]


@dataclass
class Reader:
    """Reads messages; remembers which. Those without a content of their own hold their identity."""

    contents: dict[Identity, Message] = field(default_factory=dict)
    gone: set[Identity] = field(default_factory=set)
    asked: list[History] = field(default_factory=list)

    def __call__(self, pieces: History) -> list[Message]:
        self.asked.append(pieces)
        wanted = held(Side(pieces))
        if self.gone & set(wanted):
            raise CorruptBranchError("here", "given up")
        return [self.contents.get(message, {"content": f"{message[0]}{message[1]}"}) for message in wanted]

    @property
    def seen(self) -> list[Identity]:
        return [message for pieces in self.asked for message in held(Side(pieces))]


def plain(parts: Iterable[Part]) -> list[Identity | Message]:
    """What a strategy returned, message by message; new ones as they are."""
    out: list[Identity | Message] = []
    for part in parts:
        if isinstance(part, Piece):
            out += held(Side((part,)))
        else:
            out.append(dict(part.message) if isinstance(part, NewMessage) else part)
    return out


def merged(strategy: Strategy, target: Side, source: Side, **more: object) -> Side:
    """The target afterwards, where the strategy makes no message."""
    sides = Sides(target=target, source=source, **{"read": Reader(), **more})  # type: ignore[arg-type]
    pieces = history.normalise(part for part in strategy(sides) if isinstance(part, Piece))
    known = {edit for each in (target, source) for edit in each.edits}
    there = set(held(Side(pieces)))
    return Side(pieces, tuple(sorted(edit for edit in known if (edit.segment, edit.position) in there)))


@st.composite
def changed(draw: st.DrawFn, before: list[Wording], segment: str, most: int = 4) -> list[Wording]:
    """The branch after some edits, removals and additions, written to ``segment``."""
    after = list(before)
    for position in range(draw(st.integers(0, most))):
        verb = draw(st.sampled_from(["add", "edit", "remove"]))
        at = draw(st.integers(0, len(after)))
        if verb == "add":
            after.insert(at, ((segment, position), (segment, position)))
        elif at < len(after) and verb == "edit":
            after[at] = ((segment, position), after[at][1])
        elif at < len(after):
            del after[at]
    return after


@st.composite
def trios(draw: st.DrawFn) -> tuple[list[Wording], list[Wording], list[Wording]]:
    """Target, source and base. Some messages that the base does not hold may have come to both another way."""
    size = draw(st.integers(0, 5))
    base = draw(changed([(("m", at), ("m", at)) for at in range(size)], "b", 2))
    common = [(("x", at), ("x", at)) for at in range(draw(st.integers(0, 2)))]
    begun = []
    for _ in range(2):
        branch = list(base)
        for message in common:
            branch.insert(draw(st.integers(0, len(branch))), message)
        begun.append(branch)
    return draw(changed(begun[0], "t")), draw(changed(begun[1], "s")), base
