"""Rows of the graph as lines for a terminal: columns, numbers, roles, labels, and the first line of each message."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING

from click import get_current_context, style, unstyle

from bough.attributes import Tag, tags_of
from bough.cli.graph import EmptyRow, FoldRow, MessageRow, Row, lay_out
from bough.cli.text import count, first_line, fit, pad, plain, width_of
from bough.history import identity, length, normalise, starts_with
from bough.model import BranchRecord, Message, Piece, SessionState
from bough.parts import gist, role_of
from bough.runs import Identity

if TYPE_CHECKING:
    from bough.stores.base import Store

ROLE_COLOURS = {"system": "magenta", "developer": "magenta", "user": "cyan", "assistant": "yellow", "tool": "blue"}
COLUMN_COLOURS = ("red", "green", "yellow", "blue", "magenta", "cyan")
MAX_LABEL = 20
"""Cells of the longest branch id that a label shows in full."""
MAX_ROLE = 12
FOLD = 2
"""Messages shown at either end of a long run."""
CHUNK = 500
"""Rows drawn at a time: what memory holds, and what a column of numbers is lined up over."""


def draw_graph(
    store: Store,
    state: SessionState,
    head: str,
    *,
    width: int,
    only: Collection[str] | None = None,
    fold: bool = True,
    limit: int | None = None,
    keep: Callable[[Row], bool] = lambda _: True,
    hide: Collection[str] = (),
) -> Iterator[str]:
    """The lines of ``log --graph``: the branches ``only`` (all if None), the newest ``limit`` messages, a line each, of
    the rows to ``keep``; without the labels to ``hide``."""
    labels = Labels(state.branches, head, tags=tags_of(state.attributes), hide=hide)
    rows = filter(keep, lay_out(state.branches, only=only, fold=FOLD if fold else None))
    for block, messages in read_rows(store, state.session_id, rows, limit):
        digits = max((len(str(row.number)) for row in block if isinstance(row, MessageRow)), default=0)
        roles = {identity: role_label(message) for identity, message in messages.items()}
        role_width = max(map(width_of, roles.values()), default=0)
        for row in block:
            if isinstance(row, MessageRow):
                role = roles[row.identity]
                start = (
                    f"{_columns(row.column, '●', joins=row.joins)} {style(str(row.number).rjust(digits), dim=True)} "
                    f"{style_role(pad(role, role_width), role)}  {labels.of(row)}{labels.origin(row.origin)}"
                )
                yield start + fit_after(start, first_line(gist(messages[row.identity])), width)
            elif isinstance(row, FoldRow):
                yield _columns(row.column, "┊") + style(f"   · · {count(row.messages, 'message')}", dim=True)
            elif isinstance(row, EmptyRow):
                yield f"{_columns(0, '○')} {labels.of(row)}{style('no messages yet', dim=True)}"
            else:
                yield ""


def read_rows(
    store: Store, session_id: str, rows: Iterator[Row], limit: int | None
) -> Iterator[tuple[list[Row], dict[Identity, Message]]]:
    """The rows up to the ``limit``-th message in blocks, each with its messages, read at once."""
    rows = _limited(rows, limit)
    while block := list(islice(rows, CHUNK)):
        identities = sorted({row.identity for row in block if isinstance(row, MessageRow)})
        pieces = normalise(Piece(segment, position, position + 1) for segment, position in identities)
        yield block, dict(zip(identities, store.read(session_id, pieces), strict=True))


def _limited(rows: Iterable[Row], limit: int | None) -> Iterator[Row]:
    left = limit
    for row in rows:
        if left is not None and isinstance(row, MessageRow):
            if not left:
                return
            left -= 1
        yield row


def role_label(message: Message) -> str:
    return fit(plain(role_of(message)), MAX_ROLE)


def style_role(text: str, role: str) -> str:
    return style(text, fg=ROLE_COLOURS.get(role))


def fit_after(start: str, text: str, width: int) -> str:
    """``text`` cut to what a line of ``width`` cells leaves it behind ``start``, but never to nothing."""
    return fit(text, max(width - width_of(unstyle(start)), 10))


def has_colour() -> bool:
    """Whether what is printed keeps its colours; :func:`click.echo` decides likewise."""
    color = get_current_context().color
    return sys.stdout.isatty() if color is None else color


def _columns(left: int, glyph: str, *, joins: bool = False) -> str:
    """The lines of the columns to the ``left``, and ``glyph`` in the next one."""
    lines = [style("│ ", fg=_colour(at)) for at in range(left)]
    if joins:
        lines[-1] = style("├", fg=_colour(left - 1)) + style("─", fg=_colour(left))
    return "".join(lines) + style(glyph, fg=_colour(left))


def _colour(column: int) -> str:
    return COLUMN_COLOURS[column % len(COLUMN_COLOURS)]


class Labels:
    """Labels of branches and tags as git draws them. A long id is cut to a beginning that no other branch has.

    ``hide`` are branches that do not really end where they seem to.
    """

    def __init__(
        self,
        branches: Mapping[str, BranchRecord],
        head: str,
        *,
        tags: Mapping[str, Tag] = MappingProxyType({}),
        hide: Collection[str] = (),
    ) -> None:
        self._branches = branches
        self._head = head
        self._hidden = hide
        self._tags: dict[tuple[Identity, int], list[Tag]] = {}
        for tag in tags.values():
            if size := length(tag.history):
                self._tags.setdefault((identity(tag.history, size - 1), size), []).append(tag)
        self._edited = {edit[:2] for record in branches.values() for edit in record.edits}

    def tags(self, row: MessageRow) -> list[str]:
        """The tags that end with a message, and have before it what is there."""
        found = self._tags.get((row.identity, row.number), ())
        return [tag.name for tag in found if starts_with(self._branches[row.branch].history, tag.history)]

    def is_edited(self, row: MessageRow) -> bool:
        """Whether a message took another's place."""
        return row.identity in self._edited

    def edited(self, row: MessageRow) -> str:
        return style("(edited)", fg="blue") + " " if self.is_edited(row) else ""

    def tips(self, row: MessageRow | EmptyRow) -> list[str]:
        """The branches that end with a message, the current one first."""
        return sorted((name for name in row.tips if name not in self._hidden), key=lambda name: name != self._head)

    def of(self, row: MessageRow | EmptyRow) -> str:
        """``(HEAD -> main, other, tag: v1) ``; nothing where nothing ends."""
        shown = [
            style("HEAD -> ", fg="cyan", bold=True) + style(self.short(name), fg="green", bold=True)
            if name == self._head
            else style(self.short(name), fg="green", bold=True)
            for name in self.tips(row)
        ]
        if isinstance(row, MessageRow):
            shown += [style(f"tag: {fit(plain(name), MAX_LABEL)}", fg="magenta", bold=True) for name in self.tags(row)]
        if not shown:
            return ""
        return style("(", fg="yellow") + style(", ", fg="yellow").join(shown) + style(")", fg="yellow") + " "

    def origin(self, name: str | None) -> str:
        return "" if name is None else style(f"(from {self.short(name)})", fg="blue") + " "

    def short(self, name: str, *, mark: str = "…") -> str:
        """The id; of a long one the beginning, with ``mark`` behind it."""
        if len(name) <= MAX_LABEL:
            return plain(name)
        size = 8
        while size < MAX_LABEL and sum(other.startswith(name[:size]) for other in self._branches) > 1:
            size += 1
        return plain(name[:size]) + mark
