"""Whether a session is whole: what a store finds in its bytes (``verify``), and what its records mean.

1. Nothing is written. Each finding says what is wrong, where, how bad, and what to do.
2. A finding whose branch or messages can be saved carries what is needed for that: ``rescued`` or ``history``.
3. What is damaged hides nothing else.
4. What can be saved is what a branch, a tag or a file that is damaged still has; what can be read where it stands needs
   no saving.

What it deliberately does not do: repair (:meth:`bough.manager.ConversationBranchManager.fsck` does, into new branches).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta

from msgspec import Struct

from bough import codec, history
from bough.attributes import tags_of, unread_tags
from bough.errors import CorruptBranchError
from bough.model import BranchRecord, Finding, History, Operation, Piece, SessionState
from bough.stores.base import Store

_AHEAD = timedelta(minutes=5)
"""How far clocks may differ before it is worth a note."""
_SALVAGE = "`bough fsck --repair` puts what can be read into a new branch"


def examine(store: Store, session_id: str) -> Iterator[Finding]:
    """Everything that is not as it should be, the store's own findings first. ``StoreUnavailableError``."""
    branches: set[str] = set()
    is_told = False  # whether something is known to be damaged that is not of one branch
    told: set[tuple[str, str]] = set()
    for finding in store.verify(session_id):
        told.add((finding.place, finding.problem))
        if finding.branch_id is not None:
            branches.add(finding.branch_id)
        else:
            is_told = is_told or finding.severity == "error"
        yield finding
    try:
        state = store.load(session_id)
    except CorruptBranchError as error:
        if not is_told:
            yield Finding(place=error.place, problem=error.reason, advice="restore it from a copy")
        return
    for finding in state.findings:
        is_known = is_told if finding.branch_id is None else finding.branch_id in branches
        if not is_known and (finding.place, finding.problem) not in told:
            yield finding
    if state.head not in branches:
        yield from _head(state)
    yield from _parents(state)
    yield from _histories(state.branches)
    yield from _tags(store, state)
    try:
        yield from _log(state, store.operations(session_id))
    except CorruptBranchError as error:
        if not is_told:
            yield Finding(place=error.place, problem=error.reason, advice="older operations cannot be undone")


def _head(state: SessionState) -> Iterator[Finding]:
    unread = {finding.branch_id for finding in state.findings}  # which are told already
    if state.head is not None and state.head not in state.branches and state.head not in unread:
        yield Finding(
            place="HEAD",
            problem=f"it names branch {state.head!r}, which is not there",
            severity="warning",
            advice="`bough switch main` sets it anew",
        )


def _parents(state: SessionState) -> Iterator[Finding]:
    branches = state.branches
    unread = {finding.branch_id for finding in state.findings}
    walked: set[str] = set()
    for record in sorted(branches.values(), key=lambda record: record.id):
        line: dict[str, None] = {}
        at: str | None = record.id
        while at is not None and at in branches and at not in line and at not in walked:
            line[at] = None
            at = branches[at].parent_id
        walked |= line.keys()
        if at in line:
            names = list(line)
            yield Finding(
                place=f"branch {at!r}",
                problem=f"its parents go round in a circle: {' → '.join([*names[names.index(at) :], at])}",
                branch_id=at,
                severity="warning",
                advice="parents are only shown; the messages are not affected",
            )
        parent_id = record.parent_id
        if parent_id is not None and parent_id not in branches and parent_id not in unread:
            yield Finding(
                place=f"branch {record.id!r}",
                problem=f"its parent {parent_id!r} is not there",
                branch_id=record.id,
                severity="note",
                advice=f"it was deleted, perhaps: `bough branch restore {parent_id}`",
            )


