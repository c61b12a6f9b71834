"""Keeping a session in order: tags, metadata, fsck, gc, purge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

from msgspec import Struct

from bough import attributes, changes, codec, edits, fsck, history, retention
from bough.attributes import Retention, Tag
from bough.errors import CorruptBranchError, InvalidRequestError, RevisionNotFoundError
from bough.fsck import SALVAGED, Salvage
from bough.history import subtract
from bough.manager.base import Base, number_of
from bough.model import Change, Finding, History, Operation, Piece, Put, SessionState, replace
from bough.retention import Garbage, GarbageReport, PurgeReport
from bough.revisions import HEAD
from bough.session import Session
from bough.stores.base import MAX_ID_BYTES


class Checkup(Struct, frozen=True, kw_only=True):
    """What fsck found, and the branches that a repair made of what it could save."""

    findings: tuple[Finding, ...]
    salvaged: tuple[str, ...] = ()
    salvageable: int = 0
    """How many things a repair found that could be saved, with those that an earlier one did."""


def check_up(
    session: Session, *, repair: bool = False, tell: Callable[[Finding], object] = lambda finding: None
) -> Checkup:
    """:meth:`bough.manager.ConversationBranchManager.fsck`, also of a session that no manager can open."""
    findings: list[Finding] = []
    for finding in fsck.examine(session.store, session.id):
        findings.append(finding)
        tell(finding)
    if not repair or all(finding.severity != "error" for finding in findings):
        return Checkup(findings=tuple(findings))
    wanted = list(fsck.salvages(session.store, session.load(), findings))
    made = [_salvage(session, each) for each in wanted]
    return Checkup(findings=tuple(findings), salvaged=tuple(filter(None, made)), salvageable=len(wanted))


def _salvage(session: Session, salvage: Salvage) -> str | None:
    """Puts what is left of something damaged into a new branch; its id, None where it is in one already."""

    def plan(state: SessionState) -> Change | None:
        if fsck.is_saved(session.store, state, salvage):
            return None
        unread = {each.branch_id or "" for each in state.findings}
        new_id = changes.free_id(f"{SALVAGED}{salvage.of}", {*state.branches, *unread})
        put = changes.put_new(new_id, _cut_name(f"Salvaged: {salvage.of}"))
        put = changes.put_salvaged(put, salvage.history, salvage.lines)
        return changes.change("salvage", put, detail={"of": salvage.of, "place": salvage.place})

    _, commit = session.write(plan, only=None)
    session.announce(commit)
    return next(iter(commit.branches)) if commit else None


class UpkeepVerbs(Base):
    """The verbs of upkeep."""

    # -- tags ------------------------------------------------------------------------------------------------------

    def tags(self) -> dict[str, Tag]:
        """The tags by name."""
        return attributes.tags_of(self._session.load(only=[]).attributes)

    def tag(self, name: str, revision: str = HEAD) -> Tag:
        """Gives a state of a conversation a name, which stays what it was; gc keeps its messages.

        ``InvalidRequestError`` where there is such a tag or branch, or it cannot be a name; ``RevisionNotFoundError``.
        """
        changes.check_tag_name(name)
        found = self.resolve(revision)
        tag = Tag(name=name, history=found.history, edits=found.edits, branch_id=found.branch_id, at=codec.now())

        def plan(state: SessionState) -> Change:
            if name in attributes.tags_of(state.attributes):
                raise InvalidRequestError(f"there is a tag {name!r} already", hint="take it away first: `bough tag -d`")
            if name in state.branches:
                raise InvalidRequestError(f"there is a branch {name!r}, so no tag can be called so")
            return self._set_attributes(state, "tag", attributes.with_tag(state.attributes, tag), {"tag": name})

        self._session.write(plan, only=[name])
        return tag

    def untag(self, name: str) -> None:
        """Takes a tag away. ``RevisionNotFoundError`` where there is none."""

        def plan(state: SessionState) -> Change:
            if name not in attributes.tags_of(state.attributes):
                raise RevisionNotFoundError(name, "there is no such tag")
            return self._set_attributes(state, "untag", attributes.without_tag(state.attributes, name), {"tag": name})

        self._session.write(plan, only=[])

    # -- metadata --------------------------------------------------------------------------------------------------

    def session_metadata(self) -> dict[str, Any]:
        """What was set for the session: ``title``, ``labels``, ``archived``, ``retention`` and your own keys."""
        return attributes.plain(self._session.load(only=[]).attributes)

    def set_session_metadata(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Sets keys of the session's metadata; a value None removes the key. All of it afterwards.

        ``title`` is a string, ``labels`` a list of strings, ``archived`` a boolean, ``retention`` what gc keeps if it
        is not told otherwise: ``{"days": N, "operations": M}``, or one of them. ``InvalidRequestError``,
        ``InvalidMessageError`` for what JSON cannot say.
        """

        def plan(state: SessionState) -> Change | None:
            wanted = attributes.updated(state.attributes, values)
            if codec.dumps(wanted) == codec.dumps(dict(state.attributes)):
                return None
            return self._set_attributes(state, "describe", wanted, {"keys": sorted(values)})

        self._session.write(plan, only=[])
        return self.session_metadata()

    def _set_attributes(self, state: SessionState, kind: str, wanted: dict[str, Any], detail: dict[str, Any]) -> Change:
        return changes.change(kind, attributes=wanted, detail=detail, after_operation=state.last_operation)

    # -- fsck ------------------------------------------------------------------------------------------------------

    def fsck(self, *, repair: bool = False, tell: Callable[[Finding], object] = lambda finding: None) -> Checkup:
        """Looks at everything the store keeps of the session, and at what it means (:mod:`bough.fsck`).

        ``tell`` hears of each finding as it is found. With ``repair`` what can be read of a damaged branch or tag is
        put into a new branch each, ``salvaged-<id>``, unless an earlier repair did; nothing else is touched.
        """
        return check_up(self._session, repair=repair, tell=tell)

    # -- giving up -------------------------------------------------------------------------------------------------

    def gc(
        self,
        *,
        keep: timedelta | None = None,
        keep_operations: int | None = None,
        unreachable: bool = False,
        dry_run: bool = False,
    ) -> GarbageReport:
        """Gives up messages that no branch, no tag and no operation within the retention needs any more.

        An operation is within it if it is younger than ``keep`` or one of the last ``keep_operations``; without either,
        what the session's metadata says (``retention``), else 30 days. What needs given-up messages cannot be undone
        any more; everything else stays as it is, and others may read and write meanwhile. With ``dry_run`` nothing is
        done. ``CorruptBranchError`` where a branch cannot be read: what it needs is not known then.

        With ``unreachable`` also messages that nothing has or ever had, which an import that was killed leaves. A copy
        *into* this session leaves such too, and goes on from them: it cannot any more then, nor can one that is under
        way; it can be made under another id. Every byte of the session is read for that, and the session is locked
        meanwhile, as it is by an import. ``CorruptBranchError`` where anything is damaged.
        """
        if (keep is not None and keep < timedelta()) or (keep_operations is not None and keep_operations < 0):
            raise InvalidRequestError("what is kept cannot be less than nothing")
        found: list[Garbage] = []
        sizes: list[int] = []

        def plan(state: SessionState) -> Change | None:
            self._check_whole(state)
            asked = Retention(age=keep, operations=keep_operations)
            wanted = attributes.retention_of(state.attributes) if asked == Retention() else asked
            operations = list(self.store.operations(self.session_id))
            strays = self._unreachable(state, operations) if unreachable else ()
            garbage = retention.find_garbage(state, operations, wanted, codec.now(), unreachable=strays)
            found[:] = [garbage]
            sizes[:] = [self._size(garbage.free)]
            if not garbage.free or dry_run:
                return None
            return changes.change("gc", free=garbage.free, after_operation=state.last_operation)

        with self.lock() if unreachable else nullcontext():
            _, commit = self._session.write(plan, only=None)
        [garbage] = found
        return GarbageReport(
            messages=history.length(garbage.free),
            bytes=sizes[0],
            unreachable=garbage.unreachable,
            in_branches=garbage.in_branches,
            for_tags=garbage.for_tags,
            for_undo=garbage.for_undo,
            undo_to=garbage.undo_to,
            operation=number_of(commit),
        )

    def purge(self, *revisions: str | Piece, dry_run: bool = False) -> PurgeReport:
        """Erases messages for good, from all branches, tags, the log, what was set aside, and the search index.

        Of each revision the last message; of a range ``A..B`` what B has and A has not; a piece, such as those that a
        dry run's report names, is these messages, whatever the branches have become since. No byte of them is left in
        the store's files when it returns (as far as the file system does not keep old blocks; backups and other
        sessions are not touched). It cannot be undone; other wordings of an edited message are only counted. With
        ``dry_run`` nothing is done. ``RevisionNotFoundError``; ``CorruptBranchError`` where something cannot be read
        that may hold them.
        """
        wanted = history.union(*(self._chosen(revision) for revision in revisions))
        reports: list[PurgeReport] = []

        def plan(state: SessionState) -> Change | None:
            self._check_whole(state)
            self._check_known(state, [each for each in revisions if isinstance(each, Piece)])
            holders = {
                record.id: record for record in state.branches.values() if subtract(wanted, record.history) != wanted
            }
            tags = [
                tag.name
                for tag in attributes.tags_of(state.attributes).values()
                if subtract(wanted, tag.history) != wanted
            ]
            report = PurgeReport(
                messages=history.length(wanted),
                history=wanted,
                branches={id_: _first_index(record.history, wanted) for id_, record in sorted(holders.items())},
                tags=tuple(tags),
                other_wordings=self._other_wordings(state, wanted),
                operation=None,
            )
            reports[:] = [report]
            if dry_run or not wanted:
                return None
            puts: list[Put] = [
                changes.put_history(record, subtract(record.history, wanted)) for record in holders.values()
            ]
            return changes.change(
                "purge",
                *puts,
                free=wanted,
                erase=True,
                attributes=changes.without_messages(state.attributes, wanted) if tags else None,
                after_operation=state.last_operation,
            )

        _, commit = self._session.write(plan, only=None)
        [report] = reports
        return replace(report, operation=number_of(commit))

    def _chosen(self, revision: str | Piece) -> History:
        if isinstance(revision, Piece):
            return (revision,)
        before, after = self.resolve_range(revision)
        return subtract(after.history, before.history)

    def _check_known(self, state: SessionState, pieces: Sequence[Piece]) -> None:
        """``InvalidRequestError`` where a message was never: one that came there later would be given up already."""
        tips = [(Piece(record.tip.segment, 0, record.tip.next),) for record in state.branches.values()]
        live = [record.history for record in state.branches.values()]
        unknown = subtract(history.union(tuple(pieces)), history.union(*live, *tips))
        if unknown:
            logged = history.union(*retention.histories_of(self.store.operations(self.session_id)))
            unknown = subtract(unknown, logged)
        if unknown:
            raise InvalidRequestError(f"there is no message at {unknown[0].segment}.{unknown[0].start}")

    def _other_wordings(self, state: SessionState, wanted: History) -> int:
        known = [edit for record in state.branches.values() for edit in record.edits]
        first = history.union(edits.first_wordings(wanted, known))
        others: set[tuple[str, int]] = set()
        for edit in known:
            original = (Piece(edit.original_segment, edit.original_position, edit.original_position + 1),)
            if subtract(original, first) != original:
                others |= {(edit.segment, edit.position), (edit.original_segment, edit.original_position)}
        return sum(subtract((one := (Piece(*each, each[1] + 1),)), wanted) == one for each in others)

    def _unreachable(self, state: SessionState, operations: Sequence[Operation]) -> History:
        """What the store finds that nothing has or ever had. ``CorruptBranchError`` where something is damaged or lost:
        it may have had them."""
        if len(operations) < state.last_operation:
            place, reason = f"session {self.session_id!r}", "its log has lost operations; what they had is not known"
            raise CorruptBranchError(place, reason, session_id=self.session_id)
        found: list[History] = []
        for finding in self.store.verify(self.session_id):
            if finding.severity == "error":
                raise self._damaged(finding)
            if finding.unreachable:
                found.append(finding.history)
        return history.union(*found)

    def _check_whole(self, state: SessionState) -> None:
        for finding in state.findings:
            if finding.branch_id in state.branches:
                continue  # torn: the next write mends it
            raise self._damaged(finding)

    def _damaged(self, finding: Finding) -> CorruptBranchError:
        branch_id = finding.branch_id or ""
        return CorruptBranchError(finding.place, finding.problem, session_id=self.session_id, branch_id=branch_id)

    def _size(self, pieces: History) -> int:
        """The bytes of the messages as JSON; what cannot be read counts for none."""
        total = 0
        for segment, start, stop in pieces:
            for at in range(start, stop, _BLOCK):
                block: History = (Piece(segment, at, min(at + _BLOCK, stop)),)
                try:
                    messages = self.read_messages(block)
                except CorruptBranchError:
                    messages = self.read_messages(fsck.readable(self.store, self.session_id, block))
                total += sum(len(codec.encode_found(message)) for message in messages)
        return total


_BLOCK = 1000
"""How many messages are read at a time."""


def _first_index(pieces: History, wanted: History) -> int:
    kept = history.common_prefix(pieces, subtract(pieces, wanted))
    return history.length(kept)


def _cut_name(name: str) -> str:
    """The beginning of a name that is not too long for one."""
    return name.encode()[:MAX_ID_BYTES].decode(errors="ignore")
