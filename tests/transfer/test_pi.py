"""Sessions of pi, in the shape of its documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from golden_kit import GOLDEN, assert_nothing_is_lost, expected, mixed_up, tree_of
from hypothesis import given
from hypothesis import strategies as st

from bough.transfer import Conversation, Defect, paths, read_conversations
from bough.turns import check

[FILE] = (GOLDEN / "pi").glob("*.jsonl")
LINES = [json.loads(line) for line in FILE.read_text().splitlines()]
IDS = [line["id"] for line in LINES]


def says(line: Any) -> list[str]:
    message = line.get("message")
    if line.get("type") != "message" or not isinstance(message, dict):
        return []
    content = message.get("content")
    blocks = content if isinstance(content, list) else [{"type": "text", "text": content}]
    return [block["text"] for block in blocks if isinstance(block, dict) and isinstance(block.get("text"), str)]


def written(folder: Path, *lines: Any) -> Path:
    path = folder / "s.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_golden() -> None:
    assert tree_of(FILE) == expected("pi")


def test_raw_keeps_the_original() -> None:
    found = [item for item in read_conversations(FILE, raw=True) if isinstance(item, Conversation)]
    raw = [message["metadata"]["raw"] for node in found[0].nodes for message in node.messages()]
    assert sorted(line["id"] for line in raw) == sorted({line["id"] for line in LINES if line in raw})


def test_version_1_is_linear_and_named_for_its_lines(tmp_path: Path) -> None:
    header = {"type": "session", "id": "x", "timestamp": "2025-11-20T23:33:50.805Z", "cwd": "/"}
    lines = [{"type": "message", "timestamp": "t", "message": {"role": "user", "content": text}} for text in "abc"]
    path = written(tmp_path, header, lines[0], {"type": "model_change"}, *lines[1:])
    [found] = read_conversations(path)
    assert isinstance(found, Conversation)
    [main] = paths(found)
    assert [(node.id, node.messages()[0]["content"]) for node in main.nodes] == [
        ("line-2", "a"),
        ("line-4", "b"),
        ("line-5", "c"),
    ]


def test_a_line_without_an_id_stays_in_its_place_and_is_told(tmp_path: Path) -> None:
    lost = {**LINES[2], "id": None}
    found = list(read_conversations(written(tmp_path, *LINES[:2], lost, {**LINES[3], "parentId": "line-3"})))
    assert [(item.line, item.kept) for item in found if isinstance(item, Defect)] == [(3, True)]
    assert isinstance(found[-1], Conversation)
    assert [node.id for node in found[-1].nodes] == ["line-3", "00000003"]


@given(mixed_up(LINES, IDS, "parentId"))
def test_no_good_line_is_lost(tmp_path_factory: pytest.TempPathFactory, lines: list[Any]) -> None:
    assert_nothing_is_lost(tmp_path_factory.getbasetemp() / "pi.jsonl", lines, says, format="pi")


@given(st.integers(0, FILE.stat().st_size))
def test_cut_anywhere(tmp_path_factory: pytest.TempPathFactory, stop: int) -> None:
    path = tmp_path_factory.getbasetemp() / "pi-cut.jsonl"
    path.write_bytes(FILE.read_bytes()[:stop])
    tree_of(path, format="pi")


def test_the_golden_file_has_turns_that_a_provider_takes() -> None:
    [found] = [item for item in read_conversations(FILE) if isinstance(item, Conversation)]
    main = next(paths(found))
    assert not check([message for node in main.nodes for message in node.messages()])
