"""``bough import``: trees and chats come in whole, once, and what cannot be read is told."""

from __future__ import annotations

import json
import os
import pty
import shlex
import socket
import sys
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cli_kit import Bough

from bough.cli.importing import Account, bring_in
from bough.stores.memory import MemoryStore
from bough.transfer import FORMATS, Conversation, Defect, Format, read_conversations


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
        [],
        ["session", "branches", "messages", "title"],
        ["tree-1", "grown", "1", "1"],
        ["tree-2", "new", "3", "5"],
        [],
        *[line.split() for line in ["`bough log --session tree-1` shows the first one; `bough sessions` lists all."]],
    ]


def test_defects_are_told_with_their_line_and_the_rest_comes_in(bough: Bough, tmp_path: Path) -> None:
    file = write(tmp_path / "trees.jsonl", TREE, "{torn", {"message_tree_id": "x", "prompt": {"message_id": 1}})
    result = bough("import", file)
    assert result.stderr.startswith(f"warning: {file}:2: ")
    assert f"warning: {file}:3: " in result.stderr
    assert result.stdout.splitlines()[4].split() == ["left", "out", "2"]
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
    keys = "an object with the keys 'what'"
    assert result.stderr == f"warning: {other}:1: not recognised as a conversation: {keys}\n"
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
    said = bough("import", file, code=1).stderr
    assert "error: " in said
    assert file in said
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
    assert result.stdout.splitlines()[4].split() == ["left", "out", "0"]
    assert result.stdout.splitlines()[5].split() == ["mended", "1"]


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


def chat(*contents: str, **more: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content} for content in contents], **more}


def test_every_session_is_told_of_once_with_what_is_new_of_it(bough: Bough, tmp_path: Path) -> None:
    """Numbers cite ``bough.cli.importing``: 1."""
    bough("import", write(tmp_path / "a.jsonl", chat("one", id="grows"), chat("same", id="stays")))
    lines = [chat("one", "two", id="grows"), chat("same", id="stays"), *[chat("hi")] * 3, TREE]
    answer = bough.json("import", write(tmp_path / "b.jsonl", *lines[:-1]), write(tmp_path / "c.jsonl", TREE))
    told = [
        (each["state"], each["conversations"], each["found"], each["new"], each["title"]) for each in answer["sessions"]
    ]
    assert told == [
        ("grown", 1, {"branches": 1, "messages": 2}, {"branches": 0, "messages": 1}, None),
        ("unchanged", 1, {"branches": 1, "messages": 1}, {"branches": 0, "messages": 0}, None),
        ("new", 3, {"branches": 3, "messages": 3}, {"branches": 1, "messages": 1}, None),
        ("new", 1, {"branches": 3, "messages": 5}, {"branches": 3, "messages": 5}, None),
    ]
    for name in ("branches", "messages"):
        for which in ("found", "new"):
            assert answer[which][name] == sum(each[which][name] for each in answer["sessions"])
    stored = {each["id"] for each in bough.json("sessions")["sessions"]}
    assert {each["id"] for each in answer["sessions"]} == stored


