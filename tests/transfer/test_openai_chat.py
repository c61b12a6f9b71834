"""OpenAI chat JSONL, in the shape of fine-tuning files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from golden_kit import GOLDEN, expected, tree_of

from bough.codec import encode_found
from bough.stores.base import check_id
from bough.transfer import Conversation, Defect, paths, read_conversations

CALL: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": "What is the weather in Paris?"},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "18 °C"},
        {"role": "assistant", "content": "18 °C.", "weight": 0, "name": None, "score": 5.0},
    ],
    "tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}],
    "parallel_tool_calls": False,
}


def talk(*contents: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content} for content in contents], **more}


def read(folder: Path, *lines: Any, name: str = "train.jsonl") -> list[Conversation]:
    path = folder / name
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    found = [item for item in read_conversations(path) if isinstance(item, Conversation)]
    assert len(found) == len(lines)
    return found


def ids(found: list[Conversation]) -> list[str]:
    return [each.session_id for each in found]


def test_a_line_is_a_linear_session_with_its_messages_exactly_as_given(tmp_path: Path) -> None:
    [found] = read(tmp_path, CALL)
    [main] = paths(found)
    assert main.branch_id == "main"
    lines = [encode_found(message) for node in main.nodes for message in node.messages()]
    assert lines == [json.dumps(each, ensure_ascii=False, separators=(",", ":")).encode() for each in CALL["messages"]]


def test_the_other_keys_of_the_line_are_metadata(tmp_path: Path) -> None:
    call, bare = read(tmp_path, CALL, talk("hi"))
    assert call.metadata == {"tools": CALL["tools"], "parallel_tool_calls": False}
    assert bare.metadata is None


def test_no_messages_are_an_empty_session(tmp_path: Path) -> None:
    [found] = read(tmp_path, talk())
    assert [path.nodes for path in paths(found)] == [()]


class TestSessionId:
    def test_the_same_file_gives_the_same_sessions(self, tmp_path: Path) -> None:
        assert ids(read(tmp_path, CALL, talk("hi"))) == ids(read(tmp_path, CALL, talk("hi")))

    def test_neither_the_order_of_lines_nor_their_layout_matters(self, tmp_path: Path) -> None:
        before = ids(read(tmp_path, talk("a"), CALL))
        assert ids(read(tmp_path, talk("new"), CALL, talk("a")))[1:] == before[::-1]
        (tmp_path / "train.jsonl").write_text(json.dumps(talk("a"), indent=None, separators=(" ,", " : ")))
        [found] = read_conversations(tmp_path / "train.jsonl")
        assert isinstance(found, Conversation)
        assert found.session_id == before[0]

    def test_whatever_is_changed_is_another_session(self, tmp_path: Path) -> None:
        lines = [talk("a"), talk("b"), talk("a", "b"), talk("a", tools=[]), talk("a", tools=[1]), talk()]
        assert len(set(ids(read(tmp_path, *lines)))) == len(lines)

    def test_it_is_pinned(self, tmp_path: Path) -> None:
        """Another id for what was imported once would import it a second time."""
        assert ids(read(tmp_path, talk("hi"))) == ["train-18f6dd9b60bce49a"]

    @pytest.mark.parametrize("name", ["x" * 250, "é" * 120, "a b.c.jsonl", ".jsonl", "-"])
    def test_any_file_name_makes_an_id(self, tmp_path: Path, name: str) -> None:
        [id_] = ids(read(tmp_path, talk("hi"), name=name))
        assert check_id(id_) == id_
        assert len(id_) <= 100 + len("-1f0c9a3b5d7e2468")

    def test_a_file_name_that_is_no_text_makes_an_id(self, tmp_path: Path) -> None:
        try:
            [id_] = ids(read(tmp_path, talk("hi"), name="a\udcff.jsonl"))
        except OSError:
            pytest.skip("this file system has no such names")
        assert check_id(id_).startswith("a?-")


class TestIdOfALine:
    """Numbers cite ``bough.transfer.openai_chat``."""

    def test_a_chat_that_grew_is_the_same_session_in_any_file(self, tmp_path: Path) -> None:
        """1"""
        [before] = ids(read(tmp_path, talk("a", "b", id="c1")))
        [after] = ids(read(tmp_path, talk("a", "b", "c", id="c1", model="x"), name="other.jsonl"))
        assert before == after
        assert before.startswith("openai-chat-c1-")

    def test_it_is_pinned(self, tmp_path: Path) -> None:
        assert ids(read(tmp_path, talk("hi", id="c1"))) == ["openai-chat-c1-92a6e03fd9c9a5ba"]

    def test_lines_of_one_id_that_begin_otherwise_are_other_sessions(self, tmp_path: Path) -> None:
        """1: as where every file counts its lines from 0."""
        system = {"role": "system", "content": "Be brief."}
        lines = [{"id": 0, "messages": [system, {"role": "user", "content": text}]} for text in "abc"]
        found = ids(read(tmp_path, *lines))
        assert len(set(found)) == 3
        assert ids(read(tmp_path, *reversed(lines))) == found[::-1]

    def test_lines_of_one_id_that_go_apart_later_are_other_sessions_too(self, tmp_path: Path) -> None:
        """2: each goes on where the one before it ended, or is named for what it says."""
        lines = [talk(*text, id="c1") for text in ("ab", "abc", "abd", "abce", "ab")]
        first, grown, apart, more, short = ids(read(tmp_path, *lines))
        assert first == grown == more
        assert apart.startswith("train-")
        assert short.startswith("train-")
        assert apart != short

    def test_the_id_of_the_conversation_comes_before_that_of_a_request(self, tmp_path: Path) -> None:
        one, two = ids(read(tmp_path, talk("a", id="r1", session_id="s"), talk("a", "b", id="r2", session_id="s")))
        assert one == two

    @pytest.mark.parametrize("id_", [None, "", True, 1.5, ["x"], {}])
    def test_what_is_no_id_names_nothing(self, tmp_path: Path, id_: object) -> None:
        [found] = ids(read(tmp_path, talk("hi", id=id_)))
        assert found.startswith("train-")

    @pytest.mark.parametrize("id_", ["x" * 1000, "日" * 300, "a/b\0\ud800 c"])
    def test_any_id_makes_a_name_of_its_own(self, tmp_path: Path, id_: str) -> None:
        one, two = ids(read(tmp_path, talk("hi", id=id_), talk("hi", id=id_ + "x")))
        assert check_id(one) != check_id(two)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"prompt": "x"}, "messages is missing"),
        ({"messages": {"role": "user"}}, "messages is not a list"),
        ({"messages": [{"role": "user"}, "hi"]}, "messages[1] is not an object but str"),
        ({"messages": [None]}, "messages[0] is not an object but NoneType"),
    ],
)
def test_a_line_of_another_shape_is_a_defect(tmp_path: Path, line: Any, reason: str) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(talk("hi")) + "\n" + json.dumps(line) + "\n")
    good, bad = read_conversations(path)
    assert isinstance(good, Conversation)
    assert bad == Defect(file=str(path), line=2, reason=reason)


def test_golden() -> None:
    assert tree_of(GOLDEN / "openai-chat" / "train.jsonl") == expected("openai-chat")
