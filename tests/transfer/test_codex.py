"""Codex's rollouts, in the shape of its protocol."""

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

[FILE] = (GOLDEN / "codex").glob("*.jsonl")
LINES = [json.loads(line) for line in FILE.read_text().splitlines()[:-1]]


def line(kind: str, **payload: Any) -> dict[str, Any]:
    return {"timestamp": "2025-10-02T08:00:00Z", "type": kind, "payload": payload}


def user(text: str) -> dict[str, Any]:
    return line("response_item", type="message", role="user", content=[{"type": "input_text", "text": text}])


def assistant(text: str) -> dict[str, Any]:
    return line("response_item", type="message", role="assistant", content=[{"type": "output_text", "text": text}])


def rolled_back(turns: Any) -> dict[str, Any]:
    return line("event_msg", type="thread_rolled_back", num_turns=turns)


def says(found: Any) -> list[str]:
    payload = found.get("payload")
    if found.get("type") != "response_item" or not isinstance(payload, dict) or payload.get("type") != "message":
        return []
    content = payload.get("content")
    blocks = content if isinstance(content, list) else []
    return [block["text"] for block in blocks if isinstance(block, dict) and isinstance(block.get("text"), str)]


def written(folder: Path, *lines: Any) -> Path:
    path = folder / "rollout.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return path


def branches(path: Path) -> dict[str, str]:
    """The texts along each branch."""
    [found] = [item for item in read_conversations(path, format="codex") if isinstance(item, Conversation)]
    along: dict[str, list[str]] = {}
    for each in paths(found):
        own = [str(message["content"]) for node in each.nodes for message in node.messages()]
        along[each.branch_id] = [*along.get(each.parent_id or "", [])[: each.shared], *own]
    return {id_: "".join(texts) for id_, texts in along.items()}


def test_golden() -> None:
    assert tree_of(FILE) == expected("codex")


def test_the_golden_file_has_turns_that_a_provider_takes() -> None:
    [found] = [item for item in read_conversations(FILE) if isinstance(item, Conversation)]
    assert not check([message for node in next(paths(found)).nodes for message in node.messages()])


def test_a_compressed_rollout_is_the_same(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    path = tmp_path / f"{FILE.name}.zst"
    path.write_bytes(zstandard.compress(FILE.read_bytes()))
    tree = tree_of(path)
    assert tree["sessions"] == expected("codex")["sessions"]
    assert len(tree["defects"]) == 1


def test_what_was_rolled_back_is_a_branch(tmp_path: Path) -> None:
    turns = [user("a"), assistant("b"), user("c"), assistant("d"), user("e"), assistant("f")]
    assert branches(written(tmp_path, *turns, rolled_back(2), user("g"), assistant("h"))) == {
        "main": "abgh",
        "line-6": "abcdef",
    }
    assert branches(written(tmp_path, *turns, rolled_back(9), user("g"))) == {"main": "g", "line-6": "abcdef"}
    twice = [*turns, rolled_back(1), user("g"), rolled_back(2), user("h")]
    assert branches(written(tmp_path, *twice)) == {"main": "abh", "line-6": "abcdef", "line-8": "abcdg"}


@pytest.mark.parametrize(
    "own", ["<environment_context>x</environment_context>", "<recommended_plugins>", "<hook_prompt x>"]
)
def test_what_the_program_writes_begins_no_turn(tmp_path: Path, own: str) -> None:
    lines = [user("a"), assistant("b"), user(own), user("c"), rolled_back(2), user("z")]
    assert branches(written(tmp_path, *lines)) == {"main": "z", "line-4": f"ab{own}c"}


def messages(path: Path) -> list[Any]:
    """Those of main."""
    [found] = [item for item in read_conversations(path, format="codex") if isinstance(item, Conversation)]
    return [message for node in next(paths(found)).nodes for message in node.messages()]


def test_what_the_service_itself_called_is_kept(tmp_path: Path) -> None:
    def item(kind: str, **more: Any) -> dict[str, Any]:
        return line("response_item", type=kind, **more)

    search = {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "x"}}
    lines = [user("q"), item("reasoning", summary=[], encrypted_content="…"), line("response_item", **search)]
    lines += [item("image_generation_call", id="ig", status="completed", revised_prompt="a cat", result="QUFB")]
    lines += [item("tool_search_call", call_id="t", execution="client", arguments={"query": "mail"})]
    lines += [item("tool_search_output", call_id="t", status="completed", tools=[{"name": "mail"}])]
    _, answer, found = messages(written(tmp_path, *lines))
    assert answer["content"][0] == search
    assert answer["content"][1]["image_url"]["url"].startswith("sha256:")
    assert answer["content"][1]["details"] == {"id": "ig", "status": "completed", "revised_prompt": "a cat"}
    assert len(answer["content"]) == 2
    assert answer["tool_calls"][0]["function"] == {"name": "tool_search", "arguments": '{"query":"mail"}'}
    assert (found["tool_call_id"], found["content"]) == ("t", '{"output":[{"name":"mail"}]}')


