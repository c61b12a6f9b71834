"""Every store there is, for the tests that hold for each of them.

``store_factory`` opens one place, empty at the start of the test; ``store`` is opened from it. It does not wait for the
disk: what is lost with the power has tests of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from bough.manager import ConversationBranchManager
from bough.stores import open_store
from bough.stores.base import Store
from bough.stores.memory import MemoryStore
from bough.testing.contract import StoreFactory

settings.register_profile("patient", settings(deadline=None))  # machines may be busy
settings.load_profile("patient")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """For ``-n auto``, more than processors: a third of the time the tests wait, for a lock, a process or the disk."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return (processors * 3 + 1) // 2


@pytest.fixture(params=["memory", "json", "sqlite"])
def store_factory(request: pytest.FixtureRequest, tmp_path: Path) -> StoreFactory:
    if request.param == "memory":
        memory = MemoryStore()
        return lambda: memory
    return lambda: open_store(f"{request.param}:{tmp_path / 'store'}", durability="lazy")


@pytest.fixture
def store(store_factory: StoreFactory) -> Iterator[Store]:
    store = store_factory()
    yield store
    store.close()


@pytest.fixture
def manager(store: Store) -> Iterator[ConversationBranchManager]:
    """Of the session ``talk``, which is new."""
    with ConversationBranchManager("talk", store=store) as manager:
        yield manager
