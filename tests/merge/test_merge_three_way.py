"""Three-way, row by row, then against an oracle that knows single messages only: the numbers are its rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from merge_kit import Identity, Reader, Wording, changed, held, identity, merged, new, plain, side, trios

from bough.diff import Side
from bough.errors import InvalidRequestError
from bough.merge import STRATEGIES, Conflict, Conflicts, NewMessage, Sides, three_way
from bough.merge.three_way import Resolution
from bough.model import Edit, Message, Piece


def settle(target: str, source: str, base: str, resolve: Resolution = None, reader: Reader | None = None) -> str:
    """The target afterwards; all three are written as in ``new``, with spaces."""
    sides = Sides(
        target=side(new(*target.split())),
        source=side(new(*source.split())),
        base=side(new(*base.split())),
        read=reader or Reader(),
    )
    parts = three_way(lambda _: resolve)(sides)
    return " ".join(part["content"] if isinstance(part, dict) else f"{part[0]}{part[1]}" for part in plain(parts))


@pytest.mark.parametrize(
    ("target", "source", "afterwards"),
    [
        ("m0 m1 m2", "m0 m1 m2", "m0 m1 m2"),
        ("m0 m1 m2", "m0 m2", "m0 m2"),  # only the source removed it
        ("m0 m2", "m0 m1 m2", "m0 m2"),  # only the target did
        ("m0 m2", "m0 m2", "m0 m2"),  # both did
        ("m0 m1 m2", "m0 s0=m1 m2", "m0 s0 m2"),  # only the source edited it
        ("m0 t0=m1 m2", "m0 m1 m2", "m0 t0 m2"),  # only the target did
        ("m0 x0=m1 m2", "m0 x0=m1 m2", "m0 x0 m2"),  # both hold the same edit
        ("m0 t0 m1 m2", "m0 m1 m2", "m0 t0 m1 m2"),  # only the target added
        ("m0 m1 m2", "m0 s0 m1 m2", "m0 s0 m1 m2"),  # only the source did
        ("m0 x0 m1 m2", "m0 x0 m1 m2", "m0 x0 m1 m2"),  # both hold the same addition
        ("m0 m1 m2 x0", "m0 x0 m1 m2", "m0 m1 m2 x0"),  # at two places: the target's order stands
        ("m0 x0 m1 m2", "m0 s0=x0 m1 m2", "m0 s0 m1 m2"),  # an addition, edited by the source alone
        ("m0 t0=x0 m1 m2", "m0 x0 m1 m2", "m0 t0 m1 m2"),  # or by the target alone
    ],
)
def test_what_is_no_conflict(target: str, source: str, afterwards: str) -> None:
    reader = Reader()
    assert settle(target, source, "m0 m1 m2", reader=reader) == afterwards
    assert reader.asked == []


@pytest.mark.parametrize(
    ("target", "source", "afterwards"),
    [
        ("m0 m1 m2 t0 t1", "m0 m1 m2 s0 s1", "m0 m1 m2 t0 t1 s0 s1"),
        ("t0 m0 m1 m2", "s0 s1 m0 m1 m2", "t0 s0 s1 m0 m1 m2"),
        ("m0 m2 t0", "m0 m1 s0 m2", "m0 s0 m2 t0"),  # what precedes it is gone: the nearest that is there
        ("m0 t0 m2", "m0 m1 s0 m2", "m0 t0 s0 m2"),
        ("m0 m1 m2", "s0 m1 m2", "s0 m1 m2"),  # what precedes nothing comes first
        ("m2 m1 m0", "m0 s0 m1 m2", "m2 m1 m0 s0"),
        ("m0 m1 t0 m2", "m0 s0 m2", "m0 t0 s0 m2"),  # the source took away what stood between
        ("t0", "", "t0"),
        ("", "s0", "s0"),
    ],
)
def test_rule_1_additions_come_behind_what_precedes_them(target: str, source: str, afterwards: str) -> None:
    assert settle(target, source, "m0 m1 m2") == afterwards


@pytest.mark.parametrize(
    ("target", "source", "answers"),
    [
        ("m0 t0=m1 m2", "m0 s0=m1 m2", ("m0 t0 m2", "m0 s0 m2", "m0 t0 s0 m2", "m0 new m2")),
        ("m0 t0=m1 m2", "m0 m2", ("m0 t0 m2", "m0 m2", "m0 t0 m2", "m0 new m2")),
        ("m0 m2", "m0 s0=m1 m2", ("m0 m2", "m0 s0 m2", "m0 s0 m2", "m0 new m2")),
    ],
)
def test_each_answer_to_each_conflict(target: str, source: str, answers: tuple[str, ...]) -> None:
    choices: list[Resolution] = ["ours", "theirs", "both", {"content": "new"}]
    for answer, afterwards in zip(choices, answers, strict=True):
        assert settle(target, source, "m0 m1 m2", answer) == afterwards
    with pytest.raises(Conflicts):
        settle(target, source, "m0 m1 m2", None)


def test_an_addition_that_both_edited_is_measured_by_its_first_wording() -> None:
    with pytest.raises(Conflicts) as raised:
        settle("m0 t0=x0", "m0 s0=x0", "m0")
    [conflict] = raised.value.conflicts
    assert (conflict.kind, conflict.ancestor, conflict.ancestor_id) == ("edit/edit", {"content": "x0"}, ("x", 0))


def test_a_conflict_says_everything_about_itself() -> None:
    target = side(new("t9", "m0", "t0=m1", "m2", "t1=m3"))
    source = side(new("m0", "s0=m1", "s1=m2"))
    base = side(new("m0", "b0=m1", "m2", "m3"))
    target = Side((*target.history[:-2], target.history[-1]), target.edits)  # without m2
    with pytest.raises(Conflicts) as raised:
        three_way()(Sides(target=target, source=source, base=base, read=Reader()))
    assert raised.value.conflicts == (
        Conflict(
            kind="edit/edit",
            index=2,
            original=("m", 1),
            ours={"content": "t0"},
            theirs={"content": "s0"},
            ancestor={"content": "b0"},
            ours_id=("t", 0),
            theirs_id=("s", 0),
            ancestor_id=("b", 0),
        ),
        Conflict(
            kind="edit/remove",
            index=3,
            original=("m", 3),
            ours={"content": "t1"},
            theirs=None,
            ancestor={"content": "m3"},
            ours_id=("t", 1),
            theirs_id=None,
            ancestor_id=("m", 3),
        ),
        Conflict(
            kind="remove/edit",
            index=3,
            original=("m", 2),
            ours=None,
            theirs={"content": "s1"},
            ancestor={"content": "m2"},
            ours_id=None,
            theirs_id=("s", 1),
            ancestor_id=("m", 2),
        ),
    )


def test_equal_edits_are_no_conflict_and_the_ancestor_may_be_gone() -> None:
    same: dict[Identity, Message] = {("t", 0): {"content": 1}, ("s", 0): {"content": 1}, ("s", 1): {"content": True}}
    reader = Reader(same, gone={("m", 1), ("m", 2)})
    assert settle("m0 t0=m1", "m0 s0=m1", "m0 m1", reader=reader) == "m0 t0"
    assert sorted(reader.seen) == [("s", 0), ("t", 0)]
    with pytest.raises(Conflicts) as raised:
        settle("m0 t0=m1 t1=m3 t2=m2", "m0 s1=m1 s3=m3 s2=m2", "m0 m1 m2 m3", reader=reader)
    assert [conflict.ancestor for conflict in raised.value.conflicts] == [None, {"content": "m3"}, None]
    assert ("m", 0) not in reader.seen


def test_only_what_nobody_settled_is_raised() -> None:
    def resolve(conflict: Conflict) -> Resolution:
        return "theirs" if conflict.original == identity("m0") else None

    sides = Sides(
        target=side(new("t0=m0", "t1=m1")),
        source=side(new("s0=m0", "s1=m1")),
        base=side(new("m0", "m1")),
        read=Reader(),
    )
    with pytest.raises(Conflicts) as raised:
        three_way(resolve)(sides)
    assert [conflict.original for conflict in raised.value.conflicts] == [("m", 1)]
    assert plain(three_way("theirs")(sides)) == [("s", 0), ("s", 1)]


def test_a_message_as_answer_takes_the_place_of_the_first_wording() -> None:
    sides = Sides(target=side(new("t0=m0")), source=side(new("s0=m0")), base=side(new("b0=m0")), read=Reader())
    assert three_way(lambda _: {"content": "new"})(sides) == [NewMessage({"content": "new"}, ("m", 0))]


@pytest.mark.parametrize("answer", ["mine", 5, ""])
def test_an_answer_that_is_none_is_refused(answer: object) -> None:
    with pytest.raises(InvalidRequestError):
        settle("t0=m0", "s0=m0", "m0", answer)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError):
        three_way(answer)  # type: ignore[arg-type]


def test_without_a_base_it_is_the_common_beginning() -> None:
    sides = Sides(target=side(new("m0", "m1", "t0")), source=side(new("m0", "m2", "t0")), read=Reader())
    assert plain(STRATEGIES["three-way"](sides)) == [("m", 0), ("m", 1), ("m", 2), ("t", 0)]


def test_edits_that_an_old_log_does_not_tell_of_are_taken_from_the_sides() -> None:
    branch = side(new("e0=m0", "m1"))
    base = Side((Piece("e", 0, 1), Piece("m", 1, 2)))
    edited = side(new("s0=m0", "m1"))
    assert merged(three_way(), branch, edited, base=base).history == edited.history


def oracle(target: list[Wording], source: list[Wording], base: list[Wording], answer: str) -> list[Identity]:
    """The truth table and the rule of places, on single messages, none of which any side holds twice."""
    ours, theirs, was = ({first: message for message, first in branch} for branch in (target, source, base))
    became: dict[Identity, list[Identity]] = {}
    for first in ours.keys() | theirs.keys():
        mine, its = ours.get(first), theirs.get(first)
        old = was.get(first) or (first if mine and its else None)
        if mine == its or its == old:
            became[first] = [mine] if mine else []
        elif mine == old:
            became[first] = [its] if its else []
        else:
            both = {"ours": [mine], "theirs": [its], "both": [mine, its]}[answer]
            became[first] = [wording for wording in both if wording]
    result = [first for _, first in target if became[first]]
    alone = {first for _, first in target if first not in theirs and first not in was}
    for number, (_, first) in enumerate(source):
        if first in ours or not became[first]:
            continue
        earlier = [known for _, known in source[:number] if known in result]
        at = result.index(earlier[-1]) + 1 if earlier else 0
        while at < len(result) and result[at] in alone:
            at += 1
        result.insert(at, first)
    return [wording for first in result for wording in became[first]]


@given(trios(), st.sampled_from(["ours", "theirs", "both"]))
def test_any_three_branches_agree_with_the_oracle(
    trio: tuple[list[Wording], list[Wording], list[Wording]], answer: str
) -> None:
    target, source, base = map(side, trio)
    result = merged(three_way(answer), target, source, base=base)  # type: ignore[arg-type]
    assert held(result) == oracle(*trio, answer)


@given(trios(), st.sampled_from(["ours", "theirs", "both"]), st.data())
def test_rule_2_what_was_settled_stays_settled(
    trio: tuple[list[Wording], list[Wording], list[Wording]], answer: str, data: st.DataObject
) -> None:
    target, source, base = map(side, trio)
    settled = merged(three_way(answer), target, source, base=base)  # type: ignore[arg-type]
    assert merged(three_way(), settled, source, base=source) == settled
    more = new(*(f"z{number}" for number in range(data.draw(st.integers(0, 3)))))
    grown = side([*trio[1], *more])
    after = merged(three_way(), settled, grown, base=source)
    assert sorted(held(after)) == sorted([*held(settled), *(message for message, _ in more)])
    assert [message for message in held(after) if message[0] != "z"] == held(settled)


def test_an_edit_of_the_one_of_two_wordings_that_both_kept_replaces_just_that() -> None:
    assert settle("t0=m0 s0=m0", "s1=m0", "s0=m0") == "t0 s1"


@given(st.data())
def test_rule_2_holds_for_any_histories(data: st.DataObject) -> None:
    """Also for those that hold a message twice."""
    runs = st.lists(st.sampled_from(new("m0", "m1", "m2", "e0=m0", "e1=m1", "e2=m0")), max_size=6)
    target, source = side(data.draw(runs)), side(data.draw(runs))
    assert merged(three_way(), target, source, base=source) == target
    assert sorted(held(merged(three_way(), target, source, base=target))) == sorted(held(source))


@given(st.data())
def test_rule_3_only_messages_in_conflict_are_read(data: st.DataObject) -> None:
    base = new("m0", "m1", "m2", "m3")
    ours, theirs = (data.draw(changed(base, segment)) for segment in "ts")
    reader = Reader()
    sides = Sides(target=side(ours), source=side(theirs), base=side(base), read=reader)
    try:
        three_way()(sides)
        assert reader.asked == []
    except Conflicts as raised:
        wanted = [
            place
            for conflict in raised.conflicts
            for place in (conflict.ours_id, conflict.theirs_id, conflict.ancestor_id)
            if place
        ]
        assert sorted(reader.seen) == sorted(wanted)
        assert len(reader.asked) == 2


def test_a_thousand_million_messages_cost_no_more_than_ten() -> None:
    def parts(size: int) -> int:
        base = Side((Piece("m", 0, size),))
        ours = Side((Piece("m", 0, 3), Piece("t", 0, size), Piece("m", 4, size)))
        theirs = Side((Piece("s", 0, 1), Piece("m", 1, size), Piece("s", 1, size)), (Edit("s", 0, "m", 0),))
        return len(list(three_way()(Sides(target=ours, source=theirs, base=base, read=Reader()))))

    assert parts(10) == parts(10**9)
