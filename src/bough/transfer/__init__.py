"""Conversations of other programs: which formats there are, and reading a file, an archive or a folder of them.

Guarantees:
1. What is read is never written to; memory holds an object of the file and the conversation in hand, and of formats
   whose conversations can be huge only where each message lies.
2. Whatever is in a file comes out: as a conversation, or as a defect that names the file, the line and the reason.
3. A format is recognised by what the file says, never by its name.

To add a format: a module with ``recognises`` (is the file's first object, or are its tables, of this kind?) and
``read``, and its line in ``FORMATS`` or ``DATABASES``. What a format makes of a message stands in :mod:`.normal`, how
parents become a tree in :func:`.tree.grow`.

What it deliberately does not do: write to a store (that is :mod:`bough.imports`), or guess at what it does not know.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from os.path import exists, isdir, isfile
from pathlib import Path
from tempfile import gettempdir
from typing import Any, NamedTuple

from bough.errors import StoreUnavailableError, UnsupportedFormatError
from bough.transfer import (
    chatgpt,
    claude_ai,
    claude_code,
    code_buddy,
    codex,
    langgraph,
    librechat,
    llm_logs,
    open_webui,
    openai_agents,
    openai_chat,
    openai_responses,
    openassistant,
    pi,
    sharegpt,
    sillytavern,
)
from bough.transfer.records import Decode, Progress, Reading, Record, read_records
from bough.transfer.sources import SQLITE, Source, sources
from bough.transfer.tree import Conversation, Defect, Node, paths

__all__ = [
    "DATABASES",
    "FOLDERS",
    "FORMATS",
    "Conversation",
    "Database",
    "Defect",
    "Folder",
    "Format",
    "Node",
    "paths",
    "read_conversations",
]


class Format(NamedTuple):
    """How another program writes conversations as JSON."""

    recognises: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Iterable[Record | Defect], Reading], Iterator[Conversation | Defect]]
    decode: Decode | None = None
    """Where ``read`` does not look at everything in an object."""


class Database(NamedTuple):
    """How another program keeps conversations in SQLite; recognised by the tables, by name."""

    recognises: Callable[[Mapping[str, tuple[str, ...]]], bool]
    """Is given the columns of each table."""
    read: Callable[[Reading, Progress], Iterator[Conversation | Defect]]


class Folder(NamedTuple):
    """How another program writes one conversation as the files of a folder."""

    recognises: Callable[[Path], bool]
    """Is given one of the files."""
    read: Callable[[Sequence[Path], Reading, Progress], Iterator[Conversation | Defect]]
    """Is given the folder's ``.json`` files."""
    passed_over: Sequence[str] = ()
    """What else lies in such a folder, and holds nothing to read."""


FORMATS: dict[str, Format] = {
    "code-buddy": Format(code_buddy.recognises, code_buddy.read),
    "openassistant": Format(openassistant.recognises, openassistant.read),
    "chatgpt": Format(chatgpt.recognises, chatgpt.read),
    "claude-ai": Format(claude_ai.recognises, claude_ai.read),
    "claude-code": Format(claude_code.recognises, claude_code.read, claude_code.decode_some),
    "codex": Format(codex.recognises, codex.read),
    "pi": Format(pi.recognises, pi.read),
    "sillytavern": Format(sillytavern.recognises, sillytavern.read),
    "open-webui": Format(open_webui.recognises, open_webui.read),
    "librechat": Format(librechat.recognises, librechat.read),
    "sharegpt": Format(sharegpt.recognises, sharegpt.read),
    "openai-responses": Format(openai_responses.recognises, openai_responses.read),
    "openai-chat": Format(openai_chat.recognises, openai_chat.read),
}
"""Every JSON format by its name, in the order in which they are tried."""

