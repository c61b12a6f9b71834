"""Conflicts as lines for people and as JSON: which message, both wordings, and what differs between those."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from click import style

from bough.cli.comparing import changed_lines, marked
from bough.cli.text import pad, plain, plain_lines, width_of
from bough.merge import Conflict
from bough.model import Message
from bough.parts import spoken, text_of

KINDS = {
    "edit/edit": "edited on both sides",
    "edit/remove": "edited on our side, removed on theirs",
    "remove/edit": "removed on our side, edited on theirs",
}
BETWEEN = "between"


def conflict_lines(
    conflicts: Sequence[Conflict], *, ours: str = "ours", theirs: str = "theirs", numbers: Iterable[int] | None = None
) -> Iterator[str]:
    """Each conflict by its number, from 1 if they are not given, and what the sides are called here."""
    ours, theirs = plain(ours), plain(theirs)
    width = max(map(width_of, (ours, theirs, "ancestor")))
    for number, conflict in zip(numbers or range(1, len(conflicts) + 1), conflicts, strict=True):
        place = f" at message {conflict.index + 1}: {KINDS[conflict.kind]}"
        yield style(f"conflict {number}", fg="red", bold=True) + place
        gone = "(erased, or it cannot be read)"
        yield from _wording("ancestor", _spoken(conflict.ancestor, gone), width, None)
        yield from _wording(ours, _spoken(conflict.ours, "(removed)"), width, "red")
        yield from _wording(theirs, _spoken(conflict.theirs, "(removed)"), width, "green")
        if conflict.ours is not None and conflict.theirs is not None:
            between = [marked(spans) for spans in changed_lines(conflict.ours, conflict.theirs)]
            yield from _wording(BETWEEN, between, width, "yellow")


def _spoken(message: Message | None, otherwise: str) -> list[str]:
    return [otherwise] if message is None else plain_lines(text_of(spoken(message)))


def _wording(called: str, lines: Iterable[str], width: int, colour: str | None) -> Iterator[str]:
    for line in lines:
        yield style(f"  {pad(called, width)}  ", fg=colour, dim=colour is None) + line
        called = ""


def conflict_json(number: int, conflict: Conflict) -> dict[str, Any]:
    """A conflict with all its messages and their identities; ``at`` is its place in the target, from 1."""
    return {
        "number": number,
        "kind": conflict.kind,
        "at": conflict.index + 1,
        "ours": conflict.ours,
        "theirs": conflict.theirs,
        "ancestor": conflict.ancestor,
        "ours_id": conflict.ours_id and list(conflict.ours_id),
        "theirs_id": conflict.theirs_id and list(conflict.theirs_id),
        "ancestor_id": list(conflict.ancestor_id),
    }
