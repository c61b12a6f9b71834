"""``bough describe`` and the list of sessions by what was set for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_kit import Bough, talk

from bough import ConversationBranchManager

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture(params=["json", "sqlite"])
def bough(request: pytest.FixtureRequest, tmp_path: Path) -> Bough:
    bough = Bough(Path(f"{request.param}:{tmp_path / 'store'}"))
    talk(bough)
    return bough


def test_a_branch_is_described_and_shown(bough: Bough) -> None:
    assert bough.out("describe") == "branch main\n  name: Main conversation\n"
    out = bough.out("describe", "ideas", "--title", "Another\x1b end", "--label", "a", "--label", "b", "--archive")
    assert out == "branch ideas\n  name: ideas\n  title: Another\\x1b end\n  labels: a, b\n  archived: yes\n"
    assert bough.out("describe", "ideas") == out
    answer = bough.json("describe", "ideas")
    assert answer["metadata"] == {"title": "Another\x1b end", "labels": ["a", "b"], "archived": True}
    assert answer["branch"]["metadata"] == answer["metadata"]
    out = bough.out("describe", "ideas", "--unlabel", "a", "--label", "c", "--unarchive", "--title", "")
    assert out == "branch ideas\n  name: ideas\n  labels: b, c\n"
    assert bough.json("describe", "ideas", "--unlabel", "b", "--unlabel", "c")["metadata"] == {}
    assert bough.json("describe")["metadata"] == {}


def test_all_that_is_given_at_once_is_one_operation(bough: Bough) -> None:
    bough("describe", "--label", "a", "--title", "t", "--set", "n=1180591620717411303424", "--set", 'x={"y": 1.0}')
    assert '"metadata":{"n":1180591620717411303424,"x":{"y":1.0},"title":"t","labels":["a"]},' in bough.out(
        "describe", "--json"
    )
    assert '  "x":{"y":1.0}\n' in bough.out("describe")
    assert bough.json("describe", "--unset", "n", "--unset", "x")["metadata"] == {"title": "t", "labels": ["a"]}
    bough("undo")
    assert bough.json("describe")["metadata"].keys() == {"n", "x", "title", "labels"}
    bough("undo")
    assert bough.json("describe")["metadata"] == {}


def test_the_session_has_metadata_of_its_own(bough: Bough) -> None:
    assert bough.out("describe", "--whole-session") == "session default\n  nothing was set\n"
    out = bough.out("describe", "--whole-session", "--title", "Trip", "--label", "x", "--retention", "90d/1000")
    assert out == "session default\n  title: Trip\n  labels: x\n  gc keeps: 90 days and 1000 operations\n"
    answer = bough.json("describe", "--whole-session")
    assert answer["branch"] is None
    assert answer["metadata"]["retention"] == {"days": 90, "operations": 1000}
    for text, kept in (("12h", {"days": 0.5}), ("7", {"operations": 7}), ("1y", {"days": 365})):
        answer = bough.json("describe", "--whole-session", "--retention", text)
        assert answer["metadata"]["retention"] == kept
    assert bough.json("describe")["metadata"] == {}
    assert "retention" not in bough.json("describe", "--whole-session", "--unset", "retention")["metadata"]


def test_gc_heeds_the_retention_of_the_session(bough: Bough) -> None:
    bough("delete", "ideas")
    assert bough.json("gc", "--dry-run")["sessions"][0]["messages"] == 0
    bough("describe", "--whole-session", "--retention", "0d")
    assert bough.json("gc", "--dry-run")["sessions"][0]["messages"] == 1


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("main", "--whole-session"), 2, "takes no BRANCH"),
        (("--retention", "9d"), 2, "--whole-session"),
        (("--whole-session", "--retention", "9"), 0, ""),
        (("--whole-session", "--retention", "9/9"), 2, "is no retention"),
        (("--whole-session", "--retention", "9d/"), 2, "is no duration"),
        (("--whole-session", "--retention", "soon"), 2, "is no duration"),
        (("--set", "x"), 2, "KEY=JSON"),
        (("--set", "=1"), 2, "KEY=JSON"),
        (("--set", "x=y"), 2, "not JSON"),
        (("--set", "title=7"), 1, "a title is a string"),
        (("--set", "tag:v1={}"), 1, "cannot be a key"),
        (("--label", ""), 1, "labels are"),
        (("nowhere", "--title", "t"), 1, "nowhere"),
    ],
)
def test_what_cannot_be_is_refused(bough: Bough, args: tuple[str, ...], code: int, words: str) -> None:
    assert words in bough("describe", *args, code=code).stderr


def test_what_is_not_there_is_not_made(tmp_path: Path) -> None:
    bough = Bough(tmp_path / "store")
    for args in ((), ("--title", "t"), ("--whole-session", "--archive")):
        assert bough("describe", *args, code=1).stderr.startswith("error: no session 'default'\n")
    assert not bough.store.exists()


def test_a_label_of_another_program_is_not_lost(bough: Bough) -> None:
    """Labels are put on what is there when the session is held."""
    with ConversationBranchManager(store=str(bough.store)) as manager:
        manager.set_branch_metadata({"labels": ["mine"], "other": 1})
    assert bough.json("describe", "--label", "yours")["metadata"] == {"labels": ["mine", "yours"], "other": 1}


def test_labels_that_are_put_on_at_the_same_time_all_stay(bough: Bough) -> None:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "BOUGH_STORE": str(bough.store)}
    environment.pop("BOUGH_SESSION", None)
    code = "import sys; from bough.cli import cli\nfor n in sys.argv[1:]:\n try: cli.main(['describe', '--label', n])"
    code += "\n except SystemExit as done: assert not done.code, done.code"
    labels = [[f"{who}{n}" for n in range(8)] for who in "abc"]
    running = [
        subprocess.Popen([sys.executable, "-c", code, *each], env=environment, stdout=subprocess.DEVNULL)
        for each in labels
    ]
    assert [process.wait(timeout=60) for process in running] == [0, 0, 0]
    assert sorted(bough.json("describe")["metadata"]["labels"]) == sorted(label for each in labels for label in each)


# -- the list of sessions ----------------------------------------------------------------------------------------------


def listed(bough: Bough, *args: str) -> list[str]:
    return [session["id"] for session in bough.json("sessions", *args)["sessions"]]


def test_sessions_are_filtered_and_archived_ones_hidden(bough: Bough) -> None:
    for session in ("one", "two", "three"):
        bough("add", "user", "x", "--session", session)
    bough("describe", "--whole-session", "--label", "a", "--label", "b", "--title", "First\x1b", "--session", "one")
    bough("describe", "--whole-session", "--label", "a", "--archive", "--session", "two")
    assert listed(bough) == ["default", "one", "three"]
    assert listed(bough, "--all") == ["default", "one", "three", "two"]
    assert listed(bough, "--archived") == ["two"]
    assert listed(bough, "--label", "a") == ["one"]
    assert listed(bough, "--label", "a", "--all") == ["one", "two"]
    assert listed(bough, "--label", "a", "--label", "b", "--all") == ["one"]
    assert listed(bough, "--archived", "--label", "b") == []
    lines = bough.out("sessions").splitlines()
    assert lines[0].split() == ["session", "branches", "current", "messages", "changed", "title", "labels"]
    assert lines[2].endswith("  First\\x1b  a, b")
    assert lines[-1] == "1 archived session not shown: `bough sessions --all`"
    assert "not shown" not in bough.out("sessions", "--all")
    assert bough.out("sessions", "--label", "zzz") == "No such sessions.\n"
    assert bough.json("sessions")["hidden"] == 1
    first = bough.json("sessions")["sessions"][1]
    assert (first["title"], first["labels"], first["archived"]) == ("First\x1b", ["a", "b"], False)


def test_the_list_has_no_columns_that_would_be_empty(bough: Bough) -> None:
    assert bough.out("sessions").splitlines()[0].split() == ["session", "branches", "current", "messages", "changed"]


@pytest.mark.parametrize(
    "args",
    [
        ("--deleted", "--archived"),
        ("--archived", "--all"),
        ("--deleted", "--label", "x"),
        ("--label", "x", "rename", "a", "b"),
        ("--all", "delete", "a"),
    ],
)
def test_what_does_not_go_together(bough: Bough, args: tuple[str, ...]) -> None:
    assert bough("sessions", *args, code=2).stderr.startswith("error: ")
