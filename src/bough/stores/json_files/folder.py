"""The files of one session's folder, and what is remembered of them while they do not change.

1. Nothing here locks, waits or writes.
2. A file counts as a branch only under the name that its branch's id has.
3. What is in the attic counts only in our layout and whole: a crash may have left a beginning of it, and nobody knows
   which messages those are.

Names in the folder: ``<branch>.json``, ``<branch>.json.<n>.new`` (what operation n puts in its place), ``HEAD`` (the
branch's id, percent-encoded, and the number of the operation that last moved it: for people, and for when the log is
lost, because every entry of the log says where HEAD is), ``operations.jsonl``, and ``attic/`` with what left a live
document: ``<branch>.<n>``, displaced by operation n, and ``<branch>.torn-<size>``, cut off by a repair.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import unquote

from bough.errors import CorruptBranchError
from bough.model import BranchRecord, Finding
from bough.stores.json_files import foreign
from bough.stores.json_files.disk import Disk, open_file, read_range
from bough.stores.json_files.document import (
    Document,
    NotOurLayoutError,
    read_native,
    stamp_of,
)
from bough.stores.json_files.lines import Lines, Reader
from bough.stores.json_files.log import NAME as LOG
from bough.stores.json_files.log import OperationLog
from bough.stores.json_files.names import file_names, to_name
from bough.stores.json_files.torn import has_torn_closing

ATTIC = "attic"
HEAD = "HEAD"
SALVAGE = "`bough fsck --repair` puts what can be read into a new branch"
_IN_ATTIC = os.path.join(ATTIC, "")
_HEAD_ADVICE = "`bough switch` writes it anew"


class UnreadableError(Exception):
    """A file that is there and cannot be taken for a document. The text says why."""


class StaleError(Exception):
    """A file changed between two looks at it; look again."""


class Folder:
    """One session's folder, and what is remembered of its files while they do not change."""

    def __init__(self, path: str, session_id: str, disk: Disk) -> None:
        self.path = path
        self.session_id = session_id
        self.log = OperationLog(path, disk)
        self._documents: dict[str, Document] = {}
        self._homes: dict[str, str] = {}  # segment → the document that last held it
        self._distrusted: dict[str, tuple[int, int, int]] = {}  # name → the stamp whose digest did not fit
        self._foreign: set[str] = set()  # names of the remembered documents that another program laid out
        self.rooted: set[str] = set()  # ids of those whose parents do not lead back to them
        self.circular: set[str] = set()  # and of those whose parents do, as of the last look
        self._last_records: tuple[tuple[int, int], dict[str, BranchRecord | None]] = ((0, 0), {})

    def file(self, name: str) -> str:
        return os.path.join(self.path, name)

    def exists(self) -> bool:
        """Whether there is a session here. OSError where the folder cannot be looked at."""
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return False
        return any(name.endswith(".json") or name in (LOG, HEAD) for name in names)

    def document(self, name: str, *, ours_only: bool = False) -> Document | None:
        """The document of a file; None where there is none. ``UnreadableError`` where it cannot be taken for one.

        ``ours_only`` takes another program's work for unreadable instead of finding out what it changed.
        """
        ours_only = ours_only or name.startswith(_IN_ATTIC)
        path = self.file(name)
        known = self._documents.get(name)
        try:
            if known is not None and stamp_of(os.lstat(path)) == known.stamp:
                return known
            descriptor = open_file(path)
        except FileNotFoundError:
            self._documents.pop(name, None)
            return None
        except OSError as error:
            raise UnreadableError(_refusal(error)) from None
        try:
            found = self._parse(name, descriptor, known, ours_only=ours_only)
        except OSError as error:
            raise UnreadableError(_refusal(error)) from None
        finally:
            os.close(descriptor)
        self.remember(found)
        return found

    def remembered(self) -> Iterator[Document]:
        """The documents that are known already, those whose files have not changed since."""
        for document in list(self._documents.values()):
            try:
                unchanged = stamp_of(os.lstat(self.file(document.name))) == document.stamp
            except OSError:
                continue
            if unchanged:
                yield document

    def readable_file(self, name: str) -> Document | None:
        """The document of a file, if there is one that can be read."""
        try:
            return self.document(name)
        except UnreadableError:
            return None

    def readable(self, branch_id: str) -> Document | None:
        """The document of a branch, if there is one that can be read."""
        try:
            return self.branch_document(branch_id)
        except UnreadableError:
            return None

    def home(self, segment: str) -> Document | None:
        """The document in which a segment was last seen at the end, if it can be read."""
        name = self._homes.get(segment)
        return None if name is None else self.readable_file(name)

    def refresh(self) -> None:
        """Forgets what was made of the documents that other programs laid out when one of them has changed: which
        messages of one are known depends on the others."""
        self.circular.clear()
        for name in list(self._foreign):
            known = self._documents.get(name)
            if known is not None and self.is_still(known):
                continue
            for each in list(self._foreign):
                self.forget(each)
            self.rooted.clear()
            return

    def is_still(self, document: Document) -> bool:
        """Whether the file is as it was when the document was read."""
        try:
            return stamp_of(os.lstat(self.file(document.name))) == document.stamp
        except OSError:
            return False

    def remember(self, document: Document) -> None:
        self._documents[document.name] = document
        if document.region is not None:
            self._foreign.add(document.name)
        else:
            self._foreign.discard(document.name)
        if document.record.history:
            self._homes[document.record.history[-1].segment] = document.name

    def forget(self, name: str) -> None:
        self._documents.pop(name, None)
        self._foreign.discard(name)

    def _parse(self, name: str, descriptor: int, known: Document | None, *, ours_only: bool) -> Document:
        for _ in range(3):  # an append that runs while we look is over by the second look
            status = os.fstat(descriptor)
            if self._distrusted.get(name) != stamp_of(status):
                try:
                    native = read_native(name, descriptor, status)
                except NotOurLayoutError:
                    pass
                else:
                    if (
                        known is not None
                        and known.native
                        and (known.stamp[0], known.start) == (native.stamp[0], native.start)
                        and known.size <= native.size
                    ):
                        native = replace(native, lines=known.lines)
                    return native
            if stamp_of(os.fstat(descriptor)) == stamp_of(status):
                break
        if ours_only:
            raise UnreadableError("it is not whole, or another program has written it")
        data = read_range(descriptor, 0, status.st_size)
        ways = [foreign.found, foreign.torn]
        if has_torn_closing(data):  # which may still be JSON
            ways.reverse()
        try:
            return ways[0](self, name, data, status)
        except ValueError as first:
            reason = first
        try:
            return ways[1](self, name, data, status)
        except ValueError as damage:
            raise UnreadableError(f"{damage}" if data.startswith(b'{"id":') else f"{reason}") from None

    def last_record(self, branch_id: str) -> BranchRecord | None:
        """The branch after the last operation that the log has on it. Reads the log: for the rare cases only."""
        stamp, records = self._last_records
        if stamp != self.log.stamp():
            stamp, records = self.log.stamp(), {}
            try:
                for entry in self.log.backwards():
                    for change in entry.operation.branches:
                        records.setdefault(change.id, change.after)
            except CorruptBranchError:
                pass  # the log's damage is a finding of its own; what could be read stands
            self._last_records = (stamp, records)
        return records.get(branch_id)

    def branch_document(self, branch_id: str) -> Document | None:
        """The document of a branch, whatever the log's last entry says of it."""
        for name in file_names(branch_id):
            found = self.document(name)
            if found is not None and found.record.id == branch_id:
                return found
        return None

    def pick(self, only: Collection[str]) -> dict[str, Document]:
        """The documents of some branches as their files stand. ``CorruptBranchError`` where one cannot be read."""
        documents: dict[str, Document] = {}
        for id_ in only:
            try:
                found = self.branch_document(id_)
            except UnreadableError as error:
                place = self.file(file_names(id_)[0])
                raise CorruptBranchError(place, str(error), session_id=self.session_id, branch_id=id_) from None
            if found is not None:
                documents[id_] = found
        return documents

    def head(self, findings: list[Finding] | None = None) -> tuple[str | None, int]:
        """What the file HEAD says: a branch, and the operation that moved it there. (None, 0) where it says nothing."""
        findings = [] if findings is None else findings
        try:
            descriptor = open_file(self.file(HEAD))
        except FileNotFoundError:
            return None, 0
        except OSError as error:
            place, problem = self.file(HEAD), _refusal(error)
            findings.append(Finding(place=place, problem=problem, severity="warning", advice=_HEAD_ADVICE))
            return None, 0
        try:
            name, _, number = read_range(descriptor, 0, 8192).decode().removesuffix("\n").partition(" ")
            return unquote(name, errors="strict"), int(number)
        except ValueError:
            place, problem = self.file(HEAD), "it is not a branch's id and a number"
            findings.append(Finding(place=place, problem=problem, severity="warning", advice=_HEAD_ADVICE))
            return None, 0
        finally:
            os.close(descriptor)

    def lines(self, document: Document, start: int, stop: int) -> bytes:
        """Lines of a document, joined as they stand there. ``StaleError`` where the file is no longer that one."""
        with self.reading(document) as read:
            block = document.lines.block(read, document.size, document.length, start, stop)
        if start == 0 and stop == document.length and document.digest:
            self._verify(document, block)
        return block

    @contextmanager
    def reading(self, document: Document) -> Iterator[Reader]:
        """Opens a document; what it gives reads bytes of the region."""
        region = document.region
        if region is not None:
            yield lambda a, b: region[a:b]
            return
        try:
            descriptor = open_file(self.file(document.name))
        except OSError:
            raise StaleError from None
        try:
            status = os.fstat(descriptor)
            begin = document.start
            if status.st_ino != document.stamp[0] or status.st_size < begin + document.size:
                raise StaleError
            yield lambda a, b: read_range(descriptor, begin + a, begin + b)
        finally:
            os.close(descriptor)

    def is_whole(self, document: Document) -> bool:
        """Whether the lines are those of the digest, read now. ``StaleError``."""
        with self.reading(document) as read:
            digest = Lines().digest(read, document.size, document.length, document.length)
        return digest.text(document.record.id) == document.digest

    def _verify(self, document: Document, region: bytes) -> None:
        """Compares the digest, once, when a whole document is read anyway. One that does not fit is not believed."""
        if document.lines.verified >= document.size:
            return
        digest = document.lines.digest(lambda a, b: region[a:b], document.size, document.length, document.length)
        if digest.text(document.record.id) == document.digest:
            document.lines.verified = document.size
        else:
            self.distrust(document)

    def distrust(self, document: Document) -> None:
        """From now on the file, as it stands, counts as another program's work."""
        self._distrusted[document.name] = document.stamp
        self.forget(document.name)

    def all_documents(self, *, ours_only: bool = False) -> Iterator[Document]:
        """Every document that may hold messages: new ones that wait for their operation, live ones, the attic's.

        Each folder is listed when it is come to: what moves meanwhile goes from one to the next in this order.
        """
        entry = self.log.tail().last
        if entry is not None:
            names = [new_name(change.id, entry.operation.number) for change in entry.operation.branches]
            yield from self._readable(names, ours_only=ours_only)
        try:
            names = sorted(name for name in os.listdir(self.path) if name.endswith(".json"))
        except FileNotFoundError:
            return
        yield from self._readable(names, ours_only=ours_only)
        yield from self.attic()

    def _readable(self, names: Iterable[str], *, ours_only: bool) -> Iterator[Document]:
        for name in names:
            try:
                found = self.document(name, ours_only=ours_only)
            except UnreadableError:
                continue
            if found is not None:
                yield found

    def attic(self) -> Iterator[Document]:
        """The displaced documents."""
        if os.path.islink(self.file(ATTIC)):
            return
        try:
            names = sorted(os.listdir(self.file(ATTIC)))
        except (FileNotFoundError, NotADirectoryError):
            return
        names = [os.path.join(ATTIC, name) for name in names if not name.endswith(".new")]  # which nobody relies on
        yield from self._readable(names, ours_only=True)


def new_name(branch_id: str, number: int) -> str:
    """The file that an operation will put in the branch's place."""
    return f"{to_name(branch_id)}.json.{number}.new"


def _refusal(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "it is a symbolic link, which is not followed"
    return f"it cannot be read: {(error.strerror or str(error)).lower()}"
