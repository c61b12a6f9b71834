"""Claude.ai's export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from golden_kit import GOLDEN, expected, tree_of
from hypothesis import given, settings
from hypothesis import strategies as st
from mangle_kit import check_nothing_is_lost, check_torn, mangled, passed_over

from bough.transfer import Conversation, Defect, paths, read_conversations
from bough.transfer.claude_ai import ROOT
from bough.turns import check


def said(id_: str, parent: str | None = None, *blocks: Any, **more: Any) -> dict[str, Any]:
    content = list(blocks) or [{"type": "text", "text": "…"}]
    one = {"uuid": id_, "sender": "human", "text": "", "content": content, **more}
    return one if parent is None else {**one, "parent_message_uuid": parent}


def talk(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"uuid": "c", "name": "T", "chat_messages": list(messages), **more}


def read(folder: Path, *talks: Any, **options: Any) -> tuple[list[Conversation], list[str]]:
    path = folder / "conversations.json"
    path.write_text(json.dumps(list(talks)), encoding="utf-8")
    found = list(read_conversations(path, format="claude-ai", **options))
    reasons = [one.reason for one in found if isinstance(one, Defect)]
    return [one for one in found if isinstance(one, Conversation)], reasons


def branches(found: Conversation) -> dict[str, list[str]]:
    return {path.branch_id: [one.id for one in path.nodes] for path in paths(found)}


def main(found: Conversation) -> list[dict[str, Any]]:
    return [one for node in next(paths(found)).nodes for one in node.messages()]


def test_golden() -> None:
    assert tree_of(GOLDEN / "claude-ai" / "export") == expected("claude-ai")


class TestTree:
    def test_main_ends_at_the_youngest_leaf(self, tmp_path: Path) -> None:
        messages = [
            said("a", ROOT, created_at="2025-01-01T00:00:00Z"),
            said("young", "a", created_at="2025-01-03T00:00:00Z"),
            said("old", "a", created_at="2025-01-02T00:00:00Z"),
            said("timeless", "a"),
        ]
        [found], reasons = read(tmp_path, talk(*messages))
        assert branches(found) == {"main": ["a", "young"], "old": ["old"], "timeless": ["timeless"]}
        assert reasons == []
        [found], _ = read(tmp_path, talk(*messages, current_leaf_message_uuid="old"))
        assert branches(found)["main"] == ["a", "old"]

    def test_of_leaves_of_one_time_the_last_is_the_youngest(self, tmp_path: Path) -> None:
        [found], _ = read(tmp_path, talk(said("a", ROOT), said("b", "a"), said("c", "a")))
        assert branches(found)["main"] == ["a", "c"]

    def test_without_parents_it_is_linear(self, tmp_path: Path) -> None:
        [found], reasons = read(tmp_path, talk(said("a"), said("b"), said("a"), said("c")))
        assert (branches(found), reasons) == ({"main": ["a", "b", "c"]}, [])

    def test_a_reply_may_stand_before_its_message(self, tmp_path: Path) -> None:
        [found], reasons = read(tmp_path, talk(said("b", "a"), said("a", ROOT)))
        assert (branches(found), reasons) == ({"main": ["a", "b"]}, [])


class TestContent:
    def test_calls_and_results_are_whole_turns(self, tmp_path: Path) -> None:
        blocks = [
            {"type": "text", "text": "First."},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
            {"type": "tool_use", "name": "g", "input": {}},
            {"type": "tool_result", "content": "two", "name": "g"},
            {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "one"}]},
            {"type": "text", "text": "Then."},
        ]
        [found], reasons = read(tmp_path, talk(said("u", ROOT), said("a", "u", *blocks, sender="assistant")))
        messages = main(found)
        assert reasons == []
        assert check(messages, provider="openai") == []
        assert [one["role"] for one in messages] == ["user", "assistant", "tool", "tool", "assistant"]
        assert [one["tool_call_id"] for one in messages[2:4]] == ["a-2", "t1"]

    def test_results_without_an_id_answer_in_the_order_of_the_calls(self, tmp_path: Path) -> None:
        blocks: list[Any] = [{"type": "tool_use", "name": name, "input": {}} for name in "fgh"]
        blocks += [{"type": "tool_result", "content": name} for name in "fghi"]
        [found], _ = read(tmp_path, talk(said("a", ROOT, *blocks, sender="assistant")))
        answers = [(one["content"], one.get("tool_call_id")) for one in main(found)[1:]]
        assert answers == [("f", "a-0"), ("g", "a-1"), ("h", "a-2"), ("i", None)]

    def test_the_text_counts_where_there_are_no_blocks(self, tmp_path: Path) -> None:
        messages = [{"uuid": "a", "sender": "human", "text": "old"}, said("b", None, text="flat")]
        [found], _ = read(tmp_path, talk(*messages))
        assert [one["content"] for one in main(found)] == ["old", "…"]

    def test_attachments_keep_the_text_that_was_taken_out_of_them(self, tmp_path: Path) -> None:
        one = said("a", ROOT, attachments=[{"file_name": "n.txt", "extracted_content": "Leeks", "file_size": 5}])
        [found], _ = read(tmp_path, talk(one))
        [_, file] = main(found)[0]["content"]
        assert file == {
            "type": "file",
            "file": {"filename": "n.txt"},
            "text": "Leeks",
            "details": {"file_size": 5},
        }

    def test_a_file_that_is_listed_twice_is_one(self, tmp_path: Path) -> None:
        """As the web interface gets it."""
        picture, paper = {"file_uuid": "p", "file_kind": "image"}, {"file_uuid": "d", "file_kind": "document"}
        [found], _ = read(tmp_path, talk(said("a", ROOT, files=[picture], files_v2=[picture, paper])))
        assert [part["type"] for part in main(found)[0]["content"]] == ["text", "image_url", "file"]

    def test_unknown_blocks_are_kept(self, tmp_path: Path) -> None:
        strange = {"type": "token_budget", "remaining": 5}
        [found], reasons = read(tmp_path, talk(said("a", ROOT, strange, {"type": "text", "text": "x"}, extra_key=1)))
        assert main(found)[0]["metadata"]["other"] == [strange]
        assert main(found)[0]["metadata"]["extra"] == {"extra_key": 1}
        assert reasons == []

    def test_what_else_blocks_say_stands_with_what_they_became(self, tmp_path: Path) -> None:
        common = {"start_timestamp": "2026-01-01T00:00:00Z", "stop_timestamp": None, "flags": None, "icon_name": None}
        blocks: list[Any] = [
            {"type": "thinking", "thinking": "Hm", "summaries": [{"summary": "Wonders"}], "cut_off": False},
            {"type": "tool_use", "id": "t", "name": "f", "input": {}, "integration_name": "Drive", **common},
            {"type": "tool_result", "tool_use_id": "t", "content": "x", "structured_content": {"n": 1}, **common},
        ]
        [found], _ = read(tmp_path, talk(said("a", ROOT, *blocks, sender="assistant")))
        [answer, result] = main(found)
        assert answer["content"][0]["details"] == {"summaries": [{"summary": "Wonders"}]}
        assert answer["tool_calls"][0]["details"] == {"integration_name": "Drive"}
        assert result["metadata"]["details"] == {"structured_content": {"n": 1}}

    def test_the_original_is_kept_on_demand(self, tmp_path: Path) -> None:
        one = said("a", ROOT)
        [found], _ = read(tmp_path, talk(one), raw=True)
        assert main(found)[0]["metadata"]["raw"] == one


def test_defects_cost_nothing_but_themselves(tmp_path: Path) -> None:
    messages = [
        said("a", "b"),
        said("b", "a"),
        5,
        said("o", "gone"),
        {"sender": "human"},
        said("n", "o") | {"sender": 1},
    ]
    [found], reasons = read(tmp_path, talk(*messages))
    assert {one.id for one in found.nodes} == {"a", "b", "o", "n", "message-4"}
    for name in ("'a'", "message 2 ", "'o'", "'message-4'", "'n'"):
        assert any(name in reason for reason in reasons), name


BASE = talk(
    said("a", ROOT, {"type": "text", "text": "mark-a."}, created_at="2025-01-01T00:00:00Z"),
    said("b", "a", {"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "mark-b."}, sender="assistant"),
    said("c", "b", {"type": "text", "text": "mark-c."}, attachments=[{"file_name": "f", "extracted_content": "t"}]),
    said(
        "d",
        "b",
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "x"}]},
        {"type": "text", "text": "mark-d."},
        files=[{"file_uuid": "f", "file_kind": "image"}],
    ),
    created_at="2025-01-01T00:00:00Z",
)
LINEAR = talk(*({**one, "parent_message_uuid": 0} for one in BASE["chat_messages"]))
for _one in LINEAR["chat_messages"]:
    del _one["parent_message_uuid"]


def good(value: Any) -> Iterator[tuple[str, str]]:
    messages = value.get("chat_messages") if isinstance(value, dict) else None
    for one in messages if isinstance(messages, list) else ():
        if isinstance(one, dict) and isinstance(one.get("content"), list) and isinstance(one.get("uuid"), str):
            for block in one["content"]:
                text = block.get("text") if isinstance(block, dict) and block.get("type") == "text" else None
                if isinstance(text, str) and text.startswith("mark"):
                    yield one["uuid"], text


@settings(max_examples=300)
@given(value=st.sampled_from([BASE, LINEAR]).flatmap(lambda base: mangled(base, ["a", "b", "c", "d", ROOT, "gone"])))
def test_whatever_is_whole_comes_out(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    check_nothing_is_lost(tmp_path_factory.getbasetemp() / "claude-ai.json", value, good, "claude-ai")


@settings(max_examples=60)
@given(share=st.floats(0, 1))
def test_a_torn_file(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    talks = [{**BASE, "uuid": str(number)} for number in range(4)]
    check_torn(tmp_path_factory.getbasetemp() / "claude-ai.json", talks, share, "claude-ai")


def test_nothing_strange_is_passed_over_in_silence(tmp_path: Path) -> None:
    """The text beside the blocks is what is said not to be believed."""
    assert passed_over(tmp_path / "claude-ai.json", BASE, "claude-ai") == {"text"}
