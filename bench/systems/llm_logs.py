"""simonw/llm: ``LogStore``, hash-linked messages; a thread points at its last one, so a fork is one row.

``LogStore.append`` commits the message and then the thread's pointer. Here both are in one transaction
(``Database.atomic``), as its own ``LogStore.log`` does it: half the syncs.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from systems import Driver, Durability, Message

llm = importlib.import_module("llm")
logs = importlib.import_module("llm.logs")
sqlite_utils = importlib.import_module("sqlite_utils")


class LogStore(Driver):
    packages = ("llm", "sqlite-utils")
    durability = "WAL and `synchronous` set on the database it is given (its own: rollback journal, FULL)"
    missing = MappingProxyType({"merge": "no merge"})

    def __init__(self) -> None:
        self.count = 0
        self.marks: dict[int, str] = {}

    def open(self, path: Path, durability: Durability) -> None:
        self.database = sqlite_utils.Database(path / "logs.db")
        self.database.enable_wal()
        self.database.execute(f"PRAGMA synchronous={'FULL' if durability == 'full' else 'NORMAL'}")
        self.store = logs.LogStore(self.database)
        self.store.ensure_thread("talk")

    def append(self, messages: Sequence[Message]) -> None:
        made = [(llm.assistant if each["role"] == "assistant" else llm.user)(each["content"]) for each in messages]
        with self.database.atomic():
            tip = self.store.append("talk", made)
        self.count += len(messages)
        self.marks[self.count] = tip

    def history(self) -> object:
        return self.store.thread_messages("talk")

    def tail(self, count: int) -> object:
        return self.store.thread_messages("talk")[-count:]  # there is no smaller read

    def fork(self, index: int) -> None:
        self.store.fork(self.marks[index], name=f"fork of {index}", forked_from="talk")

    def branches(self) -> object:
        return list(self.database["threads"].rows)

    def text(self, item: Any) -> str:
        return str(item.parts[0].text)

    def close(self) -> None:
        self.database.close()
