"""ShareGPT, as an array and as lines."""

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
from bough.turns import check


def talk(*turns: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {"conversations": [{"from": who, "value": what} for who, what in turns], **more}


def read(folder: Path, *talks: Any, **options: Any) -> tuple[list[Conversation], list[str]]:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in talks), encoding="utf-8")
    found = list(read_conversations(path, **options))
    reasons = [one.reason for one in found if isinstance(one, Defect)]
    return [one for one in found if isinstance(one, Conversation)], reasons


def main(found: Conversation) -> list[dict[str, Any]]:
    [path] = paths(found)
    return [one for node in path.nodes for one in node.messages()]


def test_golden() -> None:
    assert tree_of(GOLDEN / "sharegpt" / "export") == expected("sharegpt")


def test_an_array_and_lines_say_the_same(tmp_path: Path) -> None:
    talks = [talk(("human", "a"), id="1"), talk(("human", "b"), id="2")]
    lines, _ = read(tmp_path, *talks)
    (tmp_path / "data.json").write_text(json.dumps(talks, indent=2))
    array = [one for one in read_conversations(tmp_path / "data.json") if isinstance(one, Conversation)]
    assert [(one.session_id, one.nodes) for one in lines] == [(one.session_id, one.nodes) for one in array]


def test_the_names_of_speakers(tmp_path: Path) -> None:
    speakers = ["system", "human", "user", "gpt", "chatgpt", "assistant", "tool", "observation", "narrator"]
    [found], reasons = read(tmp_path, talk(*((who, "x") for who in speakers)))
    roles = ["system", "user", "user", "assistant", "assistant", "assistant", "tool", "tool", "narrator"]
    assert [one["role"] for one in main(found)] == roles
    assert reasons == []


class TestSessionId:
    def test_its_own_where_there_is_one(self, tmp_path: Path) -> None:
        found, _ = read(tmp_path, talk(("human", "x"), id="a b"), talk(("human", "x"), id=7))
        assert [one.session_id[:-17] for one in found] == ["sharegpt-a b", "sharegpt-7"]

    def test_one_that_grew_is_the_same_and_another_of_its_id_is_not(self, tmp_path: Path) -> None:
        begun = ("system", "s"), ("human", "x")
        talks = [talk(*begun, id=0), talk(*begun, ("gpt", "y"), id=0), talk(begun[0], ("human", "z"), id=0)]
        first, grown, other = (one.session_id for one in read(tmp_path, *talks)[0])
        assert first == grown != other

    def test_else_the_files_name_and_what_is_said(self, tmp_path: Path) -> None:
        talks = [talk(("human", "x")), talk(("human", "y")), talk(("human", "x"), id="")]
        before, _ = read(tmp_path, *talks)
        after, _ = read(tmp_path, *reversed(talks))
        assert [one.session_id for one in before] == [one.session_id for one in reversed(after)]
        assert len({one.session_id for one in before}) == 3
        assert all(one.session_id.startswith("data-") for one in before)


class TestTools:
    def test_calls_and_results_are_whole_turns(self, tmp_path: Path) -> None:
        calls = [{"name": "f", "arguments": {"a": 1}}, {"name": "g", "arguments": '{"b": 2}'}]
        turns = [("human", "?"), ("function_call", json.dumps(calls)), ("observation", "1"), ("tool", "2")]
        turns += [("gpt", "Done."), ("function_call", json.dumps(calls[0])), ("observation", "3"), ("gpt", "!")]
        [found], _ = read(tmp_path, talk(*turns))
        messages = main(found)
        assert check(messages, provider="openai") == []
        assert [one.get("tool_call_id") for one in messages if one["role"] == "tool"] == [
            "call-1-0",
            "call-1-1",
            "call-5-0",
        ]
        arguments = [call["function"]["arguments"] for call in messages[1]["tool_calls"]]
        assert arguments == ['{"a":1}', '{"b": 2}']

    def test_a_result_answers_no_call_of_an_earlier_turn(self, tmp_path: Path) -> None:
        call = ("function_call", '{"name": "f"}')
        [found], _ = read(tmp_path, talk(call, call, ("human", "?"), ("observation", "1"), call, ("observation", "2")))
        assert [one.get("tool_call_id") for one in main(found) if one["role"] == "tool"] == [None, "call-4-0"]

    @pytest.mark.parametrize("value", ["f(1)", "[]", "{}", '[{"name": 1}]', "5", "{", '{"name": ""}'])
    def test_a_call_that_is_none_stays_the_text_that_it_is(self, tmp_path: Path, value: str) -> None:
        [found], _ = read(tmp_path, talk(("function_call", value), ("observation", "x")))
        call, result = main(found)
        assert (call["role"], call["content"], call["metadata"]["from"]) == ("assistant", value, "function_call")
        assert "tool_calls" not in call
        assert "tool_call_id" not in result