def test_the_same_conversation_several_times_is_explained(bough: Bough, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", *[chat("hi")] * 3, chat("other"))
    out = bough.out("import", file)
    assert "2 of the 4 conversations found are the same as one before: they share its session.\n" in out
    assert "nothing new" not in out
    out = bough.out("import", file)
    assert "2 sessions had nothing new.\n" in out
    assert "bough log" not in out


def test_no_more_than_ten_sessions_are_named_for_people(bough: Bough, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", *(chat(f"{number}", id=number) for number in range(13)))
    out = bough.out("import", file)
    assert sum(line.startswith("openai-chat-") for line in out.splitlines()) == 10
    assert "… and 3 more\n" in out
    assert len(bough.json("import", file, "--dry-run")["sessions"]) == 13


def test_what_to_type_next_is_a_command(bough: Bough, tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path / 'my talks.db'}"
    out = bough.out("import", write(tmp_path / "it's.jsonl", chat("hello")), "--into", store)
    [command] = [line.split("`")[1] for line in out.splitlines() if line.startswith("`bough")]
    assert "hello" in bough.out(*shlex.split(command)[1:])


def test_a_store_that_would_be_lost_is_refused(bough: Bough, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", CHAT)
    result = bough("import", file, "--into", "memory:", code=1)
    assert result.stderr.endswith("hint: --dry-run says what there is\n")
    bough("--store", "memory:", "import", file, code=1)
    assert bough.json("import", file, "--into", "memory:", "--dry-run")["found"]["messages"] == 2


def test_standard_input_is_a_file_like_any_other(bough: Bough, tmp_path: Path) -> None:
    """3: also one that is read from its end."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.jsonl", json.dumps(CHAT) + "\n{torn")
    answer = bough.json("import", "-", input=(tmp_path / "x.zip").read_bytes())
    assert answer["new"] == {"sessions": 1, "branches": 1, "messages": 2}
    assert [(each["file"], each["line"]) for each in answer["defects"]] == [("<stdin>:a.jsonl", 2)]
    refused = bough("import", "-", input=b"hello", code=1).stderr
    assert refused.startswith("error: <stdin>:1: not recognised as a conversation: ")


def test_a_path_that_cannot_be_read_stops_no_other(bough: Bough, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "sock"))
        result = bough("import", str(tmp_path / "sock"), write(tmp_path / "a.jsonl", CHAT))
    assert result.stderr == f"warning: {tmp_path / 'sock'} is no regular file\n"
    assert len(bough.json("sessions")["sessions"]) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_store_that_fails_ends_it_and_what_came_in_is_told(bough: Bough, tmp_path: Path) -> None:
    """4, 6"""
    import resource

    first, later = write(tmp_path / "a.jsonl", chat("small", id=1), chat("x" * 200_000, id=2)), tmp_path / "b.jsonl"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        result = bough("import", first, write(later, chat("other", id=3)), code=1)
        answer = json.loads(bough("import", first, str(later), "--json", code=1).stdout)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "file too large; what is counted here came in, and the same import again brings the rest" in result.stderr
    assert "nothing was changed" not in result.stderr
    assert result.stdout.splitlines()[1].split() == ["sessions", "1", "1"]
    assert (answer["interrupted"], answer["found"]["sessions"]) == (True, 1)
    assert bough.json("import", first, str(later))["new"]["sessions"] == 2


def test_a_bug_costs_one_file_and_is_shown(bough: Bough, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its traceback is what Python shows of an exception that nobody catches."""

    def read(records: object, reading: object) -> Iterator[Conversation]:
        raise KeyError("unforeseen")
        yield

    monkeypatch.setitem(FORMATS, "buggy", Format(lambda value: "buggy" in value, read))
    write(tmp_path / "a.jsonl", {"buggy": 1})
    write(tmp_path / "b.jsonl", CHAT)
    with pytest.raises(KeyError, match="unforeseen"):
        bough("import", str(tmp_path))
    assert len(bough.json("sessions")["sessions"]) == 1
    found = [item for item in read_conversations(tmp_path) if isinstance(item, Defect)]
    assert [item.reason for item in found] == ["a bug of Bough, please report it: KeyError: 'unforeseen'"]


def test_what_is_in_the_way_is_all_that_is_said(bough: Bough, tmp_path: Path) -> None:
    bough("add", "user", "something else", "--session", "tree-1")
    said = bough("import", write(tmp_path / "trees.jsonl", TREE), code=1).stderr.splitlines()
    assert said[1:] == ["error: nothing could be imported", "hint: import into a session of its own"]


def test_a_long_id_makes_no_wide_table(bough: Bough, tmp_path: Path) -> None:
    out = bough.out("import", write(tmp_path / "a.jsonl", {**TREE, "message_tree_id": "t" * 400}))
    assert max(map(len, out.split("`")[0].splitlines())) < 100


@pytest.mark.parametrize(
    ("given", "file"),
    [("", "deep/x.zip:in/a.jsonl"), ("deep", "x.zip:in/a.jsonl"), ("deep/x.zip", "x.zip:in/a.jsonl")],
)
def test_main_says_which_file_it_is_from_and_not_where_that_lay(
    bough: Bough, tmp_path: Path, given: str, file: str
) -> None:
    """5"""
    folder = tmp_path / "home"
    (folder / "deep").mkdir(parents=True)
    with zipfile.ZipFile(folder / "deep/x.zip", "w") as archive:
        archive.writestr("in/a.jsonl", json.dumps({**CHAT, "tools": []}))
    [session] = bough.json("import", str(folder / given))["sessions"]
    [main] = bough.json("branch", "--session", session["id"])["branches"]
    assert main["metadata"] == {"file": file, "tools": []}


def on_terminal(monkeypatch: pytest.MonkeyPatch, *paths: str) -> tuple[Account, str]:
    """What an import with a terminal for its stderr did, and what it drew there."""
    ours, theirs = pty.openpty()
    account = Account()
    monkeypatch.setenv("COLUMNS", "100")
    with open(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        bring_in(account, MemoryStore(), paths)
        monkeypatch.undo()
    drawn = b""
    with suppress(OSError):  # how Linux says that the other side is closed, and all was read
        while data := os.read(ours, 1 << 16):
            drawn += data
    os.close(ours)
    return account, drawn.decode()


def test_the_bar_counts_sessions_and_messages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", *(chat("hi", "ho", id=number) for number in range(4)))
    account, drawn = on_terminal(monkeypatch, file)
    assert account.found == {"sessions": 4, "branches": 4, "messages": 8}
    assert "Importing 3 sessions, 6 messages" in drawn  # when the last line was read


def test_what_cannot_be_read_does_not_stop_the_bar(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04 and no more")
    account, drawn = on_terminal(monkeypatch, str(tmp_path / "x.zip"), write(tmp_path / "a.jsonl", CHAT))
    assert (account.found["sessions"], len(account.defects)) == (1, 1)
    assert "Importing" in drawn
