"""The one manager that a process shares, for programs that have no place of their own to keep one.

What it deliberately does not do: several sessions at a time. Make a ``ConversationBranchManager`` for each instead.
"""

from __future__ import annotations

import threading

from bough.manager import ConversationBranchManager

_manager: ConversationBranchManager | None = None
_manager_lock = threading.Lock()


def get_branch_manager(session_id: str | None = None) -> ConversationBranchManager:
    """The manager that this process shares, on the default store: made by the first call, the same one afterwards.

    Another ``session_id`` than its own closes it and puts a new one in its place; None takes the one there is.
    """
    global _manager
    with _manager_lock:
        if _manager is None or session_id not in (None, _manager.session_id):
            if _manager is not None:
                _manager.close()
            _manager = None
            _manager = ConversationBranchManager(session_id)
        return _manager


def reset_branch_manager() -> None:
    """Closes the shared manager; the next :func:`get_branch_manager` makes a new one."""
    global _manager
    with _manager_lock:
        if _manager is not None:
            _manager.close()
        _manager = None
