"""Putting bytes into a session's documents: new ones, lines behind the last, and what a torn end needs.

Every method is called under the session's lock. What is written here is read by nobody (a name of its own) or grows a
document without touching a line of it; when it counts is for :mod:`.writer` to say.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn
from zlib import crc32

from bough.errors import RepairWarning, SessionLockedError
from bough.lock import SessionLock
from bough.model import BranchRecord
from bough.stores.json_files.digest import Digest, partial_size, plain, resume
from bough.stores.json_files.disk import Disk, open_file, read_range
from bough.stores.json_files.document import Document, closing_line, head_line, stamp_of
from bough.stores.json_files.folder import ATTIC, Folder, StaleError
from bough.stores.json_files.lines import whole_lines
from bough.stores.json_files.names import to_name
from bough.stores.json_files.runs import Run

_KEPT_OPEN = 8
"""How many documents of a session stay open for the next append."""


@dataclass(slots=True)
class _Tail:
    """The end of an open document: the digest text that stands there, and the running digest that wrote it."""

    descriptor: int
    inode: int
    text: str
    digest: Digest


class DocumentWriter:
    """Writes the documents of one folder."""

    def __init__(self, folder: Folder, disk: Disk, lock: SessionLock) -> None:
        self._folder = folder
        self._disk = disk
        self._lock = lock
        self._tails: dict[str, _Tail] = {}
        self._synced: dict[str, tuple[int, int, int]] = {}  # document name → the stamp at which it was on the disk

    def grow(self, document: Document, after: BranchRecord, lines: Sequence[bytes], *, sync: bool) -> None:
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
        if sync and not self._lock.check():
            raise robbed(self._folder, self._lock)
        try:
            self._disk.write(tail.descriptor, data, document.end)
            if sync:
                self._disk.sync(tail.descriptor)
            status = os.fstat(tail.descriptor)
        except OSError:
            self._disk.write(tail.descriptor, old, document.end)
            self._disk.truncate(tail.descriptor, document.stamp[1])
            self.let_go(document.name)
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
            self.let_go(document.name)
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
            self.let_go(next(iter(self._tails)))
        return tail

    def _distrust(self, document: Document) -> NoReturn:
        self.let_go(document.name)
        self._folder.distrust(document)
        raise StaleError

    def let_go(self, name: str) -> None:
        tail = self._tails.pop(name, None)
        if tail is not None:
            os.close(tail.descriptor)

    def close(self) -> None:
        for name in list(self._tails):
            self.let_go(name)

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if not is_finalizing():  # then the system closes them, and the modules are being taken apart
            self.close()

    def repair(self, document: Document) -> None:
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

    def write(self, name: str, record: BranchRecord, runs: Sequence[Run], *, grafted: bool = False) -> None:
        """A whole new document, synced. The digest of a prefix that it shares with another is taken from there."""
        folder = self._folder
        head = head_line(record, grafted=grafted)
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
                    for chunk in whole_lines(read, first, last):
                        if not shared:
                            digest.update(plain(chunk))
                        size += len(chunk)
                        yield chunk
            yield (b"\n" if size else b"") + closing_line(record, size, digest.text(record.id))

        folder.forget(name)
        self._disk.write_file(folder.file(name), chunks())

    def put_aside(self, name: str, record: BranchRecord, runs: Sequence[Run]) -> None:
        """A document in the attic, where there is never a beginning of one under its name."""
        new = f"{name}.new"
        self.write(new, record, runs)
        self._disk.rename(self._folder.file(new), self._folder.file(name))
        self._folder.forget(new)
        self._folder.forget(name)

    def sync(self, document: Document) -> None:
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

    def discard(self, name: str) -> None:
        path = self._folder.file(name)
        if os.path.lexists(path):
            self._disk.unlink(path)
        self._folder.forget(name)


def robbed(folder: Folder, lock: SessionLock) -> SessionLockedError:
    """The refusal of a writer whose lock was taken away by a program that does not follow the whole protocol."""
    detail = f"{folder.path}: the lock was taken away by another program; nothing was written"
    return SessionLockedError(folder.path, lock.get_lock_holder(), detail=detail)
