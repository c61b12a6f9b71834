"""Looking at every byte of a session's folder: what is damaged, missing, left over.

1. Nothing is written, no lock is taken. While somebody writes, a look that found something is repeated: what counts was
   found while nothing changed, or twice in a row.
2. A healthy session gives nothing. What a crash leaves and the next change puts right is a note or a warning.
3. What is damaged hides nothing else. A finding says which branch, and carries what can still be read of a document
   that cannot be opened (``rescued``), and which messages are damaged, missing or unreached (``history``).
4. A document is held against its digest, against the log's last word on its branch, and against every other document
   that has the same messages. The first line of a document has no digest: the log is what says that it is right.

What it deliberately does not do: say what an old log (without ``check``) or a document that no operation tells of meant
to say; mend anything.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import chain
from urllib.parse import quote

from bough.errors import CorruptBranchError
from bough.history import concat, length, subtract, union
from bough.lock import SessionLock
from bough.model import BranchRecord, Finding, History, Piece, Severity, replace
from bough.stores.json_files.disk import Disk, open_file, read_range
from bough.stores.json_files.document import Document, head_line
from bough.stores.json_files.erase import ATTIC_LEFTOVER, LEFTOVER, REMAINS
from bough.stores.json_files.folder import ATTIC, HEAD, SALVAGE, Folder, StaleError, UnreadableError
from bough.stores.json_files.log import NAME as LOG
from bough.stores.json_files.names import to_name
from bough.stores.json_files.runs import in_entry
from bough.stores.json_files.verify_documents import CHANGED, as_told, damage, first_line, rewritten
from bough.stores.json_files.verify_lines import Contents, LinesLook, at_lines, look_at_lines, rescue
from bough.stores.json_files.verify_log import counted, look_at_log, lost_histories
from bough.stores.json_files.view import view_of

_LOOKS = 5
_OURS = re.compile(r"session\..+|.+\.json")
_UNREACHABLE = "a copy or an import was interrupted: a copy goes on from it; `bough gc --unreachable` gives it up"
_ITS_LINES = "its messages are as they were, and only they are used"
_DISPLACED = re.compile(r"(.+)\.(\d+)")


def verify(path: str, session_id: str, disk: Disk) -> Iterator[Finding]:
    """What is wrong in a session's folder (see the rules above)."""
    found: list[Finding] = []
    for _ in range(_LOOKS):
        before = _stamps(path)
        try:
            look = list(_Look(Folder(path, session_id, disk)).findings())
        except StaleError:
            continue
        except CorruptBranchError:
            if before != _stamps(path):
                continue  # it changes faster than it can be read
            raise
        if not look or before == _stamps(path):
            found = look
            break
        found, earlier = look, found
        if both := [finding for finding in look if finding in earlier]:
            found = both
            break
    else:
        found = []
    yield from found


def _stamps(path: str) -> dict[str, tuple[int, int, int]]:
    """Changes with anything in the folder but the lock."""
    stamps: dict[str, tuple[int, int, int]] = {}
    for folder in (path, os.path.join(path, ATTIC)):
        try:
            entries = list(os.scandir(folder))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for entry in entries:
            if not entry.name.startswith("session."):
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                stamps[entry.path] = status.st_ino, status.st_size, status.st_mtime_ns
    return stamps


