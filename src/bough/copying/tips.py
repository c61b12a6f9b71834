"""The tips of the copy: which one stands for which of the source's (guarantee 4 of :mod:`bough.copying`)."""

from __future__ import annotations

from dataclasses import dataclass, field

from bough.changes import new_id
from bough.model import BranchChange, BranchRecord, Operation, Tip, replace


@dataclass(slots=True)
class Tips:
    """Which tip a branch has in the destination, by the branch and its tip segment in the source (guarantee 4)."""

    known: dict[tuple[str, str], Tip] = field(default_factory=dict)

    def learn(self, theirs: BranchRecord | None, ours: BranchRecord | None) -> None:
        if theirs is not None and ours is not None:
            tip = self.known.setdefault((theirs.id, theirs.tip.segment), ours.tip)
            if tip.segment == ours.tip.segment and tip.next < ours.tip.next:
                self.known[theirs.id, theirs.tip.segment] = ours.tip

    def ours(self, record: BranchRecord) -> BranchRecord:
        """The record as it is in the destination."""
        return replace(record, tip=self.known.setdefault((record.id, record.tip.segment), Tip(new_id(), 0)))

    def operation(self, operation: Operation) -> Operation:
        changes = [
            BranchChange(
                id=each.id, before=each.before and self.ours(each.before), after=each.after and self.ours(each.after)
            )
            for each in operation.branches
        ]
        return replace(operation, branches=tuple(changes))


def without_tips(operation: Operation) -> Operation:
    """The operation without tips, which differ between a session and its copy."""
    nowhere = Tip("", 0)
    changes = [
        replace(
            each,
            before=each.before and replace(each.before, tip=nowhere),
            after=each.after and replace(each.after, tip=nowhere),
        )
        for each in operation.branches
    ]
    return replace(operation, branches=tuple(changes))
