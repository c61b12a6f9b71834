"""``bough import``: trees and chats come in whole, once, and what cannot be read is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_kit import Bough


@pytest.fixture
def bough(tmp_path: Path) -> Bough:
    return Bough(tmp_path / "store")


def node(name: str, role: str, *replies: dict[str, Any], rank: int | None = None) -> dict[str, Any]:
    return {"message_id": name, "role": role, "text": f"text of {name}", "rank": rank, "replies": list(replies)}


TREE = {
    "message_tree_id": "tree-1",
    "tree_state": "ready_for_export",
    "prompt": node(
        "p",
        "prompter",
        node("second", "assistant", rank=1),
        node("best", "assistant", node("q1", "prompter"), node("q2", "prompter"), rank=0),
    ),
}


def write(path: Path, *lines: object) -> str:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return str(path)


def test_a_tree_comes_in_with_its_branches_and_a_second_time_nothing_does(bough: Bough, tmp_path: Path) -> None:
    file = write(tmp_path / "trees.jsonl", TREE)
    answer = bough.json("import", file)
    assert answer["found"] == answer["new"] == {"sessions": 1, "branches": 3, "messages": 5}
    branches = {each["id"]: each for each in bough.json("branch", "--session", "tree-1")["branches"]}
    assert branches.keys() == {"main", "q2", "second"}
    assert (branches["q2"]["parent_id"], branches["q2"]["parent_message_index"]) == ("main", 2)
    messages = bough.json("show", "--session", "tree-1")["messages"]
    assert [(each["role"], each["content"]) for each in messages] == [
        ("user", "text of p"),
        ("assistant", "text of best"),
        ("user", "text of q1"),
    ]
    assert len(bough.json("log", "--all", "--session", "tree-1")["messages"]) == 5
    again = bough.json("import", file)
    assert again["found"] == answer["found"]
    assert again["new"] == {"sessions": 0, "branches": 0, "messages": 0}


def test_a_grown_file_brings_what_is_new(bough: Bough, tmp_path: Path) -> None:
    bough("import", write(tmp_path / "trees.jsonl", TREE))
    grown = json.loads(json.dumps(TREE))
    grown["prompt"]["replies"].append(node("third", "assistant", rank=2))
    out = bough.out("import", write(tmp_path / "trees.jsonl", grown, {**TREE, "message_tree_id": "tree-2"}))
    assert [line.split() for line in out.splitlines()] == [
        ["found", "new"],
        ["sessions", "2", "1"],
        ["branches", "7", "4"],
        ["messages", "11", "6"],
        ["left", "out", "0"],
    ]


def test_defects_are_told_with_their_line_and_the_rest_comes_in(bough: Bough, tmp_path: Path) -> None:
    file = write(tmp_path / "trees.jsonl", TREE, "{torn", {"message_tree_id": "x", "prompt": {"message_id": 1}})
    result = bough("import", file)
    assert result.stderr.startswith(f"warning: {file}:2: ")
    assert f"warning: {file}:3: " in result.stderr
    assert result.stdout.splitlines()[-1].split() == ["left", "out", "2"]
    defects = bough.json("import", file)["defects"]
    assert [(each["file"], each["line"]) for each in defects] == [(file, 2), (file, 3)]


def test_a_session_that_holds_another_conversation_is_a_defect(bough: Bough, tmp_path: Path) -> None:
    bough("add", "user", "something else", "--session", "tree-1")
    file = write(tmp_path / "trees.jsonl", TREE, {**TREE, "message_tree_id": "tree-2"})
    result = bough("import", file)
    assert result.stderr == f"warning: {file}:1: branch 'main' holds another conversation\n"
    assert bough.json("branch", "--session", "tree-1")["branches"][0]["length"] == 1
    assert len(bough.json("branch", "--session", "tree-2")["branches"]) == 3


def test_several_files_of_different_formats(bough: Bough, tmp_path: Path) -> None:
    chat = write(tmp_path / "chat.jsonl", {"messages": [{"role": "user", "content": "hi"}]})
    other = write(tmp_path / "other.jsonl", {"what": "is this"})
    result = bough("import", other, chat, write(tmp_path / "trees.jsonl", TREE))
    assert result.stderr == f"warning: {other}: not recognised as a conversation\n"
    sessions = [each["id"] for each in bough.json("sessions")["sessions"]]
    assert len(sessions) == 2
    assert sessions[0].startswith("chat-")


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        ([], "BoughError"),
        ([{"message_tree_id": "x", "prompt": None}], "BoughError"),
        (["{torn"], "UnsupportedFormatError"),
        ([{"a": 1}], "UnsupportedFormatError"),
    ],
)
def test_nothing_that_could_be_imported_is_an_error(
    bough: Bough, tmp_path: Path, lines: list[object], kind: str
) -> None:
    file = write(tmp_path / "bad.jsonl", *lines)
    assert "error: " in bough("import", file, code=1).stderr
    assert bough.json("import", file, code=1)["error"]["type"] == kind
    assert not bough.store.exists()


def test_a_file_that_is_not_there_is_bad_usage(bough: Bough, tmp_path: Path) -> None:
    bough("import", str(tmp_path / "nowhere"), code=2)
    bough("import", code=2)
    assert bough.json("import", write(tmp_path / "x", TREE), "--format", "no", code=1)["error"]["type"] == (
        "UnsupportedFormatError"
    )


CHAT = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}


def test_a_dry_run_reads_everything_and_writes_nothing(bough: Bough, tmp_path: Path) -> None:
    file = write(tmp_path / "trees.jsonl", TREE, CHAT, "{torn")
    answer = bough.json("import", file, "--dry-run")
    assert answer["found"] == {"sessions": 1, "branches": 3, "messages": 5}
    assert answer["new"] is None
    assert [defect["line"] for defect in answer["defects"]] == [2, 3]
    assert bough.json("sessions")["sessions"] == []
    assert bough("import", file, "--dry-run").stdout.splitlines()[0].split() == ["found"]


def test_a_folder_comes_in_whole_and_into_another_store(bough: Bough, tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    (folder / "deep").mkdir(parents=True)
    write(folder / "trees.jsonl", TREE)
    write(folder / "deep" / "chat.jsonl", CHAT)
    (folder / "notes.txt").write_text("not looked at")
    write(folder / "settings.json", {"theme": "dark"})
    store = f"sqlite:{tmp_path / 'talks.db'}"
    answer = bough.json("import", str(folder), "--into", store)
    assert answer["new"] == {"sessions": 2, "branches": 4, "messages": 7}
    assert [(defect["file"], defect["line"]) for defect in answer["defects"]] == [(str(folder / "settings.json"), None)]
    assert bough.json("sessions")["sessions"] == []
    assert len(bough.json("--store", store, "sessions")["sessions"]) == 2


def test_what_is_mended_is_counted_apart(bough: Bough, tmp_path: Path) -> None:
    """A node whose parent is missing comes in all the same."""
    line = {
        "type": "user",
        "uuid": "b",
        "parentUuid": "gone",
        "sessionId": "s",
        "message": {"role": "user", "content": "hi"},
    }
    result = bough("import", write(tmp_path / "s.jsonl", line))
    assert result.stdout.splitlines()[-2].split() == ["left", "out", "0"]
    assert result.stdout.splitlines()[-1].split() == ["mended", "1"]


def test_the_title_is_the_sessions(bough: Bough, tmp_path: Path) -> None:
    export = [
        {
            "id": "c1",
            "title": "Trip",
            "create_time": 1.7e9,
            "current_node": "b",
            "mapping": {
                "a": {"id": "a", "message": None, "parent": None, "children": ["b"]},
                "b": {
                    "id": "b",
                    "parent": "a",
                    "children": [],
                    "message": {
                        "id": "b",
                        "author": {"role": "user"},
                        "content": {"content_type": "text", "parts": ["Where?"]},
                    },
                },
            },
        }
    ]
    bough("import", write(tmp_path / "conversations.json", export))
    [session] = bough.json("sessions")["sessions"]
    assert session["title"] == "Trip"
    assert bough.json("import", str(tmp_path / "conversations.json"))["new"]["messages"] == 0
