"""The layout of the graph, on records made by hand. Numbers cite the module's docstring."""

from __future__ import annotations

import inspect
import sys
from datetime import UTC, datetime, timedelta

from bough.cli.graph import EmptyRow, FoldRow, GapRow, MessageRow, Row, lay_out
from bough.model import BranchRecord, Edit, History, Piece, Tip

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def record(name: str, *pieces: tuple[str, int, int], minute: int = 0, edits: tuple[Edit, ...] = ()) -> BranchRecord:
    history: History = tuple(Piece(*piece) for piece in pieces)
    at = BEGIN + timedelta(minutes=minute)
    return BranchRecord(
        id=name, name=name, history=history, tip=Tip(name, 99), created_at=at, updated_at=at, edits=edits
    )


def drawn(*records: BranchRecord, only: list[str] | None = None, fold: int | None = None) -> list[str]:
    return [sketch(row) for row in lay_out({each.id: each for each in records}, only=only, fold=fold)]


def sketch(row: Row) -> str:
    if isinstance(row, FoldRow):
        return "| " * row.column + f": {row.messages}"
    if isinstance(row, EmptyRow):
        return f"o ({','.join(row.tips)})"
    if isinstance(row, GapRow):
        return ""
    left = "| " * (row.column - 1) + "|-" if row.joins else "| " * row.column
    text = f"{left}* {row.number} {row.identity[0]}{row.identity[1]}"
    text += f" ({','.join(row.tips)})" if row.tips else ""
    return text + (f" from {row.origin}" if row.origin else "")


def test_one_branch_is_one_column_with_the_newest_message_first() -> None:
    assert drawn(record("main", ("main", 0, 3))) == ["* 3 main2 (main)", "* 2 main1", "* 1 main0"]


def test_a_fork_has_a_column_until_it_meets_its_parent() -> None:
    main = record("main", ("main", 0, 4))
    fork = record("fork", ("main", 0, 2), ("fork", 0, 2), minute=1)
    assert drawn(main, fork) == [
        "* 4 main3 (main)",
        "* 3 main2",
        "| * 4 fork1 (fork)",
        "|-* 3 fork0",
        "* 2 main1",
        "* 1 main0",
    ]


def test_a_fork_of_the_whole_branch_goes_on_in_its_column() -> None:
    main = record("main", ("main", 0, 1))
    fork = record("fork", ("main", 0, 1), ("fork", 0, 1))
    assert drawn(main, fork) == ["* 2 fork0 (fork)", "* 1 main0 (main)"]


def test_main_comes_first_then_the_latest_change_then_the_longest_and_columns_count_nesting_only() -> None:
    """2, 3"""
    branches = [record("main", ("main", 0, 2))]
    branches += [record(f"b{n}", ("main", 0, 1), (f"b{n}", 0, 1), minute=n) for n in range(1, 4)]
    branches.append(record("long", ("main", 0, 1), ("long", 0, 2), minute=3))
    branches.append(record("deep", ("main", 0, 1), ("long", 0, 1), ("deep", 0, 1), minute=0))
    assert drawn(*branches) == [
        "* 2 main1 (main)",
        "| * 3 long1 (long)",
        "| |-* 3 deep0 (deep)",
        "|-* 2 long0",
        "|-* 2 b30 (b3)",
        "|-* 2 b20 (b2)",
        "|-* 2 b10 (b1)",
        "* 1 main0",
    ]


def test_a_merged_message_stands_in_both_columns_and_says_where_it_is_from() -> None:
    """1"""
    main = record("main", ("main", 0, 2), ("fork", 0, 1), ("main", 2, 3))
    fork = record("fork", ("main", 0, 1), ("fork", 0, 2))
    assert drawn(main, fork) == [
        "* 4 main2 (main)",
        "* 3 fork0 from fork",
        "* 2 main1",
        "| * 3 fork1 (fork)",
        "|-* 2 fork0",
        "* 1 main0",
    ]


