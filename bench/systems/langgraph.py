"""LangGraph: ``SqliteSaver``, with a plain channel and with a delta channel.

One message is one ``update_state``, the cheapest step there is: one checkpoint and one row of writes; a run of a graph
with a model makes several. The state is a list of plain dicts with ``operator.add``, the lightest reducer documented;
``MessagesState`` does more. The saver takes a connection, so that ``synchronous`` is set on it; WAL it sets itself.
"""

from __future__ import annotations

import importlib
import operator
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from systems import Driver, Durability, Message

channels = importlib.import_module("langgraph.channels")
graphs = importlib.import_module("langgraph.graph")
saving = importlib.import_module("langgraph.checkpoint.sqlite")
typing_extensions = importlib.import_module("typing_extensions")


class SqliteSaver(Driver):
    packages = ("langgraph", "langgraph-checkpoint-sqlite")
    durability = "WAL: its own; `synchronous=FULL` or `NORMAL` on the connection it is given"
    missing = MappingProxyType({"branches": "a thread has checkpoints; none is a branch", "merge": "no merge"})
    batch = None  # every checkpoint holds the whole state: two of them are the cheapest way to a middle

    def __init__(self) -> None:
        self.tip: Any = {"configurable": {"thread_id": "talk"}}
        self.count = 0
        self.marks: dict[int, Any] = {}

    def channel(self) -> Any:
        return operator.add

    def open(self, path: Path, durability: Durability) -> None:
        self.connection = sqlite3.connect(path / "checkpoints.db", check_same_thread=False)
        self.connection.execute(f"PRAGMA synchronous={'FULL' if durability == 'full' else 'NORMAL'}")
        state = typing_extensions.TypedDict("State", {"messages": Annotated[list[Any], self.channel()]})
        graph = graphs.StateGraph(state)
        graph.add_node("talk", lambda _: {})
        graph.add_edge(graphs.START, "talk")
        self.graph = graph.compile(checkpointer=saving.SqliteSaver(self.connection))

    def append(self, messages: Sequence[Message]) -> None:
        self.tip = self.graph.update_state(self.tip, {"messages": list(messages)}, as_node="talk")
        self.count += len(messages)
        self.marks[self.count] = self.tip

    def history(self) -> object:
        return self.graph.get_state(self.tip).values["messages"]

    def tail(self, count: int) -> object:
        return self.graph.get_state(self.tip).values["messages"][-count:]  # there is no smaller read

    def fork(self, index: int) -> None:
        # A checkpoint becomes the parent of another one: its documented way back in time. The branch's tip is what
        # comes back; main's is kept in ``tip``.
        self.graph.update_state(self.marks[index], None, as_node="__copy__")

    def close(self) -> None:
        self.connection.close()


class SqliteSaverDelta(SqliteSaver):
    """A checkpoint stores what was added, and the whole state at every 100th update (the default). The channel makes
    message objects of dicts that look like one."""

    def channel(self) -> Any:
        def extend(state: list[Any], writes: Sequence[list[Any]]) -> list[Any]:
            return [*state, *(item for write in writes for item in write)]

        return channels.DeltaChannel(extend, list)

    def text(self, item: Any) -> str:
        return str(item.content)
