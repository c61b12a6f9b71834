"""Two states of a conversation as lines for a terminal: unified or side by side; a message in two wordings.

1. Messages are read in blocks, and only those that are shown: the inside of a long run that is the same is not.
2. What one side alone holds is shown whole; only what is the same is cut or folded.
3. Without colour, words are marked as git's word diff marks them: ``[-old-]{+new+}``.

What it deliberately does not do: find out what differs (:mod:`bough.diff`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, zip_longest
from typing import Any, Literal, NamedTuple, TypeAlias

from click import style, unstyle
from rich.cells import chop_cells

from bough import codec, history
from bough.cli.drawing import fit_after, has_colour, role_label, style_role
from bough.cli.text import count, first_line, fit, plain, plain_lines, width_of
from bough.diff import Diff, Hunk, Twin, blocks, words
from bough.model import BranchRecord, History, Message, Piece
from bough.parts import gist, spoken, text_of
from bough.revisions import Revision

Tag: TypeAlias = Literal["same", "removed", "added"]
Spans: TypeAlias = list[tuple[Tag, str]]
"""A line, in parts that are on both sides or on one."""

CONTEXT = 1
"""Messages shown on either side of a change, and lines of a message around a changed one."""

MARKS = {"same": " ", "removed": "-", "added": "+", "edited": "~"}
COLOURS = {"removed": "red", "added": "green", "edited": "yellow"}
SPOKEN = frozenset({"role", "content", "tool_calls", "text", "name", "arguments", "input", "output"})
"""What a message's text may be made of."""


class Comparison(NamedTuple):
    """A diff, and how the messages of either side are called: ``main`` in ``main:12``."""

    diff: Diff
    before: str
    after: str
    read: Callable[[History], list[Message]]
    twins: Sequence[Twin] = ()


class Entry(NamedTuple):
    """One message of a hunk on either side or both, with its number there; ``note`` says what else is known of it.

    ``is_known``: the other side holds it too, in just these words, so that its beginning is enough.
    """

    kind: Literal["same", "removed", "added", "edited"]
    before: Message | None
    after: Message | None
    numbers: tuple[int, int]
    note: str = ""
    is_known: bool = False


def name_of(revision: Revision, branches: Mapping[str, BranchRecord]) -> str:
    """What ``:12`` can be put behind to name a message of a revision: its branch, where that still begins so."""
    record = branches.get(revision.branch_id or "")
    if record is not None and history.starts_with(record.history, revision.history):
        return record.id
    return revision.text


def is_same(diff: Diff) -> bool:
    return all(hunk.kind == "same" for hunk in diff.hunks)


def head_lines(comparison: Comparison, short: Callable[[str, int], str]) -> Iterator[str]:
    """What is compared, and with what both begin."""
    diff = comparison.diff
    for mark, name, pieces in (("---", comparison.before, diff.before), ("+++", comparison.after, diff.after)):
        yield style(f"{mark} {plain(name)} · {count(history.length(pieces), 'message')}", bold=True)
    yield style(ancestor_line(diff, short), fg="cyan")


def ancestor_line(diff: Diff, short: Callable[[str, int], str]) -> str:
    if not diff.ancestor:
        return "common beginning: none"
    segment, _, stop = diff.ancestor[-1]
    return (
        f"common beginning: {count(history.length(diff.ancestor), 'message')}, up to {plain(short(segment, stop - 1))}"
    )


def stat_line(diff: Diff) -> str:
    stat = diff.stat
    names = ("same", "added", "removed", "edited", "moved")
    return ", ".join(f"{number:,} {name}" for name, number in zip(names, stat, strict=True))


# -- unified -----------------------------------------------------------------------------------------------------------


def unified(comparison: Comparison, width: int) -> Iterator[str]:
    """The hunks one after another, a message with a mark before each of its lines."""
    notes = _Notes(comparison)
    for hunk, is_first, is_last in _placed(comparison.diff.hunks):
        for entry in _entries(comparison, hunk, notes, is_first=is_first, is_last=is_last):
            if isinstance(entry, int):
                yield _fold_line(entry)
            else:
                yield from _unified_entry(comparison, entry, width)


