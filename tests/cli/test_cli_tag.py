"""``bough tag``; what ``bough log`` shows of tags, edits and revisions; revisions on the command line's completion."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_kit import Bough, odd_tag, talk, without_ids

from bough import ConversationBranchManager
from bough.changes import check_tag_name
from bough.errors import InvalidRequestError


@pytest.fixture
def bough(tmp_path: Path) -> Bough:
    return Bough(tmp_path / "store")


def oneline(bough: Bough, *args: str) -> list[str]:
    return without_ids(bough.out("log", "--oneline", *args)).splitlines()


# -- tags --------------------------------------------------------------------------------------------------------------


def test_tags_are_set_listed_and_taken_away(bough: Bough) -> None:
    talk(bough)
    assert bough.out("tag") == "No tags yet.\n"
    assert bough.out("tag", "v1") == "Tagged 4 messages of main as v1.\n"
    assert bough.out("tag", "early", "ideas~2") == "Tagged 1 message of ideas as early.\n"
    assert bough.out("tag", "nothing", "main:0") == "Tagged 0 messages of main as nothing.\n"
    bough("add", "user", "five")
    head, *rows = bough.out("tag").splitlines()
    assert head.split() == ["tag", "branch", "messages", "up", "to", "set"]
    assert [row.split()[:3] for row in rows] == [["early", "ideas", "1"], ["nothing", "main", "0"], ["v1", "main", "4"]]
    listed = {tag["name"]: tag for tag in bough.json("tag")["tags"]}
    assert listed["v1"]["id"] == bough.json("log", "main:4", "-n", "1")["messages"][0]["id"]
    assert (listed["nothing"]["id"], listed["early"]["length"]) == (None, 1)
    assert bough.out("tag", "-d", "v1") == "Deleted tag v1. `bough undo` brings it back.\n"
    assert [tag["name"] for tag in bough.json("tag")["tags"]] == ["early", "nothing"]
    bough("undo")
    assert bough.json("tag", "v2", "v1")["tag"]["length"] == 4


def test_tags_that_cannot_be_are_refused(bough: Bough) -> None:
    talk(bough)
    bough("tag", "v1")
    assert bough("tag", "v1", code=1).stderr.startswith("error: there is a tag 'v1' already\nhint: ")
    assert bough("tag", "ideas", code=1).stderr.startswith("error: there is a branch 'ideas'")
    assert bough("tag", "x", "nowhere", code=1).stderr.startswith("error: 'nowhere': ")
    assert bough("tag", "-d", "x", code=1).stderr.startswith("error: 'x': there is no such tag")
    assert bough("tag", "-d", "v1", "v2", code=2).stderr.startswith("error: -d takes")
    assert [tag["name"] for tag in bough.json("tag")["tags"]] == ["v1"]


@pytest.mark.parametrize(
    "name", ["12", "-1", "٣", "HEAD", "@", "-", "v~1", "v:1", "v@{1}", "a..b", " v", "v ", "v\n", "a\x1bb", "a\nb", ""]
)
def test_a_tag_cannot_be_called_what_reads_as_something_else(name: str) -> None:
    with pytest.raises(InvalidRequestError):
        check_tag_name(name)


@pytest.mark.parametrize("name", ["v1", "v1.0", "long tag", "v@home", "12th", "größe", "a-b", "."])
def test_any_other_name_can_be_a_tag(name: str) -> None:
    check_tag_name(name)


def test_a_branch_that_is_called_like_a_tag_is_warned_of(bough: Bough) -> None:
    talk(bough)
    bough("tag", "v1")
    said = "warning: a branch and a tag are called 'v1': as a revision it is the branch\n"
    assert bough("fork", "v1").stderr == said
    bough("delete", "v1")
    assert bough("branch", "restore", "v1").stderr == said
    bough("tag", "v2", "main")
    assert bough.json("branch", "create", "v2")["warnings"] == [
        "a branch and a tag are called 'v2': as a revision it is the branch"
    ]
    bough("tag", "v3", "main")
    assert bough("rename", "ideas", "v3").stderr == (
        "warning: a branch and a tag are called 'v3': as a revision it is the tag\n"
    )
    assert bough("rename", "ideas", "main").stderr == (
        "warning: 'main' is the id of another branch, too: alone it names that one\n"
    )
    assert bough("rename", "ideas", "ideas").stderr == ""


def test_tag_d_of_what_is_no_tag_leads_to_the_list(bough: Bough) -> None:
    talk(bough)
    assert bough("tag", "-d", "nope", code=1).stderr.endswith("hint: `bough tag` lists the tags\n")


def test_no_name_of_a_tag_drives_the_terminal(bough: Bough) -> None:
    evil = "\x1b]0;owned\x07\x9b2J\u202e\x7f"
    talk(bough)
    odd_tag(bough, f"t{evil}", "main")
    for args in (
        ("tag",),
        ("log",),
        ("log", "--graph"),
        ("log", "--json"),
        ("diff", f"t{evil}", "ideas"),
        ("diff", f"t{evil}", "ideas", "--side-by-side"),
        ("origin", f"t{evil}"),
        ("tag", "-d", f"t{evil}"),
    ):
        assert not set(bough(*args).output) & set("\x1b\x07\x9b\u202e\x7f"), args


# -- log ---------------------------------------------------------------------------------------------------------------


def test_the_log_shows_tags_where_they_were_set_and_edits(bough: Bough) -> None:
    talk(bough)
    bough("tag", "v1")
    bough("tag", "early", "main:2")
    bough("edit", "main:3", "THREE")
    bough("merge", "ideas")
    assert oneline(bough) == [
        "5 user (HEAD -> main) (from ideas) another three",
        "4 assistant four",
        "3 user (edited) THREE",
        "2 assistant (tag: early) two",
        "1 user one",
    ]
    assert oneline(bough, "v1")[:2] == ["4 assistant (tag: v1) four", "3 user three"]
    graph = bough.out("log", "--graph").splitlines()
    assert graph[3] == "● 2 assistant  (tag: early) two"
    messages = bough.json("log")["messages"]
    assert [each["tags"] for each in messages][3:] == [["early"], []]
    assert [each["edited"] for each in messages] == [False, False, True, False, False]


def test_a_branch_and_a_tag_share_a_label(bough: Bough) -> None:
    talk(bough)
    bough("tag", "v1")
    assert oneline(bough)[0] == "4 assistant (HEAD -> main, tag: v1) four"
    assert bough.out("log", "--graph").splitlines()[0] == "● 4 assistant  (HEAD -> main, tag: v1) four"


def test_the_ids_that_the_log_shows_name_the_messages(bough: Bough) -> None:
    talk(bough)
    lines = bough.out("log", "--oneline", "ideas").splitlines()
    for line in lines:
        number, short, *_ = line.split()
        assert bough.json("origin", short)["id"] == bough.json("origin", f"ideas:{number}")["id"]


def test_the_log_of_any_revision(bough: Bough) -> None:
    talk(bough)
    bough("tag", "v1", "main~2")
    assert oneline(bough, "v1") == ["2 assistant (tag: v1) two", "1 user one"]
    assert oneline(bough, "main~3") == oneline(bough, "ideas:1") == ["1 user one"]
    assert bough.out("log", "--graph", "ideas:1") == "● 1 user  one\n"
    assert [each["branch"] for each in bough.json("log", "ideas:1")["messages"]] == ["main"]
    assert bough.json("log", "main~3")["messages"][0]["tips"] == []
    assert bough("log", "nowhere", code=1).stderr.startswith("error: 'nowhere': ")
    assert oneline(bough, "HEAD", "-n", "1") == ["4 assistant (HEAD -> main) four"]


def test_the_log_of_what_a_branch_was_before(bough: Bough) -> None:
    talk(bough)
    bough("remove", "2")
    before = ["4 assistant four", "3 user three", "2 assistant two", "1 user one"]
    assert oneline(bough, "main@{1}") == before
    assert [each["branch"] for each in bough.json("log", "main@{1}")["messages"]][:2] == ["main@{1}"] * 2
    bough("reset", "1")
    assert oneline(bough, "main@{1}") == ["3 assistant four", "2 user three", "1 user (HEAD -> main) one"]
    bough("delete", "ideas")
    assert oneline(bough, "ideas@{1}")[:2] == ["3 user another three", "2 assistant two"]


def test_the_log_of_a_range_is_what_one_has_and_the_other_has_not(bough: Bough) -> None:
    talk(bough)
    bough("edit", "ideas:2", "TWO")
    assert oneline(bough, "main..ideas") == ["3 user (ideas) another three"]
    assert oneline(bough, "ideas..") == ["4 assistant (HEAD -> main) four", "3 user three"]
    assert oneline(bough, "ideas..main~1") == ["3 user three"]
    assert oneline(bough, "ideas..", "-n", "1") == ["4 assistant (HEAD -> main) four"]
    assert bough.out("log", "--graph", "ideas..").splitlines() == [
        "● 4 assistant  (HEAD -> main) four",
        "● 3 user       three",
    ]
    with ConversationBranchManager(store=bough.store) as manager:
        manager.add_messages({"role": "user", "content": "x"} for _ in range(20))
    assert len(bough.out("log", "--graph", "ideas..").splitlines()) == 22
    assert len(bough.json("log", "main..ideas")["messages"]) == 1
    assert oneline(bough, "main..main") == []


# -- completion --------------------------------------------------------------------------------------------------------


def test_where_a_revision_is_taken_tags_are_offered_too(bough: Bough) -> None:
    def completed(line: str) -> list[str]:
        env = {"_BOUGH_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        return [item.partition(",")[2] for item in bough.out(env=env).splitlines()]

    talk(bough)
    bough("tag", "v1")
    assert sorted(completed("bough diff ")) == ["HEAD", "ideas", "main", "v1"]
    assert completed("bough log v") == ["v1"]
    assert completed("bough tag new i") == ["ideas"]
    assert sorted(completed("bough merge ")) == ["ideas", "main"]
    assert sorted(completed("bough log main..")) == ["main..HEAD", "main..ideas", "main..main", "main..v1"]
    assert completed("bough tag -d ") == ["v1"]
    bough("delete", "ideas")
    assert completed("bough branch restore i") == ["ideas"]
    assert completed("bough undo ") == completed("bough revert ") == ["5", "4", "3", "2"]
    assert completed("bough help re") == ["rename", "remove", "reset", "redo", "revert", "revisions"]
