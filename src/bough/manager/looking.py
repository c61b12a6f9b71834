"""Looking: at branches, messages and the tree they form; searching and comparing. Nothing here writes."""

from __future__ import annotations

from collections.abc import Callable, Collection

from bough import attributes, history, render, turns
from bough.branch import BranchTree, ConversationBranch, grow_trees, line_of_descent
from bough.diff import Diff, Side, Twin, compare, twins
from bough.errors import InvalidRequestError, InvalidTurnsError
from bough.hits import SearchHits, find
from bough.manager.base import Base
from bough.model import Message
from bough.revisions import HEAD, Revision
from bough.stats import Stats, collect
from bough.stores.base import check_id


class Looking(Base):
    """The verbs that only look."""

    def get_current_branch_id(self) -> str:
        """The branch that messages are added to."""
        return self._current

    def get_current_branch(self) -> ConversationBranch:
        """The branch that messages are added to, as it is now."""
        return self._session.branch(self._session.saw(self._session.record(self._current)))

    def get_messages(
        self,
        branch_id: str | None = None,
        *,
        start: int = 0,
        stop: int | None = None,
        for_provider: turns.Provider | None = None,
        repair: bool = False,
    ) -> list[Message]:
        """Fresh copies of ``messages[start:stop]`` of a branch, the current one if None; costs what it returns.

        With ``for_provider`` they are held to what that provider takes: ``InvalidTurnsError`` names what it would
        refuse. With ``repair`` that is mended in what is returned (:mod:`bough.turns`), and raised only where it cannot
        be; the branch stays as it is: :meth:`repair` mends it.
        """
        record = self._session.saw(self._session.record(self._current if branch_id is None else branch_id))
        first, last, _ = slice(start, stop).indices(record.length)
        messages = self.store.read(self.session_id, history.cut(record.history, first, max(first, last)))
        if for_provider is None:
            return messages
        return _fit(messages, for_provider, repair=repair)

    def get_all_branches(
        self, *, labels: Collection[str] = (), archived: bool | None = None
    ) -> list[ConversationBranch]:
        """Every branch that can be read, the newest change first; with ``labels`` those whose metadata has them all,
        with ``archived`` those that are, or are not."""
        records = [
            record
            for record in self._session.load().branches.values()
            if attributes.has_labels(record.metadata, labels)
            and archived in (None, attributes.is_archived(record.metadata))
        ]
        records.sort(key=lambda record: record.id)
        records.sort(key=lambda record: (record.updated_at, record.operation), reverse=True)
        return self._session.branches(records)

    def get_branch_tree(self) -> list[BranchTree]:
        """The branches by parent: each exactly once, also where parents are unknown or go round in a circle."""
        return grow_trees(self.get_all_branches())

    def get_branch_history(self, branch_id: str) -> list[ConversationBranch]:
        """The branches from the root to ``branch_id``."""
        check_id(branch_id)
        state = self._session.load()
        self._session.find(state, branch_id)
        branches = {branch.id: branch for branch in self._session.branches(state.branches.values())}
        return line_of_descent(branches, branch_id)

    def format_branches(self) -> str:
        """The branches as text, one a line, ``*`` before the current one."""
        return render.format_branches(self.get_all_branches(), self._current)

    def format_branch_tree(self) -> str:
        """The tree of branches as text, ``*`` behind the current one."""
        return render.format_branch_tree(self.get_branch_tree(), self._current)

    def search(
        self,
        query: str,
        *,
        session: str | None = None,
        branch: str | None = None,
        everywhere: bool = False,
        limit: int | None = 20,
    ) -> SearchHits:
        """The messages that hold what ``query`` asks for (:func:`bough.search.parse`), the newest first.

        In this session, in another ``session``, in one ``branch`` of either, or ``everywhere``: in all sessions of the
        store. A message is one hit, however many branches hold it. ``limit`` None gives all. What is damaged hides no
        hit elsewhere: it stands in the ``findings`` of what is returned. ``InvalidRequestError`` names the place where
        the query cannot be understood; ``SessionNotFoundError``.
        """
        if everywhere and (session is not None or branch is not None):
            raise InvalidRequestError("everywhere is not in one session or branch", hint="leave one of them out")
        session_id = None if everywhere else self.session_id if session is None else session
        return find(self.store, query, session_id=session_id, branch_id=branch, limit=limit)

    def diff(self, before: str, after: str = HEAD) -> Diff:
        """What leads from one revision to the other: what they share, and what just one of them holds.

        The cost does not depend on the number of messages; none is read. ``RevisionNotFoundError``.
        """
        return compare(side_of(self.resolve(before)), side_of(self.resolve(after)))

    def twins(self, diff: Diff) -> tuple[Twin, ...]:
        """The messages of a diff that were removed and added with the same content. Reads those."""
        return twins(diff, self.read_messages)

    def check(self, revision: str = HEAD, *, provider: turns.Provider | None = None) -> list[turns.TurnProblem]:
        """What is wrong with the tool calls and the order of messages (:func:`bough.turns.check`)."""
        return turns.check(self.read_messages(self.resolve(revision).history), provider=provider)

    def stats(self, progress: Callable[[int, int], object] = lambda done, total: None) -> Stats:
        """How much the session holds and what sharing saves. Reads every message once; ``progress`` is told how many
        of how many."""
        return collect(self.store, self._session.load(), progress)


def _fit(messages: list[Message], provider: turns.Provider, *, repair: bool) -> list[Message]:
    """The messages as the provider takes them. ``InvalidTurnsError``."""
    if not repair:
        problems = turns.check(messages, provider=provider)
    else:
        repaired = turns.repair(messages, provider=provider)
        messages = [messages[part] if isinstance(part, int) else part for part in repaired.parts]
        problems = repaired.left
    if problems:
        listed = f"`bough check --provider {provider}` lists what is wrong"
        can_mend = any(problem.kind not in turns.UNMENDED for problem in problems)
        raise InvalidTurnsError(problems, hint=f"{listed}; {'`--repair` mends' if can_mend else 'no repair mends'} it")
    return messages


def side_of(revision: Revision) -> Side:
    return Side(revision.history, revision.edits)
