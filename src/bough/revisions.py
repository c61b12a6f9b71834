"""Revisions: how one names a state of a conversation, in the library and on the command line alike.

    main            a branch, by its id; by a name that only one branch has; by the beginning of its id (4 characters)
    HEAD            the current branch; ``-`` is the one before it
    v1              a tag
    3f9a.12         the conversation up to a message, by the id that ``bough log`` shows: the beginning of its segment's
                    id (4 characters or more), a dot, its position there
    main~3          without its last 3 messages; ``~`` alone is ``~1``
    main:12         its first 12 messages; ``main:-1`` is up to the last, ``main:-2`` up to the one before
    main@{1}        before its last operation, ``@{2}`` before the one before that; also of a branch that was deleted
    main..idea      a range: what idea has and main has not

Suffixes may follow one another (``idea@{1}~2``), and one that stands alone is of HEAD (``~3``, ``:12``, ``@{1}``).

1. What is exactly a branch's id is that branch, whatever else it could be read as; else what is exactly a tag is that.
   Before ``@{n}`` the id of a branch that was deleted is one too. The beginning of an id is what is tried last.
2. What could be several things is refused, and the error says how to name each.
3. The log of operations is read only for what stands in it.
4. Nothing stands for HEAD but beside a suffix: the empty text (a shell's variable that is not set) names nothing.

Pure: what it needs of the store it is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from msgspec import Struct

from bough import edits, history
from bough.attributes import tags_of
from bough.errors import AmbiguousRevisionError, CorruptBranchError, RevisionNotFoundError
from bough.model import BranchRecord, Edit, History, Operation, Piece, SessionState

HEAD = "HEAD"
PREVIOUS = "-"
MIN_PREFIX = 4
"""Characters of an id's beginning that can stand for it."""

_NUMBER = r"[0-9]{1,18}"
_SUFFIX = re.compile(
    rf"(?P<base>.*)(?P<suffix>~(?P<back>{_NUMBER})?|:(?P<first>-?{_NUMBER})|@\{{(?P<before>{_NUMBER})\}})", re.DOTALL
)
_TOO_MANY = re.compile(rf"(?:~(?:{_NUMBER})?|:-?{_NUMBER}|@\{{{_NUMBER}\}}){{50}}$")
_MESSAGE = re.compile(rf"(?P<segment>.+)\.(?P<position>{_NUMBER})", re.DOTALL)


class Revision(Struct, frozen=True, kw_only=True):
    """A state of a conversation: messages in order, with the edits among them.

    ``branch_id`` is the branch it was found by, None where no branch has it any more.
    """

    text: str
    history: History
    edits: tuple[Edit, ...] = ()
    branch_id: str | None = None


