"""Bough, in SQLite through apsw."""

from __future__ import annotations

import importlib
from pathlib import Path

from systems import Durability
from systems.bough_json import Bough

importlib.import_module("apsw")  # not installed: said here, and not at the first commit


class BoughSqlite(Bough):
    packages = ("bough", "apsw", "msgspec")
    durability = 'WAL; full: `synchronous=FULL`, lazy: `durability="lazy"`, `NORMAL`'
    scheme = "sqlite"

    def open(self, path: Path, durability: Durability) -> None:
        path.mkdir(exist_ok=True)
        super().open(path, durability)
