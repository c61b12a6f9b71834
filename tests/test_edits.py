"""Histories seen through their edits, against plain lists of identities with a dict of what each stands for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bough import edits, history
from bough.model import Edit, History, Piece
from test_history import Identity, compressed, histories, identities

FIRST = st.tuples(st.sampled_from("abc"), st.integers(0, 18))

edit_sets = st.dictionaries(FIRST, st.tuples(st.sampled_from("xab"), st.integers(0, 18)), max_size=8).map(
    lambda found: tuple(Edit(*message, *original) for message, original in found.items())
)


def known(changed: tuple[Edit, ...]) -> dict[Identity, Identity]:
    return {(edit.segment, edit.position): (edit.original_segment, edit.original_position) for edit in changed}


def first(wanted: list[Identity], changed: tuple[Edit, ...]) -> list[Identity]:
    originals = known(changed)
    return [originals.get(message, message) for message in wanted]


@given(histories, edit_sets)
def test_split_gives_every_message_and_its_first_wording(pieces: History, changed: tuple[Edit, ...]) -> None:
    runs = list(edits.split(pieces, changed))
    assert identities(run for run, _ in runs) == identities(pieces)
    assert identities(original for _, original in runs) == first(identities(pieces), changed)
    assert all(run.stop - run.start == original.stop - original.start > 0 for run, original in runs)
    assert all(run == original or run.stop - run.start == 1 for run, original in runs)


@given(histories, edit_sets)
def test_first_wordings(pieces: History, changed: tuple[Edit, ...]) -> None:
    assert edits.first_wordings(pieces, changed) == compressed(first(identities(pieces), changed))


@given(histories, edit_sets, histories, edit_sets)
def test_subtract_takes_any_wording_away(
    pieces: History, mine: tuple[Edit, ...], other: History, theirs: tuple[Edit, ...]
) -> None:
    held = set(first(identities(other), theirs))
    plain = identities(pieces)
    rest = [message for message, original in zip(plain, first(plain, mine), strict=True) if original not in held]
    assert edits.subtract(pieces, mine, other, theirs) == compressed(rest)


@given(histories, edit_sets, edit_sets)
def test_kept_are_those_of_messages_that_are_held(
    pieces: History, some: tuple[Edit, ...], more: tuple[Edit, ...]
) -> None:
    held = set(identities(pieces))
    assert edits.kept(pieces, some, more) == tuple(
        sorted(edit for edit in {*some, *more} if (edit.segment, edit.position) in held)
    )


@given(histories.filter(bool), edit_sets, st.data())
def test_an_edit_of_an_edit_names_the_first_wording(
    pieces: History, changed: tuple[Edit, ...], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, history.length(pieces) - 1))
    edit = edits.edit_of(pieces, changed, index, "new", 7)
    assert edit == Edit("new", 7, *first(identities(pieces), changed)[index])


def lines_of(*modules: ModuleType, work: Callable[[], object]) -> int:
    """How many lines of these modules run: a measure of work that no busy machine can disturb."""
    files, count = {module.__file__ for module in modules}, 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if frame.f_code.co_filename not in files:
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


def test_what_an_edit_costs_does_not_depend_on_the_number_of_messages() -> None:
    def steps(size: int) -> int:
        pieces, changed = (Piece("a", 0, size),), (Edit("a", 3, "b", 3),)
        return lines_of(history, edits, work=lambda: edits.subtract(pieces, changed, (Piece("b", 0, size),), ()))

    assert steps(10) == steps(10**9) > 0