class Names(Struct, frozen=True, kw_only=True):
    """What revisions are looked up in. ``operations`` gives the log anew, newest first, each time it is called."""

    state: SessionState
    current: str
    operations: Callable[[], Iterator[Operation]]

    def branch(self, text: str) -> BranchRecord | None:
        """The branch that ``text`` alone names; None where none does. ``AmbiguousRevisionError``, and
        ``RevisionNotFoundError`` for a ``-`` without a branch before the current one."""
        record = self._exactly(text)
        if record is None and text not in tags_of(self.state.attributes):
            record = self._by_name(text) or self._by_beginning(text)
        return record

    def _exactly(self, text: str) -> BranchRecord | None:
        branches = self.state.branches
        if text in branches:
            return branches[text]
        if text in (HEAD, "@"):
            return branches.get(self.current)
        return branches.get(self._previous()) if text == PREVIOUS else None

    def _by_name(self, text: str) -> BranchRecord | None:
        return self._one(text, [id_ for id_, record in self.state.branches.items() if record.name == text])

    def _by_beginning(self, text: str) -> BranchRecord | None:
        if len(text) < MIN_PREFIX:
            return None
        return self._one(text, [id_ for id_ in self.state.branches if id_.startswith(text)])

    def _one(self, text: str, found: Sequence[str]) -> BranchRecord | None:
        if len(found) > 1:
            raise AmbiguousRevisionError(text, sorted(found))
        return self.state.branches[found[0]] if found else None

    def _previous(self) -> str:
        for operation in self.operations():
            before = operation.head_before
            if before not in (None, self.current) and before != operation.head_after and before in self.state.branches:
                return before
        raise RevisionNotFoundError(PREVIOUS, "no other branch was the current one before")

    # -- revisions -------------------------------------------------------------------------------------------------

    def resolve(self, text: str) -> Revision:
        """``RevisionNotFoundError``, ``AmbiguousRevisionError``, ``CorruptBranchError``."""
        found = self._resolve(text)
        self._check_kept(text, found.history)
        return Revision(text=text, history=found.history, edits=found.edits, branch_id=found.branch_id)

    def _check_kept(self, text: str, pieces: History) -> None:
        """``RevisionNotFoundError`` where the log remembers messages that were given up."""
        held = [record.history for record in self.state.branches.values()]
        live = history.union(*held, *(tag.history for tag in tags_of(self.state.attributes).values()))
        bygone = history.subtract(pieces, live)
        gone = history.union(*(operation.freed for operation in self.operations())) if bygone else ()
        lost = history.length(bygone) - history.length(history.subtract(bygone, gone))
        if lost:
            raise RevisionNotFoundError(text, f"gc or purge has given up {lost} of its messages")

    def _resolve(self, text: str) -> Revision:
        record = self._exactly(text)
        if record is not None:
            return _of(text, record)
        tag = tags_of(self.state.attributes).get(text)
        if tag is not None:
            return Revision(text=text, history=tag.history, edits=tag.edits, branch_id=tag.branch_id)
        self._check_readable(text)
        if text in (HEAD, "@"):
            raise RevisionNotFoundError(text, f"the current branch, {self.current!r}, is gone")
        named = self._by_name(text)
        suffix = _SUFFIX.fullmatch(text)
        if suffix is not None:
            if _TOO_MANY.search(text):
                raise RevisionNotFoundError(text, "it has too many suffixes")
            return self._suffixed_or_named(text, suffix, named)
        message = _MESSAGE.fullmatch(text)
        if named is None and message is not None:
            found = self._up_to(text, message["segment"], int(message["position"]))
            if found is not None:
                return found
        named = named or self._by_beginning(text)
        if named is not None:
            return _of(text, named)
        raise RevisionNotFoundError(text, "no branch, tag or message is called so")

    def _check_readable(self, text: str) -> None:
        """``CorruptBranchError`` where the branch of that id is there and damaged."""
        wanted = self.current if text in (HEAD, "@") else text
        for finding in self.state.findings:
            if finding.branch_id == wanted:
                raise CorruptBranchError(
                    finding.place, finding.problem, session_id=self.state.session_id, branch_id=wanted
                )

    def _suffixed_or_named(self, text: str, suffix: re.Match[str], named: BranchRecord | None) -> Revision:
        try:
            found = self._with_suffix(text, suffix)
        except RevisionNotFoundError:
            if named is None:
                raise
            return _of(text, named)
        if named is not None:
            other = f"{found.branch_id}{suffix['suffix']}"
            raise AmbiguousRevisionError(text, [named.id, *([] if other == text else [other])])
        return found

    def _with_suffix(self, text: str, suffix: re.Match[str]) -> Revision:
        if suffix["before"] is not None:
            return self._before(text, suffix["base"] or HEAD, int(suffix["before"]))
        base = self._resolve(suffix["base"] or HEAD)
        count = history.length(base.history)
        if suffix["first"] is not None:
            first = int(suffix["first"])
            stop = count + 1 + first if suffix["first"].startswith("-") else first
        else:
            stop = count - int(suffix["back"] or 1)
        if not 0 <= stop <= count:
            raise RevisionNotFoundError(text, f"{suffix['base'] or HEAD} has {count} messages")
        return _cut(text, base, stop)

    def _before(self, text: str, base: str, wanted: int) -> Revision:
        branch_id, record = self._logged(text, base)
        if record is None:
            self._check_readable(base)
        count, before = 0, record
        for operation in self.operations() if wanted else ():
            for entry in operation.branches:
                if entry.id == branch_id:
                    count, before = count + 1, entry.before
            if count == wanted:
                break
        if count < wanted:
            raise RevisionNotFoundError(
                text, f"the log has {count} operation{'s' * (count != 1)} on branch {branch_id!r}"
            )
        if before is None:
            raise RevisionNotFoundError(text, f"branch {branch_id!r} did not exist then")
        return _of(text, before)

    def _logged(self, text: str, base: str) -> tuple[str, BranchRecord | None]:
        """Which branch's operations are meant, and what it is now: one that was deleted is known by its exact id."""
        record = self._exactly(base)
        if record is None:
            if any(entry.id == base for operation in self.operations() for entry in operation.branches):
                return base, None
            record = self._by_name(base) or self._by_beginning(base)
            if record is None:
                self._check_readable(base)
                raise RevisionNotFoundError(text, f"no branch is called {base!r}, and only a branch has @{{n}}")
        return (base, None) if record is None else (record.id, record)

    # -- messages --------------------------------------------------------------------------------------------------

    def _up_to(self, text: str, prefix: str, position: int) -> Revision | None:
        mine = self.state.branches.get(self.current)
        live = sorted(
            self.state.branches.values(), key=lambda record: (record is not mine, record.id != "main", record.id)
        )
        return self._holding(text, live, prefix, position) or self._holding(text, self._bygone(), prefix, position)

    def _bygone(self) -> Iterator[BranchRecord]:
        """The branches as the log remembers them, the newest first."""
        for operation in self.operations():
            for entry in operation.branches:
                yield from (record for record in (entry.after, entry.before) if record is not None)

    def _holding(self, text: str, records: Iterable[BranchRecord], prefix: str, position: int) -> Revision | None:
        """The first record that holds the message, up to it. All are looked at: another may hold one that is meant as
        well."""
        found: dict[str, Revision] = {}
        for record in records:
            for segment, start, stop in record.history:
                if segment not in found and start <= position < stop and _is_meant(segment, prefix):
                    at = history.index_of(record.history, segment, position)
                    found[segment] = _cut(text, _of(text, record), 0 if at is None else at + 1)
        if prefix in found:
            return found[prefix]
        if len(found) > 1:
            raise AmbiguousRevisionError(text, [f"{segment}.{position}" for segment in sorted(found)])
        return next(iter(found.values()), None)


