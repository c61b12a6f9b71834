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

Messages that are given up go after 4 (:mod:`.erase`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from bough.codec import now
from bough.errors import (
    BranchExistsError,
    BranchMovedError,
    BranchNotFoundError,
    CorruptBranchError,
    InvalidRequestError,
)
from bough.history import cut, starts_with, subtract
from bough.lock import SessionLock
from bough.model import (
    EMPTY,
    Append,
    BranchChange,
    BranchRecord,
    Change,
    Commit,
    Graft,
    History,
    Version,
    replace,
)
from bough.stores.base import check_free, operation_of
from bough.stores.json_files import erase
from bough.stores.json_files.content import runs
from bough.stores.json_files.disk import Disk
from bough.stores.json_files.document import Document, head_line
from bough.stores.json_files.document_writer import DocumentWriter, robbed
from bough.stores.json_files.folder import ATTIC, HEAD, Folder, StaleError, new_name
from bough.stores.json_files.log import Entry, Tail
from bough.stores.json_files.names import to_name
from bough.stores.json_files.runs import Run, in_entry, missing
from bough.stores.json_files.view import View, view_of


class Writer:
    """The writing side of a :class:`Folder`."""

    def __init__(self, folder: Folder, disk: Disk, lock: SessionLock) -> None:
        self._folder = folder
        self._disk = disk
        self._lock = lock
        self._settled: tuple[int, int] | None = None
        self._hardened: tuple[int, int] | None = None
        self._documents = DocumentWriter(folder, disk, lock)

    def close(self) -> None:
        """Lets go of the documents that are open."""
        self._documents.close()

    # -- appending ---------------------------------------------------------------------------------------------------

    def append(self, change: Append) -> Commit:
        self._folder.refresh()
        self.settle()
        while True:
            document = self._writable(change.branch_id)
            self._documents.sync(document)  # so that a power failure can leave nothing in part but this append
            before = document.record
            after = before.appended(len(change.messages), now())
            try:
                self._documents.grow(document, after, change.messages, sync=True)
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

    # -- operations --------------------------------------------------------------------------------------------------

    def change(self, change: Change) -> Commit:
        folder = self._folder
        folder.refresh()
        self.settle()
        ids = [put.record.id for put in change.puts] + [drop.branch_id for drop in change.drops]
        while True:
            view = view_of(folder, None if change.free else ids)
            if self._mended(view.documents.values()):
                continue
            before = {id_: view.documents[id_].record for id_ in ids if id_ in view.documents}
            self._check(change, before)
            known = view if change.free or view.tail.last is not None else view_of(folder)
            if change.after_operation not in (None, known.number):
                raise BranchMovedError(folder.session_id, view.head or "main", "is behind a newer operation")
            entry = _entry(change, known, before)
            if change.free and not self._may_free(change, view):
                continue
            fresh = list(in_entry(entry))
            sources = {each.id: self._sources(each, fresh) for each in entry.operation.branches}
            if not self._mended(run[0] for needed in sources.values() for run in needed):
                break
        self._commit(entry, sources)
        after = {each.id: each.after for each in entry.operation.branches if each.after is not None}
        return Commit(branches=after, before=before, operation=entry.operation)

    def _check(self, change: Change | Graft, before: Mapping[str, BranchRecord]) -> None:
        """Every branch is at the version that the change expects of it."""
        session_id = self._folder.session_id
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
        for put in change.puts if isinstance(change, Change) else ():
            record, (segment, following) = before.get(put.record.id), put.record.tip
            if record and record.tip.segment == segment and record.tip.next + len(put.messages) != following:
                raise InvalidRequestError(f"segment {segment} of branch {record.id!r} does not go on at {following}")

    def _may_free(self, change: Change, view: View) -> bool:
        """Whether what is to be freed can go; False where a document has to be looked at again first.

        ``InvalidRequestError`` where a branch will hold it, ``CorruptBranchError`` where something that cannot be read
        may.
        """
        folder = self._folder
        dropped = {drop.branch_id for drop in change.drops}
        there = {id_: record for id_, record in view.records.items() if id_ not in dropped}
        check_free(folder.session_id, change.free, there | {put.record.id: put.record for put in change.puts})
        erase.check(folder, view, change.free, erase=change.erase)
        for document in view.documents.values():
            if not folder.is_whole(document):  # its lines are perhaps not the messages that we take them for
                folder.distrust(document)
                return False
        return True

    def _mended(self, documents: Iterable[Document]) -> bool:
        """Makes documents whole and lays them out in lines; whether anything had to be done."""
        strange = [each for each in documents if not each.native and each.name.endswith(".json")]
        if any(each.region is not None for each in strange):
            self.adopt()
        else:
            for each in strange:
                self._documents.repair(each)
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
        freed = entry.operation.freed
        self._harden()
        for needed in sources.values():
            for document, _, _ in needed:
                self._documents.sync(document)
        made = False
        in_place: dict[str, Sequence[bytes]] = {}
        for change in entry.operation.branches:
            if change.before is not None:
                made |= self._keep_displaced(change.before, change.after, number, freed)
            if change.after is None:
                continue
            if _grows(change):
                self._documents.discard(new_name(change.id, number))
                in_place[change.id] = entry.messages.get(change.id, ())
            else:
                self._documents.write(new_name(change.id, number), change.after, sources[change.id])
                made = True
        if made:
            disk.sync_folder(folder.path)
        entry = replace(entry, messages={id_: lines for id_, lines in in_place.items() if lines})
        self._log(entry)
        self._complete(entry)

    def _complete(self, entry: Entry) -> None:
        """Finishes what was committed just now."""
        try:
            self._finish(entry)
        except OSError as error:
            if entry.operation.freed:
                raise erase.unfinished(self._folder, error) from error
            return  # it is committed all the same: readers see it, and the next writer finishes it or says why not
        self._settled = self._folder.log.tail().stamp

    def _keep_displaced(
        self, before: BranchRecord, after: BranchRecord | None, mark: int | str, freed: History = ()
    ) -> bool:
        """Syncs the document that a branch had, and puts into the attic what leaves it and is not freed: the document
        itself where the branch goes with all that it has, else the messages alone."""
        folder, disk = self._folder, self._disk
        document = folder.branch_document(before.id)
        if document is None:
            raise StaleError
        self._documents.sync(document)
        leaving = subtract(before.history, after.history if after else ())
        leaving = missing(subtract(leaving, freed), folder.attic())
        if not leaving:
            return False
        disk.make_folder(folder.file(ATTIC))
        name = f"{ATTIC}/{to_name(before.id)}.{mark}"
        folder.forget(name)
        if after is None and subtract(before.history, freed) == before.history:
            disk.link(folder.file(document.name), folder.file(name))
        else:
            self._documents.put_aside(name, replace(before, history=leaving, edits=()), runs(folder, leaving))
        disk.sync_folder(folder.file(ATTIC))
        return True

    def adopt(self) -> None:
        """Records what another program changed, all of it, as one operation, and lays those documents out in lines."""
        folder = self._folder
        self._harden()
        view = view_of(folder)
        number = view.next_number
        changes: list[BranchChange] = []
        theirs = {id_: document for id_, document in view.documents.items() if document.region is not None}
        for id_, document in theirs.items():
            after = replace(document.record, operation=number)
            self._documents.write(new_name(id_, number), after, [(document, 0, document.length)])
            changes.append(BranchChange(id=id_, before=folder.last_record(id_), after=after))
        self._disk.sync_folder(folder.path)
        change = Change(id=os.urandom(16).hex(), kind="external-edit")
        operation = operation_of(change, number, changes, head=view.head, attributes=EMPTY)
        tail = self._log(Entry(operation=operation, messages={}))
        for id_, document in theirs.items():
            if folder.is_still(document):  # else it was written to once more: what it is now is what there is
                self._disk.rename(folder.file(new_name(id_, number)), folder.file(document.name))
        self._settled = tail.stamp

    def _log(self, entry: Entry) -> Tail:
        return self._folder.log.append(replace(entry, token=self._token()), self._must_hold)

    def _must_hold(self, tail: Tail) -> None:
        """Right before a write that commits: ``SessionLockedError`` where the lock was taken away from us."""
        if not self._lock.check() or (tail.last is not None and tail.last.token > self._token()):
            raise robbed(self._folder, self._lock)

    def _token(self) -> int:
        return self._lock.token or 0

    # -- finishing what was committed --------------------------------------------------------------------------------

    def settle(self) -> None:
        """Finishes the last operation if its writer did not, and removes what an uncommitted one left."""
        folder = self._folder
        tail = folder.log.tail()
        if tail.stamp == self._settled:
            return
        if tail.last is not None:
            if tail.last.token > self._token():
                # Taken away from us, or the folder comes from where a clock is ahead of this one's.
                self._lock.surpass(tail.last.token)
                self._must_hold(tail)
            folder.log.sync()  # nobody may build on an entry that a power failure can still take back
            self._finish(tail.last)
        if not tail.problem:
            for name in os.listdir(folder.path):
                if erase.LEFTOVER.fullmatch(name):
                    self._documents.discard(name)
        self._settled = folder.log.tail().stamp

    def _finish(self, entry: Entry) -> None:
        for change in entry.operation.branches:
            try:
                pending = change.id in view_of(self._folder, (change.id,)).pending
            except CorruptBranchError:  # what cannot be read is not written over; the other branches go on
                self._set_aside(change, entry.operation.number)
                continue
            if pending:
                self._take_place(change, entry)
        operation = entry.operation
        if operation.head_after is not None and operation.head_after != operation.head_before:
            self._write_head(operation.head_after, operation.number)
        if operation.freed:
            erase.finish(self._folder, self._disk, self._documents, operation)

    def _set_aside(self, change: BranchChange, number: int) -> None:
        """Keeps in the attic what a branch should have become whose document cannot be read."""
        folder, new = self._folder, new_name(change.id, number)
        if os.path.lexists(folder.file(new)):
            self._disk.make_folder(folder.file(ATTIC))
            self._disk.rename(folder.file(new), folder.file(f"{ATTIC}/{to_name(change.id)}.{number}.after"))
            self._disk.sync_folder(folder.file(ATTIC))
            folder.forget(new)

    def _take_place(self, change: BranchChange, entry: Entry) -> None:
        """Brings one branch's file to what the operation says."""
        folder = self._folder
        document = folder.branch_document(change.id)
        new = new_name(change.id, entry.operation.number)
        if os.path.lexists(folder.file(new)) and change.after is not None:
            name = document.name if document is not None else f"{to_name(change.id)}.json"
            self._documents.let_go(name)
            self._disk.rename(folder.file(new), folder.file(name))
            folder.forget(new)
        elif document is None:
            raise StaleError
        elif change.after is None:
            self._documents.let_go(document.name)
            self._disk.unlink(folder.file(document.name))
            folder.forget(document.name)
        elif document.torn:
            self._documents.repair(document)
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
        self._documents.grow(document, after, lines, sync=False)

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
                self._documents.sync(document)
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
            self._documents.discard(HEAD + ".new")  # a finding; the log says where HEAD is


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


def _entry(change: Change, view: View, before: Mapping[str, BranchRecord]) -> Entry:
    """The log's entry for a change of the session as it is; its messages are all new ones."""
    number = view.next_number
    changes = [
        BranchChange(id=put.record.id, before=before.get(put.record.id), after=replace(put.record, operation=number))
        for put in change.puts
    ] + [BranchChange(id=drop.branch_id, before=before[drop.branch_id], after=None) for drop in change.drops]
    operation = operation_of(change, number, changes, head=view.head, attributes=view.tail.attributes)
    return Entry(operation=operation, messages={put.record.id: put.messages for put in change.puts if put.messages})
