"""Bough: version control for AI conversations.

Everything public is found here. A name is imported when it is first used, so that ``import bough`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bough.branch import BranchTree, ConversationBranch, MergeResult, Undone
    from bough.copying import CopyResult, copy_session
    from bough.errors import (
        BoughError,
        BranchExistsError,
        BranchMovedError,
        BranchNotFoundError,
        CorruptBranchError,
        InvalidIdError,
        InvalidMessageError,
        InvalidRequestError,
        NotFoundError,
        NothingToUndoError,
        ProtectedBranchError,
        RepairWarning,
        SessionLockedError,
        SessionNotFoundError,
        StoreUnavailableError,
        UnsupportedFormatError,
    )
    from bough.hits import SearchHit, SearchHits
    from bough.lock import SessionLock, with_session_lock
    from bough.manager import ConversationBranchManager
    from bough.model import Finding, LockInfo
    from bough.shared import get_branch_manager, reset_branch_manager
    from bough.stores import open_store
    from bough.stores.base import Store

__version__ = "0.1.0"

__all__ = [
    "BoughError",
    "BranchExistsError",
    "BranchMovedError",
    "BranchNotFoundError",
    "BranchTree",
    "ConversationBranch",
    "ConversationBranchManager",
    "CopyResult",
    "CorruptBranchError",
    "Finding",
    "InvalidIdError",
    "InvalidMessageError",
    "InvalidRequestError",
    "LockInfo",
    "MergeResult",
    "NotFoundError",
    "NothingToUndoError",
    "ProtectedBranchError",
    "RepairWarning",
    "SearchHit",
    "SearchHits",
    "SessionLock",
    "SessionLockedError",
    "SessionNotFoundError",
    "Store",
    "StoreUnavailableError",
    "Undone",
    "UnsupportedFormatError",
    "__version__",
    "copy_session",
    "get_branch_manager",
    "open_store",
    "reset_branch_manager",
    "with_session_lock",
]

_HOMES = {
    "BranchTree": "bough.branch",
    "ConversationBranch": "bough.branch",
    "MergeResult": "bough.branch",
    "ConversationBranchManager": "bough.manager",
    "CopyResult": "bough.copying",
    "copy_session": "bough.copying",
    "SearchHit": "bough.hits",
    "SearchHits": "bough.hits",
    "Finding": "bough.model",
    "LockInfo": "bough.model",
    "Store": "bough.stores.base",
    "Undone": "bough.branch",
    "SessionLock": "bough.lock",
    "with_session_lock": "bough.lock",
    "get_branch_manager": "bough.shared",
    "reset_branch_manager": "bough.shared",
    "open_store": "bough.stores",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'bough' has no attribute {name!r}")
    value = getattr(import_module(_HOMES.get(name, "bough.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
