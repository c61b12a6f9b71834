"""``bough merge`` with all its strategies, previews and conflicts; ``bough origin``: where a message came from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cli_kit import Bough, talk

from bough import ConversationBranchManager


@pytest.fixture
def bough(tmp_path: Path) -> Bough:
    return Bough(tmp_path / "store")


def said(bough: Bough, branch: str = "main") -> list[str]:
    return [message["content"] for message in bough.json("show", branch)["messages"]]


def disputed(bough: Bough) -> None:
    """Both main and ideas have edited messages 1 and 2; ideas has removed 3, which main edited."""
    for text in ("one", "two", "three"):
        bough("add", "user", text)
    bough("fork", "ideas")
    bough("edit", "1", "ONE of ideas")
    bough("edit", "2", "TWO of ideas")
    bough("remove", "3")
    bough("switch", "main")
    for number, text in enumerate(("ONE of main", "TWO of main", "THREE of main"), 1):
        bough("edit", str(number), text)


def test_what_is_left_in_another_wording_is_said(bough: Bough) -> None:
    for text in ("one", "two"):
        bough("add", "user", text)
    bough("fork", "b")
    bough("edit", "2", "two, edited on b")
    bough("switch", "main")
    up_to_date = "main is up to date: nothing to merge from b."
    one = " 1 message is in another wording there: `--strategy three-way` takes it over.\n"
    assert bough.out("merge", "b") == bough.out("merge", "b", "--pick", "2") == up_to_date + one
    assert bough.out("merge", "b", "--squash", "short", "--preview") == up_to_date + one
    assert bough.out("cherry-pick", "b:2", "b:1") == (
        "main holds that already, in another wording: nothing to pick."
        " `bough merge BRANCH --strategy three-way` takes edits over.\n"
    )
    assert bough.out("cherry-pick", "b:1") == "main holds that already: nothing to pick.\n"
    bough("switch", "b")
    assert bough.out("merge", "main") == "b is up to date: nothing to merge from main.\n"
    bough("edit", "1", "one, edited on b")
    bough("add", "user", "three on b")
    bough("switch", "main")
    bough("merge", "b")
    two = " 2 messages are in another wording there: `--strategy three-way` takes them over.\n"
    assert bough.out("merge", "b") == up_to_date + two
    assert bough.out("merge", "b", "--strategy", "three-way") == "Merged b into main: 2 messages edited.\n"
    assert said(bough) == ["one, edited on b", "two, edited on b", "three on b"]
    assert bough.out("merge", "b") == "main is up to date: nothing to merge from b.\n"


def test_what_was_only_added_is_no_decision_about_edits(bough: Bough) -> None:
    for text in ("one", "two"):
        bough("add", "user", text)
    bough("fork", "b")
    bough("edit", "2", "two, edited on b")
    bough("add", "user", "three on b")
    bough("switch", "main")
    bough("merge", "b")
    bough("switch", "b")
    bough("merge", "main", "--strategy", "three-way")
    assert said(bough, "b") == ["one", "two, edited on b", "three on b"]


def test_a_number_alone_is_no_revision(bough: Bough) -> None:
    talk(bough)
    told = bough("cherry-pick", "3", code=1).stderr
    assert told.splitlines()[1] == "hint: message 3 of a branch is written `BRANCH:3`"
    assert "BRANCH:" not in bough("cherry-pick", "nowhere", code=1).stderr


# -- strategies --------------------------------------------------------------------------------------------------------


def test_an_option_implies_its_strategy(bough: Bough) -> None:
    talk(bough)
    for option, value, strategy in (
        ("--pick", "3", "pick"),
        ("--squash", "in short", "squash"),
        ("--resolve", "ours", "three-way"),
    ):
        assert bough.json("merge", "ideas", option, value, "--preview")["strategy"] == strategy
        assert bough.json("merge", "ideas", option, value, "--strategy", strategy, "--preview")["strategy"] == strategy
    assert bough.json("merge", "ideas", "--align", "back", "--strategy", "append")["added"] == 1
    bough("undo")
    assert bough.json("merge", "ideas", "--preview")["strategy"] == "append"
    assert bough.json("merge", "ideas", "--preview", "--strategy", "interleave")["strategy"] == "interleave"


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--pick", "1", "--squash", "x"), "--squash and --pick do not go together."),
        (("--pick", "1", "--strategy", "append"), "--pick and --strategy append do not go together."),
        (("--resolve", "ours", "--align", "back"), "--resolve and --align do not go together."),
        (("--strategy", "pick"), "--strategy pick needs --pick."),
        (("--strategy", "squash"), "--strategy squash needs --squash."),
        (("--role", "user"), "--role goes with --squash."),
        (("--resolve", "mine"), "--resolve: 'mine' is neither"),
        (("--resolve", "1=ours,"), "--resolve: '' is neither"),
    ],
)
def test_what_does_not_go_together_is_refused(bough: Bough, args: tuple[str, ...], told: str) -> None:
    talk(bough)
    assert bough("merge", "ideas", *args, code=2).stderr.startswith(f"error: {told}")
    assert len(said(bough)) == 4


def test_picked_messages_are_named_by_number_range_or_revision(bough: Bough) -> None:
    talk(bough)
    bough("switch", "ideas")
    for text in ("4", "5", "6"):
        bough("add", "user", text)
    last = bough.json("log", "-n", "1")["messages"][0]["id"]
    bough("switch", "main")
    picks = {
        ("3",): ["another three"],
        ("5..6", "3"): ["5", "6", "another three"],
        ("ideas:4",): ["4"],
        ("main..ideas:4",): ["another three", "4"],
        (f"{last[0][:8]}.{last[1]}", "4"): ["6", "4"],
        ("1", "4"): ["4"],
    }
    for given, wanted in picks.items():
        args = [part for pick in given for part in ("--pick", pick)]
        bough("merge", "ideas", *args)
        assert said(bough)[4:] == wanted, given
        bough("undo")
    for wrong in ("7", "0", "6..7", "5..4"):
        assert bough("merge", "ideas", "--pick", wrong, code=1).stderr == (
            f"error: branch 'ideas' has no message {wrong}\nhint: it has 6\n"
        )
    assert "source does not hold" in bough("merge", "ideas", "--pick", "main:4", code=1).stderr


def test_a_squash_is_one_message_from_the_command_line_or_stdin(bough: Bough) -> None:
    talk(bough)
    bough("merge", "ideas", "--squash", "in short")
    bough("merge", "ideas", "--squash", "again")
    assert bough.json("show")["messages"][4:] == [{"role": "assistant", "content": "in short"}]
    bough("undo")
    bough("merge", "ideas", "--squash", "-", "--role", "system", input="from\nstdin\n")
    assert bough.json("show")["messages"][4:] == [{"role": "system", "content": "from\nstdin"}]
    assert bough("merge", "ideas", "--squash", "-", code=2, input="").stderr.startswith("error: Nothing on standard")


def test_a_preview_shows_what_would_be_there_and_writes_nothing(bough: Bough) -> None:
    talk(bough)
    before = bough.json("log", "--all")
    assert bough.out("merge", "ideas", "--preview").splitlines() == [
        "Would merge ideas into main: 1 message added.",
        "  · · 3 messages the same",
        "  main:4 assistant four",
        "+ main:5 user another three",
    ]
    assert bough.out("merge", "ideas", "--squash", "in\nshort", "--preview").splitlines()[3:] == [
        "+ main:5 assistant in",
        "+   short",
    ]
    assert bough.out("merge", "ideas", "--strategy", "replace", "--preview").splitlines()[0] == (
        "Would merge ideas into main: 1 message added, 2 removed."
    )
    answer = bough.json("merge", "ideas", "--squash", "in short", "--preview")
    assert (answer["preview"], answer["operation"]) == (True, None)
    assert answer["hunks"][-1]["after"]["messages"] == [{"role": "assistant", "content": "in short"}]
    assert bough.json("log", "--all") == before
    bough("merge", "ideas")
    assert bough.out("merge", "ideas", "--preview") == "main is up to date: nothing to merge from ideas.\n"


def test_a_preview_reads_what_is_stored_and_what_is_not_from_one_segment(bough: Bough) -> None:
    """main's own last messages and the one to be made have neighbouring positions: one piece."""
    with ConversationBranchManager(store=bough.store) as manager:
        manager.create_branch("ideas", "ideas")
        manager.checkout("ideas")
        manager.add_message({"role": "user", "content": "other"})
        manager.checkout("main")
        manager.add_message({"role": "user", "content": "mine"})
    answer = bough.json("merge", "ideas", "--squash", "short", "--preview")
    assert [hunk["after"]["pieces"][0][1:] for hunk in answer["hunks"]] == [[0, 1], [1, 2]]
    bough("merge", "ideas", "--strategy", "replace", "--preview")
    bough("remove", "1")
    out = bough.out("merge", "ideas", "--squash", "short", "--preview")
    assert out.splitlines()[1:] == ["+ main:1 assistant short"]


