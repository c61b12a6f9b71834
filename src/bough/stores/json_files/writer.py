"""Writing one session's folder. Every method here is called under the session's lock.

An append is one write at the end of one document. Everything else is an operation, in this order:

1. the documents that it refers to are synced: an entry never speaks of a message that is not on the disk;
2. what it needs lies in the folder, synced, under names that nothing reads yet: new documents
   (``<branch>.json.<n>.new``) and, in the attic, every message that leaves a live document;
3. its entry is appended to the operation log and synced: **that is the moment of commit**;
4. the new documents take their places, dropped ones go, documents that only grow are grown in place, HEAD is written.

A crash in 4 is finished by whoever takes the lock next (:meth:`Writer.settle`), by the very same code
(:meth:`Writer._finish`); it touches only what is behind the entry's number. Before the next entry, what the last one
left in 4 is synced, so that never more than the last operation can be unfinished, also after a power failure.
"""

from __future__ import annotations

import os
import re
import socket
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn
from urllib.parse import quote
from zlib import crc32

from bough.codec import now
from bough.errors import (
    BranchExistsError,
    BranchMovedError,
    BranchNotFoundError,
    CorruptBranchError,
    RepairWarning,
)
from bough.history import concat, cut, starts_with, subtract
from bough.model import Append, BranchChange, BranchRecord, Change, Commit, History, Operation, Piece, Tip, Version
from bough.stores.json_files.content import Run, in_entry, missing, runs
from bough.stores.json_files.digest import Digest, partial_size, plain, resume
from bough.stores.json_files.disk import Disk, open_file, read_range
from bough.stores.json_files.document import Document, closing_line, head_line, stamp_of
from bough.stores.json_files.folder import ATTIC, HEAD, Folder, StaleError, new_name
from bough.stores.json_files.log import Entry
from bough.stores.json_files.names import to_name
from bough.stores.json_files.view import view_of

_LEFTOVER = re.compile(r".+\.json\.\d+\.new|HEAD\.new")
_CHUNK = 1 << 20
_KEPT_OPEN = 8
"""How many documents of a session stay open for the next append."""


@dataclass(slots=True)
class _Tail:
    """The end of an open document: the digest text that stands there, and the running digest that wrote it."""

    descriptor: int
    inode: int
    text: str
    digest: Digest


