"""Where conversations of other programs lie: a file, one member of a zip, a compressed file, all of a folder.

1. Nothing is ever written, and nothing is unpacked to the disk.
2. A source is opened anew each time it is asked for, from its beginning: what memory holds is what the reader holds.
3. What is no file of a kind that can hold conversations (by its first bytes, or in folders and archives by its name) is
   passed over; each that is passed over by its content is told of.
"""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from bough.errors import UnsupportedFormatError

SUFFIXES = (".json", ".jsonl", ".ndjson", ".zst", ".zip", ".db", ".sqlite", ".sqlite3")
_ZIP, _ZSTD, SQLITE = b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"SQLite format 3\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One thing to read. ``name`` is for people; ``path`` is the file itself, None for a member of an archive;
    ``size`` its bytes as they lie there."""

    name: str
    open: Callable[[], BinaryIO]
    size: int
    path: Path | None = None

    def head(self, count: int = 16) -> bytes:
        """Its first bytes."""
        with self.open() as file:
            return file.read(count)


def sources(path: Path) -> Iterator[Source]:
    """What there is to read at a path, in the order of names. ``OSError`` where that cannot be read,
    ``UnsupportedFormatError`` for a broken archive and for what needs a package that is not there."""
    if not path.is_dir():
        yield from _of_file(path)
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            if name.endswith(SUFFIXES):
                yield from _each_of_file(Path(folder) / name)


def _each_of_file(path: Path) -> Iterator[Source]:
    """In a folder: what cannot be read says so when it is opened, and stops nothing else."""
    try:
        yield from _of_file(path)
    except (UnsupportedFormatError, OSError) as error:
        reason = UnsupportedFormatError(str(error), hint=getattr(error, "hint", ""))

        def refuse() -> BinaryIO:
            raise reason

        yield Source(name=str(path), open=refuse, size=0)


def _of_file(path: Path) -> Iterator[Source]:
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4)
    if head == _ZIP:
        yield from _members(path)
    elif head == _ZSTD:
        yield Source(name=str(path), open=lambda: _decompressed(path), size=size)
    else:
        yield Source(name=str(path), open=lambda: path.open("rb"), size=size, path=path)


def _members(path: Path) -> Iterator[Source]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted(archive.infolist(), key=lambda member: member.filename)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise UnsupportedFormatError(f"{path}: {error}", hint="unpack it with a program that can") from None
    for member in members:
        if not member.is_dir() and member.filename.endswith(SUFFIXES[:3]):
            yield Source(name=f"{path}:{member.filename}", open=_opener(path, member), size=member.compress_size)


def _opener(path: Path, member: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    def opened() -> BinaryIO:
        archive = zipfile.ZipFile(path)
        try:
            file = archive.open(member)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:  # RuntimeError: it has a password
            raise UnsupportedFormatError(f"{path}:{member.filename}: {error}", hint="unpack it") from None
        finally:
            archive.close()  # the member keeps the file open for as long as it needs
        return io.BufferedReader(_Member(file, f"{path}:{member.filename}"), 1 << 16)

    return opened


class _Member(io.RawIOBase):
    """A member of an archive. ``UnsupportedFormatError`` where its bytes turn out to be damaged."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._file.read(len(buffer))
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise UnsupportedFormatError(f"{self._name} is damaged: {error}") from None
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _decompressed(path: Path) -> BinaryIO:
    try:
        import zstandard
    except ImportError:
        raise UnsupportedFormatError(
            f"{path} is compressed with zstd", hint="install bough[zstd], or unpack it with `unzstd`"
        ) from None
    return io.BufferedReader(_Decompressed(path, zstandard), 1 << 16)


class _Decompressed(io.RawIOBase):
    """A file of zstd frames. ``UnsupportedFormatError`` where it is damaged or ends inside a frame."""

    def __init__(self, path: Path, zstandard: Any) -> None:
        self._path = path
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
                    raise UnsupportedFormatError(f"{self._path} ends inside a frame")
                return 0
            if self._frame is None or self._frame.eof:
                self._frame = self._zstandard.ZstdDecompressor().decompressobj()
            try:
                self._ready = memoryview(self._frame.decompress(packed))
            except self._zstandard.ZstdError as error:
                raise UnsupportedFormatError(f"{self._path} is damaged: {error}") from None
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