def _histories(branches: Mapping[str, BranchRecord]) -> Iterator[Finding]:
    """What no history, tip or edit can be."""
    owners: dict[str, BranchRecord] = {}
    for record in sorted(branches.values(), key=lambda record: record.id):
        other = owners.setdefault(record.tip.segment, record)
        if other is not record:
            yield _bad(record, f"it appends to the same segment as branch {other.id!r}")
        if history.length(history.union(record.history)) != record.length:
            yield _bad(record, "it holds a message twice", severity="warning")
        if any(history.index_of(record.history, edit.segment, edit.position) is None for edit in record.edits):
            yield _bad(record, "it has an edit of a message that it does not hold", severity="warning")
        if record.updated_at < record.created_at:
            yield _bad(record, "it was changed before it was made: a clock was wrong", severity="note")
        if record.updated_at > codec.now() + _AHEAD:
            yield _bad(record, "it was changed in the future: a clock is wrong", severity="note")
    for record in sorted(branches.values(), key=lambda record: record.id):
        for segment, _, stop in record.history:
            owner = owners.get(segment)
            if owner is not None and stop > owner.tip.next:
                yield _bad(
                    record, f"it holds messages of segment {segment} from {owner.tip.next} on, where none are yet"
                )


def _bad(record: BranchRecord, problem: str, severity: str = "error") -> Finding:
    return Finding(
        place=f"branch {record.id!r}",
        problem=problem,
        branch_id=record.id,
        severity="error" if severity == "error" else "warning" if severity == "warning" else "note",
        advice=_SALVAGE if severity == "error" else "",
        history=record.history if severity == "error" else (),
    )


def _tags(store: Store, state: SessionState) -> Iterator[Finding]:
    """Tags whose messages cannot all be read, as far as no branch holds them: of branches the store has told."""
    for name in unread_tags(state.attributes):
        yield Finding(
            place=f"tag {name!r}",
            problem="what was written for it is no tag",
            severity="warning",
            advice="undo the operation that set it, or tag anew under another name",
        )
    held = history.union(*(record.history for record in state.branches.values()))
    for tag in tags_of(state.attributes).values():
        own = history.subtract(tag.history, held)
        lost = history.length(own) - history.length(readable(store, state.session_id, own))
        if lost:
            yield Finding(
                place=f"tag {tag.name!r}",
                problem=f"{lost} of its messages cannot be read",
                advice=_SALVAGE,
                history=tag.history,
            )


def readable(store: Store, session_id: str, pieces: History) -> History:
    """Those of the messages that can be read, in their order."""
    found: list[Piece] = []
    pending = list(reversed(pieces))
    while pending:
        piece = pending.pop()
        size = piece.stop - piece.start
        if size > _BLOCK:
            pending += [piece._replace(start=piece.start + _BLOCK), piece._replace(stop=piece.start + _BLOCK)]
            continue
        try:
            store.read(session_id, (piece,))
        except CorruptBranchError:
            if size > 1:
                middle = (piece.start + piece.stop) // 2
                pending += [piece._replace(start=middle), piece._replace(stop=middle)]
            continue
        found.append(piece)
    return history.normalise(found)


_BLOCK = 1000
"""How many messages are read at a time."""


def _log(state: SessionState, operations: Iterable[Operation]) -> Iterator[Finding]:
    newer: Operation | None = None
    oldest = 1
    for operation in operations:
        if newer is not None and operation.number >= newer.number:
            yield Finding(
                place=f"operation {newer.number}",
                problem=f"it stands behind operation {operation.number} in the log",
                advice="undo one operation at a time, and look at what it does",
            )
        if newer is not None and operation.number < newer.number - 1:
            first, last = operation.number + 1, newer.number - 1
            yield Finding(
                place=f"operation {first}" if first == last else f"operations {first} to {last}",
                problem="the log has lost it" if first == last else "the log has lost them",
                severity="warning",
                advice="what they did stands; it cannot be undone, nor can what was deleted then be restored",
            )
        if newer is not None and operation.at > newer.at + _AHEAD:
            yield Finding(
                place=f"operation {operation.number}",
                problem=f"it is dated {codec.time_text(operation.at)}, later than the one after it: a clock was wrong",
                severity="note",
                advice="nothing but what is shown, and gc's idea of old, depends on it",
            )
        oldest = operation.number if newer is None else min(oldest, operation.number)
        newer = operation
    if oldest > 1:
        yield Finding(
            place="operation 1" if oldest == 2 else f"operations 1 to {oldest - 1}",
            problem="the log begins behind them",
            severity="note",
            advice="what they did stands; it cannot be undone",
        )


# -- what can be saved -------------------------------------------------------------------------------------------------

SALVAGED = "salvaged-"
"""How the ids of the branches begin that a repair makes."""


