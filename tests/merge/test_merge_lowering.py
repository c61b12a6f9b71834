"""From parts to the change of one record."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from merge_kit import Reader, Trio, side, trios

from bough import codec
from bough.diff import Side
from bough.errors import InvalidMessageError
from bough.merge import NewMessage, Part, Sides, append, lower, three_way
from bough.model import BranchRecord, Edit, History, Piece, Put, Tip

AT = codec.parse_time("2026-11-20T10:00:00.000Z")


def record(pieces: History, edits: tuple[Edit, ...] = (), next_position: int = 5) -> BranchRecord:
    return BranchRecord(
        id="main", name="Main", history=pieces, tip=Tip("t", next_position), created_at=AT, updated_at=AT, edits=edits
    )


def lowered(parts: list[Any], target: BranchRecord, source: Side | None = None, base: Side | None = None) -> Put | None:
    sides = Sides(target=Side(target.history, target.edits), source=source or Side(), base=base, read=Reader())
    return lower(parts, target, sides)


def test_new_messages_take_the_next_positions_of_the_tip() -> None:
    target = record((Piece("m", 0, 2), Piece("t", 0, 5)))
    put = lowered([Piece("m", 0, 2), {"a": 1}, Piece("t", 0, 5), {"b": 2}, NewMessage({"c": 3}, ("m", 1))], target)
    assert put is not None
    assert put.record.history == (
        Piece("m", 0, 2),
        Piece("t", 5, 6),
        Piece("t", 0, 5),
        Piece("t", 6, 8),
    )
    assert put.record.tip == Tip("t", 8)
    assert put.messages == [b'{"a":1}', b'{"b":2}', b'{"c":3}']
    assert put.record.edits == (Edit("t", 7, "m", 1),)
    assert put.expected == target.version
    assert (put.record.name, put.record.created_at) == ("Main", AT)
    assert put.record.updated_at > AT


def test_nothing_is_put_where_nothing_changes() -> None:
    edits = (Edit("t", 1, "m", 0),)
    target = record((Piece("t", 0, 5),), edits)
    assert lowered([Piece("t", 0, 2), Piece("t", 2, 2), Piece("t", 2, 5)], target) is None
    assert lowered([Piece("t", 0, 4)], target) is not None
    put = lowered([Piece("t", 0, 5)], target, Side((), (Edit("t", 2, "m", 1),)))
    assert put is not None
    assert put.record.edits == (*edits, Edit("t", 2, "m", 1))


def test_edits_are_kept_of_what_is_held_whoever_knew_of_them() -> None:
    target = record((Piece("t", 0, 2),), (Edit("t", 0, "m", 0), Edit("t", 1, "m", 1)))
    source = Side((Piece("s", 0, 2),), (Edit("s", 0, "m", 2), Edit("s", 1, "m", 3)))
    base = Side((Piece("b", 0, 1),), (Edit("b", 0, "m", 4),))
    put = lowered([Piece("t", 1, 2), Piece("s", 0, 1), Piece("b", 0, 1)], target, source, base)
    assert put is not None
    assert put.record.edits == (Edit("b", 0, "m", 4), Edit("s", 0, "m", 2), Edit("t", 1, "m", 1))


def test_a_message_that_json_cannot_say_is_named_by_its_index() -> None:
    with pytest.raises(InvalidMessageError) as raised:
        lowered([Piece("m", 0, 7), {"fine": 1}, {"bad": float("nan")}], record(()))
    assert (raised.value.index, raised.value.path) == (8, ".bad")


@pytest.mark.parametrize("part", [("m", 0, 1), "text", 5, None])
def test_what_is_no_part_is_refused(part: object) -> None:
    with pytest.raises(InvalidMessageError):
        lowered([part], record(()))


@given(trios(), st.sampled_from(["ours", "theirs", "both"]))
def test_what_a_strategy_made_is_made_only_once(trio: Trio, answer: Any) -> None:
    target, source, base = map(side, trio)
    before = record(target.history, target.edits)
    for strategy, known in ((append, None), (three_way(lambda _: {"settled": answer}), base)):
        sides = Sides(target=target, source=source, base=known, read=Reader())
        put = lower(strategy(sides), before, sides)
        after = put.record if put else before
        again = Sides(target=Side(after.history, after.edits), source=source, base=known and source, read=Reader())
        assert lower(strategy(again), after, again) is None


def test_a_strategy_may_be_a_generator() -> None:
    def everything(sides: Sides) -> Any:
        yield from sides.target.history
        yield from sides.source.history

    parts: list[Part] = list(everything(Sides(target=Side(), source=Side((Piece("s", 0, 3),)), read=Reader())))
    put = lowered(parts, record(()))
    assert put is not None
    assert put.record.history == (Piece("s", 0, 3),)
