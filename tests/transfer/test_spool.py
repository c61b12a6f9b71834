"""What is put aside comes back, and is not in memory."""

from __future__ import annotations

import json
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bough.transfer import Conversation, read_conversations, spool
from bough.transfer.spool import Spool

TEXT = "lorem ipsum dolor " * 200
TIME = "2026-11-21T10:00:00.000Z"


def codex(count: int) -> Iterator[dict[str, Any]]:
    yield {"timestamp": TIME, "type": "session_meta", "payload": {"id": "0199", "timestamp": TIME}}
    for number in range(count):
        role, kind = (("user", "input_text"), ("assistant", "output_text"))[number % 2]
        said = {"type": "message", "role": role, "content": [{"type": kind, "text": f"{number} {TEXT}"}]}
        yield {"timestamp": TIME, "type": "response_item", "payload": said}


def pi(count: int) -> Iterator[dict[str, Any]]:
    yield {"type": "session", "version": 3, "id": "abc", "timestamp": TIME}
    for number in range(count):
        message = {"role": ("user", "assistant")[number % 2], "content": f"{number} {TEXT}"}
        parent = f"m{number - 1}" if number else None
        yield {"type": "message", "id": f"m{number}", "parentId": parent, "timestamp": TIME, "message": message}


def claude_code(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        role, parent = ("user", "assistant")[number % 2], f"u{number - 1}" if number else None
        message = {"role": role, "content": f"{number} {TEXT}"}
        yield {"type": role, "uuid": f"u{number}", "parentUuid": parent, "sessionId": "s", "message": message}


def zipped(path: Path) -> Path:
    archive = path.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(path, path.name)
    return archive


@pytest.mark.parametrize("pack", [lambda path: path, zipped], ids=["plain", "zipped"])
@pytest.mark.parametrize("make", [codex, pi, claude_code])
def test_of_a_long_session_memory_holds_where_messages_lie(
    tmp_path: Path, make: Callable[[int], Iterator[dict[str, Any]]], pack: Callable[[Path], Path]
) -> None:
    """12 MB in all; a fifth of it is what is remembered of the lines, and blocks."""
    path = tmp_path / "session.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in make(3_400)))
    path = pack(path)
    tracemalloc.start()
    try:
        [session] = read_conversations(path)
        assert isinstance(session, Conversation)
        contents = (message["content"] for node in session.nodes for message in node.messages())
        assert all(content == f"{number} {TEXT}" for number, content in enumerate(contents))
        assert tracemalloc.get_traced_memory()[1] < spool.IN_MEMORY + (3 << 20)
    finally:
        tracemalloc.stop()
    assert len(session.nodes) == 3_400


def test_what_was_kept_comes_back_each_time_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "IN_MEMORY", 10)
    place = Spool()
    first = place.keep([{"role": "user", "content": "\ud800 one"}, {"n": 10**400}])
    second = place.keep([{"role": "user", "content": "two"}])
    third = place.keep([{"role": "user", "content": "two"}])
    assert callable(first)
    assert callable(second)
    for _ in range(2):
        assert second() == [{"role": "user", "content": "two"}]
        assert first() == [{"role": "user", "content": "\ud800 one"}, {"n": 10**400}]
    assert second == third != first
    assert place.keep([]) == ()
