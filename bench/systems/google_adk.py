"""Google ADK: ``DatabaseSessionService``, one row an event through SQLAlchemy and aiosqlite."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from systems import Driver, Durability, Message
from systems.engines import set_pragmas

events = importlib.import_module("google.adk.events")
sessions = importlib.import_module("google.adk.sessions")
base = importlib.import_module("google.adk.sessions.base_session_service")
genai = importlib.import_module("google.genai.types")

WHO = {"app_name": "bench", "user_id": "me"}


class DatabaseSessionService(Driver):
    """``append_event``, which checks that the session is not stale and has no batch form; ``get_session``."""

    packages = ("google-adk", "sqlalchemy", "aiosqlite")
    durability = "WAL and `synchronous` set on its engine (its own: rollback journal, FULL)"
    missing = MappingProxyType({"fork": "no branches", "merge": "no branches"})

    async def open(self, path: Path, durability: Durability) -> None:
        self.service = sessions.DatabaseSessionService(f"sqlite+aiosqlite:///{path / 'sessions.db'}")
        set_pragmas(self.service.db_engine.sync_engine, durability)
        await self.service.prepare_tables()
        no_events = base.GetSessionConfig(num_recent_events=0)
        self.session = await self.service.get_session(**WHO, session_id="talk", config=no_events)
        if self.session is None:
            self.session = await self.service.create_session(**WHO, session_id="talk")

    async def append(self, messages: Sequence[Message]) -> None:
        for each in messages:
            role = "model" if each["role"] == "assistant" else "user"
            content = genai.Content(role=role, parts=[genai.Part(text=each["content"])])
            await self.service.append_event(self.session, events.Event(author=role, content=content))

    async def tail(self, count: int) -> object:
        return await self._events(base.GetSessionConfig(num_recent_events=count))

    async def history(self) -> object:
        return await self._events(None)

    async def _events(self, config: Any) -> object:
        return (await self.service.get_session(**WHO, session_id="talk", config=config)).events

    async def branches(self) -> object:
        return (await self.service.list_sessions(**WHO)).sessions

    def text(self, item: Any) -> str:
        return str(item.content.parts[0].text)

    async def close(self) -> None:
        await self.service.close()