def _unified_entry(comparison: Comparison, entry: Entry, width: int) -> Iterator[str]:
    message = entry.after if entry.before is None else entry.before
    assert message is not None
    mark, colour = MARKS[entry.kind], COLOURS.get(entry.kind)
    label = f"{plain(comparison.before)}:{entry.numbers[0]}"
    if entry.kind == "added":
        label = f"{plain(comparison.after)}:{entry.numbers[1]}"
    elif entry.kind == "edited" and (comparison.before, entry.numbers[0]) != (comparison.after, entry.numbers[1]):
        label += f" → {plain(comparison.after)}:{entry.numbers[1]}"
    start = style(f"{mark} {label}", fg=colour, dim=entry.kind == "same") + " " + _roles(entry) + " "
    if entry.note:
        start += style(f"({entry.note})", fg="blue") + " "
    if entry.kind == "same" or entry.is_known:
        yield start + fit_after(start, first_line(gist(message)), width)
        return
    if entry.before is not None and entry.after is not None:
        lines = [marked(spans) for spans in changed_lines(entry.before, entry.after)]
    else:
        lines = [style(line, fg=colour) for line in plain_lines(text_of(spoken(message)))]
    yield (start + lines[0]).rstrip()
    yield from (style(f"{mark}   ", fg=colour) + line for line in lines[1:])


def _roles(entry: Entry) -> str:
    roles = dict.fromkeys(role_label(message) for message in (entry.before, entry.after) if message is not None)
    return " → ".join(style_role(role, role) for role in roles)


def _fold_line(messages: int) -> str:
    return style(f"  · · {count(messages, 'message')} the same", dim=True)


# -- side by side ------------------------------------------------------------------------------------------------------


