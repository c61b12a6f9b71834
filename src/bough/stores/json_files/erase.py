"""Giving messages up for good: what gc frees and what a purge erases (promise 8 of :mod:`bough.stores.base`).

The entry in the log is the moment of commit here too; it says ``freed``, and ``erased``. What follows is done by
whoever takes the lock next, if the writer did not live to do it (:meth:`.writer.Writer._finish`), and may be done
twice.

1. Nothing is written before :func:`check` has looked at everything that may hold one of the messages. What cannot be
   read may hold one, and nobody could promise otherwise: the change is refused.
2. Live documents never hold what is freed. The same change took it from them, and what they displace goes into the
   attic without it.
3. In the attic a document that holds one of them is written anew with what no live document has, or deleted where that
   is nothing. Documents of a copy that is under way (``+…``) are treated like any other.
4. With ``erased``, what a repair cut off and what an uncommitted change left goes too (nobody needs it: nothing in it
   was ever acknowledged), and the log is written anew without the messages that its entries brought; those of an
   operation that is finished are in the documents. The folder is synced, so that a power failure brings nothing back.

A reader may still read a freed message until the commit returns. What this deliberately does not do: overwrite the
blocks that the file system frees, or look into what else an operation notes (names, metadata, ``detail``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from bough.errors import CorruptBranchError, StoreUnavailableError
from bough.history import subtract, union
from bough.model import Finding, History, Operation, replace
from bough.stores.json_files.disk import Disk, unavailable
from bough.stores.json_files.document_writer import DocumentWriter
from bough.stores.json_files.folder import ATTIC, Folder, UnreadableError
from bough.stores.json_files.log import NAME as LOG
from bough.stores.json_files.log import slimmed
from bough.stores.json_files.runs import gather
from bough.stores.json_files.view import View, view_of

LEFTOVER = re.compile(r".+\.json\.\d+\.new|(HEAD|operations\.jsonl)\.new")
"""In the session's folder: what a change that was not committed left, or a rewriting that came to no end."""
ATTIC_LEFTOVER = re.compile(r".+\.new")
REMAINS = re.compile(r".+\.torn-\d+")
"""In the attic: what a repair cut off."""
_CHUNK = 1 << 20


def check(folder: Folder, view: View, free: History, *, erase: bool) -> None:
    """``CorruptBranchError`` where what cannot be read may hold one of the messages."""
    for finding in view.findings:
        if finding.place.endswith(".json"):
            raise _refusal(folder, finding)
    _check_attic(folder, free, erase=erase)
    if erase:
        try:
            for _ in _slimmed_lines(folder):
                pass
        except ValueError as error:
            place = folder.log.path
            raise _refusal(folder, Finding(place=place, problem=f"an operation cannot be read: {error}")) from None


def _check_attic(folder: Folder, free: History, *, erase: bool) -> None:
    if erase and os.path.islink(folder.file(ATTIC)):
        raise _refusal(folder, Finding(place=folder.file(ATTIC), problem="it is a symbolic link"))
    for inside in _attic_names(folder):
        if REMAINS.fullmatch(inside) or ATTIC_LEFTOVER.fullmatch(inside):
            continue
        place = folder.file(inside)
        try:
            document = folder.document(inside)
        except UnreadableError as error:
            if erase:
                raise _refusal(folder, Finding(place=place, problem=str(error))) from None
            continue
        if document is None:
            continue
        rest = subtract(document.record.history, free)
        is_cut = bool(rest) and rest != document.record.history
        if (is_cut or erase) and not folder.is_whole(document):
            raise _refusal(folder, Finding(place=place, problem="its digest does not fit"))


def _refusal(folder: Folder, finding: Finding) -> CorruptBranchError:
    return CorruptBranchError(
        finding.place,
        f"{finding.problem}; it may hold what is to be given up, so nothing was changed",
        session_id=folder.session_id,
        branch_id=finding.branch_id or "",
    )


def unfinished(folder: Folder, error: OSError) -> StoreUnavailableError:
    """What is said where the change is committed and its messages are not all gone yet."""
    reason = unavailable(folder.path, error)
    return StoreUnavailableError(
        f"{reason}; the change is made, but some of what it gave up is still there",
        hint="the next change of the session finishes it, once that is mended",
    )


def finish(folder: Folder, disk: Disk, documents: DocumentWriter, operation: Operation) -> None:
    """What is left to do once an operation that frees messages is committed, and its branches are as it says."""
    names = _attic_names(folder)
    live = union(*(document.record.history for document in view_of(folder).documents.values())) if names else ()
    for inside in names:
        if ATTIC_LEFTOVER.fullmatch(inside) or (operation.erased and REMAINS.fullmatch(inside)):
            documents.discard(inside)
            continue
        document = folder.readable_file(inside)
        if document is None:
            continue
        rest = subtract(document.record.history, operation.freed)
        if rest == document.record.history:
            continue
        rest = subtract(rest, live)
        if rest:
            record = replace(document.record, history=rest, edits=())
            documents.put_aside(inside, record, gather(rest, (document,)))
        else:
            documents.discard(inside)
    if names:
        disk.sync_folder(folder.file(ATTIC))  # also what the one who died before us did
    if operation.erased:
        for name in os.listdir(folder.path):
            if LEFTOVER.fullmatch(name):
                documents.discard(name)
        if any(old != new for old, new in _slimmed_lines(folder)):
            new_log = folder.file(f"{LOG}.new")
            disk.write_file(new_log, _chunks(folder))
            disk.rename(new_log, folder.log.path)
        disk.sync_folder(folder.path)


def _attic_names(folder: Folder) -> list[str]:
    """The files of the attic, named from the session's folder."""
    path = folder.file(ATTIC)
    if os.path.islink(path) or not os.path.isdir(path):
        return []
    return [os.path.join(ATTIC, name) for name in sorted(os.listdir(path))]


def _chunks(folder: Folder) -> Iterator[bytes]:
    chunk: list[bytes] = []
    size = 0
    for _, line in _slimmed_lines(folder):
        chunk += (line, b"\n")
        size += len(line) + 1
        if size >= _CHUNK:
            yield b"".join(chunk)
            chunk, size = [], 0
    yield b"".join(chunk)


def _slimmed_lines(folder: Folder) -> Iterator[tuple[bytes, bytes]]:
    """Each entry of the log as it stands, and without the messages it brought; those of the last one stay. ValueError
    at one that cannot be read."""
    moved: dict[int, int] = {}  # where an entry begins now → where it will
    at = to = 0
    end = folder.log.tail().end
    for line in folder.log.forwards(end):
        moved[at] = to
        new = slimmed(line, moved, keep_messages=at + len(line) + 1 == end)
        yield line, new
        at += len(line) + 1
        to += len(new) + 1
