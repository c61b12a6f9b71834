"""Proof for stores: the promises of :mod:`bough.stores.base` as tests that anyone can run on a store of their own.

- :mod:`bough.testing.contract`: one test class, a test or more for each numbered promise and for each error.
- :mod:`bough.testing.machine`: a Hypothesis state machine that runs random verbs on a store, on the memory store and
  on plain lists, and compares all that can be seen after each step.

Needs pytest and Hypothesis; nothing else in Bough imports either.

    from bough.testing.contract import StoreContract

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store_factory(self, tmp_path):
            return lambda: MyStore(tmp_path)
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    "bough.testing.contract", "bough.testing.contract_graft", "bough.testing.contract_upkeep", "bough.testing.machine"
)