def side_by_side(comparison: Comparison, width: int) -> Iterator[str]:
    """Two columns: what was removed stands opposite what was added there."""
    column = max((width - 3) // 2, 16)
    notes = _Notes(comparison)
    before, after = (style(fit(plain(name), column), bold=True) for name in (comparison.before, comparison.after))
    yield from _rows([before], [after], column)
    for is_one_sided, group in groupby(
        _placed(comparison.diff.hunks), lambda each: each[0].kind in ("removed", "added")
    ):
        entries = [
            (hunk.kind, _entries(comparison, hunk, notes, is_first=is_first, is_last=is_last))
            for hunk, is_first, is_last in group
        ]
        if is_one_sided:
            sides = (_of_kind(entries, kind) for kind in ("removed", "added"))
            for left, right in zip_longest(*sides):
                yield from _rows(_cell(left, column), _cell(right, column), column)
            continue
        for _, run in entries:
            for entry in run:
                if isinstance(entry, int):
                    yield _fold_line(entry)
                else:
                    yield from _rows(_cell(entry, column, left=True), _cell(entry, column, left=False), column)


def _of_kind(entries: Iterable[tuple[str, Iterator[Entry | int]]], kind: str) -> Iterator[Entry | int]:
    for its, run in entries:
        if its == kind:
            yield from run


def _rows(left: Sequence[str], right: Sequence[str], column: int) -> Iterator[str]:
    for mine, other in zip_longest(left, right, fillvalue=""):
        yield (mine + " " * (column - width_of(unstyle(mine))) + style(" │ ", dim=True) + other).rstrip()


def _cell(entry: Entry | int | None, column: int, *, left: bool | None = None) -> list[str]:
    """The lines of one column; ``left`` says which side of a message that is on both."""
    if entry is None or isinstance(entry, int):
        return []
    is_left = entry.kind == "removed" if left is None else left
    message, number = (entry.before, entry.numbers[0]) if is_left else (entry.after, entry.numbers[1])
    assert message is not None
    role = role_label(message)
    mark, colour = MARKS[entry.kind], COLOURS.get(entry.kind)
    start = style(f"{mark} {number}", fg=colour, dim=entry.kind == "same") + " " + style_role(role, role)
    if entry.kind == "same":
        return [start + " " + fit_after(start + " ", first_line(gist(message)), column)]
    lines = [start]
    if entry.note:
        lines += _wrapped([("same", f"({entry.note})")], column - 2)
    if entry.is_known:
        lines.append(fit(first_line(gist(message)), column - 2))
    elif entry.before is not None and entry.after is not None:
        for spans in changed_lines(entry.before, entry.after, without="added" if is_left else "removed"):
            lines += _wrapped(spans, column - 2)
    else:
        for line in plain_lines(text_of(spoken(message))):
            lines += _wrapped([("same", line)], column - 2)
    return [lines[0], *(f"  {line}" for line in lines[1:])]


def _wrapped(spans: Spans, width: int) -> list[str]:
    """A line in lines of at most ``width`` cells, marks included, broken between words where there is room for one."""
    lines: list[Spans] = [[]]
    for tag, text in spans:
        for word in re.findall(r"\s+|\S+", text):
            if _cells(grown := _joined(lines[-1], tag, word)) <= width:
                lines[-1] = grown
            elif not word.isspace():
                room = max(width - _cells([(tag, "x")]) + 1, 2)
                lines += [[(tag, part)] for part in chop_cells(word, room)]
    return [marked(line) for line in lines if line] or [""]


def _joined(line: Spans, tag: Tag, word: str) -> Spans:
    if line and line[-1][0] == tag:
        return [*line[:-1], (tag, line[-1][1] + word)]
    return [*line, (tag, word)]


def _cells(line: Spans) -> int:
    return width_of(unstyle(marked(line)))


# -- what is in a hunk -------------------------------------------------------------------------------------------------


def _placed(hunks: Sequence[Hunk]) -> Iterator[tuple[Hunk, bool, bool]]:
    for number, hunk in enumerate(hunks):
        yield hunk, number == 0, number == len(hunks) - 1


def _entries(
    comparison: Comparison, hunk: Hunk, notes: _Notes, *, is_first: bool, is_last: bool
) -> Iterator[Entry | int]:
    """The messages of a hunk; a number stands for so many that are the same and not shown."""
    size = history.length(hunk.before or hunk.after)
    head, tail = (0 if is_first else CONTEXT), (0 if is_last else CONTEXT)
    if hunk.kind != "same" or size <= head + tail + 1:
        yield from _messages(comparison, hunk, notes, 0, size)
        return
    yield from _messages(comparison, hunk, notes, 0, head)
    yield size - head - tail
    yield from _messages(comparison, hunk, notes, size - tail, size)


def _messages(comparison: Comparison, hunk: Hunk, notes: _Notes, start: int, stop: int) -> Iterator[Entry]:
    at = start
    before, after = (history.cut(side, start, stop) if side else () for side in (hunk.before, hunk.after))
    for mine, other in zip_longest(blocks(before), blocks(after), fillvalue=()):
        olds = comparison.read(mine) if mine else []
        news = olds if mine == other else comparison.read(other) if other else []
        for old, new in zip_longest(olds, news):
            numbers = (hunk.index_before + at + 1, hunk.index_after + at + 1)
            note, is_known = notes.of(hunk, at)
            yield Entry(hunk.kind, old, new, numbers, note, is_known)
            at += 1


class _Notes:
    """What is known of messages of one side beyond that they are there: where else they are, or their like."""

    def __init__(self, comparison: Comparison) -> None:
        self._names = (plain(comparison.before), plain(comparison.after))
        self._moved: tuple[list[tuple[Piece, int]], list[tuple[Piece, int]]] = ([], [])
        for hunk in comparison.diff.hunks:
            if hunk.moved:
                for side, pieces, first in ((0, hunk.before, hunk.index_before), (1, hunk.after, hunk.index_after)):
                    for piece in pieces:
                        self._moved[side].append((piece, first))
                        first += piece.stop - piece.start
        self._twins = (
            {twin.index_before: twin.index_after for twin in comparison.twins},
            {twin.index_after: twin.index_before for twin in comparison.twins},
        )

    def of(self, hunk: Hunk, at: int) -> tuple[str, bool]:
        """The note on the message at an index of a hunk, and whether the other side has just these words."""
        if hunk.kind not in ("removed", "added"):
            return "", False
        side = 0 if hunk.kind == "removed" else 1
        other = 1 - side
        if hunk.moved:
            place = self._place(history.identity(hunk.before or hunk.after, at), other)
            if place is None:
                return "moved and edited", False
            return f"moved {'from' if side else 'to'} {self._names[other]}:{place + 1}", True
        twin = self._twins[side].get((hunk.index_after if side else hunk.index_before) + at)
        if twin is None:
            return "", False
        return f"= {self._names[other]}:{twin + 1}: same words, another message", True

    def _place(self, identity: tuple[str, int], side: int) -> int | None:
        segment, position = identity
        for piece, first in self._moved[side]:
            if piece.segment == segment and piece.start <= position < piece.stop:
                return first + position - piece.start
        return None


# -- one message in two wordings ---------------------------------------------------------------------------------------


def changed_lines(before: Message, after: Message, *, without: Tag | None = None) -> list[Spans]:
    """How one wording became the other, word by word; lines that are the same and far from a change are folded.

    Other keys that differ follow as JSON. ``without`` leaves out what is on one side only.
    """
    old, new = text_of(spoken(before)), text_of(spoken(after))
    lines: list[Spans] = []
    if old != new:
        lines = _folded(_lines_of([step for step in words(old, new) if step[0] != without]))
    keys = [key for key in {**before, **after} if key not in (SPOKEN if old != new else {"role"})]
    for key in keys:
        mine, other = (_json(key, message) for message in (before, after))
        if mine != other:
            lines += _lines_of([step for step in words(mine, other) if step[0] != without])
    if not lines and before.get("role") == after.get("role"):
        lines = [[("same", "the same but for the order of its keys")]]
    return lines or _folded(_lines_of([("same", new)]))


def _json(key: str, message: Message) -> str:
    return codec.encode_found({key: message[key]}).decode()[1:-1] if key in message else ""


def _lines_of(steps: Iterable[tuple[Tag, str]]) -> list[Spans]:
    lines: list[Spans] = [[]]
    for tag, text in steps:
        first, *more = plain_lines(text)
        lines[-1].append((tag, first))
        lines += [[(tag, line)] for line in more]
    return lines


def _folded(lines: Sequence[Spans]) -> list[Spans]:
    changed = [at for at, spans in enumerate(lines) if any(tag != "same" for tag, _ in spans)]
    near = {at + step for at in changed for step in range(-CONTEXT, CONTEXT + 1)} or {0}
    shown: list[Spans] = []
    for is_near, group in groupby(range(len(lines)), lambda at: at in near):
        run = list(group)
        if is_near or len(run) == 1:
            shown += [lines[at] for at in run]
        else:
            shown.append([("same", f"· · {count(len(run), 'line')}")])
    return shown


def marked(spans: Iterable[tuple[Tag, str]]) -> str:
    """A line with what is on one side only marked as such."""
    shown = ""
    for tag, text in spans:
        if tag == "same" or not text:
            shown += text
        elif has_colour():
            shown += style(text, fg=COLOURS[tag], strikethrough=tag == "removed" or None)
        else:
            shown += f"[-{text}-]" if tag == "removed" else f"{{+{text}+}}"
    return shown


# -- JSON --------------------------------------------------------------------------------------------------------------


def stat_json(diff: Diff) -> dict[str, int]:
    return diff.stat._asdict()


def hunks_json(comparison: Comparison) -> list[dict[str, Any]]:
    """Every hunk with its messages, but for those that are the same."""
    return [
        {
            "kind": hunk.kind,
            "moved": hunk.moved,
            "before": _side_json(comparison, hunk, hunk.before, hunk.index_before),
            "after": _side_json(comparison, hunk, hunk.after, hunk.index_after),
        }
        for hunk in comparison.diff.hunks
    ]


def _side_json(comparison: Comparison, hunk: Hunk, pieces: History, index: int) -> dict[str, Any]:
    return {
        "number": index + 1,
        "pieces": [list(piece) for piece in pieces],
        "messages": None if hunk.kind == "same" else comparison.read(pieces) if pieces else [],
    }
