"""Markdown for people to read: a heading a branch, a heading a message, its text below.

1. Nothing that a message holds can become a part of the page's own structure: text that has headings or code that is
   not closed stands in a quotation, which ends all that is open in it where it ends (CommonMark 0.31, 3: a block ends
   with the one that contains it). Arguments and outputs of tools stand in fences longer than any in them. An image is
   named, not loaded. (A message that is Markdown itself may define a link that another one uses: that is all they
   share.)
2. Nothing that a message holds is HTML to who reads the page: a ``<`` that could begin any is escaped, but for code,
   where it could not. Where only a whole parser could tell what is code, all of the text stands in a fence.
3. What a branch shares with one before it is told once, and the branch goes on from there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from bough import history
from bough.model import BranchRecord, Message
from bough.parts import Part, parts_of, role_of
from bough.runs import way_down
from bough.transfer.export.talk import Exported
from bough.transfer.export.text import indented, time_of, utf8, visible
from bough.transfer.export.tree import Run, plant

_SIGNS = re.compile(r"([\\`*_{}\[\]()<>#+!|~&$.-])")
_OPEN = re.compile(r"^[ \t>*+\-0-9.)]*(?:`{3}|~{3}|#{1,3}(?:\s|$)|[=-]+[ \t]*$)", re.MULTILINE)
"""Beginnings of lines that could open what is not closed, or become a heading."""

_FENCED = re.compile(r"^(`{3,})[^`\n]*\n(?:(?!`{3})[^\n]*\n)*?\1[ \t]*$", re.MULTILINE)
"""A whole block of code at the beginning of a line, with no fence inside it."""

_FENCE = re.compile(r"( {0,3})(`{3,}|~{3,})[^`]*$")
_MAY_BE_CODE = re.compile(r"[ \t>*+\-0-9.)]*(?:`{3}|~{3})|(?: {4}| {0,3}\t).*<")
"""A line with a fence in a list or a quotation, or indented as code is."""

_SPAN = r"(?<![\\`])(?P<signs>`{1,9})(?!`)[^\n|]*?(?<!`)(?P=signs)(?!`)"
"""Code within a line. What has a ``|`` in it may be two cells of a table; longer signs, each sought in vain to the
line's end, would cost the square of its length."""

_TAG = r"(?<!\\)(?P<slashes>(?:\\\\)*)<(?=[A-Za-z/!?])(?!https?://[^\s<>\\`]*>)"
"""Where HTML could begin. Behind an odd number of backslashes it cannot, and ``<https://…>`` is a link."""

_SPAN_OR_TAG = re.compile(f"{_SPAN}|{_TAG}")
_ADDRESS = re.compile(r"://|www\.")
_MAY_PART = re.compile(r"`|\](?:\((?![^()\0\\<>\"'\s]*\))|\[(?![^\[\]\0\\\n]*\])|:)")
"""What could take a part of a span for its own, each span being a NUL: another sign, the end of a link."""


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
    at = next((run for run in way_down(end) if run.leader is not record), None)
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
        return f"\n*Thinking*\n\n{text(part.text, quote=True)}"
    if part.kind in ("image", "file"):
        return f"\n{part.kind.capitalize()}: {code(part.text)}"
    label = {"call": f"Calls {code(part.name)}", "result": "Result", "data": "Data"}[part.kind]
    return f"\n{label}\n\n{fenced(indented(part.text))}" if part.text else f"\n{label}"


def text(said: str, *, quote: bool = False) -> str:
    """What somebody wrote, which may be Markdown itself: as it stands where that is harmless, else as a quotation."""
    said = visible(said)
    try:
        harmless = "\n".join(_without_html(said.split("\n"))) if re.search(_TAG, said) else said
    except _UnclearError:
        return fenced(said)
    beside = _FENCED.sub("", harmless)
    return quoted(harmless) if quote or _OPEN.search(beside) or harmless[:1] in (" ", "\t") else harmless


class _UnclearError(ValueError):
    """Whether a ``<`` stands in code depends on what only a parser of Markdown sees."""


def _without_html(lines: Iterable[str]) -> Iterator[str]:
    """The text with each ``<`` escaped that could begin HTML, in parts that belong between newlines.

    A block of code is clear where it is one in a list too, which its lines do not leave, and where nothing in it could
    end it earlier.
    """
    prose: list[str] = []
    indent = fence = ""
    for line in lines:
        bare = line.strip(" \t")
        if not fence:
            if not (found := _FENCE.match(line)):
                if _MAY_BE_CODE.match(line):
                    raise _UnclearError
                prose.append(line)
                continue
            yield from _escaped(prose)
            prose, indent, fence = [], found[1], found[2]
        elif bare.startswith(fence) and not bare.strip(fence[0]):
            if not re.match(rf"{indent}{fence[0]}", line):
                raise _UnclearError
            fence = ""
        elif bare and not line.startswith(indent):
            raise _UnclearError
        yield line
    if fence:
        raise _UnclearError
    yield from _escaped(prose)


def _escaped(lines: Sequence[str]) -> Iterator[str]:
    """Prose with each ``<`` escaped that could begin HTML, but for code within lines."""
    prose = "\n".join(lines)
    if "`" in prose and re.search(_TAG, prose) and not _are_clear(re.sub(_SPAN, "\0", prose)):
        raise _UnclearError
    if lines:
        yield _SPAN_OR_TAG.sub(lambda found: found[0] if found["signs"] else f"{found['slashes']}\\<", prose)


def _are_clear(prose: str) -> bool:
    """Whether what seem spans (here: NULs) are some to every parser: no link and no bare address goes into one."""
    beside = (_ADDRESS.search(word, 0, word.rfind("\0")) for word in prose.split() if "\0" in word)
    return not _MAY_PART.search(prose) and not any(beside)


def quoted(said: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in visible(said).split("\n"))


def fenced(said: str) -> str:
    """As a block of code whose fence is longer than any run of backticks in it."""
    said = visible(said)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", said)), default=0))
    return f"{fence}\n{said}\n{fence}"


def code(said: str) -> str:
    """As code within a line."""
    said = " ".join(visible(said).split()) or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", said)), default=0))
    return f"{fence} {said} {fence}" if "`" in (said[0], said[-1]) else f"{fence}{said}{fence}"


def inline(said: str) -> str:
    """A name within a line, with no sign that means something."""
    return _SIGNS.sub(r"\\\1", " ".join(visible(said).split()))