class _Look:
    """One look at the whole session."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._attic = _names(folder.file(ATTIC))
        self._view = view_of(folder)
        wanted = {int(match[2]) for name in self._attic if (match := _DISPLACED.fullmatch(name))}
        self._log = look_at_log(folder, self._view.tail, wanted)
        self._contents = Contents(folder)
        self._damaged: list[LinesLook] = []
        self._reported: History = ()  # messages that some finding speaks of already
        self._aside: dict[str, Document] = {}  # the documents of the attic
        self._unreadable: list[tuple[str, str]] = []  # and the files there that are none, with the reason

    def findings(self) -> Iterator[Finding]:
        if not self._folder.exists():
            return
        yield from self._read_all()
        for finding in self._view.findings:
            yield self._with_rescued(finding)
        yield from self._log.findings
        for look in self._damaged:
            self._reported = union(self._reported, look.document.record.history)
            yield damage(self._folder, self._contents, look)
        yield from self._branches()
        yield from self._made_anew()
        yield from self._displaced()
        yield from self._lost()
        yield from self._head()
        yield from self._files()

    # -- lines -------------------------------------------------------------------------------------------------------

    def _read_all(self) -> Iterator[Finding]:
        """Reads every line of every document; messages that two documents have differently."""
        folder = self._folder
        tail = self._view.tail
        live = sorted(self._view.documents.values(), key=lambda each: (each.region is not None, each.name))
        brought = in_entry(tail.last) if tail.last is not None else ()
        for document in chain(live, self._read_attic(), brought):
            look = look_at_lines(folder, document)
            if not look.whole:
                self._damaged.append(look)
                continue
            told: set[str] = set()
            for other, there, here in self._contents.add(look):
                if other.name not in told:
                    told.add(other.name)
                    yield Finding(
                        place=folder.file(document.name),
                        problem=f"message {here + 1} is another than the same message in {other.name}, where it is "
                        f"number {there + 1}",
                        branch_id=document.record.id,
                        advice="look at both and keep the right one: `bough fsck --repair`",
                        history=at_lines(document.record.history, [here]),
                    )

    def _read_attic(self) -> Iterator[Document]:
        """The documents of the attic, which is listed now: behind the live ones, because messages go that way."""
        self._attic = _names(self._folder.file(ATTIC))
        for name in self._attic:
            inside = os.path.join(ATTIC, name)
            if REMAINS.fullmatch(name) or ATTIC_LEFTOVER.fullmatch(name):
                continue
            try:
                document = self._folder.document(inside)
            except UnreadableError as error:
                self._unreadable.append((inside, str(error)))
                continue
            if document is not None:
                self._aside[name] = document
                yield document

    def _with_rescued(self, finding: Finding) -> Finding:
        """A finding of the state, with what can be read of the file all the same."""
        name = os.path.basename(finding.place)
        if not name.endswith(".json") or finding.severity != "error":
            return finding
        last = self._log.last.get(finding.branch_id or "")
        known = self._known(last) if last is not None else ()
        self._reported = union(self._reported, known)
        data = _bytes_of(finding.place)
        problem = "it is empty" if data == b"" else finding.problem
        return replace(finding, problem=problem, history=known, rescued=rescue(data or b""))

    def _known(self, last: BranchRecord) -> History:
        """What a branch had after the last operation on it, and what is known to have been appended since: only it
        writes its segment, and a merge or a fork has told of that or has taken it along."""
        segment, start = last.tip
        told = union(tuple(self._log.pieces), self._contents.held)
        stop = max([start, *(piece.stop for piece in told if piece.segment == segment)])
        rest: History = (Piece(segment, start, stop),)
        return concat(last.history, subtract(rest, subtract(rest, told)))

    # -- branches ----------------------------------------------------------------------------------------------------

    def _branches(self) -> Iterator[Finding]:
        view, log, folder = self._view, self._log, self._folder
        unread = {finding.branch_id for finding in view.findings}
        newest = 0
        for id_, document in sorted(view.documents.items()):
            if document.region is not None:
                finding = rewritten(folder, log, self._contents, document)
                last = log.last.get(id_)
                self._reported = union(self._reported, last.history if last and finding.history else ())
                yield finding
            elif id_ not in view.pending and not document.torn:
                is_spelled, grafted = first_line(folder, document)
                last = log.last.get(id_)
                if grafted is not None and last is not None and last.operation > grafted.operation:
                    grafted = None
                if grafted is None:
                    newest = max(newest, document.record.operation)
                if log.whole or grafted is not None:
                    yield from as_told(folder, log, document, grafted, is_spelled=is_spelled)
        if newest > log.number and not view.tail.problem:
            there = "it is missing" if not log.number else f"its last operation is {log.number}"
            yield Finding(
                place=folder.log.path,
                problem=f"{there}, but a branch is at operation {newest}",
                advice="operations up to there cannot be undone; the branches are whole without them",
            )
        for id_, last in sorted(log.last.items()):
            if last is None or id_ in view.records or id_ in unread or self._went_with_a_graft(last):
                continue
            known = self._known(last)
            self._reported = union(self._reported, known)
            yield Finding(
                place=folder.file(f"{to_name(id_)}.json"),
                problem=f"the document of branch {id_!r} is gone, and no operation removed it",
                branch_id=id_,
                severity="warning" if log.gaps else "error",
                advice=SALVAGE,
                history=known,
                rescued=self._contents.messages(known),
            )
        if view.pending and not self._is_held():
            names = ", ".join(repr(id_) for id_ in sorted(view.pending))
            yield self._note(folder.log.path, f"the last operation did not reach {names} yet")

    def _made_anew(self) -> Iterator[Finding]:
        """Branches whose documents were lost before somebody made others of the same id."""
        log = self._log
        for id_, (left, made) in sorted(log.anew.items()):
            went_with_a_graft = any(name.startswith(f"{to_name(id_)}.graft-") for name in self._aside)
            if log.whole and not log.gaps and not went_with_a_graft:
                yield Finding(
                    place=f"branch {id_!r}",
                    problem=f"operation {made} made it anew: its document, as operation {left} left it, was lost",
                    branch_id=id_,
                    severity="note",
                    advice="restore its messages from a copy, if there is one",
                )

    def _went_with_a_graft(self, last: BranchRecord) -> bool:
        """Whether the attic says that a graft without an operation dropped a branch."""
        name = f"{to_name(last.id)}.graft-"
        return any(
            each.startswith(name) and document.record.id == last.id and document.record.operation >= last.operation
            for each, document in self._aside.items()
        )

    # -- the attic, and what only the log knows ----------------------------------------------------------------------

    def _displaced(self) -> Iterator[Finding]:
        folder = self._folder
        for inside, problem in self._unreadable:
            place = folder.file(inside)
            advice = "what would need it cannot be undone; move it out of the folder once its messages are saved"
            yield Finding(place=place, problem=problem, advice=advice, rescued=rescue(_bytes_of(place) or b""))
        reached = union(tuple(self._log.pieces), *(record.history for record in self._view.records.values()))
        had = union(reached, *(each.record.history for each in self._aside.values() if each.record.tip.segment))
        for name, document in self._aside.items():
            place = folder.file(document.name)
            match = _DISPLACED.fullmatch(name)
            before = self._log.displaced.get((int(match[2]), document.record.id)) if match else None
            is_spelled, _ = first_line(folder, document)
            if not is_spelled or (before is not None and head_line(before) != head_line(document.record)):
                problem = f"its first line is not as it was written: {CHANGED}"
                branch_id = document.record.id
                yield Finding(place=place, problem=problem, branch_id=branch_id, severity="warning", advice=_ITS_LINES)
            is_branch = bool(document.record.tip.segment)  # else it was sent ahead of one
            orphans = subtract(document.record.history, reached if is_branch else had)
            if orphans and self._log.whole and not self._log.gaps:
                yield Finding(
                    place=place,
                    problem=f"{counted(length(orphans))} in it {'is' if length(orphans) == 1 else 'are'} of no branch "
                    "and no operation",
                    severity="note",
                    advice="a copy took the branch away that had it" if is_branch else _UNREACHABLE,
                    history=orphans,
                    unreachable=not is_branch,
                )

    def _lost(self) -> Iterator[Finding]:
        """Messages that only the log still speaks of; messages that were given up and are still there."""
        log, view, folder = self._log, self._view, self._folder
        held = union(self._contents.held, log.freed, self._reported)
        lost = subtract(union(tuple(log.pieces)), held)
        if lost:
            yield from lost_histories(folder, view.tail, lost)
        last = view.tail.last
        freed = last.operation.freed if last is not None else ()
        left = subtract(freed, subtract(freed, self._contents.held))
        if left and not self._is_held():
            yield self._note(folder.file(ATTIC), "messages that the last operation gave up are still there", left)

    def _head(self) -> Iterator[Finding]:
        """HEAD as a file is for people; the log counts."""
        if self._log.head is None or any(finding.place.endswith(HEAD) for finding in self._view.findings):
            return
        branch_id, number = self._log.head
        place = self._folder.file(HEAD)
        try:
            descriptor = open_file(place)
        except FileNotFoundError:
            said = b""
        else:
            try:
                said = read_range(descriptor, 0, 8192)
            finally:
                os.close(descriptor)
        if said == f"{quote(branch_id or '', safe='')} {number}\n".encode() or not self._log.whole:
            return
        there = self._folder.head()[1]
        if self._log.gaps and there not in self._log.told and there < self._log.number:
            return  # an operation that the log lost may have moved it there
        what = "behind" if there < number else "not what was written"
        problem = f"it is {what}: operation {number} moved HEAD to {branch_id!r}"
        severity: Severity = "note" if there < number else "warning"
        yield Finding(place=place, problem=problem, severity=severity, advice="the log counts; `bough switch` mends it")

    # -- files -------------------------------------------------------------------------------------------------------

    def _files(self) -> Iterator[Finding]:
        folder = self._folder
        if self._is_held():
            return
        for name in _names(folder.path):
            if LEFTOVER.fullmatch(name) or name == "session.id.new":
                yield self._note(folder.file(name), "left over from a change that was not finished")
            elif name not in (LOG, HEAD, ATTIC) and not _OURS.fullmatch(name):
                place = folder.file(name)
                problem, advice = "it does not belong here", "move it out of the folder"
                yield Finding(place=place, problem=problem, severity="note", advice=advice)
        for name in self._attic:
            if ATTIC_LEFTOVER.fullmatch(name):
                yield self._note(folder.file(f"{ATTIC}/{name}"), "left over from a change that was not finished")

    def _note(self, place: str, problem: str, history: History = ()) -> Finding:
        advice = "the next change finishes it or clears it away"
        return Finding(place=place, problem=problem, severity="note", advice=advice, history=history)

    def _is_held(self) -> bool:
        """Whether somebody is writing, who may not be done yet."""
        lock = SessionLock(self._folder.file("session"))
        try:
            return lock.get_lock_holder() is not None
        finally:
            lock.close()


def _bytes_of(path: str) -> bytes | None:
    """A whole file; None where it cannot be opened."""
    try:
        descriptor = open_file(path)
    except OSError:
        return None
    try:
        return read_range(descriptor, 0, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def _names(path: str) -> list[str]:
    if os.path.islink(path):
        return []
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []
