"""One whole state of a session, put together from its documents, HEAD and the log.

1. Nothing here locks, waits or writes.
2. What is shown is the state after the log's last entry. An operation is committed when its entry is in the log; the
   documents that it has not reached yet are shown as the entry says (*pending*), from the new file that already lies
   beside them or from the messages that the entry and the other documents hold.
3. A state is taken again when the log grew while it was being read.
4. A document that cannot be read is a finding; it hides no other.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bough.errors import CorruptBranchError
from bough.model import BranchRecord, Finding, SessionState
from bough.stores.json_files.document import Document
from bough.stores.json_files.folder import SALVAGE, Folder, StaleError, UnreadableError, new_name
from bough.stores.json_files.log import Tail
from bough.stores.json_files.names import branch_ids, file_names

_TRIES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A whole state: what :class:`SessionState` says, and the documents it was read from, by branch id.

    ``pending`` names the branches that the log's last entry has not reached yet.
    """

    tail: Tail
    head: str | None
    head_number: int
    documents: Mapping[str, Document]
    records: Mapping[str, BranchRecord]
    pending: frozenset[str]
    findings: tuple[Finding, ...]

    @property
    def number(self) -> int:
        """The session's last operation number, also where the log was lost."""
        if self.tail.last is not None:
            return self.tail.last.operation.number
        return max([self.head_number, *(record.operation for record in self.records.values())])

    @property
    def next_number(self) -> int:
        """What the next operation is numbered. Behind the documents' too, whatever somebody made of the log: an
        operation of a number that a document has already would be taken for done."""
        return max([self.number, *(record.operation for record in self.records.values())]) + 1


def view_of(folder: Folder, only: Collection[str] | None = None) -> View:
    """The state, of all branches or of some. ``CorruptBranchError`` for one of ``only`` that cannot be read."""
    for _ in range(_TRIES):
        tail = folder.log.tail()
        try:
            view = _look(folder, tail, only)
        except StaleError:
            continue
        if folder.log.stamp() == tail.stamp:
            return view
    raise CorruptBranchError(folder.path, "it changes faster than it can be read", session_id=folder.session_id)


def state_of(folder: Folder, view: View) -> SessionState:
    return SessionState(
        session_id=folder.session_id,
        head=view.head,
        branches=view.records,
        last_operation=view.number,
        attributes=view.tail.attributes,
        findings=view.findings,
    )


def _look(folder: Folder, tail: Tail, only: Collection[str] | None) -> View:
    findings: list[Finding] = []
    if tail.problem:
        advice = "nothing can be written before it is moved away; operations can be undone only with it"
        findings.append(Finding(place=folder.log.path, problem=tail.problem, advice=advice))
    if tail.unset:
        advice = "set them again"
        findings.append(Finding(place=folder.log.path, problem=tail.unset, severity="warning", advice=advice))
    documents = _list(folder, findings) if only is None else folder.pick(only)
    records = {id_: each.record for id_, each in documents.items()}
    pending: set[str] = set()
    head, head_number = folder.head(findings) if only is None or tail.last is None else (None, 0)
    if tail.last is not None:
        operation = tail.last.operation
        head = operation.head_after
        for change in operation.branches:
            if only is None or change.id in only:
                _overlay(folder, change.id, change.after, operation.number, documents, records, pending)
    findings += [
        Finding(
            place=folder.file(each.name),
            problem=each.torn,
            branch_id=id_,
            severity="warning",
            advice="nothing that was acknowledged is missing; the next message closes it again",
        )
        for id_, each in documents.items()
        if each.torn
    ]
    return View(
        tail=tail,
        head=head,
        head_number=head_number,
        documents=documents,
        records=records,
        pending=frozenset(pending),
        findings=tuple(findings),
    )


def _overlay(
    folder: Folder,
    id_: str,
    after: BranchRecord | None,
    number: int,
    documents: dict[str, Document],
    records: dict[str, BranchRecord],
    pending: set[str],
) -> None:
    """Shows a branch as the log's last entry has it, where its document is behind."""
    there = documents.get(id_)
    if there is not None and there.record.operation >= number:
        return
    if after is None:
        if there is not None and there.region is None:
            del documents[id_], records[id_]
            pending.add(id_)
        return
    new = folder.readable_file(new_name(id_, number))
    if new is not None and new.record.operation == number:
        documents[id_], records[id_] = new, new.record
        pending.add(id_)
        return
    again = folder.readable(id_)  # the new document may have taken its place between the two looks
    if again is not None and again.record.operation >= number:
        documents[id_], records[id_] = again, again.record
    elif there is not None and there.region is None:
        records[id_] = after
        pending.add(id_)
    # else another program removed or rewrote the document since: what it left is what there is


def _list(folder: Folder, findings: list[Finding]) -> dict[str, Document]:
    documents: dict[str, Document] = {}
    try:
        names = sorted(name for name in os.listdir(folder.path) if name.endswith(".json"))
    except FileNotFoundError:
        return documents
    for name in names:
        try:
            found = folder.document(name)
        except UnreadableError as error:
            id_ = next((id_ for id_ in branch_ids(name) if name in file_names(id_)), None)
            place = folder.file(name)
            findings.append(Finding(place=place, problem=str(error), branch_id=id_, advice=SALVAGE))
            continue
        if found is None:
            continue
        id_ = found.record.id
        if name not in file_names(id_):
            problem = f"it is a document of branch {id_!r}, whose file is {file_names(id_)[0]}"
            findings.append(_stray(folder.file(name), problem))
        elif id_ in documents:  # ours came first: "%" sorts before what it stands for
            problem = f"it is a second document of branch {id_!r}; {documents[id_].name} is the one that counts"
            findings.append(_stray(folder.file(name), problem))
        else:
            documents[id_] = found
    return documents


def _stray(place: str, problem: str) -> Finding:
    return Finding(place=place, problem=problem, severity="warning", advice="move it out of the folder")
