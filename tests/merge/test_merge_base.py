"""Bases and squashes, from logs of operations: the numbers are the rules of ``bough.merge.base``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from bough import codec, edits, history
from bough.diff import Side
from bough.merge import find_base, find_squashed
from bough.model import BranchChange, BranchRecord, Edit, History, Operation, Piece, Tip, replace

AT = codec.parse_time("2026-11-20T10:00:00.000Z")


class Log:
    """A session as its verbs leave it. Reading it gives the operations, newest first."""

    def __init__(self) -> None:
        self.branches: dict[str, BranchRecord] = {}
        self.operations: list[Operation] = []
        self.segments = 0

    def __iter__(self) -> Iterator[Operation]:
        return reversed(self.operations)

    def act(self, kind: str, branch_id: str = "", after: BranchRecord | None = None, **detail: Any) -> int:
        number = len(self.operations) + 1
        changes: tuple[BranchChange, ...] = ()
        if branch_id:
            changes = (BranchChange(id=branch_id, before=self.branches.pop(branch_id, None), after=after),)
            if after is not None:
                self.branches[branch_id] = after
        operation = Operation(
            number=number, id=str(number), kind=kind, at=AT, pid=1, hostname="h", head_before="main", head_after="main",
            branches=changes, detail=detail,
        )  # fmt: skip
        self.operations.append(operation)
        return number

    def make(self, branch_id: str, parent: str | None = None, index: int | None = None, kind: str = "fork") -> int:
        self.segments += 1
        begun: History = ()
        known: tuple[Edit, ...] = ()
        if parent is not None:
            above = self.branches[parent]
            begun = history.cut(above.history, 0, above.length if index is None else index)
            known = above.edits
        made = BranchRecord(
            id=branch_id, name=branch_id, history=begun, edits=known, tip=Tip(f"{branch_id}{self.segments}", 0),
            created_at=AT, updated_at=AT, parent_id=parent, parent_message_index=index,
        )  # fmt: skip
        return self.act(kind, branch_id, made)

    def add(self, branch_id: str, count: int) -> None:
        self.branches[branch_id] = self.branches[branch_id].appended(count, AT)

    def put(self, kind: str, branch_id: str, pieces: History, known: tuple[Edit, ...] = (), **detail: Any) -> int:
        return self.act(kind, branch_id, replace(self.branches[branch_id], history=pieces, edits=known), **detail)

    def merge(self, target: str, source: str, *, brings: bool = True, names_target: bool = True, **more: Any) -> int:
        mine, other = self.branches[target], self.branches[source]
        told: dict[str, Any] = {"source": source, "source_history": [list(piece) for piece in other.history], **more}
        if names_target:
            told["target"] = target
        if other.edits:
            told["source_edits"] = [list(edit) for edit in other.edits]
        missing = edits.subtract(other.history, other.edits, mine.history, mine.edits) if brings else ()
        merged = history.concat(mine.history, missing)
        return self.put("merge", target, merged, edits.kept(merged, mine.edits, other.edits), **told)

    def squash(self, target: str, source: str, squashed: Sequence[Sequence[object]] = ()) -> int:
        self.add(target, 1)
        after = self.branches[target]
        self.branches[target] = replace(after, history=history.cut(after.history, 0, after.length - 1))
        other = self.branches[source]
        told: dict[str, Any] = {
            "source": source,
            "strategy": "squash",
            "squashed": squashed,
            "source_history": [list(piece) for piece in other.history],
        }
        told["source_edits"] = [list(edit) for edit in other.edits]
        return self.act("merge", target, after, **told)

    def side(self, branch_id: str) -> Side:
        return Side(self.branches[branch_id].history, self.branches[branch_id].edits)


@pytest.fixture
def log() -> Log:
    """main with five messages, idea forked from its first three; two more on idea."""
    log = Log()
    log.make("main", kind="init")
    log.add("main", 5)
    log.make("idea", "main", 3)
    log.add("idea", 2)
    return log


def test_a_branch_and_its_parent_began_with_what_was_forked(log: Log) -> None:
    forked = Side((Piece("main1", 0, 3),))
    assert find_base(log, "main", "idea") == find_base(log, "idea", "main") == forked
    log.make("made", "idea", kind="create")
    assert find_base(log, "idea", "made") == log.side("idea")


def test_the_edits_that_a_fork_took_along(log: Log) -> None:
    edited = (Piece("main1", 0, 1), Piece("main1", 5, 6), Piece("main1", 2, 5))
    log.put("edit", "main", edited, (Edit("main1", 5, "main1", 1),))
    log.make("late", "main")
    assert find_base(log, "late", "main") == log.side("main")


@pytest.mark.parametrize("old_log", [False, True])
def test_the_last_merge_between_the_two_counts_in_either_direction(log: Log, old_log: bool) -> None:
    log.put("edit", "idea", log.branches["idea"].history, (Edit("idea2", 0, "main1", 4),))
    then = log.side("idea")
    log.merge("main", "idea", names_target=not old_log)
    log.add("idea", 3)
    assert find_base(log, "main", "idea") == find_base(log, "idea", "main") == then
    then = log.side("main")
    log.merge("idea", "main", names_target=not old_log)
    log.add("main", 3)
    assert find_base(log, "main", "idea") == find_base(log, "idea", "main") == then


def test_a_merge_that_changed_nothing_counts_too(log: Log) -> None:
    log.act("merge", source="idea", target="main", source_history=[["q", 0, 1]])
    assert find_base(log, "main", "idea") == Side((Piece("q", 0, 1),))


def test_merges_with_others_and_picks_do_not_count(log: Log) -> None:
    expected = find_base(log, "main", "idea")
    log.make("other", "main")
    log.merge("main", "other")
    log.merge("other", "idea")
    same = log.branches["main"].history
    log.put("cherry-pick", "main", same, source="idea", source_history=[])
    log.put("merge", "main", same, source="idea", target="main", strategy="pick", source_history=[])
    assert find_base(log, "main", "idea") == expected


def test_rule_1_undone_merges_do_not_count_and_those_done_again_do(log: Log) -> None:
    forked = find_base(log, "main", "idea")
    then = log.side("idea")
    number = log.merge("main", "idea")
    log.add("idea", 1)
    log.act("undo", undoes=number)
    assert find_base(log, "main", "idea") == forked
    log.act("redo", redoes=number)
    assert find_base(log, "main", "idea") == then
    log.act("undo", undoes=number)
    assert find_base(log, "main", "idea") == forked


def test_rule_1_a_reset_that_takes_back_all_of_a_merge_takes_the_merge_back(log: Log) -> None:
    forked, then, before = find_base(log, "main", "idea"), log.side("idea"), log.side("main")
    log.merge("main", "idea")
    after = log.branches["main"].history
    log.put("reset", "main", history.cut(after, 0, 6))
    assert find_base(log, "main", "idea") == then  # one of the two messages is still there
    log.put("remove", "main", before.history)
    assert find_base(log, "main", "idea") == then  # removed on purpose
    undone = log.put("reset", "main", before.history)
    assert find_base(log, "main", "idea") == forked
    log.act("undo", undoes=undone)
    assert find_base(log, "main", "idea") == then


def test_rule_1_a_merge_that_brought_nothing_cannot_be_taken_back_by_a_reset(log: Log) -> None:
    then = log.side("idea")
    log.merge("main", "idea", brings=False)
    log.put("reset", "main", ())
    assert find_base(log, "main", "idea") == then


@pytest.mark.parametrize("strategy", ["append", "interleave", "pick"])
def test_rule_2_a_merge_that_only_adds_leaves_other_wordings_to_the_next_one(log: Log, strategy: str) -> None:
    edited = (Piece("main1", 0, 1), Piece("idea2", 2, 3), Piece("main1", 2, 3), Piece("idea2", 0, 2))
    log.put("edit", "idea", edited, (Edit("idea2", 2, "main1", 1),))
    log.merge("main", "idea", strategy=strategy)
    both = (Piece("main1", 1, 2), Piece("main1", 0, 1), Piece("main1", 2, 3), Piece("idea2", 0, 2))
    assert find_base(log, "main", "idea") == Side(both)
    # What came edited is known so, and the newest wording that both had counts.
    log.add("idea", 2)
    now = (*edited, Piece("idea2", 4, 5))
    log.put("edit", "idea", now, (Edit("idea2", 2, "main1", 1), Edit("idea2", 4, "idea2", 3)))
    log.merge("main", "idea", strategy=strategy)
    base = find_base(log, "idea", "main")
    assert base is not None
    assert set(base.history) == {*both[:3], Piece("idea2", 0, 2), Piece("idea2", 4, 5)}
    assert base.edits == (Edit("idea2", 4, "idea2", 3),)
    # Behind it lies any earlier base, before it a later one.
    then = log.side("idea")
    log.merge("main", "idea")
    assert find_base(log, "main", "idea") == then


def test_rule_2_between_strangers_it_is_all_that_is_known(log: Log) -> None:
    log.make("stranger")
    log.add("stranger", 2)
    log.merge("main", "stranger", strategy="append")
    assert find_base(log, "main", "stranger") == Side((Piece("stranger3", 0, 2),))


def test_rule_2_a_squash_tells_of_what_it_stands_for(log: Log) -> None:
    log.squash("main", "idea", [["idea2", 0, 2]])
    assert find_base(log, "main", "idea") == Side((Piece("main1", 0, 3), Piece("idea2", 0, 2)))


def test_rule_3_what_came_before_the_last_creation_does_not_count(log: Log) -> None:
    log.merge("main", "idea")
    log.act("delete", "idea")
    log.make("idea")
    assert find_base(log, "main", "idea") is None
    log.act("delete", "idea")
    log.make("idea", "main", 1)
    assert find_base(log, "main", "idea") == Side((Piece("main1", 0, 1),))
    log.act("delete", "idea")
    log.make("idea", kind="import")
    assert find_base(log, "idea", "main") is None
    log.act("delete", "idea")
    log.make("idea", "main", kind="external-edit")  # its own messages are among what it began with
    assert find_base(log, "idea", "main") is None


def test_rule_3_an_undone_deletion_or_creation_never_was(log: Log) -> None:
    then = log.side("idea")
    log.merge("main", "idea")
    kept = log.branches["idea"]
    deleted = log.act("delete", "idea")
    made = log.make("idea", "main", 1)
    log.act("undo", "idea", None, undoes=made)
    log.act("undo", "idea", kept, undoes=deleted)
    assert find_base(log, "main", "idea") == then


def test_rule_3_a_restored_branch_goes_on_where_it_was_deleted(log: Log) -> None:
    then, kept = log.side("idea"), log.branches["idea"]
    log.merge("main", "idea")
    log.act("delete", "idea")
    log.make("idea", "main", 1)  # another one of the same id
    log.merge("main", "idea")
    log.make("child", "idea")
    other = log.branches["idea"]
    log.act("delete", "idea")
    log.act("restore", "idea", other)
    log.act("delete", "idea")
    log.act("restore", "idea", kept)
    assert find_base(log, "main", "idea") == then
    assert find_base(log, "child", "idea") is None


def test_cousins_began_with_what_both_took_along(log: Log) -> None:
    log.make("a", "main", 4)
    log.add("a", 2)
    log.put("remove", "main", (Piece("main1", 0, 1), Piece("main1", 2, 5)))
    log.add("main", 2)
    log.make("b", "main")
    log.make("grandchild", "b")
    taken = Side((Piece("main1", 0, 1), Piece("main1", 2, 4)))
    for pair in (("a", "b"), ("b", "a"), ("a", "grandchild")):
        assert find_base(log, *pair) == taken
    assert find_base(log, "main", "grandchild") == log.side("b")


def test_cousins_take_the_older_wording(log: Log) -> None:
    log.make("a", "main", 2)
    edit = (Edit("main1", 5, "main1", 1),)
    log.put("edit", "main", (Piece("main1", 0, 1), Piece("main1", 5, 6), Piece("main1", 2, 5)), edit)
    log.make("b", "main")
    assert find_base(log, "a", "b") == find_base(log, "b", "a") == Side((Piece("main1", 0, 2),))


def test_a_merge_into_the_parent_before_a_branch_was_made_is_not_its_own(log: Log) -> None:
    log.merge("main", "idea")
    log.make("late", "main", 2)
    assert find_base(log, "late", "idea") == Side((Piece("main1", 0, 2),))


def test_strangers_have_no_base(log: Log) -> None:
    log.make("stranger")
    assert find_base(log, "main", "stranger") is None
    assert find_base([], "main", "stranger") is None


def test_what_was_squashed_is_known_until_that_is_undone(log: Log) -> None:
    assert find_squashed(log, "main") == ()
    log.put("edit", "idea", log.branches["idea"].history, (Edit("idea2", 1, "q", 7),))
    number = log.squash("main", "idea")
    assert find_squashed(log, "main") == (Piece("idea2", 0, 1), Piece("q", 7, 8))
    assert find_squashed(log, "idea") == ()
    log.act("undo", undoes=number)
    assert find_squashed(log, "main") == ()
    log.act("redo", redoes=number)
    log.put("reset", "main", history.cut(log.branches["main"].history, 0, 5))
    assert find_squashed(log, "main") == ()


def test_several_squashes_are_one_set_and_other_merges_are_none(log: Log) -> None:
    log.squash("main", "idea")
    log.add("idea", 1)
    log.squash("main", "idea")
    log.make("other")
    log.add("other", 1)
    log.merge("main", "other")
    assert find_squashed(log, "main") == (Piece("idea2", 0, 3),)


def test_a_branch_takes_along_what_was_squashed_into_its_parent(log: Log) -> None:
    log.squash("main", "idea")
    log.make("with", "main")
    log.make("without", "main", 5)
    log.make("grandchild", "with")
    log.make("idea3", "idea")
    log.squash("main", "with")
    assert find_squashed(log, "with") == find_squashed(log, "grandchild") == (Piece("idea2", 0, 2),)
    assert find_squashed(log, "without") == ()
    log.make("short", "grandchild", 5)
    assert find_squashed(log, "short") == ()
    log.act("delete", "main")
    log.make("main")
    assert find_squashed(log, "main") == ()