DATABASES: dict[str, Database] = {
    "openai-agents": Database(openai_agents.recognises, openai_agents.read),
    "langgraph": Database(langgraph.recognises, langgraph.read),
    "llm": Database(llm_logs.recognises, llm_logs.read),
}
"""Every SQLite format by its name."""

FOLDERS: dict[str, Folder] = {
    "code-buddy": Folder(code_buddy.recognises_file, code_buddy.read_folder, code_buddy.PASSED_OVER),
}
"""The formats of ``FORMATS`` in which the files of a folder are one conversation."""

_FIRST = 8
"""Files of a folder that are looked at to recognise it."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}

_PATIENCE = 100
"""Objects and broken lines at the beginning of a file after which it is no longer tried to recognise it."""


def read_conversations(
    path: Path,
    *,
    format: str | None = None,  # noqa: A002  (the word that the command line uses)
    raw: bool = False,
    progress: Progress | None = None,
    name: str | None = None,
) -> Iterator[Conversation | Defect]:
    """The conversations at a path, in its order, and a defect for each thing in it that is none.

    ``format`` is a name in ``FORMATS`` or ``DATABASES``; None recognises it. ``raw`` keeps each message's original in
    its metadata. ``progress`` is called with the bytes read so far. ``name`` is what people know the path by, if not by
    itself. A file of no lines has no conversations.

    ``UnsupportedFormatError`` where no format fits a file, before anything is yielded; ``StoreUnavailableError`` where
    it is a database that is locked; ``OSError`` where it cannot be read. In a folder or an archive such a file is a
    defect. ``OSError`` also where there is no room to put aside what was read: that is no fault of a file.
    """
    if format is not None and format not in FORMATS and format not in DATABASES:
        raise UnsupportedFormatError(f"there is no format {format!r}", hint=_hint())
    done = 0
    for source, whole in _grouped(path, format, name):
        begin = done

        def hear(at: int, begin: int = begin) -> None:
            if progress is not None:
                progress(begin + at)

        try:
            reading = Reading(source=source, raw=raw)
            items: Iterable[Conversation | Defect] = ()
            if whole is None:
                items = _read(reading, format, hear)
            elif whole.files:
                items = whole.folder.read(whole.files, reading, hear)
            yield from items if format is None else _without_empty(items)
        except (UnsupportedFormatError, StoreUnavailableError, OSError) as error:
            if isinstance(error, OSError) and is_no_room(error):
                raise OSError(error.errno, error.strerror, gettempdir()) from error
            if source.path == path:
                raise
            yield Defect(file=source.name, line=0, reason=str(error))
        except Exception as error:  # noqa: BLE001  (told; the others are read)
            yield unforeseen(source.name, 0, error)
        done += source.size


def is_no_room(error: OSError) -> bool:
    """Whether it is of writing, which is done to temporary files alone, and not of reading."""
    return error.errno in _NO_ROOM


def unforeseen(file: str, line: int, error: Exception) -> Defect:
    """What a reader should not have raised."""
    reason = f"a bug of Bough, please report it: {type(error).__name__}: {error}"
    return Defect(file=file, line=line, reason=reason, bug=error)


def _without_empty(items: Iterable[Conversation | Defect]) -> Iterator[Conversation | Defect]:
    """A conversation without a message is told of: what is no file of the format that was named comes out so."""
    for item in items:
        if isinstance(item, Conversation) and not item.nodes:
            yield Defect(file=item.file, line=item.line, reason="there is no message in it")
        else:
            yield item


class _Whole(NamedTuple):
    """A source that is read with others. ``files`` are all of them at the first, none at the others."""

    folder: Folder
    files: Sequence[Path]


def _grouped(path: Path, format_: str | None, name: str | None) -> Iterator[tuple[Source, _Whole | None]]:
    """The sources at a path, and which are read together."""
    candidates = [FOLDERS[format_]] if format_ in FOLDERS else [*FOLDERS.values()] if format_ is None else []
    place: Path | None = None
    chosen: Folder | None = None
    for source in sources(path, name):
        if source.path is None or not candidates:
            yield source, None
            continue
        if chosen is not None and place is not None and _within(source.path, place) in chosen.passed_over:
            yield source, _Whole(chosen, ())
            continue
        files: Sequence[Path] = ()
        if source.path.parent != place:
            place = source.path.parent
            files = [one for one in sorted(place.glob("*.json")) if not _is_endless(one)] if path.is_dir() else [path]
            chosen = next((one for one in candidates if any(map(one.recognises, files[:_FIRST]))), None)
        together = source.path.suffix == ".json" or not path.is_dir()
        yield source, _Whole(chosen, files) if chosen is not None and together else None


def _is_endless(path: Path) -> bool:
    """Whether it may be a pipe or a device, which :func:`sources` tells of."""
    return exists(path) and not isfile(path) and not isdir(path)


def _within(path: Path, folder: Path) -> str:
    """What of a folder a path is, or lies in; empty where it is elsewhere."""
    return path.relative_to(folder).parts[0] if folder in path.parents else ""


def _read(reading: Reading, name: str | None, progress: Progress) -> Iterator[Conversation | Defect]:
    source = reading.source
    if source.head().startswith(SQLITE):
        yield from _database(source, name).read(reading, progress)
        return
    with source.open() as file:
        records = read_records(file, source.name, progress)
        head, chosen = _begin(source, records, name)
        if chosen is None:
            return
        if chosen.decode is None:
            yield from chosen.read(chain(head, records), reading)
            return
    with source.open() as file:
        yield from chosen.read(read_records(file, source.name, progress, chosen.decode), reading)


def _begin(
    source: Source, records: Iterator[Record | Defect], name: str | None
) -> tuple[list[Record | Defect], Format | None]:
    """The format, and what had to be read to recognise it; None where there is nothing to read."""
    if name is not None:
        if name not in FORMATS:
            raise UnsupportedFormatError(f"{source.name} is no SQLite database, which {name} is")
        return [], FORMATS[name]
    head: list[Record | Defect] = []
    for record in records:
        head.append(record)
        if isinstance(record, Record):
            for candidate in FORMATS.values():
                if candidate.recognises(record.value):
                    return head, candidate
        if len(head) == _PATIENCE:
            break
    if not head:
        return [], None
    first = next((each for each in head if isinstance(each, Record)), head[0])
    why = f"not recognised as a conversation: {_looks(first)}"
    raise UnsupportedFormatError(f"{source.name}:{first.line}: {why}", hint=_hint())


def _looks(item: Record | Defect) -> str:
    """What stands there, for people: the first keys of an object, or why it is none."""
    if isinstance(item, Defect):
        return f"no JSON object ({item.reason})"
    return f"an object with {_some(item.value, 'key')}"


def _some(names: Collection[str], noun: str) -> str:
    """The first few of the names."""
    shown = [repr(name if len(name) <= 30 else f"{name[:29]}…") for name in islice(names, 8)]
    more = ["…"] if len(names) > len(shown) else []
    return f"the {noun}s {', '.join(shown + more)}" if shown else f"no {noun}s"


def _database(source: Source, name: str | None) -> Database:
    from bough.transfer.databases import columns

    if source.path is None:
        raise UnsupportedFormatError(f"{source.name}: a database in an archive is not read", hint="unpack it")
    if name is not None:
        if name not in DATABASES:
            raise UnsupportedFormatError(f"{source.name} is a SQLite database, which {name} is not")
        return DATABASES[name]
    tables = columns(source.path)
    for candidate in DATABASES.values():
        if candidate.recognises(tables):
            return candidate
    why = f"not recognised as a conversation: a SQLite database with {_some(tables, 'table')}"
    raise UnsupportedFormatError(f"{source.name}: {why}", hint=_hint())


def _hint() -> str:
    return f"the formats are {', '.join([*FORMATS, *DATABASES])}"
