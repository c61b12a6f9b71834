"""Append, replace, pick, squash and interleave, against lists of messages."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from merge_kit import Identity, Reader, Trio, Wording, changed, held, identity, merged, new, plain, side, trios

from bough import diff, history
from bough.diff import Side
from bough.errors import InvalidRequestError
from bough.merge import STRATEGIES, Sides, append, interleave, pick, replace, squash
from bough.merge.interleave import message_time
from bough.model import History, Message, Piece


def missing(target: list[Wording], source: list[Wording]) -> list[Identity]:
    known = {first for _, first in target}
    return [message for message, first in source if first not in known]


@given(trios())
def test_append_adds_what_is_missing_in_any_wording(trio: Trio) -> None:
    target, source, _ = trio
    after = merged(append, side(target), side(source))
    assert held(after) == [message for message, _ in target] + missing(target, source)
    assert merged(append, after, side(source)) == after


@given(trios())
def test_replace_takes_the_source(trio: Trio) -> None:
    target, source = map(side, trio[:2])
    assert merged(replace, target, source) == source


@given(st.lists(changed(new("m0", "m1", "m2"), "s").map(side), min_size=3, max_size=3))
def test_unedited_branches_appended_in_any_order_hold_the_same(branches: list[Side]) -> None:
    plain_branches = [Side(branch.history) for branch in branches]
    found = set()
    for order in permutations(plain_branches):
        target = Side()
        for source in order:
            target = merged(append, target, source)
        found.add(frozenset(held(target)))
    assert len(found) == 1


def test_an_edited_message_does_not_come_back_in_its_old_wording() -> None:
    edited, old, newer = side(new("m0", "t0=m1")), side(new("m0", "m1", "m2")), side(new("s0=m1"))
    assert held(merged(append, edited, old)) == [("m", 0), ("t", 0), ("m", 2)]
    assert merged(append, old, edited) == old
    assert merged(append, edited, newer) == edited


@given(trios(), st.data())
def test_pick_takes_only_what_was_chosen_once_in_that_order(trio: Trio, data: st.DataObject) -> None:
    target, source, _ = trio
    size = len(source)
    chosen: list[int | range] = data.draw(
        st.lists(
            st.sampled_from([*range(size)] or [range(0)])
            | st.builds(range, st.integers(0, size), st.integers(0, size), st.sampled_from([1, 2])),
            max_size=4,
        )
    )
    indexes = [at for item in chosen for at in (item if isinstance(item, range) else [item])]
    expected = missing(target, [source[at] for at in dict.fromkeys(indexes)])
    after = merged(pick(chosen), side(target), side(source))
    assert held(after) == [message for message, _ in target] + expected
    assert merged(pick(chosen), after, side(source)) == after


def test_pick_of_a_history_takes_only_what_the_source_holds() -> None:
    target, source = side(new("t0")), Side((Piece("s", 0, 9), Piece("m", 0, 1)))
    wanted = (Piece("m", 0, 1), Piece("s", 2, 4), Piece("s", 3, 5))
    assert merged(pick(wanted), target, source).history == (
        Piece("t", 0, 1),
        Piece("m", 0, 1),
        Piece("s", 2, 5),
    )
    for outside in ((Piece("s", 8, 10),), (Piece("q", 0, 1),)):
        with pytest.raises(InvalidRequestError):
            merged(pick(outside), target, source)


@pytest.mark.parametrize("outside", [-1, 3, range(2, 4), range(-1, 2), range(3, 1, -1), range(0, 5, 2)])
def test_pick_refuses_indexes_outside(outside: int | range) -> None:
    with pytest.raises(InvalidRequestError):
        merged(pick([outside]), Side(), side(new("m0", "m1", "m2")))


def test_pick_of_both_wordings_takes_both() -> None:
    assert held(merged(pick([range(2)]), Side(), side(new("t0=m0", "m0")))) == [("t", 0), ("m", 0)]


def sides(target: list[Wording], source: list[Wording], **more: Any) -> Sides:
    return Sides(target=side(target), source=side(source), **{"read": Reader(), **more})


def test_squash_makes_one_message_of_what_is_missing() -> None:
    reader = Reader()
    both = sides(new("m0", "t0=m1"), new("m0", "m1", "m2", "m3"), read=reader)
    summary: Message = {"role": "assistant", "content": "what they said"}
    assert plain(squash("what they said")(both)) == [("m", 0), ("t", 0), summary]
    assert plain(squash("so", role="system")(both))[-1] == {"role": "system", "content": "so"}
    assert reader.asked == []
    assert plain(squash(lambda messages: str(len(messages)), role="user")(both))[-1] == {"role": "user", "content": "2"}
    assert plain(squash(lambda messages: {"first": messages[0]})(both))[-1] == {"first": {"content": "m2"}}
    assert reader.asked == [(Piece("m", 2, 4),)] * 2


def test_squash_leaves_out_what_was_squashed_in_any_wording_but_append_does_not() -> None:
    target, source = new("m0", "q0"), new("m0", "s0=m1", "m2")
    done: History = (Piece("m", 1, 3),)
    assert plain(squash("again")(sides(target, source, squashed=done))) == [("m", 0), ("q", 0)]
    assert plain(squash("again")(sides(target, source, squashed=done[:0]))) != [("m", 0), ("q", 0)]
    assert plain(append(sides(target, source, squashed=done))) == [("m", 0), ("q", 0), ("s", 0), ("m", 2)]
    grown = sides(target, [*source, *new("m3")], squashed=done, read=(reader := Reader()))
    assert plain(squash(lambda found: {"n": len(found)})(grown))[-1] == {"n": 1}
    assert reader.seen == [("m", 3)]


def test_the_strategies_that_have_a_name() -> None:
    assert list(STRATEGIES) == ["append", "replace", "interleave", "three-way"]
    for name in ("append", "replace"):
        reader = Reader()
        list(STRATEGIES[name](sides(new("m0", "t0"), new("m0", "s0"), read=reader)))
        assert reader.asked == []


# -- interleave ------------------------------------------------------------------------------------------------------

MINUTE = 60.0


def timed(**times: float | str | None) -> Reader:
    """``t0=5``: message 0 of segment t has that time; None and what is not named have none."""
    return Reader({identity(name): {"time": time} for name, time in times.items() if time is not None})


@pytest.mark.parametrize(
    ("target", "source", "reader", "afterwards"),
    [
        ("m0 t0 t1", "m0 s0 s1", timed(m0=9, t0=1, t1=3, s0=2, s1=4), "m0 t0 s0 t1 s1"),
        ("m0 t0 t1", "m0 s0 s1", timed(t0=1, t1=1, s0=1, s1=0), "m0 t0 t1 s0 s1"),  # equal times; each in its order
        ("m0 t0 t1", "m0 s0 s1", timed(t0=1, t1=3, s0=2), "m0 t0 s0 s1 t1"),  # s1 stays behind s0
        ("m0 t0 t1", "m0 s0 s1", timed(t0=2, s0=1, s1=3), "m0 s0 t0 t1 s1"),  # t1 behind t0
        ("m0 t0 t1", "m0 s0 s1", timed(t0=2, t1=4, s1=3), "m0 s0 t0 s1 t1"),  # s0 behind m0
        ("m0 t0 t1", "m0 s0 s1", timed(t0=2, t1=4), "m0 t0 t1 s0 s1"),  # only one side has times
        ("m0 t0 t1", "m0 s0 s1", timed(s0=2, s1=4), "m0 t0 t1 s0 s1"),
        ("m0 t0 t1", "m0 s0 s1", timed(), "m0 t0 t1 s0 s1"),
        ("m0 x0 t0", "m0 s0 x0 s1", timed(x0=5, t0=7, s0=6), "m0 x0 s0 s1 t0"),  # s1 behind x0, which is there already
        ("m0 t0=m1 t1", "m0 m1 s0", timed(t0=9, m1=9, t1=3, s0=2), "m0 t0 s0 t1"),  # the edited one is common
        ("m0 t0", "m0 s0 s0", timed(t0=2, s0=1), "m0 s0 t0"),
        ("m0 t0", "m0", timed(), "m0 t0"),
        ("", "s0", timed(s0=2), "s0"),
    ],
)
@pytest.mark.parametrize("block", [1, 2, 1000])
def test_rows_of_interleave(
    target: str, source: str, reader: Reader, afterwards: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diff, "BLOCK", block)
    found = plain(interleave(sides(new(*target.split()), new(*source.split()), read=reader)))
    assert found == [identity(name) for name in afterwards.split()]
    assert all(history.length(pieces) <= block for pieces in reader.asked)


TIMES = st.dictionaries(st.tuples(st.sampled_from("mbxts"), st.integers(0, 5)), st.integers(0, 4))


def interleaved(target: list[Wording], source: list[Wording], times: dict[Identity, int]) -> list[Identity]:
    """Independently: every message gets a time, then the earlier head of two queues goes first."""
    shared = 0
    while shared < min(len(target), len(source)) and target[shared][1] == source[shared][1]:
        shared += 1

    def rest(branch: list[Wording]) -> list[tuple[float, Identity]]:
        found: list[tuple[float, Identity]] = []
        time = -1
        for message, _ in branch[shared:]:
            time = times.get(message, time)
            found.append((time, message))
        return found

    ours, theirs = rest(target), rest(source)
    has_no_time = all(time == -1 for time, _ in theirs)
    wanted = missing(target, source)
    theirs = [(time, message) for time, message in theirs if message in wanted]
    out = [message for message, _ in target[:shared]]
    while ours or theirs:
        from_target = not theirs or (bool(ours) and (has_no_time or ours[0][0] <= theirs[0][0]))
        out.append((ours if from_target else theirs).pop(0)[1])
    return out


@given(trios(), TIMES)
def test_interleave_agrees_with_two_queues_and_changes_nothing_twice(trio: Trio, times: dict[Identity, int]) -> None:
    target, source, _ = trio
    reader = Reader({message: {"timestamp": time} for message, time in times.items()})
    after = merged(interleave, side(target), side(source), read=reader)
    assert held(after) == interleaved(target, source, times)
    reader.asked.clear()
    assert merged(interleave, after, side(source), read=reader) == after
    assert reader.asked == []


def test_interleave_reads_neither_the_common_beginning_nor_more_of_the_target_than_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(diff, "BLOCK", 10)
    reader = timed(s0=1, t0=2)
    both = Sides(
        target=Side((Piece("m", 0, 10**9), Piece("t", 0, 10**9))),
        source=Side((Piece("m", 0, 10**9), Piece("s", 0, 1))),
        read=reader,
    )
    assert interleave(both) == (Piece("m", 0, 10**9), Piece("s", 0, 1), Piece("t", 0, 10**9))
    assert {segment for segment, _ in reader.seen} == {"s", "t"}
    assert len(reader.seen) < 30


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ({"timestamp": "1970-01-01T00:01:00Z"}, MINUTE),
        ({"created_at": "1970-01-01T01:01:00+01:00"}, MINUTE),
        ({"createdAt": 60}, MINUTE),
        ({"time": 1_700_000_000_000}, 1_700_000_000.0),
        ({"date": 1_700_000_000}, 1_700_000_000.0),
        ({"time": -5.5}, -5.5),
        ({"time": 99_999_999_999}, 99_999_999_999.0),
        ({"time": 100_000_000_000}, 100_000_000.0),
        ({"time": 10**400}, None),
        ({"time": 10**15}, None),
        ({"time": True}, None),
        ({"time": "yesterday"}, None),
        ({"time": "2026-01-01T00:00:00"}, None),
        ({"time": None, "date": 60}, MINUTE),
        ({"timestamp": "soon", "created_at": 60, "date": 1}, MINUTE),
        ({"content": "60"}, None),
    ],
)
def test_the_time_of_a_message(message: Message, seconds: float | None) -> None:
    assert message_time(message) == seconds
