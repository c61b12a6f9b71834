"""Every store keeps the contract. The fixture ``store_factory`` of tests/conftest.py runs through all of them."""

from __future__ import annotations

from bough.testing.contract import StoreContract


class TestContract(StoreContract):
    pass
