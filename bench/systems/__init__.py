"""The systems that are measured beside each other: one driver each, with the same verbs.

1. A driver does what the system's own documentation shows, through its public API, in the quickest way that offers: one
   connection kept open, batch calls for filling, the indexes the system makes itself.
2. ``full`` is ``PRAGMA synchronous=FULL`` in WAL mode (or one ``fdatasync`` a change) and ``lazy`` is
   ``synchronous=NORMAL``, for every system where that can be set from outside; ``durability`` says how it was set.
3. What a system cannot do is named in ``missing`` with the reason and shown as "–", never imitated by hand.
4. A verb may be a coroutine function; :class:`Runner` then measures inside one event loop that stays open.

A driver's module imports its system with :func:`importlib.import_module`, so that a system that is not installed is an
``ImportError`` at one place, and is shown as such.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

Durability = Literal["full", "lazy"]
Message = dict[str, str]

SYSTEMS = {
    "bough-sqlite": ("Bough, SQLite", "systems.bough_sqlite:BoughSqlite"),
    "bough-json": ("Bough, JSON files", "systems.bough_json:BoughJson"),
    "raw-file": ("floor: `pwrite` + `fdatasync`", "systems.raw:RawFile"),
    "raw-sqlite3": ("floor: raw insert, `sqlite3`", "systems.raw:RawSqlite3"),
    "raw-apsw": ("floor: raw insert, `apsw`", "systems.raw:RawApsw"),
    "openai-sqlite": ("OpenAI Agents SQLiteSession", "systems.openai_agents:SQLiteSession"),
    "openai-advanced": ("OpenAI Agents AdvancedSQLiteSession", "systems.openai_agents:AdvancedSQLiteSession"),
    "langgraph": ("LangGraph SqliteSaver", "systems.langgraph:SqliteSaver"),
    "langgraph-delta": ("LangGraph SqliteSaver, delta channel (beta)", "systems.langgraph:SqliteSaverDelta"),
    "llm": ("llm LogStore", "systems.llm_logs:LogStore"),
    "langchain": ("LangChain SQLChatMessageHistory", "systems.langchain:SQLChatMessageHistory"),
    "google-adk": ("Google ADK DatabaseSessionService", "systems.google_adk:DatabaseSessionService"),
}
"""Name on the command line → title, and where its driver is. The order is that of the tables."""

SIZE = 500


def message(number: int) -> Message:
    """The message at ``number``: users and assistants by turns, :data:`SIZE` bytes of JSON, no two with one text."""
    role = "assistant" if number % 2 else "user"
    return {"role": role, "content": f"{number:09d} ".ljust(SIZE - 24 - len(role), "x")}


class Driver:
    """One system. ``open`` may be called again after ``close``, also with another durability, on the same folder."""

    packages: ClassVar[tuple[str, ...]] = ()
    """Distributions whose versions are shown."""
    durability: ClassVar[str]
    """How FULL and NORMAL are set, in a few words."""
    missing: ClassVar[Mapping[str, str]] = {}
    """Verbs that the system does not have → why."""
    batch: ClassVar[int | None] = 10_000
    """Messages a call when filling; None for one call for each half, where every call costs the whole state."""

    def open(self, path: Path, durability: Durability) -> object:
        """Opens what is kept in the folder ``path``, or makes it."""
        raise NotImplementedError

    def append(self, messages: Sequence[Message]) -> object:
        """Adds to the end of the main branch, as one change where the system can."""
        raise NotImplementedError

    def tail(self, count: int) -> object:
        """A list of the last ``count`` messages, decoded."""
        raise NotImplementedError

    def history(self) -> object:
        """A list of all messages of the main branch, decoded."""
        raise NotImplementedError

    def fork(self, index: int) -> object:
        """A new branch with the first ``index`` messages; ``index`` is even, and a fill ended there."""
        raise NotImplementedError

    def home(self) -> object:
        """Back to the main branch, where ``fork`` moves away from it. Not measured."""

    def branches(self) -> object:
        """A list of all branches."""
        raise NotImplementedError

    def branch_with(self, messages: Sequence[Message]) -> object:
        """The id of a new branch with all of main's messages and these. Not measured."""
        raise NotImplementedError

    def merge(self, branch: str) -> object:
        """Brings what the branch has more into main."""
        raise NotImplementedError

    def undo(self) -> object:
        """Takes the last operation back and gives its kind; Bough's own, for the speed table."""
        raise NotImplementedError

    def text(self, item: Any) -> str:
        """The text of one item of ``tail`` or ``history``: a driver is checked to have read what was written."""
        return str(item["content"])

    def close(self) -> object:
        """Closes all files."""
        raise NotImplementedError


ONLY_A_FLOOR = dict.fromkeys(("fork", "branches", "merge"), "only a floor of single writes and reads")


class Runner:
    """Calls a driver's verbs and times them; a coroutine's time is taken inside the loop, without starting the loop."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.loop: asyncio.AbstractEventLoop | None = None

    def __call__(self, verb: str, *arguments: Any) -> tuple[Any, float]:
        """What the verb gives, and seconds."""
        method = getattr(self.driver, verb)
        if inspect.iscoroutinefunction(method):
            return self._in_loop(method, *arguments)
        begin = time.perf_counter()
        result = method(*arguments)
        return result, time.perf_counter() - begin

    def _in_loop(self, method: Any, *arguments: Any) -> tuple[Any, float]:
        async def timed() -> tuple[Any, float]:
            begin = time.perf_counter()
            result = await method(*arguments)
            return result, time.perf_counter() - begin

        if self.loop is None:
            self.loop = asyncio.new_event_loop()
        return self.loop.run_until_complete(timed())


def load(name: str) -> Driver:
    """The driver of a system. ``ImportError`` where the system is not installed."""
    module, _, class_name = SYSTEMS[name][1].partition(":")
    driver = getattr(importlib.import_module(module), class_name)()
    assert isinstance(driver, Driver)
    return driver
