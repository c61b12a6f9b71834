"""``bough check``: what a provider would refuse, by number, and mending it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_kit import Bough

CALL = {"id": "c1", "type": "function", "function": {"name": "look\x1b[31m", "arguments": "{}"}}


@pytest.fixture
def bough(tmp_path: Path) -> Bough:
    """main: a question, a call without a result, and on."""
    bough = Bough(tmp_path / "store")
    bough("add", "user", "look")
    bough("add", "--message", json.dumps({"role": "assistant", "content": None, "tool_calls": [CALL]}))
    bough("add", "user", "well?")
    return bough


def kinds(problems: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(each["number"], each["kind"]) for each in problems]


def test_what_is_fine_is_0(tmp_path: Path) -> None:
    bough = Bough(tmp_path / "store")
    assert bough("check", code=1).stderr.startswith("error: no session 'default'\n")
    bough("add", "user", "hi")
    assert bough.out("check") == "Nothing is wrong.\n"
    assert bough.out("check", "--repair") == "Nothing is wrong.\n"
    assert bough.json("check")["problems"] == []
    answer = bough.json("check", "--repair")
    assert (answer["removed"], answer["new"], answer["left"]) == (0, 0, [])


def test_problems_are_told_by_number_and_end_with_1(bough: Bough) -> None:
    lines = bough("check", code=1).stdout.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("2 dangling-call  ")
    assert "look\\x1b[31m" in lines[0]
    assert "running" not in lines[0]
    assert lines[1] == "1 problem."
    answer = bough.json("check", code=1)
    assert answer["revision"] == "HEAD"
    [problem] = answer["problems"]
    assert problem.keys() == {"number", "kind", "text", "at_end"}
    assert (problem["number"], problem["kind"], problem["at_end"]) == (2, "dangling-call", False)


def test_a_revision_can_be_checked(bough: Bough) -> None:
    assert bough.out("check", "main~2") == "Nothing is wrong.\n"
    assert "(it may be running still)" in bough("check", "main:2", code=1).stdout
    assert bough.json("check", "HEAD~1", code=1)["problems"][0]["at_end"] is True
    assert bough("check", "nowhere", code=1).stderr.startswith("error: 'nowhere'")


def test_a_provider_may_refuse_more(bough: Bough) -> None:
    bough("add", "user", "two of a kind")
    assert kinds(bough.json("check", "--provider", "openai", code=1)["problems"]) == [(2, "dangling-call")]
    found = kinds(bough.json("check", "--provider", "anthropic", code=1)["problems"])
    assert (2, "dangling-call") in found
    assert len(found) > 1
    bough("check", "--provider", "acme", code=2)


def test_repair_completes_and_can_be_undone(bough: Bough) -> None:
    out = bough.out("check", "--repair")
    assert out.splitlines()[-1] == "Repaired: 0 messages taken out, 1 message put in. `bough undo` takes it back."
    messages = bough.json("show")["messages"]
    assert [each["role"] for each in messages] == ["user", "assistant", "tool", "user"]
    assert messages[2]["tool_call_id"] == "c1"
    assert bough.out("check") == "Nothing is wrong.\n"
    bough("undo")
    assert kinds(bough.json("check", code=1)["problems"]) == [(2, "dangling-call")]


def test_repair_removes_if_told_to(bough: Bough) -> None:
    answer = bough.json("check", "main", "--repair", "--how", "remove")
    assert kinds(answer["problems"]) == [(2, "dangling-call")]
    assert (answer["removed"], answer["new"], answer["left"]) == (1, 0, [])
    assert [each["content"] for each in bough.json("show")["messages"]] == ["look", "well?"]


def test_what_cannot_be_mended_is_told_by_its_new_number(bough: Bough) -> None:
    result = bough("check", "--repair", "--provider", "anthropic", code=1)
    before, _, after = result.stdout.partition("Left, by the new numbers:\n")
    assert "Repaired: " in before
    left = [line.split()[:2] for line in after.splitlines()]
    assert left
    assert {kind for _, kind in left} <= {"role-order", "unknown-shape"}
    again = bough("check", "--repair", "--provider", "anthropic", code=1).stdout
    assert again.endswith("Nothing of that can be mended.\n")
    assert [line.split()[:2] for line in again.splitlines()[:-1]] == left


def test_only_a_branch_can_be_repaired(bough: Bough) -> None:
    result = bough("check", "main~1", "--repair", code=1)
    assert result.stderr == (
        "error: 'main~1' is no branch, and only a branch can be repaired\nhint: make a branch of it first\n"
    )
    assert bough("check", "nowhere", "--repair", code=1).stderr.startswith("error: 'nowhere'")
    bough("fork", "other")
    bough("check", "main", "--repair")
    assert bough.json("show", "main")["branch"]["length"] == 4
    assert bough.json("show", "other")["branch"]["length"] == 3
