"""Bough: version control for AI conversations.

Everything public is found here. A name is imported when it is first used, so that ``import bough`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bough.attributes import Tag
    from bough.branch import BranchTree, ConversationBranch, Undone
    from bough.copying import CopyResult, copy_session
    from bough.diff import Diff
    from bough.errors import (
        AmbiguousRevisionError,
        BoughError,
        BranchExistsError,
        BranchMovedError,
        BranchNotFoundError,
        CorruptBranchError,
        InvalidIdError,
        InvalidMessageError,
        InvalidRequestError,
        InvalidTurnsError,
        MergeConflictError,
        NotFoundError,
        NothingToUndoError,
        ProtectedBranchError,
        RepairWarning,
        RevisionNotFoundError,
        SessionLockedError,
        SessionNotFoundError,
        StoreUnavailableError,
        UnsupportedFormatError,
    )
    from bough.hits import SearchHit, SearchHits
    from bough.lock import SessionLock, with_session_lock
    from bough.manager import ConversationBranchManager
    from bough.merge.result import MergeResult, Origin
    from bough.merge.sides import Conflict
    from bough.model import Finding, LockInfo, Operation, Version
    from bough.revisions import Revision
    from bough.shared import get_branch_manager, reset_branch_manager
    from bough.stores import open_store
    from bough.stores.base import Store

__version__ = "0.1.0"

__all__ = [
    "AmbiguousRevisionError",
    "BoughError",
    "BranchExistsError",
    "BranchMovedError",
    "BranchNotFoundError",
    "BranchTree",
    "Conflict",
    "ConversationBranch",
    "ConversationBranchManager",
    "CopyResult",
    "CorruptBranchError",
    "Diff",
    "Finding",
    "InvalidIdError",
    "InvalidMessageError",
    "InvalidRequestError",
    "InvalidTurnsError",
    "LockInfo",
    "MergeConflictError",
    "MergeResult",
    "NotFoundError",
    "NothingToUndoError",
    "Operation",
    "Origin",
    "ProtectedBranchError",
    "RepairWarning",
    "Revision",
    "RevisionNotFoundError",
    "SearchHit",
    "SearchHits",
    "SessionLock",
    "SessionLockedError",
    "SessionNotFoundError",
    "Store",
    "StoreUnavailableError",
    "Tag",
    "Undone",
    "UnsupportedFormatError",
    "Version",
    "__version__",
    "copy_session",
    "get_branch_manager",
    "open_store",
    "reset_branch_manager",
    "with_session_lock",
]

_HOMES = {
    "Tag": "bough.attributes",
    "BranchTree": "bough.branch",
    "ConversationBranch": "bough.branch",
    "Undone": "bough.branch",
    "CopyResult": "bough.copying",
    "copy_session": "bough.copying",
    "Diff": "bough.diff",
    "SearchHit": "bough.hits",
    "SearchHits": "bough.hits",
    "SessionLock": "bough.lock",
    "with_session_lock": "bough.lock",
    "ConversationBranchManager": "bough.manager",
    "MergeResult": "bough.merge.result",
    "Origin": "bough.merge.result",
    "Conflict": "bough.merge.sides",
    "Finding": "bough.model",
    "LockInfo": "bough.model",
    "Operation": "bough.model",
    "Version": "bough.model",
    "Revision": "bough.revisions",
    "get_branch_manager": "bough.shared",
    "reset_branch_manager": "bough.shared",
    "open_store": "bough.stores",
    "Store": "bough.stores.base",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'bough' has no attribute {name!r}")
    value = getattr(import_module(_HOMES.get(name, "bough.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
