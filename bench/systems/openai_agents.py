"""OpenAI Agents: ``SQLiteSession``, and ``AdvancedSQLiteSession`` with its branches.

Both hand every call to a thread (``asyncio.to_thread``); that is part of their time. They open WAL themselves and leave
``synchronous`` at SQLite's default, FULL; for ``lazy`` the PRAGMA is added where they configure a connection.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from systems import Driver, Durability, Message

agents = importlib.import_module("agents")
memory = importlib.import_module("agents.extensions.memory")


class SQLiteSession(Driver):
    """``add_items``, ``get_items``: one row a message, and an update of the session's row."""

    packages = ("openai-agents",)
    durability = "WAL, FULL: its own; lazy: `synchronous=NORMAL` added to its connections"
    missing = MappingProxyType({"fork": "no branches", "branches": "no list of sessions", "merge": "no branches"})
    session: Any

    def open(self, path: Path, durability: Durability) -> None:
        self.session = self._session(path / "agents.db")
        if durability == "lazy":
            configure = self.session._configure_connection

            def configure_lazy(connection: Any) -> None:
                configure(connection)
                connection.execute("PRAGMA synchronous=NORMAL")

            # It takes no PRAGMAs; every connection of its threads passes through here, none was opened yet.
            self.session._configure_connection = configure_lazy

    def _session(self, path: Path) -> Any:
        return agents.SQLiteSession("talk", path)

    async def append(self, messages: Sequence[Message]) -> None:
        await self.session.add_items(list(messages))

    async def tail(self, count: int) -> object:
        return await self.session.get_items(limit=count)

    async def history(self) -> object:
        return await self.session.get_items()

    def close(self) -> None:
        self.session.close()


class AdvancedSQLiteSession(SQLiteSession):
    """The same with a second row a message for its branch; ``create_branch_from_turn`` copies those rows."""

    missing = MappingProxyType({"merge": "no merge"})
    forks = 0

    def _session(self, path: Path) -> Any:
        return memory.AdvancedSQLiteSession(session_id="talk", db_path=path, create_tables=True)

    async def fork(self, index: int) -> None:
        self.forks += 1
        # Branches begin before a user's turn: turn k is the message at 2 * (k - 1).
        await self.session.create_branch_from_turn(index // 2 + 1, f"fork {self.forks} of {index}")

    async def home(self) -> None:
        await self.session.switch_to_branch("main")

    async def branches(self) -> object:
        return await self.session.list_branches()
