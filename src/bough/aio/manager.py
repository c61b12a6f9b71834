"""AsyncConversationBranchManager: the manager's verbs, awaited.

The verbs are those of :mod:`bough.manager`, done by a ConversationBranchManager in threads (:mod:`bough.aio.threads`).
What is decided here is only when a task waits, and who is told of what.

1. No method touches the store on the event loop's thread, nor do the branches that are handed out: reading their
   messages there is refused.
2. A call that has begun goes on to its end when its task is cancelled, and so do the handlers of its events. One that
   still waited for a thread is not done. Whoever cancels does not know which it was.
3. An error that nobody awaits any more goes to the exception handler of the event loop.
4. Handlers run on the event loop's thread, after the change is durable: those of one call in order, one at a time. The
   call ends after them and holds no thread meanwhile, so a handler may call the manager, and may close it.
5. ``close`` waits for the calls under way.
6. Who is inside ``lock()``, or holds a session's lock otherwise, gets a thread at once: those who wait for him never
   keep him waiting.
7. What a verb is given to call (a strategy, ``resolve``, ``progress``, ``tell``) is called in its thread, where it
   may take its time. The log of ``operations()`` is read in threads too, a block at a time, as it is asked for.

Calls are made by :mod:`bough.aio.calls`; :mod:`bough.aio.verbs` has what each verb takes and gives.

What it deliberately does not do: serve two event loops (each opens one of its own); keep the order of calls that are
not awaited.
"""

from __future__ import annotations

import inspect

from bough.aio.verbs import Verbs
from bough.manager import ConversationBranchManager


class AsyncConversationBranchManager(Verbs):
    """One session and its branches, for the tasks of one event loop. Made by :meth:`open`.

    Each method does what that of :class:`~bough.manager.ConversationBranchManager` does, takes what it takes and raises
    what it raises. What only looks at the manager itself is not awaited: ``session_id``, ``store``,
    ``get_current_branch_id``, ``on``, ``once``, ``off``. Nor is ``lock()``, which is for ``async with``, nor
    ``operations()``, for ``async for``.

    An iterable is gone through before the call first waits; what is in it must not change until the call is done.
    """


for _name, _method in vars(Verbs).items():
    if inspect.isfunction(_method) and not _method.__doc__:
        _method.__doc__ = getattr(ConversationBranchManager, _name, _method).__doc__
