"""Every store there is, for the tests that hold for each of them.

``store_factory`` opens one place, empty at the start of the test; ``store`` is opened from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bough.manager import ConversationBranchManager
from bough.stores import open_store
from bough.stores.base import Store
from bough.stores.memory import MemoryStore
from bough.testing.contract import StoreFactory


@pytest.fixture(params=["memory", "json", "sqlite"])
def store_factory(request: pytest.FixtureRequest, tmp_path: Path) -> StoreFactory:
    if request.param == "memory":
        memory = MemoryStore()
        return lambda: memory
    return lambda: open_store(f"{request.param}:{tmp_path / 'store'}")


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
