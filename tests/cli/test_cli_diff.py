"""``bough diff``: what it shows of two states, and what of it it reads. Numbers cite :mod:`bough.cli.comparing`."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from cli_kit import Bough, talk, without_ids
from rich.cells import cell_len

from bough import ConversationBranchManager

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture
def bough(tmp_path: Path) -> Bough:
    return Bough(tmp_path / "store")


def shown(bough: Bough, *args: str, head: int = 3) -> list[str]:
    """The lines below the header."""
    return bough.out("diff", *args).splitlines()[head:]


def test_each_message_has_its_number_a_mark_and_its_words(bough: Bough) -> None:
    talk(bough)
    bough("edit", "ideas:2", "three\nor two")
    bough("add", "user", "another three")
    lines = bough.out("diff", "main", "ideas").splitlines()
    assert lines[:2] == ["--- main · 5 messages", "+++ ideas · 3 messages"]
    assert lines[2].startswith("common beginning: 1 message, up to ")
    assert lines[2].endswith(".0")
    assert lines[3:] == [
        "  main:1 user one",
        "~ main:2 → ideas:2 assistant {+three+}",
        "~   {+or +}two",
        "- main:3 user three",
        "- main:4 assistant four",
        "- main:5 user (= ideas:3: same words, another message) another three",
        "+ ideas:3 user (= main:5: same words, another message) another three",
    ]


def test_one_revision_is_compared_with_the_current_branch_and_none_with_what_that_grew_from(bough: Bough) -> None:
    talk(bough)
    assert bough.out("diff", "ideas") == bough.out("diff", "ideas..main") == bough.out("diff", "ideas", "HEAD")
    assert bough("diff", code=2).stderr.startswith("error: The current branch grew from no other")
    bough("switch", "ideas")
    assert bough.out("diff") == bough.out("diff", "main", "ideas")
    assert bough("diff", "main..nowhere", code=1).stderr.startswith("error: 'nowhere': ")


def test_a_branch_whose_id_looks_like_a_range_is_a_branch(bough: Bough) -> None:
    talk(bough)
    bough("branch", "create", "main..ideas", "--empty")
    head = "--- main..ideas · 0 messages\n+++ main · 4 messages\ncommon beginning: none\n"
    assert bough.out("diff", "main..ideas").startswith(head)


def test_a_state_that_no_branch_begins_with_is_called_as_it_was_named(bough: Bough) -> None:
    talk(bough)
    bough("remove", "2")
    lines = bough.out("diff", "HEAD@{1}", "HEAD~1").splitlines()
    assert lines[:2] == ["--- HEAD@{1} · 4 messages", "+++ main · 2 messages"]
    assert lines[3:] == [
        "  HEAD@{1}:1 user one",
        "- HEAD@{1}:2 assistant two",
        "  HEAD@{1}:3 user three",
        "- HEAD@{1}:4 assistant four",
    ]
    assert bough.out("show", "HEAD@{1}:2") == "2 assistant\ntwo\n"


def test_long_runs_are_folded_but_for_what_is_beside_a_change(bough: Bough) -> None:
    """1"""
    with ConversationBranchManager(store=bough.store) as manager:
        manager.add_messages({"role": "user", "content": f"m{n}"} for n in range(1, 2001))
        manager.fork("ideas")
        manager.edit_message(999, {"role": "user", "content": "new"})
        manager.remove_messages(1003)
    assert shown(bough, "main", "ideas") == [
        "  · · 998 messages the same",
        "  main:999 user m999",
        "~ main:1000 → ideas:1000 user [-m1000-]{+new+}",
        "  main:1001 user m1001",
        "  main:1002 user m1002",
        "  main:1003 user m1003",
        "- main:1004 user m1004",
        "  main:1005 user m1005",
        "  · · 995 messages the same",
    ]


def test_every_message_of_one_side_is_shown_whole_however_many(bough: Bough) -> None:
    """2"""
    with ConversationBranchManager(store=bough.store) as manager:
        manager.fork("ideas")
        manager.add_messages({"role": "user", "content": f"m{n} " + "x" * 200} for n in range(1, 2102))
    lines = shown(bough, "main", "ideas")
    assert lines == [f"+ ideas:{n} user m{n} " + "x" * 200 for n in range(1, 2102)]


def test_nothing_differs(bough: Bough) -> None:
    talk(bough)
    assert shown(bough, "main", "HEAD") == ["No differences."]


def test_what_was_moved_is_told_with_the_place(bough: Bough) -> None:
    talk(bough)
    bough("branch", "create", "before")
    bough("remove", "2")
    bough("cherry-pick", "before:2")
    assert shown(bough, "before") == [
        "  before:1 user one",
        "- before:2 assistant (moved to main:4) two",
        "  before:3 user three",
        "  before:4 assistant four",
        "+ main:4 assistant (moved from before:2) two",
    ]
    bough("edit", "4", "TWO")
    assert shown(bough, "before")[1::3] == [
        "- before:2 assistant (moved and edited) two",
        "+ main:4 assistant (moved and edited) TWO",
    ]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"role": "user", "content": "a"}, {"role": "tool", "content": "a"}, ["user → tool a"]),
        (
            {"role": "user", "content": "a", "score": 1},
            {"role": "user", "content": "a", "score": 1.5, "new": None},
            ['user "score":1{+.5+}', '{+"new":null+}'],
        ),
        (
            {"role": "user", "content": "a b", "score": 1},
            {"role": "user", "content": "a c"},
            ["user a [-b-]{+c+}", '[-"score":1-]'],
        ),
        (
            {"role": "user", "content": "a"},
            {"role": "user", "content": [{"type": "text", "text": "a"}]},
            ['user "content":{+[{"type":"text","text":+}"a"{+}]+}'],
        ),
        (
            {"role": "user", "content": "a"},
            {"content": "a", "role": "user"},
            ["user the same but for the order of its keys"],
        ),
    ],
)
def test_an_edit_of_other_things_than_words_is_shown_too(
    bough: Bough, before: dict[str, object], after: dict[str, object], told: list[str]
) -> None:
    with ConversationBranchManager(store=bough.store) as manager:
        manager.add_message(before)
        manager.fork("new")
        manager.edit_message(0, after)
    first, *more = shown(bough, "main", "new")
    assert [first, *more] == [f"~ main:1 → new:1 {told[0]}", *(f"~   {line}" for line in told[1:])]


def test_lines_far_from_a_change_in_a_message_are_folded(bough: Bough) -> None:
    bough("add", "user", "\n".join("abcdefghi"))
    bough("fork", "new")
    bough("edit", "1", "\n".join("abcdEfghi"))
    assert shown(bough, "main", "new") == [
        "~ main:1 → new:1 user · · 3 lines",
        *("~   d", "~   [-e-]{+E+}", "~   f", "~   · · 3 lines"),
    ]


def test_words_are_coloured_on_a_terminal_and_marked_where_there_is_no_colour(bough: Bough) -> None:
    """3"""
    bough("add", "user", "by train")
    bough("fork", "new")
    bough("edit", "1", "by plane")

    def on_terminal(**extra: str) -> bytes:
        kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "BOUGH_SESSION")}
        env = {**kept, "PYTHONPATH": str(SOURCE), "BOUGH_STORE": str(bough.store), "TERM": "xterm", **extra}
        code = "from bough.cli import run; run()"
        mine, other = pty.openpty()
        try:
            subprocess.run([sys.executable, "-c", code, "diff", "main"], env=env, stdout=other, timeout=60, check=True)
            return os.read(mine, 100_000)
        finally:
            os.close(mine)
            os.close(other)

    coloured = on_terminal()
    assert b"\x1b[31m\x1b[9mtrain\x1b[0m" in coloured
    assert b"\x1b[32mplane\x1b[0m" in coloured
    assert b"[-" not in coloured
    assert b"[-train-]{+plane+}" in on_terminal(NO_COLOR="1")


def test_columns_are_as_wide_as_the_terminal_whatever_the_characters(bough: Bough) -> None:
    bough("add", "user", "one")
    bough("add", "user", " ".join(["by train"] * 20))
    bough("fork", "new")
    bough("edit", "2", "by train " * 19 + "by 日本語")
    bough("add", "user", "日本語" * 40)
    bough("add", "user", "x")
    bough("switch", "main")
    bough("add", "user", "語é" * 45)
    for width in (41, 80, 200):
        out = bough.out("diff", "main", "new", "--side-by-side", env={"COLUMNS": str(width)})
        lines = out.splitlines()[3:]
        column = (width - 3) // 2
        assert all(cell_len(line) <= width for line in lines)
        assert {cell_len(line[: line.index("│")]) for line in lines} == {column + 1}
        left, right = ("".join(line.split("│")[at].strip() for line in lines) for at in (0, 1))
        assert left.count("語é") == 45
        assert right.count("日本語") == 41
        assert ("[-train-]" in left, "{+日本語+}" in right) == (True, True)
        assert "日" not in left


def test_what_was_removed_stands_opposite_what_was_added(bough: Bough) -> None:
    talk(bough)
    out = bough.out("diff", "main", "ideas", "--side-by-side", env={"COLUMNS": "63"})
    assert [line.rstrip() for line in out.splitlines()[3:]] == [
        "main                           │ ideas",
        "  1 user one                   │   1 user one",
        "  2 assistant two              │   2 assistant two",
        "- 3 user                       │ + 3 user",
        "  three                        │   another three",
        "- 4 assistant                  │",
        "  four                         │",
    ]


def test_stat_reads_no_message(bough: Bough) -> None:
    talk(bough)
    bough("edit", "ideas:2", "TWO")
    file = bough.store / "default" / "ideas.json"
    whole = file.read_bytes()
    assert whole.count(b'"another three"') == 1
    file.write_bytes(whole.replace(b'"another three"', b'"another three\n'))
    out = bough.out("diff", "main", "ideas", "--stat")
    assert out.splitlines()[1:] == ["1 same, 1 added, 2 removed, 1 edited, 0 moved"]
    assert bough("diff", "main", "ideas", code=5).stderr.startswith("error: ")


def test_as_json_the_hunks_are_both_sides(bough: Bough) -> None:
    talk(bough)
    bough("edit", "ideas:2", "TWO")
    bough("add", "user", "another three")
    answer = bough.json("diff", "main", "ideas")
    assert answer["stat"] == {"same": 1, "added": 1, "removed": 3, "edited": 1, "moved": 0}
    assert answer["ancestor"]["length"] == 1
    assert answer["twins"] == [{"before": 5, "after": 3}]
    hunks = answer["hunks"]
    assert [hunk["kind"] for hunk in hunks] == ["same", "edited", "removed", "added"]
    assert [(hunk["before"]["number"], hunk["after"]["number"]) for hunk in hunks] == [(1, 1), (2, 2), (3, 3), (6, 3)]
    assert hunks[0]["before"]["messages"] is None
    assert hunks[1]["after"]["messages"] == [{"role": "assistant", "content": "TWO"}]
    assert [each["content"] for each in hunks[2]["before"]["messages"]] == ["three", "four", "another three"]
    assert hunks[2]["after"]["messages"] == []
    for side, name in (("before", "main"), ("after", "ideas")):
        held = [tuple(each["id"]) for each in bough.json("log", name)["messages"]][::-1]
        assert held == [
            (segment, position)
            for hunk in hunks
            for segment, start, stop in hunk[side]["pieces"]
            for position in range(start, stop)
        ]


def test_nothing_drives_the_terminal(bough: Bough) -> None:
    evil = "\x1b]0;owned\x07\x9b2J\u202e\x7f"
    with ConversationBranchManager(store=bough.store) as manager:
        manager.add_message({"role": f"r{evil}", "content": f"a{evil}", "k": evil})
        manager.create_branch(f"b{evil}", "other", "main")
        manager.add_message({"role": f"s{evil}", "content": evil})
        manager.edit_message(0, {"role": f"s{evil}", "content": f"b{evil}", f"k{evil}": evil})
    for args in ((), ("--side-by-side",), ("--stat",), ("--json",)):
        assert not set(bough.out("diff", f"b{evil}", "main", *args)) & set("\x1b\x07\x9b\u202e\x7f"), args


def test_without_ids_leaves_what_is_no_id() -> None:
    assert without_ids("4 3f9a0.12 user 12.5 a") == "4 user 12.5 a"
