"""The log of operations on the command line: looking at it, taking back, doing again; naming branches; help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cli_kit import Bough, odd_tag, talk

from bough import ConversationBranchManager, imports
from bough.changes import change, put_again


@pytest.fixture(params=["json", "sqlite"])
def bough(request: pytest.FixtureRequest, tmp_path: Path) -> Bough:
    return Bough(tmp_path / "store" if request.param == "json" else Path(f"sqlite:{tmp_path}/talks.db"))


def texts(bough: Bough, revision: str = "HEAD") -> list[str]:
    return [message["content"] for message in bough.json("show", revision)["messages"]]


def said(bough: Bough, *args: str) -> list[str]:
    """What the log says, oldest first."""
    return [operation["text"] for operation in bough.json("ops", *args)["operations"]][::-1]


def test_every_verb_is_said_in_words(bough: Bough) -> None:
    talk(bough)
    for args in (
        ("merge", "ideas"),
        ("edit", "3", "THREE"),
        ("remove", "1"),
        ("remove", "2..3"),
        ("reset", "1"),
        ("reset", "ideas~1"),
        ("cherry-pick", "ideas"),
        ("rename", "ideas", "Bright ideas"),
        ("branch", "create", "blank", "--empty"),
        ("branch", "create", "copy", "--from", "ideas", "--at", "1"),
        ("delete", "copy"),
        ("branch", "restore", "copy"),
        ("branch", "restore", "copy", "--as", "second"),
        ("fork", "then", "--from", "main@{2}"),
        ("switch", "main"),
        ("undo",),
        ("redo",),
        ("revert", "10"),
    ):
        bough(*args)
    with ConversationBranchManager(store=str(bough.store)) as manager:
        manager.set_messages([{"role": "user", "content": "x"}])
        manager.tag("v1")
        manager.untag("v1")
        manager.set_branch_metadata({"title": "T", "labels": ["a"]})
        manager.set_session_metadata({"title": "T"})
        manager.purge("main")
    assert said(bough) == [
        "init of main",
        "fork ideas from main at 2",
        "switch from ideas to main",
        "merge ideas into main (append): +1",
        "edit main:3",
        "remove main:1",
        "remove main:2..3",
        "reset main to 1 message: -1",
        "reset main to ideas~1: +1",
        "cherry-pick into main: +1",
        "rename ideas to 'Bright ideas'",
        "create blank, empty",
        "create copy from ideas at 1",
        "delete copy",
        "restore copy",
        "restore copy as second",
        "fork then from main@{2}",
        "switch from then to main",
        "undo 18 (switch)",
        "redo 18 (switch)",
        "revert 10 (cherry-pick) in main: -1",
        *["set the messages of main: +1 -2", "tag v1", "untag v1", "describe main: labels, title"],
        *["describe the session: title", "purge of 1 message in main"],
    ]


def test_what_several_branches_share_is_counted_once(bough: Bough) -> None:
    first, second, third = (imports.entry({"role": "user", "content": text}) for text in ("1", "2", "3"))
    main = imports.IncomingBranch(id="main", name="main", entries=[first, second])
    side = imports.IncomingBranch(id="side", name="side", entries=[third], parent_id="main", shared=1)
    with ConversationBranchManager(store=str(bough.store)) as manager:
        manager.import_branches([main, side])
    assert said(bough)[-1] == "import main, side: +3"


def test_what_was_undone_is_marked_until_it_is_redone(bough: Bough) -> None:
    talk(bough)
    bough("rename", "ideas", "x")
    bough("edit", "1", "ONE")

    def undone() -> list[int]:
        shown = {operation["number"] for operation in bough.json("ops")["operations"] if operation["undone"]}
        lines = {int(line.split()[0]) for line in bough.out("ops").splitlines() if line.endswith("  (undone)")}
        assert shown == lines
        return sorted(shown)

    assert undone() == []
    bough("undo")
    assert undone() == [5]
    bough("undo")
    assert undone() == [4, 5]
    bough("redo")
    assert undone() == [5]
    assert [each["number"] for each in bough.json("ops", "-n", "2")["operations"]] == [8, 7]
    assert bough.json("ops", "-n", "3")["operations"][2]["undone"] is False
    assert bough.json("ops", "--show", "5")["operation"]["undone"] is True
    assert "\nstate   undone\n" in bough.out("ops", "--show", "5")
    assert "state" not in bough.out("ops", "--show", "4")


def test_the_log_of_one_branch_also_of_one_that_is_gone(bough: Bough) -> None:
    talk(bough)
    bough("edit", "1", "ONE")
    bough("delete", "ideas")
    assert said(bough, "main") == ["init of main", "edit main:1"]
    assert said(bough, "ideas") == ["fork ideas from main at 2", "delete ideas"]
    assert said(bough, "ideas", "-n", "1") == ["delete ideas"]
    assert bough.out("ops", "-n", "0") == "No operations.\n"
    assert "no branch 'x'" in bough("ops", "x", code=1).stderr
    bough("ops", "main", "--show", "1", code=2)


def test_who_did_it(bough: Bough) -> None:
    talk(bough)
    [operation] = bough.json("ops", "-n", "1")["operations"]
    who = f"{operation['user']}@{operation['hostname']}"
    assert who.strip("@") in bough.out("ops")
    assert f"({operation['pid']})" not in bough.out("ops")
    assert f"{who} ({operation['pid']})" in bough.out("ops", "-v")


def test_each_operation_gives_revisions_that_show_what_was(bough: Bough) -> None:
    """Whatever came later, appended messages too."""
    talk(bough)
    states: dict[int, list[str]] = {}
    before: dict[int, list[str]] = {}
    for args in (
        ("edit", "2", "TWO"),
        ("remove", "1"),
        ("merge", "ideas"),
        ("reset", "1"),
        ("undo",),
        ("rename", "main", "x"),
        ("edit", "1", "uno"),
    ):
        was = texts(bough)
        bough(*args)
        number = bough.json("ops", "-n", "1")["operations"][0]["number"]
        before[number], states[number] = was, texts(bough)
        bough("add", "user", f"after {number}")
    for number, state in states.items():
        [branch] = bough.json("ops", "--show", str(number))["operation"]["branches"]
        assert texts(bough, branch["after"]["revision"]) == state, branch
        assert texts(bough, branch["before"]["revision"]) == before[number], branch
        assert (branch["before"]["length"], branch["after"]["length"]) == (len(before[number]), len(state))
        assert f"`bough show {branch['after']['revision']}`" in bough.out("ops", "--show", str(number))


def test_an_operation_whole_says_what_came_and_went(bough: Bough) -> None:
    talk(bough)
    bough("branch", "create", "side", "--empty")
    bough("switch", "side")
    bough("add", "user", "t")
    bough("fork", "mixed", "--from", "main:2")
    bough("cherry-pick", "side", "main:3", "main:4")
    bough("switch", "side")
    bough("reset", "mixed")
    number = bough.json("ops", "-n", "1")["operations"][0]["number"]
    answer = bough.json("ops", "--show", str(number))["operation"]
    assert answer["detail"] == {"to": "mixed"}
    [branch] = answer["branches"]
    assert branch["id"] == "side"
    assert branch["after"]["came"] == [[1, 2], [4, 5]]
    assert branch["before"]["went"] == []
    assert texts(bough, "side") == ["one", "two", "t", "three", "four"]
    assert "  after   5 messages (1..2, 4..5 added): `bough show side`\n" in bough.out("ops", "--show", str(number))
    bough("remove", "2..3")
    number += 1
    assert "  before  5 messages (2..3 removed): `bough show side@{1}`\n" in bough.out("ops", "--show", str(number))
    fork = bough.out("ops", "--show", "2")
    assert "current main before, ideas after\n" in fork
    assert "  before  not there\n" in fork
    assert "there is no operation 99" in bough("ops", "--show", "99", code=1).stderr


def test_undo_of_a_number_and_redo(bough: Bough) -> None:
    talk(bough)
    bough("edit", "1", "ONE")
    bough("rename", "ideas", "x")
    assert bough.out("undo", "4") == "Undid operation 4: edit main:1. On main now.\n"
    assert texts(bough) == ["one", "two", "three", "four"]
    assert "undone already" in bough("undo", "4", code=1).stderr
    assert "`bough ops` lists them" in bough("undo", "99", code=1).stderr
    bough("undo", "0", code=2)
    assert bough.out("redo") == "Redid operation 4: edit main:1. On main now.\n"
    assert texts(bough)[0] == "ONE"
    assert bough("redo", code=1).stderr.startswith("error: there is nothing to redo\nhint: ")
    bough("undo")
    bough("add", "user", "five")
    assert bough.json("redo")["operation"] == 5
    assert texts(bough)[-1] == "five"


def test_revert_goes_where_undo_does_not(bough: Bough) -> None:
    talk(bough)
    bough("edit", "1", "ONE")
    bough("edit", "2", "TWO")
    refused = bough("undo", "4", code=3)
    assert "`bough revert 4`" in refused.stderr
    assert bough.out("revert", "4") == "Reverted operation 4: edit main:1. `bough undo` takes that back.\n"
    assert texts(bough) == ["one", "TWO", "three", "four"]
    answer = bough.json("revert", "4")
    assert (answer["reverted"], answer["operation"], answer["branches"]) == (4, None, [])
    assert bough.out("revert", "4") == "Nothing of operation 4 is left to revert.\n"
    assert "changed no branch's messages" in bough("revert", "3", code=1).stderr
    assert "no operation 77" in bough("revert", "77", code=1).stderr


@pytest.mark.parametrize(("resolve", "first"), [("ours", ["newer"]), ("theirs", ["one"]), ("both", ["newer", "one"])])
def test_a_conflict_of_a_revert_is_shown_and_settled(bough: Bough, resolve: str, first: list[str]) -> None:
    talk(bough)
    bough("edit", "1", "new")
    bough("edit", "1", "newer")
    result = bough("revert", "4", code=1)
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0][:5] == ["conflict", "1", "at", "message", "1:"]
    assert ["ancestor", "new"] in lines
    assert ["now", "newer"] in lines
    assert ["was", "one"] in lines
    assert "--resolve ours" in result.stderr
    assert texts(bough)[0] == "newer"
    [conflict] = bough.json("revert", "4", code=1)["error"]["conflicts"]
    assert (conflict["ours"]["content"], conflict["theirs"]["content"]) == ("newer", "one")
    bough("revert", "4", "--resolve", resolve)
    assert texts(bough) == [*first, "two", "three", "four"]
    bough("revert", "4", "--resolve", "mine", code=2)


def test_head_and_the_branch_before_are_names_of_branches(bough: Bough) -> None:
    bough("add", "user", "one")
    assert "no other branch was the current one before" in bough("switch", "-", code=1).stderr
    bough("fork", "second")
    assert bough.json("switch", "-")["branch"]["id"] == "main"
    assert bough.json("switch", "-")["branch"]["id"] == "second"
    bough("add", "user", "two")
    assert bough.json("merge", "-", "--strategy", "append")["source"] == "main"
    assert [each["branch"] for each in bough.json("log", "-n", "1", "HEAD")["messages"]] == ["second"]
    bough("rename", "HEAD", "Second")
    assert bough.json("switch", "Second")["branch"]["id"] == "second"
    assert "cannot be an id" in bough("delete", "", code=1).stderr
    assert bough.json("delete", "HEAD")["deleted"] == "second"


def test_a_tag_is_no_branch(bough: Bough) -> None:
    """Also where the id of a branch begins so."""
    talk(bough)
    with ConversationBranchManager(store=str(bough.store)) as manager:
        manager.create_branch("version-2", "version", "main")
        manager.tag("vers", "ideas")
    assert "no branch 'vers'" in bough("switch", "vers", code=1).stderr
    assert texts(bough, "vers") == ["one", "two", "another three"]
    assert bough.json("switch", "versi")["branch"]["id"] == "version-2"
    bough("branch", "create", "version-3")
    failed = bough.json("switch", "version-", code=1)["error"]
    assert failed["type"] == "AmbiguousRevisionError"
    assert failed["hint"] == "say which: version-2, version-3"


def test_archived_branches_are_left_out_for_people(bough: Bough) -> None:
    talk(bough)
    bough("branch", "create", "old")
    bough("branch", "create", "trip")
    with ConversationBranchManager(store=str(bough.store)) as manager:
        manager.set_branch_metadata({"archived": True, "labels": ["travel"]}, branch_id="old")
        manager.set_branch_metadata({"labels": ["travel", "fun"]}, branch_id="trip")

    def listed(*args: str) -> tuple[set[str], list[str]]:
        lines = bough.out("branch", *args).splitlines()
        rows = [line for line in lines[1:] if not line.startswith("·")]
        return {line.lstrip("* ").split()[0] for line in rows}, [line for line in lines if line.startswith("·")]

    note = "· · 1 archived branch: --all shows them"
    assert listed() == ({"main", "ideas", "trip"}, [note])
    assert listed("list") == listed()
    assert listed("list", "--all") == ({"main", "ideas", "trip", "old"}, [])
    assert listed("list", "--archived") == ({"old"}, [])
    assert listed("list", "--label", "travel") == ({"trip"}, [note])
    assert listed("list", "--label", "travel", "--all") == ({"trip", "old"}, [])
    assert listed("list", "--label", "travel", "--label", "fun") == ({"trip"}, [])
    assert bough.out("branch", "list", "--label", "none") == "No such branches.\n"
    assert len(bough.json("branch")["branches"]) == 4
    assert [each["id"] for each in bough.json("branch", "list", "--archived")["branches"]] == ["old"]
    bough("branch", "list", "--archived", "--all", code=2)
    bough("branch", "list", "--deleted", "--label", "x", code=2)
    bough("switch", "old")
    assert listed() == ({"main", "ideas", "trip", "old"}, [])  # the current one is always there


def test_deleted_branches_are_listed_and_come_back(bough: Bough) -> None:
    talk(bough)
    assert bough.out("branch", "list", "--deleted") == "No deleted branches.\n"
    bough("delete", "ideas")
    [deleted] = bough.json("branch", "list", "--deleted")["deleted"]
    assert (deleted["id"], deleted["length"], deleted["operation"]["text"]) == ("ideas", 3, "delete ideas")
    assert bough.out("branch", "list", "--deleted").splitlines()[1].split()[:2] == ["ideas", "3"]
    assert bough.out("branch", "--deleted") == bough.out("branch", "list", "--deleted")
    assert "for the list" in bough("branch", "--deleted", "restore", "ideas", code=2).stderr
    assert bough.out("branch", "restore", "ideas") == "Branch ideas is back, with 3 messages.\n"
    assert texts(bough, "ideas") == ["one", "two", "another three"]
    assert bough("branch", "restore", "ideas", code=1).stderr.endswith("hint: give it another id: --as ID\n")
    assert bough.json("branch", "restore", "ideas", "--as", "again")["branch"]["id"] == "again"
    failed = bough("branch", "restore", "nothing", code=1)
    assert failed.stderr.endswith("hint: `bough branch list --deleted` shows what can be restored\n")


def test_help_is_what_the_commands_say_of_themselves(bough: Bough) -> None:
    assert bough.out("help") == bough.out()
    assert bough.out("help", "fork") == bough.out("fork", "--help")
    assert bough.out("help", "branch", "create") == bough.out("branch", "create", "--help")
    assert bough.out("help", "help") == bough.out("help", "--help")
    assert bough.json("help", "fork")["text"] + "\n" == bough.out("help", "fork")
    assert "no command 'frk'" in bough("help", "frk", code=2).stderr
    bough("help", "fork", "create", code=2)
    assert bough.out("sessions") == "No sessions yet.\n"


def test_the_examples_of_revisions_work(bough: Bough) -> None:
    talk(bough)
    bough("switch", "ideas")
    bough("add", "user", "more")
    bough("edit", "1", "ONE")
    bough("switch", "main")
    out = bough.out("help", "revisions")
    assert "``" not in out
    assert "main@{1}" in out
    examples = [line.split("  ")[0] for line in map(str.strip, out.splitlines()) if line.startswith("bough ")]
    assert len(examples) == 8
    for example in examples:
        bough(*example.split()[1:])


def test_no_control_character_reaches_the_terminal(bough: Bough) -> None:
    evil = "\x1b]0;owned\x07\x9b2J\u202e\x7f"
    with ConversationBranchManager(store=str(bough.store)) as manager:
        manager.add_message({"role": "user", "content": f"x{evil}"})
        manager.create_branch(f"b{evil}", f"name{evil}", "main")
        manager.rename_branch(f"b{evil}", f"other{evil}")
        manager.set_branch_metadata({f"key{evil}": evil}, branch_id=f"b{evil}")
        manager.checkout(f"b{evil}")
        odd_tag(bough, f"v{evil}", f"b{evil}")
        manager.edit_message(0, {"role": f"r{evil}", "content": f"y{evil}"})
        manager.edit_message(0, {"role": f"r{evil}", "content": f"z{evil}"})
        count = len(list(manager.operations()))
    runs: list[tuple[tuple[str, ...], int]] = [(("ops", "--show", str(number)), 0) for number in range(1, count + 1)]
    runs += [(("ops",), 0), (("ops", "-v"), 0), (("ops", f"b{evil}"), 0), (("ops", f"c{evil}"), 1)]
    runs += [(("revert", str(count - 1)), 1), (("show", f"v{evil}"), 0), (("show", f"w{evil}:1"), 1)]
    runs += [(("undo", str(count)), 0), (("redo",), 0), (("edit", "1", f"t{evil}"), 0), (("reset", f"v{evil}"), 0)]
    runs += [(("cherry-pick", f"v{evil}"), 0), (("fork", f"f{evil}", "--from", f"v{evil}"), 0), (("remove", ":1"), 0)]
    runs += [(("delete", f"b{evil}"), 0), (("branch", "list", "--deleted"), 0), (("branch", "restore", f"b{evil}"), 0)]
    runs += [(("remove", f"{evil}:1..x"), 2), (("help", evil), 2)]
    for args, code in runs:
        result: Any = bough(*args, code=code)
        assert not set(result.output) & set("\x1b\x07\x9b\u202e\x7f"), args


def test_undo_says_what_went_with_a_branch_and_how_it_comes_back(bough: Bough) -> None:
    talk(bough)
    bough("fork", "idea")
    bough("add", "user", "five")
    bough("add", "user", "six")
    assert bough.out("undo") == (
        "Undid operation 4: fork idea from main at 4. On main now.\n"
        "2 messages went with it: `bough redo` or `bough branch restore idea` brings them back.\n"
    )
    assert bough.out("redo") == "Redid operation 4: fork idea from main at 4. On idea now.\n"
    answer = bough.json("undo")
    assert (answer["dropped"], answer["left"], answer["passed_over"]) == (["idea"], 2, [])
    assert bough.json("branch", "restore", "idea")["branch"]["length"] == 6


def test_undo_says_what_of_another_program_it_passes_over(bough: Bough) -> None:
    talk(bough)
    with ConversationBranchManager(store=str(bough.store)) as manager:
        record = manager.store.load("default").branches["main"]
        manager.store.commit("default", change("external-edit", put_again(record, history=record.history[:0])))
    assert bough("undo", "4", code=1).stderr == (
        "error: operation 4 (external-edit) cannot be undone: another program did it\n"
        "hint: `bough revert 4` takes out what it changed\n"
    )
    assert bough.out("undo").splitlines()[1] == "Passed over operation 4, which another program did: see `bough ops`."
