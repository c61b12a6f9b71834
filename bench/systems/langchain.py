"""LangChain community: ``SQLChatMessageHistory``, one row a message through SQLAlchemy."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from systems import Driver, Durability, Message
from systems.engines import set_pragmas

histories = importlib.import_module("langchain_community.chat_message_histories")
messages_module = importlib.import_module("langchain_core.messages")
sqlalchemy = importlib.import_module("sqlalchemy")


class SQLChatMessageHistory(Driver):
    """``add_message``, ``add_messages``, ``get_messages``. It makes no index on the session."""

    packages = ("langchain-community", "sqlalchemy")
    durability = "WAL and `synchronous` set on the engine it is given (its own: rollback journal, FULL)"
    missing = MappingProxyType({"fork": "no branches", "branches": "no list of sessions", "merge": "no branches"})

    def open(self, path: Path, durability: Durability) -> None:
        self.engine = sqlalchemy.create_engine(f"sqlite:///{path / 'history.db'}")
        set_pragmas(self.engine, durability)
        self.talk = histories.SQLChatMessageHistory("talk", connection=self.engine)

    def append(self, messages: Sequence[Message]) -> None:
        made = [_message(each) for each in messages]
        if len(made) == 1:
            self.talk.add_message(made[0])
        else:
            self.talk.add_messages(made)

    def history(self) -> object:
        return self.talk.get_messages()

    def tail(self, count: int) -> object:
        return self.talk.get_messages()[-count:]  # there is no smaller read

    def text(self, item: Any) -> str:
        return str(item.content)

    def close(self) -> None:
        self.engine.dispose()


def _message(each: Message) -> Any:
    kind = messages_module.AIMessage if each["role"] == "assistant" else messages_module.HumanMessage
    return kind(each["content"])