class TestImages:
    def test_each_stands_where_it_is_named(self, tmp_path: Path) -> None:
        one = talk(
            ("human", "<image>\nA <image>?"), ("gpt", "No."), ("human", "<image><image>"), images=["1", "2", "3"]
        )
        [found], _ = read(tmp_path, one)
        contents = [message["content"] for message in main(found)]
        assert [part.get("text", part.get("image_url")) for part in contents[0]] == [
            {"url": "1"},
            "A ",
            {"url": "2"},
            "?",
        ]
        assert [part.get("text", part.get("image_url")) for part in contents[2]] == [{"url": "3"}, "<image>"]
        assert found.metadata == {"source": "sharegpt"}

    def test_what_nobody_names_is_kept(self, tmp_path: Path) -> None:
        [found], _ = read(tmp_path, talk(("human", "<image>"), image="1", images=["2", "data:x"]))
        assert found.metadata is not None
        assert [one[:7] for one in reversed(found.metadata["extra"]["images"])] == ["2", "sha256:"]
        [found], _ = read(tmp_path, talk(("human", "x"), image="1"))
        assert found.metadata == {"source": "sharegpt", "extra": {"image": "1"}}


def test_the_other_keys_are_kept(tmp_path: Path) -> None:
    one = talk(("human", "x"), id="1", system="Be kind.", tools="[]", source="web", title="T")
    one["conversations"][0]["weight"] = 0
    [found], _ = read(tmp_path, one, raw=True)
    assert found.title == "T"
    assert found.metadata == {
        "source": "sharegpt",
        "id": "1",
        "extra": {"system": "Be kind.", "tools": "[]", "source": "web"},
    }
    metadata = main(found)[0]["metadata"]
    assert metadata == {"source": "sharegpt", "extra": {"weight": 0}, "raw": one["conversations"][0]}


def test_defects_cost_nothing_but_themselves(tmp_path: Path) -> None:
    one = talk(("human", "a"), ("gpt", "b"))
    one["conversations"][1:1] = [5, {"from": "gpt"}, {"value": "x"}, {"from": None, "value": "y"}]
    found, reasons = read(tmp_path, one, {"conversations": 5}, {"id": "x"}, [])
    assert [message["content"] for message in main(found[0])] == ["a", "b"]
    assert [name in reason for name, reason in zip(("[1]", "[2]", "[3]", "[4]"), reasons, strict=False)] == [True] * 4
    assert len(reasons) == 7


BASE = talk(
    ("system", "mark-a."),
    ("human", "<image>mark-b."),
    ("function_call", '{"name": "f", "arguments": {"x": "mark-c."}}'),
    ("observation", "mark-d."),
    ("gpt", "mark-e."),
    id="1",
    images=["x"],
)


def good(value: Any) -> Iterator[tuple[str, str]]:
    turns = value.get("conversations") if isinstance(value, dict) else None
    for one in turns if isinstance(turns, list) else ():
        value = one.get("value") if isinstance(one, dict) and isinstance(one.get("from"), str) else None
        if isinstance(value, str) and "mark" in value:
            yield "", value[value.index("mark") :][:7]


@settings(max_examples=300)
@given(value=mangled(BASE, ["human", "gpt", "tool", "function_call"]))
def test_whatever_is_whole_comes_out(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    check_nothing_is_lost(tmp_path_factory.getbasetemp() / "sharegpt.json", value, good, "sharegpt")


@settings(max_examples=60)
@given(share=st.floats(0, 1))
def test_a_torn_file(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    talks = [{**BASE, "id": str(number)} for number in range(4)]
    check_torn(tmp_path_factory.getbasetemp() / "sharegpt.json", talks, share, "sharegpt")


def test_nothing_strange_is_passed_over_in_silence(tmp_path: Path) -> None:
    assert passed_over(tmp_path / "sharegpt.json", BASE, "sharegpt") == set()
