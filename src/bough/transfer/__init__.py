"""Conversations of other programs: which formats there are, and reading a file of any of them.

Guarantees:
1. A file is read line by line and never written; what memory holds is a line and the conversation in hand.
2. Whatever is in the file comes out: as a conversation, or as a defect that names the file, the line and the reason.
3. A format is recognised by what the file says, never by its name.

To add a format: a module with ``recognises`` (is the file's first object one of these?) and ``read`` (records to
conversations, pure), and its line in ``FORMATS``.

What it deliberately does not do: write to a store (that is :mod:`bough.imports`), or guess at what it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from bough.errors import UnsupportedFormatError
from bough.transfer import openai_chat, openassistant
from bough.transfer.jsonl import Record, read_records
from bough.transfer.tree import Conversation, Defect, Node, paths

__all__ = ["FORMATS", "Conversation", "Defect", "Format", "Node", "paths", "read_conversations"]


class Format(NamedTuple):
    """How another program writes conversations."""

    recognises: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Iterable[Record | Defect]], Iterator[Conversation | Defect]]


FORMATS = {
    "openassistant": Format(openassistant.recognises, openassistant.read),
    "openai-chat": Format(openai_chat.recognises, openai_chat.read),
}
"""Every format by its name, in the order in which they are tried."""


_PATIENCE = 100
"""Broken lines at the beginning of a file after which it is no longer tried to recognise it."""


def read_conversations(
    path: Path,
    *,
    format: str | None = None,  # noqa: A002  (the word that the command line uses)
    progress: Callable[[int], object] | None = None,
) -> Iterator[Conversation | Defect]:
    """The conversations of a file, in its order, and a defect for each line that is none.

    ``format`` is a name in ``FORMATS``; None recognises it. ``progress`` is called with the bytes read so far.
    ``UnsupportedFormatError`` where no format fits, before anything is yielded; ``OSError`` where the file cannot be
    read. A file of no lines has no conversations.
    """
    with path.open("rb") as file:
        records = read_records(file, str(path), progress or (lambda _: None))
        head = _until_first_object(records)
        if head:
            chosen = _recognise(path, head[-1]) if format is None else _named(format)
            yield from chosen.read(chain(head, records))


def _until_first_object(records: Iterator[Record | Defect]) -> list[Record | Defect]:
    head: list[Record | Defect] = []
    for record in records:
        head.append(record)
        if isinstance(record, Record) or len(head) == _PATIENCE:
            break
    return head


def _recognise(path: Path, first: Record | Defect) -> Format:
    if isinstance(first, Record):
        for candidate in FORMATS.values():
            if candidate.recognises(first.value):
                return candidate
    raise UnsupportedFormatError(f"{path}: not recognised as a conversation", hint=_hint())


def _named(name: str) -> Format:
    if name not in FORMATS:
        raise UnsupportedFormatError(f"there is no format {name!r}", hint=_hint())
    return FORMATS[name]


def _hint() -> str:
    return f"the formats are {', '.join(FORMATS)}"
