"""What of an export can be read: of a session with damage in it the rest is exported.

It reads every message once, before anything is written: what was written cannot be taken back from a pipe.
"""

from __future__ import annotations

from collections import deque
from itertools import chain

from bough.errors import BoughError, CorruptBranchError
from bough.model import History, replace
from bough.runs import way_down
from bough.transfer.export.talk import Exported
from bough.transfer.export.tree import Run, plant


def readable(talk: Exported) -> tuple[Exported, dict[str, CorruptBranchError]]:
    """The same less the branches, tags and merges of which a message cannot be read; and those, with what is wrong.

    ``BoughError`` where no branch is left: the first that was found, if any.
    """
    tree = plant(talk, merges=True)
    found = {run: error for run in tree.runs if (error := _error_in(talk, run))}

    lost: dict[str, CorruptBranchError] = {}

    def is_whole(name: str, *histories: History) -> bool:
        ways = chain.from_iterable(way_down(tree.ends[pieces]) for pieces in histories)
        if error := next((found[run] for run in ways if run in found), None):
            lost[name] = error
        return error is None

    branches = tuple(record for record in talk.branches if is_whole(f"branch {record.id!r}", record.history))
    if not branches:
        raise next(iter(lost.values()), BoughError("there is no branch that can be read"))
    rest = replace(
        talk,
        branches=branches,
        tags=tuple(tag for tag in talk.tags if is_whole(f"tag {tag.name!r}", tag.history)),
        merges=tuple(each for each in talk.merges if is_whole(f"merge {each.number}", each.after, each.brought)),
    )
    return rest, lost


def _error_in(talk: Exported, run: Run) -> CorruptBranchError | None:
    """A store that found a document damaged looks for the same messages in the others when it is asked again."""
    error = None
    for _ in range(2):
        try:
            deque(talk.read(run.pieces), maxlen=0)
        except CorruptBranchError as corrupt:
            error = corrupt
        else:
            return None
    return error
