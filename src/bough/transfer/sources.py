"""Where conversations of other programs lie: a file, one member of a zip, a compressed file, all of a folder.

1. Nothing is ever written to them, and nothing is unpacked beside them.
2. A source is opened anew each time it is asked for, from its beginning: what memory holds is what the reader holds.
3. What is no file of a kind that can hold conversations (by its first bytes, or in folders and archives by its name) is
   passed over; each that is passed over by its content is told of, and so is each archive that is not looked into,
   each folder that cannot be listed, and what is no regular file: a pipe or a device may never end.
"""

from __future__ import annotations

import codecs
import gzip
import io
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from bough.errors import UnsupportedFormatError

_PACKED = (".zip", ".zst", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".7z", ".rar")
SUFFIXES = (".json", ".jsonl", ".ndjson", ".db", ".sqlite", ".sqlite3", *_PACKED)
"""How the names end of what is looked at in folders and archives."""
_BUFFER = 1 << 18
"""Bytes that are read of a file at once."""
_ZIP, _ZSTD, _GZIP, SQLITE = b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"SQLite format 3\0"
_ARCHIVES = {
    _ZIP: "a zip archive",
    _ZSTD: "compressed with zstd",
    _GZIP: "compressed with gzip",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ\0": "compressed with xz",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a rar archive",
}
_TAR = 257, b"ustar"
_ENCODINGS = {  # the mark of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
HEAD = 512
"""Bytes by which a file is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One thing to read. ``name`` is for people; ``path`` is the file itself, None for what is packed; ``size`` is how
    many bytes are read of it, or where only unpacking it would tell, how many lie there."""

    name: str
    open: Callable[[], BinaryIO]
    size: int
    path: Path | None = None

    def head(self) -> bytes:
        """Its first bytes. ``UnsupportedFormatError`` where they say that nobody here can read it: an archive inside
        another or of another kind, text in another encoding."""
        with self.open() as file:
            head = file.read(HEAD)
        archive = "a tar archive" if head.startswith(_TAR[1], _TAR[0]) else _begun(head, _ARCHIVES)
        if archive:
            raise UnsupportedFormatError(f"{self.name} is not looked into: it is {archive}", hint="unpack it first")
        encoding = _begun(head, _ENCODINGS)
        if encoding:
            raise UnsupportedFormatError(f"{self.name} is {encoding}, not UTF-8", hint="save it as UTF-8")
        return head


def _begun(head: bytes, marks: Mapping[bytes, str]) -> str | None:
    """What the mark says that ``head`` begins with."""
    return next((said for mark, said in marks.items() if head.startswith(mark)), None)


def sources(path: Path, name: str | None = None) -> Iterator[Source]:
    """What there is to read at a path, in the order of names. ``name`` is what people know the path by, if not by
    itself. ``OSError`` where that cannot be read, ``UnsupportedFormatError`` for a broken archive and for what needs a
    package that is not there."""
    if not path.is_dir():
        yield from _of_file(path, name or str(path))
        return
    unlisted: list[OSError] = []
    for folder, folders, names in os.walk(path, onerror=unlisted.append):
        folders.sort()
        for each in sorted(names):
            place = Path(folder) / each
            if each.lower().endswith(SUFFIXES):
                yield from _each_of_file(place)
    for error in unlisted:
        yield _refused(str(error.filename), error)


def _each_of_file(path: Path) -> Iterator[Source]:
    """In a folder: what cannot be read says so when it is opened, and stops nothing else."""
    try:
        yield from _of_file(path, str(path))
    except (UnsupportedFormatError, OSError) as error:
        yield _refused(str(path), error)


def _refused(name: str, error: UnsupportedFormatError | OSError) -> Source:
    reason = UnsupportedFormatError(str(error), hint=getattr(error, "hint", ""))

    def refuse() -> BinaryIO:
        raise reason

    return Source(name=name, open=refuse, size=0)


def _of_file(path: Path, name: str) -> Iterator[Source]:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise UnsupportedFormatError(f"{name} is no regular file")
    size = status.st_size
    with path.open("rb") as file:
        head = file.read(4)
    if head == _ZIP:
        yield from _members(path, name)
    elif head == _ZSTD:
        yield Source(name=name, open=lambda: _decompressed(path, name), size=size)
    elif head.startswith(_GZIP):
        yield Source(name=name, open=lambda: _unpacked(gzip.GzipFile(path), name), size=size)
    else:
        yield Source(name=name, open=lambda: path.open("rb", _BUFFER), size=size, path=path)


def _members(path: Path, name: str) -> Iterator[Source]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted(archive.infolist(), key=lambda member: member.filename)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise UnsupportedFormatError(f"{name}: {error}", hint="unpack it with a program that can") from None
    for member in members:
        if not member.is_dir() and member.filename.lower().endswith(SUFFIXES):
            full = f"{name}:{member.filename}"
            yield Source(name=full, open=_opener(path, member, full), size=member.file_size)


def _opener(path: Path, member: zipfile.ZipInfo, name: str) -> Callable[[], BinaryIO]:
    def opened() -> BinaryIO:
        archive = zipfile.ZipFile(path)
        try:
            file = archive.open(member)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:  # RuntimeError: it has a password
            raise UnsupportedFormatError(f"{name}: {error}", hint="unpack it") from None
        finally:
            archive.close()  # the member keeps the file open for as long as it needs
        return _unpacked(file, name)

    return opened


def _unpacked(file: Any, name: str) -> BinaryIO:
    return io.BufferedReader(_Unpacked(file, name), 1 << 16)


class _Unpacked(io.RawIOBase):
    """What a zip or gzip holds. Where its bytes turn out to be damaged it ends, so that nothing before that is lost;
    ``UnsupportedFormatError`` for who reads on."""

    def __init__(self, file: Any, name: str) -> None:
        self._file = file
        self._name = name
        self._damage: UnsupportedFormatError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._damage is not None:
            raise self._damage
        try:
            data = self._file.read1(len(buffer))  # no more at once than comes before the damage
        except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError) as error:
            self._damage = UnsupportedFormatError(f"{self._name} is damaged: {error}")
            return 0
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _decompressed(path: Path, name: str) -> BinaryIO:
    try:
        import zstandard
    except ImportError:
        raise UnsupportedFormatError(
            f"{name} is compressed with zstd", hint="install bough[zstd], or unpack it with `unzstd`"
        ) from None
    return io.BufferedReader(_Decompressed(path, name, zstandard), 1 << 16)


class _Decompressed(io.RawIOBase):
    """A file of zstd frames. ``UnsupportedFormatError`` where it is damaged or ends inside a frame."""

    def __init__(self, path: Path, name: str, zstandard: Any) -> None:
        self._name = name
        self._zstandard = zstandard
        self._file = path.open("rb")
        self._frame: Any = None
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            rest = self._frame.unused_data if self._frame is not None and self._frame.eof else b""
            packed = rest or self._file.read(1 << 16)
            if not packed:
                if self._frame is not None and not self._frame.eof:
                    raise UnsupportedFormatError(f"{self._name} ends inside a frame")
                return 0
            if self._frame is None or self._frame.eof:
                self._frame = self._zstandard.ZstdDecompressor().decompressobj()
            try:
                self._ready = memoryview(self._frame.decompress(packed))
            except self._zstandard.ZstdError as error:
                raise UnsupportedFormatError(f"{self._name} is damaged: {error}") from None
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
