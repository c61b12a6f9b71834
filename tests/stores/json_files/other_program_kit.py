"""The other program, run by Node, and what the tests ask of a session that it worked on."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bough.manager import ConversationBranchManager
from bough.model import BranchRecord, Message
from bough.stores.json_files import JsonFilesStore

NODE = shutil.which("node")
PROGRAM = Path(__file__).with_name("code_buddy.js")


class CodeBuddy:
    """``code_buddy.js`` at work on a session's folder: one process, one answer a command."""

    def __init__(self, folder: Path) -> None:
        assert NODE is not None
        self._process = subprocess.Popen(
            [NODE, str(PROGRAM), str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.__exit__(kind, error, trace)  # the end of its input ends it

    def __call__(self, command: str, *args: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([command, *args]) + "\n")
        answer = json.loads(self._process.stdout.readline() or '{"error": "it ended"}')
        assert "error" not in answer, answer["error"]
        return answer["value"]


def say(*texts: str) -> list[Message]:
    return [{"role": "user", "content": text} for text in texts]


def open_session(root: Path, session: str = "talk") -> ConversationBranchManager:
    """As another process would: with a store of its own."""
    return ConversationBranchManager(session, store=JsonFilesStore(root, durability="lazy"))


def record(manager: ConversationBranchManager, branch_id: str) -> BranchRecord:
    return manager.store.load(manager.session_id).branches[branch_id]


def identities(manager: ConversationBranchManager, branch_id: str = "main") -> list[tuple[str, int]]:
    """Of every message: its segment and position."""
    history = record(manager, branch_id).history
    return [(segment, at) for segment, start, stop in history for at in range(start, stop)]


def texts(manager: ConversationBranchManager, branch_id: str | None = None) -> list[Any]:
    return [message["content"] for message in manager.get_messages(branch_id)]


def kinds(manager: ConversationBranchManager) -> list[str]:
    """The verbs of the session's operations, oldest first."""
    return [operation.kind for operation in manager.store.operations(manager.session_id)][::-1]


def everything(root: Path) -> dict[str, tuple[bytes, int, int]]:
    """Every file below: its bytes, inode and time of change. Locks are left out."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink() and not path.name.startswith("session.lock"):
            status = path.stat()
            found[str(path.relative_to(root))] = (path.read_bytes(), status.st_ino, status.st_mtime_ns)
    return found
