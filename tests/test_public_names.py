"""What ``import bough`` offers, and that it costs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import bough
from bough import errors

PUBLIC = [
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


def test_the_public_names_are_these() -> None:
    assert bough.__all__ == PUBLIC == dir(bough)


@pytest.mark.parametrize("name", PUBLIC)
def test_each_is_there(name: str) -> None:
    value = getattr(bough, name)
    assert name == "__version__" or value.__name__ == name


def test_every_error_is_public() -> None:
    found = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert found <= set(PUBLIC)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = bough.nothing


def test_the_import_brings_no_other_module_of_ours_and_no_library() -> None:
    code = "import bough, sys; print(*sorted(m for m in sys.modules if m.split('.')[0] in sys.argv[1:]))"
    names = ["bough", "msgspec", "pyee", "click", "rich", "dataclasses", "json", "asyncio"]
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["bough"]
