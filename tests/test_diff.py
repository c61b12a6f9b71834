"""Comparison, against lists of identities: the numbers are the rules of ``bough.diff``."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bough import diff as diffs
from bough import edits, history
from bough.diff import Diff, Hunk, Side, Stat, compare, twins, words
from bough.model import Edit, History, Message, Piece
from test_edits import edit_sets, first, lines_of
from test_history import histories, identities

sides = st.builds(lambda pieces, changed: Side(pieces, edits.kept(pieces, changed)), histories, edit_sets)


@st.composite
def shuffled(draw: st.DrawFn) -> tuple[Side, Side]:
    """Two histories of the same few messages, each at most once, in any order, as runs or alone."""
    runs = draw(st.lists(st.integers(1, 3), min_size=1, max_size=6))
    stops = [sum(runs[: number + 1]) for number in range(len(runs))]
    pieces = [Piece("a", stop - size, stop) for size, stop in zip(runs, stops, strict=True)]
    chosen = (draw(st.lists(st.sampled_from(pieces), unique=True, max_size=6)) for _ in range(2))
    before, after = (history.normalise(each) for each in chosen)
    return Side(before), Side(after)


def longest_common(left: list[tuple[str, int]], right: list[tuple[str, int]]) -> int:
    @cache
    def best(i: int, j: int) -> int:
        if i == len(left) or j == len(right):
            return 0
        if left[i] == right[j]:
            return 1 + best(i + 1, j + 1)
        return max(best(i + 1, j), best(i, j + 1))

    return best(0, 0)


def wordings(side: Side, other: Side) -> list[tuple[str, int]]:
    """First wordings, by what either side knows of edits."""
    changed = {(edit.segment, edit.position): edit for edit in (*other.edits, *side.edits)}
    return first(identities(side.history), tuple(changed.values()))


def size(pieces: History) -> int:
    return history.length(pieces)


@st.composite
def agreeing(draw: st.DrawFn) -> tuple[Side, Side]:
    """Two sides that never contradict each other on what took whose place."""
    changed = draw(edit_sets)
    before, after = draw(histories), draw(histories)
    return Side(before, edits.kept(before, changed)), Side(after, edits.kept(after, changed))


@given(agreeing())
@example((Side((Piece("a", 0, 2),)), Side((Piece("a", 0, 1), Piece("b", 0, 1)), (Edit("b", 0, "a", 1),))))
def test_rule_1_the_hunks_lead_from_one_side_to_the_other(pair: tuple[Side, Side]) -> None:
    before, after = pair
    diff = compare(before, after)
    assert (diff.before, diff.after) == (before.history, after.history)
    index_before = index_after = 0
    for hunk in diff.hunks:
        assert (hunk.index_before, hunk.index_after) == (index_before, index_after)
        index_before += size(hunk.before)
        index_after += size(hunk.after)
        check_kind(hunk, (*before.edits, *after.edits))
    for one, following in pairwise(diff.hunks):
        assert (one.kind, one.moved) != (following.kind, following.moved)
        assert not (one.kind == "added" and following.kind == "removed")


def check_kind(hunk: Hunk, changed: tuple[Edit, ...]) -> None:
    mine, theirs = identities(hunk.before), identities(hunk.after)
    match hunk.kind:
        case "same":
            assert mine == theirs != []
        case "edited":
            assert first(mine, changed) == first(theirs, changed) != []
            assert all(left != right for left, right in zip(mine, theirs, strict=True))
        case "removed":
            assert mine
            assert not theirs
        case "added":
            assert theirs
            assert not mine


@given(agreeing())
def test_what_only_one_side_holds_and_the_numbers(pair: tuple[Side, Side]) -> None:
    before, after = pair
    diff = compare(before, after)
    left, right = wordings(before, after), wordings(after, before)
    assert diff.ancestor == history.common_prefix(before.history, after.history)
    assert identities(diff.only_before) == [
        message for message, known in zip(identities(before.history), left, strict=True) if known not in set(right)
    ]
    assert identities(diff.only_after) == [
        message for message, known in zip(identities(after.history), right, strict=True) if known not in set(left)
    ]
    same, added, removed, edited, moved = diff.stat
    assert same + edited + moved == sum((Counter(left) & Counter(right)).values())
    assert (same + removed + edited + moved, same + added + edited + moved) == (len(left), len(right))
    assert moved == size(diff.moved)
    assert same == sum(size(hunk.before) for hunk in diff.hunks if hunk.kind == "same")


@given(shuffled())
@example((Side((Piece("a", 0, 1), Piece("a", 4, 9))), Side((Piece("a", 4, 9), Piece("a", 0, 1)))))
def test_rule_2_as_many_messages_as_possible_stay(pair: tuple[Side, Side]) -> None:
    before, after = pair
    left, right = identities(before.history), identities(after.history)
    diff = compare(before, after)
    assert diff.stat.same == longest_common(left, right)
    assert set(identities(diff.moved)) == (set(left) & set(right)) - {
        message for hunk in diff.hunks if hunk.kind == "same" for message in identities(hunk.before)
    }


@given(sides)
def test_a_side_is_the_same_as_itself(side: Side) -> None:
    diff = compare(side, side)
    assert [hunk.kind for hunk in diff.hunks] == (["same"] if side.history else [])
    assert diff.stat == Stat(same=size(side.history))


def test_a_message_held_twice_is_paired_with_its_own_wording() -> None:
    edit = (Edit("t", 0, "a", 0),)
    both = Side((Piece("t", 0, 1), Piece("a", 0, 1)), edit)
    diff = compare(both, Side((Piece("a", 0, 1),)))
    assert [(hunk.kind, hunk.before, hunk.moved) for hunk in diff.hunks] == [
        ("removed", (Piece("t", 0, 1),), False),
        ("same", (Piece("a", 0, 1),), False),
    ]
    assert diff.only_before == ()


def test_a_moved_message_is_marked_on_both_sides() -> None:
    one, rest, new = Piece("a", 0, 1), Piece("a", 5, 8), Piece("b", 0, 1)
    diff = compare(Side((one, rest)), Side((rest, one, new)))
    assert [(hunk.kind, hunk.moved) for hunk in diff.hunks] == [
        ("removed", True),
        ("same", False),
        ("added", True),
        ("added", False),
    ]
    assert diff.stat == Stat(same=3, added=1, moved=1)
    assert diff.moved == (one,)
    assert diff.only_after == (new,)


def ladder(length: int, runs: int = 3) -> tuple[Side, Side]:
    """Alternating runs of that length, with an edit, a removal, an addition and a move."""
    pieces = tuple(Piece("abc"[number % 3], number * length, (number + 1) * length) for number in range(runs))
    edited = (Piece("e", 0, 1), Piece(pieces[0].segment, 1, pieces[0].stop))
    other = (*edited, *pieces[2:], Piece("n", 0, length), pieces[1])
    return Side(pieces), Side(other, (Edit("e", 0, "a", 0),))


def test_rule_3_a_thousand_million_messages_are_as_many_steps_as_ten() -> None:
    few, many = compare(*ladder(10)), compare(*ladder(10**9))
    assert [(hunk.kind, hunk.moved, len(hunk.before)) for hunk in few.hunks] == [
        (hunk.kind, hunk.moved, len(hunk.before)) for hunk in many.hunks
    ]
    assert many.stat == Stat(same=2 * 10**9 - 1, added=10**9, edited=1, moved=10**9)


def test_rule_3_twice_the_pieces_are_hardly_more_than_twice_the_work() -> None:
    def steps(pieces: int) -> int:
        odd = tuple(Piece("a", 4 * number, 4 * number + 2) for number in range(pieces))
        return lines_of(diffs, history, edits, work=lambda: compare(Side(odd), Side(odd[::-1])))

    assert 0 < steps(400) < 2.5 * steps(200)


def reader(contents: dict[tuple[str, int], str], asked: list[History]) -> diffs.Read:
    def read(pieces: History) -> list[Message]:
        asked.append(pieces)
        return [{"content": contents.get(message, f"{message}")} for message in identities(pieces)]

    return read


def twin_oracle(diff: Diff, contents: dict[tuple[str, int], str]) -> list[tuple[int, int]]:
    removed, added = (
        [
            (index + offset, contents.get(message, f"{message}"))
            for hunk in diff.hunks
            if hunk.kind == kind and not hunk.moved
            for index in [hunk.index_before if kind == "removed" else hunk.index_after]
            for offset, message in enumerate(identities(hunk.before or hunk.after))
        ]
        for kind in ("removed", "added")
    )
    found = []
    for index, text in removed:
        match = next((entry for entry in added if entry[1] == text), None)
        if match:
            added.remove(match)
            found.append((index, match[0]))
    return sorted(found)


@given(agreeing(), st.dictionaries(st.tuples(st.sampled_from("abc"), st.integers(0, 18)), st.sampled_from("uvw")))
def test_twins_have_equal_content_and_are_paired_in_order(
    pair: tuple[Side, Side], contents: dict[tuple[str, int], str]
) -> None:
    diff = compare(*pair)
    asked: list[History] = []
    found = twins(diff, reader(contents, asked))
    assert [tuple(twin) for twin in found] == twin_oracle(diff, contents)
    differing = [hunk for hunk in diff.hunks if hunk.kind in ("removed", "added")]
    may = {message for hunk in differing for message in identities((*hunk.before, *hunk.after))}
    assert {message for pieces in asked for message in identities(pieces)} <= may


def test_twins_of_one_and_true_are_none_and_long_stretches_are_read_in_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(diffs, "BLOCK", 4)
    asked: list[int] = []

    def read(pieces: History) -> list[Message]:
        asked.append(size(pieces))
        return [{"content": True if segment == "b" else 1} for segment, _ in identities(pieces)]

    diff = compare(Side((Piece("a", 0, 10),)), Side((Piece("b", 0, 6),)))
    assert twins(diff, read) == ()
    assert asked == [4, 4, 2, 4, 2]


def test_twins_read_nothing_where_one_side_goes_on() -> None:
    asked: list[History] = []
    assert twins(compare(Side(), Side((Piece("a", 0, 5),))), reader({}, asked)) == ()
    assert asked == []


@given(histories, st.integers(1, 5))
def test_blocks_are_the_history_in_full_parts(pieces: History, room: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diffs, "BLOCK", room)
        parts = list(diffs.blocks(pieces))
    assert [message for part in parts for message in identities(part)] == identities(pieces)
    assert all(size(part) == room for part in parts[:-1])
    assert all(0 < size(part) <= room for part in parts)


TEXTS = st.text(st.sampled_from(list("ab  \n.é猫ไ‍")), max_size=30) | st.text(max_size=20)


@given(TEXTS, TEXTS, st.sampled_from([0, 3, diffs.MAX_WORK]))
@example("a  b", "a b", 0)
def test_words_join_to_both_texts(before: str, after: str, work: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diffs, "MAX_WORK", work)
        steps = words(before, after)
    assert "".join(text for kind, text in steps if kind != "added") == before
    assert "".join(text for kind, text in steps if kind != "removed") == after
    assert all(text for _, text in steps)


def test_words_are_words_and_signs_of_scripts_without_spaces() -> None:
    assert words("the quick fox!", "the slow fox?") == [
        ("same", "the "),
        ("removed", "quick"),
        ("added", "slow"),
        ("same", " fox"),
        ("removed", "!"),
        ("added", "?"),
    ]
    assert words("我有一只猫", "我有一只狗") == [("same", "我有一只"), ("removed", "猫"), ("added", "狗")]
    assert words("a b", "c d") == [("removed", "a b"), ("added", "c d")]
    assert words("x", "x") == [("same", "x")]
    assert words("", "") == []


def test_long_texts_are_compared_by_lines_and_longer_ones_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = "a b a\nkeep a\na a", "b a b\nkeep a\nb a a b"
    assert ("added", "b a b\n") not in words(before, after)
    monkeypatch.setattr(diffs, "MAX_WORK", 3)
    assert words(before, after) == [
        ("removed", "a b a\n"),
        ("added", "b a b\n"),
        ("same", "keep a\n"),
        ("removed", "a a"),
        ("added", "b a a b"),
    ]
    monkeypatch.setattr(diffs, "MAX_WORK", 0)
    assert words(f"x {before} y", f"x {after} y") == [
        ("same", "x "),
        ("removed", before),
        ("added", after),
        ("same", " y"),
    ]
