"""SillyTavern's chats, in the shape of its own files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from golden_kit import GOLDEN, assert_nothing_is_lost, expected, mixed_up, tree_of
from hypothesis import given
from hypothesis import strategies as st

from bough.transfer import Conversation, Defect, paths, read_conversations

[FILE] = (GOLDEN / "sillytavern").glob("*.jsonl")
LINES = [json.loads(line) for line in FILE.read_text().splitlines()]


def says(line: Any) -> list[str]:
    swipes = line.get("swipes")
    found = [line.get("mes"), *(swipes if isinstance(swipes, list) else [])]
    return [text for text in found if isinstance(text, str) and text]


def read(folder: Path, *lines: Any) -> tuple[list[str], list[str]]:
    """The texts of each branch's own messages, and the defects' reasons."""
    path = folder / "chat.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in (LINES[0], *lines)))
    found = list(read_conversations(path))
    own = [
        "".join(str(message["content"]) for node in each.nodes for message in node.messages())
        for item in found
        if isinstance(item, Conversation)
        for each in paths(item)
    ]
    return own, [item.reason for item in found if isinstance(item, Defect)]


def line(text: Any, *swipes: Any, **more: Any) -> dict[str, Any]:
    return {"name": "Ada", "is_user": False, "mes": text, **({"swipes": list(swipes)} if swipes else {}), **more}


def test_golden() -> None:
    assert tree_of(FILE) == expected("sillytavern")


@pytest.mark.parametrize(
    ("swiped", "own", "reasons"),
    [
        (line("b", "a", "b", swipe_id=1), ["b", "a"], []),
        (line("b", "a", "b"), ["b", "a"], ["swipe_id and mes disagree"]),
        (line("b", "a", "b", swipe_id=7), ["b", "a"], ["swipe_id names no wording"]),
        (line("edited", "a", "b", swipe_id=1), ["edited", "a", "b"], []),
        (line("b", 5, "b", swipe_id=1), ["b"], ["a wording that is no text is left out"]),
        (line("a", None), ["a"], ["a wording that is no text is left out"]),
    ],
)
def test_wordings_are_siblings_and_the_chat_goes_on_behind_the_chosen_one(
    tmp_path: Path, swiped: Any, own: list[str], reasons: list[str]
) -> None:
    found, told = read(tmp_path, line("x"), swiped, line("y"))
    assert (found, told) == ([f"x{own[0]}y", *own[1:]], reasons)


def test_two_characters_may_have_chats_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    ids = []
    for character in ("Ada", "Bob", "unused"):
        path.write_text(json.dumps({**LINES[0], "character_name": character}) + "\n" + json.dumps(line("x")) + "\n")
        [found] = read_conversations(path)
        assert isinstance(found, Conversation)
        ids.append(found.session_id)
    assert ids == ["sillytavern-Ada-chat", "sillytavern-Bob-chat", "sillytavern-chat"]


def test_a_file_without_its_header_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text('{"user_name": "M\n' + json.dumps(line("x")) + "\n")
    assert [type(item) for item in read_conversations(path)] == [Defect, Conversation]


@given(mixed_up(LINES, [], ""))
def test_no_good_line_is_lost(tmp_path_factory: pytest.TempPathFactory, lines: list[Any]) -> None:
    path = tmp_path_factory.getbasetemp() / "sillytavern.jsonl"
    assert_nothing_is_lost(path, lines, says, format="sillytavern")


@given(st.integers(0, FILE.stat().st_size))
def test_cut_anywhere(tmp_path_factory: pytest.TempPathFactory, stop: int) -> None:
    path = tmp_path_factory.getbasetemp() / "sillytavern-cut.jsonl"
    path.write_bytes(FILE.read_bytes()[:stop])
    tree_of(path, format="sillytavern")
