"""The verbs that change a branch's messages: adding, setting, editing, removing, resetting, repairing.

Only appends are no operations. Nothing is lost: what an operation takes out of a branch lives on in the log until gc.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from bough import changes, codec, history, turns
from bough.diff import Side
from bough.errors import InvalidRequestError
from bough.manager.base import Align, Base
from bough.merge import Part, Sides, lower
from bough.model import BranchRecord, Change, Put, SessionState, Version
from bough.revisions import Revision


class MessageVerbs(Base):
    """The verbs that change messages."""

    def add_message(self, message: Mapping[str, Any]) -> Version:
        """Appends one message to the current branch. Returns the branch's version. ``InvalidMessageError``."""
        return self._session.append(self._current, [codec.encode(message)])

    def add_messages(self, messages: Iterable[Mapping[str, Any]]) -> Version:
        """Appends several messages as one change, all or none. Without any, nothing is written."""
        lines = codec.encode_all(messages)
        branch_id = self._current
        return self._session.append(branch_id, lines) if lines else self._session.record(branch_id).version

    def set_messages(self, messages: Iterable[Mapping[str, Any]], *, expected: Version | None = None) -> Version:
        """Makes ``messages`` the current branch's messages; what is equal at both ends keeps its identity.

        Refused with ``BranchMovedError`` if the branch is not at ``expected``; without it, if the branch's messages are
        others than this manager last read or wrote. Returns the branch's version.
        """
        wanted = list(messages)
        branch_id = self._current

        def plan(state: SessionState) -> Change | None:
            record = self._session.find(state, branch_id)
            self._session.check_seen(record, expected)
            put = changes.put_messages(record, self.store.read(self.session_id, record.history), wanted)
            return changes.change("set", put) if put else None

        state, commit = self._session.write(plan, only=[branch_id])
        return self._session.saw((commit or state).branches[branch_id]).version

    def edit_message(self, index: int, message: Mapping[str, Any], *, branch_id: str | None = None) -> Version:
        """Puts another message in the place of the one at ``index`` (from 0; negative ones count from the end).

        To merges both are one message: the old wording does not come back by an append-merge. ``InvalidRequestError``
        where there is no such message, ``InvalidMessageError``.
        """
        line = codec.encode(message)

        def plan(record: BranchRecord) -> Put | None:
            at = _index(record, index)
            [present] = self._read_lines(record, at, at + 1)
            return None if present == line else changes.put_edit(record, at, line)

        record, _ = self._change_branch("edit", branch_id, plan, lambda record: {"index": _index(record, index)})
        return record.version

    def remove_messages(self, start: int, stop: int | None = None, *, branch_id: str | None = None) -> Version:
        """Takes ``messages[start:stop]`` out of a branch, the one at ``start`` alone if ``stop`` is None.

        ``InvalidRequestError`` where there are no such messages.
        """

        def bounds(record: BranchRecord) -> tuple[int, int]:
            first = _index(record, start)
            if stop is None:
                return first, first + 1
            last = _whole(stop) if stop >= 0 else record.length + _whole(stop)
            if not first < last <= record.length:
                raise InvalidRequestError(f"messages {start}..{stop} are not in branch {record.id!r}")
            return first, last

        def plan(record: BranchRecord) -> Put:
            first, last = bounds(record)
            kept = history.concat(
                history.cut(record.history, 0, first), history.cut(record.history, last, record.length)
            )
            return changes.put_history(record, kept)

        def detail(record: BranchRecord) -> dict[str, Any]:
            first, last = bounds(record)
            return {"start": first, "stop": last}

        record, _ = self._change_branch("remove", branch_id, plan, detail)
        return record.version

    def reset(self, to: int | str, *, align: Align | None = None) -> Version:
        """Makes the current branch what a revision is; an integer k is its own first k messages.

        ``align`` moves a cut inside a tool call and its results to before (``back``) or behind (``forward``) them.
        ``RevisionNotFoundError``, ``InvalidRequestError`` for a k outside 0..length.
        """
        goal = self.resolve(to) if isinstance(to, str) else None

        def plan(record: BranchRecord) -> Put | None:
            wanted = _first(record, to) if goal is None else goal
            longer = record.history if history.starts_with(record.history, wanted.history) else wanted.history
            stop = self._aligned(longer, history.length(wanted.history), align)
            put = changes.put_history(record, history.cut(longer, 0, stop), wanted.edits)
            is_same = (put.record.history, put.record.edits) == (record.history, record.edits)
            return None if is_same else put

        record, _ = self._change_branch("reset", None, plan, lambda _: {"to": to})
        return record.version

    def repair(
        self,
        branch_id: str | None = None,
        *,
        provider: turns.Provider | None = None,
        how: Literal["complete", "remove"] = "complete",
    ) -> turns.Repaired:
        """Mends tool calls and results that dangle (:func:`bough.turns.repair`); what leaves the branch lives on in the
        log. Where nothing can be mended nothing is done."""
        done: list[turns.Repaired] = []

        def plan(record: BranchRecord) -> Put | None:
            messages = self.store.read(self.session_id, record.history)
            repaired = turns.repair(messages, provider=provider, how=how)
            done[:] = [repaired]
            parts: list[Part] = []
            for part in repaired.parts:
                parts += history.cut(record.history, part, part + 1) if isinstance(part, int) else [part]
            present = Side(record.history, record.edits)
            return lower(parts, record, Sides(target=present, source=present, read=self.read_messages))

        self._change_branch("repair", branch_id, plan, lambda _: {"provider": provider, "how": how})
        return done[0]


def _whole(number: object) -> int:
    """``InvalidRequestError`` where it is no integer: a history with half a message could not be read any more."""
    if isinstance(number, bool) or not isinstance(number, int):
        raise InvalidRequestError(f"{number!r} is no number of a message")
    return number


def _index(record: BranchRecord, index: int) -> int:
    at = index if _whole(index) >= 0 else record.length + index
    if not 0 <= at < record.length:
        raise InvalidRequestError(f"branch {record.id!r} has no message {index}; it has {record.length}")
    return at


def _first(record: BranchRecord, count: object) -> Revision:
    number = _whole(count)
    if not 0 <= number <= record.length:
        raise InvalidRequestError(f"{number} is outside 0..{record.length} of branch {record.id!r}")
    return Revision(text=str(number), history=history.cut(record.history, 0, number), edits=record.edits)