class Salvage(Struct, frozen=True, kw_only=True):
    """What can be read of something damaged: messages that exist, and behind them ``lines`` that were rescued. ``of``
    is the branch or tag, or ``messages``."""

    of: str
    place: str
    history: History = ()
    lines: Sequence[bytes] = ()


def salvages(store: Store, state: SessionState, findings: Iterable[Finding]) -> Iterator[Salvage]:
    """What a repair puts into new branches, given the findings of :func:`examine`, each thing once."""
    errors = [finding for finding in findings if finding.severity == "error"]
    damaged = history.union(*(finding.history for finding in errors))
    rescued: set[tuple[str | None, str]] = set()
    for finding in errors:
        if finding.rescued:
            rescued.add((finding.branch_id, finding.place))
            kept = _elsewhere(store, state, finding)
            yield Salvage(
                of=finding.branch_id or "messages",
                place=finding.place,
                history=kept,
                lines=_without(finding.rescued, _encoded(store, state, kept)),
            )
    seen: set[str] = set()
    held = history.union(*(finding.history for finding in errors if finding.rescued))
    for finding in errors:
        id_ = finding.branch_id
        if id_ is None or id_ in seen or (id_, finding.place) in rescued:
            continue
        record = state.branches.get(id_)
        whole = finding.history if record is None else record.history
        kept = readable(store, state.session_id, whole)
        is_twofold = record is not None and finding.history == record.history  # its messages are there, it is wrong
        if kept and (kept != whole or record is None or is_twofold):
            seen.add(id_)
            held = history.union(held, whole)
            yield Salvage(of=id_, place=finding.place, history=kept)
    others = {record.id: record.history for record in state.branches.values() if record.id not in seen}
    others |= {tag.name: tag.history for tag in tags_of(state.attributes).values()}
    mended = {id_ for id_, _ in rescued}
    for name, whole in others.items():
        held = history.union(held, whole)
        if name in mended or history.subtract(damaged, whole) == damaged:
            continue
        kept = readable(store, state.session_id, whole)
        if kept and kept != whole:
            yield Salvage(of=name, place=f"{'branch' if name in state.branches else 'tag'} {name!r}", history=kept)
    for finding in errors:
        rest = readable(store, state.session_id, history.subtract(finding.history, held))
        if rest:
            held = history.union(held, rest)
            yield Salvage(of="messages", place=finding.place, history=rest)


def _elsewhere(store: Store, state: SessionState, finding: Finding) -> History:
    """What can be read of the history of a damaged branch, whatever its own document still says. Nothing where the
    branch is whole: then what is damaged is something that was set aside."""
    id_ = finding.branch_id
    record = state.branches.get(id_) if id_ is not None else None
    whole = finding.history if record is None else record.history
    kept = readable(store, state.session_id, whole)
    return () if record is not None and kept == whole and _stands(store, state, record.id) else kept


def _stands(store: Store, state: SessionState, branch_id: str) -> bool:
    """Whether a branch is still there now that its messages have been read, which shows damage that a load does not."""
    try:
        return branch_id in store.load(state.session_id, only=[branch_id]).branches
    except CorruptBranchError:
        return False


def _without(lines: Sequence[bytes], others: Sequence[bytes]) -> list[bytes]:
    """The lines that are not among the others, each as often as it is more often."""
    left = Counter(others)
    rest: list[bytes] = []
    for line in lines:
        key = codec.encode_found(codec.decode(line))
        if left[key]:
            left[key] -= 1
        else:
            rest.append(line)
    return rest


def is_saved(store: Store, state: SessionState, salvage: Salvage) -> bool:
    """Whether a branch that an earlier repair made begins with all of that."""
    wanted = [codec.encode_found(codec.decode(line)) for line in salvage.lines]
    count = history.length(salvage.history)
    for record in state.branches.values():
        if not record.id.startswith(SALVAGED) or record.length < count + len(wanted):
            continue
        begins = history.cut(record.history, 0, count)
        try:
            if begins != salvage.history and _encoded(store, state, begins) != _encoded(store, state, salvage.history):
                continue
            if _encoded(store, state, history.cut(record.history, count, count + len(wanted))) == wanted:
                return True
        except CorruptBranchError:
            continue  # it is damaged too
    return False


def _encoded(store: Store, state: SessionState, pieces: History) -> list[bytes]:
    return [codec.encode_found(message) for message in store.read(state.session_id, pieces)]