def test_a_message_whose_owner_is_gone_is_at_home_where_it_is_met_first() -> None:
    main = record("main", ("main", 0, 1), ("gone", 0, 1))
    other = record("other", ("other", 0, 1), ("gone", 0, 1))
    assert drawn(main, other) == [
        "* 2 gone0 (main)",
        "* 1 main0",
        "",
        "* 2 gone0 (other) from main",
        "* 1 other0",
    ]


def test_what_a_fork_took_along_is_from_nowhere_though_what_is_before_it_was_edited_or_removed() -> None:
    main = record("main", ("main", 0, 4), ("main", 5, 6))
    edited = record(
        "edited", ("main", 0, 1), ("edited", 1, 2), ("main", 2, 3), ("edited", 0, 1), ("main", 5, 6),
        edits=(Edit("edited", 1, "main", 1),),
    )  # fmt: skip
    assert drawn(main, edited, only=["edited"]) == [
        "* 5 main5 (edited) from main",
        "* 4 edited0",
        "* 3 main2",
        "* 2 edited1",
        "* 1 main0",
    ]
    removed = record("removed", ("main", 1, 3), ("removed", 0, 1), ("main", 3, 4), minute=1)
    assert drawn(main, removed, only=["removed"]) == [
        "* 4 main3 (removed) from main",
        "* 3 removed0",
        "* 2 main2",
        "* 1 main1",
    ]


def test_branches_at_the_same_message_share_a_row() -> None:
    assert drawn(record("b", ("x", 0, 1)), record("a", ("x", 0, 1)), record("main", ("x", 0, 1))) == [
        "* 1 x0 (main,a,b)"
    ]


def test_long_runs_are_folded_and_short_ones_are_not() -> None:
    main = record("main", ("main", 0, 10))
    fork = record("fork", ("main", 0, 5), ("fork", 0, 3))
    assert drawn(main, fork, fold=1) == [
        "* 10 main9 (main)",
        ": 3",
        "* 6 main5",
        "| * 8 fork2 (fork)",
        "| * 7 fork1",
        "|-* 6 fork0",
        "* 5 main4",
        ": 3",
        "* 1 main0",
    ]


def test_only_some_branches_are_shown_with_the_labels_and_origins_of_all() -> None:
    main = record("main", ("main", 0, 2), ("fork", 0, 1))
    fork = record("fork", ("main", 0, 1), ("fork", 0, 1))
    middle = record("middle", ("main", 0, 2))
    assert drawn(main, fork, middle, only=["main"]) == [
        "* 3 fork0 (main) from fork",
        "* 2 main1 (middle)",
        "* 1 main0",
    ]


def test_empty_branches_and_strangers() -> None:
    assert drawn(record("main"), record("other", ("other", 0, 1))) == ["o (main)", "", "* 1 other0 (other)"]
    assert drawn(record("main"), record("other", ("other", 0, 1)), only=["main"]) == ["o (main)"]
    assert drawn(record("main"), record("other", ("other", 0, 1)), only=["other"]) == ["* 1 other0 (other)"]
    assert drawn() == []


def test_a_chain_of_forks_longer_than_the_stack() -> None:
    """4"""
    pieces = [("main", 0, 1)]
    chain = [record("main", *pieces)]
    for n in range(300):
        pieces = [*pieces, (f"b{n}", 0, 1)]
        chain.append(record(f"b{n}", *pieces))
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        rows = list(lay_out({each.id: each for each in chain}))
    finally:
        sys.setrecursionlimit(limit)
    assert len(rows) == 301
    assert all(isinstance(row, MessageRow) and row.column == 0 for row in rows)


def test_a_million_messages_folded_cost_a_few_rows() -> None:
    """4"""
    rows = list(lay_out({"main": record("main", ("main", 0, 1_000_000))}, fold=2))
    assert [type(row).__name__ for row in rows] == ["MessageRow"] * 2 + ["FoldRow"] + ["MessageRow"] * 2
    assert FoldRow(0, 999_996) in rows
