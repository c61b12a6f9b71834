"""The floors: what one change costs where nothing is done but the change.

A system that shows the same time as a floor spends nothing of its own. ``raw-sqlite3`` is Python's module and the
SQLite that came with it, ``raw-apsw`` the one that apsw brings; ratios are taken to the quicker of the two.
"""

from __future__ import annotations

import importlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from systems import ONLY_A_FLOOR, Driver, Durability, Message

encode = msgspec.json.encode
decode = msgspec.json.decode

SCHEMA = "CREATE TABLE IF NOT EXISTS message (id INTEGER PRIMARY KEY, body BLOB NOT NULL)"
INSERT = "INSERT INTO message (body) VALUES (?)"
ALL = "SELECT body FROM message ORDER BY id"
LAST = "SELECT body FROM message ORDER BY id DESC LIMIT ?"


class RawFile(Driver):
    """One JSON line a message; ``full`` is one ``fdatasync`` a change, ``lazy`` none."""

    packages = ("msgspec",)
    durability = "full: `fdatasync` a change; lazy: `pwrite` alone"
    missing = ONLY_A_FLOOR

    def open(self, path: Path, durability: Durability) -> None:
        self.fd = os.open(path / "lines", os.O_CREAT | os.O_RDWR, 0o600)
        self.end = os.fstat(self.fd).st_size
        self.full = durability == "full"

    def append(self, messages: Sequence[Message]) -> None:
        data = b"".join(encode(each) + b"\n" for each in messages)
        os.pwrite(self.fd, data, self.end)
        self.end += len(data)
        if self.full:
            os.fdatasync(self.fd)

    def tail(self, count: int) -> object:
        want = 4096
        while True:
            data = os.pread(self.fd, want, max(0, self.end - want))
            lines = data.split(b"\n")[:-1]
            if want >= self.end or len(lines) > count:
                return [decode(line) for line in lines[-count:]]
            want *= 2

    def history(self) -> object:
        return msgspec.json.Decoder().decode_lines(_pread_all(self.fd, self.end))

    def close(self) -> None:
        os.close(self.fd)


def _pread_all(fd: int, size: int) -> bytearray:
    data = bytearray(size)
    view, done = memoryview(data), 0
    while done < size:  # one call gives at most 2 GB
        done += os.preadv(fd, [view[done:]], done)
    view.release()
    return data


class RawSqlite3(Driver):
    """One INSERT a commit into a plain WAL table; the statement is prepared once."""

    packages: ClassVar[tuple[str, ...]] = ("msgspec",)
    durability = "WAL; `PRAGMA synchronous=FULL` or `NORMAL`"
    missing = ONLY_A_FLOOR

    def open(self, path: Path, durability: Durability) -> None:
        self.connection: Any = sqlite3.connect(path / "raw.db", isolation_level=None)
        self._pragmas(durability)

    def _pragmas(self, durability: Durability) -> None:
        for pragma in ("journal_mode=WAL", f"synchronous={'FULL' if durability == 'full' else 'NORMAL'}"):
            self.connection.execute(f"PRAGMA {pragma}").fetchall()
        self.connection.execute(SCHEMA)

    def append(self, messages: Sequence[Message]) -> None:
        if len(messages) == 1:
            self.connection.execute(INSERT, (encode(messages[0]),))
            return
        self.connection.execute("BEGIN")
        self.connection.executemany(INSERT, _rows(messages))
        self.connection.execute("COMMIT")

    def tail(self, count: int) -> object:
        return [decode(row[0]) for row in self.connection.execute(LAST, (count,))][::-1]

    def history(self) -> object:
        return [decode(row[0]) for row in self.connection.execute(ALL)]

    def close(self) -> None:
        self.connection.close()


class RawApsw(RawSqlite3):
    packages = ("apsw", "msgspec")

    def open(self, path: Path, durability: Durability) -> None:
        self.connection = importlib.import_module("apsw").Connection(str(path / "raw.db"))
        self._pragmas(durability)


def _rows(messages: Sequence[Message]) -> Iterator[tuple[bytes]]:
    return ((encode(each),) for each in messages)
