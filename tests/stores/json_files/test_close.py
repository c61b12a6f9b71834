"""``close`` lets go of every file at once, without waiting for the garbage collector."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from bough.errors import StoreUnavailableError
from bough.manager import ConversationBranchManager

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are listed in /proc")


def open_files(folder: Path) -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:  # the descriptor of the listing itself
            continue
    return [path for path in found if path.startswith(str(folder))]


def test_close_lets_go_of_every_file(tmp_path: Path) -> None:
    gc.disable()
    try:
        manager = ConversationBranchManager("talk", store=tmp_path)
        manager.add_message({"role": "user", "content": "one"})
        manager.fork("other")
        manager.add_message({"role": "user", "content": "two"})
        assert open_files(tmp_path), "the last documents and the lock are kept open for the next append"
        manager.close()
        assert open_files(tmp_path) == []
        assert sorted(path.name for path in (tmp_path / "talk").iterdir()) == [
            "HEAD",
            "main.json",
            "operations.jsonl",
            "other.json",
            "session.lock.guard",
        ]
    finally:
        gc.enable()
    with pytest.raises(StoreUnavailableError):
        manager.add_message({"role": "user", "content": "three"})
