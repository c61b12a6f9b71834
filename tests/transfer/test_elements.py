"""The elements of a JSON array, whatever stands where its chunks end."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bough.codec import decode_value
from bough.transfer import elements as module
from bough.transfer.elements import Torn, elements

AWKWARD: list[Any] = [
    {"a": [1, {"b": "]}"}], "c": '\\"[{'},
    {"\\": "\\\\", 'q"': "é\u2028\n\t\\n[", "": {}},
    [],
    [[["}"]], "x"],
    {"last": 'ends in a backslash \\ and a quote "'},
]


def taken(data: bytes) -> tuple[list[bytes], str]:
    """The elements, and why there are no more of them."""
    found: list[bytes] = []
    try:
        for _, element in elements(io.BytesIO(data)):
            found.append(element)
    except Torn as error:
        return found, str(error)
    return found, ""


@pytest.mark.parametrize("indent", [None, 2])
def test_borders_of_chunks_mean_nothing(monkeypatch: pytest.MonkeyPatch, indent: int | None) -> None:
    data = json.dumps(AWKWARD, indent=indent, ensure_ascii=False).encode()
    for size in range(1, len(data) + 2):
        monkeypatch.setattr(module, "CHUNK", size)
        found, reason = taken(data)
        assert [decode_value(each) for each in found] == AWKWARD
        assert reason == ""


JSON = st.recursive(
    st.text('"\\[]{}, né\n', max_size=6) | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('"\\{]', max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text('"\\{]a', max_size=3), JSON, max_size=3), max_size=5), st.integers(1, 40))
def test_any_objects_come_out_as_they_stand(values: list[dict[str, Any]], size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", size)
        found, reason = taken(json.dumps(values).encode())
    assert [decode_value(each) for each in found] == values
    assert reason == ""


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_cut_at_every_byte_the_whole_ones_come_out_and_the_rest_is_told(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(module, "CHUNK", size)
    data = json.dumps(AWKWARD).encode()
    before = 0
    for stop in range(1, len(data)):
        found, reason = taken(data[:stop])
        assert reason in ("the file ends before its list does", "the file ends inside a string")
        assert [decode_value(each) for each in found] == AWKWARD[: len(found)]
        assert before <= len(found) <= before + 1
        before = len(found)
    assert before == len(AWKWARD)


def test_scalars_come_out_too_so_that_they_can_be_refused() -> None:
    assert taken(b'[1, {"a": 1}, "x", [2], null ]') == ([b"1", b'{"a": 1}', b'"x"', b"[2]", b"null"], "")
    assert taken(b"[ ]") == ([], "")


def test_a_broken_element_costs_itself() -> None:
    assert taken(b'[{"a": }, {"b": 1}]') == ([b'{"a": }', b'{"b": 1}'], "")


def test_what_stands_behind_the_end_is_told() -> None:
    """Also where a wrong bracket only looks like the end."""
    assert taken(b'[{"a": 1}] \n ') == ([b'{"a": 1}'], "")
    for data in (b'[{"a": 1}], {"b": 2}', b'[{"a": 1]}, {"b": 2}]'):
        assert taken(data)[1] == "more stands behind the end of the list"


def test_a_huge_string_is_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are read do not grow with the square of the string's length."""
    monkeypatch.setattr(module, "CHUNK", 64)
    asked: list[int] = []

    class Counting(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            asked.append(1)
            return super().read(size)

    value = {"text": '\\"' * 500_000}
    [(_, found)] = elements(Counting(json.dumps([value]).encode()))
    assert decode_value(found) == value
    assert len(asked) < 40


def test_an_element_beyond_the_limit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 10)
    monkeypatch.setattr(module, "MAX_ELEMENT", 100)
    assert taken(json.dumps([{"a": 1}, {"b": "x" * 1000}]).encode()) == (
        [b'{"a": 1}'],
        "an element is longer than 100 bytes",
    )


def test_memory_holds_an_element_and_not_the_file() -> None:
    count, size = 400, 50_000

    class Endless(io.RawIOBase):
        def __init__(self) -> None:
            self.parts: Iterator[bytes] = iter([b"[", *[json.dumps({"a": "x" * size}).encode() + b","] * count, b"{}]"])

        def read(self, size: int = -1) -> bytes:
            return next(self.parts, b"")

    tracemalloc.start()
    try:
        found = sum(1 for _ in elements(Endless()))  # type: ignore[arg-type, misc]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == count + 1
    assert peak < count * size / 20
