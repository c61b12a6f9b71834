"""What only the memory store does. The contract runs in test_contract.py."""

from __future__ import annotations

import pytest

from bough.changes import change, put_again
from bough.errors import InvalidRequestError
from bough.model import Tip, replace
from bough.stores import open_store
from bough.stores.memory import MemoryStore
from bough.testing.contract import SESSION, begin, said


def test_two_stores_share_nothing() -> None:
    first, second = open_store("memory:"), open_store("memory:")
    begin(first)
    assert (first.url, second.url) == ("memory:", "memory:")
    assert (first.sessions(), second.sessions()) == ([SESSION], [])


@pytest.mark.parametrize(("next_place", "messages"), [(1, []), (2, ["x"]), (4, ["x"])])
def test_a_put_that_would_give_a_place_out_twice_or_leave_a_hole_is_refused(
    next_place: int, messages: list[str]
) -> None:
    store = MemoryStore()
    record = begin(store, "one", "two")
    put = put_again(record, tip=Tip(record.tip.segment, next_place))
    with pytest.raises(InvalidRequestError):
        store.commit(SESSION, change("set", replace(put, messages=said(*messages))))
    assert store.load(SESSION).branches["main"] == record