def test_what_another_agent_says_is_given_to_the_model_as_the_users(tmp_path: Path) -> None:
    said = [{"type": "input_text", "text": "Done."}, {"type": "encrypted_content", "encrypted_content": "…"}]
    lines = [user("q"), line("response_item", type="agent_message", author="/root/a", content=said)]
    answer = messages(written(tmp_path, *lines, assistant("Yes.")))
    assert [(one["role"], one["content"]) for one in answer] == [
        ("user", "q"),
        ("user", "Done."),
        ("assistant", "Yes."),
    ]
    assert answer[1]["metadata"]["author"] == "/root/a"


def test_a_rollout_that_goes_on_from_another_is_a_session_of_its_own(tmp_path: Path) -> None:
    base = {"thread_id": "a", "end_ordinal_exclusive": 2}
    path = written(tmp_path, line("session_meta", id="a", history_base=base), user("q"))
    found = list(read_conversations(path))
    assert [item.session_id == "codex-a" for item in found if isinstance(item, Conversation)] == [False]
    assert [item.reason for item in found if isinstance(item, Defect) and item.kept] == [
        "it goes on from the rollout 'a', whose messages are not in this file"
    ]


@pytest.mark.parametrize("turns", [0, -1, "2", None, True, 1.5])
def test_a_roll_back_of_no_number_is_told(tmp_path: Path, turns: Any) -> None:
    found = read_conversations(written(tmp_path, user("a"), rolled_back(turns)))
    assert [(item.line, item.kept) for item in found if isinstance(item, Defect)] == [(2, True)]


def test_files_of_the_first_versions_have_bare_items(tmp_path: Path) -> None:
    header = {"id": "5973", "timestamp": "2025-06-01T08:00:00Z", "instructions": None}
    state = {"record_type": "state"}
    call = {"type": "local_shell_call", "call_id": "c", "status": "completed", "action": {"command": ["ls"]}}
    output = {"type": "function_call_output", "call_id": "c", "output": "{}"}
    path = written(tmp_path, header, state, user("a")["payload"], state, call, output, assistant("b")["payload"])
    [found] = read_conversations(path)
    assert isinstance(found, Conversation)
    assert found.session_id == "codex-5973"
    messages = [message for node in found.nodes for message in node.messages()]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant"]
    assert messages[1]["tool_calls"][0]["function"] == {"name": "shell", "arguments": '{"command":["ls"]}'}


@given(mixed_up(LINES, [], ""))
def test_no_good_line_is_lost(tmp_path_factory: pytest.TempPathFactory, lines: list[Any]) -> None:
    assert_nothing_is_lost(tmp_path_factory.getbasetemp() / "codex.jsonl", lines, says, format="codex")


@given(st.integers(0, FILE.stat().st_size))
def test_cut_anywhere(tmp_path_factory: pytest.TempPathFactory, stop: int) -> None:
    path = tmp_path_factory.getbasetemp() / "codex-cut.jsonl"
    path.write_bytes(FILE.read_bytes()[:stop])
    tree_of(path, format="codex")