def test_half_a_tool_call_is_left_out_or_brought_whole(bough: Bough) -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": {}}]}
    with ConversationBranchManager(store=bough.store) as manager:
        manager.add_message({"role": "user", "content": "go"})
        manager.fork("ideas")
        manager.add_messages([call, {"role": "tool", "tool_call_id": "c", "content": "18"}])
        manager.checkout("main")
    bough("merge", "ideas", "--pick", "2")
    assert bough.json("merge", "ideas", "--align", "back", "--preview")["stat"]["added"] == 0
    assert bough.json("merge", "ideas", "--align", "forward", "--preview")["stat"]["added"] > 0


# -- conflicts ---------------------------------------------------------------------------------------------------------


def test_conflicts_are_shown_with_both_sides_and_what_differs(bough: Bough) -> None:
    disputed(bough)
    before = said(bough)
    result = bough("merge", "ideas", "--strategy", "three-way", code=1)
    assert result.stderr == (
        "error: 3 conflicts between branch 'ideas' and branch 'main'\n"
        "hint: `--resolve ours`, `theirs` or `both` settles all, `--resolve 1=ours,2=theirs` each by its number\n"
    )
    assert result.stdout.splitlines() == [
        "conflict 1 at message 1: edited on both sides",
        "  ancestor  one",
        "  ours      ONE of main",
        "  theirs    ONE of ideas",
        "  between   ONE of [-main-]{+ideas+}",
        "conflict 2 at message 2: edited on both sides",
        "  ancestor  two",
        "  ours      TWO of main",
        "  theirs    TWO of ideas",
        "  between   TWO of [-main-]{+ideas+}",
        "conflict 3 at message 3: edited on our side, removed on theirs",
        "  ancestor  three",
        "  ours      THREE of main",
        "  theirs    (removed)",
    ]
    previewed = bough.out("merge", "ideas", "--strategy", "three-way", "--preview")
    told = "3 conflicts: `--resolve ours`, theirs or both for all, or `--resolve 1=ours,2=theirs,3=both`.\n"
    assert previewed == result.stdout + told
    assert said(bough) == before


