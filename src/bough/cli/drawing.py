"""Rows of the graph as lines for a terminal: columns, numbers, roles, labels, and the first line of each message."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from click import style, unstyle

from bough.cli.graph import EmptyRow, FoldRow, Identity, MessageRow, Row, lay_out
from bough.cli.messages import ROLE_COLOURS, role_of, text_of
from bough.cli.text import count, first_line, fit, pad, plain, width_of
from bough.history import normalise
from bough.model import Message, Piece, SessionState

if TYPE_CHECKING:
    from bough.stores.base import Store

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
) -> Iterator[str]:
    """The lines of ``log --graph``: the branches ``only`` (all if None), the newest ``limit`` messages, a line each."""
    labels = Labels(state.branches, head)
    rows = lay_out(state.branches, only=only, fold=FOLD if fold else None)
    for block, messages in read_rows(store, state.session_id, rows, limit):
        digits = max((len(str(row.number)) for row in block if isinstance(row, MessageRow)), default=0)
        roles = {identity: role_label(message) for identity, message in messages.items()}
        role_width = max(map(width_of, roles.values()), default=0)
        for row in block:
            if isinstance(row, MessageRow):
                role = roles[row.identity]
                start = (
                    f"{_columns(row.column, '●', joins=row.joins)} {style(str(row.number).rjust(digits), dim=True)} "
                    f"{style_role(pad(role, role_width), role)}  {labels.of(row.tips)}{labels.origin(row.origin)}"
                )
                yield start + fit_after(start, first_line(text_of(messages[row.identity])), width)
            elif isinstance(row, FoldRow):
                yield _columns(row.column, "┊") + style(f"   · · {count(row.messages, 'message')}", dim=True)
            elif isinstance(row, EmptyRow):
                yield f"{_columns(0, '○')} {labels.of(row.tips)}{style('no messages yet', dim=True)}"
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


def _columns(left: int, glyph: str, *, joins: bool = False) -> str:
    """The lines of the columns to the ``left``, and ``glyph`` in the next one."""
    lines = [style("│ ", fg=_colour(at)) for at in range(left)]
    if joins:
        lines[-1] = style("├", fg=_colour(left - 1)) + style("─", fg=_colour(left))
    return "".join(lines) + style(glyph, fg=_colour(left))


def _colour(column: int) -> str:
    return COLUMN_COLOURS[column % len(COLUMN_COLOURS)]


class Labels:
    """Branch labels as git draws them. A long id is cut to a beginning that no other branch has."""

    def __init__(self, branches: Mapping[str, object], head: str) -> None:
        self._branches = branches
        self._head = head

    def of(self, tips: Sequence[str]) -> str:
        """``(HEAD -> main, other) ``; nothing without tips."""
        if not tips:
            return ""
        shown = [
            style("HEAD -> ", fg="cyan", bold=True) + style(self.short(name), fg="green", bold=True)
            if name == self._head
            else style(self.short(name), fg="green", bold=True)
            for name in sorted(tips, key=lambda name: name != self._head)
        ]
        return style("(", fg="yellow") + style(", ", fg="yellow").join(shown) + style(")", fg="yellow") + " "

    def origin(self, name: str | None) -> str:
        return "" if name is None else style(f"(from {self.short(name)}) ", fg="blue")

    def short(self, name: str, *, mark: str = "…") -> str:
        """The id; of a long one the beginning, with ``mark`` behind it."""
        if len(name) <= MAX_LABEL:
            return plain(name)
        size = 8
        while size < MAX_LABEL and sum(other.startswith(name[:size]) for other in self._branches) > 1:
            size += 1
        return plain(name[:size]) + mark