def _is_meant(segment: str, prefix: str) -> bool:
    return segment == prefix or (len(prefix) >= MIN_PREFIX and segment.startswith(prefix))


def _of(text: str, record: BranchRecord) -> Revision:
    return Revision(text=text, history=record.history, edits=record.edits, branch_id=record.id)


def _cut(text: str, revision: Revision, stop: int) -> Revision:
    kept = history.cut(revision.history, 0, stop)
    return Revision(text=text, history=kept, edits=edits.kept(kept, revision.edits), branch_id=revision.branch_id)


def split_range(text: str, resolve: Callable[[str], Revision]) -> tuple[Revision, Revision]:
    """The two sides of ``A..B`` (HEAD where one is left out).

    An id may hold dots, so every split is tried. ``AmbiguousRevisionError`` where several make sense,
    ``RevisionNotFoundError`` where none does.
    """
    found: list[tuple[Revision, Revision]] = []
    failures: list[RevisionNotFoundError] = []
    for before, after in splits(text):
        try:
            found.append((resolve(before), resolve(after)))
        except RevisionNotFoundError as error:
            failures.append(error)
    if len(found) > 1:
        raise AmbiguousRevisionError(text, [f"{one.text!r} and {other.text!r}" for one, other in found])
    if not found:
        raise failures[0] if len(failures) == 1 else RevisionNotFoundError(text, "no branch, tag or range is called so")
    return found[0]


def splits(text: str) -> list[tuple[str, str]]:
    """Every way to read ``text`` as a range: both sides, HEAD where one is left out."""
    dots = [each.start() for each in re.finditer(r"(?=\.\.)", text)]
    return [(text[:at] or HEAD, text[at + 2 :] or HEAD) for at in dots]


def short_ids(records: Iterable[BranchRecord]) -> Callable[[str, int], str]:
    """Gives messages of those branches the shortest ids that name them: ``3f9a.12``."""
    segments = sorted({piece.segment for record in records for piece in record.history})
    shown: dict[str, str] = {}
    for at, segment in enumerate(segments):
        beside = chain(segments[at - 1 : at] if at else (), segments[at + 1 : at + 2])
        length = max([MIN_PREFIX, *(_common(segment, other) + 1 for other in beside)])
        shown[segment] = segment[:length]

    def short(segment: str, position: int) -> str:
        return f"{shown.get(segment, segment)}.{position}"

    return short


def _common(left: str, right: str) -> int:
    count = 0
    for mine, other in zip(left, right, strict=False):
        if mine != other:
            break
        count += 1
    return count


def identity_of(revision: Revision) -> Piece:
    """The last message of a revision, as a piece of one. ``RevisionNotFoundError`` where it has none."""
    if not revision.history:
        raise RevisionNotFoundError(revision.text, "there is no message")
    segment, _, stop = revision.history[-1]
    return Piece(segment, stop - 1, stop)