def test_conflicts_are_settled_all_at_once_or_by_their_numbers(bough: Bough) -> None:
    disputed(bough)
    bough("merge", "ideas", "--resolve", "theirs")
    assert said(bough) == ["ONE of ideas", "TWO of ideas"]
    bough("undo")
    bough("merge", "ideas", "--resolve", "both")
    assert said(bough) == ["ONE of main", "ONE of ideas", "TWO of main", "TWO of ideas", "THREE of main"]
    bough("undo")
    assert bough.out("merge", "ideas", "--resolve", "1=theirs, 2=ours,3=theirs") == (
        "Merged ideas into main: 1 message removed, 1 edited.\n"
    )
    assert said(bough) == ["ONE of ideas", "TWO of main"]
    assert (
        bough.out("merge", "ideas", "--strategy", "three-way") == "main is up to date: nothing to merge from ideas.\n"
    )
    bough("undo")
    assert bough.out("merge", "ideas", "--resolve", "ours") == (
        "Merged ideas into main: nothing changed, and what differs is settled.\n"
    )


def test_what_is_left_of_the_conflicts_keeps_its_numbers(bough: Bough) -> None:
    disputed(bough)
    result = bough("merge", "ideas", "--resolve", "2=ours", code=1)
    assert re.findall(r"^conflict (\d)", result.stdout, re.MULTILINE) == ["1", "3"]
    assert result.stderr.startswith("error: 2 conflicts")
    out = bough.out("merge", "ideas", "--resolve", "2=ours", "--preview")
    assert re.findall(r"^conflict (\d)", out, re.MULTILINE) == ["1", "3"]
    assert out.endswith("2 conflicts: `--resolve ours`, theirs or both for all, or `--resolve 1=ours,3=theirs`.\n")
    assert bough("merge", "ideas", "--resolve", "4=ours", code=1).stderr == (
        "error: there is no conflict 4\nhint: 3 conflicts: `--preview` shows them\n"
    )


def test_as_json_conflicts_have_all_their_messages(bough: Bough) -> None:
    disputed(bough)
    conflicts = bough.json("merge", "ideas", "--resolve", "1=ours", code=1)["error"]["conflicts"]
    assert [(each["number"], each["at"], each["kind"]) for each in conflicts] == [
        (2, 2, "edit/edit"),
        (3, 3, "edit/remove"),
    ]
    assert conflicts[0]["ancestor"] == {"role": "user", "content": "two"}
    assert conflicts[0]["theirs"] == {"role": "user", "content": "TWO of ideas"}
    assert (conflicts[1]["theirs"], conflicts[1]["theirs_id"]) == (None, None)
    previewed = bough.json("merge", "ideas", "--resolve", "1=ours", "--preview")
    assert previewed["conflicts"] == conflicts


