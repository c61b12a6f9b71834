"""What programs see: JSON, exit codes, warnings, and that looking leaves no trace."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cli_kit import Bough, talk, without_ids

from bough import ConversationBranchManager, errors
from bough.cli import SECTIONS
from bough.cli.failures import EXIT_CODES
from bough.model import LockInfo

DOCS = Path(__file__).parents[2] / "docs"
MERGE = {"source", "target", "strategy", "preview", "added", "removed", "stat", "conflicts", "operation"}
STATS = {"branches", "archived", "tags", "operations", "messages", "copies", "bytes", "copied_bytes", "saved_bytes"}
STATS |= {"shared", "tool_calls", "roles"}
PURGE = {"messages", "branches", "tags", "other_wordings", "dry_run", "operation"}
BRANCH = {"id", "name", "length", "parent_id", "parent_message_index", "created_at", "updated_at", "metadata"}


@pytest.fixture
def bough(tmp_path: Path) -> Bough:
    return Bough(tmp_path / "store")


UNDONE = {"session", "operation", "kind", "at", "branches", "head", "dropped", "left", "passed_over"}


@pytest.mark.parametrize(
    ("args", "command", "keys"),
    [
        (("sessions",), "sessions", {"sessions", "hidden"}),
        (("sessions", "--deleted"), "sessions", {"deleted"}),
        (("sessions", "rename", "default", "x"), "sessions rename", {"from", "to"}),
        (("sessions", "delete", "default"), "sessions delete", {"deleted", "kept_as"}),
        (("copy", "--to", "backup"), "copy", {"from", "to", "sessions", "failed"}),
        (("branch",), "branch list", {"session", "head", "branches"}),
        (("branch", "list"), "branch list", {"session", "head", "branches"}),
        (("branch", "create", "x"), "branch create", {"session", "branch"}),
        (("fork", "x"), "fork", {"session", "from", "branch"}),
        (("switch", "ideas"), "switch", {"session", "from", "branch"}),
        (("add", "user", "x"), "add", {"session", "branch", "number"}),
        (("log",), "log", {"session", "head", "messages"}),
        (("log", "--graph", "--all"), "log", {"session", "head", "messages"}),
        (("show",), "show", {"session", "branch", "messages"}),
        (("show", "main:1"), "show", {"session", "branch", "number", "message"}),
        (("merge", "ideas"), "merge", {"session", *MERGE}),
        (("merge", "ideas", "--preview"), "merge", {"session", *MERGE, "hunks"}),
        (("diff", "ideas"), "diff", {"session", "before", "after", "ancestor", "stat", "hunks", "twins"}),
        (("diff", "ideas", "--stat"), "diff", {"session", "before", "after", "ancestor", "stat"}),
        (
            ("origin", "ideas:3"),
            "origin",
            {"session", "id", "branch", "written_on", "came_by", "original", "stands_for", "message"},
        ),
        (("tag",), "tag", {"session", "tags"}),
        (("tag", "v1"), "tag", {"session", "tag"}),
        (("rename", "ideas", "x"), "rename", {"session", "branch"}),
        (("delete", "ideas"), "delete", {"session", "deleted", "head"}),
        (("edit", "1", "x"), "edit", {"session", "branch", "number", "operation"}),
        (("remove", "1"), "remove", {"session", "branch", "removed", "operation"}),
        (("reset", "1"), "reset", {"session", "branch", "added", "removed", "operation"}),
        (("cherry-pick", "ideas"), "cherry-pick", {"session", "branch", "added", "operation"}),
        (("undo",), "undo", UNDONE),
        (("undo", "2"), "undo", UNDONE),
        (("redo",), "redo", UNDONE),
        (("revert", "4"), "revert", {"session", "reverted", "operation", "branches"}),
        (("ops",), "ops", {"session", "operations"}),
        (("ops", "--show", "1"), "ops", {"session", "operation"}),
        (("branch", "list", "--deleted"), "branch list", {"session", "deleted"}),
        (("branch", "restore", "gone"), "branch restore", {"session", "restored", "branch"}),
        (("help", "revisions"), "help", {"topic", "text"}),
        (("describe",), "describe", {"session", "branch", "metadata"}),
        (("describe", "--whole-session", "--title", "x"), "describe", {"session", "branch", "metadata"}),
        (("stats",), "stats", {"session", *STATS}),
        (("check",), "check", {"session", "revision", "problems"}),
        (("check", "--repair"), "check", {"session", "revision", "problems", "removed", "new", "left"}),
        (("fsck",), "fsck", {"sessions", "worst"}),
        (("gc", "--keep", "0d"), "gc", {"sessions", "failed", "dry_run"}),
        (("purge", "main", "--yes"), "purge", {"session", *PURGE}),
        (("path",), "path", {"session", "branch", "path"}),
        (("completion", "zsh"), "completion", {"shell", "script"}),
        (("import", "one.jsonl"), "import", {"found", "new", "sessions", "defects", "interrupted"}),
        (("demo",), "demo", {"store", "session", "path", "branches"}),
    ],
)
def test_answers_have_the_documented_shape(
    bough: Bough, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], command: str, keys: set[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    Path("one.jsonl").write_text('{"messages": []}')
    talk(bough)
    bough("edit", "4", "FOUR")
    if command in ("redo", "branch restore"):
        bough("branch", "create", "gone")
        bough("delete", "gone")
    if command == "redo":
        bough("undo")
    answer = bough.json(*args)
    assert answer.keys() == {"bough", "command", "warnings", *keys}
    assert answer["command"] == command
    if isinstance(answer.get("branch"), dict):
        assert answer["branch"].keys() == BRANCH
    documented = (DOCS / "json-output.md").read_text()
    [row] = re.findall(rf"^\| `{command}` .*$", documented, re.MULTILINE)
    assert keys <= set(re.findall(r"`(\w+)`", row)) | {"session"}


def test_log_as_json_has_identities_numbers_and_origins(bough: Bough) -> None:
    talk(bough)
    bough("merge", "ideas")
    messages = bough.json("log", "--all")["messages"]
    assert [(each["branch"], each["number"], each["tips"], each["from"]) for each in messages] == [
        ("main", 5, ["main"], "ideas"),
        ("main", 4, [], None),
        ("main", 3, [], None),
        ("ideas", 3, ["ideas"], None),
        ("main", 2, [], None),
        ("main", 1, [], None),
    ]
    assert messages[0]["id"] == messages[3]["id"]
    assert messages[0]["message"] == {"role": "user", "content": "another three"}


def test_json_keeps_numbers_as_they_are(bough: Bough) -> None:
    bough("add", "--message", '{"n": 1180591620717411303424000, "x": 5.0, "y": 1e-320}')
    assert '"message":{"n":1180591620717411303424000,"x":5.0,"y":1e-320}' in bough.out("show", "main:1", "--json")


@pytest.mark.parametrize(
    ("args", "code", "kind"),
    [
        (("show", "nowhere"), 1, "BranchNotFoundError"),
        (("show", "main:7"), 1, "InvalidRequestError"),
        (("add",), 2, "UsageError"),
        (("fork", "--at", "x"), 2, "BadParameter"),
        (("shoe",), 2, "NoSuchCommand"),
    ],
)
def test_errors_as_json_stand_on_stdout_alone(bough: Bough, args: tuple[str, ...], code: int, kind: str) -> None:
    bough("add", "user", "one")
    answer = bough.json(*args, code=code)
    assert answer.keys() == {"bough", "error", "warnings"}
    assert answer["error"]["type"] == kind
    assert answer["error"]["message"]
    if kind == "BranchNotFoundError":
        assert (answer["error"]["session_id"], answer["error"]["branch_id"]) == ("default", "nowhere")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.BranchMovedError("s", "b"), 3),
        (errors.SessionLockedError("/p", LockInfo(pid=7, timestamp=1, hostname="h")), 4),
        (errors.CorruptBranchError("/p", "torn"), 5),
        (errors.NothingToUndoError("nothing"), 1),
        (PermissionError(13, "no", "/p"), 1),
    ],
)
def test_each_kind_of_error_has_its_exit_code(
    bough: Bough, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def fail(*_: object) -> None:
        raise error

    bough("add", "user", "one")
    monkeypatch.setattr(ConversationBranchManager, "undo", fail)
    lines = bough("undo", code=code).stderr.splitlines()
    assert lines[0] == f"error: {error}"
    assert lines[1:] == ([f"hint: {error.hint}"] if isinstance(error, errors.BoughError) and error.hint else [])
    detail = bough.json("undo", code=code)["error"]
    assert detail["message"] == str(error)
    if isinstance(error, errors.SessionLockedError):
        assert detail["holder"] == {"pid": 7, "timestamp": 1, "hostname": "h"}


def test_the_documented_exit_codes_are_the_real_ones() -> None:
    text = (DOCS / "cli.md").read_text()
    assert sorted(EXIT_CODES.values()) == [3, 4, 5]
    for kind, code in EXIT_CODES.items():
        assert re.search(rf"^\| {code} \| .*`{kind.__name__}`", text, re.MULTILINE)


def test_a_mistake_of_our_own_is_not_hidden(bough: Bough, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("oops")

    bough("add", "user", "one")
    monkeypatch.setattr(ConversationBranchManager, "undo", fail)
    with pytest.raises(KeyError, match="oops"):
        bough("undo")


def test_ctrl_c_is_130(bough: Bough, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    bough("add", "user", "one")
    monkeypatch.setattr(ConversationBranchManager, "undo", interrupt)
    assert bough("undo", code=130).stderr == "\n"


@pytest.mark.parametrize(
    "args",
    [
        ("branch",),
        ("branch", "list"),
        ("log",),
        ("log", "--graph", "--all"),
        ("show",),
        ("path",),
        ("switch", "main"),
        ("merge", "main"),
        ("rename", "main", "x"),
        ("delete", "x"),
        ("undo",),
        ("redo",),
        ("revert", "1"),
        ("ops",),
        ("ops", "--show", "1"),
        ("edit", "1", "x"),
        ("remove", "1"),
        ("reset", "1"),
        ("cherry-pick", "main"),
        ("fork", "x", "--from", "main"),
        ("branch", "restore", "x"),
        ("branch", "list", "--deleted"),
    ],
)
def test_what_needs_a_session_makes_none(bough: Bough, args: tuple[str, ...]) -> None:
    assert bough(*args, code=1).stderr.startswith("error: no session 'default'\nhint: ")
    assert bough.out("sessions") == "No sessions yet.\n"
    assert not bough.store.exists()


@pytest.mark.parametrize("args", [("add", "user", "x"), ("fork", "x"), ("branch", "create", "x")])
def test_what_writes_makes_the_session(bough: Bough, args: tuple[str, ...]) -> None:
    bough(*args)
    assert [session["id"] for session in bough.json("sessions")["sessions"]] == ["default"]


@pytest.mark.parametrize(
    "args", [("add",), ("add", "user", "x", "--message", "{}"), ("add", "--message", "[1]"), ("add", "--message", "{")]
)
def test_bad_usage_writes_nothing(bough: Bough, args: tuple[str, ...]) -> None:
    assert bough(*args, code=2).stderr.startswith("error: ")
    assert not bough.store.exists()


@pytest.mark.parametrize("given", [b"", b"\xff"])
def test_no_text_on_stdin_is_no_message(bough: Bough, given: bytes) -> None:
    assert "tandard input" in bough("add", "user", code=2, input=given).stderr
    assert not bough.store.exists()


def test_a_broken_document_is_a_warning_and_its_branch_an_error(bough: Bough) -> None:
    talk(bough)
    file = bough.store / "default" / "ideas.json"
    file.write_bytes(b'{"id": "ideas", \x1b')
    result = bough("log", "--oneline", "-n", "1")
    assert without_ids(result.stdout) == "4 assistant (HEAD -> main) four\n"
    assert result.stderr.startswith(f"warning: {file}: ")
    assert "\x1b" not in result.stderr
    [warning] = bough.json("branch")["warnings"]
    assert str(file) in warning
    assert bough.json("sessions")["warnings"] == [warning]
    assert bough.json("show", "ideas", code=5)["error"]["type"] == "CorruptBranchError"
    assert "error: " in bough("switch", "ideas", code=5).stderr
    assert file.read_bytes() == b'{"id": "ideas", \x1b'


def test_a_torn_end_is_mended_with_a_warning(bough: Bough) -> None:
    talk(bough)
    file = bough.store / "default" / "main.json"
    whole = file.read_bytes()
    file.write_bytes(whole[: whole.rindex(b"\n]")] + b',\n{"role":"us')
    result = bough("add", "user", "five")
    assert result.stdout == "Added message 5 to main.\n"
    assert f"warning: {file}: " in result.stderr


def test_no_control_character_of_a_message_reaches_the_terminal(bough: Bough) -> None:
    evil = "\x1b]0;owned\x07\x9b2J\u202e\x7f"
    add = {"role": f"user{evil}", "content": f"hello{evil}", f"key{evil}": evil}
    with ConversationBranchManager(f"s{evil}", store=bough.store) as manager:
        manager.add_message(add)
        manager.create_branch(f"b{evil}", f"name{evil}", "main")
    args: tuple[str, ...]
    for args in (
        ("log",),
        ("log", "--graph", "--all"),
        ("log", "--oneline", "--all"),
        ("show",),
        ("show", "main:1"),
        ("branch",),
        ("sessions",),
        ("path",),
        ("show", "main:1", "--json"),
        ("branch", "--json"),
        ("switch", f"b{evil}"),
        ("rename", f"b{evil}", f"x{evil}"),
        ("merge", "main"),
        ("delete", f"b{evil}"),
        ("undo",),
    ):
        result = bough("--session", f"s{evil}", *args)
        assert not set(result.output) & set("\x1b\x07\x9b\u202e\x7f"), args
    failed = bough("--session", f"s{evil}", "switch", f"nowhere{evil}", code=1)
    assert not set(failed.output) & set("\x1b\x07\x9b\u202e\x7f")


def test_colour_is_for_terminals_and_no_color_is_heard(bough: Bough) -> None:
    talk(bough)
    assert "\x1b[" in bough("log", "--graph", color=True).stdout
    assert "\x1b[" not in bough("log", "--graph").stdout
    assert "\x1b[" not in bough("log", "--graph", color=True, env={"NO_COLOR": "1"}).stdout
    assert "\x1b[" not in bough("show", "nowhere", code=1, color=True, env={"NO_COLOR": "1"}).stderr


def test_wide_characters_do_not_break_the_columns(bough: Bough) -> None:
    from rich.cells import cell_len

    bough("add", "user", "日本語" * 40)
    bough("add", "助手", "x")
    first, second = bough.out("log", "--graph").splitlines()
    assert cell_len(second) in (99, 100)
    assert cell_len(first[: first.index("(HEAD")]) == cell_len(second[: second.index("日")])


def test_branch_arguments_are_completed_from_the_session(bough: Bough) -> None:
    def completed(line: str) -> list[str]:
        env = {"_BOUGH_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        out = bough.out(env=env)
        return [item.partition(",")[2] for item in out.splitlines() if item]

    assert completed("bough switch ") == []
    assert not bough.store.exists()
    talk(bough)
    assert completed("bough switch i") == ["ideas"]
    assert sorted(completed("bough branch create x --from ")) == ["ideas", "main"]
    assert completed("bough --session other switch ") == []
    assert completed("bough rena") == ["rename"]


def test_every_command_and_option_is_documented() -> None:
    import click

    from bough.cli import cli

    text = (DOCS / "cli.md").read_text()
    context = click.Context(cli)
    for name in (name for names in SECTIONS.values() for name in names):
        command = cli.get_command(context, name)
        assert command is not None
        assert f"`bough {name}" in text
        nested = command.commands.values() if isinstance(command, click.Group) else []
        for each in [command, *nested]:
            for param in each.params:
                if isinstance(param, click.Option) and not param.hidden:
                    assert param.opts[-1] in text, (name, param.opts)
