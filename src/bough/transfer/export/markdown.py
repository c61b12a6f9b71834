"""Markdown for people to read: a heading a branch, a heading a message, its text below.

Nothing that a message holds can become a part of the page's own structure: text that has headings, code that is not
closed or HTML stands in a quotation, which ends all that is open in it where it ends (CommonMark 0.31, 3: a block ends
with the one that contains it). Arguments and outputs of tools stand in fences longer than any in them. An image is
named, not loaded. (A message that is Markdown itself may define a link that another one uses: that is all they share.)

What a branch shares with one before it is told once, and the branch goes on from there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bough import history
from bough.model import BranchRecord, Message
from bough.transfer.export.parts import Part, indented, parts_of, role_of, time_of, utf8
from bough.transfer.export.talk import Exported
from bough.transfer.export.tree import Run, plant

_SIGNS = re.compile(r"([\\`*_{}\[\]()<>#+!|~&$.-])")
_OPEN = re.compile(r"^[ \t>*+\-0-9.)]*(?:`{3}|~{3}|<|#{1,3}(?:\s|$)|[=-]+[ \t]*$)", re.MULTILINE)
"""Beginnings of lines that could open what is not closed, or become a heading."""

_FENCED = re.compile(r"^(`{3,})[^`\n]*\n(?:(?!`{3})[^\n]*\n)*?\1[ \t]*$", re.MULTILINE)
"""A whole block of code at the beginning of a line, with no fence inside it."""

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f]")


def write(talk: Exported) -> Iterator[bytes]:
    """The page, in parts as they are made."""
    yield utf8(f"# {inline(talk.title or talk.session_id)}\n")
    ends = plant(talk).ends
    for record in talk.branches:
        shared, source = _told(record, ends[record.history])
        if len(talk.branches) > 1:
            name = f" ({inline(record.name)})" if record.name != record.id else ""
            yield utf8(f"\n## {inline(record.id)}{name}\n")
        if source is not None:
            yield utf8(f"\n*{_range(shared)} of {inline(source.id)}.*\n")
        pieces = history.cut(record.history, shared, record.length)
        for number, message in enumerate(talk.read(pieces), shared + 1):
            yield utf8(_message(number, message))


def _told(record: BranchRecord, end: Run) -> tuple[int, BranchRecord | None]:
    """How much of a branch stands in one before it already, and in which."""
    at: Run | None = end
    while at is not None and at.leader is record:
        at = at.parent
    return (0, None) if at is None else (at.stop, at.leader if at.stop else None)


def _range(shared: int) -> str:
    return "The first message is that" if shared == 1 else f"Messages 1 to {shared} are those"


def _message(number: int, message: Message) -> str:
    time = time_of(message)
    at = f" · {time:%Y-%m-%d %H:%M}" if time else ""
    return "\n".join([f"\n### {number} · {inline(role_of(message))}{at}", *map(_part, parts_of(message)), ""])


def _part(part: Part) -> str:
    if part.kind == "text":
        return f"\n{text(part.text)}" if part.text else ""
    if part.kind == "thinking":
        return f"\n*Thinking*\n\n{quoted(part.text)}"
    if part.kind in ("image", "file"):
        return f"\n{part.kind.capitalize()}: {code(part.text)}"
    label = {"call": f"Calls {code(part.name)}", "result": "Result", "data": "Data"}[part.kind]
    return f"\n{label}\n\n{fenced(indented(part.text))}" if part.text else f"\n{label}"


def text(said: str) -> str:
    """What somebody wrote, which may be Markdown itself: as it stands where that is harmless, else as a quotation."""
    said = _lines(said)
    beside = _FENCED.sub("", said)
    return quoted(said) if _OPEN.search(beside) or said[:1] in (" ", "\t") else said


def quoted(said: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in _lines(said).split("\n"))


def fenced(said: str) -> str:
    """As a block of code whose fence is longer than any run of backticks in it."""
    said = _lines(said)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", said)), default=0))
    return f"{fence}\n{said}\n{fence}"


def code(said: str) -> str:
    """As code within a line."""
    said = " ".join(_lines(said).split()) or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", said)), default=0))
    return f"{fence} {said} {fence}" if "`" in (said[0], said[-1]) else f"{fence}{said}{fence}"


def inline(said: str) -> str:
    """A name within a line, with no sign that means something."""
    return _SIGNS.sub(r"\\\1", " ".join(_lines(said).split()))


def _lines(said: str) -> str:
    """With one sort of line ends, and no control characters."""
    return _CONTROL.sub("\ufffd", said.replace("\r\n", "\n").replace("\r", "\n"))
