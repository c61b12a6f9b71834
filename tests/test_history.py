"""The algebra against plain lists of identities: each function of ``bough.history`` is one list operation."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bough import history as algebra
from bough.model import History, Piece

Identity = tuple[str, int]

any_pieces = st.lists(
    st.builds(
        lambda segment, start, size: Piece(segment, start, start + size),
        st.sampled_from("abc"),
        st.integers(0, 12),
        st.integers(0, 6),
    ),
    max_size=8,
)
histories = any_pieces.map(algebra.normalise)


def identities(pieces: Iterable[Piece]) -> list[Identity]:
    return [(piece.segment, position) for piece in pieces for position in range(piece.start, piece.stop)]


def compressed(wanted: list[Identity]) -> History:
    """The only normal form of a list, made independently of ``normalise``."""
    out: list[Piece] = []
    for segment, position in wanted:
        if out and out[-1][0] == segment and out[-1][2] == position:
            out[-1] = Piece(segment, out[-1].start, position + 1)
        else:
            out.append(Piece(segment, position, position + 1))
    return tuple(out)


@st.composite
def related(draw: st.DrawFn) -> tuple[History, History]:
    """Two histories that share a beginning and an end, as branches do; unrelated ones hardly ever share any. Where what
    is between is a part of one piece, their pieces differ in length only."""
    head, mine, other, tail = (draw(histories) for _ in range(4))
    if draw(st.booleans()):
        whole = identities(head)
        start, stop = draw(st.integers(0, len(whole))), draw(st.integers(0, len(whole)))
        return algebra.concat(head, tail), algebra.concat(compressed(whole[:start] + whole[stop:]), tail)
    return algebra.concat(head, mine, tail), algebra.concat(head, other, tail)


@given(any_pieces)
def test_normalise_keeps_the_messages_and_has_one_form_for_each_list(pieces: list[Piece]) -> None:
    assert algebra.normalise(pieces) == compressed(identities(pieces))


@given(histories)
def test_normalise_twice_is_once(history: History) -> None:
    assert algebra.normalise(history) == history


@given(histories)
def test_length(history: History) -> None:
    assert algebra.length(history) == len(identities(history))


@given(histories, st.data())
def test_cut_is_a_slice(history: History, data: st.DataObject) -> None:
    size = algebra.length(history)
    start = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(start, size))
    assert algebra.cut(history, start, stop) == compressed(identities(history)[start:stop])


@given(histories, st.data())
def test_what_is_cut_in_two_is_whole_when_joined(history: History, data: st.DataObject) -> None:
    size = algebra.length(history)
    at = data.draw(st.integers(0, size))
    assert algebra.concat(algebra.cut(history, 0, at), algebra.cut(history, at, size)) == history


@given(st.lists(histories, max_size=4))
def test_concat(parts: list[History]) -> None:
    assert algebra.concat(*parts) == compressed([identity for part in parts for identity in identities(part)])


@given(st.lists(histories, max_size=4))
def test_union_is_a_sorted_set(parts: list[History]) -> None:
    everything = {identity for part in parts for identity in identities(part)}
    assert algebra.union(*parts) == compressed(sorted(everything))


@given(related())
@example(((Piece("a", 0, 5), Piece("b", 0, 3)), (Piece("a", 0, 3), Piece("b", 0, 3))))
def test_common_prefix(pair: tuple[History, History]) -> None:
    left, right = map(identities, pair)
    same = 0
    while same < min(len(left), len(right)) and left[same] == right[same]:
        same += 1
    assert algebra.common_prefix(*pair) == compressed(left[:same])
    assert algebra.common_prefix(*reversed(pair)) == compressed(left[:same])


@given(related())
def test_subtract(pair: tuple[History, History]) -> None:
    left, right = map(identities, pair)
    assert algebra.subtract(*pair) == compressed([identity for identity in left if identity not in right])


@given(related())
def test_a_merge_twice_adds_nothing(pair: tuple[History, History]) -> None:
    target, source = pair
    merged = algebra.concat(target, algebra.subtract(source, target))
    assert set(identities(merged)) == set(identities(target)) | set(identities(source))
    assert algebra.subtract(source, merged) == ()
    assert algebra.subtract(target, merged) == ()


@given(histories)
def test_identity_at_each_index_and_outside(history: History) -> None:
    plain = identities(history)
    assert [algebra.identity(history, index) for index in range(len(plain))] == plain
    for outside in (-1, len(plain)):
        with pytest.raises(IndexError):
            algebra.identity(history, outside)


@given(histories, st.sampled_from("abcd"), st.integers(0, 20))
def test_index_of(history: History, segment: str, position: int) -> None:
    plain = identities(history)
    expected = plain.index((segment, position)) if (segment, position) in plain else None
    assert algebra.index_of(history, segment, position) == expected


@given(related())
def test_starts_with(pair: tuple[History, History]) -> None:
    left, right = map(identities, pair)
    assert algebra.starts_with(*pair) == (left[: len(right)] == right)
    assert algebra.starts_with(pair[0], algebra.common_prefix(*pair))


@given(histories)
def test_offsets_and_piece_at_find_the_piece_of_each_index(history: History) -> None:
    starts = algebra.offsets(history)
    assert len(starts) == len(history) + 1
    found = []
    for index in range(starts[-1]):
        number = algebra.piece_at(starts, index)
        found.append((history[number].segment, history[number].start + index - starts[number]))
    assert found == identities(history)


def lines_run(work: Callable[[], object]) -> int:
    """How many lines of ``bough.history`` run: a measure of work that no busy machine can disturb."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if frame.f_code.co_filename != algebra.__file__:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


OPERATIONS: dict[str, Callable[[History, int], object]] = {
    "normalise": lambda history, _: algebra.normalise(history),
    "length": lambda history, _: algebra.length(history),
    "cut": lambda history, middle: algebra.cut(history, 1, middle),
    "concat": lambda history, middle: algebra.concat(history, algebra.cut(history, 0, middle)),
    "common_prefix": lambda history, middle: algebra.common_prefix(history, algebra.cut(history, 0, middle)),
    "union": lambda history, middle: algebra.union(history, algebra.cut(history, 1, middle)),
    "subtract": lambda history, middle: algebra.subtract(history, algebra.cut(history, 1, middle)),
    "identity": lambda history, middle: algebra.identity(history, middle),
    "index_of": lambda history, middle: algebra.index_of(history, "a", middle),
    "starts_with": lambda history, middle: algebra.starts_with(history, algebra.cut(history, 0, middle)),
    "offsets": lambda history, middle: algebra.piece_at(algebra.offsets(history), middle),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_million_messages_cost_no_more_than_ten(name: str) -> None:
    operation = OPERATIONS[name]
    few, many = (Piece("a", 0, 10),), (Piece("a", 0, 1_000_000),)
    steps = lines_run(lambda: operation(few, 5))
    assert steps > 0
    assert lines_run(lambda: operation(many, 500_000)) == steps


def test_every_function_has_its_cost_tested() -> None:
    functions = {name for name, value in vars(algebra).items() if getattr(value, "__module__", "") == algebra.__name__}
    assert {name for name in functions if not name.startswith("_")} - {"piece_at"} == set(OPERATIONS)


def test_subtraction_of_many_pieces_is_not_quadratic() -> None:
    def steps(pieces: int) -> int:
        even = tuple(Piece("a", 4 * number, 4 * number + 2) for number in range(pieces))
        odd = tuple(Piece("a", 4 * number + 1, 4 * number + 3) for number in range(pieces))
        return lines_run(lambda: algebra.subtract(even, odd))

    assert steps(400) < 2.5 * steps(200)