# -- origin ------------------------------------------------------------------------------------------------------------


def came_by(bough: Bough, revision: str) -> str | None:
    came = bough.json("origin", revision)["came_by"]
    return None if came is None else f"{came['number']} {came['kind']}"


def test_origin_says_where_and_how_a_message_came(bough: Bough) -> None:
    talk(bough)
    bough("merge", "ideas")
    assert (bough.json("origin", "5")["written_on"], came_by(bough, "5")) == ("ideas", "4 merge")
    assert (bough.json("origin", "ideas:3")["written_on"], came_by(bough, "ideas:3")) == ("ideas", None)
    assert (bough.json("origin", "ideas:2")["written_on"], came_by(bough, "ideas:2")) == ("main", "2 fork")
    lines = bough.out("origin").splitlines()
    assert lines[0].endswith(".0 user another three")
    assert lines[1] == "written on   ideas"
    assert lines[2] == "came by      operation 4: merge ideas into main (append): +1"
    assert re.fullmatch(r" {13}20\d\d-\d\d-\d\d \d\d:\d\d, \S+ \(\d+\)", lines[3])
    assert len(lines) == 4
    assert bough.out("origin", "main:1").splitlines()[2].startswith("came by      being added to main")


def test_what_was_away_and_came_back_is_where_it_was(bough: Bough) -> None:
    talk(bough)
    bough("remove", "2")
    bough("undo")
    assert came_by(bough, "main:2") is None
    bough("merge", "ideas")
    bough("undo")
    bough("redo")
    assert came_by(bough, "main:5") == "6 merge"


def test_origin_shows_the_wording_that_was_replaced(bough: Bough) -> None:
    talk(bough)
    bough("edit", "2", "two and a half")
    bough("edit", "2", "two and a bit")
    lines = bough.out("origin", "main:2").splitlines()
    assert lines[-2].startswith("replaces     ")
    assert lines[-2].endswith(".1 assistant two")
    assert lines[-1] == "             two{+ and a bit+}"
    assert bough.json("origin", "main:2")["original"]["message"] == {"role": "assistant", "content": "two"}


def test_origin_says_what_a_squash_stands_for_and_of_two_each_its_own(bough: Bough) -> None:
    talk(bough)
    bough("merge", "ideas", "--squash", "in short")
    bough("switch", "ideas")
    bough("add", "user", "more")
    bough("switch", "main")
    bough("merge", "ideas", "--squash", "in short, too")
    lines = bough.out("origin", "5").splitlines()
    assert lines[-2] == "stands for   1 message"
    assert lines[-1].endswith(".0 user another three")
    stands_for = bough.json("origin")["stands_for"]
    assert [each["message"]["content"] for each in stands_for] == ["more"]
    assert bough.json("origin", "1")["stands_for"] == []


def test_what_was_erased_is_said_to_be(bough: Bough) -> None:
    talk(bough)
    bough("merge", "ideas", "--squash", "in short")
    bough("edit", "2", "TWO")
    with ConversationBranchManager(store=bough.store) as manager:
        manager.purge("ideas:3", "ideas:2")
    assert bough.out("origin", "main:5").splitlines()[-1].endswith(".0 erased, or it cannot be read")
    assert bough.out("origin", "main:2").splitlines()[-1].endswith(".1 erased, or it cannot be read")
    assert bough.json("origin", "main:2")["original"]["message"] is None


def test_nothing_drives_the_terminal(bough: Bough) -> None:
    evil = "\x1b]0;owned\x07\x9b2J\u202e\x7f"
    with ConversationBranchManager(store=bough.store) as manager:
        manager.add_message({"role": f"r{evil}", "content": evil})
        manager.create_branch(f"b{evil}", "other", "main")
        manager.edit_message(0, {"role": f"s{evil}", "content": f"mine{evil}"})
        manager.edit_message(0, {"role": f"s{evil}", "content": f"its{evil}"}, branch_id=f"b{evil}")
    for args, code in (
        (("merge", f"b{evil}", "--strategy", "three-way", "--preview"), 0),
        (("merge", f"b{evil}", "--strategy", "three-way"), 1),
        (("merge", f"b{evil}", "--resolve", "theirs"), 0),
        (("origin",), 0),
        (("origin", "--json"), 0),
        (("merge", f"b{evil}", "--pick", f"1{evil}"), 1),
    ):
        assert not set(bough(*args, code=code).output) & set("\x1b\x07\x9b\u202e\x7f"), args
