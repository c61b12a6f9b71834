"""Random verbs on every store, against the memory store and plain lists."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from hypothesis import settings

from bough.stores import open_store
from bough.stores.memory import MemoryStore
from bough.testing.contract import StoreFactory
from bough.testing.machine import manager_machine


@contextmanager
def memory_place() -> Iterator[StoreFactory]:
    store = MemoryStore()
    yield lambda: store


@contextmanager
def json_place() -> Iterator[StoreFactory]:
    with TemporaryDirectory() as folder:
        yield lambda: open_store(folder, durability="lazy")


@contextmanager
def sqlite_place() -> Iterator[StoreFactory]:
    with TemporaryDirectory() as folder:
        yield lambda: open_store(f"sqlite:{folder}/store.db", durability="lazy")


TestMemory = manager_machine(memory_place).TestCase
TestMemory.settings = settings(max_examples=100, stateful_step_count=40)

TestJson = manager_machine(json_place).TestCase
TestJson.settings = settings(max_examples=40, stateful_step_count=30)

TestSqlite = manager_machine(sqlite_place).TestCase
TestSqlite.settings = settings(max_examples=40, stateful_step_count=30)
