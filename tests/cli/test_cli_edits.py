"""Changing what was said: edit, remove, reset, cherry-pick; showing and forking any revision."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_kit import Bough, odd_tag, talk

from bough import ConversationBranchManager

SOURCE = Path(__file__).parents[2] / "src"
CALL: list[dict[str, Any]] = [
    {"role": "user", "content": "weather?"},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": {"name": "w", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "18"},
    {"role": "assistant", "content": "18 degrees"},
]


@pytest.fixture(params=["json", "sqlite"])
def bough(request: pytest.FixtureRequest, tmp_path: Path) -> Bough:
    return Bough(tmp_path / "store" if request.param == "json" else Path(f"sqlite:{tmp_path}/talks.db"))


def opened(bough: Bough) -> ConversationBranchManager:
    return ConversationBranchManager(store=str(bough.store))


def texts(bough: Bough, revision: str = "HEAD") -> list[str]:
    return [message["content"] for message in bough.json("show", revision)["messages"]]


def id_of(bough: Bough, branch: str, number: int) -> str:
    with opened(bough) as manager:
        [piece] = manager.resolve(f"{branch}:{number}").history[-1:]
        return f"{piece.segment[:8]}.{piece.stop - 1}"


# -- edit --------------------------------------------------------------------------------------------------------------


def test_a_message_to_edit_is_named_by_number_branch_and_id(bough: Bough) -> None:
    talk(bough)
    out = bough.out("edit", "3", "THREE")
    assert out == "Edited message 3 of main. `bough undo` brings the old wording back.\n"
    bough("edit", ":-1", "FOUR")
    bough("edit", "ideas:3", "other")
    bough("edit", id_of(bough, "main", 1), "ONE")
    bough("edit", "main~2", "TWO")
    assert texts(bough) == ["ONE", "TWO", "THREE", "FOUR"]
    assert texts(bough, "ideas") == ["one", "two", "other"]
    bough("edit", "ideas", "another")
    assert texts(bough, "ideas")[2] == "another"
    bough("undo")
    assert texts(bough, "ideas")[2] == "other"
    assert bough.json("edit", "ideas:1", "1")["branch"]["id"] == "ideas"


def test_an_edit_keeps_the_other_keys(bough: Bough) -> None:
    bough("add", "--message", '{"role": "user", "n": 5.0, "content": "a", "z": [1]}')
    bough("edit", "1", "b")
    assert bough("show", "1", "--json").stdout.count('"message":{"role":"user","n":5.0,"content":"b","z":[1]}') == 1
    bough("edit", "1", "--message", '{"content": "c"}')
    assert bough.json("show", "1")["message"] == {"content": "c"}
    bough("edit", "1", "--message", "-", input='{"role": "user"}')
    bough("edit", "1", input="from\nstdin\n")
    assert bough.json("show", "1")["message"] == {"role": "user", "content": "from\nstdin"}


def test_the_text_of_a_content_in_parts_is_its_only_one(bough: Bough) -> None:
    image = {"type": "image", "source": {"n": 1}}
    with opened(bough) as manager:
        manager.add_message({"role": "user", "content": [image, {"type": "text", "text": "a", "x": 1}]})
        manager.add_message({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]})
        manager.add_message({"role": "user", "content": [image]})
    bough("edit", "1", "b")
    assert bough.json("show", "1")["message"]["content"] == [image, {"type": "text", "text": "b", "x": 1}]
    for number in ("2", "3"):
        assert "`--message JSON`" in bough("edit", number, "b", code=1).stderr


def test_an_edit_that_changes_nothing_is_no_operation(bough: Bough) -> None:
    talk(bough)
    count = len(bough.json("ops")["operations"])
    assert bough.out("edit", "1", "one") == "Nothing to change in message 1 of main.\n"
    assert bough.json("edit", "1", "one")["operation"] is None
    assert len(bough.json("ops")["operations"]) == count
    assert bough.json("edit", "1", "ONE")["operation"] == count + 1


def test_what_cannot_be_edited(bough: Bough) -> None:
    talk(bough)
    gone = id_of(bough, "main", 4)
    bough("remove", "4")
    assert f"branch 'main' no longer holds message '{gone}'" in bough("edit", gone, "x", code=1).stderr
    only = id_of(bough, "ideas", 3)
    bough("delete", "ideas")
    assert "no branch holds" in bough("edit", only, "x", code=1).stderr
    assert "no branch holds" in bough("edit", "ideas@{1}", "x", code=1).stderr
    assert bough("edit", "9", "x", code=1).stderr == "error: branch 'main' has no message 9\nhint: it has 3\n"
    assert "no branch 'nowhere'" in bough("edit", "nowhere", "x", code=1).stderr
    bough("branch", "create", "blank", "--empty")
    assert "there is no message" in bough("edit", "blank", "x", code=1).stderr
    bough("edit", "1", "x", "--message", "{}", code=2)
    bough("edit", "1", "--message", "[1]", code=2)
    bough("edit", "1", code=2)  # nothing on stdin
    assert texts(bough) == ["one", "two", "three"]


def test_a_message_is_edited_where_it_was_found_also_by_an_older_state(bough: Bough) -> None:
    talk(bough)
    bough("remove", "1")
    bough("edit", "main@{1}:3", "THREE")
    assert texts(bough) == ["two", "THREE", "four"]


def test_on_a_terminal_the_editor_opens_and_the_message_counts_not_its_number(tmp_path: Path) -> None:
    """Another program removes the first message while the editor is open."""
    bough = Bough(tmp_path / "store")
    talk(bough)
    command = [sys.executable, "-c", "from bough.cli import run; run()"]
    editor = tmp_path / "editor.py"
    editor.write_text(
        "import subprocess, sys\n"
        "text = open(sys.argv[1]).read()\n"
        f"subprocess.run({[*command, 'remove', '1']!r}, check=True, stdin=subprocess.DEVNULL)\n"
        "open(sys.argv[1], 'w').write(text.upper())\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(SOURCE),
        "BOUGH_STORE": str(bough.store),
        "EDITOR": f"{sys.executable} {editor}",
        "TERM": "dumb",
    }
    environment.pop("VISUAL", None)
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [*command, "edit", "3", "--json"], env=environment, stdin=theirs, capture_output=True, timeout=60, check=False
    )
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 0, done
    assert json.loads(done.stdout.splitlines()[-1])["number"] == 2
    assert texts(bough) == ["two", "THREE", "four"]


# -- remove and reset --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("1", ["two", "three", "four"]),
        ("2..3", ["one", "four"]),
        ("3..", ["one", "two"]),
        (":-1", ["one", "two", "three"]),
        (":-3..-2", ["one", "four"]),
        ("main:1..4", []),
        ("Main conversation:4..4", ["one", "two", "three"]),
    ],
)
def test_remove_takes_both_ends(bough: Bough, given: str, left: list[str]) -> None:
    talk(bough)
    bough("switch", "ideas")
    bough("remove", given if given[0] in "mM" else f"main:{given.removeprefix(':')}")
    assert texts(bough, "main") == left
    assert texts(bough) == ["one", "two", "another three"]
    bough("undo")
    bough("switch", "main")
    answer = bough.json("remove", given)
    assert texts(bough) == left
    assert (answer["removed"], answer["branch"]["length"]) == (4 - len(left), len(left))


def test_what_cannot_be_removed(bough: Bough) -> None:
    talk(bough)
    for given, code in (("0", 1), ("5", 1), ("2..5", 1), ("3..2", 2), ("x", 2), ("main", 2), ("..2", 2), ("no:1", 1)):
        assert bough("remove", given, code=code).stderr.startswith("error: ")
    assert texts(bough) == ["one", "two", "three", "four"]
    assert bough.out("remove", "1").startswith("Removed 1 message from main, which has 3 now.")


def test_reset_says_what_left_and_undo_brings_it_back(bough: Bough) -> None:
    talk(bough)
    assert bough.out("reset", "1") == "Reset main to 1 message: 3 removed. `bough undo` takes it back.\n"
    assert texts(bough) == ["one"]
    assert bough.out("reset", "1") == "main is that already, with 1 message: nothing to reset.\n"
    bough("undo")
    assert texts(bough) == ["one", "two", "three", "four"]
    assert bough.out("reset", "ideas") == "Reset main to 3 messages: 1 added, 2 removed. `bough undo` takes it back.\n"
    assert texts(bough) == ["one", "two", "another three"]
    answer = bough.json("reset", "@{1}")
    assert (answer["added"], answer["removed"], answer["branch"]["length"]) == (2, 1, 4)
    assert texts(bough) == ["one", "two", "three", "four"]
    bough("reset", "~1")
    bough("reset", ":2")
    assert texts(bough) == ["one", "two"]
    assert bough.json("reset", "2")["operation"] is None
    for given in ("9", "nowhere", "main~9", "main@{99}"):
        bough("reset", given, code=1)


def test_a_branch_or_a_tag_may_be_called_like_a_number(bough: Bough) -> None:
    talk(bough)
    with opened(bough) as manager:
        manager.create_branch("2", "two", "ideas")
    odd_tag(bough, "3", "ideas:1")
    assert texts(bough, "2") == ["one", "two", "another three"]
    assert texts(bough, "3") == ["one"]
    assert bough.json("show", "1")["message"]["content"] == "one"
    assert bough.json("show", ":3")["message"]["content"] == "three"
    bough("reset", "3")
    assert texts(bough) == ["one"]
    bough("reset", "2")
    assert texts(bough) == ["one", "two", "another three"]


def test_cuts_are_aligned_to_tool_calls_where_that_is_asked_for(bough: Bough) -> None:
    with opened(bough) as manager:
        manager.add_messages(CALL)
    for align, kept in (("back", 1), ("forward", 3)):
        assert bough.json("fork", "x", "--at", "2", "--align", align)["branch"]["length"] == kept
        bough("switch", "main")
        assert bough.json("fork", "y", "--from", "main:2", "--align", align)["branch"]["length"] == kept
        bough("switch", "main")
        assert bough.json("reset", "2", "--align", align)["branch"]["length"] == kept
        bough("undo")
        bough("branch", "create", f"for-{align}", "--empty")
        bough("switch", f"for-{align}")
        assert bough.json("cherry-pick", "main:2", "--align", align)["added"] == (0 if align == "back" else 2)
        bough("switch", "main")
    bough("reset", "2", "--align", "sideways", code=2)


# -- cherry-pick -------------------------------------------------------------------------------------------------------


def test_cherry_pick_takes_last_messages_and_ranges(bough: Bough) -> None:
    talk(bough)
    bough("switch", "ideas")
    bough("add", "user", "more")
    bough("switch", "main")
    assert bough.out("cherry-pick", "ideas:3") == "Picked 1 message into main. `bough undo` takes it back.\n"
    assert bough.out("cherry-pick", "ideas:3") == "main holds that already: nothing to pick.\n"
    assert bough.json("cherry-pick", "ideas:3")["operation"] is None
    bough("undo")
    assert bough.json("cherry-pick", "main..ideas")["added"] == 2
    assert texts(bough) == ["one", "two", "three", "four", "another three", "more"]
    bough("undo")
    bough("cherry-pick", "ideas", id_of(bough, "ideas", 3))
    assert texts(bough)[4:] == ["more", "another three"]
    bough("cherry-pick", code=2)
    bough("cherry-pick", "nowhere", code=1)


# -- any revision ------------------------------------------------------------------------------------------------------


def test_fork_from_a_part_of_a_branch_is_a_child_of_it(bough: Bough) -> None:
    talk(bough)
    for args, parent, length in (
        (("--from", "ideas~1"), "ideas", 2),
        (("--from", "ideas", "--at", "1"), "ideas", 1),
        (("--from", id_of(bough, "main", 3)), "main", 3),
        (("--from", "HEAD"), "main", 4),
    ):
        answer = bough.json("fork", "x", *args)
        branch = answer["branch"]
        assert (answer["from"], branch["parent_id"], branch["parent_message_index"]) == (parent, parent, length)
        assert branch["length"] == length
        assert bough.json("branch")["head"] == branch["id"]
        bough("switch", "main")
    bough("fork", "x", "--from", "ideas", "--at", "9", code=1)
    bough("fork", "x", "--from", "nowhere", code=1)


def test_fork_from_a_state_that_no_branch_has_any_more(bough: Bough) -> None:
    talk(bough)
    bough("edit", "1", "ONE")
    bough("remove", "1..2")
    assert bough.out("fork", "x", "--from", "main@{1}") == (
        "Switched to the new branch x, with 4 messages of main@{1}.\n"
    )
    assert texts(bough) == ["ONE", "two", "three", "four"]
    answer = bough.json("fork", "y", "--from", "main@{1}")
    assert (answer["from"], answer["branch"]["parent_id"], answer["branch"]["id"]) == (None, None, "y")
    bough("add", "user", "of y")
    assert texts(bough, "y")[4:] == ["of y"]
    bough("merge", "ideas")
    assert texts(bough)[4:] == ["of y", "another three"]  # the old wording of ONE does not come: the edit is known
    bough("undo")
    bough("undo")
    assert bough.json("branch")["head"] == "x"
    bough("delete", "ideas")
    bough("fork", "z", "--from", "ideas@{1}")
    assert texts(bough) == ["one", "two", "another three"]


def test_a_fork_that_is_given_up_messages_is_refused(bough: Bough) -> None:
    talk(bough)
    bough("remove", "4")
    with opened(bough) as manager:
        manager.gc(keep_operations=0)
    assert "gc or purge has given up 1 of its messages" in bough("fork", "x", "--from", "main@{1}", code=1).stderr
    assert {branch["id"] for branch in bough.json("branch")["branches"]} == {"main", "ideas"}


def test_fork_from_tells_of_the_parent_and_of_the_switch(bough: Bough) -> None:
    talk(bough)
    told: list[dict[str, Any]] = []
    with opened(bough) as manager:
        manager.on("branch:checkout", told.append)
        manager.on("branch:forked", told.append)
        manager.fork_from("x", "ideas:1")
        assert manager.get_current_branch_id() == "x"
    assert told == [
        {"from": "main", "to": "x"},
        {"from": "ideas", "to": "x", "name": "x", "message_index": 1},
    ]


def test_show_takes_any_revision(bough: Bough) -> None:
    talk(bough)
    with opened(bough) as manager:
        manager.tag("v1", "ideas")
    odd_tag(bough, "v:1", "main:1")
    bough("edit", "1", "ONE")
    for revision, said in (
        ("main~2", ["ONE", "two"]),
        ("main@{1}", ["one", "two", "three", "four"]),
        ("@{1}~3", ["one"]),
        ("v1", ["one", "two", "another three"]),
        ("v:1", ["one"]),
        ("ideas:3~1", ["one", "two"]),
        ("main~4", []),
    ):
        assert texts(bough, revision) == said, revision
    for revision, number, text in (
        ("main:2", 2, "two"),
        ("3", 3, "three"),
        ("-1", 4, "four"),
        ("main@{1}:1", 1, "one"),
        ("v1:-1", 3, "another three"),
        (id_of(bough, "ideas", 3), 3, "another three"),
        (id_of(bough, "main", 1), 1, "ONE"),
        (id_of(bough, "main", 4), 4, "four"),
    ):
        answer = json.loads(bough.out("--json", "show", "--", revision))
        assert (answer["number"], answer["message"]["content"]) == (number, text), revision
    assert bough.json("show", "v1")["branch"]["id"] == "ideas"
    bough("delete", "ideas")
    assert bough.json("show", "v1")["branch"] is None
    assert bough.json("show", "ideas@{1}:3")["branch"] is None
    for revision, problem in (
        ("main:0", "branch 'main' has no message 0\nhint: it has 4\n"),
        ("v1:9", "tag 'v1' has no message 9\nhint: it has 3\n"),
        ("main@{1}:5", "'main@{1}' has no message 5\nhint: it has 4\n"),
        ("nowhere", "no branch 'nowhere' in session 'default'\nhint: `bough branch list` shows the branches\n"),
    ):
        assert bough("show", revision, code=1).stderr == f"error: {problem}"
    assert bough("show", "nowhere~1", code=1).stderr.endswith("`bough help revisions` says how a revision is written\n")


def test_a_damaged_branch_is_called_damaged(tmp_path: Path) -> None:
    bough = Bough(tmp_path / "store")
    talk(bough)
    (bough.store / "default" / "ideas.json").write_bytes(b'{"id": "ideas", oops')
    for args in (
        ("show", "ideas"),
        ("show", "ideas~1"),
        ("show", "ideas:1"),
        ("edit", "ideas:1", "x"),
        ("reset", "ideas"),
        ("cherry-pick", "ideas"),
        ("fork", "x", "--from", "ideas"),
        ("remove", "ideas:1"),
    ):
        assert bough.json(*args, code=5)["error"]["type"] == "CorruptBranchError", args
