"""Taking over steps from another store (:class:`bough.model.Graft`). The order of :mod:`.writer` holds here too.

A graft's messages are of segments that nobody here appends to, so they never grow a document in place: torn, they would
be taken for messages of the branch's own. Each put is a whole new document.

1. With an operation: the new documents lie synced beside the old ones, its entry in the log commits it, and whoever
   comes next can finish it.
2. Without one there is one document, and the rename that puts it in its place is the moment of commit. What the log
   does not know of it stands in its head line (``grafted``).
3. Messages that no put refers to stand in the attic, in ``+<segment>.<position>.<random>``. Should one put hold them
   all later, that file goes: it was sent ahead. Its name never comes again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from bough.codec import encode_found, now
from bough.errors import BranchMovedError, CorruptBranchError
from bough.history import concat, subtract
from bough.model import BranchRecord, Commit, Graft, History, Operation, Piece, Put, Tip, replace
from bough.stores.json_files import erase
from bough.stores.json_files.content import messages, runs
from bough.stores.json_files.document import Document
from bough.stores.json_files.folder import ATTIC, StaleError, UnreadableError, new_name
from bough.stores.json_files.log import Entry
from bough.stores.json_files.names import to_name
from bough.stores.json_files.runs import Run, in_memory, missing
from bough.stores.json_files.view import view_of
from bough.stores.json_files.writer import Writer

_WAITING = "+"
_ALONE = 0  # stands for the number of an operation in the names of a graft that has none


class GraftWriter(Writer):
    """The writing side of a :class:`Folder`, grafts included."""

    def graft(self, graft: Graft) -> Commit:
        folder = self._folder
        folder.refresh()
        self.settle()
        ids = [put.record.id for put in graft.puts] + [drop.branch_id for drop in graft.drops]
        while True:
            view = view_of(folder, ids)
            if self._mended(view.documents.values()):
                continue
            before = {id_: document.record for id_, document in view.documents.items()}
            self._check(graft, before)
            number = (view if view.tail.last is not None else view_of(folder)).number
            if graft.operation is not None and graft.operation.number <= number:
                detail = f"had operation {number} already"
                raise BranchMovedError(folder.session_id, graft.operation.head_after or "main", detail)
            fresh = self._new(graft.runs)
            sources = {put.record.id: runs(folder, put.record.history, fresh) for put in graft.puts}
            if not self._mended(run[0] for needed in sources.values() for run in needed):
                break
        if graft.operation is not None and graft.operation.freed:
            erase.check(folder, view_of(folder), graft.operation.freed, erase=graft.operation.erased)
        self._harden()
        for needed in sources.values():
            for document, _, _ in needed:
                self._documents.sync(document)
        wanted = concat(*(put.record.history for put in graft.puts))
        self._park(subtract(concat(*(each.record.history for each in fresh)), wanted), fresh)
        if graft.operation is not None:
            self._put_numbered(graft, graft.operation, before, sources)
        elif graft.puts:
            self._put_alone(graft.puts[0], before, sources)
        elif graft.drops:
            self._drop_alone(before[graft.drops[0].branch_id])
        self._clear(wanted)
        after = {put.record.id: put.record for put in graft.puts}
        return Commit(branches=after, before=before, operation=graft.operation)

    def _new(self, brought: Sequence[tuple[Piece, Sequence[bytes]]]) -> list[Document]:
        """The messages that are not here yet. ``CorruptBranchError`` where one that is here is another."""
        folder = self._folder
        absent: History = concat(*((piece,) for piece, _ in brought))
        absent = missing(absent, folder.all_documents())
        template = _waiting(())
        fresh: list[Document] = []
        for piece, lines in brought:
            new = _overlap(piece, absent)
            for held in subtract((piece,), new):
                ours = [encode_found(message) for message in messages(folder, (held,))]
                if ours != list(lines[held.start - piece.start : held.stop - piece.start]):
                    place = f"segment {held.segment}, from {held.start} to {held.stop}"
                    raise CorruptBranchError(place, "other messages stand here", session_id=folder.session_id)
            fresh += [
                in_memory(template, part, lines[part.start - piece.start : part.stop - piece.start]) for part in new
            ]
        return fresh

    def _put_numbered(
        self,
        graft: Graft,
        operation: Operation,
        before: Mapping[str, BranchRecord],
        sources: Mapping[str, Sequence[Run]],
    ) -> None:
        folder, number = self._folder, operation.number
        told = {change.id: change.after for change in operation.branches}
        for put in graft.puts:
            record = replace(put.record, operation=number)
            if record.id in before:
                self._keep_displaced(before[record.id], record, number, operation.freed)
            name, is_told = new_name(record.id, number), told.get(record.id) == record
            self._documents.write(name, record, sources[record.id], grafted=not is_told)
        for drop in graft.drops:
            self._keep_displaced(before[drop.branch_id], None, number, operation.freed)
        self._disk.sync_folder(folder.path)
        entry = Entry(operation=operation, messages={})
        self._log(entry)
        self._complete(entry)

    def _put_alone(self, put: Put, before: Mapping[str, BranchRecord], sources: Mapping[str, Sequence[Run]]) -> None:
        folder, record = self._folder, put.record
        new = new_name(record.id, _ALONE)
        name = f"{to_name(record.id)}.json"
        if record.id in before:
            self._keep_displaced(before[record.id], record, f"graft-{_random()}")
            document = folder.branch_document(record.id)
            name = document.name if document is not None else name
        self._documents.write(new, record, sources[record.id], grafted=True)
        self._must_hold(folder.log.tail())
        self._documents.let_go(name)
        self._disk.rename(folder.file(new), folder.file(name))
        folder.forget(new)
        folder.forget(name)
        self._disk.sync_folder(folder.path)

    def _drop_alone(self, before: BranchRecord) -> None:
        folder = self._folder
        mark = f"graft-{_random()}"
        if not self._keep_displaced(before, None, mark):  # the log does not tell that it went: something has to
            self._disk.make_folder(folder.file(ATTIC))
            self._documents.put_aside(f"{ATTIC}/{to_name(before.id)}.{mark}", replace(before, history=(), edits=()), ())
            self._disk.sync_folder(folder.file(ATTIC))
        document = folder.branch_document(before.id)
        if document is None:
            raise StaleError
        self._must_hold(folder.log.tail())
        self._documents.let_go(document.name)
        self._disk.unlink(folder.file(document.name))
        folder.forget(document.name)
        self._disk.sync_folder(folder.path)

    def _park(self, history: History, fresh: Sequence[Document]) -> None:
        if not history:
            return
        folder = self._folder
        self._disk.make_folder(folder.file(ATTIC))
        name = f"{ATTIC}/{_WAITING}{to_name(history[0].segment)}.{history[0].start}.{_random()}"
        self._documents.put_aside(name, _waiting(history), runs(folder, history, fresh))
        self._disk.sync_folder(folder.file(ATTIC))

    def _clear(self, wanted: History) -> None:
        """Removes what waited for the documents that are there now."""
        folder = self._folder
        if not wanted or not os.path.isdir(folder.file(ATTIC)):
            return
        for name in os.listdir(folder.file(ATTIC)):
            if not name.startswith(_WAITING):
                continue
            inside = os.path.join(ATTIC, name)
            try:
                document = folder.document(inside)
            except UnreadableError:
                continue
            if document is not None and not subtract(document.record.history, wanted):
                self._documents.discard(inside)


def _overlap(piece: Piece, history: History) -> History:
    return subtract((piece,), subtract((piece,), history))


def _waiting(history: History) -> BranchRecord:
    """The record of a document that is no branch's."""
    at = now()
    return BranchRecord(
        id="grafted", name="grafted", history=history, tip=Tip("", 0), created_at=at, updated_at=at, operation=0
    )


def _random() -> str:
    return os.urandom(6).hex()
