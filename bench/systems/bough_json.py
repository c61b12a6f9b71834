"""Bough, on its JSON files; and what both of its stores have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from bough import ConversationBranchManager, open_store
from bough.stores.base import Store
from systems import Driver, Durability, Message


class Bough(Driver):
    """``add_messages``, ``fork_from_message``, ``merge``, ``undo``; a fork also moves HEAD."""

    packages: ClassVar[tuple[str, ...]] = ("bough", "msgspec")
    scheme: ClassVar[str]
    store: Store
    talk: ConversationBranchManager
    forks = 0

    def open(self, path: Path, durability: Durability) -> None:
        self.store = open_store(f"{self.scheme}:{path / 'store'}", durability=durability)
        self.talk = ConversationBranchManager("talk", store=self.store)
        self.home()

    def append(self, messages: Sequence[Message]) -> None:
        if len(messages) == 1:
            self.talk.add_message(messages[0])
        else:
            self.talk.add_messages(messages)

    def tail(self, count: int) -> object:
        return self.talk.get_messages(start=-count)

    def history(self) -> object:
        return self.talk.get_messages()

    def fork(self, index: int) -> None:
        self.forks += 1
        self.talk.fork_from_message(f"fork {self.forks} of {index}", index)

    def home(self) -> None:
        if self.talk.get_current_branch_id() != "main":
            self.talk.checkout("main")

    def branches(self) -> object:
        return self.talk.get_all_branches()

    def branch_with(self, messages: Sequence[Message]) -> str:
        branch = self.talk.fork("more").id
        self.talk.add_messages(messages)
        self.home()
        return branch

    def merge(self, branch: str) -> None:
        self.talk.merge(branch)

    def undo(self) -> object:
        return self.talk.undo().kind

    def close(self) -> None:
        self.talk.close()
        self.store.close()


class BoughJson(Bough):
    durability = 'full: `fdatasync` a change; lazy: `durability="lazy"`, no sync'
    scheme = "json"
