"""What each command does and says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_kit import Bough, talk, without_ids

from bough import ConversationBranchManager
from bough.cli import ELSEWHERE


@pytest.fixture
def bough(tmp_path: Path) -> Bough:
    return Bough(tmp_path / "store")


def test_add_takes_text_stdin_and_whole_messages(bough: Bough) -> None:
    assert bough.out("add", "user", "one") == "Added message 1 to main.\n"
    bough("add", "assistant", input="two\nlines\n")
    bough("add", "--message", '{"role": "tool", "n": 5.0}')
    bough("add", "--message", "-", input='{"role": "tool", "n": 6}\n')
    bough("add", "user", "")
    with ConversationBranchManager(store=bough.store) as manager:
        messages = manager.get_messages()
    assert messages == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two\nlines"},
        {"role": "tool", "n": 5.0},
        {"role": "tool", "n": 6},
        {"role": "user", "content": ""},
    ]
    assert isinstance(messages[2]["n"], float)


def test_log_is_newest_first_and_show_in_order(bough: Bough) -> None:
    talk(bough)
    assert (
        without_ids(bough.out("log", "--oneline"))
        == "4 assistant (HEAD -> main) four\n3 user three\n2 assistant two\n1 user one\n"
    )
    assert without_ids(bough.out("log", "-n", "1")) == "4 assistant (HEAD -> main)\n    four\n\n"
    ideas = without_ids(bough.out("log", "ideas", "--oneline", "-n", "2"))
    assert ideas == "3 user (ideas) another three\n2 assistant two\n"
    assert bough.out("show", "ideas") == "1 user\none\n\n2 assistant\ntwo\n\n3 user\nanother three\n\n"


def test_log_draws_the_tree(bough: Bough) -> None:
    talk(bough)
    bough("add", "user", "x" * 200)
    assert bough.out("log", "--graph", "--all").splitlines() == [
        "● 5 user       (HEAD -> main) " + "x" * 69 + "…",
        "● 4 assistant  four",
        "● 3 user       three",
        "├─● 3 user       (ideas) another three",
        "● 2 assistant  two",
        "● 1 user       one",
    ]
    assert "ideas" not in bough.out("log", "--graph")
    everything = without_ids(bough.out("log", "--all", "--oneline", "-n", "4"))
    assert everything.splitlines()[-1] == "ideas:3 user (ideas) another three"


def test_log_folds_long_runs_unless_told_not_to(bough: Bough) -> None:
    with ConversationBranchManager(store=bough.store) as manager:
        manager.add_messages({"role": "user", "content": f"m{n}"} for n in range(1, 1203))
    lines = bough.out("log", "--graph").splitlines()
    assert lines[2] == "┊   · · 1,198 messages"
    assert len(lines) == 5
    assert len(bough.out("log", "--graph", "--no-fold").splitlines()) == 1202
    assert without_ids(bough.out("log", "--oneline")).splitlines()[-1] == "1 user m1"


def test_log_shows_the_beginning_of_long_messages_and_show_all(bough: Bough) -> None:
    bough("add", "user", "\n".join("abcdefg"))
    assert without_ids(bough.out("log")) == "1 user (HEAD -> main)\n    a\n    b\n    c\n    d\n    · · 3 lines\n\n"
    assert bough.out("show").splitlines() == ["1 user", *"abcdefg", ""]


def test_show_has_every_key_of_one_message(bough: Bough) -> None:
    bough("add", "--message", '{"content": "hi", "role": "user", "score": 1.0}')
    assert bough.out("show", "main:1") == 'hi\n"score":1.0\n'.join(["1 user\n", ""])
    assert bough.out("show", ":-1") == bough.out("show", "main:1")


@pytest.mark.parametrize("target", ["main:0", "main:2", "main:-2"])
def test_show_of_a_message_that_is_not_there(bough: Bough, target: str) -> None:
    bough("add", "user", "one")
    result = bough("show", target, code=1)
    assert result.stderr == f"error: branch 'main' has no message {target[5:]}\nhint: it has 1\n"


def test_a_colon_can_be_part_of_an_id(bough: Bough) -> None:
    bough("add", "user", "one")
    bough("branch", "create", "a:1")
    assert bough.out("show", "a:1") == "1 user\none\n\n"
    assert bough.out("show", "a:1:1") == "1 user\none\n"


def test_fork_switch_and_back(bough: Bough) -> None:
    bough("add", "user", "one")
    assert bough.out("fork", "An idea!") == "Switched to the new branch an-idea, with 1 message of main.\n"
    assert bough.out("switch", "main") == "Switched to branch main (1 message).\n"
    assert bough.out("switch", "main") == "Already on branch main (1 message).\n"
    assert "with 0 messages" in bough.out("fork", "--at", "0")
    assert bough("fork", "--at", "9", code=1).stderr.startswith("error: a branch cannot begin with 9 messages of")


def test_branch_lists_and_creates(bough: Bough) -> None:
    talk(bough)
    created = bough.out("branch", "create", "plan", "--from", "ideas", "--at", "1", "--name", "The plan")
    assert created == "Created branch plan with 1 message.\n"
    assert "with 4 messages" in bough.out("branch", "create", "copy")
    assert "with 0 messages" in bough.out("branch", "create", "blank", "--empty")
    bough("branch", "create", "blank", code=1)
    bough("branch", "create", "x", "--empty", "--at", "1", code=2)
    lines = bough.out("branch").splitlines()
    assert lines == bough.out("branch", "list").splitlines()
    rows = {line[3:].split("  ")[0]: line for line in lines[1:]}
    assert rows.keys() == {"main", "ideas", "plan", "copy", "blank"}
    assert [name for name, line in rows.items() if line.startswith("*")] == ["main"]
    assert "The plan" in rows["plan"]
    assert "ideas:1" in rows["plan"]


def test_merge_says_what_it_did_and_undo_takes_it_back(bough: Bough) -> None:
    talk(bough)
    assert bough.out("merge", "ideas") == "Merged ideas into main: 1 message added.\n"
    assert bough.out("merge", "ideas") == "main is up to date: nothing to merge from ideas.\n"
    last = without_ids(bough.out("log", "--oneline", "-n", "1"))
    assert last == "5 user (HEAD -> main) (from ideas) another three\n"
    last = without_ids(bough.out("log", "-n", "1"))
    assert last == "5 user (HEAD -> main) (from ideas)\n    another three\n\n"
    assert bough.out("undo") == "Undid operation 4: merge ideas into main (append): +1. On main now.\n"
    assert bough.json("show")["branch"]["length"] == 4
    replaced = bough.out("merge", "ideas", "--strategy", "replace")
    assert replaced == "Merged ideas into main: 1 message added, 2 removed.\n"
    bough("merge", "ideas", "--strategy", "rebase", code=2)


def test_rename_delete_and_undo(bough: Bough) -> None:
    talk(bough)
    assert bough.out("rename", "ideas", "Bright ideas") == "Branch ideas is named Bright ideas now.\n"
    bough("switch", "Bright ideas")
    assert bough.out("delete", "ideas") == "Deleted branch ideas; on main now. `bough undo` brings it back.\n"
    assert bough.out("undo") == "Undid operation 6: delete ideas. On ideas now.\n"
    assert bough.json("branch")["head"] == "ideas"
    assert bough("delete", "main", code=1).stderr == (
        "error: branch 'main' cannot be deleted\nhint: every session keeps its main branch\n"
    )


def test_a_branch_is_an_id_else_a_name_else_the_beginning_of_an_id(bough: Bough) -> None:
    bough("add", "user", "one")
    for id_, name in (("abcd-one", "x"), ("abcd-two", "same"), ("other", "same"), ("x", "main")):
        bough("branch", "create", id_, "--name", name, "--empty")
    assert bough.json("switch", "x")["branch"]["id"] == "x"
    assert bough.json("switch", "main")["branch"]["id"] == "main"
    assert bough.json("switch", "abcd-o")["branch"]["id"] == "abcd-one"
    assert bough("switch", "abcd-", code=1).stderr == (
        "error: 'abcd-' could be several things\nhint: say which: abcd-one, abcd-two\n"
    )
    assert "abcd-two, other" in bough("switch", "same", code=1).stderr
    assert "no branch 'oth'" in bough("switch", "oth", code=1).stderr


def test_sessions_and_the_options_before_and_after(bough: Bough, tmp_path: Path) -> None:
    assert bough.out("sessions") == "No sessions yet.\n"
    bough("add", "user", "one")
    bough("--session", "trip", "add", "user", "one")
    bough("add", "user", "two", "--session", "trip")
    bough("add", "user", "x", env={"BOUGH_SESSION": "trip"})
    bough("--session", "trip", "add", "user", "y", env={"BOUGH_SESSION": "wrong"})
    bough("--session", "wrong", "add", "user", "z", "--session", "trip")
    listed = [(session["id"], session["length"]) for session in bough.json("sessions")["sessions"]]
    assert listed == [("default", 1), ("trip", 5)]
    assert [line.split()[:4] for line in bough.out("sessions").splitlines()[1:]] == [
        ["default", "1", "main", "1"],
        ["trip", "1", "main", "5"],
    ]
    assert bough.out("sessions", "--store", str(tmp_path / "other")) == "No sessions yet.\n"


def test_path_prints_the_file(bough: Bough) -> None:
    talk(bough)
    assert len(json.loads(Path(bough.out("path").strip()).read_bytes())["messages"]) == 4
    assert bough.out("path", "ideas") == f"{bough.store}/default/ideas.json\n"


def test_demo_leaves_a_store_that_can_be_used(bough: Bough, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    out = bough.out("demo")
    [folder] = tmp_path.glob("bough-demo-*")
    assert f"export BOUGH_STORE={folder} BOUGH_SESSION=backup" in out
    assert out.count("$ ") == 5
    env = {"BOUGH_STORE": str(folder), "BOUGH_SESSION": "backup"}
    graph = bough.out("log", "--graph", "--all", env=env)
    assert "".join(f"  {line}\n" for line in graph.splitlines()) in out
    assert len(list((folder / "backup").glob("*.json"))) == 3
    assert all(len(line) <= 100 for line in out.splitlines() if str(folder) not in line)


def test_help_groups_the_commands_and_each_has_examples(bough: Bough) -> None:
    out = bough.out()
    assert out == bough.out("--help")
    sections = [line for line in out.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert sections[1:] == [
        "Begin:",
        "Converse:",
        "Branch out:",
        "Change what was said:",
        "Take it back:",
        "Find things:",
        "Keep it safe:",
        "Set up:",
    ]
    assert "..." not in out.split("Begin:")[1]
    for line in out.split("Begin:")[1].splitlines():
        if line.startswith("  ") and not line.startswith(("  -", "  COMMAND")):
            name = line.split()[0]
            assert f"\n  bough {name}" in bough.out(name, "--help").replace('jq .messages "$(', "").replace(
                'eval "$(', ""
            )


@pytest.mark.parametrize(
    ("typed", "meant"), [("checkout", "switch"), ("commit", "add"), ("status", "branch"), ("rm", "remove")]
)
def test_what_git_calls_otherwise_is_pointed_to(bough: Bough, typed: str, meant: str) -> None:
    assert f"No such command {typed!r}: here it is `bough {meant}`." in bough(typed, "x", code=2).stderr


def test_every_command_that_is_pointed_to_is_there(bough: Bough) -> None:
    for line in ELSEWHERE.values():
        bough("help", *line.split())


@pytest.mark.parametrize("role", ["Where shall we go?", "", " ", "user "])
def test_a_sentence_is_no_role(bough: Bough, role: str) -> None:
    assert "is no role: write `bough add user TEXT`" in bough("add", role, code=2, input="x").stderr
    bough("sessions")
    assert not bough.store.exists()


def test_a_key_that_stands_twice_is_refused(bough: Bough) -> None:
    for given in ('{"a": 1, "a": 2}', '{"a": [{"b": {"c": 1, "c": 1}}]}'):
        assert "stands there twice" in bough("add", "--message", given, code=2).stderr
    bough("add", "--message", '{"a": {"b": 1}, "b": [{"a": 1}, {"a": 1e99}, ' + "9" * 5000 + "]}")
    assert bough("edit", "1", "--message", '{"a": 1, "a": 2}', code=2).stderr.startswith("error: --message: ")


def test_a_branch_without_messages_says_so(bough: Bough) -> None:
    talk(bough)
    bough("branch", "create", "blank", "--empty")
    bough("switch", "blank")
    assert bough.out("log") == bough.out("show") == "blank has no messages yet.\n"
    assert bough.out("log", "--oneline") == "blank has no messages yet.\n"
    assert bough.json("show")["messages"] == []
    assert bough.out("log", "main..blank") == ""


def test_a_fork_inside_a_tool_call_says_how_to_keep_it_whole(bough: Bough) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    bough("add", "user", "one")
    bough("add", "--message", json.dumps({"role": "assistant", "content": None, "tool_calls": [call]}))
    bough("add", "--message", '{"role": "tool", "tool_call_id": "c1", "content": "x"}')
    assert "--align back or forward" in bough("fork", "a", "--at", "2").stderr
    for args in (("--at", "1"), ("--at", "3"), ("--at", "2", "--align", "back")):
        assert bough("fork", "b", "--from", "main", *args).stderr == ""