class Writer:
    """The writing side of a :class:`Folder`."""

    def __init__(self, folder: Folder, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        self._settled: tuple[int, int] | None = None
        self._hardened: tuple[int, int] | None = None
        self._tails: dict[str, _Tail] = {}
        self._synced: dict[str, tuple[int, int, int]] = {}  # document name → the stamp at which it was on the disk

    # -- appending ---------------------------------------------------------------------------------------------------

    def append(self, change: Append) -> Commit:
        self.settle()
        while True:
            document = self._writable(change.branch_id)
            self._sync(document)  # so that a power failure can leave nothing in part but this append
            before = document.record
            segment, position = before.tip
            following = position + len(change.messages)
            after = replace(
                before,
                history=concat(before.history, (Piece(segment, position, following),)),
                tip=Tip(segment, following),
                updated_at=now(),
            )
            try:
                self._grow(document, after, change.messages, sync=True)
            except StaleError:
                continue
            return Commit(branches={after.id: after}, before={after.id: before})

    def _writable(self, branch_id: str) -> Document:
        """The branch's document, mended or taken over first where its file cannot be appended to as it stands."""
        while True:
            document = self._folder.pick((branch_id,)).get(branch_id)
            if document is None:
                raise BranchNotFoundError(self._folder.session_id, branch_id)
            if document.native or not self._mended((document,)):
                return document

    def _grow(self, document: Document, after: BranchRecord, lines: Sequence[bytes], *, sync: bool) -> None:
        """Puts lines behind the last one, and a new closing line behind those, in one write that only grows the file.

        A write that fails is taken back. ``StaleError`` where the end of the file is not the one we know: it then
        counts as another program's work.
        """
        tail = self._tail(document)
        old = read_range(tail.descriptor, document.end, document.stamp[1])
        if document.digest.encode() not in old:
            self._distrust(document)
        joined = b", \n".join(lines)
        size = document.size + len(joined) + (2 if document.length else 0)
        tail.text = ""  # until all is done: should something interrupt us here, the digest is not believed
        tail.digest.add_lines(lines)
        text = tail.digest.text(after.id)
        put = b",\n" + joined if document.length else joined
        closing = closing_line(after, size, text, (document.size, crc32(put)))
        data = b"%b\n%b" % (put if document.length else b"\n" + joined, closing)
        data = data.ljust(len(old))
        try:
            self._disk.write(tail.descriptor, data, document.end)
            if sync:
                self._disk.sync(tail.descriptor)
            status = os.fstat(tail.descriptor)
        except OSError:
            self._disk.write(tail.descriptor, old, document.end)
            self._disk.truncate(tail.descriptor, document.stamp[1])
            self._let_go(document.name)
            self._folder.forget(document.name)
            raise
        if document.lines.verified == document.size:
            document.lines.verified = size
        tail.text = text
        stamp = stamp_of(status)
        if sync:
            self._synced[document.name] = stamp
        grown = Document(
            name=document.name,
            stamp=stamp,
            record=after,
            start=document.start,
            size=size,
            length=document.length + len(lines),
            digest=text,
            lines=document.lines,
        )
        self._folder.remember(grown)

    def _tail(self, document: Document) -> _Tail:
        """The document's end, ready to be written behind; what it takes to get there is one block at most."""
        tail = self._tails.get(document.name)
        if tail is not None:
            if tail.inode == document.stamp[0] and tail.text == document.digest:
                return tail
            self._let_go(document.name)
        descriptor = self._disk.open_to_write(self._folder.file(document.name))
        partial = partial_size(document.digest) or 0
        window = min(document.size, 2 * partial + 16)  # batch marks make the file's bytes a little more
        end = document.start + document.size
        data = plain(read_range(descriptor, end - window, end))
        digest = resume(document.digest, data[len(data) - partial :], document.record.id)
        if digest is None or stamp_of(os.fstat(descriptor)) != document.stamp:
            os.close(descriptor)
            self._distrust(document)
        tail = self._tails[document.name] = _Tail(descriptor, document.stamp[0], document.digest, digest)
        if len(self._tails) > _KEPT_OPEN:
            self._let_go(next(iter(self._tails)))
        return tail

    def _distrust(self, document: Document) -> NoReturn:
        self._let_go(document.name)
        self._folder.distrust(document)
        raise StaleError

    def _let_go(self, name: str) -> None:
        tail = self._tails.pop(name, None)
        if tail is not None:
            os.close(tail.descriptor)

    def close(self) -> None:
        for name in list(self._tails):
            self._let_go(name)

    __del__ = close

    def _repair(self, document: Document) -> None:
        """Closes a torn document again. What is cut off was never acknowledged; the attic keeps it all the same."""
        folder, record = self._folder, document.record
        path = folder.file(document.name)
        descriptor = self._disk.open_to_write(path)
        try:
            with folder.reading(document) as read:
                digest = document.lines.digest(read, document.size, document.length, document.length)
            size = os.fstat(descriptor).st_size
            torn = read_range(descriptor, document.end, size)
            self._disk.make_folder(folder.file(ATTIC))
            self._disk.write_file(folder.file(f"{ATTIC}/{to_name(record.id)}.torn-{size}"), [torn])
            data = b"\n" + closing_line(record, document.size, digest.text(record.id))
            self._disk.write(descriptor, data, document.end)
            self._disk.truncate(descriptor, document.end + len(data))
            self._disk.sync(descriptor)
        finally:
            os.close(descriptor)
        folder.forget(document.name)
        warnings.warn(RepairWarning(f"{path}: {document.torn}; it was closed again"), stacklevel=2)

    # -- operations --------------------------------------------------------------------------------------------------

    def change(self, change: Change) -> Commit:
        folder = self._folder
        self.settle()
        ids = [put.record.id for put in change.puts] + [drop.branch_id for drop in change.drops]
        while True:
            view = view_of(folder, ids)
            if self._mended(view.documents.values()):
                continue
            before = {id_: document.record for id_, document in view.documents.items()}
            _check(change, before, folder.session_id)
            known = view if view.tail.last is not None else view_of(folder)
            if change.after_operation not in (None, known.number):
                raise BranchMovedError(folder.session_id, view.head or "main", "is behind a newer operation")
            entry = _entry(change, known.next_number, view.head, before)
            fresh = list(in_entry(entry))
            sources = {each.id: self._sources(each, fresh) for each in entry.operation.branches}
            if not self._mended(run[0] for needed in sources.values() for run in needed):
                break
        self._commit(entry, sources)
        after = {each.id: each.after for each in entry.operation.branches if each.after is not None}
        return Commit(branches=after, before=before, operation=entry.operation)

    def _mended(self, documents: Iterable[Document]) -> bool:
        """Makes documents whole and lays them out in lines; whether anything had to be done."""
        strange = [each for each in documents if not each.native and each.name.endswith(".json")]
        if any(each.region is not None for each in strange):
            self.adopt()
        else:
            for each in strange:
                self._repair(each)
        return bool(strange)

    def _sources(self, change: BranchChange, fresh: Sequence[Document]) -> list[Run]:
        """Where the messages that a branch needs come from: all of them, or those by which its document grows."""
        if change.after is None:
            return []
        held = change.before.length if change.before is not None and _grows(change) else 0
        return runs(self._folder, cut(change.after.history, held, change.after.length), fresh)

    def _commit(self, entry: Entry, sources: Mapping[str, Sequence[Run]]) -> None:
        """Steps 1 to 4 of the module's docstring. ``entry.messages`` are all new messages of the operation."""
        folder, disk = self._folder, self._disk
        number = entry.operation.number
        self._harden()
        for needed in sources.values():
            for document, _, _ in needed:
                self._sync(document)
        made = False
        in_place: dict[str, Sequence[bytes]] = {}
        for change in entry.operation.branches:
            if change.before is not None:
                made |= self._keep_displaced(change, change.before, number)
            if change.after is None:
                continue
            if _grows(change):
                self._discard(new_name(change.id, number))
                in_place[change.id] = entry.messages.get(change.id, ())
            else:
                self._write_document(new_name(change.id, number), change.after, sources[change.id])
                made = True
        if made:
            disk.sync_folder(folder.path)
        entry = replace(entry, messages={id_: lines for id_, lines in in_place.items() if lines})
        tail = folder.log.append(entry)
        self._finish(entry)
        self._settled = tail.stamp

    def _keep_displaced(self, change: BranchChange, before: BranchRecord, number: int) -> bool:
        """Syncs the document that a branch had, and puts into the attic what leaves it: the document itself where the
        branch goes, else the messages alone."""
        folder, disk = self._folder, self._disk
        document = folder.branch_document(change.id)
        if document is None:
            raise StaleError
        self._sync(document)
        leaving = subtract(before.history, change.after.history if change.after else ())
        leaving = missing(leaving, folder.attic())
        if not leaving:
            return False
        disk.make_folder(folder.file(ATTIC))
        name = f"{ATTIC}/{to_name(change.id)}.{number}"
        folder.forget(name)
        if change.after is None:
            disk.link(folder.file(document.name), folder.file(name))
        else:
            self._write_document(name, replace(before, history=leaving), runs(folder, leaving))
        disk.sync_folder(folder.file(ATTIC))
        return True

    def _write_document(self, name: str, record: BranchRecord, runs: Sequence[Run]) -> None:
        """A whole new document, synced. The digest of a prefix that it shares with another is taken from there."""
        folder = self._folder
        head = head_line(record)
        size = 0
        digest = Digest()

        def chunks() -> Iterator[bytes]:
            nonlocal size, digest
            yield head
            for document, start, stop in runs:
                if start == stop:
                    continue
                if size:
                    yield b",\n"
                    digest.update(b",\n")
                    size += 2
                with folder.reading(document) as read:
                    first, last = document.lines.span(read, document.size, document.length, start, stop)
                    shared = start == 0 and size == 0
                    if shared:
                        digest = document.lines.digest(read, document.size, document.length, stop)
                    for chunk in _whole_lines(read, first, last):
                        if not shared:
                            digest.update(plain(chunk))
                        size += len(chunk)
                        yield chunk
            yield (b"\n" if size else b"") + closing_line(record, size, digest.text(record.id))

        folder.forget(name)
        self._disk.write_file(folder.file(name), chunks())

    def adopt(self) -> None:
        """Records what another program changed, all of it, as one operation, and lays those documents out in lines."""
        folder = self._folder
        self._harden()
        view = view_of(folder)
        number = view.next_number
        changes: list[BranchChange] = []
        for id_, document in view.documents.items():
            if document.region is None:
                continue
            after = replace(document.record, operation=number)
            self._write_document(new_name(id_, number), after, [(document, 0, document.length)])
            changes.append(BranchChange(id=id_, before=folder.last_record(id_), after=after))
        self._disk.sync_folder(folder.path)
        operation = Operation(
            number=number,
            id=os.urandom(16).hex(),
            kind="external-edit",
            at=now(),
            pid=os.getpid(),
            hostname=socket.gethostname(),
            head_before=view.head,
            head_after=view.head,
            branches=tuple(changes),
        )
        entry = Entry(operation=operation, messages={})
        tail = folder.log.append(entry)
        self._finish(entry)
        self._settled = tail.stamp

    # -- finishing what was committed --------------------------------------------------------------------------------

    def settle(self) -> None:
        """Finishes the last operation if its writer did not, and removes what an uncommitted one left."""
        folder = self._folder
        tail = folder.log.tail()
        if tail.stamp == self._settled:
            return
        if tail.last is not None:
            folder.log.sync()  # nobody may build on an entry that a power failure can still take back
            self._finish(tail.last)
        if not tail.problem:
            for name in os.listdir(folder.path):
                if _LEFTOVER.fullmatch(name):
                    self._discard(name)
        self._settled = tail.stamp

    def _finish(self, entry: Entry) -> None:
        for change in entry.operation.branches:
            try:
                pending = change.id in view_of(self._folder, (change.id,)).pending
            except CorruptBranchError:
                continue  # what cannot be read is not written over; it is a finding, and the other branches go on
            if pending:
                self._take_place(change, entry)
        operation = entry.operation
        if operation.head_after is not None and operation.head_after != operation.head_before:
            self._write_head(operation.head_after, operation.number)

    def _take_place(self, change: BranchChange, entry: Entry) -> None:
        """Brings one branch's file to what the operation says."""
        folder = self._folder
        document = folder.branch_document(change.id)
        new = new_name(change.id, entry.operation.number)
        if os.path.lexists(folder.file(new)) and change.after is not None:
            name = document.name if document is not None else f"{to_name(change.id)}.json"
            self._disk.rename(folder.file(new), folder.file(name))
            folder.forget(new)
        elif document is None:
            raise StaleError
        elif change.after is None:
            self._let_go(document.name)
            self._disk.unlink(folder.file(document.name))
            folder.forget(document.name)
        elif document.torn:
            self._repair(document)
            self._take_place(change, entry)
        else:
            self._add(document, change.after, entry)

    def _add(self, document: Document, after: BranchRecord, entry: Entry) -> None:
        """Grows a document in place to what its operation says."""
        folder = self._folder
        wanted: History = cut(after.history, document.length, after.length)
        lines: list[bytes] = []
        for run in runs(folder, wanted, list(in_entry(entry))):
            lines += [line.rstrip(b", ") for line in folder.lines(*run).split(b"\n")]
        self._grow(document, after, lines, sync=False)

    def _harden(self) -> None:
        """Syncs what the last operation left to the operating system."""
        folder = self._folder
        tail = folder.log.tail()
        if tail.stamp == self._hardened:
            return
        changes = tail.last.operation.branches if tail.last is not None else ()
        for change in changes:
            document = folder.readable(change.id)
            if document is not None:
                self._sync(document)
        if not all(_grows(change) for change in changes):
            self._disk.sync_folder(folder.path)
        self._hardened = tail.stamp

    def _write_head(self, branch_id: str, number: int) -> None:
        if self._folder.head()[1] >= number:
            return
        path = self._folder.file(HEAD)
        self._disk.write_file(path + ".new", [f"{quote(branch_id, safe='')} {number}\n".encode()], sync=False)
        try:
            self._disk.rename(path + ".new", path)
        except IsADirectoryError:
            self._discard(HEAD + ".new")  # a finding; the log says where HEAD is

    def _sync(self, document: Document) -> None:
        """Puts a document on the disk, unless this process did so since it last changed."""
        if document.region is not None and not document.name.endswith(".json"):
            return  # the log's own messages
        if self._synced.get(document.name) == document.stamp:
            return
        descriptor = open_file(self._folder.file(document.name))
        try:
            self._disk.sync(descriptor)
        finally:
            os.close(descriptor)
        self._synced[document.name] = document.stamp

    def _discard(self, name: str) -> None:
        path = self._folder.file(name)
        if os.path.lexists(path):
            self._disk.unlink(path)
        self._folder.forget(name)


def _grows(change: BranchChange) -> bool:
    """Whether a branch's document becomes what it shall be by lines at its end."""
    before, after = change.before, change.after
    return (
        before is not None
        and after is not None
        and after.length > before.length
        and starts_with(after.history, before.history)
        and head_line(after) == head_line(before)
    )


def _check(change: Change, before: Mapping[str, BranchRecord], session_id: str) -> None:
    """Every branch is at the version that the change expects of it."""
    expected: dict[str, Version | None] = {put.record.id: put.expected for put in change.puts}
    expected |= {drop.branch_id: drop.expected for drop in change.drops}
    for id_, version in expected.items():
        record = before.get(id_)
        if version is None:
            if record is not None:
                raise BranchExistsError(session_id, id_)
        elif record is None:
            raise BranchMovedError(session_id, id_, "was deleted since it was last read")
        elif record.version != version:
            raise BranchMovedError(session_id, id_)


def _entry(change: Change, number: int, head: str | None, before: Mapping[str, BranchRecord]) -> Entry:
    """The log's entry for a change; its messages are all new ones."""
    changes = [
        BranchChange(id=put.record.id, before=before.get(put.record.id), after=replace(put.record, operation=number))
        for put in change.puts
    ] + [BranchChange(id=drop.branch_id, before=before[drop.branch_id], after=None) for drop in change.drops]
    operation = Operation(
        number=number,
        id=change.id,
        kind=change.kind,
        at=now(),
        pid=os.getpid(),
        hostname=socket.gethostname(),
        head_before=head,
        head_after=head if change.head is None else change.head,
        branches=tuple(changes),
        detail=change.detail,
    )
    return Entry(operation=operation, messages={put.record.id: put.messages for put in change.puts if put.messages})


def _whole_lines(read: Callable[[int, int], bytes], first: int, last: int) -> Iterator[bytes]:
    """The bytes from ``first`` to ``last`` in chunks that end with a line."""
    step = _CHUNK
    while first < last:
        data = read(first, min(first + step, last))
        if first + len(data) < last:
            cut_at = data.rfind(b"\n") + 1
            if not cut_at:
                step *= 4
                continue
            data = data[:cut_at]
        first += len(data)
        step = _CHUNK
        yield data
