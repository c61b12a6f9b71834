"""OpenAI Responses as JSONL."""

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

from bough.codec import encode_found
from bough.transfer import Conversation, Defect, paths, read_conversations

CALL = {"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": "{}", "score": 5.0, "x": None}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "1"}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def read(folder: Path, *lines: Any, **options: Any) -> tuple[list[Conversation], list[str]]:
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    found = list(read_conversations(path, **options))
    reasons = [one.reason for one in found if isinstance(one, Defect)]
    return [one for one in found if isinstance(one, Conversation)], reasons


def main(found: Conversation) -> list[dict[str, Any]]:
    [path] = paths(found)
    return [one for node in path.nodes for one in node.messages()]


def test_golden() -> None:
    assert tree_of(GOLDEN / "openai-responses" / "export") == expected("openai-responses")


@pytest.mark.parametrize(
    ("line", "messages"),
    [
        ({"input": [user("a"), CALL], "output": [OUTPUT]}, [user("a"), CALL, OUTPUT]),
        ({"input": "a", "output": [CALL]}, [user("a"), CALL]),
        ({"items": [user("a"), CALL, OUTPUT]}, [user("a"), CALL, OUTPUT]),
        ({"object": "response", "id": "r", "output": [CALL]}, [CALL]),
        ({"custom_id": "1", "method": "POST", "url": "/v1/responses", "body": {"input": "a"}}, [user("a")]),
        ({"custom_id": "1", "response": {"body": {"object": "response", "output": [CALL]}}}, [CALL]),
    ],
)
def test_each_kind_of_line_is_recognised_and_its_items_stay_exactly_as_they_are(
    tmp_path: Path, line: dict[str, Any], messages: list[Any]
) -> None:
    [found], reasons = read(tmp_path, line, raw=True)
    assert [encode_found(one) for one in main(found)] == [encode_found(one) for one in messages]
    assert reasons == []


@pytest.mark.parametrize(
    "line",
    [{"items": [1]}, {"items": [{"name": "milk"}]}, {"items": 5}, {"output": [CALL]}, {"input": "a"}, {"body": {}}],
)
def test_what_only_looks_like_it_is_not_recognised(tmp_path: Path, line: Any) -> None:
    from bough.errors import UnsupportedFormatError

    with pytest.raises(UnsupportedFormatError):
        read(tmp_path, line)


def test_a_chat_is_not_taken_for_it(tmp_path: Path) -> None:
    [found], _ = read(tmp_path, {"messages": [user("a")]})
    assert found.session_id.startswith("log-")
    assert found.metadata is None


def test_what_else_the_line_says_is_metadata(tmp_path: Path) -> None:
    line = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1741476542,
        "model": "m",
        "usage": {"input_tokens": 1},
        "previous_response_id": "resp_0",
        "instructions": "Be kind.",
        "output": [CALL],
    }
    [found], _ = read(tmp_path, line)
    assert found.session_id == "openai-responses-resp_1"
    assert found.created_at is not None
    assert found.metadata == {
        "source": "openai-responses",
        "id": "resp_1",
        "model": "m",
        "usage": {"input_tokens": 1},
        "extra": {"created_at": 1741476542, "previous_response_id": "resp_0", "instructions": "Be kind."},
    }


def test_lines_without_an_id_are_named_for_what_they_say(tmp_path: Path) -> None:
    lines = [{"items": [user("a")]}, {"items": [user("b")]}]
    before, _ = read(tmp_path, *lines)
    after, _ = read(tmp_path, *reversed(lines))
    assert [one.session_id for one in before] == [one.session_id for one in reversed(after)]
    assert len({one.session_id for one in before}) == 2


def test_defects_cost_nothing_but_themselves(tmp_path: Path) -> None:
    lines: list[Any] = [{"input": [user("a")], "output": [CALL, 5, None]}, {"input": 5, "output": [CALL]}, {"x": 1}]
    found, reasons = read(tmp_path, lines[0], *lines)
    assert [len(main(one)) for one in found] == [2, 2, 1]
    assert reasons == [
        *["output[1] is not an object but int", "output[2] is not an object but NoneType"] * 2,
        "input is not a list but int",
        "there is no list of items, input or output",
    ]


BASE = {
    "id": "r",
    "object": "response",
    "model": "m",
    "input": [user("mark-a."), {**user("mark-b."), "type": "message"}],
    "output": [{**CALL, "arguments": '{"x": "mark-c."}'}, {**OUTPUT, "output": "mark-d."}],
}


def good(value: Any) -> Iterator[tuple[str, str]]:
    for key in ("items", "input", "output"):
        found = value.get(key) if isinstance(value, dict) else None
        for one in found if isinstance(found, list) else ():
            text = json.dumps(one)
            if isinstance(one, dict) and "mark" in text:
                yield "", text[text.index("mark") :][:7]


@settings(max_examples=300)
@given(value=mangled(BASE, ["message", "response", "user"]))
def test_whatever_is_whole_comes_out(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    check_nothing_is_lost(tmp_path_factory.getbasetemp() / "responses.json", value, good, "openai-responses")


@settings(max_examples=60)
@given(share=st.floats(0, 1))
def test_a_torn_file(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    lines = [{**BASE, "id": str(number)} for number in range(4)]
    check_torn(tmp_path_factory.getbasetemp() / "responses.json", lines, share, "openai-responses")


def test_nothing_strange_is_passed_over_in_silence(tmp_path: Path) -> None:
    assert passed_over(tmp_path / "openai-responses.json", BASE, "openai-responses") == set()
