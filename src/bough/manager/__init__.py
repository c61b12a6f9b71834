"""ConversationBranchManager: the verbs of a conversation with branches. The only writer.

1. A verb is one commit to the store: all or nothing, and durable when it returns. Appends are no operations; every
   other change is one, and can be undone.
2. A read shows what everyone has committed. Nothing is cached that another process could have changed.
3. The current branch is HEAD when the manager opens; afterwards only the manager's own verbs move it, so that another
   terminal's ``switch`` never redirects a running agent.
4. A verb that finds its branch moved reads again and starts over. Only ``set_messages`` refuses, where it would
   overwrite messages that its caller has not seen.
5. Events are sent after the change is durable.
6. A manager may be used by several threads. It never holds a lock of its own while it waits for the store.

The verbs stand by what they are about: :mod:`.looking`, :mod:`.messages`, :mod:`.branches`, :mod:`.importing`,
:mod:`.merging`, :mod:`.operations`, :mod:`.upkeep`; what they share in :mod:`.base`. What they deliberately do not do:
keep messages (stores do), compute with histories (:mod:`bough.changes`, :mod:`bough.merge`, :mod:`bough.undo`,
:mod:`bough.imports`, :mod:`bough.retention`), draw (:mod:`bough.render`).
"""

from __future__ import annotations

from bough.branch import MAIN_NAME
from bough.manager.base import DEFAULT_SESSION, Align
from bough.manager.branches import BranchVerbs
from bough.manager.importing import ImportVerbs
from bough.manager.looking import Looking
from bough.manager.merging import MergeVerbs
from bough.manager.messages import MessageVerbs
from bough.manager.operations import OperationVerbs
from bough.manager.upkeep import UpkeepVerbs

__all__ = ["DEFAULT_SESSION", "MAIN_NAME", "Align", "ConversationBranchManager"]


class ConversationBranchManager(
    Looking, MessageVerbs, BranchVerbs, ImportVerbs, MergeVerbs, OperationVerbs, UpkeepVerbs
):
    """One session and its branches.

    ``store`` is a store, a URL or path for :func:`bough.stores.open_store`, or None for the default one. A store that
    the manager opened is closed by :meth:`close`; one that was given is left open. A session that is new is made, with
    a branch ``main``; with ``create=False`` nothing is written and ``SessionNotFoundError`` is raised instead.

    Every verb that is given a branch id raises ``InvalidIdError`` where it cannot be one, ``BranchNotFoundError`` where
    there is none, and ``CorruptBranchError`` where its document cannot be read. Every change may raise
    ``SessionLockedError`` and ``StoreUnavailableError``, and an ``ExceptionGroup`` of what event handlers raised (the
    change is done then).
    """
